#include "supply.h"

#include "core/base/units.h"
#include "sys/process/log.h"

#define PATIENCE_MS 1000

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

/* Whether the time of --wait runs: nothing is there to be taken, or nothing may be. */
static bool waits(const struct supply_end *end, const struct supply_view *v)
{
	bool none = v->supply == SUPPLY_HELD_BACK || is_idle(v) || v->full;
	return end->wait_ms != UNITS_INFINITY && none;
}

bool supply_credit(const struct supply_end *end, const struct supply_view *v,
    const struct supply_stock *stock, enum supply *supply, uint32_t *messages, uint32_t *bytes)
{
	int64_t target = stock->target, given = stock->given;
	int64_t room = target - given - (int64_t)stock->held;
	int64_t size =
	    (int64_t)stock->bytes_target - stock->given_bytes - (int64_t)stock->bytes;
	if (end->count != UINT64_MAX) {
		int64_t left = (int64_t)(end->count - v->taken) - given;
		room = left < room ? left : room;
	}
	if (room < 0)
		room = 0;
	if (size < 0)
		size = 0;
	bool few = room > 0 && (room >= target / 4 || given <= 0);
	bool short_of_bytes = size >= (int64_t)stock->bytes_target / 4 && given + room > 0;
	/* Every CREDIT is answered with IDLE if nothing is ready: this is how to ask. */
	bool asks = supply_wants_idle(end) && v->supply == SUPPLY_UNKNOWN &&
		    v->nothing_in_hand && given + room > 0;
	if (!few && !short_of_bytes && !asks)
		return false;
	if (*supply == SUPPLY_UNKNOWN)
		supply_note(supply, SUPPLY_ASKED);
	*messages = (uint32_t)room;
	*bytes = room == 0 && size == 0 ? 1 : (uint32_t)size;
	return true;
}

/* Says it once, after a while.  How long until then. */
static uint64_t tell_held_back(const struct supply_view *v, const char *queue, bool *said)
{
	if (*said || v->supply != SUPPLY_HELD_BACK || !v->nothing_in_hand)
		return UINT64_MAX;
	if (v->quiet_ms < PATIENCE_MS)
		return PATIENCE_MS - v->quiet_ms;
	log_notice(
	    "waiting: %s: its messages are not handed out: it is paused (rmq-queue resume), or "
	    "its rate or max-inflight is used up",
	    queue);
	*said = true;
	return UINT64_MAX;
}

uint64_t supply_tick(
    const struct supply_end *end, const struct supply_view *v, const char *queue, bool *said)
{
	uint64_t due_ms = tell_held_back(v, queue, said);
	if (waits(end, v) && end->wait_ms > v->quiet_ms && end->wait_ms - v->quiet_ms < due_ms)
		due_ms = end->wait_ms - v->quiet_ms;
	return due_ms;
}

/* Whether no message of it can come now. */
static bool is_still(const struct supply_view *v)
{
	return v->supply >= SUPPLY_HELD_BACK || v->full;
}

void supply_join(struct supply_view *all, const struct supply_view *one)
{
	/* One that may not be given any does not keep the others from being waited for in vain. */
	bool full = (all->full || one->full) && is_still(all) && is_still(one);
	if (one->supply < all->supply)
		all->supply = one->supply;
	all->full = full;
	all->nothing_in_hand &= one->nothing_in_hand;
	all->welcomed &= one->welcomed;
}

bool supply_is_over(const struct supply_end *end, const struct supply_view *v)
{
	if (!v->nothing_in_hand)
		return false;
	if (v->taken >= end->count)
		return true;
	if (!v->welcomed)
		return false;
	if (waits(end, v) && v->quiet_ms >= end->wait_ms)
		return true;
	return is_idle(v) && (end->drain == DRAIN_HERE ||
				 (end->drain == DRAIN_ALL && v->supply == SUPPLY_DRAINED));
}
