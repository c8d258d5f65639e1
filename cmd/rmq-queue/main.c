/* rmq-queue: administration of queues.  See rmq-queue(1). */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "admin.h"
#include "cancel.h"
#include "cells.h"
#include "check.h"
#include "core/client/queue_columns.h"
#include "count.h"
#include "drop_copy.h"
#include "forwarder.h"
#include "core/base/name.h"
#include "core/base/topic.h"
#include "core/base/units.h"
#include "lost.h"
#include "metrics.h"
#include "move_cell.h"
#include "place_cell.h"
#include "top.h"
#include "transfer.h"
#include "why.h"
#include "sys/process/subcommands.h"
#include "sys/process/signals.h"
#include "sys/process/startup.h"
#include "sys/stream/http.h"

enum {
	OPT_LEASE = 256,
	OPT_MAX_ATTEMPTS,
	OPT_BACKOFF,
	OPT_MAX_BYTES,
	OPT_MAX_MESSAGE,
	OPT_DEAD_LETTER,
	OPT_EXPIRE,
	OPT_DEDUP,
	OPT_MAX_INFLIGHT,
	OPT_RATE,
	OPT_DISPATCH,
	OPT_IN,
	OPT_OUT,
	OPT_FORCE,
	OPT_STATE,
	OPT_FROM,
	OPT_WATCH,
	OPT_MAX_READY,
	OPT_MAX_AGE,
	OPT_MAX_DEAD,
	OPT_FORMAT,
	OPT_HTTP,
	OPT_BY,
	OPT_MATCH,
	OPT_REDRIVE_RATE,
	OPT_DRY_RUN,
	OPT_MAX_REDRIVES,
	OPT_MOVED,
	OPT_WAYS,
	OPT_COPIES,
	OPT_HOMES,
	OPT_ONCE,
	OPT_CELL,
	OPT_LOST,
	OPT_LOST_CELL
};

#define REQUEST_MS	 10000 /* for the whole of a request, and for the whole of its answer */
#define TIMEOUT_UNSET	 (UNITS_INFINITY - 1)
#define TIMEOUT_MS	 30000
#define TIMEOUT_CHECK_MS 10000 /* for those who ask for a monitor wait no longer */
#define TIMEOUT_HTTP_MS	 5000  /* … and Prometheus waits 10 s for all of it */

/* What the options of a sub-command said. */
struct request {
	struct client_settings settings;
	bool force;
	uint8_t states;
	uint64_t from;
	uint64_t limit;
	bool counted; /* -n was given */
	struct check check;
	struct count_by by;
	struct redrive redrive;
	bool http;  /* metrics */
	bool moved; /* cells */
	bool ways;
	bool copies;
	bool are_lost;
	bool homes;
	bool once;		/* forward */
	const char *cell;	/* … in this one */
	struct lost_cells lost; /* place-cell */
	struct http_request request;
	uint64_t watch_ms; /* stat: again after so long; 0: once */
	char separator;
	struct envelope_fields fields;
	struct table table;
	struct cells_asked cells;
	char **words;
	int words_count;
};

#define DROPPED_COLUMNS					    ",expired,replaced,cancelled,moved"
#define BINDING_COLUMNS					    "queue,pattern"
#define CELL_COLUMN					    ",cell"
#define COUNT_COLUMNS					    "value,messages"
#define LS_COLUMNS					    "queue,ready,leased,delayed,bytes,receivers"
#define STAT_COLUMNS					    "queue,sent,delivered,settled,failed,dead,lost" DROPPED_COLUMNS
#define SETTING_COLUMN(NAME, word, member)		    "," word
#define MORE_COLUMN(NAME, tag, bit, standard, word, member) "," word
#define SHOW_COLUMNS \
	"queue,ready,leased,delayed,bytes,receivers,sent,delivered,settled,failed,dead," \
	"next-seq" SETTING_WORDS(SETTING_COLUMN) ",lost,unfinished" MORE_SETTINGS(MORE_COLUMN) \
	    DROPPED_COLUMNS ",ids,ids-early"

/* ---- options ---- */

/* Of what prints a table of these fields. */
#define OUTPUT_ROWS(fields) \
	{'o', "output", "FIELD,...", fields, NULL, "print these fields, separated by tabs"}, \
	{ \
		'j', "json", NULL, NULL, NULL, "print JSON objects, a line each" \
	}

static const struct option_row no_rows[] = {{0}};
static const struct option_row queue_rows[] = {OUTPUT_ROWS(SHOW_COLUMNS CELL_COLUMN), {0}};
static const struct option_row why_rows[] = {OUTPUT_ROWS(WHY_COLUMNS), {0}};
static const struct option_row binding_rows[] = {OUTPUT_ROWS(BINDING_COLUMNS CELL_COLUMN), {0}};
static const struct option_row cell_rows[] = {
    {OPT_MOVED, "moved", NULL, NULL, NULL, "list queues that do not live at home"},
    {OPT_WAYS, "ways", NULL, NULL, NULL,
	"list which cell leads to which for queues that moved"},
    {OPT_COPIES, "copies", NULL, NULL, NULL, "list copies of queues that have not come whole"},
    {OPT_LOST, "lost", NULL, NULL, NULL,
	"list queues that are not found as cells were wiped or restored, for place-cell"},
    {OPT_HOMES, "homes", NULL, NULL, NULL,
	"list queues that would live elsewhere by LIST, and where"},
    OUTPUT_ROWS(CELLS_COLUMNS ",home,untaken"), {0}};
static const struct option_row stat_rows[] = {
    {OPT_WATCH, "watch", "DUR", NULL, NULL, "again every DUR"},
    OUTPUT_ROWS(SHOW_COLUMNS CELL_COLUMN), {0}};
static const struct option_row top_rows[] = {
    {OPT_WATCH, "watch", "DUR", NULL, "1s", "drawn anew every DUR"}, {0}};
