/* When the queue daemon runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/host/keeper.h"

static struct keeper keeper;
static struct engine_state log_;

static int setup(void **state)
{
	(void)state;
	keeper_init(&keeper, 2000);
	log_ = (struct engine_state){true, true, 7, 10, 10, 0, 10, 10};
	return 0;
}

static enum keeper_action turn(uint64_t now_ms)
{
	return keeper_turn(&keeper, &log_, true, now_ms);
}

static enum keeper_action event(enum keeper_event e, uint64_t now_ms)
{
	return keeper_event(&keeper, e, now_ms);
}

static enum keeper_action role(void)
{
	return keeper_role(&keeper, &log_, 0);
}

static void ready(void)
{
	assert_int_equal(turn(0), KEEPER_START);
	assert_int_equal(event(KEEPER_TAKES_CLIENTS, 0), KEEPER_NOTHING);
	assert_int_equal(keeper.state, KEEPER_READY);
}

static void it_starts_once_on_the_leader_that_serves_when_all_is_committed(void **state)
{
	(void)state;
	log_.last = 11;
	assert_int_equal(turn(0), KEEPER_NOTHING);
	log_.committed = 11;
	log_.serving = false;
	assert_int_equal(turn(0), KEEPER_NOTHING);
	log_.leads = false;
	assert_int_equal(turn(0), KEEPER_NOTHING);
	log_.leads = log_.serving = true;
	assert_int_equal(keeper_turn(&keeper, &log_, false, 0), KEEPER_NOTHING);
	assert_false(keeper_runs(&keeper));
	assert_int_equal(turn(0), KEEPER_START);
	assert_true(keeper_runs(&keeper));
	assert_int_equal(keeper.term, 7);
	assert_int_equal(turn(0), KEEPER_NOTHING);
	assert_int_equal(event(KEEPER_TAKES_CLIENTS, 0), KEEPER_NOTHING);
	log_.last = 12;
	assert_int_equal(turn(0), KEEPER_NOTHING);
	assert_int_equal(keeper.state, KEEPER_READY);
}

static void it_is_killed_when_leadership_goes_or_is_another_ones(void **state)
{
	(void)state;
	ready();
	assert_int_equal(role(), KEEPER_NOTHING);
	log_.leads = false;
	assert_int_equal(role(), KEEPER_KILL);
	assert_int_equal(role(), KEEPER_NOTHING);
	setup(state);
	ready();
	/* It led, did not, and leads again: all in one step. */
	log_.term = 8;
	assert_int_equal(role(), KEEPER_KILL);
	assert_int_equal(role(), KEEPER_NOTHING);
	setup(state);
	assert_int_equal(turn(0), KEEPER_START);
	assert_int_equal(event(KEEPER_UNWANTED, 0), KEEPER_KILL);
	setup(state);
	ready();
	assert_int_equal(event(KEEPER_DRAIN, 0), KEEPER_TERM);
	assert_int_equal(event(KEEPER_DRAIN, 0), KEEPER_NOTHING);
	assert_int_equal(event(KEEPER_UNWANTED, 0), KEEPER_KILL);
	assert_int_equal(keeper.state, KEEPER_IDLE);
}

static void what_dies_at_once_pauses_longer_each_time_and_then_gives_up(void **state)
{
	static const uint64_t pauses[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000};
	(void)state;
	uint64_t now = 50;

	for (unsigned i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
		assert_int_equal(turn(now), KEEPER_START);
		if (i % 2)
			assert_int_equal(event(KEEPER_TAKES_CLIENTS, now), KEEPER_NOTHING);
		now += KEEPER_QUICK_MS - 1;
		assert_int_equal(event(KEEPER_DIED, now), KEEPER_REST);
		assert_int_equal(keeper.pause_ms, pauses[i]);
		assert_int_equal(keeper_hands_over(&keeper, false), i >= 2);
		assert_int_equal(turn(now), KEEPER_NOTHING);
		assert_false(keeper_runs(&keeper));
		assert_int_equal(event(KEEPER_RESTED, now), KEEPER_NOTHING);
	}
	/* It has read the log for long. */
	assert_int_equal(turn(now), KEEPER_START);
	now += KEEPER_QUICK_MS;
	assert_int_equal(event(KEEPER_DIED, now), KEEPER_REST);
	assert_true(keeper_hands_over(&keeper, false));
	assert_int_equal(event(KEEPER_RESTED, now), KEEPER_NOTHING);
	/* One that took clients for long begins anew. */
	assert_int_equal(turn(now), KEEPER_START);
	assert_int_equal(event(KEEPER_TAKES_CLIENTS, now + KEEPER_QUICK_MS), KEEPER_NOTHING);
	assert_int_equal(event(KEEPER_DIED, now + 2 * KEEPER_QUICK_MS), KEEPER_REST);
	assert_int_equal(keeper.pause_ms, KEEPER_PAUSE_MIN_MS);
	assert_false(keeper_hands_over(&keeper, false));
}

