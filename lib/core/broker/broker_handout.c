/*
 * Handing out: who gets what is decided at the end of a turn, journaled as leases, and
 * put before the connections as handouts once the leases are stored.  A handout names
 * messages; where their bytes are is looked up when they are written.
 */
#include "core/broker/broker_state.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/base/variant.h"

/* ---- leases ---- */

/*
 * How much of the ready range r fits into the limits, from its first live message on: messages
 * before that may be settled, more of them than a lease may span.
 */
struct take {
	uint64_t first;
	uint64_t span;
	uint64_t messages;
	uint64_t bytes;
};

/* Whether each of its messages has a note of its own, and goes out alone. */
static bool notes_differ(const struct batch *m)
{
	const struct origin *o = batch_origin(m);
	return o && o->queue[0];
}

/*
 * What messages of m may cost besides their part of its bytes: what they share goes out again
 * with each piece of it.  How much that is stands in the record; it is this at most.
 */
static uint64_t may_share(const struct batch *m)
{
	if (!m->is_large && m->record->plain)
		return 0;
	return min_u64(ATTRIBUTES_SHARED_MAX, batch_bytes_of(m, m->count - 1u));
}

/* How many of n messages that follow each other in m fit into so many bytes. */
static uint64_t fitting(const struct batch *m, uint64_t n, uint64_t bytes)
{
	uint64_t each = batch_bytes_of(m, 1) + 1 + (notes_differ(m) ? may_share(m) : 0);
	uint64_t once = notes_differ(m) || n == m->count ? 0 : may_share(m);
	return min_u64(n, bytes > once ? (bytes - once) / each : 0);
}

/* What they are reckoned to cost then. */
static uint64_t cost_of(const struct batch *m, uint64_t n)
{
	uint64_t pieces = notes_differ(m) ? n : n > 0 && n < m->count;
	return batch_bytes_of(m, n) + pieces * may_share(m);
}

static struct take take_from(
    struct broker *broker, struct range *r, uint64_t messages, uint64_t bytes)
{
	uint64_t end = r->first + r->span, run_end = 0;
	struct take t = {.first = mixed_first(r)};
	struct batch *b = queue_batch_at(r->queue, t.first);
	end = mixed_run(r, t.first, t.first + min_u64(end - t.first, LEASE_SPAN_MAX));
	for (; b && b->first < end; b = queue_batch_next(b)) {
		uint64_t at = b->first;
		broker_works(broker, 1);
		while ((at = batch_run(b, at > t.first ? at : t.first, end, &run_end)) < end) {
			uint64_t n = min_u64(run_end - at, messages - t.messages);
			n = fitting(b, n, bytes - t.bytes);
			if (n == 0 && t.messages == 0)
				n = 1;
			t.messages += n;
			t.bytes += cost_of(b, n);
			t.span = n > 0 ? at + n - t.first : t.span;
			if (n < run_end - at || t.messages >= messages || t.bytes >= bytes)
				return t;
			at = run_end;
		}
	}
	return t;
}

/* Puts a subscription with credit at the end of its queue's line, and another out of it. */
static void line_up(struct subscription *sub)
{
	struct queue *q = sub->queue;
	/* Who does not read would be leased the same again and again, and each would wait here. */
	bool waits = sub->conn->grants >= GRANTS_WAIT_MAX;
	bool hungry = sub->messages > 0 && sub->bytes > sub->reserved && !waits;
	if (sub->is_hungry)
		TAILQ_REMOVE(&q->hungry, sub, hungry);
	if (hungry)
		TAILQ_INSERT_TAIL(&q->hungry, sub, hungry);
	q->hungry_count += hungry - sub->is_hungry;
	by_key_asks(q, &sub->by_key, hungry);
	/* Without credit it was told nothing. */
	sub->idle_due |= hungry && !sub->is_hungry;
	sub->held_back_due |= hungry && !sub->is_hungry;
	sub->is_hungry = hungry;
}

/* What is put aside may go to another receiver now. */
static void join(struct broker *b, struct subscription *sub)
{
	broker_works(b, by_key_join(sub->queue, &sub->by_key));
	if (by_key_any(sub->queue))
		broker_busy(b, sub->queue);
}

