/* Schedules that stood still, or cost too much, in other implementations. */
#include <stdlib.h>

#include "directed.h"

#define BIG RECORD_PAYLOAD_MAX

void directed_a_node_that_was_cut_off_disturbs_no_one(struct sim *s)
{
	directed_begin(s, 3);
	uint64_t term = directed_status(s, 0).term;
	for (unsigned i = 0; i < 10; i++) {
		directed_pass(s, N(2), s->election_ms);
		s->now -= s->election_ms;
		directed_pass(s, N(0) | N(1), s->election_ms);
	}
	must(directed_status(s, 2).role == RAFT_PRECANDIDATE);
	directed_pass(s, ALL, 3 * s->election_ms);
	must(directed_status(s, 0).serving && directed_status(s, 0).term == term);
	must(directed_status(s, 2).role == RAFT_FOLLOWER);
}

/* Whether this follower would vote for one more term, now. */
static bool would_vote(struct sim *s, unsigned from, unsigned to)
{
	struct raft_status st = directed_status(s, to);
	struct raft_message m = {.type = RAFT_PREVOTE,
	    .from = s->nodes[from].id,
	    .to = s->nodes[to].id,
	    .term = st.term + 1,
	    .place = st.last};
	(void)!node_step(
	    s, &s->nodes[to], &(struct raft_event){.type = RAFT_EVENT_MESSAGE, .message = &m});
	struct packet *p = directed_take(s, to, from, RAFT_PREVOTED);
	must(p != NULL);
	bool ok = p->m.ok;
	packet_free(p);
	return ok;
}

void directed_a_prevote_is_granted_after_the_minimum_timeout(struct sim *s)
{
	directed_begin(s, 3);
	directed_pass(s, ALL, s->beat_ms);
	uint64_t began = s->now;
	while (!would_vote(s, 1, 2))
		s->now++;
	must(s->now - began >= s->election_ms - s->beat_ms);
	must(s->now - began <= s->election_ms);
	must(directed_status(s, 2).role == RAFT_FOLLOWER);
}

void directed_a_leader_without_a_majority_steps_down(struct sim *s)
{
	directed_begin(s, 5);
	directed_pass(s, N(0) | N(1) | N(2), 5 * s->election_ms);
	must(directed_status(s, 0).serving);
	directed_pass(s, N(0) | N(1), 2 * s->election_ms);
	must(directed_status(s, 0).role != RAFT_LEADER);
}

/* ---- the leader dies ---- */

static uint64_t wait_for_leader(struct sim *s, uint64_t limit)
{
	uint64_t began = s->now;
	while (!node_leader(s) && s->now < began + limit)
		sim_millisecond(s);
	must(node_leader(s) != NULL);
	return s->now - began;
}

/* Its peers notice within 20 ms, after all that it has sent; messages and disks take up to 3 ms each. */
static void fail_over(struct sim *s, unsigned voters)
{
	s->quiet = true;
	s->election_ms = 500;
	s->beat_ms = 100;
	node_first(s, voters);
	wait_for_leader(s, 10 * s->election_ms);
	for (uint64_t end = s->now + s->election_ms; s->now < end;)
		sim_millisecond(s);
	struct node *leader = node_leader(s);
	uint64_t began = s->now, at[NODES];
	s->by_hand = true;
	node_crash(s, leader);
	s->by_hand = false;
	leader->up_at = UINT64_MAX;
	for (unsigned i = 0; i < NODES; i++)
		at[i] = s->now + prng_range(&s->prng, 4, 20);
	while (!node_leader(s)) {
		for (unsigned i = 0; i < NODES; i++) {
			struct raft_event e = {.type = RAFT_EVENT_RESET, .id = leader->id};
			if (s->nodes[i].raft && at[i] == s->now)
				(void)!node_step(s, &s->nodes[i], &e);
		}
		sim_millisecond(s);
		must(s->now - began < 300);
	}
}

void directed_a_dead_leader_is_replaced_within_300_ms(struct sim *s)
{
	uint64_t seed = s->seed;
	sim_end(s);
	for (unsigned i = 0; i < 300; i++) {
		memset(s, 0, sizeof(*s));
		s->seed = seed;
		s->prng.state = i;
		fail_over(s, i % 2 ? 3 : 5);
		sim_end(s);
	}
	memset(s, 0, sizeof(*s));
}

/* One that lost its connection from a leader that lives asks in vain, and then hears it again.
 */
