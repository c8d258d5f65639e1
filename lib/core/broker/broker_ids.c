/*
 * Messages with ids: one that was sent to the queue before is not stored again.  A SEND with some of
 * them is refused, and its client sends the others: a refusal needs no memory, and what was taken is
 * known by its number.  The hashes of what is stored are in the record of the messages.
 */
#include "core/broker/broker_state.h"

#include <stdio.h>
#include <xxhash.h>

#include "core/base/memory.h"
#include "core/base/variant.h"

/* Those of one SEND: open addressing, twice as many places. */
#define PLACES (2 * BATCH_MESSAGES_MAX)

uint64_t broker_ids_seed(const struct broker *b, const struct queue *q)
{
	return q && q->ids_seed > 0 ? q->ids_seed : load_u64(b->secret);
}

/* Nobody can choose an id that has the hash of another. */
static uint64_t hash_of(uint64_t seed, struct slice id)
{
	uint64_t hash = XXH3_64bits_withSeed(id.data, id.len, seed);
	return hash ? hash : 1;
}

uint64_t broker_id_hash(
    const struct broker *b, const struct queue *q, struct slice attributes, uint32_t i)
{
	struct slice id;
	if (!attributes_find(attributes, ATTRIBUTE_ID, i, &id))
		return 0;
	return hash_of(broker_ids_seed(b, q), id);
}

struct id_hashes *broker_ids_of(
    const struct broker *b, const struct queue *q, struct slice attributes, uint32_t count)
{
	uint64_t seed = broker_ids_seed(b, q);
	struct attribute_cursor cursor = {0};
	struct slice id;
	if (!attributes_has(attributes, ATTRIBUTE_ID))
		return NULL;
	struct id_hashes *h = memory_new(sizeof(*h));
	for (uint32_t i = 0; i < count; i++)
		if (attributes_next(&cursor, attributes, ATTRIBUTE_ID, i, &id))
			h->of[i] = hash_of(seed, id);
	return h;
}

/* What is said of a SEND. */
struct known {
	uint64_t places[PLACES];  /* ids of those of its messages that were not sent before */
	uint32_t run;		  /* so many before the one that is looked at are known */
	struct seq_range numbers; /* … and of these so many, the last ones: which they are */
	size_t runs_len, numbers_len;
	uint8_t runs[BATCH_MESSAGES_MAX / 2 * KNOWN_RUN_SIZE + KNOWN_RUN_SIZE];
	uint8_t ranges[BATCH_MESSAGES_MAX * SEQ_RANGE_SIZE];
};

static bool was_sent(
    const struct broker *b, struct queue *q, uint64_t hash, uint64_t dedup_ms, uint64_t *seq)
{
	const struct id *id = q ? ids_find(&q->ids, hash, b->lease_now.ms, dedup_ms) : NULL;
	if (id)
		*seq = id->seq;
	return id;
}

/* Whether another one of the batch has it. */
static bool is_twin(uint64_t *places, uint64_t hash, uint64_t *seq)
{
	uint32_t at = (uint32_t)(hash % PLACES);
	while (places[at] && places[at] != hash)
		at = (at + 1) % PLACES;
	*seq = KNOWN_SENT_WITH;
	bool there = places[at] == hash;
	places[at] = hash;
	return there;
}

static void put_numbers(struct known *k)
{
	struct writer w = writer_of(k->ranges, sizeof(k->ranges));
	w.len = k->numbers_len;
	if (k->numbers.count > 0)
		seq_range_put(&w, &k->numbers);
	k->numbers_len = w.len;
	k->numbers.count = 0;
}

static bool is_number(uint64_t seq)
{
	return seq > 0 && seq != KNOWN_SENT_WITH;
}

/* Message i of the batch is message seq of the queue, if it is known. */
static void known_put(struct known *k, uint32_t i, bool known, uint64_t seq)
{
	struct seq_range *r = &k->numbers;
	struct writer w = writer_of(k->runs, sizeof(k->runs));
	bool follows = is_number(r->first) ? seq == r->first + r->count : seq == r->first;
	if (!known || !follows)
		put_numbers(k);
	if (known && r->count++ == 0)
		r->first = seq;
	w.len = k->runs_len;
	if (!known && k->run > 0) {
		put_u16(&w, (uint16_t)(i - k->run));
		put_u16(&w, (uint16_t)k->run);
	}
	k->runs_len = w.len;
	k->run = known ? k->run + 1 : 0;
}

