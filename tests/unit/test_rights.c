/* Lists of rights, and what the queue core asks them for before a frame is acted upon. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/name.h"
#include "core/broker/broker.h"
#include "core/queue/rights.h"

#define HAVE "have"
#define NONE "none"

/* ---- lists ---- */

static uint8_t list_bytes[RIGHTS_MAX + 512];
static struct writer list;

static void no_rights(void)
{
	list = writer_of(list_bytes, sizeof(list_bytes));
}

static void grant(unsigned verbs, enum rights_of of, const char *glob)
{
	struct rights_entry e = {(uint16_t)verbs, (uint8_t)of, slice_str(glob)};
	rights_entry_encode(&list, &e);
}

static struct slice granted(void)
{
	return slice_of(list.p, list.len);
}

static bool may(unsigned verbs, const char *queue)
{
	return rights_grant(granted(), RIGHTS_QUEUE, verbs, slice_str(queue));
}

static bool may_pattern(const char *glob, const char *pattern)
{
	no_rights();
	grant(RIGHT_RECV, RIGHTS_TOPIC, glob);
	return rights_grant_pattern(granted(), RIGHT_RECV, slice_str(pattern));
}

static void what_no_entry_grants_is_denied(void **state)
{
	(void)state;
	no_rights();
	assert_false(may(RIGHTS_ALL, "jobs"));
	grant(RIGHT_SEND, RIGHTS_QUEUE, "jobs.*");
	grant(RIGHT_RECV, RIGHTS_QUEUE, "mail");
	grant(RIGHT_ADMIN, RIGHTS_QUEUE, "ops?");
	assert_true(may(RIGHT_SEND, "jobs.a"));
	assert_false(may(RIGHT_RECV, "jobs.a"));
	assert_false(may(RIGHT_ADMIN, "jobs.a"));
	assert_true(may(RIGHT_SEND | RIGHT_RECV, "jobs.a"));
	assert_false(may(RIGHT_SEND, "jobs"));
	assert_false(may(RIGHT_SEND, "xjobs.a"));
	assert_true(may(RIGHT_RECV, "mail"));
	assert_false(may(RIGHT_RECV, "mails"));
	assert_false(may(RIGHT_RECV, "Mail"));
	/* admin implies the others. */
	assert_true(may(RIGHT_SEND, "ops1"));
	assert_true(may(RIGHT_RECV, "ops1"));
	assert_true(may(RIGHT_ADMIN, "ops1"));
	/* What is granted of queues is granted of no topic. */
	assert_false(rights_grant(granted(), RIGHTS_TOPIC, RIGHT_SEND, slice_str("jobs.a")));
	assert_true(rights_grant(
	    RIGHTS_UNRESTRICTED, RIGHTS_QUEUE, RIGHT_ADMIN, slice_str("anything")));
}

static void a_pattern_is_granted_if_all_its_topics_are(void **state)
{
	(void)state;
	assert_true(may_pattern("*", "#"));
	assert_true(may_pattern("*", "a.*.b"));
	assert_true(may_pattern("a.*", "a.b"));
	assert_true(may_pattern("a.*", "a.*"));
	assert_true(may_pattern("a.*", "a.b.#"));
	/* It stands for "a", too. */
	assert_false(may_pattern("a.*", "a.#"));
	assert_true(may_pattern("a*", "a.#"));
	assert_false(may_pattern("a.?", "a.*"));
	assert_true(may_pattern("a.?", "a.b"));
	assert_false(may_pattern("a.b", "a.*"));
	assert_false(may_pattern("a.b", "#"));
	assert_false(may_pattern("?", "*"));
	assert_false(may_pattern("*.b", "#"));
	assert_true(may_pattern("*.b", "*.b"));
	assert_false(may_pattern("*.b", "*.#"));
}

static void a_list_from_elsewhere_is_looked_at(void **state)
{
	(void)state;
	no_rights();
	assert_true(rights_valid(granted()));
	grant(RIGHT_SEND, RIGHTS_QUEUE, "jobs.*");
	grant(RIGHTS_ALL, RIGHTS_TOPIC, "a?b");
	assert_true(rights_valid(granted()));
	for (size_t cut = 1; cut < list.len; cut++)
		assert_int_equal(rights_valid(slice_of(list.p, cut)), cut == 2 + 1 + 1 + 6);
	no_rights();
	grant(0, RIGHTS_QUEUE, "a");
	assert_false(rights_valid(granted()));
	no_rights();
	/* What is of a newer version grants nothing. */
	grant(8, RIGHTS_QUEUE, "a");
	grant(RIGHTS_ALL, RIGHTS_KV + 1, "[a]");
	assert_true(rights_valid(granted()));
	assert_false(rights_grant(granted(), RIGHTS_QUEUE, RIGHTS_ALL, slice_str("a")));
	for (int of = RIGHTS_QUEUE; of <= RIGHTS_KV; of++)
		assert_false(
		    rights_grant(granted(), (enum rights_of)of, RIGHTS_ALL, slice_str("[a]")));
	for (const char *const *bad =
		 (const char *const[]){"", "a b", "a/b", "a#", "[ab]", NULL};
	     *bad; bad++) {
		no_rights();
		grant(RIGHT_SEND, RIGHTS_QUEUE, *bad);
		assert_false(rights_valid(granted()));
	}
	no_rights();
	while (list.len <= RIGHTS_MAX)
		grant(RIGHT_SEND, RIGHTS_QUEUE, "abcdefgh");
	assert_false(rights_valid(granted()));
}

static void a_list_can_be_told_without_the_keys_of_the_map(void **state)
{
	uint8_t bytes[RIGHTS_MAX];
	struct slice less;
	(void)state;
	no_rights();
	grant(RIGHT_RECV, RIGHTS_KV, "app.*");
	less = rights_without_kv(granted(), bytes);
	/* Nothing is granted, which is not all. */
	assert_non_null(less.data);
	assert_int_equal(less.len, 0);
	grant(RIGHT_SEND, RIGHTS_QUEUE, "jobs");
	less = rights_without_kv(granted(), bytes);
	assert_true(rights_grant(less, RIGHTS_QUEUE, RIGHT_SEND, slice_str("jobs")));
	assert_false(rights_grant(less, RIGHTS_KV, RIGHT_RECV, slice_str("app.a")));
	assert_null(rights_without_kv(RIGHTS_UNRESTRICTED, bytes).data);
}

