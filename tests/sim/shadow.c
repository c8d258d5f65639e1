#include "shadow.h"

#include "trace.h"

#include "core/base/name.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct line_list {
	uint32_t *lines;
	size_t count;
};

/* One record while it is read. */
struct reading {
	struct shadow *s;
	uint64_t index;
	struct events_header h;
	uint64_t hash;		     /* of the record, see shadow_unread */
	uint32_t offset;	     /* of the event */
	uint64_t begin;		     /* of END: its first part */
	uint64_t due_session, due_n; /* the next event is to be SETTLE of this; 0: any event */
	bool settles;		     /* the newest message is of a SETTLE_SEND */
	const struct shadow_queue *sub; /* made here, with the name of an ephemeral one */
	/* lines that BURY took, and that DEAD brought: the same ones at the record's end */
	struct line_list buried, arrived;
};

#define FAIL(r, ...) \
	(trace("record", (r)->index, (r)->offset, 0, 0), trace_fail("record: " __VA_ARGS__))
#define U(v)	  ((unsigned long long)(v))
#define MOVE_HEAD (4 + 8 + 8 + 2) /* of a MOVE: what is before its tags and batch */

bool shadow_live(const struct shadow_message *m)
{
	return m->state <= SHADOW_DELAYED;
}

static void free_queue(struct shadow_queue *q)
{
	for (uint64_t seq = q ? q->base : 0; q && seq < q->next_seq; seq++) {
		free(shadow_message(q, seq)->records);
		free(shadow_message(q, seq)->ends);
	}
	if (q) {
		free(q->messages);
		free(q->history);
		free(q->handed);
	}
	free(q);
}

void shadow_free(struct shadow *s)
{
	for (size_t i = 0; i < s->queues_count; i++)
		free_queue(s->queues[i]);
	for (size_t i = 0; i < s->sessions_count; i++) {
		free(s->sessions[i].answers);
		free(s->sessions[i].body);
		free(s->sessions[i].pieces);
	}
	free(s->queues);
	free(s->sessions);
	free(s->bodies);
	free(s->leased_in);
}

/* ---- looking up ---- */

struct shadow_queue *shadow_queue(const struct shadow *s, struct slice name)
{
	for (size_t i = s->queues_count; i-- > 0;) {
		struct shadow_queue *q = s->queues[i];
		if (q && !q->removed && slice_eq(slice_of(q->name, q->name_len), name))
			return q;
	}
	return NULL;
}

unsigned shadow_bound(const struct shadow *s, struct slice topic)
{
	unsigned t = 0, n = 0;
	while (t < LINE_TOPICS && !slice_eq(topic, slice_str(line_topics[t])))
		t++;
	for (size_t i = 0; t < LINE_TOPICS && i < s->queues_count; i++)
		n += s->queues[i] && !s->queues[i]->removed &&
		     (s->queues[i]->bound & line_matches[t]);
	return n;
}

struct shadow_message *shadow_message(struct shadow_queue *q, uint64_t seq)
{
	if (!q || seq < q->base || seq >= q->next_seq)
		return NULL;
	return &q->messages[seq - q->base];
}

static struct shadow_queue *queue_by_id(struct reading *r, uint32_t id)
{
	struct shadow *s = r->s;
	if (id >= s->queues_count || !s->queues[id] || s->queues[id]->removed)
		FAIL(r, "queue %u does not exist", id);
	return s->queues[id];
}

struct shadow_session *shadow_session(const struct shadow *s, uint64_t id)
{
	for (size_t i = 0; i < s->sessions_count; i++)
		if (s->sessions[i].id == id)
			return &s->sessions[i];
	return NULL;
}

static struct shadow_session *session_made(struct shadow *s, uint64_t id)
{
	struct shadow_session *found = shadow_session(s, id);
	if (found)
		return found;
	if (s->sessions_count == s->sessions_cap) {
		s->sessions_cap = s->sessions_cap ? 2 * s->sessions_cap : 16;
		s->sessions = realloc(s->sessions, s->sessions_cap * sizeof(*s->sessions));
		assert(s->sessions);
	}
	found = &s->sessions[s->sessions_count++];
	*found = (struct shadow_session){.id = id};
	return found;
}

/* ---- where bodies are ---- */

static void count_body(struct shadow *s, uint64_t index, int change)
{
	if (index >= s->bodies_cap) {
		size_t cap = 2 * (size_t)index + 64;
		s->bodies = realloc(s->bodies, cap * sizeof(*s->bodies));
		assert(s->bodies);
		memset(
		    s->bodies + s->bodies_cap, 0, (cap - s->bodies_cap) * sizeof(*s->bodies));
		s->bodies_cap = cap;
	}
	s->bodies[index] += (uint32_t)change;
}

static void place(
    struct shadow *s, struct shadow_message *m, const uint64_t *records, uint32_t n)
{
	for (uint32_t i = 0; i < m->pieces; i++)
		count_body(s, m->records[i], -1);
	free(m->records);
	m->records = NULL;
	m->pieces = n;
	if (n == 0)
		return;
	m->records = malloc(n * sizeof(*m->records));
	assert(m->records);
	memcpy(m->records, records, n * sizeof(*records));
	for (uint32_t i = 0; i < n; i++)
		count_body(s, records[i], 1);
}

static void set_state(struct shadow_queue *q, struct shadow_message *m, enum shadow_state state)
{
	if (m->state == SHADOW_LEASED && state != SHADOW_SETTLED)
		receivers_missed(q, m->session);
	q->now.in[m->state]--;
	if (state <= SHADOW_DELAYED)
		q->now.in[state]++;
	m->state = (uint8_t)state;
}

static void gone(
    struct shadow *s, struct shadow_queue *q, struct shadow_message *m, enum shadow_state state)
{
	place(s, m, NULL, 0);
	set_state(q, m, state);
	q->live--;
	s->live--;
	while (q->low < q->next_seq && !shadow_live(shadow_message(q, q->low)))
		q->low++;
}

static struct shadow_message *add(
    struct reading *r, struct shadow_queue *q, uint32_t line, uint32_t copy)
{
	size_t used = (size_t)(q->next_seq - q->base);
	if (used == q->cap) {
		q->cap = q->cap ? 2 * q->cap : 64;
		q->messages = realloc(q->messages, q->cap * sizeof(*q->messages));
		assert(q->messages);
	}
	struct shadow_message *m = &q->messages[used];
	*m = (struct shadow_message){.line = line,
	    .copy = (uint8_t)copy,
	    .priority = PRIORITY_DEFAULT,
	    .time_ms = r->h.wall.ms};
	r->s->lines->all[line].copy[copy].queue = q->id;
	r->s->lines->all[line].copy[copy].seq = q->next_seq;
	q->next_seq++;
	q->now.in[SHADOW_READY]++;
	q->live++;
	r->s->live++;
	return m;
}

/*
 * A message that a client wrote is stored, by an event that is not a move, for number `copy` of
 * the queues that this names.
 */
static void stored(struct reading *r, struct shadow_queue *q, uint32_t copy, struct slice body,
    const uint64_t *records, uint32_t n)
{
	uint32_t line = lines_recognise(r->s->lines, body);
	if (line == UINT32_MAX)
		FAIL(r, "a body that nobody wrote");
	struct line_state *l = &r->s->lines->all[line];
	if (l->stored != copy)
		FAIL(r, "line %u is stored twice", line);
	struct line_copy *c = lines_stored(r->s->lines, line);
	if (l->stored > l->wanted)
		FAIL(r, "line %u is stored in %u queues, it is for %u", line, l->stored,
		    l->wanted);
	r->settles = l->settles;
	l->stored_ms = r->h.lease.ms;
	c->first_seq = q->next_seq;
	c->first_queue = q->id;
	struct shadow_message *m = add(r, q, line, copy);
	place(r->s, m, records, n);
	if (l->lane.priority != LINE_NO_PRIORITY)
		m->priority = l->lane.priority;
	m->expire_ms = l->lane.expire_ms;
	m->key = l->lane.key;
	q->has_keys |= m->key > 0;
	m->born = r->index;
	if (l->lane.until_ms > r->h.wall.ms) {
		set_state(q, m, SHADOW_DELAYED);
		m->until_ms = l->lane.until_ms;
		m->by_wall = true;
	}
}

/* In all of the queues that it is for, by one event. */
static void check_stored(struct reading *r, struct slice body)
{
	const struct line_state *l = &r->s->lines->all[lines_recognise(r->s->lines, body)];
	if (l->stored != l->wanted)
		FAIL(r, "a line is stored in %u queues, it is for %u", l->stored, l->wanted);
}

/* ---- sessions ---- */

