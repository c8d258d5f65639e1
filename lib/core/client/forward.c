/*
 * A queue NAME.away that is known is a source.  It waits in its cell's line, is served (messages
 * are taken, or are in hand), or rests after it was refused; one with nothing left is forgotten, as the
 * daemon tells of it again.
 *
 * Messages in hand are parcels, each of which becomes one SEND.  The first one of a source may fly, the
 * others wait for it: so a refusal stops what comes after it, and the order stays.  What callbacks find is
 * noted as settlements, and done in forward_turn().
 */
#include "core/client/forward.h"

#include <sys/queue.h>
#include <sys/tree.h>
#include <assert.h>
#include <stdio.h>

#include "core/base/memory.h"
#include "core/base/name.h"
#include "core/base/variant.h"
#include "core/client/attribute_table.h"

#define NO_SUB	  UINT32_MAX
#define LEASE_MS  30000
#define SLOT_MS	  250  /* of a subscription while others wait for its place */
#define REOPEN_MS 1000 /* until a sender that has given up is made anew */
#define UNBURIED_MS \
	60000 /* until a message is tried again that could not become a dead letter */
#define PARCEL_COST  4096 /* what one takes besides its messages, about */
#define PARCEL_LISTS 512  /* ranges that its messages are, before it is full */

struct entries {
	struct settle_entry *list;
	size_t count;
	size_t cap;
};

struct parcel {
	TAILQ_ENTRY(parcel) link;
	struct sendbuf *buf; /* NULL: it flies, and is the sender's */
	struct attribute_table table;
	struct entries held;
	uint32_t weight;
	bool closed; /* no more messages are put into it */
};
TAILQ_HEAD(parcel_list, parcel);

/* What becomes of messages that were taken. */
struct settlement {
	TAILQ_ENTRY(settlement) link;
	enum settle_verb verb;
	uint64_t ms;
	struct entries entries;
	char why[TEXT_MAX + 1];
};
TAILQ_HEAD(settlement_list, settlement);

enum source_state { WAITS, SERVED, RESTS };

struct source {
	RB_ENTRY(source) by_name;
	union {
		TAILQ_ENTRY(source) link;  /* waits, or is served */
		RB_ENTRY(source) by_until; /* rests */
	};
	enum source_state state;
	struct lane *lane;
	uint32_t sub;
	bool idle;    /* nothing was ready when last heard */
	bool ending;  /* its subscription is */
	bool refused; /* it rests once nothing is in hand */
	uint32_t turns;
	uint32_t failures;
	struct mono_time since; /* it has the subscription */
	uint64_t rest_ms;
	struct mono_time until; /* it rests */
	struct parcel_list parcels;
	uint64_t messages; /* in hand */
	uint64_t bytes;
	struct settlement_list settlements;
	size_t name_len;
	char name[NAME_FULL_MAX];
};
RB_HEAD(source_tree, source);
RB_HEAD(rest_tree, source);
TAILQ_HEAD(source_list, source);

struct lane {
	struct forward *forward;
	struct client *client; /* NULL: none is made */
	bool gave_up;
	struct mono_time reopen; /* not before */
	struct source_list waiting;
	uint32_t waiting_count;
	bool left_out; /* there are more, which have no place in it */
	uint64_t bytes;
};

struct forward {
	struct forward_config config;
	struct forward_host host;
	struct client *receiver;
	struct mono_time now;
	uint32_t count; /* of lanes */
	uint32_t next_lane;
	struct source_tree sources;
	uint32_t sources_count;
	struct source_list served;
	struct rest_tree resting;
	struct source *subs[SUBSCRIPTIONS_MAX];
	uint32_t subs_used;
	uint32_t asking; /* AWAYs without an answer */
	bool more;	 /* the last answer left some out */
	bool nothing;	 /* it was asked at once, and there was nothing */
	struct mono_time asked_all;
	uint64_t sent;
	uint64_t dead;
	bool stopping;
	enum rmq_error error;
	char text[TEXT_MAX + 1];
	bool asks_cells;
	bool noted; /* since the last turn: there is something to do */
	struct lane *lanes;
};

static int source_compare(const struct source *a, const struct source *b)
{
	if (a->name_len != b->name_len)
		return a->name_len < b->name_len ? -1 : 1;
	return memcmp(a->name, b->name, a->name_len);
}

RB_PROTOTYPE(source_tree, source, by_name, source_compare)
RB_GENERATE(source_tree, source, by_name, source_compare)

static int rest_compare(const struct source *a, const struct source *b)
{
	if (a->until.ms != b->until.ms)
		return a->until.ms < b->until.ms ? -1 : 1;
	return source_compare(a, b);
}

RB_PROTOTYPE(rest_tree, source, by_until, rest_compare)
RB_GENERATE(rest_tree, source, by_until, rest_compare)

static struct slice name_of(const struct source *s)
{
	return slice_of(s->name, s->name_len);
}

static struct slice target_of(const struct source *s)
{
	return cells_away_for(name_of(s));
}

/* ---- which messages ---- */

