/* The client core against frames made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/client/client.h"

#define NOW(x) ((struct mono_time){x})

/* What happened, as a text. */
static char story[8192];
static enum client_verdict verdict;
static uint32_t remove_from, remove_count;
static struct client *client;

static void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void tell(const char *format, ...)
{
	va_list ap;
	size_t len = strlen(story);
	va_start(ap, format);
	vsnprintf(story + len, sizeof(story) - len, format, ap);
	va_end(ap);
}

#define assert_story(text) \
	do { \
		assert_string_equal(story, text); \
		story[0] = 0; \
	} while (0)

static void on_sent(
    void *arg, const struct client_command *cmd, uint64_t first_seq, uint32_t count)
{
	(void)arg;
	tell("sent %s at %d x%d; ", (const char *)cmd->tag, (int)first_seq, (int)count);
}

static void on_done(void *arg, const struct client_command *cmd, struct slice stale)
{
	(void)arg;
	tell("done %s stale %d; ", cmd->tag ? (const char *)cmd->tag : "?",
	    (int)(stale.len / SETTLE_ENTRY_SIZE));
}

static void on_settle_sent(void *arg, const struct client_command *cmd, uint64_t first_seq,
    uint32_t count, struct slice stale)
{
	on_sent(arg, cmd, first_seq, count);
	on_done(arg, cmd, stale);
}

static bool on_split(void *arg, const struct client_command *cmd, uint32_t at, void **tag)
{
	(void)arg, (void)cmd, (void)at;
	*tag = (char *)(uintptr_t) "first part";
	return true;
}

static void on_known(void *arg, const struct client_command *cmd, uint32_t at, uint32_t count,
    struct slice numbers)
{
	(void)arg;
	struct reader r = reader_of(numbers);
	tell("known %s %d x%d:", (const char *)cmd->tag, (int)at, (int)count);
	while (reader_left(&r) > 0) {
		struct seq_range e = seq_range_get(&r);
		tell(" %d x%d", (int)e.first, (int)e.count);
	}
	tell("; ");
}

static enum client_verdict on_failed(void *arg, const struct client_command *cmd,
    enum rmq_error code, uint32_t at, struct slice text)
{
	(void)arg, (void)text;
	tell("failed %s %d at %d; ", (const char *)cmd->tag, code, (int)at);
	if (remove_count && verdict == CLIENT_LAST)
		client_cut(client, cmd, remove_from);
	else if (remove_count)
		client_remove(client, cmd, remove_from, remove_count);
	return verdict;
}

/* What is done about a refusal from now on. */
static void on_failed_remove(enum client_verdict what, uint32_t from, uint32_t count)
{
	verdict = what;
	remove_from = from;
	remove_count = count;
}

static void on_deliver(void *arg, const struct client_delivery *d)
{
	(void)arg;
	for (uint32_t i = 0; i < d->count; i++) {
		struct slice body = client_body(d, i);
		tell("%d:%d=%.*s; ", (int)(d->first_seq + i), (int)d->lease,
		    body.len < 20 ? (int)body.len : 20, (const char *)body.data);
		if (client_attribute(d, ATTRIBUTE_REPLY_TOPIC, i, &body))
			tell("to %.*s; ", (int)body.len, (const char *)body.data);
	}
}

static void on_lease_ended(
    void *arg, uint32_t sub, enum lease_end why, uint64_t lease, uint64_t first, uint32_t count)
{
	(void)arg, (void)sub;
	tell("ended %d %d:%d x%d; ", why, (int)first, (int)lease, (int)count);
}

static void on_unsubscribed(void *arg, uint32_t sub)
{
	(void)arg;
	tell("unsubscribed %d; ", (int)sub);
}

static void on_listed(void *arg, const struct wire_listed *row)
{
	(void)arg;
	tell("row %.*s; ", (int)row->queue.len, (const char *)row->queue.data);
}

static void on_list_end(void *arg, uint32_t req, bool more)
{
	(void)arg, (void)req;
	tell("end %d; ", more);
}

static char fatal_text[256];

static void on_fatal(void *arg, enum rmq_error code, struct slice text)
{
	(void)arg;
	(void)snprintf(
	    fatal_text, sizeof(fatal_text), "%.*s", (int)text.len, (const char *)text.data);
	tell("fatal %d; ", code);
}

static void on_cells_are(void *arg, uint32_t req, struct slice self, struct slice list)
{
	(void)arg, (void)req;
	tell("cells %d %d; ", (int)self.len, (int)list.len);
}

static const struct client_host host = {.sent = on_sent,
    .done = on_done,
    .settle_sent = on_settle_sent,
    .failed = on_failed,
    .known = on_known,
    .split = on_split,
    .deliver = on_deliver,
    .lease_ended = on_lease_ended,
    .unsubscribed = on_unsubscribed,
    .listed = on_listed,
    .list_end = on_list_end,
    .cells_are = on_cells_are,
    .fatal = on_fatal};

static uint64_t features; /* of the daemon */

static int setup(void **state)
{
	(void)state;
	struct client_config config = {
	    .servers = 1, .window = 16, .timeout_ms = 30000, .seed = 7};
	client = client_new(&config, &host);
	features = 0;
	story[0] = 0;
	verdict = CLIENT_DROP;
	remove_count = 0;
	return client == NULL;
}

static int teardown(void **state)
{
	(void)state;
	client_free(client);
	return 0;
}

static void setup_config(const struct client_config *config)
{
	client_free(client);
	client = client_new(config, &host);
	assert_non_null(client);
}

/* Writes what the client has to say and tells it, frame by frame. */
static uint8_t wire[1 << 20];
static void expect_frames(uint64_t now, const char *text)
{
	struct slice pieces[CLIENT_PIECES];
	size_t len = 0, used, count;
	char out[8192] = "";
	while ((count = client_output(client, NOW(now), pieces, CLIENT_PIECES)) > 0) {
		for (size_t i = 0; i < count; i++) {
			memcpy(wire + len, pieces[i].data, pieces[i].len);
			len += pieces[i].len;
			client_wrote(client, pieces[i].len);
		}
	}
	for (size_t at = 0; at < len; at += used) {
		struct frame f;
		assert_int_equal(frame_parse(slice_of(wire + at, len - at), &f, &used), 0);
		assert_true(used > 0);
		size_t n = strlen(out);
		n += (size_t)snprintf(out + n, sizeof(out) - n, "%s", wire_name(f.type));
		if (f.type == WIRE_TYPE_SEND) {
			struct wire_send m;
			assert_true(wire_send_decode(f.payload, &m));
			n += (size_t)snprintf(
			    out + n, sizeof(out) - n, "#%d/%d", (int)m.n, (int)m.answered);
			if (m.flags & SEND_CHUNK)
				n += (size_t)snprintf(out + n, sizeof(out) - n, "[%d%s]",
				    (int)m.part, m.flags & SEND_MORE ? "+" : "");
		} else if (f.type == WIRE_TYPE_SETTLE_SEND) {
			struct wire_settle_send m;
			assert_true(wire_settle_send_decode(f.payload, &m));
			n += (size_t)snprintf(out + n, sizeof(out) - n, "#%d/%d(%.*s,%.*s,%d)",
			    (int)m.n, (int)m.answered, (int)m.queue.len,
			    (const char *)m.queue.data, (int)m.target.len,
			    (const char *)m.target.data, (int)m.data.len);
		} else if (f.type == WIRE_TYPE_SETTLE) {
			struct wire_settle m;
			assert_true(wire_settle_decode(f.payload, &m));
			n += (size_t)snprintf(
			    out + n, sizeof(out) - n, "#%d/%d", (int)m.n, (int)m.answered);
		} else if (f.type == WIRE_TYPE_HELLO) {
			struct wire_hello m;
			struct slice token;
			assert_true(wire_hello_decode(f.payload, &m));
			/* The session's own, and none for a new one; see welcome(). */
			bool has = tags_find(m.tags, HELLO_TAG_TOKEN, &token);
			assert_int_equal(has, m.session != 0);
			for (size_t i = 0; has && i < SESSION_TOKEN_SIZE; i++)
				assert_int_equal(token.data[i], m.session);
			n += (size_t)snprintf(out + n, sizeof(out) - n, "(%d,%d)",
			    (int)m.session, (int)m.answered);
		} else if (f.type == WIRE_TYPE_CREDIT) {
			struct wire_credit m;
			assert_true(wire_credit_decode(f.payload, &m));
			n += (size_t)snprintf(
			    out + n, sizeof(out) - n, "(%d,%d)", (int)m.messages, (int)m.bytes);
		} else if (f.type == WIRE_TYPE_LIST) {
			struct wire_list m;
			assert_true(wire_list_decode(f.payload, &m));
			n += (size_t)snprintf(out + n, sizeof(out) - n, "(%.*s,%d)",
			    (int)m.after.len, (const char *)m.after.data, (int)m.limit);
		} else if (f.type == WIRE_TYPE_KV_READ) {
			struct wire_kv_read m;
			assert_true(wire_kv_read_decode(f.payload, &m));
			n += (size_t)snprintf(
			    out + n, sizeof(out) - n, "(%d,%d)", (int)m.since, (int)m.known);
		}
		snprintf(out + n, sizeof(out) - n, " ");
	}
	assert_string_equal(out, text);
}

static void input(uint64_t now, const struct writer *w)
{
	size_t used;
	assert_false(w->full);
	client_input(client, NOW(now), slice_of(w->p, w->len), &used);
}

#define DAEMON(now, name, ...) \
	do { \
		static uint8_t bytes_[FRAME_PAYLOAD_MAX + 64]; \
		struct writer w_ = writer_of(bytes_, sizeof(bytes_)); \
		wire_put_##name(&w_, &(struct wire_##name){__VA_ARGS__}); \
		input(now, &w_); \
	} while (0)

static void connect_at(uint64_t now)
{
	struct client_target target;
	assert_true(client_connect(client, NOW(now), &target));
	client_connected(client, NOW(now), 0);
}

/* A token of which each byte is the session's number. */
static void welcome(uint64_t now, uint64_t session, uint64_t last)
{
	uint8_t token[SESSION_TOKEN_SIZE], list[4 + sizeof(token)];
	struct writer tags = writer_of(list, sizeof(list));
	memset(token, (int)session, sizeof(token));
	tags_put(&tags, WELCOME_TAG_TOKEN, slice_of(token, sizeof(token)));
	DAEMON(now, welcome, WIRE_VERSION, features, session, last, 0, 1 << 20,
	    slice_of(tags.p, tags.len));
	assert_true(client_welcomed(client));
}

/* The first connection. */
static void begin(uint64_t now)
{
	connect_at(now);
	expect_frames(now, "HELLO(0,0) ");
	welcome(now, 9, 0);
}

static void reconnect(uint64_t now, const char *hello, uint64_t last)
{
	client_disconnected(client, NOW(now));
	connect_at(now + 1000);
	expect_frames(now + 1000, hello);
	welcome(now + 1000, 9, last);
}

static void send_text(uint64_t now, const char *texts)
{
	struct sendbuf *b = sendbuf_new();
	for (const char *p = texts; *p; p++)
		assert_true(sendbuf_append(b, slice_of(p, 1), '\n'));
	char *tag = (char *)(uintptr_t)texts;
	client_send(client, NOW(now), slice_str("q"), 0, b, tag);
}

/* At 5, the SENDs with these texts are on their way. */
static void begin_one(const char *texts)
{
	send_text(5, texts);
	begin(5);
	expect_frames(5, "SEND#1/0 ");
}

static void begin_two(const char *first, const char *second)
{
	send_text(5, first);
	send_text(5, second);
	begin(5);
	expect_frames(5, "SEND#1/0 SEND#2/0 ");
}

/* At 6, message `at` of the first is refused, and so what is after it. */
static void refuse_two(enum rmq_error code, uint32_t at)
{
	DAEMON(6, failed, 1, (uint8_t)code, at, {0});
	DAEMON(6, failed, 2, RMQ_E_OUT_OF_ORDER, 0, {0});
}

static void delivery(
    uint64_t now, uint64_t lease, uint64_t first, uint64_t stamp, const char *texts)
{
	uint8_t data[256];
	size_t count = strlen(texts);
	struct writer w = writer_of(data, sizeof(data));
	for (size_t i = 0; i < count; i++)
		put_u16(&w, (uint16_t)(2 * (i + 1) + 100));
	for (size_t i = 0; i < count; i++) {
		put_u8(&w, (uint8_t)texts[i]);
		put_u8(&w, '\n');
	}
	DAEMON(now, deliver, 0, lease, first, 1, 0, 0, stamp, {0}, 100, (uint16_t)count,
	    NO_TAGS, slice_of(data, w.len));
}

static void settle(uint64_t now, enum settle_verb verb, uint8_t flags, uint64_t lease,
    uint64_t first, uint32_t count)
{
	struct client_settlement s = {
	    slice_str("q"), verb, flags, verb == VERB_TOUCH ? 3000 : 0, {0}, NULL};
	client_settle(client, NOW(now), &s, &(struct settle_entry){lease, first, count}, 1);
}

/* A subscription with a lease of 3 s and the credit given. */
static void subscribe(uint64_t now, uint32_t messages)
{
	assert_int_equal(client_subscribe(client, NOW(now), slice_str("q"), 0, 0), 0);
	client_credit(client, 0, messages, 1000);
	begin(now);
	char text[64];
	snprintf(text, sizeof(text), "SUBSCRIBE CREDIT(%d,1000) ", (int)messages);
	expect_frames(now, text);
	DAEMON(now, subscribed, 0, 3000);
}

static void sends_wait_for_welcome_and_are_numbered(void **state)
{
	(void)state;
	struct client_target target;
	assert_false(client_connect(client, NOW(5), &target));
	send_text(5, "ab");
	send_text(5, "c");
	begin(5);
	expect_frames(5, "SEND#1/0 SEND#2/0 ");
	DAEMON(6, sent, 1, 1, 2);
	DAEMON(6, sent, 2, 3, 1);
	assert_story("sent ab at 1 x2; sent c at 3 x1; ");
	send_text(7, "d");
	expect_frames(7, "SEND#3/2 ");
}

