#include "core/host/chunk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct chunk *chunk_new(size_t cap)
{
	struct chunk *c = malloc(sizeof(*c) + cap);
	if (!c)
		abort();
	c->refs = 1;
	c->len = 0;
	c->cap = cap;
	return c;
}

struct chunk *chunk_hold(struct chunk *c)
{
	if (c)
		c->refs++;
	return c;
}

void chunk_drop(struct chunk *c)
{
	if (!c)
		return;
	assert(c->refs > 0);
	if (--c->refs == 0)
		free(c);
}

struct piece chunk_put(struct chunk **c, struct slice bytes)
{
	assert(bytes.len <= CHUNK_SIZE);
	if (!*c || chunk_room(*c) < bytes.len) {
		chunk_drop(*c);
		*c = chunk_new(CHUNK_SIZE);
	}
	uint8_t *to = (*c)->bytes + (*c)->len;
	if (bytes.len > 0)
		memcpy(to, bytes.data, bytes.len);
	(*c)->len += bytes.len;
	return (struct piece){slice_of(to, bytes.len), *c};
}
