#include "settler.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/wire/receipt.h"
#include "sys/process/clock.h"
#include "sys/process/signals.h"

#define WORD_SHOWN 40 /* bytes of what is not a receipt */

/* One receipt, and the line it came in. */
struct item {
	uint64_t lease;
	uint64_t seq;
	size_t begin; /* of the line in `lines` */
	size_t end;
};

/* Receipts of one queue that go in one settlement. */
struct load {
	char queue[NAME_FULL_MAX + 1];
	struct item items[SETTLE_ENTRIES_MAX];
	uint32_t count;
	struct text lines;
};

static void fail(struct settler *a, enum rmq_error code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void fail(struct settler *a, enum rmq_error code, const char *format, ...)
{
	va_list ap;
	a->ended = true;
	bool bad_data = error_exit(code) == error_exit(RMQ_E_BAD_DATA);
	/* What is lost before a bad line is worth a word too. */
	if (a->code && (a->lost || bad_data))
		return;
	a->lost = !bad_data;
	a->code = a->code && code == RMQ_E_NO_DAEMON ? RMQ_E_TIMEOUT : code;
	va_start(ap, format);
	fputs("rmq-ack: ", stderr);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	va_end(ap);
}

/* ---- answers ---- */

static bool is_stale(struct slice stale, const struct item *item)
{
	struct reader r = reader_of(stale);
	while (reader_left(&r) > 0) {
		struct settle_entry e = settle_entry_get(&r);
		if (e.lease == item->lease && item->seq >= e.first &&
		    item->seq - e.first < e.count)
			return true;
	}
	return false;
}

static void load_free(struct load *l)
{
	if (l)
		text_deinit(&l->lines);
	free(l);
}

static void on_done(void *arg, const struct client_command *cmd, struct slice stale)
{
	struct settler *a = arg;
	struct load *l = cmd->tag;
	for (uint32_t i = 0; i < l->count; i++) {
		const struct item *item = &l->items[i];
		if (stale.len > 0 && is_stale(stale, item)) {
			a->stale++;
			if (!a->o->common.quiet)
				fprintf(stderr, "rmq-ack: %s:%llu:%llu: %s\n", l->queue,
				    (unsigned long long)item->seq,
				    (unsigned long long)item->lease, error_text(RMQ_E_STALE));
		} else if (a->o->pass) {
			text_put(printer_text(&a->printer), l->lines.data + item->begin,
			    item->end - item->begin);
		}
	}
	load_free(l);
}

static enum client_verdict on_failed(void *arg, const struct client_command *cmd,
    enum rmq_error code, uint32_t at, struct slice text)
{
	struct settler *a = arg;
	struct load *l = cmd->tag;
	(void)at;
	fail(a, code, "%s: %.*s", l->queue, (int)text.len, (const char *)text.data);
	load_free(l);
	return CLIENT_DROP;
}

static void on_fatal(void *arg, enum rmq_error code, struct slice text)
{
	struct settler *a = arg;
	char why[CLIENT_IO_WHY_MAX];
	a->dead = true;
	text = client_io_why(&a->io, code, text, why);
	fail(a, code, "%.*s", (int)text.len, (const char *)text.data);
}

/* ---- receipts ---- */

static void flush_load(struct settler *a)
{
	struct settle_entry entries[SETTLE_ENTRIES_MAX];
	struct client_settlement how = a->o->how;
	struct load *l = a->load;
	uint32_t count = 0;
	if (!l || l->count == 0)
		return;
	for (uint32_t i = 0; i < l->count; i++) {
		const struct item *item = &l->items[i];
		struct settle_entry *last = count > 0 ? &entries[count - 1] : NULL;
		if (last && last->lease == item->lease &&
		    last->first + last->count == item->seq)
			last->count++;
		else
			entries[count++] = (struct settle_entry){item->lease, item->seq, 1};
	}
	how.queue = slice_str(l->queue);
	how.tag = l;
	a->load = NULL;
	client_settle(a->io.client, clock_mono(), &how, entries, count);
}

static void add(struct settler *a, const struct receipt *r, struct slice line)
{
	struct load *l = a->load;
	if (l && (!slice_eq(slice_str(l->queue), r->queue) || l->count == SETTLE_ENTRIES_MAX))
		flush_load(a);
	if (!a->load && !(a->load = calloc(1, sizeof(*a->load)))) {
		fail(a, RMQ_E_LIMIT, "out of memory");
		return;
	}
	l = a->load;
	memcpy(l->queue, r->queue.data, r->queue.len);
	struct item *item = &l->items[l->count++];
	*item = (struct item){r->lease, r->seq, l->lines.len, l->lines.len};
	if (!a->o->pass)
		return;
	text_put_slice(&l->lines, line);
	text_put_char(&l->lines, '\n');
	item->end = l->lines.len;
}

/* The receipt of an envelope: borrowed from *root, which the caller frees. */
static bool from_envelope(struct slice line, json_t **root, struct slice *receipt)
{
	*root = json_loadb((const char *)line.data, line.len, 0, NULL);
	const char *text = json_string_value(json_object_get(*root, "receipt"));
	if (text)
		*receipt = slice_str(text);
	return text != NULL;
}

/* The word as it can be shown in a line, and cut. */
static void show(char out[WORD_SHOWN + 4], struct slice word)
{
	size_t len = word.len < WORD_SHOWN ? word.len : WORD_SHOWN;
	if (len > 0)
		memcpy(out, word.data, len);
	text_tame(out, len);
	memcpy(out + len, len < word.len ? "..." : "", len < word.len ? 4 : 1);
}

/* The record is none that can be settled. */
static void bad_record(struct settler *a, enum rmq_error code, const char *what)
{
	const char *unit = a->o->words ? "argument" : "line";
	if (!a->o->skip_bad) {
		fail(a, code, "%s %llu%s", unit, (unsigned long long)a->record, what);
		return;
	}
	a->bad++;
	if (!a->o->common.quiet)
		fprintf(
		    stderr, "rmq-ack: %s %llu%s\n", unit, (unsigned long long)a->record, what);
}

static void not_a_receipt(struct settler *a, struct slice word)
{
	char shown[WORD_SHOWN + 4], what[WORD_SHOWN + 64];
	show(shown, word);
	snprintf(what, sizeof(what), ": '%s' is not a receipt (QUEUE:SEQ:LEASE)", shown);
	bad_record(a, RMQ_E_BAD_DATA, what);
}

static void too_large(struct settler *a)
{
	a->record++;
	splitter_skip(&a->splitter);
	bad_record(a, RMQ_E_TOO_LARGE,
	    " is larger than 16 MiB, the most that is read of one: give its receipt "
	    "(rmq-recv -o receipt,body)");
}

static bool is_blank(uint8_t byte)
{
	return byte == ' ' || byte == '\t';
}

static struct slice first_word(struct slice line)
{
	size_t from = 0, to;
	while (from < line.len && is_blank(line.data[from]))
		from++;
	for (to = from; to < line.len && !is_blank(line.data[to]); to++)
		;
	return slice_of(line.data + from, to - from);
}

static void take_line(struct settler *a, struct slice line)
{
	struct receipt r;
	struct slice word = line;
	json_t *root = NULL;
	bool found = true;
	a->record++;
	if (line.len > 0 && line.data[0] == '{') {
		found = from_envelope(line, &root, &word);
	} else {
		word = first_word(line);
	}
	if (found && receipt_parse(word, &r))
		add(a, &r, line);
	else
		not_a_receipt(a, word);
	json_decref(root);
}

static void take_batch(struct settler *a, struct sendbuf *b)
{
	struct text whole = {0};
	struct batch_view v = sendbuf_view(b);
	for (uint32_t i = 0; i < b->count && !a->code; i++)
		take_line(a, batch_body(&v, i));
	/* An envelope may be longer than a batch. */
	for (const struct sendbuf *p = b->large ? b : NULL; p; p = p->next)
		text_put(&whole, p->bytes + SENDBUF_BLOB, p->blob_len);
	if (b->large && !whole.failed)
		take_line(a, slice_of(whole.data, whole.len));
	text_deinit(&whole);
	sendbuf_free(b);
}

/* More is settled only while what was settled so far can be told. */
static bool takes(const struct settler *a)
{
	return client_has_room(a->io.client) && !printer_is_behind(&a->printer);
}

static void take_input(struct settler *a)
{
	struct sendbuf *b;
	enum splitter_result result = SPLITTER_BATCH;
	while (takes(a) && !a->code && result != SPLITTER_MORE) {
		result = splitter_next(&a->splitter, true, &b);
		if (result == SPLITTER_BATCH)
			take_batch(a, b);
		else if (result == SPLITTER_TOO_LARGE)
			too_large(a);
		else if (result == SPLITTER_NO_MEMORY)
			fail(a, RMQ_E_LIMIT, "out of memory");
	}
}

static void read_input(struct settler *a)
{
	size_t len;
	uint8_t *p = splitter_space(&a->splitter, &len);
	if (!p) {
		fail(a, RMQ_E_LIMIT, "out of memory");
		return;
	}
	ssize_t n = read(STDIN_FILENO, p, len);
	if (n < 0 && errno != EINTR && errno != EAGAIN)
		fail(a, RMQ_E_IO, "standard input: %s", strerror(errno));
	if (n > 0)
		splitter_fill(&a->splitter, (size_t)n);
	if (n == 0) {
		a->ended = true;
		splitter_end(&a->splitter);
	}
}

/* ---- the run ---- */

/* error: printer_write()'s or printer_finish()'s. */
static void printed(struct settler *a, int error)
{
	if (!error)
		return;
	fail(a, RMQ_E_IO, "standard output: %s%s", strerror(error), printer_says(&a->printer));
	a->dead = true;
}

static bool turn(struct settler *a)
{
	int timeout_ms;
	a->ended |= signals_caught() != 0;
	/* First, as what waits for it may keep input from being taken. */
	printed(a, printer_write(&a->printer));
	take_input(a);
	struct pollfd p[4] = {client_io_prepare(&a->io, &timeout_ms)};
	bool reads = !a->ended && takes(a);
	p[1] = (struct pollfd){reads ? STDIN_FILENO : -1, POLLIN, 0};
	p[2] = (struct pollfd){signals_caught() ? -1 : signals_fd(), POLLIN, 0};
	/* What is at hand goes when no more input waits. */
	if (a->load && (reads ? poll(p + 1, 1, 0) <= 0 : true)) {
		flush_load(a);
		return true;
	}
	if (a->dead || (a->ended && !a->load && client_unanswered(a->io.client) == 0))
		return false;
	p[3] = printer_poll(&a->printer);
	if (poll(p, 4, timeout_ms) < 0)
		return true;
	client_io_turn(&a->io, p[0].revents);
	if (p[1].revents && !a->ended)
		read_input(a);
	return !(signals_caught() && !client_welcomed(a->io.client));
}

void settler_run(struct settler *a)
{
	for (char **word = a->o->words; word && *word && !a->code; word++)
		take_line(a, slice_str(*word));
	a->ended |= a->o->words != NULL;
	while (turn(a))
		;
	/* All is settled that will be: the reader gets what is left for it. */
	if (!a->dead)
		printed(a, printer_finish(&a->printer));
	if (!a->dead) {
		int timeout_ms;
		client_bye(a->io.client);
		(void)client_io_prepare(&a->io, &timeout_ms);
	}
}

int settler_status(const struct settler *a)
{
	if (a->code)
		return error_exit(a->code);
	if (a->bad > 0)
		return error_exit(RMQ_E_BAD_DATA);
	return a->stale > 0 ? error_exit(RMQ_E_STALE) : 0;
}

enum rmq_error settler_open(struct settler *a, const struct ack_options *o, struct reason *why)
{
	struct client_config config = {
	    .window = CLIENT_WINDOW, .timeout_ms = o->common.timeout_ms};
	struct client_host host = {
	    .arg = a, .done = on_done, .failed = on_failed, .fatal = on_fatal};

	a->o = o;
	enum rmq_error err = client_io_open(&a->io, &o->common, &config, &host, why);
	if (err)
		return err;
	int error = printer_open(&a->printer, STDOUT_FILENO, '\n');
	if (error && o->pass) {
		client_io_close(&a->io);
		return reason_set(why, RMQ_E_IO, "standard output: %s", strerror(error));
	}
	splitter_init(&a->splitter, '\n');
	return RMQ_E_OK;
}

void settler_close(struct settler *a)
{
	const struct client_command *cmd = client_oldest(a->io.client);

	for (; cmd; cmd = cmd->next)
		load_free(cmd->tag);
	load_free(a->load);
	printer_deinit(&a->printer);
	client_io_close(&a->io);
	splitter_deinit(&a->splitter);
}