static void unanswered_commands_are_repeated_with_their_numbers(void **state)
{
	(void)state;
	send_text(5, "a");
	send_text(5, "b");
	send_text(5, "c");
	begin(5);
	expect_frames(5, "SEND#1/0 SEND#2/0 SEND#3/0 ");
	DAEMON(6, sent, 1, 1, 1);
	/* 2 was taken and its answer lost: it is repeated and answered again. */
	reconnect(6, "HELLO(9,1) ", 2);
	expect_frames(1006, "SEND#2/1 SEND#3/1 ");
	DAEMON(1007, sent, 2, 2, 1);
	DAEMON(1007, sent, 3, 3, 1);
	assert_story("sent a at 1 x1; sent b at 2 x1; sent c at 3 x1; ");
}

static void a_full_queue_is_waited_for_and_everything_behind_repeated(void **state)
{
	(void)state;
	begin_two("a", "b");
	refuse_two(RMQ_E_FULL, 0);
	assert_true(client_blocked(client));
	expect_frames(7, "");
	/* What goes after one that finds no room has gone in vain: it is tried alone. */
	DAEMON(8, room, 100);
	expect_frames(8, "SEND#1/0 ");
	DAEMON(9, failed, 1, RMQ_E_FULL, 0, {0});
	assert_true(client_due_ms(client, NOW(9)) <= 1000);
	client_tick(client, NOW(1010));
	expect_frames(1010, "SEND#1/0 ");
	DAEMON(1011, failed, 2, RMQ_E_OUT_OF_ORDER, 0, {0});
	DAEMON(1011, sent, 1, 1, 1);
	expect_frames(1011, "SEND#2/1 ");
	DAEMON(1011, sent, 2, 2, 1);
	assert_story("sent a at 1 x1; sent b at 2 x1; ");
	DAEMON(1012, room, 100);
	client_tick(client, NOW(1000000));
	assert_story("");
}

/* What is in flight, or may have been taken, stays; what was refused for want of room does not have to. */
static void only_a_send_that_was_not_taken_is_taken_back(void **state)
{
	(void)state;
	void *tag = NULL;
	send_text(5, "a");
	send_text(5, "b");
	begin(5);
	expect_frames(5, "SEND#1/0 SEND#2/0 ");
	send_text(5, "c");
	struct sendbuf *c = client_take_back(client, &tag);
	assert_non_null(c);
	sendbuf_free(c);
	assert_null(client_take_back(client, &tag));
	refuse_two(RMQ_E_FULL, 0);
	struct sendbuf *b = client_take_back(client, &tag), *a = client_take_back(client, &tag);
	assert_true(a && b);
	assert_null(client_take_back(client, &tag));
	assert_int_equal(client_unanswered(client), 0);
	sendbuf_free(a);
	sendbuf_free(b);
	/* The numbers go on where the daemon is. */
	send_text(7, "d");
	DAEMON(8, room, 100);
	expect_frames(8, "SEND#1/0 ");
	DAEMON(9, sent, 1, 1, 1);
	assert_story("sent d at 1 x1; ");
}

/* The numbers of daemon and client differ: no repeating mends that. */
static void out_of_order_in_answer_to_the_oldest_command_ends_it(void **state)
{
	(void)state;
	begin_two("a", "b");
	refuse_two(RMQ_E_FULL, 0);
	DAEMON(7, room, 100);
	expect_frames(7, "SEND#1/0 ");
	DAEMON(8, failed, 1, RMQ_E_OUT_OF_ORDER, 0, {0});
	assert_story("fatal 19; ");
}

static void a_full_queue_ends_it_after_the_timeout(void **state)
{
	(void)state;
	send_text(5, "a");
	begin(5);
	for (uint64_t t = 10; t < 30000; t += 1000) {
		client_tick(client, NOW(t));
		expect_frames(t, "SEND#1/0 ");
		DAEMON(t, failed, 1, RMQ_E_FULL, 0, {0});
		assert_story("");
	}
	client_tick(client, NOW(30005));
	assert_story("fatal 14; ");
}

/* It may hold messages, which are to be given back. */
static void a_receiver_is_refused_after_the_timeout_when_it_is_full(void **state)
{
	(void)state;
	(void)client_subscribe(client, NOW(1), slice_str("in"), 0, 0);
	send_text(5, "a");
	begin(5);
	expect_frames(5, "SEND#1/0 SUBSCRIBE ");
	DAEMON(6, failed, 1, RMQ_E_FULL, 0, {0});
	client_tick(client, NOW(29000));
	expect_frames(29000, "SEND#1/0 ");
	DAEMON(29001, failed, 1, RMQ_E_FULL, 0, {0});
	assert_story("");
	client_tick(client, NOW(30005));
	expect_frames(30005, "SEND#1/0 ");
	DAEMON(30006, failed, 1, RMQ_E_FULL, 0, {0});
	assert_story("failed a 14 at 0; ");
}

static void no_wait_fails_at_once_when_full(void **state)
{
	(void)state;
	setup_config(&(struct client_config){
	    .servers = 1, .window = 16, .timeout_ms = 30000, .seed = 7, .no_wait = true});
	begin_one("a");
	verdict = CLIENT_STOP;
	DAEMON(6, failed, 1, RMQ_E_FULL, 0, {0});
	assert_story("failed a 14 at 0; ");
	assert_non_null(client_shelf(client));
	assert_int_equal(client_unanswered(client), 0);
}

static void a_message_that_is_too_large_is_taken_out_and_what_is_behind_stays(void **state)
{
	(void)state;
	begin_two("abc", "d");
	on_failed_remove(CLIENT_REPEAT, 1, 1);
	refuse_two(RMQ_E_TOO_LARGE, 1);
	assert_story("failed abc 6 at 1; ");
	const struct client_command *cmd = client_oldest(client);
	struct batch_view v;
	assert_int_equal(cmd->buf->count, 2);
	expect_frames(7, "SEND#1/0 SEND#2/0 ");
	struct slice frame = sendbuf_frame(cmd->buf);
	struct wire_send m;
	assert_true(wire_send_decode(slice_of(frame.data + 8, frame.len - 8), &m));
	assert_int_equal(batch_parse(m.data, &v), 0);
	assert_int_equal(v.count, 2);
	assert_memory_equal(v.blob, "a\nc\n", 4);
}

static void a_stop_sends_what_was_in_front_and_shelves_the_rest(void **state)
{
	(void)state;
	begin_two("abc", "d");
	on_failed_remove(CLIENT_LAST, 1, 2);
	refuse_two(RMQ_E_TOO_LARGE, 1);
	expect_frames(7, "SEND#1/0 ");
	DAEMON(8, sent, 1, 1, 1);
	assert_story("failed abc 6 at 1; sent abc at 1 x1; ");
	assert_string_equal((const char *)client_shelf(client)->tag, "d");
}

/* The place in its input that the oldest SEND names. */
static struct client_place place_of_oldest(void)
{
	struct slice frame = sendbuf_frame(client_oldest(client)->buf), value;
	struct wire_send m;
	assert_true(wire_send_decode(slice_of(frame.data + 8, frame.len - 8), &m));
	assert_true(tags_find(m.tags, SEND_TAG_RESUME, &value));
	return (struct client_place){
	    slice_of(NULL, 0), load_u64(value.data), load_u64(value.data + 8)};
}

/* "abc" is records 11 to 13 of its input, and the second one is too large. */
static struct client_place place_after(enum client_verdict what, uint32_t removed)
{
	struct client_place place = {slice_str("in"), 10, 13};
	struct sendbuf *b = sendbuf_new();
	for (const char *p = "abc"; *p; p++)
		assert_true(sendbuf_append(b, slice_of((const uint8_t *)p, 1), '\n'));
	static char tag[] = "abc";
	client_send_placed(client, NOW(5), slice_str("q"), &place, 0, b, tag);
	begin(5);
	expect_frames(5, "SEND#1/0 ");
	on_failed_remove(what, 1, removed);
	DAEMON(6, failed, 1, RMQ_E_TOO_LARGE, 1, {0});
	return place_of_oldest();
}

static void what_is_taken_out_is_passed_in_its_input(void **state)
{
	(void)state;
	struct client_place place = place_after(CLIENT_REPEAT, 1);
	assert_int_equal(place.before, 10);
	assert_int_equal(place.after, 13);
}

static void what_is_cut_off_is_not_passed_in_its_input(void **state)
{
	(void)state;
	struct client_place place = place_after(CLIENT_LAST, 2);
	assert_int_equal(place.before, 10);
	assert_int_equal(place.after, 11);
}

/* How many of the records of the oldest SEND it says to be known. */
static uint64_t known_of_oldest(void)
{
	struct slice frame = sendbuf_frame(client_oldest(client)->buf);
	struct wire_send m;
	assert_true(wire_send_decode(slice_of(frame.data + 8, frame.len - 8), &m));
	return tags_find_u64(m.tags, SEND_TAG_KNOWN);
}

static void the_daemon_learns_what_was_known_and_what_was_bad(void **state)
{
	(void)state;
	(void)place_after(CLIENT_REPEAT, 1);
	assert_int_equal(known_of_oldest(), 0);
	expect_frames(6, "SEND#1/0 ");
	DAEMON(7, known, 1, NO_TAGS, slice_of("\1\0\1\0", 4));
	assert_int_equal(known_of_oldest(), 1);
}

/* Which of the two parts of a SEND has no bad record is not known: neither says that it is that. */
static void both_parts_of_a_send_lack_what_was_bad(void **state)
{
	(void)state;
	(void)place_after(CLIENT_REPEAT, 1);
	expect_frames(6, "SEND#1/0 ");
	DAEMON(7, failed, 1, RMQ_E_LIMIT, 1, {0});
	assert_int_equal(place_of_oldest().after, 11);
	assert_int_equal(known_of_oldest(), 1);
	expect_frames(8, "SEND#1/0 ");
	DAEMON(9, sent, 1, 1, 1);
	assert_int_equal(place_of_oldest().before, 11);
	assert_int_equal(known_of_oldest(), 0);
}

/* A daemon that runs an older program takes no SEND that only says how far its input has come. */
static void an_older_daemon_need_not_know_how_far_an_input_has_come(void **state)
{
	(void)state;
	(void)place_after(CLIENT_REPEAT, 1);
	expect_frames(6, "SEND#1/0 ");
	DAEMON(7, known, 1, NO_TAGS, slice_of("\0\0\2\0", 4));
	expect_frames(7, "SEND#1/0 ");
	DAEMON(8, error, RMQ_E_PROTOCOL, slice_str("bad batch"));
	story[0] = 0;
	client_disconnected(client, NOW(8));
	assert_story("sent abc at 0 x0; ");
	assert_int_equal(client_unanswered(client), 0);
	/* It is not asked again. */
	struct client_place place = {slice_str("in"), 13, 14};
	struct sendbuf *b = sendbuf_new();
	assert_true(sendbuf_append(b, slice_str("d"), '\n'));
	client_send_placed(
	    client, NOW(1009), slice_str("q"), &place, 0, b, (char *)(uintptr_t) "d");
	connect_at(1009);
	expect_frames(1009, "HELLO(9,0) ");
	welcome(1009, 9, 0);
	expect_frames(1009, "SEND#1/0 ");
	DAEMON(1010, known, 1, NO_TAGS, slice_of("\0\0\1\0", 4));
	assert_int_equal(client_unanswered(client), 0);
	/* Other errors are none of that. */
	send_text(1011, "e");
	expect_frames(1011, "SEND#1/0 ");
	DAEMON(1012, error, RMQ_E_PROTOCOL, slice_str("bad batch"));
	assert_non_null(strstr(story, "fatal"));
}

static void a_first_bad_message_leaves_nothing_to_send(void **state)
{
	(void)state;
	begin_two("a", "d");
	on_failed_remove(CLIENT_REPEAT, 0, 1);
	refuse_two(RMQ_E_TOO_LARGE, 0);
	expect_frames(7, "SEND#1/0 ");
	remove_count = 0;
	DAEMON(8, sent, 1, 1, 1);
	assert_story("failed a 6 at 0; sent d at 1 x1; ");
}

static void a_half_written_frame_is_ended_before_the_repeat(void **state)
{
	(void)state;
	struct slice pieces[CLIENT_PIECES];
	send_text(5, "a");
	send_text(5, "b");
	begin(5);
	assert_int_equal(client_output(client, NOW(5), pieces, CLIENT_PIECES), 2);
	uint8_t torn[1024];
	size_t first = pieces[0].len, half = 10;
	memcpy(torn, pieces[1].data, half);
	client_wrote(client, first + half);
	DAEMON(6, failed, 1, RMQ_E_FULL, 0, {0});
	DAEMON(6, room, 1);
	assert_int_equal(client_output(client, NOW(6), pieces, CLIENT_PIECES), 2);
	memcpy(torn + half, pieces[0].data, pieces[0].len);
	struct frame f;
	struct wire_send m;
	size_t used;
	assert_int_equal(frame_parse(slice_of(torn, half + pieces[0].len), &f, &used), 0);
	assert_int_equal(used, half + pieces[0].len);
	assert_true(wire_send_decode(f.payload, &m));
	assert_int_equal(m.n, 2);
	client_wrote(client, pieces[0].len);
	expect_frames(7, "SEND#1/0 ");
}

static void large_messages_go_in_pieces_and_wait_for_their_room(void **state)
{
	(void)state;
	struct sendbuf *first = NULL, **end = &first;
	for (int i = 0; i < 3; i++) {
		struct sendbuf *b = sendbuf_new();
		b->large = true;
		b->filled = b->blob_len = i < 2 ? SENDBUF_CAP : 7;
		memset(sendbuf_blob(b), 'x', b->blob_len);
		*end = b;
		end = &b->next;
	}
	send_text(5, "a");
	client_send(client, NOW(5), slice_str("q"), 0, first, (char *)(uintptr_t) "large");
	connect_at(5);
	expect_frames(5, "HELLO(0,0) ");
	DAEMON(5, welcome, WIRE_VERSION, 0, 9, 0, 0, 100000, NO_TAGS);
	expect_frames(5, "SEND#1/0 ");
	DAEMON(6, sent, 1, 1, 1);
	expect_frames(6, "SEND#2/1[0+] SEND#2/1[1+] SEND#2/1[2] ");
	DAEMON(7, sent, 2, 2, 1);
	assert_story("sent a at 1 x1; sent large at 2 x1; ");
}

