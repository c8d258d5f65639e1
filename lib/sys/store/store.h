/*
 * The journal's data directory: records by index, in LMDB.  The only code that touches
 * LMDB.  Files and databases are laid out in rmq-journal(5).
 *
 * Two roles.  A store_reader may be opened by any number of processes beside the one
 * store, the writer, which owns the directory.  A process opens a directory only once, in
 * one role, and only after its last fork.
 *
 * First error is final: after a function on a store has returned an error that its comment does
 * not name as expected, only store_close() may be called, and nothing may be acknowledged.  A
 * sync is never tried again.
 *
 * LMDB does not check what it reads: a damaged data file may make these functions crash
 * (SIGSEGV, SIGBUS) or call abort().  Record contents are checked, by record_open().
 */
#ifndef RMQ_SYS_STORE_STORE_H
#define RMQ_SYS_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/raft/raft_config.h"
#include "core/wire/record.h"
#include "sys/process/reason.h"
#include "sys/process/sandbox.h"
#include "sys/store/identity.h"

/* The directory's facts about its log, apart from the records. */
struct store_state {
	uint64_t next;	     /* index that the next record gets; 1 at first */
	uint64_t term;	     /* newest term that was opened; 0 at first */
	uint64_t checkpoint; /* index of the newest END; 0: none */
	uint64_t records;    /* number of records */
	uint64_t bytes;	     /* of records, headers included */
};

/*
 * What a node of a cluster knows besides; raft.h says what it means.  A directory that has it
 * belongs to that node's cluster, and must not be written to by one node alone.
 */
struct store_replica {
	bool present;
	struct raft_id vote; /* in state.term; none: not given */
	uint64_t commit;
	uint64_t cover_index;
	uint64_t cover_term;
};

/* ---- reading ---- */

struct store_reader;

/*
 * Opens DIR for reading, beside an owner or without one.  RMQ_E_CONFIG: not a data
 * directory; RMQ_E_CORRUPT: the data file is missing, empty, cut, garbled or another
 * directory's; RMQ_E_VERSION; RMQ_E_LIMIT: too many readers; RMQ_E_BUSY: one in another
 * namespace of process ids has ours; RMQ_E_IO.
 */
enum rmq_error store_reader_open(const char *dir, struct store_reader **reader,
    struct reason *why) __attribute__((warn_unused_result));
void store_reader_close(struct store_reader *r);
/* What one that is open reads and writes, for a sandbox. */
void store_reader_paths(const char *dir, struct sandbox *s);

/*
 * Between begin and end, the reader sees the log as of begin, and what it is given stays
 * valid.  Keep it short: pages that are freed meanwhile cannot be used again.  begin is
 * a handful of memory accesses, no system call, unless the data file was replaced by a
 * compaction: then it opens the new one.  end without begin is legal.
 */
enum rmq_error store_reader_begin(struct store_reader *r) __attribute__((warn_unused_result));
void store_reader_end(struct store_reader *r);

/*
 * Opens the data file that is there now, if it was replaced, at once instead of with the next begin.
 * The reader must not be begun.
 */
enum rmq_error store_reader_follow(struct store_reader *r) __attribute__((warn_unused_result));

/*
 * Record `index`: header and payload, borrowed until store_reader_end().  The checksum
 * is verified the first time (a small cache remembers).  RMQ_E_NOTHING: a hole, or not
 * written yet; RMQ_E_CORRUPT, RMQ_E_VERSION: as record_open(), and h->index is `index`; if it
 * is 0 the tree of records is damaged there.
 */
enum rmq_error store_reader_get(struct store_reader *r, uint64_t index, struct record_header *h,
    struct slice *payload) __attribute__((warn_unused_result));

/*
 * The first record whose index is `from` or higher.  RMQ_E_NOTHING: there is none.  On
 * RMQ_E_CORRUPT and RMQ_E_VERSION h->index is the bad record's, and the caller may go on after
 * it; if it is 0 the tree of records is damaged there.
 */
enum rmq_error store_reader_next(struct store_reader *r, uint64_t from, struct record_header *h,
    struct slice *payload) __attribute__((warn_unused_result));

/* The stored bytes of the first record at `from` or after it, unchecked. */
enum rmq_error store_reader_raw(struct store_reader *r, uint64_t from, uint64_t *index,
    struct slice *value) __attribute__((warn_unused_result));

/* The state as of begin. */
enum rmq_error store_reader_state(struct store_reader *r, struct store_state *state)
    __attribute__((warn_unused_result));

/* The first term boundary at `from` or after it: records from *index on are of *term. */
enum rmq_error store_reader_term(struct store_reader *r, uint64_t from, uint64_t *index,
    uint64_t *term) __attribute__((warn_unused_result));