static void entries_add(struct entries *e, uint64_t lease, uint64_t first, uint32_t count)
{
	struct settle_entry *last = e->count > 0 ? &e->list[e->count - 1] : NULL;
	if (last && last->lease == lease && last->first + last->count == first) {
		last->count += count;
		return;
	}
	e->list = memory_grow(e->list, e->count, &e->cap, sizeof(*e->list));
	e->list[e->count++] = (struct settle_entry){lease, first, count};
}

static void entries_free(struct entries *e)
{
	free(e->list);
	*e = (struct entries){0};
}

static uint64_t entries_messages(const struct entries *e)
{
	uint64_t n = 0;
	for (size_t i = 0; i < e->count; i++)
		n += e->list[i].count;
	return n;
}

/* Messages number `at` … of *e go to *to. */
static void entries_take(struct entries *e, uint64_t at, uint64_t count, struct entries *to)
{
	struct entries rest = {0};
	for (size_t i = 0; i < e->count; i++) {
		struct settle_entry r = e->list[i];
		uint64_t before = at < r.count ? at : r.count;
		uint64_t in = r.count - before < count ? r.count - before : count;
		uint64_t after = r.count - before - in;
		at -= before;
		count -= in;
		if (before > 0)
			entries_add(&rest, r.lease, r.first, (uint32_t)before);
		if (in > 0)
			entries_add(to, r.lease, r.first + before, (uint32_t)in);
		if (after > 0)
			entries_add(&rest, r.lease, r.first + before + in, (uint32_t)after);
	}
	entries_free(e);
	*e = rest;
}

/* ---- what becomes of them ---- */

static struct settlement *settlement_of(
    struct settlement_list *list, enum settle_verb verb, uint64_t ms, struct slice why)
{
	struct settlement *s = TAILQ_LAST(list, settlement_list);
	if (s && s->verb == verb && s->ms == ms && slice_eq(slice_str(s->why), why))
		return s;
	s = memory_new(sizeof(*s));
	s->verb = verb;
	s->ms = ms;
	snprintf(s->why, sizeof(s->why), "%.*s", (int)why.len, (const char *)why.data);
	TAILQ_INSERT_TAIL(list, s, link);
	return s;
}

static void settlement_free(struct settlement_list *list, struct settlement *s)
{
	TAILQ_REMOVE(list, s, link);
	entries_free(&s->entries);
	free(s);
}

/* Messages number `at` … of the parcel. */
static void settle(struct source *s, struct parcel *p, uint64_t at, uint64_t count,
    enum settle_verb verb, struct slice why)
{
	entries_take(
	    &p->held, at, count, &settlement_of(&s->settlements, verb, 0, why)->entries);
	s->messages -= count;
}

static void parcel_free(struct source *s, struct parcel *p)
{
	assert(p->held.count == 0);
	TAILQ_REMOVE(&s->parcels, p, link);
	s->bytes -= p->weight;
	s->lane->bytes -= p->weight;
	sendbuf_free(p->buf);
	attribute_table_deinit(&p->table);
	entries_free(&p->held);
	free(p);
}

static void parcel_give_back(struct source *s, struct parcel *p)
{
	settle(s, p, 0, entries_messages(&p->held), VERB_RELEASE, NO_TAGS);
	parcel_free(s, p);
}

static bool flies(const struct parcel *p)
{
	return p && !p->buf;
}

/* What has not been sent. */
static void give_back_unsent(struct source *s)
{
	struct parcel *p;
	while ((p = TAILQ_LAST(&s->parcels, parcel_list)) && !flies(p))
		parcel_give_back(s, p);
}

/* It is tried again later: nothing of it may overtake what was refused. */
static void rest(struct source *s, uint64_t ms)
{
	s->refused = true;
	s->rest_ms = ms;
	give_back_unsent(s);
}

/* How long, after one more refusal. */
static uint64_t next_rest_ms(struct source *s)
{
	uint64_t ms = FORWARD_REST_MAX_MS;
	if (s->failures < 10 && (uint64_t)FORWARD_REST_MIN_MS << s->failures < ms)
		ms = (uint64_t)FORWARD_REST_MIN_MS << s->failures;
	s->failures++;
	return ms;
}

/* ---- into parcels ---- */

static struct parcel *parcel_new(struct source *s, struct sendbuf *buf)
{
	struct parcel *p = memory_new(sizeof(*p));
	p->buf = buf;
	p->weight = PARCEL_COST;
	s->bytes += p->weight;
	s->lane->bytes += p->weight;
	TAILQ_INSERT_TAIL(&s->parcels, p, link);
	return p;
}

static struct sendbuf *buf_new(void)
{
	struct sendbuf *b = sendbuf_new();
	if (!b)
		abort();
	return b;
}

static void parcel_weighs(struct source *s, struct parcel *p, size_t bytes)
{
	p->weight += (uint32_t)bytes;
	s->bytes += bytes;
	s->lane->bytes += bytes;
}

static void parcel_holds(struct source *s, struct parcel *p, uint64_t lease, uint64_t seq)
{
	entries_add(&p->held, lease, seq, 1);
	s->messages++;
}

