/* A client's stream over a link to a gate, which is played here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "core/link/client_link.h"

#define IN_MAX	 (256u << 10)
#define MUCH_MAX (1u << 20)

static struct client_link client;
static struct link gate;
static struct client_link_in in;
static uint8_t *memory, *much;
static uint8_t record[CLIENT_LINK_RECORD_MAX];
static char told[128]; /* names of contacts */

static void on_contacts(void *arg, struct slice contacts)
{
	struct reader r = reader_of(contacts);
	struct gate_contact m;
	assert_ptr_equal(arg, told);
	while (reader_left(&r) > 0) {
		gate_contact_get(&r, &m);
		assert_false(r.bad);
		strncat(told, (const char *)m.name.data, m.name.len);
	}
}

static bool known(void *context, enum link_role role, const uint8_t key[KEY_SIZE])
{
	(void)context, (void)key;
	return role == LINK_CLIENT;
}

static void pass(struct link *to, struct writer *from, struct writer *answer)
{
	struct writer plain = writer_of(much, MUCH_MAX);
	size_t used;
	assert_int_equal(
	    link_receive(to, slice_of(from->p, from->len), &used, &plain, answer), RMQ_E_OK);
	assert_int_equal(used, from->len);
	from->len = 0;
}

static int setup(void **state)
{
	uint8_t bytes[2][256], secrets[2][KEY_SIZE] = {{0, 'g', 2}, {0, 'c', 2}};
	struct writer sent[2] = {
	    writer_of(bytes[0], sizeof(bytes[0])), writer_of(bytes[1], sizeof(bytes[1]))};
	struct keypair pairs[2];
	(void)state;
	memory = malloc(CLIENT_LINK_HEAD + IN_MAX);
	much = malloc(MUCH_MAX);
	in = (struct client_link_in){memory + CLIENT_LINK_HEAD, IN_MAX, 0, 0};
	told[0] = '\0';
	for (int i = 0; i < 2; i++) {
		memcpy(pairs[i].secret, secrets[i], KEY_SIZE);
		assert_true(key_public(secrets[i], pairs[i].key));
	}
	struct link_identity id = {.role = LINK_CLIENT,
	    .cluster = slice_str(""),
	    .responder = slice_str("n1"),
	    .own = &pairs[1],
	    .ephemeral = (const uint8_t[KEY_SIZE]){0, 'c', 1}};
	assert_int_equal(
	    client_link_begin(&client, &id, pairs[0].key, &sent[1], on_contacts, told),
	    RMQ_E_OK);
	assert_false(client_link_up(&client));
	id.own = &pairs[0];
	id.ephemeral = (const uint8_t[KEY_SIZE]){0, 'g', 1};
	assert_int_equal(link_respond(&gate, &id, known, NULL), RMQ_E_OK);
	sent[1].p += LINK_ROLE_SIZE;
	sent[1].len -= LINK_ROLE_SIZE;
	pass(&gate, &sent[1], &sent[0]);
	pass(&client.link, &sent[0], &sent[1]);
	pass(&gate, &sent[1], &sent[0]);
	assert_true(client_link_up(&client));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(memory);
	free(much);
	return 0;
}

/* The gate says these bytes, so many in a record. */
static enum rmq_error say(struct slice said, size_t piece)
{
	struct writer none = writer_of(NULL, 0);
	enum rmq_error err = RMQ_E_OK;
	size_t used;
	while (said.len > 0 && !err) {
		size_t len = said.len < piece ? said.len : piece;
		struct writer w = writer_of(record, sizeof(record));
		assert_int_equal(link_send(&gate, slice_of(said.data, len), &w), RMQ_E_OK);
		assert_true(client_link_room(&in));
		err = client_link_receive(&client, slice_of(w.p, w.len), &used, &in, &none);
		assert_true(err || used == w.len);
		said = slice_of(said.data + len, said.len - len);
	}
	return err;
}

