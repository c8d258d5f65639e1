/* What people write in files: settings, known nodes, addresses. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "core/base/units.h"
#include "core/raft/raft_config.h"
#include "sys/net/known_nodes.h"
#include "sys/process/config.h"

#define WANTED \
	(CONFIG_BIT(name) | CONFIG_BIT(key) | CONFIG_BIT(advertise) | CONFIG_BIT(known_nodes))
#define MINIMUM "name = n1\nkey = n1.key\nknown-nodes = nodes\nlisten = 192.0.2.1:7401\n"

static struct config config;
static struct reason why;

static enum rmq_error parse(const char *text)
{
	config_init(&config);
	why.text[0] = '\0';
	return config_parse(&config, slice_str(text), "rmq.conf", &why);
}

/* The minimum and one more line, checked. */
static enum rmq_error with(const char *line)
{
	char text[1024];
	snprintf(text, sizeof(text), MINIMUM "%s\n", line);
	enum rmq_error err = parse(text);
	return err ? err : config_check(&config, WANTED, &why);
}

static void assert_wrong(const char *line, const char *text)
{
	assert_int_equal(with(line), RMQ_E_CONFIG);
	assert_string_equal(why.text, text);
}

/* ---- settings ---- */

static const char *const values[] = {
    [CONFIG_SETTING_name] = "n1",
    [CONFIG_SETTING_key] = "/etc/rmq/n1.key",
    [CONFIG_SETTING_old_key] = "/etc/rmq/n1.old",
    [CONFIG_SETTING_known_nodes] = "/etc/rmq/known nodes",
    [CONFIG_SETTING_listen] = "[::]:1",
    [CONFIG_SETTING_advertise] = "n1.example.org:7401",
    [CONFIG_SETTING_gate_listen] = "127.0.0.1:2",
    [CONFIG_SETTING_gate_advertise] = "n1:3",
    [CONFIG_SETTING_seeds] = "n1@a:1, n2@[fe80::1%eth0]:2,n3@192.0.2.3:3",
    [CONFIG_SETTING_seed_command] = "dig +short | sed s/^/n1@/",
    [CONFIG_SETTING_seed_timeout] = "1s",
    [CONFIG_SETTING_retry_join] = "20s",
    [CONFIG_SETTING_join_timeout] = "2m",
    [CONFIG_SETTING_roles] = "zone-b, a",
    [CONFIG_SETTING_min_members] = "3, zone-b:2",
    [CONFIG_SETTING_election_timeout] = "0.4s",
    [CONFIG_SETTING_heartbeat] = "50ms",
    [CONFIG_SETTING_phi_threshold] = "12",
    [CONFIG_SETTING_phi_pause] = "5s",
    [CONFIG_SETTING_explicit_create] = "explicit",
    [CONFIG_SETTING_unenforced] = "no",
    [CONFIG_SETTING_rights] = "/etc/rmq/rights",
    [CONFIG_SETTING_hooks] = "/etc/rmq/hooks.d",
    [CONFIG_SETTING_hook_timeout] = "10s",
    [CONFIG_SETTING_control] = "c",
    [CONFIG_SETTING_queue_socket] = "q",
    [CONFIG_SETTING_socket] = "s",
    [CONFIG_SETTING_cells] = "a=n1.example.org,n2.example.org:7412;b+=[::1]:1,unix:/run/b",
    [CONFIG_SETTING_cell] = "b",
    [CONFIG_SETTING_engine] = "postgresql",
    [CONFIG_SETTING_dsn_file] = "/etc/rmq/dsn",
};

