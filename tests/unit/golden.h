/* Bytes of formats as they were written, in hexadecimal digits: see test_golden.c. */
#ifndef RMQ_TESTS_UNIT_GOLDEN_H
#define RMQ_TESTS_UNIT_GOLDEN_H

#include <string.h>

#include "core/base/codec.h"

#define GOLDEN_MAX 1024

/* Puts the bytes into `bytes`, of GOLDEN_MAX. */
static inline struct slice golden_bytes(const char *hex, uint8_t *bytes)
{
	static const char digits[] = "0123456789abcdef";
	size_t len = strlen(hex) / 2;
	assert_in_range(len, 1, GOLDEN_MAX);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)((strchr(digits, hex[2 * i]) - digits) * 16 +
				     (strchr(digits, hex[2 * i + 1]) - digits));
	return slice_of(bytes, len);
}

#endif
