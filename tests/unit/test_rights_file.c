/* Files of rights: what they grant, to whom, and what is wrong in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/net/rights_file.h"

static const struct wall_time now = {1798761600000}; /* 2027-01-01T00:00:00Z */

static void key_of(uint8_t n, uint8_t key[KEY_SIZE])
{
	const uint8_t secret[KEY_SIZE] = {1, n};
	assert_true(key_public(secret, key));
}

/* The text with each "KEY0" to "KEY9" as that key's word. */
static void with_keys(char *out, size_t size, const char *text)
{
	size_t len = 0;
	while (*text) {
		assert_true(len + KEY_TEXT_SIZE < size);
		if (strncmp(text, "KEY", 3) == 0 && text[3] >= '0' && text[3] <= '9') {
			uint8_t key[KEY_SIZE];
			key_of((uint8_t)(text[3] - '0'), key);
			key_print(key, out + len);
			len += strlen(out + len);
			text += 4;
		} else {
			out[len++] = *text++;
		}
	}
	out[len] = '\0';
}

static enum rmq_error parse(struct rights_file *f, const char *text, struct reason *why)
{
	static char all[1 << 20];
	with_keys(all, sizeof(all), text);
	return rights_file_parse(f, slice_str(all), "rights", why);
}

static void parsed(struct rights_file *f, const char *text)
{
	struct reason why = {""};
	enum rmq_error err = parse(f, text, &why);
	if (err)
		print_error("%s\n", why.text);
	assert_int_equal(err, RMQ_E_OK);
}

static void address(struct sockaddr_storage *s, const char *text)
{
	struct sockaddr_in *in = (struct sockaddr_in *)s;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)s;
	memset(s, 0, sizeof(*s));
	if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
		s->ss_family = AF_INET;
	} else {
		assert_int_equal(inet_pton(AF_INET6, text, &in6->sin6_addr), 1);
		s->ss_family = AF_INET6;
	}
}

static enum rmq_error ask(const struct rights_file *f, uint8_t n, const char *from,
    struct rights_granted *g, const char **why)
{
	struct sockaddr_storage s;
	uint8_t key[KEY_SIZE];
	key_of(n, key);
	address(&s, from);
	return rights_file_key(f, key, (struct sockaddr *)&s, now, g, why);
}

static bool can(
    const struct rights_granted *g, enum rights_of of, unsigned verbs, const char *name)
{
	return rights_grant(rights_granted_list(g), of, verbs, slice_str(name));
}

static void a_key_may_do_what_its_lines_say(void **state)
{
	struct rights_file f = {.groups_len = 0};
	struct rights_granted g;
	const char *why = NULL;
	(void)state;
	parsed(&f, "# who may do what\n"
		   "send queue=\"jobs.*,mail\" KEY1 web\n"
		   "\n"
		   "\trecv,send  queue=\"done\"\ttopic=\"logs.*\"   KEY1   web \r\n"
		   "admin queue=\"*\" KEY2 ops\n");
	assert_int_equal(ask(&f, 1, "192.0.2.1", &g, &why), RMQ_E_OK);
	assert_string_equal(g.name, "web");
	assert_true(g.until.ms == UINT64_MAX);
	assert_true(rights_valid(rights_granted_list(&g)));
	assert_true(can(&g, RIGHTS_QUEUE, RIGHT_SEND, "jobs.a"));
	assert_true(can(&g, RIGHTS_QUEUE, RIGHT_SEND, "mail"));
	assert_false(can(&g, RIGHTS_QUEUE, RIGHT_RECV, "mail"));
	assert_false(can(&g, RIGHTS_QUEUE, RIGHT_SEND, "mail.dead"));
	assert_true(can(&g, RIGHTS_QUEUE, RIGHT_RECV, "done"));
	assert_true(can(&g, RIGHTS_TOPIC, RIGHT_SEND, "logs.x"));
	assert_false(can(&g, RIGHTS_QUEUE, RIGHT_SEND, "logs.x"));
	assert_false(can(&g, RIGHTS_QUEUE, RIGHT_ADMIN, "done"));
	assert_int_equal(ask(&f, 2, "::1", &g, &why), RMQ_E_OK);
	assert_string_equal(g.name, "ops");
	assert_true(can(&g, RIGHTS_QUEUE, RIGHT_ADMIN, "anything"));
	assert_false(can(&g, RIGHTS_TOPIC, RIGHT_SEND, "anything"));
	rights_file_deinit(&f);
}