/* Of "abcd" a and b, and d, are known, as these so many messages. */
static void known_of(const char *numbers, size_t len)
{
	uint8_t list[64];
	struct writer w = writer_of(list, sizeof(list));
	begin_one("abcd");
	if (len > 0)
		tags_put(&w, KNOWN_TAG_NUMBERS, slice_of(numbers, len));
	DAEMON(6, known, 1, slice_of(w.p, w.len),
	    slice_of("\0\0\2\0"
		     "\3\0\1\0",
		8));
}

static void what_is_known_is_taken_out_and_told_with_its_numbers(void **state)
{
	(void)state;
	known_of("\7\0\0\0\0\0\0\0\2\0\0\0"
		 "\5\0\0\0\0\0\0\0\1\0\0\0",
	    24);
	assert_story("known abcd 0 x2: 7 x2; known abcd 1 x1: 5 x1; ");
	expect_frames(6, "SEND#1/0 ");
	DAEMON(7, sent, 1, 8, 1);
	assert_story("sent abcd at 8 x1; ");
}

static void a_daemon_may_know_no_numbers_of_what_is_known(void **state)
{
	(void)state;
	known_of("", 0);
	assert_story("known abcd 0 x2:; known abcd 1 x1:; ");
}

static void numbers_that_are_not_of_what_is_known_are_refused(void **state)
{
	(void)state;
	/* They go on in the next run. */
	known_of("\7\0\0\0\0\0\0\0\3\0\0\0", 12);
	assert_story("fatal 22; ");
}

static void an_unknown_session_is_fatal_only_if_a_send_may_have_been_taken(void **state)
{
	(void)state;
	send_text(5, "a");
	begin(5);
	client_disconnected(client, NOW(6));
	connect_at(1006);
	expect_frames(1006, "HELLO(9,0) ");
	DAEMON(1006, error, RMQ_E_UNKNOWN_SESSION, {0});
	assert_story("");
	client_disconnected(client, NOW(1006));
	connect_at(2006);
	expect_frames(2006, "HELLO(0,0) ");
	welcome(2006, 10, 0);
	expect_frames(2006, "SEND#1/0 ");
	client_disconnected(client, NOW(2007));
	connect_at(3007);
	expect_frames(3007, "HELLO(10,0) ");
	DAEMON(3007, error, RMQ_E_UNKNOWN_SESSION, {0});
	assert_story("fatal 18; ");
}

static void no_daemon_is_told_after_the_timeout_and_not_before(void **state)
{
	(void)state;
	struct client_target target;
	uint64_t t = 5, tries = 0;
	send_text(5, "a");
	for (; t < 30005; t += client_due_ms(client, NOW(t))) {
		client_tick(client, NOW(t));
		assert_story("");
		if (client_connect(client, NOW(t), &target)) {
			tries++;
			client_disconnected(client, NOW(t));
		}
	}
	assert_in_range(tries, 25, 100);
	client_tick(client, NOW(t));
	assert_story("fatal 10; ");
	assert_true(client_hangs_up(client));
}

static void a_timeout_of_0_tries_once(void **state)
{
	(void)state;
	struct client_target target;
	setup_config(
	    &(struct client_config){.servers = 1, .window = 16, .timeout_ms = 0, .seed = 7});
	send_text(5, "a");
	client_tick(client, NOW(5));
	assert_true(client_connect(client, NOW(5), &target));
	client_tick(client, NOW(5));
	assert_story("");
	client_disconnected(client, NOW(5));
	client_tick(client, NOW(5));
	assert_story("fatal 10; ");
}

static void a_silent_daemon_times_out_and_waiting_for_input_does_not(void **state)
{
	(void)state;
	begin_one("a");
	DAEMON(6, sent, 1, 1, 1);
	assert_true(client_due_ms(client, NOW(6)) == CLIENT_FOREVER);
	client_tick(client, NOW(1000000));
	send_text(1000000, "b");
	expect_frames(1000000, "SEND#2/1 ");
	client_tick(client, NOW(1029999));
	assert_story("sent a at 1 x1; ");
	client_tick(client, NOW(1030000));
	assert_story("fatal 17; ");
}

static void redirects_are_followed_and_end(void **state)
{
	(void)state;
	struct client_target target;
	send_text(5, "a");
	connect_at(5);
	DAEMON(5, redirect, slice_str("unix:/x"));
	assert_true(client_hangs_up(client));
	client_disconnected(client, NOW(5));
	assert_true(client_connect(client, NOW(5), &target));
	assert_true(slice_eq(target.address, slice_str("unix:/x")));
	for (int i = 0; i < 7; i++) {
		client_connected(client, NOW(5), 0);
		DAEMON(5, redirect, slice_str("unix:/x"));
		client_disconnected(client, NOW(5));
		assert_true(client_connect(client, NOW(5), &target));
	}
	client_connected(client, NOW(5), 0);
	DAEMON(5, redirect, slice_str("unix:/x"));
	client_disconnected(client, NOW(5));
	assert_false(client_connect(client, NOW(5), &target));
	assert_true(client_connect(client, NOW(1005), &target));
	assert_int_equal(target.address.len, 0);
}

/* A command that is the way asks for a password, perhaps. */
static void the_way_to_a_daemon_may_take_longer_than_its_answer(void **state)
{
	(void)state;
	struct client_target target;
	setup_config(&(struct client_config){
	    .servers = 2, .window = 16, .timeout_ms = 60000, .seed = 7});
	send_text(5, "a");
	for (int i = 0; i < 2; i++) {
		uint64_t begin = 5 + (uint64_t)i * 40000, way = i ? 0 : 27000;
		assert_true(client_connect(client, NOW(begin), &target));
		if (way > 0)
			client_way_takes(client, way);
		client_connected(client, NOW(begin), 0);
		client_tick(client, NOW(begin + way + 2999));
		assert_false(client_hangs_up(client));
		client_tick(client, NOW(begin + way + 3000));
		assert_true(client_hangs_up(client));
		client_disconnected(client, NOW(begin + way + 3000));
	}
}

/* Where failures may be counted; and nothing is owed to one that has never answered. */
static void a_command_that_is_the_only_way_is_not_tried_often(void **state)
{
	(void)state;
	struct client_target target;
	uint64_t t = 5, before = 0;
	setup_config(&(struct client_config){
	    .servers = 1, .window = 16, .timeout_ms = CLIENT_FOREVER, .seed = 7});
	(void)client_subscribe(client, NOW(5), slice_str("q"), 0, 0);
	for (int i = 0; i < 20; i++) {
		before = t;
		t += client_due_ms(client, NOW(t));
		assert_true(client_connect(client, NOW(t), &target));
		client_way_takes(client, 27000);
		client_connected(client, NOW(t), 0);
		if (i < 19)
			client_disconnected(client, NOW(t));
	}
	assert_in_range(t - before, 5000, 10000);
	assert_false(client_ended(client));
	client_bye(client);
	assert_true(client_ended(client));
}

/* Where the way is open it is asked there first, at once; if that is of no use, as ever. */
static void the_end_of_a_stream_does_not_lead_back(void **state)
{
	(void)state;
	struct client_target target;
	send_text(5, "a");
	connect_at(5);
	DAEMON(5, redirect, slice_str("unix:/x"));
	client_disconnected(client, NOW(5));
	assert_true(client_connect(client, NOW(5), &target));
	client_connected(client, NOW(5), 0);
	welcome(5, 9, 0);
	client_stream_ended(client, NOW(2000));
	assert_true(client_connect(client, NOW(2004), &target));
	assert_true(slice_eq(target.address, slice_str("unix:/x")));
	client_connected(client, NOW(2004), 0);
	client_stream_ended(client, NOW(2005));
	assert_false(client_connect(client, NOW(2005), &target));
	assert_true(client_connect(client, NOW(2025), &target));
	assert_int_equal(target.address.len, 0);
}

/* A redirect to where nobody listens, over and over: the contact point is asked again. */
static void a_redirect_that_leads_nowhere_is_not_the_end(void **state)
{
	(void)state;
	struct client_target target;
	uint64_t t = 5;
	send_text(t, "a");
	for (int i = 0; i < 20; i++) {
		connect_at(t);
		DAEMON(t, redirect, slice_str("unix:/x"));
		client_disconnected(client, NOW(t));
		assert_true(client_connect(client, NOW(t), &target));
		assert_true(slice_eq(target.address, slice_str("unix:/x")));
		client_disconnected(client, NOW(t));
		t += 1000;
	}
	connect_at(t);
	welcome(t, 9, 0);
}

/* What its HELLO says of how it is connected. */
static uint64_t hello_how(uint64_t now)
{
	struct slice pieces[CLIENT_PIECES];
	struct frame f;
	struct wire_hello m;
	size_t used;
	assert_true(client_output(client, NOW(now), pieces, CLIENT_PIECES) > 0);
	assert_int_equal(frame_parse(pieces[0], &f, &used), RMQ_E_OK);
	assert_int_equal(f.type, WIRE_TYPE_HELLO);
	assert_true(wire_hello_decode(f.payload, &m));
	client_wrote(client, 0);
	return tags_find_u64(m.tags, HELLO_TAG_HOW);
}

static void who_cannot_go_where_it_is_redirected_has_its_contact_point_relay(void **state)
{
	(void)state;
	struct client_target target;
	setup_config(&(struct client_config){
	    .servers = 2, .window = 16, .timeout_ms = 30000, .seed = 7});
	send_text(5, "a");
	assert_true(client_connect(client, NOW(5), &target));
	client_connected(client, NOW(5), HELLO_FAR);
	assert_int_equal(hello_how(5), HELLO_FAR);
	DAEMON(5, redirect, slice_str("n2:7411"));
	client_disconnected(client, NOW(5));
	assert_true(client_connect(client, NOW(5), &target));
	assert_int_equal(target.address.len, 7);
	client_unreachable(client, NOW(2005));
	assert_true(client_connect(client, NOW(2005), &target));
	assert_int_equal(target.address.len, 0);
	assert_int_equal(target.server, 0);
	client_connected(client, NOW(2005), HELLO_FAR);
	assert_int_equal(hello_how(2005), HELLO_FAR | HELLO_RELAY);
	/* The next contact point may lead elsewhere. */
	DAEMON(2005, not_yet, 10);
	client_disconnected(client, NOW(2005));
	assert_true(client_connect(client, NOW(2100), &target));
	assert_int_equal(target.server, 1);
	client_connected(client, NOW(2100), 0);
	assert_int_equal(hello_how(2100), 0);
}

static void contact_points_may_change(void **state)
{
	(void)state;
	struct client_target target;
	send_text(5, "a");
	client_contacts(client, 3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_true(client_connect(client, NOW(5), &target));
		assert_int_equal(target.server, i);
		if (i < 2)
			client_disconnected(client, NOW(5));
	}
	client_contacts(client, 2);
	client_disconnected(client, NOW(5));
	assert_true(client_connect(client, NOW(1005), &target));
	assert_true(target.server < 2);
}

static void who_is_redirected_and_loses_it_comes_back_at_once_to_its_contact_point(void **state)
{
	(void)state;
	struct client_target target;
	setup_config(&(struct client_config){
	    .servers = 3, .window = 16, .timeout_ms = 30000, .seed = 7});
	send_text(5, "a");
	connect_at(5);
	DAEMON(5, redirect, slice_str("unix:/x"));
	client_disconnected(client, NOW(5));
	connect_at(5);
	welcome(5, 9, 0);
	client_disconnected(client, NOW(6000));
	assert_true(client_due_ms(client, NOW(6000)) <= 4);
	assert_true(client_connect(client, NOW(6004), &target));
	assert_int_equal(target.address.len, 0);
	assert_int_equal(target.server, 0);
	client_disconnected(client, NOW(6004));
	assert_true(client_connect(client, NOW(6004), &target));
	assert_int_equal(target.server, 1);
}

static void a_daemon_that_ends_again_and_again_is_not_asked_at_once_each_time(void **state)
{
	(void)state;
	struct client_target target;
	unsigned connections = 0;
	send_text(5, "a");
	for (uint64_t t = 5; t < 1005; t++) {
		if (!client_connect(client, NOW(t), &target))
			continue;
		connections++;
		client_connected(client, NOW(t), 0);
		welcome(t, 9, 0);
		client_disconnected(client, NOW(t));
	}
	assert_in_range(connections, 5, 20);
	/* After a while in which it has served, it is. */
	assert_true(client_connect(client, NOW(3000), &target));
	client_connected(client, NOW(3000), 0);
	welcome(3000, 9, 0);
	client_disconnected(client, NOW(4000));
	assert_in_range(client_due_ms(client, NOW(4000)), 0, 20);
}

static void not_yet_is_come_back_to_in_its_time_and_within_200_ms(void **state)
{
	(void)state;
	struct client_target target;
	send_text(5, "a");
	connect_at(5);
	DAEMON(5, not_yet, 100);
	client_disconnected(client, NOW(5));
	assert_false(client_connect(client, NOW(104), &target));
	assert_true(client_connect(client, NOW(130), &target));
	client_connected(client, NOW(130), 0);
	for (uint64_t t = 130; t < 20000; t += 200) {
		DAEMON(t, not_yet, 60000);
		client_disconnected(client, NOW(t));
		assert_false(client_connect(client, NOW(t + 150), &target));
		connect_at(t + 200);
	}
	DAEMON(20130, not_yet, 0);
	client_disconnected(client, NOW(20130));
	assert_false(client_connect(client, NOW(20140), &target));
}

static void not_yet_goes_to_the_next_contact_point_and_is_no_progress(void **state)
{
	(void)state;
	struct client_target target;
	setup_config(&(struct client_config){
	    .servers = 2, .window = 16, .timeout_ms = 30000, .seed = 7});
	send_text(5, "a");
	uint64_t t = 5, expected = 0;
	for (; t < 30005; t += 1000, expected = 1 - expected) {
		client_tick(client, NOW(t));
		assert_true(client_connect(client, NOW(t), &target));
		assert_int_equal(target.server, expected);
		client_connected(client, NOW(t), 0);
		DAEMON(t, not_yet, 50);
		client_disconnected(client, NOW(t));
	}
	assert_story("");
	client_tick(client, NOW(t));
	assert_story("fatal 10; ");
}

