/* --wait: until none of the messages that are waited for is in the queue any more. */
#ifndef RMQ_SEND_WAITER_H
#define RMQ_SEND_WAITER_H

#include "core/base/text.h"
#include "core/client/client.h"

enum waiter_phase {
	WAITER_NOT,  /* messages are still being stored */
	WAITER_LAST, /* the last one is in the queue, for all that is known: most go before it */
	WAITER_EACH, /* one after the other, those that are gone passed over */
	WAITER_DEAD, /* which of them are dead letters */
	WAITER_DONE
};

/* Zeroed memory but for the client, the queue and the callback. */
struct waiter {
	struct client *client;
	const char *queue;
	void *arg;
	void (*dead_letter)(void *arg, uint64_t seq);
	enum waiter_phase phase;
	struct text runs; /* struct waiter_run; ascending unless: */
	bool untidy;
	size_t tidy_at; /* … so many of them are put in order */
	size_t at;	/* the one that is waited for */
	uint64_t dead;	/* letters */
};

void waiter_deinit(struct waiter *w);
/* Messages [first, end) are waited for. */
void waiter_add(struct waiter *w, uint64_t first, uint64_t end);
/* All were. */
void waiter_begin(struct waiter *w, struct mono_time now);
static inline bool waiter_is_busy(const struct waiter *w)
{
	return w->phase != WAITER_NOT && w->phase != WAITER_DONE;
}

/* The client's callbacks. */
void waiter_watched(struct waiter *w, struct mono_time now, uint64_t next);
void waiter_buried(struct waiter *w, struct mono_time now, uint64_t next, struct slice runs);

#endif
