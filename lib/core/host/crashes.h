/*
 * Records that the queue daemon does not survive.  A record of which it crashes while it reads the
 * log makes it crash wherever it is started: it would be started again and again, and leadership
 * would go round from node to node.  So a node remembers where its daemon crashed while it read
 * the log, tells the others, and remembers what they tell.  When it has crashed at one place
 * twice here, and there on another node as well, it is not started any more: only another
 * program, or a repaired log, can help.
 *
 * Only what must happen on each node stops the cluster.  So a daemon that ended by itself and
 * said why, one that was killed, and one that had read the whole log count for nothing: of
 * these the cause is on the node (its disk, its memory, a directory that is gone), and another
 * node may do better.
 *
 *	event \ state  NONE    ONCE    AGAIN
 *	DIED           once    again   again    where it crashed the last time
 *	DIED_ELSEWHERE once    once    once     at another place
 *	LEADS          -       -       once     this node leads anew: one more attempt
 *	PASSED         none    none    none     it takes clients, here or elsewhere
 *
 * A place is CRASHES_PLACE records, of which the daemon says that it reads one of them.
 */
#ifndef RMQ_CORE_HOST_CRASHES_H
#define RMQ_CORE_HOST_CRASHES_H

#include "core/base/limits.h"
#include "core/raft/raft_config.h"

/* Where a record is: the first index of its place; 0 is for the first one. */
#define CRASHES_PLACE(index) ((index) & ~(uint64_t)(JOURNAL_PLACE - 1))

enum crashes_state { CRASHES_NONE, CRASHES_ONCE, CRASHES_AGAIN, CRASHES_STATES };
enum crashes_event {
	CRASHES_DIED,
	CRASHES_DIED_ELSEWHERE,
	CRASHES_LEADS,
	CRASHES_PASSED,
	CRASHES_EVENTS
};

/* How a daemon ended. */
enum crashes_end {
	CRASHES_EXITED,	 /* with a status: it said why */
	CRASHES_KILLED,	 /* by somebody, or by the kernel, as when memory is short */
	CRASHES_CRASHED, /* by a signal that it gave itself */
};

/* Of one node. */
struct crashes_word {
	enum crashes_state state;
	uint64_t place; /* not with CRASHES_NONE */
};

/* Zeroed memory to begin with. */
struct crashes {
	struct crashes_word own;
	uint64_t term; /* of this node's newest leadership */
	struct {
		struct raft_id id;
		struct crashes_word word;
	} others[RAFT_MEMBERS_MAX];
	unsigned next; /* of them: a new one takes its place */
};

/* It ended while it read the log; `index` is the last record that it said it reads. */
void crashes_died(struct crashes *c, enum crashes_end how, uint64_t index);
/* It takes clients, here or elsewhere: nothing that was read is deadly. */
void crashes_passed(struct crashes *c);
/* What another node says of its own. */
void crashes_heard(struct crashes *c, struct raft_id id, struct crashes_word word);

/* Whether this node, which leads in this term, may start it. */
bool crashes_may_start(struct crashes *c, uint64_t term);
/*
 * Whether it is deadly here and elsewhere; then *elsewhere is one of the other nodes, and the
 * records are own.place to own.place + JOURNAL_PLACE - 1.
 */
bool crashes_deadly(const struct crashes *c, struct raft_id *elsewhere);

#endif