/* ---- frames ---- */

static struct {
	struct broker *broker;
	uint64_t appended;
	uint64_t stored;
	uint64_t barrier;
	uint8_t out[1 << 16]; /* what the connection that is looked at was sent */
	size_t out_len;
	bool closed;
} w;

#define OTHER  1 /* a connection that may do all */
#define CLIENT 2

static void on_append(void *arg, uint64_t n, enum record_kind kind, struct slice payload)
{
	(void)arg, (void)kind, (void)payload;
	w.appended = n;
}

static void on_barrier(void *arg, uint64_t id)
{
	(void)arg;
	w.barrier = id;
}

static void on_hole(void *arg, uint64_t checkpoint, struct slice ranges)
{
	(void)arg, (void)checkpoint, (void)ranges;
}

static void on_reserve(void *arg, uint64_t bytes)
{
	(void)arg, (void)bytes;
}

static void on_send(void *arg, uint64_t conn, struct slice frames)
{
	(void)arg;
	if (conn != CLIENT || frames.len == 0)
		return;
	assert_true(w.out_len + frames.len <= sizeof(w.out));
	memcpy(w.out + w.out_len, frames.data, frames.len);
	w.out_len += frames.len;
}

static void on_deliverable(void *arg, uint64_t conn)
{
	(void)arg, (void)conn;
}

static void on_close(void *arg, uint64_t conn)
{
	(void)arg;
	w.closed |= conn == CLIENT;
}

static void begin(void)
{
	broker_now(w.broker, (struct lease_time){1000}, (struct wall_time){1000000});
}

static void run(void)
{
	do {
		begin();
		broker_flush(w.broker);
		if (w.appended > w.stored)
			broker_stored(w.broker, w.stored + 1, (uint32_t)(w.appended - w.stored),
			    w.stored + 1);
		w.stored = w.appended;
		if (w.barrier)
			broker_barrier_done(w.broker, w.barrier);
		w.barrier = 0;
	} while (broker_pending(w.broker));
	/* Deliveries are taken, and read by nobody. */
	struct delivery d;
	while (broker_next_delivery(w.broker, CLIENT, &d) && !d.history)
		broker_undelivered(w.broker, CLIENT, &d);
}

static uint8_t frame_bytes[FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX];

static void input(uint64_t conn, const struct writer *in)
{
	struct frame f;
	size_t used;
	assert_int_equal(frame_parse(slice_of(in->p, in->len), &f, &used), RMQ_E_OK);
	begin();
	broker_frame(w.broker, conn, &f);
	run();
}

#define INPUT(conn, name, ...) \
	do { \
		struct writer in_ = writer_of(frame_bytes, sizeof(frame_bytes)); \
		wire_put_##name(&in_, &(struct wire_##name){__VA_ARGS__}); \
		input(conn, &in_); \
	} while (0)

static struct slice line(void)
{
	static uint8_t bytes[16];
	struct writer b = writer_of(bytes, sizeof(bytes));
	put_u16(&b, 1);
	put_u16(&b, 0);
	put_u16(&b, 2);
	put_rest(&b, slice_str("x\n"));
	return slice_of(b.p, b.len);
}

/* The next frame that CLIENT was sent; type 0: none. */
static struct frame next(void)
{
	static uint8_t copy[FRAME_PAYLOAD_MAX];
	struct frame f = {0};
	size_t used;
	assert_int_equal(frame_parse(slice_of(w.out, w.out_len), &f, &used), RMQ_E_OK);
	if (used == 0)
		return (struct frame){0};
	if (f.payload.len > 0)
		memcpy(copy, f.payload.data, f.payload.len);
	f.payload = slice_of(copy, f.payload.len);
	memmove(w.out, w.out + used, w.out_len - used);
	w.out_len -= used;
	return f;
}

static void stop(void)
{
	broker_free(w.broker);
	w.broker = NULL;
}

/* A daemon with a queue HAVE that is bound to a topic. */
static void start(void)
{
	struct broker_host host = {NULL, on_append, on_barrier, on_hole, on_reserve, on_send,
	    on_deliverable, on_close};
	uint8_t secret[SESSION_SECRET_SIZE] = {1};
	if (w.broker)
		stop();
	memset(&w, 0, sizeof(w));
	w.broker = broker_new(&host);
	begin();
	broker_start(w.broker, 1, secret);
	broker_room(w.broker, 0, 1 << 30);
	broker_connect(w.broker, OTHER);
	INPUT(OTHER, hello, WIRE_HELLO_VERSIONS, 0, 0, NO_TAGS);
	INPUT(OTHER, send, 1, 0, 0, 0, slice_str(HAVE), NO_TAGS, line());
	INPUT(OTHER, bind, 2, 1, 0, slice_str(HAVE), slice_str("t." HAVE), NO_TAGS);
}

static uint64_t comes(const char *node, uint64_t session, struct slice token)
{
	uint8_t bytes[64];
	struct writer tags = writer_of(bytes, sizeof(bytes));
	if (token.len > 0)
		tags_put(&tags, HELLO_TAG_TOKEN, token);
	broker_connect(w.broker, CLIENT);
	broker_owner(w.broker, CLIENT, slice_str(node), 0);
	broker_rights(w.broker, CLIENT, granted());
	INPUT(CLIENT, hello, WIRE_HELLO_VERSIONS, session, 0, slice_of(tags.p, tags.len));
	return broker_session(w.broker, CLIENT);
}

/* ---- what each frame needs ---- */

static struct slice entry(void)
{
	static uint8_t bytes[SETTLE_ENTRY_SIZE];
	struct writer e = writer_of(bytes, sizeof(bytes));
	settle_entry_put(&e, &(struct settle_entry){1, 1, 1});
	return slice_of(bytes, sizeof(bytes));
}

static struct slice run_of_one(void)
{
	static uint8_t bytes[SEQ_RANGE_SIZE];
	struct writer e = writer_of(bytes, sizeof(bytes));
	seq_range_put(&e, &(struct seq_range){1, 1});
	return slice_of(bytes, sizeof(bytes));
}