static void apply_session_owner(struct reading *r, const struct event_session_owner *e)
{
	struct shadow_session *se = session_made(r->s, e->session);
	if (se->owned)
		FAIL(r, "session %llu has got an owner again", U(e->session));
	se->owned = true;
	se->uid = e->uid;
}

static void check_owned(struct reading *r, uint64_t session)
{
	const struct shadow_session *se = shadow_session(r->s, session);
	if (!se || !se->owned)
		FAIL(r, "session %llu is nobody's", U(session));
}

static void take(struct reading *r, uint64_t id, uint64_t n, struct shadow_answer a)
{
	struct shadow_session *se = session_made(r->s, id);
	check_owned(r, id);
	if (n != se->last + 1)
		FAIL(r, "session %llu takes %llu after %llu", U(id), U(n), U(se->last));
	if (se->last == se->cap) {
		se->cap = se->cap ? 2 * se->cap : 16;
		se->answers = realloc(se->answers, se->cap * sizeof(*se->answers));
		assert(se->answers);
	}
	se->answers[se->last++] = a;
}

/* Settled and sent together, or not at all. */
static void check_due(const struct reading *r)
{
	if (r->due_session != 0)
		FAIL(r, "session %llu has sent with %llu, and what that settles is not here",
		    U(r->due_session), U(r->due_n));
}

/* What a SETTLE_SEND settles: its messages, and its number, are those of the event before. */
static void take_more(struct reading *r, uint64_t n, uint32_t stale)
{
	struct shadow_session *se = shadow_session(r->s, r->due_session);
	if (n != r->due_n)
		check_due(r);
	if (stale > 0)
		FAIL(r, "session %llu has sent with %llu what came of a lease that is over",
		    U(r->due_session), U(n));
	se->answers[n - 1].event = EVENT_TYPE_SETTLE;
	se->answers[n - 1].stale += stale;
	r->due_session = 0;
}

static void no_holder(struct shadow *s, uint64_t session)
{
	for (size_t i = 0; i < s->queues_count; i++) {
		struct shadow_queue *q = s->queues[i];
		for (uint64_t seq = q ? q->low : 0; q && seq < q->next_seq; seq++) {
			struct shadow_message *m = shadow_message(q, seq);
			if (m->state == SHADOW_LEASED && m->session == session)
				m->session = 0;
		}
	}
}

static void drop_pending(struct shadow_session *se)
{
	free(se->body);
	free(se->pieces);
	se->body = NULL;
	se->pieces = NULL;
	se->body_len = 0;
	se->pieces_count = 0;
	se->pending_n = 0;
}

static void session_gone(struct shadow *s, uint64_t id)
{
	struct shadow_session *se = shadow_session(s, id);
	no_holder(s, id);
	if (!se)
		return;
	drop_pending(se);
	free(se->answers);
	*se = s->sessions[--s->sessions_count];
}

static void apply_taken(struct reading *r, const struct event_taken *e)
{
	take(r, e->session, e->n, (struct shadow_answer){EVENT_TYPE_TAKEN, 0, 0, 0});
}

static void apply_kv_put(struct reading *r, const struct event_kv_put *e)
{
	maps_change(r->s->maps, e->key, e->version, &e->value);
	take(r, e->session, e->n, (struct shadow_answer){EVENT_TYPE_KV_PUT, 0, 0, 0});
}

static void apply_kv_del(struct reading *r, const struct event_kv_del *e)
{
	maps_change(r->s->maps, e->key, e->version, NULL);
	take(r, e->session, e->n, (struct shadow_answer){EVENT_TYPE_KV_DEL, 0, 0, 0});
}

static void apply_session_close(struct reading *r, const struct event_session_close *e)
{
	for (size_t i = 0; i < r->s->queues_count; i++) {
		struct shadow_queue *q = r->s->queues[i];
		for (uint64_t seq = q ? q->low : 0; q && seq < q->next_seq; seq++) {
			const struct shadow_message *m = shadow_message(q, seq);
			if (m->state == SHADOW_LEASED && m->session == e->session &&
			    !m->detached)
				FAIL(r, "%s:%llu stays leased by a session that has ended",
				    q->name, U(seq));
		}
	}
	session_gone(r->s, e->session);
}

static void apply_session_forget(struct reading *r, const struct event_session_forget *e)
{
	session_gone(r->s, e->session);
}

static void apply_start(struct reading *r, const struct event_start *e)
{
	if (e->number <= r->s->start)
		FAIL(r, "two daemons start with number %u", e->number);
	r->s->start = e->number;
	bool secret = tags_find(e->tags, START_TAG_SECRET, &(struct slice){0});
	if (secret == r->s->has_secret)
		FAIL(r, "the first daemon writes a secret, and no other: %u", e->number);
	r->s->has_secret = true;
}

/* ---- the end of a lease ---- */

struct shadow_queue *shadow_leased_in(const struct shadow *s, uint64_t lease)
{
	return lease > 0 && lease <= s->lease && lease < s->leases_cap
		   ? s->queues[s->leased_in[lease]]
		   : NULL;
}

static void note_lease(struct shadow *s, uint64_t lease, uint32_t queue)
{
	if (lease >= s->leases_cap) {
		size_t cap = 2 * (size_t)lease + 64;
		s->leased_in = realloc(s->leased_in, cap * sizeof(*s->leased_in));
		assert(s->leased_in);
		memset(s->leased_in + s->leases_cap, 0,
		    (cap - s->leases_cap) * sizeof(*s->leased_in));
		s->leases_cap = cap;
	}
	s->leased_in[lease] = queue;
	s->lease = lease;
}

struct shadow_end *shadow_end_of(const struct shadow_message *m, uint64_t lease)
{
	for (uint32_t i = m->ends_count; i-- > 0;)
		if (m->ends[i].lease == lease)
			return &m->ends[i];
	return NULL;
}

static void ended(struct reading *r, struct shadow_message *m, uint64_t by, unsigned whys)
{
	if (m->state != SHADOW_LEASED)
		return;
	m->ends = realloc(m->ends, (m->ends_count + 1) * sizeof(*m->ends));
	assert(m->ends);
	m->ends[m->ends_count++] = (struct shadow_end){.lease = m->lease,
	    .session = m->session,
	    .by = by,
	    .made = r->h.lease.ms,
	    .whys = (uint8_t)whys};
}

/* By time, or by a client that said that it failed: which of both is not told by the event. */
static void ended_by_failure(struct reading *r, struct shadow_message *m, enum lease_end told)
{
	bool asked = m->asked[VERB_RELEASE] == m->lease || m->asked[VERB_DEAD] == m->lease;
	ended(
	    r, m, asked ? SHADOW_SOMEBODY : 0, 1u << ENDED_EXPIRED | (asked ? 1u << told : 0));
}

/* ---- queues ---- */

static unsigned name_slot(struct slice name)
{
	unsigned sum = 0;
	for (size_t i = 0; i < name.len; i++)
		sum = sum * 31 + name.data[i];
	return sum % SHADOW_NAME_SLOTS;
}

void shadow_purge_asked(struct shadow *s, struct slice queue)
{
	s->purge_asked[name_slot(queue)] = true;
}

void shadow_transfer_asked(struct shadow *s, const struct wire_transfer *f)
{
	s->transfer_asked[name_slot(f->queue)] = true;
	if ((f->flags & TRANSFER_HOME) && f->most > s->redrives_most)
		s->redrives_most = f->most;
}

/* Where the queue's dead letters go; NULL: nowhere, or no such queue is there yet. */
static const struct shadow_queue *dead_queue(
    const struct shadow *s, const struct shadow_queue *q)
{
	char name[2 * NAME_FULL_MAX];
	snprintf(name, sizeof(name), "%s%s", q->dead_letter[0] ? q->dead_letter : q->name,
	    q->dead_letter[0] ? "" : NAME_DEAD_SUFFIX);
	return q->is_dead ? NULL : shadow_queue(s, slice_str(name));
}

static void set(struct reading *r, struct shadow_queue *q, uint32_t max_attempts,
    uint64_t backoff_min_ms, uint64_t backoff_max_ms, struct slice dead_letter,
    struct slice tags)
{
	const struct shadow_queue *at = q;
	uint64_t rate = q->more.rate, dispatch = q->more.dispatch;
	if (more_settings_find(tags, EVENT_TAG_SETTINGS, &q->more) ||
	    !more_settings_valid(&q->more))
		FAIL(r, "%s has settings that there are not", q->name);
	if (q->more.rate != rate)
		q->handed_count = 0;
	if (q->more.dispatch != dispatch)
		receivers_forget(q);
	assert(dead_letter.len <= NAME_FULL_MAX);
	q->max_attempts = max_attempts;
	q->backoff_min_ms = backoff_min_ms;
	q->backoff_max_ms = backoff_max_ms;
	memcpy(q->dead_letter, dead_letter.data, dead_letter.len);
	q->dead_letter[dead_letter.len] = '\0';
	for (size_t i = 0; i <= r->s->queues_count && at; i++)
		if ((at = dead_queue(r->s, at)) == q)
			FAIL(r, "dead letters of %s go round", q->name);
}

