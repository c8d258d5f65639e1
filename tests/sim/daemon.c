#include "daemon.h"

#include "actors.h"
#include "checks.h"
#include "ephemerals.h"
#include "receivers.h"
#include "told.h"
#include "trace.h"

#include <assert.h>
#include <stdlib.h>

/* ---- the core's host ---- */

/* How many bytes of new messages a payload holds; notes the newest SEND. */
static uint64_t new_bytes(struct daemon *d, struct slice payload)
{
	struct event_send send;
	struct events_header h;
	struct event_iter it;
	struct event e;
	uint64_t sum = 0;
	if (events_open(payload, &h, &it))
		return 0;
	while (event_next(&it, &e) == RMQ_E_OK) {
		if (e.type == EVENT_TYPE_SEND || e.type == EVENT_TYPE_CHUNK)
			sum += e.body.len;
		if (e.type == EVENT_TYPE_SEND && event_send_decode(e.body, &send)) {
			d->taken_session = send.session;
			d->taken_n = send.n;
		}
	}
	return sum;
}

/* Notes so many for append n; the sum over all after the one that ROOM was counted from. */
static uint64_t new_bytes_since(struct daemon *d, uint64_t n, uint64_t bytes)
{
	if (n >= d->sums_cap) {
		d->sums_cap = 2 * n + 64;
		d->sums = realloc(d->sums, d->sums_cap * sizeof(*d->sums));
		assert(d->sums);
	}
	d->sums[n] = (n > 1 ? d->sums[n - 1] : 0) + bytes;
	return d->sums[n] - (d->room_n > 0 ? d->sums[d->room_n] : 0);
}

/* The newest bytes of the link came at that lease time, if an EXTEND is among the unread. */
static bool speaks(const struct daemon *d, const struct link *l, uint64_t *lease_ms)
{
	struct slice rest = bytes_all(&l->up.arrived);
	struct frame f;
	size_t used;
	if (l->daemon != d || l->daemon_closed || l->down.closed || l->deaf)
		return false;
	while (frame_parse(rest, &f, &used) == RMQ_E_OK && used > 0) {
		if (f.type == WIRE_TYPE_EXTEND) {
			*lease_ms = daemon_lease_now(d).ms - (d->w->boot_ms - l->arrived_ms);
			return true;
		}
		rest = slice_of(rest.data + used, rest.len - used);
	}
	return false;
}

/* A record ends leases: notes who had asked for more time and was not read, though it reads. */
static void note_unread(struct daemon *d, struct slice payload)
{
	struct shadow *s = &d->w->shadow;
	struct events_header h;
	struct event_iter it;
	struct event e;
	uint64_t then;
	bool ends = false;
	if (events_open(payload, &h, &it))
		return;
	while (event_next(&it, &e) == RMQ_E_OK)
		ends |= e.type == EVENT_TYPE_EXPIRE || e.type == EVENT_TYPE_BURY;
	for (size_t i = 0; ends && i < d->w->net.count; i++)
		if (speaks(d, d->w->net.links[i], &then))
			s->unread[s->unread_count++ % SHADOW_UNREAD] = (struct shadow_unread){
			    d->w->net.links[i]->session, then, shadow_record_hash(payload)};
}

static void count_checkpoint(struct daemon *d, enum record_kind kind, size_t len)
{
	if (kind == RECORD_EVENTS) {
		d->log_bytes += len;
		return;
	}
	if (!d->in_parts) {
		d->part_log_bytes = d->log_bytes;
		d->log_bytes = d->part_bytes = 0;
		d->unpaid = true;
	}
	d->in_parts = kind == RECORD_PART;
	d->part_bytes += len;
}

/*
 * A checkpoint that nobody asked for frees more than it wrote, or shortens a log that is four times
 * as long; one in small parts may go on for long, while the state that it holds grows.
 */
