#include "checks.h"

#include "actors.h"
#include "daemon.h"
#include "told.h"
#include "trace.h"
#include "trespass.h"

#include <assert.h>
#include <stdlib.h>

#define U(v) ((unsigned long long)(v))

/* ---- frames ---- */

/* What a daemon of the past says to a client that has gone on elsewhere. */
static bool unheard(const struct link *l)
{
	return l->client_closed && daemon_past(l->daemon);
}

/* Its client has hung up, and its session ended by a record that the daemon is not told of yet. */
static bool outlived(struct world *w, const struct link *l)
{
	return l->client_closed && !shadow_session(&w->shadow, l->session);
}

static void check_welcome(struct world *w, struct link *l, struct slice payload)
{
	struct wire_welcome m;
	if (!wire_welcome_decode(payload, &m))
		trace_fail("WELCOME is cut");
	const struct shadow_session *se = shadow_session(&w->shadow, m.session);
	struct slice token;
	if (l->intrudes)
		trace_fail("user %u goes on with session %llu, which was not issued to it",
		    l->uid, U(m.session));
	if (!tags_find(m.tags, WELCOME_TAG_TOKEN, &token) || token.len != sizeof(l->token))
		trace_fail("WELCOME has no token");
	memcpy(l->token, token.data, token.len);
	l->session = m.session;
	if (!unheard(l) && se && se->owned && se->uid != l->uid)
		trace_fail("user %u goes on with session %llu, which is user %u's", l->uid,
		    U(m.session), se->uid);
	if (!unheard(l) && m.last != (se ? se->last : 0))
		trace_fail("WELCOME says %llu was taken, the disk says %llu", U(m.last),
		    U(se ? se->last : 0));
}

static const struct shadow_answer *answer_of(struct world *w, struct link *l, uint64_t n)
{
	const struct shadow_session *se = shadow_session(&w->shadow, l->session);
	if (!se || n == 0 || n > se->last)
		trace_fail("command %llu is answered, the disk knows %llu", U(n),
		    U(se ? se->last : 0));
	return &se->answers[n - 1];
}

static void check_sent(struct world *w, struct link *l, struct slice payload)
{
	struct wire_sent m;
	if (!wire_sent_decode(payload, &m))
		trace_fail("SENT is cut");
	const struct shadow_answer *a = answer_of(w, l, m.n);
	if (a->event != EVENT_TYPE_SEND || a->first_seq != m.first_seq || a->count != m.count)
		trace_fail("SENT says %llu+%u, the disk says %llu+%u", U(m.first_seq), m.count,
		    U(a->first_seq), a->count);
}

/* A purge takes several events; with its answer all that was there has left. */
static void check_purged(struct world *w, struct link *l)
{
	struct shadow_queue *q = w->shadow.queues[l->purge_queue];
	for (uint64_t seq = q->low; seq < l->purge_below; seq++)
		if (shadow_live(shadow_message(q, seq)))
			trace_fail("%s is purged below %llu, and %llu is live", q->name,
			    U(l->purge_below), U(seq));
	l->purge_n = 0;
}

static void check_done(struct world *w, struct link *l, struct slice payload)
{
	struct wire_done m;
	if (!wire_done_decode(payload, &m))
		trace_fail("DONE is cut");
	const struct shadow_answer *a = answer_of(w, l, m.n);
	if (a->count > 0)
		trace_fail("DONE answers a SEND");
	if (a->event != EVENT_TYPE_TAKEN && m.stale.len != a->stale * (size_t)SETTLE_ENTRY_SIZE)
		trace_fail("DONE has %zu stale entries, the disk %u",
		    m.stale.len / SETTLE_ENTRY_SIZE, a->stale);
	if (l->purge_n > 0 && l->purge_n == m.n)
		check_purged(w, l);
}

static void check_settle_sent(struct world *w, struct link *l, struct slice payload)
{
	struct wire_settle_sent m;
	if (!wire_settle_sent_decode(payload, &m))
		trace_fail("SETTLE_SENT is cut");
	const struct shadow_answer *a = answer_of(w, l, m.n);
	if (a->event != EVENT_TYPE_SETTLE || a->first_seq != m.first_seq ||
	    a->count != m.count || m.stale.len != a->stale * (size_t)SETTLE_ENTRY_SIZE)
		trace_fail("SETTLE_SENT says %llu+%u, %zu stale, the disk says %llu+%u, %u",
		    U(m.first_seq), m.count, m.stale.len / SETTLE_ENTRY_SIZE, U(a->first_seq),
		    a->count, a->stale);
}

