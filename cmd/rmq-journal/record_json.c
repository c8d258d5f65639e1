#include "record_json.h"

#include <inttypes.h>
#include <sodium/utils.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config_json.h"
#include "core/wire/event.h"
#include "core/wire/journal_wire.h"

static json_t *base64_json(struct slice s)
{
	size_t size = sodium_base64_ENCODED_LEN(s.len, sodium_base64_VARIANT_ORIGINAL);
	char *encoded = malloc(size);
	if (!encoded)
		return NULL;
	json_t *o = json_pack("{s:s}", "base64",
	    sodium_bin2base64(encoded, size, s.data, s.len, sodium_base64_VARIANT_ORIGINAL));
	free(encoded);
	return o;
}

/* Text as a string, other bytes as {"base64": …}. */
static json_t *bytes_json(struct slice s)
{
	json_t *text = json_stringn((const char *)s.data, s.len);
	return text ? text : base64_json(s);
}

/* JSON's integers end at 2^63. */
static json_t *number_json(uint64_t v)
{
	char text[24];
	if (v <= INT64_MAX)
		return json_integer((json_int_t)v);
	snprintf(text, sizeof(text), "%" PRIu64, v);
	return json_string(text);
}

static json_t *batch_json(struct slice bytes)
{
	struct batch_view v;
	if (batch_parse(bytes, &v))
		return NULL;
	json_t *list = json_array();
	for (uint32_t i = 0; i < v.count; i++)
		json_array_append_new(list, bytes_json(batch_body(&v, i)));
	return list;
}

/* The value of each message that has the attribute: {"INDEX": bytes}. */
static json_t *each_json(struct slice bytes)
{
	struct reader r = reader_of(bytes);
	struct tag t;
	char index[8];
	json_t *list = json_object();
	/* An entry of this list looks as one of tagged fields does. */
	while (tags_next(&r, &t)) {
		snprintf(index, sizeof(index), "%u", t.tag);
		json_object_set_new(list, index, bytes_json(t.value));
	}
	return list;
}

/* {"NAME or NUMBER": value} of a list that was checked. */
static json_t *attributes_json(struct slice attributes)
{
	struct tag t;
	char number[8];
	struct reader r = reader_of(attributes);
	json_t *list = json_object();
	while (tags_next(&r, &t)) {
		const char *name = attribute_name(t.tag);
		bool each = t.tag & ATTRIBUTE_EACH;
		snprintf(number, sizeof(number), "%u", t.tag & ~ATTRIBUTE_EACH);
		json_object_set_new(list, name ? name : number,
		    each ? each_json(t.value) : bytes_json(t.value));
	}
	return list;
}

static json_t *entry_json(struct reader *r)
{
	struct settle_entry e = settle_entry_get(r);
	return json_pack("{s:o, s:o, s:I}", "lease", number_json(e.lease), "first",
	    number_json(e.first), "count", (json_int_t)e.count);
}

static json_t *range_json(struct reader *r)
{
	struct hole_range h = hole_range_get(r);
	return json_pack(
	    "{s:o, s:I}", "first", number_json(h.first), "count", (json_int_t)h.count);
}

static json_t *location_json(struct reader *r)
{
	struct event_location l = event_location_get(r);
	return json_pack("{s:o, s:I, s:I, s:I}", "index", number_json(l.index), "record_bytes",
	    (json_int_t)l.record_bytes, "offset", (json_int_t)l.offset, "slot",
	    (json_int_t)l.slot);
}

static json_t *index_json(struct reader *r)
{
	return number_json(get_u64(r));
}

/* What the fields that are lists are lists of. */
static const struct {
	const char *field;
	json_t *(*element)(struct reader *r);
} lists[] = {
    {"entries", entry_json},
    {"stale", entry_json},
    {"ranges", range_json},
    {"location", location_json},
    {"parts", index_json},
};

