/*
 * Whether this node is well enough to lead, and its queue daemon to serve.  A leader whose
 * illness lasts stops the cluster, so it stops leading if another node could lead.  It is ill
 * if for health_bound()
 *
 *	DISK	its own disk has not stored what a majority has stored
 *	LINKS	of what it sends nothing reaches a majority, though they answer
 *	FULL	its disk has no room for new messages, and another one has
 *	GATE	most gates of other nodes do not reach its own, and may reach another one
 *	SPENT	its disk has no room for what its queue daemon says, new messages or not
 *
 * or for an election timeout
 *
 *	QUEUE	its queue daemon was killed and has not ended, and no other may run beside it
 *
 * Where a database has the log, LINKS is none: a leader that is not answered by it leads no more.
 *
 * A cluster that is slow as a whole is not ill: no other leader would do better.  Nor is a link
 * that is slow and passes records: a message of many records takes long.
 *
 *	event \ state   WELL       LEAVING    RESTING
 *	ILL             hand over  -          -
 *	FOLLOWS         -          well       -
 *	LATE            -          step down  stand: well
 *	UNABLE          step down  step down  -
 *
 * LATE: leadership was not taken over in time; or it has rested, its disk does not hang any
 * more, and it could run a queue daemon.  UNABLE: it follows, and could run none.  A node that
 * is FULL or SPENT does not step down: it can still serve those who empty the queue, or there is
 * nobody who could.  Nor does one whose GATE is ill: it still serves the clients of its own node.
 *
 * The queue daemon is silent if it does not answer for health_bound(), while it reads the log as
 * well; it has to answer only while it is this node's turn to hear.  A process that was made has
 * to open its journal within HEALTH_OPENS of these bounds.
 *
 * Time is counted in turns, with at most one step between two of them: a node that was stopped
 * itself takes no other for ill.
 */
#ifndef RMQ_CORE_HOST_HEALTH_H
#define RMQ_CORE_HOST_HEALTH_H

#include "core/host/engine.h"
#include "core/host/gates.h"
#include "core/raft/raft_config.h"

enum health_state { HEALTH_WELL, HEALTH_LEAVING, HEALTH_RESTING, HEALTH_STATES };
enum health_event { HEALTH_ILL, HEALTH_FOLLOWS, HEALTH_LATE, HEALTH_UNABLE, HEALTH_EVENTS };
enum health_illness {
	HEALTH_NONE,
	HEALTH_DISK,
	HEALTH_LINKS,
	HEALTH_FULL,
	HEALTH_SPENT,
	HEALTH_QUEUE,
	HEALTH_GATE,
};

enum health_action {
	HEALTH_NOTHING,
	HEALTH_HAND_OVER, /* leadership to the successor, see health_successor() */
	HEALTH_STEP_DOWN, /* lead no more, and do not stand for election */
	HEALTH_STAND,	  /* stand again */
};

/* What a turn sees. */
struct health_seen {
	struct engine_state log;
	uint64_t sent;	  /* transactions that this node's disk was given */
	unsigned voters;  /* this one too */
	unsigned passing; /* other voters to whom health_passes() */
	bool others;	  /* another voter may lead, answering or not */
	bool full;	  /* no room for new messages on this node's disk */
	bool better;	  /* a voter that could take over at once has room */
	bool waits; /* records of this node's queue daemon, as its disk has no room for them */
	uint64_t room; /* leader: what the cluster may be given, see cluster_room() */
	bool lingers;  /* a queue daemon of this node was killed, and has not ended */
	/* Indexes: the newest record that is stored here, and that the leader says it has. */
	uint64_t has, told;	  /* told: 0 if this node leads, or knows no leader */
	bool fed;		  /* health_passes() of what the leader sends to this node */
	bool refuses;		  /* intake.h: it does not take that, its disk has no room */
	struct gates_count gates; /* those of other nodes that are up */
	bool gates_wanted;	  /* this node has the role of one that may lead */
	bool gated;		  /* gates may reach a voter that could take over at once */
	bool served;		  /* another node leads, and confirms lines */
	bool database;		  /* has the log: what reaches other nodes confirms nothing */
};

/* A goal, and since when it is to be reached. */
struct health_watch {
	uint64_t goal; /* 0: nothing */
	uint64_t since;
};

/* What another node took; all zeros to begin with. */
struct health_link {
	uint64_t taken; /* as of the last time that it counted */
	uint64_t clock; /* then; 0: never */
};

/* That much is no greeting of a link which then passes nothing. */
#define HEALTH_PASS_BYTES (16u << 10)

