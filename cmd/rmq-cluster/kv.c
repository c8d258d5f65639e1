#include "kv.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ask.h"
#include "core/base/name.h"
#include "core/base/units.h"
#include "core/client/envelope.h"
#include "sys/process/clock.h"
#include "sys/process/log.h"
#include "sys/process/signals.h"
#include "sys/process/startup.h"

bool kv_condition(struct kv *k, const char *value)
{
	k->has_condition = true;
	return units_count(value, 0, UINT64_MAX, &k->condition);
}

bool kv_since(struct kv *k, const char *value)
{
	k->has_since = true;
	return units_count(value, 0, UINT64_MAX, &k->since);
}

/* ---- asking ---- */

static void fail(struct kv *k, enum rmq_error code, struct slice text)
{
	/* What a daemon says that does not know the frame. */
	if (code == RMQ_E_VERSION && slice_eq(text, slice_str("unknown type of frame")))
		text = slice_str("the queue daemon is of an older version, which has no map");
	struct slice t = text.len ? text : slice_str(error_text(code));
	k->waiting = false;
	if (k->code)
		return;
	k->code = code;
	if (code == RMQ_E_UNMET && k->common.quiet)
		return;
	(void)ask_fail(code, "%s%s%.*s", k->about ? k->about : "", k->about ? ": " : "",
	    (int)t.len, (const char *)t.data);
}

static void on_done(void *arg, const struct client_command *cmd, uint64_t version)
{
	struct kv *k = arg;
	(void)cmd;
	k->version = version;
	k->waiting = false;
}

static enum client_verdict on_failed(void *arg, const struct client_command *cmd,
    enum rmq_error code, uint32_t at, struct slice text)
{
	(void)cmd, (void)at;
	fail(arg, code, text);
	return CLIENT_DROP;
}

static void on_is(void *arg, const struct wire_kv_is *row)
{
	struct kv *k = arg;
	if (client_map_row(&k->map, row))
		k->row(k, row);
}

static void on_at(
    void *arg, const struct wire_kv_at *m, enum rmq_error code, uint32_t rows, uint64_t known)
{
	struct kv *k = arg;
	k->at = *m;
	k->found &= rows > 0;
	k->news = client_map_at(&k->map, m, rows, known);
	k->waiting = false;
	if (code)
		fail(k, code, slice_of(NULL, 0));
}

static void on_fatal(void *arg, enum rmq_error code, struct slice text)
{
	struct kv *k = arg;
	char why[CLIENT_IO_WHY_MAX];
	fail(k, code, client_io_why(&k->io, code, text, why));
}

static enum rmq_error open_client(struct kv *k)
{
	struct reason why;
	struct client_config config = {.window = 1, .timeout_ms = k->common.timeout_ms};
	struct client_host host = {.arg = k,
	    .kv_done = on_done,
	    .failed = on_failed,
	    .kv_is = on_is,
	    .kv_at = on_at,
	    .fatal = on_fatal};
	log_init("rmq-cluster", k->common.quiet ? -1 : k->common.verbose);
	if (!signals_init())
		return ask_fail(RMQ_E_IO, "%s", strerror(errno));
	enum rmq_error err = client_io_open(&k->io, &k->common, &config, &host, &why);
	return err ? ask_fail(err, "%s", why.text) : RMQ_E_OK;
}

static void close_client(struct kv *k)
{
	int timeout_ms;
	client_bye(k->io.client);
	if (!k->code)
		(void)client_io_prepare(&k->io, &timeout_ms);
	client_io_close(&k->io);
}

static enum rmq_error wait_answer(struct kv *k)
{
	int timeout_ms;
	k->waiting = true;
	while (k->waiting) {
		struct pollfd p[3] = {client_io_prepare(&k->io, &timeout_ms),
		    {signals_fd(), POLLIN, 0}, {k->watches ? STDOUT_FILENO : -1, 0, 0}};
		if (poll(p, 3, timeout_ms) > 0)
			client_io_turn(&k->io, p[0].revents);
		if (signals_caught())
			startup_die();
		if (p[2].revents & (POLLERR | POLLHUP))
			signals_die(SIGPIPE);
	}
	return k->code;
}

