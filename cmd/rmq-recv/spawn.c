#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * A handler of ours would run in our memory, which the child shares with us until it runs its
 * program.  What is ignored stays so.
 */
static void reset_signals(void)
{
	static const int handled[] = {SIGHUP, SIGINT, SIGTERM};
	struct sigaction old;
	sigset_t none;
	for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++)
		if (sigaction(handled[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			signal(handled[i], SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * What would ask on a terminal fails at once then; as a background group of its session it would be
 * stopped for ever.  No new session: the leader of one gets the next terminal that it opens, a serial
 * line say, whose bytes would be its signals.
 */
static bool leave_terminal(void)
{
	int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno != EMFILE && errno != ENFILE && errno != ENOMEM;
	/* A terminal that has just gone away, or is this session's no more, is left already. */
	bool left = ioctl(fd, TIOCNOTTY) == 0 || errno == EIO || errno == ENOTTY;
	close(fd);
	return left;
}

/* In the child.  Returns only on failure. */
static __attribute__((noinline)) void become(const struct spawn *s, pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || setpgid(0, 0) != 0 || !leave_terminal())
		return;
	/* The parent may have died before the line above. */
	if (getppid() != parent) {
		errno = ESRCH;
		return;
	}
	for (int fd = 0; fd < 3; fd++)
		if (s->fds[fd] >= 0 && dup2(s->fds[fd], fd) < 0)
			return;
	if (s->nofile && setrlimit(RLIMIT_NOFILE, s->nofile) != 0)
		return;
	reset_signals();
	execvpe(s->path, s->argv, s->envp);
}

int spawn(const struct spawn *s, pid_t *pid)
{
	volatile int failed = 0;
	sigset_t all, before;
	pid_t parent = getpid();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid_t child = vfork();
	if (child == 0) {
		become(s, parent);
		failed = errno ? errno : EINVAL;
		_exit(127);
	}
	if (child < 0)
		failed = errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (!failed) {
		*pid = child;
		return 0;
	}
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	return failed;
}

static int runnable(const char *path)
{
	struct stat st;
	if (stat(path, &st) != 0 || access(path, X_OK) != 0)
		return errno;
	return S_ISREG(st.st_mode) ? 0 : EACCES;
}

int spawn_find(const char *name, struct text *path)
{
	const char *dirs = getenv("PATH");
	int error = ENOENT;
	path->len = 0;
	if (strchr(name, '/') || !*name) {
		text_put(path, name, strlen(name) + 1);
		return path->failed ? ENOMEM : *name ? runnable(name) : ENOENT;
	}
	for (const char *dir = dirs ? dirs : "/bin:/usr/bin";; dir++) {
		size_t len = strcspn(dir, ":");
		path->len = 0;
		text_put(path, len ? dir : ".", len ? len : 1);
		text_put_char(path, '/');
		text_put(path, name, strlen(name) + 1);
		if (path->failed)
			return ENOMEM;
		int found = runnable(path->data);
		if (found == 0)
			return 0;
		/* One that may not be run is told of, if no other is found. */
		if (found == EACCES)
			error = EACCES;
		dir += len;
		if (!*dir)
			return error;
	}
}

int spawn_exit(int error)
{
	switch (error) {
	case ENOENT:
		return 127;
	case EAGAIN:
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case ESRCH:
		return 125;
	}
	return 126;
}
