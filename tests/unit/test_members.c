/* The other members: who is linked, at which address, and what a HELLO must know. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "core/host/members.h"

static struct members m;
static struct raft_config configs[4];
static struct raft_status status;
static struct members_effect effects[MEMBERS_EFFECTS_MAX];
static char why[TEXT_MAX + 1];

static struct raft_id id_of(unsigned n)
{
	return (struct raft_id){{(uint8_t)n}};
}

static unsigned gone; /* a node that is known to have been removed; 0: nobody */

/* A configuration of the nodes of which n has a bit. */
static struct raft_config config_of(unsigned n)
{
	struct raft_config c = {.cluster = {{77}}, .level = level_newest()};

	if (gone > 0)
		c.removed[c.removed_count++] =
		    (struct raft_removed){.id = id_of(gone), .key = {(uint8_t)gone}};

	for (unsigned i = 1; i <= 9; i++) {
		if (!(n & 1u << i))
			continue;
		struct raft_member *is = &c.members[c.count++];
		*is = (struct raft_member){
		    .id = id_of(i), .key = {(uint8_t)i}, .flags = RAFT_VOTER};
		snprintf(is->name, sizeof(is->name), "n%u", i);
		snprintf(is->address, sizeof(is->address), "host%u:1", i);
	}
	return c;
}

#define N(i) (1u << (i))

/* This node is n1. */
static int setup(void **state)
{
	(void)state;
	m = (struct members){.self = id_of(1), .key = {1}};
	status = (struct raft_status){0};
	gone = 0;
	return 0;
}

/* The log's newest is at `index`, and is committed or not. */
static unsigned log_is(uint64_t index, unsigned nodes, bool committed)
{
	configs[committed ? 0 : 1] = config_of(nodes);
	if (committed) {
		status.committed_index = index;
		status.committed = &configs[0];
	}
	status.config_index = index;
	status.config = &configs[committed ? 0 : 1];
	(void)members_log(&m, &status);
	return members_update(&m, effects);
}

static bool hint(uint64_t index, unsigned nodes)
{
	struct raft_config c = config_of(nodes);
	bool news = members_hint(&m, index, &c);

	if (news)
		(void)members_update(&m, effects);
	return news;
}

static unsigned linked(void)
{
	unsigned nodes = 0;

	for (unsigned i = 0; i < m.count; i++)
		nodes |= N(m.links[i].member.id.bytes[0]);
	return nodes;
}

static void a_change_that_is_not_committed_adds_links_and_cuts_none(void **state)
{
	uint64_t index;

	(void)state;
	assert_int_equal(log_is(1, N(1) | N(2) | N(3), true), 2);
	assert_int_equal(log_is(5, N(1) | N(2) | N(4), false), 1);
	assert_int_equal(effects[0].action, MEMBERS_MAKE);
	assert_int_equal(linked(), N(2) | N(3) | N(4));
	/* It is told to nobody. */
	assert_non_null(raft_config_find(members_committed(&m, &index), id_of(3)));
	assert_int_equal(index, 1);
	assert_non_null(members_newest(&m, &index));
	assert_int_equal(index, 5);
	/* It is truncated: who was never a member was not removed. */
	assert_int_equal(log_is(1, N(1) | N(2) | N(3), true), 1);
	assert_int_equal(linked(), N(2) | N(3));
	assert_false(members_may_call(&m, (const uint8_t[RAFT_KEY_SIZE]){4}));
	/* It is committed. */
	assert_int_equal(log_is(7, N(1) | N(2), true), 1);
	assert_int_equal(effects[0].action, MEMBERS_DROP);
	assert_int_equal(linked(), N(2));
}

/* With a new data directory and the same key; the log begins before that. */
static void what_this_node_was_before_is_not_linked(void **state)
{
	(void)state;
	m.self = id_of(8);
	m.key[0] = 3;
	assert_int_equal(log_is(1, N(1) | N(2) | N(3), true), 2);
	assert_int_equal(linked(), N(1) | N(2));
}

