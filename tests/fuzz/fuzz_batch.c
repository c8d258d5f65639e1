/* Batches: what is accepted has the bodies it says, and a part of it is a batch too. */
#include "fuzz.h"

#include "core/batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t part_bytes[BATCH_MAX];
	struct batch_view v, part;

	if (size < 2 || batch_parse(slice_of(data + 2, size - 2), &v))
		return 0;
	assert(v.count > 0 && v.count <= BATCH_MESSAGES_MAX);
	assert(batch_size(v.count, v.blob_len) == size - 2);
	size_t total = 0;
	for (uint32_t i = 0; i < v.count; i++) {
		struct slice body = batch_body(&v, i);
		assert(body.data >= v.blob && body.data + body.len < v.blob + v.blob_len);
		total += body.len + 1;
	}
	assert(total == v.blob_len);

	uint32_t from = data[0] % v.count, count = 1 + data[1] % (v.count - from);
	struct writer w = writer_of(part_bytes, sizeof(part_bytes));
	batch_copy(&w, &v, from, count);
	assert(!w.full && batch_parse(slice_of(w.p, w.len), &part) == RMQ_E_OK);
	assert(part.count == count);
	for (uint32_t i = 0; i < count; i++)
		assert(slice_eq(batch_body(&part, i), batch_body(&v, from + i)));
	return 0;
}

static void seed(fuzz_add *add, uint32_t count, const char *body)
{
	static uint8_t bytes[2 + BATCH_MAX];
	struct writer w = writer_of(bytes, sizeof(bytes));
	size_t step = strlen(body) + 1;

	put_u16(&w, 0x0301);
	put_u16(&w, (uint16_t)count);
	put_u16(&w, 0);
	for (uint32_t i = 1; i <= count; i++)
		put_u16(&w, (uint16_t)(i * step));
	for (uint32_t i = 0; i < count; i++)
		put_rest(&w, slice_of(body, step));
	assert(!w.full);
	add(bytes, w.len);
}

void fuzz_seeds(fuzz_add *add)
{
	seed(add, 1, "");
	seed(add, 1, "hello");
	seed(add, 7, "a line");
	seed(add, 300, "");
	seed(add, BATCH_MESSAGES_MAX, "0123456789");
}