static void every_setting_can_be_set_in_the_file_and_as_an_option(void **state)
{
	struct config filed;
	char text[4096] = "";
	(void)state;
	for (int i = 0; i < CONFIG_SETTING_dsn; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s = %s\n",
		    config_rows[i].name, values[i]);
	assert_int_equal(parse(text), RMQ_E_OK);
	assert_int_equal(config_check(&config, WANTED, &why), RMQ_E_OK);
	filed = config;
	config_init(&config);
	for (int i = 0; i < CONFIG_SETTING_dsn; i++)
		assert_int_equal(
		    config_option(&config, config_rows[i].code, values[i], &why), RMQ_E_OK);
	assert_int_equal(config_check(&config, WANTED, &why), RMQ_E_OK);
	assert_int_equal(config.given_as_option, filed.given_in_file);
	config.given_in_file = filed.given_in_file;
	filed.given_as_option = config.given_as_option;
	assert_memory_equal(&config, &filed, sizeof(config));
	assert_string_equal(config.known_nodes, "/etc/rmq/known nodes");
	assert_string_equal(config.listen.host, "::");
	assert_int_equal(config.seeds.count, 3);
	assert_string_equal(config.seeds.seeds[1].name, "n2");
	assert_string_equal(config.seeds.seeds[1].address.host, "fe80::1%eth0");
	assert_int_equal(config.seeds.seeds[2].address.port, 3);
	assert_string_equal(config.seed_command, "dig +short | sed s/^/n1@/");
	assert_int_equal(config.retry_join, 20000);
	assert_int_equal(config.join_timeout, 120000);
	assert_int_equal(config.roles.flags, 0);
	assert_string_equal(config.roles.names, "a,zone-b");
	assert_int_equal(config.min_members.all, 3);
	assert_int_equal(config.min_members.count, 1);
	assert_string_equal(config.min_members.roles[0].role, "zone-b");
	assert_int_equal(config.min_members.roles[0].members, 2);
	assert_true(config.explicit_create);
	assert_int_equal(config.election_timeout, 400);
	assert_string_equal(config.control.path, "c");
}

static void clients_can_use_the_queue_socket_from_anywhere(void **state)
{
	char here[PATH_MAX], want[PATH_MAX + 16], line[128];
	(void)state;
	assert_non_null(getcwd(here, sizeof(here)));
	assert_int_equal(chdir("/tmp"), 0);
	enum rmq_error err = with("queue-socket = run/q\n");
	snprintf(want, sizeof(want), "/tmp/run/q");
	assert_int_equal(err, RMQ_E_OK);
	assert_string_equal(config.queue_socket.path, want);
	/* As long as it may be, but not from here. */
	snprintf(line, sizeof(line), "queue-socket = %0*d\n", SOCKET_PATH_MAX, 0);
	assert_int_equal(with(line), RMQ_E_CONFIG);
	assert_string_equal(
	    why.text, "queue-socket: the socket's path is longer than 107 bytes");
	assert_int_equal(chdir(here), 0);
}

static void what_is_not_set_has_its_default(void **state)
{
	(void)state;
	setenv("XDG_RUNTIME_DIR", "/nowhere", 1);
	assert_int_equal(with(""), RMQ_E_OK);
	assert_int_equal(config.election_timeout, 500);
	assert_int_equal(config.heartbeat, 100);
	assert_int_equal(config.phi_threshold, 8);
	assert_int_equal(config.phi_pause, 3000);
	assert_int_equal(config.join_timeout, UNITS_INFINITY);
	assert_int_equal(config.roles.flags, RAFT_BROKER);
	assert_string_equal(config.roles.names, "");
	assert_int_equal(config.engine, RAFT_ENGINE_BUILT_IN);
	assert_int_equal(config.min_members.all, 1);
	assert_string_equal(config.control.path, "/run/rmq/cluster.sock");
	assert_string_equal(config.queue_socket.path, "/run/rmq/queue.sock");
	assert_string_equal(config.socket.path, "/run/rmq/rmq.sock");
	assert_string_equal(config.gate_listen.host, "0.0.0.0");
	assert_int_equal(config.gate_listen.port, 7411);
	assert_string_equal(config.advertise.host, "192.0.2.1");
	assert_int_equal(config.advertise.port, 7401);
	assert_string_equal(config.gate_advertise.host, "");
	assert_false(config_given(&config, advertise));
	assert_true(config_given(&config, listen));
}

static void without_a_control_socket_the_queue_is_where_clients_look_for_it(void **state)
{
	(void)state;
	assert_int_equal(with("control = none"), RMQ_E_OK);
	assert_string_equal(config.control.path, "");
	assert_string_equal(config.queue_socket.path, "/run/rmq/rmq.sock");
	assert_int_equal(with("control = none\nqueue-socket = /q"), RMQ_E_OK);
	assert_string_equal(config.queue_socket.path, "/q");
	assert_int_equal(parse("control = none\n"), RMQ_E_OK);
	assert_int_equal(config_check(&config, CONFIG_BIT(control), &why), RMQ_E_CONFIG);
	assert_string_equal(
	    why.text, "control: only rmq-gated does without one, in front of a single node");
}