static struct writer made;
#define FRAME(name, ...) \
	(made = writer_of(much, MUCH_MAX), \
	    gate_put_##name(&made, &(struct gate_##name){__VA_ARGS__}), \
	    slice_of(made.p, made.len))

/* What the client sends of so many bytes, as the gate gets it: in `much`. */
static struct slice sent(size_t waiting, size_t len)
{
	static uint8_t said[2][GATE_WINDOW];
	const struct slice pieces[] = {{said[0], len / 3}, {said[1], len - len / 3}};
	size_t taken, size, used;
	memset(said, 'x', sizeof(said));
	assert_int_equal(
	    client_link_seal(&client, pieces, 2, waiting, record, &taken, &size), RMQ_E_OK);
	assert_int_equal(taken, len);
	struct writer w = writer_of(much, MUCH_MAX), none = writer_of(NULL, 0);
	if (size > 0)
		assert_int_equal(
		    link_receive(&gate, slice_of(record, size), &used, &w, &none), RMQ_E_OK);
	return slice_of(w.p, w.len);
}

/* What it would take of more than it may. */
static size_t may_send(void)
{
	static const uint8_t said[2 * GATE_WINDOW];
	const struct slice all = {said, sizeof(said)};
	struct client_link copy = client;
	size_t taken, size;
	assert_int_equal(
	    client_link_seal(&copy, &all, 1, GATE_WINDOW, record, &taken, &size), RMQ_E_OK);
	client_link_deinit(&copy);
	return taken;
}

static void a_stream_arrives_whatever_records_it_comes_in(void **state)
{
	static const size_t pieces[] = {1, 7, 12, 13, 1000, LINK_DATA_MAX};
	(void)state;
	uint8_t *said = malloc(MUCH_MAX), next = 0;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		struct writer w = writer_of(said, MUCH_MAX);
		size_t total = 0;
		for (size_t len = 0; len < 60; len++) {
			uint8_t bytes[60];
			for (size_t k = 0; k < len; k++)
				bytes[k] = (uint8_t)(next + total + k);
			gate_put_data(&w, &(struct gate_data){1, slice_of(bytes, len)});
			gate_put_credit(&w, &(struct gate_credit){1, 1});
			total += len;
		}
		assert_int_equal(say(slice_of(w.p, w.len), pieces[i]), RMQ_E_OK);
		assert_int_equal(in.data, total);
		assert_int_equal(in.end, in.data);
		for (size_t k = 0; k < total; k++)
			assert_int_equal(in.bytes[k], (uint8_t)(next + k));
		next = (uint8_t)(next + total);
		in.data = in.end = 0;
		(void)sent(0, 0);
	}
	free(said);
}

static void what_is_not_taken_yet_stays_as_it_is(void **state)
{
	(void)state;
	assert_int_equal(say(FRAME(data, 1, slice_str("abcdefghijklmnop")), 1000), RMQ_E_OK);
	assert_int_equal(say(FRAME(data, 1, slice_str("qrst")), 1000), RMQ_E_OK);
	assert_int_equal(say(FRAME(data, 1, slice_str("uvw")), 2), RMQ_E_OK);
	assert_int_equal(in.data, 23);
	assert_memory_equal(in.bytes, "abcdefghijklmnopqrstuvw", 23);
}

static void the_first_record_opens_the_stream_and_gives_the_window(void **state)
{
	struct frame f;
	struct gate_open open;
	struct gate_credit credit;
	struct gate_data data;
	size_t used;
	(void)state;
	struct slice s = sent(0, 5);
	assert_int_equal(frame_parse(s, &f, &used), RMQ_E_OK);
	assert_int_equal(f.type, GATE_TYPE_OPEN);
	assert_true(gate_open_decode(f.payload, &open));
	assert_int_equal(open.stream, 1);
	assert_int_equal(open.version, GATE_VERSION);
	s = slice_of(s.data + used, s.len - used);
	assert_int_equal(frame_parse(s, &f, &used), RMQ_E_OK);
	assert_int_equal(f.type, GATE_TYPE_CREDIT);
	assert_true(gate_credit_decode(f.payload, &credit));
	assert_int_equal(credit.bytes, GATE_WINDOW - GATE_WINDOW_FIRST);
	s = slice_of(s.data + used, s.len - used);
	assert_int_equal(frame_parse(s, &f, &used), RMQ_E_OK);
	assert_int_equal(f.type, GATE_TYPE_DATA);
	assert_true(gate_data_decode(f.payload, &data));
	assert_true(slice_eq(data.bytes, slice_str("xxxxx")));
	assert_int_equal(used, s.len);
	assert_int_equal(sent(0, 0).len, 0);
}

