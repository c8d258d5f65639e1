/*
 * Events on their way into the journal and into the state.  An event is encoded into
 * the open record and applied by the same function that recovery uses; the record is
 * given to the host when it is full and at the end of the turn.
 */
#include "core/broker/broker_state.h"

#include <assert.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/base/name.h"
#include "core/base/topic.h"
#include "core/base/variant.h"

/* PART_QUEUE without names and its maker. */
#define QUEUE_PART_MAX \
	(96 + 4 * TAG_U64_SIZE + MORE_SETTINGS_BYTES + QUEUE_DROPPED_SIZE + EVENT_ARRIVING_SIZE)
#define EPHEMERAL_PART_MAX 18

/* ---- the open record ---- */

void broker_begin_record(struct broker *b, enum record_kind kind)
{
	assert(!b->open);
	b->open = ledger_begin(&b->ledger, b->next_n++, kind != RECORD_EVENTS);
	b->open_kind = kind;
	b->w = writer_of(b->payload, RECORD_FILL);
	put_u64(&b->w, b->lease_now.ms);
	put_u64(&b->w, b->wall_now.ms);
}

void broker_end_record(struct broker *b)
{
	struct record *r = b->open;
	if (!r)
		return;
	b->open = NULL;
	r->sent_after = b->sent_bytes;
	ledger_end(&b->ledger, r, (uint32_t)b->w.len);
	if (b->open_kind == RECORD_EVENTS)
		b->ckpt.logged_bytes += b->w.len;
	else
		b->ckpt.part_bytes += b->w.len;
	b->host.append(b->host.arg, r->n, b->open_kind, slice_of(b->payload, b->w.len));
}

void broker_reserve(struct broker *b, size_t len)
{
	if (b->open && b->w.cap - b->w.len < len)
		broker_end_record(b);
	if (!b->open)
		broker_begin_record(b, RECORD_EVENTS);
	if (b->w.cap - b->w.len < len)
		b->w.cap = sizeof(b->payload);
}

void broker_reserve_end(struct broker *b)
{
	if (b->open && b->w.cap > RECORD_FILL)
		broker_end_record(b);
}

/* A piece of a large message stands alone in its record; new messages and queues take room. */
static void before_event(struct broker *b, uint8_t type)
{
	if (type == EVENT_TYPE_CHUNK)
		broker_end_record(b);
	if (!b->open)
		broker_begin_record(b, RECORD_EVENTS);
}

static void after_event(struct broker *b, uint8_t type, size_t len)
{
	if (type == EVENT_TYPE_SEND || type == EVENT_TYPE_CHUNK || type == EVENT_TYPE_CREATE ||
	    type == EVENT_TYPE_COME || type == EVENT_TYPE_COME_IDS || type == EVENT_TYPE_BIND ||
	    type == EVENT_TYPE_KV_PUT || type == EVENT_TYPE_KV_MORE ||
	    type == EVENT_TYPE_COPY || type == EVENT_TYPE_PLACED)
		b->sent_bytes += len;
	if (type == EVENT_TYPE_CHUNK)
		broker_end_record(b);
}

/* ---- into the state ---- */

/* Whether the event concerns the group, or its part knows it already. */
static bool group_wants(const struct broker *b, const struct event_place *at, uint32_t group)
{
	return at->index == 0 || at->index > b->part_index[group];
}

static bool sessions_want(const struct broker *b, const struct event_place *at)
{
	return group_wants(b, at, SESSION_GROUP);
}

/* Whether the sessions' part goes on, and a later piece of it knows this one. */
static bool session_comes(const struct broker *b, uint64_t id)
{
	if (!b->pause.on || b->pause.group != SESSION_GROUP)
		return false;
	return id >= b->pause.below || RMQ_VARIANT(SESSIONS_CUT_OFF);
}

static bool session_wants(const struct broker *b, const struct event_place *at, uint64_t id)
{
	return sessions_want(b, at) && !session_comes(b, id);
}

/* Also not, while its group's part goes on, a queue that the part has not named yet. */
static bool queue_wants(const struct broker *b, const struct event_place *at, uint32_t id)
{
	uint32_t group = id % CHECKPOINT_GROUPS;
	bool comes = b->pause.on && b->pause.group == group && !broker_queue(b, id);
	return group_wants(b, at, group) && !comes;
}

/* Messages of the queue below this want its events: a later piece knows the others. */
static uint64_t wanted_below(const struct broker *b, uint32_t id)
{
	bool cut = b->pause.on && b->pause.queue == id && !RMQ_VARIANT(PARTS_UNCUT);
	return cut ? b->pause.below : UINT64_MAX;
}

/* Whether a later piece knows the messages from `first` on, whose bodies an event brings. */
static bool comes_later(const struct broker *b, struct queue *q, uint64_t first)
{
	if (!q || first < wanted_below(b, q->id))
		return false;
	/* A run that goes on through the record's events of q would find these. */
	q->newest = NULL;
	return true;
}

/* The session of an event; made if this event is the first to name it. */
static struct session *session_of(struct broker *b, uint64_t id)
{
	struct session *s = broker_session_find(b, id);
	bool is_new = !s;
	if (is_new)
		s = broker_session_add(b, id, broker_nobody(b));
	s->durable = true;
	/* Between pieces of the sessions' part: it is there now, or a later piece says so. */
	if (b->pause.on && b->pause.group == SESSION_GROUP)
		s->in_doubt = session_comes(b, id) && (is_new || s->in_doubt);
	return s;
}

/* The same for what a session does: whose it is was told before. */
static struct session *doer(struct broker *b, const struct event_place *at, uint64_t id)
{
	const struct session *s = at->index == 0 ? broker_session_find(b, id) : NULL;
	assert(!s || s->durable || !owner_known(s->owner) || RMQ_VARIANT(OWNER_UNWRITTEN));
	return session_of(b, id);
}

static void taken(struct broker *b, const struct event_place *at, uint64_t id, uint64_t n,
    uint64_t first_seq, uint32_t count, struct slice stale)
{
	if (id != 0 && session_wants(b, at, id))
		session_taken(doer(b, at, id), n, first_seq, count, stale);
}

static enum rmq_error settings_set(struct queue_settings *s, uint32_t lease_ms,
    uint32_t max_attempts, uint64_t backoff_min_ms, uint64_t backoff_max_ms, uint64_t max_bytes,
    uint32_t max_message, struct slice dead_letter, struct slice tags)
{
	struct more_settings more;
	enum rmq_error err = more_settings_find(tags, EVENT_TAG_SETTINGS, &more);
	if (err)
		return err == RMQ_E_VERSION ? err : RMQ_E_CORRUPT;
	if (dead_letter.len > NAME_FULL_MAX)
		return RMQ_E_CORRUPT;
	*s = (struct queue_settings){lease_ms, max_attempts, backoff_min_ms, backoff_max_ms,
	    max_bytes, max_message, {0}, more};
	if (dead_letter.len > 0)
		memcpy(s->dead_letter, dead_letter.data, dead_letter.len);
	return policy_valid(s) ? RMQ_E_OK : RMQ_E_CORRUPT;
}

/* What q takes in a checkpoint, at most, but for what is in it. */
static uint64_t queue_part_bytes(const struct queue *q)
{
	return QUEUE_PART_MAX + EPHEMERAL_PART_MAX + EVENT_MAKER_MAX + strlen(q->name) +
	       strlen(q->settings.dead_letter) + bindings_part_bytes(q);
}

static void remove_queue(struct broker *b, struct queue *q);

/* tags: those of an event that may say who made the queue. */
static enum rmq_error add_queue(struct broker *b, uint32_t id, struct slice name,
    const struct queue_settings *settings, struct slice tags, struct queue **out)
{
	struct event_maker maker;
	struct slice token;
	bool arrives = tags_find(tags, EVENT_TAG_ARRIVING, &token);
	bool left = tags_find(tags, PART_QUEUE_TAG_LEFT, &(struct slice){0});
	if (arrives && token.len != CELL_TOKEN_SIZE)
		return RMQ_E_CORRUPT;
	struct queue *q = arrives ? broker_arriving_queue(b, name, token)
			  : left  ? NULL
				  : broker_queue_named(b, name);
	/* The REMOVE of the one that had the name is missing. */
	if (q && q->id != id && broker_may_miss(b, q->id)) {
		remove_queue(b, q);
		q = NULL;
	}
	if (!name_valid(name) || q || broker_queue(b, id))
		return RMQ_E_CORRUPT;
	q = queue_new(id, name, &b->timers, &b->ledger);
	bool known = event_maker_find(tags, &maker);
	q->maker = known ? owner_use(&b->owners, maker.node, maker.uid) : broker_nobody(b);
	q->maker->queues++;
	q->settings = *settings;
	b->ledger.part_bytes += queue_part_bytes(q);
	RB_INSERT(queue_id_tree, &b->queues_by_id, q);
	broker_queue_names(b, q, arrives ? token : slice_of("", 0), left);
	TAILQ_INSERT_TAIL(&b->groups[id % CHECKPOINT_GROUPS], q, of_group);
	b->queues_count++;
	*out = q;
	return RMQ_E_OK;
}

static enum rmq_error apply_create(
    struct broker *b, const struct event_place *at, const struct event_create *e)
{
	struct queue_settings settings;
	struct queue *q;
	if (sessions_want(b, at) && e->queue >= b->next_queue)
		b->next_queue = e->queue + 1;
	if (!queue_wants(b, at, e->queue))
		return RMQ_E_OK;
	enum rmq_error err = settings_set(&settings, SETTINGS_OF(e), e->dead_letter, e->tags);
	return err ? err : add_queue(b, e->queue, e->name, &settings, e->tags, &q);
}

/* Those that are too old by then. */
static void forget_ids(struct broker *b, struct queue *q, struct lease_time now)
{
	uint32_t before = ids_count(&q->ids);
	ids_forget(&q->ids, now.ms, q->settings.more.dedup_ms);
	broker_ids_changed(b, q, before);
}

