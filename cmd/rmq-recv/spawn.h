/* Starts COMMAND: as fast as the kernel does it, thousands of times a second. */
#ifndef RMQ_RECV_SPAWN_H
#define RMQ_RECV_SPAWN_H

#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "core/base/text.h"

/*
 * The program is the leader of a process group of its own, without a terminal, gets the signals that
 * we were started with, and SIGKILL when we die.  Descriptors that are not FD_CLOEXEC are inherited.
 */
struct spawn {
	const char *path; /* with a '/' */
	char *const *argv;
	char *const *envp;
	int fds[3];		     /* what becomes its 0, 1 and 2; -1: ours */
	const struct rlimit *nofile; /* NULL: ours */
};

/* 0 once the program runs, *pid is its id; else the errno of what failed. */
int spawn(const struct spawn *s, pid_t *pid) __attribute__((warn_unused_result));

/*
 * Where execvp(3) would find the program, as a path with a '/', NUL-terminated.  0, or errno: it
 * cannot be run.
 */
int spawn_find(const char *name, struct text *path) __attribute__((warn_unused_result));

/* What env(1) and timeout(1) exit with if it cannot be run for this errno: 125, 126 or 127. */
int spawn_exit(int error);

#endif
