/*
 * This node's disk: rmq-journal, a child, which stores transactions, and the data directory
 * that is read here.  The first error of the journal ends the process with its status.
 */
#ifndef RMQ_CLUSTERD_DISK_H
#define RMQ_CLUSTERD_DISK_H

#include <limits.h>

#include "core/host/cluster_room.h"
#include "core/host/ends.h"
#include "core/host/intake.h"
#include "core/host/reads.h"
#include "core/host/store_times.h"
#include "core/raft/raft.h"
#include "sys/journal/journal_link.h"
#include "sys/store/store.h"
#include "sys/store/store_watch.h"

struct cluster;

/* A transaction that is not stored yet.  With it, the log is stored up to `last`. */
struct disk_transaction {
	uint64_t seq;
	uint64_t last;
	uint64_t bytes; /* of all records sent so far, its own included */
	uint64_t at_us; /* when it was handed to the journal */
};

struct disk {
	struct cluster *cluster;
	struct journal_link link;
	struct store_reader *reader;
	struct store_watch watch;
	char directory[PATH_MAX];
	bool mends;    /* the journal can: MEND */
	bool ends;     /* … ENDED */
	bool alone;    /* it holds a queue of one node, of no cluster yet */
	uint64_t base; /* transaction seq of Raft's is base + seq of the journal's */
	struct disk_transaction *pending; /* in order */
	size_t pending_first, pending_count, pending_cap;
	uint64_t stored;		   /* index up to which the log is stored */
	struct disk_room room;		   /* as the journal said last */
	uint64_t sent_bytes, stored_bytes; /* of records, headers counted */
	struct intake_room fits; /* as the journal said last, when it had stored … */
	uint64_t fits_bytes;	 /* … so many bytes */
	bool full;		 /* there may be no room for new messages */
	struct store_times times;
};

/* Starts the journal of the directory, in such a sandbox.  0, or an exit status; what is wrong was said. */
int disk_open(
    struct disk *d, struct cluster *c, const char *directory, enum sandbox_mode sandbox);
/* From now on the loop serves it.  0, or libuv's error. */
int disk_start(struct disk *d);
/* Whether all is stored. */
bool disk_idle(const struct disk *d);
/*
 * Closes the journal, which stores what it was sent, and waits for it.  0, or the exit status
 * of ours; what is wrong was said.
 */
int disk_close(struct disk *d);
void disk_kill(struct disk *d);

/*
 * What Raft begins with, as replica_log_begin() finds it; to be freed with
 * replica_log_begin_free().  Dies if it cannot be read.
 */
void disk_begin(struct disk *d, struct raft_begin *begin);

/*
 * Stores; pieces[i] is the payload of runs[i], and the one after them that of s->mend.  All is borrowed for the call.  node_stored()
 * is told when it is durable.
 */
void disk_store(struct disk *d, const struct raft_store *s, const struct piece *pieces);

/* What it can store for certain, beside what it was sent. */
struct intake_room disk_intake(const struct disk *d);

/*
 * replica_log_read() from `index` on, which is stored; payloads are borrowed until disk_read_end().
 * RMQ_E_BUSY: record records->bad comes first, and is bad.  Dies if it cannot be read.
 */
enum rmq_error disk_read(struct disk *d, uint64_t index, uint32_t bytes,
    struct reads_records *records) __attribute__((warn_unused_result));
void disk_read_end(struct disk *d);

/* A record as it stands there, unchecked, borrowed until disk_read_end(); empty: a hole. */
struct slice disk_raw(struct disk *d, uint64_t index);
/* What the directory says of its kind: store_reader_marked(). */
unsigned disk_marked(struct disk *d, uint64_t index);
/* Whether there is one and its bytes are bad, which were good when this process looked before or not. */
bool disk_is_bad(struct disk *d, uint64_t index);

/* What core/host/ends.h reads here. */
struct ends_log disk_ends(struct disk *d);

/* Index of the oldest record, 0: none; and the state of what is stored. */
uint64_t disk_state(struct disk *d, struct store_state *state);

/* This node is no member any more: the directory says so from now on, and disk_ended() when it is opened. */
void disk_end(struct disk *d, enum raft_how how);
/* Whether it says so. */
bool disk_ended(struct disk *d, enum raft_how *how);

/* Keeps back so many bytes for records without new messages. */
void disk_reserve(struct disk *d, uint64_t bytes);

#endif
