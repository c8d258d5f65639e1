/*
 * Checkpoints are fuzzy: a part is the state of one group of queues (or of the
 * sessions) as of the part's own place in the log, and parts stand between ordinary
 * records, so that no turn is long.  A part that is long itself stands in pieces, each as of
 * its own place, one group's after the other's.  END names every group's part and the records
 * that are dead: those before all parts that hold nothing live.
 *
 * Invariants:
 *  - A part names records by index; so a group is begun only when none of its
 *    bodies is in flight, and a piece ends before what is.  Groups that never come to
 *    rest are written last, and what has come to a queue since its first piece, while the broker
 *    holds: it takes no commands until what is in flight is stored.
 *  - Recovery reads the log from the first part on.  For each group, what lies in front
 *    of its part is passed over, and what lies after is applied.  Between pieces, only to what
 *    the pieces in front have: the next ones know the rest as it is then.
 *  - Ids come after all messages of their queue, the newest first: what comes between pieces is in
 *    events, and what is forgotten meanwhile is the oldest, which later pieces lack.
 *  - Records become holes only after END is stored, and only those that it names.
 *  - A checkpoint that is not asked for writes less than it frees, or a quarter of the log that
 *    it makes good for; what it writes itself makes none due.  So a broker that nobody asks
 *    anything comes to rest.
 */
#include "core/broker/broker_state.h"

#include <assert.h>
#include <string.h>

#include "core/base/bits.h"
#include "core/base/memory.h"
#include "core/base/variant.h"
#include "core/wire/journal_wire.h"

#define END_OVERHEAD  (GROUPS * 8 + 256)
#define DEAD_LIST_MAX (RECORD_FILL - EVENTS_HEADER_SIZE - END_OVERHEAD)
/* What a checkpoint takes, but for what its queues, batches, ranges and sessions do: at most. */
#define FIXED_PART_MAX (END_OVERHEAD + GROUPS * (2 * 9 + EVENTS_HEADER_SIZE))
#define PART_KEYS_MAX  2048 /* messages in one PART_KEYS */
#define PART_IDS_MOST  256  /* ids in one PART_IDS */
#define PART_IDS       LIMIT(PART_IDS_MOST, 3u)
#define PENDING_PART_MAX \
	(48 + TAG_U64_SIZE + 4 + LANE_ATTRIBUTES_MAX) /* but for its locations */
/* What a piece takes more: its end, its queue once more, a batch and a range that are cut. */
#define PIECE_PART_MAX (2 * NAME_FULL_MAX + 416)

bool broker_holds(const struct broker *b)
{
	return b->ckpt.holding || b->put_off.conn != 0;
}

void broker_checkpoint(struct broker *b)
{
	if (b->ckpt.logged_bytes > 0 || b->open || b->closing_count > 0)
		b->ckpt.wanted = true;
}

bool broker_checkpointing(const struct broker *b)
{
	return b->ckpt.wanted || b->ckpt.active;
}

/* What a checkpoint would write now, at most, but for the list of the dead. */
static uint64_t cost(const struct broker *b)
{
	uint64_t turn = b->ledger.limits.turn_bytes;
	uint64_t pieces =
	    b->ledger.part_bytes / (turn > RANGE_PART_MAX ? turn : RANGE_PART_MAX);
	return FIXED_PART_MAX + b->ledger.part_bytes + pieces * PIECE_PART_MAX +
	       (uint64_t)b->pendings_count * PENDING_PART_MAX +
	       b->pendings_parts * EVENT_LOCATION_SIZE;
}

bool broker_short_of_room(const struct broker *b)
{
	return broker_room_left(b) < b->ledger.limits.reserve_bytes;
}

uint64_t broker_reserve_wanted(const struct broker *b)
{
	uint64_t wanted = RESERVE_CHECKPOINTS * cost(b), least = b->ledger.limits.reserve_bytes;
	return wanted > least && !RMQ_VARIANT(RESERVE_FIXED) ? wanted : least;
}

bool broker_checkpoint_due(const struct broker *b)
{
	const struct space_limits *limits = &b->ledger.limits;
	uint64_t dead = b->ledger.dead_bytes, logged = b->ckpt.logged_bytes, most = cost(b);
	bool is_short = broker_short_of_room(b);
	/* A large state is worth a long log. */
	if (logged >= limits->log_enough && logged >= 4 * most)
		return true;
	if (dead < (is_short ? most + most / 4 : 2 * most) && !RMQ_VARIANT(DUE_BY_OWN))
		return false;
	/* Somebody waits: what comes of it may be little, but it is more than it costs. */
	if (b->holes_wanted || (!TAILQ_EMPTY(&b->waiting_room) && dead * 4 >= b->room))
		return true;
	return dead >= limits->dead_enough || (is_short && dead >= limits->reserve_bytes / 4);
}

/* ---- writing parts ---- */

static uint64_t written(const struct broker *b)
{
	return b->ckpt.part_bytes + (b->open ? b->w.len : 0);
}

static bool group_at_rest(const struct broker *b, uint32_t group)
{
	struct queue *q;
	if (group != SESSION_GROUP)
		TAILQ_FOREACH (q, &b->groups[group], of_group)
			if (q->newest_n > b->stored_n)
				return false;
	return true;
}

