/* What was looked up lately. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/recent.h"

static struct recent recent;
static int object[2];

static int setup(void **state)
{
	(void)state;
	recent = (struct recent){0};
	return 0;
}

static void nothing_is_found_before_it_was_put(void **state)
{
	(void)state;
	assert_null(recent_find(&recent, 0));
	assert_null(recent_find(&recent, 7));
	recent_drop(&recent, 7);
	recent_put(&recent, 7, &object[0]);
	assert_ptr_equal(recent_find(&recent, 7), &object[0]);
	assert_null(recent_find(&recent, 8));
}

static void what_has_the_same_slot_displaces_and_is_never_mistaken(void **state)
{
	(void)state;
	recent_put(&recent, 7, &object[0]);
	recent_put(&recent, 7 + RECENT_SLOTS, &object[1]);
	assert_null(recent_find(&recent, 7));
	assert_ptr_equal(recent_find(&recent, 7 + RECENT_SLOTS), &object[1]);
}

static void dropping_takes_out_the_object_and_no_other(void **state)
{
	(void)state;
	recent_put(&recent, 7, &object[0]);
	recent_drop(&recent, 7 + RECENT_SLOTS);
	assert_ptr_equal(recent_find(&recent, 7), &object[0]);
	recent_drop(&recent, 7);
	assert_null(recent_find(&recent, 7));
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {T(nothing_is_found_before_it_was_put),
	    T(what_has_the_same_slot_displaces_and_is_never_mistaken),
	    T(dropping_takes_out_the_object_and_no_other)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