static void leave(struct broker *b, struct subscription *sub)
{
	broker_works(b, by_key_leave(sub->queue, &sub->by_key));
	if (by_key_any(sub->queue))
		broker_busy(b, sub->queue);
}

void broker_line_out(struct broker *b, struct subscription *sub)
{
	struct queue *q = sub->queue;
	if (sub->is_hungry) {
		TAILQ_REMOVE(&q->hungry, sub, hungry);
		q->hungry_count--;
	}
	by_key_asks(q, &sub->by_key, false);
	leave(b, sub);
}

struct handout *broker_handout_new(size_t frames_len)
{
	return memory_new(sizeof(struct handout) + frames_len);
}

/* paid: messages and bytes of the subscription's credit. */
static void hand_range(struct broker *b, struct subscription *sub, uint64_t lease,
    uint64_t first, uint64_t span, const struct take *paid, uint64_t stamp)
{
	struct handout *h = broker_handout_new(0);
	h->grant = true;
	sub->conn->grants++;
	h->target = sub->id;
	h->queue = sub->queue->id;
	h->lease = lease;
	h->at = first;
	h->end = first + span;
	h->unused = paid->messages;
	h->reserved = paid->bytes;
	h->stamp = stamp;
	broker_hand(b, sub->conn->id, h);
}

/* Gives how many messages were handed out. */
static uint64_t grant_one(
    struct broker *b, struct subscription *sub, struct range *r, uint64_t share)
{
	struct queue *q = sub->queue;
	assert(sub->messages > 0 && sub->bytes > sub->reserved);
	struct take t =
	    take_from(b, r, min_u64(sub->messages, min_u64(share, GRANT_MESSAGES_MAX)),
		min_u64((uint64_t)(sub->bytes - sub->reserved), GRANT_BYTES_MAX));
	struct event_lease e = {
	    q->id, sub->conn->session->id, b->lease + 1, t.first, t.span, sub->lease_ms};
	assert(t.messages > 0);
	broker_name_owner(b, sub->conn->session);
	broker_emit_lease(b, &e);
	if (sub->starts)
		queue_range_at(q, e.first)->unstarted = e.first;
	hand_range(b, sub, e.lease, e.first, e.span, &t, sub->conn->session->stamp);
	sub->messages -= t.messages;
	sub->reserved += (int64_t)t.bytes;
	line_up(sub);
	return t.messages;
}

static void tell_idle(struct broker *b, struct queue *q)
{
	struct subscription *sub;
	uint8_t bytes[64];
	if (q->idle_wanted == 0)
		return;
	TAILQ_FOREACH (sub, &q->hungry, hungry) {
		struct writer w = writer_of(bytes, sizeof(bytes));
		if (!sub->wants_idle ||
		    ((!sub->idle_due || RMQ_VARIANT(IDLE_UNTOLD)) && !q->idle_due))
			continue;
		sub->idle_due = false;
		wire_put_idle(&w, &(struct wire_idle){
				      sub->id, q->live[STATE_LEASED], q->live[STATE_DELAYED]});
		broker_send(b, sub->conn->id, &w);
	}
}

/*
 * What is ready is divided among those that wait for it, so that one does not take all; or each of them
 * gets one message in turn.
 */
static uint64_t share_of(const struct queue *q)
{
	if (q->settings.more.dispatch == DISPATCH_ROUND_ROBIN)
		return 1;
	uint64_t n = q->hungry_count > 0 ? q->hungry_count : 1;
	return (q->live[STATE_READY] + n - 1) / n;
}

/* So many more messages may be leased now. */
static uint64_t may_hand_out(const struct broker *b, const struct queue *q)
{
	const struct more_settings *s = &q->settings.more;
	uint64_t leased = q->live[STATE_LEASED], may = UINT64_MAX;
	if ((s->paused_out && !RMQ_VARIANT(PAUSE_LEAKS)) ||
	    (q->is_held && !RMQ_VARIANT(HOLD_HANDS_OUT)))
		return 0;
	if (s->max_inflight > 0 && !RMQ_VARIANT(INFLIGHT_PASSED))
		may = s->max_inflight > leased ? s->max_inflight - leased : 0;
	if (s->rate > 0)
		may =
		    min_u64(may, policy_rate_allows(&q->settings, q->rate_full, b->lease_now));
	return may;
}

