/*
 * How many records a node takes: a follower of those that it is sent, a leader of those that it is
 * to append.  It takes no more than its disk stores for sure: a transaction that waits for room
 * holds up all that comes after it, also the END that would make room.  What a follower does not
 * take is not acknowledged, so the leader sends it again; by then the records that have died are
 * holes, which need no room.
 *
 * The reserve is for what drains a queue and frees its space.  New messages of a leader whose
 * majority has room may use half of it: this node may be needed for the next majority.
 */
#ifndef RMQ_CORE_HOST_INTAKE_H
#define RMQ_CORE_HOST_INTAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/codec.h"

/* Records, by their size, as in FITS of the journal protocol. */
enum intake_size { INTAKE_SMALL, INTAKE_ORDINARY, INTAKE_LARGE, INTAKE_SIZES };

/* Bytes of records, headers counted, that the disk stores beside what it was sent before. */
struct intake_room {
	uint64_t messages;		/* of new messages, without the reserve */
	uint64_t records[INTAKE_SIZES]; /* of any, if none is larger than this */
};
#define INTAKE_ENOUGH ((struct intake_room){UINT64_MAX, {UINT64_MAX, UINT64_MAX, UINT64_MAX}})

/* The same when so many more bytes are on their way to the disk. */
struct intake_room intake_room_less(struct intake_room room, uint64_t bytes);

/* Records that are taken together. */
struct intake_need {
	uint64_t bytes;
	bool messages; /* the last one brings new messages */
	enum intake_size largest;
};

struct intake {
	uint64_t term;		  /* of the leader that sent it */
	bool waits;		  /* something was not taken, and has not been since */
	bool asked;		  /* for it, since it was sent last */
	uint64_t cover;		  /* of the leader, when it was sent */
	struct intake_need first; /* the first record that was not taken */
};

/* Whether a record is taken after those that `taken` counts, which it is counted in then. */
bool intake_take(struct intake *in, const struct intake_room *room, struct intake_need *taken,
    uint8_t kind, struct slice payload) __attribute__((warn_unused_result));

/* All records of a message were taken, or (whole: false) all before in->first. */
void intake_end(struct intake *in, bool whole, uint64_t cover);

/*
 * Whether to ask the leader to send again: there is room for what was not taken, or what died
 * since (cover: of the leader, now) may be holes.  True once.
 */
bool intake_asks(struct intake *in, const struct intake_room *room, uint64_t cover)
    __attribute__((warn_unused_result));

#endif
