/* Who is too ill to lead, and when a queue daemon is silent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/host/health.h"
#include "core/raft/node_wire.h"

#define ELECTION 500
#define BOUND	 2000
#define STEP	 (BOUND / 8)

static struct health health;
static struct health_seen seen;
static uint64_t now_ms;

static int setup(void **state)
{
	(void)state;
	now_ms = 10000;
	health_init(&health, ELECTION, now_ms);
	seen = (struct health_seen){.log = {.leads = true,
					.serving = true,
					.term = 7,
					.last = 10,
					.committed = 10,
					.stored = 5,
					.agreed = 10,
					.received = 10},
	    .sent = 5,
	    .room = 100 * HEALTH_FULL_BYTES,
	    .others = true};
	return 0;
}

static enum health_action turn(uint64_t ms)
{
	now_ms += ms;
	return health_turn(&health, &seen, now_ms);
}

/* Turns for so long, in steps; the first thing to do, if there is one. */
static enum health_action pass(uint64_t ms)
{
	enum health_action a = HEALTH_NOTHING;

	for (; ms > 0 && a == HEALTH_NOTHING; ms -= STEP)
		a = turn(STEP);
	return a;
}

/* A record that a majority stores, and this node does not. */
static void disk_hangs(void)
{
	seen.log.last = seen.log.agreed = seen.log.received = 11;
	seen.sent = 6;
	assert_int_equal(turn(0), HEALTH_NOTHING);
}

static void a_leader_whose_disk_hangs_hands_over(void **state)
{
	(void)state;
	disk_hangs();
	assert_int_equal(pass(BOUND - STEP), HEALTH_NOTHING);
	assert_true(health_confirms(&health));
	assert_int_equal(pass(STEP), HEALTH_HAND_OVER);
	assert_int_equal(health.illness, HEALTH_DISK);
	assert_true(health_hangs(&health));
	seen.log.leads = false;
	assert_int_equal(pass(10 * BOUND), HEALTH_NOTHING);
	assert_int_equal(health.state, HEALTH_WELL);
	assert_true(health_hangs(&health));
	seen.log.stored = 6;
	assert_int_equal(pass(STEP), HEALTH_NOTHING);
	assert_false(health_hangs(&health));
}

static void who_gets_none_of_what_it_lacks_starves(void **state)
{
	(void)state;
	seen.log.leads = false;
	seen.has = 10;
	seen.told = 20;
	assert_int_equal(pass(BOUND), HEALTH_NOTHING);
	assert_false(health_starves(&health));
	assert_int_equal(health_due(&health, HEALTH_DAEMON_UNWATCHED), now_ms + STEP);
	assert_int_equal(pass(STEP), HEALTH_NOTHING);
	assert_true(health_starves(&health));
	for (seen.has++; seen.has < seen.told; seen.has++) {
		assert_int_equal(pass(BOUND - STEP), HEALTH_NOTHING);
		assert_false(health_starves(&health));
	}
	assert_int_equal(pass(10 * BOUND), HEALTH_NOTHING);
	assert_false(health_starves(&health));
	/* What comes slowly comes. */
	seen.told = 30;
	seen.fed = true;
	assert_int_equal(pass(10 * BOUND), HEALTH_NOTHING);
	assert_false(health_starves(&health));
	seen.told = 0;
	assert_int_equal(pass(10 * BOUND), HEALTH_NOTHING);
	assert_false(health_starves(&health));
}

static void who_has_no_room_for_what_it_lacks_starves_until_it_has_stored_some(void **state)
{
	(void)state;
	seen.log.leads = false;
	seen.has = 10;
	seen.told = 20;
	seen.fed = seen.refuses = true;
	assert_int_equal(pass(BOUND + STEP), HEALTH_NOTHING);
	assert_true(health_starves(&health));
	/* It comes again and again; for a moment there is room, or so it seems; another one leads. */
	for (int i = 0; i < 10; i++) {
		seen.refuses = !seen.refuses;
		seen.told = i % 4 ? 20 : 0;
		assert_int_equal(pass(BOUND), HEALTH_NOTHING);
		assert_true(health_starves(&health));
	}
	seen.has++;
	assert_int_equal(pass(STEP), HEALTH_NOTHING);
	assert_false(health_starves(&health));
}

