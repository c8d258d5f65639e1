/*
 * Files of rights.  What is accepted gives lists that the queue daemon takes, to nobody whom no line
 * names, nothing that a time says is over; what is refused says in which line.
 */
#include "fuzz.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "core/base/name.h"
#include "sys/net/rights_file.h"

#define INPUT_MAX (64u << 10)
#define KEYS	  3 /* and one that is in no seed */

static const uint8_t *key_of(unsigned n)
{
	static uint8_t keys[KEYS + 1][KEY_SIZE];
	const uint8_t secret[KEY_SIZE] = {1, (uint8_t)n};
	bool made = keys[n][0] || key_public(secret, keys[n]);
	assert(made);
	(void)made;
	return keys[n];
}

static void check_answer(enum rmq_error err, const struct rights_granted *g,
    const struct wall_time now, const char *why)
{
	assert(err == RMQ_E_OK || err == RMQ_E_DENIED);
	assert((err == RMQ_E_OK) == (g->len > 0));
	assert(!err || *why);
	assert(rights_valid(rights_granted_list(g)));
	assert(g->until.ms > now.ms);
}

static void ask(const struct rights_file *f, struct wall_time now)
{
	static const struct in_addr v4 = {0x0100000a}; /* 10.0.0.1, or so */
	const gid_t groups[] = {20, 21, 20};
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr = v4};
	struct sockaddr_in6 from6 = {.sin6_family = AF_INET6};
	struct rights_granted g;
	const char *why = "";
	for (unsigned i = 0; i <= KEYS; i++) {
		const uint8_t *key = key_of(i);
		bool knows = rights_file_knows(f, key);
		enum rmq_error err =
		    rights_file_key(f, key, (struct sockaddr *)&from, now, &g, &why);
		check_answer(err, &g, now, why);
		assert(err || (knows && name_valid_node(slice_str(g.name))));
		err = rights_file_key(f, key, (struct sockaddr *)&from6, now, &g, &why);
		check_answer(err, &g, now, why);
		assert(rights_file_same_key(f, f, key, (struct sockaddr *)&from6, now));
	}
	for (uid_t uid = 9; uid < 12; uid++) {
		enum rmq_error err = rights_file_user(f, uid, groups, 3, now, &g, &why);
		check_answer(err, &g, now, why);
		assert(!g.name[0]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rights_file f = {.groups_len = 0};
	struct reason why = {""};
	if (size > INPUT_MAX)
		return 0;
	enum rmq_error err = rights_file_parse(&f, slice_of(data, size), "f", &why);
	assert(err == RMQ_E_OK || (err == RMQ_E_CONFIG && strncmp(why.text, "f:", 2) == 0));
	assert(!err || RB_EMPTY(&f.all));
	ask(&f, (struct wall_time){1798761600000});
	ask(&f, (struct wall_time){0});
	rights_file_deinit(&f);
	return 0;
}

/* The text with each "KEY0" to "KEY2" as that key's word. */
static void add_text(fuzz_add *add, const char *text)
{
	char out[4096];
	size_t len = 0;
	while (*text) {
		assert(len + KEY_TEXT_SIZE < sizeof(out));
		if (strncmp(text, "KEY", 3) == 0) {
			key_print(key_of((unsigned)(text[3] - '0')), out + len);
			len += strlen(out + len);
			text += 4;
		} else {
			out[len++] = *text++;
		}
	}
	add(out, len);
}

void fuzz_seeds(fuzz_add *add)
{
	add_text(add, "# who\nsend queue=\"jobs.*,mail\" KEY0 web\n"
		      "send,recv topic=\"l?gs.*\" expires=\"2027-01-01T12:00:00Z\" KEY0 web\n"
		      "admin queue=\"*\" from=\"10.0.0.0/8,::1\" KEY1 ops\r\n");
	add_text(add, "recv queue=\"a\" expires=\"2027-01-01\" from=\"0.0.0.0/0\" KEY2 worker\n"
		      "recv queue=\"b\" expires=\"@1798761601\" from=\"::/0\" KEY2 worker\n");
	add_text(add, "send queue=\"u\" user:10\nrecv queue=\"g\" group:20\n"
		      "admin topic=\"g.*\" queue=\"x\" group:21\nsend queue=\"r\" user:root\n");
}
