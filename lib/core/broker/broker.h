/*
 * The queue core: all queue semantics as a pure function.  It knows no clock,
 * descriptor, thread, global or random number.  It is given commands (frames of the
 * clients' protocol) with the times in them and gives back records to journal and,
 * once they are durable, effects: frames and deliveries.
 *
 * Invariants:
 *  - Commands change the state at once; every effect waits until the newest record
 *    made before it is stored, or, when none is pending, for a BARRIER.
 *  - State changes only by applying events; recovery applies the same events with the
 *    same function.  Validation happens before an event is made; apply cannot fail on
 *    an event that this code made, and refuses (RMQ_E_CORRUPT) any other.
 *  - There is no roll-back: when the journal fails the process ends.
 *
 * A turn: broker_now(), any number of inputs (each after a broker_now() of its own if time
 * has gone on), broker_flush().  Host callbacks are made
 * from within these calls and must not call back into the broker, but for
 * broker_read_fn.  Not for use by several threads.
 */
#ifndef RMQ_CORE_BROKER_BROKER_H
#define RMQ_CORE_BROKER_BROKER_H

#include "core/base/error.h"
#include "core/base/limits.h"
#include "core/base/time.h"
#include "core/broker/delivery.h"
#include "core/queue/owner.h"
#include "core/wire/event.h"
#include "core/wire/frame.h"
#include "core/wire/record.h"

struct broker;

struct broker_host {
	void *arg;
	/* Append this payload (borrowed) as number n; n rises by 1 from 1. */
	void (*append)(void *arg, uint64_t n, enum record_kind kind, struct slice payload);
	/* Ask the journal for a barrier. */
	void (*barrier)(void *arg, uint64_t id);
	/* These records (hole_range, borrowed) died; the END at index `checkpoint` is stored. */
	void (*hole)(void *arg, uint64_t checkpoint, struct slice ranges);
	/*
	 * Keep back so many bytes from now on for what is no new message; a barrier that is asked
	 * for next, and a ROOM after its answer, say that this is so.
	 */
	void (*reserve)(void *arg, uint64_t bytes);
	/* Send whole frames (borrowed) to the connection; false: it is gone. */
	void (*send)(void *arg, uint64_t conn, struct slice frames);
	/* broker_next_delivery() has something for this connection. */
	void (*deliverable)(void *arg, uint64_t conn);
	/* End the connection when all that it was sent has left. */
	void (*close)(void *arg, uint64_t conn);
};

/*
 * Reads record `index` (payload borrowed until the next call).  RMQ_E_NOTHING: there is a
 * hole.  With `next`, the first record at or after `index`, *found is its index, also if it
 * cannot be read.
 */
struct broker_log {
	void *arg;
	enum rmq_error (*read)(void *arg, uint64_t index, enum record_kind *kind, struct slice *payload);
	enum rmq_error (*next)(void *arg, uint64_t index, uint64_t *found, enum record_kind *kind,
	    struct slice *payload);
};

/* NULL when out of memory.  `host` is copied. */
struct broker *broker_new(const struct broker_host *host);
void broker_free(struct broker *b);
/* Other limits than those of limits.h; before anything else. */
void broker_set_space(struct broker *b, const struct space_limits *limits);

/*
 * From now on a queue is made by QUEUE_CREATE only, not by a SEND or SUBSCRIBE; a dead-letter
 * queue still comes with its first message.
 */
void broker_create_explicitly(struct broker *b);

/*
 * Rebuilds the state from the newest checkpoint (0: none) and every record after it
 * up to `last`.  Once, before anything else.  RMQ_E_CORRUPT, RMQ_E_VERSION: what is
 * read cannot be what was written; *at names the record.
 */
enum rmq_error broker_recover(struct broker *b, const struct broker_log *log,
    uint64_t checkpoint, uint64_t last, uint64_t *at) __attribute__((warn_unused_result));

/*
 * The same around records that cannot be read: `next` gives RMQ_E_CORRUPT for them.  What was in
 * them is gone, and is missing only as far as they explain it: later events that refer to it are
 * applied to what is there.  So a message whose settlement is gone is handed out again, and one
 * whose lease is gone to somebody else; messages that were sent there are counted as lost, a
 * queue that was made there is called "lost-NUMBER".  No session goes on, and no number of a
 * lease is used again that was given out before `wall`.
 * RMQ_E_CORRUPT also if such a record is, or may be, of the checkpoint itself.
 * broker_gaps() tells whether there was one with events in it, and calls `each` for every run of
 * messages that was sent there.  Then a checkpoint is wanted: nothing may be given to clients
 * before it is stored.
 */
enum rmq_error broker_recover_around(struct broker *b, const struct broker_log *log,
    uint64_t checkpoint, uint64_t last, struct wall_time wall, uint64_t *at)
    __attribute__((warn_unused_result));
/* index: of the record, or of a newer one that could not be read either. */
typedef void broker_gap_fn(
    void *arg, uint64_t index, struct slice queue, uint64_t first, uint64_t last);
bool broker_gaps(const struct broker *b, broker_gap_fn *each, void *arg);

/* The newest event's lease time: lease time goes on from here. */
struct lease_time broker_lease_time(const struct broker *b);

/*
 * Begins service.  The ids of its sessions begin with a number that no daemon before used, not below
 * `term`: what the journal says, which may be the same as before.  secret: random bytes; tokens of
 * sessions are made of the first that a journal was begun with.
 */
void broker_start(
    struct broker *b, uint64_t term, const uint8_t secret[SESSION_SECRET_SIZE]);

/*
 * The time at which all that follows happens: at the begin of a turn, and whenever more
 * input was read, after its bytes were read.  Lease time never goes back.
 */
