#include "core/broker/broker.h"

#include <assert.h>
#include <string.h>
#include <xxhash.h>

#include "core/base/level.h"
#include "core/base/memory.h"
#include "core/base/variant.h"
#include "core/broker/broker_state.h"
#include "core/wire/journal_wire.h"

/* A closed session is journaled along with other events, or when there are so many. */
#define CLOSING_MAX 256

static int conn_compare(const struct conn *a, const struct conn *b)
{
	return a->id < b->id ? -1 : a->id > b->id;
}

static int queue_name_compare(const struct queue *a, const struct queue *b)
{
	return strcmp(a->name, b->name);
}

static int queue_id_compare(const struct queue *a, const struct queue *b)
{
	return a->id < b->id ? -1 : a->id > b->id;
}

static int throttle_compare(const struct queue *a, const struct queue *b)
{
	if (a->throttled_ms != b->throttled_ms)
		return a->throttled_ms < b->throttled_ms ? -1 : 1;
	return queue_id_compare(a, b);
}

RB_GENERATE(conn_tree, conn, by_id, conn_compare)
RB_GENERATE(queue_name_tree, queue, by_name, queue_name_compare)
RB_GENERATE(queue_id_tree, queue, by_id, queue_id_compare)
RB_GENERATE(throttle_tree, queue, by_throttle, throttle_compare)

/* ---- life ---- */

struct broker *broker_new(const struct broker_host *host)
{
	struct broker *b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->host = *host;
	RB_INIT(&b->queues_by_name);
	RB_INIT(&b->queues_by_id);
	RB_INIT(&b->queues_arriving);
	TAILQ_INIT(&b->moving);
	RB_INIT(&b->throttled);
	RB_INIT(&b->sessions);
	RB_INIT(&b->conns);
	RB_INIT(&b->pendings);
	TAILQ_INIT(&b->pendings_by_age);
	TAILQ_INIT(&b->idle);
	TAILQ_INIT(&b->deserted);
	TAILQ_INIT(&b->closing);
	TAILQ_INIT(&b->ended);
	TAILQ_INIT(&b->errands);
	TAILQ_INIT(&b->waiting_room);
	TAILQ_INIT(&b->waiting_ids);
	TAILQ_INIT(&b->watching);
	TAILQ_INIT(&b->kv_watches);
	TAILQ_INIT(&b->away_asking);
	TAILQ_INIT(&b->fresh);
	TAILQ_INIT(&b->waiting);
	TAILQ_INIT(&b->busy);
	TAILQ_INIT(&b->roomy);
	for (uint32_t i = 0; i < CHECKPOINT_GROUPS; i++)
		TAILQ_INIT(&b->groups[i]);
	timers_init(&b->timers);
	ledger_init(&b->ledger);
	voided_init(&b->voided);
	kv_init(&b->kv, &b->owners, &b->ledger.part_bytes);
	places_init(&b->places, &b->owners, &b->ledger.part_bytes);
	b->level = level_newest();
	b->next_queue = 1;
	b->next_n = 1;
	b->next_barrier = 1;
	b->reserve = b->reserve_known = RESERVE_BYTES;
	return b;
}

void broker_set_space(struct broker *b, const struct space_limits *limits)
{
	b->ledger.limits = *limits;
	b->reserve = b->reserve_known = limits->reserve_bytes;
}

void broker_create_explicitly(struct broker *b)
{
	b->explicit_create = true;
}

void broker_level(struct broker *b, uint64_t level)
{
	b->level = level < LEVEL_FIRST ? LEVEL_FIRST : level;
}

void broker_tell_sandbox(struct broker *b, uint64_t achieved)
{
	b->sandbox = achieved;
}

static void effects_free(struct effect_list *list)
{
	struct effect *e;
	while ((e = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, e, link);
		free(e->handout);
		free(e);
	}
}

void broker_free(struct broker *b)
{
	struct conn *c;
	struct queue *q;
	struct session *s;
	struct pending *p;
	if (!b)
		return;
	while ((p = TAILQ_FIRST(&b->pendings_by_age)))
		broker_unfinished_free(b, p);
	while ((c = RB_ROOT(&b->conns)))
		broker_disconnect(b, c->id);
	while ((s = RB_ROOT(&b->sessions)))
		broker_session_remove(b, s);
	broker_errands_free(b);
	while ((q = RB_ROOT(&b->queues_by_id))) {
		RB_REMOVE(queue_id_tree, &b->queues_by_id, q);
		broker_queue_free(b, q);
	}
	kv_deinit(&b->kv);
	places_deinit(&b->places);
	bindings_deinit(&b->bindings);
	broker_forget_put_off(b);
	effects_free(&b->fresh);
	effects_free(&b->waiting);
	ledger_deinit(&b->ledger);
	voided_deinit(&b->voided);
	free(b->ckpt.dead);
	free(b->gaps.runs);
	free(b);
}

void broker_start(struct broker *b, uint64_t term, const uint8_t secret[SESSION_SECRET_SIZE])
{
	assert(term < UINT32_MAX);
	b->start = b->starts + 1;
	if (term > b->start || RMQ_VARIANT(SESSIONS_BY_TERM))
		b->start = (uint32_t)term;
	memcpy(b->fresh_secret, secret, sizeof(b->fresh_secret));
	broker_make_holes_again(b);
	broker_find_ephemerals(b);
	broker_away_find(b);
	broker_find_left(b);
}