static void who_is_not_replaced_in_time_steps_down_until_its_disk_moves(void **state)
{
	(void)state;
	disk_hangs();
	assert_int_equal(pass(BOUND), HEALTH_HAND_OVER);
	assert_int_equal(pass(ELECTION - STEP), HEALTH_NOTHING);
	assert_int_equal(pass(STEP), HEALTH_STEP_DOWN);
	seen.log.leads = false;
	assert_int_equal(pass(10 * BOUND), HEALTH_NOTHING);
	seen.log.stored = 6;
	assert_int_equal(pass(STEP), HEALTH_STAND);
	assert_int_equal(health.state, HEALTH_WELL);
}

static void what_is_slow_everywhere_is_no_illness(void **state)
{
	(void)state;
	seen.log.last = seen.log.received = 11;
	seen.sent = 6;
	assert_int_equal(pass(10 * BOUND), HEALTH_NOTHING);
	assert_false(health_confirms(&health));
	seen.log.agreed = seen.log.committed = 11;
	assert_int_equal(pass(STEP), HEALTH_NOTHING);
	assert_true(health_confirms(&health));
}

static void a_disk_that_is_slow_and_moves_is_none(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++) {
		seen.log.last = seen.log.agreed = ++seen.log.received;
		assert_int_equal(pass(BOUND - STEP), HEALTH_NOTHING);
		seen.log.committed = seen.log.agreed;
		assert_int_equal(turn(0), HEALTH_NOTHING);
	}
}

static void links_that_pass_nothing_are_told_from_a_long_way(void **state)
{
	(void)state;
	seen.log.last = 100;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(pass(BOUND - STEP), HEALTH_NOTHING);
		seen.log.received++;
	}
	assert_int_equal(pass(BOUND + STEP), HEALTH_HAND_OVER);
	assert_int_equal(health.illness, HEALTH_LINKS);
	assert_int_equal(pass(ELECTION), HEALTH_STEP_DOWN);
	seen.log.leads = false;
	assert_int_equal(pass(BOUND - STEP), HEALTH_NOTHING);
	assert_int_equal(pass(STEP), HEALTH_STAND);
}

/* What reaches other nodes confirms nothing then, and what does not hinders nothing. */
static void of_a_database_links_are_no_illness_and_do_not_confirm(void **state)
{
	(void)state;
	seen.database = true;
	seen.log.last = 100;
	seen.voters = 3;
	seen.passing = 2;
	assert_int_equal(pass(BOUND - STEP), HEALTH_NOTHING);
	assert_true(health_confirms(&health));
	assert_int_equal(pass(BOUND), HEALTH_NOTHING);
	assert_false(health_confirms(&health));
}

/* A message of many records takes long on its way. */
static void links_that_are_slow_and_pass_records_are_no_illness(void **state)
{
	struct health_link link = {0};
	uint64_t taken = 0;

	(void)state;
	seen.log.last = 100;
	seen.voters = 3;
	for (int i = 0; i < 100; i++) {
		taken += HEALTH_PASS_BYTES / 4;
		seen.passing = health_passes(&health, &link, taken);
		assert_int_equal(turn(STEP), HEALTH_NOTHING);
		assert_true(health_confirms(&health));
	}
	/* One of four others is no majority. */
	seen.voters = 5;
	assert_int_equal(pass(BOUND - STEP), HEALTH_NOTHING);
	seen.voters = 3;
	assert_int_equal(turn(STEP), HEALTH_NOTHING);
	/* Nor is a connection that is made again and again, and passes a greeting. */
	for (int i = 0; i < 16; i++) {
		taken = taken ? 0 : HEALTH_PASS_BYTES - 1;
		seen.passing = health_passes(&health, &link, taken);
		if (turn(STEP) != HEALTH_NOTHING)
			break;
	}
	assert_int_equal(health.state, HEALTH_LEAVING);
	assert_int_equal(health.illness, HEALTH_LINKS);
}