static void what_is_not_in_the_file_is_denied(void **state)
{
	struct rights_file f = {.groups_len = 0};
	struct rights_granted g;
	const char *why = NULL;
	uint8_t key[KEY_SIZE];
	gid_t group = 20;
	(void)state;
	key_of(1, key);
	assert_false(rights_file_knows(&f, key));
	assert_int_equal(ask(&f, 1, "::1", &g, &why), RMQ_E_DENIED);
	assert_int_equal(rights_file_user(&f, 0, NULL, 0, now, &g, &why), RMQ_E_DENIED);
	parsed(&f, "send queue=\"q\" KEY1 web\nsend queue=\"q\" user:10\n");
	assert_true(rights_file_knows(&f, key));
	key_of(2, key);
	assert_false(rights_file_knows(&f, key));
	assert_int_equal(ask(&f, 2, "::1", &g, &why), RMQ_E_DENIED);
	assert_non_null(strstr(why, "not in the file"));
	/* A group is not the user of its number. */
	assert_int_equal(rights_file_user(&f, 20, &group, 1, now, &g, &why), RMQ_E_DENIED);
	group = 10;
	assert_int_equal(rights_file_user(&f, 20, &group, 1, now, &g, &why), RMQ_E_DENIED);
	rights_file_deinit(&f);
}

static void an_address_must_be_of_a_network_that_the_line_names(void **state)
{
	static const struct {
		const char *from;
		const char *yes[4], *no[4];
	} cases[] = {{"192.0.2.7", {"192.0.2.7", "::ffff:192.0.2.7"}, {"192.0.2.6", "::1"}},
	    {"10.0.0.0/8", {"10.0.0.0", "10.255.0.1", "::ffff:10.2.3.4"},
		{"11.0.0.0", "9.255.255.255", "a00::"}},
	    {"10.0.0.128/25", {"10.0.0.128", "10.0.0.255"}, {"10.0.0.127", "10.0.1.128"}},
	    {"0.0.0.0/0", {"1.2.3.4", "::ffff:1.2.3.4"}, {"::1", "::1.2.3.4"}},
	    {"::/0", {"::1", "2001:db8::1"}, {"1.2.3.4", "::ffff:1.2.3.4"}},
	    {"2001:db8::/33,::1", {"2001:db8:7fff::1", "::1"}, {"2001:db8:8000::", "::2"}},
	    {"fe80::1/128", {"fe80::1"}, {"fe80::2"}}};
	struct rights_file f = {.groups_len = 0};
	struct rights_granted g;
	const char *why = NULL;
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];
		snprintf(text, sizeof(text), "send queue=\"q\" from=\"%s\" KEY1 web\n",
		    cases[i].from);
		parsed(&f, text);
		for (size_t k = 0; k < 4 && cases[i].yes[k]; k++)
			assert_int_equal(ask(&f, 1, cases[i].yes[k], &g, &why), RMQ_E_OK);
		for (size_t k = 0; k < 4 && cases[i].no[k]; k++) {
			assert_int_equal(ask(&f, 1, cases[i].no[k], &g, &why), RMQ_E_DENIED);
			assert_non_null(strstr(why, "from="));
		}
	}
	/* What each line grants is for its addresses. */
	parsed(&f, "send queue=\"a\" from=\"10.0.0.1\" KEY1 web\nsend queue=\"b\" KEY1 web\n");
	assert_int_equal(ask(&f, 1, "10.0.0.2", &g, &why), RMQ_E_OK);
	assert_false(can(&g, RIGHTS_QUEUE, RIGHT_SEND, "a"));
	assert_true(can(&g, RIGHTS_QUEUE, RIGHT_SEND, "b"));
	/* Something that is neither. */
	struct sockaddr_storage s = {.ss_family = AF_UNIX};
	uint8_t key[KEY_SIZE];
	key_of(1, key);
	parsed(&f, "send queue=\"a\" from=\"0.0.0.0/0,::/0\" KEY1 web\n");
	assert_int_equal(
	    rights_file_key(&f, key, (struct sockaddr *)&s, now, &g, &why), RMQ_E_DENIED);
	rights_file_deinit(&f);
}