void directed_who_hears_the_leader_refuses_one_that_lost_it(struct sim *s)
{
	directed_begin(s, 3);
	uint64_t term = directed_status(s, 0).term;
	(void)!node_step(s, &s->nodes[2],
	    &(struct raft_event){.type = RAFT_EVENT_RESET, .id = s->nodes[0].id});
	must(would_vote(s, 1, 2) && !would_vote(s, 2, 1));
	s->nodes[0].cut_to[2] = true;
	directed_pass(s, ALL, 2 * s->election_ms);
	must(directed_status(s, 2).role == RAFT_PRECANDIDATE);
	must(directed_status(s, 0).serving && directed_status(s, 1).term == term);
	s->nodes[0].cut_to[2] = false;
	directed_pass(s, ALL, s->beat_ms);
	must(directed_status(s, 2).role == RAFT_FOLLOWER);
}

/* ---- records that are under way ---- */

/* The oldest message with records to this peer reaches it, and its answer comes back. */
static void take_one(struct sim *s, unsigned peer)
{
	struct packet *p = directed_take(s, 0, peer, RAFT_APPEND);
	must(p != NULL);
	node_deliver(s, p);
	directed_sync(s, peer);
	directed_deliver(s, peer, 0);
}

/* No one ever holds all of the leader's log. */
void directed_commit_is_the_median_under_load(struct sim *s)
{
	directed_begin(s, 5);
	must(directed_propose(s, 0, 100) == RMQ_E_OK);
	directed_flow(s, ALL);
	uint64_t last = directed_status(s, 0).last.index;
	for (unsigned i = 0; i < 100; i++) {
		must(directed_propose(s, 0, 100) == RMQ_E_OK);
		directed_flow(s, N(0));
		if (i < 10)
			continue;
		take_one(s, 1);
		must(directed_status(s, 0).commit == last + i - 10);
		take_one(s, 2);
		must(directed_status(s, 0).commit == last + i - 9);
	}
}

static uint32_t under_way(const struct sim *s, unsigned to)
{
	uint32_t bytes = 0;
	for (const struct packet *p = s->packets; p; p = p->next) {
		for (unsigned i = 0; p->m.to.bytes[0] == to + 1 && i < p->m.run_count; i++)
			bytes += p->m.runs[i].bytes;
	}
	return bytes;
}

void directed_bytes_under_way_are_bounded(struct sim *s)
{
	directed_begin(s, 3);
	must(directed_propose(s, 0, 100) == RMQ_E_OK);
	directed_flow(s, ALL);
	/* Nothing is known yet of what the link carries. */
	for (unsigned i = 0; i < 10; i++) {
		must(directed_propose(s, 0, BIG) == RMQ_E_OK);
		directed_flow(s, N(0) | N(1));
	}
	must(under_way(s, 2) < RAFT_LINK_BYTES + BIG);
	directed_flow(s, ALL);
	directed_widen(s, 0);
	for (unsigned i = 0; i < 300; i++) {
		must(directed_propose(s, 0, BIG) == RMQ_E_OK);
		directed_flow(s, N(0) | N(1));
	}
	must(directed_peer(s, 0, 1).match == directed_status(s, 0).last.index);
	must(under_way(s, 2) > RAFT_WINDOW_BYTES - RAFT_MESSAGE_BYTES);
	must(under_way(s, 2) < RAFT_WINDOW_BYTES + BIG);
	/* As many messages that are small. */
	directed_flow(s, ALL);
	for (unsigned i = 0; i < 300; i++) {
		must(directed_propose(s, 0, 1) == RMQ_E_OK);
		directed_flow(s, N(0) | N(1));
	}
	must(directed_peer(s, 0, 2).flights == RAFT_WINDOW);
	directed_flow(s, ALL);
	must(directed_peer(s, 0, 2).match == directed_status(s, 0).last.index);
}

/* ---- a slow link ---- */

/* 500 kbit/s where the election timeout is 500 ms. */
#define SLOW	(312 * ELECTION / 100)
#define SLOW_MS (BIG / SLOW)

/*
 * Slot 0's links are slow and it has many records to send: until all is committed.  That is never
 * further away than so many ms, and no more is under way than is carried in them.
 */