static void apply_create(struct reading *r, const struct event_create *e)
{
	struct shadow *s = r->s;
	if (shadow_queue(s, e->name))
		FAIL(r, "queue is created twice");
	if (e->queue < s->queues_count && s->queues[e->queue])
		FAIL(r, "queue number %u is used twice", e->queue);
	if (e->queue >= s->queues_count) {
		s->queues = realloc(s->queues, (e->queue + 1) * sizeof(struct shadow_queue *));
		assert(s->queues);
		while (s->queues_count <= e->queue)
			s->queues[s->queues_count++] = NULL;
	}
	struct shadow_queue *q = calloc(1, sizeof(*q));
	assert(q && e->name.len <= NAME_FULL_MAX);
	q->id = e->queue;
	q->name_len = (uint8_t)e->name.len;
	memcpy(q->name, e->name.data, e->name.len);
	q->is_dead = name_is_dead(e->name);
	q->base = q->next_seq = q->low = 1;
	s->queues[e->queue] = q;
	if (name_is_ephemeral(e->name))
		r->sub = q;
	set(r, q, e->max_attempts, e->backoff_min_ms, e->backoff_max_ms, e->dead_letter,
	    e->tags);
}

static void apply_set(struct reading *r, const struct event_set *e)
{
	struct shadow_queue *q = queue_by_id(r, e->queue);
	set(r, q, e->max_attempts, e->backoff_min_ms, e->backoff_max_ms, e->dead_letter,
	    e->tags);
}

static void apply_purge(struct reading *r, const struct event_purge *e)
{
	struct shadow_queue *q = queue_by_id(r, e->queue);
	if (q->live > 0 && !q->ephemeral &&
	    !r->s->purge_asked[name_slot(slice_of(q->name, q->name_len))])
		FAIL(r, "%s is purged, but nobody asked for it", q->name);
	for (uint64_t seq = q->low; seq < e->below && seq < q->next_seq; seq++) {
		struct shadow_message *m = shadow_message(q, seq);
		if (!shadow_live(m))
			continue;
		ended(r, m, 0, 1u << ENDED_GONE);
		gone(r->s, q, m, SHADOW_PURGED);
	}
}

static void apply_remove(struct reading *r, const struct event_remove *e)
{
	struct shadow_queue *q = queue_by_id(r, e->queue);
	apply_purge(r, &(struct event_purge){e->queue, UINT64_MAX});
	q->removed = true;
}

/* ---- topics ---- */

static uint8_t pattern_bit(struct reading *r, struct slice pattern)
{
	for (unsigned i = 0; i < LINE_PATTERNS; i++)
		if (slice_eq(pattern, slice_str(line_patterns[i])))
			return (uint8_t)(1u << i);
	FAIL(r, "a pattern that nobody gave");
}

static void apply_bind(struct reading *r, const struct event_bind *e)
{
	struct shadow_queue *q = queue_by_id(r, e->queue);
	uint8_t bit = pattern_bit(r, e->pattern);
	if (q->bound & bit)
		FAIL(r, "%s is bound again to the same pattern", q->name);
	q->bound |= bit;
}

static void apply_unbind(struct reading *r, const struct event_unbind *e)
{
	struct shadow_queue *q = queue_by_id(r, e->queue);
	uint8_t bit = pattern_bit(r, e->pattern);
	if (!(q->bound & bit))
		FAIL(r, "%s is not bound to the pattern", q->name);
	q->bound = (uint8_t)(q->bound & ~bit);
}

/* It has the name of one, and one binding. */
static void apply_ephemeral(struct reading *r, const struct event_ephemeral *e)
{
	struct shadow_queue *q = queue_by_id(r, e->queue);
	check_owned(r, e->session);
	if (q != r->sub)
		FAIL(r, "%s becomes an ephemeral subscription", q->name);
	q->ephemeral = e->session;
}

static void check_sub(struct reading *r)
{
	if (r->sub && (!r->sub->ephemeral || !r->sub->bound))
		FAIL(r, "%s is no ephemeral subscription, or is not bound", r->sub->name);
}

/* What was sent to a topic is for each queue that is bound now, once, and for no other one. */
static void check_topic(
    struct reading *r, uint8_t topic, const uint32_t *queues, uint32_t count)
{
	uint32_t wanted = 0;
	for (size_t i = 0; i < r->s->queues_count; i++) {
		const struct shadow_queue *q = r->s->queues[i];
		uint32_t times = 0;
		if (!q || q->removed)
			continue;
		for (uint32_t k = 0; k < count; k++)
			times += queues[k] == q->id;
		bool bound = q->bound & line_matches[topic - 1];
		if (times != bound)
			FAIL(r, "%s gets what is sent to %s %u times, bound or not: %u",
			    q->name, line_topics[topic - 1], times, bound);
		wanted += bound;
	}
	if (wanted != count)
		FAIL(r, "a SEND names %u queues, %u are bound", count, wanted);
}

static void expect_topic(struct reading *r, const struct event_send *e, struct slice further,
    const struct batch_view *v)
{
	struct lines *lines = r->s->lines;
	uint32_t queues[SEND_QUEUES_MAX] = {e->queue}, count = 1;
	uint32_t line = lines_begun(lines, batch_body(v, 0));
	uint8_t topic = line != UINT32_MAX ? lines->all[line].topic : 0;
	if (topic == 0)
		return;
	for (size_t at = 0; at < further.len; at += EVENT_TARGET_SIZE)
		queues[count++] = load_u32(further.data + at);
	check_topic(r, topic, queues, count);
	for (uint32_t i = 0; i < v->count; i++) {
		line = lines_begun(lines, batch_body(v, i));
		if (line == UINT32_MAX || lines->all[line].topic != topic)
			FAIL(r, "a line for another topic");
		lines->all[line].wanted = count;
	}
}

/* The first piece of a large message says which queues it is for. */
static void expect_large(
    struct reading *r, struct slice piece, const uint32_t *queues, uint32_t count)
{
	struct lines *lines = r->s->lines;
	uint32_t line = lines_begun(lines, piece);
	if (line == UINT32_MAX || lines->all[line].topic == 0)
		return;
	check_topic(r, lines->all[line].topic, queues, count);
	lines->all[line].wanted = count;
}

/* ---- messages come ---- */

static void send_to(
    struct reading *r, const struct event_target *t, uint32_t copy, const struct batch_view *v)
{
	struct shadow_queue *q = queue_by_id(r, t->queue);
	if (t->first_seq != q->next_seq)
		FAIL(r, "SEND begins at %llu, not %llu", U(t->first_seq), U(q->next_seq));
	for (uint32_t i = 0; i < v->count; i++)
		stored(r, q, copy, batch_body(v, i), &r->index, 1);
}

static void apply_send(struct reading *r, const struct event_send *e)
{
	struct event_target t = {e->queue, e->first_seq};
	struct slice further;
	struct batch_view v;
	if (batch_parse(e->batch, &v))
		FAIL(r, "SEND holds no batch");
	if (!event_further_find(e->tags, &further))
		FAIL(r, "SEND names no further queues");
	take(r, e->session, e->n,
	    (struct shadow_answer){EVENT_TYPE_SEND, e->first_seq, v.count, 0});
	expect_topic(r, e, further, &v);
	struct reader more = reader_of(further);
	send_to(r, &t, 0, &v);
	for (uint32_t copy = 1; reader_left(&more) > 0; copy++) {
		t = event_target_get(&more);
		send_to(r, &t, copy, &v);
	}
	for (uint32_t i = 0; i < v.count; i++)
		check_stored(r, batch_body(&v, i));
	r->due_session = r->settles ? e->session : 0;
	r->due_n = e->n;
}

