/*
 * How many bytes of new messages the cluster may be given: what the voters of the best majority
 * all have room for.  So a node whose disk is full keeps nobody waiting as long as there are
 * others.
 */
#ifndef RMQ_CORE_HOST_CLUSTER_ROOM_H
#define RMQ_CORE_HOST_CLUSTER_ROOM_H

#include "core/host/tail.h"

/* What a voter said last: so many bytes fit behind record `index`; all zeros: nothing yet. */
struct voter_room {
	uint64_t bytes;
	uint64_t index;
};

/* `voters` is left in another order.  What the log holds behind a voter's index counts against
 * it. */
uint64_t cluster_room(struct voter_room *voters, unsigned count, const struct tail *tail);

#endif
