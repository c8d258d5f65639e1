#include "core/host/cluster_room.h"

static uint64_t left(const struct voter_room *v, const struct tail *tail)
{
	uint64_t used = tail_bytes_behind(tail, v->index);

	return v->bytes > used ? v->bytes - used : 0;
}

uint64_t cluster_room(struct voter_room *voters, unsigned count, const struct tail *tail)
{
	for (unsigned i = 0; i < count; i++) {
		struct voter_room v = {left(&voters[i], tail), 0};
		unsigned at = i;
		for (; at > 0 && voters[at - 1].bytes < v.bytes; at--)
			voters[at] = voters[at - 1];
		voters[at] = v;
	}
	return count > 0 ? voters[count / 2].bytes : 0;
}
