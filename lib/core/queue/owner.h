/*
 * Owners of sessions: each is a user of a node; the node's name is empty if there is no
 * cluster.  Or it is a client with a key, wherever that comes from: then `node` is BEHALF_KEY and the
 * key's name, and uid is 0.  Sessions of one owner count together.
 *
 * Ids of sessions can be guessed.  So each comes with a token that can only be made with the
 * journal's secret, and that is of no use to another user.  A client with the token can go on
 * with the session, by any node: after a failover it comes by another one.
 */
#ifndef RMQ_CORE_QUEUE_OWNER_H
#define RMQ_CORE_QUEUE_OWNER_H

#include <sys/queue.h>
#include <sys/tree.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/codec.h"
#include "core/base/limits.h"

/* For a peer whose user the kernel does not tell: no user has this number. */
#define OWNER_UNKNOWN UINT32_MAX

TAILQ_HEAD(session_list, session);

struct owner {
	RB_ENTRY(owner) by_name;
	uint32_t
	    users; /* sessions, connections, queues, places, copies, keys of the map that name it */
	uint32_t uid;
	uint32_t idle_count;
	uint32_t conns;
	uint32_t queues;	  /* that it has made */
	uint32_t bindings;	  /* of these */
	uint32_t ids;		  /* that these remember */
	uint32_t watches;	  /* of its connections */
	uint32_t moves;		  /* queues that these hold */
	uint32_t places;	  /* of queues, that it has made */
	uint32_t copies;	  /* of queues, that it has begun */
	uint32_t kv_keys;	  /* of the map that it has put */
	uint64_t kv_bytes;	  /* of these and their values */
	size_t stale_bytes;	  /* of stale entries in the answers of its sessions */
	struct session_list idle; /* the one that has been so longest first */
	uint8_t node_len;
	char node[];
};
RB_HEAD(owner_tree, owner);

/*
 * The owner of that name, which exists until as many owner_drop() as owner_use(), and one of
 * those for each owner_hold().  node: at most RAFT_NAME_MAX bytes.
 */
struct owner *owner_use(struct owner_tree *owners, struct slice node, uint32_t uid);
struct owner *owner_hold(struct owner *o);
void owner_drop(struct owner_tree *owners, struct owner *o);

/* The token for a session of that owner: the same whichever node its client comes by. */
void owner_token(const struct owner *o, const uint8_t secret[SESSION_SECRET_SIZE],
    uint64_t session, uint8_t token[SESSION_TOKEN_SIZE]);

/* For people: "user" or "key", and "user 1000" or "key NAME". */
#define OWNER_TITLE_SIZE (RAFT_NAME_MAX + 8)
const char *owner_kind(const struct owner *o);
const char *owner_title(const struct owner *o, char text[OWNER_TITLE_SIZE]);

static inline struct slice owner_node(const struct owner *o)
{
	return slice_of(o->node, o->node_len);
}

static inline bool owner_known(const struct owner *o)
{
	return o->uid != OWNER_UNKNOWN;
}

RB_PROTOTYPE(owner_tree, owner, by_name, owner_compare)

#endif
