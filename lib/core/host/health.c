#include "core/host/health.h"

#include "core/base/variant.h"

struct cell {
	enum health_state next;
	enum health_action action;
};

/* clang-format off */
#define W(action) {HEALTH_WELL, HEALTH_##action}
#define L(action) {HEALTH_LEAVING, HEALTH_##action}
#define R(action) {HEALTH_RESTING, HEALTH_##action}
static const struct cell table[HEALTH_EVENTS][HEALTH_STATES] = {
	/*                    WELL          LEAVING       RESTING */
	[HEALTH_ILL]      = { L(HAND_OVER), L(NOTHING),   R(NOTHING) },
	[HEALTH_FOLLOWS]  = { W(NOTHING),   W(NOTHING),   R(NOTHING) },
	[HEALTH_LATE]     = { W(NOTHING),   R(STEP_DOWN), W(STAND)   },
	[HEALTH_UNABLE]   = { R(STEP_DOWN), R(STEP_DOWN), R(NOTHING) },
};
#undef W
#undef L
#undef R
/* clang-format on */

void health_init(struct health *h, uint32_t election_ms, uint64_t now_ms)
{
	*h = (struct health){.election_ms = election_ms, .now_ms = now_ms, .clock = 1};
	gates_init(&h->gates, health_bound(h));
}

uint64_t health_bound(const struct health *h)
{
	return 2u * h->election_ms + 1000;
}

static uint64_t step(const struct health *h)
{
	return health_bound(h) / 8;
}

/* ---- what is watched ---- */

static bool lasts(const struct health *h, const struct health_watch *w)
{
	return w->goal > 0 && h->clock - w->since >= health_bound(h);
}

/* Whether `at` has not come to what was the target then, for the bound. */
static bool overdue(struct health *h, struct health_watch *w, uint64_t at, uint64_t target)
{
	if (w->goal == 0 || at >= w->goal)
		*w = (struct health_watch){at < target ? target : 0, h->clock};
	return lasts(h, w);
}

bool health_passes(const struct health *h, struct health_link *l, uint64_t taken)
{
	if (taken < l->taken)
		l->taken = taken;
	if (taken - l->taken >= HEALTH_PASS_BYTES)
		*l = (struct health_link){taken, h->clock};
	return l->clock > 0 && h->clock - l->clock < health_bound(h) / 2;
}

/* What passes to enough others is on its way to a majority. */
static bool passes(const struct health_seen *seen)
{
	return !seen->database && seen->passing > 0 && 2 * (seen->passing + 1) > seen->voters;
}

/* Since it leads, or was to hand over last. */
static bool gate_is_ill(struct health *h, const struct health_seen *seen)
{
	bool miss = gates_miss(&seen->gates);

	if (!miss)
		h->gate.goal = 0;
	bool most = overdue(h, &h->gate, 0, miss);
	gates_led(&h->gates, &seen->gates, most);
	return most && seen->gated && !RMQ_VARIANT(GATE_TRUSTED);
}

static enum health_illness illness(struct health *h, const struct health_seen *seen)
{
	const struct engine_state *log = &seen->log;
	bool moved = log->received > h->received;

	h->received = log->received;
	if (moved || passes(seen) || seen->database)
		h->links.goal = 0;
	if (!seen->full || !seen->better)
		h->full.goal = 0;
	if (!seen->waits)
		h->spent.goal = 0;
	if (health_unable(h))
		return HEALTH_QUEUE;
	if (overdue(h, &h->disk, log->committed, log->agreed) && !RMQ_VARIANT(DISK_TRUSTED))
		return HEALTH_DISK;
	if (overdue(h, &h->links, log->received, log->last) && !RMQ_VARIANT(LINKS_TRUSTED))
		return HEALTH_LINKS;
	if (gate_is_ill(h, seen))
		return HEALTH_GATE;
	if (overdue(h, &h->full, 0, seen->full && seen->better) && !RMQ_VARIANT(FULL_LEADS))
		return HEALTH_FULL;
	if (overdue(h, &h->spent, 0, seen->waits) && !RMQ_VARIANT(SPENT_LEADS))
		return HEALTH_SPENT;
	return HEALTH_NONE;
}

