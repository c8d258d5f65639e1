/* Words that people write and read: units, receipts, envelopes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/units.h"
#include "core/client/envelope.h"
#include "core/wire/receipt.h"

static void durations_are_read_in_their_units(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} good[] = {{"250ms", 250}, {"0.5s", 500}, {"30s", 30000}, {"30", 30000},
	    {"5m", 300000}, {"2h", 7200000}, {"7d", 604800000}, {"0", 0},
	    {"infinity", UNITS_INFINITY}, {"1.5m", 90000}, {"0.0009s", 0}};
	static const char *const bad[] = {"", "s", "-1s", "1 s", "1x", "1.s", ".5s", "1e3",
	    "1ss", "99999999999999999999s", "9223372036854775807d", "Infinity"};
	uint64_t ms;
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(units_duration(good[i].text, &ms));
		assert_int_equal(ms, good[i].ms);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(units_duration(bad[i], &ms));
}

static void durations_are_printed_as_they_are_read(void **state)
{
	static const char *const texts[] = {
	    "250ms", "30s", "90s", "5m", "2h", "7d", "infinity", "0s", "1501ms"};
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char out[UNITS_TEXT_MAX];
		uint64_t ms;
		assert_true(units_duration(texts[i], &ms));
		units_print_duration(out, ms);
		assert_string_equal(out, texts[i]);
	}
}

static void numbers_are_printed_in_five_digits(void **state)
{
	static const struct {
		uint64_t n;
		const char *text;
	} all[] = {{0, "0"}, {99999, "99999"}, {100000, "100k"}, {99999999, "99999k"},
	    {100000000, "100M"}, {UINT64_MAX, "18446P"}};
	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		char out[UNITS_TEXT_MAX];
		assert_int_equal(units_print_brief(out, all[i].n), strlen(all[i].text));
		assert_string_equal(out, all[i].text);
	}
}

static void sizes_count_in_1024s(void **state)
{
	uint64_t n;
	(void)state;
	assert_true(units_size("64K", &n) && n == 65536);
	assert_true(units_size("1M", &n) && n == 1 << 20);
	assert_true(units_size("2G", &n) && n == 2ull << 30);
	assert_true(units_size("0", &n) && n == 0);
	assert_false(units_size("1KB", &n));
	assert_false(units_size("K", &n));
	assert_false(units_size("1k", &n));
	assert_false(units_size("99999999999T", &n));
	assert_true(units_count("7", 1, 7, &n) && n == 7);
	assert_false(units_count("8", 1, 7, &n));
	assert_false(units_count("7x", 1, 7, &n));
}

static void times_are_printed_in_utc(void **state)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} times[] = {{0, "1970-01-01T00:00:00.000Z"},
	    {951782400123, "2000-02-29T00:00:00.123Z"},
	    {1795440000000, "2026-11-23T13:20:00.000Z"},
	    {4107542399999, "2100-02-28T23:59:59.999Z"},
	    {4107542400000, "2100-03-01T00:00:00.000Z"}};
	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		char out[UNITS_TEXT_MAX];
		units_print_time(out, (struct wall_time){times[i].ms});
		assert_string_equal(out, times[i].text);
	}
}

static void receipts_are_read_as_they_are_printed(void **state)
{
	char out[RECEIPT_MAX];
	struct receipt r, in = {slice_str("a.b-c.dead"), SEQ_MAX, 7};
	static const char *const bad[] = {"", "jobs", "jobs:1", "jobs:1:", "jobs::1", ":1:1",
	    "jobs:1:1x", "jobs:a:1", "a/b:1:1", "jobs:1:99999999999999999999", "jobs:1:-1",
	    "jobs: 1:1", "jobs:0:1", "jobs:9223372036854775808:1",
	    "jobs:18446744073709551615:1"};
	(void)state;
	receipt_print(out, &in);
	assert_string_equal(out, "a.b-c.dead:9223372036854775807:7");
	assert_true(receipt_parse(slice_str(out), &r));
	assert_true(slice_eq(r.queue, in.queue) && r.seq == in.seq && r.lease == in.lease);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(receipt_parse(slice_str(bad[i]), &r));
}

static void strings_are_json_whatever_is_in_them(void **state)
{
	static const struct {
		const char *in;
		const char *out;
	} strings[] = {{"", "\"\""}, {"a\"b\\c", "\"a\\\"b\\\\c\""},
	    {"\b\f\n\r\t\x01\x7f", "\"\\b\\f\\n\\r\\t\\u0001\x7f\""},
	    {"\xc3\xa9\xf0\x9f\x98\x80", "\"\xc3\xa9\xf0\x9f\x98\x80\""},
	    {"a\xff\x62\xc3", "\"a\\ufffdb\\ufffd\""},
	    {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""}, {"\xc0\x80", "\"\\ufffd\\ufffd\""}};
	(void)state;
	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
		struct text t = {0};
		envelope_put_string(&t, slice_str(strings[i].in));
		text_put_char(&t, 0);
		assert_string_equal(t.data, strings[i].out);
		text_deinit(&t);
	}
}

static void headers_are_an_object_of_json(void **state)
{
	static const uint8_t pairs[] = {
	    1, 'a', 2, 0, 'x', '"', 5, 't', 'r', 'a', 'c', 'e', 0, 0};
	static const char json[] = "\"headers\":{\"a\":\"x\\\"\",\"trace\":\"\"},";
	struct envelope_fields f;
	struct envelope e = {.queue = slice_str("q"),
	    .seq = 3,
	    .headers = slice_of(pairs, sizeof(pairs)),
	    .body = slice_str("x")};
	struct text t = {0};
	(void)state;
	assert_true(envelope_fields_parse(&f, "headers,body"));
	envelope_put_fields(&t, &e, &f);
	text_put_char(&t, 0);
	assert_string_equal(t.data, "{\"a\":\"x\\\"\",\"trace\":\"\"}\tx");
	t.len = 0;
	envelope_put_json(&t, &e);
	text_put_char(&t, 0);
	assert_non_null(strstr(t.data, json));
	e.headers.len = 0;
	t.len = 0;
	envelope_put_json(&t, &e);
	text_put_char(&t, 0);
	assert_non_null(strstr(t.data, "\"headers\":{},"));
	text_deinit(&t);
}

static void a_list_of_fields_has_the_body_last(void **state)
{
	struct envelope_fields f;
	struct envelope e = {.queue = slice_str("q"),
	    .seq = 3,
	    .note = slice_str("a\tb"),
	    .body = slice_str("x\ty")};
	struct text t = {0};
	(void)state;
	assert_true(envelope_fields_parse(&f, "id,receipt,note,body"));
	envelope_put_fields(&t, &e, &f);
	text_put_char(&t, 0);
	assert_string_equal(t.data, "q:3\t-\ta b\tx\ty");
	text_deinit(&t);
	assert_true(envelope_fields_parse(&f, "id"));
	assert_false(envelope_fields_parse(&f, "body,id"));
	assert_false(envelope_fields_parse(&f, ""));
	assert_false(envelope_fields_parse(&f, "id,"));
	assert_false(envelope_fields_parse(&f, "ids"));
}

static void times_are_read_in_both_forms(void **state)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} good[] = {{0, "@0"}, {1795440000250, "@1795440000.25"},
	    {951782400123, "2000-02-29T00:00:00.123Z"},
	    {1795440000000, "2026-11-23T14:20:00+01:00"},
	    {1795440000000, "2026-11-23 07:50:00-05:30"},
	    {4107542400000, "2100-03-01t00:00:00z"}, {60000, "1970-01-01T00:00:60Z"}};
	static const char *const bad[] = {"", "@", "@-1", "@1x", "@1.", "@99999999999999",
	    "2026-11-23", "2026-11-23T13:20Z", "2026-11-23T13:20:00", "2026-13-01T00:00:00Z",
	    "2026-02-29T00:00:00Z", "2026-11-23T24:00:00Z", "2026-11-23T13:20:00Zx",
	    "2026-11-23T13:20:00+1", "2026-11-23T13:20:00+01:00x", "1969-12-31T23:59:59Z",
	    "1970-01-01T00:00:00+01:00", "2026-00-10T00:00:00Z", "2026-01-00T00:00:00Z"};
	struct wall_time t;
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(units_time(good[i].text, &t));
		assert_int_equal(t.ms, good[i].ms);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(units_time(bad[i], &t));
	for (uint64_t day = 0; day < 100000; day++) {
		char text[UNITS_TEXT_MAX];
		units_print_time(text, (struct wall_time){day * 86400000});
		assert_true(units_time(text, &t));
		assert_int_equal(t.ms, day * 86400000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(durations_are_read_in_their_units),
	    cmocka_unit_test(durations_are_printed_as_they_are_read),
	    cmocka_unit_test(numbers_are_printed_in_five_digits),
	    cmocka_unit_test(sizes_count_in_1024s), cmocka_unit_test(times_are_printed_in_utc),
	    cmocka_unit_test(times_are_read_in_both_forms),
	    cmocka_unit_test(receipts_are_read_as_they_are_printed),
	    cmocka_unit_test(strings_are_json_whatever_is_in_them),
	    cmocka_unit_test(headers_are_an_object_of_json),
	    cmocka_unit_test(a_list_of_fields_has_the_body_last)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
