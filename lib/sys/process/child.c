#include "sys/process/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Of the kernel's flags of a process, proc_pid_stat(5): it is ending. */
#define PF_EXITING 0x4u

static void reset_signals(const struct child_spec *spec)
{
	static const int shared[] = {SIGINT, SIGHUP, SIGQUIT, SIGTERM};

	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	if (spec->servant)
		for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++)
			if (shared[i] != SIGTERM || !spec->drains)
				signal(shared[i], SIG_IGN);
	sigprocmask(SIG_SETMASK, spec->mask, NULL);
}

/*
 * Keeps 0, 1, 2; the pipe that reports a failed exec closes by itself.  What a supervisor says
 * by the environment is said to us: a servant that reported itself ready would speak for us.
 */
static int confine(void)
{
	static const char *const ours[] = {
	    "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"};

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		unsetenv(ours[i]);
	umask(077);
	if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) != 0 && errno != ENOSYS)
		return -1;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* In the child.  Returns only on failure. */
static void run(const struct child_spec *spec, pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, spec->servant ? SIGKILL : SIGTERM) != 0)
		return;
	/* The parent may have died before the line above. */
	if (getppid() != parent) {
		errno = ESRCH;
		return;
	}
	reset_signals(spec);
	if (setrlimit(RLIMIT_NOFILE, spec->nofile) != 0)
		return;
	if (spec->stdin_fd >= 0 && dup2(spec->stdin_fd, STDIN_FILENO) < 0)
		return;
	if (spec->servant && confine() != 0)
		return;
	/* One that has that number already would keep its FD_CLOEXEC. */
	if (spec->extra_fd > 0 && spec->extra_fd != CHILD_EXTRA_FD &&
	    dup2(spec->extra_fd, CHILD_EXTRA_FD) < 0)
		return;
	if (spec->extra_fd == CHILD_EXTRA_FD && fcntl(CHILD_EXTRA_FD, F_SETFD, 0) != 0)
		return;
	execvp(spec->argv[0], spec->argv);
}

void child_program(char path[CHILD_PATH_SIZE], const char *name)
{
	ssize_t len = readlink("/proc/self/exe", path, PATH_MAX);
	char *slash = len > 0 ? memrchr(path, '/', (size_t)len) : NULL;

	if (slash)
		snprintf(slash + 1, 32, "%s", name);
	if (!slash || access(path, X_OK) != 0)
		snprintf(path, CHILD_PATH_SIZE, "%s", name);
}

/* Whoever started us may ignore SIGCHLD; then a child that ends leaves nothing to wait for. */
static void want_children(void)
{
	struct sigaction action;

	if (sigaction(SIGCHLD, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
		signal(SIGCHLD, SIG_DFL);
}

int child_spawn(const struct child_spec *spec, pid_t *pid)
{
	int report[2], failed = 0;
	ssize_t n;
	pid_t parent = getpid();

	want_children();
	if (pipe2(report, O_CLOEXEC) != 0)
		return errno;
	/* Out of the way of what the child's descriptors become. */
	int high = fcntl(report[1], F_DUPFD_CLOEXEC, CHILD_EXTRA_FD + 1);
	if (high < 0) {
		failed = errno;
		close(report[0]);
		close(report[1]);
		return failed;
	}
	close(report[1]);
	report[1] = high;
	pid_t child = fork();
	if (child < 0) {
		failed = errno;
		close(report[0]);
		close(report[1]);
		return failed;
	}
	if (child == 0) {
		run(spec, parent);
		failed = errno;
		n = write(report[1], &failed, sizeof(failed));
		_exit(n == sizeof(failed) ? 127 : 126);
	}
	close(report[1]);
	do
		n = read(report[0], &failed, sizeof(failed));
	while (n < 0 && errno == EINTR);
	close(report[0]);
	if (n == sizeof(failed)) {
		(void)child_wait(child);
		return failed;
	}
	*pid = child;
	return 0;
}

static int status_of(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int child_wait(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 128 + SIGKILL;
	return status_of(status);
}

int child_poll(pid_t pid)
{
	int status;
	pid_t ended = waitpid(pid, &status, WNOHANG);
	if (ended == pid)
		return status_of(status);
	return ended < 0 && errno == ECHILD ? 128 + SIGKILL : -1;
}

int child_wait_for(pid_t pid, int ms)
{
	struct pollfd p = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
	int n;

	/* No such system call: it cannot be bounded. */
	if (p.fd < 0)
		return child_wait(pid);
	do
		n = poll(&p, 1, ms);
	while (n < 0 && errno == EINTR);
	close(p.fd);
	int status = child_poll(pid);
	/* One that has ended is first its tracer's, if it has one: a debugger, a sanitizer. */
	for (int left = ms; n > 0 && status < 0 && left > 0; left--) {
		(void)poll(NULL, 0, 1);
		status = child_poll(pid);
	}
	return status;
}

/*
 * Whether one that was killed has left its program for good: it waits in the kernel, which it
 * leaves by its end only, or is ending.
 */
static bool runs_no_more(pid_t pid)
{
	char path[32], line[1024], state = 'R';
	unsigned flags = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "re");
	bool known = f && fgets(line, sizeof(line), f);
	const char *end = known ? strrchr(line, ')') : NULL;
	known = end && sscanf(end, ") %c %*d %*d %*d %*d %*d %u", &state, &flags) == 2;
	if (f)
		fclose(f);
	return known && (state != 'R' || (flags & PF_EXITING));
}

int child_kill(pid_t pid, int ms)
{
	int status;

	kill(pid, SIGKILL);
	do
		status = child_wait_for(pid, ms);
	while (status < 0 && !runs_no_more(pid));
	return status;
}

void child_reap(pid_t ours, pid_t other)
{
	for (;;) {
		siginfo_t info = {.si_pid = 0};
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
		    info.si_pid == 0 || info.si_pid == ours || info.si_pid == other)
			return;
		(void)waitpid(info.si_pid, NULL, WNOHANG);
	}
}
