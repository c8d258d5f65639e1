#include "transfer.h"

#include <stdio.h>
#include <string.h>

#include "core/client/queue_columns.h"
#include "core/base/name.h"
#include "sys/process/clock.h"

#define FULL_PAUSE_MS 100 /* before it is looked again whether there is room */
#define PACES	      10  /* steps in which a period's number of messages goes */

/* A command that is under way. */
struct transfer {
	struct admin *admin;
	const struct redrive *how;
	const char *from;
	struct slice target; /* redrive: only those that came from it; empty: all */
	uint8_t flags;
	uint32_t max_message; /* move: of the queue that they go to */
	uint64_t end;	      /* those that come from here on are not meant */
	uint64_t moved;
	uint64_t kept;
	bool unsure; /* an answer was lost: there may be more of them */
	/* those of a page that are meant */
	struct seq_range ranges[TRANSFER_RANGES_MAX];
	uint32_t count;
	uint64_t left; /* so many may still go */
	struct slice name, value;
	struct envelope_cursors cursors;
	struct text line;
};

void redrive_init(struct redrive *t)
{
	*t = (struct redrive){.limit = UINT64_MAX, .most = REDRIVES_DEFAULT};
}

/* What is in front of message `next` was looked at. */
static void cut_ranges(struct transfer *t, uint64_t next)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < t->count; i++) {
		struct seq_range r = t->ranges[i];
		uint64_t end = r.first + r.count;
		if (end <= next)
			continue;
		if (r.first < next)
			r = (struct seq_range){next, (uint32_t)(end - next)};
		t->ranges[kept++] = r;
	}
	t->count = kept;
}

static uint64_t in_ranges(const struct transfer *t)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < t->count; i++)
		n += t->ranges[i].count;
	return n;
}

/* All that is in t->ranges, as the daemon has room for it. */
static enum rmq_error send_ranges(struct transfer *t)
{
	struct admin *a = t->admin;
	uint64_t progress = clock_mono().ms;
	enum rmq_error err = RMQ_E_OK;
	while (!err && t->count > 0) {
		uint64_t named = in_ranges(t);
		err = admin_transfer(
		    a, t->from, t->target, t->flags, t->how->most, t->ranges, t->count);
		if (err)
			break;
		t->moved += a->moved;
		t->kept += a->kept;
		if (a->moved > 0)
			progress = clock_mono().ms;
		cut_ranges(t, a->more ? a->next : UINT64_MAX);
		/* Each that may have gone counts: no more go than are wanted. */
		uint64_t gone = a->again ? named - in_ranges(t) : a->moved;
		t->left -= gone < t->left ? gone : t->left;
		t->unsure |= a->again;
		if (!a->full)
			continue;
		if (a->common.timeout_ms != CLIENT_FOREVER &&
		    clock_mono().ms - progress >= a->common.timeout_ms)
			return admin_fail(a, a->full, "%s, %llu %s moved",
			    a->full == RMQ_E_FULL     ? "the queue that they go to is full"
			    : a->full == RMQ_E_PAUSED ? "the queue that they go to is paused"
						      : error_text(a->full),
			    (unsigned long long)t->moved,
			    t->moved == 1 ? "message was" : "messages were");
		err = admin_pause(a, FULL_PAUSE_MS);
	}
	return err;
}

/* All messages below t->end. */
static enum rmq_error send_all(struct transfer *t)
{
	enum rmq_error err = RMQ_E_OK;
	for (uint64_t at = 1; !err && at < t->end; at += UINT32_MAX) {
		uint64_t rest = t->end - at;
		t->ranges[0] =
		    (struct seq_range){at, rest < UINT32_MAX ? (uint32_t)rest : UINT32_MAX};
		t->count = 1;
		err = send_ranges(t);
	}
	return err;
}

/* ---- those that match, or are small enough ---- */

static bool matches(const struct transfer *t, const struct envelope *e)
{
	struct reader r = reader_of(e->headers);
	struct slice name, value;
	if (!t->how->match)
		return true;
	while (headers_next(&r, &name, &value))
		if (slice_eq(name, t->name))
			return slice_eq(value, t->value);
	return false;
}

