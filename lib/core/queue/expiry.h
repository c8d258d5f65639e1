/*
 * Expiry: until when messages of a queue may be handed out.  One entry for each run of messages
 * that expire at the same time, for as long as one of them is live; a queue whose messages do not
 * expire has none.
 *
 * An entry is among the timers until it was gone through at its time.  Then only what was leased
 * is left of it; when that is given back, or fails, it is there again.
 */
#ifndef RMQ_CORE_QUEUE_EXPIRY_H
#define RMQ_CORE_QUEUE_EXPIRY_H

#include <sys/tree.h>
#include <stdbool.h>
#include <stdint.h>

struct queue;
struct timers;

struct expiry {
	RB_ENTRY(expiry) by_seq;
	RB_ENTRY(expiry) by_time;
	struct queue *queue;
	uint64_t first;
	uint64_t end;
	uint64_t live;
	uint64_t at_ms; /* wall clock */
	uint64_t next;	/* those before this were gone through at that time; in memory only */
	bool timed;
	bool own; /* as they were sent; else by the setting of the queue */
};
RB_HEAD(expiry_tree, expiry);
RB_HEAD(expiry_timers, expiry);

/* What one takes in a checkpoint. */
#define EXPIRY_PART_MAX 48

/* Messages [first, first + count), so many of them live and in no entry yet, expire then. */
void expiry_add(
    struct queue *q, uint64_t first, uint64_t count, uint64_t live, uint64_t at_ms, bool own);
/*
 * When message `first` expires, as it was sent; 0: it was not sent so.  *end, at most what it was:
 * those before it do so, too.
 */
uint64_t expiry_own(struct queue *q, uint64_t first, uint64_t *end);
/* Messages [first, end) are about to leave the queue, as far as they are live. */
void expiry_leave(struct queue *q, uint64_t first, uint64_t end);
/* They are not leased any more. */
void expiry_return(struct queue *q, uint64_t first, uint64_t end);
/* The first entry that ends after seq, NULL: there is none. */
struct expiry *expiry_from(struct queue *q, uint64_t seq);
struct expiry *expiry_next(struct expiry *x);
/* The one that is due first, NULL: none. */
struct expiry *expiry_due(struct timers *t);
/* Those up to `next` were gone through. */
void expiry_passed(struct expiry *x, uint64_t next);

#endif
