/* What a lost majority leaves: who may go on alone, and as what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/host/recovery.h"

static const struct raft_id new_cluster = {{9}};
static struct raft_config newest, committed;
static struct recovery_log state_of;
static struct recovery plan;
static char why[TEXT_MAX + 1];

static void add(struct raft_config *c, uint8_t n, uint8_t flags)
{
	struct raft_member *m = &c->members[c->count++];

	*m = (struct raft_member){.key = {n}, .id = {{n}}, .flags = flags};
	m->name[0] = 'n';
	m->name[1] = (char)('0' + n);
}

/* n1 of three voters, of which it knows that all but the last record is committed. */
static int setup(void **state)
{
	(void)state;
	newest = (struct raft_config){.cluster = {{5}}};
	for (uint8_t n = 1; n <= 3; n++)
		add(&newest, n, RAFT_VOTER | RAFT_BROKER);
	committed = newest;
	state_of = (struct recovery_log){.id = {{1}},
	    .replica = true,
	    .covered = true,
	    .term = 7,
	    .last = 40,
	    .commit = 39,
	    .newest = &newest,
	    .committed = &committed};
	return 0;
}

static uint64_t wall_ms = 1800000000000;

static enum rmq_error recover(void)
{
	return recovery_plan(&state_of, new_cluster, (struct wall_time){wall_ms}, &plan, why);
}

static void it_is_the_only_voter_of_a_new_cluster(void **state)
{
	(void)state;
	assert_int_equal(recover(), RMQ_E_OK);
	assert_true(raft_id_eq(plan.config.cluster, new_cluster));
	assert_int_equal(plan.config.count, 1);
	assert_memory_equal(
	    &plan.config.members[0], &newest.members[0], sizeof(newest.members[0]));
	assert_int_equal(plan.config.generation, 1);
	assert_int_equal(plan.config.level, level_newest());
	assert_int_equal(plan.voters, 2);
	assert_int_equal(plan.members, 2);
	assert_false(plan.learner);
}

static void those_who_are_lost_are_remembered(void **state)
{
	(void)state;
	newest.level = level_newest();
	newest.generation = 3;
	newest.latch = true;
	newest.removed_count = 1;
	newest.removed[0] =
	    (struct raft_removed){.id = {{8}}, .how = RAFT_DOWNED, .name = "n8"};
	assert_int_equal(recover(), RMQ_E_OK);
	const struct raft_config *c = &plan.config;
	assert_int_equal(c->generation, 4);
	assert_true(c->latch);
	assert_int_equal(c->removed_count, 3);
	assert_int_equal(raft_config_removed(c, (struct raft_id){{3}})->how, RAFT_LOST);
	assert_int_equal(raft_config_removed(c, (struct raft_id){{8}})->how, RAFT_DOWNED);
	assert_null(raft_config_removed(c, state_of.id));
}

static void nothing_is_taken_back_and_time_was_lost(void **state)
{
	(void)state;
	assert_int_equal(recover(), RMQ_E_OK);
	assert_int_equal(plan.term, 8);
	assert_int_equal(plan.restored_index, 41);
	assert_int_equal(plan.config_index, 42);
	assert_int_equal(load_u64(plan.restored), wall_ms);
}

static void a_node_of_a_database_is_refused(void **state)
{
	(void)state;
	newest.engine = RAFT_ENGINE_POSTGRESQL;
	assert_int_equal(recover(), RMQ_E_REFUSED);
	assert_non_null(strstr(why, "is in its database (engine = postgresql)"));
}

static void a_learner_gets_a_vote(void **state)
{
	(void)state;
	newest.members[0].flags = RAFT_BROKER;
	assert_int_equal(recover(), RMQ_E_OK);
	assert_true(plan.learner);
	assert_int_equal(plan.config.members[0].flags, RAFT_VOTER | RAFT_BROKER);
}

static void a_log_that_lacks_checkpoints_is_refused(void **state)
{
	(void)state;
	state_of.covered = false;
	assert_int_equal(recover(), RMQ_E_BAD_DATA);
	assert_non_null(strstr(why, "is not complete"));
}

static void a_node_that_was_removed_is_refused(void **state)
{
	(void)state;
	/* Its removal may not be committed: then it is a member. */
	newest.members[0] = newest.members[2];
	newest.count = 2;
	assert_int_equal(recover(), RMQ_E_OK);
	assert_int_equal(plan.voters, 2);
	committed = newest;
	assert_int_equal(recover(), RMQ_E_REFUSED);
	assert_non_null(strstr(why, "was removed"));
}

/* Its log ends before that, and has it as a member. */
static void a_node_that_was_told_that_it_is_none_any_more_is_refused(void **state)
{
	(void)state;
	state_of.ended = true;
	state_of.how = RAFT_DOWNED;
	assert_int_equal(recover(), RMQ_E_REFUSED);
	assert_non_null(strstr(why, "was downed by an administrator"));
	state_of.how = RAFT_LEFT;
	assert_int_equal(recover(), RMQ_E_REFUSED);
	/* Also if it would need no other. */
	newest.members[1].flags = newest.members[2].flags = 0;
	assert_int_equal(recover(), RMQ_E_REFUSED);
}

