/*
 * The journal as the queue daemon sees it: the journal protocol, rmq-journal(5), over the
 * socket that it was started with.  Its APPENDs are proposed to the cluster and STORED once a
 * majority has them and this node's disk; a BARRIER is a round with the majority.
 *
 * One struct for each time that the daemon runs.  What it sends is not trusted: anything out
 * of place ends it.
 */
#ifndef RMQ_CLUSTERD_QUEUE_H
#define RMQ_CLUSTERD_QUEUE_H

#include <uv.h>

#include "core/host/chunk.h"
#include "core/journal_wire.h"
#include "core/raft.h"

struct cluster;

/* No more is read while so much waits for being stored. */
#define QUEUE_UNSTORED_BYTES   (8u << 20)
#define QUEUE_UNSTORED_RECORDS 65536u /* a power of two */
/* What is read in one turn, and so what is proposed at once. */
#define QUEUE_TURN_BYTES   (1u << 20)
#define QUEUE_TURN_RECORDS 4096
/* BARRIERs and HOLEs that may wait. */
#define QUEUE_WAITS_MAX 4096

struct queue_record {
	uint64_t index;
	uint32_t bytes;
};

/* A BARRIER: answered when the round is done, and what was appended before it is stored. */
struct queue_barrier {
	uint64_t id;
	uint64_t after_n;
	uint64_t round;
	bool reserves; /* RESERVE came in front of it: ROOM follows its answer */
};

struct queue {
	struct cluster *cluster;
	uv_poll_t poll;
	int fd;
	int events; /* that are polled */
	uint64_t term;
	bool opened; /* OPEN came */
	bool paused; /* what was read could not be proposed: later */
	bool broken; /* its end is to be told */

	struct chunk *in;
	size_t taken; /* bytes of it */

	/* APPENDs that are not proposed yet */
	unsigned count;
	uint64_t bytes;
	struct raft_run runs[QUEUE_TURN_RECORDS];
	struct piece pieces[QUEUE_TURN_RECORDS];

	/* APPENDs [stored_n + 1, proposed_n], in a ring by n */
	uint64_t stored_n;
	uint64_t proposed_n;
	uint64_t unstored_bytes;
	struct queue_record *ring;

	struct queue_barrier barriers[QUEUE_WAITS_MAX];
	unsigned barrier_first, barrier_count;
	uint64_t rounds_done;
	bool round_wanted; /* number cluster->rounds + 1 */

	/* HOLEs: an END each, answered when its holes are stored */
	uint64_t holes[QUEUE_WAITS_MAX];
	unsigned hole_first, hole_count;

	uint64_t room_n; /* as told: counted from here */
	uint64_t room_bytes;
	bool room_told;
	bool reserved; /* RESERVE came, no BARRIER yet */
	size_t out_len;
	uint8_t out[64 << 10];
};

/*
 * Takes the socket.  The daemon speaks first; it opens the log up to `last`, in `term`.
 * NULL: libuv's *err.
 */
struct queue *queue_open(struct cluster *c, int fd, uint64_t term, int *err);
/* Closes the socket; q is freed by the loop. */
void queue_close(struct queue *q);

/* The next APPEND of what is being proposed got this index. */
void queue_indexed(struct queue *q, uint64_t index, uint32_t bytes);
/* A round that node_barrier() asked for is done. */
void queue_round_done(struct queue *q, uint64_t round);
/* The end of a turn: proposes, answers what is committed and stored, and tells the room. */
void queue_turn(struct queue *q);

#endif
