/*
 * The queue core: all queue semantics as a pure function.  It knows no clock,
 * descriptor, thread, global or random number.  It takes commands (frames of the
 * clients' protocol) and the time, and gives back records to journal and,
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
 * A turn: broker_now(), any number of inputs (each after its own broker_now() if time
 * has gone on), broker_flush().  Host callbacks are made
 * from within these calls and must not call back into the broker.
 * Not for use by several threads.
 */
#ifndef RMQ_CORE_BROKER_BROKER_H
#define RMQ_CORE_BROKER_BROKER_H

#include "core/base/cells.h"
#include "core/base/error.h"
#include "core/base/limits.h"
#include "core/base/time.h"
#include "core/broker/delivery.h"
#include "core/queue/owner.h"
#include "core/queue/rights.h"
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
	 * Keep this many bytes from now on for records that hold no new message; each ROOM after
	 * the answer to the next barrier takes this into account.
	 */
	void (*reserve)(void *arg, uint64_t bytes);
	/* Send whole frames (borrowed) to the connection; false: it is gone. */
	void (*send)(void *arg, uint64_t conn, struct slice frames);
	/* broker_next_delivery() has something for this connection. */
	void (*deliverable)(void *arg, uint64_t conn);
	/* End the connection when all bytes sent to it have left. */
	void (*close)(void *arg, uint64_t conn);
};

/*
 * Reads record `index` (payload borrowed until the next call).  RMQ_E_NOTHING: there is a
 * hole.  `next` reads the first record at or after `index`; *found is its index, even if it
 * cannot be read.
 */
struct broker_log {
	void *arg;
	enum rmq_error (*read)(
	    void *arg, uint64_t index, enum record_kind *kind, struct slice *payload);
	enum rmq_error (*next)(void *arg, uint64_t index, uint64_t *found,
	    enum record_kind *kind, struct slice *payload);
};

/* NULL when out of memory.  `host` is copied. */
struct broker *broker_new(const struct broker_host *host);
void broker_free(struct broker *b);
/* Sets other limits than those of limits.h; call it before anything else. */
void broker_set_space(struct broker *b, const struct space_limits *limits);

/*
 * From now on only QUEUE_CREATE makes a queue, and not a SEND or SUBSCRIBE; a dead-letter
 * queue is still made with its first message.
 */
void broker_create_explicitly(struct broker *b);

/*
 * The level of records that may be written from now on (level.h), the newest unless told; less than
 * LEVEL_FIRST stands for that.  What needs a higher one is refused.
 */
void broker_level(struct broker *b, uint64_t level);

/*
 * The cells that there are, and which of them this is: from now on clients that ask for a queue of another
 * one are led there.  Both stay the caller's, and as they are, until broker_free().  Without a call every
 * queue lives here that has not gone away.
 */
void broker_cells(struct broker *b, const struct cells *list, struct slice self);
/*
 * How many base names have queues here though they are at home elsewhere, and neither came nor went; *one
 * of them (borrowed until the next call).  They are served here; who begins at their home does not find them.
 */
uint32_t broker_strays(const struct broker *b, struct slice *one);

/*
 * How many queues NAME.away have something ready that nobody takes: no client was told of them that is still
 * there, as no forwarder runs, or it may not.  *one (borrowed until the next call) is the one that has waited for longest; NULL: it
 * is not asked for, and the answer costs nothing.
 */
uint64_t broker_untaken(struct broker *b, struct slice *one);
/* Whether a client waits to be told of them, as a forwarder does. */
bool broker_has_forwarder(const struct broker *b);

/* What clients are told of the process's sandbox from now on: as WELCOME_TAG_SANDBOX. */
void broker_tell_sandbox(struct broker *b, uint64_t achieved);

/*
 * Tells of each queue, by name: its messages, their bytes, and bytes of records that stay on the disk for
 * them.  It looks at all batches.
 */
void broker_use(struct broker *b,
    void (*tell)(
	void *arg, struct slice queue, uint64_t messages, uint64_t bytes, uint64_t disk),
    void *arg);

/*
 * Rebuilds the state from the newest checkpoint (0: none) and every record after it
 * up to `last`.  Once, before anything else.  RMQ_E_CORRUPT, RMQ_E_VERSION: the record *at
 * is not one that this code can have written, or know.
 */
enum rmq_error broker_recover(struct broker *b, const struct broker_log *log,
    uint64_t checkpoint, uint64_t last, uint64_t *at) __attribute__((warn_unused_result));

/*
 * The same around records that cannot be read: `next` gives RMQ_E_CORRUPT for them.  Their events
 * are gone: later events that refer to them are applied to the state as it is without them.
 * So a message whose settlement is gone is handed out again, and one whose lease is gone may go to
 * another receiver; messages that were sent in such a record are counted as lost, a
 * queue that it made is called "lost-NUMBER".  No session goes on, and no lease number
 * that was given out before `wall` is used again.
 * RMQ_E_CORRUPT also if such a record is, or may be, part of the checkpoint itself.
 * broker_gaps() says whether such a record had events in it, and calls `each` for every run of
 * messages that was sent there.  Then a checkpoint is needed: nothing may be given to clients
 * before it is stored.
 */
enum rmq_error broker_recover_around(struct broker *b, const struct broker_log *log,
    uint64_t checkpoint, uint64_t last, struct wall_time wall, uint64_t *at)
    __attribute__((warn_unused_result));
/* index: of the record, or of a newer one that cannot be read either. */
typedef void broker_gap_fn(
    void *arg, uint64_t index, struct slice queue, uint64_t first, uint64_t last);
bool broker_gaps(const struct broker *b, broker_gap_fn *each, void *arg);

/* The newest event's lease time: lease time goes on from here. */
struct lease_time broker_lease_time(const struct broker *b);