static void what_does_not_answer_is_killed_and_runs_again(void **state)
{
	(void)state;
	assert_int_equal(turn(0), KEEPER_START);
	assert_true(keeper_is_watched(&keeper));
	assert_int_equal(event(KEEPER_TAKES_CLIENTS, 6000), KEEPER_NOTHING);
	assert_true(keeper_is_watched(&keeper));
	assert_int_equal(event(KEEPER_SILENT, 9000), KEEPER_REST);
	assert_false(keeper_runs(&keeper));
	assert_false(keeper_is_watched(&keeper));
	assert_false(keeper_hands_over(&keeper, false));
	assert_int_equal(event(KEEPER_RESTED, 9100), KEEPER_NOTHING);
	assert_int_equal(turn(9100), KEEPER_START);
	/* One that ends in order has a bound of its own. */
	assert_int_equal(event(KEEPER_DRAIN, 9200), KEEPER_TERM);
	assert_int_equal(event(KEEPER_SILENT, 9300), KEEPER_NOTHING);
}

static void what_hangs_as_it_starts_gives_up_at_once(void **state)
{
	(void)state;
	ready();
	assert_int_equal(event(KEEPER_DIED, KEEPER_QUICK_MS), KEEPER_REST);
	assert_int_equal(event(KEEPER_RESTED, KEEPER_QUICK_MS), KEEPER_NOTHING);
	assert_int_equal(turn(KEEPER_QUICK_MS), KEEPER_START);
	assert_int_equal(event(KEEPER_SILENT, 3 * KEEPER_QUICK_MS), KEEPER_REST);
	assert_true(keeper_hands_over(&keeper, false));
	assert_false(keeper_runs(&keeper));
}

/* However long it takes until that is noticed. */
static void what_hangs_each_time_gives_up(void **state)
{
	(void)state;
	uint64_t now = 0, silent_ms = 20000;

	keeper_init(&keeper, silent_ms);
	for (unsigned i = 0; i < KEEPER_DEATHS_MAX; i++) {
		assert_false(keeper_hands_over(&keeper, false));
		assert_int_equal(turn(now), KEEPER_START);
		assert_int_equal(event(KEEPER_TAKES_CLIENTS, now), KEEPER_NOTHING);
		now += silent_ms + silent_ms / 4;
		assert_int_equal(event(KEEPER_SILENT, now), KEEPER_REST);
		assert_int_equal(event(KEEPER_RESTED, now), KEEPER_NOTHING);
	}
	assert_true(keeper_hands_over(&keeper, false));
}

static void a_pause_ends_with_leadership(void **state)
{
	(void)state;
	ready();
	assert_int_equal(event(KEEPER_DIED, 1), KEEPER_REST);
	assert_int_equal(role(), KEEPER_NOTHING);
	assert_int_equal(keeper.state, KEEPER_PAUSE);
	log_.leads = false;
	assert_int_equal(role(), KEEPER_NOTHING);
	assert_int_equal(keeper.state, KEEPER_IDLE);
	log_.leads = true;
	log_.term = 9;
	assert_int_equal(turn(2), KEEPER_START);
	/* A timer that is late does nothing. */
	assert_int_equal(event(KEEPER_RESTED, 3), KEEPER_NOTHING);
	assert_int_equal(keeper.state, KEEPER_STARTING);
}

static void what_was_told_to_end_does_not_rest(void **state)
{
	(void)state;
	ready();
	assert_int_equal(event(KEEPER_DRAIN, 0), KEEPER_TERM);
	assert_true(keeper_runs(&keeper));
	assert_int_equal(event(KEEPER_TAKES_CLIENTS, 0), KEEPER_NOTHING);
	assert_int_equal(keeper.state, KEEPER_DRAINING);
	assert_int_equal(event(KEEPER_DIED, 0), KEEPER_NOTHING);
	assert_int_equal(keeper.state, KEEPER_IDLE);
	assert_int_equal(event(KEEPER_DRAIN, 0), KEEPER_NOTHING);
	assert_false(keeper_runs(&keeper));
}

