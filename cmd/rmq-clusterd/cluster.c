#include "cluster.h"

#include <stdlib.h>

#include "control.h"
#include "events.h"
#include "hooks.h"
#include "node.h"
#include "queue.h"
#include "state.h"
#include "why.h"

/* ---- what it knows ---- */

/* A member that is heard and says so is not up. */
#define DOWN (NODE_STATE_HANGS | NODE_STATE_FORGOT)

bool cluster_available(const struct cluster *c)
{
	unsigned needed = NODE_STATE_SERVES | NODE_STATE_NO_ROOM;

	return (why_leader_flags(c) & needed) == NODE_STATE_SERVES && watchdog_gate_serves(c);
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
	static struct why why;

	why_look(c, &why);
	*s = (struct cluster_status){
	    .name = c->config.name,
	    .key = c->pair.key,
	    .id = c->id,
	    .config = view,
	    .config_index = index,
	    .role = c->status.role,
	    .gone = peers_removed(c),
	    .joining = c->join.asking && !c->join.joining.lost,
	    .term = c->status.term,
	    .commit = c->status.commit,
	    .last = c->status.last.index,
	    .leader = view ? raft_config_find(view, c->status.leader) : NULL,
	    .available = cluster_available(c),
	    .caught_up = caught_up(c),
	    .queue_ready = ready,
	    .queue_socket = c->config.queue_socket.path,
	    .gate = watchdog_gate_seen(c),
	    .problem = why_problem(&why),
	};
	database_link_show(c, s);
}

/* Whether it is heard. */
static void see(const struct cluster *c, struct raft_id id, struct cluster_peer *p)
{
	const struct opinions *o = &c->peers.opinions;
	const struct opinions_peer *is = opinions_find(o, id);

	p->unreachable = opinions_unreachable(o, id);
	if (!is)
		return;
	p->suspected = is->suspected;
	p->watched = &is->phi;
	p->phi = opinions_phi(o, id, cluster_now(c));
	p->silent_ms = opinions_silent(o, id, cluster_now(c));
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
	see(c, id, p);
	if (self)
		figures_take(c, &p->metrics);
	else if (peer)
		p->metrics = peer->tell.metrics;
	if (!self && peer && peer->node.conn)
		p->round_trip_us = link_conn_round_trip_us(peer->node.conn);
}

const struct events *cluster_events(const struct cluster *c)
{
	return &c->events;
}

void cluster_why(const struct cluster *c, struct why *w)
{
	why_look(c, w);
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

struct ending_seen cluster_ending(const struct cluster *c)
{
	return (struct ending_seen){.leads = cluster_leads(c),
	    .serving = c->status.serving,
	    .successor = watchdog_successor(c),
	    .runs = supervisor_runs(&c->supervisor)};
}

void cluster_end(struct cluster *c, enum ending_action action)
{
	switch (action) {
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
		break;
	}
}

static void stop_turn(struct cluster *c)
{
	const struct ending_seen seen = cluster_ending(c);
	enum ending_action action = ending_turn(&c->ending, &seen, cluster_now(c));

	cluster_end(c, action);
	if (action == ENDING_END)
		c->ended = true;
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
	if (hooks_due(&c->hooks) < due)
		due = hooks_due(&c->hooks);
	if (leave_due(c) < due)
		due = leave_due(c);
	if (database_link_due(c) < due)
		due = database_link_due(c);
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
		leave_turn(c);
		node_turn(c);
	}
	join_turn(c);
	note_status(c);
	peers_turn(c);
	if (cluster_stopping(c))
		stop_turn(c);
	events_turn(c);
	hooks_turn(c);
	if (c->changed && c->watcher) {
		c->changed = false;
		c->watcher(c->watcher_arg);
	}
	if (c->ended && hooks_over(c))
		uv_stop(&c->loop);
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
int cluster_take_signals(struct cluster *c)
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

void cluster_start(struct cluster *c)
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
}
