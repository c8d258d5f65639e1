#include "cluster.h"

#include "../sim/actors.h"
#include "../sim/checks.h"
#include "../sim/told.h"
#include "../sim/trace.h"

#include "core/wire/wire.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define PARTS_TURN_BYTES 1000
#define WALL_OFF_MAX_MS	 5000 /* what a node's wall clock is off, about */
#define CALM_MS_MAX	 240000
#define FULL_MS		 4000  /* within which all disks have room again */
#define LITTLE_MS	 15000 /* in which senders may wait for room, and nobody else */
#define SILENT_MS	 4000  /* after which who is ill is known not to be up */
#define HOLES_MS	 300   /* in which everybody makes the last holes */
#define SLOW_BATCHES	 40
#define CHECK_EVERY_MS	 400

/* ---- what the Raft part of it reports ---- */

void sim_broken(struct sim *s, const char *what, uint64_t a, uint64_t b)
{
	trace_fail("%llu ms: %s (%llu, %llu)", (unsigned long long)s->now, what,
	    (unsigned long long)a, (unsigned long long)b);
}

void sim_note(struct sim *s, uint64_t x)
{
	(void)s;
	trace_mix(x);
}

/* ---- begin and end ---- */

static void tell_plan(struct cluster *c)
{
	const struct sim *s = &c->sim;
	const struct weather *t = &c->world.weather;
	trace_plan(
	    "plan: %u loss, %u duplicates, %u ms delay, %u node faults, %u queue deaths, "
	    "%u cuts, %u pauses, %u jumps, %u deaths, %u full, %u checkpoints, "
	    "%u moves, %u large, %u admin (of 1000); %u lines, %u clients",
	    s->loss, s->duplicate, s->delay_max, s->faults, t->crash, t->cut, t->pause, t->jump,
	    t->death, t->full, t->checkpoint, t->move, t->large, t->admin, c->world.lines_goal,
	    c->world.actors_count);
}

/* The contact point answers by itself, and hangs up. */
static struct link *answered(struct world *w, uint64_t clock_ms, const struct writer *frame)
{
	struct link *l = net_connect(&w->net, NULL, clock_ms);
	bytes_push(&l->down.flight, slice_of(frame->p, frame->len));
	l->down.closed = l->daemon_closed = true;
	return l;
}

static struct link *not_yet(struct world *w, uint64_t clock_ms)
{
	uint8_t bytes[64];
	struct writer frame = writer_of(bytes, sizeof(bytes));
	uint32_t ms = (uint32_t)prng_range(&w->prng, 1, 200);
	wire_put_not_yet(&frame, &(struct wire_not_yet){ms});
	return answered(w, clock_ms, &frame);
}

static struct link *redirected(struct world *w, unsigned slot, uint64_t clock_ms)
{
	uint8_t bytes[64], name = (uint8_t)('0' + slot);
	struct writer frame = writer_of(bytes, sizeof(bytes));
	wire_put_redirect(&frame, &(struct wire_redirect){slice_of(&name, 1)});
	return answered(w, clock_ms, &frame);
}

static struct link *to_queue(struct world *w, unsigned slot, uint64_t clock_ms)
{
	struct daemon *d = &w->daemons[slot];
	return d->up ? net_connect(&w->net, d, clock_ms) : NULL;
}

/*
 * A contact point on each node: it knows a leader and redirects to it, or relays to it
 * if the network lets it; or it asks to come back.  A leader of the past is one as well, as
 * long as that is what its node believes.
 */
static struct link *dial(
    struct world *w, unsigned server, struct slice address, uint64_t clock_ms)
{
	struct cluster *c = (struct cluster *)w; /* its first member */
	struct node *n = &c->sim.nodes[server];
	struct raft_status st;
	if (address.len == 1)
		return to_queue(w, address.data[0] - '0', clock_ms);
	/* One that is stopped takes the connection, and says nothing. */
	if (c->sites[server].gate == GATE_STOPPED)
		return net_connect(&w->net, NULL, clock_ms);
	if (w->daemons[server].up)
		return to_queue(w, server, clock_ms);
	if (!n->raft)
		return NULL;
	raft_status(n->raft, &st);
	if (raft_id_none(st.leader))
		return not_yet(w, clock_ms);
	unsigned to = st.leader.bytes[0] - 1u;
	if (c->sites[to].gate != GATE_WELL)
		return not_yet(w, clock_ms);
	if (prng_chance(&w->prng, 500))
		return redirected(w, to, clock_ms);
	bool cut = n->cut_to[to] || c->sim.nodes[to].cut_to[server];
	return cut ? not_yet(w, clock_ms) : to_queue(w, to, clock_ms);
}

