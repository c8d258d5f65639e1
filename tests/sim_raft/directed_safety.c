/* Schedules that lost records, or would have, in other implementations. */
#include <stdlib.h>

#include "directed.h"
#include "tables.h"

#define BIG RECORD_PAYLOAD_MAX

/* Slot 0 is cut off with five records of its own; slot 1 leads the others. */
static void cut_off_with_a_tail(struct sim *s)
{
	directed_begin(s, 3);
	for (unsigned i = 0; i < 5; i++)
		must(directed_propose(s, 0, 100) == RMQ_E_OK);
	directed_flow(s, N(0));
	directed_lose(s, ALL, ALL);
	directed_elect(s, 1, N(1) | N(2));
	directed_lose(s, ALL, ALL);
	must(directed_status(s, 1).serving);
}

static void beat(struct sim *s, unsigned slot)
{
	s->now += s->beat_ms;
	node_turn(s, &s->nodes[slot]);
}

/*
 * The old leader's answer to the new one's empty heartbeat is late; meanwhile the new one has
 * as many records of its own, which reached nobody.
 */
void directed_an_answer_names_only_what_was_compared(struct sim *s)
{
	cut_off_with_a_tail(s);
	beat(s, 1);
	directed_deliver(s, 1, 0);
	directed_sync(s, 0);
	directed_lose(s, N(1), ALL);
	for (unsigned i = 0; i < 5; i++)
		must(directed_propose(s, 1, 100) == RMQ_E_OK);
	directed_flow(s, N(1));
	directed_lose(s, N(1), ALL);
	directed_deliver(s, 0, 1);
	node_crash(s, &s->nodes[1]);
	directed_elect(s, 2, N(0) | N(2));
	directed_pass(s, N(0) | N(2), 2 * s->election_ms);
	must(directed_status(s, 0).commit == 4);
	must(directed_status(s, 0).last.index == 4);
}

/* Figure 8 of Raft's first paper: what leaders of terms 2 and 4 have is lost to that of 3. */
void directed_records_of_older_terms_are_not_committed_by_counting(struct sim *s)
{
	directed_begin(s, 5);
	uint64_t first = directed_status(s, 0).last.index + 1;
	must(directed_propose(s, 0, BIG) == RMQ_E_OK);
	must(directed_propose(s, 0, BIG) == RMQ_E_OK);
	directed_flow(s, N(0) | N(1));
	node_crash(s, &s->nodes[0]);
	directed_lose(s, ALL, ALL);

	net.no_records = true;
	directed_elect(s, 4, N(2) | N(3) | N(4));
	(void)!directed_propose(s, 4, 100);
	directed_flow(s, N(4));
	must(s->nodes[4].disk.last == first);
	node_crash(s, &s->nodes[4]);
	directed_lose(s, ALL, ALL);

	node_start(s, &s->nodes[0]);
	directed_elect(s, 0, N(0) | N(1) | N(2) | N(3));
	directed_lose(s, ALL, ALL);
	(void)!directed_propose(s, 0, 100);
	net.no_records = false;
	/* The other of the first two says that it has it, and then one more gets the first. */
	for (unsigned peer = 1; peer <= 2; peer++) {
		net.limit = peer == 1 ? 0 : first;
		(void)!node_step(s, &s->nodes[0],
		    &(struct raft_event){.type = RAFT_EVENT_RESET, .id = s->nodes[peer].id});
		directed_flow(s, N(0) | N(peer));
	}
	must(s->nodes[2].disk.last == first);
	node_crash(s, &s->nodes[0]);
	directed_lose(s, ALL, ALL);

	net.limit = 0;
	node_start(s, &s->nodes[4]);
	directed_elect(s, 4, N(2) | N(3) | N(4));
	directed_pass(s, N(2) | N(3) | N(4), s->election_ms);
	must(directed_status(s, 4).serving);
}

