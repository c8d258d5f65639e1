/* The failure detector: expected numbers are of Akka's tests, or of an own script by its formulas. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/host/phi.h"

static const struct phi_settings standard = {PHI_THRESHOLD, PHI_PAUSE_MS};
static const struct phi_settings no_pause = {PHI_THRESHOLD, 0};
static struct phi phi;

static void near_to(double is, double wanted, double most)
{
	if (fabs(is - wanted) > most)
		fail_msg("%f instead of %f", is, wanted);
}

/* The distribution, of which phi is the tail. */
static double below(double silence, double mean, double deviation)
{
	return 1 - pow(10, -phi_of(silence, mean, deviation));
}

static void phi_is_the_tail_of_a_normal_distribution(void **state)
{
	(void)state;
	near_to(below(0, 0, 10), 0.5, 0.001);
	near_to(below(6, 0, 10), 0.7257, 0.001);
	near_to(below(15, 0, 10), 0.9332, 0.001);
	near_to(below(20, 0, 10), 0.97725, 0.001);
	near_to(below(25, 0, 10), 0.99379, 0.001);
	near_to(below(35, 0, 10), 0.99977, 0.001);
	near_to(below(40, 0, 10), 0.99997, 0.0001);
	near_to(below(22, 20, 3), 0.7475, 0.001);
	for (int ms = 0; ms < 40; ms++)
		assert_true(phi_of(ms, 0, 10) < phi_of(ms + 1, 0, 10));
}

static void phi_has_realistic_values(void **state)
{
	(void)state;
	static const struct {
		double ms, phi;
	} expected[] = {{0, 0}, {500, 0.1}, {1000, 0.3}, {1200, 1.6}, {1400, 4.7}, {1600, 10.8},
	    {1700, 15.3}};
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		near_to(phi_of(expected[i].ms, 1000, 100), expected[i].phi, 0.1);
	assert_true(phi_of(1100, 1000, 500) < phi_of(1100, 1000, 100));
}

static void the_first_heartbeat_is_judged_by_the_estimate(void **state)
{
	(void)state;
	phi_begin(&phi, &no_pause, 0);
	phi_beat(&phi, &no_pause, 10);
	near_to(phi_value(&phi, &no_pause, 1010), 0.3, 0.2);
	near_to(phi_value(&phi, &no_pause, 2010), 4.5, 0.3);
	assert_true(phi_value(&phi, &no_pause, 3010) > 15);
}

/* So many heartbeats, at these intervals in turn. */
static uint64_t beats(unsigned count, const uint32_t *intervals, unsigned of)
{
	uint64_t now = 0;

	phi_begin(&phi, &standard, now);
	phi_beat(&phi, &standard, now);
	for (unsigned i = 0; i < count; i++)
		phi_beat(&phi, &standard, now += intervals[i % of]);
	return now;
}

static void mean_deviation_and_suspicion_are_those_of_the_samples(void **state)
{
	(void)state;
	beats(0, NULL, 1);
	near_to(phi.after_ms, 5306.50, 0.01);
	beats(50, (const uint32_t[]){1000}, 1);
	near_to(phi_mean(&phi), 1000, 0.001);
	near_to(phi_deviation(&phi), 49.0290, 0.001);
	near_to(phi.after_ms, 4522.60, 0.01);
	beats(40, (const uint32_t[]){900, 1100}, 2);
	near_to(phi_deviation(&phi), 111.8034, 0.001);
	near_to(phi.after_ms, 4584.28, 0.01);
	beats(5, (const uint32_t[]){1000, 1400, 700, 1900, 1001}, 5);
	near_to(phi_mean(&phi), 1143, 0.001);
	near_to(phi_deviation(&phi), 385.7938, 0.001);
	near_to(phi.after_ms, 6159.15, 0.01);
}

