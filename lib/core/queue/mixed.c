#include "core/queue/mixed.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/queue/queue.h"

uint8_t mixed_priority(const struct range *r, uint64_t seq)
{
	return range_is_mixed(r) ? r->mix[seq - r->first] : r->priority;
}

/* The first live message of r in [at, end) that has this priority, or that has not; `end`: none. */
static uint64_t find(struct range *r, uint64_t at, uint64_t end, uint8_t priority, bool has)
{
	uint64_t run_end;
	struct batch *b = queue_batch_at(r->queue, at);
	for (; b && b->first < end; b = queue_batch_next(b)) {
		uint64_t seq = at;
		for (; (seq = batch_run(b, seq, end, &run_end)) < end; seq = run_end)
			for (; seq < run_end; seq++)
				if ((mixed_priority(r, seq) == priority) == has)
					return seq;
	}
	return end;
}

uint64_t mixed_first(struct range *r)
{
	uint64_t end = r->first + r->span;
	return range_is_mixed(r) ? find(r, r->first, end, r->priority, true)
				 : queue_first_live(r->queue, r->first, end);
}

uint64_t mixed_run(struct range *r, uint64_t at, uint64_t end)
{
	if (!range_is_mixed(r))
		return end;
	uint64_t first = queue_first_live(r->queue, at, end);
	return first < end ? find(r, first, end, mixed_priority(r, first), false) : end;
}

/* Of one priority, both. */
static bool are_alike(const struct range *left, const struct range *right)
{
	return !range_is_mixed(left) && !range_is_mixed(right) &&
	       left->priority == right->priority;
}

bool mixed_may_join(const struct range *left, const struct range *right)
{
	return are_alike(left, right) ||
	       right->first + right->span - left->first <= MIXED_SPAN_MAX;
}

static void take(struct range *r, uint8_t *mix)
{
	r->mix = mix;
	r->queue->ledger->part_bytes += MIXED_PART_MAX;
}

void mixed_free(struct range *r)
{
	if (!range_is_mixed(r))
		return;
	free(r->mix);
	r->mix = NULL;
	r->queue->ledger->part_bytes -= MIXED_PART_MAX;
}

void mixed_join(struct range *left, const struct range *right)
{
	if (are_alike(left, right))
		return;
	uint64_t gap = right->first - left->first, span = gap + right->span;
	assert(span <= MIXED_SPAN_MAX);
	uint8_t *mix = memory_new(span);
	/* What lies between them is settled. */
	memset(mix, left->priority, gap);
	memset(mix + gap, right->priority, right->span);
	if (range_is_mixed(left))
		memcpy(mix, left->mix, left->span);
	if (range_is_mixed(right))
		memcpy(mix + gap, right->mix, right->span);
	mixed_free(left);
	take(left, mix);
	if (right->priority > left->priority)
		left->priority = right->priority;
}

void mixed_split(struct range *left, struct range *right)
{
	if (!range_is_mixed(left))
		return;
	take(right, memory_new(right->span));
	memcpy(right->mix, left->mix + (right->first - left->first), right->span);
}

void mixed_shift(struct range *r, uint64_t count)
{
	if (range_is_mixed(r))
		memmove(r->mix, r->mix + count, r->span - count);
}

void mixed_look(struct range *r)
{
	uint64_t end = r->first + r->span;
	if (!range_is_mixed(r) || r->live == 0)
		return;
	uint8_t highest = 0;
	for (uint64_t at = r->first; (at = queue_first_live(r->queue, at, end)) < end; at++)
		if (r->mix[at - r->first] > highest)
			highest = r->mix[at - r->first];
	r->priority = highest;
	if (find(r, r->first, end, highest, false) == end)
		mixed_free(r);
}

bool mixed_set(struct range *r, struct slice priorities)
{
	if (priorities.len != r->span || r->span > MIXED_SPAN_MAX)
		return false;
	for (size_t i = 0; i < priorities.len; i++)
		if (priorities.data[i] > PRIORITY_MAX)
			return false;
	take(r, memory_new(r->span));
	memcpy(r->mix, priorities.data, r->span);
	mixed_look(r);
	return true;
}
