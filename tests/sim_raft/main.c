/*
 * usage: sim_raft [-t] [-D] FIRST COUNT
 *	  sim_raft -d SCHEDULE
 *	  sim_raft -v VARIANT COUNT [FIRST]
 *	  sim_raft -l | -L
 *
 * Runs seeds FIRST … FIRST + COUNT - 1, or a directed schedule; ends with 1 at the first
 * broken rule.  -t: prints the hash of each seed's trace.  -v: runs a known-bad variant,
 * with its directed schedule or with COUNT seeds from FIRST (1); ends with 0 only if a rule breaks first
 * that it is to be found by (rules.h).  -D: a database votes (tables.h), not the members.  -l: lists the variants, -L the schedules.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "directed.h"
#include "rules.h"
#include "tables.h"

enum rmq_variant rmq_variant;
bool rmq_small_limits;

#define FAULTS_END 4000
#define LEADER_MAX (10 * ELECTION) /* after the faults */
/* From then on till all have caught up: if connections broke, and if they only lost messages.
 */
#define CATCH_UP_MAX	  (10 * ELECTION)
#define CATCH_UP_LOST_MAX (35 * ELECTION)
#define RECORDS_MAX	  600
#define DEAD_MAX	  24

static const struct variant {
	enum rmq_variant variant;
	const char *name;
	const char *schedule; /* NULL: seeds with a database that votes */
	const char *rules[6]; /* NULL after the last */
} variants[] = {
#define X(name, schedule, ...) {RMQ_VARIANT_##name, #name, schedule, {__VA_ARGS__}},
    FOUND_BY(X)
#undef X
#define X(name, ...) {RMQ_VARIANT_##name, #name, NULL, {__VA_ARGS__}},
	FOUND_BY_TABLE(X)
#undef X
};

static const struct variant *looked_for; /* NULL: no rule may be broken */
static bool database;			 /* a database votes, not the members */

static bool is_found_by(const char *what)
{
	for (unsigned i = 0; looked_for && looked_for->rules[i]; i++) {
		if (strcmp(what, looked_for->rules[i]) == 0)
			return true;
	}
	return false;
}

void sim_broken(struct sim *s, const char *what, uint64_t a, uint64_t b)
{
	printf("seed %llu at %llu ms: %s (%llu, %llu)\n", (unsigned long long)s->seed,
	    (unsigned long long)s->now, what, (unsigned long long)a, (unsigned long long)b);
	exit(is_found_by(what) ? 0 : 1);
}

void sim_note(struct sim *s, uint64_t x)
{
	s->hash = (s->hash ^ x ^ s->now << 20) * 0x100000001b3u;
	s->hash ^= s->hash >> 29;
}

/* ---- work ---- */

/* Records that died: some before END, whole ranges of them, with whatever is in them. */
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

static uint32_t size(struct sim *s)
{
	if (prng_chance(&s->prng, s->seed % 4 == 0 ? 500 : 20))
		return RECORD_PAYLOAD_MAX - (uint32_t)prng_below(&s->prng, 3);
	uint32_t n = (uint32_t)prng_below(&s->prng, 2000);
	/* Its bytes name it. */
	return s->table && n < 4 ? 4 : n;
}

/* Some seeds have a log that is much longer than what is under way or remembered. */
static bool is_long(const struct sim *s)
{
	return s->seed % 16 == 0;
}

static uint64_t records_max(const struct sim *s)
{
	return is_long(s) ? 4000 : RECORDS_MAX;
}

