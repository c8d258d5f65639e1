#include "core/base/text.h"

#include <stdlib.h>

void text_deinit(struct text *t)
{
	free(t->data);
	*t = (struct text){0};
}

char *text_reserve(struct text *t, size_t len)
{
	if (t->cap - t->len >= len)
		return t->data + t->len;
	size_t cap = (t->len + len) * 2 + 64;
	char *data = realloc(t->data, cap);
	if (!data) {
		t->failed = true;
		return NULL;
	}
	t->data = data;
	t->cap = cap;
	return data + t->len;
}

void text_put(struct text *t, const void *bytes, size_t len)
{
	char *p = len > 0 ? text_reserve(t, len) : NULL;
	if (!p)
		return;
	memcpy(p, bytes, len);
	t->len += len;
}

void text_put_char(struct text *t, char c)
{
	text_put(t, &c, 1);
}

void text_put_str(struct text *t, const char *s)
{
	text_put(t, s, strlen(s));
}

void text_put_slice(struct text *t, struct slice s)
{
	text_put(t, s.data, s.len);
}

void text_put_u64(struct text *t, uint64_t n)
{
	char digits[20];
	size_t at = sizeof(digits);
	do
		digits[--at] = (char)('0' + n % 10);
	while (n /= 10);
	text_put(t, digits + at, sizeof(digits) - at);
}

static bool is_control(uint8_t c)
{
	return c < ' ' || c == 0x7f;
}

void text_tame(char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (is_control((uint8_t)bytes[i]))
			bytes[i] = '?';
}

bool text_is_tame(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (is_control(s.data[i]))
			return false;
	return true;
}

void text_shift(struct text *t, size_t len)
{
	t->len -= len;
	if (t->len > 0)
		memmove(t->data, t->data + len, t->len);
}
