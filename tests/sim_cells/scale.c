#include "scale.h"

#include "../sim/trace.h"
#include "actors.h"
#include "cell.h"
#include "movers.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#define CELLS_MOST  250
#define MOVED_OF    100 /* one of so many queues is moved */
#define MOVERS	    50
#define SENDERS	    20
#define RECEIVERS   20
#define WINDOW	    64
#define SENDS_EACH  20 /* to a queue that is moved, by and by */
#define IDLE_ROUNDS 200000

/* A queue of those that are moved, and what is known of it. */
struct moved {
	uint32_t queue;
	uint16_t home;
	uint16_t to;
	uint32_t asked, sent, settled;
	bool received; /* by one of the receivers now */
};

struct client_of {
	struct scale *s;
	struct end end;
	unsigned number;
	uint32_t at; /* of the queues that it sends to, the next one */
	struct moved *from;
	uint32_t sub;
	uint32_t got; /* the newest that it was given */
	uint64_t lease;
	bool on, idle, settles, leaves;
};

struct scale {
	struct world *w;
	struct moved *moved;
	uint32_t moved_count, begun, done;
	uint16_t *homes;
	struct cells list;
	struct client_of makers[CELLS_MOST], senders[SENDERS], receivers[RECEIVERS];
	struct actor movers[MOVERS];
	uint64_t stored, settled;
	uint64_t began_ms[MOVERS], longest_ms;
};

/* ---- figures ---- */

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double mebibytes(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)u.ru_maxrss / 1024;
}

static void report(const char *what, double since, const char *more, uint64_t n)
{
	printf("%-28s %8.1f s  %8.0f MiB  %s%" PRIu64 "\n", what, seconds() - since,
	    mebibytes(), more, n);
	fflush(stdout);
}

/* ---- the world goes on ---- */

/* Everybody in it has had its turn; then time goes on. */
static void cells_round(struct world *w)
{
	for (unsigned i = 0; i < w->cells_count; i++) {
		struct daemon *d = &w->cells[i];
		net_move_all(&d->net, w->boot_ms);
		for (unsigned turns = 0; turns < 3 && cell_ready(d); turns++) {
			cell_turn(d);
			cell_commit(d, d->journal.op_count);
		}
		net_move_all(&d->net, w->boot_ms);
	}
	w->boot_ms++;
}

static void on_fatal(void *arg, enum rmq_error code, struct slice text)
{
	(void)arg;
	trace_fail("a client gives up: %s: %.*s", error_text(code), (int)text.len,
	    (const char *)text.data);
}

static enum client_verdict on_failed(void *arg, const struct client_command *cmd,
    enum rmq_error code, uint32_t at, struct slice text)
{
	(void)arg, (void)cmd, (void)at;
	trace_fail("a command fails: %s: %.*s", error_text(code), (int)text.len,
	    (const char *)text.data);
}

/* ---- queues are made ---- */

static void make_next(struct client_of *c)
{
	struct scale *s = c->s;
	struct world *w = s->w;
	struct client_settings settings = {0};
	while (c->at < w->queues_count && client_unanswered(c->end.client) < WINDOW) {
		uint32_t queue = c->at++;
		if (s->homes[queue] == c->number)
			client_queue(c->end.client, end_now(&c->end), WIRE_TYPE_QUEUE_CREATE,
			    world_queue(w, queue), 0, &settings, NULL);
	}
}

static void make_queues(struct scale *s)
{
	struct world *w = s->w;
	const struct client_config config = {
	    .window = WINDOW, .timeout_ms = CLIENT_FOREVER, .pinned = true};
	const struct client_host host = {.failed = on_failed, .fatal = on_fatal};
	bool busy = true;
	for (unsigned i = 0; i < w->cells_count; i++) {
		s->makers[i] = (struct client_of){.s = s, .number = i};
		end_init(&s->makers[i].end, w, i, NULL, config, &host);
	}
	while (busy) {
		busy = false;
		for (unsigned i = 0; i < w->cells_count; i++) {
			struct client_of *c = &s->makers[i];
			make_next(c);
			end_pump(&c->end, false);
			busy |= c->at < w->queues_count || client_unanswered(c->end.client) > 0;
		}
		cells_round(w);
	}
	for (unsigned i = 0; i < w->cells_count; i++)
		end_deinit(&s->makers[i].end);
}

