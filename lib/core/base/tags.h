/*
 * Tagged fields: the list at the end of a message by which it can grow (kind `tags` of codec.h).
 *
 *	u16 length of the rest, then entries: u16 tag, u16 length, value
 *
 * Tags ascend, and none occurs twice.  A reader skips an unknown odd tag; for an unknown even
 * one it refuses the message, and the answer names the tag.  0 is not a tag.
 *
 * To add one: give it a number in the table of its kind of message (WIRE_TAGS, EVENT_TAGS),
 * write it with tags_put(), read it with tags_find(), and describe it in the
 * protocol's page.  A number is never used for something else.
 */
#ifndef RMQ_CORE_BASE_TAGS_H
#define RMQ_CORE_BASE_TAGS_H

#include "core/base/codec.h"
#include "core/base/error.h"

/* No tagged fields. */
#define NO_TAGS ((struct slice){0})

struct tag {
	uint16_t tag;
	struct slice value; /* borrowed from the list */
};

/* The next entry of a list; false after the last one, or (r->bad) if the list is truncated. */
bool tags_next(struct reader *r, struct tag *t);

/* Passes over entries before `tag`; a truncated one is left. */
void tags_skip(struct reader *r, uint32_t tag);

/* The value of a tag in a list that was checked; false: it is not there. */
bool tags_find(struct slice tags, uint16_t tag, struct slice *value);

/* The same of a field that is a u64; 0: it is not there, or of another size. */
uint64_t tags_find_u64(struct slice tags, uint16_t tag);

/* One entry, in ascending order of tags; w->full if it does not fit. */
void tags_put(struct writer *w, uint16_t tag, struct slice value);

/* The same of a u64; none if it is 0. */
void tags_put_u64(struct writer *w, uint16_t tag, uint64_t value);

/* A list of one u64; none if it is 0. */
#define TAG_U64_SIZE (4 + 8)
struct slice tags_of_u64(uint8_t bytes[TAG_U64_SIZE], uint16_t tag, uint64_t value);

/* The name of a tag that messages of this type know, NULL: they do not. */
typedef const char *tag_namer(unsigned type, unsigned tag);

/*
 * Whether a list is complete and may be acted upon.  RMQ_E_PROTOCOL: truncated, out of order, or a
 * tag occurs twice; RMQ_E_VERSION: *unknown is an unknown even tag.
 */
enum rmq_error tags_check(struct slice tags, unsigned type, tag_namer *name, uint16_t *unknown)
    __attribute__((warn_unused_result));

#endif
