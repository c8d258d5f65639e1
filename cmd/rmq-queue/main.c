/* rmq-queue: administration of queues.  See rmq-queue(1). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin.h"
#include "columns.h"
#include "core/name.h"
#include "core/units.h"
#include "sys/signals.h"
#include "sys/stdfds.h"

enum {
	OPT_LEASE = 256,
	OPT_MAX_ATTEMPTS,
	OPT_BACKOFF,
	OPT_MAX_BYTES,
	OPT_MAX_MESSAGE,
	OPT_DEAD_LETTER,
	OPT_FORCE,
	OPT_STATE,
	OPT_FROM,
	OPT_WATCH
};

/* What the options of a sub-command said. */
struct request {
	struct client_settings settings;
	bool force;
	uint8_t states;
	uint64_t from;
	uint64_t limit;
	uint64_t watch_ms; /* stat: again after so long; 0: once */
	char separator;
	struct envelope_fields fields;
	struct table table;
	char **words;
	int words_count;
};

#define SETTING_OPTIONS \
	{"lease", required_argument, NULL, OPT_LEASE}, \
	    {"max-attempts", required_argument, NULL, OPT_MAX_ATTEMPTS}, \
	    {"backoff", required_argument, NULL, OPT_BACKOFF}, \
	    {"max-bytes", required_argument, NULL, OPT_MAX_BYTES}, \
	    {"max-message", required_argument, NULL, OPT_MAX_MESSAGE}, \
	{ \
		"dead-letter", required_argument, NULL, OPT_DEAD_LETTER \
	}
#define OUTPUT_OPTIONS \
	{"output", required_argument, NULL, 'o'}, \
	{ \
		"json", no_argument, NULL, 'j' \
	}

static const struct option table_options[] = {
    OUTPUT_OPTIONS, CLIENT_OPTIONS_LONG, {NULL, 0, NULL, 0}};
static const struct option stat_options[] = {{"watch", required_argument, NULL, OPT_WATCH},
    OUTPUT_OPTIONS, CLIENT_OPTIONS_LONG, {NULL, 0, NULL, 0}};
static const struct option setting_options[] = {
    SETTING_OPTIONS, CLIENT_OPTIONS_LONG, {NULL, 0, NULL, 0}};
static const struct option remove_options[] = {
    {"force", no_argument, NULL, OPT_FORCE}, CLIENT_OPTIONS_LONG, {NULL, 0, NULL, 0}};
static const struct option plain_options[] = {CLIENT_OPTIONS_LONG, {NULL, 0, NULL, 0}};
static const struct option peek_options[] = {{"count", required_argument, NULL, 'n'},
    {"state", required_argument, NULL, OPT_STATE}, {"from", required_argument, NULL, OPT_FROM},
    {"null", no_argument, NULL, '0'}, OUTPUT_OPTIONS, CLIENT_OPTIONS_LONG, {NULL, 0, NULL, 0}};

#define LS_COLUMNS   "queue,ready,leased,delayed,bytes,receivers"
#define STAT_COLUMNS "queue,sent,delivered,settled,failed,dead"
#define SHOW_COLUMNS \
	"queue,ready,leased,delayed,bytes,receivers,sent,delivered,settled,failed,dead," \
	"next-seq,lease,max-attempts,backoff,max-bytes,max-message,dead-letter"

/* ---- sub-commands ---- */

static enum rmq_error open_table(struct admin *a, struct request *q, const char *columns)
{
	if (!table_init(&q->table, &columns_of_queue, a->fields ? a->fields : columns))
		return admin_fail(a, RMQ_E_USAGE, "'%s' is not a list of fields", a->fields);
	q->table.json = a->json;
	q->table.aligned = !a->json && !a->fields && isatty(STDOUT_FILENO);
	return RMQ_E_OK;
}

static void print_text(struct text *out)
{
	fwrite(out->data, 1, out->len, stdout);
	text_deinit(out);
}

static void on_row(void *arg, const struct wire_listed *row)
{
	struct text out = {0};
	table_row(&((struct request *)arg)->table, &out, row);
	print_text(&out);
}

static enum rmq_error print_table(
    struct admin *a, struct request *q, const char *columns, const char *glob)
{
	struct text out = {0};
	enum rmq_error err = open_table(a, q, columns);
	a->row = on_row;
	a->arg = q;
	if (!err)
		err = admin_list(a, glob);
	if (!err) {
		table_end(&q->table, &out);
		print_text(&out);
	}
	return err;
}

static enum rmq_error run_ls(struct admin *a, struct request *q)
{
	return print_table(a, q, LS_COLUMNS, q->words_count > 0 ? q->words[0] : "*");
}

static enum rmq_error print_stat(struct admin *a, struct request *q)
{
	a->rows = 0;
	enum rmq_error err =
	    print_table(a, q, STAT_COLUMNS, q->words_count > 0 ? q->words[0] : "*");
	if (!err && q->words_count > 0 && a->rows == 0) {
		a->about = q->words[0];
		return admin_fail(a, RMQ_E_NO_QUEUE, "%s", error_text(RMQ_E_NO_QUEUE));
	}
	return err;
}

