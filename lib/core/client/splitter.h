/*
 * Splits a stream into records and these into batches, in the memory from which they are
 * sent.  The host reads into splitter_space(), says how much with splitter_fill(), and
 * takes batches with splitter_next().
 *
 * A batch is closed when it is full (64 KiB, 4096 messages), or on demand: when no more
 * input waits.  A record that does not fit into a batch becomes a chain of pieces.
 */
#ifndef RMQ_CORE_CLIENT_SPLITTER_H
#define RMQ_CORE_CLIENT_SPLITTER_H

#include "core/base/text.h"
#include "core/client/sendbuf.h"

struct splitter {
	uint8_t separator;
	uint32_t reserve;      /* bytes for attributes, in each buffer */
	uint64_t record_max;   /* bytes of a record */
	bool skipping;	       /* the rest of a record that is too large is passed over */
	struct text *dropped;  /* NULL, or gets its bytes, with the separator */
	struct sendbuf *buf;   /* being filled; NULL: none yet */
	uint32_t scanned;      /* no separator in [blob_len, scanned) of it */
	struct sendbuf *large; /* pieces of an unfinished large record, before `buf` */
	struct sendbuf *large_last;
	uint64_t large_len;
};

enum splitter_result {
	SPLITTER_MORE,	    /* nothing complete: more input is needed */
	SPLITTER_BATCH,	    /* *out is a batch, or the pieces of one large message */
	SPLITTER_TOO_LARGE, /* a record is longer than record_max */
	SPLITTER_NO_MEMORY
};

/* record_max is MESSAGE_MAX, reserve 0 and dropped NULL; the caller may set others before the first byte. */
void splitter_init(struct splitter *s, uint8_t separator);
void splitter_deinit(struct splitter *s);

/* Where to read to, NULL when out of memory; *len > 0 after SPLITTER_MORE. */
uint8_t *splitter_space(struct splitter *s, size_t *len);
void splitter_fill(struct splitter *s, size_t len);

/*
 * The next batch, which the caller then owns.  `flush`: also one that is not full.
 * After SPLITTER_TOO_LARGE: call splitter_skip() to go on after the record.
 */
enum splitter_result splitter_next(struct splitter *s, bool flush, struct sendbuf **out)
    __attribute__((warn_unused_result));
void splitter_skip(struct splitter *s);

/* Bytes after the last separator. */
uint64_t splitter_partial(const struct splitter *s);
/* The input has ended: bytes after the last separator become a record. */
void splitter_end(struct splitter *s);

#endif
