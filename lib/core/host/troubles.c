#include "core/host/troubles.h"

#include "core/base/variant.h"
#include "core/host/health.h"
#include "core/raft/node_wire.h"

/* Whether messages go one way, and have for long.  One that is silent may hang. */
static bool one_way(struct member_link *l, const struct trouble_seen *seen, uint64_t now_ms)
{
	bool silent = seen->signs.calls && now_ms - l->alive_ms >= MEMBER_UP_MS;

	if (silent || seen->signs.calls == seen->signs.answers)
		l->one_way_ms = 0;
	else if (l->one_way_ms == 0)
		l->one_way_ms = now_ms;
	return l->one_way_ms > 0 && now_ms - l->one_way_ms >= MEMBER_UP_MS;
}

/* Whether it lasts. */
static bool astray(struct member_link *l, const struct trouble_seen *seen, uint64_t now_ms)
{
	if (!seen->astray || !seen->up)
		l->astray_ms = 0;
	else if (l->astray_ms == 0)
		l->astray_ms = now_ms;
	return l->astray_ms > 0 && now_ms - l->astray_ms >= MEMBER_UP_MS;
}

enum trouble trouble_turn(
    struct member_link *l, const struct trouble_seen *seen, uint64_t now_ms)
{
	bool lame = one_way(l, seen, now_ms), strays = astray(l, seen, now_ms);

	if (seen->flags & NODE_STATE_FORGOT)
		return TROUBLE_FORGOT;
	if (lame)
		return seen->signs.answers ? TROUBLE_UNREACHING : TROUBLE_UNREACHED;
	if (!seen->up || seen->heard == 0)
		return TROUBLE_NONE;
	if (seen->flags & NODE_STATE_HANGS)
		return TROUBLE_HANGS;
	if (seen->room < HEALTH_FULL_BYTES)
		return TROUBLE_FULL;
	if (seen->flags & NODE_STATE_FAILS)
		return TROUBLE_FAILS;
	if (strays)
		return TROUBLE_ASTRAY;
	if (seen->flags & NODE_STATE_ASTRAY)
		return TROUBLE_ASTRAY_HERE;
	if (!!(seen->flags & NODE_STATE_EXPLICIT) != seen->is_explicit)
		return TROUBLE_DIFFERS;
	return TROUBLE_NONE;
}
