#include "source.h"

#include <string.h>

void source_init(struct source *s, const struct recv_options *o, uint32_t i)
{
	struct reason why;
	s->shown = o->queue;
	/* That its name is not too long was looked at before. */
	if (o->spread && spread_part(o->cells, i, o->queue, s->own, &why) == RMQ_E_OK)
		s->shown = s->own;
	s->queue = slice_str(s->shown);
}

/* The name of a part leads home by itself; a subscription that has no name yet is led to its cell, and stays. */
enum rmq_error source_open(struct client_io *io, const struct recv_options *o, uint32_t i,
    const struct client_config *config, const struct client_host *host, struct reason *why)
{
	struct client_config c = *config;
	if (!o->cells || o->spread)
		return client_io_open(io, &o->common, config, host, why);
	struct client_io_cell cell = {
	    cells_name(&o->cells->cells, i), o->cells->cells.cells[i].servers, o->cells->local};
	c.pinned = true;
	return client_io_open_cell(io, &o->common, &cell, &c, host, why);
}

uint32_t source_subscribe(
    struct source *s, struct client *c, struct mono_time now, const struct recv_options *o)
{
	uint8_t flags = SUBSCRIBE_STARTS;
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
	if (name.len >= sizeof(s->own))
		return;
	memcpy(s->own, name.data, name.len);
	s->queue = slice_of(s->own, name.len);
}
