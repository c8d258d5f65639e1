#include "core/client/envelope.h"

#include <sodium/utils.h>

#include "core/base/units.h"
#include "core/base/utf8.h"
#include "core/wire/attributes.h"
#include "core/wire/receipt.h"

struct envelope envelope_of(const struct client_delivery *d, struct slice queue, uint32_t i,
    struct envelope_cursors *cursors)
{
	struct slice headers = {0}, key = {0}, priority;
	uint8_t lane = PRIORITY_DEFAULT;
	if (d->attributes.len > 0) {
		(void)client_next_attribute(
		    d, &cursors->headers, ATTRIBUTE_HEADERS, i, &headers);
		(void)client_next_attribute(d, &cursors->key, ATTRIBUTE_KEY, i, &key);
		if (client_next_attribute(
			d, &cursors->priority, ATTRIBUTE_PRIORITY, i, &priority))
			lane = priority.data[0];
	}
	return (struct envelope){.queue = queue,
	    .seq = d->first_seq + i,
	    .lease = d->lease,
	    .time = d->time,
	    .until = d->until,
	    .attempt = d->attempt,
	    .failures = d->failures,
	    .state = d->state,
	    .note = d->note,
	    .priority = lane,
	    .key = key,
	    .headers = headers,
	    .body = client_body(d, i)};
}

static bool is_utf8(struct slice s)
{
	for (size_t i = 0, len; i < s.len; i += len)
		if (!(len = utf8_len(s.data + i, s.len - i)))
			return false;
	return true;
}

