#include "sender.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/wire/receipt.h"
#include "sys/process/clock.h"
#include "sys/process/log.h"
#include "sys/process/signals.h"
#include "sys/stream/io.h"

struct known_record {
	uint32_t after; /* so many of the others */
	uint32_t len;	/* of what is printed of it */
};

static struct known_record *known_records(const struct freight *f, size_t *count)
{
	*count = f->known_records.len / sizeof(struct known_record);
	return (struct known_record *)(void *)f->known_records.data;
}

/* The number of the record that is message `at` of it. */
static uint64_t number_of(const struct freight *f, uint32_t at)
{
	size_t n, before = 0;
	const struct known_record *k = known_records(f, &n);
	while (before < n && k[before].after <= at)
		before++;
	return f->first + f->bad + before + at;
}

static void freight_free(struct freight *f)
{
	sendbuf_free(f->buf);
	text_deinit(&f->names);
	text_deinit(&f->known);
	text_deinit(&f->known_records);
	free(f);
}

static void stop(struct sender *s, enum rmq_error code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void stop(struct sender *s, enum rmq_error code, const char *format, ...)
{
	va_list ap;
	bool bad_data = error_exit(code) == error_exit(RMQ_E_BAD_DATA);
	input_stop(s->in);
	/* What keeps the records before a bad one from being stored comes before that. */
	if (s->code && (s->bad_at == 0 || bad_data))
		return;
	if (!bad_data)
		s->bad_at = 0;
	s->code = code;
	va_start(ap, format);
	vsnprintf(s->why, sizeof(s->why), format, ap);
	va_end(ap);
}

/*
 * A bad record ends it: what is before it is still to be stored.  If the daemon refuses
 * one of those, that is the first bad one.
 */
static void stop_at(struct sender *s, uint64_t record, enum rmq_error code, const char *why)
{
	if (record < s->bad_at)
		s->code = RMQ_E_OK;
	if (!s->code)
		s->bad_at = record;
	stop(s, code, "%s %llu: %s", s->o->unit, (unsigned long long)record, why);
}

static uint32_t messages(const struct client_command *cmd)
{
	return cmd->buf->large ? 1 : cmd->buf->count;
}

/* ---- records of a command, as the input had them ---- */

/* Where record i begins in a list of names. */
static size_t name_at(const struct sender *s, const struct text *names, uint32_t i)
{
	const char *p = names->data;
	while (i-- > 0)
		p = (const char *)memchr(p, input_name_end(s->in), names->len) + 1;
	return (size_t)(p - names->data);
}

/* Records [at, at + count) are no longer of it. */
static void take_names_out(struct sender *s, struct freight *f, uint32_t at, uint32_t count)
{
	if (!input_is_named(s->in))
		return;
	size_t from = name_at(s, &f->names, at);
	size_t to = name_at(s, &f->names, at + count);
	memmove(f->names.data + from, f->names.data + to, f->names.len - to);
	f->names.len -= to - from;
}

/* Records [from, to). */
static void put_some(struct sender *s, struct text *out, const struct client_command *cmd,
    uint32_t from, uint32_t to)
{
	const struct freight *f = cmd->tag;
	if (from >= to)
		return;
	if (input_is_named(s->in)) {
		size_t at = name_at(s, &f->names, from);
		size_t end = name_at(s, &f->names, to);
		input_put_names(s->in, out, slice_of(f->names.data + at, end - at));
		return;
	}
	if (!cmd->buf->large) {
		struct batch_view v = sendbuf_view(cmd->buf);
		uint32_t begin = batch_begin(&v, from);
		uint32_t end = to < v.count ? batch_begin(&v, to) : v.blob_len;
		text_put(out, v.blob + begin, end - begin);
		return;
	}
	for (const struct sendbuf *b = cmd->buf; b; b = b->next)
		text_put(out, b->bytes + SENDBUF_BLOB, b->blob_len);
	text_put_char(out, s->in->separator);
}

static void put_records(
    struct sender *s, struct text *out, const struct client_command *cmd, uint32_t from)
{
	put_some(s, out, cmd, from, messages(cmd));
}

/* One after the other, whatever is in them. */
struct record_walk {
	const struct client_command *cmd;
	uint32_t at;
	size_t name;
	struct text large;
};

static struct record_walk walk_from(
    struct sender *s, const struct client_command *cmd, uint32_t at)
{
	const struct freight *f = cmd->tag;
	return (struct record_walk){
	    cmd, at, input_is_named(s->in) ? name_at(s, &f->names, at) : 0, {0}};
}

/* Without what ends it. */
static struct slice walk_next(struct sender *s, struct record_walk *w)
{
	const struct freight *f = w->cmd->tag;
	if (input_is_named(s->in)) {
		const char *p = f->names.data + w->name;
		const char *end = memchr(p, input_name_end(s->in), f->names.len - w->name);
		w->name += (size_t)(end - p) + 1;
		return slice_of(p, (size_t)(end - p));
	}
	if (!w->cmd->buf->large) {
		struct batch_view v = sendbuf_view(w->cmd->buf);
		return batch_body(&v, w->at++);
	}
	for (const struct sendbuf *b = w->cmd->buf; b; b = b->next)
		text_put(&w->large, b->bytes + SENDBUF_BLOB, b->blob_len);
	return slice_of(w->large.data, w->large.len);
}

/* ---- answers ---- */

/* What -i and --pass print of a record. */
static void put_told(
    const struct sender *s, struct text *out, struct slice id, struct slice record)
{
	if (!s->o->print_ids && !s->o->pass)
		return;
	if (s->o->print_ids)
		text_put_slice(out, id);
	if (s->o->print_ids && s->o->pass)
		text_put_char(out, '\t');
	if (s->o->pass)
		text_put_slice(out, record);
	/* All of the input ends as it does. */
	if (s->o->print_ids || s->in->kind != INPUT_WHOLE)
		text_put_char(out, s->in->separator);
}

static void print_one(struct sender *s, const char *queue, uint64_t seq, struct slice record)
{
	char id[RECEIPT_MAX];
	size_t len = receipt_print_id(id, slice_str(queue), seq);
	put_told(s, printer_text(&s->printer), slice_of(id, len), record);
}

/* In the order of the input: what was known, in its place among what is stored. */
static void print_sent(
    struct sender *s, const struct client_command *cmd, uint64_t first_seq, uint32_t count)
{
	const struct freight *f = cmd->tag;
	struct text *out = printer_text(&s->printer);
	const char *line = f->known.data;
	size_t n, next = 0;
	const struct known_record *k = known_records(f, &n);
	struct record_walk w = walk_from(s, cmd, 0);
	for (uint32_t i = 0; i <= count; i++) {
		for (; next < n && (i == count || k[next].after <= i); line += k[next++].len)
			text_put(out, line, k[next].len);
		if (i < count)
			print_one(s, f->at->queue, first_seq + i,
			    s->o->pass ? walk_next(s, &w) : slice_of(NULL, 0));
	}
	text_deinit(&w.large);
}

/* The end of a command, of which so many are stored from first_seq on. */
static void print_and_free(
    struct sender *s, const struct client_command *cmd, uint64_t first_seq, uint32_t count)
{
	struct freight *f = cmd->tag;
	if (s->o->pass && !s->o->print_ids && f->known.len == 0 && s->in->kind != INPUT_WHOLE)
		put_some(s, printer_text(&s->printer), cmd, 0, count);
	else if (s->o->print_ids || s->o->pass)
		print_sent(s, cmd, first_seq, count);
	freight_free(f);
}

static void on_sent(
    void *arg, const struct client_command *cmd, uint64_t first_seq, uint32_t count)
{
	struct part *p = arg;
	struct sender *s = p->s;
	s->stored += count;
	p->code = RMQ_E_OK;
	if (s->o->wait && count > 0)
		waiter_add(&p->waiter, first_seq, first_seq + count);
	print_and_free(s, cmd, first_seq, count);
}

/* Records [at, at + count) of the others are taken out. */
static void known_move_up(struct freight *f, uint32_t at, uint32_t count)
{
	size_t n;
	struct known_record *k = known_records(f, &n);
	for (; n > 0 && k[n - 1].after > at; n--)
		k[n - 1].after = k[n - 1].after - at < count ? at : k[n - 1].after - count;
}

/* Those that come after `at` of the others or more go to another one, which has no others before. */
static void known_split(struct freight *from, struct freight *to, uint32_t at)
{
	size_t n, len = from->known.len;
	struct known_record *k = known_records(from, &n);
	for (; n > 0 && k[n - 1].after >= at; n--) {
		k[n - 1].after -= at;
		len -= k[n - 1].len;
	}
	text_put(&to->known, from->known.data + len, from->known.len - len);
	text_put(&to->known_records, (const char *)(k + n),
	    from->known_records.len - n * sizeof(*k));
	from->known.len = len;
	from->known_records.len = n * sizeof(*k);
}

static const char *explain(char out[TEXT_MAX + 1], struct slice text)
{
	memcpy(out, text.data, text.len);
	out[text.len] = 0;
	return out;
}

/* It, and what is after it, are for --unsent. */
static void keep_refused(
    struct sender *s, const struct client_command *cmd, uint32_t at, uint64_t record)
{
	uint64_t last = number_of(cmd->tag, messages(cmd) - 1);
	if (s->refused.len == 0)
		s->refused_at = record;
	if (last > s->refused_last)
		s->refused_last = last;
	put_records(s, &s->refused, cmd, at);
}

static enum client_verdict refuse_record(
    struct sender *s, const struct client_command *cmd, uint32_t at, const char *why)
{
	struct freight *f = cmd->tag;
	uint64_t record = number_of(f, at);
	size_t from = 0, to = 0;
	char about[INPUT_WHY_MAX];
	if (input_is_named(s->in)) {
		from = name_at(s, &f->names, at);
		to = name_at(s, &f->names, at + 1);
	}
	if (s->in->files) {
		input_about_file(about, slice_of(f->names.data + from, to - from - 1), why);
		why = about;
	}
	if (s->o->skip_bad) {
		s->bad++;
		s->bad_record(s, record, why);
		struct text bad = {0};
		put_some(s, &bad, cmd, at, at + 1);
		/* All of the input ends as it does. */
		if (s->in->kind == INPUT_WHOLE && bad.len > 0)
			bad.len--;
		skipped_put(&s->skipped, record, slice_of(bad.data, bad.len));
		text_deinit(&bad);
		take_names_out(s, f, at, 1);
		f->bad++;
		known_move_up(f, at, 1);
		if (messages(cmd) == 1) {
			print_and_free(s, cmd, 0, 0);
			return CLIENT_DROP;
		}
		client_remove(f->at->io.client, cmd, at, 1);
		return CLIENT_REPEAT;
	}
	stop_at(s, record, RMQ_E_TOO_LARGE, why);
	if (s->o->unsent)
		keep_refused(s, cmd, at, record);
	if (input_is_named(s->in))
		f->names.len = from;
	client_cut(f->at->io.client, cmd, at);
	if (at == 0)
		print_and_free(s, cmd, 0, 0);
	return CLIENT_LAST;
}

static enum client_verdict on_failed(void *arg, const struct client_command *cmd,
    enum rmq_error code, uint32_t at, struct slice text)
{
	struct sender *s = ((struct part *)arg)->s;
	char buf[TEXT_MAX + 1];
	const char *why = explain(buf, text);
	if (error_exit(code) == error_exit(RMQ_E_BAD_DATA) && at < messages(cmd))
		return refuse_record(s, cmd, at, why);
	stop(s, code, "%s", why);
	return CLIENT_STOP;
}

static bool on_split(void *arg, const struct client_command *cmd, uint32_t at, void **tag)
{
	struct sender *s = ((struct part *)arg)->s;
	struct freight *rest = cmd->tag, *f = calloc(1, sizeof(*f)), later = {0};
	if (!f)
		return false;
	known_split(rest, &later, at);
	f->known = rest->known;
	f->known_records = rest->known_records;
	rest->known = later.known;
	rest->known_records = later.known_records;
	f->part = rest->part;
	f->at = rest->at;
	f->first = rest->first;
	f->bad = rest->bad;
	rest->first = number_of(f, at);
	rest->bad = 0;
	if (input_is_named(s->in)) {
		size_t names = name_at(s, &rest->names, at);
		text_put(&f->names, rest->names.data, names);
		text_shift(&rest->names, names);
	}
	*tag = f;
	return true;
}

/* Whether it is only late, and others may take what is not known to be taken. */
static bool is_late(enum rmq_error code)
{
	return code == RMQ_E_NO_DAEMON || code == RMQ_E_TIMEOUT || code == RMQ_E_FULL ||
	       code == RMQ_E_DISK_FULL || code == RMQ_E_PAUSED || code == RMQ_E_ELSEWHERE;
}

static void on_fatal(void *arg, enum rmq_error code, struct slice text)
{
	struct part *p = arg;
	struct sender *s = p->s;
	char why[CLIENT_IO_WHY_MAX];
	text = client_io_why(&p->io, code, text, why);
	if (parts_gave_up(p, code, text)) {
		stop(s, code, "%.*s", (int)text.len, (const char *)text.data);
		s->dead = true;
	} else if (!is_late(code) || waiter_is_busy(&p->waiter)) {
		stop(s, code, "%.*s", (int)text.len, (const char *)text.data);
	} else {
		log_notice("%s: %s: the other parts go on without it", p->queue, p->why);
	}
}

/* ---- --resume ---- */

static void on_position(void *arg, uint32_t req, uint64_t at, struct input_sent sent)
{
	struct part *p = arg;
	struct sender *s = p->s;
	(void)req;
	p->asked = false;
	p->code = RMQ_E_OK;
	if (!s->o->resume)
		return;
	s->placed = true;
	s->passed = at;
	s->passed_sent = sent;
	if (sent.skipped > 0 && s->skipped.fd >= 0)
		s->skipped.error = s->skipped_before(s->arg, s->in->separator);
	if (s->o->wait)
		waiter_add(&p->waiter, sent.first, sent.end);
}

/* A record that an earlier run has stored has no id any more. */
static void put_passed(const struct sender *s, struct text *out, struct slice record)
{
	put_told(s, out, slice_str("-"), record);
}

/* Of a twin the other one is sent, and waited for. */
static void wait_for_known(struct part *p, uint32_t count, struct slice numbers)
{
	struct sender *s = p->s;
	struct reader r = reader_of(numbers);
	if (!s->o->wait)
		return;
	if (numbers.len == 0)
		s->not_waited += count;
	while (reader_left(&r) > 0) {
		struct seq_range e = seq_range_get(&r);
		if (e.first == 0)
			s->not_waited += e.count;
		else if (e.first != KNOWN_SENT_WITH)
			waiter_add(&p->waiter, e.first, e.first + e.count);
	}
}

/* Records [at, at + count) of a command are stored already, by their ids. */
static void on_known(void *arg, const struct client_command *cmd, uint32_t at, uint32_t count,
    struct slice numbers)
{
	struct sender *s = ((struct part *)arg)->s;
	wait_for_known(arg, count, numbers);
	struct freight *f = cmd->tag, later = {0};
	struct record_walk w = walk_from(s, cmd, at);
	/* Some of those known before may be between and after these. */
	known_split(f, &later, at + 1);
	size_t n, next = 0;
	const struct known_record *k = known_records(&later, &n);
	const char *line = later.known.data;
	for (uint32_t i = 0; i <= count; i++) {
		for (; next < n && (i == count || k[next].after < i); line += k[next++].len) {
			struct known_record r = k[next];
			r.after = at + (r.after + 1 > count ? r.after + 1 - count : 0);
			text_put(&f->known, line, r.len);
			text_put(&f->known_records, (const char *)&r, sizeof(r));
		}
		if (i == count)
			break;
		size_t len = f->known.len;
		put_passed(s, &f->known, walk_next(s, &w));
		struct known_record r = {at, (uint32_t)(f->known.len - len)};
		text_put(&f->known_records, (const char *)&r, sizeof(r));
	}
	text_deinit(&w.large);
	text_deinit(&later.known);
	text_deinit(&later.known_records);
	take_names_out(s, f, at, count);
	s->known += count;
	s->stored += count;
}

/* Takes the first n records out of a parcel; false: nothing is left of it, and it is freed. */
static bool pass_over(struct sender *s, struct parcel *p, uint32_t n)
{
	struct client_command cmd = {.buf = p->buf};
	struct freight f = {.names = p->names};
	cmd.tag = &f;
	struct record_walk w = walk_from(s, &cmd, 0);
	for (uint32_t i = 0; i < n; i++) {
		struct slice record = walk_next(s, &w);
		if (s->read + i >= s->passed_sent.skipped)
			put_passed(s, printer_text(&s->printer), record);
	}
	text_deinit(&w.large);
	s->read += n;
	s->stored += n;
	if (s->o->wait && s->passed_sent.first == 0)
		s->not_waited += n;
	if (n == messages(&cmd)) {
		sendbuf_free(p->buf);
		text_deinit(&p->names);
		return false;
	}
	sendbuf_remove(p->buf, 0, n);
	if (input_is_named(s->in))
		text_shift(&p->names, name_at(s, &p->names, n));
	return true;
}

/* The same of what earlier runs have stored. */
static bool pass_stored(struct sender *s, struct parcel *p)
{
	uint32_t count = p->buf->large ? 1 : p->buf->count;
	uint64_t stored = s->passed > s->read ? s->passed - s->read : 0;
	return stored == 0 || pass_over(s, p, stored < count ? (uint32_t)stored : count);
}

/* ---- --wait ---- */

static void on_watched(void *arg, uint32_t req, enum rmq_error code, uint64_t next)
{
	struct part *p = arg;
	(void)req;
	if (!code) {
		waiter_watched(&p->waiter, clock_mono(), next);
		return;
	}
	stop(p->s, code, "%s",
	    code == RMQ_E_NO_QUEUE ? "the queue was removed with messages that were waited for"
				   : "too many clients wait for messages to be settled");
	p->waiter.phase = WAITER_DONE;
}

static void on_buried(void *arg, uint32_t req, uint64_t next, struct slice runs)
{
	struct part *p = arg;
	(void)req;
	waiter_buried(&p->waiter, clock_mono(), next, runs);
}

static bool any_waiter_is_busy(const struct sender *s)
{
	uint32_t i = 0;
	while (i < s->parts.count && !waiter_is_busy(&s->parts.part[i].waiter))
		i++;
	return i < s->parts.count;
}

bool sender_waits(const struct sender *s)
{
	return s->parts.part[0].waiter.phase != WAITER_NOT;
}

uint64_t sender_dead_letters(const struct sender *s)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < s->parts.count; i++)
		n += s->parts.part[i].waiter.dead;
	return n;
}

