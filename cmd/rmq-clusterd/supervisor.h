/*
 * The queue daemon: it runs on the leader that serves, once the log before its term is
 * committed and here, and on no one else.  It is killed, and waited for, when leadership goes.
 * One that dies is started again, after a pause that doubles; one that cannot run makes this
 * node hand leadership to another.
 */
#ifndef RMQ_CLUSTERD_SUPERVISOR_H
#define RMQ_CLUSTERD_SUPERVISOR_H

#include <stdbool.h>
#include <sys/types.h>
#include <uv.h>

#include "core/error.h"

struct cluster;
struct queue;

#define SUPERVISOR_PAUSE_MIN_MS 100
#define SUPERVISOR_PAUSE_MAX_MS 5000
/* One that ran for so long has not died at once. */
#define SUPERVISOR_QUICK_MS 10000
/* After so many that did, another node may do better. */
#define SUPERVISOR_DEATHS_MAX 3

enum supervisor_state {
	SUPERVISOR_IDLE,     /* it is not to run */
	SUPERVISOR_PAUSE,    /* it died */
	SUPERVISOR_STARTING, /* it reads the log */
	SUPERVISOR_READY,    /* it takes clients */
	SUPERVISOR_DRAINING  /* it was told to end */
};

struct supervisor_pipe;

struct supervisor {
	enum supervisor_state state;
	pid_t pid;
	struct queue *queue; /* its journal; NULL: none */
	uint64_t term;	     /* in which it was started */
	struct supervisor_pipe *ready;
	uv_timer_t pause;
	uint64_t started_ms;
	unsigned deaths; /* quick ones, one behind the other */
	bool lost;	 /* its socket has ended, or a child: it is looked after */
	const char *why;
};

void supervisor_open(struct cluster *c);

/* Raft's status has changed. */
void supervisor_role(struct cluster *c);

/* Its socket has ended, or it said what it must not (`why`); it is looked after in this turn.
 */
void supervisor_lost(struct cluster *c, const char *why);

/* A child has ended; maybe this one. */
void supervisor_child(struct cluster *c);

/* The end of a turn: starts it, if it is to run. */
void supervisor_turn(struct cluster *c);

/* Kills it, if it runs, and waits until it is gone. */
void supervisor_kill(struct cluster *c);

/* Tells it to end in order.  false: it does not run. */
bool supervisor_drain(struct cluster *c);

/* Whether it takes clients. */
bool supervisor_ready(const struct supervisor *s);
/* Whether there is a process. */
bool supervisor_runs(const struct supervisor *s);

#endif
