/*
 * For how long a node asks its seeds to be let in.  One that was let in catches up, which takes
 * its time: it goes on for as long as a leader is heard, or seeds say again that they let it
 * in.
 */
#ifndef RMQ_CORE_HOST_JOINING_H
#define RMQ_CORE_HOST_JOINING_H

#include <stdbool.h>
#include <stdint.h>

/* One seed is given so long. */
#define JOINING_TRY_MS 5000

struct joining {
	uint64_t timeout_ms; /* UINT64_MAX: none */
	uint64_t until_ms;   /* UINT64_MAX: for ever */
	bool let_in;	     /* a seed has said so, ever */
};

/* It begins to ask. */
void joining_begin(struct joining *j, uint64_t timeout_ms, uint64_t now_ms);
/* One of so many seeds says that it is let in.  True: that is news. */
bool joining_let_in(struct joining *j, unsigned seeds, uint64_t now_ms);
/* Whether the next seed is asked now.  led: a leader is heard. */
bool joining_asks(struct joining *j, bool led, uint64_t now_ms);
/* Whether it gives up. */
bool joining_is_over(const struct joining *j, uint64_t now_ms);

#endif
