#include "core/queue/by_key.h"

#include <assert.h>
#include <stdlib.h>

#include "core/base/memory.h"
#include "core/base/variant.h"
#include "core/queue/queue.h"

struct key_group {
	RB_ENTRY(key_group) by_number;
	RB_ENTRY(key_group) by_first;  /* of its receiver */
	struct key_receiver *receiver; /* NULL: nobody is present */
	struct ready_tree aside;       /* never empty */
	uint32_t number;
};

static int number_compare(const struct key_group *a, const struct key_group *b)
{
	return a->number < b->number ? -1 : a->number > b->number;
}

static struct range *first_of(const struct key_group *g)
{
	return RB_MIN(ready_tree, (struct ready_tree *)(uintptr_t)&g->aside);
}

static int group_compare(const struct key_group *a, const struct key_group *b)
{
	return range_order(first_of(a), first_of(b));
}

RB_PROTOTYPE(group_tree, key_group, by_number, number_compare)
RB_PROTOTYPE(group_order, key_group, by_first, group_compare)
RB_GENERATE(group_tree, key_group, by_number, number_compare)
RB_GENERATE(group_order, key_group, by_first, group_compare)

static struct key_group *first_group(const struct key_receiver *r)
{
	return RB_MIN(group_order, (struct group_order *)(uintptr_t)&r->groups);
}

static int receiver_compare(const struct key_receiver *a, const struct key_receiver *b)
{
	return group_compare(first_group(a), first_group(b));
}

RB_PROTOTYPE(receiver_order, key_receiver, by_first, receiver_compare)
RB_GENERATE(receiver_order, key_receiver, by_first, receiver_compare)

void by_key_init(struct by_key *k)
{
	TAILQ_INIT(&k->present);
	RB_INIT(&k->groups);
	RB_INIT(&k->asking);
	k->present_count = k->groups_count = 0;
}

void key_receiver_init(struct key_receiver *r, struct subscription *sub, uint64_t id)
{
	*r = (struct key_receiver){.sub = sub, .id = id};
	RB_INIT(&r->groups);
}

/* ---- whose a group is ---- */

uint32_t by_key_group(uint64_t hash)
{
	return (uint32_t)(hash % KEY_GROUPS);
}

