/* Which connections are heard. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/link/arrivals.h"

static struct arrivals a;
static struct arrivals_instead instead;

static int setup(void **state)
{
	(void)state;
	memset(&a, 0, sizeof(a));
	return 0;
}

static struct arrivals_origin from(unsigned n)
{
	struct arrivals_origin o = {.family = 4};
	o.bytes[0] = (uint8_t)(n >> 8);
	o.bytes[1] = (uint8_t)n;
	return o;
}

static enum arrivals_answer begin(unsigned n, uint64_t now_ms)
{
	struct arrivals_origin o = from(n);
	return arrivals_begin(&a, &o, 99, now_ms, &instead);
}

static void end(unsigned n)
{
	struct arrivals_origin o = from(n);
	arrivals_end(&a, &o);
}

static void know(unsigned n, uint64_t now_ms)
{
	struct arrivals_origin o = from(n);
	arrivals_know(&a, &o, now_ms);
}

/* How many of them are heard, each over at once. */
static unsigned heard(unsigned n, unsigned count, uint64_t now_ms)
{
	unsigned yes = 0;
	for (unsigned i = 0; i < count; i++)
		if (begin(n, now_ms) == ARRIVALS_HEARD) {
			end(n);
			yes++;
		}
	return yes;
}

static void an_address_has_a_burst_and_then_a_rate(void **state)
{
	(void)state;
	assert_int_equal(heard(1, 1000, 5000), ARRIVALS_ADDRESS_BURST);
	assert_int_equal(begin(1, 5000), ARRIVALS_ADDRESS_FAST);
	assert_int_equal(heard(1, 1000, 6000), ARRIVALS_ADDRESS_RATE);
	assert_int_equal(heard(1, 1000, 6000), 0);
	/* In small steps it is no more. */
	unsigned yes = 0;
	for (uint64_t ms = 6001; ms <= 16000; ms++)
		yes += heard(1, 3, ms);
	assert_int_equal(yes, 10 * ARRIVALS_ADDRESS_RATE);
	/* However long it was away. */
	assert_int_equal(heard(1, 1000, UINT64_MAX / 2), ARRIVALS_ADDRESS_BURST);
}

static void addresses_do_not_take_from_each_other(void **state)
{
	(void)state;
	assert_int_equal(heard(1, 1000, 0), ARRIVALS_ADDRESS_BURST);
	assert_int_equal(heard(2, 1000, 0), ARRIVALS_ADDRESS_BURST);
}

static void all_strangers_together_have_a_burst_and_a_rate(void **state)
{
	unsigned yes = 0;
	(void)state;
	for (unsigned n = 0; n < 1000; n++)
		yes += heard(n, 10, 0);
	assert_int_equal(yes, ARRIVALS_ALL_BURST);
	assert_int_equal(begin(5000, 0), ARRIVALS_ALL_FAST);
	yes = 0;
	for (unsigned n = 0; n < 1000; n++)
		yes += heard(n, 10, 1000);
	assert_int_equal(yes, ARRIVALS_ALL_RATE);
}

static void strangers_do_not_shut_out_a_known_address(void **state)
{
	(void)state;
	know(9999, 0);
	/* All that strangers may do a second, and all their places. */
	for (unsigned n = 0; n < 1000; n++)
		(void)begin(n, 0);
	for (uint64_t ms = 0; ms < 20000; ms += 50) {
		for (unsigned n = 0; n < 500; n++)
			(void)begin((unsigned)ms + n, ms);
		assert_int_equal(begin(9999, ms), ARRIVALS_HEARD);
		end(9999);
	}
	assert_true(a.open_strangers >= ARRIVALS_OPEN_EARLY);
}

static void a_known_address_has_limits_too(void **state)
{
	(void)state;
	know(1, 0);
	assert_int_equal(heard(1, 1000, 0), ARRIVALS_KNOWN_BURST);
	assert_int_equal(begin(1, 0), ARRIVALS_ADDRESS_FAST);
	assert_int_equal(heard(1, 1000, 1000), ARRIVALS_KNOWN_RATE);
	/* To be dialled again gives no new burst. */
	struct arrivals_origin o = from(1);
	arrivals_expect(&a, &o, 1000);
	assert_int_equal(heard(1, 1000, 1000), 0);
}

/* How many of them are let in, so many at a time. */
static unsigned let_in(unsigned n, unsigned count, uint64_t now_ms)
{
	unsigned yes = 0;
	for (unsigned i = 0; i < count; i++)
		if (begin(n, now_ms) == ARRIVALS_HEARD) {
			know(n, now_ms);
			end(n);
			yes++;
		}
	return yes;
}

