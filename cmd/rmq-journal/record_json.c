#include "record_json.h"

#include <stdio.h>
#include <time.h>

#include "config_json.h"
#include "core/base/json.h"
#include "core/base/utf8.h"
#include "core/wire/event.h"
#include "core/wire/journal_wire.h"

static void put_base64(struct text *out, struct slice s)
{
	text_put_char(out, '{');
	json_put_key(out, "base64");
	json_put_base64(out, s);
	text_put_char(out, '}');
}

/* Text as a string, other bytes as {"base64": …}. */
static void put_bytes(struct text *out, struct slice s)
{
	if (utf8_valid(s.data, s.len))
		json_put_string(out, s);
	else
		put_base64(out, s);
}

/* A string beyond 2^63, where integers end for many who read JSON. */
static void put_number(struct text *out, uint64_t v)
{
	const char *quote = v > INT64_MAX ? "\"" : "";
	text_put_str(out, quote);
	text_put_u64(out, v);
	text_put_str(out, quote);
}

static void put_number_field(struct text *out, const char *name, uint64_t v)
{
	json_put_key(out, name);
	put_number(out, v);
}

static bool put_batch(struct text *out, struct slice bytes)
{
	struct batch_view v;
	if (batch_parse(bytes, &v))
		return false;
	text_put_char(out, '[');
	for (uint32_t i = 0; i < v.count; i++) {
		json_put_next(out);
		put_bytes(out, batch_body(&v, i));
	}
	text_put_char(out, ']');
	return true;
}

/* "NAME", or "NUMBER" if it has none. */
static void put_tag_key(struct text *out, const char *name, unsigned number)
{
	char digits[8];
	snprintf(digits, sizeof(digits), "%u", number);
	json_put_key(out, name ? name : digits);
}

/* The value of each message that has the attribute: {"INDEX": bytes}. */
static void put_each(struct text *out, struct slice bytes)
{
	struct reader r = reader_of(bytes);
	struct tag t;
	text_put_char(out, '{');
	/* An entry of this list looks as one of tagged fields does. */
	while (tags_next(&r, &t)) {
		put_tag_key(out, NULL, t.tag);
		put_bytes(out, t.value);
	}
	text_put_char(out, '}');
}

/* {"NAME or NUMBER": value} of a list that was checked. */
static void put_attributes(struct text *out, struct slice attributes)
{
	struct tag t;
	struct reader r = reader_of(attributes);
	text_put_char(out, '{');
	while (tags_next(&r, &t)) {
		put_tag_key(out, attribute_name(t.tag), t.tag & ~ATTRIBUTE_EACH);
		if (t.tag & ATTRIBUTE_EACH)
			put_each(out, t.value);
		else
			put_bytes(out, t.value);
	}
	text_put_char(out, '}');
}

static void put_entry(struct text *out, struct reader *r)
{
	struct settle_entry e = settle_entry_get(r);
	text_put_char(out, '{');
	put_number_field(out, "lease", e.lease);
	put_number_field(out, "first", e.first);
	put_number_field(out, "count", e.count);
	text_put_char(out, '}');
}

static void put_range(struct text *out, struct reader *r)
{
	struct hole_range h = hole_range_get(r);
	text_put_char(out, '{');
	put_number_field(out, "first", h.first);
	put_number_field(out, "count", h.count);
	text_put_char(out, '}');
}

static void put_location(struct text *out, struct reader *r)
{
	struct event_location l = event_location_get(r);
	text_put_char(out, '{');
	put_number_field(out, "index", l.index);
	put_number_field(out, "record_bytes", l.record_bytes);
	put_number_field(out, "offset", l.offset);
	put_number_field(out, "slot", l.slot);
	text_put_char(out, '}');
}

static void put_target(struct text *out, struct reader *r)
{
	struct event_target t = event_target_get(r);
	text_put_char(out, '{');
	put_number_field(out, "queue", t.queue);
	put_number_field(out, "first_seq", t.first_seq);
	text_put_char(out, '}');
}

static void put_index(struct text *out, struct reader *r)
{
	put_number(out, get_u64(r));
}

static void put_queue(struct text *out, struct reader *r)
{
	put_number(out, get_u32(r));
}