/* Notes the attributes of message `slot` of a list as those of message `as`. */
static void table_add(struct attribute_table *t, struct slice list, uint32_t slot, uint32_t as)
{
	struct reader r = reader_of(list);
	struct tag e;
	struct slice value;
	while (tags_next(&r, &e)) {
		uint16_t tag = (uint16_t)(e.tag & ~ATTRIBUTE_EACH);
		if (attributes_find(list, tag, slot, &value))
			attribute_table_put(t, as, tag, value);
	}
}

/* Message i of d goes into p, if it has room. */
static bool parcel_append(
    struct source *s, struct parcel *p, const struct client_delivery *d, uint32_t i)
{
	uint8_t separator = d->blob.data[load_u16(d->ends + 2 * (size_t)i) - d->base - 1];
	struct slice body = client_body(d, i);
	struct attribute_table *t = &p->table;
	size_t values = t->values.len, entries = t->entries.len;
	table_add(t, d->attributes, d->slot + i, p->buf->count);
	bool fits = p->held.count < PARCEL_LISTS && !attribute_table_failed(t) &&
		    sendbuf_reserve(p->buf, attribute_table_size(t)) &&
		    sendbuf_append(p->buf, body, separator);
	if (!fits) {
		t->values.len = values;
		t->entries.len = entries;
		return false;
	}
	parcel_weighs(s, p, body.len + 1 + t->values.len - values);
	parcel_holds(s, p, d->lease, d->first_seq + i);
	return true;
}

/* One that does not even fit alone cannot have been sent by a client: attributes that none knows. */
static void take_message(struct source *s, const struct client_delivery *d, uint32_t i)
{
	struct parcel *p = TAILQ_LAST(&s->parcels, parcel_list);
	if (p && !flies(p) && !p->closed && parcel_append(s, p, d, i))
		return;
	p = parcel_new(s, buf_new());
	if (parcel_append(s, p, d, i))
		return;
	parcel_holds(s, p, d->lease, d->first_seq + i);
	s->lane->forward->dead++;
	settle(s, p, 0, 1, VERB_DEAD, slice_str("forward: its attributes are too large"));
	parcel_free(s, p);
}

/* A large message: a chain of pieces, its attributes with the first. */
static void take_large(struct source *s, const struct client_delivery *d)
{
	uint8_t list[CHUNK_ATTRIBUTES_MAX];
	struct writer w = writer_of(list, sizeof(list));
	struct sendbuf *first = buf_new(), *b = first;
	struct slice left = d->blob;
	attributes_copy(&w, d->attributes, d->slot, 1);
	b->large = true;
	bool ok = !w.full && sendbuf_set_attributes(b, slice_of(list, w.len));
	for (;;) {
		uint32_t cap = sendbuf_cap(b);
		size_t n = left.len < cap ? left.len : cap;
		memcpy(sendbuf_blob(b), left.data, n);
		b->blob_len = b->filled = (uint32_t)n;
		left = slice_of(left.data + n, left.len - n);
		if (left.len == 0)
			break;
		b->next = buf_new();
		b = b->next;
		b->large = true;
	}
	struct parcel *p = parcel_new(s, first);
	p->closed = true;
	parcel_weighs(s, p, d->blob.len + w.len);
	parcel_holds(s, p, d->lease, d->first_seq);
	if (ok)
		return;
	s->lane->forward->dead++;
	settle(s, p, 0, 1, VERB_DEAD, slice_str("forward: its attributes are too large"));
	parcel_free(s, p);
}

/* ---- the receiver's callbacks ---- */

static void on_deliver(void *arg, const struct client_delivery *d)
{
	struct forward *f = arg;
	struct source *s = f->subs[d->sub];
	assert(s);
	f->noted = true;
	s->idle = false;
	if (!d->ends) {
		take_large(s, d);
		return;
	}
	for (uint32_t i = 0; i < d->count; i++)
		take_message(s, d, i);
}

static void on_idle(void *arg, uint32_t sub, uint64_t leased, uint64_t delayed)
{
	struct forward *f = arg;
	(void)leased, (void)delayed;
	f->noted = true;
	if (f->subs[sub])
		f->subs[sub]->idle = true;
}

/* Its own limits, or a pause, let nothing through. */
static void on_held_back(void *arg, uint32_t sub)
{
	struct forward *f = arg;
	f->noted = true;
	if (f->subs[sub])
		rest(f->subs[sub], REOPEN_MS);
}

static void sub_gone(struct forward *f, uint32_t sub)
{
	struct source *s = f->subs[sub];
	f->noted = true;
	if (!s)
		return;
	f->subs[sub] = NULL;
	f->subs_used--;
	s->sub = NO_SUB;
	s->ending = false;
}

static void on_unsubscribed(void *arg, uint32_t sub)
{
	sub_gone(arg, sub);
}

