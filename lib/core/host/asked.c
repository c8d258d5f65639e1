#include "core/host/asked.h"

#include "core/base/limits.h"

void asked_for(struct asked *a, uint64_t index, uint64_t term)
{
	*a = (struct asked){index, term};
}

bool asked_turn(struct asked *a, size_t queued, struct asked *now)
{
	if (a->index == 0 || queued >= RECORD_MAX)
		return false;
	*now = *a;
	a->index = 0;
	return true;
}
