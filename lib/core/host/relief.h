/*
 * Relief for a follower whose disk is full.  The holes of an END would free its space, but the END
 * comes after records for which it has no room.  So it asks the leader which of its records have
 * died, and makes those holes before it has the END.  Until it has that END it is not covered
 * (raft.h), like a node that is sent a log with holes.
 *
 *	follower                    leader
 *	WANT_HOLES from 1     ->
 *	                      <-    HOLES: ranges, next 700
 *	(stores them)
 *	WANT_HOLES from 700   ->
 *	                      <-    HOLES: ranges, next 0: that is all
 *
 * It begins again when the leader has made more holes.  The leader keeps no state of this; the
 * follower asks again if an answer is lost.
 */
#ifndef RMQ_CORE_HOST_RELIEF_H
#define RMQ_CORE_HOST_RELIEF_H

#include "core/host/ends.h"

/* Records that the leader looks at for one answer, and ranges in it, at most. */
#define RELIEF_RANGES 1024
#define RELIEF_BYTES  (RELIEF_RANGES * HOLE_RANGE_SIZE)

/* What HOLES says. */
struct relief_answer {
	uint64_t term;
	uint64_t next;	   /* to be asked for next; 0: that is all */
	uint64_t followed; /* the leader has made the holes of all ENDs up to here */
	struct slice list; /* hole_range each */
};

/* All zeros to begin with. */
struct relief {
	uint64_t term;	   /* of the leader that is asked */
	uint64_t done;	   /* the leader was asked for all that it had followed by here … */
	uint64_t followed; /* … and is now, up to here */
	uint64_t begun_ms;
	uint64_t from; /* is to be asked for, or was; 0: nothing */
	bool asked;
	uint64_t asked_ms;
	uint64_t transaction;
	struct ends_place at; /* in the answer */
	size_t len;	      /* of the answer; 0: all of it is holes by now */
	uint8_t list[RELIEF_BYTES];
};

/* What a turn sees. */
struct relief_seen {
	uint64_t term;
	bool waits;	      /* this node follows, and waits for room */
	uint64_t cover;	      /* index of the leader's newest END that has made holes */
	uint64_t stored;      /* as in engine_state */
	uint64_t last;	      /* index up to which the log is stored here */
	uint64_t now_ms;      /* any clock */
	uint32_t patience_ms; /* an answer takes no longer */
};

enum relief_action {
	RELIEF_NOTHING,
	RELIEF_ASK, /* the leader: from r->from on */
	RELIEF_DIG, /* make holes of the piece, and tell relief_dug() */
};

/* The end of a turn of a follower. */
enum relief_action relief_turn(struct relief *r, const struct relief_seen *seen,
    const struct ends_log *log, struct ends_piece *out) __attribute__((warn_unused_result));

/* These holes are made when this transaction is stored. */
void relief_dug(struct relief *r, uint64_t transaction);

/*
 * An answer; one that is not waited for has no effect.  Of one with more than RELIEF_RANGES ranges
 * the first ones are taken, and the others asked for.  False: a correct leader does not
 * send it.
 */
bool relief_answered(struct relief *r, const struct relief_answer *a)
    __attribute__((warn_unused_result));

/* What the leader knows.  Indexes. */
struct relief_known {
	uint64_t match;	 /* up to there the follower has this log */
	uint64_t commit; /* up to there all is committed */
	uint64_t stored; /* up to there this disk has it: beyond is neither hole nor record */
	uint64_t cover;	 /* the newest END that made holes here: behind all of them */
};

/*
 * The leader's side: which records from `from` on are holes here, as far as all that is known
 * reaches.  a->list is in `list`; term and followed are the caller's to set.
 */
void relief_answer(const struct ends_log *log, uint64_t from, const struct relief_known *known,
    uint8_t list[RELIEF_BYTES], struct relief_answer *a);

#endif
