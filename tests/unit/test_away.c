/*
 * AWAY: who asks is told of queues NAME.away that have something ready and no receiver, each once.
 */
#include <string.h>

#include "two_cells.h"

/* One message to it, which is stored. */
static void send(const char *queue)
{
	static const uint8_t batch[] = {1, 0, 0, 0, 2, 0, 'm', '\n'};
	INPUT(send, NUMBERS, 0, 0, slice_str(queue), NO_TAGS, slice_of(batch, sizeof(batch)));
	run();
	expect(WIRE_TYPE_SENT);
}

static void ask(uint32_t req, uint8_t flags)
{
	INPUT(away, req, flags, NO_TAGS);
	run();
}

/* Request `req` is answered by these names, with commas between them. */
static void told(uint32_t req, const char *names, bool more)
{
	char text[4 * NAME_FULL_MAX] = "";
	EXPECT(AWAYS, aways, m);
	struct reader r = reader_of(m.names);
	assert_int_equal(m.req, req);
	assert_int_equal(m.more, more);
	while (reader_left(&r) > 0) {
		struct slice name = get_str(&r);
		if (text[0])
			strcat(text, ",");
		strncat(text, (const char *)name.data, name.len);
	}
	assert_string_equal(text, names);
}

static void nothing_comes(void)
{
	struct frame f;
	run();
	assert_false(next(&f));
}

static void waits_until_there_is_one_and_tells_of_it_once(void **state)
{
	(void)state;
	ask(1, 0);
	send("other");
	nothing_comes();
	send("jobs.away");
	told(1, "jobs.away", false);
	ask(2, 0);
	send("jobs.away");
	nothing_comes();
	send("mail.away");
	told(2, "mail.away", false);
}

static void tells_of_all_again_who_asks_for_that_and_at_once_who_asks_for_now(void **state)
{
	(void)state;
	ask(1, AWAY_NOW);
	told(1, "", false);
	send("a.away");
	send("b.away");
	ask(2, 0);
	told(2, "a.away,b.away", false);
	ask(3, AWAY_NOW);
	told(3, "", false);
	ask(4, AWAY_NOW | AWAY_ALL);
	told(4, "a.away,b.away", false);
}

static void an_earlier_request_of_the_connection_is_answered_with_nothing(void **state)
{
	(void)state;
	ask(1, 0);
	ask(2, 0);
	told(1, "", false);
	send("a.away");
	told(2, "a.away", false);
	nothing_comes();
}

static void what_has_a_receiver_is_not_told_of_until_that_is_gone(void **state)
{
	(void)state;
	INPUT(subscribe, 1, 0, 0, slice_str("a.away"), NO_TAGS);
	run();
	expect(WIRE_TYPE_SUBSCRIBED);
	ask(1, 0);
	send("a.away");
	nothing_comes();
	INPUT(unsubscribe, 1);
	run();
	expect(WIRE_TYPE_UNSUBSCRIBED);
	told(1, "a.away", false);
}

static void a_daemon_that_begins_anew_tells_of_what_is_there(void **state)
{
	(void)state;
	send("a.away");
	ask(1, 0);
	told(1, "a.away", false);
	checkpoint();
	restart();
	ask(2, 0);
	told(2, "a.away", false);
}

/* From here on this connection; it is new. */
static void another(uint64_t number, uint32_t uid)
{
	conn = number;
	hello();
	broker_owner(w->broker, conn, slice_str(""), uid);
}

/* … which may take from queues of these names, and what else does not matter here. */
static void may_take(const char *glob)
{
	uint8_t list[RIGHTS_MAX];
	struct writer rights = writer_of(list, sizeof(list));
	for (int i = 0; i < 100; i++)
		rights_entry_encode(&rights, &(struct rights_entry){RIGHT_SEND, RIGHTS_QUEUE,
						 slice_str("something-else")});
	rights_entry_encode(
	    &rights, &(struct rights_entry){RIGHT_RECV, RIGHTS_QUEUE, slice_str(glob)});
	broker_rights(w->broker, conn, slice_of(list, rights.len));
}

static void send_to_many(unsigned first, unsigned count)
{
	char name[32];
	for (unsigned i = first; i < first + count; i++) {
		snprintf(name, sizeof(name), "q%u.away", i);
		send(name);
	}
}

/* Work of so many turns in which nothing comes. */
static uint64_t work_of(unsigned turns)
{
	uint64_t before = broker_work(w->broker);
	for (unsigned i = 0; i < turns; i++)
		run();
	return broker_work(w->broker) - before;
}

