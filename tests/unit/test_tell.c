/* What nodes say of themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/host/tell.h"

static uint8_t bytes[TELL_SIZE_MAX];
static struct writer w;

static int setup(void **state)
{
	(void)state;
	w = writer_of(bytes, sizeof(bytes));
	return 0;
}

static struct slice written(void)
{
	assert_false(w.full);
	return slice_of(bytes, w.len);
}

static void all_that_is_said_is_heard(void **state)
{
	(void)state;
	static struct tell said, heard;
	uint16_t unknown;

	for (unsigned i = 0; i < METRICS_COUNT; i++)
		metrics_set(&said.metrics, (enum metric)i, i + 1);
	memset(said.metrics.version, 'v', METRICS_VERSION_MAX);
	said.opinion.suspects.count = said.opinion.unheard.count = MEMBERS_LINKS_MAX;
	for (unsigned i = 0; i < MEMBERS_LINKS_MAX; i++)
		said.opinion.suspects.ids[i] = said.opinion.unheard.ids[i] =
		    (struct raft_id){{1, (uint8_t)i}};
	settings_times(&said.settings, 500, 100);
	said.says_roles = true;
	for (unsigned i = 0; i < 4; i++)
		strcat(said.roles, (const char *[]){"a", ",b", ",c", ",dd"}[i]);
	tell_encode(&w, &said);
	/* In order. */
	assert_int_equal(tags_check(written(), 0, NULL, &unknown), RMQ_E_OK);
	assert_true(tell_decode(written(), &heard));
	assert_memory_equal(&heard, &said, sizeof(said));
}

static void what_is_not_known_is_not_said(void **state)
{
	(void)state;
	static const struct tell said;
	static struct tell heard;
	uint64_t value;

	tell_encode(&w, &said);
	assert_int_equal(w.len, 0);
	metrics_set(&heard.metrics, METRIC_LAG, 1);
	assert_true(tell_decode(written(), &heard));
	assert_false(metrics_get(&heard.metrics, METRIC_LAG, &value));
}

/* One tag with so many bytes. */
static bool takes(uint16_t tag, size_t len)
{
	static const uint8_t zeros[4096];
	struct tell t;

	w.len = 0;
	tags_put(&w, tag, slice_of(zeros, len));
	return tell_decode(written(), &t);
}

static void a_tag_of_another_size_is_refused(void **state)
{
	(void)state;
	assert_true(takes(TELL_TAG_LAG, 8));
	assert_false(takes(TELL_TAG_LAG, 4));
	assert_false(takes(TELL_TAG_LOAD, 8));
	assert_true(takes(TELL_TAG_SUSPECTS, 2 * RAFT_ID_SIZE));
	assert_false(takes(TELL_TAG_SUSPECTS, RAFT_ID_SIZE + 1));
	static uint8_t more[4096];
	w = writer_of(more, sizeof(more));
	tags_put(&w, TELL_TAG_UNHEARD,
	    slice_of(more + 2048, (MEMBERS_LINKS_MAX + 1) * RAFT_ID_SIZE));
	struct tell t;
	assert_false(tell_decode(slice_of(more, w.len), &t));
	/* Cut. */
	assert_false(tell_decode(slice_of(more, w.len - 1), &t));
}

static void a_version_is_visible(void **state)
{
	(void)state;
	struct tell t;

	tags_put(&w, TELL_TAG_VERSION, slice_str("1.2-3"));
	assert_true(tell_decode(written(), &t));
	assert_string_equal(t.metrics.version, "1.2-3");
	w.len = 0;
	tags_put(&w, TELL_TAG_VERSION, slice_str("1\n2"));
	assert_false(tell_decode(written(), &t));
}

static void what_is_new_is_passed_over_or_says_nothing(void **state)
{
	(void)state;
	uint64_t value;
	struct tell t;

	tags_put_u64(&w, TELL_TAG_LAG, 7);
	tags_put_u64(&w, 0x7001, 1);
	assert_true(tell_decode(written(), &t));
	assert_true(metrics_get(&t.metrics, METRIC_LAG, &value));
	assert_int_equal(value, 7);
	tags_put_u64(&w, 0x7002, 1);
	assert_true(tell_decode(written(), &t));
	assert_false(metrics_get(&t.metrics, METRIC_LAG, &value));
}

static void a_number_is_cut_to_its_bytes(void **state)
{
	(void)state;
	static struct tell t;
	uint64_t value;

	metrics_set(&t.metrics, METRIC_LOAD, UINT64_MAX);
	tell_encode(&w, &t);
	assert_true(tell_decode(written(), &t));
	assert_true(metrics_get(&t.metrics, METRIC_LOAD, &value));
	assert_int_equal(value, UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(all_that_is_said_is_heard, setup),
	    cmocka_unit_test_setup(what_is_not_known_is_not_said, setup),
	    cmocka_unit_test_setup(a_tag_of_another_size_is_refused, setup),
	    cmocka_unit_test_setup(a_version_is_visible, setup),
	    cmocka_unit_test_setup(what_is_new_is_passed_over_or_says_nothing, setup),
	    cmocka_unit_test_setup(a_number_is_cut_to_its_bytes, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
