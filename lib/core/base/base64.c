#include "core/base/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct slice in, char *out)
{
	for (size_t i = 0; i < in.len; i += 3) {
		size_t left = in.len - i;
		uint32_t v = (uint32_t)in.data[i] << 16;
		if (left > 1)
			v |= (uint32_t)in.data[i + 1] << 8;
		if (left > 2)
			v |= in.data[i + 2];
		*out++ = digits[v >> 18];
		*out++ = digits[v >> 12 & 63];
		*out++ = left > 1 ? digits[v >> 6 & 63] : '=';
		*out++ = left > 2 ? digits[v & 63] : '=';
	}
}

static int value_of(uint8_t c)
{
	const char *at = c ? strchr(digits, c) : NULL;
	return at ? (int)(at - digits) : -1;
}

bool base64_decode(struct slice in, uint8_t *out, size_t len)
{
	uint32_t bits = 0, count = 0;
	size_t n = 0, characters = (len * 8 + 5) / 6;
	if (in.len != base64_size(len))
		return false;
	for (size_t i = 0; i < in.len; i++) {
		int v = i < characters ? value_of(in.data[i]) : 0;
		if (v < 0 || (i >= characters && in.data[i] != '='))
			return false;
		bits = bits << 6 | (uint32_t)v;
		count += 6;
		if (count >= 8 && n < len) {
			count -= 8;
			out[n++] = (uint8_t)(bits >> count);
			bits &= (1u << count) - 1;
		}
	}
	return bits == 0;
}