static void put_escape(struct text *out, uint8_t c)
{
	static const char hex[] = "0123456789abcdef";
	static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
	char code[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
	const char *at = c ? strchr(plain, c) : NULL;
	if (at)
		code[1] = letters[at - plain];
	text_put(out, code, at ? 2 : 6);
}

void envelope_put_string(struct text *out, struct slice s)
{
	size_t from = 0;
	text_put_char(out, '"');
	for (size_t i = 0; i < s.len;) {
		uint8_t c = s.data[i];
		size_t len = utf8_len(s.data + i, s.len - i);
		if (len > 0 && c >= 0x20 && c != '"' && c != '\\') {
			i += len;
			continue;
		}
		text_put(out, s.data + from, i - from);
		if (len == 0)
			text_put_str(out, "\\ufffd");
		else
			put_escape(out, c);
		from = ++i;
	}
	text_put(out, s.data + from, s.len - from);
	text_put_char(out, '"');
}

static void put_base64(struct text *out, struct slice s)
{
	size_t size = sodium_base64_ENCODED_LEN(s.len, sodium_base64_VARIANT_ORIGINAL);
	char *p = text_reserve(out, size + 1);
	if (!p)
		return;
	(void)sodium_bin2base64(p + 1, size, s.data, s.len, sodium_base64_VARIANT_ORIGINAL);
	p[0] = p[size] = '"';
	out->len += size + 1;
}

/* ---- fields: each puts its value, as text or as JSON ---- */

static void put_word(struct text *out, bool json, const char *word)
{
	if (!json) {
		text_put_str(out, *word ? word : "-");
		return;
	}
	if (!*word)
		text_put_str(out, "null");
	else
		envelope_put_string(out, slice_str(word));
}

static void put_id(struct text *out, const struct envelope *e, bool json)
{
	char id[RECEIPT_MAX];
	receipt_print_id(id, e->queue, e->seq);
	put_word(out, json, id);
}

static void put_queue(struct text *out, const struct envelope *e, bool json)
{
	if (json)
		envelope_put_string(out, e->queue);
	else
		text_put_slice(out, e->queue);
}

static void put_seq(struct text *out, const struct envelope *e, bool json)
{
	(void)json;
	text_put_u64(out, e->seq);
}

static void put_wall(struct text *out, bool json, struct wall_time t)
{
	char text[UNITS_TEXT_MAX] = "";
	if (t.ms > 0)
		units_print_time(text, t);
	put_word(out, json, text);
}

static void put_time(struct text *out, const struct envelope *e, bool json)
{
	put_wall(out, json, e->time);
}

static void put_attempt(struct text *out, const struct envelope *e, bool json)
{
	(void)json;
	text_put_u64(out, e->attempt);
}

static void put_failures(struct text *out, const struct envelope *e, bool json)
{
	(void)json;
	text_put_u64(out, e->failures);
}

static void put_receipt(struct text *out, const struct envelope *e, bool json)
{
	char text[RECEIPT_MAX] = "";
	struct receipt r = {e->queue, e->seq, e->lease};
	if (e->lease > 0)
		receipt_print(text, &r);
	put_word(out, json, text);
}

static void put_until(struct text *out, const struct envelope *e, bool json)
{
	put_wall(out, json, e->until);
}

static void put_priority(struct text *out, const struct envelope *e, bool json)
{
	(void)json;
	text_put_u64(out, e->priority);
}

/* A field is one word between tabs: control characters become blanks. */
static void put_tame(struct text *out, struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		text_put_char(out, s.data[i] < 0x20 ? ' ' : (char)s.data[i]);
	if (s.len == 0)
		text_put_char(out, '-');
}

static void put_key(struct text *out, const struct envelope *e, bool json)
{
	if (!json)
		put_tame(out, e->key);
	else if (e->key.len > 0)
		envelope_put_string(out, e->key);
	else
		text_put_str(out, "null");
}

/* As JSON also between tabs: that is one word without control characters. */
static void put_headers(struct text *out, const struct envelope *e, bool json)
{
	struct reader r = reader_of(e->headers);
	struct slice name, value;
	const char *before = "{";
	if (e->headers.len == 0) {
		text_put_str(out, json ? "{}" : "-");
		return;
	}
	while (headers_next(&r, &name, &value)) {
		text_put_str(out, before);
		envelope_put_string(out, name);
		text_put_char(out, ':');
		envelope_put_string(out, value);
		before = ",";
	}
	text_put_char(out, '}');
}

static void put_state(struct text *out, const struct envelope *e, bool json)
{
	const char *word = "";
	if (e->state == STATE_READY)
		word = "ready";
	else if (e->state == STATE_LEASED)
		word = "leased";
	else if (e->state == STATE_DELAYED)
		word = "delayed";
	put_word(out, json, word);
}

static void put_note(struct text *out, const struct envelope *e, bool json)
{
	if (json)
		envelope_put_string(out, e->note);
	else
		put_tame(out, e->note);
}

static void put_body(struct text *out, const struct envelope *e, bool json)
{
	if (!json)
		text_put_slice(out, e->body);
	else if (is_utf8(e->body))
		envelope_put_string(out, e->body);
	else
		put_base64(out, e->body);
}

void envelope_put_bytes(struct text *out, const char *name, struct slice s)
{
	text_put_char(out, '"');
	text_put_str(out, name);
	text_put_str(out, is_utf8(s) ? "\":" : "64\":");
	if (is_utf8(s))
		envelope_put_string(out, s);
	else
		put_base64(out, s);
}

static const struct {
	const char *name;
	void (*put)(struct text *out, const struct envelope *e, bool json);
} fields[] = {
#define X(name) {#name, put_##name},
    ENVELOPE_FIELDS(X)
#undef X
};

#define FIELDS (sizeof(fields) / sizeof(fields[0]))

void envelope_put_json(struct text *out, const struct envelope *e)
{
	for (size_t i = 0; i < FIELDS; i++) {
		bool absent = (fields[i].put == put_state && e->state == 0) ||
			      (fields[i].put == put_note && e->note.len == 0);
		bool coded = fields[i].put == put_body && !is_utf8(e->body);
		if (absent)
			continue;
		text_put_str(out, i == 0 ? "{\"" : ",\"");
		text_put_str(out, fields[i].name);
		text_put_str(out, coded ? "64\":" : "\":");
		fields[i].put(out, e, true);
	}
	text_put_char(out, '}');
}

bool envelope_fields_parse(struct envelope_fields *f, const char *list)
{
	*f = (struct envelope_fields){.count = 0};
	for (const char *p = list;; p++) {
		size_t len = strcspn(p, ","), i = 0;
		while (i < FIELDS &&
		       (strlen(fields[i].name) != len || strncmp(fields[i].name, p, len) != 0))
			i++;
		if (i == FIELDS || f->count == ENVELOPE_FIELDS_MAX || f->body)
			return false;
		f->field[f->count++] = (uint8_t)i;
		f->body = fields[i].put == put_body;
		p += len;
		if (!*p)
			return true;
	}
}

void envelope_put_fields(
    struct text *out, const struct envelope *e, const struct envelope_fields *f)
{
	for (uint32_t i = 0; i < f->count; i++) {
		if (i > 0)
			text_put_char(out, '\t');
		fields[f->field[i]].put(out, e, false);
	}
}