/* The queue that a dead letter came from: its note begins with NAME:NUMBER. */
static struct slice home_of(const struct transfer *t, struct slice note)
{
	const char *colon = note.len ? memchr(note.data, ':', note.len) : NULL;
	const char *space = note.len ? memchr(note.data, ' ', note.len) : NULL;
	struct slice name = slice_str(t->from);
	if (colon && (!space || colon < space))
		name = slice_of(note.data, (size_t)(colon - (const char *)note.data));
	else if (name_is_dead(name))
		name.len -= strlen(NAME_DEAD_SUFFIX);
	return name;
}

static void print_one(struct transfer *t, const struct envelope *e, struct slice home)
{
	t->line.len = 0;
	text_put_slice(&t->line, e->queue);
	text_put_char(&t->line, ':');
	text_put_u64(&t->line, e->seq);
	text_put_char(&t->line, '\t');
	size_t begin = t->line.len;
	text_put_slice(&t->line, home);
	text_tame(t->line.data + begin, t->line.len - begin);
	text_put_char(&t->line, '\n');
	fwrite(t->line.data, 1, t->line.len, stdout);
}

static void pick(struct transfer *t, uint64_t seq)
{
	struct seq_range *last = t->count > 0 ? &t->ranges[t->count - 1] : NULL;
	t->left--;
	if (last && last->first + last->count == seq)
		last->count++;
	else
		t->ranges[t->count++] = (struct seq_range){seq, 1};
}

static void on_message(void *arg, const struct client_delivery *d)
{
	struct transfer *t = arg;
	for (uint32_t i = 0; i < d->count && t->left > 0 && t->count < TRANSFER_RANGES_MAX;
	     i++) {
		struct envelope e = envelope_of(d, slice_str(t->from), i, &t->cursors);
		struct slice home = home_of(t, e.note);
		bool redriven = t->flags & TRANSFER_HOME;
		bool ours = !redriven || t->target.len == 0 || slice_eq(home, t->target);
		if (e.seq >= t->end || !ours || !matches(t, &e))
			continue;
		if (!redriven && e.body.len > t->max_message) {
			t->kept++;
			continue;
		}
		pick(t, e.seq);
		if (t->how->dry_run)
			print_one(t, &e, home);
	}
}

/* Page after page, in the time that the rate leaves. */
static enum rmq_error send_picked(struct transfer *t)
{
	struct admin *a = t->admin;
	const struct redrive *how = t->how;
	uint32_t page = LIST_ROWS_MAX;
	enum rmq_error err = RMQ_E_OK;
	uint64_t begin = clock_mono().ms, before = t->moved;
	if (how->rate > 0 && how->rate / PACES < page)
		page = how->rate / PACES > 0 ? how->rate / PACES : 1;
	a->message = on_message;
	a->arg = t;
	a->next = 1;
	do {
		uint64_t left = t->left;
		t->count = 0;
		err = admin_peek(a, t->from, STATE_READY, a->next, page);
		uint64_t next = a->next;
		bool more = a->more && next < t->end;
		if (!err && !how->dry_run) {
			t->left = left;
			err = send_ranges(t);
		}
		a->more = more;
		a->next = next;
		if (err || how->rate == 0 || !more || t->left == 0)
			continue;
		uint64_t due = begin + (t->moved - before) * how->rate_period / how->rate;
		uint64_t now = clock_mono().ms;
		if (due > now)
			err = admin_pause(a, due - now);
	} while (!err && a->more && t->left > 0);
	return err;
}

/* ---- commands ---- */

/* A row of LIST. */
struct asked {
	uint64_t next_seq;
	uint64_t waiting; /* not ready */
	uint32_t max_message;
	struct text dead_letter;
};

static void on_row(void *arg, const struct wire_listed *row)
{
	struct asked *q = arg;
	q->next_seq = row->next_seq;
	q->waiting = row->leased + row->delayed;
	q->max_message = row->max_message;
	q->dead_letter.len = 0;
	queue_columns_put_dead_letter(&q->dead_letter, row);
	text_put_char(&q->dead_letter, '\0');
}

static enum rmq_error ask(struct admin *a, const char *queue, struct asked *q)
{
	q->next_seq = 0;
	a->row = on_row;
	a->arg = q;
	return admin_list_one(a, queue);
}