/* ---- which receiver ---- */

/* What is handed out next: so many messages of r, from its first live one on. */
struct offer {
	struct subscription *sub;
	struct range *r;
	uint64_t most;
};

/* How many of r's first messages sub may have by their keys, up to `most`. */
static uint64_t run_for(
    struct broker *b, struct range *r, const struct subscription *sub, uint64_t most)
{
	struct queue *q = r->queue;
	uint64_t n = 0, at = mixed_first(r), key;
	uint64_t end = mixed_run(r, at, r->first + r->span);
	/* All keys are its. */
	if ((q->by_key.present_count == 1 && sub->by_key.is_present) ||
	    RMQ_VARIANT(KEYS_TO_ANY))
		return most;
	for (; n < most && (at = queue_first_live(q, at, end)) < end; at++, n++)
		if ((key = keys_of(q, at)) > 0 && by_key_receiver(q, key) != &sub->by_key)
			break;
	broker_works(b, n * (16 + q->by_key.present_count) / 16);
	return n;
}

/*
 * Each receiver gets what it may have in the order of the queue.  What comes first, and is of a key whose
 * receiver does not ask, is put aside on the way: each message once, so no hand-out comes by it again.
 */
static bool next_by_key(
    struct broker *b, struct queue *q, uint64_t most, uint64_t end, struct offer *o)
{
	struct key_receiver *to = NULL;
	while (!TAILQ_EMPTY(&q->hungry) && b->work < end) {
		struct range *r = queue_first_ready(q), *aside = by_key_first(q, &to);
		if (aside && (!r || range_order(aside, r) < 0)) {
			*o = (struct offer){to->sub, aside, 1};
			return true;
		}
		if (!r)
			return false;
		uint64_t seq = mixed_first(r);
		uint64_t key = RMQ_VARIANT(KEYS_TO_ANY) ? 0 : keys_of(q, seq);
		to = key > 0 ? by_key_receiver(q, key) : &TAILQ_FIRST(&q->hungry)->by_key;
		broker_works(b, 1);
		if (to && to->asks) {
			most = min_u64(most, min_u64(to->sub->messages, GRANT_MESSAGES_MAX));
			*o = (struct offer){to->sub, r, run_for(b, r, to->sub, most)};
			return true;
		}
		queue_put_aside(q, seq, by_key_group(key));
	}
	return false;
}

static bool next_offer(
    struct broker *b, struct queue *q, uint64_t most, uint64_t end, struct offer *o)
{
	if (q->keys && q->settings.more.dispatch == DISPATCH_KEY)
		return next_by_key(b, q, most, end, o);
	*o = (struct offer){TAILQ_FIRST(&q->hungry), queue_first_ready(q), most};
	return o->sub && o->r;
}

/* What was put aside is not, once the queue hands out otherwise. */
static void take_back(struct broker *b, struct queue *q, uint64_t end)
{
	struct range *r;
	while (
	    q->settings.more.dispatch != DISPATCH_KEY && b->work < end && (r = by_key_any(q))) {
		broker_works(b, 1);
		queue_take_back(q, r);
	}
}

void broker_missed(struct broker *b, struct conn *c, const struct queue *q)
{
	struct subscription *sub;
	TAILQ_FOREACH (sub, &c->subs, of_conn) {
		if (sub->queue != q || !sub->by_key.is_present)
			continue;
		leave(b, sub);
		c->missed = true;
	}
}

void broker_heard_again(struct broker *b, struct conn *c)
{
	struct subscription *sub;
	c->missed = false;
	TAILQ_FOREACH (sub, &c->subs, of_conn)
		if (sub->has_asked)
			join(b, sub);
}