struct slice broker_secret_tags(uint8_t list[4 + SESSION_SECRET_SIZE], const uint8_t *secret)
{
	struct writer w = writer_of(list, 4 + SESSION_SECRET_SIZE);
	tags_put(&w, START_TAG_SECRET, slice_of(secret, SESSION_SECRET_SIZE));
	return slice_of(w.p, w.len);
}

/* No answer leaves before that is stored: no other daemon has the number, and no journal two secrets. */
static void emit_start(struct broker *b)
{
	uint8_t list[4 + SESSION_SECRET_SIZE];
	struct slice tags = b->has_secret ? NO_TAGS : broker_secret_tags(list, b->fresh_secret);
	if (b->starts < b->start)
		broker_emit_start(b, &(struct event_start){b->start, tags});
}

struct lease_time broker_lease_time(const struct broker *b)
{
	return b->lease_now;
}

/* ---- lookups ---- */

static struct conn *conn_find(const struct broker *b, uint64_t id)
{
	struct conn *c = RB_ROOT(&b->conns);
	while (c && c->id != id)
		c = id < c->id ? RB_LEFT(c, by_id) : RB_RIGHT(c, by_id);
	return c;
}

struct conn *broker_conn(struct broker *b, uint64_t id)
{
	struct conn *c = recent_find(&b->recent_conns, id);
	if (!c && (c = conn_find(b, id)))
		recent_put(&b->recent_conns, id, c);
	return c;
}

struct session *broker_session_find(struct broker *b, uint64_t id)
{
	struct session *s = recent_find(&b->recent_sessions, id);
	if (!s && (s = session_find(&b->sessions, id)))
		recent_put(&b->recent_sessions, id, s);
	return s;
}

struct queue *broker_queue_named(const struct broker *b, struct slice name)
{
	struct queue *q = RB_ROOT(&b->queues_by_name);
	while (q) {
		int order = slice_cmp(name, queue_name(q));
		if (order == 0)
			return q;
		q = order < 0 ? RB_LEFT(q, by_name) : RB_RIGHT(q, by_name);
	}
	return NULL;
}

struct queue *broker_queue_from(const struct broker *b, struct slice after, struct slice from)
{
	struct queue *q = RB_ROOT(&b->queues_by_name), *found = NULL;
	while (q) {
		bool before = (after.len > 0 && slice_cmp(queue_name(q), after) <= 0) ||
			      slice_cmp(queue_name(q), from) < 0;
		if (!before)
			found = q;
		q = before ? RB_RIGHT(q, by_name) : RB_LEFT(q, by_name);
	}
	return found;
}

struct queue *broker_queue(const struct broker *b, uint32_t id)
{
	struct queue *q = RB_ROOT(&b->queues_by_id);
	while (q && q->id != id)
		q = id < q->id ? RB_LEFT(q, by_id) : RB_RIGHT(q, by_id);
	return q;
}

void broker_busy(struct broker *b, struct queue *q)
{
	if (q->is_busy)
		return;
	q->is_busy = true;
	TAILQ_INSERT_TAIL(&b->busy, q, busy);
}

void broker_throttle(struct broker *b, struct queue *q, struct lease_time until)
{
	broker_unthrottle(b, q);
	q->throttled_ms = until.ms;
	RB_INSERT(throttle_tree, &b->throttled, q);
}

void broker_unthrottle(struct broker *b, struct queue *q)
{
	if (q->throttled_ms > 0)
		RB_REMOVE(throttle_tree, &b->throttled, q);
	q->throttled_ms = 0;
}

static uint64_t throttled_until(const struct broker *b)
{
	const struct queue *q =
	    RB_MIN(throttle_tree, (struct throttle_tree *)(uintptr_t)&b->throttled);
	return q ? q->throttled_ms : UINT64_MAX;
}

static void end_throttles(struct broker *b)
{
	while (throttled_until(b) <= b->lease_now.ms) {
		struct queue *q = RB_MIN(throttle_tree, &b->throttled);
		broker_unthrottle(b, q);
		broker_busy(b, q);
	}
}

/* ---- effects ---- */

/* Also what each of them takes besides its frames. */
#define OWED(len) ((len) + sizeof(struct effect))

static void owe(struct broker *b, uint64_t conn, size_t len)
{
	struct conn *c = broker_conn(b, conn);
	if (c)
		c->owed += OWED(len);
}

static struct effect *effect_new(struct broker *b, uint64_t conn, size_t len)
{
	struct effect *e = memory_new(sizeof(*e) + len);
	e->conn = conn;
	e->len = len;
	TAILQ_INSERT_TAIL(&b->fresh, e, link);
	return e;
}

void broker_send(struct broker *b, uint64_t conn, const struct writer *w)
{
	assert(!w->full);
	struct effect *e = effect_new(b, conn, w->len);
	owe(b, conn, w->len);
	memcpy(e->frames, w->p, w->len);
}

void broker_hand(struct broker *b, uint64_t conn, struct handout *h)
{
	effect_new(b, conn, 0)->handout = h;
}

static void conn_close(struct broker *b, struct conn *c, struct slice last)
{
	struct subscription *sub;
	while ((sub = TAILQ_FIRST(&c->subs)))
		broker_sub_free(b, sub);
	if (!RMQ_VARIANT(HOLD_OUTLIVES))
		broker_move_end(b, c);
	c->closed = true;
	struct effect *e = effect_new(b, c->id, last.len);
	e->close = true;
	if (last.len > 0)
		memcpy(e->frames, last.data, last.len);
}

