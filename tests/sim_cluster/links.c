#include "links.h"

#include "cluster.h"

#include "../sim/trace.h"

#include "core/host/settings.h"
#include "core/raft/node_wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CENSUS_MS     11   /* between two seeds that are asked; prime to how many there are */
#define CHANGING_MAX  100  /* changes of members, in permille */
#define DIAL_MS	      20   /* between two attempts, at most */
#define LATE_MS	      3000 /* a HELLO may be, at most */
#define HEARD_LATE_MS 200  /* what was on its way when the calm began, at most */
#define NOTICED_MS    300  /* after which a dead end is noticed, at most */

enum { NODE_LINK, BULK_LINK };

static struct site *site_of(struct cluster *c, struct raft_id id)
{
	return &c->sites[id.bytes[0] - 1];
}

static struct sim_link *link_to(struct site *s, struct raft_id id)
{
	for (unsigned i = 0; i < s->links.count; i++)
		if (raft_id_eq(s->links.list[i].id, id))
			return &s->links.list[i];
	return NULL;
}

static uint64_t in_a_while(struct cluster *c, uint64_t most)
{
	return c->sim.now + prng_range(&c->sim.prng, 1, c->sim.quiet ? 3 : most);
}

static uint64_t delayed(struct cluster *c)
{
	bool late = prng_chance(&c->sim.prng, 50);
	return in_a_while(c, late ? LATE_MS : c->sim.delay_max);
}

static bool runs(const struct site *s, uint64_t boot)
{
	return s->node->raft && s->links.boot == boot;
}

static void reset(struct site *s, struct raft_id id)
{
	(void)!node_step(
	    &s->c->sim, s->node, &(struct raft_event){.type = RAFT_EVENT_RESET, .id = id});
}

static void address_of(const struct node *n, char *address, size_t cap)
{
	snprintf(address, cap, "n%u:%u", n->slot, n->place);
}

/* The other end of a connection that is closed here learns of it later. */
static void close_end(struct site *s, struct sim_link *l, unsigned role, enum link_way way)
{
	struct link_end *end = &l->roles[role].end[way];
	struct site *other = site_of(s->c, l->id);
	struct sim_link *back = runs(other, end->boot) ? link_to(other, s->node->id) : NULL;
	struct link_end *far = back ? &back->roles[role].end[way == TO ? FROM : TO] : NULL;
	if (far && far->boot == s->links.boot)
		far->ends_at = in_a_while(s->c, NOTICED_MS);
	*end = (struct link_end){0};
}

/* ---- which there are ---- */

/*
 * Whoever is a member, by what this node knows to be committed, is linked, but for this node
 * and what it was before.
 */
static void check_linked(struct site *s, const struct raft_status *st)
{
	for (unsigned i = 0; st->committed && i < st->committed->count; i++) {
		const struct raft_member *m = &st->committed->members[i];
		bool self = memcmp(m->key, s->links.members.key, RAFT_KEY_SIZE) == 0;
		struct raft_id id = m->id;
		if (!raft_id_none(id) && !self && !link_to(s, id))
			trace_fail("node %u: no link to node %u, which is a member",
			    s->node->slot, id.bytes[0] - 1u);
	}
}

static void update(struct site *s)
{
	struct links *l = &s->links;
	struct members_effect effects[MEMBERS_EFFECTS_MAX];
	unsigned n = members_update(&l->members, effects);
	for (unsigned i = 0; i < n; i++) {
		struct sim_link *is = link_to(s, effects[i].id);
		trace("link", s->node->slot, effects[i].id.bytes[0] - 1u, effects[i].action, 0);
		if (effects[i].action == MEMBERS_MAKE) {
			l->list[l->count++] = (struct sim_link){.id = effects[i].id};
			opinions_add(&l->opinions, effects[i].id, s->c->sim.now);
			continue;
		}
		for (unsigned r = 0; r < LINKS_ROLES; r++) {
			close_end(s, is, r, FROM);
			close_end(s, is, r, TO);
		}
		*is = l->list[--l->count];
		opinions_drop(&l->opinions, effects[i].id);
	}
}

#define ASK_MS 200 /* one seed after the other is asked */

static bool has_log(const struct node *n)
{
	struct raft_status st;
	raft_status(n->raft, &st);
	return st.config && raft_config_find(st.config, n->id);
}

