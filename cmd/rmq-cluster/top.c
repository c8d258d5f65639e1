#include "top.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "columns.h"
#include "core/base/units.h"
#include "sys/process/clock.h"
#include "sys/process/signals.h"
#include "sys/stream/screen.h"

#define EVENTS_SHOWN 128 /* more than a screen has rows */
#define EVENT_WIDTH  128
#define NUMBER_WIDTH 6

/*
 * What is shown of a member, from the left: its heading, and the field of columns.h.  All of it has room in 80
 * columns: numbers take NUMBER_WIDTH, and names of 6 characters do.
 */
#define TOP_COLUMNS(X) \
	X("NODE", "name") \
	X("ROLE", "role") \
	X("STATE", "state") \
	X("UP", "up") \
	X("UNR", "unreachable") \
	X("PHI", "phi") \
	X("LAG", "lag") \
	X("TRIP", "round-trip") \
	X("FREE", "disk-free") \
	X("LOAD", "load") \
	X("MEMORY", "memory") \
	X("JOURN", "journal-size") \
	X("P99", "store-time-p99")

static const char *const headings[] = {
#define X(heading, field) heading,
    TOP_COLUMNS(X)
#undef X
};
#define COLUMNS (sizeof(headings) / sizeof(headings[0]))

struct top {
	struct ask *ask;
	struct table table; /* where the values come from */
	struct control_view view;
	char events[EVENTS_SHOWN][EVENT_WIDTH];
	uint64_t event_count; /* so many there were; the newest of them are kept */
	uint64_t seq;	      /* of the newest */
	uint64_t term;	      /* when we began */
	bool began;
	struct screen screen;
	struct text cells; /* NUL-ended, row by row, the heading first */
	size_t width[COLUMNS];
	bool right[COLUMNS]; /* numbers */
	struct text line;
};

/* ---- events ---- */

static const char *string_of(const json_t *line, const char *field)
{
	const char *value = json_string_value(json_object_get(line, field));
	return value ? value : "";
}

/* "12:00:01.250  member-up  n2, was joining" */
static void print_event(char out[EVENT_WIDTH], const json_t *line)
{
	const char *time = strchr(string_of(line, "time"), 'T');
	const char *node = string_of(line, "node"), *was = string_of(line, "was");
	const char *what = string_of(line, "role");

	if (!*what)
		what = string_of(line, "phase");
	snprintf(out, EVENT_WIDTH, "%.12s  %-19s  %s%s%s%s%s", time ? time + 1 : "",
	    string_of(line, "event"), *node ? node : "nobody", *what ? ", " : "", what,
	    *was ? ", was " : "", was);
	text_tame(out, strlen(out));
}

/* Those of a connection before come again. */
static void take_event(void *arg, struct slice kind, struct slice text)
{
	struct top *t = arg;
	json_t *line = json_loadb((const char *)text.data, text.len, 0, NULL);
	uint64_t seq = (uint64_t)json_integer_value(json_object_get(line, "seq"));

	(void)kind;
	if (seq > t->seq) {
		print_event(t->events[t->event_count++ % EVENTS_SHOWN], line);
		t->seq = seq;
	}
	json_decref(line);
}

/* ---- members ---- */

/* What has parts with as many digits as fit beside what has none. */
static void put_short(struct text *out, const char *number)
{
	uint64_t whole;
	size_t digits = strcspn(number, ".");
	char text[UNITS_TEXT_MAX];

	snprintf(text, sizeof(text), "%.*s", (int)digits, number);
	if ((!number[digits] || digits + 1 >= NUMBER_WIDTH) &&
	    units_count(text, 0, UINT64_MAX, &whole))
		text_put(out, text, units_print_brief(text, whole));
	else
		text_put(out, number, strnlen(number, NUMBER_WIDTH));
}

static void put_cell(struct top *t, unsigned column, const struct member_row *row)
{
	struct text value = {0};
	enum table_kind kind = t->table.from->put(&value, t->table.column[column], row);
	size_t begin = t->cells.len;

	text_put_char(&value, '\0');
	if (value.failed || value.len == 1)
		text_put_char(&t->cells, '-');
	else if (kind == TABLE_NUMBER)
		put_short(&t->cells, value.data);
	else
		text_put(&t->cells, value.data, value.len - 1);
	size_t len = t->cells.len - begin;
	text_put_char(&t->cells, '\0');
	t->right[column] = kind == TABLE_NUMBER;
	t->width[column] = len > t->width[column] ? len : t->width[column];
	text_deinit(&value);
}

static void fill_cells(struct top *t)
{
	t->cells.len = 0;
	for (unsigned i = 0; i < COLUMNS; i++) {
		t->width[i] = strlen(headings[i]);
		text_put(&t->cells, headings[i], t->width[i] + 1);
	}
	for (unsigned k = 0; k < t->view.count; k++)
		for (unsigned i = 0; i < COLUMNS; i++)
			put_cell(t, i, &(struct member_row){&t->view, &t->view.members[k]});
}