static void known_send(struct broker *b, struct conn *c, uint64_t n, const struct known *k)
{
	size_t cap = FRAME_SMALL + k->runs_len + k->numbers_len;
	uint8_t *list = memory_new(4 + k->numbers_len), *bytes = memory_new(cap);
	struct writer tags = writer_of(list, 4 + k->numbers_len), w = writer_of(bytes, cap);
	tags_put(&tags, KNOWN_TAG_NUMBERS, slice_of(k->ranges, k->numbers_len));
	wire_put_known(&w, &(struct wire_known){
			       n, slice_of(tags.p, tags.len), slice_of(k->runs, k->runs_len)});
	broker_send(b, c->id, &w);
	free(list);
	free(bytes);
}

static uint64_t dedup_of(const struct queue *q)
{
	return (q ? &q->settings : &broker_default_settings)->more.dedup_ms;
}

bool broker_ids_known(struct broker *b, struct conn *c, uint64_t n, struct queue *q,
    const struct id_hashes *h, uint32_t count)
{
	uint64_t dedup_ms = dedup_of(q);
	if (!h || dedup_ms == 0 || RMQ_VARIANT(IDS_UNCHECKED))
		return false;
	struct known *k = memory_new(sizeof(*k));
	broker_works(b, count / 16 + 1);
	for (uint32_t i = 0; i <= count; i++) {
		uint64_t seq = 0;
		bool known = i < count && h->of[i] &&
			     (was_sent(b, q, h->of[i], dedup_ms, &seq) ||
				 is_twin(k->places, h->of[i], &seq));
		known_put(k, i, known, seq);
	}
	bool any = k->runs_len > 0;
	if (any)
		known_send(b, c, n, k);
	free(k);
	return any;
}

/* ---- how many there may be ---- */

