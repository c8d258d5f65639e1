#include "core/host/events.h"

#include <sodium/utils.h>

#include "core/base/units.h"
#include "core/base/variant.h"
#include "core/host/control.h"
#include "core/host/roles.h"

static const char *const kind_texts[] = {
#define X(NAME, text) text,
    EVENTS_KINDS(X)
#undef X
};

const char *events_kind_text(enum events_kind kind)
{
	return kind_texts[kind];
}

bool events_kind_known(const char *text)
{
	for (unsigned i = 0; i < EVENTS_KINDS_COUNT; i++)
		if (strcmp(text, kind_texts[i]) == 0)
			return true;
	return false;
}

static bool same_node(const struct events_node *a, const struct events_node *b)
{
	return raft_id_eq(a->id, b->id);
}

/* ---- a look ---- */

static const struct raft_member *find(const struct events_state *s, struct raft_id id)
{
	return s->config.count > 0 ? raft_config_find(&s->config, id) : NULL;
}

static bool is_unreachable(const struct events_state *s, const struct raft_member *m)
{
	return m && (s->unreachable >> (m - s->config.members) & 1);
}

static struct events_node node_of(const struct raft_member *m)
{
	struct events_node n = {.id = m->id};

	memcpy(n.name, m->name, sizeof(n.name));
	return n;
}

/* One that is no member is nobody. */
static struct events_node node_named(const struct events_state *s, struct raft_id id)
{
	const struct raft_member *m = raft_id_none(id) ? NULL : find(s, id);

	return m ? node_of(m) : (struct events_node){.name = ""};
}

/* This node knows that it was removed, maybe before it has the configuration that says so. */
static void take_out(struct events_state *s, struct raft_id id)
{
	const struct raft_member *m = find(s, id);

	if (!m)
		return;
	unsigned at = (unsigned)(m - s->config.members);
	uint32_t below = (UINT32_C(1) << at) - 1;
	memmove(&s->config.members[at], &s->config.members[at + 1],
	    (s->config.count - at - 1) * sizeof(*m));
	s->config.count--;
	s->unreachable = (s->unreachable & below) | (s->unreachable >> 1 & ~below);
}

/* The place of a role, made if it is not there; NULL: there are too many. */
static struct events_role *role_of(struct events_state *s, struct slice name)
{
	unsigned at = 0;
	int order = 1;

	while (
	    at < s->role_count && (order = slice_cmp(name, slice_str(s->roles[at].name))) > 0)
		at++;
	if (at < s->role_count && order == 0)
		return &s->roles[at];
	if (s->role_count == EVENTS_ROLES_MAX || name.len > RAFT_ROLE_MAX)
		return NULL;
	memmove(&s->roles[at + 1], &s->roles[at], (s->role_count - at) * sizeof(s->roles[0]));
	s->role_count++;
	s->roles[at] = (struct events_role){.name = ""};
	memcpy(s->roles[at].name, name.data, name.len);
	return &s->roles[at];
}

static void offer(struct events_state *s, struct slice name, const struct raft_member *m)
{
	struct events_role *r = role_of(s, name);

	if (r && roles_leads(
		     control_member_state_of(m), is_unreachable(s, m), m->name, r->leader.name))
		r->leader = node_of(m);
}

static void look_at_roles(struct events_state *s)
{
	for (unsigned i = 0; i < s->config.count; i++) {
		const struct raft_member *m = &s->config.members[i];
		char text[ROLES_TEXT_MAX + 1];
		const char *rest = text;
		struct slice role;
		roles_text(raft_id_none(m->id) ? 0 : m->flags, m->roles, text);
		while (roles_next(&rest, &role))
			offer(s, role, m);
	}
}

static void look(struct events_state *s, const struct events_seen *seen, struct raft_id self)
{
	memset(s, 0, sizeof(*s));
	s->commit = seen->commit;
	s->ending = seen->ending;
	if (!seen->config)
		return;
	s->config = *seen->config;
	s->index = seen->index;
	s->unreachable = seen->unreachable;
	s->leader = node_named(s, seen->leader);
	s->queue = node_named(s, seen->queue);
	if (seen->gone)
		take_out(s, self);
	look_at_roles(s);
}