static void a_hint_adds_links_and_cuts_none(void **state)
{
	(void)state;
	log_is(1, N(1) | N(2) | N(3), true);
	assert_true(hint(9, N(1) | N(2) | N(4)));
	assert_int_equal(linked(), N(2) | N(3) | N(4));
	assert_false(hint(8, N(1) | N(5)));
	assert_int_equal(linked(), N(2) | N(3) | N(4));
	/* The log knows better than a hint that is older. */
	log_is(12, N(1) | N(2), true);
	assert_int_equal(linked(), N(2));
	assert_false(hint(9, N(1) | N(2) | N(4)));
}

static void of_another_cluster_nothing_is_believed(void **state)
{
	struct raft_config c = config_of(N(1) | N(2) | N(4));

	(void)state;
	log_is(1, N(1) | N(2), true);
	c.cluster = id_of(78);
	assert_false(members_hint(&m, 9, &c));
}

static enum rmq_error hello_of(
    unsigned key, uint64_t boot, uint64_t term, uint64_t last, uint64_t accepted_ms)
{
	uint8_t bytes[RAFT_KEY_SIZE] = {(uint8_t)key};

	return members_hello(&m,
	    &(struct members_hello){.key = bytes,
		.from = id_of(key),
		.to = id_of(1),
		.boot = boot,
		.begun = {last, term},
		.accepted_ms = accepted_ms},
	    "n1", why);
}

static enum rmq_error hello(unsigned key, uint64_t term, uint64_t last, uint64_t accepted_ms)
{
	return hello_of(key, 5, term, last, accepted_ms);
}

static void who_was_removed_is_told_so_only_if_that_is_committed(void **state)
{
	(void)state;
	log_is(1, N(1) | N(2) | N(3), true);
	gone = 3;
	log_is(5, N(1) | N(2), false);
	assert_int_equal(hello(3, 1, 1, 100), RMQ_E_OK);
	(void)hint(6, N(1) | N(2));
	assert_int_equal(hello(3, 1, 1, 100), RMQ_E_OK);
	log_is(6, N(1) | N(2), true);
	assert_int_equal(hello(3, 1, 1, 100), RMQ_E_DENIED);
	assert_non_null(strstr(why, "was removed"));
	/* Whoever comes to know of it tells it, and a node that was not there as well. */
	m = (struct members){.self = id_of(1), .key = {1}};
	assert_false(members_may_call(&m, (const uint8_t[RAFT_KEY_SIZE]){3}));
	log_is(7, N(1) | N(2), true);
	assert_true(members_may_call(&m, (const uint8_t[RAFT_KEY_SIZE]){3}));
	assert_int_equal(hello(3, 1, 1, 100), RMQ_E_DENIED);
	assert_int_equal(hello(7, 1, 1, 100), RMQ_E_BUSY);
	/* It may be here again with a new directory, which this node does not know yet. */
	struct members_hello h = {
	    .key = (const uint8_t[RAFT_KEY_SIZE]){3}, .from = id_of(33), .to = id_of(1)};
	assert_int_equal(members_hello(&m, &h, "n1", why), RMQ_E_BUSY);
	assert_null(strstr(why, "removed"));
}

static void who_is_removed_knows_whether_it_was_to_leave(void **state)
{
	(void)state;
	struct raft_config c = config_of(N(1) | N(2));
	/* It hears no more of it: it was away when it was downed. */
	log_is(1, N(1) | N(2), true);
	assert_int_equal(members_own_end(&m), RAFT_DOWNED);
	c.members[0].leaving = RAFT_LEAVES;
	assert_true(members_hint(&m, 2, &c));
	assert_int_equal(members_own_end(&m), RAFT_LEFT);
	/* The configuration without it says how. */
	gone = 1;
	log_is(3, N(2), false);
	assert_int_equal(members_own_end(&m), RAFT_LEFT);
	configs[1].removed[0].how = RAFT_DOWNED;
	(void)members_log(&m, &status);
	assert_int_equal(members_own_end(&m), RAFT_DOWNED);
	assert_non_null(strstr(members_removed_text(RAFT_DOWNED), "was downed"));
	assert_non_null(strstr(members_removed_text(RAFT_LOST), "was recovered"));
}

static void heard(unsigned from, uint64_t term, uint64_t index)
{
	const struct raft_message message = {
	    .type = RAFT_APPENDED, .term = term, .ok = true, .place = {index, term}};

	member_heard(members_find(&m, id_of(from)), &message, term);
}

