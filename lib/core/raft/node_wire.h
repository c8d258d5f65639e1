/*
 * What the nodes of a cluster say to each other over links (link.h), version 2, as frames.
 * How to bump it: as for wire.h, with NODE_VERSION.
 *
 * A node dials each other one twice, in the roles NODE and BULK, and sends only on what it
 * dialled; what it is sent comes over what the other dialled.  Each begins with HELLO, which
 * the other side answers on the same connection: WELCOME, or REFUSED and the end.  A joining
 * node dials in the role JOIN and sends JOIN; the answer is JOINED, or REFUSED, maybe after SETTINGS of both.  A node that
 * only wants to know whether there is a cluster sends ASK, one that has been a member sends
 * MEMBERS; neither changes anything.
 *
 * A message of Raft is a MESSAGE, or an APPEND with `runs` RUNs after it, with nothing in
 * between.  HELLO has said who sends it, and to whom.  What is sent when there is no
 * connection is lost, and so may be what was sent before one broke.
 */
#ifndef RMQ_CORE_RAFT_NODE_WIRE_H
#define RMQ_CORE_RAFT_NODE_WIRE_H

#include "core/base/codec.h"
#include "core/base/level.h"
#include "core/base/version.h"
#include "core/raft/raft.h"
#include "core/wire/frame.h"

#define NODE_VERSION 2
#define NODE_OLDEST  2
/*
 * Bits: PLACE is understood; STATE is sent each second, also if nothing has changed; DIED is
 * understood; WANT_HOLES is answered; FETCH is answered; TELL is understood; records of level 2 are
 * read (core/base/level.h); a JOIN is followed by SETTINGS; records of level 3 are read.
 */
#define NODE_FEATURE_PLACE    1
#define NODE_FEATURE_ALIVE    2
#define NODE_FEATURE_DIED     4
#define NODE_FEATURE_HOLES    8
#define NODE_FEATURE_FETCH    16
#define NODE_FEATURE_TELL     32
#define NODE_FEATURE_LEVEL_2  64
#define NODE_FEATURE_SETTINGS 128
#define NODE_FEATURE_LEVEL_3  256
#define NODE_FEATURES \
	(NODE_FEATURE_PLACE | NODE_FEATURE_ALIVE | NODE_FEATURE_DIED | NODE_FEATURE_HOLES | \
	    NODE_FEATURE_FETCH | NODE_FEATURE_TELL | \
	    (level_newest() >= 2 ? NODE_FEATURE_LEVEL_2 | NODE_FEATURE_SETTINGS : 0) | \
	    (level_newest() >= 3 ? NODE_FEATURE_LEVEL_3 : 0))
/* The newest level of records that a node with these features reads. */
#define NODE_LEVEL(features) \
	((features)&NODE_FEATURE_LEVEL_3      ? UINT64_C(3) \
	    : (features)&NODE_FEATURE_LEVEL_2 ? UINT64_C(2) \
					      : UINT64_C(1))
#define NODE_VERSIONS ((struct versions){NODE_OLDEST, NODE_VERSION})

/*
 * from, to: incarnations, RAFT_ID_SIZE bytes; boot: random, made when the process started;
 * term, last: what the process began with, as in raft_status; flags: enum
 * node_hello_flag.  Times are settings that must be equal everywhere: core/host/settings.h.
 */
enum node_hello_flag {
	NODE_HELLO_FORGOT = 1,	   /* RAFT_EVENT_FORGOT has been told to it */
	NODE_HELLO_UNENFORCED = 2, /* it does not enforce settings */
};
/* clang-format off */
#define NODE_HELLO(F) \
	F(u16, newest) F(u16, oldest) F(u64, features) F(str, from) F(str, to) F(u64, boot) F(u64, term) F(u64, last) \
	F(u32, election_ms) F(u32, heartbeat_ms) F(u8, flags)
/*
 * The version that is spoken, the sender's features and term, the newest configuration that it knows to
 * be committed (raft_config.h), and where it stands; 0: it knows of none.
 */