static void a_node_that_was_leaving_is_refused(void **state)
{
	(void)state;
	newest.members[0].leaving = RAFT_EXITS;
	assert_int_equal(recover(), RMQ_E_REFUSED);
	assert_non_null(strstr(why, "was leaving"));
	/* As far as it knows, it had not handed over yet, and may have been cut off as any other. */
	newest.members[0].leaving = RAFT_LEAVES;
	assert_int_equal(recover(), RMQ_E_OK);
	/* Another one's leave is over with its cluster. */
	newest.members[0].leaving = RAFT_STAYS;
	newest.members[1].leaving = RAFT_EXITS;
	assert_int_equal(recover(), RMQ_E_OK);
}

static void what_is_of_no_cluster_is_refused(void **state)
{
	(void)state;
	state_of.newest = state_of.committed = NULL;
	assert_int_equal(recover(), RMQ_E_CONFIG);
	setup(state);
	state_of.replica = false;
	assert_int_equal(recover(), RMQ_E_CONFIG);
}

static void the_only_voter_needs_none(void **state)
{
	(void)state;
	newest.members[1].flags = newest.members[2].flags = 0;
	assert_int_equal(recover(), RMQ_E_NOTHING);
	/* Nor does one that was recovered. */
	setup(state);
	assert_int_equal(recover(), RMQ_E_OK);
	state_of.newest = state_of.committed = &plan.config;
	struct recovery again;
	assert_int_equal(
	    recovery_plan(&state_of, new_cluster, (struct wall_time){wall_ms}, &again, why),
	    RMQ_E_NOTHING);
	/* It is another one that votes. */
	newest.members[0].flags = newest.members[2].flags = 0;
	state_of.newest = state_of.committed = &newest;
	assert_int_equal(recover(), RMQ_E_OK);
}

static void a_clock_that_has_lost_its_time_gives_no_number_twice(void **state)
{
	(void)state;
	wall_ms = 1234;
	assert_int_equal(recover(), RMQ_E_REFUSED);
	assert_non_null(strstr(why, "set it first"));
	wall_ms = 1800000000000;
	assert_int_equal(recover(), RMQ_E_OK);
}

static const struct raft_place terms[] = {{1, 1}, {20, 4}, {40, 7}};

static void looks(struct raft_place cover, uint64_t commit)
{
	const struct raft_run configs[] = {
	    {.first = 1, .config = &committed}, {.first = 40, .config = &newest}};
	const struct raft_begin b = {.id = {{1}},
	    .term = 8,
	    .commit = commit,
	    .last = 40,
	    .cover = cover,
	    .terms = terms,
	    .term_count = 3,
	    .configs = configs,
	    .config_count = 2};

	recovery_look(&b, &state_of);
}

static void which_configuration_is_committed_is_by_the_commit_index(void **state)
{
	(void)state;
	looks((struct raft_place){0, 0}, 39);
	assert_ptr_equal(state_of.newest, &newest);
	assert_ptr_equal(state_of.committed, &committed);
	looks((struct raft_place){0, 0}, 40);
	assert_ptr_equal(state_of.committed, &newest);
	looks((struct raft_place){0, 0}, 0);
	assert_null(state_of.committed);
	assert_true(raft_id_eq(state_of.id, (struct raft_id){{1}}));
	assert_int_equal(state_of.term, 8);
	assert_int_equal(state_of.last, 40);
}

static void a_log_is_covered_if_it_has_that_very_checkpoint(void **state)
{
	(void)state;
	looks((struct raft_place){0, 0}, 39);
	assert_true(state_of.covered);
	looks((struct raft_place){39, 4}, 39);
	assert_true(state_of.covered);
	looks((struct raft_place){40, 7}, 39);
	assert_true(state_of.covered);
	/* It has another record there, or does not reach it. */
	looks((struct raft_place){39, 5}, 39);
	assert_false(state_of.covered);
	looks((struct raft_place){41, 7}, 39);
	assert_false(state_of.covered);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
	    TEST(it_is_the_only_voter_of_a_new_cluster),
	    TEST(those_who_are_lost_are_remembered),
	    TEST(nothing_is_taken_back_and_time_was_lost),
	    TEST(a_learner_gets_a_vote),
	    TEST(a_node_of_a_database_is_refused),
	    TEST(a_log_that_lacks_checkpoints_is_refused),
	    TEST(a_node_that_was_removed_is_refused),
	    TEST(a_node_that_was_told_that_it_is_none_any_more_is_refused),
	    TEST(a_node_that_was_leaving_is_refused),
	    TEST(a_clock_that_has_lost_its_time_gives_no_number_twice),
	    TEST(what_is_of_no_cluster_is_refused),
	    TEST(the_only_voter_needs_none),
	    TEST(which_configuration_is_committed_is_by_the_commit_index),
	    TEST(a_log_is_covered_if_it_has_that_very_checkpoint),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
