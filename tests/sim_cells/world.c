#include "world.h"

#include "../sim/trace.h"
#include "actors.h"
#include "cell.h"
#include "checks.h"
#include "inputs.h"
#include "lists.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define START_BOOT_MS 5000000
#define CUT_TRIES     20
#define CALM_ROUNDS   60000
#define CALM_LEAP     5000 /* rounds */
#define CALM_LEAP_MS  3600000

static const char *const names[WORLD_QUEUES] = {
    "jobs", "mail", "x", "a.b", "orders", "log.at.c1", "q", "z"};

struct slice world_queue(const struct world *w, unsigned queue)
{
	static char name[16];
	if (!w->numbered)
		return slice_str(names[queue]);
	snprintf(name, sizeof(name), "q%07u", queue);
	return slice_str(name);
}

/* A rate that is 0 for some seeds, so that each fault is also seen alone. */
static unsigned rate(struct prng *p, unsigned max)
{
	return prng_chance(p, 300) ? 0 : (unsigned)prng_range(p, 1, max);
}

static struct weather random_weather(struct prng *p)
{
	return (struct weather){
	    .out_of = prng_chance(p, 150) ? 1000 : 10000,
	    .crash = rate(p, 8),
	    .tense = rate(p, 200),
	    .cut = rate(p, 15),
	    .stall = rate(p, 10),
	    .pause = rate(p, 10),
	    .jump = rate(p, 10),
	    .leap = rate(p, 10),
	    .death = rate(p, 8),
	    .commit = (unsigned)prng_range(p, 50, 250),
	    .checkpoint = rate(p, 60),
	    .tense_checkpoint = rate(p, 500),
	    .large = rate(p, 40),
	    .shared = rate(p, 300),
	    .topics = rate(p, 300),
	    .both = rate(p, 150),
	    .cancel = rate(p, 100),
	    .pace = (unsigned)prng_range(p, 5, prng_chance(p, 500) ? 50 : 300),
	    .moves = (unsigned)prng_range(p, 50, 500),
	    .haste = rate(p, 600),
	    .rogue = rate(p, 300),
	};
}

/* Some seeds have each queue's part in a turn of its own. */
static struct space_limits random_space(struct prng *p)
{
	uint32_t small = (uint32_t)prng_range(p, 100, 4000);
	return (struct space_limits){
	    .small_record = small,
	    .small_enough = 4 * small,
	    .small_too_many = (uint32_t)prng_range(p, 5, 50),
	    .sparse_enough = (uint32_t)prng_range(p, 500, 20000),
	    .log_enough = (uint32_t)prng_range(p, 5000, 300000),
	    .dead_enough = (uint32_t)prng_range(p, 2000, 100000),
	    .turn_bytes = prng_chance(p, 500) ? 1 : (uint32_t)prng_range(p, 100, 10000),
	    .turn_steps = (uint32_t)prng_range(p, 1, 40),
	    .reserve_bytes = (uint32_t)prng_range(p, 1000, 100000),
	};
}

/* Some cells have come later: nothing is at home there but what they were given. */
static void make_list(struct world *w)
{
	unsigned first = (unsigned)prng_range(&w->prng, 1, w->cells_count);
	size_t len = 0, older = 0;
	for (unsigned i = 0; i < w->cells_count; i++) {
		const struct daemon *d = &w->cells[i];
		len += (size_t)snprintf(w->list + len, sizeof(w->list) - len, "%s%s%s=%s",
		    i ? ";" : "", d->name, i < first ? "" : "+", d->address);
		if (i < first)
			older = len;
	}
	snprintf(w->older, sizeof(w->older), "%.*s", (int)older, w->list);
}

/* What all queues remember of ids has a limit, beyond which senders wait: not by small ones. */
static enum queue_kind random_kind(struct world *w, unsigned queue)
{
	enum queue_kind kind = (enum queue_kind)prng_below(&w->prng, QUEUE_KINDS);
	for (unsigned i = 0; i < queue && rmq_small_limits; i++)
		if (kind == QUEUE_IDS && w->kinds[i] == QUEUE_IDS)
			kind = QUEUE_PLAIN;
	return kind;
}