/* The log's term at `index`, and at those before *end. */
enum rmq_error store_reader_term_at(struct store_reader *r, uint64_t index, uint64_t *term,
    uint64_t *end) __attribute__((warn_unused_result));

/* What a node of a cluster keeps, as of begin. */
enum rmq_error store_reader_replica(struct store_reader *r, struct store_replica *replica)
    __attribute__((warn_unused_result));

/* How the node ended, as of begin: store_put_ended().  RMQ_E_NOTHING: it has not. */
enum rmq_error store_reader_ended(struct store_reader *r, enum raft_how *how)
    __attribute__((warn_unused_result));

/*
 * As store_reader_next(), of the records of kind CONFIG; found by an index of their own.
 * RMQ_E_NOTHING also if the directory was never open as a replica before the reader was opened.
 */
enum rmq_error store_reader_config(struct store_reader *r, uint64_t from,
    struct record_header *h, struct slice *payload) __attribute__((warn_unused_result));

/* The same, of the records of kind END. */
enum rmq_error store_reader_checkpoint(struct store_reader *r, uint64_t from,
    struct record_header *h, struct slice *payload) __attribute__((warn_unused_result));

/*
 * The kind of the record at `index` if it is a CONFIG or an END, as that index of their own says, even
 * if the record itself is bad; else 0.
 */
enum rmq_error store_reader_marked(struct store_reader *r, uint64_t index, unsigned *kind)
    __attribute__((warn_unused_result));

/* How the data file is used, as of begin.  Walks the list of free pages. */
struct store_pages {
	uint64_t page_size; /* bytes */
	uint64_t used;	    /* pages that hold something */
	uint64_t free;	    /* pages that are to be used again */
	uint64_t usable;    /* of these, pages that no reader keeps from being used now */
	/* of these, pages in runs that hold an ordinary record of full size */
	uint64_t free_runs;
	uint64_t free_long_runs; /* … that hold the largest record */
	uint64_t file_bytes;	 /* size of the data file, pre-written pages included */
};
enum rmq_error store_reader_pages(struct store_reader *r, struct store_pages *pages)
    __attribute__((warn_unused_result));

const struct identity *store_reader_identity(const struct store_reader *r);

/* ---- the owner ---- */

struct store;

/*
 * Makes a new data directory: DIR must be absent or empty, its parent must exist.  Durable on
 * return.  RMQ_E_EXISTS: it holds something; RMQ_E_IO.
 */
enum rmq_error store_create(const char *dir, struct reason *why)
    __attribute__((warn_unused_result));

/*
 * Opens DIR as its owner.  Errors as store_reader_open(), and RMQ_E_BUSY: it has an owner.
 */
enum rmq_error store_open(const char *dir, struct store **store, struct reason *why)
    __attribute__((warn_unused_result));

/* Abandons an open commit. */
void store_close(struct store *s);

/* Why the last function failed. */
const struct reason *store_reason(const struct store *s);

/* As of now, uncommitted changes included. */
const struct store_state *store_state(const struct store *s);
const struct store_replica *store_replica(const struct store *s);
/* The term of the newest record or hole; 0: there is none. */
uint64_t store_last_term(const struct store *s);
const struct identity *store_identity(const struct store *s);

/* Index of the oldest record, 0 if there is none. */
enum rmq_error store_first(struct store *s, uint64_t *index)
    __attribute__((warn_unused_result));

/* The record's kind; RMQ_E_NOTHING (expected) if there is none at `index`. */
enum rmq_error store_kind(struct store *s, uint64_t index, enum record_kind *kind)
    __attribute__((warn_unused_result));

/*
 * A record's stored bytes, unchecked; borrowed until the commit that is open is changed or
 * ends.  RMQ_E_NOTHING (expected): none at `index`.
 */
enum rmq_error store_raw(struct store *s, uint64_t index, struct slice *value)
    __attribute__((warn_unused_result));

/* The same of the first record at `from` or after it; *index is its index. */
enum rmq_error store_next(struct store *s, uint64_t from, uint64_t *index, struct slice *value)
    __attribute__((warn_unused_result));

/* Begins a commit.  The functions from here to store_commit() need one. */
enum rmq_error store_begin(struct store *s) __attribute__((warn_unused_result));
bool store_begun(const struct store *s);

/*
 * Makes a record of this header and size; its index is state.next, or higher, which leaves
 * a hole.  *payload is where its bytes go; they must be complete before store_seal(), and
 * nothing else of the store may be called before that, but store_drop() which takes the record
 * back.
 */
enum rmq_error store_reserve(struct store *s, const struct record_header *h, size_t payload_len,
    uint8_t **payload) __attribute__((warn_unused_result));
enum rmq_error store_seal(struct store *s) __attribute__((warn_unused_result));
enum rmq_error store_drop(struct store *s) __attribute__((warn_unused_result));