/* ---- what is different ---- */

struct list {
	struct events_event *events; /* EVENTS_LOOK_MAX */
	unsigned count;
};

static struct events_event *tell(struct list *l, enum events_kind kind, uint64_t index,
    const struct events_node *node, const char *was)
{
	struct events_event *e = &l->events[l->count++];

	*e = (struct events_event){.kind = kind, .index = index, .node = *node};
	memcpy(e->was, was, strlen(was));
	return e;
}

/* The states from one to another, each as an event; without a state before, `is` CONTROL_MEMBER_JOINING at least. */
static void step(struct list *l, uint64_t index, const struct events_node *node,
    enum control_member_state was, enum control_member_state is)
{
	/* In the order of enum control_member_state. */
	static const enum events_kind kinds[] = {EVENTS_MEMBER_JOINED, EVENTS_MEMBER_JOINED,
	    EVENTS_MEMBER_UP, EVENTS_MEMBER_LEAVING, EVENTS_MEMBER_EXITED};

	if (RMQ_VARIANT(STEPS_UNTOLD) && is > was)
		was = is - 1;
	/* A leave that is taken back: raft_config_remove(). */
	if (is < was) {
		tell(l, EVENTS_MEMBER_UP, index, node, control_member_state_text(was));
		was = CONTROL_MEMBER_UP;
	}
	for (; was < is; was++)
		tell(l, kinds[was + 1], index, node,
		    was == CONTROL_MEMBER_ADMITTED ? "" : control_member_state_text(was));
}

/* Out of this state; `how` it was, NULL: that is not known. */
static void leave(struct list *l, uint64_t index, const struct events_node *node,
    enum control_member_state was, const struct raft_removed *how)
{
	const char *before = control_member_state_text(was);

	if (how && how->how != RAFT_LEFT) {
		tell(l, EVENTS_MEMBER_DOWNED, index, node, before);
		before = "down";
	} else if (how && was >= CONTROL_MEMBER_UP) {
		step(l, index, node, was, CONTROL_MEMBER_EXITING);
		before = control_member_state_text(CONTROL_MEMBER_EXITING);
	}
	tell(l, EVENTS_MEMBER_REMOVED, index, node, before);
}

static void removals(struct list *l, const struct events_state *old,
    const struct events_state *new, const struct events_node *self)
{
	const struct raft_config *is = &new->config;

	for (unsigned i = 0; i < old->config.count; i++) {
		const struct raft_member *m = &old->config.members[i];
		struct events_node node = node_of(m);
		if (!raft_id_none(m->id) && !find(new, m->id))
			leave(l, new->index, &node, control_member_state_of(m),
			    raft_config_removed(is, m->id));
	}
	/* They came and went between the two. */
	for (unsigned i = 0; old->index > 0 && i < is->removed_count; i++) {
		const struct raft_removed *r = &is->removed[i];
		struct events_node node = {.id = r->id};
		memcpy(node.name, r->name, sizeof(node.name));
		/* Or are told already: take_out(). */
		if (find(old, r->id) || raft_config_removed(&old->config, r->id) ||
		    same_node(&node, self))
			continue;
		step(l, new->index, &node, CONTROL_MEMBER_ADMITTED, CONTROL_MEMBER_JOINING);
		leave(l, new->index, &node, CONTROL_MEMBER_JOINING, r);
	}
}

static void members(
    struct list *l, const struct events_state *old, const struct events_state *new)
{
	for (unsigned i = 0; i < new->config.count; i++) {
		const struct raft_member *m = &new->config.members[i];
		const struct raft_member *before =
		    raft_id_none(m->id) ? NULL : find(old, m->id);
		struct events_node node = node_of(m);
		step(l, new->index, &node,
		    before ? control_member_state_of(before) : CONTROL_MEMBER_ADMITTED,
		    control_member_state_of(m));
	}
}

