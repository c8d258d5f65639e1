/*
 * Illness that lasts: a healthy majority has to go on while the others are as they are, for
 * good.  One whose disk is full stays so, and has to catch up when the queue is empty.
 */
#include "cluster.h"

#include "../sim/trace.h"

#include <string.h>

#define STOPS_MS 10000 /* in which a healthy majority goes on */
/* A while in which leadership goes round many times, if it does. */
#define DEADLY_MS 10000
/* On two nodes, three times and twice; and for those that have nobody to hand over to. */
#define DEADLY_STARTS 12
/*
 * So many bounds of health.h.  A node fails for 2, 4, 8 and 16 of them, so it is tried five times, mostly
 * by one start or two.
 */
#define FAILS_BOUNDS 40
#define FAILS_STARTS 15
#define FLAP_MS	     250 /* longer than an election takes */
#define WANDER_MS    700

static void hang(struct cluster *c, struct node *n)
{
	(void)c;
	n->full_until = UINT64_MAX;
}

static void fill(struct cluster *c, struct node *n)
{
	struct site *s = &c->sites[n->slot];
	uint64_t reserve = c->little	? RESERVE_SPENT
			   : c->tight	? RESERVE_TIGHT
			   : c->sparing ? RESERVE_AMPLE
					: prng_range(&c->sim.prng, RESERVE_MIN, RESERVE_MAX);
	if (s->capacity == UINT64_MAX)
		site_fill(s, reserve);
}

static void narrow(struct cluster *c, struct node *n)
{
	(void)c;
	n->narrow = true;
}

static void mute(struct cluster *c, struct node *n)
{
	(void)c;
	memset(n->cut_to, true, sizeof(n->cut_to));
}

static void deafen(struct cluster *c, struct node *n)
{
	for (unsigned i = 0; i < NODES; i++)
		c->sim.nodes[i].cut_to[n->slot] = true;
}

static void stop_queue(struct cluster *c, struct node *n)
{
	c->world.daemons[n->slot].paused_until = UINT64_MAX;
}

static void stop_gate(struct cluster *c, struct node *n)
{
	c->sites[n->slot].gate = GATE_STOPPED;
}

/* It runs, and is not where the others are told that it is. */
static void hide_gate(struct cluster *c, struct node *n)
{
	c->sites[n->slot].gate = GATE_UNREACHED;
}

/* Its daemons all stand still: connections to them are taken, and nothing is said on them. */
static void freeze(struct cluster *c, struct node *n)
{
	stop_gate(c, n);
	n->paused_until = UINT64_MAX;
	stop_queue(c, n);
}

/* Now all is lost, and now nothing. */
static void flap(struct cluster *c, struct node *n)
{
	bool cut = c->sim.now / FLAP_MS % 2;
	memset(n->cut_to, cut, sizeof(n->cut_to));
	for (unsigned i = 0; i < NODES; i++)
		c->sim.nodes[i].cut_to[n->slot] = cut;
}

/* It ends again and again, and begins anew elsewhere. */
static void wander(struct cluster *c, struct node *n)
{
	if (c->sim.now % WANDER_MS == 0)
		links_move(c, n);
}

static void hold_queue(struct cluster *c, struct node *n)
{
	c->sites[n->slot].sticks = true;
	stop_queue(c, n);
}

static void end(struct cluster *c, struct node *n)
{
	if (n->raft)
		node_crash(&c->sim, n);
	n->up_at = UINT64_MAX;
}

static void hang_and_leave(struct cluster *c, struct node *n)
{
	struct site *s = &c->sites[n->slot];
	hang(c, n);
	if (!n->raft || s->ending.state == ENDING_ENDED)
		end(c, n);
	else
		site_end(s);
}

static const char full_name[] = "the disk is full";

static const struct illness {
	const char *name;
	void (*lasts)(struct cluster *c, struct node *n);
} illnesses[] = {
    {"the disk hangs", hang},
    {full_name, fill},
    {"records are lost that it sends", narrow},
    {"all is lost that it sends", mute},
    {"all is lost that is sent to it", deafen},
    {"its queue daemon is stopped", stop_queue},
    {"its gate is stopped", stop_gate},
    {"its gate is not reached", hide_gate},
    {"all its daemons are stopped", freeze},
    {"its links come and go", flap},
    {"it moves again and again", wander},
    {"its queue daemon hangs in the kernel", hold_queue},
    {"it is down", end},
    {"the disk hangs, and it is told to end", hang_and_leave},
};