void directed_nothing_is_taken_before_the_noop_is_committed(struct sim *s)
{
	directed_begin(s, 3);
	net.no_records = true;
	directed_elect(s, 1, ALL);
	must(!directed_status(s, 1).serving);
	must(directed_propose(s, 1, 100) == RMQ_E_BUSY);
	must(directed_change(s, 1, RAFT_EVENT_ADMIT, 4) == RMQ_E_BUSY);
	must(directed_change(s, 1, RAFT_EVENT_TRANSFER, 2) == RMQ_E_BUSY);
	must(node_step(s, &s->nodes[1],
		 &(struct raft_event){.type = RAFT_EVENT_BARRIER, .seq = 1}) == RMQ_E_BUSY);
	net.no_records = false;
	directed_pass(s, ALL, 2 * s->election_ms);
	must(directed_status(s, 1).serving);
	must(directed_propose(s, 1, 100) == RMQ_E_OK);
}

static void ask_for_vote(struct sim *s, unsigned from, unsigned to, uint64_t term)
{
	struct raft_message m = {.type = RAFT_VOTE,
	    .from = s->nodes[from].id,
	    .to = s->nodes[to].id,
	    .term = term,
	    .place = {100, term - 1}};
	(void)!node_step(
	    s, &s->nodes[to], &(struct raft_event){.type = RAFT_EVENT_MESSAGE, .message = &m});
	directed_sync(s, to);
}

static bool voted(struct sim *s, unsigned from, unsigned to)
{
	struct packet *p = directed_take(s, from, to, RAFT_VOTED);
	must(p != NULL);
	bool ok = p->m.ok;
	packet_free(p);
	return ok;
}

void directed_a_vote_outlives_a_crash(struct sim *s)
{
	directed_begin(s, 3);
	ask_for_vote(s, 0, 1, 9);
	must(voted(s, 1, 0));
	node_crash(s, &s->nodes[1]);
	node_start(s, &s->nodes[1]);
	directed_let_in(s, 1, 3);
	ask_for_vote(s, 2, 1, 9);
	must(!voted(s, 1, 2));
	ask_for_vote(s, 0, 1, 9);
	must(voted(s, 1, 0));
}

/* Both have the same term: one by a transfer, one by its own timeout. */
void directed_a_term_has_one_vote_in_a_transfer_too(struct sim *s)
{
	directed_begin(s, 3);
	must(directed_change(s, 0, RAFT_EVENT_TRANSFER, 1) == RMQ_E_OK);
	directed_deliver(s, 0, 1);
	directed_sync(s, 1);
	uint64_t term = directed_status(s, 1).term;
	must(directed_status(s, 1).role == RAFT_CANDIDATE);
	ask_for_vote(s, 2, 0, term);
	must(voted(s, 0, 2));
	directed_deliver(s, 1, 0);
	directed_sync(s, 0);
	must(!voted(s, 0, 1));
}

/* The cut-off tail is long enough for the new leader's commit index, and is another one. */
void directed_commit_is_capped_by_what_this_message_compared(struct sim *s)
{
	cut_off_with_a_tail(s);
	must(directed_propose(s, 1, 100) == RMQ_E_OK);
	directed_flow(s, N(1) | N(2));
	directed_lose(s, ALL, ALL);
	must(directed_status(s, 1).commit == 4);
	beat(s, 1);
	directed_deliver(s, 1, 0);
	must(directed_status(s, 0).leader.bytes[0] == 2);
	must(directed_status(s, 0).commit == 2);
}

void directed_an_answer_of_an_older_term_is_dropped(struct sim *s)
{
	directed_begin(s, 3);
	must(directed_propose(s, 0, 100) == RMQ_E_OK);
	node_reads(s, &s->nodes[0]);
	directed_deliver(s, 0, 1);
	directed_deliver(s, 0, 2);
	directed_sync(s, 1);
	directed_sync(s, 2);
	struct packet *late = directed_take(s, 2, 0, RAFT_APPENDED);
	must(late && late->m.ok && late->m.place.index == 3);
	directed_lose(s, ALL, ALL);
	net.no_records = true;
	directed_elect(s, 1, ALL);
	directed_elect(s, 0, N(0) | N(2));
	must(directed_peer(s, 0, 2).match == 0);
	node_deliver(s, late);
	must(directed_peer(s, 0, 2).match == 0);
}

