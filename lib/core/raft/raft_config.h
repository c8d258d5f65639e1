/*
 * The members of a cluster: the payload of a record of kind CONFIG.
 *
 * A node is known by its incarnation, made at random with its data directory: a node that lost
 * its disk is another one, so no vote and no acknowledgement is ever given twice under the same
 * identity.  A member without an incarnation was admitted and has not joined yet: it is no peer
 * and counts for nothing.
 */
#ifndef RMQ_CORE_RAFT_RAFT_CONFIG_H
#define RMQ_CORE_RAFT_RAFT_CONFIG_H

#include "core/base/codec.h"
#include "core/base/error.h"
#include "core/base/limits.h"

#define RAFT_ID_SIZE  16
#define RAFT_KEY_SIZE 32

/* Made at random: names an incarnation, or a cluster.  All zero: none. */
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

/* Once, then `members` times a MEMBER.  cluster: RAFT_ID_SIZE bytes. */
#define RAFT_CONFIG_HEAD(F) F(str, cluster) F(u16, members)
/*
 * name: name_valid_node().  key: RAFT_KEY_SIZE bytes.  id: RAFT_ID_SIZE bytes, or empty:
 * none.  address: where the node listens; gate: where its gate does; "": nowhere.
 */
#define RAFT_CONFIG_MEMBER(F) \
	F(str, name) F(str, key) F(str, id) F(u8, flags) F(str, address) F(str, gate)

struct raft_member {
	char name[RAFT_NAME_MAX + 1]; /* texts are ended by NUL */
	uint8_t key[RAFT_KEY_SIZE];
	struct raft_id id;
	uint8_t flags;
	char address[RAFT_ADDRESS_MAX + 1];
	char gate[RAFT_ADDRESS_MAX + 1];
};

struct raft_config {
	struct raft_id cluster;
	unsigned count;
	struct raft_member members[RAFT_MEMBERS_MAX];
};

#define RAFT_MEMBER_SIZE_MAX \
	(6 + RAFT_NAME_MAX + RAFT_KEY_SIZE + RAFT_ID_SIZE + 2 * RAFT_ADDRESS_MAX)
#define RAFT_CONFIG_SIZE_MAX (1 + RAFT_ID_SIZE + 2 + RAFT_MEMBERS_MAX * RAFT_MEMBER_SIZE_MAX)
static_assert(RAFT_CONFIG_SIZE_MAX <= RECORD_PAYLOAD_MAX, "a configuration fits into a record");

/* Writes it; w->full is set if there is no room. */
void raft_config_encode(struct writer *w, const struct raft_config *c);

/*
 * RMQ_E_BAD_DATA: cut, left-over bytes, no cluster, too many members, or a member that is
 * invalid (raft_member_valid()) or has the name, the key or the incarnation of another; *c is
 * untouched then.
 */
enum rmq_error raft_config_decode(struct slice s, struct raft_config *c)
    __attribute__((warn_unused_result));

/*
 * Name and addresses are well-formed (addresses: visible ASCII), flags are known, and a member
 * without an incarnation is not a voter.
 */
bool raft_member_valid(const struct raft_member *m);
/* Visible ASCII, or nothing. */
bool raft_address_valid(const char *s);

/* NULL: no such member.  No incarnation is that of no one. */
const struct raft_member *raft_config_find(const struct raft_config *c, struct raft_id id);
const struct raft_member *raft_config_find_name(const struct raft_config *c, const char *name);
const struct raft_member *raft_config_find_key(
    const struct raft_config *c, const uint8_t key[RAFT_KEY_SIZE]);
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

/* Its bytes, borrowed, as messages have it: empty if it is none. */
static inline struct slice raft_id_slice(const struct raft_id *id)
{
	return slice_of(id->bytes, raft_id_none(*id) ? 0 : RAFT_ID_SIZE);
}

/*
 * No node's: a vote for it is for nobody, in this term and later ones.  It holds the index of the
 * configuration with which the node began that was told so.
 */
static inline struct raft_id raft_id_of_forgot(uint64_t config_index)
{
	struct raft_id id;
	memset(id.bytes, 0xff, RAFT_ID_SIZE - 8);
	store_u64(id.bytes + RAFT_ID_SIZE - 8, config_index);
	return id;
}

/* *config_index: as above. */
static inline bool raft_id_forgot(struct raft_id id, uint64_t *config_index)
{
	*config_index = load_u64(id.bytes + RAFT_ID_SIZE - 8);
	return raft_id_eq(id, raft_id_of_forgot(*config_index));
}

#endif