static const struct option_row setting_rows[] = {
    {OPT_LEASE, "lease", "DUR", NULL, "30s", "length of a lease, 100ms to 7d"},
    {OPT_MAX_ATTEMPTS, "max-attempts", "N", NULL, "16",
	"failures until a message becomes a dead letter"},
    {OPT_BACKOFF, "backoff", "MIN,MAX", NULL, "1s,10m",
	"delay after the first failure, doubled with each, and the longest"},
    {OPT_MAX_BYTES, "max-bytes", "SIZE|none", NULL, "none", "largest size of all messages"},
    {OPT_MAX_MESSAGE, "max-message", "SIZE", NULL, "1M", "largest size of one message"},
    {OPT_DEAD_LETTER, "dead-letter", "QUEUE|none", NULL, "QUEUE.dead", "where dead letters go"},
    {OPT_EXPIRE, "expire", "DUR|none", NULL, "none", "when messages expire, once sent"},
    {OPT_DEDUP, "dedup", "DUR|none", NULL, "10m", "how long ids of messages are remembered"},
    {OPT_MAX_INFLIGHT, "max-inflight", "N|none", NULL, "none",
	"messages leased at a time, by all receivers together"},
    {OPT_RATE, "rate", "N/s|m|h|none", "none", "none", "messages handed out in that time"},
    {OPT_DISPATCH, "dispatch", "fair|round-robin|key", NULL, "fair",
	"a share for each receiver, one message in turn, or whole keys"},
    {0}};
static const struct option_row pause_rows[] = {{OPT_IN, "in", NULL, NULL, NULL, "sending in"},
    {OPT_OUT, "out", NULL, NULL, NULL, "handing out"}, {0}};
static const struct option_row remove_rows[] = {
    {OPT_FORCE, "force", NULL, NULL, NULL, "with its messages"}, {0}};
static const struct option_row check_rows[] = {
    {OPT_MAX_READY, "max-ready", "[N,]N", NULL, NULL,
	"messages ready: more are critical; of two numbers, a warning and critical"},
    {OPT_MAX_AGE, "max-age", "[DUR,]DUR", NULL, NULL, "age of the oldest ready message"},
    {OPT_MAX_DEAD, "max-dead", "[N,]N", NULL, NULL, "dead letters"},
    {OPT_FORMAT, "format", "nagios|json|text", NULL, "nagios", "how to answer"}, {0}};
static const struct option_row count_rows[] = {
    {OPT_BY, "by", "reason|key|header:NAME", NULL, NULL, "the value to count by"},
    OUTPUT_ROWS(COUNT_COLUMNS), {0}};
static const struct option_row redrive_rows[] = {
    {OPT_MATCH, "match", "NAME=VALUE", NULL, NULL, "only those with this header"},
    {'n', "count", "N", NULL, NULL, "N of them, the oldest"},
    {OPT_REDRIVE_RATE, "rate", "N/s|m|h", "RATE", NULL, "no faster than this"},
    {OPT_DRY_RUN, "dry-run", NULL, NULL, NULL, "print ids, and move nothing"},
    {OPT_MAX_REDRIVES, "max-redrives", "N", NULL, "3", "one that went back so often stays"},
    {0}};
static const struct option_row forward_rows[] = {
    {OPT_ONCE, "once", NULL, NULL, NULL, "end when nothing is ready any more"},
    {OPT_CELL, "cell", "NAME", NULL, NULL, "which of the list of cells this one is"}, {0}};
static const struct option_row place_rows[] = {
    {OPT_LOST_CELL, "lost", "CELL", NULL, NULL,
	"do not ask this cell, as it will never serve the queue again; repeatable"},
    {0}};
static const struct option_row metrics_rows[] = {
    {OPT_HTTP, "http", NULL, NULL, NULL, "answer the HTTP request on stdin"}, {0}};
static const struct option_row peek_rows[] = {
    {'n', "count", "N", NULL, "10", "how many messages"},
    {OPT_STATE, "state", "STATE,...", "ready,leased,delayed", "all", "only in these states"},
    {OPT_FROM, "from", "SEQ", NULL, NULL, "from this number on"},
    {'0', "null", NULL, NULL, NULL, "end messages with NUL"},
    {'o', "output", "FIELD,...", ENVELOPE_FIELD_WORDS, NULL,
	"print fields, tab-separated, body last"},
    {'j', "json", NULL, NULL, NULL, "print envelopes"}, {0}};

/* ---- sub-commands ---- */

static enum rmq_error open_table_of(
    struct admin *a, struct request *q, const struct table_columns *from, const char *columns)
{
	if (!table_init(&q->table, from, a->fields ? a->fields : columns))
		return admin_fail(
		    a, RMQ_E_USAGE, "'%s' is not a list of the fields %s", a->fields, columns);
	q->table.json = a->json;
	q->table.aligned = !a->json && !a->fields && isatty(STDOUT_FILENO);
	return RMQ_E_OK;
}

static enum rmq_error open_table(struct admin *a, struct request *q, const char *columns)
{
	if (a->fields && !table_init(&q->table, &queue_columns_in_cell, a->fields))
		return admin_fail(a, RMQ_E_USAGE,
		    "'%s' is not a list of the fields " SHOW_COLUMNS CELL_COLUMN, a->fields);
	return open_table_of(a, q, &queue_columns_in_cell, columns);
}

static void print_text(struct text *out)
{
	if (out->len > 0)
		fwrite(out->data, 1, out->len, stdout);
	text_deinit(out);
}

static void print_rest(struct request *q)
{
	struct text out = {0};
	table_end(&q->table, &out);
	print_text(&out);
}

/* Where what comes now was found; empty: there are no cells. */
static struct slice cell_of(const struct request *q)
{
	const struct admin *a = q->cells.main;
	return a->cell.len > 0 ? a->cell : client_cell(a->io.client);
}

static void on_row(void *arg, const struct wire_listed *row)
{
	struct request *q = arg;
	struct queue_in_cell r = {row, cell_of(q)};
	struct text out = {0};
	table_row(&q->table, &out, &r);
	print_text(&out);
}

