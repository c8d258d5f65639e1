#include "core/host/troubles.h"

#include "core/base/variant.h"
#include "core/host/health.h"
#include "core/raft/node_wire.h"

/* Whether it is so, and has been for long; *since: 0: it is not. */
static bool lasts(uint64_t *since, bool is, uint64_t now_ms)
{
	if (!is)
		*since = 0;
	else if (*since == 0)
		*since = now_ms;
	return *since > 0 && now_ms - *since >= MEMBER_UP_MS;
}

/* Whether messages go one way.  One that is silent may hang. */
static bool one_way(
    const struct member_link *l, const struct trouble_seen *seen, uint64_t now_ms)
{
	bool silent = seen->signs.calls && now_ms - l->alive_ms >= MEMBER_UP_MS;

	return !silent && seen->signs.calls != seen->signs.answers;
}

enum trouble trouble_turn(
    struct member_link *l, const struct trouble_seen *seen, uint64_t now_ms)
{
	bool lame = lasts(&l->one_way_ms, one_way(l, seen, now_ms), now_ms);
	bool strays = lasts(&l->astray_ms, seen->astray && seen->up, now_ms);

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
	return seen->differs ? TROUBLE_DIFFERS : TROUBLE_NONE;
}
