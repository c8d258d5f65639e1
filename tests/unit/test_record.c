/* Records: what is sealed opens, and nothing that differs from it in a bit does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/wire/record.h"

static uint8_t record[RECORD_MAX];

static struct slice seal(enum record_kind kind, uint64_t index, uint64_t term, size_t len)
{
	struct record_header h = {kind, index, term};
	for (size_t i = 0; i < len; i++)
		record[RECORD_HEADER_SIZE + i] = (uint8_t)(i * 7);
	record_seal(record, &h, len);
	return slice_of(record, RECORD_HEADER_SIZE + len);
}

static void a_sealed_record_opens_with_what_was_sealed(void **state)
{
	static const size_t lengths[] = {0, 1, 100, RECORD_PAYLOAD_MAX};
	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct record_header h;
		struct slice payload;
		struct slice value = seal(RECORD_END, 77, 5, lengths[i]);
		assert_int_equal(record_open(value, 77, &h, &payload), RMQ_E_OK);
		assert_int_equal(h.kind, RECORD_END);
		assert_int_equal(h.index, 77);
		assert_int_equal(h.term, 5);
		assert_ptr_equal(payload.data, record + RECORD_HEADER_SIZE);
		assert_int_equal(payload.len, lengths[i]);
	}
}

static void every_changed_bit_is_found(void **state)
{
	(void)state;
	struct record_header h;
	struct slice payload;
	struct slice value = seal(RECORD_EVENTS, 3, 1, 40);
	for (size_t bit = 0; bit < value.len * 8; bit++) {
		record[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(record_open(value, 3, &h, &payload), RMQ_E_OK);
		record[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(record_open(value, 3, &h, &payload), RMQ_E_OK);
}

static void a_cut_or_longer_record_is_corrupt(void **state)
{
	(void)state;
	struct record_header h;
	struct slice payload;
	struct slice value = seal(RECORD_EVENTS, 3, 1, 40);
	for (size_t len = 0; len < value.len; len++)
		assert_int_equal(
		    record_open(slice_of(record, len), 3, &h, &payload), RMQ_E_CORRUPT);
	assert_int_equal(
	    record_open(slice_of(record, value.len + 1), 3, &h, &payload), RMQ_E_CORRUPT);
}

static void a_record_in_anothers_place_is_corrupt(void **state)
{
	(void)state;
	struct record_header h;
	struct slice payload;
	struct slice value = seal(RECORD_EVENTS, 3, 1, 40);
	assert_int_equal(record_open(value, 4, &h, &payload), RMQ_E_CORRUPT);
	assert_int_equal(record_peek(value, 4, &h, &payload), RMQ_E_CORRUPT);
}

static void an_unknown_version_or_kind_is_told_from_damage(void **state)
{
	(void)state;
	struct record_header h;
	struct slice payload;
	struct slice value = seal((enum record_kind)99, 3, 1, 40);
	assert_int_equal(record_open(value, 3, &h, &payload), RMQ_E_VERSION);
	value = seal(RECORD_EVENTS, 3, 1, 40);
	record[0] = JOURNAL_VERSION + 1;
	assert_int_equal(record_open(value, 3, &h, &payload), RMQ_E_VERSION);
}

static void peek_does_all_but_the_checksum(void **state)
{
	(void)state;
	struct record_header h;
	struct slice payload;
	struct slice value = seal(RECORD_PART, 3, 9, 40);
	record[RECORD_HEADER_SIZE] ^= 1;
	assert_int_equal(record_peek(value, 3, &h, &payload), RMQ_E_OK);
	assert_int_equal(h.term, 9);
	assert_int_equal(payload.len, 40);
	assert_int_equal(record_open(value, 3, &h, &payload), RMQ_E_CORRUPT);
}

/* Frozen: a record written today is read by every later version. */
static void the_bytes_are_those_of_rmq_journal(void **state)
{
	static const uint8_t header[24] = {2, 1, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1};
	static const uint8_t sum[8] = {0x67, 0xde, 0x5d, 0xd0, 0x51, 0x74, 0x6b, 0x69};
	(void)state;
	struct record_header h = {RECORD_EVENTS, 2, 1};
	memcpy(record + RECORD_HEADER_SIZE, "abc", 3);
	record_seal(record, &h, 3);
	assert_memory_equal(record, header, sizeof(header));
	assert_memory_equal(record + 24, sum, sizeof(sum));
}

static void each_kind_has_a_name(void **state)
{
	(void)state;
#define X(name, code) assert_string_equal(record_kind_name(code), #name);
	RECORD_KINDS(X)
#undef X
	assert_null(record_kind_name(0));
	assert_null(record_kind_name(255));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_sealed_record_opens_with_what_was_sealed),
	    cmocka_unit_test(every_changed_bit_is_found),
	    cmocka_unit_test(a_cut_or_longer_record_is_corrupt),
	    cmocka_unit_test(a_record_in_anothers_place_is_corrupt),
	    cmocka_unit_test(an_unknown_version_or_kind_is_told_from_damage),
	    cmocka_unit_test(peek_does_all_but_the_checksum),
	    cmocka_unit_test(the_bytes_are_those_of_rmq_journal),
	    cmocka_unit_test(each_kind_has_a_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
