/* Settings of queues: which there may be, how they are written, and the bucket of the rate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/queue/policy.h"

static struct queue_settings with_rate(uint32_t number, uint32_t period_ms)
{
	struct queue_settings s = {.more = more_settings_default()};
	s.more.rate = rate_of(number, period_ms);
	return s;
}

/* Takes all that there is, each millisecond that it is asked; no period has more than the rate. */
static void no_period_has_more_hand_outs_than_the_rate(void **state)
{
	static const uint32_t rates[][2] = {{1, 1000}, {3, 1000}, {7, 100}, {49, 1000},
	    {50, 1000}, {51, 1000}, {1000, 1000}, {77777, 1000}, {10000000, 1000}, {13, 60000},
	    /* No program of ours asks for these, but a frame may. */
	    {1, 1}, {2, 1}, {5, 3}, {100, 19}, {1000, 1}};
	static const uint64_t steps[] = {1, 3, 20, 250};
	static uint64_t handed[200000];
	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		for (size_t k = 0; k < sizeof(steps) / sizeof(steps[0]); k++) {
			struct queue_settings s = with_rate(rates[i][0], rates[i][1]);
			uint64_t full = 0, sum = 0, all = 0, period = rates[i][1];
			uint64_t end = 3 * period;
			memset(handed, 0, sizeof(handed));
			for (uint64_t t = 0; t < end; t++) {
				struct lease_time now = {1000000 + t};
				uint64_t n = 0;
				if (t % steps[k] == 0)
					n = policy_rate_allows(&s, full, now);
				full = n ? policy_rate_after(&s, full, now, n) : full;
				handed[t] = n;
				all += n;
				sum += n - (t >= period ? handed[t - period] : 0);
				assert_in_range(sum, 0, rates[i][0]);
			}
			/* … and it is used to nine tenths by who asks in time, if a turn can be late. */
			if (steps[k] == 1)
				assert_in_range(all,
				    3ull * rates[i][0] * (period < 100 ? 5 : 9) / 10 - 1,
				    3ull * rates[i][0]);
		}
	}
}

static void the_next_hand_out_is_allowed_when_it_is_due_and_not_before(void **state)
{
	struct queue_settings s = with_rate(3, 1000);
	struct lease_time now = {5000};
	uint64_t full = policy_rate_after(&s, 0, now, 1);
	(void)state;
	assert_int_equal(policy_rate_allows(&s, full, now), 0);
	struct lease_time due = policy_rate_due(&s, full);
	assert_int_equal(due.ms, 5334);
	assert_int_equal(policy_rate_allows(&s, full, (struct lease_time){due.ms - 1}), 0);
	assert_int_equal(policy_rate_allows(&s, full, due), 1);
}

static void a_queue_that_gets_a_higher_rate_does_not_wait_for_the_old_one(void **state)
{
	struct queue_settings slow = with_rate(1, 3600000), fast = with_rate(10, 1000);
	struct lease_time now = {5000};
	uint64_t full = policy_rate_after(&slow, 0, now, 1);
	(void)state;
	full = policy_rate_changed(&fast, full, now);
	assert_int_equal(policy_rate_due(&fast, full).ms, 5100);
}

static void further_settings_are_written_as_they_are_read(void **state)
{
	static const struct {
		uint32_t bit;
		const char *text;
	} good[] = {{SETTING_EXPIRE, "90s"}, {SETTING_EXPIRE, "none"}, {SETTING_DEDUP, "7d"},
	    {SETTING_DEDUP, "none"}, {SETTING_MAX_INFLIGHT, "17"},
	    {SETTING_MAX_INFLIGHT, "none"}, {SETTING_RATE, "5/s"}, {SETTING_RATE, "300/m"},
	    {SETTING_RATE, "1/h"}, {SETTING_RATE, "none"}, {SETTING_DISPATCH, "fair"},
	    {SETTING_DISPATCH, "round-robin"}, {SETTING_DISPATCH, "key"}},
	  bad[] = {{SETTING_EXPIRE, "0"}, {SETTING_EXPIRE, "infinity"}, {SETTING_RATE, "0/s"},
	      {SETTING_RATE, "5"}, {SETTING_RATE, "5/d"}, {SETTING_RATE, "5/ms"},
	      {SETTING_RATE, "10000001/s"}, {SETTING_RATE, "-1/s"}, {SETTING_MAX_INFLIGHT, "0"},
	      {SETTING_DISPATCH, "unfair"}};
	char text[UNITS_TEXT_MAX];
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct more_settings s = more_settings_default();
		assert_true(more_settings_parse(good[i].text, good[i].bit, &s));
		more_settings_print(text, good[i].bit, &s);
		assert_string_equal(text, good[i].text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct more_settings s = more_settings_default();
		assert_false(more_settings_parse(bad[i].text, bad[i].bit, &s));
	}
}

static void a_list_has_what_is_not_the_default_and_an_unknown_setting_is_refused(void **state)
{
	struct more_settings s = more_settings_default(), back;
	uint8_t bytes[MORE_SETTINGS_BYTES];
	struct writer w = writer_of(bytes, sizeof(bytes));
	(void)state;
	more_settings_put(&w, 2, &s, SETTING_ALL);
	assert_int_equal(w.len, 0);
	s = (struct more_settings){1, 0, 2, rate_of(3, 1000), 1, 1, DISPATCH_ROUND_ROBIN};
	more_settings_put(&w, 2, &s, SETTING_ALL);
	assert_int_equal(w.len, MORE_SETTINGS_BYTES);
	assert_int_equal(more_settings_find(slice_of(w.p, w.len), 2, &back), RMQ_E_OK);
	assert_memory_equal(&s, &back, sizeof(s));
	/* The last one has a number that nobody knows, or is too short. */
	w.p[w.len - 12] = 16;
	assert_int_equal(more_settings_find(slice_of(w.p, w.len), 2, &back), RMQ_E_VERSION);
	w.p[w.len - 12] = 14;
	w.p[w.len - 10] = 7;
	assert_int_equal(more_settings_find(slice_of(w.p, w.len), 2, &back), RMQ_E_PROTOCOL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_period_has_more_hand_outs_than_the_rate),
	    cmocka_unit_test(the_next_hand_out_is_allowed_when_it_is_due_and_not_before),
	    cmocka_unit_test(a_queue_that_gets_a_higher_rate_does_not_wait_for_the_old_one),
	    cmocka_unit_test(further_settings_are_written_as_they_are_read),
	    cmocka_unit_test(
		a_list_has_what_is_not_the_default_and_an_unknown_setting_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