static void propose(struct sim *s, struct node *n, bool end)
{
	struct raft_run run = {
	    .count = 1, .bytes = size(s), .kind = end ? RECORD_END : RECORD_EVENTS};
	struct raft_event e = {.type = RAFT_EVENT_PROPOSE, .runs = &run, .run_count = 1};
	if (n->view.last + 100 > records_max(s) || s->values + 200 > VALUES)
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
		if (prng_chance(&s->prng, is_long(s) ? 700 : 40))
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

/* Nobody serves from a server that is behind what all have heard, and all go on with the right one. */
static void put_back_table(struct sim *s)
{
	if (!tables_put_back(s))
		return;
	for (uint64_t end = s->now + 5 * ELECTION; s->now < end;)
		millisecond(s);
	tables_mend(s);
	for (uint64_t end = s->now + LEADER_MAX + CATCH_UP_MAX;
	     s->now < end && !sim_is_alive(s);)
		millisecond(s);
	sim_check_alive(s);
}

static void check_table(struct sim *s)
{
	uint64_t a, b, end = s->now + CATCH_UP_LOST_MAX;
	const char *what;
	while ((what = tables_is_clean(s, &a, &b)) && s->now < end)
		millisecond(s);
	if (what)
		sim_broken(s, what, a, b);
	if (s->seed % 3 == 0)
		put_back_table(s);
}

static uint64_t run(uint64_t seed, uint64_t totals[5])
{
	struct sim *s = calloc(1, sizeof(*s));
	if (database)
		tables_begin(s);
	sim_begin(s, seed);
	while (s->now < FAULTS_END)
		millisecond(s);
	if (seed % 4 == 1 && s->table)
		adopted_run(s, work);
	else if (seed % 4 == 1 && !s->rots)
		recovered_run(s);
	sim_calm(s);
	while (s->now < FAULTS_END + LEADER_MAX && !node_leader(s))
		millisecond(s);
	bool broke = seed % 2 == 0;
	if (broke)
		sim_reconnect(s);
	uint64_t end = s->now + (broke ? CATCH_UP_MAX : CATCH_UP_LOST_MAX);
	while (s->now < end && !sim_is_alive(s))
		millisecond(s);
	sim_check_alive(s);
	if (s->table)
		check_table(s);
	totals[0] += s->proposed;
	totals[1] += s->elections;
	totals[2] += s->holes;
	totals[3] += s->changes;
	totals[4] += s->told_back;
	uint64_t hash = s->hash;
	sim_end(s);
	free(s);
	return hash;
}

static void run_seeds(uint64_t first, uint64_t count, bool trace)
{
	uint64_t totals[5] = {0};
	for (uint64_t seed = first; seed < first + count; seed++) {
		uint64_t hash = run(seed, totals);
		if (trace)
			printf("%llu %016llx\n", (unsigned long long)seed,
			    (unsigned long long)hash);
	}
	printf("%llu seeds: %llu records, %llu elections, %llu holes, %llu changes, "
	       "%llu directories put back\n",
	    (unsigned long long)count, (unsigned long long)totals[0],
	    (unsigned long long)totals[1], (unsigned long long)totals[2],
	    (unsigned long long)totals[3], (unsigned long long)totals[4]);
}

static const struct {
	const char *name;
	void (*run)(struct sim *s);
} schedules[] = {
#define X(name) {#name, directed_##name},
    DIRECTED(X)
#undef X
};

static int run_schedule(const char *name)
{
	for (size_t i = 0; i < sizeof(schedules) / sizeof(*schedules); i++) {
		if (strcmp(schedules[i].name, name) != 0)
			continue;
		struct sim *s = calloc(1, sizeof(*s));
		schedules[i].run(s);
		sim_end(s);
		free(s);
		return 0;
	}
	return 64;
}

static int run_variant(const char *name, const char *count, const char *first)
{
	for (size_t i = 0; i < sizeof(variants) / sizeof(*variants); i++) {
		if (strcmp(variants[i].name, name) != 0)
			continue;
		looked_for = &variants[i];
		rmq_variant = looked_for->variant;
		database = !looked_for->schedule;
		if (looked_for->schedule && *looked_for->schedule)
			(void)!run_schedule(looked_for->schedule);
		else
			run_seeds(first ? strtoull(first, NULL, 10) : 1,
			    strtoull(count, NULL, 10), false);
		puts("it was not found");
		return 1;
	}
	return 64;
}

static int list(int what)
{
#define X(name, text) puts(#name);
	if (what == 'l') {
		RMQ_RAFT_VARIANTS(X)
		RMQ_DATABASE_VARIANTS(X)
	}
#undef X
#define X(name) puts(#name);
	if (what == 'L') {
		DIRECTED(X)
	}
#undef X
	return 0;
}

int main(int argc, char **argv)
{
	bool trace = false;
	for (int o; (o = getopt(argc, argv, "lLd:v:tD")) != -1;) {
		if (o == 'l' || o == 'L')
			return list(o);
		if (o == 'd')
			return run_schedule(optarg);
		if (o == 'v' && optind < argc)
			return run_variant(optarg, argv[optind], argv[optind + 1]);
		if (o != 't' && o != 'D')
			return 64;
		trace |= o == 't';
		database |= o == 'D';
	}
	if (argc - optind != 2)
		return 64;
	run_seeds(
	    strtoull(argv[optind], NULL, 10), strtoull(argv[optind + 1], NULL, 10), trace);
	return 0;
}
