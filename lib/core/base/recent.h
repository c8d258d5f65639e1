/*
 * The objects looked up lately, by the low bits of their ids: a cache for a tree with
 * many objects that are used in turn.  Consecutive ids do not displace each other.
 */
#ifndef RMQ_CORE_BASE_RECENT_H
#define RMQ_CORE_BASE_RECENT_H

#include <stdint.h>
#include <stddef.h>

#define RECENT_SLOTS 1024

struct recent {
	struct {
		uint64_t id;
		void *object; /* borrowed, or NULL */
	} slot[RECENT_SLOTS];
};

/* The object, or NULL: it may exist all the same. */
static inline void *recent_find(const struct recent *r, uint64_t id)
{
	size_t i = id % RECENT_SLOTS;
	return r->slot[i].id == id ? r->slot[i].object : NULL;
}

static inline void recent_put(struct recent *r, uint64_t id, void *object)
{
	r->slot[id % RECENT_SLOTS].id = id;
	r->slot[id % RECENT_SLOTS].object = object;
}

/* Before the object is freed. */
static inline void recent_drop(struct recent *r, uint64_t id)
{
	if (recent_find(r, id))
		recent_put(r, id, NULL);
}

#endif
