#include "core/queue/records.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/queue/ledger.h"

struct records_block {
	size_t count;
	struct record *all[RECORDS_BLOCK];
};

void records_deinit(struct records *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->blocks[i]);
	free(s->blocks);
	*s = (struct records){0};
}

/* The block that has, or would have, `index`: the last that begins at it or before; else 0. */
static size_t find_block(const struct records *s, uint64_t index)
{
	size_t low = 0, high = s->count;
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;
		if (s->blocks[middle]->all[0]->index <= index)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* Place of the first one in it at `index` or after it; its count: none. */
static size_t find_place(const struct records_block *b, uint64_t index)
{
	size_t low = 0, high = b->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (b->all[middle]->index < index)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct record *records_from(const struct records *s, uint64_t index)
{
	size_t at = find_block(s, index);
	if (s->count == 0)
		return NULL;
	size_t place = find_place(s->blocks[at], index);
	if (place < s->blocks[at]->count)
		return s->blocks[at]->all[place];
	return at + 1 < s->count ? s->blocks[at + 1]->all[0] : NULL;
}

struct record *records_at(const struct records *s, uint64_t index)
{
	struct record *r = records_from(s, index);
	return r && r->index == index ? r : NULL;
}

/* A new block at place `at` of the blocks. */
static struct records_block *add_block(struct records *s, size_t at)
{
	s->blocks = memory_grow(s->blocks, s->count, &s->cap, sizeof(*s->blocks));
	memmove(s->blocks + at + 1, s->blocks + at, (s->count - at) * sizeof(*s->blocks));
	s->count++;
	return s->blocks[at] = memory_new(sizeof(*s->blocks[at]));
}

static void remove_block(struct records *s, size_t at)
{
	free(s->blocks[at]);
	s->count--;
	memmove(s->blocks + at, s->blocks + at + 1, (s->count - at) * sizeof(*s->blocks));
}

static void move_records(struct records_block *to, struct records_block *from, size_t place)
{
	size_t count = from->count - place;
	memcpy(to->all + to->count, from->all + place, count * sizeof(*to->all));
	to->count += count;
	from->count = place;
}

void records_insert(struct records *s, struct record *r)
{
	size_t at = find_block(s, r->index);
	struct records_block *b = s->count > 0 ? s->blocks[at] : add_block(s, 0);
	size_t place = find_place(b, r->index);
	if (b->count == RECORDS_BLOCK) {
		/* What comes at the end, as nearly all do, leaves the block full. */
		size_t half = place == RECORDS_BLOCK ? RECORDS_BLOCK : RECORDS_BLOCK / 2;
		struct records_block *next = add_block(s, at + 1);
		move_records(next, b, half);
		if (place >= half) {
			b = next;
			place -= half;
		}
	}
	assert(place == b->count || b->all[place]->index != r->index);
	memmove(b->all + place + 1, b->all + place, (b->count - place) * sizeof(*b->all));
	b->all[place] = r;
	b->count++;
}

/* Makes one block of two neighbours if it is half full then. */
static void join(struct records *s, size_t at)
{
	if (at + 1 >= s->count ||
	    s->blocks[at]->count + s->blocks[at + 1]->count > RECORDS_BLOCK / 2)
		return;
	move_records(s->blocks[at], s->blocks[at + 1], 0);
	remove_block(s, at + 1);
}

void records_remove(struct records *s, struct record *r)
{
	size_t at = find_block(s, r->index);
	struct records_block *b = s->blocks[at];
	size_t place = find_place(b, r->index);
	assert(place < b->count && b->all[place] == r);
	b->count--;
	memmove(b->all + place, b->all + place + 1, (b->count - place) * sizeof(*b->all));
	if (b->count == 0) {
		remove_block(s, at);
	} else if (b->count < RECORDS_BLOCK / 2) {
		join(s, at);
		if (at > 0)
			join(s, at - 1);
	}
}
