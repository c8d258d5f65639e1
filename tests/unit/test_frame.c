/* Frames, and the messages of both protocols that are made of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/wire/frame.h"
#include "core/wire/journal_wire.h"
#include "core/wire/wire.h"

static uint8_t buffer[FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX + 16];

static void a_frame_is_found_once_it_is_whole(void **state)
{
	(void)state;
	struct frame f = {0};
	size_t used;
	frame_header(buffer, 42, 5);
	memcpy(buffer + FRAME_HEADER_SIZE, "hello", 5);
	for (size_t len = 0; len < FRAME_HEADER_SIZE + 5; len++) {
		assert_int_equal(frame_parse(slice_of(buffer, len), &f, &used), RMQ_E_OK);
		assert_int_equal(used, 0);
		assert_int_equal(f.type, 0);
	}
	assert_int_equal(frame_parse(slice_of(buffer, sizeof(buffer)), &f, &used), RMQ_E_OK);
	assert_int_equal(used, FRAME_HEADER_SIZE + 5);
	assert_int_equal(f.type, 42);
	assert_true(slice_eq(f.payload, slice_str("hello")));
}

static void the_longest_payload_is_the_limit(void **state)
{
	(void)state;
	struct frame f;
	size_t used;
	frame_header(buffer, 1, FRAME_PAYLOAD_MAX);
	assert_int_equal(frame_parse(slice_of(buffer, sizeof(buffer)), &f, &used), RMQ_E_OK);
	assert_int_equal(used, FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX);
	store_u32(buffer, FRAME_PAYLOAD_MAX + 1);
	assert_int_equal(frame_parse(slice_of(buffer, 8), &f, &used), RMQ_E_PROTOCOL);
	store_u32(buffer, UINT32_MAX);
	assert_int_equal(frame_parse(slice_of(buffer, 8), &f, &used), RMQ_E_PROTOCOL);
}

static void bytes_that_are_zero_in_version_1_have_to_be(void **state)
{
	(void)state;
	struct frame f;
	size_t used;
	for (size_t i = 5; i < FRAME_HEADER_SIZE; i++) {
		frame_header(buffer, 1, 0);
		buffer[i] = 1;
		assert_int_equal(frame_parse(slice_of(buffer, 8), &f, &used), RMQ_E_PROTOCOL);
	}
}

static void a_frame_that_does_not_fit_sets_full(void **state)
{
	(void)state;
	uint8_t small[FRAME_HEADER_SIZE + 10];
	struct writer w = writer_of(small, sizeof(small));
	struct journal_barrier m = {1};
	journal_put_barrier(&w, &m);
	assert_false(w.full);
	journal_put_barrier(&w, &m);
	assert_true(w.full);

	static uint8_t much[FRAME_PAYLOAD_MAX];
	w = writer_of(buffer, sizeof(buffer));
	struct journal_append a = {1, 1, slice_of(much, FRAME_PAYLOAD_MAX - 9)};
	journal_put_append(&w, &a);
	assert_false(w.full);
	w = writer_of(buffer, sizeof(buffer));
	a.payload.len++;
	journal_put_append(&w, &a);
	assert_true(w.full);
}

/* Encodes a message of zeros, decodes it, and finds each cut and each byte too much. */
#define X(type_, NAME, name, FIELDS) \
	static void check_##name(void) \
	{ \
		struct writer w = writer_of(buffer, sizeof(buffer)); \
		PREFIX(name) in, out; \
		struct frame f; \
		size_t used; \
		memset(&in, 0, sizeof(in)); \
		PUT(name)(&w, &in); \
		assert_int_equal(frame_parse(slice_of(buffer, w.len), &f, &used), RMQ_E_OK); \
		assert_int_equal(used, w.len); \
		assert_int_equal(f.type, type_); \
		assert_true(DECODE(name)(f.payload, &out)); \
		for (size_t len = 0; len < f.payload.len; len++) \
			assert_false(DECODE(name)(slice_of(f.payload.data, len), &out)); \
	}
#define PREFIX(name) struct wire_##name
#define PUT(name)    wire_put_##name
#define DECODE(name) wire_##name##_decode
WIRE_CLIENT_FRAMES(X)
WIRE_GATE_FRAMES(X)
WIRE_DAEMON_FRAMES(X)
#undef X

static void every_frame_of_clients_and_daemon_is_decoded_whole_or_not_at_all(void **state)
{
	(void)state;
#define X(type, NAME, name, FIELDS) check_##name();
	WIRE_CLIENT_FRAMES(X)
	WIRE_GATE_FRAMES(X)
	WIRE_DAEMON_FRAMES(X)
#undef X
}

static void every_frame_has_a_type_of_its_own(void **state)
{
	bool seen[256] = {false};
	(void)state;
#define X(type, NAME, name, FIELDS) \
	assert_false(seen[type]); \
	seen[type] = true; \
	assert_string_equal(wire_name(type), #NAME);
	WIRE_CLIENT_FRAMES(X)
	WIRE_GATE_FRAMES(X)
	WIRE_DAEMON_FRAMES(X)
#undef X
	memset(seen, 0, sizeof(seen));
#define X(type, NAME, name, FIELDS) \
	assert_false(seen[type]); \
	seen[type] = true;
	JOURNAL_OPENER_FRAMES(X)
	JOURNAL_JOURNAL_FRAMES(X)
#undef X
	assert_null(wire_name(0));
	assert_null(wire_name(255));
}

static void the_journals_frames_carry_their_fields(void **state)
{
	(void)state;
	struct frame f;
	size_t used;
	struct journal_stored in = {0x0102030405060708, 9, 10}, out;
	struct writer w = writer_of(buffer, sizeof(buffer));
	journal_put_stored(&w, &in);
	assert_int_equal(frame_parse(slice_of(buffer, w.len), &f, &used), RMQ_E_OK);
	assert_int_equal(f.type, 65);
	static const uint8_t bytes[20] = {8, 7, 6, 5, 4, 3, 2, 1, 9, 0, 0, 0, 10};
	assert_int_equal(f.payload.len, sizeof(bytes));
	assert_memory_equal(f.payload.data, bytes, sizeof(bytes));
	assert_true(journal_stored_decode(f.payload, &out));
	assert_int_equal(out.first_n, in.first_n);
	assert_int_equal(out.count, 9);
	assert_int_equal(out.first_index, 10);
	assert_int_equal(JOURNAL_APPEND_HEAD, 17);
}

static void a_string_longer_than_its_length_byte_sets_full(void **state)
{
	static uint8_t text[256];
	(void)state;
	struct writer w = writer_of(buffer, sizeof(buffer));
	put_str(&w, slice_of(text, 255));
	assert_false(w.full);
	put_str(&w, slice_of(text, 256));
	assert_true(w.full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_frame_is_found_once_it_is_whole),
	    cmocka_unit_test(the_longest_payload_is_the_limit),
	    cmocka_unit_test(bytes_that_are_zero_in_version_1_have_to_be),
	    cmocka_unit_test(a_frame_that_does_not_fit_sets_full),
	    cmocka_unit_test(every_frame_of_clients_and_daemon_is_decoded_whole_or_not_at_all),
	    cmocka_unit_test(every_frame_has_a_type_of_its_own),
	    cmocka_unit_test(the_journals_frames_carry_their_fields),
	    cmocka_unit_test(a_string_longer_than_its_length_byte_sets_full),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
