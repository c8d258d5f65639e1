/* Holes that a full follower asks its leader for: two logs in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/host/relief.h"

#define LAST 5000

struct log {
	bool hole[LAST + 1];
	bool reading;
};
static struct log leader, follower;
static struct relief relief;
static struct ends_piece piece;
static uint8_t list[RELIEF_BYTES];

static void begin(void *arg)
{
	((struct log *)arg)->reading = true;
}

static uint64_t next(void *arg, uint64_t from)
{
	const struct log *l = arg;
	assert_true(l->reading);
	while (from <= LAST && l->hole[from])
		from++;
	return from <= LAST ? from : UINT64_MAX;
}

static void done(void *arg)
{
	((struct log *)arg)->reading = false;
}

static struct relief_known known; /* to the leader */

static struct ends_log log_of(struct log *l)
{
	return (struct ends_log){l, begin, NULL, next, done, NULL};
}

static struct relief_seen seen;

static int setup(void **state)
{
	(void)state;
	leader = follower = (struct log){{0}, false};
	relief = (struct relief){0};
	known = (struct relief_known){LAST, LAST, LAST, 6000};
	seen = (struct relief_seen){.term = 2,
	    .waits = true,
	    .cover = 6000,
	    .last = LAST,
	    .now_ms = 1000,
	    .patience_ms = 100};
	return 0;
}

static enum relief_action turn(void)
{
	struct ends_log log = log_of(&follower);
	enum relief_action a = relief_turn(&relief, &seen, &log, &piece);
	assert_false(follower.reading);
	return a;
}

static struct relief_answer answer(uint64_t followed)
{
	struct ends_log log = log_of(&leader);
	struct relief_answer a = {.term = 2, .followed = followed};
	relief_answer(&log, relief.from, &known, list, &a);
	assert_false(leader.reading);
	return a;
}

static void dig(void)
{
	for (unsigned i = 0; i < piece.count; i++)
		for (uint32_t k = 0; k < piece.ranges[i].count; k++)
			follower.hole[piece.ranges[i].first + k] = true;
	relief_dug(&relief, seen.stored + 1);
	assert_int_equal(turn(), RELIEF_NOTHING);
	seen.stored++;
}

/* All that it does until it waits for something; how many times it asked. */
static unsigned pass(uint64_t followed)
{
	unsigned asked = 0;
	for (enum relief_action a; (a = turn()) != RELIEF_NOTHING;) {
		if (a == RELIEF_DIG) {
			dig();
			continue;
		}
		struct relief_answer said = answer(followed);
		asked++;
		assert_true(relief_answered(&relief, &said));
	}
	return asked;
}

static void it_comes_to_have_the_leaders_holes(void **state)
{
	(void)state;
	for (unsigned i = 1; i <= LAST; i++)
		leader.hole[i] = i % 3 > 0 || (i > 1000 && i < 4000);
	for (unsigned i = 1; i <= LAST; i++)
		follower.hole[i] = i % 7 == 0 && leader.hole[i];
	assert_true(pass(6000) > 0);
	assert_memory_equal(leader.hole, follower.hole, sizeof(leader.hole));
	/* It knows all now. */
	seen.now_ms += 10000;
	assert_int_equal(turn(), RELIEF_NOTHING);
	seen.cover = 6001;
	assert_int_equal(turn(), RELIEF_ASK);
}

static void all_of_its_log_may_have_died(void **state)
{
	(void)state;
	memset(leader.hole, true, sizeof(leader.hole));
	assert_true(pass(6000) > 0);
	for (unsigned i = 1; i <= LAST; i++)
		assert_true(follower.hole[i]);
}

static void what_the_leader_had_not_done_is_asked_for_later(void **state)
{
	(void)state;
	leader.hole[5] = true;
	assert_true(pass(5000) > 0);
	leader.hole[6] = true;
	assert_int_equal(turn(), RELIEF_NOTHING);
	seen.now_ms += seen.patience_ms;
	assert_true(pass(6000) > 0);
	assert_true(follower.hole[6]);
}