static void check_failed(struct world *w, struct link *l, struct slice payload)
{
	struct wire_failed m;
	const struct shadow_session *se = shadow_session(&w->shadow, l->session);
	if (!wire_failed_decode(payload, &m) || !error_known(m.code))
		trace_fail("FAILED is cut");
	/* OUT_OF_ORDER may come late, when its command was repeated and taken already. */
	if (se && m.n <= se->last && m.code != RMQ_E_OUT_OF_ORDER)
		trace_fail("FAILED %llu, but the disk has taken %llu", U(m.n), U(se->last));
}

/* A stamp's moment plus the lease must not lie after the lease's end on disk. */
static void check_trust(struct world *w, struct link *l, const struct shadow_message *m,
    uint64_t seq, uint64_t stamp, const char *what)
{
	uint64_t said = stamp - l->clock_ms;
	uint64_t trusted_until = said + m->lease_ms;
	uint64_t end = m->end - daemon_lease_now(l->daemon).ms + w->boot_ms;
	if (stamp != 0 && said > w->boot_ms)
		trace_fail("%s: a stamp from the future", what);
	if (stamp != 0 && (int64_t)(end - trusted_until) < 0)
		trace_fail("%s: seq %llu is vouched for up to %llu, on disk up to %llu", what,
		    U(seq), U(trusted_until), U(end));
}

static void check_extended(struct world *w, struct link *l, struct slice payload)
{
	struct wire_extended m;
	if (!wire_extended_decode(payload, &m))
		trace_fail("EXTENDED is cut");
	for (size_t i = 0; i < w->shadow.queues_count; i++) {
		struct shadow_queue *q = w->shadow.queues[i];
		for (uint64_t seq = q ? q->low : 0; q && seq < q->next_seq; seq++) {
			const struct shadow_message *sm = shadow_message(q, seq);
			if (sm->state == SHADOW_LEASED && sm->session == l->session &&
			    !sm->detached)
				check_trust(w, l, sm, seq, m.stamp, "EXTENDED");
		}
	}
}

static void check_listed(struct world *w, struct slice payload)
{
	struct wire_listed m;
	uint64_t newest = 0;
	if (!wire_listed_decode(payload, &m))
		trace_fail("LISTED is cut");
	for (size_t i = 0; i < w->shadow.queues_count; i++) {
		const struct shadow_queue *q = w->shadow.queues[i];
		if (q && slice_eq(slice_of(q->name, q->name_len), m.queue) &&
		    q->next_seq > newest)
			newest = q->next_seq;
	}
	if (m.next_seq > newest)
		trace_fail(
		    "LISTED goes up to %llu, the disk to %llu", U(m.next_seq), U(newest));
}

void checks_frame(struct world *w, struct link *l, const struct frame *f)
{
	bool state = f->type == WIRE_TYPE_EXTENDED || f->type == WIRE_TYPE_LISTED;
	if (l->trespasses) {
		trespass_told(w, l, f);
		return;
	}
	if ((unheard(l) || outlived(w, l)) && f->type != WIRE_TYPE_WELCOME)
		return;
	if (daemon_past(l->daemon) && state)
		return;
	if (!daemon_past(l->daemon))
		told_frame(w, l, f);
	switch (f->type) {
	case WIRE_TYPE_WELCOME:
		check_welcome(w, l, f->payload);
		break;
	case WIRE_TYPE_SENT:
		check_sent(w, l, f->payload);
		break;
	case WIRE_TYPE_DONE:
		check_done(w, l, f->payload);
		break;
	case WIRE_TYPE_SETTLE_SENT:
		check_settle_sent(w, l, f->payload);
		break;
	case WIRE_TYPE_FAILED:
		check_failed(w, l, f->payload);
		break;
	case WIRE_TYPE_EXTENDED:
		check_extended(w, l, f->payload);
		break;
	case WIRE_TYPE_LISTED:
		check_listed(w, f->payload);
		break;
	}
}

