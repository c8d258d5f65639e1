/*
 * Load for the benchmarks that programs started by a shell are too slow for: many
 * connections from one process, speaking the clients' protocol in its barest form.
 *
 *	load send SOCKET QUEUE CONNS COUNT	one message at a time on each connection,
 *						each waits for its SENT: messages/s
 *	load receive SOCKET QUEUE CONNS COUNT	credit 1 on each connection: deliveries/s
 *	load confirm SOCKET QUEUE COUNT		one message at a time: ms until SENT: median, p99
 *	load arrive SOCKET QUEUE COUNT		one message at a time, to a receiver that waits:
 *						ms until DELIVER: median, p99
 *	load bury SOCKET QUEUE COUNT		makes a dead letter of each of COUNT messages, one
 *						entry each: messages/s
 *	load random SOCKET QUEUE COUNT		leases COUNT messages, and then settles them in random
 *						order, one entry each: messages/s
 *	load queues SOCKET COUNT		makes so many queues: queues/s
 *	load sparse SOCKET QUEUE EVERY COUNT	settles all of COUNT messages but each
 *						EVERYth, which it gives back: messages/s
 *	load stall SOCKET QUEUE			asks for everything and never reads; prints
 *						"ready" and stays until it is killed
 */
#include "core/wire/wire.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define IN_SIZE	      (256u << 10)
#define OUT_SIZE      (512u << 10)
#define CREDIT_BYTES  (64u << 20)
#define QUEUES_FLIGHT 128
#define BODY_SIZE     99
#define ENTRIES	      1024 /* in one settlement; each may come to several ranges */
#define RANDOM_FLIGHT 8	   /* settlements that are not answered */

struct conn {
	int fd;
	uint64_t session;
	uint64_t n;	   /* newest numbered command */
	uint64_t answered; /* all up to this one */
	size_t in_len;
	struct writer out; /* what is written when the input that came is dealt with */
	uint8_t *in;
};

/* What a load does; `conn` is told each frame, and puts its answers into c->out. */
struct load {
	const char *queue;
	uint64_t want;
	uint64_t begun; /* sent, asked for, … */
	uint64_t done;
	uint64_t every;
	uint64_t unanswered;
	struct wire_credit owed;   /* sparse: for what was dealt with since the last answer */
	struct settle_entry *kept; /* sparse: what is given back */
	size_t kept_len;
	struct settle_entry *all; /* random: the messages */
	struct conn *sender;	  /* arrive */
	struct conn *receiver;	  /* arrive */
	double sent_s;		  /* when the newest message was sent */
	double *ms;		  /* confirm, arrive: of each message */
	void (*begin)(struct load *, struct conn *);
	void (*frame)(struct load *, struct conn *, const struct frame *);
};

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- connections ---- */

static void conn_open(struct conn *c, const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof a.sun_path)
		errx(64, "%s: name is too long", path);
	strcpy(a.sun_path, path);
	*c = (struct conn){.in = malloc(IN_SIZE + OUT_SIZE)};
	if (c->in == NULL)
		err(70, "malloc");
	c->out = writer_of(c->in + IN_SIZE, OUT_SIZE);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof a) < 0)
		err(69, "%s", path);
	wire_put_hello(
	    &c->out, &(struct wire_hello){
			 .magic = WIRE_MAGIC, .newest = WIRE_VERSION, .oldest = WIRE_OLDEST});
}

static void conn_flush(struct conn *c)
{
	if (c->out.full)
		errx(70, "output does not fit");
	for (size_t at = 0; at < c->out.len;) {
		ssize_t n = write(c->fd, c->out.p + at, c->out.len - at);
		if (n < 0)
			err(74, "write");
		at += (size_t)n;
	}
	c->out.len = 0;
}

static void conn_refused(const struct frame *f)
{
	struct wire_failed failed;
	struct wire_error error;
	struct wire_sub_failed sub;
	const char *name = wire_name(f->type);
	if (f->type == WIRE_TYPE_FAILED && wire_failed_decode(f->payload, &failed))
		errx(75, "FAILED: %.*s", (int)failed.text.len, (const char *)failed.text.data);
	if (f->type == WIRE_TYPE_ERROR && wire_error_decode(f->payload, &error))
		errx(75, "ERROR: %.*s", (int)error.text.len, (const char *)error.text.data);
	if (f->type == WIRE_TYPE_SUB_FAILED && wire_sub_failed_decode(f->payload, &sub))
		errx(75, "SUB_FAILED: %.*s", (int)sub.text.len, (const char *)sub.text.data);
	errx(76, "%s was not expected", name ? name : "an unknown frame");
}

