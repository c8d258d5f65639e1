/*
 * The processes around cells, each with one client core or several:
 *
 *	sender		sends batches of new lines, also to several queues and to topics, and large messages;
 *			to a queue with ids also lines that it has sent before; or an input (inputs.h)
 *	receiver	subscribes to a queue or its dead letters, settles, also together with lines that it
 *			sends, gives back, buries and lengthens
 *	administrator	makes and binds all queues; sets, cancels, purges and redrives
 *	mover		carries a queue to another cell (movers.h)
 *	forwarder	brings what waits in a cell for queues of other cells there (forwarders.h)
 *
 * Any of them may stop for a while or die, and another one takes its place.
 */
#ifndef SIM_CELLS_ACTORS_H
#define SIM_CELLS_ACTORS_H

#include "ends.h"

enum actor_kind { SENDER, RECEIVER, ADMIN, MOVER, FORWARDER };

struct hold;
struct note;
struct moves;
struct forwards;

struct actor {
	struct world *w;
	enum actor_kind kind;
	unsigned number;
	uint32_t life; /* no other process has this number */
	uint64_t paused_until;
	bool fatal;   /* its client has given up */
	bool leaving; /* has said good-bye */
	struct end end;
	struct note *notes; /* of its unanswered commands */
	bool resumes;	    /* a sender: it sends the input, and nothing else */
	/* a receiver */
	bool subscribed;
	uint32_t sub;
	unsigned queue; /* of the model (checks.h) */
	struct hold *held;
	uint32_t held_count;
	uint64_t since; /* it has subscribed; boot time */
	unsigned cell;	/* a forwarder's */
	/* the administrator */
	unsigned made;	 /* queues that it has made, and bound in all cells */
	unsigned stage;	 /* of making the next one */
	bool begun;	 /* … a command was given for it, */
	bool answered;	 /* which is done */
	struct end side; /* … in this cell */
	bool asking;
	struct moves *moves;	   /* a mover's own */
	struct forwards *forwards; /* a forwarder's own */
};

void actors_make(struct world *w);
void actors_free(struct world *w);
/* One of them, or this one, does something. */
void actors_step(struct world *w);
void actor_step(struct actor *a);
void actors_die(struct world *w);
void actors_pause(struct world *w, uint64_t ms);
/* The calm begins: all go on. */
void actors_wake(struct world *w);
/* Whether everything was sent and answered. */
bool actors_done(const struct world *w);
/* Whether somebody has something to do at once; boot time of the next timer. */
bool actors_ready(const struct world *w);
uint64_t actors_due(const struct world *w);
/* Adds to the trace what each of them has left to do. */
void actors_report(const struct world *w);
/* Whether all queues are made and bound. */
bool actors_set_up(const struct world *w);
/* Whether another one than `but` vouches for the message now. */
bool actors_vouch(const struct world *w, const struct actor *but, unsigned queue, uint64_t seq,
    uint32_t line);
/* Who has nothing to do ends, as a cell may have as many sessions as it takes. */
void actors_make_room(struct world *w);
/* All that have lists of cells begin anew. */
void actors_renew(struct world *w);
/* In this cell, what is for a queue of another one is bound, as `rmq-queue bind` does. */
void actors_bind_away(struct world *w, struct end *e, unsigned queue, unsigned cell,
    const struct client_config *config, const struct client_host *host);
/* The list of cells that a new process has: mostly the right one; NULL: none. */
const char *actors_list(struct world *w);

#endif
