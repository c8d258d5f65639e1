#include "check.h"

#include <stdio.h>
#include <string.h>

#include "core/client/queue_columns.h"
#include "core/base/units.h"
#include "core/wire/attributes.h"
#include "sys/process/clock.h"

#define SOME_BEFORE "; "
/* What is looked at for the age: messages, and bytes of them. */
#define AGE_MESSAGES_MAX 4096
#define AGE_BYTES_MAX	 (4u << 20)
#define AGE_PAGE_MAX	 16

/* What was found. */
struct found {
	const struct check *check;
	const char *queue;
	uint64_t max_message;
	struct text dead_letter; /* the name of its dead-letter queue; empty: none */
	uint64_t ready, leased, delayed;
	struct more_settings more; /* whether it is paused */
	bool dead_known;
	uint64_t dead;
	bool age_known; /* there is a ready message */
	bool age_found; /* … and none is older: those that come are not delayed, and younger */
	uint64_t age_messages, age_bytes; /* that were looked at */
	uint64_t age_ms;
	bool known; /* the queue was there, and what is said of it was asked */
	enum check_status status;
	struct text problems;
};

void check_init(struct check *c)
{
	const struct check_limit none = {UINT64_MAX, UINT64_MAX};
	*c = (struct check){none, none, none, CHECK_NAGIOS};
}

static bool parse_one(uint64_t *n, const char *text, bool duration)
{
	return duration ? units_duration(text, n) : units_count(text, 0, UINT64_MAX / 2, n);
}

bool check_limit_parse(struct check_limit *l, const char *text, bool duration)
{
	char warning[UNITS_TEXT_MAX];
	const char *comma = strchr(text, ',');
	size_t len = comma ? (size_t)(comma - text) : 0;
	l->warning = UINT64_MAX;
	if (!comma)
		return parse_one(&l->critical, text, duration);
	if (len >= sizeof(warning))
		return false;
	memcpy(warning, text, len);
	warning[len] = '\0';
	return parse_one(&l->warning, warning, duration) &&
	       parse_one(&l->critical, comma + 1, duration) && l->warning <= l->critical;
}

bool check_format_parse(enum check_format *f, const char *text)
{
	static const char *const names[] = {"nagios", "json", "text"};
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(text, names[i]) == 0) {
			*f = (enum check_format)i;
			return true;
		}
	return false;
}

/* ---- asking ---- */

static void on_queue(void *arg, const struct wire_listed *row)
{
	struct found *f = arg;
	f->max_message = row->max_message;
	f->ready = row->ready;
	f->leased = row->leased;
	f->delayed = row->delayed;
	if (more_settings_find(row->tags, LISTED_TAG_SETTINGS, &f->more))
		f->more = more_settings_default();
	queue_columns_put_dead_letter(&f->dead_letter, row);
}

static void on_dead(void *arg, const struct wire_listed *row)
{
	struct found *f = arg;
	f->dead = row->ready + row->leased + row->delayed;
}

/* A message ages from its sending on, or from the end of the delay that it was sent with. */
static void on_oldest(void *arg, const struct client_delivery *d)
{
	struct found *f = arg;
	struct slice delay;
	uint64_t now = clock_wall().ms;
	f->age_messages += d->count;
	f->age_bytes += d->blob.len;
	for (uint32_t i = 0; i < d->count && !f->age_found; i++) {
		bool delayed =
		    attributes_find(d->attributes, ATTRIBUTE_DELAY_UNTIL, d->slot + i, &delay);
		uint64_t since = delayed ? load_u64(delay.data) : 0;
		if (since < d->time.ms)
			since = d->time.ms;
		if (since < now && now - since > f->age_ms)
			f->age_ms = now - since;
		f->age_known = true;
		f->age_found = !delayed;
	}
}

/* A page may be empty: the daemon looks at so much for one, and all of that may be not ready. */
static bool goes_on(const struct found *f)
{
	const struct check_limit *l = &f->check->age_ms;
	return !f->age_known ||
	       (!f->age_found && f->age_ms <= l->critical &&
		   f->age_messages < AGE_MESSAGES_MAX && f->age_bytes < AGE_BYTES_MAX);
}