static struct slice large_locations(const struct large *large, uint8_t *bytes, size_t cap)
{
	struct writer w = writer_of(bytes, cap);
	for (uint32_t i = 0; i < large->parts; i++) {
		const struct record *r = large->part[i].record;
		event_location_put(&w, &(struct event_location){r->index, r->bytes,
					   large->part[i].offset, UINT16_MAX});
	}
	assert(!w.full);
	return slice_of(bytes, w.len);
}

/* Those of m's messages that are in [from, to). */
static void write_batch(
    struct broker *b, const struct queue *q, const struct batch *m, uint64_t from, uint64_t to)
{
	uint64_t first = from > m->first ? from : m->first, run_end;
	uint32_t skip = (uint32_t)(first - m->first);
	uint32_t count = (uint32_t)(min_u64(to, m->first + m->count) - first);
	if (batch_run(m, first, first + count, &run_end) >= first + count)
		return;
	uint8_t place[EVENT_PLACE_TAGS_MAX];
	const struct origin *o = batch_origin(m);
	struct slice note = slice_str(o ? o->reason : "");
	struct slice tags = event_place_tags(
	    &(struct event_origin){batch_origin_seq(m, first), slice_str(o ? o->queue : "")},
	    m->shares, o ? o->redrives : 0, place);
	uint8_t locations[CHUNKS_MAX * EVENT_LOCATION_SIZE];
	uint8_t live[8192];
	size_t live_len = m->bits ? ((size_t)count + 7) / 8 : 0;
	if (m->is_large) {
		broker_emit_part_large(
		    b, &(struct event_part_large){q->id, m->first, m->large->bytes,
			   m->large->time_ms, note, tags,
			   large_locations(m->large, locations, sizeof(locations))});
		return;
	}
	assert(live_len <= sizeof(live));
	memset(live, 0, live_len);
	for (uint32_t i = 0; m->bits && i < count; i++)
		if (bits_get(m->bits, skip + i))
			live[i / 8] = (uint8_t)(live[i / 8] | 1u << i % 8);
	broker_emit_part_batch(
	    b, &(struct event_part_batch){q->id, first, count, m->record->index, m->offset,
		   (uint16_t)(m->slot + skip), batch_bytes_of(m, count), m->record->bytes, note,
		   tags, slice_of(live, live_len)});
}

static void write_range(
    struct broker *b, struct queue *q, const struct range *r, uint64_t from, uint64_t to)
{
	uint64_t first = from > r->first ? from : r->first;
	uint64_t end = min_u64(to, r->first + r->span);
	if (!queue_any_live(q, first, end))
		return;
	const struct session *s = range_holder(r);
	uint8_t list[EVENT_PRIORITY_SIZE + 4 + MIXED_PART_MAX];
	struct writer tags = writer_of(list, sizeof(list));
	if (!range_is_mixed(r) && !RMQ_VARIANT(PRIORITY_FORGOTTEN))
		event_priority_put(&tags, r->priority);
	if (r->by_wall && !RMQ_VARIANT(DELAY_FORGOTTEN))
		tags_put(&tags, PART_RANGE_TAG_WALL, NO_TAGS);
	if (range_is_mixed(r) && !RMQ_VARIANT(MIX_FORGOTTEN))
		tags_put(&tags, PART_RANGE_TAG_MIX,
		    slice_of(r->mix + (first - r->first), end - first));
	broker_emit_part_range(b,
	    &(struct event_part_range){q->id, r->state, range_detached(r) ? SETTLE_DETACH : 0,
		first, end - first, r->attempt, r->failures, r->lease, s ? s->id : 0,
		r->lease_ms, range_until(r), slice_of(tags.p, tags.len)});
}

static void write_keys(struct broker *b, struct queue *q, uint64_t from, uint64_t to)
{
	uint8_t bytes[8 * PART_KEYS_MAX];
	uint64_t end, at = from;
	for (; (at = keys_run(q, at, to, PART_KEYS_MAX, &end)) > 0; at = end) {
		struct writer w = writer_of(bytes, sizeof(bytes));
		uint64_t first = at;
		for (; at < end; at++)
			put_u64(&w, keys_of(q, at));
		if (!RMQ_VARIANT(KEYS_FORGOTTEN))
			broker_emit_part_keys(b, &(struct event_part_keys){q->id, first,
						     NO_TAGS, slice_of(w.p, w.len)});
	}
}

static void write_expiry(
    struct broker *b, struct queue *q, const struct expiry *x, uint64_t from, uint64_t to)
{
	uint64_t first = from > x->first ? from : x->first, end = min_u64(to, x->end);
	uint8_t bytes[4];
	struct writer tags = writer_of(bytes, sizeof(bytes));
	if (x->own && !RMQ_VARIANT(EXPIRY_DISOWNED))
		tags_put(&tags, PART_EXPIRY_TAG_OWN, NO_TAGS);
	if (queue_any_live(q, first, end) && !RMQ_VARIANT(EXPIRY_FORGOTTEN))
		broker_emit_part_expiry(
		    b, &(struct event_part_expiry){
			   q->id, first, end - first, x->at_ms, slice_of(tags.p, tags.len)});
}

void broker_put_dropped(struct writer *tags, uint16_t tag, const struct queue_counts *n)
{
	uint8_t bytes[8 * DROPPED_WHYS];
	struct writer w = writer_of(bytes, sizeof(bytes));
	uint64_t sum = 0;
	for (int why = DROPPED_EXPIRED; why < DROPPED_WHYS; why++) {
		put_u64(&w, n->dropped[why]);
		sum += n->dropped[why];
	}
	if (sum > 0)
		tags_put(tags, tag, slice_of(w.p, w.len));
}