static void a_contact_point_that_does_not_answer_is_left_for_the_next_one(void **state)
{
	(void)state;
	struct client_target target;
	setup_config(&(struct client_config){
	    .servers = 2, .window = 16, .timeout_ms = 30000, .seed = 7});
	send_text(5, "a");
	connect_at(5);
	assert_int_equal(client_due_ms(client, NOW(5)), 3000);
	client_tick(client, NOW(3004));
	assert_false(client_hangs_up(client));
	client_tick(client, NOW(3005));
	assert_true(client_hangs_up(client));
	client_disconnected(client, NOW(3005));
	assert_true(client_connect(client, NOW(3005), &target));
	assert_int_equal(target.server, 1);
	/* So is one to which the way takes longer; not while a person is asked. */
	client_tick(client, NOW(6004));
	client_user_asked(client, NOW(6004));
	client_tick(client, NOW(9003));
	assert_false(client_hangs_up(client));
	client_tick(client, NOW(9004));
	assert_true(client_hangs_up(client));
}

/* With so many contact points; all are of daemons that answer PING. */
static void begin_pinged(uint32_t servers)
{
	struct client_config config = {
	    .servers = servers, .window = 16, .timeout_ms = 30000, .seed = 7};
	setup_config(&config);
	features = WIRE_FEATURE_PING;
}

static void tick_at(uint64_t now)
{
	client_tick(client, NOW(now));
}

static void a_daemon_that_owes_an_answer_and_says_nothing_is_asked_and_left(void **state)
{
	struct client_target target;
	(void)state;
	begin_pinged(2);
	begin_one("a");
	tick_at(1004);
	expect_frames(1004, "");
	assert_int_equal(client_due_ms(client, NOW(1004)), 1);
	tick_at(1005);
	expect_frames(1005, "PING ");
	assert_int_equal(client_due_ms(client, NOW(1005)), 3000);
	tick_at(4004);
	assert_false(client_hangs_up(client));
	tick_at(4005);
	assert_true(client_hangs_up(client));
	client_disconnected(client, NOW(4005));
	assert_true(client_connect(client, NOW(4005), &target));
	assert_int_equal(target.server, 1);
}

static void a_daemon_that_answers_is_stayed_with(void **state)
{
	(void)state;
	begin_pinged(2);
	begin_one("a");
	for (uint64_t now = 1005; now < 20000; now += 1000) {
		tick_at(now);
		expect_frames(now, "PING ");
		DAEMON(now, pong, now);
		assert_false(client_hangs_up(client));
	}
}

static void who_waits_for_messages_asks_less_often(void **state)
{
	(void)state;
	begin_pinged(2);
	subscribe(5, 1);
	tick_at(5004);
	expect_frames(5004, "");
	tick_at(5005);
	expect_frames(5005, "PING ");
	/* It says so, too, though nothing is asked for. */
	assert_int_equal(client_waiting(client).what, CLIENT_WAITS_ANSWER);
	assert_int_equal(client_waiting(client).since.ms, 5005);
	DAEMON(5006, pong, 5005);
	assert_int_equal(client_waiting(client).what, CLIENT_WAITS_NOT);
	tick_at(10006);
	tick_at(13006);
	assert_true(client_hangs_up(client));
}

/* What has not become so yet is no missing answer, as long as the daemon answers PING. */
static void who_watches_waits_for_no_answer(void **state)
{
	(void)state;
	begin_pinged(2);
	uint32_t req = client_watch(client, NOW(5), slice_str("q"), WATCH_BELOW, 1);
	begin(5);
	expect_frames(5, "WATCH ");
	assert_int_equal(client_waiting(client).what, CLIENT_WAITS_NOT);
	tick_at(1005);
	expect_frames(1005, "PING ");
	assert_int_equal(client_waiting(client).what, CLIENT_WAITS_ANSWER);
	assert_int_equal(client_waiting(client).since.ms, 1005);
	DAEMON(1006, pong, 1005);
	assert_int_equal(client_waiting(client).what, CLIENT_WAITS_NOT);
	DAEMON(1007, watched, req, RMQ_E_OK, 0);
	assert_int_equal(client_waiting(client).what, CLIENT_WAITS_NOT);
}

/* A row came, and the connection is lost before the answer is complete. */
static void asks_again_after_a_row(uint8_t flags, const char *again)
{
	uint32_t req = client_kv_read(client, NOW(5), slice_str("k"), flags, 0, 0);
	begin(5);
	expect_frames(5, "KV_READ(0,0) ");
	DAEMON(6, kv_is, req, KV_IS_THERE, 7, 0, slice_str("k"), NO_TAGS, slice_of(NULL, 0));
	reconnect(10, "HELLO(9,0) ", 0);
	expect_frames(1010, again);
}

/* Else it would wait for a key that was deleted meanwhile, as if it had never been there. */
static void who_waits_for_a_key_goes_on_after_what_it_was_told(void **state)
{
	(void)state;
	asks_again_after_a_row(KV_WAIT, "KV_READ(7,7) ");
}

static void a_key_that_is_only_read_is_read_again(void **state)
{
	(void)state;
	asks_again_after_a_row(0, "KV_READ(0,0) ");
}

static void the_only_daemon_is_asked_and_not_left(void **state)
{
	(void)state;
	begin_pinged(1);
	subscribe(5, 1);
	tick_at(5005);
	expect_frames(5005, "PING ");
	client_silent(client);
	tick_at(3600000);
	expect_frames(3600000, "");
	assert_false(client_hangs_up(client));
	assert_int_equal(client_waiting(client).what, CLIENT_WAITS_ANSWER);
}

/* The way of a command may be gone, and it may not notice. */
static void the_only_command_is_begun_anew(void **state)
{
	struct client_target target;
	(void)state;
	setup_config(&(struct client_config){
	    .servers = 1, .window = 16, .timeout_ms = CLIENT_FOREVER, .seed = 7});
	features = WIRE_FEATURE_PING;
	(void)client_subscribe(client, NOW(5), slice_str("q"), 0, 0);
	assert_true(client_connect(client, NOW(5), &target));
	client_way_takes(client, 27000);
	client_connected(client, NOW(5), 0);
	welcome(5, 9, 0);
	tick_at(1005);
	assert_true(client_pinging(client));
	tick_at(31004);
	assert_false(client_hangs_up(client));
	tick_at(31005);
	assert_true(client_hangs_up(client));
}

static void a_machine_that_is_gone_is_left_once_it_was_asked(void **state)
{
	struct client_target target;
	(void)state;
	begin_pinged(2);
	begin_one("a");
	client_silent(client);
	assert_false(client_hangs_up(client));
	tick_at(1005);
	expect_frames(1005, "PING ");
	assert_true(client_pinging(client));
	client_silent(client);
	assert_true(client_hangs_up(client));
	assert_false(client_pinging(client));
	client_disconnected(client, NOW(1005));
	assert_true(client_connect(client, NOW(1005), &target));
	assert_int_equal(target.server, 1);
}

static void a_daemon_on_another_machine_is_asked_sooner(void **state)
{
	struct client_target target;
	(void)state;
	begin_pinged(2);
	send_text(5, "a");
	assert_true(client_connect(client, NOW(5), &target));
	client_connected(client, NOW(5), HELLO_FAR);
	expect_frames(5, "HELLO(0,0) ");
	welcome(5, 9, 0);
	expect_frames(5, "SEND#1/0 ");
	tick_at(504);
	expect_frames(504, "");
	tick_at(505);
	expect_frames(505, "PING ");
}

static void who_stood_still_reads_before_it_leaves(void **state)
{
	(void)state;
	begin_pinged(2);
	begin_one("a");
	tick_at(1005);
	expect_frames(1005, "PING ");
	/* SIGSTOP, and SIGCONT ten seconds later: the answer may be there. */
	tick_at(11005);
	assert_false(client_hangs_up(client));
	assert_int_equal(client_due_ms(client, NOW(11005)), 250);
	tick_at(11255);
	assert_true(client_hangs_up(client));
}

static void a_daemon_that_knows_no_ping_is_not_asked(void **state)
{
	(void)state;
	begin_pinged(2);
	features = 0;
	begin_one("a");
	tick_at(29000);
	expect_frames(29000, "");
	assert_false(client_hangs_up(client));
}

static void a_redirected_client_asks_its_contact_point_after_silence(void **state)
{
	struct client_target target;
	(void)state;
	begin_pinged(1);
	send_text(5, "a");
	connect_at(5);
	expect_frames(5, "HELLO(0,0) ");
	DAEMON(5, redirect, slice_str("unix:/other"));
	client_disconnected(client, NOW(5));
	connect_at(5);
	expect_frames(5, "HELLO(0,0) ");
	welcome(5, 9, 0);
	expect_frames(5, "SEND#1/0 ");
	tick_at(1005);
	tick_at(4005);
	assert_true(client_hangs_up(client));
	client_disconnected(client, NOW(4005));
	assert_true(client_connect(client, NOW(4010), &target));
	assert_int_equal(target.address.len, 0);
}

static void the_only_contact_point_is_waited_for(void **state)
{
	(void)state;
	send_text(5, "a");
	connect_at(5);
	client_tick(client, NOW(29000));
	assert_false(client_hangs_up(client));
}

static void a_timeout_of_0_tries_each_contact_point_once(void **state)
{
	(void)state;
	setup_config(
	    &(struct client_config){.servers = 2, .window = 16, .timeout_ms = 0, .seed = 7});
	send_text(5, "a");
	connect_at(5);
	DAEMON(5, not_yet, 50);
	client_disconnected(client, NOW(5));
	client_tick(client, NOW(100));
	assert_story("");
	connect_at(100);
	DAEMON(100, not_yet, 50);
	client_disconnected(client, NOW(100));
	client_tick(client, NOW(100));
	assert_story("fatal 10; ");
}

static void a_lease_is_vouched_for_from_its_stamp_for_its_length(void **state)
{
	(void)state;
	subscribe(100, 10);
	delivery(200, 7, 1, 100, "ab");
	assert_story("1:7=a; 2:7=b; ");
	assert_true(client_vouches(client, 7, 2, NOW(3099)));
	assert_false(client_vouches(client, 7, 2, NOW(3100)));
	assert_false(client_vouches(client, 7, 3, NOW(200)));
	DAEMON(300, extended, 250);
	assert_true(client_vouches(client, 7, 1, NOW(3249)));
	assert_false(client_vouches(client, 7, 1, NOW(3250)));
	/* An echo from before says nothing about what comes after it. */
	delivery(400, 8, 3, 0, "c");
	assert_false(client_vouches(client, 8, 3, NOW(400)));
	assert_int_equal(client_credit_messages(client, 0), 8);
}

static void extend_is_sent_every_third_of_a_lease_while_something_is_held(void **state)
{
	(void)state;
	subscribe(100, 10);
	assert_true(client_due_ms(client, NOW(100)) == CLIENT_FOREVER);
	delivery(200, 7, 1, 100, "ab");
	assert_int_equal(client_due_ms(client, NOW(200)), 900);
	expect_frames(1099, "");
	expect_frames(1100, "EXTEND ");
	expect_frames(2100, "EXTEND ");
	settle(2200, VERB_SETTLE, 0, 7, 1, 2);
	expect_frames(5000, "SETTLE#1/0 ");
}

/* Settles messages 1 and 2 of lease 7, and sends one that the answer names by "s". */
static void settle_send(uint64_t now)
{
	static const uint8_t batch[] = {1, 0, 0, 0, 2, 0, 'x', '\n'};
	struct settle_entry e = {7, 1, 2};
	char *tag = (char *)(uintptr_t) "s";
	client_settle_send(client, NOW(now), slice_str("q"), &e, 1, slice_str("out"), 0,
	    slice_of(batch, sizeof(batch)), tag);
}

static void what_is_settled_and_sent_is_held_until_it_is_done(void **state)
{
	static const uint8_t stale[SETTLE_ENTRY_SIZE] = {7};
	(void)state;
	subscribe(100, 10);
	delivery(200, 7, 1, 100, "abc");
	story[0] = 0;
	settle_send(300);
	expect_frames(300, "SETTLE_SEND#1/0(q,out,28) ");
	/* A full queue is waited for, as by a SEND, and the leases go on. */
	DAEMON(310, failed, 1, RMQ_E_FULL, 0, {0});
	assert_true(client_blocked(client));
	expect_frames(1100, "EXTEND ");
	DAEMON(1200, extended, 1100);
	assert_true(client_vouches(client, 7, 1, NOW(4099)));
	DAEMON(1300, room, 100);
	expect_frames(1300, "SETTLE_SEND#1/0(q,out,28) ");
	DAEMON(1400, settle_sent, 1, 5, 1, NO_TAGS, slice_of(stale, sizeof(stale)));
	assert_story("sent s at 5 x1; done s stale 1; ");
	assert_false(client_vouches(client, 7, 1, NOW(1400)));
	assert_true(client_vouches(client, 7, 3, NOW(1400)));
	assert_int_equal(client_held(client), 1);
	/* It is answered by nothing else. */
	settle_send(1500);
	expect_frames(1500, "SETTLE_SEND#2/1(q,out,28) ");
	DAEMON(1600, sent, 2, 6, 1);
	assert_story("fatal 22; ");
}

static void what_is_refused_to_be_settled_and_sent_is_held_on(void **state)
{
	(void)state;
	subscribe(100, 10);
	delivery(200, 7, 1, 100, "abc");
	story[0] = 0;
	settle_send(300);
	expect_frames(300, "SETTLE_SEND#1/0(q,out,28) ");
	DAEMON(310, failed, 1, RMQ_E_TOO_LARGE, 0, {0});
	assert_story("failed s 6 at 0; ");
	assert_true(client_vouches(client, 7, 1, NOW(310)));
	settle(320, VERB_RELEASE, 0, 7, 1, 2);
	expect_frames(320, "SETTLE#1/0 ");
	assert_int_equal(client_held(client), 1);
}

