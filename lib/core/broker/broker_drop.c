/*
 * Messages that leave their queue without being settled: those that expire, are replaced by a newer
 * one of their key, or cancelled.
 *
 * An entry of expiry.h is gone through once its time has come.  What is leased then stays with its
 * holder; when that gives it back, or fails, the entry is due again.  Nothing of a queue with
 * expiries is handed out while any is due.
 */
#include "core/broker/broker_state.h"

#include <assert.h>
#include <stdlib.h>

#include "core/base/memory.h"
#include "core/base/variant.h"

#define DROP_RANGES_MAX 1024 /* in one event */

static void put_run(struct writer *w, uint64_t first, uint64_t end)
{
	while (first < end) {
		uint32_t count = (uint32_t)min_u64(end - first, UINT32_MAX);
		seq_range_put(w, &(struct seq_range){first, count});
		first += count;
	}
}

static void emit_drop(
    struct broker *b, const struct queue *q, enum dropped why, const struct writer *w)
{
	assert(!w->full);
	if (w->len > 0)
		broker_emit_drop(b,
		    &(struct event_drop){q->id, (uint8_t)why, NO_TAGS, slice_of(w->p, w->len)});
}

/* ---- what expires ---- */

static struct expiry *due(struct broker *b)
{
	struct expiry *x = expiry_due(&b->timers);
	return x && x->at_ms <= b->wall_now.ms && !RMQ_VARIANT(EXPIRY_UNSEEN) ? x : NULL;
}

bool broker_any_expired(struct broker *b)
{
	return due(b) != NULL;
}

uint64_t broker_goes_to(
    struct broker *b, struct queue *q, uint64_t from, uint64_t to, uint64_t end)
{
	uint64_t left = end > b->work + 1 ? end - b->work - 1 : 1;
	if (q->keys && to - from > left)
		to = from + left;
	broker_works_on(b, q, to - from);
	return to;
}

uint64_t broker_piece_end(
    struct broker *b, struct queue *q, uint64_t from, uint64_t to, uint64_t end)
{
	struct batch *m = queue_batch_at(q, from);
	for (uint64_t at = from; m && m->first < to; m = queue_batch_next(m)) {
		uint64_t begin = at > m->first ? at : m->first;
		uint64_t batch_end = min_u64(to, m->first + m->count);
		if (at > from && b->work >= end)
			return at;
		at = broker_goes_to(b, q, begin, batch_end, end);
		if (at < batch_end)
			return at;
	}
	return to;
}

/* Goes on with an entry until so much work is done. */
static void expire(struct broker *b, struct expiry *x, uint64_t end)
{
	uint8_t bytes[DROP_RANGES_MAX * SEQ_RANGE_SIZE];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct queue *q = x->queue;
	uint64_t at = x->next, stop = x->end;
	while (at < stop && b->work < end && w.cap - w.len >= 2 * SEQ_RANGE_SIZE) {
		struct range *r = queue_range_at(q, at);
		if (!r || r->first >= stop) {
			at = stop;
			break;
		}
		uint64_t from = at > r->first ? at : r->first;
		at = min_u64(stop, r->first + r->span);
		broker_works(b, 1);
		if (r->state == STATE_LEASED && !RMQ_VARIANT(EXPIRY_OF_ALL))
			continue;
		at = broker_piece_end(b, q, from, min_u64(at, from + UINT32_MAX), end);
		if (queue_any_live(q, from, at))
			put_run(&w, from, at);
	}
	/* Before it is gone with the last of its messages. */
	expiry_passed(x, at);
	emit_drop(b, q, DROPPED_EXPIRED, &w);
}

void broker_drop_expired(struct broker *b)
{
	uint64_t end = b->work + b->ledger.limits.turn_steps;
	struct expiry *x;
	while (b->work < end && (x = due(b)))
		expire(b, x, end);
}

/* ---- what is replaced ---- */

static bool may_replace(struct queue *q, uint64_t seq)
{
	const struct range *r = queue_range_at(q, seq);
	return r && r->first <= seq &&
	       (r->state != STATE_LEASED || RMQ_VARIANT(REPLACE_LEASED)) &&
	       queue_any_live(q, seq, seq + 1);
}

/* Goes on with a run that ends before seq, if seq follows it. */
static void put_replaced(struct writer *w, struct seq_range *run, uint64_t seq)
{
	if (run->count > 0 && run->first + run->count == seq) {
		run->count++;
		return;
	}
	if (run->count > 0)
		seq_range_put(w, run);
	*run = (struct seq_range){seq, 1};
}

void broker_replace(
    struct broker *b, struct queue *q, uint64_t first, uint32_t count, uint32_t *left)
{
	struct writer w = writer_of(b->verdict, sizeof(b->verdict));
	struct seq_range run = {0, 0};
	if (RMQ_VARIANT(REPLACE_APART))
		broker_end_record(b);
	for (uint64_t seq = first; seq < first + count; seq++) {
		uint64_t key = keys_of(q, seq);
		/* Of several in this batch the newest replaces the others, too. */
		if (key == 0 || keys_newest(q, key) != seq)
			continue;
		uint64_t at = keys_oldest(q, key);
		while (at<seq && * left> 0) {
			broker_works(b, 1);
			/* Of a key one is leased at most. */
			if (may_replace(q, at)) {
				put_replaced(&w, &run, at);
				--*left;
			}
			at = keys_next(q, at);
		}
	}
	if (run.count > 0)
		seq_range_put(&w, &run);
	emit_drop(b, q, DROPPED_REPLACED, &w);
}

/* ---- what is cancelled ---- */

void broker_cancel(
    struct broker *b, struct queue *q, struct slice messages, struct writer *missing)
{
	uint8_t bytes[CANCEL_MAX * SEQ_RANGE_SIZE];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct reader in = reader_of(messages);
	while (reader_left(&in) > 0) {
		uint64_t seq = get_u64(&in);
		broker_works(b, 1);
		if (!queue_any_live(q, seq, seq + 1)) {
			settle_entry_put(missing, &(struct settle_entry){0, seq, 1});
			continue;
		}
		if (!RMQ_VARIANT(CANCEL_UNTOLD))
			broker_tell_gone(b, q, seq, seq + 1);
		seq_range_put(
		    &w, &(struct seq_range){seq, RMQ_VARIANT(CANCEL_NEIGHBOUR) ? 2 : 1});
	}
	broker_reserve(b, 1024 + w.len + missing->len);
	emit_drop(b, q, DROPPED_CANCELLED, &w);
}