static void a_process_begins_with_what_those_before_it_have_said(void **state)
{
	(void)state;
	log_is(1, N(1) | N(2), true);
	assert_int_equal(hello_of(2, 5, 3, 5, 1000), RMQ_E_OK);
	heard(2, 3, 10);
	assert_int_equal(hello_of(2, 6, 3, 9, 1001), RMQ_E_CORRUPT);
	assert_non_null(strstr(why, "older state"));
	assert_int_equal(hello_of(2, 6, 2, 50, 1001), RMQ_E_CORRUPT);
	/* It holds all by now, and is asked what it began with: also over its other connection. */
	heard(2, 3, 11);
	assert_int_equal(hello_of(2, 5, 3, 5, 1002), RMQ_E_OK);
	assert_int_equal(hello_of(2, 6, 3, 11, 1003), RMQ_E_OK);
	/* What the one before that had said counts for ever. */
	heard(2, 3, 12);
	assert_int_equal(hello_of(2, 6, 3, 11, 1004), RMQ_E_OK);
	assert_int_equal(hello_of(2, 7, 3, 11, 1005), RMQ_E_CORRUPT);
	/* A newer term may have cut its log. */
	assert_int_equal(hello_of(2, 7, 4, 5, 1006), RMQ_E_OK);
	assert_int_equal(hello_of(2, 8, 3, 11, 1007), RMQ_E_CORRUPT);
}

static void what_a_leader_keeps_is_known_by_what_it_says(void **state)
{
	(void)state;
	log_is(1, N(1) | N(2), true);
	assert_int_equal(hello_of(2, 5, 3, 5, 1000), RMQ_E_OK);
	member_keeps(members_find(&m, id_of(2)), (struct raft_place){20, 3});
	member_keeps(members_find(&m, id_of(2)), (struct raft_place){0, 0});
	assert_int_equal(hello_of(2, 6, 3, 19, 1001), RMQ_E_CORRUPT);
	assert_int_equal(hello_of(2, 6, 3, 20, 1001), RMQ_E_OK);
}

/* They may be cut off later, and others come in their places. */
static void records_of_older_terms_do_not_count_as_kept(void **state)
{
	const struct raft_message message = {
	    .type = RAFT_APPENDED, .term = 3, .ok = true, .place = {10, 0}};

	(void)state;
	log_is(1, N(1) | N(2), true);
	assert_int_equal(hello_of(2, 5, 3, 5, 1000), RMQ_E_OK);
	member_heard(members_find(&m, id_of(2)), &message, 2);
	assert_int_equal(hello_of(2, 6, 3, 0, 1001), RMQ_E_OK);
}

static void who_knows_that_it_has_forgotten_is_let_in(void **state)
{
	uint8_t key[RAFT_KEY_SIZE] = {2};
	struct members_hello h = {.key = key,
	    .from = id_of(2),
	    .to = id_of(1),
	    .boot = 6,
	    .begun = {9, 3},
	    .accepted_ms = 1001};

	(void)state;
	log_is(1, N(1) | N(2), true);
	assert_int_equal(hello_of(2, 5, 3, 5, 1000), RMQ_E_OK);
	heard(2, 3, 10);
	assert_int_equal(members_hello(&m, &h, "n1", why), RMQ_E_CORRUPT);
	h.forgot = true;
	assert_int_equal(members_hello(&m, &h, "n1", why), RMQ_E_OK);
	/* It is another process than the one that had it all. */
	assert_true(h.another);
	assert_int_equal(members_hello(&m, &h, "n1", why), RMQ_E_OK);
	assert_false(h.another);
}

static void the_hello_of_a_process_that_has_ended_may_come_late(void **state)
{
	(void)state;
	log_is(1, N(1) | N(2), true);
	assert_int_equal(hello_of(2, 6, 3, 10, 1001), RMQ_E_OK);
	heard(2, 3, 15);
	assert_int_equal(hello_of(2, 5, 3, 9, 1000), RMQ_E_BUSY);
	assert_null(strstr(why, "older state"));
	assert_int_equal(hello_of(2, 6, 3, 10, 1002), RMQ_E_OK);
}