static void conn_frame(struct load *l, struct conn *c, const struct frame *f)
{
	struct wire_welcome w;
	switch (f->type) {
	case WIRE_TYPE_WELCOME:
		if (!wire_welcome_decode(f->payload, &w))
			errx(76, "bad WELCOME");
		c->session = w.session;
		l->begin(l, c);
		break;
	case WIRE_TYPE_SUBSCRIBED:
	case WIRE_TYPE_IDLE:
	case WIRE_TYPE_EXTENDED:
	case WIRE_TYPE_ROOM:
		break;
	default:
		l->frame(l, c, f);
	}
}

/* Reads once, deals with all whole frames, and writes the answers. */
static void conn_turn(struct load *l, struct conn *c)
{
	ssize_t n = read(c->fd, c->in + c->in_len, IN_SIZE - c->in_len);
	if (n <= 0)
		err(74, "the daemon is gone");
	c->in_len += (size_t)n;
	size_t at = 0;
	for (;;) {
		struct frame f;
		size_t used;
		if (frame_parse(slice_of(c->in + at, c->in_len - at), &f, &used) != RMQ_E_OK)
			errx(76, "bad frame");
		if (used == 0)
			break;
		at += used;
		conn_frame(l, c, &f);
		if (c->out.len > OUT_SIZE - FRAME_PAYLOAD_MAX - FRAME_HEADER_SIZE)
			conn_flush(c);
	}
	memmove(c->in, c->in + at, c->in_len - at);
	c->in_len -= at;
	conn_flush(c);
}

/* Runs the load over `count` connections until all is done; messages/s. */
static double load_run(struct load *l, const char *path, uint64_t count)
{
	struct rlimit files;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	struct conn *conns = calloc(count, sizeof *conns);
	int poll = epoll_create1(EPOLL_CLOEXEC);
	if (conns == NULL || poll < 0)
		err(70, "epoll");
	double begin = now_s();
	for (uint64_t i = 0; i < count; i++) {
		struct epoll_event e = {.events = EPOLLIN, .data.ptr = &conns[i]};
		conn_open(&conns[i], path);
		conn_flush(&conns[i]);
		if (epoll_ctl(poll, EPOLL_CTL_ADD, conns[i].fd, &e) < 0)
			err(70, "epoll_ctl");
	}
	while (l->done < l->want || l->unanswered > 0) {
		struct epoll_event events[64];
		int n = epoll_wait(poll, events, 64, 30000);
		if (n == 0)
			errx(75, "no progress for 30 s: %ju of %ju done", (uintmax_t)l->done,
			    (uintmax_t)l->want);
		for (int i = 0; i < n; i++)
			conn_turn(l, events[i].data.ptr);
	}
	double rate = (double)l->done / (now_s() - begin);
	for (uint64_t i = 0; i < count; i++) {
		wire_put_bye(&conns[i].out, &(struct wire_bye){.answered = conns[i].n});
		conn_flush(&conns[i]);
	}
	return rate;
}

/* ---- send ---- */

static void send_one(struct load *l, struct conn *c)
{
	uint8_t bytes[BATCH_HEADER_SIZE + 2 + BODY_SIZE + 1];
	if (l->begun == l->want)
		return;
	l->begun++;
	l->sent_s = now_s();
	memset(bytes, 'x', sizeof bytes);
	store_u16(bytes, 1);
	store_u16(bytes + 2, 0);
	store_u16(bytes + 4, BODY_SIZE + 1);
	bytes[sizeof bytes - 1] = '\n';
	wire_put_send(&c->out, &(struct wire_send){.n = ++c->n,
				   .answered = c->answered,
				   .queue = slice_str(l->queue),
				   .data = slice_of(bytes, sizeof bytes)});
}

static void took(struct load *l)
{
	if (l->ms)
		l->ms[l->done] = (now_s() - l->sent_s) * 1e3;
}

static void send_frame(struct load *l, struct conn *c, const struct frame *f)
{
	struct wire_sent sent;
	if (f->type != WIRE_TYPE_SENT || !wire_sent_decode(f->payload, &sent))
		conn_refused(f);
	c->answered = sent.n;
	took(l);
	l->done++;
	send_one(l, c);
}

/* ---- queues ---- */

