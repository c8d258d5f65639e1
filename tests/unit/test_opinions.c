/* Which members are unreachable, by the opinion of the majority. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/host/opinions.h"

static const struct raft_id self = {{1}}, b = {{2}}, c = {{3}}, d = {{4}};
static const struct phi_settings settings = {PHI_THRESHOLD, PHI_PAUSE_MS};
static const struct opinion nobody;
static struct opinions o;
static uint64_t now;

#define SUSPECTED_MS 6000 /* by then */

static int setup(void **state)
{
	(void)state;
	now = 1000;
	opinions_init(&o, self, &settings, now);
	return 0;
}

static void with(struct raft_id id)
{
	opinions_add(&o, id, now);
	opinions_beat(&o, id, now);
}

static void told(
    struct raft_id by, const struct raft_id *suspects, const struct raft_id *unheard)
{
	struct opinion said = {.suspects = {.count = suspects ? 1 : 0}};

	if (suspects)
		said.suspects.ids[0] = *suspects;
	if (unheard)
		said.unheard = (struct opinion_list){.count = 1, .ids = {*unheard}};
	opinions_told(&o, by, &said);
}

/* Time goes on; these are heard. */
static bool pass(uint64_t ms, const struct raft_id *first, const struct raft_id *second)
{
	bool changed = false;

	for (uint64_t end = now + ms; now < end; now += 500) {
		if (first)
			opinions_beat(&o, *first, now);
		if (second)
			opinions_beat(&o, *second, now);
		changed |= opinions_turn(&o, now);
	}
	return changed;
}

static void who_is_dead_is_unreachable_once_a_majority_says_so(void **state)
{
	(void)state;
	with(b), with(c), with(d);
	told(b, NULL, NULL), told(c, NULL, NULL);
	assert_true(pass(SUSPECTED_MS, &b, &c));
	assert_true(opinions_find(&o, d)->suspected);
	/* One of three. */
	assert_false(opinions_unreachable(&o, d));
	told(b, &d, NULL);
	assert_true(opinions_turn(&o, now));
	assert_true(opinions_unreachable(&o, d));
	/* It comes back; this node hears it first, the others then. */
	opinions_beat(&o, d, now);
	assert_true(opinions_turn(&o, now));
	told(b, NULL, NULL);
	opinions_turn(&o, now);
	assert_false(opinions_unreachable(&o, d));
}

static void a_cable_between_two_makes_nobody_unreachable(void **state)
{
	(void)state;
	with(b), with(c);
	told(b, NULL, NULL);
	/* At one end of it. */
	pass(SUSPECTED_MS, &b, NULL);
	assert_true(opinions_find(&o, c)->suspected);
	assert_false(opinions_unreachable(&o, c));
	/* And at the third one: half is no majority. */
	setup(NULL);
	with(b), with(c);
	told(b, &c, NULL), told(c, &b, NULL);
	pass(SUSPECTED_MS, &b, &c);
	assert_false(opinions_unreachable(&o, b) || opinions_unreachable(&o, c));
}

static void who_hears_nobody_has_the_only_voice(void **state)
{
	(void)state;
	with(b), with(c);
	told(b, NULL, NULL), told(c, NULL, NULL);
	pass(SUSPECTED_MS, NULL, NULL);
	assert_true(opinions_unreachable(&o, b) && opinions_unreachable(&o, c));
	assert_false(opinions_unreachable(&o, self));
}

static void who_has_just_started_has_no_opinion_of_who_was_dead_before(void **state)
{
	(void)state;
	with(b), with(c);
	told(b, NULL, NULL);
	pass(SUSPECTED_MS, &b, NULL);
	told(b, &c, NULL);
	opinions_turn(&o, now);
	assert_true(opinions_unreachable(&o, c));
	/* b starts anew. */
	opinions_told(&o, b, NULL);
	opinions_turn(&o, now);
	told(b, NULL, &c);
	opinions_turn(&o, now);
	assert_true(opinions_unreachable(&o, c));
	/* So it was for this one, before it suspected c. */
	setup(NULL);
	with(b);
	opinions_add(&o, c, now);
	told(b, &c, NULL);
	opinions_turn(&o, now);
	assert_false(opinions_find(&o, c)->suspected);
	assert_true(opinions_unreachable(&o, c));
}

static void who_says_nothing_from_the_start_is_suspected(void **state)
{
	(void)state;
	opinions_add(&o, b, now);
	pass(SUSPECTED_MS, NULL, NULL);
	assert_true(opinions_unreachable(&o, b));
}

static void this_node_is_unreachable_if_the_others_say_so(void **state)
{
	(void)state;
	with(b), with(c);
	told(b, &self, NULL), told(c, NULL, NULL);
	opinions_turn(&o, now);
	assert_false(opinions_unreachable(&o, self));
	told(c, &self, NULL);
	assert_true(opinions_turn(&o, now));
	assert_true(opinions_unreachable(&o, self));
}

static void what_this_node_tells_is_what_it_thinks(void **state)
{
	(void)state;
	struct opinion own;

	with(b), with(c);
	pass(SUSPECTED_MS, &b, NULL);
	opinions_add(&o, d, now);
	opinions_own(&o, &own);
	assert_int_equal(own.suspects.count, 1);
	assert_true(raft_id_eq(own.suspects.ids[0], c));
	assert_int_equal(own.unheard.count, 1);
	assert_true(raft_id_eq(own.unheard.ids[0], d));
}

static void a_node_that_was_stopped_suspects_nobody_for_that(void **state)
{
	(void)state;
	with(b);
	pass(3000, &b, NULL);
	now += 3600000;
	assert_false(opinions_turn(&o, now));
	assert_false(opinions_find(&o, b)->suspected);
}

static void the_turn_of_a_suspicion_is_due(void **state)
{
	(void)state;
	assert_true(opinions_due(&o) == UINT64_MAX);
	with(b);
	/* A turn each second, as nodes have. */
	while (opinions_due(&o) > now + 1000)
		opinions_turn(&o, now += 1000);
	now = opinions_due(&o);
	assert_true(opinions_turn(&o, now));
	assert_true(opinions_find(&o, b)->suspected);
	assert_true(opinions_due(&o) == UINT64_MAX);
}

static void who_is_removed_is_forgotten(void **state)
{
	(void)state;
	with(b), with(c);
	told(c, &b, NULL);
	pass(SUSPECTED_MS, &c, NULL);
	assert_true(opinions_unreachable(&o, b));
	opinions_drop(&o, b);
	assert_null(opinions_find(&o, b));
	assert_false(opinions_unreachable(&o, b));
	opinions_told(&o, b, &nobody);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(who_is_dead_is_unreachable_once_a_majority_says_so, setup),
	    cmocka_unit_test_setup(a_cable_between_two_makes_nobody_unreachable, setup),
	    cmocka_unit_test_setup(who_hears_nobody_has_the_only_voice, setup),
	    cmocka_unit_test_setup(
		who_has_just_started_has_no_opinion_of_who_was_dead_before, setup),
	    cmocka_unit_test_setup(who_says_nothing_from_the_start_is_suspected, setup),
	    cmocka_unit_test_setup(this_node_is_unreachable_if_the_others_say_so, setup),
	    cmocka_unit_test_setup(what_this_node_tells_is_what_it_thinks, setup),
	    cmocka_unit_test_setup(a_node_that_was_stopped_suspects_nobody_for_that, setup),
	    cmocka_unit_test_setup(the_turn_of_a_suspicion_is_due, setup),
	    cmocka_unit_test_setup(who_is_removed_is_forgotten, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
