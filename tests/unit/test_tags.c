#include "core/base/tags.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka.h needs those before it. */
#include <cmocka.h>

static uint8_t bytes[256];

static const char *knows_four_and_five(unsigned type, unsigned tag)
{
	return type == 9 && (tag == 4 || tag == 5) ? "known" : NULL;
}

static enum rmq_error check(struct slice list, uint16_t *unknown)
{
	return tags_check(list, 9, knows_four_and_five, unknown);
}

static struct slice list_of(const uint16_t *tags, size_t count)
{
	struct writer w = writer_of(bytes, sizeof(bytes));
	for (size_t i = 0; i < count; i++)
		tags_put(&w, tags[i], slice_str("value"));
	assert_false(w.full);
	return slice_of(bytes, w.len);
}

#define LIST(...) \
	list_of((const uint16_t[]){__VA_ARGS__}, \
	    sizeof((const uint16_t[]){__VA_ARGS__}) / sizeof(uint16_t))

static void odd_tags_may_be_unknown_and_even_ones_may_not(void **state)
{
	uint16_t unknown;
	(void)state;
	assert_int_equal(check(NO_TAGS, &unknown), RMQ_E_OK);
	assert_int_equal(check(LIST(1, 4, 5, 7, 65535), &unknown), RMQ_E_OK);
	assert_int_equal(check(LIST(1, 6, 8), &unknown), RMQ_E_VERSION);
	assert_int_equal(unknown, 6);
	assert_int_equal(tags_check(LIST(4), 8, knows_four_and_five, &unknown), RMQ_E_VERSION);
}

static void a_list_that_no_writer_makes_is_refused(void **state)
{
	uint16_t unknown;
	(void)state;
	assert_int_equal(check(LIST(5, 4), &unknown), RMQ_E_PROTOCOL);
	assert_int_equal(check(LIST(4, 4), &unknown), RMQ_E_PROTOCOL);
	assert_int_equal(check(LIST(0), &unknown), RMQ_E_PROTOCOL);
	/* Also after a tag that is not known. */
	assert_int_equal(check(LIST(6, 5), &unknown), RMQ_E_PROTOCOL);
	struct slice whole = LIST(3, 4);
	for (size_t len = 1; len < whole.len; len++)
		if (len != whole.len / 2)
			assert_int_equal(
			    check(slice_of(whole.data, len), &unknown), RMQ_E_PROTOCOL);
}

static void a_value_is_found_by_its_tag(void **state)
{
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct slice value;
	(void)state;
	tags_put(&w, 3, slice_str("three"));
	tags_put(&w, 4, slice_str(""));
	struct slice list = slice_of(bytes, w.len);
	assert_true(tags_find(list, 3, &value));
	assert_true(slice_eq(value, slice_str("three")));
	assert_true(tags_find(list, 4, &value));
	assert_int_equal(value.len, 0);
	assert_false(tags_find(list, 2, &value));
	assert_false(tags_find(list, 5, &value));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(odd_tags_may_be_unknown_and_even_ones_may_not),
	    cmocka_unit_test(a_list_that_no_writer_makes_is_refused),
	    cmocka_unit_test(a_value_is_found_by_its_tag),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
