/*
 * Whether a node adopts the log that a database holds, of a cluster all of whose data directories are lost.
 *
 * It has a new directory, and is a member of nothing.  It is fed the log from the tables (database.h), and then
 * stands for election though it is no member (raft.h, RAFT_EVENT_ADOPT): by the same statements, and under the
 * same conditions, as any node that is elected, so it has all that was ever confirmed.  Its first record but the NOOP
 * removes all members and adds this node, as an administrator would who downs them all.  The cluster stays the same, and so
 * do the numbers of its leases and sessions: no time was lost.
 *
 * It is not done while a node leads by the lease in the row, nor if a seed answers that it knows a cluster
 * (founding.h): such a node can let this one in.  What it cannot know is whether the database has lost what was confirmed,
 * as only the directories that are lost knew that: who adopts answers for the server.
 *
 * Pure; times are monotonic milliseconds of the node.
 */
#ifndef RMQ_CORE_HOST_ADOPTION_H
#define RMQ_CORE_HOST_ADOPTION_H

#include "core/host/database.h"

/* All zeros to begin with. */
struct adoption {
	bool begun;
	uint64_t moved_ms; /* when it came on last, or began */
	uint64_t last, commit;
	bool leased; /* a node led by its lease, at leased_ms, for so long */
	uint64_t leased_ms, lease_ms;
	char names[TEXT_MAX + 1]; /* of the members that go */
};

struct adoption_seen {
	struct raft_id self;
	const struct raft_status *log; /* of this node */
	const struct database_status *database;
	const char *trouble; /* with the database, in words; "": none */
	uint64_t now_ms;
	uint64_t patience_ms; /* without a move of the log */
};

enum adoption_step {
	ADOPTION_WAITS,
	ADOPTION_ADOPTS,  /* RAFT_EVENT_ADOPT is due, if the node does not adopt yet */
	ADOPTION_DONE,	  /* it is the only member, by a committed record, and leads; text */
	ADOPTION_REFUSED, /* *code, text */
};

/*
 * What is due, to be asked again and again from when it begins; text[TEXT_MAX + 1].  *code: RMQ_E_EXISTS: the node is a member, or
 * another one leads; RMQ_E_NOTHING: the database has no log; RMQ_E_REFUSED: the log is not whole yet;
 * RMQ_E_NO_DAEMON: the database cannot be used, or the log does not come on.
 */
enum adoption_step adoption_turn(struct adoption *a, const struct adoption_seen *s,
    enum rmq_error *code, char *text) __attribute__((warn_unused_result));

#endif
