/*
 * Large messages of which not all pieces have come.  They count against the limit of their
 * queue, so they go when their session begins something else or ends, when its connection
 * does, when their queue is purged or removed, and when no piece has come for UNFINISHED_MS:
 * their client begins again with the first piece.
 *
 * One that is for several queues is unfinished in each of them.  It goes from each for itself,
 * and is taken only if it is there in all of them when its last piece comes.
 */
#include "core/broker/broker_state.h"

#include <assert.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/base/variant.h"

static int compare(uint64_t session, uint32_t queue, const struct pending *p)
{
	if (session != p->session)
		return session < p->session ? -1 : 1;
	return queue < p->queue->id ? -1 : queue > p->queue->id;
}

static int pending_compare(const struct pending *a, const struct pending *b)
{
	return compare(a->session, a->queue->id, b);
}

RB_PROTOTYPE(pending_tree, pending, by_session, pending_compare)
RB_GENERATE(pending_tree, pending, by_session, pending_compare)

struct pending *broker_unfinished(
    const struct broker *b, const struct queue *q, uint64_t session)
{
	struct pending *p = RB_ROOT(&b->pendings);
	int order;
	while (p && (order = compare(session, q->id, p)) != 0)
		p = order < 0 ? RB_LEFT(p, by_session) : RB_RIGHT(p, by_session);
	return p;
}

struct pending *broker_unfinished_of(const struct broker *b, uint64_t session)
{
	struct pending *p = RB_ROOT(&b->pendings), *found = NULL;
	while (p) {
		if (p->session == session)
			found = p;
		p = session <= p->session ? RB_LEFT(p, by_session) : RB_RIGHT(p, by_session);
	}
	return found;
}

bool broker_unfinished_queues(
    const struct broker *b, const struct pending *first, struct targets *t)
{
	struct pending *p = broker_unfinished_of(b, first->session);
	t->queue[0] = first->queue;
	t->count = 1;
	for (; p && p->session == first->session; p = RB_NEXT(pending_tree, &b->pendings, p)) {
		if (p == first || p->n != first->n || p->large->parts != first->large->parts)
			continue;
		assert(t->count < SHARES_MAX);
		t->queue[t->count++] = p->queue;
	}
	return t->count == first->shares || RMQ_VARIANT(SEVERAL_APART);
}

void broker_unfinished_add(struct broker *b, struct pending *p, struct lease_time now)
{
	p->newest_ms = now.ms;
	RB_INSERT(pending_tree, &b->pendings, p);
	TAILQ_INSERT_TAIL(&b->pendings_by_age, p, by_age);
	TAILQ_INSERT_TAIL(&p->queue->unfinished, p, of_queue);
	p->queue->unfinished_bytes += p->weight;
	b->pendings_count++;
	b->pendings_parts += p->large->parts;
}

/* Room for one piece more: it doubles when it is used up. */
static void grow(struct pending *p)
{
	uint32_t parts = p->large->parts;
	if ((parts & (parts - 1)) != 0)
		return;
	struct large *large = large_new(2 * parts);
	memcpy(large, p->large, sizeof(*large) + parts * sizeof(large->part[0]));
	free(p->large);
	p->large = large;
}

void broker_unfinished_piece(struct broker *b, struct pending *p, struct record *r,
    uint16_t offset, uint32_t bytes, uint32_t weight, struct lease_time now)
{
	if (p->large->parts > 0)
		grow(p);
	p->large->part[p->large->parts].record = r;
	p->large->part[p->large->parts].offset = offset;
	p->large->parts++;
	b->pendings_parts++;
	p->newest_ms = now.ms;
	TAILQ_REMOVE(&b->pendings_by_age, p, by_age);
	TAILQ_INSERT_TAIL(&b->pendings_by_age, p, by_age);
	p->bytes += bytes;
	p->weight += weight;
	p->queue->unfinished_bytes += weight;
}

void broker_unfinished_free(struct broker *b, struct pending *p)
{
	RB_REMOVE(pending_tree, &b->pendings, p);
	TAILQ_REMOVE(&b->pendings_by_age, p, by_age);
	TAILQ_REMOVE(&p->queue->unfinished, p, of_queue);
	p->queue->unfinished_bytes -= p->weight;
	b->pendings_count--;
	b->pendings_parts -= p->large->parts;
	free(p->large);
	free(p);
}

static void drop(struct broker *b, const struct pending *p)
{
	broker_works(b, p->large->parts);
	broker_emit_chunks_dropped(b, &(struct event_chunks_dropped){p->queue->id, p->session});
}

void broker_drop_unfinished(struct broker *b, uint64_t session)
{
	struct pending *p;
	while ((p = broker_unfinished_of(b, session)))
		drop(b, p);
}

bool broker_drop_unfinished_in(struct broker *b, struct queue *q, uint64_t steps)
{
	const struct pending *p;
	uint64_t end = b->work + steps;
	while ((p = TAILQ_FIRST(&q->unfinished)) && b->work < end)
		drop(b, p);
	return !p;
}

uint64_t broker_unfinished_until(const struct broker *b)
{
	const struct pending *p = TAILQ_FIRST(&b->pendings_by_age);
	return p ? p->newest_ms + UNFINISHED_MS : UINT64_MAX;
}

void broker_expire_unfinished(struct broker *b)
{
	uint64_t end = b->work + b->ledger.limits.turn_steps;
	while (b->work < end &&
	       broker_unfinished_until(b) <= min_u64(b->lease_now.ms, b->heard.ms))
		drop(b, TAILQ_FIRST(&b->pendings_by_age));
}
