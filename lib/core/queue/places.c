#include "core/queue/places.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/base/name.h"

static int by_name(const struct place *a, const struct place *b)
{
	return slice_cmp(place_name(a), place_name(b));
}

RB_PROTOTYPE(place_tree, place, by_name, by_name)
RB_GENERATE(place_tree, place, by_name, by_name)

void places_init(struct places *p, struct owner_tree *owners, uint64_t *part_bytes)
{
	*p = (struct places){.part_bytes = part_bytes, .owners = owners};
	RB_INIT(&p->by_name);
	TAILQ_INIT(&p->all);
}

static uint64_t part_max(const struct place *one)
{
	return PLACE_PART_MAX + one->name_len + one->cell_len +
	       (uint64_t)one->copies_count * (COPY_PART_MAX + one->name_len);
}

static void remove_copy(struct places *p, struct place *one, struct copy *c)
{
	*p->part_bytes -= part_max(one);
	TAILQ_REMOVE(&one->copies, c, link);
	TAILQ_REMOVE(&p->all, c, of_all);
	one->copies_count--;
	p->copies--;
	c->maker->copies--;
	owner_drop(p->owners, c->maker);
	free(c);
	*p->part_bytes += part_max(one);
}

static void set_maker(struct places *p, struct place *one, struct owner *maker)
{
	if (one->maker) {
		one->maker->places--;
		owner_drop(p->owners, one->maker);
	}
	one->maker = maker;
	if (maker)
		maker->places++;
}

static void end(struct places *p, struct place *one)
{
	struct copy *c;
	while ((c = TAILQ_FIRST(&one->copies)))
		remove_copy(p, one, c);
	*p->part_bytes -= part_max(one);
	RB_REMOVE(place_tree, &p->by_name, one);
	p->count--;
	set_maker(p, one, NULL);
	free(one->cell);
	free(one);
}

void places_deinit(struct places *p)
{
	struct place *one;
	while ((one = RB_ROOT(&p->by_name)))
		end(p, one);
}

struct place *places_find(const struct places *p, struct slice name)
{
	struct place *one = RB_ROOT(&p->by_name);
	int order;
	while (one && (order = slice_cmp(name, place_name(one))) != 0)
		one = order < 0 ? RB_LEFT(one, by_name) : RB_RIGHT(one, by_name);
	return one;
}

struct place *places_after(const struct places *p, struct slice name)
{
	struct place *one = RB_ROOT(&p->by_name), *found = NULL;
	while (one) {
		bool before = slice_cmp(place_name(one), name) <= 0;
		if (!before)
			found = one;
		one = before ? RB_RIGHT(one, by_name) : RB_LEFT(one, by_name);
	}
	return found;
}

struct place *places_next(struct place *one)
{
	return RB_NEXT(place_tree, NULL, one);
}

struct copy *place_copy(const struct place *one, struct slice token)
{
	struct copy *c;
	TAILQ_FOREACH (c, &one->copies, link)
		if (slice_eq(slice_of(c->token, sizeof(c->token)), token))
			return c;
	return NULL;
}

bool place_valid(uint8_t state, struct slice name, struct slice cell, struct slice token)
{
	if (!name_valid(name) || (token.len > 0 && token.len != CELL_TOKEN_SIZE))
		return false;
	if (state == PLACE_AWAY)
		return name_valid_node(cell);
	return (state == PLACE_HERE || state == PLACE_NONE) && cell.len == 0 && token.len == 0;
}

static struct place *make(struct places *p, struct slice name)
{
	struct place *one = places_find(p, name);
	if (one)
		return one;
	one = memory_new(sizeof(*one) + name.len);
	TAILQ_INIT(&one->copies);
	one->name_len = (uint8_t)name.len;
	memcpy(one->name, name.data, name.len);
	RB_INSERT(place_tree, &p->by_name, one);
	p->count++;
	*p->part_bytes += part_max(one);
	return one;
}

/* An entry that says nothing is none. */
static void tidy(struct places *p, struct place *one)
{
	if (one->state == PLACE_NONE && one->copies_count == 0)
		end(p, one);
}

void places_set(struct places *p, uint8_t state, struct slice name, struct slice cell,
    struct slice token, struct owner *maker)
{
	struct place *one = make(p, name);
	*p->part_bytes -= part_max(one);
	free(one->cell);
	one->cell = NULL;
	one->state = state;
	one->cell_len = (uint8_t)cell.len;
	one->token_len = (uint8_t)token.len;
	if (cell.len > 0) {
		one->cell = memory_new(cell.len);
		memcpy(one->cell, cell.data, cell.len);
	}
	if (token.len > 0)
		memcpy(one->token, token.data, token.len);
	*p->part_bytes += part_max(one);
	if (state == PLACE_NONE) {
		owner_drop(p->owners, maker);
		maker = NULL;
	}
	set_maker(p, one, maker);
	tidy(p, one);
}

void places_add_copy(struct places *p, struct slice name, struct slice token, uint64_t number,
    uint64_t since_ms, struct slice from, struct owner *maker)
{
	struct place *one = make(p, name);
	struct copy *c = place_copy(one, token), *after = TAILQ_LAST(&one->copies, copy_list);
	if (number > p->number)
		p->number = number;
	if (c) {
		owner_drop(p->owners, maker);
		return;
	}
	c = memory_new(sizeof(*c));
	c->maker = maker;
	c->maker->copies++;
	c->number = number;
	c->since_ms = since_ms;
	c->from_len = (uint8_t)from.len;
	if (from.len > 0)
		memcpy(c->from, from.data, from.len);
	memcpy(c->token, token.data, sizeof(c->token));
	*p->part_bytes -= part_max(one);
	/* In a recovery, a later piece may know of an earlier one. */
	while (after && after->number > number)
		after = TAILQ_PREV(after, copy_list, link);
	if (after)
		TAILQ_INSERT_AFTER(&one->copies, after, c, link);
	else
		TAILQ_INSERT_HEAD(&one->copies, c, link);
	TAILQ_INSERT_TAIL(&p->all, c, of_all);
	c->of = one;
	one->copies_count++;
	p->copies++;
	*p->part_bytes += part_max(one);
}

void places_drop_copy(struct places *p, struct slice name, struct slice token)
{
	struct place *one = places_find(p, name);
	struct copy *c = one ? place_copy(one, token) : NULL;
	if (!c)
		return;
	remove_copy(p, one, c);
	tidy(p, one);
}
