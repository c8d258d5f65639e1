#include "admin.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/text.h"
#include "core/base/units.h"
#include "sys/process/clock.h"
#include "sys/process/log.h"
#include "sys/process/signals.h"
#include "sys/process/startup.h"

enum rmq_error admin_fail(struct admin *a, enum rmq_error code, const char *format, ...)
{
	va_list ap;
	char *text = a->why;
	if (a->code)
		return a->code;
	a->code = code;
	va_start(ap, format);
	vsnprintf(text, sizeof(a->why), format, ap);
	va_end(ap);
	/* One line, whatever words it repeats. */
	text_tame(text, strlen(text));
	if (!a->keeps)
		fprintf(stderr, "rmq-queue: %s%s%s\n", a->about ? a->about : "",
		    a->about ? ": " : "", text);
	return code;
}

enum rmq_error admin_no_queue(struct admin *a, const char *queue)
{
	a->about = queue;
	return admin_fail(a, RMQ_E_NO_QUEUE, "%s", error_text(RMQ_E_NO_QUEUE));
}

static void fail_slice(struct admin *a, enum rmq_error code, struct slice text)
{
	struct slice t = text.len ? text : slice_str(error_text(code));
	admin_fail(a, code, "%.*s", (int)t.len, (const char *)t.data);
	a->waiting = false;
}

static void on_done(void *arg, const struct client_command *cmd, struct slice stale)
{
	struct admin *a = arg;
	(void)cmd;
	a->stale.len = 0;
	text_put_slice(&a->stale, stale);
	a->waiting = false;
}

static enum client_verdict on_failed(void *arg, const struct client_command *cmd,
    enum rmq_error code, uint32_t at, struct slice text)
{
	(void)cmd, (void)at;
	fail_slice(arg, code, text);
	return CLIENT_DROP;
}

static void note_untaken(struct admin *a, const struct wire_listed *row)
{
	uint64_t ms = tags_find_u64(row->tags, LISTED_TAG_UNTAKEN);
	if (ms == 0)
		return;
	a->untaken += row->ready;
	if (ms <= a->untaken_ms)
		return;
	a->untaken_ms = ms;
	snprintf(a->untaken_in, sizeof(a->untaken_in), "%.*s", (int)row->queue.len,
	    (const char *)row->queue.data);
}

static void on_listed(void *arg, const struct wire_listed *row)
{
	struct admin *a = arg;
	note_untaken(a, row);
	if (row->queue.len <= sizeof(a->last)) {
		memcpy(a->last, row->queue.data, row->queue.len);
		a->last_len = row->queue.len;
	}
	a->rows++;
	a->row(a->arg, row);
}

static void on_list_end(void *arg, uint32_t req, bool more)
{
	struct admin *a = arg;
	(void)req;
	a->more = more;
	a->waiting = false;
}

static void on_bound(void *arg, struct slice queue, struct slice pattern)
{
	struct admin *a = arg;
	if (a->bound)
		a->bound(a->arg, queue, pattern);
}

/* Who only looks for the queue's cell takes no rows, and none may be there. */
static void on_bindings_end(void *arg, uint32_t req, enum rmq_error code)
{
	struct admin *a = arg;
	(void)req;
	a->exists = code == RMQ_E_OK;
	if (code == RMQ_E_PAUSED)
		admin_fail(
		    a, code, "a copy of it comes from another cell: rmq-queue cells --copies");
	else if (code && (a->bound || code != RMQ_E_NO_QUEUE))
		fail_slice(a, code, slice_of(NULL, 0));
	a->waiting = false;
}

static void on_cells_are(void *arg, uint32_t req, struct slice self, struct slice list)
{
	struct admin *a = arg;
	size_t len = self.len < sizeof(a->self) ? self.len : sizeof(a->self) - 1;
	(void)req;
	if (len > 0)
		memcpy(a->self, self.data, len);
	a->self[len] = '\0';
	a->cells.len = 0;
	text_put_slice(&a->cells, list);
	a->waiting = false;
}

static void on_place_is(void *arg, const struct wire_place_is *row)
{
	struct admin *a = arg;
	a->row_of_place(a->arg, row);
}

static void on_places_end(void *arg, uint32_t req, bool more)
{
	struct admin *a = arg;
	(void)req, (void)more;
	a->waiting = false;
}

static void on_peeked(void *arg, const struct client_delivery *d)
{
	struct admin *a = arg;
	a->message(a->arg, d);
}