static void a_full_leader_goes_while_another_has_room_and_never_steps_down(void **state)
{
	(void)state;
	seen.full = true;
	assert_int_equal(pass(10 * BOUND), HEALTH_NOTHING);
	seen.better = true;
	assert_int_equal(pass(BOUND), HEALTH_NOTHING);
	assert_int_equal(pass(STEP), HEALTH_HAND_OVER);
	assert_int_equal(pass(BOUND), HEALTH_NOTHING);
	assert_int_equal(pass(STEP), HEALTH_HAND_OVER);
	assert_int_equal(turn(STEP), HEALTH_NOTHING);
	seen.full = false;
	assert_int_equal(pass(10 * BOUND), HEALTH_NOTHING);
}

static void a_leader_without_room_for_any_record_goes_whatever_others_have(void **state)
{
	(void)state;
	seen.full = seen.waits = true;
	assert_int_equal(pass(BOUND - STEP), HEALTH_NOTHING);
	seen.waits = false;
	assert_int_equal(turn(STEP), HEALTH_NOTHING);
	seen.waits = true;
	assert_int_equal(pass(BOUND), HEALTH_NOTHING);
	assert_true(health_confirms(&health));
	assert_int_equal(pass(STEP), HEALTH_HAND_OVER);
	assert_int_equal(health.illness, HEALTH_SPENT);
	/* Nobody took over. */
	assert_int_equal(pass(BOUND), HEALTH_NOTHING);
	assert_int_equal(pass(STEP), HEALTH_HAND_OVER);
}

static void a_cluster_is_full_if_that_lasts_and_has_room_once_there_is_some(void **state)
{
	(void)state;
	/* As while much is under way. */
	seen.room = 0;
	assert_int_equal(pass(BOUND), HEALTH_NOTHING);
	seen.room = HEALTH_FULL_BYTES;
	assert_int_equal(turn(0), HEALTH_NOTHING);
	assert_true(health_has_room(&health));
	seen.room--;
	assert_int_equal(pass(BOUND), HEALTH_NOTHING);
	assert_true(health_has_room(&health));
	assert_int_equal(turn(STEP), HEALTH_NOTHING);
	assert_false(health_has_room(&health));
	assert_int_equal(health_due(&health, HEALTH_DAEMON_UNWATCHED), now_ms + STEP);
	/* A little more is no news. */
	seen.room = 2 * HEALTH_FULL_BYTES - 1;
	assert_int_equal(turn(STEP), HEALTH_NOTHING);
	assert_false(health_has_room(&health));
	seen.room++;
	assert_int_equal(turn(STEP), HEALTH_NOTHING);
	assert_true(health_has_room(&health));
	/* Who does not lead says nothing of it. */
	seen.room = 0;
	assert_int_equal(pass(2 * BOUND), HEALTH_NOTHING);
	assert_false(health_has_room(&health));
	seen.log.leads = false;
	assert_int_equal(turn(STEP), HEALTH_NOTHING);
	assert_true(health_has_room(&health));
}

static void who_can_run_no_queue_daemon_leads_no_more_and_is_not_elected(void **state)
{
	(void)state;
	seen.lingers = true;
	assert_int_equal(turn(0), HEALTH_NOTHING);
	assert_int_equal(health_due(&health, HEALTH_DAEMON_UNWATCHED), now_ms + STEP);
	assert_int_equal(pass(ELECTION - STEP), HEALTH_NOTHING);
	assert_false(health_unable(&health));
	assert_int_equal(pass(STEP), HEALTH_HAND_OVER);
	assert_int_equal(health.illness, HEALTH_QUEUE);
	assert_true(health_unable(&health));
	/* It was replaced, and is not to lead again. */
	seen.log.leads = false;
	assert_int_equal(turn(0), HEALTH_STEP_DOWN);
	assert_int_equal(pass(10 * BOUND), HEALTH_NOTHING);
	seen.lingers = false;
	assert_int_equal(turn(0), HEALTH_STAND);
	assert_int_equal(pass(10 * BOUND), HEALTH_NOTHING);
	/* Another time it is not replaced in time. */
	seen.log.leads = seen.lingers = true;
	assert_int_equal(pass(ELECTION + STEP), HEALTH_HAND_OVER);
	assert_int_equal(pass(ELECTION), HEALTH_STEP_DOWN);
	seen.log.leads = seen.lingers = false;
	assert_int_equal(pass(BOUND), HEALTH_STAND);
}

