/*
 * Who lets whom in, by the shipped members (core/host/members.h): a process sends only to those
 * that have taken its HELLO, which is never late here (sim_cluster has late ones).  And in some
 * seeds, a directory that is put back to an older state, as at least one of the others knows.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"

#define MEET_CHANCE  100 /* permille a ms: two nodes are connected */
#define TELL_CHANCE  30	 /* the same: a node says what it keeps, as in STATE */
#define ASK_CHANCE   100 /* permille of those: a lost one and one of the recovered cluster are */
#define BREAK_CHANCE 20	 /* the same, of those: their connection breaks */
#define LATE_MS	     350 /* RAFT_NEW_TIMEOUTS, less what clocks and chance take */

/* Those who know it best live on, till it has been told. */
bool meet_is_spared(const struct sim *s, const struct node *n)
{
	return n == s->put_back || (s->put_back && n == s->knows);
}

void meet_begin(struct sim *s, struct node *n)
{
	n->boot = ++s->boots;
	if (s->host)
		return;
	n->members = n->members ? n->members : malloc(sizeof(*n->members));
	*n->members = (struct members){.self = n->id};
	n->joining = (struct joining){.lost = true};
	n->told_lost = false;
	n->members->key[0] = (uint8_t)(n->slot + 1);
	memset(n->let_in_by, 0, sizeof(n->let_in_by));
}

/* They are as the log says by now. */
static void follow(struct node *n)
{
	struct members_effect effects[MEMBERS_EFFECTS_MAX];
	struct raft_status st;
	raft_status(n->raft, &st);
	if (members_log(n->members, &st))
		(void)!members_update(n->members, effects);
}

bool meet_can_send(const struct sim *s, const struct node *n, struct raft_id to)
{
	unsigned slot = to.bytes[0] - 1u;
	return s->by_hand || (s->nodes[slot].raft && n->let_in_by[slot] == s->nodes[slot].boot);
}

/* What an older process has sent is lost, once the next one has come. */
bool meet_heard(const struct sim *s, struct node *n, const struct packet *p)
{
	if (s->by_hand)
		return true;
	struct member_link *l = members_find(n->members, p->m.from);
	if (!l || l->boot != p->boot)
		return false;
	member_heard(l, &p->m, raft_term_at(n->raft, p->m.place.index));
	return true;
}

void meet_lets_in(struct sim *s, struct node *n, const struct node *by)
{
	struct raft_status st;
	raft_status(by->raft, &st);
	n->let_in_by[by->slot] = by->boot;
	(void)!node_step(s, n,
	    &(struct raft_event){.type = RAFT_EVENT_LET_IN, .id = by->id, .term = st.term});
}

/* Who knows less of the members is told. */
static void hint(struct node *to, struct node *from)
{
	struct members_effect effects[MEMBERS_EFFECTS_MAX];
	uint64_t index;
	const struct raft_config *told = members_told(from->members, &index);
	if (told && members_hint(to->members, index, told))
		(void)!members_update(to->members, effects);
}

enum rmq_error meet_hello(struct sim *s, struct node *n, struct node *at)
{
	const uint8_t key[RAFT_KEY_SIZE] = {(uint8_t)(n->slot + 1)};
	char why[TEXT_MAX + 1];
	struct raft_status st;
	raft_status(n->raft, &st);
	struct members_hello h = {.key = key,
	    .from = n->id,
	    .to = at->id,
	    .boot = n->boot,
	    .begun = st.begun,
	    .forgot = st.forgot || s->table,
	    .accepted_ms = s->now};
	follow(n);
	follow(at);
	hint(n, at);
	hint(at, n);
	enum rmq_error err = members_hello(at->members, &h, "", why);
	raft_status(at->raft, &st);
	if (err == RMQ_E_CORRUPT && !n->was_put_back)
		sim_broken(s, "a node is taken for older than it was", n->slot, at->slot);
	if (err == RMQ_E_CORRUPT && s->now >= s->told_at)
		(void)!node_step(
		    s, n, &(struct raft_event){.type = RAFT_EVENT_FORGOT, .term = st.term});
	if (err)
		return err;
	if (h.another && h.forgot)
		(void)!node_step(
		    s, at, &(struct raft_event){.type = RAFT_EVENT_LOST, .id = n->id});
	meet_lets_in(s, n, at);
	return RMQ_E_OK;
}

/* It asks the other one, which may be its seed, who the members are, and is told or not. */
static enum rmq_error ask(struct node *n, struct node *at)
{
	const uint8_t key[RAFT_KEY_SIZE] = {(uint8_t)(n->slot + 1)};
	struct members_effect effects[MEMBERS_EFFECTS_MAX];
	struct raft_status st;
	uint64_t index;
	char why[TEXT_MAX + 1];
	raft_status(n->raft, &st);
	struct raft_id cluster = st.config ? st.config->cluster : (struct raft_id){{0}};
	enum rmq_error err = members_asked(at->members, cluster, n->id, key, why);
	const struct raft_config *told = members_told(at->members, &index);
	if (err)
		(void)!joining_refused(&n->joining, err, !raft_id_none(st.leader));
	if (!err && told && members_hint(n->members, index, told))
		(void)members_update(n->members, effects);
	return err;
}