static void reachability(
    struct list *l, const struct events_state *old, const struct events_state *new)
{
	for (unsigned i = 0; i < new->config.count; i++) {
		const struct raft_member *m = &new->config.members[i];
		struct events_node node = node_of(m);
		bool lost = is_unreachable(new, m);
		if (!raft_id_none(m->id) && lost != is_unreachable(old, find(old, m->id)))
			tell(l, lost ? EVENTS_UNREACHABLE : EVENTS_REACHABLE, new->commit,
			    &node, "");
	}
}

static void role_changed(struct list *l, uint64_t index, const char *role,
    const struct events_node *was, const struct events_node *is)
{
	if (same_node(was, is))
		return;
	struct events_event *e = tell(l, EVENTS_ROLE_LEADER_CHANGED, index, is, was->name);
	memcpy(e->what, role, strlen(role));
}

/* Both lists are sorted; who is in one alone has nobody in the other. */
static void roles(
    struct list *l, const struct events_state *old, const struct events_state *new)
{
	static const struct events_node nobody;
	unsigned a = 0, b = 0;

	while (a < old->role_count || b < new->role_count) {
		int order = a == old->role_count ? 1
			    : b == new->role_count
				? -1
				: strcmp(old->roles[a].name, new->roles[b].name);
		const char *name = order <= 0 ? old->roles[a].name : new->roles[b].name;
		role_changed(l, new->commit, name, order <= 0 ? &old->roles[a].leader : &nobody,
		    order >= 0 ? &new->roles[b].leader : &nobody);
		a += order <= 0;
		b += order >= 0;
	}
}

static const char *phase_text(enum ending_state phase)
{
	switch (phase) {
	case ENDING_NOT:
		break;
	case ENDING_HANDING_OVER:
		return "handing-over";
	case ENDING_DRAINING:
		return "draining";
	case ENDING_ENDED:
		return "ending";
	}
	return "";
}

static unsigned compare(struct events_event *events, const struct events_state *old,
    const struct events_state *new, const struct events_node *self)
{
	struct list l = {events, 0};

	removals(&l, old, new, self);
	members(&l, old, new);
	reachability(&l, old, new);
	if (!same_node(&old->queue, &new->queue) && old->queue.name[0])
		tell(&l, EVENTS_QUEUE_STOPPED, new->commit, &old->queue, "");
	if (!same_node(&old->leader, &new->leader))
		tell(&l, EVENTS_LEADER_CHANGED, new->commit, &new->leader, old->leader.name);
	roles(&l, old, new);
	if (!same_node(&old->queue, &new->queue) && new->queue.name[0])
		tell(&l, EVENTS_QUEUE_STARTED, new->commit, &new->queue, "");
	if (old->ending != new->ending) {
		const char *phase = phase_text(new->ending);
		struct events_event *e =
		    tell(&l, EVENTS_SHUTTING_DOWN, new->commit, self, phase_text(old->ending));
		memcpy(e->what, phase, strlen(phase));
	}
	return l.count;
}

/* ---- the ring ---- */

void events_init(struct events *e, const struct events_node *self, struct wall_time now)
{
	memset(e, 0, sizeof(*e));
	e->self = *self;
	e->time = now;
	e->first = e->next = now.ms;
}

static void push(struct events *e, const struct events_event *event)
{
	if (e->next - e->first == EVENTS_MAX)
		e->lost = e->ring[e->first++ % EVENTS_MAX].index;
	struct events_event *to = &e->ring[e->next % EVENTS_MAX];
	*to = *event;
	if (to->index > e->index)
		e->index = to->index;
	to->index = e->index;
	to->seq = e->next++;
	to->time = e->time;
}

/* But for what is committed: a configuration that is committed stays the same at its index. */
static bool same(const struct events_seen *a, const struct events_seen *b)
{
	return a->index == b->index && a->unreachable == b->unreachable && a->gone == b->gone &&
	       raft_id_eq(a->leader, b->leader) && raft_id_eq(a->queue, b->queue) &&
	       a->ending == b->ending;
}

