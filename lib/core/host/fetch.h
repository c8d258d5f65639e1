/*
 * A record whose bytes have gone bad on this node's disk is fetched from a node that has it, and
 * written in its place.
 *
 *	this node                        another member
 *	FETCH 7                   ->
 *	                          <-     FETCHED 7: the record as it is on its disk
 *	(checksum, index, term and kind are right: RAFT_EVENT_MEND)
 *
 * Only what is committed is fetched: it is the same on all nodes that hold it.  Members are asked
 * one after the other until one has it whole, and again from the first one on, for so long
 * as FETCH_PATIENCE says.  Who reads asks in each turn, until the record is good or is given up.  Who
 * can wait goes on asking: after a while it is fetched anew, as other nodes may be there then.
 * One record is fetched at a time; the others wait for it.  What was fetched waits for room on
 * this node's disk.
 */
#ifndef RMQ_CORE_HOST_FETCH_H
#define RMQ_CORE_HOST_FETCH_H

#include "core/host/engine.h"
#include "core/raft/raft.h"

/* It is waited for as many times what an answer takes. */
#define FETCH_PATIENCE 10
/* A disk that goes on giving back bad bytes is not written to for ever: so many records in so long. */
#define FETCH_MENDS_MAX 1000
#define FETCH_MENDS_MS	3600000

/* All zeros to begin with. */
struct fetch {
	uint64_t index; /* is wanted, or was; 0: none was */
	enum fetch_state {
		FETCH_NONE,  /* nothing is wanted */
		FETCH_ASKS,  /* the others */
		FETCH_HAS,   /* what is to be written */
		FETCH_WRITES /* it is under way to the disk */
	} state;
	uint64_t since_ms; /* it is wanted */
	uint64_t asked_ms; /* the newest question; 0: none */
	uint64_t round_ms; /* the first one of this round */
	unsigned next;	   /* of those that can be asked */
	struct raft_id asked;
	struct raft_id from;   /* who had it */
	uint64_t transaction;  /* it is stored with this one */
	uint64_t mended;       /* the newest one that was; 0: none */
	uint64_t bad_again_ms; /* until then it is not mended again */
	unsigned mends;	       /* that many were, since … */
	uint64_t mends_ms;
	uint64_t
	    given_up; /* the newest one that no node had; 0: none, or it was mended since */
	uint64_t again_ms; /* then it is fetched anew */
	struct raft_run run;
	uint8_t record[RECORD_MAX];
};

/* Whether record `index` can ever be had from another node. */
bool fetch_possible(const struct engine_state *log, uint64_t index);

/*
 * A reader has found that record `index` is bad.  True: it is being fetched, or waits until
 * another one is: to be read again in a later turn.  False: it is not to be had now.
 */
bool fetch_want(struct fetch *f, const struct engine_state *log, uint64_t index,
    uint64_t now_ms) __attribute__((warn_unused_result));

/* What a turn sees. */
struct fetch_seen {
	const struct raft_id *peers; /* who can be asked */
	unsigned count;
	struct intake_room room; /* on this node's disk */
	uint64_t stored;	 /* as in engine_state */
	uint64_t now_ms;
	uint32_t patience_ms; /* an answer takes no longer */
};

enum fetch_action {
	FETCH_NOTHING,
	FETCH_ASK,    /* f->asked for f->index */
	FETCH_MEND,   /* f->run, with fetch_payload(); then tell fetch_writes() */
	FETCH_DONE,   /* f->index is good again, as f->from had it */
	FETCH_FAILED, /* f->index is given up */
	FETCH_BROKEN  /* so is this disk: FETCH_MENDS_MAX; the node is to end */
};

/* The end of a turn; until it says FETCH_NOTHING.  A turn comes at least each patience_ms. */
enum fetch_action fetch_turn(struct fetch *f, const struct fetch_seen *seen)
    __attribute__((warn_unused_result));

struct slice fetch_payload(const struct fetch *f);
/* It is written when this transaction is stored. */
void fetch_writes(struct fetch *f, uint64_t transaction);

/* What this node knows of a record that is bad here. */
struct fetch_known {
	uint64_t term;	 /* of its log there */
	unsigned marked; /* as record_kind_fits() */
};

/* Whether an answer about this record is to be looked at. */
bool fetch_awaits(const struct fetch *f, uint64_t index);
/*
 * An answer.  What is not awaited has no effect; after one that is empty, or not the record, the next
 * member is asked.
 */
void fetch_answered(struct fetch *f, struct raft_id from, uint64_t index, struct slice record,
    const struct fetch_known *known);

/* Whether a node that is asked for this record tells what it has. */
bool fetch_tells(const struct engine_state *log, uint64_t index);

#endif
