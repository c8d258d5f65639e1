/*
 * The journal protocol, version 2: between the opener of a journal (the queue daemon) and the
 * journal.  Layouts and meaning are in rmq-journal(5).  How to bump it: as for wire.h, with
 * JOURNAL_VERSION.
 *
 * The opener sends OPEN and, after OPENED, APPENDs numbered n = 1, 2, …; the journal
 * gives each an index and answers STORED once it is durable.  Frames are answered in
 * order: a BARRIER_DONE says that all before its BARRIER is stored.
 *
 * Or it sends OPEN_REPLICA, as a node of a cluster does, and decides by itself the index and
 * term of each record: it sends transactions, TXN to TXN_END, numbered seq = 1, 2, 3, … Each is
 * stored whole or not at all, in order; TXN_STORED says up to which all are durable.  A
 * directory that holds a transaction can no longer be opened by OPEN.
 */
#ifndef RMQ_CORE_WIRE_JOURNAL_WIRE_H
#define RMQ_CORE_WIRE_JOURNAL_WIRE_H

#include "core/base/codec.h"
#include "core/base/tags.h"
#include "core/base/version.h"
#include "core/wire/frame.h"

/*
 * Numbers of leases, starts and versions go on from the time of a RESTORED record, from this second on:
 * 2024.  A clock that is before it gives none.
 */
#define JOURNAL_EPOCH_S 1704067200u

#define JOURNAL_MAGIC 0x6a716d72u /* "rmqj" */

/* What this program understands: of the protocol, of records, and of directories. */
#define JOURNAL_VERSIONS ((struct versions){JOURNAL_OLDEST, JOURNAL_VERSION})
/* An OPEN's or OPEN_REPLICA's first fields. */
#define JOURNAL_OPEN_VERSIONS JOURNAL_MAGIC, JOURNAL_VERSION, JOURNAL_OLDEST, JOURNAL_FEATURES

/* term 0: the term after the last one. */
#define JOURNAL_OPEN(F) \
	F(u32, magic) F(u16, newest) F(u16, oldest) F(u64, features) F(u64, term) F(tags, tags)
/* kind: enum record_kind. */
#define JOURNAL_APPEND(F)  F(u64, n) F(u8, kind) F(rest, payload)
#define JOURNAL_BARRIER(F) F(u64, id)
/*
 * The records in the ranges (hole_range) are dead: named so by the END at index
 * `checkpoint`, which is stored.
 */
#define JOURNAL_HOLE(F) F(u64, checkpoint) F(rest, ranges)
/* This many bytes are to be kept, from now on, for records that hold no new messages. */
#define JOURNAL_RESERVE(F) F(u64, bytes)
/* To the PING with this id. */
#define JOURNAL_PONG(F) F(u64, id)
/*
 * The state is being rebuilt, and the record `index` is read for it; 0: all that it needs is
 * read.  Only to a journal whose OPENED has JOURNAL_FEATURE_READS; but for 0 no more often than
 * for each JOURNAL_PLACE records.
 */
#define JOURNAL_READS(F) F(u64, index)

/*
 * The bytes of record `index` are bad; one at a time.  MENDED answers it.  Only to a journal whose
 * OPENED has JOURNAL_FEATURE_MENDS.
 */
#define JOURNAL_BAD(F) F(u64, index)

#define JOURNAL_OPEN_REPLICA(F) \
	F(u32, magic) F(u16, newest) F(u16, oldest) F(u64, features) F(tags, tags)
/*
 * Begins a transaction.  What the node is to know when it is done: its term and its vote in it
 * (RAFT_ID_SIZE bytes, or none), commit index, cover (raft.h).  truncate: all from this index
 * on is dropped first; 0: nothing; never at or below the commit index that is stored.
 * bytes: of the RECORDs that follow, each with RECORD_HEADER_SIZE; at most JOURNAL_TXN_MAX.
 * largest: of one of them.
 */
#define JOURNAL_TXN_MAX (32u << 20)
/* clang-format off */
#define JOURNAL_TXN(F) \
	F(u64, seq) F(u64, term) F(str, vote) F(u64, commit) F(u64, cover_index) \
	F(u64, cover_term) F(u64, truncate) F(u32, bytes) F(u32, largest)
