#include "source.h"

#include <string.h>

uint32_t source_subscribe(
    struct source *s, struct client *c, struct mono_time now, const struct recv_options *o)
{
	uint8_t flags = SUBSCRIBE_STARTS;
	s->queue = slice_str(o->queue);
	if (o->no_create)
		flags |= SUBSCRIBE_NO_CREATE;
	if (supply_wants_idle(&o->end))
		flags |= SUBSCRIBE_IDLE;
	/* BIND makes it; if it is gone later, one made anew would not be bound. */
	if (o->pattern) {
		client_bind(c, now, WIRE_TYPE_BIND, s->queue, slice_str(o->pattern),
		    o->no_create ? 0 : BIND_CREATE, NULL);
		flags |= SUBSCRIBE_NO_CREATE;
	}
	/* There is none before. */
	if (o->ephemeral)
		flags = (uint8_t)((flags | SUBSCRIBE_EPHEMERAL) & ~SUBSCRIBE_NO_CREATE);
	return client_subscribe(c, now, s->queue, flags, o->lease_ms);
}

void source_subscribed(struct source *s, const struct client *c, uint32_t sub)
{
	struct slice name = client_queue_of(c, sub);
	if (name.len > sizeof(s->own))
		return;
	memcpy(s->own, name.data, name.len);
	s->queue = slice_of(s->own, name.len);
}
