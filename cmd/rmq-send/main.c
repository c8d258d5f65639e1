/* rmq-send: stores records in a queue.  See rmq-send(1). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/name.h"
#include "core/base/units.h"
#include "progress.h"
#include "sender.h"
#include "sys/client/client_options.h"
#include "sys/process/clock.h"
#include "sys/process/heap.h"
#include "sys/process/log.h"
#include "sys/process/signals.h"
#include "sys/process/startup.h"
#include "unsent.h"

enum {
	OPT_FILES = 256,
	OPT_REQUIRE_NEWLINE,
	OPT_SKIP_BAD,
	OPT_PASS,
	OPT_UNSENT,
	OPT_WAIT,
	OPT_RESUME,
	OPT_ID_FROM,
	OPT_NO_WAIT,
	OPT_NO_CREATE,
	OPT_SPREAD,
	OPT_REPLACE,
	OPT_ALLOW_UNROUTED,
	OPT_WINDOW,
	OPT_PROGRESS
};

static const struct option_row rows[] = {{'0', "null", NULL, NULL, NULL, "records end in NUL"},
    {'w', "whole", NULL, NULL, NULL, "all of stdin is one message"},
    {OPT_FILES, "files", NULL, NULL, NULL, "each argument or record names a file to be sent"},
    {'J', "envelopes", NULL, NULL, NULL, "lines are envelopes, as of rmq-recv -j"},
    {'H', "header", "NAME=VALUE", NULL, NULL, "a header of each message; repeatable"},
    {'p', "priority", "N", "0|1|2|3|4|5|6|7|8|9", "4", "0 to 9; 9 comes first"},
    {'k', "key", "KEY", NULL, NULL, "one message of a key at a time, in order"},
    {OPT_REPLACE, "replace", NULL, NULL, NULL,
	"older ones of that key that nobody holds are deleted"},
    {'d', "delay", "DUR|TIME", NULL, NULL, "not before"},
    {'e', "expire", "DUR|TIME", NULL, NULL, "not after"},
    {OPT_REQUIRE_NEWLINE, "require-newline", NULL, NULL, NULL,
	"a last line without its newline is bad"},
    {OPT_SKIP_BAD, "skip-bad", NULL, NULL, NULL, "skip bad records, 65 at the end"},
    {'i', "print-ids", NULL, NULL, NULL, "print the id of each message as it is stored"},
    {OPT_PASS, "pass", NULL, NULL, NULL, "print each record as it is stored"},
    {OPT_UNSENT, "unsent", "FILE", NULL, NULL,
	"on failure, gets what is not known to be stored"},
    {OPT_RESUME, "resume", "NAME", NULL, NULL,
	"pass over the records that NAME has stored here before"},
    {OPT_ID_FROM, "id-from", "hash|json:.PATH", NULL, NULL,
	"do not store again what was stored lately"},
    {OPT_WAIT, "wait", NULL, NULL, NULL,
	"stay until each message is settled; 65: some are dead letters"},
    {OPT_NO_WAIT, "no-wait", NULL, NULL, NULL, "75 at once when the queue is full"},
    {OPT_NO_CREATE, "no-create", NULL, NULL, NULL, "66 instead of making the queue"},
    {'t', "topic", NULL, NULL, NULL, "QUEUE is a topic: for each queue that is bound to it"},
    {OPT_SPREAD, "spread", NULL, NULL, NULL,
	"each to the part of QUEUE, of one in each cell, that takes it first"},
    {OPT_ALLOW_UNROUTED, "allow-unrouted", NULL, NULL, NULL,
	"0 though no queue is bound to the topic (66)"},
    {OPT_WINDOW, "window", "N", NULL, "16", "batches in flight"},
    {OPT_PROGRESS, "progress", NULL, NULL, NULL, "show a progress bar"}, {0}};

static const struct option_table program = {"rmq-send", NULL, "QUEUE [[--] MESSAGE...]",
    "Stores the arguments, or each line of stdin, durably in QUEUE.  Exit 0: all are stored.\n",
    {rows, client_options, options_of_all, NULL}, NULL};

static int usage(const char *why)
{
	fprintf(stderr, "rmq-send: %s\n", why);
	return error_exit(RMQ_E_USAGE);
}

/* What the command line sets. */
struct line {
	struct send_options *o;
	struct input *in;
	struct labels *labels;
	bool progress;
};

