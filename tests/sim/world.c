#include "world.h"

#include "actors.h"
#include "daemon.h"
#include "ephemerals.h"
#include "trace.h"

#include "core/wire/event.h"
#include "core/wire/wire.h"

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
	    .hang = rate(p, 5),
	    .slow = rate(p, 300),
	    .pause = rate(p, 10),
	    .jump = rate(p, 10),
	    .leap = rate(p, 10),
	    .full = rate(p, 15),
	    .taken = rate(p, 10),
	    .death = rate(p, 8),
	    .commit = (unsigned)prng_range(p, 30, 200),
	    .checkpoint = rate(p, 80),
	    .move = rate(p, 300),
	    .still = rate(p, 6),
	    .long_lines = 100,
	    .large = rate(p, 60),
	    .shared = rate(p, 400),
	    .admin = rate(p, 150),
	    .intrude = rate(p, 8),
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
	struct prng own = {.state = ~seed};
	w->weather.rot = rate(&own, 6);
	w->weather.laned = rate(&own, 500);
	w->weather.keyed = rate(&own, 800);
	w->space.turn_steps = (uint32_t)prng_range(&own, 1, 40);
	rmq_small_limits = prng_chance(&own, 400);
	w->weather.wedge = rate(&own, 4);
	w->weather.topics = prng_chance(&own, 300) ? 500 : 0;
	if (prng_chance(&own, 250)) {
		w->weather.by_key = (unsigned)prng_range(&own, 300, 1000);
		w->weather.laned += 300;
		w->weather.keyed += 500;
	}
	if (prng_chance(&own, 150))
		w->weather.large += 150;
	w->own = own;
	struct prng later = {.state = seed * 7 + 1};
	if (prng_chance(&later, 200)) {
		w->weather.topics = 500;
		w->weather.large_topics = 300;
	}
	if (prng_chance(&later, 150)) {
		w->weather.topics = 500;
		w->weather.ephemeral = 400;
	}
	w->weather.watched = prng_chance(&later, 300) ? (unsigned)prng_range(&later, 5, 50) : 0;
	w->later = later;
	w->ids.state = seed * 11 + 3;
	w->weather.ids =
	    prng_chance(&w->ids, 300) ? (unsigned)prng_range(&w->ids, 100, 1000) : 0;
	w->rights.state = seed * 13 + 12;
	w->maps_prng.state = seed * 17 + 5;
	w->weather.maps = seed % 8 == 3 ? (unsigned)prng_range(&w->maps_prng, 20, 600) : 0;
	w->weather.views = 150;
	/* Many go on with changes, and a turn looks at few of them. */
	if (w->weather.maps > 0 && prng_chance(&w->maps_prng, 500)) {
		w->weather.views = 800;
		w->space.turn_steps = (uint32_t)prng_range(&w->maps_prng, 1, 4);
	}
	w->weather.trespass =
	    prng_chance(&w->rights, 200) ? (unsigned)prng_range(&w->rights, 2, 20) : 0;
	w->weather.granted = prng_chance(&w->rights, 500) ? 500 : 0;
	w->boot_ms = START_BOOT_MS;
	w->lines_goal = (uint32_t)prng_range(&w->prng, 50, 1200);
	w->shadow.small_record = w->space.small_record;
	w->shadow.lines = &w->lines;
	w->shadow.journal = &w->journal;
	w->shadow.arg = w;
	w->shadow.trusted = actors_trusted;
	w->daemons_count = daemons;
	w->daemons = calloc(daemons, sizeof(*w->daemons));
	assert(w->daemons);
	for (unsigned i = 0; i < daemons; i++) {
		w->daemons[i].w = w;
		w->daemons[i].wall_offset_ms = w->daemons[i].wall_highest_ms = WORLD_WALL_MS;
	}
}

