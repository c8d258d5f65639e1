/*
 * The settings that must be the same on all nodes, as each node says them: when it joins, when it
 * calls, and each second.
 *
 * A node whose settings are others is not let in, and does not come in: both compare.  If it says
 * that it does not enforce them, it is, so that settings can be changed one node after the other.
 * Between members, other timers are refused likewise; any other difference is a trouble, and is shown.
 *
 * What one side does not say is not compared: an older node does not say all.
 *
 * The engine is the cluster's for ever: it is compared whatever is enforced, and who does not say it
 * knows only the built-in one.
 */
#ifndef RMQ_CORE_HOST_SETTINGS_H
#define RMQ_CORE_HOST_SETTINGS_H

#include "core/base/cells.h"
#include "core/base/tags.h"
#include "core/host/start_gate.h"

/*      tag NAME	      setting */
#define SETTINGS(X) \
	X(1, ELECTION_TIMEOUT, "election-timeout") \
	X(3, HEARTBEAT, "heartbeat") \
	X(5, CREATE, "create") \
	X(7, MIN_MEMBERS, "min-members") \
	X(9, RIGHTS, "rights") /* none, or the sum of its lines that STATE says */ \
	X(11, ENGINE, "engine") \
	X(13, CELLS, "cells") /* as settings_cells() has them */ \
	X(15, CELL, "cell")

enum setting {
#define X(tag, NAME, name) SETTING_##NAME,
	SETTINGS(X)
#undef X
	    SETTINGS_COUNT
};

enum settings_tag {
#define X(tag, NAME, name) SETTINGS_TAG_##NAME = tag,
	SETTINGS(X)
#undef X
	    SETTINGS_TAG_UNENFORCED = 255, /* u8 1: the sender does not enforce them */
};

/* A number of members, and one for each role. */
#define SETTINGS_VALUE_MAX (1 + MIN_MEMBERS_ROLES * (1 + RAFT_ROLE_MAX + 2))

struct settings {
	char value[SETTINGS_COUNT][SETTINGS_VALUE_MAX + 1]; /* as rmq.conf(5); "": not known */
};

/* ---- made ---- */

void settings_times(struct settings *s, uint64_t election_ms, uint64_t heartbeat_ms);
/* As STATE says them: create, and rights. */
#define SETTINGS_FLAGS(flags) \
	((flags) & (NODE_STATE_EXPLICIT | NODE_STATE_RIGHTS | UINT32_C(0xffff0000)))
void settings_flags(struct settings *s, uint32_t flags);
/* enum raft_engine. */
void settings_engine(struct settings *s, uint8_t engine);
/*
 * The sum of a list, which is not said itself as it may be long: equal for lists whose cells have the same names, in
 * order, are at the same servers, and hash.  An empty list and "": "(none)", as a node says that has no such setting.
 */
void settings_cells(struct settings *s, const struct cells *cells, const char *cell);
/* The same text whatever the order of its roles. */
void settings_min_members(struct settings *s, const struct min_members *min);
/* What `from` says counts, where it says something. */
void settings_take(struct settings *s, const struct settings *from);

/* ---- told ---- */

/* Larger than any list of tags that settings_encode() writes. */
#define SETTINGS_SIZE_MAX (SETTINGS_COUNT * (4 + SETTINGS_VALUE_MAX) + 5)
/* w->full: there is no room. */
void settings_encode(struct writer *w, const struct settings *s, bool unenforced);
/*
 * RMQ_E_PROTOCOL: no list of tags, or a known one is too long, empty, or no visible ASCII; RMQ_E_VERSION: it
 * has an unknown even tag.  Then *s and *unenforced are untouched.
 */
enum rmq_error settings_decode(struct slice tags, struct settings *s, bool *unenforced)
    __attribute__((warn_unused_result));

/* ---- compared ---- */

/* A node, as those who read of it call it; NULL: this one. */
struct settings_of {
	const struct settings *settings;
	const char *name;
};

/* The next, from this one on, that both say, and not the same; SETTINGS_COUNT: none. */
enum setting settings_differ(const struct settings *a, const struct settings *b, unsigned from);

/* TEXT_MAX + 1 bytes: how it differs, and what to do. */
void settings_text(
    char *text, enum setting which, const struct settings_of *a, const struct settings_of *b);

/*
 * Whether `node` may be with `member`.  RMQ_E_CONFIG: their engines differ, or another setting
 * and it enforces them: `text`, TEXT_MAX + 1 bytes, names the first one.
 */
enum rmq_error settings_admit(const struct settings_of *node, const struct settings_of *member,
    bool enforce, char *text) __attribute__((warn_unused_result));

#endif
