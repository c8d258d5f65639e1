/*
 * Messages go to another queue, or dead letters back to the queue that each came from.  Only ready ones
 * do: nobody holds them.  Both halves are in one record.  A frame costs so many steps and makes so
 * many events; its answer says where to go on.  It has no number: done again, it finds fewer.
 */
#include "core/broker/broker_state.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/base/name.h"
#include "core/base/variant.h"

struct transfer {
	const struct conn *conn;
	const struct wire_transfer *ask;
	struct queue *from;
	struct queue *to; /* NULL: each has its own */
	uint64_t moved;
	uint64_t kept;
	uint32_t runs;
	uint64_t end_work;
	bool more;
	uint64_t next; /* the first message that was not looked at */
	enum rmq_error code;
	const char *why;
};

static void answer(struct broker *b, struct conn *c, const struct transfer *t)
{
	ANSWER(b, c, transferred, t->ask->req, (uint8_t)t->code, t->moved, t->kept, t->more,
	    t->next, slice_str(t->why ? t->why : ""));
}

static bool ranges_valid(struct slice ranges)
{
	struct reader r = reader_of(ranges);
	uint64_t below = 0;
	if (ranges.len == 0 || ranges.len % SEQ_RANGE_SIZE != 0 ||
	    ranges.len / SEQ_RANGE_SIZE > TRANSFER_RANGES_MAX)
		return false;
	while (reader_left(&r) > 0) {
		struct seq_range run = seq_range_get(&r);
		if (run.count == 0 || run.first < below || run.first > SEQ_MAX)
			return false;
		below = run.first + run.count;
	}
	return true;
}

/* The name of the queue that m's messages came from; of some only that of their queue tells. */
static struct slice home_of(const struct queue *from, const struct batch *m)
{
	const struct origin *o = batch_origin(m);
	struct slice name = queue_name(from);
	if (o && o->queue[0])
		return slice_str(o->queue);
	if (name_is_dead(name))
		name.len -= strlen(NAME_DEAD_SUFFIX);
	return name;
}

/* Where m's messages go; NULL: they stay, and if so for good they are kept. */
static struct queue *destination(
    struct broker *b, struct transfer *t, const struct batch *m, uint64_t messages)
{
	const struct origin *o = batch_origin(m);
	if (!(t->ask->flags & TRANSFER_HOME)) {
		/* What is not large nobody knows without a look at the bodies. */
		if (!m->is_large || m->large->bytes <= t->to->settings.max_message)
			return t->to;
		t->kept += messages;
		return NULL;
	}
	struct slice home = home_of(t->from, m);
	if (t->ask->target.len > 0 && !slice_eq(home, t->ask->target))
		return NULL;
	char away[AWAY_NAME_MAX];
	struct slice target = broker_target(b, home, away);
	struct queue *to = broker_queue_named(b, target);
	if (!to && broker_is_diverted(home, target) && name_valid(target))
		to = broker_queue_make(b, target, t->conn->owner);
	/* What was sent to the queue of dead letters itself would go where its sender may not send. */
	broker_works(b, broker_rights_steps(t->conn));
	if (!broker_granted(t->conn, RIGHT_SEND, home))
		to = NULL;
	if (to && to != t->from && (o ? o->redrives : 0) < t->ask->most)
		return to;
	t->kept += messages;
	return NULL;
}

static void take_run(struct broker *b, const struct transfer *t, struct queue *to,
    const struct range *r, const struct batch *m, uint64_t first, uint32_t count)
{
	const struct origin *o = batch_origin(m);
	uint8_t bytes[SEQ_RANGE_SIZE];
	char note[64];
	struct writer w = writer_of(bytes, sizeof(bytes));
	/* What is only moved keeps what is said of it. */
	struct arrival a = {.note = slice_str(o ? o->reason : ""),
	    .failures = to->is_dead ? r->failures : 0,
	    .redrives = o ? o->redrives : 0,
	    .taken = true};
	uint64_t end = first + count;
	if (!RMQ_VARIANT(EXPIRY_STAYS_BEHIND))
		a.expire_ms = expiry_own(t->from, first, &end);
	if (o)
		a.origin =
		    (struct event_origin){batch_origin_seq(m, first), slice_str(o->queue)};
	if (t->ask->flags & TRANSFER_HOME) {
		a.redrives++;
		snprintf(note, sizeof(note), "redriven %u time%s", a.redrives,
		    a.redrives > 1 ? "s" : "");
		a.origin = (struct event_origin){0};
		a.note = slice_str(note);
	}
	seq_range_put(&w, &(struct seq_range){first, count});
	broker_arrive(b, to, r, m, first, count, &a);
	if (RMQ_VARIANT(TRANSFER_APART))
		broker_end_record(b);
	broker_emit_drop(
	    b, &(struct event_drop){t->from->id, DROPPED_MOVED, NO_TAGS, slice_of(w.p, w.len)});
}

