/*
 * Output of rmq-queue: rows of named columns, aligned with a heading on a terminal,
 * tab-separated without one otherwise, or an object of JSON a line.
 */
#ifndef RMQ_QUEUE_TABLE_H
#define RMQ_QUEUE_TABLE_H

#include "core/text.h"
#include "core/wire.h"

#define TABLE_COLUMNS_MAX 32

struct table {
	uint8_t column[TABLE_COLUMNS_MAX];
	uint32_t columns;
	bool json;
	bool aligned;	   /* rows are kept until table_end() */
	struct text cells; /* NUL-ended, row by row */
	uint32_t rows;
};

/* Columns from a list "queue,ready"; false: a name that is none, or too many. */
bool table_init(struct table *t, const char *list) __attribute__((warn_unused_result));

/* Prints a row, or keeps it. */
void table_row(struct table *t, const struct wire_listed *row);
/* One value of it, as text without a newline. */
void table_put_value(struct text *out, uint32_t column, const struct wire_listed *row);
/* The row as lines of name and value. */
void table_lines(const struct table *t, const struct wire_listed *row);

/* Prints what was kept. */
void table_end(struct table *t);

#endif
