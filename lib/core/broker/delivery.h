/*
 * Deliveries: messages that the queue core wants written to a connection, as a place in the
 * journal, and the frames made of them.  DELIVER and PEEKED frames carry slices of a stored
 * batch as they are, with their attributes written anew, DELIVER_PART and PEEKED_PART a piece
 * of a large one.
 */
#ifndef RMQ_CORE_BROKER_DELIVERY_H
#define RMQ_CORE_BROKER_DELIVERY_H

#include "core/wire/event.h"

struct delivery {
	bool history;	 /* nothing else counts: broker_history() */
	bool peek;	 /* PEEKED frames, else DELIVER */
	bool large;	 /* one piece of a large message */
	uint8_t state;	 /* peek: STATE_* */
	uint32_t target; /* number of the subscription, or of the request */
	uint32_t count;	 /* messages from first_seq on */
	uint64_t first_seq;
	uint64_t lease;
	uint64_t stamp; /* peek: until_ms */
	uint32_t attempt;
	uint32_t failures;
	uint64_t time_ms;  /* large: when it was sent; else the record says */
	struct slice note; /* of each; borrowed from the broker until the next delivery */
	struct slice tags; /* peek: tagged fields after the attributes; borrowed likewise */
	/* where: in record `index` */
	uint64_t index;
	uint16_t offset;
	uint16_t slot;
	/* large: which piece */
	uint32_t part;
	uint32_t parts;
	uint32_t total; /* bytes of the whole message */
};

/* What is written anew of one frame: attributes, and the tags of a peek. */
#define DELIVERY_MEMORY (BATCH_MAX + PEEKED_TAGS_MAX)

/* A frame in four parts, to be written one after the other. */
#define DELIVERY_HEAD_MAX 400
struct delivery_frame {
	uint8_t head[DELIVERY_HEAD_MAX];
	size_t head_len;
	struct slice attributes; /* borrowed, up to the next frame; of a peek with d->tags */
	size_t looked;		 /* bytes of attributes of which these are some */
	struct slice ends;	 /* borrowed from the record */
	struct slice blob;	 /* borrowed from the record */
};

/* The bytes that count against credit: bodies, separators and attributes. */
static inline size_t delivery_bytes(const struct delivery_frame *f)
{
	return f->attributes.len + f->blob.len;
}

struct delivery_cursor {
	struct delivery d;
	struct slice payload;
	struct event_run run;
	uint8_t *memory;
	bool done;
};

/*
 * `payload` is that of record d->index; it and `memory`, of DELIVERY_MEMORY bytes, have to outlive
 * the cursor.
 */
enum rmq_error delivery_open(const struct delivery *d, struct slice payload, uint8_t *memory,
    struct delivery_cursor *c) __attribute__((warn_unused_result));
/* RMQ_E_NOTHING after the last frame; RMQ_E_CORRUPT if the record does not hold these messages. */
enum rmq_error delivery_next(struct delivery_cursor *c, struct delivery_frame *f)
    __attribute__((warn_unused_result));

#endif
