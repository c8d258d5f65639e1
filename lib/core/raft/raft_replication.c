/*
 * Replication [3.5, 3.6, 10.2]: the leader's log to its peers, and what is committed.
 *
 * A peer is probed one record at a time until its log is known to match, then records
 * stream to it, bounded by bytes and messages in flight.  Heartbeats carry no records
 * and compare what is known to match, so they are never refused; what they bring back is
 * how far the peer is durable.
 */
#include "core/raft/raft_state.h"

#define PROBE_BYTES RECORD_FILL
/* A peer that takes nothing is asked after 1, 2, 4, … of these many election timeouts. */
#define PATIENCE_MAX 32
/*
 * Bytes are word of the leader for so many election timeouts after its last whole message.  A link has
 * as much under way as it carries in one (see Flow), and a record of any size: one that carries a
 * fifth of the largest in an election timeout is still well.  The bytes of a leader that is not may
 * come for ever.
 */
#define HEARD_MAX 6

bool raft_replication_serving(const struct raft *r)
{
	return r->role == RAFT_LEADER && r->commit >= r->noop && raft_id_none(r->transferee);
}

/* Begins anew with this peer: what it is known to hold stays known. */
static void begin_anew(struct raft *r, struct raft_peer *p)
{
	p->probing = true;
	p->waiting = p->reading = false;
	p->flying = p->travelling = 0;
	p->flight_count = p->arrived = 0;
	p->moved = r->now;
	if (p->match > 0)
		p->next = p->match + 1;
}

/* The same, over a connection of which nothing is known. */
void raft_replication_reset(struct raft *r, struct raft_peer *p)
{
	begin_anew(r, p);
	p->patience_ms = r->election_ms;
	p->window = RAFT_LINK_BYTES;
}

/* What it has acknowledged in this term has been counted, and nobody is elected without it. */
void raft_replication_lost(struct raft *r, struct raft_id id)
{
	struct raft_peer *p = raft_peer(r, id);
	if (r->role != RAFT_LEADER || !p || raft_id_eq(id, r->id) || raft_is_sole(r, id) ||
	    RMQ_VARIANT(LOST_COUNTED))
		return;
	p->match = p->received = p->level_at = 0;
	p->goal = r->commit;
	p->goal_at = r->now;
	/* It says where to go on, also if nothing new comes. */
	p->next = r->last;
	raft_replication_reset(r, p);
}

static void append_noop(struct raft *r)
{
	raft_append(r, &(struct raft_run){.term = r->term, .count = 1, .kind = RECORD_NOOP});
}

void raft_replication_lead(struct raft *r)
{
	r->role = RAFT_LEADER;
	r->leader = r->id;
	r->transferee = (struct raft_id){{0}};
	for (unsigned i = 0; i < r->peer_count; i++) {
		struct raft_peer *p = &r->peers[i];
		p->match = p->received = p->round = p->level_at = 0;
		p->goal = r->commit;
		p->goal_at = r->now;
		p->next = r->last + 1;
		p->heard = r->now;
		raft_replication_reset(r, p);
	}
	r->round = r->barrier = r->barrier_waiting = 0;
	r->heartbeat_at = r->now;
	r->quorum_at = r->now + r->election_ms;
	r->noop = RMQ_VARIANT(NO_NOOP) ? 0 : r->last + 1;
	if (!RMQ_VARIANT(NO_NOOP))
		append_noop(r);
	if (r->adopts)
		raft_membership_adopt(r);
}

/* ---- leader: sending ---- */

static struct raft_message *send_append(struct raft *r, struct raft_peer *p, uint64_t prev)
{
	struct raft_message *m = raft_send(r, RAFT_APPEND, p->id);
	m->place = (struct raft_place){prev, raft_term_at(r, prev)};
	m->round = r->round;
	m->commit = r->commit;
	m->cover = r->cover;
	return m;
}

