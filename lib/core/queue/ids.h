/*
 * Ids of messages that were sent to a queue, as hashes, each with the time and the message: one whose id is
 * there is not stored again.  They are there for the queue's `dedup`, and IDS_MAX of the newest.
 *
 * A ring in order of their age, 24 bytes each, and a table of chains into it, 8 more.  Ids have
 * numbers in that order.  A chain leads from the newest id of a place in the table to older ones, and
 * ends with a number that is not in the ring: so the oldest is forgotten by moving on the beginning,
 * whatever chain it is in.
 */
#ifndef RMQ_CORE_QUEUE_IDS_H
#define RMQ_CORE_QUEUE_IDS_H

#include <stdbool.h>
#include <stdint.h>

struct id {
	uint64_t hash;
	uint64_t ms;  /* lease time */
	uint64_t seq; /* the message that has it; 0: not known */
};

struct ids {
	struct id *ring;  /* of `places` entries, a power of two; NULL: none */
	uint32_t *older;  /* by an id's place in the ring: the next one of its chain */
	uint32_t *newest; /* by hash: where its chain begins */
	uint32_t places;
	uint32_t first; /* numbers, which go round */
	uint32_t end;
	uint64_t *part_bytes; /* what they take in a checkpoint, at most, is added here */
};

void ids_init(struct ids *ids, uint64_t *part_bytes);
void ids_deinit(struct ids *ids);

static inline uint32_t ids_count(const struct ids *ids)
{
	return ids->end - ids->first;
}

/* first <= n < end */
static inline const struct id *ids_at(const struct ids *ids, uint32_t n)
{
	return &ids->ring[n & (ids->places - 1)];
}

/* If it was sent less than dedup_ms ago, else NULL. */
const struct id *ids_find(
    const struct ids *ids, uint64_t hash, uint64_t now_ms, uint64_t dedup_ms);
/* Those that are dedup_ms old by then are forgotten. */
void ids_forget(struct ids *ids, uint64_t now_ms, uint64_t dedup_ms);
/* It is sent, and in its stead the oldest is forgotten if there are IDS_MAX: then true. */
bool ids_add(struct ids *ids, struct id id);
/* It is older than all, unless it is among them. */
void ids_add_older(struct ids *ids, struct id id);

#endif
