/*
 * Errands: what is asked for once and may take more than a turn.  It is gone through in pieces,
 * between the frames of other clients, and each piece makes events of its own: what is not gone
 * through yet is as if nobody had asked.  A command's number is taken, and it is answered, with
 * the last piece; a client that lost its connection, or a daemon, before asks again, and what is
 * left is done.  A piece costs so many steps as limits.turn_steps says, and so do all in a turn.
 */
#include "core/broker/broker_state.h"

#include <assert.h>

#include "core/base/memory.h"
#include "core/base/variant.h"

/* ---- a queue's messages go ---- */

/*
 * Messages before this are a piece of q: so many steps or little more, one for each range and
 * batch, and with keys one for each message.  `below`: all are, or all that are below it.
 */
static uint64_t piece_end(struct broker *b, struct queue *q, uint64_t below, uint64_t steps)
{
	struct batch *m = queue_batch_at(q, 0);
	struct range *r = queue_range_at(q, 0);
	uint64_t to = 0, end = b->work + steps;
	while (m && r && to < below) {
		uint64_t batch_end = m->first + m->count, range_end = r->first + r->span;
		uint64_t from = m->first > r->first ? m->first : r->first;
		uint64_t stop = min_u64(batch_end, range_end);
		if (b->work >= end)
			return to;
		if (to > from)
			from = to;
		/* Of a lease each run of live messages is told apart. */
		if (r->state == STATE_LEASED)
			broker_works(b, batch_runs_most(m, r->live));
		to = from < stop ? broker_goes_to(b, q, from, stop, end) : stop;
		if (to < stop)
			return min_u64(to, below);
		if (batch_end == to)
			m = queue_batch_next(m);
		if (range_end == to)
			r = queue_range_next(r);
	}
	return below;
}

/* Whether all messages below e->at may go with the event that is made next: few are left. */
static bool empty(struct broker *b, struct queue *q, const struct errand *e, uint64_t steps)
{
	uint64_t to = piece_end(b, q, e->at, steps);
	broker_tell_gone(b, q, 0, to);
	if (to < e->at)
		broker_emit_purge(b, &(struct event_purge){q->id, to});
	return to == e->at || RMQ_VARIANT(PURGE_HALF);
}

static bool purge(struct broker *b, struct errand *e, struct queue *q, uint64_t steps)
{
	struct conn *c = broker_conn(b, e->conn);
	if (!broker_drop_unfinished_in(b, q, steps) || !empty(b, q, e, steps))
		return false;
	broker_reserve(b, 1024);
	if (!RMQ_VARIANT(PURGE_HALF))
		broker_emit_purge(b, &(struct event_purge){q->id, e->at});
	broker_taken(b, c, e->n);
	return true;
}

/* Empties q, which is to go.  Whether it may be removed with the event that is made next. */
static bool empty_to_remove(
    struct broker *b, struct queue *q, const struct errand *e, uint64_t steps)
{
	bool done = broker_drop_unfinished_in(b, q, steps) && empty(b, q, e, steps);
	/* More is left than one turn empties: what came meanwhile could outrun it. */
	if (!done && e->at > 0 && !q->ends) {
		q->ends = true;
		broker_unbind_all(b, q);
	}
	return done;
}

static bool remove_queue(struct broker *b, struct errand *e, struct queue *q, uint64_t steps)
{
	struct conn *c = broker_conn(b, e->conn);
	if (!empty_to_remove(b, q, e, steps))
		return false;
	/* Sent while the unfinished ones went. */
	if (e->at == 0 && queue_total(q) > 0) {
		broker_fail_command(b, c, e->n, RMQ_E_NOT_EMPTY);
		return true;
	}
	broker_end_subscriptions(b, q);
	broker_reserve(b, 1024);
	broker_emit_remove(b, &(struct event_remove){q->id});
	broker_taken(b, c, e->n);
	return true;
}

/* The queue of an ephemeral subscription that has ended. */
static bool end_queue(struct broker *b, struct errand *e, uint64_t steps)
{
	struct queue *q = broker_queue(b, e->queue);
	if (!q)
		return true;
	if (!empty_to_remove(b, q, e, steps))
		return false;
	broker_end_subscriptions(b, q);
	broker_emit_remove(b, &(struct event_remove){q->id});
	return true;
}

/* Nobody waits for its end any more. */
static void stays(struct broker *b, struct queue *q)
{
	q->ends = false;
	broker_roomy(b, q);
}

