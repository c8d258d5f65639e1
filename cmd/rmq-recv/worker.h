/*
 * Runs COMMAND for the messages of a queue, and settles each by what its run came to.  What is
 * decided is in core/client/work.h; here is what happens.
 *
 * Phases: RUNNING takes messages; ENDING starts no run any more, and waits for those that
 * there are; DEAD ends them, for the session cannot go on.  Nothing goes back to an earlier phase.
 */
#ifndef RMQ_RECV_WORKER_H
#define RMQ_RECV_WORKER_H

#include "core/client/work.h"
#include "environment.h"
#include "payload.h"
#include "receiver.h"
#include "results.h"
#include "run.h"
#include "sys/stream/printer.h"

enum worker_phase { WORKER_RUNNING, WORKER_ENDING, WORKER_DEAD };

/* One connection: there are several as in a receiver (receiver.h).  The messages of a run are of one part. */
struct worker_part {
	struct worker *w;
	uint32_t index;
	struct client_io io;
	struct source source;
	uint32_t sub;
	enum supply supply;
	bool said_held_back;
	bool dead; /* its session cannot go on */
	struct jobs waiting;
	struct settling settle, release, fail, bury;
	uint32_t lease_ms;
	bool listing; /* the queue's settings are asked for */
	uint64_t backoff_min_ms, backoff_max_ms;
	uint32_t max_attempts;
};

struct worker {
	const struct recv_options *o;
	struct worker_part *parts;
	uint32_t count;
	uint32_t first; /* part that the next run is for, if it can be */
	struct mono_time heard;
	enum worker_phase phase;
	struct work work;
	struct payload_form form;
	struct environment environment;
	struct spawn spawn;
	struct text path; /* of COMMAND */
	struct rlimit nofile;
	struct run *runs; /* by slot */
	struct pollfd *polls;
	struct text input;
	struct envelope_cursors cursors;
	struct results results;
	struct printer errors; /* stderr of the runs, on its way to ours */
	struct output out;     /* our stdout, of which only the end is of interest */
	int children;	       /* readable when one has ended */
	uint64_t taken;
	uint64_t bad; /* messages that could not be passed */
	bool drained;
	struct mono_time parting_at; /* since then only the daemon is waited for; 0: not yet */
	bool unread;		     /* our stdout has no reader any more */

	enum rmq_error code;
	char why[512];
	const char *about; /* what it says is of, NULL: the queue */
	bool signalled;
	int signal; /* to die by */
};

/* RMQ_E_OK, or *why says what is wrong; *status is then the exit status. */
enum rmq_error worker_open(struct worker *w, const struct recv_options *o, int *status,
    struct reason *why) __attribute__((warn_unused_result));
void worker_run(struct worker *w);
/* Says why it failed.  The exit status; it may die by a signal instead. */
int worker_finish(struct worker *w);
void worker_close(struct worker *w);

/* Its queue's settings are those that verdicts go by from now on. */
void worker_turns_to(struct worker_part *p);
/* A number that no other message has, whatever its part is. */
uint64_t worker_number(const struct worker_part *p, uint64_t seq);

/* By a signal, by who reads its output, or since it stops or fails: not as it has done all. */
bool worker_is_told_to_end(const struct worker *w);

/* It ends with this error, if it has none yet. */
void worker_end_with(struct worker *w, enum rmq_error code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with a text of the daemon, about that queue unless it ends with the name of the other one. */
void worker_end_about(
    struct worker *w, enum rmq_error code, struct slice text, const char *about);
void worker_end_memory(struct worker *w);

#endif
