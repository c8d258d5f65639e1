/*
 * Elections [3.4, 6.2, 9.6]: who may lead, and when to ask.
 *
 * An election is pre-vote, then vote.  The term rises only when a majority would vote, so
 * a node that was cut off disturbs no one when it is back.
 */
#include "core/raft/raft_state.h"

/* Some time from now on, between ms and twice that. */
static void ask_after(struct raft *r, uint32_t ms)
{
	r->election_at = r->now + ms + raft_random(r, (uint64_t)ms + 1);
}

static bool soon(const struct raft *r)
{
	return r->now < r->soon_until;
}

void raft_election_delay(struct raft *r)
{
	ask_after(r, soon(r) ? r->heartbeat_ms / 4 + 1 : r->election_ms);
}

static bool is_self(const struct raft *r, const struct raft_peer *p)
{
	return raft_id_eq(p->id, r->id);
}

void raft_election_begin(struct raft *r)
{
	raft_election_delay(r);
	/* It knows whether somebody leads. */
	if (raft_has_sole(r)) {
		r->election_at = r->now;
		return;
	}
	/* A directory that holds nothing can have forgotten nothing. */
	if (r->term > 0 || r->last > 0)
		r->new_until = r->now + RAFT_NEW_TIMEOUTS * r->election_ms;
	if (raft_membership_may_lead(r) && raft_membership_majority(r, is_self))
		r->election_at = r->now;
}

/* NULL: it has not let this process in. */
static const struct raft_let_in *let_in(const struct raft *r, struct raft_id id)
{
	for (size_t i = 0; i < r->let_in.count; i++) {
		if (raft_id_eq(r->let_in.items[i].id, id))
			return &r->let_in.items[i];
	}
	return NULL;
}

/* Whether somebody may still say that this node's disk has forgotten what it had stored. */
static bool is_new(const struct raft *r)
{
	if (r->now >= r->new_until || RMQ_VARIANT(NEW_VOTES))
		return false;
	for (unsigned i = 0; i < r->peer_count; i++) {
		const struct raft_peer *p = &r->peers[i];
		if (!is_self(r, p) && !let_in(r, p->id) && raft_membership_voter(r, p->id))
			return true;
	}
	return false;
}

/* A change of term or role forgets everything that was computed for the old one. */
void raft_election_follow(struct raft *r, uint64_t term, struct raft_id leader)
{
	if (term > r->term) {
		r->term = term;
		r->vote = (struct raft_id){{0}};
		r->term_seq = raft_dirty(r);
		r->verified = r->round = r->refused.index = 0;
		r->fed = false;
	}
	if (r->role != RAFT_FOLLOWER)
		raft_election_delay(r);
	r->role = RAFT_FOLLOWER;
	r->leader = leader;
	r->voted = r->transferee = (struct raft_id){{0}};
	r->barrier = r->barrier_waiting = 0;
}

static bool granted(const struct raft *r, const struct raft_peer *p)
{
	(void)r;
	return p->granted;
}

/* Our log's last record is behind this one's or the same. */
static bool up_to_date(const struct raft *r, struct raft_place last)
{
	uint64_t term = raft_term_at(r, r->last);
	return last.term > term || (last.term == term && last.index >= r->last);
}

static void ask(struct raft *r, enum raft_message_type type, uint64_t term)
{
	for (unsigned i = 0; i < r->peer_count; i++) {
		struct raft_peer *p = &r->peers[i];
		p->granted = raft_id_eq(p->id, r->id);
		if (p->granted || !raft_membership_voter(r, p->id))
			continue;
		struct raft_message *m = raft_send(r, type, p->id);
		m->term = term;
		m->place = (struct raft_place){r->last, raft_term_at(r, r->last)};
	}
}

/* The vote for ourselves is a vote: it counts, and is told, once it is durable. */
static void campaign(struct raft *r)
{
	r->role = RAFT_CANDIDATE;
	r->leader = (struct raft_id){{0}};
	r->verified = r->round = r->refused.index = 0;
	r->term++;
	r->vote = r->id;
	r->term_seq = r->vote_seq = raft_dirty(r);
	r->voted = r->id;
	for (unsigned i = 0; i < r->peer_count; i++)
		r->peers[i].granted = false;
	ask_after(r, soon(r) ? r->heartbeat_ms : r->election_ms);
}

/* Whether this node stands for election at all. */
static bool stands(const struct raft *r)
{
	return !r->gone && !r->forgot && !is_new(r) &&
	       (!r->abstains || RMQ_VARIANT(ABSTAIN_CAMPAIGNS));
}

static bool votes(const struct raft *r)
{
	return (!r->forgot || RMQ_VARIANT(FORGOTTEN_VOTES)) && !is_new(r);
}

