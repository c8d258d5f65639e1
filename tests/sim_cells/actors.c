#include "actors.h"

#include "../sim/trace.h"
#include "cell.h"
#include "checks.h"
#include "forwarders.h"
#include "inputs.h"
#include "lists.h"
#include "movers.h"

#include "core/base/name.h"
#include "core/wire/attributes.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define HELD_MAX	2000
#define BATCH_LINES_MAX 40
#define SEVERAL_MAX	3
#define TAKEN_MAX	64
#define STAY_MS		3000 /* in the calm: with a queue, before another one is drained */
#define DEDUP_MS	(3600u * 1000)
#define KEEP_MS		1000 /* between two settings of a queue */

/* A message that a client has in hand. */
struct hold {
	uint64_t seq, lease;
	uint32_t line;
	bool ended; /* its lease, while a SETTLE_SEND of it had no answer */
};

/* What a command was about. */
struct note {
	struct note *next;
	uint32_t verb; /* 0: a SEND */
	unsigned queue;
	bool topic;
	uint32_t count;
	uint32_t sent; /* lines after what is settled, sent with it to queue `to` */
	unsigned to;
	struct hold items[];
};
#define VERB_OTHER    99
#define TOPIC	      "t.x"
#define TOPIC_PATTERN "t.#"

static struct note *note_new(struct actor *a, uint32_t verb, unsigned queue, uint32_t count)
{
	struct note *n = calloc(1, sizeof(*n) + count * sizeof(struct hold));
	assert(n);
	n->verb = verb;
	n->queue = queue;
	n->count = count;
	n->next = a->notes;
	a->notes = n;
	return n;
}

static void note_free(struct actor *a, struct note *n)
{
	struct note **at = &a->notes;
	while (*at && *at != n)
		at = &(*at)->next;
	if (!*at)
		trace_fail("a command is answered twice");
	*at = n->next;
	free(n);
}

static struct mono_time now(const struct actor *a)
{
	return end_now(&a->end);
}

static unsigned dead_of(unsigned queue)
{
	return 2 * queue + 1;
}

/* ---- what the client core tells ---- */

static void on_sent(
    void *arg, const struct client_command *cmd, uint64_t first_seq, uint32_t count)
{
	struct actor *a = arg;
	struct note *n = cmd->tag;
	trace("sent", a->number, first_seq, count, n->queue);
	if (count != n->count)
		trace_fail("%u messages were sent, %u are stored", n->count, count);
	for (uint32_t i = 0; i < count; i++) {
		if (!n->topic)
			checks_sent(a->w, 2 * n->queue, n->items[i].line, first_seq + i);
		a->w->lines.all[n->items[i].line].sent = true;
	}
	note_free(a, n);
}

static bool is_of(const struct hold *h, uint64_t lease, uint64_t first, uint32_t count)
{
	return h->lease == lease && h->seq >= first && h->seq - first < count;
}

static bool is_stale(struct slice stale, const struct hold *h)
{
	struct reader r = reader_of(stale);
	while (reader_left(&r) >= SETTLE_ENTRY_SIZE) {
		struct settle_entry e = settle_entry_get(&r);
		if (is_of(h, e.lease, e.first, e.count))
			return true;
	}
	return false;
}

static void on_done(void *arg, const struct client_command *cmd, struct slice stale)
{
	struct actor *a = arg;
	struct note *n = cmd->tag;
	trace("done", a->number, n->verb, n->count, stale.len);
	a->answered = true;
	for (uint32_t i = 0; i < n->count; i++)
		if (n->verb == VERB_SETTLE && !is_stale(stale, &n->items[i]))
			checks_settled(a->w, n->queue, n->items[i].seq, n->items[i].line);
	note_free(a, n);
}

static void on_settle_sent(void *arg, const struct client_command *cmd, uint64_t first_seq,
    uint32_t count, struct slice stale)
{
	struct actor *a = arg;
	struct note *n = cmd->tag;
	trace("settle_sent", a->number, first_seq, count, stale.len);
	if (count > 0 && count != n->sent)
		trace_fail("%u messages were sent, %u are stored", n->sent, count);
	for (uint32_t i = 0; i < n->sent; i++) {
		uint32_t line = n->items[n->count + i].line;
		if (count == 0)
			checks_refused(a->w, line);
		else
			a->w->lines.all[line].sent = true;
	}
	on_done(arg, cmd, stale);
}

/* What was to be settled is held as before, but for what has ended meanwhile. */
static void keep_held(struct actor *a, const struct note *n)
{
	a->held = realloc(a->held, (a->held_count + n->count + 1) * sizeof(*a->held));
	assert(a->held);
	for (uint32_t i = 0; i < n->count; i++)
		if (!n->items[i].ended)
			a->held[a->held_count++] = n->items[i];
	for (uint32_t i = 0; i < n->sent; i++)
		checks_refused(a->w, n->items[n->count + i].line);
}

static bool on_split(void *arg, const struct client_command *cmd, uint32_t at, void **tag)
{
	struct actor *a = arg;
	struct note *rest = cmd->tag, *n = note_new(a, 0, rest->queue, at);
	n->topic = rest->topic;
	memcpy(n->items, rest->items, at * sizeof(n->items[0]));
	rest->count -= at;
	memmove(rest->items, rest->items + at, rest->count * sizeof(n->items[0]));
	*tag = n;
	return true;
}

