/*
 * How many bytes of new messages the cluster may be given: the room that each voter of the best
 * majority that answers has, and never more than the leader's own, whose disk each record
 * needs.  So a node whose disk is full keeps nobody waiting as long as there are others, and a
 * node that is gone has no room.
 */
#ifndef RMQ_CORE_HOST_CLUSTER_ROOM_H
#define RMQ_CORE_HOST_CLUSTER_ROOM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/host/tail.h"

/* The last report of a disk: this many bytes of new messages fit after record `index`. */
struct disk_room {
	uint64_t bytes;
	uint64_t index;
};

struct voter_room {
	struct disk_room disk; /* as it reported; all zeros: nothing yet */
	bool answered;	       /* this leader, in its term */
	uint64_t silent_ms;    /* since then */
};

/*
 * `voters` is left in another order.  The size of the log after a voter's index is subtracted
 * from its room; a voter whose index is further back than is known, or that has been silent for
 * longer than patience_ms, has no room.  It confirms no records that it has not stored either.
 */
uint64_t cluster_room(struct voter_room *voters, unsigned count, const struct disk_room *own,
    const struct tail *tail, uint64_t patience_ms);

/*
 * Whether a member waits for room: its disk is full, and it is not level (raft.h).  What it lacks and
 * what it has needs no room once it has died and is a hole; and that takes a checkpoint, which would
 * be long in coming from a leader whose own disk has room.
 */
bool member_waits_for_room(const struct voter_room *m, bool level, uint64_t patience_ms);

/* The others are told at most this often, unless there is no room left. */
#define ROOM_TELL_MS 100

/* Whether the others are to be told what fits here now, `ms` after they were told. */
bool room_is_news(const struct disk_room *told, const struct disk_room *now, uint64_t ms);

#endif