static void forget(struct health *h)
{
	h->disk.goal = h->links.goal = h->full.goal = h->spent.goal = h->gate.goal =
	    h->room.goal = h->confirmed.goal = 0;
}

/* ---- the leader ---- */

static enum health_action happens(struct health *h, enum health_event e)
{
	const struct cell *c = &table[e][h->state];

	if (c->action == HEALTH_HAND_OVER || c->action == HEALTH_STEP_DOWN)
		forget(h);
	if (c->action == HEALTH_HAND_OVER)
		h->late = h->clock + h->election_ms;
	if (c->action == HEALTH_STEP_DOWN)
		h->late = h->clock + health_bound(h);
	h->state = c->next;
	return c->action;
}

static bool late(const struct health *h)
{
	bool rests = h->state == HEALTH_RESTING && (health_hangs(h) || health_unable(h));

	return h->state != HEALTH_WELL && h->clock >= h->late && !rests;
}

/* What comes and goes under load does not count. */
static void watch_room(struct health *h, const struct health_seen *seen)
{
	bool full = seen->room < (lasts(h, &h->room) ? 2 : 1) * HEALTH_FULL_BYTES;

	if (!full)
		h->room.goal = 0;
	(void)overdue(h, &h->room, 0, full);
}

static enum health_action lead(struct health *h, const struct health_seen *seen)
{
	watch_room(h, seen);
	/* What waits for room is to be the next record, and no link helps it. */
	uint64_t next = seen->log.last + seen->waits;
	if (h->confirmed.goal > next || (passes(seen) && !seen->waits))
		h->confirmed.goal = 0;
	(void)overdue(h, &h->confirmed, seen->log.committed, next);
	enum health_illness now = illness(h, seen);
	if (now == HEALTH_NONE || h->state != HEALTH_WELL || !seen->others)
		return HEALTH_NOTHING;
	h->illness = now;
	enum health_action a = happens(h, HEALTH_ILL);
	if (now == HEALTH_FULL || now == HEALTH_SPENT || now == HEALTH_GATE)
		h->state = HEALTH_WELL;
	return a;
}

static enum health_action follow(struct health *h, const struct health_seen *seen)
{
	if (h->state == HEALTH_RESTING || !health_unable(h) || !seen->others)
		return HEALTH_NOTHING;
	h->illness = HEALTH_QUEUE;
	return happens(h, HEALTH_UNABLE);
}

/*
 * What comes slowly comes.  Not what this disk has no room for: that is sent again and again.  And
 * who starves does so until it has stored something.
 */
static bool feeds(const struct health *h, const struct health_seen *seen)
{
	return seen->fed && !seen->refuses && !health_starves(h);
}

enum health_action health_turn(
    struct health *h, const struct health_seen *seen, uint64_t now_ms)
{
	uint64_t passed = now_ms - h->now_ms;

	h->now_ms = now_ms;
	h->clock += passed < step(h) ? passed : step(h);
	(void)overdue(h, &h->writes, seen->log.stored, seen->sent);
	if (feeds(h, seen))
		h->lacks.goal = 0;
	(void)overdue(h, &h->lacks, seen->has, seen->told > seen->has ? seen->has + 1 : 0);
	bool wanted = seen->gates_wanted && seen->gates.running > 0;
	gates_turn(&h->gates, seen->served, wanted, h->clock);
	if (!seen->lingers)
		h->lingers = 0;
	else if (h->lingers == 0)
		h->lingers = h->clock;
	if (!seen->log.leads) {
		gates_followed(&h->gates, &seen->gates);
		forget(h);
		(void)happens(h, HEALTH_FOLLOWS);
	}
	if (late(h))
		return happens(h, HEALTH_LATE);
	return seen->log.leads ? lead(h, seen) : follow(h, seen);
}

bool health_confirms(const struct health *h)
{
	return !lasts(h, &h->confirmed);
}

bool health_has_room(const struct health *h)
{
	return !lasts(h, &h->room);
}

bool health_hangs(const struct health *h)
{
	return lasts(h, &h->writes);
}

bool health_starves(const struct health *h)
{
	return lasts(h, &h->lacks);
}

bool health_unable(const struct health *h)
{
	return h->lingers > 0 && h->clock - h->lingers >= h->election_ms &&
	       !RMQ_VARIANT(LINGERER_LEADS);
}