static void what_ends_soon_after_it_was_killed_is_no_illness(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		seen.lingers = true;
		assert_int_equal(pass(ELECTION), HEALTH_NOTHING);
		seen.lingers = false;
		assert_int_equal(turn(0), HEALTH_NOTHING);
	}
	seen.lingers = true;
	seen.others = false;
	assert_int_equal(pass(10 * BOUND), HEALTH_NOTHING);
}

static void with_no_other_it_leads_on(void **state)
{
	(void)state;
	seen.others = false;
	disk_hangs();
	assert_int_equal(pass(10 * BOUND), HEALTH_NOTHING);
	assert_false(health_confirms(&health));
}

static void who_was_stopped_itself_takes_nobody_for_ill(void **state)
{
	(void)state;
	disk_hangs();
	assert_int_equal(
	    health_daemon_turn(&health, HEALTH_DAEMON_ANSWERS, 1), HEALTH_DAEMON_NOTHING);
	for (int i = 0; i < 7; i++) {
		assert_int_equal(turn(100 * BOUND), HEALTH_NOTHING);
		assert_int_not_equal(
		    health_daemon_turn(&health, HEALTH_DAEMON_ANSWERS, 1), HEALTH_DAEMON_KILL);
	}
}

static void a_queue_daemon_is_asked_and_killed_if_it_does_not_answer(void **state)
{
	(void)state;
	assert_int_equal(
	    health_daemon_turn(&health, HEALTH_DAEMON_ANSWERS, 1), HEALTH_DAEMON_NOTHING);
	assert_int_equal(turn(STEP), HEALTH_NOTHING);
	assert_int_equal(
	    health_daemon_turn(&health, HEALTH_DAEMON_ANSWERS, 1), HEALTH_DAEMON_NOTHING);
	assert_int_equal(turn(STEP), HEALTH_NOTHING);
	assert_int_equal(
	    health_daemon_turn(&health, HEALTH_DAEMON_ANSWERS, 1), HEALTH_DAEMON_PING);
	for (int i = 1; i < 8; i++) {
		assert_int_equal(turn(STEP), HEALTH_NOTHING);
		assert_int_equal(health_daemon_turn(&health, HEALTH_DAEMON_ANSWERS, 1),
		    HEALTH_DAEMON_NOTHING);
	}
	assert_int_equal(turn(STEP), HEALTH_NOTHING);
	assert_int_equal(
	    health_daemon_turn(&health, HEALTH_DAEMON_ANSWERS, 1), HEALTH_DAEMON_KILL);
	/* Any word is an answer; what is not read here is not its fault. */
	assert_int_equal(
	    health_daemon_turn(&health, HEALTH_DAEMON_ANSWERS, 2), HEALTH_DAEMON_NOTHING);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(turn(STEP), HEALTH_NOTHING);
		assert_int_not_equal(
		    health_daemon_turn(&health,
			i % 8 > 0 ? HEALTH_DAEMON_ANSWERS : HEALTH_DAEMON_UNWATCHED, 2),
		    HEALTH_DAEMON_KILL);
	}
}

/* The first action of so many steps, in which it says nothing. */
static enum health_daemon_action waits(enum health_daemon daemon, int steps)
{
	enum health_daemon_action a = HEALTH_DAEMON_NOTHING;

	for (; steps > 0 && a == HEALTH_DAEMON_NOTHING; steps--) {
		assert_int_equal(turn(STEP), HEALTH_NOTHING);
		a = health_daemon_turn(&health, daemon, 0);
	}
	return a;
}