static enum rmq_error change(struct kv *k, const char *key, struct slice value)
{
	client_kv_change(k->io.client, clock_mono(), slice_str(key), value,
	    k->has_condition || k->if_absent ? &k->condition : NULL, NULL);
	enum rmq_error err = wait_answer(k);
	if (!err && k->prints_version)
		printf("%llu\n", (unsigned long long)k->version);
	return err;
}

/* One answer; what it means is in k->news. */
static enum rmq_error read_some(struct kv *k, struct slice key)
{
	client_map_ask(&k->map, k->io.client, clock_mono(), key);
	return wait_answer(k);
}

/* ---- get, put, del ---- */

static void take_value(struct kv *k, const struct wire_kv_is *row)
{
	k->found = row->what == KV_IS_THERE;
	k->version = row->version;
	k->value.len = 0;
	text_put_slice(&k->value, row->value);
}

/* `event`: what comes first in the line; NULL: nothing does. */
static void put_line(struct text *out, const char *event, struct slice key, uint64_t version)
{
	text_put_str(out, "{\"");
	if (event) {
		text_put_str(out, "event\":\"");
		text_put_str(out, event);
		text_put_str(out, "\",\"");
	}
	text_put_str(out, "key\":");
	envelope_put_string(out, key);
	text_put_str(out, ",\"version\":");
	text_put_u64(out, version);
}

static enum rmq_error write_text(struct text *out)
{
	if (out->failed)
		return ask_fail(RMQ_E_LIMIT, "out of memory");
	if (out->len > 0)
		fwrite(out->data, 1, out->len, stdout);
	text_deinit(out);
	if (fflush(stdout) != 0 || ferror(stdout))
		return ask_fail(RMQ_E_IO, "standard output: %s", strerror(errno));
	return RMQ_E_OK;
}

static enum rmq_error run_get(struct kv *k, char **words, int count)
{
	struct text out = {0};
	(void)count;
	k->row = take_value;
	client_map_begin(&k->map, KV_VALUES, 0);
	enum rmq_error err = read_some(k, slice_str(words[0]));
	if (err)
		return err;
	if (!k->found) {
		if (!k->common.quiet)
			fail(k, RMQ_E_NOTHING, slice_str("key is not there"));
		return RMQ_E_NOTHING;
	}
	struct slice value = slice_of(k->value.data, k->value.len);
	if (k->json) {
		put_line(&out, NULL, slice_str(words[0]), k->version);
		text_put_str(&out, ",\"size\":");
		text_put_u64(&out, value.len);
		text_put_char(&out, ',');
		envelope_put_bytes(&out, "value", value);
		text_put_str(&out, "}\n");
	} else {
		text_put_slice(&out, value);
	}
	return write_text(&out);
}

/* All of stdin; more than a value may have is refused by the daemon. */
static enum rmq_error read_stdin(struct text *value)
{
	for (;;) {
		char *at = text_reserve(value, KV_VALUE_MAX + 1);
		if (!at)
			return ask_fail(RMQ_E_LIMIT, "out of memory");
		ssize_t n = read(STDIN_FILENO, at, KV_VALUE_MAX + 1);
		if (n < 0 && errno == EINTR && signals_caught())
			startup_die();
		if (n < 0 && errno != EINTR)
			return ask_fail(RMQ_E_IO, "standard input: %s", strerror(errno));
		value->len += n > 0 ? (size_t)n : 0;
		if (n == 0 || value->len > KV_VALUE_MAX)
			return RMQ_E_OK;
	}
}

static enum rmq_error run_put(struct kv *k, char **words, int count)
{
	struct text *value = &k->value;
	enum rmq_error err = RMQ_E_OK;
	if (count > 1 && strcmp(words[1], "-") != 0)
		text_put_str(value, words[1]);
	else
		err = read_stdin(value);
	if (!err && value->len > KV_VALUE_MAX)
		err = ask_fail(RMQ_E_BAD_DATA, "%s: the value has more than %u bytes", words[0],
		    KV_VALUE_MAX);
	return err ? err
		   : change(k, words[0], slice_of(value->data ? value->data : "", value->len));
}

