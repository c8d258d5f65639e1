#include "lists.h"

#include "../sim/trace.h"
#include "actors.h"
#include "cell.h"
#include "checks.h"
#include "movers.h"

#include "core/base/cells.h"
#include "core/base/name.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define OPS_MAX	   64
#define STEP_OF	   20  /* of 1000 steps of the world */
#define WRONG_OF   2   /* … in which somebody has another list, where they are wrong */
#define ATTEMPT_OF 100 /* of 1000 of the operator's, to begin a move */

/* A list: the last cell is not in it; is, and does not hash; does. */
enum version { WITHOUT, PLUS, HASHES, VERSIONS };

enum what {
	TELL,	 /* this cell's daemon has the list from now on */
	CLIENTS, /* new clients have */
	HOMES,	 /* what is not at home by the list is moved there */
	BIND,	 /* what is bound is bound in the last cell, too */
	EMPTY,	 /* nothing is in the last cell, and no other one leads to it */
	RENEW,	 /* clients with an older list end */
	STOP	 /* the last cell is gone */
};

struct op {
	enum what what;
	unsigned cell;
	enum version version;
};

struct lists {
	enum lists_kind kind;
	struct prng prng;
	char texts[VERSIONS][sizeof(((struct world *)NULL)->list)];
	enum version told[WORLD_CELLS], clients, last;
	unsigned phase; /* of what the operator has done */
	struct op ops[OPS_MAX];
	unsigned count, at;
	unsigned queue; /* HOMES, BIND: the one whose turn it is */
	bool begun;	/* … its move, or its binding */
	struct end side;
	bool bound;
	bool leaves; /* nothing is moved to the last cell any more */
};

static unsigned last_cell(const struct world *w)
{
	return w->cells_count - 1;
}

enum lists_kind lists_kind(const struct world *w)
{
	return w->lists ? w->lists->kind : LISTS_STILL;
}

/* ---- making ---- */

/* Of the others, those that hash in the world's list do. */
static void make_text(struct world *w, enum version v)
{
	static struct cells list;
	const char *why;
	char *text = w->lists->texts[v];
	size_t len = 0, cap = sizeof(w->lists->texts[v]);
	if (cells_parse(&list, slice_str(w->list), &why))
		trace_fail("the list of cells is none: %s", why);
	for (unsigned i = 0; i < w->cells_count; i++) {
		const struct daemon *d = &w->cells[i];
		bool last = i == last_cell(w),
		     hashes = last ? v == HASHES : list.cells[i].hashes;
		if (!last || v != WITHOUT)
			len += (size_t)snprintf(text + len, cap - len, "%s%s%s=%s",
			    i ? ";" : "", d->name, hashes ? "" : "+", d->address);
	}
}

static void set_clients(struct world *w, enum version v)
{
	snprintf(w->older, sizeof(w->older), "%s", w->list);
	snprintf(w->list, sizeof(w->list), "%s", w->lists->texts[v]);
	w->lists->clients = v;
}

void lists_make(struct world *w)
{
	struct prng p = {.state = w->later.state * 11 + 3};
	if (w->unlisted || w->cells_count < 2 || !prng_chance(&p, 300))
		return;
	struct lists *l = w->lists = calloc(1, sizeof(*l));
	assert(l);
	l->kind = prng_chance(&p, 600) ? LISTS_ORDERLY : LISTS_WRONG;
	l->phase = (unsigned)prng_below(&p, VERSIONS);
	for (unsigned v = 0; v < VERSIONS; v++)
		make_text(w, (enum version)v);
	for (unsigned i = 0; i < w->cells_count; i++) {
		l->told[i] = (enum version)l->phase;
		/* Its own daemons have it first. */
		if (i == last_cell(w) && l->told[i] == WITHOUT)
			l->told[i] = PLUS;
		w->cells[i].list = l->texts[l->told[i]];
	}
	set_clients(w, (enum version)l->phase);
	snprintf(w->older, sizeof(w->older), "%s", w->list);
	l->last = prng_chance(&p, 500) ? HASHES : PLUS;
	l->prng = p;
	if (l->kind == LISTS_WRONG) {
		w->weather.topics = w->weather.remove = 0;
		w->bound = 0;
	}
}

void lists_free(struct world *w)
{
	if (!w->lists)
		return;
	end_deinit(&w->lists->side);
	free(w->lists);
}

bool lists_use(const struct world *w, unsigned cell)
{
	const struct lists *l = w->lists;
	if (!l || l->kind == LISTS_WRONG || cell != last_cell(w))
		return true;
	return l->clients != WITHOUT && !l->leaves;
}

