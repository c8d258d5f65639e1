/*
 * The control protocol, version 2: between rmq-clusterd and the programs that ask it on its
 * Unix socket (rmq-cluster, rmq-gated).  Layouts and meaning are in rmq-control(5); every frame
 * is from one table, as in wire.h, which also says how to bump it: with CONTROL_VERSION.
 *
 * The first frame is HELLO; WELCOME answers it, or ERROR with RMQ_E_VERSION.  Then requests,
 * each with a number `req` that the asker chooses, in any order; RESULT with that number ends
 * each but WATCH and GATE.  A command is done, and durable on a majority, when its RESULT says OK; one
 * whose connection breaks before has an unknown outcome, and all may be repeated.  Any node
 * takes a command: one that does not lead passes it on.
 *
 * STATUS is answered by STATE, so many MEMBERs as it says, and RESULT.  WATCH is answered by
 * STATE and its MEMBERs at once and again whenever one of them has changed, until the
 * connection ends; a watcher that does not read is hung up on.  WHY is answered by REASONs and
 * RESULT.
 *
 * EVENTS is answered by an EVENT for each, until the connection ends (core/host/events.h).  Who does not
 * read misses some, and is then told with DROPPED how many; it is not hung up on.
 *
 * Fields that are bytes: a cluster or an incarnation has RAFT_ID_SIZE of them, a key
 * RAFT_KEY_SIZE; or it is empty, and there is none.
 */
#ifndef RMQ_CORE_WIRE_CONTROL_WIRE_H
#define RMQ_CORE_WIRE_CONTROL_WIRE_H

#include "core/base/codec.h"
#include "core/base/tags.h"
#include "core/wire/frame.h"

#define CONTROL_MAGIC 0x63716d72u /* "rmqc" */
/* The oldest that is spoken: in it STATE and MEMBER have no tags. */
#define CONTROL_OLDEST 1

/* ---- from the asker ---- */

/* clang-format off */
#define CONTROL_HELLO(F) F(u32, magic) F(u16, version)
/* Makes a cluster with this node, if all seeds know none.  Also OK if it did so before. */
#define CONTROL_INIT(F)  F(u32, req)
/* The same, without asking the seeds. */
#define CONTROL_INIT_NEW(F)  F(u32, req)
/* Adopts the cluster whose log the database holds, as the only member.  Also OK if it did so before. */
#define CONTROL_INIT_ADOPT(F) F(u32, req)
#define CONTROL_ADMIT(F) F(u32, req) F(str, name) F(str, key)
/* address: of a node that is a member, NAME@HOST:PORT; "": the configured seeds. */
#define CONTROL_JOIN(F)  F(u32, req) F(str, address)
/* name "": this node. */
#define CONTROL_LEAVE(F) F(u32, req) F(str, name)
/* At once, also if too few of the others answer to go on without it: as DOWN. */
#define CONTROL_LEAVE_FORCED(F) F(u32, req) F(str, name)
/* Removed at once, whether it is up or not; what that means is the text of RESULT. */
#define CONTROL_DOWN(F) F(u32, req) F(str, name)
/* Removed as by DOWN, and a node with this key admitted under its name. */
#define CONTROL_REPLACE(F) F(u32, req) F(str, name) F(str, key)
/* name "": to whom it is best. */
#define CONTROL_TRANSFER(F) F(u32, req) F(str, name)
#define CONTROL_STATUS(F)   F(u32, req)
#define CONTROL_WATCH(F)    F(u32, req)
/*
 * Of this node's gate, to a node whose STATE has CONTROL_TAKES_GATE, at least each
 * CONTROL_GATE_MS: it runs.  state: enum control_gate_state.
 */
#define CONTROL_GATE(F)	    F(u32, req) F(u8, state)
enum control_gate_state {
	CONTROL_GATE_MISSES,
	CONTROL_GATE_REACHES, /* the gate of the leading node has answered lately */
	CONTROL_GATE_ENDS,    /* it was told to end: this node has none */
	CONTROL_GATE_STATES
};
#define CONTROL_GATE_MS	    500
/* flags: enum events_flag; since: an index or a seq, as they say. */
#define CONTROL_EVENTS(F) F(u32, req) F(u8, flags) F(u64, since)
/* Why nothing works, or what is wrong: answered by REASONs and RESULT. */
#define CONTROL_WHY(F)	    F(u32, req)
/*
 * How much this daemon logs from now on: enum control_log; the text of RESULT is what it logs then.
 */
#define CONTROL_LOG(F)	    F(u32, req) F(u8, level)
/*      NAME     value text */
#define CONTROL_LOGS(X) \
	X(ERROR,  0, "error") \
	X(NOTICE, 1, "notice") \
	X(INFO,   2, "info") \
	X(DEBUG,  3, "debug")