static void write_settings(struct broker *b, const struct queue *q)
{
	const struct queue_settings *s = &q->settings;
	const struct queue_counts *n = &q->counts;
	uint8_t bytes[4 * TAG_U64_SIZE + MORE_SETTINGS_BYTES + EVENT_MAKER_MAX +
		      QUEUE_DROPPED_SIZE + EVENT_ARRIVING_SIZE];
	struct writer tags = writer_of(bytes, sizeof(bytes));
	tags_put_u64(&tags, PART_QUEUE_TAG_LOST, n->lost);
	more_settings_put(&tags, EVENT_TAG_SETTINGS, &s->more, SETTING_ALL);
	broker_put_maker(&tags, q->maker);
	if (!RMQ_VARIANT(RATE_FORGOTTEN))
		tags_put_u64(&tags, PART_QUEUE_TAG_RATE, q->rate_full);
	broker_put_dropped(&tags, PART_QUEUE_TAG_DROPPED, n);
	if (q->hidden == QUEUE_ARRIVES && !RMQ_VARIANT(COPIES_FORGOTTEN))
		tags_put(&tags, EVENT_TAG_ARRIVING, slice_of(q->token, CELL_TOKEN_SIZE));
	tags_put_u64(&tags, PART_QUEUE_TAG_IDS_EARLY, n->ids_early);
	if (q->hidden == QUEUE_LEFT && !RMQ_VARIANT(LEFT_REVIVED))
		tags_put(&tags, PART_QUEUE_TAG_LEFT, NO_TAGS);
	tags_put_u64(&tags, PART_QUEUE_TAG_IDS_SEED, q->ids_seed);
	broker_emit_part_queue(
	    b, &(struct event_part_queue){q->id, queue_name(q), SETTINGS_OF(s),
		   slice_str(s->dead_letter), q->next_seq, n->sent, n->delivered, n->settled,
		   n->failed, n->dead, slice_of(tags.p, tags.len)});
}

static void write_positions(struct broker *b, const struct queue *q)
{
	const struct position *p;
	uint8_t list[INPUT_SENT_TAGS_SIZE];
	TAILQ_FOREACH (p, &q->positions.by_age, by_age)
		if (!RMQ_VARIANT(POSITION_FORGOTTEN))
			broker_emit_part_position(
			    b, &(struct event_part_position){q->id, p->at, slice_str(p->name),
				   input_sent_tags(list, &p->sent)});
}

/* Writes the newest of those that are left: so many bytes and one event more at most.  Whether that is all. */
static bool write_ids(struct broker *b, struct queue *q, uint64_t bytes)
{
	uint8_t entries[16 * PART_IDS_MOST], numbers[8 * PART_IDS_MOST],
	    list[4 + sizeof(numbers)];
	const struct ids *ids = &q->ids;
	struct checkpoint *k = &b->ckpt;
	uint64_t end = written(b) + bytes;
	struct writer w = writer_of(entries, 16 * PART_IDS),
		      n = writer_of(numbers, sizeof(numbers));
	/* Of those that are there still, which may be none of them. */
	uint32_t left = k->ids_end - ids->first <= ids_count(ids) ? k->ids_end - ids->first : 0;
	for (; left > 0; left--) {
		const struct id *id = ids_at(ids, ids->first + left - 1);
		put_u64(&w, id->hash);
		put_u64(&w, id->ms);
		put_u64(&n, id->seq + RMQ_VARIANT(IDS_RENUMBERED));
		if (w.len < w.cap && left > 1)
			continue;
		struct writer tags = writer_of(list, sizeof(list));
		tags_put(&tags, PART_IDS_TAG_NUMBERS, slice_of(n.p, n.len));
		if (!RMQ_VARIANT(IDS_FORGOTTEN))
			broker_emit_part_ids(
			    b, &(struct event_part_ids){
				   q->id, slice_of(tags.p, tags.len), slice_of(w.p, w.len)});
		w.len = n.len = 0;
		if (written(b) >= end)
			break;
	}
	left = left > 0 && !RMQ_VARIANT(IDS_CUT_OFF) ? left - 1 : 0;
	k->ids_end = ids->first + left;
	return left == 0;
}

static void write_bindings(struct broker *b, const struct queue *q)
{
	struct binding *at = binding_after(q, slice_of("", 0));
	if (q->ephemeral && !RMQ_VARIANT(EPHEMERAL_FORGOTTEN))
		broker_emit_part_ephemeral(
		    b, &(struct event_part_ephemeral){q->id, q->ephemeral, NO_TAGS});
	for (; at && !RMQ_VARIANT(BINDINGS_UNWRITTEN); at = binding_next(at))
		broker_emit_part_binding(
		    b, &(struct event_part_binding){q->id, binding_pattern(at), NO_TAGS});
}

