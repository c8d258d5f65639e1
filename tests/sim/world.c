#include "world.h"

#include "actors.h"
#include "checks.h"
#include "daemon.h"
#include "trace.h"

#include <assert.h>
#include <stdlib.h>

#define START_BOOT_MS 5000000
#define START_WALL_MS 1800000000000
#define CALM_ROUNDS   60000
#define ROOM_ENOUGH   (1ull << 40)

struct wall_time world_wall(const struct world *w)
{
	return (struct wall_time){(uint64_t)((int64_t)w->boot_ms + w->wall_offset_ms)};
}

static void committed(void *arg, uint64_t index, const struct jm_record *r)
{
	struct world *w = arg;
	trace("committed", index, r->kind, r->len, 0);
	shadow_apply(&w->shadow, index, r);
}

static void refused(void *arg, const char *why, uint64_t index)
{
	(void)arg;
	trace_fail("journal: %s: %llu", why, (unsigned long long)index);
}

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
	    .pause = rate(p, 10),
	    .jump = rate(p, 10),
	    .leap = rate(p, 10),
	    .full = rate(p, 15),
	    .death = rate(p, 8),
	    .commit = (unsigned)prng_range(p, 30, 200),
	    .checkpoint = rate(p, 80),
	    .move = rate(p, 300),
	    .large = rate(p, 60),
	    .admin = rate(p, 150),
	};
}

struct world *world_new(uint64_t seed, enum world_variant variant)
{
	struct world *w = calloc(1, sizeof(*w));
	assert(w);
	w->prng.state = seed;
	w->weather = random_weather(&w->prng);
	w->variant = variant;
	w->boot_ms = START_BOOT_MS;
	w->wall_offset_ms = START_WALL_MS;
	w->lines_goal = (uint32_t)prng_range(&w->prng, 50, 1200);
	w->journal.fault = variant == WORLD_STORED_EARLY	? JM_STORED_EARLY
			   : variant == WORLD_COMMIT_SUPPRESSED ? JM_COMMIT_SUPPRESSED
			   : variant == WORLD_HOLE_EARLY	? JM_HOLE_EARLY
								: JM_SOUND;
	w->journal.capacity = ROOM_ENOUGH;
	w->journal.arg = w;
	w->journal.committed = committed;
	w->journal.refused = refused;
	w->shadow.lines = &w->lines;
	w->shadow.journal = &w->journal;
	w->shadow.arg = w;
	w->shadow.trusted = actors_trusted;
	actors_make(w);
	daemon_start(w);
	return w;
}

void world_free(struct world *w)
{
	actors_free(w);
	if (w->daemon.up)
		broker_free(w->daemon.broker);
	free(w->daemon.sums);
	net_free(&w->net);
	shadow_free(&w->shadow);
	lines_free(&w->lines);
	jm_free(&w->journal);
	free(w);
}

/* ---- what may go wrong ---- */

static struct link *random_link(struct world *w)
{
	return w->net.count ? w->net.links[prng_below(&w->prng, w->net.count)] : NULL;
}

static void cut(struct world *w)
{
	struct link *l = random_link(w);
	if (!l)
		return;
	trace("cut", l->id, 0, 0, 0);
	net_break(l, &w->prng);
}

static void stall(struct world *w)
{
	struct link *l = random_link(w);
	if (l)
		l->stalled_until = w->boot_ms + prng_range(&w->prng, 10, 3000);
}

static void pause_somebody(struct world *w)
{
	uint64_t ms = prng_range(&w->prng, 10, 4000);
	trace("pause", ms, 0, 0, 0);
	if (prng_chance(&w->prng, 250))
		w->daemon.paused_until = w->boot_ms + ms;
	else
		actors_pause(w, ms);
}

static void jump(struct world *w)
{
	int64_t by = (int64_t)prng_range(&w->prng, 1, 7200000);
	w->wall_offset_ms += prng_chance(&w->prng, 500) ? by : -by;
	trace("jump", (uint64_t)w->wall_offset_ms, 0, 0, 0);
}

static void leap(struct world *w)
{
	w->boot_ms += prng_range(&w->prng, 50, 3000);
	trace("leap", w->boot_ms, 0, 0, 0);
}

