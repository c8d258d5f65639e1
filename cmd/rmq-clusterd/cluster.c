#include "cluster.h"

#include <stdlib.h>

#include "control.h"
#include "events.h"
#include "node.h"
#include "queue.h"
#include "state.h"

/* ---- what it knows ---- */

/* What the leader says, enum node_state_flag; 0: it is not heard, or does not serve yet. */
static unsigned leader_flags(const struct cluster *c)
{
	const struct peer *leader = peers_leader(c);

	if (cluster_leads(c))
		return c->status.serving ? watchdog_flags(c) : 0;
	return leader ? leader->flags : 0;
}

/* A member that nobody leads: which voters it does not hear.  NULL: it is led. */
static const char *nobody_leads(const struct cluster *c)
{
	static char text[TEXT_MAX + 1];
	uint64_t index, ms = c->config.election_timeout;
	const struct raft_config *config = peers_view(c, &index);
	char down[TEXT_MAX + 1] = "";
	size_t len = 0;

	if (!members_unled(&c->peers.members, c->join.led_ms, cluster_now(c), ms))
		return NULL;
	for (unsigned i = 0; i < config->count && len < sizeof(down); i++) {
		const struct raft_member *m = &config->members[i];
		struct cluster_peer p;
		cluster_peer(c, m->id, &p);
		if ((m->flags & RAFT_VOTER) && !p.reachable)
			len +=
			    (size_t)snprintf(down + len, sizeof(down) - len, " %.63s", m->name);
	}
	/* Who does not vote may not hear of an election. */
	snprintf(text, sizeof(text), "%s%s%.200s",
	    raft_config_is_voter(config, c->id) ? "no leader is elected"
						: "no leader is known here",
	    len > 0 ? "; voters that are not up:" : "", down);
	return text;
}

/* A member that is heard and says so is not up. */
#define DOWN (NODE_STATE_HANGS | NODE_STATE_FORGOT)

static const char *rights_on(uint32_t flags)
{
	return NODE_STATE_RIGHTS_OF(flags) ? "set" : "not set";
}

/* Their settings of `rights` lead to different lines. */
static void rights_differ(
    char *text, size_t size, const struct cluster *c, const struct peer *p)
{
	uint32_t here = rights_flags(c);

	if (NODE_STATE_RIGHTS_OF(here) && NODE_STATE_RIGHTS_OF(p->flags))
		snprintf(text, size,
		    "the file of rights has other lines on %.63s than here, and must be the same on "
		    "all nodes: rmq-clusterd reads it again at SIGHUP",
		    p->member.name);
	else
		snprintf(text, size,
		    "rights is %s on %.63s and %s here, and must be the same on all nodes: see "
		    "rmq-rights(5)",
		    rights_on(p->flags), p->member.name, rights_on(here));
}

/* What is wrong with this member; NULL: nothing. */
static const char *trouble_text(const struct cluster *c, const struct peer *p)
{
	static char text[TEXT_MAX + 1];
	char here[RAFT_ADDRESS_MAX + 1];
	const char *name = p->member.name;
	bool is_explicit = c->config.explicit_create;

	switch (p->trouble) {
	case TROUBLE_NONE:
		return NULL;
	case TROUBLE_FORGOT:
		snprintf(text, sizeof(text),
		    "%.63s is not up: its data directory was put back to an older state, and it "
		    "does not vote",
		    name);
		break;
	case TROUBLE_HANGS:
		snprintf(text, sizeof(text),
		    "%.63s is not up: for a long time it has stored none of the records that it "
		    "lacks",
		    name);
		break;
	case TROUBLE_UNREACHED:
		snprintf(text, sizeof(text),
		    "%.63s is not up: it reaches this node, and is not reached at %.80s: look at "
		    "its advertise, and at what lies between",
		    name, member_advertised(peers_member_of(p)));
		break;
	case TROUBLE_UNREACHING:
		peers_address(c, here);
		snprintf(text, sizeof(text),
		    "%.63s is not up: it is reached, and does not reach this node at %.80s: look "
		    "at advertise here, and at what lies between",
		    name, here);
		break;
	case TROUBLE_FULL:
		snprintf(text, sizeof(text),
		    "%.63s: disk is full: no room for new messages there", name);
		break;
	case TROUBLE_FAILS:
		snprintf(text, sizeof(text),
		    "%.63s: its queue daemon could not run when it led: rmq-cluster status says "
		    "why there",
		    name);
		break;
	case TROUBLE_ASTRAY:
		snprintf(text, sizeof(text),
		    "%.63s is up, and is not reached where it says that it is, at %.80s: look at "
		    "its advertise, and at what lies between",
		    name, member_advertised(peers_member_of(p)));
		break;
	case TROUBLE_ASTRAY_HERE:
		peers_address(c, here);
		snprintf(text, sizeof(text),
		    "%.63s is up, and does not reach this node where it says that it is, at %.80s: "
		    "look at advertise here, and between them",
		    name, here);
		break;
	case TROUBLE_DIFFERS:
		snprintf(text, sizeof(text),
		    "create is %s on %.63s and %s here, and must be the same on all nodes: see "
		    "rmq.conf(5)",
		    is_explicit ? "auto" : "explicit", name, is_explicit ? "explicit" : "auto");
		break;
	case TROUBLE_RIGHTS:
		rights_differ(text, sizeof(text), c, p);
		break;
	}
	return text;
}