static enum rmq_error take_header(struct labels *labels, struct reason *why)
{
	const char *equals = strchr(optarg, '=');
	if (!equals)
		return reason_set(why, RMQ_E_USAGE, "--header: '%s' is not NAME=VALUE", optarg);
	const char *what = headers_put(&labels->headers,
	    slice_of(optarg, (size_t)(equals - optarg)), slice_str(equals + 1));
	return what ? reason_set(why, RMQ_E_USAGE, "--header: %s", what) : RMQ_E_OK;
}

static enum rmq_error take_moment(const char *name, struct moment *m, struct reason *why)
{
	if (moment_parse(optarg, m))
		return RMQ_E_OK;
	return reason_set(why, RMQ_E_USAGE,
	    "--%s: '%s' is not a duration (90s, 2h; 10 years at most) or a time (@EPOCH, "
	    "RFC 3339)",
	    name, optarg);
}

/* What is said about all messages. */
static enum rmq_error take_label(struct labels *labels, int option, struct reason *why)
{
	uint64_t n;
	switch (option) {
	case 'H':
		return take_header(labels, why);
	case 'p':
		if (!units_count(optarg, 0, PRIORITY_MAX, &n))
			return reason_set(why, RMQ_E_USAGE,
			    "--priority: '%s' is not from 0 to %d", optarg, PRIORITY_MAX);
		labels->has_priority = true;
		labels->priority = (uint8_t)n;
		return RMQ_E_OK;
	case 'k':
		if (!attribute_is_key(slice_str(optarg)))
			return reason_set(why, RMQ_E_USAGE,
			    "--key: a key is 1 to 255 bytes of UTF-8 without control "
			    "characters");
		labels->key.len = 0;
		text_put_str(&labels->key, optarg);
		return RMQ_E_OK;
	case 'd':
		return take_moment("delay", &labels->delay, why);
	case 'e':
		return take_moment("expire", &labels->expire, why);
	}
	return RMQ_E_USAGE;
}

/* The switch in o that the option sets, NULL: it is none. */
static bool *switch_of(struct send_options *o, int option)
{
	switch (option) {
	case OPT_WAIT:
		return &o->wait;
	case OPT_NO_WAIT:
		return &o->no_wait;
	case OPT_REPLACE:
		return &o->replace;
	case OPT_NO_CREATE:
		return &o->no_create;
	case OPT_ALLOW_UNROUTED:
		return &o->allow_unrouted;
	case OPT_SKIP_BAD:
		return &o->skip_bad;
	case OPT_SPREAD:
		return &o->spread;
	case 'i':
		return &o->print_ids;
	case OPT_PASS:
		return &o->pass;
	}
	return NULL;
}

static enum rmq_error take_option(void *arg, int option, struct reason *why)
{
	struct line *l = arg;
	struct send_options *o = l->o;
	struct input *in = l->in;
	uint64_t n;
	switch (option) {
	case '0':
		in->separator = 0;
		return RMQ_E_OK;
	case 'w':
		in->kind = INPUT_WHOLE;
		return RMQ_E_OK;
	case 'J':
		in->envelopes = true;
		return RMQ_E_OK;
	case OPT_FILES:
		in->files = true;
		return RMQ_E_OK;
	case OPT_REQUIRE_NEWLINE:
		in->require_newline = true;
		return RMQ_E_OK;
	case OPT_UNSENT:
		if (!*optarg)
			return reason_set(
			    why, RMQ_E_USAGE, "--unsent: '' is not a file's name");
		o->unsent = optarg;
		return RMQ_E_OK;
	case OPT_ID_FROM:
		if (!record_id_parse(optarg, &in->id))
			return reason_set(why, RMQ_E_USAGE,
			    "--id-from: '%s' is not hash or json:.path", optarg);
		return RMQ_E_OK;
	case OPT_RESUME:
		if (!name_valid(slice_str(optarg)))
			return reason_set(why, RMQ_E_USAGE,
			    "--resume: '%s' is not a name (as of a queue)", optarg);
		o->resume = optarg;
		return RMQ_E_OK;
	case 't':
		o->topic = in->topic = true;
		o->common.names = NAMES_TOPIC;
		return RMQ_E_OK;
	case OPT_WINDOW:
		if (!units_count(optarg, 1, SESSION_WINDOW, &n))
			return reason_set(why, RMQ_E_USAGE,
			    "--window: '%s' is not from 1 to %d", optarg, SESSION_WINDOW);
		o->window = (uint32_t)n;
		return RMQ_E_OK;
	case OPT_PROGRESS:
		l->progress = true;
		return RMQ_E_OK;
	}
	bool *on = switch_of(o, option);
	if (on)
		*on = true;
	return on ? RMQ_E_OK : take_label(l->labels, option, why);
}

