#include "core/host/gates.h"

#include "core/raft/node_wire.h"

void gates_init(struct gates *g, uint64_t bound)
{
	*g = (struct gates){.bound = bound};
}

static bool runs(const struct gates *g)
{
	return g->known && g->clock - g->heard < g->bound;
}

void gates_report(struct gates *g, bool begins, bool reaches)
{
	if (begins || !runs(g))
		g->unreached = 0;
	g->known = true;
	g->ended = false;
	g->reaches = reaches;
	g->heard = g->clock;
}

void gates_end(struct gates *g)
{
	*g = (struct gates){.bound = g->bound,
	    .clock = g->clock,
	    .lost = g->clock,
	    .alone = g->clock,
	    .ended = true};
}

static bool unreached(const struct gates *g)
{
	return g->unreached > 0 && g->clock - g->unreached < GATES_UNREACHED_BOUNDS * g->bound;
}

void gates_turn(struct gates *g, bool served, bool wanted, uint64_t clock)
{
	g->clock = clock;
	if (g->known || g->ended || !wanted)
		g->alone = clock;
	if (!served || g->reaches || !runs(g))
		g->lost = clock;
}

void gates_led(struct gates *g, const struct gates_count *others, bool most)
{
	if (most)
		g->unreached = g->clock;
	else if (others->reaching > 0 && !gates_miss(others))
		g->unreached = 0;
}

void gates_followed(struct gates *g, const struct gates_count *others)
{
	if (others->finding > 0 && 2 * others->finding >= others->running)
		g->unreached = 0;
}

bool gates_miss(const struct gates_count *others)
{
	return 2 * others->reaching < others->running;
}

enum gates_trouble gates_trouble(const struct gates *g)
{
	if (g->known && !runs(g))
		return GATES_SILENT;
	if (g->clock - g->alone >= GATES_MISSING_BOUNDS * g->bound)
		return GATES_MISSING;
	if (runs(g) && g->clock - g->lost >= g->bound)
		return GATES_LOST;
	return unreached(g) ? GATES_UNREACHED : GATES_WELL;
}

bool gates_serve(const struct gates *g)
{
	enum gates_trouble t = gates_trouble(g);

	return t != GATES_SILENT && t != GATES_LOST && t != GATES_MISSING;
}

uint32_t gates_flags(const struct gates *g)
{
	return (uint32_t)((runs(g) ? NODE_STATE_GATE : 0) |
			  (runs(g) && g->reaches ? NODE_STATE_REACHES : 0) |
			  (unreached(g) ? NODE_STATE_UNREACHED : 0));
}

enum control_its_gate gates_seen(uint32_t flags)
{
	if (!(flags & NODE_STATE_GATE))
		return CONTROL_ITS_GATE_NONE;
	return flags & NODE_STATE_REACHES ? CONTROL_ITS_GATE_REACHES : CONTROL_ITS_GATE_RUNS;
}

enum control_its_gate gates_seen_here(const struct gates *g)
{
	return g->known && !runs(g) ? CONTROL_ITS_GATE_SILENT : gates_seen(gates_flags(g));
}

void gates_add(struct gates_count *n, uint32_t flags)
{
	n->running += (flags & NODE_STATE_GATE) != 0;
	n->reaching += (flags & NODE_STATE_REACHES) != 0;
	n->finding += (flags & NODE_STATE_FINDS) != 0;
}

bool gates_open(uint32_t flags, bool any)
{
	return !any || (flags & (NODE_STATE_GATE | NODE_STATE_UNREACHED)) == NODE_STATE_GATE;
}
