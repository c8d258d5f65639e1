#include "core/host/roles.h"

#include <stdio.h>
#include <string.h>

#include "core/base/name.h"
#include "core/base/variant.h"

/* Where it stands, or where it would be put; *there: whether it does. */
static size_t place(const char *names, const char *role, bool *there)
{
	struct slice is = slice_str(role);
	size_t at = 0;

	*there = false;
	while (names[at]) {
		struct slice name = slice_of(names + at, strcspn(names + at, ","));
		int order = slice_cmp(name, is);
		*there = order == 0;
		if (order >= 0)
			break;
		at += name.len + (names[at + name.len] == ',');
	}
	return at;
}

bool roles_has(uint8_t flags, const char *names, const char *role)
{
	bool there;

	if (strcmp(role, ROLES_BROKER) == 0)
		return flags & RAFT_BROKER;
	(void)place(names, role, &there);
	return there;
}

bool roles_add(struct roles *r, const char *role)
{
	char names[RAFT_ROLES_MAX + 1] = "";
	bool there;
	int len;

	if (strcmp(role, ROLES_BROKER) == 0) {
		r->flags |= RAFT_BROKER;
		return true;
	}
	if (strlen(role) > RAFT_ROLE_MAX || !name_valid_node(slice_str(role)))
		return false;
	size_t at = place(r->names, role, &there);
	if (there)
		return true;
	const char *after = r->names + at;
	if (*after)
		len =
		    snprintf(names, sizeof(names), "%.*s%s,%s", (int)at, r->names, role, after);
	else
		len =
		    snprintf(names, sizeof(names), "%s%s%s", r->names, at > 0 ? "," : "", role);
	if (len >= (int)sizeof(names))
		return false;
	memcpy(r->names, names, sizeof(names));
	return true;
}

enum roles_own roles_own(const struct raft_config *config, struct raft_id self)
{
	const struct raft_member *is = config ? raft_config_find(config, self) : NULL;

	if (!is)
		return ROLES_NO_MEMBER;
	if ((is->flags & RAFT_BROKER) || RMQ_VARIANT(ROLES_UNSEEN))
		return ROLES_RUNS;
	return RMQ_VARIANT(ROLES_KEPT) ? ROLES_NO_MEMBER : ROLES_PASSES_ON;
}

void roles_text(uint8_t flags, const char *names, char text[ROLES_TEXT_MAX + 1])
{
	bool broker = flags & RAFT_BROKER;

	snprintf(text, ROLES_TEXT_MAX + 1, "%s%s%s", broker ? ROLES_BROKER : "",
	    broker && names[0] ? "," : "", names);
}

bool roles_next(const char **names, struct slice *role)
{
	*role = slice_of(*names, strcspn(*names, ","));
	*names += role->len + ((*names)[role->len] == ',');
	return role->len > 0;
}

bool roles_leads(uint64_t state, bool unreachable, const char *name, const char *leader)
{
	return state == CONTROL_MEMBER_UP && !unreachable &&
	       (!leader[0] || strcmp(name, leader) < 0);
}

const struct raft_member *roles_due(
    const struct raft_config *config, roles_told *told, void *arg)
{
	for (unsigned i = 0; i < config->count; i++) {
		const struct raft_member *m = &config->members[i];
		const char *names = raft_id_none(m->id) ? NULL : told(arg, m->id);
		if (names && strcmp(names, m->roles) != 0)
			return raft_config_level(config) < LEVEL_TAGS ? NULL : m;
	}
	return NULL;
}
