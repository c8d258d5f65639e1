/*
 * How many bytes of new messages the cluster may be given: what the voters of the best majority
 * that answers all have room for, and never more than the leader has itself, whose disk each
 * record needs.  So a node whose disk is full keeps nobody waiting as long as there are others,
 * and one that is gone takes nothing in.
 */
#ifndef RMQ_CORE_HOST_CLUSTER_ROOM_H
#define RMQ_CORE_HOST_CLUSTER_ROOM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/host/tail.h"

/* What a disk has said last: so many bytes of new messages fit after record `index`. */
struct disk_room {
	uint64_t bytes;
	uint64_t index;
};

struct voter_room {
	struct disk_room disk; /* as it told; all zeros: nothing yet */
	bool answered;	       /* this leader, in its term */
	uint64_t silent_ms;    /* since then */
};

/*
 * `voters` is left in another order.  What the log holds after a voter's index counts against
 * it; one that is further after than is known, or has been silent for longer than patience_ms,
 * has no room.  What it has not stored by then is not confirmed by it either.
 */
uint64_t cluster_room(struct voter_room *voters, unsigned count, const struct disk_room *own,
    const struct tail *tail, uint64_t patience_ms);

/* How often the others are told at most, unless there is none left. */
#define ROOM_TELL_MS 100

/* Whether the others are to be told what fits here now, `ms` after they were told. */
bool room_is_news(const struct disk_room *told, const struct disk_room *now, uint64_t ms);

#endif