static enum rmq_error apply_set(
    struct broker *b, const struct event_place *at, const struct event_set *e)
{
	struct queue_settings settings;
	struct queue *q = broker_queue(b, e->queue);
	if (!queue_wants(b, at, e->queue))
		return RMQ_E_OK;
	if (!q)
		q = broker_gap_queue(b, e->queue);
	enum rmq_error err = settings_set(&settings, SETTINGS_OF(e), e->dead_letter, e->tags);
	if (err || !q)
		return err ? err : RMQ_E_CORRUPT;
	b->ledger.part_bytes -= queue_part_bytes(q);
	if (settings.more.rate != q->settings.more.rate)
		q->rate_full = policy_rate_changed(&settings, q->rate_full, at->lease);
	q->settings = settings;
	b->ledger.part_bytes += queue_part_bytes(q);
	forget_ids(b, q, at->lease);
	/* Limits may have changed. */
	broker_unthrottle(b, q);
	broker_busy(b, q);
	broker_roomy(b, q);
	return RMQ_E_OK;
}

void broker_drop_pending(struct broker *b, struct pending *p)
{
	for (uint32_t i = 0; i < p->large->parts; i++)
		ledger_drop(&b->ledger, p->large->part[i].record, 1, 0);
	broker_roomy(b, p->queue);
	broker_unfinished_free(b, p);
}

static void remove_queue(struct broker *b, struct queue *q)
{
	struct pending *p;
	while ((p = TAILQ_FIRST(&q->unfinished)))
		broker_drop_pending(b, p);
	RB_REMOVE(queue_id_tree, &b->queues_by_id, q);
	broker_queue_nameless(b, q);
	TAILQ_REMOVE(&b->groups[q->id % CHECKPOINT_GROUPS], q, of_group);
	b->queues_count--;
	b->ledger.part_bytes -= queue_part_bytes(q);
	if (q->is_busy)
		TAILQ_REMOVE(&b->busy, q, busy);
	broker_unthrottle(b, q);
	broker_queue_free(b, q);
}

static enum rmq_error apply_remove(
    struct broker *b, const struct event_place *at, const struct event_remove *e)
{
	struct queue *q = broker_queue(b, e->queue);
	if (!queue_wants(b, at, e->queue))
		return RMQ_E_OK;
	if (!q)
		return broker_may_miss(b, e->queue) ? RMQ_E_OK : RMQ_E_CORRUPT;
	remove_queue(b, q);
	return RMQ_E_OK;
}

static enum rmq_error bind_to(struct broker *b, struct queue *q, struct slice pattern)
{
	if (!q || pattern_fault(pattern))
		return RMQ_E_CORRUPT;
	/* The UNBIND of one that was there is missing. */
	if (binding_find(q, pattern))
		return broker_may_miss(b, q->id) ? RMQ_E_OK : RMQ_E_CORRUPT;
	b->ledger.part_bytes -= queue_part_bytes(q);
	bindings_add(&b->bindings, q, pattern);
	q->maker->bindings++;
	b->ledger.part_bytes += queue_part_bytes(q);
	return RMQ_E_OK;
}

static enum rmq_error apply_bind(
    struct broker *b, const struct event_place *at, const struct event_bind *e)
{
	struct queue *q = broker_queue(b, e->queue);
	if (!queue_wants(b, at, e->queue))
		return RMQ_E_OK;
	return bind_to(b, q ? q : broker_gap_queue(b, e->queue), e->pattern);
}

static enum rmq_error apply_unbind(
    struct broker *b, const struct event_place *at, const struct event_unbind *e)
{
	struct queue *q = broker_queue(b, e->queue);
	if (!queue_wants(b, at, e->queue))
		return RMQ_E_OK;
	struct binding *bound = q ? binding_find(q, e->pattern) : NULL;
	if (!bound)
		return broker_may_miss(b, e->queue) ? RMQ_E_OK : RMQ_E_CORRUPT;
	if (RMQ_VARIANT(UNBOUND_STILL))
		return RMQ_E_OK;
	b->ledger.part_bytes -= queue_part_bytes(q);
	bindings_remove(&b->bindings, bound);
	q->maker->bindings--;
	b->ledger.part_bytes += queue_part_bytes(q);
	return RMQ_E_OK;
}

static enum rmq_error apply_ephemeral(
    struct broker *b, const struct event_place *at, const struct event_ephemeral *e)
{
	struct queue *q = broker_queue(b, e->queue);
	struct session *s = session_wants(b, at, e->session) ? doer(b, at, e->session) : NULL;
	if (!queue_wants(b, at, e->queue))
		return RMQ_E_OK;
	if (!q)
		q = broker_gap_queue(b, e->queue);
	if (!q || e->session == 0)
		return RMQ_E_CORRUPT;
	q->ephemeral = e->session;
	if (at->index == 0)
		broker_ephemeral_of(b, s, q);
	return RMQ_E_OK;
}

/* The queue lost messages: what waits for room, fewer leases or for it to be empty may go on. */
static void lost_some(struct broker *b, struct queue *q)
{
	bool empty = queue_total(q) == 0;
	broker_roomy(b, q);
	q->idle_due |= empty;
	/* What waited for one of its key may be handed out. */
	if (empty || q->keys || q->settings.more.max_inflight > 0)
		broker_busy(b, q);
}

/* The live messages of r are no longer held under its lease, and were not settled. */
static void voids(struct broker *b, const struct range *r, bool dead)
{
	uint64_t at = r->first, end = r->first + r->span, run_end;
	struct batch *m = queue_batch_at(r->queue, at);
	for (; m && m->first < end; m = at < m->first + m->count ? m : queue_batch_next(m)) {
		uint64_t first = batch_run(m, at, end, &run_end);
		at = first < end ? run_end : m->first + m->count;
		broker_works(b, 1);
		if (first < end)
			voided_add(&b->voided, r->queue->id, r->lease, first, run_end, dead);
	}
}

static enum rmq_error apply_purge(
    struct broker *b, const struct event_place *at, const struct event_purge *e)
{
	struct queue *q = broker_queue(b, e->queue);
	if (!queue_wants(b, at, e->queue))
		return RMQ_E_OK;
	if (!q)
		q = broker_gap_queue(b, e->queue);
	if (!q)
		return RMQ_E_CORRUPT;
	uint64_t below = min_u64(e->below, wanted_below(b, q->id));
	broker_gap_until(b, q, below);
	broker_gap_left(b, q, 0, below);
	for (struct range *r = queue_range_at(q, 0); r && r->first < below;
	     r = queue_range_next(r)) {
		struct range part = *r;
		part.span = min_u64(r->first + r->span, below) - r->first;
		if (r->state == STATE_LEASED)
			voids(b, &part, false);
	}
	queue_drop_below(q, below);
	lost_some(b, q);
	return RMQ_E_OK;
}

static enum rmq_error apply_taken(
    struct broker *b, const struct event_place *at, const struct event_taken *e)
{
	taken(b, at, e->session, e->n, 0, 0, slice_of(NULL, 0));
	return RMQ_E_OK;
}

/* Where messages stand in their record; false: it cannot be said in what refers to them. */
static bool offset_of(const struct event_place *at, uint16_t *offset)
{
	*offset = (uint16_t)at->offset;
	return at->offset <= UINT16_MAX;
}

/* What an event brings, for one or several queues. */
struct brought {
	struct batch_view batch;
	struct slice further;
	uint64_t set; /* see queue_adds_of() */
	uint16_t offset;
	uint16_t shares;
};

/* A number for the queues that an event names; 0: it is for one. */
static uint64_t set_of(struct broker *b, uint32_t queue, struct slice further)
{
	struct slice last = slice_of(b->set.further, b->set.further_len);
	if (further.len == 0)
		return 0;
	if (b->set.queue != queue || !event_same_queues(further, last)) {
		b->set.number++;
		b->set.queue = queue;
		b->set.further_len = further.len;
		memcpy(b->set.further, further.data, further.len);
	}
	return b->set.number;
}

static enum rmq_error brought_by(struct broker *b, const struct event_place *at, uint32_t queue,
    struct slice tags, struct slice batch, struct brought *out)
{
	if (batch_parse(batch, &out->batch) || !offset_of(at, &out->offset) ||
	    !event_further_find(tags, &out->further))
		return RMQ_E_CORRUPT;
	/* Journaled by a newer daemon, which acts on it. */
	if (attributes_refused(out->batch.attributes))
		return RMQ_E_VERSION;
	if (out->batch.attributes.len > 0)
		at->record->plain = false;
	out->set = set_of(b, queue, out->further);
	out->shares = (uint16_t)(1 + out->further.len / EVENT_TARGET_SIZE);
	return RMQ_E_OK;
}

/* New messages for one of the queues. */
static enum rmq_error arrive(struct broker *b, const struct event_place *at,
    const struct event_target *t, const struct brought *e)
{
	struct queue *q = broker_queue(b, t->queue);
	uint32_t count = e->batch.count;
	if (!queue_wants(b, at, t->queue) || comes_later(b, q, t->first_seq))
		return RMQ_E_OK;
	if (!q)
		q = broker_gap_queue(b, t->queue);
	broker_gap_until(b, q, t->first_seq);
	if (!q || t->first_seq != q->next_seq)
		return RMQ_E_CORRUPT;
	q->next_seq += count;
	q->counts.sent += count;
	queue_adds_of(q, e->set);
	queue_add_batch(q, at->record, t->first_seq, count, batch_weight(&e->batch), e->offset,
	    0, e->shares);
	if (e->batch.attributes.len == 0 && q->settings.more.expire_ms == 0)
		queue_add_ready(q, t->first_seq, count, count, 0, 0);
	else
		lanes_add(q, t->first_seq, count, e->batch.attributes, 0, at->wall);
	broker_busy(b, q);
	return RMQ_E_OK;
}

static enum rmq_error apply_send(
    struct broker *b, const struct event_place *at, const struct event_send *e)
{
	struct brought m;
	struct event_target t = {e->queue, e->first_seq};
	enum rmq_error err = brought_by(b, at, e->queue, e->tags, e->batch, &m);
	if (err)
		return err;
	taken(b, at, e->session, e->n, e->first_seq, m.batch.count, slice_of(NULL, 0));
	struct reader more = reader_of(m.further);
	err = arrive(b, at, &t, &m);
	/* Of a queue that it names twice the numbers cannot be right. */
	while (!err && reader_left(&more) > 0) {
		t = event_target_get(&more);
		err = arrive(b, at, &t, &m);
	}
	return err;
}

