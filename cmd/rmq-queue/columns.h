/* What rmq-queue shows of a queue: columns of a table whose rows are struct wire_listed. */
#ifndef RMQ_QUEUE_COLUMNS_H
#define RMQ_QUEUE_COLUMNS_H

#include "core/client/table.h"
#include "core/wire/wire.h"

/* Puts the name of its dead-letter queue; false: it has none. */
bool columns_put_dead_letter(struct text *out, const struct wire_listed *row);

extern const struct table_columns columns_of_queue;

/* What it shows of a binding. */
struct binding_row {
	struct slice queue;
	struct slice pattern;
};
extern const struct table_columns columns_of_binding;

#endif