/* What a leader has sent arrives once another one leads: it would be stored, and fits. */
void directed_a_record_of_an_older_term_is_refused(struct sim *s)
{
	directed_begin(s, 3);
	uint64_t term = directed_status(s, 0).term;
	must(directed_propose(s, 0, 100) == RMQ_E_OK);
	node_reads(s, &s->nodes[0]);
	struct packet *late = directed_take(s, 0, 2, RAFT_APPEND);
	must(late && late->m.run_count == 1 && late->m.term == term);
	directed_lose(s, ALL, ALL);
	net.no_records = true;
	directed_elect(s, 1, N(1) | N(2));
	uint64_t stores = s->nodes[2].stores, last = s->nodes[2].view.last;
	must(late->m.place.index == last);
	node_deliver(s, late);
	must(s->nodes[2].stores == stores && s->nodes[2].view.last == last);
	struct packet *answer = directed_take(s, 2, 0, RAFT_APPENDED);
	must(answer && !answer->m.ok && answer->m.term > term);
	node_deliver(s, answer);
	must(directed_status(s, 0).role == RAFT_FOLLOWER);
}

void directed_one_change_at_a_time(struct sim *s)
{
	directed_begin(s, 3);
	must(directed_change(s, 0, RAFT_EVENT_ADMIT, 3) == RMQ_E_OK);
	must(directed_change(s, 0, RAFT_EVENT_ADMIT, 4) == RMQ_E_BUSY);
	must(directed_change(s, 0, RAFT_EVENT_REMOVE, 2) == RMQ_E_BUSY);
	directed_flow(s, ALL);
	must(directed_change(s, 0, RAFT_EVENT_ADMIT, 4) == RMQ_E_OK);
}

void directed_a_change_that_was_not_committed_is_rolled_back(struct sim *s)
{
	directed_begin(s, 3);
	must(directed_change(s, 0, RAFT_EVENT_REMOVE, 2) == RMQ_E_OK);
	directed_sync(s, 0);
	must(directed_status(s, 0).config->count == 2);
	directed_lose(s, ALL, ALL);
	directed_elect(s, 1, N(1) | N(2));
	directed_pass(s, ALL, s->election_ms);
	must(directed_status(s, 0).role == RAFT_FOLLOWER);
	must(directed_status(s, 0).config_index == 1);
	must(directed_status(s, 0).config->count == 3);
}

/* ---- members ---- */

static const struct raft_member *member(struct sim *s, unsigned leader, const char *name)
{
	return raft_config_find_name(directed_status(s, leader).config, name);
}

