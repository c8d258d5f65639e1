/*
 * The newest records of the log, in memory: what peers need next, mostly, and what is not on
 * disk yet.  At most TAIL_BYTES of payloads; records without a gap between them.
 */
#ifndef RMQ_CORE_HOST_TAIL_H
#define RMQ_CORE_HOST_TAIL_H

#include "core/host/chunk.h"

#define TAIL_BYTES   (8u << 20)
#define TAIL_RECORDS 65536u /* a power of two */

struct tail_record {
	struct piece piece;
	uint64_t behind; /* bytes of payloads in the log's tail up to this one, ever */
	uint8_t kind;
};

struct tail {
	uint64_t first; /* index of the oldest; the next one's if there is none */
	uint64_t end;	/* behind the newest */
	uint64_t total; /* bytes of payloads, ever; without what was truncated */
	uint64_t bytes; /* held now */
	struct tail_record *ring;
};

void tail_init(struct tail *t);
void tail_deinit(struct tail *t);

/* A record at `index`, which is kept if it follows the newest, else it is the only one. */
void tail_push(struct tail *t, uint64_t index, uint8_t kind, struct piece piece);
/* Drops all from `index` on. */
void tail_truncate(struct tail *t, uint64_t index);

/* NULL: it is not here. */
const struct tail_record *tail_get(const struct tail *t, uint64_t index);

/* Bytes of payloads behind record `index`, as far as they are known. */
uint64_t tail_bytes_behind(const struct tail *t, uint64_t index);

#endif
