/*
 * The READs of Raft: what peers that lag are sent.  The newest records are in memory (tail.h), what
 * is older is on this node's disk.  What is on its way there waits until it is stored, and a
 * record that is bad there until it is mended (fetch.h), for as long as that takes: only the peer that
 * lags waits for it.
 */
#ifndef RMQ_CORE_HOST_READS_H
#define RMQ_CORE_HOST_READS_H

#include "core/host/tail.h"
#include "core/raft/raft.h"

/* Messages with records that a peer is sent at most in one turn. */
#define READS_IN_TURN 4

/* One that waits for its turn, or for the disk. */
struct reads_one {
	bool wanted;
	struct raft_id id;
	uint64_t index;
	uint64_t term;
	uint32_t bytes;
	uint64_t bad; /* it waits for this record, which is bad on the disk; 0: it does not */
};

/* What was read: runs, and their payloads. */
struct reads_records {
	unsigned count;
	uint64_t bad; /* RMQ_E_BUSY: this record comes first, and is bad */
	struct raft_run runs[RAFT_RUNS_MAX];
	struct piece pieces[RAFT_RUNS_MAX];
};

/* Of each peer the newest one.  All zeros to begin with. */
struct reads {
	struct reads_one list[RAFT_MEMBERS_MAX];
	struct reads_records records; /* of the one that is served */
};

struct reads_host {
	void *arg;
	const struct tail *tail;
	uint64_t term;	 /* in which this node leads; 0: it does not */
	uint64_t stored; /* index up to which the log is on disk */
	bool truncates;	 /* some of that is about to be cut off */
	/*
	 * Reads from the disk, from r->index on, as RAFT_READ wants it; payloads are borrowed until
	 * sent().  RMQ_E_BUSY: not now; out->bad is set.
	 */
	enum rmq_error (*disk)(void *arg, const struct reads_one *r, struct reads_records *out);
	/* RAFT_EVENT_READ with these records. */
	void (*sent)(void *arg, const struct reads_one *r, const struct reads_records *records);
};

void reads_want(struct reads *r, const struct raft_action *a);
/* A peer that waits for a record that is bad here; NULL: none does.  From `*from` on, 0 at first. */
const struct reads_one *reads_bad(const struct reads *r, unsigned *from);
/* The end of a turn: serves some of each.  Whether more can be served in another turn. */
bool reads_turn(struct reads *r, const struct reads_host *host);

#endif