unsigned lists_contact(struct world *w, struct prng *p)
{
	unsigned cell = (unsigned)prng_below(p, w->cells_count);
	return lists_use(w, cell) ? cell : 0;
}

/* ---- what the operator does ---- */

static void plan(struct lists *l, enum what what, unsigned cell, enum version v)
{
	assert(l->count < OPS_MAX);
	l->ops[l->count++] = (struct op){what, cell, v};
}

/* All cells but the last one, in any order. */
static void plan_others(struct world *w, enum version v)
{
	unsigned others = last_cell(w);
	unsigned at = others ? (unsigned)prng_below(&w->lists->prng, others) : 0;
	for (unsigned i = 0; i < others; i++)
		plan(w->lists, TELL, (at + i) % others, v);
}

static void plan_homes(struct lists *l, enum version v)
{
	plan(l, HOMES, 0, v);
	plan(l, BIND, 0, v);
}

/* The steps of rmq(7). */
static void plan_phase(struct world *w)
{
	struct lists *l = w->lists;
	l->count = l->at = 0;
	switch (l->phase++) {
	case 0: /* the cell is added */
		plan_others(w, PLUS);
		plan(l, BIND, 0, PLUS);
		plan(l, CLIENTS, 0, PLUS);
		break;
	case 1: /* … and hashes */
		plan_homes(l, HASHES);
		plan_others(w, HASHES);
		plan_homes(l, HASHES);
		plan(l, TELL, last_cell(w), HASHES);
		plan(l, CLIENTS, 0, HASHES);
		break;
	case 2: /* … no more */
		plan_homes(l, PLUS);
		plan(l, TELL, last_cell(w), PLUS);
		plan_homes(l, PLUS);
		plan_others(w, PLUS);
		plan(l, CLIENTS, 0, PLUS);
		break;
	case 3: /* it is taken away */
		plan(l, EMPTY, 0, WITHOUT);
		plan(l, CLIENTS, 0, WITHOUT);
		plan(l, RENEW, 0, WITHOUT);
		plan_others(w, WITHOUT);
		plan(l, STOP, 0, WITHOUT);
		break;
	}
}

/* By a new start. */
static void tell(struct world *w, unsigned cell, enum version v)
{
	struct daemon *d = &w->cells[cell];
	struct prng *p = &w->lists->prng;
	trace("told", cell, v, 0, 0);
	w->lists->told[cell] = v;
	d->list = w->lists->texts[v];
	if (d->up)
		cell_crash(
		    d, w->calm ? d->journal.op_count : prng_below(p, d->journal.op_count + 1));
	if (w->calm || prng_chance(p, 500))
		cell_start(d);
}

/* Some process that moves nothing; NULL: there is none now. */
static struct actor *idle_mover(struct world *w)
{
	unsigned at = (unsigned)prng_below(&w->lists->prng, w->movers_count);
	for (unsigned i = 0; i < w->movers_count; i++) {
		struct actor *a = &w->actors[w->movers + (at + i) % w->movers_count];
		if (movers_done(a))
			return a;
	}
	return NULL;
}

static unsigned home_of(const struct world *w, unsigned queue, enum version v)
{
	static struct cells list;
	const char *why;
	if (cells_parse(&list, slice_str(w->lists->texts[v]), &why))
		trace_fail("the list of cells is none: %s", why);
	return cell_named((struct world *)(uintptr_t)w,
	    cells_name(&list, cells_home(&list, world_queue(w, queue))))
	    ->number;
}

/* The next queue's turn; whether it was the last one's. */
static bool next_queue(struct world *w)
{
	struct lists *l = w->lists;
	l->begun = false;
	if (++l->queue < w->queues_count)
		return false;
	l->queue = 0;
	return true;
}

/* A move is begun, now and then: the one before may have failed. */
static void move(struct world *w, unsigned from, unsigned to)
{
	struct lists *l = w->lists;
	struct actor *a = idle_mover(w);
	if (!a || !prng_chance(&l->prng, ATTEMPT_OF))
		return;
	trace("operator moves", l->queue, from, to, 0);
	l->begun = true;
	movers_move(a, l->queue, from, to);
}

/* Each queue that is not at home by that list is moved there, again until its home knows it. */
static bool move_home(struct world *w, enum version v)
{
	struct lists *l = w->lists;
	unsigned home = home_of(w, l->queue, v), at = checks_place(w, l->queue);
	if (at == WORLD_CELLS || at == home || (l->begun && checks_knows(w, l->queue, home)))
		return next_queue(w);
	move(w, at, home);
	return false;
}

static void bound(void *arg, const struct client_command *cmd, struct slice stale)
{
	(void)cmd, (void)stale;
	((struct lists *)arg)->bound = true;
}