enum control_log {
#define X(NAME, value, text) CONTROL_LOG_##NAME = value,
	CONTROL_LOGS(X)
#undef X
	CONTROL_LOG_ASKED = 255 /* as it is */
};

/* ---- from rmq-clusterd ---- */

#define CONTROL_WELCOME(F) F(u16, version)
/* text: what error_text() does not say, or "". */
#define CONTROL_RESULT(F) F(u32, req) F(u8, code) F(str, text)

/*      NAME       value text */
#define CONTROL_ROLES(X) \
	X(NEW,       0, "new")       /* no member of a cluster, and does not ask to be one */ \
	X(JOINING,   1, "joining")   /* asks the seeds */ \
	X(LEARNER,   2, "learner")   /* catches up; no voter yet */ \
	X(FOLLOWER,  3, "follower") \
	X(CANDIDATE, 4, "candidate") \
	X(LEADER,    5, "leader") \
	X(REMOVED,   6, "removed")   /* was a member; is to be stopped */

enum control_role {
#define X(NAME, value, text) CONTROL_ROLE_##NAME = value,
	CONTROL_ROLES(X)
#undef X
};

enum control_state_flag {
	CONTROL_SERVING = 1,  /* the queue is ready on this node, at queue_socket */
	CONTROL_AVAILABLE = 2, /* so it is on the leader, this node or another, and lines are confirmed */
	CONTROL_CAUGHT_UP = 4, /* this disk has all that the leader's had at its last report */
	CONTROL_TAKES_GATE = 8 /* GATE is understood */
};
/* What is known of a node's gate, in two bits of STATE's flags and of MEMBER's. */
/*      NAME       value text */
#define CONTROL_GATES(X) \
	X(NONE,	   0, "none")	 /* it has none that runs */ \
	X(RUNS,	   1, "runs")	 /* it reports */ \
	X(REACHES, 2, "reaches") /* and reaches the gate of the leading node */ \
	X(SILENT,  3, "silent")	 /* of the node itself: it has reported, and does no more */

enum control_its_gate {
#define X(NAME, value, text) CONTROL_ITS_GATE_##NAME = value,
	CONTROL_GATES(X)
#undef X
};
#define CONTROL_STATE_GATE(gate)     ((uint8_t)((gate) << 4))
#define CONTROL_STATE_GATE_OF(flags) ((enum control_its_gate)((flags) >> 4 & 3))
/*
 * What a node knows.  cluster, name, key, id: who it is.  commit, last: indexes of the log
 * here.  leader "": none known; leader_key and leader_gate (HOST:PORT where its rmq-gated
 * listens, "": nowhere) belong to it.  queue_socket: a path, "" without CONTROL_SERVING.
 * problem: what keeps this node from its work, for people, or "".
 */
#define CONTROL_STATE(F) \
	F(u32, req) F(str, cluster) F(str, name) F(str, key) F(str, id) F(u8, role) F(u8, flags) \
	F(u64, term) F(u64, commit) F(u64, last) F(str, leader) F(str, leader_key) \
	F(str, leader_gate) F(str, queue_socket) F(str, problem) F(u8, members) F(tags, tags)

enum control_member_flag {
	CONTROL_MEMBER_SELF = 1,
	CONTROL_MEMBER_LEADER = 2,
	/* Words go both ways between it and this node, and lately; always so of itself. */
	CONTROL_MEMBER_REACHABLE = 4
};
/*      NAME      value text */
#define CONTROL_MEMBER_STATES(X) \
	X(ADMITTED, 0, "admitted") /* has not joined yet */ \
	X(JOINING,  1, "joining")  /* catches up; no voter yet */ \
	X(UP,       2, "up") \
	X(LEAVING,  3, "leaving")  /* is told to: hands over and drains */ \
	X(EXITING,  4, "exiting")  /* has done so, and is to be removed */

enum control_member_state {
#define X(NAME, value, text) CONTROL_MEMBER_##NAME = value,
	CONTROL_MEMBER_STATES(X)
#undef X
};
#define CONTROL_MEMBER_GATE(gate)     ((uint8_t)((gate) << 3))
#define CONTROL_MEMBER_GATE_OF(flags) ((enum control_its_gate)((flags) >> 3 & 3))
/*
 * One member.  id "": admitted, has not joined yet.  raft_flags: enum raft_flag.  match: how
 * far its log is known to equal the leader's; only a leader knows, elsewhere 0.
 */
#define CONTROL_MEMBER(F) \
	F(u32, req) F(str, name) F(str, key) F(str, id) F(str, address) F(str, gate) \
	F(u8, raft_flags) F(u8, flags) F(u64, match) F(tags, tags)