/* The next piece of a large message for so many queues comes to one of them. */
static enum rmq_error piece_comes(struct broker *b, const struct event_place *at,
    const struct event_chunk *e, uint32_t queue, uint16_t shares, struct slice attributes)
{
	struct queue *q = broker_queue(b, queue);
	uint16_t offset;
	if (!queue_wants(b, at, queue))
		return RMQ_E_OK;
	if (!q)
		q = broker_gap_queue(b, queue);
	if (!q || !offset_of(at, &offset))
		return RMQ_E_CORRUPT;
	struct pending *p = broker_unfinished(b, q, e->session);
	bool goes_on = p && p->n == e->n && e->part == p->large->parts;
	if (p && !goes_on && (e->part == 0 || broker_may_miss(b, queue))) {
		broker_drop_pending(b, p);
		p = NULL;
	}
	if (!goes_on && e->part > 0)
		return broker_may_miss(b, queue) ? RMQ_E_OK : RMQ_E_CORRUPT;
	if (!p) {
		p = memory_new(sizeof(*p));
		*p = (struct pending){
		    .queue = q, .session = e->session, .n = e->n, .shares = shares};
		p->large = large_new(1);
		p->lane = lane_asked(attributes, 0);
		broker_unfinished_add(b, p, at->lease);
	}
	if (e->part >= CHUNKS_MAX)
		return RMQ_E_CORRUPT;
	size_t weight = e->tags.len - event_chunk_queues_len(shares) + e->data.len;
	broker_unfinished_piece(
	    b, p, at->record, offset, (uint32_t)e->data.len, (uint32_t)weight, at->lease);
	at->record->chunk = true;
	q->newest_n = at->record->n;
	ledger_add(&b->ledger, at->record, 1, 0);
	return RMQ_E_OK;
}

static enum rmq_error apply_chunk(
    struct broker *b, const struct event_place *at, const struct event_chunk *e)
{
	struct slice attributes = NO_TAGS, queues;
	if (!event_chunk_queues(e->tags, &queues))
		return RMQ_E_CORRUPT;
	if (tags_find(e->tags, CHUNK_TAG_ATTRIBUTES, &attributes)) {
		if (e->part > 0 || attributes_check(attributes, 1))
			return RMQ_E_CORRUPT;
		if (attributes_refused(attributes))
			return RMQ_E_VERSION;
	}
	uint16_t shares = (uint16_t)(1 + queues.len / 4);
	enum rmq_error err = piece_comes(b, at, e, e->queue, shares, attributes);
	for (size_t i = 0; !err && i < queues.len; i += 4) {
		uint32_t queue = load_u32(queues.data + i);
		err = queue != e->queue ? piece_comes(b, at, e, queue, shares, attributes)
					: RMQ_E_CORRUPT;
	}
	return err;
}

/* A large message has come as a whole, and is one of the messages of one of its queues. */
static enum rmq_error large_comes(struct broker *b, const struct event_place *at,
    const struct event_send_chunked *e, const struct event_target *t)
{
	struct queue *q = broker_queue(b, t->queue);
	uint64_t seq = t->first_seq;
	if (!queue_wants(b, at, t->queue))
		return RMQ_E_OK;
	if (!q)
		q = broker_gap_queue(b, t->queue);
	struct pending *p = q ? broker_unfinished(b, q, e->session) : NULL;
	bool comes = seq >= wanted_below(b, t->queue);
	bool whole = p && p->n == e->n && p->large->parts == e->parts;
	broker_gap_until(b, q, whole ? seq : seq + 1);
	if (!whole && q && broker_may_miss(b, q->id)) {
		if (p)
			broker_drop_pending(b, p);
		return RMQ_E_OK;
	}
	if (!whole || (seq != q->next_seq && !comes))
		return RMQ_E_CORRUPT;
	if (comes) {
		broker_drop_pending(b, p);
		return RMQ_E_OK;
	}
	struct large *large = large_new(e->parts);
	memcpy(large, p->large, sizeof(*large) + e->parts * sizeof(large->part[0]));
	q->next_seq++;
	q->counts.sent++;
	/* The batch charges the records before the pending message lets go of them. */
	queue_add_large(q, large, seq, p->bytes, at->wall.ms, p->shares);
	struct lane lane = lane_at(&p->lane, at->wall);
	lane = lane_in(q, &lane, at->wall);
	broker_drop_pending(b, p);
	queue_add_new(q, seq, 1, &lane);
	broker_busy(b, q);
	return RMQ_E_OK;
}

static enum rmq_error apply_send_chunked(
    struct broker *b, const struct event_place *at, const struct event_send_chunked *e)
{
	struct event_target t = {e->queue, e->seq};
	struct slice further;
	if (!event_further_find(e->tags, &further))
		return RMQ_E_CORRUPT;
	taken(b, at, e->session, e->n, e->seq, 1, slice_of(NULL, 0));
	struct reader more = reader_of(further);
	enum rmq_error err = large_comes(b, at, e, &t);
	/* Of a queue that it names twice the pieces have gone to the first one. */
	while (!err && reader_left(&more) > 0) {
		t = event_target_get(&more);
		err = large_comes(b, at, e, &t);
	}
	return err;
}

static enum rmq_error apply_position(
    struct broker *b, const struct event_place *at, const struct event_position *e)
{
	struct queue *q = broker_queue(b, e->queue);
	if (!queue_wants(b, at, e->queue))
		return RMQ_E_OK;
	if (!q)
		q = broker_gap_queue(b, e->queue);
	if (!q || !name_valid(e->name))
		return RMQ_E_CORRUPT;
	struct input_sent sent = input_sent_find(e->tags, e->at);
	positions_set(&q->positions, e->name, e->at, &sent);
	return RMQ_E_OK;
}

static enum rmq_error apply_ids(
    struct broker *b, const struct event_place *at, const struct event_ids *e)
{
	struct queue *q = broker_queue(b, e->queue);
	if (!queue_wants(b, at, e->queue))
		return RMQ_E_OK;
	if (!q)
		q = broker_gap_queue(b, e->queue);
	if (!q || e->hashes.len % 8 != 0)
		return RMQ_E_CORRUPT;
	forget_ids(b, q, at->lease);
	uint32_t before = ids_count(&q->ids);
	uint64_t first = tags_find_u64(e->tags, IDS_TAG_FIRST);
	for (size_t i = 0; i < e->hashes.len; i += 8)
		q->counts.ids_early +=
		    ids_add(&q->ids, (struct id){load_u64(e->hashes.data + i), at->lease.ms,
					 first > 0 ? first + i / 8 : 0});
	broker_ids_changed(b, q, before);
	return RMQ_E_OK;
}

static enum rmq_error apply_ids_past(
    struct broker *b, const struct event_place *at, const struct event_ids_past *e)
{
	struct queue *q = broker_queue(b, e->queue);
	if (!queue_wants(b, at, e->queue))
		return RMQ_E_OK;
	if (!q)
		return broker_may_miss(b, e->queue) ? RMQ_E_OK : RMQ_E_CORRUPT;
	if (at->index == 0 || !RMQ_VARIANT(IDS_REVIVED))
		forget_ids(b, q, at->lease);
	return RMQ_E_OK;
}

static enum rmq_error apply_chunks_dropped(
    struct broker *b, const struct event_place *at, const struct event_chunks_dropped *e)
{
	struct queue *q = broker_queue(b, e->queue);
	struct pending *p = q ? broker_unfinished(b, q, e->session) : NULL;
	if (p && queue_wants(b, at, e->queue))
		broker_drop_pending(b, p);
	return RMQ_E_OK;
}

/* What a hand-out adds to `attempt` and a failure to `failures`: nothing in a dead queue. */
static uint32_t counts(const struct queue *q)
{
	return q->is_dead ? 0 : 1;
}

/*
 * The range of the next part, [*from, *at) then, that has live messages from *at on and before
 * `end`.  NULL: there is none.
 */
static struct range *next_part(struct queue *q, uint64_t *from, uint64_t *at, uint64_t end)
{
	struct range *r;
	while (*at < end && (r = queue_range_at(q, *at)) && r->first < end) {
		*from = *at > r->first ? *at : r->first;
		*at = min_u64(end, r->first + r->span);
		if (queue_any_live(q, *from, *at))
			return r;
	}
	return NULL;
}

/* The same, as a range of its own. */
static struct range *next_live(struct queue *q, uint64_t *at, uint64_t end)
{
	uint64_t from;
	struct range *r = next_part(q, &from, at, end);
	return r ? queue_isolate(q, r, from, *at - from) : NULL;
}

/* … of one priority, as what is leased has to be. */
static struct range *next_alike(struct queue *q, uint64_t *at, uint64_t end)
{
	uint64_t from;
	struct range *r = next_part(q, &from, at, end);
	if (!r)
		return NULL;
	*at = mixed_run(r, from, *at);
	return queue_isolate(q, r, from, *at - from);
}

static void make_leased(struct broker *b, const struct event_place *at, struct queue *q,
    struct range *r, const struct event_lease *e)
{
	q->counts.delivered += r->live;
	if (q->settings.more.rate > 0 && !RMQ_VARIANT(RATE_UNCOUNTED))
		q->rate_full =
		    policy_rate_after(&q->settings, q->rate_full, at->lease, r->live);
	queue_make_leased(q, r, session_of(b, e->session), e->lease,
	    (struct lease_time){at->lease.ms + e->lease_ms}, e->lease_ms,
	    r->attempt + counts(q));
}

/* All that is there: whose it was when the event was made may be what is missing. */
static enum rmq_error lease_around(
    struct broker *b, const struct event_place *at, const struct event_lease *e)
{
	struct queue *q = broker_gap_queue(b, e->queue);
	uint64_t seq = e->first, end = e->first + e->span;
	struct range *r;
	if (!q || e->span > LEASE_SPAN_MAX)
		return RMQ_E_CORRUPT;
	broker_gap_until(b, q, end);
	while ((r = next_alike(q, &seq, end)))
		make_leased(b, at, q, r, e);
	return RMQ_E_OK;
}

