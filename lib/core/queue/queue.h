/*
 * One queue's state: where its messages are, and which session holds them.
 *
 * Batches say where: a batch is a run of consecutive messages in one journal record (or one
 * large message in several).  Settled messages shorten a batch, or, in its middle, clear bits
 * of a bitmap.
 *
 * Ranges say who: each live message is in exactly one range, and all live messages of a range
 * are in the same state and, but in mixed ranges, have the same priority.  Ranges may span settled messages, so that an untouched
 * backlog is one range, whatever was settled in it.  A leased range spans at most
 * LEASE_SPAN_MAX, as the entries of settlements do.
 *
 * So memory is bounded by batches + leased + delayed ranges, never by bytes.
 */
#ifndef RMQ_CORE_QUEUE_QUEUE_H
#define RMQ_CORE_QUEUE_QUEUE_H

#include <sys/queue.h>
#include <sys/tree.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/limits.h"
#include "core/base/time.h"
#include "core/queue/bindings.h"
#include "core/queue/by_key.h"
#include "core/queue/expiry.h"
#include "core/queue/keys.h"
#include "core/queue/lanes.h"
#include "core/queue/ids.h"
#include "core/queue/ledger.h"
#include "core/queue/mixed.h"
#include "core/queue/policy.h"
#include "core/queue/positions.h"
#include "core/wire/event.h"
#include "core/wire/wire.h"

struct conn;
struct owner;
struct session;
struct subscription;

/* Where piece after piece of a large message is. */
struct large {
	uint64_t time_ms; /* when it was sent, once it is whole */
	uint32_t bytes;	  /* of its body, then */
	uint32_t weight;  /* … and its attributes */
	uint32_t parts;
	struct {
		struct record *record;
		uint16_t offset;
	} part[];
};

/*
 * Of dead letters: the queue that they were in, and why they left it; of what is back from a dead-letter
 * queue: no name, and a reason that says so.  Batches share it.
 */
struct origin {
	uint32_t batches;  /* that have it */
	uint32_t redrives; /* so often they were given back from a dead-letter queue */
	char *reason; /* after the queue's name; if that is empty, all that is said of each */
	char queue[];
};

/* Where dead letters came from. */
struct came {
	struct origin *origin;
	uint64_t
	    further; /* message `seq` of the batch was seq + further there; 0: no name of it */
};

/* A batch's slots fit into a u16. */
#define BATCH_COUNT_MAX 60000
/* What a record holds is less. */
#define BATCH_BYTES_MAX ((1u << 19) - 1)

/* There is one for each 64 KiB of a backlog, and for each run of dead letters: kept small. */
struct batch {
	RB_ENTRY(batch) by_seq;
	LIST_ENTRY(batch) in_record; /* unless it is large */
	union {
		struct record *record;
		struct large *large; /* owned */
	};
	uint64_t *bits; /* owned; which messages are live; NULL: all */
	uint64_t first;
	uint32_t queue;	      /* its number */
	uint32_t bytes : 19;  /* of all count messages, with their attributes; large: there */
	uint32_t shares : 11; /* so many queues had its messages when they were put there */
	uint32_t is_large : 1;
	uint32_t is_dead : 1; /* dead letters: there is `came` */
	uint16_t count;	      /* BATCH_COUNT_MAX at most */
	uint16_t live;
	uint16_t offset;
	uint16_t slot;
	struct came came[];
};

static_assert(RECORD_PAYLOAD_MAX <= BATCH_BYTES_MAX, "a batch's size fits");
static_assert(SHARES_MAX < 1 << 11, "the number of queues that share a batch fits");
static_assert(
    sizeof(struct batch) <= 88, "a backlog of 100 million messages is 160,000 batches");

/* NULL: these are no dead letters. */
static inline const struct origin *batch_origin(const struct batch *b)
{
	return b->is_dead ? b->came->origin : NULL;
}

/* The number that its message `seq` had where it came from. */
static inline uint64_t batch_origin_seq(const struct batch *b, uint64_t seq)
{
	return b->is_dead ? seq + b->came->further : 0;
}