/* The first other member from here on that runs; logged: and was sent its log before. */
static struct node *named(struct site *s, uint64_t first, bool logged)
{
	for (unsigned i = 0; i < NODES; i++) {
		struct node *n = &s->c->sim.nodes[(first + i) % NODES];
		if (n != s->node && n->raft && raft_config_find(&s->c->config, n->id) &&
		    (!logged || has_log(n)))
			return n;
	}
	return NULL;
}

/* A member that refuses this one; NULL: none does. */
static struct node *refusing(const struct site *s, uint64_t first)
{
	for (unsigned i = 0; i < s->links.count; i++) {
		const struct sim_link *l = &s->links.list[(first + i) % s->links.count];
		struct node *n = &s->c->sim.nodes[l->id.bytes[0] - 1];
		if (l->refused && n->raft && raft_id_eq(n->id, l->id))
			return n;
	}
	return NULL;
}

/*
 * Whether who knows `m` tells this node of the members: it sends MEMBERS, or JOIN if its log is empty.
 * No cluster is recovered here.
 */
static bool answers(struct site *s, const struct members *m, const struct raft_member *self)
{
	struct raft_status st;
	char why[TEXT_MAX + 1];
	raft_status(s->node->raft, &st);
	if (!st.config)
		return members_joined(m, self);
	enum rmq_error err = members_asked(m, st.config->cluster, self->id, self->key, why);
	if (err)
		(void)!joining_refused(&s->links.joining, err, !raft_id_none(st.leader));
	if (s->links.joining.outcast)
		trace_fail("node %u is told that its cluster was recovered without it: %s",
		    s->node->slot, why);
	return !err && joining_believes(&s->links.joining);
}

static void say_settings(bool other, uint8_t *tags, struct slice *said)
{
	struct settings own = {{{0}}};
	struct writer w = writer_of(tags, SETTINGS_SIZE_MAX);
	settings_times(&own, 500, 100);
	settings_flags(&own, other ? NODE_STATE_EXPLICIT : 0);
	settings_encode(&w, &own, false);
	*said = slice_of(tags, w.len);
}

/* Both say their settings.  Who is refused is told which one to mend, and that is done. */
static bool fits(struct site *s)
{
	uint8_t tags[2][SETTINGS_SIZE_MAX];
	struct slice said[2];
	struct settings heard[2];
	bool unenforced;
	char why[TEXT_MAX + 1];
	say_settings(s->links.other, tags[0], &said[0]);
	say_settings(false, tags[1], &said[1]);
	for (unsigned i = 0; i < 2; i++)
		if (settings_decode(said[i], &heard[i], &unenforced))
			trace_fail("node %u says settings that cannot be read", s->node->slot);
	const struct settings_of node = {&heard[0], "joiner"}, member = {&heard[1], "member"};
	enum rmq_error err = settings_admit(&node, &member, true, why);
	if (!err && s->links.other)
		trace_fail("node %u is let in with other settings", s->node->slot);
	if (err)
		s->links.other = false;
	return err == RMQ_E_OK;
}

/* The seed that is asked now tells who the members are, if this node is one and is not led. */
static void join(struct site *s)
{
	struct links *l = &s->links;
	uint64_t index, now = s->c->sim.now;
	const struct raft_config *knows = members_newest(&l->members, &index);
	bool stranger = !knows || !raft_config_find(knows, s->node->id);
	const struct node *refuses = refusing(s, now / ASK_MS);
	struct raft_member self;
	struct raft_status st;
	raft_status(s->node->raft, &st);
	bool led = !raft_id_none(st.leader);
	if (!stranger && joining_content(led, refuses))
		return;
	if (!stranger && !members_lost(&l->members, refuses, l->led_ms, now))
		return;
	/* Those who follow the same leader know no more than this node. */
	const struct node *seed = (led && !stranger) || (refuses && now % 2)
				      ? refuses
				      : named(s, now / ASK_MS, false);
	joining_lost(&l->joining);
	if (!seed || seed->cut_to[s->node->slot] || s->node->cut_to[seed->slot])
		return;
	const struct site *by = &s->c->sites[seed->slot];
	node_member(s->node, &self);
	if (!by->links.boot || !answers(s, &by->links.members, &self))
		return;
	if (!has_log(s->node) && !fits(s) && !fits(s))
		trace_fail("node %u is refused for settings that are right", s->node->slot);
	const struct raft_config *told = members_committed(&by->links.members, &index);
	l->changed |= members_hint(&l->members, index, told);
}

