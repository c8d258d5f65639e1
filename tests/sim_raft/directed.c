#include "directed.h"

#include <stdlib.h>

struct directed_net net;

void directed_must(struct sim *s, bool is, unsigned line)
{
	if (!is)
		sim_broken(s, "a directed schedule went another way at line", line, 0);
}

struct raft_status directed_status(struct sim *s, unsigned slot)
{
	struct raft_status st;
	raft_status(s->nodes[slot].raft, &st);
	return st;
}

struct raft_peer_status directed_peer(struct sim *s, unsigned slot, unsigned peer)
{
	struct raft_peer_status st;
	must(raft_peer_status(s->nodes[slot].raft, s->nodes[peer].id, &st));
	return st;
}

static unsigned from(const struct packet *p)
{
	return p->m.from.bytes[0] - 1u;
}

static unsigned to(const struct packet *p)
{
	return p->m.to.bytes[0] - 1u;
}

/* The oldest one that is there by now, of this type if it is not negative. */
static struct packet *take(struct sim *s, unsigned from_set, unsigned to_set, int type)
{
	struct packet **oldest = NULL;
	for (struct packet **at = &s->packets; *at; at = &(*at)->next) {
		struct packet *p = *at;
		if ((from_set >> from(p) & 1) && (to_set >> to(p) & 1) &&
		    (type < 0 || p->m.type == (enum raft_message_type)type) && p->at <= s->now)
			oldest = at;
	}
	if (!oldest)
		return NULL;
	struct packet *p = *oldest;
	*oldest = p->next;
	return p;
}

struct packet *directed_take(
    struct sim *s, unsigned from_slot, unsigned to_slot, enum raft_message_type type)
{
	return take(s, N(from_slot), N(to_slot), (int)type);
}

void directed_lose(struct sim *s, unsigned from_set, unsigned to_set)
{
	for (struct packet *p; (p = take(s, from_set, to_set, -1));)
		packet_free(p);
}

static bool lost(const struct sim *s, const struct packet *p)
{
	if (p->m.run_count == 0)
		return false;
	const struct raft_run *last = &p->m.runs[p->m.run_count - 1];
	/* A message that will be refused shows where to go on. */
	bool fits = p->m.place.index <= s->nodes[to(p)].view.last;
	return net.no_records ||
	       (net.limit && fits && last->first + last->count - 1 > net.limit) ||
	       (net.deaf >> to(p) & 1);
}

static void deliver(struct sim *s, struct packet *p)
{
	struct directed_count *c = &net.count[to(p)];
	uint64_t bytes = 0;
	for (unsigned i = 0; i < p->m.run_count; i++)
		bytes += p->m.runs[i].bytes;
	if (lost(s, p)) {
		c->lost_bytes += bytes;
		packet_free(p);
		return;
	}
	c->messages += p->m.run_count > 0;
	c->bytes += bytes;
	node_deliver(s, p);
}

void directed_deliver(struct sim *s, unsigned from_slot, unsigned to_slot)
{
	struct packet *all = NULL, **end = &all;
	for (struct packet *p; (p = take(s, N(from_slot), N(to_slot), -1));) {
		*end = p;
		p->next = NULL;
		end = &p->next;
	}
	while (all) {
		struct packet *p = all;
		all = p->next;
		deliver(s, p);
	}
}

void directed_sync(struct sim *s, unsigned slot)
{
	struct node *n = &s->nodes[slot];
	while (n->full_until <= s->now && node_sync(s, n))
		;
}

void directed_flow(struct sim *s, unsigned set)
{
	for (bool busy = true; busy;) {
		busy = false;
		for (unsigned i = 0; i < NODES; i++) {
			struct node *n = &s->nodes[i];
			if (!(set >> i & 1) || !n->raft)
				continue;
			busy |= n->read_count > 0 || (n->ops && n->full_until <= s->now);
			node_reads(s, n);
			directed_sync(s, i);
		}
		for (struct packet *p; (p = take(s, set, set, -1));) {
			busy = true;
			deliver(s, p);
		}
	}
}

void directed_pass(struct sim *s, unsigned set, uint64_t ms)
{
	while (ms-- > 0) {
		s->now++;
		for (unsigned i = 0; i < NODES; i++) {
			if ((set >> i & 1) && s->nodes[i].raft)
				node_turn(s, &s->nodes[i]);
		}
		directed_flow(s, set);
	}
}

void directed_widen(struct sim *s, unsigned slot)
{
	for (unsigned i = 0; i < 2 * RAFT_WINDOW_BYTES / RECORD_PAYLOAD_MAX; i++) {
		must(directed_propose(s, slot, RECORD_PAYLOAD_MAX) == RMQ_E_OK);
		directed_flow(s, ALL);
	}
}

void directed_let_in(struct sim *s, unsigned slot, unsigned voters)
{
	for (unsigned i = 0; i < voters; i++) {
		if (i != slot && s->nodes[i].raft)
			meet_lets_in(s, &s->nodes[slot], &s->nodes[i]);
	}
}

/* Only its own clock goes on so far that it is its turn. */
void directed_elect(struct sim *s, unsigned slot, unsigned set)
{
	struct node *n = &s->nodes[slot];
	for (unsigned tries = 0; tries < 4; tries++) {
		s->now += s->election_ms;
		n->skew += 2 * (int64_t)s->election_ms;
		(void)!node_step(s, n, &(struct raft_event){.type = RAFT_EVENT_TICK});
		directed_flow(s, set);
		if (directed_status(s, slot).role == RAFT_LEADER)
			return;
	}
	must(false);
}

void directed_begin(struct sim *s, unsigned voters)
{
	net = (struct directed_net){0};
	s->by_hand = s->quiet = true;
	s->election_ms = ELECTION;
	s->beat_ms = BEAT;
	node_first(s, voters);
	for (unsigned i = 0; i < voters; i++)
		directed_let_in(s, i, voters);
	directed_elect(s, 0, ALL);
	directed_pass(s, ALL, BEAT);
	must(directed_status(s, 0).serving);
}

enum rmq_error directed_propose(struct sim *s, unsigned slot, uint32_t bytes)
{
	struct raft_run run = {.count = 1, .bytes = bytes, .kind = RECORD_EVENTS};
	return node_step(s, &s->nodes[slot],
	    &(struct raft_event){.type = RAFT_EVENT_PROPOSE, .runs = &run, .run_count = 1});
}

enum rmq_error directed_change(
    struct sim *s, unsigned slot, enum raft_event_type type, unsigned who)
{
	struct raft_member m;
	node_member(&s->nodes[who], &m);
	return node_step(s, &s->nodes[slot],
	    &(struct raft_event){.type = type, .member = &m, .id = s->nodes[who].id});
}
