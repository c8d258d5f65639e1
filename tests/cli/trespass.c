/*
 * To be preloaded: at SIGUSR1 the process tries what a sandbox should keep it from, as if somebody had
 * taken it over, and appends lines "WHAT ok" or "WHAT ERRNO" to $TRESPASS.PID, which ends in "end".
 * $TRESPASS_READ, $TRESPASS_WRITE and $TRESPASS_RUN are the files for it; what it makes has the name of
 * the first and ".new".
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int out = -1;
static char made[4096];

static void say(const char *what, bool done)
{
	dprintf(out, "%s %s\n", what, done ? "ok" : strerrorname_np(errno));
}

static void try_files(void)
{
	const char *read_path = getenv("TRESPASS_READ"), *write_path = getenv("TRESPASS_WRITE");

	say("read", open(read_path, O_RDONLY | O_CLOEXEC) >= 0);
	say("write", open(write_path, O_WRONLY | O_CLOEXEC) >= 0);
	say("make", open(made, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0);
	say("link", symlink("/", made) == 0);
	say("remove", unlink(read_path) == 0);
	say("chdir", chdir("/") == 0);
}

static void try_sockets(void)
{
	struct sockaddr_in loopback = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct sockaddr *any = (const struct sockaddr *)&loopback;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	say("tcp", fd >= 0);
	if (fd >= 0)
		say("bind", bind(fd, any, sizeof(loopback)) == 0);
	say("netlink", socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0) >= 0);
	say("packet", socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0) >= 0);
}

static void try_process(void)
{
	char *const argv[] = {getenv("TRESPASS_RUN"), NULL};

	say("signal", kill(1, 0) == 0);
	say("trace", ptrace(PTRACE_SEIZE, getppid(), 0, 0) == 0);
	say("unshare", unshare(CLONE_NEWUSER) == 0);
	say("code", mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
	/* The last: it is somebody else if it works. */
	execve(argv[0], argv, environ);
	say("run", false);
}

static void on_signal(int signo)
{
	int saved = errno;

	(void)signo;
	try_files();
	try_sockets();
	try_process();
	dprintf(out, "end\n");
	errno = saved;
}

__attribute__((constructor)) static void begin(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	char path[4096];

	if (!getenv("TRESPASS") || !getenv("TRESPASS_READ"))
		return;
	snprintf(made, sizeof(made), "%s.new", getenv("TRESPASS_READ"));
	snprintf(path, sizeof(path), "%s.%d", getenv("TRESPASS"), (int)getpid());
	int low = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	/* Numbers below are the daemon's. */
	out = fcntl(low, F_DUPFD_CLOEXEC, 100);
	close(low);
	sigaction(SIGUSR1, &action, NULL);
}
