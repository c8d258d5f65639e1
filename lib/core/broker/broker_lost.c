/*
 * Lost: a record whose bodies cannot be read any more costs the messages in it, and no
 * others.  They leave their queues by LOST events, whatever their state is, so that nobody
 * is handed what is not there, no failure is counted for it, and the counts are right.
 */
#include "core/broker/broker_state.h"

#include "core/base/memory.h"
#include "core/base/variant.h"

/* Messages [first, end) of a queue whose bodies are in the record, settled ones among them. */
struct lost_run {
	struct queue *queue;
	uint64_t first;
	uint64_t end;
};

struct lost_runs {
	struct lost_run *all;
	size_t count;
	size_t cap;
};

static void add_run(struct broker *b, struct lost_runs *l, const struct batch *m)
{
	l->all = memory_grow(l->all, l->count, &l->cap, sizeof(*l->all));
	l->all[l->count++] =
	    (struct lost_run){broker_queue(b, m->queue), m->first, m->first + m->count};
}

static bool has_part_in(const struct large *large, uint64_t index)
{
	for (uint32_t i = 0; i < large->parts; i++)
		if (large->part[i].record->index == index)
			return true;
	return false;
}

/* Large messages are in no list of their records: all queues are looked through. */
static void find_large(struct broker *b, uint64_t index, struct lost_runs *l)
{
	struct queue *q;
	struct batch *m;
	RB_FOREACH (q, queue_id_tree, &b->queues_by_id)
		RB_FOREACH (m, batch_tree, &q->batches)
			if (m->is_large && has_part_in(m->large, index))
				add_run(b, l, m);
}

static int run_compare(const void *x, const void *y)
{
	const struct lost_run *a = x, *b = y;
	if (a->queue != b->queue)
		return a->queue->id < b->queue->id ? -1 : 1;
	return a->first < b->first ? -1 : a->first > b->first;
}

/* In order, and joined where one goes on where another ends. */
static void put_in_order(struct lost_runs *l)
{
	size_t kept = 0;
	if (l->count > 0)
		qsort(l->all, l->count, sizeof(*l->all), run_compare);
	for (size_t i = 0; i < l->count; i++) {
		struct lost_run *last = kept > 0 ? &l->all[kept - 1] : NULL;
		if (last && last->queue == l->all[i].queue && last->end == l->all[i].first)
			last->end = l->all[i].end;
		else
			l->all[kept++] = l->all[i];
	}
	l->count = kept;
}

uint64_t broker_lost(struct broker *b, uint64_t index, broker_lost_fn *each, void *arg)
{
	struct record *r = records_at(&b->ledger.stored, index);
	struct lost_runs l = {0};
	struct batch *m;
	uint64_t lost = 0;
	if (!r)
		return 0;
	LIST_FOREACH (m, &r->batches, in_record)
		add_run(b, &l, m);
	if (r->chunk)
		find_large(b, index, &l);
	put_in_order(&l);
	for (size_t i = 0; i < l.count; i++) {
		struct lost_run *run = &l.all[i];
		uint64_t before = run->queue->counts.lost;
		run->end += RMQ_VARIANT(LOST_NEIGHBOUR);
		if (!RMQ_VARIANT(LOST_UNTOLD))
			broker_tell_gone(b, run->queue, run->first, run->end);
		broker_emit_lost(b, &(struct event_lost){run->queue->id, run->first,
					run->end - run->first, index, NO_TAGS});
		uint64_t messages = run->queue->counts.lost - before;
		lost += messages;
		each(arg, queue_name(run->queue), run->first, run->end - 1, messages);
	}
	free(l.all);
	return lost;
}

bool broker_holds_bodies(const struct broker *b, uint64_t from, uint64_t *index)
{
	struct record *r = records_from(&b->ledger.stored, from);
	while (r && r->live == 0)
		r = records_from(&b->ledger.stored, r->index + 1);
	if (r)
		*index = r->index;
	return r;
}