static void precampaign(struct raft *r)
{
	raft_election_delay(r);
	/* Who may not stand does not hear of this leader any more, either. */
	if (!RMQ_VARIANT(LEADER_KEPT))
		r->leader = (struct raft_id){{0}};
	if (!stands(r) || !raft_membership_may_lead(r))
		return;
	r->role = RAFT_PRECANDIDATE;
	r->voted = r->leader = (struct raft_id){{0}};
	ask(r, RAFT_PREVOTE, r->term + 1);
	if (raft_membership_majority(r, granted))
		campaign(r);
}

static bool recent(const struct raft *r, const struct raft_peer *p)
{
	return is_self(r, p) || r->now - p->heard < r->election_ms;
}

bool raft_election_same_members(const struct raft *r)
{
	return raft_membership_index(r) == r->begun_index;
}

/*
 * Whether all votes that this node has forgotten were for terms before this one.  Members that
 * came or went meanwhile may hold one, and not be among those that let it in.
 */
static bool votes_are_old(const struct raft *r)
{
	if (RMQ_VARIANT(FORGOTTEN_UNTOLD))
		return true;
	for (unsigned i = 0; i < r->peer_count; i++) {
		const struct raft_let_in *told = let_in(r, r->peers[i].id);
		if (!is_self(r, &r->peers[i]) && (!told || told->term >= r->term))
			return false;
	}
	return r->term > r->forgot_term && raft_election_same_members(r);
}

/* Whether this node holds all that the leader had when it was elected. */
static bool is_filled(const struct raft *r)
{
	uint64_t has = r->verified < r->durable ? r->verified : r->durable;

	return !raft_id_none(r->leader) &&
	       (raft_term_at(r, has) == r->term || RMQ_VARIANT(FORGOTTEN_UNFILLED));
}

void raft_election_tick(struct raft *r)
{
	if (r->forgot && is_filled(r) && votes_are_old(r)) {
		r->forgot = false;
		/* Else it would be told again that it has, when a link is made anew. */
		if (!RMQ_VARIANT(HEALED_FORGETS))
			r->begun = raft_replication_kept(r);
		/* In this term there is none for anybody else. */
		r->vote = r->id;
		raft_dirty(r);
	}
	if (r->role != RAFT_LEADER) {
		if (r->now >= r->election_at)
			precampaign(r);
	} else if (r->now >= r->quorum_at) {
		r->quorum_at = r->now + r->election_ms / 2;
		if (!raft_membership_majority(r, recent))
			raft_election_follow(r, r->term, (struct raft_id){{0}});
	}
}

void raft_election_stored(struct raft *r)
{
	if (raft_id_none(r->voted) || r->stored < r->vote_seq)
		return;
	struct raft_id to = r->voted;
	r->voted = (struct raft_id){{0}};
	if (!raft_id_eq(to, r->id)) {
		raft_send(r, RAFT_VOTED, to)->ok = true;
		return;
	}
	ask(r, RAFT_VOTE, r->term);
	if (raft_membership_majority(r, granted))
		raft_replication_lead(r);
}

static void on_prevote(struct raft *r, const struct raft_message *m)
{
	/* It leads no more: who asks for a newer term did so after it had led in this one. */
	if (r->role == RAFT_FOLLOWER && m->term > r->term && raft_id_eq(m->from, r->leader) &&
	    !RMQ_VARIANT(LEADER_WAITED_FOR)) {
		r->leader = (struct raft_id){{0}};
		r->heard = 0;
	}
	bool quiet =
	    r->role != RAFT_LEADER && (!r->heard || r->now - r->heard >= r->election_ms);
	bool ok = votes(r) && quiet && m->term > r->term && up_to_date(r, m->place);
	struct raft_message *answer = raft_send(r, RAFT_PREVOTED, m->from);
	answer->ok = ok;
	answer->term = ok ? m->term : r->term;
	/* Not against who will ask for the vote at once. */
	if (ok && soon(r) && r->election_at < r->now + r->heartbeat_ms)
		ask_after(r, r->heartbeat_ms);
}

static void on_vote(struct raft *r, const struct raft_message *m)
{
	bool ok = votes(r) && m->term == r->term && up_to_date(r, m->place) &&
		  (raft_id_none(r->vote) || raft_id_eq(r->vote, m->from));
	if (!ok) {
		/* Says no more than that this term is known, which may be told at once. */
		if (r->stored >= r->term_seq)
			raft_send(r, RAFT_VOTED, m->from);
		return;
	}
	r->soon_until = 0;
	raft_election_delay(r);
	r->role = RAFT_FOLLOWER;
	if (raft_id_none(r->vote)) {
		r->vote = m->from;
		r->vote_seq = raft_dirty(r);
	}
	if (RMQ_VARIANT(VOTE_EARLY))
		r->vote_seq = r->stored;
	r->voted = m->from;
	raft_election_stored(r);
}

