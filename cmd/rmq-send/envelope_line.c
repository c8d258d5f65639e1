#include "envelope_line.h"

#include <jansson.h>
#include <sodium/utils.h>
#include <stdio.h>
#include <string.h>

static struct slice string_of(const json_t *s)
{
	return slice_of(json_string_value(s), json_string_length(s));
}

static const char *read_body(const json_t *root, struct text *body)
{
	const json_t *plain = json_object_get(root, "body"),
		     *coded = json_object_get(root, "body64");
	if (!plain == !coded)
		return plain ? "it has both body and body64" : "it has no body";
	if (!json_is_string(plain ? plain : coded))
		return plain ? "its body is not a string" : "its body64 is not a string";
	struct slice s = string_of(plain ? plain : coded);
	char *p = text_reserve(body, s.len + 1);
	size_t len = s.len;
	if (!p)
		return "out of memory";
	if (plain)
		memcpy(p, s.data, len);
	else if (sodium_base642bin((uint8_t *)p, len, (const char *)s.data, s.len, NULL, &len,
		     NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
		return "its body64 is not base64";
	body->len = len;
	return NULL;
}

static const char *read_headers(json_t *headers, struct labels *l)
{
	const char *name, *why;
	json_t *value;
	if (!headers || json_is_null(headers))
		return NULL;
	if (!json_is_object(headers))
		return "its headers are not an object";
	json_object_foreach(headers, name, value)
	{
		if (!json_is_string(value))
			return "a header of it is not a string";
		if ((why = headers_put(&l->headers, slice_str(name), string_of(value))))
			return why;
	}
	return NULL;
}

static const char *read_key(const json_t *key, struct labels *l)
{
	if (!key || json_is_null(key))
		return NULL;
	if (!json_is_string(key) || !attribute_is_key(string_of(key)))
		return "its key is not a string of 1 to 255 bytes without control characters";
	text_put_slice(&l->key, string_of(key));
	return NULL;
}

static const char *read_priority(const json_t *priority, struct labels *l)
{
	if (!priority || json_is_null(priority))
		return NULL;
	json_int_t n = json_integer_value(priority);
	if (!json_is_integer(priority) || n < 0 || n > PRIORITY_MAX)
		return "its priority is not from 0 to 9";
	l->has_priority = true;
	l->priority = (uint8_t)n;
	return NULL;
}

const char *envelope_read_any(
    struct slice line, struct labels *labels, struct text *body, char why[ENVELOPE_WHY_MAX])
{
	json_error_t error;
	json_t *root = json_loadb(
	    (const char *)line.data, line.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	if (!root) {
		snprintf(why, ENVELOPE_WHY_MAX, "not an envelope: %s", error.text);
		text_tame(why, strlen(why));
		return why;
	}
	const char *what = json_is_object(root) ? NULL : "not an envelope: not an object";
	if (!what)
		what = read_body(root, body);
	if (!what)
		what = read_key(json_object_get(root, "key"), labels);
	if (!what)
		what = read_priority(json_object_get(root, "priority"), labels);
	if (!what)
		what = read_headers(json_object_get(root, "headers"), labels);
	json_decref(root);
	return what;
}

const char *envelope_read(
    struct slice line, struct labels *labels, struct text *body, char why[ENVELOPE_WHY_MAX])
{
	if (envelope_read_simple(line, labels, body))
		return NULL;
	return envelope_read_any(line, labels, body, why);
}