void meet_lost(struct sim *s, struct node *n, struct node *at)
{
	const uint8_t key[RAFT_KEY_SIZE] = {(uint8_t)(n->slot + 1)};
	char why[TEXT_MAX + 1];
	struct raft_status st;
	follow(n);
	follow(at);
	enum rmq_error err = ask(n, at);
	raft_status(at->raft, &st);
	const struct raft_removed *was =
	    st.config ? raft_config_removed(st.config, n->id) : NULL;
	if (!at->lost && was && was->how == RAFT_LOST && err != RMQ_E_DENIED)
		sim_broken(s, "who is lost is not told so", n->slot, at->slot);
	n->told_lost |= n->lost && err == RMQ_E_DENIED;
	if (n->joining.outcast != n->told_lost)
		sim_broken(s,
		    n->lost ? "who is lost does not know that" : "who is not lost believes so",
		    n->slot, at->slot);
	raft_status(n->raft, &st);
	struct members_hello h = {.key = key,
	    .from = n->id,
	    .to = at->id,
	    .boot = n->boot,
	    .begun = st.begun,
	    .accepted_ms = s->now};
	/* Who does not know the other one does not call it. */
	if (members_find(n->members, at->id) &&
	    members_hello(at->members, &h, "", why) == RMQ_E_OK)
		sim_broken(
		    s, "a node of the cluster that was lost is let in", n->slot, at->slot);
}

void meet_tells(struct node *n, struct node *at)
{
	struct member_link *l = members_find(at->members, n->id);
	struct raft_status st;
	raft_status(n->raft, &st);
	if (l && l->boot == n->boot)
		member_keeps(l, st.kept);
}

/* Whether another one that runs has heard more of this node than its old directory holds. */
static struct node *knower(struct sim *s, const struct node *n)
{
	for (unsigned i = 0; i < NODES; i++) {
		struct node *o = &s->nodes[i];
		if (o == n || !node_runs(s, o))
			continue;
		const struct member_link *l = members_find(o->members, n->id);
		bool made = n->old->log[n->old->last].term == n->old->term;
		uint64_t last = made ? n->old->last : 0;
		if (l && l->boot == n->boot &&
		    (l->said.term > n->old->term ||
			(l->said.term == n->old->term && l->said.index > last)))
			return o;
	}
	return NULL;
}

/* Once in some seeds; no other node has lost its own. */
static void put_back(struct sim *s)
{
	struct node *n = sim_any(s);
	if (s->quiet || s->wipes == 0 || s->rots || !s->put_backs || !node_runs(s, n))
		return;
	if (prng_chance(&s->prng, 20))
		node_copy(n);
	if (!n->old || !prng_chance(&s->prng, s->put_backs))
		return;
	/* Where no disk votes it is but a copy. */
	if (s->table) {
		s->wipes = s->put_backs = 0;
		node_put_back(s, n);
		return;
	}
	s->knows = knower(s, n);
	if (!s->knows)
		return;
	s->wipes = s->put_backs = 0;
	s->put_back = n;
	n->was_put_back = true;
	node_put_back(s, n);
	s->told_at = n->up_at + prng_below(&s->prng, LATE_MS);
}

/* It has been told, or holds a newer state by now. */
static void watch(struct sim *s)
{
	struct raft_status st;
	if (!s->put_back)
		return;
	s->put_back->cut_to[s->knows->slot] = s->knows->cut_to[s->put_back->slot] = false;
	if (!s->put_back->raft)
		return;
	raft_status(s->put_back->raft, &st);
	if (!st.forgot)
		return;
	s->told_back++;
	s->put_back = s->knows = NULL;
}

/* Two nodes are connected anew, or one tells another what it keeps. */
void meet_millisecond(struct sim *s)
{
	for (unsigned i = 0; i < NODES; i++) {
		if (s->nodes[i].raft)
			follow(&s->nodes[i]);
	}
	for (unsigned i = 0; i < NODES * NODES; i++) {
		struct node *n = &s->nodes[i / NODES], *at = &s->nodes[i % NODES];
		if (n == at || !node_runs(s, n) || !node_runs(s, at) || n->cut_to[at->slot] ||
		    at->cut_to[n->slot])
			continue;
		bool meets = prng_chance(&s->prng, MEET_CHANCE);
		if (n->lost != at->lost) {
			if (meets && prng_chance(&s->prng, ASK_CHANCE))
				meet_lost(s, n, at);
			continue;
		}
		if (!meets && !prng_chance(&s->prng, TELL_CHANCE))
			continue;
		struct member_link *l = members_find(at->members, n->id);
		if (!meet_can_send(s, n, at->id) || !l || l->boot != n->boot) {
			if (meets)
				(void)!meet_hello(s, n, at);
			continue;
		}
		if (!s->quiet && prng_chance(&s->prng, BREAK_CHANCE))
			n->let_in_by[at->slot] = 0;
		meet_tells(n, at);
	}
	put_back(s);
	watch(s);
}