static void bytes_are_sent_against_credit_only(void **state)
{
	(void)state;
	(void)sent(0, GATE_WINDOW_FIRST);
	assert_int_equal(may_send(), 0);
	assert_int_equal(say(FRAME(credit, 1, 100), 1000), RMQ_E_OK);
	assert_int_equal(may_send(), 100);
	assert_int_equal(say(FRAME(credit, 1, GATE_WINDOW - 100), 1000), RMQ_E_OK);
	assert_int_equal(may_send(), GATE_DATA_MAX);
	assert_int_equal(say(FRAME(credit, 1, 1), 1000), RMQ_E_PROTOCOL);
}

static void credit_is_given_for_what_was_taken(void **state)
{
	(void)state;
	(void)sent(0, 0);
	memset(much, 'y', 64000);
	uint8_t *said = malloc(64000);
	memset(said, 'y', 64000);
	for (int i = 0; i < 3; i++)
		assert_int_equal(say(FRAME(data, 1, slice_of(said, 64000)), 65000), RMQ_E_OK);
	assert_int_equal(in.data, 192000);
	assert_int_equal(sent(in.data, 0).len, 0);
	/* It goes along with what is said anyway, or alone when there is more of it. */
	assert_int_equal(sent(192000 - 65000, 0).len, 0);
	assert_int_equal(sent(0, 0).len, FRAME_HEADER_SIZE + 8);
	in.data = in.end = 0;
	for (int i = 0; i < 2; i++)
		assert_int_equal(say(FRAME(data, 1, slice_of(said, 64000)), 65000), RMQ_E_OK);
	assert_int_equal(sent(128000 - 66000, 0).len, 0);
	assert_int_equal(
	    sent(128000 - 66000, 1).len, FRAME_HEADER_SIZE + 8 + GATE_DATA_HEAD + 1);
	free(said);
}

static void more_than_there_is_credit_for_is_refused(void **state)
{
	uint8_t bytes[GATE_WINDOW_FIRST + 1] = {0};
	(void)state;
	assert_int_equal(
	    say(FRAME(data, 1, slice_of(bytes, sizeof(bytes))), LINK_DATA_MAX), RMQ_E_PROTOCOL);
	assert_int_equal(client.link.noise.state, NOISE_FAILED);
}

static void streams_other_than_ours_are_refused(void **state)
{
	(void)state;
	assert_int_equal(say(FRAME(data, 2, slice_str("x")), 1000), RMQ_E_PROTOCOL);
}

static struct slice contacts(uint8_t *bytes, size_t cap, unsigned count)
{
	struct writer w = writer_of(bytes, cap);
	for (unsigned i = 0; i < count; i++)
		gate_contact_encode(&w, &(struct gate_contact){slice_str("192.0.2.1:7411"),
					    slice_str(i ? "n2" : "n1"), slice_str("key")});
	assert_false(w.full);
	return slice_of(w.p, w.len);
}

/* The frame at *at of what was sent, or no frame. */
static unsigned sent_type(struct slice s, size_t *at, struct frame *f)
{
	size_t used;
	if (*at == s.len)
		return 0;
	assert_int_equal(frame_parse(slice_of(s.data + *at, s.len - *at), f, &used), RMQ_E_OK);
	*at += used;
	return f->type;
}