static enum client_verdict on_failed(void *arg, const struct client_command *cmd,
    enum rmq_error code, uint32_t at, struct slice text)
{
	struct actor *a = arg;
	struct note *n = cmd->tag;
	trace("failed", a->number, cmd->type, code, at);
	if (code == RMQ_E_ELSEWHERE || code == RMQ_E_DENIED || code == RMQ_E_PROTOCOL)
		trace_fail("a command that may be done fails: %.*s", (int)text.len,
		    (const char *)text.data);
	a->answered = true;
	/* What has an id may be stored by another SEND. */
	bool again = a->resumes || (!n->topic && a->w->kinds[n->queue] == QUEUE_IDS);
	for (uint32_t i = 0; i < n->count && n->verb == 0 && !again; i++)
		checks_refused(a->w, n->items[i].line);
	if (cmd->type == WIRE_TYPE_SETTLE_SEND)
		keep_held(a, n);
	note_free(a, n);
	/* The next process asks how far it has come. */
	a->fatal |= a->resumes;
	return a->resumes ? CLIENT_STOP : CLIENT_DROP;
}

static void on_position(void *arg, uint32_t req, uint64_t at, struct input_sent sent)
{
	(void)req;
	input_placed(((struct actor *)arg)->w, at, sent.first, sent.end);
}

static void on_sub_failed(void *arg, uint32_t sub, enum rmq_error code, struct slice text)
{
	struct actor *a = arg;
	trace("sub_failed", a->number, sub, code, 0);
	if (code == RMQ_E_ELSEWHERE || code == RMQ_E_DENIED)
		trace_fail(
		    "a subscription fails: %.*s", (int)text.len, (const char *)text.data);
	a->subscribed = false;
}

static void on_unsubscribed(void *arg, uint32_t sub)
{
	struct actor *a = arg;
	(void)sub;
	a->subscribed = false;
}

static void on_deliver(void *arg, const struct client_delivery *d)
{
	struct actor *a = arg;
	trace("deliver", a->number, d->lease, d->first_seq, d->count);
	a->held = realloc(a->held, (a->held_count + d->count) * sizeof(*a->held));
	assert(a->held);
	for (uint32_t i = 0; i < d->count; i++) {
		struct hold h = {.seq = d->first_seq + i, .lease = d->lease};
		h.line = lines_recognise(&a->w->lines, client_body(d, i));
		if (h.line == UINT32_MAX)
			trace_fail("a receiver is given what nobody sent");
		checks_given(a->w, a, a->queue, h.seq, h.line,
		    client_vouches(a->end.client, h.lease, h.seq, now(a)));
		a->held[a->held_count++] = h;
	}
}

static void on_lease_ended(
    void *arg, uint32_t sub, enum lease_end why, uint64_t lease, uint64_t first, uint32_t count)
{
	struct actor *a = arg;
	uint32_t kept = 0;
	trace("lease_ended", a->number, lease, first, why);
	(void)sub;
	for (uint32_t i = 0; i < a->held_count; i++)
		if (!is_of(&a->held[i], lease, first, count))
			a->held[kept++] = a->held[i];
	a->held_count = kept;
	for (struct note *n = a->notes; n; n = n->next)
		for (uint32_t i = 0; i < n->count && n->verb == VERB_SETTLE; i++)
			if (is_of(&n->items[i], lease, first, count))
				n->items[i].ended = true;
}

static void on_list_end(void *arg, uint32_t req, bool more)
{
	struct actor *a = arg;
	(void)req, (void)more;
	a->asking = false;
}

static void on_peek_end(void *arg, uint32_t req, enum rmq_error code, bool more, uint64_t next)
{
	(void)code, (void)next;
	on_list_end(arg, req, more);
}

static void on_transferred(
    void *arg, const struct wire_transferred *m, enum rmq_error code, bool again)
{
	(void)code, (void)again;
	on_list_end(arg, m->req, false);
}

/* They are stored, and not once more. */
static void on_known(void *arg, const struct client_command *cmd, uint32_t at, uint32_t count,
    struct slice numbers)
{
	struct actor *a = arg;
	struct note *n = cmd->tag;
	struct reader r = reader_of(numbers);
	struct seq_range e = {0, 0};
	trace("known", a->number, at, count, numbers.len);
	for (uint32_t i = at; i < at + count; i++) {
		if (e.count == 0 && reader_left(&r) > 0)
			e = seq_range_get(&r);
		checks_known(a->w, 2 * n->queue, n->items[i].line, e.count ? e.first : 0);
		e.first++;
		e.count -= e.count > 0;
	}
	n->count -= count;
	memmove(n->items + at, n->items + at + count, (n->count - at) * sizeof(*n->items));
}

static void on_fatal(void *arg, enum rmq_error code, struct slice text)
{
	struct actor *a = arg;
	trace("fatal", a->number, code, 0, 0);
	bool circle = (code == RMQ_E_CONFIG || code == RMQ_E_ELSEWHERE) &&
		      lists_kind(a->w) != LISTS_STILL;
	if (!circle && code != RMQ_E_UNKNOWN_SESSION && code != RMQ_E_FULL &&
	    code != RMQ_E_PAUSED && code != RMQ_E_DISK_FULL && code != RMQ_E_TIMEOUT)
		trace_fail("a client gives up: %s: %.*s", error_text(code), (int)text.len,
		    (const char *)text.data);
	a->fatal = true;
}

/* ---- processes ---- */

/* Some know a list that is older, or none. */
const char *actors_list(struct world *w)
{
	uint64_t which = prng_below(&w->prng, 10);
	if (which == 0 && !w->unlisted)
		return w->older;
	return which == 1 && !w->unlisted ? NULL : w->list;
}

/* In the calm what is in two cells is taken from each of them. */
static void begin_end(
    struct actor *a, struct client_config config, const struct client_host *host)
{
	struct world *w = a->w;
	unsigned contact = lists_contact(w, &w->prng);
	const char *list = actors_list(w);
	if (w->calm && a->kind == RECEIVER && lists_kind(w) == LISTS_WRONG)
		list = NULL;
	end_init(&a->end, w, contact, list, config, host);
	if (!a->resumes)
		return;
	w->input->placed = false;
	client_position(a->end.client, now(a), world_queue(w, 0), slice_str(INPUT_NAME));
}

