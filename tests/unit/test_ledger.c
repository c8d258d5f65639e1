/* What a checkpoint's END names as dead, while records die as it is being made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/queue/ledger.h"
#include "core/wire/journal_wire.h"

#define RECORDS 10

static struct record *at(struct ledger *l, uint64_t index)
{
	struct record *r = records_at(&l->stored, index);
	assert_non_null(r);
	return r;
}

/* RECORDS records, from index 1 on, with a live message each. */
static void fill(struct ledger *l)
{
	ledger_init(l);
	for (uint64_t i = 1; i <= RECORDS; i++) {
		struct record *r = ledger_begin(l, i, false);
		ledger_add(l, r, 1, 60000);
		ledger_end(l, r, 61000);
		ledger_stored(l, i);
	}
}

static void die(struct ledger *l, uint64_t index)
{
	ledger_drop(l, at(l, index), 1, 60000);
}

/* Which records the ranges name, a bit each. */
static unsigned named(const struct writer *w)
{
	unsigned bits = 0;
	struct reader r = reader_of(slice_of(w->p, w->len));
	while (reader_left(&r) >= HOLE_RANGE_SIZE) {
		struct hole_range range = hole_range_get(&r);
		for (uint64_t i = 0; i < range.count; i++)
			bits |= 1u << (range.first + i);
	}
	return bits;
}

/* Goes through so many live records of those below RECORDS. */
static bool sweep(struct ledger *l, struct writer *w, uint64_t steps)
{
	return ledger_sweep(l, RECORDS, &steps, w);
}

/* The next checkpoint's END. */
static unsigned next_end(struct ledger *l)
{
	uint8_t bytes[1024];
	struct writer w = writer_of(bytes, sizeof(bytes));
	ledger_parts_begin(l, RECORDS + 1);
	assert_true(sweep(l, &w, RECORDS));
	ledger_parts_end(l);
	return named(&w);
}

/* All that was gone through dies, the last one last: that one is named now, the others next. */
static void dies_after_the_sweep(void **state)
{
	struct ledger l;
	uint8_t bytes[1024];
	struct writer w = writer_of(bytes, sizeof(bytes));
	(void)state;
	fill(&l);
	ledger_parts_begin(&l, RECORDS + 1);
	assert_false(sweep(&l, &w, 6));
	die(&l, 4);
	die(&l, 5);
	die(&l, 6);
	assert_int_equal(l.dead_bytes, 2 * 61000);
	assert_true(sweep(&l, &w, RECORDS));
	ledger_parts_end(&l);
	assert_int_equal(named(&w), 1u << 6);
	assert_int_equal(next_end(&l) & (1u << 4 | 1u << 5), 1u << 4 | 1u << 5);
	ledger_deinit(&l);
}

/* The same, and the one before them dies too: then all are named now. */
static void dies_from_its_begin(void **state)
{
	struct ledger l;
	uint8_t bytes[1024];
	struct writer w = writer_of(bytes, sizeof(bytes));
	(void)state;
	fill(&l);
	ledger_parts_begin(&l, RECORDS + 1);
	assert_false(sweep(&l, &w, 6));
	for (uint64_t i = 6; i >= 3; i--)
		die(&l, i);
	assert_int_equal(l.dead_bytes, 0);
	assert_true(sweep(&l, &w, RECORDS));
	ledger_parts_end(&l);
	assert_int_equal(named(&w), 0xfu << 3);
	ledger_deinit(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(dies_after_the_sweep),
	    cmocka_unit_test(dies_from_its_begin),
	};
	return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
