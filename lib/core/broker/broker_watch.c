/*
 * Clients that wait until a queue holds fewer messages than a number, or more, or one of them no
 * longer: at the end of each turn all of them are looked at, so their number has a limit.  And what
 * became of messages that are gone, as far as their dead-letter queue knows.
 */
#include "core/broker/broker_state.h"

#include "core/base/variant.h"

static void tell(struct broker *b, struct conn *c, enum rmq_error code, uint64_t messages)
{
	ANSWER(b, c, watched, c->watch.req, (uint8_t)code, messages);
}

void broker_watch_end(struct broker *b, struct conn *c)
{
	if (c->watch.what == 0)
		return;
	TAILQ_REMOVE(&b->watching, c, watching);
	b->watching_count--;
	c->owner->watches--;
	c->watch.what = 0;
}

void broker_watch(struct broker *b, struct conn *c, const struct wire_watch *m)
{
	const struct queue *q = broker_queue_named(b, m->queue);
	broker_watch_end(b, c);
	c->watch.req = m->req;
	if (!q || b->watching_count >= WATCHES_MAX ||
	    (owner_known(c->owner) && c->owner->watches >= WATCHES_OF_ONE)) {
		tell(b, c, q ? RMQ_E_LIMIT : RMQ_E_NO_QUEUE, 0);
		return;
	}
	c->watch.queue = q->id;
	c->watch.messages = m->messages;
	c->watch.what = m->what;
	TAILQ_INSERT_TAIL(&b->watching, c, watching);
	b->watching_count++;
	c->owner->watches++;
}

static bool is_so(const struct conn *c, struct queue *q)
{
	uint64_t n = c->watch.messages;
	switch (c->watch.what) {
	case WATCH_BELOW:
		return queue_total(q) - (RMQ_VARIANT(WATCH_EARLY) ? q->live[STATE_LEASED] : 0) <
		       n;
	case WATCH_ABOVE:
		return queue_total(q) > n;
	}
	return !queue_any_live(q, n, n + 1);
}

static uint64_t told_of(const struct conn *c, struct queue *q)
{
	uint64_t n = c->watch.messages;
	if (c->watch.what != WATCH_GONE)
		return queue_total(q);
	return n < q->next_seq ? queue_first_live(q, n, q->next_seq) : q->next_seq;
}

void broker_watch_step(struct broker *b)
{
	struct conn *c, *next;
	for (c = TAILQ_FIRST(&b->watching); c; c = next) {
		struct queue *q = broker_queue(b, c->watch.queue);
		next = TAILQ_NEXT(c, watching);
		broker_works(b, 1);
		if (q && !is_so(c, q))
			continue;
		tell(b, c, q ? RMQ_E_OK : RMQ_E_NO_QUEUE, q ? told_of(c, q) : 0);
		broker_watch_end(b, c);
	}
}

void broker_watch_left(struct broker *b, const struct queue *q)
{
	struct conn *c, *next;
	for (c = TAILQ_FIRST(&b->watching); c; c = next) {
		next = TAILQ_NEXT(c, watching);
		broker_works(b, 1);
		if (c->watch.queue != q->id)
			continue;
		if (c->features & WIRE_FEATURE_CELLS)
			broker_lead(b, c, queue_name(q));
		else
			tell(b, c, RMQ_E_ELSEWHERE, 0);
		broker_watch_end(b, c);
	}
}

/* ---- dead letters of messages that are gone ---- */

/* Puts the numbers of those of m that were in [w->first, w->end) of the queue; where it is full. */
static uint64_t put_buried(
    const struct batch *m, uint64_t at, const struct wire_buried *w, struct writer *runs)
{
	uint64_t end, to = m->first + m->count;
	for (; (at = batch_run(m, at, to, &end)) < to; at = end) {
		uint64_t first = batch_origin_seq(m, at), last = first + (end - at);
		if (runs->len == (size_t)BURIED_RUNS_MAX * SEQ_RANGE_SIZE)
			return at;
		if (first < w->first)
			first = w->first;
		if (last > w->end)
			last = w->end;
		if (first >= last)
			continue;
		seq_range_put(runs, &(struct seq_range){first, (uint32_t)(last - first)});
	}
	return to;
}

void broker_buried(struct broker *b, struct conn *c, const struct wire_buried *w)
{
	uint8_t bytes[64 + 256 * SEQ_RANGE_SIZE], list[256 * SEQ_RANGE_SIZE];
	char name[NAME_FULL_MAX + 8];
	struct writer runs = writer_of(list, sizeof(list)),
		      out = writer_of(bytes, sizeof(bytes));
	const struct queue *q = broker_queue_named(b, w->queue);
	struct queue *dead = q ? broker_queue_named(b, broker_dead_name(q, name)) : NULL;
	struct batch *m = dead ? queue_batch_at(dead, w->from) : NULL;
	uint64_t at = w->from;
	uint32_t looks = 0;
	for (; m && looks < PEEK_LOOKS_MAX; looks++) {
		const struct origin *o = batch_origin(m);
		if (at < m->first)
			at = m->first;
		bool of_it = o && slice_eq(slice_str(o->queue), w->queue);
		at = of_it ? put_buried(m, at, w, &runs) : m->first + m->count;
		if (at < m->first + m->count)
			break;
		m = queue_batch_next(m);
	}
	broker_works(b, looks);
	wire_put_buried_are(&out,
	    &(struct wire_buried_are){w->req, m ? at : 0, NO_TAGS, slice_of(runs.p, runs.len)});
	broker_send(b, c->id, &out);
}