static void on_sub_failed(void *arg, uint32_t sub, enum rmq_error code, struct slice text)
{
	struct forward *f = arg;
	struct source *s = f->subs[sub];
	sub_gone(f, sub);
	if (!s)
		return;
	/* A queue that was removed; it is told of when it is there again. */
	s->idle = code == RMQ_E_NO_QUEUE;
	if (s->idle)
		return;
	rest(s, next_rest_ms(s));
	if (f->host.refused)
		f->host.refused(f->host.arg, name_of(s), 0, false, s->rest_ms, code, text);
}

static void line_up(struct source *s)
{
	s->state = WAITS;
	TAILQ_INSERT_TAIL(&s->lane->waiting, s, link);
	s->lane->waiting_count++;
}

static void line_out(struct source *s)
{
	TAILQ_REMOVE(&s->lane->waiting, s, link);
	s->lane->waiting_count--;
}

static struct lane *home_of(struct forward *f, struct slice name)
{
	const struct cells *cells = f->config.cells;
	uint32_t home = cells->count > 0 ? cells_home(cells, cells_away_for(name)) : 0;
	return &f->lanes[home < f->count ? home : 0];
}

static void source_new(struct forward *f, struct lane *lane, struct slice name)
{
	struct source *s = memory_new(sizeof(*s));
	memcpy(s->name, name.data, name.len);
	s->name_len = name.len;
	s->lane = lane;
	s->sub = NO_SUB;
	TAILQ_INIT(&s->parcels);
	TAILQ_INIT(&s->settlements);
	RB_INSERT(source_tree, &f->sources, s);
	f->sources_count++;
	line_up(s);
}

static void source_free(struct forward *f, struct source *s)
{
	RB_REMOVE(source_tree, &f->sources, s);
	f->sources_count--;
	free(s);
}

static bool is_known(struct forward *f, struct slice name)
{
	struct source key = {.name_len = name.len};
	memcpy(key.name, name.data, name.len);
	return RB_FIND(source_tree, &f->sources, &key) != NULL;
}

static void on_aways(void *arg, uint32_t req, bool more, struct slice names)
{
	struct forward *f = arg;
	struct reader r = reader_of(names);
	bool any = false;
	(void)req;
	f->asking--;
	while (reader_left(&r) > 0 && !f->stopping) {
		struct slice name = get_str(&r);
		if (!cells_is_away(name) || is_known(f, name))
			continue;
		any = true;
		/* What finds no place in its line is asked for again, once there is some. */
		struct lane *l = home_of(f, name);
		if (l->waiting_count < FORWARD_SOURCES_MAX)
			source_new(f, l, name);
		else
			l->left_out = true;
	}
	f->noted = true;
	f->more = more;
	f->nothing = f->config.once && !any && !more && f->sources_count == 0;
}

/*
 * A message that cannot become a dead letter, as there is no queue for these, or no room in it, is
 * tried again after a while.
 */
static enum client_verdict on_settle_failed(void *arg, const struct client_command *cmd,
    enum rmq_error code, uint32_t at, struct slice text)
{
	struct forward *f = arg;
	struct wire_settle m;
	(void)at;
	if (cmd->type != WIRE_TYPE_SETTLE ||
	    !wire_settle_decode(
		slice_of(cmd->frame + FRAME_HEADER_SIZE, cmd->len - FRAME_HEADER_SIZE), &m) ||
	    m.verb != VERB_DEAD)
		return CLIENT_DROP;
	struct settle_entry e[SETTLE_ENTRIES_MAX];
	uint32_t count = 0;
	uint64_t messages = 0;
	struct reader r = reader_of(m.entries);
	while (reader_left(&r) > 0 && count < SETTLE_ENTRIES_MAX) {
		e[count] = settle_entry_get(&r);
		messages += e[count++].count;
	}
	client_settle(f->receiver, f->now,
	    &(struct client_settlement){
		.queue = m.queue, .verb = VERB_RELEASE, .ms = UNBURIED_MS},
	    e, count);
	f->dead -= messages;
	if (f->host.refused)
		f->host.refused(f->host.arg, m.queue, messages, false, UNBURIED_MS, code, text);
	return CLIENT_DROP;
}

static void on_fatal(void *arg, enum rmq_error code, struct slice text)
{
	struct forward *f = arg;
	f->noted = true;
	f->error = code;
	snprintf(f->text, sizeof(f->text), "%.*s", (int)text.len, (const char *)text.data);
}

static void on_cells_are(void *arg, uint32_t req, struct slice self, struct slice list)
{
	struct forward *f = arg;
	(void)req;
	f->asks_cells = false;
	f->noted = true;
	if (f->host.cells)
		f->host.cells(f->host.arg, self, list);
}

struct client_host forward_receiver(struct forward *f)
{
	return (struct client_host){.arg = f,
	    .deliver = on_deliver,
	    .idle = on_idle,
	    .held_back = on_held_back,
	    .unsubscribed = on_unsubscribed,
	    .sub_failed = on_sub_failed,
	    .aways = on_aways,
	    .cells_are = on_cells_are,
	    .failed = on_settle_failed,
	    .fatal = on_fatal};
}

/* ---- a sender's callbacks ---- */

