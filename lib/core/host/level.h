/*
 * When the level of a cluster's records (core/base/level.h) is raised, and who may come in then.
 *
 * The leader raises it when all members that have joined say, over a link that is up, that they
 * read a higher one: so no node ever has a record that it does not read.  One that is away may come back
 * as an older version, and holds it back; one that was only admitted does not, since it is refused later
 * if it is too old.  It is never lowered: from then on no older version can come back.
 */
#ifndef RMQ_CORE_HOST_LEVEL_H
#define RMQ_CORE_HOST_LEVEL_H

#include "core/base/level.h"
#include "core/raft/raft_config.h"

/* The newest, as a CONFIG of a new cluster has it: 0 if that is one without tags. */
uint64_t level_tag(void);

/* What other members say. */
struct level_peers {
	const void *arg;
	struct raft_id self;
	/* The newest that this one reads; 0: no link with it is up. */
	uint64_t (*reads)(const void *arg, struct raft_id id);
};

/* To which level this configuration is to be raised; 0: it is not. */
uint64_t level_due(const struct raft_config *c, const struct level_peers *peers);
/*
 * Whether `needed` may be written by now; else `why`, TEXT_MAX + 1 bytes, names the member that
 * holds it back.
 */
bool level_allows(
    const struct raft_config *c, uint64_t needed, const struct level_peers *peers, char *why);
/*
 * Whether a node that reads this level may be, or become, a member; else `why`, TEXT_MAX + 1 bytes, says
 * what it needs.
 */
bool level_admits(const struct raft_config *c, uint64_t reads, const char *name, char *why);

#endif
