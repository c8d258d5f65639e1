#include "events.h"

#include "state.h"
#include "sys/process/clock.h"

void events_start(struct cluster *c)
{
	struct events_node self = {.id = c->id};

	memcpy(self.name, c->config.name, sizeof(self.name));
	events_init(&c->events, &self, clock_wall());
}

/* Which members are, by the opinion of the majority. */
static uint32_t unreachable(const struct cluster *c, const struct raft_config *config)
{
	uint32_t bits = 0;

	for (unsigned i = 0; i < config->count; i++) {
		if (opinions_unreachable(&c->peers.opinions, config->members[i].id))
			bits |= UINT32_C(1) << i;
	}
	return bits;
}

/* Where clients are served, as that node says. */
static struct raft_id queue(const struct cluster *c)
{
	const struct peer *leader = peers_leader(c);

	if (watchdog_serves(c))
		return c->id;
	return leader && (leader->flags & NODE_STATE_SERVES) ? leader->member.id
							     : (struct raft_id){{0}};
}

void events_turn(struct cluster *c)
{
	struct events_seen seen = {.commit = c->status.commit,
	    .gone = peers_removed(c),
	    .leader = c->status.leader,
	    .queue = queue(c),
	    .ending = c->ending.state};
	const struct raft_config *config = peers_told(c, &seen.index);

	/* What is not committed may never be. */
	if (seen.index > 0) {
		seen.config = config;
		seen.unreachable = unreachable(c, config);
	}
	if (events_look(&c->events, &seen, clock_wall()))
		cluster_changed(c);
}