static struct slice further(const char *name)
{
	static uint8_t list_of[64];
	uint8_t bytes[64];
	struct writer value = writer_of(bytes, sizeof(bytes)),
		      tags = writer_of(list_of, sizeof(list_of));
	put_str(&value, slice_str(name));
	tags_put(&tags, SEND_TAG_QUEUES, slice_of(value.p, value.len));
	return slice_of(tags.p, tags.len);
}

static struct slice both(void)
{
	static uint8_t bytes[64];
	struct writer d = writer_of(bytes, sizeof(bytes));
	put_rest(&d, entry());
	put_rest(&d, line());
	return slice_of(d.p, d.len);
}

#define Q		slice_str(name)
#define SEQ_1		slice_of((const uint8_t[]){1, 0, 0, 0, 0, 0, 0, 0}, 8)
#define PUT(frame, ...) wire_put_##frame(out, &(struct wire_##frame){__VA_ARGS__})

/* X(case, how it is denied, the frame with the name of a queue, needs: verbs, kind, name …). */
/* clang-format off */
#define CASES(X) \
	X(send, FAILED, PUT(send, 1, 0, 0, 0, Q, NO_TAGS, line()), \
		RIGHT_SEND, RIGHTS_QUEUE, "%s") \
	X(send_again, FAILED, PUT(send, 1, 0, SEND_REPLACE, 0, Q, NO_TAGS, line()), \
		RIGHT_SEND, RIGHTS_QUEUE, "%s") \
	X(send_piece, FAILED, PUT(send, 1, 0, SEND_CHUNK | SEND_MORE, 0, Q, NO_TAGS, line()), \
		RIGHT_SEND, RIGHTS_QUEUE, "%s") \
	X(send_several, FAILED, PUT(send, 1, 0, 0, 0, slice_str("a"), further(name), line()), \
		RIGHT_SEND, RIGHTS_QUEUE, "a"}, {RIGHT_SEND, RIGHTS_QUEUE, "%s") \
	X(send_topic, FAILED, PUT(send, 1, 0, SEND_TOPIC, 0, slice_str(topic), NO_TAGS, line()), \
		RIGHT_SEND, RIGHTS_TOPIC, "t.%s") \
	X(settle, FAILED, PUT(settle, 1, 0, VERB_SETTLE, 0, 0, 0, Q, slice_str(""), NO_TAGS, entry()), \
		RIGHT_RECV, RIGHTS_QUEUE, "%s") \
	X(dead, FAILED, PUT(settle, 1, 0, VERB_DEAD, 0, 0, 0, Q, slice_str(""), NO_TAGS, entry()), \
		RIGHT_RECV, RIGHTS_QUEUE, "%s") \
	X(settle_send, FAILED, \
		PUT(settle_send, 1, 0, 0, 0, Q, slice_str("to"), 1, NO_TAGS, both()), \
		RIGHT_RECV, RIGHTS_QUEUE, "%s"}, {RIGHT_SEND, RIGHTS_QUEUE, "to") \
	X(settle_send_to, FAILED, \
		PUT(settle_send, 1, 0, 0, 0, slice_str("from"), Q, 1, NO_TAGS, both()), \
		RIGHT_RECV, RIGHTS_QUEUE, "from"}, {RIGHT_SEND, RIGHTS_QUEUE, "%s") \
	X(subscribe, SUB_FAILED, PUT(subscribe, 1, 0, 0, Q, NO_TAGS), \
		RIGHT_RECV, RIGHTS_QUEUE, "%s") \
	X(subscribe_topic, SUB_FAILED, \
		PUT(subscribe, 1, SUBSCRIBE_EPHEMERAL, 0, slice_str(topic), NO_TAGS), \
		RIGHT_RECV, RIGHTS_TOPIC, "t.%s") \
	X(create, FAILED, PUT(queue_create, 1, 0, 0, Q, 0, 0, 0, 0, 0, 0, slice_str(""), NO_TAGS), \
		RIGHT_ADMIN, RIGHTS_QUEUE, "%s") \
	X(create_dead, FAILED, PUT(queue_create, 1, 0, SETTING_DEAD_LETTER, slice_str("new"), \
		0, 0, 0, 0, 0, 0, Q, NO_TAGS), \
		RIGHT_ADMIN, RIGHTS_QUEUE, "new"}, {RIGHT_SEND, RIGHTS_QUEUE, "%s") \
	X(create_undead, FAILED, PUT(queue_create, 1, 0, SETTING_DEAD_LETTER, Q, \
		0, 0, 0, 0, 0, 0, slice_str("-"), NO_TAGS), \
		RIGHT_ADMIN, RIGHTS_QUEUE, "%s") \
	X(set, FAILED, PUT(queue_set, 1, 0, SETTING_LEASE, Q, 5000, 0, 0, 0, 0, 0, slice_str(""), NO_TAGS), \
		RIGHT_ADMIN, RIGHTS_QUEUE, "%s") \
	X(set_dead, FAILED, PUT(queue_set, 1, 0, SETTING_DEAD_LETTER, slice_str("old"), \
		0, 0, 0, 0, 0, 0, Q, NO_TAGS), \
		RIGHT_ADMIN, RIGHTS_QUEUE, "old"}, {RIGHT_SEND, RIGHTS_QUEUE, "%s") \
	X(remove, FAILED, PUT(queue_remove, 1, 0, REMOVE_FORCE, Q), RIGHT_ADMIN, RIGHTS_QUEUE, "%s") \
	X(purge, FAILED, PUT(queue_purge, 1, 0, Q), RIGHT_ADMIN, RIGHTS_QUEUE, "%s") \
	X(cancel, FAILED, PUT(cancel, 1, 0, Q, NO_TAGS, SEQ_1), RIGHT_ADMIN, RIGHTS_QUEUE, "%s") \
	X(bind, FAILED, PUT(bind, 1, 0, BIND_CREATE, Q, slice_str("a.#"), NO_TAGS), \
		RIGHT_ADMIN, RIGHTS_QUEUE, "%s"}, {RIGHT_RECV, RIGHTS_TOPIC, "a*") \
	X(unbind, FAILED, PUT(unbind, 1, 0, 0, Q, slice_str("a.#"), NO_TAGS), \
		RIGHT_ADMIN, RIGHTS_QUEUE, "%s") \
	X(peek, ERROR, PUT(peek, 1, STATES, 0, 10, Q), RIGHT_RECV, RIGHTS_QUEUE, "%s") \
	X(history, ERROR, PUT(history, 1, 1, Q, slice_str(""), NO_TAGS), \
		RIGHT_RECV, RIGHTS_QUEUE, "%s") \
	X(transfer, ERROR, PUT(transfer, 1, 0, 0, Q, slice_str("to"), NO_TAGS, run_of_one()), \
		RIGHT_ADMIN, RIGHTS_QUEUE, "%s"}, {RIGHT_SEND, RIGHTS_QUEUE, "to") \
	X(transfer_to, ERROR, PUT(transfer, 1, 0, 0, slice_str("from"), Q, NO_TAGS, run_of_one()), \
		RIGHT_ADMIN, RIGHTS_QUEUE, "from"}, {RIGHT_SEND, RIGHTS_QUEUE, "%s") \
	X(redrive, ERROR, \
		PUT(transfer, 1, TRANSFER_HOME, 9, Q, slice_str(""), NO_TAGS, run_of_one()), \
		RIGHT_ADMIN, RIGHTS_QUEUE, "%s") \
	X(watch, ERROR, PUT(watch, 1, WATCH_BELOW, 9, Q), \
		RIGHT_SEND | RIGHT_RECV, RIGHTS_QUEUE, "%s") \
	X(buried, ERROR, PUT(buried, 1, 0, 9, 0, Q, NO_TAGS), \
		RIGHT_SEND | RIGHT_RECV, RIGHTS_QUEUE, "%s") \
	X(position, ERROR, PUT(position, 1, Q, slice_str("input"), NO_TAGS), \
		RIGHT_SEND, RIGHTS_QUEUE, "%s") \
	X(kv_put, FAILED, PUT(kv_put, 1, 0, 0, 0, Q, NO_TAGS, slice_str("v")), \
		RIGHT_SEND, RIGHTS_KV, "%s") \
	X(kv_del, FAILED, PUT(kv_del, 1, 0, 0, 0, Q, NO_TAGS), RIGHT_SEND, RIGHTS_KV, "%s") \
	X(kv_read, KV_AT, PUT(kv_read, 1, KV_VALUES, 0, 0, Q, NO_TAGS), \
		RIGHT_RECV, RIGHTS_KV, "%s") \
	X(move_out, FAILED, PUT(move_out, 1, 0, MOVE_OUT_HOLD, Q, slice_str(""), TOKEN, NO_TAGS), \
		RIGHT_ADMIN, RIGHTS_QUEUE, "%s"}, {RIGHT_ADMIN, RIGHTS_QUEUE, "%s.dead") \
	X(move_in, FAILED, PUT(move_in, 1, 0, MOVE_IN_BEGIN, Q, TOKEN, NO_TAGS), \
		RIGHT_ADMIN, RIGHTS_QUEUE, "%s"}, {RIGHT_ADMIN, RIGHTS_QUEUE, "%s.dead") \
	X(arrive, FAILED, \
		PUT(arrive, 1, 0, 0, 0, Q, TOKEN, 1, 0, 0, 0, slice_str(""), NO_TAGS, line()), \
		RIGHT_ADMIN, RIGHTS_QUEUE, "%s") \
	X(arrive_settings, FAILED, \
		PUT(arrive_state, 1, 0, WITH_SETTINGS, Q, TOKEN, NO_TAGS, settings("")), \
		RIGHT_ADMIN, RIGHTS_QUEUE, "%s") \
	X(arrive_settings_dead, FAILED, PUT(arrive_state, 1, 0, WITH_SETTINGS, slice_str("new"), \
		TOKEN, NO_TAGS, settings(name)), \
		RIGHT_ADMIN, RIGHTS_QUEUE, "new"}, {RIGHT_SEND, RIGHTS_QUEUE, "%s") \
	X(export, ERROR, PUT(export, 1, WITH_SETTINGS, 0, 99, Q, NO_TAGS), \
		RIGHT_ADMIN, RIGHTS_QUEUE, "%s") \
	X(arrive_from, FAILED, PUT(arrive, 1, 0, 0, 0, slice_str("new"), TOKEN, 1, 0, 0, 0, \
		slice_str(""), origin(name), line()), \
		RIGHT_ADMIN, RIGHTS_QUEUE, "new"}, {RIGHT_SEND, RIGHTS_QUEUE, "%s") \
	X(export_copies, ERROR, PUT(export, 1, WITH_COPY, 0, 99, dead_of(name), NO_TAGS), \
		RIGHT_ADMIN, RIGHTS_QUEUE, "%s"}, {RIGHT_ADMIN, RIGHTS_QUEUE, "%s.dead")
