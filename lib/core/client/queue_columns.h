/* What is shown of a queue: columns of a table whose rows are struct wire_listed. */
#ifndef RMQ_CORE_CLIENT_QUEUE_COLUMNS_H
#define RMQ_CORE_CLIENT_QUEUE_COLUMNS_H

#include "core/client/table.h"
#include "core/wire/wire.h"

/* Puts the name of its dead-letter queue; false: it has none. */
bool queue_columns_put_dead_letter(struct text *out, const struct wire_listed *row);

extern const struct table_columns queue_columns;

/* The same of one of several cells: a column `cell` more.  Rows are struct queue_in_cell. */
struct queue_in_cell {
	const struct wire_listed *row;
	struct slice cell;
};
extern const struct table_columns queue_columns_in_cell;

/* What is shown of a binding. */
struct binding_row {
	struct slice queue;
	struct slice pattern;
	struct slice cell;
};
extern const struct table_columns queue_columns_of_binding;

#endif
