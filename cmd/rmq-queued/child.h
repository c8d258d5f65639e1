/* Child processes: the journal, its init, and COMMAND. */
#ifndef RMQ_QUEUED_CHILD_H
#define RMQ_QUEUED_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

struct child_spec {
	char *const *argv; /* argv[0] is looked for in PATH unless it holds a '/' */
	int stdin_fd;	   /* becomes descriptor 0; -1: inherited */
	/*
	 * A servant keeps on through signals to our process group, has no descriptor but
	 * 0, 1 and 2, makes files for its user only, gains no privileges and dies with us.
	 * Otherwise the child gets what we were started with, and SIGTERM when we die.
	 */
	bool servant;
	const sigset_t *mask;	     /* signals that it begins with blocked */
	const struct rlimit *nofile; /* its RLIMIT_NOFILE */
};

/* 0 once the program runs, *pid is its id; else the errno of what failed. */
int child_spawn(const struct child_spec *spec, pid_t *pid);

/* Waits for it to end.  Its exit status, 128 + N for signal N. */
int child_wait(pid_t pid);

/* The same without waiting: -1 if it has not ended. */
int child_poll(pid_t pid);

#endif
