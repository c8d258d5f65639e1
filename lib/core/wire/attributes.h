/*
 * Attributes of messages: the list that stands in a batch between its header and its ends.
 *
 * Entries are those of tags.h.  An attribute that all messages of the batch share stands once,
 * under its own tag.  One that differs stands under its tag + ATTRIBUTE_EACH, and its value is
 * a list of (u16 index of the message, u16 length, value), indices ascending; a message that is
 * not named has none.  No attribute stands in both ways.
 *
 * An odd attribute is only carried, even by code that does not know it.  An even one must be
 * acted on: otherwise the batch is refused.
 */
#ifndef RMQ_CORE_WIRE_ATTRIBUTES_H
#define RMQ_CORE_WIRE_ATTRIBUTES_H

#include "core/base/tags.h"
#include "core/base/text.h"

#define ATTRIBUTE_EACH 0x8000u

#define HEADERS_BYTES_MAX 4096 /* all headers of one message */
/* Those that all messages of a batch share: they go out with each piece of it. */
#define ATTRIBUTES_SHARED_MAX 8192
#define PRIORITY_MAX	      9
#define PRIORITY_DEFAULT      4 /* of a message that has none */

/*
 * Tag, name, kind of the value:
 *
 *	time		u64, wall clock in ms
 *	priority	u8, 0 to PRIORITY_MAX
 *	opaque		1 to 255 bytes
 *	headers		pairs (str name, u16 length, value) of UTF-8 without control characters,
 *			names ascending and not empty, HEADERS_BYTES_MAX in all
 *	topic		a name (name.h)
 */
/* clang-format off */
#define ATTRIBUTES(X) \
	X(1,  HEADERS,     "headers",     headers) \
	X(2,  DELAY_UNTIL, "delay-until", time) \
	X(3,  REPLY_TOPIC, "reply-topic", topic) \
	X(4,  EXPIRE_AT,   "expire-at",   time) \
	X(6,  PRIORITY,    "priority",    priority) \
	X(8,  KEY,         "key",         opaque) \
	X(10, ID,          "id",          opaque)
/* clang-format on */

enum {
#define X(tag, NAME, name, kind) ATTRIBUTE_##NAME = tag,
	ATTRIBUTES(X)
#undef X
};

/* The attribute's name, NULL: none has this tag.  ATTRIBUTE_EACH is passed over. */
const char *attribute_name(unsigned tag);

/* Checks a list of a batch of so many messages from end to end; in time linear in its length. */
enum rmq_error attributes_check(struct slice list, uint32_t count)
    __attribute__((warn_unused_result));

/* The first attribute of a checked list on which this code cannot act, though it must; 0: none. */
uint16_t attributes_refused(struct slice list);

/* Bytes of those in a checked list that all messages share. */
size_t attributes_shared(struct slice list);

/* Writes the list of messages [from, from + count) of a checked one; it is no longer than that. */
void attributes_copy(struct writer *w, struct slice list, uint32_t from, uint32_t count);

/* The same of all messages but these. */
void attributes_without(struct writer *w, struct slice list, uint32_t from, uint32_t count);

/* Whether some message of a checked list has the attribute. */
bool attributes_has(struct slice list, uint16_t tag);

/* The attribute of message i in a checked list; false: it has none. */
bool attributes_find(struct slice list, uint16_t tag, uint32_t i, struct slice *value);

/* The same for message after message, each entry looked at once.  Begins as zeros. */
struct attribute_cursor {
	struct slice list;
	uint16_t tag;
	uint32_t next; /* from this message on it goes on, else it begins anew */
	bool is_shared;
	struct slice shared;
	struct reader each; /* entries after `one` */
	struct tag one;
	bool has_one;
};
bool attributes_next(struct attribute_cursor *c, struct slice list, uint16_t tag, uint32_t i,
    struct slice *value);

/*
 * The same for a run of messages, from i on and before `end`, that have one entry: where it ends.
 * An empty value: they have none.
 */
uint32_t attributes_run(struct attribute_cursor *c, struct slice list, uint16_t tag, uint32_t i,
    uint32_t end, struct slice *value);

/* The next pair of a checked value of ATTRIBUTE_HEADERS; false after the last one. */
bool headers_next(struct reader *r, struct slice *name, struct slice *value);

/*
 * Puts a pair in its place in such a value, instead of one of the same name.  NULL, or what is wrong
 * with it, and nothing changed.
 */
const char *headers_put(struct text *headers, struct slice name, struct slice value);

/* Whether a client may give it as a key: 1 to 255 bytes of UTF-8 without control characters. */
bool attribute_is_key(struct slice value);

#endif
