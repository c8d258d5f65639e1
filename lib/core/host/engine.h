/*
 * The seam between a node and the engine of consensus, which makes its log the cluster's.  All
 * parts of the host append, read and follow the log through it; only engine.c knows which engine
 * there is (raft.h).
 *
 * Calls return at once.  During a call the engine may report its results, also the end of the
 * leadership.
 */
#ifndef RMQ_CORE_HOST_ENGINE_H
#define RMQ_CORE_HOST_ENGINE_H

#include "core/base/error.h"
#include "core/host/chunk.h"
#include "core/host/intake.h"
#include "core/wire/journal_wire.h"

struct raft;
struct raft_message;
struct raft_status;

/* A record to be appended; its payload is borrowed for the call. */
struct proposal {
	uint8_t kind; /* enum record_kind; not CONFIG, not NOOP */
	struct piece piece;
};

/* The log as this node knows it. */
struct engine_state {
	bool leads;
	bool serving; /* leads, and takes proposals */
	uint64_t term;
	uint64_t last;	    /* index of the newest record, committed or not */
	uint64_t committed; /* a majority has it, and so has this node's disk */
	uint64_t stored;    /* this node's transactions up to this number are */
	uint64_t agreed;    /* a majority has it, this node's disk or not */
	/* leads: a majority has received it, or all that was sent to it, stored or not */
	uint64_t received;
};

struct engine {
	void *arg;
	struct engine_state (*state)(void *arg);
	/*
	 * Appends as many of them, from the first one on, as this node's disk has room for: *count
	 * records get the indexes from *first on.  RMQ_E_BUSY: none now, or never; anything else:
	 * never.
	 */
	enum rmq_error (*propose)(
	    void *arg, const struct proposal *p, unsigned *count, uint64_t *first);
	/*
	 * Begins a round with a majority: once it is done, all is known here that was committed
	 * before.  Its number, higher than any before; 0: not now, or never.  That rounds up to
	 * a number are done may be reported before this returns.
	 */
	uint64_t (*barrier)(void *arg);
	/*
	 * Makes holes of what the END at this index says died; it is committed.  The number of
	 * the transaction with which they are stored.
	 */
	uint64_t (*holes)(
	    void *arg, uint64_t end, const struct hole_range *ranges, unsigned count);
};

/* committed: the newest index of RAFT_COMMITTED; stored: the newest number of a STORE that is.
 */
struct engine_state engine_state(
    const struct raft_status *s, uint64_t committed, uint64_t stored);

/*
 * Cuts what a follower is sent to what it takes (intake.h); pieces[i] is the payload of
 * m->runs[i].  False: it is to be dropped as if it were lost: it comes after what was not taken.
 */
bool engine_takes(const struct raft *r, struct raft_message *m, const struct piece *pieces,
    const struct intake_room *room, struct intake *in) __attribute__((warn_unused_result));

/*
 * How many of these records, from the first one on, a leader appends: what its disk stores for
 * sure, as for a follower.
 */
unsigned engine_proposes(
    const struct proposal *p, unsigned count, const struct intake_room *room);

#endif