static void rights_end_at_their_time_and_not_before(void **state)
{
	struct rights_file f = {.groups_len = 0};
	struct rights_granted g;
	const char *why = NULL;
	(void)state;
	parsed(&f, "send queue=\"a\" expires=\"2027-01-01\" KEY1 web\n"
		   "send queue=\"b\" expires=\"2027-01-01T00:00:00.001Z\" KEY1 web\n"
		   "send queue=\"c\" expires=\"2027-01-02T02:00:00+02:00\" KEY1 web\n"
		   "send queue=\"d\" KEY1 web\n"
		   "send queue=\"a\" expires=\"2026-12-31T23:59:59.999Z\" KEY2 old\n"
		   "send queue=\"a\" expires=\"@1798761601\" from=\"10.0.0.1\" KEY3 there\n");
	assert_int_equal(ask(&f, 1, "::1", &g, &why), RMQ_E_OK);
	assert_false(can(&g, RIGHTS_QUEUE, RIGHT_SEND, "a"));
	assert_true(can(&g, RIGHTS_QUEUE, RIGHT_SEND, "b"));
	assert_true(can(&g, RIGHTS_QUEUE, RIGHT_SEND, "c"));
	assert_true(can(&g, RIGHTS_QUEUE, RIGHT_SEND, "d"));
	assert_true(g.until.ms == now.ms + 1);
	assert_int_equal(ask(&f, 2, "::1", &g, &why), RMQ_E_DENIED);
	assert_non_null(strstr(why, "expires="));
	assert_int_equal(ask(&f, 3, "::1", &g, &why), RMQ_E_DENIED);
	assert_non_null(strstr(why, "from="));
	assert_int_equal(ask(&f, 3, "10.0.0.1", &g, &why), RMQ_E_OK);
	assert_true(g.until.ms == now.ms + 1000);
	rights_file_deinit(&f);
}

static void a_user_has_the_rights_of_all_its_groups(void **state)
{
	const gid_t groups[] = {20, 21, 20};
	struct rights_file f = {.groups_len = 0};
	struct rights_granted g;
	const char *why = NULL;
	(void)state;
	parsed(&f, "send queue=\"u\" user:10\nsend queue=\"v\" user:10\n"
		   "recv queue=\"g\" group:20\nadmin queue=\"h\" group:21\n"
		   "admin queue=\"*\" group:22\nadmin queue=\"*\" user:20\n"
		   "send queue=\"r\" user:root\nsend queue=\"s\" group:root\n");
	assert_int_equal(rights_file_user(&f, 10, groups, 3, now, &g, &why), RMQ_E_OK);
	assert_string_equal(g.name, "");
	assert_true(can(&g, RIGHTS_QUEUE, RIGHT_SEND, "u"));
	assert_true(can(&g, RIGHTS_QUEUE, RIGHT_SEND, "v"));
	assert_true(can(&g, RIGHTS_QUEUE, RIGHT_RECV, "g"));
	assert_true(can(&g, RIGHTS_QUEUE, RIGHT_ADMIN, "h"));
	assert_false(can(&g, RIGHTS_QUEUE, RIGHT_SEND, "x"));
	assert_int_equal(rights_file_user(&f, 10, groups, 0, now, &g, &why), RMQ_E_OK);
	assert_false(can(&g, RIGHTS_QUEUE, RIGHT_RECV, "g"));
	assert_int_equal(rights_file_user(&f, 11, groups, 1, now, &g, &why), RMQ_E_OK);
	assert_true(can(&g, RIGHTS_QUEUE, RIGHT_RECV, "g"));
	assert_false(can(&g, RIGHTS_QUEUE, RIGHT_ADMIN, "h"));
	assert_int_equal(rights_file_user(&f, 0, NULL, 0, now, &g, &why), RMQ_E_OK);
	assert_true(can(&g, RIGHTS_QUEUE, RIGHT_SEND, "r"));
	assert_false(can(&g, RIGHTS_QUEUE, RIGHT_SEND, "s"));
	rights_file_deinit(&f);
}