/* What is in any cell; a column says in which, if there are several. */
static enum rmq_error print_table(
    struct admin *a, struct request *q, const char *columns, const char *glob)
{
	struct text all = {0};
	enum rmq_error err = cells_meet(&q->cells, CLIENT_FOREVER);
	text_put_str(&all, columns);
	text_put_str(&all, cells_several(&q->cells) ? CELL_COLUMN : "");
	text_put_char(&all, '\0');
	if (!err)
		err = open_table(a, q, all.data);
	a->row = on_row;
	a->arg = q;
	if (!err)
		err = cells_rows(&q->cells, glob);
	if (!err)
		print_rest(q);
	text_deinit(&all);
	return err ? err : cells_tell(&q->cells);
}

/* Of all cells, which are learned first. */
static enum rmq_error open_cells(struct admin *a, struct request *q)
{
	return cells_open(&q->cells, a);
}

static enum rmq_error run_ls(struct admin *a, struct request *q)
{
	enum rmq_error err = open_cells(a, q);
	if (!err)
		err = print_table(a, q, LS_COLUMNS, q->words_count > 0 ? q->words[0] : "*");
	cells_say_untaken(&q->cells);
	return err;
}

/* A queue lives in one cell only. */
static enum rmq_error print_one(struct admin *a, struct request *q, const char *columns)
{
	enum rmq_error err = open_table(a, q, columns);
	q->cells.main = a;
	a->row = on_row;
	a->arg = q;
	if (!err)
		err = admin_list_one(a, q->words[0]);
	if (!err)
		print_rest(q);
	return err;
}

static enum rmq_error print_stat(struct admin *a, struct request *q)
{
	bool one = q->words_count > 0 && name_valid(slice_str(q->words[0]));
	a->rows = 0;
	enum rmq_error err =
	    one ? print_one(a, q, STAT_COLUMNS)
		: print_table(a, q, STAT_COLUMNS, q->words_count > 0 ? q->words[0] : "*");
	if (!err && q->words_count > 0 && a->rows == 0)
		err = admin_no_queue(a, q->words[0]);
	return err;
}

static enum rmq_error run_stat(struct admin *a, struct request *q)
{
	bool one = q->words_count > 0 && name_valid(slice_str(q->words[0]));
	enum rmq_error err = one ? RMQ_E_OK : open_cells(a, q);
	if (!err)
		err = print_stat(a, q);
	while (!err && q->watch_ms > 0 && fflush(stdout) == 0) {
		err = admin_pause(a, q->watch_ms);
		if (!err)
			err = print_stat(a, q);
	}
	return err;
}

static void on_show(void *arg, const struct wire_listed *row)
{
	struct request *q = arg;
	struct queue_in_cell r = {row, cell_of(q)};
	struct text out = {0};
	if (q->table.json)
		table_row(&q->table, &out, &r);
	else if (q->words_count == 1)
		table_lines(&q->table, &out, &r);
	else
		for (unsigned i = 0; i < q->table.columns; i++)
			table_value(&q->table, &out, i, &r);
	print_text(&out);
}

static enum rmq_error show(struct admin *a, struct request *q)
{
	bool exists;
	const char *queue = q->words[0];
	enum rmq_error err = open_table(a, q, SHOW_COLUMNS);
	if (!err)
		err = admin_find(a, queue, &exists);
	/* Who has no cells is shown none. */
	a->cell = client_cell(a->io.client);
	if (!err && a->cell.len > 0)
		err = open_table(a, q, SHOW_COLUMNS CELL_COLUMN);
	q->cells.main = a;
	a->row = on_show;
	a->arg = q;
	if (!err)
		err = admin_list(a, queue);
	a->about = queue;
	if (!err && a->rows == 0)
		err = admin_no_queue(a, queue);
	return err;
}

static enum rmq_error run_show(struct admin *a, struct request *q)
{
	struct text columns = {0};
	for (int i = 1; i < q->words_count; i++) {
		text_put_str(&columns, q->words[i]);
		text_put_char(&columns, i + 1 < q->words_count ? ',' : 0);
	}
	if (q->words_count > 1 && a->fields) {
		text_deinit(&columns);
		return admin_fail(a, RMQ_E_USAGE, "-o and FIELD... exclude each other");
	}
	if (q->words_count > 1)
		a->fields = columns.data;
	enum rmq_error err = show(a, q);
	text_deinit(&columns);
	return err;
}

static enum rmq_error run_create(struct admin *a, struct request *q)
{
	return admin_change(a, WIRE_TYPE_QUEUE_CREATE, q->words[0], 0, &q->settings);
}

static enum rmq_error run_set(struct admin *a, struct request *q)
{
	if (q->settings.mask == 0)
		return admin_fail(a, RMQ_E_USAGE, "set: no setting is given");
	return admin_change(a, WIRE_TYPE_QUEUE_SET, q->words[0], 0, &q->settings);
}

/* Of neither --in nor --out both are meant. */
static enum rmq_error set_paused(struct admin *a, struct request *q, bool paused)
{
	if (q->settings.mask == 0)
		q->settings.mask = SETTING_PAUSED_IN | SETTING_PAUSED_OUT;
	q->settings.more.paused_in = q->settings.more.paused_out = paused;
	return admin_change(a, WIRE_TYPE_QUEUE_SET, q->words[0], 0, &q->settings);
}

static enum rmq_error run_pause(struct admin *a, struct request *q)
{
	return set_paused(a, q, true);
}

static enum rmq_error run_resume(struct admin *a, struct request *q)
{
	return set_paused(a, q, false);
}

static enum rmq_error run_rm(struct admin *a, struct request *q)
{
	enum rmq_error err = open_cells(a, q);
	if (!err)
		err = cells_meet(&q->cells, CLIENT_FOREVER);
	if (!err)
		err = admin_change(
		    a, WIRE_TYPE_QUEUE_REMOVE, q->words[0], q->force ? REMOVE_FORCE : 0, NULL);
	if (err && err != RMQ_E_NO_QUEUE)
		return err;
	/* What was bound for it elsewhere would make it again. */
	enum rmq_error others = cells_unbind_away(&q->cells, q->words[0]);
	return err ? err : others;
}