struct world *world_new(uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));
	assert(w);
	w->prng.state = seed;
	w->later.state = seed * 7 + 1;
	w->weather = random_weather(&w->prng);
	w->space = random_space(&w->prng);
	rmq_small_limits = prng_chance(&w->prng, 300);
	w->boot_ms = START_BOOT_MS;
	w->lines_goal = (uint32_t)prng_range(&w->prng, 50, 800);
	w->cells_count = (unsigned)prng_range(&w->prng, 2, prng_chance(&w->prng, 200) ? 6 : 3);
	w->queues_count = (unsigned)prng_range(&w->prng, 1, prng_chance(&w->prng, 500) ? 2 : 5);
	w->unlisted = prng_chance(&w->prng, 100);
	/* A queue is made where it is asked for, if its daemon knows no better: clients must name one. */
	if (w->unlisted) {
		w->queues_count = 1;
		w->weather.shared = w->weather.topics = 0;
	}
	for (unsigned i = 0; i < w->queues_count; i++)
		w->kinds[i] = random_kind(w, i);
	/* … and would be made by whoever asks elsewhere, once it was removed. */
	if (prng_chance(&w->later, 300) && !w->unlisted)
		w->weather.remove = (unsigned)prng_range(&w->later, 1, 100);
	/* Small limits let three queues be bound. */
	w->bound = w->weather.topics > 0 ? (uint32_t)prng_range(&w->prng, 1, 7) : 0;
	w->bound &= (1u << w->queues_count) - 1;
	if (w->bound == 0)
		w->weather.topics = 0;
	for (unsigned i = 0; i < w->queues_count; i++)
		if (w->kinds[i] == QUEUE_LANED && w->dead == 0 && prng_chance(&w->prng, 400))
			w->dead = 1u << i;
	w->cells = calloc(w->cells_count, sizeof(*w->cells));
	assert(w->cells);
	for (unsigned i = 0; i < w->cells_count; i++)
		cell_init(&w->cells[i], w, i);
	make_list(w);
	checks_make(w);
	for (unsigned i = 0; i < w->cells_count; i++)
		w->cells[i].list = w->unlisted ? NULL : w->list;
	lists_make(w);
	input_make(w);
	for (unsigned i = 0; i < w->cells_count; i++)
		cell_start(&w->cells[i]);
	actors_make(w);
	return w;
}

void world_free(struct world *w)
{
	actors_free(w);
	lists_free(w);
	input_free(w);
	for (unsigned i = 0; i < w->cells_count; i++)
		cell_deinit(&w->cells[i]);
	checks_free(w);
	lines_free(&w->lines);
	free(w->cells);
	free(w);
}

/* ---- what may go wrong ---- */

static struct daemon *some_cell(struct world *w)
{
	return &w->cells[prng_below(&w->prng, w->cells_count)];
}

static struct link *some_link(struct world *w)
{
	struct daemon *d = some_cell(w);
	return d->net.count ? d->net.links[prng_below(&w->prng, d->net.count)] : NULL;
}

static void crash_of(struct world *w, struct daemon *d)
{
	size_t ops = d->journal.op_count;
	if (d->up)
		cell_crash(d, prng_chance(&w->prng, 500) ? 0 : prng_below(&w->prng, ops + 1));
}

static void crash(struct world *w)
{
	crash_of(w, some_cell(w));
}

/* Mostly one that has stalled: what was answered meanwhile is lost. */
static void cut(struct world *w)
{
	struct link *l = some_link(w);
	for (unsigned i = 0; l && l->stalled_until <= w->boot_ms && i < CUT_TRIES; i++)
		l = some_link(w);
	if (!l)
		return;
	trace("cut", l->daemon->number, l->id, 0, 0);
	net_break(l, &w->prng);
}

static void stall(struct world *w)
{
	struct link *l = some_link(w);
	if (l)
		l->stalled_until = w->boot_ms + prng_range(&w->prng, 10, 3000);
}

static void pause_somebody(struct world *w)
{
	uint64_t ms = prng_range(&w->prng, 10, 4000);
	trace("pause", ms, 0, 0, 0);
	if (prng_chance(&w->prng, 250))
		some_cell(w)->paused_until = w->boot_ms + ms;
	else
		actors_pause(w, ms);
}

static void jump(struct world *w)
{
	struct daemon *d = some_cell(w);
	int64_t by = (int64_t)prng_range(&w->prng, 1, 7200000);
	d->wall_offset_ms += prng_chance(&w->prng, 500) ? by : -by;
	if (d->wall_offset_ms > d->wall_highest_ms)
		d->wall_highest_ms = d->wall_offset_ms;
	trace("jump", d->number, (uint64_t)d->wall_offset_ms, 0, 0);
}

static void leap(struct world *w)
{
	w->boot_ms += prng_range(&w->prng, 50, 3000);
	trace("leap", w->boot_ms, 0, 0, 0);
}

static void die(struct world *w)
{
	actors_die(w);
}

