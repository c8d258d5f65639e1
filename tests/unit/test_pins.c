/* A client's known nodes: read, found, added and replaced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/net/pins.h"

#define ID "00112233445566778899aabbccddeeff"

static const struct raft_id id = {{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99,
    0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}};

static void key_of(uint8_t n, uint8_t key[KEY_SIZE])
{
	const uint8_t secret[KEY_SIZE] = {1, n};
	assert_true(key_public(secret, key));
}

/* What a node says at an address; its name is "n" and the number of its key. */
static struct pin pin_of(const char *address, uint8_t n, bool cluster)
{
	struct socket_host host;
	uint8_t key[KEY_SIZE];
	char name[8];
	struct pin p;
	const char *why;
	key_of(n, key);
	snprintf(name, sizeof(name), "n%u", n);
	assert_int_equal(socket_host_parse(&host, address, &why), RMQ_E_OK);
	assert_null(pin_take(&p, &host, slice_of(key, sizeof(key)), slice_str(name),
	    slice_of(&id, cluster ? sizeof(id) : 0)));
	return p;
}

static void line_of(char *text, size_t size, const char *address, uint8_t n, bool cluster)
{
	struct pin p = pin_of(address, n, cluster);
	char line[PIN_TEXT_SIZE];
	pin_print(&p, line);
	assert_true(strlen(line) < size);
	memcpy(text, line, strlen(line) + 1);
}

static const struct pin *find(const struct pins *p, const char *address)
{
	struct socket_host host;
	const char *why;
	assert_int_equal(socket_host_parse(&host, address, &why), RMQ_E_OK);
	return pins_find(p, &host);
}

static bool has(const struct pins *p, const char *address, uint8_t n)
{
	uint8_t key[KEY_SIZE];
	const struct pin *pin = find(p, address);
	key_of(n, key);
	return pin && memcmp(pin->key, key, KEY_SIZE) == 0;
}

/* ---- a folder for each test ---- */

static char folder[32], path[64];

static int setup(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/pins.XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/a/b/known", folder);
	return 0;
}

static int teardown(void **state)
{
	char command[64];
	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}