static bool can_ask(const struct site *s, const struct node *n)
{
	return n->raft && s->c->sites[n->slot].links.boot && n->paused_until <= s->c->sim.now &&
	       !n->cut_to[s->node->slot] && !s->node->cut_to[n->slot];
}

/*
 * A node without a cluster is told to make one, again and again: all others are its seeds, one
 * of which is asked now.  It never may, since there is a cluster.
 */
static void found_cluster(struct site *s)
{
	struct links *l = &s->links;
	uint64_t index, now = s->c->sim.now;
	char text[TEXT_MAX + 1];
	if (now % CENSUS_MS != s->node->slot || members_newest(&l->members, &index))
		return;
	if (!l->founding.claims) {
		founding_begin(&l->founding, now);
		for (unsigned i = 1; i < NODES; i++)
			(void)founding_ask(&l->founding, "");
	}
	unsigned at = (unsigned)(now % (NODES - 1));
	const struct node *seed = &s->c->sim.nodes[at + (at >= s->node->slot)];
	const struct members *theirs = &s->c->sites[seed->slot].links.members;
	if (can_ask(s, seed))
		founding_heard(&l->founding, at,
		    members_newest(theirs, &index) ? RMQ_E_EXISTS : RMQ_E_NOTHING,
		    slice_str(""));
	switch (founding_look(&l->founding, false, now, text)) {
	case COMMANDS_HOLD:
		break;
	case COMMANDS_STOP:
		founding_end(&l->founding);
		break;
	case COMMANDS_MAY:
		trace_fail("node %u makes a second cluster", s->node->slot);
	}
}

/* The settings name one of the others that knows the members, wherever it is. */
static void seed_place(struct site *s, struct member_link *l)
{
	char address[RAFT_ADDRESS_MAX + 1];
	const struct node *seed = named(s, 0, true);
	if (!seed || !raft_id_eq(seed->id, l->member.id))
		return;
	address_of(seed, address, sizeof(address));
	(void)member_place(l, MEMBER_SEED, address);
}

/* ---- calls ---- */

static struct node *found(struct cluster *c, const char *address, struct raft_id id)
{
	char there[RAFT_ADDRESS_MAX + 1];
	struct node *n = &c->sim.nodes[id.bytes[0] - 1];
	address_of(n, there, sizeof(there));
	return n->raft && strcmp(address, there) == 0 ? n : NULL;
}

static void dial(struct site *s, struct sim_link *l, unsigned role)
{
	struct cluster *c = s->c;
	struct member_link *m = members_find(&s->links.members, l->id);
	seed_place(s, m);
	struct node *to = found(c, member_address(m, l->roles[role].attempt), l->id);
	struct raft_member self;
	unsigned slot = l->id.bytes[0] - 1u;
	node_member(s->node, &self);
	if (!to || s->node->cut_to[slot] || to->cut_to[s->node->slot] ||
	    !members_may_call(&c->sites[slot].links.members, self.key)) {
		l->roles[role].attempt++;
		l->roles[role].dial_at = in_a_while(c, DIAL_MS);
		return;
	}
	if (to->paused_until > c->sim.now)
		return;
	struct call *call = calloc(1, sizeof(*call));
	*call = (struct call){.next = c->calls,
	    .from = s->node->slot,
	    .to = slot,
	    .from_id = s->node->id,
	    .to_id = l->id,
	    .from_boot = s->links.boot,
	    .to_boot = c->sites[slot].links.boot,
	    .role = role,
	    .accepted_ms = c->sim.now,
	    .at = delayed(c)};
	c->calls = call;
	l->roles[role].calling = true;
}

static void call_ends(struct cluster *c, struct call *call)
{
	struct site *s = &c->sites[call->from];
	struct sim_link *l = runs(s, call->from_boot) ? link_to(s, call->to_id) : NULL;
	call->state = CALL_OVER;
	if (!l)
		return;
	l->roles[call->role].calling = false;
	l->roles[call->role].dial_at = in_a_while(c, DIAL_MS);
}