bool sender_has_daemon(const struct sender *s)
{
	uint32_t i = 0;
	while (i < s->parts.count && !client_welcomed(s->parts.part[i].io.client))
		i++;
	return i < s->parts.count;
}

/* ---- the run ---- */

static enum rmq_error open_client(struct part *p, struct reason *why)
{
	const struct send_options *o = p->s->o;
	struct client_config config = {.window = o->window,
	    .timeout_ms = o->common.timeout_ms,
	    .no_wait = o->no_wait && !p->s->parts.several};
	struct client_host host = {.arg = p,
	    .sent = on_sent,
	    .failed = on_failed,
	    .split = on_split,
	    .fatal = on_fatal,
	    .known = on_known,
	    .position = on_position,
	    .watched = on_watched,
	    .buried = on_buried};
	enum rmq_error err = client_io_open(&p->io, &o->common, &config, &host, why);
	p->waiter.client = p->io.client;
	return err;
}

/* A key has one part, and all messages may have the same key. */
static enum rmq_error open_parts(
    struct sender *s, const struct spread *cells, struct reason *why)
{
	const struct text *key = &s->in->labels->key;
	bool all = cells && key->len == 0;
	uint32_t count = all ? cells->cells.count : 1;
	uint32_t only = cells && !all ? spread_of(cells, slice_of(key->data, key->len)) : 0;
	enum rmq_error err = RMQ_E_OK;
	s->parts.several = count > 1;
	s->parts.part = count == 1 ? &s->parts.only : calloc(count, sizeof(*s->parts.part));
	s->polls = calloc(3 + (size_t)count, sizeof(*s->polls));
	if (!s->parts.part || !s->polls)
		return reason_set(why, RMQ_E_LIMIT, "out of memory");
	for (uint32_t i = 0; i < count && !err; i++) {
		struct part *p = &s->parts.part[i];
		p->s = s;
		p->queue = cells ? p->own : s->o->queue;
		p->waiter =
		    (struct waiter){.queue = p->queue, .arg = p, .dead_letter = s->dead_letter};
		if (cells)
			err = spread_part(cells, all ? i : only, s->o->queue, p->own, why);
		if (!err)
			err = open_client(p, why);
		s->parts.count += !err;
	}
	s->in->cells = s->parts.several ? cells : NULL;
	return err;
}