static enum rmq_error run_stat(struct admin *a, struct request *q)
{
	enum rmq_error err = print_stat(a, q);
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
	struct text out = {0};
	if (q->words_count == 1 && q->table.json)
		table_row(&q->table, &out, row);
	else if (q->words_count == 1)
		table_lines(&q->table, &out, row);
	else
		for (unsigned i = 0; i < q->table.columns; i++)
			table_value(&q->table, &out, i, row);
	print_text(&out);
}

static enum rmq_error run_show(struct admin *a, struct request *q)
{
	struct text columns = {0};
	enum rmq_error err;
	for (int i = 1; i < q->words_count; i++) {
		text_put_str(&columns, q->words[i]);
		text_put_char(&columns, i + 1 < q->words_count ? ',' : 0);
	}
	if (q->words_count > 1)
		a->fields = columns.data;
	err = open_table(a, q, SHOW_COLUMNS);
	a->row = on_show;
	a->arg = q;
	if (!err)
		err = admin_list(a, q->words[0]);
	a->about = q->words[0];
	if (!err && a->rows == 0)
		err = admin_fail(a, RMQ_E_NO_QUEUE, "%s", error_text(RMQ_E_NO_QUEUE));
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

static enum rmq_error run_rm(struct admin *a, struct request *q)
{
	return admin_change(
	    a, WIRE_TYPE_QUEUE_REMOVE, q->words[0], q->force ? REMOVE_FORCE : 0, NULL);
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
};

static void on_message(void *arg, const struct client_delivery *d)
{
	struct peeking *p = arg;
	struct request *q = p->request;
	for (uint32_t i = 0; i < d->count && q->limit > 0; i++, q->limit--) {
		struct envelope e = envelope_of(d, slice_str(q->words[0]), i);
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

static const struct command {
	const char *name;
	const char *arguments;
	const char *help;
	enum rmq_error (*run)(struct admin *a, struct request *q);
	const char *letters;
	const struct option *options;
	int words_min;
	int words_max;
	bool queue; /* the first word is a queue's name */
} commands[] = {
    {"ls", "[-o FIELD,...] [-j] [GLOB]", "list queues", run_ls, "+o:j" CLIENT_OPTIONS_SHORT,
	table_options, 0, 1, false},
    {"show", "[-j] QUEUE [FIELD...]", "settings and counts; of FIELDs the values", run_show,
	"+o:j" CLIENT_OPTIONS_SHORT, table_options, 1, TABLE_COLUMNS_MAX, true},
    {"create", "[SETTING...] QUEUE", "make a queue", run_create, "+" CLIENT_OPTIONS_SHORT,
	setting_options, 1, 1, true},
    {"set", "SETTING... QUEUE", "change settings", run_set, "+" CLIENT_OPTIONS_SHORT,
	setting_options, 1, 1, true},
    {"rm", "[--force] QUEUE", "remove a queue; 1 if it holds messages", run_rm,
	"+" CLIENT_OPTIONS_SHORT, remove_options, 1, 1, true},
    {"purge", "QUEUE", "delete all messages", run_purge, "+" CLIENT_OPTIONS_SHORT,
	plain_options, 1, 1, true},
    {"peek", "[-n N] [--state STATE,...] [--from SEQ] [-0] [-j] [-o FIELD,...] QUEUE",
	"print messages without leasing them", run_peek, "+n:0o:j" CLIENT_OPTIONS_SHORT,
	peek_options, 1, 1, true},
    {"stat", "[--watch DUR] [-o FIELD,...] [-j] [QUEUE]",
	"counters since the queue was made; again each DUR", run_stat,
	"+o:j" CLIENT_OPTIONS_SHORT, stat_options, 0, 1, true},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_usage(FILE *f)
{
	fputs("usage: rmq-queue COMMAND [OPTION]... [ARGUMENT]...\n", f);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(f, "  %-7s%s\n         %s\n", commands[i].name, commands[i].arguments,
		    commands[i].help);
	fputs("settings: --lease DUR --max-attempts N --backoff MIN,MAX --max-bytes SIZE\n"
	      "          --max-message SIZE --dead-letter QUEUE|none\n"
	      "  -S, --server ADDR,... contact points (RMQ_SERVERS)\n"
	      "      --timeout DUR     longest time without an answer (30s)\n"
	      "  -q, --quiet  -v, --verbose  -h, --help  -V, --version\n",
	    f);
}

/* ---- options ---- */

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

static bool take_setting(int option, struct client_settings *s)
{
	uint64_t n = 0;
	bool ok = false;
	switch (option) {
	case OPT_LEASE:
		ok = units_duration(optarg, &n) && n >= LEASE_MS_MIN && n <= LEASE_MS_MAX;
		s->lease_ms = (uint32_t)n;
		s->mask |= SETTING_LEASE;
		break;
	case OPT_MAX_ATTEMPTS:
		ok = units_count(optarg, 1, UINT32_MAX, &n);
		s->max_attempts = (uint32_t)n;
		s->mask |= SETTING_MAX_ATTEMPTS;
		break;
	case OPT_BACKOFF:
		ok = take_backoff(s, optarg);
		s->mask |= SETTING_BACKOFF;
		break;
	case OPT_MAX_BYTES:
		ok = units_size(optarg, &s->max_bytes);
		s->mask |= SETTING_MAX_BYTES;
		break;
	case OPT_MAX_MESSAGE:
		ok = units_size(optarg, &n) && n > 0 && n <= MESSAGE_MAX;
		s->max_message = (uint32_t)n;
		s->mask |= SETTING_MAX_MESSAGE;
		break;
	case OPT_DEAD_LETTER:
		ok = strcmp(optarg, "none") == 0 || name_valid(slice_str(optarg));
		s->dead_letter = slice_str(strcmp(optarg, "none") == 0 ? "-" : optarg);
		s->mask |= SETTING_DEAD_LETTER;
		break;
	}
	return ok;
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

static bool take_option(int option, struct admin *a, struct request *q)
{
	switch (option) {
	case 'j':
		a->json = true;
		return true;
	case 'o':
		a->fields = optarg;
		return true;
	case '0':
		q->separator = 0;
		return true;
	case 'n':
		return units_count(optarg, 1, UINT64_MAX / 2, &q->limit);
	case OPT_FORCE:
		q->force = true;
		return true;
	case OPT_STATE:
		return take_states(q, optarg);
	case OPT_WATCH:
		return units_duration(optarg, &q->watch_ms) && q->watch_ms > 0 &&
		       q->watch_ms <= INT32_MAX;
	case OPT_FROM:
		return units_count(optarg, 0, UINT64_MAX / 2, &q->from);
	}
	return take_setting(option, &q->settings);
}

static enum rmq_error parse(
    int argc, char **argv, const struct command *c, struct admin *a, struct request *q)
{
	struct reason why;
	int option;
	bool dashes = false;
	/* Options may stand before and behind the queue. */
	char **words = calloc((size_t)argc + 1, sizeof(*words));
	if (!words)
		return admin_fail(a, RMQ_E_LIMIT, "out of memory");
	q->words = words;
	while (optind < argc) {
		option = dashes
			     ? -1
			     : client_options_next(argc, argv, c->letters, c->options, &dashes);
		if (option == -1) {
			if (optind < argc)
				words[q->words_count++] = argv[optind++];
			continue;
		}
		if (option == '?')
			return a->code = RMQ_E_USAGE;
		enum rmq_error err = client_options_take(&a->common, option, optarg, &why);
		if (err == RMQ_E_NOTHING && !take_option(option, a, q))
			return admin_fail(a, RMQ_E_USAGE,
			    "%s: '%s' is not a valid value for %s", c->name, optarg,
			    argv[optind - 1] == optarg ? argv[optind - 2] : argv[optind - 1]);
		if (err && err != RMQ_E_NOTHING)
			return admin_fail(a, err, "%s", why.text);
	}
	if (a->common.help || a->common.version)
		return RMQ_E_OK;
	if (q->words_count < c->words_min || q->words_count > c->words_max)
		return admin_fail(
		    a, RMQ_E_USAGE, "usage: rmq-queue %s %s", c->name, c->arguments);
	if (c->queue && q->words_count > 0 && !name_valid(slice_str(words[0])))
		return admin_fail(a, RMQ_E_USAGE, "'%s' is not a queue name", words[0]);
	return RMQ_E_OK;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static enum rmq_error run(struct admin *a, const struct command *c, struct request *q)
{
	if (!signals_init())
		return admin_fail(a, RMQ_E_IO, "%s", strerror(errno));
	enum rmq_error err = admin_open(a);
	if (err)
		return err;
	err = c->run(a, q);
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
	struct admin a = {.json = false};
	struct request q = {.states = STATE_READY | STATE_LEASED | STATE_DELAYED,
	    .limit = 10,
	    .separator = '\n'};
	struct reason why;
	const struct command *c = argc > 1 ? find_command(argv[1]) : NULL;
	bool help = argc > 1 && (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help"));
	bool version = argc > 1 && (!strcmp(argv[1], "-V") || !strcmp(argv[1], "--version"));
	if (!c && !help && !version) {
		fprintf(stderr,
		    argc > 1 ? "rmq-queue: '%s' is not a command\n"
			     : "rmq-queue: no command is given\n",
		    argc > 1 ? argv[1] : "");
		return error_exit(RMQ_E_USAGE);
	}
	stdfds_init();
	if (client_options_init(&a.common, 30000, &why))
		return error_exit(admin_fail(&a, RMQ_E_USAGE, "%s", why.text));
	enum rmq_error err = c ? parse(argc - 1, argv + 1, c, &a, &q) : RMQ_E_OK;
	if (!err && (help || a.common.help)) {
		print_usage(stdout);
	} else if (!err && (version || a.common.version)) {
		puts("rmq-queue " RMQ_VERSION);
	} else if (!err) {
		err = run(&a, c, &q);
	}
	free(q.words);
	if (!err && fflush(stdout) != 0)
		return error_exit(RMQ_E_IO);
	return error_exit(err);
}