/* What a line of the file grants more or less is known of those whom it is for, and of no others. */
static void two_files_differ_for_whom_they_differ(void **state)
{
	static const char *const before =
	    "send queue=\"a\" KEY1 web\n"
	    "send queue=\"a\" KEY2 gone\n"
	    "send queue=\"a\" KEY3 name\n"
	    "send queue=\"a\" from=\"10.0.0.1\" KEY4 there\n"
	    "send queue=\"a\" expires=\"2027-01-02\" KEY5 longer\n"
	    "send queue=\"a\" expires=\"2026-01-02\" KEY6 over\n"
	    "send queue=\"a\" user:10\nsend queue=\"b\" group:20\n";
	static const char *const after = "# sorted anew\nsend queue=\"c\" group:20\n"
					 "send queue=\"a\" expires=\"2026-02-02\" KEY6 over\n"
					 "send queue=\"a\" KEY1 web\n"
					 "send queue=\"a\" KEY3 eman\n"
					 "send queue=\"a\" from=\"10.0.0.2\" KEY4 there\n"
					 "send queue=\"a\" expires=\"2027-01-03\" KEY5 longer\n"
					 "send queue=\"a\" user:10\n";
	static const bool same[] = {false, true, false, false, false, false, true, true};
	struct rights_file a = {.groups_len = 0}, b = {.groups_len = 0};
	struct sockaddr_storage s;
	gid_t group = 20;
	(void)state;
	parsed(&a, before);
	parsed(&b, after);
	address(&s, "10.0.0.1");
	for (uint8_t i = 1; i < sizeof(same); i++) {
		uint8_t key[KEY_SIZE];
		key_of(i, key);
		assert_int_equal(
		    rights_file_same_key(&a, &b, key, (struct sockaddr *)&s, now), same[i]);
		assert_true(rights_file_same_key(&a, &a, key, (struct sockaddr *)&s, now));
	}
	assert_true(rights_file_same_user(&a, &b, 10, NULL, 0, now));
	assert_false(rights_file_same_user(&a, &b, 10, &group, 1, now));
	assert_false(rights_file_same_user(&a, &b, 11, &group, 1, now));
	assert_true(rights_file_same_user(&a, &b, 11, NULL, 0, now));
	rights_file_deinit(&a);
	rights_file_deinit(&b);
}

