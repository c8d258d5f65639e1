/* The contact points of a client, of the cell that it is in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sys/client/contacts.h"

static struct contacts contacts;
static struct reason why;

static enum rmq_error read_list(const char *list)
{
	contacts_deinit(&contacts);
	contacts = (struct contacts){.list = NULL};
	return contacts_init(&contacts, list, &why);
}

static enum rmq_error choose(const char *cell, const char *told, bool local)
{
	return contacts_choose(&contacts, slice_str(cell), slice_str(told), local, &why);
}

static int teardown(void **state)
{
	(void)state;
	contacts_deinit(&contacts);
	return 0;
}

static void a_list_without_names_is_one_cell(void **state)
{
	(void)state;
	bool all;
	assert_int_equal(read_list("unix:/a,h:1"), 0);
	assert_null(contacts.cells);
	assert_int_equal(contacts.count, 2);
	assert_true(contacts_far(&contacts, &all));
	assert_false(all);
	/* Sent to another cell, and back to where it began. */
	assert_int_equal(choose("b", "h:2", false), 0);
	assert_int_equal(contacts.count, 1);
	assert_true(contacts_far(&contacts, &all));
	assert_true(all);
	assert_int_equal(choose("", "", false), 0);
	assert_int_equal(contacts.count, 2);
}

static void the_users_own_list_wins(void **state)
{
	(void)state;
	assert_int_equal(read_list("a=unix:/a;b=exec:ssh b,x;c=h:1,h:2"), 0);
	assert_non_null(contacts.cells);
	assert_int_equal(choose("b", "h:9", true), 0);
	assert_int_equal(contacts.count, 1);
	assert_int_equal(contacts.servers[0].kind, ADDRESS_EXEC);
	assert_string_equal(contacts.servers[0].command, "ssh b,x");
	assert_string_equal(contacts.cell, "b");
	assert_int_equal(choose("c", "", true), 0);
	assert_int_equal(contacts.count, 2);
	assert_int_equal(contacts.given, 2);
}

static void nobody_runs_what_a_daemon_tells(void **state)
{
	(void)state;
	assert_int_equal(read_list("unix:/a"), 0);
	assert_int_equal(choose("b", "h:1,exec:touch /tmp/x", true), 0);
	assert_int_equal(contacts.count, 1);
	assert_int_equal(contacts.servers[0].kind, ADDRESS_HOST);
	assert_int_equal(choose("b", "exec:touch /tmp/x", true), RMQ_E_CONFIG);
	assert_non_null(strstr(why.text, "cell b has no address"));
	assert_non_null(strstr(why.text, "RMQ_SERVERS"));
	assert_int_equal(choose("b", "", true), RMQ_E_CONFIG);
	assert_int_equal(choose("b", "-", true), RMQ_E_CONFIG);
}

static void sockets_are_taken_only_from_who_is_on_this_machine(void **state)
{
	(void)state;
	assert_int_equal(read_list("unix:/a"), 0);
	assert_int_equal(choose("b", "unix:/b,h:1", true), 0);
	assert_int_equal(contacts.count, 2);
	assert_int_equal(choose("b", "unix:/b,h:1", false), 0);
	assert_int_equal(contacts.count, 1);
	assert_int_equal(contacts.servers[0].kind, ADDRESS_HOST);
	assert_int_equal(choose("b", "unix:/b", false), RMQ_E_CONFIG);
	assert_int_equal(choose("b", "unix:b", true), RMQ_E_CONFIG);
}

static void what_is_wrong_with_any_cell_is_said_at_once(void **state)
{
	(void)state;
	assert_int_equal(read_list("a=unix:/a;b=/x"), RMQ_E_USAGE);
	assert_non_null(strstr(why.text, "an address is"));
	assert_int_equal(read_list("a=unix:/a;a=unix:/b"), RMQ_E_USAGE);
	assert_non_null(strstr(why.text, "two cells have the same name"));
	assert_int_equal(read_list("/x"), RMQ_E_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(a_list_without_names_is_one_cell, teardown),
	    cmocka_unit_test_teardown(the_users_own_list_wins, teardown),
	    cmocka_unit_test_teardown(nobody_runs_what_a_daemon_tells, teardown),
	    cmocka_unit_test_teardown(
		sockets_are_taken_only_from_who_is_on_this_machine, teardown),
	    cmocka_unit_test_teardown(what_is_wrong_with_any_cell_is_said_at_once, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