static void start(struct actor *a)
{
	struct world *w = a->w;
	const struct client_config config = {
	    .window = (uint32_t)prng_range(&w->prng, 1, 16),
	    .timeout_ms = CLIENT_FOREVER,
	    .no_wait = prng_chance(&w->prng, 300) && !w->calm && a->kind == SENDER,
	};
	const struct client_host host = {
	    .arg = a,
	    .sent = on_sent,
	    .done = on_done,
	    .settle_sent = on_settle_sent,
	    .failed = on_failed,
	    .split = on_split,
	    .sub_failed = on_sub_failed,
	    .deliver = on_deliver,
	    .lease_ended = on_lease_ended,
	    .unsubscribed = on_unsubscribed,
	    .list_end = on_list_end,
	    .peek_end = on_peek_end,
	    .transferred = on_transferred,
	    .known = on_known,
	    .position = on_position,
	    .fatal = on_fatal,
	};
	a->fatal = a->leaving = a->subscribed = a->asking = a->begun = false;
	a->life = ++w->lives;
	a->paused_until = 0;
	if (a->kind == MOVER)
		movers_start(a);
	else if (a->kind == FORWARDER)
		forwarders_start(a, a->cell);
	else
		begin_end(a, config, &host);
}

static void stop(struct actor *a)
{
	movers_stop(a);
	forwarders_stop(a);
	end_deinit(&a->end);
	end_deinit(&a->side);
	while (a->notes)
		note_free(a, a->notes);
	free(a->held);
	a->held = NULL;
	a->held_count = 0;
}

/* The process ends; another takes its place. */
static void restart(struct actor *a)
{
	trace("restart", a->number, a->kind, a->leaving, a->fatal);
	/* What it has sent may come after the next one was told where it begins. */
	if (a->resumes && a->end.link && prng_chance(&a->w->input->prng, 500))
		a->end.link->stalled_until =
		    a->w->boot_ms + prng_range(&a->w->input->prng, 10, 3000);
	stop(a);
	start(a);
}

void actors_make(struct world *w)
{
	unsigned senders = (unsigned)prng_range(&w->prng, 1, 4);
	unsigned receivers = (unsigned)prng_range(&w->prng, 1, 5);
	unsigned movers = (unsigned)prng_range(&w->prng, 1, 4);
	w->movers = 1 + senders + receivers;
	w->movers_count = movers;
	w->actors_count = 1 + senders + receivers + movers + w->cells_count;
	w->actors = calloc(w->actors_count, sizeof(*w->actors));
	assert(w->actors);
	for (unsigned i = 0; i < w->actors_count; i++) {
		struct actor *a = &w->actors[i];
		a->w = w;
		a->number = i;
		a->kind = i == 0				 ? ADMIN
			  : i < 1 + senders			 ? SENDER
			  : i < 1 + senders + receivers		 ? RECEIVER
			  : i < 1 + senders + receivers + movers ? MOVER
								 : FORWARDER;
		a->resumes = w->input && i == 1;
		if (a->kind == FORWARDER)
			a->cell = w->actors_count - 1 - i;
		start(a);
	}
}

void actors_free(struct world *w)
{
	for (unsigned i = 0; i < w->actors_count; i++)
		stop(&w->actors[i]);
	free(w->actors);
}

/* ---- senders ---- */

static uint32_t line_new(struct actor *a, uint32_t len, uint32_t queues, bool topic)
{
	uint32_t line = lines_new(&a->w->lines, len);
	a->w->lines.all[line].sender = a->life;
	checks_line(a->w, line, queues, false, topic);
	return line;
}

static struct line_lane random_lane(struct world *w, enum queue_kind kind)
{
	struct prng *p = &w->prng;
	struct line_lane lane = {.priority = LINE_NO_PRIORITY};
	if (kind == QUEUE_KEYED && prng_chance(p, 900))
		lane.key = (uint8_t)prng_range(p, 1, LINE_KEYS);
	if (kind != QUEUE_LANED)
		return lane;
	if (prng_chance(p, 500))
		lane.priority = (uint8_t)prng_range(p, 0, PRIORITY_MAX);
	if (prng_chance(p, 300))
		lane.until_ms = w->boot_ms + WORLD_WALL_MS + prng_range(p, 1, 4000) - 1000;
	if (prng_chance(p, 300))
		lane.expire_ms = w->boot_ms + WORLD_WALL_MS + prng_range(p, 1, 8000) - 500;
	if (prng_chance(p, 300))
		lane.key = (uint8_t)prng_range(p, 1, LINE_KEYS);
	return lane;
}

/* Gives new lines attributes: those that they share, or those that each has. */
static void give_attributes(struct world *w, enum queue_kind kind, struct sendbuf *b,
    const uint32_t *lines, uint32_t count)
{
	uint8_t list[LINE_ATTRIBUTES_MAX];
	struct prng *p = &w->prng;
	struct line_lane shared = {.priority = LINE_NO_PRIORITY};
	uint32_t which = prng_chance(p, 200) ? (uint32_t)prng_range(p, 1, 1000) : 0;
	bool each = prng_chance(p, 600);
	if (!each)
		shared = random_lane(w, kind);
	for (uint32_t i = 0; i < count; i++) {
		struct line_state *l = &w->lines.all[lines[i]];
		l->attributes = which;
		l->lane = each ? random_lane(w, kind) : shared;
	}
	struct slice all = lines_attributes(which, &shared, list);
	if (each)
		all = lines_lanes(&w->lines, lines, count, all.len, list);
	bool ok = all.len == 0 || sendbuf_set_attributes(b, all);
	assert(ok);
}

/* Each of the lines has its number as its id. */
static void give_ids(struct sendbuf *b, const struct hold *items, uint32_t count)
{
	uint8_t each[BATCH_LINES_MAX * 8], list[sizeof(each) + 4];
	struct writer e = writer_of(each, sizeof(each)), w = writer_of(list, sizeof(list));
	for (uint32_t i = 0; i < count; i++) {
		uint8_t id[4];
		store_u32(id, items[i].line);
		tags_put(&e, (uint16_t)i, slice_of(id, sizeof(id)));
	}
	tags_put(&w, ATTRIBUTE_ID | ATTRIBUTE_EACH, slice_of(e.p, e.len));
	bool ok = sendbuf_set_attributes(b, slice_of(w.p, w.len));
	assert(!e.full && !w.full && ok);
}