static void put_file(const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void file_is(const char *text)
{
	static char got[1 << 16];
	int fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	ssize_t n = read(fd, got, sizeof(got) - 1);
	assert_true(n >= 0);
	got[n] = '\0';
	close(fd);
	assert_string_equal(got, text);
}

static unsigned mode_of(const char *at)
{
	struct stat st;
	assert_int_equal(stat(at, &st), 0);
	return st.st_mode & 07777;
}

/* ---- tests ---- */

static void a_node_is_found_by_its_address(void **state)
{
	char text[1024], a[256], b[256], c[256];
	struct pins p = {.count = 0};
	struct reason why = {""};
	(void)state;
	line_of(a, sizeof(a), "mq.example.org:7411", 1, true);
	line_of(b, sizeof(b), "[2001:db8::1]:7411", 2, false);
	line_of(c, sizeof(c), "10.0.0.1:1", 1, true);
	snprintf(text, sizeof(text), "# known\n\n %s\r\n%s\n%s", a, b, c);
	assert_int_equal(pins_parse(&p, slice_str(text), "known", &why), RMQ_E_OK);
	assert_int_equal(p.count, 3);
	assert_true(has(&p, "MQ.example.org:7411", 1));
	assert_true(has(&p, "[2001:0db8:0::1]:7411", 2));
	assert_true(has(&p, "10.0.0.1:1", 1));
	assert_null(find(&p, "10.0.0.1:2"));
	assert_null(find(&p, "example.org:7411"));
	assert_string_equal(find(&p, "10.0.0.1:1")->name, "n1");
	assert_memory_equal(&find(&p, "10.0.0.1:1")->cluster, &id, sizeof(id));
	assert_true(find(&p, "[2001:db8::1]:7411")->cluster.bytes[1] == 0);
	pins_deinit(&p);
}

static void a_line_says_address_key_name_and_cluster(void **state)
{
	char text[256];
	(void)state;
	line_of(text, sizeof(text), "[2001:db8::1]:7411", 1, true);
	assert_ptr_equal(strstr(text, "[2001:db8::1]:7411 rmq1:"), text);
	assert_string_equal(text + strlen(text) - strlen("= n1 " ID), "= n1 " ID);
	line_of(text, sizeof(text), "h:1", 1, false);
	assert_string_equal(text + strlen(text) - strlen("= n1 -"), "= n1 -");
}

static void a_bad_line_refuses_the_whole_file_and_says_why(void **state)
{
	static const struct {
		const char *line, *says; /* K stands for a key */
	} bad[] = {{"h K n1 -", "'h': an address is"}, {"h:0 K n1 -", "'h:0': a port is"},
	    {"unix:/x K n1 -", "'unix:/x': a port is"},
	    {"h:1 rmq1:AAAA n1 -", "'rmq1:AAAA' is not a public key"},
	    {"h:1", "'' is not a public key"}, {"h:1 K", "'' is not the name of a node"},
	    {"h:1 K -n -", "'-n' is not the name"}, {"h:1 K n\033[2J -", "'n?[2J' is not the"},
	    {"h:1 K n1", "'' is not the id of a cluster"},
	    {"h:1 K n1 --", "'--' is not the id of a cluster"},
	    {"h:1 K n1 00112233445566778899aabbccddee", "is not the id"},
	    {"h:1 K n1 " ID "00", "is not the id"}, {"h:1 K n1 " ID "0", "is not the id"},
	    {"h:1 K n1 00000000000000000000000000000000", "is not the id"},
	    {"h:1 K n1 - x", "'x' is too much"}};
	struct pins p = {.count = 0};
	uint8_t key[KEY_SIZE];
	char first[256], word[KEY_TEXT_SIZE];
	(void)state;
	key_of(2, key);
	key_print(key, word);
	line_of(first, sizeof(first), "first:1", 1, false);
	struct reason why = {""};
	assert_int_equal(pins_parse(&p, slice_str(first), "known", &why), RMQ_E_OK);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[1024];
		const char *k = strchr(bad[i].line, 'K');
		int before = k ? (int)(k - bad[i].line) : (int)strlen(bad[i].line);
		snprintf(text, sizeof(text), "other:1%s\n%.*s%s%s\n", strchr(first, ' '),
		    before, bad[i].line, k ? word : "", k ? k + 1 : "");
		assert_int_equal(pins_parse(&p, slice_str(text), "known", &why), RMQ_E_CONFIG);
		if (strncmp(why.text, "known:2: ", 9) != 0 || !strstr(why.text, bad[i].says))
			fail_msg("%s: %s", bad[i].line, why.text);
		assert_true(p.count == 1 && has(&p, "first:1", 1));
	}
	char twice[600];
	snprintf(twice, sizeof(twice), "%s\nFIRST%s\n", first, first + 5);
	assert_int_equal(pins_parse(&p, slice_str(twice), "known", &why), RMQ_E_CONFIG);
	assert_string_equal(
	    why.text, "known:2: a line above is for the same address and key: remove one");
	pins_deinit(&p);
}

/* Whoever answers LINK_WHO can say anything. */
static void what_a_stranger_says_is_checked(void **state)
{
	static const uint8_t zeros[KEY_SIZE];
	struct socket_host host = {"h", 1};
	uint8_t key[KEY_SIZE];
	struct pin p;
	(void)state;
	key_of(1, key);
	struct slice good = slice_of(key, KEY_SIZE), name = slice_str("n1"),
		     none = slice_of(NULL, 0), cluster = slice_of(&id, sizeof(id));
	assert_null(pin_take(&p, &host, good, name, cluster));
	assert_null(pin_take(&p, &host, good, name, none));
	assert_non_null(pin_take(&p, &host, none, name, none));
	assert_non_null(pin_take(&p, &host, slice_of(key, KEY_SIZE - 1), name, none));
	assert_non_null(pin_take(&p, &host, slice_of(zeros, KEY_SIZE), name, none));
	assert_non_null(pin_take(&p, &host, good, none, none));
	assert_non_null(pin_take(&p, &host, good, slice_str("n1 -\nevil:1"), none));
	assert_non_null(pin_take(&p, &host, good, slice_str("n\033[2J"), none));
	assert_non_null(pin_take(&p, &host, good, slice_of("n\0", 2), none));
	assert_non_null(pin_take(&p, &host, good,
	    slice_str("a234567890123456789012345678901234567890123456789012345678901234"),
	    none));
	assert_non_null(pin_take(&p, &host, good, name, slice_of(&id, sizeof(id) - 1)));
	assert_non_null(pin_take(&p, &host, good, name, slice_of(zeros, sizeof(id))));
	assert_non_null(pin_take(&p, &host, good, name, slice_of(key, KEY_SIZE)));
}

