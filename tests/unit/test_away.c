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
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
