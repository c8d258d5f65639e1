#include "core/host/cluster_room.h"

#include "core/base/variant.h"
#include "core/host/health.h"

static uint64_t left(const struct disk_room *disk, const struct tail *tail)
{
	uint64_t used = tail_bytes_after(tail, disk->index);

	return disk->bytes > used ? disk->bytes - used : 0;
}

static bool answers(const struct voter_room *m, uint64_t patience_ms)
{
	return m->answered && m->silent_ms <= patience_ms;
}

uint64_t cluster_room(struct voter_room *voters, unsigned count, const struct disk_room *own,
    const struct tail *tail, uint64_t patience_ms)
{
	uint64_t here = left(own, tail), best;

	for (unsigned i = 0; i < count; i++) {
		struct voter_room v = {0};
		unsigned at = i;
		if (answers(&voters[i], patience_ms) || RMQ_VARIANT(ROOM_OF_DEAD))
			v.disk.bytes = left(&voters[i].disk, tail);
		for (; at > 0 && voters[at - 1].disk.bytes < v.disk.bytes; at--)
			voters[at] = voters[at - 1];
		voters[at] = v;
	}
	best = count > 0 ? voters[count / 2].disk.bytes : 0;
	return best < here || RMQ_VARIANT(ROOM_ELSEWHERE) ? best : here;
}

bool member_waits_for_room(const struct voter_room *m, bool level, uint64_t patience_ms)
{
	return answers(m, patience_ms) && m->disk.index > 0 &&
	       m->disk.bytes < HEALTH_FULL_BYTES && !level && !RMQ_VARIANT(HOLES_UNWANTED);
}

bool room_is_news(const struct disk_room *told, const struct disk_room *now, uint64_t ms)
{
	bool differs = told->index != now->index ||
		       (told->bytes != now->bytes && !RMQ_VARIANT(ROOM_UNTOLD));
	bool ends = now->bytes == 0 && told->bytes > 0;

	return ends || (differs && ms >= ROOM_TELL_MS);
}