static void a_file_that_is_not_there_is_empty_and_is_made_with_its_folders(void **state)
{
	struct pins p = {.count = 0};
	struct reason why = {""};
	struct pin one = pin_of("h:1", 1, true), two = pin_of("h:2", 2, false);
	char text[512], b[256], at[64];
	mode_t before = umask(0);
	(void)state;
	assert_int_equal(pins_read(&p, path, &why), RMQ_E_OK);
	assert_int_equal(p.count, 0);
	assert_int_equal(pins_add(path, &one, &why), RMQ_E_OK);
	umask(before);
	snprintf(at, sizeof(at), "%s/a", folder);
	assert_int_equal(mode_of(at), 0700);
	snprintf(at, sizeof(at), "%s/a/b", folder);
	assert_int_equal(mode_of(at), 0700);
	assert_int_equal(mode_of(path), 0600);
	assert_int_equal(pins_add(path, &two, &why), RMQ_E_OK);
	/* Once more is no line more. */
	assert_int_equal(pins_add(path, &one, &why), RMQ_E_OK);
	line_of(text, sizeof(text), "h:1", 1, true);
	line_of(b, sizeof(b), "h:2", 2, false);
	snprintf(text + strlen(text), sizeof(text) - strlen(text), "\n%s\n", b);
	file_is(text);
	assert_int_equal(pins_read(&p, path, &why), RMQ_E_OK);
	assert_true(p.count == 2 && has(&p, "h:1", 1) && has(&p, "h:2", 2));
	pins_deinit(&p);
}

static void an_address_that_has_a_key_keeps_it(void **state)
{
	struct reason why = {""};
	struct pin one = pin_of("h:1", 1, true), other = pin_of("H:1", 2, true),
		   elsewhere = pin_of("h:1", 1, false);
	char text[256];
	(void)state;
	assert_int_equal(pins_add(path, &one, &why), RMQ_E_OK);
	assert_int_equal(pins_add(path, &other, &why), RMQ_E_EXISTS);
	assert_int_equal(pins_add(path, &elsewhere, &why), RMQ_E_EXISTS);
	line_of(text, sizeof(text), "h:1", 1, true);
	strcat(text, "\n");
	file_is(text);
}

static void an_address_may_have_several_keys(void **state)
{
	struct reason why = {""};
	struct pins p = {.count = 0};
	struct pin newer = pin_of("h:1", 3, true);
	struct socket_host host = newer.address;
	char text[1024], a[256], b[256], c[256];
	uint8_t keys[4][KEY_SIZE];
	(void)state;
	for (uint8_t i = 0; i < 4; i++)
		key_of((uint8_t)(i + 1), keys[i]);
	line_of(a, sizeof(a), "h:1", 1, true);
	line_of(b, sizeof(b), "h:1", 2, true);
	line_of(c, sizeof(c), "h:1", 3, true);
	assert_int_equal(pins_add(path, &newer, &why), RMQ_E_OK); /* makes the folders */
	snprintf(text, sizeof(text), "%s\n%s\n", a, b);
	put_file(text, 0600);
	assert_int_equal(pins_read(&p, path, &why), RMQ_E_OK);
	assert_int_equal(p.count, 2);
	assert_ptr_equal(pins_find_key(&p, &host, keys[0]), &p.pins[0]);
	assert_ptr_equal(pins_find_key(&p, NULL, keys[1]), &p.pins[1]);
	assert_null(pins_find_key(&p, &host, keys[2]));
	pins_deinit(&p);
	/* What is asked about is for who knows none. */
	assert_int_equal(pins_add(path, &newer, &why), RMQ_E_EXISTS);
	assert_int_equal(pins_replace(path, keys[1], &newer, &why), RMQ_E_OK);
	snprintf(text, sizeof(text), "%s\n%s\n", a, c);
	file_is(text);
	assert_int_equal(pins_replace(path, keys[0], &newer, &why), RMQ_E_OK);
	file_is(text);
}

