/*
 * Who follows the events of a node, by the shipped core/host/events.h: from a replay or a snapshot on, or from
 * the seq that it has read last, and now and then only after a while.  What it has been told at any time is what
 * the node knows then: each step of a member once, in order, and no member that was removed comes back.
 */
#include "cluster.h"

#include "../sim/trace.h"

#include "core/host/control.h"
#include "core/host/events.h"

#include <stdlib.h>

#define TOLD_MAX      200
#define READ_EVERY_MS 40 /* about */

/* A member, as told. */
struct told_member {
	struct raft_id id;
	enum control_member_state state; /* CONTROL_MEMBER_ADMITTED: not told of yet */
	bool unreachable, downed, removed;
};

struct watcher {
	struct events events;
	uint64_t boot; /* of the process; 0: none */
	struct events_reader reader;
	uint64_t seq, index; /* of what it has read last */
	struct events_node leader;
	unsigned count;
	struct told_member told[TOLD_MAX];
	struct events_event replay[EVENTS_REPLAY_MAX];
};

/* No random number of the seed: they read beside all else. */
static unsigned dice(const struct site *s, unsigned sides)
{
	uint64_t x = (s->c->sim.now * NODES + s->node->slot) * 0x9e3779b97f4a7c15u;
	return (unsigned)((x >> 33) % sides);
}

static struct told_member *told_of(struct site *s, struct raft_id id)
{
	struct watcher *w = s->watcher;
	for (unsigned i = 0; i < w->count; i++)
		if (raft_id_eq(w->told[i].id, id))
			return &w->told[i];
	if (w->count == TOLD_MAX)
		trace_fail("node %u tells of more members than there ever were", s->node->slot);
	w->told[w->count] = (struct told_member){.id = id};
	return &w->told[w->count++];
}

static void reach(struct site *s, const struct events_event *e, struct told_member *m)
{
	bool lost = e->kind == EVENTS_UNREACHABLE;
	if (m->removed || m->unreachable == lost)
		trace_fail("node %u tells %s of node %u twice", s->node->slot,
		    events_kind_text(e->kind), e->node.id.bytes[0] - 1u);
	m->unreachable = lost;
}

/* The newest configuration that is committed up to this record; NULL: the first one. */
static const struct raft_config *agreed(const struct sim *sim, uint64_t index)
{
	for (; index > 1; index--) {
		const struct rec *r = &sim->committed[index];
		if (r->kind == RECORD_CONFIG)
			return sim->value[r->value].config;
	}
	return NULL;
}

/* At the record that it names it is so, whichever node tells it: but who was removed may know it earlier. */
static void check_index(struct site *s, const struct events_event *e)
{
	const struct sim *sim = &s->c->sim;
	if (raft_id_eq(e->node.id, s->node->id))
		return;
	const struct raft_config *c = e->index <= sim->commit ? agreed(sim, e->index) : NULL;
	const struct raft_member *m = c ? raft_config_find(c, e->node.id) : NULL;
	bool removed = c && raft_config_removed(c, e->node.id);
	bool out = e->kind == EVENTS_MEMBER_DOWNED || e->kind == EVENTS_MEMBER_REMOVED;
	if (e->index > sim->commit || (c && (out ? m != NULL : !m && !removed)))
		trace_fail("node %u tells %s of node %u by record %llu, where it is not so",
		    s->node->slot, events_kind_text(e->kind), e->node.id.bytes[0] - 1u,
		    (unsigned long long)e->index);
}

/* Each state comes after the one before it, and once. */
static void step(struct site *s, const struct events_event *e, struct told_member *m)
{
	static const enum control_member_state states[] = {
	    [EVENTS_MEMBER_JOINED] = CONTROL_MEMBER_JOINING,
	    [EVENTS_MEMBER_UP] = CONTROL_MEMBER_UP,
	    [EVENTS_MEMBER_LEAVING] = CONTROL_MEMBER_LEAVING,
	    [EVENTS_MEMBER_EXITED] = CONTROL_MEMBER_EXITING};
	bool good = !m->removed;
	switch (e->kind) {
	case EVENTS_MEMBER_DOWNED:
		good &= !m->downed;
		m->downed = true;
		break;
	case EVENTS_MEMBER_REMOVED:
		good &= m->state > CONTROL_MEMBER_ADMITTED;
		m->removed = true;
		break;
	default:
		/* Or a leave is taken back. */
		good &= m->state + 1u == states[e->kind] ||
			(e->kind == EVENTS_MEMBER_UP && m->state > CONTROL_MEMBER_UP);
		m->state = states[e->kind];
	}
	if (!good)
		trace_fail("node %u tells %s of node %u out of order", s->node->slot,
		    events_kind_text(e->kind), e->node.id.bytes[0] - 1u);
}

static void take(struct site *s, const struct events_event *e)
{
	if (e->kind <= EVENTS_MEMBER_REMOVED)
		step(s, e, told_of(s, e->node.id));
	else if (e->kind <= EVENTS_REACHABLE)
		reach(s, e, told_of(s, e->node.id));
	else if (e->kind == EVENTS_LEADER_CHANGED)
		s->watcher->leader = e->node;
}

