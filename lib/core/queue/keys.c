#include "core/queue/keys.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

#include "core/base/memory.h"
#include "core/base/variant.h"
#include "core/queue/queue.h"

#define BUCKETS_MIN 16

struct key {
	RB_ENTRY(key) in_bucket;
	uint64_t hash;
	uint64_t oldest;
	uint64_t newest;
	struct link *last; /* of `newest` */
};

/* A message. */
struct link {
	struct key *key; /* NULL: it has none, or is gone */
	uint64_t prev;	 /* of its key; 0: it is the oldest */
	uint64_t next;	 /* 0: it is the newest */
};

struct keyed {
	RB_ENTRY(keyed) by_seq;
	uint64_t first;
	uint32_t count;
	uint32_t chained; /* in some chain */
	struct link link[];
};

/* A hash may be made up by a sender: a bucket is a tree. */
RB_HEAD(key_tree, key);
RB_HEAD(keyed_tree, keyed);

struct keys {
	struct keyed_tree runs;
	struct keyed *recent;
	struct key_tree *buckets;
	size_t buckets_count; /* a power of 2 */
	size_t count;
};

static int key_compare(const struct key *a, const struct key *b)
{
	return a->hash < b->hash ? -1 : a->hash > b->hash;
}

static int keyed_compare(const struct keyed *a, const struct keyed *b)
{
	return a->first < b->first ? -1 : a->first > b->first;
}

RB_PROTOTYPE(key_tree, key, in_bucket, key_compare)
RB_PROTOTYPE(keyed_tree, keyed, by_seq, keyed_compare)
RB_GENERATE(key_tree, key, in_bucket, key_compare)
RB_GENERATE(keyed_tree, keyed, by_seq, keyed_compare)

uint64_t keys_hash(struct slice key)
{
	uint64_t hash = XXH3_64bits(key.data, key.len);
	return hash ? hash : 1;
}

/* ---- the table ---- */

static struct key_tree *bucket(const struct keys *k, uint64_t hash)
{
	return &k->buckets[hash & (k->buckets_count - 1)];
}

static void grow(struct keys *k)
{
	size_t before = k->buckets_count;
	struct key_tree *old = k->buckets;
	struct key *key;
	k->buckets_count = before ? 2 * before : BUCKETS_MIN;
	k->buckets = memory_new(k->buckets_count * sizeof(*k->buckets));
	for (size_t i = 0; i < before; i++) {
		while ((key = RB_ROOT(&old[i]))) {
			RB_REMOVE(key_tree, &old[i], key);
			RB_INSERT(key_tree, bucket(k, key->hash), key);
		}
	}
	free(old);
}

static struct key *find(const struct keys *k, uint64_t hash)
{
	struct key *key = k ? RB_ROOT(bucket(k, hash)) : NULL;
	while (key && key->hash != hash)
		key = hash < key->hash ? RB_LEFT(key, in_bucket) : RB_RIGHT(key, in_bucket);
	return key;
}

static struct key *find_or_add(struct keys *k, uint64_t hash)
{
	struct key *key = find(k, hash);
	if (key)
		return key;
	if (k->count >= k->buckets_count)
		grow(k);
	key = memory_new(sizeof(*key));
	key->hash = hash;
	RB_INSERT(key_tree, bucket(k, hash), key);
	k->count++;
	return key;
}

/* ---- messages ---- */

static struct keyed *run_from(struct queue *q, uint64_t seq)
{
	struct keyed *r = q->keys ? q->keys->recent : NULL, *found = NULL;
	if (r && r->first <= seq && seq < r->first + r->count)
		return r;
	r = q->keys ? RB_ROOT(&q->keys->runs) : NULL;
	while (r) {
		if (r->first + r->count > seq) {
			found = r;
			r = RB_LEFT(r, by_seq);
		} else {
			r = RB_RIGHT(r, by_seq);
		}
	}
	if (found)
		q->keys->recent = found;
	return found;
}

static struct link *link_of(struct queue *q, uint64_t seq)
{
	struct keyed *r = run_from(q, seq);
	struct link *l = r && r->first <= seq ? &r->link[seq - r->first] : NULL;
	return l && l->key ? l : NULL;
}

static struct keyed *run_new(struct queue *q, uint64_t first, uint32_t count)
{
	struct keyed *r = memory_new(sizeof(*r) + count * sizeof(r->link[0]));
	r->first = first;
	r->count = count;
	RB_INSERT(keyed_tree, &q->keys->runs, r);
	q->ledger->part_bytes += KEYS_PART_MAX + 8 * (uint64_t)count;
	return r;
}

/* Links [from, to) of a run, each in a chain, are a run of their own. */
static void run_piece(struct queue *q, const struct keyed *old, uint32_t from, uint32_t to)
{
	struct keyed *r = run_new(q, old->first + from, to - from);
	r->chained = r->count;
	for (uint32_t i = 0; i < r->count; i++) {
		const struct link *l = &old->link[from + i];
		r->link[i] = *l;
		if (l->key->last == l)
			l->key->last = &r->link[i];
	}
}

/* Runs without gaps take less than one of which less than one message in SPARSE is in a chain. */
#define SPARSE 8