/* clang-format on */

#define TOKEN slice_of("0123456789abcdef", CELL_TOKEN_SIZE)

static struct slice settings(const char *dead_letter)
{
	static uint8_t bytes[256];
	struct writer out = writer_of(bytes, sizeof(bytes));
	with_settings_encode(&out,
	    &(struct with_settings){30000, 9, 1, 2, 0, 99, slice_str(dead_letter), NO_TAGS});
	return slice_of(bytes, out.len);
}

static struct slice origin(const char *name)
{
	static uint8_t list_of[64];
	uint8_t bytes[64];
	struct writer value = writer_of(bytes, sizeof(bytes)),
		      tags = writer_of(list_of, sizeof(list_of));
	event_origin_encode(&value, &(struct event_origin){1, slice_str(name)});
	tags_put(&tags, PEEKED_TAG_ORIGIN, slice_of(value.p, value.len));
	return slice_of(tags.p, tags.len);
}

static struct slice dead_of(const char *name)
{
	static char dead[64];
	snprintf(dead, sizeof(dead), "%s%s", name, NAME_DEAD_SUFFIX);
	return slice_str(dead);
}

struct need {
	unsigned verbs;
	enum rights_of of;
	const char *name;
};

struct asks {
	const char *what;
	enum wire_type denial;
	void (*put)(struct writer *out, const char *name, const char *topic);
	struct need needs[2];
};

#define X(what, denial, PUT_IT, ...) \
	static void put_##what(struct writer *out, const char *name, const char *topic) \
	{ \
		(void)name, (void)topic; \
		PUT_IT; \
	}
