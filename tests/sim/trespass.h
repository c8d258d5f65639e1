/*
 * Clients that ask for what they may not do: nothing comes of it, and the answer is the same whether
 * there is such a queue or not.  And the rights with which all others may do what they do.
 */
#ifndef SIM_TRESPASS_H
#define SIM_TRESPASS_H

#include "world.h"

#include "core/queue/rights.h"
#include "core/wire/frame.h"

/* The client may do so much with the queues of actors.h, and with topics. */
void trespass_not(struct link *l, unsigned queues, unsigned topics);

/* One comes, asks, and goes. */
void trespass(struct world *w);

/* A frame that leaves the daemon for it. */
void trespass_told(struct world *w, struct link *l, const struct frame *f);

#endif
