/*
 * Clients that wait until a queue holds fewer messages than a number, or more: at the end of each
 * turn all of them are looked at, so their number has a limit.
 */
#include "core/broker/broker_state.h"

static void tell(struct broker *b, struct conn *c, enum rmq_error code, uint64_t messages)
{
	uint8_t bytes[64];
	struct writer w = writer_of(bytes, sizeof(bytes));
	wire_put_watched(&w, &(struct wire_watched){c->watch.req, (uint8_t)code, messages});
	broker_send(b, c->id, &w);
}

void broker_watch_end(struct broker *b, struct conn *c)
{
	if (c->watch.what == 0)
		return;
	TAILQ_REMOVE(&b->watching, c, watching);
	b->watching_count--;
	c->watch.what = 0;
}

void broker_watch(struct broker *b, struct conn *c, const struct wire_watch *m)
{
	const struct queue *q = broker_queue_named(b, m->queue);
	broker_watch_end(b, c);
	c->watch.req = m->req;
	if (!q || b->watching_count >= WATCHES_MAX) {
		tell(b, c, q ? RMQ_E_LIMIT : RMQ_E_NO_QUEUE, 0);
		return;
	}
	c->watch.queue = q->id;
	c->watch.messages = m->messages;
	c->watch.what = m->what;
	TAILQ_INSERT_TAIL(&b->watching, c, watching);
	b->watching_count++;
}

static bool is_so(const struct conn *c, uint64_t messages)
{
	return c->watch.what == WATCH_BELOW ? messages < c->watch.messages
					    : messages > c->watch.messages;
}

void broker_watch_step(struct broker *b)
{
	struct conn *c, *next;
	for (c = TAILQ_FIRST(&b->watching); c; c = next) {
		const struct queue *q = broker_queue(b, c->watch.queue);
		next = TAILQ_NEXT(c, watching);
		broker_works(b, 1);
		if (q && !is_so(c, queue_total(q)))
			continue;
		tell(b, c, q ? RMQ_E_OK : RMQ_E_NO_QUEUE, q ? queue_total(q) : 0);
		broker_watch_end(b, c);
	}
}