/* All that was told before counts no more. */
static void take_state(struct site *s, bool replayed)
{
	struct watcher *w = s->watcher;
	unsigned n = events_replay(&w->events, w->replay);
	w->count = 0;
	w->leader = (struct events_node){.name = ""};
	for (unsigned i = 0; i < n; i++)
		take(s, &w->replay[i]);
	w->seq = w->events.next - 1;
	trace(replayed ? "replayed" : "snapshot", s->node->slot, n, w->events.index, 0);
}

static void take_next(struct site *s, const struct events_event *e)
{
	struct watcher *w = s->watcher;
	if (e->seq != w->seq + 1 || e->index < w->index)
		trace_fail("node %u tells event %llu of record %llu after %llu of %llu",
		    s->node->slot, (unsigned long long)(e->seq - w->events.first),
		    (unsigned long long)e->index,
		    (unsigned long long)(w->seq - w->events.first),
		    (unsigned long long)w->index);
	w->seq = e->seq;
	w->index = e->index;
	if (e->kind <= EVENTS_MEMBER_REMOVED)
		check_index(s, e);
	take(s, e);
}

/* What was told, and what is so. */
static void compare(struct site *s, const struct events_seen *seen)
{
	struct watcher *w = s->watcher;
	unsigned members = 0, left = 0;
	for (unsigned i = 0; seen->config && i < seen->config->count; i++) {
		const struct raft_member *m = &seen->config->members[i];
		if (raft_id_none(m->id) || (seen->gone && raft_id_eq(m->id, s->node->id)))
			continue;
		const struct told_member *t = told_of(s, m->id);
		members++;
		if (t->state != control_member_state_of(m) || t->removed)
			trace_fail("node %u has told that node %u is %s, and it is %s",
			    s->node->slot, m->id.bytes[0] - 1u,
			    t->removed ? "removed" : control_member_state_text(t->state),
			    control_member_state_text(control_member_state_of(m)));
		if (t->unreachable != (seen->unreachable >> i & 1))
			trace_fail("node %u has not told whether node %u is reachable",
			    s->node->slot, m->id.bytes[0] - 1u);
	}
	for (unsigned i = 0; i < w->count; i++)
		left += !w->told[i].removed;
	if (left != members)
		trace_fail("node %u has told of %u members, and there are %u", s->node->slot,
		    left, members);
}

static void read_all(struct site *s)
{
	struct watcher *w = s->watcher;
	const struct events_event *one;
	uint64_t missed;
	for (;;) {
		switch (events_read(&w->events, &w->reader, &one, &missed)) {
		case EVENTS_NOTHING:
			return;
		case EVENTS_ONE:
			take_next(s, one);
			break;
		case EVENTS_NOW:
			take_state(s, false);
			break;
		case EVENTS_NOW_REPLAYED:
			take_state(s, true);
			break;
		case EVENTS_MISSED:
			trace("missed", s->node->slot, missed, 0, 0);
		}
	}
}

static void begin(struct site *s, uint64_t now)
{
	struct watcher *w = s->watcher;
	struct events_node self = {.id = s->node->id};
	if (!w && !(w = s->watcher = calloc(1, sizeof(*w))))
		abort();
	self.name[0] = (char)('0' + s->node->slot);
	events_init(&w->events, &self, (struct wall_time){now});
	w->boot = s->links.boot;
	w->index = 0;
}

/* It comes, or comes back. */
static void ask(struct site *s, bool first)
{
	static const uint8_t flags[] = {
	    EVENTS_WITH_SNAPSHOT, EVENTS_WITH_REPLAY, EVENTS_SINCE_SEQ};
	struct watcher *w = s->watcher;
	uint8_t chosen = flags[dice(s, first ? 2 : 3)];
	events_begin(&w->events, &w->reader, chosen, w->seq);
}

static struct raft_id serving(struct site *s)
{
	const struct site *by = site_serving(s->c);
	return by ? by->node->id : (struct raft_id){{0}};
}

void watchers_turn(struct site *s)
{
	uint64_t now = s->c->sim.now;
	struct raft_status st;
	bool first = !s->watcher || s->watcher->boot != s->links.boot;
	if (s->links.boot == 0)
		return;
	if (first)
		begin(s, now);
	raft_status(s->node->raft, &st);
	struct events_seen seen = {.commit = st.commit,
	    .gone = st.gone,
	    .leader = st.leader,
	    .queue = serving(s),
	    .ending = s->ending.state};
	const struct raft_config *config = members_told(&s->links.members, &seen.index);
	if (seen.index > 0)
		seen.config = config;
	for (unsigned i = 0; seen.config && i < config->count; i++)
		if (opinions_unreachable(&s->links.opinions, config->members[i].id))
			seen.unreachable |= UINT32_C(1) << i;
	events_look(&s->watcher->events, &seen, (struct wall_time){now});
	if (first || dice(s, 20 * READ_EVERY_MS) == 0)
		ask(s, first);
	if (dice(s, READ_EVERY_MS) != 1)
		return;
	read_all(s);
	compare(s, &seen);
}
