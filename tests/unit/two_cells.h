/* Two queue cores, or WORLDS, each against a journal in memory, for tests of cells. */
#ifndef RMQ_TESTS_TWO_CELLS_H
#define RMQ_TESTS_TWO_CELLS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/broker/broker_state.h"
#include "core/wire/journal_wire.h"
#include "memory_log.h"

#ifndef WORLDS
#define WORLDS 2
#endif
#define RECORDS_MAX 6000
#define OUT_MAX	    (4u << 20)
#define LINES	    80
#define LINE	    (&w->line[conn])

static struct world {
	struct broker *broker;
	struct memory_record log[RECORDS_MAX + 1]; /* by index */
	struct memory_log journaled;
	uint64_t last; /* newest durable */
	uint64_t appended;
	uint64_t base;
	uint64_t barrier;
	uint64_t checkpoint;
	uint64_t lease_ms;
	uint64_t starts;
	struct line {
		uint64_t n;   /* its commands */
		uint8_t *out; /* what it was sent */
		size_t out_len;
		bool closed;
	} line[LINES];	  /* by number of the connection */
} worlds[WORLDS], *w;	  /* w: the one that is spoken to */
static uint64_t conn = 1; /* … over this connection */
static uint64_t wall_ms;

#define X (&worlds[0])
#define Y (&worlds[1])

static struct slice token(void)
{
	return slice_str("0123456789abcdef");
}

static void on_append(void *arg, uint64_t n, enum record_kind kind, struct slice payload)
{
	struct world *x = arg;
	x->appended = x->base + n;
	assert_true(x->appended <= RECORDS_MAX);
	memory_record_set(&x->log[x->appended], kind, payload);
}

static void on_barrier(void *arg, uint64_t id)
{
	((struct world *)arg)->barrier = id;
}

static void on_hole(void *arg, uint64_t checkpoint, struct slice ranges)
{
	struct world *x = arg;
	memory_log_dig(&x->journaled, checkpoint, ranges);
}

static void on_reserve(void *arg, uint64_t bytes)
{
	(void)arg, (void)bytes;
}

static void on_send(void *arg, uint64_t of, struct slice frames)
{
	struct line *l = &((struct world *)arg)->line[of];
	assert_true(l->out_len + frames.len <= OUT_MAX);
	if (!l->out)
		l->out = malloc(OUT_MAX);
	assert_non_null(l->out);
	if (frames.len > 0)
		memcpy(l->out + l->out_len, frames.data, frames.len);
	l->out_len += frames.len;
}

static void on_deliverable(void *arg, uint64_t of)
{
	(void)arg, (void)of;
}

static void on_close(void *arg, uint64_t of)
{
	((struct world *)arg)->line[of].closed = true;
}

static struct broker *broker_of(struct world *x)
{
	struct broker_host host = {
	    x, on_append, on_barrier, on_hole, on_reserve, on_send, on_deliverable, on_close};
	return broker_new(&host);
}

static struct broker *recovered(struct world *x)
{
	struct broker_log log = {&x->journaled, memory_log_read, memory_log_next};
	struct broker *b = broker_of(x);
	uint64_t at;
	assert_int_equal(broker_recover(b, &log, x->checkpoint, x->last, &at), RMQ_E_OK);
	return b;
}

static void begin(void)
{
	broker_now(w->broker, (struct lease_time){w->lease_ms}, (struct wall_time){wall_ms});
}

static void pull_of(uint64_t of)
{
	static uint8_t memory[DELIVERY_MEMORY];
	struct delivery d;
	struct delivery_cursor c;
	struct delivery_frame f;
	while (broker_next_delivery(w->broker, of, &d)) {
		struct memory_record *r = &w->log[d.index];
		enum rmq_error err;
		uint64_t bytes = 0;
		assert_true(d.index > 0 && d.index <= w->last && !r->hole);
		assert_int_equal(
		    delivery_open(&d, slice_of(r->payload, r->len), memory, &c), RMQ_E_OK);
		while (!(err = delivery_next(&c, &f))) {
			bytes += delivery_bytes(&f);
			on_send(w, of, slice_of(f.head, f.head_len));
			on_send(w, of, f.attributes);
			on_send(w, of, f.ends);
			on_send(w, of, f.blob);
		}
		assert_int_equal(err, RMQ_E_NOTHING);
		broker_delivered(w->broker, of, &d, bytes);
	}
}

static void pull(void)
{
	for (uint64_t of = 1; of < LINES; of++)
		pull_of(of);
}

static void store(void)
{
	if (w->appended > w->last) {
		uint64_t first = w->last + 1;
		w->last = w->appended;
		for (uint64_t i = first; i <= w->last; i++)
			if (w->log[i].kind == RECORD_END)
				w->checkpoint = i;
		broker_stored(
		    w->broker, first - w->base, (uint32_t)(w->last - first + 1), first);
	}
	if (w->barrier) {
		uint64_t barrier = w->barrier;
		w->barrier = 0;
		broker_barrier_done(w->broker, barrier);
	}
	pull();
}

