/*
 * Whom the nodes suspect, by the shipped detector (core/host/phi.h) and opinions: each second what one
 * says of itself comes to those that it reaches, some time later.
 */
#include "cluster.h"

#include "../sim/trace.h"

#define WORD_MS_MAX   1000 /* a word takes, in one cluster of two; in the other: */
#define WORD_MS_SHORT 20
#define KILLED_MS     6000 /* within which one that is killed is suspected, if words are quick */
#define SLOW_MS	      3000 /* more, if they are not */
#define SETTLE_MS     3500 /* in which all have heard each other a few times */
#define CUT_MS	      9000

static bool is_slow(const struct cluster *c)
{
	return c->world.lines_goal % 2 == 0;
}

/* No random number: words come and go beside all else. */
static uint64_t word_takes(const struct cluster *c, unsigned from, unsigned to)
{
	uint64_t x = (c->sim.now * NODES + from) * NODES + to;
	x = (x ^ x >> 15) * 0x9e3779b97f4a7c15u;
	return 1 + (x >> 32) % (is_slow(c) ? WORD_MS_MAX : WORD_MS_SHORT);
}

static struct site *running(struct cluster *c, struct raft_id id)
{
	struct site *s = &c->sites[id.bytes[0] - 1];
	return s->node->raft && s->links.boot && raft_id_eq(s->node->id, id) ? s : NULL;
}

void suspicion_begin(struct site *s)
{
	const struct phi_settings settings = {PHI_THRESHOLD, PHI_PAUSE_MS};
	opinions_init(&s->links.opinions, s->node->id, &settings, s->c->sim.now);
}

void suspicion_sent(const struct site *from, struct site *to)
{
	for (unsigned i = 0; i < to->links.count; i++) {
		struct sim_link *l = &to->links.list[i];
		if (raft_id_eq(l->id, from->node->id) && l->word_at == 0)
			l->word_at = to->c->sim.now +
				     word_takes(to->c, from->node->slot, to->node->slot);
	}
}

/* What it thinks by now. */
static void hear(struct site *s, struct sim_link *l)
{
	struct opinion said;
	const struct site *by = running(s->c, l->id);
	l->word_at = 0;
	if (!by)
		return;
	l->spoke_ms = s->c->sim.now;
	opinions_beat(&s->links.opinions, l->id, s->c->sim.now);
	opinions_own(&by->links.opinions, &said);
	opinions_told(&s->links.opinions, l->id, &said);
}

void suspicion_turn(struct site *s)
{
	struct opinions *o = &s->links.opinions;
	uint64_t now = s->c->sim.now;
	for (unsigned i = 0; i < s->links.count; i++) {
		struct sim_link *l = &s->links.list[i];
		if (!l->roles[0].end[FROM].boot) {
			l->word_at = 0;
			opinions_told(o, l->id, NULL);
		}
		if (l->word_at > 0 && l->word_at <= now)
			hear(s, l);
	}
	if (opinions_turn(o, now))
		s->links.tell_at = 0;
	for (unsigned i = 0; i < s->links.count; i++) {
		const struct sim_link *l = &s->links.list[i];
		if (opinions_find(o, l->id)->suspected && l->spoke_ms > 0 &&
		    now - l->spoke_ms < PHI_PAUSE_MS)
			trace_fail(
			    "node %u is suspected by node %u, which heard it %llu ms ago",
			    l->id.bytes[0] - 1u, s->node->slot,
			    (unsigned long long)(now - l->spoke_ms));
	}
}

/* ---- the exam ---- */

static void pass(struct cluster *c, uint64_t ms)
{
	for (uint64_t end = c->sim.now + ms; c->sim.now < end;)
		cluster_calm_millisecond(c);
}

static bool all_up(struct cluster *c)
{
	for (unsigned i = 0; i < NODES; i++)
		if (!c->sim.nodes[i].raft)
			return false;
	return links_are_up(c);
}

/* As a cluster that was started: what heartbeats did before is forgotten. */
static void begin_anew(struct cluster *c)
{
	for (unsigned i = 0; i < NODES; i++) {
		if (c->sim.nodes[i].raft)
			node_crash(&c->sim, &c->sim.nodes[i]);
		c->sim.nodes[i].up_at = c->sim.now;
	}
	for (unsigned ms = 0; ms < 20000 && !all_up(c); ms++)
		cluster_calm_millisecond(c);
	pass(c, SETTLE_MS);
}

/* Who runs, and is a member. */
static unsigned members(struct cluster *c, struct site *list[NODES])
{
	unsigned n = 0;
	for (unsigned i = 0; i < c->config.count; i++) {
		struct raft_id id = c->config.members[i].id;
		struct site *s = raft_id_none(id) ? NULL : running(c, id);
		if (s)
			list[n++] = s;
	}
	return n;
}

static void expect(
    struct cluster *c, struct site *const *list, unsigned n, const struct site *dead)
{
	for (unsigned i = 0; i < n; i++) {
		const struct opinions *o = &list[i]->links.opinions;
		for (unsigned k = 0; k < n; k++) {
			const struct opinions_peer *p = opinions_find(o, list[k]->node->id);
			bool is = list[k] == dead;
			if (list[i] == dead || !p)
				continue;
			if (is && !p->suspected)
				trace_fail("node %u is dead, and is not suspected by node %u",
				    dead->node->slot, list[i]->node->slot);
			if (p->unreachable != is)
				trace_fail("node %u %s unreachable for node %u",
				    list[k]->node->slot, is ? "is dead, and not" : "is",
				    list[i]->node->slot);
		}
	}
	(void)c;
}

static void kill_one(struct cluster *c, struct site **list, unsigned n)
{
	struct site *dead = list[prng_below(&c->sim.prng, n)];
	trace("is killed", dead->node->slot, n, 0, 0);
	node_crash(&c->sim, dead->node);
	dead->node->up_at = UINT64_MAX;
	pass(c, KILLED_MS + (is_slow(c) ? SLOW_MS : WORD_MS_SHORT));
	expect(c, list, n, dead);
	dead->node->up_at = c->sim.now;
	for (unsigned ms = 0; ms < 20000 && !all_up(c); ms++)
		cluster_calm_millisecond(c);
	pass(c, SETTLE_MS);
	expect(c, list, n, NULL);
}

static void cut_cable(struct cluster *c, struct site **list, unsigned n)
{
	struct node *a = list[0]->node, *b = list[1 + prng_below(&c->sim.prng, n - 1)]->node;
	trace("cable", a->slot, b->slot, 0, 0);
	a->cut_to[b->slot] = b->cut_to[a->slot] = true;
	pass(c, CUT_MS);
	if (!opinions_find(&c->sites[a->slot].links.opinions, b->id)->suspected)
		trace_fail(
		    "node %u is cut off, and is not suspected by node %u", b->slot, a->slot);
	expect(c, list, n, NULL);
	a->cut_to[b->slot] = b->cut_to[a->slot] = false;
}

void suspicion_exam(struct cluster *c)
{
	struct site *list[NODES];
	begin_anew(c);
	unsigned n = members(c, list);
	if (n < 3)
		return;
	expect(c, list, n, NULL);
	kill_one(c, list, n);
	cut_cable(c, list, n);
}
