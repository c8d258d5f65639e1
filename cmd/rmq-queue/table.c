#include "table.h"

#include <stdio.h>
#include <string.h>

#include "core/envelope.h"
#include "core/units.h"

enum kind { NAME, COUNT, DURATION, BACKOFF, DEAD_LETTER, LIMIT };

static const struct {
	const char *name;
	enum kind kind;
	size_t offset;
	size_t size;
} columns[] = {
#define COLUMN(name, kind, member) \
	{ \
		name, kind, offsetof(struct wire_listed, member), \
		    sizeof(((struct wire_listed *)0)->member) \
	}
    COLUMN("queue", NAME, queue),
    COLUMN("ready", COUNT, ready),
    COLUMN("leased", COUNT, leased),
    COLUMN("delayed", COUNT, delayed),
    COLUMN("bytes", COUNT, bytes),
    COLUMN("receivers", COUNT, receivers),
    COLUMN("sent", COUNT, sent),
    COLUMN("delivered", COUNT, delivered),
    COLUMN("settled", COUNT, settled),
    COLUMN("failed", COUNT, failed),
    COLUMN("dead", COUNT, dead),
    COLUMN("next-seq", COUNT, next_seq),
    COLUMN("lease", DURATION, lease_ms),
    COLUMN("max-attempts", COUNT, max_attempts),
    COLUMN("backoff", BACKOFF, backoff_min_ms),
    COLUMN("max-bytes", LIMIT, max_bytes),
    COLUMN("max-message", COUNT, max_message),
    COLUMN("dead-letter", DEAD_LETTER, dead_letter),
#undef COLUMN
};

#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

bool table_init(struct table *t, const char *list)
{
	*t = (struct table){.columns = 0};
	for (const char *p = list;; p++) {
		size_t len = strcspn(p, ","), i = 0;
		while (i < COLUMNS && (strlen(columns[i].name) != len ||
					  strncmp(columns[i].name, p, len) != 0))
			i++;
		if (i == COLUMNS || t->columns == TABLE_COLUMNS_MAX)
			return false;
		t->column[t->columns++] = (uint8_t)i;
		p += len;
		if (!*p)
			return true;
	}
}

static uint64_t number(uint32_t column, const struct wire_listed *row)
{
	const char *p = (const char *)row + columns[column].offset;
	uint64_t wide;
	uint32_t narrow;
	if (columns[column].size == sizeof(wide)) {
		memcpy(&wide, p, sizeof(wide));
		return wide;
	}
	memcpy(&narrow, p, sizeof(narrow));
	return narrow;
}

static void put_duration(struct text *out, uint64_t ms)
{
	char text[UNITS_TEXT_MAX];
	text_put(out, text, units_print_duration(text, ms));
}

void table_put_value(struct text *out, uint32_t column, const struct wire_listed *row)
{
	switch (columns[column].kind) {
	case NAME:
		text_put_slice(out, row->queue);
		break;
	case DURATION:
		put_duration(out, number(column, row));
		break;
	case BACKOFF:
		put_duration(out, row->backoff_min_ms);
		text_put_char(out, ',');
		put_duration(out, row->backoff_max_ms);
		break;
	case DEAD_LETTER:
		/* "-" on the wire is none; none given: the queue's own. */
		if (slice_eq(row->dead_letter, slice_str("-"))) {
			text_put_str(out, "none");
		} else if (row->dead_letter.len > 0) {
			text_put_slice(out, row->dead_letter);
		} else {
			text_put_slice(out, row->queue);
			text_put_str(out, NAME_DEAD_SUFFIX);
		}
		break;
	case LIMIT:
		if (number(column, row) == 0) {
			text_put_str(out, "none");
			break;
		}
		text_put_u64(out, number(column, row));
		break;
	case COUNT:
		text_put_u64(out, number(column, row));
		break;
	}
}

static void print_json(const struct table *t, const struct wire_listed *row)
{
	struct text out = {0}, value = {0};
	for (uint32_t i = 0; i < t->columns; i++) {
		enum kind kind = columns[t->column[i]].kind;
		bool bare = kind == COUNT || (kind == LIMIT && number(t->column[i], row) > 0);
		text_put_str(&out, i ? ",\"" : "{\"");
		text_put_str(&out, columns[t->column[i]].name);
		text_put_str(&out, "\":");
		value.len = 0;
		table_put_value(&value, t->column[i], row);
		if (bare)
			text_put(&out, value.data, value.len);
		else
			envelope_put_string(&out, slice_of(value.data, value.len));
	}
	text_put_str(&out, "}\n");
	fwrite(out.data, 1, out.len, stdout);
	text_deinit(&out);
	text_deinit(&value);
}

void table_row(struct table *t, const struct wire_listed *row)
{
	if (t->json) {
		print_json(t, row);
		return;
	}
	for (uint32_t i = 0; i < t->columns; i++) {
		table_put_value(&t->cells, t->column[i], row);
		text_put_char(&t->cells, t->aligned ? 0 : i + 1 < t->columns ? '\t' : '\n');
	}
	t->rows++;
	if (t->aligned)
		return;
	fwrite(t->cells.data, 1, t->cells.len, stdout);
	t->cells.len = 0;
}

void table_lines(const struct table *t, const struct wire_listed *row)
{
	struct text value = {0};
	for (uint32_t i = 0; i < t->columns; i++) {
		value.len = 0;
		table_put_value(&value, t->column[i], row);
		printf(t->aligned ? "%-13s" : "%s\t", columns[t->column[i]].name);
		fwrite(value.data, 1, value.len, stdout);
		putchar('\n');
	}
	text_deinit(&value);
}

void table_end(struct table *t)
{
	int width[TABLE_COLUMNS_MAX];
	const char *p = t->cells.data;
	for (uint32_t i = 0; i < t->columns; i++)
		width[i] = (int)strlen(columns[t->column[i]].name);
	for (uint32_t k = 0; t->aligned && k < t->rows * t->columns; k++, p += strlen(p) + 1)
		if ((int)strlen(p) > width[k % t->columns])
			width[k % t->columns] = (int)strlen(p);
	for (uint32_t i = 0; t->aligned && i < t->columns; i++)
		printf("%*s%s", i ? width[i] : -width[i], columns[t->column[i]].name,
		    i + 1 < t->columns ? "  " : "\n");
	p = t->cells.data;
	for (uint32_t k = 0; t->aligned && k < t->rows * t->columns; k++, p += strlen(p) + 1) {
		uint32_t i = k % t->columns;
		printf("%*s%s", i ? width[i] : -width[i], p, i + 1 < t->columns ? "  " : "\n");
	}
	text_deinit(&t->cells);
	t->rows = 0;
}