/* Turns until nothing is outstanding. */
static void run(void)
{
	for (int i = 0; i < 2000; i++) {
		begin();
		broker_heard(w->broker, (struct lease_time){w->lease_ms});
		broker_flush(w->broker);
		if (!broker_pending(w->broker) && !broker_checkpointing(w->broker)) {
			pull();
			return;
		}
		store();
	}
	fail_msg("the broker does not come to rest");
}

static void start(void)
{
	uint8_t secret[SESSION_SECRET_SIZE] = {
	    (uint8_t)(w->starts + 1), w == X ? 7 : 9, (uint8_t)w->lease_ms};
	begin();
	broker_start(w->broker, (uint32_t)++w->starts, secret);
	broker_room(w->broker, 0, 1 << 30);
}

static uint8_t scratch[FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX];

static void input(const struct writer *in)
{
	struct frame f;
	size_t used;
	assert_false(in->full);
	assert_int_equal(frame_parse(slice_of(in->p, in->len), &f, &used), RMQ_E_OK);
	begin();
	broker_frame(w->broker, conn, &f);
}

#define INPUT(name, ...) \
	do { \
		struct writer in_ = writer_of(scratch, sizeof(scratch)); \
		wire_put_##name(&in_, &(struct wire_##name){__VA_ARGS__}); \
		input(&in_); \
	} while (0)

/* The next frame that came; false: none. */
static bool next(struct frame *f)
{
	static uint8_t copy[2 * FRAME_PAYLOAD_MAX];
	size_t used;
	assert_int_equal(frame_parse(slice_of(LINE->out, LINE->out_len), f, &used), RMQ_E_OK);
	if (used == 0)
		return false;
	assert_true(used <= sizeof(copy));
	memcpy(copy, f->payload.data, f->payload.len);
	f->payload.data = copy;
	memmove(LINE->out, LINE->out + used, LINE->out_len - used);
	LINE->out_len -= used;
	return true;
}

static struct slice expect(uint8_t type)
{
	struct frame f;
	assert_true(next(&f));
	if (f.type != type) {
		struct wire_failed failed;
		print_message("got %s\n", wire_name(f.type));
		if (f.type == WIRE_TYPE_FAILED && wire_failed_decode(f.payload, &failed))
			print_message("%d %.*s\n", failed.code, (int)failed.text.len,
			    (const char *)failed.text.data);
	}
	assert_int_equal(f.type, type);
	return f.payload;
}

#define EXPECT(NAME, name, var) \
	struct wire_##name var; \
	assert_true(wire_##name##_decode(expect(WIRE_TYPE_##NAME), &var))

static void failed_with(enum rmq_error code)
{
	run();
	EXPECT(FAILED, failed, m);
	assert_int_equal(m.code, code);
}

static void done(void)
{
	run();
	expect(WIRE_TYPE_DONE);
}

static void hello(void)
{
	begin();
	LINE->out_len = 0;
	LINE->n = 0;
	LINE->closed = false;
	broker_connect(w->broker, conn);
	broker_owner(w->broker, conn, slice_str(""), 1000);
	INPUT(hello, WIRE_HELLO_VERSIONS, 0, 0, NO_TAGS);
	run();
	expect(WIRE_TYPE_WELCOME);
}

#define NUMBERS ++LINE->n, LINE->n - 1

/* Kills the daemon: what is not stored is lost, the rest is found again. */
static void restart(void)
{
	uint64_t before = broker_digest(w->broker);
	for (uint64_t i = w->last + 1; i <= w->appended; i++)
		free(w->log[i].payload);
	w->appended = w->last;
	w->base = w->last;
	w->barrier = 0;
	broker_free(w->broker);
	w->broker = recovered(w);
	assert_int_equal(broker_digest(w->broker), before);
	w->lease_ms = broker_lease_time(w->broker).ms;
	start();
	run();
	hello();
}

static void checkpoint(void)
{
	broker_checkpoint(w->broker);
	run();
}

static int setup(void **state)
{
	(void)state;
	memset(worlds, 0, sizeof(worlds));
	wall_ms = 1000000;
	conn = 1;
	for (w = X; w < worlds + WORLDS; w++) {
		w->journaled = (struct memory_log){w->log, &w->last};
		/* Each counts the time of its leases for itself. */
		w->lease_ms = w == X ? 500000 : 1000;
		w->broker = broker_of(w);
		start();
		hello();
	}
	w = X;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (w = X; w < worlds + WORLDS; w++) {
		broker_free(w->broker);
		for (uint64_t i = 1; i <= w->appended; i++)
			free(w->log[i].payload);
		for (uint64_t of = 0; of < LINES; of++)
			free(w->line[of].out);
	}
	return 0;
}

static void pass(uint64_t ms)
{
	struct world *before = w;
	wall_ms += ms;
	for (w = X; w < worlds + WORLDS; w++) {
		w->lease_ms += ms;
		run();
	}
	w = before;
}

#endif