/* It is where the queue was found: what follows goes there at once. */
static void follow(struct lane *l, struct source *s)
{
	const struct cells *cells = l->forward->config.cells;
	struct slice cell = client_cell(l->client);
	uint32_t i = cells && cell.len > 0 ? cells_find(cells, cell) : CELLS_NONE;
	if (i == CELLS_NONE || &l->forward->lanes[i] == s->lane)
		return;
	s->lane->bytes -= s->bytes;
	s->lane = &l->forward->lanes[i];
	s->lane->bytes += s->bytes;
}

static void on_sent(
    void *arg, const struct client_command *cmd, uint64_t first_seq, uint32_t count)
{
	struct lane *l = arg;
	struct source *s = cmd->tag;
	struct parcel *p = TAILQ_FIRST(&s->parcels);
	(void)first_seq;
	l->forward->noted = true;
	settle(s, p, 0, count, VERB_SETTLE, NO_TAGS);
	l->forward->sent += count;
	assert(p->held.count == 0);
	parcel_free(s, p);
	s->failures = 0;
	s->turns++;
	follow(l, s);
}

/* They are in NAME, as an earlier SEND that was not answered was stored after all. */
static void on_known(void *arg, const struct client_command *cmd, uint32_t at, uint32_t count,
    struct slice numbers)
{
	struct lane *l = arg;
	struct source *s = cmd->tag;
	(void)numbers;
	settle(s, TAILQ_FIRST(&s->parcels), at, count, VERB_SETTLE, NO_TAGS);
	l->forward->sent += count;
}

/* Whether it will be so whenever it is tried. */
static bool is_for_good(enum rmq_error code)
{
	switch (code) {
	case RMQ_E_USAGE:
	case RMQ_E_BAD_DATA:
	case RMQ_E_TOO_LARGE:
	case RMQ_E_NO_QUEUE:
	case RMQ_E_VERSION:
	case RMQ_E_DENIED:
	case RMQ_E_RESERVED:
		return true;
	default:
		return false;
	}
}

/* Whether one message is to blame. */
static bool blames_one(enum rmq_error code)
{
	return code == RMQ_E_TOO_LARGE || code == RMQ_E_BAD_DATA;
}

static void bury(struct lane *l, struct source *s, struct parcel *p, uint32_t at,
    uint32_t count, enum rmq_error code, struct slice text)
{
	struct forward *f = l->forward;
	char why[TEXT_MAX + 1];
	snprintf(why, sizeof(why), "forward: %.*s", (int)text.len, (const char *)text.data);
	settle(s, p, at, count, VERB_DEAD, slice_str(why));
	f->dead += count;
	if (f->host.refused)
		f->host.refused(f->host.arg, target_of(s), count, true, 0, code, text);
}

/* The rest of a batch that is more than the daemon takes at once comes again, after what it does take. */
static enum client_verdict shorten(
    struct lane *l, struct source *s, const struct client_command *cmd, uint32_t at)
{
	struct parcel *p = TAILQ_FIRST(&s->parcels);
	uint32_t count = cmd->buf->count - at;
	settle(s, p, at, count, VERB_RELEASE, NO_TAGS);
	give_back_unsent(s);
	client_remove(l->client, cmd, at, count);
	return CLIENT_REPEAT;
}

static enum client_verdict on_failed(void *arg, const struct client_command *cmd,
    enum rmq_error code, uint32_t at, struct slice text)
{
	struct lane *l = arg;
	struct forward *f = l->forward;
	struct source *s = cmd->tag;
	struct parcel *p = TAILQ_FIRST(&s->parcels);
	uint32_t count = cmd->buf->large ? 1 : cmd->buf->count;
	f->noted = true;
	if (code == RMQ_E_LIMIT && at > 0 && at < count)
		return shorten(l, s, cmd, at);
	if (blames_one(code) && at < count && count > 1) {
		bury(l, s, p, at, 1, code, text);
		client_remove(l->client, cmd, at, 1);
		return CLIENT_REPEAT;
	}
	if (is_for_good(code)) {
		bury(l, s, p, 0, count, code, text);
	} else {
		settle(s, p, 0, count, VERB_RELEASE, NO_TAGS);
		rest(s, next_rest_ms(s));
		if (f->host.refused)
			f->host.refused(
			    f->host.arg, target_of(s), count, false, s->rest_ms, code, text);
	}
	parcel_free(s, p);
	return CLIENT_DROP;
}

/* What it was about comes again; the oldest may be to blame. */
static void on_sender_fatal(void *arg, enum rmq_error code, struct slice text)
{
	struct lane *l = arg;
	struct forward *f = l->forward;
	const struct client_command *cmd = client_oldest(l->client);
	struct source *s = cmd ? cmd->tag : NULL;
	l->gave_up = true;
	f->noted = true;
	l->reopen.ms = f->now.ms + REOPEN_MS;
	if (!s)
		return;
	s->refused = true;
	s->rest_ms = next_rest_ms(s);
	if (f->host.refused)
		f->host.refused(
		    f->host.arg, target_of(s), s->messages, false, s->rest_ms, code, text);
}