static void write_pending(struct broker *b, const struct queue *q)
{
	uint8_t locations[CHUNKS_MAX * EVENT_LOCATION_SIZE];
	uint8_t place[EVENT_PLACE_TAGS_MAX], asked[LANE_ATTRIBUTES_MAX];
	uint8_t list[EVENT_PLACE_TAGS_MAX + TAG_U64_SIZE + 4 + LANE_ATTRIBUTES_MAX];
	struct pending *p;
	TAILQ_FOREACH (p, &q->unfinished, of_queue) {
		struct writer tags = writer_of(list, sizeof(list));
		struct slice attributes = lane_attributes(&p->lane, asked);
		if (attributes.len > 0)
			tags_put(&tags, PART_PENDING_TAG_ATTRIBUTES, attributes);
		tags_put_u64(&tags, EVENT_TAG_KEYS, p->lane.key);
		put_rest(
		    &tags, event_place_tags(&(struct event_origin){0}, p->shares, 0, place));
		broker_emit_part_pending(
		    b, &(struct event_part_pending){q->id, p->session, p->n, p->bytes,
			   slice_of(tags.p, tags.len),
			   large_locations(p->large, locations, sizeof(locations))});
	}
}

static void write_answer(struct broker *b, const struct session *s, const struct answer *a)
{
	size_t at = 0;
	do {
		size_t len = a->stale_len - at;
		if (len > EVENT_ENTRIES_BYTES)
			len = EVENT_ENTRIES_BYTES;
		broker_emit_part_answer(
		    b, &(struct event_part_answer){s->id, a->n, a->first_seq, at ? 0 : a->count,
			   NO_TAGS, slice_of(a->stale + at, len)});
		at += len;
	} while (at < a->stale_len);
}

static void write_numbers(struct broker *b)
{
	uint8_t list[4 + SESSION_SECRET_SIZE];
	broker_emit_part_global(
	    b, &(struct event_part_global){b->next_queue, b->lease, b->forgotten, NO_TAGS});
	if (b->starts > 0)
		broker_emit_part_start(
		    b, &(struct event_part_start){b->starts,
			   b->has_secret ? broker_secret_tags(list, b->secret) : NO_TAGS});
}

static void write_session(struct broker *b, const struct session *s)
{
	struct answer *a;
	broker_emit_part_session(b, &(struct event_part_session){s->id, s->last, NO_TAGS});
	if (owner_known(s->owner))
		broker_emit_part_owner(b, &(struct event_part_owner){s->id, s->owner->uid,
					      owner_node(s->owner), NO_TAGS});
	TAILQ_FOREACH (a, &s->answers, link)
		write_answer(b, s, a);
}

static void write_entry(struct broker *b, const struct kv_entry *e)
{
	struct slice value = kv_value(e);
	size_t at = value.len < KV_PIECE_MAX ? value.len : KV_PIECE_MAX;
	uint8_t bytes[EVENT_MAKER_MAX];
	struct writer tags = writer_of(bytes, sizeof(bytes));
	if (e->maker)
		broker_put_maker(&tags, e->maker);
	broker_emit_part_kv_entry(
	    b, &(struct event_part_kv_entry){e->version, e->deleted ? PART_KV_DELETED : 0,
		   kv_key(e), slice_of(bytes, tags.len), slice_of(value.data, at)});
	while (at < value.len) {
		size_t len = min_u64(value.len - at, KV_PIECE_MAX);
		broker_emit_part_kv_more(b, &(struct event_part_kv_more){e->version, NO_TAGS,
						slice_of(value.data + at, len)});
		at += len;
	}
}

/*
 * Writes the map: so many bytes and one entry more at most.  Whether all is written.  What changes
 * between pieces is in events, and has the highest versions, so that it comes last as well.
 */
static bool write_kv(struct broker *b, uint64_t bytes)
{
	struct checkpoint *k = &b->ckpt;
	uint64_t end = written(b) + bytes;
	const struct kv_entry *e = kv_after(&b->kv, k->kv_at);
	broker_emit_part_kv(b, &(struct event_part_kv){b->kv.version, NO_TAGS});
	/* At least one, however little is left: the piece's own head may be longer. */
	for (bool first = true; e && (first || written(b) < end); e = kv_next(e)) {
		first = false;
		k->kv_at = e->version;
		if (!RMQ_VARIANT(KV_UNWRITTEN))
			write_entry(b, e);
	}
	return !e || RMQ_VARIANT(KV_CUT_OFF);
}

static void write_copy(struct broker *b, const struct place *p, const struct copy *c)
{
	uint8_t bytes[EVENT_MAKER_MAX + TAG_U64_SIZE + COPY_FROM_SIZE];
	struct writer tags = writer_of(bytes, sizeof(bytes));
	tags_put_u64(&tags, PART_COPY_TAG_SINCE, c->since_ms);
	broker_put_maker(&tags, c->maker);
	if (c->from_len > 0)
		tags_put(&tags, COPY_TAG_FROM, copy_from(c));
	broker_emit_part_copy(
	    b, &(struct event_part_copy){place_name(p), slice_of(c->token, sizeof(c->token)),
		   c->number, slice_of(tags.p, tags.len)});
}

static void write_place(struct broker *b, const struct place *p)
{
	uint8_t bytes[EVENT_MAKER_MAX];
	struct writer tags = writer_of(bytes, sizeof(bytes));
	const struct copy *c;
	if (p->maker)
		broker_put_maker(&tags, p->maker);
	if (!RMQ_VARIANT(AWAY_FORGOTTEN))
		broker_emit_part_place(
		    b, &(struct event_part_place){p->state, place_name(p), place_cell(p),
			   place_token(p), slice_of(tags.p, tags.len)});
	TAILQ_FOREACH (c, &p->copies, link)
		write_copy(b, p, c);
}

