#include "core/queue/ids.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "core/base/limits.h"
#include "core/base/memory.h"

#define ID_PART_MAX 25 /* its entry, and of what stands before the entries */
#define PLACES_MIN  8
#define NUMBER_MID  (1u << 31)

void ids_init(struct ids *ids, uint64_t *part_bytes)
{
	*ids = (struct ids){.first = NUMBER_MID, .end = NUMBER_MID, .part_bytes = part_bytes};
}

void ids_deinit(struct ids *ids)
{
	*ids->part_bytes -= ID_PART_MAX * (uint64_t)ids_count(ids);
	free(ids->ring);
}

static bool is_there(const struct ids *ids, uint32_t n)
{
	return n - ids->first < ids_count(ids);
}

static uint32_t place_of(const struct ids *ids, uint32_t n)
{
	return n & (ids->places - 1);
}

/*
 * Hashes that come from another cell may be anybody's choice, but not so that their chains are one: where the
 * ring is in memory nobody is told.
 */
static uint32_t *chain_of(const struct ids *ids, uint64_t hash)
{
	uint64_t mixed = XXH3_64bits_withSeed(&hash, sizeof(hash), (uintptr_t)ids->ring);
	return &ids->newest[mixed & (ids->places - 1)];
}

static void put_newest(struct ids *ids, uint32_t n, struct id id)
{
	uint32_t *chain = chain_of(ids, id.hash);
	ids->ring[place_of(ids, n)] = id;
	ids->older[place_of(ids, n)] = *chain;
	*chain = n;
}

/* Not the number of an id while n is that of one. */
static uint32_t none_near(uint32_t n)
{
	return n - NUMBER_MID / 2;
}

/* Each number in a chain is lower than the one before: so chains end. */
static void resize(struct ids *ids, uint32_t places)
{
	struct ids old = *ids;
	ids->ring = memory_new(places * (sizeof(struct id) + 2 * sizeof(uint32_t)));
	ids->older = (uint32_t *)(void *)(ids->ring + places);
	ids->newest = ids->older + places;
	ids->places = places;
	for (uint32_t i = 0; i < places; i++)
		ids->newest[i] = none_near(ids->first);
	for (uint32_t n = old.first; n != old.end; n++)
		put_newest(ids, n, *ids_at(&old, n));
	free(old.ring);
}

static void make_room(struct ids *ids)
{
	if (ids_count(ids) == ids->places)
		resize(ids, ids->places > 0 ? 2 * ids->places : PLACES_MIN);
}

static const struct id *find(const struct ids *ids, uint64_t hash)
{
	if (!ids->ring)
		return NULL;
	uint32_t n = *chain_of(ids, hash);
	while (is_there(ids, n) && ids_at(ids, n)->hash != hash)
		n = ids->older[place_of(ids, n)];
	return is_there(ids, n) ? ids_at(ids, n) : NULL;
}

const struct id *ids_find(
    const struct ids *ids, uint64_t hash, uint64_t now_ms, uint64_t dedup_ms)
{
	const struct id *id = find(ids, hash);
	return id && now_ms - id->ms < dedup_ms ? id : NULL;
}

static void forget_oldest(struct ids *ids)
{
	ids->first++;
	*ids->part_bytes -= ID_PART_MAX;
}

void ids_forget(struct ids *ids, uint64_t now_ms, uint64_t dedup_ms)
{
	uint32_t places = ids->places;
	while (ids_count(ids) > 0 && now_ms - ids_at(ids, ids->first)->ms >= dedup_ms)
		forget_oldest(ids);
	if (ids_count(ids) == 0) {
		free(ids->ring);
		ids->ring = NULL;
		ids->places = 0;
		return;
	}
	/* There is time until it grows or shrinks again. */
	while (places > PLACES_MIN && ids_count(ids) < places / 8 * 3)
		places /= 2;
	if (places < ids->places)
		resize(ids, places);
}

bool ids_add(struct ids *ids, struct id id)
{
	bool full = ids_count(ids) >= IDS_MAX;
	if (full)
		forget_oldest(ids);
	make_room(ids);
	put_newest(ids, ids->end++, id);
	*ids->part_bytes += ID_PART_MAX;
	return full;
}

void ids_add_older(struct ids *ids, struct id id)
{
	if (ids_count(ids) >= IDS_MAX || find(ids, id.hash))
		return;
	make_room(ids);
	uint32_t n = ids->first - 1, *at = chain_of(ids, id.hash);
	while (is_there(ids, *at))
		at = &ids->older[place_of(ids, *at)];
	ids->older[place_of(ids, n)] = none_near(n);
	ids->ring[place_of(ids, n)] = id;
	*at = n;
	ids->first = n;
	*ids->part_bytes += ID_PART_MAX;
}