struct range {
	RB_ENTRY(range) by_seq;
	RB_ENTRY(range) by_state; /* ready: in queue.ready; leased, delayed: in timers */
	RB_ENTRY(range) held;	  /* leased: among what its session holds */
	struct queue *queue;
	struct session *session; /* leased: the holder, NULL once it is closed */
	uint64_t first;
	uint64_t span;
	uint64_t live;
	uint64_t lease;
	uint64_t until_ms; /* leased, delayed: lease time, or if by_wall wall clock */
	union {
		/* leased: those from here on have not reached the reader; in memory only */
		uint64_t unstarted;
		uint8_t *mix; /* others: of each message its priority (mixed.h); or NULL */
	};
	uint32_t lease_ms;
	uint32_t attempt;
	uint32_t failures;
	uint8_t state; /* STATE_* */
	uint8_t priority;
	bool detached : 1; /* leased: not extended with its session */
	bool by_wall : 1;  /* delayed since they were sent */
	bool waits : 1;	   /* ready: for older messages of their keys; or */
	bool aside : 1;	   /* for its receiver (by_key.h), in this group */
	uint16_t group : 12;
};

/* Whether its messages are of several priorities. */
static inline bool range_is_mixed(const struct range *r)
{
	return r->state != STATE_LEASED && r->mix;
}

static_assert(sizeof(struct range) <= 176, "leases and delays are kept small");

RB_HEAD(batch_tree, batch);
RB_HEAD(range_tree, range);
RB_HEAD(ready_tree, range);
RB_HEAD(timer_tree, range);
RB_HEAD(holding_tree, range);

/* Leased and delayed ranges of all queues, by the time at which something is due. */
struct timers {
	struct timer_tree leases;
	struct timer_tree delays;
	struct timer_tree walls; /* delays that end by the wall clock */
	struct expiry_timers expiries;
};

/* A large message of which not all pieces have come. */
struct pending {
	RB_ENTRY(pending) by_session;
	TAILQ_ENTRY(pending) by_age;
	TAILQ_ENTRY(pending) of_queue;
	struct queue *queue;
	uint64_t session;
	uint64_t n;
	uint64_t newest_ms; /* lease time at which its newest piece came */
	uint32_t bytes;	    /* of its body */
	uint32_t weight;    /* … and its attributes: what it counts for in its queue */
	uint16_t shares;    /* so many queues it is for; it is one of these in each of them */
	struct lane lane;   /* as it was asked for */
	struct large *large;
};
RB_HEAD(pending_tree, pending);
TAILQ_HEAD(pending_list, pending);

struct queue_counts {
	uint64_t sent;
	uint64_t delivered;
	uint64_t settled;
	uint64_t failed;
	uint64_t dead;
	uint64_t lost;			/* their bodies could not be read */
	uint64_t ids_early;		/* ids that were forgotten before their time */
	uint64_t dropped[DROPPED_WHYS]; /* by why, see event.h */
};

/* Why a queue is not known by its name (broker_cells.c). */
enum queue_hidden { QUEUE_ARRIVES = 1, QUEUE_LEFT = 2 };

struct queue {
	RB_ENTRY(queue) by_name; /* that arrives: by name and token */
	RB_ENTRY(queue) by_id;
	TAILQ_ENTRY(queue) of_group;
	TAILQ_ENTRY(queue) busy;  /* something may be handed out */
	TAILQ_ENTRY(queue) roomy; /* it lost messages, and somebody waits for that */
	bool is_busy;
	bool is_roomy;
	bool idle_due;	     /* it became empty: tell its receivers */
	bool is_dead;	     /* a dead-letter queue: counts no attempts */
	bool is_away;	     /* what is for a queue of another cell */
	bool is_bound_to_go; /* … bound to nothing but what that is, which may go now */
	struct away *away;   /* it waits for somebody to take it (broker_away.c); NULL: not */
	bool ends;	     /* it is being removed, in several turns: it takes no messages */
	bool is_held;	     /* it moves to another cell: nothing is handed out, or taken out */
	bool is_frozen;	     /* … and nothing comes */
	uint8_t hidden;	     /* enum queue_hidden; 0: it is not */
	uint32_t id;
	uint32_t in_checkpoint; /* number of the newest one that has it as a whole */
	uint32_t receivers;
	struct owner *maker;
	uint64_t ephemeral; /* the session that it ends with; 0: none */
	bool is_of_session; /* it is in that one's list */
	TAILQ_ENTRY(queue) of_session;
	struct binding_tree bindings;
	uint32_t bindings_count;
	uint64_t matched; /* the newest match that found it, see bindings.c */
	struct timers *timers;
	struct ledger *ledger;
	struct batch_tree batches;
	struct batch *newest; /* the one that was added last, while it is as added */
	uint64_t newest_set; /* the queues that share what `newest` ends with; 0: it is alone */
	struct range_tree ranges;
	struct expiry_tree expiries;
	struct keys *keys; /* NULL: no message has one */
	struct by_key by_key;
	struct range *recent_range; /* looked up last, or NULL */
	struct batch *recent_batch;
	struct ready_tree ready;
	TAILQ_HEAD(, subscription) hungry; /* with credit left */
	uint32_t hungry_count;
	uint32_t idle_wanted; /* subscriptions that are told when nothing is ready */
	TAILQ_HEAD(, subscription) subs;
	TAILQ_HEAD(waiting_list, conn) waiting; /* for room in it, in order */
	uint64_t next_seq;
	uint64_t newest_n; /* number of the newest APPEND that holds bodies of its messages */
	uint64_t live[5];  /* messages by STATE_* */
	uint64_t bytes;	   /* of live messages, about */
	uint64_t unfinished_bytes; /* of large messages that have not come as a whole */
	struct pending_list unfinished;
	struct positions positions;
	struct ids ids;
	RB_ENTRY(queue) by_ids;
	uint64_t
	    ids_seed; /* of their hashes, in a queue that came from another cell; 0: the journal's */
	uint64_t ids_due_ms; /* lease time at which some may be too old; 0: it has none */
	struct queue_settings settings;
	struct queue_counts counts;
	uint64_t rate_full;	     /* of the rate's bucket (policy.h) */
	RB_ENTRY(queue) by_throttle; /* its rate lets nothing through until then */
	uint64_t throttled_ms;	     /* lease time; 0: it does */
	uint8_t *token; /* CELL_TOKEN_SIZE bytes, owned: of its copy; NULL: it is of none */
	char name[];
};