enum rmq_error sender_open(struct sender *s, const struct send_options *o,
    const struct spread *cells, struct input *in, int unsent, struct reason *why)
{
	int separator = in->kind == INPUT_WHOLE ? -1 : (unsigned char)in->separator;
	int error = printer_open(&s->printer, STDOUT_FILENO, separator);
	if (error && (o->print_ids || o->pass))
		return reason_set(why, RMQ_E_IO, "standard output: %s", strerror(error));
	s->o = o;
	s->in = in;
	s->skipped.fd = o->skip_bad ? unsent : -1;
	s->skipped.separator = in->separator;
	s->skipped.whole = in->kind == INPUT_WHOLE;
	if (s->skipped.fd >= 0)
		in->splitter.dropped = &in->dropped;
	enum rmq_error err = open_parts(s, cells, why);
	s->placed = !o->resume;
	if (!err && o->resume)
		(void)client_position(s->parts.part[0].io.client, clock_mono(),
		    slice_str(o->queue), slice_str(o->resume));
	return err;
}

static void close_part(struct part *p)
{
	const struct client_command *lists[] = {
	    client_oldest(p->io.client), client_shelf(p->io.client)};
	for (size_t i = 0; i < 2; i++)
		for (const struct client_command *cmd = lists[i]; cmd; cmd = cmd->next)
			freight_free(cmd->tag);
	client_io_close(&p->io);
	waiter_deinit(&p->waiter);
}

