/*
 * Memory for the queue core.  There is no roll-back code: when out of memory in the
 * middle of a change, the process ends, and a restart finds the state in the journal.
 */
#ifndef RMQ_CORE_BASE_MEMORY_H
#define RMQ_CORE_BASE_MEMORY_H

#include <stdlib.h>

static inline void *memory_new(size_t size)
{
	void *p = calloc(1, size);
	if (!p)
		abort();
	return p;
}

/* Room for one more in a list of `count`: twice *cap if it is full.  New elements are not set. */
static inline void *memory_grow(void *list, size_t count, size_t *cap, size_t size)
{
	if (count < *cap)
		return list;
	*cap = *cap > 0 ? 2 * *cap : 16;
	list = realloc(list, *cap * size);
	if (!list)
		abort();
	return list;
}

#endif
