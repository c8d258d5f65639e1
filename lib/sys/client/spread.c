#include "sys/client/spread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sys/client/client_io.h"
#include "sys/process/clock.h"
#include "sys/process/signals.h"

#define ALONE  "1=-" /* the list of one that was never named; its addresses are not looked at */
#define BYE_MS 1000

static enum rmq_error parse(struct spread *s, const char *list, struct reason *why)
{
	const char *text = "";
	enum rmq_error err = cells_parse(&s->cells, slice_str(list), &text);
	return err ? reason_set(why, err, "the list of cells: %s", text) : RMQ_E_OK;
}

/* ---- asking a daemon ---- */

struct question {
	struct spread *s;
	struct client_io io;
	bool answered;
	enum rmq_error code;
	struct reason *why;
};

static void on_cells_are(void *arg, uint32_t req, struct slice self, struct slice list)
{
	struct question *q = arg;
	(void)req, (void)self;
	q->answered = true;
	q->s->local = client_io_local(&q->io);
	q->s->list = list.len > 0 ? strndup((const char *)list.data, list.len) : strdup(ALONE);
	if (!q->s->list)
		q->code = reason_set(q->why, RMQ_E_LIMIT, "out of memory");
}

static void on_fatal(void *arg, enum rmq_error code, struct slice text)
{
	struct question *q = arg;
	char why[CLIENT_IO_WHY_MAX];
	if (q->answered)
		return;
	text = client_io_why(&q->io, code, text, why);
	q->answered = true;
	q->code = reason_set(q->why, code, "%.*s", (int)text.len, (const char *)text.data);
}

static enum rmq_error ask(struct spread *s, const struct client_options *o, struct reason *why)
{
	struct question q = {.s = s, .why = why};
	struct client_config config = {.window = 1, .timeout_ms = o->timeout_ms};
	struct client_host host = {.arg = &q, .cells_are = on_cells_are, .fatal = on_fatal};
	enum rmq_error err = client_io_open(&q.io, o, &config, &host, why);
	if (err)
		return err;
	(void)client_cells(q.io.client, clock_mono());
	while (!q.answered && !signals_caught())
		client_io_wait(&q.io, signals_fd(), CLIENT_FOREVER);
	if (!q.answered)
		q.code = RMQ_E_INTERRUPTED;
	if (!q.code)
		(void)client_io_bye(&q.io, signals_fd(), BYE_MS);
	client_io_close(&q.io);
	return q.code;
}

/* ---- the cells ---- */

enum rmq_error spread_find(struct spread *s, const struct client_options *o, struct reason *why)
{
	*s = (struct spread){.list = NULL};
	if (o->servers && cells_named(slice_str(o->servers)))
		return parse(s, o->servers, why);
	enum rmq_error err = ask(s, o, why);
	return err ? err : parse(s, s->list, why);
}

void spread_deinit(struct spread *s)
{
	free(s->list);
	s->list = NULL;
}

enum rmq_error spread_part(const struct spread *s, uint32_t cell, const char *queue,
    char out[NAME_MAX_LEN + 1], struct reason *why)
{
	struct slice name = cells_name(&s->cells, cell);
	int len = snprintf(
	    out, NAME_MAX_LEN + 1, "%s.at.%.*s", queue, (int)name.len, (const char *)name.data);
	if (len <= NAME_MAX_LEN)
		return RMQ_E_OK;
	return reason_set(why, RMQ_E_USAGE,
	    "%s: its part in cell %.*s would have a name of %d bytes, and %d is the most: "
	    "choose a shorter one",
	    queue, (int)name.len, (const char *)name.data, len, NAME_MAX_LEN);
}

uint32_t spread_of(const struct spread *s, struct slice key)
{
	return cells_home(&s->cells, key);
}