/* Messages in a page: the first is most often all that is wanted, and large ones are many bytes. */
static uint32_t page(const struct found *f)
{
	uint64_t fit = AGE_BYTES_MAX / (f->max_message + 1);
	if (!f->age_known || fit == 0)
		return 1;
	return fit < AGE_PAGE_MAX ? (uint32_t)fit : AGE_PAGE_MAX;
}

/* Those that were delayed may be older than those before them. */
static enum rmq_error ask_age(struct admin *a, struct found *f)
{
	enum rmq_error err = RMQ_E_OK;
	a->next = 0;
	do
		err = admin_peek(a, f->queue, STATE_READY, a->next, page(f));
	while (!err && a->more && goes_on(f));
	return err;
}

static enum rmq_error ask(struct admin *a, struct found *f)
{
	a->arg = f;
	a->row = on_queue;
	a->message = on_oldest;
	enum rmq_error err = admin_list_one(a, f->queue);
	a->about = f->queue;
	if (!err && a->rows == 0)
		return admin_no_queue(a, f->queue);
	if (!err && f->ready > 0)
		err = ask_age(a, f);
	text_put_char(&f->dead_letter, '\0');
	f->dead_known = f->dead_letter.len > 1 && !f->dead_letter.failed;
	a->row = on_dead;
	if (!err && f->dead_known)
		err = admin_list_one(a, f->dead_letter.data);
	return err;
}

/* ---- judging ---- */

static void put_number(struct text *out, uint64_t n, bool duration)
{
	char text[UNITS_TEXT_MAX];
	if (duration)
		text_put(out, text, units_print_duration(text, n));
	else
		text_put_u64(out, n);
}

static void judge(
    struct found *f, const struct check_limit *l, uint64_t n, const char *what, bool duration)
{
	if (n <= l->warning && n <= l->critical)
		return;
	enum check_status status = n > l->critical ? CHECK_CRITICAL : CHECK_WARNING;
	if (status > f->status)
		f->status = status;
	if (f->problems.len > 0)
		text_put_str(&f->problems, SOME_BEFORE);
	put_number(&f->problems, duration ? n - n % 1000 : n, duration);
	text_put_str(&f->problems, what);
	put_number(&f->problems, status == CHECK_CRITICAL ? l->critical : l->warning, duration);
}

/* ---- telling ---- */

/* label=value;warning;critical;min as Nagios reads it; ages in seconds. */
static void put_perfdata(
    struct text *out, const char *label, uint64_t n, const struct check_limit *l, bool ms)
{
	const uint64_t limit[] = {l ? l->warning : UINT64_MAX, l ? l->critical : UINT64_MAX};
	text_put_char(out, ' ');
	text_put_str(out, label);
	text_put_char(out, '=');
	text_put_u64(out, ms ? n / 1000 : n);
	if (ms)
		text_put_char(out, 's');
	for (unsigned i = 0; i < 2; i++) {
		text_put_char(out, ';');
		if (limit[i] != UINT64_MAX)
			text_put_u64(out, ms ? limit[i] / 1000 : limit[i]);
	}
	text_put_str(out, ";0");
}

static void put_paused(struct text *out, const struct found *f, const char *before)
{
	if (!f->more.paused_in && !f->more.paused_out)
		return;
	text_put_str(out, before);
	text_put_str(out, "paused");
	if (f->more.paused_in != f->more.paused_out)
		text_put_str(out, f->more.paused_in ? " in" : " out");
}

/* What is wrong, or how much there is of what. */
static void put_found(struct text *out, const struct found *f)
{
	if (f->problems.len > 0) {
		text_put(out, f->problems.data, f->problems.len);
		put_paused(out, f, SOME_BEFORE);
		return;
	}
	text_put_u64(out, f->ready);
	text_put_str(out, " ready, ");
	text_put_u64(out, f->leased);
	text_put_str(out, " leased, ");
	text_put_u64(out, f->delayed);
	text_put_str(out, " delayed");
	if (f->dead_known) {
		text_put_str(out, ", ");
		text_put_u64(out, f->dead);
		text_put_str(out, " dead");
	}
	put_paused(out, f, ", ");
}

