#include "ends.h"

#include "../sim/trace.h"
#include "cell.h"
#include "lists.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define UP_MAX 300000 /* bytes that a connection takes without the daemon reading */

struct mono_time end_now(const struct end *e)
{
	return (struct mono_time){e->w->boot_ms + e->clock_ms};
}

void end_init(struct end *e, struct world *w, unsigned contact, const char *list,
    struct client_config config, const struct client_host *host)
{
	const char *why = "";
	*e = (struct end){.w = w, .contact = &w->cells[contact]};
	if (list) {
		snprintf(e->text, sizeof(e->text), "%s", list);
		e->cells = calloc(1, sizeof(*e->cells));
		assert(e->cells);
		if (cells_parse(e->cells, slice_str(e->text), &why))
			trace_fail("the list of cells is none: %s", why);
	}
	config.servers = 1;
	config.cells = e->cells;
	config.seed = prng_next(&w->prng);
	e->client = client_new(&config, host);
	assert(e->client);
	e->clock_ms = prng_range(&w->prng, 1, 1000000);
}

static void hang_up(struct end *e)
{
	if (!e->link)
		return;
	e->link->client_closed = true;
	e->link->up.closed = true;
	e->link = NULL;
}

void end_deinit(struct end *e)
{
	hang_up(e);
	client_free(e->client);
	free(e->cells);
	*e = (struct end){0};
}

/* The client's own addresses of a cell are before those that it was told. */
static struct daemon *find(const struct end *e, const struct client_target *t)
{
	if (t->cell.len == 0)
		return e->contact;
	uint32_t i = e->cells ? cells_find(e->cells, t->cell) : CELLS_NONE;
	return cell_at(e->w, i == CELLS_NONE ? t->servers : e->cells->cells[i].servers);
}

static void connect_now(struct end *e)
{
	struct client_target target;
	if (!client_connect(e->client, end_now(e), &target))
		return;
	struct daemon *d = find(e, &target);
	e->astray = !d && lists_kind(e->w) == LISTS_WRONG;
	if (e->astray)
		return;
	if (!d)
		trace_fail("a client is sent to cell %.*s at %.*s, where there is none",
		    (int)target.cell.len, (const char *)target.cell.data,
		    (int)target.servers.len, (const char *)target.servers.data);
	client_contacts(e->client, 1);
	e->link = cell_dial(d, e->clock_ms);
	if (!e->link) {
		client_disconnected(e->client, end_now(e));
		return;
	}
	trace("connect", d->number, e->link->id, 0, 0);
	client_connected(e->client, end_now(e), 0);
}

static void lose(struct end *e)
{
	trace("lost", e->link->daemon->number, e->link->id, 0, 0);
	hang_up(e);
	client_disconnected(e->client, end_now(e));
}

/* Writes what the core has to write: sometimes only a part of it. */
static void write_out(struct end *e)
{
	struct slice pieces[CLIENT_PIECES];
	struct prng *p = &e->w->prng;
	while (e->link && !e->link->up.closed && bytes_all(&e->link->up.flight).len < UP_MAX) {
		size_t n = client_output(e->client, end_now(e), pieces, CLIENT_PIECES);
		size_t wrote = 0;
		for (size_t i = 0; i < n; i++) {
			size_t len = pieces[i].len;
			bool part = len > 0 && !e->w->calm &&
				    prng_chance(p, len < CHUNK_MAX / 2 ? 50 : 300);
			if (part)
				len = (size_t)prng_below(p, len);
			bytes_push(&e->link->up.flight, slice_of(pieces[i].data, len));
			wrote += len;
			if (part)
				break;
		}
		client_wrote(e->client, wrote);
		if (wrote == 0)
			return;
	}
}

static bool reads(const struct end *e)
{
	const struct stream *s = &e->link->down;
	return bytes_all(&s->arrived).len > 0 || (s->closed && bytes_all(&s->flight).len == 0);
}

static void read_in(struct end *e)
{
	struct stream *s = &e->link->down;
	size_t used = 0;
	client_input(e->client, end_now(e), bytes_all(&s->arrived), &used);
	bytes_consume(&s->arrived, used);
	if (client_hangs_up(e->client) || (s->closed && bytes_all(&s->flight).len == 0))
		lose(e);
}

void end_pump(struct end *e, bool stop)
{
	if (!e->link && !stop && !e->astray)
		connect_now(e);
	if (e->link && reads(e))
		read_in(e);
	if (client_due_ms(e->client, end_now(e)) == 0)
		client_tick(e->client, end_now(e));
	if (e->link && (stop || client_hangs_up(e->client)))
		lose(e);
	write_out(e);
}

bool end_ready(const struct end *e)
{
	return e->client &&
	       ((e->link && reads(e)) || client_due_ms(e->client, end_now(e)) == 0);
}

uint64_t end_due(const struct end *e)
{
	uint64_t ms = e->client ? client_due_ms(e->client, end_now(e)) : CLIENT_FOREVER;
	return ms == CLIENT_FOREVER ? UINT64_MAX : e->w->boot_ms + ms;
}