/* line: JSON, without a newline; its event and index are told beside it. */
#define CONTROL_EVENT(F) F(u32, req) F(u64, index) F(str, event) F(rest, line)
/* count: of those that were missed; 0: it is not known. */
#define CONTROL_DROPPED(F) F(u32, req) F(u64, count)
/*
 * The reasons, the worst first: those up to RIGHTS are a `problem` of STATE.
 */
/*      NAME       value text */
#define CONTROL_REASONS(X) \
	X(WELL,        0, "well")	 /* nothing is wrong */ \
	X(REFUSED,     1, "refused")	 /* other nodes do not want this one */ \
	X(DEADLY,      2, "deadly")	 /* the queue daemon dies of a record, on two nodes */ \
	X(ROOM,	       3, "room")	 /* disks are full */ \
	X(ILL,	       4, "ill")	 /* this node, its queue daemon or its gate */ \
	X(FORGOT,      5, "forgot")	 /* its directory was put back to an older state */ \
	X(RECORD,      6, "record")	 /* a record is bad on all nodes that answer */ \
	X(MEMBER,      7, "member")	 /* another one is not up, and why is known */ \
	X(NO_LEADER,   8, "no-leader") \
	X(RIGHTS,      9, "rights")	 /* the file of rights is wrong */ \
	X(OTHER,      10, "other")	 /* another member is up, and something is wrong there */ \
	X(NEW,	      11, "new")	 /* this node is of no cluster */ \
	X(JOINING,    12, "joining")	 /* it asks to be let in */ \
	X(STOPPING,   13, "stopping")	 /* it was told to end */ \
	X(LEADERLESS, 14, "leaderless")	 /* no leader is known, and not for long */ \
	X(MIN_MEMBERS, 15, "min-members") /* the queue daemon waits for more members */ \
	X(ROLES,      16, "roles")	 /* the leader may not run the queue daemon */ \
	X(QUEUE,      17, "queue")	 /* the queue daemon is not ready */ \
	X(DOWN,	      18, "down")	 /* another member is not up */ \
	X(UNKNOWN,    19, "unknown")	 /* lines are not confirmed, and nobody knows why */ \
	X(LEAVING,    20, "leaving")	 /* a member was told to leave, and hands over */ \
	X(DATABASE,   21, "database")	 /* the one that has the log, where the engine is one */

enum control_reason {
#define X(NAME, value, text) CONTROL_REASON_##NAME = value,
	CONTROL_REASONS(X)
#undef X
};
/* A line of the answer to WHY: reason: enum control_reason; text: for people, never empty. */
#define CONTROL_REASON(F) F(u32, req) F(u8, reason) F(str, text)
/* The last frame of a connection. */
#define CONTROL_ERROR(F) F(u8, code) F(str, text)

/*      type NAME       name      fields */
#define CONTROL_ASKER_FRAMES(X) \
	X(1,  HELLO,    hello,    CONTROL_HELLO) \
	X(2,  INIT,     init,     CONTROL_INIT) \
	X(3,  ADMIT,    admit,    CONTROL_ADMIT) \
	X(4,  JOIN,     join,     CONTROL_JOIN) \
	X(5,  LEAVE,    leave,    CONTROL_LEAVE) \
	X(6,  TRANSFER, transfer, CONTROL_TRANSFER) \
	X(7,  STATUS,   status,   CONTROL_STATUS) \
	X(8,  WATCH,    watch,    CONTROL_WATCH) \
	X(9, LEAVE_FORCED, leave_forced, CONTROL_LEAVE_FORCED) \
	X(10, INIT_NEW, init_new, CONTROL_INIT_NEW) \
	X(11, GATE,     gate,     CONTROL_GATE) \
	X(12, DOWN,     down,     CONTROL_DOWN) \
	X(13, EVENTS,   events,   CONTROL_EVENTS) \
	X(14, LOG,      log_level, CONTROL_LOG) \
	X(15, REPLACE,  replace,  CONTROL_REPLACE) \
	X(17, WHY,      why,      CONTROL_WHY) \
	X(18, INIT_ADOPT, init_adopt, CONTROL_INIT_ADOPT)

#define CONTROL_NODE_FRAMES(X) \
	X(64, WELCOME,  welcome,  CONTROL_WELCOME) \
	X(65, RESULT,   result,   CONTROL_RESULT) \
	X(66, STATE,    state,    CONTROL_STATE) \
	X(67, MEMBER,   member,   CONTROL_MEMBER) \
	X(68, ERROR,    error,    CONTROL_ERROR) \
	X(69, EVENT,    event,    CONTROL_EVENT) \
	X(70, DROPPED,  dropped,  CONTROL_DROPPED) \
	X(71, REASON,   reason_line, CONTROL_REASON)