static void put_nagios(struct text *out, const struct found *f)
{
	static const char *const names[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};
	text_put_str(out, "RMQ ");
	text_put_str(out, names[f->status]);
	text_put_str(out, " - ");
	text_put_str(out, f->queue);
	text_put_str(out, ": ");
	put_found(out, f);
	if (f->known) {
		text_put_str(out, " |");
		put_perfdata(out, "ready", f->ready, &f->check->ready, false);
		put_perfdata(out, "leased", f->leased, NULL, false);
		put_perfdata(out, "delayed", f->delayed, NULL, false);
		put_perfdata(out, "age", f->age_ms, &f->check->age_ms, true);
		if (f->dead_known)
			put_perfdata(out, "dead", f->dead, &f->check->dead, false);
	}
	text_put_char(out, '\n');
}

static const char *const words[] = {"ok", "warning", "critical", "unknown"};

static void put_text(struct text *out, const struct found *f)
{
	text_put_str(out, f->queue);
	text_put_str(out, ": ");
	text_put_str(out, words[f->status]);
	text_put_str(out, ": ");
	put_found(out, f);
	text_put_char(out, '\n');
}

static void put_member(struct text *out, const char *name, bool known, uint64_t n)
{
	text_put_str(out, name);
	if (known)
		text_put_u64(out, n);
	else
		text_put_str(out, "null");
}

static void put_flag(struct text *out, const char *name, bool known, bool flag)
{
	text_put_str(out, name);
	text_put_str(out, !known ? "null" : flag ? "true" : "false");
}

static void put_json(struct text *out, const struct found *f)
{
	text_put_str(out, "{\"queue\":");
	envelope_put_string(out, slice_str(f->queue));
	text_put_str(out, ",\"status\":\"");
	text_put_str(out, words[f->status]);
	text_put_str(out, "\"");
	put_member(out, ",\"code\":", true, f->status);
	put_member(out, ",\"ready\":", f->known, f->ready);
	put_member(out, ",\"leased\":", f->known, f->leased);
	put_member(out, ",\"delayed\":", f->known, f->delayed);
	put_member(out, ",\"age_ms\":", f->known && f->age_known, f->age_ms);
	put_member(out, ",\"dead\":", f->known && f->dead_known, f->dead);
	put_flag(out, ",\"paused_in\":", f->known, f->more.paused_in);
	put_flag(out, ",\"paused_out\":", f->known, f->more.paused_out);
	text_put_str(out, ",\"problem\":");
	if (f->problems.len > 0)
		envelope_put_string(out, slice_of(f->problems.data, f->problems.len));
	else
		text_put_str(out, "null");
	text_put_str(out, "}\n");
}

enum check_status check_run(struct admin *a, const struct check *c, const char *queue)
{
	struct found f = {.check = c, .queue = queue};
	struct text out = {0};
	enum rmq_error err = a->code ? a->code : ask(a, &f);

	f.known = !err;
	if (err) {
		/* That nobody answers is a fault of what is monitored, not of the question. */
		bool down = err == RMQ_E_NO_DAEMON || err == RMQ_E_TIMEOUT;
		f.status = down ? CHECK_CRITICAL : CHECK_UNKNOWN;
		text_put_str(&f.problems, a->why);
	} else {
		judge(&f, &c->ready, f.ready, " ready, more than ", false);
		judge(&f, &c->dead, f.dead, " dead, more than ", false);
		if (f.age_known)
			judge(&f, &c->age_ms, f.age_ms, " old is the oldest, more than ", true);
	}
	if (c->format == CHECK_JSON)
		put_json(&out, &f);
	else if (c->format == CHECK_TEXT)
		put_text(&out, &f);
	else
		put_nagios(&out, &f);
	if (out.len > 0)
		fwrite(out.data, 1, out.len, stdout);
	text_deinit(&out);
	text_deinit(&f.problems);
	text_deinit(&f.dead_letter);
	return f.status;
}