/*
 * Writes places, by name: so many bytes and one more at most.  Whether all are written.  What changes
 * between pieces is in events, which say the whole of it.
 */
static bool write_places(struct broker *b, uint64_t bytes)
{
	struct checkpoint *k = &b->ckpt;
	uint64_t end = written(b) + bytes;
	struct place *p = places_after(&b->places, slice_of(k->place, k->place_len));
	for (bool first = true; p && (first || written(b) < end); p = places_next(p)) {
		first = false;
		k->place_len = p->name_len;
		memcpy(k->place, p->name, p->name_len);
		write_place(b, p);
	}
	k->places_done = !p;
	return !p;
}

/*
 * Writes sessions, then places and the map: so many bytes and one session or entry more at most.  Whether all are
 * written.
 */
static bool write_sessions(struct broker *b, uint64_t bytes)
{
	struct checkpoint *k = &b->ckpt;
	uint64_t end = written(b) + bytes;
	struct session *s = RB_MAX(session_tree, &b->sessions);
	if (!k->paused) {
		write_numbers(b);
		k->below = k->kv_at = 0;
		k->place_len = 0;
		k->places_done = false;
		k->fresh = s ? s->id + 1 : 0;
	}
	s = k->below < UINT64_MAX ? session_from(&b->sessions, k->below) : NULL;
	for (; s; s = RB_NEXT(session_tree, &b->sessions, s)) {
		k->below = s->id;
		if (written(b) >= end)
			return false;
		if (s->durable)
			write_session(b, s);
	}
	if (k->below < UINT64_MAX)
		k->fresh = b->kv.version;
	k->below = UINT64_MAX;
	if (!k->places_done && !write_places(b, end > written(b) ? end - written(b) : 0))
		return false;
	return b->kv.version == 0 || write_kv(b, end > written(b) ? end - written(b) : 0);
}

/*
 * Where a piece of a queue ends that begins at `from`: it takes so many bytes and one step more
 * at most, and nothing that is in flight.  UINT64_MAX: it is the last one.
 */
static uint64_t piece_end(struct queue *q, uint64_t from, uint64_t bytes)
{
	struct batch *m = queue_batch_at(q, from);
	struct range *r = queue_range_at(q, from);
	struct expiry *x = expiry_from(q, from);
	uint64_t taken = 0, to = from;
	while (m && r) {
		uint64_t batch_end = m->first + m->count, range_end = r->first + r->span;
		if (taken >= bytes || batch_in_flight(m))
			return to;
		uint64_t before = to;
		to = min_u64(batch_end, range_end);
		if (batch_end == to) {
			taken += batch_part_bytes(m);
			m = queue_batch_next(m);
		}
		if (range_end == to) {
			taken += RANGE_PART_MAX + (range_is_mixed(r) ? MIXED_PART_MAX : 0);
			r = queue_range_next(r);
		}
		/* It may go on after a batch and a range. */
		for (; x && x->end <= to; x = expiry_next(x))
			taken += EXPIRY_PART_MAX;
		if (q->keys)
			taken += 8 * (to - before);
	}
	return UINT64_MAX;
}

/* Writes q but for its ids: a piece of it, or all.  Whether all of that is written. */
static bool write_messages(struct broker *b, struct queue *q, uint64_t bytes)
{
	struct checkpoint *k = &b->ckpt;
	bool goes_on = k->queue == q->id;
	uint64_t from = goes_on ? k->below : 0, to = piece_end(q, from, bytes);
	struct batch *m;
	struct range *r;
	if (!goes_on || to == UINT64_MAX)
		write_settings(b, q);
	if (!goes_on) {
		write_bindings(b, q);
		write_pending(b, q);
		write_positions(b, q);
		k->fresh = q->next_seq;
	}
	for (m = queue_batch_at(q, from); m && m->first < to; m = queue_batch_next(m))
		write_batch(b, q, m, from, to);
	write_keys(b, q, from, to);
	for (struct expiry *x = expiry_from(q, from); x && x->first < to; x = expiry_next(x))
		write_expiry(b, q, x, from, to);
	for (r = queue_range_at(q, from); r && r->first < to; r = queue_range_next(r))
		write_range(b, q, r, from, to);
	k->below = to;
	k->ids_end = q->ids.end;
	return to == UINT64_MAX;
}

/* Writes a piece of q, or all.  Whether all of it is written. */
static bool write_queue(struct broker *b, struct queue *q, uint64_t bytes)
{
	struct checkpoint *k = &b->ckpt;
	uint64_t end = written(b) + bytes;
	bool only_ids = k->queue == q->id && k->below == UINT64_MAX;
	/* How many of them were forgotten is counted by who has all. */
	if (only_ids)
		write_settings(b, q);
	bool all = (only_ids || write_messages(b, q, bytes)) &&
		   write_ids(b, q, end > written(b) ? end - written(b) : 0);
	k->queue = all ? 0 : q->id;
	if (all)
		q->in_checkpoint = k->count;
	return all;
}

/* Whether something of q can be written: what comes next is not in flight. */
static bool queue_at_rest(const struct broker *b, struct queue *q)
{
	if (b->ckpt.queue != q->id)
		return q->newest_n <= b->stored_n;
	const struct batch *m = queue_batch_at(q, b->ckpt.below);
	return !m || !batch_in_flight(m);
}

