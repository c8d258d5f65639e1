#include "cells.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/name.h"
#include "core/base/units.h"
#include "lost.h"
#include "sys/process/clock.h"
#include "sys/process/signals.h"

#define AGAIN_MAX 4 /* times that a queue has moved meanwhile, before that is said */

/* ---- the list ---- */

/* Its gates, which the list may name alone, need a key and a network: the socket of this machine needs neither. */
static void note_own(struct cells_asked *c)
{
	const struct admin *a = c->main;
	c->own = cells_find(c->list, slice_str(a->self));
	if (c->own == CELLS_NONE)
		return;
	text_put_str(&c->servers, "unix:");
	text_put_str(&c->servers, a->io.target);
	text_put_char(&c->servers, ',');
	text_put_slice(&c->servers, c->list->cells[c->own].servers);
}

/* A list without names is one cell's addresses: its daemon may know of others. */
static enum rmq_error learn(struct cells_asked *c)
{
	struct admin *a = c->main;
	const char *why, *own = a->common.servers;
	struct slice text = slice_str(own ? own : "");
	if (!own || !cells_named(text)) {
		enum rmq_error err = admin_cells(a);
		if (err)
			return err;
		c->local = client_io_local(&a->io);
		text = slice_of(a->cells.data, a->cells.len);
		if (text.len == 0)
			return RMQ_E_OK;
	}
	if (cells_parse(c->list, text, &why))
		return admin_fail(
		    a, own ? RMQ_E_USAGE : RMQ_E_PROTOCOL, "list of cells: %s", why);
	if (c->local)
		note_own(c);
	return RMQ_E_OK;
}

enum rmq_error cells_open(struct cells_asked *c, struct admin *main)
{
	*c = (struct cells_asked){
	    .main = main, .list = calloc(1, sizeof(*c->list)), .own = CELLS_NONE};
	enum rmq_error err =
	    c->list ? learn(c) : admin_fail(main, RMQ_E_LIMIT, "out of memory");
	if (err || c->list->count < 2)
		return err;
	c->admins = calloc(c->list->count, sizeof(*c->admins));
	c->up = calloc(c->list->count, sizeof(*c->up));
	return c->admins && c->up ? err : admin_fail(main, RMQ_E_LIMIT, "out of memory");
}

void cells_close(struct cells_asked *c)
{
	for (uint32_t i = 0; c->admins && i < c->list->count; i++) {
		if (c->admins[i].io.client)
			admin_close(&c->admins[i]);
		text_deinit(&c->admins[i].cells);
	}
	text_deinit(&c->servers);
	free(c->admins);
	free(c->up);
	free(c->list);
	if (c->main)
		text_deinit(&c->main->cells);
	*c = (struct cells_asked){0};
}

struct client_io_cell cells_at(const struct cells_asked *c, uint32_t i)
{
	struct slice servers = c->list->cells[i].servers;
	if (i == c->own)
		servers = slice_of(c->servers.data, c->servers.len);
	return (struct client_io_cell){cells_name(c->list, i), servers, c->local};
}

bool cells_known(const struct cells_asked *c, uint32_t i)
{
	enum rmq_error code = c->admins[i].code;
	return c->up[i] || (code != RMQ_E_CONFIG && code != RMQ_E_DENIED);
}

/* ---- reaching them ---- */

static void reach(struct cells_asked *c, uint32_t i)
{
	struct admin *a = &c->admins[i];
	struct client_io_cell cell = cells_at(c, i);
	if (a->io.client)
		admin_close(a);
	text_deinit(&a->cells);
	c->up[i] = false;
	if (!admin_open_cell(a, c->main, &cell))
		admin_ask_cells(a);
}

/* One turn of those that are waited for; false: none is. */
static bool turn(struct cells_asked *c, uint64_t most_ms)
{
	struct pollfd p[CELLS_MAX + 1] = {{.fd = signals_fd(), .events = POLLIN}};
	uint32_t count = c->list->count, waiting = 0;
	int timeout_ms = client_io_sooner(-1, most_ms);
	for (uint32_t i = 0; i < count; i++) {
		int due_ms = -1;
		p[i + 1] = (struct pollfd){.fd = -1};
		if (!c->admins[i].waiting)
			continue;
		p[i + 1] = client_io_prepare(&c->admins[i].io, &due_ms);
		/* Preparing may find that it has no hope. */
		waiting += c->admins[i].waiting;
		if (due_ms >= 0)
			timeout_ms = client_io_sooner(timeout_ms, (uint64_t)due_ms);
	}
	if (waiting == 0)
		return false;
	if (poll(p, count + 1, timeout_ms) > 0)
		for (uint32_t i = 0; i < count; i++)
			if (c->admins[i].waiting)
				client_io_turn(&c->admins[i].io, p[i + 1].revents);
	if (signals_caught())
		admin_die(c->main);
	return true;
}

