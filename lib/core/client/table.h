/*
 * Rows of named columns, as text: aligned under a heading for a terminal, tab-separated without
 * one for a pipe, or one JSON object a line.  An empty value is "-", in JSON null.
 */
#ifndef RMQ_CORE_CLIENT_TABLE_H
#define RMQ_CORE_CLIENT_TABLE_H

#include "core/base/text.h"

#define TABLE_COLUMNS_MAX 40

/*
 * TABLE_YES: "yes" or "no", in JSON true or false.  TABLE_NONE: in JSON null.  TABLE_NAMES: names with
 * commas between them, in JSON an array, which may be empty.  Numbers are aligned on the right.
 */
enum table_kind { TABLE_TEXT, TABLE_NUMBER, TABLE_YES, TABLE_NONE, TABLE_NAMES };

/* What rows are made of.  Columns are numbered from 0. */
struct table_columns {
	unsigned count;
	const char *(*name)(unsigned column);
	/* Puts a row's value, and says what it is; it holds neither tab nor newline. */
	enum table_kind (*put)(struct text *out, unsigned column, const void *row);
};

struct table {
	const struct table_columns *from;
	uint8_t column[TABLE_COLUMNS_MAX];
	bool right[TABLE_COLUMNS_MAX]; /* aligned: a column of numbers */
	unsigned columns;
	bool json;
	bool aligned;	   /* rows are kept until table_end() */
	struct text cells; /* NUL-ended, row by row */
	size_t rows;
};

/* Columns from a list "queue,ready"; false: an unknown name, or too many. */
bool table_init(struct table *t, const struct table_columns *from, const char *list)
    __attribute__((warn_unused_result));

/* Puts a row, or keeps it. */
void table_row(struct table *t, struct text *out, const void *row);
/* The value of the table's column number i, as a line. */
void table_value(const struct table *t, struct text *out, unsigned i, const void *row);
/* The row as lines of name and value. */
void table_lines(const struct table *t, struct text *out, const void *row);

/* Puts what was kept. */
void table_end(struct table *t, struct text *out);

#endif