CASES(X)
#undef X

static const struct asks cases[] = {
#define X(what, denial, PUT_IT, ...) {#what, WIRE_TYPE_##denial, put_##what, {{__VA_ARGS__}}},
    CASES(X)
#undef X
};

static void ask(const struct asks *a, const char *name)
{
	char topic[32];
	struct writer out = writer_of(frame_bytes, sizeof(frame_bytes));
	snprintf(topic, sizeof(topic), "t.%s", name);
	a->put(&out, name, topic);
	input(CLIENT, &out);
}

/* Whether the frame says DENIED; `text` as it is for the queue NONE. */
static bool is_denial(struct frame f, enum wire_type type, char text[TEXT_MAX + 1])
{
	struct wire_failed failed;
	struct wire_sub_failed sub_failed;
	struct wire_error error;
	struct wire_kv_at kv_at;
	uint8_t code = 0;
	struct slice t = {0};
	if (f.type != type)
		return false;
	if (type == WIRE_TYPE_FAILED && wire_failed_decode(f.payload, &failed)) {
		assert_int_equal(failed.n, 1);
		code = failed.code;
		t = failed.text;
	} else if (type == WIRE_TYPE_SUB_FAILED &&
		   wire_sub_failed_decode(f.payload, &sub_failed)) {
		assert_int_equal(sub_failed.sub, 1);
		code = sub_failed.code;
		t = sub_failed.text;
	} else if (type == WIRE_TYPE_KV_AT && wire_kv_at_decode(f.payload, &kv_at)) {
		code = kv_at.code;
	} else if (wire_error_decode(f.payload, &error)) {
		code = error.code;
		t = error.text;
	}
	snprintf(text, TEXT_MAX + 1, "%.*s", (int)t.len, (const char *)t.data);
	char *at = strstr(text, HAVE);
	if (at)
		memcpy(at, NONE, strlen(NONE));
	return code == RMQ_E_DENIED;
}

/* Rights as the case needs them, but for `verbs` where need number `which` is. */
static void grant_but(const struct asks *a, const char *queue, int which, unsigned verbs)
{
	char name[64];
	no_rights();
	for (int i = 0; i < 2 && a->needs[i].name; i++) {
		const struct need *n = &a->needs[i];
		snprintf(name, sizeof(name), n->name, queue);
		if (i != which)
			grant(n->verbs, n->of, name);
		else if (verbs)
			grant(verbs, n->of, name);
		/* A queue is no topic, and a key neither. */
		grant(RIGHTS_ALL, n->of == RIGHTS_QUEUE ? RIGHTS_TOPIC : RIGHTS_QUEUE,
		    n->of == RIGHTS_QUEUE ? "x*" : name);
	}
}

static void denied_if_one_is_missing(
    const struct asks *a, const char *queue, int which, unsigned verbs, char text[TEXT_MAX + 1])
{
	const struct need *n = &a->needs[which];
	bool allowed = verbs & (n->verbs | RIGHT_ADMIN);
	start();
	grant_but(a, queue, which, verbs);
	comes("key:web", 0, slice_of(NULL, 0));
	assert_int_equal(next().type, WIRE_TYPE_WELCOME);
	uint64_t before = broker_digest(w.broker), appended = w.appended;
	ask(a, queue);
	struct frame f = next();
	char what[TEXT_MAX + 1] = "";
	if (is_denial(f, a->denial, what) == allowed)
		fail_msg("%s %s, need %d with %u: %s %s", a->what, queue, which, verbs,
		    f.type ? wire_name(f.type) : "nothing", what);
	if (allowed)
		return;
	assert_int_equal(broker_digest(w.broker), before);
	assert_int_equal(w.appended, appended);
	assert_int_equal(w.closed, a->denial == WIRE_TYPE_ERROR);
	assert_int_equal(next().type, 0);
	snprintf(text, TEXT_MAX + 1, "%s", what);
}

static void each_frame_is_asked_for_and_the_answer_does_not_tell_queues(void **state)
{
	char have[TEXT_MAX + 1], none[TEXT_MAX + 1];
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (int which = 0; which < 2 && cases[i].needs[which].name; which++)
			for (unsigned verbs = 0; verbs <= RIGHT_ADMIN; verbs++) {
				have[0] = none[0] = '\0';
				denied_if_one_is_missing(&cases[i], HAVE, which, verbs, have);
				denied_if_one_is_missing(&cases[i], NONE, which, verbs, none);
				assert_string_equal(have, none);
			}
	stop();
}

static void a_denial_names_the_queue_and_the_right(void **state)
{
	char text[TEXT_MAX + 1];
	(void)state;
	start();
	no_rights();
	grant(RIGHT_RECV, RIGHTS_QUEUE, "other");
	comes("key:web", 0, slice_of(NULL, 0));
	next();
	INPUT(CLIENT, send, 1, 0, 0, 0, slice_str("jobs"), NO_TAGS, line());
	assert_true(is_denial(next(), WIRE_TYPE_FAILED, text));
	assert_string_equal(text, "right \"send\" on queue jobs is missing");
	INPUT(CLIENT, subscribe, 1, SUBSCRIBE_EPHEMERAL, 0, slice_str("a.#"), NO_TAGS);
	assert_true(is_denial(next(), WIRE_TYPE_SUB_FAILED, text));
	assert_string_equal(text, "right \"recv\" on topic a.# is missing");
	INPUT(CLIENT, watch, 1, WATCH_BELOW, 1, slice_str("jobs"));
	assert_true(is_denial(next(), WIRE_TYPE_ERROR, text));
	assert_string_equal(text, "right \"send\" or \"recv\" on queue jobs is missing");
	stop();
}

/* Not asked for: they concern what the connection has already, or are answered by rows. */
static void what_needs_no_right_goes_with_none(void **state)
{
	(void)state;
	start();
	no_rights();
	comes("key:web", 0, slice_of(NULL, 0));
	next();
	INPUT(CLIENT, ping, 1);
	assert_int_equal(next().type, WIRE_TYPE_PONG);
	INPUT(CLIENT, extend, 1);
	assert_int_equal(next().type, WIRE_TYPE_EXTENDED);
	INPUT(CLIENT, unsubscribe, 1);
	assert_int_equal(next().type, WIRE_TYPE_UNSUBSCRIBED);
	INPUT(CLIENT, credit, 1, 1, 1, 0);
	INPUT(CLIENT, started, 1, 1, 1, slice_str(HAVE));
	assert_int_equal(next().type, 0);
	assert_false(w.closed);
	INPUT(CLIENT, bye, 0);
	assert_true(w.closed);
	stop();
}

