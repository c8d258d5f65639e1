/*
 * Whether this node and its queue daemon are well, and what is done if they are not: the rules
 * are those of core/host/health.h.
 */
#ifndef RMQ_CLUSTERD_WATCHDOG_H
#define RMQ_CLUSTERD_WATCHDOG_H

#include "core/host/health.h"
#include "core/wire/control_wire.h"

struct cluster;

struct watchdog {
	struct health health;
	/* As of the last turn. */
	bool confirms, hangs, starves, has_room, unable;
	enum gates_trouble gate;
};

void watchdog_open(struct cluster *c);

/* The end of a turn. */
void watchdog_turn(struct cluster *c);

/* When it must have a turn, UINT64_MAX: whenever there is one. */
uint64_t watchdog_due(const struct cluster *c);

/* Whether there is a node that answers and may lead instead of this one, which leads. */
bool watchdog_successor(const struct cluster *c);
/* Whether that one has said that it cannot run the queue daemon: keeper_fails(). */
bool watchdog_successor_fails(const struct cluster *c);

/* Leadership to whom it suits best; false: there is nobody. */
bool watchdog_hand_over(struct cluster *c);

/* Whether this node leads, runs the queue daemon, and lines are confirmed. */
bool watchdog_serves(const struct cluster *c);

/* This node's gate reports, see gates_report() and gates_end(). */
void watchdog_gate(struct cluster *c, bool begins, enum control_gate_state state);
/* What is known of it. */
enum control_its_gate watchdog_gate_seen(const struct cluster *c);
/* Whether clients of this node are served, if the leading node serves. */
bool watchdog_gate_serves(const struct cluster *c);

/* What the others are told, and this node is as well: enum node_state_flag. */
uint32_t watchdog_flags(const struct cluster *c);

#endif