/* A restart cuts all links: the peers come back at once, though not without bound. */
static void who_is_let_in_does_not_count(void **state)
{
	(void)state;
	assert_int_equal(
	    let_in(1, ARRIVALS_BACK_ADDRESS_BURST, 0), ARRIVALS_BACK_ADDRESS_BURST);
	assert_int_equal(let_in(1, 10000, 0), ARRIVALS_KNOWN_BURST);
	assert_int_equal(begin(1, 0), ARRIVALS_ADDRESS_FAST);
	assert_int_equal(
	    let_in(1, 10000, 1000), ARRIVALS_KNOWN_RATE + ARRIVALS_BACK_ADDRESS_RATE);
	/* Others have their part, and when that is used up what each of them had before. */
	unsigned yes = 0;
	for (unsigned n = 2; n < 20; n++)
		yes += let_in(n, 10000, 1000);
	assert_in_range(
	    yes, ARRIVALS_BACK_BURST / 2, ARRIVALS_BACK_BURST + 18 * ARRIVALS_KNOWN_BURST);
	know(30, 1000);
	assert_int_equal(let_in(30, 10000, 1000), ARRIVALS_KNOWN_BURST);
}

static void strangers_that_are_let_in_leave_the_rate_to_others(void **state)
{
	unsigned yes = 0;
	(void)state;
	for (unsigned n = 0; n < 1000; n++)
		yes += let_in(n, 1, 0);
	assert_int_equal(yes, 1000);
	yes = 0;
	for (unsigned n = 1000; n < 2000; n++)
		yes += heard(n, 1, 0);
	assert_int_equal(yes, ARRIVALS_ALL_BURST);
}

/* Two of those who came, and say nothing, shut out nobody. */
static void who_has_most_places_gives_way(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= 4; n++)
		know(n, 0);
	for (unsigned i = 0; i < ARRIVALS_OPEN_KNOWN; i++)
		assert_int_equal(begin(1 + (i & 1), 1), ARRIVALS_HEARD);
	assert_int_equal(begin(3, 1), ARRIVALS_INSTEAD);
	assert_int_equal(instead.origin.bytes[1], 1);
	assert_int_equal(instead.before_ms, 1);
	end(1);
	assert_int_equal(begin(3, 1), ARRIVALS_HEARD);
	/* Until each has as many. */
	unsigned open[5] = {0, ARRIVALS_OPEN_KNOWN / 2 - 1, ARRIVALS_OPEN_KNOWN / 2, 1, 0};
	while (begin(3, 2) == ARRIVALS_INSTEAD && instead.before_ms == 2) {
		end(instead.origin.bytes[1]);
		open[instead.origin.bytes[1]]--;
		assert_int_equal(begin(3, 2), ARRIVALS_HEARD);
		open[3]++;
	}
	assert_in_range(open[3], ARRIVALS_OPEN_KNOWN / 3 - 1, ARRIVALS_OPEN_KNOWN / 3 + 1);
	/* Then of its own one that has been silent for a while. */
	assert_int_equal(begin(3, 5000), ARRIVALS_INSTEAD);
	assert_int_equal(instead.origin.bytes[1], 3);
	assert_int_equal(instead.before_ms, 5000 - ARRIVALS_SILENT_MS);
	/* And whoever says nothing comes no faster for it. */
	for (unsigned i = 0; begin(1, 5000) != ARRIVALS_ADDRESS_FAST; i++) {
		assert_true(i <= ARRIVALS_KNOWN_BURST);
		end(instead.origin.bytes[1]);
	}
}

static void open_connections_of_strangers_are_bounded(void **state)
{
	unsigned open = 0;
	(void)state;
	for (unsigned i = 0; i < ARRIVALS_OPEN_ADDRESS; i++)
		assert_int_equal(begin(1, 0), ARRIVALS_HEARD);
	assert_int_equal(begin(1, 0), ARRIVALS_ADDRESS_OPEN);
	for (unsigned n = 0; n < 150; n++)
		open += begin(n / 8 + 2, 0) == ARRIVALS_HEARD;
	assert_int_equal(open + ARRIVALS_OPEN_ADDRESS, ARRIVALS_OPEN_MAX);
	assert_int_equal(begin(999, 0), ARRIVALS_ALL_OPEN);
	/* From a half on, by chance. */
	end(1);
	struct arrivals_origin o = from(999);
	assert_int_equal(arrivals_begin(&a, &o, 0, 0, &instead), ARRIVALS_ALL_OPEN);
}

static void who_becomes_known_gives_its_places_back_to_strangers(void **state)
{
	(void)state;
	assert_int_equal(begin(1, 0), ARRIVALS_HEARD);
	assert_int_equal(a.open_strangers, 1);
	know(1, 0);
	assert_int_equal(a.open_strangers, 0);
	assert_int_equal(a.open_known, 1);
	end(1);
	assert_int_equal(a.open_known, 0);
}

static void of_too_many_known_the_one_that_was_quiet_longest_is_forgotten(void **state)
{
	(void)state;
	for (unsigned n = 0; n < ARRIVALS_KNOWN; n++)
		know(n, n);
	assert_int_equal(begin(0, 1000), ARRIVALS_HEARD); /* it is heard of, and open */
	know(1, 1000);
	know(5000, 1001);
	assert_int_equal(a.known, ARRIVALS_KNOWN);
	assert_int_equal(heard(5000, 1000, 1001), ARRIVALS_KNOWN_BURST);
	assert_int_equal(heard(1, 1000, 1001), ARRIVALS_KNOWN_BURST);
	assert_int_equal(heard(2, 1000, 1001), ARRIVALS_ADDRESS_BURST);
	end(0);
}

