/*
 * The members of a cluster: the payload of a record of kind CONFIG.
 *
 *	u16 number of members, then each: u8 length and name, 32 bytes public key,
 *	16 bytes incarnation, u8 flags
 *
 * A node is known by its incarnation, made at random with its data directory: a node
 * that lost its disk is another one, so no vote and no acknowledgement is ever given
 * twice in one name.
 */
#ifndef RMQ_CORE_RAFT_CONFIG_H
#define RMQ_CORE_RAFT_CONFIG_H

#include "core/codec.h"
#include "core/error.h"
#include "core/limits.h"

#define RAFT_ID_SIZE  16
#define RAFT_KEY_SIZE 32

/* An incarnation.  All zero: none. */
struct raft_id {
	uint8_t bytes[RAFT_ID_SIZE];
};

/*      name    bit  what the node does */
#define RAFT_FLAGS(X) \
	X(VOTER, 1)  /* counts for majorities; without it, it is a learner */ \
	X(BROKER, 2) /* may run the queue daemon */

enum raft_flag {
#define X(name, bit) RAFT_##name = bit,
	RAFT_FLAGS(X)
#undef X
};

struct raft_member {
	char name[RAFT_NAME_MAX + 1]; /* ended by NUL */
	uint8_t key[RAFT_KEY_SIZE];
	struct raft_id id;
	uint8_t flags;
};

struct raft_config {
	unsigned count;
	struct raft_member members[RAFT_MEMBERS_MAX];
};

#define RAFT_CONFIG_SIZE_MAX \
	(2 + RAFT_MEMBERS_MAX * (1 + RAFT_NAME_MAX + RAFT_KEY_SIZE + RAFT_ID_SIZE + 1))

/* Writes it; w->full is set if there is no room. */
void raft_config_encode(struct writer *w, const struct raft_config *c);

/*
 * RMQ_E_BAD_DATA: cut, left-over bytes, unknown flags, an empty name or one with NUL, no
 * incarnation, or a name or incarnation that comes twice; *c is untouched then.
 */
enum rmq_error raft_config_decode(struct slice s, struct raft_config *c)
    __attribute__((warn_unused_result));

/* NULL: it is not a member. */
const struct raft_member *raft_config_find(const struct raft_config *c, struct raft_id id);
bool raft_config_is_voter(const struct raft_config *c, struct raft_id id);
unsigned raft_config_voters(const struct raft_config *c);

static inline bool raft_id_eq(struct raft_id a, struct raft_id b)
{
	return memcmp(a.bytes, b.bytes, RAFT_ID_SIZE) == 0;
}

static inline bool raft_id_none(struct raft_id id)
{
	return raft_id_eq(id, (struct raft_id){{0}});
}

#endif
