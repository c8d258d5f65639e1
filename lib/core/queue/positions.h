/*
 * How many records of an input are stored in a queue, by the input's name: what --resume of
 * rmq-send(1) passes over.  There are POSITIONS_MAX of one queue; the one that was set longest ago
 * makes room for another.  And which messages these records are, for its --wait.
 */
#ifndef RMQ_CORE_QUEUE_POSITIONS_H
#define RMQ_CORE_QUEUE_POSITIONS_H

#include <sys/queue.h>
#include <sys/tree.h>
#include <stdint.h>

#include "core/wire/wire.h"

struct position {
	RB_ENTRY(position) by_name;
	TAILQ_ENTRY(position) by_age;
	uint64_t at;
	struct input_sent sent;
	char name[];
};
RB_HEAD(position_tree, position);

struct positions {
	struct position_tree by_name;
	TAILQ_HEAD(, position) by_age; /* the one that was set longest ago is first */
	uint32_t count;
	uint64_t *part_bytes; /* what they take in a checkpoint, at most, is added here */
};

void positions_init(struct positions *p, uint64_t *part_bytes);
void positions_deinit(struct positions *p);
/* NULL: nothing is known of that name. */
const struct position *positions_find(const struct positions *p, struct slice name);
/* The name is a queue's (name.h). */
void positions_set(
    struct positions *p, struct slice name, uint64_t at, const struct input_sent *sent);

#endif
