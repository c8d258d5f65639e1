/* rmq-recv: prints the messages of a queue.  See rmq-recv(1). */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/name.h"
#include "core/base/units.h"
#include "everywhere.h"
#include "receiver.h"
#include "worker.h"
#include "sys/client/client_options.h"
#include "sys/process/heap.h"
#include "sys/process/log.h"
#include "sys/process/signals.h"
#include "sys/process/startup.h"

enum {
	OPT_DRAIN = 256,
	OPT_WAIT,
	OPT_LEASE,
	OPT_PREFETCH,
	OPT_NO_CREATE,
	OPT_AS,
	OPT_SPREAD,
	OPT_SKIP_BAD,
	OPT_RAW,
	OPT_INTO,
	OPT_ACK
};

static const struct option_row rows[] = {
    {'n', "count", "N", NULL, NULL, "end after N messages"},
    {'1', NULL, NULL, NULL, NULL, "end after one"},
    {OPT_DRAIN, "drain", "[=all]", NULL, NULL,
	"end when nothing is ready (all: nor leased or in back-off)"},
    {OPT_WAIT, "wait", "DUR", NULL, NULL, "end when none came for DUR; 1 if none came at all"},
    {OPT_LEASE, "lease", "DUR", NULL, "the queue's",
	"length of leases; they are extended while held"},
    {OPT_PREFETCH, "prefetch", "N", NULL, NULL,
	"messages leased ahead (as many as the output takes)"},
    {OPT_NO_CREATE, "no-create", NULL, NULL, NULL, "66 instead of making the queue"},
    {'t', "topic", NULL, NULL, NULL,
	"QUEUE is a pattern: what comes to topics that match, from now on"},
    {OPT_AS, "as", "NAME", "QUEUE", NULL,
	"with -t: also while it does not run, in the queue NAME"},
    {OPT_SPREAD, "spread", NULL, NULL, NULL, "from the parts of QUEUE in all cells"},
    {OPT_SKIP_BAD, "skip-bad", NULL, NULL, NULL,
	"dead-letter what cannot be printed, 65 at the end"},
    {'0', "null", NULL, NULL, NULL, "end messages with NUL"},
    {'j', "json", NULL, NULL, NULL, "print envelopes"},
    {'o', "output", "FIELD,...", ENVELOPE_FIELD_WORDS, NULL,
	"print fields, tab-separated, body last"},
    {OPT_RAW, "raw", NULL, NULL, NULL, "print bodies and nothing else"},
    {OPT_INTO, "into", "DIR", NULL, NULL,
	"each message becomes a file of DIR; its path is printed"},
    {OPT_ACK, "ack", "MODE", "read|write|sync|none|manual", NULL,
	"settled when read (default on a pipe), write (default else), sync; none: before the "
	"write; manual: by rmq-ack"},
    {0}};

static const struct option_table program = {"rmq-recv", NULL, "QUEUE [[--] COMMAND [ARG]...]",
    "Prints the messages of QUEUE, a line each, and settles them when they are taken.\n"
    "With COMMAND, runs it for each message, the body on its stdin, and settles by its exit.\n",
    {rows, work_option_rows, client_options, options_of_all}, NULL};

#define INTO_PREFETCH \
	256 /* files are synced one after the other, and nothing else is done meanwhile */

static int usage(const char *why)
{
	fprintf(stderr, "rmq-recv: %s\n", why);
	return error_exit(RMQ_E_USAGE);
}

static enum rmq_error bad_value(struct reason *why, const char *option, const char *what)
{
	return reason_set(why, RMQ_E_USAGE, "%s: '%s' is not %s", option, optarg, what);
}

static enum rmq_error take_ack(struct recv_options *o, struct reason *why)
{
	static const struct {
		const char *name;
		enum ack ack;
	} acks[] = {{"read", ACK_READ}, {"write", ACK_WRITE}, {"sync", ACK_SYNC},
	    {"none", ACK_NONE}, {"manual", ACK_MANUAL}};
	for (size_t i = 0; i < sizeof(acks) / sizeof(acks[0]); i++) {
		if (strcmp(optarg, acks[i].name) == 0) {
			o->ack = acks[i].ack;
			return RMQ_E_OK;
		}
	}
	return bad_value(why, "--ack", "read, write, sync, none or manual");
}

