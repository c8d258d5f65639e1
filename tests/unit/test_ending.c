/* How a node ends that is told to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/host/ending.h"

static struct ending ending;
static struct ending_seen seen;

static int setup(void **state)
{
	(void)state;
	ending = (struct ending){0};
	seen = (struct ending_seen){
	    .leads = true, .serving = true, .successor = true, .runs = true};
	assert_int_equal(ending_due(&ending), UINT64_MAX);
	ending_begin(&ending, 100);
	return 0;
}

static enum ending_action turn(uint64_t now_ms)
{
	return ending_turn(&ending, &seen, now_ms);
}

static void a_leader_hands_over_before_its_queue_daemon_is_told(void **state)
{
	(void)state;
	assert_int_equal(turn(100), ENDING_HAND_OVER);
	seen.serving = false;
	assert_int_equal(turn(101), ENDING_NOTHING);
	assert_int_equal(ending_due(&ending), 100 + ENDING_HAND_OVER_MS);
	/* The successor has not taken over: again. */
	seen.serving = true;
	assert_int_equal(turn(1500), ENDING_HAND_OVER);
	seen.leads = seen.serving = seen.runs = false;
	assert_int_equal(turn(1501), ENDING_END);
}

static void without_a_successor_the_queue_daemon_ends_in_order_at_once(void **state)
{
	(void)state;
	seen.successor = false;
	assert_int_equal(turn(100), ENDING_DRAIN);
	assert_int_equal(turn(101), ENDING_DRAIN);
	seen.runs = false;
	assert_int_equal(turn(102), ENDING_END);
}

static void what_is_late_is_not_waited_for(void **state)
{
	(void)state;
	assert_int_equal(turn(100 + ENDING_HAND_OVER_MS - 1), ENDING_HAND_OVER);
	assert_int_equal(turn(100 + ENDING_HAND_OVER_MS), ENDING_DRAIN);
	uint64_t due = ending_due(&ending);
	assert_int_equal(due, 100 + ENDING_HAND_OVER_MS + ENDING_DRAIN_MS);
	/* To be told once more gives no more time. */
	ending_begin(&ending, due - 1);
	assert_int_equal(turn(due - 1), ENDING_DRAIN);
	assert_int_equal(turn(due), ENDING_END);
}

static void who_follows_ends_at_once(void **state)
{
	(void)state;
	seen = (struct ending_seen){0};
	assert_int_equal(turn(100), ENDING_END);
	assert_int_equal(turn(101), ENDING_END);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(a_leader_hands_over_before_its_queue_daemon_is_told, setup),
	    cmocka_unit_test_setup(
		without_a_successor_the_queue_daemon_ends_in_order_at_once, setup),
	    cmocka_unit_test_setup(what_is_late_is_not_waited_for, setup),
	    cmocka_unit_test_setup(who_follows_ends_at_once, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