static void a_prevote_says_nothing_of_the_disk(void **state)
{
	const struct raft_message message = {.type = RAFT_PREVOTE, .term = 9};

	(void)state;
	log_is(1, N(1) | N(2), true);
	member_heard(members_find(&m, id_of(2)), &message, 9);
	assert_int_equal(hello(2, 1, 1, 2000), RMQ_E_OK);
}

static void another_process_is_refused_while_one_is_linked(void **state)
{
	uint8_t key[RAFT_KEY_SIZE] = {2};
	struct members_hello h = {.key = key, .from = id_of(2), .to = id_of(1), .boot = 5};

	(void)state;
	log_is(1, N(1) | N(2), true);
	assert_int_equal(members_hello(&m, &h, "n1", why), RMQ_E_OK);
	h.calls = h.answers = true;
	assert_int_equal(members_hello(&m, &h, "n1", why), RMQ_E_OK);
	h.boot = 6;
	h.accepted_ms = 1;
	assert_int_equal(members_hello(&m, &h, "n1", why), RMQ_E_BUSY);
	assert_non_null(strstr(why, "n2 runs already"));
	h.answers = false;
	assert_int_equal(members_hello(&m, &h, "n1", why), RMQ_E_OK);
	h.from = id_of(9);
	assert_int_equal(members_hello(&m, &h, "n1", why), RMQ_E_BUSY);
	assert_null(strstr(why, "remove"));
	h.to = id_of(8);
	assert_int_equal(members_hello(&m, &h, "n1", why), RMQ_E_BUSY);
}

static void all_addresses_are_tried_what_it_said_first(void **state)
{
	(void)state;
	log_is(1, N(1) | N(2), true);
	struct member_link *l = members_find(&m, id_of(2));
	assert_string_equal(member_address(l, 0), "host2:1");
	assert_string_equal(member_address(l, 7), "host2:1");
	assert_true(member_place(l, MEMBER_SEED, "seed:1"));
	assert_true(member_place(l, MEMBER_HEARD, "host2:1"));
	assert_false(member_place(l, MEMBER_HEARD, "host2:1"));
	assert_true(member_place(l, MEMBER_SAID, "there:1"));
	assert_string_equal(member_address(l, 0), "there:1");
	assert_string_equal(member_address(l, 1), "host2:1");
	assert_string_equal(member_address(l, 2), "seed:1");
	assert_string_equal(member_address(l, 3), "there:1");
	/* News of where it is leads there, whoever has it. */
	assert_int_equal(member_attempt(l, "seed:1", false), 2);
	assert_int_equal(member_attempt(l, "there:1", false), 0);
	assert_int_equal(member_attempt(l, "nowhere:1", false), 0);
	assert_int_equal(member_attempt(l, "seed:1", true), 0);
}

static void who_is_up_hears_is_heard_and_says_something(void **state)
{
	struct member_signs s = {.calls = true, .answers = true, .tells = true};

	(void)state;
	log_is(1, N(1) | N(2), true);
	struct member_link *l = members_find(&m, id_of(2));
	l->alive_ms = 1000;
	assert_true(member_up(l, &s, 1000 + MEMBER_UP_MS - 1));
	assert_false(member_up(l, &s, 1000 + MEMBER_UP_MS));
	/* Of one that does not promise to say something silence says nothing. */
	s.tells = false;
	assert_true(member_up(l, &s, 1000 + 100 * MEMBER_UP_MS));
	s.calls = false;
	assert_false(member_up(l, &s, 1000));
	s = (struct member_signs){.calls = true, .tells = true};
	assert_false(member_up(l, &s, 1000));
}

static unsigned running; /* who is up; 0: nobody */

static bool runs(void *arg, struct raft_id id)
{
	(void)arg;
	return id.bytes[0] == running;
}

