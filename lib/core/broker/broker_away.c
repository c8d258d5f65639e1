/*
 * Queues NAME.away that have something ready and no receiver, for the forwarder to other cells.  Each
 * stands in a list, of those that nobody was told of yet, or of the others, and leaves it when it has a
 * receiver or nothing more is ready; so what there is costs nothing, however many such queues there are.
 *
 * All of it is in memory: a daemon that begins finds them anew, and a forwarder that asks for all is told of
 * what another one was told before.
 */
#include "core/broker/broker_state.h"

enum { AWAY_UNTOLD = 1, AWAY_TOLD = 2 };

static void take_out(struct broker *b, struct queue *q)
{
	if (q->away == AWAY_UNTOLD)
		TAILQ_REMOVE(&b->aways, q, aways);
	else if (q->away == AWAY_TOLD)
		TAILQ_REMOVE(&b->aways_told, q, aways);
	q->away = 0;
}

void broker_away_note(struct broker *b, struct queue *q, bool any)
{
	bool waits = any && TAILQ_EMPTY(&q->subs);
	if (!waits) {
		take_out(b, q);
	} else if (q->away == 0) {
		q->away = AWAY_UNTOLD;
		TAILQ_INSERT_TAIL(&b->aways, q, aways);
	}
}

void broker_away_gone(struct broker *b, struct queue *q)
{
	take_out(b, q);
}

void broker_away_find(struct broker *b)
{
	struct queue *q;
	RB_FOREACH (q, queue_id_tree, &b->queues_by_id)
		if (q->is_away)
			broker_busy(b, q);
}

void broker_away_end(struct broker *b, struct conn *c)
{
	if (!c->away.asks)
		return;
	TAILQ_REMOVE(&b->away_asking, c, away_asking);
	b->away_asking_count--;
	c->away.asks = false;
}

/* Those that it may receive from; the others wait for somebody else. */
static void tell(struct broker *b, struct conn *c)
{
	uint8_t list[64 * (1 + NAME_FULL_MAX)], bytes[sizeof(list) + 64];
	struct writer names = writer_of(list, sizeof(list)),
		      out = writer_of(bytes, sizeof(bytes));
	struct queue *q, *last = TAILQ_LAST(&b->aways, away_list),
			 *next = TAILQ_FIRST(&b->aways);
	for (uint32_t i = 0; i < AWAY_NAMES_MAX && next; i++) {
		q = next;
		next = q == last ? NULL : TAILQ_NEXT(q, aways);
		broker_works(b, 1 + broker_rights_steps(c));
		take_out(b, q);
		if (broker_granted(c, RIGHT_RECV, queue_name(q))) {
			q->away = AWAY_TOLD;
			TAILQ_INSERT_TAIL(&b->aways_told, q, aways);
			put_str(&names, queue_name(q));
		} else {
			q->away = AWAY_UNTOLD;
			TAILQ_INSERT_TAIL(&b->aways, q, aways);
		}
	}
	if (names.len == 0 && !c->away.now)
		return;
	wire_put_aways(&out, &(struct wire_aways){c->away.req, next != NULL, NO_TAGS,
				 slice_of(names.p, names.len)});
	broker_send(b, c->id, &out);
	broker_away_end(b, c);
}

static void answer_none(struct broker *b, struct conn *c)
{
	ANSWER(b, c, aways, c->away.req, false, NO_TAGS, NO_TAGS);
	broker_away_end(b, c);
}

void broker_away(struct broker *b, struct conn *c, const struct wire_away *m)
{
	struct queue *q;
	if (c->away.asks)
		answer_none(b, c);
	if (b->away_asking_count >= AWAY_ASKERS_MAX)
		answer_none(b, TAILQ_FIRST(&b->away_asking));
	c->away.asks = true;
	c->away.now = m->flags & AWAY_NOW;
	c->away.req = m->req;
	TAILQ_INSERT_TAIL(&b->away_asking, c, away_asking);
	b->away_asking_count++;
	if (!(m->flags & AWAY_ALL))
		return;
	TAILQ_FOREACH (q, &b->aways_told, aways) {
		broker_works(b, 1);
		q->away = AWAY_UNTOLD;
	}
	TAILQ_CONCAT(&b->aways, &b->aways_told, aways);
}

void broker_away_step(struct broker *b)
{
	struct conn *c, *next;
	for (c = TAILQ_FIRST(&b->away_asking); c; c = next) {
		next = TAILQ_NEXT(c, away_asking);
		if (!TAILQ_EMPTY(&b->aways) || c->away.now)
			tell(b, c);
	}
}
