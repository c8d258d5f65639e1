/*
 * Memory for the queue core.  There is no roll-back code: when memory is out in the
 * middle of a change, the process ends, and a restart finds the state in the journal.
 */
#ifndef RMQ_CORE_MEMORY_H
#define RMQ_CORE_MEMORY_H

#include <stdlib.h>

static inline void *memory_new(size_t size)
{
	void *p = calloc(1, size);
	if (!p)
		abort();
	return p;
}

#endif
