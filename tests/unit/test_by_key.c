/* Which receiver of a queue gets which keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/queue/queue.h"

#define RECEIVERS 8
#define KEYS	  4000

static struct timers timers;
static struct ledger ledger;

struct fixture {
	struct queue *q;
	struct key_receiver receivers[RECEIVERS];
	const struct key_receiver *of[KEYS]; /* as noted last */
};

static struct fixture f;

static int setup(void **state)
{
	(void)state;
	timers_init(&timers);
	f.q = queue_new(1, slice_str("q"), &timers, &ledger);
	for (uint64_t i = 0; i < RECEIVERS; i++)
		key_receiver_init(&f.receivers[i], NULL, (7ull << 32) + i);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	queue_free(f.q);
	return 0;
}

static const struct key_receiver *receiver_of(uint32_t key)
{
	return by_key_receiver(f.q, keys_hash(slice_of(&key, sizeof(key))));
}

static void note(void)
{
	for (uint32_t i = 0; i < KEYS; i++)
		f.of[i] = receiver_of(i);
}

static void each_receiver_gets_about_as_many_keys(void **state)
{
	uint32_t count[RECEIVERS] = {0};
	(void)state;
	assert_null(receiver_of(1));
	for (int i = 0; i < RECEIVERS; i++)
		by_key_join(f.q, &f.receivers[i]);
	note();
	for (uint32_t i = 0; i < KEYS; i++)
		count[f.of[i] - f.receivers]++;
	for (int i = 0; i < RECEIVERS; i++)
		assert_in_range(count[i], KEYS / RECEIVERS * 3 / 4, KEYS / RECEIVERS * 5 / 4);
	for (int i = 0; i < RECEIVERS; i++)
		by_key_leave(f.q, &f.receivers[i]);
	assert_null(receiver_of(1));
}

static void only_keys_of_who_comes_or_goes_change_hands(void **state)
{
	uint32_t moved = 0;
	(void)state;
	for (int i = 0; i < RECEIVERS; i++) {
		note();
		by_key_join(f.q, &f.receivers[i]);
		for (uint32_t k = 0; i > 0 && k < KEYS; k++)
			assert_true(
			    receiver_of(k) == f.of[k] || receiver_of(k) == &f.receivers[i]);
	}
	note();
	by_key_leave(f.q, &f.receivers[3]);
	for (uint32_t k = 0; k < KEYS; k++) {
		if (f.of[k] != &f.receivers[3])
			assert_ptr_equal(receiver_of(k), f.of[k]);
		else
			moved++;
		assert_ptr_not_equal(receiver_of(k), &f.receivers[3]);
	}
	assert_true(moved > 0);
	/* Who comes back under its number gets back what was its. */
	by_key_join(f.q, &f.receivers[3]);
	for (uint32_t k = 0; k < KEYS; k++)
		assert_ptr_equal(receiver_of(k), f.of[k]);
	for (int i = 0; i < RECEIVERS; i++)
		by_key_leave(f.q, &f.receivers[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(each_receiver_gets_about_as_many_keys),
	    TEST(only_keys_of_who_comes_or_goes_change_hands),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
