/*
 * Topics: which queues are bound to which patterns.  A binding is an event, so what a topic leads to is
 * known when a message comes, and the event of the message names the queues: no later change of
 * bindings concerns it.
 */
#include "core/broker/broker_state.h"

#include <stdio.h>

#include "core/base/name.h"
#include "core/base/topic.h"
#include "core/base/variant.h"

/* A binding and the queue that may have to be made for it. */
#define BIND_ROOM 1024

/* Its binding is the one that its receiver asked for, for as long as that lives. */
static const char of_ephemeral[] =
    "it is the queue of an ephemeral subscription: its receiver alone binds it";

/* What keeps it from being a pattern, in text; NULL: it is one. */
static const char *no_pattern(struct slice pattern, char text[TEXT_MAX + 1])
{
	const char *fault = pattern_fault(pattern);
	if (fault)
		snprintf(text, TEXT_MAX + 1, "it is not a pattern: %s", fault);
	return fault ? text : NULL;
}

/* Why there may not be one more of q (NULL: of a queue that this owner makes); NULL: it may. */
static const char *no_place(const struct broker *b, const struct owner *o,
    const struct queue *q, char text[TEXT_MAX + 1])
{
	char title[OWNER_TITLE_SIZE];
	if (q && q->bindings_count >= QUEUE_BINDINGS_MAX)
		snprintf(text, TEXT_MAX + 1,
		    "the queue is bound to %u patterns, as many as it may: unbind some",
		    QUEUE_BINDINGS_MAX);
	else if (owner_known(o) && o->bindings >= BINDINGS_OF_ONE)
		snprintf(text, TEXT_MAX + 1,
		    "queues of %s have %u bindings, as many as one %s's may of %u in "
		    "all: unbind some",
		    owner_title(o, title), o->bindings, owner_kind(o), BINDINGS_MAX);
	else if (b->bindings.count >= BINDINGS_MAX)
		snprintf(text, TEXT_MAX + 1,
		    "there are %u bindings, and no more may be made: unbind some",
		    BINDINGS_MAX);
	else
		return NULL;
	return text;
}

void broker_bind(struct broker *b, struct conn *c, const struct wire_bind *m)
{
	struct queue *q = broker_queue_named(b, m->queue);
	enum rmq_error err;
	char text[TEXT_MAX + 1];
	if (!broker_take(b, c, m->n, m->answered))
		return;
	if (m->flags & ~BIND_CREATE) {
		broker_fail_text(b, c, m->n, RMQ_E_VERSION, "unknown flag of BIND");
		return;
	}
	if (no_pattern(m->pattern, text)) {
		broker_fail_text(b, c, m->n, RMQ_E_USAGE, text);
		return;
	}
	/* What is for another cell is made as it is for messages to there, and not by people. */
	bool makes =
	    (m->flags & BIND_CREATE) && (!b->explicit_create || cells_is_away(m->queue));
	if (!q && name_valid(m->queue) && !makes)
		err = RMQ_E_NO_QUEUE;
	else
		err = broker_may_name(b, m->queue);
	if (err) {
		broker_fail_command(b, c, m->n, err);
		return;
	}
	if (q && q->ephemeral) {
		broker_fail_text(b, c, m->n, RMQ_E_RESERVED, of_ephemeral);
		return;
	}
	if (q && binding_find(q, m->pattern)) {
		broker_taken(b, c, m->n);
		return;
	}
	if (no_place(b, q ? q->maker : c->owner, q, text)) {
		broker_fail_text(b, c, m->n, RMQ_E_LIMIT, text);
		return;
	}
	if (!q)
		err = broker_may_make(b, c);
	if (!err && broker_room_left(b) < BIND_ROOM)
		err = RMQ_E_DISK_FULL;
	if (err) {
		broker_fail_make(b, c, m->n, err);
		return;
	}
	broker_reserve(b, BIND_ROOM);
	q = broker_queue_make(b, m->queue, c->owner);
	broker_emit_bind(b, &(struct event_bind){q->id, m->pattern, NO_TAGS});
	broker_taken(b, c, m->n);
}