/* The last record that this peer may be sent. */
static uint64_t last_for(const struct raft *r, const struct raft_peer *p)
{
	bool all = raft_membership_voter(r, p->id) || RMQ_VARIANT(LEARNER_AHEAD);
	return all ? r->last : r->commit;
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static void want_records(struct raft *r, struct raft_peer *p)
{
	bool fits = p->flying < RAFT_WINDOW_BYTES && p->travelling < p->window &&
		    p->flight_count < RAFT_WINDOW;
	bool room = p->probing ? !p->waiting : fits;
	if (raft_id_eq(p->id, r->id) || p->reading || !room || p->next > last_for(r, p))
		return;
	if (p->flight_count == 0)
		p->moved = r->now;
	p->reading = true;
	p->read_at = p->next;
	struct raft_action *a = raft_act(r, RAFT_READ);
	a->id = p->id;
	a->index = p->next;
	a->term = r->term;
	/* While one half of the window is acknowledged, the other one is under way. */
	uint32_t free = least(p->window - p->travelling, RAFT_WINDOW_BYTES - p->flying);
	a->bytes =
	    p->probing ? PROBE_BYTES : least(free, least(p->window / 2, RAFT_MESSAGE_BYTES));
}

/* Rule 3 of holes: a range is split where the term changes. */
static bool split_holes(struct raft *r, const struct raft_run *run)
{
	uint64_t first = run->first, end = first + run->count;
	if (end - 1 > r->last)
		return false;
	while (first < end && r->sent.count < RAFT_RUNS_MAX) {
		uint64_t stop = raft_term_end(r, first);
		if (stop > end || RMQ_VARIANT(HOLE_LAST_TERM))
			stop = end;
		raft_push(&r->sent, ((struct raft_run){.first = first,
					.term = raft_term_at(r, stop - 1),
					.count = (uint32_t)(stop - first),
					.kind = RAFT_HOLE}));
		first = stop;
	}
	return true;
}

enum rmq_error raft_replication_read(struct raft *r, const struct raft_event *e)
{
	struct raft_peer *p = raft_peer(r, e->id);
	if (!p || r->role != RAFT_LEADER || e->term != r->term || !p->reading ||
	    e->index != p->read_at)
		return RMQ_E_OK;
	p->reading = false;
	/* An answer of the peer has moved on what it needs. */
	if (e->index != p->next)
		return RMQ_E_OK;
	if (e->run_count == 0 || e->run_count > RAFT_RUNS_MAX)
		return RMQ_E_LIMIT;
	uint64_t at = e->index, last = last_for(r, p);
	uint32_t bytes = 0;
	for (unsigned i = 0; i < e->run_count && at <= last && r->sent.count < RAFT_RUNS_MAX;
	     i++) {
		struct raft_run run = e->runs[i];
		if (run.first != at || run.count == 0)
			return RMQ_E_PROTOCOL;
		if (run.kind == RAFT_HOLE) {
			if (!split_holes(r, &run))
				return RMQ_E_PROTOCOL;
		} else {
			run.term = raft_term_at(r, at);
			raft_push(&r->sent, run);
		}
		at += run.count;
		bytes += run.bytes;
	}
	struct raft_run *tail = &r->sent.items[r->sent.count - 1];
	struct raft_message *m = send_append(r, p, p->next - 1);
	m->runs = r->sent.items;
	m->run_count = (unsigned)r->sent.count;
	if (p->probing) {
		p->waiting = true;
		return RMQ_E_OK;
	}
	p->next = tail->first + tail->count;
	p->flying += bytes;
	p->travelling += bytes;
	p->flights[(p->flight_begin + p->flight_count++) % RAFT_WINDOW] =
	    (struct raft_flight){p->next - 1, r->now, bytes, p->travelling};
	return RMQ_E_OK;
}

/* Something is to be sent to this peer, or is sent, that it does not have. */
static bool under_way(const struct raft_peer *p)
{
	uint64_t last = 0;
	if (p->waiting)
		last = p->next;
	else if (p->flight_count > 0)
		last = p->flights[(p->flight_begin + p->flight_count - 1) % RAFT_WINDOW].last;
	return p->reading || p->received < last;
}

/*
 * What is under way to this peer is late or lost: not if the peer has it and only its disk is
 * slow.  A peer that takes nothing is left in peace longer and longer, or what is sent to it
 * again would pile up.
 */
static bool stalled(const struct raft *r, const struct raft_peer *p)
{
	return under_way(p) && r->now - p->moved >= p->patience_ms;
}

/* Where has the newest record come that was sent to it?  refused() hears if it is lost. */
static void ask(struct raft *r, struct raft_peer *p)
{
	p->reading = false;
	p->moved = r->now;
	if (p->patience_ms < PATIENCE_MAX * r->election_ms)
		p->patience_ms *= 2;
	if (RMQ_VARIANT(SENT_AGAIN))
		begin_anew(r, p);
	else if (p->waiting || p->flight_count > 0)
		send_append(r, p, p->waiting ? p->next : p->next - 1)->asks = true;
}

static void heartbeat(struct raft *r, struct raft_peer *p)
{
	if (raft_id_eq(p->id, r->id))
		return;
	send_append(r, p, p->match);
	if (stalled(r, p))
		ask(r, p);
}

void raft_replication_tick(struct raft *r)
{
	if (r->role != RAFT_LEADER)
		return;
	if (!raft_id_none(r->transferee) && r->now >= r->transfer_until)
		r->transferee = (struct raft_id){{0}};
	if (r->now < r->heartbeat_at)
		return;
	r->heartbeat_at = r->now + r->heartbeat_ms;
	for (unsigned i = 0; i < r->peer_count; i++)
		heartbeat(r, &r->peers[i]);
}

/* ---- leader: barriers ---- */

static bool answered(const struct raft *r, const struct raft_peer *p)
{
	return raft_id_eq(p->id, r->id) || p->round >= r->barrier_round;
}

/* Heartbeats repeat it: they say the newest round as well. */
static void begin_round(struct raft *r)
{
	r->barrier = r->barrier_waiting;
	r->barrier_waiting = 0;
	r->barrier_round = ++r->round;
	for (unsigned i = 0; i < r->peer_count; i++) {
		if (!raft_id_eq(r->peers[i].id, r->id))
			send_append(r, &r->peers[i], r->peers[i].match);
	}
}

static void end_rounds(struct raft *r)
{
	while (r->barrier &&
	       (raft_membership_majority(r, answered) || RMQ_VARIANT(BARRIER_WITHOUT_ROUND))) {
		raft_act(r, RAFT_BARRIER_DONE)->seq = r->barrier;
		r->barrier = 0;
		if (r->barrier_waiting)
			begin_round(r);
	}
}

enum rmq_error raft_replication_barrier(struct raft *r, uint64_t seq)
{
	if (!raft_replication_serving(r))
		return RMQ_E_BUSY;
	r->barrier_waiting = seq;
	if (!r->barrier)
		begin_round(r);
	return RMQ_E_OK;
}

/* ---- leader: answers and commit ---- */

/*
 * What the link carries in an election timeout, as seen by this flight: all that was on the way
 * when it was sent has arrived since.  If it was less than the link can carry, that shows nothing.
 */
static void measure(
    struct raft *r, struct raft_peer *p, const struct raft_flight *f, uint32_t bytes)
{
	uint64_t ms = r->now - f->sent_at;
	uint64_t carries = (uint64_t)f->ahead * r->election_ms / (ms > 0 ? ms : 1);
	if (carries > RAFT_WINDOW_BYTES || RMQ_VARIANT(WINDOW_WIDE))
		carries = RAFT_WINDOW_BYTES;
	if (carries > p->window)
		p->window += least(bytes, (uint32_t)carries - p->window);
	else if (ms > r->election_ms)
		p->window = carries > RAFT_LINK_BYTES ? (uint32_t)carries : RAFT_LINK_BYTES;
}

/* The newest of the flights that have arrived since the last answer counts for all of them. */
static void arrived(struct raft *r, struct raft_peer *p)
{
	const struct raft_flight *newest = NULL;
	uint32_t bytes = 0;
	while (p->arrived < p->flight_count) {
		const struct raft_flight *f =
		    &p->flights[(p->flight_begin + p->arrived) % RAFT_WINDOW];
		if (f->last > p->received && f->last > p->match)
			break;
		newest = f;
		bytes += f->bytes;
		p->arrived++;
	}
	p->travelling -= bytes;
	if (newest)
		measure(r, p, newest, bytes);
}

/* That the peer is there does not end a probe: only that it took what was sent. */
static void acknowledged(struct raft *r, struct raft_peer *p, uint64_t index, uint64_t received)
{
	bool rose = index > p->match;
	if (rose)
		p->match = index;
	if (rose || received > p->received) {
		p->moved = r->now;
		p->patience_ms = r->election_ms;
	}
	/* No peer has received what was never sent. */
	p->received = received < r->last ? received : r->last;
	arrived(r, p);
	if (p->match >= p->goal) {
		p->level_at = p->goal_at;
		p->goal = r->commit;
		p->goal_at = r->now;
	}
	while (p->flight_count > 0 && p->flights[p->flight_begin].last <= p->match) {
		p->flying -= p->flights[p->flight_begin].bytes;
		p->flight_begin = (p->flight_begin + 1) % RAFT_WINDOW;
		p->flight_count--;
		p->arrived--;
	}
	if (p->next <= p->match)
		p->next = p->match + 1;
	if (p->probing && rose) {
		p->probing = p->waiting = false;
		p->next = p->match + 1;
	}
	if (raft_id_eq(p->id, r->transferee) && p->match == r->last)
		raft_send(r, RAFT_TIMEOUT_NOW, p->id);
}

bool raft_replication_level(const struct raft *r, const struct raft_peer *p)
{
	return p->level_at > 0 && r->now - p->level_at < r->election_ms;
}

/*
 * The peer's log may match at place or before: at the newest of our places there whose
 * term is not newer.
 */
static void refused(struct raft *r, struct raft_peer *p, struct raft_place place)
{
	uint64_t at = raft_term_last(r, place.term);
	if (at > place.index)
		at = place.index;
	if (at < p->match)
		at = p->match;
	/* A probe that it did not take may be what it asks for. */
	if (at + 1 > p->next || (at + 1 == p->next && !p->waiting))
		return;
	begin_anew(r, p);
	p->next = at + 1;
}

void raft_replication_appended(struct raft *r, const struct raft_message *m)
{
	if (m->term > r->term)
		raft_election_follow(r, m->term, (struct raft_id){{0}});
	struct raft_peer *p = raft_peer(r, m->from);
	if (!p || r->role != RAFT_LEADER || m->term != r->term)
		return;
	bool back = r->now - p->heard >= r->election_ms;
	p->heard = r->now;
	if (m->round > p->round)
		p->round = m->round;
	if (!m->ok) {
		refused(r, p, m->place);
	} else if (m->place.index <= r->last) {
		acknowledged(r, p, m->place.index, m->received);
	}
	/* Now it takes what it did not. */
	if (back && under_way(p)) {
		p->patience_ms = r->election_ms;
		ask(r, p);
	}
}

/* What this peer holds, durably. */
static uint64_t held_by(const struct raft *r, const struct raft_peer *p)
{
	return raft_id_eq(p->id, r->id) ? r->durable : p->match;
}

/* Its disk may be slow; what counts is that it was reached. */
static uint64_t received_by(const struct raft *r, const struct raft_peer *p)
{
	if (raft_id_eq(p->id, r->id) || !under_way(p))
		return r->last;
	return p->received > p->match ? p->received : p->match;
}

/* The highest index that a majority of voters has, each as far as it has. */
static uint64_t median(
    const struct raft *r, uint64_t (*has)(const struct raft *r, const struct raft_peer *p))
{
	uint64_t sorted[RAFT_MEMBERS_MAX];
	unsigned n = 0;
	for (unsigned i = 0; i < r->peer_count; i++) {
		const struct raft_peer *p = &r->peers[i];
		if (!raft_membership_voter(r, p->id))
			continue;
		uint64_t index = has(r, p);
		unsigned at = n++;
		for (; at > 0 && sorted[at - 1] < index; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = index;
	}
	return n ? sorted[n / 2] : 0;
}

uint64_t raft_replication_received(const struct raft *r)
{
	return r->role == RAFT_LEADER ? median(r, received_by) : 0;
}

static void commit(struct raft *r, uint64_t index)
{
	uint64_t before = r->commit;
	if (index <= before)
		return;
	r->commit = index;
	raft_membership_committed(r, before);
}

void raft_replication_go_on(struct raft *r)
{
	if (r->role != RAFT_LEADER)
		return;
	uint64_t index = median(r, held_by);
	if (raft_term_at(r, index) == r->term || RMQ_VARIANT(NO_NOOP) ||
	    RMQ_VARIANT(COMMIT_OLD_TERM))
		commit(r, index);
	if (r->role == RAFT_LEADER)
		end_rounds(r);
	for (unsigned i = 0; r->role == RAFT_LEADER && i < r->peer_count; i++)
		want_records(r, &r->peers[i]);
}

/* ---- follower ---- */

/* What is durable here and was compared with the leader's log in this term. */
static uint64_t compared(const struct raft *r)
{
	return r->verified < r->durable ? r->verified : r->durable;
}

/* Up to an index, if the record there was made in this term. */
static struct raft_place made(const struct raft *r, uint64_t index)
{
	bool is = raft_term_at(r, index) == r->term || RMQ_VARIANT(TAIL_COUNTS);
	return (struct raft_place){is ? index : 0, r->term};
}

struct raft_place raft_replication_kept(const struct raft *r)
{
	if (r->stored < r->term_seq)
		return (struct raft_place){0, 0};
	return made(r, r->role == RAFT_LEADER ? r->durable : compared(r));
}

struct raft_place raft_replication_begun(const struct raft *r)
{
	return made(r, r->last);
}

static void answer(struct raft *r)
{
	if (raft_id_none(r->leader) || r->role != RAFT_FOLLOWER)
		return;
	if (r->stored < r->term_seq && !RMQ_VARIANT(ACK_EARLY))
		return;
	uint64_t index = compared(r);
	if (RMQ_VARIANT(ACK_EARLY))
		index = r->verified;
	if (RMQ_VARIANT(ACK_UNVERIFIED))
		index = r->durable;
	struct raft_message *m = raft_send(r, RAFT_APPENDED, r->leader);
	m->ok = true;
	m->place.index = index;
	m->received = r->verified;
	m->round = r->round;
}

/* What may not be said yet is said when the term is durable. */
static void refuse(struct raft *r, struct raft_place prev)
{
	r->refused = prev;
	if (r->stored < r->term_seq)
		return;
	r->refused.index = 0;
	uint64_t at = prev.index - 1 < r->last ? prev.index - 1 : r->last;
	struct raft_message *m = raft_send(r, RAFT_APPENDED, r->leader);
	m->place = (struct raft_place){at, raft_term_at(r, at)};
	m->round = r->round;
}

/* It does not stand for election, nor does the leader step down, while records come. */
void raft_replication_heard(struct raft *r, struct raft_id peer)
{
	uint64_t until = r->appended + HEARD_MAX * (uint64_t)r->election_ms;
	if (r->role != RAFT_FOLLOWER || !raft_id_eq(r->leader, peer) ||
	    RMQ_VARIANT(RECORDS_UNHEARD))
		return;
	if (r->now >= until && !RMQ_VARIANT(HEARD_FOR_EVER))
		return;
	raft_election_delay(r);
	r->heard = r->now;
	answer(r);
}

/* As if it were sent what comes later: the leader looks where to go on. */
void raft_replication_again(struct raft *r)
{
	if (r->role == RAFT_FOLLOWER && !raft_id_none(r->leader))
		refuse(r, (struct raft_place){r->verified + 1, 0});
}

void raft_replication_stored(struct raft *r)
{
	if (r->refused.index && !raft_id_none(r->leader) && r->role == RAFT_FOLLOWER)
		refuse(r, r->refused);
	answer(r);
}

/* One run of a message, of which some may be here already.  false: it cannot be. */
static bool take_run(struct raft *r, const struct raft_run *run)
{
	uint64_t at = run->first, end = run->first + run->count;
	while (at < end && at <= r->last) {
		bool same = raft_term_at(r, at) == run->term;
		if (!same && RMQ_VARIANT(HOLE_UNCHECKED) && run->kind == RAFT_HOLE)
			same = true;
		if (!same) {
			if (at <= r->commit)
				return false;
			raft_truncate(r, at);
			break;
		}
		uint64_t stop = raft_term_end(r, at);
		at = stop < end ? stop : end;
	}
	if (at == end)
		return true;
	struct raft_run rest = *run;
	rest.count = (uint32_t)(end - at);
	raft_append(r, &rest);
	return true;
}

/* Runs follow each other from place on, and holes lie at or below the leader's commit. */
static bool well_formed(const struct raft_message *m)
{
	uint64_t at = m->place.index + 1;
	for (unsigned i = 0; i < m->run_count; i++) {
		const struct raft_run *run = &m->runs[i];
		bool hole = run->kind == RAFT_HOLE;
		if (run->first != at || run->count == 0 || (!hole && run->count != 1) ||
		    run->term == 0 || run->term > m->term ||
		    (run->kind == RECORD_CONFIG && !run->config))
			return false;
		at += run->count;
		if (hole && at - 1 > m->commit && !RMQ_VARIANT(HOLE_AT_APPEND_LEADER))
			return false;
	}
	return true;
}

static void take_commit(struct raft *r, const struct raft_message *m, uint64_t end)
{
	if (RMQ_VARIANT(COMMIT_UNCLAMPED))
		end = r->last;
	commit(r, m->commit < end ? m->commit : end);
	if (m->cover.index > r->cover.index) {
		r->cover = m->cover;
		raft_dirty(r);
	}
}

/*
 * The sole voter may have lost again what nobody has counted, and a leader's log need not hold it: what is
 * known to be in that is what is committed.
 */
static void whom_it_compares(struct raft *r, struct raft_id from)
{
	bool sole = raft_is_sole(r, from);
	if (!sole && r->fed && r->verified > r->commit && !RMQ_VARIANT(FED_IS_VERIFIED))
		r->verified = r->commit;
	r->fed = sole;
}

void raft_replication_append(struct raft *r, const struct raft_message *m)
{
	if (m->term < r->term) {
		/* Tells a leader of the past of the new term. */
		if (r->stored >= r->term_seq)
			raft_send(r, RAFT_APPENDED, m->from);
		return;
	}
	if (!well_formed(m) || (r->role == RAFT_LEADER && m->term == r->term))
		return;
	/* What the leader sends is newer. */
	if (raft_is_sole(r, m->from) && m->term == r->term && !raft_id_none(r->leader) &&
	    !raft_is_sole(r, r->leader))
		return;
	raft_election_follow(r, m->term, m->from);
	whom_it_compares(r, m->from);
	r->soon_until = 0;
	raft_election_delay(r);
	r->heard = r->appended = r->now;
	if (m->round > r->round)
		r->round = m->round;
	const struct raft_place *prev = &m->place;
	bool unchecked = RMQ_VARIANT(HOLE_UNCHECKED) && m->run_count > 0 &&
			 m->runs[0].kind == RAFT_HOLE && prev->index <= r->last;
	if ((prev->index > r->last || raft_term_at(r, prev->index) != prev->term) &&
	    !unchecked) {
		refuse(r, *prev);
		return;
	}
	r->refused.index = 0;
	uint64_t end = prev->index;
	for (unsigned i = 0; i < m->run_count; i++) {
		if (!take_run(r, &m->runs[i])) {
			raft_fatal(r, RMQ_E_CORRUPT);
			return;
		}
		end += m->runs[i].count;
	}
	if (end > r->verified)
		r->verified = end;
	take_commit(r, m, end);
	/* Else the answer comes when it is durable. */
	if (!r->dirty || m->run_count == 0 || RMQ_VARIANT(ACK_EARLY))
		answer(r);
}

/* ---- requests of the host ---- */

enum rmq_error raft_replication_propose(struct raft *r, const struct raft_event *e)
{
	if (!raft_replication_serving(r))
		return RMQ_E_BUSY;
	for (unsigned i = 0; i < e->run_count; i++) {
		const struct raft_run *run = &e->runs[i];
		if (run->bytes > RECORD_PAYLOAD_MAX)
			return RMQ_E_LIMIT;
		if (run->kind == RAFT_HOLE || run->kind == RECORD_CONFIG ||
		    run->kind == RECORD_NOOP)
			return RMQ_E_PROTOCOL;
	}
	for (unsigned i = 0; i < e->run_count; i++) {
		struct raft_run run = e->runs[i];
		run.count = 1;
		run.term = r->term;
		run.config = NULL;
		raft_append(r, &run);
	}
	return RMQ_E_OK;
}

enum rmq_error raft_replication_noop(struct raft *r)
{
	if (!raft_replication_serving(r))
		return RMQ_E_BUSY;
	append_noop(r);
	return RMQ_E_OK;
}

static void hole_range(struct raft *r, uint64_t first, uint64_t end)
{
	while (first < end) {
		uint64_t stop = raft_membership_next(r, first);
		if (stop > end || RMQ_VARIANT(CONFIG_HOLES))
			stop = end;
		if (stop > first)
			raft_push(
			    &r->holes, ((struct hole_range){first, (uint32_t)(stop - first)}));
		first = stop + 1;
	}
}

/* Whether END at this index counts as committed here; with known-bad ways to think so. */
static bool end_counts(const struct raft *r, uint64_t end)
{
	if (end <= r->commit)
		return true;
	return r->role == RAFT_LEADER
		   ? RMQ_VARIANT(HOLE_AT_APPEND_LEADER)
		   : RMQ_VARIANT(HOLE_AT_APPEND_FOLLOWER) || RMQ_VARIANT(HOLE_RAW_COMMIT);
}

enum rmq_error raft_replication_hole(struct raft *r, const struct raft_event *e)
{
	if (e->index == 0 || e->index > r->last || !end_counts(r, e->index))
		return RMQ_E_PROTOCOL;
	if (e->range_count > RAFT_HOLES_MAX)
		return RMQ_E_LIMIT;
	for (unsigned i = 0; i < e->range_count; i++) {
		const struct hole_range *h = &e->ranges[i];
		if (h->first == 0 || h->first + h->count > e->index)
			return RMQ_E_PROTOCOL;
	}
	for (unsigned i = 0; i < e->range_count; i++)
		hole_range(r, e->ranges[i].first, e->ranges[i].first + e->ranges[i].count);
	if (r->holes.count > 0)
		raft_dirty(r);
	if (r->holes.count > 0 && e->index > r->cover.index)
		r->cover = (struct raft_place){e->index, raft_term_at(r, e->index)};
	return RMQ_E_OK;
}

/* The log is the leader's up to `verified`, so its holes at or below are the dead of this one. */
enum rmq_error raft_replication_died(struct raft *r, const struct raft_event *e)
{
	const struct raft_message *m = e->message;
	uint64_t end = (r->commit < r->verified ? r->commit : r->verified) + 1;
	if (r->role != RAFT_FOLLOWER || m->term != r->term || !raft_id_eq(m->from, r->leader))
		return RMQ_E_OK;
	if (RMQ_VARIANT(DIED_UNCHECKED))
		end = r->last + 1;
	for (unsigned i = 0; i < e->range_count; i++) {
		const struct hole_range *h = &e->ranges[i];
		if (h->first == 0 || h->first > m->cover.index ||
		    h->first + h->count > m->cover.index)
			return RMQ_E_PROTOCOL;
	}
	for (unsigned i = 0; i < e->range_count; i++) {
		uint64_t stop = e->ranges[i].first + e->ranges[i].count;
		hole_range(r, e->ranges[i].first, stop < end ? stop : end);
	}
	if (r->holes.count == 0)
		return RMQ_E_OK;
	raft_dirty(r);
	if (m->cover.index > r->cover.index && !RMQ_VARIANT(DIED_UNCOVERED))
		r->cover = m->cover;
	return RMQ_E_OK;
}

/* What is committed is the same on all nodes that hold it. */
enum rmq_error raft_replication_mend(struct raft *r, const struct raft_event *e)
{
	const struct raft_run *run = e->runs;
	if (e->run_count != 1 || run->kind == RAFT_HOLE || run->first == 0 ||
	    run->first > r->commit || run->term != raft_term_at(r, run->first))
		return RMQ_E_PROTOCOL;
	r->mend = *run;
	r->mend.count = 1;
	r->mend.config = NULL;
	raft_dirty(r);
	return RMQ_E_OK;
}

/* "Go" is repeated with each answer to a heartbeat; when it does not help, this node serves on.
 */
enum rmq_error raft_replication_transfer(struct raft *r, struct raft_id to)
{
	if (!raft_replication_serving(r))
		return RMQ_E_BUSY;
	struct raft_peer *p = raft_peer(r, to);
	if (!p || !raft_membership_stands(r, to))
		return RMQ_E_NOTHING;
	if (raft_id_eq(to, r->id))
		return RMQ_E_EXISTS;
	r->transferee = to;
	r->transfer_until = r->now + r->election_ms;
	if (p->match == r->last)
		raft_send(r, RAFT_TIMEOUT_NOW, to);
	return RMQ_E_OK;
}
