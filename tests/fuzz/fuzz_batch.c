/* Batches: what is accepted has the bodies it says, and a part of it is a batch too. */
#include "fuzz.h"

#include "core/wire/batch.h"

/* Message i of the part has what message from + i of the whole has. */
static void check_attribute(const struct batch_view *v, const struct batch_view *part,
    uint16_t tag, uint32_t from, uint32_t i)
{
	struct slice a = {0}, b = {0};
	bool has = attributes_find(v->attributes, tag, from + i, &a);
	assert(attributes_find(part->attributes, tag, i, &b) == has);
	assert(slice_eq(a, b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t part_bytes[BATCH_MAX];
	struct batch_view v, part;

	if (size < 2 || batch_parse(slice_of(data + 2, size - 2), &v))
		return 0;
	assert(v.count > 0 && v.count <= BATCH_MESSAGES_MAX);
	assert(batch_size(v.count, v.blob_len) + v.attributes.len == size - 2);
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
	assert(part.attributes.len <= v.attributes.len);
	for (uint32_t i = 0; i < count; i++)
		assert(slice_eq(batch_body(&part, i), batch_body(&v, from + i)));
	for (uint16_t tag = 1; tag <= 12; tag++)
		for (uint32_t i = 0; i < count && i < 64; i++)
			check_attribute(&v, &part, tag, from, i);
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

/* Three messages; headers for all, a key for the first and the last. */
static void seed_attributes(fuzz_add *add)
{
	uint8_t bytes[128], list[64];
	struct writer w = writer_of(bytes, sizeof(bytes)), l = writer_of(list, sizeof(list));

	tags_put(&l, ATTRIBUTE_HEADERS, slice_of("\001a\002\000bc", 6));
	tags_put(&l, ATTRIBUTE_KEY | ATTRIBUTE_EACH, slice_of("\0\0\1\0k\2\0\2\0kk", 11));
	put_u16(&w, 0x0101);
	put_u16(&w, 3);
	put_u16(&w, (uint16_t)l.len);
	put_rest(&w, slice_of(list, l.len));
	for (uint16_t i = 1; i <= 3; i++)
		put_u16(&w, (uint16_t)(2 * i));
	put_rest(&w, slice_str("a\nb\nc\n"));
	assert(!w.full);
	add(bytes, w.len);
}

void fuzz_seeds(fuzz_add *add)
{
	seed_attributes(add);
	seed(add, 1, "");
	seed(add, 1, "hello");
	seed(add, 7, "a line");
	seed(add, 300, "");
	seed(add, BATCH_MESSAGES_MAX, "0123456789");
}
