/* Room of the best majority. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/host/cluster_room.h"
#include "core/host/health.h"

static struct tail tail;
static struct chunk *chunk;

static int setup(void **state)
{
	(void)state;
	tail_init(&tail);
	for (uint64_t i = 1; i <= 10; i++)
		tail_push(&tail, i, 1, chunk_put(&chunk, slice_str("0123456789")));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tail_deinit(&tail);
	chunk_drop(chunk);
	chunk = NULL;
	return 0;
}

#define PATIENCE_MS 1000

static const struct disk_room here = {10000, 10};

/* V(bytes, index): of a voter that has just answered. */
#define V(bytes, index) \
	{ \
		{bytes, index}, true, PATIENCE_MS \
	}
#define COUNT(...) (sizeof((struct voter_room[]){__VA_ARGS__}) / sizeof(struct voter_room))
#define ROOM(...) \
	cluster_room( \
	    (struct voter_room[]){__VA_ARGS__}, COUNT(__VA_ARGS__), &here, &tail, PATIENCE_MS)

static void it_is_what_the_best_majority_has(void **state)
{
	(void)state;
	assert_int_equal(ROOM(V(500, 10)), 500);
	assert_int_equal(ROOM(V(500, 10), V(300, 10)), 300);
	assert_int_equal(ROOM(V(500, 10), V(0, 10)), 0);
	assert_int_equal(ROOM(V(0, 10), V(500, 10), V(300, 10)), 300);
	assert_int_equal(ROOM(V(300, 10), V(0, 10), V(500, 10)), 300);
	assert_int_equal(ROOM(V(0, 10), V(500, 10), V(0, 10)), 0);
	assert_int_equal(ROOM(V(1, 10), V(5, 10), V(4, 10), V(3, 10), V(2, 10)), 3);
	assert_int_equal(ROOM(V(1, 10), V(4, 10), V(3, 10), V(2, 10)), 2);
	assert_int_equal(cluster_room(NULL, 0, &here, &tail, PATIENCE_MS), 0);
}

static void what_a_voter_has_not_seen_counts_against_it(void **state)
{
	(void)state;
	assert_int_equal(ROOM(V(500, 7)), 470);
	assert_int_equal(ROOM(V(20, 7)), 0);
	/* The one with most room is far behind. */
	assert_int_equal(ROOM(V(550, 2), V(480, 9), V(460, 10)), 470);
	/* Nothing was heard of it. */
	assert_int_equal(ROOM(V(0, 0), V(480, 9), V(460, 10)), 460);
}

static void it_is_no_more_than_the_leader_has(void **state)
{
	(void)state;
	struct disk_room full = {30, 8};
	struct voter_room voters[] = {V(500, 10), {full, true, 0}, V(400, 10)};

	assert_int_equal(cluster_room(voters, 3, &full, &tail, PATIENCE_MS), 10);
}

static void who_does_not_answer_has_none(void **state)
{
	(void)state;
	assert_int_equal(ROOM(V(300, 10), V(100, 10), {{900, 10}, true, PATIENCE_MS + 1}), 100);
	assert_int_equal(ROOM(V(300, 10), V(100, 10), {{900, 10}, false, 0}), 100);
	assert_int_equal(
	    ROOM(V(300, 10), {{800, 10}, true, PATIENCE_MS + 1}, {{900, 10}, true, UINT64_MAX}),
	    0);
}

static void who_is_behind_what_is_known_of_the_log_has_none(void **state)
{
	(void)state;
	tail_begin(&tail, 5);
	for (uint64_t i = 6; i <= 10; i++)
		tail_push(&tail, i, 1, chunk_put(&chunk, slice_str("0123456789")));
	assert_int_equal(ROOM(V(300, 10), V(100, 10), V(900, 4)), 100);
	assert_int_equal(ROOM(V(300, 10), V(100, 10), V(900, 5)), 300);
}

#define TOLD(bytes1, index1, bytes2, index2, ms) \
	room_is_news( \
	    &(struct disk_room){bytes1, index1}, &(struct disk_room){bytes2, index2}, ms)

static void room_is_told_when_it_changes_and_at_once_when_there_is_none(void **state)
{
	(void)state;
	assert_false(TOLD(5, 7, 5, 7, UINT64_MAX));
	assert_true(TOLD(5, 7, 4, 9, ROOM_TELL_MS));
	assert_false(TOLD(5, 7, 4, 9, ROOM_TELL_MS - 1));
	/* Nothing was stored: the disk has grown. */
	assert_true(TOLD(0, 7, 5, 7, ROOM_TELL_MS));
	assert_true(TOLD(5, 7, 0, 9, 0));
	assert_false(TOLD(0, 7, 0, 7, UINT64_MAX));
}

static bool waits(uint64_t bytes, uint64_t index, bool answered, uint64_t silent_ms, bool level)
{
	struct voter_room m = {{bytes, index}, answered, silent_ms};

	return member_waits_for_room(&m, level, PATIENCE_MS);
}

static void who_is_full_and_lacks_records_waits_for_room(void **state)
{
	(void)state;
	assert_true(waits(0, 7, true, PATIENCE_MS, false));
	assert_true(waits(HEALTH_FULL_BYTES - 1, 7, true, 0, false));
	assert_false(waits(HEALTH_FULL_BYTES, 7, true, 0, false));
	assert_false(waits(0, 7, true, 0, true));
	/* It is gone, or has not said yet what room it has. */
	assert_false(waits(0, 7, true, PATIENCE_MS + 1, false));
	assert_false(waits(0, 7, false, 0, false));
	assert_false(waits(0, 0, true, 0, false));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(it_is_what_the_best_majority_has),
	    T(what_a_voter_has_not_seen_counts_against_it),
	    T(it_is_no_more_than_the_leader_has), T(who_does_not_answer_has_none),
	    T(who_is_behind_what_is_known_of_the_log_has_none),
	    T(room_is_told_when_it_changes_and_at_once_when_there_is_none),
	    T(who_is_full_and_lacks_records_waits_for_room)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
