/* rmq-queue count: how many messages have which value. */
#ifndef RMQ_QUEUE_COUNT_H
#define RMQ_QUEUE_COUNT_H

#include "admin.h"
#include "core/client/table.h"

/* By what: "reason", "key" or "header:NAME". */
struct count_by {
	enum { COUNT_NONE, COUNT_REASON, COUNT_KEY, COUNT_HEADER } what;
	const char *header;
};

bool count_by_parse(struct count_by *by, const char *text) __attribute__((warn_unused_result));

extern const struct table_columns columns_of_count;

/* Puts a row for each value, the most frequent first. */
enum rmq_error count_run(struct admin *a, const struct count_by *by, const char *queue,
    struct table *table, struct text *out) __attribute__((warn_unused_result));

#endif
