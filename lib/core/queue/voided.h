/*
 * Receipts that are void: leases that ended without settling their messages.  A message that is
 * gone counts as settled by the receipt that names it, unless it is listed here.  The newest
 * VOIDED_MAX runs of messages are known, in memory only: a recovery knows those since the
 * checkpoint that it began with.
 */
#ifndef RMQ_CORE_QUEUE_VOIDED_H
#define RMQ_CORE_QUEUE_VOIDED_H

#include <sys/queue.h>
#include <sys/tree.h>
#include <stdbool.h>
#include <stdint.h>

struct voided_run {
	RB_ENTRY(voided_run) entry;
	TAILQ_ENTRY(voided_run) age;
	uint64_t lease;
	uint64_t first;
	uint64_t end;
	uint32_t queue;
	bool dead; /* became a dead letter when its lease ended */
};

struct voided {
	RB_HEAD(voided_tree, voided_run) tree;
	TAILQ_HEAD(voided_list, voided_run) ages; /* oldest first */
	uint32_t count;
};

void voided_init(struct voided *v);
void voided_deinit(struct voided *v);

/* Messages [first, end) of a queue; no other run of this lease has any of them. */
void voided_add(
    struct voided *v, uint32_t queue, uint64_t lease, uint64_t first, uint64_t end, bool dead);
/* The first run of the lease that ends after message seq, NULL: none. */
const struct voided_run *voided_from(
    struct voided *v, uint32_t queue, uint64_t lease, uint64_t seq);

#endif