void broker_unbind(struct broker *b, struct conn *c, const struct wire_unbind *m)
{
	struct queue *q = broker_queue_named(b, m->queue);
	if (!broker_take(b, c, m->n, m->answered))
		return;
	if (m->flags != 0)
		broker_fail_text(b, c, m->n, RMQ_E_VERSION, "unknown flag of UNBIND");
	else if (!q || !binding_find(q, m->pattern))
		broker_fail_command(b, c, m->n, q ? RMQ_E_NO_BINDING : RMQ_E_NO_QUEUE);
	else if (q->ephemeral)
		broker_fail_text(b, c, m->n, RMQ_E_RESERVED, of_ephemeral);
	else {
		broker_reserve(b, BIND_ROOM);
		broker_emit_unbind(b, &(struct event_unbind){q->id, m->pattern, NO_TAGS});
		broker_taken(b, c, m->n);
	}
}

void broker_unbind_all(struct broker *b, struct queue *q)
{
	struct binding *a;
	while ((a = binding_after(q, slice_of("", 0)))) {
		char pattern[TOPIC_MAX];
		size_t len = a->len;
		memcpy(pattern, a->pattern, len);
		broker_works(b, 1);
		broker_reserve(b, BIND_ROOM);
		broker_emit_unbind(
		    b, &(struct event_unbind){q->id, slice_of(pattern, len), NO_TAGS});
	}
}

/* The rows of a queue after a pattern, as long as there are *rows.  Whether that is all. */
static bool answer_rows(struct broker *b, struct conn *c, const struct wire_bindings *m,
    const struct queue *q, struct slice *pattern, uint32_t *rows)
{
	struct binding *at = binding_after(q, *pattern);
	for (; at && *rows > 0; at = binding_next(at), --*rows) {
		*pattern = binding_pattern(at);
		ANSWER(b, c, bound, m->req, queue_name(q), *pattern, NO_TAGS);
		broker_works(b, 1);
	}
	return !at;
}

void broker_bindings(struct broker *b, struct conn *c, const struct wire_bindings *m)
{
	bool one = m->queue.len > 0, all = true;
	struct slice from = broker_place_of(c, m->after), after = from, pattern = m->pattern;
	struct queue *q = one ? broker_queue_named(b, m->queue)
			      : broker_queue_from(b, slice_of(NULL, 0), from);
	uint32_t rows = m->limit < LIST_ROWS_MAX ? m->limit : LIST_ROWS_MAX;
	uint64_t each = 1 + broker_rights_steps(c), steps = 0;
	if (one && !broker_may_see(c, m->queue))
		q = NULL;
	uint8_t code = one && !q ? RMQ_E_NO_QUEUE : RMQ_E_OK;
	for (; q; q = one ? NULL : RB_NEXT(queue_name_tree, &b->queues_by_name, q)) {
		all = steps == 0 || steps + each <= LIST_WORK;
		if (!all)
			break;
		steps += each;
		if (!one && !slice_eq(queue_name(q), from))
			pattern = slice_of("", 0);
		after = queue_name(q);
		broker_works(b, each);
		all = !broker_may_see(c, after) || answer_rows(b, c, m, q, &pattern, &rows);
		if (!all)
			break;
	}
	if (!one)
		after = broker_place_tell(c, after);
	ANSWER(b, c, bindings_end, m->req, code, !all, after, pattern, NO_TAGS);
}

/* ---- ephemeral subscriptions ---- */