static bool stop(struct transfer *t, uint64_t at, enum rmq_error code)
{
	t->more = true;
	t->next = at;
	t->code = code;
	return false;
}

/* Messages [first, end) of the batch m in r, all live.  False: not now. */
static bool go(struct broker *b, struct transfer *t, const struct range *r,
    const struct batch *m, uint64_t first, uint64_t end)
{
	struct queue *to = destination(b, t, m, end - first);
	if (!to)
		return true;
	if (t->runs >= TRANSFER_RUNS_MAX || batch_in_flight(m))
		return stop(t, first, RMQ_E_OK);
	if (queue_is_full(to))
		return stop(t, first, to->settings.more.paused_in ? RMQ_E_PAUSED : RMQ_E_FULL);
	if (broker_short_of_room(b))
		return stop(t, first, RMQ_E_DISK_FULL);
	take_run(b, t, to, r, m, first, (uint32_t)(end - first));
	t->moved += end - first;
	t->runs++;
	return true;
}

/* Those of [at, end) that are ready.  False: not all were looked at. */
static bool transfer_range(struct broker *b, struct transfer *t, uint64_t at, uint64_t end)
{
	struct range *r;
	while ((r = queue_range_at(t->from, at)) && r->first < end && at < end) {
		uint64_t first = at > r->first ? at : r->first, run_end;
		uint64_t limit = mixed_run(r, first, min_u64(end, r->first + r->span));
		struct batch *m = queue_batch_at(t->from, first);
		if (b->work >= t->end_work)
			return stop(t, first, RMQ_E_OK);
		broker_works(b, 1);
		at = limit;
		if ((r->state != STATE_READY && !RMQ_VARIANT(TRANSFER_LEASED)) || !m)
			continue;
		first = batch_run(m, first, limit, &run_end);
		at = min_u64(limit, first < limit ? run_end : m->first + m->count);
		if (t->from->keys && first < limit)
			at = min_u64(at, first + DEAD_KEYS_MAX);
		/* What expires at one time. */
		if (first < limit)
			(void)expiry_own(t->from, first, &at);
		if (first < limit && !go(b, t, r, m, first, at))
			return false;
	}
	return true;
}

void broker_transfer(struct broker *b, struct conn *c, const struct wire_transfer *m)
{
	char away[AWAY_NAME_MAX];
	struct slice target = broker_target(b, m->target, away);
	struct transfer t = {.conn = c,
	    .ask = m,
	    .from = broker_queue_named(b, m->queue),
	    .to = broker_queue_named(b, target),
	    .end_work = b->work + b->ledger.limits.turn_steps};
	struct reader ranges = reader_of(m->ranges);
	bool home = m->flags & TRANSFER_HOME;
	if (!ranges_valid(m->ranges)) {
		broker_refuse(b, c, RMQ_E_PROTOCOL, "bad TRANSFER");
		return;
	}
	if (t.from && !t.to && !home && broker_is_diverted(m->target, target))
		t.to = broker_queue_make(b, target, c->owner);
	if (!t.from || (!t.to && !home)) {
		t.code = RMQ_E_NO_QUEUE;
		t.why = t.from ? "no such queue to move messages to" : NULL;
	} else if (t.from == t.to && !home) {
		t.code = RMQ_E_USAGE;
		t.why = "messages cannot be moved to their own queue";
	}
	while (!t.code && reader_left(&ranges) > 0) {
		struct seq_range run = seq_range_get(&ranges);
		if (!transfer_range(b, &t, run.first, run.first + run.count))
			break;
	}
	answer(b, c, &t);
}