/* Whether nobody waits for the one that serves. */
static bool nothing_waits(struct cluster *c)
{
	const struct site *s = site_serving(c);
	return s && site_idle(s) && !broker_pending(s->daemon->broker);
}

/* Whether clients of other nodes come to the queue daemon that serves. */
static bool is_reached(struct cluster *c)
{
	const struct site *s = site_serving(c);
	return s && s->gate == GATE_WELL;
}

/* As long as something waits, records are committed; and clients find the queue. */
static void check_progress(struct cluster *c)
{
	bool goes_on = nothing_waits(c) || c->sim.commit > c->went_on;
	if (goes_on && is_reached(c)) {
		c->went_on = c->sim.commit;
		c->went_on_at = c->sim.now;
	}
	if (c->sim.now - c->went_on_at > STOPS_MS)
		trace_fail("illness stops the cluster for %d ms: %s (%x)", STOPS_MS, c->illness,
		    c->ill);
}

void illness_turn(struct cluster *c)
{
	if (c->illness)
		check_progress(c);
	for (unsigned k = 0; c->illness && k < sizeof(illnesses) / sizeof(*illnesses); k++)
		for (unsigned i = 0; c->illness == illnesses[k].name && i < NODES; i++)
			if (c->ill >> i & 1)
				illnesses[k].lasts(c, &c->sim.nodes[i]);
}

/* Of the voters, those that are there, first the one that leads, mostly. */
static unsigned voters(struct cluster *c, unsigned slots[NODES], unsigned *gone)
{
	struct prng *p = &c->sim.prng;
	const struct site *leader = site_serving(c);
	struct raft_status st;
	unsigned n = 0;
	raft_status(leader->node->raft, &st);
	*gone = 0;
	for (unsigned i = 0; i < st.config->count; i++) {
		struct raft_id id = st.config->members[i].id;
		if (!raft_config_is_voter(st.config, id))
			continue;
		unsigned slot = id.bytes[0] - 1u;
		if (!raft_id_eq(c->sim.nodes[slot].id, id)) {
			++*gone;
			continue;
		}
		unsigned at = slot == leader->node->slot && prng_chance(p, 800)
				  ? 0
				  : (unsigned)prng_below(p, n + 1);
		slots[n++] = slots[at];
		slots[at] = slot;
	}
	return n;
}

/* Those that are well may have not much more room than one that is full. */
static void share_room(struct cluster *c)
{
	c->little = !c->sparing && !c->tight && prng_chance(&c->sim.prng, 600);
	for (unsigned i = 0; i < NODES && (c->little || c->level > 0); i++)
		site_disk(&c->sites[i], c->little ? ROOM_LITTLE : ROOM_ENOUGH);
	c->level = 0;
}

void illness_begin(struct cluster *c)
{
	struct prng *p = &c->sim.prng;
	unsigned slots[NODES] = {0}, gone, n = voters(c, slots, &gone);
	unsigned most = (n + gone - 1) / 2;
	if (most <= gone)
		return;
	c->illness = illnesses[prng_below(p, sizeof(illnesses) / sizeof(*illnesses))].name;
	if (c->sparing && prng_chance(p, 500))
		c->illness = full_name;
	for (unsigned k = 0; c->wish.illness && k < sizeof(illnesses) / sizeof(*illnesses); k++)
		if (strcmp(illnesses[k].name, c->wish.illness) == 0)
			c->illness = illnesses[k].name;
	/* Followers only, which need not have room for anything. */
	c->tight = !c->sparing && prng_chance(&c->world.later, 50);
	if (c->tight)
		c->illness = full_name;
	for (uint64_t i = prng_range(p, 1, most - gone); i > 0; i--)
		c->ill |= 1u << slots[c->tight ? n - i : i - 1];
	if (c->illness == full_name)
		share_room(c);
	c->went_on_at = c->sim.now;
	trace(c->illness, c->ill, n, gone, 0);
}

bool illness_catches_up(const struct cluster *c)
{
	return c->illness == full_name && c->sparing;
}

