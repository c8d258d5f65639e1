/*
 * What has happened to a message, read from the journal: its queue's part of the newest checkpoint
 * says in which state it was, and the events after that what came then.  In front of that part
 * nothing counts, as in recovery.  Once it is known that the message is there, each event that
 * covers its number is about it, for events are valid; what covers the number of a message that is
 * gone is not.
 *
 * A frame reads so much and no more.  What is known so far goes to the client, who gives it back
 * with the next one: nothing is kept here.
 */
#include "core/broker/broker_state.h"

#include <assert.h>
#include <sodium/crypto_generichash.h>
#include <sodium/utils.h>
#include <string.h>

#include "core/base/name.h"
#include "core/base/variant.h"
#include "core/queue/lanes.h"

#define ENTRIES_BYTES 16384
/* With less room the next record is left for another frame: most have one entry, or two. */
#define RECORD_ROOM (4 * HISTORY_ENTRY_MAX)
/* What a record costs besides its bytes. */
#define RECORD_COST 64

enum phase {
	BEFORE, /* the part that knows it, or not, is still to come */
	NAMED,	/* … has named its queue, and may yet name it */
	ABSENT, /* … did not have it: it may have been sent later */
	THERE,
	GONE,
	PHASES
};

/* at: the next record; end: the last one.  queue: its number, 0: it is looked for by name. */
/* clang-format off */
#define HISTORY_PLACE(F) \
	F(u64, at) F(u64, end) F(u32, queue) F(u8, phase) F(u8, state) F(u8, attached) \
	F(u8, by_wall) F(u64, session) F(u64, lease) F(u32, lease_ms) F(u64, until_ms) \
	F(u32, attempt) F(u32, failures)
/* clang-format on */
CODEC_MESSAGE(history, place, HISTORY_PLACE)

#define PLACE_SEAL 16 /* bytes after it */

static_assert(
    PLACE_SEAL + 8 + 8 + 4 + 1 + 1 + 1 + 1 + 8 + 8 + 4 + 8 + 4 + 4 <= HISTORY_PLACE_MAX &&
	HISTORY_PLACE_MAX <= NAME_FULL_MAX,
    "clients keep a place as they keep a name");

struct history_ask {
	uint32_t req;
	uint64_t seq;
	size_t name_len;
	char name[NAME_FULL_MAX];
	struct history_place p;
	struct history_waits waits; /* when it was asked */
};

struct history {
	struct broker *b;
	struct history_ask ask;
	struct history_place *p; /* ask.p */
	uint32_t counts; /* what a hand-out adds to `attempt` and a failure to `failures` */
	struct writer entries;
	/* where the newest entry begins, if it is EXTENDED, and how often; 0 times: it is not */
	size_t newest;
	uint32_t times;
	bool cut; /* no room for all of the record */
	/* the record that is read */
	uint64_t index;
	struct slice payload;
	struct events_header h;
};

static bool covers(uint64_t first, uint64_t count, uint64_t seq)
{
	return seq >= first && seq - first < count;
}

/*
 * A client gives a place back as it was told, on any connection, also to a later daemon; one that it has
 * made up could be in another queue.
 */
static void seal_place(const struct broker *b, struct slice queue, uint64_t seq,
    struct slice place, uint8_t seal[PLACE_SEAL])
{
	/* Longer than what any other use of the secret is made of. */
	uint8_t bytes[1 + NAME_FULL_MAX + 8 + HISTORY_PLACE_MAX] = {0};
	struct writer w = writer_of(bytes, sizeof(bytes));
	put_str(&w, queue);
	put_u64(&w, seq);
	put_rest(&w, place);
	assert(!w.full);
	crypto_generichash(
	    seal, PLACE_SEAL, bytes, sizeof(bytes), b->secret, sizeof(b->secret));
}

static bool open_place(
    const struct broker *b, const struct wire_history *m, struct history_place *p)
{
	uint8_t seal[PLACE_SEAL];
	if (m->place.len < PLACE_SEAL || m->place.len > HISTORY_PLACE_MAX)
		return false;
	struct slice place = slice_of(m->place.data, m->place.len - PLACE_SEAL);
	seal_place(b, m->queue, m->seq, place, seal);
	return sodium_memcmp(seal, place.data + place.len, PLACE_SEAL) == 0 &&
	       history_place_decode(place, p) && p->phase < PHASES;
}

