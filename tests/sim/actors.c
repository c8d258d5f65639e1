#include "actors.h"

#include "checks.h"
#include "daemon.h"
#include "imports.h"
#include "maps.h"
#include "lives.h"
#include "trace.h"
#include "trespass.h"
#include "watches.h"

#include "core/client/client.h"
#include "core/wire/attributes.h"

#include <assert.h>
#include <stdlib.h>

enum kind { SENDER, RECEIVER, ACKER, ADMIN };

#define NAMES ACTORS_NAMES
/* Of these, the second half are the dead-letter queues of the first. */
static const char *const names[NAMES] = {
    "jobs", "mail", "x", "jobs.dead", "mail.dead", "x.dead"};
#define LIVE_NAMES	3
#define HELD_MAX	4000
#define BATCH_LINES_MAX 40
#define SEVERAL_MAX	3 /* queues that a SEND names */
/* Clients are processes of these users. */
#define ACTORS_UID   1000
#define ACTORS_USERS 3
#define UP_MAX	     300000 /* bytes that a connection takes without the daemon reading */

/* A message that a client has in hand. */
struct held {
	uint64_t seq, lease;
	uint32_t line;
	unsigned name;
	bool ended; /* its lease, while a SETTLE_SEND of it had no answer */
};

struct sub {
	uint32_t id;
	unsigned name;
	bool on;
	bool ephemeral;
	bool confirmed; /* ephemeral: it is in this queue */
	uint32_t queue;
};

struct actor {
	struct world *w;
	enum kind kind;
	unsigned number;
	uint32_t life; /* no other process has this number */
	struct client *client;
	struct link *link;
	uint64_t clock_ms; /* what its clock is ahead of boot time */
	uint64_t paused_until;
	bool direct; /* its death can be proven */
	bool no_wait;
	bool leaving; /* has said good-bye */
	bool asking;  /* a list, a peek or a life is unanswered */
	bool granted; /* may do only what it needs */
	bool imports; /* a sender: it sends the input that has a name, and nothing else */
	bool fatal;
	uint64_t session;   /* as the last WELCOME said */
	unsigned unlimited; /* the administrator in the calm: queues without a limit now */
	struct sub subs[SUBSCRIPTIONS_MAX];
	struct held *held;
	uint32_t held_count;
	struct note *notes; /* of its unanswered commands */
	struct life life_asked;
	struct watch watch;
	struct map_op map;
	struct map_view view;
	unsigned
	    sent_name; /* a sender: the newest that it knows to be stored, if sent_seq is not 0 */
	uint64_t sent_seq;
};

/* What a command was about. */
struct note {
	struct note *next;
	uint32_t verb; /* 0: a SEND */
	uint32_t count;
	/* SEND: of a large message to so many queues, from items[0].name on; of a topic: to any */
	uint32_t several;
	uint8_t topic; /* its number + 1 */
	uint32_t sent; /* VERB_SETTLE: so many lines after what is settled, sent with it */
	struct held items[]; /* SEND: only the lines */
};

/* Receipts that were detached: anybody may settle them. */
struct pool {
	struct held items[64];
	uint32_t count;
};

static struct mono_time mono(const struct actor *a)
{
	return (struct mono_time){a->w->boot_ms + a->clock_ms};
}

static struct slice name_of(unsigned i)
{
	return slice_str(names[i]);
}

/* The same of an ephemeral subscription. */
static struct slice queue_of(const struct world *w, unsigned i)
{
	return i < NAMES ? name_of(i) : slice_str(w->sub_names[i - NAMES]);
}

static unsigned sub_name_number(struct world *w, struct slice name)
{
	for (unsigned i = 0; i < w->sub_names_count; i++)
		if (slice_eq(name, slice_str(w->sub_names[i])))
			return NAMES + i;
	size_t size = (w->sub_names_count + 1) * sizeof(*w->sub_names);
	w->sub_names = realloc(w->sub_names, size);
	assert(w->sub_names && name.len < NAME_EPHEMERAL_MAX);
	memcpy(w->sub_names[w->sub_names_count], name.data, name.len);
	w->sub_names[w->sub_names_count][name.len] = 0;
	return NAMES + w->sub_names_count++;
}

unsigned actors_name_number(struct slice name)
{
	for (unsigned i = 0; i < NAMES; i++)
		if (slice_eq(name, name_of(i)))
			return i;
	trace_fail("a queue has a name that nobody gave it");
}

static struct note *note_new(struct actor *a, uint32_t verb, uint32_t count)
{
	struct note *n = calloc(1, sizeof(*n) + count * sizeof(struct held));
	assert(n);
	n->verb = verb;
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

/* ---- what the client core tells ---- */

static void on_sent(
    void *arg, const struct client_command *cmd, uint64_t first_seq, uint32_t count)
{
	struct actor *a = arg;
	struct note *n = cmd->tag;
	trace("sent", a->number, first_seq, count, 0);
	if (count != n->count)
		trace_fail("%u messages were sent, %u are stored", n->count, count);
	for (uint32_t i = 0; i < count; i++) {
		checks_sent(a->w, n->items[i].line, first_seq + i);
		a->w->lines.all[n->items[i].line].sent = true;
	}
	if (count > 0 && !n->topic) {
		a->sent_name = n->items[0].name;
		a->sent_seq = first_seq + count - 1;
	}
	note_free(a, n);
}

static bool is_of(const struct held *h, uint64_t lease, uint64_t first, uint32_t count)
{
	return h->lease == lease && h->seq >= first && h->seq - first < count;
}

static bool is_stale(struct slice stale, const struct held *h)
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
	for (uint32_t i = 0; i < n->count; i++)
		if (n->verb == VERB_SETTLE && !is_stale(stale, &n->items[i]))
			checks_settled(a->w, queue_of(a->w, n->items[i].name), n->items[i].line,
			    n->items[i].seq, n->items[i].lease);
	note_free(a, n);
}

static void on_settle_sent(void *arg, const struct client_command *cmd, uint64_t first_seq,
    uint32_t count, struct slice stale)
{
	struct actor *a = arg;
	struct note *n = cmd->tag;
	trace("settle_sent", a->number, first_seq, count, stale.len);
	if (count != n->sent)
		trace_fail("%u messages were sent, %u are stored", n->sent, count);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t line = n->items[n->count + i].line;
		checks_sent(a->w, line, first_seq + i);
		a->w->lines.all[line].sent = true;
	}
	on_done(arg, cmd, stale);
}

/* What was to be settled is held as before, but for what has ended meanwhile. */
static void keep_held(struct actor *a, const struct note *n)
{
	a->held = realloc(a->held, (a->held_count + n->count) * sizeof(*a->held));
	assert(a->held);
	for (uint32_t i = 0; i < n->count; i++)
		if (!n->items[i].ended)
			a->held[a->held_count++] = n->items[i];
	for (uint32_t i = 0; i < n->sent; i++)
		a->w->lines.all[n->items[n->count + i].line].refused = true;
}

static bool on_split(void *arg, const struct client_command *cmd, uint32_t at, void **tag)
{
	struct actor *a = arg;
	struct note *rest = cmd->tag, *n = note_new(a, 0, at);
	trace("split", a->number, at, rest->count, 0);
	memcpy(n->items, rest->items, at * sizeof(n->items[0]));
	rest->count -= at;
	unsigned name = rest->items[0].name;
	memmove(rest->items, rest->items + at, rest->count * sizeof(n->items[0]));
	rest->items[0].name = name;
	*tag = n;
	return true;
}

static void check_denied(enum rmq_error code, struct slice text)
{
	if (code == RMQ_E_DENIED)
		trace_fail("a client may not do what it may: %.*s", (int)text.len,
		    (const char *)text.data);
}

