/*
 * The members of a cluster: the payload of a record of kind CONFIG.
 *
 * A node is known by its incarnation, made at random with its data directory: a node that lost
 * its disk is another one, so no vote and no acknowledgement is ever given twice under the same
 * identity.  A member without an incarnation was admitted and has not joined yet: it is no peer
 * and counts for nothing.
 *
 * What else the cluster has agreed about its members stands in tags after them, if there is
 * any.  Each node writes a configuration that it is sent anew, so none may pass over a tag: one
 * that a program does not know ends it, and tags are used from LEVEL_TAGS on.
 */
#ifndef RMQ_CORE_RAFT_RAFT_CONFIG_H
#define RMQ_CORE_RAFT_RAFT_CONFIG_H

#include "core/base/codec.h"
#include "core/base/error.h"
#include "core/base/level.h"
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

/*      of      tag  name        what it holds */
#define RAFT_CONFIG_TAGS(X) \
	X(HEAD, 1, \
	    GENERATION)	      /* u64: so often the cluster was recovered without a majority */ \
	X(HEAD, 3, LEVEL)     /* u64: what all members read, from 2 on */ \
	X(HEAD, 5, LATCH)     /* u8 1: so many were up that the queue daemon may start */ \
	X(HEAD, 7, REMOVED)   /* the last ones, the newest last: id, key, u8 how, str name */ \
	X(HEAD, 9, ENGINE)    /* u8: enum raft_engine, not 0 */ \
	X(MEMBER, 1, LEAVING) /* u8: enum raft_leaving, not 0 */ \
	X(MEMBER, 3, ROLES)   /* names, sorted, parted by commas */

enum raft_config_tag {
#define X(of, tag, name) RAFT_##of##_##name = tag,
	RAFT_CONFIG_TAGS(X)
#undef X
};

/*      name    value text */
#define RAFT_HOWS(X) \
	X(LEFT, 0, "left") \
	X(DOWNED, 1, "downed") \
	X(REPLACED, 2, "replaced") \
	X(LOST, 3, "lost") /* the cluster was recovered without it */

enum raft_how {
#define X(name, value, text) RAFT_##name = value,
	RAFT_HOWS(X)
#undef X
};

/*
 * Who keeps the log, and votes: the nodes themselves, or a database.  Each configuration says it, so that no
 * node of a database elects a leader beside it, whatever its settings are.
 */
/*      name        value text */
#define RAFT_ENGINES(X) \
	X(BUILT_IN, 0, "built-in") \
	X(POSTGRESQL, 1, "postgresql")

enum raft_engine {
#define X(name, value, text) RAFT_ENGINE_##name = value,
	RAFT_ENGINES(X)
#undef X
};

enum raft_leaving {
	RAFT_STAYS,
	RAFT_LEAVES, /* is told to: hands over, and ends its queue daemon */
	RAFT_EXITS,  /* has done so, and is to be removed */
};

/* What RAFT_EVENT_MARK changes, see raft_config_mark(). */
enum raft_mark {
	RAFT_MARK_LEAVING,
	RAFT_MARK_EXITING,
	RAFT_MARK_ROLES,
	RAFT_MARK_LATCH,
	RAFT_MARK_LEVEL,
	RAFT_MARKS
};

struct raft_member {
	char name[RAFT_NAME_MAX + 1]; /* texts are ended by NUL */
	uint8_t key[RAFT_KEY_SIZE];
	struct raft_id id;
	uint8_t flags;
	char address[RAFT_ADDRESS_MAX + 1];
	char gate[RAFT_ADDRESS_MAX + 1];
	uint8_t leaving;		/* enum raft_leaving */
	char roles[RAFT_ROLES_MAX + 1]; /* raft_roles_valid() */
};

/* An incarnation that was a member. */
struct raft_removed {
	struct raft_id id;
	uint8_t key[RAFT_KEY_SIZE];
	uint8_t how; /* enum raft_how */
	char name[RAFT_NAME_MAX + 1];
};

struct raft_config {
	struct raft_id cluster;
	unsigned count;
	struct raft_member members[RAFT_MEMBERS_MAX];
	uint64_t generation;
	uint64_t level; /* 0: 1, of a cluster that began when there was no other */
	bool latch;
	uint8_t engine; /* enum raft_engine */
	unsigned removed_count;
	struct raft_removed removed[RAFT_REMOVED_MAX]; /* the newest last */
};

#define RAFT_MEMBER_SIZE_MAX \
	(6 + RAFT_NAME_MAX + RAFT_KEY_SIZE + RAFT_ID_SIZE + 2 * RAFT_ADDRESS_MAX)