static json_t *list_json(struct slice bytes, json_t *(*element)(struct reader *r))
{
	struct reader r = reader_of(bytes);
	json_t *list = json_array();
	while (reader_left(&r) > 0)
		json_array_append_new(list, element(&r));
	if (!r.bad)
		return list;
	json_decref(list);
	return NULL;
}

static json_t *rest_json(const char *field, struct slice bytes)
{
	if (strcmp(field, "batch") == 0)
		return batch_json(bytes);
	if (strcmp(field, "live") == 0)
		return base64_json(bytes);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		if (strcmp(field, lists[i].field) == 0)
			return list_json(bytes, lists[i].element);
	return bytes_json(bytes);
}

/* Puts fields into an object. */
struct visitor {
	struct codec_visitor v; /* first: callbacks get its address */
	unsigned type;
	json_t *object;
	bool bad;
};

static void put_field(struct codec_visitor *v, const char *name, json_t *value)
{
	struct visitor *j = (struct visitor *)v;
	if (!value)
		j->bad = true;
	else
		json_object_set_new(j->object, name, value);
}

static void visit_u8(struct codec_visitor *v, const char *name, uint8_t value)
{
	put_field(v, name, json_integer(value));
}

static void visit_u16(struct codec_visitor *v, const char *name, uint16_t value)
{
	put_field(v, name, json_integer(value));
}

static void visit_u32(struct codec_visitor *v, const char *name, uint32_t value)
{
	put_field(v, name, json_integer(value));
}

static void visit_u64(struct codec_visitor *v, const char *name, uint64_t value)
{
	put_field(v, name, number_json(value));
}

static void visit_str(struct codec_visitor *v, const char *name, struct slice value)
{
	/* Who reads dumps is not to open copies of queues. */
	bool opens = strcmp(name, "token") == 0 && value.len > 0;
	put_field(v, name, opens ? json_null() : bytes_json(value));
}

static void visit_rest(struct codec_visitor *v, const char *name, struct slice value)
{
	struct batch_view batch;
	if (strcmp(name, "batch") == 0 && batch_parse(value, &batch) == RMQ_E_OK &&
	    batch.attributes.len > 0)
		put_field(v, "attributes", attributes_json(batch.attributes));
	put_field(v, name, rest_json(name, value));
}

static json_t *origin_json(struct slice value)
{
	struct event_origin o;
	if (!event_origin_decode(value, &o))
		return NULL;
	return json_pack("{s:o, s:o}", "queue", bytes_json(o.queue), "seq", number_json(o.seq));
}

static json_t *target_json(struct reader *r)
{
	struct event_target t = event_target_get(r);
	return json_pack(
	    "{s:I, s:o}", "queue", (json_int_t)t.queue, "first_seq", number_json(t.first_seq));
}

static json_t *queue_json(struct reader *r)
{
	return json_integer(get_u32(r));
}

static json_t *tag_json(unsigned type, const struct tag *t)
{
	const char *known = event_tag_name(type, t->tag);
	if (known && strcmp(known, "further") == 0)
		return list_json(t->value, target_json);
	if (known && strcmp(known, "queues") == 0)
		return list_json(t->value, queue_json);
	if (known && strcmp(known, "shares") == 0 && t->value.len == 2)
		return json_integer(load_u16(t->value.data));
	if (known && strcmp(known, "origin") == 0)
		return origin_json(t->value);
	if (known && strcmp(known, "attributes") == 0 &&
	    attributes_check(t->value, 1) == RMQ_E_OK)
		return attributes_json(t->value);
	/* … nor to make tokens of sessions. */
	if (known && (strcmp(known, "secret") == 0 || strcmp(known, "arriving") == 0))
		return json_null();
	return bytes_json(t->value);
}

