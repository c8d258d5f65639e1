/*
 * The queue core against clients that send anything: the input is a list of steps, some of
 * which are frames.  Whatever comes, all that it sends and delivers is well-formed, and a
 * replay of what it journaled, with and without a checkpoint, ends in the same state, and one
 * around any record of it, but those of the checkpoint, comes to an end.
 */
#include "fuzz_wire.h"

#include <stdlib.h>

#include "../unit/memory_log.h"

#define RECORDS_MAX 4096
#define CONNS	    3

struct world {
	struct broker *broker;
	struct lease_time lease;
	struct wall_time wall;
	struct memory_record
	    records[RECORDS_MAX + 1]; /* by index, from 1; n and index are the same */
	uint64_t last;
	uint64_t stored;
	uint64_t checkpoint; /* newest END */
	uint64_t barriers[64];
	size_t barrier_count;
	uint64_t conns[CONNS]; /* 0: closed */
	uint64_t next_conn;
	bool full; /* no further steps: no room for records */
};

static struct world world;
static struct memory_log journaled = {world.records, &world.last};
static uint8_t frame_bytes[FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX];

static void on_append(void *arg, uint64_t n, enum record_kind kind, struct slice payload)
{
	struct world *w = arg;
	assert(n == w->last + 1 && n <= RECORDS_MAX && payload.len <= RECORD_PAYLOAD_MAX);
	memory_record_set(&w->records[++w->last], kind, payload);
	w->full |= w->last > RECORDS_MAX - 1024;
}

static void on_barrier(void *arg, uint64_t id)
{
	struct world *w = arg;
	assert(w->barrier_count < sizeof(w->barriers) / sizeof(w->barriers[0]));
	w->barriers[w->barrier_count++] = id;
}

static void on_hole(void *arg, uint64_t checkpoint, struct slice ranges)
{
	struct world *w = arg;
	assert(checkpoint <= w->stored && w->records[checkpoint].kind == RECORD_END);
	memory_log_dig(&journaled, checkpoint, ranges);
}

FUZZ_CHECK_FRAME(check_frame, WIRE_DAEMON_FRAMES)

static void on_reserve(void *arg, uint64_t bytes)
{
	(void)arg, (void)bytes;
}

static void on_send(void *arg, uint64_t conn, struct slice frames)
{
	struct frame f;
	size_t used;
	(void)arg;
	assert(conn > 0);
	while (frames.len > 0) {
		assert(frame_parse(frames, &f, &used) == RMQ_E_OK && used > 0);
		check_frame(&f);
		frames = slice_of(frames.data + used, frames.len - used);
	}
}

static void on_deliverable(void *arg, uint64_t conn)
{
	(void)arg;
	assert(conn > 0);
}

static void on_close(void *arg, uint64_t conn)
{
	struct world *w = arg;
	for (size_t i = 0; i < CONNS; i++)
		if (w->conns[i] == conn)
			w->conns[i] = 0;
}

/* The journal with a record that cannot be read. */
static uint64_t bad;

static enum rmq_error around_next(
    void *arg, uint64_t index, uint64_t *found, enum record_kind *kind, struct slice *payload)
{
	enum rmq_error err = memory_log_next(arg, index, found, kind, payload);
	return !err && *found == bad ? RMQ_E_CORRUPT : err;
}

static enum rmq_error around_read(
    void *arg, uint64_t index, enum record_kind *kind, struct slice *payload)
{
	return index == bad ? RMQ_E_CORRUPT : memory_log_read(arg, index, kind, payload);
}

static const struct broker_log around_log = {&journaled, around_read, around_next};
static const struct broker_log replay_log = {&journaled, memory_log_read, memory_log_next};
static const struct broker_host live_host = {
    &world, on_append, on_barrier, on_hole, on_reserve, on_send, on_deliverable, on_close};