static struct sendbuf *large_message(
    struct actor *a, struct note *n, uint32_t queues, enum queue_kind kind)
{
	struct lines *l = &a->w->lines;
	uint32_t len = (uint32_t)prng_range(&a->w->prng, BATCH_BODY_MAX + 1, 3 * CHUNK_MAX);
	uint8_t *body = malloc(len);
	struct sendbuf *first = NULL, **end = &first;
	assert(body);
	n->items[0].line = line_new(a, len, queues, n->topic);
	lines_body(l, n->items[0].line, body);
	for (uint32_t at = 0; at < len; at += (*end)->blob_len, end = &(*end)->next) {
		struct sendbuf *b = *end = sendbuf_new();
		assert(b);
		b->large = true;
		if (at == 0)
			give_attributes(a->w, kind, b, &n->items[0].line, 1);
		uint32_t most = sendbuf_cap(b) - (n->topic ? CHUNK_MAX - TOPIC_DATA_MAX : 0);
		b->blob_len = b->filled = len - at < most ? len - at : most;
		memcpy(sendbuf_blob(b), body + at, b->blob_len);
	}
	free(body);
	return first;
}

/* The lines of items[0] to items[count - 1]: new ones, or (again) some that were sent before. */
static struct sendbuf *batch(struct actor *a, struct hold *items, uint32_t count,
    uint32_t queues, bool topic, enum queue_kind kind)
{
	struct world *w = a->w;
	struct sendbuf *b = sendbuf_new();
	uint8_t body[512];
	uint32_t lines[BATCH_LINES_MAX];
	assert(b && count <= BATCH_LINES_MAX);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t len = (uint32_t)prng_range(
		    &w->prng, LINE_MIN, prng_chance(&w->prng, 100) ? 500 : 40);
		if (!items[i].ended)
			items[i].line = line_new(a, len, queues, topic);
		lines[i] = items[i].line;
	}
	if (kind == QUEUE_IDS)
		give_ids(b, items, count);
	else
		give_attributes(w, kind, b, lines, count);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t len = w->lines.all[lines[i]].len;
		lines_body(&w->lines, lines[i], body);
		if (!sendbuf_append(b, slice_of(body, len), '\n'))
			trace_fail("a line does not fit into a batch");
	}
	return b;
}

static void send_to_topic(struct actor *a)
{
	struct prng *p = &a->w->prng;
	bool large = prng_chance(p, a->w->weather.large);
	uint32_t count = large ? 1 : (uint32_t)prng_range(p, 1, 20);
	struct note *n = note_new(a, 0, 0, count);
	n->topic = true;
	struct sendbuf *buf = large ? large_message(a, n, 0, QUEUE_PLAIN)
				    : batch(a, n->items, count, 0, true, QUEUE_PLAIN);
	trace("topic", a->number, n->items[0].line, count, 0);
	client_send(a->end.client, now(a), slice_str(TOPIC), SEND_TOPIC, buf, n);
}

/* Some of them are lines that were sent before. */
static uint32_t take_again(struct actor *a, struct note *n, uint32_t count)
{
	uint32_t again =
	    prng_chance(&a->w->prng, 500) ? (uint32_t)prng_below(&a->w->prng, count + 1) : 0;
	for (uint32_t i = 0; i < again; i++) {
		bool twice = false;
		if (!checks_again(a->w, n->queue, &n->items[i].line))
			return i;
		for (uint32_t k = 0; k < i; k++)
			twice |= n->items[k].line == n->items[i].line;
		if (twice)
			return i;
		n->items[i].ended = true;
	}
	return again;
}

/* Sends the next records of the input; again, those that the process before may have sent. */
static void input_step(struct actor *a)
{
	struct world *w = a->w;
	struct input *in = w->input;
	uint32_t count = (uint32_t)prng_range(&in->prng, 1, 10), n = 0;
	bool over = w->lines.count >= w->lines_goal;
	if (!actors_set_up(w) || !in->placed || !client_has_room(a->end.client) ||
	    (over && in->next == in->count) ||
	    (!w->calm && !prng_chance(&in->prng, w->weather.pace)))
		return;
	struct client_place place = {slice_str(INPUT_NAME), in->next, in->next};
	struct note *note = note_new(a, 0, 0, count);
	for (; n < count && (in->next < in->count || !over); n++) {
		if (in->next == in->count)
			input_add(in, line_new(a, (uint32_t)prng_range(&in->prng, LINE_MIN, 40),
					  1, false));
		note->items[n].line = in->records[in->next++];
		note->items[n].ended = true; /* it is not a new one */
	}
	note->count = n;
	place.after = in->next;
	trace("input", a->number, place.before, place.after, 0);
	client_send_placed(a->end.client, now(a), world_queue(w, 0), &place, 0,
	    batch(a, note->items, n, 1, false,
		w->kinds[0] == QUEUE_IDS ? QUEUE_IDS : QUEUE_PLAIN),
	    note);
}

