/*
 * A member that leaves, or that was removed: what the leader does about others, and what this
 * node does itself.  The decisions are core/host/leaving.h's.
 */
#ifndef RMQ_CLUSTERD_LEAVE_H
#define RMQ_CLUSTERD_LEAVE_H

#include "core/host/leaving.h"

struct cluster;

/* The exit status of a node that was removed and had not left. */
#define LEAVE_DOWNED_EXIT 75

struct leave {
	struct leaving others; /* if this node leads */
	struct ending own;     /* if it leaves itself */
	int status;	       /* with which the process ends; see LEAVE_DOWNED_EXIT */
};

/* The end of a turn. */
void leave_turn(struct cluster *c);
/* When there is something to do without an event; UINT64_MAX: never. */
uint64_t leave_due(const struct cluster *c);
/* Whether this node's queue daemon is not started any more. */
bool leave_rests(const struct cluster *c);
/* Whether it has handed over: NODE_STATE_DRAINED. */
bool leave_drained(const struct cluster *c);
/* For commands_removal: whether a member is up, or is this node. */
bool leave_up(void *arg, struct raft_id id);

#endif
