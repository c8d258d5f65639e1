/* The map, in the queue core: a journal in memory that stores when it is told to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "core/broker/broker_state.h"
#include "core/wire/journal_wire.h"
#include "memory_log.h"

#define RECORDS_MAX 20000

static struct world {
	struct broker *broker;
	struct memory_record log[RECORDS_MAX + 1]; /* by index */
	uint64_t last;				   /* newest durable */
	uint64_t appended;
	uint64_t base;
	uint64_t barrier;
	uint64_t checkpoint;
	uint64_t n[4]; /* commands of each connection */
	uint8_t out[4][1 << 20];
	size_t out_len[4];
	uint64_t session[4];
	uint8_t token[4][SESSION_TOKEN_SIZE];
} w;

static struct memory_log journaled = {w.log, &w.last};

static void on_append(void *arg, uint64_t n, enum record_kind kind, struct slice payload)
{
	(void)arg;
	w.appended = w.base + n;
	assert_true(w.appended <= RECORDS_MAX);
	memory_record_set(&w.log[w.appended], kind, payload);
}

static void on_barrier(void *arg, uint64_t id)
{
	(void)arg;
	w.barrier = id;
}

static void on_hole(void *arg, uint64_t checkpoint, struct slice ranges)
{
	(void)arg;
	memory_log_dig(&journaled, checkpoint, ranges);
}

static void on_reserve(void *arg, uint64_t bytes)
{
	(void)arg, (void)bytes;
}

static void on_send(void *arg, uint64_t conn, struct slice frames)
{
	(void)arg;
	assert_true(w.out_len[conn] + frames.len <= sizeof(w.out[conn]));
	memcpy(w.out[conn] + w.out_len[conn], frames.data, frames.len);
	w.out_len[conn] += frames.len;
}

static void on_conn(void *arg, uint64_t conn)
{
	(void)arg, (void)conn;
}

static struct broker *recovered(void)
{
	struct broker_host host = {
	    NULL, on_append, on_barrier, on_hole, on_reserve, on_send, on_conn, on_conn};
	struct broker_log log = {&journaled, memory_log_read, memory_log_next};
	struct broker *b = broker_new(&host);
	uint64_t at;
	assert_int_equal(broker_recover(b, &log, w.checkpoint, w.last, &at), RMQ_E_OK);
	return b;
}

static void start(void)
{
	const uint8_t secret[SESSION_SECRET_SIZE] = {1};
	w.broker = recovered();
	w.base = w.appended = w.last;
	w.barrier = 0;
	broker_now(w.broker, (struct lease_time){1}, (struct wall_time){1000000});
	broker_start(w.broker, 1, secret);
	broker_room(w.broker, 0, 1 << 30);
}

static void store(void)
{
	if (w.appended > w.last) {
		uint64_t first = w.last + 1;
		w.last = w.appended;
		for (uint64_t i = first; i <= w.last; i++)
			if (w.log[i].kind == RECORD_END)
				w.checkpoint = i;
		broker_stored(w.broker, first - w.base, (uint32_t)(w.last - first + 1), first);
	}
	uint64_t barrier = w.barrier;
	w.barrier = 0;
	if (barrier)
		broker_barrier_done(w.broker, barrier);
}

/* All that is stored is what there is. */
static void is_recovered(void)
{
	struct broker *b = recovered();
	assert_int_equal(broker_digest(b), broker_digest(w.broker));
	assert_int_equal(b->kv.bytes, w.broker->kv.bytes);
	assert_int_equal(b->kv.keys, w.broker->kv.keys);
	broker_free(b);
}

static void run(void)
{
	for (int i = 0; i < 10000; i++) {
		broker_flush(w.broker);
		if (!broker_pending(w.broker) && !broker_checkpointing(w.broker))
			return;
		store();
	}
	fail_msg("the broker does not come to rest");
}

static void take(uint64_t conn, const struct writer *in)
{
	struct frame f;
	size_t used;
	assert_int_equal(frame_parse(slice_of(in->p, in->len), &f, &used), RMQ_E_OK);
	broker_frame(w.broker, conn, &f);
}

