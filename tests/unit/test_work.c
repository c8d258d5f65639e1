/* What a worker decides: verdicts, when runs start, how much is leased. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/client/work.h"

static struct mono_time at(uint64_t ms)
{
	return (struct mono_time){1000000 + ms};
}

static struct work_config plain(void)
{
	struct work_config c = {
	    .parallel = 2, .batch = 1, .prefetch = WORK_PREFETCH_ADAPTS, .seed = 7};
	work_rules_init(&c.rules);
	return c;
}

static struct work w;

static void begin(const struct work_config *c)
{
	assert_true(work_init(&w, c));
}

static enum work_verdict judged(struct work_ended e)
{
	return work_judge(&w, &e);
}

static void verdicts_follow_the_table(void **state)
{
	static const struct {
		int code;
		enum work_verdict verdict;
	} table[] = {{0, WORK_SETTLE}, {65, WORK_DEAD}, {100, WORK_DEAD}, {69, WORK_RETRY},
	    {75, WORK_RETRY}, {111, WORK_RETRY}, {1, WORK_FAIL}, {2, WORK_FAIL},
	    {124, WORK_FAIL}, {128, WORK_FAIL}, {143, WORK_FAIL}, {255, WORK_FAIL}};
	struct work_config c = plain();
	(void)state;
	begin(&c);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_int_equal(
		    judged((struct work_ended){.code = table[i].code}), table[i].verdict);
	assert_int_equal(judged((struct work_ended){.signal = 9}), WORK_FAIL);
	assert_int_equal(judged((struct work_ended){.late = true}), WORK_FAIL);
	assert_int_equal(judged((struct work_ended){.too_much = true}), WORK_FAIL);
	assert_int_equal(judged((struct work_ended){.lost = true, .code = 65}), WORK_DISCARD);
	assert_false(w.stopped);
	work_deinit(&w);
}

static void a_command_that_cannot_run_stops_the_worker(void **state)
{
	struct work_config c = plain();
	(void)state;
	for (int code = 125; code <= 127; code++) {
		begin(&c);
		assert_int_equal(judged((struct work_ended){.code = code}), WORK_STOP);
		assert_true(w.stopped);
		assert_int_equal(work_wanted(&w, at(0)), 0);
		assert_int_equal(work_takes(&w, at(0), 5, 1, at(0), true), 0);
		/* The first one says why. */
		(void)judged((struct work_ended){.unstartable = true, .code = 126});
		assert_int_equal(work_exit(&w, false), code);
		work_deinit(&w);
	}
}

static void what_a_signal_ends_once_the_worker_is_told_to_end_is_no_failure(void **state)
{
	struct work_config c = plain();
	(void)state;
	c.max_fails = 1;
	begin(&c);
	assert_int_equal(
	    judged((struct work_ended){.signal = 15, .asked = true}), WORK_RELEASE);
	assert_int_equal(judged((struct work_ended){.code = 143, .asked = true}), WORK_RELEASE);
	assert_int_equal(judged((struct work_ended){.code = 0, .asked = true}), WORK_SETTLE);
	assert_false(w.stopped);
	assert_int_equal(judged((struct work_ended){.code = 1, .asked = true}), WORK_FAIL);
	work_deinit(&w);
}

static void on_exit_is_read(void **state)
{
	static const char *const bad[] = {"", "=settle", "3", "3=", "3=none", "3=release",
	    "256=settle", "-1=settle", "3,=settle", ",3=settle", "3 =settle",
	    "3=retry:", "3=retry:x", "3=fail:5s", "3=settlement", "3=set"};
	struct work_rules r;
	(void)state;
	work_rules_init(&r);
	assert_true(work_rules_parse(&r, "3,4=settle"));
	assert_true(work_rules_parse(&r, "0=retry:5m"));
	assert_true(work_rules_parse(&r, "127=fail"));
	assert_true(work_rules_parse(&r, "5=retry"));
	assert_true(work_rules_parse(&r, "255=stop"));
	assert_int_equal(r.of[3].verdict, WORK_SETTLE);
	assert_int_equal(r.of[4].verdict, WORK_SETTLE);
	assert_int_equal(r.of[0].verdict, WORK_RETRY);
	assert_int_equal(r.of[0].delay_ms, 300000);
	assert_int_equal(r.of[127].verdict, WORK_FAIL);
	assert_true(r.of[5].delay_ms == WORK_BACKOFF);
	assert_int_equal(r.of[255].verdict, WORK_STOP);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct work_rules before = r;
		assert_false(work_rules_parse(&r, bad[i]));
		assert_memory_equal(&before, &r, sizeof(r));
	}
}

static void only_failures_in_a_row_stop_the_worker(void **state)
{
	struct work_config c = plain();
	(void)state;
	c.max_fails = 3;
	begin(&c);
	for (int i = 0; i < 3; i++) {
		(void)judged((struct work_ended){.code = 1});
		(void)judged((struct work_ended){.code = 1});
		/* The command works, its message is bad. */
		(void)judged((struct work_ended){.code = i == 0 ? 0 : 65});
		assert_false(w.stopped);
	}
	(void)judged((struct work_ended){.code = 1});
	(void)judged((struct work_ended){.code = 75});
	(void)judged((struct work_ended){.signal = 11});
	assert_false(w.stopped);
	(void)judged((struct work_ended){.late = true});
	assert_true(w.stopped && w.worn);
	assert_int_equal(work_exit(&w, false), 75);
	work_deinit(&w);
}