void sender_close(struct sender *s)
{
	struct freight *f;
	for (uint32_t i = 0; i < s->parts.count; i++)
		close_part(&s->parts.part[i]);
	while ((f = s->parts.waiting)) {
		s->parts.waiting = f->next;
		freight_free(f);
	}
	if (s->parts.part != &s->parts.only)
		free(s->parts.part);
	free(s->polls);
	printer_deinit(&s->printer);
	text_deinit(&s->refused);
	skipped_deinit(&s->skipped);
}

/* Its buffer is the client's then. */
static void give(struct sender *s, struct part *p, struct freight *f)
{
	uint8_t flags =
	    (uint8_t)((s->o->no_create ? SEND_NO_CREATE : 0) |
		      (s->o->replace ? SEND_REPLACE : 0) | (s->o->topic ? SEND_TOPIC : 0) |
		      (s->o->allow_unrouted ? SEND_ALLOW_UNROUTED : 0));
	struct slice queue = slice_str(p->queue);
	struct sendbuf *buf = f->buf;
	struct client *c = p->io.client;
	f->buf = NULL;
	f->at = p;
	if (s->o->resume) {
		uint64_t count = buf->large ? 1 : buf->count;
		struct client_place place = {
		    slice_str(s->o->resume), f->first - 1, f->first - 1 + count};
		(void)client_send_placed(c, clock_mono(), queue, &place, flags, buf, f);
	} else {
		(void)client_send(c, clock_mono(), queue, flags, buf, f);
	}
}