/* The time runs from when room was first missing, whatever comes in meanwhile. */
static void what_comes_in_does_not_lengthen_the_wait_for_room(void **state)
{
	(void)state;
	setup_config(
	    &(struct client_config){.servers = 1, .window = 16, .timeout_ms = 3000, .seed = 7});
	subscribe(100, 100);
	delivery(200, 7, 1, 100, "a");
	story[0] = 0;
	settle_send(1000);
	expect_frames(1000, "SETTLE_SEND#1/0(q,out,28) ");
	assert_false(client_lacks_room(client));
	DAEMON(1000, failed, 1, RMQ_E_FULL, 0, {0});
	for (uint64_t t = 1100; t < 4000; t += 100) {
		struct slice pieces[CLIENT_PIECES];
		client_tick(client, NOW(t));
		size_t count = client_output(client, NOW(t), pieces, CLIENT_PIECES);
		for (size_t i = 0; i < count; i++)
			client_wrote(client, pieces[i].len);
		assert_true(client_lacks_room(client));
		if (!client_blocked(client))
			DAEMON(t + 50, failed, 1, RMQ_E_FULL, 0, {0});
		DAEMON(t + 50, idle, 0, 0, 0);
	}
	assert_story("");
	assert_true(client_blocked(client));
	client_tick(client, NOW(4000));
	expect_frames(4000, "SETTLE_SEND#1/0(q,out,28) ");
	DAEMON(4010, failed, 1, RMQ_E_FULL, 0, {0});
	assert_story("failed s 14 at 0; ");
	/* No run is begun for one that is as full. */
	assert_true(client_lacks_room(client));
}

static void room_that_comes_at_the_last_moment_is_waited_for_again_the_next_time(void **state)
{
	(void)state;
	setup_config(
	    &(struct client_config){.servers = 1, .window = 16, .timeout_ms = 3000, .seed = 7});
	subscribe(100, 100);
	delivery(200, 7, 1, 100, "abc");
	story[0] = 0;
	settle_send(1000);
	expect_frames(1000, "SETTLE_SEND#1/0(q,out,28) ");
	DAEMON(1000, failed, 1, RMQ_E_FULL, 0, {0});
	DAEMON(3990, room, 100);
	expect_frames(3990, "EXTEND SETTLE_SEND#1/0(q,out,28) ");
	/* The daemon has the whole time for its answer. */
	client_tick(client, NOW(6980));
	DAEMON(6985, settle_sent, 1, 5, 1, NO_TAGS, NO_TAGS);
	assert_story("sent s at 5 x1; done s stale 0; ");
	assert_false(client_lacks_room(client));
	settle_send(7000);
	expect_frames(7000, "EXTEND SETTLE_SEND#2/1(q,out,28) ");
	DAEMON(7000, failed, 2, RMQ_E_FULL, 0, {0});
	assert_true(client_blocked(client));
	client_tick(client, NOW(9990));
	assert_story("");
}

static void leases_go_on_also_while_a_new_connection_waits_for_room(void **state)
{
	(void)state;
	setup_config(
	    &(struct client_config){.servers = 1, .window = 1, .timeout_ms = 30000, .seed = 7});
	subscribe(100, 10);
	delivery(200, 7, 1, 100, "abc");
	story[0] = 0;
	settle_send(300);
	settle(300, VERB_SETTLE, 0, 7, 3, 1);
	expect_frames(300, "SETTLE_SEND#1/0(q,out,28) ");
	reconnect(400, "HELLO(9,0) ", 0);
	expect_frames(1400, "SETTLE_SEND#1/0(q,out,28) ");
	DAEMON(1450, failed, 1, RMQ_E_FULL, 0, {0});
	expect_frames(1450, "SUBSCRIBE CREDIT(7,994) EXTEND ");
}

static void a_new_connection_confirms_what_is_held_and_repeats_nothing(void **state)
{
	(void)state;
	subscribe(100, 10);
	delivery(200, 7, 1, 100, "abcd");
	settle(300, VERB_SETTLE, 0, 7, 2, 1);
	expect_frames(300, "SETTLE#1/0 ");
	story[0] = 0;
	reconnect(400, "HELLO(9,0) ", 0);
	/* The settlement goes first; credit that was used is not given again. */
	expect_frames(1400, "SETTLE#1/0 SUBSCRIBE CREDIT(6,992) EXTEND ");
	DAEMON(1400, subscribed, 0, 3000);
	/* Not named on this connection: an echo does not vouch. */
	DAEMON(1450, extended, 1400);
	assert_false(client_vouches(client, 7, 1, NOW(3200)));
	/* Message 5 was lost on the way before. */
	delivery(1500, 7, 1, 0, "abcde");
	assert_story("5:7=e; ");
	expect_frames(1600, "EXTEND ");
	DAEMON(1650, extended, 1600);
	assert_true(client_vouches(client, 7, 1, NOW(4599)));
	assert_true(client_vouches(client, 7, 5, NOW(4599)));
	assert_false(client_vouches(client, 7, 2, NOW(1700)));
}

static void attributes_are_those_of_the_message_also_in_a_part_of_a_frame(void **state)
{
	/* Reply topics: "t" of message 1 and "u" of message 2 of the frame. */
	static const uint8_t list[] = {
	    1, 0, 14, 0, 3, 128, 10, 0, 1, 0, 1, 0, 't', 2, 0, 1, 0, 'u'};
	static const uint8_t wrong[] = {1, 0, 9, 0, 3, 128, 5, 0, 1, 0, 1, 0, 't'};
	static const uint8_t bodies[] = {2, 0, 4, 0, 6, 0, 'a', '\n', 'b', '\n', 'c', '\n'};
	struct slice tags = slice_of(list, sizeof(list));
	struct slice data = slice_of(bodies, sizeof(bodies));
	(void)state;
	subscribe(100, 10);
	delivery(200, 7, 1, 100, "ab");
	story[0] = 0;
	/* Messages 1 and 2 are held already: only the third one is new. */
	DAEMON(300, deliver, 0, 7, 1, 1, 0, 0, 0, {0}, 0, 3, tags, data);
	assert_story("3:7=c; to u; ");
	DAEMON(300, deliver, 0, 8, 11, 1, 0, 0, 100, {0}, 0, 3, tags, data);
	assert_story("11:8=a; 12:8=b; to t; 13:8=c; to u; ");
	/* A list that names a message which is not in the frame. */
	DAEMON(300, deliver, 0, 9, 21, 1, 0, 0, 100, {0}, 0, 1, slice_of(wrong, sizeof(wrong)),
	    slice_of("\2\0a\n", 4));
	assert_story("fatal 22; ");
}

static void what_the_daemon_does_not_name_again_has_ended(void **state)
{
	(void)state;
	subscribe(100, 10);
	delivery(200, 7, 1, 100, "ab");
	settle(300, VERB_TOUCH, SETTLE_DETACH, 7, 1, 1);
	expect_frames(300, "SETTLE#1/0 ");
	DAEMON(300, done, 1, {0});
	story[0] = 0;
	reconnect(400, "HELLO(9,1) ", 1);
	expect_frames(1400, "SUBSCRIBE CREDIT(8,996) EXTEND ");
	DAEMON(1400, subscribed, 0, 3000);
	DAEMON(1500, extended, 1400);
	expect_frames(2400, "EXTEND ");
	DAEMON(2500, extended, 2400);
	client_tick(client, NOW(3099));
	assert_story("");
	client_tick(client, NOW(3100));
	assert_story("ended 2 2:7 x1; ");
	/* Detached with a length of 3 s at 300. */
	client_tick(client, NOW(3300));
	assert_story("ended 2 1:7 x1; ");
	assert_int_equal(client_held(client), 0);
}

static void a_lease_that_is_detached_is_vouched_for_as_before_until_the_answer(void **state)
{
	(void)state;
	subscribe(100, 10);
	delivery(200, 7, 1, 100, "ab");
	settle(300, VERB_TOUCH, SETTLE_DETACH, 7, 1, 1);
	expect_frames(300, "SETTLE#1/0 ");
	assert_true(client_vouches(client, 7, 1, NOW(3099)));
	assert_false(client_vouches(client, 7, 1, NOW(3100)));
	DAEMON(400, done, 1, {0});
	assert_true(client_vouches(client, 7, 1, NOW(3299)));
	assert_false(client_vouches(client, 7, 1, NOW(3300)));
	/* Again, and what was before still counts. */
	settle(500, VERB_TOUCH, SETTLE_DETACH, 7, 1, 1);
	assert_true(client_vouches(client, 7, 1, NOW(3099)));
	assert_false(client_vouches(client, 7, 1, NOW(3300)));
}

static void a_lease_that_an_answer_calls_stale_is_not_held_any_more(void **state)
{
	uint8_t stale[SETTLE_ENTRY_SIZE];
	struct writer w = writer_of(stale, sizeof(stale));
	(void)state;
	subscribe(100, 10);
	delivery(200, 7, 1, 100, "ab");
	settle(300, VERB_TOUCH, SETTLE_DETACH, 7, 1, 2);
	expect_frames(300, "SETTLE#1/0 ");
	story[0] = 0;
	settle_entry_put(&w, &(struct settle_entry){7, 1, 1});
	DAEMON(400, done, 1, slice_of(stale, sizeof(stale)));
	assert_false(client_vouches(client, 7, 1, NOW(400)));
	assert_true(client_vouches(client, 7, 2, NOW(400)));
	assert_int_equal(client_held(client), 1);
}

static void a_lease_ends_when_the_daemon_says_so(void **state)
{
	(void)state;
	subscribe(100, 10);
	delivery(200, 7, 1, 100, "abcd");
	story[0] = 0;
	settle(300, VERB_SETTLE, 0, 7, 3, 1);
	DAEMON(400, lease_ended, 0, ENDED_GONE, 7, 2, 3);
	assert_story("ended 3 2:7 x1; ended 3 4:7 x1; ");
	assert_true(client_vouches(client, 7, 1, NOW(400)));
}

static void large_messages_come_together(void **state)
{
	(void)state;
	subscribe(100, 10);
	DAEMON(
	    200, deliver_part, 0, 7, 1, 1, 0, 0, 100, {0}, 0, 2, 6, NO_TAGS, slice_str("abc"));
	assert_story("");
	DAEMON(
	    200, deliver_part, 0, 7, 1, 1, 0, 0, 100, {0}, 1, 2, 6, NO_TAGS, slice_str("def"));
	assert_story("1:7=abcdef; ");
	/* Its attributes are taken from the credit, too. */
	int64_t credit = client_credit_bytes(client, 0);
	DAEMON(200, deliver_part, 0, 8, 5, 1, 0, 0, 100, {0}, 0, 1, 3,
	    slice_of("\1\0\5\0\3\0\1\0t", 9), slice_str("abc"));
	assert_story("5:8=abc; to t; ");
	assert_int_equal(client_credit_bytes(client, 0), credit - 3 - 5);
	DAEMON(
	    200, deliver_part, 0, 7, 2, 1, 0, 0, 100, {0}, 1, 2, 6, NO_TAGS, slice_str("def"));
	assert_story("fatal 22; ");
}

static void unsubscribing_without_a_connection_ends_at_once(void **state)
{
	(void)state;
	client_subscribe(client, NOW(5), slice_str("q"), 0, 0);
	client_unsubscribe(client, 0);
	assert_int_equal(client_due_ms(client, NOW(5)), 0);
	client_tick(client, NOW(5));
	assert_story("unsubscribed 0; ");
	client_bye(client);
	assert_true(client_ended(client));
}

static void a_list_goes_on_where_the_connection_broke(void **state)
{
	(void)state;
	client_list(client, NOW(5), slice_str(""), slice_str("*"), 10);
	begin(5);
	expect_frames(5, "LIST(,10) ");
	DAEMON(6, listed, .req = 1, .queue = slice_str("a"));
	reconnect(6, "HELLO(9,0) ", 0);
	expect_frames(1006, "LIST(a,9) ");
	DAEMON(1007, listed, .req = 1, .queue = slice_str("b"));
	DAEMON(1007, list_end, 1, 0);
	assert_story("row a; row b; end 0; ");
}

/* What a daemon says is printed on terminals. */
static void what_would_write_to_a_terminal_is_not_taken_from_a_daemon(void **state)
{
	static const char clears[] = "a\033[2J";
	struct history_entry e = {.what = HISTORY_ARRIVED, .seq = 1};
	uint8_t entry[HISTORY_ENTRY_MAX];
	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		struct writer w = writer_of(entry, sizeof(entry));
		e.queue = slice_str(i == 4 ? clears : "a");
		history_entry_encode(&w, &e);
		if (i < 3)
			client_list(client, NOW(5), slice_str(""), slice_str("*"), 10);
		else
			client_history(client, NOW(5), slice_str("q"), 1, slice_str(""));
		begin(5);
		story[0] = '\0';
		if (i < 3)
			DAEMON(6, listed, .req = 1, .queue = slice_str(i == 1 ? clears : "a"),
			    .dead_letter = slice_str(i == 2 ? clears : "-"));
		else
			DAEMON(6, history_is, .req = 1, .entries = slice_of(entry, w.len));
		assert_story(i == 0 ? "row a; " : i == 3 ? "" : "fatal 22; ");
		assert_int_equal(teardown(NULL), 0);
		assert_int_equal(setup(NULL), 0);
	}
	client_list(client, NOW(5), slice_str(""), slice_str("*"), 10);
	begin(5);
	DAEMON(6, error, RMQ_E_DENIED, slice_str("no\033[2J"));
	assert_string_equal(fatal_text, error_text(RMQ_E_DENIED));
}

static void a_list_goes_on_where_the_daemon_stopped_looking(void **state)
{
	(void)state;
	client_list(client, NOW(5), slice_str(""), slice_str("*x"), 10);
	begin(5);
	expect_frames(5, "LIST(,10) ");
	DAEMON(6, listed, .req = 1, .queue = slice_str("ax"));
	DAEMON(6, list_at, 1, slice_str("b"), NO_TAGS);
	DAEMON(6, list_end, 1, 1);
	expect_frames(6, "LIST(b,9) ");
	DAEMON(7, list_at, 1, slice_str("c"), NO_TAGS);
	DAEMON(7, list_end, 1, 1);
	expect_frames(7, "LIST(c,9) ");
	DAEMON(8, list_end, 1, 0);
	assert_story("row ax; end 0; ");
}

