#include "told.h"

#include "daemon.h"
#include "ephemerals.h"
#include "trace.h"
#include "watches.h"

#include "core/base/name.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define U(v) ((unsigned long long)(v))

/* A subscription, as the frames of its connection say. */
struct sub {
	bool on;
	bool ends; /* UNSUBSCRIBE was taken */
	uint32_t id;
	uint8_t flags;
	uint8_t name_len;
	char name[NAME_FULL_MAX];
	uint64_t since_ms;	 /* lease time */
	uint64_t joined;	 /* the moment of the first CREDIT; 0: none yet */
	uint64_t asked_ms;	 /* of the newest CREDIT */
	bool asked;		 /* no IDLE has told how it was then, or later */
	bool told;		 /* an IDLE has left */
	uint32_t told_queue;	 /* it told how it was in this queue */
	size_t told_at;		 /* … at this place of its history */
	uint64_t told_of;	 /* the messages that it named */
	int64_t messages, bytes; /* credit left */
	uint64_t part_bytes;	 /* of the newest large message, as far as it was delivered */
	bool fresh;	/* something was delivered that it did not hold when it began */
	uint64_t again; /* the newest one that was delivered and that it did hold */
};

struct told {
	uint64_t welcome_ms; /* lease time */
	uint64_t heard;	     /* the moment of the newest frame */
	struct sub subs[SUBSCRIPTIONS_MAX];
	struct watch watch;
};

static struct told *told_of(struct link *l)
{
	if (!l->told)
		l->told = calloc(1, sizeof(*l->told));
	assert(l->told);
	return l->told;
}

static struct sub *sub_find(const struct link *l, uint32_t id)
{
	for (unsigned i = 0; l->told && i < SUBSCRIPTIONS_MAX; i++)
		if (l->told->subs[i].on && l->told->subs[i].id == id)
			return &l->told->subs[i];
	return NULL;
}

static bool is_of(const struct shadow_queue *q, const struct sub *s)
{
	return q && slice_eq(slice_of(q->name, q->name_len), slice_of(s->name, s->name_len));
}

/* ---- what clients ask for ---- */

static void on_subscribe(struct link *l, const struct wire_subscribe *m)
{
	char name[NAME_EPHEMERAL_MAX];
	struct slice queue = m->flags & SUBSCRIBE_EPHEMERAL
				 ? name_of_ephemeral(name, l->session, m->sub)
				 : m->queue;
	struct sub *s = sub_find(l, m->sub);
	for (unsigned i = 0; !s && i < SUBSCRIPTIONS_MAX; i++)
		if (!told_of(l)->subs[i].on)
			s = &l->told->subs[i];
	if (!s || queue.len > sizeof(s->name))
		trace_fail("a client subscribes too often");
	*s = (struct sub){.on = true,
	    .id = m->sub,
	    .flags = m->flags,
	    .name_len = (uint8_t)queue.len,
	    .since_ms = daemon_lease_now(l->daemon).ms};
	memcpy(s->name, queue.data, queue.len);
}

static void on_credit(struct link *l, const struct wire_credit *m)
{
	struct sub *s = sub_find(l, m->sub);
	if (!s)
		return;
	s->asked_ms = daemon_lease_now(l->daemon).ms;
	s->asked = true;
	if (s->joined == 0)
		s->joined = l->told->heard;
	s->messages += m->messages;
	s->bytes += m->bytes;
}

