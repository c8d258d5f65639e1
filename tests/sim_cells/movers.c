#include "movers.h"

#include "../sim/trace.h"
#include "cell.h"
#include "checks.h"
#include "droppers.h"
#include "lists.h"

#include "core/base/cells.h"
#include "core/client/mover.h"

#include <assert.h>
#include <stdlib.h>

#define TIMEOUT_MS  20000
#define AGAIN_MAX   8  /* times that it begins anew where the queue may be in both cells */
#define FOLLOWS_MAX 20 /* cells that a queue is looked for in, before the mover gives up */

struct moves {
	struct mover *mover; /* NULL: none */
	struct drops *drops; /* what the process does instead, now and then */
	struct end x, y;
	unsigned queue, from, to;
	unsigned follows, agains;
	bool shortens; /* the way from `from` to `to` */
};

void movers_start(struct actor *a)
{
	a->moves = calloc(1, sizeof(*a->moves));
	assert(a->moves);
	a->moves->drops = droppers_new(a);
}

static void end(struct actor *a)
{
	struct moves *m = a->moves;
	if (!m->mover)
		return;
	end_deinit(&m->x);
	end_deinit(&m->y);
	mover_free(m->mover);
	m->mover = NULL;
}

void movers_stop(struct actor *a)
{
	if (a->moves) {
		if (a->moves->mover) {
			a->w->left = true;
			a->w->left_queue = a->moves->queue;
			a->w->left_cell = a->moves->to;
		}
		end(a);
		droppers_free(a->moves->drops);
	}
	free(a->moves);
	a->moves = NULL;
}

static struct mono_time now(const struct actor *a)
{
	return (struct mono_time){a->w->boot_ms + 1000000};
}

static void open_end(struct actor *a, struct end *e, unsigned cell, enum mover_side side)
{
	const struct client_config config = {
	    .window = (uint32_t)prng_range(&a->w->prng, 1, 16),
	    .timeout_ms = CLIENT_FOREVER,
	    .pinned = true,
	};
	struct client_host host = mover_host(a->moves->mover, side);
	end_init(e, a->w, cell, NULL, config, &host);
	e->clock_ms = 1000000;
}

static void begin(struct actor *a)
{
	uint8_t token[CELL_TOKEN_SIZE];
	store_u64(token, prng_next(&a->w->prng));
	store_u64(token + 8, prng_next(&a->w->prng));
	(a->moves->shortens ? mover_shorten : mover_begin)(
	    a->moves->mover, now(a), a->moves->x.client, a->moves->y.client, token);
}

static void start(struct actor *a, unsigned queue, unsigned from, unsigned to, bool shortens)
{
	struct moves *m = a->moves;
	const struct mover_config config = {.queue = world_queue(a->w, queue),
	    .to = slice_str(a->w->cells[to].name),
	    .timeout_ms = TIMEOUT_MS};
	m->queue = queue;
	m->from = from;
	m->to = to;
	m->mover = mover_new(&config);
	assert(m->mover);
	m->shortens = shortens;
	trace(shortens ? "mover shortens" : "mover", a->number, queue, from, to);
	open_end(a, &m->x, from, MOVER_X);
	open_end(a, &m->y, to, MOVER_Y);
	begin(a);
}

void movers_move(struct actor *a, unsigned queue, unsigned from, unsigned to)
{
	start(a, queue, from, to, false);
}

void movers_shorten(struct actor *a, unsigned queue, unsigned from, unsigned to)
{
	start(a, queue, from, to, true);
}

/* Once it has moved, the way from home is made shorter, as rmq-queue does. */
static void shorten_home(struct actor *a)
{
	struct moves *m = a->moves;
	static struct cells list;
	const char *why;
	uint32_t home = CELLS_NONE;
	if (!a->w->unlisted && !cells_parse(&list, slice_str(a->w->list), &why))
		home = cells_home(&list, world_queue(a->w, m->queue));
	struct daemon *d =
	    home == CELLS_NONE ? NULL : cell_named(a->w, cells_name(&list, home));
	unsigned queue = m->queue, from = m->from, to = m->to;
	bool moved = !m->shortens;
	end(a);
	if (moved && d && d->number != from && d->number != to)
		start(a, queue, d->number, to, true);
}

/* With new clients: one of them may have given up meanwhile. */
static void again(struct actor *a)
{
	struct moves *m = a->moves;
	unsigned queue = m->queue, from = m->from, to = m->to;
	bool shortens = m->shortens;
	end(a);
	if (lists_kind(a->w) != LISTS_WRONG || m->agains++ < AGAIN_MAX)
		start(a, queue, from, to, shortens);
}

/* It goes on where the queue is. */
static void follow(struct actor *a)
{
	struct moves *m = a->moves;
	struct slice servers;
	struct slice cell = mover_elsewhere(m->mover, &servers);
	struct daemon *d = cell_named(a->w, cell);
	unsigned queue = m->queue, to = m->to;
	if (!d)
		trace_fail("a mover is sent to cell %.*s, which there is not", (int)cell.len,
		    (const char *)cell.data);
	unsigned from = d->number;
	end(a);
	if (from != to && m->follows++ < FOLLOWS_MAX)
		movers_move(a, queue, from, to);
}

