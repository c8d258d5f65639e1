#include "core/queue/positions.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/limits.h"
#include "core/base/memory.h"

#define POSITION_PART_MAX (32 + INPUT_SENT_TAGS_SIZE) /* but for its name */

static int position_compare(const struct position *a, const struct position *b)
{
	return strcmp(a->name, b->name);
}

RB_PROTOTYPE(position_tree, position, by_name, position_compare)
RB_GENERATE(position_tree, position, by_name, position_compare)

void positions_init(struct positions *p, uint64_t *part_bytes)
{
	RB_INIT(&p->by_name);
	TAILQ_INIT(&p->by_age);
	p->count = 0;
	p->part_bytes = part_bytes;
}

static void forget(struct positions *p, struct position *one)
{
	RB_REMOVE(position_tree, &p->by_name, one);
	TAILQ_REMOVE(&p->by_age, one, by_age);
	*p->part_bytes -= POSITION_PART_MAX + strlen(one->name);
	p->count--;
	free(one);
}

void positions_deinit(struct positions *p)
{
	struct position *one;
	while ((one = TAILQ_FIRST(&p->by_age)))
		forget(p, one);
}

static struct position *find(const struct positions *p, struct slice name)
{
	struct position *one = RB_ROOT(&p->by_name);
	while (one) {
		int order = slice_cmp(name, slice_str(one->name));
		if (order == 0)
			break;
		one = order < 0 ? RB_LEFT(one, by_name) : RB_RIGHT(one, by_name);
	}
	return one;
}

const struct position *positions_find(const struct positions *p, struct slice name)
{
	return find(p, name);
}

void positions_set(
    struct positions *p, struct slice name, uint64_t at, const struct input_sent *sent)
{
	struct position *one = find(p, name);
	if (one) {
		TAILQ_REMOVE(&p->by_age, one, by_age);
	} else {
		if (p->count >= POSITIONS_MAX)
			forget(p, TAILQ_FIRST(&p->by_age));
		one = memory_new(sizeof(*one) + name.len + 1);
		memcpy(one->name, name.data, name.len);
		RB_INSERT(position_tree, &p->by_name, one);
		*p->part_bytes += POSITION_PART_MAX + name.len;
		p->count++;
	}
	TAILQ_INSERT_TAIL(&p->by_age, one, by_age);
	one->at = at;
	one->sent = *sent;
}
