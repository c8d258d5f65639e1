/*
 * What clients' frames may cost: the input chooses valid frames, in bad combinations, for the
 * shipped queue core, whose host obeys broker_wants_frame() as rmq-queued does.
 *
 * Work, in steps of broker_work(): a frame costs one for each range that is leased, one for each
 * run of live messages in them, for each entry, row or queue that it names, and SETTLE_OTHERS_MAX
 * (PEEK_LOOKS_MAX) beyond that; QUEUE_PURGE, QUEUE_REMOVE and BYE a piece, LIST LIST_WORK,
 * EXTEND nothing, and HELLO one for each piece of a large message that its session has not finished.
 * KV_PUT and KV_DEL cost one for each who waits for changes, and one for each VALUE_STEP bytes; KV_READ
 * costs LIST_WORK, and the bytes of its answer.
 * A turn costs TURN_WORK, and one such frame more; its end PIECES pieces.
 *
 * Memory: HEAP_BYTES for each byte that was sent, what the queues, batches and ranges that there
 * are need, and HEAP_CONN for each connection: what it is owed, and its session's answers.
 */
#include "fuzz.h"

#include <malloc.h>
#include <stdio.h>

#include "core/broker/broker_state.h"
#include "core/wire/batch.h"
#include "core/wire/journal_wire.h"

#define CONNS	   3
#define FRAMES_MAX 8000 /* of one input */
#define QUEUES	   8
#define OPS	   17

/* A piece is TURN_STEPS and what is looked at twice in them, and one range or large message more. */
#define PIECE_STEPS (2 * TURN_STEPS + GRANT_MESSAGES_MAX + CHUNKS_MAX)
/* Of errands, sessions that are over, leases and delays that end, what is handed out, and who waits for changes. */
#define PIECES	   6
#define VALUE_STEP 256

#define HEAP_BYTES 4
#define HEAP_CONN  (SESSION_STALE_MAX + (256u << 10))
#define HEAP_QUEUE (sizeof(struct queue) + 256)
#define HEAP_RANGE (sizeof(struct range) + sizeof(struct batch) + 64)

struct client {
	uint64_t conn;
	uint64_t session; /* 0: HELLO is not answered yet */
	bool asking;	  /* a LIST or PEEK is not answered */
	bool deliverable;
	bool stands; /* it reads nothing that would have to be fetched */
};

struct world {
	struct broker *broker;
	uint64_t lease_ms;
	uint64_t appended;
	uint64_t stored;
	uint64_t barrier;
	uint64_t next_conn;
	uint64_t frames;
	uint64_t bytes; /* of frames so far */
	size_t heap;	/* before them */
	struct client clients[CONNS];
};

static struct world world;
static uint8_t made[FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX];
static uint8_t data[SETTLE_SEND_ENTRIES_MAX * SETTLE_ENTRY_SIZE + BATCH_MAX];

/* Where there is a sanitizer, whose heap is its own. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t heap(void)
{
	if (__sanitizer_get_current_allocated_bytes)
		return __sanitizer_get_current_allocated_bytes();
	return mallinfo2().uordblks;
}

static struct client *client_of(struct world *w, uint64_t conn)
{
	for (size_t i = 0; i < CONNS; i++)
		if (w->clients[i].conn == conn)
			return &w->clients[i];
	return NULL;
}

/* ---- the host: a journal that keeps nothing, and clients that read ---- */

static void on_append(void *arg, uint64_t n, enum record_kind kind, struct slice payload)
{
	struct world *w = arg;
	(void)kind;
	assert(n == w->appended + 1 && payload.len <= RECORD_PAYLOAD_MAX);
	w->appended = n;
}

static void on_barrier(void *arg, uint64_t id)
{
	((struct world *)arg)->barrier = id;
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
	struct client *c = client_of(arg, conn);
	struct wire_welcome m;
	struct frame f;
	size_t used;
	for (; frames.len > 0; frames = slice_of(frames.data + used, frames.len - used)) {
		enum rmq_error err = frame_parse(frames, &f, &used);
		assert(err == RMQ_E_OK && used > 0);
		if (c && f.type == WIRE_TYPE_WELCOME && wire_welcome_decode(f.payload, &m))
			c->session = m.session;
		if (c && (f.type == WIRE_TYPE_LIST_END || f.type == WIRE_TYPE_PEEK_END))
			c->asking = false;
	}
}