static uint8_t scratch[FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX];

#define INPUT(conn, name, ...) \
	do { \
		struct writer in_ = writer_of(scratch, sizeof(scratch)); \
		wire_put_##name(&in_, &(struct wire_##name){__VA_ARGS__}); \
		assert_false(in_.full); \
		take(conn, &in_); \
	} while (0)

static struct slice expect(uint64_t conn, uint8_t type)
{
	static uint8_t copy[FRAME_PAYLOAD_MAX];
	struct frame f;
	size_t used;
	assert_int_equal(
	    frame_parse(slice_of(w.out[conn], w.out_len[conn]), &f, &used), RMQ_E_OK);
	assert_true(used > 0);
	assert_string_equal(wire_name(f.type), wire_name(type));
	struct slice p = slice_of(copy, f.payload.len);
	memcpy(copy, f.payload.data, f.payload.len);
	memmove(w.out[conn], w.out[conn] + used, w.out_len[conn] - used);
	w.out_len[conn] -= used;
	return p;
}

#define EXPECT(conn, NAME, name, var) \
	struct wire_##name var; \
	assert_true(wire_##name##_decode(expect(conn, WIRE_TYPE_##NAME), &var))

static void comes(uint64_t conn)
{
	struct slice token;
	uint8_t list[4 + SESSION_TOKEN_SIZE];
	struct writer tags = writer_of(list, sizeof(list));
	if (w.session[conn])
		tags_put(&tags, HELLO_TAG_TOKEN, slice_of(w.token[conn], SESSION_TOKEN_SIZE));
	broker_connect(w.broker, conn);
	broker_owner(w.broker, conn, slice_of("", 0), 1);
	INPUT(conn, hello, WIRE_HELLO_VERSIONS, w.session[conn], 0, slice_of(tags.p, tags.len));
	run();
	EXPECT(conn, WELCOME, welcome, m);
	assert_true(tags_find(m.tags, WELCOME_TAG_TOKEN, &token));
	memcpy(w.token[conn], token.data, token.len);
	w.session[conn] = m.session;
	w.n[conn] = m.last;
}

static int setup(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	start();
	comes(1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	broker_free(w.broker);
	for (uint64_t i = 1; i <= w.appended; i++)
		free(w.log[i].payload);
	return 0;
}

static void restart(void)
{
	broker_free(w.broker);
	start();
	w.out_len[1] = w.out_len[2] = 0;
	comes(1);
}

static void put_if(const char *key, struct slice value, uint8_t flags, uint64_t version)
{
	INPUT(1, kv_put, w.n[1] + 1, w.n[1], flags, version, slice_str(key), NO_TAGS, value);
}

static uint64_t done(void)
{
	run();
	EXPECT(1, KV_DONE, kv_done, m);
	assert_int_equal(m.n, ++w.n[1]);
	return m.version;
}

static uint64_t put(const char *key, const char *value)
{
	put_if(key, slice_str(value), 0, 0);
	return done();
}

static uint64_t del(const char *key)
{
	INPUT(1, kv_del, w.n[1] + 1, w.n[1], 0, 0, slice_str(key), NO_TAGS);
	return done();
}

static void refused(enum rmq_error code, const char *text)
{
	run();
	EXPECT(1, FAILED, failed, m);
	assert_int_equal(m.code, code);
	if (text)
		assert_true(slice_eq(m.text, slice_str(text)));
}

/* What the answer of a KV_READ tells: " key=value@version" or " -key@version", each. */
static struct wire_kv_at told(uint64_t conn, char *text, size_t cap)
{
	size_t len = 0;
	text[0] = 0;
	for (;;) {
		struct frame f;
		size_t used;
		assert_int_equal(
		    frame_parse(slice_of(w.out[conn], w.out_len[conn]), &f, &used), RMQ_E_OK);
		assert_true(used > 0);
		if (f.type == WIRE_TYPE_KV_AT)
			break;
		EXPECT(conn, KV_IS, kv_is, m);
		bool there = m.what == KV_IS_THERE;
		len += (size_t)snprintf(text + len, cap - len, " %s%.*s%s%.*s@%d",
		    there ? "" : "-", (int)m.key.len, (const char *)m.key.data,
		    there ? "=" : "", m.value.len < 32 ? (int)m.value.len : 0,
		    (const char *)m.value.data, (int)m.version);
		assert_true(len < cap);
	}
	EXPECT(conn, KV_AT, kv_at, at);
	return at;
}

static char text[1 << 16];

static struct wire_kv_at read_all(const char *key, uint8_t flags, uint64_t since)
{
	INPUT(1, kv_read, 1, flags, since, since, slice_str(key), NO_TAGS);
	run();
	return told(1, text, sizeof(text));
}

static void a_version_is_of_one_change_and_a_condition_names_it(void **state)
{
	(void)state;
	uint64_t a = put("a", "1");
	uint64_t b = put("b", "1");
	assert_true(b > a);
	put_if("a", slice_str("2"), KV_IF_VERSION, a);
	uint64_t a2 = done();
	put_if("a", slice_str("3"), KV_IF_VERSION, a);
	refused(RMQ_E_UNMET, "version is 3");
	put_if("a", slice_str("3"), KV_IF_VERSION, 0);
	refused(RMQ_E_UNMET, "version is 3");
	assert_int_equal(a2, 3);
	del("a");
	put_if("a", slice_str("3"), KV_IF_VERSION, a2);
	refused(RMQ_E_UNMET, "key is not there");
	INPUT(1, kv_del, w.n[1] + 1, w.n[1], 0, 0, slice_str("a"), NO_TAGS);
	refused(RMQ_E_UNMET, "key is not there");
	put_if("a", slice_str("1"), KV_IF_VERSION, 0);
	assert_int_equal(done(), 5);
	read_all("a", KV_VALUES, 0);
	assert_string_equal(text, " a=1@5");
	read_all("", KV_VALUES | KV_PREFIX, 0);
	assert_string_equal(text, " b=1@2 a=1@5");
	read_all("", KV_PREFIX, 2);
	assert_string_equal(text, " a=@5");
	is_recovered();
}

static void a_change_that_is_repeated_is_made_once_and_answered_alike(void **state)
{
	(void)state;
	put("a", "1");
	for (int life = 0; life < 3; life++) {
		/* Its answer is lost, with the connection, the daemon, or after a checkpoint. */
		put_if("a", slice_str("2"), KV_IF_VERSION, (uint64_t)life + 1);
		run();
		w.out_len[1] = 0;
		uint64_t n = w.n[1] + 1;
		if (life == 0) {
			broker_disconnect(w.broker, 1);
			comes(1);
		} else {
			if (life == 2)
				broker_checkpoint(w.broker);
			run();
			restart();
		}
		w.n[1] = n - 1;
		put_if("a", slice_str("2"), KV_IF_VERSION, (uint64_t)life + 1);
		assert_int_equal(done(), life + 2);
	}
}

static void nothing_is_told_before_it_is_stored(void **state)
{
	(void)state;
	put_if("a", slice_str("1"), 0, 0);
	INPUT(1, kv_read, 1, KV_VALUES, 0, 0, slice_str("a"), NO_TAGS);
	broker_flush(w.broker);
	assert_int_equal(w.out_len[1], 0);
	store();
	assert_true(w.out_len[1] > 0);
	w.out_len[1] = 0;
	/* Nothing waits to be stored: but it may be another's by now. */
	INPUT(1, kv_read, 1, KV_VALUES, 0, 0, slice_str("a"), NO_TAGS);
	broker_flush(w.broker);
	assert_int_equal(w.out_len[1], 0);
	assert_true(w.barrier > 0);
	store();
	assert_true(w.out_len[1] > 0);
}

static void what_a_map_may_hold_has_limits(void **state)
{
	static uint8_t value[KV_VALUE_MAX + 1];
	char key[NAME_MAX_LEN + 2];
	(void)state;
	put_if("a", slice_of(value, KV_VALUE_MAX + 1), 0, 0);
	refused(RMQ_E_BAD_DATA, "value has 65537 bytes, at most 65536 may be");
	for (const char *const *bad = (const char *const[]){"", "a b", ".a", "-", "a/b", NULL};
	     *bad; bad++) {
		put_if(*bad, slice_str("1"), 0, 0);
		refused(RMQ_E_USAGE, NULL);
	}
	memset(key, 'k', sizeof(key) - 1);
	key[NAME_MAX_LEN] = 0;
	put(key, "");
	key[NAME_MAX_LEN] = 'k';
	key[NAME_MAX_LEN + 1] = 0;
	put_if(key, slice_str("1"), 0, 0);
	refused(RMQ_E_USAGE, NULL);
	for (int i = 0; i < 255; i++) {
		snprintf(key, sizeof(key), "k%03d", i);
		if (i == 223) {
			put_if(key, slice_of(value, KV_VALUE_MAX), 0, 0);
			refused(RMQ_E_LIMIT,
			    "what user 1 has put would be 225 keys and 14681083 bytes, and one "
			    "user may have 14336 and 14680064: delete some");
			/* Others have the rest; and what one owns is known after a restart. */
			is_recovered();
			broker_owner(w.broker, 1, slice_of("", 0), 2);
		}
		put_if(key, slice_of(value, KV_VALUE_MAX), 0, 0);
		done();
	}
	put_if("full", slice_of(value, KV_VALUE_MAX), 0, 0);
	refused(RMQ_E_LIMIT,
	    "keys and values would have 16778363 bytes, at most 16777216 may be: delete some");
	/* What takes the place of as much fits, and deleting makes room. */
	put_if("k000", slice_of(value, KV_VALUE_MAX), 0, 0);
	done();
	del("k001");
	put_if("full", slice_of(value, KV_VALUE_MAX), 0, 0);
	done();
	/* In many pieces, with changes between them, it is all there. */
	broker_checkpoint(w.broker);
	for (int i = 0; broker_checkpointing(w.broker); i++) {
		snprintf(key, sizeof(key), "k%03d", i * 37 % 255);
		if (i % 3 == 0)
			put_if(key, slice_str("new"), 0, 0);
		else if (i % 3 == 1)
			INPUT(1, kv_del, w.n[1] + 1, w.n[1], 0, 0, slice_str(key), NO_TAGS);
		broker_flush(w.broker);
		store();
		if (w.out_len[1] > 0 && w.out[1][4] == WIRE_TYPE_KV_DONE)
			w.n[1]++;
		w.out_len[1] = 0;
		assert_true(i < 2000);
	}
	run();
	is_recovered();
	restart();
	put("after", "1");
	is_recovered();
}

/* An old value is dead, and the next checkpoint comes for as many bytes as those of messages bring one. */
static void the_journal_does_not_grow_with_changes_of_one_key(void **state)
{
	static uint8_t value[KV_VALUE_MAX];
	uint64_t most = 0;
	(void)state;
	for (int i = 0; i < 1000; i++) {
		uint64_t bytes = 0;
		put_if("a", slice_of(value, KV_VALUE_MAX), 0, 0);
		done();
		for (uint64_t k = 1; k <= w.last; k++)
			bytes += w.log[k].hole ? 0 : w.log[k].len;
		most = bytes > most ? bytes : most;
	}
	assert_true(most < 40u << 20);
	is_recovered();
}

static void who_waits_is_told_the_newest_and_how_many_were_left_out(void **state)
{
	(void)state;
	comes(2);
	INPUT(2, kv_read, 7, KV_WAIT | KV_VALUES | KV_PREFIX, 0, 0, slice_str("a"), NO_TAGS);
	run();
	/* Also for the first of all. */
	assert_int_equal(w.out_len[2], 0);
	put("a", "1");
	struct wire_kv_at at = told(2, text, sizeof(text));
	assert_string_equal(text, " a=1@1");
	assert_int_equal(at.version, 1);
	INPUT(2, kv_read, 8, KV_WAIT | KV_VALUES | KV_PREFIX, 1, 1, slice_str("a"), NO_TAGS);
	put("b", "1");
	assert_int_equal(w.out_len[2], 0);
	put("ab", "2");
	at = told(2, text, sizeof(text));
	assert_string_equal(text, " ab=2@3");
	assert_int_equal(at.req, 8);
	assert_int_equal(at.left_out, 0);
	/* It asks no more for a while. */
	put("ab", "3");
	put("ab", "4");
	put("b", "5");
	del("a");
	assert_int_equal(w.out_len[2], 0);
	INPUT(2, kv_read, 9, KV_WAIT | KV_VALUES | KV_PREFIX, 3, 3, slice_str("a"), NO_TAGS);
	run();
	at = told(2, text, sizeof(text));
	assert_string_equal(text, " ab=4@5 -a@7");
	assert_int_equal(at.left_out, 1);
	assert_int_equal(at.version, 7);
	/* One key. */
	INPUT(2, kv_read, 10, KV_WAIT | KV_VALUES, 7, 7, slice_str("c"), NO_TAGS);
	put("cc", "1");
	assert_int_equal(w.out_len[2], 0);
	put("c", "1");
	told(2, text, sizeof(text));
	assert_string_equal(text, " c=1@9");
	broker_disconnect(w.broker, 2);
	put("c", "2");
	assert_int_equal(w.broker->kv_watches_count, 0);
}

static void who_comes_too_late_for_a_deletion_begins_anew(void **state)
{
	char value[16];
	(void)state;
	put("a", "1");
	put("b", "1");
	del("a");
	for (unsigned i = 1; i < KV_DELETED; i++) {
		snprintf(value, sizeof(value), "%u", i);
		put("b", value);
	}
	read_all("", KV_PREFIX, 2);
	assert_string_equal(text, " -a@3 b=@4098");
	is_recovered();
	broker_checkpoint(w.broker);
	run();
	is_recovered();
	put("b", "x");
	put("b", "x");
	struct wire_kv_at at = read_all("", KV_PREFIX, 2);
	assert_string_equal(text, "");
	assert_int_equal(at.flags, KV_ANEW);
	at = read_all("", KV_PREFIX, 0);
	assert_string_equal(text, " b=@4100");
	assert_int_equal(at.flags, 0);
	is_recovered();
	/* What there never was cannot be gone on from. */
	at = read_all("", KV_PREFIX, 1000000);
	assert_int_equal(at.flags, KV_ANEW);
}

static void who_begins_anew_is_not_told_of_changes_twice(void **state)
{
	char value[16];
	struct wire_kv_at at;
	(void)state;
	comes(2);
	put("a", "1");
	INPUT(2, kv_read, 1, KV_WAIT | KV_VALUES | KV_PREFIX, 1, 1, slice_str(""), NO_TAGS);
	put("a", "2");
	told(2, text, sizeof(text));
	for (unsigned i = 0; i <= KV_DELETED; i++) {
		snprintf(value, sizeof(value), "%u", i);
		put("a", value);
	}
	INPUT(2, kv_read, 2, KV_WAIT | KV_VALUES | KV_PREFIX, 2, 2, slice_str(""), NO_TAGS);
	run();
	at = told(2, text, sizeof(text));
	assert_int_equal(at.flags, KV_ANEW);
	INPUT(2, kv_read, 3, KV_VALUES | KV_PREFIX, 0, 0, slice_str(""), NO_TAGS);
	run();
	at = told(2, text, sizeof(text));
	assert_string_equal(text, " a=4096@4099");
	/* What it has just been told stands for the changes before it. */
	INPUT(2, kv_read, 4, KV_WAIT | KV_VALUES | KV_PREFIX, at.version, at.version,
	    slice_str(""), NO_TAGS);
	run();
	assert_int_equal(w.out_len[2], 0);
	put("a", "x");
	at = told(2, text, sizeof(text));
	assert_string_equal(text, " a=x@4100");
	assert_int_equal(at.left_out, 0);
	put("a", "y");
	put("a", "z");
	INPUT(2, kv_read, 5, KV_WAIT | KV_VALUES | KV_PREFIX, at.version, at.version,
	    slice_str(""), NO_TAGS);
	run();
	at = told(2, text, sizeof(text));
	assert_int_equal(at.left_out, 1);
}

static void long_answers_come_in_parts_that_make_one_state(void **state)
{
	static uint8_t value[20000];
	char key[8];
	uint64_t since = 0, known = 0;
	unsigned rows = 0;
	(void)state;
	for (int i = 0; i < 10; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		put_if(key, slice_of(value, sizeof(value)), 0, 0);
		done();
	}
	for (int turns = 0;; turns++) {
		INPUT(1, kv_read, 1, KV_VALUES | KV_PREFIX, since, known, slice_str("k"),
		    NO_TAGS);
		run();
		struct wire_kv_at at = told(1, text, sizeof(text));
		for (const char *p = text; *p; p++)
			rows += *p == '@';
		if (turns == 0) {
			del("k1");
			del("k9");
			known = at.newest;
		}
		assert_true(turns < 10);
		since = at.version;
		if (!(at.flags & KV_MORE))
			break;
	}
	/* k0 to k8, and both deletions. */
	assert_int_equal(rows, 9 + 2);
}

static void a_cluster_that_cannot_read_it_has_no_map(void **state)
{
	(void)state;
	broker_level(w.broker, 1);
	uint64_t before = broker_digest(w.broker);
	put_if("a", slice_str("1"), 0, 0);
	refused(RMQ_E_VERSION, NULL);
	assert_int_equal(broker_digest(w.broker), before);
	broker_level(w.broker, 2);
	put("a", "1");
}

static void rows_are_of_keys_that_may_be_read(void **state)
{
	uint8_t bytes[64];
	struct writer list = writer_of(bytes, sizeof(bytes));
	(void)state;
	put("open.a", "1");
	put("shut.a", "1");
	rights_entry_encode(
	    &list, &(struct rights_entry){RIGHT_RECV, RIGHTS_KV, slice_str("open.*")});
	rights_entry_encode(
	    &list, &(struct rights_entry){RIGHTS_ALL, RIGHTS_QUEUE, slice_str("*")});
	comes(2);
	broker_rights(w.broker, 2, slice_of(list.p, list.len));
	INPUT(2, kv_read, 1, KV_PREFIX | KV_VALUES | KV_WAIT, 0, 0, slice_str(""), NO_TAGS);
	run();
	told(2, text, sizeof(text));
	assert_string_equal(text, " open.a=1@1");
	INPUT(2, kv_read, 1, KV_PREFIX | KV_VALUES | KV_WAIT, 2, 2, slice_str(""), NO_TAGS);
	put("shut.a", "2");
	assert_int_equal(w.out_len[2], 0);
	put("open.a", "2");
	struct wire_kv_at at = told(2, text, sizeof(text));
	assert_string_equal(text, " open.a=2@4");
	assert_int_equal(at.left_out, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	    T(a_version_is_of_one_change_and_a_condition_names_it),
	    T(a_change_that_is_repeated_is_made_once_and_answered_alike),
	    T(nothing_is_told_before_it_is_stored),
	    T(what_a_map_may_hold_has_limits),
	    T(the_journal_does_not_grow_with_changes_of_one_key),
	    T(who_waits_is_told_the_newest_and_how_many_were_left_out),
	    T(who_comes_too_late_for_a_deletion_begins_anew),
	    T(who_begins_anew_is_not_told_of_changes_twice),
	    T(long_answers_come_in_parts_that_make_one_state),
	    T(a_cluster_that_cannot_read_it_has_no_map),
	    T(rows_are_of_keys_that_may_be_read),
#undef T
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