/* Messages of r have left their chains: it is cut if few are left, and is gone with the last one. */
static void run_look(struct queue *q, struct keyed *r)
{
	if (r->chained * SPARSE >= r->count)
		return;
	RB_REMOVE(keyed_tree, &q->keys->runs, r);
	if (q->keys->recent == r)
		q->keys->recent = NULL;
	q->ledger->part_bytes -= KEYS_PART_MAX + 8 * (uint64_t)r->count;
	for (uint32_t i = 0, to; r->chained > 0 && i < r->count; i = to + 1) {
		for (to = i; to < r->count && r->link[to].key; to++)
			;
		if (to > i)
			run_piece(q, r, i, to);
	}
	free(r);
}

static void chain(struct keys *k, struct keyed *r, uint32_t i, uint64_t hash)
{
	struct key *key = find_or_add(k, hash);
	uint64_t seq = r->first + i;
	if (key->last && seq <= key->newest)
		return;
	if (key->last)
		key->last->next = seq;
	else
		key->oldest = seq;
	r->link[i] = (struct link){key, key->newest, 0};
	key->newest = seq;
	key->last = &r->link[i];
	r->chained++;
}

void keys_add(struct queue *q, uint64_t first, uint32_t count, const uint64_t *hashes)
{
	uint32_t i = 0;
	while (i < count && hashes[i] == 0)
		i++;
	if (i == count || RMQ_VARIANT(KEYS_UNSEEN))
		return;
	if (!q->keys) {
		q->keys = memory_new(sizeof(*q->keys));
		RB_INIT(&q->keys->runs);
		grow(q->keys);
	}
	struct keyed *r = run_new(q, first, count);
	for (; i < count; i++)
		if (hashes[i] > 0)
			chain(q->keys, r, i, hashes[i]);
	run_look(q, r);
}

uint64_t keys_of(struct queue *q, uint64_t seq)
{
	const struct link *l = link_of(q, seq);
	return l ? l->key->hash : 0;
}

bool keys_wait(struct queue *q, uint64_t seq)
{
	const struct link *l = link_of(q, seq);
	return l && l->key->oldest != seq;
}

static void key_free(struct keys *k, struct key *key)
{
	RB_REMOVE(key_tree, bucket(k, key->hash), key);
	k->count--;
	free(key);
}

/* Takes l, a link of run r, out of its chain.  The key's oldest message if that is another one now; 0: not. */
static uint64_t unchain(struct queue *q, struct keyed *r, struct link *l)
{
	struct key *key = l->key;
	struct link *prev = l->prev > 0 ? link_of(q, l->prev) : NULL;
	struct link *next = l->next > 0 ? link_of(q, l->next) : NULL;
	uint64_t oldest = prev ? 0 : l->next;
	if (prev)
		prev->next = l->next;
	else
		key->oldest = l->next;
	if (next)
		next->prev = l->prev;
	else
		key->newest = l->prev;
	if (!next)
		key->last = prev;
	if (!prev && !next)
		key_free(q->keys, key);
	l->key = NULL;
	r->chained--;
	return oldest;
}

uint64_t *keys_leave(struct queue *q, uint64_t first, uint64_t end, size_t *count)
{
	uint64_t *oldest = NULL;
	size_t cap = 0;
	struct keyed *r = run_from(q, first), *next;
	*count = 0;
	for (; r && r->first < end; r = next) {
		uint64_t at = first > r->first ? first : r->first;
		uint64_t stop = r->first + r->count < end ? r->first + r->count : end;
		for (; at < stop && r->chained > 0; at++) {
			struct link *l = &r->link[at - r->first];
			uint64_t now = l->key ? unchain(q, r, l) : 0;
			/* It may leave as well. */
			if (now < end)
				continue;
			oldest = memory_grow(oldest, *count, &cap, sizeof(*oldest));
			oldest[(*count)++] = now;
		}
		next = RB_NEXT(keyed_tree, NULL, r);
		run_look(q, r);
	}
	return oldest;
}

void keys_tidy(struct queue *q)
{
	if (!q->keys || q->keys->count > 0)
		return;
	assert(RB_EMPTY(&q->keys->runs));
	free(q->keys->buckets);
	free(q->keys);
	q->keys = NULL;
}

uint64_t keys_oldest(struct queue *q, uint64_t hash)
{
	const struct key *key = find(q->keys, hash);
	return key ? key->oldest : 0;
}

uint64_t keys_newest(struct queue *q, uint64_t hash)
{
	const struct key *key = find(q->keys, hash);
	return key ? key->newest : 0;
}

uint64_t keys_next(struct queue *q, uint64_t seq)
{
	const struct keyed *r = run_from(q, seq);
	return r->link[seq - r->first].next;
}

uint64_t keys_run(struct queue *q, uint64_t from, uint64_t to, uint32_t most, uint64_t *end)
{
	struct keyed *r = run_from(q, from);
	for (; r && r->first < to; r = RB_NEXT(keyed_tree, NULL, r)) {
		uint64_t at = from > r->first ? from : r->first, stop = r->first + r->count;
		if (stop > to)
			stop = to;
		while (at < stop && !r->link[at - r->first].key)
			at++;
		if (at == stop)
			continue;
		*end = stop - at > most ? at + most : stop;
		return at;
	}
	return 0;
}