/* Of a connection.  Whether it is over, also since nobody waits for it any more. */
static bool command_step(struct broker *b, struct errand *e, uint64_t steps)
{
	struct conn *c = broker_conn(b, e->conn);
	struct queue *q = broker_queue(b, e->queue);
	bool done = true;
	if (!c || c->closed) {
		if (q && e->kind == ERRAND_REMOVE)
			stays(b, q);
		return true;
	}
	if (!q)
		broker_fail_command(b, c, e->n, RMQ_E_NO_QUEUE);
	else if (e->kind == ERRAND_PURGE)
		done = purge(b, e, q, steps);
	else
		done = remove_queue(b, e, q, steps);
	c->errand = !done;
	return done;
}

/* ---- what a session holds is not held any more ---- */

/* Given back uncounted by a client that ends, or failed by one that died. */
static bool held_step(struct broker *b, struct errand *e, uint64_t steps)
{
	struct session *s = broker_session_find(b, e->session);
	uint64_t end = b->work + steps;
	struct range *r;
	while (s && (r = session_held_next(s, e->queue, e->at))) {
		bool late = b->work >= end;
		if (late && !RMQ_VARIANT(HELD_HALF))
			return false;
		if (e->kind == ERRAND_DIED)
			r = broker_fail_piece(b, r, end);
		else
			broker_works_on(b, r->queue, r->live);
		/* What becomes of r is no matter to the others. */
		e->queue = r->queue->id;
		e->at = r->first + r->span;
		if (r->detached || r->lease > e->lease || late)
			continue;
		if (e->kind == ERRAND_LEAVE)
			broker_give_back(b, r);
		else
			broker_fail(b, r, slice_str("receiver died"), ENDED_EXPIRED);
	}
	if (s && e->kind == ERRAND_LEAVE)
		broker_session_left(b, s);
	return true;
}

/* ---- all of them ---- */

static bool step(struct broker *b, struct errand *e, uint64_t steps)
{
	switch (e->kind) {
	case ERRAND_PURGE:
	case ERRAND_REMOVE:
		return command_step(b, e, steps);
	case ERRAND_LEAVE:
	case ERRAND_DIED:
		return held_step(b, e, steps);
	case ERRAND_END:
		return end_queue(b, e, steps);
	case ERRAND_UNBIND:
		broker_unbind_away(b, e->queue);
		break;
	case ERRAND_DELIVER:
		b->host.deliverable(b->host.arg, e->conn);
	}
	return true;
}

static void add(struct broker *b, struct errand e)
{
	struct errand *kept = memory_new(sizeof(*kept));
	*kept = e;
	TAILQ_INSERT_TAIL(&b->errands, kept, link);
}

void broker_errand_later(struct broker *b, struct errand e)
{
	add(b, e);
}

void broker_errand(struct broker *b, struct errand e)
{
	if (!step(b, &e, b->ledger.limits.turn_steps))
		add(b, e);
}

void broker_deliver_later(struct broker *b, uint64_t conn)
{
	add(b, (struct errand){.kind = ERRAND_DELIVER, .conn = conn});
}

/* Sessions that are over let go of what they held, unless it went by itself. */
static void let_go(struct broker *b, uint64_t end)
{
	struct session *s;
	while ((s = TAILQ_FIRST(&b->ended)) && b->work < end) {
		TAILQ_REMOVE(&b->ended, s, closing);
		uint64_t steps = min_u64(s->held_count, end - b->work);
		broker_works(b, 1 + steps);
		if (!session_let_go(s, (uint32_t)steps))
			TAILQ_INSERT_HEAD(&b->ended, s, closing);
	}
}

void broker_errands_step(struct broker *b)
{
	uint64_t end = b->work + b->ledger.limits.turn_steps;
	struct errand *e;
	while ((e = TAILQ_FIRST(&b->errands)) && b->work < end) {
		TAILQ_REMOVE(&b->errands, e, link);
		if (step(b, e, end - b->work))
			free(e);
		else
			TAILQ_INSERT_TAIL(&b->errands, e, link);
	}
	let_go(b, b->work + b->ledger.limits.turn_steps);
}

bool broker_errands_wait(const struct broker *b)
{
	return !TAILQ_EMPTY(&b->errands) || !TAILQ_EMPTY(&b->ended);
}

void broker_errands_free(struct broker *b)
{
	struct errand *e;
	struct session *s;
	while ((e = TAILQ_FIRST(&b->errands))) {
		TAILQ_REMOVE(&b->errands, e, link);
		free(e);
	}
	while ((s = TAILQ_FIRST(&b->ended))) {
		TAILQ_REMOVE(&b->ended, s, closing);
		while (!session_let_go(s, UINT32_MAX))
			;
	}
}