/* Whether somebody has put records there, so that none need to be arguments. */
static bool stdin_has_records(void)
{
	struct stat st;
	return fstat(STDIN_FILENO, &st) == 0 &&
	       (S_ISFIFO(st.st_mode) || S_ISREG(st.st_mode) || S_ISSOCK(st.st_mode));
}

static enum rmq_error parse(int argc, char **argv, struct line *l, struct reason *why)
{
	struct input *in = l->in;
	struct client_line line = {argc, argv, &program, take_option, l, NULL, false, NULL};
	enum rmq_error err = client_options_line(&l->o->common, &line, why);
	if (err || !line.queue)
		return err;
	l->o->queue = line.queue;
	/* Behind "--" there are messages, even if there are none. */
	if (optind < argc || line.dashes)
		in->words = argv + optind;
	if (in->words && in->kind == INPUT_WHOLE)
		return reason_set(
		    why, RMQ_E_USAGE, "--whole reads stdin and takes no messages");
	/* What was meant as a message would vanish as an option. */
	if (line.late && !in->words && !stdin_has_records())
		return reason_set(why, RMQ_E_USAGE,
		    "'%s' after QUEUE is an option, and standard input is not a pipe or file: "
		    "put '--' before messages that begin with '-'",
		    line.late);
	if (in->files && in->kind == INPUT_WHOLE)
		return reason_set(why, RMQ_E_USAGE, "--whole and --files exclude each other");
	if (l->o->replace && l->labels->key.len == 0 && !in->envelopes)
		return reason_set(why, RMQ_E_USAGE, "--replace needs --key, or --envelopes");
	if (in->envelopes && (in->files || in->kind == INPUT_WHOLE))
		return reason_set(why, RMQ_E_USAGE, "--envelopes and --%s exclude each other",
		    in->files ? "files" : "whole");
	if (l->o->wait && l->o->no_wait)
		return reason_set(why, RMQ_E_USAGE, "--wait and --no-wait exclude each other");
	if (labels_expire_first(l->labels, clock_wall()))
		return reason_set(why, RMQ_E_USAGE,
		    "the messages would expire before they are due: --expire must be after "
		    "--delay");
	if (l->o->allow_unrouted && !l->o->topic)
		return reason_set(why, RMQ_E_USAGE, "--allow-unrouted needs --topic");
	/* Which part has a record depends on what else is sent. */
	if (l->o->spread && (l->o->topic || l->o->resume))
		return reason_set(why, RMQ_E_USAGE, "--spread and %s exclude each other",
		    l->o->topic ? "--topic" : "--resume");
	/* It has a number of its own in each queue that it comes to. */
	if (l->o->topic && (l->o->print_ids || l->o->wait || l->o->resume || in->id.used))
		return reason_set(why, RMQ_E_USAGE, "--topic and %s exclude each other",
		    l->o->wait	      ? "--wait"
		    : l->o->resume    ? "--resume"
		    : l->o->print_ids ? "--print-ids"
				      : "--id-from");
	return RMQ_E_OK;
}

static void bad_record(const struct sender *s, uint64_t record, const char *why)
{
	if (s->o->common.quiet)
		return;
	progress_clear();
	fprintf(stderr, "rmq-send: %s: %s %llu: %s\n", s->o->queue, s->o->unit,
	    (unsigned long long)record, why);
}

static void dead_letter(void *arg, uint64_t seq)
{
	const struct part *p = arg;
	progress_clear();
	fprintf(
	    stderr, "rmq-send: %s:%llu: is a dead letter\n", p->queue, (unsigned long long)seq);
}

static void account(const struct sender *s, const char *why)
{
	char unknown[64] = "";
	uint64_t n = sender_unknown(s), all = s->read + input_waiting(s->in);
	/* The one that ended it was read as well. */
	if (all < s->bad_at)
		all = s->bad_at;
	if (n > 0)
		snprintf(unknown, sizeof(unknown), ", %llu unknown", (unsigned long long)n);
	fprintf(stderr, "rmq-send: %s: %s: %llu of %llu %ss stored%s\n", s->o->queue, why,
	    (unsigned long long)s->stored, (unsigned long long)all, s->o->unit, unknown);
}

static int skipped_before(void *arg, char separator)
{
	return unsent_carry(arg, separator);
}

/* 0, or errno. */
static int end_unsent(struct sender *s, struct unsent *unsent)
{
	/* While it waits, all is stored that is not bad. */
	bool failed = (s->code || s->signal) && !sender_waits(s);
	bool only_bad = sender_keeps_only_bad(s);
	if (skipped_any(&s->skipped) || (failed && !only_bad))
		return unsent_keep(unsent, s);
	if (failed || s->passed_sent.skipped > 0)
		unsent_leave(unsent);
	else
		unsent_drop(unsent);
	return 0;
}