static enum client_verdict on_failed(void *arg, const struct client_command *cmd,
    enum rmq_error code, uint32_t at, struct slice text)
{
	struct actor *a = arg;
	struct note *n = cmd->tag;
	trace("failed", a->number, cmd->type, code, at);
	check_denied(code, text);
	if (cmd->type == WIRE_TYPE_KV_PUT || cmd->type == WIRE_TYPE_KV_DEL) {
		maps_refused(a->w->maps, &a->map, code == RMQ_E_UNMET);
		return CLIENT_DROP;
	}
	/* A run of an import sends what an earlier one may have stored in a queue that is gone. */
	for (uint32_t i = 0; i < n->count && n->verb == 0 && !a->imports; i++)
		a->w->lines.all[n->items[i].line].refused = true;
	if (cmd->type == WIRE_TYPE_SETTLE_SEND)
		keep_held(a, n);
	note_free(a, n);
	/* What comes after it in the input is not sent without it: the run ends. */
	a->fatal |= a->imports;
	return a->imports ? CLIENT_STOP : CLIENT_DROP;
}

static struct sub *sub_find(struct actor *a, uint32_t id)
{
	for (unsigned i = 0; i < SUBSCRIPTIONS_MAX; i++)
		if (a->subs[i].on && a->subs[i].id == id)
			return &a->subs[i];
	return NULL;
}

static void sub_off(struct actor *a, uint32_t id)
{
	struct sub *s = sub_find(a, id);
	if (s)
		s->on = false;
}

static void on_sub_failed(void *arg, uint32_t sub, enum rmq_error code, struct slice text)
{
	struct actor *a = arg;
	const struct sub *s = sub_find(a, sub);
	trace("sub_failed", a->number, sub, code, 0);
	check_denied(code, text);
	if (s && s->confirmed && code != RMQ_E_NO_QUEUE)
		trace_fail("an ephemeral subscription ends: %s", error_text(code));
	/* As rmq-recv does, which has nothing more to receive. */
	if (s && s->confirmed && !a->leaving) {
		a->leaving = true;
		client_bye(a->client);
	}
	sub_off(arg, sub);
}

/* An ephemeral one goes on in the same queue: what came meanwhile would be missing in another. */
static void on_subscribed(void *arg, uint32_t sub, uint32_t lease_ms)
{
	struct actor *a = arg;
	const struct shadow *sh = &a->w->shadow;
	struct sub *s = sub_find(a, sub);
	size_t i = sh->queues_count;
	(void)lease_ms;
	if (!s || !s->ephemeral)
		return;
	struct slice name = client_queue_of(a->client, sub);
	while (i > 0 &&
	       (!sh->queues[i - 1] || !slice_eq(name, slice_str(sh->queues[i - 1]->name))))
		i--;
	if (i == 0)
		trace_fail("an ephemeral subscription begins that is not on disk");
	if (s->confirmed && s->queue != i - 1)
		trace_fail("%s goes on in another queue", sh->queues[i - 1]->name);
	s->name = sub_name_number(a->w, name);
	s->confirmed = true;
	s->queue = (uint32_t)(i - 1);
}

static void on_unsubscribed(void *arg, uint32_t sub)
{
	sub_off(arg, sub);
}

/* As they were sent with the line, and no others. */
static void check_attributes(
    const struct actor *a, const struct client_delivery *d, uint32_t i, uint32_t line)
{
	static const uint16_t tags[] = {ATTRIBUTE_HEADERS, ATTRIBUTE_DELAY_UNTIL,
	    ATTRIBUTE_REPLY_TOPIC, ATTRIBUTE_EXPIRE_AT, ATTRIBUTE_PRIORITY, ATTRIBUTE_KEY, 51};
	uint8_t bytes[LINE_ATTRIBUTES_MAX];
	const struct line_state *l = &a->w->lines.all[line];
	struct slice list = lines_attributes(l->attributes, &l->lane, bytes);
	for (size_t k = 0; k < sizeof(tags) / sizeof(tags[0]); k++) {
		struct slice was, is;
		bool had = tags_find(list, tags[k], &was);
		bool has = client_attribute(d, tags[k], i, &is);
		if (had != has || (had && !slice_eq(was, is)))
			trace_fail("line %u has lost or got attribute %u", line, tags[k]);
	}
}

static void on_deliver(void *arg, const struct client_delivery *d)
{
	struct actor *a = arg;
	struct sub *s = sub_find(a, d->sub);
	trace("deliver", a->number, d->lease, d->first_seq, d->count);
	if (!s)
		trace_fail("a delivery for no subscription");
	if (prng_chance(&a->w->prng, 500))
		client_started(a->client, queue_of(a->w, s->name), d->lease, d->first_seq,
		    (uint32_t)prng_range(&a->w->prng, 1, d->count));
	a->held = realloc(a->held, (a->held_count + d->count) * sizeof(*a->held));
	assert(a->held);
	for (uint32_t i = 0; i < d->count; i++) {
		struct held h = {.seq = d->first_seq + i, .lease = d->lease, .name = s->name};
		h.line = lines_recognise(&a->w->lines, client_body(d, i));
		if (h.line == UINT32_MAX)
			trace_fail("a receiver is given what nobody sent");
		check_attributes(a, d, i, h.line);
		for (uint32_t k = 0; k < a->held_count; k++)
			if (a->held[k].lease == h.lease && a->held[k].seq == h.seq)
				trace_fail(
				    "a receiver is given a message twice under lease %llu",
				    (unsigned long long)h.lease);
		if (client_vouches(a->client, h.lease, h.seq, mono(a)))
			checks_held(a->w, queue_of(a->w, h.name), h.line, h.seq, h.lease);
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
	(void)again;
	trace("transferred", code, m->moved, m->kept, m->next);
	on_list_end(arg, m->req, false);
}

static void on_watched(void *arg, uint32_t req, enum rmq_error code, uint64_t messages)
{
	struct actor *a = arg;
	trace("watched", a->number, code, messages, a->watch.what);
	if (!a->watch.on || a->watch.req != req)
		trace_fail("a client is told twice what it waits for");
	a->watch.on = false;
}

static void on_history(void *arg, uint32_t req, enum rmq_error code, struct slice place,
    const struct history_waits *waits, struct slice entries)
{
	struct actor *a = arg;
	trace("history", a->number, code, place.len, entries.len);
	trace("  waits", waits->why, waits->seq, waits->lease, waits->until_ms);
	lives_told(&a->life_asked, a->w, place, entries);
	on_list_end(arg, req, false);
}

static void on_peeked(void *arg, const struct client_delivery *d)
{
	struct actor *a = arg;
	for (uint32_t i = 0; i < d->count; i++) {
		uint32_t line = lines_recognise(&a->w->lines, client_body(d, i));
		if (line == UINT32_MAX)
			trace_fail("a peek shows what nobody sent");
		check_attributes(a, d, i, line);
	}
}

static void on_position(void *arg, uint32_t req, uint64_t at, struct input_sent sent)
{
	struct actor *a = arg;
	(void)req;
	trace("position", a->number, at, sent.first, sent.end);
	import_placed(a->w->import, a->w, name_of(0), at, sent);
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
		const struct line_state *l = &a->w->lines.all[n->items[i].line];
		if (l->stored == 0)
			trace_fail("a message is known that was never stored");
		if (e.count == 0)
			e = seq_range_get(&r);
		/* Each message that has an id here is one of a batch in which all have. */
		if (e.first++ != l->copy[0].first_seq)
			trace_fail("a message is known as another one");
		e.count--;
	}
	n->count -= count;
	memmove(n->items + at, n->items + at + count, (n->count - at) * sizeof(*n->items));
}

static void on_kv_done(void *arg, const struct client_command *cmd, uint64_t version)
{
	struct actor *a = arg;
	(void)cmd;
	maps_done(a->w->maps, &a->map, version);
}

static void on_kv_is(void *arg, const struct wire_kv_is *row)
{
	struct actor *a = arg;
	if (row->what == KV_IS_THERE && row->size != row->value.len)
		trace_fail("KV_IS without the whole value");
	if (!a->view.on || row->req != a->view.read.req)
		maps_row(a->w->maps, &a->map, row);
	else if (client_map_row(&a->view.read, row))
		maps_view_row(a->w->maps, &a->view, row);
}

static void on_kv_at(
    void *arg, const struct wire_kv_at *m, enum rmq_error code, uint32_t rows, uint64_t known)
{
	struct actor *a = arg;
	struct map_view *v = &a->view;
	if (v->on && m->req == v->read.req) {
		/* Too many wait. */
		v->on = !code;
		if (code && (code != RMQ_E_LIMIT || !rmq_small_limits))
			trace_fail("the map cannot be watched: %u", m->code);
		if (v->on)
			maps_view_at(a->w->maps, v, m, client_map_at(&v->read, m, rows, known));
		return;
	}
	if (code || m->flags)
		trace_fail("one key cannot be read: %u", m->code);
	a->map.found = rows > 0;
	maps_read(a->w->maps, &a->map, m->newest);
}

