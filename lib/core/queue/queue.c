#include "core/queue/queue.h"

#include <assert.h>
#include <string.h>

#include "core/base/bits.h"
#include "core/base/cells.h"
#include "core/base/memory.h"
#include "core/base/name.h"
#include "core/base/variant.h"
#include "core/queue/session.h"
#include "core/wire/event.h"
#include "core/wire/wire.h"

static_assert(BATCH_COUNT_MAX <= UINT16_MAX, "what is live of a batch is counted in a u16");

/* What one takes in a checkpoint, but for what varies. */
#define BATCH_PART_MAX 80
/* So many batches before a new one may know its origin. */
#define ORIGIN_LOOKS 4

static int batch_compare(const struct batch *a, const struct batch *b)
{
	return a->first < b->first ? -1 : a->first > b->first;
}

static int range_compare(const struct range *a, const struct range *b)
{
	return a->first < b->first ? -1 : a->first > b->first;
}

/* In the order in which they are handed out. */
int range_order(const struct range *a, const struct range *b)
{
	if (a->priority != b->priority && !RMQ_VARIANT(PRIORITY_UNSEEN))
		return a->priority > b->priority ? -1 : 1;
	return range_compare(a, b);
}

/* By time; what is due at the same time in a fixed order, so that runs repeat. */
static int timer_compare(const struct range *a, const struct range *b)
{
	if (a->until_ms != b->until_ms)
		return a->until_ms < b->until_ms ? -1 : 1;
	if (a->queue->id != b->queue->id)
		return a->queue->id < b->queue->id ? -1 : 1;
	return range_compare(a, b);
}

/* As they are handed again: in the order of each queue. */
static int holding_compare(const struct range *a, const struct range *b)
{
	if (a->queue->id != b->queue->id)
		return a->queue->id < b->queue->id ? -1 : 1;
	return range_compare(a, b);
}

RB_GENERATE(batch_tree, batch, by_seq, batch_compare)
RB_GENERATE(range_tree, range, by_seq, range_compare)
RB_GENERATE(ready_tree, range, by_state, range_order)
RB_GENERATE(timer_tree, range, by_state, timer_compare)
RB_GENERATE(holding_tree, range, held, holding_compare)

void timers_init(struct timers *t)
{
	RB_INIT(&t->leases);
	RB_INIT(&t->delays);
	RB_INIT(&t->walls);
	RB_INIT(&t->expiries);
}

struct queue *queue_new(
    uint32_t id, struct slice name, struct timers *timers, struct ledger *ledger)
{
	struct queue *q = memory_new(sizeof(*q) + name.len + 1);
	q->id = id;
	q->timers = timers;
	q->ledger = ledger;
	q->next_seq = 1;
	q->is_dead = name_is_dead(name);
	q->is_away = cells_is_away(name);
	memcpy(q->name, name.data, name.len);
	RB_INIT(&q->batches);
	RB_INIT(&q->ranges);
	RB_INIT(&q->ready);
	RB_INIT(&q->expiries);
	RB_INIT(&q->bindings);
	by_key_init(&q->by_key);
	TAILQ_INIT(&q->hungry);
	TAILQ_INIT(&q->subs);
	TAILQ_INIT(&q->waiting);
	TAILQ_INIT(&q->unfinished);
	positions_init(&q->positions, &ledger->part_bytes);
	ids_init(&q->ids, &ledger->part_bytes);
	return q;
}

void queue_free(struct queue *q)
{
	if (!q)
		return;
	queue_drop_below(q, UINT64_MAX);
	positions_deinit(&q->positions);
	ids_deinit(&q->ids);
	free(q->token);
	assert(RB_EMPTY(&q->batches) && RB_EMPTY(&q->bindings) && RB_EMPTY(&q->by_key.groups));
	assert(TAILQ_EMPTY(&q->subs) && TAILQ_EMPTY(&q->waiting));
	free(q);
}

struct slice queue_name(const struct queue *q)
{
	return slice_str(q->name);
}

uint64_t queue_total(const struct queue *q)
{
	return q->live[STATE_READY] + q->live[STATE_LEASED] + q->live[STATE_DELAYED];
}

uint64_t queue_room(const struct queue *q)
{
	uint64_t most = q->settings.max_bytes;
	if (q->settings.more.paused_in || q->ends ||
	    (q->is_frozen && !RMQ_VARIANT(FROZEN_TAKES)))
		return 0;
	if (most == 0)
		return UINT64_MAX;
	return most > q->bytes ? most - q->bytes : 0;
}

bool queue_is_full(const struct queue *q)
{
	return queue_room(q) == 0;
}

struct large *large_new(uint32_t room)
{
	struct large *large = NULL;
	return memory_new(sizeof(*large) + room * sizeof(large->part[0]));
}

/* ---- batches ---- */

static void batch_set_bytes(struct batch *b, uint32_t bytes)
{
	assert(bytes <= BATCH_BYTES_MAX);
	b->bytes = bytes & BATCH_BYTES_MAX;
}