static void on_peek_end(void *arg, uint32_t req, enum rmq_error code, bool more, uint64_t next)
{
	struct admin *a = arg;
	(void)req;
	if (code)
		fail_slice(a, code, slice_of(NULL, 0));
	a->more = more;
	a->next = next;
	a->waiting = false;
}

static void on_transferred(
    void *arg, const struct wire_transferred *m, enum rmq_error code, bool again)
{
	struct admin *a = arg;
	bool later = code == RMQ_E_FULL || code == RMQ_E_DISK_FULL || code == RMQ_E_PAUSED;
	a->full = later ? code : RMQ_E_OK;
	if (code && !a->full)
		fail_slice(a, code, m->text);
	a->moved = m->moved;
	a->again = again;
	a->kept = m->kept;
	a->more = m->more;
	a->next = m->next;
	a->waiting = false;
}

static void on_history(void *arg, uint32_t req, enum rmq_error code, struct slice place,
    const struct history_waits *waits, struct slice entries)
{
	struct admin *a = arg;
	(void)req;
	if (code && code != RMQ_E_NO_QUEUE)
		fail_slice(a, code, slice_of(NULL, 0));
	a->place.len = 0;
	text_put_slice(&a->place, place);
	a->waits = *waits;
	text_put_slice(&a->entries, entries);
	a->waiting = false;
}

static void on_watched(void *arg, uint32_t req, enum rmq_error code, uint64_t messages)
{
	(void)req, (void)messages;
	if (code)
		fail_slice(arg, code, slice_of(NULL, 0));
	((struct admin *)arg)->waiting = false;
}

static void fail_unmet(struct admin *a)
{
	char within[UNITS_TEXT_MAX];
	units_print_duration(within, a->common.timeout_ms);
	admin_fail(a, RMQ_E_UNMET, "not %s within %s (--timeout)", a->until, within);
}

static void on_fatal(void *arg, enum rmq_error code, struct slice text)
{
	struct admin *a = arg;
	char why[CLIENT_IO_WHY_MAX];
	if (code == RMQ_E_UNMET)
		fail_unmet(a);
	else
		fail_slice(a, code, client_io_why(&a->io, code, text, why));
	a->waiting = false;
}

static struct client_host host_of(struct admin *a)
{
	return (struct client_host){.arg = a,
	    .done = on_done,
	    .failed = on_failed,
	    .listed = on_listed,
	    .list_end = on_list_end,
	    .bound = on_bound,
	    .bindings_end = on_bindings_end,
	    .peeked = on_peeked,
	    .peek_end = on_peek_end,
	    .transferred = on_transferred,
	    .watched = on_watched,
	    .history = on_history,
	    .cells_are = on_cells_are,
	    .place_is = on_place_is,
	    .places_end = on_places_end,
	    .fatal = on_fatal};
}

enum rmq_error admin_open(struct admin *a)
{
	struct reason why;
	struct client_config config = {.window = 1, .timeout_ms = a->common.timeout_ms};
	struct client_host host = host_of(a);
	log_init("rmq-queue", a->common.quiet ? -1 : a->common.verbose);
	enum rmq_error err = client_io_open(&a->io, &a->common, &config, &host, &why);
	return err ? admin_fail(a, err, "%s", why.text) : RMQ_E_OK;
}

enum rmq_error admin_open_cell(
    struct admin *a, const struct admin *of, const struct client_io_cell *cell)
{
	struct reason why;
	*a = (struct admin){.common = of->common, .keeps = true};
	struct client_config config = {
	    .window = 1, .timeout_ms = a->common.timeout_ms, .pinned = true};
	struct client_host host = host_of(a);
	enum rmq_error err =
	    client_io_open_cell(&a->io, &a->common, cell, &config, &host, &why);
	return err ? admin_fail(a, err, "%s", why.text) : RMQ_E_OK;
}

void admin_close(struct admin *a)
{
	int timeout_ms;
	client_bye(a->io.client);
	if (!a->code)
		(void)client_io_prepare(&a->io, &timeout_ms);
	client_io_close(&a->io);
}

void admin_die(const struct admin *a)
{
	if (a->leave)
		a->leave();
	startup_die();
}

static enum rmq_error wait_answer(struct admin *a)
{
	a->waiting = true;
	while (a->waiting) {
		client_io_wait(&a->io, signals_fd(), CLIENT_FOREVER);
		if (signals_caught())
			admin_die(a);
	}
	return a->code;
}

