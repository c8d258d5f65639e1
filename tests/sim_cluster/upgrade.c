#include "upgrade.h"

#include "../sim/prng.h"
#include "../sim/trace.h"

#include "core/host/level.h"

#include <string.h>

#define MACHINES  5
#define FAULTS_MS 3000
#define CALM_MS	  100
#define NOTICE_MS 20 /* within which the end of a link is noticed */
#define COMMIT_MS 10

struct machine {
	struct raft_id id;
	bool up, member;
	uint64_t reads;	  /* its program */
	uint64_t told;	  /* what the leader has heard; 0: no link is up */
	uint64_t told_at; /* when it hears of its start or end; 0: it has */
	uint64_t went_at;
};

struct upgrade {
	struct prng prng;
	uint64_t now;
	struct raft_config config, next; /* committed, and proposed */
	uint64_t commits_at;		 /* 0: nothing is proposed */
	struct machine list[MACHINES];
	unsigned leader;
};

static uint64_t reads(const void *arg, struct raft_id id)
{
	const struct upgrade *u = arg;
	return u->list[id.bytes[0] - 1].told;
}

static void check(const struct upgrade *u)
{
	for (unsigned i = 0; i < MACHINES; i++) {
		const struct machine *m = &u->list[i];
		if (m->up && m->member && m->reads < raft_config_level(&u->config))
			trace_fail("node %u has records of a level that it does not read", i);
	}
}

static void propose(struct upgrade *u, const struct raft_config *next)
{
	u->next = *next;
	u->commits_at = u->now + prng_range(&u->prng, 1, COMMIT_MS);
}

static void leads(struct upgrade *u)
{
	const struct level_peers peers = {u, u->list[u->leader].id, reads};
	uint64_t level = level_due(&u->config, &peers);
	struct raft_config next = u->config;
	/* Only one that reads it says so of itself. */
	if (level == 0 || u->list[u->leader].reads < level)
		return;
	if (raft_config_mark(&next, RAFT_MARK_LEVEL, (struct raft_id){{0}}, NULL, level))
		trace_fail("level %u is due, and cannot be", (unsigned)level);
	propose(u, &next);
}

static void join(struct upgrade *u, struct machine *m)
{
	char why[TEXT_MAX + 1];
	struct raft_config next = u->config;
	if (!level_admits(&u->config, m->reads, "it", why))
		return;
	struct raft_member *is = &next.members[next.count++];
	*is = (struct raft_member){.id = m->id};
	is->name[0] = (char)('0' + m->id.bytes[0]);
	propose(u, &next);
}

static void stop(struct upgrade *u, struct machine *m)
{
	m->up = false;
	m->went_at = u->now;
	m->told_at = u->now + prng_range(&u->prng, 1, NOTICE_MS);
}

/*
 * As which version: back to the old one only as the page says, if the level is the old one, and when the
 * others have noticed that it was away.
 */
static void start(struct upgrade *u, struct machine *m)
{
	bool back = m->told == 0 && m->told_at == 0 && u->commits_at == 0 &&
		    raft_config_level(&u->config) == LEVEL_FIRST;
	uint64_t version = prng_chance(&u->prng, 700) ? level_newest() : LEVEL_FIRST;
	if (version < m->reads && m->member && !back)
		return;
	m->reads = version;
	m->up = true;
	m->told_at = u->now + prng_range(&u->prng, 1, NOTICE_MS);
}

/* Another one leads, of those that run. */
static void elect(struct upgrade *u)
{
	unsigned at = (unsigned)prng_below(&u->prng, MACHINES);
	if (u->list[at].up && u->list[at].member)
		u->leader = at;
}

static void disturb(struct upgrade *u)
{
	struct machine *m = &u->list[prng_below(&u->prng, MACHINES)];
	if (m == &u->list[u->leader])
		return;
	if (m->up && m->member && prng_chance(&u->prng, 10))
		stop(u, m);
	else if (!m->up && prng_chance(&u->prng, m->member ? 50 : 3))
		start(u, m);
	else if (m->up && !m->member && !u->commits_at && prng_chance(&u->prng, 30))
		join(u, m);
}

static void hear(struct upgrade *u, struct machine *m)
{
	if (m->told_at == 0 || u->now < m->told_at)
		return;
	m->told = m->up ? m->reads : 0;
	m->told_at = 0;
}

static void millisecond(struct upgrade *u)
{
	u->now++;
	for (unsigned i = 0; i < MACHINES; i++)
		hear(u, &u->list[i]);
	if (u->commits_at && u->now >= u->commits_at) {
		u->config = u->next;
		u->commits_at = 0;
		for (unsigned i = 0; i < MACHINES; i++)
			u->list[i].member = raft_config_find(&u->config, u->list[i].id);
	}
	check(u);
	if (prng_chance(&u->prng, 5))
		elect(u);
	if (!u->commits_at && u->list[u->leader].reads == level_newest())
		leads(u);
}

static void calm(struct upgrade *u)
{
	uint64_t newest = level_newest();
	for (unsigned i = 0; i < MACHINES; i++) {
		struct machine *m = &u->list[i];
		m->up = true;
		m->reads = newest;
		m->told_at = u->now + 1;
	}
	for (uint64_t end = u->now + CALM_MS; u->now < end;)
		millisecond(u);
	if (raft_config_level(&u->config) < newest)
		trace_fail("all read level %u, and it is not raised", (unsigned)newest);
}

void upgrade_run(uint64_t seed)
{
	struct upgrade u = {.prng = {seed ^ 0x75706772616465}};
	for (unsigned i = 0; i < MACHINES; i++) {
		struct machine *m = &u.list[i];
		m->id.bytes[0] = (uint8_t)(i + 1);
		m->up = m->member = i < 3;
		m->reads = LEVEL_FIRST;
		m->told = m->up ? m->reads : 0;
		if (m->member) {
			u.config.members[i].id = m->id;
			u.config.members[i].name[0] = (char)('1' + i);
			u.config.count = i + 1;
		}
	}
	while (u.now < FAULTS_MS) {
		disturb(&u);
		millisecond(&u);
	}
	calm(&u);
}
