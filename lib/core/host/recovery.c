#include "core/host/recovery.h"

#include <stdio.h>

static enum rmq_error check(
    const struct recovery_log *log, const struct raft_member **self, char *why)
{
	const size_t cap = TEXT_MAX + 1;

	if (!log->replica || !log->newest) {
		snprintf(why, cap, "belongs to no cluster: there is nothing to recover");
		return RMQ_E_CONFIG;
	}
	*self = raft_config_find(log->newest, log->id);
	/* A removal that may never have been committed. */
	if (!*self && log->committed)
		*self = raft_config_find(log->committed, log->id);
	if (!*self) {
		snprintf(why, cap,
		    "its log does not have this node as a member: it was removed, or had "
		    "not joined yet");
		return RMQ_E_REFUSED;
	}
	if (!log->covered) {
		snprintf(why, cap,
		    "its log is not complete: records are gone from it, and it lacks the "
		    "checkpoint that replaces them; rmq-journal stat DIR DIR2 ... says which "
		    "directory to take");
		return RMQ_E_BAD_DATA;
	}
	if (raft_config_is_voter(log->newest, log->id) &&
	    raft_config_voters(log->newest) == 1) {
		snprintf(why, cap,
		    "%s is the only voter already, and needs no other node: start "
		    "rmq-clusterd",
		    (*self)->name);
		return RMQ_E_NOTHING;
	}
	return RMQ_E_OK;
}

enum rmq_error recovery_plan(const struct recovery_log *log, struct raft_id cluster,
    struct wall_time now, struct recovery *plan, char *why)
{
	const struct raft_member *self;
	enum rmq_error err = check(log, &self, why);

	if (err)
		return err;
	*plan = (struct recovery){.term = log->term + 1,
	    .restored_index = log->last + 1,
	    .config_index = log->last + 2,
	    .learner = !(self->flags & RAFT_VOTER),
	    .config = {.cluster = cluster, .count = 1, .members = {*self}}};
	plan->config.members[0].flags |= RAFT_VOTER;
	store_u64(plan->restored, now.ms);
	for (unsigned i = 0; i < log->newest->count; i++) {
		const struct raft_member *m = &log->newest->members[i];
		bool lost = !raft_id_eq(m->id, log->id);
		plan->members += lost;
		plan->voters += lost && (m->flags & RAFT_VOTER);
	}
	return RMQ_E_OK;
}
