/*
 * Moving: the live messages of a sparse record, or of many small ones, are written
 * anew by MOVE events, so that the old records can die.  It goes through the log, so
 * that every copy of the log does the same.
 */
#include "core/broker_state.h"

#include <assert.h>

#include "core/memory.h"

bool broker_wants_record(struct broker *b, uint64_t *index)
{
	struct record *r = b->ckpt.holding ? NULL : ledger_moveable(&b->ledger);
	if (!r)
		return false;
	*index = r->index;
	return true;
}

/* A run of live messages, as it stands in one event of the record. */
struct piece {
	uint64_t first;
	uint32_t slot;
	uint32_t count;
	uint64_t time_ms;
	struct batch_view batch;
};

/* Finds the live runs of m in the record's payload; at most one for each live message. */
static enum rmq_error find_pieces(
    const struct batch *m, struct slice payload, struct piece *pieces, uint32_t *count)
{
	struct event_run run;
	struct event_messages at;
	uint64_t seq = m->first;
	*count = 0;
	enum rmq_error err = event_run_open(payload, m->offset, m->slot, m->count, &run);
	while (!err && !(err = event_run_next(&run, &at))) {
		uint64_t end = 0, stop = seq + at.count, from = seq;
		while ((from = batch_run(m, from, stop, &end)) < stop) {
			pieces[(*count)++] =
			    (struct piece){from, at.slot + (uint32_t)(from - seq),
				(uint32_t)(end - from), at.time_ms, at.batch};
			from = end;
		}
		seq = stop;
	}
	return err == RMQ_E_NOTHING ? RMQ_E_OK : err;
}

static enum rmq_error move_batch(
    struct broker *b, struct batch *m, struct slice payload, uint8_t *bytes)
{
	struct piece *pieces = memory_new(m->live * sizeof(*pieces));
	uint32_t count, queue = m->queue->id;
	enum rmq_error err = find_pieces(m, payload, pieces, &count);
	for (uint32_t i = 0; !err && i < count; i++) {
		struct writer w = writer_of(bytes, BATCH_MAX);
		batch_copy(&w, &pieces[i].batch, pieces[i].slot, pieces[i].count);
		assert(!w.full);
		broker_emit_move(b, &(struct event_move){queue, pieces[i].first,
					pieces[i].time_ms, NO_TAGS, slice_of(w.p, w.len)});
	}
	free(pieces);
	return err;
}

enum rmq_error broker_move(struct broker *b, uint64_t index, struct slice payload)
{
	struct record key = {.index = index};
	struct record *r = RB_FIND(record_tree, &b->ledger.tree, &key);
	struct batch *m;
	enum rmq_error err = RMQ_E_OK;
	if (!r || r->chunk)
		return RMQ_E_OK;
	uint8_t *bytes = memory_new(BATCH_MAX);
	/* The record stays until all of it has moved. */
	ledger_keep(&b->ledger, r);
	ledger_add(&b->ledger, r, 1, 0);
	while (!err && (m = LIST_FIRST(&r->batches)))
		err = move_batch(b, m, payload, bytes);
	ledger_drop(&b->ledger, r, 1, 0);
	free(bytes);
	b->moved_n = b->next_n - 1;
	return err;
}
