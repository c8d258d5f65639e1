#include "core/queue/ids.h"

#include <stdlib.h>

#include "core/base/limits.h"
#include "core/base/memory.h"

#define ID_PART_MAX 25 /* its entry, and of what stands before the entries */

static int id_compare(const struct id *a, const struct id *b)
{
	return a->hash < b->hash ? -1 : a->hash > b->hash;
}

RB_PROTOTYPE(id_tree, id, by_hash, id_compare)
RB_GENERATE(id_tree, id, by_hash, id_compare)

void ids_init(struct ids *ids, uint64_t *part_bytes)
{
	RB_INIT(&ids->by_hash);
	TAILQ_INIT(&ids->by_age);
	ids->count = 0;
	ids->part_bytes = part_bytes;
}

static void forget(struct ids *ids, struct id *id)
{
	RB_REMOVE(id_tree, &ids->by_hash, id);
	TAILQ_REMOVE(&ids->by_age, id, by_age);
	*ids->part_bytes -= ID_PART_MAX;
	ids->count--;
	free(id);
}

void ids_deinit(struct ids *ids)
{
	struct id *id;
	while ((id = TAILQ_FIRST(&ids->by_age)))
		forget(ids, id);
}

static struct id *find(struct ids *ids, uint64_t hash)
{
	struct id wanted = {.hash = hash};
	return RB_FIND(id_tree, &ids->by_hash, &wanted);
}

const struct id *ids_find(struct ids *ids, uint64_t hash, uint64_t now_ms, uint64_t dedup_ms)
{
	const struct id *id = find(ids, hash);
	return id && now_ms - id->ms < dedup_ms ? id : NULL;
}

void ids_add(struct ids *ids, uint64_t hash, uint64_t ms, uint64_t seq, uint64_t dedup_ms)
{
	struct id *id = find(ids, hash);
	if (id)
		forget(ids, id);
	while ((id = TAILQ_FIRST(&ids->by_age)) &&
	       (ids->count >= IDS_MAX || ms - id->ms >= dedup_ms))
		forget(ids, id);
	id = memory_new(sizeof(*id));
	id->hash = hash;
	id->ms = ms;
	id->seq = seq;
	RB_INSERT(id_tree, &ids->by_hash, id);
	TAILQ_INSERT_TAIL(&ids->by_age, id, by_age);
	*ids->part_bytes += ID_PART_MAX;
	ids->count++;
}