static enum rmq_error run_purge(struct admin *a, struct request *q)
{
	return admin_change(a, WIRE_TYPE_QUEUE_PURGE, q->words[0], 0, NULL);
}

/* What rmq-recv would print, but nothing is leased. */
struct peeking {
	struct admin *admin;
	struct request *request;
	struct text line;
	struct envelope_cursors cursors;
};

static void on_message(void *arg, const struct client_delivery *d)
{
	struct peeking *p = arg;
	struct request *q = p->request;
	for (uint32_t i = 0; i < d->count && q->limit > 0; i++, q->limit--) {
		struct envelope e = envelope_of(d, slice_str(q->words[0]), i, &p->cursors);
		bool shown = !p->admin->json && (!p->admin->fields || q->fields.body);
		p->line.len = 0;
		if (p->admin->json)
			envelope_put_json(&p->line, &e);
		else if (p->admin->fields)
			envelope_put_fields(&p->line, &e, &q->fields);
		else
			text_put_slice(&p->line, e.body);
		text_put_char(&p->line, q->separator);
		if (shown && e.body.len > 0 && memchr(e.body.data, q->separator, e.body.len)) {
			admin_fail(p->admin, RMQ_E_BAD_DATA,
			    "message %llu holds the separator (use -0 or -j)",
			    (unsigned long long)e.seq);
			q->limit = 0;
			return;
		}
		fwrite(p->line.data, 1, p->line.len, stdout);
	}
}

static enum rmq_error run_peek(struct admin *a, struct request *q)
{
	struct peeking p = {.admin = a, .request = q};
	enum rmq_error err = RMQ_E_OK;
	if (a->fields && a->json)
		return admin_fail(a, RMQ_E_USAGE, "-j and -o exclude each other");
	if (a->fields && !envelope_fields_parse(&q->fields, a->fields))
		return admin_fail(a, RMQ_E_USAGE,
		    "'%s' is not a list of fields, of which body is the last", a->fields);
	a->message = on_message;
	a->arg = &p;
	a->next = q->from;
	do {
		uint32_t limit = q->limit < LIST_ROWS_MAX ? (uint32_t)q->limit : LIST_ROWS_MAX;
		err = admin_peek(a, q->words[0], q->states, a->next, limit);
	} while (!err && a->more && q->limit > 0);
	text_deinit(&p.line);
	return err;
}

/* "empty", "below=N", "above=N" */
static bool parse_condition(const char *text, enum watch_for *what, uint64_t *messages)
{
	*what = strncmp(text, "above=", 6) == 0 ? WATCH_ABOVE : WATCH_BELOW;
	*messages = 1;
	if (strcmp(text, "empty") == 0)
		return true;
	/* No queue holds fewer than none. */
	return (*what == WATCH_ABOVE || strncmp(text, "below=", 6) == 0) &&
	       units_count(text + 6, *what == WATCH_BELOW, UINT64_MAX / 2, messages);
}

static enum rmq_error run_wait(struct admin *a, struct request *q)
{
	enum watch_for what;
	uint64_t messages;
	if (!parse_condition(q->words[1], &what, &messages))
		return admin_fail(a, RMQ_E_USAGE,
		    "'%s' is not a condition: empty, below=N with N from 1, or above=N",
		    q->words[1]);
	a->until = q->words[1];
	return admin_watch(a, q->words[0], what, messages);
}

static enum rmq_error run_count(struct admin *a, struct request *q)
{
	struct text out = {0};
	if (q->by.what == COUNT_NONE)
		return admin_fail(
		    a, RMQ_E_USAGE, "count: --by reason|key|header:NAME is not given");
	enum rmq_error err = open_table_of(a, q, &columns_of_count, COUNT_COLUMNS);
	if (!err)
		err = count_run(a, &q->by, q->words[0], &q->table, &out);
	print_text(&out);
	return err;
}

static enum rmq_error run_why(struct admin *a, struct request *q)
{
	struct text out = {0};
	enum rmq_error err = open_table_of(a, q, &columns_of_why, WHY_COLUMNS);
	if (!err)
		err = why_run(a, q->words[0], &q->table, &out);
	print_text(&out);
	return err;
}

static enum rmq_error run_cancel(struct admin *a, struct request *q)
{
	return cancel_run(a, q->words, q->words_count);
}

static enum rmq_error run_move(struct admin *a, struct request *q)
{
	if (!name_valid(slice_str(q->words[1])))
		return admin_fail(a, RMQ_E_USAGE, "'%s' is not a queue name", q->words[1]);
	return transfer_move(a, q->words[0], q->words[1]);
}

static enum rmq_error run_redrive(struct admin *a, struct request *q)
{
	if (q->counted)
		q->redrive.limit = q->limit;
	return transfer_redrive(a, &q->redrive, q->words[0]);
}

static enum rmq_error run_forward(struct admin *a, struct request *q)
{
	return forwarder_run(a, q->once, q->cell);
}

static enum rmq_error run_top(struct admin *a, struct request *q)
{
	enum rmq_error err = open_cells(a, q);
	return err ? err
		   : top_run(&q->cells, q->words_count > 0 ? q->words[0] : "*",
			 q->watch_ms > 0 ? q->watch_ms : 1000);
}

/* The answer is what ends the program, see main(). */
static enum rmq_error run_check(struct admin *a, struct request *q)
{
	a->status = check_run(a, &q->check, q->words[0]);
	return RMQ_E_OK;
}

static enum rmq_error send_answer(struct admin *a, struct text *answer)
{
	bool sent = http_send(STDOUT_FILENO, slice_of(answer->data, answer->len), REQUEST_MS);
	int error = errno;
	text_deinit(answer);
	a->about = NULL;
	a->keeps = false;
	return sent ? RMQ_E_OK
		    : admin_fail(a, RMQ_E_IO, "standard output: %s", strerror(error));
}

