#include "cell.h"

#include "../sim/recovery.h"
#include "../sim/trace.h"
#include "checks.h"

#include "core/broker/delivery.h"
#include "core/wire/event.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_ENOUGH (1ull << 40)
#define CELL_NODE   "n1"
#define CELL_UID    1000
#define TENSE_TURNS 20

/* ---- the core's host ---- */

/* Whether the record is one of those by which a queue goes or comes. */
static bool is_step(enum record_kind kind, struct slice payload)
{
	struct events_header h;
	struct event_iter it;
	struct event e;
	if (kind != RECORD_EVENTS || events_open(payload, &h, &it))
		return false;
	while (event_next(&it, &e) == RMQ_E_OK)
		if (e.type == EVENT_TYPE_LEAVE || e.type == EVENT_TYPE_PLACED ||
		    e.type == EVENT_TYPE_OPEN)
			return true;
	return false;
}

static void host_append(void *arg, uint64_t n, enum record_kind kind, struct slice payload)
{
	struct daemon *d = arg;
	trace("append", d->number, n, kind, payload.len);
	if (is_step(kind, payload))
		d->tense = TENSE_TURNS;
	jm_append(&d->journal, n, kind, payload);
}

static void host_barrier(void *arg, uint64_t id)
{
	jm_barrier(&((struct daemon *)arg)->journal, id);
}

static void host_hole(void *arg, uint64_t checkpoint, struct slice ranges)
{
	struct daemon *d = arg;
	trace("hole", d->number, checkpoint, ranges.len / HOLE_RANGE_SIZE, 0);
	jm_hole(&d->journal, checkpoint, ranges);
}

static void host_reserve(void *arg, uint64_t bytes)
{
	jm_reserve(&((struct daemon *)arg)->journal, bytes);
}

static void host_send(void *arg, uint64_t conn, struct slice frames)
{
	struct daemon *d = arg;
	struct link *l = net_find(&d->net, conn);
	struct frame f;
	size_t used;
	if (!l || l->daemon_closed || l->down.closed)
		return;
	for (size_t at = 0; at < frames.len; at += used) {
		struct slice rest = slice_of(frames.data + at, frames.len - at);
		if (frame_parse(rest, &f, &used) || used == 0)
			trace_fail("cell %s sends a cut frame", d->name);
		trace(wire_name(f.type) ? wire_name(f.type) : "?", d->number, conn,
		    f.payload.len, f.payload.len >= 4 ? load_u32(f.payload.data) : 0);
	}
	bytes_push(&l->down.flight, frames);
}

static void host_deliverable(void *arg, uint64_t conn)
{
	struct link *l = net_find(&((struct daemon *)arg)->net, conn);
	if (l)
		l->deliverable = true;
}

static void host_close(void *arg, uint64_t conn)
{
	struct daemon *d = arg;
	struct link *l = net_find(&d->net, conn);
	trace("close", d->number, conn, 0, 0);
	if (l)
		l->down.closed = true;
}

/* ---- the journal ---- */

static void committed(void *arg, uint64_t index, const struct jm_record *r)
{
	struct daemon *d = arg;
	trace("committed", d->number, index, r->kind, r->len);
	checks_committed(d, index, r);
}

static void refused(void *arg, const char *why, uint64_t index)
{
	trace_fail("journal of cell %s: %s: %llu", ((struct daemon *)arg)->name, why,
	    (unsigned long long)index);
}

void cell_commit(struct daemon *d, size_t ops)
{
	if (d->journal.op_count == 0)
		return;
	trace("commit", d->number, ops, d->journal.op_count, 0);
	jm_commit(&d->journal, ops);
	if (d->journal.reserved)
		jm_tell_room(&d->journal);
}

/* ---- starting and ending ---- */

struct wall_time cell_wall(const struct daemon *d)
{
	return (struct wall_time){(uint64_t)((int64_t)d->w->boot_ms + d->wall_offset_ms)};
}

static struct lease_time lease_now(const struct daemon *d)
{
	return (struct lease_time){d->lease_base_ms + d->w->boot_ms - d->boot_base_ms};
}