/* The member with the worst trouble, of which this one is, or a worse one; NULL: none has any. */
static const char *worst(const struct cluster *c, enum trouble at_least)
{
	const struct peer *worst = NULL;

	for (unsigned i = 0; i < c->peers.count; i++) {
		const struct peer *p = c->peers.list[i];
		if (p->trouble != TROUBLE_NONE && p->trouble <= at_least &&
		    (!worst || p->trouble < worst->trouble))
			worst = p;
	}
	return worst ? trouble_text(c, worst) : NULL;
}

/* That may be why there is no leader. */
static const char *another_is_down(const struct cluster *c)
{
	return worst(c, TROUBLE_UNREACHING);
}

static const char *another_is_ill(const struct cluster *c)
{
	return worst(c, TROUBLE_RIGHTS);
}

/* This node itself. */
static const char *forgot(const struct cluster *c)
{
	static char text[TEXT_MAX + 1];

	if (!c->status.forgot)
		return NULL;
	snprintf(text, sizeof(text),
	    "this node does not vote, as its data directory was put back to an older state; %s"
	    "rmq-cluster leave %.63s",
	    c->status.changed
		? "members have changed since, so it never will: remove it: "
		: "it may when all others are up and another one leads, see rmq-cluster "
		  "transfer; or remove it: ",
	    c->config.name);
	return text;
}

/* The cluster, or one of its members, does not want this node. */
static const char *refused(const struct cluster *c)
{
	if (peers_removed(c))
		return "this node " MEMBERS_REMOVED_TEXT;
	if ((!peers_member(c) || c->join.lost) && c->join.refused[0])
		return c->join.refused;
	for (unsigned i = 0; i < c->peers.count; i++) {
		if (c->peers.list[i]->refused[0])
			return c->peers.list[i]->refused;
	}
	return NULL;
}

static const char *lacks_room(const struct cluster *c)
{
	if (c->waits)
		return "disk is full: this node takes no more of the log until there is room";
	if (c->disk.full)
		return "disk is full: no room for new messages here";
	if (leader_flags(c) & NODE_STATE_NO_ROOM)
		return "the disks of a majority are full: no room for new messages";
	return NULL;
}

/* The worst first: one is shown. */
static const char *problem(const struct cluster *c)
{
	static const char *(*const problems[])(const struct cluster *c) = {refused,
	    supervisor_problem, lacks_room, watchdog_problem, forgot, node_lacking,
	    another_is_down, nobody_leads, rights_problem, another_is_ill};
	const char *text = NULL;

	for (size_t i = 0; !text && i < sizeof(problems) / sizeof(problems[0]); i++)
		text = problems[i](c);
	return text;
}

bool cluster_available(const struct cluster *c)
{
	unsigned needed = NODE_STATE_SERVES | NODE_STATE_NO_ROOM;

	return (leader_flags(c) & needed) == NODE_STATE_SERVES && watchdog_gate_serves(c);
}