/* As tell_idle(), but what is ready may not be handed out: each is told once for its credit. */
static void tell_held_back(struct broker *b, struct queue *q)
{
	struct subscription *sub;
	uint8_t bytes[64];
	if (q->idle_wanted == 0)
		return;
	TAILQ_FOREACH (sub, &q->hungry, hungry) {
		struct writer w = writer_of(bytes, sizeof(bytes));
		if (!sub->wants_idle || !sub->held_back_due)
			continue;
		sub->held_back_due = false;
		wire_put_held_back(&w, &(struct wire_held_back){sub->id});
		broker_send(b, sub->conn->id, &w);
	}
}

/*
 * A limit lets nothing through.  Of the rate it is known until when; the others end with a lease or
 * a setting.
 */
static void hold_back(struct broker *b, struct queue *q)
{
	const struct queue_settings *s = &q->settings;
	if (s->more.rate > 0 && !s->more.paused_out &&
	    policy_rate_allows(s, q->rate_full, b->lease_now) == 0)
		broker_throttle(b, q, policy_rate_due(s, q->rate_full));
	tell_held_back(b, q);
}

void broker_grant(struct broker *b)
{
	struct queue *q;
	uint64_t end = b->work + b->ledger.limits.turn_steps;
	TAILQ_HEAD(, queue) later = TAILQ_HEAD_INITIALIZER(later);
	while (b->work < end && (q = TAILQ_FIRST(&b->busy))) {
		struct offer o;
		TAILQ_REMOVE(&b->busy, q, busy);
		/* What has expired goes first: the next turn goes on with that. */
		if (!RB_EMPTY(&q->expiries) && broker_any_expired(b)) {
			TAILQ_INSERT_TAIL(&later, q, busy);
			continue;
		}
		q->is_busy = false;
		uint64_t share = share_of(q), may = may_hand_out(b, q);
		if (RMQ_VARIANT(IDLE_EARLY))
			tell_idle(b, q);
		take_back(b, q, end);
		while (
		    may > 0 && b->work < end && next_offer(b, q, min_u64(share, may), end, &o))
			may -= grant_one(b, o.sub, o.r, o.most);
		bool any = queue_first_ready(q) || by_key_any(q);
		if (!any)
			tell_idle(b, q);
		else if (!TAILQ_EMPTY(&q->hungry) && may > 0 && b->work >= end)
			broker_busy(b, q);
		else if (!TAILQ_EMPTY(&q->hungry))
			hold_back(b, q);
		q->idle_due = q->idle_due && any;
		if (q->is_away)
			broker_away_note(b, q, any);
	}
	TAILQ_CONCAT(&b->busy, &later, busy);
}

void broker_hand_again(struct broker *b, struct subscription *sub)
{
	struct handout *h = broker_handout_new(0);
	h->again = true;
	h->target = sub->id;
	h->queue = sub->queue->id;
	h->lease = b->lease;
	h->end = UINT64_MAX;
	sub->again = h;
	broker_hand(b, sub->conn->id, h);
}

/* ---- what a connection is to be written ---- */

/* Where message `at` of m came from and why, if it is a dead letter. */
static struct slice note_of(struct broker *b, const struct batch *m, uint64_t at)
{
	const struct origin *o = batch_origin(m);
	if (!notes_differ(m))
		return slice_str(o ? o->reason : "");
	uint64_t seq = batch_origin_seq(m, RMQ_VARIANT(NOTE_OF_FIRST) ? m->first : at);
	int len = snprintf(b->note, sizeof(b->note), "%s:%llu %s", o->queue,
	    (unsigned long long)seq, o->reason);
	return slice_of(b->note, min_u64((uint64_t)len, TEXT_MAX));
}

