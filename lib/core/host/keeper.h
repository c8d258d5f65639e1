/*
 * When the queue daemon runs: only on the serving leader, once all records proposed before, in
 * any term, are committed and stored here.  It is killed, and its end awaited, when leadership
 * ends, before anything is truncated: only it may know the truncated records, which then never
 * existed.  If it dies, or is killed because it does not answer, it runs again after a pause
 * that doubles; if it cannot run, or hangs before it takes clients, this node gives leadership
 * to another.  Then this node fails, for a while that doubles each time: the others are told, and
 * choose it last.  A failure of long ago counts for nothing.
 *
 *	event \ state   IDLE   PAUSE  STARTING  READY  DRAINING
 *	WANTED          start  -      -         -      -
 *	UNWANTED        -      idle   kill      kill   kill
 *	TAKES_CLIENTS   -      -      ready     -      -
 *	DIED            -      -      rest      rest   idle
 *	SILENT          -      -      rest      rest   -
 *	RESTED          -      idle   -         -      -
 *	DRAIN           -      -      drain     drain  -
 *
 * The owner carries out the answer of keeper_event() at once.
 */
#ifndef RMQ_CORE_HOST_KEEPER_H
#define RMQ_CORE_HOST_KEEPER_H

#include "core/host/engine.h"

#define KEEPER_PAUSE_MIN_MS 100
#define KEEPER_PAUSE_MAX_MS 5000
/*
 * A daemon that took clients for this long, or for this many times as long as it may be silent,
 * has not died at once.
 */
#define KEEPER_QUICK_MS	     10000
#define KEEPER_QUICK_SILENCE 2
/* After this many that did, another node may do better. */
#define KEEPER_DEATHS_MAX 3
/* For so many times as long as it may be silent this node fails, the first time; and at most. */
#define KEEPER_FAILS_SILENCE 2
#define KEEPER_FAILS_MAX_MS  3600000

enum keeper_state {
	KEEPER_IDLE,	 /* it is not to run */
	KEEPER_PAUSE,	 /* it died */
	KEEPER_STARTING, /* it reads the log */
	KEEPER_READY,	 /* it takes clients */
	KEEPER_DRAINING, /* it was told to end */
	KEEPER_STATES
};

enum keeper_event {
	KEEPER_WANTED,	 /* see keeper_turn() */
	KEEPER_UNWANTED, /* see keeper_role(); or the log is truncated, or this node ends */
	KEEPER_TAKES_CLIENTS, /* it says that it is ready */
	KEEPER_DIED,	      /* the process has ended, or could not be made */
	KEEPER_SILENT,	      /* it does not answer, see health.h */
	KEEPER_RESTED,	      /* pause_ms are over */
	KEEPER_DRAIN,	      /* it is to end in order */
	KEEPER_EVENTS
};

enum keeper_action {
	KEEPER_NOTHING,
	KEEPER_START, /* run it: it reads the log as it is now */
	KEEPER_KILL,  /* and wait until it is gone, before anything else is done */
	KEEPER_TERM,  /* tell it to end in order */
	/* Kill it, if there is a process; RESTED is due in pause_ms; see keeper_hands_over(). */
	KEEPER_REST,
};

struct keeper {
	enum keeper_state state;
	uint64_t quick_ms; /* see KEEPER_QUICK_MS */
	uint64_t term;	   /* in which it was started */
	uint64_t ready_ms; /* since then it takes clients */
	uint64_t pause_ms; /* of the newest pause */
	unsigned deaths;   /* quick ones, one after the other */
	bool failed;	   /* it gave up, and has taken no clients since */
	uint64_t fails_min_ms;
	uint64_t
	    fails_ms; /* how long it fails this time; 0: it never did, or it ran for long */
	uint64_t fails_until; /* ms */
};

/* silent_ms: one that does not answer for so long is SILENT. */
void keeper_init(struct keeper *k, uint64_t silent_ms);

/* Not WANTED. */
enum keeper_action keeper_event(struct keeper *k, enum keeper_event e, uint64_t now_ms)
    __attribute__((warn_unused_result));
/* The end of a turn.  broker: this node may run it, and goes on. */
enum keeper_action keeper_turn(struct keeper *k, const struct engine_state *log, bool broker,
    uint64_t now_ms) __attribute__((warn_unused_result));
/* Leadership may have changed. */
enum keeper_action keeper_role(struct keeper *k, const struct engine_state *log,
    uint64_t now_ms) __attribute__((warn_unused_result));

/* After a REST: its end says that it cannot run here. */
void keeper_give_up(struct keeper *k, uint64_t now_ms);
/*
 * At a REST, and when that is over: it has died so often, or hung as it started, or cannot run, that
 * another node should lead.  fails: of the node that would be, keeper_fails() is known: that has
 * time until the pause is over, or leadership would go round without one.
 */
bool keeper_hands_over(const struct keeper *k, bool fails);
/* Whether it gave up the last time that it was to run, and lately: NODE_STATE_FAILS. */
bool keeper_fails(const struct keeper *k, uint64_t now_ms);

/* Whether it has to answer: there is a process, and it was not told to end. */
bool keeper_is_watched(const struct keeper *k);
/* Whether there is a process. */
bool keeper_runs(const struct keeper *k);

#endif
