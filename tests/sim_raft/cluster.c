/* The nodes together: what passes in a millisecond, and what breaks. */
#include <stdio.h>
#include <stdlib.h>

#include "tables.h"

void sim_begin(struct sim *s, uint64_t seed)
{
	s->seed = seed;
	s->prng.state = seed;
	s->loss = (unsigned)prng_below(&s->prng, 150);
	s->duplicate = (unsigned)prng_below(&s->prng, 100);
	s->delay_max = (unsigned)prng_range(&s->prng, 3, prng_chance(&s->prng, 300) ? 120 : 20);
	s->faults = (unsigned)prng_range(&s->prng, 0, 12);
	s->wipes = 1;
	s->put_backs = prng_chance(&s->prng, 300) ? (unsigned)prng_range(&s->prng, 1, 100) : 0;
	s->changing = (unsigned)prng_range(&s->prng, 2, 20);
	s->busy = (unsigned)(prng_chance(&s->prng, 500) ? 0 : prng_below(&s->prng, 200));
	s->cuts = (unsigned)prng_below(&s->prng, 3);
	s->election_ms = ELECTION;
	s->beat_ms = BEAT;
	node_first(s, (unsigned)prng_range(&s->prng, 3, 5));
	for (unsigned i = 0; i < NODES; i++)
		if (prng_chance(&s->prng, 500))
			s->nodes[i].sync_ms = (unsigned)prng_range(
			    &s->prng, 2, prng_chance(&s->prng, 200) ? 150 : 5);
	if (prng_chance(&s->prng, 300)) {
		s->rots = &s->nodes[prng_below(&s->prng, 3)];
		/* What has gone bad there is to be found on the others: none of them goes. */
		s->wipes = 0;
	}
}

struct node *sim_any(struct sim *s)
{
	return &s->nodes[prng_below(&s->prng, NODES)];
}

void sim_partition(struct sim *s)
{
	bool oneway = prng_chance(&s->prng, 400);
	uint64_t side = prng_next(&s->prng);
	/* A bridge is on both sides. */
	unsigned bridge = (unsigned)prng_below(&s->prng, 4 * NODES);
	const struct node *leader = node_leader(s);
	if (leader && prng_chance(&s->prng, 300))
		side = 1u << leader->slot;
	for (unsigned i = 0; i < NODES; i++) {
		for (unsigned j = 0; j < NODES; j++) {
			bool a = side >> i & 1, b = side >> j & 1;
			bool cut = oneway ? a && !b : a != b;
			s->nodes[i].cut_to[j] = cut && i != bridge && j != bridge;
		}
	}
}

void sim_heal(struct sim *s)
{
	for (unsigned i = 0; i < NODES; i++)
		memset(s->nodes[i].cut_to, 0, sizeof(s->nodes[i].cut_to));
}