void broker_close(struct broker *b, struct conn *c)
{
	conn_close(b, c, slice_of(NULL, 0));
}

void broker_refuse(struct broker *b, struct conn *c, enum rmq_error code, const char *text)
{
	uint8_t bytes[512];
	struct writer w = writer_of(bytes, sizeof(bytes));
	wire_put_error(&w, &(struct wire_error){(uint8_t)code, slice_str(text)});
	conn_close(b, c, slice_of(w.p, w.len));
}

static void conn_drop_handouts(struct conn *c)
{
	struct handout *h;
	while ((h = TAILQ_FIRST(&c->handouts))) {
		TAILQ_REMOVE(&c->handouts, h, link);
		free(h);
	}
}

/* Puts frames after the handouts of a connection that has some: order is kept. */
static void release_frames(struct broker *b, struct conn *c, const struct effect *e)
{
	if (TAILQ_EMPTY(&c->handouts)) {
		c->owed -= OWED(e->len);
		b->host.send(b->host.arg, c->id, slice_of(e->frames, e->len));
		return;
	}
	struct handout *h = memory_new(sizeof(*h) + e->len);
	h->frames_len = e->len;
	memcpy(h->frames, e->frames, e->len);
	TAILQ_INSERT_TAIL(&c->handouts, h, link);
}

/* What the connection was still to be read is not: ERROR would come after it, or never. */
static void release_close(struct broker *b, struct conn *c, const struct effect *e)
{
	conn_drop_handouts(c);
	if (e->len > 0)
		b->host.send(b->host.arg, c->id, slice_of(e->frames, e->len));
	b->host.close(b->host.arg, c->id);
}

static void release(struct broker *b, struct effect *e)
{
	struct conn *c = broker_conn(b, e->conn);
	if (c && e->handout) {
		if (RMQ_VARIANT(AGAIN_LAST) && !e->handout->again)
			TAILQ_INSERT_HEAD(&c->handouts, e->handout, link);
		else
			TAILQ_INSERT_TAIL(&c->handouts, e->handout, link);
		e->handout = NULL;
		b->host.deliverable(b->host.arg, c->id);
	} else if (c && e->close) {
		release_close(b, c, e);
	} else if (c) {
		release_frames(b, c, e);
	}
	free(e->handout);
	free(e);
}

static void release_all(struct broker *b)
{
	struct effect *e;
	while ((e = TAILQ_FIRST(&b->waiting)) && e->n <= b->stored_n &&
	       e->barrier <= b->barrier_done) {
		TAILQ_REMOVE(&b->waiting, e, link);
		release(b, e);
	}
}

/* This turn's effects wait for its newest record, or for a barrier if there is none. */
static void queue_effects(struct broker *b)
{
	struct effect *e;
	uint64_t n = b->next_n - 1, barrier = 0;
	if (TAILQ_EMPTY(&b->fresh))
		return;
	if (RMQ_VARIANT(EFFECT_EARLY))
		n = 0;
	else if (n == b->stored_n) {
		barrier = b->next_barrier++;
		b->host.barrier(b->host.arg, barrier);
	}
	TAILQ_FOREACH (e, &b->fresh, link) {
		e->n = n;
		e->barrier = barrier;
	}
	TAILQ_CONCAT(&b->waiting, &b->fresh, link);
	if (RMQ_VARIANT(EFFECT_EARLY))
		release_all(b);
}

void broker_handed_frames(struct broker *b, struct conn *c, const struct handout *h)
{
	c->owed -= OWED(h->frames_len);
	b->host.send(b->host.arg, c->id, slice_of(h->frames, h->frames_len));
}

void broker_release_newest(struct broker *b)
{
	struct effect *e = TAILQ_LAST(&b->fresh, effect_list);
	TAILQ_REMOVE(&b->fresh, e, link);
	release(b, e);
}

/* ---- sessions and connections ---- */

static void forget(struct broker *b, struct session *s)
{
	broker_drop_unfinished(b, s->id);
	if (s->durable)
		broker_emit_session_forget(b, &(struct event_session_forget){s->id});
	else
		broker_session_remove(b, s);
}

struct owner *broker_nobody(struct broker *b)
{
	return owner_use(&b->owners, slice_of("", 0), OWNER_UNKNOWN);
}

struct session *broker_session_add(struct broker *b, uint64_t id, struct owner *owner)
{
	struct session *s = session_new(id, owner, &b->ledger.part_bytes);
	RB_INSERT(session_tree, &b->sessions, s);
	broker_session_idle(b, s);
	b->sessions_count++;
	return s;
}

static void emit_owner(struct broker *b, const struct session *s, const struct owner *o)
{
	if (owner_known(o) && !RMQ_VARIANT(OWNER_UNWRITTEN))
		broker_emit_session_owner(
		    b, &(struct event_session_owner){s->id, o->uid, owner_node(o), NO_TAGS});
}

void broker_name_owner(struct broker *b, const struct session *s)
{
	if (!s->durable)
		emit_owner(b, s, s->owner);
}

void broker_session_own(struct broker *b, struct session *s, struct owner *owner)
{
	if (s->durable)
		emit_owner(b, s, owner);
	session_own(&b->owners, s, owner);
}