static enum rmq_error run_metrics(struct admin *a, struct request *q)
{
	struct text out = {0}, answer = {0};
	bool head = q->request.head;
	enum rmq_error err = a->code ? a->code : open_cells(a, q);
	if (!err)
		err = metrics_put(&q->cells, &out);
	if (!q->http) {
		print_text(&out);
		return err ? err : cells_tell(&q->cells);
	}
	if (err)
		http_put(&answer, 503, "text/plain", "", slice_str(a->why), head);
	else
		http_put(&answer, 200, OPENMETRICS_TYPE, "", slice_of(out.data, out.len), head);
	text_deinit(&out);
	return send_answer(a, &answer);
}

/* The request is read before the daemon is asked; false: it has its answer, if it needs one. */
static bool take_request(struct admin *a, struct request *q)
{
	struct text answer = {0};
	struct http_request *r = &q->request;
	*r = http_read(STDIN_FILENO, REQUEST_MS);
	if (r->status == 200 && r->method != HTTP_GET && r->method != HTTP_HEAD)
		r->status = 405;
	else if (r->status == 200 && !http_is(r, "/") && !http_is(r, "/metrics"))
		r->status = 404;
	if (r->status == 200)
		return true;
	if (r->status != 0)
		http_put(&answer, r->status, "text/plain",
		    r->status == 405 ? "Allow: GET, HEAD\r\n" : "", slice_of(NULL, 0), r->head);
	(void)send_answer(a, &answer);
	return false;
}

static enum rmq_error bind_or_not(struct admin *a, struct request *q, enum wire_type type)
{
	const char *fault = pattern_fault(slice_str(q->words[1]));
	if (fault)
		return admin_fail(
		    a, RMQ_E_USAGE, "'%s' is not a pattern: %s", q->words[1], fault);
	enum rmq_error err = open_cells(a, q);
	if (!err)
		err = cells_meet(&q->cells, CLIENT_FOREVER);
	return err ? err : cells_bind(&q->cells, type, q->words[0], q->words[1]);
}

static enum rmq_error run_bind(struct admin *a, struct request *q)
{
	return bind_or_not(a, q, WIRE_TYPE_BIND);
}

static enum rmq_error run_unbind(struct admin *a, struct request *q)
{
	return bind_or_not(a, q, WIRE_TYPE_UNBIND);
}

static void on_bound(void *arg, struct slice queue, struct slice pattern)
{
	struct request *q = arg;
	struct binding_row row = {queue, pattern, cell_of(q)};
	struct text out = {0};
	table_row(&q->table, &out, &row);
	print_text(&out);
}

/* Those of one queue, where it lives; or all of all cells. */
static enum rmq_error print_bindings(struct admin *a, struct request *q)
{
	bool one = q->words_count > 0;
	enum rmq_error err = RMQ_E_OK;
	a->bound = on_bound;
	a->arg = q;
	q->cells.main = a;
	if (one)
		return admin_bindings(a, q->words[0]);
	err = cells_meet(&q->cells, CLIENT_FOREVER);
	return err ? err : cells_bindings(&q->cells, NULL);
}

static enum rmq_error run_bindings(struct admin *a, struct request *q)
{
	if (q->words_count > 0 && !name_valid(slice_str(q->words[0])))
		return admin_fail(a, RMQ_E_USAGE, "'%s' is not a queue name", q->words[0]);
	enum rmq_error err = q->words_count > 0 ? RMQ_E_OK : open_cells(a, q);
	if (!err)
		err = open_table_of(a, q, &queue_columns_of_binding,
		    cells_several(&q->cells) ? BINDING_COLUMNS CELL_COLUMN : BINDING_COLUMNS);
	if (!err)
		err = print_bindings(a, q);
	if (!err)
		print_rest(q);
	return err ? err : cells_tell(&q->cells);
}

/* ---- cells ---- */

static enum rmq_error no_cells(struct admin *a)
{
	a->about = NULL;
	return admin_fail(a, RMQ_E_CONFIG, "the daemon knows of no cells");
}

static enum rmq_error open_cells_table(struct admin *a, struct request *q)
{
	if (q->homes)
		return RMQ_E_OK;
	if (q->moved)
		return open_table_of(a, q, &columns_of_places, PLACES_COLUMNS);
	if (q->ways)
		return open_table_of(a, q, &columns_of_ways, WAYS_COLUMNS);
	if (q->copies)
		return open_table_of(a, q, &columns_of_copies, COPIES_COLUMNS);
	if (q->are_lost)
		return open_table_of(a, q, &columns_of_lost, LOST_COLUMNS);
	return open_table_of(a, q, &columns_of_cells, CELLS_COLUMNS);
}

static enum rmq_error run_cells(struct admin *a, struct request *q)
{
	struct text out = {0};
	enum cells_listed what = q->moved    ? LISTED_MOVED
				 : q->ways   ? LISTED_WAYS
				 : q->copies ? LISTED_COPIES
					     : LISTED_CELLS;
	if (q->moved + q->ways + q->copies + q->are_lost + q->homes > 1)
		return admin_fail(a, RMQ_E_USAGE,
		    "--moved, --ways, --copies, --lost and --homes exclude each other");
	if (!q->homes && q->words_count > 0)
		return admin_fail(a, RMQ_E_USAGE, "LIST goes with --homes");
	if (q->homes && (a->fields || a->json))
		return admin_fail(a, RMQ_E_USAGE, "--homes has neither -o nor -j");
	enum rmq_error err = open_cells_table(a, q);
	if (!err)
		err = open_cells(a, q);
	if (!err && q->cells.list->count == 0 && q->words_count == 0)
		err = no_cells(a);
	if (!err)
		err = cells_meet(&q->cells, CLIENT_FOREVER);
	if (!err && q->homes)
		err = cells_homes(&q->cells, q->words_count > 0 ? q->words[0] : NULL);
	else if (!err && q->are_lost)
		err = lost_list(&q->cells, &q->table, &out);
	else if (!err)
		err = cells_list(&q->cells, what, &q->table, &out);
	print_text(&out);
	return err ? err : cells_tell(&q->cells);
}