static void on_deliverable(void *arg, uint64_t conn)
{
	struct client *c = client_of(arg, conn);
	if (c)
		c->deliverable = true;
}

static void on_close(void *arg, uint64_t conn)
{
	struct client *c = client_of(arg, conn);
	if (c)
		c->conn = 0;
}

static enum rmq_error log_next(
    void *arg, uint64_t index, uint64_t *found, enum record_kind *kind, struct slice *payload)
{
	(void)arg, (void)index, (void)found, (void)kind, (void)payload;
	return RMQ_E_NOTHING;
}

static enum rmq_error log_read(
    void *arg, uint64_t index, enum record_kind *kind, struct slice *payload)
{
	(void)arg, (void)index, (void)kind, (void)payload;
	return RMQ_E_NOTHING;
}

static const struct broker_log empty_log = {&world, log_read, log_next};
static const struct broker_host host = {
    &world, on_append, on_barrier, on_hole, on_reserve, on_send, on_deliverable, on_close};

static void pull(struct world *w, struct client *c)
{
	struct delivery d;
	uint64_t work = broker_work(w->broker);
	c->deliverable = false;
	while (c->conn && broker_next_delivery(w->broker, c->conn, &d)) {
		if (d.history)
			broker_history(w->broker, c->conn, &empty_log);
		else
			broker_delivered(w->broker, c->conn, &d, d.count);
		assert(broker_work(w->broker) - work <= TURN_STEPS + 1);
		work = broker_work(w->broker);
	}
}

/* ---- the budget ---- */

static uint64_t runs_of(const struct range *r)
{
	uint64_t n = 0, at = r->first, end = r->first + r->span, run_end;
	struct batch *m = queue_batch_at(r->queue, at);
	for (; m && m->first < end; m = queue_batch_next(m))
		for (at = m->first > at ? m->first : at; batch_run(m, at, end, &run_end) < end;
		     n++)
			at = run_end;
	return n;
}

static uint64_t ranges_leased(const struct world *w)
{
	struct broker *b = w->broker;
	struct session *s;
	struct range *r;
	uint64_t n = 0;
	RB_FOREACH (s, session_tree, &b->sessions)
		RB_FOREACH (r, holding_tree, &s->held)
			n += 1 + runs_of(r);
	return n;
}

static uint64_t frame_steps(const struct world *w, uint8_t type)
{
	if (type == WIRE_TYPE_EXTEND)
		return 0;
	if (type == WIRE_TYPE_HELLO)
		return w->broker->pendings_parts;
	if (type == WIRE_TYPE_LIST)
		return LIST_WORK;
	if (type == WIRE_TYPE_QUEUE_PURGE || type == WIRE_TYPE_QUEUE_REMOVE ||
	    type == WIRE_TYPE_BYE)
		return PIECE_STEPS;
	if (type == WIRE_TYPE_KV_PUT || type == WIRE_TYPE_KV_DEL)
		return 1 + CONNS + KV_VALUE_MAX / VALUE_STEP;
	if (type == WIRE_TYPE_KV_READ)
		return LIST_WORK + 1 + (KV_ANSWER_BYTES + KV_VALUE_MAX) / VALUE_STEP;
	return ranges_leased(w) + SETTLE_SEND_ENTRIES_MAX + SETTLE_OTHERS_MAX + 1 +
	       w->broker->queues_count;
}

static void check_heap(struct world *w)
{
	struct broker *b = w->broker;
	struct queue *q;
	struct range *r;
	struct batch *m;
	uint64_t most = HEAP_BYTES * w->bytes + (uint64_t)CONNS * HEAP_CONN;
	RB_FOREACH (q, queue_id_tree, &b->queues_by_id) {
		most += HEAP_QUEUE;
		RB_FOREACH (r, range_tree, &q->ranges)
			most += HEAP_RANGE;
		RB_FOREACH (m, batch_tree, &q->batches)
			most +=
			    HEAP_RANGE + (m->is_large ? sizeof(uint64_t) * 4 * CHUNKS_MAX : 0);
	}
	assert(heap() <= w->heap + most);
}

