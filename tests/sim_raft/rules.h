/*
 * By which broken rule each known-bad variant of the core is to be found, and where: any other
 * rule, or none, means that a check does not work.
 */
#ifndef SIM_RAFT_RULES_H
#define SIM_RAFT_RULES_H

/* clang-format off */
/* Of a database that votes, by random seeds (tables.h): variant, and rules as below. */
#define FOUND_BY_TABLE(X) \
	X(VOTE_UNKNOWN_GIVEN, "two leaders in a term", "a leader lacks a committed record", \
	    "no leader after the faults ended") \
	X(UNKNOWN_IS_DONE, "committed, and not confirmed by the database") \
	X(OLDER_SERVED, "who has lost what was confirmed is served from") \
	X(FED_IS_VERIFIED, "acknowledged, and not what the leader has") \
	X(FED_ALL_COMMITTED, "committed, and not confirmed by the database") \
	X(TABLE_UNFENCED, "a hole after the table's end", "the database has another record", \
	    "a leader lacks a committed record") \
	X(TABLE_LOG_UNASKED, "a leader lacks a committed record") \
	X(TABLE_PLACE_UNASKED, "the database has another record") \
	X(ADOPTED_AS_BEFORE, "a node of the cluster that was lost is let in") \
	X(TABLE_ADOPTED_LEASED, "a log is adopted from a node that leads")

/* variant, directed schedule ("": random seeds), the rules that may be the first to break */
#define FOUND_BY(X) \
	X(OTHER_UNFED, "what_nobody_counted_gives_way_to_what_the_table_has", \
	    "a directed schedule went another way at line") \
	X(ROUND_UNASKED, "a_lease_is_no_proof", \
	    "a barrier is done, and this log lacks what was committed") \
	X(LEASE_IS_PROOF, "a_lease_is_no_proof", \
	    "a barrier is done, and this log lacks what was committed") \
	X(VOTE_FORGOTTEN, "", "a vote that is not durable") \
	X(VOTE_EARLY, "", "a message of a term that is not durable", \
	    "a vote that is not durable") \
	X(ACK_EARLY, "", "a message of a term that is not durable", \
	    "acknowledged and not durable") \
	X(ACK_UNVERIFIED, "an_answer_names_only_what_was_compared", \
	    "acknowledged, and not what the leader has") \
	X(COMMIT_OLD_TERM, "records_of_older_terms_are_not_committed_by_counting", \
	    "a leader lacks a committed record") \
	X(NO_NOOP, "records_of_older_terms_are_not_committed_by_counting", \
	    "a leader lacks a committed record") \
	X(COMMIT_UNCLAMPED, "", "state machine safety: committed is something else") \
	X(HOLE_AT_APPEND_LEADER, "", "a hole that no committed END made", \
	    "a hole above the own commit index") \
	X(HOLE_AT_APPEND_FOLLOWER, "", "a hole that no committed END made", \
	    "a hole above the own commit index") \
	X(HOLE_RAW_COMMIT, "", "a hole that no committed END made", \
	    "a hole above the own commit index") \
	X(CONFIG_HOLES, "", "a configuration became a hole") \
	X(HOLE_UNCHECKED, "", "log matching: another record comes before", \
	    "state machine safety: committed is something else") \
	X(HOLE_LAST_TERM, "", "a hole where no record was", \
	    "log matching: another record comes before", "fatal") \
	X(HOLE_BEFORE_COVER, "", "a hole on disk before its cover") \
	X(TWO_CONFIGS, "", "a leader lacks a committed record", "two leaders in a term", \
	    "state machine safety: committed is something else", \
	    "log matching: another record comes before", \
	    "no leader after the faults ended") \
	X(BARRIER_WITHOUT_ROUND, "a_leader_that_slept_commits_nothing_and_ends_no_barrier", \
	    "a barrier is done, and this log lacks what was committed") \
	X(LEARNER_AHEAD, "a_learner_keeps_no_voter_from_being_elected", \
	    "no leader after the faults ended") \
	X(ABSTAIN_CAMPAIGNS, "", "a node that abstains campaigns") \
	X(LEADER_KEPT, "a_learner_forgets_a_leader_that_it_does_not_hear", \
	    "a directed schedule went another way at line") \
	X(BAD_SERVED, "", "log matching: two records of one term") \
	X(INDEX_UNCHECKED, "", "log matching: two records of one term") \
	X(FORGOTTEN_VOTES, "a_node_that_forgot_elects_nobody", \
	    "a node that has forgotten gives its vote") \
	X(FORGOT_UNSTORED, "a_node_that_forgot_elects_nobody", \
	    "a directed schedule went another way at line") \
	X(FORGOTTEN_UNTOLD, "a_node_that_forgot_votes_again_for_leaders_after_the_next", \
	    "two votes in a term, on disk") \
	X(FORGOTTEN_UNFILLED, "a_node_that_forgot_votes_again_for_leaders_after_the_next", \
	    "a directed schedule went another way at line") \
	X(FORGOTTEN_ACKS, "a_node_that_forgot_acknowledges_nothing_to_leaders_of_the_past", \
	    "state machine safety: committed is something else") \
	X(LOST_COUNTED, "", "a node does not catch up") \
	X(TAIL_COUNTS, "the_tail_of_an_older_leader_does_not_hide_what_was_forgotten", \
	    "a directed schedule went another way at line") \
	X(HEALED_FORGETS, "a_node_that_votes_again_may_be_linked_anew", \
	    "a directed schedule went another way at line") \
	X(NEW_VOTES, "", "two votes in a term", "two votes in a term, on disk", \
	    "a leader lacks a committed record") \
	X(RECOVERED_AS_BEFORE, "", "a node of the cluster that was lost is let in", \
	    "who is lost is not told so") \
	X(RECOVERED_UNCOVERED, "", "a covered disk without the END of a hole", \
	    "a leader without the END that covers its holes") \
	X(RECOVERED_UNHEARD, "", "who is lost does not know that") \
	X(DIED_UNCHECKED, "", "a hole above the own commit index") \
	X(DIED_UNCOVERED, "", "a covered disk without the END of a hole", \
	    "a hole on disk before its cover") \
	X(SENT_AGAIN, "records_pass_a_slow_link_once", \
	    "a directed schedule went another way at line") \
	X(WINDOW_WIDE, "a_slow_link_is_sent_what_it_carries_soon", \
	    "a directed schedule went another way at line") \
	X(RECORDS_UNHEARD, "records_on_their_way_are_word_of_the_leader", \
	    "a directed schedule went another way at line") \
	X(HEARD_FOR_EVER, "bytes_alone_are_not_word_of_the_leader_for_long", \
	    "a directed schedule went another way at line") \
	X(LEADER_WAITED_FOR, "a_leader_that_asks_for_votes_leads_no_more", \
	    "a directed schedule went another way at line")
/* clang-format on */

#endif
