/* A bad record that is fetched from the other members: they answer as they are told to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/host/fetch.h"

#define PATIENCE 1000
#define TERM	 3

static struct fetch fetch;
static struct fetch_seen seen;
static struct engine_state node;
static struct fetch_known known;
static const struct raft_id peers[] = {{{1}}, {{2}}, {{3}}};

static uint8_t bytes[RECORD_MAX];

/* As it stands on a disk: a payload of 5 bytes. */
static struct slice record_of(enum record_kind kind, uint64_t index, uint64_t term)
{
	memcpy(bytes + RECORD_HEADER_SIZE, "hello", 5);
	record_seal(bytes, &(struct record_header){kind, index, term}, 5);
	return slice_of(bytes, RECORD_HEADER_SIZE + 5);
}

static struct slice record(uint64_t index, uint64_t term)
{
	return record_of(RECORD_EVENTS, index, term);
}

static int setup(void **state)
{
	(void)state;
	memset(&fetch, 0, sizeof(fetch));
	known = (struct fetch_known){.term = TERM};
	node = (struct engine_state){.agreed = 10, .committed = 9};
	seen = (struct fetch_seen){.peers = peers,
	    .count = 3,
	    .room = INTAKE_ENOUGH,
	    .now_ms = 5000,
	    .patience_ms = PATIENCE};
	return 0;
}

static bool wants(uint64_t index)
{
	return fetch_want(&fetch, &node, index, seen.now_ms);
}

static void does(enum fetch_action a)
{
	assert_int_equal(fetch_turn(&fetch, &seen), a);
}

static void asks(unsigned peer)
{
	does(FETCH_ASK);
	assert_true(raft_id_eq(fetch.asked, peers[peer]));
	does(FETCH_NOTHING);
}

static void answers(unsigned peer, struct slice r)
{
	fetch_answered(&fetch, peers[peer], fetch.index, r, &known);
}

/* ---- tests ---- */

static void a_record_is_fetched_written_and_good_again(void **state)
{
	(void)state;
	does(FETCH_NOTHING);
	assert_true(wants(7));
	asks(0);
	assert_true(wants(7));
	answers(0, record(7, TERM));
	does(FETCH_MEND);
	assert_int_equal(fetch.run.first, 7);
	assert_int_equal(fetch.run.term, TERM);
	assert_int_equal(fetch.run.kind, RECORD_EVENTS);
	assert_true(slice_eq(fetch_payload(&fetch), slice_str("hello")));
	fetch_writes(&fetch, 20);
	seen.stored = 19;
	does(FETCH_NOTHING);
	assert_true(wants(7));
	seen.stored = 20;
	does(FETCH_DONE);
	does(FETCH_NOTHING);
	assert_true(wants(8));
	asks(0);
}

static void what_is_not_that_record_is_not_taken(void **state)
{
	struct slice r;
	(void)state;
	assert_true(wants(7));
	asks(0);
	/* A hole there, or not committed. */
	answers(0, slice_of(NULL, 0));
	asks(1);
	/* Bad there as well; the next one asked: written to the wrong place. */
	r = record(7, TERM);
	bytes[RECORD_HEADER_SIZE + 1] ^= 1;
	answers(1, r);
	asks(2);
	answers(2, record(8, TERM));
	/* All were asked: not again at once. */
	does(FETCH_NOTHING);
	seen.now_ms += PATIENCE;
	asks(0);
	answers(0, record(7, TERM - 1));
	asks(1);
	answers(1, record(7, TERM + 1));
	asks(2);
	answers(2, slice_of(bytes, RECORD_HEADER_SIZE - 1));
	does(FETCH_NOTHING);
	/* One that was asked long ago has it. */
	answers(0, record(7, TERM));
	does(FETCH_MEND);
}

static void a_record_of_another_kind_is_not_taken(void **state)
{
	(void)state;
	assert_true(wants(7));
	asks(0);
	answers(0, record_of(RECORD_CONFIG, 7, TERM));
	asks(1);
	known.marked = RECORD_END;
	answers(1, record_of(RECORD_EVENTS, 7, TERM));
	asks(2);
	answers(2, record_of(RECORD_END, 7, TERM));
	does(FETCH_MEND);
}

