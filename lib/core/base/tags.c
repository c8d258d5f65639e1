#include "core/base/tags.h"

bool tags_next(struct reader *r, struct tag *t)
{
	if (reader_left(r) == 0)
		return false;
	t->tag = get_u16(r);
	size_t len = get_u16(r);
	const uint8_t *p = reader_take(r, len);
	t->value = slice_of(p, p ? len : 0);
	return !r->bad;
}

void tags_skip(struct reader *r, uint32_t tag)
{
	while (reader_left(r) >= 4 && load_u16(r->p) < tag) {
		size_t len = 4 + (size_t)load_u16(r->p + 2);
		if (len > reader_left(r))
			return;
		r->p += len;
	}
}

bool tags_find(struct slice tags, uint16_t tag, struct slice *value)
{
	struct reader r = reader_of(tags);
	struct tag t;
	while (tags_next(&r, &t) && t.tag <= tag) {
		if (t.tag == tag) {
			*value = t.value;
			return true;
		}
	}
	return false;
}

uint64_t tags_find_u64(struct slice tags, uint16_t tag)
{
	struct slice value;
	return tags_find(tags, tag, &value) && value.len == 8 ? load_u64(value.data) : 0;
}

void tags_put(struct writer *w, uint16_t tag, struct slice value)
{
	if (value.len > UINT16_MAX) {
		w->full = true;
		return;
	}
	put_u16(w, tag);
	put_u16(w, (uint16_t)value.len);
	put_rest(w, value);
}

void tags_put_u64(struct writer *w, uint16_t tag, uint64_t value)
{
	uint8_t field[8];
	store_u64(field, value);
	if (value > 0)
		tags_put(w, tag, slice_of(field, sizeof(field)));
}

struct slice tags_of_u64(uint8_t bytes[TAG_U64_SIZE], uint16_t tag, uint64_t value)
{
	struct writer w = writer_of(bytes, TAG_U64_SIZE);
	tags_put_u64(&w, tag, value);
	return slice_of(bytes, w.len);
}

enum rmq_error tags_check(struct slice tags, unsigned type, tag_namer *name, uint16_t *unknown)
{
	struct reader r = reader_of(tags);
	struct tag t;
	uint16_t last = 0;
	*unknown = 0;
	while (tags_next(&r, &t)) {
		if (t.tag <= last)
			return RMQ_E_PROTOCOL;
		last = t.tag;
		if (*unknown == 0 && t.tag % 2 == 0 && !name(type, t.tag))
			*unknown = t.tag;
	}
	if (r.bad)
		return RMQ_E_PROTOCOL;
	return *unknown ? RMQ_E_VERSION : RMQ_E_OK;
}