static void check_pays(struct daemon *d, struct slice ranges)
{
	const struct journal_model *j = d->journal;
	uint64_t freed = 0;
	struct reader r = reader_of(ranges);
	while (reader_left(&r) >= HOLE_RANGE_SIZE) {
		struct hole_range range = hole_range_get(&r);
		for (uint64_t i = range.first; i < range.first + range.count; i++) {
			const struct jm_record *dead = jm_read(j, i);
			freed += dead && !dead->hole ? dead->len : 0;
		}
	}
	uint64_t logged = d->part_log_bytes + d->log_bytes;
	trace("pays", freed, d->part_bytes, logged, d->asked);
	uint64_t enough = d->part_bytes * (d->log_bytes < d->part_log_bytes / 8 ? 4 : 2);
	if (!d->asked && freed <= d->part_bytes && logged < enough)
		trace_fail("a checkpoint of %llu bytes frees %llu, and the log has %llu",
		    (unsigned long long)d->part_bytes, (unsigned long long)freed,
		    (unsigned long long)logged);
	d->asked = broker_checkpointing(d->broker);
	d->unpaid = false;
}

static void host_append(void *arg, uint64_t n, enum record_kind kind, struct slice payload)
{
	struct daemon *d = arg;
	trace("append", n, kind, payload.len, 0);
	count_checkpoint(d, kind, payload.len);
	if (kind == RECORD_EVENTS) {
		uint64_t bytes = new_bytes(d, payload);
		uint64_t used = new_bytes_since(d, n, bytes);
		if (bytes > 0 && used > d->room_bytes)
			trace_fail("%llu bytes of new messages, room for %llu",
			    (unsigned long long)used, (unsigned long long)d->room_bytes);
		note_unread(d, payload);
		receivers_appended(d->w, payload);
		ephemerals_appended(d, payload);
	} else {
		new_bytes_since(d, n, 0);
	}
	jm_append(d->journal, n, kind, payload);
}

static void host_barrier(void *arg, uint64_t id)
{
	struct daemon *d = arg;
	trace("barrier", id, 0, 0, 0);
	jm_barrier(d->journal, id);
}

static void host_hole(void *arg, uint64_t checkpoint, struct slice ranges)
{
	struct daemon *d = arg;
	trace("hole", checkpoint, ranges.len / HOLE_RANGE_SIZE, 0, 0);
	if (d->journal == &d->w->journal)
		check_pays(d, ranges);
	jm_hole(d->journal, checkpoint, ranges);
}

static void host_reserve(void *arg, uint64_t bytes)
{
	struct daemon *d = arg;
	trace("reserve", bytes, 0, 0, 0);
	jm_reserve(d->journal, bytes);
}

static void host_send(void *arg, uint64_t conn, struct slice frames)
{
	struct world *w = ((struct daemon *)arg)->w;
	struct link *l = net_find(&w->net, conn);
	struct frame f;
	size_t used;
	if (!l || l->daemon_closed || l->down.closed)
		return;
	for (size_t at = 0; at < frames.len; at += used) {
		struct slice rest = slice_of(frames.data + at, frames.len - at);
		if (frame_parse(rest, &f, &used) || used == 0)
			trace_fail("the daemon sends a cut frame");
		trace(wire_name(f.type) ? wire_name(f.type) : "?", conn, f.payload.len,
		    f.payload.len >= 4 ? load_u32(f.payload.data) : 0, 0);
		checks_frame(w, l, &f);
	}
	bytes_push(&l->down.flight, frames);
}

static void host_deliverable(void *arg, uint64_t conn)
{
	struct link *l = net_find(&((struct daemon *)arg)->w->net, conn);
	if (l)
		l->deliverable = true;
}

static void host_close(void *arg, uint64_t conn)
{
	struct link *l = net_find(&((struct daemon *)arg)->w->net, conn);
	trace("close", conn, 0, 0, 0);
	if (l)
		l->down.closed = true;
}

/* ---- starting and ending ---- */

struct wall_time daemon_wall(const struct daemon *d)
{
	return (struct wall_time){(uint64_t)((int64_t)d->w->boot_ms + d->wall_offset_ms)};
}

