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

struct worker {
	const struct recv_options *o;
	struct client_io io;
	uint32_t sub;
	enum supply supply;
	struct mono_time heard;
	bool said_held_back;
	enum worker_phase phase;
	struct work work;
	struct payload_form form;
	struct environment environment;
	struct spawn spawn;
	struct text path; /* of COMMAND */
	struct rlimit nofile;
	struct jobs waiting;
	struct run *runs; /* by slot */
	struct pollfd *polls;
	struct text input;
	struct envelope_cursors cursors;
	struct settling settle, release, fail, bury;
	struct results results;
	struct printer errors; /* stderr of the runs, on its way to ours */
	struct output out;     /* our stdout, of which only the end is of interest */
	int children;	       /* readable when one has ended */
	uint32_t lease_ms;
	uint64_t taken;
	uint64_t bad; /* messages that could not be passed */
	bool drained;
	struct source source;
	struct mono_time parting_at; /* since then only the daemon is waited for; 0: not yet */
	bool listing;		     /* the queue's settings are asked for */
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

/* The queue that its messages come from. */
struct slice worker_queue(const struct worker *w);

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
