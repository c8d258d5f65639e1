/*
 * The clients: each is a process with the client core in it, a clock of its own, and at
 * most one connection.
 *
 *	sender		sends batches of new lines, also to several queues and to topics, and large
 *			messages, and waits until some are gone
 *	receiver	subscribes, also to patterns, gives credit now and then, settles, also
 *			together with lines that it sends, releases (counted or not, with or
 *			without delay), buries, touches, or detaches what it holds
 *	acker		settles by receipts that receivers detached
 *	administrator	creates, sets, removes, purges, lists and peeks
 *
 * Any of them may stop for a while or die, with or without a proof of its death, and
 * another one takes its place.
 */
#ifndef SIM_ACTORS_H
#define SIM_ACTORS_H

#include "world.h"

/* Queues that there are names for, and the number of such a name. */
#define ACTORS_NAMES 6
unsigned actors_name_number(struct slice name);

void actors_make(struct world *w);
void actors_free(struct world *w);

/* One of them does something. */
void actors_step(struct world *w);
/* One of them dies or is stopped for so long. */
void actors_die(struct world *w);
void actors_pause(struct world *w, uint64_t ms);
/* The calm begins: all go on. */
void actors_wake(struct world *w);

/* Whether everything was sent, answered and settled. */
bool actors_done(const struct world *w);
/* Whether somebody has something to do at once. */
bool actors_ready(const struct world *w);
/* Adds to the trace what each of them has left to do. */
void actors_report(const struct world *w);
/* Boot time of the next timer; UINT64_MAX: none. */
uint64_t actors_due(const struct world *w);

/* Whether some client vouches for the message under this lease now. */
bool actors_trusted(void *world, const struct shadow_queue *q, uint64_t seq, uint64_t lease);

#endif