static void turn(struct world *w)
{
	struct broker *b = w->broker;
	broker_heard(b, (struct lease_time){w->lease_ms});
	uint64_t work = broker_work(b);
	broker_flush(b);
	assert(broker_work(b) - work <= PIECES * PIECE_STEPS);
	if (w->appended > w->stored) {
		uint64_t first = w->stored + 1;
		w->stored = w->appended;
		broker_stored(b, first, (uint32_t)(w->stored + 1 - first), first);
	}
	broker_barrier_done(b, w->barrier);
	for (size_t i = 0; i < CONNS; i++)
		if (w->clients[i].deliverable && !w->clients[i].stands)
			pull(w, &w->clients[i]);
	broker_now(b, (struct lease_time){w->lease_ms}, (struct wall_time){w->lease_ms});
}

/* ---- frames ---- */

/* Gives a frame, in the next turns if it is not wanted in this one; else it is not sent. */
static void give(struct world *w, struct client *c, const struct writer *f)
{
	struct broker *b = w->broker;
	struct frame frame;
	size_t used;
	enum rmq_error err = frame_parse(slice_of(f->p, f->len), &frame, &used);
	assert(!f->full && err == RMQ_E_OK && used == f->len);
	for (int i = 0; i < 4 && c->conn && (c->asking || !broker_wants_frame(b, c->conn)); i++)
		turn(w);
	if (!c->conn || c->asking || !broker_wants_frame(b, c->conn))
		return;
	uint64_t most = frame_steps(w, frame.type), work = broker_work(b),
		 turn_work = b->turn_work;
	w->frames++;
	w->bytes += f->len;
	c->asking = frame.type == WIRE_TYPE_LIST || frame.type == WIRE_TYPE_PEEK;
	broker_frame(b, c->conn, &frame);
	assert(broker_work(b) - work <= most);
	assert(broker_work(b) - turn_work <= TURN_WORK + most);
}

#define GIVE(name, ...) \
	do { \
		struct writer f = writer_of(made, sizeof(made)); \
		wire_put_##name(&f, &(struct wire_##name){__VA_ARGS__}); \
		give(w, c, &f); \
	} while (0)

static void greet(struct world *w, struct client *c)
{
	c->conn = w->next_conn++;
	c->asking = c->deliverable = false;
	broker_connect(w->broker, c->conn);
	GIVE(hello, WIRE_HELLO_VERSIONS, c->session, 0, NO_TAGS);
	turn(w);
}

/* Many EXTENDs at one time, each on a connection of its own if `again`. */
static void extend(struct world *w, struct client *c, unsigned count, bool again)
{
	for (unsigned i = 0; i < count; i++) {
		if (again && c->conn) {
			broker_disconnect(w->broker, c->conn);
			greet(w, c);
		}
		GIVE(extend, i + 1);
	}
}

static struct slice queue_of(unsigned i)
{
	static char name[8];
	snprintf(name, sizeof(name), "q%u", i % QUEUES);
	return slice_str(name);
}

/* A batch of so many lines of one letter. */
static void put_lines(struct writer *d, uint32_t count)
{
	put_u16(d, (uint16_t)count);
	put_u16(d, 0);
	for (uint32_t i = 0; i < count; i++)
		put_u16(d, (uint16_t)(2 * (i + 1)));
	for (uint32_t i = 0; i < count; i++)
		put_rest(d, slice_of("x\n", 2));
	assert(!d->full);
}

static struct slice lines(uint32_t count)
{
	struct writer d = writer_of(data, sizeof(data));
	put_lines(&d, count);
	return slice_of(d.p, d.len);
}

/* A SEND's tags: all other queues get it, too. */
static struct slice others(struct slice q)
{
	static uint8_t list[16 * QUEUES];
	uint8_t names[8 * QUEUES];
	struct writer v = writer_of(names, sizeof(names)), w = writer_of(list, sizeof(list));
	char name[8];
	for (unsigned i = 0; i < QUEUES; i++) {
		snprintf(name, sizeof(name), "q%u", i);
		if (!slice_eq(slice_str(name), q))
			put_str(&v, slice_str(name));
	}
	tags_put(&w, SEND_TAG_QUEUES, slice_of(v.p, v.len));
	assert(!v.full && !w.full);
	return slice_of(w.p, w.len);
}