/* Admits, takes in, promotes, moves or removes a node. */
void sim_membership(struct sim *s, struct node *leader)
{
	struct node *n = sim_any(s);
	struct raft_member m;
	node_member(n, &m);
	struct raft_status st;
	raft_status(leader->raft, &st);
	struct raft_event e = {.id = n->id, .member = &m, .how = RAFT_DOWNED};
	const struct raft_member *is = raft_config_find_name(st.config, m.name);
	if (n == s->spared || n->lost != leader->lost)
		return;
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
		/* One that has links moves when it is started. */
		n->place += !s->host;
		node_member(n, &m);
	} else if (!(is->flags & RAFT_VOTER)) {
		e.type = RAFT_EVENT_PROMOTE;
	} else if (raft_config_voters(st.config) > 3 && (!s->rots || s->host)) {
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

/* Its host says that it is ill, or well again. */
static void abstain(struct sim *s, struct node *n, bool abstains)
{
	if (node_runs(s, n))
		(void)!node_step(s, n,
		    &(struct raft_event){
			.type = abstains ? RAFT_EVENT_ABSTAIN : RAFT_EVENT_STAND});
}

void sim_fault(struct sim *s)
{
	struct node *n = sim_any(s);
	if (meet_is_spared(s, n))
		return;
	switch (prng_below(&s->prng, 10)) {
	case 0:
	case 1:
		sim_partition(s);
		break;
	case 2:
	case 3:
		sim_heal(s);
		break;
	case 4:
		n->paused_until = s->now + prng_below(&s->prng, 500);
		break;
	case 5:
		n->full_until = s->now + prng_below(&s->prng, 800);
		break;
	case 9:
		abstain(s, n, prng_chance(&s->prng, 500));
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

void sim_disturb(struct sim *s, struct node *leader)
{
	if (s->quiet)
		return;
	if (prng_chance(&s->prng, s->changing))
		sim_membership(s, leader);
	if (prng_chance(&s->prng, 1))
		(void)!node_step(s, leader,
		    &(struct raft_event){.type = RAFT_EVENT_TRANSFER, .id = sim_any(s)->id});
}

/* A connection between two nodes is lost. */
static void reset(struct sim *s)
{
	if (s->quiet || !prng_chance(&s->prng, 20) || !sim_any(s)->raft)
		return;
	struct node *n = sim_any(s);
	if (node_runs(s, n))
		(void)!node_step(
		    s, n, &(struct raft_event){.type = RAFT_EVENT_RESET, .id = sim_any(s)->id});
}

/* A node hears from one that leads, or believes so, of all its holes, whatever it has itself. */
static void relieve(struct sim *s)
{
	struct hole_range ranges[64];
	unsigned count = 0;
	struct raft_status st;
	/* Where somebody lives on top, that one asks. */
	if (s->host || s->quiet || !prng_chance(&s->prng, 20))
		return;
	struct node *n = sim_any(s), *l = node_leader(s);
	if (!l || prng_chance(&s->prng, 300))
		l = sim_any(s);
	if (n == l || !node_runs(s, n) || !l->raft)
		return;
	raft_status(l->raft, &st);
	for (uint64_t i = 1; i < st.cover.index && i <= l->view.last && count < 64; i++) {
		if (l->view.log[i].kind != RAFT_HOLE)
			continue;
		if (count > 0 && ranges[count - 1].first + ranges[count - 1].count == i)
			ranges[count - 1].count++;
		else
			ranges[count++] = (struct hole_range){i, 1};
	}
	struct raft_message m = {.from = l->id, .term = st.term, .cover = st.cover};
	struct raft_event e = {
	    .type = RAFT_EVENT_DIED, .message = &m, .ranges = ranges, .range_count = count};
	if (st.role == RAFT_LEADER && node_step(s, n, &e))
		sim_broken(s, "holes of a leader are refused", n->slot, l->slot);
}

/*
 * One of which another node holds another one, not committed; 0: there is none.  A host may ask that node
 * for it, as soon as it reaches it.
 */
static uint64_t disputed(const struct sim *s, const struct node *n)
{
	for (unsigned i = 0; i < NODES; i++) {
		const struct disk *d = &s->nodes[i].disk;
		if (s->host &&
		    (!s->nodes[i].raft || s->nodes[i].cut_to[n->slot] || n->cut_to[i]))
			continue;
		uint64_t at = d->last < n->disk.commit ? d->last : n->disk.commit;
		if (at > 0 && d->log[at].term != n->disk.log[at].term)
			return at;
	}
	return 0;
}

/*
 * A record that is committed goes bad: a disputed one if there is one, else often one of the newest.
 * Configurations are read as soon as it starts, and without a host ENDs are.
 */
static void rot(struct sim *s)
{
	struct node *n = s->rots;
	if (s->quiet || !n || n->disk.commit == 0)
		return;
	uint64_t last = n->disk.commit,
		 first = prng_chance(&s->prng, 500) ? 1 : last - last / 8;
	uint64_t i = disputed(s, n);
	if (i == 0 && prng_chance(&s->prng, 10))
		i = prng_range(&s->prng, first, last);
	if (i == 0)
		return;
	struct rec *r = &n->disk.log[i];
	if (r->kind == RAFT_HOLE || r->kind == RECORD_CONFIG ||
	    (r->kind == RECORD_END && !s->host))
		return;
	r->bad = n->view.log[i].bad = prng_chance(&s->prng, 500) ? REC_ROTTEN : REC_MISPLACED;
}

static void deliver(struct sim *s)
{
	struct packet **at = &s->packets;
	struct packet *due = NULL;
	while (*at) {
		struct packet *p = *at;
		const struct node *n = &s->nodes[p->m.to.bytes[0] - 1];
		bool later = n->paused_until > s->now && n->paused_until != UINT64_MAX;
		if (p->at > s->now || later) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		/* One that is stopped for good hears nothing of it. */
		if (n->paused_until == UINT64_MAX) {
			packet_free(p);
			continue;
		}
		p->next = due;
		due = p;
	}
	while (due) {
		struct packet *p = due;
		due = p->next;
		node_deliver(s, p);
	}
}

void sim_millisecond(struct sim *s)
{
	s->now++;
	if (!s->quiet && prng_chance(&s->prng, s->faults))
		sim_fault(s);
	deliver(s);
	for (unsigned i = 0; i < NODES; i++) {
		struct node *n = &s->nodes[i];
		if (!n->raft && n->up_at <= s->now)
			node_start(s, n);
		if (!n->raft || n->paused_until > s->now)
			continue;
		node_turn(s, n);
		if (n->ops && n->sync_at <= s->now && n->full_until <= s->now) {
			/* A sync that fails ends the process. */
			if (!s->quiet && !meet_is_spared(s, n) && prng_chance(&s->prng, 1)) {
				node_crash(s, n);
				continue;
			}
			/* What has come meanwhile may share a sync. */
			bool all = prng_chance(&s->prng, 500);
			while (node_sync(s, n) && (all || prng_chance(&s->prng, 500)))
				;
			n->sync_at =
			    s->now + prng_range(&s->prng, 1, s->quiet ? 3 : n->sync_ms);
		}
	}
	if (s->table)
		tables_millisecond(s);
	reset(s);
	relieve(s);
	rot(s);
	if (!s->host)
		meet_millisecond(s);
}

void sim_calm(struct sim *s)
{
	s->quiet = true;
	if (s->table)
		tables_calm(s);
	sim_heal(s);
	for (unsigned i = 0; i < NODES; i++) {
		s->nodes[i].paused_until = s->nodes[i].full_until = 0;
		abstain(s, &s->nodes[i], false);
	}
}

/* What is missing, NULL: nothing. */
static const char *missing(struct sim *s, uint64_t *a, uint64_t *b)
{
	struct node *l = node_leader(s);
	if (!l)
		return "no leader after the faults ended";
	struct raft_status st, other;
	raft_status(l->raft, &st);
	*a = st.commit;
	*b = st.last.index;
	if (st.commit + 20 < st.last.index)
		return "nothing is committed";
	for (unsigned i = 0; i < st.config->count; i++) {
		if (raft_id_none(st.config->members[i].id))
			continue;
		struct node *n = &s->nodes[st.config->members[i].id.bytes[0] - 1];
		if (!raft_id_eq(n->id, st.config->members[i].id))
			continue;
		*a = n->slot;
		*b = 0;
		if (!n->raft)
			return "a node does not catch up";
		raft_status(n->raft, &other);
		*b = other.commit;
		if (other.commit + 20 < st.commit)
			return "a node does not catch up";
	}
	return NULL;
}

bool sim_is_alive(struct sim *s)
{
	uint64_t a, b;
	return !missing(s, &a, &b);
}

/* When the faults are over, all voters agree on a leader and catch up with it. */
void sim_check_alive(struct sim *s)
{
	uint64_t a = 0, b = 0;
	const char *what = missing(s, &a, &b);
	if (what)
		sim_broken(s, what, a, b);
}

/* All connections are made anew. */
void sim_reconnect(struct sim *s)
{
	for (unsigned i = 0; i < NODES * NODES; i++) {
		struct node *n = &s->nodes[i / NODES];
		if (node_runs(s, n))
			(void)!node_step(s, n,
			    &(struct raft_event){
				.type = RAFT_EVENT_RESET, .id = s->nodes[i % NODES].id});
	}
}

void sim_end(struct sim *s)
{
	s->by_hand = true;
	s->host = NULL;
	for (unsigned i = 0; i < NODES; i++) {
		if (s->nodes[i].raft)
			node_crash(s, &s->nodes[i]);
	}
	if (s->table)
		tables_end(s);
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
	for (unsigned i = 0; i < NODES; i++) {
		free(s->nodes[i].before);
		free(s->nodes[i].old);
		free(s->nodes[i].members);
	}
	for (unsigned i = 0; i < VALUES; i++) {
		free(s->value[i].config);
		free(s->value[i].end);
	}
}