/* Its answers count for nothing before it was taken in anew. */
void directed_a_wiped_node_is_another_one(struct sim *s)
{
	directed_begin(s, 3);
	struct raft_id old = s->nodes[2].id;
	node_wipe(s, &s->nodes[2]);
	node_start(s, &s->nodes[2]);
	uint64_t stores = s->nodes[0].stores;
	must(directed_change(s, 0, RAFT_EVENT_ADMIT, 2) == RMQ_E_OK);
	must(directed_change(s, 0, RAFT_EVENT_ADD_LEARNER, 2) == RMQ_E_EXISTS);
	must(directed_change(s, 0, RAFT_EVENT_PROMOTE, 2) == RMQ_E_NOTHING);
	must(s->nodes[0].stores == stores);

	struct raft_event remove = {.type = RAFT_EVENT_REMOVE, .id = old};
	must(node_step(s, &s->nodes[0], &remove) == RMQ_E_OK);
	directed_flow(s, ALL);
	must(directed_change(s, 0, RAFT_EVENT_ADD_LEARNER, 2) == RMQ_E_NOTHING);
	must(directed_change(s, 0, RAFT_EVENT_ADMIT, 2) == RMQ_E_OK);
	directed_flow(s, ALL);
	must(directed_change(s, 0, RAFT_EVENT_ADD_LEARNER, 2) == RMQ_E_OK);
	must(directed_change(s, 0, RAFT_EVENT_PROMOTE, 2) == RMQ_E_BUSY);
	directed_flow(s, ALL);
	must(directed_change(s, 0, RAFT_EVENT_PROMOTE, 2) == RMQ_E_OK);
	directed_flow(s, ALL);
	must(member(s, 0, "n2")->flags == (RAFT_VOTER | RAFT_BROKER));
	must(directed_status(s, 2).commit >= 2);

	/* Once more, in one change: what was there goes, and nothing else. */
	struct raft_member m;
	old = s->nodes[2].id;
	node_wipe(s, &s->nodes[2]);
	node_start(s, &s->nodes[2]);
	node_member(&s->nodes[2], &m);
	struct raft_event replace = {
	    .type = RAFT_EVENT_REPLACE, .id = s->nodes[2].id, .member = &m};
	must(node_step(s, &s->nodes[0], &replace) == RMQ_E_NOTHING);
	replace.id = old;
	m.key[0] = 2;
	must(node_step(s, &s->nodes[0], &replace) == RMQ_E_EXISTS);
	m.key[0] = 3;
	must(node_step(s, &s->nodes[0], &replace) == RMQ_E_OK);
	directed_flow(s, N(0) | N(1));
	must(raft_id_none(member(s, 1, "n2")->id) && member(s, 1, "n2")->flags == 0);
	const struct raft_config *now = directed_status(s, 1).config;
	must(raft_config_removed(now, old)->how == RAFT_REPLACED);
	must(node_step(s, &s->nodes[0], &replace) == RMQ_E_NOTHING);
	must(directed_change(s, 0, RAFT_EVENT_ADD_LEARNER, 2) == RMQ_E_OK);
}

void directed_a_member_that_moves_stays_a_voter(struct sim *s)
{
	directed_begin(s, 3);
	uint64_t stores = s->nodes[0].stores;
	must(directed_change(s, 0, RAFT_EVENT_ADD_LEARNER, 1) == RMQ_E_OK);
	must(s->nodes[0].stores == stores);
	s->nodes[1].place++;
	must(directed_change(s, 0, RAFT_EVENT_ADD_LEARNER, 1) == RMQ_E_OK);
	must(s->nodes[0].stores == stores + 1);
	directed_flow(s, ALL);
	must(directed_status(s, 2).config_index == directed_status(s, 2).last.index);
	must(strcmp(member(s, 2, "n1")->address, "n1:2") == 0);
	must(member(s, 2, "n1")->flags == (RAFT_VOTER | RAFT_BROKER));

	/* Neither is another's name taken, nor its key. */
	struct raft_member m;
	node_member(&s->nodes[1], &m);
	m.key[5] = 1;
	struct raft_event e = {.type = RAFT_EVENT_ADD_LEARNER, .member = &m};
	must(node_step(s, &s->nodes[0], &e) == RMQ_E_EXISTS);
	e.type = RAFT_EVENT_ADMIT;
	must(node_step(s, &s->nodes[0], &e) == RMQ_E_EXISTS);
	node_member(&s->nodes[1], &m);
	m.name[1] = '9';
	must(node_step(s, &s->nodes[0], &e) == RMQ_E_EXISTS);
	e.type = RAFT_EVENT_ADD_LEARNER;
	must(node_step(s, &s->nodes[0], &e) == RMQ_E_EXISTS);
}

void directed_who_was_only_admitted_counts_for_nothing(struct sim *s)
{
	directed_begin(s, 3);
	for (unsigned i = 3; i < NODES; i++) {
		must(directed_change(s, 0, RAFT_EVENT_ADMIT, i) == RMQ_E_OK);
		directed_flow(s, N(0) | N(1));
	}
	must(directed_status(s, 0).config->count == NODES);
	must(directed_status(s, 0).commit == directed_status(s, 0).last.index);
	struct raft_event remove = {.type = RAFT_EVENT_REMOVE, .name = "n4"};
	must(node_step(s, &s->nodes[0], &remove) == RMQ_E_OK);
	directed_flow(s, N(0) | N(1));
	must(!member(s, 1, "n4") && member(s, 1, "n3") && member(s, 1, "n5"));
	must(node_step(s, &s->nodes[0], &remove) == RMQ_E_NOTHING);
	remove.name = NULL;
	must(node_step(s, &s->nodes[0], &remove) == RMQ_E_NOTHING);
	directed_lose(s, ALL, ALL);
	directed_elect(s, 1, N(0) | N(1));
}

