/*
 * The map: keys with values, and a version for each change.  Versions are counted over all keys and
 * never used twice, so that a key that was deleted and made again has another one.  Deletions are
 * remembered as long as they are among the newest KV_DELETED changes: which are follows from the number of
 * the newest one, so every recovery has the same.
 */
#ifndef RMQ_CORE_QUEUE_KV_H
#define RMQ_CORE_QUEUE_KV_H

#include <sys/tree.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/codec.h"
#include "core/base/limits.h"
#include "core/queue/owner.h"

struct kv_entry {
	RB_ENTRY(kv_entry) by_key;
	RB_ENTRY(kv_entry) by_version;
	uint64_t version;    /* of its newest change */
	struct owner *maker; /* who put it; NULL: it is deleted */
	uint32_t len;	     /* of its value */
	uint8_t key_len;
	bool deleted;	 /* … by which it went */
	uint8_t bytes[]; /* key, value */
};

RB_HEAD(kv_key_tree, kv_entry);
RB_HEAD(kv_version_tree, kv_entry);

struct kv {
	struct kv_key_tree by_key;
	struct kv_version_tree by_version;
	uint64_t version;     /* of the newest change; 0: there was none */
	uint32_t keys;	      /* that are there */
	uint64_t bytes;	      /* of these and their values */
	uint64_t *part_bytes; /* what all takes in a checkpoint, at most, is added here */
	struct owner_tree *owners;
};

void kv_init(struct kv *m, struct owner_tree *owners, uint64_t *part_bytes);
void kv_deinit(struct kv *m);

static inline struct slice kv_key(const struct kv_entry *e)
{
	return slice_of(e->bytes, e->key_len);
}

static inline struct slice kv_value(const struct kv_entry *e)
{
	return slice_of(e->bytes + e->key_len, e->len);
}

/* Bytes that it takes of KV_BYTES_MAX. */
static inline uint64_t kv_size(const struct kv_entry *e)
{
	return e->deleted ? 0 : (uint64_t)e->key_len + e->len;
}

/* The entry of a key that is there, or (also_deleted) was deleted; or NULL. */
const struct kv_entry *kv_find(const struct kv *m, struct slice key, bool also_deleted);
/* The entry whose newest change is the first one after `version`; or NULL. */
const struct kv_entry *kv_after(const struct kv *m, uint64_t version);
const struct kv_entry *kv_next(const struct kv_entry *e);

/* Up to which version deletions may be forgotten. */
uint64_t kv_forgotten(const struct kv *m);

/* The newest change has this version, which never goes back. */
void kv_count(struct kv *m, uint64_t version);
/*
 * The key has this value (borrowed), or is deleted, since that change, which no other one has the version
 * of.  Takes the use of the owner.
 */
void kv_put(
    struct kv *m, uint64_t version, struct slice key, struct slice value, struct owner *maker);
void kv_delete(struct kv *m, uint64_t version, struct slice key);
/* More of the value that was put with that version; false: there is none, or it would be too long. */
bool kv_append(struct kv *m, uint64_t version, struct slice more);

#endif