static enum rmq_error run_cell(struct admin *a, struct request *q)
{
	bool exists;
	enum rmq_error err = admin_find(a, q->words[0], &exists);
	struct slice cell = client_cell(a->io.client);
	if (!err && cell.len == 0)
		err = no_cells(a);
	if (!err)
		printf("%.*s\n", (int)cell.len, (const char *)cell.data);
	return err;
}

static enum rmq_error run_move_cell(struct admin *a, struct request *q)
{
	enum rmq_error err = move_cell_check(a, q->words[0], q->words[1]);
	if (!err)
		err = open_cells(a, q);
	return err ? err : move_cell_run(&q->cells, q->words[0], q->words[1]);
}

static enum rmq_error run_drop_copy(struct admin *a, struct request *q)
{
	enum rmq_error err = move_cell_check(a, q->words[0], q->words[1]);
	if (!err)
		err = open_cells(a, q);
	return err ? err : drop_copy_run(&q->cells, q->words[0], q->words[1]);
}

static enum rmq_error run_place_cell(struct admin *a, struct request *q)
{
	enum rmq_error err = move_cell_check(a, q->words[0], q->words[1]);
	if (!err)
		err = open_cells(a, q);
	return err ? err : place_cell_run(&q->cells, q->words[0], q->words[1], &q->lost);
}

/* ---- the table ---- */

/* What a sub-command runs with. */
struct program {
	struct admin admin;
	struct request request;
};

#define RUN(name) \
	static enum rmq_error do_##name(void *arg) \
	{ \
		struct program *p = arg; \
		return run_##name(&p->admin, &p->request); \
	}
RUN(ls)
RUN(show)
RUN(create)
RUN(set)
RUN(pause)
RUN(resume)
RUN(rm)
RUN(purge)
RUN(peek)
RUN(stat)
RUN(wait)
RUN(bind)
RUN(unbind)
RUN(bindings)
RUN(check)
RUN(cancel)
RUN(why)
RUN(top)
RUN(count)
RUN(move)
RUN(redrive)
RUN(metrics)
RUN(cells)
RUN(cell)
RUN(move_cell)
RUN(drop_copy)
RUN(place_cell)
RUN(forward)
#undef RUN

#define COMMAND(name, words, help, rows, min, max) \
	{ \
		{#name, NULL, words, help, {rows, client_options, options_of_all, NULL}, \
		    NULL}, \
		    min, max, do_##name \
	}
static const struct subcommand command_list[] = {
    COMMAND(ls, "[GLOB]", "list queues", queue_rows, 0, 1),
    COMMAND(show, "QUEUE [FIELD]...", "print settings and counts; of FIELDs only the values",
	queue_rows, 1, TABLE_COLUMNS_MAX),
    COMMAND(create, "QUEUE", "make a queue", setting_rows, 1, 1),
    COMMAND(set, "QUEUE", "change settings", setting_rows, 1, 1),
    COMMAND(pause, "QUEUE", "no sending in, no handing out; both", pause_rows, 1, 1),
    COMMAND(resume, "QUEUE", "end a pause", pause_rows, 1, 1),
    COMMAND(rm, "QUEUE", "remove a queue; 1 if it holds messages", remove_rows, 1, 1),
    COMMAND(purge, "QUEUE", "delete all messages", no_rows, 1, 1),
    COMMAND(peek, "QUEUE", "print messages without leasing them", peek_rows, 1, 1),
    COMMAND(stat, "[QUEUE]", "print counters since the queue was made", stat_rows, 0, 1),
    COMMAND(wait, "QUEUE empty|below=N|above=N",
	"wait until the queue holds no, fewer or more messages, ready, leased or delayed",
	no_rows, 2, 2),
    {{"count", "--by reason|key|header:NAME [OPTION]...", "QUEUE", "count messages by a value",
	 {count_rows, client_options, options_of_all, NULL}, NULL},
	1, 1, do_count},
    COMMAND(
	move, "QUEUE QUEUE", "move the ready messages of one queue to another", no_rows, 2, 2),
    COMMAND(redrive, "QUEUE", "put dead letters back where they came from", redrive_rows, 1, 1),
    COMMAND(top, "[GLOB]", "show queues on a terminal, again and again", top_rows, 0, 1),
    COMMAND(why, "ID", "say where a message is, and what has happened to it", why_rows, 1, 1),
    COMMAND(cancel, "ID...", "delete messages, also those that somebody holds", no_rows, 1,
	INT_MAX),
    COMMAND(check, "QUEUE", "answer a monitor: 0 ok, 1 warning, 2 critical, 3 unknown",
	check_rows, 1, 1),
    COMMAND(metrics, "", "print metrics of all queues, or answer an HTTP request for them",
	metrics_rows, 0, 0),
    COMMAND(forward, "", "send what waits here for queues of other cells there", forward_rows,
	0, 0),
    COMMAND(
	bind, "QUEUE PATTERN", "send the queue what comes to topics that match", no_rows, 2, 2),
    COMMAND(unbind, "QUEUE PATTERN", "end that", no_rows, 2, 2),
    COMMAND(bindings, "[QUEUE]", "list bindings", binding_rows, 0, 1),
    COMMAND(cells, "[LIST]", "list cells", cell_rows, 0, 1),
    COMMAND(cell, "QUEUE", "print the cell in which the queue lives", no_rows, 1, 1),
    {{"move-cell", NULL, "QUEUE CELL", "move a queue and its dead letters to another cell",
	 {no_rows, client_options, options_of_all, NULL}, NULL},
	2, 2, do_move_cell},
    {{"drop-copy", NULL, "QUEUE CELL", "drop what a move that was broken off has left there",
	 {no_rows, client_options, options_of_all, NULL}, NULL},
	2, 2, do_drop_copy},
    {{"place-cell", NULL, "QUEUE CELL", "say where a queue lives whose cell has lost it",
	 {place_rows, client_options, options_of_all, NULL}, NULL},
	2, 2, do_place_cell},
};
#undef COMMAND
#define COMMANDS (sizeof(command_list) / sizeof(command_list[0]))