enum rmq_error cells_meet(struct cells_asked *c, uint64_t most_ms)
{
	uint64_t end = clock_mono().ms + most_ms, now;
	bool all = most_ms == CLIENT_FOREVER;
	for (uint32_t i = 0; c->admins && i < c->list->count; i++)
		if (!c->admins[i].io.client || c->admins[i].code)
			reach(c, i);
		else if (!c->admins[i].waiting)
			admin_ask_cells(&c->admins[i]);
	while (c->admins && (all || (now = clock_mono().ms) < end) &&
	       turn(c, all ? CLIENT_FOREVER : end - now))
		;
	for (uint32_t i = 0; c->admins && i < c->list->count; i++)
		c->up[i] = !c->admins[i].waiting && !c->admins[i].code;
	return c->main->code;
}

enum rmq_error cells_tell(struct cells_asked *c)
{
	struct admin *a = c->main;
	for (uint32_t i = 0; c->admins && i < c->list->count; i++) {
		struct slice name = cells_name(c->list, i);
		if (c->up[i])
			continue;
		a->code = RMQ_E_OK;
		a->about = NULL;
		(void)admin_fail(a, RMQ_E_TIMEOUT, "cell %.*s: %s", (int)name.len,
		    (const char *)name.data,
		    c->admins[i].code ? c->admins[i].why : "does not answer");
	}
	return a->code;
}

static void say_untaken(const struct admin *a, struct slice cell)
{
	if (a->untaken_ms < UNTAKEN_MS || a->common.quiet)
		return;
	fprintf(stderr,
	    "rmq-queue: %s%.*s%s%llu message%s for queues of other cells wait%s here, as in %s, and nobody takes %s there: "
	    "rmq-queue forward (rmq-forward.service) has to run in each cell\n",
	    cell.len > 0 ? "cell " : "", (int)cell.len, (const char *)cell.data,
	    cell.len > 0 ? ": " : "", (unsigned long long)a->untaken,
	    a->untaken == 1 ? "" : "s", a->untaken == 1 ? "s" : "", a->untaken_in,
	    a->untaken == 1 ? "it" : "them");
}

void cells_say_untaken(const struct cells_asked *c)
{
	for (uint32_t i = 0; c->admins && i < c->list->count; i++)
		say_untaken(&c->admins[i], cells_name(c->list, i));
	if (!c->admins)
		say_untaken(c->main, slice_str(""));
}

/* ---- asking them all ---- */

/* Why one of them fails is told in the end; what it has told before that stands. */
static enum rmq_error each(struct cells_asked *c, const char *what,
    enum rmq_error (*ask)(struct admin *a, const char *what))
{
	struct admin *a = c->main;
	enum rmq_error err = RMQ_E_OK;
	if (!c->admins)
		return ask(a, what);
	for (uint32_t i = 0; !err && i < c->list->count; i++) {
		struct admin *of = &c->admins[i];
		if (!c->up[i])
			continue;
		a->cell = cells_name(c->list, i);
		of->row = a->row;
		of->bound = a->bound;
		of->row_of_place = a->row_of_place;
		of->arg = a->arg;
		c->up[i] = !ask(of, what);
		a->rows += of->rows;
		of->rows = 0;
		err = a->code;
	}
	a->cell = slice_of(NULL, 0);
	return err;
}

enum rmq_error cells_rows(struct cells_asked *c, const char *glob)
{
	return each(c, glob, admin_list);
}

enum rmq_error cells_bindings(struct cells_asked *c, const char *queue)
{
	return each(c, queue, admin_bindings);
}

/* ---- bindings ---- */

/* What is bound in a cell in which the queue does not live. */
static enum rmq_error bind_away(struct cells_asked *c, uint32_t i, enum wire_type type,
    const char *queue, const char *pattern)
{
	char away[AWAY_NAME_MAX];
	struct admin *a = &c->admins[i];
	struct slice name = cells_name(c->list, i);
	(void)cells_away_name(slice_str(queue), away);
	enum rmq_error err =
	    admin_bind(a, type, away, pattern, type == WIRE_TYPE_BIND ? BIND_CREATE : 0);
	a->code = RMQ_E_OK;
	if (!err ||
	    (type == WIRE_TYPE_UNBIND && (err == RMQ_E_NO_BINDING || err == RMQ_E_NO_QUEUE)))
		return RMQ_E_OK;
	return admin_fail(
	    c->main, err, "cell %.*s: %s", (int)name.len, (const char *)name.data, a->why);
}