/* What the fields and tags that are lists are lists of. */
static const struct list {
	const char *name;
	void (*put)(struct text *out, struct reader *r);
} field_lists[] =
    {
	{"entries", put_entry},
	{"stale", put_entry},
	{"ranges", put_range},
	{"location", put_location},
	{"parts", put_index},
	{NULL, NULL},
},
  tag_lists[] = {
      {"further", put_target},
      {"queues", put_queue},
      {NULL, NULL},
};

/* NULL: it is not a list. */
static const struct list *find_list(const struct list *lists, const char *name)
{
	for (; lists->name; lists++)
		if (strcmp(lists->name, name) == 0)
			return lists;
	return NULL;
}

static bool put_list(struct text *out, const struct list *list, struct slice bytes)
{
	struct reader r = reader_of(bytes);
	text_put_char(out, '[');
	while (reader_left(&r) > 0) {
		json_put_next(out);
		list->put(out, &r);
	}
	text_put_char(out, ']');
	return !r.bad;
}

/* Puts fields into an object; one that cannot be read is left out. */
struct visitor {
	struct codec_visitor v; /* first: callbacks get its address */
	unsigned type;
	struct text *out;
	bool bad;
};

static void visit_u64(struct codec_visitor *v, const char *name, uint64_t value)
{
	put_number_field(((struct visitor *)v)->out, name, value);
}

static void visit_u8(struct codec_visitor *v, const char *name, uint8_t value)
{
	visit_u64(v, name, value);
}

static void visit_u16(struct codec_visitor *v, const char *name, uint16_t value)
{
	visit_u64(v, name, value);
}

static void visit_u32(struct codec_visitor *v, const char *name, uint32_t value)
{
	visit_u64(v, name, value);
}

static void visit_str(struct codec_visitor *v, const char *name, struct slice value)
{
	struct text *out = ((struct visitor *)v)->out;
	json_put_key(out, name);
	put_bytes(out, value);
}

static bool put_value(struct text *out, const char *field, struct slice bytes)
{
	const struct list *list = find_list(field_lists, field);
	if (strcmp(field, "batch") == 0)
		return put_batch(out, bytes);
	if (list)
		return put_list(out, list, bytes);
	if (strcmp(field, "live") == 0)
		put_base64(out, bytes);
	else
		put_bytes(out, bytes);
	return true;
}

static void visit_rest(struct codec_visitor *v, const char *name, struct slice value)
{
	struct visitor *j = (struct visitor *)v;
	struct batch_view batch;
	if (strcmp(name, "batch") == 0 && batch_parse(value, &batch) == RMQ_E_OK &&
	    batch.attributes.len > 0) {
		json_put_key(j->out, "attributes");
		put_attributes(j->out, batch.attributes);
	}
	size_t before = j->out->len;
	json_put_key(j->out, name);
	if (put_value(j->out, name, value))
		return;
	j->bad = true;
	j->out->len = before;
}

static bool put_origin(struct text *out, struct slice value)
{
	struct event_origin o;
	if (!event_origin_decode(value, &o))
		return false;
	text_put_char(out, '{');
	json_put_key(out, "queue");
	put_bytes(out, o.queue);
	put_number_field(out, "seq", o.seq);
	text_put_char(out, '}');
	return true;
}

static bool put_tag(struct text *out, const char *name, struct slice value)
{
	const struct list *list = find_list(tag_lists, name);
	if (list)
		return put_list(out, list, value);
	if (strcmp(name, "origin") == 0)
		return put_origin(out, value);
	if (strcmp(name, "shares") == 0 && value.len == 2)
		put_number(out, load_u16(value.data));
	else if (strcmp(name, "attributes") == 0 && attributes_check(value, 1) == RMQ_E_OK)
		put_attributes(out, value);
	else if (strcmp(name, "secret") == 0)
		/* Who reads dumps is not to make tokens. */
		text_put_str(out, "null");
	else
		put_bytes(out, value);
	return true;
}

