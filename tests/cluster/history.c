/*
 * usage: history FILE...
 *
 * Judges a history of clients (history_read.h) by the model: a message is ready, leased under
 * one number, or gone, that is settled or in the queue's dead-letter queue; delayed is a kind
 * of ready.  What an operation does happens at one moment between its call and its return.  The
 * first violation is printed, with the lines that contradict each other, and the exit status
 * is 1.
 *
 * Messages are independent of each other, so each is judged by itself, from bounds:
 *
 *	exists	the newest moment at which it came to be
 *	going	the oldest moment at which it can have gone
 *	gone	the newest moment at which it went
 *
 * Lease numbers come from one counter: of two leases of a message the greater is the later one,
 * whenever their holders were told.
 */
#include "history_read.h"

#include <err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEASES_MAX 128	/* of one message that are compared, the oldest ones */
#define COARSE_US  2000 /* the daemon counts milliseconds */
#define U(n)	   ((unsigned long long)(n))

struct message {
	uint32_t queue;
	uint64_t seq;
	uint64_t token;
	uint64_t sent; /* the call of its SEND */
	uint64_t exists, going, gone;
	const struct op *confirmed, *left; /* what says that it exists, that it is gone */
	uint32_t dead;			   /* the same one as a dead letter, NONE: not seen */
	size_t event, events;		   /* what is told of it */
};

struct event {
	uint32_t message;
	uint32_t op;
	uint32_t row; /* of a PEEK */
};

struct lease {
	uint64_t lease;
	uint64_t known;				   /* it was handed out by then */
	uint64_t until;				   /* its holder trusts in it */
	uint64_t ending;			   /* the oldest call that may have ended it */
	const struct op *seen, *got, *hold, *over; /* over: RELEASE or FAIL that was done */
};

struct queue {
	uint64_t attempts;     /* 0: failures make no dead letters */
	uint32_t dead;	       /* name of its dead-letter queue, NONE: nobody has named it */
	uint32_t from;	       /* name of the queue whose it is */
	uint32_t begin, end;   /* its messages, by number */
	const struct op *scan; /* begin of the newest look at all of it */
};

static struct history h;
static struct map sends;  /* of a token: the op */
static struct map places; /* of a queue and number: the message */
static struct map tokens; /* of a token: the message, in its own queue */
static struct message *messages;
static size_t messages_len, messages_cap;
static struct event *events;
static size_t events_len, events_cap;
static struct queue *queues; /* by name */
static uint64_t *byes;	     /* by name of a client: when it gave back what it held */

/* ---- what is found ---- */

static struct {
	char text[1024];
	uint64_t when;
	size_t count;
} found = {.when = NEVER};

static void put_place(char *text, size_t cap, const struct op *op)
{
	size_t len = strlen(text);
	if (op)
		snprintf(text + len, cap - len, "\n\t%s:%u: %s %s", h.files[op->file].path,
		    op->line, h.names[op->client],
		    (const char *[]){
#define X(name, word, numbers, token) word,
			VERBS(X)
#undef X
		    }[op->verb]);
}

