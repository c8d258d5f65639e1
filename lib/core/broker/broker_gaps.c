/*
 * Gaps: recovery around records that cannot be read and had events in them.  Nothing is known of
 * what was in one, and it is guessed at from what follows only as far as that proves it:
 *
 *  - The numbers of a queue's messages have no holes.  A number that a later event names, and
 *    that no event has given out, was given out in the gap: such messages are kept as runs.
 *  - Those of a run that leave the queue later were there to the end; those that a MOVE holds are
 *    there again.  All others are lost.
 *  - Whatever else an event is about is in the state that it was in before the gap, if it is still
 *    there at all, and comes to the state that the event says.
 *  - A queue that is of a copy shows that there is this copy.  Nothing shows where queues have gone, or that they have
 *    come: that is as it was before.  The cell at the other end knows it, so people are told to compare ("Cells" in
 *    rmq(7)).
 *
 * A group of queues is concerned if the record lies after its part of the checkpoint, sessions
 * likewise.  The checkpoint's own records have no substitute.
 */
#include "core/broker/broker_state.h"

#include <stdio.h>

#include "core/base/memory.h"

enum rmq_error broker_gap(struct broker *b, uint64_t index)
{
	if (!b->gaps.allowed || b->part_open)
		return RMQ_E_CORRUPT;
	for (uint32_t g = 0; g < GROUPS; g++)
		if (b->part_index[g] == index)
			return RMQ_E_CORRUPT;
	b->gaps.newest = index;
	return RMQ_E_OK;
}

static enum rmq_error make_queue(struct broker *b, uint32_t id, struct slice name)
{
	const struct queue_settings *d = &broker_default_settings;
	uint8_t bytes[256 + NAME_FULL_MAX];
	struct writer w = writer_of(bytes, sizeof(bytes));
	event_create_encode(
	    &w, &(struct event_create){id, name, SETTINGS_OF(d), slice_of("", 0), NO_TAGS});
	struct event_place at = {.index = b->gaps.newest};
	struct event e = {EVENT_TYPE_CREATE, 0, slice_of(w.p, w.len)};
	return broker_apply(b, &at, &e);
}

struct queue *broker_gap_queue(struct broker *b, uint32_t id)
{
	char name[NAME_MAX_LEN + 1];
	struct queue *q = broker_queue(b, id);
	if (q || !broker_may_miss(b, id))
		return q;
	/* With its CREATE its name is missing. */
	int len = snprintf(name, sizeof(name), "lost-%u", id);
	while (broker_queue_named(b, slice_str(name)) && len < NAME_MAX_LEN) {
		name[len++] = '_';
		name[len] = 0;
	}
	return make_queue(b, id, slice_str(name)) ? NULL : broker_queue(b, id);
}

struct queue *broker_gap_dead_queue(struct broker *b, uint32_t id, struct slice tags)
{
	char name[NAME_FULL_MAX + 8];
	struct event_origin o;
	struct queue *from = NULL;
	struct event_taken_from taken;
	if (!broker_queue(b, id) && broker_may_miss(b, id) && event_origin_find(tags, &o) &&
	    !event_taken_find(tags, &taken))
		from = broker_queue_named(b, o.queue);
	struct slice dead = from ? broker_dead_name(from, name) : slice_of(NULL, 0);
	if (dead.len == 0 || broker_queue_named(b, dead) || make_queue(b, id, dead))
		return broker_gap_queue(b, id);
	return broker_queue(b, id);
}

static void add_run(struct gaps *g, struct gap_run run)
{
	g->runs = memory_grow(g->runs, g->count, &g->cap, sizeof(*g->runs));
	g->runs[g->count++] = run;
}

void broker_gap_until(struct broker *b, struct queue *q, uint64_t end)
{
	if (!q || end <= q->next_seq || !broker_may_miss(b, q->id))
		return;
	add_run(&b->gaps, (struct gap_run){q->id, q->next_seq, end, b->gaps.newest});
	q->counts.sent += end - q->next_seq;
	q->next_seq = end;
}

/* Takes what run i has of [*first, *end) out of it, and says what that is; false: nothing. */
static bool take(struct gaps *g, size_t i, uint32_t queue, uint64_t *first, uint64_t *end)
{
	struct gap_run *run = &g->runs[i], rest = *run;
	uint64_t from = *first > run->first ? *first : run->first, to = min_u64(*end, run->end);
	if (run->queue != queue || from >= to)
		return false;
	*first = from;
	*end = to;
	run->end = from;
	rest.first = to;
	if (to < rest.end)
		add_run(g, rest);
	return true;
}

uint64_t broker_gap_left(struct broker *b, struct queue *q, uint64_t first, uint64_t end)
{
	uint64_t left = 0;
	size_t n = broker_may_miss(b, q->id) ? b->gaps.count : 0;
	for (size_t i = 0; i < n; i++) {
		uint64_t from = first, to = end;
		if (take(&b->gaps, i, q->id, &from, &to))
			left += to - from;
	}
	return left;
}

void broker_gap_moved(struct broker *b, struct queue *q, uint64_t first, uint64_t end,
    const struct batch_view *batch, const struct event_place *at, uint16_t offset,
    uint16_t shares)
{
	broker_gap_until(b, q, end);
	size_t n = broker_may_miss(b, q->id) ? b->gaps.count : 0;
	for (size_t i = 0; i < n; i++) {
		uint64_t from = first, to = end;
		if (!take(&b->gaps, i, q->id, &from, &to))
			continue;
		uint32_t count = (uint32_t)(to - from);
		uint64_t bytes = (uint64_t)batch_weight(batch) * count / (end - first);
		queue_revive(q, at->record, from, count, (uint32_t)bytes, offset,
		    (uint16_t)(from - first), shares, batch->attributes, at->wall);
		broker_busy(b, q);
	}
}

void broker_gaps_end(struct broker *b, struct wall_time wall)
{
	struct gaps *g = &b->gaps;
	struct pending *p;
	struct session *s;
	if (g->newest == 0)
		return;
	g->met = true;
	broker_find_copies(b);
	b->ckpt.wanted = true;
	for (size_t i = 0; i < g->count; i++) {
		struct queue *q = broker_queue(b, g->runs[i].queue);
		if (q)
			q->counts.lost += g->runs[i].end - g->runs[i].first;
	}
	/* What a session was answered may be gone, and what is gone must not be answered again. */
	if (g->newest > b->part_index[SESSION_GROUP]) {
		broker_numbers_jump(b, wall, true);
		while ((p = TAILQ_FIRST(&b->pendings_by_age)))
			broker_drop_pending(b, p);
		while ((s = RB_ROOT(&b->sessions)))
			broker_session_remove(b, s);
		b->forgotten = (uint64_t)b->starts << 32 | UINT32_MAX;
	}
	g->newest = 0;
}

bool broker_gaps(const struct broker *b, broker_gap_fn *each, void *arg)
{
	const struct gaps *g = &b->gaps;
	for (size_t i = 0; i < g->count; i++) {
		const struct gap_run *run = &g->runs[i];
		struct queue *q = broker_queue(b, run->queue);
		if (q && run->first < run->end)
			each(arg, run->index, queue_name(q), run->first, run->end - 1);
	}
	return g->met;
}