enum rmq_error admin_pause(struct admin *a, uint64_t ms)
{
	uint64_t end = clock_mono().ms + ms, now;
	while (!a->code && (now = clock_mono().ms) < end) {
		client_io_wait(&a->io, signals_fd(), end - now);
		if (signals_caught())
			admin_die(a);
	}
	return a->code;
}

enum rmq_error admin_change(struct admin *a, enum wire_type type, const char *queue,
    uint8_t flags, const struct client_settings *s)
{
	a->about = queue;
	client_queue(a->io.client, clock_mono(), type, slice_str(queue), flags, s, NULL);
	return wait_answer(a);
}

enum rmq_error admin_bind(
    struct admin *a, enum wire_type type, const char *queue, const char *pattern, uint8_t flags)
{
	a->about = queue;
	client_bind(a->io.client, clock_mono(), type, slice_str(queue), slice_str(pattern),
	    flags, NULL);
	return wait_answer(a);
}

enum rmq_error admin_bindings(struct admin *a, const char *queue)
{
	a->about = queue;
	client_bindings(a->io.client, clock_mono(), slice_str(queue ? queue : ""));
	return wait_answer(a);
}

enum rmq_error admin_list(struct admin *a, const char *glob)
{
	do {
		struct slice after = slice_of(a->last, a->last_len);
		client_list(a->io.client, clock_mono(), after, slice_str(glob), LIST_ROWS_MAX);
	} while (!wait_answer(a) && a->more);
	a->last_len = 0;
	return a->code;
}

enum rmq_error admin_find(struct admin *a, const char *queue, bool *exists)
{
	void (*bound)(void *, struct slice, struct slice) = a->bound;
	a->bound = NULL;
	a->about = queue;
	client_bindings(a->io.client, clock_mono(), slice_str(queue));
	enum rmq_error err = wait_answer(a);
	a->bound = bound;
	*exists = a->exists;
	return err;
}

enum rmq_error admin_list_one(struct admin *a, const char *queue)
{
	bool exists, one = client_welcomed(a->io.client) && client_cell(a->io.client).len == 0;
	const char *about = a->about;
	enum rmq_error err = one ? RMQ_E_OK : admin_find(a, queue, &exists);
	a->about = err ? a->about : about;
	return err ? err : admin_list(a, queue);
}

void admin_ask_cells(struct admin *a)
{
	a->waiting = true;
	client_cells(a->io.client, clock_mono());
}

enum rmq_error admin_cells(struct admin *a)
{
	admin_ask_cells(a);
	return wait_answer(a);
}

enum rmq_error admin_places(struct admin *a)
{
	client_places(a->io.client, clock_mono(), slice_str(""), UINT32_MAX);
	return wait_answer(a);
}

enum rmq_error admin_peek(
    struct admin *a, const char *queue, uint8_t states, uint64_t from, uint32_t limit)
{
	a->about = queue;
	client_peek(a->io.client, clock_mono(), slice_str(queue), states, from, limit);
	return wait_answer(a);
}

enum rmq_error admin_history(struct admin *a, const char *queue, uint64_t seq)
{
	a->about = queue;
	a->place.len = 0;
	do
		client_history(a->io.client, clock_mono(), slice_str(queue), seq,
		    slice_of(a->place.data, a->place.len));
	while (!wait_answer(a) && a->place.len > 0);
	text_deinit(&a->place);
	return a->code;
}

enum rmq_error admin_watch(
    struct admin *a, const char *queue, enum watch_for what, uint64_t messages)
{
	a->about = queue;
	client_watch(a->io.client, clock_mono(), slice_str(queue), what, messages);
	return wait_answer(a);
}

enum rmq_error admin_transfer(struct admin *a, const char *queue, struct slice target,
    uint8_t flags, uint32_t most, const struct seq_range *ranges, uint32_t count)
{
	a->about = queue;
	client_transfer(
	    a->io.client, clock_mono(), slice_str(queue), target, flags, most, ranges, count);
	return wait_answer(a);
}

enum rmq_error admin_cancel(
    struct admin *a, const char *queue, const uint64_t *messages, uint32_t count)
{
	a->about = queue;
	if (!client_cancel(a->io.client, clock_mono(), slice_str(queue), messages, count, NULL))
		return admin_fail(a, RMQ_E_LIMIT, "out of memory");
	return wait_answer(a);
}
