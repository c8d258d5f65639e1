/*
 * Moving: the live messages of a sparse record, or of many small ones, are written
 * anew by MOVE events, so that the old records can die.  It goes through the log, so
 * that every copy of the log does the same.
 *
 * Only what surely shrinks moves: a sparse record to half of its size or less, a small one
 * to no more than it is, and less of a record's own weight.  So a message is moved a number of
 * times that is bounded by the logarithm of the record that it came in.
 */
#include "core/broker/broker_state.h"

#include <assert.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/base/variant.h"

/* A MOVE event's fields before its batch, with no tags. */
#define MOVE_HEAD_SIZE (4 + 8 + 8 + 2)

bool broker_wants_record(struct broker *b, uint64_t *index)
{
	struct record *r;
	/* What moves takes room at once, and gives it back with the next checkpoint. */
	if (broker_holds(b) ||
	    (broker_short_of_room(b) && (b->ckpt.active || broker_checkpoint_due(b))))
		return false;
	if (!(r = ledger_moveable(&b->ledger)))
		return false;
	*index = r->index;
	return true;
}

/* A run of live messages of one queue, as it stands in one event of the record. */
struct piece {
	uint64_t first;
	uint32_t queue;
	uint32_t slot;
	uint32_t count;
	uint64_t time_ms;
	struct batch_view batch;
};

/* Those of a record: at most one for each live message. */
struct pieces {
	struct piece *all;
	uint32_t count;
};

/* What becomes one MOVE event: messages that the same queues have. */
struct move {
	const struct piece *of; /* its batch and time */
	const struct event_target *targets;
	size_t target; /* where they begin in moves.targets */
	uint32_t targets_count;
	uint32_t slot;
	uint32_t count;
};

struct moves {
	struct move *all;
	size_t count, cap;
	struct event_target *targets;
	size_t targets_count, targets_cap;
};

/* Finds the live runs of m in the record's payload. */
static enum rmq_error find_pieces(const struct batch *m, struct slice payload, struct pieces *p)
{
	struct event_run run;
	struct event_messages at;
	uint64_t seq = m->first;
	enum rmq_error err = event_run_open(payload, m->offset, m->slot, m->count, &run);
	while (!err && !(err = event_run_next(&run, &at))) {
		uint64_t end = 0, stop = seq + at.count, from = seq;
		if (attributes_check(at.batch.attributes, at.batch.count))
			return RMQ_E_CORRUPT;
		while ((from = batch_run(m, from, stop, &end)) < stop) {
			p->all[p->count++] =
			    (struct piece){from, m->queue, at.slot + (uint32_t)(from - seq),
				(uint32_t)(end - from), at.time_ms, at.batch};
			from = end;
		}
		seq = stop;
	}
	return err == RMQ_E_NOTHING ? RMQ_E_OK : err;
}

/* By place; what several queues have of one event, by queue. */
static int piece_compare(const void *x, const void *y)
{
	const struct piece *a = x, *b = y;
	if (a->batch.blob != b->batch.blob)
		return a->batch.blob < b->batch.blob ? -1 : 1;
	if (a->slot != b->slot)
		return a->slot < b->slot ? -1 : 1;
	if (a->queue != b->queue)
		return a->queue < b->queue ? -1 : 1;
	return a->first < b->first ? -1 : a->first > b->first;
}

static int target_compare(const void *x, const void *y)
{
	const struct event_target *a = x, *b = y;
	if (a->queue != b->queue)
		return a->queue < b->queue ? -1 : 1;
	return a->first_seq < b->first_seq ? -1 : a->first_seq > b->first_seq;
}

/* In order, so that they are batches of many again: by their queues, then by number. */
static int move_compare(const void *x, const void *y)
{
	const struct move *a = x, *b = y;
	if (a->targets_count != b->targets_count)
		return a->targets_count < b->targets_count ? -1 : 1;
	for (uint32_t i = 0; i < a->targets_count; i++)
		if (a->targets[i].queue != b->targets[i].queue)
			return a->targets[i].queue < b->targets[i].queue ? -1 : 1;
	return target_compare(a->targets, b->targets);
}

/* Messages [from, to) of an event are what these pieces all have. */
static void add_move(struct moves *m, const struct piece *const *sharing, uint32_t count,
    uint32_t from, uint32_t to)
{
	m->all = memory_grow(m->all, m->count, &m->cap, sizeof(*m->all));
	m->all[m->count++] =
	    (struct move){sharing[0], NULL, m->targets_count, count, from, to - from};
	for (uint32_t i = 0; i < count; i++) {
		const struct piece *p = sharing[i];
		m->targets = memory_grow(
		    m->targets, m->targets_count, &m->targets_cap, sizeof(*m->targets));
		m->targets[m->targets_count++] =
		    (struct event_target){p->queue, p->first + (from - p->slot)};
	}
	qsort(
	    m->targets + m->targets_count - count, count, sizeof(*m->targets), target_compare);
}

/*
 * The pieces of one event: from place to place, as far as the same of them go.  A message has
 * no more queues than the event named, as each leaves one for another only; false: one has more,
 * since a record was lost between.
 */