static size_t batch_size_of(const struct batch *b)
{
	return sizeof(*b) + (b->is_dead ? sizeof(b->came[0]) : 0);
}

uint32_t batch_bytes_of(const struct batch *b, uint64_t messages)
{
	uint64_t bytes = b->is_large ? b->large->weight : b->bytes;
	return (uint32_t)(bytes * messages / b->count);
}

bool batch_in_flight(const struct batch *b)
{
	if (!b->is_large)
		return b->record->index == 0;
	for (uint32_t i = 0; i < b->large->parts; i++)
		if (b->large->part[i].record->index == 0)
			return true;
	return false;
}

uint32_t batch_live_bytes(const struct batch *b)
{
	return batch_bytes_of(b, b->live);
}

/* What the live messages weigh in their queue, and, as each that shares them has a part, in their record. */
struct weight {
	uint32_t in_queue;
	uint32_t in_record;
};

static struct weight weigh(const struct batch *b)
{
	uint32_t bytes = batch_live_bytes(b);
	return (struct weight){bytes, b->shares > 1 ? bytes / b->shares : bytes};
}

/* So many messages of b are not live any more; it weighed `before`. */
static void weighs_less(
    struct queue *q, struct batch *b, const struct weight *before, uint32_t dead)
{
	struct weight after = weigh(b);
	q->bytes -= before->in_queue - after.in_queue;
	ledger_drop(q->ledger, b->record, dead, before->in_record - after.in_record);
}

uint64_t batch_part_bytes(const struct batch *b)
{
	const struct origin *o = batch_origin(b);
	return BATCH_PART_MAX + (b->bits ? ((uint64_t)b->count + 7) / 8 : 0) +
	       (b->is_large ? (uint64_t)b->large->parts * EVENT_LOCATION_SIZE : 0) +
	       (o ? strlen(o->reason) + EVENT_PLACE_TAGS_MAX : 0);
}

/* Charges the records for a batch that was made, or discharges them. */
static void batch_charge(struct queue *q, struct batch *b)
{
	q->ledger->part_bytes += batch_part_bytes(b);
	struct weight w = weigh(b);
	q->bytes += w.in_queue;
	if (!b->is_large) {
		ledger_add(q->ledger, b->record, b->live, w.in_record);
		LIST_INSERT_HEAD(&b->record->batches, b, in_record);
		return;
	}
	for (uint32_t i = 0; i < b->large->parts; i++)
		ledger_add(q->ledger, b->large->part[i].record, 1, 0);
}

static struct origin *origin_new(struct slice queue, struct slice reason, uint32_t redrives)
{
	struct origin *o = memory_new(sizeof(*o) + queue.len + 1 + reason.len + 1);
	o->redrives = redrives;
	o->reason = o->queue + queue.len + 1;
	if (queue.len > 0)
		memcpy(o->queue, queue.data, queue.len);
	if (reason.len > 0)
		memcpy(o->reason, reason.data, reason.len);
	return o;
}

static struct origin *origin_share(struct origin *o)
{
	if (o)
		o->batches++;
	return o;
}

static void origin_drop(struct origin *o)
{
	if (o && --o->batches == 0)
		free(o);
}

static bool origin_is(
    const struct origin *o, struct slice queue, struct slice reason, uint32_t redrives)
{
	return o && o->redrives == redrives && slice_eq(slice_str(o->queue), queue) &&
	       slice_eq(slice_str(o->reason), reason);
}

static void batch_free(struct queue *q, struct batch *b)
{
	RB_REMOVE(batch_tree, &q->batches, b);
	q->ledger->part_bytes -= batch_part_bytes(b);
	struct weight w = weigh(b);
	q->bytes -= w.in_queue;
	if (q->newest == b)
		q->newest = NULL;
	if (q->recent_batch == b)
		q->recent_batch = NULL;
	if (!b->is_large) {
		LIST_REMOVE(b, in_record);
		ledger_drop(q->ledger, b->record, b->live, w.in_record);
	} else {
		for (uint32_t i = 0; i < b->large->parts; i++)
			ledger_drop(q->ledger, b->large->part[i].record, 1, 0);
		free(b->large);
	}
	free(b->bits);
	if (b->is_dead)
		origin_drop(b->came->origin);
	free(b);
}

/* Whether messages that follow b in seq, record and event order may become part of it. */
static bool batch_can_grow(const struct queue *q, const struct batch *b, const struct record *r,
    uint64_t first, uint32_t count)
{
	return b && q->newest == b && !b->is_large && b->record == r && !b->bits &&
	       !b->is_dead && b->first + b->count == first &&
	       b->count + count + b->slot <= BATCH_COUNT_MAX;
}

static struct batch *batch_before(struct queue *q, uint64_t seq)
{
	struct batch key = {.first = seq};
	struct batch *b = RB_NFIND(batch_tree, &q->batches, &key);
	return b ? RB_PREV(batch_tree, &q->batches, b) : RB_MAX(batch_tree, &q->batches);
}

void queue_adds_of(struct queue *q, uint64_t set)
{
	if (q->newest_set != set)
		q->newest = NULL;
	q->newest_set = set;
}

