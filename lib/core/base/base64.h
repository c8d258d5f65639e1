/* Base 64 (RFC 4648, with padding): bytes that are no text, in JSON; keys. */
#ifndef RMQ_CORE_BASE_BASE64_H
#define RMQ_CORE_BASE_BASE64_H

#include "core/base/codec.h"

/* Length of so many bytes when encoded. */
static inline size_t base64_size(size_t len)
{
	return (len + 2) / 3 * 4;
}

/* Writes base64_size(in.len) characters, no NUL after them. */
void base64_encode(struct slice in, char *out);

/*
 * The other way: exactly `len` bytes.  False if base64_encode() would not have written this:
 * another length or character, a bit after the last byte.
 */
bool base64_decode(struct slice in, uint8_t *out, size_t len)
    __attribute__((warn_unused_result));

#endif