bool events_look(struct events *e, const struct events_seen *seen, struct wall_time now)
{
	bool nothing = e->began && same(&e->seen, seen);

	e->seen = *seen;
	e->seen.config = NULL;
	if (nothing) {
		e->now.commit = seen->commit;
		e->time = now;
		return false;
	}
	look(&e->look, seen, e->self.id);
	unsigned count = e->began ? compare(e->news, &e->now, &e->look, &e->self) : 0;
	e->now = e->look;
	e->time = now;
	if (!e->began)
		e->index = e->lost = seen->commit > e->now.index ? seen->commit : e->now.index;
	e->began = true;
	for (unsigned i = 0; i < count; i++)
		push(e, &e->news[i]);
	return count > 0;
}

/* ---- reading ---- */

static uint64_t after_index(const struct events *e, uint64_t index)
{
	uint64_t seq = e->next;

	while (seq > e->first && e->ring[(seq - 1) % EVENTS_MAX].index > index)
		seq--;
	return seq;
}

void events_begin(
    const struct events *e, struct events_reader *r, uint8_t flags, uint64_t since)
{
	*r = (struct events_reader){.next = e->next};
	if (flags & EVENTS_SINCE_SEQ) {
		r->dropped = since + 1 < e->first || since >= e->next;
		r->next = r->dropped ? e->next : since + 1;
	} else if (flags & EVENTS_SINCE) {
		r->dropped = since < e->lost;
		r->next = r->dropped ? e->next : after_index(e, since);
	} else if (flags & EVENTS_KEPT) {
		r->next = e->first;
	}
	r->flags = flags & (EVENTS_WITH_SNAPSHOT | EVENTS_WITH_REPLAY);
	r->follows = (flags & ~(EVENTS_KEPT | EVENTS_FOR_OTHERS)) != 0;
}

/* Who knew the state needs it anew; who did not gets what is left. */
static enum events_turn missed(const struct events *e, struct events_reader *r, uint64_t *count)
{
	*count = r->dropped ? 0 : (r->follows ? e->next : e->first) - r->next;
	r->next = e->first;
	r->dropped = false;
	if (r->follows)
		r->flags |= EVENTS_WITH_SNAPSHOT;
	return EVENTS_MISSED;
}

enum events_turn events_read(const struct events *e, struct events_reader *r,
    const struct events_event **one, uint64_t *count)
{
	if (r->dropped || r->next < e->first)
		return missed(e, r, count);
	if (r->flags) {
		bool snapshot = r->flags & EVENTS_WITH_SNAPSHOT;
		/* What was told before is in it. */
		if (!RMQ_VARIANT(TOLD_TWICE))
			r->next = e->next;
		r->flags = snapshot ? r->flags & EVENTS_WITH_REPLAY : 0;
		return snapshot ? EVENTS_NOW : EVENTS_NOW_REPLAYED;
	}
	if (r->next == e->next)
		return EVENTS_NOTHING;
	*one = &e->ring[r->next++ % EVENTS_MAX];
	return EVENTS_ONE;
}

unsigned events_replay(const struct events *e, struct events_event list[EVENTS_REPLAY_MAX])
{
	static const struct events_state nothing;
	unsigned count = compare(list, &nothing, &e->now, &e->self);

	for (unsigned i = 0; i < count; i++) {
		list[i].index = e->index;
		list[i].seq = e->next - 1;
		list[i].time = e->time;
	}
	return count;
}

/* ---- lines ---- */

static void put_name(struct text *out, const char *field, const char *value)
{
	text_put_str(out, ",\"");
	text_put_str(out, field);
	text_put_str(out, *value ? "\":\"" : "\":null");
	text_put_str(out, value);
	text_put_str(out, *value ? "\"" : "");
}

static void put_number(struct text *out, const char *field, uint64_t n)
{
	text_put_str(out, ",\"");
	text_put_str(out, field);
	text_put_str(out, "\":");
	text_put_u64(out, n);
}

