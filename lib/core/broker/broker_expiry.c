/*
 * How a lease ends when its messages are not settled: it expires, fails, or is given back; they
 * are ready again at once or after a back-off, or become dead letters.
 */
#include "core/broker/broker_state.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/base/variant.h"
#include "core/queue/policy.h"

/* The number of the session's subscription of q; NO_SUBSCRIPTION: it has none (any more). */
static uint32_t sub_of(const struct session *s, const struct queue *q)
{
	struct subscription *sub;
	TAILQ_FOREACH (sub, &s->conn->subs, of_conn)
		if (sub->queue == q)
			return sub->id;
	return NO_SUBSCRIPTION;
}

void broker_tell_ended(struct broker *b, const struct range *r, uint8_t why)
{
	uint8_t bytes[64];
	struct writer w = writer_of(bytes, sizeof(bytes));
	const struct session *s = range_holder(r);
	if (!s || !s->conn)
		return;
	/* Also without a subscription: an EXTENDED that follows must not seem to cover r. */
	wire_put_lease_ended(&w, &(struct wire_lease_ended){sub_of(s, r->queue), why, r->lease,
				     r->first, (uint32_t)r->span});
	broker_send(b, s->conn->id, &w);
}

void broker_tell_gone(struct broker *b, struct queue *q, uint64_t first, uint64_t end)
{
	struct range *r = queue_range_at(q, first);
	for (; r && r->first < end; r = queue_range_next(r)) {
		struct range part = *r;
		part.first = r->first > first ? r->first : first;
		part.span = min_u64(r->first + r->span, end) - part.first;
		if (r->state == STATE_LEASED &&
		    queue_any_live(q, part.first, part.first + part.span))
			broker_tell_ended(b, &part, ENDED_GONE);
	}
}

/* Writes one settle_entry for r. */
static struct slice entry_of(const struct range *r, uint8_t bytes[SETTLE_ENTRY_SIZE])
{
	struct writer w = writer_of(bytes, SETTLE_ENTRY_SIZE);
	settle_entry_put(&w, &(struct settle_entry){r->lease, r->first, (uint32_t)r->span});
	return slice_of(bytes, w.len);
}

/* Where messages [seq, …) of a batch are. */
static struct slice location_of(const struct batch *m, uint64_t seq, uint8_t *bytes, size_t cap)
{
	struct writer w = writer_of(bytes, cap);
	if (!m->is_large)
		event_location_put(
		    &w, &(struct event_location){m->record->index, m->record->bytes, m->offset,
			    (uint16_t)(m->slot + (seq - m->first))});
	for (uint32_t i = 0; m->is_large && i < m->large->parts; i++)
		event_location_put(&w,
		    &(struct event_location){m->large->part[i].record->index,
			m->large->part[i].record->bytes, m->large->part[i].offset, UINT16_MAX});
	assert(!w.full);
	return slice_of(bytes, w.len);
}

struct slice broker_dead_name(const struct queue *q, char name[NAME_FULL_MAX + 8])
{
	name[0] = '\0';
	if (q->is_dead || strcmp(q->settings.dead_letter, "-") == 0)
		return slice_str(name);
	if (q->settings.dead_letter[0] && !RMQ_VARIANT(DEAD_ELSEWHERE))
		snprintf(name, NAME_FULL_MAX + 8, "%s", q->settings.dead_letter);
	else
		snprintf(name, NAME_FULL_MAX + 8, "%s%s", q->name, NAME_DEAD_SUFFIX);
	return slice_str(name);
}

static void put_keys(struct writer *tags, struct queue *q, uint64_t first, uint32_t count)
{
	uint8_t bytes[8 * DEAD_KEYS_MAX];
	struct writer w = writer_of(bytes, sizeof(bytes));
	bool any = false;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t key = keys_of(q, first + i);
		any |= key > 0;
		put_u64(&w, key);
	}
	assert(!w.full);
	if (any)
		tags_put(tags, EVENT_TAG_KEYS, slice_of(w.p, w.len));
}