/* `op` contradicts `other`, NULL: no single one. */
static void violation(const struct op *op, const struct op *other, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void violation(const struct op *op, const struct op *other, const char *format, ...)
{
	uint64_t when = op->ret == NEVER ? op->call : op->ret;
	va_list ap;
	if (found.count++ > 0 && when >= found.when)
		return;
	found.when = when;
	va_start(ap, format);
	vsnprintf(found.text, sizeof found.text / 2, format, ap);
	va_end(ap);
	put_place(found.text, sizeof found.text, op);
	put_place(found.text, sizeof found.text, other);
}

/* QUEUE:SEQ, for messages; valid until the fourth call after it. */
static const char *name(const struct message *m)
{
	static char texts[4][300];
	static unsigned next;
	char *text = texts[next++ % 4];
	snprintf(text, sizeof texts[0], "%s:%llu", h.names[m->queue], U(m->seq));
	return text;
}

/* ---- which operation is about which message ---- */

static bool settles(const struct op *op)
{
	return op->verb == SETTLE || op->verb == DEAD;
}

static bool ends(const struct op *op)
{
	return settles(op) || op->verb == RELEASE || op->verb == FAIL;
}

static bool maybe(const struct op *op)
{
	return op->outcome == DONE || op->outcome == UNKNOWN;
}

static uint64_t place_key(uint32_t queue, uint64_t seq)
{
	return (uint64_t)queue << 44 | seq;
}

static uint32_t message_at(uint32_t queue, uint64_t seq)
{
	uint64_t key = place_key(queue, seq);
	uint32_t at = map_get(&places, key);
	if (at != NONE)
		return at;
	at = (uint32_t)messages_len;
	*GROW(messages) = (struct message){.queue = queue,
	    .seq = seq,
	    .token = NEVER,
	    .exists = NEVER,
	    .going = NEVER,
	    .gone = NEVER,
	    .dead = NONE};
	map_put(&places, key, at);
	return at;
}

static void exists(struct message *m, const struct op *op)
{
	if (op->ret < m->exists) {
		m->exists = op->ret;
		m->confirmed = op;
	}
}

static void gone(struct message *m, const struct op *op, uint64_t when)
{
	if (when < m->gone) {
		m->gone = when;
		m->left = op;
	}
}

/* The message is what was sent under this token; the op says so. */
static void has_token(uint32_t at, uint64_t token, const struct op *op)
{
	struct message *m = &messages[at];
	uint32_t other = map_get(&tokens, token), send = map_get(&sends, token);
	if (m->token != NEVER) {
		if (m->token != token)
			violation(op, m->confirmed, "%s has two bodies", name(m));
		return;
	}
	m->token = token;
	const struct op *by = send == NONE ? NULL : &h.ops[send];
	if (!by || by->outcome == REFUSED) {
		violation(op, by, "%s holds what nobody has sent", name(m));
		return;
	}
	m->sent = by->call;
	if (op->ret < by->call)
		violation(op, by, "%s is there before it was sent", name(m));
	if (by->queue == m->queue) {
		if (other != NONE)
			violation(op, by, "%s and %s are the same message, stored twice",
			    name(&messages[other]), name(m));
		map_put(&tokens, token, at);
	} else if (queues[by->queue].dead != m->queue) {
		violation(op, by, "%s was sent to %s", name(m), h.names[by->queue]);
	}
}

static void add_event(uint32_t at, size_t op, size_t row)
{
	*GROW(events) = (struct event){at, (uint32_t)op, (uint32_t)row};
}

static void place_send(const struct op *op)
{
	for (uint64_t i = 0; op->outcome == DONE && i < op->arg[COUNT]; i++) {
		uint32_t at = message_at(op->queue, op->got[FIRST] + i);
		exists(&messages[at], op);
		has_token(at, op->token + i, op);
	}
}

static void place_peek(const struct op *op)
{
	uint64_t before = 0;
	for (size_t i = op->row; i < op->row + op->rows; i++) {
		const struct row *r = &h.rows[i];
		uint32_t at = message_at(op->queue, r->seq);
		if (r->seq < op->arg[FROM] || (i > op->row && r->seq <= before))
			violation(op, NULL, "%s is not in order in what is peeked",
			    name(&messages[at]));
		before = r->seq;
		exists(&messages[at], op);
		has_token(at, r->token, op);
		add_event(at, (size_t)(op - h.ops), i);
	}
}

static bool about_one(const struct op *op)
{
	return op->verb == DELIVER || op->verb == HOLD || op->verb == ENDED ||
	       op->verb == TOUCH || ends(op);
}

static void place_ops(void)
{
	for (size_t i = 0; i < h.ops_len; i++) {
		const struct op *op = &h.ops[i];
		if (op->verb == SEND)
			place_send(op);
		else if (op->verb == PEEK && op->outcome == DONE)
			place_peek(op);
		else if (about_one(op))
			add_event(message_at(op->queue, op->arg[SEQ]), i, 0);
		if (op->verb == DELIVER) {
			uint32_t at = message_at(op->queue, op->arg[SEQ]);
			exists(&messages[at], op);
			has_token(at, op->token, op);
		}
	}
}

static void find_queues(void)
{
	char dead[300];
	queues = calloc(h.names_len, sizeof *queues);
	byes = calloc(h.names_len, sizeof *byes);
	if (!queues || !byes)
		err(70, "calloc");
	memset(byes, 0xff, h.names_len * sizeof *byes);
	for (size_t i = 0; i < h.names_len; i++)
		queues[i] = (struct queue){.dead = NONE, .from = NONE};
	for (uint32_t i = 0; i < h.names_len; i++) {
		snprintf(dead, sizeof dead, "%s.dead", h.names[i]);
		for (uint32_t j = 0; j < h.names_len; j++) {
			if (strcmp(h.names[j], dead) == 0) {
				queues[i].dead = j;
				queues[j].from = i;
			}
		}
	}
	for (size_t i = 0; i < h.ops_len; i++) {
		const struct op *op = &h.ops[i];
		if (op->verb == BYE)
			byes[op->client] = op->call;
		if (op->verb == CREATE && maybe(op))
			queues[op->queue].attempts = op->arg[ATTEMPTS];
		for (uint64_t n = 0; op->verb == SEND && n < op->arg[COUNT]; n++)
			map_put(&sends, op->token + n, (uint32_t)i);
	}
}

/* ---- one message ---- */

static int by_lease(const void *a, const void *b)
{
	const struct lease *x = a, *y = b;
	return (x->lease > y->lease) - (x->lease < y->lease);
}

static struct lease *lease_at(struct lease *leases, size_t *count, uint64_t number)
{
	size_t i = 0;
	while (i < *count && leases[i].lease != number)
		i++;
	if (i == LEASES_MAX)
		return NULL;
	if (i == *count)
		leases[(*count)++] =
		    (struct lease){.lease = number, .known = NEVER, .ending = NEVER};
	return &leases[i];
}

static void note(const struct message *m, struct lease *l, const struct op *op)
{
	uint64_t last = h.files[op->file].last, bye = byes[op->client];
	if ((op->verb == DELIVER || op->verb == PEEK) && op->ret < l->known) {
		l->known = op->ret;
		l->seen = op;
	}
	if (op->verb == DELIVER) {
		if (l->got)
			violation(op, l->got, "%s is delivered twice under lease %llu", name(m),
			    U(l->lease));
		l->got = op;
	}
	/* A holder that died may be known to have. */
	if (op->verb == HOLD) {
		uint64_t until = op->arg[UNTIL] < last ? op->arg[UNTIL] : last;
		until = until < bye ? until : bye;
		if (until > l->until) {
			l->until = until;
			l->hold = op;
		}
	}
	if (ends(op) && maybe(op) && op->call < l->ending)
		l->ending = op->call;
	/* A FAIL of what is gone is done, and changes nothing. */
	if ((op->verb == RELEASE || (op->verb == FAIL && op->ret < m->going)) &&
	    op->outcome == DONE && (!l->over || op->ret < l->over->ret))
		l->over = op;
}

/* All leases of a message that are told of, in their order. */
static size_t leases_of(const struct message *m, struct lease leases[LEASES_MAX])
{
	size_t count = 0;
	for (size_t i = m->event; i < m->event + m->events; i++) {
		const struct op *op = &h.ops[events[i].op];
		const struct row *row = op->verb == PEEK ? &h.rows[events[i].row] : NULL;
		if (row && row->state != LEASED)
			continue;
		struct lease *l = lease_at(leases, &count, row ? row->lease : op->arg[LEASE]);
		if (l)
			note(m, l, op);
	}
	qsort(leases, count, sizeof *leases, by_lease);
	return count;
}

/* Up to when nobody else can have it. */
static uint64_t held_until(const struct lease *l)
{
	return l->until < l->ending ? l->until : l->ending;
}

/* Whether a settlement under another lease may have been carried out before this one. */
static bool settled_otherwise(const struct message *m, const struct op *op)
{
	for (size_t i = m->event; i < m->event + m->events; i++) {
		const struct op *other = &h.ops[events[i].op];
		if (settles(other) && maybe(other) && other->arg[LEASE] != op->arg[LEASE] &&
		    other->call < op->ret)
			return true;
	}
	return m->dead != NONE;
}

static bool ended_otherwise(const struct message *m, const struct op *op)
{
	for (size_t i = m->event; i < m->event + m->events; i++) {
		const struct op *other = &h.ops[events[i].op];
		if (other != op && ends(other) && maybe(other) &&
		    other->arg[LEASE] == op->arg[LEASE] && other->call < op->ret)
			return true;
	}
	return false;
}

/* What the daemon has done to the lease, whose end is told by `later` or `l->over`. */
static void judge_done(const struct message *m, const struct op *op, const struct lease *l,
    const struct lease *later)
{
	const struct op *over = NULL;
	if (later && (settles(op) || later->known < op->call))
		over = later->seen;
	else if (l->over && l->over != op && l->over->ret < op->call)
		over = l->over;
	if (over && (op->verb == RELEASE || op->verb == TOUCH || !settled_otherwise(m, op)))
		violation(op, over, "a stale receipt of %s, lease %llu, has an effect", name(m),
		    U(l->lease));
	if ((op->verb == RELEASE || op->verb == TOUCH) && m->gone < op->call)
		violation(
		    op, m->left, "%s is given back or touched though it is gone", name(m));
}

static void judge_act(const struct message *m, const struct op *op, const struct lease *l,
    const struct lease *later)
{
	if (op->outcome == DONE)
		judge_done(m, op, l, later);
	if (op->outcome == STALE && l->got && l->got->ret < op->call && l->until > op->ret &&
	    !ended_otherwise(m, op))
		violation(op, l->hold,
		    "the receipt of %s, lease %llu, is called stale while it runs", name(m),
		    U(l->lease));
}

/* A client may trust in a lease for less than it has done: after TOUCH with a time of its own.
 */
static void judge_ended(const struct message *m, const struct op *op, const struct lease *l)
{
	const struct op *hold = NULL;
	for (size_t i = m->event; i < m->event + m->events; i++) {
		const struct op *other = &h.ops[events[i].op];
		if (other->verb == HOLD && other->arg[LEASE] == l->lease &&
		    other->call <= op->call)
			hold = other;
	}
	if (hold && hold->arg[UNTIL] > op->ret && l->ending > op->ret)
		violation(op, hold, "lease %llu of %s has run out, and runs on", U(l->lease),
		    name(m));
}

static void judge_row(
    const struct message *m, const struct op *op, const struct row *r, const struct lease *l)
{
	bool other = r->state != LEASED || r->lease != l->lease;
	if (other && l->got && l->got->ret < op->call && op->ret < held_until(l))
		violation(op, l->hold, "%s is shown as free or another's while lease %llu runs",
		    name(m), U(l->lease));
	if (r->state == LEASED && r->lease < l->lease && l->known < op->call)
		violation(op, l->seen, "%s is shown with lease %llu, after lease %llu", name(m),
		    U(r->lease), U(l->lease));
}

static void judge_pair(
    const struct message *m, const struct lease *l, const struct lease *later)
{
	const struct op *over = l->over;
	if (later->known < held_until(l))
		violation(later->seen, l->hold, "%s has two holders, leases %llu and %llu",
		    name(m), U(l->lease), U(later->lease));
	if (over && over->arg[MS] > 0 &&
	    later->known + COARSE_US < over->call + over->arg[MS] * 1000)
		violation(
		    later->seen, over, "%s comes again before its delay is over", name(m));
}

static void judge_event(
    const struct message *m, const struct event *e, const struct lease *leases, size_t count)
{
	const struct op *op = &h.ops[e->op];
	if (op->verb == PEEK && op->call > m->gone)
		violation(op, m->left, "%s is shown though it is gone", name(m));
	if (op->verb == DELIVER && op->call > m->gone)
		violation(op, m->left, "%s is handed out though it is gone", name(m));
	for (size_t i = 0; i < count; i++) {
		const struct lease *l = &leases[i];
		if (op->verb == PEEK) {
			judge_row(m, op, &h.rows[e->row], l);
			continue;
		}
		if (l->lease != op->arg[LEASE])
			continue;
		const struct lease *later = NULL;
		for (size_t j = i + 1; j < count && !later; j++)
			if (leases[j].seen)
				later = &leases[j];
		if (ends(op) || op->verb == TOUCH)
			judge_act(m, op, l, later);
		if (op->verb == ENDED)
			judge_ended(m, op, l);
	}
}

static void judge_message(const struct message *m)
{
	struct lease leases[LEASES_MAX];
	size_t count = leases_of(m, leases);
	for (size_t i = m->event; i < m->event + m->events; i++)
		judge_event(m, &events[i], leases, count);
	for (size_t i = 0; i < count; i++) {
		for (size_t j = i + 1; j < count; j++) {
			if (!leases[j].seen)
				continue;
			judge_pair(m, &leases[i], &leases[j]);
			break;
		}
	}
}

/* ---- bounds ---- */

static int by_place(const void *a, const void *b)
{
	const struct message *x = a, *y = b;
	if (x->queue != y->queue)
		return x->queue < y->queue ? -1 : 1;
	return (x->seq > y->seq) - (x->seq < y->seq);
}

static int by_message(const void *a, const void *b)
{
	const struct event *x = a, *y = b;
	if (x->message != y->message)
		return x->message < y->message ? -1 : 1;
	uint64_t p = h.ops[x->op].call, q = h.ops[y->op].call;
	return (p > q) - (p < q);
}

/* Messages in the order of their places, and events in that of messages. */
static void arrange(void)
{
	uint32_t *now = calloc(messages_len + 1, sizeof *now);
	if (!now)
		err(70, "calloc");
	/* Where each was, while they are sorted. */
	for (uint32_t i = 0; i < messages_len; i++)
		messages[i].event = i;
	if (messages_len > 0)
		qsort(messages, messages_len, sizeof *messages, by_place);
	for (uint32_t i = 0; i < messages_len; i++) {
		now[messages[i].event] = i;
		messages[i].event = 0;
	}
	for (size_t i = 0; i < events_len; i++)
		events[i].message = now[events[i].message];
	free(now);
	if (events_len > 0)
		qsort(events, events_len, sizeof *events, by_message);
	for (size_t i = events_len; i-- > 0;) {
		messages[events[i].message].event = i;
		messages[events[i].message].events++;
	}
	for (uint32_t i = 0; i < messages_len; i++) {
		struct queue *q = &queues[messages[i].queue];
		if (q->end == 0)
			q->begin = i;
		q->end = i + 1;
		map_put(&places, place_key(messages[i].queue, messages[i].seq), i);
		if (messages[i].token != NEVER && q->from == NONE)
			map_put(&tokens, messages[i].token, i);
	}
}

static void bound(struct message *m)
{
	for (size_t i = m->event; i < m->event + m->events; i++) {
		const struct op *op = &h.ops[events[i].op];
		if (!settles(op) || !maybe(op))
			continue;
		if (op->call < m->going)
			m->going = op->call;
		if (op->outcome == DONE)
			gone(m, op, op->ret);
	}
}

/* What is seen as a dead letter is not in its own queue any more. */
static void bound_dead(void)
{
	for (uint32_t i = 0; i < messages_len; i++) {
		struct message *dead = &messages[i];
		if (queues[dead->queue].from == NONE || dead->token == NEVER)
			continue;
		uint32_t at = map_get(&tokens, dead->token);
		if (at == NONE)
			continue;
		struct message *m = &messages[at];
		if (m->dead != NONE)
			violation(dead->confirmed, messages[m->dead].confirmed,
			    "%s and %s are the same dead letter", name(&messages[m->dead]),
			    name(dead));
		m->dead = i;
		gone(m, dead->confirmed, dead->exists);
		if (queues[m->queue].attempts > 0)
			m->going = 0;
	}
}

/* ---- looking at a queue ---- */

static uint32_t *skip; /* of a message: the next one that may be there, itself or a later one */

static uint32_t present(uint32_t i)
{
	uint32_t to = i;
	while (skip[to] != to)
		to = skip[to];
	while (skip[i] != to) {
		uint32_t next = skip[i];
		skip[i] = to;
		i = next;
	}
	return to;
}

static int by_call(const void *a, const void *b)
{
	const struct op *x = *(const struct op *const *)a, *y = *(const struct op *const *)b;
	return (x->call > y->call) - (x->call < y->call);
}

static uint32_t first_from(const struct queue *q, uint64_t seq)
{
	uint32_t low = q->begin, high = q->end;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (messages[middle].seq < seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* A PEEK of all states does not show it, and it was there before. */
static void missed(const struct op *op, struct message *m)
{
	const struct queue *q = &queues[m->queue];
	bool fails = q->attempts > 0;
	if (m->going > op->ret && (!fails || (q->dead != NONE && queues[q->dead].scan &&
						 queues[q->dead].scan->call > op->ret)))
		violation(op, m->confirmed,
		    "%s is lost: it is not shown, and nobody has settled it", name(m));
	/* It has failed, and nobody has looked where it is now. */
	if (m->going > op->ret)
		m->going = 0;
	gone(m, op, op->ret);
}

static void look(const struct op *op, uint32_t known)
{
	const struct queue *q = &queues[op->queue];
	size_t row = op->row, rows = op->row + op->rows;
	for (uint32_t i = present(first_from(q, op->arg[FROM])); i < q->end && i < known;
	     i = present(i + 1)) {
		struct message *m = &messages[i];
		if (m->seq >= op->arg[NEXT])
			break;
		while (row < rows && h.rows[row].seq < m->seq)
			row++;
		bool shown = row < rows && h.rows[row].seq == m->seq;
		if (!shown && m->exists < op->call)
			missed(op, m);
		if (m->gone < op->call)
			skip[i] = i + 1;
	}
}

static int by_exists(const void *a, const void *b)
{
	const struct message *x = &messages[*(const uint32_t *)a],
			     *y = &messages[*(const uint32_t *)b];
	return (x->exists > y->exists) - (x->exists < y->exists);
}

/* Each PEEK in the order of their calls; of each queue, up to the newest message that exists.
 */
static void look_at_all(const struct op **peeks, size_t count)
{
	uint32_t *order = calloc(messages_len + 1, sizeof *order);
	uint32_t *known = calloc(h.names_len + 1, sizeof *known);
	size_t next = 0;
	skip = calloc(messages_len + 2, sizeof *skip);
	if (!order || !known || !skip)
		err(70, "calloc");
	for (uint32_t i = 0; i < messages_len + 2; i++)
		skip[i] = i;
	for (uint32_t i = 0; i < messages_len; i++)
		order[i] = i;
	if (messages_len > 0)
		qsort(order, messages_len, sizeof *order, by_exists);
	for (size_t i = 0; i < count; i++) {
		for (; next < messages_len && messages[order[next]].exists < peeks[i]->call;
		     next++) {
			uint32_t at = order[next], *newest = &known[messages[at].queue];
			*newest = at + 1 > *newest ? at + 1 : *newest;
		}
		look(peeks[i], known[peeks[i]->queue]);
	}
	free(order);
	free(known);
}

/* The newest run of PEEKs by one client that has seen the whole queue. */
static void find_scans(const struct op **peeks, size_t count)
{
	struct map at = {0};
	struct {
		const struct op *first;
		uint64_t next;
	} *runs = calloc(count + 1, sizeof *runs);
	if (!runs)
		err(70, "calloc");
	for (uint32_t i = 0; i < count; i++) {
		const struct op *op = peeks[i];
		uint64_t key = (uint64_t)op->queue << 32 | op->client;
		uint32_t run = map_get(&at, key);
		if (op->arg[FROM] == 0) {
			map_put(&at, key, run = i);
			runs[run].first = op;
		} else if (run == NONE || op->arg[FROM] != runs[run].next) {
			continue;
		}
		runs[run].next = op->arg[NEXT];
		if (op->arg[NEXT] == NEVER)
			queues[op->queue].scan = runs[run].first;
	}
	free(at.keys);
	free(at.values);
	free(runs);
}

/* Dead letters that no look at the dead-letter queue has found. */
static void find_lost_dead(void)
{
	for (size_t i = 0; i < h.ops_len; i++) {
		const struct op *op = &h.ops[i];
		uint32_t dead = queues[op->queue].dead;
		if (op->verb != DEAD || op->outcome != DONE || dead == NONE ||
		    !queues[dead].scan || queues[dead].scan->call < op->ret)
			continue;
		const struct message *m = &messages[message_at(op->queue, op->arg[SEQ])];
		bool settled = m->dead != NONE;
		for (size_t j = m->event; j < m->event + m->events; j++) {
			const struct op *other = &h.ops[events[j].op];
			settled |= other->verb == SETTLE && maybe(other);
		}
		if (!settled)
			violation(queues[dead].scan, op,
			    "%s is lost: it is no dead letter in %s", name(m), h.names[dead]);
	}
}

static void judge_peeks(void)
{
	const struct op **peeks = calloc(h.ops_len + 1, sizeof *peeks);
	size_t count = 0;
	if (!peeks)
		err(70, "calloc");
	for (size_t i = 0; i < h.ops_len; i++)
		if (h.ops[i].verb == PEEK && h.ops[i].outcome == DONE)
			peeks[count++] = &h.ops[i];
	qsort(peeks, count, sizeof *peeks, by_call);
	find_scans(peeks, count);
	look_at_all(peeks, count);
	free(peeks);
	find_lost_dead();
}

/* ---- counts ---- */

/* Moments, to be counted. */
struct moments {
	uint64_t *at;
	size_t at_len, at_cap;
};

static int by_time(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static void sort(struct moments *m)
{
	if (m->at_len > 0)
		qsort(m->at, m->at_len, sizeof *m->at, by_time);
}

/* How many are before `when`. */
static uint64_t before(const struct moments *m, uint64_t when)
{
	size_t low = 0, high = m->at_len;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (m->at[middle] < when)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

struct counts {
	struct moments exists, going, sent, gone, held, free;
};

static void count_queue(uint32_t queue, struct counts *c)
{
	struct lease leases[LEASES_MAX];
	for (uint32_t i = queues[queue].begin; i < queues[queue].end; i++) {
		const struct message *m = &messages[i];
		*GROW(c->exists.at) = m->exists;
		*GROW(c->going.at) = m->going;
		*GROW(c->gone.at) = m->gone;
		size_t count = leases_of(m, leases);
		for (size_t j = 0; j < count; j++) {
			if (!leases[j].got || held_until(&leases[j]) <= leases[j].got->ret)
				continue;
			*GROW(c->held.at) = leases[j].got->ret;
			*GROW(c->free.at) = held_until(&leases[j]);
		}
	}
	for (size_t i = 0; i < h.ops_len; i++)
		for (uint64_t n = 0; h.ops[i].verb == SEND && h.ops[i].queue == queue &&
				     h.ops[i].outcome != REFUSED && n < h.ops[i].arg[COUNT];
		     n++)
			*GROW(c->sent.at) = h.ops[i].call;
}

static void judge_list(const struct op *op, const struct counts *c)
{
	uint64_t there = op->got[READY] + op->got[LEASED] + op->got[DELAYED];
	const struct queue *q = &queues[op->queue];
	/* What failed may have gone unseen, until somebody looks where to. */
	bool sure = q->attempts == 0 || (q->dead != NONE && queues[q->dead].scan &&
					    queues[q->dead].scan->call > op->ret);
	uint64_t least = less(before(&c->exists, op->call), before(&c->going, op->ret + 1));
	uint64_t most = before(&c->sent, op->ret + 1) - before(&c->gone, op->call);
	uint64_t held = less(before(&c->held, op->call), before(&c->free, op->ret + 1));
	if (sure && there < least)
		violation(op, NULL, "%s: %llu messages are counted, %llu are there for sure",
		    h.names[op->queue], U(there), U(least));
	if (there > most)
		violation(op, NULL,
		    "%s: %llu messages are counted, no more than %llu can be there",
		    h.names[op->queue], U(there), U(most));
	if (op->got[LEASED] < held)
		violation(op, NULL, "%s: %llu leases are counted, %llu run for sure",
		    h.names[op->queue], U(op->got[LEASED]), U(held));
	for (uint32_t i = q->end; i > q->begin && messages[i - 1].seq >= op->got[NEXT_SEQ]; i--)
		if (messages[i - 1].exists < op->call)
			violation(op, messages[i - 1].confirmed,
			    "%s exists, and the next number is %llu", name(&messages[i - 1]),
			    U(op->got[NEXT_SEQ]));
}

static void judge_lists(void)
{
	for (uint32_t q = 0; q < h.names_len; q++) {
		struct counts c = {0};
		bool counted = false;
		/* Dead letters come from elsewhere. */
		for (size_t i = 0; i < h.ops_len && queues[q].from == NONE; i++) {
			if (h.ops[i].verb != LIST || h.ops[i].outcome != DONE ||
			    h.ops[i].queue != q)
				continue;
			if (!counted) {
				counted = true;
				count_queue(q, &c);
				struct moments *all[] = {
				    &c.exists, &c.going, &c.sent, &c.gone, &c.held, &c.free};
				for (size_t j = 0; j < sizeof all / sizeof *all; j++)
					sort(all[j]);
			}
			judge_list(&h.ops[i], &c);
		}
		struct moments *all[] = {
		    &c.exists, &c.going, &c.sent, &c.gone, &c.held, &c.free};
		for (size_t j = 0; j < sizeof all / sizeof *all; j++)
			free(all[j]->at);
	}
}

/* ---- order ---- */

/* What one client has sent is stored in its order. */
static void judge_sends(void)
{
	const struct op **newest = calloc(h.names_len + 1, sizeof *newest);
	if (!newest)
		err(70, "calloc");
	for (size_t i = 0; i < h.ops_len; i++) {
		const struct op *op = &h.ops[i], *last = newest[op->client];
		if (op->verb != SEND || op->outcome != DONE)
			continue;
		if (last && last->queue == op->queue && op->got[FIRST] < last->got[FIRST])
			violation(op, last, "%s:%llu was sent after %llu", h.names[op->queue],
			    U(op->got[FIRST]), U(last->got[FIRST]));
		newest[op->client] = op;
	}
	free(newest);
}

/* The first hand-out of a message, NULL: it is not told of, or it was given back uncounted. */
static const struct op *first_hand_out(const struct message *m)
{
	const struct op *first = NULL;
	for (size_t i = m->event; i < m->event + m->events; i++) {
		const struct op *op = &h.ops[events[i].op];
		if (op->verb == RELEASE)
			return NULL;
		if (op->verb == DELIVER && op->arg[ATTEMPT] == 1 && op->arg[FAILURES] == 0 &&
		    (!first || op->arg[LEASE] < first->arg[LEASE]))
			first = op;
	}
	return first;
}

/* Messages are handed out for the first time in the order in which they were stored. */
static void judge_order(void)
{
	const struct op *last = NULL;
	for (uint32_t i = 0; i < messages_len; i++) {
		const struct message *m = &messages[i];
		if (i > 0 && m[-1].queue != m->queue)
			last = NULL;
		const struct op *op = queues[m->queue].from == NONE ? first_hand_out(m) : NULL;
		if (op && last && op->arg[LEASE] < last->arg[LEASE])
			violation(op, last, "%s is handed out before the older message %llu",
			    name(m), U(last->arg[SEQ]));
		if (op && (!last || op->arg[LEASE] > last->arg[LEASE]))
			last = op;
	}
}

int main(int argc, char **argv)
{
	if (argc < 2)
		errx(64, "usage: history FILE...");
	for (int i = 1; i < argc; i++)
		history_read(&h, argv[i]);
	find_queues();
	place_ops();
	arrange();
	for (uint32_t i = 0; i < messages_len; i++)
		bound(&messages[i]);
	bound_dead();
	judge_peeks();
	for (uint32_t i = 0; i < messages_len; i++)
		judge_message(&messages[i]);
	judge_lists();
	judge_sends();
	judge_order();
	if (found.count == 0) {
		printf("%zu operations, %zu messages: all is well\n", h.ops_len, messages_len);
		return 0;
	}
	printf(
	    "%s\n%zu contradictions in %zu operations\n", found.text, found.count, h.ops_len);
	return 1;
}