static void retries_wait_longer_each_time_and_not_equally_long(void **state)
{
	struct work_config c = plain();
	uint64_t least = 750, most = 1250;
	bool differ = false;
	(void)state;
	begin(&c);
	for (int i = 0; i < 20; i++) {
		uint64_t a = work_note(&w, WORK_RETRY, 75, 1, 0);
		uint64_t b = work_note(&w, WORK_RETRY, 75, 2, 0);
		assert_in_range(a, least, most);
		assert_in_range(b, least, most);
		differ |= a != b;
		least = least * 2 < 450000 ? least * 2 : 450000;
		most = most * 2 < 750000 ? most * 2 : 750000;
	}
	assert_true(differ);
	/* It begins anew with a message that was settled since. */
	(void)work_note(&w, WORK_SETTLE, 0, 1, 0);
	assert_in_range(work_note(&w, WORK_RETRY, 75, 1, 0), 750, 1250);
	/* With a delay that is given it is that. */
	assert_true(work_rules_parse(&w.config.rules, "75=retry:3s"));
	assert_int_equal(work_note(&w, WORK_RETRY, 75, 1, 0), 3000);
	/* A queue without back-off has none here. */
	work_settings(&w, 0, 0, 16);
	assert_int_equal(work_note(&w, WORK_RETRY, 111, 3, 0), 0);
	work_deinit(&w);
}

static void the_exit_status_says_what_became_of_the_messages(void **state)
{
	struct work_config c = plain();
	(void)state;
	begin(&c);
	work_settings(&w, 1000, 2000, 3);
	(void)work_note(&w, WORK_SETTLE, 0, 1, 0);
	assert_int_equal(work_exit(&w, false), 0);
	(void)work_note(&w, WORK_FAIL, 1, 2, 0);
	assert_int_equal(work_exit(&w, false), 75);
	(void)work_note(&w, WORK_FAIL, 1, 2, 1);
	assert_int_equal(w.left, 1);
	/* Others have settled it if nothing is left. */
	assert_int_equal(work_exit(&w, true), 0);
	(void)work_note(&w, WORK_SETTLE, 0, 2, 2);
	assert_int_equal(work_exit(&w, false), 0);
	/* The third failure is the last. */
	(void)work_note(&w, WORK_RETRY, 75, 3, 2);
	(void)work_note(&w, WORK_FAIL, 1, 3, 2);
	assert_int_equal(w.left, 0);
	assert_int_equal(work_exit(&w, true), 65);
	work_deinit(&w);
}

static void nothing_is_leased_before_a_run_can_take_it(void **state)
{
	struct work_config c = plain();
	(void)state;
	c.batch = 10;
	begin(&c);
	assert_int_equal(work_wanted(&w, at(0)), 20);
	uint32_t a = work_start(&w, at(0)), b = work_start(&w, at(1));
	assert_int_not_equal(a, b);
	assert_int_equal(work_wanted(&w, at(1)), 0);
	assert_int_equal(work_takes(&w, at(1), 100, 10, at(1), false), 0);
	work_end(&w, a, at(500));
	assert_int_equal(work_wanted(&w, at(500)), 10);
	work_deinit(&w);
}

static void short_runs_have_messages_leased_ahead_until_one_takes_long(void **state)
{
	struct work_config c = plain();
	uint64_t t = 0;
	(void)state;
	begin(&c);
	for (int i = 0; i < 100; i++) {
		uint32_t slot = work_start(&w, at(t));
		work_end(&w, slot, at(++t));
	}
	/* 50 ms of 1 ms each, in two slots. */
	assert_in_range(work_wanted(&w, at(t)), 90, 120);
	(void)work_start(&w, at(t));
	assert_in_range(work_wanted(&w, at(t + WORK_QUICK_MS - 1)), 90, 120);
	assert_in_range(work_wanted(&w, at(t + WORK_QUICK_MS)), 45, 60);
	assert_false(work_is_stale(&w, at(t + 10000), at(t)));
	(void)work_start(&w, at(t));
	assert_int_equal(work_wanted(&w, at(t + WORK_QUICK_MS)), 0);
	assert_false(work_is_stale(&w, at(t + WORK_STALE_MS - 1), at(t)));
	assert_int_equal(work_due_ms(&w, at(t + WORK_STALE_MS - 1), 5, at(t)), 1);
	assert_true(work_is_stale(&w, at(t + WORK_STALE_MS), at(t)));
	work_deinit(&w);
	/* What was asked for stays. */
	c.prefetch = 5;
	begin(&c);
	assert_int_equal(work_wanted(&w, at(0)), 7);
	(void)work_start(&w, at(0));
	(void)work_start(&w, at(0));
	assert_int_equal(work_wanted(&w, at(9999)), 5);
	assert_false(work_is_stale(&w, at(9999), at(0)));
	work_deinit(&w);
}

