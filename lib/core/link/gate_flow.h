/*
 * Credit of one stream between gates, both directions (see gate_wire.h).  The receiver keeps
 * the sum of the peer's credit and the waiting bytes at its window; it gives credit to the peer
 * in large pieces.  A stream begins with a small window and gets the large one once it has
 * carried GATE_FLOW_MUCH bytes, so that many idle streams cost little.
 */
#ifndef RMQ_CORE_LINK_GATE_FLOW_H
#define RMQ_CORE_LINK_GATE_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/limits.h"

#define GATE_FLOW_MUCH (32u << 10)

struct gate_flow {
	uint32_t may_send; /* by us */
	uint32_t may_come; /* from the peer */
	uint32_t window;   /* of what comes */
	uint32_t came;	   /* counted until it is much */
};

void gate_flow_init(struct gate_flow *f);

/* DATA has come; false: there was no credit for it. */
bool gate_flow_data(struct gate_flow *f, size_t len) __attribute__((warn_unused_result));

/* CREDIT has come; false: nobody has so much to give. */
bool gate_flow_credit(struct gate_flow *f, uint32_t bytes) __attribute__((warn_unused_result));

/* Whether it deserves the large window, which gate_flow_widen() gives it. */
bool gate_flow_busy(const struct gate_flow *f);
void gate_flow_widen(struct gate_flow *f);

/* How much CREDIT is to be told now, 0: none, when `waiting` bytes wait here; it is counted. */
uint32_t gate_flow_grant(struct gate_flow *f, size_t waiting);

/* Whether the peer has credit for less than half of the window: to tell it more is worth a record. */
bool gate_flow_low(const struct gate_flow *f, size_t waiting);

#endif
