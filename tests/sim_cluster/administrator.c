/*
 * An administrator who removes nodes, has them leave or downs them, while others are dead or their
 * disks hang, and mistypes names: a removal that is taken is committed, whoever is ill.  Dead nodes
 * are replaced, and the new ones vote while others are still dead.  And what a leader does about those
 * that leave, whoever leads by then.
 */
#include "../sim/trace.h"
#include "cluster.h"

#include "core/host/commands.h"
#include "core/host/leaving.h"

#define REMOVALS_MAX 3
#define LED_MS	     5000
#define REMOVAL_MS   5000 /* in which one that was taken is committed */
#define TRIED_MS     20000
#define DEAD_MS	     200
#define VOTES_MS     20000 /* in which one that was let in does */
#define DIES_MS	     300
#define LEFT_MS	     (REMOVALS_MAX * (LEAVING_MS + 10000)) /* with elections, and room for a HELLO */

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

/* Some voter that lives, which is a typing error, or any member; "": there is none. */
static void choose(struct cluster *c, const struct raft_config *config, bool any, char *name)
{
	name[0] = '\0';
	for (unsigned i = 0; i < config->count; i++) {
		const struct raft_member *m = &config->members[i];
		if ((any || member_node(c, m)) &&
		    (!name[0] || prng_chance(&c->world.prng, 400)))
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

static bool is_up(void *arg, struct raft_id id)
{
	const struct leader *l = arg;
	const struct node *n = &l->sim->nodes[id.bytes[0] - 1];
	return n->raft && raft_id_eq(n->id, id);
}

/* Who goes is not the last that may run the queue daemon, as long as others vote. */
static void check_brokers(const struct leader *l, const struct raft_member *goes)
{
	const unsigned both = RAFT_VOTER | RAFT_BROKER;
	struct raft_status st;
	bool any = !goes || (goes->flags & both) != both;
	raft_status(l->node->raft, &st);
	for (unsigned i = 0; i < st.config->count; i++) {
		const struct raft_member *m = &st.config->members[i];
		any |= m != goes && (m->flags & both) == both && m->leaving == RAFT_STAYS;
	}
	if (!any && raft_config_voters(st.config) > 1)
		trace_fail("no voter is left that may run the queue daemon");
}

static enum rmq_error drop_member(void *arg, const char *name, enum raft_how how)
{
	const struct leader *l = arg;
	struct raft_status st;
	raft_status(l->node->raft, &st);
	check_brokers(l, raft_config_find_name(st.config, name));
	return node_step(l->sim, l->node,
	    &(struct raft_event){.type = RAFT_EVENT_REMOVE, .name = name, .how = how});
}

static enum rmq_error mark_leaving(void *arg, struct raft_id id)
{
	const struct leader *l = arg;
	struct raft_status st;
	raft_status(l->node->raft, &st);
	check_brokers(l, raft_config_find(st.config, id));
	if (!is_up(arg, id))
		trace_fail("node %u is told to leave, and is dead", id.bytes[0] - 1u);
	return node_step(l->sim, l->node,
	    &(struct raft_event){.type = RAFT_EVENT_MARK, .mark = RAFT_MARK_LEAVING, .id = id});
}

static enum rmq_error replace_member(void *arg, const struct raft_member *by)
{
	const struct leader *l = arg;
	if (is_up(arg, by->id))
		trace_fail("%s is replaced, and is up", by->name);
	return node_step(l->sim, l->node,
	    &(struct raft_event){.type = RAFT_EVENT_REPLACE, .id = by->id, .member = by});
}

static struct commands_peers peers_of(struct leader *l)
{
	return (struct commands_peers){
	    l, append, stores, votes, is_up, drop_member, mark_leaving, replace_member};
}

/* What it says of itself comes, unless the link is cut. */
static bool has_handed_over(void *arg, struct raft_id id)
{
	const struct leader *l = arg;
	struct cluster *c = l->sim->arg;
	const struct site *s = &c->sites[id.bytes[0] - 1];
	return is_up(arg, id) && !s->node->cut_to[l->node->slot] && leaving_drained(&s->leaves);
}

void administrator_sees_off(struct site *s)
{
	struct sim *sim = &s->c->sim;
	struct leader leader = {sim, s->node};
	struct commands_peers peers = peers_of(&leader);
	struct raft_id id;
	struct raft_status st;
	raft_status(s->node->raft, &st);
	struct leaving_seen seen = {&st, has_handed_over, &peers};
	enum leaving_step step = leaving_turn(&s->others, &seen, sim->now, &id);
	if (step == LEAVING_NOTHING)
		return;
	struct raft_event e = leaving_event(step, id);
	trace("sees off", s->node->slot, e.id.bytes[0], e.type, 0);
	(void)!node_step(sim, s->node, &e);
}

/* A removal as the node knows it that was asked, and as the leader does that it was passed on
 * to. */
struct removal {
	char name[RAFT_NAME_MAX + 1];
	enum commands_way way;
	struct raft_member by; /* REPLACE */
	bool any;	       /* it may be dead */
	bool leader_dies;      /* once, when it has proposed it */
	struct command_life asked, led;
};

/* What its administrator is told is so. */
static void told(struct cluster *c, struct removal *r, enum rmq_error code)
{
	code = command_removed(&r->asked, code);
	command_event(&r->asked, COMMAND_ANSWER, c->sim.now);
	trace("told", code, r->asked.tries, 0, 0);
	const struct raft_member *is = raft_config_find_name(&c->config, r->name);
	if (r->way == COMMANDS_REPLACE && code == RMQ_E_OK && !is)
		trace_fail("%s is told to be replaced, and is no member", r->name);
	if (r->way != COMMANDS_REPLACE && code == RMQ_E_OK && is && !is->leaving)
		trace_fail("%s is told to be removed, and is a member", r->name);
}

static void try_to_remove(struct cluster *c, struct removal *r, struct node *n)
{
	struct raft_status st;
	char text[TEXT_MAX + 1];
	enum rmq_error code;
	raft_status(n->raft, &st);
	struct leader leader = {&c->sim, n};
	struct commands_peers peers = peers_of(&leader);
	struct commands_removal removal = {
	    .name = r->name, .way = r->way, .by = &r->by, .log = &st};
	enum commands_verdict v =
	    command_remove(&r->led, &removal, &peers, node_clock(&c->sim, n), &code, text);
	if (v == COMMANDS_HOLD)
		return;
	if (v == COMMANDS_MAY && r->leader_dies) {
		trace("leader dies", n->slot, 0, 0, 0);
		r->leader_dies = false;
		node_crash(&c->sim, n);
		command_event(&r->asked, COMMAND_LOST, c->sim.now);
		return;
	}
	if (v == COMMANDS_MAY) {
		raft_status(n->raft, &st);
		code = RMQ_E_OK;
		committed(c, st.config_index);
	}
	trace("removed", n->slot, (uint64_t)code, st.config_index, 0);
	told(c, r, code);
}

static void carry_out(struct cluster *c, struct removal *r)
{
	uint64_t end = c->sim.now + TRIED_MS;
	while (r->asked.state != COMMAND_ENDED && c->sim.now < end) {
		struct node *n = node_leader(&c->sim);
		struct raft_status st;
		if (n && !r->name[0]) {
			raft_status(n->raft, &st);
			choose(c, st.config, r->any, r->name);
			const struct raft_member *is =
			    raft_config_find_name(st.config, r->name);
			r->by.id = is ? is->id : r->by.id;
		}
		if (n && r->name[0] && r->asked.state == COMMAND_WAITS) {
			command_event(&r->asked, COMMAND_PASS_ON, c->sim.now);
			r->led = (struct command_life){0};
		}
		/* The link to the leader is lost, or its process. */
		if (r->asked.state == COMMAND_PASSED_ON && r->asked.tries < 3 &&
		    prng_chance(&c->world.prng, 2))
			command_event(&r->asked, COMMAND_LOST, c->sim.now);
		if (n && r->asked.state == COMMAND_PASSED_ON)
			try_to_remove(c, r, n);
		cluster_calm_millisecond(c);
	}
}

static void remove_one(struct cluster *c)
{
	struct removal r = {.name = "",
	    .way = prng_chance(&c->world.prng, 500) ? COMMANDS_LEAVE : COMMANDS_DOWN,
	    .any = prng_chance(&c->recoveries, 300)};
	carry_out(c, &r);
}

/* ---- replacing ---- */

static void stop(struct cluster *c, struct node *n)
{
	if (n->raft)
		node_crash(&c->sim, n);
	n->up_at = UINT64_MAX;
}

/* It is let in, and votes: a majority of the members is enough for that, whoever is dead. */
static void come(struct cluster *c, struct node *n)
{
	uint64_t end = c->sim.now + VOTES_MS;
	struct raft_member self;
	get_well(c, n);
	node_member(n, &self);
	while (!raft_config_is_voter(&c->config, n->id)) {
		struct node *leader = node_leader(&c->sim);
		bool in = raft_config_find(&c->config, n->id);
		struct raft_event e = {.type = in ? RAFT_EVENT_PROMOTE : RAFT_EVENT_ADD_LEARNER,
		    .id = n->id,
		    .member = &self};
		if (leader && n->raft)
			(void)!node_step(&c->sim, leader, &e);
		cluster_calm_millisecond(c);
		if (c->sim.now > end && c->sites[n->slot].capacity != UINT64_MAX)
			return;
		if (c->sim.now > end)
			trace_fail("%s came in the place of a dead node, and does not vote",
			    self.name);
	}
}

/* Who has asked did not hear that it was done, and asks again. */
static void replace_again(struct cluster *c, struct removal *r, struct node *n)
{
	struct removal again = {.way = COMMANDS_REPLACE, .by = r->by};
	memcpy(again.name, r->name, sizeof(again.name));
	if (prng_chance(&c->world.prng, 500))
		stop(c, n);
	carry_out(c, &again);
	if (!raft_config_find(&c->config, n->id))
		trace_fail("%s is replaced again, though it has come", r->name);
	get_well(c, n);
}

/* Some member, rather one that is ill; NULL: there is none. */
static struct node *choose_to_replace(struct cluster *c, const bool ill[NODES])
{
	struct node *is = NULL;
	unsigned from = (unsigned)prng_below(&c->world.prng, NODES);
	for (unsigned i = 0; i < NODES; i++) {
		struct node *n = &c->sim.nodes[(from + i) % NODES];
		if (raft_config_find(&c->config, n->id) &&
		    (!is || (ill[n->slot] && !ill[is->slot])))
			is = n;
	}
	return is;
}

/* Whether those that hold the log are a majority without it: a member whose disk was new holds nothing. */
static bool can_lose(const struct cluster *c, const struct node *n)
{
	unsigned voters = raft_config_voters(&c->config), others = 0;
	for (unsigned i = 0; i < c->config.count; i++) {
		struct raft_id id = c->config.members[i].id;
		if (raft_config_is_voter(&c->config, id) && !raft_id_eq(id, n->id))
			others += raft_id_eq(c->sim.nodes[id.bytes[0] - 1].id, id);
	}
	return 2 * others > voters;
}

/* If all others are well. */
static void may_die(struct cluster *c, struct node *n, bool ill[NODES])
{
	for (unsigned i = 0; i < NODES; i++)
		if (ill[i])
			return;
	if (!can_lose(c, n) || prng_chance(&c->world.prng, 300))
		return;
	ill[n->slot] = true;
	stop(c, n);
	for (unsigned i = 0; i < DEAD_MS; i++)
		cluster_calm_millisecond(c);
}

/* A machine that is dead comes back with a new disk; or it is none that is dead. */
static void replace_one(struct cluster *c, struct node *n, bool ill[NODES])
{
	struct removal r = {.way = COMMANDS_REPLACE};
	node_member(n, &r.by);
	if (n->incarnation >= 6)
		return;
	memcpy(r.name, r.by.name, sizeof(r.name));
	may_die(c, n, ill);
	trace("replaces", n->slot, n->raft != NULL, 0, 0);
	if (n->raft) {
		r.by.key[5] = 1;
		carry_out(c, &r);
		return;
	}
	/* It starts again by itself, or too few would be left. */
	if (!ill[n->slot] || !can_lose(c, n))
		return;
	r.leader_dies = prng_chance(&c->world.prng, 300);
	node_wipe(&c->sim, n);
	n->up_at = UINT64_MAX;
	carry_out(c, &r);
	const struct raft_member *is = raft_config_find_name(&c->config, r.name);
	if (!is || !raft_id_none(is->id))
		return;
	come(c, n);
	replace_again(c, &r, n);
}

static const struct raft_member *who_leaves(const struct cluster *c)
{
	for (unsigned i = 0; i < c->config.count; i++)
		if (c->config.members[i].leaving)
			return &c->config.members[i];
	return NULL;
}

/* For a while: who leads, or who leaves. */
static void kill_one(struct cluster *c, const struct raft_member *leaves)
{
	struct node *n = node_leader(&c->sim), *own = member_node(c, leaves);
	if (own && c->sim.now / 7 % 3 == 0)
		n = own;
	if (!n || c->sim.now / 11 % 3 == 0)
		return;
	trace("dies meanwhile", n->slot, leaves->leaving, 0, 0);
	node_crash(&c->sim, n);
	n->up_at = c->sim.now + DIES_MS;
}

/* Those that were told to leave have left soon, though somebody dies before each step. */
static void see_off(struct cluster *c)
{
	const struct raft_member *m;
	uint64_t end = c->sim.now + LEFT_MS;
	unsigned was = 0;
	while ((m = who_leaves(c))) {
		unsigned is = m->id.bytes[0] * 4u + m->leaving;
		if (is != was)
			kill_one(c, m);
		was = is;
		cluster_calm_millisecond(c);
		if (c->sim.now > end)
			trace_fail("%s was told to leave, and has not left", m->name);
	}
}

void administrator(struct cluster *c)
{
	bool ill[NODES] = {false};
	struct raft_status st;
	if (c->sim.rots ||
	    !cluster_part(c, PART_ADMINISTRATOR, prng_chance(&c->world.prng, 130)))
		return;
	uint64_t end = c->sim.now + LED_MS;
	struct node *n;
	while (!(n = node_leader(&c->sim)) && c->sim.now < end)
		cluster_calm_millisecond(c);
	if (!n)
		return;
	raft_status(n->raft, &st);
	struct raft_config config = *st.config;
	harm_some(c, &config, ill);
	/* Until what the dead have said has come; who dies later than that has answered. */
	for (unsigned i = 0; i < DEAD_MS; i++)
		cluster_calm_millisecond(c);
	for (uint64_t i = prng_range(&c->world.prng, 1, REMOVALS_MAX); i > 0; i--)
		remove_one(c);
	n = prng_chance(&c->world.prng, 700) ? choose_to_replace(c, ill) : NULL;
	if (n)
		replace_one(c, n, ill);
	for (unsigned i = 0; i < NODES; i++)
		if (ill[i])
			get_well(c, &c->sim.nodes[i]);
	see_off(c);
}