struct batch *queue_add_batch(struct queue *q, struct record *r, uint64_t first, uint32_t count,
    uint32_t bytes, uint16_t offset, uint16_t slot, uint16_t shares)
{
	struct batch *b = batch_before(q, first);
	if (r->n > q->newest_n)
		q->newest_n = r->n;
	if (slot == 0 && batch_can_grow(q, b, r, first, count)) {
		struct weight before = weigh(b);
		b->count = (uint16_t)(b->count + count);
		b->live = (uint16_t)(b->live + count);
		batch_set_bytes(b, b->bytes + bytes);
		q->bytes += bytes;
		ledger_add(q->ledger, r, count, weigh(b).in_record - before.in_record);
		return b;
	}
	b = memory_new(sizeof(*b));
	b->queue = q->id;
	b->record = r;
	b->first = first;
	b->count = (uint16_t)count;
	b->live = (uint16_t)count;
	batch_set_bytes(b, bytes);
	b->offset = offset;
	b->slot = slot;
	b->shares = shares & 2047;
	RB_INSERT(batch_tree, &q->batches, b);
	batch_charge(q, b);
	q->newest = b;
	return b;
}

/* Each stands alone in its record, the first one with the attributes. */
uint32_t large_weight(const struct large *large, uint16_t shares)
{
	uint32_t weight = 0, alone = EVENT_CHUNK_ALONE + event_chunk_queues_len(shares);
	for (uint32_t i = 0; i < large->parts; i++) {
		uint32_t bytes = large->part[i].record->bytes;
		weight += bytes > alone ? bytes - alone : 0;
	}
	return weight > large->bytes ? weight : large->bytes;
}

struct batch *queue_add_large(struct queue *q, struct large *large, uint64_t seq,
    uint32_t bytes, uint64_t time_ms, uint16_t shares)
{
	struct batch *b = memory_new(sizeof(*b));
	b->queue = q->id;
	b->is_large = true;
	b->large = large;
	b->first = seq;
	b->count = 1;
	b->live = 1;
	large->bytes = bytes;
	large->time_ms = time_ms;
	b->shares = shares & 2047;
	large->weight = large_weight(large, shares);
	RB_INSERT(batch_tree, &q->batches, b);
	batch_charge(q, b);
	return b;
}

/* Takes b's place: b with its origin. */
static struct batch *batch_set_came(struct queue *q, struct batch *b, struct came came)
{
	struct batch *dead = memory_new(sizeof(*dead) + sizeof(came));
	q->ledger->part_bytes -= batch_part_bytes(b);
	RB_REMOVE(batch_tree, &q->batches, b);
	if (!b->is_large)
		LIST_REMOVE(b, in_record);
	*dead = *b;
	dead->is_dead = true;
	dead->came[0] = came;
	origin_share(came.origin);
	RB_INSERT(batch_tree, &q->batches, dead);
	if (!dead->is_large)
		LIST_INSERT_HEAD(&dead->record->batches, dead, in_record);
	q->ledger->part_bytes += batch_part_bytes(dead);
	if (q->newest == b)
		q->newest = dead;
	if (q->recent_batch == b)
		q->recent_batch = dead;
	free(b);
	return dead;
}

struct batch *queue_batch_came(struct queue *q, struct batch *b, struct slice from,
    uint64_t seq, struct slice reason, uint32_t redrives)
{
	struct batch *before = RB_PREV(batch_tree, &q->batches, b);
	for (uint32_t i = 1; before && i < ORIGIN_LOOKS &&
			     !origin_is(batch_origin(before), from, reason, redrives);
	     i++)
		before = RB_PREV(batch_tree, &q->batches, before);
	bool known = before && origin_is(batch_origin(before), from, reason, redrives);
	struct origin *o = known ? before->came->origin : origin_new(from, reason, redrives);
	return batch_set_came(q, b, (struct came){o, from.len > 0 ? seq - b->first : 0});
}

bool batch_same_origin(const struct batch *a, const struct batch *b)
{
	const struct origin *o = batch_origin(b), *other = batch_origin(a);
	return other == o ||
	       (o && origin_is(other, slice_str(o->queue), slice_str(o->reason), o->redrives));
}

/* Whether b's messages follow those of a, here and in the queue that they came from. */
static bool batch_follows(const struct batch *b, const struct batch *a)
{
	return a && !a->is_large && !b->is_large && a->record == b->record && !a->bits &&
	       !b->bits && a->is_dead && a->came->origin->queue[0] &&
	       a->first + a->count == b->first && batch_same_origin(a, b) &&
	       a->came->further == b->came->further &&
	       a->slot + a->count + b->count <= BATCH_COUNT_MAX &&
	       a->bytes + b->bytes <= BATCH_BYTES_MAX;
}