void illness_end(struct cluster *c)
{
	for (unsigned i = 0; i < NODES; i++) {
		struct node *n = &c->sim.nodes[i];
		/* The least that an empty queue needs may not fit on a disk without a reserve. */
		if (c->little)
			c->sites[i].capacity = UINT64_MAX;
		if (c->sites[i].capacity == UINT64_MAX)
			site_disk(&c->sites[i], room_again(c));
		if (!(c->ill >> i & 1))
			continue;
		n->full_until = n->up_at = n->paused_until = 0;
		n->narrow = false;
		c->world.daemons[i].paused_until = 0;
		c->sites[i].sticks = false;
		c->sites[i].gate = GATE_WELL;
		c->sites[i].lingers_until = 0;
	}
	sim_heal(&c->sim);
	c->illness = NULL;
	c->ill = 0;
	c->little = c->tight = false;
}

/*
 * Gates do not reach the one on which it runs: the others are tried, each now and then, and less
 * and less often.
 */
static void lead_while_ill(
    struct cluster *c, const unsigned *others, unsigned count, struct site *s)
{
	uint64_t starts[NODES], end = c->sim.now + FAILS_BOUNDS * health_bound(&s->health);

	for (unsigned i = 0; i < NODES; i++)
		starts[i] = c->sites[i].starts;
	hide_gate(c, s->node);
	trace("leads while ill", s->node->slot, count, 0, 0);
	while (c->sim.now < end)
		cluster_calm_millisecond(c);
	for (unsigned i = 0; i < count; i++) {
		uint64_t tried = c->sites[others[i]].starts - starts[others[i]];
		if (tried > FAILS_STARTS)
			trace_fail(
			    "node %u cannot run the queue daemon, and is tried again: %llu times",
			    others[i], (unsigned long long)tried);
	}
	s->gate = GATE_WELL;
}

static bool can_run(const struct site *s)
{
	return !s->intake.waits && !s->node->no_broker;
}

/* For a cause that is not in the log: no directory, no memory, a bad disk. */
void illness_run_on_one(struct cluster *c)
{
	struct prng *p = &c->sim.prng;
	unsigned slots[NODES] = {0}, gone, n = voters(c, slots, &gone);
	struct site *s = site_serving(c);

	/* What is full may wait for a checkpoint, which only a queue daemon makes. */
	for (unsigned i = 0; i + 1 < n && !can_run(&c->sites[slots[n - 1]]); i++) {
		unsigned full = slots[n - 1];
		slots[n - 1] = slots[i];
		slots[i] = full;
	}
	for (unsigned i = 0; i + 1 < n; i++)
		c->sites[slots[i]].start = (int)prng_range(p, EXITS_READING, CRASHES_READY);
	trace("runs on one", slots[n - 1], n, gone, 0);
	site_kill_queue(s);
	for (unsigned ms = 0; ms < DEADLY_MS && !site_serving(c); ms++)
		cluster_calm_millisecond(c);
	if (!site_serving(c))
		trace_fail("no queue daemon runs, and it could run on node %u", slots[n - 1]);
	if (prng_chance(p, 300))
		lead_while_ill(c, slots, n - 1, &c->sites[slots[n - 1]]);
	for (unsigned i = 0; i < NODES; i++)
		c->sites[i].start = RUNS;
}

/* Then another program is installed, on the node that leads. */
void illness_deadly_record(struct cluster *c)
{
	struct site *s = site_serving(c);
	uint64_t starts = c->starts;

	c->deadly = s->committed;
	trace("deadly", c->deadly, 0, 0, 0);
	site_kill_queue(s);
	for (unsigned ms = 0; ms < DEADLY_MS; ms++)
		cluster_calm_millisecond(c);
	if (c->starts - starts > DEADLY_STARTS)
		trace_fail(
		    "a queue daemon that dies of record %llu is started again: %llu times",
		    (unsigned long long)c->deadly, (unsigned long long)(c->starts - starts));
	c->deadly = 0;
	for (unsigned i = 0; i < NODES; i++) {
		struct node *n = &c->sim.nodes[i];
		if (n->raft && site_leads(&c->sites[i]))
			node_crash(&c->sim, n);
	}
}
