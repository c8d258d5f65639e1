#include "core/wire/event.h"

#include <assert.h>

#include "core/base/name.h"
#include "core/base/variant.h"
#include "core/wire/journal_wire.h"

size_t event_begin(struct writer *w, uint8_t type)
{
	size_t begin = w->len;
	uint8_t *header = writer_take(w, EVENT_HEADER_SIZE);
	if (header) {
		header[0] = type;
		header[1] = 0;
		store_u16(header + 2, 0);
	}
	return begin;
}

void event_end(struct writer *w, size_t begin)
{
	if (w->full)
		return;
	size_t len = w->len - begin - EVENT_HEADER_SIZE;
	if (len > UINT16_MAX) {
		w->full = true;
		return;
	}
	store_u16(w->p + begin + 2, (uint16_t)len);
}

const char *event_name(unsigned type)
{
	switch (type) {
#define X(type, NAME, name, FIELDS) \
	case type: \
		return #name;
		EVENTS(X)
#undef X
	}
	return NULL;
}

const char *event_tag_name(unsigned type, unsigned tag)
{
	switch (type << 16 | tag) {
#define X(event, tag, name) \
	case EVENT_TYPE_##event << 16 | tag: \
		return #name;
		EVENT_TAGS(X)
#undef X
	}
	return NULL;
}

enum rmq_error event_check_tags(unsigned type, struct slice tags)
{
	uint16_t unknown;
	enum rmq_error err = tags_check(tags, type, event_tag_name, &unknown);
	return err == RMQ_E_PROTOCOL ? RMQ_E_CORRUPT : err;
}

struct slice event_place_tags(const struct event_origin *o, uint16_t shares, uint32_t redrives,
    uint8_t bytes[EVENT_PLACE_TAGS_MAX])
{
	uint8_t value[EVENT_ORIGIN_MAX], number[4];
	struct writer v = writer_of(value, sizeof(value));
	struct writer w = writer_of(bytes, EVENT_PLACE_TAGS_MAX);
	if (o->queue.len > 0) {
		event_origin_encode(&v, o);
		tags_put(&w, EVENT_TAG_ORIGIN, slice_of(v.p, v.len));
	}
	store_u16(number, shares);
	if (shares > 1)
		tags_put(&w, EVENT_TAG_SHARES, slice_of(number, 2));
	store_u32(number, redrives);
	if (redrives > 0)
		tags_put(&w, EVENT_TAG_REDRIVES, slice_of(number, sizeof(number)));
	assert(!w.full && !v.full);
	return slice_of(w.p, w.len);
}

bool event_origin_find(struct slice tags, struct event_origin *o)
{
	struct slice value;
	*o = (struct event_origin){0};
	return !tags_find(tags, EVENT_TAG_ORIGIN, &value) ||
	       (event_origin_decode(value, o) && name_valid(o->queue));
}

void event_priority_put(struct writer *w, uint8_t priority)
{
	if (priority != PRIORITY_DEFAULT)
		tags_put(w, EVENT_TAG_PRIORITY, slice_of(&priority, 1));
}

bool event_priority_find(struct slice tags, uint8_t *priority)
{
	struct slice value;
	*priority = PRIORITY_DEFAULT;
	if (!tags_find(tags, EVENT_TAG_PRIORITY, &value))
		return true;
	if (value.len != 1 || value.data[0] > PRIORITY_MAX)
		return false;
	*priority = value.data[0];
	return true;
}

bool event_redrives_find(struct slice tags, uint32_t *redrives)
{
	struct slice value;
	*redrives = 0;
	if (!tags_find(tags, EVENT_TAG_REDRIVES, &value))
		return true;
	if (value.len != 4)
		return false;
	*redrives = load_u32(value.data);
	return true;
}

bool event_taken_find(struct slice tags, struct event_taken_from *t)
{
	struct slice value;
	return tags_find(tags, EVENT_TAG_TAKEN, &value) && event_taken_from_decode(value, t);
}

void event_maker_put(struct writer *w, const struct event_maker *m)
{
	uint8_t value[EVENT_MAKER_MAX];
	struct writer v = writer_of(value, sizeof(value));
	event_maker_encode(&v, m);
	assert(!v.full);
	tags_put(w, EVENT_TAG_MAKER, slice_of(v.p, v.len));
}

bool event_maker_find(struct slice tags, struct event_maker *m)
{
	struct slice value;
	return tags_find(tags, EVENT_TAG_MAKER, &value) && event_maker_decode(value, m) &&
	       (m->node.len == 0 || wire_behalf_node_valid(m->node));
}