/* Each is refused as line 2, with these words, and the file that was there stays in force. */
static const struct {
	const char *line, *says;
} bad[] = {
    {"sned queue=\"q\" KEY1 web", "'sned' is none of send, recv and admin"},
    {"send,recieve queue=\"q\" KEY1 web", "'recieve' is none of"},
    {"send, queue=\"q\" KEY1 web", "a verb is missing at a comma"},
    {"SEND queue=\"q\" KEY1 web", "'SEND' is none of"},
    {"queue=\"q\" send KEY1 web", "is none of send"},
    {"KEY1 web", "is none of send"},
    {"send", "who may do it is missing"},
    {"send queue=\"q\"", "who may do it is missing"},
    {"send KEY1 web", "must say what is meant"},
    {"send expires=\"2027-01-01\" KEY1 web", "must say what is meant"},
    {"send queue=q KEY1 web", "after queue= comes a value in quotation marks"},
    {"send queue=\"q KEY1 web", "after queue= comes a value in quotation marks"},
    {"send queue=\" KEY1 web", "after queue= comes a value in quotation marks"},
    {"send queue=\"q\"x KEY1 web", "after queue= comes a value in quotation marks"},
    {"send queue=\"q\",\"r\" KEY1 web", "after the closing quotation mark of queue="},
    {"send queue=\"q\"topic=\"q\" KEY1 web", "after the closing quotation mark of queue="},
    {"send queue= KEY1 web", "after queue= comes a value"},
    {"send queue=\"\" KEY1 web", "queue=: '': it is empty"},
    {"send queue=\"a,\" KEY1 web", "queue=: '': it is empty"},
    {"send queue=\"a b\" KEY1 web", "queue=: 'a b': it has characters"},
    {"send queue=\"a,!b\" KEY1 web", "queue=: '!b': it has characters"},
    {"send topic=\"a.#\" KEY1 web", "topic=: 'a.#': it has characters"},
    {"send queue=\"a\033b\" KEY1 web", "queue=: 'a?b': it has characters"},
    {"send queue=\"a\" queue=\"b\" KEY1 web", "queue= stands there twice"},
    {"send quque=\"a\" KEY1 web",
	"'quque=\"a\"' is neither queue=, topic=, kv=, from= or expires="},
    {"send queue=\"a\" web", "'web' is neither"},
    {"send queue=\"a\" rmq1:QUFB web", "'rmq1:QUFB' is not a public key"},
    {"send queue=\"a\" rmq2:QUFB web", "'rmq2:QUFB' is neither"},
    {"send queue=\"a\" KEY1", "a name for the client must follow its key"},
    {"send queue=\"a\" KEY1 -web", "'-web' cannot be a client's name"},
    {"send queue=\"a\" KEY1 web:1", "'web:1' cannot be a client's name"},
    {"send queue=\"a\" KEY1 a234567890123456789012345678901234567890123456789012345678901",
	"cannot be a client's name: at most 59 "},
    {"send queue=\"a\" KEY1 web server", "'server' is too much"},
    {"send queue=\"a\" user:10 web", "'web' is too much"},
    {"send queue=\"a\" user:10 # web", "a comment must have a line of its own"},
    {"send queue=\"a\" KEY1 web queue=\"b\"", "'queue=\"b\"' is too much"},
    {"send queue=\"a\" KEY0 www", "the key has the name 'first' in a line above"},
    {"send queue=\"a\" user:no-such-user-here", "there is no user 'no-such-user-here'"},
    {"send queue=\"a\" group:no-such-group", "there is no group 'no-such-group'"},
    {"send queue=\"a\" user:", "there is no user ''"},
    {"send queue=\"a\" user:-1", "there is no user '-1'"},
    {"send queue=\"a\" user:4294967295", "there is no user '4294967295'"},
    {"send queue=\"a\" user:4294967296", "there is no user '4294967296'"},
    {"send queue=\"a\" from=\"10.0.0.1\" user:10", "from= goes with keys only"},
    {"send queue=\"a\" from=\"\" KEY1 web", "from=: '' is not an IPv4 or IPv6 address"},
    {"send queue=\"a\" from=\"10.0.0\" KEY1 web", "from=: '10.0.0' is not an"},
    {"send queue=\"a\" from=\"host\" KEY1 web", "from=: 'host' is not an"},
    {"send queue=\"a\" from=\"fe80::1%eth0\" KEY1 web", "from=: 'fe80::1%eth0' is not an"},
    {"send queue=\"a\" from=\"::ffff:10.0.0.1\" KEY1 web", "is not an IPv4 or IPv6 address"},
    {"send queue=\"a\" from=\"10.0.0.0/33\" KEY1 web", "a number of bits, at most 32"},
    {"send queue=\"a\" from=\"::/129\" KEY1 web", "a number of bits, at most 128"},
    {"send queue=\"a\" from=\"::/\" KEY1 web", "a number of bits"},
    {"send queue=\"a\" from=\"10.1.2.3/8\" KEY1 web", "write 10.0.0.0/8 for that, or 10.1.2.3"},
    {"send queue=\"a\" from=\"2001:db8::1/32\" KEY1 web", "write 2001:db8::/32 for that"},
    {"send queue=\"a\" expires=\"\" KEY1 web", "expires=: '' is not a time"},
    {"send queue=\"a\" expires=\"tomorrow\" KEY1 web", "expires=: 'tomorrow' is not a time"},
    {"send queue=\"a\" expires=\"2027-02-29\" KEY1 web", "expires=: '2027-02-29' is not a"},
    {"send queue=\"a\" expires=\"2027-01-0123\" KEY1 web", "expires=: '2027-01-0123' is not"},
};