struct session *broker_session_new(struct broker *b, const struct conn *c, uint64_t id)
{
	struct session *s;
	if (b->sessions_count >= SESSIONS_MAX) {
		s = session_of_the_most(&b->owners);
		if (!s)
			return NULL;
		forget(b, s);
	}
	if (id == 0)
		id = (uint64_t)b->start << 32 | ++b->session_counter;
	return broker_session_add(b, id, owner_hold(c->owner));
}

void broker_session_idle(struct broker *b, struct session *s)
{
	TAILQ_INSERT_TAIL(&b->idle, s, idle);
	session_is_idle(s);
	broker_desert(b, s);
}

void broker_session_busy(struct broker *b, struct session *s)
{
	TAILQ_REMOVE(&b->idle, s, idle);
	session_is_busy(s);
	broker_undesert(b, s);
}

void broker_session_remove(struct broker *b, struct session *s)
{
	broker_end_ephemerals(b, s);
	RB_REMOVE(session_tree, &b->sessions, s);
	recent_drop(&b->recent_sessions, s->id);
	b->sessions_count--;
	if (s->is_closing) {
		TAILQ_REMOVE(&b->closing, s, closing);
		b->closing_count--;
	}
	if (s->conn)
		s->conn->session = NULL;
	else
		broker_session_busy(b, s);
	session_end(&b->owners, s);
	if (!session_let_go(s, 0))
		TAILQ_INSERT_TAIL(&b->ended, s, closing);
}

void broker_attach(struct broker *b, struct conn *c, struct session *s)
{
	if (s->conn)
		s->conn->session = NULL;
	else
		broker_session_busy(b, s);
	emit_start(b);
	s->conn = c;
	s->stamp = 0;
	c->session = s;
}

struct subscription *broker_sub(const struct conn *c, uint32_t id)
{
	struct subscription *sub;
	TAILQ_FOREACH (sub, &c->subs, of_conn)
		if (sub->id == id)
			return sub;
	return NULL;
}

void broker_sub_free(struct broker *b, struct subscription *sub)
{
	broker_line_out(b, sub);
	sub->queue->idle_wanted -= sub->wants_idle;
	TAILQ_REMOVE(&sub->queue->subs, sub, of_queue);
	sub->queue->receivers--;
	TAILQ_REMOVE(&sub->conn->subs, sub, of_conn);
	sub->conn->subs_count--;
	/* What it leaves may be told of. */
	if (sub->queue->is_away)
		broker_busy(b, sub->queue);
	free(sub);
}

void broker_queue_free(struct broker *b, struct queue *q)
{
	q->maker->queues--;
	q->maker->bindings -= q->bindings_count;
	broker_ids_gone(b, q);
	bindings_remove_queue(&b->bindings, q);
	broker_ephemeral_gone(b, q);
	broker_away_gone(b, q);
	owner_drop(&b->owners, q->maker);
	queue_free(q);
}

void broker_connect(struct broker *b, uint64_t id)
{
	struct conn *c = memory_new(sizeof(*c));
	c->id = id;
	c->owner = broker_nobody(b);
	c->owner->conns++;
	TAILQ_INIT(&c->subs);
	TAILQ_INIT(&c->handouts);
	RB_INSERT(conn_tree, &b->conns, c);
}

static void stop_waiting(struct conn *c)
{
	if (c->waits_in)
		TAILQ_REMOVE(c->waits_in, c, waiting);
	c->waits_in = NULL;
}

void broker_owner(struct broker *b, uint64_t conn, struct slice node, uint32_t uid)
{
	struct conn *c = broker_conn(b, conn);
	if (!c)
		return;
	uint32_t watches = (c->watch.what != 0) + (c->kv_watch != NULL);
	c->owner->conns--;
	c->owner->watches -= watches;
	owner_drop(&b->owners, c->owner);
	c->owner = owner_use(&b->owners, node, uid);
	c->owner->conns++;
	c->owner->watches += watches;
}

uint32_t broker_owner_connections(struct broker *b, uint64_t conn)
{
	const struct conn *c = broker_conn(b, conn);
	return c ? c->owner->conns : 0;
}

bool broker_same_owner(struct broker *b, uint64_t conn, uint64_t other)
{
	const struct conn *x = broker_conn(b, conn), *y = broker_conn(b, other);
	return x && y && x->owner == y->owner;
}

void broker_disconnect(struct broker *b, uint64_t id)
{
	struct conn *c = broker_conn(b, id);
	struct subscription *sub;
	if (!c)
		return;
	while ((sub = TAILQ_FIRST(&c->subs)))
		broker_sub_free(b, sub);
	conn_drop_handouts(c);
	stop_waiting(c);
	broker_watch_end(b, c);
	broker_kv_end(b, c);
	if (!RMQ_VARIANT(HOLD_OUTLIVES))
		broker_move_end(b, c);
	if (b->put_off.conn == id)
		broker_forget_put_off(b);
	if (c->session) {
		/* A client that comes back begins again with the first piece. */
		broker_drop_unfinished(b, c->session->id);
		c->session->conn = NULL;
		c->session->idle_since_ms = b->lease_now.ms;
		broker_session_idle(b, c->session);
	}
	broker_away_end(b, c);
	RB_REMOVE(conn_tree, &b->conns, c);
	recent_drop(&b->recent_conns, id);
	c->owner->conns--;
	owner_drop(&b->owners, c->owner);
	free(c->rights);
	free(c);
}

