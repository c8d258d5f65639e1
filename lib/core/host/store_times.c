#include "core/host/store_times.h"

#include <stdlib.h>
#include <string.h>

void store_times_add(struct store_times *t, uint64_t us)
{
	t->us[t->next] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
	t->next = (t->next + 1) % STORE_TIMES;
	if (t->count < STORE_TIMES)
		t->count++;
}

static int by_time(const void *a, const void *b)
{
	uint32_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

bool store_times_get(const struct store_times *t, uint32_t *median, uint32_t *p99)
{
	uint32_t sorted[STORE_TIMES];

	if (t->count == 0)
		return false;
	memcpy(sorted, t->us, t->count * sizeof(sorted[0]));
	qsort(sorted, t->count, sizeof(sorted[0]), by_time);
	*median = sorted[(t->count - 1) / 2];
	*p99 = sorted[(t->count * 99 - 1) / 100];
	return true;
}