static void who_asks_about_the_cluster_is_told_what_it_is_there(void **state)
{
	struct raft_config c = config_of(N(1) | N(2) | N(3));

	(void)state;
	/* n3 was admitted, and has not joined. */
	c.members[2].id = (struct raft_id){{0}};
	assert_true(members_hint(&m, 1, &c));
	members_tell(&m, (uint8_t[RAFT_KEY_SIZE]){2}, runs, NULL, why);
	assert_string_equal(why,
	    "it is a member of a cluster, and n2 is one with another data directory, to be "
	    "removed first: rmq-cluster down n2");
	/* A copy of a machine that runs: it is to go on. */
	running = 2;
	members_tell(&m, (uint8_t[RAFT_KEY_SIZE]){2}, runs, NULL, why);
	running = 0;
	assert_non_null(strstr(why, "in which n2 runs, at "));
	assert_null(strstr(why, "down"));
	members_tell(&m, (uint8_t[RAFT_KEY_SIZE]){3}, runs, NULL, why);
	assert_string_equal(why,
	    "it is a member of a cluster, which this node can join with a new data directory");
}

static enum rmq_error asked(unsigned cluster, unsigned id, unsigned key)
{
	const uint8_t bytes[RAFT_KEY_SIZE] = {(uint8_t)key};

	return members_asked(&m, (struct raft_id){{(uint8_t)cluster}}, id_of(id), bytes, why);
}

static void who_was_left_behind_by_a_recovery_is_told_so(void **state)
{
	struct raft_config c = config_of(N(1) | N(2));

	(void)state;
	c.level = LEVEL_TAGS;
	raft_config_remove(&c, &c.members[1], RAFT_LOST);
	assert_true(members_hint(&m, 1, &c));
	assert_int_equal(asked(78, 2, 2), RMQ_E_DENIED);
	assert_non_null(strstr(why, "was recovered without n2"));
	assert_int_equal(asked(78, 3, 3), RMQ_E_EXISTS);
}

static void who_has_another_directory_or_cluster_is_not_told_the_members(void **state)
{
	(void)state;
	log_is(1, N(1) | N(2), true);
	assert_int_equal(asked(77, 2, 2), RMQ_E_OK);
	/* Another cluster's directory; a removed one, with the key of a member. */
	assert_int_equal(asked(78, 2, 2), RMQ_E_EXISTS);
	assert_int_equal(asked(77, 9, 2), RMQ_E_EXISTS);
	assert_int_equal(asked(77, 2, 3), RMQ_E_EXISTS);
	log_is(2, N(1) | N(2) | N(3), false);
	assert_int_equal(asked(77, 3, 3), RMQ_E_BUSY);
}

static void a_member_without_a_leader_says_so_soon_and_asks_its_seeds_later(void **state)
{
	(void)state;
	/* Who is no member has none to miss. */
	assert_false(members_unled(&m, 100, 100 + MEMBERS_LOST_MS, 500));
	(void)log_is(1, N(2) | N(3), true);
	assert_false(members_unled(&m, 100, 100 + MEMBERS_LOST_MS, 500));
	(void)log_is(2, N(1) | N(2) | N(3), true);
	assert_false(members_unled(&m, 100, 599, 500));
	assert_true(members_unled(&m, 100, 600, 500));
	assert_false(members_lost(&m, false, 100, 600));
	assert_true(members_lost(&m, true, 600, 600));
	assert_true(members_lost(&m, false, 100, 100 + MEMBERS_LOST_MS));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
	    T(a_change_that_is_not_committed_adds_links_and_cuts_none),
	    T(what_this_node_was_before_is_not_linked),
	    T(a_hint_adds_links_and_cuts_none),
	    T(of_another_cluster_nothing_is_believed),
	    T(who_was_removed_is_told_so_only_if_that_is_committed),
	    T(who_is_removed_knows_whether_it_was_to_leave),
	    T(a_process_begins_with_what_those_before_it_have_said),
	    T(what_a_leader_keeps_is_known_by_what_it_says),
	    T(records_of_older_terms_do_not_count_as_kept),
	    T(who_knows_that_it_has_forgotten_is_let_in),
	    T(the_hello_of_a_process_that_has_ended_may_come_late),
	    T(a_prevote_says_nothing_of_the_disk),
	    T(another_process_is_refused_while_one_is_linked),
	    T(all_addresses_are_tried_what_it_said_first),
	    T(who_is_up_hears_is_heard_and_says_something),
	    T(who_asks_about_the_cluster_is_told_what_it_is_there),
	    T(who_was_left_behind_by_a_recovery_is_told_so),
	    T(who_has_another_directory_or_cluster_is_not_told_the_members),
	    T(a_member_without_a_leader_says_so_soon_and_asks_its_seeds_later),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
