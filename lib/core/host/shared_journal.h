/*
 * The journal as the queue daemon of a cluster sees it: the journal protocol, rmq-journal(5),
 * over an engine of consensus (engine.h).  Its APPENDs are proposed; STORED means that a
 * majority has the records, and this node's disk; a BARRIER is a round with the majority; HOLED
 * means that this node has made the holes of an END, as each node does by itself.
 *
 * One for each run of the daemon.  Its frames are not trusted: anything out of place ends it.
 *
 * Invariants:
 *  - Records are proposed in the order of their APPENDs, each once; if one cannot be proposed
 *    now, reading stops, and the order stays.
 *  - A BARRIER is answered by a round that began after it was read, once all that was appended
 *    before it is STORED.
 *  - The waiting frames are bounded: no more is read while too much is not stored or answered.
 *  - When leadership ends, no waiting frame is ever answered.
 *
 * Pure: bytes and events in, calls of the owner and of the engine out.  Memory that runs out
 * ends the process.
 */
#ifndef RMQ_CORE_HOST_SHARED_JOURNAL_H
#define RMQ_CORE_HOST_SHARED_JOURNAL_H

#include "core/host/engine.h"
#include "core/host/health.h"
#include "core/wire/journal_wire.h"

struct shared_journal;

/* Who holds the socket. */
struct shared_journal_owner {
	void *arg;
	/*
	 * The daemon's OPEN is to be answered: fills in first, checkpoint and directory, and the
	 * level of records that may be written.
	 */
	void (*opening)(void *arg, struct journal_opened *m, uint64_t *level);
	/* Bytes to the daemon, in order.  How many were taken; the rest is offered again. */
	size_t (*answer)(void *arg, struct slice bytes);
	/* This many bytes are to be kept, from now on, for records that hold no new message. */
	void (*reserve)(void *arg, uint64_t bytes);
	/*
	 * The daemon finds that this record, which is committed, is bad: RMQ_E_OK, it is good by
	 * now; RMQ_E_BUSY, it is being mended, and is asked for again in the next turn; else no node
	 * has it.
	 */
	enum rmq_error (*mend)(void *arg, uint64_t index);
	/* The daemon broke the protocol; nothing more is read or answered. */
	void (*lost)(void *arg, const char *why);
};

/* `engine` and `owner` are borrowed as long as it lives.  It is of the engine's term. */
struct shared_journal *shared_journal_new(
    const struct engine *engine, const struct shared_journal_owner *owner);
/* Not from within a call of it.  NULL is legal. */
void shared_journal_free(struct shared_journal *j);
/*
 * Leadership has ended, or the daemon: nothing is read, proposed or answered any more.  May be
 * called from within a call of it.
 */
void shared_journal_end(struct shared_journal *j);

/* Where to put the daemon's bytes, and how many fit; NULL: not now. */
uint8_t *shared_journal_space(struct shared_journal *j, size_t *size);
/* This many bytes were put there, at least one. */
void shared_journal_read(struct shared_journal *j, size_t n);

/* Rounds with the majority are done up to this one. */
void shared_journal_round_done(struct shared_journal *j, uint64_t round);

/*
 * The end of a turn: proposes, and answers what it can.  followed: the holes of all ENDs up to
 * this index are made, and stored.  room: how many bytes of new messages the log may be given.
 * holes_wanted: a member waits for room, member_waits_for_room().  level: of records that may be
 * written.
 */
void shared_journal_turn(struct shared_journal *j, uint64_t followed, uint64_t room,
    bool holes_wanted, uint64_t level);

/* Pings the daemon, if it is one that answers. */
void shared_journal_ping(struct shared_journal *j);
/* What may be expected of the daemon: if all its bytes are taken and it is silent, it is itself the
 * cause. */
enum health_daemon shared_journal_daemon(const struct shared_journal *j);
/*
 * Whether it reads the log to rebuild its state, and has said where: a record within
 * JOURNAL_PLACE of *index.
 */
bool shared_journal_place(const struct shared_journal *j, uint64_t *index);
/* How often something was read of it. */
uint64_t shared_journal_words(const struct shared_journal *j);

/* Whether records that the daemon wrote wait, as the engine takes none now. */
bool shared_journal_waits(const struct shared_journal *j);

/* Whether it can take more of what the daemon says, and whether it has bytes for it. */
bool shared_journal_reads(const struct shared_journal *j);
bool shared_journal_owes(const struct shared_journal *j);

#endif