static void pass_slowly(struct sim *s, uint64_t patience_ms)
{
	uint64_t last, commit = directed_status(s, 0).commit, at = s->now;
	s->nodes[0].carries = SLOW;
	for (unsigned i = 0; i < 40; i++) {
		must(directed_propose(s, 0, BIG) == RMQ_E_OK);
		must(directed_propose(s, 0, 100) == RMQ_E_OK);
	}
	last = directed_status(s, 0).last.index;
	while (commit < last) {
		directed_pass(s, ALL, 1);
		if (directed_status(s, 0).commit > commit)
			at = s->now;
		commit = directed_status(s, 0).commit;
		must(directed_status(s, 0).serving && s->now - at <= patience_ms);
		must(directed_peer(s, 0, 1).flying <= patience_ms * SLOW);
	}
}

/* A record is carried in twice the time after which one that was lost is asked for. */
void directed_records_pass_a_slow_link_once(struct sim *s)
{
	directed_begin(s, 3);
	must(SLOW_MS > 2 * s->election_ms);
	pass_slowly(s, RAFT_WINDOW_BYTES);
	directed_pass(s, ALL, 4 * SLOW_MS);
	for (unsigned i = 1; i < 3; i++) {
		must(directed_peer(s, 0, i).match == directed_status(s, 0).last.index);
		must(net.count[i].bytes < 40 * (BIG + 100) + BIG);
	}
}

void directed_a_slow_link_is_sent_what_it_carries_soon(struct sim *s)
{
	directed_begin(s, 3);
	pass_slowly(s, 2 * SLOW_MS + 2 * s->beat_ms);
}

/* What is under way when it becomes slow is carried, and then all goes on as if it had been so. */
void directed_a_link_that_becomes_slow_is_sent_less(struct sim *s)
{
	directed_begin(s, 3);
	directed_widen(s, 0);
	pass_slowly(s, RAFT_WINDOW_BYTES / SLOW + SLOW_MS);
	pass_slowly(s, 2 * SLOW_MS + 2 * s->beat_ms);
}

/* Bytes of records come to the followers all the time; heartbeats too late, behind them. */
void directed_records_on_their_way_are_word_of_the_leader(struct sim *s)
{
	directed_begin(s, 3);
	uint64_t term = directed_status(s, 0).term;
	s->nodes[0].carries = SLOW;
	s->nodes[0].queue_ms = UINT32_MAX;
	for (unsigned i = 0; i < 20; i++)
		must(directed_propose(s, 0, BIG) == RMQ_E_OK);
	while (directed_status(s, 0).commit < directed_status(s, 0).last.index) {
		for (unsigned i = 1; i < 3; i++) {
			struct raft_event e = {.type = RAFT_EVENT_HEARD, .id = s->nodes[0].id};
			if (s->now % s->beat_ms == 0 && s->nodes[0].carried_at[i] > s->now)
				(void)!node_step(s, &s->nodes[i], &e);
		}
		directed_pass(s, ALL, 1);
		must(directed_status(s, 0).serving && directed_status(s, 1).term == term);
	}
	/* What comes of one that does not lead is no such word. */
	directed_pass(s, N(1) | N(2), s->election_ms);
	(void)!node_step(s, &s->nodes[1],
	    &(struct raft_event){.type = RAFT_EVENT_HEARD, .id = s->nodes[2].id});
	must(would_vote(s, 2, 1));
}

/* For these ms nothing of node 0 comes but bytes of a message that never ends. */
static void drip(struct sim *s, uint64_t ms)
{
	struct raft_event e = {.type = RAFT_EVENT_HEARD, .id = s->nodes[0].id};
	while (ms-- > 0) {
		for (unsigned i = 1; i < 3 && s->now % s->beat_ms == 0; i++)
			(void)!node_step(s, &s->nodes[i], &e);
		directed_pass(s, N(1) | N(2), 1);
	}
}

void directed_bytes_alone_are_not_word_of_the_leader_for_long(struct sim *s)
{
	directed_begin(s, 3);
	uint64_t term = directed_status(s, 0).term;
	drip(s, 2 * s->election_ms);
	must(directed_status(s, 1).term == term && directed_status(s, 2).term == term);
	drip(s, 8 * s->election_ms);
	must(directed_status(s, 1).serving || directed_status(s, 2).serving);
}

