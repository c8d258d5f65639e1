/* The queue that messages come from: named, bound to a pattern, or an ephemeral subscription's. */
#ifndef RMQ_RECV_SOURCE_H
#define RMQ_RECV_SOURCE_H

#include "core/base/name.h"
#include "core/client/client.h"
#include "receiver.h"

/* Subscribes, and binds before that; the subscription's number. */
uint32_t source_subscribe(
    struct source *s, struct client *c, struct mono_time now, const struct recv_options *o);
/* The subscription is confirmed: the queue's name is known from now on. */
void source_subscribed(struct source *s, const struct client *c, uint32_t sub);

#endif