/* Marks are changes like others, and what they say outlives the node that said it. */
void directed_what_a_member_is_about_is_marked(struct sim *s)
{
	directed_begin(s, 3);
	struct raft_event mark = {.type = RAFT_EVENT_MARK, .id = s->nodes[2].id};
	mark.mark = RAFT_MARK_LEAVING;
	mark.value = RAFT_LEAVES;
	must(node_step(s, &s->nodes[0], &mark) == RMQ_E_OK);
	directed_flow(s, N(0) | N(1));
	must(member(s, 1, "n2")->leaving == RAFT_LEAVES);
	directed_lose(s, ALL, ALL);
	directed_elect(s, 1, N(0) | N(1));
	directed_flow(s, N(0) | N(1));
	must(member(s, 1, "n2")->leaving == RAFT_LEAVES);

	/* That is not lost when it moves; and it is not let in again. */
	must(directed_change(s, 1, RAFT_EVENT_ADD_LEARNER, 2) == RMQ_E_OK);
	must(member(s, 1, "n2")->leaving == RAFT_LEAVES);
	struct raft_event down = {.type = RAFT_EVENT_REMOVE, .name = "n2", .how = RAFT_DOWNED};
	must(node_step(s, &s->nodes[1], &down) == RMQ_E_OK);
	directed_flow(s, N(0) | N(1));
	const struct raft_removed *was =
	    raft_config_removed(directed_status(s, 0).config, s->nodes[2].id);
	must(was && was->how == RAFT_DOWNED && strcmp(was->name, "n2") == 0);
	must(directed_change(s, 1, RAFT_EVENT_ADMIT, 2) == RMQ_E_OK);
	directed_flow(s, N(0) | N(1));
	must(directed_change(s, 1, RAFT_EVENT_ADD_LEARNER, 2) == RMQ_E_DENIED);
}

/* ---- barriers ---- */

/* Its clock stood still as well, so that it does not know that it slept. */
void directed_a_leader_that_slept_commits_nothing_and_ends_no_barrier(struct sim *s)
{
	directed_begin(s, 3);
	s->nodes[0].skew -= 3 * (int64_t)s->election_ms;
	directed_elect(s, 1, N(1) | N(2));
	must(directed_propose(s, 1, 100) == RMQ_E_OK);
	directed_flow(s, N(1) | N(2));
	directed_lose(s, ALL, ALL);
	must(directed_status(s, 0).serving);
	must(node_barrier(s, &s->nodes[0]) == 1);
	must(directed_propose(s, 0, 100) == RMQ_E_OK);
	directed_pass(s, ALL, 2 * s->election_ms);
	must(s->nodes[0].barrier_count == 1);
	must(directed_status(s, 0).role == RAFT_FOLLOWER);
	must(directed_status(s, 0).commit == directed_status(s, 1).commit);
}

/* With it a majority could lack what it had stored together with the one that is down. */
void directed_a_node_that_forgot_elects_nobody(struct sim *s)
{
	directed_begin(s, 3);
	must(directed_change(s, 2, RAFT_EVENT_FORGOT, 2) == RMQ_E_OK);
	directed_pass(s, N(1) | N(2), 6 * s->election_ms);
	must(!directed_status(s, 1).serving && directed_status(s, 2).role == RAFT_FOLLOWER);
	/* Nor after it was started again, when nobody is there who could tell it. */
	node_crash(s, &s->nodes[2]);
	node_start(s, &s->nodes[2]);
	directed_pass(s, N(1) | N(2), 6 * s->election_ms);
	must(!directed_status(s, 1).serving && directed_status(s, 2).forgot);
	/* It follows, whoever is elected without it. */
	directed_pass(s, ALL, 6 * s->election_ms);
	must(directed_status(s, 0).serving != directed_status(s, 1).serving);
	must(directed_status(s, 2).commit == directed_status(s, 0).commit);
	/* Nor is leadership handed to it. */
	unsigned leader = directed_status(s, 1).serving;
	must(directed_change(s, leader, RAFT_EVENT_TRANSFER, 2) == RMQ_E_OK);
	directed_pass(s, ALL, 2 * s->election_ms);
	must(directed_status(s, leader).serving);
}

