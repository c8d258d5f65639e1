/* Which node adopts the log that a database holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/host/adoption.h"

#define PATIENCE 10000

static struct adoption a;
static struct adoption_seen seen;
static struct raft_config config;
static struct raft_status node;
static struct database_status database;
static enum rmq_error code;
static char text[TEXT_MAX + 1];

static const struct raft_id self = {{1}}, other = {{2}};

static enum adoption_step at(uint64_t now_ms)
{
	seen.now_ms = now_ms;
	return adoption_turn(&a, &seen, &code, text);
}

/* A node that was filled with the log of n2, and the database's row, read at 1000. */
static int begin(void **state)
{
	(void)state;
	a = (struct adoption){0};
	config = (struct raft_config){.count = 1};
	config.members[0] =
	    (struct raft_member){.name = "n2", .id = other, .flags = RAFT_VOTER};
	node = (struct raft_status){
	    .last = {9, 3}, .commit = 9, .config = &config, .config_index = 1};
	database = (struct database_status){
	    .up = true, .read = true, .row_known = true, .row_at_ms = 1000};
	database.row = (struct database_row){
	    .exists = true, .term = 3, .leader = other, .last = {9, 3}, .commit = 9};
	seen = (struct adoption_seen){.self = self,
	    .log = &node,
	    .database = &database,
	    .trouble = "",
	    .patience_ms = PATIENCE};
	text[0] = '\0';
	return 0;
}

static void a_log_that_nobody_leads_is_adopted_and_its_members_are_named(void **state)
{
	(void)state;
	assert_int_equal(at(1000), ADOPTION_ADOPTS);
	config.members[0] = (struct raft_member){.name = "n1", .id = self, .flags = RAFT_VOTER};
	node.config_index = 11;
	assert_int_equal(at(1100), ADOPTION_WAITS);
	node.role = RAFT_LEADER;
	assert_int_equal(at(1200), ADOPTION_WAITS);
	node.commit = 11;
	assert_int_equal(at(1300), ADOPTION_DONE);
	assert_non_null(strstr(text, "removed: n2;"));
}

static void a_lease_is_waited_for_and_one_that_is_renewed_refuses(void **state)
{
	(void)state;
	database.row.lease_left_ms = 800;
	assert_int_equal(at(1000), ADOPTION_WAITS);
	database.row_at_ms = 1700;
	database.row.lease_left_ms = 100;
	assert_int_equal(at(1700), ADOPTION_WAITS);
	database.row_at_ms = 1900;
	database.row.lease_left_ms = 0;
	assert_int_equal(at(1900), ADOPTION_ADOPTS);
	database.row.lease_left_ms = 900;
	assert_int_equal(at(1900), ADOPTION_WAITS);
	database.row_at_ms = 2900;
	assert_int_equal(at(2900), ADOPTION_REFUSED);
	assert_int_equal(code, RMQ_E_EXISTS);
	assert_non_null(strstr(text, "n2 leads this cluster"));
}

static void its_own_lease_is_in_nobodys_way(void **state)
{
	(void)state;
	database.row.leader = self;
	database.row.lease_left_ms = 900;
	assert_int_equal(at(1000), ADOPTION_ADOPTS);
}

static void a_database_without_a_log_or_with_part_of_one_is_refused(void **state)
{
	(void)state;
	database.row.commit = 12;
	assert_int_equal(at(1000), ADOPTION_REFUSED);
	assert_int_equal(code, RMQ_E_REFUSED);
	database = (struct database_status){.up = true, .trouble = DATABASE_UNFOUNDED};
	assert_int_equal(at(1000), ADOPTION_REFUSED);
	assert_int_equal(code, RMQ_E_NOTHING);
}

static void a_log_is_waited_for_as_long_as_it_comes_on(void **state)
{
	(void)state;
	database.read = false;
	database.trouble = DATABASE_AWAY;
	seen.trouble = "the database cannot be used: a: refused";
	assert_int_equal(at(1000), ADOPTION_WAITS);
	assert_int_equal(at(1000 + PATIENCE - 1), ADOPTION_WAITS);
	node.last.index = 10;
	assert_int_equal(at(1000 + PATIENCE), ADOPTION_WAITS);
	assert_int_equal(at(1000 + 2 * PATIENCE), ADOPTION_REFUSED);
	assert_int_equal(code, RMQ_E_NO_DAEMON);
	assert_string_equal(text, seen.trouble);
}

static void who_was_let_in_meanwhile_adopts_nothing(void **state)
{
	(void)state;
	config.members[1] = (struct raft_member){.name = "n1", .id = self};
	config.count = 2;
	assert_int_equal(at(1000), ADOPTION_REFUSED);
	assert_int_equal(code, RMQ_E_EXISTS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(
		a_log_that_nobody_leads_is_adopted_and_its_members_are_named, begin),
	    cmocka_unit_test_setup(
		a_lease_is_waited_for_and_one_that_is_renewed_refuses, begin),
	    cmocka_unit_test_setup(its_own_lease_is_in_nobodys_way, begin),
	    cmocka_unit_test_setup(
		a_database_without_a_log_or_with_part_of_one_is_refused, begin),
	    cmocka_unit_test_setup(a_log_is_waited_for_as_long_as_it_comes_on, begin),
	    cmocka_unit_test_setup(who_was_let_in_meanwhile_adopts_nothing, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