static void a_batch_starts_when_it_is_full_or_has_lingered(void **state)
{
	struct work_config c = plain();
	(void)state;
	c.batch = 10;
	c.linger_ms = 300;
	begin(&c);
	assert_int_equal(work_takes(&w, at(0), 0, 10, at(0), true), 0);
	assert_int_equal(work_takes(&w, at(0), 12, 10, at(0), true), 10);
	assert_int_equal(work_takes(&w, at(299), 9, 10, at(0), true), 0);
	assert_int_equal(work_due_ms(&w, at(250), 9, at(0)), 50);
	assert_int_equal(work_takes(&w, at(300), 9, 10, at(0), true), 9);
	/* Nothing more comes. */
	assert_int_equal(work_takes(&w, at(0), 9, 10, at(0), false), 9);
	/* Who may have no neighbours waits for none. */
	uint32_t most = 10;
	assert_true(work_joins(&w, 0, &most, MAX_ATTEMPTS_DEFAULT - 1));
	assert_int_equal(work_takes(&w, at(0), 1, most, at(0), true), 1);
	work_deinit(&w);
}

/* How many of those with these failures the next run has. */
static uint32_t joined(const char *failures)
{
	uint32_t most = w.config.batch, n = 0;
	while (failures[n] && work_joins(&w, n, &most, (uint32_t)(failures[n] - '0')))
		n++;
	return n;
}

static void what_has_failed_has_fewer_neighbours_each_time_and_none_the_last_time(void **state)
{
	struct work_config c = plain();
	(void)state;
	c.batch = 8;
	begin(&c);
	work_settings(&w, 1000, 2000, 9);
	assert_int_equal(joined("0000000000"), 8);
	assert_int_equal(joined("11111111"), 4);
	assert_int_equal(joined("22222222"), 2);
	assert_int_equal(joined("7777"), 1);
	assert_int_equal(joined("0100000"), 4);
	assert_int_equal(joined("0000100"), 4);
	assert_int_equal(joined("0001000"), 4);
	work_settings(&w, 1000, 2000, 3);
	assert_int_equal(joined("2000"), 1);
	assert_int_equal(joined("0200"), 1);
	/* Each is the last try there. */
	work_settings(&w, 1000, 2000, 1);
	assert_int_equal(joined("0000000000"), 8);
	/* What is dead does not become so. */
	work_settings(&w, 1000, 2000, 0);
	assert_int_equal(joined("9999999999"), 8);
	(void)work_note(&w, WORK_FAIL, 1, 1, 9);
	assert_int_equal(work_exit(&w, false), 75);
	work_deinit(&w);
}

static void a_rate_holds_over_time_and_no_burst_makes_good(void **state)
{
	struct work_config c = plain();
	(void)state;
	c.parallel = 4;
	c.rate = 10;
	c.rate_ms = 1000;
	begin(&c);
	unsigned started = 0, most = 0;
	for (uint64_t t = 0; t < 10000; t++) {
		unsigned now = 0;
		/* Nothing is there for two seconds. */
		while ((t < 3000 || t >= 5000) && work_takes(&w, at(t), 1, 1, at(t), true)) {
			work_end(&w, work_start(&w, at(t)), at(t));
			now++;
		}
		started += now;
		most = now > most ? now : most;
	}
	assert_in_range(started, 79, 82);
	assert_int_equal(most, 1);
	/* 100 ms from one to the next, and leasing begins 50 ms before. */
	uint64_t t = 20000;
	for (int i = 0; i < 2; i++) {
		while (!work_takes(&w, at(t), 1, 1, at(t), true))
			t++;
		work_end(&w, work_start(&w, at(t)), at(t));
	}
	uint64_t due = work_due_ms(&w, at(t), 0, at(t));
	assert_int_equal(work_wanted(&w, at(t + due - 1)), 0);
	assert_int_equal(work_wanted(&w, at(t + due)), 1);
	work_deinit(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(verdicts_follow_the_table),
	    cmocka_unit_test(a_command_that_cannot_run_stops_the_worker),
	    cmocka_unit_test(what_a_signal_ends_once_the_worker_is_told_to_end_is_no_failure),
	    cmocka_unit_test(on_exit_is_read),
	    cmocka_unit_test(only_failures_in_a_row_stop_the_worker),
	    cmocka_unit_test(retries_wait_longer_each_time_and_not_equally_long),
	    cmocka_unit_test(the_exit_status_says_what_became_of_the_messages),
	    cmocka_unit_test(nothing_is_leased_before_a_run_can_take_it),
	    cmocka_unit_test(short_runs_have_messages_leased_ahead_until_one_takes_long),
	    cmocka_unit_test(a_batch_starts_when_it_is_full_or_has_lingered),
	    cmocka_unit_test(
		what_has_failed_has_fewer_neighbours_each_time_and_none_the_last_time),
	    cmocka_unit_test(a_rate_holds_over_time_and_no_burst_makes_good),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