static void one_that_was_started_and_says_nothing_is_killed(void **state)
{
	(void)state;
	assert_int_equal(waits(HEALTH_DAEMON_UNWATCHED, 1), HEALTH_DAEMON_NOTHING);
	assert_int_equal(waits(HEALTH_DAEMON_OPENS, 8 * HEALTH_OPENS), HEALTH_DAEMON_NOTHING);
	assert_int_equal(waits(HEALTH_DAEMON_OPENS, 1), HEALTH_DAEMON_KILL);
	/* It opens its journal, and then reads the log for long: it is asked. */
	setup(state);
	assert_int_equal(waits(HEALTH_DAEMON_OPENS, 8 * HEALTH_OPENS), HEALTH_DAEMON_NOTHING);
	assert_int_equal(waits(HEALTH_DAEMON_ANSWERS, 2), HEALTH_DAEMON_NOTHING);
	assert_int_equal(waits(HEALTH_DAEMON_ANSWERS, 1), HEALTH_DAEMON_PING);
	assert_int_equal(waits(HEALTH_DAEMON_ANSWERS, 7), HEALTH_DAEMON_NOTHING);
	assert_int_equal(waits(HEALTH_DAEMON_ANSWERS, 1), HEALTH_DAEMON_KILL);
}

/* By which it knows in time that its journal is there. */
static void it_is_asked_each_second_however_long_elections_take(void **state)
{
	unsigned asked = 0;

	(void)state;
	health_init(&health, 20 * ELECTION, now_ms);
	for (unsigned ms = 0; ms < 10000; ms += 100) {
		assert_int_equal(turn(100), HEALTH_NOTHING);
		asked += health_daemon_turn(&health, HEALTH_DAEMON_ANSWERS, asked) ==
			 HEALTH_DAEMON_PING;
	}
	assert_in_range(asked, 8, 10);
}

static void a_turn_is_due_while_something_is_watched(void **state)
{
	(void)state;
	assert_int_equal(turn(0), HEALTH_NOTHING);
	assert_int_equal(health_due(&health, HEALTH_DAEMON_UNWATCHED), UINT64_MAX);
	assert_int_equal(health_due(&health, HEALTH_DAEMON_OPENS), now_ms + STEP);
	disk_hangs();
	assert_int_equal(health_due(&health, HEALTH_DAEMON_UNWATCHED), now_ms + STEP);
}

static void candidates_begin_after_this_node_and_go_round(void **state)
{
	struct raft_config c = {.count = 5};
	(void)state;
	for (unsigned i = 0; i < c.count; i++) {
		c.members[i].id = (struct raft_id){{(uint8_t)(i + 1)}};
		c.members[i].flags = RAFT_VOTER | RAFT_BROKER;
	}
	c.members[1].flags = RAFT_VOTER;  /* one without a queue daemon */
	c.members[4].flags = RAFT_BROKER; /* a learner */
	assert_ptr_equal(health_candidate(&c, c.members[2].id, 0), &c.members[3]);
	assert_ptr_equal(health_candidate(&c, c.members[2].id, 1), &c.members[0]);
	assert_null(health_candidate(&c, c.members[2].id, 2));
	/* One that is no member. */
	assert_ptr_equal(health_candidate(&c, (struct raft_id){{9}}, 0), &c.members[0]);
	assert_null(health_candidate(NULL, c.members[2].id, 0));
}

#define NEXT(...) \
	health_successor((struct health_successor[]){__VA_ARGS__}, \
	    sizeof((struct health_successor[]){__VA_ARGS__}) / \
		sizeof(struct health_successor))

static void who_could_take_over_and_has_room_leads_next_then_who_is_furthest(void **state)
{
	const uint64_t much = 1ull << 40;
	(void)state;
	assert_int_equal(health_successor(NULL, 0), -1);
	assert_int_equal(NEXT({false, true, true, much, 9, false, false}), -1);
	assert_int_equal(NEXT({false, true, true, much, 9, false, false},
			     {true, false, false, 0, 1, false, false}),
	    1);
	assert_int_equal(NEXT({true, true, true, 0, 9, false, false},
			     {true, true, true, much, 8, false, false}),
	    1);
	assert_int_equal(NEXT({true, true, true, much, 8, false, false},
			     {true, true, true, much, 9, false, false}),
	    1);
	assert_int_equal(NEXT({true, true, true, much, 8, false, false},
			     {true, true, false, much, 9, false, false}),
	    0);
	assert_int_equal(NEXT({true, true, true, 0, 8, false, false},
			     {true, true, true, 0, 9, false, false}),
	    1);
	assert_int_equal(NEXT({true, true, true, 0, 9, true, false},
			     {true, false, false, 0, 8, false, false}),
	    1);
	/* What is far behind takes over later, or never: one that is full empties queues meanwhile. */
	assert_int_equal(NEXT({true, true, false, much, 8, false, false},
			     {true, true, true, 0, 9, false, false}),
	    1);
	/* Where the queue daemon did not run, it does not run. */
	assert_int_equal(NEXT({true, true, true, much, 9, false, true},
			     {true, false, false, 0, 8, false, false}),
	    1);
	assert_int_equal(NEXT({true, true, true, much, 9, false, true},
			     {false, true, true, 0, 8, false, false}),
	    0);
	assert_int_equal(NEXT({true, true, true, 0, 9, true, false},
			     {false, true, true, 0, 8, false, false}),
	    -1);
}

