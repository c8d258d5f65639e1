/*
 * Cells: what comes with a queue that arrives from another one.  Its messages come with the numbers that
 * they had there, rising, and nobody sees the queue until it is opened (broker_cells.c).
 *
 * Each frame is a command, which is in one record with what comes of it, so a client that was not answered
 * repeats it.  A piece of a large message stands alone in its record: of a piece that is there already only
 * the number is taken.
 */
#include "core/broker/broker_state.h"

#include <stdio.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/base/name.h"
#include "core/base/variant.h"

#define TAKEN_SIZE (EVENT_HEADER_SIZE + 8 + 8)
/* The highest lease that another cell is believed to have: whatever it says, those here never end. */
#define LEASE_THERE_MAX (SEQ_MAX / 2)
/* The highest number of a message that comes: as many follow as can ever be sent. */
#define SEQ_THERE_MAX (SEQ_MAX / 2)

static_assert(BATCH_MAX + EVENT_COME_HEAD_MAX + TAKEN_SIZE + EVENTS_HEADER_SIZE <= RECORD_FILL,
    "a full batch with all that is said of it fits into an ordinary record");
static_assert(BATCH_MAX + EVENT_COME_HEAD_MAX <= UINT16_MAX, "… and into an event");

/* ---- messages ---- */

/* What is said of messages besides their bodies. */
struct coming {
	struct event_origin origin; /* without a queue's name: nothing */
	struct slice note;
	uint32_t redrives;
	uint8_t flags;	   /* COME_* */
	uint64_t until_ms; /* as in the event */
	uint64_t expire_ms;
};

/* The note as it is kept; it was told with where the message came from. */
static struct slice bare_note(const struct event_origin *o, struct slice note)
{
	char before[NAME_FULL_MAX + 32];
	int len = o->queue.len == 0
		      ? 0
		      : snprintf(before, sizeof(before), "%.*s:%llu ", (int)o->queue.len,
			    (const char *)o->queue.data, (unsigned long long)o->seq);
	size_t n = (size_t)len;
	if (n > 0 && note.len >= n && memcmp(note.data, before, n) == 0)
		return slice_of(note.data + n, note.len - n);
	return note;
}

/* Delays end when they would have ended there: at a wall clock time, or after what is left. */
static uint64_t until_here(const struct broker *b, const struct wire_arrive *m, bool by_wall)
{
	uint64_t left_ms = tags_find_u64(m->tags, PEEKED_TAG_LEFT);
	if (by_wall)
		return m->until_ms > b->wall_now.ms ? m->until_ms : 0;
	return left_ms > 0 ? b->lease_now.ms + left_ms : 0;
}

/* false: it cannot be. */
static bool coming_of(const struct broker *b, const struct wire_arrive *m, struct coming *c)
{
	struct slice value;
	*c = (struct coming){.note = m->note};
	if (tags_find(m->tags, PEEKED_TAG_ORIGIN, &value) &&
	    (!event_origin_decode(value, &c->origin) || !name_valid(c->origin.queue) ||
		c->origin.seq > SEQ_MAX))
		return false;
	if (tags_find(m->tags, PEEKED_TAG_REDRIVES, &value)) {
		if (value.len != 4)
			return false;
		c->redrives = load_u32(value.data);
	}
	if (tags_find(m->tags, PEEKED_TAG_EXPIRE, &value)) {
		if (value.len != 9 || load_u64(value.data) == 0 || value.data[8] > 1)
			return false;
		c->expire_ms = load_u64(value.data);
		c->flags = value.data[8] ? COME_OWN : 0;
	}
	bool by_wall = tags_find(m->tags, PEEKED_TAG_WALL, &value);
	if (by_wall && value.len > 0)
		return false;
	c->until_ms = until_here(b, m, by_wall);
	if (by_wall && c->until_ms > 0)
		c->flags |= COME_WALL;
	c->note = bare_note(&c->origin, m->note);
	/* It is kept as a string. */
	if (m->note.len > 0 && memchr(m->note.data, '\0', m->note.len))
		return false;
	return m->until_ms <= SEQ_MAX && c->until_ms <= SEQ_MAX && m->first_seq > 0;
}