bool event_further_find(struct slice tags, struct slice *further)
{
	*further = NO_TAGS;
	if (!tags_find(tags, EVENT_TAG_FURTHER, further))
		return true;
	struct reader r = reader_of(*further);
	for (uint32_t last = 0; reader_left(&r) > 0;) {
		struct event_target t = event_target_get(&r);
		if (r.bad || t.queue < last)
			return false;
		last = t.queue;
	}
	return further->len > 0 && further->len <= EVENT_FURTHER_MAX;
}

bool event_chunk_queues(struct slice tags, struct slice *queues)
{
	*queues = NO_TAGS;
	if (!tags_find(tags, CHUNK_TAG_QUEUES, queues))
		return true;
	for (size_t at = 4; at + 4 <= queues->len; at += 4)
		if (load_u32(queues->data + at) <= load_u32(queues->data + at - 4))
			return false;
	return queues->len > 0 && queues->len <= CHUNK_QUEUES_MAX && queues->len % 4 == 0;
}

uint16_t event_shares_find(struct slice tags)
{
	struct slice value;
	if (!tags_find(tags, EVENT_TAG_SHARES, &value))
		return 1;
	uint16_t shares = value.len == 2 ? load_u16(value.data) : 0;
	return shares > 1 && shares <= SHARES_MAX ? shares : 0;
}

enum rmq_error events_open(struct slice payload, struct events_header *h, struct event_iter *it)
{
	if (payload.len < EVENTS_HEADER_SIZE)
		return RMQ_E_CORRUPT;
	h->lease.ms = load_u64(payload.data);
	h->wall.ms = load_u64(payload.data + 8);
	*it = (struct event_iter){payload, EVENTS_HEADER_SIZE};
	return RMQ_E_OK;
}

enum rmq_error event_next(struct event_iter *it, struct event *e)
{
	size_t left = it->payload.len - it->at;
	const uint8_t *p = it->payload.data + it->at;
	if (left == 0)
		return RMQ_E_NOTHING;
	if (left < EVENT_HEADER_SIZE || left - EVENT_HEADER_SIZE < load_u16(p + 2) || p[1] != 0)
		return RMQ_E_CORRUPT;
	if (!event_name(p[0]))
		return RMQ_E_VERSION;
	e->type = p[0];
	e->offset = (uint32_t)it->at;
	e->body = slice_of(p + EVENT_HEADER_SIZE, load_u16(p + 2));
	it->at += EVENT_HEADER_SIZE + e->body.len;
	return RMQ_E_OK;
}

void event_seek(struct event_iter *it, uint16_t offset)
{
	it->at = offset < it->payload.len ? offset : it->payload.len;
}

enum rmq_error event_run_open(struct slice payload, uint16_t offset, uint16_t slot,
    uint32_t wanted, struct event_run *run)
{
	struct events_header h;
	struct event_iter it;
	enum rmq_error err = events_open(payload, &h, &it);
	if (err)
		return err;
	event_seek(&it, offset);
	*run = (struct event_run){.it = it, .wall = h.wall, .slot = slot, .wanted = wanted};
	return RMQ_E_OK;
}

/* The batch of a SEND, MOVE or COME event, and whose it is; RMQ_E_NOTHING for any other. */
static enum rmq_error event_batch(const struct event *e, uint32_t *queue, struct slice *further,
    uint64_t *time_ms, struct slice *batch)
{
	struct event_send send;
	struct event_move move;
	struct event_come come;
	switch (e->type) {
	case EVENT_TYPE_SEND:
		if (!event_send_decode(e->body, &send) ||
		    event_check_tags(e->type, send.tags) ||
		    !event_further_find(send.tags, further))
			return RMQ_E_CORRUPT;
		*queue = send.queue;
		*batch = send.batch;
		return RMQ_E_OK;
	case EVENT_TYPE_MOVE:
		if (!event_move_decode(e->body, &move) ||
		    event_check_tags(e->type, move.tags) ||
		    !event_further_find(move.tags, further))
			return RMQ_E_CORRUPT;
		*queue = move.queue;
		*time_ms = move.time_ms;
		*batch = move.batch;
		return RMQ_E_OK;
	case EVENT_TYPE_COME:
		if (!event_come_decode(e->body, &come) || event_check_tags(e->type, come.tags))
			return RMQ_E_CORRUPT;
		*further = NO_TAGS;
		*queue = come.queue;
		*time_ms = come.time_ms;
		*batch = come.batch;
		return RMQ_E_OK;
	}
	return RMQ_E_NOTHING;
}