static void apply_chunk(struct reading *r, const struct event_chunk *e)
{
	struct shadow_session *se = session_made(r->s, e->session);
	uint32_t queues[SEND_QUEUES_MAX] = {e->queue}, shares = 1;
	struct slice further;
	if (!event_chunk_queues(e->tags, &further))
		FAIL(r, "CHUNK names no further queues");
	for (size_t at = 0; at < further.len; at += 4)
		queues[shares++] = load_u32(further.data + at);
	for (uint32_t i = 0; i < shares; i++)
		queue_by_id(r, queues[i]);
	if (e->part == 0) {
		drop_pending(se);
		expect_large(r, e->data, queues, shares);
	} else if (se->pending_n != e->n || se->pending_shares != shares ||
		   memcmp(se->pending_queues, queues, shares * sizeof(queues[0])) != 0)
		FAIL(r, "a piece of another message");
	if (e->part != se->pieces_count)
		FAIL(r, "piece %u after %u", e->part, se->pieces_count);
	if (e->n != se->last + 1)
		FAIL(r, "a piece of command %llu after %llu", U(e->n), U(se->last));
	se->pending_n = e->n;
	se->pending_shares = shares;
	memcpy(se->pending_queues, queues, sizeof(queues));
	se->body = realloc(se->body, se->body_len + e->data.len + 1);
	se->pieces = realloc(se->pieces, (se->pieces_count + 1) * sizeof(*se->pieces));
	assert(se->body && se->pieces);
	if (e->data.len > 0)
		memcpy(se->body + se->body_len, e->data.data, e->data.len);
	se->body_len += e->data.len;
	se->pieces[se->pieces_count++] = r->index;
}

static void large_to(struct reading *r, const struct event_target *t, uint32_t copy,
    const struct shadow_session *se)
{
	struct shadow_queue *q = queue_by_id(r, t->queue);
	if (copy >= se->pending_shares || se->pending_queues[copy] != t->queue)
		FAIL(r, "SEND_CHUNKED names queue %u, its pieces do not", t->queue);
	if (t->first_seq != q->next_seq)
		FAIL(r, "SEND_CHUNKED is %llu, not %llu", U(t->first_seq), U(q->next_seq));
	stored(r, q, copy, slice_of(se->body, se->body_len), se->pieces, se->pieces_count);
}

static void apply_send_chunked(struct reading *r, const struct event_send_chunked *e)
{
	struct shadow_session *se = shadow_session(r->s, e->session);
	struct event_target t = {e->queue, e->seq};
	struct slice further;
	uint32_t copy = 0;
	if (!se || se->pending_n != e->n || se->pieces_count != e->parts ||
	    se->body_len != e->bytes)
		FAIL(r, "SEND_CHUNKED without its pieces");
	if (!event_further_find(e->tags, &further))
		FAIL(r, "SEND_CHUNKED names no further queues");
	struct reader more = reader_of(further);
	large_to(r, &t, copy++, se);
	for (; reader_left(&more) > 0; copy++) {
		t = event_target_get(&more);
		large_to(r, &t, copy, se);
	}
	if (copy != se->pending_shares)
		FAIL(r, "SEND_CHUNKED comes to %u queues, its pieces to %u", copy,
		    se->pending_shares);
	check_stored(r, slice_of(se->body, se->body_len));
	drop_pending(se);
	take(r, e->session, e->n, (struct shadow_answer){EVENT_TYPE_SEND, e->seq, 1, 0});
}

static void apply_chunks_dropped(struct reading *r, const struct event_chunks_dropped *e)
{
	struct shadow_session *se = shadow_session(r->s, e->session);
	if (se)
		drop_pending(se);
}

/* ---- leases ---- */

/* The last holder's own clock must have ended its lease before anybody else is told. */
static void nobody_trusts(struct reading *r, struct shadow_queue *q, uint64_t seq,
    const struct shadow_message *m, const char *what)
{
	if (m->lease != 0 && r->s->trusted(r->s->arg, q, seq, m->lease))
		FAIL(r, "%s: %s:%llu is trusted by the holder of lease %llu", what, q->name,
		    U(seq), U(m->lease));
}

static struct shadow_message *message_of(const struct shadow_queue *q, uint64_t seq)
{
	return shadow_message((struct shadow_queue *)(uintptr_t)q, seq);
}

/* The oldest message of its key that is before it; 0: there is none. */
static uint64_t older_of_key(const struct shadow_queue *q, uint64_t seq)
{
	const struct shadow_message *m = message_of(q, seq);
	for (uint64_t other = q->low; m->key > 0 && other < seq; other++) {
		const struct shadow_message *o = message_of(q, other);
		if (shadow_live(o) && o->key == m->key)
			return other;
	}
	return 0;
}

uint64_t shadow_ready(const struct shadow_queue *q)
{
	bool seen[LINE_KEYS + 1] = {false};
	uint64_t n = 0;
	if (!q->has_keys)
		return q->now.in[SHADOW_READY];
	for (uint64_t seq = q->low; seq < q->next_seq; seq++) {
		const struct shadow_message *m = message_of(q, seq);
		if (!shadow_live(m))
			continue;
		n += m->state == SHADOW_READY && !(m->key > 0 && seen[m->key]);
		seen[m->key] = true;
	}
	return n;
}

/*
 * First come, first served in each lane, and higher lanes first: nothing that may be handed out is
 * passed over; but what may be for another receiver.
 */
static void check_order(struct reading *r, struct shadow_queue *q, uint64_t seq)
{
	const struct shadow_message *m = shadow_message(q, seq);
	for (uint64_t other = q->low; other < q->next_seq; other++) {
		const struct shadow_message *o = shadow_message(q, other);
		if (o->state == SHADOW_READY && other != seq &&
		    (o->priority > m->priority ||
			(o->priority == m->priority && other < seq)) &&
		    older_of_key(q, other) == 0 &&
		    !(o->key > 0 && q->more.dispatch == DISPATCH_KEY))
			FAIL(r, "%s:%llu, priority %u, is handed out before %llu, priority %u",
			    q->name, U(seq), m->priority, U(other), o->priority);
	}
}

/* So many messages were handed out at once: the queue's limits allowed it. */
static void check_limits(struct reading *r, struct shadow_queue *q, uint64_t messages)
{
	uint64_t now = r->h.lease.ms, number = q->more.rate >> 32;
	uint64_t period_ms = (uint32_t)q->more.rate, sum = messages;
	if (q->more.paused_out)
		FAIL(r, "%s is handed out while it is paused", q->name);
	if (q->more.max_inflight > 0 && q->now.in[SHADOW_LEASED] > q->more.max_inflight)
		FAIL(r, "%s: %llu messages are leased, at most %llu may be", q->name,
		    U(q->now.in[SHADOW_LEASED]), U(q->more.max_inflight));
	if (number == 0)
		return;
	for (size_t i = q->handed_count; i > 0 && q->handed[i - 1].at + period_ms > now; i--)
		sum += q->handed[i - 1].messages;
	if (sum > number)
		FAIL(r, "%s: %llu messages are handed out in %llu ms, at most %llu may be",
		    q->name, U(sum), U(period_ms), U(number));
	if (q->handed_count == q->handed_cap) {
		q->handed_cap = q->handed_cap * 2 + 8;
		q->handed = realloc(q->handed, q->handed_cap * sizeof(*q->handed));
		assert(q->handed);
	}
	q->handed[q->handed_count++] = (struct shadow_handed){now, messages};
}

static void apply_lease(struct reading *r, const struct event_lease *e)
{
	uint64_t messages = 0;
	const char *wrong;
	struct shadow *s = r->s;
	struct shadow_queue *q = queue_by_id(r, e->queue);
	if (e->lease <= s->lease)
		FAIL(r, "lease number %llu after %llu", U(e->lease), U(s->lease));
	note_lease(s, e->lease, e->queue);
	const struct shadow_message *first = NULL;
	check_owned(r, e->session);
	for (uint64_t seq = e->first; seq < e->first + e->span && seq < q->next_seq; seq++) {
		struct shadow_message *m = shadow_message(q, seq);
		if (!m || !shadow_live(m))
			continue;
		if (m->state == SHADOW_LEASED)
			FAIL(r, "%s:%llu is leased to two", q->name, U(seq));
		if (m->state == SHADOW_DELAYED)
			FAIL(
			    r, "%s:%llu is handed out before its delay ended", q->name, U(seq));
		if (m->expire_ms != 0 && m->expire_ms <= r->h.wall.ms)
			FAIL(r, "%s:%llu is handed out after it has expired", q->name, U(seq));
		if (older_of_key(q, seq) > 0)
			FAIL(r, "%s:%llu is handed out before %llu of the same key", q->name,
			    U(seq), U(older_of_key(q, seq)));
		if (!first)
			check_order(r, q, seq);
		else if (m->priority != first->priority)
			FAIL(r, "%s:%llu is leased with messages of another priority", q->name,
			    U(seq));
		if (m->key > 0 && q->more.dispatch == DISPATCH_KEY &&
		    (wrong = receivers_leased(s->arg, q, m->key, e->session, e->lease)))
			FAIL(r, "%s:%llu is handed out: %s", q->name, U(seq), wrong);
		first = m;
		trace("  lease", e->lease_ms, seq, e->lease, e->session);
		nobody_trusts(r, q, seq, m, "LEASE");
		set_state(q, m, SHADOW_LEASED);
		m->detached = false;
		m->attempt += !q->is_dead;
		m->lease = e->lease;
		m->session = e->session;
		m->lease_ms = e->lease_ms;
		m->end = r->h.lease.ms + e->lease_ms;
		messages++;
	}
	check_limits(r, q, messages);
}