static const struct option_table *command_at(size_t i)
{
	return i < COMMANDS ? &command_list[i].table : NULL;
}

static const struct option_table program = {"rmq-queue", "COMMAND [OPTION]...", "[ARGUMENT]...",
    "Administration of queues.\n", {client_options, options_of_all, NULL}, command_at};

static bool take_option(void *arg, int option, const char *value);
static const char *values_of(int option);

static const struct subcommands commands = {
    &program, command_list, COMMANDS, take_option, values_of};

/* ---- values of options ---- */

static bool take_backoff(struct client_settings *s, const char *text)
{
	char min[UNITS_TEXT_MAX];
	const char *comma = strchr(text, ',');
	size_t len = comma ? (size_t)(comma - text) : 0;
	if (!comma || len >= sizeof(min))
		return false;
	memcpy(min, text, len);
	min[len] = 0;
	return units_duration(min, &s->backoff_min_ms) &&
	       units_duration(comma + 1, &s->backoff_max_ms) &&
	       s->backoff_min_ms <= s->backoff_max_ms && s->backoff_max_ms <= DELAY_MS_MAX;
}

static uint32_t more_of(int option)
{
	switch (option) {
	case OPT_EXPIRE:
		return SETTING_EXPIRE;
	case OPT_DEDUP:
		return SETTING_DEDUP;
	case OPT_MAX_INFLIGHT:
		return SETTING_MAX_INFLIGHT;
	case OPT_RATE:
		return SETTING_RATE;
	case OPT_DISPATCH:
		return SETTING_DISPATCH;
	}
	return 0;
}

static bool take_setting(int option, const char *value, struct client_settings *s)
{
	uint64_t n = 0;
	bool ok = false;
	switch (option) {
	case OPT_LEASE:
		ok = units_duration(value, &n) && n >= LEASE_MS_MIN && n <= LEASE_MS_MAX;
		s->lease_ms = (uint32_t)n;
		s->mask |= SETTING_LEASE;
		break;
	case OPT_MAX_ATTEMPTS:
		ok = units_count(value, 1, UINT32_MAX, &n);
		s->max_attempts = (uint32_t)n;
		s->mask |= SETTING_MAX_ATTEMPTS;
		break;
	case OPT_BACKOFF:
		ok = take_backoff(s, value);
		s->mask |= SETTING_BACKOFF;
		break;
	case OPT_MAX_BYTES:
		ok = strcmp(value, "none") == 0 ||
		     (units_size(value, &s->max_bytes) && s->max_bytes > 0);
		s->mask |= SETTING_MAX_BYTES;
		break;
	case OPT_MAX_MESSAGE:
		ok = units_size(value, &n) && n > 0 && n <= MESSAGE_MAX;
		s->max_message = (uint32_t)n;
		s->mask |= SETTING_MAX_MESSAGE;
		break;
	case OPT_DEAD_LETTER:
		ok = strcmp(value, "none") == 0 || name_valid(slice_str(value));
		s->dead_letter = slice_str(strcmp(value, "none") == 0 ? "-" : value);
		s->mask |= SETTING_DEAD_LETTER;
		break;
	default:
		ok = more_settings_parse(value, more_of(option), &s->more);
		s->mask |= more_of(option);
	}
	return ok;
}

static const char *values_of(int option)
{
	switch (option) {
	case OPT_LEASE:
		return "a duration from 100ms to 7d";
	case OPT_MAX_ATTEMPTS:
		return "a number from 1 to 4294967295";
	case OPT_BACKOFF:
		return "two durations MIN,MAX, with MAX from MIN to 3650d";
	case OPT_MAX_BYTES:
		return "a size of at least 1, such as 4096, 64K, 10M or 2G, or none";
	case OPT_MAX_MESSAGE:
		return "a size from 1 to 16M, such as 4096 or 64K";
	case OPT_DEAD_LETTER:
		return "a queue's name, or none";
	case OPT_EXPIRE:
	case OPT_DEDUP:
		return "a duration up to 3650d, or none";
	case OPT_MAX_INFLIGHT:
		return "a number from 1 to 4294967295, or none";
	case OPT_RATE:
		return "a rate N/s, N/m or N/h with N from 1 to 10000000, or none";
	case OPT_DISPATCH:
		return "fair, round-robin or key";
	case OPT_STATE:
		return "some of ready,leased,delayed";
	case OPT_WATCH:
		return "a duration from 1ms to 24d";
	case OPT_MAX_READY:
	case OPT_MAX_DEAD:
		return "a number, critical if there are more, or two: WARNING,CRITICAL";
	case OPT_MAX_AGE:
		return "a duration, critical if it is longer, or two: WARNING,CRITICAL";
	case OPT_FORMAT:
		return "nagios, json or text";
	case OPT_BY:
		return "reason, key, or header: and a name";
	case OPT_MATCH:
		return "a header, NAME=VALUE";
	case OPT_CELL:
	case OPT_LOST_CELL:
		return "a cell's name";
	case OPT_REDRIVE_RATE:
		return "a number in a time, such as 10/s, 600/m or 5000/h";
	case 'n':
		return "a number of at least 1";
	}
	return "a number";
}

static bool take_states(struct request *q, const char *list)
{
	static const char *const names[] = {"ready", "leased", "delayed"};
	q->states = 0;
	for (const char *p = list;; p++) {
		size_t len = strcspn(p, ","), i = 0;
		while (i < 3 && (strlen(names[i]) != len || strncmp(names[i], p, len) != 0))
			i++;
		if (i == 3)
			return false;
		q->states |= (uint8_t)(1 << i);
		p += len;
		if (!*p)
			return true;
	}
}

