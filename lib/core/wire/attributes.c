#include "core/wire/attributes.h"

#include <assert.h>

#include "core/base/name.h"
#include "core/base/utf8.h"

const char *attribute_name(unsigned tag)
{
	switch (tag & ~ATTRIBUTE_EACH) {
#define X(tag, NAME, name, kind) \
	case tag: \
		return name;
		ATTRIBUTES(X)
#undef X
	}
	return NULL;
}

/* ---- values ---- */

static bool valid_time(struct slice value)
{
	return value.len == 8;
}

static bool valid_priority(struct slice value)
{
	return value.len == 1 && value.data[0] <= PRIORITY_MAX;
}

static bool valid_opaque(struct slice value)
{
	return value.len > 0 && value.len <= UINT8_MAX;
}

static bool valid_topic(struct slice value)
{
	return name_valid(value);
}

bool headers_next(struct reader *r, struct slice *name, struct slice *value)
{
	if (reader_left(r) == 0)
		return false;
	*name = get_str(r);
	size_t len = get_u16(r);
	const uint8_t *p = reader_take(r, len);
	*value = slice_of(p, p ? len : 0);
	return !r->bad;
}

static bool is_text(struct slice s)
{
	for (size_t i = 0, len; i < s.len; i += len) {
		len = utf8_len(s.data + i, s.len - i);
		if (len == 0 || s.data[i] < 0x20 || s.data[i] == 0x7f ||
		    (s.data[i] == 0xc2 && s.data[i + 1] < 0xa0))
			return false;
	}
	return true;
}

static bool valid_headers(struct slice s)
{
	struct reader r = reader_of(s);
	struct slice name, value, last = slice_of("", 0);
	while (headers_next(&r, &name, &value)) {
		/* Nothing sorts before an empty name. */
		if (slice_cmp(name, last) <= 0 || !is_text(name) || !is_text(value))
			return false;
		last = name;
	}
	return !r.bad && s.len > 0 && s.len <= HEADERS_BYTES_MAX;
}

const char *headers_put(struct text *headers, struct slice name, struct slice value)
{
	struct slice n, v;
	struct reader r = reader_of(slice_of(headers->data, headers->len));
	size_t at = 0, instead = 0, size = 1 + name.len + 2 + value.len;
	if (name.len == 0 || name.len > UINT8_MAX)
		return "a header's name has 1 to 255 bytes";
	if (!is_text(name) || !is_text(value))
		return "a header is UTF-8 without control characters";
	while (headers_next(&r, &n, &v)) {
		int order = slice_cmp(n, name);
		if (order == 0)
			instead = 1 + n.len + 2 + v.len;
		if (order >= 0)
			break;
		at = headers->len - reader_left(&r);
	}
	if (headers->len - instead + size > HEADERS_BYTES_MAX)
		return "all headers together, names and values, are more than 4096 bytes";
	if (!text_reserve(headers, size))
		return "out of memory";
	char *p = headers->data + at;
	memmove(p + size, p + instead, headers->len - at - instead);
	struct writer w = writer_of((uint8_t *)p, size);
	put_str(&w, name);
	put_u16(&w, (uint16_t)value.len);
	put_rest(&w, value);
	headers->len += size - instead;
	return NULL;
}

static_assert(HEADERS_BYTES_MAX == 4096, "the text says so");

bool attribute_is_key(struct slice value)
{
	return valid_opaque(value) && is_text(value);
}

/* What is not known is carried as it is. */
static bool value_valid(uint16_t tag, struct slice value)
{
	switch (tag & ~ATTRIBUTE_EACH) {
#define X(tag, NAME, name, kind) \
	case tag: \
		return valid_##kind(value);
		ATTRIBUTES(X)
#undef X
	}
	return true;
}

/* ---- lists ---- */

/* (index, length, value) is encoded as a tagged field is: the index is its tag. */
static bool each_valid(const struct tag *t, uint32_t count)
{
	struct reader r = reader_of(t->value);
	struct tag one;
	uint32_t least = 0;
	while (tags_next(&r, &one)) {
		if (one.tag < least || one.tag >= count || !value_valid(t->tag, one.value))
			return false;
		least = one.tag + 1u;
	}
	return !r.bad && least > 0;
}

enum rmq_error attributes_check(struct slice list, uint32_t count)
{
	/* Shared attributes come first: the list is merged with itself to find one in both ways. */
	struct reader r = reader_of(list), again = r;
	struct tag t, shared = {0};
	uint16_t last = 0;
	while (tags_next(&r, &t)) {
		uint16_t tag = (uint16_t)(t.tag & ~ATTRIBUTE_EACH);
		if (t.tag <= last || tag == 0)
			return RMQ_E_PROTOCOL;
		last = t.tag;
		if (!(t.tag & ATTRIBUTE_EACH)) {
			if (!value_valid(t.tag, t.value))
				return RMQ_E_PROTOCOL;
			continue;
		}
		while (shared.tag < tag && tags_next(&again, &shared))
			;
		if (shared.tag == tag || !each_valid(&t, count))
			return RMQ_E_PROTOCOL;
	}
	return r.bad ? RMQ_E_PROTOCOL : RMQ_E_OK;
}

