/* UTF-8, as RFC 3629 has it. */
#ifndef RMQ_CORE_BASE_UTF8_H
#define RMQ_CORE_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Length of the well-formed character at p, of which `left` > 0 bytes are there; 0: none. */
size_t utf8_len(const uint8_t *p, size_t left);

#endif