/* Options that say when to end. */
static enum rmq_error take_end(int option, struct recv_options *o, struct reason *why)
{
	switch (option) {
	case '1':
		o->end.count = 1;
		return RMQ_E_OK;
	case 'n':
		if (units_count(optarg, 1, UINT64_MAX / 2, &o->end.count))
			return RMQ_E_OK;
		return bad_value(why, "--count", "a number of at least 1");
	case OPT_DRAIN:
		o->end.drain = optarg ? DRAIN_ALL : DRAIN_HERE;
		if (!optarg || strcmp(optarg, "all") == 0)
			return RMQ_E_OK;
		return bad_value(why, "--drain", "all");
	case OPT_WAIT:
		if (units_duration(optarg, &o->end.wait_ms))
			return RMQ_E_OK;
		return bad_value(why, "--wait", "a duration");
	}
	return RMQ_E_NOTHING;
}

static enum rmq_error take_format(
    struct recv_options *o, enum format format, struct reason *why)
{
	if (o->format != FORMAT_LINES && o->format != format)
		return reason_set(
		    why, RMQ_E_USAGE, "-j, -o, --raw and --into exclude each other");
	o->format = format;
	return RMQ_E_OK;
}

static enum rmq_error take_option(void *arg, int option, struct reason *why)
{
	struct recv_options *o = arg;
	uint64_t n;
	enum rmq_error err = take_end(option, o, why);
	if (err == RMQ_E_NOTHING)
		err = work_options_take(&o->work, option, optarg, why);
	if (err != RMQ_E_NOTHING)
		return err;
	switch (option) {
	case OPT_LEASE:
		if (!units_duration(optarg, &n) || n < LEASE_MS_MIN || n > LEASE_MS_MAX)
			return bad_value(why, "--lease", "a duration from 100ms to 7d");
		o->lease_ms = (uint32_t)n;
		return RMQ_E_OK;
	case OPT_PREFETCH:
		if (!units_count(optarg, 0, GRANT_MESSAGES_MAX * 16u, &n))
			return bad_value(why, "--prefetch", "a number from 1 to 131072");
		o->prefetch_none = n == 0;
		o->prefetch = o->work.config.prefetch = (uint32_t)n;
		return RMQ_E_OK;
	case OPT_NO_CREATE:
		o->no_create = true;
		return RMQ_E_OK;
	case 't':
		o->common.names = NAMES_PATTERN;
		return RMQ_E_OK;
	case OPT_AS:
		if (!name_valid(slice_str(optarg)))
			return bad_value(why, "--as", "a queue name");
		o->as = optarg;
		return RMQ_E_OK;
	case OPT_SPREAD:
		o->spread = true;
		return RMQ_E_OK;
	case OPT_SKIP_BAD:
		o->skip_bad = true;
		return RMQ_E_OK;
	case '0':
		o->separator = 0;
		o->separator_given = true;
		return RMQ_E_OK;
	case 'j':
		return take_format(o, FORMAT_JSON, why);
	case OPT_RAW:
		return take_format(o, FORMAT_RAW, why);
	case OPT_INTO:
		o->into = optarg;
		return take_format(o, FORMAT_INTO, why);
	case 'o':
		err = take_format(o, FORMAT_FIELDS, why);
		if (err)
			return err;
		if (envelope_fields_parse(&o->fields, optarg))
			return RMQ_E_OK;
		return bad_value(
		    why, "--output", "a list of fields, of which body is the last");
	case OPT_ACK:
		return take_ack(o, why);
	}
	return RMQ_E_USAGE;
}

