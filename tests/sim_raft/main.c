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

#define FAULTS_END 4000
#define CALM_END   8000

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

/* ---- chance ---- */

static struct node *any(struct sim *s)
{
	return &s->nodes[prng_below(&s->prng, NODES)];
}

static void partition(struct sim *s)
{
	bool oneway = prng_chance(&s->prng, 400);
	uint64_t side = prng_next(&s->prng);
	for (unsigned i = 0; i < NODES; i++) {
		for (unsigned j = 0; j < NODES; j++) {
			bool a = side >> i & 1, b = side >> j & 1;
			s->nodes[i].cut_to[j] = oneway ? a && !b : a != b;
		}
	}
}

static void heal(struct sim *s)
{
	for (unsigned i = 0; i < NODES; i++)
		memset(s->nodes[i].cut_to, 0, sizeof(s->nodes[i].cut_to));
}

/* Admits, takes in, promotes, moves or removes a node. */
static void membership(struct sim *s, struct node *leader)
{
	struct node *n = any(s);
	struct raft_member m;
	node_member(s, n, &m);
	struct raft_status st;
	raft_status(leader->raft, &st);
	struct raft_event e = {.id = n->id, .member = &m};
	const struct raft_member *is = raft_config_find_name(st.config, m.name);
	if (!is) {
		e.type = RAFT_EVENT_ADMIT;
	} else if (raft_id_none(is->id)) {
		e.type =
		    prng_chance(&s->prng, 800) ? RAFT_EVENT_ADD_LEARNER : RAFT_EVENT_REMOVE;
		e.id = is->id;
		e.name = m.name;
	} else if (!raft_id_eq(is->id, n->id)) {
		/* It came back with another disk: its old incarnation is to go. */
		e.type = RAFT_EVENT_REMOVE;
		e.id = is->id;
	} else if (prng_chance(&s->prng, 200)) {
		e.type = RAFT_EVENT_ADD_LEARNER;
		s->moves++;
		node_member(s, n, &m);
	} else if (!(is->flags & RAFT_VOTER)) {
		e.type = RAFT_EVENT_PROMOTE;
	} else if (raft_config_voters(st.config) > 3) {
		e.type = RAFT_EVENT_REMOVE;
	} else {
		return;
	}
	uint64_t last = st.config_index;
	if (node_step(s, leader, &e) != RMQ_E_OK)
		return;
	raft_status(leader->raft, &st);
	s->changes += st.config_index != last;
}

static void fault(struct sim *s)
{
	struct node *n = any(s);
	switch (prng_below(&s->prng, 9)) {
	case 0:
	case 1:
		partition(s);
		break;
	case 2:
	case 3:
		heal(s);
		break;
	case 4:
		n->paused_until = s->now + prng_below(&s->prng, 500);
		break;
	case 5:
		n->full_until = s->now + prng_below(&s->prng, 800);
		break;
	case 6:
		if (s->wipes > 0 && n->raft && n->incarnation < 7 &&
		    prng_chance(&s->prng, 200)) {
			s->wipes--;
			node_wipe(s, n);
			break;
		}
		/* fall through */
	default:
		if (n->raft)
			node_crash(s, n);
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
			node_propose(s, n, prng_chance(&s->prng, 150));
		if (!s->quiet && prng_chance(&s->prng, 6))
			membership(s, n);
		if (!s->quiet && prng_chance(&s->prng, 1))
			(void)!node_step(s, n,
			    &(struct raft_event){
				.type = RAFT_EVENT_TRANSFER, .id = any(s)->id});
	}
	if (!s->quiet && prng_chance(&s->prng, 20) && any(s)->raft) {
		struct node *n = any(s);
		if (n->raft)
			(void)!node_step(s, n,
			    &(struct raft_event){.type = RAFT_EVENT_RESET, .id = any(s)->id});
	}
}