static bool share_event(struct moves *m, const struct piece *p, const struct piece *end)
{
	const struct piece *sharing[SHARES_MAX];
	uint32_t count = 0, at = 0;
	while (p < end || count > 0) {
		if (count == 0)
			at = p->slot;
		for (; p < end && p->slot == at; p++) {
			if (count == SHARES_MAX)
				return false;
			sharing[count++] = p;
		}
		uint32_t to = p < end ? p->slot : UINT32_MAX, left = 0;
		for (uint32_t i = 0; i < count; i++)
			if (sharing[i]->slot + sharing[i]->count < to)
				to = sharing[i]->slot + sharing[i]->count;
		add_move(m, sharing, count, at, to);
		for (uint32_t i = 0; i < count; i++)
			if (sharing[i]->slot + sharing[i]->count > to)
				sharing[left++] = sharing[i];
		count = left;
		at = to;
	}
	return true;
}

/* What is shared stays so; false: it cannot, and stays where it is. */
static bool find_moves(struct pieces *p, struct moves *m)
{
	const struct piece *at = p->all, *end = at + p->count;
	bool all = true;
	if (p->count > 0)
		qsort(p->all, p->count, sizeof(*p->all), piece_compare);
	while (all && at < end) {
		const struct piece *next = at;
		while (next < end && next->batch.blob == at->batch.blob)
			next++;
		all = share_event(m, at, next);
		at = next;
	}
	for (size_t i = 0; i < m->count; i++)
		m->all[i].targets = m->targets + m->all[i].target;
	if (m->count > 0)
		qsort(m->all, m->count, sizeof(*m->all), move_compare);
	return all;
}

static struct slice further_tags(const struct move *e, uint8_t bytes[4 + EVENT_FURTHER_MAX])
{
	uint8_t value[EVENT_FURTHER_MAX];
	struct writer v = writer_of(value, sizeof(value));
	struct writer w = writer_of(bytes, 4 + EVENT_FURTHER_MAX);
	for (uint32_t i = 1; i < e->targets_count; i++)
		event_target_put(&v, &e->targets[i]);
	if (v.len > 0)
		tags_put(&w, EVENT_TAG_FURTHER, slice_of(v.p, v.len));
	return slice_of(w.p, w.len);
}

/* What they take as MOVE events, or more than `most`: each has its attributes with it. */
static size_t moved_size(const struct moves *m, size_t most)
{
	uint8_t *bytes = memory_new(BATCH_MAX);
	size_t size = 0;
	for (size_t i = 0; i < m->count && size <= most; i++) {
		const struct move *e = &m->all[i];
		struct writer w = writer_of(bytes, BATCH_MAX);
		batch_copy(&w, &e->of->batch, e->slot, e->count);
		size += EVENT_HEADER_SIZE + MOVE_HEAD_SIZE + w.len;
		if (e->targets_count > 1)
			size += 4 + (e->targets_count - 1) * EVENT_TARGET_SIZE;
	}
	free(bytes);
	return size;
}

static bool shrinks(const struct broker *b, const struct record *r, const struct moves *m)
{
	size_t most = r->bytes < b->ledger.limits.small_record ? r->bytes - EVENTS_HEADER_SIZE
							       : r->bytes / 2;
	return RMQ_VARIANT(MOVE_UNJUDGED) || moved_size(m, most) <= most;
}

static void emit_moves(struct broker *b, const struct moves *m)
{
	uint8_t *bytes = memory_new(BATCH_MAX), tags[4 + EVENT_FURTHER_MAX];
	for (size_t i = 0; i < m->count; i++) {
		const struct move *e = &m->all[i];
		struct writer w = writer_of(bytes, BATCH_MAX);
		batch_copy(&w, &e->of->batch, e->slot, e->count);
		assert(!w.full);
		struct slice further =
		    RMQ_VARIANT(MOVE_UNSHARED) ? NO_TAGS : further_tags(e, tags);
		broker_emit_move(
		    b, &(struct event_move){e->targets[0].queue, e->targets[0].first_seq,
			   e->of->time_ms, further, slice_of(w.p, w.len)});
	}
	free(bytes);
	b->moved_n = b->next_n - 1;
}

enum rmq_error broker_move(struct broker *b, uint64_t index, struct slice payload)
{
	struct record *r = records_at(&b->ledger.stored, index);
	struct batch *m;
	enum rmq_error err = RMQ_E_OK;
	if (!r || r->chunk)
		return RMQ_E_OK;
	if (r->live > MOVE_LIVE_MAX) {
		ledger_keep(&b->ledger, r);
		return RMQ_E_OK;
	}
	struct pieces p = {memory_new(r->live * sizeof(*p.all)), 0};
	ledger_keep(&b->ledger, r);
	LIST_FOREACH (m, &r->batches, in_record)
		if (!err)
			err = find_pieces(m, payload, &p);
	struct moves moves = {0};
	/* The record dies with the last of them. */
	if (!err && find_moves(&p, &moves) && shrinks(b, r, &moves))
		emit_moves(b, &moves);
	free(moves.all);
	free(moves.targets);
	free(p.all);
	return err;
}