static uint32_t rows_of(uint8_t row)
{
	uint32_t rows = 0;
	struct frame f;
	for (f = next(); f.type == row; f = next())
		rows++;
	assert_true(f.type == WIRE_TYPE_LIST_END || f.type == WIRE_TYPE_BINDINGS_END);
	return rows;
}

static void rows_are_of_queues_on_which_something_is_granted(void **state)
{
	struct wire_bindings_end end;
	(void)state;
	start();
	INPUT(OTHER, send, 3, 2, 0, 0, slice_str("more"), NO_TAGS, line());
	no_rights();
	grant(RIGHT_SEND, RIGHTS_QUEUE, "mo*");
	comes("key:web", 0, slice_of(NULL, 0));
	next();
	INPUT(CLIENT, list, 1, 10, slice_str(""), slice_str("*"));
	struct frame f = next();
	struct wire_listed row;
	assert_int_equal(f.type, WIRE_TYPE_LISTED);
	assert_true(wire_listed_decode(f.payload, &row));
	assert_true(slice_eq(row.queue, slice_str("more")));
	assert_int_equal(rows_of(WIRE_TYPE_LISTED), 0);
	INPUT(CLIENT, list, 1, 10, slice_str(""), slice_str(HAVE));
	assert_int_equal(rows_of(WIRE_TYPE_LISTED), 0);
	INPUT(CLIENT, bindings, 1, 10, slice_str(""), slice_str(""), slice_str(""), NO_TAGS);
	assert_int_equal(rows_of(WIRE_TYPE_BOUND), 0);
	INPUT(CLIENT, bindings, 1, 10, slice_str(HAVE), slice_str(""), slice_str(""), NO_TAGS);
	f = next();
	assert_true(wire_bindings_end_decode(f.payload, &end));
	assert_int_equal(end.code, RMQ_E_NO_QUEUE);
	stop();
}

static void make_many(unsigned count)
{
	char name[16];
	for (unsigned i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "x%05u", i);
		INPUT(OTHER, send, 3 + i, 2 + i, 0, 0, slice_str(name), NO_TAGS, line());
	}
}

/* A LIST that goes on: the place to go on from is no name that may not be known. */
static void the_place_to_go_on_from_tells_no_queue(void **state)
{
	struct wire_list_at at;
	struct wire_bindings_end end;
	(void)state;
	start();
	make_many(LIST_WORK / 4);
	INPUT(OTHER, send, 3 + LIST_WORK / 4, 2 + LIST_WORK / 4, 0, 0, slice_str("y"), NO_TAGS,
	    line());
	no_rights();
	grant(RIGHT_SEND, RIGHTS_QUEUE, "y");
	while (list.len < 512)
		grant(RIGHT_SEND, RIGHTS_TOPIC, "abcdefghabcdefghabcdefghabcdefgh");
	comes("key:web", 0, slice_of(NULL, 0));
	next();
	INPUT(CLIENT, list, 1, 10, slice_str(""), slice_str("*"));
	unsigned asked = 1;
	struct frame f = next();
	for (; f.type == WIRE_TYPE_LIST_AT; f = next()) {
		char after[8];
		assert_true(wire_list_at_decode(f.payload, &at));
		assert_true(slice_eq(at.after, slice_str("*")));
		snprintf(after, sizeof(after), "%.*s", (int)at.after.len,
		    (const char *)at.after.data);
		assert_int_equal(rows_of(WIRE_TYPE_LISTED), 0);
		asked++;
		INPUT(CLIENT, list, 1, 10, slice_str(after), slice_str("*"));
	}
	assert_int_equal(f.type, WIRE_TYPE_LISTED);
	assert_true(asked >= 2);
	assert_int_equal(rows_of(WIRE_TYPE_LISTED), 0);
	INPUT(CLIENT, bindings, 1, 10, slice_str(""), slice_str(""), slice_str(""), NO_TAGS);
	for (asked = 1; wire_bindings_end_decode(next().payload, &end) && end.more; asked++) {
		assert_true(slice_eq(end.after, slice_str("*")));
		INPUT(CLIENT, bindings, 1, 10, slice_str(""), slice_str("*"), slice_str(""),
		    NO_TAGS);
	}
	assert_true(asked >= 2);
	stop();
}

/* ---- sessions ---- */

static struct slice token_of(struct frame f, uint8_t bytes[SESSION_TOKEN_SIZE])
{
	struct wire_welcome m;
	struct slice token;
	assert_int_equal(f.type, WIRE_TYPE_WELCOME);
	assert_true(wire_welcome_decode(f.payload, &m));
	assert_true(tags_find(m.tags, WELCOME_TAG_TOKEN, &token));
	memcpy(bytes, token.data, SESSION_TOKEN_SIZE);
	return slice_of(bytes, SESSION_TOKEN_SIZE);
}

static void a_receiver_settles_what_its_ephemeral_subscription_was_given(void **state)
{
	char name[NAME_EPHEMERAL_MAX];
	(void)state;
	start();
	no_rights();
	grant(RIGHT_RECV, RIGHTS_TOPIC, "t.*");
	uint64_t session = comes("key:web", 0, slice_of(NULL, 0));
	next();
	INPUT(CLIENT, subscribe, 7, SUBSCRIBE_EPHEMERAL, 0, slice_str("t.a"), NO_TAGS);
	assert_int_equal(next().type, WIRE_TYPE_SUBSCRIBED);
	INPUT(OTHER, send, 3, 2, SEND_TOPIC, 0, slice_str("t.a"), NO_TAGS, line());
	INPUT(CLIENT, credit, 7, 1, 1000, 0);
	struct slice own = name_of_ephemeral(name, session, 7);
	INPUT(CLIENT, settle, 1, 0, VERB_SETTLE, 0, 0, 0, own, slice_str(""), NO_TAGS, entry());
	assert_int_equal(next().type, WIRE_TYPE_DONE);
	stop();
}

