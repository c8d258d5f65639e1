#include "supply.h"

#include "core/base/units.h"

void supply_note(enum supply *s, enum supply what)
{
	if (*s != SUPPLY_ENDED)
		*s = what;
}

bool supply_for_ever(const struct supply_end *end)
{
	return end->count == UINT64_MAX && !supply_wants_idle(end);
}

bool supply_wants_idle(const struct supply_end *end)
{
	return end->drain != DRAIN_NO || end->wait_ms != UNITS_INFINITY;
}

static bool is_idle(const struct supply_view *v)
{
	return v->supply == SUPPLY_IDLE || v->supply == SUPPLY_DRAINED;
}

bool supply_waits(const struct supply_end *end, const struct supply_view *v)
{
	bool none = is_idle(v) || v->supply == SUPPLY_HELD_BACK || v->full;
	return end->wait_ms != UNITS_INFINITY && none;
}

bool supply_is_over(const struct supply_end *end, const struct supply_view *v)
{
	if (!v->nothing_in_hand)
		return false;
	if (v->taken >= end->count)
		return true;
	if (!v->welcomed)
		return false;
	if (supply_waits(end, v) && v->quiet_ms >= end->wait_ms)
		return true;
	return is_idle(v) && (end->drain == DRAIN_HERE ||
				 (end->drain == DRAIN_ALL && v->supply == SUPPLY_DRAINED));
}
