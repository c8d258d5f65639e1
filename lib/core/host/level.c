#include "core/host/level.h"

#include "core/base/variant.h"

#include <inttypes.h>
#include <stdio.h>

uint64_t level_tag(void)
{
	return level_newest() >= LEVEL_TAGS ? level_newest() : 0;
}

/* What this member reads, as far as is known. */
static uint64_t reads_of(const struct raft_member *m, const struct level_peers *peers)
{
	return raft_id_eq(m->id, peers->self) ? level_newest()
					      : peers->reads(peers->arg, m->id);
}

/* The member that reads least, 0 if it is away, as it may be any version when it is back; NULL: nobody has joined. */
static const struct raft_member *oldest(
    const struct raft_config *c, const struct level_peers *peers, uint64_t *reads)
{
	const struct raft_member *least = NULL;

	for (unsigned i = 0; i < c->count; i++) {
		const struct raft_member *m = &c->members[i];
		if (raft_id_none(m->id))
			continue;
		uint64_t its = reads_of(m, peers);
		if (RMQ_VARIANT(LEVEL_OF_AWAY) && its == 0)
			continue;
		if (RMQ_VARIANT(LEVEL_OF_LEADER) && !raft_id_eq(m->id, peers->self))
			continue;
		if (!least || its < *reads) {
			least = m;
			*reads = its;
		}
	}
	return least;
}

uint64_t level_due(const struct raft_config *c, const struct level_peers *peers)
{
	uint64_t reads = 0;

	if (!oldest(c, peers, &reads))
		return 0;
	return reads > raft_config_level(c) ? reads : 0;
}

bool level_allows(
    const struct raft_config *c, uint64_t needed, const struct level_peers *peers, char *why)
{
	uint64_t reads = 0;

	if (raft_config_level(c) >= needed)
		return true;
	const struct raft_member *m = oldest(c, peers, &reads);
	if (m && reads > 0 && reads < needed)
		snprintf(why, TEXT_MAX + 1,
		    "it needs records of level %" PRIu64
		    ", which %s does not read: install a newer "
		    "rmq there",
		    needed, m->name);
	else
		snprintf(why, TEXT_MAX + 1,
		    "it needs records of level %" PRIu64
		    ", and it is not known that %s reads them%s",
		    needed, m ? m->name : "a member",
		    m && reads == 0 ? ": it is not up" : " yet");
	return false;
}

bool level_admits(const struct raft_config *c, uint64_t reads, const char *name, char *why)
{
	uint64_t level = raft_config_level(c);

	if (reads >= level || RMQ_VARIANT(LEVEL_UNASKED))
		return true;
	snprintf(why, TEXT_MAX + 1,
	    "the records of the cluster are of level %" PRIu64
	    ", and the rmq of %s reads only up to %" PRIu64
	    ": install there the version that the members have",
	    level, name, reads);
	return false;
}