void broker_ask_history(struct broker *b, struct conn *c, const struct wire_history *m)
{
	struct history_ask ask = {.req = m->req, .seq = m->seq, .name_len = m->queue.len};
	struct handout *h;
	if (!name_valid(m->queue) || (m->place.len > 0 && !open_place(b, m, &ask.p))) {
		broker_refuse(b, c, RMQ_E_PROTOCOL, "bad HISTORY");
		return;
	}
	memcpy(ask.name, m->queue.data, m->queue.len);
	/* The answer comes after the events that made it so. */
	broker_waits(b, broker_queue_named(b, m->queue), m->seq, &ask.waits);
	h = broker_handout_new(sizeof(ask));
	h->history = true;
	memcpy(h->frames, &ask, sizeof(ask));
	/* One at a time on a connection. */
	c->errand = true;
	broker_hand(b, c->id, h);
}

/* ---- entries ---- */

/* Lease time, as the wall clock that it amounts to. */
static uint64_t wall_of(const struct history *x, uint64_t lease_ms)
{
	return lease_ms - x->h.lease.ms + x->h.wall.ms;
}

/* What happened now; the rest of the entry is what is known of the message. */
static void put(struct history *x, enum history_what what, struct history_entry e)
{
	const struct history_place *p = x->p;
	bool again = what == HISTORY_EXTENDED && x->times > 0;
	if (again)
		x->entries.len = x->newest;
	if (x->entries.cap - x->entries.len < 2 * HISTORY_ENTRY_MAX &&
	    what != HISTORY_UNKNOWN) {
		x->cut = true;
		return;
	}
	x->newest = x->entries.len;
	x->times = what == HISTORY_EXTENDED ? x->times + 1 : 0;
	e.what = (uint8_t)what;
	e.time_ms = x->h.wall.ms;
	e.state = p->phase == THERE ? p->state : 0;
	e.lease = p->lease;
	e.until_ms = e.state == STATE_LEASED || e.state == STATE_DELAYED ? p->until_ms : 0;
	/* Of a delay by the wall clock it is that already. */
	if (e.until_ms > 0 && !p->by_wall)
		e.until_ms = wall_of(x, e.until_ms);
	e.attempt = p->attempt;
	e.failures = p->failures;
	e.times = x->times;
	e.record = x->index;
	e.tags = NO_TAGS;
	history_entry_encode(&x->entries, &e);
	assert(!x->entries.full);
}

static void put_plain(struct history *x, enum history_what what)
{
	put(x, what, (struct history_entry){.queue = NO_TAGS, .note = NO_TAGS});
}

/* It is there from now on, or in another state. */
static void state_is(struct history *x, uint8_t state, uint64_t until_ms, bool by_wall)
{
	struct history_place *p = x->p;
	p->phase = THERE;
	p->state = state;
	p->until_ms = until_ms;
	p->by_wall = by_wall;
	if (state == STATE_LEASED)
		return;
	p->session = p->lease = p->lease_ms = p->attached = 0;
}

/* It has left the queue. */
static void gone(struct history *x, enum history_what what, struct history_entry e)
{
	x->p->phase = GONE;
	put(x, what, e);
}

static void gone_plain(struct history *x, enum history_what what)
{
	gone(x, what, (struct history_entry){.queue = NO_TAGS, .note = NO_TAGS});
}

/* ---- what it is in another queue ---- */

static struct slice name_of(const struct history *x, uint32_t queue)
{
	const struct queue *q = broker_queue(x->b, queue);
	return q ? queue_name(q) : NO_TAGS;
}

/* Which message the first one of a DEAD was: in which queue, by number or name. */
static uint64_t was(
    const struct event_dead *m, struct event_taken_from *taken, struct event_origin *o)
{
	*o = (struct event_origin){0};
	if (event_taken_find(m->tags, taken))
		return taken->seq;
	taken->queue = 0;
	return event_origin_find(m->tags, o) ? o->seq : 0;
}