static void send_parcel(struct sender *s, struct parcel *p)
{
	struct freight *f = calloc(1, sizeof(*f));
	if (!f) {
		stop(s, RMQ_E_LIMIT, "out of memory");
		sendbuf_free(p->buf);
		return;
	}
	f->first = s->read + 1;
	f->part = p->part;
	f->names = p->names;
	f->buf = p->buf;
	s->read += p->buf->large ? 1 : p->buf->count;
	struct part *to = parts_for(&s->parts, f);
	if (to)
		give(s, to, f);
	else
		parts_put_back(&s->parts, f);
}

/* Whether it is still to be sent: what is before a bad record is. */
static bool is_wanted(const struct sender *s, const struct freight *f)
{
	return !s->code || f->first < s->bad_at;
}

/* What waits for a part, in the order of the input; of a key, none goes before another one. */
static void send_waiting(struct sender *s)
{
	struct freight *f;
	struct part *to;
	while ((f = s->parts.waiting) && is_wanted(s, f) && (to = parts_for(&s->parts, f))) {
		s->parts.waiting = f->next;
		f->next = NULL;
		give(s, to, f);
	}
}

/* More is sent only while what was stored so far can be told. */
static bool takes(const struct sender *s)
{
	return s->placed && parts_take(&s->parts) && !printer_is_behind(&s->printer) &&
	       !skipped_is_full(&s->skipped);
}

