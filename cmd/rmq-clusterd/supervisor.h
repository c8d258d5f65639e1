/*
 * The queue daemon, a child, its socket and its pipe.  When it runs is core/host/keeper.h's to
 * say.
 */
#ifndef RMQ_CLUSTERD_SUPERVISOR_H
#define RMQ_CLUSTERD_SUPERVISOR_H

#include <stdbool.h>
#include <sys/types.h>
#include <uv.h>

#include "core/host/crashes.h"
#include "core/host/keeper.h"
#include "core/host/start_gate.h"
#include "sys/process/sandbox.h"

struct cluster;
struct queue;

struct supervisor_pipe;

#define SUPERVISOR_PROGRAM "rmq-queued"

struct supervisor {
	struct keeper keeper;
	enum sandbox_mode sandbox; /* as ours */
	struct crashes crashes;
	pid_t pid;	     /* 0: there is none */
	pid_t lingers;	     /* one that was killed and has not ended; 0: none */
	struct queue *queue; /* its journal; NULL: none */
	struct supervisor_pipe *ready;
	uv_timer_t pause;
	bool lost; /* its socket has ended, or a child: it is looked after */
	const char *why;
	char problem[TEXT_MAX + 1]; /* why it is not started any more; "": it is */
	char failure[TEXT_MAX + 1]; /* how its newest process failed, behind "it" */
};

void supervisor_open(struct cluster *c);

/* Raft's status has changed. */
void supervisor_role(struct cluster *c);

/* Its socket has ended, or it said what it must not (`why`); it is looked after in this turn.
 */
void supervisor_lost(struct cluster *c, const char *why);

/* A child has ended; maybe this one. */
void supervisor_child(struct cluster *c);

/* It does not answer: it is killed, and started anew. */
void supervisor_silent(struct cluster *c);

/* Another node says where its own died, or takes clients. */
void supervisor_heard(struct cluster *c, struct raft_id id, struct crashes_word word);
void supervisor_passed(struct cluster *c);

/* The end of a turn: starts it, if it is to run, and serves its journal. */
void supervisor_turn(struct cluster *c);

/* Of this node, which leads and serves: whether it waits for members; *lack: for which. */
enum start_gate supervisor_gate(const struct cluster *c, struct start_gate_lack *lack);

/* The file of rights has changed: it reads it again. */
void supervisor_rights(struct cluster *c);
/* It must not run: kills it, if it does, and waits until it cannot run any more. */
void supervisor_kill(struct cluster *c);

/* Tells it to end in order, if it runs and was not told yet. */
void supervisor_drain(struct cluster *c);

/* Why this node, which leads, does not start it any more, borrowed; NULL: it does. */
const char *supervisor_problem(const struct cluster *c);
/* How it failed when this node led last, borrowed until the next turn; NULL: it did not. */
const char *supervisor_failure(const struct cluster *c);

/* Whether it takes clients. */
bool supervisor_ready(const struct supervisor *s);
/* Whether there is a process. */
bool supervisor_runs(const struct supervisor *s);

#endif
