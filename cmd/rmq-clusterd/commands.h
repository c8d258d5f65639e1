/*
 * What administrators and joining nodes ask for.  Any node is asked; the leader does it, and
 * a node that is not the leader passes it on.  A change of membership is done when its record
 * is committed.  What becomes of each is core/host/commands.h.
 */
#ifndef RMQ_CLUSTERD_COMMANDS_H
#define RMQ_CLUSTERD_COMMANDS_H

#include "cluster.h"
#include "core/host/commands.h"
#include "core/raft/node_wire.h"

struct inlet;
struct peer;

#define COMMANDS_MAX 64

/* One under way. */
struct command {
	bool used;
	struct command_life life;
	enum node_command_type type;
	struct raft_member member; /* whom it is about */
	bool adopts;		   /* asks seeds for an adoption */
	uint64_t reads; /* who is to be taken in: the level of records that it reads */
	/* who asked: one of these */
	cluster_answer *answer;
	void *arg;
	struct inlet *joiner;
	struct raft_id from;
	uint64_t from_req; /* 0: nobody */
	/* what is waited for */
	uint64_t req; /* of the COMMAND that was passed on */
	struct raft_id leader;
	uint64_t config_index; /* of the membership that is to be committed */
};

struct commands {
	struct command list[COMMANDS_MAX];
	unsigned count;
	uint64_t next_req;
	uint64_t self_ms; /* when this node last told where it is */
};

/* What the leader does with the members. */
struct commands_peers commands_peers(struct cluster *c);

/* COMMAND of a peer.  false: it is malformed. */
bool commands_asked(struct cluster *c, struct peer *p, const struct node_command *m);
void commands_result(struct cluster *c, struct peer *p, const struct node_result *m);
/* The link to this peer was lost. */
void commands_lost(struct cluster *c, struct peer *p);

/* A joining node asks, and gets its answer over its link, unless that is gone. */
void commands_take_in(
    struct cluster *c, struct inlet *joiner, const struct raft_member *member, uint64_t reads);
/*
 * Whether records of this level may be written; else `why`, TEXT_MAX + 1 bytes, names a member that
 * is too old.  There is a cluster.
 */
bool commands_allowed(const struct cluster *c, uint64_t needed, char *why);
void commands_forget_joiner(struct cluster *c, struct inlet *joiner);

/* Of this node, for its control socket. */
void commands_ask(struct cluster *c, const struct cluster_command *command,
    cluster_answer *answer, void *arg);
void commands_forget(struct cluster *c, void *arg);

/* The end of a turn. */
void commands_turn(struct cluster *c);
/* When there is something to do without an event; UINT64_MAX: never. */
uint64_t commands_due(const struct cluster *c);

#endif
