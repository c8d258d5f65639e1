#include "core/host/start_gate.h"

#include "core/base/variant.h"
#include "core/host/roles.h"

/* Voters that are up, of this role if it is not NULL. */
static unsigned count(
    const struct raft_config *config, const char *role, start_gate_up *up, void *arg)
{
	unsigned n = 0;

	for (unsigned i = 0; i < config->count; i++) {
		const struct raft_member *m = &config->members[i];
		n += (m->flags & RAFT_VOTER) && up(arg, m->id) &&
		     (!role || roles_has(m->flags, m->roles, role));
	}
	return n;
}

enum start_gate start_gate_look(const struct min_members *min, const struct raft_config *config,
    start_gate_up *up, void *arg, struct start_gate_lack *lack)
{
	bool latched = config->latch && !RMQ_VARIANT(LATCH_FORGOTTEN);

	if (latched || (min->all <= 1 && min->count == 0) ||
	    raft_config_level(config) < LEVEL_TAGS)
		return START_GATE_OPEN;
	*lack = (struct start_gate_lack){NULL, min->all, count(config, NULL, up, arg)};
	for (unsigned i = 0; lack->up >= lack->wanted && i < min->count; i++)
		*lack = (struct start_gate_lack){min->roles[i].role, min->roles[i].members,
		    count(config, min->roles[i].role, up, arg)};
	if (lack->up < lack->wanted)
		return START_GATE_WAITS;
	return config->latch || RMQ_VARIANT(LATCH_UNCOMMITTED) ? START_GATE_OPEN
							       : START_GATE_LATCHES;
}