void checks_asked(struct world *w, struct link *l, const struct frame *f)
{
	struct wire_settle settle;
	struct wire_settle_send both;
	struct wire_queue_purge purge;
	struct wire_queue_remove rm;
	struct wire_cancel cancel;
	struct wire_transfer transfer;
	if (f->type == WIRE_TYPE_CANCEL && wire_cancel_decode(f->payload, &cancel))
		shadow_cancel_asked(&w->shadow, cancel.queue, cancel.messages);
	if (f->type == WIRE_TYPE_SETTLE && wire_settle_decode(f->payload, &settle) &&
	    settle.verb >= VERB_SETTLE && settle.verb <= VERB_TOUCH) {
		shadow_asked(&w->shadow, settle.queue, settle.verb, settle.entries);
		if (settle.verb == VERB_RELEASE && settle.ms > w->shadow.delay_ms)
			w->shadow.delay_ms = settle.ms;
	}
	if (f->type == WIRE_TYPE_SETTLE_SEND && wire_settle_send_decode(f->payload, &both))
		shadow_asked(&w->shadow, both.queue, VERB_SETTLE,
		    slice_of(both.data.data, both.entries * (size_t)SETTLE_ENTRY_SIZE));
	if (f->type == WIRE_TYPE_QUEUE_PURGE && wire_queue_purge_decode(f->payload, &purge)) {
		const struct shadow_queue *q = shadow_queue(&w->shadow, purge.queue);
		const struct shadow_session *s = shadow_session(&w->shadow, l->session);
		shadow_purge_asked(&w->shadow, purge.queue);
		/* One that was taken already, and did what it did then, is only answered again. */
		l->purge_n = q && !(s && purge.n <= s->last) ? purge.n : 0;
		l->purge_queue = q ? q->id : 0;
		l->purge_below = q ? q->next_seq : 0;
	}
	if (f->type == WIRE_TYPE_TRANSFER && wire_transfer_decode(f->payload, &transfer))
		shadow_transfer_asked(&w->shadow, &transfer);
	if (f->type == WIRE_TYPE_QUEUE_REMOVE && wire_queue_remove_decode(f->payload, &rm) &&
	    (rm.flags & REMOVE_FORCE))
		shadow_purge_asked(&w->shadow, rm.queue);
}

/* ---- deliveries ---- */

/* A dead letter says where it came from. */
static void check_note(struct world *w, const struct shadow_message *m, struct slice note)
{
	char from[NAME_FULL_MAX + 32] = "";
	if (m->redrives && !m->from) {
		snprintf(from, sizeof(from), "redriven %u time%s", m->redrives,
		    m->redrives > 1 ? "s" : "");
	} else if (m->from)
		snprintf(from, sizeof(from), "%s:%llu ", w->shadow.queues[m->from]->name,
		    U(m->from_seq));
	size_t len = strlen(from);
	if ((len == 0) != (note.len == 0) || note.len < len ||
	    !slice_eq(slice_str(from), slice_of(note.data, len)))
		trace_fail("a dead letter has the note \"%.*s\", not \"%s\"", (int)note.len,
		    (const char *)note.data, from);
}

static void check_delivered(
    struct world *w, struct link *l, const struct delivery *d, uint32_t line, uint64_t seq)
{
	if (line == UINT32_MAX || w->lines.all[line].stored == 0)
		trace_fail("record %llu: a body is delivered that is not on disk", U(d->index));
	if (d->peek || daemon_past(l->daemon))
		return;
	const struct shadow_message *m =
	    shadow_message(shadow_leased_in(&w->shadow, d->lease), seq);
	if (!m || m->line != line)
		trace_fail("line %u is delivered as %llu, that is %u", line, U(seq),
		    m ? m->line : UINT32_MAX);
	if (m->state != SHADOW_LEASED || m->lease != d->lease || m->session != l->session)
		trace_fail("seq %llu is delivered under lease %llu, on disk it is in state %d "
			   "under %llu",
		    U(seq), U(d->lease), m->state, U(m->lease));
	if (m->attempt != d->attempt || m->failures != d->failures)
		trace_fail("seq %llu is delivered as attempt %u after %u failures, not %u, %u",
		    U(seq), d->attempt, d->failures, m->attempt, m->failures);
	check_note(w, m, d->note);
	check_trust(w, l, m, seq, d->stamp, "DELIVER");
}

void checks_delivery(struct world *w, struct link *l, const struct delivery *d,
    const struct jm_record *r, bool *skip)
{
	struct event_run run;
	struct event_messages m;
	uint64_t seq = d->first_seq;
	if (!r || r->hole) {
		if (!d->peek)
			trace_fail(
			    "a delivery names record %llu, which is not there", U(d->index));
		*skip = true;
		return;
	}
	struct slice payload = slice_of(r->payload, r->len);
	if (d->large)
		return;
	if (event_run_open(payload, d->offset, d->slot, d->count, &run))
		trace_fail("a delivery names no batch");
	while (event_run_next(&run, &m) == RMQ_E_OK)
		for (uint32_t i = 0; i < m.count; i++, seq++)
			check_delivered(w, l, d,
			    lines_recognise(&w->lines, batch_body(&m.batch, m.slot + i)), seq);
	if (seq != d->first_seq + d->count)
		trace_fail(
		    "a delivery of %u messages finds %llu", d->count, U(seq - d->first_seq));
}

