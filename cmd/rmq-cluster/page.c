#include "page.h"

#include "columns.h"
#include "core/base/units.h"
#include "core/client/queue_columns.h"
#include "sys/process/clock.h"

#define MEMBER_FIELDS \
	"name,role,state,up,unreachable,lag,disk-free,journal-size,load,gate-state,address"
#define QUEUE_FIELDS	"queue,ready,leased,delayed,bytes,receivers"
#define NODE_FIELDS	"leader,available,members,voters,up,term,commit,last,caught-up,gate-state"
#define DATABASE_FIELDS NODE_FIELDS ",engine,database,database-state,synchronous"

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta http-equiv=\"refresh\" content=\"5\">\n<title>";
static const char style[] =
    "</title>\n<style>\n"
    "body { font: 16px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em; "
    "color: #222; background: #fff }\n"
    "table { border-collapse: collapse; margin: 1em 0 }\n"
    "th, td { text-align: left; padding: .2em 1em .2em 0; border-bottom: 1px solid #ccc }\n"
    ".well { color: #060 } .ill { color: #a00 }\n"
    "@media (prefers-color-scheme: dark) { body { color: #ddd; background: #111 } "
    ".well { color: #8d8 } .ill { color: #f88 } }\n"
    "</style>\n</head>\n<body>\n";

static void put_escaped(struct text *out, struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = (char)s.data[i];
		if (c == '<')
			text_put_str(out, "&lt;");
		else if (c == '>')
			text_put_str(out, "&gt;");
		else if (c == '&')
			text_put_str(out, "&amp;");
		else if (c == '"')
			text_put_str(out, "&quot;");
		else
			text_put_char(out, c);
	}
}

static void put_element(struct text *out, const char *name, struct slice s)
{
	text_put_char(out, '<');
	text_put_str(out, name);
	text_put_char(out, '>');
	put_escaped(out, s);
	text_put_str(out, "</");
	text_put_str(out, name);
	text_put_char(out, '>');
}

/* Numbers of many digits are cut. */
static void put_value(struct text *out, const struct table *t, unsigned i, const void *row)
{
	struct text value = {0};
	char brief[UNITS_TEXT_MAX];
	uint64_t n;

	enum table_kind kind = t->from->put(&value, t->column[i], row);
	text_put_char(&value, '\0');
	struct slice shown =
	    value.len > 1 ? slice_of(value.data, value.len - 1) : slice_str("-");
	if (kind == TABLE_NUMBER && !value.failed && units_count(value.data, 0, UINT64_MAX, &n))
		shown = slice_of(brief, units_print_brief(brief, n));
	put_element(out, "td", shown);
	text_deinit(&value);
}

static void put_table(struct text *out, const struct table *t)
{
	text_put_str(out, "<table>\n<tr>");
	for (unsigned i = 0; i < t->columns; i++)
		put_element(out, "th", slice_str(t->from->name(t->column[i])));
	text_put_str(out, "</tr>\n");
}

static void put_row(struct text *out, const struct table *t, const void *row)
{
	text_put_str(out, "<tr>");
	for (unsigned i = 0; i < t->columns; i++)
		put_value(out, t, i, row);
	text_put_str(out, "</tr>\n");
}

static void put_members(struct text *out, const struct control_view *v)
{
	struct table t;

	if (!table_init(&t, &columns_of_member, MEMBER_FIELDS))
		return;
	text_put_str(out, "<h2>Members</h2>\n");
	put_table(out, &t);
	for (unsigned k = 0; k < v->count; k++)
		put_row(out, &t, &(struct member_row){v, &v->members[k]});
	text_put_str(out, "</table>\n");
}

void page_put_queue(struct text *out, const struct wire_listed *row)
{
	struct table t;

	if (table_init(&t, &queue_columns, QUEUE_FIELDS))
		put_row(out, &t, row);
}

static void put_queues(struct text *out, const struct queues *q)
{
	struct table t;

	if (!table_init(&t, &queue_columns, QUEUE_FIELDS))
		return;
	text_put_str(out, "<h2>Queues</h2>\n");
	if (q->count > 0) {
		put_table(out, &t);
		text_put_slice(out, slice_of(q->rows.data, q->rows.len));
		text_put_str(out, "</table>\n");
	}
	if (*q->why) {
		put_element(out, "p", slice_str(q->why));
		text_put_char(out, '\n');
	} else if (q->more)
		text_put_str(out, "<p>There are more; rmq-queue ls prints all.</p>\n");
	else if (q->count == 0)
		text_put_str(out, "<p>There are none.</p>\n");
}

static void put_node(struct text *out, const struct control_view *v)
{
	struct table t;

	if (!table_init(&t, &columns_of_node, v->engine[0] ? DATABASE_FIELDS : NODE_FIELDS))
		return;
	text_put_str(out, "<h2>As this node sees it</h2>\n<table>\n");
	for (unsigned i = 0; i < t.columns; i++) {
		text_put_str(out, "<tr>");
		put_element(out, "th", slice_str(t.from->name(t.column[i])));
		put_value(out, &t, i, v);
		text_put_str(out, "</tr>\n");
	}
	text_put_str(out, "</table>\n");
}

static void put_why(struct text *out, const struct control_view *v, struct slice why)
{
	bool is_well = v->flags & CONTROL_AVAILABLE;

	text_put_str(out, is_well ? "<p class=\"well\">" : "<p class=\"ill\">");
	text_put_str(out, is_well ? "takes messages" : "takes no messages");
	text_put_str(out, "</p>\n<ul>\n");
	while (why.len > 0) {
		const uint8_t *end = memchr(why.data, '\n', why.len);
		size_t len = end ? (size_t)(end - why.data) : why.len;
		put_element(out, "li", slice_of(why.data, len));
		text_put_char(out, '\n');
		len += end != NULL;
		why = slice_of(why.data + len, why.len - len);
	}
	text_put_str(out, "</ul>\n");
}

void page_put(struct text *out, const struct control_view *v, struct slice why,
    const struct queues *queues)
{
	char now[UNITS_TEXT_MAX];
	size_t len = units_print_time(now, clock_wall());

	text_put_str(out, head);
	text_put_str(out, "rmq: ");
	put_escaped(out, slice_str(v->name));
	text_put_str(out, style);
	text_put_str(out, "<h1>rmq: ");
	put_escaped(out, slice_str(v->name));
	text_put_str(out, ", ");
	put_escaped(out, slice_str(control_role_text(v->role)));
	text_put_str(out, "</h1>\n");
	put_why(out, v, why);
	put_members(out, v);
	put_queues(out, queues);
	put_node(out, v);
	put_element(out, "p", slice_of(now, len));
	text_put_str(out, "\n</body>\n</html>\n");
}
