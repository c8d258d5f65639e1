#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/queue/ledger.h"
#include "core/queue/records.h"

#define INDEXES 20000

static struct record all[INDEXES];
static bool there[INDEXES];
static struct records records;

static uint64_t below(uint64_t n)
{
	static uint64_t state = 1;
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (state >> 33) % n;
}

static int setup(void **state)
{
	(void)state;
	memset(there, 0, sizeof(there));
	for (size_t i = 0; i < INDEXES; i++)
		all[i].index = i;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	records_deinit(&records);
	return 0;
}

static void put(uint64_t i)
{
	records_insert(&records, &all[i]);
	there[i] = true;
}

static void take(uint64_t i)
{
	records_remove(&records, &all[i]);
	there[i] = false;
}

/* What is found from each index on, and at it, is what is there. */
static void check(void)
{
	struct record *next = NULL;
	for (size_t i = INDEXES; i > 0; i--) {
		if (there[i - 1])
			next = &all[i - 1];
		assert_ptr_equal(records_from(&records, i - 1), next);
		assert_ptr_equal(records_at(&records, i - 1), there[i - 1] ? next : NULL);
	}
	assert_null(records_from(&records, UINT64_MAX));
}

static void what_comes_in_order_is_found_and_fills_its_blocks(void **state)
{
	(void)state;
	check();
	for (size_t i = 0; i < INDEXES; i++)
		put(i);
	check();
	assert_true(records.count <= INDEXES / RECORDS_BLOCK + 1);
}

static void what_comes_and_goes_anywhere_is_found_while_it_is_there(void **state)
{
	(void)state;
	for (int round = 0; round < 8; round++) {
		for (int n = 0; n < 30000; n++) {
			uint64_t i = below(INDEXES);
			/* Many come, then many go. */
			if (!there[i] && (round % 2 == 0 || below(10) == 0))
				put(i);
			else if (there[i] && (round % 2 == 1 || below(10) == 0))
				take(i);
		}
		check();
	}
}

static void the_few_that_stay_take_few_blocks(void **state)
{
	(void)state;
	for (size_t i = 0; i < INDEXES; i++)
		put(i);
	for (size_t i = 0; i < INDEXES; i++)
		if (i % 100 != 0)
			take(i);
	check();
	assert_true(records.count <= 2);
	for (size_t i = 0; i < INDEXES; i += 100)
		take(i);
	check();
	assert_int_equal(records.count, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_comes_in_order_is_found_and_fills_its_blocks),
	    TEST(what_comes_and_goes_anywhere_is_found_while_it_is_there),
	    TEST(the_few_that_stay_take_few_blocks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
