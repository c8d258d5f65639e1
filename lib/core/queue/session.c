#include "core/queue/session.h"

#include "core/base/memory.h"
#include "core/wire/event.h"

/* What one takes in a checkpoint, but for its answers and the name of its owner's node. */
#define SESSION_PART_MAX 48
#define ANSWER_PART_MAX	 48

static int session_compare(const struct session *a, const struct session *b)
{
	return a->id < b->id ? -1 : a->id > b->id;
}

RB_GENERATE(session_tree, session, by_id, session_compare)

struct session *session_new(uint64_t id, struct owner *owner, uint64_t *part_bytes)
{
	struct session *s = memory_new(sizeof(*s));
	s->id = id;
	s->owner = owner;
	RB_INIT(&s->held);
	s->part_bytes = part_bytes;
	*part_bytes += SESSION_PART_MAX + owner->node_len;
	TAILQ_INIT(&s->ephemerals);
	TAILQ_INIT(&s->answers);
	return s;
}

void session_end(struct owner_tree *owners, struct session *s)
{
	session_answered(s, UINT64_MAX);
	*s->part_bytes -= SESSION_PART_MAX + s->owner->node_len;
	owner_drop(owners, s->owner);
	s->owner = NULL;
	s->conn = NULL;
	s->has_ended = true;
}

bool session_let_go(struct session *s, uint32_t most)
{
	struct range *r;
	for (; most > 0 && (r = RB_ROOT(&s->held)); most--) {
		session_detach(r);
		range_detach(r);
	}
	if (!RB_EMPTY(&s->held))
		return false;
	free(s);
	return true;
}

struct session *session_find(struct session_tree *tree, uint64_t id)
{
	struct session key = {.id = id};
	return RB_FIND(session_tree, tree, &key);
}

struct session *session_from(struct session_tree *tree, uint64_t id)
{
	struct session key = {.id = id};
	return RB_NFIND(session_tree, tree, &key);
}

void session_is_idle(struct session *s)
{
	TAILQ_INSERT_TAIL(&s->owner->idle, s, of_owner);
	s->owner->idle_count++;
}

void session_is_busy(struct session *s)
{
	TAILQ_REMOVE(&s->owner->idle, s, of_owner);
	s->owner->idle_count--;
}

void session_own(struct owner_tree *owners, struct session *s, struct owner *o)
{
	struct owner *before = s->owner;
	if (!s->conn)
		session_is_busy(s);
	s->owner = owner_hold(o);
	before->stale_bytes -= s->answers_bytes;
	o->stale_bytes += s->answers_bytes;
	*s->part_bytes += o->node_len;
	*s->part_bytes -= before->node_len;
	if (!s->conn)
		session_is_idle(s);
	owner_drop(owners, before);
}

struct session *session_of_the_most(struct owner_tree *owners)
{
	struct owner *o, *most = NULL;
	RB_FOREACH (o, owner_tree, owners)
		if (!most || o->idle_count > most->idle_count)
			most = o;
	return most ? TAILQ_FIRST(&most->idle) : NULL;
}

void session_holds(struct session *s, struct range *r)
{
	if (s->held_count == 0 || r->lease_ms < s->lease_min_ms)
		s->lease_min_ms = r->lease_ms;
	RB_INSERT(holding_tree, &s->held, r);
	s->held_count++;
	s->detached_count += r->detached;
}

void session_holds_no_more(struct session *s, struct range *r)
{
	RB_REMOVE(holding_tree, &s->held, r);
	s->held_count--;
	s->detached_count -= r->detached;
}

void session_detach(struct range *r)
{
	if (r->detached)
		return;
	queue_extend(r->queue, r, (struct lease_time){range_until(r)});
	r->detached = true;
	r->session->detached_count++;
}

struct range *session_held_next(const struct session *s, uint32_t queue, uint64_t at)
{
	struct range *r = RB_ROOT(&s->held), *found = NULL;
	while (r) {
		bool before =
		    r->queue->id != queue ? r->queue->id < queue : r->first + r->span <= at;
		if (!before)
			found = r;
		r = before ? RB_RIGHT(r, held) : RB_LEFT(r, held);
	}
	return found;
}

struct range *session_held_from(const struct session *s, const struct queue *q, uint64_t at)
{
	struct range *r = session_held_next(s, q->id, at);
	return r && r->queue == q ? r : NULL;
}

void session_stamped(struct session *s, uint64_t stamp)
{
	if (stamp > s->stamp)
		s->stamp = stamp;
}

/* What an answer takes in a checkpoint, at most: an event for each piece of it. */
static size_t part_max(const struct answer *a)
{
	return ANSWER_PART_MAX * (1 + a->stale_len / EVENT_ENTRIES_BYTES) + a->stale_len;
}

/* Takes an answer away, and what it counts for. */
static void drop(struct session *s, struct answer *a)
{
	TAILQ_REMOVE(&s->answers, a, link);
	s->answers_count--;
	s->answers_bytes -= a->stale_len;
	s->owner->stale_bytes -= a->stale_len;
	*s->part_bytes -= part_max(a);
	free(a);
}

void session_taken(
    struct session *s, uint64_t n, uint64_t first_seq, uint32_t count, struct slice stale)
{
	struct answer *before = TAILQ_LAST(&s->answers, answer_list);
	if (before && before->n != n)
		before = NULL;
	size_t len = before ? before->stale_len : 0;
	struct answer *a = memory_new(sizeof(*a) + len + stale.len);
	s->durable = true;
	s->last = n;
	a->n = n;
	a->first_seq = count > 0 || !before ? first_seq : before->first_seq;
	a->count = count + (before ? before->count : 0);
	a->stale_len = (uint32_t)(len + stale.len);
	if (len > 0)
		memcpy(a->stale, before->stale, len);
	if (stale.len > 0)
		memcpy(a->stale + len, stale.data, stale.len);
	if (before)
		drop(s, before);
	s->answers_bytes += a->stale_len;
	s->owner->stale_bytes += a->stale_len;
	TAILQ_INSERT_TAIL(&s->answers, a, link);
	*s->part_bytes += part_max(a);
	if (++s->answers_count > SESSION_WINDOW)
		drop(s, TAILQ_FIRST(&s->answers));
}

void session_answered(struct session *s, uint64_t n)
{
	while (!TAILQ_EMPTY(&s->answers) && TAILQ_FIRST(&s->answers)->n <= n)
		drop(s, TAILQ_FIRST(&s->answers));
}

const struct answer *session_answer(const struct session *s, uint64_t n)
{
	const struct answer *a;
	TAILQ_FOREACH (a, &s->answers, link)
		if (a->n == n)
			return a;
	return NULL;
}