static enum rmq_error run_del(struct kv *k, char **words, int count)
{
	(void)count;
	return change(k, words[0], slice_of(NULL, 0));
}

/* ---- ls ---- */

static void forget_rows(struct kv *k)
{
	for (size_t i = 0; i < k->rows_count; i++)
		free(k->rows[i]);
	k->rows_count = 0;
}

/* Each row is newer than those before it. */
static void keep_row(struct kv *k, const struct wire_kv_is *row)
{
	struct kv_row *r = calloc(1, sizeof(*r));
	if (k->rows_count == k->rows_cap) {
		size_t cap = k->rows_cap ? 2 * k->rows_cap : 64;
		void *rows = realloc(k->rows, cap * sizeof(struct kv_row *));
		if (rows) {
			k->rows = rows;
			k->rows_cap = cap;
		}
	}
	if (!r || k->rows_count == k->rows_cap) {
		free(r);
		fail(k, RMQ_E_LIMIT, slice_str("out of memory"));
		return;
	}
	r->version = row->version;
	/* UINT32_MAX: deleted. */
	r->size = row->what == KV_IS_THERE ? row->size : UINT32_MAX;
	r->key_len = (uint8_t)row->key.len;
	memcpy(r->key, row->key.data, row->key.len);
	k->rows[k->rows_count++] = r;
}

static int row_compare(const void *x, const void *y)
{
	const struct kv_row *a = *(struct kv_row *const *)x, *b = *(struct kv_row *const *)y;
	int order = strcmp(a->key, b->key);
	return order != 0 ? order : a->version < b->version ? -1 : a->version > b->version;
}

static const char *column_name(unsigned column)
{
	static const char *const names[] = {"key", "version", "size"};
	return names[column];
}

static enum table_kind put_column(struct text *out, unsigned column, const void *row)
{
	const struct kv_row *r = row;
	if (column == 0) {
		text_put(out, r->key, r->key_len);
		return TABLE_TEXT;
	}
	text_put_u64(out, column == 1 ? r->version : r->size);
	return TABLE_NUMBER;
}

static const struct table_columns columns = {3, column_name, put_column};

static enum rmq_error print_rows(struct kv *k)
{
	struct table table;
	struct text out = {0};
	if (!table_init(&table, &columns, k->fields ? k->fields : KV_COLUMNS))
		return ask_fail(RMQ_E_USAGE, "'%s' is not a list of fields", k->fields);
	table.json = k->json;
	table.aligned = !k->json && !k->fields && isatty(STDOUT_FILENO);
	qsort(k->rows, k->rows_count, sizeof(k->rows[0]), row_compare);
	for (size_t i = 0; i < k->rows_count; i++) {
		bool newest =
		    i + 1 == k->rows_count || strcmp(k->rows[i]->key, k->rows[i + 1]->key) != 0;
		if (newest && k->rows[i]->size != UINT32_MAX)
			table_row(&table, &out, k->rows[i]);
	}
	table_end(&table, &out);
	return write_text(&out);
}

/* What to read: a key, or with `*` at its end what begins so. */
static struct slice what_of(const char *word, bool always, uint8_t *flags)
{
	size_t len = strlen(word);
	bool star = len > 0 && word[len - 1] == '*';
	*flags |= star || always ? KV_PREFIX : 0;
	return slice_of(word, len - star);
}

static enum rmq_error run_ls(struct kv *k, char **words, int count)
{
	uint8_t flags = 0;
	struct slice prefix = what_of(count > 0 ? words[0] : "", true, &flags);
	enum rmq_error err;
	k->row = keep_row;
	client_map_begin(&k->map, flags, 0);
	do {
		err = read_some(k, prefix);
		if (k->news & CLIENT_MAP_ANEW)
			forget_rows(k);
	} while (!err && !k->map.current);
	return err ? err : print_rows(k);
}

/* ---- watch ---- */

static void end_line(struct kv *k, struct text *out)
{
	text_put_str(out, "}\n");
	enum rmq_error err = write_text(out);
	if (err && !k->code) {
		k->code = err;
		k->waiting = false;
	}
}