/* The DEAD in the record by which the message came to another queue. */
static struct history_entry target_of(const struct history *x)
{
	struct history_entry found = {.queue = NO_TAGS, .note = NO_TAGS};
	struct slice name = slice_of(x->ask.name, x->ask.name_len);
	struct events_header h;
	struct event_iter it;
	struct event e;
	if (events_open(x->payload, &h, &it))
		return found;
	while (!event_next(&it, &e)) {
		struct event_taken_from taken;
		struct event_dead m;
		struct event_origin o;
		if (e.type != EVENT_TYPE_DEAD || !event_dead_decode(e.body, &m))
			continue;
		uint64_t first = was(&m, &taken, &o);
		bool ours =
		    taken.queue > 0 ? taken.queue == x->p->queue : slice_eq(o.queue, name);
		if (!ours || !covers(first, m.count, x->ask.seq))
			continue;
		found.queue = name_of(x, m.queue);
		found.seq = m.first_seq + (x->ask.seq - first);
		found.note = m.note;
	}
	return found;
}

/* ---- it comes ---- */

static void delayed_or_ready(
    struct history *x, struct slice attributes, uint32_t count, uint32_t i)
{
	if (attributes_check(attributes, count))
		attributes = NO_TAGS;
	struct lane asked = lane_asked(attributes, i), lane = lane_at(&asked, x->h.wall);
	state_is(x, lane.until_ms > 0 ? STATE_DELAYED : STATE_READY, lane.until_ms, true);
}

/* Its number in the batch that is for these queues; false: it is not in it. */
static bool slot_of(const struct history *x, uint32_t queue, uint64_t first, struct slice tags,
    uint64_t count, uint32_t *slot)
{
	struct event_target t = {queue, first};
	struct slice further;
	if (!event_further_find(tags, &further))
		further = NO_TAGS;
	struct reader more = reader_of(further);
	for (;; t = event_target_get(&more)) {
		if (t.queue == x->p->queue && covers(t.first_seq, count, x->ask.seq)) {
			*slot = (uint32_t)(x->ask.seq - t.first_seq);
			return true;
		}
		if (reader_left(&more) < EVENT_TARGET_SIZE)
			return false;
	}
}

static void sent(struct history *x, const struct event_send *m)
{
	struct batch_view batch;
	uint32_t slot;
	if (batch_peek(m->batch, &batch) ||
	    !slot_of(x, m->queue, m->first_seq, m->tags, batch.count, &slot))
		return;
	delayed_or_ready(x, batch.attributes, batch.count, slot);
	put_plain(x, HISTORY_SENT);
}

static void sent_large(struct history *x, const struct event_send_chunked *m)
{
	uint32_t slot;
	if (!slot_of(x, m->queue, m->seq, m->tags, 1, &slot))
		return;
	/* Its attributes are in another record. */
	state_is(x, STATE_READY, 0, false);
	put_plain(x, HISTORY_SENT);
}

static void arrived(struct history *x, const struct event_dead *m)
{
	struct history_entry e = {.note = m->note};
	struct event_taken_from taken;
	struct event_origin o;
	if (m->queue != x->p->queue || !covers(m->first_seq, m->count, x->ask.seq))
		return;
	e.seq = was(m, &taken, &o) + (x->ask.seq - m->first_seq);
	e.queue = taken.queue > 0 ? name_of(x, taken.queue) : o.queue;
	x->p->attempt = 0;
	x->p->failures = m->failures;
	state_is(x, STATE_READY, 0, false);
	put(x, HISTORY_ARRIVED, e);
}

/* From another cell, as it was there; what happened to it there is not known here. */
static void has_come(struct history *x, uint32_t failures, uint64_t until_ms, uint8_t flags)
{
	x->p->attempt = 0;
	x->p->failures = failures;
	state_is(x, until_ms > 0 ? STATE_DELAYED : STATE_READY, until_ms, flags & COME_WALL);
	put_plain(x, HISTORY_ARRIVED);
}

static void come(struct history *x, const struct event_come *m)
{
	struct batch_view batch;
	if (m->queue == x->p->queue && !batch_peek(m->batch, &batch) &&
	    covers(m->first_seq, batch.count, x->ask.seq))
		has_come(x, m->failures, m->until_ms, m->flags);
}

static void come_large(struct history *x, const struct event_come_large *m)
{
	if (m->queue == x->p->queue && m->seq == x->ask.seq)
		has_come(x, m->failures, m->until_ms, m->flags);
}

/* ---- parts of the checkpoint ---- */

static void queue_found(struct history *x, uint32_t queue, struct slice name)
{
	if (x->p->queue == 0 && slice_eq(name, slice_of(x->ask.name, x->ask.name_len)))
		x->p->queue = queue;
}

static bool is_live(struct slice live, uint64_t i)
{
	return live.len == 0 || (i / 8 < live.len && (live.data[i / 8] >> i % 8 & 1));
}