uint64_t broker_session(const struct broker *b, uint64_t conn)
{
	struct conn *c = conn_find(b, conn);
	return c && c->session ? c->session->id : 0;
}

/* Sessions that nobody came back to are forgotten. */
static void forget_idle(struct broker *b)
{
	struct session *s;
	while ((s = TAILQ_FIRST(&b->idle)) &&
	       b->lease_now.ms - s->idle_since_ms >= SESSION_IDLE_MS)
		forget(b, s);
}

/* Closed sessions cost no record of their own: they go along with one. */
static void close_sessions(struct broker *b)
{
	struct session *s;
	if (!b->open && b->closing_count < CLOSING_MAX && !b->ckpt.wanted)
		return;
	while ((s = TAILQ_FIRST(&b->closing))) {
		broker_drop_unfinished(b, s->id);
		broker_emit_session_close(b, &(struct event_session_close){s->id});
	}
}

/* ---- room ---- */

uint64_t broker_room_left(const struct broker *b)
{
	uint64_t used = b->sent_bytes - b->room_sent, reserve = broker_reserve_wanted(b);
	/* What the journal does not keep back yet. */
	if (reserve > b->reserve_known)
		used += reserve - b->reserve_known;
	return b->room > used ? b->room - used : 0;
}

/*
 * Has the journal keep back what the next checkpoint wants, in steps, one at a time, as the state
 * grows and shrinks.
 */
static void tell_reserve(struct broker *b)
{
	uint64_t wanted = broker_reserve_wanted(b);
	if (b->reserve_known != b->reserve ||
	    (wanted <= b->reserve && wanted >= b->reserve / 2))
		return;
	b->reserve = wanted + (wanted > b->ledger.limits.reserve_bytes ? wanted / 4 : 0);
	b->host.reserve(b->host.arg, b->reserve);
	b->reserve_barrier = b->next_barrier++;
	b->host.barrier(b->host.arg, b->reserve_barrier);
}

uint64_t broker_starved(const struct broker *b)
{
	const struct conn *c = TAILQ_FIRST(&b->waiting_room);
	return c ? c->wants : 0;
}

void broker_room(struct broker *b, uint64_t n, uint64_t bytes)
{
	struct record *r = NULL;
	if (n < b->stored_n)
		return;
	if (n > b->stored_n)
		STAILQ_FOREACH (r, &b->ledger.pending, pending)
			if (r->n == n)
				break;
	if (n > b->stored_n && !r)
		return;
	if (b->barrier_done >= b->reserve_barrier)
		b->reserve_known = b->reserve;
	b->room = bytes;
	b->room_sent = r ? r->sent_after : b->stored_sent;
}

void broker_holes_wanted(struct broker *b, bool wanted)
{
	b->holes_wanted = wanted;
}

static void wait_in(struct conn *c, struct waiting_list *in, size_t wants)
{
	c->wants = wants;
	if (c->waits_in == in)
		return;
	stop_waiting(c);
	c->waits_in = in;
	TAILQ_INSERT_TAIL(in, c, waiting);
}

void broker_wait(struct broker *b, struct conn *c, struct queue *q, size_t bytes)
{
	wait_in(c, q ? &q->waiting : &b->waiting_room, bytes);
}

void broker_wait_for_ids(struct broker *b, struct conn *c, uint32_t ids)
{
	wait_in(c, &b->waiting_ids, ids);
}

void broker_roomy(struct broker *b, struct queue *q)
{
	if (q->is_roomy || TAILQ_EMPTY(&q->waiting))
		return;
	q->is_roomy = true;
	TAILQ_INSERT_TAIL(&b->roomy, q, roomy);
}

static void tell_room(struct broker *b, struct conn *c)
{
	uint8_t bytes[32];
	struct writer w = writer_of(bytes, sizeof(bytes));
	stop_waiting(c);
	wire_put_room(&w, &(struct wire_room){broker_room_left(b)});
	broker_send(b, c->id, &w);
}

void broker_end_waiting(struct broker *b, struct queue *q)
{
	struct conn *c;
	if (q->is_roomy)
		TAILQ_REMOVE(&b->roomy, q, roomy);
	q->is_roomy = false;
	while ((c = TAILQ_FIRST(&q->waiting)))
		tell_room(b, c);
}

/*
 * Who waits first is told first, and no more are told than the room is for: each that finds
 * none has sent in vain.  One that takes none leaves the others to their own patience.
 */
static void wake_waiting(struct broker *b)
{
	uint64_t room = broker_room_left(b);
	struct queue *q;
	struct conn *c;
	while ((c = TAILQ_FIRST(&b->waiting_room)) && c->wants <= room) {
		room -= c->wants;
		tell_room(b, c);
	}
	for (room = b->ids_forgotten; room > 0 && (c = TAILQ_FIRST(&b->waiting_ids));) {
		room -= min_u64(room, c->wants);
		tell_room(b, c);
	}
	b->ids_forgotten = 0;
	while ((q = TAILQ_FIRST(&b->roomy))) {
		TAILQ_REMOVE(&b->roomy, q, roomy);
		q->is_roomy = false;
		for (room = queue_room(q); room > 0 && (c = TAILQ_FIRST(&q->waiting));) {
			room -= min_u64(room, c->wants);
			tell_room(b, c);
		}
	}
}

/* ---- turns ---- */

