#include "sys/process/heap.h"

#include <malloc.h>

#define HEAP_KEPT (8 << 20)

void heap_keep(void)
{
	mallopt(M_TRIM_THRESHOLD, HEAP_KEPT);
	mallopt(M_MMAP_THRESHOLD, HEAP_KEPT);
	mallopt(M_TOP_PAD, 1 << 20);
}
