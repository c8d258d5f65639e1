/* What is wrong with another member. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/host/health.h"
#include "core/host/troubles.h"
#include "core/raft/node_wire.h"

static struct member_link link_;
static struct trouble_seen seen;

static int setup(void **state)
{
	(void)state;
	link_ = (struct member_link){.alive_ms = 1000};
	seen = (struct trouble_seen){
	    .signs = {true, true, true}, .up = true, .heard = 1, .room = HEALTH_FULL_BYTES};
	return 0;
}

static enum trouble turn(uint64_t now_ms)
{
	return trouble_turn(&link_, &seen, now_ms);
}

static void one_that_is_well_has_none(void **state)
{
	(void)state;
	assert_int_equal(turn(1000), TROUBLE_NONE);
	/* It has said nothing yet. */
	seen.heard = seen.room = 0;
	assert_int_equal(turn(1000), TROUBLE_NONE);
}

static void the_worst_of_what_it_says_counts(void **state)
{
	(void)state;
	seen.differs = true;
	assert_int_equal(turn(1000), TROUBLE_DIFFERS);
	seen.flags = NODE_STATE_ASTRAY;
	assert_int_equal(turn(1000), TROUBLE_ASTRAY_HERE);
	seen.flags |= NODE_STATE_FAILS;
	assert_int_equal(turn(1000), TROUBLE_FAILS);
	seen.room--;
	assert_int_equal(turn(1000), TROUBLE_FULL);
	seen.flags |= NODE_STATE_HANGS;
	assert_int_equal(turn(1000), TROUBLE_HANGS);
	/* What it said when it was up. */
	seen.up = false;
	assert_int_equal(turn(1000), TROUBLE_NONE);
	/* It comes no further than to be told so. */
	seen.flags |= NODE_STATE_FORGOT;
	assert_int_equal(turn(1000), TROUBLE_FORGOT);
}

static void what_goes_one_way_only_for_long_is_said_with_its_way(void **state)
{
	(void)state;
	seen.signs.answers = seen.up = false;
	for (uint64_t now = 2000; now < 2000 + MEMBER_UP_MS; now += 500) {
		link_.alive_ms = now;
		assert_int_equal(turn(now), TROUBLE_NONE);
	}
	assert_int_equal(turn(2000 + MEMBER_UP_MS), TROUBLE_UNREACHED);
	/* A connection over which nothing comes is none. */
	assert_int_equal(turn(2000 + 2 * MEMBER_UP_MS), TROUBLE_NONE);
	/* The other way, and anew. */
	seen.signs = (struct member_signs){.answers = true};
	assert_int_equal(turn(10000), TROUBLE_NONE);
	assert_int_equal(turn(10000 + MEMBER_UP_MS - 1), TROUBLE_NONE);
	assert_int_equal(turn(10000 + MEMBER_UP_MS), TROUBLE_UNREACHING);
	link_.alive_ms = 10000 + MEMBER_UP_MS;
	seen.signs.calls = seen.up = true;
	assert_int_equal(turn(10000 + MEMBER_UP_MS), TROUBLE_NONE);
	/* One that hangs. */
	seen.up = false;
	for (uint64_t now = 20000; now < 20000 + 3 * MEMBER_UP_MS; now += 500)
		assert_int_equal(turn(now), TROUBLE_NONE);
}

static void one_that_is_up_elsewhere_than_it_says_for_long_is_astray(void **state)
{
	(void)state;
	seen.astray = true;
	assert_int_equal(turn(1000), TROUBLE_NONE);
	assert_int_equal(turn(1000 + MEMBER_UP_MS - 1), TROUBLE_NONE);
	/* It was stopped: nobody answers anywhere. */
	seen.up = false;
	assert_int_equal(turn(1000 + MEMBER_UP_MS), TROUBLE_NONE);
	seen.up = true;
	assert_int_equal(turn(10000), TROUBLE_NONE);
	assert_int_equal(turn(10000 + MEMBER_UP_MS), TROUBLE_ASTRAY);
	seen.astray = false;
	assert_int_equal(turn(10000 + MEMBER_UP_MS), TROUBLE_NONE);
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {T(one_that_is_well_has_none),
	    T(the_worst_of_what_it_says_counts),
	    T(what_goes_one_way_only_for_long_is_said_with_its_way),
	    T(one_that_is_up_elsewhere_than_it_says_for_long_is_astray)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