static void print_change(struct kv *k, const struct wire_kv_is *row)
{
	struct text out = {0};
	bool there = row->what == KV_IS_THERE;
	put_line(&out, there ? "put" : "deleted", row->key, row->version);
	if (there) {
		text_put_char(&out, ',');
		envelope_put_bytes(&out, "value", row->value);
	}
	end_line(k, &out);
}

static void print_number(struct kv *k, const char *event, const char *name, uint64_t n)
{
	struct text out = {0};
	text_put_str(&out, "{\"event\":\"");
	text_put_str(&out, event);
	text_put_str(&out, "\",\"");
	text_put_str(&out, name);
	text_put_str(&out, "\":");
	text_put_u64(&out, n);
	end_line(k, &out);
}

static enum rmq_error run_watch(struct kv *k, char **words, int count)
{
	uint8_t flags = KV_VALUES | KV_WAIT;
	struct slice what = what_of(count > 0 ? words[0] : "*", false, &flags);
	k->row = print_change;
	k->watches = true;
	client_map_begin(&k->map, flags, k->has_since ? k->since : 0);
	while (!read_some(k, what)) {
		if (k->news & CLIENT_MAP_ANEW)
			print_number(k, "anew", "version", k->at.newest);
		if (k->news & CLIENT_MAP_LEFT_OUT)
			print_number(k, "left-out", "count", k->at.left_out);
		if (k->news & CLIENT_MAP_CURRENT)
			print_number(k, "current", "version", k->map.since);
	}
	return k->code;
}

/* ---- the verbs ---- */

static const struct verb {
	const char *name;
	int min, max; /* words after it */
	const char *usage;
	enum rmq_error (*run)(struct kv *k, char **words, int count);
} verbs[] = {{"get", 1, 1, "KEY", run_get}, {"put", 1, 2, "KEY [VALUE|-]", run_put},
    {"del", 1, 1, "KEY", run_del}, {"ls", 0, 1, "[PREFIX]", run_ls},
    {"watch", 0, 1, "[KEY|PREFIX*]", run_watch}};

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

static bool is_key(const char *word, bool may_begin)
{
	uint8_t flags = 0;
	struct slice key = slice_str(word);
	if (may_begin)
		key = what_of(word, false, &flags);
	return flags || (key.len <= NAME_MAX_LEN && name_valid(key));
}

static enum rmq_error check(const struct kv *k, const struct verb *v, char **words, int count)
{
	bool changes = v->run == run_put || v->run == run_del;
	if (count < v->min || count > v->max)
		return ask_fail(RMQ_E_USAGE, "usage: rmq-cluster kv %s %s", v->name, v->usage);
	if (count > 0 && v->run != run_ls && !is_key(words[0], v->run == run_watch))
		return ask_fail(RMQ_E_USAGE, "'%s' is not a key", words[0]);
	if (count > 0 && strlen(words[0]) > NAME_MAX_LEN)
		return ask_fail(RMQ_E_USAGE, "'%s' is longer than a key", words[0]);
	if (k->has_condition && k->if_absent)
		return ask_fail(
		    RMQ_E_USAGE, "--if-version and --if-absent: only one can be given");
	if ((k->has_condition || k->if_absent || k->prints_version) && !changes)
		return ask_fail(
		    RMQ_E_USAGE, "--if-version, --if-absent and -i are of put and del");
	if (k->has_since && v->run != run_watch)
		return ask_fail(RMQ_E_USAGE, "--since is of watch");
	if (k->fields && v->run != run_ls)
		return ask_fail(RMQ_E_USAGE, "-o is of ls");
	return RMQ_E_OK;
}

enum rmq_error kv_run(struct kv *k, const char *verb, char **words, int count)
{
	const struct verb *v = find_verb(verb);
	if (!v)
		return ask_fail(
		    RMQ_E_USAGE, "'%s' is not one of get, put, del, ls, watch", verb);
	enum rmq_error err = check(k, v, words, count);
	if (!err)
		err = open_client(k);
	if (err)
		return err;
	k->about = count > 0 ? words[0] : NULL;
	err = v->run(k, words, count);
	close_client(k);
	forget_rows(k);
	free(k->rows);
	text_deinit(&k->value);
	return err;
}