/* As long as it does not know who may hold a vote that it forgot, and until a leader fills it. */
void directed_a_node_that_forgot_votes_again_for_leaders_after_the_next(struct sim *s)
{
	directed_begin(s, 3);
	node_crash(s, &s->nodes[2]);
	node_start(s, &s->nodes[2]);
	must(directed_change(s, 2, RAFT_EVENT_FORGOT, 2) == RMQ_E_OK);
	meet_lets_in(s, &s->nodes[2], &s->nodes[0]);
	directed_pass(s, ALL, 2 * s->election_ms);
	must(directed_change(s, 0, RAFT_EVENT_TRANSFER, 1) == RMQ_E_OK);
	directed_pass(s, ALL, 2 * s->election_ms);
	must(directed_status(s, 1).serving && directed_status(s, 2).forgot);
	/* That one was in this term when it was heard first. */
	meet_lets_in(s, &s->nodes[2], &s->nodes[1]);
	directed_pass(s, ALL, 2 * s->election_ms);
	must(directed_status(s, 2).forgot);
	/* It hears the next one, and gets none of its records. */
	net.deaf = N(2);
	must(directed_change(s, 1, RAFT_EVENT_TRANSFER, 0) == RMQ_E_OK);
	directed_pass(s, ALL, 2 * s->election_ms);
	must(directed_status(s, 0).serving && directed_status(s, 2).forgot);
	must(raft_id_eq(directed_status(s, 2).leader, s->nodes[0].id));
	net.deaf = 0;
	directed_pass(s, ALL, 4 * s->election_ms);
	must(!directed_status(s, 2).forgot);
	directed_pass(s, N(1) | N(2), 6 * s->election_ms);
	must(directed_status(s, 1).serving || directed_status(s, 2).serving);
}

/* One that was cut off leads on; what was committed since is on one disk only. */
void directed_a_node_that_forgot_acknowledges_nothing_to_leaders_of_the_past(struct sim *s)
{
	directed_begin(s, 3);
	node_copy(&s->nodes[2]);
	s->nodes[0].skew -= 3 * (int64_t)s->election_ms;
	directed_elect(s, 1, N(1) | N(2));
	must(directed_propose(s, 1, 100) == RMQ_E_OK);
	directed_pass(s, N(1) | N(2), s->beat_ms);
	must(directed_status(s, 1).commit == directed_status(s, 1).last.index);
	directed_lose(s, ALL, ALL);
	node_put_back(s, &s->nodes[2]);
	node_start(s, &s->nodes[2]);
	struct raft_event e = {.type = RAFT_EVENT_FORGOT, .term = directed_status(s, 1).term};
	must(node_step(s, &s->nodes[2], &e) == RMQ_E_OK);
	must(directed_status(s, 0).serving);
	must(directed_propose(s, 0, 100) == RMQ_E_OK);
	directed_pass(s, N(0) | N(2), 2 * s->beat_ms);
	must(!directed_status(s, 0).serving);
}

/* It stored the new leader's term, and was copied before its own tail was cut off. */
void directed_the_tail_of_an_older_leader_does_not_hide_what_was_forgotten(struct sim *s)
{
	cut_off_with_a_tail(s);
	must(meet_hello(s, &s->nodes[0], &s->nodes[1]) == RMQ_E_OK);
	beat(s, 1);
	directed_deliver(s, 1, 0);
	directed_sync(s, 0);
	directed_lose(s, ALL, ALL);
	must(s->nodes[0].disk.term == directed_status(s, 1).term);
	node_copy(&s->nodes[0]);
	node_crash(s, &s->nodes[2]);
	must(directed_propose(s, 1, 100) == RMQ_E_OK);
	directed_pass(s, N(0) | N(1), 2 * s->election_ms);
	must(directed_status(s, 1).commit == directed_status(s, 1).last.index);
	must(directed_status(s, 0).last.index < s->nodes[0].old->last);
	meet_tells(&s->nodes[0], &s->nodes[1]);
	node_put_back(s, &s->nodes[0]);
	s->nodes[0].was_put_back = true;
	node_start(s, &s->nodes[0]);
	s->now++;
	must(meet_hello(s, &s->nodes[0], &s->nodes[1]) == RMQ_E_CORRUPT);
}

