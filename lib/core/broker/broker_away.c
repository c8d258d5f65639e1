/*
 * Queues NAME.away that have something ready and no receiver, for the forwarder to other cells.  Each
 * stands in a tree, by when it came there, and leaves it when it has a receiver or nothing more is ready; so
 * what there is costs nothing, however many such queues there are.
 *
 * Who asks is told of those that it may receive from, each of which is told of once.  What it was not told of
 * it does not look at again: it has come up to a place in the tree, and a queue that comes later stands behind
 * that.  So a queue that nobody takes costs a look of each client that waits, once; and all looks of a
 * turn together have a limit.
 *
 * All of it is in memory: a daemon that begins finds them anew, and a forwarder that asks for all is told of
 * what another one was told before.
 */
#include "core/broker/broker_state.h"

#include <stdlib.h>

#include "core/base/memory.h"

struct away {
	RB_ENTRY(away) by_order;
	struct queue *queue;
	uint64_t order;
	uint64_t told; /* the connection; 0: none */
	struct lease_time since;
};

static int away_compare(const struct away *a, const struct away *b)
{
	return a->order < b->order ? -1 : a->order > b->order;
}

RB_PROTOTYPE(away_tree, away, by_order, away_compare)
RB_GENERATE(away_tree, away, by_order, away_compare)

/* Who was told of it, and is still there; NULL: nobody takes it. */
static struct conn *taker(struct broker *b, const struct away *a)
{
	return a->told ? broker_conn(b, a->told) : NULL;
}

static void put_in(struct broker *b, struct queue *q)
{
	struct away *a = memory_new(sizeof(*a));
	*a = (struct away){.queue = q, .order = ++b->away_order, .since = b->lease_now};
	RB_INSERT(away_tree, &b->aways, a);
	q->away = a;
	b->aways_untaken++;
	b->away_due = true;
}

static void take_out(struct broker *b, struct queue *q)
{
	struct conn *c = q->away ? taker(b, q->away) : NULL;
	if (!q->away)
		return;
	if (c)
		c->away.told--;
	else
		b->aways_untaken--;
	RB_REMOVE(away_tree, &b->aways, q->away);
	free(q->away);
	q->away = NULL;
}

void broker_away_note(struct broker *b, struct queue *q, bool any)
{
	bool waits = any && TAILQ_EMPTY(&q->subs);
	if (!waits)
		take_out(b, q);
	else if (!q->away)
		put_in(b, q);
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

static void asks_no_more(struct broker *b, struct conn *c)
{
	if (!c->away.asks)
		return;
	TAILQ_REMOVE(&b->away_asking, c, away_asking);
	b->away_asking_count--;
	c->away.asks = false;
}

void broker_away_end(struct broker *b, struct conn *c)
{
	asks_no_more(b, c);
	b->aways_untaken += c->away.told;
	c->away.told = 0;
}

static void tell(struct broker *b, struct conn *c, struct away *a)
{
	struct conn *other = taker(b, a);
	if (other)
		other->away.told--;
	else
		b->aways_untaken--;
	a->told = c->id;
	c->away.told++;
}

/*
 * Those that it may receive from, of the next `most` that it has not looked at; the others wait for somebody
 * else.  False: there are more to be looked at.
 */
static bool look(struct broker *b, struct conn *c, uint32_t most)
{
	uint8_t list[64 * (1 + NAME_FULL_MAX)], bytes[sizeof(list) + 64];
	struct writer names = writer_of(list, sizeof(list)),
		      out = writer_of(bytes, sizeof(bytes));
	struct away from = {.order = c->away.seen + 1};
	struct away *a = RB_NFIND(away_tree, &b->aways, &from);
	for (; a && most > 0; a = RB_NEXT(away_tree, &b->aways, a), most--) {
		c->away.seen = a->order;
		broker_works(b, 1);
		if (a->order > c->away.again && taker(b, a))
			continue;
		broker_works(b, broker_rights_steps(c));
		if (!broker_granted(c, RIGHT_RECV, queue_name(a->queue)))
			continue;
		tell(b, c, a);
		put_str(&names, queue_name(a->queue));
	}
	if (!a)
		c->away.seen = b->away_order;
	if (names.len == 0 && (a || !c->away.now))
		return !a;
	wire_put_aways(&out, &(struct wire_aways){c->away.req, a != NULL, NO_TAGS,
				 slice_of(names.p, names.len)});
	broker_send(b, c->id, &out);
	asks_no_more(b, c);
	return true;
}

static void answer_none(struct broker *b, struct conn *c)
{
	ANSWER(b, c, aways, c->away.req, false, NO_TAGS, NO_TAGS);
	asks_no_more(b, c);
}

/* The one that has asked for longest is answered, for one more to have its place: first of the same user. */
static void make_place(struct broker *b, const struct conn *c)
{
	struct conn *i, *first = NULL;
	uint32_t count = 0;
	TAILQ_FOREACH (i, &b->away_asking, away_asking) {
		if (i->owner != c->owner || !owner_known(c->owner))
			continue;
		first = first ? first : i;
		count++;
	}
	if (count >= AWAY_ASKERS_OF_ONE)
		answer_none(b, first);
	else if (b->away_asking_count >= AWAY_ASKERS_MAX)
		answer_none(b, TAILQ_FIRST(&b->away_asking));
}

void broker_away(struct broker *b, struct conn *c, const struct wire_away *m)
{
	if (c->away.asks)
		answer_none(b, c);
	make_place(b, c);
	c->away.asks = true;
	c->away.now = m->flags & AWAY_NOW;
	c->away.req = m->req;
	TAILQ_INSERT_TAIL(&b->away_asking, c, away_asking);
	b->away_asking_count++;
	if (m->flags & AWAY_ALL) {
		c->away.seen = 0;
		c->away.again = b->away_order;
	}
	b->away_due = true;
}

void broker_away_rights(struct conn *c)
{
	c->away.seen = 0;
}

void broker_away_step(struct broker *b)
{
	struct conn *c, *next;
	if (!b->away_due || b->away_asking_count == 0)
		return;
	uint32_t most = AWAY_NAMES_MAX / b->away_asking_count;
	b->away_due = false;
	for (c = TAILQ_FIRST(&b->away_asking); c; c = next) {
		next = TAILQ_NEXT(c, away_asking);
		b->away_due |= !look(b, c, most > 0 ? most : 1);
	}
}

bool broker_away_goes_on(const struct broker *b)
{
	return b->away_due && b->away_asking_count > 0;
}

/* ---- what nobody takes ---- */

bool broker_away_untaken(struct broker *b, const struct queue *q, uint64_t *ms)
{
	if (!q->away || taker(b, q->away))
		return false;
	*ms = b->lease_now.ms - q->away->since.ms;
	return true;
}

uint64_t broker_untaken(struct broker *b, struct slice *one)
{
	struct away *a = NULL;
	if (one && b->aways_untaken > 0)
		RB_FOREACH (a, away_tree, &b->aways)
			if (!taker(b, a))
				break;
	if (a)
		*one = queue_name(a->queue);
	return b->aways_untaken;
}

bool broker_has_forwarder(const struct broker *b)
{
	return b->away_asking_count > 0;
}
