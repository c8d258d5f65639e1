/*
 * Moves a queue, its dead letters and what goes with them to another cell, as a pure function over two
 * pinned clients: X, where it lives, and Y, where it is to live.  Programs and the simulator share it.
 *
 *	Y is asked for the token of a copy that an earlier mover has left there
 *	X HOLD: nothing of it is handed out any more, by a promise that ends with the connection
 *	Y DROP that copy, if it came from X: X holds the queue, and with the promise of that mover its token has ended
 *	Y BEGIN a hidden copy from X, with a token that nobody else knows
 *	X until nothing of it is leased; then Y binds what is for it as X has it bound, and settings and messages are
 *	  copied, which goes on while others send
 *	X FREEZE: nothing comes to it either, nor is it bound otherwise; so once more, with what came meanwhile, and
 *	  ids, positions, counts
 *	X GONE, once Y has confirmed all: the one moment in which it ceases to live at X
 *	Y OPEN: the copy is the queue
 *
 * Y never drops a copy for a new one, as that may come late and from a mover whose promise has ended, when
 * X has let go for another.
 *
 * The copy is dropped whenever X has certainly not let go.  If that is not known, or a mover has died after
 * it, whoever asks X is told the token and opens the copy: begun anew, a mover does no more than that.
 *
 * Where the queue was before leads on from cell to cell, so that each client would go all that way, and no cell on
 * it could ever be taken away.  mover_shorten() makes one of them, P, lead straight to Y:
 *
 *	P is asked where it leads: a cell other than Y, with a token that tells this answer from any later one
 *	Y OPEN, with a new token, which does nothing but confirm that the queue lives there now, durably
 *	P FOLLOW: it leads to Y from now on, if it still has that token
 *
 * In this order alone it never leads back to where the queue was earlier (broker_moves.c).  The new
 * token opens nothing at Y, as the copy is open there.  If the queue moves on meanwhile, P leads to Y and that
 * goes on from there.  A mover that dies between leaves P as it is, or leads it.
 *
 * The host makes both clients with mover_host(), runs them, calls mover_turn() after each turn of theirs, and
 * keeps them until mover_state() is no longer MOVER_GOES.  It asks the core for nothing else: no clock,
 * descriptor or random number is here.
 */
#ifndef RMQ_CORE_CLIENT_MOVER_H
#define RMQ_CORE_CLIENT_MOVER_H

#include "core/client/client.h"

struct mover;

enum mover_side { MOVER_X, MOVER_Y };

struct mover_config {
	struct slice queue; /* a base name (cells.h).  Copied */
	struct slice to;    /* the name of Y.  Copied */
	uint64_t
	    timeout_ms; /* longest time in which no lease ends, or somebody else moves it */
};

/* NULL: out of memory. */
struct mover *mover_new(const struct mover_config *config);
void mover_free(struct mover *m);

/* For client_new(), of a pinned client of that side. */
struct client_host mover_host(struct mover *m, enum mover_side side);

/*
 * Begins; again after MOVER_AGAIN, with the same clients or others.  token: CELL_TOKEN_SIZE random bytes, new
 * ones each time.
 */
void mover_begin(struct mover *m, struct mono_time now, struct client *x, struct client *y,
    const uint8_t *token);

/*
 * Makes the way from another cell shorter, once no move is under way; the side MOVER_X is that cell.  MOVER_DONE: it leads
 * straight to Y, or nowhere; MOVER_ELSEWHERE: the queue does not live in Y, or has never come there.  token:
 * as above, a new one.
 */
void mover_shorten(struct mover *m, struct mono_time now, struct client *p, struct client *y,
    const uint8_t *token);

void mover_turn(struct mover *m, struct mono_time now);
/* Milliseconds from now until mover_turn() has something to do; CLIENT_FOREVER: it has no timer. */
uint64_t mover_due_ms(const struct mover *m, struct mono_time now);

enum mover_state {
	MOVER_GOES,
	MOVER_DONE,	 /* it lives in Y, where it is open */
	MOVER_AGAIN,	 /* X's promise has ended before its time: to be begun anew */
	MOVER_ELSEWHERE, /* it does not live in X, but where mover_elsewhere() says, or beyond */
	MOVER_FAILED	 /* mover_error() says why */
};
enum mover_state mover_state(const struct mover *m);

/* MOVER_FAILED: the code, why, and at which side; MOVER_AGAIN: the same, or RMQ_E_OK.  Borrowed. */
enum rmq_error mover_error(const struct mover *m, struct slice *text, enum mover_side *side);

/* Whether X has let go; of one that has not it is as if nothing had been. */
enum mover_gone { MOVER_STAYS, MOVER_UNKNOWN, MOVER_GONE };
enum mover_gone mover_gone(const struct mover *m);

/* Of mover_shorten(): whether the way was longer. */
bool mover_shortened(const struct mover *m);

/* The cell that X named, and its servers as told (maybe none).  Borrowed. */
struct slice mover_elsewhere(const struct mover *m, struct slice *servers);

/* What it does, to be shown. */
enum mover_doing {
	MOVER_ASKS,   /* for an answer */
	MOVER_OTHER,  /* waits for somebody else who moves the queue */
	MOVER_LEASES, /* waits until `leased` messages are not leased any more */
	MOVER_COPIES, /* `copied` so far */
	MOVER_ENDS    /* nothing comes to the queue until it is in Y */
};
struct mover_progress {
	enum mover_doing doing;
	uint64_t leased;
	uint64_t copied;
};
struct mover_progress mover_progress(const struct mover *m);

#endif
