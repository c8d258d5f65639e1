/* Gate to gate: the frames, and the credit of a stream. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/link/gate_flow.h"
#include "core/wire/gate_wire.h"

static uint8_t buffer[FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX];

#define VALUE_u16(name)	  .name = 0xabcd,
#define VALUE_u8(name)	  .name = 0xef,
#define VALUE_u32(name)	  .name = 0x89abcdef,
#define VALUE_rest(name)  .name = {(const uint8_t *)"bytes", 5},
#define VALUE_tags(name)  .name = {(const uint8_t *)"\2\0\1\0x", 5},
#define VALUE(kind, name) VALUE_##kind(name)

static void each_frame_is_decoded_whole_or_not_at_all(void **state)
{
	(void)state;
#define X(number, NAME, name, FIELDS) \
	{ \
		struct gate_##name in = {FIELDS(VALUE)}, out; \
		struct writer w = writer_of(buffer, sizeof(buffer)), again; \
		uint8_t copy[64]; \
		struct frame f; \
		size_t used; \
		gate_put_##name(&w, &in); \
		assert_int_equal(frame_parse(slice_of(buffer, w.len), &f, &used), RMQ_E_OK); \
		assert_int_equal(used, w.len); \
		assert_int_equal(f.type, GATE_TYPE_##NAME); \
		assert_true(gate_##name##_decode(f.payload, &out)); \
		again = writer_of(copy, sizeof(copy)); \
		gate_put_##name(&again, &out); \
		assert_int_equal(again.len, w.len); \
		assert_memory_equal(copy, buffer, w.len); \
		assert_false(gate_##name##_decode(slice_of(f.payload.data, 3), &out)); \
	}
	GATE_FRAMES(X)
#undef X
}

static void the_head_of_data_is_as_the_table_says(void **state)
{
	(void)state;
	struct writer w = writer_of(buffer, sizeof(buffer));
	gate_put_data(&w, &(struct gate_data){7, {NULL, 0}});
	assert_int_equal(w.len, GATE_DATA_HEAD);
	assert_int_equal(load_u32(buffer + FRAME_HEADER_SIZE), 7);
	assert_true(GATE_DATA_HEAD - FRAME_HEADER_SIZE + GATE_DATA_MAX <= FRAME_PAYLOAD_MAX);
}

static void a_stream_begins_with_the_small_window(void **state)
{
	(void)state;
	struct gate_flow f;
	gate_flow_init(&f);
	assert_int_equal(f.may_send, GATE_WINDOW_FIRST);
	assert_int_equal(gate_flow_grant(&f, 0), 0);
	assert_false(gate_flow_data(&f, GATE_WINDOW_FIRST + 1));
	assert_true(gate_flow_data(&f, GATE_WINDOW_FIRST));
	assert_false(gate_flow_data(&f, 1));
}

/* Whatever comes and goes: what the peer may send and what waits are never more than a window.
 */
static void credit_is_given_for_what_has_left_and_for_no_more(void **state)
{
	(void)state;
	struct gate_flow f;
	size_t waiting = 0;
	uint64_t came = 0;
	uint32_t random = 1;
	gate_flow_init(&f);
	for (int i = 0; i < 100000; i++) {
		random = random * 1664525 + 1013904223;
		uint32_t n = f.may_come ? (random >> 8) % (f.may_come + 1) : 0;
		assert_true(gate_flow_data(&f, n));
		came += n;
		waiting += n;
		waiting -= waiting ? (random >> 4) % (waiting + 1) : 0;
		if (i == 5000)
			gate_flow_widen(&f);
		uint32_t grant = gate_flow_grant(&f, waiting);
		assert_true(
		    f.may_come + waiting <= (i < 5000 ? GATE_WINDOW_FIRST : GATE_WINDOW));
		assert_true(grant == 0 || f.may_come + waiting == f.window);
		/* It never stands still: what is not told is small. */
		assert_true(f.may_come + waiting > f.window - f.window / 4 - 1);
	}
	assert_true(came > 1000ull * GATE_WINDOW_FIRST);
}

static void a_stream_that_carries_much_asks_for_the_large_window_once(void **state)
{
	(void)state;
	struct gate_flow f;
	gate_flow_init(&f);
	for (int i = 0; i < 3; i++) {
		assert_true(gate_flow_data(&f, GATE_WINDOW_FIRST));
		assert_false(gate_flow_busy(&f));
		assert_int_equal(gate_flow_grant(&f, 0), GATE_WINDOW_FIRST);
	}
	assert_true(gate_flow_data(&f, GATE_WINDOW_FIRST));
	assert_true(gate_flow_busy(&f));
	gate_flow_widen(&f);
	assert_false(gate_flow_busy(&f));
	assert_int_equal(gate_flow_grant(&f, 0), GATE_WINDOW);
}

static void nobody_gives_more_credit_than_a_window(void **state)
{
	(void)state;
	struct gate_flow f;
	gate_flow_init(&f);
	assert_false(gate_flow_credit(&f, GATE_WINDOW));
	assert_false(gate_flow_credit(&f, UINT32_MAX));
	assert_true(gate_flow_credit(&f, GATE_WINDOW - GATE_WINDOW_FIRST));
	assert_int_equal(f.may_send, GATE_WINDOW);
	assert_false(gate_flow_credit(&f, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_frame_is_decoded_whole_or_not_at_all),
	    cmocka_unit_test(the_head_of_data_is_as_the_table_says),
	    cmocka_unit_test(a_stream_begins_with_the_small_window),
	    cmocka_unit_test(credit_is_given_for_what_has_left_and_for_no_more),
	    cmocka_unit_test(a_stream_that_carries_much_asks_for_the_large_window_once),
	    cmocka_unit_test(nobody_gives_more_credit_than_a_window),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
