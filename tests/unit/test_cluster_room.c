/* Room of the best majority. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/host/cluster_room.h"

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

#define ROOM(...) \
	cluster_room((struct voter_room[]){__VA_ARGS__}, \
	    sizeof((struct voter_room[]){__VA_ARGS__}) / sizeof(struct voter_room), &tail)

static void it_is_what_the_best_majority_has(void **state)
{
	(void)state;
	assert_int_equal(ROOM({500, 10}), 500);
	assert_int_equal(ROOM({500, 10}, {300, 10}), 300);
	assert_int_equal(ROOM({500, 10}, {0, 10}), 0);
	assert_int_equal(ROOM({0, 10}, {500, 10}, {300, 10}), 300);
	assert_int_equal(ROOM({300, 10}, {0, 10}, {500, 10}), 300);
	assert_int_equal(ROOM({0, 10}, {500, 10}, {0, 10}), 0);
	assert_int_equal(ROOM({1, 10}, {5, 10}, {4, 10}, {3, 10}, {2, 10}), 3);
	assert_int_equal(ROOM({1, 10}, {4, 10}, {3, 10}, {2, 10}), 2);
	assert_int_equal(cluster_room(NULL, 0, &tail), 0);
}

static void what_a_voter_has_not_seen_counts_against_it(void **state)
{
	(void)state;
	assert_int_equal(ROOM({500, 7}), 470);
	assert_int_equal(ROOM({20, 7}), 0);
	/* The one with most room is far behind. */
	assert_int_equal(ROOM({550, 2}, {480, 9}, {460, 10}), 470);
	/* Nothing was heard of it. */
	assert_int_equal(ROOM({0, 0}, {480, 9}, {460, 10}), 460);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(it_is_what_the_best_majority_has),
	    T(what_a_voter_has_not_seen_counts_against_it)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