/* b becomes part of a, which it follows; all of both are live. */
static void batch_absorb(struct queue *q, struct batch *a, struct batch *b)
{
	RB_REMOVE(batch_tree, &q->batches, b);
	LIST_REMOVE(b, in_record);
	q->ledger->part_bytes -= batch_part_bytes(b);
	if (q->recent_batch == b)
		q->recent_batch = NULL;
	if (q->newest == b)
		q->newest = a;
	uint32_t before = weigh(a).in_record + weigh(b).in_record;
	a->count = (uint16_t)(a->count + b->count);
	a->live = (uint16_t)(a->live + b->live);
	batch_set_bytes(a, a->bytes + b->bytes);
	ledger_add(q->ledger, a->record, 0, weigh(a).in_record - before);
	origin_drop(b->came->origin);
	free(b);
}

void queue_batch_join(struct queue *q, struct batch *b)
{
	struct batch *a = RB_PREV(batch_tree, &q->batches, b);
	if (batch_follows(b, a) && a->offset == b->offset && a->slot + a->count == b->slot)
		batch_absorb(q, a, b);
}

struct batch *queue_batch_next(struct batch *b)
{
	return RB_NEXT(batch_tree, NULL, b);
}

struct batch *queue_batch_at(struct queue *q, uint64_t seq)
{
	struct batch *b = q->recent_batch, *found = NULL;
	if (b && b->first <= seq && seq < b->first + b->count)
		return b;
	b = RB_ROOT(&q->batches);
	while (b) {
		if (b->first + b->count > seq) {
			found = b;
			b = RB_LEFT(b, by_seq);
		} else {
			b = RB_RIGHT(b, by_seq);
		}
	}
	q->recent_batch = found;
	return found;
}

uint64_t batch_run(const struct batch *b, uint64_t from, uint64_t to, uint64_t *end)
{
	uint64_t limit = to < b->first + b->count ? to : b->first + b->count;
	uint64_t at = from > b->first ? from : b->first;
	if (at >= limit)
		return to;
	if (!b->bits) {
		*end = limit;
		return at;
	}
	uint32_t last = (uint32_t)(limit - b->first);
	uint32_t i = bits_find(b->bits, (uint32_t)(at - b->first), last, true);
	if (i == last)
		return to;
	*end = b->first + bits_find(b->bits, i, last, false);
	return b->first + i;
}

bool queue_batch_set_live(struct queue *q, struct batch *b, struct slice live)
{
	if (live.len == 0)
		return true;
	if (live.len != ((size_t)b->count + 7) / 8 || b->is_large || b->bits)
		return false;
	uint64_t *bits = memory_new(bits_words(b->count) * 8);
	for (uint32_t i = 0; i < b->count; i++)
		if (live.data[i / 8] >> (i % 8) & 1)
			bits_set(bits, i, i + 1);
	struct weight before = weigh(b);
	uint32_t dead = b->count - bits_count(bits, 0, b->count);
	if (dead == b->count) {
		free(bits);
		return false;
	}
	q->ledger->part_bytes -= batch_part_bytes(b);
	b->bits = bits;
	q->ledger->part_bytes += batch_part_bytes(b);
	b->live = (uint16_t)(b->live - dead);
	weighs_less(q, b, &before, dead);
	return true;
}

static uint64_t batch_count_live(const struct batch *b, uint64_t from, uint64_t to)
{
	uint64_t end = to < b->first + b->count ? to : b->first + b->count;
	uint64_t begin = from > b->first ? from : b->first;
	if (begin >= end)
		return 0;
	if (!b->bits)
		return end - begin;
	return bits_count(b->bits, (uint32_t)(begin - b->first), (uint32_t)(end - b->first));
}

uint64_t queue_count_live(struct queue *q, uint64_t first, uint64_t span)
{
	uint64_t n = 0;
	struct batch *b = queue_batch_at(q, first);
	for (; b && b->first < first + span; b = queue_batch_next(b))
		n += batch_count_live(b, first, first + span);
	return n;
}

uint64_t queue_first_live(struct queue *q, uint64_t first, uint64_t end)
{
	uint64_t run_end;
	struct batch *b = queue_batch_at(q, first);
	/* None is all dead: the second one at the latest tells. */
	for (; b && b->first < end; b = queue_batch_next(b)) {
		uint64_t at = batch_run(b, first, end, &run_end);
		if (at < end)
			return at;
	}
	return end;
}

bool queue_any_live(struct queue *q, uint64_t first, uint64_t end)
{
	return queue_first_live(q, first, end) < end;
}

/* Shortens b to its messages [from, to) (offsets); what is cut off is not live any more. */
static void batch_trim(struct queue *q, struct batch *b, uint32_t from, uint32_t to)
{
	struct weight before = weigh(b);
	uint32_t dead = b->count - (to - from);
	batch_set_bytes(b, batch_bytes_of(b, to - from));
	b->first += from;
	b->slot = (uint16_t)(b->slot + from);
	b->count = (uint16_t)(to - from);
	b->live = (uint16_t)(b->live - dead);
	if (q->newest == b)
		q->newest = NULL;
	weighs_less(q, b, &before, dead);
}

