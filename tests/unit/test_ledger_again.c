/* Which records END names as dead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/queue/ledger.h"
#include "core/wire/journal_wire.h"

#define RECORDS 100

static struct ledger ledger;
static struct record *records[RECORDS + 1];

static int setup(void **state)
{
	(void)state;
	ledger_init(&ledger);
	for (uint64_t i = 1; i <= RECORDS; i++) {
		records[i] = ledger_begin(&ledger, i, false);
		ledger_add(&ledger, records[i], 1, 50);
		ledger_end(&ledger, records[i], 100);
		ledger_stored(&ledger, i);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ledger_deinit(&ledger);
	return 0;
}

static void die(uint64_t first, uint64_t end)
{
	for (uint64_t i = first; i < end; i++)
		ledger_drop(&ledger, records[i], 1, 50);
}

/* The list of an END with place for so many ranges, in *list; how many there are. */
static unsigned end_of(unsigned place, struct hole_range *list)
{
	uint8_t bytes[RECORDS * HOLE_RANGE_SIZE];
	struct writer w = writer_of(bytes, place * HOLE_RANGE_SIZE);
	uint64_t steps = 2;
	unsigned count = 0;

	while (!ledger_sweep(&ledger, RECORDS + 1, &steps, &w))
		steps = 2;
	ledger_parts_end(&ledger);
	struct reader r = reader_of(slice_of(w.p, w.len));
	while (reader_left(&r) > 0)
		list[count++] = hole_range_get(&r);
	return count;
}

static bool names(const struct hole_range *list, unsigned count, uint64_t first, uint32_t many)
{
	for (unsigned i = 0; i < count; i++)
		if (list[i].first == first && list[i].count == many)
			return true;
	return false;
}

static void what_was_named_before_is_named_again(void **state)
{
	(void)state;
	struct hole_range list[RECORDS];

	die(10, 20);
	die(30, 35);
	unsigned count = end_of(RECORDS, list);
	assert_int_equal(count, 2);
	die(50, 52);
	count = end_of(RECORDS, list);
	assert_int_equal(count, 3);
	assert_true(names(list, count, 10, 10) && names(list, count, 30, 5) &&
		    names(list, count, 50, 2));
}

/* Each second record is dead: 50 ranges, and place for 10. */
static void what_does_not_fit_comes_in_turn(void **state)
{
	(void)state;
	struct hole_range list[RECORDS];
	bool named[RECORDS + 1] = {false};

	for (uint64_t i = 1; i <= RECORDS; i += 2)
		die(i, i + 1);
	assert_int_equal(end_of(RECORDS, list), 50);
	for (unsigned end = 0; end < 20; end++) {
		/* What is new is named in any case. */
		uint64_t dies = 100 - 2 * end;
		if (end < 5)
			die(dies, dies + 1);
		unsigned count = end_of(10, list);
		assert_true(count <= 10);
		if (end < 5)
			assert_int_equal(
			    list[count - 1].first + list[count - 1].count, RECORDS + 1);
		for (unsigned i = 0; i < count; i++)
			for (uint32_t k = 0; k < list[i].count; k++)
				named[list[i].first + k] = true;
	}
	for (uint64_t i = 1; i <= RECORDS; i += 2)
		assert_true(named[i]);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(what_was_named_before_is_named_again), T(what_does_not_fit_comes_in_turn)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
