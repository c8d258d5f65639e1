#include "settling.h"

#include <stdlib.h>
#include <string.h>

bool settling_add(struct settling *b, uint64_t lease, uint64_t first, uint32_t count)
{
	struct settle_entry *last = b->count > 0 ? &b->entries[b->count - 1] : NULL;
	if (count == 0)
		return true;
	if (last && last->lease == lease && last->first + last->count == first) {
		last->count += count;
		return true;
	}
	if (b->count == b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 64;
		struct settle_entry *entries = realloc(b->entries, cap * sizeof(*entries));
		if (!entries)
			return false;
		b->entries = entries;
		b->cap = cap;
	}
	b->entries[b->count++] = (struct settle_entry){lease, first, count};
	return true;
}

bool settling_flush(
    struct settling *b, struct client *c, struct slice queue, struct mono_time now, void *tag)
{
	size_t at = 0;
	while (at < b->count && client_has_room(c)) {
		size_t n = b->count - at;
		if (n > SETTLE_ENTRIES_MAX)
			n = SETTLE_ENTRIES_MAX;
		struct client_settlement s = {.queue = queue,
		    .verb = b->verb,
		    .flags = b->flags,
		    .ms = b->ms,
		    .why = slice_str(b->why ? b->why : "")};
		if (at + n == b->count)
			s.tag = tag;
		client_settle(c, now, &s, b->entries + at, (uint32_t)n);
		at += n;
	}
	b->count -= at;
	memmove(b->entries, b->entries + at, b->count * sizeof(*b->entries));
	return b->count == 0;
}