/* What goes with COMMAND, or without it, only. */
static enum rmq_error check(struct recv_options *o, struct reason *why)
{
	struct work_options *w = &o->work;
	static const char *const printed[] = {
	    [FORMAT_FIELDS] = "-o", [FORMAT_RAW] = "--raw", [FORMAT_INTO] = "--into"};
	const char *other = o->ack != ACK_DEFAULT ? "--ack" : printed[o->format];
	enum rmq_error err = work_options_check(w, why);
	if (err)
		return err;
	if (!w->command && o->prefetch_none)
		return reason_set(
		    why, RMQ_E_USAGE, "--prefetch: '0' is not a number from 1 to 131072");
	if (!w->command && o->into && o->ack != ACK_DEFAULT)
		return reason_set(why, RMQ_E_USAGE, "--into and --ack exclude each other");
	if (!w->command)
		return o->format == FORMAT_RAW && o->separator == 0
			   ? reason_set(why, RMQ_E_USAGE, "-0 and --raw exclude each other")
			   : RMQ_E_OK;
	if (other)
		return reason_set(why, RMQ_E_USAGE, "%s does not go with COMMAND", other);
	if (o->separator_given && !w->form.several && !w->to)
		return reason_set(why, RMQ_E_USAGE, "-0 goes with --batch or --to");
	w->form.envelopes = o->format == FORMAT_JSON;
	w->form.separator = o->separator;
	w->form.argv = w->command;
	return RMQ_E_OK;
}

static enum rmq_error parse(int argc, char **argv, struct recv_options *o, struct reason *why)
{
	struct client_line line = {argc, argv, &program, take_option, o, NULL, false, NULL};
	enum rmq_error err = client_options_line(&o->common, &line, why);
	o->queue = line.queue;
	if (err || !line.queue)
		return err;
	bool topic = o->common.names == NAMES_PATTERN;
	if (o->as && !topic)
		return reason_set(why, RMQ_E_USAGE, "--as needs --topic");
	if (o->spread && topic)
		return reason_set(why, RMQ_E_USAGE, "--topic and --spread exclude each other");
	o->ephemeral = topic && !o->as;
	if (o->as) {
		o->pattern = o->queue;
		o->queue = o->as;
	}
	if (optind < argc)
		o->work.command = argv + optind;
	else if (line.dashes)
		return reason_set(why, RMQ_E_USAGE, "no COMMAND after --");
	return check(o, why);
}

