/*
 * Which queues a topic leads to.  Patterns are in a tree by their words (a trie): "#" is not a word
 * of it, but a list at the node before it.  As "#" is last in a pattern, a node is reached in one way,
 * and at each word of a topic there are two to go on with, the word itself and "*".  So a match looks at
 * 2^(TOPIC_WORDS_MAX + 1) nodes at most, and at no more than there are, whatever patterns there are.
 */
#ifndef RMQ_CORE_QUEUE_BINDINGS_H
#define RMQ_CORE_QUEUE_BINDINGS_H

#include <sys/queue.h>
#include <sys/tree.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/codec.h"
#include "core/base/limits.h"

struct queue;
struct pattern_node;

/* A queue is bound to a pattern. */
struct binding {
	RB_ENTRY(binding) of_queue; /* by its pattern */
	LIST_ENTRY(binding) at_node;
	struct queue *queue;
	struct pattern_node *node;
	uint8_t len;
	char pattern[];
};
RB_HEAD(binding_tree, binding);

/* Of all queues. */
struct bindings {
	struct pattern_node *root;
	uint32_t count;
	uint64_t matches; /* so far */
};

/* Frees what there is without bindings. */
void bindings_deinit(struct bindings *s);

struct binding *bindings_add(struct bindings *s, struct queue *q, struct slice pattern);
void bindings_remove(struct bindings *s, struct binding *b);
/* All of q. */
void bindings_remove_queue(struct bindings *s, struct queue *q);

struct slice binding_pattern(const struct binding *b);
/* q's binding to this pattern; NULL: it has none. */
struct binding *binding_find(const struct queue *q, struct slice pattern);
/* Its first one whose pattern sorts after this; NULL: none. */
struct binding *binding_after(const struct queue *q, struct slice pattern);
struct binding *binding_next(struct binding *b);
/* What its bindings take in a checkpoint. */
uint64_t bindings_part_bytes(const struct queue *q);

/*
 * Each queue that a topic leads to, once, by number; if there are more, TOPIC_QUEUES_MAX + 1 of
 * them, and if more bindings match than TOPIC_BINDINGS_MAX, those of so many and one.  Those of queues that do not hear
 * count for themselves, with the same limit.
 */
struct matched {
	uint64_t steps; /* nodes and bindings that were looked at */
	uint32_t bindings;
	uint32_t deaf; /* … of queues that do not hear, besides */
	uint32_t count;
	struct queue *queue[SHARES_MAX + 1];
};
/* Whether the queue gets what it is bound to; NULL: each does. */
typedef bool bindings_hears(const void *arg, const struct queue *q);
void bindings_match(struct bindings *s, struct slice topic, bindings_hears *hears,
    const void *arg, struct matched *m);
/* Whether more bindings match than may. */
static inline bool matched_too_many(const struct matched *m)
{
	return m->bindings > TOPIC_BINDINGS_MAX || m->deaf > TOPIC_BINDINGS_MAX;
}

RB_PROTOTYPE(binding_tree, binding, of_queue, binding_compare)

#endif