static void range_found(struct history *x, const struct event_part_range *m)
{
	struct history_place *p = x->p;
	p->attempt = m->attempt;
	p->failures = m->failures;
	p->session = m->session;
	p->lease = m->lease;
	p->lease_ms = m->lease_ms;
	p->attached = m->session > 0 && !(m->flags & SETTLE_DETACH);
	state_is(x, m->state, m->until_ms,
	    tags_find(m->tags, PART_RANGE_TAG_WALL, &(struct slice){0}));
	put_plain(x, HISTORY_FOUND);
}

/* Whether it is in the queue; its state comes after that. */
static void part_event(struct history *x, const struct event *e)
{
	struct history_place *p = x->p;
	uint64_t seq = x->ask.seq;
	union {
		struct event_part_queue queue;
		struct event_part_batch batch;
		struct event_part_large large;
		struct event_part_range range;
		struct event_part_group group;
		struct event_part_pause pause;
	} m;
	switch (e->type) {
	case EVENT_TYPE_PART_QUEUE:
		if (!event_part_queue_decode(e->body, &m.queue))
			return;
		queue_found(x, m.queue.queue, m.queue.name);
		if (p->phase == BEFORE && m.queue.queue == p->queue)
			p->phase = NAMED;
		return;
	case EVENT_TYPE_PART_BATCH:
		if (p->phase == NAMED && event_part_batch_decode(e->body, &m.batch) &&
		    m.batch.queue == p->queue &&
		    covers(m.batch.first_seq, m.batch.count, seq) &&
		    is_live(m.batch.live, seq - m.batch.first_seq))
			p->phase = THERE;
		return;
	case EVENT_TYPE_PART_LARGE:
		if (p->phase == NAMED && event_part_large_decode(e->body, &m.large) &&
		    m.large.queue == p->queue && m.large.seq == seq)
			p->phase = THERE;
		return;
	case EVENT_TYPE_PART_RANGE:
		if (p->phase == THERE && p->state == 0 &&
		    event_part_range_decode(e->body, &m.range) && m.range.queue == p->queue &&
		    covers(m.range.first, m.range.span, seq))
			range_found(x, &m.range);
		return;
	case EVENT_TYPE_PART_PAUSE:
		/* Events count from here on, if what is to come is about others. */
		if (p->phase == NAMED && event_part_pause_decode(e->body, &m.pause) &&
		    (m.pause.queue != p->queue || m.pause.below > seq))
			p->phase = ABSENT;
		return;
	case EVENT_TYPE_PART_GROUP:
		if (p->phase < ABSENT && p->queue > 0 &&
		    event_part_group_decode(e->body, &m.group) && m.group.last &&
		    m.group.group == p->queue % CHECKPOINT_GROUPS)
			p->phase = ABSENT;
		return;
	}
}

/* ---- events ---- */

static void came_event(struct history *x, const struct event *e)
{
	union {
		struct event_create create;
		struct event_remove remove;
		struct event_send send;
		struct event_send_chunked large;
		struct event_dead dead;
		struct event_come come;
		struct event_come_large come_large;
	} m;
	switch (e->type) {
	case EVENT_TYPE_COME:
		if (x->p->phase == ABSENT && event_come_decode(e->body, &m.come))
			come(x, &m.come);
		return;
	case EVENT_TYPE_COME_LARGE:
		if (x->p->phase == ABSENT && event_come_large_decode(e->body, &m.come_large))
			come_large(x, &m.come_large);
		return;
	case EVENT_TYPE_CREATE:
		if (!event_create_decode(e->body, &m.create))
			return;
		queue_found(x, m.create.queue, m.create.name);
		/* No part has it. */
		if (m.create.queue == x->p->queue)
			x->p->phase = ABSENT;
		return;
	case EVENT_TYPE_REMOVE:
		/* Another one may have the name then. */
		if (event_remove_decode(e->body, &m.remove) && m.remove.queue == x->p->queue &&
		    !broker_queue(x->b, x->p->queue)) {
			x->p->queue = 0;
			x->p->phase = BEFORE;
		}
		return;
	case EVENT_TYPE_SEND:
		if (x->p->phase == ABSENT && event_send_decode(e->body, &m.send))
			sent(x, &m.send);
		return;
	case EVENT_TYPE_SEND_CHUNKED:
		if (x->p->phase == ABSENT && event_send_chunked_decode(e->body, &m.large))
			sent_large(x, &m.large);
		return;
	case EVENT_TYPE_DEAD:
		if (x->p->phase == ABSENT && event_dead_decode(e->body, &m.dead))
			arrived(x, &m.dead);
		return;
	}
}