void broker_arrive(struct broker *b, struct queue *to, const struct range *r,
    const struct batch *m, uint64_t first, uint32_t count, const struct arrival *a)
{
	uint8_t location[CHUNKS_MAX * EVENT_LOCATION_SIZE];
	uint8_t place[EVENT_PLACE_TAGS_MAX], value[EVENT_TAKEN_SIZE];
	uint8_t list[EVENT_PRIORITY_SIZE + 4 + 8 * DEAD_KEYS_MAX + EVENT_PLACE_TAGS_MAX +
		     TAG_U64_SIZE + EVENT_TAKEN_SIZE];
	struct writer tags = writer_of(list, sizeof(list));
	if (!RMQ_VARIANT(PRIORITY_OF_DEAD))
		event_priority_put(&tags, mixed_priority(r, first));
	if (r->queue->keys && !RMQ_VARIANT(KEYS_OF_DEAD))
		put_keys(&tags, r->queue, first, count);
	put_rest(&tags, event_place_tags(&a->origin, m->shares, a->redrives, place));
	tags_put_u64(&tags, EVENT_TAG_EXPIRE, a->expire_ms);
	if (a->taken) {
		struct writer v = writer_of(value, sizeof(value));
		event_taken_from_encode(&v, &(struct event_taken_from){r->queue->id, first});
		tags_put(&tags, EVENT_TAG_TAKEN, slice_of(v.p, v.len));
	}
	assert(!tags.full);
	struct event_dead e = {to->id, to->next_seq, count, a->failures, b->wall_now.ms,
	    m->is_large ? m->large->bytes : batch_bytes_of(m, count), a->note,
	    slice_of(tags.p, tags.len), location_of(m, first, location, sizeof(location))};
	if (m->is_large)
		e.time_ms = m->large->time_ms;
	/* The event by which they leave is in the same record: in one queue or the other, never
	 * in neither. */
	broker_reserve(b, 1024 + e.location.len + e.tags.len);
	broker_emit_dead(b, &e);
}

/* One run of consecutive live messages of r, within m, becomes dead letters. */
static void bury_run(struct broker *b, struct queue *dead, struct range *r, struct batch *m,
    uint64_t first, uint32_t count, struct slice why)
{
	uint8_t entry[SETTLE_ENTRY_SIZE];
	const struct origin *o = batch_origin(m);
	/* In a queue that counts them they begin anew: it has its own limit. */
	bool kept = dead->is_dead || RMQ_VARIANT(DEAD_INHERITS);
	struct arrival a = {.origin = {first, queue_name(r->queue)},
	    .note = why,
	    .failures = kept ? r->failures + 1 : 0,
	    .redrives = o && !RMQ_VARIANT(REDRIVES_FORGOTTEN) ? o->redrives : 0};
	r = queue_isolate(r->queue, r, first, count);
	broker_arrive(b, dead, r, m, first, count, &a);
	broker_emit_bury(b, &(struct event_bury){r->queue->id, NO_TAGS, entry_of(r, entry)});
}

bool broker_in_flight(struct queue *q, uint64_t first, uint64_t end)
{
	struct batch *m = queue_batch_at(q, first);
	while (m && m->first < end && !batch_in_flight(m))
		m = queue_batch_next(m);
	return m && m->first < end;
}

struct queue *broker_dead_queue(struct broker *b, struct queue *q, uint64_t first, uint64_t end)
{
	char name[NAME_FULL_MAX + 8];
	char away[AWAY_NAME_MAX];
	struct slice dead_name = broker_dead_name(q, name);
	if (dead_name.len == 0 || broker_in_flight(q, first, end))
		return NULL;
	dead_name = broker_target(b, dead_name, away);
	struct queue *dead = broker_queue_make(b, dead_name, q->maker);
	return dead && !queue_is_full(dead) ? dead : NULL;
}

uint64_t broker_bury_works(struct broker *b, struct queue *q, uint64_t first, uint64_t end)
{
	uint64_t runs = 0;
	struct batch *m = queue_batch_at(q, first);
	for (; m && m->first < end; m = queue_batch_next(m))
		runs += 1 + batch_runs_most(m, end - first);
	broker_works(b, runs);
	return runs;
}

struct range *broker_fail_piece(struct broker *b, struct range *r, uint64_t end)
{
	struct queue *q = r->queue;
	uint64_t stop = r->first + r->span, to = stop;
	broker_works_on(b, q, r->live);
	if (!broker_is_last(r))
		return r;
	for (struct batch *m = queue_batch_at(q, r->first); m && m->first < to;
	     m = queue_batch_next(m)) {
		uint64_t cost = 1 + batch_runs_most(m, r->live);
		if (b->work + cost > end && queue_any_live(q, r->first, m->first))
			to = m->first;
		else
			broker_works(b, cost);
	}
	return to < stop ? queue_isolate(q, r, r->first, to - r->first) : r;
}

void broker_bury(struct broker *b, struct queue *dead, struct range *r, struct slice why)
{
	struct queue *q = r->queue;
	uint64_t first = r->first, end = r->first + r->span, lease = r->lease, run_end = 0;
	struct batch *m;
	while (first < end && (m = queue_batch_at(q, first)) && m->first < end) {
		uint64_t at = batch_run(m, first, end, &run_end);
		if (at >= end) {
			first = m->first + m->count;
			continue;
		}
		if (q->keys)
			run_end = min_u64(run_end, at + DEAD_KEYS_MAX);
		r = queue_range_at(q, at);
		assert(r && r->lease == lease);
		bury_run(b, dead, r, m, at, (uint32_t)(run_end - at), why);
		first = run_end;
	}
}

