/* The addresses of RMQ_SERVERS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sys/net/client_address.h"

static void a_list_has_addresses_of_each_kind(void **state)
{
	const char *rest =
	    "unix:/run/q.sock,mq.example.org,10.0.0.1:1,[2001:db8::1],[::1]:65535,exec:ssh h a,b";
	static const struct {
		enum client_address_kind kind;
		const char *text, *printed;
		unsigned port;
	} want[] = {{ADDRESS_UNIX, "/run/q.sock", "unix:/run/q.sock", 0},
	    {ADDRESS_HOST, "mq.example.org", "mq.example.org:7411", CLIENT_ADDRESS_PORT},
	    {ADDRESS_HOST, "10.0.0.1", "10.0.0.1:1", 1},
	    {ADDRESS_HOST, "2001:db8::1", "[2001:db8::1]:7411", CLIENT_ADDRESS_PORT},
	    {ADDRESS_HOST, "::1", "[::1]:65535", 65535},
	    {ADDRESS_EXEC, "ssh h a,b", "exec:ssh h a,b", 0}};
	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		struct client_address a;
		char printed[CLIENT_ADDRESS_TEXT_SIZE];
		const char *why = NULL;
		assert_non_null(rest);
		assert_int_equal(client_address_parse(&a, &rest, &why), RMQ_E_OK);
		assert_int_equal(a.kind, want[i].kind);
		assert_string_equal(a.kind == ADDRESS_UNIX   ? a.path.path
				    : a.kind == ADDRESS_HOST ? a.host.host
							     : a.command,
		    want[i].text);
		assert_true(a.kind != ADDRESS_HOST || a.host.port == want[i].port);
		client_address_print(&a, printed);
		assert_string_equal(printed, want[i].printed);
	}
	assert_null(rest);
}

static void what_is_no_address_is_refused_and_says_what_one_is(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {{"", "unix:/PATH, HOST:PORT"}, {",h:1", "unix:/PATH, HOST:PORT"},
	    {"/run/rmq.sock", "unix:/PATH, HOST:PORT"}, {"./q.sock,h:1", "exec:COMMAND"},
	    {"fd00::1", "in brackets"}, {"a;b", "by commas"}, {"tcp://h:1", "exec:COMMAND"},
	    {"unix:", "path is empty"}, {"h:", "a port is"}, {"h:0", "a port is"},
	    {"h:65536", "a port is"}, {"h:1x", "a port is"}, {"[h]", "an address is"},
	    {"[::1", "an address is"}, {"[::1]x", "an address is"}, {"::1", "in brackets"},
	    {"a b", "by commas"}, {"-h:1", "an address is"}, {"h h:1", "by commas"},
	    {"exec:", "no command"}};
	char text[600];
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct client_address a = {.kind = ADDRESS_EXEC, .command = "before"};
		const char *rest = bad[i].text, *why = "";
		if (client_address_parse(&a, &rest, &why) != RMQ_E_USAGE)
			fail_msg("'%s' is taken", bad[i].text);
		if (!strstr(why, bad[i].says))
			fail_msg("'%s': %s", bad[i].text, why);
		assert_ptr_equal(rest, bad[i].text);
		assert_string_equal(a.command, "before");
	}
	/* Too long, with a port in time and without. */
	for (size_t len = SOCKET_HOST_MAX; len < 500; len++) {
		struct client_address a;
		const char *rest = text, *why = "";
		memset(text, 'h', len);
		strcpy(text + len, len % 2 ? "" : ":7411");
		assert_int_equal(client_address_parse(&a, &rest, &why),
		    len > SOCKET_HOST_MAX ? RMQ_E_USAGE : RMQ_E_OK);
	}
}

static void a_long_command_is_shown_cut(void **state)
{
	char text[600] = "exec:", printed[CLIENT_ADDRESS_TEXT_SIZE];
	struct client_address a;
	const char *rest = text, *why;
	(void)state;
	memset(text + 5, 'x', sizeof(text) - 6);
	assert_int_equal(client_address_parse(&a, &rest, &why), RMQ_E_OK);
	assert_int_equal(strlen(a.command), sizeof(text) - 6);
	client_address_print(&a, printed);
	assert_int_equal(strlen(printed), sizeof(printed) - 1);
	assert_string_equal(printed + sizeof(printed) - sizeof("xxx..."), "xxx...");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_list_has_addresses_of_each_kind),
	    cmocka_unit_test(what_is_no_address_is_refused_and_says_what_one_is),
	    cmocka_unit_test(a_long_command_is_shown_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