/* Messages [from, to) of b (offsets) leave; frees b when nothing is left. */
static void batch_drop(struct queue *q, struct batch *b, uint32_t from, uint32_t to)
{
	uint32_t dead = b->bits ? bits_count(b->bits, from, to) : to - from;
	if (dead == 0)
		return;
	if (dead == b->live) {
		batch_free(q, b);
		return;
	}
	if (!b->bits && (from == 0 || to == b->count)) {
		batch_trim(q, b, from == 0 ? to : 0, from == 0 ? b->count : from);
		return;
	}
	if (!b->bits) {
		q->ledger->part_bytes -= batch_part_bytes(b);
		b->bits = memory_new(bits_words(b->count) * 8);
		bits_set(b->bits, 0, b->count);
		q->ledger->part_bytes += batch_part_bytes(b);
	}
	struct weight before = weigh(b);
	bits_clear(b->bits, from, to);
	b->live = (uint16_t)(b->live - dead);
	if (q->newest == b)
		q->newest = NULL;
	weighs_less(q, b, &before, dead);
}

static void drop_span(struct queue *q, uint64_t first, uint64_t end)
{
	struct batch *b = queue_batch_at(q, first), *next;
	for (; b && b->first < end; b = next) {
		next = queue_batch_next(b);
		uint64_t from = first > b->first ? first - b->first : 0;
		uint64_t to = end - b->first < b->count ? end - b->first : b->count;
		batch_drop(q, b, (uint32_t)from, (uint32_t)to);
	}
}

/* Bits [from, from + count) of b as a bitmap of their own; NULL if b has none. */
static uint64_t *batch_bits_of(const struct batch *b, uint32_t from, uint32_t count)
{
	if (!b->bits)
		return NULL;
	uint64_t *bits = memory_new(bits_words(count) * 8);
	for (uint32_t i = 0; i < count; i++)
		if (bits_get(b->bits, from + i))
			bits_set(bits, i, i + 1);
	return bits;
}

/* Splits b, of which messages on both sides of `seq` are live, and gives the right side. */
static struct batch *batch_split(struct queue *q, struct batch *b, uint64_t seq)
{
	uint32_t left = (uint32_t)(seq - b->first);
	struct weight before = weigh(b);
	struct batch *right = memory_new(batch_size_of(b));
	q->ledger->part_bytes -= batch_part_bytes(b);
	memcpy(right, b, batch_size_of(b));
	right->first = seq;
	right->count = (uint16_t)(b->count - left);
	right->live = (uint16_t)batch_count_live(b, seq, b->first + b->count);
	batch_set_bytes(right, batch_bytes_of(b, right->count));
	right->slot = (uint16_t)(b->slot + left);
	if (right->is_dead)
		origin_share(right->came->origin);
	right->bits = batch_bits_of(b, left, right->count);
	uint64_t *bits = batch_bits_of(b, 0, left);
	free(b->bits);
	b->bits = bits;
	batch_set_bytes(b, b->bytes - right->bytes);
	b->count = (uint16_t)left;
	b->live = (uint16_t)(b->live - right->live);
	q->ledger->part_bytes += batch_part_bytes(b) + batch_part_bytes(right);
	LIST_INSERT_HEAD(&b->record->batches, right, in_record);
	RB_INSERT(batch_tree, &q->batches, right);
	if (q->newest == b)
		q->newest = NULL;
	/* The shares of the two sides may differ from the whole by rounding. */
	struct weight after = weigh(b), also = weigh(right);
	after.in_record += also.in_record;
	q->bytes = q->bytes + after.in_queue + also.in_queue - before.in_queue;
	if (after.in_record > before.in_record)
		ledger_add(q->ledger, b->record, 0, after.in_record - before.in_record);
	else
		ledger_drop(q->ledger, b->record, 0, before.in_record - after.in_record);
	return right;
}

/* The live messages of b within [first, end), of which there are some, are taken out. */
static void batch_cut_out(struct queue *q, struct batch *b, uint64_t first, uint64_t end)
{
	if (batch_count_live(b, b->first, first) > 0)
		b = batch_split(q, b, first);
	if (batch_count_live(b, end, b->first + b->count) > 0)
		batch_split(q, b, end);
	batch_free(q, b);
}

bool queue_relocate(struct queue *q, uint64_t first, uint32_t count, uint32_t bytes,
    struct record *r, uint16_t offset, uint16_t shares)
{
	struct batch *b = queue_batch_at(q, first), *m;
	uint64_t end = first + count;
	if (!b || queue_count_live(q, first, count) != count)
		return false;
	for (m = b; m && m->first < end; m = queue_batch_next(m))
		if (m->is_large)
			return false;
	struct came came = b->is_dead ? b->came[0] : (struct came){0};
	origin_share(came.origin);
	/* One batch, but where a recovery found it in two pieces. */
	while ((b = queue_batch_at(q, first)) && b->first < end)
		batch_cut_out(q, b, first, end);
	struct batch *last = q->newest;
	if (came.origin)
		q->newest = NULL;
	b = queue_add_batch(q, r, first, count, bytes, offset, 0, shares);
	if (came.origin) {
		b = batch_set_came(q, b, came);
		/* They join what has just moved to the place before them. */
		if (last && last == RB_PREV(batch_tree, &q->batches, b) &&
		    batch_follows(b, last))
			batch_absorb(q, last, b);
	}
	origin_drop(came.origin);
	return true;
}

