/*
 * The other nodes, as the newest known membership has them, and the links with them.
 *
 * Membership for links may be newer than what the log holds here: a peer that was met tells
 * its own.  Otherwise a node that was away would not know those who joined meanwhile, and they
 * might be all that is left.  Votes and majorities are counted by the log alone.
 */
#ifndef RMQ_CLUSTERD_PEERS_H
#define RMQ_CLUSTERD_PEERS_H

#include "core/host/cluster_room.h"
#include "core/raft/node_wire.h"
#include "inlet.h"
#include "outlet.h"
#include "sys/net/link_listener.h"

struct cluster;

struct peer {
	struct cluster *cluster;
	struct raft_member member;
	struct outlet node, bulk;
	struct inlet *in_node, *in_bulk; /* the newest that said HELLO; NULL: none */
	uint64_t boot;			 /* of the process at the other end of these */
	/* As it has told. */
	uint64_t room, room_index;
	bool ready;
	/* What it must know if its disk is what it was. */
	uint64_t seen_term;
	uint64_t seen_index;	    /* it said that it has that in seen_term */
	char refused[TEXT_MAX + 1]; /* why it does not want us; "": it does */
};

/* Members that were removed while this process ran, and are told so when they call. */
#define PEERS_REMOVED 16
#define PEERS_REMOVED_TEXT \
	"was removed from the cluster; with a new data directory it can be admitted again"

struct peers {
	struct link_net *net;
	struct link_listener *listener;
	struct peer *list[RAFT_MEMBERS_MAX];
	unsigned count;
	uint8_t removed[PEERS_REMOVED][RAFT_KEY_SIZE]; /* a ring of keys */
	unsigned removed_count;			       /* ever */
	uint64_t hint_index;			       /* 0: no hint */
	struct raft_config hint;
	bool leaving;	   /* some may be members no more, once that is committed */
	uint64_t state_ms; /* when STATE was told */
	struct node_state told;
};

/* Listens.  0, or an exit status; what is wrong was said. */
int peers_open(struct cluster *c);
void peers_close(struct cluster *c);

/* The newest membership that is known, NULL: none; *index is where it stands in the log. */
const struct raft_config *peers_view(const struct cluster *c, uint64_t *index);
/* Whether this node is a member by it. */
bool peers_member(const struct cluster *c);
/* Another one, told by someone who should know; the newer one counts. */
void peers_hint(struct cluster *c, uint64_t index, const struct raft_config *config);
/* Begins and ends links as membership says now. */
void peers_update(struct cluster *c);

/* This node, as a member. */
void peers_self(const struct cluster *c, struct raft_member *m);

/* Whether it was removed lately. */
bool peers_removed(const struct cluster *c, const uint8_t key[RAFT_KEY_SIZE]);

/* NULL: no such peer. */
struct peer *peers_find(const struct cluster *c, struct raft_id id);
/* Whether a link to or from it is up. */
bool peers_reachable(const struct peer *p);

/*
 * Sends a message, if there is a link; payloads of its records are found by index in the
 * pieces of `runs`.
 */
void peers_send(struct cluster *c, const struct raft_message *m, const struct raft_run *runs,
    const struct piece *pieces, unsigned count);

/* What a voter last told of its disk. */
struct voter_room peers_room(const struct cluster *c, struct raft_id id);

/* The end of a turn: tells the others our state if it has changed. */
void peers_turn(struct cluster *c);

#endif