static enum rmq_error apply_lease(
    struct broker *b, const struct event_place *at, const struct event_lease *e)
{
	struct queue *q = broker_queue(b, e->queue);
	if (session_wants(b, at, e->session))
		doer(b, at, e->session);
	if (sessions_want(b, at) && e->lease > b->lease)
		b->lease = e->lease;
	uint64_t below = wanted_below(b, e->queue);
	if (!queue_wants(b, at, e->queue) || e->first >= below)
		return RMQ_E_OK;
	if (broker_may_miss(b, e->queue))
		return lease_around(b, at, e);
	struct range *r = q ? queue_range_at(q, e->first) : NULL;
	if (!r || r->state != STATE_READY || e->span == 0 || e->span > LEASE_SPAN_MAX ||
	    e->first < r->first || e->first > SEQ_MAX)
		return RMQ_E_CORRUPT;
	uint64_t seq = e->first, end = min_u64(e->first + e->span, below);
	/* One range, but where a recovery has joined ranges of several priorities otherwise. */
	while ((r = next_alike(q, &seq, end))) {
		if (r->state != STATE_READY)
			return RMQ_E_CORRUPT;
		make_leased(b, at, q, r, e);
	}
	return RMQ_E_OK;
}

/*
 * Walks the ranges that settlement entries cover, each exactly, as they are held under the
 * entry's lease; an entry may cover several, with settled messages between them.  Gives
 * NULL after the last; err is set if an entry covers anything else.
 */
struct entry_walk {
	struct broker *b;
	struct queue *q;
	struct reader entries;
	uint64_t lease;
	uint64_t at;
	uint64_t end;
	uint64_t below; /* messages from here on are passed over */
	bool may_miss;	/* LEASE and SEND of what it covers may be missing */
	uint64_t *left; /* what it covers leaves the queue, and is counted here; or NULL */
	enum rmq_error err;
};

static struct entry_walk entries_of(struct broker *b, uint32_t queue, struct slice entries)
{
	bool may_miss = broker_may_miss(b, queue);
	return (struct entry_walk){.b = b,
	    .q = may_miss ? broker_gap_queue(b, queue) : broker_queue(b, queue),
	    .entries = reader_of(entries),
	    .below = wanted_below(b, queue),
	    .may_miss = may_miss};
}

/* An entry that may cover messages that are gone. */
static void entry_around(struct entry_walk *w, uint64_t first, uint64_t end)
{
	broker_gap_until(w->b, w->q, end);
	if (w->left)
		*w->left += broker_gap_left(w->b, w->q, first, end);
	if (w->lease > w->b->lease)
		w->b->lease = w->lease;
}

/* The next entry, if it covers anything; false after the last one. */
static bool entry_begin(struct entry_walk *w)
{
	if (w->entries.p == w->entries.end)
		return false;
	struct settle_entry e = settle_entry_get(&w->entries);
	uint64_t end = e.first + e.count;
	w->lease = e.lease;
	w->at = e.first;
	w->end = min_u64(end, w->below);
	struct range *r = w->entries.bad || !w->q ? NULL : queue_range_at(w->q, e.first);
	if (w->may_miss && w->q && !w->entries.bad)
		entry_around(w, e.first, end);
	else if (w->entries.bad || !w->q || (w->end == end && (!r || r->first >= end)))
		w->err = RMQ_E_CORRUPT;
	return !w->err;
}

/* The range that has the next part, [*from, w->at) then. */
static struct range *entry_part(struct entry_walk *w, uint64_t *from)
{
	while (w->at < w->end || entry_begin(w)) {
		struct range *r = next_part(w->q, from, &w->at, w->end);
		if (!r) {
			w->at = w->end;
			continue;
		}
		if (r->state == STATE_LEASED && r->lease == w->lease)
			return r;
		if (!w->may_miss) {
			w->err = RMQ_E_CORRUPT;
			return NULL;
		}
		w->at = mixed_run(r, *from, w->at);
		r = queue_isolate(w->q, r, *from, w->at - *from);
		w->q->counts.delivered += r->live;
		queue_make_leased(
		    w->q, r, NULL, w->lease, w->b->lease_now, 0, r->attempt + counts(w->q));
		return r;
	}
	return NULL;
}

static struct range *entry_next(struct entry_walk *w)
{
	uint64_t from;
	struct range *r = entry_part(w, &from);
	return r ? queue_isolate(w->q, r, from, w->at - from) : NULL;
}

/* What the settling events have in common. */
struct settlement {
	uint32_t queue;
	uint32_t stale;
	uint64_t session;
	uint64_t n;
	struct slice entries;
};
#define SETTLEMENT_OF(e) \
	&(const struct settlement) \
	{ \
		(e)->queue, (e)->stale, (e)->session, (e)->n, (e)->entries \
	}

/*
 * The command is taken; the stale entries in front are its answer.  Whether there are
 * others to be walked: if not, w->err is the event's result.
 */
static bool settlement_begin(struct broker *b, const struct event_place *at,
    const struct settlement *e, struct entry_walk *w)
{
	size_t stale = (size_t)e->stale * SETTLE_ENTRY_SIZE;
	*w = (struct entry_walk){0};
	if (e->entries.len % SETTLE_ENTRY_SIZE != 0 || stale > e->entries.len) {
		w->err = RMQ_E_CORRUPT;
		return false;
	}
	taken(b, at, e->session, e->n, 0, 0, slice_of(e->entries.data, stale));
	*w = entries_of(b, e->queue, slice_of(e->entries.data + stale, e->entries.len - stale));
	return e->entries.len > stale && queue_wants(b, at, e->queue);
}

static enum rmq_error apply_settle(
    struct broker *b, const struct event_place *at, const struct event_settle *e)
{
	struct entry_walk w;
	struct range *r;
	uint64_t from;
	if (!settlement_begin(b, at, SETTLEMENT_OF(e), &w))
		return w.err;
	w.left = w.q ? &w.q->counts.settled : NULL;
	/* Not cut out: whatever the order in which a lease is settled, it costs one range. */
	while ((r = entry_part(&w, &from))) {
		uint64_t before = w.q->live[STATE_LEASED];
		queue_drop(w.q, r, from, w.at);
		w.q->counts.settled += before - w.q->live[STATE_LEASED];
	}
	if (!w.err)
		lost_some(b, w.q);
	return w.err;
}

static enum rmq_error apply_release(
    struct broker *b, const struct event_place *at, const struct event_release *e)
{
	struct entry_walk w;
	struct range *r;
	if (!settlement_begin(b, at, SETTLEMENT_OF(e), &w))
		return w.err;
	if (e->flags & ~SETTLE_COUNTED)
		return RMQ_E_VERSION;
	bool counted = e->flags & SETTLE_COUNTED;
	while ((r = entry_next(&w))) {
		uint32_t attempt = counted ? r->attempt : r->attempt - counts(w.q);
		uint32_t failures = counted ? r->failures + counts(w.q) : r->failures;
		voids(b, r, false);
		if (counted)
			w.q->counts.failed += r->live;
		if (e->until_ms == 0)
			queue_make_ready(w.q, r, attempt, failures);
		else
			queue_make_delayed(
			    w.q, r, (struct lease_time){e->until_ms}, attempt, failures);
	}
	if (!w.err)
		broker_busy(b, w.q);
	return w.err;
}

static enum rmq_error apply_touch(
    struct broker *b, const struct event_place *at, const struct event_touch *e)
{
	struct entry_walk w;
	struct range *r;
	if (!settlement_begin(b, at, SETTLEMENT_OF(e), &w))
		return w.err;
	if (e->flags & ~SETTLE_DETACH)
		return RMQ_E_VERSION;
	while ((r = entry_next(&w))) {
		/* Never shorter: the holder trusts what it was told before. */
		struct lease_time until = {at->lease.ms + e->lease_ms};
		const struct session *s = range_holder(r);
		if (range_until(r) < until.ms)
			queue_extend(w.q, r, until);
		if ((e->flags & SETTLE_DETACH) && s && s->id == e->session)
			session_detach(r);
		if (r->lease_ms < e->lease_ms)
			r->lease_ms = e->lease_ms;
	}
	return w.err;
}

static enum rmq_error apply_expire(
    struct broker *b, const struct event_place *at, const struct event_expire *e)
{
	struct range *r;
	if (!queue_wants(b, at, e->queue))
		return RMQ_E_OK;
	struct entry_walk w = entries_of(b, e->queue, e->entries);
	while ((r = entry_next(&w))) {
		w.q->counts.failed += r->live;
		voids(b, r, false);
		queue_make_delayed(w.q, r, (struct lease_time){e->until_ms}, r->attempt,
		    r->failures + counts(w.q));
	}
	if (!w.err)
		broker_busy(b, w.q);
	return w.err;
}

static enum rmq_error apply_wake(
    struct broker *b, const struct event_place *at, const struct event_wake *e)
{
	struct queue *q = broker_queue(b, e->queue);
	if (!queue_wants(b, at, e->queue))
		return RMQ_E_OK;
	bool may_miss = broker_may_miss(b, e->queue), any = false;
	if (!q)
		q = broker_gap_queue(b, e->queue);
	if (!q || e->span == 0)
		return RMQ_E_CORRUPT;
	uint64_t seq = e->first, end = e->first + e->span;
	broker_gap_until(b, q, end);
	end = min_u64(end, wanted_below(b, q->id));
	/* One range, but where the part of a checkpoint has cut it; it may join on both sides. */
	for (struct range *r; (r = next_live(q, &seq, end)); any = true) {
		if (r->state != STATE_DELAYED && !may_miss)
			return RMQ_E_CORRUPT;
		if (r->state == STATE_LEASED)
			voids(b, r, false);
		queue_make_ready(q, r, r->attempt, r->failures);
	}
	if (!any && !may_miss && end == e->first + e->span)
		return RMQ_E_CORRUPT;
	broker_busy(b, q);
	return RMQ_E_OK;
}

static enum rmq_error apply_bury(
    struct broker *b, const struct event_place *at, const struct event_bury *e)
{
	struct range *r;
	if (!queue_wants(b, at, e->queue))
		return RMQ_E_OK;
	struct entry_walk w = entries_of(b, e->queue, e->entries);
	w.left = w.q ? &w.q->counts.dead : NULL;
	while ((r = entry_next(&w))) {
		w.q->counts.dead += r->live;
		voids(b, r, true);
		queue_drop_range(w.q, r);
	}
	if (!w.err)
		lost_some(b, w.q);
	return w.err;
}