struct lease_time daemon_lease_now(const struct daemon *d)
{
	uint64_t ms = d->w->boot_ms - d->boot_base_ms;
	if (d->w->variant == WORLD_WALL_LEASES) {
		uint64_t wall = daemon_wall(d).ms;
		ms = wall > d->wall_base_ms ? wall - d->wall_base_ms : 0;
	}
	return (struct lease_time){d->lease_base_ms + ms};
}

static void now(struct daemon *d)
{
	struct wall_time wall = daemon_wall(d);
	d->turn_ms = d->w->boot_ms;
	broker_now(d->broker, daemon_lease_now(d), wall);
}

void daemon_start(struct daemon *d, uint64_t term)
{
	struct world *w = d->w;
	struct journal_model *j = d->journal;
	struct broker_host host = {d, host_append, host_barrier, host_hole, host_reserve,
	    host_send, host_deliverable, host_close};
	uint64_t end = w->variant == WORLD_OLD_END && j->older_end ? j->older_end : j->end;
	struct broker_log log = {j, jm_log_read, jm_log_next};
	uint64_t at = 0;
	trace("start", term, j->count, end, w->boot_ms);
	d->broker = broker_new(&host);
	assert(d->broker);
	broker_set_space(d->broker, &w->space);
	/* One that had not come to its END begins anew. */
	d->log_bytes += d->unpaid ? d->part_log_bytes : 0;
	d->in_parts = d->unpaid = d->asked = false;
	enum rmq_error err = broker_recover(d->broker, &log, end, j->count, &at);
	if (err)
		trace_fail(
		    "recovery: record %llu: %s", (unsigned long long)at, error_text(err));
	d->up = true;
	d->life++;
	d->term = term;
	d->paused_until = 0;
	d->lease_base_ms = broker_lease_time(d->broker).ms;
	d->boot_base_ms = w->boot_ms;
	d->wall_base_ms = daemon_wall(d).ms;
	d->room_n = d->room_bytes = d->taken_session = 0;
	w->shadow.unread_count = 0; /* lease time begins where it was */
	uint8_t secret[SESSION_SECRET_SIZE];
	for (size_t i = 0; i < sizeof(secret); i += 8)
		store_u64(secret + i, prng_next(&w->prng));
	/* Holes that are made again were paid for before. */
	d->asked = true;
	broker_start(d->broker, term, secret);
	d->asked = false;
	now(d);
	broker_flush(d->broker);
}

void daemon_crash(struct daemon *d)
{
	struct world *w = d->w;
	broker_free(d->broker);
	d->broker = NULL;
	d->up = false;
	for (size_t i = 0; i < w->net.count; i++) {
		struct link *l = w->net.links[i];
		if (l->daemon != d)
			continue;
		if (!l->daemon_closed)
			net_break(l, &w->prng);
		l->daemon_closed = true;
	}
	net_sweep(&w->net);
}

void daemon_free(struct daemon *d)
{
	if (d->up)
		broker_free(d->broker);
	free(d->sums);
}

bool daemon_past(const struct daemon *d)
{
	return d->term < d->w->term;
}

/* ---- a turn ---- */

uint64_t daemon_due(const struct daemon *d)
{
	uint64_t ms = d->up && !d->waits ? broker_due_ms(d->broker) : UINT64_MAX;
	return ms == UINT64_MAX ? UINT64_MAX : d->turn_ms + ms;
}

bool daemon_ready(const struct daemon *d)
{
	const struct world *w = d->w;
	if (!d->up || d->waits || d->paused_until > w->boot_ms)
		return false;
	if (d->journal->answer_count > 0 || daemon_due(d) <= w->boot_ms ||
	    broker_listens(d->broker))
		return true;
	for (size_t i = 0; i < w->net.count; i++)
		if (w->net.links[i]->daemon == d && net_ready(w->net.links[i], d->broker))
			return true;
	return false;
}

