/*
 * Takes messages from a queue, prints them and settles them.
 *
 * Phases: RUNNING takes messages; ENDING takes none any more and prints and settles what
 * is in hand; STOPPING prints nothing any more, but for the rest of a message that is
 * printed in part, and waits a little for the reader; RELEASING gives the rest back.
 * PARTING ends the session, if need be on a new connection.  DEAD does nothing any more: the
 * session cannot go on, or memory is short.  Nothing goes back to an earlier phase.
 */
#ifndef RMQ_RECV_RECEIVER_H
#define RMQ_RECV_RECEIVER_H

#include "core/client/envelope.h"
#include "segment.h"
#include "settling.h"
#include "supply.h"
#include "sys/client/client_io.h"
#include "sys/client/client_options.h"
#include "sys/stream/output.h"
#include "work_options.h"

enum ack { ACK_DEFAULT, ACK_READ, ACK_WRITE, ACK_SYNC, ACK_NONE, ACK_MANUAL };
enum format { FORMAT_LINES, FORMAT_JSON, FORMAT_FIELDS, FORMAT_RAW, FORMAT_INTO };

/* See source.h. */
struct source {
	struct slice
	    queue; /* its name; of an ephemeral one its pattern, until it is subscribed to */
	char own[NAME_FULL_MAX];
};

struct recv_options {
	const char *queue;   /* or, of an ephemeral subscription, its pattern */
	const char *as;	     /* --as, NULL: not given */
	const char *pattern; /* that the queue is to be bound to; NULL: none */
	bool ephemeral;
	struct client_options common;
	struct supply_end end;
	uint32_t lease_ms; /* 0: the queue's */
	uint32_t prefetch; /* 0: adaptive */
	bool prefetch_none;
	bool no_create;
	bool skip_bad;
	enum ack ack;
	enum format format;
	struct envelope_fields fields;
	const char *into; /* FORMAT_INTO: the directory, … */
	int into_fd;	  /* … open */
	char separator;
	bool separator_given;
	struct work_options work;
};

enum phase { RUNNING, ENDING, STOPPING, RELEASING, PARTING, DEAD };

enum flow { FLOW_READY, FLOW_BLOCKED, FLOW_UNREAD /* the reader of the pipe is gone */ };

enum synced { SYNCED, UNSYNCED, SYNC_FAILED };

struct receiver {
	const struct recv_options *o;
	struct source source;
	struct client_io io;
	struct output out;
	struct segments in_hand;
	struct text formatted;
	struct envelope_cursors cursors; /* of what is formatted */
	struct settling settle, release, fail, bury, touch;
	struct settling *ahead; /* must be durable before the print; NULL: nothing */
	uint32_t sub;
	enum supply supply;
	struct mono_time heard; /* of a message, or of the subscription */
	bool said_held_back;
	enum phase phase;
	struct mono_time phase_at; /* it began then */
	uint32_t lease_ms;

	uint64_t taken; /* messages that are or were in hand to be printed */
	uint64_t bad;
	uint64_t batch; /* number of the command that is put together in `ahead` */
	uint64_t batches_done;
	uint32_t prefetch;
	uint64_t kept_up; /* messages printed (ACK_READ: taken) since it was last changed */
	enum flow flow;
	struct mono_time blocked_since;
	enum synced synced;

	uint64_t consumed; /* bytes, if the reader of a pipe is watched */
	struct mono_time consumed_at;
	uint32_t read_poll_ms;
	struct mono_time touched_at; /* ACK_MANUAL: what the reader has not taken, last */
	bool told_late;		     /* … that leases end before they are settled */

	enum rmq_error code;
	char why[512];
	bool signalled;
	int signal; /* to die by */
};

enum rmq_error receiver_open(struct receiver *r, const struct recv_options *o,
    struct reason *why) __attribute__((warn_unused_result));
void receiver_run(struct receiver *r);
void receiver_close(struct receiver *r);

#endif
