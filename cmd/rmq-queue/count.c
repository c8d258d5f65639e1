#include "count.h"

#include <stdlib.h>
#include <string.h>
#include <sys/tree.h>

#define VALUES_MAX 1000000u /* that are told apart */

struct value {
	RB_ENTRY(value) by_text;
	uint64_t messages;
	size_t len;
	char text[];
};
RB_HEAD(value_tree, value);

static int value_compare(const struct value *a, const struct value *b)
{
	return slice_cmp(slice_of(a->text, a->len), slice_of(b->text, b->len));
}

RB_PROTOTYPE(value_tree, value, by_text, value_compare)
RB_GENERATE(value_tree, value, by_text, value_compare)

struct counting {
	struct admin *admin;
	const struct count_by *by;
	const char *queue;
	struct value_tree values;
	struct value *newest; /* the one before is often the same */
	size_t count;
	struct envelope_cursors cursors;
};

bool count_by_parse(struct count_by *by, const char *text)
{
	by->what = strcmp(text, "reason") == 0			 ? COUNT_REASON
		   : strcmp(text, "key") == 0			 ? COUNT_KEY
		   : strncmp(text, "header:", 7) == 0 && text[7] ? COUNT_HEADER
								 : COUNT_NONE;
	by->header = text + 7;
	return by->what != COUNT_NONE;
}

/* Of a note that begins with the message's number where it was: what comes after that. */
static struct slice reason_of(struct slice note)
{
	const char *p = (const char *)note.data;
	const char *space = note.len ? memchr(p, ' ', note.len) : NULL;
	const char *colon = space ? memchr(p, ':', (size_t)(space - p)) : NULL;
	if (!colon || colon + 1 == space ||
	    strspn(colon + 1, "0123456789") != (size_t)(space - colon - 1))
		return note;
	return slice_of(space + 1, note.len - (size_t)(space + 1 - p));
}

static struct slice value_of(const struct count_by *by, const struct envelope *e)
{
	struct reader r = reader_of(e->headers);
	struct slice name, value;
	if (by->what == COUNT_REASON)
		return reason_of(e->note);
	if (by->what == COUNT_KEY)
		return e->key;
	while (headers_next(&r, &name, &value))
		if (slice_eq(name, slice_str(by->header)))
			return value;
	return slice_of("", 0);
}

static struct value *find(struct counting *c, struct slice text)
{
	struct value *v = RB_ROOT(&c->values);
	while (v) {
		int order = slice_cmp(text, slice_of(v->text, v->len));
		if (order == 0)
			return v;
		v = order < 0 ? RB_LEFT(v, by_text) : RB_RIGHT(v, by_text);
	}
	v = c->count < VALUES_MAX ? calloc(1, sizeof(*v) + text.len) : NULL;
	if (!v)
		return NULL;
	if (text.len > 0)
		memcpy(v->text, text.data, text.len);
	v->len = text.len;
	RB_INSERT(value_tree, &c->values, v);
	c->count++;
	return v;
}

static void on_message(void *arg, const struct client_delivery *d)
{
	struct counting *c = arg;
	for (uint32_t i = 0; i < d->count; i++) {
		struct envelope e = envelope_of(d, slice_str(c->queue), i, &c->cursors);
		struct slice text = value_of(c->by, &e);
		struct value *v = c->newest;
		if (!v || !slice_eq(text, slice_of(v->text, v->len)))
			v = find(c, text);
		if (!v) {
			admin_fail(c->admin, RMQ_E_LIMIT, "more than %u values", VALUES_MAX);
			return;
		}
		c->newest = v;
		v->messages++;
	}
}

/* ---- the table ---- */

static const char *name(unsigned column)
{
	return column == 0 ? "value" : "messages";
}

static enum table_kind put(struct text *out, unsigned column, const void *row)
{
	const struct value *v = row;
	if (column == 1) {
		text_put_u64(out, v->messages);
		return TABLE_NUMBER;
	}
	text_put(out, v->text, v->len);
	return TABLE_TEXT;
}

const struct table_columns columns_of_count = {2, name, put};

static int more_first(const void *x, const void *y)
{
	const struct value *a = *(struct value *const *)x, *b = *(struct value *const *)y;
	if (a->messages != b->messages)
		return a->messages > b->messages ? -1 : 1;
	return value_compare(a, b);
}

static enum rmq_error put_rows(struct counting *c, struct table *table, struct text *out)
{
	struct value *v, **all = malloc((c->count + 1) * sizeof(struct value *));
	size_t n = 0;
	if (!all)
		return admin_fail(c->admin, RMQ_E_LIMIT, "out of memory");
	RB_FOREACH (v, value_tree, &c->values)
		all[n++] = v;
	qsort(all, n, sizeof(struct value *), more_first);
	for (size_t i = 0; i < n; i++)
		table_row(table, out, all[i]);
	table_end(table, out);
	free(all);
	return RMQ_E_OK;
}

enum rmq_error count_run(struct admin *a, const struct count_by *by, const char *queue,
    struct table *table, struct text *out)
{
	struct counting c = {.admin = a, .by = by, .queue = queue};
	struct value *v;
	enum rmq_error err;
	a->message = on_message;
	a->arg = &c;
	a->next = 0;
	do
		err = admin_peek(a, queue, STATE_READY | STATE_LEASED | STATE_DELAYED, a->next,
		    LIST_ROWS_MAX);
	while (!err && a->more);
	if (!err)
		err = put_rows(&c, table, out);
	while ((v = RB_ROOT(&c.values))) {
		RB_REMOVE(value_tree, &c.values, v);
		free(v);
	}
	return err;
}