/* The first record whose answer is not there. */
static uint64_t first_unanswered(const struct sender *s)
{
	uint64_t first = s->parts.waiting ? s->parts.waiting->first : UINT64_MAX;
	for (uint32_t i = 0; i < s->parts.count; i++) {
		const struct client_command *cmd = client_oldest(s->parts.part[i].io.client);
		/* One that was given back stands behind later ones. */
		for (; cmd; cmd = s->parts.several ? cmd->next : NULL) {
			const struct freight *f = cmd->tag;
			first = f->first < first ? f->first : first;
		}
	}
	return first;
}

static bool any_is_shelved(const struct sender *s)
{
	uint32_t i = 0;
	while (i < s->parts.count && !client_shelf(s->parts.part[i].io.client))
		i++;
	return i < s->parts.count;
}

/* Those of which all before them are stored. */
static void write_skipped(struct sender *s)
{
	if (!any_is_shelved(s))
		skipped_write(&s->skipped, first_unanswered(s));
}

/* Of the newest record.  Where nothing is in flight no answer would make room for more. */
static void keep_skipped(struct sender *s, struct slice bytes)
{
	skipped_put(&s->skipped, s->read, bytes);
	if (skipped_is_full(&s->skipped))
		write_skipped(s);
}

/* A bad record is passed over. */
static void skip(struct sender *s, const char *why)
{
	struct text bad = {0};
	/* It was skipped by an earlier run. */
	s->passes_bad = s->read++ < s->passed;
	if (!s->passes_bad) {
		s->bad++;
		s->bad_record(s, s->read, why);
		input_bad(s->in, &bad);
		/* A line that is not complete yet is for a later run. */
		if (bad.len > 0 || !sender_keeps_only_bad(s))
			keep_skipped(s, slice_of(bad.data, bad.len));
	}
	text_deinit(&bad);
	input_skip(s->in);
}

/* What is dropped of a bad record while the input looks for its end. */
static void keep_dropped(struct sender *s)
{
	struct text *t = &s->in->dropped;
	if (t->len > 0 && !s->passes_bad)
		keep_skipped(s, slice_of(t->data, t->len));
	t->len = 0;
}

/* Gives the client as much as it takes.  Whether something waits for being flushed. */
static bool take_input(struct sender *s, bool flush)
{
	struct parcel p;
	const char *why;
	while (!s->code && !s->over && takes(s)) {
		enum input_result r = input_next(s->in, flush, &p, &why);
		keep_dropped(s);
		switch (r) {
		case INPUT_PARCEL:
			if (pass_stored(s, &p))
				send_parcel(s, &p);
			break;
		case INPUT_MORE:
			return input_waiting(s->in) > 0;
		case INPUT_END:
			s->over = true;
			break;
		case INPUT_NO_MEMORY:
			stop(s, RMQ_E_LIMIT, "out of memory");
			break;
		case INPUT_BAD:
			if (s->o->skip_bad || s->read < s->passed)
				skip(s, why);
			else
				stop_at(s, s->read + 1, RMQ_E_BAD_DATA, why);
			break;
		}
	}
	return false;
}

/* Whether there is no telling when it takes what it has. */
static bool is_stuck(const struct sender *s, const struct part *p)
{
	bool has = !s->parts.several || client_unanswered(p->io.client) > 0;
	return has && (client_blocked(p->io.client) || !client_welcomed(p->io.client));
}

static void on_signal(struct sender *s)
{
	bool stuck = s->parts.waiting || any_waiter_is_busy(s);
	s->signal = signals_caught();
	input_stop(s->in);
	for (uint32_t i = 0; i < s->parts.count; i++)
		stuck |= is_stuck(s, &s->parts.part[i]);
	if (stuck)
		stop(s, RMQ_E_INTERRUPTED, "%s", error_text(RMQ_E_INTERRUPTED));
}

/* error: printer_write()'s or printer_finish()'s. */
static void printed(struct sender *s, int error)
{
	if (!error)
		return;
	stop(s, RMQ_E_IO, "standard output: %s%s", strerror(error), printer_says(&s->printer));
	s->dead = true;
}

static bool is_done(const struct sender *s)
{
	bool waits = s->parts.waiting && is_wanted(s, s->parts.waiting);
	for (uint32_t i = 0; i < s->parts.count; i++)
		waits |=
		    !s->parts.part[i].dead && client_unanswered(s->parts.part[i].io.client) > 0;
	waits |= !s->code && any_waiter_is_busy(s);
	return (s->over || s->code) && !waits;
}

/* All is stored: whether there is more to wait for. */
static bool goes_on_waiting(struct sender *s)
{
	for (uint32_t i = 0; i < s->parts.count && s->o->wait && !s->code && !s->signal; i++) {
		struct part *p = &s->parts.part[i];
		if (p->waiter.phase != WAITER_NOT)
			continue;
		if (p->dead && p->waiter.runs.len > 0)
			stop(s, p->code, "%s", p->why);
		else
			waiter_begin(&p->waiter, clock_mono());
		if (p->waiter.runs.failed)
			stop(s, RMQ_E_LIMIT, "out of memory");
	}
	return !s->code && any_waiter_is_busy(s);
}

