/*
 * Cells: what goes with a queue to another one besides its messages, which PEEK tells.  Each answer
 * is of one moment, and is put into ARRIVE_STATE there as it is.
 */
#include "core/broker/broker_state.h"

#include <assert.h>

#include "core/base/cells.h"
#include "core/base/memory.h"
#include "core/base/name.h"

/* What there is of one queue, written to `w`; whether more follows, from *next on. */
static bool put_settings(const struct queue *q, struct writer *w)
{
	uint8_t bytes[MORE_SETTINGS_BYTES];
	struct writer tags = writer_of(bytes, sizeof(bytes));
	const struct queue_settings *s = &q->settings;
	more_settings_put(&tags, EVENT_TAG_SETTINGS, &s->more, SETTING_ALL);
	with_settings_encode(w, &(struct with_settings){SETTINGS_OF(s),
				    slice_str(s->dead_letter), slice_of(tags.p, tags.len)});
	return false;
}

/* The rate's bucket as of now, its lease time being another one's there. */
static uint64_t rate_left(const struct broker *b, const struct queue *q)
{
	uint64_t now = b->lease_now.ms << RATE_SHIFT;
	return q->rate_full > now ? q->rate_full - now : 0;
}

static bool put_counts(const struct broker *b, const struct queue *q, struct writer *w)
{
	uint8_t list[4 * TAG_U64_SIZE + EVENT_MAKER_MAX + QUEUE_DROPPED_SIZE];
	struct writer tags = writer_of(list, sizeof(list));
	const struct queue_counts *n = &q->counts;
	tags_put_u64(&tags, PART_QUEUE_TAG_LOST, n->lost);
	broker_put_maker(&tags, q->maker);
	tags_put_u64(&tags, PART_QUEUE_TAG_RATE, rate_left(b, q));
	broker_put_dropped(&tags, PART_QUEUE_TAG_DROPPED, n);
	tags_put_u64(&tags, PART_QUEUE_TAG_IDS_EARLY, n->ids_early);
	/* Nobody needs it who has none of these, and it is of a secret. */
	if (ids_count(&q->ids) > 0)
		tags_put_u64(&tags, PART_QUEUE_TAG_IDS_SEED, broker_ids_seed(b, q));
	with_counts_encode(
	    w, &(struct with_counts){q->next_seq, queue_total(q), n->sent, n->delivered,
		   n->settled, n->failed, n->dead, b->lease, slice_of(tags.p, tags.len)});
	return false;
}

/* The newest first; `from`: so many are known there. */
static bool put_ids(const struct broker *b, const struct queue *q, uint64_t from,
    struct writer *w, uint64_t *next)
{
	uint32_t count = ids_count(&q->ids);
	for (; from < count && w->cap - w->len >= WITH_ID_SIZE; from++) {
		const struct id *id = ids_at(&q->ids, q->ids.end - 1 - (uint32_t)from);
		put_u64(w, id->hash);
		put_u64(w, b->lease_now.ms - id->ms);
		put_u64(w, id->seq);
	}
	*next = from;
	return from < count;
}

/* The one that was set longest ago first. */
static bool put_positions(
    const struct queue *q, uint64_t from, struct writer *w, uint64_t *next)
{
	const struct position *p;
	uint8_t list[INPUT_SENT_TAGS_SIZE];
	uint64_t at = 0;
	TAILQ_FOREACH (p, &q->positions.by_age, by_age) {
		size_t len = w->len;
		if (at++ < from)
			continue;
		with_position_encode(w, &(struct with_position){p->at, slice_str(p->name),
					    input_sent_tags(list, &p->sent)});
		if (w->full) {
			w->len = len;
			w->full = false;
			return true;
		}
		*next = at;
	}
	return false;
}

static bool put(const struct broker *b, const struct queue *q, const struct wire_export *m,
    struct writer *w, uint64_t *next)
{
	switch (m->what) {
	case WITH_SETTINGS:
		return put_settings(q, w);
	case WITH_COUNTS:
		return put_counts(b, q, w);
	case WITH_IDS:
		return put_ids(b, q, m->from, w, next);
	default:
		return put_positions(q, m->from, w, next);
	}
}

/* Tokens of the copies of the queue that arrive: there are few. */
static void tell_copies(struct broker *b, struct conn *c, const struct wire_export *m)
{
	uint8_t tokens[FRAME_SMALL / 2];
	struct writer w = writer_of(tokens, sizeof(tokens));
	const struct place *p =
	    name_valid(m->queue) ? places_find(&b->places, cells_base(m->queue)) : NULL;
	const struct copy *copy = p ? TAILQ_FIRST(&p->copies) : NULL;
	for (; copy; copy = TAILQ_NEXT(copy, link))
		put_rest(&w, slice_of(copy->token, sizeof(copy->token)));
	assert(!w.full);
	ANSWER(
	    b, c, exported, m->req, m->what, RMQ_E_OK, false, 0, NO_TAGS, slice_of(w.p, w.len));
}

/* Why nothing is told; RMQ_E_OK: it is. */
static enum rmq_error why_not(const struct queue *q, uint8_t what)
{
	if (what < WITH_SETTINGS || what > WITH_POSITIONS)
		return RMQ_E_VERSION;
	if (!q)
		return RMQ_E_NO_QUEUE;
	/* They change with what comes. */
	return what == WITH_SETTINGS || q->is_frozen ? RMQ_E_OK : RMQ_E_BUSY;
}

void broker_on_export(struct broker *b, struct conn *c, const struct wire_export *m)
{
	const struct queue *q = broker_queue_named(b, m->queue);
	enum rmq_error err = why_not(q, m->what);
	uint64_t next = m->from;
	if (m->what == WITH_COPY) {
		tell_copies(b, c, m);
		return;
	}
	if (err) {
		ANSWER(b, c, exported, m->req, m->what, (uint8_t)err, false, 0, NO_TAGS,
		    slice_of("", 0));
		return;
	}
	/* What does not come in pieces, and one piece of all else, fits always. */
	size_t cap = m->limit > EXPORT_BYTES_MAX ? EXPORT_BYTES_MAX : m->limit;
	if (cap < EXPORT_BYTES_MIN)
		cap = EXPORT_BYTES_MIN;
	uint8_t *data = memory_new(cap), *bytes = memory_new(cap + FRAME_SMALL);
	struct writer w = writer_of(data, cap), frame = writer_of(bytes, cap + FRAME_SMALL);
	bool more = put(b, q, m, &w, &next);
	broker_works(b, 1 + w.len / 512);
	wire_put_exported(&frame, &(struct wire_exported){m->req, m->what, RMQ_E_OK, more, next,
				      NO_TAGS, slice_of(w.p, w.len)});
	broker_send(b, c->id, &frame);
	free(data);
	free(bytes);
}