/* In some seeds one of the first voters may not run the queue daemon, and two that may have to be up. */
static void choose_roles(struct cluster *c, uint64_t seed)
{
	struct prng p = {.state = seed * 23 + 9};
	if (!prng_chance(&p, 250) && !c->wish.roles)
		return;
	c->sim.nodes[prng_below(&p, 3)].no_broker = true;
	if (prng_chance(&p, 300)) {
		c->min_members.count = 1;
		c->min_members.roles[0].members = 2;
		snprintf(c->min_members.roles[0].role, sizeof(c->min_members.roles[0].role),
		    "%s", ROLES_BROKER);
	}
}

struct cluster *cluster_new(uint64_t seed, enum world_variant world, struct wish wish)
{
	struct cluster *c = calloc(1, sizeof(*c));
	assert(c);
	struct world *w = &c->world;
	world_init(w, seed, NODES);
	/* The nodes' logs are short. */
	if (w->space.turn_bytes < PARTS_TURN_BYTES)
		w->space.turn_bytes = PARTS_TURN_BYTES;
	w->variant = world;
	c->wish = wish;
	c->recoveries.state = seed * 19 + 8;
	c->sparing = prng_chance(&w->prng, 200) || wish.sparing;
	if (c->sparing)
		w->space.dead_enough = w->space.log_enough = UINT32_MAX;
	w->servers = NODES;
	w->dial = dial;
	for (unsigned i = 0; i < NODES; i++)
		site_init(c, i);
	choose_roles(c, seed);
	c->sim.host = &site_host;
	c->sim.arg = c;
	sim_begin(&c->sim, prng_next(&w->prng));
	for (unsigned i = 0; i < NODES; i++)
		site_begin(&c->sites[i]);
	c->breaks = (unsigned)prng_range(&w->prng, 0, 20);
	c->moving = prng_chance(&w->prng, 300);
	c->all_move_at = prng_chance(&w->prng, 300) ? prng_range(&w->prng, 1, 4000) : 0;
	c->away_at = prng_chance(&w->prng, 200) ? prng_range(&w->prng, 1, 2000) : 0;
	c->back_at = c->away_at + 3000;
	/* As many as any majority has. */
	c->min_members.all = prng_chance(&w->prng, 300) || wish.waits ? 2 : 1;
	if (prng_chance(&w->prng, 300) || wish.part == PART_SLOWLY)
		c->level =
		    w->weather.large || w->weather.large_topics ? LEVEL_LARGE : LEVEL_BATCHES;
	for (unsigned i = 0; i < NODES; i++)
		site_disk(&c->sites[i], room_again(c));
	links_committed(c, c->sim.value[1].config);
	actors_make(w);
	tell_plan(c);
	return c;
}

void cluster_free(struct cluster *c)
{
	sim_end(&c->sim);
	links_free(c);
	recovery_free(c);
	for (unsigned i = 0; i < NODES; i++)
		site_free(&c->sites[i]);
	/* Records are owned by their values. */
	for (size_t i = 0; i < c->world.journal.count; i++)
		c->world.journal.log[i].payload = NULL;
	for (unsigned i = 0; i < VALUES; i++)
		free(c->records[i].payload);
	world_deinit(&c->world);
	free(c);
}

/* ---- what may go wrong, beside what happens to nodes ---- */

static struct site *random_site(struct cluster *c)
{
	return &c->sites[prng_below(&c->world.prng, NODES)];
}

/* SIGSTOP of a client, of a queue daemon, or of a whole machine. */
static void pause_somebody(struct cluster *c)
{
	struct prng *p = &c->world.prng;
	uint64_t ms = prng_range(p, 10, 1500);
	struct site *serving = site_serving(c);
	if (prng_chance(p, 400) || !serving) {
		actors_pause(&c->world, ms);
		return;
	}
	trace("pause", serving->node->slot, ms, 0, 0);
	if (prng_chance(p, 700))
		serving->daemon->paused_until = c->world.boot_ms + ms;
	if (prng_chance(p, 700))
		serving->node->paused_until = c->sim.now + ms;
}

