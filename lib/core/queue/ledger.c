#include "core/queue/ledger.h"

#include <assert.h>

#include "core/base/memory.h"
#include "core/base/variant.h"
#include "core/queue/queue.h"
#include "core/wire/journal_wire.h"

/* A message that moves takes its bytes and at least this: its entry in the batch's ends. */
#define MOVED_LEAST 2

void ledger_init(struct ledger *l)
{
	*l = (struct ledger){0};
	STAILQ_INIT(&l->pending);
	TAILQ_INIT(&l->sparse);
	TAILQ_INIT(&l->small);
	l->log_from = UINT64_MAX;
	l->limits = (struct space_limits){
#define X(name, value) value,
	    SPACE_LIMITS(X)
#undef X
	};
}

void ledger_deinit(struct ledger *l)
{
	struct record *r;
	while ((r = records_from(&l->stored, 0))) {
		records_remove(&l->stored, r);
		free(r);
	}
	records_deinit(&l->stored);
	while ((r = STAILQ_FIRST(&l->pending))) {
		STAILQ_REMOVE_HEAD(&l->pending, pending);
		free(r);
	}
}

static void unlist(struct ledger *l, struct record *r)
{
	if (r->list == LIST_SPARSE) {
		TAILQ_REMOVE(&l->sparse, r, moveable);
		l->sparse_waste -= r->bytes - r->live_bytes;
	} else if (r->list == LIST_SMALL) {
		TAILQ_REMOVE(&l->small, r, moveable);
		l->small_bytes -= r->live_bytes;
		l->small_count--;
	}
	r->list = LIST_NONE;
}

/* Puts a stored record into the list that it belongs to. */
static void enlist(struct ledger *l, struct record *r)
{
	uint32_t few = RMQ_VARIANT(MOVE_UNJUDGED) ? r->bytes : r->bytes / 4;
	if (r->index == 0 || r->chunk || r->live == 0 || r->list != LIST_NONE)
		return;
	if (r->kept_live > 0 && r->live > r->kept_live / 2)
		return;
	if (r->bytes < l->limits.small_record) {
		r->list = LIST_SMALL;
		TAILQ_INSERT_TAIL(&l->small, r, moveable);
		l->small_bytes += r->live_bytes;
		l->small_count++;
	} else if (r->live_bytes + MOVED_LEAST * r->live < few) {
		r->list = LIST_SPARSE;
		TAILQ_INSERT_TAIL(&l->sparse, r, moveable);
		l->sparse_waste += r->bytes - r->live_bytes;
	}
}

static void forget(struct ledger *l, struct record *r)
{
	struct record *next = records_from(&l->stored, r->index + 1);
	assert(LIST_EMPTY(&r->batches));
	if (next)
		next->swept = false;
	unlist(l, r);
	records_remove(&l->stored, r);
	/* The last one that was gone through is to be named with what comes after it. */
	if (r->index < l->sweep_at && (!next || next->index >= l->sweep_at)) {
		l->sweep_at = r->index;
		l->sweep_cut = !r->swept;
	}
	bool later = r->n >= l->dead_from || r->index < l->sweep_at;
	if ((!(r->own || r->freed) || RMQ_VARIANT(DUE_BY_OWN)) && later &&
	    r->index < l->log_from)
		l->dead_bytes += r->bytes;
	free(r);
}

void ledger_parts_begin(struct ledger *l, uint64_t n)
{
	l->dead_bytes = 0;
	l->dead_from = n;
}

void ledger_parts_end(struct ledger *l)
{
	l->dead_from = 0;
	l->sweep_at = 0;
	l->sweep_cut = false;
}

void ledger_recovered(struct ledger *l, uint64_t begin, uint64_t bytes)
{
	struct record *r;
	l->dead_bytes += bytes;
	for (r = records_from(&l->stored, begin); r; r = records_from(&l->stored, r->index + 1))
		l->dead_bytes -= r->bytes < l->dead_bytes ? r->bytes : l->dead_bytes;
	l->log_from = UINT64_MAX;
}

struct record *ledger_begin(struct ledger *l, uint64_t n, bool own)
{
	struct record *r = memory_new(sizeof(*r));
	LIST_INIT(&r->batches);
	r->n = n;
	r->own = own;
	r->plain = true;
	STAILQ_INSERT_TAIL(&l->pending, r, pending);
	return r;
}

void ledger_end(struct ledger *l, struct record *r, uint32_t bytes)
{
	r->bytes = bytes;
	l->pending_bytes += bytes;
	l->pending_own_bytes += r->own ? bytes : 0;
}

void ledger_stored(struct ledger *l, uint64_t index)
{
	struct record *r = STAILQ_FIRST(&l->pending);
	assert(r);
	STAILQ_REMOVE_HEAD(&l->pending, pending);
	l->pending_bytes -= r->bytes;
	l->pending_own_bytes -= r->own ? r->bytes : 0;
	r->index = index;
	records_insert(&l->stored, r);
	if (r->live == 0)
		forget(l, r);
	else
		enlist(l, r);
}

