#include "core/queue/expiry.h"

#include <stdlib.h>

#include "core/base/memory.h"
#include "core/base/variant.h"
#include "core/queue/queue.h"

static int seq_compare(const struct expiry *a, const struct expiry *b)
{
	return a->first < b->first ? -1 : a->first > b->first;
}

static int time_compare(const struct expiry *a, const struct expiry *b)
{
	if (a->at_ms != b->at_ms)
		return a->at_ms < b->at_ms ? -1 : 1;
	if (a->queue->id != b->queue->id)
		return a->queue->id < b->queue->id ? -1 : 1;
	return seq_compare(a, b);
}

RB_PROTOTYPE(expiry_tree, expiry, by_seq, seq_compare)
RB_PROTOTYPE(expiry_timers, expiry, by_time, time_compare)
RB_GENERATE(expiry_tree, expiry, by_seq, seq_compare)
RB_GENERATE(expiry_timers, expiry, by_time, time_compare)

static void set_timed(struct expiry *x, bool timed)
{
	struct expiry_timers *t = &x->queue->timers->expiries;
	if (timed && !x->timed)
		RB_INSERT(expiry_timers, t, x);
	if (!timed && x->timed)
		RB_REMOVE(expiry_timers, t, x);
	x->timed = timed;
}

static void expiry_free(struct expiry *x)
{
	set_timed(x, false);
	RB_REMOVE(expiry_tree, &x->queue->expiries, x);
	x->queue->ledger->part_bytes -= EXPIRY_PART_MAX;
	free(x);
}

void expiry_add(
    struct queue *q, uint64_t first, uint64_t count, uint64_t live, uint64_t at_ms, bool own)
{
	struct expiry *x = RB_MAX(expiry_tree, &q->expiries);
	if (live == 0)
		return;
	if (x && x->end == first && x->at_ms == at_ms && x->own == own) {
		x->end += count;
		x->live += live;
		set_timed(x, true);
		return;
	}
	x = memory_new(sizeof(*x));
	x->queue = q;
	x->first = x->next = first;
	x->end = first + count;
	x->live = live;
	x->at_ms = at_ms;
	x->own = own;
	RB_INSERT(expiry_tree, &q->expiries, x);
	q->ledger->part_bytes += EXPIRY_PART_MAX;
	set_timed(x, true);
}

struct expiry *expiry_from(struct queue *q, uint64_t seq)
{
	struct expiry *x = RB_ROOT(&q->expiries), *found = NULL;
	while (x) {
		if (x->end > seq) {
			found = x;
			x = RB_LEFT(x, by_seq);
		} else {
			x = RB_RIGHT(x, by_seq);
		}
	}
	return found;
}

uint64_t expiry_own(struct queue *q, uint64_t first, uint64_t *end)
{
	const struct expiry *x = expiry_from(q, first);
	bool in = x && x->first <= first;
	if (x && *end > (in ? x->end : x->first))
		*end = in ? x->end : x->first;
	return in && x->own ? x->at_ms : 0;
}

struct expiry *expiry_next(struct expiry *x)
{
	return RB_NEXT(expiry_tree, NULL, x);
}

struct expiry *expiry_due(struct timers *t)
{
	return RB_MIN(expiry_timers, &t->expiries);
}

void expiry_passed(struct expiry *x, uint64_t next)
{
	x->next = next;
	if (next >= x->end)
		set_timed(x, false);
}

void expiry_leave(struct queue *q, uint64_t first, uint64_t end)
{
	struct expiry *x = expiry_from(q, first), *after;
	for (; x && x->first < end; x = after) {
		uint64_t from = first > x->first ? first : x->first;
		uint64_t to = end < x->end ? end : x->end;
		after = expiry_next(x);
		x->live -= queue_count_live(q, from, to - from);
		if (x->live == 0)
			expiry_free(x);
	}
}

void expiry_return(struct queue *q, uint64_t first, uint64_t end)
{
	struct expiry *x = expiry_from(q, first);
	for (; x && x->first < end && !RMQ_VARIANT(EXPIRY_OF_HELD); x = expiry_next(x)) {
		if (first < x->next)
			x->next = first > x->first ? first : x->first;
		set_timed(x, true);
	}
}