/* ---- gates ---- */

static void a_leader_whose_gate_most_do_not_reach_hands_over_to_one_that_can_be_reached(
    void **state)
{
	(void)state;
	seen.gates = (struct gates_count){.running = 2};
	assert_int_equal(pass(3 * BOUND), HEALTH_NOTHING);
	assert_int_equal(gates_trouble(&health.gates), GATES_UNREACHED);
	seen.gated = true;
	assert_int_equal(pass(STEP), HEALTH_HAND_OVER);
	assert_int_equal(health.illness, HEALTH_GATE);
	/* It never steps down: it serves the clients of its own node. */
	assert_int_equal(pass(BOUND - STEP), HEALTH_NOTHING);
	assert_int_equal(pass(BOUND), HEALTH_HAND_OVER);
}

static void a_gate_that_most_reach_or_that_is_started_anew_in_time_is_well(void **state)
{
	(void)state;
	seen.gated = true;
	seen.gates = (struct gates_count){.running = 2, .reaching = 1};
	assert_int_equal(pass(10 * BOUND), HEALTH_NOTHING);
	for (int i = 0; i < 20; i++) {
		seen.gates.reaching = 0;
		assert_int_equal(pass(BOUND - STEP), HEALTH_NOTHING);
		seen.gates.reaching = 2;
		assert_int_equal(pass(STEP), HEALTH_NOTHING);
	}
	assert_int_equal(gates_trouble(&health.gates), GATES_WELL);
}

/* If it cannot be reached anywhere, leadership does not go round. */
static void a_node_that_was_not_reached_says_so_until_it_is_or_its_gate_begins_anew(
    void **state)
{
	(void)state;
	gates_report(&health.gates, true, false);
	seen.gates = (struct gates_count){.running = 2};
	for (int i = 0; i < 40; i++) {
		gates_report(&health.gates, false, false);
		assert_int_equal(pass(STEP), HEALTH_NOTHING);
	}
	seen.log.leads = false;
	gates_report(&health.gates, false, true);
	assert_int_equal(pass(STEP), HEALTH_NOTHING);
	assert_int_equal(gates_flags(&health.gates),
	    NODE_STATE_GATE | NODE_STATE_REACHES | NODE_STATE_UNREACHED);
	assert_false(gates_open(gates_flags(&health.gates), true));
	gates_report(&health.gates, true, true);
	assert_true(gates_open(gates_flags(&health.gates), true));
	/* As the leader. */
	seen.log.leads = true;
	for (unsigned reaching = 0; reaching <= 2; reaching += 2) {
		seen.gates.reaching = reaching;
		assert_int_equal(pass(2 * BOUND), HEALTH_NOTHING);
		assert_int_equal(
		    (gates_flags(&health.gates) & NODE_STATE_UNREACHED) == 0, reaching > 0);
	}
	/* Its gate hung, and reports again. */
	seen.gates.reaching = 0;
	assert_int_equal(pass(2 * BOUND), HEALTH_NOTHING);
	gates_report(&health.gates, false, true);
	assert_int_equal(gates_trouble(&health.gates), GATES_WELL);
	/* It answers one of three, and then two. */
	for (unsigned finding = 1; finding <= 2; finding++) {
		seen.log.leads = true;
		seen.gates = (struct gates_count){.running = 3};
		for (unsigned ms = 0; ms < 2 * BOUND; ms += STEP) {
			gates_report(&health.gates, false, false);
			assert_int_equal(pass(STEP), HEALTH_NOTHING);
		}
		seen.log.leads = false;
		seen.gates.finding = finding;
		assert_int_equal(pass(STEP), HEALTH_NOTHING);
		assert_int_equal(
		    (gates_flags(&health.gates) & NODE_STATE_UNREACHED) == 0, finding == 2);
	}
	seen.log.leads = true;
	seen.gates = (struct gates_count){.running = 2};
	/* And it does not for ever. */
	seen.gates.reaching = 0;
	assert_int_equal(pass(2 * BOUND), HEALTH_NOTHING);
	seen.log.leads = false;
	assert_int_equal(pass((GATES_UNREACHED_BOUNDS - 1) * BOUND), HEALTH_NOTHING);
	assert_int_not_equal(gates_flags(&health.gates) & NODE_STATE_UNREACHED, 0);
	assert_int_equal(pass(BOUND), HEALTH_NOTHING);
	assert_int_equal(gates_flags(&health.gates) & NODE_STATE_UNREACHED, 0);
}

