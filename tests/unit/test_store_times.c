/* How long the newest transactions took. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/host/store_times.h"

static struct store_times t;
static uint32_t median, p99;

static int setup(void **state)
{
	(void)state;
	t = (struct store_times){0};
	return 0;
}

static void add(uint64_t from, uint64_t to)
{
	for (uint64_t us = from; us <= to; us++)
		store_times_add(&t, us);
}

static void of_none_nothing_is_known(void **state)
{
	(void)state;
	assert_false(store_times_get(&t, &median, &p99));
	add(7, 7);
	assert_true(store_times_get(&t, &median, &p99));
	assert_int_equal(median, 7);
	assert_int_equal(p99, 7);
}

static void median_and_99th_percentile(void **state)
{
	(void)state;
	add(51, 100);
	add(1, 50);
	assert_true(store_times_get(&t, &median, &p99));
	assert_int_equal(median, 50);
	assert_int_equal(p99, 99);
}

static void the_oldest_are_forgotten_and_the_longest_held(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		store_times_add(&t, UINT64_MAX);
	assert_true(store_times_get(&t, &median, &p99));
	assert_true(median == UINT32_MAX && p99 == UINT32_MAX);
	add(1, STORE_TIMES);
	assert_true(store_times_get(&t, &median, &p99));
	assert_int_equal(median, STORE_TIMES / 2);
	assert_int_equal(p99, 254);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(of_none_nothing_is_known, setup),
	    cmocka_unit_test_setup(median_and_99th_percentile, setup),
	    cmocka_unit_test_setup(the_oldest_are_forgotten_and_the_longest_held, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