/* Its heartbeats of before come just before. */
void directed_a_leader_that_asks_for_votes_leads_no_more(struct sim *s)
{
	directed_begin(s, 3);
	directed_pass(s, N(0), 5 * s->election_ms);
	must(directed_status(s, 0).role == RAFT_PRECANDIDATE);
	directed_deliver(s, 0, 1);
	must(raft_id_none(directed_status(s, 1).leader));
	struct packet *answer = directed_take(s, 1, 0, RAFT_PREVOTED);
	must(answer && answer->m.ok);
	packet_free(answer);
}

/* It answers heartbeats; but what holds records is stuck on the way to it, for long. */
void directed_a_peer_that_takes_nothing_is_left_in_peace(struct sim *s)
{
	directed_begin(s, 3);
	directed_widen(s, 0);
	net.deaf = N(2);
	for (unsigned i = 0; i < 200; i++)
		must(directed_propose(s, 0, BIG) == RMQ_E_OK);
	directed_pass(s, ALL, 100 * s->election_ms);
	must(net.count[2].lost_bytes > RAFT_WINDOW_BYTES);
	must(net.count[2].lost_bytes < RAFT_WINDOW_BYTES + 10 * BIG);
	net.deaf = 0;
	directed_pass(s, ALL, 40 * s->election_ms);
	must(directed_peer(s, 0, 2).match == directed_status(s, 0).last.index);
}

void directed_who_was_silent_is_served_at_once(struct sim *s)
{
	directed_begin(s, 3);
	for (unsigned i = 0; i < 100; i++)
		must(directed_propose(s, 0, BIG) == RMQ_E_OK);
	directed_pass(s, N(0) | N(1), 100 * s->election_ms);
	directed_lose(s, ALL, ALL);
	directed_pass(s, ALL, s->beat_ms);
	must(directed_status(s, 0).serving);
	must(directed_peer(s, 0, 2).match == directed_status(s, 0).last.index);
}

/* The first message of a new leader shows that the log ends before, and that its term is new.
 */
void directed_a_refusal_waits_for_its_term(struct sim *s)
{
	directed_begin(s, 3);
	for (unsigned i = 0; i < 10; i++)
		must(directed_propose(s, 0, BIG) == RMQ_E_OK);
	directed_flow(s, N(0) | N(1));
	directed_lose(s, ALL, ALL);
	directed_elect(s, 1, N(0) | N(1));
	must(directed_status(s, 2).term < directed_status(s, 1).term);
	directed_pass(s, ALL, s->beat_ms);
	must(directed_peer(s, 1, 2).match == directed_status(s, 1).last.index);
}

/* First with the leader in reach, then without it, then room comes. */
void directed_a_full_follower_keeps_its_place(struct sim *s)
{
	directed_begin(s, 3);
	directed_widen(s, 0);
	struct node *full = &s->nodes[2];
	uint64_t before = full->view.last;
	full->full_until = UINT64_MAX;
	for (unsigned i = 0; i < 200; i++) {
		must(directed_propose(s, 0, BIG) == RMQ_E_OK);
		directed_flow(s, ALL);
	}
	uint64_t last = directed_status(s, 0).last.index, took = full->view.last - before;
	must(directed_status(s, 0).commit == last);
	/* The window, and no more than as much again. */
	must(took > RAFT_WINDOW_BYTES / BIG && took < 2 * RAFT_WINDOW_BYTES / BIG);
	uint64_t stores = full->stores, bytes = net.count[2].bytes;
	directed_pass(s, ALL, 20 * s->election_ms);
	must(full->stores == stores && full->view.last == before + took &&
	     full->disk.last < full->view.last);
	must(net.count[2].bytes == bytes);
	must(directed_status(s, 2).leader.bytes[0] == 1);
	directed_pass(s, N(0) | N(1), 20 * s->election_ms);
	s->now -= 20 * s->election_ms;
	directed_pass(s, N(2), 20 * s->election_ms);
	full->full_until = 0;
	directed_pass(s, ALL, 2 * s->election_ms);
	must(directed_status(s, 0).serving);
	must(full->disk.last == directed_status(s, 0).last.index);
}

