/* What a follower takes of what it is sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/host/engine.h"
#include "core/raft/raft.h"
#include "core/wire/event.h"

static uint8_t message[200], other[200];

/* A record that brings messages, and one that brings none, of the same size. */
static int setup(void **state)
{
	static const uint8_t body[200];
	struct writer m = writer_of(message, sizeof(message)),
		      o = writer_of(other, sizeof(other));
	(void)state;
	for (unsigned i = 0; i < EVENTS_HEADER_SIZE; i++) {
		put_u8(&m, 0);
		put_u8(&o, 0);
	}
	size_t left = sizeof(message) - m.len - EVENT_HEADER_SIZE;
	event_put_send(
	    &m, &(struct event_send){.tags = NO_TAGS, .batch = slice_of(body, left - 30)});
	event_put_settle(
	    &o, &(struct event_settle){.tags = NO_TAGS, .entries = slice_of(body, left - 26)});
	assert_false(m.full || o.full);
	assert_int_equal(m.len, sizeof(message));
	assert_int_equal(o.len, sizeof(other));
	return 0;
}

#define ONE (RECORD_HEADER_SIZE + 200)
#define TAKES(is, kind, payload) \
	assert_int_equal( \
	    intake_take(&in, &room, &taken, kind, slice_of(payload, sizeof(payload))), is)

static void new_messages_leave_half_of_the_reserve(void **state)
{
	struct intake in = {0};
	struct intake_need taken = {0};
	/* Room for two; the reserve is four more. */
	struct intake_room room = {2 * ONE, {6 * ONE, 6 * ONE, 6 * ONE}};
	(void)state;
	for (unsigned i = 0; i < 4; i++)
		TAKES(true, RECORD_EVENTS, message);
	TAKES(false, RECORD_EVENTS, message);
	assert_true(in.first.messages);
	TAKES(true, RECORD_EVENTS, other);
	/* Of a checkpoint nobody looks what is in it. */
	TAKES(true, RECORD_PART, message);
	TAKES(false, RECORD_END, other);
	assert_false(in.first.messages);
}

static void what_cannot_be_read_counts_as_new_messages(void **state)
{
	struct intake in = {0};
	struct intake_need taken = {0};
	struct intake_room room = {0, {ONE, ONE, ONE}};
	static const uint8_t garbage[200] = {[EVENTS_HEADER_SIZE] = 255};
	(void)state;
	TAKES(false, RECORD_EVENTS, garbage);
	TAKES(true, RECORD_EVENTS, other);
}

static void the_largest_record_decides_what_fits(void **state)
{
	static uint8_t ordinary[RECORD_FILL], large[RECORD_FILL + 1], small[JOURNAL_SMALL_MAX];
	struct intake in = {0};
	struct intake_need taken = {0};
	struct intake_room room = {UINT64_MAX, {UINT64_MAX, 200000, 100000}};
	(void)state;
	TAKES(true, RECORD_PART, small);
	TAKES(true, RECORD_PART, ordinary);
	TAKES(true, RECORD_PART, small);
	TAKES(false, RECORD_PART, large);
	assert_int_equal(in.first.largest, INTAKE_LARGE);
	taken = (struct intake_need){0};
	TAKES(true, RECORD_PART, large);
	TAKES(true, RECORD_PART, small);
	TAKES(false, RECORD_PART, ordinary);
}

static void room_less_what_is_on_its_way(void **state)
{
	struct intake_room room = {10, {100, 50, UINT64_MAX}};
	(void)state;
	room = intake_room_less(room, 60);
	assert_int_equal(room.messages, 0);
	assert_int_equal(room.records[INTAKE_SMALL], 40);
	assert_int_equal(room.records[INTAKE_ORDINARY], 0);
	assert_true(room.records[INTAKE_LARGE] == UINT64_MAX);
}

