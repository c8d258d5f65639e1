#include "core/base/json.h"

#include <sodium/utils.h>

#include "core/base/utf8.h"

void json_put_next(struct text *out)
{
	/* No value ends with one of these. */
	if (out->len > 0 && !strchr("{[:", out->data[out->len - 1]))
		text_put_char(out, ',');
}

void json_put_key(struct text *out, const char *name)
{
	json_put_next(out);
	json_put_str(out, name);
	text_put_char(out, ':');
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

void json_put_string(struct text *out, struct slice s)
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

void json_put_str(struct text *out, const char *s)
{
	json_put_string(out, slice_str(s));
}

void json_put_base64(struct text *out, struct slice s)
{
	size_t size = sodium_base64_ENCODED_LEN(s.len, sodium_base64_VARIANT_ORIGINAL);
	char *p = text_reserve(out, size + 1);
	if (!p)
		return;
	(void)sodium_bin2base64(p + 1, size, s.data, s.len,
	    sodium_base64_VARIANT_ORIGINAL);
	p[0] = p[size] = '"';
	out->len += size + 1;
}