#define NODE_WELCOME(F) F(u16, version) F(u64, features) F(u64, term) F(u64, config_index) F(rest, config)
/* The last frame.  term: the sender's; 0: it has none. */
#define NODE_REFUSED(F) F(u8, code) F(str, text) F(u64, term)
/* type: enum raft_message_type, but APPEND.  index_term: in APPENDED, if ok, what is received. */
#define NODE_MESSAGE(F) \
	F(u8, type) F(u8, ok) F(u64, term) F(u64, index) F(u64, index_term) F(u64, round)
#define NODE_APPEND(F) \
	F(u64, term) F(u64, index) F(u64, index_term) F(u64, commit) F(u64, cover) \
	F(u64, cover_term) F(u64, round) F(u16, runs)
/* kind: enum record_kind, or RAFT_HOLE for `count` holes. */
#define NODE_RUN(F) F(u64, first) F(u64, term) F(u32, count) F(u8, kind) F(rest, payload)
/*
 * So many bytes of new messages fit on the sender's disk after record `index`.  flags: enum
 * node_state_flag; a bit that the receiver does not know says nothing to it.  term, kept: what it keeps, as
 * in raft_status.
 */
enum node_state_flag {
	NODE_STATE_SERVES = 1,	/* it leads, and lines are confirmed there */
	NODE_STATE_NO_ROOM = 2, /* it leads, and new messages find no room on a majority */
	NODE_STATE_HANGS = 4,	/* it has stored nothing for long of what it was given, or lacks */
	NODE_STATE_GATE = 8,	/* its gate runs */
	NODE_STATE_REACHES = 16, /* and reaches the gate of the leading node */
	NODE_STATE_UNREACHED = 32, /* when it led, most gates did not reach its own */
	NODE_STATE_FORGOT = 64, /* it neither votes nor leads: RAFT_EVENT_FORGOT */
	NODE_STATE_FAILS = 128, /* lately, when it led, its queue daemon could not run */
	NODE_STATE_EXPLICIT = 256, /* its setting `create` is `explicit` */
	NODE_STATE_ASTRAY = 512, /* the receiver does not answer it where it says that it is */
	NODE_STATE_FINDS = 1024, /* the receiver has NODE_STATE_UNREACHED, and its gate answers */
	NODE_STATE_RIGHTS = 2048, /* the upper half of the flags says which file of rights it has */
	NODE_STATE_DRAINED = 4096, /* it leaves, has handed over, and runs no queue daemon */
	NODE_STATE_AWAY = 8192,	   /* it does not reach the database, which has the log */
};
/* 0: none. */
#define NODE_STATE_RIGHTS_OF(flags) ((uint16_t)((flags) >> 16))
#define NODE_STATE(F) F(u64, index) F(u64, bytes) F(u32, flags) F(u64, term) F(u64, kept)
/*
 * To the leader: do it and send RESULT with the same `req`.  command: enum node_command; the
 * rest is about whom, as in JOIN and raft_config.h, what does not matter is empty.  flags: the lower
 * half, enum raft_flag; the upper one of a TAKE_IN, to a leader that has NODE_FEATURE_LEVEL_2, the
 * level of records that the node reads, less 1.
 * RMQ_E_NO_DAEMON: not the leader, and has not tried it; RMQ_E_TIMEOUT: the outcome is unknown.
 */
#define NODE_COMMAND(F) \
	F(u64, req) F(u8, command) F(str, name) F(str, key) F(str, id) F(u8, flags) \
	F(str, address) F(str, gate)
#define NODE_COMMAND_FLAGS(flags, level) ((uint8_t)((flags) | ((level)-1) << 4))
#define NODE_COMMAND_LEVEL(flags)	 ((uint64_t)((flags) >> 4) + 1)
/* payload: to a change of members that is done, a JOINED's; "": none, as older nodes answer all but TAKE_IN. */
#define NODE_RESULT(F) F(u64, req) F(u8, code) F(str, text) F(rest, payload)
/* gate: where the node's gate listens; flags: enum raft_flag. */
#define NODE_JOIN(F) \
	F(u16, newest) F(u16, oldest) F(u64, features) F(str, id) F(str, name) F(str, address) F(str, gate) F(u8, flags)
/* As in WELCOME. */
#define NODE_JOINED(F) F(u64, config_index) F(rest, config)
/*
 * Where the member with this incarnation is, as it has said itself: the sender, or one that has
 * told the sender.  To those whose WELCOME had NODE_FEATURE_PLACE.
 */