void broker_now(struct broker *b, struct lease_time lease, struct wall_time wall)
{
	/* A record's times are those of all its events. */
	if (lease.ms > b->lease_now.ms || wall.ms != b->wall_now.ms)
		broker_end_record(b);
	if (lease.ms > b->lease_now.ms)
		b->lease_now = lease;
	b->wall_now = wall;
}

bool broker_turn_spent(const struct broker *b)
{
	return b->work - b->turn_work >= TURN_WORK;
}

uint64_t broker_work(const struct broker *b)
{
	return b->work;
}

size_t broker_owed(struct broker *b, uint64_t conn)
{
	const struct conn *c = broker_conn(b, conn);
	return c ? c->owed : 0;
}

bool broker_wants_frame(struct broker *b, uint64_t conn)
{
	const struct conn *c = broker_conn(b, conn);
	return broker_owed(b, conn) <= OWED_MAX && !(c && c->errand) && !broker_turn_spent(b) &&
	       !broker_holds(b);
}

void broker_heard(struct broker *b, struct lease_time then)
{
	if (then.ms > b->heard.ms)
		b->heard = then;
}

/* When the first lease, or the patience with a large message's next piece or with a mover, ends. */
static uint64_t first_end(const struct broker *b)
{
	struct range *r = RB_MIN(timer_tree, (struct timer_tree *)(uintptr_t)&b->timers.leases);
	uint64_t patience = min_u64(broker_unfinished_until(b), broker_moves_until(b));
	return min_u64(r ? r->until_ms : UINT64_MAX, patience);
}

bool broker_listens(const struct broker *b)
{
	uint64_t until = first_end(b);
	return until <= b->lease_now.ms && until > b->heard.ms;
}

void broker_flush(struct broker *b)
{
	broker_errands_step(b);
	broker_expire(b);
	broker_drop_expired(b);
	broker_forget_ids(b);
	broker_expire_unfinished(b);
	broker_end_silent_moves(b);
	end_throttles(b);
	broker_grant(b);
	broker_expire_ephemerals(b);
	forget_idle(b);
	wake_waiting(b);
	broker_watch_step(b);
	broker_away_step(b);
	broker_kv_step(b);
	close_sessions(b);
	broker_checkpoint_step(b);
	broker_end_record(b);
	tell_reserve(b);
	queue_effects(b);
	b->turn_work = b->work;
}

static uint64_t until(uint64_t now, uint64_t then)
{
	return then > now ? then - now : 0;
}

uint64_t broker_due_ms(const struct broker *b)
{
	/* Busy: a delivery that was pulled after the flush gave a receiver its credit back. */
	uint64_t due = TAILQ_EMPTY(&b->busy) ? UINT64_MAX : 0;
	/* One that is over and not heard of is the host's to hear of. */
	if (first_end(b) != UINT64_MAX && !broker_listens(b))
		due = min_u64(due, until(b->lease_now.ms, first_end(b)));
	struct range *r = RB_MIN(timer_tree, (struct timer_tree *)(uintptr_t)&b->timers.delays);
	if (r)
		due = min_u64(due, until(b->lease_now.ms, r->until_ms));
	/* The wall clock may be set: it is looked at again soon. */
	r = RB_MIN(timer_tree, (struct timer_tree *)(uintptr_t)&b->timers.walls);
	if (r)
		due = min_u64(due, min_u64(WALL_LOOK_MS, until(b->wall_now.ms, r->until_ms)));
	if (!RB_EMPTY(&b->throttled))
		due = min_u64(due, until(b->lease_now.ms, throttled_until(b)));
	if (broker_ids_until(b) != UINT64_MAX)
		due = min_u64(due, until(b->lease_now.ms, broker_ids_until(b)));
	const struct expiry *x = expiry_due((struct timers *)(uintptr_t)&b->timers);
	if (x)
		due = min_u64(due, min_u64(WALL_LOOK_MS, until(b->wall_now.ms, x->at_ms)));
	if (!TAILQ_EMPTY(&b->idle))
		due = min_u64(due, until(b->lease_now.ms,
				       TAILQ_FIRST(&b->idle)->idle_since_ms + SESSION_IDLE_MS));
	if (!TAILQ_EMPTY(&b->deserted))
		due = min_u64(due, until(b->lease_now.ms, broker_ephemerals_until(b)));
	if (broker_errands_wait(b) || broker_checkpoint_goes_on(b) || broker_kv_goes_on(b) ||
	    broker_away_goes_on(b))
		due = 0;
	return due;
}

/* ---- the journal's answers ---- */

static void wake_stalled(struct broker *b)
{
	struct conn *c;
	RB_FOREACH (c, conn_tree, &b->conns) {
		if (c->stalled) {
			c->stalled = false;
			b->host.deliverable(b->host.arg, c->id);
		}
	}
}

void broker_stored(struct broker *b, uint64_t first_n, uint32_t count, uint64_t first_index)
{
	assert(first_n == b->stored_n + 1 && count < b->next_n - b->stored_n);
	bool moved = b->moved_n > b->stored_n;
	for (uint32_t i = 0; i < count; i++) {
		b->stored_sent = STAILQ_FIRST(&b->ledger.pending)->sent_after;
		ledger_stored(&b->ledger, first_index + i);
		broker_checkpoint_stored(b, first_n + i, first_index + i);
	}
	b->stored_n += count;
	b->newest_index = first_index + count - 1;
	release_all(b);
	if (moved)
		wake_stalled(b);
	broker_go_on(b);
}

