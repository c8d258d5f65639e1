/*
 * A cluster whose log only the database still has: all its disks are lost, or are believed to be.  A node with a new one
 * adopts it (core/host/adoption.h); the others come back later, or while that is under way, some with the
 * disks that they had.
 */
#include "tables.h"

#include "core/host/adoption.h"

#define ADOPT_MS 3000 /* in which it is tried; most of those that come back do so within */

struct adopts {
	struct node *by;
	struct adoption rule;
	struct raft_config before; /* the newest that was committed */
	bool done;		   /* by->id was a member, alone, by a committed record */
};

static void all_die(struct sim *s, struct adopts *a)
{
	for (uint64_t i = 1; i <= s->commit; i++) {
		if (s->committed[i].kind == RECORD_CONFIG)
			a->before = *s->value[s->committed[i].value].config;
	}
	for (unsigned i = 0; i < NODES; i++) {
		struct node *n = &s->nodes[i];
		if (n->raft)
			node_crash(s, n);
		n->up_at = s->now + prng_below(&s->prng, ADOPT_MS);
		if (n->incarnation < 7 && prng_chance(&s->prng, 300))
			node_wipe(s, n);
		n->up_at = s->now + prng_below(&s->prng, ADOPT_MS);
	}
	node_wipe(s, a->by);
	a->by->up_at = s->now;
}

static bool is_member(const struct node *n, const struct raft_config *c)
{
	return c && raft_config_find(c, n->id);
}

/* It made this configuration itself, as it was elected: it is in none before. */
static bool is_adopted(const struct sim *s, const struct node *n, uint64_t index)
{
	const struct rec *log = n->view.log;

	if (!raft_id_eq(s->leaders[log[index].term], n->id))
		return false;
	do
		index--;
	while (index > 0 && log[index].kind != RECORD_CONFIG);
	return index > 0 && !is_member(n, s->value[log[index].value].config);
}

/* As the host does, again and again. */
static void adopt(struct sim *s, struct adopts *a)
{
	struct node *n = a->by;
	struct raft_status st;
	struct raft_member m;
	struct database_status database;
	enum rmq_error code;
	char text[TEXT_MAX + 1];

	if (a->done || !node_runs(s, n))
		return;
	raft_status(n->raft, &st);
	/* Who came back in time may have let it in, beside itself. */
	a->done = is_member(n, st.committed) && is_adopted(s, n, st.committed_index);
	if (is_member(n, st.committed) || s->now % 50 != 0)
		return;
	tables_adopt(s, n, true, &database);
	const struct adoption_seen seen = {.self = n->id,
	    .log = &st,
	    .database = &database,
	    .trouble = "",
	    .now_ms = node_clock(s, n),
	    .patience_ms = ADOPT_MS};
	if (adoption_turn(&a->rule, &seen, &code, text) != ADOPTION_ADOPTS)
		return;
	node_member(n, &m);
	(void)!node_step(s, n, &(struct raft_event){.type = RAFT_EVENT_ADOPT, .member = &m});
}

static void give_up(struct sim *s, struct adopts *a)
{
	if (!node_runs(s, a->by))
		return;
	tables_adopt(s, a->by, false, NULL);
	(void)!node_step(s, a->by, &(struct raft_event){.type = RAFT_EVENT_ADOPT});
}

/* Who was there before is no member after that. */
static void check(struct sim *s, const struct adopts *a)
{
	struct raft_status st;

	for (unsigned i = 0; i < NODES; i++) {
		const struct node *n = &s->nodes[i];
		if (!n->raft || !a->done)
			continue;
		raft_status(n->raft, &st);
		for (unsigned k = 0; is_member(a->by, st.committed) && k < a->before.count;
		     k++) {
			if (raft_config_find(st.committed, a->before.members[k].id))
				sim_broken(s, "a node of the cluster that was lost is let in",
				    n->slot, k);
		}
	}
}

void adopted_run(struct sim *s, void (*work)(struct sim *s))
{
	struct adopts a = {.by = sim_any(s)};
	uint64_t end = s->now + ADOPT_MS;

	if (a.by->incarnation >= 7)
		return;
	s->wipes = s->put_backs = 0;
	all_die(s, &a);
	/* Or somebody who has come back leads. */
	for (; s->now < end || (!node_leader(s) && s->now < 2 * end); check(s, &a)) {
		if (s->now == end)
			sim_calm(s);
		sim_millisecond(s);
		work(s);
		adopt(s, &a);
		/* With a new disk, as it is told. */
		for (unsigned i = 0; i < NODES; i++)
			if (s->nodes[i].gone && s->nodes[i].raft && s->nodes[i].incarnation < 7)
				node_wipe(s, &s->nodes[i]);
	}
	give_up(s, &a);
}