static bool fault(struct world *w)
{
	const struct weather *t = &w->weather;
	const struct {
		unsigned rate;
		void (*happens)(struct world *);
	} faults[] = {{t->crash, crash}, {t->cut, cut}, {t->stall, stall},
	    {t->pause, pause_somebody}, {t->jump, jump}, {t->leap, leap}, {t->death, die}};
	uint64_t at = prng_below(&w->prng, t->out_of);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		if (at < faults[i].rate) {
			faults[i].happens(w);
			return true;
		}
		at -= faults[i].rate;
	}
	return false;
}

/* ---- what goes on ---- */

void world_step(struct world *w)
{
	struct prng *p = &w->prng;
	struct daemon *d = some_cell(w);
	if (prng_chance(p, 400))
		w->boot_ms += prng_range(p, 1, 6);
	lists_step(w);
	if (fault(w))
		return;
	if (!d->up && !d->stopped && prng_chance(p, 100))
		cell_start(d);
	if (prng_chance(p, 2))
		cell_replay(d);
	if (prng_chance(p, w->weather.commit)) {
		cell_commit(d, (size_t)prng_range(p, 1, d->journal.op_count + 1));
		return;
	}
	switch (prng_below(p, 4)) {
	case 0:
		if (cell_ready(d))
			cell_turn(d);
		if (d->tense > 0) {
			d->tense--;
			if (prng_chance(p, w->weather.tense))
				crash_of(w, d);
		}
		break;
	case 1:
		for (size_t i = 0; i < 2 * d->net.count; i++)
			net_move(&d->net, p, w->boot_ms);
		break;
	default:
		actors_step(w);
	}
}

/* ---- the calm ---- */

/* One round in which everybody does what there is to do; then time goes on. */
static void calm_round(struct world *w)
{
	bool ready = false;
	uint64_t due = UINT64_MAX;
	lists_step(w);
	for (unsigned i = 0; i < 2 * w->actors_count; i++)
		actors_step(w);
	for (unsigned i = 0; i < w->cells_count; i++) {
		struct daemon *d = &w->cells[i];
		net_move_all(&d->net, w->boot_ms);
		for (unsigned turns = 0; turns < 100 && cell_ready(d); turns++) {
			cell_turn(d);
			cell_commit(d, d->journal.op_count);
		}
		net_move_all(&d->net, w->boot_ms);
		cell_commit(d, d->journal.op_count);
		ready |= cell_ready(d);
		due = cell_due(d) < due ? cell_due(d) : due;
	}
	if (actors_ready(w) || ready || !lists_done(w)) {
		w->boot_ms++;
		return;
	}
	due = actors_due(w) < due ? actors_due(w) : due;
	w->boot_ms = due != UINT64_MAX && due > w->boot_ms ? due : w->boot_ms + 1;
}

void world_set_up(struct world *w)
{
	/* Where lists are wrong it would not be known which one is first. */
	if (prng_chance(&w->prng, 250) && lists_kind(w) != LISTS_WRONG)
		return;
	w->calm = true;
	while (!actors_set_up(w))
		calm_round(w);
	w->calm = false;
}

static bool calm_done(struct world *w)
{
	for (unsigned i = 0; i < w->cells_count; i++)
		if (!w->cells[i].stopped &&
		    (!jm_idle(&w->cells[i].journal) || broker_pending(w->cells[i].broker)))
			return false;
	return lists_done(w) && actors_done(w) && checks_live_all(w) == 0;
}

static void begin_calm(struct world *w)
{
	trace("calm", checks_live_all(w), w->lines.count, 0, 0);
	w->calm = true;
	for (unsigned i = 0; i < w->cells_count; i++) {
		struct daemon *d = &w->cells[i];
		if (!d->up && !d->stopped)
			cell_start(d);
		d->paused_until = 0;
		/* What waits for a clock that was set back would wait for hours. */
		d->wall_offset_ms = d->wall_highest_ms;
	}
	actors_wake(w);
}

void world_calm(struct world *w)
{
	unsigned rounds = 0;
	begin_calm(w);
	while (!calm_done(w)) {
		calm_round(w);
		/* What waits for another cell's clock may do so for as long as that was set back. */
		if (rounds % CALM_LEAP == CALM_LEAP - 1) {
			w->boot_ms += CALM_LEAP_MS;
			actors_make_room(w);
		}
		if (++rounds > CALM_ROUNDS) {
			actors_report(w);
			checks_report(w);
			trace_fail("the calm does not end: %llu messages are left",
			    (unsigned long long)checks_live_all(w));
		}
	}
	for (unsigned i = 0; i < w->cells_count; i++)
		cell_replay(&w->cells[i]);
	checks_end(w);
}
