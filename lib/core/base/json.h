/*
 * The parts of JSON that are not plain text: strings, and what separates values.
 *
 *	text_put_char(out, '{');
 *	json_put_key(out, "seq");
 *	text_put_u64(out, 42);
 *	text_put_char(out, '}');
 */
#ifndef RMQ_CORE_BASE_JSON_H
#define RMQ_CORE_BASE_JSON_H

#include "core/base/text.h"

/* Before an element of a list: a comma, unless it is the first one. */
void json_put_next(struct text *out);

/* Before a value in an object: its name, with what separates it from the one before. */
void json_put_key(struct text *out, const char *name);

/* A string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void json_put_string(struct text *out, struct slice s);
void json_put_str(struct text *out, const char *s);

/* A string that stands for these bytes: base64 of RFC 4648. */
void json_put_base64(struct text *out, struct slice s);

#endif