#define NODE_PLACE(F) F(str, id) F(str, address)
/*
 * In the role JOIN: do you know a cluster?  REFUSED answers it: RMQ_E_NOTHING: no; RMQ_E_EXISTS:
 * it does.
 */
#define NODE_ASK(F) F(u16, newest) F(u16, oldest) F(u64, features)
/*
 * In the role JOIN, of a node whose log is that of `cluster`, and whose incarnation is `id`: who
 * are the members?  JOINED answers it if that is one of them, else REFUSED.
 */
#define NODE_MEMBERS(F) F(u16, newest) F(u16, oldest) F(u64, features) F(str, cluster) F(str, id)

/*
 * Where the queue daemon of the sender crashed as it read the log: as struct crashes_word.  To
 * those whose WELCOME had NODE_FEATURE_DIED.
 */
#define NODE_DIED(F) F(u8, state) F(u64, place)
/*
 * To the leader of this term: which records from index `from` on are holes?  It answers with HOLES
 * if it leads.  To those whose WELCOME had NODE_FEATURE_HOLES.
 */
#define NODE_WANT_HOLES(F) F(u64, term) F(u64, from)
/*
 * Of the records that the receiver has: ranges (hole_range); next: to be asked for next, 0: that
 * is all.  cover: the newest END that made some of them; followed: all up to here have.
 */
#define NODE_HOLES(F) \
	F(u64, term) F(u64, cover) F(u64, cover_term) F(u64, followed) F(u64, next) F(rest, ranges)

/*
 * The bytes of record `index`, which is committed, are bad on the sender's disk.  FETCHED answers it.
 * To those whose WELCOME had NODE_FEATURE_FETCH.
 */
#define NODE_FETCH(F) F(u64, index)
/*
 * The record as it stands on the answering node's disk (record.h), which has not looked whether it is
 * good; empty: it is not committed there, or a hole.
 */
#define NODE_FETCHED(F) F(u64, index) F(rest, record)
/*
 * What the sender says of itself after each STATE: core/host/tell.h.  To those whose WELCOME had
 * NODE_FEATURE_TELL.
 */
#define NODE_TELL(F) F(tags, tags)
/*
 * The settings that must be equal everywhere: core/host/settings.h.  After a JOIN whose features have
 * NODE_FEATURE_SETTINGS who takes it says his, and the joining node its own; then comes JOINED, or
 * REFUSED.
 */
#define NODE_SETTINGS(F) F(tags, tags)

#define NODE_FRAMES(X) \
	X(1,  HELLO,   hello,   NODE_HELLO) \
	X(2,  WELCOME, welcome, NODE_WELCOME) \
	X(3,  REFUSED, refused, NODE_REFUSED) \
	X(4,  MESSAGE, message, NODE_MESSAGE) \
	X(5,  APPEND,  append,  NODE_APPEND) \
	X(6,  RUN,     run,     NODE_RUN) \
	X(7,  STATE,   state,   NODE_STATE) \
	X(8,  COMMAND, command, NODE_COMMAND) \
	X(9,  RESULT,  result,  NODE_RESULT) \
	X(10, JOIN,    join,    NODE_JOIN) \
	X(11, JOINED,  joined,  NODE_JOINED) \
	X(12, PLACE,   place,   NODE_PLACE) \
	X(13, ASK,     ask,     NODE_ASK) \
	X(14, DIED,    died,    NODE_DIED) \
	X(15, MEMBERS, members, NODE_MEMBERS) \
	X(16, WANT_HOLES, want_holes, NODE_WANT_HOLES) \
	X(17, HOLES,   holes,   NODE_HOLES) \
	X(18, FETCH,   fetch,   NODE_FETCH) \
	X(19, FETCHED, fetched, NODE_FETCHED) \
	X(20, TELL,    tell,    NODE_TELL) \
	X(22, SETTINGS, settings, NODE_SETTINGS)
/* clang-format on */

enum node_type {
#define X(type, NAME, name, FIELDS) NODE_TYPE_##NAME = type,
	NODE_FRAMES(X)
#undef X
};