/* Whether entries (settle_entry) of an event of that queue, after the stale ones, have it. */
static bool in_entries(
    const struct history *x, uint32_t queue, uint32_t stale, struct slice entries)
{
	struct reader r = reader_of(entries);
	if (queue != x->p->queue)
		return false;
	for (; reader_left(&r) >= SETTLE_ENTRY_SIZE; stale -= stale > 0) {
		struct settle_entry e = settle_entry_get(&r);
		if (stale == 0 && covers(e.first, e.count, x->ask.seq))
			return true;
	}
	return false;
}

static void leased(struct history *x, const struct event_lease *m)
{
	struct history_place *p = x->p;
	p->session = m->session;
	p->lease = m->lease;
	p->lease_ms = m->lease_ms;
	p->attached = 1;
	p->attempt += x->counts;
	state_is(x, STATE_LEASED, x->h.lease.ms + m->lease_ms, false);
	put_plain(x, HISTORY_LEASED);
}

static void extended(struct history *x, uint32_t lease_ms)
{
	uint64_t until_ms = x->h.lease.ms + lease_ms;
	if (x->p->until_ms < until_ms)
		x->p->until_ms = until_ms;
	put_plain(x, HISTORY_EXTENDED);
}

static void touched(struct history *x, const struct event_touch *m)
{
	extended(x, m->lease_ms);
	if ((m->flags & SETTLE_DETACH) && m->session == x->p->session)
		x->p->attached = 0;
	if (x->p->lease_ms < m->lease_ms)
		x->p->lease_ms = m->lease_ms;
}

/* Not held any more.  The entry says under which lease it was. */
static void back(struct history *x, enum history_what what, bool counted, uint64_t until_ms)
{
	struct history_place *p = x->p;
	uint64_t lease = p->lease;
	if (counted)
		p->failures += x->counts;
	else if (p->attempt > 0)
		p->attempt -= x->counts;
	state_is(x, until_ms > 0 ? STATE_DELAYED : STATE_READY, until_ms, false);
	p->lease = lease;
	put_plain(x, what);
	p->lease = 0;
}

/* Of a message that is there: of its lease. */
static void held_event(struct history *x, const struct event *e)
{
	union {
		struct event_lease lease;
		struct event_settle settle;
		struct event_release release;
		struct event_touch touch;
		struct event_expire expire;
		struct event_bury bury;
		struct event_extend extend;
		struct event_session_close close;
		struct event_session_forget forget;
	} m;
	switch (e->type) {
	case EVENT_TYPE_LEASE:
		if (event_lease_decode(e->body, &m.lease) && m.lease.queue == x->p->queue &&
		    covers(m.lease.first, m.lease.span, x->ask.seq))
			leased(x, &m.lease);
		return;
	case EVENT_TYPE_SETTLE:
		if (event_settle_decode(e->body, &m.settle) &&
		    in_entries(x, m.settle.queue, m.settle.stale, m.settle.entries) &&
		    !RMQ_VARIANT(HISTORY_CUT))
			gone_plain(x, HISTORY_SETTLED);
		return;
	case EVENT_TYPE_RELEASE:
		if (event_release_decode(e->body, &m.release) &&
		    in_entries(x, m.release.queue, m.release.stale, m.release.entries))
			back(x,
			    m.release.flags & SETTLE_COUNTED ? HISTORY_FAILED
							     : HISTORY_RELEASED,
			    m.release.flags & SETTLE_COUNTED, m.release.until_ms);
		return;
	case EVENT_TYPE_TOUCH:
		if (event_touch_decode(e->body, &m.touch) &&
		    in_entries(x, m.touch.queue, m.touch.stale, m.touch.entries))
			touched(x, &m.touch);
		return;
	case EVENT_TYPE_EXPIRE:
		if (event_expire_decode(e->body, &m.expire) &&
		    in_entries(x, m.expire.queue, 0, m.expire.entries))
			back(x,
			    x->h.lease.ms >= x->p->until_ms ? HISTORY_ENDED : HISTORY_FAILED,
			    true, m.expire.until_ms);
		return;
	case EVENT_TYPE_BURY:
		if (event_bury_decode(e->body, &m.bury) &&
		    in_entries(x, m.bury.queue, 0, m.bury.entries))
			gone(x, HISTORY_BURIED, target_of(x));
		return;
	case EVENT_TYPE_EXTEND:
		if (event_extend_decode(e->body, &m.extend) && x->p->attached &&
		    m.extend.session == x->p->session)
			extended(x, x->p->lease_ms);
		return;
	case EVENT_TYPE_SESSION_CLOSE:
		if (event_session_close_decode(e->body, &m.close) &&
		    m.close.session == x->p->session)
			x->p->attached = 0;
		return;
	case EVENT_TYPE_SESSION_FORGET:
		if (event_session_forget_decode(e->body, &m.forget) &&
		    m.forget.session == x->p->session)
			x->p->attached = 0;
		return;
	}
}

