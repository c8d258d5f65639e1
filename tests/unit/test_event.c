/* Events: walking a payload, and finding messages where a location says they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/wire/event.h"
#include "core/wire/journal_wire.h"

static uint8_t payload[RECORD_PAYLOAD_MAX];
static struct writer w;

static void begin(uint64_t lease_ms, uint64_t wall_ms)
{
	w = writer_of(payload, sizeof(payload));
	put_u64(&w, lease_ms);
	put_u64(&w, wall_ms);
}

static struct slice done(void)
{
	assert_false(w.full);
	return slice_of(payload, w.len);
}

/* A batch of the letters of `text`, a message each. */
static struct slice batch_of(const char *text)
{
	static uint8_t bytes[1024];
	struct writer b = writer_of(bytes, sizeof(bytes));
	uint16_t count = (uint16_t)strlen(text);
	put_u16(&b, count);
	put_u16(&b, 0);
	for (uint16_t i = 0; i < count; i++)
		put_u16(&b, (uint16_t)(2 * (i + 1)));
	for (uint16_t i = 0; i < count; i++) {
		put_u8(&b, (uint8_t)text[i]);
		put_u8(&b, '\n');
	}
	return slice_of(bytes, b.len);
}

static uint16_t put_send(uint32_t queue, const char *text)
{
	uint16_t offset = (uint16_t)w.len;
	struct event_send m = {queue, 1, 1, 1, NO_TAGS, batch_of(text)};
	event_put_send(&w, &m);
	return offset;
}

static uint16_t put_move(uint32_t queue, uint64_t time_ms, const char *text)
{
	uint16_t offset = (uint16_t)w.len;
	struct event_move m = {queue, 1, time_ms, NO_TAGS, batch_of(text)};
	event_put_move(&w, &m);
	return offset;
}

static void a_payload_is_walked_to_its_end(void **state)
{
	(void)state;
	struct events_header h;
	struct event_iter it;
	struct event e;
	struct event_extend extend = {7};
	struct event_extend got;
	begin(11, 22);
	put_send(1, "ab");
	uint16_t second = (uint16_t)w.len;
	event_put_extend(&w, &extend);
	assert_int_equal(events_open(done(), &h, &it), RMQ_E_OK);
	assert_int_equal(h.lease.ms, 11);
	assert_int_equal(h.wall.ms, 22);
	assert_int_equal(event_next(&it, &e), RMQ_E_OK);
	assert_int_equal(e.type, EVENT_TYPE_SEND);
	assert_int_equal(e.offset, EVENTS_HEADER_SIZE);
	assert_int_equal(event_next(&it, &e), RMQ_E_OK);
	assert_int_equal(e.type, EVENT_TYPE_EXTEND);
	assert_int_equal(e.offset, second);
	assert_true(event_extend_decode(e.body, &got));
	assert_int_equal(got.session, 7);
	assert_int_equal(event_next(&it, &e), RMQ_E_NOTHING);
	event_seek(&it, second);
	assert_int_equal(event_next(&it, &e), RMQ_E_OK);
	assert_int_equal(e.type, EVENT_TYPE_EXTEND);
}

static void a_cut_payload_is_corrupt_and_never_read_behind_its_end(void **state)
{
	(void)state;
	struct events_header h;
	struct event_iter it;
	struct event e;
	begin(1, 1);
	put_send(1, "abc");
	size_t whole = done().len;
	for (size_t len = 0; len < whole; len++) {
		enum rmq_error err = events_open(slice_of(payload, len), &h, &it);
		assert_int_equal(err, len < EVENTS_HEADER_SIZE ? RMQ_E_CORRUPT : RMQ_E_OK);
		if (!err && len > EVENTS_HEADER_SIZE)
			assert_int_equal(event_next(&it, &e), RMQ_E_CORRUPT);
	}
}

