/*
 * The splitter: however the input comes in, the records in its batches are what lies
 * between the separators.  The first byte says how much is read at a time.
 */
#include "fuzz.h"

#include "core/client/splitter.h"

struct rest {
	struct slice input; /* records that have not come out yet */
	uint64_t records;
};

/* The next record of the input, by the plain definition. */
static struct slice next_record(struct rest *r)
{
	const uint8_t *nl = memchr(r->input.data, '\n', r->input.len);
	size_t len = nl ? (size_t)(nl - r->input.data) : r->input.len;
	struct slice record = slice_of(r->input.data, len);
	size_t used = len + (nl ? 1 : 0);
	assert(used > 0);
	r->input = slice_of(r->input.data + used, r->input.len - used);
	r->records++;
	return record;
}

static void take_large(struct rest *r, const struct sendbuf *b)
{
	struct slice record = next_record(r);
	size_t at = 0;
	for (; b; b = b->next) {
		assert(b->large && b->blob_len > 0 && b->blob_len <= CHUNK_MAX);
		assert(at + b->blob_len <= record.len);
		assert(memcmp(record.data + at, b->bytes + SENDBUF_BLOB, b->blob_len) == 0);
		at += b->blob_len;
	}
	assert(at == record.len);
}

static void take_batch(struct rest *r, struct sendbuf *b)
{
	struct batch_view v, parsed;
	struct frame f;
	struct wire_send send;
	size_t used;

	sendbuf_seal(b, 0, 0, slice_str("jobs"), NO_TAGS);
	sendbuf_stamp(b, 1, 0);
	struct slice frame = sendbuf_frame(b);
	assert(frame_parse(frame, &f, &used) == RMQ_E_OK && used == frame.len);
	assert(wire_send_decode(f.payload, &send) && slice_eq(send.queue, slice_str("jobs")));
	assert(batch_parse(send.data, &parsed) == RMQ_E_OK);
	v = sendbuf_view(b);
	assert(v.count == parsed.count);
	for (uint32_t i = 0; i < v.count; i++) {
		struct slice record = next_record(r);
		assert(slice_eq(batch_body(&parsed, i), record));
	}
}

static void take_all(struct splitter *s, struct rest *r, bool flush)
{
	struct sendbuf *b;
	enum splitter_result result;
	while ((result = splitter_next(s, flush, &b)) == SPLITTER_BATCH) {
		if (b->large)
			take_large(r, b);
		else
			take_batch(r, b);
		sendbuf_free(b);
	}
	assert(result == SPLITTER_MORE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct splitter s;
	size_t len, step;

	if (size == 0)
		return 0;
	struct slice in = slice_of(data + 1, size - 1);
	struct rest r = {in, 0};
	splitter_init(&s, '\n');
	step = (size_t)1 << data[0] % 18;
	while (in.len > 0) {
		uint8_t *space = splitter_space(&s, &len);
		assert(space && len > 0);
		len = len < step ? len : step;
		len = len < in.len ? len : in.len;
		memcpy(space, in.data, len);
		splitter_fill(&s, len);
		in = slice_of(in.data + len, in.len - len);
		take_all(&s, &r, data[0] & 32);
	}
	splitter_end(&s);
	take_all(&s, &r, true);
	assert(r.input.len == 0);
	splitter_deinit(&s);
	return 0;
}

void fuzz_seeds(fuzz_add *add)
{
	static char bytes[200000];
	add("\17one\ntwo\n\nlast", 14);
	add("\0\n\n\n", 4);
	for (unsigned line = 1; line <= sizeof(bytes); line *= 7) {
		memset(bytes, 'x', sizeof(bytes));
		for (size_t i = line; i < sizeof(bytes); i += line)
			bytes[i] = '\n';
		bytes[0] = (char)(line & 63);
		add(bytes, sizeof(bytes));
	}
	memset(bytes, 'x', sizeof(bytes));
	bytes[0] = 17;
	add(bytes, BATCH_BODY_MAX + 1);
	add(bytes, BATCH_BODY_MAX + 2);
	bytes[BATCH_BODY_MAX + 1] = '\n';
	add(bytes, BATCH_BODY_MAX + 3);
}