static void a_node_whose_gate_reports_no_more_or_does_not_reach_serves_no_clients(void **state)
{
	(void)state;
	seen.log.leads = false;
	seen.served = true;
	assert_int_equal(pass(10 * BOUND), HEALTH_NOTHING);
	assert_true(gates_serve(&health.gates));
	assert_int_equal(gates_flags(&health.gates), 0);
	assert_int_equal(gates_seen_here(&health.gates), CONTROL_ITS_GATE_NONE);
	gates_report(&health.gates, true, false);
	assert_int_equal(gates_seen_here(&health.gates), CONTROL_ITS_GATE_RUNS);
	gates_report(&health.gates, true, true);
	assert_int_equal(pass(BOUND - STEP), HEALTH_NOTHING);
	assert_true(gates_serve(&health.gates));
	assert_int_equal(gates_flags(&health.gates), NODE_STATE_GATE | NODE_STATE_REACHES);
	assert_int_equal(gates_seen_here(&health.gates), CONTROL_ITS_GATE_REACHES);
	assert_int_equal(pass(STEP), HEALTH_NOTHING);
	assert_int_equal(gates_trouble(&health.gates), GATES_SILENT);
	assert_int_equal(gates_seen_here(&health.gates), CONTROL_ITS_GATE_SILENT);
	assert_false(gates_serve(&health.gates));
	assert_int_equal(gates_flags(&health.gates), 0);
	for (unsigned ms = 0; ms < 2 * BOUND; ms += STEP) {
		gates_report(&health.gates, false, false);
		assert_int_equal(
		    gates_trouble(&health.gates), ms < BOUND ? GATES_WELL : GATES_LOST);
		assert_int_equal(pass(STEP), HEALTH_NOTHING);
	}
	assert_false(gates_serve(&health.gates));
	/* It was told to end. */
	struct gates ended = health.gates;
	gates_end(&ended);
	assert_int_equal(gates_trouble(&ended), GATES_WELL);
	assert_true(gates_serve(&ended));
	assert_int_equal(gates_flags(&ended), 0);
	gates_turn(&ended, true, true, ended.clock + 10 * BOUND);
	assert_int_equal(gates_trouble(&ended), GATES_WELL);
	/* Nobody serves: there is nothing to be reached. */
	seen.served = false;
	assert_int_equal(pass(STEP), HEALTH_NOTHING);
	assert_int_equal(gates_trouble(&health.gates), GATES_WELL);
}

static void a_gate_that_never_reported_is_missed_where_those_of_other_nodes_run(void **state)
{
	(void)state;
	seen.log.leads = false;
	seen.served = true;
	seen.gates_wanted = true;
	/* Perhaps this cluster has none. */
	assert_int_equal(pass(2 * GATES_MISSING_BOUNDS * BOUND), HEALTH_NOTHING);
	assert_int_equal(gates_trouble(&health.gates), GATES_WELL);
	seen.gates.running = 1;
	assert_int_equal(pass(GATES_MISSING_BOUNDS * BOUND - STEP), HEALTH_NOTHING);
	assert_int_equal(gates_trouble(&health.gates), GATES_WELL);
	assert_int_equal(pass(2 * STEP), HEALTH_NOTHING);
	assert_int_equal(gates_trouble(&health.gates), GATES_MISSING);
	assert_false(gates_serve(&health.gates));
	gates_report(&health.gates, true, true);
	assert_int_equal(pass(STEP), HEALTH_NOTHING);
	assert_int_equal(gates_trouble(&health.gates), GATES_WELL);
	assert_true(gates_serve(&health.gates));
}

