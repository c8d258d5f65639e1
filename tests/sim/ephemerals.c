#include "ephemerals.h"

#include "daemon.h"
#include "trace.h"

#include <assert.h>
#include <stdlib.h>

#define U(v) ((unsigned long long)(v))

/* A session that is away, as a process of a daemon has seen it; left_ms: lease time. */
struct away {
	uint64_t session;
	const struct daemon *daemon;
	uint64_t life;
	uint64_t left_ms;
};

/* Sessions that were away, and those that some daemon closed or forgot, or that came back too late. */
struct ephemerals {
	struct away *away;
	size_t count, cap;
	uint64_t *gone;
	size_t gone_count, gone_cap;
};

static struct ephemerals *of(struct world *w)
{
	if (!w->ephemerals)
		w->ephemerals = calloc(1, sizeof(*w->ephemerals));
	assert(w->ephemerals);
	return w->ephemerals;
}

void ephemerals_free(struct world *w)
{
	if (w->ephemerals) {
		free(w->ephemerals->away);
		free(w->ephemerals->gone);
	}
	free(w->ephemerals);
}

/* The time that the broker goes by: that of its turn. */
static uint64_t turn_ms(const struct daemon *d)
{
	return d->lease_base_ms + (d->turn_ms - d->boot_base_ms);
}

void ephemerals_left(struct link *l)
{
	struct daemon *d = l->daemon;
	struct ephemerals *e = of(d->w);
	uint64_t session = broker_session(d->broker, l->id);
	if (session == 0)
		return;
	if (e->count == e->cap) {
		e->cap = 2 * e->cap + 16;
		e->away = realloc(e->away, e->cap * sizeof(*e->away));
		assert(e->away);
	}
	e->away[e->count++] = (struct away){session, d, d->life, turn_ms(d)};
}

static void note_gone(struct world *w, uint64_t session)
{
	struct ephemerals *e = of(w);
	if (e->gone_count == e->gone_cap) {
		e->gone_cap = 2 * e->gone_cap + 16;
		e->gone = realloc(e->gone, e->gone_cap * sizeof(*e->gone));
		assert(e->gone);
	}
	e->gone[e->gone_count++] = session;
}

static bool is_gone(struct world *w, uint64_t session)
{
	const struct ephemerals *e = of(w);
	for (size_t i = 0; i < e->gone_count; i++)
		if (e->gone[i] == session)
			return true;
	return !shadow_session(&w->shadow, session);
}

static bool is_here(const struct daemon *d, uint64_t session)
{
	const struct net *n = &d->w->net;
	for (size_t i = 0; i < n->count; i++)
		if (n->links[i]->daemon == d && !n->links[i]->daemon_closed &&
		    broker_session(d->broker, n->links[i]->id) == session)
			return true;
	return false;
}

/* For how long it has been away; one that was not here in this daemon's life since it began. */
static uint64_t away_ms(const struct daemon *d, uint64_t session)
{
	const struct ephemerals *e = of(d->w);
	for (size_t i = e->count; i-- > 0;)
		if (e->away[i].session == session && e->away[i].daemon == d &&
		    e->away[i].life == d->life)
			return turn_ms(d) - e->away[i].left_ms;
	return turn_ms(d) - d->lease_base_ms;
}

void ephemerals_back(struct link *l, uint64_t session)
{
	if (session > 0 && !is_here(l->daemon, session) &&
	    away_ms(l->daemon, session) >= EPHEMERAL_IDLE_MS)
		note_gone(l->daemon->w, session);
}

static void may_end(struct daemon *d, uint32_t queue)
{
	struct shadow *s = &d->w->shadow;
	const struct shadow_queue *q = queue < s->queues_count ? s->queues[queue] : NULL;
	uint64_t session = q ? q->ephemeral : 0;
	/* Not bound any more: its end has begun, maybe in front of a crash. */
	if (session == 0 || q->bound == 0 || shadow_said_bye(s, session) ||
	    shadow_is_dead(s, session) || is_gone(d->w, session))
		return;
	if (is_here(d, session))
		trace_fail("%s ends while its receiver is connected", q->name);
	if (away_ms(d, session) < EPHEMERAL_IDLE_MS)
		trace_fail("%s ends when its receiver has been away for %llu ms", q->name,
		    U(away_ms(d, session)));
}

void ephemerals_appended(struct daemon *d, struct slice payload)
{
	struct events_header h;
	struct event_iter it;
	struct event e;
	if (events_open(payload, &h, &it))
		return;
	while (event_next(&it, &e) == RMQ_E_OK) {
		struct event_session_close closed;
		struct event_session_forget forgotten;
		struct event_purge purge;
		struct event_unbind unbind;
		struct event_remove rm;
		if (e.type == EVENT_TYPE_SESSION_CLOSE &&
		    event_session_close_decode(e.body, &closed))
			note_gone(d->w, closed.session);
		else if (e.type == EVENT_TYPE_SESSION_FORGET &&
			 event_session_forget_decode(e.body, &forgotten))
			note_gone(d->w, forgotten.session);
		else if (e.type == EVENT_TYPE_PURGE && event_purge_decode(e.body, &purge))
			may_end(d, purge.queue);
		else if (e.type == EVENT_TYPE_UNBIND && event_unbind_decode(e.body, &unbind))
			may_end(d, unbind.queue);
		else if (e.type == EVENT_TYPE_REMOVE && event_remove_decode(e.body, &rm))
			may_end(d, rm.queue);
	}
}

void ephemerals_all(struct world *w, const struct daemon *d)
{
	for (size_t i = 0; i < w->shadow.queues_count; i++) {
		const struct shadow_queue *q = w->shadow.queues[i];
		if (!q || q->removed || q->ephemeral == 0)
			continue;
		if (!shadow_session(&w->shadow, q->ephemeral))
			trace_fail("%s outlives its session", q->name);
		if (!is_here(d, q->ephemeral) && away_ms(d, q->ephemeral) > EPHEMERAL_IDLE_MS)
			trace_fail("%s is there when its receiver has been away for %llu ms",
			    q->name, U(away_ms(d, q->ephemeral)));
	}
}