/* This disk has all that the leader's had when it last said what it has. */
static bool caught_up(const struct cluster *c)
{
	const struct peer *leader = peers_leader(c);

	if (cluster_leads(c))
		return c->status.serving;
	return leader && leader->room.index > 0 && c->disk.stored >= leader->room.index;
}

/*
 * What is over in a moment is nothing to speak of; and over is it only when nothing is missing here:
 * on the way there it may wait many times.
 */
void cluster_waits(struct cluster *c)
{
	bool waits = c->intake.waits && !cluster_leads(c);

	if (!waits)
		c->waits_ms = 0;
	else if (c->waits_ms == 0)
		c->waits_ms = cluster_now(c);
	bool lasts = waits && cluster_now(c) >= c->waits_ms + c->config.election_timeout;
	if (lasts && !c->waits) {
		log_notice("%s: disk is full: no more of the log is taken until there is room",
		    c->disk.directory);
		cluster_changed(c);
		c->waits = true;
	} else if (c->waits && !waits && !c->disk.full && caught_up(c)) {
		log_notice("%s: disk has taken all that was missing", c->disk.directory);
		cluster_changed(c);
		c->waits = false;
	}
}

/* What is shown of these two changes without an event. */
static void note_status(struct cluster *c)
{
	bool available = cluster_available(c), caught = caught_up(c);
	enum control_its_gate gate = watchdog_gate_seen(c);

	if (available != c->was_available || caught != c->was_caught_up || gate != c->was_gate)
		cluster_changed(c);
	c->was_gate = gate;
	c->was_available = available;
	c->was_caught_up = caught;
}

void cluster_status(const struct cluster *c, struct cluster_status *s)
{
	uint64_t index;
	/* A change that is not committed may never be one. */
	const struct raft_config *view = peers_told(c, &index);
	bool ready = supervisor_ready(&c->supervisor) && c->status.serving;

	*s = (struct cluster_status){
	    .name = c->config.name,
	    .key = c->pair.key,
	    .id = c->id,
	    .config = view,
	    .config_index = index,
	    .role = c->status.role,
	    .gone = peers_removed(c),
	    .joining = c->join.asking && !c->join.lost,
	    .term = c->status.term,
	    .commit = c->status.commit,
	    .last = c->status.last.index,
	    .leader = view ? raft_config_find(view, c->status.leader) : NULL,
	    .available = cluster_available(c),
	    .caught_up = caught_up(c),
	    .queue_ready = ready,
	    .queue_socket = c->config.queue_socket.path,
	    .gate = watchdog_gate_seen(c),
	    .refused = problem(c),
	};
}

void cluster_peer(const struct cluster *c, struct raft_id id, struct cluster_peer *p)
{
	const struct peer *peer = peers_find(c, id);
	struct raft_peer_status s;
	bool self = raft_id_eq(id, c->id);

	*p = (struct cluster_peer){
	    .reachable = self ? !(watchdog_flags(c) & DOWN)
			      : peer && peers_up(peer) && !(peer->flags & DOWN)};
	if (self)
		p->gate = watchdog_gate_seen(c);
	else if (p->reachable)
		p->gate = gates_seen(peer->flags);
	if (raft_peer_status(c->raft, id, &s))
		p->match = s.match;
	if (self && cluster_leads(c))
		p->match = c->disk.stored;
}

const struct events *cluster_events(const struct cluster *c)
{
	return &c->events;
}

void cluster_gate(struct cluster *c, bool begins, enum control_gate_state state)
{
	watchdog_gate(c, begins, state);
}

void cluster_watch(struct cluster *c, void (*changed)(void *arg), void *arg)
{
	c->watcher = changed;
	c->watcher_arg = arg;
}

/* ---- what it is asked to do ---- */

void cluster_ask(
    struct cluster *c, const struct cluster_command *command, cluster_answer *answer, void *arg)
{
	commands_ask(c, command, answer, arg);
}

void cluster_forget(struct cluster *c, void *arg)
{
	commands_forget(c, arg);
}

/* ---- stopping ---- */

_Noreturn void cluster_die(struct cluster *c, int status)
{
	supervisor_kill(c);
	disk_kill(&c->disk);
	control_close(c->control);
	exit(status);
}

void cluster_stop(struct cluster *c)
{
	ending_begin(&c->ending, cluster_now(c));
	c->more_wanted = true;
}