static void put_id(struct text *out, const char *field, struct raft_id id)
{
	char text[2 * RAFT_ID_SIZE + 1] = "";

	if (!raft_id_none(id))
		sodium_bin2hex(text, sizeof(text), id.bytes, RAFT_ID_SIZE);
	put_name(out, field, text);
}

static void put_head(struct text *out, const struct events *e, enum events_kind kind,
    uint64_t index, uint64_t seq, struct wall_time time)
{
	char text[UNITS_TEXT_MAX];

	text_put_str(out, "{\"event\":\"");
	text_put_str(out, events_kind_text(kind));
	text_put_str(out, "\"");
	put_number(out, "index", index);
	put_number(out, "seq", seq);
	units_print_time(text, time);
	put_name(out, "time", text);
	put_name(out, "by", e->self.name);
}

void events_put(const struct events *e, struct text *out, const struct events_event *one)
{
	put_head(out, e, one->kind, one->index, one->seq, one->time);
	put_name(out, "node", one->node.name);
	put_id(out, "id", one->node.id);
	if (one->kind == EVENTS_ROLE_LEADER_CHANGED)
		put_name(out, "role", one->what);
	if (one->kind == EVENTS_SHUTTING_DOWN)
		put_name(out, "phase", one->what);
	if (one->kind != EVENTS_UNREACHABLE && one->kind != EVENTS_REACHABLE &&
	    one->kind != EVENTS_QUEUE_STARTED && one->kind != EVENTS_QUEUE_STOPPED)
		put_name(out, "was", one->was);
	text_put_char(out, '}');
}

static void put_member(
    struct text *out, const struct events_state *s, const struct raft_member *m)
{
	text_put_str(out, "{\"node\":\"");
	text_put_str(out, m->name);
	text_put_char(out, '"');
	put_id(out, "id", m->id);
	put_name(out, "state", control_member_state_text(control_member_state_of(m)));
	text_put_str(
	    out, is_unreachable(s, m) ? ",\"reachable\":false" : ",\"reachable\":true");
	text_put_str(out, ",\"roles\":[");
	char text[ROLES_TEXT_MAX + 1];
	const char *rest = text;
	struct slice role;
	roles_text(m->flags, m->roles, text);
	for (bool first = true; roles_next(&rest, &role); first = false) {
		text_put_str(out, first ? "\"" : ",\"");
		text_put(out, role.data, role.len);
		text_put_char(out, '"');
	}
	text_put_str(out, "]}");
}

void events_put_snapshot(const struct events *e, struct text *out)
{
	const struct events_state *s = &e->now;

	put_head(out, e, EVENTS_SNAPSHOT, e->index, e->next - 1, e->time);
	put_id(out, "cluster", s->config.cluster);
	put_name(out, "leader", s->leader.name);
	put_name(out, "queue", s->queue.name);
	put_name(out, "shutting-down", phase_text(s->ending));
	text_put_str(out, ",\"members\":[");
	for (unsigned i = 0; i < s->config.count; i++) {
		text_put_str(out, i > 0 ? "," : "");
		put_member(out, s, &s->config.members[i]);
	}
	text_put_str(out, "],\"roles\":{");
	for (unsigned i = 0; i < s->role_count; i++) {
		text_put_str(out, i > 0 ? ",\"" : "\"");
		text_put_str(out, s->roles[i].name);
		text_put_str(out, s->roles[i].leader.name[0] ? "\":\"" : "\":null");
		text_put_str(out, s->roles[i].leader.name);
		text_put_str(out, s->roles[i].leader.name[0] ? "\"" : "");
	}
	text_put_str(out, "}}");
}

void events_put_missed(struct text *out, uint64_t missed)
{
	text_put_str(out, "{\"event\":\"dropped\"");
	if (missed > 0)
		put_number(out, "count", missed);
	else
		text_put_str(out, ",\"count\":null");
	text_put_char(out, '}');
}