const char *health_text(enum health_illness illness)
{
	switch (illness) {
	case HEALTH_NONE:
		break;
	case HEALTH_DISK:
		return "its disk does not store what others have stored";
	case HEALTH_LINKS:
		return "its records reach no majority, though the nodes answer";
	case HEALTH_FULL:
		return "its disk is full, and another node has room";
	case HEALTH_SPENT:
		return "its disk is full: there is no room for what empties its queues either";
	case HEALTH_QUEUE:
		return "its queue daemon was killed and does not end";
	case HEALTH_GATE:
		return "most gates of other nodes do not reach its gate";
	}
	return "";
}

/* ---- the queue daemon ---- */

static uint64_t patience(const struct health *h)
{
	uint64_t quarter = health_bound(h) / 4;

	return quarter < HEALTH_PING_MS ? quarter : HEALTH_PING_MS;
}

enum health_daemon_action health_daemon_turn(
    struct health *h, enum health_daemon daemon, uint64_t heard)
{
	if (daemon == HEALTH_DAEMON_UNWATCHED || daemon != h->daemon || heard != h->heard) {
		h->daemon = daemon;
		h->heard = heard;
		h->quiet = h->clock;
		h->pinged = 0;
		return HEALTH_DAEMON_NOTHING;
	}
	if (daemon == HEALTH_DAEMON_OPENS)
		return h->clock - h->quiet >= HEALTH_OPENS * health_bound(h) &&
			       !RMQ_VARIANT(STARTING_TRUSTED)
			   ? HEALTH_DAEMON_KILL
			   : HEALTH_DAEMON_NOTHING;
	if (h->pinged == 0 && h->clock - h->quiet >= patience(h)) {
		h->pinged = h->clock;
		return HEALTH_DAEMON_PING;
	}
	bool silent = h->pinged > 0 && h->clock - h->pinged >= health_bound(h);
	return silent && !RMQ_VARIANT(SILENT_LIVES) ? HEALTH_DAEMON_KILL
						    : HEALTH_DAEMON_NOTHING;
}

uint64_t health_due(const struct health *h, enum health_daemon daemon)
{
	bool waits = h->disk.goal || h->links.goal || h->full.goal || h->spent.goal ||
		     h->room.goal || h->confirmed.goal || h->writes.goal || h->lacks.goal ||
		     h->gate.goal || h->lingers || h->gates.known || h->state != HEALTH_WELL;

	return waits || daemon != HEALTH_DAEMON_UNWATCHED ? h->now_ms + step(h) : UINT64_MAX;
}

/* ---- who leads next ---- */

const struct raft_member *health_candidate(
    const struct raft_config *config, struct raft_id self, unsigned i)
{
	const unsigned may = RAFT_VOTER | RAFT_BROKER;
	const struct raft_member *own = config ? raft_config_find(config, self) : NULL;
	size_t after = own ? (size_t)(own - config->members) + 1 : 0;

	for (unsigned k = 0; config && k < config->count; k++) {
		const struct raft_member *m = &config->members[(after + k) % config->count];
		if (m != own && (m->flags & may) == may && !m->leaving && i-- == 0)
			return m;
	}
	return NULL;
}

static unsigned rank(const struct health_successor *s)
{
	bool room = s->room >= HEALTH_FULL_BYTES;

	return 8 * !s->fails + 4 * s->gate + 2 * s->level + room;
}

int health_successor(const struct health_successor *list, unsigned count)
{
	int best = -1;

	for (unsigned i = 0; i < count; i++) {
		const struct health_successor *s = &list[i], *b = best < 0 ? NULL : &list[best];
		if (s->answers && !s->forgot &&
		    (!b || rank(s) > rank(b) || (rank(s) == rank(b) && s->match > b->match)))
			best = (int)i;
	}
	return best;
}

bool health_better(const struct health_successor *s)
{
	return health_gated(s) && s->room >= HEALTH_BETTER_BYTES;
}

bool health_gated(const struct health_successor *s)
{
	bool fails = s->fails && !RMQ_VARIANT(FAILED_TAKEN);

	return s->answers && s->gate && s->level && !s->forgot && !fails;
}
