/* Names: [A-Za-z0-9_][A-Za-z0-9._-]*; a queue's has at most 123 bytes, ".dead" may follow. */
#ifndef RMQ_CORE_BASE_NAME_H
#define RMQ_CORE_BASE_NAME_H

#include "core/base/codec.h"

bool name_valid(struct slice name);

/* Whether it may be a node's name: at most RAFT_NAME_MAX bytes. */
bool name_valid_node(struct slice name);

/* Whether it names a dead-letter queue (ends in ".dead"). */
bool name_is_dead(struct slice name);

/* Whether `name` matches a glob of literal characters, `*` and `?`, anchored. */
bool name_matches(struct slice name, struct slice glob);
/*
 * Whether all topics that match a pattern (topic.h) match the glob, as far as the two texts show it:
 * a wildcard of the pattern must be covered by `*` of the glob.
 */
bool name_pattern_within(struct slice pattern, struct slice glob);

/* The queue of a session's ephemeral subscription: "sub-SESSION-SUB". */
#define NAME_EPHEMERAL_MAX 40
bool name_is_ephemeral(struct slice name);
struct slice name_of_ephemeral(char name[NAME_EPHEMERAL_MAX], uint64_t session, uint32_t sub);

#endif
