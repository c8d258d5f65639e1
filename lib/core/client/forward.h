/*
 * The forwarder of a cell: what is for a queue NAME of another cell waits in the cell's own queue
 * NAME.away, and is taken from there, sent to NAME wherever that is, and settled.  A pure core as the
 * client's: it makes no clients, but is the host of the core's clients that its own host makes:
 *
 *  - the receiver, pinned to the cell;
 *  - a sender for each cell of the list, made when it is wanted, which roams.
 *
 * Promises:
 *  - A message is settled only after it was stored in NAME.  So it comes there at least once, and
 *    once if it has an id that NAME remembers.
 *  - What is sent to NAME goes in the order of NAME.away, a SEND at a time, if there is one forwarder.
 *  - All attributes go along.  What a dead letter was told of its past does not.
 *  - What NAME refuses for good (too large, denied, no such queue) is a dead letter of NAME.away.  What it has
 *    no room for stays in NAME.away, and is tried again after a while, longer each time, up to
 *    FORWARD_REST_MAX_MS.  Neither holds up what is for another queue.
 *  - A cell that is not there holds up no other: so much of what is for it is held as
 *    FORWARD_CELL_BYTES says, and the rest stays where it is.
 *
 * It learns what there is by AWAY (wire.h): the daemon answers once a queue NAME.away without a receiver has
 * something ready.  It subscribes to SUBSCRIPTIONS_MAX of them at a time; one that is idle
 * keeps its place until another one wants it, and one of many messages gives it up after
 * FORWARD_TURNS SENDs.
 *
 * When memory runs out the process ends: messages that were not settled come back.
 */
#ifndef RMQ_CORE_CLIENT_FORWARD_H
#define RMQ_CORE_CLIENT_FORWARD_H

#include "core/client/client.h"

#define FORWARD_WINDOW	    64		     /* SENDs of one sender in flight */
#define FORWARD_SOURCES_MAX LIMIT(1024u, 6u) /* queues NAME.away that wait, for one cell */
#define FORWARD_CELL_BYTES \
	LIMIT(2u << 20, 4000u) /* held for one cell, before the newest SEND */
#define FORWARD_CREDIT_BYTES LIMIT(128u << 10, 600u) /* asked for one queue at a time */
#define FORWARD_TURNS	     32u		     /* SENDs of one queue while others wait */
#define FORWARD_REST_MIN_MS  100
#define FORWARD_REST_MAX_MS  10000
#define FORWARD_ALL_MS	     10000 /* queues that were told of once are told of again */

struct forward;

struct forward_config {
	/* Borrowed as long as the core lives; NULL: it is asked of the daemon. */
	const struct cells *cells;
	uint64_t seed; /* for jitter */
	bool once;     /* it is done when nothing is ready any more */
};

struct forward_host {
	void *arg;
	/*
	 * The sender for the cell number `lane` of the list (0 without a list) is wanted: a client with
	 * forward_sender() as its host, config.cells the list, not pinned, no_wait, a window of FORWARD_WINDOW
	 * and a time-out that is CLIENT_FOREVER.  NULL: it cannot be made now, and is asked for again later.
	 */
	struct client *(*open)(void *arg, uint32_t lane);
	/* It has given up, and is freed. */
	void (*close)(void *arg, uint32_t lane);
	/*
	 * The daemon's cell and its list of them; asked for at the beginning, and again now and then.  Without
	 * config.cells nothing is forwarded before forward_cells().
	 */
	void (*cells)(void *arg, struct slice self, struct slice list);
	/*
	 * So many messages of NAME were refused, with this code.  dead: for good, they are dead letters; else
	 * they are tried again in rest_ms.
	 */
	void (*refused)(void *arg, struct slice name, uint64_t messages, bool dead,
	    uint64_t rest_ms, enum rmq_error code, struct slice text);
};

struct forward *forward_new(
    const struct forward_config *config, const struct forward_host *host);
/* Its clients are the host's; they make no callback any more. */
void forward_free(struct forward *f);

/* The host of the receiver, and of a sender: for client_new(). */
struct client_host forward_receiver(struct forward *f);
struct client_host forward_sender(struct forward *f, uint32_t lane);
/* Begins, once.  The receiver is borrowed. */
void forward_begin(struct forward *f, struct mono_time now, struct client *receiver);
/* The list is this one, borrowed; an empty one: there is one sender, and it finds the way.  Once. */
void forward_cells(struct forward *f, const struct cells *cells);

/*
 * What its callbacks noted is acted upon: after each turn of its clients, and when a timer is due.  Then
 * the clients have something to write.
 */
void forward_turn(struct forward *f, struct mono_time now);
/* Milliseconds from now until a turn is due without input; CLIENT_FOREVER: none is. */
uint64_t forward_due_ms(const struct forward *f, struct mono_time now);

/*
 * No more is taken, what was not sent is given back.  It has stopped when all that was sent is answered and
 * settled.
 */
void forward_stop(struct forward *f);
bool forward_stopped(const struct forward *f);
/* config.once: all that was ready is forwarded and settled. */
bool forward_done(const struct forward *f);
/* Why the receiver has given up, with its text; OK: it has not. */
enum rmq_error forward_error(const struct forward *f, struct slice *text);

/* Messages that were forwarded so far, and that became dead letters. */
uint64_t forward_sent(const struct forward *f);
uint64_t forward_dead(const struct forward *f);
/* Bytes of messages in hand, about. */
uint64_t forward_bytes(const struct forward *f);

#endif
