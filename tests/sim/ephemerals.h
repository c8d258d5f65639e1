/*
 * When ephemeral subscriptions end: not while their receiver is connected, nor before it has been
 * away for EPHEMERAL_IDLE_MS, unless it said BYE, is proven dead, or its session was forgotten; and
 * then they do end.
 */
#ifndef SIM_EPHEMERALS_H
#define SIM_EPHEMERALS_H

#include "world.h"

/* The daemon is about to see the end of this connection. */
void ephemerals_left(struct link *l);
/* It takes HELLO with this session (0: none), which may be too late for what it had. */
void ephemerals_back(struct link *l, uint64_t session);
/* It appends these events. */
void ephemerals_appended(struct daemon *d, struct slice payload);
/* It has nothing more to do, and all that it made is on disk. */
void ephemerals_all(struct world *w, const struct daemon *d);
void ephemerals_free(struct world *w);

#endif