static void what_a_client_may_not_take_it_looks_at_once(void **state)
{
	(void)state;
	send_to_many(0, 40);
	another(2, 1000);
	may_take("zz.away");
	ask(1, 0);
	assert_int_equal(work_of(1000), 0);
	assert_int_not_equal(broker_due_ms(w->broker), 0);
	/* One more costs a look of each; one that was there costs none. */
	conn = 1;
	uint64_t before = broker_work(w->broker);
	send("q0.away");
	uint64_t one = broker_work(w->broker) - before;
	send("late.away");
	assert_in_range(broker_work(w->broker) - before - one, one + 1, one + 300);
	assert_int_equal(work_of(1000), 0);
	conn = 2;
	nothing_comes();
	/* Nor does it look again when it asks again; and who may take them is told of them. */
	before = broker_work(w->broker);
	ask(2, 0);
	told(1, "", false);
	assert_int_equal(broker_work(w->broker), before);
	conn = 1;
	send("zz.away");
	conn = 2;
	told(2, "zz.away", false);
	may_take("late.*");
	ask(3, 0);
	told(3, "late.away", false);
	another(3, 1000);
	ask(1, AWAY_ALL | AWAY_NOW);
	EXPECT(AWAYS, aways, m);
	assert_true(m.names.len > 40 * 7);
}

/* However many look, a turn has a limit, and they go on in the next one. */
static void what_is_looked_at_in_a_turn_has_a_limit(void **state)
{
	unsigned turns = 0;
	(void)state;
	send_to_many(0, 300);
	for (uint64_t i = 2; i <= 5; i++) {
		another(i, 1000);
		may_take(i == 5 ? "*" : "zz.away");
		INPUT(away, 1, 0, NO_TAGS);
	}
	while (broker_due_ms(w->broker) == 0) {
		assert_in_range(work_of(1), 1, 4 * (AWAY_NAMES_MAX / 4) * 100);
		turns++;
	}
	assert_in_range(turns, 300 * 2 / AWAY_NAMES_MAX, 300 * 4 / AWAY_NAMES_MAX + 2);
	conn = 5;
	EXPECT(AWAYS, aways, m);
	assert_true(m.more);
	assert_int_equal(work_of(1000), 0);
}

static void one_user_does_not_take_all_places(void **state)
{
	(void)state;
	another(2, 7);
	ask(1, 0);
	for (uint64_t i = 3; i < 3 + AWAY_ASKERS_MAX; i++) {
		another(i, 1000);
		ask(1, 0);
	}
	/* The first ones of the same user have made room. */
	conn = 3;
	told(1, "", false);
	conn = 2;
	nothing_comes();
	conn = 1;
	send("a.away");
	conn = 2;
	told(1, "a.away", false);
}

/* For so long the queue has had something that nobody takes; 0: somebody does. */
static uint64_t untaken_ms(const char *queue)
{
	INPUT(list, 1, 1, slice_str(""), slice_str(queue));
	run();
	EXPECT(LISTED, listed, row);
	expect(WIRE_TYPE_LIST_END);
	return tags_find_u64(row.tags, LISTED_TAG_UNTAKEN);
}

static void what_nobody_takes_is_told(void **state)
{
	struct slice one;
	(void)state;
	assert_int_equal(broker_untaken(w->broker, NULL), 0);
	send("other");
	send("a.away");
	pass(1000);
	send("b.away");
	pass(1000);
	assert_int_equal(untaken_ms("a.away"), 2000);
	assert_int_equal(untaken_ms("b.away"), 1000);
	assert_int_equal(untaken_ms("other"), 0);
	assert_int_equal(broker_untaken(w->broker, &one), 2);
	assert_memory_equal(one.data, "a.away", 6);
	assert_false(broker_has_forwarder(w->broker));
	another(2, 1000);
	ask(1, 0);
	told(1, "a.away,b.away", false);
	ask(2, 0);
	assert_true(broker_has_forwarder(w->broker));
	assert_int_equal(broker_untaken(w->broker, NULL), 0);
	assert_int_equal(untaken_ms("a.away"), 0);
	broker_disconnect(w->broker, 2);
	conn = 1;
	run();
	assert_int_equal(broker_untaken(w->broker, NULL), 2);
	assert_int_equal(untaken_ms("b.away"), 1000);
	assert_false(broker_has_forwarder(w->broker));
	/* Another one is told of what the first one had been, if it asks for all. */
	another(3, 1000);
	ask(1, AWAY_ALL);
	told(1, "a.away,b.away", false);
	assert_int_equal(broker_untaken(w->broker, NULL), 0);
	conn = 1;
	INPUT(queue_purge, NUMBERS, slice_str("b.away"));
	done();
	INPUT(queue_purge, NUMBERS, slice_str("a.away"));
	done();
	assert_int_equal(broker_untaken(w->broker, NULL), 0);
	broker_disconnect(w->broker, 3);
	assert_int_equal(broker_untaken(w->broker, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		waits_until_there_is_one_and_tells_of_it_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		tells_of_all_again_who_asks_for_that_and_at_once_who_asks_for_now, setup,
		teardown),
	    cmocka_unit_test_setup_teardown(
		an_earlier_request_of_the_connection_is_answered_with_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		what_has_a_receiver_is_not_told_of_until_that_is_gone, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		a_daemon_that_begins_anew_tells_of_what_is_there, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		what_a_client_may_not_take_it_looks_at_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		what_is_looked_at_in_a_turn_has_a_limit, setup, teardown),
	    cmocka_unit_test_setup_teardown(one_user_does_not_take_all_places, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_nobody_takes_is_told, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
