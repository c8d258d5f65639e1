/*
 * usage: actor SERVERS QUEUE NAME SEED FILE	until SIGTERM
 *        actor -s SERVERS QUEUE NAME FILE	looks once at all of QUEUE and QUEUE.dead
 *
 * A client that does at random what clients can do, and writes a history of it (history_read.h)
 * to FILE, which must not exist: a line as one write, before an operation and after it, so that
 * who kills it knows all that it may have done.  Now and then it leaves its session as a client
 * does that has died, and goes on with another one, NAME.1, NAME.2, …
 */
#include "../sim/prng.h"

#include "core/base/text.h"
#include "sys/client/client_io.h"
#include "sys/process/clock.h"
#include "sys/process/log.h"
#include "sys/process/signals.h"
#include "sys/process/startup.h"

#include <assert.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HELD_MAX    12
#define OTHERS_MAX  16
#define ENTRIES	    3	/* in one settlement, at most */
#define BACKLOG	    300 /* no more is sent then */
#define LEASE_MS    3000
#define ATTEMPTS    4
#define TIMEOUT_MS  15000
#define SCAN_MS	    60000
#define LOOK_MS	    250 /* how often it says what it trusts in */
#define PADDING_MAX 200
#define NO_TIME	    UINT64_MAX
#define U(n)	    ((unsigned long long)(n))

struct receipt_of {
	uint64_t seq, lease;
};

/* An operation that is under way, and how its line begins. */
struct pending {
	uint64_t number; /* of the first of its lines */
	uint64_t call;
	const char *verb;
	uint64_t count;
	uint64_t token; /* SEND */
	uint64_t ms;	/* RELEASE, FAIL, TOUCH */
	struct receipt_of of[ENTRIES];
};

static struct {
	const char *queue;
	const char *name;
	const char *servers;
	int file;
	struct prng prng;
	unsigned life;
	bool scan;

	/* Of this life: */
	struct client_io io;
	uint64_t number; /* of the newest line */
	uint64_t token;
	bool made; /* the queue */
	bool subscribed, unsubscribes, unsubscribed, said_bye, over;
	uint32_t sub;
	uint64_t asked; /* when the newest credit was given */
	struct receipt_of held[HELD_MAX * 2];
	unsigned held_len;
	struct receipt_of others[OTHERS_MAX]; /* what it has held, or has seen others hold */
	unsigned others_len;
	bool looks; /* a PEEK or LIST is under way */
	struct pending look;
	char at[NAME_FULL_MAX + 1]; /* the queue that it looks at */
	uint64_t from;
	uint64_t next; /* scan: where it goes on; NO_TIME: all was seen */
	struct text rows;
	uint64_t backlog;
	bool idle; /* it does little about what it holds, so that leases run out */
	uint64_t said_ms, act_ms;
} a;

static uint64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t below(uint64_t n)
{
	return prng_below(&a.prng, n);
}

/* ---- lines ---- */