static void take_answers(struct daemon *d)
{
	struct world *w = d->w;
	struct jm_answer a;
	while (jm_answer(d->journal, &a)) {
		trace("answer", a.type, a.n, a.value, a.count);
		switch (a.type) {
		case JM_STORED:
			broker_stored(d->broker, a.n, a.count, a.value);
			break;
		case JM_BARRIER_DONE:
			broker_barrier_done(d->broker, a.n);
			break;
		case JM_ROOM:
			d->room_n = a.n;
			d->room_bytes = a.value;
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

/* Between the pieces of a message to a topic bindings may change. */
static void note_piece(struct link *l, const struct wire_send *m)
{
	struct world *w = l->daemon->w;
	l->unfinished = (m->flags & SEND_TOPIC) && (m->flags & SEND_MORE) &&
			shadow_bound(&w->shadow, m->queue) > 1;
	if (l->unfinished && !w->calm)
		l->stalled_until = w->boot_ms + prng_range(&w->later, 10, 1000);
}

/* Keeps a SEND, to be repeated. */
static void keep_send(struct link *l, const struct frame *f)
{
	struct wire_send m;
	bytes_consume(&l->kept, bytes_all(&l->kept).len);
	if (f->type != WIRE_TYPE_SEND || !wire_send_decode(f->payload, &m))
		return;
	note_piece(l, &m);
	if (m.flags & SEND_CHUNK)
		return;
	bytes_push(&l->kept, f->payload);
	l->kept_n = m.n;
}

/*
 * A client may repeat a command that was taken and has no answer yet.  Ours do so only
 * when they are reconnected, and WELCOME has waited for the disk by then.
 */
static void repeat_send(struct link *l)
{
	struct daemon *d = l->daemon;
	struct frame f = {WIRE_TYPE_SEND, bytes_all(&l->kept)};
	if (f.payload.len == 0 || l->session != d->taken_session || l->kept_n != d->taken_n ||
	    l->down.closed || !broker_wants_frame(d->broker, l->id) ||
	    !prng_chance(&d->w->prng, 100))
		return;
	trace("repeat", l->id, l->kept_n, 0, 0);
	broker_frame(d->broker, l->id, &f);
	bytes_consume(&l->kept, f.payload.len);
}

/*
 * `attentive`: takes all that is there.  Whether it did, or whether what is left is behind what the
 * client does not read, which is its own affair.
 */
static bool take_frames(struct link *l, bool attentive)
{
	struct world *w = l->daemon->w;
	struct broker *b = l->daemon->broker;
	struct wire_started started;
	struct frame f;
	size_t used = 0;
	if (w->variant != WORLD_ONE_CLOCK)
		now(l->daemon);
	while (!l->down.closed && broker_wants_frame(b, l->id)) {
		enum rmq_error err = frame_parse(bytes_all(&l->up.arrived), &f, &used);
		if (err)
			trace_fail("a client sends what is no frame");
		if (used == 0) {
			l->deaf = false;
			return true;
		}
		/* The first bytes: a number of a command or of a subscription. */
		trace(wire_name(f.type), l->id, f.payload.len,
		    f.payload.len >= 4 ? load_u32(f.payload.data) : 0, 1);
		if (!l->trespasses) {
			checks_asked(w, l, &f);
			told_asked(l, &f);
		}
		/* Its session may go on over another connection by now. */
		if (f.type == WIRE_TYPE_STARTED && broker_session(b, l->id) == l->session &&
		    wire_started_decode(f.payload, &started))
			shadow_started(
			    &w->shadow, l->session, &started, daemon_lease_now(l->daemon).ms);
		if (f.type == WIRE_TYPE_BYE && !l->trespasses)
			shadow_bye(&w->shadow, l->session);
		broker_frame(b, l->id, &f);
		keep_send(l, &f);
		bytes_consume(&l->up.arrived, used);
		if (!attentive && prng_chance(&w->prng, 200))
			return false;
	}
	bool owes = broker_owed(b, l->id) > OWED_MAX;
	l->deaf |= owes;
	return l->down.closed || owes;
}

/* The client's end is seen, or the daemon's own; perhaps the process is known to be dead. */
static void take_end(struct link *l)
{
	struct world *w = l->daemon->w;
	struct broker *b = l->daemon->broker;
	if (!l->down.closed && !net_end_arrived(l))
		return;
	trace("disconnect", l->id, l->session, l->died_session, 0);
	ephemerals_left(l);
	broker_disconnect(b, l->id);
	if (l->died_session) {
		shadow_died(&w->shadow, l->died_session);
		broker_holder_died(b, l->died_session);
	} else if (w->variant == WORLD_RELEASE_ON_DISCONNECT && l->session) {
		broker_holder_died(b, l->session);
	}
	bytes_consume(&l->up.arrived, bytes_all(&l->up.arrived).len);
	l->up.closed = l->down.closed = true;
	l->daemon_closed = true;
}

static void on_lost(
    void *arg, struct slice queue, uint64_t first, uint64_t last, uint64_t messages)
{
	(void)arg, (void)queue;
	trace("lost", first, last, messages, 0);
}

/* A record that was to be read is rotten; wanted: the broker named it. */
static void lost(struct daemon *d, uint64_t index, bool wanted)
{
	if (broker_lost(d->broker, index, on_lost, NULL) == 0 && wanted)
		trace_fail(
		    "record %llu was wanted and holds nothing live", (unsigned long long)index);
}

static void move(struct daemon *d, uint64_t index, bool wanted)
{
	const struct jm_record *r = jm_read(d->journal, index);
	trace("move", index, 0, 0, 0);
	if (!r || r->hole)
		trace_fail(
		    "record %llu is to move and is not there", (unsigned long long)index);
	if (r->rotten) {
		lost(d, index, wanted);
		return;
	}
	enum rmq_error err = broker_move(d->broker, index, slice_of(r->payload, r->len));
	if (err)
		trace_fail(
		    "record %llu cannot move: %s", (unsigned long long)index, error_text(err));
	d->moved = index;
}

/* Moves what the core wants to move, and now and then any record that holds bodies. */
static void make_space(struct daemon *d)
{
	struct world *w = d->w;
	uint64_t index;
	if (broker_holds(d->broker))
		return;
	while (broker_wants_record(d->broker, &index))
		move(d, index, true);
	/* One move after the other would keep a queue's messages in flight, and time still. */
	if (broker_inflight_bytes(d->broker) > 0)
		return;
	if (w->still || w->draining || d->journal->count == 0 ||
	    !prng_chance(&w->prng, w->weather.move))
		return;
	index = prng_range(&w->prng, 1, d->journal->count);
	if (index < w->shadow.bodies_cap && w->shadow.bodies[index] > 0 && !daemon_past(d))
		move(d, index, false);
}

/* As jm_log_next(), but it says which record has gone bad. */
static enum rmq_error look(void *journal, uint64_t index, uint64_t *found,
    enum record_kind *kind, struct slice *payload)
{
	enum rmq_error err = jm_log_next(journal, index, found, kind, payload);
	return !err && jm_read(journal, *found)->rotten ? RMQ_E_CORRUPT : err;
}

static void pull(struct link *l)
{
	static uint8_t memory[DELIVERY_MEMORY];
	struct world *w = l->daemon->w;
	struct broker *b = l->daemon->broker;
	struct delivery d;
	while (bytes_all(&l->down.flight).len < NET_OUT_MAX) {
		struct delivery_cursor c;
		struct delivery_frame f;
		bool skip = false;
		if (!broker_next_delivery(b, l->id, &d)) {
			l->deliverable = false;
			return;
		}
		if (d.history) {
			struct broker_log log = {l->daemon->journal, jm_log_read, look};
			broker_history(b, l->id, &log);
			continue;
		}
		const struct jm_record *r = jm_read(l->daemon->journal, d.index);
		trace("pull", l->id, d.target, d.lease, d.first_seq);
		if (r && r->rotten) {
			broker_undelivered(b, l->id, &d);
			lost(l->daemon, d.index, true);
			continue;
		}
		checks_delivery(w, l, &d, r, &skip);
		if (skip)
			continue;
		uint64_t bytes = 0;
		enum rmq_error err =
		    delivery_open(&d, slice_of(r->payload, r->len), memory, &c);
		while (!err && (err = delivery_next(&c, &f)) == RMQ_E_OK) {
			bytes_push(&l->down.flight, slice_of(f.head, f.head_len));
			bytes_push(&l->down.flight, f.attributes);
			bytes_push(&l->down.flight, f.ends);
			bytes_push(&l->down.flight, f.blob);
			bytes += delivery_bytes(&f);
		}
		if (err != RMQ_E_NOTHING)
			trace_fail("delivery of record %llu: %s", (unsigned long long)d.index,
			    error_text(err));
		broker_delivered(b, l->id, &d, bytes);
		if (!daemon_past(l->daemon))
			told_delivery(w, l, &d, bytes);
		if (!w->calm && prng_chance(&w->prng, 100))
			return;
	}
}

/* Time passes inside of a turn, clients go on, and what they write arrives. */
static void goes_on(struct world *w)
{
	struct prng *p = &w->prng;
	if (w->calm || w->still || !prng_chance(p, w->weather.slow))
		return;
	w->boot_ms += prng_range(p, 1, prng_chance(p, 100) ? 4000 : 30);
	for (uint64_t i = prng_below(p, 8); i > 0; i--) {
		actors_step(w);
		net_move(&w->net, p, w->boot_ms);
	}
}

/* Takes what clients have sent, or some of it; whether it is all that was there before. */
static bool take_input(struct daemon *d)
{
	struct world *w = d->w;
	bool attentive = w->calm || prng_chance(&w->prng, 300), whole = true;
	/* Who connects meanwhile has to wait for the next turn. */
	size_t count = w->net.count;
	for (size_t i = 0; i < count; i++) {
		struct link *l = w->net.links[i];
		if (l->daemon != d || l->daemon_closed)
			continue;
		if (!attentive && prng_chance(&w->prng, 200)) {
			whole = false;
			continue;
		}
		/* Or those who hang up would make it ever slower, and so hang up again. */
		if (!l->client_closed)
			goes_on(w);
		if (!l->accepted) {
			broker_connect(d->broker, l->id);
			broker_owner(d->broker, l->id, slice_str(DAEMON_NODE), l->uid);
			if (l->rights_len > 0)
				broker_rights(
				    d->broker, l->id, slice_of(l->rights, l->rights_len));
		}
		l->accepted = true;
		repeat_send(l);
		whole &= take_frames(l, attentive);
		take_end(l);
	}
	return whole;
}

void daemon_turn(struct daemon *d)
{
	struct world *w = d->w;
	struct broker *b = d->broker;
	if (d->waits)
		return;
	now(d);
	struct lease_time begun = daemon_lease_now(d);
	take_answers(d);
	if (take_input(d))
		broker_heard(b, begun);
	/* One after the other would keep parts in flight, and time still. */
	if (!w->still && !w->draining && w->boot_ms > d->asked_ms &&
	    prng_chance(&w->prng, w->weather.checkpoint)) {
		broker_checkpoint(b);
		d->asked = broker_checkpointing(b);
		d->asked_ms = w->boot_ms;
	}
	make_space(d);
	broker_flush(b);
	if (broker_ids(b) > IDS_OF_ALL)
		trace_fail("%u ids are remembered, and may be %u", broker_ids(b), IDS_OF_ALL);
	if (w->variant == WORLD_MOVE_KILLS && d->moved)
		jm_kill(d->journal, d->moved);
	d->moved = 0;
	for (size_t i = 0; i < w->net.count; i++) {
		struct link *l = w->net.links[i];
		if (l->daemon == d && l->deliverable && !l->daemon_closed && !l->down.closed &&
		    (w->calm || prng_chance(&w->prng, 700)))
			pull(l);
	}
	net_sweep(&w->net);
}
