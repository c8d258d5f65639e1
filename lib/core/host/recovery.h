/*
 * A cluster that has lost its majority for good goes on from the log of one node: what a recovery
 * makes of it.  A log that is not covered (raft.h) lacks checkpoints that made holes in it, and is
 * refused.  What only lost nodes had stored is lost, confirmed or not; what this node has stays,
 * committed or not, as it would if this node were elected.
 *
 * It is a new cluster, with an id and a first configuration of its own, of which this node is the only
 * voter: those who are lost have another id in their logs, so nothing that they say counts here if
 * they come back; it counts how often it was recovered, and remembers who is lost, to tell them.  The
 * configurations of the old cluster go: no other disk may have a log in common
 * with the new one, and who joins would link those who are lost.  Two records are appended, of a
 * term that is newer than all that this node was in:
 *
 *	RESTORED  time was lost: no number of a lease or a start is given out twice
 *	CONFIG	  this node, the only voter; commit is its index
 *
 * All of it is one transaction: a recovery has not happened, or is done.
 */
#ifndef RMQ_CORE_HOST_RECOVERY_H
#define RMQ_CORE_HOST_RECOVERY_H

#include "core/base/time.h"
#include "core/raft/raft.h"

/* Whether a log that ends at `last` has its cover; `term`: of what it has there, if it reaches so far. */
bool recovery_covered(struct raft_place cover, uint64_t last, uint64_t term);

/* What a directory holds. */
struct recovery_log {
	struct raft_id id;
	bool replica; /* it was ever a node's */
	bool covered;
	bool ended; /* it was told that it is no member any more: */
	enum raft_how how;
	uint64_t term;			     /* the newest that it was in */
	uint64_t last;			     /* index */
	uint64_t commit;		     /* as far as it knows */
	const struct raft_config *newest;    /* configuration in it, NULL: none */
	const struct raft_config *committed; /* the newest that is, NULL: none */
};

/* Sets all but replica, ended and how as the directory says; configurations are borrowed from *b. */
void recovery_look(const struct raft_begin *b, struct recovery_log *log);

struct recovery {
	struct raft_config config;
	uint64_t term;		  /* of both records */
	uint64_t restored_index;  /* of RESTORED */
	uint64_t config_index;	  /* of CONFIG, and the commit index */
	uint8_t restored[8];	  /* payload of RESTORED */
	unsigned voters, members; /* that are lost; all of them */
	bool learner;		  /* this node had no vote */
};

/*
 * Whether numbers can go on from this time where some that were given out are not in the log.  RMQ_E_REFUSED:
 * no, why[TEXT_MAX + 1] says what to do.
 */
enum rmq_error recovery_clock(struct wall_time now, char *why)
    __attribute__((warn_unused_result));

/*
 * What is to be done with it; `cluster` is the new id, random.  Else why[TEXT_MAX + 1]:
 * RMQ_E_CONFIG: it is no node's of a cluster; RMQ_E_REFUSED: the node was removed, or was
 * about to be; RMQ_E_BAD_DATA:
 * not covered; RMQ_E_NOTHING: it is the only voter already.
 */
enum rmq_error recovery_plan(const struct recovery_log *log, struct raft_id cluster,
    struct wall_time now, struct recovery *plan, char *why) __attribute__((warn_unused_result));

#endif