/* q, or the next of its group that is not written as a whole. */
static struct queue *unwritten(const struct broker *b, struct queue *q)
{
	while (q && q->in_checkpoint == b->ckpt.count)
		q = TAILQ_NEXT(q, of_group);
	return q;
}

/* The queue with which the group that is begun goes on; NULL: there is none. */
static struct queue *next_queue(struct broker *b)
{
	struct checkpoint *k = &b->ckpt;
	struct queue *q = k->queue > 0 ? broker_queue(b, k->queue) : NULL;
	if (!q)
		k->queue = 0;
	return q ? q : unwritten(b, TAILQ_FIRST(&b->groups[k->group]));
}

/* Writes queues of the group that is begun.  Whether all are written. */
static bool write_queues(struct broker *b, uint64_t bytes)
{
	uint64_t end = written(b) + bytes;
	struct queue *q = next_queue(b);
	for (; q && queue_at_rest(b, q); q = unwritten(b, q))
		if (written(b) >= end || !write_queue(b, q, end - written(b)))
			return false;
	return !q;
}

/* Whether the part goes on in the middle of a queue, or of the sessions. */
static bool is_cut(const struct checkpoint *k)
{
	return k->paused && (k->queue > 0 || k->group == SESSION_GROUP);
}

/* Begins the group or goes on with it.  Whether all of it is written. */
static bool write_group(struct broker *b, uint32_t group, uint64_t bytes)
{
	struct checkpoint *k = &b->ckpt;
	if (!b->open)
		broker_begin_record(b, RECORD_PART);
	if (!k->paused) {
		broker_emit_part_group(b, &(struct event_part_group){group, 0});
		k->group_n[group] = b->open->n;
		k->group = group;
		k->queue = 0;
	}
	bool all = group == SESSION_GROUP ? write_sessions(b, bytes) : write_queues(b, bytes);
	k->paused = !all;
	if (all)
		broker_emit_part_group(b, &(struct event_part_group){group, 1});
	else
		broker_emit_part_pause(
		    b, &(struct event_part_pause){k->queue, is_cut(k) ? k->below : 0, NO_TAGS});
	return all;
}

static bool can_write(struct broker *b, uint32_t group)
{
	if (!b->ckpt.paused)
		return group_at_rest(b, group);
	struct queue *q = group == SESSION_GROUP ? NULL : next_queue(b);
	return !q || queue_at_rest(b, q);
}

static void begin(struct broker *b)
{
	struct checkpoint *k = &b->ckpt;
	k->active = true;
	k->wanted = false;
	k->end_made = false;
	k->paused = false;
	k->count++;
	k->left = GROUPS;
	k->logged_bytes = 0;
	k->part_bytes = 0;
	ledger_parts_begin(&b->ledger, b->next_n);
	bits_set(k->todo, 0, GROUPS);
	memset(k->group_index, 0, sizeof(k->group_index));
}

static void write_parts(struct broker *b)
{
	struct checkpoint *k = &b->ckpt;
	bool any = false;
	broker_end_record(b);
	uint64_t end = written(b) + b->ledger.limits.turn_bytes;
	uint32_t g = k->paused ? k->group : bits_find(k->todo, 0, GROUPS, true);
	for (; g < GROUPS && written(b) < end; g = bits_find(k->todo, g + 1, GROUPS, true)) {
		if (can_write(b, g)) {
			any = true;
			if (write_group(b, g, end - written(b))) {
				bits_clear(k->todo, g, g + 1);
				k->left--;
			}
		}
		/* One group after the other. */
		if (k->paused)
			break;
	}
	broker_end_record(b);
	/* What still comes to a queue that is cut, or to the sessions, is written last, too. */
	bool fresh = is_cut(k) && k->below >= k->fresh && k->below < UINT64_MAX;
	/* … of the map as well, whose newest changes are its last entries. */
	fresh |= is_cut(k) && k->group == SESSION_GROUP && k->below == UINT64_MAX &&
		 k->places_done && k->kv_at >= k->fresh;
	k->holding = k->left > 0 && (!any || fresh || (k->holding && !k->paused));
}

/* Whether no more is written before the journal has stored some of what is in memory. */
static bool parts_wait(const struct broker *b)
{
	const struct ledger *l = &b->ledger;
	return l->pending_own_bytes >= (uint64_t)PARTS_TURNS * l->limits.turn_bytes;
}

/* ---- END ---- */

static bool parts_stored(const struct checkpoint *k, uint64_t *first)
{
	*first = UINT64_MAX;
	for (uint32_t g = 0; g < GROUPS; g++) {
		if (k->group_index[g] == 0)
			return false;
		if (k->group_index[g] < *first)
			*first = k->group_index[g];
	}
	return true;
}

/* The list of what END names, empty. */
static struct writer dead_list(struct checkpoint *k)
{
	if (!k->dead)
		k->dead = memory_new(DEAD_LIST_MAX);
	return writer_of(k->dead, DEAD_LIST_MAX);
}

static void make_holes(struct broker *b, uint64_t end)
{
	struct checkpoint *k = &b->ckpt;
	if (k->dead_len > 0)
		b->host.hole(b->host.arg, end, slice_of(k->dead, k->dead_len));
}