/* ---- ranges ---- */

struct range *queue_range_at(struct queue *q, uint64_t seq)
{
	struct range *r = q->recent_range, *found = NULL;
	if (r && r->first <= seq && seq < r->first + r->span)
		return r;
	r = RB_ROOT(&q->ranges);
	while (r) {
		if (r->first + r->span > seq) {
			found = r;
			r = RB_LEFT(r, by_seq);
		} else {
			r = RB_RIGHT(r, by_seq);
		}
	}
	q->recent_range = found;
	return found;
}

struct range *queue_range_next(struct range *r)
{
	return RB_NEXT(range_tree, NULL, r);
}

struct range *queue_first_ready(struct queue *q)
{
	return RB_MIN(ready_tree, &q->ready);
}

struct range *queue_add_range(struct queue *q, uint64_t first, uint64_t span, uint64_t live)
{
	struct range *r = memory_new(sizeof(*r));
	r->queue = q;
	r->first = first;
	r->span = span;
	r->live = live;
	r->priority = PRIORITY_DEFAULT;
	RB_INSERT(range_tree, &q->ranges, r);
	q->ledger->part_bytes += RANGE_PART_MAX;
	return r;
}

static struct timer_tree *delays_of(const struct queue *q, const struct range *r)
{
	return r->by_wall ? &q->timers->walls : &q->timers->delays;
}

/* Takes r out of what its state put it into. */
static void leave_state(struct queue *q, struct range *r)
{
	q->live[r->state] -= r->live;
	switch (r->state) {
	case STATE_READY:
		if (!r->waits)
			RB_REMOVE(ready_tree, &q->ready, r);
		else if (r->aside)
			by_key_leave_range(q, r);
		break;
	case STATE_LEASED:
		RB_REMOVE(timer_tree, &q->timers->leases, r);
		range_detach(r);
		r->mix = NULL;
		if (!RB_EMPTY(&q->expiries))
			expiry_return(q, r->first, r->first + r->span);
		break;
	case STATE_DELAYED:
		RB_REMOVE(timer_tree, delays_of(q, r), r);
		break;
	}
	r->state = 0;
}

/* Puts r, whose fields are set, into what its state wants. */
static void enter_state(struct queue *q, struct range *r, uint8_t state)
{
	r->state = state;
	q->live[state] += r->live;
	switch (state) {
	case STATE_READY:
		if (!r->waits)
			RB_INSERT(ready_tree, &q->ready, r);
		else if (r->aside)
			by_key_enter(q, r);
		break;
	case STATE_LEASED:
		RB_INSERT(timer_tree, &q->timers->leases, r);
		if (r->session)
			session_holds(r->session, r);
		break;
	case STATE_DELAYED:
		RB_INSERT(timer_tree, delays_of(q, r), r);
		break;
	}
}

void range_detach(struct range *r)
{
	if (r->session)
		session_holds_no_more(r->session, r);
	r->session = NULL;
}

static void range_free(struct queue *q, struct range *r)
{
	leave_state(q, r);
	RB_REMOVE(range_tree, &q->ranges, r);
	if (q->recent_range == r)
		q->recent_range = NULL;
	q->ledger->part_bytes -= RANGE_PART_MAX;
	mixed_free(r);
	free(r);
}

/* Some messages have left r, or come: it may be of another priority now. */
static void look_again(struct queue *q, struct range *r)
{
	bool listed = r->state == STATE_READY && !r->waits;
	if (!range_is_mixed(r))
		return;
	if (listed)
		RB_REMOVE(ready_tree, &q->ready, r);
	mixed_look(r);
	if (listed)
		RB_INSERT(ready_tree, &q->ready, r);
}

/* Cuts r at seq, strictly inside of it, and gives the right side, in the same state. */
static struct range *range_split(struct queue *q, struct range *r, uint64_t seq)
{
	struct range *right = memory_new(sizeof(*right));
	uint64_t left_span = seq - r->first, left_live;
	/* Count on the side that is shorter. */
	if (left_span <= r->span / 2)
		left_live = queue_count_live(q, r->first, left_span);
	else
		left_live = r->live - queue_count_live(q, seq, r->span - left_span);
	*right = *r;
	right->first = seq;
	right->span = r->span - left_span;
	right->live = r->live - left_live;
	q->live[r->state] -= right->live;
	mixed_split(r, right);
	r->span = left_span;
	r->live = left_live;
	look_again(q, r);
	mixed_look(right);
	RB_INSERT(range_tree, &q->ranges, right);
	q->ledger->part_bytes += RANGE_PART_MAX;
	enter_state(q, right, r->state);
	/* What is taken off at the front is mostly followed by what comes next. */
	q->recent_range = right;
	return right;
}