void broker_barrier_done(struct broker *b, uint64_t id)
{
	b->barrier_done = id;
	release_all(b);
}

bool broker_probe(struct broker *b)
{
	if (b->barrier_done + 1 < b->next_barrier)
		return false;
	b->host.barrier(b->host.arg, b->next_barrier++);
	return true;
}

uint64_t broker_inflight_bytes(const struct broker *b)
{
	return b->ledger.pending_bytes;
}

bool broker_pending(const struct broker *b)
{
	return b->open || broker_errands_wait(b) || b->stored_n + 1 < b->next_n ||
	       b->barrier_done + 1 < b->next_barrier || !TAILQ_EMPTY(&b->waiting) ||
	       !TAILQ_EMPTY(&b->fresh);
}

/* ---- digest ---- */

struct digest {
	XXH3_state_t *state;
};

static void add(struct digest *d, const void *p, size_t len)
{
	XXH3_64bits_update(d->state, p, len);
}

static void add_u64(struct digest *d, uint64_t v)
{
	uint8_t bytes[8];
	store_u64(bytes, v);
	add(d, bytes, sizeof(bytes));
}

static void add_origin(struct digest *d, const struct batch *m, uint64_t at)
{
	const struct origin *o = batch_origin(m);
	if (!o)
		return;
	add(d, o->queue, strlen(o->queue));
	add(d, o->reason, strlen(o->reason));
	add_u64(d, batch_origin_seq(m, at));
	add_u64(d, o->redrives);
}

/* Whether message `at` of m, the next one after `before`, is where a batch with it has it. */
static bool goes_on(const struct batch *before, const struct batch *m, uint64_t at)
{
	return before && !before->is_large && !m->is_large && before->record == m->record &&
	       before->offset == m->offset &&
	       before->slot + (at - before->first) == m->slot + (at - m->first) &&
	       batch_same_origin(before, m) &&
	       batch_origin_seq(before, at) == batch_origin_seq(m, at);
}

/* Equal states may be cut into batches differently. */
static void add_batches(struct digest *d, struct queue *q)
{
	struct batch *m, *before = NULL;
	uint64_t at, end, last = 0;
	RB_FOREACH (m, batch_tree, &q->batches) {
		for (at = m->first; (at = batch_run(m, at, UINT64_MAX, &end)) != UINT64_MAX;
		     at = end) {
			bool same = at == last && goes_on(before, m, at);
			before = m;
			if (!same)
				add_u64(d, last);
			last = end;
			if (same)
				continue;
			add_u64(d, at);
			add_u64(d,
			    m->is_large ? m->large->part[0].record->index : m->record->index);
			add_u64(d, m->offset);
			add_u64(d, m->shares);
			add_u64(d, m->slot + (at - m->first));
			add_origin(d, m, at);
		}
	}
	add_u64(d, last);
}

static bool same_state(const struct range *a, const struct range *b)
{
	return a->state == b->state && a->attempt == b->attempt && a->failures == b->failures &&
	       a->priority == b->priority && a->by_wall == b->by_wall && a->lease == b->lease &&
	       range_until(a) == range_until(b) && range_holder(a) == range_holder(b) &&
	       range_detached(a) == range_detached(b);
}

static void add_state(struct digest *d, const struct range *r, uint64_t live)
{
	add_u64(d, live);
	add_u64(d, (uint64_t)r->state << 32 | r->attempt);
	add_u64(d, r->failures);
	add_u64(d, r->lease);
	add_u64(d, range_until(r));
	add_u64(d, (uint64_t)r->by_wall << 8 | r->priority);
	const struct session *s = range_holder(r);
	add_u64(d, s ? s->id : 0);
	add_u64(d, range_detached(r));
}

/* Equal states may be cut into ranges differently: so many live messages are in this one. */
static void add_ranges(struct digest *d, struct queue *q)
{
	struct range *r, run, part;
	uint64_t live = 0;
	RB_FOREACH (r, range_tree, &q->ranges) {
		uint64_t end = r->first + r->span, to;
		for (uint64_t at = r->first; at < end; at = to) {
			to = mixed_run(r, at, end);
			part = *r;
			part.live =
			    range_is_mixed(r) ? queue_count_live(q, at, to - at) : r->live;
			if (part.live == 0)
				continue;
			part.priority = mixed_priority(r, queue_first_live(q, at, end));
			if (live > 0 && !same_state(&run, &part)) {
				add_state(d, &run, live);
				live = 0;
			}
			run = part;
			live += part.live;
		}
	}
	if (live > 0)
		add_state(d, &run, live);
}

/* The same of runs that expire at one time. */
static void add_expiries(struct digest *d, struct queue *q)
{
	struct expiry *x, *run = NULL;
	uint64_t live = 0;
	for (x = expiry_from(q, 0); x; x = expiry_next(x)) {
		bool same = run && run->at_ms == x->at_ms && run->own == x->own;
		if (run && !same) {
			add_u64(d, live);
			live = 0;
		}
		if (!same) {
			add_u64(d, x->at_ms);
			add_u64(d, x->own);
		}
		run = x;
		live += x->live;
	}
	add_u64(d, live);
}