void told_asked(struct link *l, const struct frame *f)
{
	struct wire_subscribe subscribe;
	struct wire_unsubscribe unsubscribe;
	struct wire_credit credit;
	struct wire_watch watch;
	struct wire_hello hello;
	struct sub *s;
	told_of(l)->heard = ++l->daemon->w->moment;
	if (f->type == WIRE_TYPE_HELLO && wire_hello_decode(f->payload, &hello))
		ephemerals_back(l, hello.session);
	if (f->type == WIRE_TYPE_SUBSCRIBE && wire_subscribe_decode(f->payload, &subscribe))
		on_subscribe(l, &subscribe);
	if (f->type == WIRE_TYPE_CREDIT && wire_credit_decode(f->payload, &credit))
		on_credit(l, &credit);
	if (f->type == WIRE_TYPE_WATCH && wire_watch_decode(f->payload, &watch))
		watches_asked(
		    l->daemon->w, &l->told->watch, &watch, daemon_lease_now(l->daemon).ms);
	if (f->type == WIRE_TYPE_UNSUBSCRIBE &&
	    wire_unsubscribe_decode(f->payload, &unsubscribe) &&
	    (s = sub_find(l, unsubscribe.sub)))
		s->ends = true;
}

uint64_t told_joined(
    const struct world *w, const struct shadow_queue *q, uint64_t session, uint64_t *heard)
{
	*heard = 0;
	for (size_t i = 0; i < w->net.count; i++) {
		const struct link *l = w->net.links[i];
		if (l->session != session || l->daemon_closed || l->down.closed || !l->told)
			continue;
		for (unsigned k = 0; k < SUBSCRIPTIONS_MAX; k++) {
			const struct sub *s = &l->told->subs[k];
			if (!s->on || s->ends || !is_of(q, s))
				continue;
			*heard = l->told->heard;
			return s->joined;
		}
	}
	return 0;
}

/* ---- LEASE_ENDED ---- */

/*
 * Who held the messages is told once, how it was, and not before it is on disk; nobody is told
 * of what it settled itself.
 */
static void check_lease_ended(struct world *w, struct link *l, struct slice payload)
{
	struct wire_lease_ended m;
	uint32_t news = 0;
	bool may_be_own = false;
	if (!wire_lease_ended_decode(payload, &m) || m.count == 0)
		trace_fail("LEASE_ENDED is cut");
	struct shadow_queue *q = shadow_leased_in(&w->shadow, m.lease);
	if (!q)
		trace_fail("LEASE_ENDED of lease %llu, which is not on disk", U(m.lease));
	for (uint64_t seq = m.first_seq; seq - m.first_seq < m.count; seq++) {
		const struct shadow_message *sm = shadow_message(q, seq);
		struct shadow_end *end = sm ? shadow_end_of(sm, m.lease) : NULL;
		if (!sm)
			trace_fail(
			    "LEASE_ENDED of %s:%llu, which is not on disk", q->name, U(seq));
		if (!end && sm->lease == m.lease)
			trace_fail("LEASE_ENDED of %s:%llu, on disk it has lease %llu", q->name,
			    U(seq), U(m.lease));
		/* It is not known whether a BYE that was read in between ended what is told of now. */
		may_be_own |=
		    end && end->by == l->session && shadow_said_bye(&w->shadow, l->session);
		/* Between those that ended now lie some that had. */
		if (!end || end->by == l->session || end->told)
			continue;
		if (end->session != l->session)
			trace_fail(
			    "LEASE_ENDED of %s:%llu goes to session %llu, %llu had lease %llu",
			    q->name, U(seq), U(l->session), U(end->session), U(m.lease));
		/* Others may have settled some of them while their holder was away. */
		if (end->whys == 1u << ENDED_SETTLED && end->made <= l->told->welcome_ms &&
		    m.why != ENDED_SETTLED)
			continue;
		if (!(end->whys & 1u << m.why))
			trace_fail(
			    "LEASE_ENDED of %s:%llu, lease %llu, says %u, the disk has %x",
			    q->name, U(seq), U(m.lease), m.why, end->whys);
		end->told = true;
		news++;
	}
	if (news == 0 && !may_be_own)
		trace_fail("LEASE_ENDED of %s:%llu+%u, lease %llu, tells nothing new", q->name,
		    U(m.first_seq), m.count, U(m.lease));
}