/* Says what happened and gives the exit status. */
static int finish(struct sender *s, struct unsent *unsent)
{
	int status = error_exit(sender_code(s));
	if (s->code == RMQ_E_NO_DAEMON)
		status = error_exit(RMQ_E_TIMEOUT);
	if (!status && s->bad > 0)
		status = error_exit(RMQ_E_BAD_DATA);
	if (!status && (sender_dead_letters(s) > 0 || s->passed_sent.skipped > 0))
		status = error_exit(RMQ_E_BAD_DATA);
	if (s->code || s->signal)
		account(s, s->code ? s->why : error_text(RMQ_E_INTERRUPTED));
	else if (s->bad > 0 && !s->o->common.quiet)
		account(s, "bad records");
	if (s->passed_sent.skipped > 0 && !s->o->common.quiet && !s->code && !s->signal)
		fprintf(stderr,
		    "rmq-send: %s: some of the first %llu %ss are not stored: earlier runs "
		    "skipped them as bad\n",
		    s->o->queue, (unsigned long long)s->passed_sent.skipped, s->o->unit);
	if (s->known > 0 && !s->o->common.quiet)
		fprintf(stderr, "rmq-send: %s: %llu %ss had been stored before\n", s->o->queue,
		    (unsigned long long)s->known, s->o->unit);
	if (s->not_waited > 0 && !s->o->common.quiet && !s->code && !s->signal)
		fprintf(stderr,
		    "rmq-send: %s: %llu %ss that had been stored before are not waited for: "
		    "their numbers are not known\n",
		    s->o->queue, (unsigned long long)s->not_waited, s->o->unit);
	int error = end_unsent(s, unsent);
	if (error)
		fprintf(stderr, "rmq-send: %s: %s\n", s->o->unsent, strerror(error));
	if (s->signal)
		signals_die(s->signal);
	return status;
}

static const char *unit_of(const struct input *in)
{
	if (in->files)
		return "file";
	if (in->words || in->kind == INPUT_WHOLE)
		return "message";
	return in->separator ? "line" : "record";
}

int main(int argc, char **argv)
{
	struct send_options o = {.window = CLIENT_WINDOW};
	static struct labels labels;
	struct input in = {.separator = '\n', .labels = &labels};
	struct line line = {&o, &in, &labels, false};
	struct reason why;
	static struct sender s;
	static struct spread cells;
	struct unsent unsent;

	heap_keep();
	if (!startup(&program, argc, argv))
		return 0;
	if (client_options_init(&o.common, 30000, &why))
		return usage(why.text);
	if (parse(argc, argv, &line, &why))
		return why.text[0] ? usage(why.text) : error_exit(RMQ_E_USAGE);
	if (o.common.help || o.common.version)
		return error_exit(options_print(&program, NULL, o.common.help));
	o.unit = unit_of(&in);
	/* Before anything is sent: a file that cannot be written is of no use afterwards. */
	int error = unsent_open(&unsent, o.unsent);
	if (error) {
		fprintf(stderr, "rmq-send: %s: %s\n", o.unsent, strerror(error));
		return error_exit(RMQ_E_IO);
	}
	if (!signals_init()) {
		fprintf(stderr, "rmq-send: %s\n", strerror(errno));
		return error_exit(RMQ_E_IO);
	}
	input_init(&in);
	log_init("rmq-send", o.common.quiet ? -1 : o.common.verbose);
	s.bad_record = bad_record;
	s.skipped_before = skipped_before;
	s.arg = &unsent;
	s.dead_letter = dead_letter;
	enum rmq_error err = o.spread ? spread_find(&cells, &o.common, &why) : RMQ_E_OK;
	if (!err)
		err = sender_open(&s, &o, o.spread ? &cells : NULL, &in, unsent.fd, &why);
	if (err) {
		if (err != RMQ_E_INTERRUPTED)
			fprintf(stderr, "rmq-send: %s\n", why.text);
		unsent_leave(&unsent);
		if (err == RMQ_E_INTERRUPTED)
			signals_die(signals_caught());
		return error_exit(err);
	}
	sender_run(&s, progress_wanted(&o, line.progress) ? progress_show : NULL);
	progress_clear();
	int status = finish(&s, &unsent);
	sender_close(&s);
	spread_deinit(&cells);
	input_deinit(&in);
	labels_deinit(&labels);
	return status;
}