/* As many whole columns as fit.  Returns where the next row begins. */
static const char *put_row(struct top *t, const char *cell, bool heading)
{
	size_t used = 0;

	t->line.len = 0;
	for (unsigned i = 0; i < COLUMNS; i++) {
		size_t len = strlen(cell), pad = t->width[i] - len, gap = i > 0;
		used += gap + t->width[i];
		if (i == 0 || used <= t->screen.columns) {
			for (size_t n = gap + (t->right[i] ? pad : 0); n > 0; n--)
				text_put_char(&t->line, ' ');
			text_put(&t->line, cell, len);
			for (size_t n = t->right[i] ? 0 : pad; n > 0; n--)
				text_put_char(&t->line, ' ');
		}
		cell += len + 1;
	}
	struct slice line = slice_of(t->line.data, t->line.len);
	if (heading)
		screen_put_heading(&t->screen, line);
	else
		screen_put_line(&t->screen, line);
	return cell;
}

static void put_members(struct top *t)
{
	fill_cells(t);
	if (t->cells.failed)
		return;
	const char *cell = put_row(t, t->cells.data, true);
	for (unsigned k = 0; k < t->view.count; k++)
		cell = put_row(t, cell, false);
}

/* ---- drawing ---- */

/* In as many rows as it takes. */
static void put_text(struct top *t, const char *text)
{
	struct slice line = slice_str(text);

	do {
		size_t len = screen_put_line(&t->screen, line);
		line = slice_of(line.data + len, line.len - len);
	} while (line.len > 0 && t->screen.used < t->screen.rows);
}

static void put_state(struct top *t)
{
	const struct control_view *v = &t->view;
	char now[UNITS_TEXT_MAX], line[512];
	size_t len = units_print_time(now, clock_wall());

	snprintf(line, sizeof(line), "rmq-cluster top  %.*s  %s, %s: %s", (int)len, now,
	    v->name, control_role_text(v->role),
	    v->flags & CONTROL_AVAILABLE ? "takes messages" : "takes no messages");
	put_text(t, line);
	snprintf(line, sizeof(line),
	    "leader %s  term %llu  elections %llu  commit %llu  members %u  voters up %u",
	    *v->leader ? v->leader : "-", (unsigned long long)v->term,
	    (unsigned long long)(v->term - t->term), (unsigned long long)v->commit, v->count,
	    voters_up(v));
	put_text(t, line);
}

/* The newest, as many as there is room for, the last one below. */
static void put_events(struct top *t)
{
	uint64_t kept = t->event_count < EVENTS_SHOWN ? t->event_count : EVENTS_SHOWN;

	(void)screen_put_line(&t->screen, slice_str(""));
	screen_put_heading(&t->screen, slice_str("EVENTS"));
	uint64_t room = t->screen.rows > t->screen.used ? t->screen.rows - t->screen.used : 0;
	for (uint64_t n = kept < room ? kept : room; n > 0; n--)
		(void)screen_put_line(
		    &t->screen, slice_str(t->events[(t->event_count - n) % EVENTS_SHOWN]));
}

/* trouble: "": none. */
static void draw(struct top *t, const char *trouble)
{
	screen_begin(&t->screen);
	put_state(t);
	if (*trouble)
		put_text(t, trouble);
	put_members(t);
	put_events(t);
	t->ask->output_error = screen_show(&t->screen);
}

static bool take_view(void *arg, const struct control_view *v)
{
	struct top *t = arg;

	t->view = *v;
	if (!t->began || v->term < t->term)
		t->term = v->term;
	t->began = true;
	draw(t, v->problem);
	return false;
}

static void draw_lost(void *arg, const char *why)
{
	draw(arg, why);
}

enum rmq_error top_run(struct ask *a, uint64_t every_ms)
{
	static struct top t;
	struct reason why = {""};
#define X(heading, field) "," field
	static const char fields[] = TOP_COLUMNS(X);
#undef X

	if (!screen_open(&t.screen))
		return ask_fail(RMQ_E_USAGE,
		    "top: standard output is no terminal: use rmq-cluster members, events or metrics");
	if (!table_init(&t.table, &columns_of_member, fields + 1))
		abort();
	t.ask = a;
	a->arg = &t;
	a->view = take_view;
	a->event = take_event;
	a->lost = draw_lost;
	signals_before_death(screen_leave);
	enum rmq_error err = ask_look(a, every_ms, &why);
	screen_leave();
	text_deinit(&t.cells);
	text_deinit(&t.line);
	screen_deinit(&t.screen);
	return ask_fail(err, "%s", why.text);
}