static void on_fatal(void *arg, enum rmq_error code, struct slice text)
{
	struct actor *a = arg;
	trace("fatal", a->number, code, 0, 0);
	if (code == RMQ_E_UNKNOWN_SESSION) {
		const struct shadow_session *se = shadow_session(&a->w->shadow, a->session);
		/* Pieces of a large message alone make no session known. */
		if (se && se->owned)
			trace_fail("a session that is on disk is unknown");
	} else if (code != RMQ_E_FULL && code != RMQ_E_PAUSED && code != RMQ_E_DISK_FULL &&
		   code != RMQ_E_TIMEOUT) {
		trace_fail("a client gives up: %s: %.*s", error_text(code), (int)text.len,
		    (const char *)text.data);
	}
	a->fatal = true;
}

/* ---- processes ---- */

static void start(struct actor *a)
{
	struct world *w = a->w;
	struct client_config config = {
	    .servers = w->servers,
	    .window = (uint32_t)prng_range(&w->prng, 1, 16),
	    .timeout_ms = CLIENT_FOREVER,
	    .seed = prng_next(&w->prng),
	    .no_wait = prng_chance(&w->prng, 300) && !w->calm,
	};
	struct client_host host = {
	    .arg = a,
	    .sent = on_sent,
	    .done = on_done,
	    .settle_sent = on_settle_sent,
	    .failed = on_failed,
	    .split = on_split,
	    .subscribed = on_subscribed,
	    .sub_failed = on_sub_failed,
	    .deliver = on_deliver,
	    .lease_ended = on_lease_ended,
	    .unsubscribed = on_unsubscribed,
	    .list_end = on_list_end,
	    .peeked = on_peeked,
	    .peek_end = on_peek_end,
	    .position = on_position,
	    .transferred = on_transferred,
	    .history = on_history,
	    .watched = on_watched,
	    .known = on_known,
	    .kv_done = on_kv_done,
	    .kv_is = on_kv_is,
	    .kv_at = on_kv_at,
	    .fatal = on_fatal,
	};
	a->client = client_new(&config, &host);
	assert(a->client);
	a->clock_ms = prng_range(&w->prng, 1, 1000000);
	a->direct = prng_chance(&w->prng, 500);
	/* Receipts of ephemeral subscriptions have other names. */
	a->granted = prng_chance(&w->rights, w->weather.granted) &&
		     !(a->kind == ACKER && w->weather.ephemeral > 0);
	a->fatal = a->leaving = a->asking = false;
	a->unlimited = 0;
	a->session = a->sent_seq = 0;
	a->watch.on = a->map.on = a->view.on = false;
	a->life = ++w->lives;
	a->paused_until = 0;
	if (!a->imports)
		return;
	if (w->import->sender == 0)
		w->import->sender = a->life;
	w->import->placed = false;
	client_position(a->client, mono(a), name_of(0), slice_str(IMPORT_NAME));
}

static void hang_up(struct actor *a)
{
	if (a->link->session)
		a->session = a->link->session;
	a->link->client_closed = true;
	a->link->up.closed = true;
	a->link = NULL;
}

/* The process ends; another takes its place. */
static void restart(struct actor *a)
{
	trace("restart", a->number, a->kind, a->leaving, a->fatal);
	/* What a run has sent may come after the next one was told where it begins. */
	if (a->link && a->imports && prng_chance(&a->w->own, 500))
		a->link->stalled_until = a->w->boot_ms + prng_range(&a->w->own, 10, 3000);
	if (a->link)
		hang_up(a);
	client_free(a->client);
	while (a->notes)
		note_free(a, a->notes);
	lives_free(&a->life_asked);
	free(a->held);
	a->held = NULL;
	a->held_count = 0;
	for (unsigned i = 0; i < SUBSCRIPTIONS_MAX; i++)
		a->subs[i].on = false;
	start(a);
}

void actors_make(struct world *w)
{
	unsigned senders = (unsigned)prng_range(&w->prng, 1, 4);
	unsigned receivers = (unsigned)prng_range(&w->prng, 1, 4);
	w->actors_count = senders + receivers + 2;
	w->actors = calloc(w->actors_count, sizeof(*w->actors));
	w->receipts = calloc(1, sizeof(*w->receipts));
	w->import = calloc(1, sizeof(*w->import));
	w->maps = w->shadow.maps = maps_new();
	assert(w->actors && w->receipts && w->import);
	w->import->no_ids = prng_chance(&w->own, 600);
	for (unsigned i = 0; i < w->actors_count; i++) {
		struct actor *a = &w->actors[i];
		a->w = w;
		a->number = i;
		a->kind = i == 0 ? ADMIN : i == 1 ? ACKER : i < 2 + senders ? SENDER : RECEIVER;
		a->imports = a->kind == SENDER && i == 4;
		start(a);
	}
}

void actors_free(struct world *w)
{
	for (unsigned i = 0; i < w->actors_count; i++) {
		struct actor *a = &w->actors[i];
		client_free(a->client);
		while (a->notes)
			note_free(a, a->notes);
		lives_free(&a->life_asked);
		free(a->held);
	}
	free(w->actors);
	free(w->receipts);
	import_free(w->import);
	free(w->import);
	maps_free(w->maps);
}

/* ---- its connection ---- */

/* What it needs, and no more. */
static void grant(struct actor *a)
{
	static const uint8_t queues[] = {[SENDER] = RIGHT_SEND,
	    [RECEIVER] = RIGHT_SEND | RIGHT_RECV,
	    [ACKER] = RIGHT_RECV,
	    [ADMIN] = RIGHT_ADMIN},
			     topics[] = {[SENDER] = RIGHT_SEND,
				 [RECEIVER] = RIGHT_RECV,
				 [ACKER] = RIGHT_RECV,
				 [ADMIN] = RIGHT_RECV};
	trespass_not(a->link, queues[a->kind], topics[a->kind]);
}

static void connect_now(struct actor *a)
{
	struct client_target target;
	if (!client_connect(a->client, mono(a), &target))
		return;
	a->link = a->w->dial(a->w, target.server, target.address, a->clock_ms);
	if (!a->link) {
		client_disconnected(a->client, mono(a));
		return;
	}
	a->link->uid = ACTORS_UID + a->number % ACTORS_USERS;
	if (a->granted)
		grant(a);
	trace("connect", a->number, a->link->id, a->link->uid, 0);
	client_connected(a->client, mono(a), 0);
}

static void lose(struct actor *a)
{
	trace("lost", a->number, a->link->id, 0, 0);
	hang_up(a);
	client_disconnected(a->client, mono(a));
}

/* Writes what the core has to write: sometimes only a part of it. */
static void write_out(struct actor *a)
{
	struct slice pieces[CLIENT_PIECES];
	struct prng *p = &a->w->prng;
	while (a->link && !a->link->up.closed && bytes_all(&a->link->up.flight).len < UP_MAX) {
		size_t n = client_output(a->client, mono(a), pieces, CLIENT_PIECES);
		size_t wrote = 0;
		for (size_t i = 0; i < n; i++) {
			size_t len = pieces[i].len;
			/* Between the pieces of a large message others have their turn. */
			bool part = len > 0 && !a->w->calm &&
				    prng_chance(p, len < CHUNK_MAX / 2 ? 50 : 300);
			if (part)
				len = (size_t)prng_below(p, len);
			bytes_push(&a->link->up.flight, slice_of(pieces[i].data, len));
			wrote += len;
			if (part)
				break;
		}
		client_wrote(a->client, wrote);
		if (wrote == 0)
			return;
	}
}

static void read_in(struct actor *a)
{
	struct stream *s = &a->link->down;
	size_t used = 0;
	client_input(a->client, mono(a), bytes_all(&s->arrived), &used);
	bytes_consume(&s->arrived, used);
	if (client_hangs_up(a->client) || a->fatal ||
	    (s->closed && bytes_all(&s->flight).len == 0))
		lose(a);
}

