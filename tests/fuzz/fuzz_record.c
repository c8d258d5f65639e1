/*
 * Journal records.  The first byte says what is tried: bytes as they are, or a sealed
 * record, which must open, and must not when a bit of it is wrong.
 */
#include "fuzz.h"

#include "core/wire/record.h"

static void check_foreign(const uint8_t *data, size_t size)
{
	struct record_header h;
	struct slice payload;
	uint64_t index = load_u64(data);
	struct slice value = slice_of(data + 8, size - 8);

	enum rmq_error err = record_open(value, index, &h, &payload);
	assert(err == RMQ_E_OK || err == RMQ_E_CORRUPT || err == RMQ_E_VERSION);
	err = record_peek(value, index, &h, &payload);
	if (err)
		return;
	assert(h.index == index && record_kind_name(h.kind));
	assert(payload.len == value.len - RECORD_HEADER_SIZE);
}

static void check_sealed(const uint8_t *data, size_t size)
{
	static uint8_t record[RECORD_MAX];
	size_t len = size > RECORD_PAYLOAD_MAX ? RECORD_PAYLOAD_MAX : size;
	uint64_t word = load_u64(data);
	struct record_header out, h = {RECORD_EVENTS, word, ~word};
	struct slice payload, value = slice_of(record, RECORD_HEADER_SIZE + len);

	memcpy(record + RECORD_HEADER_SIZE, data, len);
	record_seal(record, &h, len);
	assert(record_open(value, h.index, &out, &payload) == RMQ_E_OK);
	assert(out.kind == h.kind && out.index == h.index && out.term == h.term);
	assert(slice_eq(payload, slice_of(data, len)));
	assert(record_open(value, h.index + 1, &out, &payload) == RMQ_E_CORRUPT);

	size_t bit = word % (8 * value.len);
	record[bit / 8] ^= (uint8_t)(1u << bit % 8);
	assert(record_open(value, h.index, &out, &payload) != RMQ_E_OK);
	record[bit / 8] ^= (uint8_t)(1u << bit % 8);
	value.len--;
	assert(record_open(value, h.index, &out, &payload) == RMQ_E_CORRUPT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 9)
		return 0;
	if (data[0] & 1)
		check_sealed(data + 1, size - 1);
	else
		check_foreign(data + 1, size - 1);
	return 0;
}

void fuzz_seeds(fuzz_add *add)
{
	uint8_t bytes[9 + RECORD_HEADER_SIZE + 8] = {0};
#define X(name, code) \
	store_u64(bytes + 1, 5); \
	record_seal(bytes + 9, &(struct record_header){RECORD_##name, 5, 2}, 8); \
	add(bytes, sizeof(bytes));
	RECORD_KINDS(X)
#undef X
	bytes[0] = 1;
	add(bytes, sizeof(bytes));
	add(bytes, 9);
}