static void an_option_overrides_the_file_which_must_be_right_all_the_same(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		config_init(&config);
		assert_int_equal(config_option(&config, config_rows[CONFIG_SETTING_name].code,
				     "other", &why),
		    RMQ_E_OK);
		assert_int_equal(config_parse(&config,
				     slice_str(i ? "name = a b\n" : "name = n1\n"), "f", &why),
		    i ? RMQ_E_CONFIG : RMQ_E_OK);
		assert_string_equal(config.name, "other");
	}
	assert_int_equal(
	    config_option(&config, config_rows[CONFIG_SETTING_heartbeat].code, "1ms", &why),
	    RMQ_E_USAGE);
	assert_string_equal(why.text, "--heartbeat: must be from 10ms to 60s");
}

static void errors_name_file_line_and_setting(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
	    {"# a\n\n; b\r\n  colour = red\n", "f:4: colour: no such setting"},
	    {"[node]\n", "f:1: [node]: no such section"},
	    {"name\n", "f:1: a line is NAME = VALUE"},
	    {"name = n1\nname = n1\n", "f:2: name: is set a second time"},
	    {"name =\n", "f:1: name: it has no value"},
	    {"= n1\n", "f:1: : no such setting"},
	    /* It may be one whose name was forgotten. */
	    {"dsn host=h password=secret\n", "f:1: dsn: no such setting"},
	    {"postgresql://u:secret@h/d?sslmode=require\n", "f:1: postgresql: no such setting"},
	    {"engine = mysql\n", "f:1: engine: must be built-in or postgresql"},
	    {"name = -n1",
		"f:1: name: a node's name is letters, digits, _ . - and not longer than 63"},
	    {"\nlisten = 7401\n", "f:2: listen: an address is HOST:PORT or [IPV6]:PORT"},
	    {"listen = a:0\n", "f:1: listen: a port is a number from 1 to 65535"},
	    {"listen = a:65536\n", "f:1: listen: a port is a number from 1 to 65535"},
	    {"join-timeout = soon\n", "f:1: join-timeout: a duration is a number and ms, s, m, "
				      "h or d, or infinity"},
	    {"heartbeat = infinity\n", "f:1: heartbeat: must be from 10ms to 60s"},
	    {"phi-threshold = 17\n", "f:1: phi-threshold: must be a whole number from 1 to 16"},
	    {"phi-threshold = 8.5\n",
		"f:1: phi-threshold: must be a whole number from 1 to 16"},
	    {"roles = broker, none\n",
		"f:1: roles: roles are names of at most 31 characters, 8 of them and broker; or none"},
	    {"roles = a:b\n",
		"f:1: roles: roles are names of at most 31 characters, 8 of them and broker; or none"},
	    {"min-members = 10\n",
		"f:1: min-members: it is a number of members, and ROLE:N for roles, each once, from 1 to 9"},
	    {"min-members = 2,3\n",
		"f:1: min-members: it is a number of members, and ROLE:N for roles, each once, from 1 to 9"},
	    {"min-members = a:1,a:2\n",
		"f:1: min-members: it is a number of members, and ROLE:N for roles, each once, from 1 to 9"},
	    {"create = often\n", "f:1: create: must be auto or explicit"},
	    {"enforce = never\n", "f:1: enforce: must be yes or no"},
	    {"seeds = ,\n", "f:1: seeds: it names no seed"},
	    {"seeds = a:1\n", "f:1: seeds: a seed is NAME@HOST:PORT"},
	    {"seeds = n1@a:1,n1@b:1\n", "f:1: seeds: a seed occurs twice"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		config_init(&config);
		assert_int_equal(
		    config_parse(&config, slice_str(cases[i].text), "f", &why), RMQ_E_CONFIG);
		assert_string_equal(why.text, cases[i].why);
	}
	config_init(&config);
	assert_int_equal(
	    config_parse(&config, slice_of("name = a\0b\n", 11), "f", &why), RMQ_E_CONFIG);
	assert_string_equal(why.text, "f:1: it contains a NUL");
	static char line[100000];
	memset(line, 'x', sizeof(line));
	assert_int_equal(
	    config_parse(&config, slice_of(line, sizeof(line)), "f", &why), RMQ_E_CONFIG);
	assert_string_equal(why.text, "f:1: the line is too long");
	assert_int_equal(config_read(&config, "/nowhere/rmq.conf", &why), RMQ_E_CONFIG);
	assert_string_equal(why.text, "/nowhere/rmq.conf: No such file or directory");
}

