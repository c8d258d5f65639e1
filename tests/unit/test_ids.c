/* Ids of messages that were sent: against a list that is searched from end to end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "core/base/limits.h"
#include "core/queue/ids.h"

#define MOST 40000

static struct ids ids;
static uint64_t part_bytes;
static struct id list[MOST];
static uint32_t first, end; /* of what is in the list */

static int setup(void **state)
{
	(void)state;
	ids_init(&ids, &part_bytes);
	/* Its numbers go round soon. */
	ids.first = ids.end = UINT32_MAX - 1000;
	first = end = MOST / 2;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ids_deinit(&ids);
	assert_int_equal(part_bytes, 0);
	return 0;
}

static void add(uint64_t hash, uint64_t ms)
{
	assert_false(ids_add(&ids, (struct id){hash, ms, hash + 1}));
	list[end++] = (struct id){hash, ms, hash + 1};
}

static void add_older(uint64_t hash, uint64_t ms)
{
	ids_add_older(&ids, (struct id){hash, ms, hash + 1});
	list[--first] = (struct id){hash, ms, hash + 1};
}

static void forget(uint64_t now_ms, uint64_t dedup_ms)
{
	ids_forget(&ids, now_ms, dedup_ms);
	while (first < end && now_ms - list[first].ms >= dedup_ms)
		first++;
}

/* What is there, in order; and each is found for as long as dedup_ms says. */
static void compare(uint64_t now_ms, uint64_t dedup_ms)
{
	assert_int_equal(ids_count(&ids), end - first);
	for (uint32_t i = first; i < end; i++) {
		const struct id *id = ids_at(&ids, ids.first + (i - first));
		assert_int_equal(id->hash, list[i].hash);
		assert_int_equal(id->ms, list[i].ms);
		assert_int_equal(id->seq, list[i].seq);
		assert_ptr_equal(ids_find(&ids, id->hash, now_ms, dedup_ms),
		    now_ms - id->ms < dedup_ms ? id : NULL);
	}
	/* Of a place that others have, too. */
	for (uint64_t hash = 0; hash < 300; hash++)
		assert_null(ids_find(&ids, hash << 32, now_ms, dedup_ms));
}

/* They come and go, many at a time or few: the ring grows and shrinks, and goes round. */
static void what_was_added_is_found_until_it_is_forgotten(void **state)
{
	uint64_t ms = 0, number = 0, seed = 1;
	(void)state;
	while (end < MOST - 1000) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		uint32_t dice = (uint32_t)(seed >> 33);
		for (uint32_t i = dice % 700; i > 0; i--, number++)
			add(number << 32 | (number * 7 % 64 + 1), ms += dice % 3);
		forget(ms, dice / 700 % 4000);
		compare(ms, dice % 900);
	}
	forget(ms, 0);
	compare(ms, 1);
	assert_int_equal(part_bytes, 0);
	assert_null(ids.ring);
}

/* What a checkpoint's later pieces bring goes before what is there, or is there. */
static void older_ones_come_later(void **state)
{
	(void)state;
	for (uint64_t i = 5000; i < 5100; i++)
		add(i, i);
	forget(5099, 50);
	for (uint64_t i = 5049; i > 100; i--) {
		add_older(i, i);
		if (i % 7 == 0)
			ids_add_older(&ids, (struct id){i + 40, i, 0});
		if (i % 100 == 0)
			add(10000 - i, 10000 - i);
	}
	compare(10000, 5000);
	forget(10000, 5000);
	compare(10000, 3000);
}

static void one_more_than_may_be_takes_the_place_of_the_oldest(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= IDS_MAX; i++)
		assert_false(ids_add(&ids, (struct id){i, i, i}));
	assert_true(ids_add(&ids, (struct id){IDS_MAX + 1, IDS_MAX, 1}));
	assert_int_equal(ids_count(&ids), IDS_MAX);
	assert_null(ids_find(&ids, 1, IDS_MAX, UINT64_MAX));
	assert_non_null(ids_find(&ids, 2, IDS_MAX, UINT64_MAX));
	ids_add_older(&ids, (struct id){1, 1, 1});
	assert_int_equal(ids_count(&ids), IDS_MAX);
	assert_int_equal(ids.places, IDS_MAX);
}

/* A step or two each: not as many as there are. */
static void a_checkpoint_of_many_is_read_at_once(void **state)
{
	(void)state;
	for (uint64_t i = IDS_MAX; i > 0; i--)
		ids_add_older(&ids, (struct id){i * 0x9e3779b97f4a7c15, i, i});
	assert_int_equal(ids_count(&ids), IDS_MAX);
	for (uint64_t i = 1; i <= IDS_MAX; i++)
		assert_non_null(ids_find(&ids, i * 0x9e3779b97f4a7c15, IDS_MAX, UINT64_MAX));
}

/* Whoever brings them may choose them: in seconds of this, not in minutes. */
static void hashes_that_are_alike_cost_no_more_than_others(void **state)
{
	clock_t start = clock();
	(void)state;
	for (uint64_t i = IDS_MAX / 2; i > 0; i--)
		ids_add_older(&ids, (struct id){i << 40, i, i});
	for (uint64_t i = 1; i <= IDS_MAX / 2; i++)
		assert_non_null(ids_find(&ids, i << 40, IDS_MAX, UINT64_MAX));
	assert_true(clock() - start < 10 * CLOCKS_PER_SEC);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(what_was_added_is_found_until_it_is_forgotten),
	    T(older_ones_come_later), T(a_checkpoint_of_many_is_read_at_once),
	    T(hashes_that_are_alike_cost_no_more_than_others),
	    T(one_more_than_may_be_takes_the_place_of_the_oldest)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