static void assert_next_opens(uint32_t stream)
{
	struct frame f;
	struct gate_open open;
	struct gate_credit credit;
	struct gate_data data;
	size_t at = 0;
	client_link_next(&client);
	struct slice s = sent(0, 3);
	assert_int_equal(sent_type(s, &at, &f), GATE_TYPE_OPEN);
	assert_true(gate_open_decode(f.payload, &open));
	assert_int_equal(open.stream, stream);
	assert_int_equal(sent_type(s, &at, &f), GATE_TYPE_CREDIT);
	assert_true(gate_credit_decode(f.payload, &credit));
	assert_int_equal(credit.stream, stream);
	assert_int_equal(credit.bytes, GATE_WINDOW - GATE_WINDOW_FIRST);
	assert_int_equal(sent_type(s, &at, &f), GATE_TYPE_DATA);
	assert_true(gate_data_decode(f.payload, &data));
	assert_int_equal(data.stream, stream);
	assert_int_equal(at, s.len);
	assert_int_equal(may_send(), GATE_WINDOW_FIRST - 3);
}

static void after_a_stream_the_next_one_begins_on_the_same_link(void **state)
{
	(void)state;
	(void)sent(0, GATE_WINDOW_FIRST);
	assert_int_equal(say(FRAME(data, 1, slice_str("abc")), 1000), RMQ_E_OK);
	assert_int_equal(say(FRAME(close, 1, RMQ_E_NO_DAEMON), 1000), RMQ_E_OK);
	assert_true(client.over);
	assert_int_equal(in.data, 3);
	/* The link is still listened to. */
	uint8_t bytes[200];
	assert_int_equal(
	    say(FRAME(contacts, NO_TAGS, contacts(bytes, sizeof(bytes), 2)), 5), RMQ_E_OK);
	assert_string_equal(told, "n1n2");
	client_link_in_drop(&in);
	assert_next_opens(2);
	assert_int_equal(client.code, RMQ_E_OK);
	assert_int_equal(say(FRAME(data, 2, slice_str("xy")), 1000), RMQ_E_OK);
	assert_int_equal(in.data, 2);
	assert_memory_equal(in.bytes, "xy", 2);
	assert_int_equal(say(FRAME(data, 3, slice_str("z")), 1000), RMQ_E_PROTOCOL);
}

static void what_comes_of_a_stream_that_was_left_is_dropped(void **state)
{
	uint8_t bytes[CLIENT_LINK_CLOSE_SIZE];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct writer plain = writer_of(much, MUCH_MAX), none = writer_of(NULL, 0);
	struct gate_close m;
	struct frame f;
	size_t used, at = 0;
	(void)state;
	(void)sent(0, 1);
	/* In the middle of a DATA. */
	struct slice s = FRAME(data, 1, slice_str("abcdefgh"));
	assert_int_equal(say(slice_of(s.data, s.len - 5), 1000), RMQ_E_OK);
	assert_int_equal(in.data, 3);
	plain = writer_of(malloc(MUCH_MAX), MUCH_MAX);
	assert_int_equal(client_link_leave(&client, &w), RMQ_E_OK);
	assert_int_equal(
	    link_receive(&gate, slice_of(w.p, w.len), &used, &plain, &none), RMQ_E_OK);
	assert_int_equal(sent_type(slice_of(plain.p, plain.len), &at, &f), GATE_TYPE_CLOSE);
	assert_true(gate_close_decode(f.payload, &m));
	assert_int_equal(m.stream, 1);
	free(plain.p);
	client_link_in_drop(&in);
	assert_int_equal(say(slice_of(s.data + s.len - 5, 5), 2), RMQ_E_OK);
	assert_int_equal(in.data, 0);
	assert_next_opens(2);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(say(FRAME(data, 1, slice_str("old")), 4), RMQ_E_OK);
		assert_int_equal(say(FRAME(credit, 1, GATE_WINDOW), 1000), RMQ_E_OK);
		assert_int_equal(say(FRAME(data, 2, slice_str("new")), 4), RMQ_E_OK);
	}
	assert_int_equal(say(FRAME(close, 1, RMQ_E_OK), 1000), RMQ_E_OK);
	assert_int_equal(may_send(), GATE_WINDOW_FIRST - 3);
	assert_false(client.over);
	assert_int_equal(in.data, 9);
	assert_memory_equal(in.bytes, "newnewnew", 9);
	assert_int_equal(say(FRAME(data, 0, slice_str("z")), 1000), RMQ_E_PROTOCOL);
}

