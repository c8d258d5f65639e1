/* The queue core against a journal in memory that stores when it is told to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <malloc.h>
#include <cmocka.h>

#include "core/base/name.h"
#include "core/broker/broker_state.h"
#include "core/queue/queue.h"
#include "core/wire/journal_wire.h"
#include "core/wire/record.h"
#include "golden.h"
#include "memory_log.h"

#define RECORDS_MAX 8000
#define CONNS	    4

struct world {
	struct broker *broker;
	struct memory_record log[RECORDS_MAX + 1]; /* by index */
	uint64_t last;				   /* newest durable */
	uint64_t appended;
	uint64_t base; /* index after which this life appends */
	uint64_t barrier;
	uint64_t reserve;
	uint64_t checkpoint;
	uint64_t lease_ms;
	uint64_t wall_ms;
	uint64_t term;
	uint8_t out[CONNS][1 << 20]; /* what each connection was sent */
	size_t out_len[CONNS];
	bool closed[CONNS];
	bool deliverable[CONNS];
	bool stands[CONNS]; /* it reads nothing that would have to be fetched */
	size_t looked;	    /* bytes read for the newest HISTORY */
	bool digs_nothing;  /* HOLE is lost: the daemon is killed before it is done */
	uint8_t token[SESSION_TOKEN_SIZE]; /* of the newest WELCOME */
	char lost[256];			   /* runs that were told as lost */
};

static struct world w;
static struct memory_log journaled = {w.log, &w.last};

static void on_append(void *arg, uint64_t n, enum record_kind kind, struct slice payload)
{
	uint64_t index = w.base + n;
	(void)arg;
	assert_int_equal(index, w.appended + 1);
	assert_true(index <= RECORDS_MAX);
	w.appended = index;
	memory_record_set(&w.log[index], kind, payload);
}

static void on_barrier(void *arg, uint64_t id)
{
	(void)arg;
	w.barrier = id;
}

static void on_hole(void *arg, uint64_t checkpoint, struct slice ranges)
{
	(void)arg;
	assert_true(checkpoint <= w.last);
	if (!w.digs_nothing)
		memory_log_dig(&journaled, checkpoint, ranges);
}

static void on_reserve(void *arg, uint64_t bytes)
{
	(void)arg;
	w.reserve = bytes;
}

static void on_send(void *arg, uint64_t conn, struct slice frames)
{
	(void)arg;
	if (frames.len > 0)
		memcpy(w.out[conn] + w.out_len[conn], frames.data, frames.len);
	w.out_len[conn] += frames.len;
}

static void on_deliverable(void *arg, uint64_t conn)
{
	(void)arg;
	w.deliverable[conn] = true;
}

static void on_close(void *arg, uint64_t conn)
{
	(void)arg;
	w.closed[conn] = true;
}

static struct broker *new_broker(void)
{
	struct broker_host host = {NULL, on_append, on_barrier, on_hole, on_reserve, on_send,
	    on_deliverable, on_close};
	return broker_new(&host);
}

static struct broker *recovered(void)
{
	struct broker_log log = {&journaled, memory_log_read, memory_log_next};
	struct broker *b = new_broker();
	uint64_t at;
	assert_int_equal(broker_recover(b, &log, w.checkpoint, w.last, &at), RMQ_E_OK);
	return b;
}

static uint64_t recovered_digest(void)
{
	struct broker *b = recovered();
	uint64_t digest = broker_digest(b);
	broker_free(b);
	return digest;
}

static void begin(void)
{
	broker_now(w.broker, (struct lease_time){w.lease_ms}, (struct wall_time){w.wall_ms});
}

static void on_lost(
    void *arg, struct slice queue, uint64_t first, uint64_t last, uint64_t messages)
{
	size_t len = strlen(w.lost);
	(void)arg;
	snprintf(w.lost + len, sizeof(w.lost) - len, " %.*s:%d..%d(%d)", (int)queue.len,
	    (const char *)queue.data, (int)first, (int)last, (int)messages);
}

/* As memory_log_next(), but it says which record has gone bad. */
static enum rmq_error look(
    void *arg, uint64_t index, uint64_t *found, enum record_kind *kind, struct slice *payload)
{
	enum rmq_error err = memory_log_next(arg, index, found, kind, payload);
	return !err && w.log[*found].rotten ? RMQ_E_CORRUPT : err;
}

static void pull(uint64_t conn)
{
	static uint8_t memory[DELIVERY_MEMORY];
	struct delivery d;
	struct delivery_cursor c;
	struct delivery_frame f;
	while (broker_next_delivery(w.broker, conn, &d)) {
		if (d.history) {
			struct broker_log log = {&journaled, NULL, look};
			w.looked = broker_history(w.broker, conn, &log);
			continue;
		}
		assert_true(d.index > 0 && d.index <= w.last && !w.log[d.index].hole);
		if (w.log[d.index].rotten) {
			broker_undelivered(w.broker, conn, &d);
			assert_true(broker_lost(w.broker, d.index, on_lost, NULL) > 0);
			continue;
		}
		struct slice payload = slice_of(w.log[d.index].payload, w.log[d.index].len);
		assert_int_equal(delivery_open(&d, payload, memory, &c), RMQ_E_OK);
		enum rmq_error err;
		uint64_t bytes = 0;
		while (!(err = delivery_next(&c, &f))) {
			bytes += delivery_bytes(&f);
			on_send(NULL, conn, slice_of(f.head, f.head_len));
			on_send(NULL, conn, f.attributes);
			on_send(NULL, conn, f.ends);
			on_send(NULL, conn, f.blob);
		}
		assert_int_equal(err, RMQ_E_NOTHING);
		broker_delivered(w.broker, conn, &d, bytes);
	}
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
	if (w.barrier) {
		uint64_t barrier = w.barrier;
		w.barrier = 0;
		broker_barrier_done(w.broker, barrier);
	}
	for (uint64_t conn = 1; conn < CONNS; conn++) {
		if (w.deliverable[conn] && !w.stands[conn]) {
			w.deliverable[conn] = false;
			pull(conn);
		}
	}
}

/* Turns until nothing is outstanding. */
static void run(void)
{
	for (int i = 0; i < 1000; i++) {
		begin();
		broker_heard(w.broker, (struct lease_time){w.lease_ms});
		broker_flush(w.broker);
		if (!broker_pending(w.broker) && !broker_checkpointing(w.broker))
			return;
		store();
	}
	fail_msg("the broker does not come to rest");
}

static void start(void)
{
	begin();
	uint8_t secret[SESSION_SECRET_SIZE] = {(uint8_t)(w.term + 1)};
	broker_start(w.broker, ++w.term, secret);
	broker_room(w.broker, 0, 1 << 30);
}

static int setup(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	w.wall_ms = 1000000;
	w.broker = new_broker();
	start();
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

/* The connection reads again. */
static void goes_on(uint64_t conn)
{
	w.stands[conn] = false;
	pull(conn);
}

/* Kills the daemon: what is not stored is lost, the rest is found again. */
static void restart(void)
{
	for (uint64_t i = w.last + 1; i <= w.appended; i++)
		free(w.log[i].payload);
	w.appended = w.last;
	w.base = w.last;
	w.barrier = 0;
	broker_free(w.broker);
	w.broker = recovered();
	w.lease_ms = broker_lease_time(w.broker).ms;
	memset(w.closed, 0, sizeof(w.closed));
	memset(w.deliverable, 0, sizeof(w.deliverable));
	start();
}

static void input(uint64_t conn, const struct writer *in)
{
	struct frame f;
	size_t used;
	assert_false(in->full);
	assert_int_equal(frame_parse(slice_of(in->p, in->len), &f, &used), RMQ_E_OK);
	assert_int_equal(used, in->len);
	begin();
	broker_frame(w.broker, conn, &f);
}

static uint8_t scratch[FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX];

#define INPUT(conn, name, ...) \
	do { \
		struct writer in_ = writer_of(scratch, sizeof(scratch)); \
		wire_put_##name(&in_, &(struct wire_##name){__VA_ARGS__}); \
		input(conn, &in_); \
	} while (0)

/* The next frame that the connection was sent; it must be of this type. */
static struct slice expect(uint64_t conn, uint8_t type)
{
	static uint8_t copy[CONNS][FRAME_PAYLOAD_MAX];
	struct frame f;
	size_t used;
	assert_int_equal(
	    frame_parse(slice_of(w.out[conn], w.out_len[conn]), &f, &used), RMQ_E_OK);
	assert_true(used > 0);
	if (f.type != type)
		print_message("got %s\n", wire_name(f.type));
	assert_int_equal(f.type, type);
	memcpy(copy[conn], f.payload.data, f.payload.len);
	size_t len = f.payload.len;
	memmove(w.out[conn], w.out[conn] + used, w.out_len[conn] - used);
	w.out_len[conn] -= used;
	return slice_of(copy[conn], len);
}

#define EXPECT(conn, NAME, name, var) \
	struct wire_##name var; \
	assert_true(wire_##name##_decode(expect(conn, WIRE_TYPE_##NAME), &var))

static void expect_nothing(uint64_t conn)
{
	assert_int_equal(w.out_len[conn], 0);
}

static struct wire_welcome welcomed(uint64_t conn)
{
	struct slice token;
	EXPECT(conn, WELCOME, welcome, m);
	assert_true(tags_find(m.tags, WELCOME_TAG_TOKEN, &token));
	assert_int_equal(token.len, sizeof(w.token));
	memcpy(w.token, token.data, token.len);
	return m;
}

/* A connection of this owner; HELLO with the newest token, if there was one. */
static void comes(
    uint64_t conn, const char *node, uint32_t uid, uint64_t session, uint64_t answered)
{
	uint8_t list[4 + sizeof(w.token)];
	struct writer tags = writer_of(list, sizeof(list));
	begin();
	w.closed[conn] = false;
	w.out_len[conn] = 0;
	broker_connect(w.broker, conn);
	broker_owner(w.broker, conn, slice_str(node), uid);
	tags_put(&tags, HELLO_TAG_TOKEN, slice_of(w.token, sizeof(w.token)));
	INPUT(conn, hello, WIRE_HELLO_VERSIONS, session, answered,
	    session ? slice_of(tags.p, tags.len) : NO_TAGS);
}

static void come(
    uint64_t conn, const char *node, uint32_t uid, uint64_t session, uint64_t answered)
{
	comes(conn, node, uid, session, answered);
	run();
}

static uint64_t hello(uint64_t conn, uint64_t session, uint64_t answered)
{
	come(conn, "", OWNER_UNKNOWN, session, answered);
	return welcomed(conn).session;
}

static struct slice lines(int count)
{
	static uint8_t bytes[BATCH_MAX];
	struct writer b = writer_of(bytes, sizeof(bytes));
	put_u16(&b, (uint16_t)count);
	put_u16(&b, 0);
	for (int i = 0; i < count; i++)
		put_u16(&b, (uint16_t)(6 * (i + 1)));
	for (int i = 0; i < count; i++) {
		char line[16];
		snprintf(line, sizeof(line), "m%04d\n", i);
		put_rest(&b, slice_of(line, 6));
	}
	return slice_of(b.p, b.len);
}

static void send_lines(uint64_t conn, uint64_t n, const char *queue, int count)
{
	INPUT(conn, send, n, n - 1, 0, 0, slice_str(queue), NO_TAGS, lines(count));
}

/* … and they are taken. */
static void sent_lines(uint64_t conn, uint64_t n, const char *queue, int count)
{
	send_lines(conn, n, queue, count);
	run();
	expect(conn, WIRE_TYPE_SENT);
}

static void settle(uint64_t conn, uint64_t n, uint8_t verb, uint8_t flags, uint64_t ms,
    uint64_t lease, uint64_t first, uint32_t count)
{
	uint8_t bytes[SETTLE_ENTRY_SIZE];
	struct writer e = writer_of(bytes, sizeof(bytes));
	settle_entry_put(&e, &(struct settle_entry){lease, first, count});
	INPUT(conn, settle, n, n - 1, verb, flags, ms, 1, slice_str("q"), slice_str("why"),
	    NO_TAGS, slice_of(bytes, e.len));
}

static void subscribe(uint64_t conn, const char *queue, uint32_t credit)
{
	INPUT(conn, subscribe, 1, 0, 10000, slice_str(queue), NO_TAGS);
	INPUT(conn, credit, 1, credit, 1 << 20, 7);
	run();
	expect(conn, WIRE_TYPE_SUBSCRIBED);
}

/* A session on connection 1 that sent so many lines to "q" and subscribes to it. */
static void sent_and_subscribed(int count, uint32_t credit)
{
	hello(1, 0, 0);
	sent_lines(1, 1, "q", count);
	subscribe(1, "q", credit);
}

/* ---- */

static void a_send_is_answered_only_when_it_is_stored(void **state)
{
	(void)state;
	hello(1, 0, 0);
	send_lines(1, 1, "q", 3);
	broker_flush(w.broker);
	expect_nothing(1);
	store();
	EXPECT(1, SENT, sent, m);
	assert_int_equal(m.n, 1);
	assert_int_equal(m.first_seq, 1);
	assert_int_equal(m.count, 3);
}

static void a_repeated_send_is_answered_again_and_stored_once(void **state)
{
	(void)state;
	uint64_t session = hello(1, 0, 0);
	sent_lines(1, 1, "q", 3);
	restart();
	assert_int_equal(hello(2, session, 0), session);
	send_lines(2, 1, "q", 3);
	run();
	EXPECT(2, SENT, sent, m);
	assert_int_equal(m.first_seq, 1);
	send_lines(2, 2, "q", 1);
	run();
	EXPECT(2, SENT, sent, m2);
	assert_int_equal(m2.first_seq, 4);
}

/* Else what died stays on a full disk: nothing more dies there that makes a checkpoint due. */
static void holes_that_a_crash_was_faster_than_are_made_at_the_start(void **state)
{
	(void)state;
	sent_and_subscribed(100, 100);
	EXPECT(1, DELIVER, deliver, d);
	settle(1, 2, VERB_SETTLE, 0, 0, d.lease, 1, 100);
	run();
	w.digs_nothing = true;
	broker_checkpoint(w.broker);
	run();
	assert_true(w.checkpoint > 0);
	assert_false(w.log[1].hole);
	w.digs_nothing = false;
	restart();
	assert_true(w.log[1].hole);
	hello(1, 0, 0);
	send_lines(1, 1, "q", 1);
	run();
	EXPECT(1, SENT, sent, m);
	assert_int_equal(m.first_seq, 101);
}

static void a_gap_in_numbers_is_refused(void **state)
{
	(void)state;
	uint8_t batch[] = {1, 0, 0, 0, 2, 0, 'x', '\n'};
	hello(1, 0, 0);
	INPUT(1, send, 2, 0, 0, 0, slice_str("q"), NO_TAGS, slice_of(batch, sizeof(batch)));
	run();
	EXPECT(1, FAILED, failed, m);
	assert_int_equal(m.code, RMQ_E_OUT_OF_ORDER);
}

static void a_lease_expires_at_its_deadline_and_not_before(void **state)
{
	(void)state;
	sent_and_subscribed(2, 1);
	EXPECT(1, DELIVER, deliver, d);
	assert_int_equal(d.count, 1);
	assert_int_equal(d.attempt, 1);
	assert_int_equal(d.stamp, 7);
	w.lease_ms += 9999;
	run();
	expect_nothing(1);
	w.lease_ms += 1;
	run();
	EXPECT(1, LEASE_ENDED, lease_ended, ended);
	assert_int_equal(ended.why, ENDED_EXPIRED);
	/* Behind its back-off it comes again, before the younger message. */
	w.lease_ms += 1000;
	INPUT(1, credit, 1, 1, 1 << 20, 8);
	run();
	EXPECT(1, DELIVER, deliver, again);
	assert_int_equal(again.first_seq, d.first_seq);
	assert_int_equal(again.attempt, 2);
	assert_int_equal(again.failures, 1);
	assert_true(again.lease > d.lease);
}

static void ping_is_answered_while_the_journal_stores_nothing(void **state)
{
	(void)state;
	hello(1, 0, 0);
	send_lines(1, 1, "q", 1);
	INPUT(1, ping, 77);
	broker_flush(w.broker);
	EXPECT(1, PONG, pong, m);
	assert_int_equal(m.stamp, 77);
	expect_nothing(1);
	run();
	expect(1, WIRE_TYPE_SENT);
}

static void a_probe_gives_the_journal_one_barrier_to_answer(void **state)
{
	(void)state;
	assert_true(broker_probe(w.broker));
	uint64_t barrier = w.barrier;
	assert_int_not_equal(barrier, 0);
	assert_false(broker_probe(w.broker));
	store();
	assert_true(broker_probe(w.broker));
	assert_int_equal(w.barrier, barrier + 1);
}

static void an_extension_counts_from_when_it_was_read(void **state)
{
	(void)state;
	sent_and_subscribed(1, 1);
	expect(1, WIRE_TYPE_DELIVER);
	hello(2, 0, 0);
	/* One turn: what came first opens a record, and time goes on. */
	send_lines(2, 1, "other", 1);
	w.lease_ms += 6000;
	INPUT(1, extend, 100);
	run();
	expect(1, WIRE_TYPE_EXTENDED);
	restart();
	hello(1, 0, 0);
	w.lease_ms += 9999;
	run();
	INPUT(1, peek, 1, STATE_LEASED, 0, 10, slice_str("q"));
	run();
	expect(1, WIRE_TYPE_PEEKED);
	expect(1, WIRE_TYPE_PEEK_END);
	w.lease_ms += 1;
	run();
	INPUT(1, peek, 2, STATE_LEASED, 0, 10, slice_str("q"));
	run();
	expect(1, WIRE_TYPE_PEEK_END);
}

static void no_lease_ends_before_what_was_sent_is_heard(void **state)
{
	(void)state;
	sent_and_subscribed(1, 1);
	expect(1, WIRE_TYPE_DELIVER);
	uint64_t end = w.lease_ms + 10000;
	w.lease_ms += 60000;
	begin();
	broker_heard(w.broker, (struct lease_time){end - 1});
	broker_flush(w.broker);
	assert_true(broker_listens(w.broker));
	assert_int_equal(broker_due_ms(w.broker), UINT64_MAX);
	/* It was there in time, and is read late. */
	INPUT(1, extend, 100);
	run();
	expect(1, WIRE_TYPE_EXTENDED);
	expect_nothing(1);
	assert_false(broker_listens(w.broker));
	w.lease_ms += 10000;
	run();
	expect(1, WIRE_TYPE_LEASE_ENDED);
}

static void expect_watched(unsigned conn, uint32_t req, enum rmq_error code, uint64_t messages)
{
	EXPECT(conn, WATCHED, watched, m);
	assert_int_equal(m.req, req);
	assert_int_equal(m.code, code);
	assert_int_equal(m.messages, messages);
	expect_nothing(conn);
}

static void who_watches_a_queue_is_told_once_it_is_so(void **state)
{
	(void)state;
	sent_and_subscribed(2, 2);
	EXPECT(1, DELIVER, deliver, d);
	hello(2, 0, 0);
	/* What is leased is in the queue. */
	INPUT(2, watch, 1, WATCH_BELOW, 1, slice_str("q"));
	run();
	expect_nothing(2);
	settle(1, 2, VERB_SETTLE, 0, 0, d.lease, d.first_seq, 1);
	run();
	expect_nothing(2);
	settle(1, 3, VERB_SETTLE, 0, 0, d.lease, d.first_seq + 1, 1);
	begin();
	broker_flush(w.broker);
	/* Not before the settlement is stored. */
	expect_nothing(2);
	store();
	expect_watched(2, 1, RMQ_E_OK, 0);
	/* A further one takes the place of the one before. */
	INPUT(2, watch, 2, WATCH_ABOVE, 0, slice_str("q"));
	INPUT(2, watch, 3, WATCH_ABOVE, 2, slice_str("q"));
	run();
	w.out_len[1] = 0;
	send_lines(1, 4, "q", 2);
	run();
	expect_nothing(2);
	send_lines(1, 5, "q", 1);
	run();
	expect_watched(2, 3, RMQ_E_OK, 3);
	/* What is so already is told at once. */
	INPUT(2, watch, 4, WATCH_ABOVE, 2, slice_str("q"));
	run();
	expect_watched(2, 4, RMQ_E_OK, 3);
}

static void watch(uint64_t conn)
{
	INPUT(conn, watch, 1, WATCH_BELOW, 1, slice_str("q"));
	run();
}

/* Those of one user do not take all places; one that ends gives its place back. */
static void one_user_does_not_take_all_places_to_watch(void **state)
{
	(void)state;
	for (uint64_t conn = 1; conn <= 3; conn++) {
		come(conn, "", conn < 3 ? 1000 : 1001, 0, 0);
		welcomed(conn);
	}
	sent_lines(1, 1, "q", 1);
	/* As if further connections of this user watched. */
	broker_conn(w.broker, 1)->owner->watches = WATCHES_OF_ONE - 1;
	watch(1);
	expect_nothing(1);
	watch(2);
	expect_watched(2, 1, RMQ_E_LIMIT, 0);
	watch(3);
	expect_nothing(3);
	broker_disconnect(w.broker, 1);
	watch(2);
	expect_nothing(2);
}

static void a_watch_of_no_queue_or_one_that_goes_is_told_so(void **state)
{
	(void)state;
	hello(1, 0, 0);
	hello(2, 0, 0);
	INPUT(2, watch, 1, WATCH_BELOW, 1, slice_str("q"));
	run();
	expect_watched(2, 1, RMQ_E_NO_QUEUE, 0);
	send_lines(1, 1, "q", 1);
	INPUT(2, watch, 2, WATCH_BELOW, 1, slice_str("q"));
	run();
	expect_nothing(2);
	INPUT(1, queue_remove, 2, 0, REMOVE_FORCE, slice_str("q"));
	run();
	expect_watched(2, 2, RMQ_E_NO_QUEUE, 0);
	INPUT(2, watch, 3, 4, 1, slice_str("q"));
	run();
	assert_true(w.closed[2]);
}

static void who_waits_for_a_message_to_be_gone_is_told_the_next_that_is_not(void **state)
{
	(void)state;
	sent_and_subscribed(4, 4);
	EXPECT(1, DELIVER, deliver, d);
	hello(2, 0, 0);
	INPUT(2, watch, 1, WATCH_GONE, 2, slice_str("q"));
	settle(1, 2, VERB_SETTLE, 0, 0, d.lease, 1, 1);
	run();
	expect_nothing(2);
	settle(1, 3, VERB_SETTLE, 0, 0, d.lease, 3, 1);
	settle(1, 4, VERB_DEAD, 0, 0, d.lease, 2, 1);
	begin();
	broker_flush(w.broker);
	expect_nothing(2);
	store();
	expect_watched(2, 1, RMQ_E_OK, 4);
	/* What is gone, or never was, is not there. */
	INPUT(2, watch, 2, WATCH_GONE, 1, slice_str("q"));
	run();
	expect_watched(2, 2, RMQ_E_OK, 4);
	INPUT(2, watch, 3, WATCH_GONE, 9, slice_str("q"));
	run();
	expect_watched(2, 3, RMQ_E_OK, 5);
}

/* The answer says so many runs, and that is all. */
static void expect_buried(uint32_t req, uint32_t count, const uint64_t *runs)
{
	EXPECT(2, BURIED_ARE, buried_are, m);
	assert_int_equal(m.req, req);
	assert_int_equal(m.next, 0);
	assert_int_equal(m.runs.len, count * SEQ_RANGE_SIZE);
	struct reader r = reader_of(m.runs);
	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal(get_u64(&r), runs[2 * i]);
		assert_int_equal(get_u32(&r), runs[2 * i + 1]);
	}
	expect_nothing(2);
}

static void which_messages_are_dead_letters_is_told(void **state)
{
	(void)state;
	sent_and_subscribed(8, 8);
	EXPECT(1, DELIVER, deliver, d);
	hello(2, 0, 0);
	INPUT(2, buried, 1, 1, 9, 0, slice_str("q"), NO_TAGS);
	run();
	expect_buried(1, 0, NULL);
	settle(1, 2, VERB_DEAD, 0, 0, d.lease, 2, 3);
	settle(1, 3, VERB_DEAD, 0, 0, d.lease, 7, 1);
	settle(1, 4, VERB_SETTLE, 0, 0, d.lease, 5, 1);
	run();
	INPUT(2, buried, 2, 1, 9, 0, slice_str("q"), NO_TAGS);
	run();
	expect_buried(2, 2, (const uint64_t[]){2, 3, 7, 1});
	INPUT(2, buried, 3, 3, 7, 0, slice_str("q"), NO_TAGS);
	run();
	expect_buried(3, 1, (const uint64_t[]){3, 2});
	/* From a number of the dead-letter queue on. */
	INPUT(2, buried, 4, 1, 9, 3, slice_str("q"), NO_TAGS);
	run();
	expect_buried(4, 2, (const uint64_t[]){4, 1, 7, 1});
	INPUT(2, buried, 5, 1, 9, 0, slice_str("q.dead"), NO_TAGS);
	INPUT(2, buried, 6, 9, 1, UINT64_MAX, slice_str("q"), NO_TAGS);
	INPUT(2, buried, 7, 0, UINT64_MAX, 0, slice_str("none"), NO_TAGS);
	run();
	for (uint32_t req = 5; req <= 7; req++) {
		EXPECT(2, BURIED_ARE, buried_are, m);
		assert_int_equal(m.req, req);
		assert_int_equal(m.runs.len, 0);
	}
}

static void dead_letters_are_told_a_page_at_a_time(void **state)
{
	(void)state;
	uint64_t from = 0, seen = 0;
	sent_and_subscribed(1000, 1000);
	EXPECT(1, DELIVER, deliver, d);
	hello(2, 0, 0);
	for (uint64_t n = 2; n < 502; n++)
		settle(1, n, VERB_DEAD, 0, 0, d.lease, 2 * n, 1);
	run();
	do {
		INPUT(2, buried, 1, 1, 1001, from, slice_str("q"), NO_TAGS);
		run();
		EXPECT(2, BURIED_ARE, buried_are, m);
		assert_true(m.runs.len <= (size_t)BURIED_RUNS_MAX * SEQ_RANGE_SIZE);
		seen += m.runs.len / SEQ_RANGE_SIZE;
		from = m.next;
	} while (from > 0);
	assert_int_equal(seen, 499);
}

/* One message, of these records, of which others are known. */
static void send_known(uint64_t n, uint64_t before, uint64_t after, uint64_t known)
{
	uint8_t value[SEND_RESUME_MAX], list[4 + SEND_RESUME_MAX + TAG_U64_SIZE], bytes[64];
	struct writer v = writer_of(value, sizeof(value)), t = writer_of(list, sizeof(list)),
		      w_ = writer_of(bytes, sizeof(bytes));
	put_u64(&v, before);
	put_u64(&v, after);
	put_rest(&v, slice_str("in"));
	tags_put(&t, SEND_TAG_RESUME, slice_of(v.p, v.len));
	tags_put_u64(&t, SEND_TAG_KNOWN, known);
	put_u16(&w_, 1);
	put_u16(&w_, 0);
	put_u16(&w_, 2);
	put_rest(&w_, slice_str("x\n"));
	INPUT(1, send, n, n - 1, 0, 0, slice_str("q"), slice_of(t.p, t.len),
	    slice_of(w_.p, w_.len));
}

static void send_record(uint64_t n, uint64_t before, uint64_t after)
{
	send_known(n, before, after, 0);
}

static void expect_position(uint32_t req, uint64_t at, uint64_t first, uint64_t end)
{
	INPUT(1, position, req, slice_str("q"), slice_str("in"), NO_TAGS);
	run();
	EXPECT(1, POSITION_IS, position_is, m);
	assert_int_equal(m.req, req);
	assert_int_equal(m.at, at);
	struct input_sent sent = input_sent_find(m.tags, at);
	assert_int_equal(sent.first, first);
	assert_int_equal(sent.end, end);
}

/* One message for each byte, which is its id; of '.' none. */
static void send_ids_to(const char *queue, uint64_t n, const char *ids)
{
	uint8_t each[256], bytes[512];
	struct writer e = writer_of(each, sizeof(each)), m = writer_of(bytes, sizeof(bytes));
	size_t count = strlen(ids);
	for (size_t i = 0; i < count; i++)
		if (ids[i] != '.')
			tags_put(&e, (uint16_t)i, slice_of(ids + i, 1));
	put_u16(&m, (uint16_t)count);
	put_u16(&m, (uint16_t)(4 + e.len));
	tags_put(&m, ATTRIBUTE_ID | ATTRIBUTE_EACH, slice_of(e.p, e.len));
	for (size_t i = 0; i < count; i++)
		put_u16(&m, (uint16_t)(2 * (i + 1)));
	for (size_t i = 0; i < count; i++)
		put_rest(&m, slice_str("x\n"));
	assert_false(m.full);
	INPUT(1, send, n, n - 1, 0, 0, slice_str(queue), NO_TAGS, slice_of(m.p, m.len));
	run();
}

static void send_ids(uint64_t n, const char *ids)
{
	send_ids_to("q", n, ids);
}

/* numbers: first and count of each; they end with 0, 0. */
static void expect_known(uint64_t n, const char *runs, size_t len, const uint64_t *numbers)
{
	struct slice list;
	EXPECT(1, KNOWN, known, m);
	assert_int_equal(m.n, n);
	assert_int_equal(m.runs.len, len);
	assert_memory_equal(m.runs.data, runs, len);
	assert_true(tags_find(m.tags, KNOWN_TAG_NUMBERS, &list));
	struct reader r = reader_of(list);
	for (; numbers[1] > 0; numbers += 2) {
		struct seq_range e = seq_range_get(&r);
		assert_int_equal(e.first, numbers[0]);
		assert_int_equal(e.count, numbers[1]);
	}
	assert_int_equal(reader_left(&r), 0);
	assert_false(r.bad);
}
#define NUMBERED_AS(...) ((const uint64_t[]){__VA_ARGS__, 0, 0})

static void a_message_whose_id_is_known_is_not_stored_again(void **state)
{
	(void)state;
	hello(1, 0, 0);
	send_ids(1, "abc");
	expect(1, WIRE_TYPE_SENT);
	/* Also not one that the batch has twice. */
	send_ids(2, "xbcya");
	expect_known(2, "\1\0\2\0\4\0\1\0", 8, NUMBERED_AS(2, 2, 1, 1));
	send_ids(2, "xyx");
	expect_known(2, "\2\0\1\0", 4, NUMBERED_AS(KNOWN_SENT_WITH, 1));
	send_ids(2, "xy");
	EXPECT(1, SENT, sent, m);
	assert_int_equal(m.first_seq, 4);
	send_ids(3, "y");
	expect_known(3, "\0\0\1\0", 4, NUMBERED_AS(5, 1));
	restart();
	hello(1, 0, 0);
	send_ids(1, "xabayy");
	expect_known(1, "\0\0\6\0", 4, NUMBERED_AS(4, 1, 1, 2, 1, 1, 5, 1, 5, 1));
	/* Where some have none, it is not known whose each is. */
	send_ids(1, "p.q");
	expect(1, WIRE_TYPE_SENT);
	send_ids(2, "pqrrr");
	expect_known(2, "\0\0\2\0\3\0\2\0", 8, NUMBERED_AS(0, 2, KNOWN_SENT_WITH, 2));
	restart();
	hello(1, 0, 0);
	send_ids(1, "bq");
	expect_known(1, "\0\0\2\0", 4, NUMBERED_AS(2, 1, 0, 1));
	/* It was sent so long ago. */
	w.lease_ms += 600000;
	send_ids(1, "y");
	expect(1, WIRE_TYPE_SENT);
}

static void an_input_has_a_position_that_no_run_goes_behind(void **state)
{
	(void)state;
	hello(1, 0, 0);
	expect_position(1, 0, 0, 0);
	send_record(1, 0, 3);
	run();
	expect(1, WIRE_TYPE_SENT);
	expect_position(2, 3, 1, 2);
	/* Another run has sent these. */
	send_record(2, 2, 4);
	run();
	EXPECT(1, FAILED, failed, m);
	assert_int_equal(m.code, RMQ_E_BUSY);
	expect_position(3, 3, 1, 2);
	/* Records between may have been bad, and messages of others come between. */
	send_ids(2, "zz");
	expect(1, WIRE_TYPE_KNOWN);
	send_ids(2, "yz");
	expect(1, WIRE_TYPE_SENT);
	send_record(3, 5, 6);
	run();
	expect(1, WIRE_TYPE_SENT);
	expect_position(4, 6, 1, 5);
	INPUT(1, queue_remove, 4, 3, REMOVE_FORCE, slice_str("q"));
	run();
	expect(1, WIRE_TYPE_DONE);
	expect_position(5, 0, 0, 0);
	/* Records that are none. */
	send_record(5, 6, 6);
	run();
	assert_true(w.closed[1]);
}

/* All records up to there were known by their ids: a SEND of nothing. */
static void send_no_record(uint64_t n, uint64_t before, uint64_t after)
{
	uint8_t value[SEND_RESUME_MAX], list[4 + SEND_RESUME_MAX];
	struct writer v = writer_of(value, sizeof(value)), t = writer_of(list, sizeof(list));
	put_u64(&v, before);
	put_u64(&v, after);
	put_rest(&v, slice_str("in"));
	tags_put(&t, SEND_TAG_RESUME, slice_of(v.p, v.len));
	INPUT(1, send, n, n - 1, 0, 0, slice_str("q"), slice_of(t.p, t.len), NO_TAGS);
	run();
	expect(1, WIRE_TYPE_DONE);
}

static void a_position_knows_from_its_first_to_its_last_message_through_a_restart(void **state)
{
	(void)state;
	hello(1, 0, 0);
	send_ids(1, "ab");
	expect(1, WIRE_TYPE_SENT);
	send_no_record(2, 0, 2);
	expect_position(1, 2, 3, 3);
	send_ids(3, "c");
	expect(1, WIRE_TYPE_SENT);
	send_record(4, 2, 3);
	run();
	expect(1, WIRE_TYPE_SENT);
	expect_position(2, 3, 4, 5);
	send_ids(5, "d");
	expect(1, WIRE_TYPE_SENT);
	send_no_record(6, 3, 4);
	expect_position(3, 4, 4, 5);
	restart();
	hello(1, 0, 0);
	expect_position(4, 4, 4, 5);
	send_record(1, 4, 5);
	run();
	expect(1, WIRE_TYPE_SENT);
	expect_position(5, 5, 4, 7);
}

static void sends_and_some_are_skipped(
    uint64_t n, uint64_t before, uint64_t after, uint64_t known, uint64_t skipped)
{
	send_known(n, before, after, known);
	run();
	expect(1, WIRE_TYPE_SENT);
	INPUT(1, position, 1, slice_str("q"), slice_str("in"), NO_TAGS);
	run();
	EXPECT(1, POSITION_IS, position_is, m);
	assert_int_equal(m.at, after);
	assert_int_equal(input_sent_find(m.tags, m.at).skipped, skipped);
}

static void a_position_knows_after_which_record_all_are_stored(void **state)
{
	(void)state;
	hello(1, 0, 0);
	sends_and_some_are_skipped(1, 0, 1, 0, 0);
	sends_and_some_are_skipped(2, 1, 4, 2, 0);
	/* One of them was refused. */
	sends_and_some_are_skipped(3, 4, 6, 0, 6);
	sends_and_some_are_skipped(4, 6, 7, 0, 6);
	restart();
	hello(1, 0, 0);
	/* One before them was bad for the sender. */
	sends_and_some_are_skipped(1, 8, 9, 0, 8);
	sends_and_some_are_skipped(2, 9, 12, 1, 12);
	sends_and_some_are_skipped(3, 12, 13, 0, 12);
	restart();
	hello(1, 0, 0);
	sends_and_some_are_skipped(1, 13, 14, 0, 12);
	/* Nothing is known of the records before these. */
	INPUT(1, queue_remove, 2, 1, REMOVE_FORCE, slice_str("q"));
	run();
	expect(1, WIRE_TYPE_DONE);
	sends_and_some_are_skipped(3, 14, 15, 0, 14);
}

static void wall_clock_jumps_do_not_end_leases(void **state)
{
	(void)state;
	sent_and_subscribed(1, 1);
	expect(1, WIRE_TYPE_DELIVER);
	w.wall_ms += 1000000000;
	run();
	expect_nothing(1);
}

static void a_wall_clock_that_is_set_back_lengthens_no_back_off(void **state)
{
	(void)state;
	w.wall_ms = 200000000;
	sent_and_subscribed(1, 2);
	EXPECT(1, DELIVER, deliver, d);
	settle(1, 2, VERB_RELEASE, 0, 2000, d.lease, d.first_seq, 1);
	run();
	w.out_len[1] = 0;
	/* A day; what is shown goes by the clock as it is now. */
	w.wall_ms -= 86400000;
	w.lease_ms += 1999;
	INPUT(1, peek, 1, STATE_DELAYED, 0, 10, slice_str("q"));
	run();
	EXPECT(1, PEEKED, peeked, p);
	assert_int_equal(p.until_ms, w.wall_ms + 1);
	expect(1, WIRE_TYPE_PEEK_END);
	expect_nothing(1);
	w.lease_ms += 1;
	run();
	expect(1, WIRE_TYPE_DELIVER);
}

static void an_old_receipt_is_stale_and_deletes_nothing(void **state)
{
	(void)state;
	sent_and_subscribed(1, 1);
	EXPECT(1, DELIVER, deliver, d);
	w.lease_ms += 10000;
	run();
	expect(1, WIRE_TYPE_LEASE_ENDED);
	/* The repeat gets the same answer. */
	for (int i = 0; i < 2; i++) {
		settle(1, 2, VERB_SETTLE, 0, 0, d.lease, 1, 1);
		run();
		EXPECT(1, DONE, done, m);
		assert_int_equal(m.stale.len, SETTLE_ENTRY_SIZE);
	}
}

static void set_dead_letter(uint64_t conn, uint64_t n, const char *queue, const char *dead)
{
	INPUT(conn, queue_set, n, n - 1, SETTING_DEAD_LETTER, slice_str(queue), 0, 0, 0, 0, 0,
	    0, slice_str(dead), NO_TAGS);
	run();
}

/* The DONEs of commands from `n` on: whether each has stale entries. */
static void expect_stale(uint64_t n, const char *which)
{
	run();
	for (; *which; which++, n++) {
		EXPECT(1, DONE, done, done);
		assert_int_equal(done.n, n);
		assert_int_equal(done.stale.len > 0, *which == '1');
	}
}

static void a_receipt_that_never_was_or_gives_back_what_is_gone_is_stale(void **state)
{
	(void)state;
	sent_and_subscribed(3, 3);
	EXPECT(1, DELIVER, deliver, d);
	settle(1, 2, VERB_SETTLE, 0, 0, d.lease, 2, 1);
	settle(1, 3, VERB_SETTLE, 0, 0, d.lease, 2, 1);
	settle(1, 4, VERB_RELEASE, 0, 0, d.lease, 2, 1);
	settle(1, 5, VERB_TOUCH, 0, 1000, d.lease, 1, 3);
	settle(1, 6, VERB_SETTLE, 0, 0, d.lease + 1, 1, 1);
	settle(1, 7, VERB_SETTLE, 0, 0, d.lease, 4, 1);
	expect_stale(2, "001111");
}

static void what_is_gone_and_was_not_settled_by_this_receipt_is_stale(void **state)
{
	(void)state;
	sent_and_subscribed(4, 4);
	EXPECT(1, DELIVER, deliver, d);
	/* A dead letter is done only for who asked for it. */
	settle(1, 2, VERB_DEAD, 0, 0, d.lease, 1, 1);
	settle(1, 3, VERB_SETTLE, 0, 0, d.lease, 1, 1);
	settle(1, 4, VERB_DEAD, 0, 0, d.lease, 1, 1);
	expect_stale(2, "010");
	/* Someone else was given it, and settled it. */
	settle(1, 5, VERB_RELEASE, 0, 0, d.lease, 2, 1);
	run();
	expect_stale(5, "0");
	INPUT(1, credit, 1, 10, 1000, 1);
	run();
	EXPECT(1, DELIVER, deliver, again);
	assert_int_equal(again.first_seq, 2);
	settle(1, 6, VERB_SETTLE, 0, 0, again.lease, 2, 1);
	settle(1, 7, VERB_SETTLE, 0, 0, again.lease, 2, 1);
	settle(1, 8, VERB_SETTLE, 0, 0, d.lease, 2, 1);
	/* What was settled before the rest was purged is done. */
	settle(1, 9, VERB_SETTLE, 0, 0, d.lease, 3, 1);
	expect_stale(6, "0010");
	INPUT(1, queue_purge, 10, 9, slice_str("q"));
	settle(1, 11, VERB_SETTLE, 0, 0, d.lease, 3, 1);
	settle(1, 12, VERB_SETTLE, 0, 0, d.lease, 3, 2);
	run();
	expect(1, WIRE_TYPE_LEASE_ENDED);
	expect_stale(10, "001");
}

static void who_holds_what_another_makes_a_dead_letter_is_told_so(void **state)
{
	(void)state;
	sent_and_subscribed(1, 1);
	EXPECT(1, DELIVER, deliver, d);
	hello(2, 0, 0);
	settle(2, 1, VERB_DEAD, 0, 0, d.lease, 1, 1);
	run();
	expect(2, WIRE_TYPE_DONE);
	EXPECT(1, LEASE_ENDED, lease_ended, ended);
	assert_int_equal(ended.why, ENDED_DEAD);
}

static void a_refused_settlement_has_no_effect(void **state)
{
	(void)state;
	sent_and_subscribed(2, 2);
	EXPECT(1, DELIVER, deliver, d);
	hello(2, 0, 0);
	set_dead_letter(2, 1, "q", "-");
	expect(2, WIRE_TYPE_DONE);
	settle(2, 2, VERB_DEAD, 0, 0, d.lease, d.first_seq, 2);
	run();
	EXPECT(2, FAILED, failed, none);
	assert_int_equal(none.code, RMQ_E_NO_QUEUE);
	expect_nothing(1);
	/* Full: what waits there is more than its limit. */
	set_dead_letter(2, 2, "q", "other");
	expect(2, WIRE_TYPE_DONE);
	send_lines(2, 3, "other", 1);
	INPUT(2, queue_set, 4, 3, SETTING_MAX_BYTES, slice_str("other"), 0, 0, 0, 0, 1, 0,
	    slice_str(""), NO_TAGS);
	settle(2, 5, VERB_DEAD, 0, 0, d.lease, d.first_seq, 2);
	run();
	expect(2, WIRE_TYPE_SENT);
	expect(2, WIRE_TYPE_DONE);
	EXPECT(2, FAILED, failed, full);
	assert_int_equal(full.code, RMQ_E_FULL);
	assert_true(slice_eq(full.text, slice_str("queue is full: other")));
	expect_nothing(1);
	settle(2, 5, VERB_SETTLE, 0, 0, d.lease, d.first_seq, 2);
	run();
	EXPECT(2, DONE, done, done);
	assert_int_equal(done.stale.len, 0);
	expect(1, WIRE_TYPE_LEASE_ENDED);
}

static void dead_letters_in_a_queue_that_counts_begin_anew(void **state)
{
	(void)state;
	sent_and_subscribed(1, 1);
	EXPECT(1, DELIVER, deliver, d);
	set_dead_letter(1, 2, "q", "other");
	expect(1, WIRE_TYPE_DONE);
	settle(1, 3, VERB_DEAD, 0, 0, d.lease, d.first_seq, 1);
	INPUT(1, peek, 1, STATE_READY, 0, 10, slice_str("other"));
	run();
	expect(1, WIRE_TYPE_DONE);
	EXPECT(1, PEEKED, peeked, p);
	assert_int_equal(p.failures, 0);
	assert_true(slice_eq(p.note, slice_str("q:1 why")));
}

static void dead_letters_do_not_go_round(void **state)
{
	static const char *const ways[][2] = {{"q", "q"}, {"b", "q"}};
	(void)state;
	sent_and_subscribed(1, 1);
	expect(1, WIRE_TYPE_DELIVER);
	set_dead_letter(1, 2, "q", "b");
	expect(1, WIRE_TYPE_DONE);
	sent_lines(1, 3, "b", 1);
	for (size_t i = 0; i < 2; i++) {
		set_dead_letter(1, 4, ways[i][0], ways[i][1]);
		EXPECT(1, FAILED, failed, m);
		assert_int_equal(m.code, RMQ_E_USAGE);
	}
	INPUT(1, queue_create, 4, 3, SETTING_DEAD_LETTER, slice_str("c"), 0, 0, 0, 0, 0, 0,
	    slice_str("c"), NO_TAGS);
	run();
	EXPECT(1, FAILED, failed, m);
	assert_int_equal(m.code, RMQ_E_USAGE);
}

static void overlapping_entries_of_one_settlement_count_once(void **state)
{
	uint8_t bytes[3 * SETTLE_ENTRY_SIZE];
	struct writer e = writer_of(bytes, sizeof(bytes));
	(void)state;
	sent_and_subscribed(5, 5);
	EXPECT(1, DELIVER, deliver, d);
	settle_entry_put(&e, &(struct settle_entry){d.lease, 2, 3});
	settle_entry_put(&e, &(struct settle_entry){d.lease, 1, 3});
	settle_entry_put(&e, &(struct settle_entry){d.lease, 1, 3});
	INPUT(1, settle, 2, 1, VERB_SETTLE, 0, 0, 1, slice_str("q"), slice_str(""), NO_TAGS,
	    slice_of(bytes, e.len));
	run();
	EXPECT(1, DONE, done, m);
	assert_int_equal(m.stale.len, 0);
	INPUT(1, list, 1, 10, slice_str(""), slice_str("*"));
	run();
	EXPECT(1, LISTED, listed, row);
	assert_int_equal(row.leased, 1);
	assert_int_equal(row.settled, 4);
}

static void a_settlement_of_as_many_single_messages_as_fit_is_taken(void **state)
{
	static uint8_t bytes[SETTLE_ENTRIES_MAX * SETTLE_ENTRY_SIZE];
	struct writer e = writer_of(bytes, sizeof(bytes));
	const int count = 2 * SETTLE_ENTRIES_MAX;
	(void)state;
	sent_and_subscribed(count, (uint32_t)count);
	EXPECT(1, DELIVER, deliver, d);
	assert_int_equal(d.count, count);
	for (uint64_t i = 0; i < SETTLE_ENTRIES_MAX; i++)
		settle_entry_put(&e, &(struct settle_entry){d.lease, 1 + 2 * i, 1});
	INPUT(1, settle, 2, 1, VERB_SETTLE, 0, 0, 1, slice_str("q"), slice_str(""), NO_TAGS,
	    slice_of(bytes, e.len));
	run();
	expect(1, WIRE_TYPE_DONE);
	/* What is left is as many ranges, all of them in one entry. */
	settle(1, 3, VERB_SETTLE, 0, 0, d.lease, 1, (uint32_t)count);
	run();
	expect(1, WIRE_TYPE_DONE);
	INPUT(1, list, 1, 10, slice_str(""), slice_str("*"));
	run();
	EXPECT(1, LISTED, listed, row);
	assert_int_equal(row.leased, 0);
	assert_int_equal(row.settled, count);
}

/* As many messages as fit into a batch, and as many bytes. */
static struct slice full_batch(void)
{
	static uint8_t bytes[BATCH_MAX];
	struct writer b = writer_of(bytes, sizeof(bytes));
	const uint32_t blob = BATCH_MAX - BATCH_HEADER_SIZE - 2 * BATCH_MESSAGES_MAX;
	memset(bytes, 'x', sizeof(bytes));
	put_u16(&b, BATCH_MESSAGES_MAX);
	put_u16(&b, 0);
	for (uint32_t i = 1; i < BATCH_MESSAGES_MAX; i++)
		put_u16(&b, (uint16_t)i);
	put_u16(&b, (uint16_t)blob);
	return slice_of(bytes, sizeof(bytes));
}

static struct slice small_batch(void)
{
	static const uint8_t bytes[] = {2, 0, 0, 0, 2, 0, 4, 0, 'x', '\n', 'y', '\n'};
	return slice_of(bytes, sizeof(bytes));
}

/* One message with an id. */
static struct slice batch_with_id(void)
{
	static uint8_t bytes[32];
	struct writer m = writer_of(bytes, sizeof(bytes));
	put_u16(&m, 1);
	put_u16(&m, 4 + 2);
	tags_put(&m, ATTRIBUTE_ID, slice_str("id"));
	put_u16(&m, 2);
	put_rest(&m, slice_str("x\n"));
	return slice_of(m.p, m.len);
}

/* Settles `count` single messages of "q" from the first on, and sends a batch to `target`. */
static void settle_send(uint64_t conn, uint64_t n, uint8_t flags, const char *target,
    uint64_t lease, uint32_t count, struct slice batch)
{
	static uint8_t bytes[SETTLE_SEND_ENTRIES_MAX * SETTLE_ENTRY_SIZE + BATCH_MAX];
	struct writer e = writer_of(bytes, sizeof(bytes));
	for (uint64_t i = 0; i < count; i++)
		settle_entry_put(&e, &(struct settle_entry){lease, 1 + i, 1});
	put_rest(&e, batch);
	INPUT(conn, settle_send, n, n - 1, flags, 1, slice_str("q"), slice_str(target), count,
	    NO_TAGS, slice_of(bytes, e.len));
}

static void expect_counts(uint64_t conn, const char *queue, uint64_t ready, uint64_t leased)
{
	INPUT(conn, list, 1, 10, slice_str(""), slice_str(queue));
	run();
	EXPECT(conn, LISTED, listed, row);
	assert_int_equal(row.ready, ready);
	assert_int_equal(row.leased, leased);
	expect(conn, WIRE_TYPE_LIST_END);
}

static void a_full_batch_and_as_many_settlements_are_one_record(void **state)
{
	(void)state;
	const uint32_t count = SETTLE_SEND_ENTRIES_MAX;
	uint64_t session = hello(1, 0, 0);
	sent_lines(1, 1, "q", (int)count);
	subscribe(1, "q", count);
	EXPECT(1, DELIVER, deliver, d);
	assert_int_equal(d.count, count);
	run();
	uint64_t appended = w.appended;
	settle_send(1, 2, 0, "out", d.lease, count, full_batch());
	/* What comes in the same turn is in another record: its offset would be too large. */
	send_lines(1, 3, "out", 1);
	broker_flush(w.broker);
	expect_nothing(1);
	assert_int_equal(w.appended, appended + 2);
	assert_true(w.log[appended + 1].len > RECORD_FILL);
	run();
	EXPECT(1, SETTLE_SENT, settle_sent, m);
	assert_int_equal(m.n, 2);
	assert_int_equal(m.first_seq, 1);
	assert_int_equal(m.count, BATCH_MESSAGES_MAX);
	assert_int_equal(m.stale.len, 0);
	expect(1, WIRE_TYPE_SENT);
	expect_counts(1, "q", 0, 0);
	expect_counts(1, "out", BATCH_MESSAGES_MAX + 1, 0);
	assert_int_equal(recovered_digest(), broker_digest(w.broker));
	for (int i = 0; i < 2; i++) {
		restart();
		assert_int_equal(hello(1, session, 0), session);
		settle_send(1, 2, 0, "out", d.lease, count, full_batch());
		INPUT(1, send, 3, 0, 0, 0, slice_str("out"), NO_TAGS, small_batch());
		run();
		EXPECT(1, SETTLE_SENT, settle_sent, again);
		assert_int_equal(again.first_seq, 1);
		assert_int_equal(again.count, BATCH_MESSAGES_MAX);
		expect(1, WIRE_TYPE_SENT);
		expect_counts(1, "out", BATCH_MESSAGES_MAX + 1, 0);
		broker_checkpoint(w.broker);
		run();
	}
	INPUT(1, subscribe, 2, 0, 10000, slice_str("out"), NO_TAGS);
	INPUT(1, credit, 2, BATCH_MESSAGES_MAX, 1 << 20, 7);
	run();
	expect(1, WIRE_TYPE_SUBSCRIBED);
	EXPECT(1, DELIVER, deliver, out);
	assert_int_equal(out.count, BATCH_MESSAGES_MAX);
	assert_memory_equal(out.data.data, full_batch().data + BATCH_HEADER_SIZE, out.data.len);
}

static void the_answer_to_settle_send_has_both_also_behind_a_checkpoint(void **state)
{
	(void)state;
	const uint32_t count = SETTLE_SEND_ENTRIES_MAX;
	uint64_t session = hello(1, 0, 0);
	sent_lines(1, 1, "q", (int)count);
	subscribe(1, "q", count);
	EXPECT(1, DELIVER, deliver, d);
	settle_send(1, 2, 0, "out", d.lease, count, small_batch());
	run();
	EXPECT(1, SETTLE_SENT, settle_sent, m);
	assert_int_equal(m.count, 2);
	for (int i = 0; i < 2; i++) {
		restart();
		hello(1, session, 0);
		settle_send(1, 2, 0, "out", d.lease, count, small_batch());
		run();
		EXPECT(1, SETTLE_SENT, settle_sent, again);
		assert_int_equal(again.n, 2);
		assert_int_equal(again.first_seq, 1);
		assert_int_equal(again.count, 2);
		assert_int_equal(again.stale.len, 0);
		expect_counts(1, "out", 2, 0);
		broker_checkpoint(w.broker);
		run();
	}
}

static void expect_refused(uint64_t n, enum rmq_error code, const char *text)
{
	run();
	EXPECT(1, FAILED, failed, m);
	assert_int_equal(m.n, n);
	assert_int_equal(m.code, code);
	if (!slice_eq(m.text, slice_str(text)))
		print_message("%.*s\n", (int)m.text.len, (const char *)m.text.data);
	assert_true(slice_eq(m.text, slice_str(text)));
}

static void what_came_of_a_lease_that_is_over_is_not_sent(void **state)
{
	(void)state;
	sent_and_subscribed(2, 2);
	EXPECT(1, DELIVER, deliver, d);
	settle(1, 2, VERB_RELEASE, 0, 1000, d.lease, 2, 1);
	run();
	expect(1, WIRE_TYPE_DONE);
	uint64_t digest = broker_digest(w.broker);
	settle_send(1, 3, 0, "out", d.lease, 2, small_batch());
	expect_refused(3, RMQ_E_STALE, "receipt is stale");
	assert_int_equal(broker_digest(w.broker), digest);
	/* The other one is held still. */
	expect_counts(1, "q", 0, 1);
	settle_send(1, 3, 0, "out", d.lease, 1, small_batch());
	run();
	expect(1, WIRE_TYPE_SETTLE_SENT);
	expect_counts(1, "out", 2, 0);
}

/* Also when nothing tells any more that the lease had ended otherwise. */
static void what_came_of_a_message_that_is_gone_is_not_sent(void **state)
{
	(void)state;
	uint64_t session = hello(1, 0, 0);
	sent_lines(1, 1, "q", 1);
	subscribe(1, "q", 1);
	EXPECT(1, DELIVER, deliver, d);
	broker_disconnect(w.broker, 1);
	w.lease_ms += 10001;
	run();
	w.lease_ms += 5000;
	run();
	hello(2, 0, 0);
	subscribe(2, "q", 1);
	EXPECT(2, DELIVER, deliver, again);
	settle_send(2, 1, 0, "out", again.lease, 1, small_batch());
	run();
	expect(2, WIRE_TYPE_SETTLE_SENT);
	broker_checkpoint(w.broker);
	run();
	restart();
	hello(1, session, 1);
	settle_send(1, 2, 0, "out", d.lease, 1, small_batch());
	expect_refused(2, RMQ_E_STALE, "receipt is stale");
	expect_counts(1, "out", 2, 0);
}

static void settle_send_does_both_or_neither(void **state)
{
	(void)state;
	sent_and_subscribed(2, 2);
	EXPECT(1, DELIVER, deliver, d);
	INPUT(1, queue_create, 2, 1, SETTING_MAX_BYTES, slice_str("full"), 0, 0, 0, 0, 1, 0,
	    slice_str(""), NO_TAGS);
	INPUT(1, queue_create, 3, 2, SETTING_MAX_MESSAGE, slice_str("small"), 0, 0, 0, 0, 0, 1,
	    slice_str(""), NO_TAGS);
	send_lines(1, 4, "full", 1);
	run();
	expect(1, WIRE_TYPE_DONE);
	expect(1, WIRE_TYPE_DONE);
	expect(1, WIRE_TYPE_SENT);
	uint64_t digest = broker_digest(w.broker);
	settle_send(1, 5, 0, "full", d.lease, 2, small_batch());
	expect_refused(5, RMQ_E_FULL, "queue is full: full");
	settle_send(1, 5, SEND_NO_CREATE, "none", d.lease, 2, small_batch());
	expect_refused(5, RMQ_E_NO_QUEUE, "no such queue: none");
	settle_send(1, 5, 0, "/", d.lease, 2, small_batch());
	expect_refused(5, RMQ_E_USAGE, "usage error: /");
	settle_send(1, 5, 0, "small", d.lease, 2, full_batch());
	expect_refused(5, RMQ_E_TOO_LARGE,
	    "message is too large: it has 52220 bytes, the queue's --max-message is 1");
	settle_send(1, 5, SEND_CHUNK, "out", d.lease, 2, small_batch());
	expect_refused(5, RMQ_E_VERSION, "unknown flag of SETTLE_SEND");
	settle_send(1, 5, 0, "out", d.lease, 2, batch_with_id());
	expect_refused(5, RMQ_E_USAGE, "a message of SETTLE_SEND has no id");
	broker_room(w.broker, 0, 0);
	broker_room(w.broker, w.last - w.base, 100);
	settle_send(1, 5, 0, "out", d.lease, 2, small_batch());
	expect_refused(5, RMQ_E_DISK_FULL, "disk is full: out");
	broker_room(w.broker, w.last - w.base, 1 << 30);
	run();
	expect(1, WIRE_TYPE_ROOM);
	assert_int_equal(broker_digest(w.broker), digest);
	settle_send(1, 5, 0, "out", d.lease, 2, small_batch());
	run();
	expect(1, WIRE_TYPE_SETTLE_SENT);
	expect_counts(1, "q", 0, 0);
	expect_counts(1, "out", 2, 0);
	/* Room for one more in "full": its waiter is told. */
	INPUT(1, queue_purge, 6, 5, slice_str("full"));
	run();
	expect(1, WIRE_TYPE_DONE);
}

/* ---- to another queue ---- */

static void transfer(uint8_t flags, uint32_t most, const char *queue, const char *target,
    uint64_t first, uint32_t count)
{
	uint8_t bytes[SEQ_RANGE_SIZE];
	struct writer r = writer_of(bytes, sizeof(bytes));
	seq_range_put(&r, &(struct seq_range){first, count});
	INPUT(1, transfer, 7, flags, most, slice_str(queue), slice_str(target), NO_TAGS,
	    slice_of(bytes, r.len));
	run();
}

static struct wire_transferred transferred(enum rmq_error code, uint64_t moved, uint64_t kept)
{
	EXPECT(1, TRANSFERRED, transferred, m);
	assert_int_equal(m.req, 7);
	assert_int_equal(m.code, code);
	assert_int_equal(m.moved, moved);
	assert_int_equal(m.kept, kept);
	expect_nothing(1);
	return m;
}

static void messages_move_unless_somebody_holds_them(void **state)
{
	(void)state;
	sent_and_subscribed(5, 2);
	EXPECT(1, DELIVER, deliver, d);
	assert_int_equal(d.count, 2);
	INPUT(1, queue_create, 2, 1, 0, slice_str("other"), 0, 0, 0, 0, 0, 0, slice_str(""),
	    NO_TAGS);
	run();
	expect(1, WIRE_TYPE_DONE);
	transfer(0, 0, "q", "other", 1, UINT32_MAX);
	assert_int_equal(transferred(RMQ_E_OK, 3, 0).more, 0);
	expect_counts(1, "q", 0, 2);
	expect_counts(1, "other", 3, 0);
	/* Again there is nothing left. */
	transfer(0, 0, "q", "other", 1, UINT32_MAX);
	transferred(RMQ_E_OK, 0, 0);
	uint64_t digest = broker_digest(w.broker);
	restart();
	assert_int_equal(broker_digest(w.broker), digest);
	hello(1, 0, 0);
	transfer(0, 0, "other", "nowhere", 1, 1);
	transferred(RMQ_E_NO_QUEUE, 0, 0);
	transfer(0, 0, "other", "other", 1, 1);
	transferred(RMQ_E_USAGE, 0, 0);
	transfer(0, 0, "nowhere", "q", 1, 1);
	transferred(RMQ_E_NO_QUEUE, 0, 0);
	INPUT(1, transfer, 7, 0, 0, slice_str("q"), slice_str("other"), NO_TAGS,
	    slice_str("short"));
	run();
	assert_true(w.closed[1]);
}

static void what_moves_stops_where_there_is_no_room(void **state)
{
	(void)state;
	hello(1, 0, 0);
	sent_lines(1, 1, "q", 2);
	sent_lines(1, 2, "q", 2);
	INPUT(1, queue_create, 3, 2, SETTING_MAX_BYTES, slice_str("small"), 0, 0, 0, 0, 1, 0,
	    slice_str(""), NO_TAGS);
	run();
	expect(1, WIRE_TYPE_DONE);
	transfer(0, 0, "q", "small", 1, UINT32_MAX);
	struct wire_transferred m = transferred(RMQ_E_FULL, 2, 0);
	assert_int_equal(m.more, 1);
	assert_int_equal(m.next, 3);
}

/* The one message of the queue is buried by a receiver. */
static void bury_one(uint64_t n)
{
	INPUT(1, subscribe, 1, 0, 0, slice_str("q"), NO_TAGS);
	INPUT(1, credit, 1, 1, 1000, n);
	run();
	expect(1, WIRE_TYPE_SUBSCRIBED);
	EXPECT(1, DELIVER, deliver, d);
	settle(1, n, VERB_DEAD, 0, 0, d.lease, d.first_seq, 1);
	INPUT(1, unsubscribe, 1);
	run();
	w.out_len[1] = 0;
}

static void a_dead_letter_goes_back_so_often_and_no_more(void **state)
{
	(void)state;
	hello(1, 0, 0);
	sent_lines(1, 1, "q", 1);
	bury_one(2);
	/* It did not come from there. */
	transfer(TRANSFER_HOME, 2, "q.dead", "other", 1, 9);
	transferred(RMQ_E_OK, 0, 0);
	transfer(TRANSFER_HOME, 2, "q.dead", "q", 1, 9);
	transferred(RMQ_E_OK, 1, 0);
	INPUT(1, peek, 1, STATE_READY, 0, 10, slice_str("q"));
	run();
	EXPECT(1, PEEKED, peeked, back);
	assert_int_equal(back.failures, 0);
	assert_true(slice_eq(back.note, slice_str("redriven 1 time")));
	expect(1, WIRE_TYPE_PEEK_END);
	bury_one(3);
	/* How often is known after a checkpoint, too. */
	broker_checkpoint(w.broker);
	run();
	restart();
	hello(1, 0, 0);
	transfer(TRANSFER_HOME, 2, "q.dead", "", 1, 9);
	transferred(RMQ_E_OK, 1, 0);
	bury_one(1);
	transfer(TRANSFER_HOME, 2, "q.dead", "", 1, 9);
	transferred(RMQ_E_OK, 0, 1);
	/* Nor does it to a queue that is gone. */
	INPUT(1, queue_remove, 2, 1, 0, slice_str("q"));
	run();
	expect(1, WIRE_TYPE_DONE);
	transfer(TRANSFER_HOME, 9, "q.dead", "", 1, 9);
	transferred(RMQ_E_OK, 0, 1);
	expect_counts(1, "q.dead", 1, 0);
}

static void settle_send_with_entries_that_are_not_there_is_malformed(void **state)
{
	static const uint32_t counts[] = {0, 1, SETTLE_SEND_ENTRIES_MAX + 1, UINT32_MAX};
	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		hello(1, 0, 0);
		INPUT(1, settle_send, 1, 0, 0, 1, slice_str("q"), slice_str("out"), counts[i],
		    NO_TAGS, small_batch());
		run();
		EXPECT(1, ERROR, error, m);
		assert_int_equal(m.code, RMQ_E_PROTOCOL);
		broker_disconnect(w.broker, 1);
	}
}

static void counted_failures_of_one_command_are_in_one_record(void **state)
{
	static uint8_t bytes[SETTLE_ENTRIES_MAX * SETTLE_ENTRY_SIZE];
	struct writer e = writer_of(bytes, sizeof(bytes));
	(void)state;
	sent_and_subscribed(2 * SETTLE_ENTRIES_MAX, 2 * SETTLE_ENTRIES_MAX);
	EXPECT(1, DELIVER, deliver, d);
	for (uint64_t i = 0; i < SETTLE_ENTRIES_MAX; i++)
		settle_entry_put(&e, &(struct settle_entry){d.lease, 1 + 2 * i, 1});
	uint64_t appended = w.appended;
	INPUT(1, settle, 2, 1, VERB_RELEASE, SETTLE_COUNTED, 0, 1, slice_str("q"),
	    slice_str(""), NO_TAGS, slice_of(bytes, e.len));
	send_lines(1, 3, "q", 1);
	broker_flush(w.broker);
	assert_int_equal(w.appended, appended + 2);
	run();
	expect(1, WIRE_TYPE_DONE);
	expect(1, WIRE_TYPE_SENT);
	assert_int_equal(recovered_digest(), broker_digest(w.broker));
}

static void released_uncounted_raises_nothing(void **state)
{
	(void)state;
	sent_and_subscribed(1, 1);
	EXPECT(1, DELIVER, deliver, d);
	settle(1, 2, VERB_RELEASE, 0, 0, d.lease, 1, 1);
	INPUT(1, credit, 1, 1, 1 << 20, 8);
	run();
	expect(1, WIRE_TYPE_DONE);
	EXPECT(1, DELIVER, deliver, again);
	assert_int_equal(again.attempt, 1);
	assert_int_equal(again.failures, 0);
}

static void after_max_attempts_a_message_is_a_dead_letter_with_a_note(void **state)
{
	(void)state;
	sent_and_subscribed(1, 1);
	for (int i = 0; i < MAX_ATTEMPTS_DEFAULT; i++) {
		EXPECT(1, DELIVER, deliver, d);
		assert_int_equal(d.attempt, i + 1);
		w.lease_ms += 10000;
		run();
		expect(1, WIRE_TYPE_LEASE_ENDED);
		w.lease_ms += BACKOFF_MAX_MS_DEFAULT;
		run();
		INPUT(1, credit, 1, 1, 1 << 20, 7);
		run();
	}
	restart();
	hello(1, 0, 0);
	INPUT(1, peek, 1, STATE_READY, 0, 10, slice_str("q.dead"));
	run();
	EXPECT(1, PEEKED, peeked, p);
	assert_int_equal(p.count, 1);
	assert_true(slice_eq(p.note, slice_str("q:1 lease expired")));
}

/* Peeks at dead letters of q from `from` on: they are its messages `seq` and those after it.
 */
static void expect_dead(uint64_t conn, uint64_t from, uint64_t seq, uint32_t count)
{
	INPUT(conn, peek, 1, STATE_READY, from, count, slice_str("q.dead"));
	run();
	for (uint32_t i = 0; i < count; i++) {
		char note[32];
		snprintf(note, sizeof(note), "q:%llu why", (unsigned long long)seq + i);
		EXPECT(conn, PEEKED, peeked, p);
		assert_int_equal(p.first_seq, from + i);
		assert_int_equal(p.count, 1);
		assert_true(slice_eq(p.note, slice_str(note)));
	}
	expect(conn, WIRE_TYPE_PEEK_END);
}

static void dead_letters_buried_together_have_a_note_each(void **state)
{
	(void)state;
	sent_and_subscribed(3, 3);
	EXPECT(1, DELIVER, deliver, d);
	settle(1, 2, VERB_DEAD, 0, 0, d.lease, d.first_seq, 3);
	run();
	hello(2, 0, 0);
	expect_dead(2, 1, 1, 3);
	broker_checkpoint(w.broker);
	run();
	restart();
	hello(2, 0, 0);
	expect_dead(2, 1, 1, 3);
	expect_dead(2, 2, 2, 1);
}

static void an_extension_keeps_all_leases_of_the_session(void **state)
{
	(void)state;
	sent_and_subscribed(3, 1);
	expect(1, WIRE_TYPE_DELIVER);
	for (int i = 0; i < 5; i++) {
		w.lease_ms += 9000;
		INPUT(1, extend, (uint64_t)(100 + i));
		run();
		EXPECT(1, EXTENDED, extended, m);
		assert_int_equal(m.stamp, 100 + i);
	}
	expect_nothing(1);
}

static void a_detached_lease_is_not_extended(void **state)
{
	(void)state;
	sent_and_subscribed(1, 1);
	EXPECT(1, DELIVER, deliver, d);
	settle(1, 2, VERB_TOUCH, SETTLE_DETACH, 10000, d.lease, 1, 1);
	w.lease_ms += 9000;
	INPUT(1, extend, 100);
	run();
	expect(1, WIRE_TYPE_DONE);
	expect(1, WIRE_TYPE_EXTENDED);
	w.lease_ms += 1000;
	run();
	expect(1, WIRE_TYPE_LEASE_ENDED);
}

static void a_lost_connection_releases_nothing_and_delivers_again_to_its_session(void **state)
{
	(void)state;
	uint64_t session = hello(1, 0, 0);
	sent_lines(1, 1, "q", 5);
	subscribe(1, "q", 3);
	EXPECT(1, DELIVER, deliver, d);
	begin();
	broker_disconnect(w.broker, 1);
	run();
	hello(2, 0, 0);
	subscribe(2, "q", 10);
	EXPECT(2, DELIVER, deliver, other);
	assert_int_equal(other.first_seq, 4);
	assert_int_equal(other.count, 2);
	restart();
	hello(3, session, 1);
	INPUT(3, subscribe, 1, 0, 10000, slice_str("q"), NO_TAGS);
	run();
	expect(3, WIRE_TYPE_SUBSCRIBED);
	EXPECT(3, DELIVER, deliver, again);
	assert_int_equal(again.first_seq, 1);
	assert_int_equal(again.count, 3);
	assert_int_equal(again.lease, d.lease);
	assert_int_equal(again.stamp, 0);
}

static void what_waits_for_a_connection_that_is_gone_goes_nowhere(void **state)
{
	(void)state;
	hello(1, 0, 0);
	send_lines(1, 1, "q", 1);
	broker_flush(w.broker);
	broker_disconnect(w.broker, 1);
	run();
	expect_nothing(1);
}

static void a_session_that_ends_gives_back_what_it_did_not_settle(void **state)
{
	(void)state;
	sent_and_subscribed(2, 2);
	EXPECT(1, DELIVER, deliver, d);
	assert_int_equal(d.count, 2);
	/* A detached one outlives the session. */
	settle(1, 2, VERB_TOUCH, SETTLE_DETACH, 60000, d.lease, 2, 1);
	run();
	INPUT(1, bye, 2);
	run();
	assert_true(w.closed[1]);
	hello(2, 0, 0);
	subscribe(2, "q", 2);
	EXPECT(2, DELIVER, deliver, again);
	assert_int_equal(again.first_seq, 1);
	assert_int_equal(again.count, 1);
	assert_int_equal(again.attempt, 1);
	assert_int_equal(again.failures, 0);
}

/* Connection 1 is given 4 messages, of which it says that 2 may have reached its reader. */
static uint64_t two_of_four_started(struct wire_deliver *d)
{
	uint64_t session = hello(1, 0, 0);
	send_lines(1, 1, "q", 4);
	INPUT(1, subscribe, 1, SUBSCRIBE_STARTS, 10000, slice_str("q"), slice_of(NULL, 0));
	INPUT(1, credit, 1, 4, 1 << 20, 7);
	run();
	expect(1, WIRE_TYPE_SENT);
	expect(1, WIRE_TYPE_SUBSCRIBED);
	EXPECT(1, DELIVER, deliver, given);
	*d = given;
	INPUT(1, started, d->lease, d->first_seq, 2, slice_str("q"));
	return session;
}

static void expect_two_failed(void)
{
	hello(2, 0, 0);
	INPUT(2, peek, 1, STATE_READY | STATE_DELAYED, 0, 10, slice_str("q"));
	run();
	EXPECT(2, PEEKED, peeked, failed);
	assert_int_equal(failed.count, 2);
	assert_int_equal(failed.attempt, 1);
	assert_int_equal(failed.failures, 1);
	EXPECT(2, PEEKED, peeked, back);
	assert_int_equal(back.first_seq, 3);
	assert_int_equal(back.attempt, 0);
	assert_int_equal(back.failures, 0);
	assert_int_equal(recovered_digest(), broker_digest(w.broker));
}

static void the_death_of_a_holder_is_a_failure_of_what_reached_its_reader(void **state)
{
	struct wire_deliver d;
	(void)state;
	uint64_t session = two_of_four_started(&d);
	begin();
	broker_disconnect(w.broker, 1);
	broker_holder_died(w.broker, session);
	run();
	expect_two_failed();
}

static void the_end_of_a_lease_is_a_failure_of_what_reached_its_reader(void **state)
{
	struct wire_deliver d;
	(void)state;
	two_of_four_started(&d);
	begin();
	broker_disconnect(w.broker, 1);
	w.lease_ms += 10000;
	run();
	expect_two_failed();
}

static void the_proven_death_of_a_holder_ends_its_leases(void **state)
{
	(void)state;
	uint64_t session = hello(1, 0, 0);
	sent_lines(1, 1, "q", 1);
	subscribe(1, "q", 1);
	expect(1, WIRE_TYPE_DELIVER);
	begin();
	broker_disconnect(w.broker, 1);
	broker_holder_died(w.broker, session);
	w.lease_ms += 1000;
	run();
	hello(2, 0, 0);
	subscribe(2, "q", 1);
	EXPECT(2, DELIVER, deliver, again);
	assert_int_equal(again.failures, 1);
}

static void a_session_that_left_no_trace_begins_anew_and_a_forgotten_one_does_not(void **state)
{
	(void)state;
	uint64_t blank = hello(1, 0, 0);
	restart();
	assert_int_equal(hello(1, blank, 0), blank);
	sent_lines(1, 1, "q", 1);
	begin();
	broker_disconnect(w.broker, 1);
	w.lease_ms += SESSION_IDLE_MS;
	run();
	restart();
	come(2, "", OWNER_UNKNOWN, blank, 0);
	EXPECT(2, ERROR, error, m);
	assert_int_equal(m.code, RMQ_E_UNKNOWN_SESSION);
	assert_true(w.closed[2]);
}

static void a_large_message_comes_back_piece_by_piece(void **state)
{
	static uint8_t piece[3][CHUNK_MAX];
	(void)state;
	hello(1, 0, 0);
	for (uint32_t i = 0; i < 3; i++) {
		memset(piece[i], (int)('a' + i), CHUNK_MAX);
		INPUT(1, send, 1, 0, (uint8_t)(SEND_CHUNK | (i < 2 ? SEND_MORE : 0)), i,
		    slice_str("q"), NO_TAGS, slice_of(piece[i], CHUNK_MAX));
	}
	broker_checkpoint(w.broker);
	run();
	expect(1, WIRE_TYPE_SENT);
	restart();
	hello(1, 0, 0);
	subscribe(1, "q", 1);
	for (uint32_t i = 0; i < 3; i++) {
		EXPECT(1, DELIVER_PART, deliver_part, d);
		assert_int_equal(d.part, i);
		assert_int_equal(d.parts, 3);
		assert_int_equal(d.total, 3 * CHUNK_MAX);
		assert_true(slice_eq(d.data, slice_of(piece[i], CHUNK_MAX)));
	}
	expect_nothing(1);
}

static void send_large(uint64_t conn, uint64_t n, uint32_t parts)
{
	static uint8_t piece[CHUNK_MAX];
	for (uint32_t i = 0; i < parts; i++)
		INPUT(conn, send, n, n - 1,
		    (uint8_t)(SEND_CHUNK | (i + 1 < parts ? SEND_MORE : 0)), i, slice_str("q"),
		    NO_TAGS, slice_of(piece, CHUNK_MAX));
}

/* Another client settles what is half delivered: the next large one begins with its first piece. */
static void a_large_message_that_is_gone_leaves_no_piece_for_the_next(void **state)
{
	struct delivery d;
	(void)state;
	hello(1, 0, 0);
	hello(2, 0, 0);
	send_large(1, 1, 4);
	send_large(1, 2, 3);
	send_large(1, 3, 2);
	run();
	w.stands[1] = true;
	INPUT(1, subscribe, 1, 0, 10000, slice_str("q"), NO_TAGS);
	INPUT(1, credit, 1, 3, 1 << 20, 7);
	run();
	for (uint32_t i = 0; i < 3; i++)
		assert_true(broker_next_delivery(w.broker, 1, &d));
	assert_int_equal(d.first_seq, 1);
	assert_int_equal(d.part, 2);
	/* Both: the piece that would be next is none of message 3. */
	settle(2, 1, VERB_SETTLE, 0, 0, d.lease, 1, 2);
	run();
	expect(2, WIRE_TYPE_DONE);
	for (uint32_t i = 0; i < 2; i++) {
		assert_true(broker_next_delivery(w.broker, 1, &d));
		assert_int_equal(d.first_seq, 3);
		assert_int_equal(d.part, i);
		assert_int_equal(d.parts, 2);
	}
	assert_false(broker_next_delivery(w.broker, 1, &d));
}

static void an_error_is_sent_whatever_the_connection_was_still_to_be_read(void **state)
{
	(void)state;
	hello(1, 0, 0);
	sent_lines(1, 1, "q", 3);
	w.stands[1] = true;
	subscribe(1, "q", 3);
	INPUT(1, credit, 1, 0, 1, 7);
	INPUT(1, send, 2, 9, 0, 0, slice_str("q"), NO_TAGS, slice_of("x", 1));
	run();
	EXPECT(1, ERROR, error, m);
	assert_int_equal(m.code, RMQ_E_PROTOCOL);
	assert_true(w.closed[1]);
	goes_on(1);
	expect_nothing(1);
}

/* So a FAILED that names the oldest command is never the rest of an earlier refusal. */
static void pieces_of_a_message_are_refused_once(void **state)
{
	static uint8_t piece[1000];
	struct slice q = slice_str("q"), data = slice_of(piece, sizeof(piece));
	(void)state;
	hello(1, 0, 0);
	INPUT(1, queue_create, 1, 0, SETTING_MAX_MESSAGE, q, 0, 0, 0, 0, 0, 1500, slice_str(""),
	    NO_TAGS);
	for (uint32_t i = 0; i < 4; i++)
		INPUT(1, send, 2, 1, (uint8_t)(SEND_CHUNK | (i < 3 ? SEND_MORE : 0)), i, q,
		    NO_TAGS, data);
	run();
	expect(1, WIRE_TYPE_DONE);
	EXPECT(1, FAILED, failed, m);
	assert_int_equal(m.code, RMQ_E_TOO_LARGE);
	expect_nothing(1);
	/* Those whose first piece is not here at all are: once, too. */
	INPUT(1, send, 2, 1, SEND_CHUNK | SEND_MORE, 0, q, NO_TAGS, data);
	INPUT(
	    1, queue_create, 2, 1, 0, slice_str("r"), 0, 0, 0, 0, 0, 0, slice_str(""), NO_TAGS);
	INPUT(1, send, 3, 2, SEND_CHUNK | SEND_MORE, 1, q, NO_TAGS, data);
	INPUT(1, send, 3, 2, SEND_CHUNK, 2, q, NO_TAGS, data);
	run();
	expect(1, WIRE_TYPE_DONE);
	EXPECT(1, FAILED, failed, lost);
	assert_int_equal(lost.code, RMQ_E_OUT_OF_ORDER);
	expect_nothing(1);
}

#define FRAGMENTS 6000

/*
 * Of the messages of "q", which are leased, each second one, so many, has been settled, or released with a delay.
 * The number of connection 1's newest command.
 */
static uint64_t fragmented_by(uint8_t verb, size_t all)
{
	static struct settle_entry odd[10 * 2000];
	static uint8_t bytes[SETTLE_ENTRIES_MAX * SETTLE_ENTRY_SIZE];
	uint64_t n = 0;
	size_t count = 0;
	hello(1, 0, 0);
	for (size_t i = 0; i < all; i += 2000) {
		send_lines(1, ++n, "q", 4000);
		run();
		expect(1, WIRE_TYPE_SENT);
	}
	subscribe(1, "q", 2 * (uint32_t)all);
	while (count < all) {
		EXPECT(1, DELIVER, deliver, d);
		for (uint64_t i = 0; i < d.count; i++)
			if ((d.first_seq + i) % 2)
				odd[count++] =
				    (struct settle_entry){d.lease, d.first_seq + i, 1};
	}
	for (size_t at = 0; at < count; at += 2000) {
		struct writer e = writer_of(bytes, sizeof(bytes));
		for (size_t i = at; i < at + 2000; i++)
			settle_entry_put(&e, &odd[i]);
		n++;
		INPUT(1, settle, n, n - 1, verb, 0, 100000000, 1, slice_str("q"), slice_str(""),
		    NO_TAGS, slice_of(bytes, e.len));
		run();
		expect(1, WIRE_TYPE_DONE);
	}
	w.out_len[1] = 0;
	return n;
}

/* So many delayed ranges, and as many that are leased. */
static uint64_t fragmented(void)
{
	return fragmented_by(VERB_RELEASE, FRAGMENTS);
}

/* Lease after lease of one message in another queue. */
static uint64_t many_leases(uint64_t n)
{
	uint8_t bytes[SETTLE_ENTRY_SIZE];
	send_lines(1, ++n, "r", 1);
	INPUT(1, subscribe, 2, 0, 10000, slice_str("r"), NO_TAGS);
	run();
	expect(1, WIRE_TYPE_SENT);
	expect(1, WIRE_TYPE_SUBSCRIBED);
	for (int i = 0; i < SETTLE_ENTRIES_MAX; i++) {
		struct writer e = writer_of(bytes, sizeof(bytes));
		INPUT(1, credit, 2, 1, 100, 1);
		run();
		EXPECT(1, DELIVER, deliver, d);
		settle_entry_put(&e, &(struct settle_entry){d.lease, 1, 1});
		n++;
		INPUT(1, settle, n, n - 1, VERB_RELEASE, 0, 0, 1, slice_str("r"), slice_str(""),
		    NO_TAGS, slice_of(bytes, e.len));
		run();
		expect(1, WIRE_TYPE_DONE);
	}
	return n;
}

/* Entries of 20 bytes may each span billions of messages that are nobody's or others'. */
static void the_work_of_a_settlement_is_bounded(void **state)
{
	static uint8_t bytes[SETTLE_ENTRIES_MAX * SETTLE_ENTRY_SIZE];
	struct writer e = writer_of(bytes, sizeof(bytes));
	(void)state;
	uint64_t n = many_leases(fragmented());
	for (uint64_t i = 0; i < SETTLE_ENTRIES_MAX; i++)
		settle_entry_put(&e, &(struct settle_entry){1 + i, 1, UINT32_MAX});
	uint64_t before = broker_work(w.broker);
	INPUT(1, settle, n + 1, n, VERB_SETTLE, 0, 0, 1, slice_str("q"), slice_str(""), NO_TAGS,
	    slice_of(bytes, e.len));
	assert_true(broker_work(w.broker) - before <=
		    3 * SETTLE_OTHERS_MAX + SETTLE_ENTRIES_MAX + FRAGMENTS);
	run();
	EXPECT(1, FAILED, failed, m);
	assert_int_equal(m.code, RMQ_E_LIMIT);
}

/* Settles under leases that never were: each entry is stale.  What the answer is. */
static uint8_t settle_stale(uint64_t n)
{
	static uint8_t bytes[SETTLE_ENTRIES_MAX * SETTLE_ENTRY_SIZE];
	struct writer e = writer_of(bytes, sizeof(bytes));
	for (uint64_t i = 0; i < SETTLE_ENTRIES_MAX; i++)
		settle_entry_put(&e, &(struct settle_entry){UINT32_MAX + i, 1, 1});
	w.out_len[1] = 0;
	INPUT(1, settle, n, 0, VERB_SETTLE, 0, 0, 1, slice_str("q"), slice_str(""), NO_TAGS,
	    slice_of(bytes, e.len));
	run();
	return w.out[1][4];
}

/* Sessions of one owner that nobody comes back to, until no more of their answers are kept. */
static void fill_owner(const char *node, uint32_t uid)
{
	const size_t each = SETTLE_ENTRIES_MAX * SETTLE_ENTRY_SIZE;
	size_t kept = 0;
	for (bool fits = true; fits;) {
		broker_disconnect(w.broker, 1);
		come(1, node, uid, 0, 0);
		for (uint64_t n = 1; fits && n <= SESSION_STALE_MAX / each; n++) {
			fits = settle_stale(n) == WIRE_TYPE_DONE;
			kept += fits ? each : 0;
		}
		assert_true(kept <= OWNER_STALE_MAX);
	}
	EXPECT(1, FAILED, failed, m);
	assert_int_equal(m.code, RMQ_E_LIMIT);
	assert_true(kept + each > OWNER_STALE_MAX);
}

/* They are kept for an hour, also after a restart. */
static void the_stale_answers_of_an_owner_are_bounded(void **state)
{
	(void)state;
	sent_and_subscribed(1, 1);
	fill_owner("", 5);
	restart();
	come(1, "", 5, 0, 0);
	assert_int_equal(settle_stale(1), WIRE_TYPE_FAILED);
	broker_disconnect(w.broker, 1);
	come(1, "", 6, 0, 0);
	assert_int_equal(settle_stale(1), WIRE_TYPE_DONE);
}

/* A session whose owner was not known brings its answers with it: there may be more than that. */
static void what_is_not_stale_is_settled_however_many_stale_answers_are_kept(void **state)
{
	uint8_t bytes[SETTLE_ENTRY_SIZE];
	struct writer e = writer_of(bytes, sizeof(bytes));
	(void)state;
	sent_and_subscribed(1, 1);
	broker_disconnect(w.broker, 1);
	uint64_t session = hello(1, 0, 0);
	assert_int_equal(settle_stale(1), WIRE_TYPE_DONE);
	fill_owner("", 5);
	broker_disconnect(w.broker, 1);
	come(1, "", 5, session, 0);
	assert_int_equal(welcomed(1).session, session);
	assert_int_equal(settle_stale(2), WIRE_TYPE_FAILED);
	settle_entry_put(&e, &(struct settle_entry){1, 1, 1});
	w.out_len[1] = 0;
	INPUT(1, settle, 2, 0, VERB_SETTLE, 0, 0, 1, slice_str("q"), slice_str(""), NO_TAGS,
	    slice_of(bytes, e.len));
	run();
	EXPECT(1, DONE, done, d);
	assert_int_equal(d.stale.len, 0);
}

/* Its leases end, and the next ones would wait behind the last, as long as its credit lasts. */
static void who_does_not_read_is_leased_no_more(void **state)
{
	const uint32_t more = 10;
	(void)state;
	sent_and_subscribed(1, 1);
	expect(1, WIRE_TYPE_DELIVER);
	w.stands[1] = true;
	INPUT(1, credit, 1, UINT32_MAX, UINT32_MAX, 1);
	for (uint32_t i = 0; i < GRANTS_WAIT_MAX + more; i++) {
		send_lines(1, 2 + i, "q", 1);
		run();
	}
	hello(2, 0, 0);
	subscribe(2, "q", GRANTS_WAIT_MAX);
	for (uint32_t i = 0; i < more; i++) {
		EXPECT(2, DELIVER, deliver, d);
		assert_int_equal(d.first_seq, 2 + GRANTS_WAIT_MAX + i);
	}
	expect_nothing(2);
	broker_disconnect(w.broker, 2);
	w.out_len[1] = 0;
	goes_on(1);
	send_lines(1, 2 + GRANTS_WAIT_MAX + more, "q", 1);
	run();
	w.out_len[1] = 0;
	sent_lines(1, 3 + GRANTS_WAIT_MAX + more, "q", 1);
	expect(1, WIRE_TYPE_DELIVER);
}

/* Message n of one letter, with a shared attribute that nobody knows. */
static void send_with_attribute(uint64_t conn, uint64_t n, uint16_t len)
{
	static uint8_t bytes[BATCH_MAX], value[BATCH_MAX];
	struct writer b = writer_of(bytes, sizeof(bytes));
	put_u16(&b, 1);
	put_u16(&b, (uint16_t)(4 + len));
	tags_put(&b, 31, slice_of(value, len));
	put_u16(&b, 2);
	put_rest(&b, slice_of("x\n", 2));
	INPUT(conn, send, n, n - 1, 0, 0, slice_str("q"), NO_TAGS, slice_of(b.p, b.len));
	run();
}

/* They go out with each piece of their batch, however small. */
static void what_all_messages_share_has_a_limit(void **state)
{
	(void)state;
	hello(1, 0, 0);
	send_with_attribute(1, 1, ATTRIBUTES_SHARED_MAX + 1);
	EXPECT(1, FAILED, failed, m);
	assert_int_equal(m.code, RMQ_E_TOO_LARGE);
	assert_true(slice_eq(m.text,
	    slice_str(
		"its messages share attributes of 8193 bytes, and may share at most 8192")));
	send_with_attribute(1, 1, ATTRIBUTES_SHARED_MAX);
	expect(1, WIRE_TYPE_SENT);
}

/* What goes out counts. */
static void attributes_take_credit(void **state)
{
	(void)state;
	hello(1, 0, 0);
	for (uint64_t n = 1; n <= 3; n++) {
		send_with_attribute(1, n, 1000);
		expect(1, WIRE_TYPE_SENT);
	}
	INPUT(1, subscribe, 1, 0, 10000, slice_str("q"), NO_TAGS);
	INPUT(1, credit, 1, 100, 900, 7);
	run();
	expect(1, WIRE_TYPE_SUBSCRIBED);
	expect(1, WIRE_TYPE_DELIVER);
	expect_nothing(1);
	INPUT(1, credit, 1, 0, 100, 7);
	run();
	expect_nothing(1);
	INPUT(1, credit, 1, 0, 1000, 7);
	run();
	expect(1, WIRE_TYPE_DELIVER);
	expect_nothing(1);
}

/* One delivery goes out, and the next is not asked for. */
static void pull_one(uint64_t conn)
{
	struct delivery d;
	assert_true(broker_next_delivery(w.broker, conn, &d));
	broker_delivered(w.broker, conn, &d, d.count * strlen("m0000\n"));
}

/* Credit for 100 bytes is all used by what went out and by what is reserved for it. */
static void credit_that_is_used_up_between_two_deliveries_is_no_credit(void **state)
{
	uint64_t messages = 0;
	(void)state;
	hello(1, 0, 0);
	hello(2, 0, 0);
	sent_lines(1, 1, "q", 10);
	INPUT(2, subscribe, 1, 0, 10000, slice_str("q"), NO_TAGS);
	w.stands[2] = true;
	INPUT(2, credit, 1, 1000, 100, 7);
	run();
	expect(2, WIRE_TYPE_SUBSCRIBED);
	pull_one(2);
	sent_lines(1, 2, "q", 500);
	goes_on(2);
	run();
	while (w.out_len[2] > 0) {
		EXPECT(2, DELIVER, deliver, d);
		messages += d.count;
	}
	assert_int_equal(messages, (100 - 60) / 6 + 1);
}

/* A message of 2 bytes that moves alone takes all attributes of its batch with it. */
static void what_moves_is_judged_with_its_attributes(void **state)
{
	static uint8_t bytes[BATCH_MAX], value[ATTRIBUTES_SHARED_MAX];
	const struct space_limits limits = {
	    .turn_bytes = TURN_BYTES, .turn_steps = TURN_STEPS, .sparse_enough = 1};
	const uint32_t count = 512, apart = 32;
	struct writer b = writer_of(bytes, sizeof(bytes));
	uint64_t index;
	(void)state;
	broker_set_space(w.broker, &limits);
	hello(1, 0, 0);
	put_u16(&b, (uint16_t)count);
	put_u16(&b, 4 + sizeof(value));
	tags_put(&b, 31, slice_of(value, sizeof(value)));
	for (uint32_t i = 0; i < count; i++)
		put_u16(&b, (uint16_t)(2 * (i + 1)));
	for (uint32_t i = 0; i < count; i++)
		put_rest(&b, slice_of("m\n", 2));
	INPUT(1, send, 1, 0, 0, 0, slice_str("q"), NO_TAGS, slice_of(b.p, b.len));
	run();
	expect(1, WIRE_TYPE_SENT);
	subscribe(1, "q", count);
	EXPECT(1, DELIVER, deliver, d);
	for (uint32_t i = 0; i < count / apart; i++) {
		settle(1, 2 + i, VERB_SETTLE, 0, 0, d.lease, 1 + i * apart, apart - 1);
		run();
		expect(1, WIRE_TYPE_DONE);
	}
	assert_true(broker_wants_record(w.broker, &index));
	uint64_t last = w.appended;
	struct slice payload = slice_of(w.log[index].payload, w.log[index].len);
	assert_int_equal(broker_move(w.broker, index, payload), RMQ_E_OK);
	run();
	size_t moved = 0;
	for (uint64_t i = last + 1; i <= w.appended; i++)
		moved += w.log[i].len;
	assert_true(moved <= payload.len / 2);
}

/* Bytes of parts of checkpoints that are appended after record `last`. */
static size_t parts_behind(uint64_t last)
{
	size_t bytes = 0;
	for (uint64_t i = last + 1; i <= w.appended; i++)
		bytes += w.log[i].kind == RECORD_PART ? w.log[i].len : 0;
	return bytes;
}

/* Its part stands in pieces, and what changes between them is found again. */
static void a_checkpoint_of_one_queue_is_no_long_turn(void **state)
{
	uint32_t turns = 0;
	(void)state;
	uint64_t n = fragmented();
	broker_checkpoint(w.broker);
	for (uint64_t seq = 2; broker_checkpointing(w.broker); turns++, seq += 1000) {
		uint64_t last = w.appended;
		begin();
		if (broker_wants_frame(w.broker, 1)) {
			settle(1, ++n, VERB_SETTLE, 0, 0, 1, seq, 1);
			send_lines(1, ++n, "q", 1);
		}
		broker_flush(w.broker);
		assert_true(parts_behind(last) <= TURN_BYTES + RECORD_MAX);
		assert_true(turns < 100);
		store();
	}
	assert_true(turns >= 2 * (uint64_t)FRAGMENTS * RANGE_PART_MAX / TURN_BYTES);
	run();
	assert_int_equal(broker_digest(w.broker), recovered_digest());
}

/* The newest answer to the connection, alone in what it was sent. */
static struct slice sent_alone(uint64_t conn, uint8_t bytes[64])
{
	assert_true(w.out_len[conn] > 0 && w.out_len[conn] <= 64);
	memcpy(bytes, w.out[conn], w.out_len[conn]);
	return slice_of(bytes, w.out_len[conn]);
}

/* They send between the pieces, and a third one ends; each command is answered as it was. */
static void the_sessions_part_stands_in_pieces(void **state)
{
	const struct space_limits limits = {.turn_bytes = 1, .turn_steps = 1};
	uint64_t ids[4], n[3] = {0, 1, 1}, count = 0, ended = 0;
	uint8_t before[64], after[64];
	(void)state;
	broker_set_space(w.broker, &limits);
	for (uint64_t c = 1; c <= 3; c++) {
		ids[c] = hello(c, 0, 0);
		sent_lines(c, 1, "q", 1);
	}
	broker_checkpoint(w.broker);
	for (uint64_t last = w.appended; broker_checkpointing(w.broker); last = w.appended) {
		begin();
		for (uint64_t c = 1; c <= 2 && broker_wants_frame(w.broker, c); c++) {
			/* The newest command of 2 is before its piece, and after the first. */
			if (c == 2 && count > CHECKPOINT_GROUPS + 1)
				continue;
			w.out_len[c] = 0;
			n[c]++;
			send_lines(c, n[c], "q", 1 + (int)(n[c] % 5));
		}
		broker_flush(w.broker);
		assert_true(parts_behind(last) < 500);
		count += parts_behind(last) > 0;
		/* Of groups without queues there are as many parts; then come the sessions. */
		if (count == CHECKPOINT_GROUPS + 2 && !ended++)
			INPUT(3, bye, 1);
		store();
	}
	assert_true(count >= CHECKPOINT_GROUPS + 4);
	run();
	assert_int_equal(broker_digest(w.broker), recovered_digest());
	for (uint64_t c = 1; c <= 2; c++) {
		struct slice sent = sent_alone(c, before);
		restart();
		hello(c, ids[c], n[c] - 1);
		send_lines(c, n[c], "q", 1 + (int)(n[c] % 5));
		run();
		assert_true(slice_eq(sent_alone(c, after), sent));
	}
	/* It is not known any more, and this is not its token. */
	come(3, "", OWNER_UNKNOWN, ids[3], 0);
	expect(3, WIRE_TYPE_ERROR);
}

/* So many messages, each with a number of its own as its id. */
static void send_numbers(uint64_t n, uint32_t from, uint32_t count)
{
	static uint8_t each[BATCH_MAX], bytes[BATCH_MAX];
	struct writer e = writer_of(each, sizeof(each)), m = writer_of(bytes, sizeof(bytes));
	for (uint32_t i = 0; i < count; i++) {
		uint8_t id[4];
		store_u32(id, from + i);
		tags_put(&e, (uint16_t)i, slice_of(id, sizeof(id)));
	}
	put_u16(&m, (uint16_t)count);
	put_u16(&m, (uint16_t)(4 + e.len));
	tags_put(&m, ATTRIBUTE_ID | ATTRIBUTE_EACH, slice_of(e.p, e.len));
	for (uint32_t i = 0; i < count; i++)
		put_u16(&m, (uint16_t)(2 * (i + 1)));
	for (uint32_t i = 0; i < count; i++)
		put_rest(&m, slice_str("x\n"));
	assert_false(m.full);
	INPUT(1, send, n, n - 1, 0, 0, slice_str("q"), NO_TAGS, slice_of(m.p, m.len));
}

/* What is sent between its pieces is found again, and what is forgotten then is not. */
static void the_ids_of_a_queue_are_no_long_turn(void **state)
{
	enum { IDS = 6000, EACH = 1000, PIECE = 10000 };
	const struct space_limits limits = {.turn_bytes = PIECE, .turn_steps = TURN_STEPS};
	uint32_t n = 0, turns = 0;
	(void)state;
	hello(1, 0, 0);
	for (; n < IDS / EACH; n++) {
		send_numbers(n + 1, n * EACH, EACH);
		run();
		w.lease_ms += 60000;
	}
	broker_set_space(w.broker, &limits);
	broker_checkpoint(w.broker);
	for (; broker_checkpointing(w.broker); turns++) {
		uint64_t last = w.appended;
		begin();
		/* By the second of these, the first ones of all are too old, and more soon after it. */
		if (turns == 3 || turns == 5) {
			assert_true(broker_wants_frame(w.broker, 1));
			send_numbers(n + 1, n * EACH, EACH);
			n++;
			w.lease_ms += 250000;
		}
		broker_flush(w.broker);
		assert_true(parts_behind(last) <= PIECE + RECORD_MAX / 2);
		store();
	}
	assert_true(turns > IDS * 16 / (PIECE + RECORD_MAX / 2));
	run();
	w.out_len[1] = 0;
	assert_int_equal(broker_digest(w.broker), recovered_digest());
	const struct ids *ids = &broker_queue_named(w.broker, slice_str("q"))->ids;
	assert_int_equal(ids_count(ids), 3 * EACH);
}

static void expect_full_of_ids(uint64_t n, const char *why)
{
	EXPECT(1, FAILED, failed, m);
	assert_int_equal(m.n, n);
	assert_int_equal(m.code, RMQ_E_FULL);
	assert_true(slice_eq(m.text, slice_str(why)));
}

/* Nothing is forgotten for them: who sends waits until time has passed, or a queue is gone. */
static void ids_beyond_what_one_user_or_all_may_have_are_full(void **state)
{
	(void)state;
	come(1, "", 7, 0, 0);
	expect(1, WIRE_TYPE_WELCOME);
	send_ids(1, "abc");
	expect(1, WIRE_TYPE_SENT);
	struct owner *maker = broker_queue_named(w.broker, slice_str("q"))->maker;
	assert_int_equal(maker->ids, 3);
	assert_int_equal(broker_ids(w.broker), 3);
	maker->ids += IDS_OF_ONE - 4;
	send_ids(2, "de");
	expect_full_of_ids(2,
	    "the queues of user 7 remember 3670015 ids, and one user's may remember "
	    "3670016 of 4194304 in all: shorten their --dedup, or remove some");
	send_ids(2, "d");
	expect(1, WIRE_TYPE_SENT);
	maker->ids -= IDS_OF_ONE - 4;
	w.broker->ids_count += IDS_OF_ALL - 4;
	send_ids(3, "e");
	expect_full_of_ids(3,
	    "queues remember 4194304 ids, and may remember 4194304: shorten their "
	    "--dedup, or remove some");
	/* What is known is so all the same, and what has no id needs none. */
	send_ids(3, "b");
	expect_known(3, "\0\0\1\0", 4, NUMBERED_AS(2, 1));
	sent_lines(1, 3, "q", 1);
	send_ids(4, "e");
	expect(1, WIRE_TYPE_FAILED);
	/* Nobody sends to the queue any more. */
	w.lease_ms += 600000 - 1;
	run();
	assert_int_equal(broker_ids(w.broker), IDS_OF_ALL);
	w.lease_ms += 600000 / 8 + 2;
	run();
	expect(1, WIRE_TYPE_ROOM);
	assert_int_equal(broker_ids(w.broker), IDS_OF_ALL - 4);
	assert_int_equal(maker->ids, 0);
	assert_int_equal(broker_digest(w.broker), recovered_digest());
	send_ids(4, "e");
	expect(1, WIRE_TYPE_SENT);
	/* What is past its time makes room at once for what is sent there. */
	w.broker->ids_count += 3;
	w.lease_ms += 600000;
	send_ids(5, "f");
	expect(1, WIRE_TYPE_SENT);
	w.broker->ids_count -= 3;
	/* So it is with a shorter time, or without the queue. */
	INPUT(1, queue_remove, 6, 5, REMOVE_FORCE, slice_str("q"));
	run();
	expect(1, WIRE_TYPE_DONE);
	assert_int_equal(broker_ids(w.broker), IDS_OF_ALL - 4);
}

/* Of queues that were sent to one after another, ids are forgotten together. */
static void ids_of_many_queues_are_forgotten_in_few_records(void **state)
{
	(void)state;
	hello(1, 0, 0);
	for (unsigned i = 0; i < 100; i++) {
		char name[16];
		snprintf(name, sizeof(name), "q%u", i);
		w.lease_ms += 100;
		send_ids_to(name, i + 1, "a");
		expect(1, WIRE_TYPE_SENT);
	}
	assert_int_equal(broker_ids(w.broker), 100);
	uint64_t records = w.last;
	for (int i = 0; i < 800; i++) {
		w.lease_ms += 1000;
		begin();
		run();
	}
	assert_int_equal(broker_ids(w.broker), 0);
	assert_in_range(w.last - records, 1, 4);
	assert_int_equal(broker_digest(w.broker), recovered_digest());
}

/* What a queue forgets for newer ones is counted, also where a checkpoint has them in pieces. */
static void ids_that_are_forgotten_early_are_counted(void **state)
{
	enum { EACH = 2048, PIECE = 100000, MORE = 3 };
	const struct space_limits limits = {.turn_bytes = PIECE, .turn_steps = TURN_STEPS};
	uint32_t n = 0;
	(void)state;
	hello(1, 0, 0);
	for (; n < IDS_MAX / EACH; n++) {
		send_numbers(n + 1, n * EACH, EACH);
		run();
		w.out_len[1] = 0;
	}
	const struct queue *q = broker_queue_named(w.broker, slice_str("q"));
	assert_int_equal(q->counts.ids_early, 0);
	broker_set_space(w.broker, &limits);
	broker_checkpoint(w.broker);
	for (uint32_t turns = 0; broker_checkpointing(w.broker); turns++) {
		begin();
		if (turns % 10 == 5 && n < IDS_MAX / EACH + MORE) {
			send_numbers(n + 1, n * EACH, EACH);
			n++;
		}
		broker_flush(w.broker);
		store();
		w.out_len[1] = 0;
	}
	run();
	assert_int_equal(q->counts.ids_early, MORE * EACH);
	assert_int_equal(ids_count(&q->ids), IDS_MAX);
	assert_int_equal(broker_digest(w.broker), recovered_digest());
}

/* As long as all of its answers take, and no longer. */
static void the_sessions_part_is_no_long_turn(void **state)
{
	enum { SESSIONS = 300, PIECE = 1000 };
	const struct space_limits limits = {.turn_bytes = PIECE, .turn_steps = TURN_STEPS};
	uint32_t turns = 0;
	(void)state;
	for (int i = 0; i < SESSIONS; i++) {
		hello(1, 0, 0);
		sent_lines(1, 1, "q", 1);
		broker_disconnect(w.broker, 1);
	}
	broker_set_space(w.broker, &limits);
	broker_checkpoint(w.broker);
	for (; broker_checkpointing(w.broker); turns++) {
		uint64_t last = w.appended;
		begin();
		broker_flush(w.broker);
		assert_true(parts_behind(last) <= PIECE + PIECE / 2);
		assert_true(turns < 1000);
		store();
	}
	assert_true(turns > SESSIONS * 50 / PIECE);
	assert_int_equal(broker_digest(w.broker), recovered_digest());
}

/*
 * A step a turn.  What dies meanwhile before the step, or right after it, is in this END or
 * in the next.
 */
static void the_list_of_dead_records_is_no_long_turn(void **state)
{
	enum { RECORDS = 8 };
	const struct space_limits limits = {.turn_bytes = TURN_BYTES,
	    .turn_steps = 1,
	    .log_enough = 1 << 20,
	    .dead_enough = 1 << 20};
	(void)state;
	for (uint64_t dies = 1; dies <= RECORDS; dies++) {
		for (int when = 1; when <= RECORDS; when++) {
			uint64_t index[RECORDS + 1] = {0};
			int turns = 0;
			teardown(NULL);
			setup(NULL);
			hello(1, 0, 0);
			for (uint64_t n = 1; n <= RECORDS; n++) {
				sent_lines(1, n, "q", 1);
				index[n] = w.last;
			}
			subscribe(1, "q", RECORDS);
			EXPECT(1, DELIVER, deliver, d);
			broker_set_space(w.broker, &limits);
			broker_checkpoint(w.broker);
			for (uint64_t end = 0; broker_checkpointing(w.broker);) {
				uint64_t work = broker_work(w.broker);
				begin();
				broker_flush(w.broker);
				assert_true(broker_work(w.broker) - work <= 2);
				turns += broker_work(w.broker) - work > 0;
				if (turns == when && !end++)
					settle(1, RECORDS + 1, VERB_SETTLE, 0, 0, d.lease, dies,
					    1);
				store();
			}
			assert_true(turns >= RECORDS - 1);
			broker_checkpoint(w.broker);
			run();
			for (uint64_t n = 1; n <= RECORDS; n++)
				assert_int_equal(w.log[index[n]].hole, n == dies);
			assert_int_equal(broker_digest(w.broker), recovered_digest());
		}
	}
}

/* They are in memory, as the journal takes them: one of a large state would be so as a whole. */
static void parts_of_a_checkpoint_wait_until_others_are_stored(void **state)
{
	uint64_t most = (PARTS_TURNS + 1) * TURN_BYTES + 4096, seen = 0;
	(void)state;
	fragmented();
	broker_checkpoint(w.broker);
	for (int turns = 0; turns < 100; turns++) {
		begin();
		broker_flush(w.broker);
		seen = broker_inflight_bytes(w.broker);
		assert_true(seen <= most);
	}
	assert_true(seen >= PARTS_TURNS * TURN_BYTES);
	assert_true(broker_checkpointing(w.broker));
	assert_true(broker_due_ms(w.broker) > 0);
	store();
	begin();
	broker_flush(w.broker);
	assert_true(broker_inflight_bytes(w.broker) > 0);
	run();
	assert_false(broker_checkpointing(w.broker));
	assert_int_equal(broker_digest(w.broker), recovered_digest());
}

static size_t heap(void)
{
	return mallinfo2().uordblks;
}

/* The heap without the model journal's records. */
static size_t heap_of_broker(void)
{
	size_t journal = 0;
	for (uint64_t i = 1; i <= w.appended; i++)
		journal += malloc_usable_size(w.log[i].payload) + sizeof(size_t);
	/* A sanitizer's allocator does not say what it has given. */
	size_t all = heap();
	return all > journal ? all - journal : 0;
}

static void full_batches(uint64_t from, uint64_t to)
{
	for (uint64_t n = from; n <= to; n++) {
		INPUT(1, send, n, n - 1, 0, 0, slice_str("q"), NO_TAGS, full_batch());
		run();
		expect(1, WIRE_TYPE_SENT);
	}
}

/* A record, the batch in it, and a place among the records: 160,000 times for 10 GB of lines. */
static void a_backlog_costs_168_bytes_a_record(void **state)
{
	(void)state;
	hello(1, 0, 0);
	full_batches(1, RECORDS_BLOCK);
	size_t before = heap_of_broker();
	full_batches(RECORDS_BLOCK + 1, 2 * RECORDS_BLOCK);
	/* malloc() fills holes that earlier tests left, which may be a little larger. */
	assert_true(heap_of_broker() <= before + RECORDS_BLOCK * 168 + 2048);
}

/* Each has its note, but what they have in common is kept once. */
static void dead_letters_that_come_one_by_one_cost_little_memory(void **state)
{
	enum { COUNT = 4000 };
	uint64_t n = 2;
	(void)state;
	sent_and_subscribed(COUNT, COUNT);
	EXPECT(1, DELIVER, deliver, d);
	assert_int_equal(d.count, COUNT);
	settle(1, n++, VERB_DEAD, 0, 0, d.lease, d.first_seq, 1);
	run();
	expect(1, WIRE_TYPE_DONE);
	size_t before = heap_of_broker();
	for (uint64_t i = 1; i < COUNT; i++) {
		settle(1, n++, VERB_DEAD, 0, 0, d.lease, d.first_seq + i, 1);
		begin();
		if (i % 100 == 0)
			run();
	}
	run();
	assert_true(heap_of_broker() < before + COUNT * 16);
	assert_int_equal(broker_digest(w.broker), recovered_digest());
	broker_checkpoint(w.broker);
	run();
	assert_int_equal(broker_digest(w.broker), recovered_digest());
	restart();
	hello(2, 0, 0);
	expect_dead(2, 2000, 2000, 3);
}

static void bury(uint64_t n, const char *queue, uint64_t lease, uint64_t seq)
{
	uint8_t bytes[SETTLE_ENTRY_SIZE];
	struct writer e = writer_of(bytes, sizeof(bytes));
	settle_entry_put(&e, &(struct settle_entry){lease, seq, 1});
	INPUT(1, settle, n, n - 1, VERB_DEAD, 0, 0, 1, slice_str(queue), slice_str("why"),
	    NO_TAGS, slice_of(bytes, e.len));
	begin();
	run();
	expect(1, WIRE_TYPE_DONE);
}

/* Dead letters of two queues that come to one in turn are a batch each, and one range. */
static void dead_letters_of_two_queues_in_turn_cost_112_bytes_each(void **state)
{
	enum { COUNT = 1000 };
	uint64_t n = 3, other;
	(void)state;
	sent_and_subscribed(COUNT, COUNT);
	EXPECT(1, DELIVER, deliver, d);
	other = d.lease + 1;
	sent_lines(1, 2, "r", COUNT);
	INPUT(1, subscribe, 2, 0, 10000, slice_str("r"), NO_TAGS);
	INPUT(1, credit, 2, COUNT, 1 << 20, 7);
	run();
	expect(1, WIRE_TYPE_SUBSCRIBED);
	expect(1, WIRE_TYPE_DELIVER);
	set_dead_letter(1, n++, "q", "d");
	expect(1, WIRE_TYPE_DONE);
	set_dead_letter(1, n++, "r", "d");
	expect(1, WIRE_TYPE_DONE);
	bury(n++, "q", d.lease, 1);
	bury(n++, "r", other, 1);
	size_t before = heap_of_broker();
	for (uint64_t seq = 2; seq <= COUNT; seq++) {
		bury(n++, "q", d.lease, seq);
		bury(n++, "r", other, seq);
	}
	assert_true(heap_of_broker() <= before + (size_t)2 * COUNT * 112 + 1024);
	assert_int_equal(broker_digest(w.broker), recovered_digest());
}

static void subscribing_again_and_again_costs_little_memory_and_a_bounded_turn(void **state)
{
	(void)state;
	fragmented();
	w.stands[1] = true;
	size_t before = heap();
	int rounds = 0;
	for (; broker_owed(w.broker, 1) <= OWED_MAX; rounds++) {
		uint64_t work = broker_work(w.broker);
		while (broker_wants_frame(w.broker, 1)) {
			INPUT(1, unsubscribe, 1);
			INPUT(1, subscribe, 1, 0, 10000, slice_str("q"), NO_TAGS);
		}
		assert_true(broker_work(w.broker) - work <= TURN_WORK + FRAGMENTS);
		run();
		assert_true(rounds < 1000);
	}
	assert_true(heap() < before + (1 << 20));
	/* All that it holds is handed to it again, once, in order. */
	goes_on(1);
	uint64_t next = 2;
	while (next <= 12000) {
		struct frame f;
		size_t used;
		assert_int_equal(
		    frame_parse(slice_of(w.out[1], w.out_len[1]), &f, &used), RMQ_E_OK);
		if (f.type != WIRE_TYPE_DELIVER) {
			expect(1, f.type);
			continue;
		}
		EXPECT(1, DELIVER, deliver, d);
		assert_int_equal(d.first_seq, next);
		next += 2;
	}
	assert_true(broker_wants_frame(w.broker, 1));
}

static void answers_that_are_not_read_end_the_reading(void **state)
{
	(void)state;
	hello(1, 0, 0);
	sent_lines(1, 1, "q", 3);
	w.stands[1] = true;
	subscribe(1, "q", 3);
	size_t before = heap();
	for (int i = 0; broker_wants_frame(w.broker, 1); i++) {
		INPUT(1, extend, 1);
		run();
		assert_true(i < 100000);
	}
	assert_false(broker_wants_frame(w.broker, 1));
	assert_true(heap() < before + (1 << 20));
	goes_on(1);
	assert_true(broker_wants_frame(w.broker, 1));
}

/* A lease of the most messages that one has, each of them a range of its own. */
static void what_has_started_is_known_however_many_ranges_it_is(void **state)
{
	static uint8_t bytes[SETTLE_ENTRIES_MAX * SETTLE_ENTRY_SIZE];
	uint64_t n = 0;
	(void)state;
	hello(1, 0, 0);
	while (n < GRANT_MESSAGES_MAX / BATCH_MESSAGES_MAX) {
		send_lines(1, ++n, "q", BATCH_MESSAGES_MAX);
		run();
		expect(1, WIRE_TYPE_SENT);
	}
	INPUT(1, subscribe, 1, SUBSCRIBE_STARTS, 10000, slice_str("q"), NO_TAGS);
	INPUT(1, credit, 1, GRANT_MESSAGES_MAX, 1 << 20, 7);
	run();
	expect(1, WIRE_TYPE_SUBSCRIBED);
	EXPECT(1, DELIVER, deliver, d);
	for (uint64_t at = 2; at <= GRANT_MESSAGES_MAX;) {
		struct writer e = writer_of(bytes, sizeof(bytes));
		for (; e.len < e.cap; at += 2)
			settle_entry_put(&e, &(struct settle_entry){d.lease, at, 1});
		n++;
		INPUT(1, settle, n, n - 1, VERB_TOUCH, 0, 20000, 1, slice_str("q"),
		    slice_str(""), NO_TAGS, slice_of(bytes, e.len));
		run();
	}
	INPUT(1, started, d.lease, 1, GRANT_MESSAGES_MAX, slice_str("q"));
	w.lease_ms += 20000;
	run();
	w.out_len[1] = 0;
	INPUT(1, list, 1, 10, slice_str(""), slice_str("q"));
	run();
	EXPECT(1, LISTED, listed, row);
	assert_int_equal(row.failed, GRANT_MESSAGES_MAX);
}

/* Steps of the longest turn until nothing is under way; *turns: how many. */
static uint64_t longest_turn(int *turns)
{
	uint64_t longest = 0;
	for (*turns = 0; broker_due_ms(w.broker) == 0 || broker_pending(w.broker); ++*turns) {
		uint64_t work = broker_work(w.broker);
		begin();
		broker_heard(w.broker, (struct lease_time){w.lease_ms});
		broker_flush(w.broker);
		work = broker_work(w.broker) - work;
		longest = work > longest ? work : longest;
		store();
		assert_true(*turns < 1000);
	}
	return longest;
}

/* It is one word for all of them; each is looked at when it seems to be over. */
static void extending_costs_the_same_however_much_is_held(void **state)
{
	int turns;
	(void)state;
	fragmented();
	struct queue *q = broker_queue_named(w.broker, slice_str("q"));
	for (uint64_t i = 0; i < 10; i++) {
		w.lease_ms += 9000;
		begin();
		uint64_t work = broker_work(w.broker);
		INPUT(1, extend, 100 + i);
		assert_int_equal(broker_work(w.broker), work);
		/* Those that seem to be over: each once. */
		assert_true(longest_turn(&turns) <= TURN_STEPS);
		assert_true(broker_work(w.broker) - work <= FRAGMENTS + 1);
		EXPECT(1, EXTENDED, extended, m);
		assert_int_equal(m.stamp, 100 + i);
		assert_int_equal(broker_digest(w.broker), recovered_digest());
	}
	expect_nothing(1);
	assert_int_equal(q->live[STATE_LEASED], FRAGMENTS);
	w.lease_ms += 9999;
	run();
	expect_nothing(1);
	w.lease_ms += 1;
	run();
	assert_int_equal(q->live[STATE_LEASED], 0);
}

/* It holds 6000 ranges of "q", and one lease of 150 ms. */
static void a_short_lease_is_extended_in_time_however_much_is_held(void **state)
{
	(void)state;
	uint64_t n = fragmented();
	sent_lines(1, n + 1, "short", 1);
	INPUT(1, subscribe, 2, 0, 150, slice_str("short"), NO_TAGS);
	INPUT(1, credit, 2, 1, 1000, 1);
	run();
	expect(1, WIRE_TYPE_SUBSCRIBED);
	expect(1, WIRE_TYPE_DELIVER);
	for (uint64_t i = 0; i < 10; i++) {
		INPUT(1, extend, 100 + i);
		run();
		EXPECT(1, EXTENDED, extended, m);
		assert_int_equal(m.stamp, 100 + i);
		w.lease_ms += 50;
	}
	expect_nothing(1);
}

/* Other clients' turns come between its pieces, and no command of its own. */
static void purge_in_pieces(uint64_t n, bool with_its_queue)
{
	int turns;
	hello(2, 0, 0);
	uint64_t work = broker_work(w.broker);
	if (with_its_queue)
		INPUT(1, queue_remove, n, n - 1, REMOVE_FORCE, slice_str("q"));
	else
		INPUT(1, queue_purge, n, n - 1, slice_str("q"));
	assert_true(broker_work(w.broker) - work <= 2 * TURN_STEPS + 2);
	assert_false(broker_wants_frame(w.broker, 1));
	assert_true(broker_wants_frame(w.broker, 2));
	send_lines(2, 1, "q", 1);
	assert_true(longest_turn(&turns) <= 2 * TURN_STEPS + 2);
	assert_true(turns > 1);
	assert_true(broker_wants_frame(w.broker, 1));
	expect(2, with_its_queue ? WIRE_TYPE_FAILED : WIRE_TYPE_SENT);
	for (int i = 0; i < FRAGMENTS; i++)
		expect(1, WIRE_TYPE_LEASE_ENDED);
	if (with_its_queue)
		expect(1, WIRE_TYPE_SUB_FAILED);
	expect(1, WIRE_TYPE_DONE);
	expect_nothing(1);
	assert_int_equal(broker_digest(w.broker), recovered_digest());
}

static void a_purge_is_no_long_turn(void **state)
{
	(void)state;
	purge_in_pieces(fragmented() + 1, false);
	/* What came meanwhile stays. */
	assert_int_equal(queue_total(broker_queue_named(w.broker, slice_str("q"))), 1);
}

static void a_queue_is_removed_in_no_long_turn(void **state)
{
	(void)state;
	purge_in_pieces(fragmented() + 1, true);
	assert_null(broker_queue_named(w.broker, slice_str("q")));
}

/* The client asks again by another connection, and that is answered. */
static void a_purge_whose_client_was_lost_goes_on_when_it_comes_back(void **state)
{
	(void)state;
	uint64_t n = fragmented() + 1, session = broker_session(w.broker, 1);
	INPUT(1, queue_purge, n, n - 1, slice_str("q"));
	broker_disconnect(w.broker, 1);
	run();
	uint64_t left = queue_total(broker_queue_named(w.broker, slice_str("q")));
	assert_true(left > 0 && left < 2 * (uint64_t)FRAGMENTS);
	hello(2, session, n - 1);
	INPUT(2, queue_purge, n, n - 1, slice_str("q"));
	run();
	for (uint64_t i = 0; i < left / 2; i++)
		expect(2, WIRE_TYPE_LEASE_ENDED);
	expect(2, WIRE_TYPE_DONE);
	assert_int_equal(queue_total(broker_queue_named(w.broker, slice_str("q"))), 0);
}

/* While a purge is under way, the queue is removed by somebody else. */
static void a_purge_of_a_queue_that_goes_meanwhile_fails(void **state)
{
	(void)state;
	uint64_t n = fragmented() + 1;
	hello(2, 0, 0);
	INPUT(1, queue_purge, n, n - 1, slice_str("q"));
	begin();
	broker_flush(w.broker);
	assert_false(broker_wants_frame(w.broker, 1));
	INPUT(2, queue_remove, 1, 0, REMOVE_FORCE, slice_str("q"));
	run();
	expect(2, WIRE_TYPE_DONE);
	for (int i = 0; i < FRAGMENTS; i++)
		expect(1, WIRE_TYPE_LEASE_ENDED);
	expect(1, WIRE_TYPE_SUB_FAILED);
	EXPECT(1, FAILED, failed, m);
	assert_int_equal(m.code, RMQ_E_NO_QUEUE);
	assert_true(broker_wants_frame(w.broker, 1));
}

static void send_piece(uint64_t conn, uint64_t n, uint32_t part, bool more);

/* A step a turn: what is sent while unfinished messages go is not removed with the queue. */
static void a_queue_that_is_sent_to_while_it_is_removed_is_not_empty(void **state)
{
	const struct space_limits limits = {.turn_bytes = TURN_BYTES, .turn_steps = 1};
	(void)state;
	broker_set_space(w.broker, &limits);
	for (uint64_t conn = 1; conn <= 3; conn++)
		hello(conn, 0, 0);
	send_piece(1, 1, 0, true);
	send_piece(2, 1, 0, true);
	INPUT(3, queue_remove, 1, 0, 0, slice_str("q"));
	assert_false(broker_wants_frame(w.broker, 3));
	sent_lines(1, 1, "q", 1);
	EXPECT(3, FAILED, failed, m);
	assert_int_equal(m.code, RMQ_E_NOT_EMPTY);
	assert_int_equal(queue_total(broker_queue_named(w.broker, slice_str("q"))), 1);
	assert_int_equal(broker_digest(w.broker), recovered_digest());
}

/* Three batches in one lease, and a batch a turn. */
static void what_is_settled_between_the_pieces_of_a_purge_is_done(void **state)
{
	const struct space_limits limits = {.turn_bytes = TURN_BYTES, .turn_steps = 1};
	(void)state;
	hello(1, 0, 0);
	hello(2, 0, 0);
	for (uint64_t n = 1; n <= 3; n++) {
		send_lines(1, n, "q", 1);
		run();
		expect(1, WIRE_TYPE_SENT);
	}
	subscribe(1, "q", 10);
	EXPECT(1, DELIVER, deliver, d);
	expect(1, WIRE_TYPE_DELIVER);
	expect(1, WIRE_TYPE_DELIVER);
	broker_set_space(w.broker, &limits);
	INPUT(2, queue_purge, 1, 0, slice_str("q"));
	assert_false(broker_wants_frame(w.broker, 2));
	settle(1, 4, VERB_SETTLE, 0, 0, d.lease, 3, 1);
	settle(1, 5, VERB_SETTLE, 0, 0, d.lease, 3, 1);
	settle(1, 6, VERB_SETTLE, 0, 0, d.lease, 1, 1);
	run();
	expect(1, WIRE_TYPE_LEASE_ENDED);
	expect_stale(4, "001");
}

static void a_client_that_ends_and_held_much_is_no_long_turn(void **state)
{
	(void)state;
	int turns;
	fragmented();
	uint64_t work = broker_work(w.broker);
	INPUT(1, bye, 0);
	assert_true(broker_work(w.broker) - work <= 2 * TURN_STEPS);
	assert_true(longest_turn(&turns) <= 2 * TURN_STEPS + 2);
	assert_true(turns > 1);
	assert_true(w.closed[1]);
	assert_int_equal(
	    broker_queue_named(w.broker, slice_str("q"))->live[STATE_READY], FRAGMENTS);
	assert_int_equal(broker_digest(w.broker), recovered_digest());
}

static void the_death_of_who_held_much_is_no_long_turn(void **state)
{
	(void)state;
	int turns;
	fragmented();
	uint64_t session = broker_session(w.broker, 1), work = broker_work(w.broker);
	begin();
	broker_holder_died(w.broker, session);
	broker_disconnect(w.broker, 1);
	assert_true(broker_work(w.broker) - work <= 2 * TURN_STEPS);
	assert_true(longest_turn(&turns) <= 2 * TURN_STEPS + 2);
	assert_true(turns > 1);
	assert_int_equal(broker_queue_named(w.broker, slice_str("q"))->live[STATE_LEASED], 0);
	assert_int_equal(broker_digest(w.broker), recovered_digest());
}

/* Each message that is left of ten leases becomes a dead letter by itself. */
static void leases_with_gaps_that_are_buried_are_no_long_turn(void **state)
{
	(void)state;
	int turns;
	uint64_t n = fragmented_by(VERB_SETTLE, 20000);
	struct queue *q = broker_queue_named(w.broker, slice_str("q"));
	INPUT(1, queue_set, n + 1, n, SETTING_MAX_ATTEMPTS, slice_str("q"), 0, 1, 0, 0, 0, 0,
	    NO_TAGS, NO_TAGS);
	run();
	w.lease_ms += 20000;
	begin();
	broker_heard(w.broker, (struct lease_time){w.lease_ms});
	/* What expires is looked for twice in a turn. */
	assert_true(longest_turn(&turns) <= 4 * TURN_STEPS);
	assert_true(turns > 2);
	assert_int_equal(q->counts.dead, 20000);
	assert_int_equal(broker_digest(w.broker), recovered_digest());
}

/* … and no frame makes that of any number of leases. */
static void a_settlement_buries_a_bounded_number_of_runs(void **state)
{
	static uint8_t bytes[SETTLE_ENTRIES_MAX * SETTLE_ENTRY_SIZE];
	struct writer e = writer_of(bytes, sizeof(bytes));
	(void)state;
	uint64_t n = fragmented_by(VERB_SETTLE, 20000);
	struct queue *q = broker_queue_named(w.broker, slice_str("q"));
	for (struct range *r = queue_range_at(q, 0); r; r = queue_range_next(r))
		settle_entry_put(
		    &e, &(struct settle_entry){r->lease, r->first, (uint32_t)r->span});
	for (int i = 0; i < 2; i++) {
		size_t len = i ? e.len / 2 / SETTLE_ENTRY_SIZE * SETTLE_ENTRY_SIZE : e.len;
		INPUT(1, settle, n + 1, n, VERB_DEAD, 0, 0, 1, slice_str("q"), slice_str(""),
		    NO_TAGS, slice_of(bytes, len));
		run();
		if (i == 0) {
			EXPECT(1, FAILED, failed, m);
			assert_int_equal(m.code, RMQ_E_LIMIT);
		}
	}
	assert_in_range(q->counts.dead, 1, BURY_RUNS_MAX);
	assert_int_equal(broker_digest(w.broker), recovered_digest());
}

/* All that connection 1 holds of "q" is detached.  The number of its newest command. */
static uint64_t fragmented_and_detached(void)
{
	static uint8_t bytes[SETTLE_ENTRIES_MAX * SETTLE_ENTRY_SIZE];
	struct writer e = writer_of(bytes, sizeof(bytes));
	struct range *r;
	uint64_t n = fragmented();
	r = queue_range_at(broker_queue_named(w.broker, slice_str("q")), 0);
	for (; r; r = queue_range_next(r)) {
		if (r->state == STATE_LEASED)
			settle_entry_put(&e, &(struct settle_entry){r->lease, r->first, 1});
		if (e.len < 2000 * SETTLE_ENTRY_SIZE)
			continue;
		n++;
		INPUT(1, settle, n, n - 1, VERB_TOUCH, SETTLE_DETACH, 50000, 1, slice_str("q"),
		    slice_str(""), NO_TAGS, slice_of(bytes, e.len));
		run();
		expect(1, WIRE_TYPE_DONE);
		e = writer_of(bytes, sizeof(bytes));
	}
	return n;
}

/* Of what is detached nothing is handed again; that it is so is found over turns. */
static void subscribing_with_much_held_is_no_long_turn(void **state)
{
	(void)state;
	uint64_t n = fragmented_and_detached();
	INPUT(1, unsubscribe, 1);
	send_lines(1, n + 1, "q", 1);
	run();
	uint64_t work = broker_work(w.broker);
	INPUT(1, subscribe, 1, 0, 60000, slice_str("q"), NO_TAGS);
	INPUT(1, credit, 1, 1, 1000, 1);
	assert_true(broker_work(w.broker) - work <= TURN_STEPS);
	w.out_len[1] = 0;
	for (int i = 0; i < 4; i++) {
		work = broker_work(w.broker);
		begin();
		broker_flush(w.broker);
		store();
		assert_true(broker_work(w.broker) - work <= TURN_STEPS + 2);
	}
	EXPECT(1, SUBSCRIBED, subscribed, m);
	assert_int_equal(m.lease_ms, 10000);
	EXPECT(1, DELIVER, deliver, d);
	assert_int_equal(d.first_seq, 2 * FRAGMENTS + 1);
}

/* What was detached from it stays leased, to nobody. */
static void the_end_of_a_session_that_is_named_by_much_is_no_long_turn(void **state)
{
	struct range *r;
	(void)state;
	int turns;
	fragmented_and_detached();
	struct queue *q = broker_queue_named(w.broker, slice_str("q"));
	INPUT(1, bye, 0);
	assert_true(longest_turn(&turns) <= 2 * TURN_STEPS + 2);
	/* It is journaled along with other events. */
	hello(2, 0, 0);
	send_lines(2, 1, "r", 1);
	uint64_t digest = 0;
	do {
		uint64_t work = broker_work(w.broker);
		begin();
		broker_flush(w.broker);
		assert_true(broker_work(w.broker) - work <= 2 * TURN_STEPS);
		store();
		assert_true(digest == 0 || digest == broker_digest(w.broker));
		digest = broker_digest(w.broker);
		assert_int_equal(digest, recovered_digest());
	} while (broker_pending(w.broker));
	assert_int_equal(q->live[STATE_LEASED], FRAGMENTS);
	for (r = queue_range_at(q, 0); r; r = queue_range_next(r))
		assert_null(r->session);
}

/* It ends a name in memory, and what is after it would make two settings differ. */
static void a_dead_letter_queue_has_a_name_without_a_nul(void **state)
{
	(void)state;
	hello(1, 0, 0);
	INPUT(1, queue_create, 1, 0, SETTING_DEAD_LETTER, slice_str("q"), 0, 0, 0, 0, 0, 0,
	    slice_of("other\0x", 7), NO_TAGS);
	INPUT(
	    1, queue_create, 1, 0, 0, slice_str("q"), 0, 0, 0, 0, 0, 0, slice_str(""), NO_TAGS);
	INPUT(1, queue_set, 2, 1, SETTING_DEAD_LETTER, slice_str("q"), 0, 0, 0, 0, 0, 0,
	    slice_of("\0", 1), NO_TAGS);
	run();
	EXPECT(1, FAILED, failed, create);
	assert_int_equal(create.code, RMQ_E_CONFIG);
	expect(1, WIRE_TYPE_DONE);
	EXPECT(1, FAILED, failed, set);
	assert_int_equal(set.code, RMQ_E_CONFIG);
}

static void a_page_of_a_list_costs_its_rows(void **state)
{
	(void)state;
	hello(1, 0, 0);
	for (uint64_t n = 1; n <= 2000; n++) {
		char name[16];
		snprintf(name, sizeof(name), "q%04u", (unsigned)n);
		INPUT(1, queue_create, n, n - 1, 0, slice_str(name), 0, 0, 0, 0, 0, 0,
		    slice_str(""), NO_TAGS);
		run();
		expect(1, WIRE_TYPE_DONE);
	}
	uint64_t work = broker_work(w.broker);
	INPUT(1, list, 1, 10, slice_str("q1500"), slice_str("*"));
	INPUT(1, list, 1, 10, slice_str(""), slice_str("q1700"));
	INPUT(1, list, 1, 10, slice_str(""), slice_str("q180*"));
	assert_true(broker_work(w.broker) - work <= 11 + 2 + 11);
	run();
	for (int i = 0; i < 10; i++)
		expect(1, WIRE_TYPE_LISTED);
	expect(1, WIRE_TYPE_LIST_END);
	EXPECT(1, LISTED, listed, row);
	assert_true(slice_eq(row.queue, slice_str("q1700")));
	expect(1, WIRE_TYPE_LIST_END);
	for (int i = 0; i < 10; i++)
		expect(1, WIRE_TYPE_LISTED);
	EXPECT(1, LIST_END, list_end, end);
	assert_int_equal(end.more, 0);
}

/* So many names that match nothing: the answer ends, and says where to go on. */
static void a_list_looks_at_a_bounded_number_of_names(void **state)
{
	uint64_t n = 0, pages = 0;
	(void)state;
	hello(1, 0, 0);
	while (n < 2 * LIST_WORK) {
		char name[16];
		snprintf(name, sizeof(name), "q%05u", (unsigned)n++);
		INPUT(1, queue_create, n, n - 1, 0, slice_str(name), 0, 0, 0, 0, 0, 0,
		    slice_str(""), NO_TAGS);
	}
	INPUT(1, queue_create, n + 1, n, 0, slice_str("qx"), 0, 0, 0, 0, 0, 0, slice_str(""),
	    NO_TAGS);
	run();
	w.out_len[1] = 0;
	uint8_t place[NAME_FULL_MAX];
	struct slice after = slice_str("");
	for (;; pages++) {
		uint64_t work = broker_work(w.broker);
		INPUT(1, list, 1, 10, after, slice_str("*x"));
		assert_true(broker_work(w.broker) - work <= LIST_WORK);
		run();
		if (pages == 2)
			break;
		EXPECT(1, LIST_AT, list_at, at);
		memcpy(place, at.after.data, at.after.len);
		after = slice_of(place, at.after.len);
		EXPECT(1, LIST_END, list_end, end);
		assert_int_equal(end.more, 1);
	}
	EXPECT(1, LISTED, listed, row);
	assert_true(slice_eq(row.queue, slice_str("qx")));
	EXPECT(1, LIST_END, list_end, end);
	assert_int_equal(end.more, 0);
	/* A long glob costs more for each name. */
	char glob[UINT8_MAX + 1];
	memset(glob, 'a', UINT8_MAX);
	glob[0] = '*';
	uint64_t work = broker_work(w.broker);
	INPUT(1, list, 1, 10, slice_str(""), slice_of(glob, UINT8_MAX));
	assert_true(broker_work(w.broker) - work <= LIST_WORK);
	run();
	EXPECT(1, LIST_AT, list_at, at);
	assert_true(slice_cmp(at.after, slice_str("q00256")) < 0);
}

static void a_full_queue_refuses_and_says_when_there_is_room(void **state)
{
	(void)state;
	hello(1, 0, 0);
	INPUT(1, queue_create, 1, 0, SETTING_MAX_BYTES, slice_str("q"), 0, 0, 0, 0, 50, 0,
	    slice_str(""), NO_TAGS);
	send_lines(1, 2, "q", 10);
	send_lines(1, 3, "q", 10);
	run();
	expect(1, WIRE_TYPE_DONE);
	expect(1, WIRE_TYPE_SENT);
	EXPECT(1, FAILED, failed, m);
	assert_int_equal(m.code, RMQ_E_FULL);
	INPUT(1, queue_purge, 3, 2, slice_str("q"));
	run();
	expect(1, WIRE_TYPE_DONE);
	expect(1, WIRE_TYPE_ROOM);
}

/* Messages that a connection was handed in the order of "q". */
static uint32_t handed(uint64_t conn)
{
	uint32_t count = 0;
	while (w.out_len[conn] > 0) {
		EXPECT(conn, DELIVER, deliver, d);
		count += d.count;
	}
	return count;
}

static void a_small_backlog_is_divided_among_those_who_wait(void **state)
{
	(void)state;
	hello(1, 0, 0);
	hello(2, 0, 0);
	hello(3, 0, 0);
	subscribe(1, "q", 256);
	subscribe(2, "q", 256);
	send_lines(3, 1, "q", 101);
	run();
	assert_int_equal(handed(1), 51);
	assert_int_equal(handed(2), 50);
	/* What is enough for both is given to each as far as its credit goes. */
	send_lines(3, 2, "q", 4000);
	run();
	assert_int_equal(handed(1), 256 - 51);
	assert_int_equal(handed(2), 256 - 50);
}

/* A step a turn: a lease.  The first receiver reads nothing. */
static void what_one_turn_does_not_hand_out_the_next_does(void **state)
{
	const struct space_limits limits = {.turn_bytes = TURN_BYTES, .turn_steps = 1};
	(void)state;
	broker_set_space(w.broker, &limits);
	hello(1, 0, 0);
	hello(2, 0, 0);
	hello(3, 0, 0);
	subscribe(1, "q", 256);
	subscribe(2, "q", 256);
	w.stands[1] = true;
	send_lines(3, 1, "q", 100);
	begin();
	broker_flush(w.broker);
	store();
	assert_int_equal(handed(2), 0);
	assert_int_equal(broker_due_ms(w.broker), 0);
	run();
	assert_true(handed(2) > 0);
}

static void one_receiver_is_given_whole_batches(void **state)
{
	(void)state;
	hello(1, 0, 0);
	hello(3, 0, 0);
	subscribe(1, "q", 100000);
	send_lines(3, 1, "q", 4000);
	run();
	EXPECT(1, DELIVER, deliver, d);
	assert_int_equal(d.count, 4000);
}

static void the_reserve_follows_what_a_checkpoint_takes(void **state)
{
	(void)state;
	uint64_t n = 0;
	char name[32];
	hello(1, 0, 0);
	run();
	assert_int_equal(w.reserve, 0);
	for (int i = 0; i < 15000; i++) {
		snprintf(name, sizeof(name), "queue-%d", i);
		INPUT(1, subscribe, 1, 0, 10000, slice_str(name), NO_TAGS);
		INPUT(1, unsubscribe, 1);
		if (i % 100 > 0)
			continue;
		run();
		broker_room(w.broker, w.appended - w.base, 1 << 30);
		w.out_len[1] = 0;
	}
	run();
	uint64_t large = w.reserve;
	assert_true(large > RESERVE_BYTES && large > 15000ull * RESERVE_CHECKPOINTS * 100);
	for (int i = 0; i < 15000; i++) {
		snprintf(name, sizeof(name), "queue-%d", i);
		INPUT(1, queue_remove, n + 1, n, REMOVE_FORCE, slice_str(name));
		n++;
		if (i % 100 == 0) {
			run();
			broker_room(w.broker, w.appended - w.base, 1 << 30);
			w.out_len[1] = 0;
		}
	}
	run();
	assert_true(w.reserve < large);
}

static void send_piece(uint64_t conn, uint64_t n, uint32_t part, bool more)
{
	static uint8_t data[CHUNK_MAX];
	INPUT(conn, send, n, n - 1, (uint8_t)(SEND_CHUNK | (more ? SEND_MORE : 0)), part,
	    slice_str("q"), NO_TAGS, slice_of(data, sizeof(data)));
}

/* It would be sent again as a whole, and refused again at the same piece. */
static void a_large_message_waits_for_room_for_all_that_came_of_it(void **state)
{
	(void)state;
	hello(1, 0, 0);
	run();
	broker_room(w.broker, w.appended - w.base, 2 * CHUNK_MAX + 2000);
	send_piece(1, 1, 0, true);
	send_piece(1, 1, 1, true);
	send_piece(1, 1, 2, false);
	run();
	EXPECT(1, FAILED, failed, m);
	assert_int_equal(m.code, RMQ_E_DISK_FULL);
	broker_room(w.broker, w.appended - w.base, 2 * CHUNK_MAX + 2000);
	run();
	expect_nothing(1);
	broker_room(w.broker, w.appended - w.base, 3 * CHUNK_MAX + 2000);
	run();
	expect(1, WIRE_TYPE_ROOM);
}

/* Thousands may wait for messages; that there are none is told to those that asked for it. */
static void idle_is_told_to_whom_it_concerns(void **state)
{
	(void)state;
	hello(1, 0, 0);
	hello(2, 0, 0);
	hello(3, 0, 0);
	subscribe(1, "q", 10);
	INPUT(2, subscribe, 1, SUBSCRIBE_IDLE, 10000, slice_str("q"), NO_TAGS);
	INPUT(2, credit, 1, 10, 1000, 7);
	run();
	expect_nothing(1);
	expect(2, WIRE_TYPE_SUBSCRIBED);
	expect(2, WIRE_TYPE_IDLE);
	send_lines(3, 1, "q", 1);
	run();
	EXPECT(1, DELIVER, deliver, d);
	INPUT(2, credit, 1, 1, 1000, 7);
	run();
	EXPECT(2, IDLE, idle, leased);
	assert_int_equal(leased.leased, 1);
	settle(1, 1, VERB_SETTLE, 0, 0, d.lease, 1, 1);
	run();
	expect(1, WIRE_TYPE_DONE);
	expect_nothing(1);
	EXPECT(2, IDLE, idle, empty);
	assert_int_equal(empty.leased + empty.delayed, 0);
}

/* What was granted took all of its credit when the queue was emptied. */
static void who_gets_its_credit_back_is_told_of_idle(void **state)
{
	(void)state;
	hello(2, 0, 0);
	hello(3, 0, 0);
	INPUT(2, subscribe, 1, SUBSCRIBE_IDLE, 10000, slice_str("q"), NO_TAGS);
	INPUT(2, credit, 1, 1, 1000, 7);
	run();
	expect(2, WIRE_TYPE_SUBSCRIBED);
	expect(2, WIRE_TYPE_IDLE);
	w.stands[2] = true;
	send_lines(3, 1, "q", 1);
	run();
	INPUT(3, queue_purge, 2, 1, slice_str("q"));
	run();
	expect_nothing(2);
	goes_on(2);
	run();
	expect(2, WIRE_TYPE_LEASE_ENDED);
	EXPECT(2, IDLE, idle, empty);
	assert_int_equal(empty.leased + empty.delayed, 0);
	expect_nothing(2);
}

/* A client that comes and goes for ever makes the daemon forget its own sessions, not others'. */
static void sessions_give_way_to_those_of_their_own_owner(void **state)
{
	(void)state;
	uint64_t first = hello(1, 0, 0);
	broker_disconnect(w.broker, 1);
	for (uint32_t i = 0; i < SESSIONS_MAX + 10; i++) {
		begin();
		broker_connect(w.broker, 2);
		broker_owner(w.broker, 2, slice_str(""), 2000);
		INPUT(2, hello, WIRE_HELLO_VERSIONS, 0, 0, NO_TAGS);
		broker_disconnect(w.broker, 2);
		if (i % 1000 == 0)
			run();
	}
	run();
	assert_int_equal(hello(3, first, 0), first);
}

static struct slice one_tag(uint16_t tag)
{
	static uint8_t bytes[16];
	struct writer list = writer_of(bytes, sizeof(bytes));
	tags_put(&list, tag, slice_str("value"));
	return slice_of(bytes, list.len);
}

/* A HELLO of this owner, as conn 2, for a session with answers. */
static void hello_of(const char *node, uint32_t uid, uint64_t session)
{
	broker_disconnect(w.broker, 2);
	come(2, node, uid, session, 1);
}

static void expect_session_unknown(uint64_t conn)
{
	EXPECT(conn, ERROR, error, m);
	assert_int_equal(m.code, RMQ_E_UNKNOWN_SESSION);
	assert_true(w.closed[conn]);
}

/* The answer is that for a session that is not known, and its client notices nothing. */
static void nobody_goes_on_with_a_session_of_another_owner(void **state)
{
	(void)state;
	come(1, "", 1000, 0, 0);
	struct wire_welcome mine = welcomed(1);
	sent_lines(1, 1, "q", 1);
	hello_of("", 2000, mine.session);
	expect_session_unknown(2);
	hello_of("", OWNER_UNKNOWN, mine.session);
	expect_session_unknown(2);
	hello_of("n2", 2000, mine.session);
	expect_session_unknown(2);
	assert_false(w.closed[1]);
	sent_lines(1, 2, "q", 1);
	/* Also while its client is away; who is let in is its owner only. */
	broker_disconnect(w.broker, 1);
	hello_of("", 2000, mine.session);
	expect_session_unknown(2);
	hello_of("", 1000, mine.session);
	EXPECT(2, WELCOME, welcome, again);
	assert_int_equal(again.session, mine.session);
	assert_int_equal(again.last, 2);
	/* By way of another node, as after a failover. */
	broker_disconnect(w.broker, 2);
	hello_of("n2", 1000, mine.session);
	welcomed(2);
}

/* Whose a session is stands in the log, and in checkpoints. */
static void a_session_keeps_its_owner_over_restarts(void **state)
{
	static const struct {
		const char *node;
		uint32_t uid;
	} others[] = {{"n1", 2000}, {"n2", 2000}, {"", 2000}, {"", OWNER_UNKNOWN}};
	(void)state;
	come(1, "n1", 1000, 0, 0);
	struct wire_welcome mine = welcomed(1);
	subscribe(1, "q", 10);
	send_lines(1, 1, "q", 3);
	run();
	for (int life = 0; life < 3; life++) {
		if (life == 2) {
			broker_checkpoint(w.broker);
			run();
			assert_true(w.checkpoint > 0);
		}
		assert_int_equal(broker_digest(w.broker), recovered_digest());
		restart();
		for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
			hello_of(others[i].node, others[i].uid, mine.session);
			expect_session_unknown(2);
		}
		hello_of(life == 1 ? "n2" : "n1", 1000, mine.session);
		EXPECT(2, WELCOME, welcome, again);
		assert_int_equal(again.last, 1);
		broker_disconnect(w.broker, 2);
	}
}

/* What an earlier version's daemon, or one that was not told, left: who comes first has it for good. */
static void a_session_of_nobody_is_whose_who_comes_for_it(void **state)
{
	(void)state;
	uint64_t mine = hello(1, 0, 0);
	send_lines(1, 1, "q", 1);
	run();
	restart();
	hello_of("n1", 1000, mine);
	welcomed(2);
	restart();
	hello_of("n1", 2000, mine);
	expect_session_unknown(2);
	hello_of("n1", 1000, mine);
	expect(2, WIRE_TYPE_WELCOME);
}

/*
 * Its number is not enough, nor a token that is almost right: for a session that is known, and
 * for one that left no trace.
 */
static void a_session_goes_on_with_its_token_only(void **state)
{
	(void)state;
	for (int trace = 0; trace < 2; trace++) {
		uint8_t token[SESSION_TOKEN_SIZE];
		come(1, "n1", 1000, 0, 0);
		uint64_t mine = welcomed(1).session;
		memcpy(token, w.token, sizeof(token));
		if (trace)
			send_lines(1, 1, "q", 1);
		run();
		broker_checkpoint(w.broker);
		run();
		restart();
		for (size_t bit = 0; bit < 8 * sizeof(token); bit++) {
			memcpy(w.token, token, sizeof(token));
			w.token[bit / 8] ^= (uint8_t)(1 << bit % 8);
			broker_disconnect(w.broker, 2);
			come(2, "n1", 1000, mine, 0);
			expect_session_unknown(2);
		}
		broker_disconnect(w.broker, 2);
		begin();
		w.closed[2] = false;
		w.out_len[2] = 0;
		broker_connect(w.broker, 2);
		broker_owner(w.broker, 2, slice_str("n1"), 1000);
		INPUT(2, hello, WIRE_HELLO_VERSIONS, mine, 0, NO_TAGS);
		run();
		expect_session_unknown(2);
		memcpy(w.token, token, sizeof(token));
		come(3, "n1", 1000, mine, 0);
		assert_int_equal(welcomed(3).session, mine);
		assert_memory_equal(w.token, token, sizeof(token));
		broker_disconnect(w.broker, 1);
		broker_disconnect(w.broker, 3);
	}
}

/* A checkpoint keeps the secret of the first start, and no later daemon's counts. */
static void a_journal_keeps_its_first_secret(void **state)
{
	uint8_t token[SESSION_TOKEN_SIZE];
	struct wire_welcome mine;
	(void)state;
	come(1, "n1", 1000, 0, 0);
	mine = welcomed(1);
	memcpy(token, w.token, sizeof(token));
	for (int life = 0; life < 3; life++) {
		send_lines(1, (uint64_t)life + 1, "q", 1);
		run();
		broker_checkpoint(w.broker);
		run();
		assert_int_equal(broker_digest(w.broker), recovered_digest());
		restart();
		come(1, "n1", 1000, mine.session, 1);
		welcomed(1);
		assert_memory_equal(w.token, token, sizeof(token));
	}
}

/* Versions are compared before anything else is read, and both ranges are named. */
static void versions_that_do_not_overlap_are_refused_by_name(void **state)
{
	(void)state;
	static const struct {
		uint16_t newest, oldest;
		const char *text;
	} cases[] = {
	    {9, 7, "the client knows version 7 to 9, this program knows 2"},
	    {1, 1, "the client knows version 1, this program knows 2"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char text[128] = {0};
		begin();
		w.out_len[1] = 0;
		w.closed[1] = false;
		broker_connect(w.broker, 1);
		INPUT(1, hello, WIRE_MAGIC, cases[i].newest, cases[i].oldest, 0, 0, 0, NO_TAGS);
		run();
		EXPECT(1, ERROR, error, m);
		assert_int_equal(m.code, RMQ_E_VERSION);
		assert_true(m.text.len < sizeof(text));
		memcpy(text, m.text.data, m.text.len);
		assert_string_equal(text, cases[i].text);
		assert_true(w.closed[1]);
		broker_disconnect(w.broker, 1);
	}
}

/* Recovers from one record that holds this SEND; the error of doing so. */
static enum rmq_error recover_send_with(struct slice tags)
{
	static const uint8_t batch[] = {1, 0, 0, 0, 2, 0, 'x', '\n'};
	static uint8_t bytes[256];
	struct writer p = writer_of(bytes, sizeof(bytes));
	struct broker_log log = {&journaled, memory_log_read, memory_log_next};
	struct broker *b = new_broker();
	uint64_t at;
	put_u64(&p, 1);
	put_u64(&p, 1);
	event_put_create(&p, &(struct event_create){1, slice_str("q"), 30000, 16, 1000, 60000,
				 1 << 20, 1 << 20, slice_str(""), NO_TAGS});
	event_put_send(&p, &(struct event_send){
			       1, 1ull << 32 | 1, 1, 1, tags, slice_of(batch, sizeof(batch))});
	assert_false(p.full);
	on_append(NULL, 1, RECORD_EVENTS, slice_of(p.p, p.len));
	w.last = 1;
	enum rmq_error err = broker_recover(b, &log, 0, 1, &at);
	assert_int_equal(at, 1);
	broker_free(b);
	free(w.log[1].payload);
	w.log[1].payload = NULL;
	w.appended = w.last = 0;
	return err;
}

/* 76 of a daemon whose journal a newer one has written. */
static void recovery_refuses_an_even_tag_that_is_not_known_and_passes_over_odd_ones(
    void **state)
{
	(void)state;
	assert_int_equal(recover_send_with(NO_TAGS), RMQ_E_OK);
	assert_int_equal(recover_send_with(one_tag(63999)), RMQ_E_OK);
	assert_int_equal(recover_send_with(one_tag(64000)), RMQ_E_VERSION);
}

/*
 * A record of version 2 as it was first written, and one with tagged fields that nobody knows:
 * START, CREATE, SEND of "one" and "three", LEASE and SETTLE of "one".  They are recovered for ever.
 */
static void a_journal_as_it_was_first_written_is_recovered_for_ever(void **state)
{
	static const char *const records[] = {
	    "02010000dd00000001000000000000000400000000000000d517837f8cb166bfe803000000000000"
	    "0068e5cf8b0100001600060001000000000001002d000100000001713075000010000000e8030000"
	    "0000000060ea00000000000000001000000000000000100000000006003000010000000100000001"
	    "0000000100000000000000010000000000000000000200000004000a006f6e650a74687265650a0a"
	    "00280001000000010000000100000001000000000000000100000000000000010000000000000030"
	    "7500000b002e00010000000100000001000000020000000000000000000000000001000000000000"
	    "00010000000000000001000000",
	    "02010000010100000100000000000000040000000000000083eff21f469a30b7e903000000000000"
	    "0068e5cf8b01000016000f00010000000900fff905006c6174657201003600010000000171307500"
	    "0010000000e80300000000000060ea000000000000000010000000000000001000000900fff90500"
	    "6c6174657206003900010000000100000001000000010000000000000001000000000000000900ff"
	    "f905006c617465720200000004000a006f6e650a74687265650a0a00280001000000010000000100"
	    "0000010000000000000001000000000000000100000000000000307500000b003700010000000100"
	    "0000010000000200000000000000000000000900fff905006c617465720100000000000000010000"
	    "000000000001000000",
	};
	uint8_t bytes[GOLDEN_MAX];
	for (size_t i = 0; i < sizeof(records) / sizeof(*records); i++) {
		struct record_header h;
		struct slice payload;
		struct slice value = golden_bytes(records[i], bytes);
		assert_int_equal(record_open(value, 1, &h, &payload), RMQ_E_OK);
		assert_int_equal(h.term, 4);
		on_append(NULL, 1, h.kind, payload);
		w.last = 1;
		restart();
		hello(1, 0, 0);
		subscribe(1, "q", 10);
		EXPECT(1, DELIVER, deliver, d);
		assert_int_equal(d.first_seq, 2);
		assert_int_equal(d.count, 1);
		assert_memory_equal(d.data.data + 2, "three\n", 6);
		teardown(state);
		setup(state);
	}
}

/* The same of a client with a key: START, and CREATE, SESSION_OWNER and SEND in a session of key:web. */
static void the_session_of_a_key_in_a_journal_is_its_own_for_ever(void **state)
{
	static const char *const records[] = {
	    "020100002e000000010000000000000004000000000000002d91d20ec54477ea0000000000000000"
	    "40420f000000000016001a000100000014000200100001000000000000000000000000000000",
	    "02010000a0000000010000000000000004000000000000007d95bf668bc1f5fd0000000000000000"
	    "40420f000000000001003c000100000001713075000010000000e803000000000000c02709000000"
	    "0000000000000000000000001000000f0003000b00000000006b65793a7765621700160001000000"
	    "0100000000000000076b65793a776562000006003200010000000100000001000000010000000000"
	    "0000010000000000000000000200000006000c006d303030300a6d303030310a",
	};
	const uint64_t session = 1ull << 32 | 1;
	uint8_t bytes[GOLDEN_MAX];
	(void)state;
	for (uint64_t i = 0; i < 2; i++) {
		struct record_header h;
		struct slice payload;
		struct slice value = golden_bytes(records[i], bytes);
		assert_int_equal(record_open(value, 1, &h, &payload), RMQ_E_OK);
		on_append(NULL, i + 1, h.kind, payload);
	}
	w.last = 2;
	restart();
	golden_bytes("cc9734669c6d8234a5b49acf4699704a", w.token);
	hello_of("key:ops", 0, session);
	expect_session_unknown(2);
	hello_of("", 0, session);
	expect_session_unknown(2);
	hello_of("key:web", 0, session);
	EXPECT(2, WELCOME, welcome, m);
	assert_int_equal(m.session, session);
	assert_int_equal(m.last, 1);
}

/* What a backlog costs: what comes for messages with attributes, lanes or sharing costs only them. */
static void a_batch_and_a_range_cost_what_they_did(void **state)
{
	(void)state;
	uint8_t bytes[128];
	struct writer p = writer_of(bytes, sizeof(bytes));
	/* What malloc() gives it is 96 bytes with its own 8; of dead letters 112. */
	assert_true(sizeof(struct batch) <= 88);
	assert_true(sizeof(struct batch) + sizeof(struct came) <= 104);
	assert_true(sizeof(struct range) <= 176);
	/* As version 1 had it, and the length of an empty list of tagged fields. */
	event_put_part_batch(&p, &(struct event_part_batch){.tags = NO_TAGS});
	assert_int_equal(p.len, EVENT_HEADER_SIZE + 4 + 8 + 4 + 8 + 2 + 2 + 4 + 4 + 1 + 2);
}

static void expect_full(uint64_t conn)
{
	EXPECT(conn, FAILED, failed, m);
	assert_int_equal(m.code, RMQ_E_FULL);
}

/* Who waits for room is not told of what is free elsewhere, nor more than can use it. */
static void room_is_told_to_those_that_it_is_for(void **state)
{
	struct slice q = slice_str("q"), none = slice_str("");
	(void)state;
	hello(1, 0, 0);
	hello(2, 0, 0);
	hello(3, 0, 0);
	INPUT(3, queue_create, 1, 0, SETTING_MAX_BYTES, q, 0, 0, 0, 0, 50, 0, none, NO_TAGS);
	send_lines(3, 2, "q", 10);
	send_lines(3, 3, "r", 10);
	run();
	send_lines(1, 1, "q", 10);
	send_lines(2, 1, "q", 10);
	run();
	expect_full(1);
	expect_full(2);
	INPUT(3, queue_purge, 4, 3, slice_str("r"));
	run();
	expect_nothing(1);
	expect_nothing(2);
	INPUT(3, queue_purge, 5, 4, q);
	run();
	expect(1, WIRE_TYPE_ROOM);
	expect_nothing(2);
	/* It was not used: the next one is told when more leaves. */
	INPUT(3, queue_set, 6, 5, SETTING_MAX_BYTES, q, 0, 0, 0, 0, 0, 0, none, NO_TAGS);
	run();
	expect(2, WIRE_TYPE_ROOM);
	expect_nothing(1);
}

/* Two sessions, and a queue that one unfinished message of the first one fills. */
static void one_unfinished(void)
{
	hello(1, 0, 0);
	hello(2, 0, 0);
	INPUT(2, queue_create, 1, 0, SETTING_MAX_BYTES, slice_str("q"), 0, 0, 0, 0, 500, 0,
	    slice_str(""), NO_TAGS);
	send_piece(1, 1, 0, true);
	run();
	expect(2, WIRE_TYPE_DONE);
}

static uint64_t unfinished_bytes(void)
{
	INPUT(2, list, 1, 1, slice_str(""), slice_str("q"));
	run();
	EXPECT(2, LISTED, listed, row);
	expect(2, WIRE_TYPE_LIST_END);
	return tags_find_u64(row.tags, LISTED_TAG_UNFINISHED);
}

/* Its client does not go on, and its connection does not end. */
static void an_unfinished_message_goes_when_no_piece_comes(void **state)
{
	(void)state;
	one_unfinished();
	assert_int_equal(unfinished_bytes(), CHUNK_MAX);
	w.lease_ms += UNFINISHED_MS - 1;
	send_piece(1, 1, 1, true);
	run();
	assert_int_equal(broker_due_ms(w.broker), UNFINISHED_MS);
	w.lease_ms += UNFINISHED_MS - 1;
	run();
	assert_int_equal(unfinished_bytes(), 2 * CHUNK_MAX);
	/* What it had sent by then is read first. */
	w.lease_ms++;
	begin();
	assert_true(broker_listens(w.broker));
	broker_flush(w.broker);
	send_piece(1, 1, 2, true);
	run();
	assert_int_equal(unfinished_bytes(), 3 * CHUNK_MAX);
	w.lease_ms += UNFINISHED_MS;
	run();
	assert_int_equal(unfinished_bytes(), 0);
	sent_lines(2, 2, "q", 1);
	/* If it does go on after all: from the first piece on. */
	send_piece(1, 1, 3, true);
	run();
	EXPECT(1, FAILED, failed, m);
	assert_int_equal(m.code, RMQ_E_OUT_OF_ORDER);
	assert_int_equal(broker_digest(w.broker), recovered_digest());
}

/* It was never whole, so no answer has named its session: nobody comes back for it. */
static void an_unfinished_message_does_not_outlive_a_restart_for_long(void **state)
{
	(void)state;
	one_unfinished();
	broker_checkpoint(w.broker);
	run();
	restart();
	hello(2, 0, 0);
	assert_int_equal(unfinished_bytes(), CHUNK_MAX);
	w.lease_ms += UNFINISHED_MS;
	run();
	assert_int_equal(unfinished_bytes(), 0);
	sent_lines(2, 1, "q", 1);
}

static void a_purge_drops_unfinished_messages(void **state)
{
	(void)state;
	one_unfinished();
	INPUT(2, queue_purge, 2, 1, slice_str("q"));
	run();
	expect(2, WIRE_TYPE_DONE);
	assert_int_equal(unfinished_bytes(), 0);
	sent_lines(2, 3, "q", 1);
	send_piece(1, 1, 1, true);
	run();
	EXPECT(1, FAILED, failed, m);
	assert_int_equal(m.code, RMQ_E_OUT_OF_ORDER);
	assert_int_equal(broker_digest(w.broker), recovered_digest());
}

static void another_command_drops_an_unfinished_message(void **state)
{
	(void)state;
	one_unfinished();
	INPUT(
	    1, queue_create, 1, 0, 0, slice_str("r"), 0, 0, 0, 0, 0, 0, slice_str(""), NO_TAGS);
	run();
	expect(1, WIRE_TYPE_DONE);
	assert_int_equal(unfinished_bytes(), 0);
	sent_lines(2, 2, "q", 1);
}

/* They count against the queue's limit, are one for each session, and go with their connection. */
static void unfinished_messages_take_room_and_are_dropped(void **state)
{
	static uint8_t piece[1000];
	struct slice q = slice_str("q"), data = slice_of(piece, sizeof(piece));
	(void)state;
	hello(1, 0, 0);
	hello(2, 0, 0);
	INPUT(2, queue_create, 1, 0, SETTING_MAX_BYTES, q, 0, 0, 0, 0, 500, 0, slice_str(""),
	    NO_TAGS);
	for (uint32_t part = 0; part < 3; part++)
		INPUT(1, send, 1, 0, SEND_CHUNK | SEND_MORE, part, q, NO_TAGS, data);
	send_lines(2, 2, "q", 1);
	run();
	expect_nothing(1);
	expect(2, WIRE_TYPE_DONE);
	expect_full(2);
	/* Its first piece in another queue ends what it began in this one. */
	INPUT(1, send, 1, 0, SEND_CHUNK | SEND_MORE, 0, slice_str("r"), NO_TAGS, data);
	run();
	expect(2, WIRE_TYPE_ROOM);
	INPUT(1, send, 1, 0, SEND_CHUNK | SEND_MORE, 0, q, NO_TAGS, data);
	send_lines(2, 2, "q", 1);
	run();
	expect_full(2);
	begin();
	broker_disconnect(w.broker, 1);
	run();
	expect(2, WIRE_TYPE_ROOM);
	sent_lines(2, 2, "q", 1);
}

static void a_checkpoint_makes_holes_and_recovery_finds_the_same_state(void **state)
{
	uint64_t holes = 0, n = 1;
	(void)state;
	hello(1, 0, 0);
	subscribe(1, "q", 1000000);
	for (uint64_t k = 0; k < 200; k++) {
		send_lines(1, n++, "q", 10);
		run();
		expect(1, WIRE_TYPE_SENT);
		EXPECT(1, DELIVER, deliver, d);
		settle(1, n++, VERB_SETTLE, 0, 0, d.lease, d.first_seq + 1, 8);
		if (k % 7 == 0)
			broker_checkpoint(w.broker);
		run();
		expect(1, WIRE_TYPE_DONE);
		assert_int_equal(broker_digest(w.broker), recovered_digest());
	}
	for (uint64_t i = 1; i <= w.last; i++)
		holes += w.log[i].hole;
	assert_true(holes > 150);
	restart();
}

/* In the newest checkpoint, queue "q" has given out all numbers below `next`. */
static void numbers_go_on_at(uint64_t next)
{
	struct event_part_queue q;
	struct events_header h;
	struct event_iter it;
	struct event e;
	uint32_t found = 0;
	for (uint64_t i = 1; i <= w.last; i++) {
		if (w.log[i].hole || w.log[i].kind != RECORD_PART)
			continue;
		assert_int_equal(
		    events_open(slice_of(w.log[i].payload, w.log[i].len), &h, &it), RMQ_E_OK);
		while (!event_next(&it, &e)) {
			if (e.type != EVENT_TYPE_PART_QUEUE)
				continue;
			assert_true(event_part_queue_decode(e.body, &q));
			q.next_seq = next;
			struct writer out = writer_of(
			    w.log[i].payload + e.offset, EVENT_HEADER_SIZE + e.body.len);
			uint8_t copy[1024];
			struct writer body = writer_of(copy, sizeof(copy));
			event_put_part_queue(&body, &q);
			put_rest(&out, slice_of(body.p, body.len));
			assert_false(out.full || body.full);
			found++;
		}
	}
	assert_int_equal(found, 1);
}

/* What is ready is one range, however many settled messages lie in the middle of it. */
static void a_gap_of_settled_messages_may_be_of_any_length(void **state)
{
	const uint64_t far = 5ull << 32;
	(void)state;
	hello(1, 0, 0);
	send_lines(1, 1, "q", 3);
	run();
	broker_checkpoint(w.broker);
	run();
	numbers_go_on_at(far);
	restart();
	hello(1, 0, 0);
	sent_lines(1, 1, "q", 3);
	subscribe(1, "q", 2);
	EXPECT(1, DELIVER, deliver, d);
	assert_int_equal(d.count, 2);
	INPUT(1, credit, 1, 100, 1 << 20, 7);
	run();
	EXPECT(1, DELIVER, deliver, third);
	assert_int_equal(third.first_seq, 3);
	assert_int_equal(third.count, 1);
	EXPECT(1, DELIVER, deliver, behind);
	assert_int_equal(behind.first_seq, far);
	assert_int_equal(behind.count, 3);
	assert_int_equal(broker_digest(w.broker), recovered_digest());
	/* Given back and handed out again, the range begins with the gap. */
	settle(1, 2, VERB_RELEASE, 0, 0, behind.lease, far, 3);
	settle(1, 3, VERB_SETTLE, 0, 0, third.lease, 3, 1);
	run();
	expect(1, WIRE_TYPE_DONE);
	expect(1, WIRE_TYPE_DONE);
	EXPECT(1, DELIVER, deliver, again);
	assert_int_equal(again.first_seq, far);
	assert_int_equal(again.count, 3);
	w.lease_ms += 10000;
	run();
	EXPECT(1, LEASE_ENDED, lease_ended, first);
	assert_int_equal(first.first_seq, 1);
	EXPECT(1, LEASE_ENDED, lease_ended, second);
	assert_int_equal(second.first_seq, far);
	assert_int_equal(second.count, 3);
	assert_int_equal(broker_digest(w.broker), recovered_digest());
}

static void moved_messages_keep_their_bodies_and_numbers(void **state)
{
	uint64_t index, moved = 0, next = 1;
	(void)state;
	hello(1, 0, 0);
	for (uint64_t n = 1; n <= 600; n++) {
		send_lines(1, n, "q", 1);
		run();
		expect(1, WIRE_TYPE_SENT);
	}
	begin();
	while (broker_wants_record(w.broker, &index)) {
		struct slice payload = slice_of(w.log[index].payload, w.log[index].len);
		assert_int_equal(broker_move(w.broker, index, payload), RMQ_E_OK);
		moved++;
	}
	assert_true(moved > 0);
	broker_checkpoint(w.broker);
	run();
	assert_int_equal(broker_digest(w.broker), recovered_digest());
	subscribe(1, "q", 1000);
	while (next <= 600) {
		EXPECT(1, DELIVER, deliver, d);
		assert_int_equal(d.first_seq, next);
		assert_memory_equal(d.data.data + 2 * (size_t)d.count, "m0000\n", 6);
		next += d.count;
	}
}

/* The row of a queue, as those who list it see it. */
static void expect_row(
    const char *queue, uint64_t ready, uint64_t leased, uint64_t delayed, uint64_t lost)
{
	INPUT(1, list, 9, 10, slice_str(""), slice_str(queue));
	run();
	EXPECT(1, LISTED, listed, row);
	expect(1, WIRE_TYPE_LIST_END);
	assert_int_equal(row.ready, ready);
	assert_int_equal(row.leased, leased);
	assert_int_equal(row.delayed, delayed);
	assert_int_equal(tags_find_u64(row.tags, LISTED_TAG_LOST), lost);
}

/* Index of the newest record that holds events. */
static uint64_t newest_events(void)
{
	uint64_t index = w.last;
	while (w.log[index].kind != RECORD_EVENTS)
		index--;
	return index;
}

static void create(uint64_t conn, uint64_t n, const char *format, unsigned i)
{
	char name[32];
	snprintf(name, sizeof(name), format, i);
	INPUT(conn, queue_create, n, n - 1, 0, slice_str(name), 0, 0, 0, 0, 0, 0, slice_str(""),
	    NO_TAGS);
}

static void expect_limit(uint64_t conn, const char *text)
{
	run();
	EXPECT(conn, FAILED, failed, m);
	assert_int_equal(m.code, RMQ_E_LIMIT);
	if (!slice_eq(m.text, slice_str(text)))
		fail_msg("%.*s", (int)m.text.len, (const char *)m.text.data);
}

/* Also after a restart, with a checkpoint and without one. */
static void one_user_does_not_make_all_queues(void **state)
{
	static const char text[] =
	    "user 1000 has made 229376 queues, as many as one user may of "
	    "262144 in all: remove some";
	uint64_t n = 0;
	(void)state;
	come(1, "", 1000, 0, 0);
	welcomed(1);
	while (n < QUEUES_OF_ONE) {
		n++;
		create(1, n, "q%u", (unsigned)n);
		if (n % 1000 == 0) {
			run();
			w.out_len[1] = 0;
		}
		if (n == QUEUES_OF_ONE - 1000) {
			broker_checkpoint(w.broker);
			run();
		}
	}
	run();
	restart();
	come(1, "", 1000, 0, 0);
	welcomed(1);
	create(1, 1, "more", 0);
	expect_limit(1, text);
	send_lines(1, 1, "more", 1);
	expect_limit(1, text);
	INPUT(1, subscribe, 1, 0, 10000, slice_str("more"), NO_TAGS);
	run();
	EXPECT(1, SUB_FAILED, sub_failed, sub);
	assert_int_equal(sub.code, RMQ_E_LIMIT);
	assert_true(slice_eq(sub.text, slice_str(text)));
	sent_lines(1, 1, "q1", 1);
	subscribe(1, "q1", 1);
	come(2, "", 1001, 0, 0);
	welcomed(2);
	create(2, 1, "more", 0);
	run();
	expect(2, WIRE_TYPE_DONE);
	/* What is removed counts no more. */
	INPUT(2, queue_remove, 2, 1, 0, slice_str("q2"));
	create(1, 2, "another", 0);
	run();
	EXPECT(1, DELIVER, deliver, d);
	expect(1, WIRE_TYPE_DONE);
}

/* Numbers n and n + 1: sends and settles a batch, of which nothing is left.  Its record. */
static uint64_t sent_and_settled(uint64_t n)
{
	sent_lines(1, n, "q", 4096);
	uint64_t index = w.last;
	INPUT(1, credit, 1, 4096, 1 << 20, 7);
	run();
	EXPECT(1, DELIVER, deliver, d);
	settle(1, n + 1, VERB_SETTLE, 0, 0, d.lease, d.first_seq, 4096);
	run();
	expect(1, WIRE_TYPE_DONE);
	return index;
}

/* What it frees is little for this disk, and twice what it writes. */
static void a_member_that_waits_for_holes_gets_a_checkpoint_early(void **state)
{
	(void)state;
	hello(1, 0, 0);
	INPUT(1, subscribe, 1, 0, 10000, slice_str("q"), NO_TAGS);
	run();
	expect(1, WIRE_TYPE_SUBSCRIBED);
	uint64_t first = sent_and_settled(1);
	(void)sent_and_settled(3);
	assert_int_equal(w.checkpoint, 0);
	broker_holes_wanted(w.broker, true);
	run();
	assert_true(w.log[first].hole);
	/* It does not go round. */
	uint64_t last = w.last;
	run();
	assert_int_equal(w.last, last);
	broker_holes_wanted(w.broker, false);
	first = sent_and_settled(5);
	(void)sent_and_settled(7);
	assert_false(w.log[first].hole);
	broker_holes_wanted(w.broker, true);
	run();
	assert_true(w.log[first].hole);
}

/* What makes a queue waits for room like a message; what frees some does not. */
static void queues_are_not_made_on_a_full_disk(void **state)
{
	(void)state;
	hello(1, 0, 0);
	send_lines(1, 1, "q", 10);
	sent_lines(1, 2, "r", 10);
	expect(1, WIRE_TYPE_SENT);
	broker_room(w.broker, w.appended - w.base, 0);
	create(1, 3, "more", 0);
	run();
	EXPECT(1, FAILED, failed, m);
	assert_int_equal(m.code, RMQ_E_DISK_FULL);
	INPUT(1, subscribe, 1, 0, 10000, slice_str("more"), NO_TAGS);
	run();
	EXPECT(1, SUB_FAILED, sub_failed, sub);
	assert_int_equal(sub.code, RMQ_E_DISK_FULL);
	create(1, 3, "q", 0);
	INPUT(1, queue_purge, 4, 3, slice_str("q"));
	INPUT(1, queue_remove, 5, 4, 0, slice_str("q"));
	INPUT(1, queue_remove, 6, 5, REMOVE_FORCE, slice_str("r"));
	run();
	for (int i = 0; i < 4; i++)
		expect(1, WIRE_TYPE_DONE);
}

/* A flood of them does not take more room than there is. */
static void queues_that_are_made_take_room(void **state)
{
	uint64_t n = 0, done = 0;
	(void)state;
	hello(1, 0, 0);
	broker_room(w.broker, w.appended - w.base, 20000);
	while (n < 2000) {
		n++;
		create(1, done + 1, "queue%u", (unsigned)n);
		run();
		if (w.out[1][4] == WIRE_TYPE_DONE)
			done++;
		w.out_len[1] = 0;
	}
	assert_in_range(done, 100, 500);
}

/* Connection 1 holds ten messages that are being moved; 2 wants four of them to be dead letters. */
static void bury_what_moves(void)
{
	hello(1, 0, 0);
	hello(2, 0, 0);
	sent_lines(1, 1, "q", 10);
	uint64_t index = w.last;
	subscribe(1, "q", 10);
	EXPECT(1, DELIVER, deliver, d);
	begin();
	struct slice payload = slice_of(w.log[index].payload, w.log[index].len);
	assert_int_equal(broker_move(w.broker, index, payload), RMQ_E_OK);
	broker_flush(w.broker);
	settle(2, 1, VERB_DEAD, 0, 0, d.lease, 1, 4);
	broker_flush(w.broker);
	expect_nothing(2);
	expect_nothing(1);
	assert_false(broker_wants_frame(w.broker, 1));
}

/* Where they are going to be is not known yet. */
static void messages_that_are_just_being_moved_become_dead_letters(void **state)
{
	(void)state;
	bury_what_moves();
	run();
	expect(2, WIRE_TYPE_DONE);
	EXPECT(1, LEASE_ENDED, lease_ended, e);
	assert_int_equal(e.count, 4);
	assert_true(broker_wants_frame(w.broker, 1));
	expect_counts(2, "q.dead", 4, 0);
	expect_counts(2, "q", 0, 6);
	assert_int_equal(broker_digest(w.broker), recovered_digest());
}

static void who_has_gone_waits_for_no_burial(void **state)
{
	(void)state;
	bury_what_moves();
	begin();
	broker_disconnect(w.broker, 2);
	assert_true(broker_wants_frame(w.broker, 1));
	run();
	INPUT(1, list, 1, 10, slice_str(""), slice_str("*"));
	run();
	EXPECT(1, LISTED, listed, row);
	assert_int_equal(row.leased, 10);
	expect(1, WIRE_TYPE_LIST_END);
}

static void a_record_that_cannot_be_read_costs_its_messages_and_no_others(void **state)
{
	(void)state;
	hello(1, 0, 0);
	for (uint64_t n = 1; n <= 3; n++) {
		send_lines(1, n, "q", 4);
		run();
		expect(1, WIRE_TYPE_SENT);
		w.log[newest_events()].rotten = n == 2;
	}
	subscribe(1, "q", 9);
	/* What was lost took no credit: nine others are asked for and eight are there. */
	EXPECT(1, DELIVER, deliver, a);
	assert_int_equal(a.first_seq, 1);
	assert_int_equal(a.count, 4);
	EXPECT(1, DELIVER, deliver, b);
	assert_int_equal(b.first_seq, 9);
	assert_int_equal(b.count, 1);
	EXPECT(1, LEASE_ENDED, lease_ended, gone);
	assert_int_equal(gone.why, ENDED_GONE);
	assert_int_equal(gone.first_seq, 5);
	assert_int_equal(gone.count, 4);
	EXPECT(1, DELIVER, deliver, c);
	assert_int_equal(c.first_seq, 10);
	assert_int_equal(c.count, 3);
	assert_int_equal(c.failures, 0);
	assert_string_equal(w.lost, " q:5..8(4)");
	settle(1, 4, VERB_SETTLE, 0, 0, a.lease, 5, 4);
	run();
	EXPECT(1, DONE, done, d);
	assert_int_equal(d.stale.len, SETTLE_ENTRY_SIZE);
	expect_row("q", 0, 8, 0, 4);
	assert_int_equal(broker_digest(w.broker), recovered_digest());
	broker_checkpoint(w.broker);
	run();
	assert_int_equal(broker_digest(w.broker), recovered_digest());
	restart();
	hello(1, 0, 0);
	expect_row("q", 0, 8, 0, 4);
}

static void what_is_lost_leaves_its_queue_in_any_state_and_not_twice(void **state)
{
	(void)state;
	hello(1, 0, 0);
	sent_lines(1, 1, "q", 12);
	uint64_t index = newest_events();
	subscribe(1, "q", 9);
	EXPECT(1, DELIVER, deliver, d);
	settle(1, 2, VERB_SETTLE, 0, 0, d.lease, 2, 1);
	settle(1, 3, VERB_RELEASE, 0, 60000, d.lease, 3, 2);
	settle(1, 4, VERB_DEAD, 0, 0, d.lease, 5, 2);
	run();
	for (int i = 0; i < 3; i++)
		expect(1, WIRE_TYPE_DONE);
	begin();
	assert_int_equal(broker_lost(w.broker, index, on_lost, NULL), 11);
	assert_int_equal(broker_lost(w.broker, index, on_lost, NULL), 0);
	assert_string_equal(w.lost, " q:1..12(9) q.dead:1..2(2)");
	run();
	/* Message 2 is settled, and may be named. */
	EXPECT(1, LEASE_ENDED, lease_ended, one);
	assert_int_equal(one.first_seq, 1);
	assert_int_equal(one.count, 2);
	EXPECT(1, LEASE_ENDED, lease_ended, rest);
	assert_int_equal(rest.first_seq, 7);
	assert_int_equal(rest.count, 3);
	expect_row("q", 0, 0, 0, 9);
	expect_row("q.dead", 0, 0, 0, 2);
	assert_int_equal(broker_digest(w.broker), recovered_digest());
}

static void send_marked(uint64_t n, char mark)
{
	static uint8_t piece[CHUNK_MAX];
	memset(piece, mark, sizeof(piece));
	for (uint32_t i = 0; i < 3; i++)
		INPUT(1, send, n, n - 1, (uint8_t)(SEND_CHUNK | (i < 2 ? SEND_MORE : 0)), i,
		    slice_str("q"), NO_TAGS, slice_of(piece, sizeof(piece)));
	run();
	expect(1, WIRE_TYPE_SENT);
}

static void a_large_message_is_lost_with_any_of_its_pieces_and_the_next_one_is_whole(
    void **state)
{
	(void)state;
	hello(1, 0, 0);
	send_marked(1, 'a');
	w.log[newest_events() - 2].rotten = true; /* the second piece */
	send_marked(2, 'b');
	subscribe(1, "q", 2);
	EXPECT(1, DELIVER_PART, deliver_part, cut);
	assert_int_equal(cut.seq, 1);
	for (uint32_t i = 0; i < 3; i++) {
		EXPECT(1, DELIVER_PART, deliver_part, d);
		assert_int_equal(d.seq, 2);
		assert_int_equal(d.part, i);
		assert_int_equal(d.data.data[0], 'b');
	}
	expect(1, WIRE_TYPE_LEASE_ENDED);
	assert_string_equal(w.lost, " q:1..1(1)");
	expect_row("q", 0, 1, 0, 1);
	assert_int_equal(broker_digest(w.broker), recovered_digest());
}

/* A batch for queue `first` and further ones, whose names are parted by blanks. */
static void share(uint64_t conn, uint64_t n, uint8_t flags, const char *first,
    const char *further, struct slice batch)
{
	static uint8_t names[70 * 130], list[70 * 130];
	struct writer v = writer_of(names, sizeof(names)), tags = writer_of(list, sizeof(list));
	for (size_t len; *further; further += len + (further[len] == ' ')) {
		len = strcspn(further, " ");
		put_str(&v, slice_of(further, len));
	}
	tags_put(&tags, SEND_TAG_QUEUES, slice_of(v.p, v.len));
	assert_false(tags.full);
	INPUT(conn, send, n, n - 1, flags, 0, slice_str(first), slice_of(tags.p, tags.len),
	    batch);
}

/* ---- recovery around records that cannot be read ---- */

#define NUMBERS	  4000 /* messages of one run */
#define QUEUES	  64   /* numbers of queues */
#define SEQS	  2048
#define COPIES	  3 /* of a message, in as many queues */
#define GAP_SEEDS 40

/* What became of a message in one of the queues that it was sent to, by the log. */
struct fate {
	uint64_t sent_in;	     /* records: its SEND, */
	uint64_t left_in;	     /* what ended it, 0: nothing; */
	uint64_t body_from, body_to; /* its bytes; */
	uint64_t buried_in;	     /* it is a dead letter since then */
	bool large;
};

static struct {
	struct fate fate[NUMBERS][COPIES];
	uint32_t arrived[NUMBERS]; /* how often it was handed out in the end */
	uint32_t topic[NUMBERS];   /* attributes: what all of its batch have, 0: nothing; */
	bool odd[NUMBERS];	   /* one that some have */
	uint32_t number;	   /* of the newest message */
	struct fate *at[QUEUES][SEQS];
	char name[QUEUES][32];
	uint64_t pieces; /* first record of the large message that is being sent */
	uint64_t bad[2];
	uint64_t told,
	    counted; /* messages that are lost: as it was told, and as queues have it */
	uint32_t random;
	uint64_t n[CONNS];
} g;

static uint32_t draw(uint32_t below)
{
	g.random = g.random * 1664525 + 1013904223;
	return (g.random >> 8) % below;
}

static uint32_t number_in(const uint8_t *body)
{
	char text[6] = {0};
	memcpy(text, body, 5);
	return (uint32_t)strtoul(text, NULL, 10);
}

static bool is_bad(uint64_t index)
{
	return index > 0 && (index == g.bad[0] || index == g.bad[1]);
}

static enum rmq_error around_next(
    void *arg, uint64_t index, uint64_t *found, enum record_kind *kind, struct slice *payload)
{
	enum rmq_error err = memory_log_next(arg, index, found, kind, payload);
	return !err && is_bad(*found) ? RMQ_E_CORRUPT : err;
}

static enum rmq_error around_read(
    void *arg, uint64_t index, enum record_kind *kind, struct slice *payload)
{
	return is_bad(index) ? RMQ_E_CORRUPT : memory_log_read(arg, index, kind, payload);
}

/* An attribute that messages may have or not: it is not known, and only carried. */
#define ODD_TAG 51

static struct slice odd_value(uint32_t number, char text[16])
{
	return slice_of(text, (size_t)snprintf(text, 16, "odd%u", number));
}

static struct slice topic_value(uint32_t number, char text[16])
{
	return slice_of(text, (size_t)snprintf(text, 16, "topic%u", number));
}

/* Attributes for so many messages after the newest one, noted: half of the batches have some. */
static struct slice draw_attributes(uint32_t count, uint8_t bytes[512])
{
	uint8_t values[256];
	struct writer list = writer_of(bytes, 512), each = writer_of(values, sizeof(values));
	char text[16];
	uint32_t topic = draw(2) ? g.number + 1 : 0;
	bool some = draw(4) == 0;
	if (topic > 0)
		tags_put(&list, ATTRIBUTE_REPLY_TOPIC, topic_value(topic, text));
	for (uint32_t i = 0; i < count; i++) {
		uint32_t number = g.number + 1 + i;
		g.topic[number] = topic;
		g.odd[number] = some && draw(2);
		if (g.odd[number]) {
			struct slice value = odd_value(number, text);
			put_u16(&each, (uint16_t)i);
			put_u16(&each, (uint16_t)value.len);
			put_rest(&each, value);
		}
	}
	if (each.len > 0)
		tags_put(&list, ODD_TAG | ATTRIBUTE_EACH, slice_of(each.p, each.len));
	assert_false(list.full || each.full);
	return slice_of(list.p, list.len);
}

/* further: queues that get the same. */
static void send_numbered(const char *queue, const char *further, uint32_t count)
{
	static uint8_t bytes[BATCH_MAX];
	uint8_t list[512];
	struct writer b = writer_of(bytes, sizeof(bytes));
	struct slice attributes = draw_attributes(count, list);
	put_u16(&b, (uint16_t)count);
	put_u16(&b, (uint16_t)attributes.len);
	put_rest(&b, attributes);
	for (uint32_t i = 0; i < count; i++)
		put_u16(&b, (uint16_t)(6 * (i + 1)));
	for (uint32_t i = 0; i < count; i++) {
		char line[16];
		snprintf(line, sizeof(line), "%05u\n", ++g.number);
		put_rest(&b, slice_of(line, 6));
	}
	g.n[1]++;
	if (*further)
		share(1, g.n[1], 0, queue, further, slice_of(b.p, b.len));
	else
		INPUT(1, send, g.n[1], g.n[1] - 1, 0, 0, slice_str(queue), NO_TAGS,
		    slice_of(b.p, b.len));
}

static void send_large_numbered(const char *queue)
{
	char piece[16];
	snprintf(piece, sizeof(piece), "%05u", ++g.number);
	g.n[1]++;
	for (uint32_t i = 0; i < 3; i++)
		INPUT(1, send, g.n[1], g.n[1] - 1,
		    (uint8_t)(SEND_CHUNK | (i < 2 ? SEND_MORE : 0)), i, slice_str(queue),
		    NO_TAGS, slice_of(piece, 5));
}

static const char *const gap_queues[] = {"q", "r", "t"};

/* Something of what was handed out is done with it. */
static void settle_some(uint32_t sub, uint64_t lease, uint64_t first, uint32_t count)
{
	static const uint8_t verbs[] = {VERB_SETTLE, VERB_SETTLE, VERB_SETTLE, VERB_RELEASE,
	    VERB_RELEASE, VERB_DEAD, VERB_TOUCH};
	uint8_t bytes[SETTLE_ENTRY_SIZE];
	struct writer e = writer_of(bytes, sizeof(bytes));
	uint32_t skip = draw(count), some = 1 + draw(count - skip);
	uint8_t verb = verbs[draw(sizeof(verbs))];
	uint8_t flags = verb == VERB_RELEASE && draw(2) ? SETTLE_COUNTED : 0;
	uint64_t ms = verb == VERB_TOUCH ? 20000 : draw(2) * 3000;
	if (draw(4) == 0)
		return;
	settle_entry_put(&e, &(struct settle_entry){lease, first + skip, some});
	g.n[2]++;
	INPUT(2, settle, g.n[2], g.n[2] - 1, verb, flags, ms, 1, slice_str(gap_queues[sub - 1]),
	    slice_str("why"), NO_TAGS, slice_of(bytes, e.len));
}

/* The next frame of the connection; false: none. */
static bool next_frame(uint64_t conn, struct frame *f)
{
	static uint8_t copy[FRAME_PAYLOAD_MAX];
	size_t used;
	assert_int_equal(
	    frame_parse(slice_of(w.out[conn], w.out_len[conn]), f, &used), RMQ_E_OK);
	if (used == 0)
		return false;
	memcpy(copy, f->payload.data, f->payload.len);
	f->payload.data = copy;
	memmove(w.out[conn], w.out[conn] + used, w.out_len[conn] - used);
	w.out_len[conn] -= used;
	return true;
}

static void take_deliveries(void)
{
	struct wire_deliver d;
	struct wire_deliver_part p;
	struct frame f;
	w.out_len[1] = 0;
	while (next_frame(2, &f)) {
		if (f.type == WIRE_TYPE_DELIVER && wire_deliver_decode(f.payload, &d))
			settle_some(d.sub, d.lease, d.first_seq, d.count);
		if (f.type == WIRE_TYPE_DELIVER_PART &&
		    wire_deliver_part_decode(f.payload, &p) && p.part + 1 == p.parts)
			settle_some(p.sub, p.lease, p.seq, 1);
	}
}

static void move_all(void)
{
	uint64_t index;
	begin();
	while (broker_wants_record(w.broker, &index))
		assert_int_equal(broker_move(w.broker, index,
				     slice_of(w.log[index].payload, w.log[index].len)),
		    RMQ_E_OK);
}

/* To some of the three queues. */
static void send_to_some(uint32_t first)
{
	char further[8] = "";
	uint32_t shares = draw(3) ? 1 : 2 + draw(2);
	for (uint32_t i = 1; i < shares; i++) {
		strcat(further, i > 1 ? " " : "");
		strcat(further, gap_queues[(first + i) % 3]);
	}
	send_numbered(gap_queues[first], further, 1 + draw(8));
}

static void one_step(void)
{
	uint32_t queue = draw(3);
	switch (draw(16)) {
	case 0:
		g.n[1]++;
		INPUT(1, queue_purge, g.n[1], g.n[1] - 1, slice_str("t"));
		break;
	case 1:
		g.n[1]++;
		INPUT(1, queue_remove, g.n[1], g.n[1] - 1, REMOVE_FORCE, slice_str("t"));
		break;
	case 2:
		send_large_numbered(gap_queues[queue]);
		break;
	case 3:
	case 4:
		w.lease_ms += draw(15000);
		break;
	case 5:
		INPUT(2, extend, 1);
		break;
	case 6:
		move_all();
		break;
	case 7:
		if (draw(8) == 0)
			broker_checkpoint(w.broker);
		break;
	case 8:
		INPUT(2, credit, draw(3) + 1, 20, 1 << 20, 7);
		break;
	default:
		send_to_some(queue);
	}
	run();
	take_deliveries();
	run();
}

static void begin_gaps(uint32_t seed)
{
	struct space_limits limits = {
#define X(name, value) value,
	    SPACE_LIMITS(X)
#undef X
	};
	limits.small_too_many = 12;
	limits.turn_bytes = seed % 2 ? limits.turn_bytes : 400; /* parts in pieces */
	memset(&g, 0, sizeof(g));
	g.random = seed;
	broker_set_space(w.broker, &limits);
	hello(1, 0, 0);
	hello(2, 0, 0);
	g.n[1] = 1;
	INPUT(1, queue_create, 1, 0, SETTING_MAX_ATTEMPTS, slice_str("q"), 0, 2, 0, 0, 0, 0,
	    slice_str(""), NO_TAGS);
	run();
	for (uint32_t i = 0; i < 2; i++) {
		INPUT(2, subscribe, i + 1, 0, 10000, slice_str(gap_queues[i]), NO_TAGS);
		INPUT(2, credit, i + 1, 10, 1 << 20, 7);
	}
}

/* ---- the log says what became of each message ---- */

static void fate_left(uint32_t queue, uint64_t first, uint64_t end, uint64_t index)
{
	for (uint64_t seq = first; seq < end && seq < SEQS; seq++) {
		struct fate *f = g.at[queue][seq];
		if (f && f->left_in == 0)
			f->left_in = index;
		g.at[queue][seq] = NULL;
	}
}

/* A SEND or a MOVE: the messages are there, in each of these queues where they still are. */
static void read_messages(
    struct event_target to, struct slice tags, struct slice bytes, uint64_t index, bool sent)
{
	struct batch_view batch;
	struct slice further;
	assert_int_equal(batch_parse(bytes, &batch), RMQ_E_OK);
	assert_true(event_further_find(tags, &further));
	struct reader r = reader_of(further);
	for (uint32_t copy = 0;; copy++, to = event_target_get(&r)) {
		assert_true(copy < COPIES && to.first_seq + batch.count <= SEQS);
		for (uint32_t i = 0; i < batch.count; i++) {
			uint32_t number = number_in(batch_body(&batch, i).data);
			struct fate **at = &g.at[to.queue][to.first_seq + i];
			assert_true(number > 0 && number <= g.number);
			if (sent) {
				*at = &g.fate[number][copy];
				(*at)->sent_in = index;
			}
			if (*at)
				(*at)->body_from = (*at)->body_to = index;
		}
		if (reader_left(&r) == 0)
			break;
	}
}

static uint32_t queue_number(struct slice name)
{
	for (uint32_t i = QUEUES - 1; i > 0; i--)
		if (slice_eq(slice_str(g.name[i]), name))
			return i;
	return 0;
}

static void read_dead(const struct event_dead *e, uint64_t index)
{
	struct event_origin o;
	assert_true(event_origin_find(e->tags, &o));
	uint32_t from = queue_number(o.queue);
	for (uint32_t i = 0; i < e->count; i++) {
		struct fate *f = g.at[from][o.seq + i];
		assert_non_null(f);
		g.at[e->queue][e->first_seq + i] = f;
		f->buried_in = index;
		g.at[from][o.seq + i] = NULL;
	}
}

static void read_settled(const struct event_settle *e, uint64_t index)
{
	struct reader r = reader_of(e->entries);
	for (uint32_t i = 0; reader_left(&r) > 0; i++) {
		struct settle_entry entry = settle_entry_get(&r);
		if (i >= e->stale)
			fate_left(e->queue, entry.first, entry.first + entry.count, index);
	}
}

static void read_event(const struct event *e, uint64_t index)
{
#define READ(NAME, name) \
	struct event_##name name; \
	if (e->type == EVENT_TYPE_##NAME && event_##name##_decode(e->body, &name))
	READ(CREATE, create)
	snprintf(g.name[create.queue], sizeof(g.name[0]), "%.*s", (int)create.name.len,
	    (const char *)create.name.data);
	READ(REMOVE, remove)
	{
		g.name[remove.queue][0] = 0;
		fate_left(remove.queue, 0, SEQS, index);
	}
	READ(PURGE, purge) fate_left(purge.queue, 0, purge.below, index);
	READ(SEND, send)
	read_messages((struct event_target){send.queue, send.first_seq}, send.tags, send.batch,
	    index, true);
	READ(MOVE, move)
	read_messages((struct event_target){move.queue, move.first_seq}, move.tags, move.batch,
	    index, false);
	READ(DEAD, dead) read_dead(&dead, index);
	READ(SETTLE, settle) read_settled(&settle, index);
	READ(CHUNK, chunk)
	{
		g.pieces = chunk.part == 0 ? index : g.pieces;
		struct fate *f = &g.fate[number_in(chunk.data.data)][0];
		f->body_from = g.pieces;
		f->body_to = index;
		f->large = true;
	}
	READ(SEND_CHUNKED, send_chunked)
	for (uint32_t i = 1; i <= g.number; i++)
		if (g.fate[i]->large && g.fate[i]->sent_in == 0) {
			g.fate[i]->sent_in = index;
			g.at[send_chunked.queue][send_chunked.seq] = g.fate[i];
		}
#undef READ
}

static void read_log(void)
{
	struct events_header h;
	struct event_iter it;
	struct event e;
	for (uint64_t i = 1; i <= w.last; i++) {
		if (w.log[i].kind != RECORD_EVENTS)
			continue;
		assert_int_equal(
		    events_open(slice_of(w.log[i].payload, w.log[i].len), &h, &it), RMQ_E_OK);
		while (!event_next(&it, &e))
			read_event(&e, i);
	}
}

/* ---- a record is bad ---- */

static void on_gap(void *arg, uint64_t index, struct slice queue, uint64_t first, uint64_t last)
{
	(void)arg;
	assert_true(is_bad(index));
	assert_true(first <= last && queue.len > 0);
	g.told += last - first + 1;
}

static void on_lost_body(
    void *arg, struct slice queue, uint64_t first, uint64_t last, uint64_t messages)
{
	(void)arg;
	assert_true(queue.len > 0 && first <= last && messages <= last - first + 1);
	g.told += messages;
}

/* As rmq-journal verify --quarantine does it.  false: the checkpoint is damaged. */
static bool mend(void)
{
	struct broker_log log = {&journaled, around_read, around_next};
	uint64_t at, index = 0;
	w.broker = new_broker();
	w.base = w.last;
	w.barrier = 0;
	memset(w.deliverable, 0, sizeof(w.deliverable));
	enum rmq_error err = broker_recover_around(
	    w.broker, &log, w.checkpoint, w.last, (struct wall_time){w.wall_ms}, &at);
	if (err) {
		if (!is_bad(at))
			print_message("message 0, records %d %d bad: recovery ends at %d\n",
			    (int)g.bad[0], (int)g.bad[1], (int)at);
		assert_int_equal(err, RMQ_E_CORRUPT);
		assert_true(is_bad(at));
		return false;
	}
	w.lease_ms = broker_lease_time(w.broker).ms;
	begin();
	broker_gaps(w.broker, on_gap, NULL);
	for (; broker_holds_bodies(w.broker, index, &index); index++)
		if (w.log[index].hole || is_bad(index))
			broker_lost(w.broker, index, on_lost_body, NULL);
	broker_checkpoint(w.broker);
	run();
	assert_int_equal(broker_digest(w.broker), recovered_digest());
	for (size_t i = 0; i < 2; i++)
		w.log[g.bad[i]].hole = true;
	return true;
}

static void arrives(uint32_t number)
{
	assert_true(number > 0 && number <= g.number);
	g.arrived[number]++;
}

/* With the attributes that they were sent with. */
static void all_arrive(const struct wire_deliver *d)
{
	struct slice list = NO_TAGS, value;
	char text[16];
	tags_find(d->tags, DELIVER_TAG_ATTRIBUTES, &list);
	assert_int_equal(attributes_check(list, d->count), RMQ_E_OK);
	for (uint32_t i = 0; i < d->count; i++) {
		uint32_t number =
		    number_in(d->data.data + 2 * (size_t)d->count + 6 * (size_t)i);
		arrives(number);
		bool has = attributes_find(list, ATTRIBUTE_REPLY_TOPIC, i, &value);
		assert_int_equal(has, g.topic[number] > 0);
		assert_true(!has || slice_eq(value, topic_value(g.topic[number], text)));
		has = attributes_find(list, ODD_TAG, i, &value);
		assert_int_equal(has, g.odd[number]);
		assert_true(!has || slice_eq(value, odd_value(number, text)));
	}
}

/* Everything that there is, from all queues. */
static void drain_all(void)
{
	struct wire_deliver d;
	struct wire_deliver_part p;
	struct wire_listed row;
	struct frame f;
	uint32_t sub = 0;
	/* Leases end, and then back-offs. */
	for (int i = 0; i < 2; i++) {
		w.lease_ms += 3600000;
		run();
	}
	hello(3, 0, 0);
	INPUT(3, list, 1, 100, slice_str(""), slice_str("*"));
	run();
	while (next_frame(3, &f)) {
		if (f.type != WIRE_TYPE_LISTED || !wire_listed_decode(f.payload, &row))
			continue;
		g.counted += tags_find_u64(row.tags, LISTED_TAG_LOST);
		INPUT(3, subscribe, ++sub, 0, 10000, row.queue, NO_TAGS);
		INPUT(3, credit, sub, 10000, 1 << 26, 7);
	}
	run();
	while (next_frame(3, &f)) {
		if (f.type == WIRE_TYPE_DELIVER && wire_deliver_decode(f.payload, &d))
			all_arrive(&d);
		if (f.type == WIRE_TYPE_DELIVER_PART &&
		    wire_deliver_part_decode(f.payload, &p) && p.part == 0)
			arrives(number_in(p.data.data));
	}
}

/* Index of the first record of the newest checkpoint. */
static uint64_t checkpoint_begin(void)
{
	struct events_header h;
	struct event_iter it;
	struct event e;
	struct event_end_parts parts;
	if (w.checkpoint == 0)
		return 1;
	const struct memory_record *end = &w.log[w.checkpoint];
	assert_int_equal(events_open(slice_of(end->payload, end->len), &h, &it), RMQ_E_OK);
	assert_int_equal(event_next(&it, &e), RMQ_E_OK);
	assert_true(event_end_parts_decode(e.body, &parts));
	return parts.begin;
}

static bool hits(uint64_t from, uint64_t to)
{
	return (g.bad[0] >= from && g.bad[0] <= to) || (g.bad[1] >= from && g.bad[1] <= to);
}

/* How often it may be there, as it is by the log that can be read, and whether it must. */
static uint32_t may_arrive(const struct fate *f, uint64_t log_from, bool *must)
{
	bool sent =
	    f->sent_in > 0 && (!f->large || !is_bad(f->sent_in) || f->sent_in < log_from);
	*must = sent && f->left_in == 0 && !hits(f->body_from, f->body_to);
	if (f->body_from == 0 || (f->left_in > 0 && !is_bad(f->left_in)))
		return 0;
	/* A dead letter that moved since, and is in its old queue as well. */
	return 1 + is_bad(f->buried_in);
}

static void print_fates(uint32_t number)
{
	print_message("message %u, records %d %d bad: %u arrived\n", number, (int)g.bad[0],
	    (int)g.bad[1], g.arrived[number]);
	for (uint32_t k = 0; k < COPIES; k++) {
		const struct fate *f = &g.fate[number][k];
		print_message("\tsent %d, left %d, buried %d, body %d..%d\n", (int)f->sent_in,
		    (int)f->left_in, (int)f->buried_in, (int)f->body_from, (int)f->body_to);
	}
}

static void check_fates(uint64_t log_from)
{
	uint64_t lost_at_most = 0;
	for (uint32_t i = 1; i <= g.number; i++) {
		uint32_t most = 0, least = 0;
		for (uint32_t k = 0; k < COPIES; k++) {
			const struct fate *f = &g.fate[i][k];
			bool must, hit;
			uint32_t may = may_arrive(f, log_from, &must);
			most += may;
			least += must;
			/* Its number as a dead letter is gone, too, when it is in its old queue again. */
			hit = hits(f->body_from, f->body_to) || is_bad(f->sent_in) ||
			      is_bad(f->buried_in);
			lost_at_most += hit ? may : 0;
		}
		if (g.arrived[i] > most || g.arrived[i] < least)
			print_fates(i);
		assert_in_range(g.arrived[i], least, most);
	}
	assert_int_equal(g.told, g.counted);
	assert_true(g.told <= lost_at_most);
}

/* Whether a record that is bad is one of the checkpoint that recovery begins with. */
static bool checkpoint_hit(uint64_t log_from)
{
	for (size_t i = 0; i < 2; i++)
		if (g.bad[i] == w.checkpoint ||
		    (g.bad[i] >= log_from && g.bad[i] < w.checkpoint &&
			w.log[g.bad[i]].kind == RECORD_PART))
			return g.bad[i] > 0;
	return false;
}

/* What is left of `saved` when these records are bad. */
static void try_without(const struct world *saved, uint64_t one, uint64_t other)
{
	memcpy(&w, saved, sizeof(w));
	g.bad[0] = one;
	g.bad[1] = other;
	g.told = g.counted = 0;
	memset(g.arrived, 0, sizeof(g.arrived));
	uint64_t log_from = checkpoint_begin();
	bool hit = checkpoint_hit(log_from);
	assert_int_equal(mend(), !hit);
	if (!hit) {
		restart();
		drain_all();
		check_fates(log_from);
	}
	broker_free(w.broker);
	for (uint64_t i = saved->appended + 1; i <= w.appended; i++)
		free(w.log[i].payload);
	memcpy(&w, saved, sizeof(w));
}

static void bad_records_cost_what_was_in_them_and_nothing_else(void **state)
{
	static struct world saved;
	(void)state;
	for (uint32_t seed = 1; seed <= GAP_SEEDS; seed++) {
		if (seed > 1) {
			teardown(NULL);
			setup(NULL);
		}
		begin_gaps(seed);
		for (int i = 0; i < 60; i++)
			one_step();
		read_log();
		memcpy(&saved, &w, sizeof(w));
		for (uint64_t i = 1; i <= saved.last; i++) {
			if (saved.log[i].hole)
				continue;
			try_without(&saved, i, 0);
			if (i < saved.last && !saved.log[i + 1].hole)
				try_without(&saved, i, i + 1);
			uint64_t far = i + draw(20);
			if (far <= saved.last && !saved.log[far].hole)
				try_without(&saved, i, far);
		}
	}
}

static void over_a_gap_no_session_goes_on_and_no_lease_number_comes_again(void **state)
{
	(void)state;
	w.wall_ms = 1800000000000;
	uint64_t session = hello(1, 0, 0);
	memset(&g, 0, sizeof(g));
	for (uint64_t n = 1; n <= 3; n++) {
		send_lines(1, n, "q", 4);
		run();
		g.bad[0] = n == 2 ? newest_events() : g.bad[0];
	}
	w.out_len[1] = 0;
	subscribe(1, "q", 1);
	EXPECT(1, DELIVER, deliver, before);
	g.bad[1] = newest_events();
	struct broker *killed = w.broker;
	assert_true(mend());
	broker_free(killed);
	assert_int_equal(g.told, 4);
	restart();
	/* Its second command was answered, and what it sent is gone. */
	come(1, "", OWNER_UNKNOWN, session, 1);
	expect_session_unknown(1);
	hello(2, 0, 0);
	subscribe(2, "q", 20);
	EXPECT(2, DELIVER, deliver, first);
	assert_int_equal(first.first_seq, 1);
	assert_int_equal(first.count, 4);
	assert_true(first.lease > before.lease + (1 << 20));
	EXPECT(2, DELIVER, deliver, second);
	assert_int_equal(second.first_seq, 9);
	assert_int_equal(second.count, 4);
}

static void moving_small_records_comes_to_an_end(void **state)
{
	char line[2000];
	uint64_t index, moved = 0;
	(void)state;
	hello(1, 0, 0);
	memset(line, 'x', sizeof(line));
	for (uint64_t n = 1; n <= 40; n++) {
		uint8_t batch[4096];
		struct writer b = writer_of(batch, sizeof(batch));
		put_u16(&b, 1);
		put_u16(&b, 0);
		put_u16(&b, sizeof(line));
		put_rest(&b, slice_of(line, sizeof(line)));
		INPUT(1, send, n, n - 1, 0, 0, slice_str("q"), NO_TAGS, slice_of(batch, b.len));
		run();
		expect(1, WIRE_TYPE_SENT);
	}
	for (int turn = 0; turn < 100; turn++) {
		begin();
		while (broker_wants_record(w.broker, &index)) {
			struct slice payload = slice_of(w.log[index].payload, w.log[index].len);
			assert_int_equal(broker_move(w.broker, index, payload), RMQ_E_OK);
			moved++;
		}
		run();
	}
	assert_in_range(moved, 30, 50);
}

static void numbers_of_leases_are_not_used_again_after_a_restart(void **state)
{
	(void)state;
	sent_and_subscribed(1, 1);
	EXPECT(1, DELIVER, deliver, d);
	settle(1, 2, VERB_RELEASE, 0, 0, d.lease, 1, 1);
	broker_checkpoint(w.broker);
	run();
	restart();
	hello(1, 0, 0);
	subscribe(1, "q", 1);
	EXPECT(1, DELIVER, deliver, again);
	assert_true(again.lease > d.lease);
}

/* A record as restore makes it, at this time. */
static void restored_at(uint64_t wall_ms)
{
	uint8_t payload[8];
	store_u64(payload, wall_ms);
	on_append(
	    NULL, w.appended - w.base + 1, RECORD_RESTORED, slice_of(payload, sizeof(payload)));
	w.last = w.appended;
	restart();
}

/* The lease number of the next hand-out. */
static uint64_t next_lease(void)
{
	hello(1, 0, 0);
	subscribe(1, "q", 1);
	EXPECT(1, DELIVER, deliver, d);
	settle(1, 1, VERB_RELEASE, 0, 0, d.lease, d.first_seq, 1);
	run();
	w.out_len[1] = 0;
	return d.lease;
}

static void after_each_restore_numbers_are_new_though_the_clock_was_wrong(void **state)
{
	const uint64_t right = (JOURNAL_EPOCH_S + 1000) * 1000ull, ahead = right + 900000000;
	(void)state;
	sent_and_subscribed(1, 1);
	EXPECT(1, DELIVER, deliver, d);
	settle(1, 2, VERB_RELEASE, 0, 0, d.lease, 1, 1);
	run();
	restored_at(ahead);
	uint64_t first = next_lease(), start = w.broker->start;
	assert_true(first > d.lease + (1u << 20));
	broker_checkpoint(w.broker);
	run();
	/* What was handed out after this is not in the backup: no more than there was time. */
	restored_at(right);
	uint64_t second = next_lease();
	assert_true(second >= first + (1000u << 20));
	assert_true(w.broker->start >= start + 1000);
	restart();
	assert_in_range(next_lease(), second + 1, second + 100);
}

static void expect_failed(uint64_t conn, enum rmq_error code, const char *text)
{
	run();
	EXPECT(conn, FAILED, failed, m);
	assert_int_equal(m.code, code);
	assert_true(slice_eq(m.text, slice_str(text)));
}

/* Sends "a" to "q" with this attribute. */
static void send_with(uint64_t n, uint16_t tag, struct slice value)
{
	uint8_t bytes[64];
	struct writer batch = writer_of(bytes, sizeof(bytes));
	put_u16(&batch, 1);
	put_u16(&batch, (uint16_t)(4 + value.len));
	tags_put(&batch, tag, value);
	put_u16(&batch, 2);
	put_rest(&batch, slice_str("a\n"));
	INPUT(1, send, n, n - 1, 0, 0, slice_str("q"), NO_TAGS, slice_of(bytes, batch.len));
}

static void send_delayed(uint64_t n, uint64_t until_ms)
{
	uint8_t value[8];
	store_u64(value, until_ms);
	send_with(n, ATTRIBUTE_DELAY_UNTIL, slice_of(value, sizeof(value)));
}

static void a_delayed_message_is_handed_out_at_its_time_by_the_wall_clock(void **state)
{
	(void)state;
	uint64_t due = w.wall_ms + 31;
	hello(1, 0, 0);
	send_delayed(1, due);
	run();
	expect(1, WIRE_TYPE_SENT);
	subscribe(1, "q", 10);
	assert_int_equal(broker_due_ms(w.broker), 31);
	broker_checkpoint(w.broker);
	run();
	restart();
	hello(1, 0, 0);
	subscribe(1, "q", 10);
	INPUT(1, peek, 1, STATE_DELAYED, 0, 10, slice_str("q"));
	run();
	EXPECT(1, PEEKED, peeked, p);
	assert_int_equal(p.until_ms, due);
	expect(1, WIRE_TYPE_PEEK_END);
	w.lease_ms += 100000;
	w.wall_ms = due - 1;
	run();
	expect_nothing(1);
	w.wall_ms = due;
	run();
	EXPECT(1, DELIVER, deliver, d);
	assert_int_equal(d.first_seq, 1);
	assert_int_equal(d.attempt, 1);
}

static void a_delay_that_is_past_is_none_and_one_of_more_than_ten_years_is_refused(void **state)
{
	(void)state;
	hello(1, 0, 0);
	send_delayed(1, w.wall_ms + DELAY_MS_MAX + 1001);
	expect_failed(
	    1, RMQ_E_USAGE, "its delay is too long: a message may wait for at most 3650 days");
	send_delayed(1, w.wall_ms);
	run();
	expect(1, WIRE_TYPE_SENT);
	subscribe(1, "q", 10);
	expect(1, WIRE_TYPE_DELIVER);
}

static void a_clock_that_is_set_forward_is_noticed_and_one_set_back_is_waited_for(void **state)
{
	(void)state;
	hello(1, 0, 0);
	send_delayed(1, w.wall_ms + 3600000);
	run();
	expect(1, WIRE_TYPE_SENT);
	subscribe(1, "q", 10);
	assert_int_equal(broker_due_ms(w.broker), WALL_LOOK_MS);
	w.wall_ms -= 800000;
	run();
	expect_nothing(1);
	w.wall_ms += 7200000;
	run();
	expect(1, WIRE_TYPE_DELIVER);
}

static uint32_t ranges_of(const struct queue *q)
{
	uint32_t ranges = 0;
	struct range *r;
	RB_FOREACH (r, range_tree, (struct range_tree *)(uintptr_t)&q->ranges)
		ranges++;
	return ranges;
}

static void a_lease_stays_one_range_in_whatever_order_it_is_settled(void **state)
{
	(void)state;
	hello(1, 0, 0);
	sent_lines(1, 1, "q", 100);
	subscribe(1, "q", 100);
	EXPECT(1, DELIVER, deliver, d);
	assert_int_equal(d.count, 100);
	const struct queue *q = broker_queue_named(w.broker, slice_str("q"));
	uint64_t n = 1;
	/* 37 and 100 have no common factor: each once. */
	for (uint32_t i = 0; i < 97; i++) {
		settle(1, ++n, VERB_SETTLE, 0, 0, d.lease, 1 + i * 37 % 100, 1);
		run();
		expect(1, WIRE_TYPE_DONE);
		assert_int_equal(ranges_of(q), 1);
	}
	assert_int_equal(q->live[STATE_LEASED], 3);
	assert_int_equal(recovered_digest(), broker_digest(w.broker));
	broker_checkpoint(w.broker);
	run();
	assert_int_equal(recovered_digest(), broker_digest(w.broker));
	settle(1, ++n, VERB_SETTLE, 0, 0, d.lease, 1, 100);
	run();
	EXPECT(1, DONE, done, all);
	assert_int_equal(all.stale.len, 0);
	assert_int_equal(ranges_of(q), 0);
	assert_true(RB_EMPTY(&q->batches));
}

static void messages_that_are_due_together_are_one_range_and_one_event(void **state)
{
	(void)state;
	hello(1, 0, 0);
	for (uint64_t n = 1; n <= 1000; n++) {
		send_delayed(n, w.wall_ms + 9000 + n);
		run();
		expect(1, WIRE_TYPE_SENT);
	}
	const struct queue *q = broker_queue_named(w.broker, slice_str("q"));
	assert_in_range(ranges_of(q), 1, 11);
	uint64_t appended = w.appended;
	w.wall_ms += 10000;
	run();
	assert_int_equal(w.appended, appended + 1);
	assert_int_equal(q->live[STATE_READY], 1000);
	assert_null(RB_NEXT(range_tree, NULL, RB_ROOT(&q->ranges)));
}

static void times_are_rounded_up_a_little_and_whole_seconds_stay(void **state)
{
	(void)state;
	assert_int_equal(lanes_bucket(1000, 1000), 1000);
	assert_int_equal(lanes_bucket(1319, 1000), 1319);
	assert_int_equal(lanes_bucket(1321, 1000), 1330);
	assert_int_equal(lanes_bucket(5001, 1000), 5100);
	assert_int_equal(lanes_bucket(100000, 1000), 100000);
	assert_int_equal(lanes_bucket(100001, 1000), 101000);
	assert_int_equal(lanes_bucket(UINT64_MAX, 1000), UINT64_MAX);
}

static void higher_priorities_are_handed_out_first(void **state)
{
	static const uint8_t priorities[] = {0, 9, 5, 9, 3}, order[] = {9, 9, 5, 4, 3, 0};
	static const uint64_t seqs[] = {2, 4, 3, 6, 5, 1};
	(void)state;
	hello(1, 0, 0);
	for (uint64_t i = 0; i < 5; i++) {
		send_with(i + 1, ATTRIBUTE_PRIORITY, slice_of(&priorities[i], 1));
		run();
		expect(1, WIRE_TYPE_SENT);
	}
	sent_lines(1, 6, "q", 1);
	broker_checkpoint(w.broker);
	run();
	restart();
	hello(1, 0, 0);
	subscribe(1, "q", 10);
	for (size_t i = 0; i < 6; i++) {
		struct slice attributes, priority;
		EXPECT(1, DELIVER, deliver, d);
		assert_int_equal(d.first_seq, seqs[i]);
		bool has = tags_find(d.tags, DELIVER_TAG_ATTRIBUTES, &attributes) &&
			   attributes_find(attributes, ATTRIBUTE_PRIORITY, 0, &priority);
		assert_int_equal(has ? priority.data[0] : PRIORITY_DEFAULT, order[i]);
	}
	expect_nothing(1);
}

/* Messages 0 and 2 of three have priority 9, message 1 a delay: their numbers are in order. */
static void a_batch_of_mixed_attributes_keeps_its_numbers(void **state)
{
	uint8_t bytes[128], delay[16], priority[16], until[8];
	struct writer batch = writer_of(bytes, sizeof(bytes));
	struct writer d = writer_of(delay, sizeof(delay)),
		      p = writer_of(priority, sizeof(priority));
	(void)state;
	store_u64(until, w.wall_ms + 10);
	tags_put(&d, 1, slice_of(until, 8));
	tags_put(&p, 0, slice_of("\x9", 1));
	tags_put(&p, 2, slice_of("\x9", 1));
	hello(1, 0, 0);
	put_u16(&batch, 3);
	put_u16(&batch, (uint16_t)(8 + d.len + p.len));
	tags_put(&batch, ATTRIBUTE_DELAY_UNTIL | ATTRIBUTE_EACH, slice_of(delay, d.len));
	tags_put(&batch, ATTRIBUTE_PRIORITY | ATTRIBUTE_EACH, slice_of(priority, p.len));
	for (uint16_t i = 1; i <= 3; i++)
		put_u16(&batch, (uint16_t)(2 * i));
	put_rest(&batch, slice_str("a\nb\nc\n"));
	INPUT(1, send, 1, 0, 0, 0, slice_str("q"), NO_TAGS, slice_of(bytes, batch.len));
	run();
	EXPECT(1, SENT, sent, m);
	assert_int_equal(m.count, 3);
	subscribe(1, "q", 10);
	EXPECT(1, DELIVER, deliver, first);
	EXPECT(1, DELIVER, deliver, third);
	assert_int_equal(first.first_seq, 1);
	assert_int_equal(third.first_seq, 3);
	expect_nothing(1);
	w.wall_ms += 10;
	run();
	EXPECT(1, DELIVER, deliver, second);
	assert_int_equal(second.first_seq, 2);
}

/* Each second one has a priority: a range each, in each of nine queues. */
static void a_batch_that_makes_too_many_ranges_says_how_many_messages_may_be_sent(void **state)
{
	static uint8_t bytes[BATCH_MAX], priority[5 * BATCH_MESSAGES_MAX];
	uint8_t names[64], list[80];
	uint32_t count[] = {BATCH_MESSAGES_MAX, SEND_RANGES_MAX / 9};
	struct writer q = writer_of(names, sizeof(names)), tags = writer_of(list, sizeof(list));
	(void)state;
	hello(1, 0, 0);
	for (char name[] = "q1"; name[1] < '9'; name[1]++)
		put_str(&q, slice_str(name));
	tags_put(&tags, SEND_TAG_QUEUES, slice_of(q.p, q.len));
	for (int i = 0; i < 2; i++) {
		struct writer batch = writer_of(bytes, sizeof(bytes));
		struct writer p = writer_of(priority, sizeof(priority));
		for (uint32_t at = 0; at < count[i]; at += 2) {
			put_u16(&p, (uint16_t)at);
			put_u16(&p, 1);
			put_u8(&p, 9);
		}
		put_u16(&batch, (uint16_t)count[i]);
		put_u16(&batch, (uint16_t)(4 + p.len));
		tags_put(
		    &batch, ATTRIBUTE_PRIORITY | ATTRIBUTE_EACH, slice_of(priority, p.len));
		for (uint32_t at = 1; at <= count[i]; at++)
			put_u16(&batch, (uint16_t)at);
		for (uint32_t at = 0; at < count[i]; at++)
			put_u8(&batch, '\n');
		uint64_t work = broker_work(w.broker);
		INPUT(1, send, 1, 0, 0, 0, slice_str("q"), slice_of(list, tags.len),
		    slice_of(bytes, batch.len));
		run();
		assert_true(broker_work(w.broker) - work <= SEND_RANGES_MAX + 20);
		if (i > 0)
			break;
		EXPECT(1, FAILED, failed, failed);
		assert_int_equal(failed.code, RMQ_E_LIMIT);
		assert_int_equal(failed.at, count[1]);
	}
	EXPECT(1, SENT, sent, m);
	assert_int_equal(m.count, count[1]);
	assert_int_equal(queue_total(broker_queue_named(w.broker, slice_str("q8"))), count[1]);
}

static void priorities_that_alternate_share_a_range(void **state)
{
	uint64_t count = 2 * MIXED_SPAN_MAX, held[20], leases[20];
	(void)state;
	hello(1, 0, 0);
	for (uint64_t i = 0; i < count; i++) {
		uint8_t priority = (uint8_t)(i % 10);
		send_with(i + 1, ATTRIBUTE_PRIORITY, slice_of(&priority, 1));
		run();
		expect(1, WIRE_TYPE_SENT);
	}
	const struct queue *q = broker_queue_named(w.broker, slice_str("q"));
	assert_int_equal(ranges_of(q), 2);
	broker_checkpoint(w.broker);
	run();
	assert_int_equal(recovered_digest(), broker_digest(w.broker));
	/* The oldest of the highest first. */
	subscribe(1, "q", 20);
	for (uint64_t i = 0; i < 20; i++) {
		EXPECT(1, DELIVER, deliver, d);
		held[i] = d.first_seq;
		leases[i] = d.lease;
		assert_int_equal(d.count, 1);
		assert_int_equal(d.first_seq, 10 * (i + 1));
	}
	broker_checkpoint(w.broker);
	run();
	assert_int_equal(recovered_digest(), broker_digest(w.broker));
	/* What is settled, or given back, leaves the ranges as they were. */
	for (uint64_t i = 0; i < 20; i++) {
		settle(1, count + i + 1, i % 2 ? VERB_SETTLE : VERB_RELEASE, 0, 0, leases[i],
		    held[i], 1);
		run();
		expect(1, WIRE_TYPE_DONE);
	}
	assert_int_equal(q->live[STATE_READY], count - 10);
	assert_in_range(ranges_of(q), 2, 4);
	broker_checkpoint(w.broker);
	run();
	assert_int_equal(recovered_digest(), broker_digest(w.broker));
}

/* Where a delay ends, or what it is about goes, priorities make no difference. */
static void priorities_that_alternate_wake_and_expire_as_one_range(void **state)
{
	const uint8_t *mix[3];
	uint8_t until[8];
	uint64_t count = 3 * MIXED_SPAN_MAX;
	(void)state;
	hello(1, 0, 0);
	store_u64(until, w.wall_ms + 1000);
	for (uint64_t i = 0; i < count; i++) {
		uint8_t list[64], bytes[128], priority = (uint8_t)(i % 2);
		struct writer tags = writer_of(list, sizeof(list));
		struct writer batch = writer_of(bytes, sizeof(bytes));
		tags_put(&tags, ATTRIBUTE_DELAY_UNTIL, slice_of(until, sizeof(until)));
		tags_put(&tags, ATTRIBUTE_PRIORITY, slice_of(&priority, 1));
		put_u16(&batch, 1);
		put_u16(&batch, (uint16_t)tags.len);
		put_rest(&batch, slice_of(list, tags.len));
		put_u16(&batch, 2);
		put_rest(&batch, slice_str("a\n"));
		INPUT(1, send, i + 1, i, 0, 0, slice_str("q"), NO_TAGS,
		    slice_of(bytes, batch.len));
		run();
		expect(1, WIRE_TYPE_SENT);
	}
	struct queue *q = broker_queue_named(w.broker, slice_str("q"));
	assert_int_equal(ranges_of(q), 3);
	for (size_t i = 0; i < 3; i++)
		mix[i] = queue_range_at(q, 1 + i * MIXED_SPAN_MAX)->mix;
	w.wall_ms += 1000;
	begin();
	run();
	assert_int_equal(q->live[STATE_READY], count);
	assert_int_equal(ranges_of(q), 3);
	/* They are as they were, and not made anew of pieces. */
	for (size_t i = 0; i < 3; i++)
		assert_ptr_equal(queue_range_at(q, 1 + i * MIXED_SPAN_MAX)->mix, mix[i]);
	/* All but the first and the last go. */
	expiry_add(q, 2, count - 2, (uint32_t)count - 2, w.wall_ms + 500, true);
	w.wall_ms += 500;
	begin();
	run();
	assert_int_equal(q->counts.dropped[DROPPED_EXPIRED], count - 2);
	assert_int_equal(q->live[STATE_READY], 2);
	assert_in_range(ranges_of(q), 1, 2);
}

static void a_dead_letter_keeps_its_priority(void **state)
{
	(void)state;
	hello(1, 0, 0);
	sent_lines(1, 1, "q", 1);
	send_with(2, ATTRIBUTE_PRIORITY, slice_of("\x9", 1));
	run();
	expect(1, WIRE_TYPE_SENT);
	subscribe(1, "q", 2);
	EXPECT(1, DELIVER, deliver, urgent);
	EXPECT(1, DELIVER, deliver, plain);
	settle(1, 3, VERB_DEAD, 0, 0, plain.lease, plain.first_seq, 1);
	settle(1, 4, VERB_DEAD, 0, 0, urgent.lease, urgent.first_seq, 1);
	run();
	broker_checkpoint(w.broker);
	run();
	restart();
	hello(1, 0, 0);
	subscribe(1, "q.dead", 1);
	EXPECT(1, DELIVER, deliver, d);
	assert_int_equal(d.first_seq, 2);
}

static void send_expiring(uint64_t n, uint64_t at_ms)
{
	uint8_t value[8];
	store_u64(value, at_ms);
	send_with(n, ATTRIBUTE_EXPIRE_AT, slice_of(value, sizeof(value)));
	run();
	expect(1, WIRE_TYPE_SENT);
}

static uint64_t left_in(const char *queue)
{
	return queue_total(broker_queue_named(w.broker, slice_str(queue)));
}

static void what_has_expired_is_not_handed_out_and_leaves_its_queue(void **state)
{
	(void)state;
	uint64_t at = w.wall_ms + 50;
	hello(1, 0, 0);
	send_expiring(1, at);
	send_expiring(2, at + 1);
	sent_lines(1, 3, "q", 1);
	broker_checkpoint(w.broker);
	run();
	restart();
	hello(1, 0, 0);
	assert_int_equal(left_in("q"), 3);
	assert_int_equal(broker_due_ms(w.broker), 50);
	w.wall_ms = at;
	subscribe(1, "q", 10);
	EXPECT(1, DELIVER, deliver, second);
	assert_int_equal(second.first_seq, 2);
	EXPECT(1, DELIVER, deliver, third);
	assert_int_equal(third.first_seq, 3);
	w.wall_ms = at + 1000;
	settle(1, 1, VERB_RELEASE, 0, 0, second.lease, 2, 1);
	run();
	expect(1, WIRE_TYPE_DONE);
	assert_int_equal(left_in("q"), 1);
	assert_int_equal(recovered_digest(), broker_digest(w.broker));
}

static void create_queue(uint64_t n, const char *name, uint32_t max_message)
{
	INPUT(1, queue_create, n, n - 1, max_message ? SETTING_MAX_MESSAGE : 0, slice_str(name),
	    0, 0, 0, 0, 0, max_message, slice_str(""), NO_TAGS);
	run();
	expect(1, WIRE_TYPE_DONE);
}

static void what_is_moved_expires_as_it_was_sent(void **state)
{
	(void)state;
	uint64_t at = w.wall_ms + 50;
	hello(1, 0, 0);
	send_expiring(1, at);
	send_expiring(2, at + 100);
	sent_lines(1, 3, "q", 1);
	create_queue(4, "other", 0);
	broker_checkpoint(w.broker);
	run();
	restart();
	hello(1, 0, 0);
	transfer(0, 0, "q", "other", 1, 9);
	transferred(RMQ_E_OK, 3, 0);
	assert_int_equal(recovered_digest(), broker_digest(w.broker));
	broker_checkpoint(w.broker);
	run();
	restart();
	hello(1, 0, 0);
	/* And back. */
	transfer(0, 0, "other", "q", 1, 9);
	transferred(RMQ_E_OK, 3, 0);
	w.wall_ms = at;
	run();
	assert_int_equal(left_in("q"), 2);
	w.wall_ms = at + 100000;
	run();
	assert_int_equal(left_in("q"), 1);
}

static void what_expires_by_its_queue_does_so_by_the_one_it_is_moved_to(void **state)
{
	(void)state;
	hello(1, 0, 0);
	sent_lines(1, 1, "q", 1);
	broker_queue_named(w.broker, slice_str("q"))->settings.more.expire_ms = 700;
	sent_lines(1, 2, "q", 1);
	create_queue(3, "other", 0);
	transfer(0, 0, "q", "other", 1, 9);
	transferred(RMQ_E_OK, 2, 0);
	w.wall_ms += 5000;
	run();
	assert_int_equal(left_in("other"), 2);
	transfer(0, 0, "other", "q", 1, 9);
	transferred(RMQ_E_OK, 2, 0);
	w.wall_ms += 699;
	run();
	assert_int_equal(left_in("q"), 2);
	w.wall_ms += 1;
	run();
	assert_int_equal(left_in("q"), 0);
}

static void a_dead_letter_that_is_back_does_not_expire_as_it_was_sent(void **state)
{
	(void)state;
	hello(1, 0, 0);
	send_expiring(1, w.wall_ms + 50);
	bury_one(2);
	w.wall_ms += 5000;
	run();
	transfer(TRANSFER_HOME, 2, "q.dead", "", 1, 9);
	transferred(RMQ_E_OK, 1, 0);
	run();
	assert_int_equal(left_in("q"), 1);
}

static void what_is_too_large_for_the_queue_that_it_is_moved_to_stays(void **state)
{
	(void)state;
	hello(1, 0, 0);
	send_large(1, 1, 2);
	run();
	w.out_len[1] = 0;
	sent_lines(1, 2, "q", 1);
	create_queue(3, "small", 2 * CHUNK_MAX - 1);
	create_queue(4, "fits", 2 * CHUNK_MAX);
	transfer(0, 0, "q", "small", 1, 9);
	transferred(RMQ_E_OK, 1, 1);
	assert_int_equal(left_in("q"), 1);
	transfer(0, 0, "q", "fits", 1, 9);
	transferred(RMQ_E_OK, 1, 0);
}

/* Its holder may settle it still. */
static void what_expires_while_it_is_held_stays_with_its_holder(void **state)
{
	(void)state;
	hello(1, 0, 0);
	send_expiring(1, w.wall_ms + 50);
	subscribe(1, "q", 10);
	EXPECT(1, DELIVER, deliver, d);
	w.wall_ms += 5000;
	run();
	expect_nothing(1);
	settle(1, 2, VERB_SETTLE, 0, 0, d.lease, 1, 1);
	run();
	EXPECT(1, DONE, done, m);
	assert_int_equal(m.stale.len, 0);
	assert_int_equal(broker_due_ms(w.broker), UINT64_MAX);
}

static void a_queue_says_when_its_messages_expire_and_its_dead_queue_for_dead_letters(
    void **state)
{
	(void)state;
	sent_and_subscribed(2, 1);
	EXPECT(1, DELIVER, deliver, d);
	settle(1, 2, VERB_DEAD, 0, 0, d.lease, 1, 1);
	run();
	struct queue *q = broker_queue_named(w.broker, slice_str("q"));
	struct queue *dead = broker_queue_named(w.broker, slice_str("q.dead"));
	q->settings.more.expire_ms = 700;
	dead->settings.more.expire_ms = 900;
	expect(1, WIRE_TYPE_DONE);
	sent_lines(1, 3, "q", 2);
	w.wall_ms += 699;
	run();
	assert_int_equal(left_in("q"), 3);
	w.wall_ms += 1;
	run();
	/* What was there before the setting stays. */
	assert_int_equal(left_in("q"), 1);
	assert_int_equal(left_in("q.dead"), 1);
}

static void cancel(uint64_t n, uint64_t a, uint64_t b)
{
	uint8_t bytes[16];
	store_u64(bytes, a);
	store_u64(bytes + 8, b);
	INPUT(1, cancel, n, n - 1, slice_str("q"), NO_TAGS, slice_of(bytes, b ? 16 : 8));
	run();
}

static void a_cancelled_message_is_gone_and_its_holder_is_told(void **state)
{
	(void)state;
	sent_and_subscribed(3, 1);
	EXPECT(1, DELIVER, deliver, d);
	assert_int_equal(d.first_seq, 1);
	cancel(2, 1, 3);
	EXPECT(1, LEASE_ENDED, lease_ended, ended);
	assert_int_equal(ended.why, ENDED_GONE);
	assert_int_equal(ended.first_seq, 1);
	EXPECT(1, DONE, done, all);
	assert_int_equal(all.stale.len, 0);
	assert_int_equal(left_in("q"), 1);
	cancel(3, 3, 9);
	EXPECT(1, DONE, done, none);
	assert_int_equal(none.stale.len, 2 * SETTLE_ENTRY_SIZE);
	/* The same answer again, also after a restart. */
	cancel(3, 3, 9);
	EXPECT(1, DONE, done, again);
	assert_int_equal(again.stale.len, 2 * SETTLE_ENTRY_SIZE);
	settle(1, 4, VERB_SETTLE, 0, 0, d.lease, 1, 1);
	run();
	EXPECT(1, DONE, done, late);
	assert_int_equal(late.stale.len, SETTLE_ENTRY_SIZE);
	assert_int_equal(recovered_digest(), broker_digest(w.broker));
	cancel(5, 3, 3);
	EXPECT(1, ERROR, error, e);
	assert_int_equal(e.code, RMQ_E_PROTOCOL);
}

static void send_keyed(uint64_t n, const char *key, uint8_t flags)
{
	uint8_t bytes[64];
	struct writer batch = writer_of(bytes, sizeof(bytes));
	put_u16(&batch, 1);
	put_u16(&batch, (uint16_t)(4 + strlen(key)));
	tags_put(&batch, ATTRIBUTE_KEY, slice_str(key));
	put_u16(&batch, 2);
	put_rest(&batch, slice_str("a\n"));
	INPUT(1, send, n, n - 1, flags, 0, slice_str("q"), NO_TAGS, slice_of(bytes, batch.len));
	run();
	expect(1, WIRE_TYPE_SENT);
}

static void expect_delivered(uint64_t seq, uint64_t *lease)
{
	EXPECT(1, DELIVER, deliver, d);
	assert_int_equal(d.first_seq, seq);
	assert_int_equal(d.count, 1);
	*lease = d.lease;
}

static void one_message_of_a_key_is_leased_at_a_time_and_in_order(void **state)
{
	uint64_t a, b, lease;
	(void)state;
	hello(1, 0, 0);
	send_keyed(1, "a", 0);
	send_keyed(2, "a", 0);
	send_keyed(3, "b", 0);
	sent_lines(1, 4, "q", 1);
	send_keyed(5, "a", 0);
	broker_checkpoint(w.broker);
	run();
	restart();
	hello(1, 0, 0);
	subscribe(1, "q", 100);
	expect_delivered(1, &a);
	expect_delivered(3, &b);
	expect_delivered(4, &lease);
	expect_nothing(1);
	/* One in back-off holds the rest. */
	settle(1, 1, VERB_RELEASE, SETTLE_COUNTED, 0, a, 1, 1);
	run();
	expect(1, WIRE_TYPE_DONE);
	expect_nothing(1);
	w.lease_ms += 1000;
	run();
	expect_delivered(1, &a);
	expect_nothing(1);
	settle(1, 2, VERB_SETTLE, 0, 0, a, 1, 1);
	run();
	expect(1, WIRE_TYPE_DONE);
	expect_delivered(2, &a);
	expect_nothing(1);
	settle(1, 3, VERB_DEAD, 0, 0, a, 2, 1);
	run();
	expect(1, WIRE_TYPE_DONE);
	expect_delivered(5, &a);
	assert_int_equal(recovered_digest(), broker_digest(w.broker));
}

static void what_waits_for_its_key_holds_up_no_other_and_nothing_is_left_of_keys(void **state)
{
	uint64_t lease = 0;
	(void)state;
	hello(1, 0, 0);
	subscribe(1, "q", 1000);
	send_keyed(1, "a", 0);
	expect_delivered(1, &lease);
	for (uint64_t n = 2; n <= 200; n++)
		send_keyed(n, "a", 0);
	const struct queue *q = broker_queue_named(w.broker, slice_str("q"));
	send_keyed(201, "b", 0);
	expect_delivered(201, &lease);
	assert_int_equal(q->live[STATE_LEASED], 2);
	INPUT(1, queue_purge, 202, 201, slice_str("q"));
	run();
	assert_null(q->keys);
	assert_null(RB_ROOT(&q->ranges));
}

/* "q" hands out so from now on. */
static void set_dispatch(uint64_t conn, uint64_t n, uint64_t how)
{
	uint8_t bytes[64];
	struct writer tags = writer_of(bytes, sizeof(bytes));
	struct more_settings s = more_settings_default();
	s.dispatch = how;
	more_settings_put(&tags, 2, &s, SETTING_DISPATCH);
	INPUT(conn, queue_set, n, n - 1, SETTING_DISPATCH, slice_str("q"), 0, 0, 0, 0, 0, 0,
	    slice_str(""), slice_of(tags.p, tags.len));
	run();
	expect(conn, WIRE_TYPE_DONE);
}

/* Sends one message of each of so many keys, "k0" and so on. */
static void send_keys(uint64_t n, int count)
{
	char key[8];
	for (int i = 0; i < count; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		send_keyed(n + (uint64_t)i, key, 0);
	}
}

/* What the connection was given of KEYED messages from `first` on, as bits; it settles them. */
#define KEYED 40
static uint64_t taken_of(uint64_t conn, uint64_t *n, uint64_t first)
{
	uint64_t bits = 0, before = *n;
	while (w.out_len[conn] > 0) {
		EXPECT(conn, DELIVER, deliver, d);
		for (uint64_t seq = d.first_seq; seq < d.first_seq + d.count; seq++)
			bits |= 1ull << (seq - first);
		settle(conn, ++*n, VERB_SETTLE, 0, 0, d.lease, d.first_seq, d.count);
	}
	run();
	for (; before < *n; before++)
		expect(conn, WIRE_TYPE_DONE);
	return bits;
}

/* "q", empty, hands out by key; connection 1 has given two commands, and messages begin with 2. */
static void dispatched_by_key(void)
{
	for (uint64_t conn = 1; conn <= 3; conn++)
		hello(conn, 0, 0);
	sent_lines(1, 1, "q", 1);
	set_dispatch(1, 2, DISPATCH_KEY);
	INPUT(1, queue_purge, 3, 2, slice_str("q"));
	run();
	expect(1, WIRE_TYPE_DONE);
}

static void a_key_goes_to_the_same_receiver_until_that_leaves(void **state)
{
	uint64_t all = (1ull << KEYED) - 1, n[4] = {0}, before = 0;
	(void)state;
	dispatched_by_key();
	subscribe(2, "q", 1000);
	subscribe(3, "q", 1000);
	for (uint64_t round = 0; round < 3; round++) {
		send_keys(4 + round * KEYED, KEYED);
		uint64_t one = taken_of(2, &n[2], 2 + round * KEYED);
		uint64_t other = taken_of(3, &n[3], 2 + round * KEYED);
		assert_true(one != 0 && other != 0 && (one ^ other) == all);
		assert_true(round == 0 || one == before);
		before = one;
	}
	INPUT(3, unsubscribe, 1);
	run();
	expect(3, WIRE_TYPE_UNSUBSCRIBED);
	send_keys(4 + 3 * KEYED, KEYED);
	assert_true(taken_of(2, &n[2], 2 + 3 * KEYED) == all);
}

static void what_waits_for_its_receiver_holds_up_no_other(void **state)
{
	uint64_t all = (1ull << KEYED) - 1, n[4] = {0};
	(void)state;
	dispatched_by_key();
	subscribe(2, "q", 1);
	subscribe(3, "q", 1000);
	const struct queue *q = broker_queue_named(w.broker, slice_str("q"));
	send_keys(4, KEYED);
	uint64_t given = taken_of(3, &n[3], 2), one = taken_of(2, &n[2], 2);
	assert_true(given != 0 && (one & (one - 1)) == 0 && (given & one) == 0);
	assert_non_null(by_key_any(q));
	assert_int_equal(recovered_digest(), broker_digest(w.broker));
	struct history_waits why;
	for (uint64_t i = 0; i < KEYED; i++) {
		if (((given | one) >> i & 1))
			continue;
		broker_waits(
		    w.broker, broker_queue_named(w.broker, slice_str("q")), 2 + i, &why);
		assert_int_equal(why.why, WAITS_ITS_RECEIVER);
	}
	/* What has no key goes to who asks. */
	sent_lines(1, 4 + KEYED, "q", 1);
	EXPECT(3, DELIVER, deliver, d);
	assert_int_equal(d.first_seq, 2 + KEYED);
	/* In the order of the queue, once it asks. */
	INPUT(2, credit, 1, 2, 1 << 20, 8);
	run();
	uint64_t next = taken_of(2, &n[2], 2), left = all ^ given ^ one;
	left ^= left & -left;
	assert_true((all ^ given ^ one ^ next) == (left ^ (left & -left)));
	/* It leaves, and what waits for it goes to the other. */
	broker_disconnect(w.broker, 2);
	run();
	assert_true(taken_of(3, &n[3], 2) == (all ^ given ^ one ^ next));
	assert_null(by_key_any(q));
}

static void who_does_not_extend_its_leases_gets_no_keys_until_it_is_heard(void **state)
{
	uint64_t all = (1ull << KEYED) - 1, n[4] = {0};
	(void)state;
	dispatched_by_key();
	subscribe(2, "q", 1000);
	subscribe(3, "q", 1000);
	send_keys(4, KEYED);
	uint64_t one = taken_of(3, &n[3], 2);
	w.out_len[2] = 0;
	w.lease_ms += 10000;
	INPUT(3, credit, 1, 0, 0, 8);
	run();
	expect(2, WIRE_TYPE_LEASE_ENDED);
	w.out_len[2] = 0;
	w.lease_ms += 1000;
	run();
	assert_true(taken_of(3, &n[3], 2) == (all ^ one));
	expect_nothing(2);
	INPUT(2, credit, 1, 0, 0, 8);
	run();
	send_keys(4 + KEYED, KEYED);
	assert_true(taken_of(3, &n[3], 2 + KEYED) == one);
}

static void what_was_put_aside_is_given_to_any_once_the_queue_is_fair(void **state)
{
	uint64_t all = (1ull << KEYED) - 1, n[4] = {0};
	(void)state;
	dispatched_by_key();
	subscribe(2, "q", 1);
	subscribe(3, "q", 1000);
	send_keys(4, KEYED);
	uint64_t given = taken_of(3, &n[3], 2) | taken_of(2, &n[2], 2);
	assert_true(given != all);
	set_dispatch(1, 4 + KEYED, DISPATCH_FAIR);
	assert_true(taken_of(3, &n[3], 2) == (all ^ given));
}

static void the_newest_of_a_key_replaces_those_that_nobody_holds(void **state)
{
	uint64_t lease;
	(void)state;
	hello(1, 0, 0);
	send_keyed(1, "a", 0);
	subscribe(1, "q", 100);
	expect_delivered(1, &lease);
	send_keyed(2, "a", SEND_REPLACE);
	send_keyed(3, "b", SEND_REPLACE);
	uint64_t b;
	expect_delivered(3, &b);
	send_keyed(4, "a", SEND_REPLACE);
	assert_int_equal(left_in("q"), 3);
	settle(1, 5, VERB_SETTLE, 0, 0, lease, 1, 1);
	run();
	expect(1, WIRE_TYPE_DONE);
	expect_delivered(4, &lease);
	const struct queue *q = broker_queue_named(w.broker, slice_str("q"));
	assert_int_equal(q->counts.dropped[DROPPED_REPLACED], 1);
	assert_int_equal(recovered_digest(), broker_digest(w.broker));
}

/* So many messages: the key of each is its number modulo `keys`, and `delay_ms` is that of all. */
static void send_of_keys(
    uint64_t n, uint32_t count, uint32_t keys, uint64_t delay_ms, uint8_t flags)
{
	static uint8_t bytes[BATCH_MAX], each[6 * BATCH_MESSAGES_MAX];
	struct writer batch = writer_of(bytes, sizeof(bytes)),
		      e = writer_of(each, sizeof(each));
	for (uint32_t i = 0; i < count; i++) {
		put_u16(&e, (uint16_t)i);
		put_u16(&e, 2);
		put_u16(&e, (uint16_t)(1 + i % keys));
	}
	put_u16(&batch, (uint16_t)count);
	put_u16(&batch, (uint16_t)((delay_ms > 0 ? 12 : 0) + 4 + e.len));
	if (delay_ms > 0)
		tags_put_u64(&batch, ATTRIBUTE_DELAY_UNTIL, w.wall_ms + delay_ms);
	tags_put(&batch, ATTRIBUTE_KEY | ATTRIBUTE_EACH, slice_of(each, e.len));
	for (uint32_t i = 1; i <= count; i++)
		put_u16(&batch, (uint16_t)i);
	for (uint32_t i = 0; i < count; i++)
		put_u8(&batch, '\n');
	assert_false(batch.full || e.full);
	INPUT(1, send, n, n - 1, flags, 0, slice_str("q"), NO_TAGS, slice_of(bytes, batch.len));
	run();
	EXPECT(1, SENT, sent, m);
	assert_int_equal(m.count, count);
}

static void a_full_batch_replaces_all_that_is_older(void **state)
{
	(void)state;
	hello(1, 0, 0);
	/* Of one key, of some, and of as many as there are messages. */
	for (uint64_t n = 1; n <= 3; n++) {
		send_of_keys(n, 4096, 1, 3600000, SEND_REPLACE);
		assert_int_equal(left_in("q"), 1);
	}
	send_of_keys(4, 4096, 3000, 3600000, SEND_REPLACE);
	send_of_keys(5, 4096, 3000, 3600000, SEND_REPLACE);
	assert_int_equal(left_in("q"), 3000);
	send_of_keys(6, 4096, 4096, 3600000, SEND_REPLACE);
	send_of_keys(7, 4096, 4096, 3600000, SEND_REPLACE);
	assert_int_equal(left_in("q"), 4096);
	assert_int_equal(recovered_digest(), broker_digest(w.broker));
}

static void a_key_whose_oldest_message_is_held_is_replaced_for_ever(void **state)
{
	uint64_t lease, n = 1;
	(void)state;
	hello(1, 0, 0);
	subscribe(1, "q", 3600000);
	send_keyed(n++, "a", 0);
	expect_delivered(1, &lease);
	for (; n <= 10; n++)
		send_keyed(n, "a", SEND_REPLACE);
	uint64_t part_bytes = w.broker->ledger.part_bytes;
	for (; n <= 5000; n++) {
		uint64_t work = broker_work(w.broker);
		send_keyed(n, "a", SEND_REPLACE);
		assert_true(broker_work(w.broker) - work < 10);
	}
	assert_int_equal(left_in("q"), 2);
	assert_true(w.broker->ledger.part_bytes <= part_bytes);
	settle(1, n, VERB_SETTLE, 0, 0, lease, 1, 1);
	run();
	expect(1, WIRE_TYPE_DONE);
	expect_delivered(n - 1, &lease);
	assert_int_equal(recovered_digest(), broker_digest(w.broker));
}

/* Messages that leave a state at most in one turn, until none is in it. */
static uint64_t most_leave(const uint64_t *live)
{
	uint64_t most = 0;
	for (int turns = 0; *live > 0; turns++) {
		uint64_t before = *live;
		begin();
		broker_heard(w.broker, (struct lease_time){w.lease_ms});
		broker_flush(w.broker);
		most = before - *live > most ? before - *live : most;
		store();
		assert_true(turns < 1000);
	}
	return most;
}

#define KEYED_SENT   40000u
#define KEYED_BATCH  4000u
#define KEYED_LEFT   (KEYED_SENT - 3)
#define SOME_OF_TURN (TURN_STEPS + BATCH_MESSAGES_MAX)

/* 40,000 delayed messages with keys, some of which wait for others; the first ones are gone. */
static struct queue *keyed_in_queue(uint32_t keys, uint64_t *n)
{
	hello(1, 0, 0);
	for (*n = 1; *n <= KEYED_SENT / KEYED_BATCH; ++*n)
		send_of_keys(*n, KEYED_BATCH, keys, 1000, 0);
	/* The range begins with what is gone. */
	cancel(*n, 2, 3);
	expect(1, WIRE_TYPE_DONE);
	cancel(++*n, 1, 0);
	expect(1, WIRE_TYPE_DONE);
	++*n;
	return broker_queue_named(w.broker, slice_str("q"));
}

static void keyed_messages_that_are_due_together_take_many_turns(void **state)
{
	uint64_t n;
	(void)state;
	struct queue *q = keyed_in_queue(1999, &n);
	w.wall_ms += 2000;
	w.lease_ms += 2000;
	assert_true(most_leave(&q->live[STATE_DELAYED]) <= SOME_OF_TURN);
	assert_int_equal(q->live[STATE_READY], KEYED_LEFT);
	assert_int_equal(broker_digest(w.broker), recovered_digest());
}

static void keyed_messages_that_go_together_take_many_turns(void **state)
{
	uint64_t n;
	(void)state;
	struct queue *q = keyed_in_queue(1, &n);
	INPUT(1, queue_purge, n, n - 1, slice_str("q"));
	assert_true(q->live[STATE_DELAYED] >= KEYED_LEFT - SOME_OF_TURN);
	assert_true(most_leave(&q->live[STATE_DELAYED]) <= SOME_OF_TURN);
	expect(1, WIRE_TYPE_DONE);
	assert_null(q->keys);
	assert_int_equal(broker_digest(w.broker), recovered_digest());
}

static void keyed_messages_that_expire_together_take_many_turns(void **state)
{
	uint64_t n;
	(void)state;
	struct queue *q = keyed_in_queue(1, &n);
	expiry_add(q, 4, KEYED_LEFT, KEYED_LEFT, w.wall_ms + 500, true);
	w.wall_ms += 500;
	assert_true(most_leave(&q->live[STATE_DELAYED]) <= SOME_OF_TURN);
	assert_int_equal(q->counts.dropped[DROPPED_EXPIRED], KEYED_LEFT);
	assert_null(q->keys);
}

/* Of a batch of which one message is left no more is kept than for that one. */
static void keys_take_memory_for_the_messages_that_are_left(void **state)
{
	uint64_t n;
	(void)state;
	struct queue *q = keyed_in_queue(1999, &n);
	for (uint64_t first = 1; first < KEYED_SENT; first += KEYED_BATCH) {
		uint64_t gone = first == 1 ? 3 : 0, count = KEYED_BATCH - 1 - gone;
		expiry_add(q, first + gone, count, count, w.wall_ms + 500, true);
	}
	w.wall_ms += 500;
	begin();
	run();
	assert_int_equal(queue_total(q), KEYED_SENT / KEYED_BATCH);
	assert_in_range(w.broker->ledger.part_bytes, 1, 16384);
	for (uint64_t at = KEYED_BATCH; at <= KEYED_SENT; at += KEYED_BATCH)
		assert_true(keys_of(q, at) > 0);
	/* The chains are whole. */
	w.wall_ms += 1000;
	w.lease_ms += 1000;
	(void)most_leave(&q->live[STATE_DELAYED]);
	subscribe(1, "q", 100);
	run();
	broker_checkpoint(w.broker);
	run();
	assert_int_equal(broker_digest(w.broker), recovered_digest());
}

/* It would never be empty. */
static void what_is_sent_to_a_queue_that_is_being_removed_waits(void **state)
{
	const struct space_limits limits = {.turn_bytes = TURN_BYTES, .turn_steps = 4};
	(void)state;
	hello(1, 0, 0);
	hello(2, 0, 0);
	send_of_keys(1, 40, 3, 0, 0);
	INPUT(1, bind, 2, 1, 0, slice_str("q"), slice_str("a"), NO_TAGS);
	run();
	expect(1, WIRE_TYPE_DONE);
	broker_set_space(w.broker, &limits);
	INPUT(2, queue_remove, 1, 0, REMOVE_FORCE, slice_str("q"));
	assert_false(broker_wants_frame(w.broker, 2));
	INPUT(1, send, 3, 2, SEND_TOPIC, 0, slice_str("a"), NO_TAGS, lines(1));
	INPUT(1, send, 3, 2, 0, 0, slice_str("q"), NO_TAGS, lines(1));
	expect_failed(1, RMQ_E_UNROUTED, "no queue is bound to the topic");
	expect_failed(1, RMQ_E_FULL, "queue is being removed");
	expect(2, WIRE_TYPE_DONE);
	expect(1, WIRE_TYPE_ROOM);
	send_of_keys(3, 40, 3, 0, 0);
	/* Whoever removes it is gone before it has: then it stays. */
	INPUT(2, queue_remove, 2, 1, REMOVE_FORCE, slice_str("q"));
	INPUT(1, send, 4, 3, 0, 0, slice_str("q"), NO_TAGS, lines(1));
	begin();
	broker_disconnect(w.broker, 2);
	expect_failed(1, RMQ_E_FULL, "queue is being removed");
	expect(1, WIRE_TYPE_ROOM);
	INPUT(1, send, 4, 3, 0, 0, slice_str("q"), NO_TAGS, lines(1));
	run();
	expect(1, WIRE_TYPE_SENT);
	assert_true(queue_total(broker_queue_named(w.broker, slice_str("q"))) > 1);
}

static void an_even_attribute_that_is_not_known_refuses_the_command_by_name(void **state)
{
	(void)state;
	static const uint8_t batch[] = {1, 0, 0, 0, 2, 0, 'x', '\n'};
	struct slice q = slice_str("q"), data = slice_of(batch, sizeof(batch));
	uint8_t entry[SETTLE_ENTRY_SIZE] = {1, [8] = 1, [16] = 1};
	hello(1, 0, 0);
	INPUT(1, send, 1, 0, 0, 0, q, one_tag(64000), data);
	expect_failed(1, RMQ_E_VERSION, "attribute 64000 of SEND is not known here");
	/* Pieces after the refused one are passed over: one answer for all. */
	INPUT(1, send, 1, 0, SEND_CHUNK | SEND_MORE, 0, q, one_tag(64000), data);
	INPUT(1, send, 1, 0, SEND_CHUNK, 1, q, one_tag(64000), data);
	expect_failed(1, RMQ_E_VERSION, "attribute 64000 of SEND is not known here");
	expect_nothing(1);
	INPUT(1, settle, 1, 0, VERB_SETTLE, 0, 0, 1, q, slice_str(""), one_tag(64000),
	    slice_of(entry, sizeof(entry)));
	expect_failed(1, RMQ_E_VERSION, "attribute 64000 of SETTLE is not known here");
	INPUT(1, queue_create, 1, 0, 0, q, 0, 0, 0, 0, 0, 0, slice_str(""), one_tag(64000));
	expect_failed(1, RMQ_E_VERSION, "attribute 64000 of QUEUE_CREATE is not known here");
	INPUT(1, subscribe, 1, 0, 10000, q, one_tag(64000));
	run();
	EXPECT(1, SUB_FAILED, sub_failed, m);
	assert_int_equal(m.code, RMQ_E_VERSION);
	/* Number 1 is still free; an odd attribute is passed over. */
	INPUT(1, send, 1, 0, 0, 0, q, one_tag(63999), data);
	run();
	EXPECT(1, SENT, sent, sent);
	assert_int_equal(sent.n, 1);
}

static void a_flag_verb_setting_or_state_that_is_not_known_is_refused(void **state)
{
	(void)state;
	static const uint8_t batch[] = {1, 0, 0, 0, 2, 0, 'x', '\n'};
	struct slice q = slice_str("q"), data = slice_of(batch, sizeof(batch));
	uint8_t entry[SETTLE_ENTRY_SIZE] = {1, [8] = 1, [16] = 1};
	struct slice entries = slice_of(entry, sizeof(entry));
	hello(1, 0, 0);
	INPUT(1, send, 1, 0, 128, 0, q, NO_TAGS, data);
	expect_failed(1, RMQ_E_VERSION, "unknown flag of SEND");
	INPUT(1, settle, 1, 0, 99, 0, 0, 1, q, slice_str(""), NO_TAGS, entries);
	expect_failed(1, RMQ_E_VERSION, "unknown verb or flag of SETTLE");
	INPUT(1, settle, 1, 0, VERB_SETTLE, 128, 0, 1, q, slice_str(""), NO_TAGS, entries);
	expect_failed(1, RMQ_E_VERSION, "unknown verb or flag of SETTLE");
	/* Each verb has flags of its own: another one's is not passed over. */
	static const struct {
		uint8_t verb, flags;
	} others[] = {{VERB_SETTLE, SETTLE_COUNTED}, {VERB_SETTLE, SETTLE_DETACH},
	    {VERB_RELEASE, SETTLE_DETACH}, {VERB_DEAD, SETTLE_COUNTED},
	    {VERB_DEAD, SETTLE_DETACH}, {VERB_TOUCH, SETTLE_COUNTED}};
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		INPUT(1, settle, 1, 0, others[i].verb, others[i].flags, 1000, 1, q,
		    slice_str(""), NO_TAGS, entries);
		expect_failed(1, RMQ_E_VERSION, "unknown verb or flag of SETTLE");
	}
	INPUT(1, queue_create, 1, 0, 1u << 31, q, 0, 0, 0, 0, 0, 0, slice_str(""), NO_TAGS);
	expect_failed(1, RMQ_E_VERSION, "unknown setting");
	INPUT(1, queue_set, 1, 0, 1u << 31, q, 0, 0, 0, 0, 0, 0, slice_str(""), NO_TAGS);
	expect_failed(1, RMQ_E_VERSION, "unknown setting");
	INPUT(1, queue_remove, 1, 0, 128, q);
	expect_failed(1, RMQ_E_VERSION, "unknown flag of QUEUE_REMOVE");
	INPUT(1, subscribe, 1, 128, 10000, q, NO_TAGS);
	run();
	EXPECT(1, SUB_FAILED, sub_failed, m);
	assert_int_equal(m.code, RMQ_E_VERSION);
	assert_true(slice_eq(m.text, slice_str("unknown flag of SUBSCRIBE")));
	INPUT(1, peek, 1, 128, 0, 10, q);
	run();
	EXPECT(1, ERROR, error, e);
	assert_int_equal(e.code, RMQ_E_VERSION);
}

/* "a" and "b" with headers of their own, named by `mark`, and a reply topic for both. */
static void send_with_headers(uint64_t conn, uint64_t n, char mark)
{
	uint8_t bytes[128], list[96], each[32];
	struct writer e = writer_of(each, sizeof(each)), l = writer_of(list, sizeof(list));
	struct writer batch = writer_of(bytes, sizeof(bytes));
	for (uint16_t i = 0; i < 2; i++) {
		put_u16(&e, i);
		put_u16(&e, 6);
		put_str(&e, slice_str("h"));
		put_u16(&e, 2);
		put_u8(&e, (uint8_t)mark);
		put_u8(&e, (uint8_t)('0' + i));
	}
	tags_put(&l, ATTRIBUTE_REPLY_TOPIC, slice_of(&mark, 1));
	tags_put(&l, ATTRIBUTE_HEADERS | ATTRIBUTE_EACH, slice_of(each, e.len));
	put_u16(&batch, 2);
	put_u16(&batch, (uint16_t)l.len);
	put_rest(&batch, slice_of(list, l.len));
	put_u16(&batch, 2);
	put_u16(&batch, 4);
	put_rest(&batch, slice_str("a\nb\n"));
	assert_false(batch.full);
	INPUT(conn, send, n, n - 1, 0, 0, slice_str("q"), NO_TAGS, slice_of(bytes, batch.len));
}

/* Message i of a DELIVER has the headers and reply topic that were sent as number `sent`. */
static void expect_headers(const struct wire_deliver *d, uint32_t i, char mark, int sent)
{
	struct slice list, value;
	uint8_t want[] = {1, 'h', 2, 0, (uint8_t)mark, (uint8_t)('0' + sent)};
	assert_true(tags_find(d->tags, DELIVER_TAG_ATTRIBUTES, &list));
	assert_int_equal(attributes_check(list, d->count), RMQ_E_OK);
	assert_true(attributes_find(list, ATTRIBUTE_HEADERS, i, &value));
	assert_true(slice_eq(value, slice_of(want, sizeof(want))));
	assert_true(attributes_find(list, ATTRIBUTE_REPLY_TOPIC, i, &value));
	assert_true(slice_eq(value, slice_of(&mark, 1)));
}

static void headers_stay_with_their_message(void **state)
{
	(void)state;
	hello(1, 0, 0);
	/* In one turn: one record, and one run of messages. */
	send_with_headers(1, 1, 'x');
	send_lines(1, 2, "q", 1);
	send_with_headers(1, 3, 'y');
	run();
	for (int n = 1; n <= 3; n++)
		expect(1, WIRE_TYPE_SENT);
	restart();
	hello(1, 0, 0);
	subscribe(1, "q", 1);
	EXPECT(1, DELIVER, deliver, one);
	assert_int_equal(one.count, 1);
	expect_headers(&one, 0, 'x', 0);
	settle(1, 1, VERB_SETTLE, 0, 0, one.lease, 1, 1);
	run();
	expect(1, WIRE_TYPE_DONE);

	/* Moved without the one that is settled. */
	uint64_t index = 0;
	for (uint64_t i = 1; i <= w.last; i++)
		if (w.log[i].kind == RECORD_EVENTS && w.log[i].len > 100 && index == 0)
			index = i;
	begin();
	assert_int_equal(
	    broker_move(w.broker, index, slice_of(w.log[index].payload, w.log[index].len)),
	    RMQ_E_OK);
	run();
	INPUT(1, credit, 1, 4, 1 << 20, 7);
	run();
	EXPECT(1, DELIVER, deliver, two);
	assert_int_equal(two.first_seq, 2);
	assert_int_equal(two.count, 1);
	expect_headers(&two, 0, 'x', 1);
	EXPECT(1, DELIVER, deliver, plain);
	assert_int_equal(plain.first_seq, 3);
	assert_int_equal(plain.tags.len, 0);
	EXPECT(1, DELIVER, deliver, last);
	assert_int_equal(last.first_seq, 4);
	assert_int_equal(last.count, 2);
	expect_headers(&last, 0, 'y', 0);
	expect_headers(&last, 1, 'y', 1);

	/* Also as a dead letter, and when it is only looked at. */
	settle(1, 2, VERB_DEAD, 0, 0, last.lease, 5, 1);
	run();
	expect(1, WIRE_TYPE_DONE);
	INPUT(1, peek, 1, STATE_READY, 0, 10, slice_str("q.dead"));
	run();
	EXPECT(1, PEEKED, peeked, p);
	struct wire_deliver dead = {.tags = p.tags, .count = p.count};
	expect_headers(&dead, 0, 'y', 1);
}

static void attributes_of_a_large_message_stay_with_it(void **state)
{
	static uint8_t piece[CHUNK_MAX];
	static const char list[] = "\1\0\6\0\1h\2\0x1\3\0\1\0t";
	struct slice q = slice_str("q"), attributes = slice_of(list, sizeof(list) - 1), found;
	uint8_t bytes[64];
	struct writer tags = writer_of(bytes, sizeof(bytes));
	(void)state;
	tags_put(&tags, SEND_TAG_ATTRIBUTES, attributes);
	hello(1, 0, 0);
	INPUT(1, send, 1, 0, SEND_CHUNK | SEND_MORE, 0, q, slice_of(tags.p, tags.len),
	    slice_of(piece, CHUNK_MAX - attributes.len));
	INPUT(1, send, 1, 0, SEND_CHUNK, 1, q, NO_TAGS, slice_of(piece, CHUNK_MAX));
	broker_checkpoint(w.broker);
	run();
	expect(1, WIRE_TYPE_SENT);
	restart();
	hello(1, 0, 0);
	subscribe(1, "q", 1);
	EXPECT(1, DELIVER_PART, deliver_part, d);
	assert_true(tags_find(d.tags, DELIVER_TAG_ATTRIBUTES, &found));
	assert_true(slice_eq(found, attributes));
	assert_int_equal(d.data.len, CHUNK_MAX - attributes.len);
	EXPECT(1, DELIVER_PART, deliver_part, last);
	assert_int_equal(last.tags.len, 0);
	settle(1, 1, VERB_DEAD, 0, 0, last.lease, 1, 1);
	run();
	expect(1, WIRE_TYPE_DONE);
	restart();
	hello(1, 0, 0);
	INPUT(1, peek, 1, STATE_READY, 0, 10, slice_str("q.dead"));
	run();
	EXPECT(1, PEEKED_PART, peeked_part, p);
	assert_true(tags_find(p.tags, DELIVER_TAG_ATTRIBUTES, &found));
	assert_true(slice_eq(found, attributes));
}

/* Bytes that count for a queue. */
static uint64_t bytes_of(const char *queue)
{
	return broker_queue_named(w.broker, slice_str(queue))->bytes;
}

/* One byte with 4 KiB of them is not a byte, wherever it is. */
static void attributes_of_a_large_message_count_in_its_queue(void **state)
{
	static uint8_t list[4 + 4096], bytes[sizeof(list) + 8];
	struct writer l = writer_of(list, sizeof(list)), tags = writer_of(bytes, sizeof(bytes));
	uint8_t byte = 'x';
	(void)state;
	tags_put(&l, 31, slice_of(bytes, 4096));
	tags_put(&tags, SEND_TAG_ATTRIBUTES, slice_of(l.p, l.len));
	hello(1, 0, 0);
	INPUT(1, queue_create, 1, 0, SETTING_MAX_BYTES, slice_str("q"), 0, 0, 0, 0, 1000, 0,
	    slice_str(""), NO_TAGS);
	for (uint64_t n = 2; n <= 3; n++)
		INPUT(1, send, n, n - 1, SEND_CHUNK, 0, slice_str("q"),
		    slice_of(tags.p, tags.len), slice_of(&byte, 1));
	run();
	expect(1, WIRE_TYPE_DONE);
	expect(1, WIRE_TYPE_SENT);
	expect_full(1);
	uint64_t sent = bytes_of("q");
	assert_true(sent > 4096 && sent < 4200);
	broker_checkpoint(w.broker);
	run();
	restart();
	assert_int_equal(bytes_of("q"), sent);
	hello(1, 0, 0);
	subscribe(1, "q", 1);
	EXPECT(1, DELIVER_PART, deliver_part, d);
	assert_int_equal(d.total, 1);
	settle(1, 1, VERB_DEAD, 0, 0, d.lease, 1, 1);
	run();
	expect(1, WIRE_TYPE_DONE);
	assert_int_equal(bytes_of("q"), 0);
	assert_int_equal(bytes_of("q.dead"), sent);
	restart();
	assert_int_equal(bytes_of("q.dead"), sent);
}

static void attributes_of_a_large_message_count_before_it_is_whole(void **state)
{
	static uint8_t list[4 + 4096], bytes[sizeof(list) + 16], piece[CHUNK_SEVERAL_MIN];
	struct writer l = writer_of(list, sizeof(list)), tags = writer_of(bytes, sizeof(bytes));
	(void)state;
	tags_put(&l, 31, slice_of(bytes, 4096));
	tags_put(&tags, SEND_TAG_ATTRIBUTES, slice_of(l.p, l.len));
	hello(1, 0, 0);
	hello(2, 0, 0);
	for (int i = 0; i < 2; i++) {
		/* Once for one queue, once for two. */
		if (i > 0)
			tags_put(&tags, SEND_TAG_QUEUES, slice_of("\1r", 2));
		INPUT(1, send, 1, 0, SEND_CHUNK | SEND_MORE, 0, slice_str("q"),
		    slice_of(tags.p, tags.len), slice_of(piece, sizeof(piece)));
		run();
		for (int k = 0; k <= i; k++)
			assert_int_equal(broker_queue_named(w.broker, slice_str(k ? "r" : "q"))
					     ->unfinished_bytes,
			    sizeof(piece) + 4 + sizeof(list));
		broker_checkpoint(w.broker);
		run();
		assert_int_equal(recovered_digest(), broker_digest(w.broker));
	}
	INPUT(1, queue_purge, 1, 0, slice_str("q"));
	run();
	assert_int_equal(broker_queue_named(w.broker, slice_str("q"))->unfinished_bytes, 0);
}

/* Two of one byte with 4 KiB of them: they are not two bytes for who has credit for 4000. */
static void attributes_of_a_large_message_take_credit(void **state)
{
	static uint8_t list[4 + 4096], bytes[sizeof(list) + 8];
	struct writer l = writer_of(list, sizeof(list)), tags = writer_of(bytes, sizeof(bytes));
	(void)state;
	tags_put(&l, 31, slice_of(bytes, 4096));
	tags_put(&tags, SEND_TAG_ATTRIBUTES, slice_of(l.p, l.len));
	hello(1, 0, 0);
	hello(2, 0, 0);
	for (uint64_t n = 1; n <= 2; n++)
		INPUT(1, send, n, n - 1, SEND_CHUNK, 0, slice_str("q"),
		    slice_of(tags.p, tags.len), slice_str("x"));
	INPUT(2, subscribe, 1, 0, 10000, slice_str("q"), NO_TAGS);
	INPUT(2, credit, 1, 10, 4000, 7);
	run();
	expect(2, WIRE_TYPE_SUBSCRIBED);
	expect(2, WIRE_TYPE_DELIVER_PART);
	expect_nothing(2);
	INPUT(2, credit, 1, 0, 100, 7);
	run();
	expect_nothing(2);
	INPUT(2, credit, 1, 0, 10, 7);
	run();
	expect(2, WIRE_TYPE_DELIVER_PART);
}

/* 300 messages that share almost as much as they may. */
static void send_sharing(uint64_t conn, uint64_t n)
{
	enum { SHARED = 8000, COUNT = 300 };
	static uint8_t bytes[4 + 4 + SHARED + 4 * COUNT];
	static const uint8_t nothing[SHARED];
	struct writer batch = writer_of(bytes, sizeof(bytes));
	put_u16(&batch, COUNT);
	put_u16(&batch, 4 + SHARED);
	tags_put(&batch, 31, slice_of(nothing, SHARED));
	for (uint16_t i = 1; i <= COUNT; i++)
		put_u16(&batch, (uint16_t)(2 * i));
	for (uint32_t i = 0; i < COUNT; i++)
		put_rest(&batch, slice_str("x\n"));
	assert_false(batch.full);
	INPUT(
	    conn, send, n, n - 1, 0, 0, slice_str("q"), NO_TAGS, slice_of(batch.p, batch.len));
	run();
	expect(conn, WIRE_TYPE_SENT);
}

/* What goes out again and again with what shares it is in the credit that it takes. */
static void what_is_shared_is_paid_for_with_each_piece(void **state)
{
	uint8_t bytes[150 * SETTLE_ENTRY_SIZE];
	struct writer e = writer_of(bytes, sizeof(bytes));
	(void)state;
	hello(1, 0, 0);
	hello(2, 0, 0);
	send_sharing(1, 1);
	send_sharing(1, 2);
	subscribe(1, "q", 600);
	EXPECT(1, DELIVER, deliver, d);
	expect(1, WIRE_TYPE_DELIVER);
	/* Dead letters go out one by one: each has its own note. */
	settle(1, 3, VERB_DEAD, 0, 0, d.lease, 1, 300);
	for (uint64_t seq = 301; seq < 600; seq += 2)
		settle_entry_put(&e, &(struct settle_entry){d.lease, seq, 1});
	INPUT(1, settle, 4, 3, VERB_SETTLE, 0, 0, 1, slice_str("q"), slice_of(NULL, 0), NO_TAGS,
	    slice_of(e.p, e.len));
	settle(1, 5, VERB_RELEASE, 0, 0, d.lease, 301, 300);
	INPUT(1, unsubscribe, 1);
	w.stands[2] = true;
	for (uint32_t sub = 1; sub <= 2; sub++) {
		INPUT(
		    2, subscribe, sub, 0, 10000, slice_str(sub == 1 ? "q" : "q.dead"), NO_TAGS);
		INPUT(2, credit, sub, 600, 1 << 20, 7);
	}
	run();
	for (int i = 0; i < 2; i++) {
		const struct queue *q =
		    broker_queue_named(w.broker, slice_str(i ? "q" : "q.dead"));
		assert_in_range(q->live[STATE_LEASED], 100, (1 << 20) / 8000 + 1);
	}
}

/* Where they do not belong, cut, or with too much beside them. */
static void attributes_of_a_large_message_are_in_its_first_piece(void **state)
{
	static uint8_t piece[CHUNK_MAX], much[4 + CHUNK_ATTRIBUTES_MAX + 1];
	uint8_t bytes[sizeof(much) + 8];
	static const uint8_t batch[] = {1, 0, 0, 0, 2, 0, 'x', '\n'};
	struct slice q = slice_str("q"), topic = slice_of("\3\0\1\0t", 5);
	struct writer m = writer_of(much, sizeof(much));
	const struct {
		uint8_t flags;
		uint32_t part;
		struct slice list, data;
	} bad[] = {
	    {0, 0, topic, slice_of(batch, sizeof(batch))},
	    {SEND_CHUNK, 1, topic, slice_of(piece, 1)},
	    {SEND_CHUNK, 0, slice_of("\3\0\2\0t", 5), slice_of(piece, 1)},
	    {SEND_CHUNK, 0, topic, slice_of(piece, CHUNK_MAX - 4)},
	    {SEND_CHUNK, 0, slice_of(much, sizeof(much)), slice_of(piece, 1)},
	};
	(void)state;
	tags_put(&m, 51, slice_of(piece, CHUNK_ATTRIBUTES_MAX + 1));
	assert_int_equal(m.len, sizeof(much));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct writer tags = writer_of(bytes, sizeof(bytes));
		hello(1, 0, 0);
		if (bad[i].part > 0)
			INPUT(1, send, 1, 0, SEND_CHUNK | SEND_MORE, 0, q, NO_TAGS,
			    slice_of(piece, 1));
		tags_put(&tags, SEND_TAG_ATTRIBUTES, bad[i].list);
		INPUT(1, send, 1, 0, bad[i].flags, bad[i].part, q, slice_of(tags.p, tags.len),
		    bad[i].data);
		run();
		EXPECT(1, ERROR, error, e);
		assert_int_equal(e.code, RMQ_E_PROTOCOL);
		broker_disconnect(w.broker, 1);
		w.closed[1] = false;
	}
	/* One that would have to be acted on: the pieces after it are passed over. */
	hello(1, 0, 0);
	struct writer tags = writer_of(bytes, sizeof(bytes));
	tags_put(&tags, SEND_TAG_ATTRIBUTES, slice_of("\14\0\1\0\7", 5));
	INPUT(1, send, 1, 0, SEND_CHUNK | SEND_MORE, 0, q, slice_of(tags.p, tags.len),
	    slice_of(piece, 1));
	INPUT(1, send, 1, 0, SEND_CHUNK, 1, q, NO_TAGS, slice_of(piece, 1));
	expect_failed(1, RMQ_E_VERSION, "this daemon does not know attribute 12");
	expect_nothing(1);
}

/* With as many attributes as it may have. */
static void the_largest_message_is_taken_and_a_byte_more_is_not(void **state)
{
	static uint8_t data[CHUNK_MAX], list[CHUNK_ATTRIBUTES_MAX];
	uint8_t bytes[sizeof(list) + 8];
	struct slice q = slice_str("q");
	struct writer l = writer_of(list, sizeof(list)), tags = writer_of(bytes, sizeof(bytes));
	(void)state;
	tags_put(&l, 51, slice_of(data, CHUNK_ATTRIBUTES_MAX - 4));
	tags_put(&tags, SEND_TAG_ATTRIBUTES, slice_of(l.p, l.len));
	hello(1, 0, 0);
	INPUT(1, queue_create, 1, 0, SETTING_MAX_MESSAGE, q, 0, 0, 0, 0, 0, MESSAGE_MAX,
	    slice_str(""), NO_TAGS);
	for (uint32_t more = 0; more < 2; more++) {
		size_t at = 0, len = MESSAGE_MAX + more;
		for (uint32_t part = 0; at < len; part++) {
			size_t most = part == 0 ? CHUNK_MAX - CHUNK_ATTRIBUTES_MAX : CHUNK_MAX;
			size_t piece = len - at < most ? len - at : most;
			at += piece;
			INPUT(1, send, 2 + more, 1,
			    (uint8_t)(SEND_CHUNK | (at < len ? SEND_MORE : 0)), part, q,
			    part == 0 ? slice_of(tags.p, tags.len) : NO_TAGS,
			    slice_of(data, piece));
		}
	}
	run();
	expect(1, WIRE_TYPE_DONE);
	expect(1, WIRE_TYPE_SENT);
	EXPECT(1, FAILED, failed, m);
	assert_int_equal(m.code, RMQ_E_TOO_LARGE);
}

static void an_attribute_that_has_to_be_acted_on_is_refused_by_name(void **state)
{
	(void)state;
	static const struct {
		uint16_t tag;
		struct slice value;
		const char *text;
	} cases[] = {
	    {1000, {(const uint8_t *)"?", 1}, "this daemon does not know attribute 1000"},
	};
	hello(1, 0, 0);
	uint64_t appended = w.appended;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t bytes[64];
		struct writer batch = writer_of(bytes, sizeof(bytes));
		put_u16(&batch, 1);
		put_u16(&batch, (uint16_t)(4 + cases[i].value.len));
		tags_put(&batch, cases[i].tag, cases[i].value);
		put_u16(&batch, 2);
		put_rest(&batch, slice_str("a\n"));
		INPUT(1, send, 1, 0, 0, 0, slice_str("q"), NO_TAGS, slice_of(bytes, batch.len));
		expect_failed(1, RMQ_E_VERSION, cases[i].text);
	}
	assert_int_equal(w.appended, appended);
	send_lines(1, 1, "q", 1);
	run();
	EXPECT(1, SENT, sent, m);
	assert_int_equal(m.first_seq, 1);
}

/* ---- a body stored once ---- */

static void subscribe_as(uint64_t conn, uint32_t sub, const char *queue, uint32_t credit)
{
	INPUT(conn, subscribe, sub, 0, 10000, slice_str(queue), NO_TAGS);
	INPUT(conn, credit, sub, credit, 1 << 20, 7);
	run();
	expect(conn, WIRE_TYPE_SUBSCRIBED);
}

/* It is given messages first to last, which are line `from` and following. */
static void expect_lines(uint64_t conn, uint32_t sub, uint64_t first, uint64_t last, int from)
{
	while (first <= last) {
		EXPECT(conn, DELIVER, deliver, d);
		assert_int_equal(d.sub, sub);
		assert_int_equal(d.first_seq, first);
		const char *body = (const char *)d.data.data + 2 * d.count;
		for (uint32_t i = 0; i < d.count; i++, first++, from++, body += 6) {
			char line[16];
			snprintf(line, sizeof(line), "m%04d\n", from);
			assert_memory_equal(body, line, 6);
		}
	}
}

static void purge(uint64_t conn, uint64_t n, const char *queue)
{
	INPUT(conn, queue_purge, n, n - 1, slice_str(queue));
	run();
	expect(conn, WIRE_TYPE_DONE);
}

/* How many bytes of bodies, 6 for each line, are in all records that are left. */
static size_t bodies_left(void)
{
	size_t found = 0;
	for (uint64_t i = 1; i <= w.last; i++)
		for (size_t at = 0; !w.log[i].hole && at + 6 <= w.log[i].len; at++)
			found +=
			    w.log[i].payload[at] == 'm' && w.log[i].payload[at + 5] == '\n';
	return found;
}

/* Events of a type in all records that are left. */
static uint32_t events_left(uint8_t type)
{
	uint32_t found = 0;
	for (uint64_t i = 1; i <= w.last; i++) {
		struct events_header h;
		struct event_iter it;
		struct event e;
		if (w.log[i].hole ||
		    events_open(slice_of(w.log[i].payload, w.log[i].len), &h, &it))
			continue;
		while (event_next(&it, &e) == RMQ_E_OK)
			found += e.type == type;
	}
	return found;
}

static void checkpoint(void)
{
	broker_checkpoint(w.broker);
	run();
}

/* What is live in the record of the first message of "s", by the ledger. */
static uint64_t live_bytes(void)
{
	struct queue *q = broker_queue_named(w.broker, slice_str("s"));
	return queue_batch_at(q, 1)->record->live_bytes;
}

/* Three queues with a third of the bytes each, after a restart, too. */
static void what_is_shared_counts_once_in_its_record(void **state)
{
	(void)state;
	hello(1, 0, 0);
	share(1, 1, 0, "q", "r s", lines(300));
	run();
	expect(1, WIRE_TYPE_SENT);
	assert_int_equal(live_bytes(), 300 * 6);
	subscribe(1, "q", 300);
	EXPECT(1, DELIVER, deliver, d);
	settle(1, 2, VERB_DEAD, 0, 0, d.lease, 1, 100);
	settle(1, 3, VERB_SETTLE, 0, 0, d.lease, 101, 150);
	run();
	uint64_t left = 300 * 6 - 150 * 2;
	assert_in_range(live_bytes(), left - 2, left);
	checkpoint();
	restart();
	assert_in_range(live_bytes(), left - 2, left);
	hello(1, 0, 0);
	purge(1, 1, "r");
	assert_in_range(live_bytes(), left - 602, left - 600);
}

static void a_batch_for_several_queues_is_stored_once_and_outlives_each(void **state)
{
	(void)state;
	uint64_t session = hello(1, 0, 0);
	share(1, 1, 0, "q", "r s", lines(10));
	run();
	EXPECT(1, SENT, sent, m);
	assert_int_equal(m.first_seq, 1);
	assert_int_equal(m.count, 10);
	assert_int_equal(bodies_left(), 10);
	restart();
	/* Once, however often it comes. */
	hello(1, session, 0);
	share(1, 1, 0, "q", "r s", lines(10));
	run();
	expect(1, WIRE_TYPE_SENT);
	assert_int_equal(bodies_left(), 10);
	/* Whatever becomes of it in one queue, the others have it. */
	purge(1, 2, "q");
	checkpoint();
	assert_int_equal(bodies_left(), 10);
	restart();
	hello(1, session, 2);
	INPUT(1, queue_remove, 3, 2, REMOVE_FORCE, slice_str("r"));
	run();
	expect(1, WIRE_TYPE_DONE);
	checkpoint();
	restart();
	hello(1, session, 3);
	assert_int_equal(bodies_left(), 10);
	subscribe_as(1, 1, "s", 10);
	expect_lines(1, 1, 1, 10, 0);
	INPUT(1, queue_purge, 4, 3, slice_str("s"));
	checkpoint();
	assert_int_equal(bodies_left(), 0);
}

/* The settled ones of q and of r are not the same. */
static void what_is_shared_moves_once_and_stays_shared(void **state)
{
	static const uint64_t left_in_q[] = {1, 2, 3, 50, 51}, left_in_r[] = {2, 3, 4, 51};
	(void)state;
	hello(1, 0, 0);
	hello(2, 0, 0);
	share(1, 1, 0, "q", "r", lines(100));
	run();
	expect(1, WIRE_TYPE_SENT);
	const char *const names[] = {"q", "r"};
	for (int k = 0; k < 2; k++) {
		const uint64_t *left = k ? left_in_r : left_in_q;
		size_t count = k ? 4 : 5, n = 0;
		uint8_t bytes[100 * SETTLE_ENTRY_SIZE];
		struct writer e = writer_of(bytes, sizeof(bytes));
		subscribe_as(2, (uint32_t)k, names[k], 100);
		EXPECT(2, DELIVER, deliver, d);
		for (uint64_t seq = 1; seq <= 100; seq++) {
			if (n < count && left[n] == seq)
				n++;
			else
				settle_entry_put(&e, &(struct settle_entry){d.lease, seq, 1});
		}
		INPUT(2, settle, 1 + (uint64_t)k, (uint64_t)k, VERB_SETTLE, 0, 0, 1,
		    slice_str(names[k]), slice_str(""), NO_TAGS, slice_of(bytes, e.len));
		run();
		expect(2, WIRE_TYPE_DONE);
	}
	uint64_t index = 0;
	for (uint64_t i = 1; i <= w.last; i++)
		if (w.log[i].len > 600 && index == 0)
			index = i;
	begin();
	assert_int_equal(
	    broker_move(w.broker, index, slice_of(w.log[index].payload, w.log[index].len)),
	    RMQ_E_OK);
	checkpoint();
	/* 1, 2, 3, 4, 50 and 51, each once. */
	assert_true(w.log[index].hole);
	assert_int_equal(bodies_left(), 6);
	uint64_t digest = broker_digest(w.broker);
	restart();
	assert_int_equal(broker_digest(w.broker), digest);
	w.lease_ms += 20000;
	run();
	w.lease_ms += 20000;
	hello(1, 0, 0);
	subscribe_as(1, 1, "q", 100);
	expect_lines(1, 1, 1, 3, 0);
	expect_lines(1, 1, 50, 51, 49);
	subscribe_as(1, 2, "r", 100);
	expect_lines(1, 2, 2, 4, 1);
	expect_lines(1, 2, 51, 51, 50);
	expect_nothing(1);
}

/* Small batches that the same queues share become one when they move, as those of one queue do. */
static void small_batches_that_are_shared_join_when_they_move(void **state)
{
	uint64_t records = 0;
	(void)state;
	hello(1, 0, 0);
	for (uint64_t n = 1; n <= 20; n++) {
		/* Their numbers differ, and something of r alone is between. */
		share(1, 2 * n - 1, 0, "q", "r", lines(2));
		send_lines(1, 2 * n, "r", 1);
		run();
		w.out_len[1] = 0;
	}
	for (uint64_t i = 1, last = w.last; i <= last; i++) {
		if (w.log[i].kind != RECORD_EVENTS)
			continue;
		begin();
		assert_int_equal(
		    broker_move(w.broker, i, slice_of(w.log[i].payload, w.log[i].len)),
		    RMQ_E_OK);
		records++;
	}
	assert_true(records > 20);
	checkpoint();
	assert_int_equal(bodies_left(), 60);
	/* Those of q follow one another, those of r do not. */
	assert_int_equal(events_left(EVENT_TYPE_PART_BATCH), 1 + 40);
	uint64_t digest = broker_digest(w.broker);
	restart();
	assert_int_equal(broker_digest(w.broker), digest);
	hello(1, 0, 0);
	subscribe_as(1, 1, "q", 40);
	for (uint64_t seq = 1; seq <= 40; seq += 2) {
		EXPECT(1, DELIVER, deliver, d);
		assert_int_equal(d.first_seq, seq);
		assert_int_equal(d.count, 2);
		assert_memory_equal(d.data.data + 4, "m0000\nm0001\n", 12);
	}
	expect_nothing(1);
}

/* q and r have one dead-letter queue, to which the same bodies come twice. */
static void dead_letters_of_two_queues_in_one_share_a_body(void **state)
{
	(void)state;
	hello(1, 0, 0);
	INPUT(1, queue_create, 1, 0, SETTING_DEAD_LETTER, slice_str("q"), 0, 0, 0, 0, 0, 0,
	    slice_str("d"), NO_TAGS);
	INPUT(1, queue_create, 2, 1, SETTING_DEAD_LETTER, slice_str("r"), 0, 0, 0, 0, 0, 0,
	    slice_str("d"), NO_TAGS);
	share(1, 3, 0, "q", "r", lines(4));
	run();
	w.out_len[1] = 0;
	uint64_t n = 4;
	const char *const names[] = {"q", "r"};
	for (uint32_t k = 0; k < 2; k++, n++) {
		uint8_t bytes[SETTLE_ENTRY_SIZE];
		struct writer e = writer_of(bytes, sizeof(bytes));
		subscribe_as(1, k, names[k], 4);
		expect_lines(1, k, 1, 4, 0);
		settle_entry_put(&e, &(struct settle_entry){k + 1, 1, 4});
		INPUT(1, settle, n, n - 1, VERB_DEAD, 0, 0, 1, slice_str(names[k]),
		    slice_str("why"), NO_TAGS, slice_of(bytes, e.len));
		run();
		expect(1, WIRE_TYPE_DONE);
	}
	for (int times = 0; times < 2; times++) {
		uint64_t index = 0;
		for (uint64_t i = 1; i <= w.last; i++)
			if (!w.log[i].hole &&
			    memmem(w.log[i].payload, w.log[i].len, "m0003\n", 6))
				index = i;
		begin();
		assert_int_equal(broker_move(w.broker, index,
				     slice_of(w.log[index].payload, w.log[index].len)),
		    RMQ_E_OK);
		checkpoint();
		assert_int_equal(bodies_left(), 4);
		restart();
	}
	hello(1, 0, 0);
	subscribe_as(1, 1, "d", 8);
	for (uint64_t seq = 1; seq <= 8; seq++) {
		char line[16], note[16];
		EXPECT(1, DELIVER, deliver, d);
		assert_int_equal(d.first_seq, seq);
		snprintf(line, sizeof(line), "m%04d\n", (int)(seq - 1) % 4);
		assert_memory_equal(d.data.data + 2, line, 6);
		snprintf(note, sizeof(note), "%s:%d why", seq <= 4 ? "q" : "r",
		    (int)(seq - 1) % 4 + 1);
		assert_true(slice_eq(d.note, slice_str(note)));
	}
}

static void a_batch_for_several_queues_comes_to_all_or_to_none(void **state)
{
	struct slice r = slice_str("r"), none = slice_str("");
	(void)state;
	hello(1, 0, 0);
	hello(2, 0, 0);
	INPUT(1, queue_create, 1, 0, SETTING_MAX_BYTES, r, 0, 0, 0, 0, 10, 0, none, NO_TAGS);
	send_lines(1, 2, "r", 2);
	run();
	w.out_len[1] = 0;
	uint64_t appended = w.appended;
	share(1, 3, 0, "q", "s r", lines(2));
	expect_failed(1, RMQ_E_FULL, "queue is full: r");
	share(1, 3, SEND_NO_CREATE, "r", "q", lines(2));
	expect_failed(1, RMQ_E_FULL, "queue is full: r");
	share(1, 3, SEND_NO_CREATE, "q", "r", lines(2));
	expect_failed(1, RMQ_E_NO_QUEUE, "no such queue: q");
	share(1, 3, 0, "q", "-", lines(2));
	run();
	EXPECT(1, FAILED, failed, bad);
	assert_int_equal(bad.code, RMQ_E_USAGE);
	assert_int_equal(w.appended, appended);
	/* Who waits is told when it may go on. */
	purge(2, 1, "r");
	expect(1, WIRE_TYPE_ROOM);
	INPUT(1, queue_set, 3, 2, SETTING_MAX_MESSAGE, r, 0, 0, 0, 0, 0, 3, none, NO_TAGS);
	run();
	expect(1, WIRE_TYPE_DONE);
	share(1, 4, 0, "q", "s r", lines(2));
	run();
	EXPECT(1, FAILED, failed, large);
	assert_int_equal(large.code, RMQ_E_TOO_LARGE);
	INPUT(1, list, 1, 10, none, slice_str("*"));
	run();
	EXPECT(1, LISTED, listed, row);
	assert_true(slice_eq(row.queue, r));
	expect(1, WIRE_TYPE_LIST_END);
}

static void a_send_names_a_bounded_number_of_queues_and_none_twice(void **state)
{
	char many[8 * SEND_QUEUES_MAX] = "";
	static const uint8_t cut[] = {4, 0, 1, 0, 5}, empty[] = {4, 0, 0, 0};
	(void)state;
	for (int i = 1; i < SEND_QUEUES_MAX; i++)
		snprintf(
		    many + strlen(many), 8, "r%d%s", i, i + 1 < SEND_QUEUES_MAX ? " " : "");
	hello(1, 0, 0);
	share(1, 1, 0, "q", many, lines(BATCH_MESSAGES_MAX));
	run();
	EXPECT(1, SENT, sent, m);
	assert_int_equal(m.count, BATCH_MESSAGES_MAX);
	assert_int_equal(bodies_left(), BATCH_MESSAGES_MAX);
	uint64_t digest = broker_digest(w.broker);
	restart();
	assert_int_equal(broker_digest(w.broker), digest);
	strcat(many, " more");
	for (int i = 0; i < 6; i++) {
		hello(1, 0, 0);
		if (i == 0)
			share(1, 1, 0, "q", many, lines(1));
		else if (i == 1)
			share(1, 1, 0, "q", "r q", lines(1));
		else if (i == 2)
			share(1, 1, 0, "q", "r s r", lines(1));
		else if (i == 3)
			share(1, 1, SEND_CHUNK, "q", "r q", lines(1));
		else
			INPUT(1, send, 1, 0, 0, 0, slice_str("q"),
			    i == 4 ? slice_of(cut, sizeof(cut))
				   : slice_of(empty, sizeof(empty)),
			    lines(1));
		run();
		EXPECT(1, ERROR, error, e);
		assert_int_equal(e.code, RMQ_E_PROTOCOL);
		broker_disconnect(w.broker, 1);
		w.closed[1] = false;
	}
	assert_int_equal(bodies_left(), BATCH_MESSAGES_MAX);
}

/* ---- histories ---- */

/* What has happened to the message, a word for each entry; *frames: so many were asked for. */
static const char *life(const char *queue, uint64_t seq, unsigned *frames)
{
	static char words[8192];
	uint8_t place[HISTORY_PLACE_MAX];
	size_t len = 0;
	uint64_t time = 0;
	words[0] = '\0';
	for (*frames = 0;; ++*frames) {
		struct history_entry e;
		INPUT(1, history, 9, seq, slice_str(queue), slice_of(place, len), NO_TAGS);
		assert_false(broker_wants_frame(w.broker, 1));
		run();
		assert_true(broker_wants_frame(w.broker, 1));
		EXPECT(1, HISTORY_IS, history_is, m);
		assert_int_equal(m.req, 9);
		struct reader r = reader_of(m.entries);
		while (reader_left(&r) > 0) {
			history_entry_get(&r, &e);
			assert_false(r.bad);
			assert_true(e.time_ms >= time || e.what == HISTORY_UNKNOWN);
			time = e.time_ms;
			assert_true(strlen(words) + 64 < sizeof(words));
			sprintf(words + strlen(words), "%s%s", words[0] ? " " : "",
			    history_word(e.what));
			if (e.queue.len > 0)
				sprintf(words + strlen(words), "(%.*s:%u)", (int)e.queue.len,
				    (const char *)e.queue.data, (unsigned)e.seq);
			if (e.what == HISTORY_FAILED || e.what == HISTORY_ENDED)
				sprintf(words + strlen(words), "%u", (unsigned)e.failures);
		}
		len = m.place.len;
		if (len == 0)
			return m.code == RMQ_E_NO_QUEUE ? "no queue" : words;
		assert_true(len <= sizeof(place));
		memcpy(place, m.place.data, len);
	}
}

static void expect_life(const char *queue, uint64_t seq, const char *words)
{
	unsigned frames;
	assert_string_equal(life(queue, seq, &frames), words);
}

static void checkpointed(void)
{
	broker_checkpoint(w.broker);
	run();
}

static void the_life_of_a_message_is_told_from_its_sending_to_its_end(void **state)
{
	(void)state;
	sent_and_subscribed(3, 3);
	EXPECT(1, DELIVER, deliver, d);
	expect_life("q", 1, "sent leased");
	settle(1, 2, VERB_SETTLE, 0, 0, d.lease, 1, 1);
	settle(1, 3, VERB_TOUCH, 0, 20000, d.lease, 2, 1);
	settle(1, 4, VERB_RELEASE, 0, 1000, d.lease, 2, 1);
	run();
	for (int i = 0; i < 3; i++)
		expect(1, WIRE_TYPE_DONE);
	expect_life("q", 1, "sent leased settled");
	expect_life("q", 2, "sent leased extended released");
	w.lease_ms += 1000;
	w.wall_ms += 1000;
	run();
	expect_life("q", 2, "sent leased extended released delay-over");
	w.lease_ms += 9000;
	w.wall_ms += 9000;
	run();
	expect(1, WIRE_TYPE_LEASE_ENDED);
	expect_life("q", 3, "sent leased lease-ended1");
	cancel(5, 2, 0);
	run();
	expect(1, WIRE_TYPE_DONE);
	expect_life("q", 2, "sent leased extended released delay-over cancelled");
	expect_life("q", 4, "");
	expect_life("nope", 1, "no queue");
	restart();
	hello(1, 0, 0);
	expect_life("q", 1, "sent leased settled");
}

/* What message seq of q waits for now. */
static struct history_waits waits(uint64_t seq)
{
	struct history_waits m = {0};
	struct slice value;
	INPUT(1, history, 9, seq, slice_str("q"), NO_TAGS, NO_TAGS);
	run();
	EXPECT(1, HISTORY_IS, history_is, is);
	assert_int_equal(is.place.len, 0);
	if (tags_find(is.tags, HISTORY_IS_TAG_WAITS, &value))
		assert_true(history_waits_decode(value, &m));
	return m;
}

static void what_a_message_waits_for_is_told(void **state)
{
	(void)state;
	hello(1, 0, 0);
	send_keyed(1, "a", 0);
	send_keyed(2, "a", 0);
	sent_lines(1, 3, "q", 1);
	assert_int_equal(waits(1).why, WAITS_RECEIVER);
	assert_int_equal(waits(9).why, 0);
	subscribe(1, "q", 1);
	EXPECT(1, DELIVER, deliver, d);
	assert_int_equal(waits(1).why, 0);
	struct history_waits w2 = waits(2);
	assert_int_equal(w2.why, WAITS_KEY);
	assert_int_equal(w2.seq, 1);
	assert_int_equal(w2.state, STATE_LEASED);
	assert_int_equal(w2.lease, d.lease);
	assert_int_equal(w2.until_ms, w.wall_ms + 10000);
	assert_int_equal(waits(3).why, WAITS_CREDIT);
	struct more_settings *s = &broker_queue_named(w.broker, slice_str("q"))->settings.more;
	s->max_inflight = 1;
	assert_int_equal(waits(3).why, WAITS_INFLIGHT);
	assert_int_equal(waits(3).limit, 1);
	s->paused_out = true;
	assert_int_equal(waits(2).why, WAITS_PAUSED);
	s->paused_out = false;
	settle(1, 4, VERB_RELEASE, 0, 5000, d.lease, 1, 1);
	run();
	expect(1, WIRE_TYPE_DONE);
	struct history_waits w1 = waits(1);
	assert_int_equal(w1.why, WAITS_BACK_OFF);
	assert_int_equal(w1.until_ms, w.wall_ms + 5000);
	assert_int_equal(waits(2).state, STATE_DELAYED);
	assert_int_equal(waits(2).until_ms, w1.until_ms);
}

static void a_dead_letter_and_what_comes_back_of_it_name_each_other(void **state)
{
	(void)state;
	sent_and_subscribed(1, 1);
	EXPECT(1, DELIVER, deliver, d);
	settle(1, 2, VERB_DEAD, 0, 0, d.lease, 1, 1);
	run();
	expect(1, WIRE_TYPE_DONE);
	expect_life("q", 1, "sent leased dead-lettered(q.dead:1)");
	expect_life("q.dead", 1, "arrived(q:1)");
	uint8_t bytes[SEQ_RANGE_SIZE];
	struct writer range = writer_of(bytes, sizeof(bytes));
	seq_range_put(&range, &(struct seq_range){1, 1});
	INPUT(1, transfer, 3, TRANSFER_HOME, 3, slice_str("q.dead"), slice_str(""), NO_TAGS,
	    slice_of(bytes, range.len));
	run();
	expect(1, WIRE_TYPE_TRANSFERRED);
	expect_life("q.dead", 1, "arrived(q:1) moved(q:2)");
	expect_life("q", 2, "arrived(q.dead:1)");
}

static void a_life_begins_with_the_newest_checkpoint(void **state)
{
	(void)state;
	sent_and_subscribed(5, 4);
	EXPECT(1, DELIVER, deliver, d);
	settle(1, 2, VERB_SETTLE, 0, 0, d.lease, 2, 1);
	run();
	expect(1, WIRE_TYPE_DONE);
	checkpointed();
	expect_life("q", 1, "checkpoint");
	/* These cover message 2, which is not there any more. */
	settle(1, 3, VERB_RELEASE, 0, 0, d.lease, 1, 3);
	run();
	expect(1, WIRE_TYPE_DONE);
	expect_life("q", 1, "checkpoint released");
	expect_life("q", 2, "");
	expect_life("q", 5, "checkpoint");
	sent_lines(1, 4, "q", 1);
	expect_life("q", 6, "sent");
	INPUT(1, queue_purge, 5, 4, slice_str("q"));
	run();
	expect(1, WIRE_TYPE_LEASE_ENDED);
	expect(1, WIRE_TYPE_DONE);
	expect_life("q", 3, "checkpoint released purged");
	expect_life("q", 6, "sent purged");
	restart();
	hello(1, 0, 0);
	expect_life("q", 3, "checkpoint released purged");
}

static void a_queue_that_is_gone_is_found_by_its_name(void **state)
{
	(void)state;
	hello(1, 0, 0);
	sent_lines(1, 1, "q", 2);
	checkpointed();
	INPUT(1, queue_remove, 2, 1, REMOVE_FORCE, slice_str("q"));
	run();
	expect(1, WIRE_TYPE_DONE);
	expect_life("q", 1, "checkpoint queue-removed");
	sent_lines(1, 3, "q", 1);
	expect_life("q", 1, "sent");
}

static void what_cannot_be_read_is_passed_over_in_a_life(void **state)
{
	(void)state;
	sent_and_subscribed(1, 1);
	uint64_t before = w.last;
	EXPECT(1, DELIVER, deliver, d);
	settle(1, 2, VERB_TOUCH, 0, 20000, d.lease, 1, 1);
	run();
	expect(1, WIRE_TYPE_DONE);
	assert_int_equal(w.last, before + 1);
	w.log[w.last].rotten = true;
	settle(1, 3, VERB_SETTLE, 0, 0, d.lease, 1, 1);
	run();
	expect(1, WIRE_TYPE_DONE);
	expect_life("q", 1, "sent leased unknown settled");
	w.log[w.last].rotten = false;
}

static void a_life_is_read_in_bounded_pieces(void **state)
{
	(void)state;
	static uint8_t big[BATCH_MAX];
	unsigned frames;
	hello(1, 0, 0);
	sent_lines(1, 1, "q", 1);
	struct writer b = writer_of(big, sizeof(big));
	put_u16(&b, 1);
	put_u16(&b, 0);
	put_u16(&b, 60000);
	memset(big + b.len, 'x', 60000);
	for (uint64_t n = 2; n < 2 + 4 * (HISTORY_BYTES_MAX / 60000); n++) {
		INPUT(1, send, n, n - 1, 0, 0, slice_str("other"), NO_TAGS,
		    slice_of(big, b.len + 60000));
		run();
		expect(1, WIRE_TYPE_SENT);
	}
	assert_string_equal(life("q", 1, &frames), "sent");
	assert_in_range(frames, 3, 5);
	assert_true(w.looked <= HISTORY_BYTES_MAX + 2 * RECORD_PAYLOAD_MAX);
	/* It goes on in front of what a checkpoint has left. */
	INPUT(1, history, 9, 1, slice_str("q"), NO_TAGS, NO_TAGS);
	run();
	EXPECT(1, HISTORY_IS, history_is, m);
	assert_true(m.place.len > 0);
	uint8_t place[HISTORY_PLACE_MAX];
	memcpy(place, m.place.data, m.place.len);
	checkpointed();
	INPUT(1, history, 9, 1, slice_str("q"), slice_of(place, m.place.len), NO_TAGS);
	run();
	EXPECT(1, HISTORY_IS, history_is, m2);
	struct history_entry e;
	struct reader r = reader_of(m2.entries);
	history_entry_get(&r, &e);
	assert_int_equal(e.what, HISTORY_UNKNOWN);
	/* A place that cannot be one. */
	INPUT(1, history, 9, 1, slice_str("q"), slice_of(place, 3), NO_TAGS);
	run();
	expect(1, WIRE_TYPE_ERROR);
	assert_true(w.closed[1]);
}

/* The part of a group is in several records: what is sent between them, to a queue that is written. */
static void a_life_that_begins_while_the_checkpoint_is_made_is_told(void **state)
{
	const struct space_limits limits = {.turn_bytes = 400,
	    .turn_steps = TURN_STEPS,
	    .log_enough = 1 << 30,
	    .dead_enough = 1 << 30};
	char name[16];
	uint64_t n = 1;
	unsigned cuts = 0;
	bool sent = false;
	(void)state;
	hello(1, 0, 0);
	/* The last one is in the group of the first. */
	for (unsigned i = 1; i <= CHECKPOINT_GROUPS + 1; i++) {
		snprintf(name, sizeof(name), "q%u", i);
		sent_lines(1, n++, name, 1);
	}
	for (int i = 0; i < 60; i++)
		sent_lines(1, n++, name, 16);
	broker_set_space(w.broker, &limits);
	broker_checkpoint(w.broker);
	while (broker_checkpointing(w.broker)) {
		const struct checkpoint *k = &w.broker->ckpt;
		begin();
		broker_flush(w.broker);
		cuts += k->paused && k->queue == CHECKPOINT_GROUPS + 1;
		if (cuts == 3 && !sent) {
			INPUT(1, send, n, n - 1, 0, 0, slice_str("q1"), NO_TAGS, lines(1));
			n++;
			INPUT(1, send, n, n - 1, 0, 0, slice_str(name), NO_TAGS, lines(1));
			n++;
			sent = true;
		}
		store();
	}
	run();
	assert_true(sent);
	expect(1, WIRE_TYPE_SENT);
	expect(1, WIRE_TYPE_SENT);
	assert_int_equal(broker_digest(w.broker), recovered_digest());
	expect_life("q1", 1, "checkpoint");
	expect_life("q1", 2, "sent");
	/* Of this one a later piece of the part tells. */
	expect_life(name, 1 + 60 * 16 + 1, "checkpoint");
}

/* ---- topics ---- */

static void bind_to(uint64_t n, const char *queue, const char *pattern)
{
	INPUT(1, bind, n, n - 1, BIND_CREATE, slice_str(queue), slice_str(pattern), NO_TAGS);
	run();
	expect(1, WIRE_TYPE_DONE);
}

static void send_topic(uint64_t n, uint8_t flags, const char *topic, struct slice batch)
{
	INPUT(1, send, n, n - 1, SEND_TOPIC | flags, 0, slice_str(topic), NO_TAGS, batch);
	run();
}

static void expect_code(uint64_t conn, uint8_t code)
{
	EXPECT(conn, FAILED, failed, m);
	assert_int_equal(m.code, code);
}

/* Each once, though q is bound in two ways; stored once; also after a restart, with or without parts. */
static void each_queue_bound_to_a_topic_gets_a_message_once(void **state)
{
	(void)state;
	for (int parts = 0; parts < 2; parts++) {
		hello(1, 0, 0);
		bind_to(1, "q", "news.*");
		bind_to(2, "q", "news.#");
		bind_to(3, "r", "news.eu");
		bind_to(4, "s", "other.#");
		bind_to(5, "q", "news.#");
		if (parts)
			checkpoint();
		uint64_t digest = broker_digest(w.broker);
		restart();
		assert_int_equal(broker_digest(w.broker), digest);
		hello(1, 0, 0);
		uint64_t records = w.last;
		send_topic(1, 0, "news.eu", lines(3));
		EXPECT(1, SENT, sent, m);
		assert_int_equal(m.count, 3);
		assert_int_equal(bodies_left(), 3);
		assert_int_equal(w.last, records + 1);
		expect_counts(1, "q", 3, 0);
		expect_counts(1, "r", 3, 0);
		expect_counts(1, "s", 0, 0);
		digest = broker_digest(w.broker);
		restart();
		assert_int_equal(broker_digest(w.broker), digest);
		hello(1, 0, 0);
		subscribe_as(1, 1, "q", 9);
		expect_lines(1, 1, 1, 3, 0);
		expect_nothing(1);
		teardown(NULL);
		setup(NULL);
	}
}

static void a_topic_that_leads_to_no_queue_is_refused_unless_it_may(void **state)
{
	(void)state;
	hello(1, 0, 0);
	send_topic(1, 0, "news.eu", lines(1));
	expect_code(1, RMQ_E_UNROUTED);
	send_topic(1, SEND_ALLOW_UNROUTED, "news.eu", lines(1));
	expect(1, WIRE_TYPE_DONE);
	/* Again, as after a lost answer. */
	send_topic(1, SEND_ALLOW_UNROUTED, "news.eu", lines(1));
	expect(1, WIRE_TYPE_DONE);
	bind_to(2, "q", "news.eu");
	INPUT(1, unbind, 3, 2, 0, slice_str("q"), slice_str("news.*"), NO_TAGS);
	run();
	expect_code(1, RMQ_E_NO_BINDING);
	INPUT(1, unbind, 3, 2, 0, slice_str("x"), slice_str("news.*"), NO_TAGS);
	run();
	expect_code(1, RMQ_E_NO_QUEUE);
	INPUT(1, unbind, 3, 2, 0, slice_str("q"), slice_str("news.eu"), NO_TAGS);
	run();
	expect(1, WIRE_TYPE_DONE);
	send_topic(4, 0, "news.eu", lines(1));
	expect_code(1, RMQ_E_UNROUTED);
	/* The bindings of a queue go with it. */
	bind_to(4, "q", "news.eu");
	INPUT(1, queue_remove, 5, 4, REMOVE_FORCE, slice_str("q"));
	run();
	expect(1, WIRE_TYPE_DONE);
	send_topic(6, 0, "news.eu", lines(1));
	expect_code(1, RMQ_E_UNROUTED);
	send_topic(6, 0, "news..eu", lines(1));
	expect_code(1, RMQ_E_USAGE);
	checkpoint();
	uint64_t digest = broker_digest(w.broker);
	restart();
	assert_int_equal(broker_digest(w.broker), digest);
}

static void a_bind_is_refused_as_a_whole(void **state)
{
	char pattern[16];
	(void)state;
	hello(1, 0, 0);
	INPUT(1, bind, 1, 0, 0, slice_str("q"), slice_str("a"), NO_TAGS);
	run();
	expect_code(1, RMQ_E_NO_QUEUE);
	INPUT(1, bind, 1, 0, BIND_CREATE, slice_str("q"), slice_str("a.#.b"), NO_TAGS);
	run();
	expect_code(1, RMQ_E_USAGE);
	INPUT(1, bind, 1, 0, 2, slice_str("q"), slice_str("a"), NO_TAGS);
	run();
	expect_code(1, RMQ_E_VERSION);
	assert_null(broker_queue_named(w.broker, slice_str("q")));
	for (uint64_t n = 1; n <= QUEUE_BINDINGS_MAX; n++) {
		snprintf(pattern, sizeof(pattern), "a.%llu", (unsigned long long)n);
		bind_to(n, "q", pattern);
	}
	INPUT(1, bind, QUEUE_BINDINGS_MAX + 1, QUEUE_BINDINGS_MAX, 0, slice_str("q"),
	    slice_str("b"), NO_TAGS);
	run();
	expect_code(1, RMQ_E_LIMIT);
	/* All are told, in pieces. */
	uint32_t rows = 0;
	char last[16] = "";
	for (bool more = true; more;) {
		INPUT(1, bindings, 5, 100, slice_str("q"), slice_str(""), slice_str(last),
		    NO_TAGS);
		run();
		while (w.out[1][4] == WIRE_TYPE_BOUND) {
			EXPECT(1, BOUND, bound, row);
			assert_true(slice_cmp(row.pattern, slice_str(last)) > 0);
			snprintf(last, sizeof(last), "%.*s", (int)row.pattern.len,
			    (const char *)row.pattern.data);
			rows++;
		}
		EXPECT(1, BINDINGS_END, bindings_end, end);
		assert_int_equal(end.code, RMQ_E_OK);
		more = end.more;
	}
	assert_int_equal(rows, QUEUE_BINDINGS_MAX);
	INPUT(1, bindings, 6, 100, slice_str("x"), slice_str(""), slice_str(""), NO_TAGS);
	run();
	EXPECT(1, BINDINGS_END, bindings_end, none);
	assert_int_equal(none.code, RMQ_E_NO_QUEUE);
	checkpoint();
	uint64_t digest = broker_digest(w.broker);
	restart();
	assert_int_equal(broker_digest(w.broker), digest);
}

/* A body for 1024 queues is stored once; what is for one more comes to none. */
static void a_topic_leads_to_a_bounded_number_of_queues(void **state)
{
	char name[16];
	uint64_t n = 1;
	(void)state;
	hello(1, 0, 0);
	for (; n <= SHARES_MAX; n++) {
		snprintf(name, sizeof(name), "q%llu", (unsigned long long)n);
		bind_to(n, name, "all.#");
	}
	uint8_t *large = calloc(1, BATCH_MAX);
	struct writer b = writer_of(large, BATCH_MAX);
	put_u16(&b, 1);
	put_u16(&b, 0);
	put_u16(&b, TOPIC_DATA_MAX - 6);
	memset(large + 6, 'x', TOPIC_DATA_MAX - 7);
	large[TOPIC_DATA_MAX - 1] = '\n';
	uint64_t records = w.last;
	send_topic(n++, 0, "all.of.them", slice_of(large, TOPIC_DATA_MAX));
	expect(1, WIRE_TYPE_SENT);
	assert_int_equal(w.last, records + 1);
	send_topic(n++, 0, "all", lines(2));
	expect(1, WIRE_TYPE_SENT);
	expect_counts(1, "q1", 3, 0);
	expect_counts(1, "q1024", 3, 0);
	bind_to(n++, "one-more", "all.#");
	send_topic(n, 0, "all", lines(2));
	expect_code(1, RMQ_E_LIMIT);
	expect_counts(1, "q1", 3, 0);
	checkpoint();
	uint64_t digest = broker_digest(w.broker);
	restart();
	assert_int_equal(broker_digest(w.broker), digest);
	/* More data than an event has place for beside so many names is refused before it is looked at. */
	hello(1, 0, 0);
	send_topic(1, 0, "all", slice_of(large, TOPIC_DATA_MAX + 1));
	assert_true(w.closed[1]);
	free(large);
}

static void a_large_message_comes_to_the_queues_of_its_topic(void **state)
{
	uint8_t *piece = calloc(1, TOPIC_DATA_MAX);
	struct slice topic = slice_str("a.b"), data = slice_of(piece, TOPIC_DATA_MAX);
	(void)state;
	hello(1, 0, 0);
	bind_to(1, "r", "a.*");
	bind_to(2, "q", "a.#");
	uint8_t flags = SEND_TOPIC | SEND_CHUNK;
	INPUT(1, send, 3, 2, flags | SEND_MORE, 0, topic, NO_TAGS, data);
	/* Another command: it is given up. */
	bind_to(3, "late", "a.#");
	INPUT(1, send, 4, 3, flags | SEND_MORE, 0, topic, NO_TAGS, data);
	/* A binding of now is of no account for what has begun to come. */
	hello(2, 0, 0);
	INPUT(2, bind, 1, 0, BIND_CREATE, slice_str("later"), slice_str("a.#"), NO_TAGS);
	INPUT(1, send, 4, 3, flags, 1, topic, NO_TAGS, slice_of(piece, 5));
	run();
	w.out_len[2] = 0;
	EXPECT(1, SENT, sent, m);
	assert_int_equal(m.n, 4);
	expect_counts(1, "q", 1, 0);
	expect_counts(1, "r", 1, 0);
	expect_counts(1, "late", 1, 0);
	expect_counts(1, "later", 0, 0);
	uint64_t digest = broker_digest(w.broker);
	restart();
	assert_int_equal(broker_digest(w.broker), digest);
	hello(1, 0, 0);
	INPUT(1, send, 1, 0, flags | SEND_MORE, 0, slice_str("x"), NO_TAGS, data);
	INPUT(1, send, 1, 0, flags, 1, slice_str("x"), NO_TAGS, slice_of(piece, 5));
	run();
	expect_code(1, RMQ_E_UNROUTED);
	expect_nothing(1);
	flags |= SEND_ALLOW_UNROUTED;
	INPUT(1, send, 1, 0, flags | SEND_MORE, 0, slice_str("x"), NO_TAGS, data);
	INPUT(1, send, 1, 0, flags, 1, slice_str("x"), NO_TAGS, slice_of(piece, 5));
	run();
	expect(1, WIRE_TYPE_DONE);
	free(piece);
}

/* ---- ephemeral subscriptions ---- */

static void subscribe_ephemeral(uint64_t conn, uint8_t flags)
{
	INPUT(
	    conn, subscribe, 2, SUBSCRIBE_EPHEMERAL | flags, 10000, slice_str("a.*"), NO_TAGS);
	run();
}

static struct queue *ephemeral(uint64_t session)
{
	char name[NAME_EPHEMERAL_MAX];
	return broker_queue_named(w.broker, name_of_ephemeral(name, session, 2));
}

static void an_ephemeral_subscription_ends_with_its_session(void **state)
{
	enum { BYE, DIED, VANISHED, RESTARTED, WAYS };
	(void)state;
	for (int way = 0; way < WAYS; way++) {
		hello(1, 0, 0);
		uint64_t session = hello(2, 0, 0);
		subscribe_ephemeral(2, 0);
		expect(2, WIRE_TYPE_SUBSCRIBED);
		INPUT(2, credit, 2, 1, 1 << 20, 7);
		send_topic(1, 0, "a.b", lines(2));
		expect(1, WIRE_TYPE_SENT);
		EXPECT(2, DELIVER, deliver, d);
		assert_int_equal(d.count, 1);
		if (way == BYE) {
			INPUT(2, bye, 0);
		} else if (way == DIED) {
			broker_disconnect(w.broker, 2);
			broker_holder_died(w.broker, session);
		} else {
			broker_disconnect(w.broker, 2);
			checkpoint();
			if (way == RESTARTED)
				restart();
			w.lease_ms += EPHEMERAL_IDLE_MS - 1;
			begin();
			run();
			assert_non_null(ephemeral(session));
			w.lease_ms++;
		}
		begin();
		run();
		run();
		assert_null(ephemeral(session));
		teardown(NULL);
		setup(NULL);
	}
}

/* Nobody takes the name of one that is to come, neither by a command nor as dead letters. */
static void names_of_ephemeral_subscriptions_are_reserved(void **state)
{
	const struct slice name = slice_str("sub-4294967297-0");
	(void)state;
	hello(1, 0, 0);
	create(1, 1, "sub-%u-0", 7);
	expect_refused(1, RMQ_E_RESERVED, "name is for ephemeral subscriptions");
	INPUT(1, send, 1, 0, 0, 0, name, NO_TAGS, lines(1));
	expect_refused(1, RMQ_E_RESERVED, "name is for ephemeral subscriptions");
	INPUT(1, bind, 1, 0, BIND_CREATE, name, slice_str("a"), NO_TAGS);
	expect_refused(1, RMQ_E_RESERVED, "name is for ephemeral subscriptions");
	INPUT(1, queue_create, 1, 0, SETTING_DEAD_LETTER, slice_str("q"), 0, 0, 0, 0, 0, 0,
	    name, NO_TAGS);
	expect_refused(1, RMQ_E_CONFIG, "bad configuration");
	INPUT(1, subscribe, 1, 0, 10000, name, NO_TAGS);
	run();
	EXPECT(1, SUB_FAILED, sub_failed, m);
	assert_int_equal(m.code, RMQ_E_RESERVED);
	assert_null(broker_queue_named(w.broker, name));
	/* What only looks like one is free. */
	create(1, 1, "sub-%u", 7);
	create(1, 2, "sub-%u-x", 7);
	create(1, 3, "xsub-%u-1", 7);
	run();
	for (int i = 0; i < 3; i++)
		expect(1, WIRE_TYPE_DONE);
	/* One that is there takes messages. */
	uint64_t session = hello(2, 0, 0);
	subscribe_ephemeral(2, 0);
	char bytes[NAME_EPHEMERAL_MAX];
	INPUT(1, send, 4, 3, 0, 0, name_of_ephemeral(bytes, session, 2), NO_TAGS, lines(1));
	run();
	expect(1, WIRE_TYPE_SENT);
}

/* A journal of a version that allowed it: rules for what is asked are none for what is journaled. */
static void a_dead_letter_setting_that_is_refused_now_is_read(void **state)
{
	const struct slice name = slice_str("sub-x-1");
	(void)state;
	hello(1, 0, 0);
	INPUT(1, queue_create, 1, 0, SETTING_DEAD_LETTER, slice_str("q"), 0, 0, 0, 0, 0, 0,
	    name, NO_TAGS);
	run();
	expect(1, WIRE_TYPE_DONE);
	uint8_t *at = memmem(w.log[w.last].payload, w.log[w.last].len, name.data, name.len);
	assert_non_null(at);
	at[4] = '7';
	restart();
	const struct queue *q = broker_queue_named(w.broker, slice_str("q"));
	assert_non_null(q);
	assert_string_equal(q->settings.dead_letter, "sub-7-1");
	/* Its other settings can be changed. */
	hello(1, 0, 0);
	INPUT(1, queue_set, 1, 0, SETTING_MAX_ATTEMPTS, slice_str("q"), 0, 3, 0, 0, 0, 0,
	    NO_TAGS, NO_TAGS);
	run();
	expect(1, WIRE_TYPE_DONE);
	assert_int_equal(q->settings.max_attempts, 3);
	assert_string_equal(q->settings.dead_letter, "sub-7-1");
}

/* Its queue takes several turns to go, and its receiver comes back meanwhile, or after a restart. */
static void who_comes_back_while_an_ephemeral_subscription_ends_is_told(void **state)
{
	const struct space_limits limits = {.turn_bytes = TURN_BYTES, .turn_steps = 1};
	(void)state;
	hello(1, 0, 0);
	for (uint64_t restarts = 0; restarts < 2; restarts++) {
		uint64_t session = hello(2, 0, 0);
		subscribe_ephemeral(2, 0);
		expect(2, WIRE_TYPE_SUBSCRIBED);
		for (uint64_t n = 1; n <= 20; n++) {
			send_topic(20 * restarts + n, 0, "a.b", lines(1));
			expect(1, WIRE_TYPE_SENT);
		}
		broker_disconnect(w.broker, 2);
		run();
		broker_set_space(w.broker, &limits);
		w.lease_ms += 61000;
		while (ephemeral(session)->bindings_count > 0) {
			begin();
			broker_flush(w.broker);
			store();
		}
		if (restarts > 0) {
			restart();
			broker_set_space(w.broker, &limits);
			begin();
		}
		comes(2, "", OWNER_UNKNOWN, session, 0);
		INPUT(2, subscribe, 2, SUBSCRIBE_EPHEMERAL, 10000, slice_str("a.*"), NO_TAGS);
		run();
		expect(2, WIRE_TYPE_WELCOME);
		EXPECT(2, SUB_FAILED, sub_failed, m);
		assert_int_equal(m.code, RMQ_E_NO_QUEUE);
		assert_null(ephemeral(session));
		broker_disconnect(w.broker, 2);
		run();
	}
}

static void an_ephemeral_subscription_is_gone_on_with_and_never_made_anew_unseen(void **state)
{
	(void)state;
	hello(1, 0, 0);
	uint64_t session = hello(2, 0, 0);
	subscribe_ephemeral(2, 0);
	expect(2, WIRE_TYPE_SUBSCRIBED);
	send_topic(1, 0, "a.b", lines(1));
	expect(1, WIRE_TYPE_SENT);
	/* Nobody else ends it, nor puts another binding in place of its own. */
	INPUT(1, unbind, 2, 1, 0, queue_name(ephemeral(session)), slice_str("a.*"), NO_TAGS);
	expect_failed(1, RMQ_E_RESERVED,
	    "it is the queue of an ephemeral subscription: its receiver alone binds it");
	INPUT(1, bind, 2, 1, 0, queue_name(ephemeral(session)), slice_str("b.*"), NO_TAGS);
	expect_failed(1, RMQ_E_RESERVED,
	    "it is the queue of an ephemeral subscription: its receiver alone binds it");
	for (int times = 0; times < 2; times++) {
		broker_disconnect(w.broker, 2);
		if (times > 0) {
			w.lease_ms += EPHEMERAL_IDLE_MS;
			begin();
			run();
			run();
		}
		hello(2, session, 0);
		subscribe_ephemeral(2, SUBSCRIBE_NO_CREATE);
		if (times == 0) {
			expect(2, WIRE_TYPE_SUBSCRIBED);
			assert_int_equal(queue_total(ephemeral(session)), 1);
		} else {
			EXPECT(2, SUB_FAILED, sub_failed, f);
			assert_int_equal(f.code, RMQ_E_NO_QUEUE);
		}
	}
}

/* Piece `part` of message n, for q and s and u if it is the first one. */
static void piece_for_three(uint64_t n, uint32_t part, bool last)
{
	static uint8_t piece[CHUNK_MAX];
	uint8_t flags = (uint8_t)(SEND_CHUNK | (last ? 0 : SEND_MORE));
	memset(piece, (int)('a' + part), sizeof(piece));
	if (part == 0)
		share(1, n, flags, "s", "u q", slice_of(piece, CHUNK_MAX));
	else
		INPUT(1, send, n, n - 1, flags, part, slice_str("s"), NO_TAGS,
		    slice_of(piece, last ? 100 : CHUNK_MAX));
}

static void expect_three_pieces(uint64_t conn)
{
	for (uint32_t part = 0; part < 3; part++) {
		EXPECT(conn, DELIVER_PART, deliver_part, d);
		assert_int_equal(d.part, part);
		assert_int_equal(d.parts, 3);
		assert_int_equal(d.total, 2 * CHUNK_MAX + 100);
		assert_int_equal(d.data.len, part < 2 ? CHUNK_MAX : 100);
		assert_int_equal(d.data.data[50], 'a' + part);
	}
}

/* Killed after each piece, once with a checkpoint before it. */
static void a_large_message_for_several_queues_is_stored_once_and_outlives_each(void **state)
{
	(void)state;
	uint64_t session = hello(1, 0, 0);
	for (uint32_t part = 0; part < 3; part++) {
		piece_for_three(1, part, part == 2);
		run();
		if (part == 1)
			checkpoint();
		assert_int_equal(recovered_digest(), broker_digest(w.broker));
		if (part == 2)
			continue;
		expect_nothing(1);
		restart();
		hello(1, session, 0);
	}
	EXPECT(1, SENT, sent, m);
	assert_int_equal(m.first_seq, 1);
	assert_int_equal(m.count, 1);
	const char *const names[] = {"q", "s", "u"};
	for (int i = 0; i < 3; i++)
		assert_int_equal(bytes_of(names[i]), 2 * CHUNK_MAX + 100);
	assert_int_equal(events_left(EVENT_TYPE_CHUNK), 3);
	/* Once, however often it comes. */
	restart();
	hello(1, session, 0);
	for (uint32_t part = 0; part < 3; part++)
		piece_for_three(1, part, part == 2);
	run();
	expect(1, WIRE_TYPE_SENT);
	/* As a dead letter, too. */
	subscribe_as(1, 1, "q", 1);
	for (int part = 0; part < 3; part++) {
		EXPECT(1, DELIVER_PART, deliver_part, d);
		if (part == 2)
			settle(1, 2, VERB_DEAD, 0, 0, d.lease, 1, 1);
	}
	run();
	expect(1, WIRE_TYPE_DONE);
	purge(1, 3, "s");
	checkpoint();
	assert_int_equal(recovered_digest(), broker_digest(w.broker));
	restart();
	assert_int_equal(events_left(EVENT_TYPE_CHUNK), 3);
	assert_int_equal(bytes_of("q.dead"), 2 * CHUNK_MAX + 100);
	hello(1, session, 3);
	purge(1, 4, "q.dead");
	checkpoint();
	restart();
	hello(1, session, 4);
	subscribe_as(1, 1, "u", 1);
	expect_three_pieces(1);
	INPUT(1, queue_purge, 5, 4, slice_str("u"));
	checkpoint();
	assert_int_equal(events_left(EVENT_TYPE_CHUNK), 0);
}

/* It is refused, and nothing of it is left in any of its queues. */
static void expect_none_of_it(enum rmq_error code, const char *text)
{
	struct queue *q;
	expect_failed(1, code, text);
	RB_FOREACH (q, queue_id_tree, &w.broker->queues_by_id)
		assert_true(queue_total(q) == 0 && q->unfinished_bytes == 0);
	assert_int_equal(recovered_digest(), broker_digest(w.broker));
}

static void begin_for_three(void)
{
	piece_for_three(1, 0, false);
	piece_for_three(1, 1, false);
	run();
	expect_nothing(1);
	assert_int_equal(
	    broker_queue_named(w.broker, slice_str("u"))->unfinished_bytes, 2 * CHUNK_MAX);
}

static void set_u(uint64_t n, uint32_t mask, uint64_t max_bytes, uint32_t max_message)
{
	INPUT(2, queue_set, n, n - 1, mask, slice_str("u"), 0, 0, 0, 0, max_bytes, max_message,
	    slice_str(""), NO_TAGS);
	run();
	expect(2, WIRE_TYPE_DONE);
}

/* It goes from one of its queues: so it is not taken in the others. */
static void a_large_message_that_one_of_its_queues_lost_comes_to_none(void **state)
{
	(void)state;
	hello(1, 0, 0);
	hello(2, 0, 0);
	begin_for_three();
	purge(2, 1, "u");
	piece_for_three(1, 2, true);
	expect_none_of_it(RMQ_E_OUT_OF_ORDER, error_text(RMQ_E_OUT_OF_ORDER));
	for (uint64_t i = 0; i < 3; i++) {
		struct slice name = slice_str(i == 1 ? "s" : "q");
		uint64_t n = 2 + 2 * i;
		begin_for_three();
		INPUT(2, queue_remove, n, n - 1, REMOVE_FORCE, name);
		/* Also if there is another one of that name. */
		INPUT(2, queue_create, n + 1, n, 0, i == 2 ? slice_str("other") : name, 0, 0, 0,
		    0, 0, 0, slice_str(""), NO_TAGS);
		run();
		expect(2, WIRE_TYPE_DONE);
		expect(2, WIRE_TYPE_DONE);
		piece_for_three(1, 2, true);
		expect_none_of_it(RMQ_E_OUT_OF_ORDER, error_text(RMQ_E_OUT_OF_ORDER));
	}
}

static void a_large_message_that_one_of_its_queues_refuses_comes_to_none(void **state)
{
	(void)state;
	hello(1, 0, 0);
	hello(2, 0, 0);
	begin_for_three();
	set_u(1, SETTING_MAX_MESSAGE, 0, 2 * CHUNK_MAX);
	piece_for_three(1, 2, true);
	expect_none_of_it(RMQ_E_TOO_LARGE,
	    "message is too large: it has 129124 bytes, the queue's --max-message is 129024");
	set_u(2, SETTING_MAX_MESSAGE, 0, 3 * CHUNK_MAX);
	send_lines(2, 3, "u", 2);
	run();
	expect(2, WIRE_TYPE_SENT);
	begin_for_three();
	set_u(4, SETTING_MAX_BYTES, 10, 0);
	piece_for_three(1, 2, true);
	expect_failed(1, RMQ_E_FULL, "queue is full: u");
	piece_for_three(1, 0, false);
	expect_failed(1, RMQ_E_FULL, "queue is full: u");
	purge(2, 5, "u");
	expect(1, WIRE_TYPE_ROOM);
	piece_for_three(1, 0, false);
	piece_for_three(1, 1, false);
	piece_for_three(1, 2, true);
	run();
	expect(1, WIRE_TYPE_SENT);
	assert_int_equal(recovered_digest(), broker_digest(w.broker));
}

/* What many of them keep is bounded by what was sent. */
static void a_piece_for_several_queues_is_no_small_one(void **state)
{
	static uint8_t piece[CHUNK_SEVERAL_MIN];
	uint8_t more = SEND_CHUNK | SEND_MORE;
	(void)state;
	for (int i = 0; i < 2; i++) {
		hello(1, 0, 0);
		share(1, 1, more, "q", "r", slice_of(piece, CHUNK_SEVERAL_MIN - (i == 0)));
		if (i > 0)
			INPUT(1, send, 1, 0, more, 1, slice_str("q"), NO_TAGS,
			    slice_of(piece, CHUNK_SEVERAL_MIN - 1));
		run();
		EXPECT(1, ERROR, error, e);
		assert_int_equal(e.code, RMQ_E_PROTOCOL);
		broker_disconnect(w.broker, 1);
		w.closed[1] = false;
	}
}

/* Many dead letters, and a piece, of one without attributes are a lease, also after a restart. */
static void what_has_no_attributes_costs_its_bytes(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		sent_and_subscribed(300, 200);
		EXPECT(1, DELIVER, deliver, d);
		settle(1, 2, VERB_DEAD, 0, 0, d.lease, d.first_seq, 200);
		run();
		if (i > 0)
			restart();
		hello(2, 0, 0);
		hello(3, 0, 0);
		w.stands[2] = true;
		for (uint32_t sub = 1; sub <= 2; sub++) {
			const char *name = sub == 1 ? "q" : "q.dead";
			INPUT(2, subscribe, sub, 0, 10000, slice_str(name), NO_TAGS);
			INPUT(2, credit, sub, 300, 1500, 7);
			run();
			const struct queue *q = broker_queue_named(w.broker, slice_str(name));
			assert_int_equal(q->live[STATE_LEASED], sub == 1 ? 100 : 200);
			purge(3, sub, name);
		}
		restart();
	}
}

/* A refused command has no effect: what stands beside the queue that does not take it. */
static void a_first_piece_that_is_too_large_makes_no_queue(void **state)
{
	static uint8_t piece[CHUNK_SEVERAL_MIN];
	struct slice r = slice_str("r"), none = slice_str("");
	(void)state;
	hello(1, 0, 0);
	INPUT(
	    1, queue_create, 1, 0, SETTING_MAX_MESSAGE, r, 0, 0, 0, 0, 0, 1000, none, NO_TAGS);
	run();
	expect(1, WIRE_TYPE_DONE);
	uint64_t appended = w.appended;
	share(1, 2, SEND_CHUNK | SEND_MORE, "q", "r", slice_of(piece, sizeof(piece)));
	run();
	EXPECT(1, FAILED, failed, large);
	assert_int_equal(large.code, RMQ_E_TOO_LARGE);
	assert_int_equal(w.appended, appended);
	assert_null(broker_queue_named(w.broker, slice_str("q")));
}

static void a_gap_costs_all_queues_that_shared_what_was_in_it(void **state)
{
	(void)state;
	w.wall_ms = 1800000000000;
	memset(&g, 0, sizeof(g));
	hello(1, 0, 0);
	for (uint64_t n = 1; n <= 3; n++) {
		share(1, n, 0, "q", "r", lines(4));
		run();
		g.bad[0] = n == 2 ? newest_events() : g.bad[0];
	}
	struct broker *killed = w.broker;
	assert_true(mend());
	broker_free(killed);
	assert_int_equal(g.told, 2 * 4);
	restart();
	hello(2, 0, 0);
	subscribe_as(2, 1, "q", 20);
	expect_lines(2, 1, 1, 4, 0);
	expect_lines(2, 1, 9, 12, 0);
	subscribe_as(2, 2, "r", 20);
	expect_lines(2, 2, 1, 4, 0);
	expect_lines(2, 2, 9, 12, 0);
	expect_nothing(2);
}

static void a_bad_record_costs_all_queues_that_share_it(void **state)
{
	(void)state;
	hello(1, 0, 0);
	share(1, 1, 0, "q", "r", lines(3));
	run();
	expect(1, WIRE_TYPE_SENT);
	for (uint64_t i = 1; i <= w.last; i++)
		w.log[i].rotten = memmem(w.log[i].payload, w.log[i].len, "m0002\n", 6) != NULL;
	subscribe(1, "r", 3);
	assert_string_equal(w.lost, " q:1..3(3) r:1..3(3)");
	run();
	assert_int_equal(recovered_digest(), broker_digest(w.broker));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
    TEST(a_send_is_answered_only_when_it_is_stored),
    TEST(a_repeated_send_is_answered_again_and_stored_once),
    TEST(holes_that_a_crash_was_faster_than_are_made_at_the_start),
    TEST(a_gap_in_numbers_is_refused),
    TEST(a_lease_expires_at_its_deadline_and_not_before),
    TEST(ping_is_answered_while_the_journal_stores_nothing),
    TEST(a_probe_gives_the_journal_one_barrier_to_answer),
    TEST(an_extension_counts_from_when_it_was_read),
    TEST(no_lease_ends_before_what_was_sent_is_heard),
    TEST(who_watches_a_queue_is_told_once_it_is_so),
    TEST(one_user_does_not_take_all_places_to_watch),
    TEST(a_watch_of_no_queue_or_one_that_goes_is_told_so),
    TEST(a_message_whose_id_is_known_is_not_stored_again),
    TEST(an_input_has_a_position_that_no_run_goes_behind),
    TEST(a_position_knows_from_its_first_to_its_last_message_through_a_restart),
    TEST(a_position_knows_after_which_record_all_are_stored),
    TEST(who_waits_for_a_message_to_be_gone_is_told_the_next_that_is_not),
    TEST(which_messages_are_dead_letters_is_told),
    TEST(dead_letters_are_told_a_page_at_a_time),
    TEST(wall_clock_jumps_do_not_end_leases),
    TEST(a_wall_clock_that_is_set_back_lengthens_no_back_off),
    TEST(an_old_receipt_is_stale_and_deletes_nothing),
    TEST(a_receipt_that_never_was_or_gives_back_what_is_gone_is_stale),
    TEST(what_is_gone_and_was_not_settled_by_this_receipt_is_stale),
    TEST(who_holds_what_another_makes_a_dead_letter_is_told_so),
    TEST(a_refused_settlement_has_no_effect),
    TEST(dead_letters_in_a_queue_that_counts_begin_anew),
    TEST(dead_letters_do_not_go_round),
    TEST(overlapping_entries_of_one_settlement_count_once),
    TEST(a_settlement_of_as_many_single_messages_as_fit_is_taken),
    TEST(a_full_batch_and_as_many_settlements_are_one_record),
    TEST(the_answer_to_settle_send_has_both_also_behind_a_checkpoint),
    TEST(what_came_of_a_lease_that_is_over_is_not_sent),
    TEST(what_came_of_a_message_that_is_gone_is_not_sent),
    TEST(settle_send_does_both_or_neither),
    TEST(messages_move_unless_somebody_holds_them),
    TEST(what_moves_stops_where_there_is_no_room),
    TEST(a_dead_letter_goes_back_so_often_and_no_more),
    TEST(settle_send_with_entries_that_are_not_there_is_malformed),
    TEST(counted_failures_of_one_command_are_in_one_record),
    TEST(released_uncounted_raises_nothing),
    TEST(after_max_attempts_a_message_is_a_dead_letter_with_a_note),
    TEST(dead_letters_buried_together_have_a_note_each),
    TEST(an_extension_keeps_all_leases_of_the_session),
    TEST(a_detached_lease_is_not_extended),
    TEST(a_lost_connection_releases_nothing_and_delivers_again_to_its_session),
    TEST(what_waits_for_a_connection_that_is_gone_goes_nowhere),
    TEST(a_session_that_ends_gives_back_what_it_did_not_settle),
    TEST(the_death_of_a_holder_is_a_failure_of_what_reached_its_reader),
    TEST(the_end_of_a_lease_is_a_failure_of_what_reached_its_reader),
    TEST(the_proven_death_of_a_holder_ends_its_leases),
    TEST(a_session_that_left_no_trace_begins_anew_and_a_forgotten_one_does_not),
    TEST(a_large_message_comes_back_piece_by_piece),
    TEST(a_large_message_that_is_gone_leaves_no_piece_for_the_next),
    TEST(an_error_is_sent_whatever_the_connection_was_still_to_be_read),
    TEST(pieces_of_a_message_are_refused_once),
    TEST(the_work_of_a_settlement_is_bounded),
    TEST(the_stale_answers_of_an_owner_are_bounded),
    TEST(what_is_not_stale_is_settled_however_many_stale_answers_are_kept),
    TEST(who_does_not_read_is_leased_no_more),
    TEST(what_all_messages_share_has_a_limit),
    TEST(attributes_take_credit),
    TEST(credit_that_is_used_up_between_two_deliveries_is_no_credit),
    TEST(what_moves_is_judged_with_its_attributes),
    TEST(a_checkpoint_of_one_queue_is_no_long_turn),
    TEST(parts_of_a_checkpoint_wait_until_others_are_stored),
    TEST(a_backlog_costs_168_bytes_a_record),
    TEST(the_sessions_part_stands_in_pieces),
    TEST(the_ids_of_a_queue_are_no_long_turn),
    TEST(ids_beyond_what_one_user_or_all_may_have_are_full),
    TEST(ids_of_many_queues_are_forgotten_in_few_records),
    TEST(ids_that_are_forgotten_early_are_counted),
    TEST(the_sessions_part_is_no_long_turn),
    TEST(the_list_of_dead_records_is_no_long_turn),
    TEST(dead_letters_that_come_one_by_one_cost_little_memory),
    TEST(dead_letters_of_two_queues_in_turn_cost_112_bytes_each),
    TEST(subscribing_again_and_again_costs_little_memory_and_a_bounded_turn),
    TEST(answers_that_are_not_read_end_the_reading),
    TEST(what_has_started_is_known_however_many_ranges_it_is),
    TEST(extending_costs_the_same_however_much_is_held),
    TEST(a_short_lease_is_extended_in_time_however_much_is_held),
    TEST(a_dead_letter_queue_has_a_name_without_a_nul),
    TEST(a_purge_is_no_long_turn),
    TEST(a_queue_is_removed_in_no_long_turn),
    TEST(a_purge_whose_client_was_lost_goes_on_when_it_comes_back),
    TEST(a_purge_of_a_queue_that_goes_meanwhile_fails),
    TEST(a_queue_that_is_sent_to_while_it_is_removed_is_not_empty),
    TEST(what_is_settled_between_the_pieces_of_a_purge_is_done),
    TEST(a_client_that_ends_and_held_much_is_no_long_turn),
    TEST(the_death_of_who_held_much_is_no_long_turn),
    TEST(leases_with_gaps_that_are_buried_are_no_long_turn),
    TEST(a_settlement_buries_a_bounded_number_of_runs),
    TEST(subscribing_with_much_held_is_no_long_turn),
    TEST(the_end_of_a_session_that_is_named_by_much_is_no_long_turn),
    TEST(one_user_does_not_make_all_queues),
    TEST(a_member_that_waits_for_holes_gets_a_checkpoint_early),
    TEST(queues_are_not_made_on_a_full_disk),
    TEST(queues_that_are_made_take_room),
    TEST(messages_that_are_just_being_moved_become_dead_letters),
    TEST(who_has_gone_waits_for_no_burial),
    TEST(a_page_of_a_list_costs_its_rows),
    TEST(a_list_looks_at_a_bounded_number_of_names),
    TEST(a_full_queue_refuses_and_says_when_there_is_room),
    TEST(a_small_backlog_is_divided_among_those_who_wait),
    TEST(what_one_turn_does_not_hand_out_the_next_does),
    TEST(one_receiver_is_given_whole_batches),
    TEST(idle_is_told_to_whom_it_concerns),
    TEST(the_reserve_follows_what_a_checkpoint_takes),
    TEST(a_large_message_waits_for_room_for_all_that_came_of_it),
    TEST(who_gets_its_credit_back_is_told_of_idle),
    TEST(sessions_give_way_to_those_of_their_own_owner),
    TEST(nobody_goes_on_with_a_session_of_another_owner),
    TEST(a_session_keeps_its_owner_over_restarts),
    TEST(a_session_of_nobody_is_whose_who_comes_for_it),
    TEST(a_session_goes_on_with_its_token_only),
    TEST(a_journal_keeps_its_first_secret),
    TEST(versions_that_do_not_overlap_are_refused_by_name),
    TEST(recovery_refuses_an_even_tag_that_is_not_known_and_passes_over_odd_ones),
    TEST(a_journal_as_it_was_first_written_is_recovered_for_ever),
    TEST(the_session_of_a_key_in_a_journal_is_its_own_for_ever),
    TEST(a_batch_and_a_range_cost_what_they_did),
    TEST(unfinished_messages_take_room_and_are_dropped),
    TEST(an_unfinished_message_goes_when_no_piece_comes),
    TEST(an_unfinished_message_does_not_outlive_a_restart_for_long),
    TEST(a_purge_drops_unfinished_messages),
    TEST(another_command_drops_an_unfinished_message),
    TEST(room_is_told_to_those_that_it_is_for),
    TEST(a_checkpoint_makes_holes_and_recovery_finds_the_same_state),
    TEST(a_gap_of_settled_messages_may_be_of_any_length),
    TEST(moved_messages_keep_their_bodies_and_numbers),
    TEST(a_record_that_cannot_be_read_costs_its_messages_and_no_others),
    TEST(what_is_lost_leaves_its_queue_in_any_state_and_not_twice),
    TEST(a_large_message_is_lost_with_any_of_its_pieces_and_the_next_one_is_whole),
    TEST(bad_records_cost_what_was_in_them_and_nothing_else),
    TEST(over_a_gap_no_session_goes_on_and_no_lease_number_comes_again),
    TEST(moving_small_records_comes_to_an_end),
    TEST(an_even_attribute_that_is_not_known_refuses_the_command_by_name),
    TEST(a_flag_verb_setting_or_state_that_is_not_known_is_refused),
    TEST(headers_stay_with_their_message),
    TEST(what_is_shared_counts_once_in_its_record),
    TEST(a_batch_for_several_queues_is_stored_once_and_outlives_each),
    TEST(what_is_shared_moves_once_and_stays_shared),
    TEST(small_batches_that_are_shared_join_when_they_move),
    TEST(dead_letters_of_two_queues_in_one_share_a_body),
    TEST(a_batch_for_several_queues_comes_to_all_or_to_none),
    TEST(a_large_message_for_several_queues_is_stored_once_and_outlives_each),
    TEST(a_large_message_that_one_of_its_queues_lost_comes_to_none),
    TEST(a_large_message_that_one_of_its_queues_refuses_comes_to_none),
    TEST(a_piece_for_several_queues_is_no_small_one),
    TEST(a_first_piece_that_is_too_large_makes_no_queue),
    TEST(a_send_names_a_bounded_number_of_queues_and_none_twice),
    TEST(each_queue_bound_to_a_topic_gets_a_message_once),
    TEST(a_topic_that_leads_to_no_queue_is_refused_unless_it_may),
    TEST(a_bind_is_refused_as_a_whole),
    TEST(a_topic_leads_to_a_bounded_number_of_queues),
    TEST(a_large_message_comes_to_the_queues_of_its_topic),
    TEST(an_ephemeral_subscription_ends_with_its_session),
    TEST(names_of_ephemeral_subscriptions_are_reserved),
    TEST(a_dead_letter_setting_that_is_refused_now_is_read),
    TEST(who_comes_back_while_an_ephemeral_subscription_ends_is_told),
    TEST(an_ephemeral_subscription_is_gone_on_with_and_never_made_anew_unseen),
    TEST(a_gap_costs_all_queues_that_shared_what_was_in_it),
    TEST(a_bad_record_costs_all_queues_that_share_it),
    TEST(attributes_of_a_large_message_stay_with_it),
    TEST(attributes_of_a_large_message_count_in_its_queue),
    TEST(attributes_of_a_large_message_count_before_it_is_whole),
    TEST(attributes_of_a_large_message_take_credit),
    TEST(what_is_shared_is_paid_for_with_each_piece),
    TEST(what_has_no_attributes_costs_its_bytes),
    TEST(attributes_of_a_large_message_are_in_its_first_piece),
    TEST(the_largest_message_is_taken_and_a_byte_more_is_not),
    TEST(an_attribute_that_has_to_be_acted_on_is_refused_by_name),
    TEST(numbers_of_leases_are_not_used_again_after_a_restart),
    TEST(after_each_restore_numbers_are_new_though_the_clock_was_wrong),
    TEST(a_delayed_message_is_handed_out_at_its_time_by_the_wall_clock),
    TEST(a_delay_that_is_past_is_none_and_one_of_more_than_ten_years_is_refused),
    TEST(a_clock_that_is_set_forward_is_noticed_and_one_set_back_is_waited_for),
    TEST(a_lease_stays_one_range_in_whatever_order_it_is_settled),
    TEST(messages_that_are_due_together_are_one_range_and_one_event),
    TEST(times_are_rounded_up_a_little_and_whole_seconds_stay),
    TEST(higher_priorities_are_handed_out_first),
    TEST(a_batch_of_mixed_attributes_keeps_its_numbers),
    TEST(a_batch_that_makes_too_many_ranges_says_how_many_messages_may_be_sent),
    TEST(priorities_that_alternate_share_a_range),
    TEST(priorities_that_alternate_wake_and_expire_as_one_range),
    TEST(a_dead_letter_keeps_its_priority),
    TEST(what_has_expired_is_not_handed_out_and_leaves_its_queue),
    TEST(what_is_moved_expires_as_it_was_sent),
    TEST(what_expires_by_its_queue_does_so_by_the_one_it_is_moved_to),
    TEST(a_dead_letter_that_is_back_does_not_expire_as_it_was_sent),
    TEST(what_is_too_large_for_the_queue_that_it_is_moved_to_stays),
    TEST(what_expires_while_it_is_held_stays_with_its_holder),
    TEST(a_queue_says_when_its_messages_expire_and_its_dead_queue_for_dead_letters),
    TEST(the_life_of_a_message_is_told_from_its_sending_to_its_end),
    TEST(what_a_message_waits_for_is_told),
    TEST(a_dead_letter_and_what_comes_back_of_it_name_each_other),
    TEST(a_life_begins_with_the_newest_checkpoint),
    TEST(a_queue_that_is_gone_is_found_by_its_name),
    TEST(what_cannot_be_read_is_passed_over_in_a_life),
    TEST(a_life_is_read_in_bounded_pieces),
    TEST(a_life_that_begins_while_the_checkpoint_is_made_is_told),
    TEST(a_cancelled_message_is_gone_and_its_holder_is_told),
    TEST(one_message_of_a_key_is_leased_at_a_time_and_in_order),
    TEST(what_waits_for_its_key_holds_up_no_other_and_nothing_is_left_of_keys),
    TEST(a_key_goes_to_the_same_receiver_until_that_leaves),
    TEST(what_waits_for_its_receiver_holds_up_no_other),
    TEST(who_does_not_extend_its_leases_gets_no_keys_until_it_is_heard),
    TEST(what_was_put_aside_is_given_to_any_once_the_queue_is_fair),
    TEST(the_newest_of_a_key_replaces_those_that_nobody_holds),
    TEST(a_full_batch_replaces_all_that_is_older),
    TEST(a_key_whose_oldest_message_is_held_is_replaced_for_ever),
    TEST(keys_take_memory_for_the_messages_that_are_left),
    TEST(what_is_sent_to_a_queue_that_is_being_removed_waits),
    TEST(keyed_messages_that_are_due_together_take_many_turns),
    TEST(keyed_messages_that_go_together_take_many_turns),
    TEST(keyed_messages_that_expire_together_take_many_turns),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
