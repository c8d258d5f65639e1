/*
 * An administrator who removes nodes while others are dead or their disks hang, and mistypes
 * names: a removal that is taken is committed, whoever is ill.
 */
#include "../sim/trace.h"
#include "cluster.h"

#include "core/host/commands.h"

#define REMOVALS_MAX 3
#define REMOVAL_MS   5000 /* in which one that was taken is committed */
#define TRIED_MS     20000
#define DEAD_MS	     200

/* Who leads, and where. */
struct leader {
	struct sim *sim;
	struct node *node;
};

static uint64_t append(void *arg)
{
	const struct leader *l = arg;
	struct raft_status st;
	if (node_step(l->sim, l->node, &(struct raft_event){.type = RAFT_EVENT_NOOP}))
		return 0;
	raft_status(l->node->raft, &st);
	return st.last.index;
}

static bool stores(void *arg, struct raft_id id, uint64_t index)
{
	const struct leader *l = arg;
	struct raft_peer_status s;
	return raft_peer_status(l->node->raft, id, &s) && s.match >= index;
}

/* Nobody's disk forgets what it has stored. */
static bool votes(void *arg, struct raft_id id)
{
	(void)arg, (void)id;
	return true;
}

static struct node *member_node(struct cluster *c, const struct raft_member *m)
{
	if (!(m->flags & RAFT_VOTER))
		return NULL;
	struct node *n = &c->sim.nodes[m->id.bytes[0] - 1];
	return n->raft && raft_id_eq(n->id, m->id) ? n : NULL;
}

static void fall_ill(struct cluster *c, struct node *n)
{
	bool hangs = prng_chance(&c->world.prng, 400);
	trace(hangs ? "hangs" : "dead", n->slot, 0, 0, 0);
	if (hangs) {
		n->full_until = UINT64_MAX;
		return;
	}
	node_crash(&c->sim, n);
	n->up_at = UINT64_MAX;
}

static void get_well(struct cluster *c, struct node *n)
{
	n->full_until = 0;
	if (!n->raft)
		n->up_at = c->sim.now;
}

/* Less than half of the voters, for as long as the administrator is at it. */
static void harm_some(struct cluster *c, const struct raft_config *config, bool ill[NODES])
{
	struct prng *p = &c->world.prng;
	unsigned voters = raft_config_voters(config);
	uint64_t left = voters > 0 ? prng_range(p, 0, (voters - 1) / 2) : 0;
	for (unsigned i = 0; i < config->count && left > 0; i++) {
		struct node *n = member_node(c, &config->members[i]);
		if (!n || prng_chance(p, 500))
			continue;
		fall_ill(c, n);
		ill[n->slot] = true;
		left--;
	}
}

/* Some voter that lives, which is a typing error; "": none does. */
static void choose(struct cluster *c, const struct raft_config *config, char *name)
{
	name[0] = '\0';
	for (unsigned i = 0; i < config->count; i++) {
		const struct raft_member *m = &config->members[i];
		if (member_node(c, m) && (!name[0] || prng_chance(&c->world.prng, 400)))
			memcpy(name, m->name, RAFT_NAME_MAX + 1);
	}
}

static void committed(struct cluster *c, uint64_t index)
{
	uint64_t end = c->sim.now + REMOVAL_MS;
	while (c->sim.commit < index) {
		cluster_calm_millisecond(c);
		if (c->sim.now > end)
			trace_fail("after a removal nothing is committed: %llu of %llu",
			    (unsigned long long)c->sim.commit, (unsigned long long)index);
	}
}

/* Whether there is nothing more to be done about it. */
static bool try_to_remove(struct cluster *c, struct command_life *life, const char *name)
{
	struct node *n = node_leader(&c->sim);
	struct raft_status st;
	char text[TEXT_MAX + 1];
	if (!n)
		return false;
	raft_status(n->raft, &st);
	struct leader leader = {&c->sim, n};
	struct commands_peers peers = {&leader, append, stores, votes};
	enum commands_verdict v = commands_majority(
	    life, st.config, name, st.term, &peers, node_clock(&c->sim, n), text);
	if (v != COMMANDS_MAY)
		return v == COMMANDS_STOP;
	enum rmq_error err = node_step(
	    &c->sim, n, &(struct raft_event){.type = RAFT_EVENT_REMOVE, .name = name});
	if (err == RMQ_E_BUSY)
		return false;
	raft_status(n->raft, &st);
	trace("removed", n->slot, (uint64_t)err, st.config_index, 0);
	if (!err)
		committed(c, st.config_index);
	return true;
}

static void remove_one(struct cluster *c)
{
	struct command_life life = {0};
	char name[RAFT_NAME_MAX + 1] = "";
	uint64_t end = c->sim.now + TRIED_MS;
	bool done = false;
	while (!done && c->sim.now < end) {
		struct node *n = node_leader(&c->sim);
		struct raft_status st;
		if (n && !name[0]) {
			raft_status(n->raft, &st);
			choose(c, st.config, name);
		}
		done = name[0] && try_to_remove(c, &life, name);
		cluster_calm_millisecond(c);
	}
}

void administrator(struct cluster *c)
{
	bool ill[NODES] = {false};
	struct node *n = node_leader(&c->sim);
	struct raft_status st;
	if (!n || !prng_chance(&c->world.prng, 300))
		return;
	raft_status(n->raft, &st);
	struct raft_config config = *st.config;
	harm_some(c, &config, ill);
	/* Until what the dead have said has come; who dies later than that has answered. */
	for (unsigned i = 0; i < DEAD_MS; i++)
		cluster_calm_millisecond(c);
	for (uint64_t i = prng_range(&c->world.prng, 1, REMOVALS_MAX); i > 0; i--)
		remove_one(c);
	for (unsigned i = 0; i < NODES; i++)
		if (ill[i])
			get_well(c, &c->sim.nodes[i]);
}
