#include "core/base/version.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka.h needs those before it. */
#include <cmocka.h>

static void the_newest_common_version_is_spoken(void **state)
{
	struct versions ours = {2, 4};
	(void)state;
	assert_int_equal(versions_common(ours, (struct versions){2, 4}), 4);
	assert_int_equal(versions_common(ours, (struct versions){1, 3}), 3);
	assert_int_equal(versions_common(ours, (struct versions){4, 9}), 4);
	assert_int_equal(versions_common(ours, (struct versions){0, 1}), 0);
	assert_int_equal(versions_common(ours, (struct versions){5, 9}), 0);
	/* No range at all. */
	assert_int_equal(versions_common(ours, (struct versions){4, 2}), 0);
}

static void both_ranges_are_named(void **state)
{
	char text[128];
	(void)state;
	assert_string_equal(versions_differ(text, sizeof(text), "the client",
				(struct versions){5, 9}, (struct versions){2, 2}),
	    "the client knows version 5 to 9, this program knows 2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_newest_common_version_is_spoken),
	    cmocka_unit_test(both_ranges_are_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