static void apply_extend(struct reading *r, const struct event_extend *e)
{
	struct shadow *s = r->s;
	for (size_t i = 0; i < s->queues_count; i++) {
		struct shadow_queue *q = s->queues[i];
		for (uint64_t seq = q ? q->low : 0; q && seq < q->next_seq; seq++) {
			struct shadow_message *m = shadow_message(q, seq);
			if (m->state == SHADOW_LEASED && m->session == e->session &&
			    !m->detached)
				m->end = r->h.lease.ms + m->lease_ms;
		}
	}
}

/* What an entry of a settlement is to do to each message. */
struct change {
	enum settle_verb verb; /* 0: EXPIRE */
	uint64_t session;      /* whose command it is */
	bool unasked;	       /* RELEASE: not by a command */
	bool sends;	       /* SETTLE: of a SETTLE_SEND */
	uint8_t flags;
	uint32_t lease_ms;
	uint64_t until_ms;
};

bool shadow_is_dead(const struct shadow *s, uint64_t session)
{
	unsigned n = s->dead_count < 64 ? s->dead_count : 64;
	for (unsigned i = 0; i < n; i++)
		if (s->dead_sessions[i] == session)
			return true;
	return false;
}

/* Whether the holder had asked for more time when its lease ended, and was not read. */
static bool was_unread(const struct shadow *s, const struct shadow_message *m, uint64_t record)
{
	unsigned n = s->unread_count < SHADOW_UNREAD ? s->unread_count : SHADOW_UNREAD;
	for (unsigned i = 0; i < n && !m->detached; i++)
		if (s->unread[i].session == m->session && s->unread[i].record == record &&
		    s->unread[i].arrived < m->end)
			return true;
	return false;
}

bool shadow_said_bye(const struct shadow *s, uint64_t session)
{
	unsigned n = s->byes_count < SHADOW_BYES ? s->byes_count : SHADOW_BYES;
	for (unsigned i = 0; i < n; i++)
		if (s->byes[i] == session)
			return true;
	return false;
}

static void check_expired(
    struct reading *r, struct shadow_queue *q, uint64_t seq, struct shadow_message *m)
{
	if (shadow_is_dead(r->s, m->session) || m->asked[VERB_RELEASE] == m->lease)
		return;
	if (m->end > r->h.lease.ms)
		FAIL(r, "%s:%llu expires at %llu, its lease %llu ends at %llu", q->name, U(seq),
		    U(r->h.lease.ms), U(m->lease), U(m->end));
	if (was_unread(r->s, m, r->hash))
		FAIL(r, "%s:%llu expires with lease %llu, while its holder's EXTEND waits",
		    q->name, U(seq), U(m->lease));
	nobody_trusts(r, q, seq, m, "EXPIRE");
}

/* What is due at about the same time may be due together, a little later. */
static uint64_t with_bucket(uint64_t delay_ms)
{
	return delay_ms + delay_ms / 32;
}

/* Both run by lease time, whatever any wall clock says. */
static void check_delay(const struct reading *r, const struct shadow_queue *q, uint64_t seq,
    const struct shadow_message *m, const struct change *c)
{
	uint64_t delay_ms = c->until_ms - r->h.lease.ms, back_off_ms = q->backoff_min_ms;
	if (c->verb == VERB_RELEASE) {
		if (c->until_ms != 0 && delay_ms > with_bucket(r->s->delay_ms))
			FAIL(r, "%s:%llu is given back for %llu ms, which nobody asked for",
			    q->name, U(seq), U(delay_ms));
		return;
	}
	for (uint32_t i = 0; i < m->failures && back_off_ms < q->backoff_max_ms; i++)
		back_off_ms *= 2;
	if (back_off_ms > q->backoff_max_ms)
		back_off_ms = q->backoff_max_ms;
	if (delay_ms < back_off_ms || delay_ms > with_bucket(back_off_ms))
		FAIL(r, "%s:%llu backs off for %llu ms after %u failures, not for %llu",
		    q->name, U(seq), U(delay_ms), m->failures + 1, U(back_off_ms));
}

/* Dead-letter queues count nothing. */
static void give_back(struct shadow_queue *q, struct shadow_message *m, enum shadow_state state,
    uint64_t until_ms, bool counted)
{
	set_state(q, m, state);
	m->until_ms = until_ms;
	m->by_wall = false;
	if (counted)
		m->failures += !q->is_dead;
	else
		m->attempt -= !q->is_dead;
}

static void change_one(struct reading *r, struct shadow_queue *q, uint64_t seq,
    const struct settle_entry *e, const struct change *c)
{
	struct shadow_message *m = shadow_message(q, seq);
	if (!m || !shadow_live(m)) {
		if (c->sends)
			FAIL(
			    r, "what came of %s:%llu is sent when it is gone", q->name, U(seq));
		return;
	}
	if (m->state != SHADOW_LEASED || m->lease != e->lease)
		FAIL(r, "%s:%llu changed under lease %llu, which is not its lease %llu",
		    q->name, U(seq), U(e->lease), U(m->lease));
	trace("  change", c->verb, q->id, seq, e->lease);
	if (c->unasked && !shadow_said_bye(r->s, m->session)) {
		if (m->started == m->lease && m->started_ms < r->h.lease.ms)
			FAIL(r, "%s:%llu has reached its reader, and does not fail", q->name,
			    U(seq));
		check_expired(r, q, seq, m);
	}
	if (c->verb != 0 && !c->unasked && m->asked[c->verb] != e->lease)
		FAIL(r, "%s:%llu: nobody asked for verb %d under %llu", q->name, U(seq),
		    c->verb, U(e->lease));
	/* Whoever held it when this record was begun. */
	m->changed = r->index;
	switch (c->verb) {
	case VERB_SETTLE:
		ended(r, m, c->session, 1u << ENDED_SETTLED);
		gone(r->s, q, m, SHADOW_SETTLED);
		break;
	case VERB_RELEASE:
		if (c->unasked)
			ended(r, m, shadow_said_bye(r->s, m->session) ? m->session : 0,
			    1u << ENDED_EXPIRED);
		else
			ended(r, m, c->session, 1u << ENDED_RELEASED);
		check_delay(r, q, seq, m, c);
		give_back(q, m, c->until_ms ? SHADOW_DELAYED : SHADOW_READY, c->until_ms,
		    c->flags & SETTLE_COUNTED);
		break;
	case VERB_TOUCH:
		if (m->lease_ms < c->lease_ms)
			m->lease_ms = c->lease_ms;
		if (m->end < r->h.lease.ms + c->lease_ms)
			m->end = r->h.lease.ms + c->lease_ms;
		m->detached |= (c->flags & SETTLE_DETACH) != 0;
		break;
	default:
		check_expired(r, q, seq, m);
		ended_by_failure(r, m, ENDED_RELEASED);
		check_delay(r, q, seq, m, c);
		give_back(q, m, SHADOW_DELAYED, c->until_ms, true);
	}
}

/* Entries after the first `stale`, which had no effect. */
static void change_all(struct reading *r, uint32_t queue, struct slice entries, uint32_t stale,
    const struct change *c)
{
	struct shadow_queue *q = queue_by_id(r, queue);
	struct reader in = reader_of(entries);
	if (entries.len % SETTLE_ENTRY_SIZE != 0)
		FAIL(r, "entries are cut");
	for (uint32_t i = 0; reader_left(&in) > 0; i++) {
		struct settle_entry e = settle_entry_get(&in);
		for (uint64_t seq = e.first; i >= stale && seq < e.first + e.count; seq++)
			change_one(r, q, seq, &e, c);
	}
}

static void apply_settle(struct reading *r, const struct event_settle *e)
{
	bool sends = r->due_session != 0 && r->due_session == e->session;
	if (sends && e->entries.len == 0)
		FAIL(r, "session %llu has sent with %llu what came of nothing", U(e->session),
		    U(e->n));
	if (sends)
		take_more(r, e->n, e->stale);
	else
		take(r, e->session, e->n,
		    (struct shadow_answer){EVENT_TYPE_SETTLE, 0, 0, e->stale});
	change_all(r, e->queue, e->entries, e->stale,
	    &(struct change){.verb = VERB_SETTLE, .session = e->session, .sends = sends});
}

static void apply_release(struct reading *r, const struct event_release *e)
{
	if (e->session != 0)
		take(r, e->session, e->n,
		    (struct shadow_answer){EVENT_TYPE_RELEASE, 0, 0, e->stale});
	change_all(r, e->queue, e->entries, e->stale,
	    &(struct change){.verb = VERB_RELEASE,
		.session = e->session,
		.unasked = e->session == 0,
		.flags = e->flags,
		.until_ms = e->until_ms});
}

