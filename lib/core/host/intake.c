#include "core/host/intake.h"

#include "core/base/limits.h"
#include "core/base/variant.h"
#include "core/wire/event.h"
#include "core/wire/journal_wire.h"
#include "core/wire/record.h"

static uint64_t less(uint64_t room, uint64_t bytes)
{
	if (room == UINT64_MAX)
		return room;
	return room > bytes ? room - bytes : 0;
}

struct intake_room intake_room_less(struct intake_room room, uint64_t bytes)
{
	room.messages = less(room.messages, bytes);
	for (unsigned i = 0; i < INTAKE_SIZES; i++)
		room.records[i] = less(room.records[i], bytes);
	return room;
}

static enum intake_size size_of(size_t payload_len)
{
	if (payload_len <= JOURNAL_SMALL_MAX)
		return INTAKE_SMALL;
	return payload_len <= RECORD_FILL ? INTAKE_ORDINARY : INTAKE_LARGE;
}

static bool fits(const struct intake_room *room, const struct intake_need *need)
{
	uint64_t all = room->records[need->largest], free = room->messages;

	if (need->bytes > all)
		return false;
	return !need->messages || free >= all || need->bytes <= free + (all - free) / 2;
}

bool intake_take(struct intake *in, const struct intake_room *room, struct intake_need *taken,
    uint8_t kind, struct slice payload)
{
	enum intake_size size = size_of(payload.len);
	uint64_t bytes = RECORD_HEADER_SIZE + payload.len;
	struct intake_need all = {
	    taken->bytes + bytes, true, size > taken->largest ? size : taken->largest};

	/* Nobody looks into a record while there is room for whatever it is. */
	if (!fits(room, &all))
		all.messages = kind == RECORD_EVENTS && event_brings_messages(payload);
	if (!fits(room, &all) && !RMQ_VARIANT(TAKES_ALL)) {
		in->first = (struct intake_need){bytes, all.messages, size};
		return false;
	}
	*taken = all;
	return true;
}

void intake_end(struct intake *in, bool whole, uint64_t cover)
{
	in->waits = !whole;
	in->asked = false;
	in->cover = cover;
}

bool intake_asks(struct intake *in, const struct intake_room *room, uint64_t cover)
{
	if (!in->waits || in->asked || (!fits(room, &in->first) && cover <= in->cover))
		return false;
	in->asked = true;
	return true;
}
