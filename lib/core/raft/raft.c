#include "core/raft/raft.h"

#include "core/raft/raft_state.h"

/* SplitMix64. */
uint64_t raft_random(struct raft *r, uint64_t below)
{
	uint64_t z = r->random += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (z ^ (z >> 31)) % below;
}

struct raft_action *raft_act(struct raft *r, enum raft_action_type type)
{
	raft_push(&r->actions, ((struct raft_action){.type = type}));
	return &r->actions.items[r->actions.count - 1];
}

struct raft_message *raft_send(struct raft *r, enum raft_message_type type, struct raft_id to)
{
	struct raft_message *m = &raft_act(r, RAFT_SEND)->message;
	m->type = type;
	m->from = r->id;
	m->to = to;
	m->term = r->term;
	return m;
}

void raft_fatal(struct raft *r, enum rmq_error error)
{
	raft_act(r, RAFT_FATAL)->error = error;
}

/* ---- log ---- */

/* The place in r->terms that holds `index`, which is in the log. */
static size_t term_slot(const struct raft *r, uint64_t index)
{
	size_t lo = 0, hi = r->terms.count;
	while (hi - lo > 1) {
		size_t mid = (lo + hi) / 2;
		if (r->terms.items[mid].index <= index)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

uint64_t raft_term_at(const struct raft *r, uint64_t index)
{
	if (index == 0 || index > r->last)
		return 0;
	return r->terms.items[term_slot(r, index)].term;
}

uint64_t raft_term_end(const struct raft *r, uint64_t index)
{
	size_t next = term_slot(r, index) + 1;
	return next < r->terms.count ? r->terms.items[next].index : r->last + 1;
}

uint64_t raft_term_last(const struct raft *r, uint64_t term)
{
	size_t lo = 0, hi = r->terms.count;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (r->terms.items[mid].term <= term)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < r->terms.count ? r->terms.items[lo].index - 1 : r->last;
}

uint64_t raft_dirty(struct raft *r)
{
	if (!r->dirty)
		r->seq++;
	r->dirty = true;
	return r->seq;
}

void raft_append(struct raft *r, const struct raft_run *run)
{
	raft_dirty(r);
	struct raft_run new = *run;
	new.first = r->last + 1;
	if (r->terms.count == 0 || r->terms.items[r->terms.count - 1].term != new.term)
		raft_push(&r->terms, ((struct raft_place){new.first, new.term}));
	r->last += new.count;
	if (new.kind == RECORD_CONFIG) {
		raft_membership_append(r, new.first, new.config);
		new.config = raft_membership_now(r);
	}
	raft_push(&r->runs, new);
}

/* What is durable of a log that was cut is what was durable of its part that stays. */
void raft_truncate(struct raft *r, uint64_t from)
{
	assert(from > r->commit && from <= r->last);
	assert(!r->truncate && r->runs.count == 0);
	raft_dirty(r);
	r->truncate = from;
	r->last = from - 1;
	while (r->terms.count > 0 && r->terms.items[r->terms.count - 1].index >= from)
		r->terms.count--;
	if (r->durable >= from)
		r->durable = from - 1;
	for (size_t i = 0; i < r->pending.count; i++) {
		if (r->pending.items[i].last >= from)
			r->pending.items[i].last = from - 1;
	}
	raft_membership_truncate(r, from);
}

struct raft_peer *raft_peer(struct raft *r, struct raft_id id)
{
	for (unsigned i = 0; i < r->peer_count; i++) {
		if (raft_id_eq(r->peers[i].id, id))
			return &r->peers[i];
	}
	return NULL;
}

/* ---- steps ---- */

static void begin_step(struct raft *r, uint64_t now)
{
	if (now > r->now)
		r->now = now;
	raft_membership_forget(r);
	r->dirty = false;
	r->truncate = 0;
	r->runs.count = 0;
	r->holes.count = 0;
	r->mend.first = 0;
	r->actions.count = 0;
	r->sent.count = 0;
}

static void report_commit(struct raft *r)
{
	uint64_t index = r->commit < r->durable ? r->commit : r->durable;
	if (index > r->reported) {
		r->reported = index;
		raft_act(r, RAFT_COMMITTED)->index = index;
	}
}

static void report_role(struct raft *r)
{
	struct raft_status s;
	raft_status(r, &s);
	const struct raft_status *old = &r->shown;
	if (s.role == old->role && s.serving == old->serving && s.term == old->term &&
	    s.gone == old->gone && raft_id_eq(s.leader, old->leader) &&
	    s.config_index == old->config_index)
		return;
	r->shown = s;
	raft_act(r, RAFT_ROLE);
}

/* The step's STORE comes first: nothing that it changed is visible without it. */
static void end_step(struct raft *r)
{
	report_commit(r);
	report_role(r);
	if (!r->dirty)
		return;
	raft_push(&r->pending, ((struct raft_pending){r->seq, r->last}));
	raft_act(r, RAFT_STORE);
	memmove(r->actions.items + 1, r->actions.items,
	    (r->actions.count - 1) * sizeof(*r->actions.items));
	struct raft_place cover = r->cover;
	if (RMQ_VARIANT(HOLE_BEFORE_COVER) && r->holes.count > 0)
		cover = r->shown.cover;
	r->actions.items[0] = (struct raft_action){
	    .type = RAFT_STORE,
	    .store =
		{
		    .seq = r->seq,
		    .term = r->term,
		    .vote = raft_election_vote(r),
		    .commit = r->commit,
		    .cover = cover,
		    .truncate = r->truncate,
		    .runs = r->runs.items,
		    .run_count = (unsigned)r->runs.count,
		    .holes = r->holes.items,
		    .hole_count = (unsigned)r->holes.count,
		    .mend = r->mend.first > 0 ? &r->mend : NULL,
		},
	};
}

static void on_stored(struct raft *r, uint64_t seq)
{
	size_t n = 0;
	while (n < r->pending.count && r->pending.items[n].seq <= seq) {
		if (r->pending.items[n].last > r->durable)
			r->durable = r->pending.items[n].last;
		n++;
	}
	if (n == 0)
		return;
	r->stored = r->pending.items[n - 1].seq;
	memmove(r->pending.items, r->pending.items + n,
	    (r->pending.count - n) * sizeof(*r->pending.items));
	r->pending.count -= n;
	raft_election_stored(r);
	raft_replication_stored(r);
}

static void on_message(struct raft *r, const struct raft_message *m)
{
	if (!raft_id_eq(m->to, r->id) || raft_id_eq(m->from, r->id))
		return;
	switch (m->type) {
	case RAFT_APPEND:
		raft_replication_append(r, m);
		break;
	case RAFT_APPENDED:
		raft_replication_appended(r, m);
		break;
	case RAFT_REMOVED:
		raft_membership_removed(r, m);
		break;
	default:
		raft_election_message(r, m);
	}
}

/* Of disks that are no mere copies. */
static void on_forgetting(struct raft *r, const struct raft_event *e)
{
	if (e->type == RAFT_EVENT_FORGOT)
		raft_election_forgot(r, e->term);
	else
		raft_election_let_in(r, e->id, e->term);
}

static enum rmq_error dispatch(struct raft *r, const struct raft_event *e)
{
	switch (e->type) {
	case RAFT_EVENT_TICK:
		break;
	case RAFT_EVENT_MESSAGE:
		on_message(r, e->message);
		break;
	case RAFT_EVENT_STORED:
		on_stored(r, e->seq);
		break;
	case RAFT_EVENT_READ:
		return raft_replication_read(r, e);
	case RAFT_EVENT_PROPOSE:
		return raft_replication_propose(r, e);
	case RAFT_EVENT_NOOP:
		return raft_replication_noop(r);
	case RAFT_EVENT_HOLE:
		return raft_replication_hole(r, e);
	case RAFT_EVENT_DIED:
		return raft_replication_died(r, e);
	case RAFT_EVENT_MEND:
		return raft_replication_mend(r, e);
	case RAFT_EVENT_BARRIER:
		return raft_replication_barrier(r, e->seq);
	case RAFT_EVENT_ADMIT:
	case RAFT_EVENT_ADD_LEARNER:
	case RAFT_EVENT_PROMOTE:
	case RAFT_EVENT_REMOVE:
	case RAFT_EVENT_REPLACE:
	case RAFT_EVENT_MARK:
		return raft_membership_event(r, e);
	case RAFT_EVENT_TRANSFER:
		return raft_replication_transfer(r, e->id);
	case RAFT_EVENT_RESET:
		raft_election_reset(r, e->id);
		break;
	case RAFT_EVENT_ABSTAIN:
	case RAFT_EVENT_STAND:
		raft_election_abstain(r, e->type == RAFT_EVENT_ABSTAIN);
		break;
	case RAFT_EVENT_FORGOT:
	case RAFT_EVENT_LET_IN:
		if (!raft_has_sole(r))
			on_forgetting(r, e);
		break;
	case RAFT_EVENT_LOST:
		raft_replication_lost(r, e->id);
		break;
	case RAFT_EVENT_HEARD:
		raft_replication_heard(r, e->id);
		break;
	case RAFT_EVENT_AGAIN:
		raft_replication_again(r);
		break;
	case RAFT_EVENT_ADOPT:
		return raft_membership_adopts(r, e->member);
	}
	return RMQ_E_OK;
}

enum rmq_error raft_step(struct raft *r, const struct raft_event *e, uint64_t now_ms,
    const struct raft_action **actions, size_t *count)
{
	begin_step(r, now_ms);
	enum rmq_error error = dispatch(r, e);
	raft_election_tick(r);
	raft_replication_tick(r);
	raft_replication_go_on(r);
	end_step(r);
	*actions = r->actions.items;
	*count = r->actions.count;
	return error;
}

uint64_t raft_due(const struct raft *r)
{
	if (r->role != RAFT_LEADER)
		return r->election_at;
	return r->heartbeat_at < r->quorum_at ? r->heartbeat_at : r->quorum_at;
}

void raft_status(const struct raft *r, struct raft_status *s)
{
	const struct raft_change *committed = raft_membership_newest_committed(r);

	*s = (struct raft_status){
	    .role = r->role,
	    .serving = raft_replication_serving(r),
	    .gone = r->gone,
	    .abstains = r->abstains,
	    .forgot = r->forgot,
	    .changed = r->forgot && !raft_election_same_members(r),
	    .term = r->term,
	    .kept = raft_replication_kept(r),
	    .begun = r->begun,
	    .commit = r->commit,
	    .last = {r->last, raft_term_at(r, r->last)},
	    .cover = r->cover,
	    .vote = r->vote,
	    .leader = raft_is_sole(r, r->leader) ? (struct raft_id){{0}} : r->leader,
	    .received = raft_replication_received(r),
	    .config_index = raft_membership_index(r),
	    .config = raft_membership_now(r),
	    .committed_index = committed ? committed->index : 0,
	    .committed = committed ? committed->config : NULL,
	};
}

bool raft_peer_status(const struct raft *r, struct raft_id id, struct raft_peer_status *s)
{
	*s = (struct raft_peer_status){0};
	for (unsigned i = 0; r->role == RAFT_LEADER && i < r->peer_count; i++) {
		const struct raft_peer *p = &r->peers[i];
		if (!raft_id_eq(p->id, id))
			continue;
		bool self = raft_id_eq(id, r->id);
		*s = (struct raft_peer_status){
		    .match = self ? r->durable : p->match,
		    .heard_at = self ? r->now : p->heard,
		    .flights = p->flight_count,
		    .flying = p->flying,
		    .level = self || raft_replication_level(r, p),
		};
		return true;
	}
	return false;
}

struct raft *raft_new(const struct raft_begin *b, uint64_t now_ms)
{
	struct raft *r = memory_new(sizeof(*r));
	r->id = b->id;
	r->sole = b->sole_voter;
	r->election_ms = b->election_ms;
	r->heartbeat_ms = b->heartbeat_ms;
	r->random = b->seed;
	r->now = now_ms;
	r->term = b->term;
	uint64_t begun_index;
	r->forgot = raft_id_forgot(b->vote, &begun_index);
	r->vote = r->forgot ? (struct raft_id){{0}} : b->vote;
	r->forgot &= !raft_has_sole(r);
	r->forgot_term = b->term;
	r->commit = b->commit;
	r->cover = b->cover;
	r->last = r->durable = b->last;
	for (size_t i = 0; i < b->term_count; i++)
		raft_push(&r->terms, b->terms[i]);
	for (size_t i = 0; i < b->config_count; i++)
		raft_membership_append(r, b->configs[i].first, b->configs[i].config);
	raft_membership_committed(r, 0);
	r->actions.count = 0;
	raft_membership_peers(r);
	r->begun = raft_replication_begun(r);
	r->begun_index = r->forgot ? begun_index : raft_membership_index(r);
	raft_election_begin(r);
	raft_status(r, &r->shown);
	return r;
}

void raft_free(struct raft *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->changes.count; i++)
		free(r->changes.items[i].config);
	free(r->changes.items);
	free(r->terms.items);
	free(r->pending.items);
	free(r->let_in.items);
	free(r->runs.items);
	free(r->holes.items);
	free(r->actions.items);
	free(r->sent.items);
	free(r);
}