bool event_same_queues(struct slice a, struct slice b)
{
	if (a.len != b.len)
		return false;
	for (size_t at = 0; at < a.len; at += EVENT_TARGET_SIZE)
		if (load_u32(a.data + at) != load_u32(b.data + at))
			return false;
	return true;
}

/* Whether an event has messages of all queues that the run's first one has them of. */
static bool goes_on(const struct event_run *run, uint32_t queue, struct slice further)
{
	return queue == run->queue &&
	       (event_same_queues(further, run->further) || RMQ_VARIANT(SHARED_RUNS_ON));
}

enum rmq_error event_run_next(struct event_run *run, struct event_messages *m)
{
	struct event e;
	while (run->wanted > 0) {
		uint32_t queue = 0;
		struct slice further;
		uint64_t time_ms = run->wall.ms;
		enum rmq_error err = event_next(&run->it, &e);
		if (err)
			return RMQ_E_CORRUPT;
		struct slice batch;
		err = event_batch(&e, &queue, &further, &time_ms, &batch);
		if (err == RMQ_E_CORRUPT || (err && !run->begun))
			return RMQ_E_CORRUPT;
		if (err || (run->begun && !goes_on(run, queue, further)))
			continue;
		if (batch_peek(batch, &m->batch))
			return RMQ_E_CORRUPT;
		run->begun = true;
		run->queue = queue;
		run->further = further;
		if (run->slot >= m->batch.count) {
			run->slot -= m->batch.count;
			continue;
		}
		m->slot = run->slot;
		m->count = m->batch.count - run->slot;
		if (m->count > run->wanted)
			m->count = run->wanted;
		if (!batch_holds(&m->batch, m->slot, m->count))
			return RMQ_E_CORRUPT;
		m->time_ms = time_ms;
		run->slot = 0;
		run->wanted -= m->count;
		return RMQ_E_OK;
	}
	return RMQ_E_NOTHING;
}

enum rmq_error event_dead_ranges(struct slice payload, struct slice *ranges)
{
	struct events_header h;
	struct event_iter it;
	struct event e;
	struct event_end_dead dead;
	enum rmq_error err = events_open(payload, &h, &it);

	*ranges = slice_of(NULL, 0);
	while (!err && !(err = event_next(&it, &e))) {
		if (e.type != EVENT_TYPE_END_DEAD)
			continue;
		if (!event_end_dead_decode(e.body, &dead) ||
		    dead.ranges.len % HOLE_RANGE_SIZE != 0)
			return RMQ_E_CORRUPT;
		*ranges = dead.ranges;
		return RMQ_E_OK;
	}
	return err == RMQ_E_NOTHING ? RMQ_E_OK : err;
}

bool event_brings_messages(struct slice payload)
{
	struct events_header h;
	struct event_iter it;
	struct event e;
	enum rmq_error err = events_open(payload, &h, &it);

	while (!err && !(err = event_next(&it, &e)))
		if (e.type == EVENT_TYPE_SEND || e.type == EVENT_TYPE_CHUNK ||
		    e.type == EVENT_TYPE_COME || e.type == EVENT_TYPE_COME_IDS ||
		    e.type == EVENT_TYPE_CREATE || e.type == EVENT_TYPE_BIND ||
		    e.type == EVENT_TYPE_KV_PUT || e.type == EVENT_TYPE_COPY)
			return true;
	return err != RMQ_E_NOTHING;
}

enum rmq_error event_chunk_data(
    struct slice payload, uint16_t offset, struct slice *data, struct slice *attributes)
{
	struct events_header h;
	struct event_iter it;
	struct event e;
	struct event_chunk chunk;
	enum rmq_error err = events_open(payload, &h, &it);
	if (err)
		return err;
	event_seek(&it, offset);
	if (event_next(&it, &e) || e.type != EVENT_TYPE_CHUNK ||
	    !event_chunk_decode(e.body, &chunk) || event_check_tags(e.type, chunk.tags))
		return RMQ_E_CORRUPT;
	*attributes = NO_TAGS;
	if (tags_find(chunk.tags, CHUNK_TAG_ATTRIBUTES, attributes) &&
	    attributes_check(*attributes, 1))
		return RMQ_E_CORRUPT;
	*data = chunk.data;
	return RMQ_E_OK;
}