static void queues_one(struct load *l, struct conn *c)
{
	char name[32];
	if (l->begun == l->want)
		return;
	snprintf(name, sizeof name, "q%ju", (uintmax_t)l->begun++);
	wire_put_queue_create(
	    &c->out, &(struct wire_queue_create){
			 .n = ++c->n, .answered = c->answered, .queue = slice_str(name)});
}

static void queues_begin(struct load *l, struct conn *c)
{
	for (int i = 0; i < QUEUES_FLIGHT; i++)
		queues_one(l, c);
}

static void queues_frame(struct load *l, struct conn *c, const struct frame *f)
{
	struct wire_done done;
	if (f->type != WIRE_TYPE_DONE || !wire_done_decode(f->payload, &done))
		conn_refused(f);
	c->answered = done.n;
	l->done++;
	queues_one(l, c);
}

/* ---- receive ---- */

static void subscribe(struct load *l, struct conn *c, uint32_t messages)
{
	wire_put_subscribe(
	    &c->out, &(struct wire_subscribe){
			 .sub = 1, .lease_ms = LEASE_MS_MAX, .queue = slice_str(l->queue)});
	wire_put_credit(
	    &c->out, &(struct wire_credit){
			 .sub = 1, .messages = messages, .bytes = CREDIT_BYTES, .stamp = 1});
}

static void credit_again(struct conn *c, const struct wire_deliver *d)
{
	wire_put_credit(&c->out, &(struct wire_credit){.sub = 1,
				     .messages = d->count,
				     .bytes = (uint32_t)(d->data.len - 2u * d->count),
				     .stamp = 1});
}

static void settle(struct load *l, struct conn *c, uint8_t verb, struct slice entries)
{
	wire_put_settle(&c->out, &(struct wire_settle){.n = ++c->n,
				     .answered = c->answered,
				     .verb = verb,
				     .stamp = 1,
				     .queue = slice_str(l->queue),
				     .entries = entries});
	l->unanswered++;
}

/* Paces the settlements: credit comes back with their answers. */
static void credit_owed(struct load *l, struct conn *c)
{
	if (l->owed.messages == 0)
		return;
	wire_put_credit(&c->out, &l->owed);
	l->owed.messages = l->owed.bytes = 0;
}

/* Deals with an answer to a settlement; otherwise gives the delivery. */
static bool delivered(
    struct load *l, struct conn *c, const struct frame *f, struct wire_deliver *d)
{
	struct wire_done done;
	if (f->type == WIRE_TYPE_DONE && wire_done_decode(f->payload, &done)) {
		if (done.stale.len > 0)
			errx(1, "a settlement is stale");
		c->answered = done.n;
		l->unanswered--;
		credit_owed(l, c);
		return false;
	}
	if (f->type != WIRE_TYPE_DELIVER || !wire_deliver_decode(f->payload, d))
		conn_refused(f);
	return true;
}

static void receive_begin(struct load *l, struct conn *c)
{
	subscribe(l, c, 1);
}

static void receive_frame(struct load *l, struct conn *c, const struct frame *f)
{
	struct wire_deliver d;
	uint8_t entry[SETTLE_ENTRY_SIZE];
	if (!delivered(l, c, f, &d))
		return;
	struct writer w = writer_of(entry, sizeof entry);
	settle_entry_put(&w, &(struct settle_entry){d.lease, d.first_seq, d.count});
	settle(l, c, VERB_SETTLE, slice_of(entry, w.len));
	l->done += d.count;
	if (l->done < l->want)
		credit_again(c, &d);
}

/* ---- arrive ---- */

/* The first connection receives, the second one sends. */
static void arrive_begin(struct load *l, struct conn *c)
{
	if (!l->receiver) {
		l->receiver = c;
		subscribe(l, c, 1);
		return;
	}
	l->sender = c;
	send_one(l, c);
}

/* The next message is sent when this one was confirmed, delivered and settled. */
static void arrive_frame(struct load *l, struct conn *c, const struct frame *f)
{
	struct wire_deliver d;
	struct wire_sent sent;
	uint8_t entry[SETTLE_ENTRY_SIZE];
	if (c == l->sender) {
		if (f->type != WIRE_TYPE_SENT || !wire_sent_decode(f->payload, &sent))
			conn_refused(f);
		c->answered = sent.n;
	} else if (delivered(l, c, f, &d)) {
		took(l);
		struct writer w = writer_of(entry, sizeof entry);
		settle_entry_put(&w, &(struct settle_entry){d.lease, d.first_seq, d.count});
		settle(l, c, VERB_SETTLE, slice_of(entry, w.len));
		credit_again(c, &d);
		return;
	}
	if (l->sender->answered == l->sender->n && l->receiver->answered == l->sender->n) {
		l->done++;
		send_one(l, l->sender);
		conn_flush(l->sender);
	}
}