void broker_make_holes_again(struct broker *b)
{
	make_holes(b, b->ckpt.recovered);
}

/* Lists the dead records before all parts: a turn's share of them.  Whether that is all. */
static bool sweep(struct broker *b, uint64_t first)
{
	struct checkpoint *k = &b->ckpt;
	uint64_t most = b->ledger.limits.turn_steps, left = most;
	for (uint32_t g = 0; RMQ_VARIANT(END_BEHIND_PARTS) && g < GROUPS; g++)
		if (k->group_index[g] > first)
			first = k->group_index[g];
	struct writer dead = dead_list(k);
	if (ledger_sweeping(&b->ledger))
		dead.len = k->dead_len;
	bool all = ledger_sweep(&b->ledger, first, &left, &dead);
	k->dead_len = dead.len;
	broker_works(b, most - left);
	return all;
}

static void write_end(struct broker *b, uint64_t first)
{
	struct checkpoint *k = &b->ckpt;
	uint8_t parts[GROUPS_MAX * 8];
	for (uint32_t g = 0; g < GROUPS; g++)
		store_u64(parts + 8 * g, k->group_index[g]);
	ledger_parts_end(&b->ledger);
	broker_end_record(b);
	broker_begin_record(b, RECORD_END);
	broker_emit_end_parts(
	    b, &(struct event_end_parts){first, slice_of(parts, (size_t)GROUPS * 8)});
	broker_emit_end_dead(b, &(struct event_end_dead){slice_of(k->dead, k->dead_len)});
	k->end_n = b->open->n;
	k->end_made = true;
	broker_end_record(b);
}

void broker_checkpoint_step(struct broker *b)
{
	struct checkpoint *k = &b->ckpt;
	uint64_t first;
	if (!k->active && (k->wanted || broker_checkpoint_due(b)))
		begin(b);
	if (!k->active || k->end_made)
		return;
	if (parts_wait(b))
		return;
	if (k->left > 0)
		write_parts(b);
	else if (parts_stored(k, &first) && sweep(b, first))
		write_end(b, first);
}

bool broker_checkpoint_goes_on(const struct broker *b)
{
	const struct checkpoint *k = &b->ckpt;
	return k->active &&
	       ((k->left > 0 && !k->holding && !parts_wait(b)) || ledger_sweeping(&b->ledger));
}

void broker_checkpoint_stored(struct broker *b, uint64_t n, uint64_t index)
{
	struct checkpoint *k = &b->ckpt;
	if (!k->active)
		return;
	if (k->end_made && n == k->end_n) {
		k->active = false;
		memcpy(b->part_index, k->group_index, sizeof(b->part_index));
		make_holes(b, index);
		return;
	}
	for (uint32_t g = 0; g < GROUPS; g++)
		if (k->group_n[g] == n)
			k->group_index[g] = index;
}

/* ---- recovery ---- */

static enum rmq_error read_end(
    struct broker *b, uint64_t end, struct slice payload, uint64_t *first)
{
	struct events_header h;
	struct event_iter it;
	struct event e;
	struct event_end_parts parts;
	enum rmq_error err = events_open(payload, &h, &it);
	if (!err)
		err = event_next(&it, &e);
	if (err)
		return err == RMQ_E_VERSION ? err : RMQ_E_CORRUPT;
	if (e.type != EVENT_TYPE_END_PARTS || !event_end_parts_decode(e.body, &parts) ||
	    parts.parts.len != GROUPS * 8 || parts.begin == 0)
		return RMQ_E_CORRUPT;
	for (uint32_t g = 0; g < GROUPS; g++)
		b->part_index[g] = load_u64(parts.parts.data + 8 * g);
	for (uint32_t g = 0; RMQ_VARIANT(PARTS_AT_END) && g < GROUPS; g++)
		b->part_index[g] = end;
	*first = parts.begin;
	struct slice ranges;
	if (event_dead_ranges(payload, &ranges))
		return RMQ_E_CORRUPT;
	struct writer dead = dead_list(&b->ckpt);
	put_rest(&dead, ranges);
	b->ckpt.dead_len = dead.len;
	b->ckpt.recovered = end;
	return dead.full ? RMQ_E_CORRUPT : RMQ_E_OK;
}

/*
 * Whether e is of a part that END named.  Other parts are of a checkpoint that never came
 * to its END, or are read because the whole history is.
 */
static bool part_named(struct broker *b, uint64_t index, const struct event *e)
{
	struct event_part_group m;
	if (e->type == EVENT_TYPE_PART_GROUP && event_part_group_decode(e->body, &m) && !m.last)
		b->part_named = m.group < GROUPS && b->part_index[m.group] == index;
	return b->part_named;
}

static enum rmq_error replay_events(struct broker *b, uint64_t index, enum record_kind kind,
    struct slice payload, struct record *record)
{
	struct events_header h;
	struct event_iter it;
	struct event e;
	enum rmq_error err = events_open(payload, &h, &it);
	if (err)
		return err;
	if (h.lease.ms > b->lease_now.ms)
		b->lease_now = h.lease;
	while (!(err = event_next(&it, &e))) {
		struct event_place at = {index, record, e.offset, h.lease, h.wall};
		if ((kind == RECORD_PART) != (e.type >= EVENT_TYPE_PART_GROUP))
			return RMQ_E_CORRUPT;
		if (kind == RECORD_PART && !part_named(b, index, &e))
			continue;
		err = broker_apply(b, &at, &e);
		if (err)
			return err;
	}
	return err == RMQ_E_NOTHING ? RMQ_E_OK : err;
}

