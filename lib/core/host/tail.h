/*
 * The newest records of the log, in memory: what peers need next, mostly, and what is not on
 * disk yet.  At most TAIL_BYTES of payloads; records without a gap between them.
 *
 * It also tells how many bytes of payloads the log holds after an index: exactly for the records
 * here; for TAIL_MARKS times TAIL_MARK_BYTES before them, at most TAIL_MARK_BYTES and a record too
 * many.  What was appended before tail_begin() is not known.
 */
#ifndef RMQ_CORE_HOST_TAIL_H
#define RMQ_CORE_HOST_TAIL_H

#include "core/base/limits.h"
#include "core/host/chunk.h"

#define TAIL_BYTES	LIMIT(8u << 20, 20000u)
#define TAIL_RECORDS	65536u /* a power of two */
#define TAIL_MARK_BYTES LIMIT(64u << 10, 1000u)
#define TAIL_MARKS	16384u /* a power of two */

struct tail_record {
	struct piece piece;
	uint64_t total; /* as of tail, up to this one */
	uint8_t kind;	/* TAIL_HOLE: it has become a hole */
};
#define TAIL_HOLE 0

/* Up to record `index`, so many bytes of payloads. */
struct tail_mark {
	uint64_t index;
	uint64_t total;
};

struct tail {
	uint64_t first; /* index of the oldest; the next one's if there is none */
	uint64_t end;	/* after the newest */
	uint64_t total; /* bytes of payloads since tail_begin(); without what was truncated */
	uint64_t bytes; /* held now */
	struct tail_record *ring;
	/* Of what is not held any more, in a ring. */
	uint64_t marks_first, marks_end;
	struct tail_mark *marks;
};

void tail_init(struct tail *t);
void tail_deinit(struct tail *t);

/* Nothing is held or known of the log, which is `last` records long. */
void tail_begin(struct tail *t, uint64_t last);

/* A record at `index`, which is kept if it follows the newest, else it is the only one. */
void tail_push(struct tail *t, uint64_t index, uint8_t kind, struct piece piece);
/* Drops all from `index` on. */
void tail_truncate(struct tail *t, uint64_t index);

/* These records, as far as they are here, have become holes; their bytes still count. */
void tail_dig(struct tail *t, uint64_t first, uint32_t count);

/* NULL: it is not here. */
const struct tail_record *tail_get(const struct tail *t, uint64_t index);

/* Bytes of payloads after record `index`; UINT64_MAX: not known. */
uint64_t tail_bytes_after(const struct tail *t, uint64_t index);

#endif