static enum rmq_error apply_lost(
    struct broker *b, const struct event_place *at, const struct event_lost *e)
{
	struct queue *q = broker_queue(b, e->queue);
	struct range *r;
	if (!queue_wants(b, at, e->queue))
		return RMQ_E_OK;
	if (!q)
		q = broker_gap_queue(b, e->queue);
	if (!q || e->span == 0 || e->span > UINT64_MAX - e->first)
		return RMQ_E_CORRUPT;
	uint64_t from = e->first, end = min_u64(e->first + e->span, wanted_below(b, q->id));
	broker_gap_until(b, q, end);
	q->counts.lost += broker_gap_left(b, q, from, end);
	while ((r = next_live(q, &from, end))) {
		q->counts.lost += r->live;
		if (r->state == STATE_LEASED)
			voids(b, r, false);
		queue_drop_range(q, r);
	}
	lost_some(b, q);
	return RMQ_E_OK;
}

static enum rmq_error apply_drop(
    struct broker *b, const struct event_place *at, const struct event_drop *e)
{
	struct queue *q = broker_queue(b, e->queue);
	struct reader in = reader_of(e->ranges);
	struct range *r;
	if (!queue_wants(b, at, e->queue))
		return RMQ_E_OK;
	if (!q)
		q = broker_gap_queue(b, e->queue);
	if (!q || e->why == 0 || e->why >= DROPPED_WHYS || e->ranges.len == 0)
		return RMQ_E_CORRUPT;
	while (reader_left(&in) > 0) {
		struct seq_range run = seq_range_get(&in);
		uint64_t from = run.first;
		if (in.bad || run.count == 0 || run.count > UINT64_MAX - from)
			return RMQ_E_CORRUPT;
		uint64_t end = min_u64(from + run.count, wanted_below(b, q->id));
		broker_gap_until(b, q, end);
		q->counts.dropped[e->why] += broker_gap_left(b, q, from, end);
		while ((r = next_live(q, &from, end))) {
			q->counts.dropped[e->why] += r->live;
			if (r->state == STATE_LEASED)
				voids(b, r, false);
			queue_drop_range(q, r);
		}
	}
	lost_some(b, q);
	return RMQ_E_OK;
}

/* The pieces of a large message, each at a location; NULL: not so many, or none. */
static struct large *large_at(struct broker *b, struct slice location)
{
	uint32_t parts = (uint32_t)(location.len / EVENT_LOCATION_SIZE);
	if (parts == 0 || location.len % EVENT_LOCATION_SIZE != 0 || parts > CHUNKS_MAX)
		return NULL;
	struct large *large = large_new(CHUNKS_MAX);
	struct reader r = reader_of(location);
	for (uint32_t i = 0; i < parts; i++) {
		struct event_location l = event_location_get(&r);
		large->part[i].record = ledger_at(&b->ledger, l.index, l.record_bytes);
		large->part[i].record->chunk = true;
		large->part[i].offset = l.offset;
	}
	large->parts = parts;
	return large;
}

/* Adds messages that are at a location. */
static struct batch *batch_at_location(
    struct broker *b, struct queue *q, const struct event_dead *e)
{
	struct reader r = reader_of(e->location);
	uint16_t shares = event_shares_find(e->tags);
	struct event_location l = event_location_get(&r);
	if (shares == 0)
		return NULL;
	if (reader_done(&r) && e->count > 0 && e->count <= BATCH_COUNT_MAX &&
	    l.slot != UINT16_MAX) {
		if (e->bytes > BATCH_BYTES_MAX)
			return NULL;
		struct record *record = ledger_at(&b->ledger, l.index, l.record_bytes);
		q->newest = NULL;
		struct batch *batch = queue_add_batch(
		    q, record, e->first_seq, e->count, e->bytes, l.offset, l.slot, shares);
		q->newest = NULL;
		return batch;
	}
	struct large *large = e->count == 1 ? large_at(b, e->location) : NULL;
	return large ? queue_add_large(q, large, e->first_seq, e->bytes, e->time_ms, shares)
		     : NULL;
}

/* The batch, just added, holds dead letters if it has a note; NULL: its tags say nothing. */
static struct batch *set_origin(
    struct queue *q, struct batch *batch, struct slice note, struct slice tags)
{
	struct event_origin o;
	uint32_t redrives;
	if (!event_origin_find(tags, &o) || !event_redrives_find(tags, &redrives))
		return NULL;
	if (note.len > 0 || o.queue.len > 0 || redrives > 0)
		batch = queue_batch_came(q, batch, o.queue, o.seq, note, redrives);
	return batch;
}

/* The keys of dead letters; false: not one for each. */
static bool add_keys(struct queue *q, uint64_t first, uint32_t count, struct slice tags)
{
	struct slice list;
	if (!tags_find(tags, EVENT_TAG_KEYS, &list))
		return true;
	if (list.len != (size_t)count * 8)
		return false;
	uint64_t *keys = memory_new(list.len);
	for (uint32_t i = 0; i < count; i++)
		keys[i] = load_u64(list.data + 8 * (size_t)i);
	keys_add(q, first, count, keys);
	free(keys);
	return true;
}

static enum rmq_error apply_dead(
    struct broker *b, const struct event_place *at, const struct event_dead *e)
{
	struct queue *q = broker_queue(b, e->queue);
	if (!queue_wants(b, at, e->queue) || e->first_seq >= wanted_below(b, e->queue))
		return RMQ_E_OK;
	if (!q)
		q = broker_gap_dead_queue(b, e->queue, e->tags);
	broker_gap_until(b, q, e->first_seq);
	if (!q || e->first_seq != q->next_seq)
		return RMQ_E_CORRUPT;
	uint8_t priority;
	struct batch *batch = batch_at_location(b, q, e);
	if (!event_priority_find(e->tags, &priority) || !batch ||
	    !(batch = set_origin(q, batch, e->note, e->tags)))
		return RMQ_E_CORRUPT;
	queue_batch_join(q, batch);
	q->next_seq += e->count;
	q->counts.sent += e->count;
	struct lane lane = lane_in(q,
	    &(struct lane){
		.expire_ms = tags_find_u64(e->tags, EVENT_TAG_EXPIRE), .priority = priority},
	    at->wall);
	if (lane.expire_ms > 0)
		expiry_add(q, e->first_seq, e->count, e->count, lane.expire_ms, !lane.by_queue);
	if (!add_keys(q, e->first_seq, e->count, e->tags))
		return RMQ_E_CORRUPT;
	struct range *r = queue_add_range(q, e->first_seq, e->count, e->count);
	r->priority = priority;
	queue_make_ready(q, r, 0, e->failures);
	broker_busy(b, q);
	return RMQ_E_OK;
}

static enum rmq_error apply_extend(
    struct broker *b, const struct event_place *at, const struct event_extend *e)
{
	struct session *s = broker_session_find(b, e->session);
	if (s)
		s->extended_ms = at->lease.ms;
	return RMQ_E_OK;
}

/* The session ends: what it holds has no holder now. */
static void end_session(struct broker *b, const struct event_place *at, uint64_t id)
{
	struct session *s = broker_session_find(b, id);
	struct range *r;
	if (s && session_wants(b, at, id)) {
		broker_session_remove(b, s);
		return;
	}
	/* The sessions' part, which comes or goes on, does not name it. */
	while (s && (r = RB_ROOT(&s->held))) {
		session_detach(r);
		range_detach(r);
	}
}

static enum rmq_error apply_session_close(
    struct broker *b, const struct event_place *at, const struct event_session_close *e)
{
	end_session(b, at, e->session);
	return RMQ_E_OK;
}

static enum rmq_error apply_session_forget(
    struct broker *b, const struct event_place *at, const struct event_session_forget *e)
{
	if (sessions_want(b, at) && e->session > b->forgotten)
		b->forgotten = e->session;
	end_session(b, at, e->session);
	return RMQ_E_OK;
}

static enum rmq_error set_owner(struct broker *b, uint64_t id, uint32_t uid, struct slice node)
{
	if (uid == OWNER_UNKNOWN || (node.len > 0 && !wire_behalf_node_valid(node)))
		return RMQ_E_CORRUPT;
	struct session *s = session_of(b, id);
	struct owner *o = owner_use(&b->owners, node, uid);
	bool good = s->owner == o || !owner_known(s->owner);
	if (good)
		session_own(&b->owners, s, o);
	owner_drop(&b->owners, o);
	return good ? RMQ_E_OK : RMQ_E_CORRUPT;
}

static enum rmq_error apply_session_owner(
    struct broker *b, const struct event_place *at, const struct event_session_owner *e)
{
	return session_wants(b, at, e->session) ? set_owner(b, e->session, e->uid, e->node)
						: RMQ_E_OK;
}

static enum rmq_error apply_part_owner(
    struct broker *b, const struct event_place *at, const struct event_part_owner *e)
{
	(void)at;
	return set_owner(b, e->session, e->uid, e->node);
}

static enum rmq_error apply_start(
    struct broker *b, const struct event_place *at, const struct event_start *e)
{
	struct slice secret;
	(void)at;
	if (e->number == UINT32_MAX)
		return RMQ_E_CORRUPT;
	if (e->number > b->starts)
		b->starts = e->number;
	if (!tags_find(e->tags, START_TAG_SECRET, &secret))
		return RMQ_E_OK;
	if (secret.len != sizeof(b->secret) ||
	    (b->has_secret && !slice_eq(secret, slice_of(b->secret, sizeof(b->secret)))))
		return RMQ_E_CORRUPT;
	memcpy(b->secret, secret.data, secret.len);
	b->has_secret = true;
	return RMQ_E_OK;
}

static enum rmq_error apply_part_start(
    struct broker *b, const struct event_place *at, const struct event_part_start *e)
{
	return apply_start(b, at, &(struct event_start){e->number, e->tags});
}