enum rmq_error broker_ephemeral(struct broker *b, struct conn *c,
    const struct wire_subscribe *m, struct queue **q, char text[TEXT_MAX + 1], const char **why)
{
	struct session *s = c->session;
	struct queue_settings settings = broker_default_settings;
	char bytes[NAME_EPHEMERAL_MAX];
	struct slice name = name_of_ephemeral(bytes, s->id, m->sub);
	if ((*why = no_pattern(m->queue, text)))
		return RMQ_E_USAGE;
	if (*q && (*q)->ephemeral == s->id) {
		if ((*q)->is_of_session && binding_find(*q, m->queue))
			return RMQ_E_OK;
		/* Its end has begun, here or before a restart: see broker_unbind_all(). */
		if (!(*q)->is_of_session || (*q)->bindings_count == 0) {
			*why = "the subscription has ended";
			return RMQ_E_NO_QUEUE;
		}
	}
	if (*q)
		return RMQ_E_EXISTS;
	if (s->ephemerals_count >= SUBSCRIPTIONS_MAX) {
		*why = "a session has at most 16 ephemeral subscriptions";
		return RMQ_E_LIMIT;
	}
	if ((*why = no_place(b, c->owner, NULL, text)))
		return RMQ_E_LIMIT;
	if (broker_room_left(b) < BIND_ROOM)
		return RMQ_E_DISK_FULL;
	broker_name_owner(b, s);
	broker_reserve(b, BIND_ROOM);
	/* Dead letters would be left when it ends. */
	settings.dead_letter[0] = '-';
	*q = broker_queue_make_as(b, name, &settings, c->owner);
	broker_emit_ephemeral(b, &(struct event_ephemeral){(*q)->id, s->id, NO_TAGS});
	broker_emit_bind(b, &(struct event_bind){(*q)->id, m->queue, NO_TAGS});
	return RMQ_E_OK;
}

void broker_ephemeral_of(struct broker *b, struct session *s, struct queue *q)
{
	TAILQ_INSERT_TAIL(&s->ephemerals, q, of_session);
	s->ephemerals_count++;
	q->is_of_session = true;
	broker_desert(b, s);
}

static void take_out(struct broker *b, struct session *s, struct queue *q)
{
	TAILQ_REMOVE(&s->ephemerals, q, of_session);
	q->is_of_session = false;
	if (--s->ephemerals_count == 0)
		broker_undesert(b, s);
}

void broker_ephemeral_gone(struct broker *b, struct queue *q)
{
	struct session *s = q->is_of_session ? broker_session_find(b, q->ephemeral) : NULL;
	if (s)
		take_out(b, s, q);
}

static void end_later(struct broker *b, const struct queue *q)
{
	if (RMQ_VARIANT(EPHEMERAL_STAYS))
		return;
	broker_errand_later(
	    b, (struct errand){.kind = ERRAND_END, .queue = q->id, .at = UINT64_MAX});
}

void broker_end_ephemerals(struct broker *b, struct session *s)
{
	struct queue *q;
	while ((q = TAILQ_FIRST(&s->ephemerals))) {
		take_out(b, s, q);
		end_later(b, q);
	}
}

void broker_find_ephemerals(struct broker *b)
{
	struct queue *q;
	RB_FOREACH (q, queue_id_tree, &b->queues_by_id) {
		struct session *s = q->ephemeral ? broker_session_find(b, q->ephemeral) : NULL;
		bool ends = q->ephemeral && (!s || q->bindings_count == 0);
		if (ends)
			end_later(b, q);
		else if (s && !q->is_of_session)
			broker_ephemeral_of(b, s, q);
	}
}

void broker_desert(struct broker *b, struct session *s)
{
	if (s->conn || s->is_deserted || s->ephemerals_count == 0)
		return;
	s->is_deserted = true;
	TAILQ_INSERT_TAIL(&b->deserted, s, deserted);
}

void broker_undesert(struct broker *b, struct session *s)
{
	if (s->is_deserted)
		TAILQ_REMOVE(&b->deserted, s, deserted);
	s->is_deserted = false;
}

uint64_t broker_ephemerals_until(const struct broker *b)
{
	const struct session *s = TAILQ_FIRST(&b->deserted);
	uint64_t idle_ms = RMQ_VARIANT(EPHEMERAL_EARLY) ? 0 : EPHEMERAL_IDLE_MS;
	return s ? s->idle_since_ms + idle_ms : UINT64_MAX;
}

void broker_expire_ephemerals(struct broker *b)
{
	while (broker_ephemerals_until(b) <= b->lease_now.ms)
		broker_end_ephemerals(b, TAILQ_FIRST(&b->deserted));
}
