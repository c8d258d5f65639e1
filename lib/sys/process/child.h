/* Child processes: the daemons that a daemon runs, and COMMAND. */
#ifndef RMQ_SYS_PROCESS_CHILD_H
#define RMQ_SYS_PROCESS_CHILD_H

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

#define CHILD_EXTRA_FD 3

struct child_spec {
	char *const *argv; /* argv[0] is looked for in PATH unless it holds a '/' */
	int stdin_fd;	   /* becomes descriptor 0; -1: inherited */
	int extra_fd;	   /* becomes descriptor CHILD_EXTRA_FD; 0: none */
	/*
	 * A servant keeps on through signals to our process group, has no descriptor but
	 * these and 1 and 2, and nothing of what a supervisor tells us by the environment
	 * (NOTIFY_SOCKET, LISTEN_FDS); makes files for its user only, gains no privileges and
	 * dies with us. Otherwise the child gets what we were started with, and SIGTERM when we
	 * die.
	 */
	bool servant;
	bool drains;		     /* a servant that SIGTERM is meant for after all */
	const sigset_t *mask;	     /* signals that it begins with blocked */
	const struct rlimit *nofile; /* its RLIMIT_NOFILE */
};

/*
 * The path of a program of ours: beside the running one, else its bare name, to be looked for
 * in PATH.  `name` is a file's name of at most 31 bytes.
 */
#define CHILD_PATH_SIZE (PATH_MAX + 32)
void child_program(char path[CHILD_PATH_SIZE], const char *name);

/*
 * 0 once the program runs, *pid is its id; else the errno of what failed.  SIGCHLD is not
 * ignored any more from then on.
 */
int child_spawn(const struct child_spec *spec, pid_t *pid);

/* Waits for it to end.  Its exit status, 128 + N for signal N. */
int child_wait(pid_t pid);

/* The same without waiting: -1 if it has not ended. */
int child_poll(pid_t pid);

/* The same, for so many ms at most: -1 if it has not ended by then. */
int child_wait_for(pid_t pid, int ms);

/*
 * Kills it and waits for its end, for so many ms: -1 if it has not ended by then.  It never runs
 * again, for which is waited as long as it takes: it is in the kernel, as its disk hangs, or its
 * memory is much.
 */
int child_kill(pid_t pid, int ms);
#define CHILD_KILL_MS 1000

/*
 * Reaps children that we did not start: the first process of a container inherits orphans.
 * Goes no further than to an ended child of these two ids, which is left to be waited for;
 * so it is called again after that.
 */
void child_reap(pid_t ours, pid_t other);

#endif