void world_deinit(struct world *w)
{
	actors_free(w);
	ephemerals_free(w);
	free(w->sub_names);
	for (unsigned i = 0; i < w->daemons_count; i++)
		daemon_free(&w->daemons[i]);
	free(w->daemons);
	net_free(&w->net);
	free(w->given);
	shadow_free(&w->shadow);
	lines_free(&w->lines);
	jm_free(&w->journal);
}

/* Where the parts of the END in r begin. */
static uint64_t parts_begin(const struct jm_record *r)
{
	struct events_header h;
	struct event_iter it;
	struct event e;
	struct event_end_parts parts;
	if (events_open(slice_of(r->payload, r->len), &h, &it) || event_next(&it, &e) ||
	    !event_end_parts_decode(e.body, &parts))
		trace_fail("an END has no parts");
	return parts.begin;
}

uint64_t world_parts(const struct world *w)
{
	const struct jm_record *log = w->journal.log;
	uint64_t end = w->journal.count, parts = 0;
	while (end > 0 && log[end - 1].kind != RECORD_END)
		end--;
	for (uint64_t i = end > 0 ? parts_begin(&log[end - 1]) : end + 1; i < end; i++)
		parts += log[i - 1].kind == RECORD_PART;
	return parts;
}

/* ---- what may go wrong ---- */

static struct link *random_link(struct world *w)
{
	return w->net.count ? w->net.links[prng_below(&w->prng, w->net.count)] : NULL;
}

/* Before a long leap many connections break, and daemons that run notice that. */
static void leave_for_long(struct world *w)
{
	for (size_t i = 0; i < w->net.count; i++) {
		struct link *l = w->net.links[i];
		if (prng_chance(&w->later, 500)) {
			l->arrived_ms = w->boot_ms;
			net_break(l, &w->later);
		}
	}
	net_move_all(&w->net, w->boot_ms);
	for (unsigned i = 0; i < w->daemons_count; i++)
		if (daemon_ready(&w->daemons[i]))
			daemon_turn(&w->daemons[i]);
}

void world_leap(struct world *w)
{
	uint64_t ms = prng_range(&w->prng, 50, 3000);
	if (w->weather.ephemeral > 0 && prng_chance(&w->later, 200)) {
		leave_for_long(w);
		ms += EPHEMERAL_IDLE_MS;
	}
	w->boot_ms += ms;
	trace("leap", w->boot_ms, 0, 0, 0);
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

void world_wedge(struct world *w)
{
	struct link *l = random_link(w);
	if (!l || l->client_closed)
		return;
	trace("wedge", l->id, 0, 0, 0);
	l->wedged = true;
}

/* Another user with the token, or the same one without it, or with one that is almost right. */
void world_intrude(struct world *w)
{
	const struct link *victim = random_link(w);
	uint8_t token[SESSION_TOKEN_SIZE], list[4 + SESSION_TOKEN_SIZE], frame[128];
	struct writer tags = writer_of(list, sizeof(list)),
		      out = writer_of(frame, sizeof(frame));
	uint64_t way = prng_below(&w->prng, 3);
	if (!victim || victim->session == 0 || !victim->daemon || !victim->daemon->up)
		return;
	memcpy(token, victim->token, sizeof(token));
	if (way == 1)
		token[prng_below(&w->prng, sizeof(token))] ^=
		    (uint8_t)(1 << prng_below(&w->prng, 8));
	if (way < 2)
		tags_put(&tags, HELLO_TAG_TOKEN, slice_of(token, sizeof(token)));
	wire_put_hello(&out, &(struct wire_hello){WIRE_HELLO_VERSIONS, victim->session, 0,
				 slice_of(tags.p, tags.len)});
	struct link *l = net_connect(&w->net, victim->daemon, victim->clock_ms);
	trace("intrude", l->id, victim->session, way, 0);
	l->uid = victim->uid + (way == 0);
	l->intrudes = l->client_closed = true;
	bytes_push(&l->up.flight, slice_of(out.p, out.len));
}