/* {"NAME or NUMBER": value}; nothing for an empty list. */
static void visit_tags(struct codec_visitor *v, const char *name, struct slice value)
{
	struct visitor *j = (struct visitor *)v;
	struct reader r = reader_of(value);
	struct tag t;
	if (value.len == 0)
		return;
	json_put_key(j->out, name);
	text_put_char(j->out, '{');
	while (tags_next(&r, &t)) {
		const char *known = event_tag_name(j->type, t.tag);
		size_t before = j->out->len;
		put_tag_key(j->out, known, t.tag);
		if (put_tag(j->out, known ? known : "", t.value))
			continue;
		j->bad = true;
		j->out->len = before;
	}
	text_put_char(j->out, '}');
}

static bool visit_event(const struct event *e, struct codec_visitor *v)
{
	switch (e->type) {
#define X(type, NAME, name, FIELDS) \
	case type: { \
		struct event_##name m; \
		if (!event_##name##_decode(e->body, &m)) \
			return false; \
		event_##name##_visit(v, &m); \
		return true; \
	}
		EVENTS(X)
#undef X
	}
	return false;
}

/* False: it could not be read to its end. */
static bool put_event(struct text *out, const struct event *e)
{
	struct visitor j = {{visit_u8, visit_u16, visit_u32, visit_u64, visit_str, visit_rest,
				visit_tags},
	    e->type, out, false};
	text_put_char(out, '{');
	json_put_key(out, "event");
	json_put_str(out, event_name(e->type));
	bool read = visit_event(e, &j.v);
	text_put_char(out, '}');
	return read && !j.bad;
}

static void put_time_field(struct text *out, uint64_t ms)
{
	char text[64];
	struct tm tm;
	time_t seconds = (time_t)(ms / 1000);
	if (!gmtime_r(&seconds, &tm)) {
		put_number_field(out, "time", ms);
		return;
	}
	size_t len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + len, sizeof(text) - len, ".%03uZ", (unsigned)(ms % 1000));
	json_put_key(out, "time");
	json_put_str(out, text);
}

static enum rmq_error put_events(struct text *out, struct slice payload)
{
	struct events_header times;
	struct event_iter it;
	struct event e;
	bool good = true;
	enum rmq_error err = events_open(payload, &times, &it);
	if (err)
		return err;
	put_number_field(out, "lease_ms", times.lease.ms);
	put_time_field(out, times.wall.ms);
	json_put_key(out, "events");
	text_put_char(out, '[');
	while (good && (err = event_next(&it, &e)) == RMQ_E_OK) {
		json_put_next(out);
		good = put_event(out, &e);
	}
	text_put_char(out, ']');
	if (!good)
		return RMQ_E_CORRUPT;
	return err == RMQ_E_NOTHING ? RMQ_E_OK : err;
}

static enum rmq_error put_payload(struct text *out, enum record_kind kind, struct slice payload)
{
	struct raft_config c;
	switch (kind) {
	case RECORD_EVENTS:
	case RECORD_PART:
	case RECORD_END:
		return put_events(out, payload);
	case RECORD_RESTORED:
		if (payload.len != 8)
			return RMQ_E_CORRUPT;
		put_time_field(out, load_u64(payload.data));
		return RMQ_E_OK;
	case RECORD_CONFIG:
		if (raft_config_decode(payload, &c))
			return RMQ_E_CORRUPT;
		config_json(out, &c);
		return RMQ_E_OK;
	case RECORD_NOOP:
		return RMQ_E_OK;
	}
	json_put_key(out, "payload");
	put_bytes(out, payload);
	return RMQ_E_OK;
}

enum rmq_error record_json(struct text *out, const struct record_header *h, struct slice payload)
{
	char kind[16];
	const char *name = record_kind_name(h->kind);
	size_t i = 0;
	for (; name[i] && i < sizeof(kind) - 1; i++)
		kind[i] = (char)(name[i] | 32);
	kind[i] = '\0';
	text_put_char(out, '{');
	put_number_field(out, "index", h->index);
	put_number_field(out, "term", h->term);
	json_put_key(out, "kind");
	json_put_str(out, kind);
	put_number_field(out, "bytes", payload.len);
	enum rmq_error err = put_payload(out, h->kind, payload);
	if (err) {
		json_put_key(out, "error");
		json_put_str(out, error_text(err));
	}
	text_put_char(out, '}');
	return err;
}