/* Whatever comes: there is a process after START, until it died or was killed. */
static void a_process_is_known_of_in_every_state(void **state)
{
	(void)state;
	for (int e = 0; e < KEEPER_EVENTS; e++) {
		for (int s = 0; s < KEEPER_STATES; s++) {
			keeper = (struct keeper){.state = (enum keeper_state)s};
			bool ran = keeper_runs(&keeper);
			enum keeper_action a = event((enum keeper_event)e, 0);
			bool ends = a == KEEPER_KILL || a == KEEPER_REST || e == KEEPER_DIED;
			assert_int_equal(
			    keeper_runs(&keeper), (ran && !ends) || a == KEEPER_START);
			assert_false(!ran && (a == KEEPER_KILL || a == KEEPER_TERM));
			assert_false(ran && a == KEEPER_START);
		}
	}
}

#define T(name) cmocka_unit_test_setup(name, setup)

/* It has run nowhere: leadership goes round with a pause on each node. */
static void to_one_that_fails_as_well_it_is_handed_over_after_the_pause(void **state)
{
	(void)state;
	assert_int_equal(turn(0), KEEPER_START);
	assert_int_equal(event(KEEPER_DIED, 0), KEEPER_REST);
	assert_false(keeper_fails(&keeper, 0));
	keeper_give_up(&keeper, 0);
	assert_true(keeper_fails(&keeper, 0));
	assert_true(keeper_hands_over(&keeper, false));
	assert_false(keeper_hands_over(&keeper, true));
	assert_int_equal(event(KEEPER_RESTED, 100), KEEPER_NOTHING);
	assert_true(keeper_hands_over(&keeper, true));
	/* That says what it was when it led last. */
	log_.leads = false;
	assert_int_equal(role(), KEEPER_NOTHING);
	assert_true(keeper_fails(&keeper, 100));
	log_.leads = true;
	ready();
	assert_false(keeper_fails(&keeper, 100));
}

static void dies_at(uint64_t now_ms, bool after_long)
{
	assert_int_equal(turn(now_ms), KEEPER_START);
	if (after_long)
		assert_int_equal(
		    event(KEEPER_TAKES_CLIENTS, now_ms - KEEPER_QUICK_MS), KEEPER_NOTHING);
	assert_int_equal(event(KEEPER_DIED, now_ms), KEEPER_REST);
	assert_int_equal(event(KEEPER_RESTED, now_ms), KEEPER_NOTHING);
}

static void a_failure_counts_for_a_while_that_doubles_until_it_has_run_for_long(void **state)
{
	(void)state;
	uint64_t now = 0, ms = KEEPER_FAILS_SILENCE * 2000;

	for (unsigned i = 0; i < KEEPER_DEATHS_MAX; i++)
		dies_at(now, false);
	for (unsigned i = 0; i < 20; i++) {
		/* Once more while it fails. */
		now += ms - 1;
		assert_true(keeper_fails(&keeper, now));
		dies_at(now, false);
		now += ms - 1;
		assert_true(keeper_fails(&keeper, now));
		assert_false(keeper_fails(&keeper, ++now));
		assert_true(keeper.failed);
		dies_at(now, false);
		ms = 2 * ms < KEEPER_FAILS_MAX_MS ? 2 * ms : KEEPER_FAILS_MAX_MS;
	}
	now += KEEPER_QUICK_MS + ms;
	dies_at(now, true);
	assert_false(keeper_fails(&keeper, now));
	keeper_give_up(&keeper, now);
	assert_true(keeper_fails(&keeper, now + KEEPER_FAILS_SILENCE * 2000 - 1));
	assert_false(keeper_fails(&keeper, now + KEEPER_FAILS_SILENCE * 2000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(it_starts_once_on_the_leader_that_serves_when_all_is_committed),
	    T(it_is_killed_when_leadership_goes_or_is_another_ones),
	    T(what_dies_at_once_pauses_longer_each_time_and_then_gives_up),
	    T(what_does_not_answer_is_killed_and_runs_again),
	    T(what_hangs_as_it_starts_gives_up_at_once), T(what_hangs_each_time_gives_up),
	    T(a_pause_ends_with_leadership), T(what_was_told_to_end_does_not_rest),
	    T(a_process_is_known_of_in_every_state),
	    T(to_one_that_fails_as_well_it_is_handed_over_after_the_pause),
	    T(a_failure_counts_for_a_while_that_doubles_until_it_has_run_for_long)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