/* They go with their sessions, and who comes back too late is told so; those of others are as those of nobody. */
static void what_an_ephemeral_subscription_of_another_session_was_given_is_gone(void **state)
{
	char name[NAME_EPHEMERAL_MAX];
	struct wire_failed failed;
	(void)state;
	start();
	no_rights();
	grant(RIGHT_RECV, RIGHTS_TOPIC, "t.*");
	uint64_t session = comes("key:web", 0, slice_of(NULL, 0));
	uint64_t others = broker_session(w.broker, OTHER);
	next();
	INPUT(OTHER, subscribe, 7, SUBSCRIBE_EPHEMERAL, 0, slice_str("t.a"), NO_TAGS);
	for (unsigned i = 0; i < 2; i++) {
		struct slice of = name_of_ephemeral(name, i == 0 ? others : session + 7, 7);
		INPUT(CLIENT, settle, 1, 0, VERB_SETTLE, 0, 0, 0, of, slice_str(""), NO_TAGS,
		    entry());
		struct frame f = next();
		assert_int_equal(f.type, WIRE_TYPE_FAILED);
		assert_true(wire_failed_decode(f.payload, &failed));
		assert_int_equal(failed.code, RMQ_E_NO_QUEUE);
		assert_true(slice_eq(failed.text, slice_str(error_text(RMQ_E_NO_QUEUE))));
	}
	stop();
}

static void who_may_receive_no_more_does_not_go_on_with_what_it_holds(void **state)
{
	uint8_t bytes[SESSION_TOKEN_SIZE];
	char text[TEXT_MAX + 1];
	(void)state;
	start();
	no_rights();
	grant(RIGHT_RECV, RIGHTS_QUEUE, HAVE);
	uint64_t session = comes("key:web", 0, slice_of(NULL, 0));
	struct slice token = token_of(next(), bytes);
	INPUT(CLIENT, subscribe, 1, 0, 0, slice_str(HAVE), NO_TAGS);
	INPUT(CLIENT, credit, 1, 1, 1000, 0);
	run();
	broker_disconnect(w.broker, CLIENT);
	w.out_len = 0;
	assert_int_equal(comes("key:web", session, token), session);
	broker_disconnect(w.broker, CLIENT);
	w.out_len = 0;
	no_rights();
	grant(RIGHTS_ALL, RIGHTS_QUEUE, "another");
	assert_int_equal(comes("key:web", session, token), 0);
	assert_true(is_denial(next(), WIRE_TYPE_ERROR, text));
	assert_string_equal(text, "right \"recv\" on queue none is missing");
	stop();
}

static void an_ephemeral_subscription_ends_with_the_right_to_its_topic(void **state)
{
	uint8_t bytes[SESSION_TOKEN_SIZE];
	char text[TEXT_MAX + 1];
	(void)state;
	start();
	no_rights();
	grant(RIGHT_RECV, RIGHTS_TOPIC, "t.*");
	uint64_t session = comes("key:web", 0, slice_of(NULL, 0));
	struct slice token = token_of(next(), bytes);
	INPUT(CLIENT, subscribe, 7, SUBSCRIBE_EPHEMERAL, 0, slice_str("t.a"), NO_TAGS);
	assert_int_equal(next().type, WIRE_TYPE_SUBSCRIBED);
	broker_disconnect(w.broker, CLIENT);
	assert_int_equal(comes("key:web", session, token), session);
	broker_disconnect(w.broker, CLIENT);
	w.out_len = 0;
	no_rights();
	grant(RIGHT_RECV, RIGHTS_TOPIC, "u.*");
	assert_int_equal(comes("key:web", session, token), 0);
	assert_true(is_denial(next(), WIRE_TYPE_ERROR, text));
	assert_string_equal(text, "right \"recv\" on topic t.a is missing");
	stop();
}

/* A topic may have a queue's name: what is granted of the one is not of the other. */
static void a_topic_has_no_position(void **state)
{
	uint8_t value[32], list_of[64];
	struct writer v = writer_of(value, sizeof(value)),
		      tags = writer_of(list_of, sizeof(list_of));
	struct wire_position_is is;
	(void)state;
	put_u64(&v, 1000);
	put_u64(&v, 1001);
	put_rest(&v, slice_str("numbers"));
	tags_put(&tags, SEND_TAG_RESUME, slice_of(v.p, v.len));
	start();
	no_rights();
	grant(RIGHT_SEND, RIGHTS_TOPIC, "*");
	comes("key:web", 0, slice_of(NULL, 0));
	next();
	INPUT(CLIENT, send, 1, 0, SEND_TOPIC, 0, slice_str(HAVE), slice_of(tags.p, tags.len),
	    NO_TAGS);
	assert_int_equal(next().type, WIRE_TYPE_ERROR);
	broker_disconnect(w.broker, CLIENT);
	w.out_len = 0;
	no_rights();
	grant(RIGHT_SEND, RIGHTS_QUEUE, "*");
	comes("key:web", 0, slice_of(NULL, 0));
	next();
	INPUT(CLIENT, position, 1, slice_str(HAVE), slice_str("numbers"), NO_TAGS);
	assert_true(wire_position_is_decode(next().payload, &is));
	assert_int_equal(is.at, 0);
	stop();
}

/* A place in a history is the client's to give back, and not to make up. */
static void a_history_goes_on_only_from_where_it_was_told_to(void **state)
{
	/* Fields of a place (broker_history.c): at, end, queue, and the rest; then its seal. */
	uint8_t place[8 + 8 + 4 + 4 + 8 + 8 + 4 + 8 + 4 + 4 + 16] = {0};
	struct wire_error e;
	(void)state;
	store_u64(place, 1);
	store_u64(place + 8, UINT64_MAX);
	for (uint32_t queue = 0; queue < 3; queue++) {
		start();
		INPUT(OTHER, send, 3, 2, 0, 0, slice_str("other"), NO_TAGS, line());
		store_u32(place + 16, queue);
		no_rights();
		grant(RIGHT_RECV, RIGHTS_QUEUE, "other");
		comes("key:web", 0, slice_of(NULL, 0));
		next();
		INPUT(CLIENT, history, 1, 1, slice_str("other"), slice_of(place, sizeof(place)),
		    NO_TAGS);
		assert_true(wire_error_decode(next().payload, &e));
		assert_int_equal(e.code, RMQ_E_PROTOCOL);
		stop();
	}
}

