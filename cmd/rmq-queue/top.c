#include "top.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/units.h"
#include "sys/process/clock.h"
#include "sys/stream/screen.h"

#define POINTS	     40 /* of a sparkline */
#define POINTS_LEAST 4	/* less is not worth it */
#define NAME_WIDTH   18
#define CELL_WIDTH   10	  /* where there are several */
#define CELLS_MS     1000 /* to wait for one that does not answer, each time */
#define NUMBER_WIDTH 7

/* A queue, as it was seen last, and how many were ready before. */
struct seen {
	uint32_t cell; /* its place in the list */
	struct slice cell_name;
	size_t name_len;
	char name[NAME_FULL_MAX];
	uint64_t ready, leased, delayed, sent, settled, failed;
	uint32_t receivers;
	uint64_t sent_rate, settled_rate, failed_rate; /* a second */
	uint64_t points[POINTS];
	unsigned count; /* of points */
};

struct list {
	struct seen *all; /* by name */
	size_t count, cap;
};

struct top {
	struct cells_asked *cells;
	struct list now, before;
	size_t at; /* in `before`: names up to there were passed */
	uint64_t passed_ms;
	bool failed;
	struct screen screen;
	struct text line;
};

/* ---- what is seen ---- */

static uint64_t rate(uint64_t now, uint64_t before, uint64_t ms)
{
	return now > before && ms > 0 ? (now - before) * 1000 / ms : 0;
}

/* Which cell tells its queues. */
static uint32_t cell_now(const struct top *t)
{
	const struct cells_asked *c = t->cells;
	return cells_several(c) ? cells_find(c->list, c->main->cell) : 0;
}

/* What was seen of the queue before; rows come by cell and name. */
static const struct seen *seen_before(struct top *t, uint32_t cell, struct slice name)
{
	for (; t->at < t->before.count; t->at++) {
		const struct seen *s = &t->before.all[t->at];
		int order = slice_cmp(slice_of(s->name, s->name_len), name);
		if (s->cell != cell)
			order = s->cell < cell ? -1 : 1;
		if (order >= 0)
			return order == 0 ? s : NULL;
	}
	return NULL;
}

static void on_row(void *arg, const struct wire_listed *row)
{
	struct top *t = arg;
	if (t->now.count == t->now.cap) {
		size_t cap = t->now.cap ? 2 * t->now.cap : 64;
		struct seen *grown = realloc(t->now.all, cap * sizeof(*grown));
		t->failed |= !grown;
		if (!grown)
			return;
		t->now.all = grown;
		t->now.cap = cap;
	}
	struct seen *s = &t->now.all[t->now.count++];
	uint32_t cell = cell_now(t);
	const struct seen *before = seen_before(t, cell, row->queue);
	*s = before ? *before : (struct seen){0};
	s->cell = cell;
	s->cell_name = t->cells->main->cell;
	s->name_len = row->queue.len < sizeof(s->name) ? row->queue.len : sizeof(s->name);
	memcpy(s->name, row->queue.data, s->name_len);
	/* Of a queue that is new here nothing is known of the time before. */
	s->sent_rate = before ? rate(row->sent, s->sent, t->passed_ms) : 0;
	s->settled_rate = before ? rate(row->settled, s->settled, t->passed_ms) : 0;
	s->failed_rate = before ? rate(row->failed, s->failed, t->passed_ms) : 0;
	s->ready = row->ready;
	s->leased = row->leased;
	s->delayed = row->delayed;
	s->sent = row->sent;
	s->settled = row->settled;
	s->failed = row->failed;
	s->receivers = row->receivers;
	if (s->count == POINTS)
		memmove(s->points, s->points + 1, (POINTS - 1) * sizeof(s->points[0]));
	s->count -= s->count == POINTS;
	s->points[s->count++] = row->ready;
}

static int more_ready_first(const void *x, const void *y)
{
	const struct seen *a = *(const struct seen *const *)x;
	const struct seen *b = *(const struct seen *const *)y;
	if (a->ready != b->ready)
		return a->ready > b->ready ? -1 : 1;
	return slice_cmp(slice_of(a->name, a->name_len), slice_of(b->name, b->name_len));
}

/* ---- drawing ---- */

static void put_spark(struct top *t, const struct seen *s, unsigned room)
{
	static const char *const blocks[] = {
	    "\u2581", "\u2582", "\u2583", "\u2584", "\u2585", "\u2586", "\u2587", "\u2588"};
	static const char *const marks[] = {"_", ".", ":", "-", "=", "+", "*", "#"};
	unsigned first = s->count > room ? s->count - room : 0;
	uint64_t most = 1;
	for (unsigned i = first; i < s->count; i++)
		most = s->points[i] > most ? s->points[i] : most;
	for (unsigned i = first; i < s->count; i++) {
		unsigned level = (unsigned)((double)s->points[i] * 7 / (double)most);
		text_put_str(&t->line, t->screen.utf8 ? blocks[level] : marks[level]);
	}
}

/* On the right, in so many columns. */
static void put_number(struct text *out, uint64_t n)
{
	char text[UNITS_TEXT_MAX];
	size_t len = units_print_brief(text, n);
	for (size_t i = len; i < NUMBER_WIDTH; i++)
		text_put_char(out, ' ');
	text_put(out, text, len);
}