/* It may: others hold the queue for long, or it is not known what became of its session. */
static void fails(struct actor *a)
{
	struct slice text;
	enum mover_side side;
	enum rmq_error err = mover_error(a->moves->mover, &text, &side);
	if (err == RMQ_E_LIMIT && rmq_small_limits)
		return;
	/* Where daemons know of no cells nothing moves. */
	if (err == RMQ_E_CONFIG && a->w->unlisted)
		return;
	/* A cell is not known to another one, or the queue is in both, or a copy that nobody opens. */
	if (lists_kind(a->w) == LISTS_WRONG &&
	    (err == RMQ_E_USAGE || err == RMQ_E_EXISTS || err == RMQ_E_PAUSED))
		return;
	if (err != RMQ_E_TIMEOUT && err != RMQ_E_UNKNOWN_SESSION && err != RMQ_E_BUSY)
		trace_fail("a queue cannot be moved: %s: %.*s", error_text(err), (int)text.len,
		    (const char *)text.data);
}

static void ended(struct actor *a)
{
	struct moves *m = a->moves;
	enum mover_state state = mover_state(m->mover);
	if (state == MOVER_GOES)
		return;
	trace("mover ends", a->number, m->queue, state, mover_gone(m->mover));
	switch (state) {
	case MOVER_AGAIN:
		again(a);
		break;
	case MOVER_ELSEWHERE:
		if (m->shortens)
			end(a);
		else
			follow(a);
		break;
	case MOVER_FAILED:
		fails(a);
		end(a);
		break;
	default:
		shorten_home(a);
	}
}

/* What is between two cells has to be opened by somebody, if only because it is asked for. */
void movers_step(struct actor *a)
{
	struct world *w = a->w;
	struct moves *m = a->moves;
	struct prng *p = &w->prng;
	if (!droppers_done(m->drops)) {
		droppers_step(m->drops);
		return;
	}
	if (!m->mover && !w->calm && actors_set_up(w) && prng_chance(p, w->weather.moves)) {
		unsigned queue = (unsigned)prng_below(p, w->queues_count);
		unsigned holder = checks_holder(w, queue);
		unsigned to = (unsigned)prng_below(p, w->cells_count);
		/* A cell that was not told of others takes it that each queue may be made there. */
		if ((w->unlisted && holder == WORLD_CELLS) || !lists_use(w, to))
			return;
		if (holder == WORLD_CELLS || prng_chance(p, w->unlisted ? 0 : 100))
			holder = (unsigned)prng_below(p, w->cells_count);
		if (prng_chance(p, w->left ? 500 : 20)) {
			droppers_drop(m->drops, w->left ? w->left_queue : queue,
			    w->left ? w->left_cell : to);
			w->left = false;
			return;
		}
		m->follows = m->agains = 0;
		/* Whoever shortens a way may be wrong about where it is to end. */
		bool shortens = prng_chance(p, 300);
		if (shortens && prng_chance(p, 500))
			holder = (unsigned)prng_below(p, w->cells_count);
		if (!lists_use(w, holder))
			return;
		if (holder != to && shortens)
			start(a, queue, to, holder, true);
		else if (holder != to)
			movers_move(a, queue, holder, to);
	}
	if (!m->mover)
		return;
	end_pump(&m->x, false);
	mover_turn(m->mover, now(a));
	end_pump(&m->y, false);
	mover_turn(m->mover, now(a));
	end_pump(&m->x, false);
	ended(a);
}

bool movers_done(const struct actor *a)
{
	return !a->moves->mover && droppers_done(a->moves->drops);
}

bool movers_go(const struct actor *a, unsigned cell)
{
	const struct moves *m = a->moves;
	return m->mover && (m->to == cell || m->from == cell);
}

bool movers_ready(const struct actor *a)
{
	const struct moves *m = a->moves;
	if (!m->mover)
		return droppers_ready(m->drops);
	return (end_ready(&m->x) || end_ready(&m->y) || mover_due_ms(m->mover, now(a)) == 0);
}

uint64_t movers_due(const struct actor *a)
{
	const struct moves *m = a->moves;
	if (!m->mover)
		return droppers_due(m->drops);
	uint64_t due = end_due(&m->x), y = end_due(&m->y);
	uint64_t ms = mover_due_ms(m->mover, now(a));
	due = y < due ? y : due;
	if (ms != CLIENT_FOREVER && a->w->boot_ms + ms < due)
		due = a->w->boot_ms + ms;
	return due;
}

void movers_report(const struct actor *a)
{
	const struct moves *m = a->moves;
	if (!m->mover)
		return;
	struct mover_progress p = mover_progress(m->mover);
	trace("  moves", m->queue, m->from, m->to, p.doing);
	trace("  leased, links", p.leased, m->x.link != NULL, m->y.link != NULL, 0);
}