static void a_gate_opens_no_stream(void **state)
{
	(void)state;
	assert_int_equal(say(FRAME(open, 2, GATE_VERSION, 0, NO_TAGS), 1000), RMQ_E_PROTOCOL);
}

static void contacts_are_told_whole(void **state)
{
	uint8_t bytes[200];
	(void)state;
	assert_int_equal(say(FRAME(data, 1, slice_str("abc")), 1000), RMQ_E_OK);
	assert_int_equal(
	    say(FRAME(contacts, NO_TAGS, contacts(bytes, sizeof(bytes), 2)), 5), RMQ_E_OK);
	assert_string_equal(told, "n1n2");
	assert_int_equal(in.data, 3);
	assert_int_equal(in.end, 3);
	assert_memory_equal(in.bytes, "abc", 3);
}

static void no_frame_makes_us_keep_more_than_its_limit(void **state)
{
	(void)state;
	uint8_t *bytes = calloc(1, CLIENT_LINK_FRAME_MAX);
	struct slice s = FRAME(contacts, NO_TAGS, slice_of(bytes, CLIENT_LINK_FRAME_MAX - 9));
	assert_int_equal(say(slice_of(s.data, 7), 1000), RMQ_E_OK);
	assert_int_equal(say(slice_of(s.data + 7, 1), 1000), RMQ_E_PROTOCOL);
	free(bytes);
}

static void close_is_told_with_its_code_and_what_came_before(void **state)
{
	(void)state;
	assert_int_equal(say(FRAME(data, 1, slice_str("abc")), 1000), RMQ_E_OK);
	assert_int_equal(say(FRAME(close, 1, RMQ_E_LIMIT), 3), RMQ_E_OK);
	assert_true(client.over);
	assert_int_equal(client.code, RMQ_E_LIMIT);
	assert_int_equal(in.data, 3);
}

static void the_end_is_said_in_the_stream_and_on_the_link(void **state)
{
	uint8_t bytes[CLIENT_LINK_CLOSE_SIZE];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct writer plain = writer_of(much, MUCH_MAX), none = writer_of(NULL, 0);
	size_t used, at = 0;
	(void)state;
	(void)sent(0, 1);
	assert_int_equal(client_link_close(&client, &w), RMQ_E_OK);
	for (; at < w.len; at += used)
		assert_int_equal(
		    link_receive(&gate, slice_of(w.p + at, w.len - at), &used, &plain, &none),
		    RMQ_E_OK);
	assert_true(link_ended(&gate));
	assert_int_equal(plain.len, FRAME_HEADER_SIZE + 5);
	assert_int_equal(plain.p[4], GATE_TYPE_CLOSE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {TEST(a_stream_arrives_whatever_records_it_comes_in),
	    TEST(what_is_not_taken_yet_stays_as_it_is),
	    TEST(the_first_record_opens_the_stream_and_gives_the_window),
	    TEST(bytes_are_sent_against_credit_only), TEST(credit_is_given_for_what_was_taken),
	    TEST(more_than_there_is_credit_for_is_refused),
	    TEST(streams_other_than_ours_are_refused),
	    TEST(after_a_stream_the_next_one_begins_on_the_same_link),
	    TEST(what_comes_of_a_stream_that_was_left_is_dropped), TEST(a_gate_opens_no_stream),
	    TEST(contacts_are_told_whole), TEST(no_frame_makes_us_keep_more_than_its_limit),
	    TEST(close_is_told_with_its_code_and_what_came_before),
	    TEST(the_end_is_said_in_the_stream_and_on_the_link)};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