static void apply_touch(struct reading *r, const struct event_touch *e)
{
	take(r, e->session, e->n, (struct shadow_answer){EVENT_TYPE_TOUCH, 0, 0, e->stale});
	change_all(r, e->queue, e->entries, e->stale,
	    &(struct change){.verb = VERB_TOUCH, .flags = e->flags, .lease_ms = e->lease_ms});
}

static void apply_expire(struct reading *r, const struct event_expire *e)
{
	change_all(r, e->queue, e->entries, 0, &(struct change){.until_ms = e->until_ms});
}

static void apply_wake(struct reading *r, const struct event_wake *e)
{
	struct shadow_queue *q = queue_by_id(r, e->queue);
	for (uint64_t seq = e->first; seq < e->first + e->span && seq < q->next_seq; seq++) {
		struct shadow_message *m = shadow_message(q, seq);
		if (!m || !shadow_live(m))
			continue;
		uint64_t now_ms = m->by_wall ? r->h.wall.ms : r->h.lease.ms;
		if (m->state != SHADOW_DELAYED || m->until_ms > now_ms)
			FAIL(r, "%s:%llu wakes in state %d, at %llu instead of %llu", q->name,
			    U(seq), m->state, U(now_ms), U(m->until_ms));
		set_state(q, m, SHADOW_READY);
	}
}

/* ---- dead letters ---- */

static void list_push(struct line_list *l, uint32_t line)
{
	l->lines = realloc(l->lines, (l->count + 1) * sizeof(*l->lines));
	assert(l->lines);
	l->lines[l->count++] = line;
}

/* A message may be buried when a client says so, or when it failed too often. */
static void bury_one(struct reading *r, struct shadow_queue *q, uint64_t seq, uint64_t lease)
{
	struct shadow_message *m = shadow_message(q, seq);
	if (!m || !shadow_live(m))
		return;
	if (m->state != SHADOW_LEASED || m->lease != lease)
		FAIL(r, "%s:%llu is buried under lease %llu, which is not its lease %llu",
		    q->name, U(seq), U(lease), U(m->lease));
	if (m->asked[VERB_DEAD] != lease && m->failures + 1 < q->max_attempts)
		FAIL(r, "%s:%llu is buried after %u failures", q->name, U(seq), m->failures);
	if (m->asked[VERB_DEAD] != lease)
		check_expired(r, q, seq, m);
	trace("  bury", q->id, seq, lease, m->line);
	list_push(&r->buried, m->line);
	ended_by_failure(r, m, ENDED_DEAD);
	gone(r->s, q, m, SHADOW_BURIED);
}

static void apply_bury(struct reading *r, const struct event_bury *e)
{
	struct shadow_queue *q = queue_by_id(r, e->queue);
	struct reader in = reader_of(e->entries);
	while (reader_left(&in) > 0) {
		struct settle_entry entry = settle_entry_get(&in);
		for (uint64_t seq = entry.first; seq < entry.first + entry.count; seq++)
			bury_one(r, q, seq, entry.lease);
	}
}

/*
 * A message comes from another queue, and is what it was there: ready.  If it is a dead letter that goes
 * back, then to the queue of the name that it came from, and not more often than somebody asked for.
 */
static void arrives_taken(struct reading *r, struct shadow_queue *q, const struct event_dead *e,
    const struct event_taken_from *t, uint32_t line, const uint64_t *records, uint32_t n)
{
	struct event_origin o;
	uint32_t redrives;
	struct shadow_queue *from = queue_by_id(r, t->queue);
	uint64_t seq = t->seq + (q->next_seq - e->first_seq);
	const struct shadow_message *at = shadow_message(from, seq);
	if (!at || !shadow_live(at) || line == UINT32_MAX || at->line != line || from == q)
		FAIL(
		    r, "%s:%llu is moved to %s, and is not there", from->name, U(seq), q->name);
	struct shadow_message old = *at;
	if (old.state != SHADOW_READY)
		FAIL(r, "%s:%llu is moved in state %d", from->name, U(seq), old.state);
	if (!r->s->transfer_asked[name_slot(slice_of(from->name, from->name_len))])
		FAIL(r, "%s:%llu is moved, but nobody asked for it", from->name, U(seq));
	if (!event_origin_find(e->tags, &o) || !event_redrives_find(e->tags, &redrives))
		FAIL(r, "bad tags of what is moved");
	bool home = redrives == old.redrives + 1;
	const struct shadow_queue *came = old.from ? r->s->queues[old.from] : NULL;
	if (!home && redrives != old.redrives)
		FAIL(r, "%s:%llu was redriven %u times, not %u", from->name, U(seq),
		    old.redrives, redrives);
	if (home && old.redrives >= r->s->redrives_most)
		FAIL(r, "%s:%llu goes back too often", from->name, U(seq));
	if (home && came && strcmp(came->name, q->name) != 0)
		FAIL(r, "%s:%llu goes back to %s, it came from %s", from->name, U(seq), q->name,
		    came->name);
	if (!home && came &&
	    (!slice_eq(o.queue, slice_of(came->name, came->name_len)) ||
		o.seq + (seq - t->seq) != old.from_seq))
		FAIL(r, "%s:%llu is not what it was any more", from->name, U(seq));
	if (tags_find_u64(e->tags, EVENT_TAG_EXPIRE) != old.expire_ms)
		FAIL(r, "%s:%llu expires otherwise when it is moved", from->name, U(seq));
	if (e->failures != (q->is_dead ? old.failures : 0))
		FAIL(r, "what is moved comes with %u failures", e->failures);
	list_push(&r->arrived, line);
	struct shadow_message *m = add(r, q, line, old.copy);
	m->failures = e->failures;
	m->time_ms = old.time_ms;
	m->priority = old.priority;
	m->key = old.key;
	q->has_keys |= old.key > 0;
	m->expire_ms = old.expire_ms;
	m->redrives = redrives;
	m->from = home ? 0 : old.from;
	m->from_seq = home ? 0 : old.from_seq;
	place(r->s, m, records, n);
}

static void arrives_dead(struct reading *r, struct shadow_queue *q, const struct event_dead *e,
    uint32_t line, const uint64_t *records, uint32_t n)
{
	struct event_origin o;
	struct event_taken_from t;
	uint32_t redrives;
	if (event_taken_find(e->tags, &t)) {
		arrives_taken(r, q, e, &t, line, records, n);
		return;
	}
	if (!event_origin_find(e->tags, &o) || o.queue.len == 0)
		FAIL(r, "DEAD says nothing of where from");
	uint64_t seq = o.seq + (q->next_seq - e->first_seq);
	const struct shadow_queue *from = shadow_queue(r->s, o.queue);
	const struct shadow_message *old =
	    shadow_message((struct shadow_queue *)(uintptr_t)from, seq);
	if (!old || line == UINT32_MAX || old->line != line)
		FAIL(r, "DEAD names other bodies than those of %s:%llu",
		    from ? from->name : "?", U(seq));
	uint64_t time_ms = old->time_ms;
	uint32_t queue = from->id, failures = old->failures;
	uint8_t priority = old->priority, key = old->key;
	if (!event_redrives_find(e->tags, &redrives) || redrives != old->redrives)
		FAIL(r, "%s:%llu forgets that it was redriven", from->name, U(seq));
	if (dead_queue(r->s, from) != q)
		FAIL(r, "%s:%llu becomes a dead letter in %s", from->name, U(seq), q->name);
	list_push(&r->arrived, line);
	struct shadow_message *m = add(r, q, line, old->copy);
	if (e->failures != (q->is_dead ? failures + 1 : 0))
		FAIL(r, "a dead letter comes with %u failures", e->failures);
	m->failures = e->failures;
	m->time_ms = time_ms;
	m->priority = priority;
	m->key = key;
	q->has_keys |= key > 0;
	m->from = queue;
	m->from_seq = seq;
	m->redrives = redrives;
	place(r->s, m, records, n);
}

static int line_compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

/* In one queue or in the other, never in neither or both. */
static void check_buried(struct reading *r)
{
	if (r->buried.count != r->arrived.count)
		FAIL(r, "%zu messages are buried, %zu arrive", r->buried.count,
		    r->arrived.count);
	if (r->buried.count == 0)
		return;
	qsort(r->buried.lines, r->buried.count, sizeof(uint32_t), line_compare);
	qsort(r->arrived.lines, r->arrived.count, sizeof(uint32_t), line_compare);
	if (memcmp(r->buried.lines, r->arrived.lines, r->buried.count * sizeof(uint32_t)) != 0)
		FAIL(r, "other messages arrive than were buried");
	free(r->buried.lines);
	free(r->arrived.lines);
}