static void a_session_is_of_one_key(void **state)
{
	uint8_t bytes[SESSION_TOKEN_SIZE];
	struct wire_error e;
	(void)state;
	start();
	no_rights();
	uint64_t session = comes("key:web", 0, slice_of(NULL, 0));
	struct slice token = token_of(next(), bytes);
	const char *const others[] = {"key:worker", "node1", "web"};
	for (size_t i = 0; i < 3; i++) {
		broker_disconnect(w.broker, CLIENT);
		w.out_len = 0;
		assert_int_equal(comes(others[i], session, token), 0);
		assert_true(wire_error_decode(next().payload, &e));
		assert_int_equal(e.code, RMQ_E_UNKNOWN_SESSION);
	}
	broker_disconnect(w.broker, CLIENT);
	w.out_len = 0;
	assert_int_equal(comes("key:web", session, token), session);
	stop();
}

/*
 * What was sent to a queue of dead letters itself is not from anywhere: to be redriven, its administrator
 * has to be allowed to send to where it would go.
 */
static void dead_letters_go_only_where_one_may_send(void **state)
{
	struct wire_transferred t;
	(void)state;
	for (unsigned may_send = 0; may_send < 2; may_send++) {
		start();
		no_rights();
		grant(RIGHT_ADMIN, RIGHTS_QUEUE, "*.dead");
		if (may_send)
			grant(RIGHT_SEND, RIGHTS_QUEUE, HAVE);
		comes("key:web", 0, slice_of(NULL, 0));
		next();
		INPUT(CLIENT, send, 1, 0, 0, 0, slice_str(HAVE ".dead"), NO_TAGS, line());
		assert_int_equal(next().type, WIRE_TYPE_SENT);
		INPUT(CLIENT, transfer, 1, TRANSFER_HOME, 9, slice_str(HAVE ".dead"),
		    slice_str(""), NO_TAGS, run_of_one());
		struct frame f = next();
		assert_int_equal(f.type, WIRE_TYPE_TRANSFERRED);
		assert_true(wire_transferred_decode(f.payload, &t));
		assert_int_equal(t.moved, may_send);
		assert_int_equal(t.kept, !may_send);
	}
	stop();
}

/* A queue that a topic leads to is not named to who may only send to the topic. */
static void why_a_topic_takes_nothing_tells_no_queue(void **state)
{
	struct wire_failed m;
	(void)state;
	start();
	INPUT(OTHER, queue_set, 3, 2, SETTING_MAX_BYTES, slice_str(HAVE), 0, 0, 0, 0, 1, 0,
	    slice_str(""), NO_TAGS);
	no_rights();
	grant(RIGHT_SEND, RIGHTS_TOPIC, "t.*");
	comes("key:web", 0, slice_of(NULL, 0));
	next();
	INPUT(CLIENT, send, 1, 0, SEND_TOPIC, 0, slice_str("t." HAVE), NO_TAGS, line());
	assert_true(wire_failed_decode(next().payload, &m));
	assert_int_equal(m.code, RMQ_E_FULL);
	assert_null(memmem(m.text.data, m.text.len, HAVE, strlen(HAVE)));
	stop();
}

static void an_owner_is_a_user_or_a_key(void **state)
{
	char text[OWNER_TITLE_SIZE];
	struct owner_tree owners = RB_INITIALIZER(&owners);
	struct owner *user = owner_use(&owners, slice_str("node1"), 1000);
	struct owner *key = owner_use(&owners, slice_str("key:web"), 0);
	(void)state;
	assert_string_equal(owner_title(user, text), "user 1000");
	assert_string_equal(owner_kind(user), "user");
	assert_string_equal(owner_title(key, text), "key web");
	assert_string_equal(owner_kind(key), "key");
	owner_drop(&owners, user);
	owner_drop(&owners, key);
	assert_true(wire_behalf_node_valid(slice_str("node1")));
	assert_true(wire_behalf_node_valid(slice_str("key:web")));
	assert_false(wire_behalf_node_valid(slice_str("key:")));
	assert_false(wire_behalf_node_valid(slice_str("key:a:b")));
	assert_false(wire_behalf_node_valid(slice_str("")));
	char name[RAFT_NAME_MAX + 2] = BEHALF_KEY;
	memset(name + strlen(BEHALF_KEY), 'a', BEHALF_NAME_MAX);
	assert_true(wire_behalf_node_valid(slice_str(name)));
	name[RAFT_NAME_MAX] = 'a';
	assert_false(wire_behalf_node_valid(slice_str(name)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_no_entry_grants_is_denied),
	    cmocka_unit_test(a_pattern_is_granted_if_all_its_topics_are),
	    cmocka_unit_test(a_list_from_elsewhere_is_looked_at),
	    cmocka_unit_test(a_list_can_be_told_without_the_keys_of_the_map),
	    cmocka_unit_test(each_frame_is_asked_for_and_the_answer_does_not_tell_queues),
	    cmocka_unit_test(a_denial_names_the_queue_and_the_right),
	    cmocka_unit_test(what_needs_no_right_goes_with_none),
	    cmocka_unit_test(rows_are_of_queues_on_which_something_is_granted),
	    cmocka_unit_test(the_place_to_go_on_from_tells_no_queue),
	    cmocka_unit_test(a_receiver_settles_what_its_ephemeral_subscription_was_given),
	    cmocka_unit_test(
		what_an_ephemeral_subscription_of_another_session_was_given_is_gone),
	    cmocka_unit_test(who_may_receive_no_more_does_not_go_on_with_what_it_holds),
	    cmocka_unit_test(an_ephemeral_subscription_ends_with_the_right_to_its_topic),
	    cmocka_unit_test(a_topic_has_no_position),
	    cmocka_unit_test(a_history_goes_on_only_from_where_it_was_told_to),
	    cmocka_unit_test(a_session_is_of_one_key),
	    cmocka_unit_test(dead_letters_go_only_where_one_may_send),
	    cmocka_unit_test(why_a_topic_takes_nothing_tells_no_queue),
	    cmocka_unit_test(an_owner_is_a_user_or_a_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