/* ---- load ---- */

static void on_sent(
    void *arg, const struct client_command *cmd, uint64_t first_seq, uint32_t count)
{
	struct client_of *c = arg;
	struct moved *m = cmd->tag;
	if (first_seq + count - 1 != ++m->sent)
		trace_fail("message %u of queue %u is stored as %" PRIu64, m->sent, m->queue,
		    first_seq);
	c->s->stored++;
}

/* Each of the queues that are moved has one sender, so that its messages have an order. */
static void send_next(struct client_of *c)
{
	struct scale *s = c->s;
	while (c->at < s->moved_count * SENDS_EACH && client_has_room(c->end.client)) {
		struct moved *m = &s->moved[c->at % s->moved_count];
		bool mine = (uint32_t)(m - s->moved) % SENDERS == c->number;
		c->at++;
		if (!mine)
			continue;
		struct sendbuf *b = sendbuf_new();
		uint8_t body[8];
		assert(b);
		store_u32(body, m->queue);
		store_u32(body + 4, ++m->asked);
		bool fits = sendbuf_append(b, slice_of(body, sizeof(body)), '\n');
		assert(fits);
		client_send(
		    c->end.client, end_now(&c->end), world_queue(s->w, m->queue), 0, b, m);
		return;
	}
}

/* It comes again in its place: one before it was lost on the way, or is not settled yet. */
static void give_back(struct client_of *c, uint64_t lease, uint64_t number)
{
	const struct client_settlement how = {
	    .queue = world_queue(c->s->w, c->from->queue), .verb = VERB_RELEASE, .tag = c};
	struct settle_entry entry = {lease, number, 1};
	client_settle(c->end.client, end_now(&c->end), &how, &entry, 1);
}

static void on_deliver(void *arg, const struct client_delivery *d)
{
	struct client_of *c = arg;
	for (uint32_t i = 0; i < d->count; i++) {
		struct slice body = client_body(d, i);
		uint32_t number = (uint32_t)(d->first_seq + i);
		if (body.len != 8 || load_u32(body.data) != c->from->queue ||
		    load_u32(body.data + 4) != number)
			trace_fail("queue %u has something else as %u", c->from->queue, number);
		bool mine = client_vouches(c->end.client, d->lease, number, end_now(&c->end));
		if (mine && number <= c->from->settled)
			trace_fail("queue %u gives %u again", c->from->queue, number);
		if (!mine || c->leaves || number != c->got + 1 ||
		    (c->lease != d->lease && c->got > c->from->settled)) {
			give_back(c, d->lease, number);
			continue;
		}
		c->got = number;
		c->lease = d->lease;
	}
}

static void on_done(void *arg, const struct client_command *cmd, struct slice stale)
{
	struct client_of *c = arg;
	if (cmd->tag)
		return;
	c->settles = false;
	if (stale.len > 0)
		return;
	c->s->settled += c->got - c->from->settled;
	c->from->settled = c->got;
}

static void on_lease_ended(
    void *arg, uint32_t sub, enum lease_end why, uint64_t lease, uint64_t first, uint32_t count)
{
	struct client_of *c = arg;
	(void)sub, (void)why, (void)first, (void)count;
	if (lease == c->lease && !c->settles)
		c->got = c->from->settled;
}

static void on_unsubscribed(void *arg, uint32_t sub)
{
	struct client_of *c = arg;
	(void)sub;
	c->on = c->leaves = false;
	c->from->received = false;
	c->from = NULL;
}

static void on_idle(void *arg, uint32_t sub, uint64_t leased, uint64_t delayed)
{
	struct client_of *c = arg;
	(void)sub, (void)leased, (void)delayed;
	c->idle = true;
}