static struct slice payload_at(struct reading *r, uint64_t index)
{
	const struct jm_record *at = jm_read(r->s->journal, index);
	if (!at || index > r->index)
		FAIL(r, "an event names record %llu, which is not there", U(index));
	return slice_of(at->payload, at->len);
}

static void dead_large(struct reading *r, struct shadow_queue *q, const struct event_dead *e)
{
	uint64_t records[CHUNKS_MAX];
	uint32_t n = 0;
	uint8_t *body = malloc(e->bytes + 1);
	size_t len = 0;
	struct reader in = reader_of(e->location);
	assert(body);
	while (reader_left(&in) > 0 && n < CHUNKS_MAX) {
		struct event_location l = event_location_get(&in);
		struct slice data, attributes;
		if (event_chunk_data(payload_at(r, l.index), l.offset, &data, &attributes) ||
		    len + data.len > e->bytes)
			FAIL(r, "DEAD names no piece of a message");
		memcpy(body + len, data.data, data.len);
		len += data.len;
		records[n++] = l.index;
	}
	arrives_dead(r, q, e, lines_recognise(r->s->lines, slice_of(body, len)), records, n);
	free(body);
}

static bool is_chunk(struct slice payload, uint16_t offset)
{
	return offset < payload.len && payload.data[offset] == EVENT_TYPE_CHUNK;
}

static void apply_dead(struct reading *r, const struct event_dead *e)
{
	struct shadow_queue *q = queue_by_id(r, e->queue);
	struct reader in = reader_of(e->location);
	struct event_location l = event_location_get(&in);
	struct event_run run;
	struct event_messages m;
	if (e->first_seq != q->next_seq)
		FAIL(r, "DEAD begins at %llu, not %llu", U(e->first_seq), U(q->next_seq));
	if (is_chunk(payload_at(r, l.index), l.offset)) {
		dead_large(r, q, e);
		return;
	}
	if (event_run_open(payload_at(r, l.index), l.offset, l.slot, e->count, &run))
		FAIL(r, "DEAD names no batch");
	enum rmq_error err;
	while ((err = event_run_next(&run, &m)) == RMQ_E_OK)
		for (uint32_t i = 0; i < m.count; i++)
			arrives_dead(r, q, e,
			    lines_recognise(r->s->lines, batch_body(&m.batch, m.slot + i)),
			    &l.index, 1);
	if (err != RMQ_E_NOTHING)
		FAIL(r, "DEAD names a run that is cut");
}

/* ---- lost messages ---- */

static bool is_in(const struct shadow_message *m, uint64_t index)
{
	for (uint32_t i = 0; i < m->pieces; i++)
		if (m->records[i] == index)
			return true;
	return false;
}

static void apply_lost(struct reading *r, const struct event_lost *e)
{
	struct shadow_queue *q = queue_by_id(r, e->queue);
	const struct jm_record *at = jm_read(r->s->journal, e->index);
	uint64_t lost = 0;
	if (!at || !at->rotten)
		FAIL(r, "LOST names record %llu, which can be read", U(e->index));
	for (uint64_t seq = e->first; seq < e->first + e->span; seq++) {
		struct shadow_message *m = shadow_message(q, seq);
		if (!m || !shadow_live(m))
			continue;
		if (!is_in(m, e->index))
			FAIL(r, "%s:%llu is lost, but its body is not in record %llu", q->name,
			    U(seq), U(e->index));
		ended(r, m, 0, 1u << ENDED_GONE);
		gone(r->s, q, m, SHADOW_LOST);
		lost++;
	}
	if (lost == 0)
		FAIL(r, "LOST takes nothing");
}

/* ---- dropped messages ---- */

static size_t cancel_slot(struct slice queue, uint64_t seq)
{
	return (name_slot(queue) * 1024 + seq) % SHADOW_CANCEL_SLOTS;
}

/* Whether a newer one of its key, sent in this record, is to replace it. */
static bool replacing(const struct reading *r, struct shadow_queue *q, uint64_t seq)
{
	const struct shadow_message *m = shadow_message(q, seq);
	for (uint64_t other = seq + 1; m->key > 0 && other < q->next_seq; other++) {
		const struct shadow_message *o = shadow_message(q, other);
		if (o->key == m->key && o->born == r->index &&
		    r->s->lines->all[o->line].replaces)
			return true;
	}
	return false;
}

/* What was sent in this record and replaces others has: nothing that nobody holds is left. */
static void check_replaced(struct reading *r)
{
	for (size_t i = 0; i < r->s->queues_count; i++) {
		struct shadow_queue *q = r->s->queues[i];
		if (!q || q->removed || q->next_seq == q->base ||
		    shadow_message(q, q->next_seq - 1)->born != r->index)
			continue;
		for (uint64_t seq = q->low; seq < q->next_seq; seq++) {
			const struct shadow_message *m = shadow_message(q, seq);
			if (shadow_live(m) && m->state != SHADOW_LEASED &&
			    m->changed != r->index && replacing(r, q, seq))
				FAIL(r, "%s:%llu is not replaced", q->name, U(seq));
		}
	}
}

static void drop_one(struct reading *r, struct shadow_queue *q, uint64_t seq, uint8_t why)
{
	struct shadow_message *m = shadow_message(q, seq);
	if (!m || !shadow_live(m))
		return;
	if (why == DROPPED_EXPIRED &&
	    (m->expire_ms == 0 || m->expire_ms > r->h.wall.ms || m->state == SHADOW_LEASED))
		FAIL(r, "%s:%llu is dropped at %llu in state %d, it expires at %llu", q->name,
		    U(seq), U(r->h.wall.ms), m->state, U(m->expire_ms));
	if (why == DROPPED_REPLACED && (m->state == SHADOW_LEASED || !replacing(r, q, seq)))
		FAIL(r, "%s:%llu is replaced in state %d", q->name, U(seq), m->state);
	if (why == DROPPED_CANCELLED &&
	    !r->s->cancel_asked[cancel_slot(slice_of(q->name, q->name_len), seq)])
		FAIL(r, "%s:%llu is cancelled, but nobody asked for it", q->name, U(seq));
	ended(r, m, 0, 1u << ENDED_GONE);
	gone(r->s, q, m, SHADOW_PURGED);
}

/* To another queue, in the same record. */
static void moved_one(struct reading *r, struct shadow_queue *q, uint64_t seq)
{
	struct shadow_message *m = shadow_message(q, seq);
	if (!m || m->state != SHADOW_READY)
		FAIL(r, "%s:%llu leaves in state %d", q->name, U(seq), m ? m->state : -1);
	list_push(&r->buried, m->line);
	gone(r->s, q, m, SHADOW_MOVED);
}

static void apply_drop(struct reading *r, const struct event_drop *e)
{
	struct shadow_queue *q = queue_by_id(r, e->queue);
	struct reader in = reader_of(e->ranges);
	if (e->why == 0 || e->why >= DROPPED_WHYS)
		FAIL(r, "messages are dropped: why %u", e->why);
	while (reader_left(&in) > 0) {
		uint64_t first = get_u64(&in), count = get_u32(&in);
		for (uint64_t seq = first; seq < first + count; seq++)
			if (e->why == DROPPED_MOVED)
				moved_one(r, q, seq);
			else
				drop_one(r, q, seq, e->why);
	}
}

void shadow_cancel_asked(struct shadow *s, struct slice queue, struct slice messages)
{
	struct reader in = reader_of(messages);
	while (reader_left(&in) >= 8)
		s->cancel_asked[cancel_slot(queue, get_u64(&in))] = true;
}

/* ---- space ---- */

static void moved(struct reading *r, const struct event_target *t, const struct event_move *e,
    const struct batch_view *v)
{
	struct shadow_queue *q = queue_by_id(r, t->queue);
	for (uint32_t i = 0; i < v->count; i++) {
		struct shadow_message *m = shadow_message(q, t->first_seq + i);
		uint32_t line = lines_recognise(r->s->lines, batch_body(v, i));
		if (!m || m->line != line)
			FAIL(r, "MOVE changes the body of %s:%llu", q->name,
			    U(t->first_seq + i));
		if (m->time_ms != e->time_ms)
			FAIL(r, "MOVE changes the time of %s:%llu", q->name,
			    U(t->first_seq + i));
		if (shadow_live(m))
			place(r->s, m, &r->index, 1);
	}
}

/* What is shared stays so: no live copy is left in the record from which the others moved. */
static void check_shared(struct reading *r, const struct batch_view *v, uint64_t from)
{
	for (uint32_t i = 0; i < v->count; i++) {
		uint32_t line = lines_recognise(r->s->lines, batch_body(v, i));
		const struct line_state *l = &r->s->lines->all[line];
		for (uint32_t k = 0; k < l->stored; k++) {
			const struct line_copy *c = &l->copy[k];
			const struct shadow_message *m =
			    shadow_message(r->s->queues[c->queue], c->seq);
			if (m && shadow_live(m) && m->records[0] == from)
				FAIL(r, "MOVE leaves line %u behind for %s:%llu", line,
				    r->s->queues[c->queue]->name, U(c->seq));
		}
	}
}