static void deliver(struct sim *s)
{
	struct packet **at = &s->packets;
	struct packet *due = NULL;
	while (*at) {
		struct packet *p = *at;
		const struct node *n = &s->nodes[p->m.to.bytes[0] - 1];
		if (p->at > s->now || n->paused_until > s->now) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		p->next = due;
		due = p;
	}
	while (due) {
		struct packet *p = due;
		due = p->next;
		node_deliver(s, p);
	}
}

static void millisecond(struct sim *s)
{
	s->now++;
	if (!s->quiet && prng_chance(&s->prng, s->faults))
		fault(s);
	deliver(s);
	for (unsigned i = 0; i < NODES; i++) {
		struct node *n = &s->nodes[i];
		if (!n->raft && n->up_at <= s->now)
			node_start(s, n);
		if (!n->raft || n->paused_until > s->now)
			continue;
		node_turn(s, n);
		if (n->ops && n->sync_at <= s->now && (s->quiet || n->full_until <= s->now)) {
			/* A sync that fails ends the process. */
			if (!s->quiet && prng_chance(&s->prng, 1)) {
				node_crash(s, n);
				continue;
			}
			while (node_sync(s, n) && prng_chance(&s->prng, 500))
				;
			n->sync_at = s->now + prng_range(&s->prng, 1, s->quiet ? 3 : 30);
		}
	}
	work(s);
}

/* When the faults are over, all voters agree on a leader and catch up with it. */
static void check_alive(struct sim *s)
{
	struct node *l = node_leader(s);
	if (!l)
		sim_broken(s, "no leader after the faults ended", 0, 0);
	struct raft_status st, other;
	raft_status(l->raft, &st);
	if (st.commit + 20 < st.last.index)
		sim_broken(s, "nothing is committed", st.commit, st.last.index);
	for (unsigned i = 0; i < st.config->count; i++) {
		if (raft_id_none(st.config->members[i].id))
			continue;
		struct node *n = &s->nodes[st.config->members[i].id.bytes[0] - 1];
		if (!raft_id_eq(n->id, st.config->members[i].id))
			continue;
		raft_status(n->raft, &other);
		if (other.commit + 20 < st.commit)
			sim_broken(s, "a node does not catch up", n->slot, other.commit);
	}
}

static void sim_end(struct sim *s)
{
	s->by_hand = true;
	for (unsigned i = 0; i < NODES; i++) {
		if (s->nodes[i].raft)
			node_crash(s, &s->nodes[i]);
	}
	while (s->packets) {
		struct packet *p = s->packets;
		s->packets = p->next;
		packet_free(p);
	}
	for (unsigned i = 0; i <= LOG_MAX; i++) {
		while (s->made[i]) {
			struct made *m = s->made[i];
			s->made[i] = m->next;
			free(m);
		}
	}
	free(s);
}

static uint64_t run(uint64_t seed, uint64_t totals[4])
{
	struct sim *s = calloc(1, sizeof(*s));
	s->seed = seed;
	s->prng.state = seed;
	s->loss = (unsigned)prng_below(&s->prng, 150);
	s->duplicate = (unsigned)prng_below(&s->prng, 100);
	s->delay_max = (unsigned)prng_range(&s->prng, 3, prng_chance(&s->prng, 300) ? 120 : 20);
	s->faults = (unsigned)prng_range(&s->prng, 0, 12);
	s->wipes = 1;
	node_first(s, (unsigned)prng_range(&s->prng, 3, 5));
	while (s->now < FAULTS_END)
		millisecond(s);
	s->quiet = true;
	heal(s);
	for (unsigned i = 0; i < NODES; i++)
		s->nodes[i].paused_until = 0;
	while (s->now < CALM_END && !(s->now > FAULTS_END + 10 * ELECTION && node_leader(s)))
		millisecond(s);
	for (uint64_t end = s->now + 10 * ELECTION; s->now < end;)
		millisecond(s);
	check_alive(s);
	totals[0] += s->proposed;
	totals[1] += s->elections;
	totals[2] += s->holes;
	totals[3] += s->changes;
	uint64_t hash = s->hash;
	sim_end(s);
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