/* The bodies of messages of one of the queues are here now. */
static enum rmq_error moved(struct broker *b, const struct event_place *at,
    const struct event_target *t, const struct brought *e)
{
	struct queue *q = broker_queue(b, t->queue);
	if (!queue_wants(b, at, t->queue))
		return RMQ_E_OK;
	if (!q)
		q = broker_gap_queue(b, t->queue);
	if (!q)
		return RMQ_E_CORRUPT;
	broker_gap_moved(b, q, t->first_seq, t->first_seq + e->batch.count, &e->batch, at,
	    e->offset, e->shares);
	uint64_t below = wanted_below(b, t->queue);
	if (comes_later(b, q, t->first_seq))
		return RMQ_E_OK;
	uint64_t count = min_u64(e->batch.count, below - t->first_seq);
	uint64_t bytes = (uint64_t)batch_weight(&e->batch) * count / e->batch.count;
	queue_adds_of(q, e->set);
	if (!queue_relocate(q, t->first_seq, (uint32_t)count, (uint32_t)bytes, at->record,
		e->offset, e->shares))
		return RMQ_E_CORRUPT;
	return RMQ_E_OK;
}

static enum rmq_error apply_move(
    struct broker *b, const struct event_place *at, const struct event_move *e)
{
	struct brought m;
	struct event_target t = {e->queue, e->first_seq}, before;
	enum rmq_error err = brought_by(b, at, e->queue, e->tags, e->batch, &m);
	if (err)
		return err;
	struct reader more = reader_of(m.further);
	err = moved(b, at, &t, &m);
	while (!err && reader_left(&more) > 0) {
		before = t;
		t = event_target_get(&more);
		struct queue *q = broker_queue(b, t.queue);
		/* Dead letters of two queues in one: each has the whole batch, none goes on in
		 * it. */
		if (q && t.queue == before.queue)
			q->newest = NULL;
		err = moved(b, at, &t, &m);
	}
	return err;
}

/* ---- parts of checkpoints ---- */

static enum rmq_error apply_part_group(
    struct broker *b, const struct event_place *at, const struct event_part_group *e)
{
	struct session *s, *next;
	(void)at;
	if (e->group >= GROUPS || e->last > 1)
		return RMQ_E_CORRUPT;
	b->part_open = !e->last;
	b->pause.on = false;
	b->pause.group = e->group;
	if (e->group != SESSION_GROUP)
		return RMQ_E_OK;
	/*
	 * Parts of queues before this one may have named a session that has ended since.  Its
	 * end was seen by these queues, so it holds nothing.
	 */
	for (s = RB_MIN(session_tree, &b->sessions); s; s = next) {
		next = RB_NEXT(session_tree, &b->sessions, s);
		if (!e->last)
			s->in_doubt = true;
		else if (s->in_doubt && !RMQ_VARIANT(SESSIONS_REVIVED))
			broker_session_remove(b, s);
	}
	return RMQ_E_OK;
}

static enum rmq_error apply_part_global(
    struct broker *b, const struct event_place *at, const struct event_part_global *e)
{
	(void)at;
	b->next_queue = e->next_queue;
	b->lease = e->lease;
	b->forgotten = e->forgotten;
	return RMQ_E_OK;
}

static enum rmq_error apply_part_session(
    struct broker *b, const struct event_place *at, const struct event_part_session *e)
{
	(void)at;
	struct session *s = session_of(b, e->session);
	s->last = e->last;
	s->in_doubt = false;
	return RMQ_E_OK;
}

static enum rmq_error apply_part_answer(
    struct broker *b, const struct event_place *at, const struct event_part_answer *e)
{
	(void)at;
	struct session *s = session_of(b, e->session);
	uint64_t last = s->last;
	session_taken(s, e->n, e->first_seq, e->count, e->stale);
	s->last = last;
	return RMQ_E_OK;
}

static void set_dropped(struct queue_counts *n, struct slice tags)
{
	struct slice dropped = NO_TAGS;
	(void)tags_find(tags, PART_QUEUE_TAG_DROPPED, &dropped);
	struct reader in = reader_of(dropped);
	for (int why = DROPPED_EXPIRED; why < DROPPED_WHYS && reader_left(&in) > 0; why++)
		n->dropped[why] = get_u64(&in);
}

static enum rmq_error apply_part_queue(
    struct broker *b, const struct event_place *at, const struct event_part_queue *e)
{
	(void)at;
	struct queue_settings settings;
	struct queue *q;
	enum rmq_error err = settings_set(&settings, SETTINGS_OF(e), e->dead_letter, e->tags);
	if (err)
		return err;
	/* The last piece of a queue that is cut has it again. */
	q = b->pause.on && b->pause.queue == e->queue ? broker_queue(b, e->queue) : NULL;
	err = q ? RMQ_E_OK : add_queue(b, e->queue, e->name, &settings, e->tags, &q);
	if (err)
		return err;
	/* It was open, or has left, since the piece before. */
	if (q->hidden == 0 && tags_find(e->tags, PART_QUEUE_TAG_LEFT, &(struct slice){0}))
		return RMQ_E_CORRUPT;
	q->settings = settings;
	q->rate_full = tags_find_u64(e->tags, PART_QUEUE_TAG_RATE);
	q->next_seq = e->next_seq;
	q->counts = (struct queue_counts){e->sent, e->delivered, e->settled, e->failed, e->dead,
	    tags_find_u64(e->tags, PART_QUEUE_TAG_LOST),
	    tags_find_u64(e->tags, PART_QUEUE_TAG_IDS_EARLY), {0}};
	q->ids_seed = tags_find_u64(e->tags, PART_QUEUE_TAG_IDS_SEED);
	set_dropped(&q->counts, e->tags);
	return RMQ_E_OK;
}

static enum rmq_error apply_part_position(
    struct broker *b, const struct event_place *at, const struct event_part_position *e)
{
	(void)at;
	struct queue *q = broker_queue(b, e->queue);
	if (!q || !name_valid(e->name))
		return RMQ_E_CORRUPT;
	struct input_sent sent = input_sent_find(e->tags, e->at);
	positions_set(&q->positions, e->name, e->at, &sent);
	return RMQ_E_OK;
}

static enum rmq_error apply_part_ids(
    struct broker *b, const struct event_place *at, const struct event_part_ids *e)
{
	struct queue *q = broker_queue(b, e->queue);
	if (!q || e->ids.len % 16 != 0)
		return RMQ_E_CORRUPT;
	uint32_t before = ids_count(&q->ids);
	struct slice numbers;
	bool numbered =
	    tags_find(e->tags, PART_IDS_TAG_NUMBERS, &numbers) && numbers.len == e->ids.len / 2;
	for (size_t i = 0; i < e->ids.len; i += 16) {
		struct id id = {load_u64(e->ids.data + i), load_u64(e->ids.data + i + 8),
		    numbered ? load_u64(numbers.data + i / 2) : 0};
		/* It may have come from another cell, and be older than this one's lease time. */
		if ((int64_t)(at->lease.ms - id.ms) < 0)
			return RMQ_E_CORRUPT;
		if (RMQ_VARIANT(IDS_TURNED))
			ids_add(&q->ids, id);
		else
			ids_add_older(&q->ids, id);
	}
	broker_ids_changed(b, q, before);
	return RMQ_E_OK;
}

static enum rmq_error apply_part_binding(
    struct broker *b, const struct event_place *at, const struct event_part_binding *e)
{
	(void)at;
	return bind_to(b, broker_queue(b, e->queue), e->pattern);
}

static enum rmq_error apply_part_ephemeral(
    struct broker *b, const struct event_place *at, const struct event_part_ephemeral *e)
{
	(void)at;
	struct queue *q = broker_queue(b, e->queue);
	if (!q || e->session == 0)
		return RMQ_E_CORRUPT;
	q->ephemeral = e->session;
	return RMQ_E_OK;
}

static enum rmq_error apply_part_pause(
    struct broker *b, const struct event_place *at, const struct event_part_pause *e)
{
	(void)at;
	if (e->queue > 0 && !broker_queue(b, e->queue))
		return RMQ_E_CORRUPT;
	b->pause.on = true;
	b->pause.queue = e->queue;
	b->pause.below = e->below;
	return RMQ_E_OK;
}

static enum rmq_error apply_part_batch(
    struct broker *b, const struct event_place *at, const struct event_part_batch *e)
{
	(void)at;
	struct queue *q = broker_queue(b, e->queue);
	uint16_t shares = event_shares_find(e->tags);
	if (!q || e->count == 0 || e->count > BATCH_COUNT_MAX || e->bytes > BATCH_BYTES_MAX ||
	    e->index == 0 || shares == 0)
		return RMQ_E_CORRUPT;
	struct record *r = ledger_at(&b->ledger, e->index, e->record_bytes);
	q->newest = NULL;
	struct batch *batch =
	    queue_add_batch(q, r, e->first_seq, e->count, e->bytes, e->offset, e->slot, shares);
	q->newest = NULL;
	if (!(batch = set_origin(q, batch, e->note, e->tags)))
		return RMQ_E_CORRUPT;
	return queue_batch_set_live(q, batch, e->live) ? RMQ_E_OK : RMQ_E_CORRUPT;
}

static enum rmq_error apply_part_large(
    struct broker *b, const struct event_place *at, const struct event_part_large *e)
{
	(void)at;
	struct queue *q = broker_queue(b, e->queue);
	uint16_t shares = event_shares_find(e->tags);
	struct large *large = q && shares > 0 ? large_at(b, e->location) : NULL;
	if (!large)
		return RMQ_E_CORRUPT;
	struct batch *batch = queue_add_large(q, large, e->seq, e->bytes, e->time_ms, shares);
	return set_origin(q, batch, e->note, e->tags) ? RMQ_E_OK : RMQ_E_CORRUPT;
}

