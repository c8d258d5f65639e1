/*
 * Holes.  Each node makes them by itself, the leader like the others: of each END that is
 * committed and stored here, in order, what it says died (see raft.h).  An END may name so much
 * that this takes many transactions, one after the other.  It is itself dead for the next END
 * only, so what a crash cuts off is gone on with after it.
 */
#ifndef RMQ_CLUSTERD_ENDS_H
#define RMQ_CLUSTERD_ENDS_H

#include <stdint.h>

struct cluster;

/* How many records become holes, or ranges are looked at, in one turn and transaction. */
#define ENDS_TURN_RECORDS 1024

struct ends {
	uint64_t followed; /* holes of all ENDs up to here are made, and stored */
	/* Of the next END: */
	uint32_t range; /* this one is next */
	uint64_t index; /* from here on, if that is within it */
	uint64_t seq;	/* the newest transaction */
};

/* Begins: what was committed before is followed again, as far as it is no hole. */
void ends_open(struct cluster *c);
/* The end of a turn: makes some. */
void ends_turn(struct cluster *c);

#endif
