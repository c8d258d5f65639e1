/* Records that the queue daemon does not survive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/host/crashes.h"

static struct crashes c;

static int setup(void **state)
{
	(void)state;
	memset(&c, 0, sizeof(c));
	assert_true(crashes_may_start(&c, 7));
	return 0;
}

static struct raft_id id(uint8_t n)
{
	return (struct raft_id){{n}};
}

static void heard(uint8_t n, enum crashes_state state, uint64_t place)
{
	crashes_heard(&c, id(n), (struct crashes_word){state, place});
}

static bool may(void)
{
	return crashes_may_start(&c, 7);
}

static void what_dies_twice_here_and_elsewhere_is_not_started(void **state)
{
	struct raft_id other;
	(void)state;
	heard(2, CRASHES_ONCE, CRASHES_PLACE(1000));
	assert_true(may());
	crashes_died(&c, CRASHES_CRASHED, 1000);
	assert_true(may());
	/* Within the same records: one of them is deadly. */
	crashes_died(&c, CRASHES_CRASHED, CRASHES_PLACE(1000));
	assert_false(may());
	assert_true(crashes_deadly(&c, &other));
	assert_true(raft_id_eq(other, id(2)));
	assert_int_equal(c.own.place, 960);
}

static void one_node_alone_goes_on(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++) {
		crashes_died(&c, CRASHES_CRASHED, 1000);
		assert_true(may());
	}
	/* Another one dies elsewhere in the log, and then at the same place. */
	heard(2, CRASHES_AGAIN, 64);
	assert_true(may());
	heard(2, CRASHES_ONCE, CRASHES_PLACE(1000));
	assert_false(may());
}

static void progress_is_no_repetition(void **state)
{
	(void)state;
	heard(2, CRASHES_AGAIN, 64);
	for (uint64_t place = 0; place < 1000; place += JOURNAL_PLACE) {
		crashes_died(&c, CRASHES_CRASHED, place + 5);
		assert_true(may());
		assert_int_equal(c.own.state, CRASHES_ONCE);
	}
}

static void what_a_node_alone_is_the_cause_of_is_not_counted(void **state)
{
	(void)state;
	heard(2, CRASHES_AGAIN, 64);
	for (int i = 0; i < 10; i++) {
		crashes_died(&c, CRASHES_EXITED, 64);
		crashes_died(&c, CRASHES_KILLED, 64);
	}
	assert_true(may());
	assert_int_equal(c.own.state, CRASHES_NONE);
	/* Nor does it undo what was. */
	crashes_died(&c, CRASHES_CRASHED, 64);
	crashes_died(&c, CRASHES_EXITED, 128);
	crashes_died(&c, CRASHES_CRASHED, 64);
	assert_false(may());
}

static void who_leads_anew_tries_once_more(void **state)
{
	(void)state;
	heard(2, CRASHES_AGAIN, 64);
	crashes_died(&c, CRASHES_CRASHED, 64);
	crashes_died(&c, CRASHES_CRASHED, 64);
	assert_false(may());
	assert_true(crashes_may_start(&c, 9));
	crashes_died(&c, CRASHES_CRASHED, 64);
	assert_false(crashes_may_start(&c, 9));
}

static void what_takes_clients_anywhere_has_survived(void **state)
{
	(void)state;
	heard(2, CRASHES_AGAIN, 64);
	crashes_died(&c, CRASHES_CRASHED, 64);
	crashes_died(&c, CRASHES_CRASHED, 64);
	assert_false(may());
	crashes_passed(&c);
	assert_true(may());
	crashes_died(&c, CRASHES_CRASHED, 64);
	crashes_died(&c, CRASHES_CRASHED, 64);
	assert_true(may());
	heard(2, CRASHES_AGAIN, 64);
	assert_false(may());
	/* It says so itself. */
	heard(2, CRASHES_NONE, 0);
	assert_true(may());
}

static void words_of_many_nodes_are_kept_and_the_oldest_is_forgotten(void **state)
{
	(void)state;
	crashes_died(&c, CRASHES_CRASHED, 64);
	crashes_died(&c, CRASHES_CRASHED, 64);
	for (uint8_t n = 1; n <= RAFT_MEMBERS_MAX; n++)
		heard(n, CRASHES_ONCE, 128);
	heard(3, CRASHES_ONCE, 64);
	assert_false(may());
	heard(3, CRASHES_ONCE, 128);
	assert_true(may());
	heard(100, CRASHES_ONCE, 64);
	assert_false(may());
	/* Who has nothing to say takes no place. */
	heard(101, CRASHES_NONE, 0);
	assert_false(may());
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_dies_twice_here_and_elsewhere_is_not_started),
	    TEST(one_node_alone_goes_on), TEST(progress_is_no_repetition),
	    TEST(what_a_node_alone_is_the_cause_of_is_not_counted),
	    TEST(who_leads_anew_tries_once_more),
	    TEST(what_takes_clients_anywhere_has_survived),
	    TEST(words_of_many_nodes_are_kept_and_the_oldest_is_forgotten)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
