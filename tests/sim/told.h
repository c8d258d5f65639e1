/*
 * What a daemon owes its clients: that a lease has ended (LEASE_ENDED), that nothing is
 * ready (IDLE), and deliveries in their order.  Each is compared with what is on disk when it
 * leaves; and when the daemon is at rest, nothing that is owed is missing.
 */
#ifndef SIM_TOLD_H
#define SIM_TOLD_H

#include "world.h"

#include "core/broker/delivery.h"
#include "core/wire/frame.h"

/* A frame that the daemon takes in. */
void told_asked(struct link *l, const struct frame *f);
/* A frame that leaves the daemon, which knows the newest state on disk. */
void told_frame(struct world *w, struct link *l, const struct frame *f);
/* A delivery that leaves it, with so many bytes of bodies, of the newest state on disk. */
void told_delivery(struct world *w, struct link *l, const struct delivery *d, uint64_t bytes);
/*
 * When the session asked the daemon that runs for the queue's messages, in moments of the world; 0: it
 * has no subscription.  *heard: when it was heard last.
 */
uint64_t told_joined(
    const struct world *w, const struct shadow_queue *q, uint64_t session, uint64_t *heard);
/* The daemon has nothing more to do, and all that it made is on disk. */
void told_all(struct world *w, const struct daemon *d);

#endif
