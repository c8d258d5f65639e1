/* When a node asks to be let in, and for how long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/host/joining.h"

#define SEED_MS	 5000
#define RETRY_MS 10000

static struct joining j;

static void begin(uint64_t timeout_ms)
{
	joining_begin(&j, &(struct joining_settings){timeout_ms, SEED_MS, RETRY_MS}, 100);
}

static int setup(void **state)
{
	(void)state;
	j = (struct joining){.let_in = false};
	begin(800);
	return 0;
}

/* A round with this many seeds. */
static void begin_round(unsigned seeds, uint64_t ms)
{
	assert_int_equal(joining_turn(&j, false, ms), JOINING_ROUND);
	for (unsigned i = 0; i < seeds; i++)
		joining_ask(&j, i, ms);
}

static void a_node_that_nobody_lets_in_gives_up_after_its_time(void **state)
{
	(void)state;
	begin_round(1, 100);
	assert_int_equal(joining_due(&j), 900);
	assert_int_equal(joining_turn(&j, false, 899), JOINING_WAITS);
	assert_int_equal(joining_turn(&j, false, 900), JOINING_GIVES_UP);
	begin(UINT64_MAX);
	begin_round(1, 100);
	assert_int_equal(joining_turn(&j, false, UINT64_MAX - 1), JOINING_WAITS);
}

static void all_seeds_are_asked_at_once_and_each_has_its_time(void **state)
{
	(void)state;
	begin(UINT64_MAX);
	begin_round(3, 100);
	joining_ended(&j, 0, 110);
	/* A seed that the command has told later has its own time. */
	joining_ask(&j, 3, 1100);
	assert_int_equal(joining_due(&j), 100 + SEED_MS);
	assert_false(joining_late(&j, 1, 99 + SEED_MS));
	assert_true(joining_late(&j, 1, 100 + SEED_MS));
	assert_true(joining_late(&j, 2, 100 + SEED_MS));
	assert_false(joining_late(&j, 3, 100 + SEED_MS));
	assert_int_equal(joining_turn(&j, false, 100 + SEED_MS), JOINING_WAITS);
	assert_true(joining_late(&j, 3, 1100 + SEED_MS));
	/* The round is over. */
	assert_int_equal(joining_due(&j), 1100 + SEED_MS + JOINING_PAUSE_MS);
	assert_int_equal(joining_turn(&j, false, joining_due(&j) - 1), JOINING_WAITS);
	assert_int_equal(joining_turn(&j, false, joining_due(&j)), JOINING_ROUND);
}

static void settings_that_differ_end_it_unless_another_seed_lets_it_in(void **state)
{
	(void)state;
	begin(UINT64_MAX);
	begin_round(2, 100);
	joining_misfit(&j, 0, 150);
	/* The other one may know better. */
	assert_int_equal(joining_turn(&j, false, 150), JOINING_WAITS);
	joining_ended(&j, 1, 200);
	assert_int_equal(joining_due(&j), 200);
	assert_int_equal(joining_turn(&j, false, 200), JOINING_MISFIT);
	/* Anew: it does. */
	begin(UINT64_MAX);
	begin_round(2, 100);
	joining_misfit(&j, 0, 150);
	assert_true(joining_let_in(&j, 160));
	assert_int_equal(joining_turn(&j, false, 160 + JOINING_CALL_MS), JOINING_ROUND);
	/* Who was hung up on before has no say. */
	begin(UINT64_MAX);
	begin_round(1, 100);
	assert_true(joining_late(&j, 0, 100 + SEED_MS));
	joining_misfit(&j, 0, 101 + SEED_MS);
	assert_int_equal(joining_turn(&j, false, joining_due(&j)), JOINING_ROUND);
}

static void the_pause_between_rounds_doubles_up_to_what_was_set(void **state)
{
	uint64_t ms = 100, pause = JOINING_PAUSE_MS;
	(void)state;
	begin(UINT64_MAX);
	for (unsigned i = 0; i < 20; i++) {
		begin_round(2, ms);
		joining_ended(&j, 1, ms);
		joining_ended(&j, 0, ms + 7);
		joining_ended(&j, 0, ms + 8);
		assert_int_equal(joining_due(&j), ms + 7 + pause);
		ms = joining_due(&j);
		pause = pause * 2 < RETRY_MS ? pause * 2 : RETRY_MS;
	}
	assert_int_equal(pause, RETRY_MS);
	/* One that is told to ask begins anew. */
	begin(UINT64_MAX);
	assert_int_equal(joining_due(&j), 100);
	/* Also if there is nobody to ask it does not ask all the time. */
	assert_int_equal(joining_turn(&j, false, 100), JOINING_ROUND);
	assert_int_equal(joining_turn(&j, false, 100), JOINING_WAITS);
}