static void dropped(struct history *x, const struct event_drop *m)
{
	static const enum history_what whats[DROPPED_WHYS] = {
#define X(code, NAME, word) [code] = HISTORY_##NAME,
	    DROPPED(X)
#undef X
	};
	struct reader r = reader_of(m->ranges);
	bool has = false;
	while (reader_left(&r) >= SEQ_RANGE_SIZE) {
		struct seq_range run = seq_range_get(&r);
		has |= covers(run.first, run.count, x->ask.seq);
	}
	if (!has || m->queue != x->p->queue || m->why == 0 || m->why >= DROPPED_WHYS)
		return;
	if (m->why == DROPPED_MOVED)
		gone(x, HISTORY_MOVED, target_of(x));
	else
		gone_plain(x, whats[m->why]);
}

/* Of a message that is there, whoever has it. */
static void there_event(struct history *x, const struct event *e)
{
	union {
		struct event_wake wake;
		struct event_purge purge;
		struct event_lost lost;
		struct event_drop drop;
		struct event_remove remove;
	} m;
	uint32_t queue = x->p->queue;
	switch (e->type) {
	case EVENT_TYPE_WAKE:
		if (event_wake_decode(e->body, &m.wake) && m.wake.queue == queue &&
		    covers(m.wake.first, m.wake.span, x->ask.seq)) {
			state_is(x, STATE_READY, 0, false);
			put_plain(x, HISTORY_WOKEN);
		}
		return;
	case EVENT_TYPE_PURGE:
		if (event_purge_decode(e->body, &m.purge) && m.purge.queue == queue &&
		    x->ask.seq < m.purge.below)
			gone_plain(x, HISTORY_PURGED);
		return;
	case EVENT_TYPE_LOST:
		if (event_lost_decode(e->body, &m.lost) && m.lost.queue == queue &&
		    covers(m.lost.first, m.lost.span, x->ask.seq))
			gone_plain(x, HISTORY_LOST);
		return;
	case EVENT_TYPE_DROP:
		if (event_drop_decode(e->body, &m.drop))
			dropped(x, &m.drop);
		return;
	case EVENT_TYPE_REMOVE:
		if (event_remove_decode(e->body, &m.remove) && m.remove.queue == queue)
			gone_plain(x, HISTORY_REMOVED);
		return;
	}
}

/* ---- the log ---- */

/* false: the record cannot be understood. */
static bool take_record(struct history *x, struct slice payload)
{
	struct event_iter it;
	struct event e;
	enum rmq_error err = events_open(payload, &x->h, &it);
	x->payload = payload;
	while (!err && !(err = event_next(&it, &e)) && x->p->phase != GONE) {
		bool there = x->p->phase == THERE;
		if (e.type >= EVENT_TYPE_PART_GROUP) {
			part_event(x, &e);
			continue;
		}
		if (!there)
			came_event(x, &e);
		else if (x->p->state == 0)
			continue;
		if (there || RMQ_VARIANT(HISTORY_SHADOWS)) {
			held_event(x, &e);
			there_event(x, &e);
		}
	}
	return !err || err == RMQ_E_NOTHING;
}

/* What happened here is not known. */
static void put_unknown(struct history *x)
{
	x->h.wall.ms = 0;
	put_plain(x, HISTORY_UNKNOWN);
	x->cut = false;
}

/* Where the part of the checkpoint is that knows it; 0: there is no checkpoint. */
static uint64_t part_of(const struct history *x)
{
	const struct broker *b = x->b;
	uint64_t first = UINT64_MAX;
	if (x->p->queue > 0)
		return b->part_index[x->p->queue % CHECKPOINT_GROUPS];
	for (uint32_t g = 0; g < CHECKPOINT_GROUPS; g++)
		first = min_u64(first, b->part_index[g]);
	return first;
}