/* What is said to be certain is so. */
static void check_refused(
    struct cluster *c, const struct call *call, enum rmq_error err, const char *why)
{
	if (err == RMQ_E_CORRUPT)
		trace_fail("node %u is taken for older than it was, by node %u: %s", call->from,
		    call->to, why);
	if (err == RMQ_E_DENIED && !c->removed[call->from][call->from_id.bytes[1]])
		trace_fail("node %u is told by node %u that it was removed, and it was not",
		    call->from, call->to);
}

/* Now, whenever that comes: it is only a reason to ask. */
static void note_refused(struct cluster *c, const struct call *call)
{
	struct site *s = &c->sites[call->from];
	struct sim_link *l = runs(s, call->from_boot) ? link_to(s, call->to_id) : NULL;
	if (l)
		l->refused = true;
}

static void take_hello(struct cluster *c, struct call *call)
{
	struct site *s = &c->sites[call->to];
	struct sim_link *l = link_to(s, call->from_id);
	struct member_link *is = members_find(&s->links.members, call->from_id);
	uint8_t key[RAFT_KEY_SIZE] = {(uint8_t)(call->from + 1)};
	struct raft_status st;
	struct members_hello h = {.key = key,
	    .from = call->from_id,
	    .to = call->to_id,
	    .boot = call->from_boot,
	    .begun = call->begun,
	    .accepted_ms = call->accepted_ms};
	char why[TEXT_MAX + 1];
	h.calls =
	    l && (l->roles[NODE_LINK].end[FROM].boot || l->roles[BULK_LINK].end[FROM].boot);
	h.answers = l && l->roles[NODE_LINK].end[TO].boot;
	enum rmq_error err = members_hello(&s->links.members, &h, "", why);
	trace("hello", call->from, call->to, call->role, err);
	if (err) {
		check_refused(c, call, err, why);
		note_refused(c, call);
		call_ends(c, call);
		return;
	}
	is->alive_ms = l->heard_ms = c->sim.now;
	bool was = l->roles[NODE_LINK].end[FROM].boot;
	for (unsigned r = 0; h.another && r < LINKS_ROLES; r++)
		close_end(s, l, r, FROM);
	l->roles[call->role].end[FROM] = (struct link_end){.boot = call->from_boot};
	for (unsigned r = 0; r < LINKS_ROLES; r++)
		l->roles[r].dial_at = 0;
	if (was && (h.another || call->role == NODE_LINK))
		reset(s, call->from_id);
	raft_status(s->node->raft, &st);
	call->term = st.term;
	call->config = *members_told(&s->links.members, &call->index);
	call->state = CALL_WELCOME;
	call->at = delayed(c);
}

/* What others are told is committed.  The first record is what the nodes begin with. */
static void check_told(struct cluster *c, const struct call *call)
{
	if (call->index <= 1)
		return;
	const struct rec *r = &c->sim.committed[call->index];
	if (call->index > c->sim.commit || r->kind != RECORD_CONFIG ||
	    c->sim.value[r->value].config->count != call->config.count)
		trace_fail("node %u tells of members by record %llu, which is not committed",
		    call->to, (unsigned long long)call->index);
}

static void tell_place(
    struct site *to, struct raft_id about, enum member_place by, const char *address)
{
	struct member_link *is = members_find(&to->links.members, about);
	struct sim_link *l = link_to(to, about);
	if (address[0] == '\0' || !is || !member_place(is, by, address))
		return;
	for (unsigned r = 0; r < LINKS_ROLES; r++) {
		l->roles[r].attempt =
		    member_attempt(is, address, l->roles[r].end[TO].boot != 0);
		l->roles[r].dial_at = 0;
	}
	trace("place", to->node->slot, about.bytes[0] - 1u, by, 0);
	for (unsigned i = 0; by == MEMBER_SAID && i < to->links.count; i++) {
		struct sim_link *other = &to->links.list[i];
		struct site *s = site_of(to->c, other->id);
		uint64_t boot = other->roles[NODE_LINK].end[TO].boot;
		if (other != l && boot && runs(s, boot))
			tell_place(s, about, MEMBER_HEARD, address);
	}
}

static void tell_places(struct site *s, struct site *to)
{
	char address[RAFT_ADDRESS_MAX + 1];
	address_of(s->node, address, sizeof(address));
	tell_place(to, s->node->id, MEMBER_SAID, address);
	for (unsigned i = 0; i < s->links.members.count; i++) {
		const struct member_link *m = &s->links.members.links[i];
		if (!raft_id_eq(m->member.id, to->node->id))
			tell_place(to, m->member.id, MEMBER_HEARD, m->places[MEMBER_SAID]);
	}
}