struct range *queue_isolate(struct queue *q, struct range *r, uint64_t first, uint64_t span)
{
	assert(first >= r->first && span > 0 && first + span <= r->first + r->span);
	struct range *left = NULL, *right = NULL;
	if (r->first < first) {
		left = r;
		r = range_split(q, r, first);
	}
	if (r->first + r->span > first + span)
		right = range_split(q, r, first + span);
	if (left && left->live == 0)
		range_free(q, left);
	if (right && right->live == 0)
		range_free(q, right);
	return r;
}

/* Whether both, b after a, are ready or delayed, and the same in all else. */
static bool may_join(const struct range *a, const struct range *b)
{
	return a && b && a->state == b->state && a->state != STATE_LEASED &&
	       a->attempt == b->attempt && a->failures == b->failures &&
	       a->until_ms == b->until_ms && a->by_wall == b->by_wall && a->waits == b->waits &&
	       !a->aside && !b->aside && mixed_may_join(a, b);
}

/* Right joins left; what lies between them is settled. */
static void range_merge(struct queue *q, struct range *left, struct range *right)
{
	uint64_t live = right->live;
	bool rises =
	    left->state == STATE_READY && !left->waits && right->priority > left->priority;
	if (rises)
		RB_REMOVE(ready_tree, &q->ready, left);
	mixed_join(left, right);
	left->span = right->first + right->span - left->first;
	range_free(q, right);
	if (rises)
		RB_INSERT(ready_tree, &q->ready, left);
	left->live += live;
	q->live[left->state] += live;
}

static void merge_neighbours(struct queue *q, struct range *r)
{
	struct range *prev = RB_PREV(range_tree, &q->ranges, r);
	struct range *next = RB_NEXT(range_tree, &q->ranges, r);
	if (may_join(r, next))
		range_merge(q, r, next);
	if (may_join(prev, r))
		range_merge(q, prev, r);
}

static void make_ready(
    struct queue *q, struct range *r, uint32_t attempt, uint32_t failures, bool waits)
{
	if (r->state)
		leave_state(q, r);
	r->waits = waits;
	r->attempt = attempt;
	r->failures = failures;
	r->lease = 0;
	r->until_ms = 0;
	r->detached = false;
	r->by_wall = false;
	enter_state(q, r, STATE_READY);
	merge_neighbours(q, r);
}

/* Where messages of [at, end), the first of which is live, stop to be as it is, waiting or not. */
static uint64_t same_wait(struct queue *q, uint64_t at, uint64_t end)
{
	bool waits = keys_wait(q, at);
	struct batch *b = queue_batch_at(q, at);
	uint64_t run_end = at;
	for (; b && b->first < end; b = queue_batch_next(b)) {
		uint64_t seq = at;
		while ((seq = batch_run(b, seq, end, &run_end)) < end)
			for (; seq < run_end; seq++)
				if (keys_wait(q, seq) != waits)
					return seq;
	}
	return end;
}

/* Messages [at, end) of one range, each as its key says. */
static void make_ready_keyed(
    struct queue *q, uint64_t at, uint64_t end, uint32_t attempt, uint32_t failures)
{
	while (at < end) {
		uint64_t first = queue_first_live(q, at, end);
		if (first == end)
			return;
		uint64_t stop = same_wait(q, first, end);
		struct range *r = queue_range_at(q, first);
		bool waits = keys_wait(q, first);
		uint64_t from = at > r->first ? at : r->first;
		make_ready(q, queue_isolate(q, r, from, stop - from), attempt, failures, waits);
		at = stop;
	}
}

void queue_make_ready(struct queue *q, struct range *r, uint32_t attempt, uint32_t failures)
{
	if (q->keys)
		make_ready_keyed(q, r->first, r->first + r->span, attempt, failures);
	else
		make_ready(q, r, attempt, failures, false);
}

/* Message seq is the oldest of its key now. */
static void unwait(struct queue *q, uint64_t seq)
{
	struct range *r = queue_range_at(q, seq);
	if (!r || r->first > seq || r->state != STATE_READY || !r->waits || r->aside)
		return;
	r = queue_isolate(q, r, seq, 1);
	make_ready(q, r, r->attempt, r->failures, false);
}

void queue_put_aside(struct queue *q, uint64_t seq, uint32_t group)
{
	struct range *r = queue_isolate(q, queue_range_at(q, seq), seq, 1);
	assert(r->state == STATE_READY && !r->waits && group < KEY_GROUPS);
	leave_state(q, r);
	r->waits = r->aside = true;
	r->group = group & (KEY_GROUPS - 1);
	enter_state(q, r, STATE_READY);
}

void queue_take_back(struct queue *q, struct range *r)
{
	make_ready(q, r, r->attempt, r->failures, false);
}

static void make_delayed(struct queue *q, struct range *r, uint64_t until_ms, bool by_wall,
    uint32_t attempt, uint32_t failures)
{
	if (r->state)
		leave_state(q, r);
	r->attempt = attempt;
	r->failures = failures;
	r->lease = 0;
	r->detached = false;
	r->until_ms = until_ms;
	r->by_wall = by_wall;
	r->waits = false;
	enter_state(q, r, STATE_DELAYED);
	merge_neighbours(q, r);
}