static void a_node_that_may_not_lead_needs_no_gate(void **state)
{
	(void)state;
	seen.log.leads = false;
	seen.gates.running = 1;
	assert_int_equal(pass(2 * GATES_MISSING_BOUNDS * BOUND), HEALTH_NOTHING);
	assert_int_equal(gates_trouble(&health.gates), GATES_WELL);
}

static void who_can_be_reached_leads_before_who_has_room(void **state)
{
	const uint64_t much = 1ull << 40;
	(void)state;
	assert_int_equal(NEXT({true, false, true, much, 9, false, false},
			     {true, true, false, 0, 8, false, false}),
	    1);
	/* Where there are no gates, or none is known, all are as good. */
	assert_true(gates_open(0, false));
	assert_false(gates_open(0, true));
	assert_false(health_better(
	    &(struct health_successor){true, false, true, much, 9, false, false}));
	assert_false(
	    health_gated(&(struct health_successor){true, true, false, much, 9, false, false}));
	assert_true(
	    health_gated(&(struct health_successor){true, true, true, 0, 9, false, false}));
	assert_false(
	    health_gated(&(struct health_successor){true, true, true, 0, 9, true, false}));
	/* Its queue daemon could not run, lately. */
	assert_false(
	    health_gated(&(struct health_successor){true, true, true, 0, 9, false, true}));
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {T(a_leader_whose_disk_hangs_hands_over),
	    T(who_gets_none_of_what_it_lacks_starves),
	    T(who_has_no_room_for_what_it_lacks_starves_until_it_has_stored_some),
	    T(who_is_not_replaced_in_time_steps_down_until_its_disk_moves),
	    T(what_is_slow_everywhere_is_no_illness), T(a_disk_that_is_slow_and_moves_is_none),
	    T(links_that_pass_nothing_are_told_from_a_long_way),
	    T(of_a_database_links_are_no_illness_and_do_not_confirm),
	    T(links_that_are_slow_and_pass_records_are_no_illness),
	    T(a_full_leader_goes_while_another_has_room_and_never_steps_down),
	    T(a_leader_without_room_for_any_record_goes_whatever_others_have),
	    T(a_cluster_is_full_if_that_lasts_and_has_room_once_there_is_some),
	    T(with_no_other_it_leads_on), T(who_was_stopped_itself_takes_nobody_for_ill),
	    T(who_can_run_no_queue_daemon_leads_no_more_and_is_not_elected),
	    T(what_ends_soon_after_it_was_killed_is_no_illness), T(with_no_other_it_leads_on),
	    T(who_was_stopped_itself_takes_nobody_for_ill),
	    T(a_queue_daemon_is_asked_and_killed_if_it_does_not_answer),
	    T(one_that_was_started_and_says_nothing_is_killed),
	    T(it_is_asked_each_second_however_long_elections_take),
	    T(a_turn_is_due_while_something_is_watched),
	    T(a_leader_whose_gate_most_do_not_reach_hands_over_to_one_that_can_be_reached),
	    T(a_gate_that_most_reach_or_that_is_started_anew_in_time_is_well),
	    T(a_node_that_was_not_reached_says_so_until_it_is_or_its_gate_begins_anew),
	    T(a_node_whose_gate_reports_no_more_or_does_not_reach_serves_no_clients),
	    T(a_gate_that_never_reported_is_missed_where_those_of_other_nodes_run),
	    T(a_node_that_may_not_lead_needs_no_gate),
	    T(who_can_be_reached_leads_before_who_has_room),
	    T(candidates_begin_after_this_node_and_go_round),
	    T(who_could_take_over_and_has_room_leads_next_then_who_is_furthest)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
