/* How a member leaves: what the leader does with it, and what it does itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/host/leaving.h"

static struct leaving leaving;
static struct raft_config config;
static struct raft_status status;
static struct raft_id who;
static unsigned drained_nodes, storing; /* a bit for each */

static struct raft_id id_of(unsigned n)
{
	return (struct raft_id){{(uint8_t)n}};
}

static int setup(void **state)
{
	(void)state;
	leaving = (struct leaving){0};
	config = (struct raft_config){.level = level_newest()};
	for (unsigned i = 1; i <= 3; i++) {
		struct raft_member *m = &config.members[config.count++];
		*m = (struct raft_member){.id = id_of(i), .flags = RAFT_VOTER};
		snprintf(m->name, sizeof(m->name), "n%u", i);
	}
	status = (struct raft_status){.role = RAFT_LEADER,
	    .serving = true,
	    .config = &config,
	    .config_index = 9,
	    .commit = 9,
	    .term = 5};
	drained_nodes = 0;
	storing = 0xff;
	return 0;
}

static bool drained(void *arg, struct raft_id id)
{
	(void)arg;
	return drained_nodes & 1u << id.bytes[0];
}

static uint64_t append(void *arg)
{
	(void)arg;
	return ++status.commit;
}

static bool stores(void *arg, struct raft_id id, uint64_t index)
{
	(void)arg, (void)index;
	return storing & 1u << id.bytes[0];
}

static bool votes(void *arg, struct raft_id id)
{
	(void)arg, (void)id;
	return true;
}

static enum leaving_step turn(uint64_t now_ms)
{
	const struct commands_peers peers = {
	    .append = append, .stores = stores, .votes = votes};
	const struct leaving_seen seen = {&status, drained, &peers};
	return leaving_turn(&leaving, &seen, now_ms, &who);
}

static void who_has_handed_over_is_removed_if_the_others_store(void **state)
{
	(void)state;
	assert_int_equal(turn(100), LEAVING_NOTHING);
	assert_int_equal(leaving_due(&leaving, 100), UINT64_MAX);
	config.members[2].leaving = RAFT_LEAVES;
	assert_int_equal(turn(200), LEAVING_NOTHING);
	assert_true(leaving_due(&leaving, 200) < 300);
	drained_nodes = 1u << 3;
	assert_int_equal(turn(300), LEAVING_EXITS);
	assert_int_equal(who.bytes[0], 3);
	config.members[2].leaving = RAFT_EXITS;
	/* It is not committed yet. */
	status.config_index = 10;
	assert_int_equal(turn(300), LEAVING_NOTHING);
	status.commit = 10;
	/* n2 has died since. */
	storing = 1u << 1 | 1u << 3;
	for (uint64_t ms = 300; ms < 300 + 4 * COMMANDS_STORE_MS; ms += 100)
		assert_int_equal(turn(ms), LEAVING_NOTHING);
	storing = 0xff;
	assert_int_equal(turn(20000), LEAVING_REMOVE);
	assert_int_equal(who.bytes[0], 3);
}

static void who_does_not_hand_over_in_time_is_not_waited_for(void **state)
{
	(void)state;
	config.members[0].leaving = RAFT_LEAVES;
	assert_int_equal(turn(100), LEAVING_NOTHING);
	assert_int_equal(turn(100 + LEAVING_MS - 1), LEAVING_NOTHING);
	assert_int_equal(turn(100 + LEAVING_MS), LEAVING_EXITS);
	/* A new leader gives it the time anew. */
	status.role = RAFT_FOLLOWER;
	assert_int_equal(turn(100 + LEAVING_MS), LEAVING_NOTHING);
	status.role = RAFT_LEADER;
	status.term++;
	assert_int_equal(turn(100 + LEAVING_MS), LEAVING_NOTHING);
}

static void one_leaves_after_the_other(void **state)
{
	(void)state;
	config.members[0].leaving = config.members[2].leaving = RAFT_LEAVES;
	drained_nodes = 1u << 3;
	assert_int_equal(turn(100), LEAVING_NOTHING);
	drained_nodes |= 1u << 1;
	assert_int_equal(turn(200), LEAVING_EXITS);
	assert_int_equal(who.bytes[0], 1);
	/* It is removed: the last one has its place. */
	raft_config_remove(&config, &config.members[0], RAFT_LEFT);
	assert_int_equal(turn(300), LEAVING_EXITS);
	assert_int_equal(who.bytes[0], 3);
}

static void a_node_that_leaves_hands_over_and_stays_until_it_is_removed(void **state)
{
	(void)state;
	struct ending own = {0};
	struct ending_seen seen = {
	    .leads = true, .serving = true, .successor = true, .runs = true};
	assert_int_equal(leaving_own_turn(&own, false, &seen, 100), ENDING_NOTHING);
	assert_int_equal(leaving_own_turn(&own, true, &seen, 100), ENDING_HAND_OVER);
	assert_false(leaving_rests(&own));
	seen.leads = seen.serving = false;
	assert_int_equal(leaving_own_turn(&own, true, &seen, 200), ENDING_DRAIN);
	assert_true(leaving_rests(&own));
	assert_false(leaving_drained(&own));
	seen.runs = false;
	assert_int_equal(leaving_own_turn(&own, true, &seen, 300), ENDING_END);
	assert_true(leaving_drained(&own));
	assert_int_equal(leaving_own_turn(&own, true, &seen, 301), ENDING_NOTHING);
	/* It is elected again. */
	seen.leads = seen.serving = true;
	assert_int_equal(leaving_own_turn(&own, true, &seen, 400), ENDING_HAND_OVER);
	/* What was marked was never committed. */
	assert_int_equal(leaving_own_turn(&own, false, &seen, 500), ENDING_NOTHING);
	assert_false(leaving_rests(&own));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
	    T(who_has_handed_over_is_removed_if_the_others_store),
	    T(who_does_not_hand_over_in_time_is_not_waited_for),
	    T(one_leaves_after_the_other),
	    T(a_node_that_leaves_hands_over_and_stays_until_it_is_removed),
	};
#undef T
	return cmocka_run_group_tests_name("leaving", tests, NULL, NULL);
}
