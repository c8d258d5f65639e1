/*
 * How a member leaves.  What has been agreed stands in the configuration, so whoever leads goes on
 * with it, and the node begins again after a restart:
 *
 *	the configuration says   until
 *	LEAVES			 the node says that it has handed over and runs no queue daemon, or
 *				 it is late; then the leader marks it
 *	EXITS			 a majority of the voters that remain store; then it is removed
 *
 * The node does what one does that is told to end (ending.h), but does not end: it votes until it
 * is no member any more.  If it is elected again it hands over again.
 */
#ifndef RMQ_CORE_HOST_LEAVING_H
#define RMQ_CORE_HOST_LEAVING_H

#include "core/host/commands.h"
#include "core/host/ending.h"

/* A node is late that has had more than the time for all that it does. */
#define LEAVING_MS (ENDING_HAND_OVER_MS + ENDING_DRAIN_MS + 2000)

/* ---- the leader ---- */

/* All zeros to begin with. */
struct leaving {
	struct raft_id id; /* who is looked after; none: nobody */
	uint64_t term;	   /* by the leader of this term */
	uint64_t since_ms;
	struct command_life check; /* whether those who remain store */
};

struct leaving_seen {
	const struct raft_status *log; /* of this node */
	/* This member, which may be this node, has said that it has handed over. */
	bool (*drained)(void *arg, struct raft_id id);
	const struct commands_peers *peers; /* arg is for drained() as well */
};

enum leaving_step { LEAVING_NOTHING, LEAVING_EXITS, LEAVING_REMOVE };

/*
 * A turn of any node.  What is to be proposed: RAFT_MARK_EXITING of *id, or its removal.  One
 * that leaves at a time; the others wait.
 */
enum leaving_step leaving_turn(struct leaving *l, const struct leaving_seen *seen,
    uint64_t now_ms, struct raft_id *id) __attribute__((warn_unused_result));

/* What is proposed for a step that is not LEAVING_NOTHING. */
struct raft_event leaving_event(enum leaving_step step, struct raft_id id);

/* When the next turn is due, UINT64_MAX: whenever there is one. */
uint64_t leaving_due(const struct leaving *l, uint64_t now_ms);

/* ---- the node ---- */

/* leaves: the newest committed configuration says so of this node.  As ending_turn(). */
enum ending_action leaving_own_turn(struct ending *e, bool leaves,
    const struct ending_seen *seen, uint64_t now_ms) __attribute__((warn_unused_result));

/* Its queue daemon is not started any more. */
static inline bool leaving_rests(const struct ending *e)
{
	return e->state == ENDING_DRAINING || e->state == ENDING_ENDED;
}

/* It has handed over and runs no queue daemon, or has no more time for it. */
static inline bool leaving_drained(const struct ending *e)
{
	return e->state == ENDING_ENDED;
}

#endif
