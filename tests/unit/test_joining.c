/* For how long a node asks to be let in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/host/joining.h"

#define SEEDS 3

static struct joining j;

static int setup(void **state)
{
	(void)state;
	j = (struct joining){0};
	joining_begin(&j, 800, 100);
	return 0;
}

static void a_node_that_nobody_lets_in_gives_up_after_its_time(void **state)
{
	(void)state;
	assert_true(joining_asks(&j, false, 100));
	assert_false(joining_is_over(&j, 899));
	assert_true(joining_is_over(&j, 900));
	joining_begin(&j, UINT64_MAX, 100);
	assert_false(joining_is_over(&j, UINT64_MAX - 1));
}

static void a_node_that_was_let_in_catches_up_for_as_long_as_it_is_led(void **state)
{
	uint64_t ms = 500;
	(void)state;
	assert_true(joining_let_in(&j, SEEDS, ms));
	for (; ms < 1000000; ms += JOINING_TRY_MS) {
		assert_false(joining_is_over(&j, ms));
		assert_false(joining_asks(&j, true, ms));
	}
	/* And as long as seeds say so. */
	for (; ms < 2000000; ms += JOINING_TRY_MS) {
		assert_false(joining_is_over(&j, ms));
		assert_true(joining_asks(&j, false, ms));
		assert_false(joining_let_in(&j, SEEDS, ms));
	}
}

static void a_node_that_was_let_in_gives_up_when_nobody_is_heard_any_more(void **state)
{
	(void)state;
	assert_true(joining_let_in(&j, SEEDS, 500));
	assert_true(joining_asks(&j, false, 500 + JOINING_TRY_MS));
	assert_false(joining_is_over(&j, 500 + 800 + SEEDS * JOINING_TRY_MS));
	assert_true(joining_is_over(&j, 500 + 800 + (SEEDS + 1) * JOINING_TRY_MS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup(name, setup)
	    T(a_node_that_nobody_lets_in_gives_up_after_its_time),
	    T(a_node_that_was_let_in_catches_up_for_as_long_as_it_is_led),
	    T(a_node_that_was_let_in_gives_up_when_nobody_is_heard_any_more),
#undef T
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
