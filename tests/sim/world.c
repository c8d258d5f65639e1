#include "world.h"

#include "actors.h"
#include "daemon.h"
#include "trace.h"

#include <assert.h>
#include <stdlib.h>

#define START_BOOT_MS 5000000

/* A rate that is 0 for some seeds, so that each fault is also seen alone. */
static unsigned rate(struct prng *p, unsigned max)
{
	return prng_chance(p, 300) ? 0 : (unsigned)prng_range(p, 1, max);
}

static struct weather random_weather(struct prng *p)
{
	return (struct weather){
	    .crash = rate(p, 8),
	    .cut = rate(p, 15),
	    .stall = rate(p, 10),
	    .slow = rate(p, 300),
	    .pause = rate(p, 10),
	    .jump = rate(p, 10),
	    .leap = rate(p, 10),
	    .full = rate(p, 15),
	    .death = rate(p, 8),
	    .commit = (unsigned)prng_range(p, 30, 200),
	    .checkpoint = rate(p, 80),
	    .move = rate(p, 300),
	    .still = rate(p, 6),
	    .large = rate(p, 60),
	    .admin = rate(p, 150),
	};
}

/* Some seeds have each queue's part in a turn of its own. */
static struct space_limits random_space(struct prng *p)
{
	uint32_t small = (uint32_t)prng_range(p, 100, 4000);
	return (struct space_limits){
	    .small_record = small,
	    .small_enough = 4 * small,
	    .small_too_many = (uint32_t)prng_range(p, 5, 50),
	    .sparse_enough = (uint32_t)prng_range(p, 500, 20000),
	    .log_enough = (uint32_t)prng_range(p, 5000, 300000),
	    .dead_enough = (uint32_t)prng_range(p, 2000, 100000),
	    .turn_bytes = prng_chance(p, 500) ? 1 : (uint32_t)prng_range(p, 100, 10000),
	    .reserve_bytes = (uint32_t)prng_range(p, 1000, 100000),
	};
}

void world_init(struct world *w, uint64_t seed, unsigned daemons)
{
	w->prng.state = seed;
	w->weather = random_weather(&w->prng);
	w->space = random_space(&w->prng);
	w->boot_ms = START_BOOT_MS;
	w->lines_goal = (uint32_t)prng_range(&w->prng, 50, 1200);
	w->shadow.lines = &w->lines;
	w->shadow.journal = &w->journal;
	w->shadow.arg = w;
	w->shadow.trusted = actors_trusted;
	w->daemons_count = daemons;
	w->daemons = calloc(daemons, sizeof(*w->daemons));
	assert(w->daemons);
	for (unsigned i = 0; i < daemons; i++) {
		w->daemons[i].w = w;
		w->daemons[i].wall_offset_ms = WORLD_WALL_MS;
	}
}

void world_deinit(struct world *w)
{
	actors_free(w);
	for (unsigned i = 0; i < w->daemons_count; i++)
		daemon_free(&w->daemons[i]);
	free(w->daemons);
	net_free(&w->net);
	shadow_free(&w->shadow);
	lines_free(&w->lines);
	jm_free(&w->journal);
}

uint64_t world_parts(const struct world *w)
{
	uint64_t parts = CHECKPOINT_GROUPS * 24 / w->space.turn_bytes;
	return parts < CHECKPOINT_GROUPS ? parts : CHECKPOINT_GROUPS;
}

/* ---- what may go wrong ---- */

static struct link *random_link(struct world *w)
{
	return w->net.count ? w->net.links[prng_below(&w->prng, w->net.count)] : NULL;
}

void world_cut(struct world *w)
{
	struct link *l = random_link(w);
	if (!l)
		return;
	trace("cut", l->id, 0, 0, 0);
	l->arrived_ms = w->boot_ms;
	net_break(l, &w->prng);
}

void world_stall(struct world *w)
{
	struct link *l = random_link(w);
	if (l)
		l->stalled_until = w->boot_ms + prng_range(&w->prng, 10, 3000);
}
