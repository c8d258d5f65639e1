/*
 * The attributes of messages that become a batch, collected message after message and then written as
 * its list (attributes.h): a value that all of them have stands there once.  Zeroed memory is an
 * empty one.
 */
#ifndef RMQ_CORE_CLIENT_ATTRIBUTE_TABLE_H
#define RMQ_CORE_CLIENT_ATTRIBUTE_TABLE_H

#include "core/base/text.h"
#include "core/wire/attributes.h"

#define ATTRIBUTE_ALL UINT32_MAX /* instead of a message's number: of all messages */

struct attribute_table {
	struct text values;
	struct text entries; /* struct attribute_entry */
};

void attribute_table_deinit(struct attribute_table *t);
void attribute_table_clear(struct attribute_table *t);

/* Whether memory has run out: some are missing, until it is cleared. */
static inline bool attribute_table_failed(const struct attribute_table *t)
{
	return t->values.failed || t->entries.failed;
}

/* `message` has this value, which is copied; in ascending order of messages for each tag. */
void attribute_table_put(
    struct attribute_table *t, uint32_t message, uint16_t tag, struct slice value);

/* Bytes that the list takes at most. */
size_t attribute_table_size(const struct attribute_table *t);

/* Writes the list of so many messages. */
void attribute_table_write(const struct attribute_table *t, uint32_t count, struct writer *w);

#endif
