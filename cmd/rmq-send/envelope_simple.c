#include "envelope_line.h"

#include "core/base/utf8.h"

/* The members that count, and those that rmq-recv -j writes besides: they are passed over. */
enum member { BODY, KEY, PRIORITY, HEADERS, OTHERS };
static const char *const members[] = {[BODY] = "body",
    [KEY] = "key",
    [PRIORITY] = "priority",
    [HEADERS] = "headers",
    [OTHERS] = "id",
    "queue",
    "seq",
    "time",
    "attempt",
    "failures",
    "receipt",
    "until",
    "state",
    "note"};
#define MEMBERS (sizeof(members) / sizeof(members[0]))

struct value {
	enum { NONE, STRING = 1, NUMBER = 2, NULLED = 4, EMPTY = 8 } kind;
	struct slice text;
};

/* Whether it is absent, or of one of these kinds. */
static bool is_of(const struct value *v, unsigned kinds)
{
	return (v->kind & ~kinds) == 0;
}

static bool take(struct reader *r, const char *word)
{
	size_t len = strlen(word);
	if (reader_left(r) < len || memcmp(r->p, word, len) != 0)
		return false;
	r->p += len;
	return true;
}

static void pass_blanks(struct reader *r)
{
	while (reader_left(r) > 0 && (*r->p == ' ' || *r->p == '\t'))
		r->p++;
}

/* A string without escapes. */
static bool take_string(struct reader *r, struct slice *s)
{
	if (!take(r, "\""))
		return false;
	const uint8_t *p = r->p;
	for (size_t len; p < r->end && *p != '"'; p += len) {
		len = 1;
		if (*p < 0x20 || *p == '\\')
			return false;
		if (*p >= 0x80 && !(len = utf8_len(p, (size_t)(r->end - p))))
			return false;
	}
	*s = slice_of(r->p, (size_t)(p - r->p));
	r->p = p;
	return take(r, "\"");
}

/* Digits that fit into any integer, without a sign or zeros in front. */
static bool take_number(struct reader *r, struct slice *s)
{
	const uint8_t *p = r->p;
	while (p < r->end && *p >= '0' && *p <= '9')
		p++;
	*s = slice_of(r->p, (size_t)(p - r->p));
	r->p = p;
	return s->len > 0 && s->len <= 18 && (s->data[0] != '0' || s->len == 1);
}

static bool take_value(struct reader *r, struct value *v)
{
	if (reader_left(r) == 0)
		return false;
	v->kind = STRING;
	if (*r->p == '"')
		return take_string(r, &v->text);
	v->kind = NULLED;
	if (take(r, "null"))
		return true;
	v->kind = EMPTY;
	if (take(r, "{}"))
		return true;
	v->kind = NUMBER;
	return take_number(r, &v->text);
}

/* One member, of a name that is known and did not come yet. */
static bool take_member(struct reader *r, struct value values[MEMBERS])
{
	struct slice name;
	size_t i = 0;
	pass_blanks(r);
	if (!take_string(r, &name))
		return false;
	while (i < MEMBERS && !slice_eq(name, slice_str(members[i])))
		i++;
	pass_blanks(r);
	if (i == MEMBERS || values[i].kind != NONE || !take(r, ":"))
		return false;
	pass_blanks(r);
	bool taken = take_value(r, &values[i]);
	pass_blanks(r);
	return taken;
}

static bool take_object(struct reader *r, struct value values[MEMBERS])
{
	pass_blanks(r);
	if (!take(r, "{"))
		return false;
	do {
		if (!take_member(r, values))
			return false;
	} while (take(r, ","));
	if (!take(r, "}"))
		return false;
	pass_blanks(r);
	return reader_left(r) == 0;
}

bool envelope_read_simple(struct slice line, struct labels *labels, struct text *body)
{
	struct value values[MEMBERS] = {0};
	struct reader r = reader_of(line);
	const struct value *key = &values[KEY], *priority = &values[PRIORITY];
	if (!take_object(&r, values) || values[BODY].kind != STRING)
		return false;
	if (!is_of(key, STRING | NULLED) || !is_of(priority, NUMBER | NULLED) ||
	    !is_of(&values[HEADERS], NULLED | EMPTY))
		return false;
	if ((key->kind == STRING && !attribute_is_key(key->text)) || priority->text.len > 1)
		return false;
	text_put_slice(body, values[BODY].text);
	if (key->kind == STRING)
		text_put_slice(&labels->key, key->text);
	if (priority->kind == NUMBER) {
		labels->has_priority = true;
		labels->priority = (uint8_t)(priority->text.data[0] - '0');
	}
	return true;
}
