/*
 * Payloads of records: every event that decodes encodes to the same bytes, and whatever
 * is delivered from a payload is a well-formed frame.
 */
#include "fuzz.h"

#include "core/broker/delivery.h"
#include "core/wire/event.h"

static uint8_t bytes[FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX];

static void check_event(const struct event *e)
{
	struct writer w = writer_of(bytes, sizeof(bytes));
	switch (e->type) {
#define X(type, NAME, name, FIELDS) \
	case type: { \
		struct event_##name m; \
		if (!event_##name##_decode(e->body, &m)) \
			return; \
		event_put_##name(&w, &m); \
		break; \
	}
		EVENTS(X)
#undef X
	}
	assert(!w.full && w.len == EVENT_HEADER_SIZE + e->body.len);
	assert(memcmp(w.p, e->body.data - EVENT_HEADER_SIZE, w.len) == 0);
}

static void check_deliver(const struct delivery *d, struct slice payload)
{
	struct wire_deliver m;

	assert(wire_deliver_decode(payload, &m));
	assert(m.count > 0 && m.first_seq >= d->first_seq && m.data.len > 2 * (size_t)m.count);
	size_t last = 0, blob = m.data.len - 2 * (size_t)m.count;
	for (uint32_t i = 0; i < m.count; i++) {
		size_t end = load_u16(m.data.data + 2 * (size_t)i);
		assert(end > m.base + last && end - m.base <= blob);
		last = end - m.base;
	}
	assert(last == blob);
}

/* All frames of a delivery together hold what was wanted, or the payload is bad. */
static void check_delivery(const struct delivery *d, struct slice payload)
{
	static uint8_t memory[DELIVERY_MEMORY];
	struct delivery_cursor c;
	struct delivery_frame f;
	struct frame frame;
	size_t used;

	if (delivery_open(d, payload, memory, &c))
		return;
	while (delivery_next(&c, &f) == RMQ_E_OK) {
		struct writer w = writer_of(bytes, sizeof(bytes));
		put_rest(&w, slice_of(f.head, f.head_len));
		put_rest(&w, f.attributes);
		put_rest(&w, f.ends);
		put_rest(&w, f.blob);
		assert(!w.full && frame_parse(slice_of(w.p, w.len), &frame, &used) == RMQ_E_OK);
		assert(used == w.len);
		if (frame.type == WIRE_TYPE_DELIVER)
			check_deliver(d, frame.payload);
		else
			assert(frame.type == (d->large ? d->peek ? WIRE_TYPE_PEEKED_PART
								 : WIRE_TYPE_DELIVER_PART
						       : WIRE_TYPE_PEEKED));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct events_header h;
	struct event_iter it;
	struct event e;

	if (size < 8 || size > RECORD_PAYLOAD_MAX)
		return 0;
	struct slice payload = slice_of(data + 8, size - 8);
	if (events_open(payload, &h, &it))
		return 0;
	size_t events = 0;
	while (event_next(&it, &e) == RMQ_E_OK) {
		check_event(&e);
		events++;
	}
	assert(events <= payload.len / EVENT_HEADER_SIZE);

	struct delivery d = {.offset = load_u16(data),
	    .slot = load_u16(data + 2),
	    .count = load_u16(data + 4),
	    .first_seq = 1,
	    .note = slice_str("a note"),
	    .large = data[6] & 1,
	    .peek = data[6] & 2,
	    .parts = 1};
	check_delivery(&d, payload);
	return 0;
}

static void put_batch(struct writer *w)
{
	put_u16(w, 3);
	put_u16(w, 0);
	put_u16(w, 2);
	put_u16(w, 4);
	put_u16(w, 6);
	put_rest(w, slice_str("a\nb\nc\n"));
}

static void put_header(struct writer *w)
{
	put_u16(w, EVENTS_HEADER_SIZE);
	put_u16(w, 1);
	put_u32(w, 5);
	put_u64(w, 1000);
	put_u64(w, 2000);
}

/* Two SEND events of a queue with an event between them: a run over both. */
static void seed_run(fuzz_add *add)
{
	uint8_t batch[64], seed[512];
	struct writer b = writer_of(batch, sizeof(batch)), w = writer_of(seed, sizeof(seed));

	put_batch(&b);
	put_header(&w);
	struct slice bytes_of = slice_of(batch, b.len);
	event_put_send(&w, &(struct event_send){1, 7, 1, 1, NO_TAGS, bytes_of});
	event_put_taken(&w, &(struct event_taken){7, 2});
	event_put_move(&w, &(struct event_move){1, 4, 1500, NO_TAGS, bytes_of});
	event_put_come(&w, &(struct event_come){1, 7, 1500, COME_WALL | COME_OWN, 2, 9000,
			       slice_str("why"), NO_TAGS, bytes_of});
	assert(!w.full);
	add(seed, w.len);
}

/* A run of what queues 1 and 2 share goes on after what is queue 1's alone. */
static void seed_shared(fuzz_add *add)
{
	uint8_t seed[512], batch[64];
	struct writer w = writer_of(seed, sizeof(seed)), b = writer_of(batch, sizeof(batch));
	struct slice further = slice_of("\2\0\14\0\2\0\0\0\1\0\0\0\0\0\0\0", 16);

	put_batch(&b);
	put_header(&w);
	struct slice bytes_of = slice_of(batch, b.len);
	event_put_send(&w, &(struct event_send){1, 7, 1, 1, further, bytes_of});
	event_put_send(&w, &(struct event_send){1, 7, 2, 4, NO_TAGS, bytes_of});
	event_put_move(&w, &(struct event_move){1, 4, 1500, further, bytes_of});
	assert(!w.full);
	add(seed, w.len);
}

static void seed_chunk(fuzz_add *add)
{
	uint8_t seed[512];
	struct writer w = writer_of(seed, sizeof(seed));

	put_u64(&w, EVENTS_HEADER_SIZE | 1ull << 48);
	put_u64(&w, 1000);
	put_u64(&w, 2000);
	event_put_chunk(&w, &(struct event_chunk){1, 7, 1, 0, NO_TAGS, slice_str("a piece")});
	event_put_chunk(&w, &(struct event_chunk){1, 7, 1, 0, slice_of("\2\0\5\0\3\0\1\0t", 9),
				slice_str("a piece")});
	event_put_chunk(&w, &(struct event_chunk){1, 7, 2, 0, slice_of("\4\0\4\0\2\0\0\0", 8),
				slice_str("a piece")});
	add(seed, w.len);
}

void fuzz_seeds(fuzz_add *add)
{
	uint8_t seed[1024];
	struct writer writer, *w = &writer;
	size_t begin;

	seed_run(add);
	seed_shared(add);
	seed_chunk(add);
#define X(type, NAME, name, FIELDS) \
	writer = writer_of(seed, sizeof(seed)); \
	put_u64(w, EVENTS_HEADER_SIZE); \
	put_u64(w, 1000); \
	put_u64(w, 2000); \
	begin = event_begin(w, type); \
	FIELDS(FUZZ_PUT) \
	event_end(w, begin); \
	add(w->p, w->len);
	EVENTS(X)
#undef X
}
