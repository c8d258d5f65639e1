#include "core/host/ending.h"

#include "core/base/variant.h"

void ending_begin(struct ending *e, uint64_t now_ms)
{
	if (e->state != ENDING_NOT)
		return;
	*e = (struct ending){ENDING_HANDING_OVER, now_ms + ENDING_HAND_OVER_MS};
	if (RMQ_VARIANT(DRAINS_FIRST))
		*e = (struct ending){ENDING_DRAINING, now_ms + ENDING_DRAIN_MS};
}

enum ending_action ending_turn(
    struct ending *e, const struct ending_seen *seen, uint64_t now_ms)
{
	bool late = now_ms >= e->due_ms;

	if (e->state == ENDING_HANDING_OVER) {
		/* Without `serving` it has no say yet, or leadership is on its way. */
		bool may = !seen->serving || seen->successor;
		if (seen->leads && may && !late)
			return seen->serving ? ENDING_HAND_OVER : ENDING_NOTHING;
		*e = (struct ending){ENDING_DRAINING, now_ms + ENDING_DRAIN_MS};
		late = false;
	}
	if (e->state == ENDING_DRAINING && seen->runs && !late)
		return ENDING_DRAIN;
	*e = (struct ending){ENDING_ENDED, UINT64_MAX};
	return ENDING_END;
}

uint64_t ending_due(const struct ending *e)
{
	return e->state == ENDING_NOT ? UINT64_MAX : e->due_ms;
}