static void store(struct world *w, uint64_t count)
{
	if (count > w->last - w->stored)
		count = w->last - w->stored;
	if (count > 0) {
		uint64_t first = w->stored + 1;
		w->stored += count;
		for (uint64_t i = first; i <= w->stored; i++)
			if (w->records[i].kind == RECORD_END)
				w->checkpoint = i;
		broker_stored(w->broker, first, (uint32_t)count, first);
	}
	if (w->stored < w->last)
		return;
	while (w->barrier_count > 0) {
		uint64_t id = w->barriers[0];
		memmove(w->barriers, w->barriers + 1, --w->barrier_count * sizeof(id));
		broker_barrier_done(w->broker, id);
	}
}

static void check_delivery(struct world *w, const struct delivery *d)
{
	static uint8_t memory[DELIVERY_MEMORY];
	struct delivery_cursor c;
	struct delivery_frame f;
	struct frame frame;
	size_t used;
	enum rmq_error err;

	assert(d->index > 0 && d->index <= w->last && !w->records[d->index].hole);
	const struct memory_record *e = &w->records[d->index];
	err = delivery_open(d, slice_of(e->payload, e->len), memory, &c);
	assert(err == RMQ_E_OK);
	while ((err = delivery_next(&c, &f)) == RMQ_E_OK) {
		struct writer out = writer_of(frame_bytes, sizeof(frame_bytes));
		put_rest(&out, slice_of(f.head, f.head_len));
		put_rest(&out, f.attributes);
		put_rest(&out, f.ends);
		put_rest(&out, f.blob);
		assert(!out.full);
		assert(frame_parse(slice_of(out.p, out.len), &frame, &used) == RMQ_E_OK);
		assert(used == out.len);
		check_frame(&frame);
	}
	assert(err == RMQ_E_NOTHING);
}

static void deliver(struct world *w)
{
	struct delivery d;
	for (size_t i = 0; i < CONNS; i++)
		while (w->conns[i] && broker_next_delivery(w->broker, w->conns[i], &d)) {
			if (d.history)
				assert(broker_history(w->broker, w->conns[i], &around_log) <=
				       2 * HISTORY_BYTES_MAX + RECORD_PAYLOAD_MAX);
			else
				check_delivery(w, &d);
		}
}

static void give_frame(struct world *w, unsigned which, struct reader *r)
{
	uint64_t conn = w->conns[which % CONNS];
	unsigned type = get_u8(r);
	struct frame f = {(uint8_t)type, fuzz_take(r)};
	if (conn && !r->bad && broker_wants_frame(w->broker, conn))
		broker_frame(w->broker, conn, &f);
}

static void move(struct world *w)
{
	uint64_t index;
	if (!broker_wants_record(w->broker, &index))
		return;
	assert(index > 0 && index <= w->last && !w->records[index].hole);
	const struct memory_record *e = &w->records[index];
	enum rmq_error err = broker_move(w->broker, index, slice_of(e->payload, e->len));
	assert(err == RMQ_E_OK);
}

/* Of the last one it is known whose it is. */
static void connect(struct world *w, size_t slot)
{
	broker_connect(w->broker, w->conns[slot] = w->next_conn++);
	if (slot == CONNS - 1)
		broker_owner(w->broker, w->conns[slot], slice_str("n1"), 1000);
}

static void step(struct world *w, struct reader *r)
{
	unsigned op = get_u8(r), which = op >> 4;
	broker_now(w->broker, w->lease, w->wall);
	switch (op & 15) {
	case 0: {
		uint64_t ms = get_u16(r);
		w->lease.ms += ms;
		w->wall.ms += ms * (which & 1);
		broker_now(w->broker, w->lease, w->wall);
		if (which & 2)
			broker_heard(w->broker, w->lease);
		break;
	}
	case 1:
		store(w, get_u8(r));
		break;
	case 2:
		store(w, RECORDS_MAX);
		deliver(w);
		break;
	case 3:
		if (w->conns[which % CONNS] == 0)
			connect(w, which % CONNS);
		break;
	case 4:
		if (w->conns[which % CONNS])
			broker_disconnect(w->broker, w->conns[which % CONNS]);
		w->conns[which % CONNS] = 0;
		break;
	case 5:
		broker_checkpoint(w->broker);
		break;
	case 6:
		move(w);
		break;
	case 7:
		broker_holder_died(w->broker, 1ull << 32 | (1 + which));
		break;
	default:
		give_frame(w, which, r);
	}
	broker_flush(w->broker);
}