static bool reads(const struct actor *a)
{
	const struct stream *s = &a->link->down;
	return bytes_all(&s->arrived).len > 0 || (s->closed && bytes_all(&s->flight).len == 0);
}

static void pump(struct actor *a)
{
	if (!a->link)
		connect_now(a);
	if (a->link && reads(a))
		read_in(a);
	if (client_due_ms(a->client, mono(a)) == 0)
		client_tick(a->client, mono(a));
	if (a->link && client_hangs_up(a->client))
		lose(a);
	write_out(a);
	bool ended = a->leaving && client_ended(a->client);
	if (ended && !a->fatal && !a->link)
		checks_nothing_kept(a->w, a->session);
	if (a->fatal || ended)
		restart(a);
}

/* ---- senders ---- */

static uint32_t line_new(struct actor *a, uint32_t len, uint32_t queues)
{
	uint32_t line = lines_new(&a->w->lines, len);
	a->w->lines.all[line].sender = a->life;
	a->w->lines.all[line].wanted = queues;
	return line;
}

static struct line_lane random_lane(struct actor *a)
{
	struct prng *p = &a->w->prng;
	struct line_lane lane = {.priority = LINE_NO_PRIORITY};
	if (prng_chance(p, 500))
		lane.priority = (uint8_t)prng_range(p, 0, PRIORITY_MAX);
	if (prng_chance(p, 300))
		lane.until_ms =
		    daemon_wall(&a->w->daemons[0]).ms + prng_range(p, 1, 4000) - 1000;
	if (prng_chance(p, 300))
		lane.expire_ms =
		    daemon_wall(&a->w->daemons[0]).ms + prng_range(p, 1, 8000) - 500;
	if (prng_chance(p, a->w->weather.keyed))
		lane.key = (uint8_t)prng_range(p, 1, LINE_KEYS);
	return lane;
}

/* Sometimes gives new lines attributes: those that they share, and those that each has. */
static void give_attributes(
    struct actor *a, struct sendbuf *b, const uint32_t *lines, uint32_t count)
{
	uint8_t list[LINE_ATTRIBUTES_MAX];
	struct line_lane shared = {.priority = LINE_NO_PRIORITY};
	struct prng *p = &a->w->prng;
	uint32_t which = prng_chance(p, 200) ? (uint32_t)prng_range(p, 1, 1000) : 0;
	bool laned = prng_chance(p, a->w->weather.laned), each = laned && prng_chance(p, 500);
	if (laned && !each)
		shared = random_lane(a);
	for (uint32_t i = 0; i < count; i++) {
		struct line_state *l = &a->w->lines.all[lines[i]];
		l->attributes = which;
		l->lane = each ? random_lane(a) : shared;
	}
	struct slice all = lines_attributes(which, &shared, list);
	if (each)
		all = lines_lanes(&a->w->lines, lines, count, all.len, list);
	bool ok = all.len == 0 || sendbuf_set_attributes(b, all);
	assert(ok);
}

/* To a topic: for no queue that is known yet. */
static struct sendbuf *large_message(struct actor *a, struct note *n, uint32_t queues)
{
	struct lines *l = &a->w->lines;
	uint32_t len = (uint32_t)prng_range(&a->w->prng, BATCH_BODY_MAX + 1, 3 * CHUNK_MAX);
	uint8_t *body = malloc(len);
	struct sendbuf *first = NULL, **end = &first;
	assert(body);
	n->items[0].line = line_new(a, len, queues);
	lines_body(l, n->items[0].line, body);
	for (uint32_t at = 0; at < len; at += (*end)->blob_len, end = &(*end)->next) {
		struct sendbuf *b = *end = sendbuf_new();
		assert(b);
		b->large = true;
		if (at == 0)
			give_attributes(a, b, &n->items[0].line, 1);
		uint32_t most = sendbuf_cap(b) - (queues == 0 ? CHUNK_MAX - TOPIC_DATA_MAX : 0);
		b->blob_len = b->filled = len - at < most ? len - at : most;
		memcpy(sendbuf_blob(b), body + at, b->blob_len);
	}
	free(body);
	return first;
}

/* Each of the lines has its number as its id. */
static void give_ids(struct sendbuf *b, const struct held *items, uint32_t count)
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

/* So many new lines for so many queues, put down in `items`. */
static struct sendbuf *batch(
    struct actor *a, struct held *items, uint32_t count, uint32_t queues, bool ids)
{
	struct lines *l = &a->w->lines;
	struct sendbuf *b = sendbuf_new();
	uint8_t body[512];
	uint32_t lines[BATCH_LINES_MAX];
	assert(b && count <= BATCH_LINES_MAX);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t len = (uint32_t)prng_range(&a->w->prng, LINE_MIN,
		    prng_chance(&a->w->prng, a->w->weather.long_lines) ? 500 : 40);
		items[i].line = lines[i] = line_new(a, len, queues);
	}
	give_attributes(a, b, lines, count);
	if (ids && b->attributes.len == 0)
		give_ids(b, items, count);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t len = l->all[lines[i]].len;
		lines_body(l, lines[i], body);
		if (!sendbuf_append(b, slice_of(body, len), '\n'))
			trace_fail("a line does not fit into a batch");
	}
	return b;
}

static struct sendbuf *import_batch(struct actor *a, const struct note *n)
{
	struct sendbuf *b = sendbuf_new();
	uint8_t body[512];
	assert(b);
	if (!a->w->import->no_ids)
		give_ids(b, n->items, n->count);
	for (uint32_t i = 0; i < n->count; i++) {
		const struct line_state *l = &a->w->lines.all[n->items[i].line];
		lines_body(&a->w->lines, n->items[i].line, body);
		if (!sendbuf_append(b, slice_of(body, l->len), '\n'))
			trace_fail("a line does not fit into a batch");
	}
	return b;
}

/* Sends what is stored once more, without a word of where it is in the input: its ids are known. */
static void import_again(struct actor *a)
{
	struct note *n = note_new(a, 0, IMPORT_AGAIN);
	n->count = import_stored(a->w->import, a->w, name_of(0), &n->items[0].line,
	    sizeof(n->items[0]), IMPORT_AGAIN);
	trace("import again", a->number, n->count, 0, 0);
	if (n->count > 0)
		client_send(a->client, mono(a), name_of(0), 0, import_batch(a, n), n);
	else
		note_free(a, n);
}

static uint32_t import_line(struct actor *a)
{
	return line_new(a, (uint32_t)prng_range(&a->w->prng, LINE_MIN, 40), 1);
}

/* Sends the next records: again, those that the run before may have sent. */
static void import_step(struct actor *a)
{
	struct world *w = a->w;
	struct import *im = w->import;
	uint32_t count = (uint32_t)prng_range(&w->prng, 1, 10), n = 0;
	bool over = w->lines.count >= w->lines_goal;
	if (w->draining || !im->placed || !client_has_room(a->client) ||
	    (over && !import_has_more(im)))
		return;
	if (prng_chance(&w->prng, 100)) {
		if (!im->no_ids)
			import_again(a);
		return;
	}
	struct client_place place = {slice_str(IMPORT_NAME), im->next, im->next};
	struct note *note = note_new(a, 0, count);
	while (n < count && (import_has_more(im) || !over)) {
		uint32_t line = import_has_more(im)	   ? IMPORT_GONE
				: prng_chance(&w->own, 20) ? IMPORT_BAD
							   : import_line(a);
		line = import_next(im, line);
		/* Bad for the input, or refused by the daemon. */
		if (line == IMPORT_BAD) {
			place.before += n == 0;
			continue;
		}
		struct line_state *l = &w->lines.all[line];
		note->items[n++].line = line;
		l->refused = false;
		l->sender = im->sender;
		l->lane.priority = LINE_NO_PRIORITY;
	}
	if (n == 0) {
		note_free(a, note);
		return;
	}
	note->count = n;
	place.after = im->next;
	trace("import", a->number, place.before, place.after, 0);
	client_send_placed(
	    a->client, mono(a), name_of(0), &place, 0, import_batch(a, note), note);
	/* The run is killed, and another one begins at once. */
	a->fatal |= !w->calm && prng_chance(&w->prng, 30);
	a->fatal |= !w->calm && im->no_ids && prng_chance(&w->own, 70);
}