/* Entries of one lease or of rising ones, of each message, of each second one, or of all. */
static struct slice entries(struct reader *r, uint32_t most)
{
	struct writer d = writer_of(data, sizeof(data));
	uint32_t count = 1 + get_u16(r) % most;
	uint64_t lease = get_u8(r), first = get_u16(r), rises = get_u8(r) % 2;
	uint32_t step = get_u8(r) % 4, span = get_u8(r);
	for (uint32_t i = 0; i < count; i++)
		settle_entry_put(
		    &d, &(struct settle_entry){lease + i * rises, first + (uint64_t)i * step,
			    span == 255 ? UINT32_MAX : 1 + span});
	assert(!d.full);
	return slice_of(d.p, d.len);
}

/* `lazy`: the answers of many commands are not acknowledged. */
static void settle(
    struct world *w, struct client *c, uint64_t n, struct slice q, bool lazy, struct reader *r)
{
	uint64_t behind = lazy ? SESSION_WINDOW - 1 : 1, answered = n > behind ? n - behind : 0;
	uint8_t verb = (uint8_t)(1 + get_u8(r) % 4), flags = get_u8(r) % 4;
	uint64_t ms =
	    verb == VERB_TOUCH ? (uint64_t)LEASE_MS_MIN + get_u16(r) : get_u16(r) * 1000ull;
	GIVE(settle, n, answered, verb, flags, ms, 1, q, slice_str("why"), NO_TAGS,
	    entries(r, SETTLE_ENTRIES_MAX));
}

static void settle_send(
    struct world *w, struct client *c, uint64_t n, struct slice q, bool lazy, struct reader *r)
{
	uint64_t behind = lazy ? SESSION_WINDOW - 1 : 1, answered = n > behind ? n - behind : 0;
	struct slice target = queue_of(get_u8(r));
	struct slice e = entries(r, SETTLE_SEND_ENTRIES_MAX);
	struct writer d = writer_of(data + e.len, sizeof(data) - e.len);
	put_lines(&d, 1 + get_u16(r) % BATCH_MESSAGES_MAX);
	GIVE(settle_send, n, answered, 0, 1, q, target, (uint32_t)(e.len / SETTLE_ENTRY_SIZE),
	    NO_TAGS, slice_of(data, e.len + d.len));
}

static void queue_frame(
    struct world *w, struct client *c, uint64_t n, struct slice q, unsigned kind)
{
	struct slice none = slice_str("");
	if (kind % 4 == 0)
		GIVE(queue_purge, n, n - 1, q);
	else if (kind % 4 == 1)
		GIVE(queue_remove, n, n - 1, REMOVE_FORCE, q);
	else if (kind % 4 == 2)
		GIVE(queue_create, n, n - 1, SETTING_MAX_ATTEMPTS, q, 0, 2, 0, 0, 0, 0, none,
		    NO_TAGS);
	else
		GIVE(queue_set, n, n - 1, SETTING_MAX_BYTES, q, 0, 0, 0, 0, 100, 0, none,
		    NO_TAGS);
}

/* Of a large message, for one queue or for all. */
static void piece(struct world *w, struct client *c, uint64_t n, struct slice q, unsigned kind)
{
	bool several = kind & 16;
	uint32_t part = kind / 4 % 4;
	GIVE(send, n, n - 1, kind % 4 ? SEND_CHUNK | SEND_MORE : SEND_CHUNK, part, q,
	    several && part == 0 ? others(q) : NO_TAGS,
	    several ? slice_of(data, CHUNK_SEVERAL_MIN) : slice_str("a piece"));
}

