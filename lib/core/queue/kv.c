#include "core/queue/kv.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"

/* Of an entry in a checkpoint besides key and value, at most; and of each further piece of the value. */
#define KV_PART_MAX	 48 /* and the name of its maker's node */
#define KV_PART_MORE_MAX 14

static int by_key(const struct kv_entry *a, const struct kv_entry *b)
{
	return slice_cmp(kv_key(a), kv_key(b));
}

static int by_version(const struct kv_entry *a, const struct kv_entry *b)
{
	return a->version < b->version ? -1 : a->version > b->version;
}

RB_PROTOTYPE(kv_key_tree, kv_entry, by_key, by_key)
RB_PROTOTYPE(kv_version_tree, kv_entry, by_version, by_version)
RB_GENERATE(kv_key_tree, kv_entry, by_key, by_key)
RB_GENERATE(kv_version_tree, kv_entry, by_version, by_version)

void kv_init(struct kv *m, struct owner_tree *owners, uint64_t *part_bytes)
{
	*m = (struct kv){.part_bytes = part_bytes, .owners = owners};
	RB_INIT(&m->by_key);
	RB_INIT(&m->by_version);
}

static uint64_t part_max(const struct kv_entry *e)
{
	return KV_PART_MAX + (e->maker ? e->maker->node_len : 0u) + e->key_len + e->len +
	       (uint64_t)(e->len / KV_PIECE_MAX) * KV_PART_MORE_MAX;
}

static void add(struct kv *m, struct kv_entry *e)
{
	RB_INSERT(kv_key_tree, &m->by_key, e);
	RB_INSERT(kv_version_tree, &m->by_version, e);
	m->keys += !e->deleted;
	m->bytes += kv_size(e);
	if (e->maker) {
		e->maker->kv_keys++;
		e->maker->kv_bytes += kv_size(e);
	}
	*m->part_bytes += part_max(e);
}

static void drop(struct kv *m, struct kv_entry *e)
{
	RB_REMOVE(kv_key_tree, &m->by_key, e);
	RB_REMOVE(kv_version_tree, &m->by_version, e);
	m->keys -= !e->deleted;
	m->bytes -= kv_size(e);
	if (e->maker) {
		e->maker->kv_keys--;
		e->maker->kv_bytes -= kv_size(e);
	}
	*m->part_bytes -= part_max(e);
}

static void end(struct kv *m, struct kv_entry *e)
{
	drop(m, e);
	if (e->maker)
		owner_drop(m->owners, e->maker);
	free(e);
}

void kv_deinit(struct kv *m)
{
	struct kv_entry *e;
	while ((e = RB_ROOT(&m->by_version)))
		end(m, e);
}

static struct kv_entry *find(const struct kv *m, struct slice key)
{
	struct kv_entry *e = RB_ROOT(&m->by_key);
	while (e) {
		int order = slice_cmp(key, kv_key(e));
		if (order == 0)
			return e;
		e = order < 0 ? RB_LEFT(e, by_key) : RB_RIGHT(e, by_key);
	}
	return NULL;
}

const struct kv_entry *kv_find(const struct kv *m, struct slice key, bool also_deleted)
{
	const struct kv_entry *e = find(m, key);
	return e && e->deleted && !also_deleted ? NULL : e;
}

static struct kv_entry *after(const struct kv *m, uint64_t version)
{
	struct kv_entry *e = RB_ROOT(&m->by_version), *found = NULL;
	while (e) {
		bool later = e->version > version;
		if (later)
			found = e;
		e = later ? RB_LEFT(e, by_version) : RB_RIGHT(e, by_version);
	}
	return found;
}

const struct kv_entry *kv_after(const struct kv *m, uint64_t version)
{
	return after(m, version);
}

const struct kv_entry *kv_next(const struct kv_entry *e)
{
	struct kv_entry *at = (struct kv_entry *)(uintptr_t)e;
	return RB_NEXT(kv_version_tree, NULL, at);
}

uint64_t kv_forgotten(const struct kv *m)
{
	return m->version > KV_DELETED ? m->version - KV_DELETED : 0;
}

/* Deletions between these versions are too old now. */
static void forget(struct kv *m, uint64_t from, uint64_t to)
{
	struct kv_entry *e = from < to ? after(m, from) : NULL, *next;
	for (; e && e->version <= to; e = next) {
		next = RB_NEXT(kv_version_tree, &m->by_version, e);
		if (!e->deleted)
			continue;
		end(m, e);
	}
}

void kv_count(struct kv *m, uint64_t version)
{
	uint64_t before = kv_forgotten(m);
	if (version <= m->version)
		return;
	m->version = version;
	forget(m, before, kv_forgotten(m));
}

static void set(
    struct kv *m, uint64_t version, struct slice key, struct slice value, struct owner *maker)
{
	struct kv_entry *old = find(m, key);
	struct kv_entry *e = memory_new(sizeof(*e) + key.len + value.len);
	e->version = version;
	e->key_len = (uint8_t)key.len;
	e->len = (uint32_t)value.len;
	e->deleted = maker == NULL;
	e->maker = maker;
	memcpy(e->bytes, key.data, key.len);
	if (value.len > 0)
		memcpy(e->bytes + key.len, value.data, value.len);
	if (old)
		end(m, old);
	add(m, e);
	kv_count(m, version);
}

void kv_put(
    struct kv *m, uint64_t version, struct slice key, struct slice value, struct owner *maker)
{
	set(m, version, key, value, maker);
}

void kv_delete(struct kv *m, uint64_t version, struct slice key)
{
	if (version > kv_forgotten(m))
		set(m, version, key, slice_of(NULL, 0), NULL);
}

bool kv_append(struct kv *m, uint64_t version, struct slice more)
{
	struct kv_entry *old = after(m, version - 1);
	if (!old || old->version != version || old->deleted ||
	    more.len > KV_VALUE_MAX - old->len)
		return false;
	size_t head = (size_t)old->key_len + old->len;
	struct kv_entry *e = memory_new(sizeof(*e) + head + more.len);
	memcpy(e, old, sizeof(*e) + head);
	if (more.len > 0)
		memcpy(e->bytes + head, more.data, more.len);
	e->len += (uint32_t)more.len;
	drop(m, old);
	free(old);
	add(m, e);
	return true;
}