void broker_now(struct broker *b, struct lease_time lease, struct wall_time wall);
/*
 * All that clients had sent by `then` was given: leases that were over by then may end.
 * Nothing else lets them end, so that no holder that kept its word loses what it holds to
 * a turn that was long, or to input that was put off.
 */
void broker_heard(struct broker *b, struct lease_time then);
/* Leases, or what is like them, are over and wait for broker_heard(); then a turn is due. */
bool broker_listens(const struct broker *b);
/* Ends a turn: expires, hands out, checkpoints, and gives records to the host. */
void broker_flush(struct broker *b);
/* Milliseconds from the turn's time until a turn is due without input; UINT64_MAX: none. */
uint64_t broker_due_ms(const struct broker *b);

/* A connection begins and ends.  Ids are the host's and not used again. */
void broker_connect(struct broker *b, uint64_t conn);
/*
 * Who is at the other end, before HELLO: a user of a node (owner.h); OWNER_UNKNOWN and "" if nobody says.
 * Nobody else goes on with a session of theirs.  When there are too many sessions, whoever has most
 * idle ones loses the one that has been so longest.
 */
void broker_owner(struct broker *b, uint64_t conn, struct slice node, uint32_t uid);
/* Connections of this one's owner; itself is one of them. */
uint32_t broker_owner_connections(struct broker *b, uint64_t conn);
bool broker_same_owner(struct broker *b, uint64_t conn, uint64_t other);
void broker_disconnect(struct broker *b, uint64_t conn);
/* The session that the connection is for, 0 before HELLO. */
uint64_t broker_session(const struct broker *b, uint64_t conn);
/* The process that alone held this session is proven dead: its attached leases end now. */
void broker_holder_died(struct broker *b, uint64_t session);

/* A frame from the connection; a bad one closes it (through the host). */
void broker_frame(struct broker *b, uint64_t conn, const struct frame *frame);

/*
 * Whether more frames of this connection are wanted now.  Not while it leaves much of what
 * it is owed, nor when this turn's frames have cost their share of work: give the rest when
 * it is true again, the latter in the next turn.
 */
bool broker_wants_frame(struct broker *b, uint64_t conn);
/* Bytes of frames for the connection that have not left the broker. */
size_t broker_owed(struct broker *b, uint64_t conn);
/*
 * Steps of work so far: ranges, rows, batches that were looked at for frames.  One frame
 * costs a bounded number, and one for each range that its own session holds.
 */
uint64_t broker_work(const struct broker *b);
/* Whether this turn's share of it is used up. */
bool broker_turn_spent(const struct broker *b);

/* Answers of the journal. */
void broker_stored(struct broker *b, uint64_t first_n, uint32_t count, uint64_t first_index);
void broker_barrier_done(struct broker *b, uint64_t id);

/*
 * Asks the journal for a barrier, so that it has something to answer; false: it has already, to
 * one that it was asked for before.
 */
bool broker_probe(struct broker *b);
/* So many bytes may hold new messages, counted from behind APPEND n on. */
void broker_room(struct broker *b, uint64_t n, uint64_t bytes);
/* What is left of them. */
uint64_t broker_room_left(const struct broker *b);
/* So many the first of those wants who find no room in the journal; 0: nobody. */
uint64_t broker_starved(const struct broker *b);

/*
 * The next thing to be read from the journal and written to the connection, false if
 * there is none.  It is taken by this call; the strings in it are valid until the next
 * call into the broker.  See delivery.h for making frames of it.
 */
bool broker_next_delivery(struct broker *b, uint64_t conn, struct delivery *d);
/* What was taken had so many bytes, with attributes: they come off its receiver's credit. */
void broker_delivered(struct broker *b, uint64_t conn, const struct delivery *d, uint64_t bytes);

/*
 * Space: a record whose live messages should move (sparse or small ones), false if
 * none.  The host reads it and gives its payload, in the same turn.
 */
bool broker_wants_record(struct broker *b, uint64_t *index);
enum rmq_error broker_move(struct broker *b, uint64_t index, struct slice payload)
    __attribute__((warn_unused_result));

/*
 * What was taken by the last broker_next_delivery() is not written, not a byte of it: its
 * receiver gets its credit back.
 */
void broker_undelivered(struct broker *b, uint64_t conn, const struct delivery *d);

/*
 * Record `index`, which the broker named, cannot be read and never will be: all live messages
 * that have their bodies, or a part of them, in it leave their queues, and who holds some is
 * told that they are gone.  Calls `each` for every run of them: `messages` of [first, last]
 * were live.  Gives how many it were in all.  A turn has to follow.
 */
typedef void broker_lost_fn(
    void *arg, struct slice queue, uint64_t first, uint64_t last, uint64_t messages);
uint64_t broker_lost(struct broker *b, uint64_t index, broker_lost_fn *each, void *arg);

/* The first record at `from` or after it that holds bodies of live messages; false: none. */
bool broker_holds_bodies(const struct broker *b, uint64_t from, uint64_t *index);

/* Asks for a checkpoint now; done when broker_checkpointing() is false again. */
void broker_checkpoint(struct broker *b);
bool broker_checkpointing(const struct broker *b);
/* While true, give no frames of clients: a checkpoint waits for records in flight. */
bool broker_holds(const struct broker *b);
/* Bytes of records that are not stored yet: the host stops reading when it is much. */
uint64_t broker_inflight_bytes(const struct broker *b);
/* Whether any record, barrier or effect is outstanding. */
bool broker_pending(const struct broker *b);

/*
 * A digest of the whole durable state (queues, messages, leases, sessions), equal for
 * equal states: a replay of the same records gives the same.  For tests.
 */
uint64_t broker_digest(const struct broker *b);

#endif