/* What was done, for people. */
static void tell(const struct transfer *t, const char *did)
{
	if (t->admin->common.quiet)
		return;
	fprintf(stderr, "rmq-queue: %s: %s%llu %s %s", t->from, t->unsure ? "at least " : "",
	    (unsigned long long)t->moved, t->moved == 1 ? "message" : "messages", did);
	if (t->kept > 0 && t->flags & TRANSFER_HOME)
		fprintf(stderr, ", %llu %s: redriven %u times already, or %s queue is gone",
		    (unsigned long long)t->kept, t->kept == 1 ? "stays" : "stay", t->how->most,
		    t->kept == 1 ? "its" : "their");
	if (t->unsure)
		fputs(", more if the daemon did so before the connection was lost", stderr);
	fputc('\n', stderr);
}

/* Says that some stay; if that was said of others, too, the first status stays. */
static enum rmq_error stay(
    struct admin *a, enum rmq_error code, uint64_t count, const char *what_they_are)
{
	enum rmq_error before = a->code;
	if (count == 0)
		return before;
	a->code = RMQ_E_OK;
	(void)admin_fail(a, code, "%llu %s %s", (unsigned long long)count,
	    count == 1 ? "message stays: it is" : "messages stay: they are", what_they_are);
	if (before)
		a->code = before;
	return a->code;
}

enum rmq_error transfer_move(struct admin *a, const char *queue, const char *target)
{
	struct redrive how;
	struct asked q = {0}, to = {0};
	char larger[NAME_FULL_MAX + 80];
	redrive_init(&how);
	struct transfer t = {.admin = a, .how = &how, .from = queue, .left = UINT64_MAX};
	t.target = slice_str(target);
	enum rmq_error err = ask(a, queue, &q);
	if (!err && q.next_seq == 0)
		err = admin_no_queue(a, queue);
	t.end = q.next_seq;
	/* An empty queue is moved as well: its target has to be there. */
	if (!err && t.end == 1)
		t.end++;
	if (!err)
		err = ask(a, target, &to);
	t.max_message = to.max_message;
	/* The daemon knows the size of what is in pieces; of others only a look at them tells. */
	if (!err)
		err = to.next_seq == 0 || t.max_message >= BATCH_MAX ? send_all(&t)
								     : send_picked(&t);
	if (!err)
		tell(&t, "moved");
	if (!err)
		err = ask(a, queue, &q);
	snprintf(larger, sizeof(larger), "larger than --max-message of %s, %u bytes", target,
	    t.max_message);
	if (!err)
		err = stay(a, RMQ_E_TOO_LARGE, t.kept, larger);
	if (!err || err == RMQ_E_TOO_LARGE)
		err = stay(a, RMQ_E_BUSY, q.waiting, "leased or delayed");
	text_deinit(&q.dead_letter);
	text_deinit(&to.dead_letter);
	return err;
}

enum rmq_error transfer_redrive(struct admin *a, const struct redrive *how, const char *queue)
{
	struct asked q = {0}, dead = {0};
	struct transfer t = {
	    .admin = a, .how = how, .flags = TRANSFER_HOME, .from = queue, .left = how->limit};
	const char *equals = how->match ? strchr(how->match, '=') : NULL;
	if (equals) {
		t.name = slice_of(how->match, (size_t)(equals - how->match));
		t.value = slice_str(equals + 1);
	}
	enum rmq_error err = ask(a, queue, &q);
	if (!err && q.next_seq == 0)
		err = admin_no_queue(a, queue);
	if (!err && !name_is_dead(slice_str(queue))) {
		t.target = slice_str(queue);
		t.from = q.dead_letter.data;
		a->about = queue;
		if (q.dead_letter.len <= 1)
			err = admin_fail(a, RMQ_E_NO_QUEUE, "has no dead-letter queue");
	}
	/* It is made with the first dead letter. */
	if (!err)
		err = ask(a, t.from, &dead);
	t.end = dead.next_seq;
	bool all = !how->match && how->limit == UINT64_MAX && how->rate == 0 && !how->dry_run;
	if (!err && t.end > 1)
		err = all ? send_all(&t) : send_picked(&t);
	if (!err && !how->dry_run)
		tell(&t, "redriven");
	text_deinit(&t.line);
	text_deinit(&q.dead_letter);
	text_deinit(&dead.dead_letter);
	return err;
}