/* It is left in peace for long by then. */
void directed_what_was_not_taken_is_sent_when_it_is_asked_for(struct sim *s)
{
	directed_begin(s, 3);
	must(directed_propose(s, 0, 100) == RMQ_E_OK);
	directed_flow(s, ALL);
	net.deaf = N(2);
	for (unsigned i = 0; i < 100; i++)
		must(directed_propose(s, 0, BIG) == RMQ_E_OK);
	directed_pass(s, ALL, 40 * s->election_ms);
	uint64_t lost = net.count[2].lost_bytes;
	(void)!node_step(s, &s->nodes[2], &(struct raft_event){.type = RAFT_EVENT_AGAIN});
	directed_flow(s, ALL);
	must(net.count[2].lost_bytes == lost + BIG);
	net.deaf = 0;
	directed_flow(s, ALL);
	must(directed_peer(s, 0, 2).match < directed_status(s, 0).last.index);
	(void)!node_step(s, &s->nodes[2], &(struct raft_event){.type = RAFT_EVENT_AGAIN});
	directed_flow(s, ALL);
	must(directed_peer(s, 0, 2).match == directed_status(s, 0).last.index);
}

void directed_a_follower_that_lags_catches_up_under_load(struct sim *s)
{
	directed_begin(s, 3);
	node_crash(s, &s->nodes[2]);
	for (unsigned i = 0; i < 3000; i++) {
		must(directed_propose(s, 0, i % 8 ? 100 : BIG) == RMQ_E_OK);
		directed_flow(s, N(0) | N(1));
		if (i % 20 == 0)
			directed_pass(s, N(0) | N(1), 1);
	}
	directed_lose(s, ALL, ALL);
	node_start(s, &s->nodes[2]);
	uint64_t before = net.count[2].messages;
	for (unsigned i = 0; i < 200; i++) {
		must(directed_propose(s, 0, BIG) == RMQ_E_OK);
		directed_pass(s, ALL, 1);
	}
	must(directed_peer(s, 0, 2).match == directed_status(s, 0).last.index);
	must(net.count[2].messages - before < 300);
}

/* Both sides learn that the connection broke, and every other time one of them dies with it. */
void directed_a_catch_up_that_is_cut_at_every_tenth_goes_on(struct sim *s)
{
	directed_begin(s, 3);
	struct node *away = &s->nodes[2];
	node_crash(s, away);
	for (unsigned i = 0; i < 400; i++) {
		must(directed_propose(s, 0, BIG) == RMQ_E_OK);
		directed_flow(s, N(0) | N(1));
	}
	directed_lose(s, ALL, ALL);
	node_start(s, away);
	uint64_t begin = away->disk.last, term = directed_status(s, 0).term;
	uint64_t all = directed_status(s, 0).last.index - begin;
	for (unsigned cut = 1; cut < 10; cut++) {
		uint64_t had = away->disk.last;
		net.limit = begin + all * cut / 10;
		directed_pass(s, ALL, s->election_ms);
		must(away->disk.last > had && away->disk.last <= net.limit);
		directed_lose(s, ALL, ALL);
		if (cut % 2) {
			node_crash(s, away);
			node_start(s, away);
		}
		(void)!node_step(s, away,
		    &(struct raft_event){.type = RAFT_EVENT_RESET, .id = s->nodes[0].id});
		(void)!node_step(s, &s->nodes[0],
		    &(struct raft_event){.type = RAFT_EVENT_RESET, .id = away->id});
	}
	net.limit = 0;
	directed_pass(s, ALL, s->election_ms);
	must(away->disk.last == begin + all && directed_status(s, 0).term == term);
}

void directed_a_read_that_was_lost_is_asked_for_again(struct sim *s)
{
	directed_begin(s, 3);
	must(directed_propose(s, 0, 100) == RMQ_E_OK);
	s->nodes[0].read_count = 0;
	directed_pass(s, ALL, s->election_ms / 2);
	must(directed_status(s, 0).commit < directed_status(s, 0).last.index);
	directed_pass(s, ALL, s->election_ms);
	must(directed_status(s, 0).commit == directed_status(s, 0).last.index);
}

/* ---- members and leaders that go ---- */

void directed_a_removed_node_is_told_and_rests(struct sim *s)
{
	directed_begin(s, 4);
	must(directed_change(s, 0, RAFT_EVENT_REMOVE, 3) == RMQ_E_OK);
	directed_pass(s, N(0) | N(1) | N(2), 5 * s->election_ms);
	directed_lose(s, ALL, ALL);
	must(!s->nodes[3].gone && directed_status(s, 3).config->count == 4);
	directed_pass(s, ALL, 2 * s->election_ms);
	must(s->nodes[3].gone && directed_status(s, 3).gone);
	must(directed_status(s, 0).serving);
	directed_pass(s, N(3), 10 * s->election_ms);
	must(s->packets == NULL);
	must(directed_status(s, 3).role == RAFT_FOLLOWER);
}

