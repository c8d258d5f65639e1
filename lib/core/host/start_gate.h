/*
 * min-members: the queue daemon first starts once so many members have been up, in all and of each
 * role.  The leader sees that they are, and has it committed (the latch): from then on no leader waits
 * for them again, however few are up.  It keeps a cluster that is being made from taking messages
 * before it is as safe as it is meant to be.  It makes nothing safe: that is the majority's part.
 *
 * Up is a voter that the leader hears; of itself it is.  Below the level of tags nothing can be latched,
 * and older nodes would not wait: then nobody does.
 */
#ifndef RMQ_CORE_HOST_START_GATE_H
#define RMQ_CORE_HOST_START_GATE_H

#include "core/raft/raft_config.h"

#define MIN_MEMBERS_ROLES 8

/* Of settings; all zeros: one will do. */
struct min_members {
	unsigned all;
	unsigned count; /* of roles */
	struct {
		char role[RAFT_ROLE_MAX + 1];
		unsigned members;
	} roles[MIN_MEMBERS_ROLES];
};

enum start_gate {
	START_GATE_OPEN,
	START_GATE_LATCHES, /* all that is wanted is up: it is to be committed */
	START_GATE_WAITS,
};

/* What it waits for. */
struct start_gate_lack {
	const char *role; /* NULL: of whatever role */
	unsigned wanted, up;
};

/* Whether the leader hears it, or is it. */
typedef bool start_gate_up(void *arg, struct raft_id id);

/* On the leader that serves.  config: the newest that is committed; *lack: of WAITS. */
enum start_gate start_gate_look(const struct min_members *min, const struct raft_config *config,
    start_gate_up *up, void *arg, struct start_gate_lack *lack)
    __attribute__((warn_unused_result));

#endif
