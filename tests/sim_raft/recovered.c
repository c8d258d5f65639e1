/*
 * A cluster that has lost its majority goes on from the disk of one node, by the shipped rules
 * (core/host/recovery.h).  The others come back with their old disks, a majority of them maybe, which goes on
 * as the old cluster; then one by one with new disks, and join.
 */
#include <stdlib.h>

#include "sim.h"

#define WALL_MS	    1800000000000
#define OLD_MS	    1200 /* in which some of those that are lost have their old disks */
#define JOIN_MS	    2500 /* in which all that have new ones have come */
#define RECORDS_MAX 40

static void put(struct disk *d, uint64_t term, uint32_t value, enum record_kind kind)
{
	d->log[++d->last] = (struct rec){term, value, (uint8_t)kind, REC_GOOD};
}

enum rmq_error recovered_disk(struct sim *s, const struct node *n, struct raft_id cluster,
    uint64_t wall_ms, struct disk *d, struct recovery *plan)
{
	struct raft_place terms[TERMS];
	struct raft_run configs[LOG_MAX];
	struct raft_begin b;
	struct recovery_log log = {.replica = true};
	char why[TEXT_MAX + 1];
	node_found(s, n, d, terms, configs, &b);
	recovery_look(&b, &log);
	enum rmq_error err =
	    recovery_plan(&log, cluster, (struct wall_time){wall_ms}, plan, why);
	if (err)
		return err;
	if (d->last + 2 > LOG_MAX || s->values + 2 > VALUES)
		return RMQ_E_LIMIT;
	if (plan->config.generation != log.newest->generation + 1 || plan->term <= d->term)
		sim_broken(s, "a recovery is not newer than all before",
		    plan->config.generation, plan->term);
	for (uint64_t i = 1; i <= d->last; i++)
		if (d->log[i].kind == RECORD_CONFIG)
			d->log[i].kind = RAFT_HOLE;
	put(d, plan->term, ++s->values, RECORD_RESTORED);
	put(d, plan->term, ++s->values, RECORD_CONFIG);
	struct raft_config *c = s->value[s->values].config = malloc(sizeof(*c));
	*c = plan->config;
	d->term = plan->term;
	d->vote = (struct raft_id){{0}};
	d->commit = plan->config_index;
	if (d->last != plan->config_index)
		sim_broken(s, "a recovery leaves a gap", d->last, plan->config_index);
	return RMQ_E_OK;
}

/* What records hold, by their numbers. */
static void copy_values(struct sim *s, const struct sim *was)
{
	s->values = was->values;
	for (uint32_t i = 1; i <= was->values; i++) {
		const struct value *v = &was->value[i];
		s->value[i].bytes = v->bytes;
		if (v->config) {
			s->value[i].config = malloc(sizeof(*v->config));
			*s->value[i].config = *v->config;
		}
		if (v->end) {
			size_t size = sizeof(*v->end) + v->end->count * sizeof(v->end->dead[0]);
			s->value[i].end = malloc(size);
			memcpy(s->value[i].end, v->end, size);
		}
	}
}

static void copy_node(struct node *n, const struct node *was)
{
	n->id = was->id;
	n->slot = was->slot;
	n->incarnation = was->incarnation;
	n->place = was->place;
	n->no_broker = was->no_broker;
	n->rate = was->rate;
	n->skew = was->skew;
	n->sync_ms = was->sync_ms;
	n->disk = was->disk;
	n->ops_end = &n->ops;
	n->lost = true;
}

/* How well it is fit to go on alone: any order, or the one that lacks most first. */
static uint64_t order(const struct node *n, bool shortest, unsigned from)
{
	return shortest ? n->disk.last : (n->slot + from) % NODES;
}

/* One that may go on alone; NULL: there is none.  *old: how long its log was. */
static struct node *recover_one(struct sim *s, uint64_t *old)
{
	unsigned from = (unsigned)prng_below(&s->prng, NODES);
	bool shortest = prng_chance(&s->prng, 500), tried[NODES] = {false};
	for (unsigned k = 0; k < NODES; k++) {
		struct node *n = NULL;
		struct recovery plan;
		for (unsigned i = 0; i < NODES; i++)
			if (!tried[i] && (!n || order(&s->nodes[i], shortest, from) <
						    order(n, shortest, from)))
				n = &s->nodes[i];
		tried[n->slot] = true;
		*old = n->disk.last;
		if (recovered_disk(s, n, (struct raft_id){{2}}, WALL_MS, &n->disk, &plan))
			continue;
		n->lost = false;
		return n;
	}
	return NULL;
}

static void work(struct sim *s)
{
	struct raft_run run = {.count = 1, .bytes = 10, .kind = RECORD_EVENTS};
	for (unsigned i = 0; i < NODES; i++) {
		struct node *n = &s->nodes[i];
		struct raft_status st;
		if (!node_runs(s, n))
			continue;
		raft_status(n->raft, &st);
		if (st.serving && n->view.last + 100 < LOG_MAX && prng_chance(&s->prng, 40))
			(void)!node_step(s, n,
			    &(struct raft_event){
				.type = RAFT_EVENT_PROPOSE, .runs = &run, .run_count = 1});
		if (st.serving && prng_chance(&s->prng, 30))
			sim_membership(s, n);
	}
}

/* With a new disk, as it is told; some never hear of it. */
static void give_up_old_disks(struct sim *s)
{
	for (unsigned i = 0; i < NODES; i++) {
		struct node *n = &s->nodes[i];
		if (n->lost && n->incarnation < 7 && prng_chance(&s->prng, 3))
			node_wipe(s, n);
	}
}

static void go_on(struct sim *s, struct node *n)
{
	while (s->now < OLD_MS + JOIN_MS) {
		sim_millisecond(s);
		work(s);
		if (s->now > OLD_MS / 4)
			give_up_old_disks(s);
	}
	sim_calm(s);
	for (uint64_t end = s->now + JOIN_MS; s->now < end && !sim_is_alive(s);) {
		sim_millisecond(s);
		work(s);
	}
	if (!node_leader(s))
		sim_broken(s, "nobody leads the recovered cluster", n->slot, 0);
	sim_check_alive(s);
}

void recovered_run(const struct sim *was)
{
	struct sim *s = calloc(1, sizeof(*s));
	uint64_t old;
	s->seed = was->seed;
	s->prng.state = was->seed ^ 0x7265636f766572;
	s->loss = was->loss;
	s->duplicate = was->duplicate;
	s->delay_max = was->delay_max;
	s->faults = was->faults / 2;
	s->busy = was->busy;
	s->election_ms = was->election_ms;
	s->beat_ms = was->beat_ms;
	s->boots = was->boots;
	copy_values(s, was);
	for (unsigned i = 0; i < NODES; i++)
		copy_node(&s->nodes[i], &was->nodes[i]);
	struct node *n = recover_one(s, &old);
	if (n) {
		check_recovered(s, was, n, old);
		for (unsigned i = 0; i < NODES; i++)
			node_start(s, &s->nodes[i]);
		go_on(s, n);
	}
	sim_end(s);
	free(s);
}