static void send_to_topic(struct actor *a)
{
	struct prng *p = &a->w->prng;
	bool large = prng_chance(&a->w->later, a->w->weather.large_topics);
	uint32_t count = large ? 1 : (uint32_t)prng_range(p, 1, 40);
	struct note *n = note_new(a, 0, count);
	unsigned topic = (unsigned)prng_below(p, LINE_TOPICS);
	struct sendbuf *buf =
	    large ? large_message(a, n, 0) : batch(a, n->items, count, 0, false);
	n->topic = (uint8_t)(topic + 1);
	n->several = large ? LIVE_NAMES : 0;
	for (uint32_t i = 0; i < count; i++)
		a->w->lines.all[n->items[i].line].topic = (uint8_t)(topic + 1);
	trace("topic", a->number, topic, n->items[0].line, count);
	client_send(a->client, mono(a), slice_str(line_topics[topic]), SEND_TOPIC, buf, n);
	if (a->link && large)
		a->link->trickles = true;
}

static void sender_step(struct actor *a)
{
	struct world *w = a->w;
	struct prng *p = &w->prng;
	if (a->imports) {
		import_step(a);
		return;
	}
	if (w->draining || w->lines.count >= w->lines_goal || !client_has_room(a->client))
		return;
	if (w->weather.topics > 0 && prng_chance(p, w->weather.topics)) {
		send_to_topic(a);
		return;
	}
	bool large = prng_chance(p, w->weather.large);
	uint32_t count = large || prng_chance(p, 400) ? 1 : (uint32_t)prng_range(p, 1, 40);
	struct note *n = note_new(a, 0, count);
	unsigned name = (unsigned)prng_below(p, LIVE_NAMES);
	struct slice queues[SEVERAL_MAX];
	bool several = prng_chance(p, large ? 500 : w->weather.shared);
	uint32_t shares = several ? (uint32_t)prng_range(p, 2, SEVERAL_MAX) : 1;
	for (uint32_t i = 0; i < shares; i++)
		queues[i] = name_of((name + i) % LIVE_NAMES);
	/* What the queue of the inputs knows must not make room for these. */
	bool ids = shares == 1 && name > 0 && w->weather.ids > 0 &&
		   prng_chance(&w->ids, w->weather.ids);
	struct sendbuf *buf =
	    large ? large_message(a, n, shares) : batch(a, n->items, count, shares, ids);
	n->several = large && several ? shares : 0;
	n->items[0].name = (uint8_t)name;
	uint8_t flags = prng_chance(p, 50) ? SEND_NO_CREATE : 0;
	if (prng_chance(p, w->weather.keyed / 2)) {
		flags |= SEND_REPLACE;
		for (uint32_t i = 0; i < count; i++)
			w->lines.all[n->items[i].line].replaces = true;
	}
	trace("send", a->number, name, n->items[0].line, count);
	client_send_all(a->client, mono(a), queues, shares, flags, buf, n);
	if (a->link && n->several > 0)
		a->link->trickles = true;
}

/* ---- receivers ---- */

static void subscribe(struct actor *a, unsigned name, uint8_t flags)
{
	struct prng *p = &a->w->prng;
	for (unsigned i = 0; i < SUBSCRIPTIONS_MAX; i++) {
		struct sub *s = &a->subs[i];
		if (s->on)
			continue;
		uint32_t lease_ms =
		    prng_chance(p, 500) ? 0 : (uint32_t)prng_range(p, 100, 2000);
		*s = (struct sub){.name = name, .on = true};
		if (prng_chance(p, 500))
			flags |= SUBSCRIBE_STARTS;
		if (prng_chance(p, 500))
			flags |= SUBSCRIBE_IDLE;
		s->id = client_subscribe(a->client, mono(a), name_of(name), flags, lease_ms);
		trace("subscribe", a->number, name, s->id, lease_ms);
		return;
	}
}

/* What comes to a pattern from now on, in a queue of its own. */
static void subscribe_to_pattern(struct actor *a)
{
	struct prng *p = &a->w->later;
	const char *pattern = line_patterns[prng_below(p, LINE_PATTERNS)];
	uint8_t flags =
	    (uint8_t)(SUBSCRIBE_EPHEMERAL | (prng_chance(p, 500) ? SUBSCRIBE_STARTS : 0) |
		      (prng_chance(p, 500) ? SUBSCRIBE_IDLE : 0));
	unsigned i = 0;
	while (i < SUBSCRIPTIONS_MAX && a->subs[i].on)
		i++;
	if (i == SUBSCRIPTIONS_MAX)
		return;
	a->subs[i] = (struct sub){.on = true, .ephemeral = true};
	a->subs[i].id = client_subscribe(a->client, mono(a), slice_str(pattern), flags, 0);
	trace("subscribe to", a->number, a->subs[i].id, flags, 0);
}

static void give_credit(struct actor *a, struct sub *s)
{
	struct prng *p = &a->w->prng;
	uint32_t messages = prng_chance(p, 300) ? 1 : (uint32_t)prng_range(p, 1, 300);
	uint32_t bytes = prng_chance(p, 300) ? 1 : (uint32_t)prng_range(p, 1, 100000);
	if (client_credit_messages(a->client, s->id) > 0 &&
	    client_credit_bytes(a->client, s->id) > 0)
		return;
	trace("credit", a->number, s->id, messages, bytes);
	client_credit(a->client, s->id, messages, bytes);
}

/* Takes up to note->count messages of one queue out of a list, from `at` on. */
static void take_out(struct note *note, struct settle_entry *entries, struct held *list,
    uint32_t *count, uint32_t at)
{
	uint32_t n = 0;
	unsigned name = list[at].name;
	for (uint32_t i = at; i < *count && n < note->count; i++) {
		if (list[i].name != name)
			continue;
		note->items[n] = list[i];
		entries[n++] = (struct settle_entry){list[i].lease, list[i].seq, 1};
	}
	note->count = n;
	uint32_t kept = 0;
	for (uint32_t i = 0, k = 0; i < *count; i++) {
		if (k < n && list[i].lease == note->items[k].lease &&
		    list[i].seq == note->items[k].seq && list[i].name == name)
			k++;
		else
			list[kept++] = list[i];
	}
	*count = kept;
}

#define TAKEN_MAX 64

/* Takes messages out of a list and settles them in one command. */
static void settle(struct actor *a, struct held *list, uint32_t *count, uint32_t at,
    uint32_t want, const struct client_settlement *how)
{
	struct settle_entry entries[TAKEN_MAX];
	struct client_settlement s = *how;
	struct note *note = note_new(a, s.verb, want < TAKEN_MAX ? want : TAKEN_MAX);
	s.queue = queue_of(a->w, list[at].name);
	s.tag = note;
	take_out(note, entries, list, count, at);
	trace("settle", a->number, s.verb, entries[0].first, note->count);
	client_settle(a->client, mono(a), &s, entries, note->count);
}

/* Settles messages that it holds, and sends what came of them in the same command. */
static void settle_and_send(struct actor *a, uint32_t at, uint32_t want)
{
	struct prng *p = &a->w->prng;
	struct settle_entry entries[TAKEN_MAX];
	uint32_t lines = (uint32_t)prng_range(p, 1, 20);
	unsigned from = a->held[at].name, to = (unsigned)prng_below(p, LIVE_NAMES);
	uint8_t flags = prng_chance(p, 50) ? SEND_NO_CREATE : 0;
	struct note *note = note_new(a, VERB_SETTLE, TAKEN_MAX + lines);
	note->count = want < TAKEN_MAX ? want : TAKEN_MAX;
	take_out(note, entries, a->held, &a->held_count, at);
	note->sent = lines;
	struct sendbuf *buf = batch(a, note->items + note->count, lines, 1, false);
	for (uint32_t i = 0; i < lines; i++)
		a->w->lines.all[note->items[note->count + i].line].settles = true;
	sendbuf_seal(buf, 0, 0, name_of(to), NO_TAGS);
	trace("settle_send", a->number, to, entries[0].first, note->count);
	client_settle_send(a->client, mono(a), queue_of(a->w, from), entries, note->count,
	    name_of(to), flags, sendbuf_batch(buf), note);
	sendbuf_free(buf);
}

