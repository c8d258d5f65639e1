/*
 * The daemon: one loop, one thread.  Each part has its own file; this is what they share.
 *
 *	main.c	     options and settings
 *	cluster.c    start, turns, and end; what the control socket may see and ask
 *	node.c	     the host of Raft (core/raft/raft.h): events in, actions out
 *	figures.c    how this node is, in numbers
 *	disk.c	     this node's journal, a child, and reading from its directory
 *	peers.c	     links to the other nodes; inlet.c what comes in, outlet.c what goes out
 *	probe.c	     whether a member, or its gate, is where it says
 *	join.c	     asking seeds to be taken in; census.c whether they know a cluster
 *	database_link.c the database, where the engine is one
 *	supervisor.c the queue daemon, a child of the leader
 *	rights.c     whether the file of rights is right
 *	queue.c	     the queue daemon's socket
 *	watchdog.c   whether this node and its queue daemon are well
 *	why.c	     what this node sees, to say what is wrong
 *	commands.c   what administrators ask for, here or at the leader
 *	leave.c	     members that leave, and the end of this node when it is none any more
 *	control.c    their socket
 *	events.c     what has happened
 *	hooks.c      programs that are told of it
 */
#ifndef RMQ_CLUSTERD_STATE_H
#define RMQ_CLUSTERD_STATE_H

#include <signal.h>
#include <sys/resource.h>
#include <uv.h>

#include "census.h"
#include "cluster.h"
#include "commands.h"
#include "core/host/adoption.h"
#include "core/host/ending.h"
#include "core/host/ends.h"
#include "core/host/engine.h"
#include "core/host/events.h"
#include "core/host/fetch.h"
#include "core/host/hooks.h"
#include "core/host/reads.h"
#include "core/host/relief.h"
#include "core/host/tail.h"
#include "database_link.h"
#include "disk.h"
#include "figures.h"
#include "join.h"
#include "leave.h"
#include "peers.h"
#include "rights.h"
#include "supervisor.h"
#include "watchdog.h"
#include "sys/net/keyfile.h"
#include "sys/process/config.h"
#include "sys/process/log.h"
#include "sys/process/runner.h"

#define CLUSTER_SIGNALS 4
/* Descriptors: of who asks, of strangers, of known addresses that have not said HELLO; links and all else. */
#define DESCRIPTORS_MIN (CONTROL_CONNECTIONS_MAX + 2 * ARRIVALS_OPEN_MAX + 64)

struct cluster {
	uv_loop_t loop;
	uv_prepare_t turn; /* the end of a turn */
	uv_idle_t more;	   /* there is work left for the next one */
	uv_timer_t tick;   /* raft_due() */
	uv_timer_t due;	   /* anything else that is due without an event */
	uv_signal_t signals[CLUSTER_SIGNALS];
	struct config config;
	struct keypair pair;
	struct raft_id id; /* this node's incarnation */
	uint64_t boot;	   /* random, of this process */
	uint64_t started_ms;
	/* What children begin with. */
	sigset_t mask;
	struct rlimit nofile;

	struct runner
	    *runner; /* of programs that are the administrator's; NULL: there are none */
	bool runner_ended;

	struct raft *raft;
	struct raft_status status;	   /* as of the last step */
	struct raft_status shown;	   /* as of the last time that it changed */
	uint64_t committed;		   /* committed, and stored here */
	bool was_available, was_caught_up; /* in the turn before */
	enum control_its_gate was_gate;
	uint64_t sent_seq;     /* of the newest STORE */
	uint64_t stored_seq;   /* all up to it are stored */
	uint64_t truncate_seq; /* of the newest STORE that truncates */
	uint64_t founding_seq; /* of node_found()'s transaction; 0: none is on its way */
	uint64_t room;	       /* leader: what the log may be given, as of this turn */
	bool holes_wanted;     /* leader: a member waits for room, as of this turn */
	uint64_t rounds;       /* with a majority: how many were begun so far */
	uint64_t heard_ms;     /* when it was seen last whether records of the leader come */
	struct engine engine;  /* node_engine() */

	struct disk disk;
	struct database_link database;
	struct adoption adoption;
	struct intake intake;
	struct reads reads;
	struct fetch fetch;
	struct relief relief;
	struct raft_place leader_cover; /* as of what it answered last */
	uint64_t waits_ms;		/* since then the intake waits; 0: it does not */
	bool waits;			/* the log says so, and not yet that it is over */
	struct ends ends;
	struct tail tail;
	struct peers peers;
	struct join join;
	struct census census;
	struct supervisor supervisor;
	struct watchdog watchdog;
	struct rights_look rights;
	struct commands commands;
	struct leave leave;
	struct events events;
	struct hooks hooks;
	bool hooks_set;	 /* there is a directory of hooks */
	bool hooks_said; /* that it, or some of it, is not used */
	struct control *control;

	struct log_rate strangers;
	bool changed; /* the watcher is to be told */
	void (*watcher)(void *arg);
	void *watcher_arg;
	bool more_wanted;
	bool members_changed; /* members_update() is due */
	bool founded;	      /* this node has made the cluster */
	bool ended;	      /* all is done but what hooks are at */
	struct ending ending; /* begins with SIGTERM, or when this node was removed */
};

static inline uint64_t cluster_now(const struct cluster *c)
{
	return uv_now(&c->loop);
}

static inline bool cluster_leads(const struct cluster *c)
{
	return c->status.role == RAFT_LEADER;
}

static inline bool cluster_stopping(const struct cluster *c)
{
	return c->ending.state != ENDING_NOT;
}

/* Lines find room and are being confirmed, here or at the leader. */
bool cluster_available(const struct cluster *c);

/* Signals come to the loop from now on: before the first socket (listener.h).  0, or libuv's error. */
int cluster_take_signals(struct cluster *c);
/* Begins to take events. */
void cluster_start(struct cluster *c);

/* Work is left for the next turn, which comes at once. */
void cluster_more(struct cluster *c);

/* Something that a watcher wants to know has changed. */
static inline void cluster_changed(struct cluster *c)
{
	c->changed = true;
}

/* The end of a turn: says when this node begins to wait for room on its disk, and when it is over. */
void cluster_waits(struct cluster *c);

/* Ends the process: what was not acknowledged never will be. */
_Noreturn void cluster_die(struct cluster *c, int status);

/* Stops in order, as by SIGTERM. */
void cluster_stop(struct cluster *c);

/* How a node ends, or leaves: what a turn sees, and what is done with leadership and queue daemon. */
struct ending_seen cluster_ending(const struct cluster *c);
void cluster_end(struct cluster *c, enum ending_action action);

#endif
