/*
 * Says where a queue lives whose cell has lost it, as a pure function over pinned clients, one of each cell.
 *
 * A cell that was wiped, or restored to a time before the queue came to it, knows nothing of it while the home of
 * the queue, or another cell, leads there: nobody finds it.  If it is the home that was restored, nobody who begins there
 * finds the queue where it lives.  H is the home, Y the cell in which the queue is to live:
 *
 *	H is asked where it leads: if not to itself, with a token that tells this answer from any later one
 *	all are asked whether they have the queue, or a copy of it, until they say twice the same, so that it was so at
 *	  one moment: if any but Y does, nothing is done
 *	Y OPEN, if the queue lives there; else it BEGINs a copy, or one that it has is taken
 *	each other one that would make the queue for who asks: HOLD, FREEZE, so that it makes none meanwhile
 *	H FOLLOW, which does nothing if it leads elsewhere by now, so that it is asked again; or GONE, if it would make the
 *	  queue; or if H is Y, OPEN, on the same condition
 *	Y OPEN: the copy, with whatever it has, is the queue
 *	each other one FOLLOW or GONE, so that it leads to Y
 *
 * What H says decides between two that do this at once: it leads to one of them, and the other one drops its
 * copy, which nobody was told of.  As Y has the copy before H leads there, nobody who asks later takes it for a cell that
 * has nothing, though the first one may have died.  Then whoever comes from H opens the copy.
 *
 * A cell that is lost is not asked, nor told anything: that it will never serve the queue again is the word of who
 * says so.
 *
 * The host makes a client for each cell with placer_host(), runs them, calls placer_turn() after each turn of
 * theirs, and keeps them until placer_state() is no longer PLACER_GOES.  It asks the core for nothing else: no clock,
 * descriptor or random number is here.
 */
#ifndef RMQ_CORE_CLIENT_PLACER_H
#define RMQ_CORE_CLIENT_PLACER_H

#include "core/base/cells.h"
#include "core/client/client.h"

struct placer;

struct placer_config {
	struct slice queue; /* a base name (cells.h).  Copied */
	/* Borrowed as long as the placer lives. */
	const struct cells *cells;
	uint32_t to; /* Y, of these */
};

/* NULL: out of memory. */
struct placer *placer_new(const struct placer_config *config);
void placer_free(struct placer *p);

/* For client_new(), of a pinned client of cell i. */
struct client_host placer_host(struct placer *p, uint32_t i);

/* clients: of each cell, NULL: it is lost, which neither Y nor H may be.  token: CELL_TOKEN_SIZE random bytes. */
void placer_begin(struct placer *p, struct mono_time now, struct client *const *clients,
    const uint8_t *token);

void placer_turn(struct placer *p, struct mono_time now);

enum placer_state {
	PLACER_GOES,
	PLACER_DONE,  /* it lives in Y, and all that were asked lead there */
	PLACER_FAILED /* placer_error() says why */
};
enum placer_state placer_state(const struct placer *p);

/* Why, and which cell says so; CELLS_NONE: none of them.  Borrowed. */
enum rmq_error placer_error(const struct placer *p, struct slice *text, uint32_t *cell);

/* Whether it lives in Y now, also of one that failed after that. */
enum placer_placed { PLACER_NOT, PLACER_UNKNOWN, PLACER_PLACED };
enum placer_placed placer_placed(const struct placer *p);

/* Whether Y had a copy that was opened, with what had come of the queue. */
bool placer_opened(const struct placer *p);

#endif
