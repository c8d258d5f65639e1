/* Holes of what committed checkpoints say died: a log in memory, and an engine that digs in it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/host/ends.h"
#include "core/wire/event.h"
#include "core/wire/record.h"

#define LAST 4000

static struct {
	bool hole[LAST + 1];
	struct {
		uint64_t index;
		struct writer payload;
		enum rmq_error err; /* reading it gives */
		uint8_t bytes[4096];
	} end[4];
	unsigned ends;
	bool reading;
	struct engine_state state;
	uint64_t asked; /* transactions */
	uint64_t dug;	/* holes in the newest one */
	uint64_t bad;
} world;

static struct ends ends;

static struct engine_state state_now(void *arg)
{
	(void)arg;
	return world.state;
}

static uint64_t holes(void *arg, uint64_t end, const struct hole_range *ranges, unsigned count)
{
	(void)arg;
	assert_false(world.reading);
	world.dug = 0;
	for (unsigned i = 0; i < count; i++) {
		assert_false(world.hole[ranges[i].first]);
		for (uint32_t k = 0; k < ranges[i].count; k++, world.dug++) {
			assert_true(ranges[i].first + k < end);
			world.hole[ranges[i].first + k] = true;
		}
	}
	return ++world.asked;
}

static void begin(void *arg)
{
	(void)arg;
	world.reading = true;
}

static enum rmq_error next_end(void *arg, uint64_t from, uint64_t *index, struct slice *payload)
{
	(void)arg;
	assert_true(world.reading);
	*index = 0;
	for (unsigned i = 0; i < world.ends; i++) {
		if (world.end[i].index < from || world.hole[world.end[i].index])
			continue;
		*payload = slice_of(world.end[i].payload.p, world.end[i].payload.len);
		*index = world.end[i].index;
		return world.end[i].err;
	}
	return RMQ_E_NOTHING;
}

static uint64_t next_record(void *arg, uint64_t from)
{
	(void)arg;
	assert_true(world.reading);
	while (world.hole[from])
		from++;
	return from;
}

static void end_done(void *arg)
{
	(void)arg;
	world.reading = false;
}

static void bad(void *arg, uint64_t end, enum rmq_error err)
{
	(void)arg;
	assert_int_equal(err, RMQ_E_CORRUPT);
	world.bad = end;
}

static const struct engine engine = {NULL, state_now, NULL, NULL, holes};
static const struct ends_log journal = {NULL, begin, next_end, next_record, end_done, bad};

/* An END that says that these died. */
static void put(uint64_t index, const struct hole_range *dead, unsigned count)
{
	uint8_t ranges[1024];
	struct writer list = writer_of(ranges, sizeof(ranges));
	struct writer *w = &world.end[world.ends].payload;

	for (unsigned i = 0; i < count; i++)
		hole_range_put(&list, &dead[i]);
	*w = writer_of(world.end[world.ends].bytes, sizeof(world.end[0].bytes));
	put_u64(w, 1); /* times */
	put_u64(w, 1);
	event_put_end_dead(w, &(struct event_end_dead){slice_of(ranges, list.len)});
	world.end[world.ends++].index = index;
	world.state.committed = index;
}

static bool turn(unsigned records)
{
	bool more = ends_turn(&ends, &engine, &journal, records);
	assert_false(world.reading);
	return more;
}

/* As many turns as it takes, each stored. */
static unsigned turns(unsigned records)
{
	unsigned n = 0;

	do {
		assert_true(n < 10000);
		world.state.stored = world.asked;
		turn(records);
		n++;
	} while (world.state.stored < world.asked || ends.followed < world.state.committed);
	return n;
}

static unsigned count(uint64_t first, uint64_t last)
{
	unsigned n = 0;

	for (; first <= last; first++)
		n += world.hole[first];
	return n;
}

static int setup(void **state)
{
	(void)state;
	memset(&world, 0, sizeof(world));
	ends = (struct ends){0};
	return 0;
}

static void an_end_is_followed_once_it_is_committed_and_once_what_it_made_is_stored(
    void **state)
{
	(void)state;
	put(10, &(struct hole_range){2, 3}, 1);
	world.state.committed = 9;
	assert_false(turn(100));
	assert_int_equal(ends.followed, 9);
	world.state.committed = 10;
	turn(100);
	assert_int_equal(count(1, 10), 3);
	assert_int_equal(ends.followed, 9);
	/* One transaction at a time. */
	put(20, &(struct hole_range){5, 1}, 1);
	assert_false(turn(100));
	assert_int_equal(count(1, 10), 3);
	world.state.stored = 1;
	assert_true(turn(100));
	assert_int_equal(ends.followed, 10);
	turn(100);
	assert_int_equal(count(1, 10), 4);
}