/* What a peek of message `at` of m, and of those that follow it, says besides. */
static struct slice peeked_tags(
    struct broker *b, const struct handout *h, const struct batch *m, uint64_t at)
{
	const struct origin *o = batch_origin(m);
	uint8_t bytes[8 + NAME_FULL_MAX];
	struct writer w = writer_of(b->peeked, sizeof(b->peeked));
	struct writer v = writer_of(bytes, sizeof(bytes));
	if (notes_differ(m)) {
		put_u64(&v, batch_origin_seq(m, at));
		put_rest(&v, slice_str(o->queue));
		tags_put(&w, PEEKED_TAG_ORIGIN, slice_of(v.p, v.len));
	}
	if (o && o->redrives > 0) {
		store_u32(bytes, o->redrives);
		tags_put(&w, PEEKED_TAG_REDRIVES, slice_of(bytes, 4));
	}
	if (h->by_wall)
		tags_put(&w, PEEKED_TAG_WALL, NO_TAGS);
	if (h->expire_ms > 0) {
		store_u64(bytes, h->expire_ms);
		bytes[8] = h->expires_own;
		tags_put(&w, PEEKED_TAG_EXPIRE, slice_of(bytes, 9));
	}
	tags_put_u64(&w, PEEKED_TAG_LEFT, h->left_ms);
	assert(!w.full && !v.full);
	return slice_of(w.p, w.len);
}

/* Fills in where message `at` of m is; a run of at most `end - at` messages. */
static void place(struct broker *b, const struct handout *h, const struct batch *m, uint64_t at,
    uint64_t end, struct delivery *d)
{
	d->first_seq = at;
	d->note = note_of(b, m, at);
	d->tags = h->peek ? peeked_tags(b, h, m, at) : NO_TAGS;
	if (!m->is_large) {
		d->count = (uint32_t)(end - at);
		d->index = m->record->index;
		d->offset = m->offset;
		d->slot = (uint16_t)(m->slot + (at - m->first));
		return;
	}
	d->large = true;
	d->count = 1;
	d->part = h->part;
	d->parts = m->large->parts;
	d->total = m->large->bytes;
	d->time_ms = m->large->time_ms;
	d->index = m->large->part[h->part].record->index;
	d->offset = m->large->part[h->part].offset;
}

/* Credit came, or a reservation ended. */
static void credit_changed(struct broker *b, struct subscription *sub)
{
	if (!sub->is_hungry)
		line_up(sub);
	if (sub->is_hungry)
		broker_busy(b, sub->queue);
}

/* The handout is finished: from now on only what was really sent counts. */
void broker_handout_done(struct broker *b, struct conn *c, struct handout *h)
{
	struct subscription *sub =
	    h->reserved > 0 || h->again ? broker_sub(c, h->target) : NULL;
	if (sub && sub->again == h)
		sub->again = NULL;
	if (sub && h->reserved > 0) {
		sub->reserved -= (int64_t)h->reserved;
		sub->messages += h->unused;
		credit_changed(b, sub);
	}
	TAILQ_REMOVE(&c->handouts, h, link);
	if (h->grant && c->grants-- == GRANTS_WAIT_MAX && !RMQ_VARIANT(GRANTS_FORGOTTEN))
		TAILQ_FOREACH (sub, &c->subs, of_conn)
			credit_changed(b, sub);
	free(h);
}

void broker_delivered(struct broker *b, uint64_t conn, const struct delivery *d, uint64_t bytes)
{
	struct conn *c = broker_conn(b, conn);
	struct subscription *sub = c && !d->peek ? broker_sub(c, d->target) : NULL;
	/* A large message counts as a whole; what is handed again (stamp 0) was paid for. */
	if (c && d->large) {
		c->part_bytes = (d->part > 0 ? c->part_bytes : 0) + bytes;
		bytes = d->part + 1 == d->parts ? c->part_bytes : 0;
	}
	if (!sub || d->stamp == 0)
		return;
	sub->bytes -= (int64_t)bytes;
	/* Its handout reserves as much until it is finished. */
	if (sub->is_hungry && sub->bytes <= sub->reserved)
		line_up(sub);
}

void broker_undelivered(struct broker *b, uint64_t conn, const struct delivery *d)
{
	struct conn *c = broker_conn(b, conn);
	struct handout *h = c ? TAILQ_FIRST(&c->handouts) : NULL;
	bool whole = !d->large || d->part + 1 == d->parts;
	if (h && !h->peek && !h->again && whole && !RMQ_VARIANT(LOST_UNPAID))
		h->unused += d->count;
}