/* Three voters, and node 3. */
static void begin_with_learner(struct sim *s)
{
	directed_begin(s, 3);
	must(directed_change(s, 0, RAFT_EVENT_ADMIT, 3) == RMQ_E_OK);
	directed_flow(s, ALL);
	must(directed_change(s, 0, RAFT_EVENT_ADD_LEARNER, 3) == RMQ_E_OK);
	directed_pass(s, ALL, 2 * s->beat_ms);
	must(directed_peer(s, 0, 3).match == directed_status(s, 0).last.index);
}

/*
 * Only node 0 knows that node 3 is a voter.  Node 1 led after it, wrote what no other voter has, and
 * is lost for good: whoever of the others counts node 3 needs its vote.
 */
void directed_a_learner_keeps_no_voter_from_being_elected(struct sim *s)
{
	begin_with_learner(s);
	must(directed_change(s, 0, RAFT_EVENT_PROMOTE, 3) == RMQ_E_OK);
	directed_flow(s, N(0));
	directed_lose(s, ALL, ALL);
	net.deaf = N(2);
	directed_elect(s, 1, N(1) | N(2) | N(3));
	must(directed_status(s, 1).commit < directed_status(s, 1).last.index);
	net.deaf = 0;
	node_wipe(s, &s->nodes[1]);
	directed_lose(s, ALL, ALL);
	directed_pass(s, N(0) | N(2) | N(3), 20 * s->election_ms);
	sim_check_alive(s);
}

void directed_a_learner_forgets_a_leader_that_it_does_not_hear(struct sim *s)
{
	begin_with_learner(s);
	must(raft_id_eq(directed_status(s, 3).leader, s->nodes[0].id));
	directed_pass(s, N(3), 2 * s->election_ms + 1);
	must(raft_id_none(directed_status(s, 3).leader));
	must(directed_status(s, 3).role == RAFT_FOLLOWER);
	directed_pass(s, ALL, 4 * s->election_ms);
	must(!raft_id_none(directed_status(s, 3).leader));
}

void directed_the_only_voter_leads_at_once(struct sim *s)
{
	directed_begin(s, 1);
	node_crash(s, &s->nodes[0]);
	node_start(s, &s->nodes[0]);
	directed_pass(s, N(0), 1);
	must(directed_status(s, 0).serving);
}

/* Records for these ms, while the learner takes one a ms, or none: it is always behind. */
static void load_learner(struct sim *s, uint64_t ms, bool takes)
{
	while (ms-- > 0) {
		must(directed_propose(s, 0, 100) == RMQ_E_OK);
		directed_pass(s, N(0) | N(1) | N(2), 1);
		must(directed_peer(s, 0, 3).match < directed_status(s, 0).commit);
		if (takes)
			take_one(s, 3);
	}
}

void directed_a_learner_becomes_a_voter_under_load(struct sim *s)
{
	begin_with_learner(s);
	load_learner(s, s->election_ms, false);
	must(!directed_peer(s, 0, 3).level);
	must(directed_change(s, 0, RAFT_EVENT_PROMOTE, 3) == RMQ_E_BUSY);
	load_learner(s, 3 * s->election_ms, true);
	must(directed_peer(s, 0, 3).match < directed_status(s, 0).commit);
	must(directed_peer(s, 0, 3).level);
	must(directed_change(s, 0, RAFT_EVENT_PROMOTE, 3) == RMQ_E_OK);
	directed_pass(s, ALL, 2 * s->beat_ms);
	must(directed_status(s, 3).commit == directed_status(s, 0).last.index);
}

void directed_a_transfer_repeats_its_go(struct sim *s)
{
	directed_begin(s, 3);
	must(directed_change(s, 0, RAFT_EVENT_TRANSFER, 1) == RMQ_E_OK);
	must(!directed_status(s, 0).serving);
	must(directed_propose(s, 0, 100) == RMQ_E_BUSY);
	directed_lose(s, ALL, ALL);
	directed_pass(s, ALL, s->beat_ms + 1);
	must(directed_status(s, 1).serving);
	must(directed_status(s, 0).role == RAFT_FOLLOWER);
}

