/* Clients of this machine, and with keys, where the queue is elsewhere, until they are relayed or told where to go. */
#ifndef RMQ_GATED_CLIENT_H
#define RMQ_GATED_CLIENT_H

#include "stream.h"

/* A connection was accepted, which it takes. */
void client_new(struct gate *g, int fd);

/* The same of a client with a key, whose own stream ends at the other side.  False: out of memory. */
bool client_new_key(struct gate *g, int fd, const char *name, struct slice rights)
    __attribute__((warn_unused_result));

/* Its socket is readable, and it is GREETING. */
void client_read(struct stream *s);

/* Things have changed: tries again for one that is HELD. */
void client_decide(struct stream *s);

/* The other node did not take it; it has heard nothing yet. */
void client_refused(struct stream *s, enum rmq_error code);

/* It has said no HELLO in time. */
void client_silent(struct stream *s);

#endif