void timers_init(struct timers *t);

struct queue *queue_new(
    uint32_t id, struct slice name, struct timers *timers, struct ledger *ledger);
/* Frees it with its batches and ranges; it must be in no tree and have no receiver. */
void queue_free(struct queue *q);

struct slice queue_name(const struct queue *q);
uint64_t queue_total(const struct queue *q);
/* Whether it holds max_bytes or more, by which it may pass the limit by one batch, or is paused. */
bool queue_is_full(const struct queue *q);
/* Bytes until then; 0: it is; UINT64_MAX: there is no limit. */
uint64_t queue_room(const struct queue *q);

/* ---- batches ---- */

/*
 * Messages [first, first + count), all live, with so many bytes, are in r from
 * (offset, slot) on, and `shares` queues have them.  May join the batch before.
 */
struct batch *queue_add_batch(struct queue *q, struct record *r, uint64_t first, uint32_t count,
    uint32_t bytes, uint16_t offset, uint16_t slot, uint16_t shares);
/*
 * What is added next comes from an event that names the queues of this number: it joins what came
 * before only if that did, too, as a run goes on in such events only (event.h).
 */
void queue_adds_of(struct queue *q, uint64_t set);
/* Message `seq` is a large one, for so many queues, with a body of so many bytes; takes `large`. */
struct batch *queue_add_large(struct queue *q, struct large *large, uint64_t seq,
    uint32_t bytes, uint64_t time_ms, uint16_t shares);
/* The first batch that ends after seq, or NULL. */
struct batch *queue_batch_at(struct queue *q, uint64_t seq);
struct batch *queue_batch_next(struct batch *b);
/*
 * b, just added, holds dead letters: message `seq` of queue `from` and those that follow it,
 * and why.  Takes b, and gives what it is now.
 */
struct batch *queue_batch_came(struct queue *q, struct batch *b, struct slice from,
    uint64_t seq, struct slice reason, uint32_t redrives);
/* b, just added, joins the dead letters before it if they were its neighbours there, too. */
void queue_batch_join(struct queue *q, struct batch *b);
/*
 * The first run of live messages of b within [from, to): its begin, and *end.
 * Returns `to` if there is none.
 */
uint64_t batch_run(const struct batch *b, uint64_t from, uint64_t to, uint64_t *end);
/* Runs of live messages in it beyond the first one, if so many are looked at: no more than these. */
static inline uint64_t batch_runs_most(const struct batch *b, uint64_t messages)
{
	uint64_t gone = b->bits ? b->count - b->live : 0;
	return gone < messages ? gone : messages;
}
/* Whether some of its bytes are in a record that is not stored yet. */
bool batch_in_flight(const struct batch *b);
/* Bytes of the batch's live messages, about. */
uint32_t batch_live_bytes(const struct batch *b);
/* The same for so many of its messages. */
uint32_t batch_bytes_of(const struct batch *b, uint64_t messages);
/* What it takes in a checkpoint, at most. */
uint64_t batch_part_bytes(const struct batch *b);
#define RANGE_PART_MAX 80		     /* the same of a range */
#define MIXED_PART_MAX (4 + MIXED_BYTES_MAX) /* what it takes more if it is mixed */
/* Whether both are dead letters of one queue and for one reason, or none is one. */
bool batch_same_origin(const struct batch *a, const struct batch *b);
/* Takes bits (live messages) for a batch that was just added; recovery only. */
bool queue_batch_set_live(struct queue *q, struct batch *b, struct slice live);

