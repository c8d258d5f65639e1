/* rmq-ack: settles messages by their receipts.  See rmq-ack(1). */
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/text.h"
#include "core/base/units.h"
#include "core/client/splitter.h"
#include "core/wire/receipt.h"
#include "sys/client/client_io.h"
#include "sys/client/client_options.h"
#include "sys/process/clock.h"
#include "sys/process/log.h"
#include "sys/process/signals.h"
#include "sys/process/startup.h"
#include "sys/stream/printer.h"

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

static struct {
	struct client_settlement how;
	bool pass;
	bool skip_bad;
	char **words; /* receipts as arguments, NULL: stdin */
	struct client_options common;
	struct client_io io;
	struct splitter splitter;
	struct load *load;
	struct printer printer;
	bool ended; /* nothing more is read */
	uint64_t record;
	uint64_t stale;
	uint64_t bad;
	enum rmq_error code;
	bool lost; /* what came before a bad line may not be settled */
	bool dead;
} ack;

enum { OPT_RELEASE = 256, OPT_FAIL, OPT_DELAY, OPT_DEAD, OPT_TOUCH, OPT_PASS, OPT_SKIP_BAD };

static const struct option longs[] = {{"release", no_argument, NULL, OPT_RELEASE},
    {"fail", no_argument, NULL, OPT_FAIL}, {"delay", required_argument, NULL, OPT_DELAY},
    {"dead", optional_argument, NULL, OPT_DEAD},
    {"touch", required_argument, NULL, OPT_TOUCH}, {"pass", no_argument, NULL, OPT_PASS},
    {"skip-bad", no_argument, NULL, OPT_SKIP_BAD}, CLIENT_OPTIONS_LONG, {NULL, 0, NULL, 0}};

static const char usage_text[] =
    "usage: rmq-ack [--release [--delay DUR] | --fail [--delay DUR] | --dead[=WHY] |\n"
    "               --touch DUR] [OPTION]... [RECEIPT]...\n"
    "Settles messages by receipts: arguments, or lines of stdin (an envelope, or a line\n"
    "whose first word is the receipt).\n"
    "\n"
    "      --release         give back, not counted as a failure\n"
    "      --fail            give back as failed: after the queue's back-off, and to the\n"
    "                        dead-letter queue after its last attempt\n"
    "      --delay DUR       with --release, --fail: ready only after DUR\n"
    "      --dead[=WHY]      move to the dead-letter queue\n"
    "      --touch DUR       let the lease run at least DUR from now\n"
    "      --pass            print each line once its receipt is settled\n"
    "      --skip-bad        skip lines that are not receipts, 65 at the end\n"
    "  -S, --server ADDR,... contact points (RMQ_SERVERS)\n"
    "      --timeout DUR     longest time without progress (30s)\n"
    "  -q, --quiet  -v, --verbose  -h, --help  -V, --version\n";