static uint16_t tag_of(const char *text)
{
	struct rights_file f = {.groups_len = 0};

	parsed(&f, text);
	uint16_t tag = rights_file_tag(&f);
	rights_file_deinit(&f);
	return tag;
}

static void files_with_the_same_lines_have_the_same_tag(void **state)
{
	const uint16_t tag = tag_of("send queue=\"q\" KEY1 a\nrecv queue=\"q\" user:0\n");

	(void)state;
	assert_int_equal(
	    tag_of("# b\n\n recv queue=\"q\" user:0 \nsend queue=\"q\" KEY1 a\n"), tag);
	assert_int_not_equal(tag_of("send queue=\"q\" KEY1 a\n"), tag);
	assert_int_not_equal(tag_of("send queue=\"q\" KEY2 a\nrecv queue=\"q\" user:0\n"), tag);
	assert_int_not_equal(tag_of("none\n"), 0);
}

static void a_bad_line_refuses_the_whole_file_and_says_why(void **state)
{
	struct rights_file f = {.groups_len = 0};
	struct rights_granted g;
	const char *why_not = NULL;
	(void)state;
	parsed(&f, "send queue=\"q\" KEY9 old\n");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct reason why = {""};
		char text[512];
		snprintf(text, sizeof(text), "send queue=\"q\" KEY0 first\n%s\n", bad[i].line);
		assert_int_equal(parse(&f, text, &why), RMQ_E_CONFIG);
		if (strncmp(why.text, "rights:2: ", 10) != 0 || !strstr(why.text, bad[i].says))
			fail_msg("%s: %s", bad[i].line, why.text);
		assert_int_equal(ask(&f, 9, "::1", &g, &why_not), RMQ_E_OK);
		assert_int_equal(ask(&f, 0, "::1", &g, &why_not), RMQ_E_DENIED);
	}
	rights_file_deinit(&f);
}

/* What is there while a file is written takes no rights away. */
static void a_file_that_is_cut_or_empty_is_refused(void **state)
{
	static const struct {
		const char *text, *says;
	} cut[] = {{"", "it grants nothing"}, {"\n", "it grants nothing"},
	    {"# who may do what\n", "it grants nothing"},
	    {"send queue=\"q\" KEY1 we", "does not end with a newline"},
	    {"send queue=\"q\" KEY1 web\n#", "does not end with a newline"},
	    {"none", "does not end with a newline"}};
	struct rights_file f = {.groups_len = 0};
	struct rights_granted g;
	const char *why_not = NULL;
	(void)state;
	parsed(&f, "send queue=\"q\" KEY9 old\n");
	for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
		struct reason why = {""};
		assert_int_equal(parse(&f, cut[i].text, &why), RMQ_E_CONFIG);
		if (strncmp(why.text, "rights: ", 8) != 0 || !strstr(why.text, cut[i].says))
			fail_msg("%s: %s", cut[i].text, why.text);
		assert_int_equal(ask(&f, 9, "::1", &g, &why_not), RMQ_E_OK);
	}
	/* But it can be meant. */
	parsed(&f, "# nobody, for now\n none\n");
	assert_int_equal(ask(&f, 9, "::1", &g, &why_not), RMQ_E_DENIED);
	rights_file_deinit(&f);
}

/* A list of 115 bytes for each line. */
static void add_long(char *text, size_t size, unsigned count, const char *format)
{
	static const char a[] = "a1234567890123456789012345678901234567890123456789"
				"a12345678901234567890123456789012345678901234567890123456789-";
	for (unsigned i = 0; i < count; i++) {
		size_t len = strlen(text);
		len += (size_t)snprintf(text + len, size - len, "send queue=\"%s\" ", a);
		len += (size_t)snprintf(text + len, size - len, format, i);
		assert_true(len < size);
	}
}