/* clang-format on */

enum control_type {
#define X(type, NAME, name, FIELDS) CONTROL_TYPE_##NAME = type,
	CONTROL_ASKER_FRAMES(X) CONTROL_NODE_FRAMES(X)
#undef X
};

#define X(type, NAME, name, FIELDS) \
	CODEC_MESSAGE(control, name, FIELDS) \
	static inline void control_put_##name( \
	    struct writer *w, const struct control_##name *m) \
	{ \
		size_t begin = frame_begin(w, type); \
		control_##name##_encode(w, m); \
		frame_end(w, begin); \
	}
CONTROL_ASKER_FRAMES(X)
CONTROL_NODE_FRAMES(X)
#undef X

/*
 * The tagged numbers of STATE and of MEMBER, u64 each, 0 if it is absent; a tag and the name of the
 * field, which struct control_view has as well.
 */
#define CONTROL_STATE_NUMBERS(X) \
	X(3, level)	   /* of the records that may be written; 0: of no cluster */ \
	X(7, config_index) /* of the configuration that is shown; 0: none */ \
	X(9, synchronous)  /* enum control_synchronous, of the database */
/* Those are of lower tags.  An engine that is not said is the built-in one; the others are of its database. */
#define CONTROL_STATE_TEXTS(X) \
	X(11, engine, CONTROL_ENGINE_MAX) \
	X(13, database, TEXT_MAX) /* HOST:PORT, or the path of a socket; "": none was up */ \
	X(15, database_state, CONTROL_ENGINE_MAX) /* "up", or what is wrong */
#define CONTROL_ENGINE_MAX 31

/* Whether what the database confirms is on another server, too. */
/*      NAME       value text */
#define CONTROL_SYNCHRONOUS(X) \
	X(UNKNOWN, 0, "") \
	X(YES, 1, "yes")	       /* it waits for a standby */ \
	X(NO, 2, "no")		       /* it may be lost: --allow-async */ \
	X(REPLICATES, 3, "replicates") /* the database replicates itself */

enum control_synchronous {
#define X(NAME, value, text) CONTROL_SYNCHRONOUS_##NAME = value,
	CONTROL_SYNCHRONOUS(X)
#undef X
};
#define CONTROL_MEMBER_NUMBERS(X) \
	X(3, state)	/* enum control_member_state */ \
	X(5, suspected) /* 1: by this node; 2: by the majority, it is unreachable; or both */ \
	X(7, phi)	/* times 1000 */ \
	X(9, suspect_after) /* ms of silence */ \
	X(11, \
	    round_trip) /* us to it and back, the shortest of the last minutes; 0: not known */ \
	X(13, beat_mean)   /* us between heartbeats */ \
	X(15, beat_spread) /* us, their deviation */ \
	X(17, silence)	   /* ms since the newest heartbeat */ \
	X(99, known)	   /* which of those below are known: bits of enum metric (tell.h) */ \
	X(101, load)	   /* and on: metrics, with the tags that TELL has plus 100 */ \
	X(103, memory) \
	X(105, disk_free) \
	X(107, journal_size) \
	X(109, lag) \
	X(113, latency) \
	X(117, uptime)

/* The same of texts, of at most so many bytes. */
#define CONTROL_MEMBER_VERSION_MAX 63
#define CONTROL_MEMBER_TEXTS(X) \
	X(1, roles, RAFT_ROLES_MAX) \
	X(119, version, CONTROL_MEMBER_VERSION_MAX)
#define CONTROL_MEMBER_TAG_MAX 127

/* Enough for all of one frame. */
#define CONTROL_TAGS_MAX 768

/* The name of a tagged field, NULL: frames of that type do not know it. */
static inline const char *control_tag_name(unsigned type, unsigned tag)
{
	switch (type << 16 | tag) {
#define X(tag, name) \
	case CONTROL_TYPE_STATE << 16 | (tag): \
		return #name;
		CONTROL_STATE_NUMBERS(X)
#undef X
#define X(tag, name, max) \
	case CONTROL_TYPE_STATE << 16 | (tag): \
		return #name;
		CONTROL_STATE_TEXTS(X)
#undef X
#define X(tag, name) \
	case CONTROL_TYPE_MEMBER << 16 | (tag): \
		return #name;
		CONTROL_MEMBER_NUMBERS(X)
#undef X
#define X(tag, name, max) \
	case CONTROL_TYPE_MEMBER << 16 | (tag): \
		return #name;
		CONTROL_MEMBER_TEXTS(X)
#undef X
	}
	return NULL;
}

#endif