/* What moves shrinks: all of a record to half of it, or if it is small to no more than it is. */
static void check_shrinks(struct reading *r, const struct event_move *e, uint64_t from)
{
	struct shadow *s = r->s;
	const struct jm_record *source = from > 0 ? jm_read(s->journal, from) : NULL;
	/* The MOVEs of a record are one after the other; what a crash cut off is judged anew. */
	if (from != s->moving.from || s->start != s->moving.start)
		s->moving = (struct shadow_moving){from, s->start, 0};
	s->moving.bytes += EVENT_HEADER_SIZE + MOVE_HEAD + e->tags.len + e->batch.len;
	if (!source)
		return;
	uint64_t most =
	    source->len < s->small_record ? source->len - EVENTS_HEADER_SIZE : source->len / 2;
	if (s->moving.bytes > most)
		FAIL(r, "record %llu of %zu bytes moves to %llu, which may be %llu", U(from),
		    source->len, U(s->moving.bytes), U(most));
}

static void apply_move(struct reading *r, const struct event_move *e)
{
	struct event_target t = {e->queue, e->first_seq};
	const struct shadow_message *first =
	    shadow_message(queue_by_id(r, e->queue), e->first_seq);
	uint64_t from = first && first->pieces > 0 ? first->records[0] : 0;
	struct slice further;
	struct batch_view v;
	if (batch_parse(e->batch, &v) || !event_further_find(e->tags, &further))
		FAIL(r, "MOVE holds no batch");
	check_shrinks(r, e, from);
	struct reader more = reader_of(further);
	moved(r, &t, e, &v);
	while (reader_left(&more) > 0) {
		t = event_target_get(&more);
		moved(r, &t, e, &v);
	}
	check_shared(r, &v, from);
}

/* END's part of each group; the first of them is where recovery begins. */
static void apply_end_parts(struct reading *r, const struct event_end_parts *e)
{
	r->begin = UINT64_MAX;
	for (size_t at = 0; at + 8 <= e->parts.len; at += 8) {
		uint64_t part = load_u64(e->parts.data + at);
		if (part == 0 || part >= r->index)
			FAIL(r, "END names part %llu", U(part));
		r->begin = part < r->begin ? part : r->begin;
	}
	if (e->begin != r->begin)
		FAIL(r, "END begins at %llu, its first part is %llu", U(e->begin), U(r->begin));
}

static void apply_end_dead(struct reading *r, const struct event_end_dead *e)
{
	struct reader in = reader_of(e->ranges);
	while (reader_left(&in) > 0) {
		struct hole_range range = hole_range_get(&in);
		if (range.first + range.count > r->begin)
			FAIL(r,
			    "END names record %llu dead, which is not in front of part %llu",
			    U(range.first + range.count - 1), U(r->begin));
		for (uint64_t i = range.first; i < range.first + range.count; i++)
			if (i < r->s->bodies_cap && r->s->bodies[i] > 0)
				FAIL(r,
				    "END names record %llu dead, which holds %u live bodies",
				    U(i), r->s->bodies[i]);
	}
}

/* ---- records ---- */

/* clang-format off */
#define APPLIED(X) \
	X(CREATE, create) \
	X(SET, set) \
	X(REMOVE, remove) \
	X(PURGE, purge) \
	X(TAKEN, taken) X(KV_PUT, kv_put) X(KV_DEL, kv_del) \
	X(BIND, bind) X(UNBIND, unbind) X(EPHEMERAL, ephemeral) \
	X(SEND, send) \
	X(CHUNK, chunk) \
	X(SEND_CHUNKED, send_chunked) X(CHUNKS_DROPPED, chunks_dropped) X(LEASE, lease) \
	    X(SETTLE, settle) X(RELEASE, release) X(TOUCH, touch) X(EXPIRE, expire) \
		X(WAKE, wake) X(BURY, bury) X(DEAD, dead) X(EXTEND, extend) \
		    X(SESSION_CLOSE, session_close) X(SESSION_FORGET, session_forget) \
			X(SESSION_OWNER, session_owner) \
			X(START, start) X(LOST, lost) X(DROP, drop) X(MOVE, move) X(END_PARTS, end_parts) \
			    X(END_DEAD, end_dead)
/* clang-format on */

/* Notes what the event has changed in the queues. */
static void note_counts(struct reading *r)
{
	for (size_t i = 0; i < r->s->queues_count; i++) {
		struct shadow_queue *q = r->s->queues[i];
		const struct shadow_counts *last =
		    q && q->history_count > 0 ? &q->history[q->history_count - 1] : NULL;
		if (!q)
			continue;
		struct shadow_counts now = q->now;
		now.in[SHADOW_READY] = shadow_ready(q);
		now.in[SHADOW_TOTAL] = q->live;
		if (last && memcmp(last->in, now.in, sizeof(now.in)) == 0)
			continue;
		if (q->history_count == q->history_cap) {
			q->history_cap = q->history_cap ? 2 * q->history_cap : 16;
			q->history = realloc(q->history, q->history_cap * sizeof(*q->history));
			assert(q->history);
		}
		now.made = r->h.lease.ms;
		q->history[q->history_count++] = now;
	}
}

static void apply_event(struct reading *r, const struct event *e)
{
	r->offset = e->offset;
	if (e->type != EVENT_TYPE_SETTLE)
		check_due(r);
	switch (e->type) {
#define X(NAME, name) \
	case EVENT_TYPE_##NAME: { \
		struct event_##name decoded; \
		if (!event_##name##_decode(e->body, &decoded)) \
			FAIL(r, "cannot decode %s", #name); \
		apply_##name(r, &decoded); \
		break; \
	}
		APPLIED(X)
#undef X
	}
	note_counts(r);
}

void shadow_apply(struct shadow *s, uint64_t index, const struct jm_record *rec)
{
	struct reading r = {.s = s, .index = index};
	struct event_iter it;
	struct event e;
	enum rmq_error err;
	s->index = index;
	if (rec->kind != RECORD_EVENTS && rec->kind != RECORD_PART && rec->kind != RECORD_END)
		return;
	r.hash = shadow_record_hash(slice_of(rec->payload, rec->len));
	if (events_open(slice_of(rec->payload, rec->len), &r.h, &it))
		FAIL(&r, "no events");
	if (rec->kind == RECORD_EVENTS) {
		if (r.h.lease.ms < s->lease_ms)
			FAIL(&r, "lease time goes back from %llu to %llu", U(s->lease_ms),
			    U(r.h.lease.ms));
		s->lease_ms = r.h.lease.ms;
	}
	while ((err = event_next(&it, &e)) == RMQ_E_OK)
		apply_event(&r, &e);
	if (err != RMQ_E_NOTHING)
		FAIL(&r, "events are cut");
	check_due(&r);
	check_buried(&r);
	check_replaced(&r);
	check_sub(&r);
}

void shadow_asked(
    struct shadow *s, struct slice queue, enum settle_verb verb, struct slice entries)
{
	for (size_t i = 0; i < s->queues_count; i++) {
		struct shadow_queue *q = s->queues[i];
		struct reader in = reader_of(entries);
		if (!q || !slice_eq(slice_of(q->name, q->name_len), queue))
			continue;
		while (reader_left(&in) >= SETTLE_ENTRY_SIZE) {
			struct settle_entry e = settle_entry_get(&in);
			for (uint64_t k = 0; k < e.count; k++) {
				struct shadow_message *m = shadow_message(q, e.first + k);
				if (m && m->asked[verb] < e.lease)
					m->asked[verb] = e.lease;
			}
		}
	}
}

void shadow_started(
    struct shadow *s, uint64_t session, const struct wire_started *f, uint64_t lease_ms)
{
	struct shadow_queue *q = shadow_queue(s, f->queue);
	for (uint64_t k = 0; q && k < f->count; k++) {
		struct shadow_message *m = shadow_message(q, f->first + k);
		if (!m || m->session != session || m->lease != f->lease ||
		    m->started == f->lease)
			continue;
		m->started = f->lease;
		m->started_ms = lease_ms;
	}
}

uint64_t shadow_record_hash(struct slice payload)
{
	return XXH3_64bits(payload.data, payload.len);
}

void shadow_bye(struct shadow *s, uint64_t session)
{
	s->byes[s->byes_count++ % SHADOW_BYES] = session;
}

void shadow_died(struct shadow *s, uint64_t session)
{
	s->dead_sessions[s->dead_count++ % 64] = session;
}
