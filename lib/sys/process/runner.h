/*
 * Runs programs of the administrator for a daemon whose sandbox they could not work in: by a process
 * of its own, which is forked before there is a sandbox, and before secrets are read.  It knows only
 * what it is told over a socket pair, and ends with the daemon.
 *
 * Each program is in a process group of its own, has the bytes that it is given as its stdin, what
 * it prints to stdout is kept, and what it prints to stderr goes to the daemon's log, each line after
 * its name.  It does not hold up the daemon, nor any other program: at its limit it is killed, with its
 * group.
 */
#ifndef RMQ_SYS_PROCESS_RUNNER_H
#define RMQ_SYS_PROCESS_RUNNER_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <uv.h>

#include "core/base/codec.h"

/* Of words, environment and stdin together; of stdout, the rest of which is dropped. */
#define RUNNER_BYTES_MAX 65536
#define RUNNER_WORDS_MAX 64
/* Of the stderr of one run; the rest is dropped. */
#define RUNNER_ERRORS_MAX 16384

struct runner;

struct runner_job {
	/* Ended by NULL; argv[0] is looked for in PATH unless it has a '/'. */
	const char *const *argv;
	const char *const
	    *env; /* ended by NULL; NULL: the daemon's, without what a supervisor told it */
	struct slice input; /* stdin; the program may leave it unread */
	uint32_t limit_ms;
	bool outlives; /* the end of the daemon does not end it */
};

enum runner_outcome {
	RUNNER_ENDED, /* status: its exit status, 128 + N for signal N */
	RUNNER_LATE,  /* it was killed at its limit */
	RUNNER_FAILED /* status: the errno of what failed; it has not run */
};

struct runner_result {
	enum runner_outcome outcome;
	int status;
	struct slice output; /* borrowed */
};

typedef void runner_answer(void *arg, const struct runner_result *result);

/*
 * Forks.  Programs begin with this mask and these limits.  NULL: *error is the errno.  No thread may
 * run yet.
 */
struct runner *runner_open(const sigset_t *mask, const struct rlimit *nofile, int *error);
/*
 * From here on answers come, in the loop's turns.  `ended` comes once if the process that runs
 * programs has ended: nothing is run any more.
 */
void runner_start(struct runner *r, uv_loop_t *loop, void (*ended)(void *arg), void *arg);
/*
 * Runs a program; `answer` comes once, and never from within this call, unless runner_forget() comes
 * first.
 */
void runner_run(
    struct runner *r, const struct runner_job *job, runner_answer *answer, void *arg);
/* No answer with this `arg` comes any more; the programs go on. */
void runner_forget(struct runner *r, const void *arg);
/* "exit status 3", "killed by signal 9", "did not end within its time", or what failed. */
#define RUNNER_TEXT_SIZE 96
const char *runner_text(char text[RUNNER_TEXT_SIZE], const struct runner_result *result);

#endif