void queue_make_delayed(struct queue *q, struct range *r, struct lease_time until,
    uint32_t attempt, uint32_t failures)
{
	make_delayed(q, r, until.ms, false, attempt, failures);
}

void queue_make_waiting(struct queue *q, struct range *r, struct wall_time until,
    uint32_t attempt, uint32_t failures)
{
	make_delayed(q, r, until.ms, true, attempt, failures);
}

void queue_make_leased(struct queue *q, struct range *r, struct session *s, uint64_t lease,
    struct lease_time until, uint32_t lease_ms, uint32_t attempt)
{
	assert(!range_is_mixed(r));
	if (r->state)
		leave_state(q, r);
	r->session = s;
	r->lease = lease;
	r->lease_ms = lease_ms;
	r->unstarted = UINT64_MAX;
	r->until_ms = until.ms;
	r->by_wall = false;
	r->attempt = attempt;
	enter_state(q, r, STATE_LEASED);
}

void queue_extend(struct queue *q, struct range *r, struct lease_time until)
{
	RB_REMOVE(timer_tree, &q->timers->leases, r);
	r->until_ms = until.ms;
	RB_INSERT(timer_tree, &q->timers->leases, r);
}

void queue_add_ready(struct queue *q, uint64_t first, uint64_t span, uint64_t live,
    uint32_t attempt, uint32_t failures)
{
	queue_make_ready(q, queue_add_range(q, first, span, live), attempt, failures);
}

void queue_add_new(struct queue *q, uint64_t first, uint64_t count, const struct lane *lane)
{
	struct range *r = queue_add_range(q, first, count, count);
	r->priority = lane->priority;
	if (lane->key > 0)
		keys_add(q, first, 1, &lane->key);
	if (lane->expire_ms > 0)
		expiry_add(q, first, count, count, lane->expire_ms, !lane->by_queue);
	if (lane->until_ms > 0)
		queue_make_waiting(q, r, (struct wall_time){lane->until_ms}, 0, 0);
	else
		queue_make_ready(q, r, 0, 0);
}

/* So many messages of [first, end), which are not all of r's, are its messages no more. */
static void range_lose(
    struct queue *q, struct range *r, uint64_t first, uint64_t end, uint64_t gone)
{
	q->live[r->state] -= gone;
	r->live -= gone;
	/* Ranges are apart: no tree's order changes. */
	if (end == r->first + r->span) {
		r->span = first - r->first;
	} else if (first == r->first) {
		mixed_shift(r, end - first);
		r->first = end;
		r->span -= end - first;
	}
}

void queue_drop(struct queue *q, struct range *r, uint64_t first, uint64_t end)
{
	uint64_t gone =
	    end - first == r->span ? r->live : queue_count_live(q, first, end - first);
	bool all = gone == r->live;
	struct range *prev = all ? RB_PREV(range_tree, &q->ranges, r) : NULL;
	struct range *next = all ? RB_NEXT(range_tree, &q->ranges, r) : NULL;
	uint64_t *oldest = NULL;
	size_t count = 0;
	if (!RB_EMPTY(&q->expiries))
		expiry_leave(q, first, end);
	if (q->keys)
		oldest = keys_leave(q, first, end, &count);
	if (all)
		range_free(q, r);
	else
		range_lose(q, r, first, end, gone);
	drop_span(q, first, end);
	if (!all)
		look_again(q, r);
	/* As recovery from a checkpoint puts them together. */
	if (may_join(prev, next))
		range_merge(q, prev, next);
	for (size_t i = 0; i < count; i++)
		unwait(q, oldest[i]);
	free(oldest);
	if (q->keys)
		keys_tidy(q);
}

void queue_drop_range(struct queue *q, struct range *r)
{
	queue_drop(q, r, r->first, r->first + r->span);
}

void queue_drop_below(struct queue *q, uint64_t seq)
{
	struct range *r;
	/* What waited for one that leaves may join others. */
	while ((r = RB_MIN(range_tree, &q->ranges)) && r->first < seq) {
		uint64_t end = r->first + r->span;
		queue_drop(q, r, r->first, end < seq ? end : seq);
	}
}

void queue_revive(struct queue *q, struct record *r, uint64_t first, uint32_t count,
    uint32_t bytes, uint16_t offset, uint16_t slot, uint16_t shares, struct slice attributes,
    struct wall_time now)
{
	uint64_t at = first, end = first + count, to;
	q->newest = NULL;
	queue_add_batch(q, r, first, count, bytes, offset, slot, shares);
	q->newest = NULL;
	for (; at < end; at = to) {
		struct range *over = queue_range_at(q, at);
		bool spans = over && over->first <= at;
		uint64_t stop = !over ? end : spans ? over->first + over->span : over->first;
		to = stop < end ? stop : end;
		if (!spans) {
			lanes_add(q, at, (uint32_t)(to - at), attributes,
			    (uint32_t)(slot + (at - first)), now);
			continue;
		}
		over->live += to - at;
		q->live[over->state] += to - at;
		look_again(q, over);
	}
}