#define COMING_TAGS_MAX (EVENT_PLACE_TAGS_MAX + TAG_U64_SIZE)
static struct slice coming_tags(const struct coming *c, uint8_t list[COMING_TAGS_MAX])
{
	uint8_t place[EVENT_PLACE_TAGS_MAX];
	struct writer w = writer_of(list, COMING_TAGS_MAX);
	put_rest(&w, event_place_tags(&c->origin, 1, c->redrives, place));
	tags_put_u64(&w, EVENT_TAG_EXPIRE, c->expire_ms);
	assert(!w.full);
	return slice_of(w.p, w.len);
}

/* The frame says something that cannot be; whoever sends that is no mover. */
static void refuse(struct broker *b, struct conn *c, const char *text)
{
	broker_refuse(b, c, RMQ_E_PROTOCOL, text);
}

/* The copy to which the frame brings something, made if need be; NULL: the command has failed. */
static struct queue *copy_of(
    struct broker *b, struct conn *c, uint64_t n, struct slice name, struct slice token)
{
	enum rmq_error err = broker_arriving_may(b, name, token);
	struct queue *q = err ? NULL : broker_arriving_queue(b, name, token);
	if (err) {
		broker_fail_command(b, c, n, err);
		return NULL;
	}
	if (q)
		return q;
	if ((err = broker_may_make(b, c))) {
		broker_fail_make(b, c, n, err);
		return NULL;
	}
	return broker_arriving_make(b, name, token, c->owner);
}

/* Whether the journal has room for so many bytes; if not, the command has failed, and c waits. */
static bool has_room(struct broker *b, struct conn *c, uint64_t n, size_t len)
{
	if (len + FRAME_SMALL <= broker_room_left(b))
		return true;
	broker_wait(b, c, NULL, len + FRAME_SMALL);
	broker_fail_command(b, c, n, RMQ_E_DISK_FULL);
	return false;
}

/* Whether q takes messages with these numbers: they rise; if not, the command has failed. */
static bool rises(struct broker *b, struct conn *c, const struct queue *q,
    const struct wire_arrive *m, uint32_t count)
{
	char text[TEXT_MAX + 1];
	if (m->first_seq >= q->next_seq && m->first_seq <= SEQ_THERE_MAX - count)
		return true;
	snprintf(text, sizeof(text), "messages from number %llu on arrived, and not %llu",
	    (unsigned long long)q->next_seq, (unsigned long long)m->first_seq);
	broker_fail_text(b, c, m->n, RMQ_E_OUT_OF_ORDER, text);
	return false;
}

/* Whether this daemon knows how to act on these; if not, the command has failed. */
static bool attributes_known(struct broker *b, struct conn *c, uint64_t n, struct slice list)
{
	char text[TEXT_MAX + 1];
	uint16_t tag = attributes_refused(list);
	if (tag == 0)
		return true;
	snprintf(text, sizeof(text), "attribute %u of messages is not known here", tag);
	broker_fail_text(b, c, n, RMQ_E_VERSION, text);
	return false;
}

/* The batch with the attributes that stand in the tags; false: it is none, or too long. */
static bool whole_batch(const struct wire_arrive *m, struct writer *w, struct batch_view *v)
{
	struct slice attributes = NO_TAGS;
	if (batch_parse(m->data, v))
		return false;
	bool apart = tags_find(m->tags, DELIVER_TAG_ATTRIBUTES, &attributes);
	if (!apart) {
		put_rest(w, m->data);
	} else {
		if (v->attributes.len > 0)
			return false;
		put_u16(w, (uint16_t)v->count);
		put_u16(w, (uint16_t)attributes.len);
		put_rest(w, attributes);
		put_rest(w, slice_of(v->ends, 2 * (size_t)v->count));
		put_rest(w, slice_of(v->blob, v->blob_len));
	}
	return !w->full && !batch_parse(slice_of(w->p, w->len), v) &&
	       attributes_shared(v->attributes) <= ATTRIBUTES_SHARED_MAX;
}

