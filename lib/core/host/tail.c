#include "core/host/tail.h"

#include <stdlib.h>

#include "core/base/memory.h"
#include "core/base/variant.h"

static struct tail_record *slot(const struct tail *t, uint64_t index)
{
	return &t->ring[index % TAIL_RECORDS];
}

static struct tail_mark *mark(const struct tail *t, uint64_t n)
{
	return &t->marks[n % TAIL_MARKS];
}

static void put_mark(struct tail *t, uint64_t index, uint64_t total)
{
	if (t->marks_end - t->marks_first == TAIL_MARKS)
		t->marks_first++;
	*mark(t, t->marks_end++) = (struct tail_mark){index, total};
}

void tail_init(struct tail *t)
{
	*t = (struct tail){0};
	t->ring = memory_new(TAIL_RECORDS * sizeof(*t->ring));
	t->marks = memory_new(TAIL_MARKS * sizeof(*t->marks));
	tail_begin(t, 0);
}

static void drop_oldest(struct tail *t)
{
	uint64_t index = t->first++;
	struct tail_record *r = slot(t, index);
	t->bytes -= r->piece.bytes.len;
	chunk_drop(r->piece.chunk);
	if (r->total - mark(t, t->marks_end - 1)->total >= TAIL_MARK_BYTES)
		put_mark(t, index, r->total);
}

/* Makes it empty; the next record is expected there. */
static void clear(struct tail *t, uint64_t next)
{
	while (t->first < t->end)
		drop_oldest(t);
	t->first = t->end = next;
}

void tail_begin(struct tail *t, uint64_t last)
{
	clear(t, last + 1);
	t->total = t->bytes = 0;
	t->marks_first = t->marks_end = 0;
	put_mark(t, last, 0);
}

void tail_deinit(struct tail *t)
{
	clear(t, 1);
	free(t->ring);
	free(t->marks);
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

/* What is cut off reaches back to what is known by marks only, if at all. */
static void truncate_marks(struct tail *t, uint64_t index)
{
	t->first = t->end = index;
	while (t->marks_end > t->marks_first && mark(t, t->marks_end - 1)->index >= index)
		t->total = mark(t, --t->marks_end)->total;
	if (t->marks_end == t->marks_first)
		put_mark(t, index - 1, t->total);
}

void tail_truncate(struct tail *t, uint64_t index)
{
	while (t->end > index && t->end > t->first) {
		struct tail_record *r = slot(t, --t->end);
		t->bytes -= r->piece.bytes.len;
		if (!RMQ_VARIANT(TRUNCATED_COUNTS))
			t->total -= r->piece.bytes.len;
		chunk_drop(r->piece.chunk);
	}
	if (index < t->first)
		truncate_marks(t, index);
}

void tail_dig(struct tail *t, uint64_t first, uint32_t count)
{
	uint64_t end = first + count < t->end ? first + count : t->end;

	for (uint64_t i = first > t->first ? first : t->first; i < end; i++) {
		struct tail_record *r = slot(t, i);
		t->bytes -= r->piece.bytes.len;
		chunk_drop(r->piece.chunk);
		*r = (struct tail_record){.total = r->total, .kind = TAIL_HOLE};
	}
}

const struct tail_record *tail_get(const struct tail *t, uint64_t index)
{
	return index >= t->first && index < t->end ? slot(t, index) : NULL;
}

uint64_t tail_bytes_after(const struct tail *t, uint64_t index)
{
	const struct tail_record *r = tail_get(t, index);
	uint64_t low = t->marks_first, high = t->marks_end;

	if (r)
		return t->total - r->total;
	if (index + 1 >= t->first)
		return index < t->end ? t->bytes : 0;
	if (RMQ_VARIANT(TAIL_IS_ALL))
		return t->bytes;
	/* The newest mark that is not after it. */
	while (low < high) {
		uint64_t mid = low + (high - low) / 2;
		if (mark(t, mid)->index <= index)
			low = mid + 1;
		else
			high = mid;
	}
	return low > t->marks_first ? t->total - mark(t, low - 1)->total : UINT64_MAX;
}