static void sender_step(struct actor *a)
{
	struct world *w = a->w;
	struct prng *p = &w->prng;
	if (a->resumes) {
		input_step(a);
		return;
	}
	if (w->lines.count >= w->lines_goal || !client_has_room(a->end.client) ||
	    !actors_set_up(w) || (!w->calm && !prng_chance(p, w->weather.pace)))
		return;
	if (prng_chance(p, w->weather.topics)) {
		send_to_topic(a);
		return;
	}
	unsigned queue = (unsigned)prng_below(p, w->queues_count);
	enum queue_kind kind = w->kinds[queue];
	bool several = prng_chance(p, w->weather.shared) && kind != QUEUE_IDS;
	uint32_t shares = several ? (uint32_t)prng_range(p, 2, SEVERAL_MAX) : 1;
	struct slice queues[SEVERAL_MAX];
	uint32_t bits = 0;
	if (shares > w->queues_count)
		shares = w->queues_count;
	for (uint32_t i = 0; i < shares; i++) {
		queues[i] = world_queue(w, (queue + i) % w->queues_count);
		bits |= 1u << (queue + i) % w->queues_count;
	}
	/* The others must not be given what is not for their kind. */
	if (shares > 1)
		kind = QUEUE_PLAIN;
	bool large = prng_chance(p, w->weather.large) && kind != QUEUE_IDS;
	uint32_t count = large || prng_chance(p, 400) ? 1 : (uint32_t)prng_range(p, 1, 40);
	struct note *n = note_new(a, 0, queue, count);
	if (kind == QUEUE_IDS)
		take_again(a, n, count);
	struct sendbuf *buf = large ? large_message(a, n, bits, kind)
				    : batch(a, n->items, count, bits, false, kind);
	trace("send", a->number, queue, n->items[0].line, count);
	client_send_all(a->end.client, now(a), queues, shares, 0, buf, n);
}

/* ---- receivers ---- */

static void subscribe(struct actor *a, unsigned queue)
{
	struct prng *p = &a->w->prng;
	uint32_t lease_ms = prng_chance(p, 500) ? 0 : (uint32_t)prng_range(p, 100, 2000);
	uint8_t flags = prng_chance(p, 500) ? SUBSCRIBE_IDLE : 0;
	a->queue = queue;
	a->subscribed = true;
	a->since = a->w->boot_ms;
	a->sub =
	    client_subscribe(a->end.client, now(a), checks_name(a->w, queue), flags, lease_ms);
	trace("subscribe", a->number, queue, a->sub, lease_ms);
}

static void give_credit(struct actor *a)
{
	struct prng *p = &a->w->prng;
	uint32_t messages = prng_chance(p, 300) ? 1 : (uint32_t)prng_range(p, 1, 300);
	uint32_t bytes = prng_chance(p, 300) ? 1 : (uint32_t)prng_range(p, 1, 100000);
	if (client_credit_messages(a->end.client, a->sub) > 0 &&
	    client_credit_bytes(a->end.client, a->sub) > 0)
		return;
	client_credit(a->end.client, a->sub, messages, bytes);
}

/* Takes up to note->count messages out of what is held, from `at` on. */
static void take_out(
    struct actor *a, struct note *note, struct settle_entry *entries, uint32_t at)
{
	uint32_t n = 0, kept = at;
	for (uint32_t i = at; i < a->held_count; i++) {
		if (n < note->count) {
			note->items[n] = a->held[i];
			entries[n++] =
			    (struct settle_entry){a->held[i].lease, a->held[i].seq, 1};
		} else {
			a->held[kept++] = a->held[i];
		}
	}
	a->held_count = kept;
	note->count = n;
}

static void settle(struct actor *a, uint32_t at, uint32_t want, struct client_settlement s)
{
	struct settle_entry entries[TAKEN_MAX];
	struct note *note = note_new(a, s.verb, a->queue, want < TAKEN_MAX ? want : TAKEN_MAX);
	s.queue = checks_name(a->w, a->queue);
	s.tag = note;
	take_out(a, note, entries, at);
	trace("settle", a->number, s.verb, entries[0].first, note->count);
	client_settle(a->end.client, now(a), &s, entries, note->count);
}

/* Settles messages that it holds, and sends what came of them in the same command. */
static void settle_and_send(struct actor *a, uint32_t at, uint32_t want)
{
	struct prng *p = &a->w->prng;
	struct settle_entry entries[TAKEN_MAX];
	uint32_t lines = (uint32_t)prng_range(p, 1, 20);
	unsigned to = (unsigned)prng_below(p, a->w->queues_count);
	struct note *note = note_new(a, VERB_SETTLE, a->queue, TAKEN_MAX + lines);
	note->count = want < TAKEN_MAX ? want : TAKEN_MAX;
	take_out(a, note, entries, at);
	note->sent = lines;
	note->to = to;
	/* It may come by way of the cell's own queue for it, at least once. */
	struct sendbuf *buf =
	    batch(a, note->items + note->count, lines, 1u << to | 1u << 31, false, QUEUE_PLAIN);
	sendbuf_seal(buf, 0, 0, world_queue(a->w, to), NO_TAGS);
	trace("settle_send", a->number, to, entries[0].first, note->count);
	client_settle_send(a->end.client, now(a), checks_name(a->w, a->queue), entries,
	    note->count, world_queue(a->w, to), 0, sendbuf_batch(buf), note);
	sendbuf_free(buf);
}

static struct client_settlement random_settlement(struct world *w)
{
	struct prng *p = &w->prng;
	struct client_settlement s = {.verb = VERB_SETTLE};
	if (w->calm || prng_chance(p, 600))
		return s;
	s.verb = VERB_RELEASE;
	switch (prng_below(p, 4)) {
	case 0:
		s.verb = VERB_DEAD;
		s.why = slice_str("not wanted");
		break;
	case 1:
		s.flags = SETTLE_COUNTED;
		break;
	case 2:
		s.flags = prng_chance(p, 500) ? SETTLE_COUNTED : 0;
		s.ms = prng_range(p, 1, 2000);
		break;
	}
	return s;
}

/* It is held as before. */
static void touch(struct actor *a, const struct hold *h)
{
	struct settle_entry entry = {h->lease, h->seq, 1};
	struct client_settlement s = {.queue = checks_name(a->w, a->queue),
	    .verb = VERB_TOUCH,
	    .ms = prng_range(&a->w->prng, 100, 3000),
	    .tag = note_new(a, VERB_TOUCH, a->queue, 0)};
	client_settle(a->end.client, now(a), &s, &entry, 1);
}

