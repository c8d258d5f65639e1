#include "leave.h"

#include "commands.h"
#include "node.h"
#include "state.h"

bool leave_rests(const struct cluster *c)
{
	return leaving_rests(&c->leave.own);
}

bool leave_drained(const struct cluster *c)
{
	return leaving_drained(&c->leave.own);
}

bool leave_up(void *arg, struct raft_id id)
{
	const struct cluster *c = arg;
	const struct peer *p = peers_find(c, id);

	return raft_id_eq(id, c->id) || (p && peers_up(p));
}

/* ---- the leader ---- */

static bool drained(void *arg, struct raft_id id)
{
	const struct cluster *c = arg;
	const struct peer *p = peers_find(c, id);

	if (raft_id_eq(id, c->id))
		return leave_drained(c);
	return p && peers_up(p) && (p->flags & NODE_STATE_DRAINED);
}

static void see_others_off(struct cluster *c)
{
	struct commands_peers peers = commands_peers(c);
	const struct leaving_seen seen = {&c->status, drained, &peers};
	struct raft_id id;
	enum leaving_step step = leaving_turn(&c->leave.others, &seen, cluster_now(c), &id);

	if (step == LEAVING_NOTHING)
		return;
	struct raft_event e = leaving_event(step, id);
	/* What is refused now is tried again later. */
	if (!node_event(c, &e))
		cluster_more(c);
}

/* ---- this node ---- */

static bool is_told_to(const struct cluster *c)
{
	const struct raft_config *config = c->status.committed;
	const struct raft_member *self = config ? raft_config_find(config, c->id) : NULL;

	return self && self->leaving;
}

static void hand_over(struct cluster *c)
{
	const struct ending_seen seen = cluster_ending(c);
	enum ending_state old = c->leave.own.state;

	cluster_end(c, leaving_own_turn(&c->leave.own, is_told_to(c), &seen, cluster_now(c)));
	if (old == ENDING_NOT && c->leave.own.state != ENDING_NOT)
		log_notice("leaves the cluster: hands over, and ends once it is no member");
	if (old != c->leave.own.state)
		cluster_more(c);
}

/* Who is no member any more has nothing more to do. */
static void end(struct cluster *c)
{
	enum raft_how how = members_own_end(&c->peers.members);

	c->leave.status = how == RAFT_LEFT ? 0 : LEAVE_DOWNED_EXIT;
	if (how == RAFT_LEFT)
		log_notice("has left the cluster");
	else
		log_error("this node %s", members_removed_text(how));
	disk_end(&c->disk, how);
	cluster_stop(c);
}

void leave_turn(struct cluster *c)
{
	if (cluster_stopping(c))
		return;
	if (peers_removed(c)) {
		end(c);
		return;
	}
	hand_over(c);
	see_others_off(c);
}

uint64_t leave_due(const struct cluster *c)
{
	uint64_t own = ending_due(&c->leave.own),
		 others = leaving_due(&c->leave.others, cluster_now(c));

	return own < others ? own : others;
}