static void now(struct daemon *d)
{
	d->turn_ms = d->w->boot_ms;
	broker_now(d->broker, lease_now(d), cell_wall(d));
}

static void tell_cells(struct daemon *d)
{
	const char *why = "";
	if (!d->list)
		return;
	if (!d->cells)
		d->cells = malloc(sizeof(*d->cells));
	assert(d->cells);
	if (cells_parse(d->cells, slice_str(d->list), &why))
		trace_fail("the list of cells is none: %s", why);
	broker_cells(d->broker, d->cells, slice_str(d->name));
}

void cell_start(struct daemon *d)
{
	struct world *w = d->w;
	struct broker_host host = {d, host_append, host_barrier, host_hole, host_reserve,
	    host_send, host_deliverable, host_close};
	struct broker_log log = {&d->journal, jm_log_read, jm_log_next};
	uint64_t at = 0, term = jm_open(&d->journal);
	trace("start", d->number, d->journal.count, d->journal.end, w->boot_ms);
	d->broker = broker_new(&host);
	assert(d->broker);
	broker_set_space(d->broker, &w->space);
	tell_cells(d);
	enum rmq_error err =
	    broker_recover(d->broker, &log, d->journal.end, d->journal.count, &at);
	if (err)
		trace_fail("recovery of cell %s: record %llu: %s", d->name,
		    (unsigned long long)at, error_text(err));
	d->up = true;
	d->paused_until = 0;
	d->lease_base_ms = broker_lease_time(d->broker).ms;
	d->boot_base_ms = w->boot_ms;
	uint8_t secret[SESSION_SECRET_SIZE];
	for (size_t i = 0; i < sizeof(secret); i += 8)
		store_u64(secret + i, prng_next(&w->prng));
	broker_start(d->broker, term, secret);
	now(d);
	broker_flush(d->broker);
}

void cell_init(struct daemon *d, struct world *w, unsigned number)
{
	d->w = w;
	d->number = number;
	snprintf(d->name, sizeof(d->name), "c%u", number);
	snprintf(d->address, sizeof(d->address), "10.0.0.%u:7000", number + 1);
	d->wall_offset_ms = d->wall_highest_ms = WORLD_WALL_MS;
	d->journal.capacity = ROOM_ENOUGH;
	d->journal.reserve = w->space.reserve_bytes;
	d->journal.arg = d;
	d->journal.committed = committed;
	d->journal.refused = refused;
}

void cell_crash(struct daemon *d, size_t ops)
{
	trace("crash", d->number, ops, d->journal.op_count, 0);
	jm_crash(&d->journal, ops);
	broker_free(d->broker);
	d->broker = NULL;
	d->up = false;
	for (size_t i = 0; i < d->net.count; i++) {
		struct link *l = d->net.links[i];
		if (!l->daemon_closed)
			net_break(l, &d->w->prng);
		l->daemon_closed = true;
	}
	net_sweep(&d->net);
}

void cell_stop(struct daemon *d)
{
	if (d->up)
		cell_crash(d, d->journal.op_count);
	d->stopped = true;
}

void cell_deinit(struct daemon *d)
{
	if (d->up)
		broker_free(d->broker);
	free(d->cells);
	net_free(&d->net);
	jm_free(&d->journal);
}

struct link *cell_dial(struct daemon *d, uint64_t clock_ms)
{
	return d->up ? net_connect(&d->net, d, clock_ms) : NULL;
}

struct daemon *cell_named(struct world *w, struct slice name)
{
	for (unsigned i = 0; i < w->cells_count; i++)
		if (slice_eq(name, slice_str(w->cells[i].name)))
			return &w->cells[i];
	return NULL;
}

struct daemon *cell_at(struct world *w, struct slice address)
{
	for (unsigned i = 0; i < w->cells_count; i++)
		if (slice_eq(address, slice_str(w->cells[i].address)))
			return &w->cells[i];
	return NULL;
}

/* ---- a turn ---- */

