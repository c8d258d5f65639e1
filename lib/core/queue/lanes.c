#include "core/queue/lanes.h"

#include <assert.h>
#include <stdlib.h>

#include "core/base/limits.h"
#include "core/base/memory.h"
#include "core/base/variant.h"
#include "core/queue/queue.h"

uint64_t lanes_bucket(uint64_t until_ms, uint64_t now_ms)
{
	uint64_t bucket = 1, far = until_ms > now_ms ? until_ms - now_ms : 0;
	while (bucket < 1000 && bucket * 10 <= far / 32)
		bucket *= 10;
	uint64_t rest = until_ms % bucket;
	return rest > 0 && until_ms < UINT64_MAX - bucket ? until_ms + (bucket - rest)
							  : until_ms;
}

struct lane lane_at(const struct lane *asked, struct wall_time now)
{
	struct lane l = *asked;
	if (l.until_ms <= now.ms || RMQ_VARIANT(DELAY_UNSEEN))
		l.until_ms = 0;
	else
		l.until_ms = lanes_bucket(l.until_ms, now.ms);
	return l;
}

struct lane_walk lanes_of(
    struct slice attributes, uint32_t from, uint32_t count, struct wall_time now)
{
	return (struct lane_walk){
	    attributes, now, from, from + count, {.tag = 0}, {.tag = 0}, {.tag = 0}};
}

static struct lane lane_of(struct slice delay, struct slice expire, struct slice priority)
{
	/* No message of today expires at the beginning of time. */
	uint64_t expire_ms = expire.len > 0 ? load_u64(expire.data) : 0;
	return (struct lane){.until_ms = delay.len > 0 ? load_u64(delay.data) : 0,
	    .expire_ms = expire.len > 0 && expire_ms == 0 ? 1 : expire_ms,
	    .priority = priority.len > 0 ? priority.data[0] : PRIORITY_DEFAULT};
}

/* The lane of the messages from i on, and where it ends. */
static uint32_t lane_run(struct lane_walk *w, uint32_t i, struct lane *lane)
{
	struct slice delay, expire, priority;
	uint32_t end =
	    attributes_run(&w->delay, w->attributes, ATTRIBUTE_DELAY_UNTIL, i, w->end, &delay);
	end = attributes_run(&w->expire, w->attributes, ATTRIBUTE_EXPIRE_AT, i, end, &expire);
	end =
	    attributes_run(&w->priority, w->attributes, ATTRIBUTE_PRIORITY, i, end, &priority);
	struct lane asked = lane_of(delay, expire, priority);
	*lane = lane_at(&asked, w->now);
	return end;
}

static bool same_lane(const struct lane *a, const struct lane *b)
{
	return a->until_ms == b->until_ms && a->expire_ms == b->expire_ms &&
	       a->priority == b->priority;
}

uint32_t lanes_next(struct lane_walk *w, struct lane *lane)
{
	uint32_t begin = w->at;
	struct lane next;
	if (w->at == w->end)
		return 0;
	w->at = lane_run(w, w->at, lane);
	while (w->at < w->end) {
		uint32_t end = lane_run(w, w->at, &next);
		if (!same_lane(lane, &next))
			break;
		w->at = end;
	}
	return w->at - begin;
}

struct lane lane_asked(struct slice attributes, uint32_t i)
{
	struct slice delay = {0}, expire = {0}, priority = {0};
	(void)attributes_find(attributes, ATTRIBUTE_DELAY_UNTIL, i, &delay);
	(void)attributes_find(attributes, ATTRIBUTE_EXPIRE_AT, i, &expire);
	(void)attributes_find(attributes, ATTRIBUTE_PRIORITY, i, &priority);
	struct slice key;
	struct lane lane = lane_of(delay, expire, priority);
	if (attributes_find(attributes, ATTRIBUTE_KEY, i, &key))
		lane.key = keys_hash(key);
	return lane;
}