/* Slot 2 is put back to before five records that it had, as slots 0, which leads, and 1 know. */
static void put_back(struct sim *s)
{
	directed_begin(s, 3);
	must(meet_hello(s, &s->nodes[2], &s->nodes[0]) == RMQ_E_OK);
	must(meet_hello(s, &s->nodes[2], &s->nodes[1]) == RMQ_E_OK);
	node_copy(&s->nodes[2]);
	for (unsigned i = 0; i < 5; i++)
		must(directed_propose(s, 0, 100) == RMQ_E_OK);
	directed_pass(s, ALL, 2 * s->election_ms);
	meet_tells(&s->nodes[2], &s->nodes[0]);
	meet_tells(&s->nodes[2], &s->nodes[1]);
	node_put_back(s, &s->nodes[2]);
	s->nodes[2].was_put_back = true;
	node_start(s, &s->nodes[2]);
	must(meet_hello(s, &s->nodes[2], &s->nodes[0]) == RMQ_E_CORRUPT);
	must(meet_hello(s, &s->nodes[2], &s->nodes[0]) == RMQ_E_OK);
	must(meet_hello(s, &s->nodes[2], &s->nodes[1]) == RMQ_E_OK);
}

void directed_a_node_that_forgot_is_filled_also_if_nothing_new_comes(struct sim *s)
{
	put_back(s);
	directed_pass(s, ALL, 2 * s->election_ms);
	must(directed_status(s, 2).last.index == directed_status(s, 0).last.index);
}

void directed_a_node_that_votes_again_may_be_linked_anew(struct sim *s)
{
	put_back(s);
	must(directed_change(s, 0, RAFT_EVENT_TRANSFER, 1) == RMQ_E_OK);
	directed_pass(s, ALL, 6 * s->election_ms);
	must(!directed_status(s, 2).forgot);
	must(meet_hello(s, &s->nodes[2], &s->nodes[0]) == RMQ_E_OK);
}

static unsigned count(struct sim *s, unsigned to, enum raft_message_type type)
{
	unsigned n = 0;
	for (struct packet *p = s->packets; p; p = p->next)
		n += p->m.type == type && p->m.to.bytes[0] == to + 1;
	return n;
}

void directed_barriers_share_a_round(struct sim *s)
{
	directed_begin(s, 3);
	struct node *n = &s->nodes[0];
	for (unsigned i = 0; i < 10; i++)
		must(node_barrier(s, n) == i + 1);
	must(count(s, 1, RAFT_APPEND) == 1 && n->barrier_count == 10);
	directed_deliver(s, 0, 1);
	directed_deliver(s, 1, 0);
	must(count(s, 1, RAFT_APPEND) == 1 && n->barrier_count == 9);
	/* The other one answers the first round only now. */
	struct packet *first = directed_take(s, 0, 2, RAFT_APPEND);
	node_deliver(s, first);
	directed_deliver(s, 2, 0);
	must(n->barrier_count == 9);
	directed_deliver(s, 0, 1);
	directed_deliver(s, 1, 0);
	must(n->barrier_count == 0);
}

void directed_a_round_that_was_lost_is_repeated(struct sim *s)
{
	directed_begin(s, 3);
	must(node_barrier(s, &s->nodes[0]) == 1);
	must(node_barrier(s, &s->nodes[0]) == 2);
	directed_lose(s, ALL, ALL);
	directed_pass(s, ALL, s->beat_ms);
	must(s->nodes[0].barrier_count == 0);
}

void directed_a_single_voter_ends_a_barrier_at_once(struct sim *s)
{
	directed_begin(s, 1);
	must(node_barrier(s, &s->nodes[0]) == 1);
	must(s->nodes[0].barrier_count == 0);
}