static void bye_waits_for_the_last_answer(void **state)
{
	(void)state;
	send_text(5, "a");
	begin(5);
	client_bye(client);
	expect_frames(5, "SEND#1/0 ");
	assert_false(client_ended(client));
	DAEMON(6, sent, 1, 1, 1);
	expect_frames(6, "BYE ");
	assert_true(client_ended(client));
}

static void who_ends_without_a_connection_comes_back_to_give_back_what_it_may_hold(void **state)
{
	(void)state;
	subscribe(100, 10);
	client_unsubscribe(client, 0);
	expect_frames(200, "UNSUBSCRIBE ");
	/* A message may have come on its way. */
	client_disconnected(client, NOW(200));
	client_tick(client, NOW(200));
	assert_story("unsubscribed 0; ");
	client_bye(client);
	assert_false(client_ended(client));
	connect_at(1200);
	expect_frames(1200, "HELLO(9,0) ");
	welcome(1200, 9, 0);
	expect_frames(1200, "BYE ");
	assert_true(client_ended(client));
	client_disconnected(client, NOW(1201));
	assert_true(client_ended(client));
}

/* It holds nothing; the daemon may still hold something for it. */
static void expect_bye_of_a_new_connection(uint64_t now)
{
	client_disconnected(client, NOW(now));
	client_bye(client);
	client_tick(client, NOW(now));
	assert_false(client_ended(client));
	connect_at(now + 1000);
	expect_frames(now + 1000, "HELLO(9,0) ");
	welcome(now + 1000, 9, 0);
	expect_frames(now + 1000, "BYE ");
	assert_true(client_ended(client));
}

static void what_was_forgotten_before_the_connection_was_lost_is_given_back(void **state)
{
	(void)state;
	subscribe(100, 10);
	delivery(150, 7, 1, 100, "a");
	client_unsubscribe(client, 0);
	expect_frames(200, "UNSUBSCRIBE ");
	DAEMON(210, unsubscribed, 0);
	client_forget(client, 7, 1, 1);
	expect_bye_of_a_new_connection(300);
	assert_story("1:7=a; unsubscribed 0; ");
}

static void what_a_lost_connection_had_on_its_way_is_given_back(void **state)
{
	(void)state;
	subscribe(100, 10);
	reconnect(200, "HELLO(9,0) ", 0);
	expect_frames(1200, "SUBSCRIBE CREDIT(10,1000) ");
	client_unsubscribe(client, 0);
	expect_frames(1210, "UNSUBSCRIBE ");
	DAEMON(1220, unsubscribed, 0);
	expect_bye_of_a_new_connection(2300);
	assert_story("unsubscribed 0; ");
}

static void what_a_refused_settlement_names_is_given_back(void **state)
{
	(void)state;
	subscribe(100, 10);
	delivery(150, 7, 1, 100, "a");
	client_unsubscribe(client, 0);
	settle(200, VERB_SETTLE, 0, 7, 1, 1);
	expect_frames(200, "UNSUBSCRIBE SETTLE#1/0 ");
	DAEMON(210, unsubscribed, 0);
	DAEMON(210, failed, 1, RMQ_E_DISK_FULL, 0, {0});
	expect_bye_of_a_new_connection(300);
	assert_story("1:7=a; unsubscribed 0; failed (null) 27 at 0; ");
}

static void a_bye_that_was_not_written_is_said_again(void **state)
{
	(void)state;
	struct slice piece[CLIENT_PIECES];
	subscribe(100, 10);
	client_bye(client);
	assert_int_equal(client_output(client, NOW(200), piece, CLIENT_PIECES), 1);
	client_wrote(client, 0);
	client_disconnected(client, NOW(200));
	assert_false(client_ended(client));
	connect_at(1200);
	expect_frames(1200, "HELLO(9,0) ");
	welcome(1200, 9, 0);
	expect_frames(1200, "BYE ");
	assert_true(client_ended(client));
}

static void the_daemon_is_waited_for_no_longer_than_the_timeout_to_say_bye(void **state)
{
	(void)state;
	subscribe(100, 10);
	client_bye(client);
	client_disconnected(client, NOW(200));
	client_tick(client, NOW(200));
	assert_story("");
	client_tick(client, NOW(200 + 10 * 60 * 1000));
	assert_true(client_ended(client));
	story[0] = 0;
}

static void garbage_is_fatal(void **state)
{
	(void)state;
	uint8_t bytes[64];
	size_t used;
	send_text(5, "a");
	connect_at(5);
	memset(bytes, 0xff, sizeof(bytes));
	client_input(client, NOW(5), slice_of(bytes, sizeof(bytes)), &used);
	assert_story("fatal 22; ");
}

static void a_token_of_another_length_is_none(void **state)
{
	uint8_t list[16];
	struct writer tags = writer_of(list, sizeof(list));
	(void)state;
	send_text(5, "a");
	connect_at(5);
	tags_put(&tags, WELCOME_TAG_TOKEN, slice_str("short"));
	DAEMON(5, welcome, WIRE_VERSION, 0, 9, 0, 0, 1 << 20, slice_of(tags.p, tags.len));
	assert_story("fatal 22; ");
}

/* ---- cells ---- */

static struct cells cells;

static void setup_cells(const char *list)
{
	const char *why;
	assert_int_equal(cells_parse(&cells, slice_str(list), &why), 0);
	setup_config(&(struct client_config){
	    .servers = 1, .window = 16, .timeout_ms = 30000, .seed = 7, .cells = &cells});
	features = WIRE_FEATURE_PING | WIRE_FEATURE_CELLS;
}

/* A connection is wanted, to this cell. */
static void connect_to_cell(uint64_t now, const char *cell)
{
	struct client_target t;
	assert_true(client_connect(client, NOW(now), &t));
	assert_int_equal(t.cell.len, strlen(cell));
	if (t.cell.len > 0)
		assert_memory_equal(t.cell.data, cell, t.cell.len);
	assert_int_equal(t.server, 0);
	client_connected(client, NOW(now), 0);
}

/* It leaves the daemon, and comes to this cell as soon as it may; returns when. */
static uint64_t led_to(uint64_t now, const char *cell)
{
	expect_frames(now, "BYE ");
	client_disconnected(client, NOW(now));
	now += client_due_ms(client, NOW(now));
	connect_to_cell(now, cell);
	expect_frames(now, "HELLO(0,0) ");
	return now;
}

/* The daemon says that q lives in `cell`. */
static void moved(uint64_t now, const char *queue, const char *cell, const char *token)
{
	uint8_t list[64];
	struct writer tags = writer_of(list, sizeof(list));
	tags_put(&tags, MOVED_TAG_SERVERS, slice_str("there:1"));
	DAEMON(now, moved, slice_str(queue), slice_str(cell), slice_str(token),
	    slice_of(tags.p, tags.len));
}

static void refuse_elsewhere(uint64_t now, uint64_t n, const char *cell)
{
	moved(now, "q", cell, "");
	DAEMON(now, failed, n, RMQ_E_ELSEWHERE, 0, {0});
}

static void send_to(uint64_t now, const char *queue, const char *text)
{
	struct sendbuf *b = sendbuf_new();
	assert_true(sendbuf_append(b, slice_str(text), '\n'));
	client_send(client, NOW(now), slice_str(queue), 0, b, (char *)(uintptr_t)text);
}

static void a_client_begins_at_the_home_of_its_queue(void **state)
{
	(void)state;
	setup_cells("a=h;b=h;c=h");
	send_to(5, "q.at.c", "x");
	connect_to_cell(5, "c");
	assert_int_equal(client_cell(client).len, 1);
	setup_cells("a=h;b=h;c=h");
	client_subscribe(client, NOW(5), slice_str("q.at.b"), 0, 0);
	connect_to_cell(5, "b");
	setup_cells("a=h;b=h;c=h");
	client_watch(client, NOW(5), slice_str("q.at.b.dead"), WATCH_BELOW, 1);
	connect_to_cell(5, "b");
	/* What names no queue goes to the first one. */
	setup_cells("a=h;b=h;c=h");
	client_list(client, NOW(5), slice_str(""), slice_str("q.at.b"), 1);
	connect_to_cell(5, "a");
}

static void what_is_elsewhere_is_asked_for_there_in_order(void **state)
{
	(void)state;
	features = WIRE_FEATURE_CELLS;
	send_text(5, "a");
	send_text(5, "b");
	send_text(5, "c");
	begin(5);
	expect_frames(5, "SEND#1/0 SEND#2/0 SEND#3/0 ");
	DAEMON(6, sent, 1, 1, 1);
	refuse_elsewhere(7, 2, "b");
	DAEMON(7, failed, 3, RMQ_E_OUT_OF_ORDER, 0, {0});
	assert_story("sent a at 1 x1; ");
	/* Nothing that flew is unanswered: it goes, and hears nothing more. */
	send_text(7, "d");
	expect_frames(7, "BYE ");
	DAEMON(8, sent, 2, 2, 1);
	assert_story("");
	client_disconnected(client, NOW(8));
	connect_to_cell(8, "b");
	expect_frames(8, "HELLO(0,0) ");
	welcome(8, 12, 0);
	expect_frames(8, "SEND#1/0 SEND#2/0 SEND#3/0 ");
	DAEMON(9, sent, 1, 7, 1);
	DAEMON(9, sent, 2, 8, 1);
	DAEMON(9, sent, 3, 9, 1);
	assert_story("sent b at 7 x1; sent c at 8 x1; sent d at 9 x1; ");
}

static void it_stays_until_all_that_flew_is_answered(void **state)
{
	(void)state;
	features = WIRE_FEATURE_CELLS;
	client_subscribe(client, NOW(5), slice_str("r"), 0, 0);
	send_text(5, "a");
	send_text(5, "b");
	begin(5);
	expect_frames(5, "SEND#1/0 SEND#2/0 SUBSCRIBE ");
	moved(6, "r", "b", "");
	DAEMON(6, sub_failed, 0, RMQ_E_ELSEWHERE, {0});
	send_text(6, "c");
	expect_frames(6, "");
	DAEMON(7, sent, 1, 1, 1);
	expect_frames(7, "");
	DAEMON(8, sent, 2, 2, 1);
	expect_frames(8, "BYE ");
	assert_story("sent a at 1 x1; sent b at 2 x1; ");
	client_disconnected(client, NOW(9));
	connect_to_cell(9, "b");
	expect_frames(9, "HELLO(0,0) ");
	welcome(9, 12, 0);
	expect_frames(9, "SEND#1/0 SUBSCRIBE ");
}

static void a_connection_that_is_lost_before_bye_leads_back(void **state)
{
	(void)state;
	features = WIRE_FEATURE_CELLS;
	client_subscribe(client, NOW(5), slice_str("r"), 0, 0);
	send_text(5, "a");
	send_text(5, "b");
	begin(5);
	expect_frames(5, "SEND#1/0 SEND#2/0 SUBSCRIBE ");
	moved(6, "r", "b", "");
	DAEMON(6, sub_failed, 0, RMQ_E_ELSEWHERE, {0});
	/* Whether the daemon took them is asked where that was. */
	reconnect(7, "HELLO(9,0) ", 1);
	expect_frames(1007, "SEND#1/0 SEND#2/0 SUBSCRIBE ");
	moved(1008, "r", "b", "");
	DAEMON(1008, sub_failed, 0, RMQ_E_ELSEWHERE, {0});
	DAEMON(1008, sent, 1, 1, 1);
	expect_frames(1008, "");
	DAEMON(1008, sent, 2, 2, 1);
	expect_frames(1008, "BYE ");
	assert_story("sent a at 1 x1; sent b at 2 x1; ");
	client_disconnected(client, NOW(1009));
	connect_to_cell(1009, "b");
}

static void what_was_taken_is_asked_about_before_it_goes(void **state)
{
	(void)state;
	features = WIRE_FEATURE_CELLS;
	client_peek(client, NOW(5), slice_str("r"), STATES, 1, 1);
	send_text(5, "a");
	begin(5);
	expect_frames(5, "PEEK SEND#1/0 ");
	/* The request is answered before the commands are repeated. */
	client_disconnected(client, NOW(7));
	connect_at(1007);
	expect_frames(1007, "HELLO(9,0) ");
	welcome(1007, 9, 1);
	struct slice pieces[CLIENT_PIECES];
	assert_int_equal(client_output(client, NOW(1007), pieces, 1), 1);
	client_wrote(client, pieces[0].len);
	moved(1008, "r", "b", "");
	expect_frames(1008, "SEND#1/0 ");
	DAEMON(1009, sent, 1, 1, 1);
	expect_frames(1009, "BYE ");
	client_disconnected(client, NOW(1010));
	connect_to_cell(1010, "b");
	expect_frames(1010, "HELLO(0,0) ");
	welcome(1010, 12, 0);
	expect_frames(1010, "PEEK ");
	assert_story("sent a at 1 x1; ");
}

static void bye_that_was_not_written_leads_back(void **state)
{
	(void)state;
	features = WIRE_FEATURE_CELLS;
	begin_one("a");
	refuse_elsewhere(6, 1, "b");
	struct slice pieces[CLIENT_PIECES];
	assert_int_equal(client_output(client, NOW(6), pieces, CLIENT_PIECES), 1);
	client_wrote(client, pieces[0].len - 1);
	reconnect(7, "HELLO(9,0) ", 0);
	expect_frames(1007, "SEND#1/0 ");
}

static void a_daemon_that_does_not_end_the_connection_is_left(void **state)
{
	(void)state;
	features = WIRE_FEATURE_CELLS;
	begin_one("a");
	refuse_elsewhere(6, 1, "b");
	expect_frames(6, "BYE ");
	assert_int_equal(client_due_ms(client, NOW(6)), 1000);
	client_tick(client, NOW(1005));
	assert_false(client_hangs_up(client));
	client_tick(client, NOW(1006));
	assert_true(client_hangs_up(client));
	client_disconnected(client, NOW(1006));
	connect_to_cell(1006, "b");
}