static struct client_settlement random_settlement(struct world *w)
{
	struct prng *p = &w->prng;
	struct client_settlement s = {.verb = VERB_SETTLE};
	if (w->calm || prng_chance(p, 600))
		return s;
	switch (prng_below(p, 5)) {
	case 0:
		s.verb = VERB_DEAD;
		s.why = slice_str("not wanted");
		break;
	case 1:
		s.verb = VERB_RELEASE;
		s.flags = SETTLE_COUNTED;
		break;
	case 2:
		s.verb = VERB_RELEASE;
		break;
	case 3:
		s.verb = VERB_RELEASE;
		s.flags = prng_chance(p, 500) ? SETTLE_COUNTED : 0;
		s.ms = prng_range(p, 1, 2000);
		break;
	}
	return s;
}

/* Lengthens or shortens a lease; or detaches it and passes the receipt on. */
static void touch(struct actor *a, uint32_t at)
{
	struct prng *p = &a->w->prng;
	struct client_settlement s = {.verb = VERB_TOUCH, .ms = prng_range(p, 100, 3000)};
	struct pool *pool = a->w->receipts;
	struct held one = a->held[at];
	uint32_t count = 1;
	if (prng_chance(p, 500) && pool->count < 64) {
		s.flags = SETTLE_DETACH;
		pool->items[pool->count++] = one;
		a->held[at] = a->held[--a->held_count];
	}
	settle(a, &one, &count, 0, 1, &s);
	if (s.flags & SETTLE_DETACH)
		client_forget(a->client, one.lease, one.seq, 1);
}

static void work(struct actor *a)
{
	struct prng *p = &a->w->prng;
	uint32_t at = (uint32_t)prng_below(p, a->held_count);
	struct held *h = &a->held[at];
	/* One command at a time for each message would take longer than the calm. */
	if (a->w->calm && client_unanswered(a->client) > 4)
		return;
	if (!client_vouches(a->client, h->lease, h->seq, mono(a))) {
		trace("unsure", a->number, h->lease, h->seq, 0);
		if (prng_chance(p, 300)) {
			client_forget(a->client, h->lease, h->seq, 1);
			*h = a->held[--a->held_count];
		}
		return;
	}
	checks_held(a->w, queue_of(a->w, h->name), h->line, h->seq, h->lease);
	if (!a->w->calm && prng_chance(p, 100)) {
		touch(a, at);
		return;
	}
	bool single = a->w->draining || prng_chance(p, 300);
	uint32_t want = single ? 1 : (uint32_t)prng_range(p, 1, 64);
	if (!a->w->calm && client_has_room(a->client) && a->w->lines.count < a->w->lines_goal &&
	    prng_chance(p, 150)) {
		settle_and_send(a, at, want);
		return;
	}
	struct client_settlement s = random_settlement(a->w);
	settle(a, a->held, &a->held_count, at, want, &s);
}

/* In the calm: whatever still holds messages is drained. */
static void subscribe_all(struct actor *a)
{
	for (unsigned n = 0; n < NAMES; n++) {
		const struct shadow_queue *q = shadow_queue(&a->w->shadow, name_of(n));
		bool on = false;
		for (unsigned i = 0; i < SUBSCRIPTIONS_MAX; i++)
			on |= a->subs[i].on && !a->subs[i].ephemeral && a->subs[i].name == n;
		if (q && q->live > 0 && !on)
			subscribe(a, n, SUBSCRIBE_NO_CREATE);
	}
}

static void receiver_step(struct actor *a)
{
	struct prng *p = &a->w->prng;
	if (a->leaving)
		return;
	if (a->w->calm)
		subscribe_all(a);
	struct sub *s = &a->subs[prng_below(p, a->w->calm ? SUBSCRIPTIONS_MAX : 3)];
	if (!s->on && !a->w->calm && prng_chance(&a->w->later, a->w->weather.ephemeral))
		subscribe_to_pattern(a);
	else if (!s->on && !a->w->calm && prng_chance(p, 500))
		subscribe(
		    a, (unsigned)prng_below(p, prng_chance(p, 700) ? LIVE_NAMES : NAMES), 0);
	else if (s->on && !s->ephemeral && !a->w->calm && prng_chance(p, 20))
		client_unsubscribe(a->client, s->id);
	else if (s->on && a->held_count < HELD_MAX)
		give_credit(a, s);
	if (a->held_count > 0 && (a->w->calm || prng_chance(p, 400)))
		work(a);
	if (!a->w->calm && prng_chance(p, 3)) {
		a->leaving = true;
		client_bye(a->client);
	}
}

/* ---- ackers ---- */

static void acker_step(struct actor *a)
{
	struct pool *pool = a->w->receipts;
	struct prng *p = &a->w->prng;
	if (pool->count == 0 || client_unanswered(a->client) > 4)
		return;
	struct client_settlement s = random_settlement(a->w);
	uint32_t at = (uint32_t)prng_below(p, pool->count);
	/* The same receipt is sometimes settled again, later: then it is stale or done. */
	struct held again = pool->items[at];
	settle(a, pool->items, &pool->count, at, (uint32_t)prng_range(p, 1, 8), &s);
	if (!a->w->calm && prng_chance(p, 300) && pool->count < 64)
		pool->items[pool->count++] = again;
}

/* ---- the administrator ---- */

/* Any queue, itself too, which is refused; none; or its own. */
static struct slice dead_letter(struct prng *p)
{
	uint64_t i = prng_below(p, NAMES + 2);
	return i < NAMES ? name_of((unsigned)i) : slice_str(i == NAMES ? "-" : "");
}

/* Some queues have limits, and some are paused for a while. */
static void limits(struct actor *a, struct client_settings *s)
{
	struct prng *p = &a->w->prng;
	s->more = more_settings_default();
	if (prng_chance(p, 200)) {
		s->mask |= SETTING_MAX_INFLIGHT;
		s->more.max_inflight = prng_chance(p, 300) ? 0 : prng_range(p, 1, 20);
	}
	if (prng_chance(p, 200)) {
		s->mask |= SETTING_RATE;
		s->more.rate = prng_chance(p, 300) ? 0
						   : rate_of((uint32_t)prng_range(p, 1, 400),
							 (uint32_t)prng_range(p, 100, 3000));
	}
	if (prng_chance(p, 150)) {
		s->mask |= SETTING_PAUSED_IN | SETTING_PAUSED_OUT;
		s->more.paused_in = prng_chance(p, 300);
		s->more.paused_out = prng_chance(p, 300);
	}
	if (a->w->weather.by_key > 0 && prng_chance(&a->w->own, a->w->weather.by_key)) {
		s->mask |= SETTING_DISPATCH;
		s->more.dispatch = prng_chance(&a->w->own, 800)
				       ? DISPATCH_KEY
				       : prng_below(&a->w->own, DISPATCHES);
	}
}

static void settings(struct actor *a, struct client_settings *s)
{
	struct prng *p = &a->w->prng;
	*s = (struct client_settings){
	    .mask = SETTING_LEASE | SETTING_MAX_ATTEMPTS | SETTING_BACKOFF | SETTING_MAX_BYTES,
	    .lease_ms = (uint32_t)prng_range(p, LEASE_MS_MIN, 3000),
	    .max_attempts = (uint32_t)prng_range(p, 1, 6),
	    .backoff_min_ms = prng_range(p, 0, 200),
	    .backoff_max_ms = prng_range(p, 200, 2000),
	    .max_bytes = prng_chance(p, 800) ? 0 : prng_range(p, 5000, 300000),
	    .dead_letter = dead_letter(p),
	};
	if (prng_chance(p, 300))
		s->mask |= SETTING_DEAD_LETTER;
	limits(a, s);
}

/* In the calm: a batch that is longer than its queue's limit must not wait for ever. */
static void unlimit(struct actor *a)
{
	struct client_settings s = {.mask = SETTING_MAX_BYTES | SETTING_MAX_INFLIGHT |
					    SETTING_RATE | SETTING_PAUSED_IN |
					    SETTING_PAUSED_OUT};
	for (; a->unlimited < NAMES; a->unlimited++) {
		/* Nor what waits for ids to be forgotten. */
		if (a->w->weather.ids > 0 && a->unlimited > 0)
			s.mask |= SETTING_DEDUP;
		client_queue(a->client, mono(a), WIRE_TYPE_QUEUE_SET, name_of(a->unlimited), 0,
		    &s, note_new(a, 99, 0));
	}
}

