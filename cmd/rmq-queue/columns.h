/* What rmq-queue shows of a queue: columns of a table whose rows are struct wire_listed. */
#ifndef RMQ_QUEUE_COLUMNS_H
#define RMQ_QUEUE_COLUMNS_H

#include "core/client/table.h"
#include "core/wire/wire.h"

extern const struct table_columns columns_of_queue;

#endif
