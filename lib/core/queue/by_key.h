/*
 * Dispatch by key: which receiver of a queue gets the messages of a key.
 *
 * Keys are in KEY_GROUPS groups, by their hash.  A group belongs to the receiver, of those that are
 * present, that has the highest weight in it, a hash of both numbers: rendezvous hashing (Thaler,
 * Ravishankar: Using Name-Based Mappings to Increase Hit Rates, 1998).  So of a receiver that goes
 * the groups are divided among all others, one that comes takes some from each, and no other group
 * changes hands.
 *
 * A message that comes first, and whose receiver has not asked for more, is put aside, so that it
 * holds up no others: a range of its own, in its group.  Only groups with such messages are in
 * memory.  Who comes or goes costs a look at each of these, however many messages they have.
 *
 * Nothing of this is durable: receivers are sessions, and after a restart they come anew.
 */
#ifndef RMQ_CORE_QUEUE_BY_KEY_H
#define RMQ_CORE_QUEUE_BY_KEY_H

#include <sys/queue.h>
#include <sys/tree.h>
#include <stdbool.h>
#include <stdint.h>

struct queue;
struct range;
struct subscription;
struct key_group;

RB_HEAD(group_tree, key_group);	       /* by number */
RB_HEAD(group_order, key_group);       /* by their first messages, in the order of hand-outs */
RB_HEAD(receiver_order, key_receiver); /* by the first message of their first groups */

/* In its owner's memory. */
struct key_receiver {
	TAILQ_ENTRY(key_receiver) of_queue; /* while it is present */
	RB_ENTRY(key_receiver) by_first;
	struct group_order groups;
	struct subscription *sub;
	uint64_t id; /* by which keys come to it: no other receiver of the queue has it */
	bool is_present;
	bool asks; /* it has credit */
};

/* Of a queue. */
struct by_key {
	TAILQ_HEAD(, key_receiver) present;
	uint32_t present_count;
	uint32_t groups_count;
	struct group_tree groups;
	struct receiver_order asking; /* those that ask, and for whom something is put aside */
};

#define KEY_GROUPS 4096 /* a range has 12 bits for it */

void by_key_init(struct by_key *k);
void key_receiver_init(struct key_receiver *r, struct subscription *sub, uint64_t id);

/* Is present from now on, or not any more.  So many steps this took. */
uint64_t by_key_join(struct queue *q, struct key_receiver *r);
uint64_t by_key_leave(struct queue *q, struct key_receiver *r);
void by_key_asks(struct queue *q, struct key_receiver *r, bool asks);

uint32_t by_key_group(uint64_t hash);
/* Who gets the messages of this key; NULL: nobody is present. */
struct key_receiver *by_key_receiver(struct queue *q, uint64_t hash);

/* Of what is put aside for receivers that ask, what comes first, and whose it is; NULL: nothing. */
struct range *by_key_first(struct queue *q, struct key_receiver **r);
/* Anything that is put aside; NULL: nothing. */
struct range *by_key_any(const struct queue *q);

/* For queue.c: r, whose fields are set, is put aside; is not any more. */
void by_key_enter(struct queue *q, struct range *r);
void by_key_leave_range(struct queue *q, struct range *r);

#endif