static void receive_next(struct client_of *c)
{
	struct scale *s = c->s;
	struct mono_time now = end_now(&c->end);
	if (!c->on) {
		struct moved *m = &s->moved[prng_below(&s->w->prng, s->moved_count)];
		if (m->received || m->settled == m->asked)
			return;
		c->from = m;
		c->got = m->settled;
		m->received = c->on = true;
		c->idle = false;
		c->sub = client_subscribe(
		    c->end.client, now, world_queue(s->w, m->queue), SUBSCRIBE_IDLE, 0);
		client_credit(c->end.client, c->sub, SENDS_EACH, 10000);
		return;
	}
	/* Without credit nobody says that nothing is ready. */
	if (client_credit_messages(c->end.client, c->sub) <= 0)
		client_credit(c->end.client, c->sub, SENDS_EACH, 10000);
	/* What it has in hand it settles before. */
	if (c->idle && c->got == c->from->settled && !c->settles && !c->leaves) {
		c->leaves = true;
		client_unsubscribe(c->end.client, c->sub);
	}
	if (c->got == c->from->settled || c->settles || c->leaves ||
	    !client_vouches(c->end.client, c->lease, c->got, now))
		return;
	const struct client_settlement how = {
	    .queue = world_queue(s->w, c->from->queue), .verb = VERB_SETTLE};
	struct settle_entry entry = {c->lease, c->from->settled + 1, c->got - c->from->settled};
	c->settles = true;
	client_settle(c->end.client, now, &how, &entry, 1);
}

/* ---- moves ---- */

static void move_next(struct scale *s, unsigned i)
{
	struct actor *a = &s->movers[i];
	if (movers_done(a)) {
		if (s->began_ms[i] > 0) {
			uint64_t ms = s->w->boot_ms - s->began_ms[i];
			s->longest_ms = ms > s->longest_ms ? ms : s->longest_ms;
			s->began_ms[i] = 0;
			s->done++;
		}
		if (s->begun == s->moved_count)
			return;
		const struct moved *m = &s->moved[s->begun++];
		s->began_ms[i] = s->w->boot_ms;
		movers_move(a, m->queue, m->home, m->to);
	}
	movers_step(a);
}

static void open_clients(struct scale *s)
{
	struct world *w = s->w;
	const struct client_config config = {.window = 16, .timeout_ms = CLIENT_FOREVER};
	for (unsigned i = 0; i < SENDERS; i++) {
		struct client_of *c = &s->senders[i];
		const struct client_host host = {
		    .arg = c, .sent = on_sent, .failed = on_failed, .fatal = on_fatal};
		*c = (struct client_of){.s = s, .number = i};
		end_init(&c->end, w, 0, w->list, config, &host);
	}
	for (unsigned i = 0; i < RECEIVERS; i++) {
		struct client_of *c = &s->receivers[i];
		const struct client_host host = {.arg = c,
		    .deliver = on_deliver,
		    .done = on_done,
		    .lease_ended = on_lease_ended,
		    .unsubscribed = on_unsubscribed,
		    .idle = on_idle,
		    .failed = on_failed,
		    .fatal = on_fatal};
		*c = (struct client_of){.s = s, .number = i};
		end_init(&c->end, w, 0, w->list, config, &host);
	}
	for (unsigned i = 0; i < MOVERS; i++) {
		s->movers[i] = (struct actor){.w = w, .number = i, .kind = MOVER};
		movers_start(&s->movers[i]);
	}
}

static void close_clients(struct scale *s)
{
	for (unsigned i = 0; i < SENDERS; i++)
		end_deinit(&s->senders[i].end);
	for (unsigned i = 0; i < RECEIVERS; i++)
		end_deinit(&s->receivers[i].end);
	for (unsigned i = 0; i < MOVERS; i++)
		movers_stop(&s->movers[i]);
}

static void stuck(const struct scale *s)
{
	for (uint32_t i = 0; i < s->moved_count; i++) {
		const struct moved *m = &s->moved[i];
		trace("left", m->queue, m->sent, m->settled, m->received);
	}
	for (unsigned i = 0; i < RECEIVERS; i++) {
		const struct client_of *c = &s->receivers[i];
		trace("receiver", c->from ? c->from->queue : UINT32_MAX, c->got,
		    client_held(c->end.client), c->settles + 2u * c->leaves + 4u * c->on);
	}
	trace_fail("nothing goes on: %u of %u queues are moved", s->done, s->moved_count);
}

