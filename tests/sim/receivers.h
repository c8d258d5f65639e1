/*
 * Which receivers there are, and that the messages of a key go to one of them, if their queue hands
 * out by key: the one that had the last one, unless that has left since, or another has come.
 * Which one it is in the first place is the daemon's choice.
 */
#ifndef SIM_RECEIVERS_H
#define SIM_RECEIVERS_H

#include "lines.h"

#include "core/base/codec.h"

struct daemon;
struct link;
struct shadow_queue;
struct world;

/* Whose a key is, as the newest message of it that was handed out says; session 0: not known. */
struct key_owner {
	uint64_t session;
	uint64_t joined;
	uint64_t at; /* then */
};

/* Of a queue: owners, and the newest sessions that have lost a lease there. */
struct receivers {
	struct key_owner owner[LINE_KEYS + 1];
	uint64_t missed[64];
	unsigned missed_count;
};

/* The daemon appends this record: when leases are given, in moments of the world (`moment`). */
void receivers_appended(struct world *w, struct slice payload);
/* A message of this key is leased to the session.  What is wrong, or NULL. */
const char *receivers_leased(
    struct world *w, struct shadow_queue *q, uint8_t key, uint64_t session, uint64_t lease);
/* A lease of the session has ended and its messages have not left the queue. */
void receivers_missed(struct shadow_queue *q, uint64_t session);
/* The queue hands out otherwise from now on. */
void receivers_forget(struct shadow_queue *q);

#endif
