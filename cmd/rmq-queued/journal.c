#include "journal.h"

#include <assert.h>

bool journal_take(const struct journal_host *host, const struct frame *f)
{
	struct journal_stored stored;
	struct journal_barrier_done done;
	struct journal_room room;
	struct journal_holed holed;
	struct journal_holes_wanted wanted;
	struct journal_level level;

	switch (f->type) {
	case JOURNAL_TYPE_STORED:
		if (!journal_stored_decode(f->payload, &stored))
			return false;
		host->stored(host->arg, &stored);
		return true;
	case JOURNAL_TYPE_BARRIER_DONE:
		if (!journal_barrier_done_decode(f->payload, &done))
			return false;
		host->barrier_done(host->arg, &done);
		return true;
	case JOURNAL_TYPE_ROOM:
		if (!journal_room_decode(f->payload, &room))
			return false;
		host->room(host->arg, &room);
		return true;
	case JOURNAL_TYPE_HOLES_WANTED:
		if (!journal_holes_wanted_decode(f->payload, &wanted))
			return false;
		host->holes_wanted(host->arg, &wanted);
		return true;
	case JOURNAL_TYPE_LEVEL:
		if (!journal_level_decode(f->payload, &level))
			return false;
		host->level(host->arg, &level);
		return true;
	case JOURNAL_TYPE_HOLED:
		return journal_holed_decode(f->payload, &holed);
	}
	return false;
}

void journal_append(
    struct journal_link *l, uint64_t n, enum record_kind kind, struct slice payload)
{
	uint8_t head[JOURNAL_APPEND_HEAD];
	struct writer w = writer_of(head, sizeof(head));

	journal_put_append(&w, &(struct journal_append){n, (uint8_t)kind, {0}});
	assert(!w.full && w.len == sizeof(head) && payload.len <= RECORD_PAYLOAD_MAX);
	journal_link_send(l, head, w.len, payload);
}

void journal_barrier(struct journal_link *l, uint64_t id)
{
	uint8_t head[FRAME_HEADER_SIZE + 8];
	struct writer w = writer_of(head, sizeof(head));

	journal_put_barrier(&w, &(struct journal_barrier){id});
	journal_link_send(l, head, w.len, slice_of(NULL, 0));
}

void journal_reads(struct journal_link *l, uint64_t index)
{
	uint8_t head[FRAME_HEADER_SIZE + 8];
	struct writer w = writer_of(head, sizeof(head));

	journal_put_reads(&w, &(struct journal_reads){index});
	journal_link_send(l, head, w.len, slice_of(NULL, 0));
}

enum rmq_error journal_bad(struct journal_link *l, uint64_t index)
{
	uint8_t head[FRAME_HEADER_SIZE + 8], payload[16];
	struct writer w = writer_of(head, sizeof(head));
	struct journal_mended m;
	size_t len = sizeof(payload);

	journal_put_bad(&w, &(struct journal_bad){index});
	journal_link_send(l, head, w.len, slice_of(NULL, 0));
	if (!journal_link_await(l, JOURNAL_TYPE_MENDED, payload, &len))
		return RMQ_E_JOURNAL_LOST;
	if (!journal_mended_decode(slice_of(payload, len), &m) || m.index != index)
		return RMQ_E_PROTOCOL;
	return (enum rmq_error)m.code;
}

void journal_reserve(struct journal_link *l, uint64_t bytes)
{
	uint8_t head[FRAME_HEADER_SIZE + 8];
	struct writer w = writer_of(head, sizeof(head));

	journal_put_reserve(&w, &(struct journal_reserve){bytes});
	journal_link_send(l, head, w.len, slice_of(NULL, 0));
}

void journal_hole(struct journal_link *l, uint64_t checkpoint, struct slice ranges)
{
	const size_t most = (FRAME_PAYLOAD_MAX - 8) / HOLE_RANGE_SIZE * HOLE_RANGE_SIZE;

	while (ranges.len > 0) {
		uint8_t head[FRAME_HEADER_SIZE + 8];
		struct writer w = writer_of(head, sizeof(head));
		size_t len = ranges.len < most ? ranges.len : most;

		journal_put_hole(&w, &(struct journal_hole){checkpoint, {0}});
		journal_link_send(l, head, w.len, slice_of(ranges.data, len));
		ranges = slice_of(ranges.data + len, ranges.len - len);
	}
}