static void it_asks_once_when_there_is_room_or_more_holes(void **state)
{
	struct intake in = {0};
	struct intake_need taken = {0};
	struct intake_room room = {0, {0, 0, 0}};
	(void)state;
	assert_false(intake_asks(&in, &room, 9));
	TAKES(false, RECORD_EVENTS, other);
	intake_end(&in, false, 9);
	assert_false(intake_asks(&in, &room, 9));
	assert_true(intake_asks(&in, &room, 10));
	assert_false(intake_asks(&in, &room, 11));
	/* It came again, and in vain. */
	intake_end(&in, false, 11);
	assert_false(intake_asks(&in, &room, 11));
	room.records[INTAKE_SMALL] = ONE;
	assert_true(intake_asks(&in, &room, 11));
	intake_end(&in, true, 11);
	assert_false(intake_asks(&in, &room, 20));
}

/* ---- messages ---- */

static struct raft *a_follower(void)
{
	static const struct raft_place terms[] = {{1, 1}};
	struct raft_begin b = {.id = {{1}},
	    .term = 2,
	    .last = 3,
	    .commit = 3,
	    .terms = terms,
	    .term_count = 1,
	    .election_ms = 1000,
	    .heartbeat_ms = 100};
	return raft_new(&b, 0);
}

static struct raft_run run(uint64_t index, uint64_t term, uint8_t kind)
{
	return (struct raft_run){index, term, 1, kind == RAFT_HOLE ? 0 : 200, kind, NULL};
}

static void holes_and_what_is_here_need_no_room(void **state)
{
	struct raft *r = a_follower();
	struct intake in = {0};
	const struct intake_room room = {0, {ONE, ONE, ONE}};
	struct raft_run runs[] = {run(2, 1, RECORD_EVENTS), run(3, 1, RECORD_EVENTS),
	    run(4, 2, RAFT_HOLE), run(5, 2, RECORD_EVENTS), run(6, 2, RECORD_EVENTS)};
	struct piece pieces[5] = {{slice_of(message, 200), NULL},
	    {slice_of(message, 200), NULL}, {slice_of(NULL, 0), NULL},
	    {slice_of(other, 200), NULL}, {slice_of(other, 200), NULL}};
	struct raft_message m = {
	    .type = RAFT_APPEND, .term = 2, .place = {1, 1}, .runs = runs, .run_count = 5};
	(void)state;
	assert_true(engine_takes(r, &m, pieces, &room, &in));
	assert_int_equal(m.run_count, 4);
	assert_true(in.waits);
	/* What comes after that is as good as lost, and a heartbeat is not. */
	m = (struct raft_message){
	    .type = RAFT_APPEND, .term = 2, .place = {6, 2}, .runs = runs, .run_count = 1};
	assert_false(engine_takes(r, &m, pieces, &room, &in));
	m.run_count = 0;
	assert_true(engine_takes(r, &m, pieces, &room, &in));
	/* Another leader looks for the place where its log matches. */
	m.term = 3;
	m.run_count = 1;
	assert_true(engine_takes(r, &m, pieces, &room, &in));
	raft_free(r);
}

static void a_leader_appends_what_its_disk_stores_for_sure(void **state)
{
	const struct intake_room room = {0, {2 * ONE, 2 * ONE, 2 * ONE}};
	const struct proposal p[] = {{RECORD_EVENTS, {slice_of(message, 200), NULL}},
	    {RECORD_EVENTS, {slice_of(other, 200), NULL}},
	    {RECORD_END, {slice_of(other, 200), NULL}}};
	(void)state;
	assert_int_equal(engine_proposes(p, 3, &INTAKE_ENOUGH), 3);
	assert_int_equal(engine_proposes(p, 3, &room), 2);
	assert_int_equal(engine_proposes(p + 1, 2, &room), 2);
	assert_int_equal(engine_proposes(p, 1, &(struct intake_room){0}), 0);
}

#define T(name) cmocka_unit_test(name)

int main(void)
{
	const struct CMUnitTest tests[] = {T(new_messages_leave_half_of_the_reserve),
	    T(what_cannot_be_read_counts_as_new_messages),
	    T(the_largest_record_decides_what_fits), T(room_less_what_is_on_its_way),
	    T(it_asks_once_when_there_is_room_or_more_holes),
	    T(holes_and_what_is_here_need_no_room),
	    T(a_leader_appends_what_its_disk_stores_for_sure)};
	return cmocka_run_group_tests(tests, setup, NULL);
}