static bool take_of_check(struct check *c, int option, const char *value)
{
	switch (option) {
	case OPT_MAX_READY:
		return check_limit_parse(&c->ready, value, false);
	case OPT_MAX_AGE:
		return check_limit_parse(&c->age_ms, value, true);
	case OPT_MAX_DEAD:
		return check_limit_parse(&c->dead, value, false);
	default:
		return check_format_parse(&c->format, value);
	}
}

static bool take_of_cells(struct request *q, int option, const char *value)
{
	q->moved |= option == OPT_MOVED;
	q->ways |= option == OPT_WAYS;
	q->copies |= option == OPT_COPIES;
	q->are_lost |= option == OPT_LOST;
	q->homes |= option == OPT_HOMES;
	q->once |= option == OPT_ONCE;
	if (option == OPT_CELL)
		q->cell = value;
	if (option == OPT_LOST_CELL) {
		if (q->lost.count == CELLS_MAX)
			return false;
		q->lost.names[q->lost.count++] = value;
	}
	return !value || name_valid_node(slice_str(value));
}

static bool take_option(void *arg, int option, const char *value)
{
	struct admin *a = &((struct program *)arg)->admin;
	struct request *q = &((struct program *)arg)->request;
	uint64_t most;

	switch (option) {
	case 'j':
		a->json = true;
		return true;
	case 'o':
		a->fields = value;
		return true;
	case '0':
		q->separator = 0;
		startup_separator(q->separator);
		return true;
	case 'n':
		q->counted = true;
		return units_count(value, 1, UINT64_MAX / 2, &q->limit);
	case OPT_IN:
		q->settings.mask |= SETTING_PAUSED_IN;
		return true;
	case OPT_OUT:
		q->settings.mask |= SETTING_PAUSED_OUT;
		return true;
	case OPT_FORCE:
		q->force = true;
		return true;
	case OPT_STATE:
		return take_states(q, value);
	case OPT_WATCH:
		return units_duration(value, &q->watch_ms) && q->watch_ms > 0 &&
		       q->watch_ms <= INT32_MAX;
	case OPT_MAX_READY:
	case OPT_MAX_AGE:
	case OPT_MAX_DEAD:
	case OPT_FORMAT:
		return take_of_check(&q->check, option, value);
	case OPT_BY:
		return count_by_parse(&q->by, value);
	case OPT_MATCH:
		q->redrive.match = value;
		return strchr(value, '=') && value[0] != '=';
	case OPT_REDRIVE_RATE:
		return units_rate(value, &q->redrive.rate, &q->redrive.rate_period);
	case OPT_DRY_RUN:
		q->redrive.dry_run = true;
		return true;
	case OPT_MAX_REDRIVES:
		if (!units_count(value, 1, UINT32_MAX, &most))
			return false;
		q->redrive.most = (uint32_t)most;
		return true;
	case OPT_MOVED:
	case OPT_WAYS:
	case OPT_COPIES:
	case OPT_LOST:
	case OPT_HOMES:
	case OPT_ONCE:
	case OPT_CELL:
	case OPT_LOST_CELL:
		return take_of_cells(q, option, value);
	case OPT_HTTP:
		q->http = a->keeps = true;
		return true;
	case OPT_FROM:
		return units_count(value, 0, UINT64_MAX / 2, &q->from);
	}
	return take_setting(option, value, &q->settings);
}

static bool takes_ids(const struct subcommand_line *line)
{
	return line->command->run == do_why || line->command->run == do_cancel;
}

/* A forwarder waits for its daemon as long as that takes. */
static uint64_t unset_timeout_ms(const struct request *q, const struct subcommand_line *line)
{
	if (line->command->run == do_check)
		return TIMEOUT_CHECK_MS;
	if (q->http)
		return TIMEOUT_HTTP_MS;
	return line->command->run == do_forward && !q->once ? UNITS_INFINITY : TIMEOUT_MS;
}

static enum rmq_error run(struct program *p, const struct subcommand_line *line)
{
	struct admin *a = &p->admin;

	p->request.words = line->words;
	p->request.words_count = line->words_count;
	/* But for ls and stat, which take globs, and ids, the first word is a queue's name. */
	if (line->command->words_min > 0 && !takes_ids(line) &&
	    !name_valid(slice_str(line->words[0])))
		return admin_fail(a, RMQ_E_USAGE, "'%s' is not a queue name", line->words[0]);
	if (!signals_init())
		return admin_fail(a, RMQ_E_IO, "%s", strerror(errno));
	if (p->request.http && !take_request(a, &p->request))
		return a->code;
	bool checks = line->command->run == do_check;
	a->keeps |= checks;
	if (a->common.timeout_ms == TIMEOUT_UNSET)
		a->common.timeout_ms = unset_timeout_ms(&p->request, line);
	bool opened = !admin_open(a);
	if (!opened && !a->keeps)
		return a->code;
	enum rmq_error err = line->command->run(p);
	cells_close(&p->request.cells);
	if (opened)
		admin_close(a);
	/* What went before a failure is printed too. */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		a->about = NULL;
		return admin_fail(a, RMQ_E_IO, "standard output: %s", strerror(errno));
	}
	return err;
}

int main(int argc, char **argv)
{
	struct program p = {.request = {.states = STATE_READY | STATE_LEASED | STATE_DELAYED,
				.limit = 10,
				.separator = '\n'}};
	check_init(&p.request.check);
	redrive_init(&p.request.redrive);
	struct subcommand_line line;
	struct reason why;

	if (!startup(&program, argc, argv))
		return 0;
	enum rmq_error err = subcommands_parse(
	    &commands, argc, argv, &p.admin.common, TIMEOUT_UNSET, &p, &line, &why);
	if (err && why.text[0])
		admin_fail(&p.admin, err, "%s", why.text);
	if (!err)
		err = line.help || line.version ? subcommands_print(&commands, &line)
						: run(&p, &line);
	subcommands_free(&line);
	if (!err && fflush(stdout) != 0)
		err = RMQ_E_IO;
	/* A monitor knows no other status. */
	if (err && line.command && line.command->run == do_check)
		return CHECK_UNKNOWN;
	return err ? error_exit(err) : p.admin.status;
}