static void leases_are_given_back_and_a_subscription_goes_along(void **state)
{
	(void)state;
	features = WIRE_FEATURE_CELLS;
	subscribe(5, 10);
	delivery(6, 77, 1, 6, "ab");
	send_to(7, "r", "x");
	expect_frames(7, "SEND#1/0 ");
	assert_story("1:77=a; 2:77=b; ");
	moved(8, "r", "b", "");
	DAEMON(8, failed, 1, RMQ_E_ELSEWHERE, 0, {0});
	/* Nobody vouches for them any more, and that is told before BYE is written. */
	assert_story("ended 2 1:77 x2; ");
	assert_false(client_vouches(client, 77, 1, NOW(8)));
	expect_frames(8, "BYE ");
	client_disconnected(client, NOW(9));
	connect_to_cell(9, "b");
	expect_frames(9, "HELLO(0,0) ");
	welcome(9, 12, 0);
	expect_frames(9, "SEND#1/0 SUBSCRIBE CREDIT(8,996) ");
}

static void who_waits_for_room_goes_along_with_its_queue(void **state)
{
	(void)state;
	features = WIRE_FEATURE_CELLS;
	begin_one("a");
	DAEMON(6, failed, 1, RMQ_E_PAUSED, 0, {0});
	assert_true(client_blocked(client));
	moved(7, "q", "b", "0123456789abcdef");
	expect_frames(7, "BYE ");
	client_disconnected(client, NOW(8));
	connect_to_cell(8, "b");
	expect_frames(8, "HELLO(0,0) ");
	welcome(8, 12, 0);
	/* The copy there is opened before anything is asked of it, on each connection. */
	expect_frames(8, "CAME SEND#1/0 ");
	client_disconnected(client, NOW(9));
	connect_to_cell(1009, "b");
	expect_frames(1009, "HELLO(12,0) ");
	DAEMON(1009, welcome, WIRE_VERSION, features, 12, 0, 0, 1 << 20, NO_TAGS);
	expect_frames(1009, "CAME SEND#1/0 ");
}

static void an_older_daemon_is_told_nothing_of_cells(void **state)
{
	(void)state;
	features = WIRE_FEATURE_CELLS;
	begin_one("a");
	moved(6, "q", "b", "0123456789abcdef");
	DAEMON(6, failed, 1, RMQ_E_ELSEWHERE, 0, {0});
	expect_frames(6, "BYE ");
	client_disconnected(client, NOW(7));
	connect_to_cell(7, "b");
	expect_frames(7, "HELLO(0,0) ");
	features = 0;
	welcome(7, 12, 0);
	expect_frames(7, "SEND#1/0 ");
}

static void what_nobody_wants_any_more_is_not_followed(void **state)
{
	(void)state;
	features = WIRE_FEATURE_CELLS;
	begin_one("a");
	moved(6, "r", "b", "");
	expect_frames(6, "");
	DAEMON(7, sent, 1, 1, 1);
	send_text(8, "b");
	expect_frames(8, "SEND#2/1 ");
	assert_false(client_hangs_up(client));
}

/* One hop: where it is, it is sent to `cell`. */
static uint64_t hop(uint64_t now, const char *cell)
{
	refuse_elsewhere(now, 1, cell);
	if (client_dead(client))
		return now;
	now = led_to(now, cell);
	welcome(now, 12, 0);
	expect_frames(now, "SEND#1/0 ");
	return now;
}

#define CIRCLE \
	"cells send it from one to the other for queue q, now from %s to %s: their lists of " \
	"cells differ, or one was restored or wiped: see Cells in rmq(7)"

static void assert_circle(const char *text, const char *from, const char *to)
{
	char expected[256];
	snprintf(expected, sizeof(expected), CIRCLE, from, to);
	assert_string_equal(text, expected);
}

static void in_a_circle_it_waits_for_lists_to_change(void **state)
{
	uint64_t now = 5, last = 5, asked = 0;
	(void)state;
	features = WIRE_FEATURE_CELLS;
	begin_one("x");
	for (int i = 0; now < 25000; i++) {
		last = now;
		now = hop(now, i % 2 ? "a" : "b");
		asked++;
	}
	/* With back-off, as for a daemon that is not there. */
	assert_in_range(now - last, 500, 1000);
	assert_in_range(asked, 25, 60);
	assert_false(client_dead(client));
	/* It is one and the same that it waits for, since it was first sent away. */
	struct client_waiting w = client_waiting(client);
	assert_int_equal(w.what, CLIENT_WAITS_CELLS);
	assert_int_equal(w.since.ms, 5);
	assert_circle(w.why, asked % 2 ? "a" : "b", asked % 2 ? "b" : "a");
	/* Then one of them has it. */
	DAEMON(now, sent, 1, 1, 1);
	assert_story("sent x at 1 x1; ");
	assert_int_equal(client_waiting(client).what, CLIENT_WAITS_NOT);
}

static void circles_end_it_with_a_reason_when_the_time_is_over(void **state)
{
	uint64_t now = 5;
	(void)state;
	features = WIRE_FEATURE_CELLS;
	begin_one("x");
	for (int i = 0; i < 12; i++)
		now = hop(now, i % 2 ? "a" : "b");
	/* The second time that it is led somewhere is an answer yet. */
	assert_true(now < 30000);
	client_tick(client, NOW(30004));
	assert_story("");
	client_tick(client, NOW(30100));
	assert_story("fatal 33; ");
	assert_circle(fatal_text, "b", "a");
	refuse_elsewhere(30100, 1, "b");
	assert_int_equal(client_unanswered(client), 1);
}

/* Without a time-out it goes on for ever. */
static void a_cell_that_is_down_is_what_it_waits_for(void **state)
{
	uint64_t now = 5;
	(void)state;
	features = WIRE_FEATURE_CELLS;
	setup_config(&(struct client_config){
	    .servers = 1, .window = 16, .timeout_ms = CLIENT_FOREVER, .seed = 7});
	begin_one("x");
	for (int i = 0; i < 400; i++)
		now = hop(now, i % 2 ? "a" : "b");
	assert_true(now > 200000);
	assert_int_equal(client_waiting(client).what, CLIENT_WAITS_CELLS);
	client_disconnected(client, NOW(now));
	now += client_due_ms(client, NOW(now));
	connect_to_cell(now, "a");
	client_disconnected(client, NOW(now + 1));
	assert_int_equal(client_waiting(client).what, CLIENT_WAITS_DAEMON);
	assert_story("");
}

static void without_waiting_a_circle_refuses_what_goes_round(void **state)
{
	uint64_t now = 5;
	(void)state;
	features = WIRE_FEATURE_CELLS;
	setup_config(&(struct client_config){.servers = 1,
	    .window = 16,
	    .timeout_ms = CLIENT_FOREVER,
	    .seed = 7,
	    .no_wait = true});
	begin_one("x");
	for (int i = 0; i < 8; i++)
		now = hop(now, i % 2 ? "a" : "b");
	/* Not all at once, nor for long. */
	assert_in_range(now, 500, 3000);
	assert_int_equal(client_waiting(client).what, CLIENT_WAITS_ANSWER);
	send_to(now, "r", "y");
	expect_frames(now, "SEND#2/0 ");
	refuse_elsewhere(now, 1, "b");
	assert_story("failed x 33 at 0; ");
	DAEMON(now, failed, 2, RMQ_E_OUT_OF_ORDER, 0, {0});
	/* What is for another queue goes on where it is, and the next one is led as the first was. */
	client_tick(client, NOW(now));
	expect_frames(now, "SEND#1/0 ");
	DAEMON(now, sent, 1, 1, 1);
	assert_story("sent y at 1 x1; ");
	send_text(now, "z");
	expect_frames(now, "SEND#2/1 ");
	refuse_elsewhere(now, 2, "b");
	expect_frames(now, "BYE ");
	assert_story("");
}

/* The list of the client has the addresses of a for b. */
static void a_list_that_names_cells_otherwise_is_told_from_one_that_differs(void **state)
{
	uint8_t list[32];
	struct writer tags = writer_of(list, sizeof(list));
	uint64_t now = 5;
	(void)state;
	features = WIRE_FEATURE_CELLS;
	tags_put(&tags, WELCOME_TAG_CELL, slice_str("a"));
	begin_one("x");
	for (int i = 0; i < 5; i++) {
		refuse_elsewhere(now, 1, "b");
		now = led_to(now, "b");
		DAEMON(now, welcome, WIRE_VERSION, features, 12, 0, 0, 1 << 20,
		    slice_of(tags.p, tags.len));
		expect_frames(now, "SEND#1/0 ");
	}
	assert_string_equal(client_waiting(client).why,
	    "cells send it from one to the other for queue q, now from a to b: the addresses "
	    "of cell b lead to cell a: see Cells in rmq(7)");
}

/* A request is refused by nobody. */
static void without_waiting_a_circle_ends_who_asks(void **state)
{
	uint64_t now = 5;
	(void)state;
	features = WIRE_FEATURE_CELLS;
	setup_config(&(struct client_config){.servers = 1,
	    .window = 16,
	    .timeout_ms = CLIENT_FOREVER,
	    .seed = 7,
	    .no_wait = true});
	client_bindings(client, NOW(5), slice_str("q"));
	begin(5);
	for (int i = 0; i < 8; i++) {
		const char *cell = i % 2 ? "a" : "b";
		expect_frames(now, "BINDINGS ");
		moved(now, "q", cell, "");
		now = led_to(now, cell);
		welcome(now, 12, 0);
	}
	expect_frames(now, "BINDINGS ");
	assert_story("");
	moved(now, "q", "b", "");
	assert_story("fatal 33; ");
	assert_circle(fatal_text, "b", "a");
}

static void a_cell_that_has_forgotten_what_came_to_it_is_named(void **state)
{
	uint64_t now = 5;
	(void)state;
	features = WIRE_FEATURE_CELLS;
	setup_config(&(struct client_config){.servers = 1,
	    .window = 16,
	    .timeout_ms = CLIENT_FOREVER,
	    .seed = 7,
	    .no_wait = true});
	client_bindings(client, NOW(5), slice_str("q"));
	begin(5);
	for (int i = 0; story[0] == 0; i++) {
		bool there = i % 2 == 0;
		assert_true(i < 12);
		expect_frames(now, there ? "BINDINGS " : "CAME BINDINGS ");
		moved(now, "q", there ? "b" : "a", there ? "0123456789abcdef" : "");
		if (story[0] != 0)
			break;
		now = led_to(now, there ? "b" : "a");
		welcome(now, 12, 0);
	}
	assert_story("fatal 33; ");
	assert_string_equal(fatal_text,
	    "cell b, where queue q has gone, does not know it, as it was wiped or restored: "
	    "rmq-queue place-cell, see Cells in rmq(7)");
}

static void who_gets_on_may_go_to_and_fro(void **state)
{
	uint64_t now = 5;
	(void)state;
	features = WIRE_FEATURE_CELLS;
	for (int i = 0; i < 20; i++)
		send_text(5, "x");
	connect_at(5);
	expect_frames(5, "HELLO(0,0) ");
	welcome(5, 9, 0);
	for (int i = 0; i < 20; i++) {
		struct slice pieces[CLIENT_PIECES];
		size_t count;
		while ((count = client_output(client, NOW(now), pieces, CLIENT_PIECES)) > 0)
			for (size_t k = 0; k < count; k++)
				client_wrote(client, pieces[k].len);
		DAEMON(now, sent, 1, 1, 1);
		assert_story("sent x at 1 x1; ");
		if (i == 19)
			break;
		refuse_elsewhere(now, 2, i % 2 ? "a" : "b");
		now = led_to(now, i % 2 ? "a" : "b");
		welcome(now, 9, 0);
	}
	assert_int_equal(client_unanswered(client), 0);
	assert_true(now < 100);
}

static void who_follows_a_queue_that_moves_is_in_no_circle(void **state)
{
	uint64_t now = 5;
	char token[CELL_TOKEN_SIZE + 1];
	(void)state;
	features = WIRE_FEATURE_CELLS;
	begin_one("x");
	for (int i = 0; i < 30; i++) {
		const char *cell = i % 2 ? "a" : "b";
		/* From the 20th on the same two lead it to and fro. */
		snprintf(token, sizeof(token), "token %10d", i < 20 ? i : 18 + i % 2);
		moved(now, "q", cell, token);
		DAEMON(now, failed, 1, RMQ_E_ELSEWHERE, 0, {0});
		assert_int_equal(client_waiting(client).what == CLIENT_WAITS_CELLS, i >= 23);
		expect_frames(now, "BYE ");
		client_disconnected(client, NOW(now));
		now += client_due_ms(client, NOW(now));
		assert_true(i >= 20 || now < 500);
		connect_to_cell(now, cell);
		expect_frames(now, "HELLO(0,0) ");
		welcome(now, 12, 0);
		expect_frames(now, "CAME SEND#1/0 ");
	}
	assert_story("");
}

/* Nothing is done in either cell: it is no circle, but takes its time. */
static void subscriptions_in_two_cells_go_to_and_fro_slowly(void **state)
{
	uint64_t now = 5;
	(void)state;
	features = WIRE_FEATURE_CELLS;
	client_subscribe(client, NOW(5), slice_str("q"), 0, 0);
	client_subscribe(client, NOW(5), slice_str("r"), 0, 0);
	begin(5);
	for (int i = 0; i < 20; i++) {
		expect_frames(now, "SUBSCRIBE SUBSCRIBE ");
		DAEMON(now, subscribed, (uint32_t)i % 2, 3000);
		moved(now, i % 2 ? "q" : "r", i % 2 ? "a" : "b", "");
		DAEMON(now, sub_failed, 1 - (uint32_t)i % 2, RMQ_E_ELSEWHERE, {0});
		now = led_to(now, i % 2 ? "a" : "b");
		welcome(now, 12, 0);
	}
	assert_true(now > 3000);
	assert_false(client_dead(client));
	assert_story("");
}