/* What depends on what stdout is. */
static enum rmq_error settle_defaults(
    struct recv_options *o, const struct output *out, struct reason *why)
{
	/* A path that is printed is that of a message that is settled. */
	if (o->into) {
		o->ack = ACK_NONE;
		o->prefetch = o->prefetch ? o->prefetch : INTO_PREFETCH;
		o->into_fd = open(o->into, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (o->into_fd < 0)
			return reason_set(why, RMQ_E_IO, "%s: %s", o->into, strerror(errno));
	}
	if (o->ack == ACK_DEFAULT)
		o->ack = out->kind == OUTPUT_PIPE ? ACK_READ : ACK_WRITE;
	if (o->ack == ACK_READ && out->kind != OUTPUT_PIPE)
		return reason_set(
		    why, RMQ_E_USAGE, "--ack read: standard output is not a pipe");
	if (o->ack == ACK_SYNC && !out->syncable)
		return reason_set(
		    why, RMQ_E_USAGE, "--ack sync: standard output is not a file");
	/* Unsettled ones are others' to settle: it makes no sense to pile them up. */
	if (o->ack == ACK_MANUAL && o->prefetch == 0)
		o->prefetch = 256;
	return RMQ_E_OK;
}

static int finish(const struct receiver *r)
{
	const struct recv_options *o = r->o;
	bool came = r->taken > 0 || r->bad > 0;
	if (r->code)
		fprintf(stderr, "rmq-recv: %s: %s\n", o->queue, r->why);
	if (r->signal)
		signals_die(r->signal);
	if (r->code)
		return error_exit(r->code);
	if (r->bad > 0)
		return error_exit(RMQ_E_BAD_DATA);
	if (!came && o->end.wait_ms != UNITS_INFINITY && o->end.drain == DRAIN_NO &&
	    !signals_caught())
		return error_exit(RMQ_E_NOTHING);
	return 0;
}

/* Without COMMAND. */
static int receive(struct recv_options *o)
{
	static struct receiver r;
	struct reason why;
	int error = output_open(&r.out, STDOUT_FILENO);
	if (error) {
		fprintf(stderr, "rmq-recv: standard output: %s\n", strerror(error));
		return error_exit(RMQ_E_IO);
	}
	enum rmq_error err = settle_defaults(o, &r.out, &why);
	if (!err)
		err = receiver_open(&r, o, &why);
	if (err) {
		fprintf(stderr, "rmq-recv: %s\n", why.text);
		return error_exit(err);
	}
	receiver_run(&r);
	int status = finish(&r);
	receiver_close(&r);
	return status;
}

static int work(const struct recv_options *o)
{
	static struct worker w;
	struct reason why;
	int status;
	if (worker_open(&w, o, &status, &why)) {
		fprintf(stderr, "rmq-recv: %s\n", why.text);
		return status;
	}
	worker_run(&w);
	status = worker_finish(&w);
	worker_close(&w);
	return status;
}

/*
 * Which parts there are: of a queue that is spread over cells one in each; an ephemeral subscription is made
 * in each, as each knows what comes to topics in it, and a durable one is bound in each.  -1, or the exit
 * status.
 */
static int find_parts(struct recv_options *o, struct spread *cells)
{
	struct reason why;
	char name[NAME_MAX_LEN + 1];
	if (!o->spread && !o->ephemeral && !o->pattern)
		return -1;
	enum rmq_error err = spread_find(cells, &o->common, &why);
	if (!err && o->pattern && cells->cells.count > 1)
		err = everywhere_bind(o, cells, &why);
	if (err == RMQ_E_INTERRUPTED && signals_caught() == SIGTERM && supply_for_ever(&o->end))
		return 0;
	if (err == RMQ_E_INTERRUPTED)
		signals_die(signals_caught());
	for (uint32_t i = 0; i < cells->cells.count && o->spread && !err; i++)
		err = spread_part(cells, i, o->queue, name, &why);
	if (err) {
		fprintf(stderr, "rmq-recv: %s: %s\n", o->queue, why.text);
		return error_exit(err);
	}
	if (o->spread || (o->ephemeral && cells->cells.count > 1))
		o->cells = cells;
	return -1;
}

int main(int argc, char **argv)
{
	struct recv_options o = {
	    .end = {.count = UINT64_MAX, .wait_ms = UNITS_INFINITY}, .separator = '\n'};
	static struct spread cells;
	struct reason why;

	heap_keep();
	if (!startup(&program, argc, argv))
		return 0;
	work_options_init(&o.work);
	if (client_options_init(&o.common, UNITS_INFINITY - 1, &why))
		return usage(why.text);
	if (parse(argc, argv, &o, &why))
		return why.text[0] ? usage(why.text) : error_exit(RMQ_E_USAGE);
	if (o.common.help || o.common.version)
		return error_exit(options_print(&program, NULL, o.common.help));
	if (o.common.timeout_ms == UNITS_INFINITY - 1)
		o.common.timeout_ms = supply_for_ever(&o.end) ? UNITS_INFINITY : 30000;
	if (!signals_init()) {
		fprintf(stderr, "rmq-recv: %s\n", strerror(errno));
		return error_exit(RMQ_E_IO);
	}
	/* A closed stdout is noticed by the error, so that what is in hand can be given back.
	 */
	signal(SIGPIPE, SIG_IGN);
	log_init("rmq-recv", o.common.quiet ? -1 : o.common.verbose);
	int status = find_parts(&o, &cells);
	if (status < 0)
		status = o.work.command ? work(&o) : receive(&o);
	spread_deinit(&cells);
	return status;
}
