#include "core/client/labels.h"

#include "core/base/limits.h"
#include "core/base/units.h"

void labels_deinit(struct labels *l)
{
	text_deinit(&l->headers);
	text_deinit(&l->key);
	text_deinit(&l->id);
}

void labels_clear(struct labels *l)
{
	struct labels empty = {.headers = l->headers, .key = l->key, .id = l->id};
	empty.headers.len = empty.key.len = empty.id.len = 0;
	empty.headers.failed = empty.key.failed = empty.id.failed = false;
	*l = empty;
}

bool moment_parse(const char *text, struct moment *m)
{
	struct wall_time t;
	uint64_t ms;
	if (units_time(text, &t)) {
		*m = (struct moment){MOMENT_AT, t.ms};
		return true;
	}
	if (!units_duration(text, &ms) || ms > DELAY_MS_MAX)
		return false;
	*m = (struct moment){MOMENT_AFTER, ms};
	return true;
}

const char *labels_overlay(struct labels *l, const struct labels *over)
{
	struct reader r = reader_of(slice_of(over->headers.data, over->headers.len));
	struct slice name, value;
	while (headers_next(&r, &name, &value)) {
		const char *why = headers_put(&l->headers, name, value);
		if (why)
			return why;
	}
	if (over->key.len > 0) {
		l->key.len = 0;
		text_put(&l->key, over->key.data, over->key.len);
	}
	if (over->has_priority) {
		l->has_priority = true;
		l->priority = over->priority;
	}
	if (over->delay.kind)
		l->delay = over->delay;
	if (over->expire.kind)
		l->expire = over->expire;
	return l->key.failed || l->headers.failed ? "out of memory" : NULL;
}

void labels_put(const struct labels *l, struct attribute_table *t, uint32_t message)
{
	if (l->headers.len > 0)
		attribute_table_put(
		    t, message, ATTRIBUTE_HEADERS, slice_of(l->headers.data, l->headers.len));
	if (l->has_priority && l->priority != PRIORITY_DEFAULT)
		attribute_table_put(t, message, ATTRIBUTE_PRIORITY, slice_of(&l->priority, 1));
	if (l->key.len > 0)
		attribute_table_put(
		    t, message, ATTRIBUTE_KEY, slice_of(l->key.data, l->key.len));
	if (l->id.len > 0)
		attribute_table_put(t, message, ATTRIBUTE_ID, slice_of(l->id.data, l->id.len));
}

static uint64_t at_ms(const struct moment *m, struct wall_time now)
{
	return m->kind == MOMENT_AT ? m->ms : now.ms + m->ms;
}

bool labels_expire_first(const struct labels *l, struct wall_time now)
{
	return l->delay.kind && l->expire.kind &&
	       at_ms(&l->expire, now) <= at_ms(&l->delay, now);
}

static void put_time(
    struct attribute_table *t, uint16_t tag, const struct moment *m, struct wall_time now)
{
	uint8_t bytes[8];
	if (m->kind == MOMENT_NONE)
		return;
	store_u64(bytes, at_ms(m, now));
	attribute_table_put(t, ATTRIBUTE_ALL, tag, slice_of(bytes, sizeof(bytes)));
}

void labels_put_times(const struct labels *l, struct attribute_table *t, struct wall_time now)
{
	put_time(t, ATTRIBUTE_DELAY_UNTIL, &l->delay, now);
	put_time(t, ATTRIBUTE_EXPIRE_AT, &l->expire, now);
}
