#include "droppers.h"

#include "../sim/trace.h"
#include "cell.h"
#include "ends.h"
#include "lists.h"

#include "core/client/dropper.h"

#include <assert.h>
#include <stdlib.h>

struct drops {
	struct actor *a;
	struct dropper *dropper; /* NULL: none */
	struct end y, z;
	bool opened; /* z */
	unsigned queue, cell;
	uint32_t others;   /* bits: cells that are still to be asked */
	uint64_t until_ms; /* boot time: then it gives up */
};

#define TIMEOUT_MS 20000

struct drops *droppers_new(struct actor *a)
{
	struct drops *d = calloc(1, sizeof(*d));
	assert(d);
	d->a = a;
	return d;
}

static void close_z(struct drops *d)
{
	if (d->opened)
		end_deinit(&d->z);
	d->opened = false;
}

static void end(struct drops *d)
{
	if (!d->dropper)
		return;
	end_deinit(&d->y);
	close_z(d);
	dropper_free(d->dropper);
	d->dropper = NULL;
}

void droppers_free(struct drops *d)
{
	end(d);
	free(d);
}

static struct mono_time now(const struct drops *d)
{
	return (struct mono_time){d->a->w->boot_ms + 1000000};
}

static void open_end(struct drops *d, struct end *e, unsigned cell, enum dropper_side side)
{
	const struct client_config config = {
	    .window = 1, .timeout_ms = CLIENT_FOREVER, .pinned = true};
	struct client_host host = dropper_host(d->dropper, side);
	end_init(e, d->a->w, cell, NULL, config, &host);
	e->clock_ms = 1000000;
}

void droppers_drop(struct drops *d, unsigned queue, unsigned cell)
{
	struct world *w = d->a->w;
	uint8_t token[CELL_TOKEN_SIZE];
	uint32_t count = 0;
	d->others = 0;
	for (unsigned i = 0; i < w->cells_count; i++) {
		bool other = i != cell && lists_use(w, i);
		d->others |= (uint32_t)other << i;
		count += other;
	}
	const struct dropper_config config = {.queue = world_queue(w, queue),
	    .cell = slice_str(w->cells[cell].name),
	    .others = count};
	store_u64(token, prng_next(&w->prng));
	store_u64(token + 8, prng_next(&w->prng));
	d->queue = queue;
	d->cell = cell;
	d->until_ms = w->boot_ms + TIMEOUT_MS;
	d->dropper = dropper_new(&config);
	assert(d->dropper);
	trace("dropper", d->a->number, queue, cell, 0);
	open_end(d, &d->y, cell, DROPPER_Y);
	dropper_begin(d->dropper, now(d), d->y.client, token);
}

/* It may: somebody moves the queue, or what became of its session is not known. */
static void fails(const struct drops *d)
{
	struct slice text;
	enum dropper_side side;
	enum rmq_error err = dropper_error(d->dropper, &text, &side);
	if (err == RMQ_E_LIMIT && rmq_small_limits)
		return;
	/* Where daemons know of no cells nothing moves. */
	if (err == RMQ_E_CONFIG && d->a->w->unlisted)
		return;
	/* A queue that was made twice. */
	if (err == RMQ_E_EXISTS && lists_kind(d->a->w) == LISTS_WRONG)
		return;
	if (err != RMQ_E_BUSY && err != RMQ_E_STALE && err != RMQ_E_UNKNOWN_SESSION)
		trace_fail("copies cannot be dropped: %s: %.*s", error_text(err), (int)text.len,
		    (const char *)text.data);
}

static void ask_next(struct drops *d)
{
	close_z(d);
	unsigned cell = 0;
	while (!(d->others >> cell & 1))
		cell++;
	d->others &= d->others - 1;
	d->until_ms = d->a->w->boot_ms + TIMEOUT_MS;
	open_end(d, &d->z, cell, DROPPER_Z);
	d->opened = true;
	dropper_ask(d->dropper, now(d), d->z.client);
}

void droppers_step(struct drops *d)
{
	end_pump(&d->y, false);
	dropper_turn(d->dropper, now(d));
	if (d->opened)
		end_pump(&d->z, false);
	dropper_turn(d->dropper, now(d));
	end_pump(&d->y, false);
	enum dropper_state state = dropper_state(d->dropper);
	if (state == DROPPER_GOES && d->a->w->boot_ms >= d->until_ms) {
		trace("dropper gives up", d->a->number, d->queue, d->cell, 0);
		end(d);
		return;
	}
	if (state == DROPPER_NEXT)
		ask_next(d);
	if (state == DROPPER_GOES || state == DROPPER_NEXT)
		return;
	trace("dropper ends", d->a->number, d->queue, state, dropper_count(d->dropper));
	if (state == DROPPER_FAILED)
		fails(d);
	end(d);
}

bool droppers_done(const struct drops *d)
{
	return !d->dropper;
}

bool droppers_ready(const struct drops *d)
{
	return d->dropper && (end_ready(&d->y) || (d->opened && end_ready(&d->z)) ||
				 d->a->w->boot_ms >= d->until_ms);
}

uint64_t droppers_due(const struct drops *d)
{
	if (!d->dropper)
		return UINT64_MAX;
	uint64_t due = end_due(&d->y), z = d->opened ? end_due(&d->z) : UINT64_MAX;
	due = z < due ? z : due;
	return d->until_ms < due ? d->until_ms : due;
}