/* Whether the queue is one to which an input is sent: what it knows of it must not be forgotten. */
static bool is_kept(const struct world *w, unsigned name)
{
	return w->import->sender > 0 && name == 0;
}

/* The queue is bound, or is not bound any more, to this pattern. */
static void bind(struct actor *a, unsigned name, bool binds, unsigned pattern)
{
	client_bind(a->client, mono(a), binds ? WIRE_TYPE_BIND : WIRE_TYPE_UNBIND,
	    name_of(name), slice_str(line_patterns[pattern]),
	    binds && prng_chance(&a->w->prng, a->w->weather.large_topics ? 800 : 500)
		? BIND_CREATE
		: 0,
	    note_new(a, 99, 0));
}

/* Where large messages are sent to topics, most queues are bound to some pattern. */
static bool wants_binding(struct world *w, unsigned name)
{
	const struct shadow_queue *q = shadow_queue(&w->shadow, name_of(name));
	return w->weather.large_topics > 0 && (!q || !q->bound) && prng_chance(&w->later, 300);
}

/* Patterns by which the topic leads to the queue. */
static uint8_t leads(const struct world *w, unsigned name, uint8_t topic)
{
	const struct shadow_queue *q = shadow_queue(&w->shadow, name_of(name));
	return (q ? q->bound : 0) & line_matches[topic - 1];
}

/* One of them does so no more. */
static void unbind(struct actor *a, unsigned name, uint8_t topic)
{
	unsigned pattern = (unsigned)prng_below(&a->w->later, LINE_PATTERNS);
	while (!(leads(a->w, name, topic) >> pattern & 1))
		pattern = (pattern + 1) % LINE_PATTERNS;
	bind(a, name, false, pattern);
}

/* A message to a topic once its first piece has come, which says for which queues it is. */
static bool may_disturb(struct world *w, const struct note *n, const struct link *l)
{
	if (!n->topic)
		return prng_chance(&w->prng, 300) || prng_chance(&w->own, 500);
	return l && l->unfinished;
}

/*
 * Purges, removes or (of a topic) unbinds one of several queues that a large message is on its way to, if
 * there is one; of a topic also while another command is unanswered.
 */
static bool disturb(struct actor *a, bool busy)
{
	struct world *w = a->w;
	struct prng *p = &w->prng;
	for (unsigned i = 0; i < w->actors_count; i++) {
		const struct note *n = w->actors[i].notes;
		struct link *l = w->actors[i].link;
		while (n && n->several == 0)
			n = n->next;
		if (!n || (!n->topic && busy) || !may_disturb(w, n, l))
			continue;
		/* Perhaps while some of its pieces have not come yet. */
		if (l && !n->topic && prng_chance(&w->own, 500))
			l->stalled_until = w->boot_ms + prng_range(&w->own, 10, 1000);
		unsigned name =
		    (n->items[0].name + (unsigned)prng_below(p, n->several)) % LIVE_NAMES;
		if (n->topic && !leads(w, name, n->topic))
			continue;
		bool purge = prng_chance(p, 800) || is_kept(w, name);
		trace("disturb", a->number, name, purge, n->topic);
		if (n->topic && prng_chance(&w->later, 700)) {
			unbind(a, name, n->topic);
			return true;
		}
		client_queue(a->client, mono(a),
		    purge ? WIRE_TYPE_QUEUE_PURGE : WIRE_TYPE_QUEUE_REMOVE, name_of(name), 0,
		    NULL, note_new(a, 99, 0));
		return true;
	}
	return false;
}

/* Some that may be there, and that may be leased. */
static void cancel(struct actor *a, unsigned name)
{
	struct prng *p = &a->w->prng;
	const struct shadow_queue *q = shadow_queue(&a->w->shadow, name_of(name));
	uint64_t messages[8], seq = prng_range(p, 1, 1 + (q ? q->next_seq : 0));
	uint32_t count = (uint32_t)prng_range(p, 1, 8);
	for (uint32_t i = 0; i < count; i++, seq += prng_range(p, 1, 3))
		messages[i] = seq;
	trace("cancel", a->number, name, messages[0], count);
	client_cancel(a->client, mono(a), name_of(name), messages, count, note_new(a, 99, 0));
}

/* Moves messages from one queue to another, or what is dead in it back to where it came from. */
static void transfer(struct actor *a, unsigned name)
{
	struct prng *p = &a->w->prng;
	struct seq_range ranges[3];
	uint32_t count = (uint32_t)prng_range(p, 1, 3);
	uint64_t at = prng_chance(p, 500) ? 1 : prng_below(p, 50);
	uint8_t flags = prng_chance(p, 600) ? TRANSFER_HOME : 0;
	bool any = flags && prng_chance(p, 700);
	for (uint32_t i = 0; i < count; i++) {
		ranges[i] = (struct seq_range){at, (uint32_t)prng_range(p, 1, 300)};
		at += ranges[i].count + prng_below(p, 4);
	}
	a->asking = true;
	client_transfer(a->client, mono(a), name_of(name),
	    any ? slice_str("") : name_of((unsigned)prng_below(p, NAMES)), flags,
	    (uint32_t)prng_range(p, 1, 3), ranges, count);
}

/* Asks what happened to a message, or for what happened then. */
static void ask_life(struct actor *a)
{
	struct life *l = &a->life_asked;
	a->asking = true;
	client_history(a->client, mono(a), slice_of(l->name, l->name_len), l->seq,
	    slice_of(l->place, l->place_len));
}

/* Looks at messages, or asks what happened to the first one. */
static void look(struct actor *a, unsigned name)
{
	struct prng *p = &a->w->prng;
	uint8_t states = (uint8_t)prng_range(p, 1, 7);
	uint64_t from = prng_below(p, 50);
	uint32_t limit = (uint32_t)prng_range(p, 1, 30);
	a->asking = true;
	if (limit % 3 == 0) {
		client_peek(a->client, mono(a), name_of(name), states, from, limit);
		return;
	}
	lives_ask(&a->life_asked, a->w, name_of(name), from + 1);
	ask_life(a);
}

static void admin_step(struct actor *a)
{
	struct prng *p = &a->w->prng;
	unsigned name = (unsigned)prng_below(p, prng_chance(p, 800) ? LIVE_NAMES : NAMES);
	struct client_settings s;
	if (a->w->calm) {
		unlimit(a);
		/* And again, as a queue may be made anew, where somebody waits for its ids. */
		if (a->w->weather.ids > 0 && client_unanswered(a->client) == 0 &&
		    prng_chance(p, 3))
			a->unlimited = 0;
		return;
	}
	if (!a->asking && a->life_asked.asked)
		ask_life(a);
	bool busy = a->asking || client_unanswered(a->client) > 0;
	if (disturb(a, busy) || busy)
		return;
	if (wants_binding(a->w, name)) {
		bind(a, name, true, (unsigned)prng_below(&a->w->later, LINE_PATTERNS));
		return;
	}
	if (!prng_chance(p, 200))
		return;
	trace("admin", a->number, name, 0, 0);
	if (a->w->weather.topics > 0 && prng_chance(p, 500)) {
		bind(a, name, prng_chance(p, 600), (unsigned)prng_below(p, LINE_PATTERNS));
		return;
	}
	settings(a, &s);
	if (a->w->weather.ids > 0 && name > 0) {
		s.mask |= SETTING_DEDUP;
		s.more.dedup_ms = prng_range(&a->w->ids, 0, 8) * 1000;
	}
	if (prng_chance(p, a->w->weather.admin)) {
		bool purge = prng_chance(p, 500) || is_kept(a->w, name);
		client_queue(a->client, mono(a),
		    purge ? WIRE_TYPE_QUEUE_PURGE : WIRE_TYPE_QUEUE_REMOVE, name_of(name),
		    !purge && prng_chance(p, 500) ? REMOVE_FORCE : 0, NULL, note_new(a, 99, 0));
	} else if (prng_chance(p, 300)) {
		cancel(a, name);
	} else if (prng_chance(p, 300)) {
		transfer(a, (unsigned)prng_below(p, NAMES));
	} else if (prng_chance(p, 300)) {
		a->asking = true;
		client_list(a->client, mono(a), slice_str(""), slice_str("*"), 10);
	} else if (prng_chance(p, 400)) {
		look(a, name);
	} else {
		client_queue(a->client, mono(a),
		    prng_chance(p, 500) ? WIRE_TYPE_QUEUE_CREATE : WIRE_TYPE_QUEUE_SET,
		    name_of(name), 0, &s, note_new(a, 99, 0));
	}
}

