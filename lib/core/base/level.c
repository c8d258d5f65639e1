#include "core/base/level.h"

#ifndef RMQ_LEVEL_NEWEST
#define RMQ_LEVEL_NEWEST 3
#endif

uint64_t level_newest(void)
{
	return RMQ_LEVEL_NEWEST;
}
