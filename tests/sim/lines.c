#include "lines.h"

#include "prng.h"

#include "core/wire/attributes.h"

#include <assert.h>
#include <stdlib.h>

const char *const line_topics[LINE_TOPICS] = {"a.b", "a.c.d", "x", "a"};
const char *const line_patterns[LINE_PATTERNS] = {"a.*", "a.#", "#", "*.b", "a.c.*"};
const uint8_t line_matches[LINE_TOPICS] = {1 | 2 | 4 | 8, 2 | 4 | 16, 4, 2 | 4};

void lines_free(struct lines *l)
{
	for (uint32_t i = 0; i < l->count; i++)
		free(l->all[i].copy);
	free(l->all);
}

uint32_t lines_new(struct lines *l, uint32_t len)
{
	assert(len >= LINE_MIN);
	if (l->count == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 256;
		l->all = realloc(l->all, l->cap * sizeof(*l->all));
		assert(l->all);
	}
	l->all[l->count] = (struct line_state){.len = len, .lane.priority = LINE_NO_PRIORITY};
	return l->count++;
}

/* 'm', the number in 4 digits of 32 each, and letters that follow from the number. */
static void write_body(uint32_t line, uint32_t len, uint8_t *body)
{
	struct prng p = {line};
	uint64_t bits = 0;
	uint32_t rest = line;
	body[0] = 'm';
	for (int i = LINE_MIN - 1; i >= 1; i--, rest /= 32)
		body[i] = (uint8_t)('@' + rest % 32);
	for (uint32_t i = LINE_MIN; i < len; i++) {
		if ((i - LINE_MIN) % 16 == 0)
			bits = prng_next(&p);
		body[i] = (uint8_t)('a' + (bits & 15));
		bits >>= 4;
	}
}

void lines_body(const struct lines *l, uint32_t line, uint8_t *body)
{
	write_body(line, l->all[line].len, body);
}

/* One header, sometimes a topic, and one that nobody knows. */
struct slice lines_attributes(
    uint32_t which, const struct line_lane *lane, uint8_t list[LINE_ATTRIBUTES_MAX])
{
	uint8_t pair[64], value[40];
	struct writer w = writer_of(list, LINE_ATTRIBUTES_MAX),
		      p = writer_of(pair, sizeof(pair));
	size_t len = which % sizeof(value);
	memset(value, 'a' + which % 26, sizeof(value));
	put_str(&p, slice_of("h", 1));
	put_u16(&p, (uint16_t)len);
	put_rest(&p, slice_of(value, len));
	if (which > 0)
		tags_put(&w, ATTRIBUTE_HEADERS, slice_of(p.p, p.len));
	tags_put_u64(&w, ATTRIBUTE_DELAY_UNTIL, lane->until_ms);
	if (which > 0 && which % 2 == 0)
		tags_put(&w, ATTRIBUTE_REPLY_TOPIC, slice_of("t", 1));
	tags_put_u64(&w, ATTRIBUTE_EXPIRE_AT, lane->expire_ms);
	if (lane->priority != LINE_NO_PRIORITY)
		tags_put(&w, ATTRIBUTE_PRIORITY, slice_of(&lane->priority, 1));
	if (lane->key > 0)
		tags_put(&w, ATTRIBUTE_KEY, slice_of(&lane->key, 1));
	if (which > 0)
		tags_put(&w, 51, slice_of(&which, sizeof(which)));
	assert(!w.full && !p.full);
	return slice_of(w.p, w.len);
}

/* Begins the list of an attribute that messages have each; end_each() ends it. */
static size_t begin_each(struct writer *w, uint16_t tag)
{
	tags_put(w, tag | ATTRIBUTE_EACH, slice_of("", 0));
	return w->len;
}

static void end_each(struct writer *w, size_t begin)
{
	if (w->len > begin)
		store_u16(w->p + begin - 2, (uint16_t)(w->len - begin));
	else
		w->len -= 4;
}

struct slice lines_lanes(const struct lines *l, const uint32_t *lines, uint32_t count,
    size_t len, uint8_t list[LINE_ATTRIBUTES_MAX])
{
	struct writer w = writer_of(list, LINE_ATTRIBUTES_MAX);
	w.len = len;
	size_t begin = begin_each(&w, ATTRIBUTE_DELAY_UNTIL);
	for (uint32_t i = 0; i < count; i++)
		tags_put_u64(&w, (uint16_t)i, l->all[lines[i]].lane.until_ms);
	end_each(&w, begin);
	begin = begin_each(&w, ATTRIBUTE_EXPIRE_AT);
	for (uint32_t i = 0; i < count; i++)
		tags_put_u64(&w, (uint16_t)i, l->all[lines[i]].lane.expire_ms);
	end_each(&w, begin);
	begin = begin_each(&w, ATTRIBUTE_PRIORITY);
	for (uint32_t i = 0; i < count; i++)
		if (l->all[lines[i]].lane.priority != LINE_NO_PRIORITY)
			tags_put(&w, (uint16_t)i, slice_of(&l->all[lines[i]].lane.priority, 1));
	end_each(&w, begin);
	begin = begin_each(&w, ATTRIBUTE_KEY);
	for (uint32_t i = 0; i < count; i++)
		if (l->all[lines[i]].lane.key > 0)
			tags_put(&w, (uint16_t)i, slice_of(&l->all[lines[i]].lane.key, 1));
	end_each(&w, begin);
	assert(!w.full);
	return slice_of(w.p, w.len);
}

struct line_copy *lines_stored(struct lines *l, uint32_t line)
{
	struct line_state *s = &l->all[line];
	s->copy = realloc(s->copy, (s->stored + 1) * sizeof(*s->copy));
	assert(s->copy);
	s->copy[s->stored] = (struct line_copy){0};
	return &s->copy[s->stored++];
}

uint32_t lines_begun(const struct lines *l, struct slice body)
{
	uint32_t line = 0;
	if (body.len < LINE_MIN || body.data[0] != 'm')
		return UINT32_MAX;
	for (int i = 1; i < LINE_MIN; i++)
		line = line * 32 + (uint32_t)(body.data[i] - '@');
	return line < l->count ? line : UINT32_MAX;
}

uint32_t lines_recognise(const struct lines *l, struct slice body)
{
	uint8_t small[512];
	uint32_t line = lines_begun(l, body);
	if (line == UINT32_MAX || l->all[line].len != body.len)
		return UINT32_MAX;
	uint8_t *want = body.len <= sizeof(small) ? small : malloc(body.len);
	assert(want);
	write_body(line, (uint32_t)body.len, want);
	bool same = memcmp(want, body.data, body.len) == 0;
	if (want != small)
		free(want);
	return same ? line : UINT32_MAX;
}
