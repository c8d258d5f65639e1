/*
 * The journal protocol, version 1: between the one who opened a journal (the queue
 * daemon) and the journal.  Layouts and meaning are in rmq-journal(5).  How to bump
 * it: as for wire.h, with JOURNAL_VERSION.
 *
 * The opener sends OPEN and, after OPENED, APPENDs numbered n = 1, 2, …; the journal
 * gives each an index and answers STORED once it is durable.  Frames are answered in
 * order: a BARRIER_DONE says that all before its BARRIER is stored.
 */
#ifndef RMQ_CORE_JOURNAL_WIRE_H
#define RMQ_CORE_JOURNAL_WIRE_H

#include "core/codec.h"
#include "core/frame.h"

#define JOURNAL_MAGIC 0x6a716d72u /* "rmqj" */

/* term 0: the term behind the last one. */
#define JOURNAL_OPEN(F) F(u32, magic) F(u16, version) F(u64, term)
/* kind: enum record_kind. */
#define JOURNAL_APPEND(F)  F(u64, n) F(u8, kind) F(rest, payload)
#define JOURNAL_BARRIER(F) F(u64, id)
/*
 * The records in the ranges (hole_range) are dead: named so by the END at index
 * `checkpoint`, which is stored.
 */
#define JOURNAL_HOLE(F) F(u64, checkpoint) F(rest, ranges)

/*
 * first: index of the oldest record, last: of the newest (0: none yet); checkpoint: of the
 * newest END (0: none).  restarts aside, the opener rebuilds its state from
 * `checkpoint` and what follows it, reading `directory` itself.
 */
#define JOURNAL_OPENED(F) \
	F(u16, version) F(u64, term) F(u64, first) F(u64, last) F(u64, checkpoint) \
	F(rest, directory)
/* APPENDs first_n … first_n + count - 1 are durable, as records first_index …. */
#define JOURNAL_STORED(F)       F(u64, first_n) F(u32, count) F(u64, first_index)
#define JOURNAL_BARRIER_DONE(F) F(u64, id)
#define JOURNAL_HOLED(F)        F(u64, checkpoint)
/*
 * So many bytes of records may be sent that hold new messages, counted from behind
 * APPEND n on.  What frees or settles is not counted; it has a reserve.
 */
#define JOURNAL_ROOM(F) F(u64, n) F(u64, bytes)
/* The last frame; the journal exits behind it. */
#define JOURNAL_ERROR(F) F(u8, code) F(str, text)

/* Types 5 to 7 and 70 to 72 are kept for the replicated journal: READ, TRUNCATE, META. */
#define JOURNAL_OPENER_FRAMES(X) \
	X(1, OPEN,    open,    JOURNAL_OPEN) \
	X(2, APPEND,  append,  JOURNAL_APPEND) \
	X(3, BARRIER, barrier, JOURNAL_BARRIER) \
	X(4, HOLE,    hole,    JOURNAL_HOLE)

#define JOURNAL_JOURNAL_FRAMES(X) \
	X(64, OPENED,       opened,       JOURNAL_OPENED) \
	X(65, STORED,       stored,       JOURNAL_STORED) \
	X(66, BARRIER_DONE, barrier_done, JOURNAL_BARRIER_DONE) \
	X(67, HOLED,        holed,        JOURNAL_HOLED) \
	X(68, ROOM,         room,         JOURNAL_ROOM) \
	X(69, ERROR,        error,        JOURNAL_ERROR)

enum journal_type {
#define X(type, NAME, name, FIELDS) JOURNAL_TYPE_##NAME = type,
	JOURNAL_OPENER_FRAMES(X) JOURNAL_JOURNAL_FRAMES(X)
#undef X
};

#define X(type, NAME, name, FIELDS) \
	CODEC_MESSAGE(journal, name, FIELDS) \
	static inline void journal_put_##name(struct writer *w, const struct journal_##name *m) \
	{ \
		size_t begin = frame_begin(w, type); \
		journal_##name##_encode(w, m); \
		frame_end(w, begin); \
	}
JOURNAL_OPENER_FRAMES(X)
JOURNAL_JOURNAL_FRAMES(X)
#undef X

/* An APPEND's bytes in front of the record's payload: frame header, n, kind. */
#define JOURNAL_APPEND_HEAD (FRAME_HEADER_SIZE + 9)

/* Records [first, first + count). */
#define HOLE_RANGE_SIZE 12
struct hole_range {
	uint64_t first;
	uint32_t count;
};

static inline void hole_range_put(struct writer *w, const struct hole_range *h)
{
	put_u64(w, h->first);
	put_u32(w, h->count);
}

static inline struct hole_range hole_range_get(struct reader *r)
{
	struct hole_range h;
	h.first = get_u64(r);
	h.count = get_u32(r);
	return h;
}

#endif
