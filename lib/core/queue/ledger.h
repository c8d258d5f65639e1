/*
 * The ledger: which journal records still hold bodies of live messages.
 *
 * A record comes into the ledger when it is begun, gets its index when it is stored and leaves
 * when it has no live message any more; a record before a checkpoint that is not in the ledger
 * is dead.  The ledger also knows which records may be worth rewriting: sparse ones, of which
 * less than a quarter is live, and small ones.  Whether one is worth it is known when it is
 * read (broker_move.c); one that is not is looked at again when half of its live messages are
 * gone.
 */
#ifndef RMQ_CORE_QUEUE_LEDGER_H
#define RMQ_CORE_QUEUE_LEDGER_H

#include <assert.h>
#include <sys/queue.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/codec.h"
#include "core/base/limits.h"
#include "core/queue/records.h"

struct batch;

enum record_list { LIST_NONE, LIST_SPARSE, LIST_SMALL };

/* There is one for each 64 KiB of a backlog: kept small. */
struct record {
	union {
		/* until stored: in ledger.pending; bytes of new messages appended up to its end */
		struct {
			STAILQ_ENTRY(record) pending;
			uint64_t sent_after;
		};
		TAILQ_ENTRY(record) moveable; /* in the list that `list` names */
	};
	LIST_HEAD(, batch) batches; /* those whose bodies are here */
	uint64_t n;		    /* number of its APPEND; 0 after recovery */
	uint64_t index;		    /* 0 until stored */
	uint32_t live;		    /* messages and pieces of large ones that are live */
	uint32_t live_bytes;
	/* what was live when it was found not worth moving; 0: it was not */
	uint32_t kept_live;
	uint32_t bytes : 24; /* of the payload */
	uint32_t list : 2;
	uint32_t freed : 1; /* recovery: it died before the END that is recovered from */
	uint32_t own : 1;   /* part of a checkpoint, or its END */
	uint32_t chunk : 1; /* holds a piece of a large message, and nothing else */
	uint32_t swept : 1; /* no record between the one before it and it exists any more */
	uint32_t plain : 1; /* it was written or read since the start, and has no attributes */
};

static_assert(RECORD_PAYLOAD_MAX < 1 << 24, "a record's size fits");
static_assert(
    sizeof(struct record) <= 56, "a backlog of 100 million messages is 160,000 records");

TAILQ_HEAD(record_list_head, record);
STAILQ_HEAD(record_queue, record);

struct ledger {
	struct records stored;
	struct record_queue pending; /* begun, not stored yet, by n */
	struct record_list_head sparse;
	struct record_list_head small;
	uint64_t sparse_waste; /* bytes in sparse records that are not live */
	uint64_t small_bytes;  /* live bytes in small records */
	uint64_t small_count;
	bool merging; /* small records are being moved until none is left */
	/*
	 * Bytes of records that a new checkpoint would free, but for those that the newest one
	 * itself wrote: they make none due.
	 */
	uint64_t dead_bytes;
	uint64_t dead_from; /* records with a lower number are freed by the one under way */
	uint64_t sweep_at; /* records below are gone through for END; 0: it is not being made */
	bool sweep_cut;	   /* some right before sweep_at died since, and are for the next END */
	uint64_t again_at; /* what was named before is named again from here on */
	uint32_t again_left; /* so many ranges of it, by this END */
	/* recovery: of records from this index on, dead_bytes is set at the end */
	uint64_t log_from;
	bool before_end; /* recovery: what dies now, END has named */
	uint64_t pending_bytes;
	uint64_t pending_own_bytes; /* of these in a checkpoint's records */
	/* that queues, batches, ranges, sessions take in a checkpoint, at most */
	uint64_t part_bytes;
	struct space_limits limits;
};

void ledger_init(struct ledger *l);
/* Frees every record; their batches are to be freed before. */
void ledger_deinit(struct ledger *l);

/* A record that is begun now; own: of a checkpoint. */
struct record *ledger_begin(struct ledger *l, uint64_t n, bool own);
/* It ended with so many bytes of payload. */
void ledger_end(struct ledger *l, struct record *r, uint32_t bytes);
/* The oldest pending record is stored at `index`.  Frees it if nothing in it is live. */
void ledger_stored(struct ledger *l, uint64_t index);

/* The record at `index`, found or made (recovery). */
struct record *ledger_at(struct ledger *l, uint64_t index, uint32_t bytes);
/* Recovery: frees the record at an index if nothing in it is live. */
void ledger_tidy(struct ledger *l, struct record *r);

/* So many messages and bytes more are live in r, or no longer. */
void ledger_add(struct ledger *l, struct record *r, uint32_t live, uint32_t bytes);
void ledger_drop(struct ledger *l, struct record *r, uint32_t live, uint32_t bytes);

/*
 * A checkpoint begins: its first record has number n or a higher one.  For its END
 * ledger_sweep() finds the records that have died by then; those that die after that are for
 * the next.
 */
void ledger_parts_begin(struct ledger *l, uint64_t n);
void ledger_parts_end(struct ledger *l);
/* Recovery from index `begin` on has read so many bytes of events. */
void ledger_recovered(struct ledger *l, uint64_t begin, uint64_t bytes);

/* A record whose live messages may be worth moving, NULL: none. */
struct record *ledger_moveable(struct ledger *l);
/* It moves, or is not worth it: it is not offered again before half of it has gone. */
void ledger_keep(struct ledger *l, struct record *r);

/*
 * Puts ranges (hole_range) of records below `begin` that are dead into w, as many as fit. Looks
 * at *steps live records at most, and takes off those that it looked at.  Whether that is all;
 * else it goes on with the next call.  It is over with ledger_parts_end(). Records between live
 * ones that earlier ENDs named come again in turn, with up to half of the place, each END going
 * on where the one before ended: a node of a cluster that was away may never see the earlier
 * ones.
 */
bool ledger_sweep(struct ledger *l, uint64_t begin, uint64_t *steps, struct writer *w);
bool ledger_sweeping(const struct ledger *l);

#endif