static void arrive_batch(struct broker *b, struct conn *c, const struct wire_arrive *m,
    const struct coming *how, struct writer *w)
{
	struct batch_view batch;
	uint8_t list[COMING_TAGS_MAX];
	if (!whole_batch(m, w, &batch)) {
		refuse(b, c, "bad batch in ARRIVE");
		return;
	}
	broker_works(b, 1 + batch.count / 16);
	if (!attributes_known(b, c, m->n, batch.attributes) ||
	    !has_room(b, c, m->n, w->len + EVENT_COME_HEAD_MAX))
		return;
	struct queue *q = copy_of(b, c, m->n, m->queue, m->token);
	if (!q || !rises(b, c, q, m, batch.count))
		return;
	if (attributes_has(batch.attributes, ATTRIBUTE_KEY))
		broker_works(b, batch.count);
	broker_name_owner(b, c->session);
	broker_reserve(b, EVENT_COME_HEAD_MAX + w->len + TAKEN_SIZE);
	broker_emit_come(
	    b, &(struct event_come){q->id, m->first_seq, m->time_ms, how->flags, m->failures,
		   how->until_ms, how->note, coming_tags(how, list), slice_of(w->p, w->len)});
	broker_taken(b, c, m->n);
}

/* ---- large messages ---- */

/* Whether it is a piece that there can be; of a later one the attributes are passed over. */
static bool piece_valid(const struct wire_arrive *m, struct slice *attributes)
{
	*attributes = NO_TAGS;
	if (m->part == 0)
		(void)tags_find(m->tags, DELIVER_TAG_ATTRIBUTES, attributes);
	return m->data.len > 0 && m->data.len + attributes->len <= CHUNK_MAX &&
	       attributes->len <= CHUNK_ATTRIBUTES_MAX && m->part < CHUNKS_MAX &&
	       !attributes_check(*attributes, 1);
}

static void emit_piece(struct broker *b, const struct conn *c, const struct queue *q,
    const struct wire_arrive *m, uint64_t n, struct slice attributes)
{
	uint8_t list[4 + CHUNK_ATTRIBUTES_MAX];
	struct writer w = writer_of(list, sizeof(list));
	if (attributes.len > 0)
		tags_put(&w, CHUNK_TAG_ATTRIBUTES, attributes);
	broker_emit_chunk(b, &(struct event_chunk){q->id, c->session->id, n, m->part,
				 slice_of(w.p, w.len), m->data});
}

/* The message whose last piece has come is one now. */
static void whole(struct broker *b, struct conn *c, const struct queue *q,
    const struct pending *p, const struct wire_arrive *m, const struct coming *how)
{
	uint8_t list[COMING_TAGS_MAX];
	broker_reserve(b, EVENT_COME_HEAD_MAX + TAKEN_SIZE + 64);
	broker_emit_come_large(
	    b, &(struct event_come_large){q->id, c->session->id, p->n, m->first_seq,
		   p->large->parts, p->bytes, m->time_ms, how->flags, m->failures,
		   how->until_ms, how->note, coming_tags(how, list)});
}

/*
 * The message of which m is a piece that may be taken now, or was stored already (*stored); NULL: m is
 * its first piece, or (*fails) the command has failed.
 */
static const struct pending *begun(struct broker *b, struct conn *c, const struct queue *q,
    const struct wire_arrive *m, bool *stored, bool *fails)
{
	const struct pending *p = broker_unfinished(b, q, c->session->id);
	*stored = p && p->large->parts == m->part + 1u && (m->part > 0 || p->n == m->n);
	*fails = false;
	if (m->part == 0 && !*stored) {
		broker_drop_unfinished(b, c->session->id);
		return NULL;
	}
	*fails = !p || (!*stored && p->large->parts != m->part) ||
		 (!*stored && p->bytes + m->data.len > MESSAGE_MAX);
	if (*fails) {
		broker_drop_unfinished(b, c->session->id);
		/* Not OUT_OF_ORDER, which is about numbers of commands: these are right. */
		broker_fail_command(b, c, m->n, RMQ_E_STALE);
	}
	return p;
}