/* The finalizer of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). */
static uint64_t weight(const struct key_receiver *r, uint32_t group)
{
	uint64_t z = r->id + (group + 1) * 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* A known-bad choice: all change hands with the number of receivers. */
static struct key_receiver *choose_by_count(const struct by_key *k, uint32_t group)
{
	struct key_receiver *r = TAILQ_FIRST(&k->present);
	for (uint32_t i = group % k->present_count; i > 0; i--)
		r = TAILQ_NEXT(r, of_queue);
	return r;
}

static struct key_receiver *choose(const struct by_key *k, uint32_t group)
{
	struct key_receiver *r, *best = NULL;
	uint64_t most = 0;
	if (RMQ_VARIANT(KEYS_RESHUFFLED) && k->present_count > 0)
		return choose_by_count(k, group);
	TAILQ_FOREACH (r, &k->present, of_queue) {
		uint64_t w = weight(r, group);
		if (best && w <= most)
			continue;
		best = r;
		most = w;
	}
	return best;
}

static struct key_group *find(struct by_key *k, uint32_t number)
{
	struct key_group key = {.number = number};
	return RB_FIND(group_tree, &k->groups, &key);
}

struct key_receiver *by_key_receiver(struct queue *q, uint64_t hash)
{
	uint32_t number = by_key_group(hash);
	const struct key_group *g = find(&q->by_key, number);
	return g ? g->receiver : choose(&q->by_key, number);
}

/* ---- order ---- */

/*
 * A group is taken out of the order before its first message changes, or its receiver, and put
 * into it afterwards; and with it its receiver.
 */
static void take_out(struct by_key *k, struct key_group *g)
{
	struct key_receiver *r = g->receiver;
	if (!r)
		return;
	if (r->asks)
		RB_REMOVE(receiver_order, &k->asking, r);
	RB_REMOVE(group_order, &r->groups, g);
	if (r->asks && !RB_EMPTY(&r->groups))
		RB_INSERT(receiver_order, &k->asking, r);
}

static void put_in(struct by_key *k, struct key_group *g)
{
	struct key_receiver *r = g->receiver;
	if (!r)
		return;
	if (r->asks && !RB_EMPTY(&r->groups))
		RB_REMOVE(receiver_order, &k->asking, r);
	RB_INSERT(group_order, &r->groups, g);
	if (r->asks)
		RB_INSERT(receiver_order, &k->asking, r);
}

static void give(struct by_key *k, struct key_group *g, struct key_receiver *r)
{
	take_out(k, g);
	g->receiver = r;
	put_in(k, g);
}

/* ---- receivers ---- */

uint64_t by_key_join(struct queue *q, struct key_receiver *r)
{
	struct by_key *k = &q->by_key;
	struct key_group *g;
	if (r->is_present)
		return 0;
	r->is_present = true;
	TAILQ_INSERT_TAIL(&k->present, r, of_queue);
	k->present_count++;
	RB_FOREACH (g, group_tree, &k->groups)
		if (!g->receiver || weight(r, g->number) > weight(g->receiver, g->number))
			give(k, g, r);
	return k->groups_count;
}

uint64_t by_key_leave(struct queue *q, struct key_receiver *r)
{
	struct by_key *k = &q->by_key;
	struct key_group *g;
	uint64_t steps = 0;
	if (!r->is_present)
		return 0;
	r->is_present = false;
	TAILQ_REMOVE(&k->present, r, of_queue);
	k->present_count--;
	for (; (g = first_group(r)); steps += 1 + k->present_count / 16)
		give(k, g, choose(k, g->number));
	return steps;
}

void by_key_asks(struct queue *q, struct key_receiver *r, bool asks)
{
	if (r->asks == asks)
		return;
	r->asks = asks;
	if (RB_EMPTY(&r->groups))
		return;
	if (asks)
		RB_INSERT(receiver_order, &q->by_key.asking, r);
	else
		RB_REMOVE(receiver_order, &q->by_key.asking, r);
}

/* ---- messages ---- */

struct range *by_key_first(struct queue *q, struct key_receiver **r)
{
	struct key_receiver *first = RB_MIN(receiver_order, &q->by_key.asking);
	if (!first)
		return NULL;
	*r = first;
	return first_of(first_group(first));
}

struct range *by_key_any(const struct queue *q)
{
	const struct key_group *g = RB_ROOT(&q->by_key.groups);
	return g ? first_of(g) : NULL;
}

void by_key_enter(struct queue *q, struct range *r)
{
	struct by_key *k = &q->by_key;
	struct key_group *g = find(k, r->group);
	if (g && range_order(r, first_of(g)) > 0) {
		RB_INSERT(ready_tree, &g->aside, r);
		return;
	}
	if (g) {
		take_out(k, g);
	} else {
		g = memory_new(sizeof(*g));
		RB_INIT(&g->aside);
		g->number = r->group;
		g->receiver = choose(k, g->number);
		RB_INSERT(group_tree, &k->groups, g);
		k->groups_count++;
	}
	RB_INSERT(ready_tree, &g->aside, r);
	put_in(k, g);
}

void by_key_leave_range(struct queue *q, struct range *r)
{
	struct by_key *k = &q->by_key;
	struct key_group *g = find(k, r->group);
	assert(g);
	r->waits = r->aside = false;
	if (r != first_of(g)) {
		RB_REMOVE(ready_tree, &g->aside, r);
		return;
	}
	take_out(k, g);
	RB_REMOVE(ready_tree, &g->aside, r);
	if (!RB_EMPTY(&g->aside)) {
		put_in(k, g);
		return;
	}
	RB_REMOVE(group_tree, &k->groups, g);
	k->groups_count--;
	free(g);
}