static void what_anybody_may_do_fits_a_list(void **state)
{
	static char text[1 << 16];
	struct rights_file f = {.groups_len = 0};
	struct reason why = {""};
	struct rights_granted g;
	const char *why_not = NULL;
	gid_t groups[40];
	(void)state;
	for (unsigned i = 0; i < 40; i++)
		groups[i] = i;
	add_long(text, sizeof(text), 35, "KEY1 web\n");
	parsed(&f, text);
	assert_int_equal(ask(&f, 1, "::1", &g, &why_not), RMQ_E_OK);
	assert_true(g.len > RIGHTS_MAX - 150);
	add_long(text, sizeof(text), 1, "KEY1 web\n");
	assert_int_equal(parse(&f, text, &why), RMQ_E_CONFIG);
	assert_string_equal(
	    why.text, "rights:36: the rights of the key are longer than 4096 bytes now: use *");
	/* Users need not share, groups must. */
	text[0] = '\0';
	add_long(text, sizeof(text), 40, "user:%u\n");
	add_long(text, sizeof(text), 34, "group:%u\n");
	parsed(&f, text);
	assert_int_equal(rights_file_user(&f, 7, groups, 40, now, &g, &why_not), RMQ_E_OK);
	assert_true(g.len > RIGHTS_MAX - 150);
	add_long(text, sizeof(text), 1, "user:7\n");
	assert_int_equal(parse(&f, text, &why), RMQ_E_CONFIG);
	assert_string_equal(why.text,
	    "rights:75: the rights of a user and all groups together are longer than 4096 bytes "
	    "now: use *");
	rights_file_deinit(&f);
}

static void a_file_is_read_from_the_disk(void **state)
{
	char path[] = "/tmp/rights.XXXXXX";
	struct rights_file f = {.groups_len = 0};
	struct rights_granted g;
	struct reason why = {""};
	const char *why_not = NULL, text[] = "send queue=\"q\" user:12\n";
	int fd = mkstemp(path);
	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	assert_int_equal(rights_file_read(&f, path, &why), RMQ_E_OK);
	assert_int_equal(rights_file_user(&f, 12, NULL, 0, now, &g, &why_not), RMQ_E_OK);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(rights_file_read(&f, path, &why), RMQ_E_CONFIG);
	assert_int_equal(rights_file_user(&f, 12, NULL, 0, now, &g, &why_not), RMQ_E_OK);
	/* Whoever can write to it may do everything. */
	assert_int_equal(fchmod(fd, 0664), 0);
	assert_int_equal(rights_file_read(&f, path, &why), RMQ_E_DENIED);
	assert_non_null(strstr(why.text, "mode is 0664: others can change it: chmod go-w"));
	close(fd);
	unlink(path);
	assert_int_equal(rights_file_read(&f, path, &why), RMQ_E_CONFIG);
	assert_int_equal(rights_file_user(&f, 12, NULL, 0, now, &g, &why_not), RMQ_E_OK);
	rights_file_deinit(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_key_may_do_what_its_lines_say),
	    cmocka_unit_test(what_is_not_in_the_file_is_denied),
	    cmocka_unit_test(an_address_must_be_of_a_network_that_the_line_names),
	    cmocka_unit_test(rights_end_at_their_time_and_not_before),
	    cmocka_unit_test(a_user_has_the_rights_of_all_its_groups),
	    cmocka_unit_test(two_files_differ_for_whom_they_differ),
	    cmocka_unit_test(files_with_the_same_lines_have_the_same_tag),
	    cmocka_unit_test(a_bad_line_refuses_the_whole_file_and_says_why),
	    cmocka_unit_test(a_file_that_is_cut_or_empty_is_refused),
	    cmocka_unit_test(what_anybody_may_do_fits_a_list),
	    cmocka_unit_test(a_file_is_read_from_the_disk),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