void broker_credit(struct broker *b, struct conn *c, const struct wire_credit *m)
{
	struct subscription *sub = broker_sub(c, m->sub);
	/* The subscription may have ended while the credit was on its way. */
	if (!sub)
		return;
	sub->messages += m->messages;
	sub->bytes += m->bytes;
	sub->idle_due = sub->held_back_due = true;
	if (!sub->has_asked) {
		sub->has_asked = true;
		join(b, sub);
	}
	credit_changed(b, sub);
}

/* A known-bad order. */
static struct range *held_newest_first(
    const struct session *s, const struct queue *q, struct handout *h)
{
	struct range *r, *found = NULL;
	RB_FOREACH (r, holding_tree, (struct holding_tree *)(uintptr_t)&s->held)
		if (r->queue == q && !r->detached && (!found || r->lease > found->lease) &&
		    (r->lease < h->lease ||
			(r->lease == h->lease && r->first + r->span > h->at)))
			found = r;
	if (found && found->lease < h->lease) {
		h->lease = found->lease;
		h->at = found->first;
	}
	return found;
}

/*
 * What is handed again is looked for when it is written, so that a session that holds much
 * and subscribes often costs no memory.  Only the newest subscription of a queue gets it.  After
 * as many steps as a turn may make it is looked for in the next turn: *later.
 */
static struct range *again_range(struct broker *b, const struct conn *c, struct handout *h,
    const struct queue *q, bool *later)
{
	const struct subscription *sub = broker_sub(c, h->target);
	uint64_t end = b->work + b->ledger.limits.turn_steps;
	struct range *r;
	if (!sub || sub->again != h)
		return NULL;
	while (q && !(*later = b->work >= end) &&
	       (r = RMQ_VARIANT(AGAIN_UNORDERED) ? held_newest_first(c->session, q, h)
						 : session_held_from(c->session, q, h->at))) {
		broker_works(b, 1);
		if (!r->detached && r->lease <= h->lease)
			return r;
		h->at = r->first + r->span;
	}
	return NULL;
}

/* The range that holds h's next message, as far as h still may have it; NULL: nothing left. */
static struct range *handout_range(
    struct broker *b, const struct conn *c, struct handout *h, struct queue *q, bool *later)
{
	struct range *r;
	if (h->again)
		return again_range(b, c, h, q, later);
	while (q && h->at < h->end && (r = queue_range_at(q, h->at)) && r->first < h->end) {
		if (h->peek || (r->state == STATE_LEASED && r->lease == h->lease &&
				   r->session == c->session && !r->detached))
			return r;
		h->at = r->first + r->span;
	}
	return NULL;
}

/* Tries the first handout.  1: *d is set; 0: it is finished; -1: wait for the journal, or a turn. */
static int handout_next(struct broker *b, struct conn *c, struct handout *h, struct delivery *d)
{
	struct queue *q = broker_queue(b, h->queue);
	struct range *r;
	bool later = false;
	while ((r = handout_range(b, c, h, q, &later))) {
		uint64_t end = 0, from = h->at > r->first ? h->at : r->first;
		uint64_t limit = min_u64(h->end, r->first + r->span);
		struct batch *m = queue_batch_at(q, from);
		uint64_t at = m ? batch_run(m, from, limit, &end) : limit;
		if (at >= limit) {
			h->at = m ? min_u64(m->first + m->count, limit) : limit;
			continue;
		}
		if (batch_in_flight(m))
			return -1;
		*d = (struct delivery){.peek = h->peek,
		    .target = h->target,
		    .state = h->state,
		    .lease = h->again ? r->lease : h->lease,
		    .stamp = h->stamp,
		    .attempt = h->peek ? h->attempt : r->attempt,
		    .failures = h->peek ? h->failures : r->failures};
		if (notes_differ(m))
			end = at + 1;
		/* The message that was being sent may be gone: the next one begins anew. */
		h->part = h->part_of == at ? h->part : 0;
		h->part_of = at;
		place(b, h, m, at, end, d);
		bool whole = !d->large || ++h->part == d->parts;
		h->at = !whole ? at : d->large ? at + 1 : end;
		if (h->unused > 0 && whole)
			h->unused -= d->count;
		return 1;
	}
	if (later)
		broker_deliver_later(b, c->id);
	return later ? -1 : 0;
}

