#include "watchdog.h"

#include "core/host/why.h"
#include "node.h"
#include "queue.h"
#include "state.h"

/* ---- who may lead instead ---- */

/* Whether a gate runs anywhere, as far as is known. */
static bool any_gate(const struct cluster *c)
{
	bool any = c->watchdog.health.gates.known;

	for (unsigned i = 0; i < c->peers.count; i++)
		any |=
		    peers_up(c->peers.list[i]) && (c->peers.list[i]->flags & NODE_STATE_GATE);
	return any;
}

/* Voters that may lead; their ids go to `ids`.  How many. */
static unsigned successors(
    const struct cluster *c, struct health_successor *list, struct raft_id *ids)
{
	const struct raft_member *m;
	struct raft_peer_status s;
	unsigned n = 0;
	bool gates = any_gate(c);

	while ((m = health_candidate(c->status.config, c->id, n))) {
		const struct peer *p = peers_find(c, m->id);
		uint32_t flags = p ? p->flags : 0;
		bool known = raft_peer_status(c->raft, m->id, &s);
		bool answers =
		    known && p && p->node.welcomed &&
		    cluster_now(c) < s.heard_at + (uint64_t)c->config.election_timeout;
		ids[n] = m->id;
		list[n++] = (struct health_successor){.answers = answers,
		    .gate = gates_open(flags, gates),
		    .level = s.level,
		    .room = p ? p->room.bytes : 0,
		    .match = s.match,
		    .forgot = flags & (NODE_STATE_FORGOT | NODE_STATE_AWAY),
		    .fails = flags & NODE_STATE_FAILS};
	}
	return n;
}

/* Whom it suits best, and whether it fails; false: there is nobody. */
static bool successor(const struct cluster *c, struct raft_id *id, bool *fails)
{
	struct health_successor list[RAFT_MEMBERS_MAX];
	struct raft_id ids[RAFT_MEMBERS_MAX];
	int best = health_successor(list, successors(c, list, ids));

	if (best < 0)
		return false;
	*id = ids[best];
	*fails = list[best].fails;
	return true;
}

bool watchdog_hand_over(struct cluster *c)
{
	struct raft_event e = {.type = RAFT_EVENT_TRANSFER};
	bool fails;

	return successor(c, &e.id, &fails) && node_event(c, &e) == RMQ_E_OK;
}

bool watchdog_successor_fails(const struct cluster *c)
{
	struct raft_id id;
	bool fails;

	return successor(c, &id, &fails) && fails;
}

bool watchdog_successor(const struct cluster *c)
{
	struct raft_id id;
	bool fails;

	return successor(c, &id, &fails);
}

/* ---- this node ---- */

static void act(struct cluster *c, enum health_action a)
{
	const char *why = health_text(c->watchdog.health.illness);

	switch (a) {
	case HEALTH_NOTHING:
		break;
	case HEALTH_HAND_OVER:
		log_error("handing leadership to another node: %s", why);
		(void)watchdog_hand_over(c);
		break;
	case HEALTH_STEP_DOWN:
		log_error("steps down, and does not stand for election: %s", why);
		node_happens(c, &(struct raft_event){.type = RAFT_EVENT_ABSTAIN});
		break;
	case HEALTH_STAND:
		log_notice("stands for election again");
		node_happens(c, &(struct raft_event){.type = RAFT_EVENT_STAND});
		break;
	}
}

/* ---- the gate ---- */

void watchdog_gate(struct cluster *c, bool begins, enum control_gate_state state)
{
	struct gates *g = &c->watchdog.health.gates;

	if (state != CONTROL_GATE_ENDS) {
		gates_report(g, begins, state == CONTROL_GATE_REACHES);
		return;
	}
	log_notice("rmq-gated of this node was stopped");
	gates_end(g);
}

bool watchdog_gate_serves(const struct cluster *c)
{
	return gates_serve(&c->watchdog.health.gates);
}

enum control_its_gate watchdog_gate_seen(const struct cluster *c)
{
	return gates_seen_here(&c->watchdog.health.gates);
}

static void tell_gate(struct cluster *c)
{
	struct watchdog *w = &c->watchdog;
	enum gates_trouble trouble = gates_trouble(&w->health.gates);
	char text[TEXT_MAX + 1];

	if (trouble == w->gate)
		return;
	w->gate = trouble;
	if (why_gate_text(text, trouble, c->status.config, c->id, c->status.leader))
		log_error("%s", text);
	else
		log_notice("clients of this node are served again");
	cluster_changed(c);
}

/* It is so now; what is to be said when that changes, NULL: nothing. */
static void note(struct cluster *c, bool *was, bool is, const char *begins, const char *ends)
{
	if (is == *was)
		return;
	*was = is;
	if (is && begins)
		log_error("%s: %s", c->disk.directory, begins);
	else if (!is && ends)
		log_notice("%s: %s", c->disk.directory, ends);
	cluster_changed(c);
}

/* What has changed is said once. */
static void tell(struct cluster *c)
{
	struct watchdog *w = &c->watchdog;
	const struct health *h = &w->health;

	tell_gate(c);
	note(c, &w->confirms, health_confirms(h), NULL, NULL);
	note(c, &w->has_room, health_has_room(h), NULL, NULL);
	note(c, &w->hangs, health_hangs(h),
	    "the disk has stored nothing for two election timeouts and a second",
	    "the disk stores again");
	note(c, &w->starves, health_starves(h) && !w->hangs,
	    "none of the records that this node lacks has been stored for two election "
	    "timeouts and a second",
	    "records that this node lacks are stored again");
	note(c, &w->unable, health_unable(h),
	    "rmq-queued was killed and does not end: the kernel waits, for its disk as a rule",
	    "rmq-queued that was killed has ended");
}