static void work(struct actor *a)
{
	struct world *w = a->w;
	struct prng *p = &w->prng;
	uint32_t at = (uint32_t)prng_below(p, a->held_count);
	struct hold *h = &a->held[at];
	if (w->calm && client_unanswered(a->end.client) > 4)
		return;
	if (!client_vouches(a->end.client, h->lease, h->seq, now(a))) {
		if (prng_chance(p, 300)) {
			client_forget(a->end.client, h->lease, h->seq, 1);
			*h = a->held[--a->held_count];
		}
		return;
	}
	checks_given(w, a, a->queue, h->seq, h->line, true);
	if (!w->calm && prng_chance(p, 50)) {
		touch(a, h);
		return;
	}
	uint32_t want = prng_chance(p, 300) ? 1 : (uint32_t)prng_range(p, 1, TAKEN_MAX);
	if (!w->calm && client_has_room(a->end.client) && w->lines.count < w->lines_goal &&
	    prng_chance(p, w->weather.both)) {
		settle_and_send(a, at, want);
		return;
	}
	settle(a, at, want, random_settlement(w));
}

/* A queue that holds something, from a random one on; in the calm each is drained in turn. */
static unsigned some_queue(struct world *w)
{
	unsigned count = checks_queues(w), at = (unsigned)prng_below(&w->prng, count);
	for (unsigned i = 0; w->calm && i < count; i++)
		if (checks_live(w, (at + i) % count) > 0)
			return (at + i) % count;
	return prng_chance(&w->prng, 800) ? at / 2 * 2 : at;
}

static void receiver_step(struct actor *a)
{
	struct world *w = a->w;
	struct prng *p = &w->prng;
	if (!actors_set_up(w))
		return;
	bool stays = !w->calm || checks_live(w, a->queue) > 0 || a->held_count > 0;
	if (w->calm && w->boot_ms - a->since > STAY_MS && a->held_count == 0 &&
	    checks_live_all(w) > 0 && prng_chance(p, 100))
		stays = false;
	if (!a->subscribed && a->held_count == 0 && client_unanswered(a->end.client) == 0 &&
	    prng_chance(p, 500) && (!w->calm || checks_live_all(w) > 0))
		subscribe(a, some_queue(w));
	else if (a->subscribed && (!stays || (!w->calm && prng_chance(p, 5))))
		client_unsubscribe(a->end.client, a->sub);
	else if (a->subscribed && a->held_count < HELD_MAX)
		give_credit(a);
	if (a->held_count > 0 && (w->calm || prng_chance(p, 400)))
		work(a);
	bool moves_on =
	    w->calm && !stays && lists_kind(w) == LISTS_WRONG && checks_live_all(w) > 0;
	if (moves_on || (!w->calm && prng_chance(p, 3))) {
		a->leaving = true;
		client_bye(a->end.client);
	}
}

/* ---- the administrator ---- */

static void settings(struct world *w, unsigned queue, struct client_settings *s)
{
	struct prng *p = &w->prng;
	*s = (struct client_settings){
	    .mask = SETTING_LEASE | SETTING_MAX_ATTEMPTS | SETTING_BACKOFF,
	    .lease_ms = (uint32_t)prng_range(p, LEASE_MS_MIN, 2000),
	    .max_attempts = (uint32_t)prng_range(p, 1, 5),
	    .backoff_min_ms = prng_range(p, 0, 200),
	    .backoff_max_ms = prng_range(p, 200, 1000),
	    .more = more_settings_default(),
	};
	for (unsigned i = 0; i < w->queues_count; i++)
		if ((w->dead >> i & 1) && i != queue && prng_chance(p, 500)) {
			s->mask |= SETTING_DEAD_LETTER;
			s->dead_letter = world_queue(w, i);
		}
	if (w->kinds[queue] == QUEUE_IDS) {
		s->mask |= SETTING_DEDUP;
		s->more.dedup_ms = DEDUP_MS;
	}
}

bool actors_set_up(const struct world *w)
{
	return w->actors[0].made >= w->queues_count;
}

static void side_done(void *arg, const struct client_command *cmd, struct slice stale)
{
	struct actor *a = arg;
	(void)cmd, (void)stale;
	a->answered = true;
}

static enum client_verdict side_failed(void *arg, const struct client_command *cmd,
    enum rmq_error code, uint32_t at, struct slice text)
{
	(void)arg, (void)cmd, (void)at;
	trace_fail("a queue is not bound: %s: %.*s", error_text(code), (int)text.len,
	    (const char *)text.data);
}

void actors_bind_away(struct world *w, struct end *e, unsigned queue, unsigned cell,
    const struct client_config *config, const struct client_host *host)
{
	char name[NAME_FULL_MAX];
	struct slice is = world_queue(w, queue);
	int len = snprintf(
	    name, sizeof(name), "%.*s%s", (int)is.len, (const char *)is.data, NAME_AWAY_SUFFIX);
	end_init(e, w, cell, NULL, *config, host);
	client_bind(e->client, end_now(e), WIRE_TYPE_BIND, slice_of(name, (size_t)len),
	    slice_str(TOPIC_PATTERN), BIND_CREATE, NULL);
}

static void bind_away(struct actor *a, unsigned cell)
{
	const struct client_config config = {
	    .window = 1, .timeout_ms = CLIENT_FOREVER, .pinned = true};
	const struct client_host host = {.arg = a, .done = side_done, .failed = side_failed};
	actors_bind_away(a->w, &a->side, a->made, cell, &config, &host);
}

