/*
 * Roles are names that a node has by its settings; `broker`, it may run the queue daemon, is a flag,
 * and never among the names.  A node tells its roles to the others (tell.h); the leader has them
 * committed, and what is committed counts.
 */
#ifndef RMQ_CORE_HOST_ROLES_H
#define RMQ_CORE_HOST_ROLES_H

#include "core/raft/raft_config.h"
#include "core/wire/control_wire.h"

#define ROLES_BROKER "broker"

/* As settings have them. */
struct roles {
	uint8_t flags;			/* RAFT_BROKER, or 0 */
	char names[RAFT_ROLES_MAX + 1]; /* raft_roles_valid() */
};

/* Adds one, which may be there.  False: it is not the name of a role, or there are too many. */
bool roles_add(struct roles *r, const char *role) __attribute__((warn_unused_result));

/* Whether this is among `names`, or `broker` and among `flags`. */
bool roles_has(uint8_t flags, const char *names, const char *role);

/* What this node is to do about the queue daemon, by the newest configuration of its log. */
enum roles_own {
	ROLES_NO_MEMBER,
	ROLES_RUNS,	 /* it runs it when it leads */
	ROLES_PASSES_ON, /* it may not: when it leads it hands over to one that may */
};
enum roles_own roles_own(const struct raft_config *config, struct raft_id self)
    __attribute__((warn_unused_result));

/* All of them, `broker` first, as people read it; "": none. */
#define ROLES_TEXT_MAX (sizeof(ROLES_BROKER) + RAFT_ROLES_MAX)
void roles_text(uint8_t flags, const char *names, char text[ROLES_TEXT_MAX + 1]);

/* The next of such a text, or of `names`, which is passed over; false: there is none. */
bool roles_next(const char **names, struct slice *role);

/*
 * Who leads a role: of the members that have it, are up and not unreachable, the first by name.
 * Whether this one leads in the place of `leader`; "": of nobody.  state: enum control_member_state.
 */
bool roles_leads(uint64_t state, bool unreachable, const char *name, const char *leader)
    __attribute__((warn_unused_result));

/* What a member says; NULL: it is not known. */
typedef const char *roles_told(void *arg, struct raft_id id);

/*
 * Whose roles the leader is to have committed next; NULL: of nobody, or the level does not allow it
 * yet.  `config` is the newest, and committed.
 */
const struct raft_member *roles_due(
    const struct raft_config *config, roles_told *told, void *arg);

#endif