struct client_host forward_sender(struct forward *f, uint32_t lane)
{
	return (struct client_host){.arg = &f->lanes[lane],
	    .sent = on_sent,
	    .known = on_known,
	    .failed = on_failed,
	    .fatal = on_sender_fatal};
}

/* ---- life ---- */

void forward_cells(struct forward *f, const struct cells *cells)
{
	assert(!f->lanes);
	f->config.cells = cells;
	f->count = cells->count > 0 ? cells->count : 1;
	f->lanes = memory_new(f->count * sizeof(f->lanes[0]));
	for (uint32_t i = 0; i < f->count; i++) {
		f->lanes[i].forward = f;
		TAILQ_INIT(&f->lanes[i].waiting);
	}
	f->noted = true;
}

struct forward *forward_new(
    const struct forward_config *config, const struct forward_host *host)
{
	struct forward *f = memory_new(sizeof(*f));
	f->config = *config;
	f->host = *host;
	RB_INIT(&f->sources);
	TAILQ_INIT(&f->served);
	RB_INIT(&f->resting);
	if (config->cells)
		forward_cells(f, config->cells);
	return f;
}

static void discard(struct source *s)
{
	struct parcel *p;
	struct settlement *e;
	while ((p = TAILQ_FIRST(&s->parcels)))
		parcel_give_back(s, p);
	while ((e = TAILQ_FIRST(&s->settlements)))
		settlement_free(&s->settlements, e);
}

void forward_free(struct forward *f)
{
	struct source *s;
	if (!f)
		return;
	while ((s = RB_MIN(source_tree, &f->sources))) {
		discard(s);
		source_free(f, s);
	}
	free(f->lanes);
	free(f);
}

void forward_begin(struct forward *f, struct mono_time now, struct client *receiver)
{
	f->receiver = receiver;
	f->now = now;
}

void forward_stop(struct forward *f)
{
	f->stopping = true;
}

bool forward_stopped(const struct forward *f)
{
	return f->stopping && TAILQ_EMPTY(&f->served) && client_unanswered(f->receiver) == 0;
}

bool forward_done(const struct forward *f)
{
	return f->config.once && f->nothing && f->sources_count == 0 &&
	       client_unanswered(f->receiver) == 0;
}

enum rmq_error forward_error(const struct forward *f, struct slice *text)
{
	*text = slice_str(f->text);
	return f->error;
}

uint64_t forward_sent(const struct forward *f)
{
	return f->sent;
}

uint64_t forward_dead(const struct forward *f)
{
	return f->dead;
}

uint64_t forward_bytes(const struct forward *f)
{
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < f->count; i++)
		bytes += f->lanes[i].bytes;
	return bytes;
}

/* ---- a turn ---- */

static void flush_settlements(struct forward *f, struct source *s)
{
	struct settlement *e;
	while ((e = TAILQ_FIRST(&s->settlements))) {
		struct client_settlement m = {.queue = name_of(s),
		    .verb = e->verb,
		    .ms = e->ms,
		    .why = slice_str(e->why)};
		for (size_t i = 0; i < e->entries.count; i += SETTLE_ENTRIES_MAX) {
			size_t n = e->entries.count - i;
			if (n > SETTLE_ENTRIES_MAX)
				n = SETTLE_ENTRIES_MAX;
			client_settle(
			    f->receiver, f->now, &m, e->entries.list + i, (uint32_t)n);
		}
		settlement_free(&s->settlements, e);
	}
}

/* Whether nobody else can have been given any of its messages. */
static bool vouches(const struct forward *f, const struct parcel *p)
{
	for (size_t i = 0; i < p->held.count; i++) {
		const struct settle_entry *e = &p->held.list[i];
		for (uint32_t k = 0; k < e->count; k++)
			if (!client_vouches(f->receiver, e->lease, e->first + k, f->now))
				return false;
	}
	return true;
}

static bool lane_ready(struct forward *f, struct lane *l)
{
	if (!l->client && !l->gave_up && f->now.ms >= l->reopen.ms) {
		l->client = f->host.open(f->host.arg, (uint32_t)(l - f->lanes));
		if (!l->client)
			l->reopen.ms = f->now.ms + REOPEN_MS;
	}
	return l->client && !l->gave_up && client_has_room(l->client);
}

/* Attributes of a batch are put before its bodies when it is complete. */
static void set_attributes(struct parcel *p)
{
	uint8_t list[SENDBUF_ATTRIBUTES_MAX];
	struct writer w = writer_of(list, sizeof(list));
	if (p->buf->large)
		return;
	attribute_table_write(&p->table, p->buf->count, &w);
	assert(!w.full);
	if (!sendbuf_set_attributes(p->buf, slice_of(list, w.len)))
		abort();
}

