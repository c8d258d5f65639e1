/*
 * Whether this node is well enough to lead, and its queue daemon to serve.  A leader whose
 * illness lasts stops the cluster, so it stops leading if another node could lead.  It is ill
 * if for health_bound()
 *
 *	DISK	its own disk has not stored what a majority has stored
 *	LINKS	of what it sends nothing reaches a majority, though they answer
 *	FULL	its disk has no room for new messages, and another one has
 *
 * A cluster that is slow as a whole is not ill: no other leader would do better.
 *
 *	event \ state   WELL       LEAVING    RESTING
 *	ILL             hand over  -          -
 *	FOLLOWS         -          well       -
 *	LATE            -          step down  stand: well
 *
 * LATE: leadership was not taken over in time; or it has rested, and its disk does not hang any
 * more.  Who is FULL does not step down: it can still serve those who empty the queue.
 *
 * The queue daemon is silent if it does not answer for health_bound(); it has to answer only
 * while it is this node's turn to hear.
 *
 * Time is counted in turns, with at most one step between two of them: a node that was stopped
 * itself takes no other for ill.
 */
#ifndef RMQ_CORE_HOST_HEALTH_H
#define RMQ_CORE_HOST_HEALTH_H

#include "core/host/engine.h"

enum health_state { HEALTH_WELL, HEALTH_LEAVING, HEALTH_RESTING, HEALTH_STATES };
enum health_event { HEALTH_ILL, HEALTH_FOLLOWS, HEALTH_LATE, HEALTH_EVENTS };
enum health_illness { HEALTH_NONE, HEALTH_DISK, HEALTH_LINKS, HEALTH_FULL };

enum health_action {
	HEALTH_NOTHING,
	HEALTH_HAND_OVER, /* leadership to the successor, see health_successor() */
	HEALTH_STEP_DOWN, /* lead no more, and do not stand for election */
	HEALTH_STAND,	  /* stand again */
};

/* What a turn sees. */
struct health_seen {
	struct engine_state log;
	uint64_t sent; /* transactions that this node's disk was given */
	bool others; /* another voter may lead, answering or not */
	bool full;   /* no room for new messages on this node's disk */
	bool better; /* a voter that could take over at once has room */
	uint64_t room; /* leader: what the cluster may be given, see cluster_room() */
};

/* A goal, and since when it is to be reached. */
struct health_watch {
	uint64_t goal; /* 0: nothing */
	uint64_t since;
};

struct health {
	enum health_state state;
	enum health_illness illness; /* the newest */
	uint32_t election_ms;
	uint64_t now_ms; /* of the last turn */
	uint64_t clock;	 /* ms, of turns */
	struct health_watch disk, links, full, room, confirmed, writes;
	uint64_t received;  /* as of the last turn */
	uint64_t late;	    /* clock */
	uint64_t heard;	    /* signs of life of the queue daemon so far */
	uint64_t quiet;	    /* since then (clock) it has said nothing */
	uint64_t pinged;    /* clock; 0: it owes no answer */
};

void health_init(struct health *h, uint32_t election_ms, uint64_t now_ms);

/* How long an illness lasts until the node acts, in ms. */
uint64_t health_bound(const struct health *h);

/* The end of a turn. */
enum health_action health_turn(struct health *h, const struct health_seen *seen, uint64_t now_ms)
    __attribute__((warn_unused_result));

enum health_daemon_action {
	HEALTH_DAEMON_NOTHING,
	HEALTH_DAEMON_PING, /* ask it for a word */
	HEALTH_DAEMON_KILL, /* it is silent */
};

/*
 * After health_turn(): serves: it takes clients and answers pings, and its input is read.
 * heard: its signs of life so far.
 */
enum health_daemon_action health_daemon(struct health *h, bool serves, uint64_t heard)
    __attribute__((warn_unused_result));

/* Whether all that was proposed is confirmed within health_bound(): the queue can be used. */
bool health_confirms(const struct health *h);
/* Whether new messages find room in the cluster that this node leads, now or a moment ago. */
bool health_has_room(const struct health *h);
/*
 * Whether this node's disk, leading or not, has not stored transactions that it was given
 * health_bound() ago.
 */
bool health_hangs(const struct health *h);

/* When the next turn is due, by now_ms; `serves` as above. */
uint64_t health_due(const struct health *h, bool serves);

/* What is wrong, for people. */
const char *health_text(enum health_illness illness);

/* A voter that may lead, as the leader sees it. */
struct health_successor {
	bool answers;
	bool level; /* it has what was committed an election timeout ago */
	uint64_t room;
	uint64_t match; /* the index up to which it has the log */
};

/*
 * Which voter is to lead next: one that answers, has room, is level, and has the most complete
 * log, in this order; of equal ones the first.  Its place in the list; -1: none answers.  The
 * list begins after this node and goes round: otherwise two nodes whose queue daemons cannot run
 * would hand over to each other for ever.
 */
int health_successor(const struct health_successor *list, unsigned count);
/* Whether this one could take over at once, and would have room for new messages. */
bool health_better(const struct health_successor *s);

/* A disk with less room than this is full; one with at least this much is a better one. */
#define HEALTH_FULL_BYTES   (512u << 10)
#define HEALTH_BETTER_BYTES (8u << 20)

#endif