/* ret NO_TIME: it has not returned.  The format: the verb and what follows it. */
static void line(uint64_t number, uint64_t call, uint64_t ret, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void line(uint64_t number, uint64_t call, uint64_t ret, const char *format, ...)
{
	static char text[64u << 10];
	va_list ap;
	int len =
	    snprintf(text, sizeof text, "%s.%u %llu %llu ", a.name, a.life, U(number), U(call));
	len += ret == NO_TIME ? snprintf(text + len, 8, "- ")
			      : snprintf(text + len, 32, "%llu ", U(ret));
	va_start(ap, format);
	len += vsnprintf(text + len, sizeof text - (size_t)len - 1, format, ap);
	va_end(ap);
	if ((size_t)len >= sizeof text - 1)
		errx(70, "a line is too long");
	text[len++] = '\n';
	if (write(a.file, text, (size_t)len) != len)
		err(74, "write");
}

/* What happens at one moment. */
#define NOTE(...) \
	do { \
		uint64_t note_us = now_us(); \
		line(++a.number, note_us, note_us, __VA_ARGS__); \
	} while (0)

static struct pending *pending_new(const char *verb, uint64_t count)
{
	struct pending *p = calloc(1, sizeof *p);
	if (!p)
		err(70, "calloc");
	*p = (struct pending){
	    .number = a.number + 1, .call = now_us(), .verb = verb, .count = count};
	return p;
}

static void put_send(const struct pending *p, uint64_t ret, const char *result)
{
	line(p->number, p->call, ret, "send %s %llu %s.%u:%llu = %s", a.queue, U(p->count),
	    a.name, a.life, U(p->token), result);
}

static bool has_ms(const char *verb)
{
	return strcmp(verb, "settle") != 0 && strcmp(verb, "dead") != 0;
}

static void put_act(const struct pending *p, unsigned i, uint64_t ret, const char *result)
{
	char ms[24] = "";
	if (has_ms(p->verb))
		snprintf(ms, sizeof ms, " %llu", U(p->ms));
	line(p->number + i, p->call, ret, "%s %s %llu %llu%s = %s", p->verb, a.queue,
	    U(p->of[i].seq), U(p->of[i].lease), ms, result);
}

/* ---- what it holds ---- */

static void forget(uint64_t seq, uint64_t lease)
{
	for (unsigned i = 0; i < a.held_len; i++)
		if (a.held[i].seq == seq && a.held[i].lease == lease)
			a.held[i--] = a.held[--a.held_len];
}

static void remember(uint64_t seq, uint64_t lease)
{
	unsigned i = a.others_len < OTHERS_MAX ? a.others_len++ : (unsigned)below(OTHERS_MAX);
	a.others[i] = (struct receipt_of){seq, lease};
}

/* Until when the client trusts in a lease; ms of its clock. */
static uint64_t trusted_ms(struct receipt_of r)
{
	uint64_t now = clock_mono().ms, low = now, high = now + 60000;
	if (!client_vouches(a.io.client, r.lease, r.seq, (struct mono_time){now}))
		return 0;
	while (high - low > 1) {
		uint64_t middle = low + (high - low) / 2;
		if (client_vouches(a.io.client, r.lease, r.seq, (struct mono_time){middle}))
			low = middle;
		else
			high = middle;
	}
	return high;
}

static void say_trust(struct receipt_of r)
{
	uint64_t until = trusted_ms(r);
	if (until > 0)
		NOTE("hold %s %llu %llu %llu = done", a.queue, U(r.seq), U(r.lease),
		    U(until * 1000));
}

/* ---- what it is told ---- */

static void on_sent(
    void *arg, const struct client_command *cmd, uint64_t first_seq, uint32_t count)
{
	char first[24];
	struct pending *p = cmd->tag;
	(void)arg;
	if (count != p->count)
		errx(76, "%u messages are stored, and %llu were sent", count, U(p->count));
	snprintf(first, sizeof first, "%llu", U(first_seq));
	put_send(p, now_us(), first);
	free(p);
}

static bool is_stale(struct slice stale, struct receipt_of of)
{
	struct reader r = reader_of(stale);
	while (reader_left(&r) > 0) {
		struct settle_entry e = settle_entry_get(&r);
		if (e.lease == of.lease && of.seq >= e.first && of.seq - e.first < e.count)
			return true;
	}
	return false;
}

static void on_done(void *arg, const struct client_command *cmd, struct slice stale)
{
	struct pending *p = cmd->tag;
	uint64_t ret = now_us();
	(void)arg;
	a.made |= cmd->type == WIRE_TYPE_QUEUE_CREATE;
	if (cmd->type == WIRE_TYPE_QUEUE_CREATE)
		line(p->number, p->call, ret, "create %s %d = done", a.queue, ATTEMPTS);
	else
		for (unsigned i = 0; i < p->count; i++)
			put_act(p, i, ret, is_stale(stale, p->of[i]) ? "stale" : "done");
	free(p);
}

static enum client_verdict on_failed(void *arg, const struct client_command *cmd,
    enum rmq_error code, uint32_t at, struct slice text)
{
	struct pending *p = cmd->tag;
	uint64_t ret = now_us();
	(void)arg, (void)at;
	if (cmd->type == WIRE_TYPE_QUEUE_CREATE)
		errx(error_exit(code), "%s: %.*s", a.queue, (int)text.len,
		    (const char *)text.data);
	if (cmd->type == WIRE_TYPE_SEND)
		put_send(p, ret, "refused");
	else
		for (unsigned i = 0; i < p->count; i++)
			put_act(p, i, ret, "refused");
	free(p);
	return CLIENT_DROP;
}

static uint64_t padding(uint64_t n)
{
	return n * 37 % PADDING_MAX;
}

/* Puts the token of a body; of one that nobody here can have made, "corrupt:0". */
static void put_token(struct text *out, struct slice body)
{
	const uint8_t *blank = body.len > 0 ? memchr(body.data, ' ', body.len) : NULL;
	size_t len = blank ? (size_t)(blank - body.data) : 0, from = len;
	uint64_t n = 0, unit = 1;
	for (; from > 0 && body.data[from - 1] >= '0' && body.data[from - 1] <= '9'; unit *= 10)
		n += (uint64_t)(body.data[--from] - '0') * unit;
	bool good = from > 1 && from < len && body.data[from - 1] == ':' &&
		    body.len == len + 1 + padding(n);
	for (size_t i = len + 1; good && i < body.len; i++)
		good = body.data[i] == 'x';
	if (good)
		text_put(out, body.data, len);
	else
		text_put_str(out, "corrupt:0");
	text_put_char(out, 0);
}

static void on_deliver(void *arg, const struct client_delivery *d)
{
	struct text token = {0};
	uint64_t ret = now_us();
	(void)arg;
	for (uint32_t i = 0; i < d->count; i++) {
		uint64_t seq = d->first_seq + i;
		token.len = 0;
		put_token(&token, client_body(d, i));
		line(++a.number, a.asked, ret, "deliver %s %llu %llu %u %u %s = done", a.queue,
		    U(seq), U(d->lease), d->attempt, d->failures, token.data);
		if (a.held_len == HELD_MAX * 2)
			errx(76, "more comes than it has asked for");
		a.held[a.held_len++] = (struct receipt_of){seq, d->lease};
	}
	text_deinit(&token);
}

static void on_lease_ended(
    void *arg, uint32_t sub, enum lease_end why, uint64_t lease, uint64_t first, uint32_t count)
{
	(void)arg, (void)sub;
	for (uint64_t seq = first; seq - first < count; seq++) {
		if (why == ENDED_EXPIRED)
			NOTE("ended %s %llu %llu = done", a.queue, U(seq), U(lease));
		forget(seq, lease);
		remember(seq, lease);
	}
}

static void on_unsubscribed(void *arg, uint32_t sub)
{
	(void)arg, (void)sub;
	a.unsubscribed = true;
}

static void on_listed(void *arg, const struct wire_listed *row)
{
	(void)arg;
	a.backlog = row->ready + row->leased + row->delayed;
	line(a.look.number, a.look.call, now_us(), "list %s = %llu %llu %llu %llu", a.at,
	    U(row->ready), U(row->leased), U(row->delayed), U(row->next_seq));
}

static void on_list_end(void *arg, uint32_t req, bool more)
{
	(void)arg, (void)req, (void)more;
	a.looks = false;
}

static void on_peeked(void *arg, const struct client_delivery *d)
{
	const char *state = d->state == STATE_READY    ? "ready"
			    : d->state == STATE_LEASED ? "leased"
						       : "delayed";
	char text[80];
	(void)arg;
	for (uint32_t i = 0; i < d->count; i++) {
		snprintf(text, sizeof text, " %llu:%s:%llu:", U(d->first_seq + i), state,
		    U(d->lease));
		text_put_str(&a.rows, text);
		put_token(&a.rows, client_body(d, i));
		/* The next row takes the place of the NUL. */
		a.rows.len--;
		if (d->state == STATE_LEASED && strcmp(a.at, a.queue) == 0 && below(4) == 0)
			remember(d->first_seq + i, d->lease);
	}
}

static void on_peek_end(void *arg, uint32_t req, enum rmq_error code, bool more, uint64_t next)
{
	char end[24] = "-";
	(void)arg, (void)req;
	if (code && code != RMQ_E_NO_QUEUE)
		errx(error_exit(code), "PEEK: %s", error_text(code));
	/* A queue that is not there holds nothing. */
	a.next = more && !code ? next : NO_TIME;
	if (a.next != NO_TIME)
		snprintf(end, sizeof end, "%llu", U(next));
	text_put_char(&a.rows, 0);
	if (a.rows.failed)
		errx(70, "out of memory");
	line(a.look.number, a.look.call, now_us(), "peek %s %llu %s =%s", a.at, U(a.from), end,
	    a.rows.data);
	a.looks = false;
}

static void on_fatal(void *arg, enum rmq_error code, struct slice text)
{
	(void)arg, (void)code, (void)text;
	a.over = true;
}

/* ---- what it does ---- */

static void send_some(void)
{
	struct sendbuf *b = sendbuf_new();
	struct pending *p = pending_new("send", 1 + below(4));
	char body[128 + PADDING_MAX];
	if (!b)
		err(70, "malloc");
	p->token = a.token + 1;
	for (uint64_t i = 0; i < p->count; i++) {
		int len = snprintf(body, 128, "%s.%u:%llu ", a.name, a.life, U(++a.token));
		memset(body + len, 'x', padding(a.token));
		bool fits =
		    sendbuf_append(b, slice_of(body, (size_t)len + padding(a.token)), '\n');
		assert(fits);
	}
	a.number++;
	put_send(p, NO_TIME, "unknown");
	client_send(a.io.client, clock_mono(), slice_str(a.queue), SEND_NO_CREATE, b, p);
}

static const struct act {
	const char *verb;
	enum settle_verb code;
	uint8_t flags;
	unsigned weight;
	uint64_t ms; /* at least, and up to twice as much; 0 too where `none` */
	bool none;
} acts[] = {
    {"settle", VERB_SETTLE, 0, 60, 0, true},
    {"release", VERB_RELEASE, 0, 12, 500, true},
    {"fail", VERB_RELEASE, SETTLE_COUNTED, 12, 300, true},
    {"dead", VERB_DEAD, 0, 3, 0, true},
    {"touch", VERB_TOUCH, 0, 7, 1000, false},
    {"touch", VERB_TOUCH, SETTLE_DETACH, 6, 1000, false},
};

static const struct act *some_act(void)
{
	unsigned roll = (unsigned)below(100), i = 0;
	for (; roll >= acts[i].weight; i++)
		roll -= acts[i].weight;
	return &acts[i];
}

/* Does it to `count` of what it holds, or has seen others hold. */
static void act_on(const struct act *act, const struct receipt_of *of, unsigned count)
{
	struct settle_entry entries[ENTRIES];
	struct pending *p;
	for (unsigned i = 0; i < count; i++)
		say_trust(of[i]);
	p = pending_new(act->verb, count);
	if (act->ms > 0 && (!act->none || below(2)))
		p->ms = act->ms + below(act->ms);
	for (unsigned i = 0; i < count; i++) {
		p->of[i] = of[i];
		entries[i] = (struct settle_entry){of[i].lease, of[i].seq, 1};
		a.number++;
		put_act(p, i, NO_TIME, "unknown");
	}
	client_settle(a.io.client, clock_mono(),
	    &(struct client_settlement){.queue = slice_str(a.queue),
		.verb = act->code,
		.flags = act->flags,
		.ms = p->ms,
		.why = slice_str(act->code == VERB_DEAD ? "as the seed says" : ""),
		.tag = p},
	    entries, count);
	for (unsigned i = 0; i < count && act->code != VERB_TOUCH; i++) {
		forget(p->of[i].seq, p->of[i].lease);
		remember(p->of[i].seq, p->of[i].lease);
	}
}

static void act_on_held(const struct act *act)
{
	struct receipt_of of[ENTRIES];
	unsigned count = 1 + (unsigned)below(ENTRIES);
	if (a.held_len < count)
		return;
	unsigned first = (unsigned)below(a.held_len - count + 1);
	memcpy(of, a.held + first, count * sizeof *of);
	act_on(act, of, count);
}

/* Another's receipt, or an old one: with DETACH only its holder may touch. */
static void act_on_others(void)
{
	const struct act *act = some_act();
	if (a.others_len == 0 || act->flags & SETTLE_DETACH)
		return;
	struct receipt_of of = a.others[below(a.others_len)];
	act_on(act, &of, 1);
}

static void look_begin(const char *verb, const char *queue)
{
	a.looks = true;
	a.look = (struct pending){.number = ++a.number, .call = now_us(), .verb = verb};
	snprintf(a.at, sizeof a.at, "%s", queue);
}

static void peek(const char *queue, uint64_t from, uint32_t limit)
{
	look_begin("peek", queue);
	a.from = from;
	a.rows.len = 0;
	client_peek(a.io.client, clock_mono(), slice_str(a.at), STATES, from, limit);
}

static void list(void)
{
	look_begin("list", a.queue);
	client_list(a.io.client, clock_mono(), slice_str(""), slice_str(a.at), 1);
}

static void look(void)
{
	char dead[NAME_FULL_MAX + 8];
	snprintf(dead, sizeof dead, "%s.dead", a.queue);
	uint64_t near = a.others_len > 0 ? a.others[below(a.others_len)].seq : 0;
	if (a.looks)
		return;
	if (below(3) == 0)
		list();
	else
		peek(below(5) > 0 ? a.queue : dead, below(2) ? 0 : near,
		    1 + (uint32_t)below(64));
}

static void ask(void)
{
	if (client_credit_messages(a.io.client, a.sub) > 0 || a.held_len >= HELD_MAX)
		return;
	a.asked = now_us();
	client_credit(
	    a.io.client, a.sub, 1 + (uint32_t)below(HELD_MAX + 1 - a.held_len), 1u << 20);
}

static void something(void)
{
	uint64_t roll = below(100);
	if (roll < 35 && a.backlog < BACKLOG && client_has_room(a.io.client))
		send_some();
	else if (roll < (a.idle ? 38 : 75))
		act_on_held(some_act());
	else if (roll >= 75 && roll < 90)
		look();
	else if (roll >= 90 && roll < 96)
		act_on_others();
	/* As one that has died, but that its leases are watched. */
	a.over |= below(400) == 0;
}

/* ---- one life after the other ---- */

static void make_queue(void)
{
	struct pending *p = pending_new("create", 1);
	a.number++;
	line(p->number, p->call, NO_TIME, "create %s %d = unknown", a.queue, ATTEMPTS);
	client_queue(a.io.client, clock_mono(), WIRE_TYPE_QUEUE_CREATE, slice_str(a.queue), 0,
	    &(struct client_settings){.mask = SETTING_MAX_ATTEMPTS | SETTING_BACKOFF,
		.max_attempts = ATTEMPTS,
		.backoff_min_ms = 200,
		.backoff_max_ms = 2000},
	    p);
}

static void life_begin(void)
{
	static const struct client_host host = {.sent = on_sent,
	    .done = on_done,
	    .failed = on_failed,
	    .deliver = on_deliver,
	    .lease_ended = on_lease_ended,
	    .unsubscribed = on_unsubscribed,
	    .listed = on_listed,
	    .list_end = on_list_end,
	    .peeked = on_peeked,
	    .peek_end = on_peek_end,
	    .fatal = on_fatal};
	struct reason why;
	struct client_config config = {
	    .window = CLIENT_WINDOW, .timeout_ms = a.scan ? SCAN_MS : TIMEOUT_MS};
	a.life++;
	a.idle = below(3) == 0;
	a.number = a.token = a.held_len = a.said_ms = 0;
	a.made = a.subscribed = a.unsubscribes = a.unsubscribed = a.said_bye = a.over =
	    a.looks = false;
	enum rmq_error error = client_io_open(
	    &a.io, &(struct client_options){.servers = a.servers}, &config, &host, &why);
	if (error)
		errx(error_exit(error), "%s", why.text);
	if (!a.scan)
		make_queue();
}

/* Nothing is said to the daemon: what is unanswered stays unknown. */
static void life_end(void)
{
	const struct client_command *cmd = client_oldest(a.io.client);
	for (unsigned i = 0; i < a.held_len; i++)
		say_trust(a.held[i]);
	for (; cmd; cmd = cmd->next)
		free(cmd->tag);
	client_io_close(&a.io);
}

static void live(uint64_t now_ms)
{
	if (!a.made)
		return;
	if (!a.subscribed) {
		a.sub = client_subscribe(a.io.client, clock_mono(), slice_str(a.queue),
		    SUBSCRIBE_NO_CREATE, LEASE_MS);
		a.subscribed = true;
	}
	ask();
	if (now_ms >= a.said_ms + LOOK_MS) {
		a.said_ms = now_ms;
		NOTE("alive %s = done", a.queue);
		for (unsigned i = 0; i < a.held_len; i++)
			say_trust(a.held[i]);
	}
	if (now_ms >= a.act_ms) {
		a.act_ms = now_ms + below(40);
		something();
	}
}

/* Takes no more, gives back or settles what it has, and says BYE. */
static void leave(void)
{
	if (a.subscribed && !a.unsubscribes)
		client_unsubscribe(a.io.client, a.sub);
	a.unsubscribes = true;
	if (a.subscribed && !a.unsubscribed)
		return;
	while (a.held_len > 0)
		act_on(&acts[below(2)], &a.held[0], 1);
	if (client_unanswered(a.io.client) > 0 || a.looks || a.said_bye)
		return;
	NOTE("bye %s = done", a.queue);
	a.said_bye = true;
	client_bye(a.io.client);
}

static void run(void)
{
	life_begin();
	while (!(signals_caught() && (a.over || (a.said_bye && client_ended(a.io.client))))) {
		if (a.over) {
			life_end();
			life_begin();
		}
		client_io_wait(&a.io, signals_caught() ? -1 : signals_fd(),
		    a.said_bye ? TIMEOUT_MS : 1 + below(20));
		if (a.over)
			continue;
		if (signals_caught())
			leave();
		else
			live(clock_mono().ms);
	}
	life_end();
}

/* ---- a look at all ---- */

static void wait_look(void)
{
	while (a.looks && !a.over)
		client_io_wait(&a.io, -1, SCAN_MS);
	if (a.over)
		errx(75, "no answer");
}

static void scan(const char *queue)
{
	a.next = 0;
	while (a.next != NO_TIME) {
		peek(queue, a.next, LIST_ROWS_MAX);
		wait_look();
	}
}

static void scan_all(void)
{
	char dead[NAME_FULL_MAX + 8];
	snprintf(dead, sizeof dead, "%s.dead", a.queue);
	life_begin();
	list();
	wait_look();
	scan(a.queue);
	scan(dead);
	client_bye(a.io.client);
	while (!client_ended(a.io.client) && !a.over)
		client_io_wait(&a.io, -1, SCAN_MS);
	life_end();
}

int main(int argc, char **argv)
{
	(void)!startup(NULL, argc, argv);
	a.scan = argc > 1 && strcmp(argv[1], "-s") == 0;
	if (argc != 6)
		errx(64, "usage: actor [-s] SERVERS QUEUE NAME [SEED] FILE");
	char **word = argv + 1 + a.scan;
	a.servers = word[0];
	a.queue = word[1];
	a.name = word[2];
	a.prng.state = a.scan ? 0 : strtoull(word[3], NULL, 10);
	a.file = open(argv[5], O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
	if (a.file < 0)
		err(74, "%s", argv[5]);
	if (!signals_init())
		err(74, "signals");
	log_init("actor", -1);
	if (a.scan)
		scan_all();
	else
		run();
	text_deinit(&a.rows);
	return 0;
}