/* ---- bury ---- */

/* No more credit: what is written blocks, and the daemon does not read whom it owes much. */
static void bury_begin(struct load *l, struct conn *c)
{
	l->owed = (struct wire_credit){.sub = 1, .stamp = 1};
	subscribe(l, c, BATCH_MESSAGES_MAX);
}

static void bury_frame(struct load *l, struct conn *c, const struct frame *f)
{
	struct wire_deliver d;
	uint8_t entries[SETTLE_ENTRY_SIZE * ENTRIES];
	if (!delivered(l, c, f, &d))
		return;
	for (uint64_t seq = d.first_seq, end = seq + d.count; seq < end;) {
		struct writer w = writer_of(entries, sizeof entries);
		for (; seq < end && w.len < sizeof entries; seq++)
			settle_entry_put(&w, &(struct settle_entry){d.lease, seq, 1});
		settle(l, c, VERB_DEAD, slice_of(entries, w.len));
	}
	l->done += d.count;
	l->owed.messages += d.count;
	l->owed.bytes += (uint32_t)d.data.len;
	if (l->done >= l->want)
		l->owed.messages = 0;
}

/* ---- sparse ---- */

static void sparse_begin(struct load *l, struct conn *c)
{
	l->kept = calloc(l->want / l->every + 1, sizeof *l->kept);
	if (l->kept == NULL)
		err(70, "calloc");
	l->owed = (struct wire_credit){.sub = 1, .stamp = 1};
	subscribe(l, c, BATCH_MESSAGES_MAX * 4);
}

/* Gives back, uncounted, what was not settled; nothing more is handed out by now. */
static void sparse_end(struct load *l, struct conn *c)
{
	uint8_t entries[SETTLE_ENTRY_SIZE * ENTRIES];
	wire_put_unsubscribe(&c->out, &(struct wire_unsubscribe){.sub = 1});
	conn_flush(c);
	for (size_t i = 0; i < l->kept_len;) {
		struct writer w = writer_of(entries, sizeof entries);
		for (; i < l->kept_len && w.len < sizeof entries; i++)
			settle_entry_put(&w, &l->kept[i]);
		settle(l, c, VERB_RELEASE, slice_of(entries, w.len));
		conn_flush(c);
	}
}

static void sparse_frame(struct load *l, struct conn *c, const struct frame *f)
{
	struct wire_deliver d;
	uint8_t entries[SETTLE_ENTRY_SIZE * ENTRIES];
	if (f->type == WIRE_TYPE_UNSUBSCRIBED || !delivered(l, c, f, &d))
		return;
	struct writer w = writer_of(entries, sizeof entries);
	uint64_t end = d.first_seq + d.count;
	for (uint64_t seq = d.first_seq; seq < end;) {
		uint64_t keep = (seq + l->every - 1) / l->every * l->every;
		uint64_t stop = keep < end ? keep : end;
		if (stop > seq)
			settle_entry_put(
			    &w, &(struct settle_entry){d.lease, seq, (uint32_t)(stop - seq)});
		if (stop < end)
			l->kept[l->kept_len++] = (struct settle_entry){d.lease, stop, 1};
		seq = stop + 1;
	}
	settle(l, c, VERB_SETTLE, slice_of(entries, w.len));
	l->done += d.count;
	l->owed.messages += d.count;
	l->owed.bytes += (uint32_t)d.data.len;
	if (l->done >= l->want) {
		l->owed.messages = 0;
		sparse_end(l, c);
	}
}

/* ---- random ---- */

static void random_begin(struct load *l, struct conn *c)
{
	l->all = calloc(l->want, sizeof *l->all);
	if (l->all == NULL)
		err(70, "calloc");
	subscribe(l, c, BATCH_MESSAGES_MAX * 4);
}

/* A sequence that is the same each time (xorshift64). */
static void shuffle(struct settle_entry *e, uint64_t count)
{
	uint64_t x = 88172645463325252u;
	for (uint64_t i = count; i > 1; i--) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		struct settle_entry swap = e[x % i];
		e[x % i] = e[i - 1];
		e[i - 1] = swap;
	}
}