/* The lease on messages [first, end), one of which is live, ends as if it had never been. */
static void give_back(
    struct broker *b, struct queue *q, uint64_t lease, uint64_t first, uint64_t end)
{
	uint8_t bytes[SETTLE_ENTRY_SIZE];
	struct writer w = writer_of(bytes, sizeof(bytes));
	settle_entry_put(&w, &(struct settle_entry){lease, first, (uint32_t)(end - first)});
	broker_emit_release(
	    b, &(struct event_release){
		   .queue = q->id, .tags = NO_TAGS, .entries = slice_of(w.p, w.len)});
}

void broker_give_back(struct broker *b, struct range *r)
{
	give_back(b, r->queue, r->lease, r->first, r->first + r->span);
}

/*
 * A failure is counted for what may have reached the reader; the rest of r is given back.
 * What is left of r, NULL: nothing.
 */
static struct range *give_back_unstarted(struct broker *b, struct range *r)
{
	struct queue *q = r->queue;
	uint64_t first = r->first, end = r->first + r->span;
	uint64_t from = r->unstarted > first ? r->unstarted : first;
	if (RMQ_VARIANT(STARTED_UNCOUNTED))
		from = first;
	if (from >= end)
		return r;
	bool rest = from > first && queue_any_live(q, first, from);
	if (queue_any_live(q, from, end))
		give_back(b, q, r->lease, from, end);
	return rest ? queue_range_at(q, first) : NULL;
}

bool broker_is_last(const struct range *r)
{
	return !r->queue->is_dead && r->failures + 1 >= r->queue->settings.max_attempts;
}

uint64_t broker_back_off(const struct broker *b, const struct range *r)
{
	uint64_t now_ms = RMQ_VARIANT(BACK_OFF_BY_WALL) ? b->wall_now.ms : b->lease_now.ms;
	uint64_t until_ms = now_ms + policy_backoff_ms(&r->queue->settings, r->failures + 1);
	return lanes_bucket(until_ms, now_ms);
}

void broker_fail(struct broker *b, struct range *r, struct slice why, uint8_t ended)
{
	struct queue *q = r->queue;
	uint8_t entry[SETTLE_ENTRY_SIZE];
	if (!RMQ_VARIANT(ENDED_UNTOLD))
		broker_tell_ended(b, r, ended);
	r = give_back_unstarted(b, r);
	if (!r)
		return;
	struct queue *dead =
	    broker_is_last(r) ? broker_dead_queue(b, q, r->first, r->first + r->span) : NULL;
	if (dead) {
		broker_bury(b, dead, r, why);
		return;
	}
	broker_emit_expire(b,
	    &(struct event_expire){q->id, broker_back_off(b, r), NO_TAGS, entry_of(r, entry)});
}

/* Wakes what is due by then: so many steps of it. */
static void wake(struct broker *b, struct timer_tree *delays, uint64_t now_ms, uint64_t steps)
{
	struct range *r;
	for (uint64_t end = b->work + steps; b->work < end;) {
		r = RB_MIN(timer_tree, delays);
		if (!r || r->until_ms > now_ms)
			break;
		uint64_t first = r->first, to = first + r->span;
		/* Without keys they are one range, before and after. */
		if (r->queue->keys)
			to = broker_piece_end(
			    b, r->queue, queue_first_live(r->queue, first, to), to, end);
		else
			broker_works(b, 1);
		broker_emit_wake(b, &(struct event_wake){r->queue->id, first, to - first});
	}
}

void broker_expire(struct broker *b)
{
	struct range *r;
	uint64_t steps = b->ledger.limits.turn_steps, end = b->work + steps;
	while (b->work < end) {
		r = RB_MIN(timer_tree, &b->timers.leases);
		if (!r || r->until_ms > b->lease_now.ms)
			break;
		uint64_t until = range_until(r);
		if (until > r->until_ms) {
			broker_works(b, 1);
			queue_extend(r->queue, r, (struct lease_time){until});
			continue;
		}
		if (until > b->heard.ms && !RMQ_VARIANT(EXPIRE_UNHEARD))
			break;
		r = broker_fail_piece(b, r, end);
		if (range_holder(r) && r->session->conn)
			broker_missed(b, r->session->conn, r->queue);
		broker_fail(b, r, slice_str("lease expired"), ENDED_EXPIRED);
	}
	wake(b, &b->timers.delays, b->lease_now.ms, steps);
	wake(b, &b->timers.walls, b->wall_now.ms, steps);
}

void broker_holder_died(struct broker *b, uint64_t id)
{
	struct session *s = broker_session_find(b, id);
	if (!s || s->is_leaving)
		return;
	broker_end_ephemerals(b, s);
	broker_errand(
	    b, (struct errand){.kind = ERRAND_DIED, .session = id, .lease = b->lease});
}
