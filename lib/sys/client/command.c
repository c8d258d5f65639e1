#include "sys/client/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/process/signals.h"

#define TERM_MS 500 /* to end after SIGTERM */

extern char **environ;

/* Signals are as they are for any program: none is blocked, and SIGPIPE ends it. */
static int set_attributes(posix_spawnattr_t *a)
{
	sigset_t none, defaults;
	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	sigaddset(&defaults, SIGXFSZ);
	int err = posix_spawnattr_setsigmask(a, &none);
	if (!err)
		err = posix_spawnattr_setsigdefault(a, &defaults);
	return err ? err
		   : posix_spawnattr_setflags(
			 a, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int spawn(struct command *c, const char *text, int fd)
{
	char *const argv[] = {
	    (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t)text, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int err = posix_spawn_file_actions_init(&actions);
	if (err)
		return err;
	err = posix_spawnattr_init(&attributes);
	if (!err) {
		err = posix_spawn_file_actions_adddup2(&actions, fd, 0);
		if (!err)
			err = posix_spawn_file_actions_adddup2(&actions, fd, 1);
		if (!err)
			err = set_attributes(&attributes);
		if (!err)
			err = posix_spawn(
			    &c->pid, "/bin/sh", &actions, &attributes, argv, environ);
		posix_spawnattr_destroy(&attributes);
	}
	posix_spawn_file_actions_destroy(&actions);
	return err;
}

/* The shell, and what it waits for, which does not end with it. */
static void kill_all(pid_t pid, int signal)
{
	char path[64], list[512];
	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd >= 0 ? read(fd, list, sizeof(list) - 1) : 0;
	if (fd >= 0)
		close(fd);
	list[len > 0 ? len : 0] = '\0';
	/* First, so that it does not go on to its next command. */
	kill(pid, signal);
	for (char *at = list, *end;; at = end) {
		long child = strtol(at, &end, 10);
		if (child <= 0)
			break;
		kill((pid_t)child, signal);
	}
}

static pid_t coming; /* has reached no daemon yet; 0: none */

static void kill_coming(void)
{
	if (coming > 0)
		kill_all(coming, SIGTERM);
}

int command_start(struct command *c, const char *text, int *fd)
{
	int fds[2];
	c->pid = 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
		return errno;
	int err = fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0 ? 0 : errno;
	if (!err)
		err = spawn(c, text, fds[1]);
	close(fds[1]);
	if (err) {
		close(fds[0]);
		return err;
	}
	*fd = fds[0];
	coming = c->pid;
	signals_before_death(kill_coming);
	return 0;
}

void command_arrived(const struct command *c)
{
	if (coming == c->pid)
		coming = 0;
}

/* Whether it ended within that time; *status as command_end() gives it. */
static bool ended(pid_t pid, int handle, uint64_t most_ms, int *status)
{
	struct pollfd p = {handle, POLLIN, 0};
	if (handle >= 0)
		(void)poll(&p, 1, (int)most_ms);
	pid_t got = waitpid(pid, status, WNOHANG);
	if (got < 0)
		*status = -1;
	return got != 0;
}

int command_end(struct command *c, uint64_t most_ms)
{
	pid_t pid = c->pid;
	int status = -1;
	if (pid <= 0)
		return -1;
	command_arrived(c);
	c->pid = 0;
	int handle = pidfd_open(pid, 0);
	if (!ended(pid, handle, most_ms, &status)) {
		kill_all(pid, SIGTERM);
		if (!ended(pid, handle, TERM_MS, &status)) {
			kill_all(pid, SIGKILL);
			while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
				;
		}
	}
	if (handle >= 0)
		close(handle);
	return status;
}
