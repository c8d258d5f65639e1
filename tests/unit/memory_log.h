/* A journal in memory, for tests of the queue core: what that is recovered from. */
#ifndef RMQ_UNIT_MEMORY_LOG_H
#define RMQ_UNIT_MEMORY_LOG_H

#include <assert.h>
#include <stdlib.h>

#include "core/broker/broker.h"
#include "core/wire/journal_wire.h"

struct memory_record {
	enum record_kind kind;
	uint8_t *payload;
	size_t len;
	bool hole;
	bool rotten; /* its bodies cannot be read: for the test itself */
};

struct memory_log {
	struct memory_record *at; /* by index, from 1 */
	const uint64_t *last;	  /* newest that may be read */
};

static inline void memory_record_set(
    struct memory_record *r, enum record_kind kind, struct slice payload)
{
	/* Of exactly its size, for sanitizers. */
	uint8_t *copy = malloc(payload.len ? payload.len : 1);
	assert(copy);
	memcpy(copy, payload.data, payload.len);
	*r = (struct memory_record){kind, copy, payload.len, false, false};
}

/* Records of HOLE's ranges, all before `before`, become holes. */
static inline void memory_log_dig(
    const struct memory_log *l, uint64_t before, struct slice ranges)
{
	struct reader r = reader_of(ranges);
	while (reader_left(&r) > 0) {
		struct hole_range h = hole_range_get(&r);
		assert(!r.bad && h.first > 0 && h.count > 0 && h.first + h.count <= before);
		for (uint64_t i = h.first; i < h.first + h.count; i++)
			l->at[i].hole = true;
	}
}

/* next and read of struct broker_log, whose arg the log is. */
static inline enum rmq_error memory_log_next(
    void *arg, uint64_t index, uint64_t *found, enum record_kind *kind, struct slice *payload)
{
	const struct memory_log *l = arg;
	for (; index <= *l->last; index++) {
		if (l->at[index].hole)
			continue;
		*found = index;
		*kind = l->at[index].kind;
		*payload = slice_of(l->at[index].payload, l->at[index].len);
		return RMQ_E_OK;
	}
	return RMQ_E_NOTHING;
}

static inline enum rmq_error memory_log_read(
    void *arg, uint64_t index, enum record_kind *kind, struct slice *payload)
{
	uint64_t found;
	enum rmq_error err = memory_log_next(arg, index, &found, kind, payload);
	return err ? err : found == index ? RMQ_E_OK : RMQ_E_NOTHING;
}

#endif