static void random_settle(struct load *l, struct conn *c)
{
	uint8_t entries[SETTLE_ENTRY_SIZE * ENTRIES];
	while (l->done < l->want && l->unanswered < RANDOM_FLIGHT) {
		struct writer w = writer_of(entries, sizeof entries);
		for (; l->done < l->want && w.len < sizeof entries; l->done++)
			settle_entry_put(&w, &l->all[l->done]);
		settle(l, c, VERB_SETTLE, slice_of(entries, w.len));
	}
}

static void random_frame(struct load *l, struct conn *c, const struct frame *f)
{
	struct wire_deliver d;
	bool more = f->type != WIRE_TYPE_UNSUBSCRIBED && delivered(l, c, f, &d);
	if (!more && l->begun == l->want)
		random_settle(l, c);
	if (!more)
		return;
	for (uint64_t seq = d.first_seq; seq < d.first_seq + d.count && l->begun < l->want;
	     seq++)
		l->all[l->begun++] = (struct settle_entry){d.lease, seq, 1};
	if (l->begun < l->want) {
		credit_again(c, &d);
		return;
	}
	wire_put_unsubscribe(&c->out, &(struct wire_unsubscribe){.sub = 1});
	shuffle(l->all, l->want);
}

/* ---- stall ---- */

static _Noreturn void stall(const char *path, const char *queue)
{
	struct load l = {.queue = queue};
	struct conn c;
	conn_open(&c, path);
	subscribe(&l, &c, UINT32_MAX);
	conn_flush(&c);
	printf("ready\n");
	fflush(stdout);
	for (;;)
		pause();
}

static int compare(const void *a, const void *b)
{
	double x, y;
	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return (x > y) - (x < y);
}

static void report(const struct load *l, double rate)
{
	if (!l->ms) {
		printf("%.0f\n", rate);
		return;
	}
	qsort(l->ms, l->want, sizeof *l->ms, compare);
	printf("%.3f %.3f\n", l->ms[l->want / 2], l->ms[l->want * 99 / 100]);
}

/* CONNS stands in the command line where a load has none of its own (0), but for EVERY. */
static const struct {
	const char *name;
	uint64_t conns;
	bool timed;
	void (*begin)(struct load *, struct conn *);
	void (*frame)(struct load *, struct conn *, const struct frame *);
} loads[] = {
    {"send", 0, false, send_one, send_frame},
    {"receive", 0, false, receive_begin, receive_frame},
    {"sparse", 0, false, sparse_begin, sparse_frame},
    {"confirm", 1, true, send_one, send_frame},
    {"arrive", 2, true, arrive_begin, arrive_frame},
    {"bury", 1, false, bury_begin, bury_frame},
    {"random", 1, false, random_begin, random_frame},
    {"queues", 1, false, queues_begin, queues_frame},
};

static int usage(void)
{
	fprintf(stderr, "usage: load send|receive SOCKET QUEUE CONNS COUNT\n"
			"       load sparse SOCKET QUEUE EVERY COUNT\n"
			"       load confirm|arrive|bury|random SOCKET QUEUE COUNT\n"
			"       load queues SOCKET COUNT\n"
			"       load stall SOCKET QUEUE\n");
	return 64;
}

static int run(int argc, char **argv, size_t i)
{
	struct load l = {.begin = loads[i].begin, .frame = loads[i].frame};
	bool queues = l.begin == queues_begin;
	uint64_t conns = loads[i].conns;
	if (argc != (queues ? 4 : conns == 0 ? 6 : 5))
		return usage();
	l.queue = queues ? NULL : argv[3];
	l.want = strtoull(argv[argc - 1], NULL, 10);
	if (conns == 0)
		conns = strtoull(argv[4], NULL, 10);
	if (l.want == 0 || conns == 0)
		return usage();
	if (l.begin == sparse_begin) {
		l.every = conns;
		conns = 1;
	}
	l.ms = loads[i].timed ? calloc(l.want, sizeof *l.ms) : NULL;
	if (loads[i].timed && !l.ms)
		err(70, "calloc");
	report(&l, load_run(&l, argv[2], conns));
	free(l.kept);
	free(l.all);
	free(l.ms);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "stall") == 0)
		stall(argv[2], argv[3]);
	for (size_t i = 0; argc > 1 && i < sizeof loads / sizeof *loads; i++)
		if (strcmp(argv[1], loads[i].name) == 0)
			return run(argc, argv, i);
	return usage();
}