static void put_left(struct text *out, struct slice word, size_t width)
{
	text_put(out, word.data, word.len < width ? word.len : width);
	for (size_t i = word.len; i < width; i++)
		text_put_char(out, ' ');
}

/* As much of it as fits into a line of the screen. */
static void put_line(struct top *t, const struct seen *s)
{
	const uint64_t numbers[] = {s->ready, s->leased, s->delayed, s->receivers, s->sent_rate,
	    s->settled_rate, s->failed_rate};
	bool several = cells_several(t->cells);
	unsigned used = NAME_WIDTH + (several ? CELL_WIDTH : 0), columns = t->screen.columns;
	t->line.len = 0;
	if (several)
		put_left(&t->line, s->cell_name, CELL_WIDTH - 1);
	if (several)
		text_put_char(&t->line, ' ');
	put_left(&t->line, slice_of(s->name, s->name_len), NAME_WIDTH);
	for (size_t i = 0;
	     i < sizeof(numbers) / sizeof(numbers[0]) && used + NUMBER_WIDTH <= columns;
	     i++, used += NUMBER_WIDTH)
		put_number(&t->line, numbers[i]);
	if (used + 2 + POINTS_LEAST <= columns) {
		text_put_str(&t->line, "  ");
		put_spark(t, s, columns - used - 2);
	}
	screen_put_line(&t->screen, slice_of(t->line.data, t->line.len));
}

/* Cells that do not answer. */
static void put_down(struct top *t, char *line, size_t size)
{
	const struct cells_asked *c = t->cells;
	size_t len = strlen(line);
	for (uint32_t i = 0; cells_several(c) && i < c->list->count && len < size; i++)
		if (!c->up[i])
			len +=
			    (size_t)snprintf(line + len, size - len, "  cell %.*s: no answer",
				(int)c->list->cells[i].name_len, c->list->cells[i].name);
}

static void put_heading(struct top *t, uint64_t queues)
{
	char now[UNITS_TEXT_MAX], line[256];
	size_t len = units_print_time(now, clock_wall());
	snprintf(line, sizeof(line), "rmq-queue top  %.*s  %llu queues", (int)len, now,
	    (unsigned long long)queues);
	put_down(t, line, sizeof(line));
	screen_put_line(&t->screen, slice_str(line));
	snprintf(line, sizeof(line),
	    "%sQUEUE               READY LEASED  DELAY  RECVS SENT/S DONE/S"
	    " FAIL/S  READY WAS",
	    cells_several(t->cells) ? "CELL      " : "");
	screen_put_heading(&t->screen, slice_str(line));
}

static enum rmq_error draw(struct admin *a, struct top *t)
{
	struct seen **sorted = malloc((t->now.count + 1) * sizeof(struct seen *));
	if (!sorted)
		return admin_fail(a, RMQ_E_LIMIT, "out of memory");
	for (size_t i = 0; i < t->now.count; i++)
		sorted[i] = &t->now.all[i];
	qsort(sorted, t->now.count, sizeof(struct seen *), more_ready_first);
	screen_begin(&t->screen);
	put_heading(t, t->now.count);
	for (size_t i = 0; i < t->now.count && t->screen.used < t->screen.rows; i++)
		put_line(t, sorted[i]);
	free(sorted);
	int number = screen_show(&t->screen);
	return number ? admin_fail(a, RMQ_E_IO, "standard output: %s", strerror(number))
		      : RMQ_E_OK;
}

static enum rmq_error go_on(struct admin *a, struct top *t, const char *glob, uint64_t every_ms)
{
	enum rmq_error err = RMQ_E_OK;
	uint64_t asked = 0;
	while (!err) {
		struct list spare = t->before;
		uint64_t now = clock_mono().ms;
		t->before = t->now;
		t->now = spare;
		t->now.count = 0;
		t->at = 0;
		t->passed_ms = now - asked;
		asked = now;
		err = cells_meet(t->cells, CELLS_MS);
		if (!err)
			err = cells_rows(t->cells, glob);
		if (!err && t->failed)
			err = admin_fail(a, RMQ_E_LIMIT, "out of memory");
		if (!err)
			err = draw(a, t);
		if (!err)
			err = admin_pause(a, every_ms);
	}
	return err;
}

enum rmq_error top_run(struct cells_asked *c, const char *glob, uint64_t every_ms)
{
	struct top t = {.cells = c};
	struct admin *a = c->main;
	if (!screen_open(&t.screen))
		return admin_fail(a, RMQ_E_USAGE,
		    "top: standard output is no terminal: use rmq-queue stat --watch, or metrics");
	a->row = on_row;
	a->arg = &t;
	a->leave = screen_leave;
	a->keeps = true;
	enum rmq_error err = go_on(a, &t, glob, every_ms);
	screen_leave();
	/* What was said meanwhile would have been on the other screen. */
	fprintf(stderr, "rmq-queue: %s\n", a->why);
	free(t.now.all);
	free(t.before.all);
	text_deinit(&t.line);
	screen_deinit(&t.screen);
	return err;
}
