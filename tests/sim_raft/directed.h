/*
 * Directed schedules: what must not happen, or must happen soon, in a cluster whose every
 * message, disk and clock is moved by hand.
 */
#ifndef SIM_RAFT_DIRECTED_H
#define SIM_RAFT_DIRECTED_H

#include "sim.h"

#define DIRECTED_SAFETY(X) \
	X(a_lease_is_no_proof) \
	X(what_nobody_counted_gives_way_to_what_the_table_has) \
	X(an_answer_names_only_what_was_compared) \
	X(records_of_older_terms_are_not_committed_by_counting) \
	X(nothing_is_taken_before_the_noop_is_committed) \
	X(a_vote_outlives_a_crash) \
	X(a_term_has_one_vote_in_a_transfer_too) \
	X(commit_is_capped_by_what_this_message_compared) \
	X(an_answer_of_an_older_term_is_dropped) \
	X(a_record_of_an_older_term_is_refused) \
	X(one_change_at_a_time) \
	X(a_change_that_was_not_committed_is_rolled_back) \
	X(a_wiped_node_is_another_one) \
	X(a_member_that_moves_stays_a_voter) \
	X(who_was_only_admitted_counts_for_nothing) \
	X(what_a_member_is_about_is_marked) \
	X(a_leader_that_slept_commits_nothing_and_ends_no_barrier) \
	X(a_node_that_forgot_elects_nobody) \
	X(a_node_that_forgot_votes_again_for_leaders_after_the_next) \
	X(a_node_that_forgot_acknowledges_nothing_to_leaders_of_the_past) \
	X(the_tail_of_an_older_leader_does_not_hide_what_was_forgotten) \
	X(a_node_that_forgot_is_filled_also_if_nothing_new_comes) \
	X(a_node_that_votes_again_may_be_linked_anew) \
	X(barriers_share_a_round) \
	X(a_round_that_was_lost_is_repeated) \
	X(a_single_voter_ends_a_barrier_at_once)

#define DIRECTED_LIVENESS(X) \
	X(a_node_that_was_cut_off_disturbs_no_one) \
	X(a_prevote_is_granted_after_the_minimum_timeout) \
	X(a_leader_without_a_majority_steps_down) \
	X(a_dead_leader_is_replaced_within_300_ms) \
	X(who_hears_the_leader_refuses_one_that_lost_it) \
	X(commit_is_the_median_under_load) \
	X(bytes_under_way_are_bounded) \
	X(records_pass_a_slow_link_once) \
	X(a_slow_link_is_sent_what_it_carries_soon) \
	X(a_link_that_becomes_slow_is_sent_less) \
	X(records_on_their_way_are_word_of_the_leader) \
	X(bytes_alone_are_not_word_of_the_leader_for_long) \
	X(a_leader_that_asks_for_votes_leads_no_more) \
	X(a_peer_that_takes_nothing_is_left_in_peace) \
	X(who_was_silent_is_served_at_once) \
	X(a_refusal_waits_for_its_term) \
	X(a_full_follower_keeps_its_place) \
	X(what_was_not_taken_is_sent_when_it_is_asked_for) \
	X(a_follower_that_lags_catches_up_under_load) \
	X(a_catch_up_that_is_cut_at_every_tenth_goes_on) \
	X(a_read_that_was_lost_is_asked_for_again) \
	X(a_removed_node_is_told_and_rests) \
	X(a_learner_keeps_no_voter_from_being_elected) \
	X(a_learner_forgets_a_leader_that_it_does_not_hear) \
	X(the_only_voter_leads_at_once) \
	X(a_learner_becomes_a_voter_under_load) \
	X(a_transfer_repeats_its_go) \
	X(a_transfer_that_fails_ends) \
	X(a_leader_that_abstains_is_replaced_and_follows) \
	X(what_is_not_received_is_told_from_what_is_not_stored) \
	X(an_idle_cluster_stores_nothing) \
	X(a_commit_index_alone_is_not_stored)

#define DIRECTED(X) DIRECTED_SAFETY(X) DIRECTED_LIVENESS(X)

#define X(name) void directed_##name(struct sim *s);
DIRECTED(X)
#undef X

/* Ends the process unless it is so. */
#define must(is) directed_must(s, is, __LINE__)
void directed_must(struct sim *s, bool is, unsigned line);

/* Sets of nodes. */
#define N(slot) (1u << (slot))
#define ALL	((1u << NODES) - 1)

/* What becomes of messages; zeroed: they wait until they are delivered. */
struct directed_net {
	/* Messages with records after this index are lost, if they would be taken; 0: none. */
	uint64_t limit;
	bool no_records; /* all messages with records are lost */
	unsigned deaf;	 /* those with records to these nodes are lost */
	/* Of messages with records, to each node, so far. */
	struct directed_count {
		uint64_t messages, bytes, lost_bytes;
	} count[NODES];
};
extern struct directed_net net;

/* A cluster of so many voters; slot 0 leads it and serves. */
void directed_begin(struct sim *s, unsigned voters);
/* Messages between these nodes, their READs and disks, until all is done; no time passes. */
void directed_flow(struct sim *s, unsigned set);
/* What its links carry is known to this leader: all that it may send at once. */
void directed_widen(struct sim *s, unsigned slot);
/* So many ms pass for these nodes; the others stand still. */
void directed_pass(struct sim *s, unsigned set, uint64_t ms);
/* What is under way from these to those is lost. */
void directed_lose(struct sim *s, unsigned from, unsigned to);
/* The voters that run have taken its HELLO. */
void directed_let_in(struct sim *s, unsigned slot, unsigned voters);
/* This node campaigns among these until it leads. */
void directed_elect(struct sim *s, unsigned slot, unsigned set);
/* A record of so many bytes. */
enum rmq_error directed_propose(struct sim *s, unsigned slot, uint32_t bytes);
enum rmq_error directed_change(
    struct sim *s, unsigned slot, enum raft_event_type type, unsigned who);
/* The oldest message of this type under way from one to the other, NULL: none.  Not borrowed.
 */
struct packet *directed_take(
    struct sim *s, unsigned from, unsigned to, enum raft_message_type type);
/* What it does next is to deliver these, without their answers. */
void directed_deliver(struct sim *s, unsigned from, unsigned to);
struct raft_status directed_status(struct sim *s, unsigned slot);
struct raft_peer_status directed_peer(struct sim *s, unsigned slot, unsigned peer);
void directed_sync(struct sim *s, unsigned slot);

#endif