bool broker_next_delivery(struct broker *b, uint64_t id, struct delivery *d)
{
	struct conn *c = broker_conn(b, id);
	struct handout *h;
	while (c && !c->closed && (h = TAILQ_FIRST(&c->handouts))) {
		if (h->history) {
			*d = (struct delivery){.history = true};
			return true;
		}
		if (h->frames_len > 0) {
			broker_handed_frames(b, c, h);
			broker_handout_done(b, c, h);
			continue;
		}
		int got = handout_next(b, c, h, d);
		if (got == 0) {
			broker_handout_done(b, c, h);
			continue;
		}
		c->stalled = got < 0;
		return got > 0;
	}
	return false;
}

/* ---- PEEK ---- */

/* When message `first` expires, NULL: it does not.  *end, at most what it was: so do those before it. */
static const struct expiry *expiry_of(struct queue *q, uint64_t first, uint64_t *end)
{
	const struct expiry *x = expiry_from(q, first);
	if (!x)
		return NULL;
	bool in = x->first <= first;
	*end = min_u64(*end, in ? x->end : x->first);
	return in ? x : NULL;
}

/* A run of messages that are in one range and one batch, as a row of the answer. */
static void peek_run(struct broker *b, const struct conn *c, const struct wire_peek *m,
    const struct range *r, uint64_t first, uint64_t end, const struct expiry *x)
{
	struct handout *h = broker_handout_new(0);
	h->peek = true;
	h->target = m->req;
	h->queue = r->queue->id;
	h->state = r->state;
	h->attempt = r->attempt;
	h->failures = r->failures;
	h->lease = r->lease;
	h->at = first;
	h->end = end;
	/* Lease time is shown as the wall clock that it amounts to. */
	h->stamp = r->state == STATE_READY ? 0
		   : r->by_wall		   ? r->until_ms
					   : range_until(r) - b->lease_now.ms + b->wall_now.ms;
	h->by_wall = r->state == STATE_DELAYED && r->by_wall;
	if (r->state == STATE_DELAYED && !r->by_wall && r->until_ms > b->lease_now.ms)
		h->left_ms = r->until_ms - b->lease_now.ms;
	h->expire_ms = x ? x->at_ms : 0;
	h->expires_own = x && x->own;
	broker_hand(b, c->id, h);
}

void broker_peek(struct broker *b, struct conn *c, const struct wire_peek *m)
{
	struct queue *q = broker_queue_named(b, m->queue);
	uint32_t left = m->limit < LIST_ROWS_MAX ? m->limit : LIST_ROWS_MAX;
	uint64_t at = m->from, end = 0;
	uint32_t looks = PEEK_LOOKS_MAX;
	struct range *r = NULL;
	for (; q && left > 0 && looks > 0 && (r = queue_range_at(q, at)); looks--) {
		broker_works(b, 1);
		uint64_t limit = r->first + r->span;
		struct batch *run = queue_batch_at(q, at > r->first ? at : r->first);
		uint64_t first =
		    run ? batch_run(run, at > r->first ? at : r->first, limit, &end) : limit;
		if (!(r->state & m->states)) {
			at = limit;
		} else if (first >= limit) {
			at = run ? min_u64(limit, run->first + run->count) : limit;
		} else {
			end = min_u64(end, first + left);
			const struct expiry *x = expiry_of(q, first, &end);
			peek_run(b, c, m, r, first, end, x);
			left -= (uint32_t)(end - first);
			at = end;
		}
	}
	uint8_t bytes[64];
	struct writer w = writer_of(bytes, sizeof(bytes));
	wire_put_peek_end(&w, &(struct wire_peek_end){m->req, q ? RMQ_E_OK : RMQ_E_NO_QUEUE,
				  q && (left == 0 || looks == 0) && queue_range_at(q, at), at});
	broker_send(b, c->id, &w);
}
