#include "core/client/table.h"

#include "core/client/envelope.h"

/* Of a name before its value. */
#define LINES_WIDTH 13

bool table_init(struct table *t, const struct table_columns *from, const char *list)
{
	*t = (struct table){.from = from};
	for (const char *p = list;; p++) {
		size_t len = strcspn(p, ",");
		unsigned i = 0;
		while (i < from->count &&
		       (strlen(from->name(i)) != len || strncmp(from->name(i), p, len) != 0))
			i++;
		if (i == from->count || t->columns == TABLE_COLUMNS_MAX)
			return false;
		t->column[t->columns++] = (uint8_t)i;
		p += len;
		if (!*p)
			return true;
	}
}

static enum table_kind put_value(
    const struct table *t, struct text *out, unsigned i, const void *row)
{
	size_t before = out->len;
	enum table_kind kind = t->from->put(out, t->column[i], row);
	if (out->len == before)
		text_put_char(out, '-');
	else
		text_tame(out->data + before, out->len - before);
	return kind;
}

static void put_names(struct text *out, struct slice names)
{
	const char *p = (const char *)names.data, *end = p + names.len;
	text_put_char(out, '[');
	while (p < end) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		size_t len = (size_t)((comma ? comma : end) - p);
		envelope_put_string(out, slice_of(p, len));
		p += len + (comma != NULL);
		if (comma)
			text_put_char(out, ',');
	}
	text_put_char(out, ']');
}

static void put_json(const struct table *t, struct text *out, const void *row)
{
	struct text value = {0};
	for (unsigned i = 0; i < t->columns; i++) {
		text_put_str(out, i ? ",\"" : "{\"");
		text_put_str(out, t->from->name(t->column[i]));
		text_put_str(out, "\":");
		value.len = 0;
		enum table_kind kind = t->from->put(&value, t->column[i], row);
		if (kind == TABLE_NAMES)
			put_names(out, slice_of(value.data, value.len));
		else if (value.len == 0 || kind == TABLE_NONE)
			text_put_str(out, "null");
		else if (kind == TABLE_YES)
			text_put_str(out, value.data[0] == 'y' ? "true" : "false");
		else if (kind == TABLE_NUMBER)
			text_put(out, value.data, value.len);
		else
			envelope_put_string(out, slice_of(value.data, value.len));
	}
	text_put_str(out, "}\n");
	text_deinit(&value);
}

void table_row(struct table *t, struct text *out, const void *row)
{
	if (t->json) {
		put_json(t, out, row);
		return;
	}
	for (unsigned i = 0; i < t->columns; i++) {
		enum table_kind kind = put_value(t, t->aligned ? &t->cells : out, i, row);
		if (t->aligned) {
			t->right[i] |= kind == TABLE_NUMBER;
			text_put_char(&t->cells, 0);
		} else {
			text_put_char(out, i + 1 < t->columns ? '\t' : '\n');
		}
	}
	t->rows++;
}

static void put_spaces(struct text *out, size_t have, size_t want)
{
	for (; have < want; have++)
		text_put_char(out, ' ');
}

void table_value(const struct table *t, struct text *out, unsigned i, const void *row)
{
	put_value(t, out, i, row);
	text_put_char(out, '\n');
}

void table_lines(const struct table *t, struct text *out, const void *row)
{
	for (unsigned i = 0; i < t->columns; i++) {
		const char *name = t->from->name(t->column[i]);
		text_put_str(out, name);
		if (t->aligned)
			put_spaces(out, strlen(name), LINES_WIDTH);
		else
			text_put_char(out, '\t');
		table_value(t, out, i, row);
	}
}

static void put_cell(
    const struct table *t, struct text *out, unsigned i, const char *cell, size_t width)
{
	if (t->right[i])
		put_spaces(out, strlen(cell), width);
	text_put_str(out, cell);
	if (i + 1 == t->columns) {
		text_put_char(out, '\n');
		return;
	}
	if (!t->right[i])
		put_spaces(out, strlen(cell), width);
	text_put_str(out, "  ");
}

void table_end(struct table *t, struct text *out)
{
	size_t width[TABLE_COLUMNS_MAX], cells = t->cells.failed ? 0 : t->rows * t->columns;
	const char *p = t->cells.data;

	if (t->aligned) {
		for (unsigned i = 0; i < t->columns; i++)
			width[i] = strlen(t->from->name(t->column[i]));
		for (size_t k = 0; k < cells; k++, p += strlen(p) + 1)
			if (strlen(p) > width[k % t->columns])
				width[k % t->columns] = strlen(p);
		for (unsigned i = 0; i < t->columns; i++)
			put_cell(t, out, i, t->from->name(t->column[i]), width[i]);
		p = t->cells.data;
		for (size_t k = 0; k < cells; k++, p += strlen(p) + 1)
			put_cell(t, out, (unsigned)(k % t->columns), p, width[k % t->columns]);
	}
	text_deinit(&t->cells);
	t->rows = 0;
}