/* A node's wall clock jumps; lease time must not care. */
static void jump(struct cluster *c)
{
	struct daemon *d = random_site(c)->daemon;
	int64_t by = (int64_t)prng_range(&c->world.prng, 0, 2 * WALL_OFF_MAX_MS);
	d->wall_offset_ms = WORLD_WALL_MS + by - WALL_OFF_MAX_MS;
	trace("jump", (uint64_t)d->wall_offset_ms, 0, 0, 0);
}

/* Clients and queue daemons see time pass in which Raft does nothing. */
static void leap(struct cluster *c)
{
	world_leap(&c->world);
}

/* Disks fill up, or are emptied: most of them, or a few. */
static void change_room(struct cluster *c)
{
	struct prng *p = &c->world.prng;
	uint64_t bytes = prng_chance(p, 500) ? room_again(c) : prng_below(p, 150000);
	unsigned most = prng_chance(p, 700) ? 900 : 300;
	trace("room", bytes, most, 0, 0);
	for (unsigned i = 0; i < NODES; i++)
		if (prng_chance(p, most))
			site_disk(&c->sites[i], bytes);
}

uint64_t room_again(const struct cluster *c)
{
	return c->level > 0 ? c->level : ROOM_ENOUGH;
}

static void kill_queue(struct cluster *c)
{
	struct site *s = site_serving(c);
	if (s)
		site_kill_queue(s);
}

static void cut(struct cluster *c)
{
	world_cut(&c->world);
}

static void stall(struct cluster *c)
{
	world_stall(&c->world);
}

static void die(struct cluster *c)
{
	actors_die(&c->world);
}

static void intrude(struct cluster *c)
{
	world_intrude(&c->world);
}

static void fault(struct cluster *c)
{
	const struct weather *t = &c->world.weather;
	const struct {
		unsigned rate;
		void (*happens)(struct cluster *);
	} faults[] = {{t->crash, kill_queue}, {t->cut, cut}, {t->stall, stall},
	    {t->pause, pause_somebody}, {t->jump, jump}, {t->leap, leap},
	    {t->full, change_room}, {t->death, die}, {t->intrude, intrude}};
	uint64_t at = prng_below(&c->world.prng, 2000);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		if (at < faults[i].rate) {
			faults[i].happens(c);
			return;
		}
		at -= faults[i].rate;
	}
}

/* ---- what goes on ---- */

/* Raft's part: messages, timers, disks, and what the cluster daemons do. */
static void nodes_turn(struct cluster *c)
{
	struct sim *s = &c->sim;
	/* Who wakes up may hear its queue daemon before it looks at the time. */
	for (unsigned i = 0; i < NODES; i++)
		if (s->nodes[i].raft && s->nodes[i].paused_until == s->now + 1)
			site_turn(&c->sites[i]);
	sim_millisecond(s);
	links_millisecond(c);
	c->world.boot_ms++;
	for (unsigned i = 0; i < NODES; i++) {
		struct node *n = &s->nodes[i];
		struct raft_status st;
		if (!n->raft || n->paused_until > s->now)
			continue;
		links_turn(&c->sites[i]);
		site_turn(&c->sites[i]);
		/* It may have needed a record that is not to be had. */
		if (!n->raft)
			continue;
		watchers_turn(&c->sites[i]);
		raft_status(n->raft, &st);
		if (st.serving)
			sim_disturb(s, n);
	}
}

/* A record may have gone bad since its node had its turn. */
static void queue_turn(struct cluster *c, unsigned i)
{
	site_looks(&c->sites[i]);
	if (daemon_ready(&c->world.daemons[i]))
		daemon_turn(&c->world.daemons[i]);
}

static void queue_step(struct cluster *c)
{
	struct world *w = &c->world;
	switch (prng_below(&w->prng, 4)) {
	case 0:
		for (unsigned i = 0; i < NODES; i++)
			if (daemon_ready(&w->daemons[i]))
				queue_turn(c, i);
		break;
	case 1:
		net_move(&w->net, &w->prng, w->boot_ms);
		break;
	default:
		actors_step(w);
	}
}

void cluster_millisecond(struct cluster *c)
{
	struct world *w = &c->world;
	nodes_turn(c);
	fault(c);
	links_disturb(c);
	for (uint64_t i = prng_range(&w->prng, 1, 5); i > 0; i--)
		queue_step(c);
	if (c->sim.now >= c->checked_at) {
		c->checked_at = c->sim.now + prng_range(&w->prng, 1, 2 * CHECK_EVERY_MS);
		replica_check(c, &c->sim.nodes[prng_below(&w->prng, NODES)]);
	}
	recovery_turn(c);
}