/* The same, with a database that votes. */
static void pass(struct sim *s, unsigned set, uint64_t ms)
{
	while (ms-- > 0) {
		directed_pass(s, set, 1);
		tables_millisecond(s);
		directed_flow(s, set);
	}
}

/* Three voters, of which this one leads. */
static struct node *begin_table(struct sim *s)
{
	tables_begin(s);
	s->by_hand = s->quiet = true;
	s->election_ms = ELECTION;
	s->beat_ms = BEAT;
	node_first(s, 3);
	for (unsigned i = 0; i < 1000 && !node_leader(s); i++)
		pass(s, ALL, 1);
	must(node_leader(s));
	pass(s, ALL, BEAT);
	return node_leader(s);
}

/* Only it goes on, until it leads. */
static void leads_alone(struct sim *s, struct node *n)
{
	tables_clock(s, 2 * ELECTION);
	n->skew += 2 * ELECTION;
	for (unsigned i = 0; i < NODES; i++)
		s->nodes[i].paused_until = &s->nodes[i] == n ? 0 : UINT64_MAX;
	/* It may believe that it leads still. */
	(void)!node_step(
	    s, n, &(struct raft_event){.type = RAFT_EVENT_RESET, .id = RAFT_DATABASE});
	for (unsigned i = 0;
	     i < 4 * ELECTION && directed_status(s, n->slot).role != RAFT_LEADER; i++)
		pass(s, N(n->slot), 1);
	must(directed_status(s, n->slot).role == RAFT_LEADER);
}

/*
 * The server's clock is set, and another one is elected while the leader stands still.  By its own clock
 * the lease lasts when it goes on: a read that it serves then would not have what is committed.
 */
void directed_a_lease_is_no_proof(struct sim *s)
{
	struct node *old = begin_table(s);
	tables_clock(s, 2 * ELECTION);
	old->paused_until = s->now + ELECTION;
	struct node *n = &s->nodes[(old->slot + 1) % 3];
	n->skew += 2 * ELECTION;
	for (unsigned i = 0; i < ELECTION / 2 && !directed_status(s, n->slot).serving; i++)
		pass(s, ALL & ~N(old->slot), 1);
	must(directed_status(s, n->slot).serving);
	old->paused_until = 0;
	must(node_barrier(s, old) > 0);
	/* It has heard nothing of the others by then. */
	tables_millisecond(s);
	pass(s, ALL, 2 * BEAT);
	must(directed_status(s, old->slot).role != RAFT_LEADER);
}

/*
 * A has records that did not get into the full table, and B, who leads then, neither a record of its own in
 * their place.  A leads again, gets the first of its own in, and dies: B may lead, but lacks that.
 */
void directed_what_nobody_counted_gives_way_to_what_the_table_has(struct sim *s)
{
	struct node *a = begin_table(s), *b = &s->nodes[(a->slot + 1) % 3];
	uint64_t last = tables_last(s);
	tables_full(s, true);
	for (unsigned i = 0; i < 3; i++)
		must(directed_propose(s, a->slot, RECORD_PAYLOAD_MAX) == RMQ_E_OK);
	pass(s, N(a->slot), BEAT);
	must(tables_last(s) == last);
	directed_lose(s, ALL, ALL);
	leads_alone(s, b);
	pass(s, N(b->slot), BEAT);
	must(tables_last(s) == last);
	leads_alone(s, a);
	tables_full(s, false);
	for (unsigned i = 0; i < 2 * ELECTION && tables_last(s) == last; i++)
		pass(s, N(a->slot), 1);
	must(tables_last(s) == last + 1);
	node_crash(s, a);
	a->up_at = UINT64_MAX;
	leads_alone(s, b);
	for (unsigned i = 0; i < 10 * ELECTION && !directed_status(s, b->slot).serving; i++)
		pass(s, N(b->slot), 1);
	must(directed_status(s, b->slot).serving);
	must(raft_term_at(b->raft, last + 1) < raft_term_at(b->raft, last + 2));
}