struct slice lane_attributes(const struct lane *lane, uint8_t bytes[LANE_ATTRIBUTES_MAX])
{
	struct writer w = writer_of(bytes, LANE_ATTRIBUTES_MAX);
	tags_put_u64(&w, ATTRIBUTE_DELAY_UNTIL, lane->until_ms);
	tags_put_u64(&w, ATTRIBUTE_EXPIRE_AT, lane->expire_ms);
	if (lane->priority != PRIORITY_DEFAULT)
		tags_put(&w, ATTRIBUTE_PRIORITY, slice_of(&lane->priority, 1));
	assert(!w.full);
	return slice_of(w.p, w.len);
}

uint32_t lanes_too_far(struct slice attributes, uint32_t count, struct wall_time now)
{
	struct lane_walk w = lanes_of(attributes, 0, count, now);
	struct lane lane;
	uint32_t n, at = 0;
	if (attributes.len == 0)
		return count;
	for (; (n = lanes_next(&w, &lane)) > 0; at += n)
		/* It is rounded up. */
		if (lane.until_ms > now.ms && lane.until_ms - now.ms > DELAY_MS_MAX + 1000)
			return at;
	return count;
}

uint32_t lanes_within(
    struct slice attributes, uint32_t count, struct wall_time now, uint32_t *ranges)
{
	struct lane_walk w = lanes_of(attributes, 0, count, now);
	struct lane lane;
	uint32_t n, at = 0, most = *ranges;
	*ranges = 1;
	if (attributes.len == 0)
		return count;
	if (attributes_has(attributes, ATTRIBUTE_KEY)) {
		*ranges = count < most ? count : most;
		return *ranges;
	}
	for (*ranges = 0; *ranges < most && (n = lanes_next(&w, &lane)) > 0; ++*ranges)
		at += n;
	return at;
}

struct lane lane_in(const struct queue *q, const struct lane *lane, struct wall_time now)
{
	struct lane l = *lane;
	l.by_queue = l.expire_ms == 0 && q->settings.more.expire_ms > 0;
	if (l.by_queue)
		l.expire_ms = now.ms + q->settings.more.expire_ms;
	return l;
}

uint32_t lanes_alike(struct attribute_cursor *c, struct slice attributes, uint32_t i,
    uint32_t end, uint8_t *priority)
{
	struct slice value;
	end = attributes_run(c, attributes, ATTRIBUTE_PRIORITY, i, end, &value);
	*priority = value.len > 0 ? value.data[0] : PRIORITY_DEFAULT;
	return end;
}

/* Before they are ready or delayed. */
void lanes_add_keys(
    struct queue *q, uint64_t first, uint32_t count, struct slice attributes, uint32_t from)
{
	struct attribute_cursor c = {.tag = 0};
	struct slice key;
	uint64_t hash = 0;
	if (!attributes_has(attributes, ATTRIBUTE_KEY))
		return;
	uint64_t *hashes = memory_new(count * sizeof(*hashes));
	for (uint32_t i = 0, end = 0; i < count; i++) {
		if (i >= end) {
			end = attributes_run(
				  &c, attributes, ATTRIBUTE_KEY, from + i, from + count, &key) -
			      from;
			hash = key.len > 0 ? keys_hash(key) : 0;
		}
		hashes[i] = hash;
	}
	keys_add(q, first, count, hashes);
	free(hashes);
}

void lanes_add(struct queue *q, uint64_t first, uint32_t count, struct slice attributes,
    uint32_t from, struct wall_time now)
{
	struct lane_walk w = lanes_of(attributes, from, count, now);
	struct lane lane;
	uint32_t n;
	lanes_add_keys(q, first, count, attributes, from);
	for (uint64_t at = first; (n = lanes_next(&w, &lane)) > 0; at += n) {
		lane = lane_in(q, &lane, now);
		queue_add_new(q, at, n, &lane);
	}
}