void directed_a_transfer_that_fails_ends(struct sim *s)
{
	directed_begin(s, 3);
	uint64_t term = directed_status(s, 0).term;
	must(directed_change(s, 0, RAFT_EVENT_TRANSFER, 1) == RMQ_E_OK);
	directed_pass(s, N(0) | N(2), s->election_ms / 2);
	must(!directed_status(s, 0).serving);
	directed_pass(s, N(0) | N(2), s->election_ms);
	must(directed_status(s, 0).serving && directed_status(s, 0).term == term);
	must(directed_propose(s, 0, 100) == RMQ_E_OK);
}

/* ---- a leader that is ill ---- */

void directed_a_leader_that_abstains_is_replaced_and_follows(struct sim *s)
{
	directed_begin(s, 3);
	must(directed_change(s, 0, RAFT_EVENT_ABSTAIN, 0) == RMQ_E_OK);
	must(directed_status(s, 0).role == RAFT_FOLLOWER);
	/* Its own vote is wanted as well. */
	directed_pass(s, N(0) | N(1), 3 * s->election_ms);
	must(directed_status(s, 1).serving && directed_status(s, 0).role == RAFT_FOLLOWER);
	/* Not by a transfer either. */
	must(directed_change(s, 1, RAFT_EVENT_TRANSFER, 0) == RMQ_E_OK);
	directed_pass(s, N(0) | N(1), 2 * s->election_ms);
	must(directed_status(s, 1).serving);
	must(directed_change(s, 0, RAFT_EVENT_STAND, 0) == RMQ_E_OK);
	must(directed_change(s, 1, RAFT_EVENT_TRANSFER, 0) == RMQ_E_OK);
	directed_pass(s, N(0) | N(1), s->election_ms);
	must(directed_status(s, 0).serving);
}

void directed_what_is_not_received_is_told_from_what_is_not_stored(struct sim *s)
{
	directed_begin(s, 3);
	s->nodes[1].full_until = s->nodes[2].full_until = UINT64_MAX;
	must(directed_propose(s, 0, 100) == RMQ_E_OK);
	uint64_t last = directed_status(s, 0).last.index;
	directed_pass(s, ALL, 3 * s->election_ms);
	must(directed_status(s, 0).received == last && directed_status(s, 0).commit < last);
	s->nodes[1].full_until = s->nodes[2].full_until = 0;
	directed_pass(s, ALL, s->election_ms);
	must(directed_status(s, 0).commit == last);
	net.no_records = true;
	must(directed_propose(s, 0, 100) == RMQ_E_OK);
	directed_pass(s, ALL, 20 * s->election_ms);
	must(directed_status(s, 0).serving && directed_status(s, 0).received == last);
	/* One of them is enough. */
	net.no_records = false;
	net.deaf = N(2);
	directed_pass(s, ALL, 100 * s->election_ms);
	must(directed_status(s, 0).received == last + 1);
	/* What a peer says that it has received and was never sent counts for nothing. */
	directed_pass(s, N(0), s->beat_ms + 1);
	directed_deliver(s, 0, 1);
	struct packet *lie = directed_take(s, 1, 0, RAFT_APPENDED);
	must(lie != NULL);
	lie->m.received = UINT64_MAX;
	node_deliver(s, lie);
	must(directed_propose(s, 0, 100) == RMQ_E_OK);
	must(directed_status(s, 0).received == last + 1);
}

/* ---- what is stored ---- */

static uint64_t stores(const struct sim *s)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < NODES; i++)
		n += s->nodes[i].stores;
	return n;
}

void directed_an_idle_cluster_stores_nothing(struct sim *s)
{
	directed_begin(s, 3);
	directed_pass(s, ALL, s->beat_ms);
	uint64_t before = stores(s);
	directed_pass(s, ALL, 20 * s->election_ms);
	must(directed_status(s, 0).serving);
	must(stores(s) == before);
}

/* One record, one STORE on each node: word of the commit comes later and costs none. */
void directed_a_commit_index_alone_is_not_stored(struct sim *s)
{
	directed_begin(s, 3);
	uint64_t before = stores(s);
	for (unsigned i = 0; i < 10; i++) {
		must(directed_propose(s, 0, 100) == RMQ_E_OK);
		directed_pass(s, ALL, 2 * s->beat_ms);
		for (unsigned k = 0; k < 3; k++)
			must(directed_status(s, k).commit == directed_status(s, 0).last.index);
	}
	must(stores(s) - before == 3 * 10);
	must(s->nodes[1].disk.commit == s->nodes[1].committed - 1);
}
