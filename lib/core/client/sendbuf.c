#include "core/client/sendbuf.h"

#include <assert.h>
#include <stdlib.h>

struct sendbuf *sendbuf_new(void)
{
	/* Only the fields: pages of the blob are touched when something is read into them. */
	struct sendbuf *b = malloc(sizeof(*b));
	if (!b)
		return NULL;
	memset(b, 0, offsetof(struct sendbuf, bytes));
	b->ends = SENDBUF_ENDS;
	return b;
}

void sendbuf_free(struct sendbuf *b)
{
	while (b) {
		struct sendbuf *next = b->next;
		free((void *)(uintptr_t)b->attributes.data);
		free(b);
		b = next;
	}
}

bool sendbuf_reserve(struct sendbuf *b, size_t bytes)
{
	if (bytes > SENDBUF_ATTRIBUTES_MAX || b->filled + bytes > SENDBUF_CAP ||
	    (b->count > 0 && batch_size(b->count, b->blob_len) + bytes > BATCH_MAX))
		return false;
	b->reserved = (uint32_t)bytes;
	return true;
}

bool sendbuf_set_attributes(struct sendbuf *b, struct slice list)
{
	assert(list.len <= b->reserved || b->filled == 0);
	assert(list.len <= (b->large ? CHUNK_ATTRIBUTES_MAX : SENDBUF_ATTRIBUTES_MAX));
	uint8_t *copy = malloc(list.len + 1);
	if (!copy)
		return false;
	if (list.len > 0)
		memcpy(copy, list.data, list.len);
	free((void *)(uintptr_t)b->attributes.data);
	b->attributes = slice_of(copy, list.len);
	b->reserved = (uint32_t)list.len;
	return true;
}

bool sendbuf_append(struct sendbuf *b, struct slice body, uint8_t separator)
{
	assert(b->filled == b->blob_len);
	if (body.len > BATCH_BODY_MAX || !sendbuf_fits(b, b->blob_len + (uint32_t)body.len + 1))
		return false;
	uint8_t *p = sendbuf_blob(b) + b->blob_len;
	if (body.len > 0)
		memcpy(p, body.data, body.len);
	p[body.len] = separator;
	b->filled += (uint32_t)body.len + 1;
	sendbuf_push(b, b->filled);
	return true;
}

struct batch_view sendbuf_view(const struct sendbuf *b)
{
	return (struct batch_view){
	    b->bytes + b->ends, b->bytes + SENDBUF_BLOB, b->count, b->blob_len, b->attributes};
}

/* What stands between the frame's fields and the bodies of a batch; its length. */
static size_t put_batch_head(struct sendbuf *b)
{
	uint8_t *ends = b->bytes + SENDBUF_BLOB - 2 * (size_t)b->count;
	uint8_t *batch = ends - b->attributes.len - BATCH_HEADER_SIZE;
	memmove(ends, b->bytes + b->ends, 2 * (size_t)b->count);
	b->ends = (uint32_t)(ends - b->bytes);
	store_u16(batch, (uint16_t)b->count);
	store_u16(batch + 2, (uint16_t)b->attributes.len);
	if (b->attributes.len > 0)
		memcpy(batch + BATCH_HEADER_SIZE, b->attributes.data, b->attributes.len);
	return (size_t)(b->bytes + SENDBUF_BLOB - batch);
}

void sendbuf_seal_placed(struct sendbuf *b, uint8_t flags, uint32_t part, struct slice queue,
    struct slice further, struct slice resume, uint32_t known)
{
	uint8_t list[4 + CHUNK_ATTRIBUTES_MAX + 4 + SEND_FURTHER_MAX + 4 + SEND_RESUME_MAX +
		     TAG_U64_SIZE];
	struct writer tags = writer_of(list, sizeof(list));
	size_t batch = 0;
	if (b->large) {
		flags |= SEND_CHUNK;
		if (b->next)
			flags |= SEND_MORE;
		if (b->attributes.len > 0)
			tags_put(&tags, SEND_TAG_ATTRIBUTES, b->attributes);
	} else if (b->count > 0) {
		batch = put_batch_head(b);
	}
	if (further.len > 0 && part == 0)
		tags_put(&tags, SEND_TAG_QUEUES, further);
	if (resume.len > 0)
		tags_put(&tags, SEND_TAG_RESUME, resume);
	tags_put_u64(&tags, SEND_TAG_KNOWN, known);
	size_t head = FRAME_HEADER_SIZE + 8 + 8 + 1 + 4 + 1 + queue.len + 2 + tags.len;
	uint8_t *p = b->bytes + SENDBUF_BLOB - batch - head;
	b->begin = (uint32_t)(p - b->bytes);
	struct writer w = writer_of(p, head);
	struct wire_send m = {
	    0, 0, flags, part, queue, slice_of(tags.p, tags.len), slice_of(NULL, 0)};
	wire_put_send(&w, &m);
	assert(!w.full && w.len == head);
	store_u32(p, (uint32_t)(head - FRAME_HEADER_SIZE + batch + b->blob_len));
}

void sendbuf_stamp(struct sendbuf *b, uint64_t n, uint64_t answered)
{
	store_u64(b->bytes + b->begin + FRAME_HEADER_SIZE, n);
	store_u64(b->bytes + b->begin + FRAME_HEADER_SIZE + 8, answered);
}

struct slice sendbuf_frame(const struct sendbuf *b)
{
	return slice_of(b->bytes + b->begin, SENDBUF_BLOB - b->begin + b->blob_len);
}

struct slice sendbuf_batch(const struct sendbuf *b)
{
	assert(!b->large);
	uint32_t begin = b->ends - (uint32_t)b->attributes.len - BATCH_HEADER_SIZE;
	return slice_of(b->bytes + begin, SENDBUF_BLOB - begin + b->blob_len);
}

void sendbuf_remove(struct sendbuf *b, uint32_t from, uint32_t count)
{
	struct batch_view v = sendbuf_view(b);
	assert(!b->large && from + count <= v.count);
	if (count == 0)
		return;
	if (b->attributes.len > 0) {
		uint8_t list[SENDBUF_ATTRIBUTES_MAX];
		struct writer w = writer_of(list, sizeof(list));
		attributes_without(&w, b->attributes, from, count);
		memcpy((void *)(uintptr_t)b->attributes.data, list, w.len);
		b->attributes.len = w.len;
	}
	uint32_t begin = batch_begin(&v, from), end = batch_end(&v, from + count - 1);
	uint8_t *blob = sendbuf_blob(b), *ends = b->bytes + b->ends;
	memmove(blob + begin, blob + end, b->blob_len - end);
	for (uint32_t i = from + count; i < v.count; i++)
		store_u16(ends + 2 * (size_t)(i - count),
		    (uint16_t)(load_u16(ends + 2 * (size_t)i) - (end - begin)));
	b->count -= count;
	b->blob_len -= end - begin;
	b->filled = b->blob_len;
}

struct sendbuf *sendbuf_split(struct sendbuf *b, uint32_t count)
{
	struct sendbuf *first = malloc(sizeof(*first));
	assert(!b->large && count > 0 && count < b->count);
	if (!first)
		return NULL;
	memcpy(first, b, offsetof(struct sendbuf, bytes) + SENDBUF_BLOB + b->blob_len);
	first->next = NULL;
	first->attributes = NO_TAGS;
	if (b->attributes.len > 0 && !sendbuf_set_attributes(first, b->attributes)) {
		free(first);
		return NULL;
	}
	sendbuf_remove(first, count, b->count - count);
	sendbuf_remove(b, 0, count);
	return first;
}