/* Until everything is stored and said. */
static void settle_down(struct world *w)
{
	for (int i = 0; i < 1000 && (broker_pending(w->broker) || w->stored < w->last); i++) {
		broker_now(w->broker, w->lease, w->wall);
		store(w, RECORDS_MAX);
		deliver(w);
		broker_flush(w->broker);
	}
	assert(!broker_pending(w->broker));
}

static void check_replay(struct world *w, uint64_t checkpoint)
{
	uint64_t at = 0;
	struct broker *again = broker_new(&live_host);
	assert(again);
	enum rmq_error err = broker_recover(again, &replay_log, checkpoint, w->last, &at);
	assert(err == RMQ_E_OK);
	assert(broker_digest(again) == broker_digest(w->broker));
	broker_free(again);
}

static void check_around(struct world *w)
{
	uint64_t at, step = w->last / 8 + 1;
	for (bad = 1 + w->last % step; bad <= w->last; bad += step) {
		struct broker *again = broker_new(&live_host);
		assert(again);
		enum rmq_error err = broker_recover_around(
		    again, &around_log, w->checkpoint, w->last, w->wall, &at);
		bool part = w->checkpoint > 0 && bad <= w->checkpoint;
		assert(err == RMQ_E_OK || (err == RMQ_E_CORRUPT && at == bad && part));
		broker_free(again);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world *w = &world;
	struct reader r = reader_of(slice_of(data, size));
	uint64_t at;

	*w = (struct world){.lease = {1000}, .wall = {5000}, .next_conn = 1};
	w->broker = broker_new(&live_host);
	assert(w->broker);
	enum rmq_error err = broker_recover(w->broker, &replay_log, 0, 0, &at);
	assert(err == RMQ_E_OK);
	broker_start(w->broker, 1, (const uint8_t[SESSION_SECRET_SIZE]){1});
	broker_room(w->broker, 0, 1ull << 40);
	for (size_t i = 0; i < CONNS; i++)
		connect(w, i);
	while (reader_left(&r) > 0 && !w->full)
		step(w, &r);
	settle_down(w);
	check_replay(w, w->checkpoint);
	check_around(w);
	broker_free(w->broker);
	for (uint64_t i = 1; i <= w->last; i++)
		free(w->records[i].payload);
	return 0;
}

/* ---- seeds ---- */

static uint8_t seed_bytes[8192 + CHUNK_SEVERAL_MIN];

/* A step that gives a whole frame, as it is made by wire_put_*(). */
static void put_frame(struct writer *w, unsigned conn, struct writer *made)
{
	struct frame f;
	size_t used;
	assert(!made->full && frame_parse(slice_of(made->p, made->len), &f, &used) == RMQ_E_OK);
	put_u8(w, (uint8_t)(8 | conn << 4));
	put_u8(w, f.type);
	put_u16(w, (uint16_t)f.payload.len);
	put_rest(w, f.payload);
	made->len = 0;
}

#define FRAME(conn, name, ...) \
	do { \
		wire_put_##name(&f, &(struct wire_##name){__VA_ARGS__}); \
		put_frame(&w, conn, &f); \
	} while (0)

#define SESSION(i) (1ull << 32 | (i))

/* A queue, made by client 0; with limits: at most 3 leased, 9 a second. */
static void seed_queue(struct writer *out, struct slice q, bool limits)
{
	uint8_t made[256];
	struct writer f = writer_of(made, sizeof(made)), w = *out;
	struct slice none = slice_of(NULL, 0);
	struct slice tags = slice_of("\2\0\30\0\6\0\10\0\3\0\0\0\0\0\0\0"
				     "\10\0\10\0\350\3\0\0\11\0\0\0",
	    28);
	uint32_t mask = SETTING_MAX_INFLIGHT | SETTING_RATE | SETTING_PAUSED_IN;
	FRAME(0, queue_create, 1, 0, SETTING_MAX_ATTEMPTS | (limits ? mask : 0), q, 0, 2, 0, 0,
	    0, 0, none, limits ? tags : NO_TAGS);
	*out = w;
}

/* A key of the map, for which client 1 waits. */
static void seed_map(struct writer *out, unsigned variant)
{
	static uint8_t made[4096], value[2000];
	struct writer f = writer_of(made, sizeof(made)), w = *out;
	struct slice key = slice_str("key");
	FRAME(1, kv_read, 6, KV_PREFIX | KV_VALUES | KV_WAIT, variant & 1, 0, slice_str("k"),
	    NO_TAGS);
	FRAME(0, kv_put, 5, 1, variant & 4 ? KV_IF_VERSION : 0, 0, key, NO_TAGS,
	    slice_of(value, variant & 1 ? sizeof(value) : 3));
	FRAME(0, kv_read, 7, KV_VALUES, 0, 0, key, NO_TAGS);
	if (variant & 2)
		FRAME(0, kv_del, 6, 1, 0, 0, key, NO_TAGS);
	*out = w;
}

/* Messages 1 and 2, and 300 from 3 on. */
static const uint8_t seq_ranges[2 * SEQ_RANGE_SIZE] = {
    [0] = 1, [8] = 2, [12] = 3, [20] = 44, 1};
#define SEQ_RANGES slice_of(seq_ranges, sizeof(seq_ranges))

/* Two clients, one queue, and the life of its messages, `variant` bits say with what. */
static void seed_life(fuzz_add *add, unsigned variant)
{
	static uint8_t made[1024 + CHUNK_SEVERAL_MIN], piece[CHUNK_SEVERAL_MIN];
	struct writer f = writer_of(made, sizeof(made));
	struct writer w = writer_of(seed_bytes, sizeof(seed_bytes));
	struct slice q = slice_str("jobs"), none = slice_of(NULL, 0),
		     more = slice_of("\4\0\5\0\4more", 9);
	struct slice batch = slice_of("\3\0\0\0\2\0\4\0\6\0a\nb\nc\n", 16);
	uint8_t entry[SETTLE_ENTRY_SIZE], both[SETTLE_ENTRY_SIZE + 16];
	struct writer e = writer_of(entry, sizeof(entry)), d = writer_of(both, sizeof(both));

	FRAME(0, hello, WIRE_HELLO_VERSIONS, 0, 0, NO_TAGS);
	FRAME(1, hello, WIRE_HELLO_VERSIONS, 0, 0, NO_TAGS);
	seed_queue(&w, q, variant & 2);
	FRAME(0, send, 2, 0, 0, 0, q, NO_TAGS, batch);
	FRAME(0, send, 3, 1, 0, 0, q, variant & 4 ? more : NO_TAGS, batch);
	bool several = variant == 5;
	FRAME(0, send, 4, 1, SEND_CHUNK | SEND_MORE, 0, q,
	    several ? more : slice_of("\2\0\5\0\3\0\1\0t", 9),
	    several ? slice_of(piece, sizeof(piece)) : slice_str("large "));
	FRAME(0, send, 4, 1, SEND_CHUNK, 1, q, NO_TAGS, slice_str("message"));
	if (variant & 8)
		FRAME(0, send, 5, 1, SEND_CHUNK, 0, q, more, slice_str("to two"));
	FRAME(1, subscribe, 0, 0, 0, q, NO_TAGS);
	FRAME(1, credit, 0, 10, 1000, 77);
	put_u8(&w, 2);
	put_u8(&w, 2);
	if (variant & 1)
		put_u8(&w, 5);
	settle_entry_put(&e, &(struct settle_entry){1, 1, 2});
	uint8_t verb = (uint8_t)(1 + variant / 2 % 4);
	FRAME(1, settle, 1, 0, verb, verb == VERB_RELEASE ? SETTLE_COUNTED : 0, 100, 78, q,
	    slice_str("why"), NO_TAGS, slice_of(entry, e.len));
	settle_entry_put(&d, &(struct settle_entry){1, 3, 2});
	put_rest(&d, batch);
	FRAME(1, settle_send, 2, 1, 0, 78, q, variant & 2 ? slice_str("done") : q, 1, NO_TAGS,
	    slice_of(both, d.len));
	FRAME(1, extend, 79);
	put_u8(&w, 2);
	FRAME(0, list, 1, 10, none, slice_str("*"));
	FRAME(0, peek, 2, 7, 0, 100, q);
	FRAME(0, transfer, 3, TRANSFER_HOME, 2, q, none, NO_TAGS, SEQ_RANGES);
	FRAME(0, history, 5, 1 + variant % 4, q, none, NO_TAGS);
	seed_map(&w, variant);
	FRAME(0, watch, 4, variant & 1 ? WATCH_BELOW : WATCH_ABOVE, 1, q);
	put_u8(&w, 2);
	put_u8(&w, 0x10);
	put_u16(&w, 60000);
	put_u8(&w, 2);
	if (variant & 1) {
		put_u8(&w, 5);
		put_u8(&w, 2);
		put_u8(&w, 2);
		put_u8(&w, 6);
	}
	if (variant & 8) {
		put_u8(&w, 0x14);
		put_u8(&w, 0x13);
		FRAME(1, hello, WIRE_HELLO_VERSIONS, SESSION(2), 0, NO_TAGS);
		FRAME(2, hello, WIRE_HELLO_VERSIONS, 0, 0, NO_TAGS);
		FRAME(2, send, 1, 0, 0, 0, q, NO_TAGS, batch);
		FRAME(1, queue_purge, 3, 2, q);
		FRAME(0, queue_set, 6, 4, SETTING_LEASE, q, 1000, 0, 0, 0, 0, 0, none, NO_TAGS);
		FRAME(0, queue_remove, 7, 4, REMOVE_FORCE, q);
		FRAME(1, unsubscribe, 0);
		FRAME(1, bye, 2);
	}
	put_u8(&w, 2);
	assert(!w.full);
	add(w.p, w.len);
}

/* A queue comes from another cell, is told of, and goes again. */
static void seed_cells(fuzz_add *add, unsigned variant)
{
	static uint8_t made[1024];
	struct writer f = writer_of(made, sizeof(made));
	struct writer w = writer_of(seed_bytes, sizeof(seed_bytes));
	struct slice q = slice_str("jobs"), none = slice_of(NULL, 0);
	struct slice token = slice_str("0123456789abcdef");
	struct slice batch = slice_of("\3\0\0\0\2\0\4\0\6\0a\nb\nc\n", 16);
	/* Of jobs 7, given back twice, delayed, and to expire as they were sent. */
	struct slice tags = slice_of("\3\0\14\0\7\0\0\0\0\0\0\0jobs\5\0\4\0\2\0\0\0"
				     "\7\0\0\0\11\0\11\0\0\0\1\0\0\0\0\0\1",
	    41);

	FRAME(0, hello, WIRE_HELLO_VERSIONS, 0, 0, NO_TAGS);
	FRAME(0, move_in, 1, 0, MOVE_IN_BEGIN, q, token, NO_TAGS);
	FRAME(0, arrive, 2, 1, 0, 0, q, token, 5, 1, 900, variant & 1 ? 9000 : 0,
	    slice_str("jobs:7 why"), variant & 2 ? tags : NO_TAGS, batch);
	if (variant & 1)
		put_u8(&w, 5);
	FRAME(0, arrive, 3, 2, SEND_CHUNK | SEND_MORE, 0, q, token, 9, 0, 900, 0, none,
	    slice_of("\1\0\5\0\10\0\1\0k", 9), slice_str("large "));
	put_u8(&w, 2);
	FRAME(0, arrive, 4, 3, SEND_CHUNK, 1, q, token, 9, 0, 900, 0, none, NO_TAGS,
	    slice_str("message"));
	FRAME(0, export, 9, WITH_COPY, 0, 0, q, NO_TAGS);
	FRAME(0, move_in, 5, 4, variant & 4 ? MOVE_IN_DROP : MOVE_IN_OPEN, q, token, NO_TAGS);
	put_u8(&w, 2);
	if (variant & 2)
		put_u8(&w, 5);
	FRAME(0, move_out, 6, 5, MOVE_OUT_HOLD, q, slice_str("b"), token, NO_TAGS);
	FRAME(0, move_out, 7, 6, MOVE_OUT_FREEZE, q, slice_str("b"), token, NO_TAGS);
	FRAME(0, peek, 2, 7, 0, 100, q);
	for (uint8_t what = WITH_SETTINGS; what <= WITH_POSITIONS; what++)
		FRAME(0, export, 10, what, 0, 100, q, NO_TAGS);
	put_u8(&w, 2);
	FRAME(0, move_out, 8, 7, MOVE_OUT_GONE, q, slice_str("b"), token, NO_TAGS);
	put_u8(&w, 2);
	add(seed_bytes, w.len);
}

/* A queue that hands out by key, to two clients, and is bound to topics; one has a subscription of its own. */
static void seed_topics_and_keys(fuzz_add *add)
{
	static uint8_t made[1024];
	struct writer f = writer_of(made, sizeof(made)),
		      w = writer_of(seed_bytes, sizeof(seed_bytes));
	struct slice q = slice_str("jobs"), none = slice_of(NULL, 0);
	struct slice news = slice_str("news.eu"), any = slice_str("news.*");
	struct slice by_key = slice_of("\2\0\14\0\16\0\10\0\2\0\0\0\0\0\0\0", 16);
	struct slice input = slice_of("\6\0\25\0\0\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0input", 25);
	struct slice batch = slice_of("\1\0\5\0\10\0\1\0k\2\0a\n", 13);
	uint8_t messages[16] = {1, [8] = 2};

	for (unsigned i = 0; i < 3; i++)
		FRAME(i, hello, WIRE_HELLO_VERSIONS, 0, 0, NO_TAGS);
	FRAME(0, queue_create, 1, 0, SETTING_DISPATCH, q, 0, 0, 0, 0, 0, 0, none, by_key);
	FRAME(0, bind, 2, 1, 0, q, any, NO_TAGS);
	FRAME(0, bind, 3, 2, BIND_CREATE, slice_str("more"), slice_str("#"), NO_TAGS);
	FRAME(0, bindings, 1, 10, none, none, none, NO_TAGS);
	FRAME(1, subscribe, 0, 0, 0, q, NO_TAGS);
	FRAME(1, credit, 0, 1, 1000, 77);
	FRAME(2, subscribe, 0, SUBSCRIBE_STARTS, 0, q, NO_TAGS);
	FRAME(2, credit, 0, 10, 1000, 77);
	FRAME(2, subscribe, 1, SUBSCRIBE_EPHEMERAL, 0, any, NO_TAGS);
	FRAME(0, send, 4, 3, SEND_TOPIC, 0, news, NO_TAGS, batch);
	FRAME(0, send, 5, 4, 0, 0, q, NO_TAGS, batch);
	FRAME(0, send, 6, 5, SEND_REPLACE, 0, q, NO_TAGS, batch);
	FRAME(0, send, 7, 6, 0, 0, slice_str("more"), input, batch);
	FRAME(0, position, 2, slice_str("more"), slice_str("input"), NO_TAGS);
	put_u8(&w, 2);
	put_u8(&w, 2);
	FRAME(2, started, 1, 1, 1, q);
	FRAME(2, ping, 78);
	FRAME(0, cancel, 8, 7, q, NO_TAGS, slice_of(messages, sizeof(messages)));
	FRAME(0, buried, 3, 1, 3, 1, q, NO_TAGS);
	put_u8(&w, 0x10);
	put_u16(&w, 60000);
	put_u8(&w, 2);
	FRAME(0, unbind, 9, 8, 0, q, any, NO_TAGS);
	FRAME(1, unsubscribe, 0);
	FRAME(2, bye, 0);
	put_u8(&w, 2);
	assert(!w.full);
	add(w.p, w.len);
}

void fuzz_seeds(fuzz_add *add)
{
	seed_topics_and_keys(add);
	for (unsigned variant = 0; variant < 8; variant++)
		seed_cells(add, variant);
	for (unsigned variant = 0; variant < 16; variant++)
		seed_life(add, variant);
}
