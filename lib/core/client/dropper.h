/*
 * Drops the copies of a queue that arrive in a cell Y and were left there, as a pure function over pinned clients.
 *
 * A copy may be all that there is of its queue: once another cell has said GONE, with the copy's token, until somebody opens
 * it.  Y cannot know that.  So each other cell Z is asked, in this order:
 *
 *	Y is asked for the tokens of the copies that are there
 *	Z HOLD, with a token of its own, and LET_GO, one after the other in all other cells
 *	Y DROP each of these copies, once all have answered
 *
 * If Z says that the queue has gone to Y, with the token of one of them, that copy is the queue: it is opened instead,
 * which drops the others.  If Z says anything else, it has not let go to one of them and never will: a mover holds
 * the queue in Z from before it begins its copy in Y until it says GONE, and Z lets nobody else hold it meanwhile.
 * So where HOLD is granted, or the queue is not, no mover holds it that has begun one of these copies; and one whose
 * hold has ended begins a new copy, with a new token.  A copy that begins later is none of these and stays.
 *
 * Nothing is dropped while a cell is not asked, or where somebody holds the queue.
 */
#ifndef RMQ_CORE_CLIENT_DROPPER_H
#define RMQ_CORE_CLIENT_DROPPER_H

#include "core/client/client.h"

struct dropper;

enum dropper_side { DROPPER_Y, DROPPER_Z };

struct dropper_config {
	struct slice queue; /* a base name (cells.h).  Copied */
	struct slice cell;  /* the name of Y.  Copied */
	uint32_t others;    /* all other cells that there are */
};

/* NULL: out of memory. */
struct dropper *dropper_new(const struct dropper_config *config);
void dropper_free(struct dropper *d);

/* For client_new(), of a pinned client of that side. */
struct client_host dropper_host(struct dropper *d, enum dropper_side side);

/* Begins, with Y.  token: CELL_TOKEN_SIZE random bytes. */
void dropper_begin(
    struct dropper *d, struct mono_time now, struct client *y, const uint8_t *token);

enum dropper_state {
	DROPPER_GOES,
	DROPPER_NEXT,	/* dropper_ask() is to be called with one more of the other cells */
	DROPPER_NONE,	/* there is no copy */
	DROPPER_DONE,	/* dropper_count() of them are dropped */
	DROPPER_OPENED, /* one of them was the queue, and is open */
	DROPPER_FAILED	/* dropper_error() says why; nothing was dropped, or some of them */
};
enum dropper_state dropper_state(const struct dropper *d);

/* DROPPER_NEXT: asks cell Z, each once. */
void dropper_ask(struct dropper *d, struct mono_time now, struct client *z);

void dropper_turn(struct dropper *d, struct mono_time now);

uint32_t dropper_count(const struct dropper *d);
/* DROPPER_FAILED: the code, why, and at which side.  Borrowed. */
enum rmq_error dropper_error(
    const struct dropper *d, struct slice *text, enum dropper_side *side);

#endif
