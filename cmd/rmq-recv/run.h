/*
 * One run of COMMAND: its process, the messages it has, and what it prints.
 *
 * Its stdin is a file in memory that holds its messages, so that neither waits for the other.
 * Its stderr comes through a pipe and is passed on; the last line of it is kept, as the reason of a
 * dead letter.  Its stdout is ours, or comes through a pipe and is kept (--to).  With --results both
 * go to files.  When the process has ended, what is in the pipes by then is all.
 */
#ifndef RMQ_RECV_RUN_H
#define RMQ_RECV_RUN_H

#include <poll.h>
#include <sys/types.h>

#include "core/base/limits.h"
#include "core/base/text.h"
#include "core/client/work.h"
#include "job.h"
#include "spawn.h"

#define RUN_KILL_MS 10000 /* from SIGTERM to SIGKILL */

struct worker_part;

struct run {
	pid_t pid; /* 0: there is none */
	uint32_t slot;
	struct worker_part *part; /* that its messages are of */
	struct jobs jobs;
	int out;    /* its stdout, to be read; -1: it is not */
	int err;    /* its stderr, likewise */
	int errors; /* --results: the file of its stderr; -1: none */
	bool keeps_output;
	struct text output;	 /* what has come from `out` */
	size_t output_most;	 /* more than that is too much */
	struct text errors_part; /* what has come from `err` and was not passed on */
	char last[TEXT_MAX + 1]; /* the last line of its stderr */
	char line[TEXT_MAX + 1]; /* … and the one that is not at its end */
	size_t line_len;
	struct mono_time began;
	struct wall_time began_wall;
	struct mono_time term_at; /* UINT64_MAX: never */
	struct mono_time kill_at; /* UINT64_MAX: not yet told to end */
	bool reaped;
	int status; /* as waitpid(2) gives it */
	bool lost, late, too_much;
};

struct run_files {
	bool keeps_output; /* its stdout is to be read */
	int out, err;	   /* --results: files for both, ours to close; -1: none */
};

/*
 * Starts it, with `input` as its descriptor 0; the descriptors of `s` are set here.  0, or errno.
 * All but the process is as before then.
 */
int run_start(struct run *r, struct spawn *s, int input, const struct run_files *files)
    __attribute__((warn_unused_result));

/* Entries for poll(2), at most RUN_POLLS; how many. */
#define RUN_POLLS 2
size_t run_poll(const struct run *r, struct pollfd *p, bool read_errors);

/*
 * Reads what is in its pipes, without waiting; what comes from stderr is appended to `errors`.
 * NULL: that stays where it is.
 */
void run_read(struct run *r, struct text *errors);

/* Sends SIGTERM, and SIGKILL RUN_KILL_MS later, to its process group. */
void run_terminate(struct run *r, struct mono_time now);
/* Does what is due; until when it wants to be called again. */
struct mono_time run_tick(struct run *r, struct mono_time now);

/* It was waited for: reads the rest and closes its descriptors. */
void run_reaped(struct run *r, int status, struct text *errors);

/* The last line of its stderr that is not empty; "": there is none. */
const char *run_reason(const struct run *r);

/* Frees all; the process is left alone. */
void run_deinit(struct run *r);

#endif