/* The next index gets this record. */
#define JOURNAL_RECORD(F) F(u64, index) F(u64, term) F(u8, kind) F(rest, payload)
/* The next `count` indexes are holes of this term.  They lie at or below the TXN's commit. */
#define JOURNAL_HOLES(F) F(u64, first) F(u32, count) F(u64, term)
/* The records in the ranges (hole_range), all of them below the cover, become holes. */
#define JOURNAL_DIG(F)     F(rest, ranges)
#define JOURNAL_TXN_END(F) F(u64, seq)
/*
 * This record, at or below the TXN's commit, takes the place of the one there, if there is one and
 * it is bad; else nothing changes.  It counts like a RECORD.  Only to a journal whose OPENED has
 * JOURNAL_FEATURE_MENDS.
 */
#define JOURNAL_MEND(F) F(u64, index) F(u64, term) F(u8, kind) F(rest, payload)
/*
 * Between transactions: this node is no member any more, how: enum raft_how.  Nothing answers it.
 * Only to a journal whose OPENED has JOURNAL_FEATURE_ENDS.
 */
#define JOURNAL_ENDED(F) F(u8, how)

/*
 * first: index of the oldest record, last: of the newest (0: none yet); checkpoint: of the
 * newest END (0: none).  The opener rebuilds its state from
 * `checkpoint` and what follows it, reading `directory` itself.
 * term: not below that of any opening before.  Nothing more is promised: a journal on several
 * machines may give the same one twice.
 */
#define JOURNAL_OPENED(F) \
	F(u16, version) F(u64, features) F(u64, term) F(u64, first) F(u64, last) \
	F(u64, checkpoint) F(tags, tags) F(rest, directory)
/*
 * APPENDs first_n … first_n + count - 1 are durable, as records first_index and following.
 * Indexes ascend; between two STOREDs there may be records that are not of this opener.
 */
#define JOURNAL_STORED(F)       F(u64, first_n) F(u32, count) F(u64, first_index)
#define JOURNAL_BARRIER_DONE(F) F(u64, id)
#define JOURNAL_HOLED(F)        F(u64, checkpoint)
/*
 * This many bytes of records with new messages may be sent, counted from after APPEND (or TXN)
 * n.  Records that free or settle messages do not count; they have a reserve.
 */
#define JOURNAL_ROOM(F) F(u64, n) F(u64, bytes)
/* The last frame; the journal exits after it. */
#define JOURNAL_ERROR(F) F(u8, code) F(str, text)
/* Only to an opener whose OPEN has the tag ANSWERS: it sends PONG, at once. */
#define JOURNAL_PING(F) F(u64, id)
/* All transactions up to this one are durable. */
#define JOURNAL_TXN_STORED(F) F(u64, seq)
/* To BAD: code 0: the record is to be read again; else no node has it whole. */
#define JOURNAL_MENDED(F) F(u64, index) F(u8, code)
/*
 * Only to an opener whose OPEN_REPLICA has the tag FITS.  So many bytes of any RECORDs, each with
 * RECORD_HEADER_SIZE, are stored without waiting for room, counted after TXN n: if none of
 * their payloads is larger than JOURNAL_SMALL_MAX; than RECORD_FILL; whatever they are.
 */
#define JOURNAL_SMALL_MAX 1024
#define JOURNAL_FITS(F) F(u64, n) F(u64, small) F(u64, ordinary) F(u64, large)
/*
 * Only to an opener whose OPEN has the tag WANTED.  1: from now on holes are wanted early, as another
 * member of the cluster waits for them; 0: no longer.
 */
#define JOURNAL_HOLES_WANTED(F) F(u8, wanted)
/* Only to an opener whose OPEN has the tag LEVEL: records of this level may be written from now on. */
#define JOURNAL_LEVEL(F) F(u64, level)