/* Every lease that ended while its holder was connected, and not by itself. */
static void check_ends_told(const struct link *l, struct shadow_queue *q)
{
	for (uint64_t seq = q->base; seq < q->next_seq; seq++) {
		const struct shadow_message *m = shadow_message(q, seq);
		for (uint32_t i = 0; i < m->ends_count; i++) {
			const struct shadow_end *e = &m->ends[i];
			if (e->session == l->session && e->by != l->session &&
			    e->by != SHADOW_SOMEBODY && !e->told &&
			    e->made > l->told->welcome_ms)
				trace_fail(
				    "session %llu is not told that lease %llu of %s:%llu "
				    "has ended",
				    U(l->session), U(e->lease), q->name, U(seq));
		}
	}
}

/* ---- IDLE ---- */

/* How long it was so in q as at place i of its history: up to this lease time. */
static uint64_t was_until(const struct shadow_queue *q, size_t i)
{
	return i + 1 < q->history_count ? q->history[i + 1].made : UINT64_MAX;
}

/*
 * Finds when it was as m says in q: since the subscription began, and not before what the IDLE
 * before this one has told, as they leave in the order in which they were made.
 */
static bool was_so(const struct shadow_queue *q, struct sub *s, const struct wire_idle *m)
{
	bool after = s->told && s->told_queue == q->id, so = false;
	for (size_t i = after ? s->told_at : 0; i < q->history_count; i++) {
		const struct shadow_counts *c = &q->history[i];
		if (was_until(q, i) < s->since_ms || c->in[SHADOW_READY] > 0 ||
		    c->in[SHADOW_LEASED] != m->leased || c->in[SHADOW_DELAYED] != m->delayed)
			continue;
		if (!so)
			s->told_at = i;
		so = true;
		s->asked &= was_until(q, i) < s->asked_ms;
	}
	if (so)
		s->told_queue = q->id;
	return so;
}

static void check_idle(struct world *w, struct link *l, struct slice payload)
{
	struct wire_idle m;
	bool so = false;
	if (!wire_idle_decode(payload, &m))
		trace_fail("IDLE is cut");
	struct sub *s = sub_find(l, m.sub);
	if (!s || !(s->flags & SUBSCRIBE_IDLE))
		trace_fail("IDLE for subscription %u, which did not ask for it", m.sub);
	/* Of bytes more may have gone since than was reserved for them. */
	if (s->messages <= 0)
		trace_fail("IDLE for subscription %u, which has no credit", m.sub);
	for (size_t i = 0; !so && i < w->shadow.queues_count; i++)
		so = is_of(w->shadow.queues[i], s) && was_so(w->shadow.queues[i], s, &m);
	if (!so)
		trace_fail("IDLE: %.*s has %llu leased and %llu delayed, on disk it never had",
		    s->name_len, s->name, U(m.leased), U(m.delayed));
	s->told = true;
	s->told_of = m.leased + m.delayed;
}

static void check_held_back(struct link *l, struct slice payload)
{
	struct wire_held_back m;
	const struct sub *s = wire_held_back_decode(payload, &m) ? sub_find(l, m.sub) : NULL;
	if (!s || !(s->flags & SUBSCRIBE_IDLE) || s->messages <= 0)
		trace_fail("HELD_BACK for a subscription without credit, or that is not told");
}

static void check_idle_told(
    const struct link *l, const struct shadow_queue *q, const struct sub *s)
{
	if (!s->on || s->ends || !(s->flags & SUBSCRIBE_IDLE) || !is_of(q, s) ||
	    s->messages <= 0 || s->bytes <= 0 || shadow_ready(q) > 0)
		return;
	if (s->asked || !s->told)
		trace_fail(
		    "link %llu: subscription %u of %s has credit, and no IDLE has followed",
		    U(l->id), s->id, q->name);
	if (q->live == 0 && s->told_of > 0)
		trace_fail("link %llu: subscription %u is not told that %s is empty", U(l->id),
		    s->id, q->name);
}

