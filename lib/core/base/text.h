/* Bytes that grow: for output that is put together.  Zeroed memory is an empty one. */
#ifndef RMQ_CORE_BASE_TEXT_H
#define RMQ_CORE_BASE_TEXT_H

#include "core/base/codec.h"

struct text {
	char *data;
	size_t len;
	size_t cap;
	bool failed; /* out of memory: all text put since is missing */
};

void text_deinit(struct text *t);

/* Room for `len` more bytes at data + len, NULL when out of memory. */
char *text_reserve(struct text *t, size_t len);

void text_put(struct text *t, const void *bytes, size_t len);
void text_put_char(struct text *t, char c);
void text_put_str(struct text *t, const char *s);
void text_put_slice(struct text *t, struct slice s);
void text_put_u64(struct text *t, uint64_t n);

/* For a line that people read: control characters become `?`, so that nothing makes its own line. */
void text_tame(char *bytes, size_t len);
/* Whether that would change nothing. */
bool text_is_tame(struct slice s);

/* Takes the first `len` bytes away. */
void text_shift(struct text *t, size_t len);

#endif