static void send_first(struct forward *f, struct source *s)
{
	struct parcel *p = TAILQ_FIRST(&s->parcels);
	if (!p || flies(p) || !lane_ready(f, s->lane))
		return;
	/* Somebody else may have them: what comes after them waits for its turn as well. */
	if (!vouches(f, p)) {
		give_back_unsent(s);
		flush_settlements(f, s);
		return;
	}
	struct sendbuf *buf = p->buf;
	set_attributes(p);
	p->buf = NULL;
	if (RMQ_VARIANT(FORWARD_EARLY))
		client_settle(f->receiver, f->now,
		    &(struct client_settlement){.queue = name_of(s), .verb = VERB_SETTLE},
		    p->held.list, (uint32_t)p->held.count);
	client_send(s->lane->client, f->now, target_of(s), 0, buf, s);
}

static void ask_for_more(struct forward *f, struct source *s)
{
	int64_t messages = client_credit_messages(f->receiver, s->sub) + (int64_t)s->messages;
	int64_t bytes = client_credit_bytes(f->receiver, s->sub) + (int64_t)s->bytes;
	int64_t most = FORWARD_CREDIT_BYTES;
	if (s->lane->bytes >= FORWARD_CELL_BYTES && s->bytes > 0)
		return;
	/* By halves: not a frame for each message. */
	if (messages > BATCH_MESSAGES_MAX / 2 && bytes > most / 2)
		return;
	uint32_t more =
	    messages < BATCH_MESSAGES_MAX ? (uint32_t)(BATCH_MESSAGES_MAX - messages) : 0;
	uint32_t room = bytes < most ? (uint32_t)(most - bytes) : 0;
	client_credit(f->receiver, s->sub, more, room);
}

static void end_subscription(struct forward *f, struct source *s)
{
	if (s->sub == NO_SUB || s->ending)
		return;
	s->ending = true;
	client_unsubscribe(f->receiver, s->sub);
}

/* It is not served any more. */
static void leave(struct forward *f, struct source *s)
{
	TAILQ_REMOVE(&f->served, s, link);
	if (f->stopping || (s->idle && !s->refused)) {
		source_free(f, s);
	} else if (s->refused) {
		s->refused = false;
		s->state = RESTS;
		s->until.ms = f->now.ms + s->rest_ms;
		RB_INSERT(rest_tree, &f->resting, s);
	} else {
		line_up(s);
	}
}

static void serve(struct forward *f, struct source *s)
{
	if (s->refused || f->stopping)
		give_back_unsent(s);
	if (s->refused || f->stopping || (f->config.once && s->idle))
		end_subscription(f, s);
	flush_settlements(f, s);
	send_first(f, s);
	if (s->sub != NO_SUB && !s->ending)
		ask_for_more(f, s);
	if (s->sub == NO_SUB && TAILQ_EMPTY(&s->parcels) && TAILQ_EMPTY(&s->settlements))
		leave(f, s);
}

static void serve_all(struct forward *f)
{
	struct source *s, *next;
	for (s = TAILQ_FIRST(&f->served); s; s = next) {
		next = TAILQ_NEXT(s, link);
		serve(f, s);
	}
}

/* A sender that has given up: what it had is in hand no more, as it is not known what was stored. */
static void close_lane(struct forward *f, struct lane *l)
{
	struct source *s;
	TAILQ_FOREACH (s, &f->served, link) {
		struct parcel *p = TAILQ_FIRST(&s->parcels);
		const struct client_command *cmd = client_oldest(l->client);
		while (cmd && cmd->tag != s)
			cmd = cmd->next;
		if (!flies(p) || !cmd)
			continue;
		give_back_unsent(s);
		parcel_give_back(s, p);
	}
	l->client = NULL;
	l->gave_up = false;
	f->host.close(f->host.arg, (uint32_t)(l - f->lanes));
}

static void wake(struct forward *f)
{
	struct source *s;
	while (
	    (s = RB_MIN(rest_tree, &f->resting)) && (f->stopping || s->until.ms <= f->now.ms)) {
		RB_REMOVE(rest_tree, &f->resting, s);
		line_up(s);
	}
}

/* Whether its line may go on: it does not hold much already, and there is somebody to send to. */
static bool lane_moves(const struct forward *f, const struct lane *l)
{
	if (TAILQ_EMPTY(&l->waiting) || l->gave_up || f->now.ms < l->reopen.ms ||
	    l->bytes >= FORWARD_CELL_BYTES)
		return false;
	struct client_waiting w =
	    l->client ? client_waiting(l->client) : (struct client_waiting){CLIENT_WAITS_NOT};
	return w.what == CLIENT_WAITS_NOT || f->now.ms < w.since.ms + REOPEN_MS;
}

/* Of the cells in turn. */
static struct source *next_waiting(struct forward *f)
{
	for (uint32_t i = 0; i < f->count; i++) {
		struct lane *l = &f->lanes[(f->next_lane + i) % f->count];
		if (!lane_moves(f, l))
			continue;
		f->next_lane = (f->next_lane + i + 1) % f->count;
		return TAILQ_FIRST(&l->waiting);
	}
	return NULL;
}

