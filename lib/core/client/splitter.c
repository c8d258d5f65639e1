/*
 * `buf` holds, in this order: records that are in the batch, at most one separator's
 * worth of bytes that were scanned, bytes that were not.  What does not belong to the
 * batch that is taken is copied to the next buffer: less than a record, or, with records
 * shorter than 16 bytes, about as much as was taken.
 */
#include "core/client/splitter.h"

#include <assert.h>

void splitter_init(struct splitter *s, uint8_t separator)
{
	*s = (struct splitter){.separator = separator, .record_max = MESSAGE_MAX};
}

void splitter_deinit(struct splitter *s)
{
	sendbuf_free(s->buf);
	sendbuf_free(s->large);
	*s = (struct splitter){0};
}

static struct sendbuf *new_buf(const struct splitter *s)
{
	struct sendbuf *b = sendbuf_new();
	if (b)
		b->reserved = s->reserve;
	return b;
}

static bool need_buf(struct splitter *s)
{
	if (!s->buf)
		s->buf = new_buf(s);
	return s->buf != NULL;
}

uint8_t *splitter_space(struct splitter *s, size_t *len)
{
	if (!need_buf(s))
		return NULL;
	*len = sendbuf_cap(s->buf) - s->buf->filled;
	return sendbuf_blob(s->buf) + s->buf->filled;
}

void splitter_fill(struct splitter *s, size_t len)
{
	assert(len <= sendbuf_cap(s->buf) - s->buf->filled);
	s->buf->filled += (uint32_t)len;
}

/* Gives the buffer away but for the bytes from `from` on, which begin the next one. */
static bool cut(struct splitter *s, uint32_t from, struct sendbuf **out)
{
	struct sendbuf *b = s->buf, *next = NULL;
	uint32_t left = b->filled - from;
	if (left > 0) {
		next = new_buf(s);
		if (!next)
			return false;
		memcpy(sendbuf_blob(next), sendbuf_blob(b) + from, left);
		next->filled = left;
	}
	b->filled = b->blob_len;
	s->buf = next;
	s->scanned = 0;
	*out = b;
	return true;
}

/* Makes the buffer's first `len` bytes the next piece of a large record. */
static bool add_piece(struct splitter *s, uint32_t len, uint32_t from)
{
	struct sendbuf *piece;
	s->buf->large = true;
	s->buf->blob_len = len;
	if (!cut(s, from, &piece))
		return false;
	s->large_len += len;
	if (s->large && len == 0) {
		sendbuf_free(piece);
		return true;
	}
	if (s->large)
		s->large_last->next = piece;
	else
		s->large = piece;
	s->large_last = piece;
	return true;
}

static enum splitter_result take_large(struct splitter *s, struct sendbuf **out)
{
	*out = s->large;
	s->large = s->large_last = NULL;
	s->large_len = 0;
	return SPLITTER_BATCH;
}

static enum splitter_result take_batch(struct splitter *s, struct sendbuf **out)
{
	return cut(s, s->buf->blob_len, out) ? SPLITTER_BATCH : SPLITTER_NO_MEMORY;
}

/* A large record, of which all before `buf` is in pieces already. */
static enum splitter_result next_of_large(struct splitter *s, struct sendbuf **out)
{
	struct sendbuf *b = s->buf;
	uint8_t *blob = sendbuf_blob(b);
	uint8_t *end = memchr(blob + s->scanned, s->separator, b->filled - s->scanned);
	uint32_t len = end ? (uint32_t)(end - blob) : b->filled;
	s->scanned = len;
	if (s->large_len + len > s->record_max)
		return SPLITTER_TOO_LARGE;
	if (end)
		return add_piece(s, len, len + 1) ? take_large(s, out) : SPLITTER_NO_MEMORY;
	if (b->filled == sendbuf_cap(b) && !add_piece(s, len, len))
		return SPLITTER_NO_MEMORY;
	return SPLITTER_MORE;
}

/* Drops bytes up to the end of a record that is too large. */
static bool skipped(struct splitter *s)
{
	struct sendbuf *b = s->buf, *dropped;
	uint8_t *blob = sendbuf_blob(b);
	uint8_t *end = memchr(blob, s->separator, b->filled);
	b->blob_len = 0;
	uint32_t len = end ? (uint32_t)(end - blob) + 1 : b->filled;
	s->skipping = end == NULL;
	if (s->dropped)
		text_put(s->dropped, blob, len);
	if (!cut(s, len, &dropped))
		return false;
	sendbuf_free(dropped);
	return true;
}

/* Puts all whole records of the buffer into its batch; false: the next does not fit. */
static bool scan(struct splitter *s)
{
	struct sendbuf *b = s->buf;
	uint8_t *blob = sendbuf_blob(b), *from = blob + s->scanned, *stop = blob + b->filled;
	uint8_t *end;
	while (from < stop && (end = memchr(from, s->separator, (size_t)(stop - from)))) {
		uint32_t behind = (uint32_t)(end + 1 - blob);
		if (!sendbuf_fits(b, behind)) {
			s->scanned = (uint32_t)(end - blob);
			return false;
		}
		sendbuf_push(b, behind);
		from = end + 1;
	}
	s->scanned = b->filled;
	return true;
}

enum splitter_result splitter_next(struct splitter *s, bool flush, struct sendbuf **out)
{
	if (!s->buf)
		return SPLITTER_MORE;
	if (s->skipping) {
		if (!skipped(s))
			return SPLITTER_NO_MEMORY;
		if (!s->buf)
			return SPLITTER_MORE;
	}
	if (s->large)
		return next_of_large(s, out);
	bool fits = scan(s);
	struct sendbuf *b = s->buf;
	if (b->count > 0 && (!fits || flush || b->filled == sendbuf_cap(b)))
		return take_batch(s, out);
	if (b->count == 0 && (!fits || b->filled == sendbuf_cap(b)))
		return next_of_large(s, out);
	return SPLITTER_MORE;
}

void splitter_skip(struct splitter *s)
{
	for (const struct sendbuf *b = s->dropped ? s->large : NULL; b; b = b->next)
		text_put(s->dropped, b->bytes + SENDBUF_BLOB, b->blob_len);
	sendbuf_free(s->large);
	s->large = s->large_last = NULL;
	s->large_len = 0;
	s->skipping = true;
}

uint64_t splitter_partial(const struct splitter *s)
{
	uint64_t in_buf = s->buf ? s->buf->filled - s->buf->blob_len : 0;
	return s->skipping ? 0 : s->large_len + in_buf;
}

void splitter_end(struct splitter *s)
{
	size_t len;
	if (splitter_partial(s) == 0)
		return;
	uint8_t *p = splitter_space(s, &len);
	assert(p && len > 0);
	*p = s->separator;
	splitter_fill(s, 1);
}
