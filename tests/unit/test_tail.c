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

static void bytes_after_a_record_are_counted_as_far_as_they_are_known(void **state)
{
	(void)state;
	push(5, "a");
	push(6, "bb");
	push(7, "ccc");
	assert_int_equal(tail_bytes_behind(&tail, 5), 5);
	assert_int_equal(tail_bytes_behind(&tail, 6), 3);
	assert_int_equal(tail_bytes_behind(&tail, 7), 0);
	assert_int_equal(tail_bytes_behind(&tail, 8), 0);
	assert_int_equal(tail_bytes_behind(&tail, 2), 6);
	tail_truncate(&tail, 7);
	push(7, "d");
	assert_int_equal(tail_bytes_behind(&tail, 5), 3);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(a_payload_stays_when_the_next_chunk_begins),
	    T(a_record_that_does_not_follow_is_the_only_one),
	    T(truncation_drops_from_its_index_on),
	    T(the_oldest_give_way_to_bytes_and_to_records),
	    T(bytes_after_a_record_are_counted_as_far_as_they_are_known)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