/* ---- the calm ---- */

/* Its queue daemon does nothing, for good. */
static bool stopped(const struct site *s)
{
	return s->daemon->paused_until == UINT64_MAX;
}

/* Whether nobody has anything to do before time goes on. */
static bool at_rest(struct cluster *c)
{
	if (actors_ready(&c->world))
		return false;
	for (unsigned i = 0; i < NODES; i++) {
		const struct site *s = &c->sites[i];
		if (!stopped(s) && (daemon_ready(s->daemon) || !site_idle(s)))
			return false;
	}
	/* What waits for the nodes waits by their clock, and not by that of clients. */
	const struct site *s = site_serving(c);
	return s && !broker_pending(s->daemon->broker);
}

/* To the next timer of a client or a queue daemon. */
static void leap_to_timer(struct cluster *c)
{
	uint64_t due = actors_due(&c->world);
	for (unsigned i = 0; i < NODES; i++) {
		const struct site *s = &c->sites[i];
		uint64_t at = stopped(s) ? UINT64_MAX : daemon_due(s->daemon);
		due = at < due ? at : due;
	}
	if (due != UINT64_MAX && due > c->world.boot_ms)
		c->world.boot_ms = due - 1;
}

void cluster_calm_millisecond(struct cluster *c)
{
	struct world *w = &c->world;
	for (unsigned i = 0; i < NODES && c->sim.now == c->room_at; i++)
		site_disk(&c->sites[i], room_again(c));
	if (!c->resting && at_rest(c))
		leap_to_timer(c);
	illness_turn(c);
	nodes_turn(c);
	for (unsigned i = 0; i < w->actors_count && !c->resting; i++)
		actors_step(w);
	net_move_all(&w->net, w->boot_ms);
	for (unsigned i = 0; i < NODES; i++)
		if (daemon_ready(&w->daemons[i]))
			daemon_turn(&w->daemons[i]);
	net_move_all(&w->net, w->boot_ms);
}

static bool drained(struct cluster *c)
{
	const struct site *s = site_serving(c);
	return s && actors_done(&c->world) && c->world.shadow.live == 0 &&
	       jm_idle(&s->journal) && !broker_pending(s->daemon->broker);
}

static void until(struct cluster *c, bool (*done)(struct cluster *), const char *what)
{
	uint64_t end = c->sim.now + CALM_MS_MAX;
	while (!done(c)) {
		cluster_calm_millisecond(c);
		if (c->sim.now > end) {
			actors_report(&c->world);
			trace_fail("%s: %llu messages are left%s%s (%x)", what,
			    (unsigned long long)c->world.shadow.live, c->illness ? "; " : "",
			    c->illness ? c->illness : "", c->ill);
		}
	}
}

static bool checkpointed(struct cluster *c)
{
	const struct site *s = site_serving(c);
	return s && !broker_checkpointing(s->daemon->broker) && jm_idle(&s->journal) &&
	       !broker_pending(s->daemon->broker);
}

/* Everybody has caught up: disks hold what is committed. */
static bool level(struct cluster *c)
{
	const struct site *s = site_serving(c);
	struct raft_status st;
	if (!s)
		return false;
	raft_status(s->node->raft, &st);
	for (unsigned i = 0; i < st.config->count; i++) {
		const struct raft_member *m = &st.config->members[i];
		if (raft_id_none(m->id))
			continue;
		const struct site *o = &c->sites[m->id.bytes[0] - 1];
		if (raft_id_eq(o->node->id, m->id) && o->committed < st.last.index)
			return false;
	}
	return true;
}

/* Who leads has committed what the cluster is. */
static bool steady(struct cluster *c)
{
	const struct site *s = site_serving(c);
	struct raft_status st;
	if (!s)
		return false;
	raft_status(s->node->raft, &st);
	return st.serving && st.commit >= st.config_index;
}

/* The disks have room again, so nobody hands over to another one for that. */
static bool roomy(struct cluster *c)
{
	return c->sim.now > c->room_at && steady(c);
}

static void checkpoint(struct cluster *c)
{
	struct site *s = site_serving(c);
	if (s) {
		broker_checkpoint(s->daemon->broker);
		daemon_turn(s->daemon);
	}
	cluster_calm_millisecond(c);
	until(c, checkpointed, "a checkpoint does not end");
}

/* Clients stand still with messages that live; the END that comes then makes all members equal.
 */