static void what_is_missing_or_does_not_fit_is_named(void **state)
{
	(void)state;
	assert_int_equal(parse("name = n1\nknown-nodes = nodes\n"), RMQ_E_OK);
	assert_int_equal(config_check(&config, WANTED, &why), RMQ_E_CONFIG);
	assert_string_equal(why.text, "key: is missing");
	assert_wrong(
	    "election-timeout = 199ms", "election-timeout: is less than two heartbeats");
	assert_wrong(
	    "advertise = 0.0.0.0:7401", "advertise: nobody can connect to that address");
	assert_int_equal(parse("name = n1\nkey = k\nknown-nodes = n\n"), RMQ_E_OK);
	assert_int_equal(config_check(&config, WANTED, &why), RMQ_E_CONFIG);
	assert_string_equal(
	    why.text, "advertise: is missing, and the address to listen on is not one address");
	config_init(&config);
	assert_int_equal(config_check(&config, 0, &why), RMQ_E_OK);
}

static void cells_are_addresses_that_all_can_be_told_and_this_one_is_in_the_list(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
	    {"cells = a=h1;b=h2",
		"cell: is missing, and cells is set: which of them is this one?"},
	    {"cell = a", "cells: is missing, and cell is set: which cells are there?"},
	    {"cells = a=h1;b=h2\ncell = c",
		"cells: the list has no cell of the name c, which this one is to be"},
	    {"cells = a=h1;b=exec:ssh h2\ncell = a",
		"cells: cell b: exec:ssh h2: no client runs a command that a daemon tells it; set it in RMQ_SERVERS"},
	    {"cells = a=unix:s;b=h2\ncell = a",
		"cells: cell a: unix:s: clients start in other directories: a path begins with /"},
	    {"cells = a=h1;b=h2:0\ncell = a",
		"cells: cell b: 'h2:0': a port is a number from 1 to 65535"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(with(cases[i].text), RMQ_E_CONFIG);
		assert_string_equal(why.text, cases[i].why);
	}
	assert_int_equal(with("cells = h1;h2:1,h3\ncell = 2"), RMQ_E_OK);
}

static void what_a_database_needs_is_complete_or_refused(void **state)
{
	(void)state;
	assert_int_equal(with("dsn = host=h"), RMQ_E_CONFIG);
	assert_string_equal(
	    why.text, "dsn: is for engine = postgresql, and engine is built-in");
	assert_int_equal(with("engine = built-in\ndsn-file = f"), RMQ_E_CONFIG);
	assert_string_equal(
	    why.text, "dsn-file: is for engine = postgresql, and engine is built-in");
	assert_int_equal(with("engine = postgresql\ndsn = host=h\ndsn-file = f"), RMQ_E_CONFIG);
	assert_string_equal(why.text, "dsn-file: dsn is set as well: keep one of them");
	/* Only who connects needs it. */
	assert_int_equal(with("engine = postgresql"), RMQ_E_OK);
	assert_int_equal(config_check(&config, CONFIG_BIT(engine), &why), RMQ_E_CONFIG);
	assert_string_equal(why.text,
	    "dsn: is missing, and so is dsn-file: one of them says where the database is");
	assert_int_equal(
	    with("engine = postgresql\ndsn = host=a,b user=rmq password='it''s = #1'"),
	    RMQ_E_OK);
	assert_string_equal(config.dsn, "host=a,b user=rmq password='it''s = #1'");
	assert_int_equal(config_check(&config, CONFIG_BIT(engine), &why), RMQ_E_OK);
	assert_int_equal(config_read_dsn(&config, &why), RMQ_E_OK);
	config_forget(&config);
	assert_string_equal(config.dsn, "");
	/* Options are seen by all who may see processes. */
	assert_int_equal(
	    config_option(&config, config_rows[CONFIG_SETTING_dsn].code, "host=h", &why),
	    RMQ_E_USAGE);
	assert_string_equal(why.text,
	    "--dsn: others see options: set it in the file of settings, or use --dsn-file");
}