/*
 * Behind all that were given out after the backup, at most so many.  Time alone is not enough where the
 * numbers are ahead of it already, as the clock was once, or is behind now.
 */
static uint64_t jump(uint64_t number, uint64_t most)
{
	return most > number ? most : number + most;
}

/*
 * A directory made from a backup: lease numbers given out after the backup was taken
 * must not be used again.  Nobody hands out 2^20 leases a second.  The same for the numbers of
 * starts: nobody starts a daemon more than once a second.  !leases: those of the newest checkpoint have jumped.
 */
void broker_numbers_jump(struct broker *b, struct wall_time wall, bool leases)
{
	uint64_t s = wall.ms / 1000;
	uint64_t since = s > JOURNAL_EPOCH_S ? s - JOURNAL_EPOCH_S : 0;
	uint64_t starts = leases ? jump(b->starts, since) : since;
	if (starts > b->starts && starts < UINT32_MAX / 2)
		b->starts = (uint32_t)starts;
	if (!leases)
		return;
	b->lease = jump(b->lease, since << 20);
	/* Nor are versions of the map. */
	if (b->kv.version > 0)
		kv_count(&b->kv, jump(b->kv.version, since << 20));
}

static enum rmq_error replay_restored(struct broker *b, uint64_t index, struct slice payload)
{
	if (payload.len != 8)
		return RMQ_E_CORRUPT;
	broker_numbers_jump(b, (struct wall_time){load_u64(payload.data)},
	    index > b->part_index[SESSION_GROUP]);
	return RMQ_E_OK;
}

static enum rmq_error replay(
    struct broker *b, uint64_t index, enum record_kind kind, struct slice payload)
{
	enum rmq_error err;
	struct record *r;
	switch (kind) {
	case RECORD_EVENTS:
		/* Its record stays while its events are applied. */
		r = ledger_at(&b->ledger, index, (uint32_t)payload.len);
		r->plain = true;
		ledger_add(&b->ledger, r, 1, 0);
		err = replay_events(b, index, kind, payload, r);
		ledger_drop(&b->ledger, r, 1, 0);
		b->ckpt.logged_bytes += payload.len;
		return err;
	case RECORD_PART:
		b->ckpt.part_bytes += payload.len;
		return replay_events(b, index, kind, payload, NULL);
	case RECORD_RESTORED:
		return replay_restored(b, index, payload);
	case RECORD_END:
	case RECORD_NOOP:
	case RECORD_CONFIG:
		return RMQ_E_OK;
	}
	return RMQ_E_VERSION;
}

/* Every live message is in a range, and nothing else is. */
static bool is_consistent(struct broker *b)
{
	struct queue *q;
	struct batch *m;
	RB_FOREACH (q, queue_id_tree, &b->queues_by_id) {
		uint64_t live = 0;
		RB_FOREACH (m, batch_tree, &q->batches)
			live += m->live;
		if (live != queue_total(q))
			return false;
	}
	return true;
}

static void settle_down(struct broker *b, uint64_t first)
{
	struct record *r;
	struct session *s;
	uint64_t from = 0;
	while ((r = records_from(&b->ledger.stored, from))) {
		from = r->index + 1;
		ledger_tidy(&b->ledger, r);
	}
	ledger_recovered(&b->ledger, first, b->ckpt.logged_bytes);
	TAILQ_FOREACH (s, &b->idle, idle)
		s->idle_since_ms = b->lease_now.ms;
}

enum rmq_error broker_recover(struct broker *b, const struct broker_log *log,
    uint64_t checkpoint, uint64_t last, uint64_t *at)
{
	enum record_kind kind;
	struct slice payload;
	uint64_t index = 1, first;
	enum rmq_error err;
	*at = checkpoint;
	if (checkpoint > 0) {
		err = log->read(log->arg, checkpoint, &kind, &payload);
		if (err || kind != RECORD_END)
			return err && err != RMQ_E_NOTHING ? err : RMQ_E_CORRUPT;
		if ((err = read_end(b, checkpoint, payload, &index)))
			return err;
	}
	first = b->ledger.log_from = index;
	while (index <= last) {
		err = log->next(log->arg, index, &index, &kind, &payload);
		if (err == RMQ_E_NOTHING || (!err && index > last))
			break;
		*at = index;
		b->ledger.before_end = index < checkpoint;
		if (err == RMQ_E_CORRUPT)
			err = broker_gap(b, index);
		else if (!err)
			err = replay(b, index, kind, payload);
		if (err)
			return err;
		index++;
	}
	settle_down(b, first);
	b->newest_index = last;
	if (RMQ_VARIANT(LEASE_REUSED))
		b->lease = 0;
	return is_consistent(b) ? RMQ_E_OK : RMQ_E_CORRUPT;
}

enum rmq_error broker_recover_around(struct broker *b, const struct broker_log *log,
    uint64_t checkpoint, uint64_t last, struct wall_time wall, uint64_t *at)
{
	b->gaps.allowed = true;
	enum rmq_error err = broker_recover(b, log, checkpoint, last, at);
	if (!err)
		broker_gaps_end(b, wall);
	return err;
}