uint64_t cell_due(const struct daemon *d)
{
	uint64_t ms = d->up ? broker_due_ms(d->broker) : UINT64_MAX;
	return ms == UINT64_MAX ? UINT64_MAX : d->turn_ms + ms;
}

bool cell_ready(const struct daemon *d)
{
	if (!d->up || d->paused_until > d->w->boot_ms)
		return false;
	if (d->journal.answer_count > 0 || cell_due(d) <= d->w->boot_ms ||
	    broker_listens(d->broker))
		return true;
	for (size_t i = 0; i < d->net.count; i++)
		if (net_ready(d->net.links[i], d->broker))
			return true;
	return false;
}

bool cell_idle(const struct daemon *d)
{
	return d->up && jm_idle(&d->journal) && !broker_pending(d->broker) && !cell_ready(d);
}

static void take_answers(struct daemon *d)
{
	struct world *w = d->w;
	struct jm_answer a;
	while (jm_answer(&d->journal, &a)) {
		trace("answer", d->number, a.type, a.n, a.count);
		switch (a.type) {
		case JM_STORED:
			broker_stored(d->broker, a.n, a.count, a.value);
			break;
		case JM_BARRIER_DONE:
			broker_barrier_done(d->broker, a.n);
			break;
		case JM_ROOM:
			broker_room(d->broker, a.n, a.value);
			break;
		case JM_HOLES_WANTED:
			broker_holes_wanted(d->broker, a.value);
			break;
		}
		if (!w->calm && prng_chance(&w->prng, 300))
			break;
	}
}

/*
 * `attentive`: takes all that is there.  Whether it did, or whether what is left is behind what the
 * client does not read, which is its own affair.
 */
static bool take_frames(struct link *l, bool attentive)
{
	struct daemon *d = l->daemon;
	struct frame f;
	size_t used = 0;
	now(d);
	while (!l->down.closed && broker_wants_frame(d->broker, l->id)) {
		if (frame_parse(bytes_all(&l->up.arrived), &f, &used))
			trace_fail("a client sends what is no frame");
		if (used == 0)
			return true;
		trace(wire_name(f.type), d->number, l->id, f.payload.len,
		    f.payload.len >= 4 ? load_u32(f.payload.data) : 0);
		broker_frame(d->broker, l->id, &f);
		bytes_consume(&l->up.arrived, used);
		if (!attentive && prng_chance(&d->w->prng, 200))
			return false;
	}
	return l->down.closed || broker_owed(d->broker, l->id) > OWED_MAX;
}

static void take_end(struct link *l)
{
	struct daemon *d = l->daemon;
	if (!l->down.closed && !net_end_arrived(l))
		return;
	trace("disconnect", d->number, l->id, l->died_session, 0);
	broker_disconnect(d->broker, l->id);
	if (l->died_session)
		broker_holder_died(d->broker, l->died_session);
	bytes_consume(&l->up.arrived, bytes_all(&l->up.arrived).len);
	l->up.closed = l->down.closed = true;
	l->daemon_closed = true;
}

/* Takes what clients have sent, or some of it; whether it is all that was there before. */
static bool take_input(struct daemon *d)
{
	struct world *w = d->w;
	bool attentive = w->calm || prng_chance(&w->prng, 300), whole = true;
	for (size_t i = 0; i < d->net.count; i++) {
		struct link *l = d->net.links[i];
		if (l->daemon_closed)
			continue;
		if (!attentive && prng_chance(&w->prng, 200)) {
			whole = false;
			continue;
		}
		if (!l->accepted) {
			broker_connect(d->broker, l->id);
			broker_owner(d->broker, l->id, slice_str(CELL_NODE), CELL_UID);
		}
		l->accepted = true;
		whole &= take_frames(l, attentive);
		take_end(l);
	}
	return whole;
}