/* Whether the next step of making a queue was begun; 0: make it, 1: bind it, then in each cell. */
static bool make_step(struct actor *a)
{
	struct world *w = a->w;
	struct client_settings s;
	unsigned cell = a->stage - 2;
	if (a->stage > 0 && !(w->bound >> a->made & 1))
		return false;
	if (a->stage == 0) {
		settings(w, a->made, &s);
		client_queue(a->end.client, now(a), WIRE_TYPE_QUEUE_CREATE,
		    world_queue(w, a->made), 0, &s, note_new(a, VERB_OTHER, 0, 0));
	} else if (a->stage == 1) {
		client_bind(a->end.client, now(a), WIRE_TYPE_BIND, world_queue(w, a->made),
		    slice_str(TOPIC_PATTERN), 0, note_new(a, VERB_OTHER, 0, 0));
	} else if (cell == w->cells_count) {
		return false;
	} else if (cell == checks_holder(w, a->made) || !lists_use(w, cell)) {
		a->answered = true;
	} else {
		bind_away(a, cell);
	}
	return true;
}

/* Makes and binds one queue after the other. */
static void make(struct actor *a)
{
	if (a->side.client) {
		end_pump(&a->side, false);
		if (!a->answered)
			return;
		end_deinit(&a->side);
	}
	if (a->begun && !a->answered)
		return;
	a->stage += a->begun;
	a->answered = false;
	a->begun = make_step(a);
	if (!a->begun) {
		a->stage = 0;
		a->made++;
	}
}

static void cancel(struct actor *a, unsigned queue)
{
	struct prng *p = &a->w->prng;
	uint64_t messages[8], seq = prng_range(p, 1, 1 + checks_next(a->w, queue));
	uint32_t count = (uint32_t)prng_range(p, 1, 8);
	for (uint32_t i = 0; i < count; i++, seq += prng_range(p, 1, 3))
		messages[i] = seq;
	trace("cancel", a->number, queue, messages[0], count);
	client_cancel(a->end.client, now(a), checks_name(a->w, queue), messages, count,
	    note_new(a, VERB_OTHER, 0, 0));
}

/* What is dead goes back to where it came from. */
static void redrive(struct actor *a, unsigned queue)
{
	struct seq_range range = {1, 10000};
	a->asking = true;
	client_transfer(a->end.client, now(a), checks_name(a->w, dead_of(queue)), slice_str(""),
	    TRANSFER_HOME, 3, &range, 1);
}

static enum client_verdict rogue_failed(void *arg, const struct client_command *cmd,
    enum rmq_error code, uint32_t at, struct slice text)
{
	(void)arg, (void)cmd, (void)at, (void)text;
	trace("rogue fails", code, 0, 0, 0);
	return CLIENT_DROP;
}

/*
 * Somebody lets a queue go that it has not frozen, or opens a copy whose token it was not told, or one that it
 * has given up.
 */
static void rogue_step(struct actor *a)
{
	struct world *w = a->w;
	struct prng *p = &w->prng;
	uint8_t random[CELL_TOKEN_SIZE];
	const struct client_config config = {
	    .window = 4, .timeout_ms = CLIENT_FOREVER, .pinned = true};
	const struct client_host host = {.arg = a, .failed = rogue_failed};
	if (a->side.client) {
		end_pump(&a->side, false);
		if (client_unanswered(a->side.client) == 0)
			end_deinit(&a->side);
		return;
	}
	if (w->calm || !prng_chance(p, w->weather.rogue))
		return;
	unsigned queue = (unsigned)prng_below(p, w->queues_count);
	unsigned cell = checks_holder(w, queue);
	if (lists_kind(w) != LISTS_STILL)
		return;
	bool opens = cell == WORLD_CELLS || prng_chance(p, 500), holds = prng_chance(p, 500);
	bool begins = opens && prng_chance(p, 500);
	if (opens)
		cell = (unsigned)prng_below(p, w->cells_count);
	store_u64(random, prng_next(p));
	store_u64(random + 8, prng_next(p));
	end_init(&a->side, w, cell, NULL, config, &host);
	struct wire_move_out out = {.step = MOVE_OUT_HOLD,
	    .queue = world_queue(w, queue),
	    .cell = slice_str(w->cells[(cell + 1) % w->cells_count].name),
	    .token = slice_of(random, sizeof(random)),
	    .tags = NO_TAGS};
	struct wire_move_in in = {
	    .step = MOVE_IN_BEGIN, .queue = out.queue, .token = out.token, .tags = NO_TAGS};
	if (begins)
		client_move_in(a->side.client, end_now(&a->side), &in, NULL);
	in.step = MOVE_IN_DROP;
	if (begins)
		client_move_in(a->side.client, end_now(&a->side), &in, NULL);
	in.step = MOVE_IN_OPEN;
	if (opens)
		client_move_in(a->side.client, end_now(&a->side), &in, NULL);
	else if (holds)
		client_move_out(a->side.client, end_now(&a->side), &out, NULL);
	out.step = MOVE_OUT_GONE;
	if (!opens)
		client_move_out(a->side.client, end_now(&a->side), &out, NULL);
}

/*
 * Removes a queue, or its dead letters; who sends next makes it anew.  Not one whose settings or bindings were to
 * come again with it.
 */
static void remove_some(struct actor *a)
{
	struct world *w = a->w;
	struct prng *p = &w->later;
	unsigned queue = (unsigned)prng_below(p, w->queues_count);
	unsigned dead = prng_chance(p, 300);
	if (w->kinds[queue] == QUEUE_IDS || (w->bound >> queue & 1) || (w->input && queue == 0))
		return;
	trace("remove", a->number, queue, dead, 0);
	client_queue(a->end.client, now(a), WIRE_TYPE_QUEUE_REMOVE,
	    checks_name(w, 2 * queue + dead), prng_chance(p, 700) ? REMOVE_FORCE : 0, NULL,
	    note_new(a, VERB_OTHER, 0, 0));
}

