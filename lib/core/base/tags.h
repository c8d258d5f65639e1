/*
 * Tagged fields: the list at a message's end by which it grows (kind `tags` of codec.h).
 *
 *	u16 length of what follows, then entries: u16 tag, u16 length, value
 *
 * Tags ascend, and none stands twice.  Who does not know an odd tag passes it over; an even
 * one that is not known makes the message refused, and the answer names it.  Tag 0 is none.
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

/* The next entry of a list; false after the last one, or (r->bad) where it is cut. */
bool tags_next(struct reader *r, struct tag *t);

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
 * Whether a list is whole and may be acted upon.  RMQ_E_PROTOCOL: cut, out of order, or a tag
 * that stands twice; RMQ_E_VERSION: *unknown is even and not known.
 */
enum rmq_error tags_check(struct slice tags, unsigned type, tag_namer *name, uint16_t *unknown)
    __attribute__((warn_unused_result));

#endif