/* A term was opened; it must be higher than state.term. */
void store_set_term(struct store *s, uint64_t term);

/*
 * Records from `index` on are of this term.  store_seal() does that by itself for the first
 * record of a term; this is for a term whose first records are holes.
 */
enum rmq_error store_put_term(struct store *s, uint64_t index, uint64_t term)
    __attribute__((warn_unused_result));

/*
 * Deletes records of [*first, end), at most `limit` of them, and moves *first after what is
 * done; it is `end` when all are gone.  Holes cost nothing.  RMQ_E_PROTOCOL (expected; the
 * record stays): it is one that never becomes a hole.
 */
enum rmq_error store_delete(struct store *s, uint64_t *first, uint64_t end, unsigned limit,
    unsigned *deleted) __attribute__((warn_unused_result));

/*
 * Deletes all records of kind CONFIG, for a log that no other disk has: the one of a new cluster
 * (core/host/recovery.h).
 */
enum rmq_error store_delete_configs(struct store *s) __attribute__((warn_unused_result));

/*
 * Makes ready to be a node's log: from now on, in every role, the directory has an index of
 * what is looked for after a truncation.  Has no effect if it was done before.
 */
enum rmq_error store_make_replica(struct store *s) __attribute__((warn_unused_result));

/* What the node knows from this commit on.  `present` is set by it. */
void store_set_replica(struct store *s, const struct store_replica *replica);

/* The node is no member any more, and never will be with this directory. */
enum rmq_error store_put_ended(struct store *s, enum raft_how how)
    __attribute__((warn_unused_result));

/*
 * Drops all from `from` on: records of any kind, holes, term boundaries.  The newest END before
 * it is the checkpoint again.  Needs store_make_replica(), once.
 */
enum rmq_error store_truncate(struct store *s, uint64_t from)
    __attribute__((warn_unused_result));

/* The next `count` indexes, from state.next on, are holes of this term. */
enum rmq_error store_append_holes(struct store *s, uint64_t count, uint64_t term)
    __attribute__((warn_unused_result));

/*
 * Puts this record, payload of at most RECORD_PAYLOAD_MAX, in the place of the one of its index if
 * that is bad (record_open(), or of another term); *mended says whether it did.  A good one stays,
 * and so does a hole.
 * RMQ_E_PROTOCOL (expected): the log has another term, or another kind, there.
 */
enum rmq_error store_mend(struct store *s, const struct record_header *h, struct slice payload,
    bool *mended) __attribute__((warn_unused_result));

/* All since store_begin() is durable on return.  Without changes nothing is written. */
enum rmq_error store_commit(struct store *s) __attribute__((warn_unused_result));

/* ---- space ---- */

/*
 * Pages after the last one in use that exist in the data file.  A commit whose pages fit
 * here cannot run out of space.
 */
uint64_t store_tail(const struct store *s);
size_t store_page_size(const struct store *s);
uint64_t store_file_bytes(const struct store *s);

/* Pages that a record of this payload takes at most, its share of the tree not included. */
size_t store_record_pages(const struct store *s, size_t payload_len);

/* Whether records of this payload can share a page, so that any free page will do. */
bool store_record_shares(const struct store *s, size_t payload_len);

/* As store_reader_pages(), outside of a commit. */
enum rmq_error store_pages(struct store *s, struct store_pages *pages)
    __attribute__((warn_unused_result));

/*
 * Writes zeros after the data file's end, durably: `bytes` more, or less if the file
 * system has less to give.  RMQ_E_FULL (expected): nothing at all.
 */
enum rmq_error store_extend(struct store *s, uint64_t bytes)
    __attribute__((warn_unused_result));

/*
 * Bytes of the directory's file system: in all, and what may still be written.  The process's
 * limits of file size and address space bound both.
 */
enum rmq_error store_disk(struct store *s, uint64_t *total, uint64_t *available)
    __attribute__((warn_unused_result));

/* Forgets readers whose process is gone. */
void store_check_readers(struct store *s);

/* How often a compaction has put another data file in the place of ours: pages are counted anew. */
unsigned store_switches(const struct store *s);

/* ---- compaction ---- */

/*
 * Replaces the data file of DIR by one without free pages, durably; also beside an owner, who goes
 * on in the new one with its next store_begin(), and waits no longer for it than for the last few
 * records, and beside readers, who do so with their next store_reader_begin().  After an error, or
 * a crash at any point, the directory is what it was.  RMQ_E_CORRUPT, RMQ_E_VERSION: a record is
 * bad; RMQ_E_BUSY: another compaction is at it; RMQ_E_IO, also if the disk has too little space
 * for a copy, which is checked first.
 */
enum rmq_error store_compact(const char *dir, struct reason *why)
    __attribute__((warn_unused_result));

#endif