/* {"NAME or NUMBER": value}; nothing for an empty list. */
static void visit_tags(struct codec_visitor *v, const char *name, struct slice value)
{
	struct visitor *j = (struct visitor *)v;
	struct reader r = reader_of(value);
	struct tag t;
	char number[8];
	if (value.len == 0)
		return;
	json_t *list = json_object();
	while (tags_next(&r, &t)) {
		const char *known = event_tag_name(j->type, t.tag);
		snprintf(number, sizeof(number), "%u", t.tag);
		json_t *value_json = tag_json(j->type, &t);
		j->bad = j->bad || !value_json;
		json_object_set_new(list, known ? known : number, value_json);
	}
	put_field(v, name, list);
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

static json_t *event_json(const struct event *e, enum rmq_error *err)
{
	struct visitor j = {
	    {visit_u8, visit_u16, visit_u32, visit_u64, visit_str, visit_rest, visit_tags},
	    e->type, json_object(), false};
	json_object_set_new(j.object, "event", json_string(event_name(e->type)));
	if (!visit_event(e, &j.v) || j.bad)
		*err = RMQ_E_CORRUPT;
	return j.object;
}

static json_t *time_json(uint64_t ms)
{
	char text[64];
	struct tm tm;
	time_t seconds = (time_t)(ms / 1000);
	if (!gmtime_r(&seconds, &tm))
		return number_json(ms);
	size_t len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + len, sizeof(text) - len, ".%03uZ", (unsigned)(ms % 1000));
	return json_string(text);
}

static enum rmq_error put_events(json_t *object, struct slice payload)
{
	struct events_header times;
	struct event_iter it;
	struct event e;
	enum rmq_error bad = RMQ_E_OK;
	enum rmq_error err = events_open(payload, &times, &it);
	if (err)
		return err;
	json_t *events = json_array();
	json_object_set_new(object, "lease_ms", number_json(times.lease.ms));
	json_object_set_new(object, "time", time_json(times.wall.ms));
	json_object_set_new(object, "events", events);
	while ((err = event_next(&it, &e)) == RMQ_E_OK && !bad)
		json_array_append_new(events, event_json(&e, &bad));
	return bad || err == RMQ_E_NOTHING ? bad : err;
}

static enum rmq_error put_config(json_t *object, struct slice payload)
{
	struct raft_config c;
	enum rmq_error err = raft_config_decode(payload, &c);
	if (err)
		return err == RMQ_E_VERSION ? err : RMQ_E_CORRUPT;
	return json_object_update_new(object, config_json(&c)) == 0 ? RMQ_E_OK : RMQ_E_LIMIT;
}

static enum rmq_error put_payload(json_t *object, enum record_kind kind, struct slice payload)
{
	switch (kind) {
	case RECORD_EVENTS:
	case RECORD_PART:
	case RECORD_END:
		return put_events(object, payload);
	case RECORD_RESTORED:
		if (payload.len != 8)
			return RMQ_E_CORRUPT;
		json_object_set_new(object, "time", time_json(load_u64(payload.data)));
		return RMQ_E_OK;
	case RECORD_CONFIG:
		return put_config(object, payload);
	case RECORD_NOOP:
		return RMQ_E_OK;
	}
	json_object_set_new(object, "payload", bytes_json(payload));
	return RMQ_E_OK;
}

json_t *record_json(const struct record_header *h, struct slice payload, enum rmq_error *err)
{
	char kind[16];
	const char *name = record_kind_name(h->kind);
	size_t i = 0;
	for (; name[i] && i < sizeof(kind) - 1; i++)
		kind[i] = (char)(name[i] | 32);
	kind[i] = '\0';
	json_t *o = json_pack("{s:o, s:o, s:s, s:I}", "index", number_json(h->index), "term",
	    number_json(h->term), "kind", kind, "bytes", (json_int_t)payload.len);
	if (!o)
		return NULL;
	*err = put_payload(o, h->kind, payload);
	if (*err)
		json_object_set_new(o, "error", json_string(error_text(*err)));
	return o;
}