/* ---- who waits for a queue ---- */

/* As rmq-send --wait and rmq-queue wait do; one of them at a time. */
static void watch_step(struct actor *a)
{
	struct world *w = a->w;
	struct prng *p = &w->later;
	bool gone = a->kind == SENDER && !a->imports && a->sent_seq > 0 && prng_chance(p, 700);
	unsigned name = gone ? a->sent_name : (unsigned)prng_below(p, LIVE_NAMES);
	struct watch *it = &a->watch;
	if (w->calm || it->on || a->kind == RECEIVER || !prng_chance(p, w->weather.watched))
		return;
	*it = (struct watch){.on = true, .name_len = (uint8_t)name_of(name).len};
	memcpy(it->name, names[name], it->name_len);
	it->what = gone ? WATCH_GONE : prng_chance(p, 800) ? WATCH_BELOW : WATCH_ABOVE;
	it->messages = gone ? a->sent_seq : prng_range(p, 1, 20);
	it->req = client_watch(a->client, mono(a), name_of(name), it->what, it->messages);
	trace("watch", a->number, it->what, name, it->messages);
}

/* ---- the map ---- */

/* As rmq-cluster kv watch does. */
static void view_step(struct actor *a)
{
	struct world *w = a->w;
	struct prng *p = &w->maps_prng;
	struct map_view *v = &a->view;
	char key[8] = "k";
	if (!v->on) {
		unsigned one = (unsigned)prng_below(p, 2 * MAPS_KEYS);
		uint64_t since =
		    prng_chance(p, 300)
			? maps_some_version(w->maps, one % MAPS_KEYS, prng_next(p) & ~3ull)
			: 0;
		maps_view_begin(v, one < MAPS_KEYS ? one : MAPS_KEYS, since);
	}
	if (v->key < MAPS_KEYS)
		snprintf(key, sizeof(key), "k%u", v->key);
	client_map_ask(&v->read, a->client, mono(a), slice_str(key));
	v->asking = true;
	trace("map view", a->number, v->key, v->read.since, v->read.known);
}

static void map_step(struct actor *a)
{
	struct world *w = a->w;
	struct prng *p = &w->maps_prng;
	struct map_op *op = &a->map;
	char key[8], text[256];
	bool goes_on = a->view.on && !a->view.asking;
	if (goes_on && (w->calm || prng_chance(p, 300)))
		view_step(a);
	if (w->calm || op->on || a->kind == RECEIVER || a->imports || a->granted ||
	    !prng_chance(p, w->weather.maps))
		return;
	if (!a->view.on && prng_chance(p, w->weather.views)) {
		view_step(a);
		return;
	}
	*op = (struct map_op){.key = (unsigned)prng_below(p, MAPS_KEYS)};
	snprintf(key, sizeof(key), "k%u", op->key);
	op->verb = prng_chance(p, 450) ? MAP_READ : prng_chance(p, 750) ? MAP_PUT : MAP_DELETE;
	op->has_condition = op->verb != MAP_READ && prng_chance(p, 600);
	op->condition =
	    prng_chance(p, 200) ? 0 : maps_some_version(w->maps, op->key, prng_next(p));
	maps_ask(w->maps, op);
	trace("map", a->number, op->verb, op->key, op->condition);
	if (op->verb == MAP_READ) {
		client_kv_read(a->client, mono(a), slice_str(key), KV_VALUES, 0, 0);
		return;
	}
	struct slice value = slice_of(NULL, 0);
	if (op->verb == MAP_PUT) {
		op->value = maps_value(w->maps);
		value = slice_of(text, maps_text(op->value, text));
	}
	client_kv_change(a->client, mono(a), slice_str(key), value,
	    op->has_condition ? &op->condition : NULL, NULL);
}

/* ---- all of them ---- */

static void step(struct actor *a)
{
	if (a->paused_until > a->w->boot_ms)
		return;
	if (!a->leaving && !a->fatal) {
		watch_step(a);
		map_step(a);
		switch (a->kind) {
		case SENDER:
			sender_step(a);
			break;
		case RECEIVER:
			receiver_step(a);
			break;
		case ACKER:
			acker_step(a);
			break;
		case ADMIN:
			admin_step(a);
			break;
		}
	}
	pump(a);
}

void actors_step(struct world *w)
{
	step(&w->actors[prng_below(&w->prng, w->actors_count)]);
}

void actors_die(struct world *w)
{
	struct actor *a = &w->actors[prng_below(&w->prng, w->actors_count)];
	if (a->link && a->direct && prng_chance(&w->prng, 500))
		a->link->died_session = a->link->session;
	restart(a);
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

/* Whether there are records that the run which sends them now has not sent, or may not have. */
static bool import_is_left(const struct world *w)
{
	return w->import->sender > 0 && (!w->import->placed || import_has_more(w->import));
}

bool actors_done(const struct world *w)
{
	if (w->lines.count < w->lines_goal || import_is_left(w))
		return false;
	for (unsigned i = 0; i < w->actors_count; i++)
		if (client_unanswered(w->actors[i].client) > 0 ||
		    (w->actors[i].watch.on && watches_met(w, &w->actors[i].watch)) ||
		    !maps_view_done(w->maps, &w->actors[i].view))
			return false;
	return true;
}

bool actors_ready(const struct world *w)
{
	if (w->lines.count < w->lines_goal || w->receipts->count > 0 || import_is_left(w))
		return true;
	for (unsigned i = 0; i < w->actors_count; i++) {
		const struct actor *a = &w->actors[i];
		/* The rest of a frame that is cut does not come over what is wedged. */
		bool due = a->link && !a->link->wedged && reads(a);
		if (a->held_count > 0 || due || client_due_ms(a->client, mono(a)) == 0)
			return true;
	}
	return false;
}

void actors_report(const struct world *w)
{
	for (unsigned i = 0; i < w->actors_count; i++) {
		const struct actor *a = &w->actors[i];
		trace("actor", i, a->held_count, client_unanswered(a->client),
		    client_due_ms(a->client, mono(a)));
		trace("  kind, room, link", a->kind, client_has_room(a->client),
		    a->link != NULL, a->leaving);
		for (unsigned k = 0; k < SUBSCRIPTIONS_MAX; k++)
			if (a->subs[k].on)
				trace("sub", a->subs[k].id, a->subs[k].name,
				    (uint64_t)client_credit_messages(a->client, a->subs[k].id),
				    (uint64_t)client_credit_bytes(a->client, a->subs[k].id));
	}
	for (size_t i = 0; i < w->shadow.queues_count; i++) {
		struct shadow_queue *q = w->shadow.queues[i];
		for (uint64_t seq = q ? q->low : 0; q && seq < q->next_seq; seq++) {
			const struct shadow_message *m = shadow_message(q, seq);
			if (shadow_live(m))
				trace("left", q->id, seq, m->state, m->lease);
		}
	}
	trace("receipts", w->receipts->count, w->lines.count, w->lines_goal, 0);
}

uint64_t actors_due(const struct world *w)
{
	uint64_t due = UINT64_MAX;
	for (unsigned i = 0; i < w->actors_count; i++) {
		uint64_t ms = client_due_ms(w->actors[i].client, mono(&w->actors[i]));
		if (ms != CLIENT_FOREVER && w->boot_ms + ms < due)
			due = w->boot_ms + ms;
	}
	return due;
}

bool actors_trusted(void *world, const struct shadow_queue *q, uint64_t seq, uint64_t lease)
{
	const struct world *w = world;
	(void)q;
	for (unsigned i = 0; i < w->actors_count; i++)
		if (client_vouches(w->actors[i].client, lease, seq, mono(&w->actors[i])))
			return true;
	return false;
}