static void a_pin_is_replaced_and_all_else_stays(void **state)
{
	struct reason why = {""};
	struct pin one = pin_of("h:1", 3, true), more = pin_of("h:9", 4, false);
	char text[2048], a[256], b[256], c[256], d[256], real[80];
	uint8_t old[KEY_SIZE];
	(void)state;
	key_of(2, old);
	line_of(a, sizeof(a), "g:1", 1, true);
	line_of(b, sizeof(b), "H:1", 2, true);
	assert_int_equal(pins_add(path, &more, &why), RMQ_E_OK); /* makes the folders */
	snprintf(
	    text, sizeof(text), "# mine\n%s\n  %s \r\n; h:1\n\nx:1%s", a, b, strchr(a, ' '));
	/* Through a symbolic link, and with a mode of its own. */
	snprintf(real, sizeof(real), "%s.real", path);
	assert_int_equal(rename(path, real), 0);
	assert_int_equal(symlink("known.real", path), 0);
	put_file(text, 0644);
	assert_int_equal(pins_replace(path, old, &one, &why), RMQ_E_OK);
	line_of(c, sizeof(c), "h:1", 3, true);
	snprintf(text, sizeof(text), "# mine\n%s\n%s\n; h:1\n\nx:1%s", a, c, strchr(a, ' '));
	file_is(text);
	assert_int_equal(mode_of(real), 0644);
	/* A cut last line is ended first. */
	assert_int_equal(pins_replace(path, old, &more, &why), RMQ_E_OK);
	line_of(d, sizeof(d), "h:9", 4, false);
	snprintf(text + strlen(text), sizeof(text) - strlen(text), "\n%s\n", d);
	file_is(text);
	struct stat st;
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
}

static void a_file_that_others_can_write_to_is_refused(void **state)
{
	struct pins p = {.count = 0};
	struct reason why = {""};
	struct pin one = pin_of("h:1", 1, true), two = pin_of("h:2", 2, true);
	(void)state;
	assert_int_equal(pins_add(path, &one, &why), RMQ_E_OK);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(chmod(path, i ? 0602 : 0620), 0);
		assert_int_equal(pins_read(&p, path, &why), RMQ_E_DENIED);
		assert_non_null(strstr(why.text, i ? "mode is 0602" : "mode is 0620"));
		assert_int_equal(pins_add(path, &two, &why), RMQ_E_DENIED);
		assert_int_equal(pins_replace(path, one.key, &two, &why), RMQ_E_DENIED);
	}
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(pins_read(&p, path, &why), RMQ_E_OK);
	assert_int_equal(p.count, 1);
	pins_deinit(&p);
}

/* Two processes at a time: each adds and replaces, and nothing is lost. */
static void many_add_and_replace_at_once(void **state)
{
	enum { PROCESSES = 4, EACH = 10 };
	struct pins p = {.count = 0};
	struct reason why = {""};
	struct pin shared = pin_of("shared:1", 9, true);
	pid_t pids[PROCESSES];
	char address[32];
	(void)state;
	assert_int_equal(pins_add(path, &shared, &why), RMQ_E_OK);
	for (uint8_t i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		if (pids[i] != 0)
			continue;
		for (unsigned k = 0; k < EACH; k++) {
			snprintf(address, sizeof(address), "h%u:%u", i, k + 1);
			struct pin mine = pin_of(address, i, true);
			/* Each has a line of that address, with two keys in turn. */
			uint8_t own = (uint8_t)(20 + 2 * i);
			struct pin old = pin_of("shared:1", (uint8_t)(own + !(k & 1)), true);
			struct pin now = pin_of("shared:1", (uint8_t)(own + (k & 1)), true);
			if (pins_add(path, &mine, &why) != RMQ_E_OK ||
			    pins_replace(path, old.key, &now, &why) != RMQ_E_OK)
				_exit(1);
		}
		_exit(0);
	}
	for (unsigned i = 0; i < PROCESSES; i++) {
		int status;
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(pins_read(&p, path, &why), RMQ_E_OK);
	assert_int_equal(p.count, PROCESSES * (EACH + 1) + 1);
	for (uint8_t i = 0; i < PROCESSES; i++)
		for (unsigned k = 0; k < EACH; k++) {
			snprintf(address, sizeof(address), "h%u:%u", i, k + 1);
			assert_true(has(&p, address, i));
		}
	assert_true(has(&p, "shared:1", 9));
	pins_deinit(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_node_is_found_by_its_address),
	    cmocka_unit_test(a_line_says_address_key_name_and_cluster),
	    cmocka_unit_test(a_bad_line_refuses_the_whole_file_and_says_why),
	    cmocka_unit_test(what_a_stranger_says_is_checked),
	    cmocka_unit_test_setup_teardown(
		a_file_that_is_not_there_is_empty_and_is_made_with_its_folders, setup,
		teardown),
	    cmocka_unit_test_setup_teardown(
		an_address_that_has_a_key_keeps_it, setup, teardown),
	    cmocka_unit_test_setup_teardown(an_address_may_have_several_keys, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		a_pin_is_replaced_and_all_else_stays, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		a_file_that_others_can_write_to_is_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(many_add_and_replace_at_once, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
