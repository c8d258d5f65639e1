#include "lost.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/name.h"

/* What a cell says of a queue. */
struct said {
	size_t name;   /* in losses.names */
	uint32_t cell; /* who says so */
	uint32_t to;   /* AWAY: where it has gone; CELLS_NONE: to one that is not in the list */
	uint8_t state; /* enum place_state */
};

struct losses {
	struct cells_asked *cells;
	struct text names; /* each with a NUL */
	struct said *said;
	size_t count, cap;
	bool full; /* there was no memory */
};

struct row {
	struct slice queue, cell;
};

static const char *column_name(unsigned column)
{
	return column == 0 ? "queue" : "cell";
}

static enum table_kind put(struct text *out, unsigned column, const void *row)
{
	const struct row *r = row;
	text_put_slice(out, column == 0 ? r->queue : r->cell);
	return TABLE_TEXT;
}

const struct table_columns columns_of_lost = {2, column_name, put};

static void on_place(void *arg, const struct wire_place_is *p)
{
	struct losses *l = arg;
	const struct cells *list = l->cells->list;
	if (p->state == PLACE_NONE || l->full)
		return;
	if (l->count == l->cap) {
		size_t cap = l->cap > 0 ? 2 * l->cap : 256;
		struct said *more = realloc(l->said, cap * sizeof(*more));
		l->full = !more;
		if (!more)
			return;
		l->said = more;
		l->cap = cap;
	}
	l->said[l->count++] = (struct said){l->names.len,
	    cells_find(list, l->cells->main->cell), cells_find(list, p->cell), p->state};
	text_put_slice(&l->names, p->name);
	text_put_char(&l->names, '\0');
}

static int compare(const void *a, const void *b, void *arg)
{
	const struct said *one = a, *other = b;
	const char *names = ((const struct losses *)arg)->names.data;
	return strcmp(names + one->name, names + other->name);
}

/* ---- one queue ---- */

static void on_row(void *arg, const struct wire_listed *row)
{
	(void)row;
	*(bool *)arg = true;
}

/* Whether the queue, or its dead letters, are there without a place. */
static bool exists(struct losses *l, uint32_t cell, const char *name)
{
	char dead[NAME_FULL_MAX + 8];
	struct admin *a = &l->cells->admins[cell];
	bool some = false;
	snprintf(dead, sizeof(dead), "%s%s", name, NAME_DEAD_SUFFIX);
	a->row = on_row;
	a->arg = &some;
	enum rmq_error err = admin_list(a, name);
	l->cells->up[cell] = !err && !admin_list(a, dead);
	return some;
}

static const struct said *says(const struct said *s, size_t count, uint32_t cell)
{
	for (size_t i = 0; i < count; i++)
		if (s[i].cell == cell)
			return &s[i];
	return NULL;
}

/*
 * Where who begins at home comes to.  *lost: the last cell on the way knows nothing of it, or the way has no end.
 * CELLS_NONE: that is not known, or it is a cell that is not in the list.
 */
static uint32_t follow(struct losses *l, const struct said *s, size_t count, const char *name,
    uint32_t home, bool *lost)
{
	uint32_t at = home;
	*lost = false;
	for (uint32_t hops = 0; hops <= l->cells->list->count; hops++) {
		const struct said *is = says(s, count, at);
		if (!l->cells->up[at])
			return CELLS_NONE;
		if (!is)
			*lost = at != home && !exists(l, at, name);
		if (!is || is->state == PLACE_HERE)
			return at;
		at = is->to;
		*lost = at == CELLS_NONE;
		if (*lost)
			return CELLS_NONE;
	}
	*lost = true;
	return at;
}

/* The cell in which it is to be placed; CELLS_NONE: it is where it is found. */
static uint32_t judge(struct losses *l, const struct said *s, size_t count, const char *name)
{
	uint32_t home = cells_home(l->cells->list, slice_str(name));
	uint32_t here = CELLS_NONE, others = 0;
	bool lost;
	uint32_t end = home == CELLS_NONE ? home : follow(l, s, count, name, home, &lost);
	if (home == CELLS_NONE || (end == CELLS_NONE && !lost))
		return CELLS_NONE;
	for (size_t i = 0; i < count; i++)
		if (s[i].state == PLACE_HERE && (s[i].cell != end || lost)) {
			here = s[i].cell;
			others++;
		}
	/* Home says nothing, and another cell that it lives there. */
	if (!lost && others == 1 && !says(s, count, end))
		return here;
	if (!lost)
		return others > 0 ? end : CELLS_NONE;
	return others == 1 ? here : end == CELLS_NONE ? home : end;
}

static void list_one(
    struct losses *l, const struct said *s, size_t count, struct table *table, struct text *out)
{
	const char *name = l->names.data + s->name;
	uint32_t cell = judge(l, s, count, name);
	struct row row = {slice_str(name), slice_of("", 0)};
	if (cell == CELLS_NONE)
		return;
	row.cell = cells_name(l->cells->list, cell);
	table_row(table, out, &row);
}

/* Whether a cell has the queue that it says it has. */
static bool is_made(struct losses *l, const struct said *s, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (s[i].state == PLACE_HERE && exists(l, s[i].cell, l->names.data + s->name))
			return true;
	return false;
}

static void home_of(
    struct losses *l, const struct said *s, size_t count, const struct cells *by)
{
	const char *name = l->names.data + s->name;
	uint32_t home = cells_home(by, slice_str(name));
	if (home == CELLS_NONE)
		return;
	struct slice cell = cells_name(by, home);
	if (!says(s, count, cells_find(l->cells->list, cell)) && !is_made(l, s, count))
		printf("%s\t%.*s\n", name, (int)cell.len, (const char *)cell.data);
}

/* What all say, by name. */
static enum rmq_error gather(struct losses *l)
{
	struct admin *a = l->cells->main;
	a->row_of_place = on_place;
	a->arg = l;
	enum rmq_error err = l->cells->admins ? cells_places(l->cells) : RMQ_E_OK;
	if (!err && l->full)
		err = admin_fail(a, RMQ_E_LIMIT, "out of memory");
	if (!err && l->count > 0)
		qsort_r(l->said, l->count, sizeof(*l->said), compare, l);
	return err;
}

/* How many of them, from the first one on, are of the same name. */
static size_t same(struct losses *l, size_t first)
{
	size_t next = first + 1;
	while (next < l->count && compare(&l->said[first], &l->said[next], l) == 0)
		next++;
	return next - first;
}

enum rmq_error lost_list(struct cells_asked *c, struct table *table, struct text *out)
{
	struct losses l = {.cells = c};
	enum rmq_error err = gather(&l);
	for (size_t i = 0, n; !err && i < l.count; i += n) {
		n = same(&l, i);
		list_one(&l, &l.said[i], n, table, out);
	}
	table_end(table, out);
	text_deinit(&l.names);
	free(l.said);
	return err;
}

enum rmq_error lost_homes(struct cells_asked *c, const struct cells *by)
{
	struct losses l = {.cells = c};
	enum rmq_error err = gather(&l);
	for (size_t i = 0, n; !err && i < l.count; i += n) {
		n = same(&l, i);
		home_of(&l, &l.said[i], n, by);
	}
	text_deinit(&l.names);
	free(l.said);
	return err;
}