static void an_unknown_event_is_of_another_version(void **state)
{
	(void)state;
	struct events_header h;
	struct event_iter it;
	struct event e;
	begin(1, 1);
	put_u32(&w, 250);
	assert_int_equal(events_open(done(), &h, &it), RMQ_E_OK);
	assert_int_equal(event_next(&it, &e), RMQ_E_VERSION);
	assert_null(event_name(250));
	payload[EVENTS_HEADER_SIZE] = EVENT_TYPE_EXTEND;
	payload[EVENTS_HEADER_SIZE + 1] = 1;
	assert_int_equal(events_open(done(), &h, &it), RMQ_E_OK);
	assert_int_equal(event_next(&it, &e), RMQ_E_CORRUPT);
}

static void a_run_goes_on_in_the_queues_next_events(void **state)
{
	(void)state;
	struct event_run run;
	struct event_messages m;
	begin(1, 500);
	put_send(2, "x");
	uint16_t offset = put_send(1, "abc");
	put_send(2, "yz");
	put_move(1, 400, "de");
	put_send(1, "fgh");
	assert_int_equal(event_run_open(done(), offset, 1, 6, &run), RMQ_E_OK);

	assert_int_equal(event_run_next(&run, &m), RMQ_E_OK);
	assert_int_equal(m.slot, 1);
	assert_int_equal(m.count, 2);
	assert_int_equal(m.time_ms, 500);
	assert_true(slice_eq(batch_body(&m.batch, m.slot), slice_str("b")));
	assert_int_equal(event_run_next(&run, &m), RMQ_E_OK);
	assert_int_equal(m.slot, 0);
	assert_int_equal(m.count, 2);
	assert_int_equal(m.time_ms, 400);
	assert_true(slice_eq(batch_body(&m.batch, 0), slice_str("d")));
	assert_int_equal(event_run_next(&run, &m), RMQ_E_OK);
	assert_int_equal(m.count, 2);
	assert_true(slice_eq(batch_body(&m.batch, 0), slice_str("f")));
	assert_int_equal(event_run_next(&run, &m), RMQ_E_NOTHING);
}

static void a_location_that_leads_to_nothing_is_corrupt(void **state)
{
	(void)state;
	struct event_run run;
	struct event_messages m;
	struct event_extend extend = {7};
	begin(1, 1);
	uint16_t offset = put_send(1, "abc");
	uint16_t other = (uint16_t)w.len;
	event_put_extend(&w, &extend);
	static const struct {
		uint16_t slot;
		uint32_t wanted;
	} bad[] = {{3, 1}, {1, 3}, {0, 4}, {UINT16_MAX, 1}};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		enum rmq_error err;
		assert_int_equal(
		    event_run_open(done(), offset, bad[i].slot, bad[i].wanted, &run), RMQ_E_OK);
		while ((err = event_run_next(&run, &m)) == RMQ_E_OK)
			;
		assert_int_equal(err, RMQ_E_CORRUPT);
	}
	assert_int_equal(event_run_open(done(), other, 0, 1, &run), RMQ_E_OK);
	assert_int_equal(event_run_next(&run, &m), RMQ_E_CORRUPT);
	assert_int_equal(event_run_open(done(), UINT16_MAX, 0, 1, &run), RMQ_E_OK);
	assert_int_equal(event_run_next(&run, &m), RMQ_E_CORRUPT);
}

