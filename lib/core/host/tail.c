#include "core/host/tail.h"

#include <stdlib.h>

#include "core/base/variant.h"

static struct tail_record *slot(const struct tail *t, uint64_t index)
{
	return &t->ring[index % TAIL_RECORDS];
}

void tail_init(struct tail *t)
{
	*t = (struct tail){.first = 1, .end = 1};
	t->ring = calloc(TAIL_RECORDS, sizeof(*t->ring));
	if (!t->ring)
		abort();
}

static void drop_oldest(struct tail *t)
{
	struct tail_record *r = slot(t, t->first++);
	t->bytes -= r->piece.bytes.len;
	chunk_drop(r->piece.chunk);
}

static void clear(struct tail *t, uint64_t next)
{
	while (t->first < t->end)
		drop_oldest(t);
	t->first = t->end = next;
}

void tail_deinit(struct tail *t)
{
	clear(t, 1);
	free(t->ring);
}

void tail_push(struct tail *t, uint64_t index, uint8_t kind, struct piece piece)
{
	if (index != t->end)
		clear(t, index);
	while (t->first < t->end &&
	       (t->bytes + piece.bytes.len > TAIL_BYTES || t->end - t->first == TAIL_RECORDS))
		drop_oldest(t);
	t->total += piece.bytes.len;
	t->bytes += piece.bytes.len;
	chunk_hold(piece.chunk);
	*slot(t, t->end++) = (struct tail_record){piece, t->total, kind};
}

void tail_truncate(struct tail *t, uint64_t index)
{
	if (index <= t->first) {
		clear(t, index);
		return;
	}
	while (t->end > index) {
		struct tail_record *r = slot(t, --t->end);
		t->bytes -= r->piece.bytes.len;
		if (!RMQ_VARIANT(TRUNCATED_COUNTS))
			t->total -= r->piece.bytes.len;
		chunk_drop(r->piece.chunk);
	}
}

const struct tail_record *tail_get(const struct tail *t, uint64_t index)
{
	return index >= t->first && index < t->end ? slot(t, index) : NULL;
}

uint64_t tail_bytes_behind(const struct tail *t, uint64_t index)
{
	const struct tail_record *r = tail_get(t, index);

	if (r)
		return t->total - r->behind;
	return index < t->first ? t->bytes : 0;
}