/* Until all is moved, sent and settled. */
static void load(struct scale *s)
{
	uint64_t goal = (uint64_t)s->moved_count * SENDS_EACH, seen = 0;
	unsigned idle = 0;
	double since = seconds();
	while (s->settled < goal || s->done < s->moved_count) {
		for (unsigned i = 0; i < SENDERS; i++) {
			send_next(&s->senders[i]);
			end_pump(&s->senders[i].end, false);
		}
		for (unsigned i = 0; i < RECEIVERS; i++) {
			receive_next(&s->receivers[i]);
			end_pump(&s->receivers[i].end, false);
		}
		for (unsigned i = 0; i < MOVERS; i++)
			move_next(s, i);
		cells_round(s->w);
		uint64_t now = s->settled + s->stored + s->done;
		idle = now == seen ? idle + 1 : 0;
		seen = now;
		if (idle > IDLE_ROUNDS)
			stuck(s);
		if (s->w->boot_ms % 20000 == 0)
			report("  moved so far", since, "queues: ", s->done);
	}
}

/* ---- all of it ---- */

/* Shipped limits; nothing goes wrong. */
static struct world *make_world(unsigned cells, unsigned queues)
{
	struct world *w = calloc(1, sizeof(*w));
	size_t len = 0;
	assert(w);
	w->prng.state = 1;
	w->calm = w->numbered = true;
	w->boot_ms = 5000000;
	w->cells_count = cells;
	w->queues_count = queues;
#define X(name, value) w->space.name = (value);
	SPACE_LIMITS(X)
#undef X
	w->cells = calloc(cells, sizeof(*w->cells));
	assert(w->cells);
	for (unsigned i = 0; i < cells; i++) {
		struct daemon *d = &w->cells[i];
		cell_init(d, w, i);
		d->journal.forgets = true;
		len += (size_t)snprintf(w->list + len, sizeof(w->list) - len, "%s%s=%s",
		    i ? ";" : "", d->name, d->address);
	}
	assert(len < sizeof(w->list));
	for (unsigned i = 0; i < cells; i++) {
		w->cells[i].list = w->list;
		cell_start(&w->cells[i]);
	}
	return w;
}

static void plan(struct scale *s)
{
	struct world *w = s->w;
	const char *why;
	if (cells_parse(&s->list, slice_str(w->list), &why))
		trace_fail("the list of cells is none: %s", why);
	s->homes = calloc(w->queues_count, sizeof(*s->homes));
	s->moved = calloc(w->queues_count / MOVED_OF + 1, sizeof(*s->moved));
	assert(s->homes && s->moved);
	for (uint32_t i = 0; i < w->queues_count; i++) {
		s->homes[i] = (uint16_t)cells_home(&s->list, world_queue(w, i));
		if (i % MOVED_OF != 0)
			continue;
		uint64_t to = prng_below(&w->prng, w->cells_count - 1);
		to += to >= s->homes[i];
		s->moved[s->moved_count++] =
		    (struct moved){.queue = i, .home = s->homes[i], .to = (uint16_t)to};
	}
}

/* All cells start again, from their disks. */
static void restart(struct world *w)
{
	for (unsigned i = 0; i < w->cells_count; i++) {
		cell_crash(&w->cells[i], w->cells[i].journal.op_count);
		cell_start(&w->cells[i]);
	}
}

int scale_main(unsigned cells, unsigned queues)
{
	double since = seconds();
	struct scale *s = calloc(1, sizeof(*s));
	if (cells < 2 || cells > CELLS_MOST || queues < MOVED_OF) {
		fprintf(stderr,
		    "sim_cells: --scale wants 2 to %u cells and %u queues or more\n",
		    CELLS_MOST, MOVED_OF);
		free(s);
		return 64;
	}
	assert(s);
	trace_begin(1, false);
	s->w = make_world(cells, queues);
	plan(s);
	report("homes are known", since, "queues: ", queues);
	since = seconds();
	make_queues(s);
	report("queues are made", since, "cells: ", cells);
	since = seconds();
	open_clients(s);
	load(s);
	report("moved, sent and settled", since, "queues: ", s->done);
	printf("messages: %" PRIu64 ", the longest move took %" PRIu64 " ms\n", s->settled,
	    s->longest_ms);
	close_clients(s);
	since = seconds();
	restart(s->w);
	report("all cells start again", since, "cells: ", cells);
	for (unsigned i = 0; i < cells; i++)
		cell_deinit(&s->w->cells[i]);
	free(s->w->cells);
	free(s->w);
	free(s->homes);
	free(s->moved);
	free(s);
	return 0;
}