static void arrive_piece(
    struct broker *b, struct conn *c, const struct wire_arrive *m, const struct coming *how)
{
	struct slice attributes;
	bool stored, fails;
	if (!piece_valid(m, &attributes)) {
		refuse(b, c, "bad piece in ARRIVE");
		return;
	}
	if (!attributes_known(b, c, m->n, attributes) ||
	    !has_room(b, c, m->n, m->data.len + attributes.len + EVENT_COME_HEAD_MAX))
		return;
	struct queue *q = copy_of(b, c, m->n, m->queue, m->token);
	if (!q || !rises(b, c, q, m, 1))
		return;
	const struct pending *p = begun(b, c, q, m, &stored, &fails);
	if (fails)
		return;
	broker_name_owner(b, c->session);
	if (!stored)
		emit_piece(b, c, q, m, p ? p->n : m->n, attributes);
	if (!(m->flags & SEND_MORE))
		whole(b, c, q, broker_unfinished(b, q, c->session->id), m, how);
	broker_taken(b, c, m->n);
}

void broker_on_arrive(struct broker *b, struct conn *c, const struct wire_arrive *m)
{
	struct coming how;
	if (m->flags & ~(SEND_CHUNK | SEND_MORE)) {
		if (broker_take(b, c, m->n, m->answered))
			broker_fail_text(b, c, m->n, RMQ_E_VERSION, "unknown flag of ARRIVE");
		return;
	}
	bool piece = m->flags & SEND_CHUNK;
	if (piece && m->part > 0 ? !broker_take_next(b, c, m->n, m->answered)
				 : !broker_take(b, c, m->n, m->answered))
		return;
	if (!coming_of(b, m, &how)) {
		refuse(b, c, "bad attributes of ARRIVE");
		return;
	}
	if (piece) {
		arrive_piece(b, c, m, &how);
		return;
	}
	uint8_t *bytes = memory_new(BATCH_MAX);
	struct writer w = writer_of(bytes, BATCH_MAX);
	arrive_batch(b, c, m, &how, &w);
	free(bytes);
}

/* ---- what goes with them ---- */

/* false: it cannot be, or (*err) is not known here. */
static bool settings_of(struct slice data, struct queue_settings *s, enum rmq_error *err)
{
	struct with_settings m;
	if (!with_settings_decode(data, &m) || m.dead_letter.len > NAME_FULL_MAX ||
	    (m.dead_letter.len > 0 && memchr(m.dead_letter.data, '\0', m.dead_letter.len)) ||
	    name_is_ephemeral(m.dead_letter))
		return false;
	*s = (struct queue_settings){SETTINGS_OF(&m), {0}, {0}};
	if (m.dead_letter.len > 0)
		memcpy(s->dead_letter, m.dead_letter.data, m.dead_letter.len);
	*err = more_settings_find(m.tags, EVENT_TAG_SETTINGS, &s->more);
	return !*err && policy_valid(s);
}

static bool arrive_settings(
    struct broker *b, struct conn *c, const struct wire_arrive_state *m, const struct queue *q)
{
	uint8_t bytes[MORE_SETTINGS_BYTES];
	struct writer tags = writer_of(bytes, sizeof(bytes));
	struct queue_settings s;
	enum rmq_error err = RMQ_E_OK;
	if (!settings_of(m->data, &s, &err)) {
		if (err == RMQ_E_VERSION)
			broker_fail_text(b, c, m->n, err, "unknown setting");
		else
			refuse(b, c, "bad settings in ARRIVE_STATE");
		return false;
	}
	more_settings_put(&tags, EVENT_TAG_SETTINGS, &s.more, SETTING_ALL);
	broker_reserve(b, 1024);
	broker_emit_set(b, &(struct event_set){q->id, SETTINGS_OF(&s), slice_str(s.dead_letter),
			       slice_of(tags.p, tags.len)});
	return true;
}

/* The rate's bucket by the clock here: no fuller than one can be. */
static uint64_t rate_here(const struct broker *b, const struct queue *q, struct slice tags)
{
	uint64_t now = b->lease_now.ms << RATE_SHIFT;
	uint64_t left = min_u64(tags_find_u64(tags, PART_QUEUE_TAG_RATE), UINT64_MAX - now);
	return left > 0 ? policy_rate_changed(&q->settings, now + left, b->lease_now) : 0;
}

/*
 * What expired here meanwhile, and was live there when it was counted, is counted here.  So is what was lost.
 */