static void take_welcome(struct cluster *c, struct call *call)
{
	struct site *s = &c->sites[call->from], *to = &c->sites[call->to];
	struct sim_link *l = link_to(s, call->to_id);
	struct raft_status st;
	check_told(c, call);
	call->state = CALL_OVER;
	if (!l)
		return;
	l->roles[call->role].calling = l->refused = false;
	l->roles[call->role].end[TO] = (struct link_end){.boot = call->to_boot};
	raft_status(s->node->raft, &st);
	if (st.role == RAFT_LEADER)
		reset(s, call->to_id);
	(void)!node_step(&c->sim, s->node,
	    &(struct raft_event){
		.type = RAFT_EVENT_LET_IN, .id = call->to_id, .term = call->term});
	s->links.changed |= members_hint(&s->links.members, call->index, &call->config);
	s->links.tell_at = 0;
	if (call->role == NODE_LINK && runs(to, call->to_boot))
		tell_places(s, to);
}

/* It may have been closed since. */
static bool is_answered(struct cluster *c, const struct call *call)
{
	struct sim_link *l = link_to(&c->sites[call->to], call->from_id);
	return l && l->roles[call->role].end[FROM].boot == call->from_boot;
}

/* The HELLO of a process that has died may still come. */
static void go_on(struct cluster *c, struct call *call)
{
	bool at_caller = call->state != CALL_HELLO;
	struct site *s = &c->sites[at_caller ? call->from : call->to];
	struct raft_status st;
	if (!runs(s, at_caller ? call->from_boot : call->to_boot) ||
	    (at_caller && !runs(&c->sites[call->to], call->to_boot))) {
		call_ends(c, call);
		return;
	}
	if (s->node->paused_until > c->sim.now)
		return;
	if (call->state == CALL_WELCOME) {
		if (is_answered(c, call))
			take_welcome(c, call);
		else
			call_ends(c, call);
	} else if (call->state == CALL_HELLO) {
		take_hello(c, call);
	} else {
		raft_status(s->node->raft, &st);
		call->begun = st.begun;
		call->state = CALL_HELLO;
		call->at = delayed(c);
	}
}

/* ---- who is up ---- */

/* Whether what it sends over the NODE link comes now, and the other one hears it. */
static bool reaches(const struct site *s, const struct sim_link *l)
{
	const struct site *to = site_of(s->c, l->id);
	uint64_t boot = l->roles[NODE_LINK].end[TO].boot;
	return boot && runs(to, boot) && !s->node->cut_to[to->node->slot] &&
	       to->node->paused_until <= s->c->sim.now;
}

static void tell_alive(struct site *s)
{
	struct links *l = &s->links;
	struct raft_status st;
	if (s->c->sim.now < l->tell_at)
		return;
	l->tell_at = s->c->sim.now + MEMBER_TELL_MS;
	raft_status(s->node->raft, &st);
	for (unsigned i = 0; i < l->count; i++) {
		struct site *to = site_of(s->c, l->list[i].id);
		struct member_link *is = members_find(&to->links.members, s->node->id);
		if (!is || !reaches(s, &l->list[i]))
			continue;
		is->alive_ms = s->c->sim.now;
		member_keeps(is, st.kept);
		suspicion_sent(s, to);
	}
}

static bool is_up(struct site *s, const struct sim_link *l)
{
	const struct link_end *end = l->roles[NODE_LINK].end;
	struct member_signs signs = {end[FROM].boot, end[TO].boot, true};
	return member_up(members_find(&s->links.members, l->id), &signs, s->c->sim.now);
}

/* In the calm: one that has said nothing for long is not up. */
static void check_up(struct site *s, struct sim_link *l)
{
	const struct node *n = site_of(s->c, l->id)->node;
	uint64_t now = s->c->sim.now;
	if (!s->c->illness || (n->raft && n->paused_until <= now && !n->cut_to[s->node->slot]))
		l->heard_ms = now;
	if (now - l->heard_ms > MEMBER_UP_MS + HEARD_LATE_MS && is_up(s, l))
		trace_fail("node %u is up for node %u, and has said nothing for %llu ms",
		    n->slot, s->node->slot, (unsigned long long)(now - l->heard_ms));
}

