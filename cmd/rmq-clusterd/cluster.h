/*
 * The node as the control socket sees it: what it knows, what it can be asked to do, and
 * when either has changed.  One loop, one thread.
 */
#ifndef RMQ_CLUSTERD_CLUSTER_H
#define RMQ_CLUSTERD_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/host/opinions.h"
#include "core/host/why.h"
#include "core/raft/raft.h"
#include "core/wire/control_wire.h"

struct cluster;

/* ---- what it knows ---- */

struct cluster_status {
	/* Everything is borrowed until the loop's next turn. */
	const char *name;   /* this node's */
	const uint8_t *key; /* this node's public key, RAFT_KEY_SIZE bytes */
	struct raft_id id;  /* this node's incarnation */
	/* The newest membership that is known, and the cluster's id; NULL: of no cluster yet.
	 */
	const struct raft_config *config;
	uint64_t
	    config_index; /* where it stands in the log; 0: none that is committed is known */
	enum raft_role role;
	bool gone;    /* was removed from the cluster */
	bool joining; /* asks seeds to be taken in */
	uint64_t term;
	uint64_t commit;
	uint64_t last;			  /* index of the newest record of the log here */
	const struct raft_member *leader; /* NULL: unknown */
	bool available;			  /* lines find room, and are being confirmed */
	bool caught_up; /* this node's disk has all that the leader last reported */
	/* The queue daemon runs here, takes clients at `queue_socket`, and we may serve. */
	bool queue_ready;
	const char *queue_socket;
	enum control_its_gate gate; /* what is known of this node's gate */
	const char *problem;	    /* why_problem() */
	/* The database, where the engine is one; NULL: the engine is the built-in one. */
	const char *engine;
	const char *database;	    /* where it is; "": it was not reached yet */
	const char *database_state; /* "up", or what is wrong */
	enum control_synchronous synchronous;
};

void cluster_status(const struct cluster *c, struct cluster_status *s);

/* A peer as it is seen from here. */
struct cluster_peer {
	bool reachable; /* it, or this node itself, is up: it is heard, and its disk stores */
	uint64_t match; /* how much of our log it holds; 0 unless we lead */
	enum control_its_gate gate;
	bool suspected;	  /* this node suspects it */
	bool unreachable; /* the majority does: core/host/opinions.h */
	/* NULL: it is this node. */
	const struct phi *watched;
	double phi;
	uint64_t silent_ms; /* since its newest heartbeat */
	struct metrics metrics;
	uint64_t round_trip_us; /* 0: not known */
};

/* Of a member of cluster_status().config. */
void cluster_peer(const struct cluster *c, struct raft_id id, struct cluster_peer *p);

/* What is wrong, in words. */
void cluster_why(const struct cluster *c, struct why *w);

/*
 * `changed` is called when something in cluster_status(), or a peer's `reachable`, has changed
 * (term and commit alone do not count): once for all the changes of a turn, at its end.
 * One watcher; a second call replaces it, NULL ends it.
 */
void cluster_watch(struct cluster *c, void (*changed)(void *arg), void *arg);

/* What has happened; news of it are a change, too. */
struct events;
const struct events *cluster_events(const struct cluster *c);

/* This node's gate reports, see core/host/gates.h; begins: for the first time. */
void cluster_gate(struct cluster *c, bool begins, enum control_gate_state state);

/* ---- what it is asked to do ---- */

/*	name      who is to do it, and what */
/* clang-format off */
#define CLUSTER_COMMANDS(X) \
	X(INIT)	 /* this node: begins a cluster, of which it is the only voter, if all seeds know none */ \
	X(INIT_NEW) /* the same, without asking the seeds */ \
	X(INIT_ADOPT) /* this node: is the only member of the cluster whose log the database has */ \
	X(ADMIT) /* the leader: `name` with `key` may join */ \
	X(JOIN)	 /* this node: asks `address` (NAME@HOST:PORT; empty: its seeds) */ \
	X(LEAVE) /* the leader: `name` (empty: this node) leaves, if it is up and enough others answer */ \
	X(LEAVE_FORCED) /* the leader: removes it at once, whoever answers */ \
	X(DOWN) /* the same, if enough others answer; text: what that means */ \
	X(REPLACE) /* the leader: `name` is gone; as DOWN, and one with `key` may join in its place */ \
	X(TRANSFER) /* the leader: hands leadership to `name` (empty: to the most up to date) \
		     */
/* clang-format on */

enum cluster_command_type {
#define X(name) CLUSTER_##name,
	CLUSTER_COMMANDS(X)
#undef X
};

/* The longest address, without the NUL. */
#define CLUSTER_ADDRESS_MAX 255

struct cluster_command {
	enum cluster_command_type type;
	char name[RAFT_NAME_MAX + 1];
	uint8_t key[RAFT_KEY_SIZE];
	char address[CLUSTER_ADDRESS_MAX + 1];
};

/* The answer: a code, and words for people (borrowed; "" if the code says it all). */
typedef void cluster_answer(void *arg, enum rmq_error code, const char *text);

/*
 * Asks for it, here or at the leader: any node may be asked.  `answer` is called exactly
 * once, maybe from within this call, unless cluster_forget() comes first:
 *	RMQ_E_OK	it is done: committed, or it was so before
 *	RMQ_E_EXISTS	INIT, JOIN: member of a cluster; INIT: a seed is; ADMIT: name or key is another's
 *	RMQ_E_NOTHING	LEAVE, TRANSFER: no such member; TRANSFER: not in time
 *	RMQ_E_REFUSED	LEAVE, DOWN: the last voter, or too few of the voters that would be left store;
 *			LEAVE: it is not up
 *	RMQ_E_NO_DAEMON	no leader is known, or JOIN: nobody took us in within join-timeout
 *	RMQ_E_BUSY	another change is under way
 *	RMQ_E_TIMEOUT	outcome unknown: leadership or the link to the leader was lost
 */
void cluster_ask(struct cluster *c, const struct cluster_command *command,
    cluster_answer *answer, void *arg);

/* The asker `arg` is gone: none of its answers is called any more. */
void cluster_forget(struct cluster *c, void *arg);

#endif
