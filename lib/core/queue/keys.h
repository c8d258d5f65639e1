/*
 * Keys: of the live messages of a key only the oldest may be handed out, whatever state it is in.
 *
 * A key is a hash of 64 bits; keys with the same one wait for each other.  Its live messages are a
 * chain from the oldest one on, which each leaves at once, wherever it is.  There is an entry of three
 * words for each message of a run in which some have a key; a run of which few are left in a chain is cut
 * where they are, so that memory is bounded by these.  Nothing in a queue without keys.
 */
#ifndef RMQ_CORE_QUEUE_KEYS_H
#define RMQ_CORE_QUEUE_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/codec.h"

struct queue;
struct keys; /* of one queue; NULL: it has none */

/* The key as it is known here; not 0. */
uint64_t keys_hash(struct slice key);

/*
 * Messages [first, first + count) have these keys; 0: none.  They are in no chain yet, and ready or
 * delayed only after this.  Older than what the chain of its key ends with: counts as without.
 */
void keys_add(struct queue *q, uint64_t first, uint32_t count, const uint64_t *hashes);
/* The key of message seq; 0: it has none, or is gone. */
uint64_t keys_of(struct queue *q, uint64_t seq);
/* Whether message seq waits for an older one of its key. */
bool keys_wait(struct queue *q, uint64_t seq);
/* None of messages [first, end) stays: those that are the oldest of their key now.  To be freed. */
uint64_t *keys_leave(struct queue *q, uint64_t first, uint64_t end, size_t *count);
/* If no message has a key any more, q has no keys. */
void keys_tidy(struct queue *q);
/* The messages of a key, rising: the oldest, and the one after `seq`; 0: none. */
uint64_t keys_oldest(struct queue *q, uint64_t hash);
uint64_t keys_next(struct queue *q, uint64_t seq);
/* The newest one. */
uint64_t keys_newest(struct queue *q, uint64_t hash);
/*
 * A run of at most `most` messages of [from, to), the first of them with a key: where it begins;
 * *end: where it ends.  0: there is none.
 */
uint64_t keys_run(struct queue *q, uint64_t from, uint64_t to, uint32_t most, uint64_t *end);

#define KEYS_PART_MAX 40 /* what a run takes in a checkpoint, and 8 bytes for each message */

#endif