static void it_knows_the_way_back_to_where_it_began(void **state)
{
	uint8_t list[32];
	struct writer tags = writer_of(list, sizeof(list));
	(void)state;
	features = WIRE_FEATURE_CELLS;
	send_text(5, "a");
	connect_to_cell(5, "");
	expect_frames(5, "HELLO(0,0) ");
	tags_put(&tags, WELCOME_TAG_CELL, slice_str("home"));
	DAEMON(
	    5, welcome, WIRE_VERSION, features, 9, 0, 0, 1 << 20, slice_of(tags.p, tags.len));
	assert_int_equal(client_cell(client).len, 4);
	expect_frames(5, "SEND#1/0 ");
	uint64_t now = hop(5, "b");
	refuse_elsewhere(now, 1, "home");
	expect_frames(now, "BYE ");
	client_disconnected(client, NOW(now));
	now += client_due_ms(client, NOW(now));
	connect_to_cell(now, "");
	assert_memory_equal(client_cell(client).data, "home", 4);
}

static void on_moved(
    void *arg, struct slice queue, struct slice cell, struct slice servers, struct slice token)
{
	(void)arg;
	tell("moved %.*s to %.*s at %.*s token %d; ", (int)queue.len, (const char *)queue.data,
	    (int)cell.len, (const char *)cell.data, (int)servers.len,
	    (const char *)servers.data, (int)token.len);
}

static void on_sub_failed(void *arg, uint32_t sub, enum rmq_error code, struct slice text)
{
	(void)arg, (void)text;
	tell("subscription %d failed %d; ", (int)sub, code);
}

static void on_watched(void *arg, uint32_t req, enum rmq_error code, uint64_t messages)
{
	(void)arg, (void)req, (void)messages;
	tell("watched %d; ", code);
}

static void pin(const struct client_host *to)
{
	client_free(client);
	client = client_new(&(struct client_config){.servers = 1,
				.window = 16,
				.timeout_ms = 30000,
				.seed = 7,
				.pinned = true,
				.cell = slice_str("a")},
	    to);
	features = WIRE_FEATURE_CELLS | WIRE_FEATURE_PING;
}

static void a_pinned_client_goes_nowhere(void **state)
{
	struct client_host asking = host;
	(void)state;
	asking.moved = on_moved;
	asking.watched = on_watched;
	pin(&asking);
	client_watch(client, NOW(5), slice_str("q"), WATCH_BELOW, 1);
	send_text(5, "a");
	connect_to_cell(5, "a");
	expect_frames(5, "HELLO(0,0) ");
	welcome(5, 9, 0);
	expect_frames(5, "WATCH SEND#1/0 ");
	moved(6, "q", "b", "0123456789abcdef");
	assert_story("moved q to b at there:1 token 16; watched 33; ");
	refuse_elsewhere(6, 1, "b");
	assert_story("moved q to b at there:1 token 0; failed a 33 at 0; ");
	send_text(7, "b");
	expect_frames(7, "SEND#1/0 ");
}

static void welcome_from(uint64_t now, const char *cell)
{
	uint8_t list[32];
	struct writer tags = writer_of(list, sizeof(list));
	tags_put(&tags, WELCOME_TAG_CELL, slice_str(cell));
	DAEMON(
	    now, welcome, WIRE_VERSION, features, 9, 0, 0, 1 << 20, slice_of(tags.p, tags.len));
}

static void a_pinned_client_does_nothing_in_a_cell_of_another_name(void **state)
{
	(void)state;
	pin(&host);
	send_text(5, "a");
	connect_to_cell(5, "a");
	expect_frames(5, "HELLO(0,0) ");
	welcome_from(5, "b");
	assert_true(client_dead(client));
	assert_story("fatal 24; ");
}

/* It may hold a queue, which ends when nothing is heard of it. */
static void a_pinned_client_pings_while_it_asks_nothing(void **state)
{
	(void)state;
	pin(&host);
	send_text(5, "a");
	connect_to_cell(5, "a");
	expect_frames(5, "HELLO(0,0) ");
	welcome_from(5, "a");
	expect_frames(5, "SEND#1/0 ");
	DAEMON(6, sent, 1, 1, 1);
	for (uint64_t now = 6; now < 60000;) {
		now += client_due_ms(client, NOW(now));
		client_tick(client, NOW(now));
		expect_frames(now, "PING ");
		DAEMON(now, pong, now);
	}
}

static void the_end_comes_where_the_last_command_is_done(void **state)
{
	(void)state;
	features = WIRE_FEATURE_CELLS;
	subscribe(5, 10);
	send_to(7, "r", "x");
	client_bye(client);
	expect_frames(7, "SEND#1/0 ");
	moved(8, "r", "b", "");
	DAEMON(8, failed, 1, RMQ_E_ELSEWHERE, 0, {0});
	expect_frames(8, "BYE ");
	assert_false(client_ended(client));
	client_disconnected(client, NOW(9));
	assert_false(client_ended(client));
	connect_to_cell(9, "b");
	expect_frames(9, "HELLO(0,0) ");
	welcome(9, 12, 0);
	expect_frames(9, "SEND#1/0 ");
	DAEMON(9, sent, 1, 1, 1);
	expect_frames(9, "BYE ");
	assert_true(client_ended(client));
	assert_story("sent x at 1 x1; ");
}

static void who_ends_follows_no_subscription(void **state)
{
	struct client_host asking = host;
	(void)state;
	asking.sub_failed = on_sub_failed;
	client_free(client);
	client = client_new(
	    &(struct client_config){.servers = 1, .window = 16, .timeout_ms = 30000, .seed = 7},
	    &asking);
	features = WIRE_FEATURE_CELLS;
	subscribe(5, 10);
	send_to(7, "r", "x");
	expect_frames(7, "SEND#1/0 ");
	client_bye(client);
	moved(8, "q", "b", "");
	DAEMON(8, sub_failed, 0, RMQ_E_ELSEWHERE, {0});
	assert_story("");
	DAEMON(8, sent, 1, 1, 1);
	expect_frames(8, "BYE ");
	assert_true(client_ended(client));
	assert_story("sent x at 1 x1; ");
}

static void a_moved_that_is_wrong_is_fatal(void **state)
{
	static const struct {
		const char *queue, *cell, *token;
	} bad[] = {{"q", "", ""}, {"q", "a b", ""}, {"", "a", ""}, {"a b", "a", ""},
	    {"q", "a", "short"}};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		teardown(NULL);
		setup(NULL);
		begin_one("a");
		moved(6, bad[i].queue, bad[i].cell, bad[i].token);
		assert_story("fatal 22; ");
	}
}

/* Who asked it would be sent away: it knows no such frame. */
static void an_older_daemon_is_not_asked_for_cells(void **state)
{
	(void)state;
	client_cells(client, NOW(5));
	begin(5);
	expect_frames(5, "");
	client_tick(client, NOW(5));
	assert_story("cells 0 0; ");
	client_cells(client, NOW(6));
	client_list(client, NOW(6), slice_str(""), slice_str("*"), 9);
	expect_frames(6, "LIST(,9) ");
	client_tick(client, NOW(6));
	assert_story("cells 0 0; ");
	client_places(client, NOW(7), slice_str(""), 9);
	client_tick(client, NOW(7));
	assert_story("fatal 21; ");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {T(sends_wait_for_welcome_and_are_numbered),
    T(unanswered_commands_are_repeated_with_their_numbers),
    T(a_full_queue_is_waited_for_and_everything_behind_repeated),
    T(out_of_order_in_answer_to_the_oldest_command_ends_it),
    T(a_full_queue_ends_it_after_the_timeout),
    T(a_receiver_is_refused_after_the_timeout_when_it_is_full),
    T(what_comes_in_does_not_lengthen_the_wait_for_room),
    T(room_that_comes_at_the_last_moment_is_waited_for_again_the_next_time),
    T(no_wait_fails_at_once_when_full), T(only_a_send_that_was_not_taken_is_taken_back),
    T(a_message_that_is_too_large_is_taken_out_and_what_is_behind_stays),
    T(a_stop_sends_what_was_in_front_and_shelves_the_rest),
    T(what_is_taken_out_is_passed_in_its_input), T(what_is_cut_off_is_not_passed_in_its_input),
    T(the_daemon_learns_what_was_known_and_what_was_bad),
    T(both_parts_of_a_send_lack_what_was_bad),
    T(an_older_daemon_need_not_know_how_far_an_input_has_come),
    T(a_first_bad_message_leaves_nothing_to_send),
    T(a_half_written_frame_is_ended_before_the_repeat),
    T(large_messages_go_in_pieces_and_wait_for_their_room),
    T(an_unknown_session_is_fatal_only_if_a_send_may_have_been_taken),
    T(a_token_of_another_length_is_none), T(no_daemon_is_told_after_the_timeout_and_not_before),
    T(a_timeout_of_0_tries_once), T(a_silent_daemon_times_out_and_waiting_for_input_does_not),
    T(redirects_are_followed_and_end), T(the_end_of_a_stream_does_not_lead_back),
    T(the_way_to_a_daemon_may_take_longer_than_its_answer),
    T(a_command_that_is_the_only_way_is_not_tried_often),
    T(a_redirect_that_leads_nowhere_is_not_the_end),
    T(who_cannot_go_where_it_is_redirected_has_its_contact_point_relay),
    T(contact_points_may_change),
    T(who_is_redirected_and_loses_it_comes_back_at_once_to_its_contact_point),
    T(a_daemon_that_ends_again_and_again_is_not_asked_at_once_each_time),
    T(not_yet_is_come_back_to_in_its_time_and_within_200_ms),
    T(not_yet_goes_to_the_next_contact_point_and_is_no_progress),
    T(a_contact_point_that_does_not_answer_is_left_for_the_next_one),
    T(a_daemon_that_owes_an_answer_and_says_nothing_is_asked_and_left),
    T(a_daemon_that_answers_is_stayed_with), T(who_waits_for_messages_asks_less_often),
    T(who_watches_waits_for_no_answer), T(who_stood_still_reads_before_it_leaves),
    T(a_machine_that_is_gone_is_left_once_it_was_asked),
    T(a_daemon_on_another_machine_is_asked_sooner), T(a_daemon_that_knows_no_ping_is_not_asked),
    T(a_redirected_client_asks_its_contact_point_after_silence),
    T(who_waits_for_a_key_goes_on_after_what_it_was_told),
    T(a_key_that_is_only_read_is_read_again), T(the_only_contact_point_is_waited_for),
    T(the_only_daemon_is_asked_and_not_left), T(the_only_command_is_begun_anew),
    T(a_timeout_of_0_tries_each_contact_point_once),
    T(a_lease_is_vouched_for_from_its_stamp_for_its_length),
    T(extend_is_sent_every_third_of_a_lease_while_something_is_held),
    T(what_is_settled_and_sent_is_held_until_it_is_done),
    T(what_is_refused_to_be_settled_and_sent_is_held_on),
    T(leases_go_on_also_while_a_new_connection_waits_for_room),
    T(a_new_connection_confirms_what_is_held_and_repeats_nothing),
    T(attributes_are_those_of_the_message_also_in_a_part_of_a_frame),
    T(what_the_daemon_does_not_name_again_has_ended),
    T(a_lease_that_is_detached_is_vouched_for_as_before_until_the_answer),
    T(a_lease_that_an_answer_calls_stale_is_not_held_any_more),
    T(a_lease_ends_when_the_daemon_says_so), T(large_messages_come_together),
    T(unsubscribing_without_a_connection_ends_at_once),
    T(a_list_goes_on_where_the_connection_broke),
    T(what_would_write_to_a_terminal_is_not_taken_from_a_daemon),
    T(a_list_goes_on_where_the_daemon_stopped_looking), T(bye_waits_for_the_last_answer),
    T(who_ends_without_a_connection_comes_back_to_give_back_what_it_may_hold),
    T(what_was_forgotten_before_the_connection_was_lost_is_given_back),
    T(what_a_lost_connection_had_on_its_way_is_given_back),
    T(what_a_refused_settlement_names_is_given_back),
    T(a_bye_that_was_not_written_is_said_again),
    T(the_daemon_is_waited_for_no_longer_than_the_timeout_to_say_bye),
    T(what_is_known_is_taken_out_and_told_with_its_numbers),
    T(a_daemon_may_know_no_numbers_of_what_is_known),
    T(numbers_that_are_not_of_what_is_known_are_refused), T(garbage_is_fatal),
    T(an_older_daemon_is_not_asked_for_cells), T(a_client_begins_at_the_home_of_its_queue),
    T(what_is_elsewhere_is_asked_for_there_in_order),
    T(it_stays_until_all_that_flew_is_answered),
    T(a_connection_that_is_lost_before_bye_leads_back),
    T(what_was_taken_is_asked_about_before_it_goes), T(bye_that_was_not_written_leads_back),
    T(a_daemon_that_does_not_end_the_connection_is_left),
    T(leases_are_given_back_and_a_subscription_goes_along),
    T(who_waits_for_room_goes_along_with_its_queue),
    T(an_older_daemon_is_told_nothing_of_cells), T(what_nobody_wants_any_more_is_not_followed),
    T(in_a_circle_it_waits_for_lists_to_change),
    T(circles_end_it_with_a_reason_when_the_time_is_over),
    T(a_cell_that_is_down_is_what_it_waits_for),
    T(without_waiting_a_circle_refuses_what_goes_round),
    T(without_waiting_a_circle_ends_who_asks),
    T(a_cell_that_has_forgotten_what_came_to_it_is_named),
    T(a_list_that_names_cells_otherwise_is_told_from_one_that_differs),
    T(who_gets_on_may_go_to_and_fro), T(who_follows_a_queue_that_moves_is_in_no_circle),
    T(subscriptions_in_two_cells_go_to_and_fro_slowly),
    T(it_knows_the_way_back_to_where_it_began), T(a_pinned_client_goes_nowhere),
    T(a_pinned_client_does_nothing_in_a_cell_of_another_name),
    T(a_pinned_client_pings_while_it_asks_nothing),
    T(the_end_comes_where_the_last_command_is_done), T(who_ends_follows_no_subscription),
    T(a_moved_that_is_wrong_is_fatal)};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
