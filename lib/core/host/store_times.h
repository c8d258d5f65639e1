/*
 * How long the newest transactions took to be stored, in microseconds: what a writer waits for.
 */
#ifndef RMQ_CORE_HOST_STORE_TIMES_H
#define RMQ_CORE_HOST_STORE_TIMES_H

#include <stdbool.h>
#include <stdint.h>

#define STORE_TIMES 256

struct store_times {
	unsigned count, next; /* a ring */
	uint32_t us[STORE_TIMES];
};

void store_times_add(struct store_times *t, uint64_t us);
/* False: there is none yet. */
bool store_times_get(const struct store_times *t, uint32_t *median, uint32_t *p99);

#endif