/* Live messages in [first, first + span). */
uint64_t queue_count_live(struct queue *q, uint64_t first, uint64_t span);
/* The first live message in [first, end); `end`: there is none. */
uint64_t queue_first_live(struct queue *q, uint64_t first, uint64_t end);
/* Whether there is any in [first, end). */
bool queue_any_live(struct queue *q, uint64_t first, uint64_t end);
/*
 * The messages' bodies now are in r at offset, for `shares` queues; they are all live.  false:
 * they are not.
 */
bool queue_relocate(struct queue *q, uint64_t first, uint32_t count, uint32_t bytes,
    struct record *r, uint16_t offset, uint16_t shares);

/*
 * Messages [first, first + count), which were not known, are live and at (offset, slot) in r: in
 * the state of the ranges that span them, or new, with attributes of the event at that place.
 */
void queue_revive(struct queue *q, struct record *r, uint64_t first, uint32_t count,
    uint32_t bytes, uint16_t offset, uint16_t slot, uint16_t shares, struct slice attributes,
    struct wall_time now);

/* ---- ranges ---- */

/* The first range that ends after seq, or NULL. */
struct range *queue_range_at(struct queue *q, uint64_t seq);
struct range *queue_range_next(struct range *r);
struct range *queue_first_ready(struct queue *q);
/* In which order ready ranges are handed out: < 0, a comes first. */
int range_order(const struct range *a, const struct range *b);

/* New messages, in this lane. */
void queue_add_new(struct queue *q, uint64_t first, uint64_t count, const struct lane *lane);
/* Messages that are ready, of no priority. */
void queue_add_ready(struct queue *q, uint64_t first, uint64_t span, uint64_t live,
    uint32_t attempt, uint32_t failures);
/* A range that is in no tree by state yet; recovery. */
struct range *queue_add_range(struct queue *q, uint64_t first, uint64_t span, uint64_t live);

/*
 * Splits r so that [first, first + span), within it, is a range, and gives that.  What
 * is left of r without a live message is freed.
 */
struct range *queue_isolate(struct queue *q, struct range *r, uint64_t first, uint64_t span);

/*
 * The first message, seq, of what is ready is put aside for the receiver of its group, and taken
 * back.  The state is as before to all but queue_first_ready().
 */
void queue_put_aside(struct queue *q, uint64_t seq, uint32_t group);
void queue_take_back(struct queue *q, struct range *r);

/* Changes of state; each ends the state before.  Ready and delayed ones may merge: r is gone then. */
void queue_make_ready(struct queue *q, struct range *r, uint32_t attempt, uint32_t failures);
void queue_make_delayed(struct queue *q, struct range *r, struct lease_time until,
    uint32_t attempt, uint32_t failures);
/* The same up to a wall clock time, for messages that were just sent. */
void queue_make_waiting(struct queue *q, struct range *r, struct wall_time until,
    uint32_t attempt, uint32_t failures);
void queue_make_leased(struct queue *q, struct range *r, struct session *s, uint64_t lease,
    struct lease_time until, uint32_t lease_ms, uint32_t attempt);
void queue_extend(struct queue *q, struct range *r, struct lease_time until);
/* The holder is no longer known. */
void range_detach(struct range *r);

/*
 * Those of r's messages that are in [first, end), within it, leave the queue.  r stays one range
 * if it has others: it may span what is settled, and is gone if not.
 */
void queue_drop(struct queue *q, struct range *r, uint64_t first, uint64_t end);
/* All of the range's messages. */
void queue_drop_range(struct queue *q, struct range *r);
/* All messages below seq leave the queue. */
void queue_drop_below(struct queue *q, uint64_t seq);

/* Room for so many pieces, none yet. */
struct large *large_new(uint32_t room);
/* Bytes of its pieces, with their attributes, each of them for so many queues. */
uint32_t large_weight(const struct large *large, uint16_t shares);

RB_PROTOTYPE(batch_tree, batch, by_seq, batch_compare)
RB_PROTOTYPE(range_tree, range, by_seq, range_compare)
RB_PROTOTYPE(ready_tree, range, by_state, range_order)
RB_PROTOTYPE(timer_tree, range, by_state, timer_compare)
RB_PROTOTYPE(holding_tree, range, held, holding_compare)

#endif