static void suspicion_begins_where_phi_reaches_the_threshold(void **state)
{
	(void)state;
	for (uint32_t threshold = 1; threshold <= PHI_THRESHOLD_MAX; threshold++) {
		const struct phi_settings s = {threshold, PHI_PAUSE_MS};
		phi_begin(&phi, &s, 0);
		phi_beat(&phi, &s, 0);
		uint64_t due = phi_due(&phi);
		assert_false(phi_suspects(&phi, due - 1));
		assert_true(phi_suspects(&phi, due));
		/* Here a double has few digits left. */
		near_to(phi_value(&phi, &s, due), threshold, threshold < 15 ? 0.02 : 0.2);
	}
}

static void a_suspicion_ends_with_the_next_word_and_is_no_sample(void **state)
{
	(void)state;
	uint64_t now = beats(20, (const uint32_t[]){1000}, 1);
	double after = phi.after_ms;

	now += 60000;
	assert_true(phi_suspects(&phi, now));
	phi_beat(&phi, &standard, now);
	assert_false(phi_suspects(&phi, now));
	assert_true(phi.after_ms == after);
	/* A long time that makes none is one. */
	phi_beat(&phi, &standard, now += 4000);
	assert_true(phi.after_ms > after);
}

static void a_time_without_a_connection_is_no_sample(void **state)
{
	(void)state;
	uint64_t now = beats(20, (const uint32_t[]){1000}, 1);
	double after = phi.after_ms;

	phi_part(&phi);
	phi_beat(&phi, &standard, now += 4000);
	assert_true(phi.after_ms == after);
	assert_true(phi_due(&phi) > now + PHI_PAUSE_MS);
	phi_beat(&phi, &standard, now + 4000);
	assert_true(phi.after_ms > after);
}

static void what_is_said_between_heartbeats_is_none(void **state)
{
	(void)state;
	uint64_t now = beats(20, (const uint32_t[]){1000}, 1);

	for (unsigned i = 0; i < 100; i++) {
		phi_beat(&phi, &standard, now + 400);
		phi_beat(&phi, &standard, now += 1000);
	}
	near_to(phi_mean(&phi), 1000, 0.001);
}

static void the_oldest_samples_are_forgotten(void **state)
{
	(void)state;
	uint64_t now = beats(500, (const uint32_t[]){3000}, 1);

	for (unsigned i = 0; i < PHI_SAMPLES; i++)
		phi_beat(&phi, &standard, now += 1000);
	assert_int_equal(phi.count, PHI_SAMPLES);
	near_to(phi_mean(&phi), 1000, 0.001);
	near_to(phi_deviation(&phi), 0, 0.001);
}

static void sums_hold_the_longest_samples(void **state)
{
	(void)state;
	static const struct phi_settings patient = {PHI_THRESHOLD, UINT32_MAX};
	uint64_t now = 0;

	phi_begin(&phi, &patient, now);
	phi_beat(&phi, &patient, now);
	for (unsigned i = 0; i < PHI_SAMPLES + 2; i++)
		phi_beat(&phi, &patient, now += 4000000000u);
	near_to(phi_mean(&phi), PHI_SAMPLE_MAX, 0.001);
	near_to(phi_deviation(&phi), 0, 0.001);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(phi_is_the_tail_of_a_normal_distribution),
	    cmocka_unit_test(phi_has_realistic_values),
	    cmocka_unit_test(the_first_heartbeat_is_judged_by_the_estimate),
	    cmocka_unit_test(mean_deviation_and_suspicion_are_those_of_the_samples),
	    cmocka_unit_test(suspicion_begins_where_phi_reaches_the_threshold),
	    cmocka_unit_test(a_suspicion_ends_with_the_next_word_and_is_no_sample),
	    cmocka_unit_test(a_time_without_a_connection_is_no_sample),
	    cmocka_unit_test(what_is_said_between_heartbeats_is_none),
	    cmocka_unit_test(the_oldest_samples_are_forgotten),
	    cmocka_unit_test(sums_hold_the_longest_samples),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