#define JOURNAL_OPENER_FRAMES(X) \
	X(1,  OPEN,         open,         JOURNAL_OPEN) \
	X(2,  APPEND,       append,       JOURNAL_APPEND) \
	X(3,  BARRIER,      barrier,      JOURNAL_BARRIER) \
	X(4,  HOLE,         hole,         JOURNAL_HOLE) \
	X(5,  OPEN_REPLICA, open_replica, JOURNAL_OPEN_REPLICA) \
	X(6,  TXN,          txn,          JOURNAL_TXN) \
	X(7,  RECORD,       record,       JOURNAL_RECORD) \
	X(8,  HOLES,        holes,        JOURNAL_HOLES) \
	X(9,  DIG,          dig,          JOURNAL_DIG) \
	X(10, TXN_END,      txn_end,      JOURNAL_TXN_END) \
	X(11, RESERVE,      reserve,      JOURNAL_RESERVE) \
	X(12, PONG,         pong,         JOURNAL_PONG) \
	X(13, READS,        reads,        JOURNAL_READS) \
	X(14, BAD,          bad,          JOURNAL_BAD) \
	X(15, MEND,         mend,         JOURNAL_MEND) \
	X(16, ENDED,        ended,        JOURNAL_ENDED)

#define JOURNAL_JOURNAL_FRAMES(X) \
	X(64, OPENED,       opened,       JOURNAL_OPENED) \
	X(65, STORED,       stored,       JOURNAL_STORED) \
	X(66, BARRIER_DONE, barrier_done, JOURNAL_BARRIER_DONE) \
	X(67, HOLED,        holed,        JOURNAL_HOLED) \
	X(68, ROOM,         room,         JOURNAL_ROOM) \
	X(69, ERROR,        error,        JOURNAL_ERROR) \
	X(70, TXN_STORED,   txn_stored,   JOURNAL_TXN_STORED) \
	X(71, PING,         ping,         JOURNAL_PING) \
	X(72, FITS,         fits,         JOURNAL_FITS) \
	X(73, MENDED,       mended,       JOURNAL_MENDED) \
	X(74, HOLES_WANTED, holes_wanted, JOURNAL_HOLES_WANTED) \
	X(75, LEVEL,        level,        JOURNAL_LEVEL)
/* clang-format on */

/*
 * Features that a journal shows in OPENED: READS is understood; bad records are mended: to who sent
 * OPEN, BAD is answered, to who sent OPEN_REPLICA, MEND is understood; to who sent OPEN_REPLICA: ENDED
 * is understood.
 */
#define JOURNAL_FEATURE_READS 1
#define JOURNAL_FEATURE_MENDS 2
#define JOURNAL_FEATURE_ENDS  4

/* Tagged fields of OPEN (tags.h). */
#define JOURNAL_TAG_ANSWERS 1 /* empty: the opener answers PING */
#define JOURNAL_TAG_WANTED  3 /* empty: the opener is told HOLES_WANTED */
#define JOURNAL_TAG_LEVEL   5 /* empty: the opener is told LEVEL */
/* Of OPENED. */
#define JOURNAL_TAG_OPENED_LEVEL \
	1 /* u64: records of this level may be written; without it, of level 1 */
/* Of OPEN_REPLICA. */
#define JOURNAL_TAG_FITS 1 /* empty: the opener is told FITS */

enum journal_type {
#define X(type, NAME, name, FIELDS) JOURNAL_TYPE_##NAME = type,
	JOURNAL_OPENER_FRAMES(X) JOURNAL_JOURNAL_FRAMES(X)
#undef X
};

#define X(type, NAME, name, FIELDS) \
	CODEC_MESSAGE(journal, name, FIELDS) \
	static inline void journal_put_##name( \
	    struct writer *w, const struct journal_##name *m) \
	{ \
		size_t begin = frame_begin(w, type); \
		journal_##name##_encode(w, m); \
		frame_end(w, begin); \
	}
JOURNAL_OPENER_FRAMES(X)
JOURNAL_JOURNAL_FRAMES(X)
#undef X

/*
 * What an opening frame (OPEN, OPEN_REPLICA) and its answer say of versions.  RMQ_E_PROTOCOL:
 * it is none; RMQ_E_VERSION: `text` says why.
 */
enum rmq_error journal_open_check(uint8_t type, struct slice payload, char *text, size_t size)
    __attribute__((warn_unused_result));

/* An APPEND's bytes before the record's payload: frame header, n, kind. */
#define JOURNAL_APPEND_HEAD (FRAME_HEADER_SIZE + 9)
/* A RECORD's: frame header, index, term, kind. */
#define JOURNAL_RECORD_HEAD (FRAME_HEADER_SIZE + 17)

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