static void admin_step(struct actor *a)
{
	struct world *w = a->w;
	struct prng *p = &w->prng;
	unsigned queue = (unsigned)prng_below(p, w->queues_count);
	struct client_settings s;
	if (!actors_set_up(w)) {
		make(a);
		return;
	}
	rogue_step(a);
	if (w->calm || a->asking || client_unanswered(a->end.client) > 0)
		return;
	if (w->weather.remove > 0 && prng_chance(&w->later, w->weather.remove)) {
		remove_some(a);
		return;
	}
	if (!prng_chance(p, w->weather.cancel))
		return;
	trace("admin", a->number, queue, 0, 0);
	switch (prng_below(p, 6)) {
	case 0:
		cancel(a, 2 * queue + (unsigned)prng_below(p, 2));
		break;
	case 1:
		redrive(a, queue);
		break;
	case 2:
		client_queue(a->end.client, now(a), WIRE_TYPE_QUEUE_PURGE,
		    checks_name(w, 2 * queue + (unsigned)prng_below(p, 2)), 0, NULL,
		    note_new(a, VERB_OTHER, 0, 0));
		break;
	case 3:
		a->asking = true;
		client_list(a->end.client, now(a), slice_str(""), slice_str("*"), 10);
		break;
	case 4:
		a->asking = true;
		client_peek(a->end.client, now(a), world_queue(w, queue),
		    (uint8_t)prng_range(p, 1, 7), prng_below(p, 50),
		    (uint32_t)prng_range(p, 1, 30));
		break;
	default:
		settings(w, queue, &s);
		client_queue(a->end.client, now(a), WIRE_TYPE_QUEUE_SET, world_queue(w, queue),
		    0, &s, note_new(a, VERB_OTHER, 0, 0));
	}
}

/* ---- all of them ---- */

void actor_step(struct actor *a)
{
	if (a->paused_until > a->w->boot_ms)
		return;
	if (a->kind == MOVER || a->kind == FORWARDER) {
		(a->kind == MOVER ? movers_step : forwarders_step)(a);
		if (a->fatal)
			restart(a);
		return;
	}
	if (!a->leaving && !a->fatal) {
		switch (a->kind) {
		case SENDER:
			sender_step(a);
			break;
		case RECEIVER:
			receiver_step(a);
			break;
		default:
			admin_step(a);
			break;
		}
	}
	end_pump(&a->end, a->fatal);
	a->fatal |= a->end.astray;
	if (a->fatal || (a->leaving && client_ended(a->end.client)))
		restart(a);
}

void actors_step(struct world *w)
{
	struct actor *a = &w->actors[prng_below(&w->prng, w->actors_count)];
	if (!w->calm && prng_chance(&w->prng, w->weather.haste))
		a = &w->actors[w->movers + prng_below(&w->prng, w->movers_count)];
	actor_step(a);
}

void actors_die(struct world *w)
{
	restart(&w->actors[prng_below(&w->prng, w->actors_count)]);
}

void actors_make_room(struct world *w)
{
	for (unsigned i = 0; i < w->actors_count; i++) {
		struct actor *a = &w->actors[i];
		if (a->kind > RECEIVER || a->held_count > 0 || a->leaving || a->fatal ||
		    client_unanswered(a->end.client) > 0)
			continue;
		a->leaving = true;
		client_bye(a->end.client);
	}
}

void actors_renew(struct world *w)
{
	for (unsigned i = 0; i < w->actors_count; i++)
		if (w->actors[i].kind != MOVER)
			restart(&w->actors[i]);
}

void actors_pause(struct world *w, uint64_t ms)
{
	w->actors[prng_below(&w->prng, w->actors_count)].paused_until = w->boot_ms + ms;
}

void actors_wake(struct world *w)
{
	for (unsigned i = 0; i < w->actors_count; i++)
		w->actors[i].paused_until = 0;
}

/* Whether it waits for an answer. */
static bool waits(const struct actor *a)
{
	if (a->kind == MOVER)
		return !movers_done(a);
	return a->end.client && client_unanswered(a->end.client) > 0;
}

bool actors_done(const struct world *w)
{
	if (w->lines.count < w->lines_goal || !actors_set_up(w) || !input_done(w))
		return false;
	for (unsigned i = 0; i < w->actors_count; i++)
		if (waits(&w->actors[i]))
			return false;
	return true;
}

bool actors_ready(const struct world *w)
{
	for (unsigned i = 0; i < w->actors_count; i++) {
		const struct actor *a = &w->actors[i];
		if (a->held_count > 0 || (a->kind == MOVER	    ? movers_ready(a)
					     : a->kind == FORWARDER ? forwarders_ready(a)
								    : end_ready(&a->end)))
			return true;
	}
	return w->lines.count < w->lines_goal || !actors_set_up(w);
}

uint64_t actors_due(const struct world *w)
{
	uint64_t due = UINT64_MAX;
	for (unsigned i = 0; i < w->actors_count; i++) {
		const struct actor *a = &w->actors[i];
		uint64_t at = a->kind == MOVER	     ? movers_due(a)
			      : a->kind == FORWARDER ? forwarders_due(a)
						     : end_due(&a->end);
		due = at < due ? at : due;
	}
	return due;
}

bool actors_vouch(
    const struct world *w, const struct actor *but, unsigned queue, uint64_t seq, uint32_t line)
{
	for (unsigned i = 0; i < w->actors_count; i++) {
		const struct actor *a = &w->actors[i];
		if (a == but || a->queue != queue)
			continue;
		for (uint32_t k = 0; k < a->held_count; k++)
			if (a->held[k].seq == seq && a->held[k].line == line &&
			    client_vouches(a->end.client, a->held[k].lease, seq, now(a)))
				return true;
	}
	return false;
}

void actors_report(const struct world *w)
{
	for (unsigned i = 0; i < w->actors_count; i++) {
		const struct actor *a = &w->actors[i];
		trace("actor", i, a->kind, a->held_count, waits(a));
		trace("  link, queue, on, made", a->end.link != NULL, a->queue, a->subscribed,
		    a->made);
		if (a->kind == MOVER)
			movers_report(a);
	}
}
