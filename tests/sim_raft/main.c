/*
 * usage: sim_raft [-v VARIANT] [-t] FIRST COUNT
 *	  sim_raft -l
 *
 * Runs seeds FIRST … FIRST + COUNT - 1; ends with 1 at the first that breaks a rule.  -t:
 * prints the hash of each seed's trace.  -l: lists the known-bad variants.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sim.h"

enum rmq_variant rmq_variant;

#define FAULTS_END  4000
#define CALM_END    8000
#define RECORDS_MAX 600
#define DEAD_MAX    24

void sim_broken(struct sim *s, const char *what, uint64_t a, uint64_t b)
{
	printf("seed %llu at %llu ms: %s (%llu, %llu)\n", (unsigned long long)s->seed,
	    (unsigned long long)s->now, what, (unsigned long long)a, (unsigned long long)b);
	exit(1);
}

void sim_note(struct sim *s, uint64_t x)
{
	s->hash = (s->hash ^ x ^ s->now << 20) * 0x100000001b3u;
	s->hash ^= s->hash >> 29;
}

/* ---- work ---- */

/* Records that died: some in front of END, whole ranges of them, with whatever is in them. */
static struct end *choose_dead(struct sim *s, struct node *n, uint64_t end)
{
	struct end *e = calloc(1, sizeof(*e) + DEAD_MAX * sizeof(e->dead[0]));
	for (uint64_t i = 1; i + 1 < end && e->count < DEAD_MAX; i++) {
		bool old_end = n->view.log[i].kind == RECORD_END && i + 20 > end;
		if (old_end || prng_chance(&s->prng, 250))
			continue;
		if (e->count && e->dead[e->count - 1].first + e->dead[e->count - 1].count == i)
			e->dead[e->count - 1].count++;
		else
			e->dead[e->count++] = (struct hole_range){i, 1};
	}
	return e;
}

static void propose(struct sim *s, struct node *n, bool end)
{
	struct raft_run run = {
	    .count = 1, .bytes = 100, .kind = end ? RECORD_END : RECORD_EVENTS};
	struct raft_event e = {.type = RAFT_EVENT_PROPOSE, .runs = &run, .run_count = 1};
	if (n->view.last + 100 > RECORDS_MAX || s->values + 200 > VALUES)
		return;
	struct value *value = &s->value[s->values + 1];
	if (end)
		value->end = choose_dead(s, n, n->view.last + 1);
	if (node_step(s, n, &e) == RMQ_E_OK) {
		s->proposed++;
	} else if (end) {
		free(value->end);
		value->end = NULL;
	}
}

static void work(struct sim *s)
{
	for (unsigned i = 0; i < NODES; i++) {
		struct node *n = &s->nodes[i];
		struct raft_status st;
		if (!n->raft || n->paused_until > s->now)
			continue;
		raft_status(n->raft, &st);
		if (prng_chance(&s->prng, 100))
			node_holes(s, n);
		if (!st.serving)
			continue;
		if (prng_chance(&s->prng, 40))
			propose(s, n, prng_chance(&s->prng, 150));
		if (prng_chance(&s->prng, 100))
			node_barrier(s, n);
		sim_disturb(s, n);
	}
}

static void millisecond(struct sim *s)
{
	sim_millisecond(s);
	work(s);
}

static uint64_t run(uint64_t seed, uint64_t totals[4])
{
	struct sim *s = calloc(1, sizeof(*s));
	sim_begin(s, seed);
	while (s->now < FAULTS_END)
		millisecond(s);
	sim_calm(s);
	while (s->now < CALM_END && !(s->now > FAULTS_END + 10 * ELECTION && node_leader(s)))
		millisecond(s);
	for (uint64_t end = s->now + 10 * ELECTION; s->now < end;)
		millisecond(s);
	sim_check_alive(s);
	totals[0] += s->proposed;
	totals[1] += s->elections;
	totals[2] += s->holes;
	totals[3] += s->changes;
	uint64_t hash = s->hash;
	sim_end(s);
	free(s);
	return hash;
}

static const char *const names[] = {"NONE",
#define X(name, text) #name,
    RMQ_VARIANTS_LIST(X)
#undef X
};

static bool choose(const char *name)
{
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(names[i], name) == 0) {
			rmq_variant = (enum rmq_variant)i;
			return true;
		}
	}
	return false;
}

int main(int argc, char **argv)
{
	bool trace = false;
	for (int o; (o = getopt(argc, argv, "lv:t")) != -1;) {
		if (o == 'l') {
#define X(name, text) puts(#name);
			RMQ_RAFT_VARIANTS(X)
#undef X
			return 0;
		}
		trace |= o == 't';
		if (o == '?' || (o == 'v' && !choose(optarg)))
			return 64;
	}
	if (argc - optind != 2)
		return 64;
	uint64_t first = strtoull(argv[optind], NULL, 10);
	uint64_t count = strtoull(argv[optind + 1], NULL, 10);
	uint64_t totals[4] = {0};
	for (uint64_t seed = first; seed < first + count; seed++) {
		uint64_t hash = run(seed, totals);
		if (trace)
			printf("%llu %016llx\n", (unsigned long long)seed,
			    (unsigned long long)hash);
	}
	printf("%llu seeds: %llu records, %llu elections, %llu holes, %llu changes\n",
	    (unsigned long long)count, (unsigned long long)totals[0],
	    (unsigned long long)totals[1], (unsigned long long)totals[2],
	    (unsigned long long)totals[3]);
	return 0;
}