static void much_is_made_in_pieces_that_begin_at_what_is_no_hole_yet(void **state)
{
	(void)state;
	world.hole[50] = world.hole[51] = true;
	put(2000, (struct hole_range[]){{1, 1}, {20, 100}, {300, 1000}}, 3);
	turn(30);
	assert_true(world.dug <= 30);
	/* The process has ended: it begins anew, and makes no hole twice. */
	world.state.stored = world.asked = 0;
	ends = (struct ends){0};
	assert_true(turns(30) > 1100 / 30);
	assert_int_equal(count(1, 1999), 1 + 100 + 1000);
	assert_true(world.hole[20] && world.hole[119] && !world.hole[120] && world.hole[300] &&
		    world.hole[1299] && !world.hole[1300]);
}

static void a_turn_is_bounded_by_what_is_looked_at(void **state)
{
	(void)state;
	struct hole_range dead[60];

	for (unsigned i = 0; i < 60; i++) {
		dead[i] = (struct hole_range){i + 1, 1};
		world.hole[i + 1] = true;
	}
	put(100, dead, 60);
	turn(25);
	assert_int_equal(ends.at.range, 25);
	assert_int_equal(world.asked, 0);
	assert_int_equal(turns(25), 2);
	/* However much is asked for. */
	setup(state);
	put(3000, &(struct hole_range){1, 2999}, 1);
	turn(UINT32_MAX);
	assert_int_equal(world.dug, ENDS_TURN_RECORDS);
	turns(UINT32_MAX);
	assert_int_equal(count(1, LAST), 2999);
}

static void what_names_more_than_it_can_is_passed_over(void **state)
{
	static const struct hole_range wrong[] = {
	    {0, 1}, {10, 1}, {9, 2}, {1, UINT32_MAX}, {UINT64_MAX, 1}, {11, 1}};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		setup(state);
		put(10, (struct hole_range[]){{1, 2}, wrong[i]}, 2);
		put(20, &(struct hole_range){10, 1}, 1);
		turns(100);
		assert_int_equal(world.bad, 10);
		assert_int_equal(ends.followed, 20);
		assert_int_equal(count(1, 20), 1);
	}
	setup(state);
	put(10, NULL, 0);
	world.end[0].payload.len--;
	turns(100);
	assert_int_equal(world.bad, 10);
}

static void an_end_that_is_being_mended_is_waited_for_and_one_that_is_lost_is_passed_over(
    void **state)
{
	(void)state;
	put(10, &(struct hole_range){1, 2}, 1);
	put(20, &(struct hole_range){3, 1}, 1);
	world.end[0].err = RMQ_E_BUSY;
	world.state.committed = 9;
	turns(10);
	assert_int_equal(ends.followed, 9);
	world.state.committed = 20;
	assert_false(ends_turn(&ends, &engine, &journal, UINT32_MAX));
	assert_false(world.reading);
	assert_int_equal(ends.followed, 9);
	assert_int_equal(count(1, 20), 0);
	world.end[0].err = RMQ_E_OK;
	turns(10);
	assert_int_equal(ends.followed, 20);
	assert_int_equal(count(1, 20), 3);
	assert_int_equal(world.bad, 0);
	setup(state);
	put(10, &(struct hole_range){1, 2}, 1);
	put(20, &(struct hole_range){3, 1}, 1);
	world.end[0].err = RMQ_E_CORRUPT;
	turns(10);
	assert_int_equal(world.bad, 10);
	assert_int_equal(ends.followed, 20);
	assert_int_equal(count(1, 20), 1);
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(an_end_is_followed_once_it_is_committed_and_once_what_it_made_is_stored),
	    T(much_is_made_in_pieces_that_begin_at_what_is_no_hole_yet),
	    T(a_turn_is_bounded_by_what_is_looked_at),
	    T(what_names_more_than_it_can_is_passed_over),
	    T(an_end_that_is_being_mended_is_waited_for_and_one_that_is_lost_is_passed_over)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