static void begin(struct history *x)
{
	struct history_place *p = x->p;
	bool first = p->end == 0;
	const struct queue *q =
	    first ? broker_queue_named(x->b, slice_of(x->ask.name, x->ask.name_len)) : NULL;
	if (first)
		p->queue = q ? q->id : 0;
	uint64_t from = part_of(x);
	if (first) {
		p->phase = from > 0 ? BEFORE : ABSENT;
		p->at = from > 0 ? from : 1;
	} else if (p->at < from && p->phase != GONE) {
		/* A newer checkpoint came, and what is in front of it may be gone. */
		x->index = p->at;
		p->phase = BEFORE;
		p->state = 0;
		p->at = from;
		put_unknown(x);
	}
	if (first || p->end > x->b->newest_index)
		p->end = x->b->newest_index;
	bool dead = name_is_dead(slice_of(x->ask.name, x->ask.name_len));
	x->counts = dead ? 0 : 1;
}

/* Reads on; how many bytes that were. */
static size_t read_on(struct history *x, const struct broker_log *log)
{
	struct history_place *p = x->p;
	size_t bytes = 0;
	while (p->at <= p->end && p->phase != GONE && bytes < HISTORY_BYTES_MAX &&
	       x->entries.cap - x->entries.len >= RECORD_ROOM) {
		struct slice payload = NO_TAGS;
		enum record_kind kind = RECORD_NOOP;
		x->index = p->at;
		enum rmq_error err = log->next(log->arg, p->at, &x->index, &kind, &payload);
		bool is_end = err == RMQ_E_NOTHING || x->index > p->end || x->index < p->at;
		p->at = is_end ? UINT64_MAX : x->index + 1;
		if (is_end)
			break;
		bytes += payload.len + RECORD_COST;
		bool events = kind == RECORD_EVENTS || kind == RECORD_PART;
		bool known = !err && (!events || take_record(x, payload));
		if (!known || x->cut)
			put_unknown(x);
	}
	return bytes;
}

static void answer(const struct history *x, struct conn *c)
{
	uint8_t bytes[ENTRIES_BYTES + 256], place[128], waits[64], list[64];
	const struct history_place *p = x->p;
	struct writer w = writer_of(bytes, sizeof(bytes)), at = writer_of(place, sizeof(place));
	struct writer v = writer_of(waits, sizeof(waits)), tags = writer_of(list, sizeof(list));
	bool more = p->at <= p->end && p->phase != GONE;
	enum rmq_error code =
	    p->queue > 0 || more || x->entries.len > 0 ? RMQ_E_OK : RMQ_E_NO_QUEUE;
	if (more) {
		uint8_t seal[PLACE_SEAL];
		history_place_encode(&at, p);
		seal_place(x->b, slice_of(x->ask.name, x->ask.name_len), x->ask.seq,
		    slice_of(at.p, at.len), seal);
		put_rest(&at, slice_of(seal, sizeof(seal)));
	}
	history_waits_encode(&v, &x->ask.waits);
	if (x->ask.waits.why > 0)
		tags_put(&tags, HISTORY_IS_TAG_WAITS, slice_of(v.p, v.len));
	wire_put_history_is(
	    &w, &(struct wire_history_is){x->ask.req, (uint8_t)code, slice_of(at.p, at.len),
		    slice_of(tags.p, tags.len), slice_of(x->entries.p, x->entries.len)});
	assert(!at.full && !tags.full && !w.full);
	x->b->host.send(x->b->host.arg, c->id, slice_of(w.p, w.len));
}

size_t broker_history(struct broker *b, uint64_t conn, const struct broker_log *log)
{
	uint8_t entries[ENTRIES_BYTES];
	struct conn *c = broker_conn(b, conn);
	struct handout *h = c ? TAILQ_FIRST(&c->handouts) : NULL;
	struct history x = {.b = b, .entries = writer_of(entries, sizeof(entries))};
	assert(h && h->history);
	memcpy(&x.ask, h->frames, sizeof(x.ask));
	x.p = &x.ask.p;
	begin(&x);
	size_t bytes = read_on(&x, log);
	answer(&x, c);
	c->errand = false;
	broker_handout_done(b, c, h);
	return bytes;
}