static void on_away_bound(void *arg, struct slice queue, struct slice pattern)
{
	struct text *patterns = arg;
	(void)queue;
	text_put_slice(patterns, pattern);
	text_put_char(patterns, '\0');
}

/* All that is bound for it there. */
static enum rmq_error unbind_away(struct cells_asked *c, uint32_t i, const char *queue)
{
	char away[AWAY_NAME_MAX];
	struct admin *a = &c->admins[i];
	struct text patterns = {0};
	enum rmq_error err = RMQ_E_OK;
	(void)cells_away_name(slice_str(queue), away);
	a->bound = on_away_bound;
	a->arg = &patterns;
	if (admin_bindings(a, away) == RMQ_E_NO_QUEUE)
		a->code = RMQ_E_OK;
	c->up[i] = !a->code;
	for (size_t at = 0; !err && c->up[i] && at < patterns.len;
	     at += strlen(patterns.data + at) + 1)
		err = bind_away(c, i, WIRE_TYPE_UNBIND, queue, patterns.data + at);
	text_deinit(&patterns);
	return err;
}

enum rmq_error cells_unbind_away(struct cells_asked *c, const char *queue)
{
	enum rmq_error err = RMQ_E_OK;
	for (uint32_t i = 0; c->admins && i < c->list->count; i++) {
		enum rmq_error one = c->up[i] ? unbind_away(c, i, queue) : RMQ_E_OK;
		err = err ? err : one;
	}
	return err ? err : cells_tell(c);
}

/* In all cells but that one. */
static enum rmq_error bind_others(struct cells_asked *c, struct slice own, enum wire_type type,
    const char *queue, const char *pattern)
{
	enum rmq_error err = RMQ_E_OK;
	for (uint32_t i = 0; i < c->list->count; i++) {
		if (slice_eq(cells_name(c->list, i), own) || !c->up[i])
			continue;
		enum rmq_error one = bind_away(c, i, type, queue, pattern);
		err = err ? err : one;
	}
	return err ? err : cells_tell(c);
}

/* Where the queue lives.  The name is kept in `cell`. */
static enum rmq_error find(
    struct cells_asked *c, const char *queue, char cell[RAFT_NAME_MAX], struct slice *own)
{
	bool exists;
	enum rmq_error err = admin_find(c->main, queue, &exists);
	struct slice name = client_cell(c->main->io.client);
	if (!err && !exists)
		err = admin_no_queue(c->main, queue);
	if (err)
		return err;
	memcpy(cell, name.data, name.len);
	*own = slice_of(cell, name.len);
	return err;
}

/*
 * A message to a topic comes to one cell, whichever it is.  So the others are bound first, and unbound last: as long as
 * the queue itself is bound, all are.
 */
static enum rmq_error bind_all(struct cells_asked *c, enum wire_type type, const char *queue,
    const char *pattern, bool *moved)
{
	char name[RAFT_NAME_MAX];
	struct slice own;
	struct admin *a = c->main;
	*moved = false;
	enum rmq_error err = find(c, queue, name, &own);
	if (!err && type == WIRE_TYPE_BIND)
		err = bind_others(c, own, type, queue, pattern);
	if (err)
		return err;
	err = admin_bind(a, type, queue, pattern, 0);
	if (err && !(type == WIRE_TYPE_UNBIND && err == RMQ_E_NO_BINDING))
		return err;
	*moved = !slice_eq(client_cell(a->io.client), own);
	if (*moved || type == WIRE_TYPE_BIND)
		return err;
	enum rmq_error others = bind_others(c, own, type, queue, pattern);
	return err ? err : others;
}

enum rmq_error cells_bind(
    struct cells_asked *c, enum wire_type type, const char *queue, const char *pattern)
{
	struct admin *a = c->main;
	bool moved = true;
	enum rmq_error err = RMQ_E_OK;
	if (!c->admins)
		return admin_bind(a, type, queue, pattern, 0);
	for (unsigned i = 0; moved && i < AGAIN_MAX; i++) {
		err = bind_all(c, type, queue, pattern, &moved);
		if (moved)
			a->code = RMQ_E_OK;
	}
	return moved ? admin_fail(a, RMQ_E_BUSY, "moves from cell to cell; try again") : err;
}