static void change_room(struct world *w)
{
	struct journal_model *j = &w->journal;
	j->capacity =
	    prng_chance(&w->prng, 400) ? ROOM_ENOUGH : j->bytes + prng_below(&w->prng, 150000);
	if (prng_chance(&w->prng, 300))
		j->capacity = 0;
	trace("capacity", j->capacity, j->bytes, 0, 0);
	if (w->daemon.up)
		jm_tell_room(j);
}

static void crash(struct world *w)
{
	if (w->daemon.up)
		daemon_crash(w);
}

static void die(struct world *w)
{
	actors_die(w);
}

/* ---- what goes on ---- */

static void commit(struct world *w, size_t ops)
{
	uint64_t bytes = w->journal.bytes;
	if (w->journal.op_count == 0)
		return;
	trace("commit", ops, w->journal.op_count, 0, 0);
	jm_commit(&w->journal, ops);
	if (w->calm || prng_chance(&w->prng, 400))
		jm_tell_room(&w->journal);
	/* Less than before: there are new holes. */
	if (w->journal.bytes < bytes && prng_chance(&w->prng, 500))
		checks_replay(w);
}

static bool fault(struct world *w)
{
	const struct weather *t = &w->weather;
	const struct {
		unsigned rate;
		void (*happens)(struct world *);
	} faults[] = {{t->crash, crash}, {t->cut, cut}, {t->stall, stall},
	    {t->pause, pause_somebody}, {t->jump, jump}, {t->leap, leap},
	    {t->full, change_room}, {t->death, die}};
	uint64_t at = prng_below(&w->prng, 1000);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		if (at < faults[i].rate) {
			faults[i].happens(w);
			return true;
		}
		at -= faults[i].rate;
	}
	return false;
}

void world_step(struct world *w)
{
	struct prng *p = &w->prng;
	if (prng_chance(p, 400))
		w->boot_ms += prng_range(p, 1, 6);
	if (fault(w))
		return;
	if (!w->daemon.up && prng_chance(p, 50))
		daemon_start(w);
	if (prng_chance(p, 4))
		checks_replay(w);
	if (prng_chance(p, w->weather.commit)) {
		commit(w, (size_t)prng_range(p, 1, w->journal.op_count + 1));
		return;
	}
	switch (prng_below(p, 4)) {
	case 0:
		if (daemon_ready(w))
			daemon_turn(w);
		break;
	case 1:
		net_move(&w->net, p, w->boot_ms);
		break;
	default:
		actors_step(w);
	}
}

/* ---- the calm ---- */

/* One round in which everybody does what there is to do; then time goes on. */
static void calm_round(struct world *w)
{
	for (unsigned i = 0; i < 2 * w->actors_count; i++)
		actors_step(w);
	net_move_all(&w->net);
	while (daemon_ready(w)) {
		daemon_turn(w);
		commit(w, w->journal.op_count);
	}
	net_move_all(&w->net);
	commit(w, w->journal.op_count);
	if (actors_ready(w) || daemon_ready(w)) {
		w->boot_ms++;
		return;
	}
	uint64_t due = actors_due(w);
	uint64_t daemons = daemon_due(w);
	if (daemons < due)
		due = daemons;
	w->boot_ms = due != UINT64_MAX && due > w->boot_ms ? due : w->boot_ms + 1;
}

static bool calm_done(struct world *w)
{
	return actors_done(w) && w->shadow.live == 0 && jm_idle(&w->journal) &&
	       !broker_pending(w->daemon.broker);
}

void world_calm(struct world *w)
{
	trace("calm", w->shadow.live, w->lines.count, w->journal.count, 0);
	w->calm = true;
	w->journal.capacity = ROOM_ENOUGH;
	if (!w->daemon.up)
		daemon_start(w);
	jm_tell_room(&w->journal);
	w->daemon.paused_until = 0;
	actors_wake(w);
	unsigned rounds = 0;
	while (!calm_done(w)) {
		calm_round(w);
		if (++rounds > CALM_ROUNDS) {
			actors_report(w);
			trace_fail("the calm does not end: %llu messages are left",
			    (unsigned long long)w->shadow.live);
		}
	}
	checks_replay(w);
	for (int i = 0; i < 3; i++) {
		broker_checkpoint(w->daemon.broker);
		rounds = 0;
		do {
			daemon_turn(w);
			calm_round(w);
			if (++rounds > CALM_ROUNDS)
				trace_fail("a checkpoint does not end");
		} while (broker_checkpointing(w->daemon.broker));
	}
	checks_replay(w);
	checks_end(w);
}