static void a_chunk_is_found_at_its_offset_and_nothing_else_is_one(void **state)
{
	(void)state;
	struct slice data, attributes;
	begin(1, 1);
	uint16_t send = put_send(1, "abc");
	uint16_t chunk = (uint16_t)w.len;
	struct event_chunk m = {1, 1, 1, 0, NO_TAGS, slice_str("piece")};
	event_put_chunk(&w, &m);
	assert_int_equal(event_chunk_data(done(), chunk, &data, &attributes), RMQ_E_OK);
	assert_true(slice_eq(data, slice_str("piece")));
	assert_int_equal(attributes.len, 0);
	assert_int_equal(event_chunk_data(done(), send, &data, &attributes), RMQ_E_CORRUPT);
	assert_int_equal(
	    event_chunk_data(done(), UINT16_MAX, &data, &attributes), RMQ_E_CORRUPT);
	/* Its attributes are checked, as all that is read from a disk. */
	uint16_t good = (uint16_t)w.len;
	m.tags = slice_of("\2\0\5\0\3\0\1\0t", 9);
	event_put_chunk(&w, &m);
	uint16_t bad = (uint16_t)w.len;
	m.tags = slice_of("\2\0\5\0\3\0\2\0t", 9);
	event_put_chunk(&w, &m);
	assert_int_equal(event_chunk_data(done(), good, &data, &attributes), RMQ_E_OK);
	assert_true(slice_eq(attributes, slice_of("\3\0\1\0t", 5)));
	assert_int_equal(event_chunk_data(done(), bad, &data, &attributes), RMQ_E_CORRUPT);
}

static void every_event_is_decoded_whole_or_not_at_all(void **state)
{
	(void)state;
	struct events_header h;
	struct event_iter it;
	struct event e;
	begin(1, 1);
#define X(type, NAME, name, FIELDS) \
	{ \
		struct event_##name m; \
		memset(&m, 0, sizeof(m)); \
		event_put_##name(&w, &m); \
	}
	EVENTS(X)
#undef X
	assert_int_equal(events_open(done(), &h, &it), RMQ_E_OK);
#define X(type_, NAME, name, FIELDS) \
	{ \
		struct event_##name m; \
		assert_int_equal(event_next(&it, &e), RMQ_E_OK); \
		assert_int_equal(e.type, type_); \
		assert_string_equal(event_name(type_), #name); \
		assert_true(event_##name##_decode(e.body, &m)); \
		for (size_t len = 0; len < e.body.len; len++) \
			assert_false(event_##name##_decode(slice_of(e.body.data, len), &m)); \
	}
	EVENTS(X)
#undef X
	assert_int_equal(event_next(&it, &e), RMQ_E_NOTHING);
}

static void an_end_names_its_dead_and_nothing_else_does(void **state)
{
	(void)state;
	static const uint8_t two[2 * HOLE_RANGE_SIZE] = {1};
	struct slice ranges;
	struct event_end_parts parts = {1, slice_of(two, 8)};
	struct event_end_dead dead = {slice_of(two, sizeof(two))};
	begin(1, 2);
	event_put_end_parts(&w, &parts);
	assert_int_equal(event_dead_ranges(done(), &ranges), RMQ_E_OK);
	assert_int_equal(ranges.len, 0);
	event_put_end_dead(&w, &dead);
	assert_int_equal(event_dead_ranges(done(), &ranges), RMQ_E_OK);
	assert_int_equal(ranges.len, sizeof(two));
	assert_memory_equal(ranges.data, two, sizeof(two));
	assert_int_equal(
	    event_dead_ranges(slice_of(payload, w.len - 1), &ranges), RMQ_E_CORRUPT);
	begin(1, 2);
	dead.ranges.len--;
	event_put_end_dead(&w, &dead);
	assert_int_equal(event_dead_ranges(done(), &ranges), RMQ_E_CORRUPT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_payload_is_walked_to_its_end),
	    cmocka_unit_test(a_cut_payload_is_corrupt_and_never_read_behind_its_end),
	    cmocka_unit_test(an_unknown_event_is_of_another_version),
	    cmocka_unit_test(a_run_goes_on_in_the_queues_next_events),
	    cmocka_unit_test(a_location_that_leads_to_nothing_is_corrupt),
	    cmocka_unit_test(a_chunk_is_found_at_its_offset_and_nothing_else_is_one),
	    cmocka_unit_test(an_end_names_its_dead_and_nothing_else_does),
	    cmocka_unit_test(every_event_is_decoded_whole_or_not_at_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
