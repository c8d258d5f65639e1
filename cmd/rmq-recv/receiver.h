/*
 * Takes messages from a queue, prints them and settles them.
 *
 * Phases: RUNNING takes messages; ENDING takes none any more and prints and settles what
 * is in hand; STOPPING prints nothing any more, but for the rest of a message that is
 * printed in part, and waits a little for the reader; RELEASING gives the rest back.
 * PARTING ends the sessions, if need be on new connections.  DEAD does nothing any more: no
 * session can go on, or memory is short.  Nothing goes back to an earlier phase.
 *
 * It has a connection for each of its parts: one, or with --spread, and for an ephemeral subscription,
 * one for each cell.  They share the output, where the bytes of a segment stay together, the
 * phase and the end; if the session of one cannot go on, that is the end of all.
 */
#ifndef RMQ_RECV_RECEIVER_H
#define RMQ_RECV_RECEIVER_H

#include "core/client/envelope.h"
#include "segment.h"
#include "settling.h"
#include "supply.h"
#include "sys/client/client_io.h"
#include "sys/client/client_options.h"
#include "sys/client/spread.h"
#include "sys/stream/output.h"
#include "work_options.h"

enum ack { ACK_DEFAULT, ACK_READ, ACK_WRITE, ACK_SYNC, ACK_NONE, ACK_MANUAL };
enum format { FORMAT_LINES, FORMAT_JSON, FORMAT_FIELDS, FORMAT_RAW, FORMAT_INTO };

/* See source.h. */
struct source {
	struct slice
	    queue; /* its name; of an ephemeral one its pattern, until it is subscribed to */
	const char *shown; /* the same for people: a pattern stays what it is */
	char own[NAME_FULL_MAX + 1];
};

struct recv_options {
	const char *queue;   /* or, of an ephemeral subscription, its pattern */
	const char *as;	     /* --as, NULL: not given */
	const char *pattern; /* that the queue is to be bound to; NULL: none */
	bool ephemeral;
	bool spread;	      /* `queue` has a part in each cell */
	struct spread *cells; /* of several parts; NULL: there is one */
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

/* One connection. */
struct receiver_part {
	struct receiver *r;
	struct client_io io;
	struct source source;
	struct segments in_hand;
	struct settling settle, release, fail, bury, touch;
	struct settling *ahead; /* must be durable before the print; NULL: nothing */
	uint32_t sub;
	enum supply supply;
	bool said_held_back;
	bool
	    dead; /* its session cannot go on: nothing of it is printed but the rest of a message */
	uint32_t lease_ms;
	uint64_t batch; /* number of the command that is put together in `ahead` */
	uint64_t batches_done;
	struct mono_time touched_at; /* ACK_MANUAL: what the reader has not taken, last */
};

struct receiver {
	const struct recv_options *o;
	struct receiver_part *parts;
	struct receiver_part only; /* if there is one */
	uint32_t count;
	uint32_t first;		     /* part that prints first */
	struct receiver_part *begun; /* its segment is printed to a part, or was lately */
	struct pollfd *polls;
	struct output out;
	struct text formatted;
	struct envelope_cursors cursors; /* of what is formatted */
	struct mono_time heard;		 /* of a message, or of a subscription */
	enum phase phase;
	struct mono_time phase_at; /* it began then */

	uint64_t taken; /* messages that are or were in hand to be printed */
	uint64_t bad;
	uint32_t prefetch; /* of each part */
	uint64_t kept_up;  /* messages printed (ACK_READ: taken) since it was last changed */
	enum flow flow;
	struct mono_time blocked_since;
	enum synced synced;

	uint64_t consumed; /* bytes, if the reader of a pipe is watched */
	struct mono_time consumed_at;
	uint32_t read_poll_ms;
	bool told_late; /* ACK_MANUAL: that leases end before they are settled */

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