struct record *ledger_at(struct ledger *l, uint64_t index, uint32_t bytes)
{
	struct record *r = records_at(&l->stored, index);
	if (r)
		return r;
	r = memory_new(sizeof(*r));
	LIST_INIT(&r->batches);
	r->index = index;
	r->bytes = bytes;
	records_insert(&l->stored, r);
	return r;
}

void ledger_tidy(struct ledger *l, struct record *r)
{
	if (r->live == 0)
		forget(l, r);
	else
		enlist(l, r);
}

void ledger_add(struct ledger *l, struct record *r, uint32_t live, uint32_t bytes)
{
	uint8_t list = r->list;
	unlist(l, r);
	r->live += live;
	r->live_bytes += bytes;
	if (list != LIST_NONE)
		enlist(l, r);
}

void ledger_drop(struct ledger *l, struct record *r, uint32_t live, uint32_t bytes)
{
	assert(r->live >= live && r->live_bytes >= bytes);
	if (r->list == LIST_SPARSE)
		l->sparse_waste += bytes;
	else if (r->list == LIST_SMALL)
		l->small_bytes -= bytes;
	r->live -= live;
	r->live_bytes -= bytes;
	if (r->index == 0)
		return;
	/* Recovery: a part that comes later may name it again. */
	if (r->live == 0 && l->log_from != UINT64_MAX && r->index < l->log_from) {
		r->freed = l->before_end;
		return;
	}
	if (r->live == 0)
		forget(l, r);
	else
		enlist(l, r);
}

struct record *ledger_moveable(struct ledger *l)
{
	struct record *small = TAILQ_FIRST(&l->small);
	if (l->sparse_waste >= l->limits.sparse_enough)
		return TAILQ_FIRST(&l->sparse);
	/*
	 * Once begun, all small records move: one alone would be small again, and the next to
	 * be moved, for ever.
	 */
	if (l->small_bytes >= l->limits.small_enough ||
	    l->small_count >= l->limits.small_too_many)
		l->merging = true;
	if (!small)
		l->merging = false;
	return l->merging ? small : NULL;
}

void ledger_keep(struct ledger *l, struct record *r)
{
	unlist(l, r);
	r->kept_live = r->live;
}

/* So many ranges in a list may be of what was named before; the others are for what is new. */
#define AGAIN_MAX(w) ((uint32_t)((w)->cap / HOLE_RANGE_SIZE / 2))

/* Writes [first, end) as ranges, or nothing and false if they do not fit. */
static bool put_range(struct writer *w, uint64_t first, uint64_t end)
{
	size_t len = w->len;
	while (first < end && !w->full) {
		uint64_t count = end - first < UINT32_MAX ? end - first : UINT32_MAX;
		hole_range_put(w, &(struct hole_range){first, (uint32_t)count});
		first += count;
	}
	if (!w->full)
		return true;
	w->len = len;
	w->full = false;
	return false;
}

/* A known-bad reason to name it: some queue that shared what is in it is done with that. */
static bool done_by_one(const struct record *r)
{
	const struct batch *b;
	uint32_t sharing = 0, most = 0;
	LIST_FOREACH (b, &r->batches, in_record) {
		sharing += b->shares > 1;
		most = b->shares > most ? b->shares : most;
	}
	return most > sharing;
}

bool ledger_sweeping(const struct ledger *l)
{
	return l->sweep_at > 0;
}

/* Names once more what comes before r, if there is place; else the next END goes on there. */
static void put_again(struct ledger *l, const struct record *r, struct writer *w)
{
	if (l->again_left == 0 || r->index < l->again_at || l->sweep_at == r->index)
		return;
	if (--l->again_left == 0 || !put_range(w, l->sweep_at, r->index)) {
		l->again_left = 0;
		l->again_at = r->index;
	}
}

bool ledger_sweep(struct ledger *l, uint64_t begin, uint64_t *steps, struct writer *w)
{
	struct record *r;
	if (l->sweep_at == 0) {
		l->sweep_at = 1;
		l->again_left = RMQ_VARIANT(DEAD_ONCE) ? 0 : AGAIN_MAX(w);
	}
	for (r = records_from(&l->stored, l->sweep_at); r && r->index < begin;
	     r = records_from(&l->stored, r->index + 1)) {
		if (RMQ_VARIANT(END_KILLS_LIVE))
			break;
		if (RMQ_VARIANT(SHARED_ONCE) && done_by_one(r))
			continue;
		if (*steps == 0)
			return false;
		--*steps;
		if (r->swept)
			put_again(l, r, w);
		else if (!put_range(w, l->sweep_at, r->index))
			return true;
		r->swept = !l->sweep_cut;
		l->sweep_cut = false;
		l->sweep_at = r->index + 1;
	}
	if (l->again_left > 0)
		l->again_at = 0;
	/* What does not fit is for the next END. */
	(void)put_range(w, l->sweep_at, begin);
	return true;
}