static void make_space(struct daemon *d)
{
	uint64_t index;
	while (!broker_holds(d->broker) && broker_wants_record(d->broker, &index)) {
		const struct jm_record *r = jm_read(&d->journal, index);
		trace("move", d->number, index, 0, 0);
		if (!r || r->hole)
			trace_fail("record %llu of cell %s is to move and is not there",
			    (unsigned long long)index, d->name);
		enum rmq_error err =
		    broker_move(d->broker, index, slice_of(r->payload, r->len));
		if (err)
			trace_fail("record %llu of cell %s cannot move: %s",
			    (unsigned long long)index, d->name, error_text(err));
	}
}

static void deliver(struct link *l, const struct delivery *d, const struct jm_record *r)
{
	static uint8_t memory[BATCH_MAX];
	struct delivery_cursor c;
	struct delivery_frame f;
	uint64_t bytes = 0;
	enum rmq_error err = delivery_open(d, slice_of(r->payload, r->len), memory, &c);
	while (!err && (err = delivery_next(&c, &f)) == RMQ_E_OK) {
		bytes_push(&l->down.flight, slice_of(f.head, f.head_len));
		bytes_push(&l->down.flight, f.attributes);
		bytes_push(&l->down.flight, f.ends);
		bytes_push(&l->down.flight, f.blob);
		bytes += delivery_bytes(&f);
	}
	if (err != RMQ_E_NOTHING)
		trace_fail("delivery of record %llu of cell %s: %s",
		    (unsigned long long)d->index, l->daemon->name, error_text(err));
	broker_delivered(l->daemon->broker, l->id, d, bytes);
}

static void pull(struct link *l)
{
	struct daemon *cell = l->daemon;
	struct world *w = cell->w;
	struct delivery d;
	while (bytes_all(&l->down.flight).len < NET_OUT_MAX) {
		if (!broker_next_delivery(cell->broker, l->id, &d)) {
			l->deliverable = false;
			return;
		}
		if (d.history) {
			struct broker_log log = {&cell->journal, jm_log_read, jm_log_next};
			broker_history(cell->broker, l->id, &log);
			continue;
		}
		const struct jm_record *r = jm_read(&cell->journal, d.index);
		trace("pull", cell->number, l->id, d.lease, d.first_seq);
		/* What a PEEK shows may have left since. */
		if (d.peek && (!r || r->hole))
			continue;
		if (!r || r->hole)
			trace_fail(
			    "a delivery names record %llu of cell %s, which is not there",
			    (unsigned long long)d.index, cell->name);
		if (!d.peek)
			checks_delivery(cell, &d);
		deliver(l, &d, r);
		if (!w->calm && prng_chance(&w->prng, 100))
			return;
	}
}

void cell_turn(struct daemon *d)
{
	struct world *w = d->w;
	now(d);
	struct lease_time begun = lease_now(d);
	take_answers(d);
	if (take_input(d))
		broker_heard(d->broker, begun);
	/* One after the other would keep parts in flight, and time still. */
	if (w->boot_ms > d->asked_ms &&
	    prng_chance(
		&w->prng, d->tense > 0 ? w->weather.tense_checkpoint : w->weather.checkpoint)) {
		broker_checkpoint(d->broker);
		d->asked_ms = w->boot_ms;
	}
	make_space(d);
	broker_flush(d->broker);
	for (size_t i = 0; i < d->net.count; i++) {
		struct link *l = d->net.links[i];
		if (l->deliverable && !l->daemon_closed && !l->down.closed &&
		    (w->calm || prng_chance(&w->prng, 700)))
			pull(l);
	}
	net_sweep(&d->net);
}

/* ---- recovery ---- */

void cell_replay(struct daemon *d)
{
	struct journal_model *j = &d->journal;
	uint64_t newest = recovery_digest(j, j->end, j->count, false);
	trace("replay", d->number, newest, j->end, j->count);
	if (newest != recovery_digest(j, 0, j->count, true))
		trace_fail("recovery of cell %s from END %llu differs from its whole history",
		    d->name, (unsigned long long)j->end);
	if (d->up && jm_idle(j) && !broker_pending(d->broker) &&
	    broker_digest(d->broker) != newest)
		trace_fail("recovery of cell %s differs from the daemon that runs", d->name);
}