static enum rmq_error apply_part_range(
    struct broker *b, const struct event_place *at, const struct event_part_range *e)
{
	(void)at;
	struct queue *q = broker_queue(b, e->queue);
	uint64_t live = q ? queue_count_live(q, e->first, e->span) : 0;
	struct range *over = q ? queue_range_at(q, e->first) : NULL;
	if (live == 0 || (over && over->first < e->first + e->span) ||
	    (e->state == STATE_LEASED && e->span > LEASE_SPAN_MAX))
		return RMQ_E_CORRUPT;
	uint8_t priority;
	struct slice mix;
	bool by_wall = tags_find(e->tags, PART_RANGE_TAG_WALL, &(struct slice){0});
	if (!event_priority_find(e->tags, &priority) || (by_wall && e->state != STATE_DELAYED))
		return RMQ_E_CORRUPT;
	if (e->flags & ~SETTLE_DETACH)
		return RMQ_E_VERSION;
	struct range *r = queue_add_range(q, e->first, e->span, live);
	r->priority = priority;
	if (tags_find(e->tags, PART_RANGE_TAG_MIX, &mix) &&
	    (e->state == STATE_LEASED || !mixed_set(r, mix)))
		return RMQ_E_CORRUPT;
	r->failures = e->failures;
	r->detached = e->flags & SETTLE_DETACH;
	switch (e->state) {
	case STATE_READY:
		queue_make_ready(q, r, e->attempt, e->failures);
		break;
	case STATE_DELAYED:
		if (by_wall)
			queue_make_waiting(
			    q, r, (struct wall_time){e->until_ms}, e->attempt, e->failures);
		else
			queue_make_delayed(
			    q, r, (struct lease_time){e->until_ms}, e->attempt, e->failures);
		break;
	case STATE_LEASED:
		queue_make_leased(q, r, e->session ? session_of(b, e->session) : NULL, e->lease,
		    (struct lease_time){e->until_ms}, e->lease_ms, e->attempt);
		break;
	default:
		return RMQ_E_CORRUPT;
	}
	return RMQ_E_OK;
}

static enum rmq_error apply_part_keys(
    struct broker *b, const struct event_place *at, const struct event_part_keys *e)
{
	(void)at;
	struct queue *q = broker_queue(b, e->queue);
	uint32_t count = (uint32_t)(e->keys.len / 8);
	uint64_t end;
	if (!q || count == 0 || e->keys.len % 8 != 0 || e->first > SEQ_MAX ||
	    keys_run(q, e->first, e->first + count, 1, &end) > 0)
		return RMQ_E_CORRUPT;
	uint64_t *keys = memory_new(e->keys.len);
	bool good = true;
	for (uint32_t i = 0; i < count; i++) {
		keys[i] = load_u64(e->keys.data + 8 * (size_t)i);
		good &= keys[i] == 0 || queue_any_live(q, e->first + i, e->first + i + 1);
	}
	if (good)
		keys_add(q, e->first, count, keys);
	free(keys);
	return good ? RMQ_E_OK : RMQ_E_CORRUPT;
}

static enum rmq_error apply_part_expiry(
    struct broker *b, const struct event_place *at, const struct event_part_expiry *e)
{
	(void)at;
	struct queue *q = broker_queue(b, e->queue);
	struct expiry *x = q ? expiry_from(q, e->first) : NULL;
	uint64_t live = q ? queue_count_live(q, e->first, e->span) : 0;
	struct slice own;
	if (live == 0 || e->span > UINT64_MAX - e->first ||
	    (x && x->first < e->first + e->span))
		return RMQ_E_CORRUPT;
	expiry_add(q, e->first, e->span, live, e->at_ms,
	    tags_find(e->tags, PART_EXPIRY_TAG_OWN, &own));
	return RMQ_E_OK;
}

static enum rmq_error apply_part_pending(
    struct broker *b, const struct event_place *at, const struct event_part_pending *e)
{
	(void)at;
	struct queue *q = broker_queue(b, e->queue);
	uint16_t shares = event_shares_find(e->tags);
	bool known = q && broker_unfinished(b, q, e->session);
	struct slice attributes = NO_TAGS;
	if (tags_find(e->tags, PART_PENDING_TAG_ATTRIBUTES, &attributes) &&
	    attributes_check(attributes, 1))
		return RMQ_E_CORRUPT;
	if (attributes_refused(attributes))
		return RMQ_E_VERSION;
	struct large *large = q && !known && shares > 0 ? large_at(b, e->location) : NULL;
	if (!large)
		return RMQ_E_CORRUPT;
	struct pending *p = memory_new(sizeof(*p));
	*p = (struct pending){.queue = q,
	    .session = e->session,
	    .n = e->n,
	    .bytes = e->bytes,
	    .weight = large_weight(large, shares),
	    .shares = shares,
	    .lane = lane_asked(attributes, 0),
	    .large = large};
	p->lane.key = tags_find_u64(e->tags, EVENT_TAG_KEYS);
	for (uint32_t i = 0; i < large->parts; i++)
		ledger_add(&b->ledger, large->part[i].record, 1, 0);
	broker_unfinished_add(b, p, at->lease);
	return RMQ_E_OK;
}

/* ---- a queue that comes from another cell ---- */

/* The state of messages that come as they are. */
struct as_it_is {
	uint8_t flags;
	uint32_t failures;
	uint64_t until_ms;
	uint64_t expire_ms;
};

/* Messages [first, first + count), of one priority and with their keys, are in q. */
static void come_in(
    struct queue *q, uint64_t first, uint32_t count, uint8_t priority, const struct as_it_is *s)
{
	struct range *r = queue_add_range(q, first, count, count);
	r->priority = priority;
	if (s->expire_ms > 0)
		expiry_add(q, first, count, count, s->expire_ms, s->flags & COME_OWN);
	if (s->until_ms == 0)
		queue_make_ready(q, r, 0, s->failures);
	else if (s->flags & COME_WALL)
		queue_make_waiting(q, r, (struct wall_time){s->until_ms}, 0, s->failures);
	else
		queue_make_delayed(q, r, (struct lease_time){s->until_ms}, 0, s->failures);
}

/* The queue to which messages from `first` on come; NULL: *err says whether they are passed over. */
static struct queue *comes_to(struct broker *b, const struct event_place *at, uint32_t id,
    uint64_t first, uint32_t count, uint8_t flags, enum rmq_error *err)
{
	struct queue *q = broker_queue(b, id);
	*err = RMQ_E_OK;
	if (!queue_wants(b, at, id))
		return NULL;
	if (flags & ~COME_FLAGS) {
		*err = RMQ_E_VERSION;
		return NULL;
	}
	/* Between pieces of its part: that of later ones, or it came before. */
	if (q && first >= wanted_below(b, id)) {
		q->newest = NULL;
		return NULL;
	}
	if (!q)
		q = broker_gap_queue(b, id);
	/* Those between were gone, or their COME is missing. */
	broker_gap_until(b, q, first);
	if (q && first >= q->next_seq && first <= SEQ_MAX - count)
		return q;
	*err = RMQ_E_CORRUPT;
	return NULL;
}

static enum rmq_error apply_come(
    struct broker *b, const struct event_place *at, const struct event_come *e)
{
	struct brought m;
	enum rmq_error err = brought_by(b, at, e->queue, e->tags, e->batch, &m);
	if (err)
		return err;
	uint32_t count = m.batch.count;
	struct queue *q = comes_to(b, at, e->queue, e->first_seq, count, e->flags, &err);
	if (!q)
		return err;
	queue_adds_of(q, 0);
	bool came = e->note.len > 0 || e->tags.len > 0;
	if (came)
		q->newest = NULL;
	struct batch *batch = queue_add_batch(
	    q, at->record, e->first_seq, count, batch_weight(&m.batch), m.offset, 0, 1);
	if (came && !set_origin(q, batch, e->note, e->tags))
		return RMQ_E_CORRUPT;
	if (came)
		q->newest = NULL;
	q->next_seq = e->first_seq + count;
	q->counts.sent += count;
	struct as_it_is s = {
	    e->flags, e->failures, e->until_ms, tags_find_u64(e->tags, EVENT_TAG_EXPIRE)};
	struct attribute_cursor cursor = {.tag = 0};
	lanes_add_keys(q, e->first_seq, count, m.batch.attributes, 0);
	for (uint32_t i = 0, end; i < count; i = end) {
		uint8_t priority;
		end = lanes_alike(&cursor, m.batch.attributes, i, count, &priority);
		come_in(q, e->first_seq + i, end - i, priority, &s);
	}
	broker_busy(b, q);
	return RMQ_E_OK;
}

static enum rmq_error apply_come_large(
    struct broker *b, const struct event_place *at, const struct event_come_large *e)
{
	enum rmq_error err;
	struct queue *q = broker_queue(b, e->queue);
	struct pending *p = q ? broker_unfinished(b, q, e->session) : NULL;
	bool whole = p && p->n == e->n && p->large->parts == e->parts;
	bool wanted = queue_wants(b, at, e->queue);
	if (wanted && !whole && !broker_may_miss(b, e->queue))
		return RMQ_E_CORRUPT;
	if (wanted && !whole) {
		if (p)
			broker_drop_pending(b, p);
		broker_gap_until(b, q, e->seq + 1);
		return RMQ_E_OK;
	}
	q = comes_to(b, at, e->queue, e->seq, 1, e->flags, &err);
	if (!q && wanted)
		broker_drop_pending(b, p);
	if (!q)
		return err;
	struct large *large = large_new(e->parts);
	memcpy(large, p->large, sizeof(*large) + e->parts * sizeof(large->part[0]));
	/* The batch charges the records before the pending message lets go of them. */
	struct batch *batch = queue_add_large(q, large, e->seq, p->bytes, e->time_ms, 1);
	struct lane lane = p->lane;
	broker_drop_pending(b, p);
	if (!set_origin(q, batch, e->note, e->tags))
		return RMQ_E_CORRUPT;
	q->next_seq = e->seq + 1;
	q->counts.sent++;
	if (lane.key > 0)
		keys_add(q, e->seq, 1, &lane.key);
	struct as_it_is s = {
	    e->flags, e->failures, e->until_ms, tags_find_u64(e->tags, EVENT_TAG_EXPIRE)};
	come_in(q, e->seq, 1, lane.priority, &s);
	broker_busy(b, q);
	return RMQ_E_OK;
}

/* Another user has made q. */
static void set_maker(struct broker *b, struct queue *q, struct slice tags)
{
	struct event_maker maker;
	if (!event_maker_find(tags, &maker))
		return;
	struct owner *before = q->maker, *o = owner_use(&b->owners, maker.node, maker.uid);
	b->ledger.part_bytes -= queue_part_bytes(q);
	before->queues--;
	before->bindings -= q->bindings_count;
	before->ids -= ids_count(&q->ids);
	q->maker = o;
	o->queues++;
	o->bindings += q->bindings_count;
	o->ids += ids_count(&q->ids);
	owner_drop(&b->owners, before);
	b->ledger.part_bytes += queue_part_bytes(q);
}

