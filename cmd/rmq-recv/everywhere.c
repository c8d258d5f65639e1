#include "everywhere.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sys/process/clock.h"
#include "sys/process/signals.h"

#define MOST_MS 30000 /* for a cell to answer, also if the receiver itself has no end */
#define BYE_MS	1000

/* A question to one cell. */
struct question {
	struct client_io io;
	struct slice cell;
	bool over;
	enum rmq_error code;
	char why[512];
};

static void answer(struct question *q, enum rmq_error code, struct slice text)
{
	if (q->over)
		return;
	q->over = true;
	q->code = code;
	snprintf(q->why, sizeof(q->why), "%.*s", (int)text.len, (const char *)text.data);
}

static void on_done(void *arg, const struct client_command *cmd, struct slice stale)
{
	(void)cmd, (void)stale;
	answer(arg, RMQ_E_OK, slice_str(""));
}

static enum client_verdict on_failed(void *arg, const struct client_command *cmd,
    enum rmq_error code, uint32_t at, struct slice text)
{
	(void)cmd, (void)at;
	answer(arg, code, text);
	return CLIENT_DROP;
}

static void on_bindings_end(void *arg, uint32_t req, enum rmq_error code)
{
	(void)req;
	/* One that is not there yet will be made where it was looked for. */
	answer(arg, code == RMQ_E_NO_QUEUE ? RMQ_E_OK : code, slice_str(error_text(code)));
}

static void on_fatal(void *arg, enum rmq_error code, struct slice text)
{
	struct question *q = arg;
	char why[CLIENT_IO_WHY_MAX];
	answer(q, code, client_io_why(&q->io, code, text, why));
}

/* cell NULL: it goes to where what it asks for lives. */
static enum rmq_error open_question(struct question *q, const struct client_options *o,
    const struct client_io_cell *cell, struct reason *why)
{
	struct client_config config = {
	    .window = 1, .timeout_ms = o->timeout_ms, .pinned = cell != NULL};
	struct client_host host = {.arg = q,
	    .done = on_done,
	    .failed = on_failed,
	    .bindings_end = on_bindings_end,
	    .fatal = on_fatal};
	if (config.timeout_ms > MOST_MS)
		config.timeout_ms = MOST_MS;
	return client_io_open_cell(&q->io, o, cell, &config, &host, why);
}

/* Until all are answered; false: by a signal. */
static bool run(struct question *all, uint32_t count)
{
	struct pollfd p[1 + CELLS_MAX];
	for (;;) {
		bool over = true;
		int timeout_ms = -1, one_ms;
		for (uint32_t i = 0; i < count; i++) {
			p[1 + i] = (struct pollfd){-1, 0, 0};
			if (all[i].over)
				continue;
			p[1 + i] = client_io_prepare(&all[i].io, &one_ms);
			if (one_ms >= 0)
				timeout_ms = client_io_sooner(timeout_ms, (uint64_t)one_ms);
			over = false;
		}
		p[0] = (struct pollfd){signals_fd(), POLLIN, 0};
		if (over || signals_caught())
			return over;
		if (poll(p, 1 + count, timeout_ms) < 0)
			continue;
		for (uint32_t i = 0; i < count; i++)
			if (!all[i].over)
				client_io_turn(&all[i].io, p[1 + i].revents);
	}
}

static void end(struct question *all, uint32_t count)
{
	struct client_io *ios[CELLS_MAX];
	for (uint32_t i = 0; i < count; i++)
		ios[i] = &all[i].io;
	(void)client_io_bye_all(ios, count, signals_fd(), BYE_MS);
	for (uint32_t i = 0; i < count; i++)
		client_io_close(&all[i].io);
}

/* The cell where the queue lives, or would. */
static enum rmq_error find(const struct recv_options *o, const struct spread *cells,
    uint32_t *home, struct reason *why)
{
	struct question q = {.over = false};
	enum rmq_error err = open_question(&q, &o->common, NULL, why);
	if (err)
		return err;
	(void)client_bindings(q.io.client, clock_mono(), slice_str(o->queue));
	if (!run(&q, 1))
		err = RMQ_E_INTERRUPTED;
	else if (q.code)
		err = reason_set(why, q.code, "%s", q.why);
	*home = cells_find(&cells->cells, client_cell(q.io.client));
	end(&q, 1);
	return err;
}

static enum rmq_error bind_others(const struct recv_options *o, const struct spread *cells,
    uint32_t home, struct question *all, struct reason *why)
{
	char away[AWAY_NAME_MAX];
	enum rmq_error err = RMQ_E_OK;
	uint32_t count = 0;
	(void)cells_away_name(slice_str(o->queue), away);
	for (uint32_t i = 0; i < cells->cells.count && !err; i++) {
		struct slice name = cells_name(&cells->cells, i);
		struct client_io_cell cell = {
		    name, cells->cells.cells[i].servers, cells->local};
		if (i == home)
			continue;
		all[count].cell = name;
		err = open_question(&all[count], &o->common, &cell, why);
		if (!err)
			(void)client_bind(all[count++].io.client, clock_mono(), WIRE_TYPE_BIND,
			    slice_str(away), slice_str(o->pattern), BIND_CREATE, NULL);
	}
	if (!err && !run(all, count))
		err = RMQ_E_INTERRUPTED;
	for (uint32_t i = 0; i < count && !err; i++)
		if (all[i].code)
			err = reason_set(why, all[i].code, "not bound in cell %.*s: %s",
			    (int)all[i].cell.len, (const char *)all[i].cell.data, all[i].why);
	end(all, count);
	return err;
}

enum rmq_error everywhere_bind(
    const struct recv_options *o, const struct spread *cells, struct reason *why)
{
	uint32_t home;
	enum rmq_error err = find(o, cells, &home, why);
	if (err)
		return err;
	struct question *all = calloc(cells->cells.count, sizeof(*all));
	if (!all)
		return reason_set(why, RMQ_E_LIMIT, "out of memory");
	err = bind_others(o, cells, home, all, why);
	free(all);
	return err;
}
