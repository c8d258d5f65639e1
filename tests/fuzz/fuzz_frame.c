/* A stream of frames of all protocols: every frame that decodes encodes to the same bytes. */
#include "fuzz.h"

#include <stdlib.h>

#include "core/wire/control_wire.h"
#include "core/wire/gate_wire.h"
#include "core/wire/journal_wire.h"
#include "core/wire/wire.h"

static uint8_t again[FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX];
static uint64_t seen;

#define VISIT_INT(kind, type) \
	static void see_##kind(struct codec_visitor *v, const char *name, type value) \
	{ \
		(void)v; \
		seen += value + strlen(name); \
	}
VISIT_INT(u8, uint8_t)
VISIT_INT(u16, uint16_t)
VISIT_INT(u32, uint32_t)
VISIT_INT(u64, uint64_t)

static void see_bytes(struct codec_visitor *v, const char *name, struct slice value)
{
	(void)v;
	seen += strlen(name);
	for (size_t i = 0; i < value.len; i++)
		seen += value.data[i];
}

static struct codec_visitor visitor = {
    see_u8, see_u16, see_u32, see_u64, see_bytes, see_bytes, see_bytes};

static void check_same(const struct frame *f, const struct writer *w)
{
	assert(!w->full);
	assert(w->len == FRAME_HEADER_SIZE + f->payload.len);
	assert(memcmp(w->p, f->payload.data - FRAME_HEADER_SIZE, w->len) == 0);
}

#define DECODE(prefix, type, name) \
	case type: { \
		struct prefix##_##name m; \
		struct writer w = writer_of(again, sizeof(again)); \
		if (!prefix##_##name##_decode(f->payload, &m)) \
			return; \
		prefix##_##name##_visit(&visitor, &m); \
		prefix##_put_##name(&w, &m); \
		check_same(f, &w); \
		return; \
	}

static void wire_frame(const struct frame *f)
{
#define X(type, NAME, name, FIELDS) DECODE(wire, type, name)
	switch (f->type) {
		WIRE_CLIENT_FRAMES(X)
		WIRE_GATE_FRAMES(X)
		WIRE_DAEMON_FRAMES(X)
	}
#undef X
	assert(!wire_name(f->type));
}

static void journal_frame(const struct frame *f)
{
#define X(type, NAME, name, FIELDS) DECODE(journal, type, name)
	switch (f->type) {
		JOURNAL_OPENER_FRAMES(X)
		JOURNAL_JOURNAL_FRAMES(X)
	}
#undef X
}

static void control_frame(const struct frame *f)
{
#define X(type, NAME, name, FIELDS) DECODE(control, type, name)
	switch (f->type) {
		CONTROL_ASKER_FRAMES(X)
		CONTROL_NODE_FRAMES(X)
	}
#undef X
}

static void gate_frame(const struct frame *f)
{
#define X(type, NAME, name, FIELDS) DECODE(gate, type, name)
	switch (f->type) {
		GATE_FRAMES(X)
	}
#undef X
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size);
	struct frame f;
	size_t used, less;

	for (;;) {
		if (frame_parse(in, &f, &used) || used == 0)
			return 0;
		assert(used == FRAME_HEADER_SIZE + f.payload.len && used <= in.len);
		struct frame none;
		assert(frame_parse(slice_of(in.data, used - 1), &none, &less) == RMQ_E_OK);
		assert(less == 0);
		wire_frame(&f);
		journal_frame(&f);
		control_frame(&f);
		gate_frame(&f);
		in = slice_of(in.data + used, in.len - used);
	}
}

void fuzz_seeds(fuzz_add *add)
{
	static uint8_t all[16384];
	struct writer stream = writer_of(all, sizeof(all)), *w = &stream;
	size_t begin;

#define X(type, NAME, name, FIELDS) \
	begin = frame_begin(w, type); \
	FIELDS(FUZZ_PUT) \
	frame_end(w, begin); \
	add(w->p + begin, w->len - begin);
	WIRE_CLIENT_FRAMES(X)
	WIRE_GATE_FRAMES(X)
	WIRE_DAEMON_FRAMES(X)
	JOURNAL_OPENER_FRAMES(X)
	JOURNAL_JOURNAL_FRAMES(X)
	CONTROL_ASKER_FRAMES(X)
	CONTROL_NODE_FRAMES(X)
	GATE_FRAMES(X)
#undef X
	assert(!w->full);
	add(all, w->len);
}