#define RAFT_REMOVED_SIZE_MAX (RAFT_ID_SIZE + RAFT_KEY_SIZE + 1 + 1 + RAFT_NAME_MAX)
#define RAFT_HEAD_TAGS_MAX    (2 * 12 + 2 * 5 + 4 + RAFT_REMOVED_MAX * RAFT_REMOVED_SIZE_MAX)
#define RAFT_MEMBER_TAGS_MAX  (5 + 4 + RAFT_ROLES_MAX)
#define RAFT_CONFIG_SIZE_MAX \
	(1 + RAFT_ID_SIZE + 2 + 2 + RAFT_HEAD_TAGS_MAX + \
	    RAFT_MEMBERS_MAX * (RAFT_MEMBER_SIZE_MAX + 2 + RAFT_MEMBER_TAGS_MAX))
static_assert(RAFT_CONFIG_SIZE_MAX <= RECORD_PAYLOAD_MAX, "a configuration fits into a record");

/* Writes it; w->full is set if there is no room. */
void raft_config_encode(struct writer *w, const struct raft_config *c);

/*
 * RMQ_E_BAD_DATA: cut, left-over bytes, no cluster, too many members, or a member that is
 * invalid (raft_member_valid()) or has the name, the key or the incarnation of another, or tags
 * that are not as raft_config_encode() writes them.  RMQ_E_VERSION: a tag, or a level, that this
 * program does not know.  *c is untouched then.
 */
enum rmq_error raft_config_decode(struct slice s, struct raft_config *c)
    __attribute__((warn_unused_result));

/*
 * Name, addresses and roles are well-formed (addresses: visible ASCII), flags are known, and a
 * member without an incarnation is not a voter, does not leave and has no roles; nobody's is
 * RAFT_DATABASE.
 */
bool raft_member_valid(const struct raft_member *m);
/* Visible ASCII, or nothing. */
bool raft_address_valid(const char *s);

/* Nothing, or names that ascend, parted by commas, each of at most RAFT_ROLE_MAX bytes. */
bool raft_roles_valid(const char *s);

/* Whether both are encoded to the same bytes. */
bool raft_config_eq(const struct raft_config *a, const struct raft_config *b);

static inline uint64_t raft_config_level(const struct raft_config *c)
{
	return c->level > 0 ? c->level : LEVEL_FIRST;
}

/*
 * Changes it, or leaves it as it is: RMQ_E_OK.  id: of a member that has joined.
 *	LEAVING	 id leaves; RMQ_E_LIMIT: no voter would be left that stays
 *	EXITING	 id, which leaves, has handed over
 *	ROLES	 id has the roles that `text` names
 *	LATCH	 is set
 *	LEVEL	 is raised to `value`, at most level_newest()
 * RMQ_E_NOTHING: no such member, or it does not leave; RMQ_E_BAD_DATA: no roles, or no level;
 * RMQ_E_VERSION: the level does not allow it yet.
 */
enum rmq_error raft_config_mark(struct raft_config *c, enum raft_mark mark, struct raft_id id,
    const char *text, uint64_t value) __attribute__((warn_unused_result));

/*
 * Takes out a member.  From LEVEL_TAGS on it is kept who it was, if it had joined.  If all voters that
 * are left were leaving, they stay.
 */
void raft_config_remove(struct raft_config *c, const struct raft_member *is, enum raft_how how);

/* Whether this incarnation was one, as far as it is kept; NULL: not. */
const struct raft_removed *raft_config_removed(const struct raft_config *c, struct raft_id id);
/* The newest of this key. */
const struct raft_removed *raft_config_removed_key(
    const struct raft_config *c, const uint8_t key[RAFT_KEY_SIZE]);
/* The newest of this name. */
const struct raft_removed *raft_config_removed_name(
    const struct raft_config *c, const char *name);
/* "downed"; "unknown" for what is not in the table. */
const char *raft_how_text(uint8_t how);
/* "postgresql"; "unknown" for what is not in the table. */
const char *raft_engine_text(uint8_t engine);
/* False: none has this name. */
bool raft_engine_parse(const char *text, uint8_t *engine) __attribute__((warn_unused_result));

/* NULL: no such member.  No incarnation is that of no one. */
const struct raft_member *raft_config_find(const struct raft_config *c, struct raft_id id);
const struct raft_member *raft_config_find_name(const struct raft_config *c, const char *name);
const struct raft_member *raft_config_find_key(
    const struct raft_config *c, const uint8_t key[RAFT_KEY_SIZE]);
bool raft_config_is_voter(const struct raft_config *c, struct raft_id id);
unsigned raft_config_voters(const struct raft_config *c);
/* How many of so many of its voters may fail: fewer than half, or all but one if a database votes. */
unsigned raft_config_spare_of(const struct raft_config *c, unsigned voters);
/* Of all of them. */
unsigned raft_config_spare(const struct raft_config *c);

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
 * No node's: the only voter of a cluster whose log a database keeps (raft.h, sole_voter).  No member has
 * it.
 */
static inline struct raft_id raft_id_of_database(void)
{
	struct raft_id id;
	memset(id.bytes, 0xff, RAFT_ID_SIZE);
	return id;
}

#define RAFT_DATABASE (raft_id_of_database())

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
