#include "segment.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct segment *segments_add(
    struct segments *l, uint64_t lease, uint64_t first, uint32_t count, size_t size)
{
	struct segment *s = malloc(sizeof(*s) + count * sizeof(s->ends[0]));
	if (!s)
		return NULL;
	*s = (struct segment){.lease = lease, .first = first, .count = count, .size = size};
	if (l->tail)
		l->tail->next = s;
	else
		l->head = s;
	l->tail = s;
	if (!l->printing)
		l->printing = s;
	l->messages += count;
	l->bytes += size;
	return s;
}

bool segment_keep(struct segment *s, const void *bytes)
{
	size_t left = s->size - s->printed;
	s->bytes = malloc(left ? left : 1);
	if (!s->bytes)
		return false;
	memcpy(s->bytes, (const char *)bytes + s->printed, left);
	s->bytes_from = s->printed;
	return true;
}

/* How many messages end at or before this byte. */
static uint32_t ends_before(const struct segment *s, size_t byte)
{
	uint32_t low = 0, high = s->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (s->ends[middle] <= byte)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint32_t segment_taken(const struct segment *s, uint64_t consumed)
{
	uint32_t whole = segment_whole(s);
	uint32_t taken = consumed < s->at ? 0 : ends_before(s, (size_t)(consumed - s->at));
	return taken < whole ? taken : whole;
}

uint32_t segment_whole(const struct segment *s)
{
	return s->printed == s->size ? s->count : ends_before(s, s->printed);
}

size_t segment_torn(const struct segment *s)
{
	uint32_t whole = segment_whole(s);
	return whole < s->count ? s->printed - (whole ? s->ends[whole - 1] : 0) : 0;
}

static void end_printing(struct segments *l, struct segment *s)
{
	free(s->bytes);
	s->bytes = NULL;
	l->printing = s->next;
}

static void drop_head(struct segments *l)
{
	struct segment *s = l->head;
	l->head = s->next;
	if (!l->head)
		l->tail = NULL;
	if (l->printing == s)
		l->printing = s->next;
	l->bytes -= s->size;
	free(s->bytes);
	free(s);
}

/* What is printed and settled leaves. */
static void reap(struct segments *l)
{
	struct segment *s;
	while ((s = l->head) && s != l->printing && s->settled == s->count)
		drop_head(l);
}

void segments_printed(struct segments *l, struct segment *s, size_t bytes)
{
	assert(l->printing == s && bytes <= s->size - s->printed);
	s->printed += bytes;
	if (s->printed == s->size)
		end_printing(l, s);
	reap(l);
}

void segments_settled(struct segments *l, struct segment *s, uint32_t upto)
{
	assert(upto <= s->count && upto >= s->settled);
	l->messages -= upto - s->settled;
	s->settled = upto;
	reap(l);
}

/* Messages [from, to) of the segment, none of which has begun to be printed, go. */
static bool cut_out(struct segments *l, struct segment *s, uint32_t from, uint32_t to)
{
	size_t begin = from ? s->ends[from - 1] : 0, end = s->ends[to - 1];
	uint32_t behind = s->count - to;
	if (behind > 0) {
		struct segment *b = malloc(sizeof(*b) + behind * sizeof(b->ends[0]));
		if (!b)
			return false;
		*b = *s;
		b->first = s->first + to;
		b->count = behind;
		b->settled = s->settled > to ? s->settled - to : 0;
		b->started = s->started > to ? s->started - to : 0;
		b->size = s->size - end;
		b->printed = 0;
		for (uint32_t i = 0; i < behind; i++)
			b->ends[i] = s->ends[to + i] - (uint32_t)end;
		b->bytes = malloc(b->size ? b->size : 1);
		if (!b->bytes) {
			free(b);
			return false;
		}
		memcpy(b->bytes, s->bytes + (end - s->bytes_from), b->size);
		b->bytes_from = 0;
		s->next = b;
		if (l->tail == s)
			l->tail = b;
	}
	l->bytes -= end - begin;
	s->count = from;
	s->size = begin;
	if (s->settled > from)
		s->settled = from;
	return true;
}

uint32_t segments_cut(struct segments *l, uint64_t lease, uint64_t first, uint32_t count)
{
	uint32_t gone = 0;
	for (struct segment *s = l->printing; s; s = s->next) {
		uint64_t end = s->first + s->count, last = first + count;
		if (s->lease != lease || end <= first || s->first >= last)
			continue;
		uint32_t from = first > s->first ? (uint32_t)(first - s->first) : 0;
		uint32_t to = last < end ? (uint32_t)(last - s->first) : s->count;
		uint32_t begun = segment_whole(s) + (segment_torn(s) > 0);
		uint32_t settled = s->settled;
		if (from < begun)
			from = begun;
		if (from >= to)
			continue;
		if (!cut_out(l, s, from, to))
			return UINT32_MAX;
		gone += to - from;
		/* In front of printing, settled ones are not counted any more. */
		uint32_t unsettled = settled < to ? to - (settled > from ? settled : from) : 0;
		l->messages -= unsettled;
		if (s->size == s->printed && l->printing == s)
			end_printing(l, s);
	}
	reap(l);
	return gone;
}

void segments_deinit(struct segments *l)
{
	while (l->head)
		drop_head(l);
	*l = (struct segments){0};
}