bool links_are_up(struct cluster *c)
{
	for (unsigned i = 0; i < NODES; i++) {
		struct site *s = &c->sites[i];
		if (!s->node->raft || !raft_config_find(&c->config, s->node->id))
			continue;
		if (health_starves(&s->health))
			return false;
		for (unsigned k = 0; k < s->links.count; k++) {
			const struct sim_link *l = &s->links.list[k];
			const struct node *n = site_of(c, l->id)->node;
			if (raft_config_find(&c->config, l->id) && raft_id_eq(n->id, l->id) &&
			    !is_up(s, l))
				return false;
		}
	}
	return true;
}

/* Who was removed may come again with a new directory only, and tries it with the old one. */
static void renew(struct cluster *c)
{
	for (unsigned i = 0; i < NODES; i++) {
		struct node *n = &c->sim.nodes[i];
		if (n->raft && c->removed[i][n->incarnation] && n->incarnation < 7 &&
		    (c->sim.quiet || prng_chance(&c->sim.prng, 10)))
			node_wipe(&c->sim, n);
	}
}

void links_millisecond(struct cluster *c)
{
	renew(c);
	struct call **at = &c->calls;
	while (*at) {
		struct call *call = *at;
		if (call->at <= c->sim.now)
			go_on(c, call);
		if (call->state != CALL_OVER) {
			at = &call->next;
			continue;
		}
		*at = call->next;
		free(call);
	}
}

/* ---- a node's turn ---- */

/* Whether it is noticed now that the process at the other end is gone. */
static bool ended(struct site *s, struct link_end *e, struct raft_id id)
{
	if (e->boot == 0 || (runs(site_of(s->c, id), e->boot) && e->ends_at == 0))
		return false;
	if (e->ends_at == 0)
		e->ends_at = in_a_while(s->c, NOTICED_MS);
	return e->ends_at <= s->c->sim.now;
}

static void look(struct site *s, struct sim_link *l)
{
	for (unsigned r = 0; r < LINKS_ROLES; r++) {
		struct link_end *end = l->roles[r].end;
		bool to = ended(s, &end[TO], l->id);
		bool from = ended(s, &end[FROM], l->id);
		if (to)
			close_end(s, l, r, TO);
		if (from)
			close_end(s, l, r, FROM);
		if (to || (from && r == NODE_LINK))
			reset(s, l->id);
		if (!end[TO].boot && !l->roles[r].calling &&
		    l->roles[r].dial_at <= s->c->sim.now)
			dial(s, l, r);
	}
}

/* It asks the leader to be written down where it is. */
static void move_in(struct site *s)
{
	struct cluster *c = s->c;
	struct raft_member self;
	struct raft_status st;
	raft_status(s->node->raft, &st);
	node_member(s->node, &self);
	if (!st.config || raft_id_none(st.leader) || !members_misplaced(st.config, &self))
		return;
	struct raft_message m = {.to = st.leader};
	struct site *leader = site_of(c, st.leader);
	if (node_runs(&c->sim, leader->node) &&
	    (leader == s || links_can_send(&c->sim, s->node, &m)))
		(void)!node_step(&c->sim, leader->node,
		    &(struct raft_event){.type = RAFT_EVENT_ADD_LEARNER, .member = &self});
}

void links_turn(struct site *s)
{
	struct cluster *c = s->c;
	struct links *l = &s->links;
	struct raft_status st;
	raft_status(s->node->raft, &st);
	if (l->boot == 0) {
		*l = (struct links){.boot = s->node->boot,
		    .other = !has_log(s->node) && s->node->boot % 2 == 0,
		    .led_ms = c->sim.now};
		l->members.self = s->node->id;
		suspicion_begin(s);
		l->members.key[0] = (uint8_t)(s->node->slot + 1);
	}
	if (!raft_id_none(st.leader))
		l->led_ms = c->sim.now;
	l->changed |= members_log(&l->members, &st);
	found_cluster(s);
	join(s);
	if (l->changed) {
		update(s);
		check_linked(s, &st);
	}
	l->changed = false;
	for (unsigned i = 0; i < l->count; i++) {
		look(s, &l->list[i]);
		check_up(s, &l->list[i]);
	}
	suspicion_turn(s);
	tell_alive(s);
	if (prng_chance(&c->sim.prng, 50))
		move_in(s);
}

