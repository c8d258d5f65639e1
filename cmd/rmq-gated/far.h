/* Clients of other nodes, whose gates bring them to the queue daemon of this one. */
#ifndef RMQ_GATED_FAR_H
#define RMQ_GATED_FAR_H

#include "stream.h"

/* NULL: there are too many, or out of memory.  It is WAITING. */
struct stream *far_new(struct gate *g, uint32_t uid);

/* It is on its link now. */
void far_begin(struct stream *s);

/* Things have changed: tries to reach the queue daemon for one that is WAITING. */
void far_connect(struct stream *s);

/* It has waited for long enough. */
void far_late(struct stream *s);

#endif