static void a_node_that_was_let_in_catches_up_for_as_long_as_it_is_led(void **state)
{
	uint64_t ms = 500;
	(void)state;
	begin_round(2, 100);
	assert_true(joining_let_in(&j, ms));
	/* That ends the round; the leader has its time to call. */
	assert_int_equal(joining_due(&j), 500 + JOINING_CALL_MS);
	for (; ms < 1000000; ms += JOINING_CALL_MS)
		assert_int_equal(joining_turn(&j, true, ms), JOINING_LED);
	/* And as long as seeds say so. */
	for (; ms < 2000000; ms += JOINING_CALL_MS) {
		begin_round(1, ms);
		assert_false(joining_let_in(&j, ms));
	}
}

static void a_node_that_was_let_in_gives_up_when_nobody_is_heard_any_more(void **state)
{
	const uint64_t until = 500 + JOINING_CALL_MS + SEED_MS + 800;
	(void)state;
	assert_true(joining_let_in(&j, 500));
	begin_round(1, 500 + JOINING_CALL_MS);
	assert_int_equal(joining_turn(&j, false, until - 1), JOINING_WAITS);
	assert_int_equal(joining_turn(&j, false, until), JOINING_GIVES_UP);
}

static void a_refusal_is_for_people_if_it_does_not_change_by_itself(void **state)
{
	(void)state;
	assert_int_equal(joining_refused(&j, RMQ_E_BUSY, false), JOINING_HINDERS);
	assert_int_equal(joining_refused(&j, RMQ_E_EXISTS, false), JOINING_DECIDES);
	assert_int_equal(joining_refused(&j, RMQ_E_VERSION, false), JOINING_DECIDES);
	assert_int_equal(joining_refused(&j, RMQ_E_CONFIG, false), JOINING_DECIDES);
	/* Who is no member yet has no cluster that could be recovered without it. */
	assert_int_equal(joining_refused(&j, RMQ_E_DENIED, false), JOINING_DECIDES);
	assert_true(joining_believes(&j));
}

static void a_member_that_is_led_hears_only_that_its_cluster_was_recovered(void **state)
{
	(void)state;
	joining_lost(&j);
	assert_int_equal(joining_refused(&j, RMQ_E_EXISTS, true), JOINING_PASSES);
	assert_int_equal(joining_refused(&j, RMQ_E_BUSY, true), JOINING_PASSES);
	assert_int_equal(joining_refused(&j, RMQ_E_EXISTS, false), JOINING_DECIDES);
	assert_true(joining_believes(&j));
	assert_int_equal(joining_refused(&j, RMQ_E_DENIED, true), JOINING_DECIDES);
	/* Nothing that its old cluster says takes that back; but a new beginning does. */
	assert_int_equal(joining_refused(&j, RMQ_E_BUSY, false), JOINING_HINDERS);
	assert_false(joining_believes(&j));
	joining_begin(&j, &(struct joining_settings){1000, 100, 100}, 0);
	assert_true(joining_believes(&j));
}

static void a_member_asks_until_it_is_led_and_nobody_refuses_it(void **state)
{
	(void)state;
	assert_true(joining_over(&j, false, true));
	joining_lost(&j);
	assert_false(joining_over(&j, false, false));
	assert_false(joining_over(&j, true, true));
	assert_true(joining_over(&j, true, false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup(name, setup)
	    T(a_node_that_nobody_lets_in_gives_up_after_its_time),
	    T(all_seeds_are_asked_at_once_and_each_has_its_time),
	    T(settings_that_differ_end_it_unless_another_seed_lets_it_in),
	    T(the_pause_between_rounds_doubles_up_to_what_was_set),
	    T(a_node_that_was_let_in_catches_up_for_as_long_as_it_is_led),
	    T(a_node_that_was_let_in_gives_up_when_nobody_is_heard_any_more),
	    T(a_refusal_is_for_people_if_it_does_not_change_by_itself),
	    T(a_member_that_is_led_hears_only_that_its_cluster_was_recovered),
	    T(a_member_asks_until_it_is_led_and_nobody_refuses_it),
#undef T
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