#define X(type, NAME, name, FIELDS) \
	CODEC_MESSAGE(node, name, FIELDS) \
	static inline void node_put_##name(struct writer *w, const struct node_##name *m) \
	{ \
		size_t begin = frame_begin(w, type); \
		node_##name##_encode(w, m); \
		frame_end(w, begin); \
	}
NODE_FRAMES(X)
#undef X

/*      name    value */
#define NODE_COMMANDS(X) \
	X(ADMIT, 1)	    /* name, key: may join */ \
	X(TAKE_IN, 2)	    /* all: joins */ \
	X(REMOVE, 3)	    /* name: leaves; refused if too few of the others answer */ \
	X(TRANSFER, 4)	    /* name; empty: to whom it is best */ \
	X(REMOVE_FORCED, 5) /* name: at once, if too few store */ \
	X(DOWN, 6)	    /* name: at once; refused as REMOVE.  From level 2 on */ \
	X(REPLACE, \
	    7) /* name, id: refused if it is up, else as DOWN; key: of who may join in its \
			       place.  From level 2 on */

enum node_command_type {
#define X(name, value) NODE_COMMAND_##name = value,
	NODE_COMMANDS(X)
#undef X
};

/* A RUN's bytes before its payload, frame header and all. */
#define NODE_RUN_HEAD (FRAME_HEADER_SIZE + 21)
/* Enough for any frame that has no payload of a record in it. */
#define NODE_SMALL_MAX (FRAME_HEADER_SIZE + 512 + RAFT_CONFIG_SIZE_MAX)

static_assert(RECORD_PAYLOAD_MAX + NODE_RUN_HEAD - FRAME_HEADER_SIZE <= FRAME_PAYLOAD_MAX,
    "a record fits into a RUN");

/* Writes a message as a frame: MESSAGE, or the APPEND before its RUNs. */
void node_wire_put(struct writer *w, const struct raft_message *m);

/* Writes the NODE_RUN_HEAD bytes before a run's payload. */
void node_wire_put_run(struct writer *w, const struct raft_run *run);

/* Decodes a MESSAGE; `from` and `to` are left.  RMQ_E_PROTOCOL: no such message. */
enum rmq_error node_wire_message(struct slice payload, struct raft_message *m)
    __attribute__((warn_unused_result));

/*
 * An APPEND that comes in.  begin and run take the payloads of its frames; it is complete
 * when `left` is 0.  Payloads are borrowed from the frames: payloads[i] is that of runs[i],
 * and the caller may put another slice with the same bytes there.
 */
struct node_wire_in {
	struct raft_message message;
	unsigned left;
	struct raft_run runs[RAFT_RUNS_MAX];
	struct slice payloads[RAFT_RUNS_MAX];
	struct raft_config *configs[RAFT_RUNS_MAX]; /* on the heap */
	unsigned config_count;
	uint64_t bytes; /* of all payloads */
};

/*
 * RMQ_E_PROTOCOL: not as a correct peer encodes it, or more than RAFT_RUNS_MAX; *in stays fit
 * for a begin.
 */
enum rmq_error node_wire_begin(struct node_wire_in *in, struct slice payload)
    __attribute__((warn_unused_result));
enum rmq_error node_wire_run(struct node_wire_in *in, struct slice payload)
    __attribute__((warn_unused_result));

/* Frees what it holds; it may begin again. */
void node_wire_clear(struct node_wire_in *in);

/*
 * Who a COMMAND or JOIN is about.  RMQ_E_PROTOCOL: a field of the wrong size, or
 * raft_member_valid() does not hold though a name is given.
 */
enum rmq_error node_wire_member(const struct node_command *f, struct raft_member *m)
    __attribute__((warn_unused_result));

/* An incarnation that came as a string; RMQ_E_PROTOCOL: it is not one. */
enum rmq_error node_wire_id(struct slice s, struct raft_id *id)
    __attribute__((warn_unused_result));

/* Who a PLACE is about, and where it is; RMQ_E_PROTOCOL: no incarnation, or no address. */
enum rmq_error node_wire_place(const struct node_place *f, struct raft_id *id,
    char address[RAFT_ADDRESS_MAX + 1]) __attribute__((warn_unused_result));

#endif
