#include "core/wire/record.h"

#include <assert.h>
#include <xxhash.h>

#include "core/base/variant.h"

#define CHECKSUM_OFFSET 24

static uint64_t checksum(const uint8_t *record, size_t payload_len)
{
	uint64_t seed = XXH3_64bits(record, CHECKSUM_OFFSET);
	return XXH3_64bits_withSeed(record + RECORD_HEADER_SIZE, payload_len, seed);
}

const char *record_kind_name(unsigned kind)
{
	switch (kind) {
#define X(name, code) \
	case code: \
		return #name;
		RECORD_KINDS(X)
#undef X
	}
	return NULL;
}

/* A CONFIG is in the list; an END of before there was one is not. */
bool record_kind_fits(unsigned kind, unsigned marked)
{
	return marked ? kind == marked : kind != RECORD_CONFIG;
}

void record_seal(uint8_t *record, const struct record_header *h, size_t payload_len)
{
	assert(payload_len <= RECORD_PAYLOAD_MAX);
	record[0] = JOURNAL_VERSION;
	record[1] = (uint8_t)h->kind;
	store_u16(record + 2, 0);
	store_u32(record + 4, (uint32_t)payload_len);
	store_u64(record + 8, h->index);
	store_u64(record + 16, h->term);
	store_u64(record + CHECKSUM_OFFSET, checksum(record, payload_len));
}

enum rmq_error record_peek(
    struct slice value, uint64_t index, struct record_header *h, struct slice *payload)
{
	if (value.len < RECORD_HEADER_SIZE || value.len > RECORD_MAX)
		return RMQ_E_CORRUPT;
	const uint8_t *p = value.data;
	if (p[0] < JOURNAL_OLDEST || p[0] > JOURNAL_VERSION)
		return RMQ_E_VERSION;
	if (load_u16(p + 2) != 0 || load_u32(p + 4) != value.len - RECORD_HEADER_SIZE ||
	    (load_u64(p + 8) != index && !RMQ_VARIANT(INDEX_UNCHECKED)))
		return RMQ_E_CORRUPT;
	if (!record_kind_name(p[1]))
		return RMQ_E_VERSION;
	*h = (struct record_header){(enum record_kind)p[1], index, load_u64(p + 16)};
	*payload = slice_of(p + RECORD_HEADER_SIZE, value.len - RECORD_HEADER_SIZE);
	return RMQ_E_OK;
}

enum rmq_error record_open(
    struct slice value, uint64_t index, struct record_header *h, struct slice *payload)
{
	if (value.len < RECORD_HEADER_SIZE || value.len > RECORD_MAX)
		return RMQ_E_CORRUPT;
	if (value.data[0] < JOURNAL_OLDEST || value.data[0] > JOURNAL_VERSION)
		return RMQ_E_VERSION;
	if (load_u64(value.data + CHECKSUM_OFFSET) !=
	    checksum(value.data, value.len - RECORD_HEADER_SIZE))
		return RMQ_E_CORRUPT;
	return record_peek(value, index, h, payload);
}