static void put_counts(const struct broker *b, const struct queue *q,
    const struct with_counts *n, const struct event_maker *maker, struct writer *w)
{
	struct slice dropped = NO_TAGS;
	struct queue_counts sum = {.lost = tags_find_u64(n->tags, PART_QUEUE_TAG_LOST)};
	(void)tags_find(n->tags, PART_QUEUE_TAG_DROPPED, &dropped);
	struct reader in = reader_of(dropped);
	for (int why = DROPPED_EXPIRED; why < DROPPED_WHYS && reader_left(&in) > 0; why++)
		sum.dropped[why] = get_u64(&in);
	uint64_t gone = q->counts.sent - n->live, here = q->counts.dropped[DROPPED_EXPIRED];
	sum.dropped[DROPPED_EXPIRED] += here > gone ? here - gone : 0;
	tags_put_u64(w, PART_QUEUE_TAG_LOST, sum.lost + q->counts.lost);
	if (maker)
		event_maker_put(w, maker);
	tags_put_u64(w, PART_QUEUE_TAG_RATE, rate_here(b, q, n->tags));
	broker_put_dropped(w, PART_QUEUE_TAG_DROPPED, &sum);
	tags_put_u64(
	    w, PART_QUEUE_TAG_IDS_EARLY, tags_find_u64(n->tags, PART_QUEUE_TAG_IDS_EARLY));
	tags_put_u64(
	    w, COME_STATE_TAG_LEASE, n->lease < LEASE_THERE_MAX ? n->lease : LEASE_THERE_MAX);
	tags_put_u64(
	    w, PART_QUEUE_TAG_IDS_SEED, tags_find_u64(n->tags, PART_QUEUE_TAG_IDS_SEED));
	assert(!w->full);
}

/*
 * Whether the queue is that user's from now on.  Else it is its that brought it: only who may do everything names
 * another, whose queues have a limit.
 */
static bool brings_maker(const struct conn *c, struct slice tags, struct event_maker *m)
{
	return event_maker_find(tags, m) && broker_granted_all(c, RIGHT_ADMIN);
}

/* Whether that user may have made one queue more. */
static bool maker_fits(struct broker *b, const struct queue *q, const struct event_maker *m)
{
	struct owner *o = owner_use(&b->owners, m->node, m->uid);
	bool fits = o == q->maker || o->queues < QUEUES_OF_ONE;
	owner_drop(&b->owners, o);
	return fits;
}

static bool arrive_counts(
    struct broker *b, struct conn *c, const struct wire_arrive_state *m, const struct queue *q)
{
	struct with_counts n;
	uint16_t unknown;
	uint8_t list[5 * TAG_U64_SIZE + EVENT_MAKER_MAX + QUEUE_DROPPED_SIZE];
	struct writer tags = writer_of(list, sizeof(list));
	struct event_maker maker;
	if (!with_counts_decode(m->data, &n) || n.next_seq > SEQ_THERE_MAX ||
	    tags_check(n.tags, EVENT_TYPE_COME_STATE, event_tag_name, &unknown)) {
		refuse(b, c, "bad counts in ARRIVE_STATE");
		return false;
	}
	char text[TEXT_MAX + 1];
	if (n.next_seq < q->next_seq || (n.live > q->counts.sent)) {
		snprintf(text, sizeof(text),
		    "%llu messages are there, up to number %llu, and %llu arrived here, up to "
		    "%llu: begin again",
		    (unsigned long long)n.live, (unsigned long long)n.next_seq - 1,
		    (unsigned long long)q->counts.sent, (unsigned long long)q->next_seq - 1);
		broker_fail_text(b, c, m->n, RMQ_E_STALE, text);
		return false;
	}
	bool brings = brings_maker(c, n.tags, &maker);
	if (brings && !maker_fits(b, q, &maker)) {
		broker_fail_text(
		    b, c, m->n, RMQ_E_LIMIT, "its maker has made as many queues as one may");
		return false;
	}
	put_counts(b, q, &n, brings ? &maker : NULL, &tags);
	broker_reserve(b, 1024);
	broker_emit_come_state(
	    b, &(struct event_come_state){q->id, n.next_seq, n.sent, n.delivered, n.settled,
		   n.failed, n.dead, slice_of(tags.p, tags.len)});
	return true;
}