uint16_t attributes_refused(struct slice list)
{
	struct reader r = reader_of(list);
	struct tag t;
	while (tags_next(&r, &t)) {
		uint16_t tag = (uint16_t)(t.tag & ~ATTRIBUTE_EACH);
		if (tag % 2 == 0 && !attribute_name(tag))
			return tag;
	}
	return 0;
}

size_t attributes_shared(struct slice list)
{
	struct reader r = reader_of(list);
	struct tag t;
	size_t bytes = 0;
	while (tags_next(&r, &t) && !(t.tag & ATTRIBUTE_EACH))
		bytes += t.value.len;
	return bytes;
}

/* Messages [from, end) of a list, which is to begin with message `first`. */
static void each_put(
    struct writer *w, struct slice each, uint32_t from, uint32_t end, uint32_t first)
{
	struct reader r = reader_of(each);
	struct tag one;
	tags_skip(&r, from);
	while (tags_next(&r, &one) && one.tag < end)
		tags_put(w, (uint16_t)(one.tag - first), one.value);
}

/* Messages [from, end), or with `but` all others. */
static void each_copy(
    struct writer *w, const struct tag *t, uint32_t from, uint32_t end, bool but)
{
	size_t begin = w->len;
	tags_put(w, t->tag, slice_of("", 0));
	size_t body = w->len;
	if (but) {
		each_put(w, t->value, 0, from, 0);
		each_put(w, t->value, end, UINT32_MAX, end - from);
	} else {
		each_put(w, t->value, from, end, from);
	}
	if (w->full)
		return;
	if (w->len == body)
		w->len = begin;
	else
		store_u16(w->p + body - 2, (uint16_t)(w->len - body));
}

static void list_copy(
    struct writer *w, struct slice list, uint32_t from, uint32_t end, bool but)
{
	struct reader r = reader_of(list);
	struct tag t;
	while (tags_next(&r, &t)) {
		if (t.tag & ATTRIBUTE_EACH)
			each_copy(w, &t, from, end, but);
		else
			tags_put(w, t.tag, t.value);
	}
}

void attributes_copy(struct writer *w, struct slice list, uint32_t from, uint32_t count)
{
	list_copy(w, list, from, from + count, false);
}

void attributes_without(struct writer *w, struct slice list, uint32_t from, uint32_t count)
{
	list_copy(w, list, from, from + count, true);
}

static struct attribute_cursor cursor_of(struct slice list, uint16_t tag)
{
	struct attribute_cursor c = {.list = list, .tag = tag};
	struct slice each = {0};
	c.is_shared = tags_find(list, tag, &c.shared);
	if (!c.is_shared)
		(void)tags_find(list, (uint16_t)(tag | ATTRIBUTE_EACH), &each);
	c.each = reader_of(each);
	c.has_one = tags_next(&c.each, &c.one);
	return c;
}

bool attributes_next(struct attribute_cursor *c, struct slice list, uint16_t tag, uint32_t i,
    struct slice *value)
{
	if (c->list.data != list.data || c->list.len != list.len || c->tag != tag ||
	    i + 1 < c->next)
		*c = cursor_of(list, tag);
	c->next = i;
	if (c->has_one && c->one.tag < i) {
		tags_skip(&c->each, i);
		c->has_one = tags_next(&c->each, &c->one);
	}
	bool has = c->has_one && c->one.tag == i;
	*value = has ? c->one.value : c->shared;
	return has || c->is_shared;
}

uint32_t attributes_run(struct attribute_cursor *c, struct slice list, uint16_t tag, uint32_t i,
    uint32_t end, struct slice *value)
{
	if (!attributes_next(c, list, tag, i, value))
		*value = slice_of("", 0);
	if (!c->has_one || c->one.tag >= end)
		return end;
	return c->one.tag == i ? i + 1 : c->one.tag;
}

bool attributes_has(struct slice list, uint16_t tag)
{
	struct slice value;
	return tags_find(list, tag, &value) || tags_find(list, tag | ATTRIBUTE_EACH, &value);
}

bool attributes_find(struct slice list, uint16_t tag, uint32_t i, struct slice *value)
{
	struct slice all;
	if (tags_find(list, tag, value))
		return true;
	if (!tags_find(list, (uint16_t)(tag | ATTRIBUTE_EACH), &all))
		return false;
	return tags_find(all, (uint16_t)i, value);
}