/* Of many keys, with values that are short or long; and waiting for all, which comes one by one. */
static void map(struct world *w, struct client *c, uint64_t n, unsigned value, struct reader *r)
{
	char name[8];
	unsigned arg = get_u16(r);
	snprintf(name, sizeof(name), "k%u", arg % 8192);
	struct slice key = slice_str(name);
	if (value % 4 == 0)
		GIVE(kv_read, n, value / 4 % 8, 0, 0, value & 4 ? slice_of(name, arg % 4) : key,
		    NO_TAGS);
	else if (value % 4 == 1)
		GIVE(kv_del, n, n - 1, 0, 0, key, NO_TAGS);
	else
		GIVE(kv_put, n, n - 1, 0, 0, key, NO_TAGS,
		    slice_of(data, value & 64 ? KV_VALUE_MAX - arg % 8 : value / 128));
}

static void leave(struct world *w, struct client *c, unsigned value)
{
	if (c->conn && value % 4 == 1)
		GIVE(bye, 0);
	if (c->conn && value % 4 == 0)
		broker_disconnect(w->broker, c->conn);
	if (value % 4 == 0)
		c->conn = 0;
}

static void step(struct world *w, struct reader *r)
{
	static const char *const globs[] = {
	    "*", "q*", "*1", "q?", "no*", "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b"};
	unsigned op = get_u8(r), which = get_u8(r), value = get_u16(r);
	struct client *c = &w->clients[which % CONNS];
	struct slice q = queue_of(which / CONNS);
	if (!c->conn)
		greet(w, c);
	const struct session *s = broker_session_find(w->broker, c->session);
	uint64_t n = s ? s->last + 1 : 1;
	switch (op % OPS) {
	case 0:
	case 1:
		GIVE(send, n, n - 1, 0, 0, q, op % OPS && value % 2 ? others(q) : NO_TAGS,
		    lines(1 + value % BATCH_MESSAGES_MAX));
		break;
	case 2:
	case 3:
		if (value & 2)
			settle_send(w, c, n, q, value & 1, r);
		else
			settle(w, c, n, q, value & 1, r);
		break;
	case 4:
		GIVE(subscribe, which, (uint8_t)(value % 8), value % 3 * 1000, q, NO_TAGS);
		break;
	case 5:
		GIVE(credit, which, value, UINT32_MAX, 1);
		break;
	case 6:
		GIVE(unsubscribe, which);
		break;
	case 7:
		extend(w, c, value % 64, value & 64);
		break;
	case 8:
		GIVE(started, value, get_u16(r), UINT32_MAX, q);
		break;
	case 9:
		GIVE(peek, value, (uint8_t)(which % 8), value, 10000, q);
		break;
	case 10:
		GIVE(list, value, 10000, slice_str(""), slice_str(globs[value % 6]));
		break;
	case 11:
		queue_frame(w, c, n, q, value);
		break;
	case 12:
		piece(w, c, n, q, value);
		break;
	case 13:
		w->lease_ms += value;
		break;
	case 14:
		map(w, c, n, value, r);
		break;
	case 15:
		c->stands = !c->stands;
		c->deliverable = true;
		break;
	default:
		leave(w, c, value);
	}
	if (op < 128)
		turn(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct world *w = &world;
	struct reader r = reader_of(slice_of(bytes, size));
	uint64_t at;

	*w = (struct world){.lease_ms = 1000, .next_conn = 1};
	w->broker = broker_new(&host);
	assert(w->broker);
	enum rmq_error err = broker_recover(w->broker, &empty_log, 0, 0, &at);
	assert(err == RMQ_E_OK);
	broker_start(w->broker, 1, (const uint8_t[SESSION_SECRET_SIZE]){1});
	broker_room(w->broker, 0, 1ull << 40);
	w->heap = heap();
	turn(w);
	for (unsigned steps = 0; reader_left(&r) > 0 && w->frames < FRAMES_MAX; steps++) {
		step(w, &r);
		if (steps % 16 == 0)
			check_heap(w);
	}
	check_heap(w);
	broker_free(w->broker);
	return 0;
}

/* ---- seeds ---- */

static void put_step(struct writer *w, unsigned op, unsigned which, unsigned value)
{
	put_u8(w, (uint8_t)op);
	put_u8(w, (uint8_t)which);
	put_u16(w, (uint16_t)value);
}

static void put_entries(
    struct writer *w, unsigned count, unsigned first, bool rises, unsigned each, unsigned span)
{
	put_u16(w, (uint16_t)(count - 1));
	put_u8(w, 1);
	put_u16(w, (uint16_t)first);
	put_u8(w, rises);
	put_u8(w, (uint8_t)each);
	put_u8(w, (uint8_t)span);
}

static void put_settle(struct writer *w, unsigned which, bool lazy, unsigned verb, unsigned ms,
    unsigned count, unsigned first, bool rises, unsigned each, unsigned span)
{
	put_step(w, 2, which, lazy);
	put_u8(w, (uint8_t)(verb - 1));
	put_u8(w, 0);
	put_u16(w, (uint16_t)ms);
	put_entries(w, count, first, rises, each, span);
}

/* 2000 ranges are held, and their client comes again and again to extend them. */
static void seed_extend(fuzz_add *add)
{
	uint8_t bytes[256];
	struct writer w = writer_of(bytes, sizeof(bytes));
	put_step(&w, 0, 0, 3999);
	put_step(&w, 4, 0, 0);
	put_step(&w, 5, 0, 8000);
	put_settle(&w, 0, false, VERB_RELEASE, 60000, 2000, 2, false, 2, 0);
	put_step(&w, 7, 0, 64 + 40);
	assert(!w.full);
	add(w.p, w.len);
}

/* 4000 messages of which each second one is released with a delay; and then `op` comes often. */
static void seed(fuzz_add *add, unsigned op)
{
	static uint8_t bytes[8192];
	struct writer w = writer_of(bytes, sizeof(bytes));
	put_step(&w, 0, 0, 3999);
	put_step(&w, 4, 0, 0);
	put_step(&w, 5, 0, 8000);
	put_settle(&w, 0, false, VERB_RELEASE, 60000, 2000, 2, false, 2, 0);
	put_settle(&w, 0, false, VERB_SETTLE, 0, 2048, 1, true, 0, 255);
	put_settle(&w, 1, false, VERB_SETTLE, 0, 2048, 1, true, 0, 255);
	for (unsigned i = 0; op != 3 && i < 40; i++) {
		if (op == 16) {
			put_step(&w, 2, i % 5 ? 0 : i, 2 + i % 2);
			put_u8(&w, (uint8_t)i);
			put_entries(&w, 1 + 100 * i, 100 * i, i % 2, i % 4, i % 5 * 51);
			put_u16(&w, (uint16_t)(i * 103));
		} else if (op == 2)
			put_settle(&w, i, i % 2, 1 + i % 4, i, 1 + 50 * i, 100 * i, i % 2,
			    i % 4, i % 5 * 51);
		else
			put_step(&w, op + (i % 4 ? 8 * OPS : 0), i % 5 ? 0 : i, 17 * i);
		if (op == 8 || op == 14)
			put_u16(&w, (uint16_t)(op == 8 ? 0 : 1000 * i));
	}
	/* Small frames with long answers, which the daemon has to keep. */
	for (unsigned i = 0; op == 3 && i < 250; i++)
		put_settle(&w, 0, true, VERB_TOUCH, 60000, 1, 1500, false, 0, 255);
	assert(!w.full);
	add(w.p, w.len);
}

/* The map is filled with tiny values and large ones; then all are read, and waited for. */
static void seed_map(fuzz_add *add)
{
	static uint8_t bytes[1 << 16];
	struct writer w = writer_of(bytes, sizeof(bytes));
	for (unsigned i = 0; i < 5000; i++) {
		put_step(&w, 14 + (i % 8 ? 8 * OPS : 0), 0, i % 16 ? 2 + 128 : 2 + 64);
		put_u16(&w, (uint16_t)i);
	}
	for (unsigned i = 0; i < 900; i++) {
		bool waits = i % 3 == 0;
		put_step(&w, 14 + (i % 8 ? 8 * OPS : 0), i % 7, 4 * (waits ? 7 : 3));
		put_u16(&w, (uint16_t)(waits ? 0 : i));
		put_step(&w, 14, 0, 2);
		put_u16(&w, (uint16_t)(7 * i));
	}
	assert(!w.full);
	add(w.p, w.len);
}

void fuzz_seeds(fuzz_add *add)
{
	for (unsigned op = 0; op < OPS; op++)
		seed(add, op);
	seed_extend(add);
	seed_map(add);
}