/* Those that the queue would have forgotten by now are passed over. */
static bool arrive_ids(
    struct broker *b, struct conn *c, const struct wire_arrive_state *m, const struct queue *q)
{
	uint32_t count = (uint32_t)(m->data.len / WITH_ID_SIZE), left = 0;
	struct reader in = reader_of(m->data);
	if (m->data.len % WITH_ID_SIZE != 0 || m->data.len > EXPORT_BYTES_MAX) {
		refuse(b, c, "bad ids in ARRIVE_STATE");
		return false;
	}
	if (broker_ids_too_many(b, c, m->n, q, count) || !has_room(b, c, m->n, m->data.len))
		return false;
	/* Hashes and times, then the tag that has the numbers. */
	size_t ids_max = 16 * (size_t)count, numbers_max = 8 * (size_t)count;
	uint8_t *bytes = memory_new(ids_max + 4 + numbers_max), *list = bytes + ids_max;
	struct writer ids = writer_of(bytes, ids_max);
	struct writer numbers = writer_of(list + 4, numbers_max);
	for (; count > 0; count--) {
		uint64_t hash = get_u64(&in), age = get_u64(&in), seq = get_u64(&in);
		if (hash == 0 || age >= q->settings.more.dedup_ms)
			continue;
		put_u64(&ids, hash);
		put_u64(&ids, b->lease_now.ms - age);
		put_u64(&numbers, seq <= SEQ_MAX ? seq : 0);
		left++;
	}
	store_u16(list, PART_IDS_TAG_NUMBERS);
	store_u16(list + 2, (uint16_t)numbers.len);
	broker_works(b, 1 + left / 16);
	broker_reserve(b, FRAME_SMALL + ids.len + numbers.len);
	if (left > 0 && !RMQ_VARIANT(IDS_STAY))
		broker_emit_come_ids(
		    b, &(struct event_come_ids){
			   q->id, slice_of(list, 4 + numbers.len), slice_of(ids.p, ids.len)});
	free(bytes);
	return true;
}

static bool arrive_positions(
    struct broker *b, struct conn *c, const struct wire_arrive_state *m, const struct queue *q)
{
	struct reader in = reader_of(m->data), look = in;
	struct with_position p;
	uint32_t count = 0;
	uint16_t unknown;
	bool good = m->data.len <= EXPORT_BYTES_MAX;
	while (good && reader_left(&look) > 0) {
		with_position_get(&look, &p);
		good = !look.bad && name_valid(p.name) && ++count <= POSITIONS_MAX &&
		       !tags_check(p.tags, WIRE_TYPE_POSITION_IS, wire_tag_name, &unknown);
	}
	if (!good) {
		refuse(b, c, "bad positions in ARRIVE_STATE");
		return false;
	}
	if (!has_room(b, c, m->n, m->data.len))
		return false;
	broker_works(b, 1 + count);
	while (reader_left(&in) > 0) {
		uint8_t list[INPUT_SENT_TAGS_SIZE];
		with_position_get(&in, &p);
		struct input_sent sent = input_sent_find(p.tags, p.at);
		broker_emit_position(b, &(struct event_position){
					    q->id, p.at, p.name, input_sent_tags(list, &sent)});
	}
	broker_reserve(b, FRAME_SMALL);
	return true;
}

void broker_on_arrive_state(struct broker *b, struct conn *c, const struct wire_arrive_state *m)
{
	if (!broker_take(b, c, m->n, m->answered))
		return;
	if (m->what < WITH_SETTINGS || m->what > WITH_POSITIONS) {
		broker_fail_text(
		    b, c, m->n, RMQ_E_VERSION, "ARRIVE_STATE of something unknown");
		return;
	}
	const struct queue *q = copy_of(b, c, m->n, m->queue, m->token);
	if (!q)
		return;
	broker_name_owner(b, c->session);
	bool done = false;
	if (m->what == WITH_SETTINGS)
		done = arrive_settings(b, c, m, q);
	else if (m->what == WITH_COUNTS)
		done = arrive_counts(b, c, m, q);
	else if (m->what == WITH_IDS)
		done = arrive_ids(b, c, m, q);
	else
		done = arrive_positions(b, c, m, q);
	if (done)
		broker_taken(b, c, m->n);
}