/* Whatever happens, what is counted is what is open, and the limits hold. */
static void who_is_expected_does_not_give_way_to_who_comes(void **state)
{
	struct arrivals_origin node = from(5000);
	(void)state;
	arrivals_expect(&a, &node, 0);
	for (unsigned n = 0; n < 2 * ARRIVALS_KNOWN; n++)
		know(n, 1000);
	assert_int_equal(a.known, ARRIVALS_KNOWN);
	assert_int_equal(heard(5000, 1000, 1001), ARRIVALS_KNOWN_BURST);
	/* All are: the oldest does. */
	for (unsigned n = 6000; n < 6000 + ARRIVALS_KNOWN; n++) {
		node = from(n);
		arrivals_expect(&a, &node, 2000 + n);
	}
	assert_int_equal(a.known, ARRIVALS_KNOWN);
	assert_int_equal(heard(5000, 1000, 20000), ARRIVALS_ADDRESS_BURST);
}

static void who_is_expected_has_places_of_his_own(void **state)
{
	struct arrivals_origin node = from(5000);
	(void)state;
	arrivals_expect(&a, &node, 0);
	know(1, 0);
	for (unsigned n = 0; n < ARRIVALS_OPEN_KNOWN; n++)
		assert_int_equal(begin(1, 1), ARRIVALS_HEARD);
	assert_int_equal(begin(1, 1), ARRIVALS_INSTEAD);
	for (unsigned n = 0; n < ARRIVALS_OPEN_EXPECTED; n++)
		assert_int_equal(begin(5000, 1), ARRIVALS_HEARD);
	assert_int_equal(begin(5000, 1), ARRIVALS_ADDRESS_OPEN);
}

static void counts_are_right_at_random(void **state)
{
	unsigned open[600] = {0};
	uint64_t now = 1, seed = 42;
	(void)state;
	for (unsigned step = 0; step < 200000; step++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		unsigned what = (unsigned)(seed >> 60), n = (unsigned)(seed >> 33) % 600;
		now += what == 0 ? (seed >> 20) % 100 : 0;
		struct arrivals_origin o = from(n);
		if (what == 1 && n < 200) {
			arrivals_know(&a, &o, now);
		} else if (what < 10) {
			enum arrivals_answer answer =
			    arrivals_begin(&a, &o, (unsigned)(seed >> 25) % 100, now, &instead);
			while (answer == ARRIVALS_INSTEAD && instead.before_ms == now) {
				/* Somebody else has one open. */
				unsigned most =
				    instead.origin.bytes[0] * 256u + instead.origin.bytes[1];
				assert_true(open[most] > open[n] + 1);
				end(most);
				open[most]--;
				answer = arrivals_begin(&a, &o, 99, now, &instead);
			}
			if (answer == ARRIVALS_HEARD)
				open[n]++;
		} else if (open[n] > 0) {
			arrivals_end(&a, &o);
			open[n]--;
		}
		assert_true(a.known <= ARRIVALS_KNOWN);
	}
	unsigned total = 0, known = 0;
	for (unsigned n = 0; n < 600; n++)
		total += open[n];
	for (unsigned i = 0; i < ARRIVALS_ADDRESSES; i++) {
		known += a.list[i].known;
		assert_true(a.list[i].known || a.list[i].open <= ARRIVALS_OPEN_ADDRESS);
	}
	/* Those of strangers who became known are beyond the limit. */
	assert_in_range(
	    a.open_known, ARRIVALS_OPEN_KNOWN / 2, ARRIVALS_OPEN_KNOWN + ARRIVALS_OPEN_MAX);
	assert_int_equal(total, a.open_known + a.open_strangers);
	assert_int_equal(known, a.known);
	for (unsigned n = 0; n < 600; n++)
		while (open[n]-- > 0)
			end(n);
	assert_int_equal(a.open_known + a.open_strangers, 0);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(an_address_has_a_burst_and_then_a_rate),
	    TEST(addresses_do_not_take_from_each_other),
	    TEST(all_strangers_together_have_a_burst_and_a_rate),
	    TEST(strangers_do_not_shut_out_a_known_address),
	    TEST(a_known_address_has_limits_too), TEST(who_is_let_in_does_not_count),
	    TEST(strangers_that_are_let_in_leave_the_rate_to_others),
	    TEST(who_has_most_places_gives_way),
	    TEST(open_connections_of_strangers_are_bounded),
	    TEST(who_becomes_known_gives_its_places_back_to_strangers),
	    TEST(of_too_many_known_the_one_that_was_quiet_longest_is_forgotten),
	    TEST(who_is_expected_does_not_give_way_to_who_comes),
	    TEST(who_is_expected_has_places_of_his_own), TEST(counts_are_right_at_random)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