static enum rmq_error apply_come_state(
    struct broker *b, const struct event_place *at, const struct event_come_state *e)
{
	struct queue *q = broker_queue(b, e->queue);
	uint64_t lease = tags_find_u64(e->tags, COME_STATE_TAG_LEASE);
	/* A receipt of the other cell is none of a lease here. */
	if (sessions_want(b, at) && lease > b->lease && !RMQ_VARIANT(LEASES_STAY))
		b->lease = lease;
	if (!queue_wants(b, at, e->queue))
		return RMQ_E_OK;
	if (!q)
		q = broker_gap_queue(b, e->queue);
	if (!q || e->next_seq < q->next_seq || e->next_seq > SEQ_MAX)
		return RMQ_E_CORRUPT;
	if (!RMQ_VARIANT(NUMBERS_STAY))
		q->next_seq = e->next_seq;
	q->counts = (struct queue_counts){e->sent, e->delivered, e->settled, e->failed, e->dead,
	    tags_find_u64(e->tags, PART_QUEUE_TAG_LOST),
	    tags_find_u64(e->tags, PART_QUEUE_TAG_IDS_EARLY), {0}};
	set_dropped(&q->counts, e->tags);
	q->rate_full = tags_find_u64(e->tags, PART_QUEUE_TAG_RATE);
	q->ids_seed = tags_find_u64(e->tags, PART_QUEUE_TAG_IDS_SEED);
	set_maker(b, q, e->tags);
	return RMQ_E_OK;
}

static enum rmq_error apply_come_ids(
    struct broker *b, const struct event_place *at, const struct event_come_ids *e)
{
	if (!queue_wants(b, at, e->queue))
		return RMQ_E_OK;
	if (!broker_queue(b, e->queue))
		return broker_may_miss(b, e->queue) ? RMQ_E_OK : RMQ_E_CORRUPT;
	/* Later pieces of its part have all that are older than those of this one. */
	if (b->pause.on && b->pause.queue == e->queue)
		return RMQ_E_OK;
	return apply_part_ids(b, at, &(struct event_part_ids){e->queue, e->tags, e->ids});
}

/* ---- the map: its part is that of the sessions ---- */

static enum rmq_error apply_kv_put(
    struct broker *b, const struct event_place *at, const struct event_kv_put *e)
{
	if (sessions_want(b, at) &&
	    !broker_kv_apply_put(b, e->version, e->key, e->tags, e->value))
		return RMQ_E_CORRUPT;
	taken(b, at, e->session, e->n, e->version, 0, slice_of(NULL, 0));
	return RMQ_E_OK;
}

static enum rmq_error apply_kv_more(
    struct broker *b, const struct event_place *at, const struct event_kv_more *e)
{
	if (sessions_want(b, at) && !broker_kv_apply_more(b, e->version, e->value))
		return RMQ_E_CORRUPT;
	return RMQ_E_OK;
}

static enum rmq_error apply_kv_del(
    struct broker *b, const struct event_place *at, const struct event_kv_del *e)
{
	if (sessions_want(b, at) && !broker_kv_apply_del(b, e->version, e->key))
		return RMQ_E_CORRUPT;
	taken(b, at, e->session, e->n, e->version, 0, slice_of(NULL, 0));
	return RMQ_E_OK;
}

static enum rmq_error apply_part_kv(
    struct broker *b, const struct event_place *at, const struct event_part_kv *e)
{
	(void)at;
	if (e->version < b->kv.version)
		return RMQ_E_CORRUPT;
	kv_count(&b->kv, e->version);
	return RMQ_E_OK;
}

static enum rmq_error apply_part_kv_entry(
    struct broker *b, const struct event_place *at, const struct event_part_kv_entry *e)
{
	(void)at;
	if (e->flags & ~PART_KV_DELETED)
		return RMQ_E_VERSION;
	return broker_kv_apply_part(b, e) ? RMQ_E_OK : RMQ_E_CORRUPT;
}

static enum rmq_error apply_part_kv_more(
    struct broker *b, const struct event_place *at, const struct event_part_kv_more *e)
{
	(void)at;
	return kv_append(&b->kv, e->version, e->value) ? RMQ_E_OK : RMQ_E_CORRUPT;
}

/* ---- cells: places are in the part of the sessions as well ---- */

/* Who the tags say has made it. */
static struct owner *made_by(struct broker *b, struct slice tags)
{
	struct event_maker m;
	bool known = event_maker_find(tags, &m);
	return known ? owner_use(&b->owners, m.node, m.uid) : broker_nobody(b);
}

static enum rmq_error placed(struct broker *b, uint8_t state, struct slice name,
    struct slice cell, struct slice token, struct slice tags)
{
	if (!place_valid(state, name, cell, token))
		return RMQ_E_CORRUPT;
	places_set(&b->places, state, name, cell, token, made_by(b, tags));
	return RMQ_E_OK;
}

static enum rmq_error copied(struct broker *b, struct slice name, struct slice token,
    uint64_t number, uint64_t since_ms, struct slice tags)
{
	struct slice from = slice_of("", 0);
	if (!name_valid(name) || token.len != CELL_TOKEN_SIZE ||
	    (tags_find(tags, COPY_TAG_FROM, &from) && !name_valid_node(from)))
		return RMQ_E_CORRUPT;
	places_add_copy(&b->places, name, token, number, since_ms, from, made_by(b, tags));
	return RMQ_E_OK;
}

static enum rmq_error apply_placed(
    struct broker *b, const struct event_place *at, const struct event_placed *e)
{
	if (!sessions_want(b, at))
		return RMQ_E_OK;
	return placed(b, e->state, e->name, e->cell, e->token, e->tags);
}

static enum rmq_error apply_copy(
    struct broker *b, const struct event_place *at, const struct event_copy *e)
{
	return sessions_want(b, at)
		   ? copied(b, e->name, e->token, e->number, at->wall.ms, e->tags)
		   : RMQ_E_OK;
}

static enum rmq_error apply_copy_gone(
    struct broker *b, const struct event_place *at, const struct event_copy_gone *e)
{
	if (sessions_want(b, at))
		places_drop_copy(&b->places, e->name, e->token);
	return RMQ_E_OK;
}

/* The queue of an event by which it gets, or loses, its name; *err: if there is none. */
static struct queue *renamed(
    struct broker *b, const struct event_place *at, uint32_t id, enum rmq_error *err)
{
	struct queue *q = queue_wants(b, at, id) ? broker_queue(b, id) : NULL;
	bool known = !queue_wants(b, at, id) || broker_may_miss(b, id);
	*err = q || known ? RMQ_E_OK : RMQ_E_CORRUPT;
	return q;
}

static enum rmq_error apply_leave(
    struct broker *b, const struct event_place *at, const struct event_leave *e)
{
	enum rmq_error err;
	struct queue *q = renamed(b, at, e->queue, &err);
	if (!q || q->hidden == QUEUE_LEFT)
		return err;
	b->ledger.part_bytes -= queue_part_bytes(q);
	q->maker->bindings -= q->bindings_count;
	bindings_remove_queue(&b->bindings, q);
	broker_queue_nameless(b, q);
	q->hidden = QUEUE_LEFT;
	q->ends = true;
	b->ledger.part_bytes += queue_part_bytes(q);
	return RMQ_E_OK;
}

static enum rmq_error apply_open(
    struct broker *b, const struct event_place *at, const struct event_open *e)
{
	enum rmq_error err;
	struct queue *q = renamed(b, at, e->queue, &err), *other;
	if (!q || q->hidden == 0)
		return err;
	other = broker_queue_named(b, queue_name(q));
	if (q->hidden != QUEUE_ARRIVES || (other && !broker_may_miss(b, other->id)))
		return RMQ_E_CORRUPT;
	if (other)
		remove_queue(b, other);
	broker_queue_nameless(b, q);
	broker_queue_names(b, q, slice_of("", 0), false);
	broker_busy(b, q);
	return RMQ_E_OK;
}

static enum rmq_error apply_part_place(
    struct broker *b, const struct event_place *at, const struct event_part_place *e)
{
	(void)at;
	return placed(b, e->state, e->name, e->cell, e->token, e->tags);
}

static enum rmq_error apply_part_copy(
    struct broker *b, const struct event_place *at, const struct event_part_copy *e)
{
	(void)at;
	return copied(b, e->name, e->token, e->number,
	    tags_find_u64(e->tags, PART_COPY_TAG_SINCE), e->tags);
}

static enum rmq_error apply_end_parts(
    struct broker *b, const struct event_place *at, const struct event_end_parts *e)
{
	(void)b, (void)at, (void)e;
	return RMQ_E_OK;
}

static enum rmq_error apply_end_dead(
    struct broker *b, const struct event_place *at, const struct event_end_dead *e)
{
	(void)b, (void)at, (void)e;
	return RMQ_E_OK;
}

enum rmq_error broker_apply(
    struct broker *b, const struct event_place *at, const struct event *e)
{
	switch (e->type) {
#define X(type, NAME, name, FIELDS) \
	case type: { \
		struct event_##name m; \
		if (!event_##name##_decode(e->body, &m)) \
			return RMQ_E_CORRUPT; \
		enum rmq_error err = event_check_tags(type, event_##name##_tagged(&m)); \
		return err ? err : apply_##name(b, at, &m); \
	}
		EVENTS(X)
#undef X
	}
	return RMQ_E_VERSION;
}

#define X(type, NAME, name, FIELDS) \
	void broker_emit_##name(struct broker *b, const struct event_##name *e) \
	{ \
		before_event(b, type); \
		size_t len = b->w.len; \
		event_put_##name(&b->w, e); \
		if (b->w.full) { \
			enum record_kind kind = b->open_kind; \
			b->w.len = len; \
			broker_end_record(b); \
			broker_begin_record(b, kind); \
			len = b->w.len; \
			event_put_##name(&b->w, e); \
			assert(!b->w.full); \
		} \
		struct event_place at = { \
		    0, b->open, (uint32_t)len, b->lease_now, b->wall_now}; \
		len = b->w.len - len; \
		if (type < EVENT_TYPE_PART_GROUP) { \
			enum rmq_error err = apply_##name(b, &at, e); \
			assert(err == RMQ_E_OK); \
			(void)err; \
		} \
		after_event(b, type, len); \
	}
EVENTS(X)
#undef X