/* What one that gave up has not taken is elsewhere. */
static void begin_anew(struct sender *s, struct part *p)
{
	struct reason why;
	client_io_close(&p->io);
	p->dead = p->asked = false;
	if (open_client(p, &why))
		stop(s, RMQ_E_LIMIT, "%s", why.text);
}

/* So long it goes on where none of several parts has room. */
static uint64_t full_ms(const struct sender *s)
{
	return s->o->no_wait ? 0 : s->o->common.timeout_ms;
}

/* Where there are several. */
static void see_to_parts(struct sender *s)
{
	struct mono_time now = clock_mono();
	bool sends = !s->over || s->parts.waiting;
	for (uint32_t i = 0; i < s->parts.count && !s->code; i++)
		if (part_may_begin_anew(&s->parts.part[i], now))
			begin_anew(s, &s->parts.part[i]);
	parts_turn(&s->parts, now, sends && !s->dead);
	if (!s->code && parts_stay_full(&s->parts, now, full_ms(s)))
		stop(s, RMQ_E_FULL, "all parts: %s", error_text(RMQ_E_FULL));
	send_waiting(s);
	const struct part *lost = parts_lost(&s->parts);
	if (lost)
		stop(s, lost->code, "%s: %s", lost->queue, lost->why);
}

/* What the connections wait for; how long. */
static int prepare_connections(struct sender *s, struct pollfd *p)
{
	int timeout_ms = -1, part_ms;
	for (uint32_t i = 0; i < s->parts.count; i++) {
		struct part *part = &s->parts.part[i];
		p[i] = client_io_prepare(&part->io, &part_ms);
		if (part_ms >= 0 && !(part->dead && s->parts.several))
			timeout_ms = client_io_sooner(timeout_ms, (uint64_t)part_ms);
	}
	return client_io_sooner(timeout_ms, parts_due_ms(&s->parts, clock_mono(), full_ms(s)));
}

static void turn(struct sender *s, bool *flush)
{
	/* First, as what waits for it may keep input from being taken. */
	printed(s, printer_write(&s->printer));
	write_skipped(s);
	if (s->parts.several)
		see_to_parts(s);
	bool waiting = take_input(s, *flush);
	struct pollfd *p = s->polls;
	int timeout_ms = prepare_connections(s, p + 3);
	bool reads = !s->code && !s->over && input_wants(s->in);
	p[0] = (struct pollfd){reads ? STDIN_FILENO : -1, POLLIN, 0};
	p[1] = (struct pollfd){s->signal ? -1 : signals_fd(), POLLIN, 0};
	p[2] = printer_poll(&s->printer);
	*flush = false;
	if (s->dead || is_done(s))
		return;
	if (waiting && takes(s))
		timeout_ms = 0;
	if (poll(p, 3 + s->parts.count, timeout_ms) < 0)
		return;
	if (p[1].revents)
		on_signal(s);
	for (uint32_t i = 0; i < s->parts.count; i++)
		client_io_turn(&s->parts.part[i].io, p[3 + i].revents);
	if (p[0].revents) {
		int error = input_read(s->in);
		if (error)
			stop(s, RMQ_E_IO, "standard input: %s", strerror(error));
	} else if (reads) {
		*flush = true;
	}
}

/* What may be stored in a part that gave up, or is nowhere. */
static void say_lost(struct sender *s)
{
	for (uint32_t i = 0; i < s->parts.count; i++) {
		const struct part *p = &s->parts.part[i];
		if (p->dead && client_unanswered(p->io.client) > 0)
			stop(s, p->code, "%s: %s", p->queue, p->why);
	}
}

void sender_run(struct sender *s, void (*progress)(const struct sender *s))
{
	bool flush = s->in->ended;
	int timeout_ms;
	while (!s->dead && (!is_done(s) || goes_on_waiting(s)) && !(s->signal && s->code)) {
		turn(s, &flush);
		if (progress)
			progress(s);
	}
	if (s->parts.several)
		say_lost(s);
	/* All is stored that will be: the reader gets what is left for it. */
	if (!s->dead && printer_waits(&s->printer)) {
		printed(s, printer_finish(&s->printer));
		s->signal = signals_caught();
	}
	for (uint32_t i = 0; i < s->parts.count && !s->dead; i++) {
		client_bye(s->parts.part[i].io.client);
		(void)client_io_prepare(&s->parts.part[i].io, &timeout_ms);
	}
}

/* ---- the account ---- */

/* Whether all before a bad record are stored: where others are sent beside them, by what is not. */
static bool is_whole(const struct sender *s)
{
	if (s->parts.several)
		return first_unanswered(s) > s->bad_at && !any_is_shelved(s);
	return s->stored + s->bad + 1 >= s->bad_at;
}

enum rmq_error sender_code(const struct sender *s)
{
	return s->bad_at > 0 && !is_whole(s) ? RMQ_E_TIMEOUT : s->code;
}

bool sender_keeps_only_bad(const struct sender *s)
{
	return s->o->resume && (s->o->skip_bad || s->passed_sent.skipped > 0);
}

uint64_t sender_unknown(const struct sender *s)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < s->parts.count; i++) {
		const struct client_command *cmd = client_oldest(s->parts.part[i].io.client);
		for (; cmd; cmd = cmd->next)
			n += cmd->flown ? messages(cmd) : 0;
	}
	return n;
}