/* ---- what Raft has to do with it ---- */

void links_down(struct site *s)
{
	s->links.boot = 0;
}

/* What is sent before it is noticed that the other end is gone is lost. */
bool links_can_send(struct sim *sim, struct node *n, const struct raft_message *m)
{
	struct cluster *c = sim->arg;
	struct site *s = &c->sites[n->slot];
	struct sim_link *l = s->links.boot ? link_to(s, m->to) : NULL;
	unsigned role = raft_message_bulk(m) ? BULK_LINK : NODE_LINK;
	const struct link_end *to = l ? &l->roles[role].end[TO] : NULL;
	return to && to->boot && !to->ends_at && runs(site_of(c, m->to), to->boot);
}

/* What a process sends comes to one that has taken its HELLO, till that takes another one's. */
bool links_heard(struct sim *sim, struct node *n, const struct packet *p)
{
	struct cluster *c = sim->arg;
	struct member_link *l = members_find(&c->sites[n->slot].links.members, p->m.from);
	if (!c->sites[n->slot].links.boot || !l || l->boot != p->boot)
		return false;
	member_heard(l, &p->m, raft_term_at(n->raft, p->m.place.index));
	if (!raft_message_bulk(&p->m))
		l->alive_ms = sim->now;
	return true;
}

/* ---- faults ---- */

void links_move(struct cluster *c, struct node *n)
{
	if (n->raft)
		node_crash(&c->sim, n);
	n->place++;
	trace("moves", n->slot, n->place, 0, 0);
}

/* A connection breaks: one end knows it now, the other one later. */
static void break_one(struct cluster *c)
{
	struct site *s = &c->sites[prng_below(&c->sim.prng, NODES)];
	if (!s->node->raft || !s->links.boot || s->links.count == 0)
		return;
	struct sim_link *l = &s->links.list[prng_below(&c->sim.prng, s->links.count)];
	struct site *other = site_of(c, l->id);
	unsigned role = (unsigned)prng_below(&c->sim.prng, LINKS_ROLES);
	struct link_end *end = &l->roles[role].end[TO];
	end->ends_at = end->boot ? c->sim.now : 0;
	struct sim_link *back = other->links.boot ? link_to(other, s->node->id) : NULL;
	if (back && back->roles[role].end[FROM].boot)
		back->roles[role].end[FROM].ends_at = in_a_while(c, NOTICED_MS);
}

/* One is away while members come and go: in the end it may know none of those that are left. */
static void send_away(struct cluster *c)
{
	struct node *n = sim_any(&c->sim);
	if (n->raft)
		node_crash(&c->sim, n);
	n->up_at = c->back_at;
	c->sim.spared = n;
	c->sim.changing = CHANGING_MAX;
	trace("away", n->slot, c->back_at, 0, 0);
}

void links_disturb(struct cluster *c)
{
	struct prng *p = &c->sim.prng;
	if (c->away_at == c->sim.now)
		send_away(c);
	if (prng_chance(p, c->breaks))
		break_one(c);
	if (c->moving && prng_chance(p, 1))
		links_move(c, sim_any(&c->sim));
	if (c->all_move_at == c->sim.now)
		for (unsigned i = 0; i < NODES; i++)
			links_move(c, &c->sim.nodes[i]);
}

void links_committed(struct cluster *c, const struct raft_config *is)
{
	for (unsigned i = 0; i < c->config.count; i++) {
		const struct raft_member *m = &c->config.members[i];
		struct raft_id id = m->id;
		if (raft_id_none(id) || raft_config_find(is, id))
			continue;
		const struct raft_removed *was = raft_config_removed(is, id);
		if (!was || (was->how == RAFT_LEFT && m->leaving != RAFT_EXITS))
			trace_fail("%s is removed before it has handed over", m->name);
		c->removed[id.bytes[0] - 1][id.bytes[1]] = true;
	}
	for (unsigned i = 0; i < is->count; i++) {
		struct raft_id id = is->members[i].id;
		if (!raft_id_none(id) && c->removed[id.bytes[0] - 1][id.bytes[1]])
			trace_fail("%s was removed, and is let in again", is->members[i].name);
	}
	c->config = *is;
}

void links_free(struct cluster *c)
{
	while (c->calls) {
		struct call *call = c->calls;
		c->calls = call->next;
		free(call);
	}
}