/* One that was told to end has a bound of its own. */
static enum health_daemon daemon_of(const struct cluster *c)
{
	const struct supervisor *s = &c->supervisor;

	return keeper_is_watched(&s->keeper) && s->queue ? queue_daemon(s->queue)
							 : HEALTH_DAEMON_UNWATCHED;
}

static void watch_queue(struct cluster *c)
{
	struct queue *q = c->supervisor.queue;
	enum health_daemon daemon = daemon_of(c);

	switch (health_daemon_turn(&c->watchdog.health, daemon, q ? queue_words(q) : 0)) {
	case HEALTH_DAEMON_NOTHING:
		break;
	case HEALTH_DAEMON_PING:
		queue_ping(q);
		break;
	case HEALTH_DAEMON_KILL:
		supervisor_silent(c);
		break;
	}
}

/* Bytes over the connection that it sends its records by. */
static uint64_t received(const struct peer *p)
{
	return p->in_bulk && p->in_bulk->conn ? link_conn_received(p->in_bulk->conn) : 0;
}

/* Bytes of records that it has taken: the kernel is asked. */
static uint64_t taken(const struct peer *p)
{
	return p->bulk.conn ? link_conn_taken(p->bulk.conn) : 0;
}

/*
 * Voters, and how many others take the records that a leader sends them; whether the leader's come
 * in here; and what the gates of members say: no others know who leads.
 */
static void look_at_members(struct cluster *c, struct health_seen *seen)
{
	const struct raft_config *config = c->status.config;
	const struct health *h = &c->watchdog.health;

	for (unsigned i = 0; config && i < config->count; i++) {
		const struct raft_member *m = &config->members[i];
		struct peer *p = peers_find(c, m->id);
		bool voter = m->flags & RAFT_VOTER;
		seen->voters += voter;
		if (!p)
			continue;
		if (peers_up(p))
			gates_add(&seen->gates, p->flags);
		if (seen->log.leads)
			seen->passing += health_passes(h, &p->records, taken(p)) && voter;
		else if (health_passes(h, &p->theirs, received(p)))
			seen->fed |= raft_id_eq(m->id, c->status.leader);
	}
}

void watchdog_turn(struct cluster *c)
{
	struct watchdog *w = &c->watchdog;
	struct health_successor list[RAFT_MEMBERS_MAX];
	struct raft_id ids[RAFT_MEMBERS_MAX];
	unsigned n = successors(c, list, ids);
	const struct peer *leader = peers_leader(c);
	struct health_seen seen = {.log = c->engine.state(c->engine.arg),
	    .sent = c->sent_seq,
	    .others = n > 0,
	    .full = c->disk.full,
	    .waits = c->supervisor.queue && queue_waits(c->supervisor.queue),
	    .room = c->room,
	    .lingers = c->supervisor.lingers > 0,
	    .has = c->disk.stored,
	    .told = leader ? leader->room.index : 0,
	    .refuses = c->intake.waits && !cluster_leads(c),
	    .database = database_link_used(c),
	    .served = leader && (leader->flags & NODE_STATE_SERVES),
	    .gates_wanted = c->config.roles.flags & RAFT_BROKER};

	look_at_members(c, &seen);
	for (unsigned i = 0; i < n; i++) {
		seen.better |= health_better(&list[i]);
		seen.gated |= health_gated(&list[i]);
	}
	enum health_action a = health_turn(&w->health, &seen, cluster_now(c));
	if (!cluster_stopping(c))
		act(c, a);
	watch_queue(c);
	tell(c);
}

uint64_t watchdog_due(const struct cluster *c)
{
	return health_due(&c->watchdog.health, daemon_of(c));
}

/* ---- what others are told ---- */

bool watchdog_serves(const struct cluster *c)
{
	return supervisor_ready(&c->supervisor) && c->watchdog.confirms;
}

uint32_t watchdog_flags(const struct cluster *c)
{
	const struct watchdog *w = &c->watchdog;
	const bool set[] = {watchdog_serves(c), !w->has_room, w->hangs || w->starves,
	    c->status.forgot, keeper_fails(&c->supervisor.keeper, cluster_now(c)),
	    c->config.explicit_create, leave_drained(c), database_link_away(c)};
	static const uint32_t flags[] = {NODE_STATE_SERVES, NODE_STATE_NO_ROOM,
	    NODE_STATE_HANGS, NODE_STATE_FORGOT, NODE_STATE_FAILS, NODE_STATE_EXPLICIT,
	    NODE_STATE_DRAINED, NODE_STATE_AWAY};
	uint32_t all = gates_flags(&w->health.gates) | rights_flags(c);

	for (size_t i = 0; i < sizeof(set) / sizeof(set[0]); i++)
		all |= set[i] ? flags[i] : 0;
	return all;
}

void watchdog_open(struct cluster *c)
{
	health_init(&c->watchdog.health, (uint32_t)c->config.election_timeout, cluster_now(c));
	c->watchdog.confirms = c->watchdog.has_room = true;
}