enum health_daemon {
	HEALTH_DAEMON_UNWATCHED, /* there is none, or what it says is not read */
	HEALTH_DAEMON_OPENS,	 /* it was started, and has not said OPEN */
	HEALTH_DAEMON_ANSWERS,	 /* pings, and what it says is read */
};

struct health {
	enum health_state state;
	enum health_illness illness; /* the newest */
	uint32_t election_ms;
	uint64_t now_ms; /* of the last turn */
	uint64_t clock;	 /* ms, of turns */
	struct health_watch disk, links, full, spent, gate, room, confirmed, writes, lacks;
	struct gates gates;	   /* this node's */
	uint64_t received;	   /* as of the last turn */
	uint64_t late;		   /* clock */
	uint64_t lingers;	   /* since then (clock) a queue daemon does; 0: none */
	enum health_daemon daemon; /* as of the last turn */
	uint64_t heard;		   /* signs of life of the queue daemon so far */
	uint64_t quiet;		   /* since then (clock) it has said nothing */
	uint64_t pinged;	   /* clock; 0: it owes no answer */
};

void health_init(struct health *h, uint32_t election_ms, uint64_t now_ms);

/* How long an illness lasts until the node acts, in ms. */
uint64_t health_bound(const struct health *h);

/*
 * Whether this link passes records: within half of health_bound() the other end took
 * HEALTH_PASS_BYTES; or it sent them to this one.  taken: so much ever, over the connection that
 * is up.
 */
bool health_passes(const struct health *h, struct health_link *l, uint64_t taken);

/* The end of a turn. */
enum health_action health_turn(struct health *h, const struct health_seen *seen,
    uint64_t now_ms) __attribute__((warn_unused_result));

#define HEALTH_OPENS 3
/* A queue daemon that has been quiet for so long is asked, or for a quarter of the bound. */
#define HEALTH_PING_MS 1000

enum health_daemon_action {
	HEALTH_DAEMON_NOTHING,
	HEALTH_DAEMON_PING, /* ask it for a word */
	HEALTH_DAEMON_KILL, /* it is silent */
};

/* After health_turn().  heard: its signs of life so far. */
enum health_daemon_action health_daemon_turn(struct health *h, enum health_daemon daemon,
    uint64_t heard) __attribute__((warn_unused_result));

/*
 * Whether all that was proposed is confirmed within health_bound(), or is on its way to a
 * majority: the queue can be used.
 */
bool health_confirms(const struct health *h);
/* Whether new messages find room in the cluster that this node leads, now or a moment ago. */
bool health_has_room(const struct health *h);
/*
 * Whether this node's disk, leading or not, has not stored transactions that it was given
 * health_bound() ago.
 */
bool health_hangs(const struct health *h);

/*
 * Whether this node lacks records, and has stored none of them for health_bound(): its link from
 * the leader passes none, or its disk takes none.
 */
bool health_starves(const struct health *h);

/* Whether for an election timeout this node could not have run a queue daemon. */
bool health_unable(const struct health *h);

/* When the next turn is due, by now_ms. */
uint64_t health_due(const struct health *h, enum health_daemon daemon);

/* What is wrong, for people. */
const char *health_text(enum health_illness illness);

/* A voter that may lead, as the leader sees it. */
struct health_successor {
	bool answers;
	bool gate;  /* gates_open() */
	bool level; /* it has what was committed an election timeout ago */
	uint64_t room;
	uint64_t match; /* the index up to which it has the log */
	bool forgot;	/* NODE_STATE_FORGOT, or NODE_STATE_AWAY: it would not take over */
	bool fails;	/* NODE_STATE_FAILS: lately its queue daemon could not run */
};

/*
 * The i-th voter that may lead instead of `self`, in the order in which they are asked: from the
 * one after it on, and round; otherwise two nodes whose queue daemons cannot run would hand over
 * to each other for ever.  NULL: there are no more.
 */
const struct raft_member *health_candidate(
    const struct raft_config *config, struct raft_id self, unsigned i);

/*
 * Which voter is to lead next: one that answers, can run the queue daemon, can be reached by
 * gates, is level, has room, and has the most complete log, in this order; of equal ones the
 * first.  One that is not level takes over only once it has caught up; one without room takes over
 * at once, empties queues, and hands over itself as soon as another one is level and has room.
 * Its place in the list, which is that of health_candidate(); -1: none answers.
 */
int health_successor(const struct health_successor *list, unsigned count);
/* Whether this one could take over at once, and would have room for new messages. */
bool health_better(const struct health_successor *s);
/* The same for gates: whether they would reach it. */
bool health_gated(const struct health_successor *s);

/* A disk with less room than this is full; one with at least this much is a better one. */
#define HEALTH_FULL_BYTES   (512u << 10)
#define HEALTH_BETTER_BYTES (8u << 20)

#endif
