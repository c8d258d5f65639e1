#include "core/host/recovery.h"

#include <stdio.h>

#include "core/base/variant.h"
#include "core/host/level.h"
#include "core/host/members.h"
#include "core/wire/journal_wire.h"

bool recovery_covered(struct raft_place cover, uint64_t last, uint64_t term)
{
	return cover.index == 0 || (cover.index <= last && cover.term == term);
}

static uint64_t term_at(const struct raft_begin *b, uint64_t index)
{
	size_t i = b->term_count;

	while (i > 0 && b->terms[i - 1].index > index)
		i--;
	return i > 0 ? b->terms[i - 1].term : 0;
}

void recovery_look(const struct raft_begin *b, struct recovery_log *log)
{
	log->id = b->id;
	log->term = b->term;
	log->last = b->last;
	log->commit = b->commit;
	log->covered = recovery_covered(b->cover, b->last, term_at(b, b->cover.index));
	log->newest = log->committed = NULL;
	for (size_t i = 0; i < b->config_count; i++) {
		log->newest = b->configs[i].config;
		if (b->configs[i].first <= b->commit)
			log->committed = b->configs[i].config;
	}
}

/* The newest configuration that has this node: its removal may never have been committed. */
static const struct raft_config *mine(const struct recovery_log *log)
{
	if (raft_config_find(log->newest, log->id))
		return log->newest;
	return log->committed && raft_config_find(log->committed, log->id) ? log->committed
									   : NULL;
}

static enum rmq_error check(
    const struct recovery_log *log, const struct raft_config *config, char *why)
{
	const size_t cap = TEXT_MAX + 1;

	if (!log->replica || !log->newest) {
		snprintf(why, cap, "belongs to no cluster: there is nothing to recover");
		return RMQ_E_CONFIG;
	}
	/* Its log may end before that. */
	if (log->ended) {
		snprintf(why, cap, "this node %s", members_removed_text(log->how));
		return RMQ_E_REFUSED;
	}
	if (log->newest->engine != RAFT_ENGINE_BUILT_IN) {
		snprintf(why, cap,
		    "the log of this cluster is in its database (engine = %s), and is complete there: "
		    "any node goes on with that; if the database is lost for good, see PostgreSQL as "
		    "the engine in rmq-cluster(7)",
		    raft_engine_text(log->newest->engine));
		return RMQ_E_REFUSED;
	}
	if (!config) {
		snprintf(why, cap,
		    "its log does not have this node as a member: it was removed, or had "
		    "not joined yet");
		return RMQ_E_REFUSED;
	}
	if (raft_config_find(config, log->id)->leaving == RAFT_EXITS) {
		snprintf(why, cap,
		    "this node was leaving its cluster, which may go on without it: take the "
		    "directory of one that stayed, or, if there is none, rmq-journal backup and "
		    "restore");
		return RMQ_E_REFUSED;
	}
	if (!log->covered && !RMQ_VARIANT(RECOVERED_UNCOVERED)) {
		snprintf(why, cap,
		    "its log is not complete: records are gone from it, and it lacks the "
		    "checkpoint that replaces them; rmq-journal stat DIR DIR2 ... says which "
		    "directory to take");
		return RMQ_E_BAD_DATA;
	}
	if (raft_config_is_voter(config, log->id) && raft_config_voters(config) == 1) {
		snprintf(why, cap,
		    "%s is the only voter already, and needs no other node: start "
		    "rmq-clusterd",
		    raft_config_find(config, log->id)->name);
		return RMQ_E_NOTHING;
	}
	return RMQ_E_OK;
}

/* Those who are lost are told so when they come back. */
static void drop_others(struct recovery *plan, struct raft_id self)
{
	struct raft_config *c = &plan->config;

	for (unsigned i = c->count; i > 0; i--) {
		const struct raft_member *m = &c->members[i - 1];
		if (raft_id_eq(m->id, self))
			continue;
		plan->members++;
		plan->voters += (m->flags & RAFT_VOTER) != 0;
		raft_config_remove(c, m, RAFT_LOST);
	}
}

enum rmq_error recovery_clock(struct wall_time now, char *why)
{
	if (now.ms / 1000 > JOURNAL_EPOCH_S)
		return RMQ_E_OK;
	snprintf(why, TEXT_MAX + 1,
	    "the clock of this machine is before 2024: set it first, as numbers of leases and "
	    "versions go on from the time, and would be given out twice");
	return RMQ_E_REFUSED;
}

enum rmq_error recovery_plan(const struct recovery_log *log, struct raft_id cluster,
    struct wall_time now, struct recovery *plan, char *why)
{
	const struct raft_config *config = log->newest ? mine(log) : NULL;
	enum rmq_error err = check(log, config, why);

	if (!err)
		err = recovery_clock(now, why);
	if (err)
		return err;
	*plan = (struct recovery){.term = log->term + 1,
	    .restored_index = log->last + 1,
	    .config_index = log->last + 2,
	    .learner = !raft_config_is_voter(config, log->id),
	    .config = *config};
	plan->config.level = level_tag();
	drop_others(plan, log->id);
	if (!RMQ_VARIANT(RECOVERED_AS_BEFORE))
		plan->config.cluster = cluster;
	plan->config.generation += plan->config.level > 0;
	plan->config.members[0].flags |= RAFT_VOTER;
	plan->config.members[0].leaving = RAFT_STAYS;
	store_u64(plan->restored, RMQ_VARIANT(RECOVERED_TIMELESS) ? 0 : now.ms);
	return RMQ_E_OK;
}
