/*
 * The queue that messages come from: named, a part in one cell, bound to a pattern, or an ephemeral
 * subscription's.
 */
#ifndef RMQ_RECV_SOURCE_H
#define RMQ_RECV_SOURCE_H

#include "core/base/name.h"
#include "core/client/client.h"
#include "receiver.h"

/* Of part `i`: its names, before it is subscribed to. */
void source_init(struct source *s, const struct recv_options *o, uint32_t i);
/* Opens the connection that leads to part `i`. */
enum rmq_error source_open(struct client_io *io, const struct recv_options *o, uint32_t i,
    const struct client_config *config, const struct client_host *host, struct reason *why)
    __attribute__((warn_unused_result));
/* Subscribes, and binds before that; the subscription's number. */
uint32_t source_subscribe(
    struct source *s, struct client *c, struct mono_time now, const struct recv_options *o);
/* The subscription is confirmed: the queue's name is known from now on. */
void source_subscribed(struct source *s, const struct client *c, uint32_t sub);

#endif