static enum client_verdict not_bound(void *arg, const struct client_command *cmd,
    enum rmq_error code, uint32_t at, struct slice text)
{
	(void)arg, (void)cmd, (void)at;
	trace_fail("a queue is not bound: %s: %.*s", error_text(code), (int)text.len,
	    (const char *)text.data);
}

/* As rmq-queue bind does, in the last cell. */
static bool bind(struct world *w)
{
	struct lists *l = w->lists;
	const struct client_config config = {
	    .window = 1, .timeout_ms = CLIENT_FOREVER, .pinned = true};
	const struct client_host host = {.arg = l, .done = bound, .failed = not_bound};
	if (!l->begun &&
	    (!(w->bound >> l->queue & 1) || checks_holder(w, l->queue) == last_cell(w)))
		return next_queue(w);
	if (!l->begun) {
		actors_bind_away(w, &l->side, l->queue, last_cell(w), &config, &host);
		l->begun = true;
		l->bound = false;
	}
	end_pump(&l->side, false);
	if (!l->bound && !client_dead(l->side.client))
		return false;
	bool done = l->bound;
	end_deinit(&l->side);
	l->begun = done;
	return done && next_queue(w);
}

static bool movers_go_to(const struct world *w, unsigned cell)
{
	for (unsigned i = 0; i < w->movers_count; i++)
		if (movers_go(&w->actors[w->movers + i], cell))
			return true;
	return false;
}

/* Its queues go where they will be at home, and no other cell leads to it. */
static bool empty(struct world *w)
{
	struct lists *l = w->lists;
	unsigned last = last_cell(w);
	l->leaves = true;
	if (movers_go_to(w, last))
		return false;
	if (checks_place(w, l->queue) == last) {
		move(w, last, home_of(w, l->queue, WITHOUT));
		return false;
	}
	unsigned to = checks_place(w, l->queue), from = checks_leads(w, l->queue, last);
	if (to != WORLD_CELLS && from != WORLD_CELLS) {
		struct actor *a = idle_mover(w);
		if (a && from != to)
			movers_shorten(a, l->queue, from, to);
		return false;
	}
	return next_queue(w) && checks_away(w, last) == 0 && !movers_go_to(w, last);
}

static bool done(struct world *w, const struct op *op)
{
	switch (op->what) {
	case TELL:
		tell(w, op->cell, op->version);
		return true;
	case CLIENTS:
		trace("clients have", op->version, 0, 0, 0);
		set_clients(w, op->version);
		return true;
	case HOMES:
		return move_home(w, op->version);
	case BIND:
		return bind(w);
	case EMPTY:
		return empty(w);
	case RENEW:
		snprintf(w->older, sizeof(w->older), "%s", w->list);
		actors_renew(w);
		return true;
	default:
		trace("stopped", last_cell(w), 0, 0, 0);
		cell_stop(&w->cells[last_cell(w)]);
		return true;
	}
}

/* ---- wrong ones ---- */

static void go_wrong(struct world *w)
{
	struct lists *l = w->lists;
	unsigned who = (unsigned)prng_below(&l->prng, w->cells_count + 1);
	enum version v = (enum version)prng_below(&l->prng, VERSIONS);
	/* Its own daemon knows it: without itself in its list none starts. */
	if (who == last_cell(w) && v == WITHOUT)
		v = PLUS;
	if (who == w->cells_count)
		set_clients(w, v);
	else
		tell(w, who, v);
}

/* All have the same one. */
static void agree(struct world *w)
{
	struct lists *l = w->lists;
	for (unsigned i = 0; i < w->cells_count; i++)
		if (l->told[i] != l->last)
			tell(w, i, l->last);
	if (l->clients != l->last) {
		set_clients(w, l->last);
		snprintf(w->older, sizeof(w->older), "%s", w->list);
		actors_renew(w);
	}
}

void lists_step(struct world *w)
{
	struct lists *l = w->lists;
	if (!l || !actors_set_up(w) || (!w->calm && !prng_chance(&l->prng, STEP_OF)))
		return;
	if (l->kind == LISTS_WRONG) {
		if (w->calm)
			agree(w);
		else if (prng_chance(&l->prng, WRONG_OF * 1000 / STEP_OF))
			go_wrong(w);
		return;
	}
	if (l->at < l->count)
		l->at += done(w, &l->ops[l->at]);
	else if (!w->calm && prng_chance(&l->prng, STEP_OF))
		plan_phase(w);
}

bool lists_done(const struct world *w)
{
	const struct lists *l = w->lists;
	if (!l || l->kind == LISTS_ORDERLY)
		return !l || l->at == l->count;
	for (unsigned i = 0; i < w->cells_count; i++)
		if (l->told[i] != l->last)
			return false;
	return l->clients == l->last;
}