static int ids_compare(const struct queue *a, const struct queue *b)
{
	if (a->ids_due_ms != b->ids_due_ms)
		return a->ids_due_ms < b->ids_due_ms ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

RB_GENERATE(ids_tree, queue, by_ids, ids_compare)

/* When those that came first are too old. */
static uint64_t past(const struct queue *q)
{
	return ids_at(&q->ids, q->ids.first)->ms + dedup_of(q);
}

/*
 * … and an eighth of that time more, at most: so they are forgotten many at a time, and those of many
 * queues together, by few events and records.  A queue that is sent more forgets without.
 */
static uint64_t due(const struct queue *q)
{
	uint64_t step = dedup_of(q) / 8 + 1;
	return (past(q) / step + 1) * step;
}

static void not_due(struct broker *b, struct queue *q)
{
	if (q->ids_due_ms > 0)
		RB_REMOVE(ids_tree, &b->queues_by_ids, q);
	q->ids_due_ms = 0;
}

/* It may be due before some are too old, and never after. */
static void set_due(struct broker *b, struct queue *q)
{
	if (ids_count(&q->ids) == 0) {
		not_due(b, q);
	} else if (q->ids_due_ms == 0 || due(q) < q->ids_due_ms) {
		not_due(b, q);
		q->ids_due_ms = due(q);
		RB_INSERT(ids_tree, &b->queues_by_ids, q);
	}
}

void broker_ids_changed(struct broker *b, struct queue *q, uint32_t before)
{
	uint32_t count = ids_count(&q->ids);
	b->ids_count += count - before;
	q->maker->ids += count - before;
	if (count < before)
		b->ids_forgotten += before - count;
	broker_works(b, (count < before ? before - count : count - before) / 16);
	set_due(b, q);
}

void broker_ids_gone(struct broker *b, struct queue *q)
{
	not_due(b, q);
	b->ids_count -= ids_count(&q->ids);
	q->maker->ids -= ids_count(&q->ids);
	b->ids_forgotten += ids_count(&q->ids);
}

uint32_t broker_ids(const struct broker *b)
{
	return b->ids_count;
}

uint64_t broker_ids_until(const struct broker *b)
{
	const struct queue *q =
	    RB_MIN(ids_tree, (struct ids_tree *)(uintptr_t)&b->queues_by_ids);
	return q ? q->ids_due_ms : UINT64_MAX;
}

void broker_forget_ids(struct broker *b)
{
	uint64_t end = b->work + b->ledger.limits.turn_steps;
	while (b->work < end && broker_ids_until(b) <= b->lease_now.ms) {
		struct queue *q = RB_MIN(ids_tree, &b->queues_by_ids);
		broker_works(b, 1);
		not_due(b, q);
		if (due(q) > b->lease_now.ms)
			set_due(b, q);
		else
			broker_emit_ids_past(b, &(struct event_ids_past){q->id, NO_TAGS});
	}
}

/* Whether the queues of this user remember too many ids if they remember so many more. */
static bool too_many_of_one(const struct owner *maker, uint32_t more)
{
	return owner_known(maker) && maker->ids + more > IDS_OF_ONE;
}

static void fail_full(struct broker *b, struct conn *c, uint64_t n, enum rmq_error code,
    const struct owner *maker, uint32_t more)
{
	char text[TEXT_MAX + 1], title[OWNER_TITLE_SIZE];
	if (too_many_of_one(maker, more))
		snprintf(text, sizeof(text),
		    "the queues of %s remember %u ids, and one %s's may remember %u of "
		    "%u in all: shorten their --dedup, or remove some",
		    owner_title(maker, title), maker->ids, owner_kind(maker), IDS_OF_ONE,
		    IDS_OF_ALL);
	else
		snprintf(text, sizeof(text),
		    "queues remember %u ids, and may remember %u: shorten their --dedup, or "
		    "remove some",
		    b->ids_count, IDS_OF_ALL);
	broker_fail_text(b, c, n, code, text);
}

/* How many more there are if q, which may be NULL, gets so many: its own make room for others. */
static uint32_t rise(const struct queue *q, uint32_t more)
{
	uint32_t room = IDS_MAX - (q ? ids_count(&q->ids) : 0);
	return more < room ? more : room;
}

static bool may_rise(const struct broker *b, const struct owner *maker, uint32_t more)
{
	return more == 0 ||
	       (b->ids_count + more <= IDS_OF_ALL && !too_many_of_one(maker, more));
}

bool broker_ids_fit(struct broker *b, struct conn *c, uint64_t n, struct queue *q,
    const struct id_hashes *h, uint32_t count)
{
	const struct owner *maker = q ? q->maker : c->owner;
	uint32_t more = 0;
	for (uint32_t i = 0; h && i < count; i++)
		more += h->of[i] != 0;
	if (dedup_of(q) == 0 || RMQ_VARIANT(IDS_UNBOUNDED) || may_rise(b, maker, rise(q, more)))
		return true;
	/* It would forget these with the SEND. */
	if (q && ids_count(&q->ids) > 0 && past(q) <= b->lease_now.ms)
		broker_emit_ids_past(b, &(struct event_ids_past){q->id, NO_TAGS});
	more = rise(q, more);
	if (may_rise(b, maker, more))
		return true;
	broker_wait_for_ids(b, c, more);
	fail_full(b, c, n, RMQ_E_FULL, maker, more);
	return false;
}

bool broker_ids_too_many(
    struct broker *b, struct conn *c, uint64_t n, const struct queue *q, uint32_t more)
{
	if (may_rise(b, q->maker, rise(q, more)))
		return false;
	fail_full(b, c, n, RMQ_E_LIMIT, q->maker, more);
	return true;
}

void broker_emit_hashes(
    struct broker *b, const struct queue *q, const struct id_hashes *h, uint32_t count)
{
	uint8_t *bytes, list[TAG_U64_SIZE];
	if (!h || q->settings.more.dedup_ms == 0)
		return;
	bytes = memory_new((size_t)count * 8);
	struct writer w = writer_of(bytes, (size_t)count * 8);
	for (uint32_t i = 0; i < count; i++)
		if (h->of[i])
			put_u64(&w, h->of[i]);
	/* Where some have none, it is not known whose each is. */
	bool each = w.len == 8 * (size_t)count;
	struct slice tags = tags_of_u64(list, IDS_TAG_FIRST, each ? q->next_seq - count : 0);
	broker_emit_ids(b, &(struct event_ids){q->id, tags, slice_of(w.p, w.len)});
	free(bytes);
}
