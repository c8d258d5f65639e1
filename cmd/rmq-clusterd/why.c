#include "why.h"

#include <stdio.h>
#include <string.h>

#include "core/host/commands.h"
#include "node.h"
#include "state.h"

/* Who asks does so again within retry-join, usually 10 s. */
#define AGAIN_MS 60000

unsigned why_leader_flags(const struct cluster *c)
{
	const struct peer *leader = peers_leader(c);

	if (cluster_leads(c))
		return c->status.serving ? watchdog_flags(c) : 0;
	return leader ? leader->flags : 0;
}

static void look_at(const struct cluster *c, const struct peer *p, struct why_other *o)
{
	const struct raft_config *config = c->status.config;
	const struct raft_member *m = config ? raft_config_find(config, p->member.id) : NULL;
	const struct member_link *l = peers_member_of(p);
	struct cluster_peer seen;

	cluster_peer(c, p->member.id, &seen);
	*o = (struct why_other){.name = p->member.name,
	    .address = member_advertised(l),
	    .refuses = p->refused[0] ? p->refused : NULL,
	    .member = m != NULL,
	    .voter = m && (m->flags & RAFT_VOTER),
	    .up = seen.reachable,
	    .heard_ms = l->alive_ms > 0 ? cluster_now(c) - l->alive_ms : UINT64_MAX,
	    .trouble = p->trouble,
	    .flags = p->flags,
	    .settings = &p->settings};
}

/* Whom it asks to let it in, after a space each. */
static void name_seeds(const struct cluster *c, char *text, size_t size)
{
	const struct config_seeds *seeds = &c->join.seeds;
	size_t len = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < seeds->count && len + RAFT_NAME_MAX + 2 < size; i++)
		len += (size_t)snprintf(
		    text + len, size - len, " %.*s", RAFT_NAME_MAX, seeds->seeds[i].name);
}

/* In the order of the members that are shown. */
static void look_at_others(const struct cluster *c, struct why_seen *s)
{
	for (unsigned i = 0; s->config && i < s->config->count; i++) {
		const struct peer *p = peers_find(c, s->config->members[i].id);
		if (p && !raft_id_none(p->member.id))
			look_at(c, p, &s->others[s->count++]);
	}
	for (unsigned i = 0; i < c->peers.count; i++) {
		const struct peer *p = c->peers.list[i];
		if (!s->config || !raft_config_find(s->config, p->member.id))
			look_at(c, p, &s->others[s->count++]);
	}
}

/* Only the leader sees what the queue daemon waits for. */
static void look_at_gate(const struct cluster *c, struct why_seen *s)
{
	struct start_gate_lack lack;

	if (!c->status.serving || supervisor_gate(c, &lack) != START_GATE_WAITS)
		return;
	s->min_members = lack.wanted;
	s->min_up = lack.up;
	s->min_role = lack.role;
}

/* Until the member is another one: then it is decided.  text[TEXT_MAX + 1] */
static void look_at_namesake(const struct cluster *c, struct why_seen *s, char *text)
{
	const char *name = c->peers.namesake.name;
	const struct raft_member *m =
	    *name && s->config ? raft_config_find_name(s->config, name) : NULL;

	if (!m || !raft_id_eq(m->id, c->peers.namesake.of) ||
	    cluster_now(c) - c->peers.namesake.asked_ms >= AGAIN_MS)
		return;
	s->namesake = name;
	s->namesake_from = c->peers.namesake.from;
	struct raft_member joiner = *m;
	memcpy(joiner.key, c->peers.namesake.key, RAFT_KEY_SIZE);
	const struct raft_member *keyed = raft_config_find_key(s->config, joiner.key);
	if (!keyed || keyed == m)
		return;
	commands_unadmitted(s->config, &joiner, text);
	s->namesake_key = text;
}

void why_look(const struct cluster *c, struct why *w)
{
	const struct health *h = &c->watchdog.health;
	const struct watchdog *dog = &c->watchdog;
	char address[RAFT_ADDRESS_MAX + 1], keyed[TEXT_MAX + 1];
	uint64_t index, bad = 0;
	struct why_seen s = {.name = c->config.name,
	    .address = address,
	    .directory = c->disk.directory,
	    .program = SUPERVISOR_PROGRAM,
	    .flags = watchdog_flags(c),
	    .settings = &c->peers.settings,
	    .id = c->id,
	    .config = peers_view(c, &index),
	    .member = peers_member(c),
	    .removed = peers_removed(c),
	    .how = members_own_end(&c->peers.members),
	    .stopping = cluster_stopping(c),
	    .joining = c->join.asking,
	    .lost = c->join.joining.lost,
	    .outcast = c->join.joining.lost && c->join.joining.outcast,
	    .join_refused = c->join.refused,
	    .join_final = c->join.final,
	    .forgot = c->status.forgot,
	    .changed = c->status.changed,
	    .leads = cluster_leads(c),
	    .serving = c->status.serving,
	    .unled = members_unled(
		&c->peers.members, c->join.led_ms, cluster_now(c), c->config.election_timeout),
	    .leader = c->status.leader,
	    .leader_flags = why_leader_flags(c),
	    .available = cluster_available(c),
	    .queue = c->supervisor.keeper.state,
	    .deadly = supervisor_problem(c),
	    .failure = supervisor_failure(c),
	    .waits = c->waits,
	    .full = c->disk.full,
	    .hangs = dog->hangs,
	    .starves = dog->starves,
	    .unable = dog->unable,
	    .confirms = dog->confirms,
	    .resting = h->state == HEALTH_RESTING ? h->illness : HEALTH_NONE,
	    .gate = dog->gate,
	    .bad_for = node_lacking(c, &bad),
	    .runner_ended = c->runner_ended,
	    .rights = rights_problem(c)};

	s.bad_record = bad;
	database_link_why(c, &s.database);
	peers_address(c, address);
	name_seeds(c, s.seeds, sizeof(s.seeds));
	look_at_others(c, &s);
	look_at_gate(c, &s);
	if (c->peers.back[0] && cluster_now(c) - c->peers.back_ms < AGAIN_MS)
		s.back = c->peers.back;
	look_at_namesake(c, &s, keyed);
	why_make(w, &s);
}