/* A connection string may hold a password. */
static enum rmq_error dsn_of(const char *bytes, mode_t mode)
{
	static const char path[] = "test_config.dsn";
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(bytes, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
	assert_int_equal(with("engine = postgresql\ndsn-file = test_config.dsn"), RMQ_E_OK);
	enum rmq_error err = config_read_dsn(&config, &why);
	unlink(path);
	return err;
}

static void a_connection_string_is_the_one_line_of_a_private_file(void **state)
{
	char place[] = "/tmp/test_config.XXXXXX", here[PATH_MAX];

	(void)state;
	assert_non_null(getcwd(here, sizeof(here)));
	assert_non_null(mkdtemp(place));
	assert_int_equal(chdir(place), 0);
	assert_int_equal(dsn_of("# ours\n\n host=h password=x \n", 0640), RMQ_E_OK);
	assert_string_equal(config.dsn, "host=h password=x");
	assert_int_equal(dsn_of("host=h password=x\n", 0644), RMQ_E_DENIED);
	assert_string_equal(
	    why.text, "test_config.dsn: mode is 0644: others can use it, make it 0600 or 0640");
	assert_int_equal(dsn_of("host=h\npassword=x\n", 0600), RMQ_E_CONFIG);
	assert_string_equal(why.text, "test_config.dsn:2: it is one line");
	assert_int_equal(dsn_of("# nothing\n", 0600), RMQ_E_CONFIG);
	assert_string_equal(why.text, "test_config.dsn: is empty");
	assert_int_equal(with("engine = postgresql\ndsn-file = none"), RMQ_E_OK);
	assert_int_equal(config_read_dsn(&config, &why), RMQ_E_CONFIG);
	assert_string_equal(why.text, "none: No such file or directory");
	assert_int_equal(chdir(here), 0);
	assert_int_equal(rmdir(place), 0);
}

/* ---- addresses ---- */

static void addresses_are_read_and_printed(void **state)
{
	static const char *const good[] = {"localhost:1", "192.0.2.1:65535", "[::1]:7401",
	    "[fe80::1%eth0]:1", "[::ffff:192.0.2.1]:1", "a-b.example.org:80", "x_1:2"};
	static const char *const bad[] = {"", ":", "a", "a:", ":1", "a:b", "a:-1", "a:1 ",
	    "a b:1", "::1:7401", "[::1]", "[::1]7401", "[]:1", "[a]:1", "[1]:1", "[::1:1",
	    "-a:1", "a/b:1", "a:65536", "a:0", "a:99999999999999999999", "[::1%]x]:1"};
	struct socket_host h;
	char text[SOCKET_HOST_TEXT_SIZE], wide[300];
	const char *what;
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(socket_host_parse(&h, good[i], &what), RMQ_E_OK);
		socket_host_print(&h, text);
		assert_string_equal(text, good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(socket_host_parse(&h, bad[i], &what), RMQ_E_USAGE);
	memset(wide, 'a', sizeof(wide));
	strcpy(wide + SOCKET_HOST_MAX, ":1");
	assert_int_equal(socket_host_parse(&h, wide, &what), RMQ_E_OK);
	memset(wide, 'a', sizeof(wide));
	strcpy(wide + SOCKET_HOST_MAX + 1, ":1");
	assert_int_equal(socket_host_parse(&h, wide, &what), RMQ_E_USAGE);
}

static void an_ipv4_client_of_a_socket_for_both_is_printed_as_one(void **state)
{
	struct sockaddr_in6 from = {.sin6_family = AF_INET6, .sin6_port = htons(7)};
	struct socket_host h;

	(void)state;
	assert_int_equal(inet_pton(AF_INET6, "::ffff:10.1.0.2", &from.sin6_addr), 1);
	socket_host_of(&h, (const struct sockaddr *)&from);
	assert_string_equal(h.host, "10.1.0.2");
	assert_int_equal(h.port, 7);
	from.sin6_addr = in6addr_loopback;
	socket_host_of(&h, (const struct sockaddr *)&from);
	assert_string_equal(h.host, "::1");
	assert_int_equal(h.port, 7);
}

/* ---- known nodes ---- */

static char keys[3][KEY_TEXT_SIZE];

static enum rmq_error know(struct known_nodes *k, const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return known_nodes_parse(k, slice_str(text), "nodes", &why);
}

static void known_nodes_are_found_by_name_and_by_key(void **state)
{
	struct known_nodes k = {0};
	uint8_t key[KEY_SIZE];
	(void)state;
	assert_int_equal(
	    know(&k, "# ours\n%s n1\n\n\t%s \t n2\r\n%s n3", keys[0], keys[1], keys[2]),
	    RMQ_E_OK);
	assert_int_equal(k.count, 3);
	for (int i = 0; i < 3; i++) {
		char name[] = {'n', (char)('1' + i), '\0'};
		assert_true(key_parse(slice_str(keys[i]), key));
		assert_memory_equal(known_nodes_by_name(&k, name)->key, key, KEY_SIZE);
		assert_string_equal(known_nodes_by_key(&k, key)->name, name);
	}
	assert_null(known_nodes_by_name(&k, "n4"));
	memset(key, 7, KEY_SIZE);
	assert_null(known_nodes_by_key(&k, key));
	assert_int_equal(know(&k, "%s n9\n", keys[0]), RMQ_E_OK);
	assert_int_equal(k.count, 1);
	known_nodes_deinit(&k);
}

static void one_bad_line_makes_the_whole_file_void(void **state)
{
	static const struct {
		const char *format, *why;
	} cases[] = {
	    {"%s n2\nrmq1:x n3\n",
		"nodes:2: this is not a public key, as rmq-keygen prints it"},
	    {"%s n2\n%s\n", "nodes:2: a node's name must follow the key"},
	    {"%s n2\n%s n3 n4\n", "nodes:2: a node's name must follow the key"},
	    {"%s n2\n%s n2\n", "nodes:2: the node has a key already"},
	    {"#\n%1$s n2\n%1$s n3\n", "nodes:3: the key belongs to another node already"},
	};
	struct known_nodes k = {0};
	(void)state;
	assert_int_equal(know(&k, "%s n1\n", keys[0]), RMQ_E_OK);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(know(&k, cases[i].format, keys[1], keys[2]), RMQ_E_CONFIG);
		assert_string_equal(why.text, cases[i].why);
		assert_int_equal(k.count, 1);
		assert_string_equal(k.nodes[0].name, "n1");
	}
	known_nodes_deinit(&k);
}

int main(void)
{
	for (uint8_t i = 0; i < 3; i++) {
		const uint8_t secret[KEY_SIZE] = {1, i};
		uint8_t key[KEY_SIZE];
		if (!key_public(secret, key))
			return 1;
		key_print(key, keys[i]);
	}
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_setting_can_be_set_in_the_file_and_as_an_option),
	    cmocka_unit_test(clients_can_use_the_queue_socket_from_anywhere),
	    cmocka_unit_test(what_is_not_set_has_its_default),
	    cmocka_unit_test(without_a_control_socket_the_queue_is_where_clients_look_for_it),
	    cmocka_unit_test(an_option_overrides_the_file_which_must_be_right_all_the_same),
	    cmocka_unit_test(errors_name_file_line_and_setting),
	    cmocka_unit_test(what_is_missing_or_does_not_fit_is_named),
	    cmocka_unit_test(
		cells_are_addresses_that_all_can_be_told_and_this_one_is_in_the_list),
	    cmocka_unit_test(what_a_database_needs_is_complete_or_refused),
	    cmocka_unit_test(a_connection_string_is_the_one_line_of_a_private_file),
	    cmocka_unit_test(addresses_are_read_and_printed),
	    cmocka_unit_test(an_ipv4_client_of_a_socket_for_both_is_printed_as_one),
	    cmocka_unit_test(known_nodes_are_found_by_name_and_by_key),
	    cmocka_unit_test(one_bad_line_makes_the_whole_file_void)};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
