/* rmq-queue why: where a message is, and what has happened to it, as far as the daemon knows. */
#ifndef RMQ_QUEUE_WHY_H
#define RMQ_QUEUE_WHY_H

#include "admin.h"
#include "core/client/table.h"

#define WHY_COLUMNS "id,state,time,attempt,failures,receipt,until,dead-letter,note,waits"

extern const struct table_columns columns_of_why;

/* Puts one row about the message QUEUE:SEQ, as lines unless the table is JSON. */
enum rmq_error why_run(struct admin *a, const char *id, struct table *table, struct text *out)
    __attribute__((warn_unused_result));

#endif