/* ---- what clients believe ---- */

/* The line, if it is still message seq of the queue, and not a dead letter elsewhere. */
static const struct shadow_message *still_there(
    struct world *w, uint32_t line, struct slice queue, uint64_t seq)
{
	const struct shadow_message *m = shadow_message(shadow_queue(&w->shadow, queue), seq);
	return m && m->line == line && shadow_live(m) ? m : NULL;
}

void checks_held(
    struct world *w, struct slice queue, uint32_t line, uint64_t seq, uint64_t lease)
{
	const struct shadow_message *m = still_there(w, line, queue, seq);
	if (w->lines.all[line].stored == 0)
		trace_fail("line %u is held and not on disk", line);
	if (m && (m->state != SHADOW_LEASED || m->lease != lease))
		trace_fail(
		    "line %u, %.*s:%llu, is vouched for under lease %llu; on disk it is in "
		    "state %d under %llu",
		    line, (int)queue.len, (const char *)queue.data, U(seq), U(lease), m->state,
		    U(m->lease));
}

void checks_settled(
    struct world *w, struct slice queue, uint32_t line, uint64_t seq, uint64_t lease)
{
	const struct shadow_message *m = still_there(w, line, queue, seq);
	if (w->lines.all[line].stored == 0 || (m && m->lease <= lease))
		trace_fail("line %u was settled under %llu, on disk it is in state %d", line,
		    U(lease), m ? m->state : -1);
}

void checks_nothing_kept(struct world *w, uint64_t session)
{
	for (size_t i = 0; session != 0 && i < w->shadow.queues_count; i++) {
		struct shadow_queue *q = w->shadow.queues[i];
		for (uint64_t seq = q ? q->low : 0; q && seq < q->next_seq; seq++) {
			const struct shadow_message *m = shadow_message(q, seq);
			if (m && m->state == SHADOW_LEASED && m->session == session &&
			    !m->detached)
				trace_fail("%s:%llu is left leased by a client that ended",
				    q->name, U(seq));
		}
	}
}

void checks_sent(struct world *w, uint32_t line, uint64_t seq)
{
	const struct line_state *l = &w->lines.all[line];
	if (l->stored != l->wanted || l->copy[0].first_seq != seq)
		trace_fail("line %u was sent as %llu, on disk it is %llu, in %u queues of %u",
		    line, U(seq), U(l->copy[0].first_seq), l->stored, l->wanted);
}

/* ---- the end ---- */

/* What a process sent to a queue is there in the order in which it was sent. */
static void check_order(const struct world *w)
{
	struct {
		uint64_t seq;
		uint32_t queue;
	} * newest;
	size_t width = ACTORS_NAMES + w->shadow.queues_count;
	newest = calloc((w->lives + 1) * width, sizeof(*newest));
	assert(newest);
	for (uint32_t i = 0; i < w->lines.count; i++) {
		const struct line_state *l = &w->lines.all[i];
		for (uint32_t k = 0; k < l->stored; k++) {
			const struct line_copy *c = &l->copy[k];
			const struct shadow_queue *q = w->shadow.queues[c->first_queue];
			size_t at =
			    l->sender * width +
			    (q->ephemeral ? ACTORS_NAMES + q->id
					  : actors_name_number(slice_of(q->name, q->name_len)));
			if (newest[at].queue > c->first_queue ||
			    (newest[at].queue == c->first_queue &&
				newest[at].seq >= c->first_seq))
				trace_fail("line %u was sent behind %llu and is stored as %llu",
				    i, U(newest[at].seq), U(c->first_seq));
			newest[at].seq = c->first_seq;
			newest[at].queue = c->first_queue;
		}
	}
	free(newest);
}

void checks_end(struct world *w)
{
	check_order(w);
	if (w->shadow.live > 0)
		trace_fail("%llu messages were never delivered", U(w->shadow.live));
	for (uint32_t i = 0; i < w->lines.count; i++) {
		const struct line_state *l = &w->lines.all[i];
		if (l->sent && l->stored < l->wanted)
			trace_fail("line %u was sent and is lost", i);
		for (uint32_t k = 0; k < l->stored; k++) {
			const struct shadow_message *m =
			    shadow_message(w->shadow.queues[l->copy[k].queue], l->copy[k].seq);
			if (!m || m->state < SHADOW_SETTLED)
				trace_fail("line %u was stored and is lost", i);
		}
		if (l->refused && l->stored > 0)
			trace_fail("line %u was refused and stored", i);
	}
}
