/*
 * The gates of a cluster: clients of other nodes come to the queue daemon through the gate of
 * the leading node, which the gates of their own nodes dial at its advertised address.
 *
 * A gate reports again and again to the node that it belongs to: that it runs, and whether it
 * reaches the gate of the leading node.  A node tells the others (gates_flags()), so the leader
 * knows whether those that run reach its own.  If most do not, it is ill: see health.h.
 *
 * A node whose gate was not reached while it led says so for GATES_UNREACHED_BOUNDS, or until
 * it is reached as the leader, or until its gate was started anew or reports again after a
 * silence.  So if all gates are ill, leadership goes to each node once, and not round.  Gates dial
 * that of the leader alone; so the other nodes themselves look whether such a gate answers, and
 * tell its node: it says so no more when it answers most of them.
 *
 * A node whose gate has never reported, or was told to end, has none, and may lead as well as others:
 * clients may use the socket of the queue daemon.  But if gates of other nodes run, then one that was
 * never told to end should: after GATES_MISSING_BOUNDS it is missed, and clients of this node
 * are not served.
 *
 * Times are health.h's clock of turns, in ms, and `bound` is health_bound().
 */
#ifndef RMQ_CORE_HOST_GATES_H
#define RMQ_CORE_HOST_GATES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/wire/control_wire.h"

#define GATES_UNREACHED_BOUNDS 100
#define GATES_MISSING_BOUNDS   5

/* What a node knows of its own gate. */
struct gates {
	uint64_t bound;
	uint64_t clock; /* of the last turn */
	bool known;	/* it has reported */
	bool ended;	/* it was told to end, and has not reported since */
	bool reaches;	/* it does, as it reported last */
	uint64_t heard; /* when it reported last */
	uint64_t lost;	/* since then it does not reach the gate of a node that serves */
	uint64_t alone; /* since then it has not reported, and those of other nodes run */
	/* When this node led and most gates did not reach it; 0: never. */
	uint64_t unreached;
};

/* Gates of other nodes, as a node counts them. */
struct gates_count {
	unsigned running;
	unsigned reaching; /* the leader's gate */
	unsigned
	    finding; /* their nodes find the gate of the one that counts: NODE_STATE_FINDS */
};

void gates_init(struct gates *g, uint64_t bound);

/* This node's gate reports; `begins`: for the first time since it was started. */
void gates_report(struct gates *g, bool begins, bool reaches);
/* It was told to end: there is none. */
void gates_end(struct gates *g);

/*
 * A turn.  served: another node leads, and confirms lines.  wanted: this node may lead, and gates of
 * others run.
 */
void gates_turn(struct gates *g, bool served, bool wanted, uint64_t clock);

/* Whether most of those that run do not reach the leader's. */
bool gates_miss(const struct gates_count *others);
/* A turn of a leader; most: that has lasted for the bound. */
void gates_led(struct gates *g, const struct gates_count *others, bool most);

/* A turn of a node that does not lead. */
void gates_followed(struct gates *g, const struct gates_count *others);

enum gates_trouble {
	GATES_WELL,
	GATES_MISSING,	 /* it has not reported since this node was started */
	GATES_SILENT,	 /* it has reported, and not within the bound */
	GATES_LOST,	 /* it has not reached the gate of the node that serves for the bound */
	GATES_UNREACHED, /* when this node led, lately, most gates did not reach it */
};
enum gates_trouble gates_trouble(const struct gates *g);
/* Whether clients of this node are served, if the leading node serves. */
bool gates_serve(const struct gates *g);

/* What the others are told: bits of enum node_state_flag. */
uint32_t gates_flags(const struct gates *g);

/* What is shown of a node's gate: of another node as it has told, of this one. */
enum control_its_gate gates_seen(uint32_t flags);
enum control_its_gate gates_seen_here(const struct gates *g);

/* Another node has told these. */
void gates_add(struct gates_count *n, uint32_t flags);
/* Whether gates reach a node that has told these, as far as is known.  any: some gate runs. */
bool gates_open(uint32_t flags, bool any);

#endif
