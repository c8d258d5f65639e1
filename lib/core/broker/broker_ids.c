/*
 * Messages with ids: one that was sent to the queue before is not stored again.  A SEND with some of
 * them is refused, and its client sends the others: a refusal needs no memory, and what was taken is
 * known by its number.  The hashes of what is stored are in the record of the messages.
 */
#include "core/broker/broker_state.h"

#include <xxhash.h>

#include "core/base/memory.h"
#include "core/base/variant.h"

/* Those of one SEND: open addressing, twice as many places. */
#define PLACES (2 * BATCH_MESSAGES_MAX)

/* Nobody can choose an id that has the hash of another. */
static uint64_t hash_of(const struct broker *b, struct slice id)
{
	uint64_t hash = XXH3_64bits_withSeed(id.data, id.len, load_u64(b->secret));
	return hash ? hash : 1;
}

uint64_t broker_id_hash(const struct broker *b, struct slice attributes, uint32_t i)
{
	struct slice id;
	return attributes_find(attributes, ATTRIBUTE_ID, i, &id) ? hash_of(b, id) : 0;
}

struct id_hashes *broker_ids_of(const struct broker *b, struct slice attributes, uint32_t count)
{
	struct attribute_cursor cursor = {0};
	struct slice id;
	if (!attributes_has(attributes, ATTRIBUTE_ID))
		return NULL;
	struct id_hashes *h = memory_new(sizeof(*h));
	for (uint32_t i = 0; i < count; i++)
		if (attributes_next(&cursor, attributes, ATTRIBUTE_ID, i, &id))
			h->of[i] = hash_of(b, id);
	return h;
}

/* Whether it is there already; it is then. */
static bool place(uint64_t *places, uint64_t hash)
{
	uint32_t at = (uint32_t)(hash % PLACES);
	while (places[at] && places[at] != hash)
		at = (at + 1) % PLACES;
	bool there = places[at] == hash;
	places[at] = hash;
	return there;
}

bool broker_ids_known(struct broker *b, struct conn *c, uint64_t n, struct queue *q,
    const struct id_hashes *h, uint32_t count)
{
	uint64_t dedup_ms =
	    q ? q->settings.more.dedup_ms : broker_default_settings.more.dedup_ms;
	if (!h || dedup_ms == 0 || RMQ_VARIANT(IDS_UNCHECKED))
		return false;
	uint64_t *places = memory_new(PLACES * sizeof(*places));
	size_t cap = 64 + (size_t)count * KNOWN_RUN_SIZE;
	uint8_t *list = memory_new(cap), *bytes = memory_new(cap);
	struct writer runs = writer_of(list, cap), w = writer_of(bytes, cap);
	uint32_t run = 0;
	broker_works(b, count / 16 + 1);
	for (uint32_t i = 0; i <= count; i++) {
		bool known = i < count && h->of[i] &&
			     ((q && ids_find(&q->ids, h->of[i], b->lease_now.ms, dedup_ms)) ||
				 place(places, h->of[i]));
		if (!known && run > 0) {
			put_u16(&runs, (uint16_t)(i - run));
			put_u16(&runs, (uint16_t)run);
		}
		run = known ? run + 1 : 0;
	}
	if (runs.len > 0) {
		wire_put_known(
		    &w, &(struct wire_known){n, NO_TAGS, slice_of(runs.p, runs.len)});
		broker_send(b, c->id, &w);
	}
	bool any = runs.len > 0;
	free(places);
	free(list);
	free(bytes);
	return any;
}

void broker_emit_hashes(
    struct broker *b, const struct queue *q, const struct id_hashes *h, uint32_t count)
{
	uint8_t *bytes;
	if (!h || q->settings.more.dedup_ms == 0)
		return;
	bytes = memory_new((size_t)count * 8);
	struct writer w = writer_of(bytes, (size_t)count * 8);
	for (uint32_t i = 0; i < count; i++)
		if (h->of[i])
			put_u64(&w, h->of[i]);
	broker_emit_ids(b, &(struct event_ids){q->id, NO_TAGS, slice_of(w.p, w.len)});
	free(bytes);
}
