/*
 * Moving: the live messages of a sparse record, or of many small ones, are written
 * anew by MOVE events, so that the old records can die.  It goes through the log, so
 * that every copy of the log does the same.
 *
 * Only what surely shrinks moves: a sparse record to half of its size or less, a small one
 * to no more than it is, and less of a record's own weight.  So a message is moved a number of
 * times that is bounded by the logarithm of the record that it came in.
 */
#include "core/broker_state.h"

#include <assert.h>

#include "core/memory.h"
#include "core/variant.h"

/* A MOVE event's fields in front of its batch, with no tags. */
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

/* A run of live messages, as it stands in one event of the record. */
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

static int piece_compare(const void *x, const void *y)
{
	const struct piece *a = x, *b = y;
	if (a->queue != b->queue)
		return a->queue < b->queue ? -1 : 1;
	return a->first < b->first ? -1 : a->first > b->first;
}

/* Finds the live runs of m in the record's payload. */
static enum rmq_error find_pieces(const struct batch *m, struct slice payload, struct pieces *p)
{
	struct event_run run;
	struct event_messages at;
	uint64_t seq = m->first;
	enum rmq_error err = event_run_open(payload, m->offset, m->slot, m->count, &run);
	while (!err && !(err = event_run_next(&run, &at))) {
		uint64_t end = 0, stop = seq + at.count, from = seq;
		while ((from = batch_run(m, from, stop, &end)) < stop) {
			p->all[p->count++] = (struct piece){from, m->queue->id,
			    at.slot + (uint32_t)(from - seq), (uint32_t)(end - from),
			    at.time_ms, at.batch};
			from = end;
		}
		seq = stop;
	}
	return err == RMQ_E_NOTHING ? RMQ_E_OK : err;
}

/* What they take as MOVE events, or more than `most`: each has its attributes with it. */
static size_t moved_size(const struct pieces *p, size_t most)
{
	uint8_t *bytes = memory_new(BATCH_MAX);
	size_t size = 0;
	for (uint32_t i = 0; i < p->count && size <= most; i++) {
		const struct piece *e = &p->all[i];
		struct writer w = writer_of(bytes, BATCH_MAX);
		batch_copy(&w, &e->batch, e->slot, e->count);
		size += EVENT_HEADER_SIZE + MOVE_HEAD_SIZE + w.len;
	}
	free(bytes);
	return size;
}

static bool shrinks(const struct broker *b, const struct record *r, const struct pieces *p)
{
	size_t most = r->bytes < b->ledger.limits.small_record ? r->bytes - EVENTS_HEADER_SIZE
							       : r->bytes / 2;
	return RMQ_VARIANT(MOVE_UNJUDGED) || moved_size(p, most) <= most;
}

static void move_pieces(struct broker *b, struct pieces *p)
{
	uint8_t *bytes = memory_new(BATCH_MAX);
	/* In order, so that they are batches of many again. */
	qsort(p->all, p->count, sizeof(*p->all), piece_compare);
	for (uint32_t i = 0; i < p->count; i++) {
		const struct piece *e = &p->all[i];
		struct writer w = writer_of(bytes, BATCH_MAX);
		batch_copy(&w, &e->batch, e->slot, e->count);
		assert(!w.full);
		broker_emit_move(b, &(struct event_move){e->queue, e->first, e->time_ms,
					NO_TAGS, slice_of(w.p, w.len)});
	}
	free(bytes);
	b->moved_n = b->next_n - 1;
}

enum rmq_error broker_move(struct broker *b, uint64_t index, struct slice payload)
{
	struct record key = {.index = index};
	struct record *r = RB_FIND(record_tree, &b->ledger.tree, &key);
	struct batch *m;
	enum rmq_error err = RMQ_E_OK;
	if (!r || r->chunk)
		return RMQ_E_OK;
	struct pieces p = {memory_new(r->live * sizeof(*p.all)), 0};
	ledger_keep(&b->ledger, r);
	LIST_FOREACH(m, &r->batches, in_record)
		if (!err)
			err = find_pieces(m, payload, &p);
	/* The record dies with the last piece that moves. */
	if (!err && shrinks(b, r, &p))
		move_pieces(b, &p);
	free(p.all);
	return err;
}