/*
 * Begins service.  The ids of its sessions begin with a number that no earlier daemon used, and that is
 * not below `term`, the journal's, which may be the same as before.  secret: random bytes; the tokens of
 * sessions are made from the first secret that the journal was given.
 */
void broker_start(struct broker *b, uint64_t term, const uint8_t secret[SESSION_SECRET_SIZE]);

/*
 * The time of all following calls: at the beginning of a turn, and whenever more
 * input was read, after its bytes were read.  Lease time never goes back.
 */
void broker_now(struct broker *b, struct lease_time lease, struct wall_time wall);
/*
 * All input that clients had sent by `then` was given: leases that were over by then may end.
 * Nothing else lets them end, so that no holder that extended its leases in time loses them
 * because a turn was long, or input was put off.
 */
void broker_heard(struct broker *b, struct lease_time then);
/* Leases, or similar deadlines, are over and wait for broker_heard(); then a turn is due. */
bool broker_listens(const struct broker *b);
/* Ends a turn: expires, hands out, checkpoints, and gives records to the host. */
void broker_flush(struct broker *b);
/* Milliseconds from the turn's time until a turn is due without input; UINT64_MAX: none. */
uint64_t broker_due_ms(const struct broker *b);

/* A connection begins and ends.  The host chooses ids, and never uses one again. */
void broker_connect(struct broker *b, uint64_t conn);
/*
 * The owner at the other end, before HELLO: a user of a node (owner.h); OWNER_UNKNOWN and "" if not known.
 * No other owner can go on with its sessions.  When there are too many sessions, the owner with most
 * idle ones loses the one that has been idle longest.
 */
void broker_owner(struct broker *b, uint64_t conn, struct slice node, uint32_t uid);
/*
 * What it may do, in front of HELLO, too: a list (core/queue/rights.h) that is valid, and copied.  What it does
 * not grant is denied with the same answer whether such a queue exists or not.  Without a call, all.
 */
void broker_rights(struct broker *b, uint64_t conn, struct slice list);
/* The number of connections of this one's owner, itself included. */
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
 * Whether more frames of this connection are wanted now.  Not while it leaves many answers
 * unread, nor when this turn's frames have cost their share of work: give the rest when
 * it is true again, in the second case in the next turn.
 */
bool broker_wants_frame(struct broker *b, uint64_t conn);
/* Bytes of frames for the connection that have not left the broker. */
size_t broker_owed(struct broker *b, uint64_t conn);
/*
 * Steps of work so far: ranges, rows and batches that were looked at for frames.  One frame
 * costs a bounded number of steps, and one for each range that its own session holds.
 */
uint64_t broker_work(const struct broker *b);
/* Whether this turn's share of it is used up. */
bool broker_turn_spent(const struct broker *b);

/* Answers of the journal. */
void broker_stored(struct broker *b, uint64_t first_n, uint32_t count, uint64_t first_index);
void broker_barrier_done(struct broker *b, uint64_t id);

/*
 * Asks the journal for a barrier, so that it has something to answer; false: an earlier barrier
 * is still unanswered.
 */
bool broker_probe(struct broker *b);
/* This many bytes may hold new messages, counted from after APPEND n. */
void broker_room(struct broker *b, uint64_t n, uint64_t bytes);
/*
 * Whether another member of the cluster waits for holes: a checkpoint is due as soon as it frees twice
 * what it writes.
 */
void broker_holes_wanted(struct broker *b, bool wanted);
/* How many of them are left. */
uint64_t broker_room_left(const struct broker *b);
/* How many bytes the first client needs that finds no room in the journal; 0: none waits. */
uint64_t broker_starved(const struct broker *b);

/*
 * The next thing to be read from the journal and written to the connection, false if
 * there is none.  It is taken by this call; the strings in it are valid until the next
 * call into the broker.  See delivery.h for making frames of it.
 */
bool broker_next_delivery(struct broker *b, uint64_t conn, struct delivery *d);
/*
 * For a delivery that is none but d->history: reads some of the log for what happened to a message,
 * and sends that.  How many bytes were read.
 */
size_t broker_history(struct broker *b, uint64_t conn, const struct broker_log *log);
/* The delivery taken had this many bytes, with attributes: its receiver's credit is charged. */
void broker_delivered(
    struct broker *b, uint64_t conn, const struct delivery *d, uint64_t bytes);

/*
 * Space: a record whose live messages should move (sparse or small ones), false if
 * none.  The host reads it and gives its payload, in the same turn.
 */
bool broker_wants_record(struct broker *b, uint64_t *index);
enum rmq_error broker_move(struct broker *b, uint64_t index, struct slice payload)
    __attribute__((warn_unused_result));

/*
 * No byte of the delivery taken by the last broker_next_delivery() was written: its
 * receiver gets its credit back.
 */
void broker_undelivered(struct broker *b, uint64_t conn, const struct delivery *d);

/*
 * Record `index`, which the broker named, cannot be read and never will be: all live messages
 * that have their bodies, or a part of them, in it leave their queues, and their holders are
 * told that they are gone.  Calls `each` for every run of them: `messages` of [first, last]
 * were live.  Returns how many there were in all.  A turn must follow.
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
/* Bytes of records that are not stored yet: the host stops reading when they are many. */
uint64_t broker_inflight_bytes(const struct broker *b);
/* Whether any record, barrier or effect is outstanding. */
bool broker_pending(const struct broker *b);

/* Ids that are remembered, in all queues. */
uint32_t broker_ids(const struct broker *b);
/*
 * A digest of the whole durable state (queues, messages, leases, sessions), equal for
 * equal states: a replay of the same records gives the same.  For tests.
 */
uint64_t broker_digest(const struct broker *b);

#endif