static void rest(struct cluster *c)
{
	c->resting = true;
	until(c, level, "nodes do not catch up");
	c->rests_from = c->sim.commit;
	checkpoint(c);
	until(c, replicas_are_alike, "members hold different records");
	c->resting = false;
}

static void begin_calm(struct cluster *c)
{
	struct world *w = &c->world;
	trace("calm", w->shadow.live, w->lines.count, w->journal.count, 0);
	sim_calm(&c->sim);
	c->calm_at = c->sim.now;
	w->calm = true;
	bool full = prng_chance(&w->prng, 300);
	c->room_at = c->sim.now + prng_range(&w->prng, 1, FULL_MS);
	for (unsigned i = 0; i < NODES; i++) {
		if (full)
			site_disk(&c->sites[i], 0);
		w->daemons[i].paused_until = 0;
		w->daemons[i].wall_offset_ms = WORLD_WALL_MS;
	}
	actors_wake(w);
}

static bool all_sent(struct cluster *c)
{
	return actors_done(&c->world);
}

/* Little by little much more is sent than there is room for at a time. */
static void send_slowly(struct cluster *c)
{
	struct world *w = &c->world;
	until(c, all_sent, "the calm does not end");
	c->level = LEVEL_SLOW;
	for (unsigned i = 0; i < NODES; i++)
		if (c->sites[i].capacity == UINT64_MAX)
			site_disk(&c->sites[i], c->level);
	w->weather.large = w->weather.large_topics = 0;
	/* What is written at a time takes a small part of the room, which so stays as it was told. */
	w->weather.long_lines = 1000;
	w->weather.checkpoint = w->weather.move = 0;
	trace("slowly", w->lines.count, 0, 0, 0);
	for (unsigned i = 0; i < SLOW_BATCHES; i++) {
		w->lines_goal = w->lines.count + 1;
		until(c, all_sent, "senders wait for room that there is");
		/* Until all nodes have told what room they have again. */
		for (unsigned ms = 0; ms < 2 * ROOM_TELL_MS; ms++)
			cluster_calm_millisecond(c);
	}
}

static void told_at_rest(struct cluster *c)
{
	const struct site *s = site_serving(c);
	if (s && site_idle(s) && !broker_pending(s->daemon->broker) && !daemon_ready(s->daemon))
		told_all(&c->world, s->daemon);
}

bool cluster_part(const struct cluster *c, enum calm_part part, bool by_chance)
{
	return c->wish.part == PART_ANY ? by_chance : c->wish.part == part;
}

void cluster_calm(struct cluster *c)
{
	struct prng *p = &c->sim.prng;
	begin_calm(c);
	administrator(c);
	rest(c);
	if (cluster_part(c, PART_ILLNESS, prng_chance(p, 500))) {
		until(c, steady, "nobody leads");
		illness_begin(c);
		uint64_t silent = c->sim.now + SILENT_MS, end = c->sim.now + LITTLE_MS;
		while (c->little && c->sim.now < end && !drained(c))
			cluster_calm_millisecond(c);
		if (!c->little)
			until(c, drained, "illness stops the cluster");
		if (illness_catches_up(c))
			until(c, level, "a full disk does not catch up by itself");
		bool lasts = prng_chance(p, 100);
		while (lasts && c->sim.now < silent)
			cluster_calm_millisecond(c);
		illness_end(c);
	}
	if (cluster_part(c, PART_DEADLY, prng_chance(p, 200))) {
		/* A HELLO that is late from before may keep a vote from its candidate. */
		until(c, links_are_up, "a member is not up");
		until(c, steady, "nobody leads");
		illness_deadly_record(c);
	}
	if (cluster_part(c, PART_ONE_RUNS, prng_chance(p, 200))) {
		until(c, steady, "nobody leads");
		illness_run_on_one(c);
	}
	if (c->level > 0 && cluster_part(c, PART_SLOWLY, prng_chance(p, 300))) {
		until(c, roomy, "nobody leads");
		send_slowly(c);
	}
	until(c, drained, "the calm does not end");
	for (int i = 0; i < 3; i++)
		checkpoint(c);
	until(c, roomy, "nobody leads");
	until(c, level, "nodes do not catch up");
	for (int i = 0; i < HOLES_MS; i++)
		cluster_calm_millisecond(c);
	sim_check_alive(&c->sim);
	until(c, links_are_up, "a member is not up");
	told_at_rest(c);
	checks_end(&c->world);
	replica_check_end(c);
	if (cluster_part(c, PART_EXAM, prng_chance(p, 150)))
		suspicion_exam(c);
}