static void stop_turn(struct cluster *c)
{
	const struct ending_seen seen = {.leads = cluster_leads(c),
	    .serving = c->status.serving,
	    .successor = watchdog_successor(c),
	    .runs = supervisor_runs(&c->supervisor)};

	switch (ending_turn(&c->ending, &seen, cluster_now(c))) {
	case ENDING_NOTHING:
		break;
	case ENDING_HAND_OVER:
		(void)watchdog_hand_over(c);
		break;
	case ENDING_DRAIN:
		supervisor_drain(c);
		break;
	case ENDING_END:
		supervisor_kill(c);
		uv_stop(&c->loop);
		break;
	}
}

/* ---- the turn ---- */

void cluster_more(struct cluster *c)
{
	c->more_wanted = true;
}

static void on_more(uv_idle_t *idle)
{
	(void)idle;
}

static void on_due(uv_timer_t *timer)
{
	(void)timer;
}

static void arm(struct cluster *c)
{
	uint64_t due = commands_due(c), told = peers_due(c), now = cluster_now(c);

	if (told < due)
		due = told;
	if (watchdog_due(c) < due)
		due = watchdog_due(c);
	if (ending_due(&c->ending) < due)
		due = ending_due(&c->ending);
	if (due == UINT64_MAX)
		uv_timer_stop(&c->due);
	else
		uv_timer_start(&c->due, on_due, due > now ? due - now : 0, 0);
	if (c->more_wanted)
		uv_idle_start(&c->more, on_more);
	else
		uv_idle_stop(&c->more);
	c->more_wanted = false;
}

static void make_holes(struct cluster *c)
{
	struct ends_log log = disk_ends(&c->disk);

	if (ends_turn(&c->ends, &c->engine, &log, ENDS_TURN_RECORDS))
		cluster_more(c);
}

/* Before the loop waits: what the events of this turn have left to be done. */
static void on_turn(uv_prepare_t *prepare)
{
	struct cluster *c = prepare->data;

	peers_follow(c);
	if (c->founding_seq == 0) {
		node_look_at_room(c);
		make_holes(c);
		supervisor_turn(c);
		watchdog_turn(c);
		commands_turn(c);
		node_turn(c);
	}
	join_turn(c);
	note_status(c);
	peers_turn(c);
	if (cluster_stopping(c))
		stop_turn(c);
	events_turn(c);
	if (c->changed && c->watcher) {
		c->changed = false;
		c->watcher(c->watcher_arg);
	}
	arm(c);
	link_net_flush(c->peers.net);
}

static void on_signal(uv_signal_t *signal, int signo)
{
	struct cluster *c = signal->data;

	if (signo == SIGCHLD) {
		supervisor_child(c);
		return;
	}
	if (signo == SIGHUP) {
		rights_look(c);
		if (config_given(&c->config, rights))
			supervisor_rights(c);
		else
			log_notice("no file of rights is set: nothing is read again");
		return;
	}
	log_info("signal %d: stopping", signo);
	cluster_stop(c);
}

/* One that was ignored stays so. */
static int take_signals(struct cluster *c)
{
	static const int signals[CLUSTER_SIGNALS] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
	struct sigaction old;
	int err = 0;

	for (unsigned i = 0; i < CLUSTER_SIGNALS && !err; i++) {
		uv_signal_init(&c->loop, &c->signals[i]);
		c->signals[i].data = c;
		bool ends = signals[i] != SIGCHLD && signals[i] != SIGHUP;
		if (!ends || sigaction(signals[i], NULL, &old) != 0 ||
		    old.sa_handler != SIG_IGN)
			err = uv_signal_start(&c->signals[i], on_signal, signals[i]);
	}
	return err;
}

int cluster_start(struct cluster *c)
{
	uv_timer_t *timers[] = {&c->tick, &c->due};

	c->started_ms = cluster_now(c);

	for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++) {
		uv_timer_init(&c->loop, timers[i]);
		timers[i]->data = c;
	}
	uv_idle_init(&c->loop, &c->more);
	uv_prepare_init(&c->loop, &c->turn);
	c->turn.data = c;
	uv_prepare_start(&c->turn, on_turn);
	c->more_wanted = true;
	return take_signals(c);
}