static int write_text(int fd, struct text *t)
{
	int error = t->failed ? ENOMEM : io_write(fd, t->data, t->len);
	t->len = 0;
	return error;
}

static int copy_stdin(int fd)
{
	static char buf[65536];
	for (;;) {
		ssize_t n = io_read(STDIN_FILENO, buf, sizeof(buf));
		int error = n < 0 ? errno : io_write(fd, buf, (size_t)n);
		if (error || n == 0)
			return error;
	}
}

/* What is unconfirmed of a command, and in their places the bad records that were skipped before its last one. */
static void put_unconfirmed(
    struct sender *s, struct text *out, const struct client_command *cmd)
{
	const struct freight *f = cmd->tag;
	struct slice bytes;
	uint32_t at = 0, to = 0, all = messages(cmd);
	uint64_t number, next = f->first;
	size_t n, known = 0;
	const struct known_record *k = known_records(f, &n);
	while (skipped_next(&s->skipped, f->first + f->bad + n + all, &number, &bytes)) {
		for (; next < number && to < all; next++)
			if (known < n && k[known].after <= to)
				known++;
			else
				to++;
		put_some(s, out, cmd, at, to);
		at = to;
		text_put_slice(out, bytes);
		next += number >= next;
	}
	put_records(s, out, cmd, at);
}

/* The input's last record may have had no separator, or there are none. */
static bool is_bare(const struct sender *s, const struct text *t)
{
	bool bare = s->in->kind == INPUT_WHOLE || s->in->unterminated;
	/* All is stored or written but what ends a bad record. */
	if (t->len == skipped_held(&s->skipped).len && s->skipped.last != s->read)
		return false;
	return bare && t->len > 0;
}

static int by_first(const void *a, const void *b)
{
	const struct client_command *one, *other;
	memcpy(&one, a, sizeof(one));
	memcpy(&other, b, sizeof(other));
	const struct freight *f = one->tag, *g = other->tag;
	return f->first < g->first ? -1 : f->first > g->first;
}

/* Commands that are unconfirmed, in the order of the input. */
static void collect(const struct sender *s, struct text *list)
{
	for (uint32_t i = 0; i < s->parts.count; i++) {
		const struct client *c = s->parts.part[i].io.client;
		const struct client_command *lists[] = {client_oldest(c), client_shelf(c)};
		for (size_t k = 0; k < 2; k++)
			for (const struct client_command *cmd = lists[k]; cmd; cmd = cmd->next)
				text_put(list, &cmd, sizeof(cmd));
	}
	if (s->parts.several && list->len > 0)
		qsort(list->data, list->len / sizeof(struct client_command *),
		    sizeof(struct client_command *), by_first);
}

/* The same, what waits for a part, and what the daemon refused: its last record. */
static uint64_t put_all_unconfirmed(struct sender *s, struct text *out)
{
	struct text list = {0};
	const struct freight *waiting = s->parts.waiting;
	uint64_t last = s->refused_last;
	size_t at = 0;
	bool refused = false;
	collect(s, &list);
	out->failed |= list.failed;
	for (;;) {
		const struct client_command *cmd = NULL;
		if (at < list.len)
			memcpy(&cmd, list.data + at, sizeof(cmd));
		const struct freight *f = cmd ? cmd->tag : NULL;
		struct client_command none = {.buf = waiting ? waiting->buf : NULL};
		none.tag = (void *)(uintptr_t)waiting;
		if (waiting && (!f || waiting->first < f->first)) {
			cmd = &none;
			f = waiting;
			waiting = waiting->next;
		} else {
			at += sizeof(cmd);
		}
		if (!refused && (!f || f->first > s->refused_at)) {
			text_put(out, s->refused.data, s->refused.len);
			refused = true;
		}
		if (!f)
			break;
		put_unconfirmed(s, out, cmd);
		uint64_t end = number_of(f, messages(cmd) - 1);
		last = end > last ? end : last;
	}
	text_deinit(&list);
	return last;
}

int sender_write_unsent(struct sender *s, int fd)
{
	struct text t = {0};
	struct slice bytes;
	uint64_t number;
	bool only_bad = sender_keeps_only_bad(s);
	if (only_bad || (first_unanswered(s) == UINT64_MAX && !any_is_shelved(s)))
		skipped_write(&s->skipped, UINT64_MAX);
	text_put_slice(&t, skipped_held(&s->skipped));
	uint64_t last = only_bad ? 0 : put_all_unconfirmed(s, &t);
	while (skipped_next(&s->skipped, UINT64_MAX, &number, &bytes))
		text_put_slice(&t, bytes);
	bool ends = !s->parts.several || last >= s->read || s->skipped.last == s->read;
	if (ends && is_bare(s, &t))
		t.len--;
	if (!only_bad)
		input_rest(s->in, &t);
	int error = s->skipped.error ? s->skipped.error : write_text(fd, &t);
	text_deinit(&t);
	if (!error && !only_bad && !s->in->words && !s->in->eof)
		error = copy_stdin(fd);
	return error;
}