static void fail(enum rmq_error code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void fail(enum rmq_error code, const char *format, ...)
{
	va_list ap;
	ack.ended = true;
	bool bad_data = error_exit(code) == error_exit(RMQ_E_BAD_DATA);
	/* What is lost before a bad line is worth a word too. */
	if (ack.code && (ack.lost || bad_data))
		return;
	ack.lost = !bad_data;
	ack.code = ack.code && code == RMQ_E_NO_DAEMON ? RMQ_E_TIMEOUT : code;
	va_start(ap, format);
	fputs("rmq-ack: ", stderr);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	va_end(ap);
}

static int usage(const char *why)
{
	fprintf(stderr, "rmq-ack: %s\n", why);
	return error_exit(RMQ_E_USAGE);
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
	struct load *l = cmd->tag;
	(void)arg;
	for (uint32_t i = 0; i < l->count; i++) {
		const struct item *item = &l->items[i];
		if (stale.len > 0 && is_stale(stale, item)) {
			ack.stale++;
			if (!ack.common.quiet)
				fprintf(stderr, "rmq-ack: %s:%llu:%llu: %s\n", l->queue,
				    (unsigned long long)item->seq,
				    (unsigned long long)item->lease, error_text(RMQ_E_STALE));
		} else if (ack.pass) {
			text_put(printer_text(&ack.printer), l->lines.data + item->begin,
			    item->end - item->begin);
		}
	}
	load_free(l);
}

static enum client_verdict on_failed(void *arg, const struct client_command *cmd,
    enum rmq_error code, uint32_t at, struct slice text)
{
	struct load *l = cmd->tag;
	(void)arg, (void)at;
	bool told = text.len > 0;
	fail(code, "%s: %.*s", l->queue, told ? (int)text.len : (int)strlen(error_text(code)),
	    told ? (const char *)text.data : error_text(code));
	load_free(l);
	return CLIENT_DROP;
}

static void on_fatal(void *arg, enum rmq_error code, struct slice text)
{
	(void)arg;
	ack.dead = true;
	if (code == RMQ_E_NO_DAEMON)
		fail(code, "%s at %s (%s)", error_text(code), ack.io.target,
		    ack.io.error ? strerror(ack.io.error_number) : "in time");
	else
		fail(code, "%.*s", (int)text.len, (const char *)text.data);
}

/* ---- receipts ---- */

static void flush_load(void)
{
	struct settle_entry entries[SETTLE_ENTRIES_MAX];
	struct load *l = ack.load;
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
	ack.how.queue = slice_str(l->queue);
	ack.how.tag = l;
	ack.load = NULL;
	client_settle(ack.io.client, clock_mono(), &ack.how, entries, count);
}

static void add(const struct receipt *r, struct slice line)
{
	struct load *l = ack.load;
	if (l && (!slice_eq(slice_str(l->queue), r->queue) || l->count == SETTLE_ENTRIES_MAX))
		flush_load();
	if (!ack.load && !(ack.load = calloc(1, sizeof(*ack.load)))) {
		fail(RMQ_E_LIMIT, "out of memory");
		return;
	}
	l = ack.load;
	memcpy(l->queue, r->queue.data, r->queue.len);
	struct item *item = &l->items[l->count++];
	*item = (struct item){r->lease, r->seq, l->lines.len, l->lines.len};
	if (!ack.pass)
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
static void bad_record(enum rmq_error code, const char *what)
{
	const char *unit = ack.words ? "argument" : "line";
	if (!ack.skip_bad) {
		fail(code, "%s %llu%s", unit, (unsigned long long)ack.record, what);
		return;
	}
	ack.bad++;
	if (!ack.common.quiet)
		fprintf(stderr, "rmq-ack: %s %llu%s\n", unit, (unsigned long long)ack.record,
		    what);
}

static void not_a_receipt(struct slice word)
{
	char shown[WORD_SHOWN + 4], what[WORD_SHOWN + 64];
	show(shown, word);
	snprintf(what, sizeof(what), ": '%s' is not a receipt (QUEUE:SEQ:LEASE)", shown);
	bad_record(RMQ_E_BAD_DATA, what);
}

static void too_large(void)
{
	ack.record++;
	splitter_skip(&ack.splitter);
	bad_record(RMQ_E_TOO_LARGE,
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

static void take_line(struct slice line)
{
	struct receipt r;
	struct slice word = line;
	json_t *root = NULL;
	bool found = true;
	ack.record++;
	if (line.len > 0 && line.data[0] == '{') {
		found = from_envelope(line, &root, &word);
	} else {
		word = first_word(line);
	}
	if (found && receipt_parse(word, &r))
		add(&r, line);
	else
		not_a_receipt(word);
	json_decref(root);
}

static void take_batch(struct sendbuf *b)
{
	struct text whole = {0};
	struct batch_view v = sendbuf_view(b);
	for (uint32_t i = 0; i < b->count && !ack.code; i++)
		take_line(batch_body(&v, i));
	/* An envelope may be longer than a batch. */
	for (const struct sendbuf *p = b->large ? b : NULL; p; p = p->next)
		text_put(&whole, p->bytes + SENDBUF_BLOB, p->blob_len);
	if (b->large && !whole.failed)
		take_line(slice_of(whole.data, whole.len));
	text_deinit(&whole);
	sendbuf_free(b);
}

/* More is settled only while what was settled so far can be told. */
static bool takes(void)
{
	return client_has_room(ack.io.client) && !printer_is_behind(&ack.printer);
}

static void take_input(void)
{
	struct sendbuf *b;
	enum splitter_result result = SPLITTER_BATCH;
	while (takes() && !ack.code && result != SPLITTER_MORE) {
		result = splitter_next(&ack.splitter, true, &b);
		if (result == SPLITTER_BATCH)
			take_batch(b);
		else if (result == SPLITTER_TOO_LARGE)
			too_large();
		else if (result == SPLITTER_NO_MEMORY)
			fail(RMQ_E_LIMIT, "out of memory");
	}
}

static void read_input(void)
{
	size_t len;
	uint8_t *p = splitter_space(&ack.splitter, &len);
	if (!p) {
		fail(RMQ_E_LIMIT, "out of memory");
		return;
	}
	ssize_t n = read(STDIN_FILENO, p, len);
	if (n < 0 && errno != EINTR && errno != EAGAIN)
		fail(RMQ_E_IO, "standard input: %s", strerror(errno));
	if (n > 0)
		splitter_fill(&ack.splitter, (size_t)n);
	if (n == 0) {
		ack.ended = true;
		splitter_end(&ack.splitter);
	}
}

/* ---- the run ---- */

/* error: printer_write()'s or printer_finish()'s. */
static void printed(int error)
{
	if (!error)
		return;
	fail(RMQ_E_IO, "standard output: %s%s", strerror(error), printer_says(&ack.printer));
	ack.dead = true;
}

static bool turn(void)
{
	int timeout_ms;
	ack.ended |= signals_caught() != 0;
	/* First, as what waits for it may keep input from being taken. */
	printed(printer_write(&ack.printer));
	take_input();
	struct pollfd p[4] = {client_io_prepare(&ack.io, &timeout_ms)};
	bool reads = !ack.ended && takes();
	p[1] = (struct pollfd){reads ? STDIN_FILENO : -1, POLLIN, 0};
	p[2] = (struct pollfd){signals_caught() ? -1 : signals_fd(), POLLIN, 0};
	/* What is at hand goes when no more input waits. */
	if (ack.load && (reads ? poll(p + 1, 1, 0) <= 0 : true)) {
		flush_load();
		return true;
	}
	if (ack.dead || (ack.ended && !ack.load && client_unanswered(ack.io.client) == 0))
		return false;
	p[3] = printer_poll(&ack.printer);
	if (poll(p, 4, timeout_ms) < 0)
		return true;
	client_io_turn(&ack.io, p[0].revents);
	if (p[1].revents && !ack.ended)
		read_input();
	return !(signals_caught() && !client_welcomed(ack.io.client));
}

static enum rmq_error take_option(int option, struct reason *why)
{
	switch (option) {
	case OPT_RELEASE:
		ack.how.verb = VERB_RELEASE;
		return RMQ_E_OK;
	case OPT_FAIL:
		ack.how.verb = VERB_RELEASE;
		ack.how.flags = SETTLE_COUNTED;
		return RMQ_E_OK;
	case OPT_DELAY:
		if (!units_duration(optarg, &ack.how.ms) || ack.how.ms > DELAY_MS_MAX)
			return reason_set(why, RMQ_E_USAGE,
			    "--delay: '%s' is not a duration up to 3650d", optarg);
		return RMQ_E_OK;
	case OPT_DEAD:
		ack.how.verb = VERB_DEAD;
		ack.how.why = slice_str(optarg ? optarg : "");
		if (ack.how.why.len > TEXT_MAX)
			return reason_set(why, RMQ_E_USAGE,
			    "--dead: the reason is longer than %d bytes", TEXT_MAX);
		return RMQ_E_OK;
	case OPT_TOUCH:
		ack.how.verb = VERB_TOUCH;
		if (!units_duration(optarg, &ack.how.ms) || ack.how.ms < LEASE_MS_MIN ||
		    ack.how.ms > LEASE_MS_MAX)
			return reason_set(why, RMQ_E_USAGE,
			    "--touch: '%s' is not a duration from 100ms to 7d", optarg);
		return RMQ_E_OK;
	case OPT_PASS:
		ack.pass = true;
		return RMQ_E_OK;
	case OPT_SKIP_BAD:
		ack.skip_bad = true;
		return RMQ_E_OK;
	}
	why->text[0] = 0;
	return RMQ_E_USAGE;
}

static enum rmq_error parse(int argc, char **argv, struct reason *why)
{
	bool delayed = false;
	int option, verbs = 0;
	enum rmq_error err = client_options_init(&ack.common, 30000, why);
	ack.how.verb = VERB_SETTLE;
	while (!err && (option = getopt_long(
			    argc, argv, "+" CLIENT_OPTIONS_SHORT, longs, NULL)) != -1) {
		delayed |= option == OPT_DELAY;
		verbs += option == OPT_RELEASE || option == OPT_FAIL || option == OPT_DEAD ||
			 option == OPT_TOUCH;
		err = client_options_take(&ack.common, option, optarg, why);
		if (err == RMQ_E_NOTHING)
			err = take_option(option, why);
	}
	if (err)
		return err;
	if (verbs > 1)
		return reason_set(
		    why, RMQ_E_USAGE, "only one of --release, --fail, --dead and --touch can be given");
	if (delayed && ack.how.verb != VERB_RELEASE)
		return reason_set(why, RMQ_E_USAGE, "--delay goes with --release or --fail");
	if (optind < argc)
		ack.words = argv + optind;
	return RMQ_E_OK;
}

static int status(void)
{
	if (signals_caught())
		signals_die(signals_caught());
	if (ack.code)
		return error_exit(ack.code);
	if (ack.bad > 0)
		return error_exit(RMQ_E_BAD_DATA);
	return ack.stale > 0 ? error_exit(RMQ_E_STALE) : 0;
}

static void run(void)
{
	for (char **word = ack.words; word && *word && !ack.code; word++)
		take_line(slice_str(*word));
	ack.ended |= ack.words != NULL;
	while (turn())
		;
	/* All is settled that will be: the reader gets what is left for it. */
	if (!ack.dead)
		printed(printer_finish(&ack.printer));
	if (!ack.dead) {
		int timeout_ms;
		client_bye(ack.io.client);
		(void)client_io_prepare(&ack.io, &timeout_ms);
	}
	const struct client_command *cmd = client_oldest(ack.io.client);
	for (; cmd; cmd = cmd->next)
		load_free(cmd->tag);
	load_free(ack.load);
}

int main(int argc, char **argv)
{
	struct reason why;
	struct client_config config = {.window = CLIENT_WINDOW};
	struct client_host host = {.done = on_done, .failed = on_failed, .fatal = on_fatal};
	startup();
	if (parse(argc, argv, &why))
		return why.text[0] ? usage(why.text) : error_exit(RMQ_E_USAGE);
	if (ack.common.help || ack.common.version) {
		fputs(ack.common.help ? usage_text : "rmq-ack " RMQ_VERSION "\n", stdout);
		return fflush(stdout) ? error_exit(RMQ_E_IO) : 0;
	}
	if (!signals_init()) {
		fprintf(stderr, "rmq-ack: %s\n", strerror(errno));
		return error_exit(RMQ_E_IO);
	}
	log_init("rmq-ack", ack.common.quiet ? -1 : ack.common.verbose);
	config.timeout_ms = ack.common.timeout_ms;
	enum rmq_error err = client_io_open(&ack.io, ack.common.servers, &config, &host, &why);
	if (err) {
		fprintf(stderr, "rmq-ack: %s\n", why.text);
		return error_exit(err);
	}
	int error = printer_open(&ack.printer, STDOUT_FILENO, '\n');
	if (error && ack.pass) {
		fprintf(stderr, "rmq-ack: standard output: %s\n", strerror(error));
		return error_exit(RMQ_E_IO);
	}
	splitter_init(&ack.splitter, '\n');
	run();
	printer_deinit(&ack.printer);
	client_io_close(&ack.io);
	splitter_deinit(&ack.splitter);
	return status();
}