/* ---- all frames ---- */

static void ended_sub(struct link *l, uint32_t id)
{
	struct sub *s = sub_find(l, id);
	if (s)
		s->on = false;
}

void told_frame(struct world *w, struct link *l, const struct frame *f)
{
	struct wire_sub_failed failed;
	struct wire_unsubscribed unsubscribed;
	struct wire_watched watched;
	switch (f->type) {
	case WIRE_TYPE_WELCOME:
		told_of(l)->welcome_ms = daemon_lease_now(l->daemon).ms;
		break;
	case WIRE_TYPE_LEASE_ENDED:
		check_lease_ended(w, l, f->payload);
		break;
	case WIRE_TYPE_IDLE:
		check_idle(w, l, f->payload);
		break;
	case WIRE_TYPE_WATCHED:
		if (wire_watched_decode(f->payload, &watched))
			watches_told(w, &told_of(l)->watch, &watched);
		break;
	case WIRE_TYPE_HELD_BACK:
		check_held_back(l, f->payload);
		break;
	case WIRE_TYPE_SUB_FAILED:
		if (wire_sub_failed_decode(f->payload, &failed))
			ended_sub(l, failed.sub);
		break;
	case WIRE_TYPE_UNSUBSCRIBED:
		if (wire_unsubscribed_decode(f->payload, &unsubscribed))
			ended_sub(l, unsubscribed.sub);
		break;
	}
}

/*
 * What a session holds comes again when it subscribes: in its order, and before all that it is
 * given from then on.
 */
void told_delivery(struct world *w, struct link *l, const struct delivery *d, uint64_t bytes)
{
	struct sub *s = d->peek ? NULL : sub_find(l, d->target);
	bool whole = !d->large || d->part + 1 == d->parts;
	if (s && d->large) {
		s->part_bytes = (d->part > 0 ? s->part_bytes : 0) + bytes;
		bytes = s->part_bytes;
	}
	if (d->peek || !whole)
		return;
	if (!s || !is_of(shadow_leased_in(&w->shadow, d->lease), s))
		trace_fail(
		    "a delivery under lease %llu for subscription %u", U(d->lease), d->target);
	if (d->stamp != 0) {
		s->fresh = true;
		s->messages -= d->count;
		s->bytes -= (int64_t)bytes;
		return;
	}
	if (s->fresh)
		trace_fail("%.*s:%llu was held, and comes behind what is new", s->name_len,
		    s->name, U(d->first_seq));
	if (d->first_seq <= s->again)
		trace_fail("%.*s:%llu was held, and comes behind %llu", s->name_len, s->name,
		    U(d->first_seq), U(s->again));
	s->again = d->first_seq + d->count - 1;
}

/* ---- at rest ---- */

static bool is_served(const struct link *l, const struct daemon *d)
{
	return l->daemon == d && l->told && l->session != 0 && !l->daemon_closed &&
	       !l->down.closed && !l->deliverable && broker_owed(d->broker, l->id) == 0;
}

void told_all(struct world *w, const struct daemon *d)
{
	ephemerals_all(w, d);
	for (size_t i = 0; i < w->net.count; i++) {
		const struct link *l = w->net.links[i];
		if (!is_served(l, d))
			continue;
		if (l->told->watch.on && watches_met(w, &l->told->watch))
			trace_fail("link %llu: nobody is told that %.*s is as it waited for",
			    U(l->id), l->told->watch.name_len, l->told->watch.name);
		for (size_t k = 0; k < w->shadow.queues_count; k++) {
			struct shadow_queue *q = w->shadow.queues[k];
			if (!q)
				continue;
			check_ends_told(l, q);
			for (unsigned n = 0; !q->removed && n < SUBSCRIPTIONS_MAX; n++)
				check_idle_told(l, q, &l->told->subs[n]);
		}
	}
}