static void who_does_not_answer_is_not_waited_for(void **state)
{
	(void)state;
	assert_true(wants(7));
	asks(0);
	seen.now_ms += PATIENCE - 1;
	does(FETCH_NOTHING);
	/* Of another one this says nothing. */
	answers(2, slice_of(NULL, 0));
	does(FETCH_NOTHING);
	seen.now_ms++;
	asks(1);
}

static void what_nobody_has_is_given_up(void **state)
{
	(void)state;
	assert_true(wants(7));
	seen.count = 0;
	does(FETCH_NOTHING);
	seen.now_ms += FETCH_PATIENCE * PATIENCE - 1;
	does(FETCH_NOTHING);
	seen.now_ms++;
	does(FETCH_FAILED);
	does(FETCH_NOTHING);
	assert_false(wants(7));
	/* Another one does not wait for it. */
	assert_true(wants(8));
	assert_false(wants(7));
	seen.count = 3;
	asks(0);
}

/* Other nodes may be there by then. */
static void what_was_given_up_is_asked_for_again(void **state)
{
	(void)state;
	assert_true(wants(7));
	seen.now_ms += FETCH_PATIENCE * PATIENCE;
	does(FETCH_FAILED);
	assert_int_equal(fetch.given_up, 7);
	seen.now_ms += FETCH_PATIENCE * PATIENCE - 1;
	assert_false(wants(7));
	seen.now_ms++;
	assert_true(wants(7));
	asks(0);
	assert_int_equal(fetch.given_up, 7);
	answers(0, record(7, TERM));
	does(FETCH_MEND);
	fetch_writes(&fetch, 1);
	seen.stored = 1;
	does(FETCH_DONE);
	assert_int_equal(fetch.given_up, 0);
}

static void only_what_is_committed_is_wanted_and_told(void **state)
{
	(void)state;
	assert_false(wants(11));
	assert_true(wants(10));
	assert_true(fetch_tells(&node, 9));
	assert_false(fetch_tells(&node, 10));
	assert_false(fetch_tells(&node, 0));
}

static void what_a_disk_has_no_room_for_waits(void **state)
{
	(void)state;
	assert_true(wants(7));
	asks(0);
	answers(0, record(7, TERM));
	seen.room = (struct intake_room){0, {0, 0, 0}};
	does(FETCH_NOTHING);
	seen.now_ms += 2 * FETCH_PATIENCE * PATIENCE;
	does(FETCH_NOTHING);
	assert_true(wants(7));
	seen.room = INTAKE_ENOUGH;
	does(FETCH_MEND);
}

static void mended(uint64_t index)
{
	assert_true(wants(index));
	does(FETCH_ASK);
	answers(0, record(index, TERM));
	does(FETCH_MEND);
	fetch_writes(&fetch, 1);
	seen.stored = 1;
	does(FETCH_DONE);
}

static void a_disk_that_turns_it_bad_at_once_is_not_written_to_again(void **state)
{
	(void)state;
	mended(7);
	seen.now_ms += FETCH_PATIENCE * PATIENCE - 1;
	assert_false(wants(7));
	/* Later it is bad for another reason. */
	seen.now_ms++;
	mended(7);
	assert_false(wants(7));
}

static void a_disk_that_goes_on_turning_records_bad_is_given_up(void **state)
{
	(void)state;
	for (unsigned i = 0; i < FETCH_MENDS_MAX; i++)
		mended(1 + i % 5);
	assert_true(wants(7));
	does(FETCH_BROKEN);
	/* A disk that turns some bad now and then is not. */
	seen.now_ms += FETCH_MENDS_MS;
	does(FETCH_FAILED);
	mended(8);
	mended(9);
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {T(a_record_is_fetched_written_and_good_again),
	    T(what_is_not_that_record_is_not_taken), T(a_record_of_another_kind_is_not_taken),
	    T(who_does_not_answer_is_not_waited_for), T(what_nobody_has_is_given_up),
	    T(what_was_given_up_is_asked_for_again),
	    T(only_what_is_committed_is_wanted_and_told), T(what_a_disk_has_no_room_for_waits),
	    T(a_disk_that_turns_it_bad_at_once_is_not_written_to_again),
	    T(a_disk_that_goes_on_turning_records_bad_is_given_up)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