/* ---- rmq-queue cells ---- */

struct cell_row {
	struct slice name;
	struct slice servers;
	bool up;
	bool known; /* whether it is up */
	bool hashes;
	uint64_t queues;
	uint64_t untaken; /* messages for other cells that nobody takes */
};

static const char *cell_column(unsigned column)
{
	static const char *const names[] = {
	    "cell", "state", "queues", "servers", "home", "untaken"};
	return names[column];
}

static enum table_kind put_cell(struct text *out, unsigned column, const void *row)
{
	const struct cell_row *r = row;
	switch (column) {
	case 0:
		text_put_slice(out, r->name);
		break;
	case 1:
		text_put_str(out, r->up ? "up" : r->known ? "down" : "unknown");
		break;
	case 2:
		if (!r->up)
			return TABLE_NONE;
		text_put_u64(out, r->queues);
		return TABLE_NUMBER;
	case 3:
		text_put_slice(out, r->servers);
		break;
	case 4:
		text_put_str(out, r->hashes ? "yes" : "no");
		return TABLE_YES;
	default:
		if (!r->up)
			return TABLE_NONE;
		text_put_u64(out, r->untaken);
		return TABLE_NUMBER;
	}
	return TABLE_TEXT;
}

const struct table_columns columns_of_cells = {6, cell_column, put_cell};

/* Only counted. */
static void on_counted(void *arg, const struct wire_listed *row)
{
	(void)row;
	(*(uint64_t *)arg)++;
}

static enum rmq_error list_cells(struct cells_asked *c, struct table *table, struct text *out)
{
	struct admin *a = c->main;
	for (uint32_t i = 0; i < c->list->count; i++) {
		struct cell_row row = {.name = cells_name(c->list, i),
		    .servers = c->list->cells[i].servers,
		    .hashes = c->list->cells[i].hashes};
		struct admin *of = c->admins ? &c->admins[i] : a;
		of->row = on_counted;
		of->arg = &row.queues;
		row.up = !c->admins || c->up[i];
		if (row.up)
			row.up = !admin_list(of, "*");
		row.untaken = of->untaken;
		if (c->admins)
			c->up[i] = row.up;
		row.known = !c->admins || cells_known(c, i);
		table_row(table, out, &row);
	}
	cells_say_untaken(c);
	return a->code;
}

/* What a cell says of a queue: `of`: its home, or where it has gone. */
struct place_row {
	struct slice queue, cell, of;
};

static const char *place_column(unsigned column)
{
	static const char *const names[] = {"queue", "cell", "home"};
	return names[column];
}

static enum table_kind put_place(struct text *out, unsigned column, const void *row)
{
	const struct place_row *r = row;
	text_put_slice(out, column == 0 ? r->queue : column == 1 ? r->cell : r->of);
	return TABLE_TEXT;
}

const struct table_columns columns_of_places = {3, place_column, put_place};

static const char *way_column(unsigned column)
{
	static const char *const names[] = {"queue", "cell", "to"};
	return names[column];
}

const struct table_columns columns_of_ways = {3, way_column, put_place};

/* ---- copies ---- */

struct copy_of_row {
	struct slice queue, cell;
	struct copy_row copy;
};

static const char *copy_column(unsigned column)
{
	static const char *const names[] = {"queue", "cell", "messages", "bytes", "since"};
	return names[column];
}

static enum table_kind put_copy(struct text *out, unsigned column, const void *row)
{
	const struct copy_of_row *r = row;
	char time[UNITS_TEXT_MAX];
	switch (column) {
	case 0:
	case 1:
		text_put_slice(out, column == 0 ? r->queue : r->cell);
		return TABLE_TEXT;
	case 2:
	case 3:
		text_put_u64(out, column == 2 ? r->copy.messages : r->copy.bytes);
		return TABLE_NUMBER;
	default:
		if (r->copy.since_ms == 0)
			return TABLE_NONE;
		units_print_time(time, (struct wall_time){r->copy.since_ms});
		text_put_str(out, time);
		return TABLE_TEXT;
	}
}

const struct table_columns columns_of_copies = {5, copy_column, put_copy};

/* ---- what cells say of queues ---- */

struct placing {
	struct cells_asked *cells;
	struct table *table;
	struct text *out;
};

/* The cell that holds it says so; that another one gave it away is the same once more. */
static void on_place(void *arg, const struct wire_place_is *p)
{
	struct placing *to = arg;
	const struct cells *list = to->cells->list;
	uint32_t home = cells_home(list, p->name);
	struct place_row row = {p->name, to->cells->main->cell,
	    home == CELLS_NONE ? slice_of("", 0) : cells_name(list, home)};
	if (p->state == PLACE_HERE && !slice_eq(row.cell, row.of))
		table_row(to->table, to->out, &row);
}

