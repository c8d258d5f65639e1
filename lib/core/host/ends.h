/*
 * Holes.  Each node makes them by itself, also the leader: it follows each END that is committed
 * and stored here, in order, and makes holes of the records that the END declares dead (see
 * raft.h).  An END may name so many that this takes many transactions.  Only the next END declares
 * this one dead, so after a crash the node goes on with it.
 */
#ifndef RMQ_CORE_HOST_ENDS_H
#define RMQ_CORE_HOST_ENDS_H

#include "core/host/engine.h"

/* How many records become holes, or ranges are looked at, in one turn and transaction. */
#define ENDS_TURN_RECORDS 1024

/* What is stored on this node, as it is read between begin() and done(), in one turn. */
struct ends_log {
	void *arg;
	void (*begin)(void *arg);
	/*
	 * The first record of kind END at `from` or after it, committed or not; *index 0: there is
	 * none.  Its payload is borrowed until done().  RMQ_E_BUSY: it is bad, and being mended;
	 * anything else: it is bad for ever.  Then *index is set as well.
	 */
	enum rmq_error (*end)(void *arg, uint64_t from, uint64_t *index, struct slice *payload);
	/* The first record at `from` or after it that is no hole; UINT64_MAX: there is none. */
	uint64_t (*next)(void *arg, uint64_t from);
	void (*done)(void *arg);
	/* The list of this END cannot be read: only space is lost. */
	void (*bad)(void *arg, uint64_t end, enum rmq_error err);
};

/* Where it goes on in a list of ranges (hole_range); all zeros: at its start. */
struct ends_place {
	uint32_t range; /* this one is next */
	uint64_t index; /* from here on, if that is within it */
};

/* What becomes holes in one transaction. */
struct ends_piece {
	unsigned left; /* records and ranges that are still looked at */
	bool whole;    /* nothing of the list is left */
	unsigned count;
	struct hole_range ranges[ENDS_TURN_RECORDS];
};

/*
 * Goes on with a list as far as out->left allows: adds to *out what is not a hole yet.  False: it
 * names what is not below `below`.
 */
bool ends_take(struct ends_place *at, const struct ends_log *log, struct slice list,
    uint64_t below, struct ends_piece *out) __attribute__((warn_unused_result));

/* All zeros to begin with: what was committed before is followed again, as far as it is no
 * hole. */
struct ends {
	uint64_t followed;    /* holes of all ENDs up to here are made, and stored */
	struct ends_place at; /* in the list of the next END */
	uint64_t transaction; /* the newest */
};

/*
 * The end of a turn: makes at most `records` holes, ENDS_TURN_RECORDS at most.  Whether there
 * is more to be done that waits for nothing.
 */
bool ends_turn(
    struct ends *e, const struct engine *engine, const struct ends_log *log, unsigned records);

#endif