static void on_answer(struct raft *r, const struct raft_message *m, enum raft_role role)
{
	struct raft_peer *p = raft_peer(r, m->from);
	uint64_t term = role == RAFT_PRECANDIDATE ? r->term + 1 : r->term;
	if (!p || !m->ok || r->role != role || m->term != term)
		return;
	/* The vote for ourselves is not durable yet: no one was asked in this term. */
	if (role == RAFT_CANDIDATE && !raft_id_none(r->voted))
		return;
	p->granted = true;
	if (!raft_membership_majority(r, granted))
		return;
	if (role == RAFT_PRECANDIDATE)
		campaign(r);
	else
		raft_replication_lead(r);
}

/* Whoever asks without being a member is told so by a leader that knows for certain. */
static bool tell_stranger(struct raft *r, const struct raft_message *m)
{
	if (!raft_replication_serving(r) || raft_membership_index(r) > r->commit ||
	    raft_peer(r, m->from))
		return false;
	raft_send(r, RAFT_REMOVED, m->from)->place.index = raft_membership_index(r);
	return true;
}

void raft_election_message(struct raft *r, const struct raft_message *m)
{
	struct raft_id none = {{0}};
	bool hypothetical = m->type == RAFT_PREVOTE || (m->type == RAFT_PREVOTED && m->ok);
	if ((m->type == RAFT_PREVOTE || m->type == RAFT_VOTE) &&
	    (raft_has_sole(r) || tell_stranger(r, m)))
		return;
	if (m->term > r->term && !hypothetical)
		raft_election_follow(r, m->term, none);
	switch (m->type) {
	case RAFT_PREVOTE:
		on_prevote(r, m);
		break;
	case RAFT_VOTE:
		on_vote(r, m);
		break;
	case RAFT_PREVOTED:
		on_answer(r, m, RAFT_PRECANDIDATE);
		break;
	case RAFT_VOTED:
		on_answer(r, m, RAFT_CANDIDATE);
		break;
	case RAFT_TIMEOUT_NOW:
		if (m->term == r->term && raft_id_eq(m->from, r->leader) && stands(r) &&
		    r->role == RAFT_FOLLOWER && raft_membership_stands(r, r->id))
			campaign(r);
		break;
	default:
		break;
	}
}

/*
 * The leader's connection was lost.  When it died others notice at nearly this time: the
 * first asks, or the second when that was too early for the others.
 */
void raft_election_reset(struct raft *r, struct raft_id id)
{
	struct raft_peer *p = raft_peer(r, id);
	if (raft_is_sole(r, id)) {
		if (r->role != RAFT_FOLLOWER)
			raft_election_follow(r, r->term, (struct raft_id){{0}});
	} else if (r->role == RAFT_LEADER) {
		if (p)
			raft_replication_reset(r, p);
	} else if (raft_id_eq(r->leader, id)) {
		r->leader = (struct raft_id){{0}};
		r->heard = 0;
		r->soon_until = r->now + r->election_ms;
		r->election_at = r->now + raft_random(r, (uint64_t)r->heartbeat_ms + 1);
	}
}

/* A candidate gives up as well: no vote for it counts any more. */
void raft_election_abstain(struct raft *r, bool abstains)
{
	r->abstains = abstains;
	if (abstains && r->role != RAFT_FOLLOWER)
		raft_election_follow(r, r->term, (struct raft_id){{0}});
}

/* Of an older term than a peer's: what a leader of the past wants acknowledged is not. */
static void take_over(struct raft *r, uint64_t term)
{
	if (term > r->term && !RMQ_VARIANT(FORGOTTEN_ACKS))
		raft_election_follow(r, term, (struct raft_id){{0}});
}

/* A vote that is not durable yet is not told any more. */
void raft_election_forgot(struct raft *r, uint64_t term)
{
	if (!r->forgot)
		raft_dirty(r);
	r->forgot = true;
	if (r->role != RAFT_FOLLOWER)
		raft_election_follow(r, r->term, (struct raft_id){{0}});
	r->voted = (struct raft_id){{0}};
	take_over(r, term);
	r->forgot_term = r->term;
}

struct raft_id raft_election_vote(const struct raft *r)
{
	if (r->forgot && !RMQ_VARIANT(FORGOT_UNSTORED))
		return raft_id_of_forgot(r->begun_index);
	return RMQ_VARIANT(VOTE_FORGOTTEN) ? (struct raft_id){{0}} : r->vote;
}

/* It may have got a vote of this node in any term up to then, and asks for none in an older one. */
void raft_election_let_in(struct raft *r, struct raft_id id, uint64_t term)
{
	if (!let_in(r, id))
		raft_push(&r->let_in, ((struct raft_let_in){id, term}));
	take_over(r, term);
}