static void add_keys(struct digest *d, struct queue *q)
{
	for (uint64_t at = 0, end; (at = keys_run(q, at, UINT64_MAX, 1, &end)) > 0; at = end) {
		add_u64(d, at);
		add_u64(d, keys_of(q, at));
	}
}

static void add_queue(struct digest *d, struct queue *q)
{
	const struct pending *p;
	struct binding *bound;
	uint64_t unfinished = 0; /* in any order */
	add(d, q->name, strlen(q->name));
	add(d, q->settings.dead_letter, strlen(q->settings.dead_letter));
	add_u64(d, q->id);
	add_u64(d, q->maker->uid);
	add(d, q->maker->node, q->maker->node_len);
	add_u64(d, q->settings.lease_ms);
	add_u64(d, q->settings.max_attempts);
	add_u64(d, q->settings.backoff_min_ms);
	add_u64(d, q->settings.backoff_max_ms);
	add_u64(d, q->settings.max_bytes);
	add_u64(d, q->settings.max_message);
#define X(NAME, tag, bit, standard, word, member) add_u64(d, q->settings.more.member);
	MORE_SETTINGS(X)
#undef X
	add_u64(d, q->rate_full);
	add_u64(d, q->next_seq);
	add_u64(d, q->counts.sent);
	add_u64(d, q->counts.delivered);
	add_u64(d, q->counts.settled);
	add_u64(d, q->counts.failed);
	add_u64(d, q->counts.dead);
	add_u64(d, q->counts.lost);
	add_u64(d, q->counts.ids_early);
	add_u64(d, q->ids_seed);
	add_u64(d, q->unfinished_bytes);
	for (uint32_t n = q->ids.first; n != q->ids.end; n++) {
		add_u64(d, ids_at(&q->ids, n)->hash);
		add_u64(d, ids_at(&q->ids, n)->ms);
		add_u64(d, ids_at(&q->ids, n)->seq);
	}
	const struct position *at;
	TAILQ_FOREACH (at, &q->positions.by_age, by_age) {
		add(d, at->name, strlen(at->name));
		add_u64(d, at->at);
		add_u64(d, at->sent.first);
		add_u64(d, at->sent.end);
		add_u64(d, at->sent.skipped);
	}
	TAILQ_FOREACH (p, &q->unfinished, of_queue)
		unfinished += p->shares * p->n + p->large->parts;
	add_u64(d, unfinished);
	RB_FOREACH (bound, binding_tree, &q->bindings)
		add(d, bound->pattern, bound->len + 0u);
	add_u64(d, q->bindings_count);
	add_u64(d, q->ephemeral);
	add_u64(d, q->hidden);
	if (q->token)
		add(d, q->token, CELL_TOKEN_SIZE);
	add_batches(d, q);
	add_ranges(d, q);
	add_expiries(d, q);
	add_keys(d, q);
	for (int why = 0; why < DROPPED_WHYS; why++)
		add_u64(d, q->counts.dropped[why]);
}

static void add_kv(struct digest *d, const struct kv *m)
{
	add_u64(d, m->version);
	for (const struct kv_entry *e = kv_after(m, 0); e; e = kv_next(e)) {
		add_u64(d, e->version);
		add_u64(d, (uint64_t)e->key_len << 1 | e->deleted);
		add_u64(d, e->maker ? e->maker->uid : 0);
		add(d, e->maker ? e->maker->node : "", e->maker ? e->maker->node_len : 0);
		add(d, e->bytes, (size_t)e->key_len + e->len);
	}
}

static void add_places(struct digest *d, const struct places *p)
{
	struct place *one = places_after(p, slice_of("", 0));
	const struct copy *c;
	for (; one; one = places_next(one)) {
		add(d, one->name, one->name_len);
		add(d, place_cell(one).data, one->cell_len);
		add(d, one->token, one->token_len);
		add_u64(d, one->state);
		add_u64(d, one->maker ? one->maker->uid : OWNER_UNKNOWN);
		add(d, one->maker ? one->maker->node : "",
		    one->maker ? one->maker->node_len : 0);
		TAILQ_FOREACH (c, &one->copies, link) {
			add(d, c->token, sizeof(c->token));
			add_u64(d, c->number);
			add_u64(d, c->since_ms);
			add_u64(d, c->maker->uid);
			add(d, c->maker->node, c->maker->node_len);
			add(d, c->from, c->from_len);
		}
	}
}

uint64_t broker_digest(const struct broker *cb)
{
	struct broker *b = (struct broker *)(uintptr_t)cb;
	struct digest d = {XXH3_createState()};
	struct queue *q;
	struct session *s;
	if (!d.state)
		abort();
	XXH3_64bits_reset(d.state);
	add_u64(&d, b->next_queue);
	add_u64(&d, b->lease);
	add_u64(&d, b->forgotten);
	add_u64(&d, b->starts);
	add(&d, b->secret, sizeof(b->secret));
	add_kv(&d, &b->kv);
	add_places(&d, &b->places);
	RB_FOREACH (q, queue_id_tree, &b->queues_by_id)
		add_queue(&d, q);
	RB_FOREACH (s, session_tree, &b->sessions) {
		if (!s->durable)
			continue;
		add_u64(&d, s->id);
		add_u64(&d, s->last);
		add_u64(&d, s->owner->uid);
		add(&d, s->owner->node, s->owner->node_len);
	}
	uint64_t sum = XXH3_64bits_digest(d.state);
	XXH3_freeState(d.state);
	return sum;
}
