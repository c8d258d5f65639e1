/* The newest records in memory, and the memory that their payloads share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/host/tail.h"

static struct tail tail;
static struct chunk *chunk;

static int setup(void **state)
{
	(void)state;
	tail_init(&tail);
	chunk = NULL;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tail_deinit(&tail);
	chunk_drop(chunk);
	return 0;
}

static void push(uint64_t index, const char *text)
{
	tail_push(&tail, index, 1, chunk_put(&chunk, slice_str(text)));
}

static void holds(uint64_t index, const char *text)
{
	const struct tail_record *r = tail_get(&tail, index);

	assert_non_null(r);
	assert_int_equal(r->piece.bytes.len, strlen(text));
	assert_memory_equal(r->piece.bytes.data, text, strlen(text));
}

static void a_payload_stays_when_the_next_chunk_begins(void **state)
{
	(void)state;
	static uint8_t large[CHUNK_SIZE];

	push(1, "first");
	struct chunk *old = chunk;
	tail_push(&tail, 2, 1, chunk_put(&chunk, slice_of(large, sizeof(large))));
	assert_ptr_not_equal(chunk, old);
	assert_int_equal(old->refs, 1); /* the tail's */
	holds(1, "first");
}

static void a_record_that_does_not_follow_is_the_only_one(void **state)
{
	(void)state;
	push(1, "a");
	push(2, "b");
	push(9, "c");
	assert_null(tail_get(&tail, 2));
	holds(9, "c");
	assert_int_equal(tail.bytes, 1);
	assert_int_equal(chunk->refs, 2);
}

static void truncation_drops_from_its_index_on(void **state)
{
	(void)state;
	push(5, "a");
	push(6, "bb");
	push(7, "ccc");
	tail_truncate(&tail, 6);
	holds(5, "a");
	assert_null(tail_get(&tail, 6));
	assert_int_equal(tail.bytes, 1);
	push(6, "dddd");
	holds(6, "dddd");
	/* In front of all that is there: nothing is left, and the next one goes on from there.
	 */
	tail_truncate(&tail, 3);
	assert_null(tail_get(&tail, 5));
	push(3, "e");
	holds(3, "e");
	assert_int_equal(chunk->refs, 2);
}

static void the_oldest_give_way_to_bytes_and_to_records(void **state)
{
	(void)state;
	struct chunk *large = chunk_new(TAIL_BYTES / 4);
	struct piece quarter = {slice_of(large->bytes, TAIL_BYTES / 4), large};

	for (uint64_t i = 1; i <= 5; i++)
		tail_push(&tail, i, 1, quarter);
	assert_int_equal(tail.first, 2);
	assert_int_equal(tail.bytes, TAIL_BYTES);
	assert_int_equal(large->refs, 5);
	for (uint64_t i = 6; i <= 6 + TAIL_RECORDS; i++)
		push(i, "");
	assert_int_equal(tail.end - tail.first, TAIL_RECORDS);
	assert_int_equal(large->refs, 1);
	chunk_drop(large);
}

static void bytes_after_a_record_are_counted(void **state)
{
	(void)state;
	tail_begin(&tail, 4);
	push(5, "a");
	push(6, "bb");
	push(7, "ccc");
	assert_int_equal(tail_bytes_after(&tail, 4), 6);
	assert_int_equal(tail_bytes_after(&tail, 5), 5);
	assert_int_equal(tail_bytes_after(&tail, 6), 3);
	assert_int_equal(tail_bytes_after(&tail, 7), 0);
	assert_int_equal(tail_bytes_after(&tail, 8), 0);
	/* It came before the process began. */
	assert_true(tail_bytes_after(&tail, 3) == UINT64_MAX);
	tail_truncate(&tail, 7);
	push(7, "d");
	assert_int_equal(tail_bytes_after(&tail, 5), 3);
	/* Holes. */
	push(20, "ee");
	assert_int_equal(tail_bytes_after(&tail, 20), 0);
	assert_int_equal(tail_bytes_after(&tail, 4), 6);
	tail_truncate(&tail, 3);
	push(3, "f");
	assert_int_equal(tail_bytes_after(&tail, 2), 1);
	assert_true(tail_bytes_after(&tail, 1) == UINT64_MAX);
}

/* Records of 32 KiB: a mark for each second one of those that are held no more. */
static void they_are_known_further_back_than_payloads(void **state)
{
	(void)state;
	const uint64_t size = TAIL_MARK_BYTES / 2, held = TAIL_BYTES / size, all = 4 * held;
	struct chunk *c = chunk_new(size);

	for (uint64_t i = 1; i <= all; i++)
		tail_push(&tail, i, 1, (struct piece){slice_of(c->bytes, size), c});
	assert_null(tail_get(&tail, all - held));
	for (uint64_t i = 0; i <= all; i++) {
		uint64_t is = tail_bytes_after(&tail, i), least = (all - i) * size;
		assert_in_range(is, least, least + TAIL_MARK_BYTES);
	}
	/* Back to where only marks are: a record of the next part counts as if it were there.
	 */
	tail_truncate(&tail, held + 2);
	assert_in_range(tail_bytes_after(&tail, 0), (held + 1) * size, (held + 3) * size);
	tail_push(&tail, held + 2, 1, (struct piece){slice_of(c->bytes, size), c});
	assert_in_range(tail_bytes_after(&tail, held - 1), 3 * size, 5 * size);
	chunk_drop(c);
}

static void further_back_than_all_marks_nothing_is_known(void **state)
{
	(void)state;
	const uint64_t size = TAIL_MARK_BYTES, all = TAIL_MARKS + TAIL_BYTES / size + 10;
	struct chunk *c = chunk_new(size);

	for (uint64_t i = 1; i <= all; i++)
		tail_push(&tail, i, 1, (struct piece){slice_of(c->bytes, size), c});
	assert_true(tail_bytes_after(&tail, 5) == UINT64_MAX);
	assert_int_equal(tail_bytes_after(&tail, 20), (all - 20) * size);
	chunk_drop(c);
}

static void what_died_is_a_hole_and_holds_no_payload(void **state)
{
	(void)state;
	push(1, "a");
	push(2, "bb");
	push(3, "ccc");
	tail_dig(&tail, 0, 3);
	assert_int_equal(tail_get(&tail, 2)->kind, TAIL_HOLE);
	assert_int_equal(tail_get(&tail, 2)->piece.bytes.len, 0);
	assert_int_equal(tail_get(&tail, 3)->kind, 1);
	assert_int_equal(tail.bytes, 3);
	tail_dig(&tail, 3, UINT32_MAX);
	tail_dig(&tail, 3, 1);
	assert_int_equal(tail.bytes, 0);
	push(4, "d");
	assert_int_equal(tail_bytes_after(&tail, 3), 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(a_payload_stays_when_the_next_chunk_begins),
	    T(a_record_that_does_not_follow_is_the_only_one),
	    T(truncation_drops_from_its_index_on),
	    T(the_oldest_give_way_to_bytes_and_to_records), T(bytes_after_a_record_are_counted),
	    T(they_are_known_further_back_than_payloads),
	    T(further_back_than_all_marks_nothing_is_known),
	    T(what_died_is_a_hole_and_holds_no_payload)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