static void begin_service(struct forward *f, struct source *s)
{
	uint8_t flags = SUBSCRIBE_NO_CREATE | SUBSCRIBE_IDLE | SUBSCRIBE_STARTS;
	line_out(s);
	TAILQ_INSERT_TAIL(&f->served, s, link);
	s->state = SERVED;
	s->idle = false;
	s->turns = 0;
	s->since = f->now;
	s->sub = client_subscribe(f->receiver, f->now, name_of(s), flags, LEASE_MS);
	f->subs[s->sub] = s;
	f->subs_used++;
	ask_for_more(f, s);
}

/* Whether it may be asked to give its place to another. */
static bool gives_way(const struct forward *f, const struct source *s)
{
	return s->idle || s->turns >= FORWARD_TURNS || f->now.ms >= s->since.ms + SLOT_MS;
}

/* Those that wait are served, as many as there are places; for each of the others one is made. */
static void fill_places(struct forward *f)
{
	struct source *s;
	uint32_t wanted = 0;
	while (f->subs_used < SUBSCRIPTIONS_MAX && (s = next_waiting(f)))
		begin_service(f, s);
	for (uint32_t i = 0; i < f->count; i++)
		TAILQ_FOREACH (s, &f->lanes[i].waiting, link)
			if (lane_moves(f, &f->lanes[i]) && wanted < SUBSCRIPTIONS_MAX)
				wanted++;
			else
				break;
	TAILQ_FOREACH (s, &f->served, link)
		wanted -= s->ending && wanted > 0;
	TAILQ_FOREACH (s, &f->served, link) {
		if (wanted == 0)
			break;
		if (s->sub == NO_SUB || s->ending || !gives_way(f, s))
			continue;
		end_subscription(f, s);
		wanted--;
	}
}

static void forget_waiting(struct forward *f)
{
	struct source *s;
	wake(f);
	for (uint32_t i = 0; i < f->count; i++)
		while ((s = TAILQ_FIRST(&f->lanes[i].waiting))) {
			line_out(s);
			source_free(f, s);
		}
}

static void ask_cells(struct forward *f)
{
	if (f->asks_cells || !f->host.cells)
		return;
	f->asks_cells = true;
	client_cells(f->receiver, f->now);
}

/* Whether one that was left out would find a place now. */
static bool has_place_again(struct forward *f)
{
	bool any = false;
	for (uint32_t i = 0; i < f->count; i++) {
		struct lane *l = &f->lanes[i];
		bool again = l->left_out && l->waiting_count < FORWARD_SOURCES_MAX / 2;
		l->left_out &= !again;
		any |= again;
	}
	return any;
}

/* Which sources there are: once there is one; all of them now and then. */
static void ask(struct forward *f)
{
	bool all = f->asked_all.ms == 0 || f->now.ms >= f->asked_all.ms + FORWARD_ALL_MS;
	uint8_t flags = 0;
	if (f->asking <= (f->config.once ? 0 : 1))
		all |= has_place_again(f);
	if (f->config.once) {
		if (f->asking > 0 || f->nothing || (f->sources_count > 0 && !f->more && !all))
			return;
		flags = (uint8_t)(AWAY_NOW | (f->more ? 0 : AWAY_ALL));
	} else if (f->asking > (all ? 1 : 0)) {
		return;
	}
	if (all) {
		f->asked_all = f->now;
		flags |= AWAY_ALL;
		ask_cells(f);
	}
	f->asking++;
	client_away(f->receiver, f->now, flags);
}

void forward_turn(struct forward *f, struct mono_time now)
{
	f->now = now;
	f->noted = false;
	if (f->error)
		return;
	if (!f->lanes) {
		ask_cells(f);
		return;
	}
	for (uint32_t i = 0; i < f->count; i++)
		if (f->lanes[i].gave_up)
			close_lane(f, &f->lanes[i]);
	serve_all(f);
	if (f->stopping) {
		forget_waiting(f);
		return;
	}
	wake(f);
	fill_places(f);
	ask(f);
}

static void earlier(uint64_t *due, uint64_t at)
{
	if (at < *due)
		*due = at;
}

uint64_t forward_due_ms(const struct forward *f, struct mono_time now)
{
	uint64_t due = f->asked_all.ms + FORWARD_ALL_MS;
	const struct source *s;
	bool waits = false;
	if (f->noted)
		return 0;
	if (f->error || f->stopping || !f->lanes)
		return CLIENT_FOREVER;
	s = RB_MIN(rest_tree, (struct rest_tree *)(uintptr_t)&f->resting);
	if (s)
		earlier(&due, s->until.ms);
	for (uint32_t i = 0; i < f->count; i++) {
		const struct lane *l = &f->lanes[i];
		waits |= !TAILQ_EMPTY(&l->waiting);
		if (l->reopen.ms > now.ms)
			earlier(&due, l->reopen.ms);
	}
	TAILQ_FOREACH (s, &f->served, link)
		if (waits && s->sub != NO_SUB && !s->ending && s->since.ms + SLOT_MS > now.ms)
			earlier(&due, s->since.ms + SLOT_MS);
	return due > now.ms ? due - now.ms : 0;
}
