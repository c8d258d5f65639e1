/* Settlements of one kind that are to be sent: ranges, merged. */
#ifndef RMQ_RECV_SETTLING_H
#define RMQ_RECV_SETTLING_H

#include "core/client/client.h"

struct settling {
	enum settle_verb verb;
	uint8_t flags;	 /* SETTLE_* */
	uint64_t ms;	 /* RELEASE: delay; TOUCH: new length */
	const char *why; /* DEAD; NULL: none */
	struct settle_entry *entries;
	size_t count;
	size_t cap;
};

/*
 * Adds a range; one that goes on from the last one is merged with it.  False: out of memory.
 * The entries are freed with free().
 */
bool settling_add(struct settling *b, uint64_t lease, uint64_t first, uint32_t count)
    __attribute__((warn_unused_result));

/*
 * Sends them as far as the client has room for commands; whether all are sent.  Only the last
 * command has `tag`.
 */
bool settling_flush(
    struct settling *b, struct client *c, struct slice queue, struct mono_time now, void *tag);

#endif
