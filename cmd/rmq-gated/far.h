/* Clients of elsewhere, whom their gates or their own links bring to the queue daemon of this node. */
#ifndef RMQ_GATED_FAR_H
#define RMQ_GATED_FAR_H

#include "stream.h"

/* NULL: there are too many, or out of memory.  It is WAITING. */
struct stream *far_new(struct gate *g);

/* It is on its link now; whose it is, as the queue daemon is told. */
void far_begin(struct stream *s, const struct wire_behalf *whose);

/* Things have changed: tries to reach the queue daemon for one that is WAITING. */
void far_connect(struct stream *s);

/* It has waited for long enough. */
void far_late(struct stream *s);

#endif