static void on_way(void *arg, const struct wire_place_is *p)
{
	struct placing *to = arg;
	struct place_row row = {p->name, to->cells->main->cell, p->cell};
	if (p->state == PLACE_AWAY)
		table_row(to->table, to->out, &row);
}

static void on_copies(void *arg, const struct wire_place_is *p)
{
	struct placing *to = arg;
	struct slice rows;
	if (!tags_find(p->tags, PLACE_IS_TAG_COPIES, &rows))
		return;
	struct reader in = reader_of(rows);
	struct copy_of_row row = {.queue = p->name, .cell = to->cells->main->cell};
	while (reader_left(&in) >= COPY_ROW_SIZE) {
		copy_row_get(&in, &row.copy);
		table_row(to->table, to->out, &row);
	}
}

static enum rmq_error ask_places(struct admin *a, const char *what)
{
	(void)what;
	return admin_places(a);
}

enum rmq_error cells_places(struct cells_asked *c)
{
	return each(c, NULL, ask_places);
}

enum rmq_error cells_list(
    struct cells_asked *c, enum cells_listed what, struct table *table, struct text *out)
{
	struct placing to = {c, table, out};
	enum rmq_error err = RMQ_E_OK;
	if (what != LISTED_CELLS) {
		c->main->row_of_place = what == LISTED_MOVED  ? on_place
					: what == LISTED_WAYS ? on_way
							      : on_copies;
		c->main->arg = &to;
		err = cells_places(c);
	} else {
		err = list_cells(c, table, out);
	}
	table_end(table, out);
	return err;
}

/* ---- homes ---- */

struct homes {
	struct cells_asked *asked;
	const struct cells *by;
	/* Names seen that the newest one may begin with: its queue, of which dead letters are not told. */
	struct text stack; /* each with a NUL */
};

/* Whether the queue of these dead letters was seen: its name stands before theirs. */
static bool seen(struct homes *h, struct slice name)
{
	struct slice base = cells_base(name);
	bool found = false;
	size_t keep = 0;
	for (size_t at = 0; at < h->stack.len; at += strlen(h->stack.data + at) + 1) {
		struct slice one = slice_str(h->stack.data + at);
		if (one.len > name.len || memcmp(one.data, name.data, one.len) != 0)
			break;
		found |= name.len > base.len && slice_eq(one, base);
		keep = at + one.len + 1;
	}
	h->stack.len = keep;
	text_put_slice(&h->stack, name);
	text_put_char(&h->stack, '\0');
	return found;
}

/* What is for queues of other cells belongs to the cell. */
static bool stays(struct slice name)
{
	struct slice queue = name;
	if (name_is_dead(queue))
		queue.len -= strlen(NAME_DEAD_SUFFIX);
	return cells_is_away(queue) || name_is_ephemeral(name);
}

static void on_homeless(void *arg, const struct wire_listed *row)
{
	struct homes *h = arg;
	struct slice base = cells_base(row->queue), cell = h->asked->main->cell;
	uint32_t home = cells_home(h->by, base);
	if (stays(row->queue) || seen(h, row->queue) || home == CELLS_NONE)
		return;
	struct slice at = cells_name(h->by, home);
	if (!slice_eq(at, cell))
		printf("%.*s\t%.*s\n", (int)base.len, (const char *)base.data, (int)at.len,
		    (const char *)at.data);
}

enum rmq_error cells_homes(struct cells_asked *c, const char *list)
{
	struct admin *a = c->main;
	struct homes h = {.asked = c, .by = c->list};
	struct cells *by = NULL;
	const char *why;
	if (list) {
		h.by = by = calloc(1, sizeof(*by));
		if (!by)
			return admin_fail(a, RMQ_E_LIMIT, "out of memory");
		if (cells_parse(by, slice_str(list), &why)) {
			free(by);
			return admin_fail(
			    a, RMQ_E_USAGE, "'%s' is not a list of cells: %s", list, why);
		}
	}
	a->row = on_homeless;
	a->arg = &h;
	/* The only one has a name, too, if the daemon says so. */
	a->cell = slice_str(a->self);
	enum rmq_error err = cells_rows(c, "*");
	if (!err)
		err = lost_homes(c, h.by);
	text_deinit(&h.stack);
	free(by);
	return err;
}
