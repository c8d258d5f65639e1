/*
 * Batches: many messages as one piece of bytes, as they stand in SEND frames and
 * in SEND and MOVE events.
 *
 *	u16 count, u16 length of attributes, attributes, u16 ends[count], bodies
 *
 * Each body is followed by one byte, its separator: the one that the sender's input
 * had between records ('\n' or NUL), so that in line mode the bodies *are* the
 * output.  ends[i] is the offset after body i's separator, so body i is
 * [ends[i-1], ends[i] - 1).  The sender claims what the separator is, and that no body holds
 * it: a reader that relies on this checks it.
 *
 * The attributes are a list as attributes.h has it; most batches have none.
 */
#ifndef RMQ_CORE_WIRE_BATCH_H
#define RMQ_CORE_WIRE_BATCH_H

#include "core/base/codec.h"
#include "core/base/error.h"
#include "core/base/limits.h"
#include "core/wire/attributes.h"

struct batch_view {
	const uint8_t *ends; /* count little-endian u16 */
	const uint8_t *blob; /* bodies with separators */
	uint32_t count;
	uint32_t blob_len;
	struct slice attributes; /* empty: there are none */
};

/* Checks a batch from end to end; the view borrows from `bytes`. */
enum rmq_error batch_parse(struct slice bytes, struct batch_view *view)
    __attribute__((warn_unused_result));

/*
 * The same without a look at the ends and the attributes, for a reader that wants some messages
 * only: it asks batch_holds() for these, and attributes_check().
 */
enum rmq_error batch_peek(struct slice bytes, struct batch_view *view)
    __attribute__((warn_unused_result));

/* Where body i begins and, after its separator, ends: offsets into the blob. */
static inline uint32_t batch_begin(const struct batch_view *v, uint32_t i)
{
	return i == 0 ? 0 : load_u16(v->ends + 2 * (size_t)(i - 1));
}

static inline uint32_t batch_end(const struct batch_view *v, uint32_t i)
{
	return load_u16(v->ends + 2 * (size_t)i);
}

/* Body i without its separator. */
static inline struct slice batch_body(const struct batch_view *v, uint32_t i)
{
	uint32_t begin = batch_begin(v, i);
	return slice_of(v->blob + begin, batch_end(v, i) - begin - 1);
}

/* Whether messages [from, from + count) lie inside of the batch, one after the other. */
bool batch_holds(const struct batch_view *v, uint32_t from, uint32_t count);

/* Bytes that a batch without attributes of so many messages and bytes of bodies takes. */
static inline size_t batch_size(size_t count, size_t blob_len)
{
	return BATCH_HEADER_SIZE + 2 * count + blob_len;
}

/* What the messages of a batch count for: bodies, separators and attributes. */
static inline uint32_t batch_weight(const struct batch_view *v)
{
	return v->blob_len + (uint32_t)v->attributes.len;
}

/* Longest body that still fits into a batch; a longer one is sent in chunks. */
#define BATCH_BODY_MAX (BATCH_MAX - BATCH_HEADER_SIZE - 2 - 1)

/* Writes messages [from, from + count) of `v` as a batch of their own, attributes and all. */
void batch_copy(struct writer *w, const struct batch_view *v, uint32_t from, uint32_t count);

#endif
