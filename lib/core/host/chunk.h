/*
 * Memory for payloads with several holders at the same time: bytes that were read into it stay
 * in place until the last holder lets go.  A chunk is filled once, from its beginning.
 */
#ifndef RMQ_CORE_HOST_CHUNK_H
#define RMQ_CORE_HOST_CHUNK_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/codec.h"

struct chunk {
	unsigned refs;
	size_t len; /* filled */
	size_t cap;
	uint8_t bytes[];
};

/* Held once.  Memory that runs out ends the process. */
struct chunk *chunk_new(size_t cap);
struct chunk *chunk_hold(struct chunk *c);
/* Frees it if this was the last; NULL is legal. */
void chunk_drop(struct chunk *c);

static inline size_t chunk_room(const struct chunk *c)
{
	return c ? c->cap - c->len : 0;
}

/* A payload, and the chunk that it is in. */
struct piece {
	struct slice bytes;
	struct chunk *chunk; /* NULL: nothing to hold */
};

/*
 * Copies bytes into *c, replacing it by a new chunk of CHUNK_SIZE when it is full; the piece
 * is not held: valid as long as *c, or until someone else holds its chunk.
 */
#define CHUNK_SIZE (256u << 10)
struct piece chunk_put(struct chunk **c, struct slice bytes);

#endif
