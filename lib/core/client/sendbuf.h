/*
 * One SEND frame, made in the memory from which it is sent: records are read straight to their
 * place in the frame, and the bytes before them are written when the frame is sealed.
 *
 *	room for the head | room for attributes | room for ends | blob
 *
 * A large message is a chain of buffers, each with one piece of it.
 */
#ifndef RMQ_CORE_CLIENT_SENDBUF_H
#define RMQ_CORE_CLIENT_SENDBUF_H

#include "core/wire/batch.h"
#include "core/wire/wire.h"

/* Frame header, n, answered, flags, part, queue, further queues, and a position. */
#define SENDBUF_HEAD \
	(FRAME_HEADER_SIZE + 8 + 8 + 1 + 4 + 1 + NAME_FULL_MAX + 2 + 4 + SEND_FURTHER_MAX + \
	    4 + SEND_RESUME_MAX + TAG_U64_SIZE)
/* Attributes of one buffer. */
#define SENDBUF_ATTRIBUTES_MAX 16384
#define SENDBUF_ENDS	       (SENDBUF_HEAD + 4 + SENDBUF_ATTRIBUTES_MAX + BATCH_HEADER_SIZE)
#define SENDBUF_BLOB	       (SENDBUF_ENDS + 2 * BATCH_MESSAGES_MAX)
#define SENDBUF_CAP	       BATCH_MAX

static_assert(SENDBUF_CAP == CHUNK_MAX, "a blob holds a batch or a piece");

struct sendbuf {
	struct sendbuf *next;	 /* the next piece of a large message */
	bool large;		 /* a piece: the blob is its bytes, without a separator */
	struct slice attributes; /* owned; of its messages */
	uint32_t reserved;	 /* bytes for them, >= attributes.len */
	uint32_t count;		 /* messages in the batch */
	uint32_t blob_len;	 /* bytes of the blob in the batch, or in the piece */
	uint32_t filled;	 /* bytes of the blob that were read, >= blob_len */
	uint32_t ends;		 /* where the ends are in bytes */
	uint32_t begin;		 /* where the sealed frame begins in bytes */
	uint8_t bytes[SENDBUF_BLOB + SENDBUF_CAP];
};

/* An empty buffer, NULL when out of memory. */
struct sendbuf *sendbuf_new(void);
/* Frees the whole chain. */
void sendbuf_free(struct sendbuf *b);

static inline uint8_t *sendbuf_blob(struct sendbuf *b)
{
	return b->bytes + SENDBUF_BLOB;
}

/* Bytes that its blob may hold: of a large message, or records to be split. */
static inline uint32_t sendbuf_cap(const struct sendbuf *b)
{
	return SENDBUF_CAP - b->reserved;
}

/* Whether one more message may end at offset `end` of the blob. */
static inline bool sendbuf_fits(const struct sendbuf *b, uint32_t end)
{
	return b->count < BATCH_MESSAGES_MAX &&
	       batch_size(b->count + 1u, end) + b->reserved <= BATCH_MAX;
}

/* Keeps so many bytes for attributes; false: what is in it leaves no room, and nothing changed. */
bool sendbuf_reserve(struct sendbuf *b, size_t bytes) __attribute__((warn_unused_result));

/*
 * The attributes (attributes.h) of its messages, or, in the first piece, of the large message: then
 * CHUNK_ATTRIBUTES_MAX at most.  They take no more than was reserved, or nothing is in it yet.  The
 * list is copied; false: out of memory.
 */
bool sendbuf_set_attributes(struct sendbuf *b, struct slice list)
    __attribute__((warn_unused_result));

/* The next message ends, with its separator, at offset `end` of the blob; it must fit. */
static inline void sendbuf_push(struct sendbuf *b, uint32_t end)
{
	store_u16(b->bytes + b->ends + 2 * (size_t)b->count++, (uint16_t)end);
	b->blob_len = end;
}

/* Appends a copy of a message; false if it does not fit. */
bool sendbuf_append(struct sendbuf *b, struct slice body, uint8_t separator)
    __attribute__((warn_unused_result));

/* The messages.  Not for pieces. */
struct batch_view sendbuf_view(const struct sendbuf *b);

/*
 * Puts what stands before the blob; once the messages are complete, and again
 * when some were removed.  flags: SEND_*; SEND_CHUNK and SEND_MORE are set by it.  further:
 * SEND_TAG_QUEUES of a batch, empty: it is for one queue.  resume: SEND_TAG_RESUME, empty: none;
 * known: SEND_TAG_KNOWN.
 */
void sendbuf_seal_placed(struct sendbuf *b, uint8_t flags, uint32_t part, struct slice queue,
    struct slice further, struct slice resume, uint32_t known);
static inline void sendbuf_seal(
    struct sendbuf *b, uint8_t flags, uint32_t part, struct slice queue, struct slice further)
{
	sendbuf_seal_placed(b, flags, part, queue, further, NO_TAGS, 0);
}

/* The number, and the newest number whose answer is known: of a sealed frame. */
void sendbuf_stamp(struct sendbuf *b, uint64_t n, uint64_t answered);

/* The sealed frame, and the batch in it. */
struct slice sendbuf_frame(const struct sendbuf *b);
struct slice sendbuf_batch(const struct sendbuf *b);

/* The first `count` messages of a batch, which are not all, leave b for the result; NULL: out of memory. */
struct sendbuf *sendbuf_split(struct sendbuf *b, uint32_t count);

/* Takes messages [from, from + count) out; seal it again. */
void sendbuf_remove(struct sendbuf *b, uint32_t from, uint32_t count);

#endif
