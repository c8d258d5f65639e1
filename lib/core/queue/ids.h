/*
 * Ids of messages that were sent to a queue, as hashes, each with the time and the message: one whose id is
 * there is not stored again.  They are there for the queue's `dedup`, and IDS_MAX of the newest.
 */
#ifndef RMQ_CORE_QUEUE_IDS_H
#define RMQ_CORE_QUEUE_IDS_H

#include <sys/queue.h>
#include <sys/tree.h>
#include <stdbool.h>
#include <stdint.h>

struct id {
	RB_ENTRY(id) by_hash;
	TAILQ_ENTRY(id) by_age;
	uint64_t hash;
	uint64_t ms;  /* lease time */
	uint64_t seq; /* the message that has it; 0: not known */
};
RB_HEAD(id_tree, id);

struct ids {
	struct id_tree by_hash;
	TAILQ_HEAD(, id) by_age; /* the oldest is first */
	uint32_t count;
	uint64_t *part_bytes; /* what they take in a checkpoint, at most, is added here */
};

void ids_init(struct ids *ids, uint64_t *part_bytes);
void ids_deinit(struct ids *ids);
/* If it was sent less than dedup_ms ago, else NULL. */
const struct id *ids_find(struct ids *ids, uint64_t hash, uint64_t now_ms, uint64_t dedup_ms);
/* It is sent, as message seq; those that are older than dedup_ms by then are forgotten. */
void ids_add(struct ids *ids, uint64_t hash, uint64_t ms, uint64_t seq, uint64_t dedup_ms);

#endif