static void an_answer_that_is_lost_is_asked_for_again(void **state)
{
	(void)state;
	assert_int_equal(turn(), RELIEF_ASK);
	assert_int_equal(turn(), RELIEF_NOTHING);
	seen.now_ms += seen.patience_ms;
	assert_int_equal(turn(), RELIEF_ASK);
	struct relief_answer said = answer(6000);
	assert_true(relief_answered(&relief, &said));
	/* The same again has no effect. */
	assert_true(relief_answered(&relief, &said));
}

static void another_leader_is_asked_anew(void **state)
{
	(void)state;
	assert_int_equal(turn(), RELIEF_ASK);
	struct relief_answer said = answer(6000);
	seen.term = 3;
	assert_int_equal(turn(), RELIEF_ASK);
	assert_int_equal(relief.from, 1);
	assert_true(relief_answered(&relief, &said));
	assert_true(relief.asked);
}

static void what_no_leader_says_is_refused(void **state)
{
	static const uint8_t garbage[HOLE_RANGE_SIZE + 1];
	struct relief_answer said = {.term = 2, .followed = 6000};
	(void)state;
	assert_int_equal(turn(), RELIEF_ASK);
	said.list = slice_of(garbage, sizeof(garbage));
	assert_false(relief_answered(&relief, &said));
	/* Ranges that there cannot be: nothing comes of them. */
	said.list = slice_of(garbage, HOLE_RANGE_SIZE);
	assert_true(relief_answered(&relief, &said));
	assert_int_equal(turn(), RELIEF_NOTHING);
}

static void the_first_of_too_many_ranges_are_taken_and_the_others_asked_for(void **state)
{
	static uint8_t many[RELIEF_BYTES + 2 * HOLE_RANGE_SIZE];
	struct writer w = writer_of(many, sizeof(many));
	struct relief_answer said = {.term = 2, .followed = 6000};
	(void)state;
	for (uint64_t i = 0; i < RELIEF_RANGES + 2; i++)
		hole_range_put(&w, &(struct hole_range){1 + 2 * i, 1});
	said.list = slice_of(many, w.len);
	assert_int_equal(turn(), RELIEF_ASK);
	assert_true(relief_answered(&relief, &said));
	while (turn() == RELIEF_DIG)
		dig();
	assert_true(follower.hole[1] && follower.hole[2 * RELIEF_RANGES - 1]);
	assert_false(follower.hole[2 * RELIEF_RANGES + 1]);
	assert_int_equal(relief.from, 2 * RELIEF_RANGES + 1);
	assert_true(relief.asked);
}

/* All there is of a record that is not stored yet, or stands behind the END, is no hole. */
static void nothing_is_told_of_what_the_leader_does_not_know_for_sure(void **state)
{
	struct relief_known all = known;
	uint64_t *bounds[] = {&known.match, &known.commit, &known.stored, &known.cover};
	(void)state;
	memset(leader.hole, true, sizeof(leader.hole));
	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
		relief = (struct relief){0};
		known = all;
		*bounds[i] = 4000;
		assert_int_equal(turn(), RELIEF_ASK);
		struct relief_answer said = answer(6000);
		struct reader r = reader_of(said.list);
		assert_int_equal(said.list.len, HOLE_RANGE_SIZE);
		struct hole_range h = hole_range_get(&r);
		assert_int_equal(h.first, 1);
		assert_int_equal(h.count, i < 3 ? 4000 : 3999);
		assert_int_equal(said.next, 0);
	}
	/* It has made none. */
	known.cover = 0;
	assert_int_equal(answer(6000).list.len, 0);
}

static void who_does_not_wait_asks_for_nothing(void **state)
{
	(void)state;
	seen.waits = false;
	assert_int_equal(turn(), RELIEF_NOTHING);
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {T(it_comes_to_have_the_leaders_holes),
	    T(all_of_its_log_may_have_died), T(what_the_leader_had_not_done_is_asked_for_later),
	    T(an_answer_that_is_lost_is_asked_for_again), T(another_leader_is_asked_anew),
	    T(what_no_leader_says_is_refused),
	    T(the_first_of_too_many_ranges_are_taken_and_the_others_asked_for),
	    T(nothing_is_told_of_what_the_leader_does_not_know_for_sure),
	    T(who_does_not_wait_asks_for_nothing)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
