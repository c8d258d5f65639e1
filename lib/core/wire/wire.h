/*
 * The clients' protocol, version 2: every frame between a client and the queue
 * daemon, from one table.  The byte layouts and what each frame means are in
 * rmq-protocol(5); a frame's fields stand here once and make its struct, encoder,
 * decoder and dump.
 *
 * It grows by tagged fields (tags.h), new types, flags and feature bits.  To bump the
 * format: raise WIRE_VERSION, keep the old tables under their old names for as long as
 * old clients are answered (WIRE_OLDEST), and never give a type or a flag of an older
 * version another meaning.  HELLO begins with magic, newest, oldest in every version.
 *
 * Numbered commands (SEND, SETTLE, SETTLE_SEND, QUEUE_*, KV_PUT …) carry `n`, 1 more than the session's
 * last one, and `answered`: every command up to this one has been answered to the
 * client, and the daemon may forget these answers.
 */
#ifndef RMQ_CORE_WIRE_WIRE_H
#define RMQ_CORE_WIRE_WIRE_H

#include "core/base/codec.h"
#include "core/base/tags.h"
#include "core/base/version.h"
#include "core/wire/frame.h"
#include "core/wire/more_settings.h"

#define WIRE_MAGIC 0x31716d72u /* "rmq1" */

/* What this program understands. */
#define WIRE_VERSIONS ((struct versions){WIRE_OLDEST, WIRE_VERSION})

/* What one side may do with the other that says the bit: */
enum wire_feature {
	WIRE_FEATURE_PING = 1, /* PING is answered */
	WIRE_FEATURE_CELLS =
	    2 /* the client goes where MOVED leads; the daemon knows frames of cells */
};

/* ---- from a client ---- */

/* Versions and features that the client knows.  session 0: a new one; else the one to go on with. */
/* clang-format off */
#define WIRE_HELLO(F) \
	F(u32, magic) F(u16, newest) F(u16, oldest) F(u64, features) F(u64, session) \
	F(u64, answered) F(tags, tags)
#define WIRE_HELLO_HEAD	   8   /* its bytes up to `features` */
#define WIRE_HELLO_MAX	   512 /* of its payload */
/* A HELLO's fields before `session`. */
#define WIRE_HELLO_VERSIONS WIRE_MAGIC, WIRE_VERSION, WIRE_OLDEST, WIRE_FEATURES

/* Which versions the sender of a HELLO, of any version, knows; false: it is none. */
static inline bool wire_hello_versions(struct slice payload, struct versions *v)
{
	if (payload.len < WIRE_HELLO_HEAD || load_u32(payload.data) != WIRE_MAGIC)
		return false;
	*v = (struct versions){load_u16(payload.data + 6), load_u16(payload.data + 4)};
	return true;
}

/*
 * SEND_TOPIC: `queue` is a topic: the messages are for all queues that are bound to it when they
 * come (of a large one: when its first piece comes), and `data` and attributes have TOPIC_DATA_MAX
 * bytes at most.  SEND_ALLOW_UNROUTED: it is answered with DONE if there is none.
 */
enum {
	SEND_NO_CREATE = 1,
	SEND_CHUNK = 2,
	SEND_MORE = 4,
	SEND_REPLACE = 8,
	SEND_TOPIC = 16,
	SEND_ALLOW_UNROUTED = 32,
	SEND_FLAGS = 63
};
/*
 * data: a batch, or with SEND_CHUNK piece number `part` of one large message;
 * all pieces have the same n, SEND_MORE is on all but the last.
 */
#define WIRE_SEND(F) \
	F(u64, n) F(u64, answered) F(u8, flags) F(u32, part) F(str, queue) F(tags, tags) \
	F(rest, data)

enum settle_verb { VERB_SETTLE = 1, VERB_RELEASE = 2, VERB_DEAD = 3, VERB_TOUCH = 4 };
/* SETTLE_COUNTED (RELEASE): a failure.  SETTLE_DETACH (TOUCH): no longer extended by EXTEND. */
enum { SETTLE_COUNTED = 1, SETTLE_DETACH = 2 };
/*
 * entries: settle_entry, each a range of messages held under one lease.
 * ms: RELEASE: delay; TOUCH: the lease lasts so long from now, or longer.  why: DEAD.
 */
#define WIRE_SETTLE(F) \
	F(u64, n) F(u64, answered) F(u8, verb) F(u8, flags) F(u64, ms) F(u64, stamp) \
	F(str, queue) F(str, why) F(tags, tags) F(rest, entries)

/*
 * Settles messages of `queue` and sends a batch to `target`: both, or neither.  flags:
 * SEND_NO_CREATE.  data: so many settle_entry, then the batch.
 */
#define WIRE_SETTLE_SEND(F) \
	F(u64, n) F(u64, answered) F(u8, flags) F(u64, stamp) F(str, queue) F(str, target) \
	F(u32, entries) F(tags, tags) F(rest, data)

/*
 * SUBSCRIBE_EPHEMERAL: `queue` is a pattern.  The subscription has a queue of its own, which is bound to
 * it, is named name_of_ephemeral() and ends with the session.  With SUBSCRIBE_NO_CREATE it must be there.
 * SUBSCRIBE_IDLE: IDLE is wanted.  SUBSCRIBE_STARTS: STARTED says what reaches the reader;
 * without it all that is handed out does.
 */
enum {
	SUBSCRIBE_NO_CREATE = 1,
	SUBSCRIBE_IDLE = 2,
	SUBSCRIBE_STARTS = 4,
	SUBSCRIBE_EPHEMERAL = 8,
	SUBSCRIBE_FLAGS = 15
};
/* sub: the client's number for it.  lease_ms 0: the queue's. */
#define WIRE_SUBSCRIBE(F) \
	F(u32, sub) F(u8, flags) F(u32, lease_ms) F(str, queue) F(tags, tags)
/* Adds to what may be handed out: so many more messages, and bytes of bodies and attributes, about. */
#define WIRE_CREDIT(F)      F(u32, sub) F(u32, messages) F(u32, bytes) F(u64, stamp)
#define WIRE_UNSUBSCRIBE(F) F(u32, sub)
/* These messages may reach the reader from now on: their lease's end is a failure. */
#define WIRE_STARTED(F) F(u64, lease) F(u64, first) F(u32, count) F(str, queue)
/* Every lease the session holds (and has not detached) runs its full length again. */
#define WIRE_EXTEND(F) F(u64, stamp)
/* Asks whether the daemon is there.  Only to a daemon with WIRE_FEATURE_PING. */
#define WIRE_PING(F) F(u64, stamp)

/* Settings of a queue.  max_bytes 0: no limit.  dead_letter "": NAME.dead; "-": none. */
#define QUEUE_SETTINGS(F) \
	F(u32, lease_ms) F(u32, max_attempts) F(u64, backoff_min_ms) F(u64, backoff_max_ms) \
	F(u64, max_bytes) F(u32, max_message) F(str, dead_letter)
enum {
	SETTING_LEASE = 1,
	SETTING_MAX_ATTEMPTS = 2,
	SETTING_BACKOFF = 4,
	SETTING_MAX_BYTES = 8,
	SETTING_MAX_MESSAGE = 16,
	SETTING_DEAD_LETTER = 32 /* … and those of more_settings.h */
};
/* X(NAME, word, member): as people name them, in rmq-queue(1). */
#define SETTING_WORDS(X) \
	X(LEASE, "lease", lease_ms) \
	X(MAX_ATTEMPTS, "max-attempts", max_attempts) \
	X(BACKOFF, "backoff", backoff_min_ms) \
	X(MAX_BYTES, "max-bytes", max_bytes) \
	X(MAX_MESSAGE, "max-message", max_message) \
	X(DEAD_LETTER, "dead-letter", dead_letter)
/* mask: which settings are given; the others are the defaults (CREATE) or stay (SET). */
#define WIRE_QUEUE_CREATE(F) \
	F(u64, n) F(u64, answered) F(u32, mask) F(str, queue) QUEUE_SETTINGS(F) F(tags, tags)
#define WIRE_QUEUE_SET(F) \
	F(u64, n) F(u64, answered) F(u32, mask) F(str, queue) QUEUE_SETTINGS(F) F(tags, tags)
enum { REMOVE_FORCE = 1 };
#define WIRE_QUEUE_REMOVE(F) F(u64, n) F(u64, answered) F(u8, flags) F(str, queue)
#define WIRE_QUEUE_PURGE(F)  F(u64, n) F(u64, answered) F(str, queue)
/* Messages, u64 each, rising, leave the queue, whoever holds them. */
#define WIRE_CANCEL(F) F(u64, n) F(u64, answered) F(str, queue) F(tags, tags) F(rest, messages)
/* The queue gets what is sent to topics that match, from now on; no longer.  BIND_CREATE: a queue that does not exist is made. */
enum { BIND_CREATE = 1 };
#define WIRE_BIND(F) \
	F(u64, n) F(u64, answered) F(u8, flags) F(str, queue) F(str, pattern) F(tags, tags)
#define WIRE_UNBIND(F) \
	F(u64, n) F(u64, answered) F(u8, flags) F(str, queue) F(str, pattern) F(tags, tags)

/* Queues whose name matches glob and sorts after `after`, at most `limit`. */
#define WIRE_LIST(F) F(u32, req) F(u32, limit) F(str, after) F(str, glob)
/*
 * Bindings of the queue of that name ("": of all queues), by queue and pattern, at most `limit`; of all
 * queues those after (after, pattern).
 */
#define WIRE_BINDINGS(F) \
	F(u32, req) F(u32, limit) F(str, queue) F(str, after) F(str, pattern) F(tags, tags)
enum { STATE_READY = 1, STATE_LEASED = 2, STATE_DELAYED = 4, STATES = 7 };
/* Messages from sequence number `from` on in one of the states, at most `limit`. */
#define WIRE_PEEK(F) F(u32, req) F(u8, states) F(u64, from) F(u32, limit) F(str, queue)
/*
 * Ready messages of `queue` go to `target`, unleased and as if they were new there.  ranges: u64
 * first, u32 count each, TRANSFER_RANGES_MAX at most, ascending.  TRANSFER_HOME: dead letters go back to
 * where they came from, only those that came from `target` unless it is empty, and not those for
 * which this was done `most` times.  Done again, it finds what is left.
 */
enum { TRANSFER_HOME = 1, TRANSFER_FLAGS = 1 };
#define WIRE_TRANSFER(F) \
	F(u32, req) F(u8, flags) F(u32, most) F(str, queue) F(str, target) F(tags, tags) \
	F(rest, ranges)

enum watch_for { WATCH_BELOW = 1, WATCH_ABOVE = 2, WATCH_GONE = 3 };
/*
 * Asks to be told once the queue holds fewer, or more, than `messages` in all states, or not message
 * number `messages`.  One at a time on a connection: it takes the place of an earlier one.
 */
#define WIRE_WATCH(F) F(u32, req) F(u8, what) F(u64, messages) F(str, queue)
/*
 * Asks which messages [first, end) of the queue are dead letters, as far as the queue's dead-letter
 * queue has them from its number `from` on.
 */
#define WIRE_BURIED(F) F(u32, req) F(u64, first) F(u64, end) F(u64, from) F(str, queue) F(tags, tags)
/* Asks how many records of the input `name` are stored in the queue: see SEND_TAG_RESUME. */
#define WIRE_POSITION(F) F(u32, req) F(str, queue) F(str, name) F(tags, tags)
/*
 * Asks what has happened to message `seq` of the queue, as far back as the newest checkpoint.  place:
 * empty, or that of the answer before, to go on from there.
 */
#define WIRE_HISTORY(F) F(u32, req) F(u64, seq) F(str, queue) F(str, place) F(tags, tags)
/*
 * The map.  Of the key (KV_PREFIX: keys that begin so) what has changed after version `since`: in order of
 * versions, with values if KV_VALUES.  Deletions up to `known` are not told.  since 0: all that is
 * there.  KV_WAIT: if nothing has, the answer comes once something does; a connection waits for one
 * such frame, the newest.
 */
enum { KV_PREFIX = 1, KV_VALUES = 2, KV_WAIT = 4, KV_READ_FLAGS = 7 };
#define WIRE_KV_READ(F) \
	F(u32, req) F(u8, flags) F(u64, since) F(u64, known) F(str, key) F(tags, tags)
/* KV_IF_VERSION: only if this is the key's version; 0: only if it is not there. */
enum { KV_IF_VERSION = 1 };
#define WIRE_KV_PUT(F) \
	F(u64, n) F(u64, answered) F(u8, flags) F(u64, version) F(str, key) F(tags, tags) \
	F(rest, value)
#define WIRE_KV_DEL(F) \
	F(u64, n) F(u64, answered) F(u8, flags) F(u64, version) F(str, key) F(tags, tags)
/*
 * Moving a queue, and those that go with it (cells.h), to another cell: the steps where it lives.  HOLD: nothing
 * of it is handed out any more, as long as this connection lasts.  FREEZE: nothing comes to it either.
 * LET_GO: all as before.  GONE: it has gone to `cell`, where `token` opens it: only by who froze it.
 * FOLLOW: it has gone on to `cell`: if its place here is still AWAY with the token MOVE_OUT_TAG_WAS, it is
 * AWAY to that cell, with `token`; else nothing.
 */
enum move_out {
	MOVE_OUT_HOLD = 1,
	MOVE_OUT_FREEZE = 2,
	MOVE_OUT_LET_GO = 3,
	MOVE_OUT_GONE = 4,
	MOVE_OUT_FOLLOW = 5
};
#define MOVE_OUT_TAG_WAS 2
#define WIRE_MOVE_OUT(F) \
	F(u64, n) F(u64, answered) F(u8, step) F(str, queue) F(str, cell) F(str, token) \
	F(tags, tags)
/*
 * The steps where it is to live.  BEGIN: a copy is to arrive, which nobody sees.  DROP: it is dropped.  OPEN: it
 * is the queue from now on, and the others that came from the same cell are dropped; with MOVE_IN_TAG_WAS only if
 * the place here is still AWAY with that token; an empty one: where the queue exists and has never come, that it
 * lives here is written down.
 * FROM: BEGIN: the cell that is copied from, empty: not known; DROP: only of a copy from there.
 */
enum move_in { MOVE_IN_BEGIN = 1, MOVE_IN_DROP = 2, MOVE_IN_OPEN = 3 };
#define MOVE_IN_TAG_WAS	 2
#define MOVE_IN_TAG_FROM 3
#define WIRE_MOVE_IN(F) \
	F(u64, n) F(u64, answered) F(u8, step) F(str, queue) F(str, token) F(tags, tags)
#define CELL_TOKEN_SIZE 16
/*
 * Messages first_seq, first_seq + 1 … of the copy of `queue`.  flags: SEND_CHUNK, SEND_MORE; data: as in SEND.
 * until_ms: when the delay ends (wall clock); 0: ready.
 */
#define WIRE_ARRIVE(F) \
	F(u64, n) F(u64, answered) F(u8, flags) F(u32, part) F(str, queue) F(str, token) \
	F(u64, first_seq) F(u32, failures) F(u64, time_ms) F(u64, until_ms) F(str, note) \
	F(tags, tags) F(rest, data)
/*
 * What goes with a queue besides its messages: `data` is what EXPORTED had.  COPY: only EXPORTED: the tokens of
 * the copies of it that arrive.
 */
enum goes_with {
	WITH_SETTINGS = 1,
	WITH_COUNTS = 2,
	WITH_IDS = 3,
	WITH_POSITIONS = 4,
	WITH_COPY = 6
};
#define WIRE_ARRIVE_STATE(F) \
	F(u64, n) F(u64, answered) F(u8, what) F(str, queue) F(str, token) F(tags, tags) \
	F(rest, data)
/*
 * SETTINGS; tags: QUEUE_TAG_SETTINGS.  COUNTS: next_seq, `live` messages, the highest number of a lease that was
 * given, and tags as in the event PART_QUEUE, but the rate's bucket is as of now.  IDS: WITH_ID_SIZE each,
 * newest first: u64 hash, u64 age in ms, u64 message.  POSITIONS: each one, oldest first.
 */
#define WITH_SETTINGS_FIELDS(F) QUEUE_SETTINGS(F) F(tags, tags)
#define WITH_COUNTS_FIELDS(F) \
	F(u64, next_seq) F(u64, live) F(u64, sent) F(u64, delivered) F(u64, settled) \
	F(u64, failed) F(u64, dead) F(u64, lease) F(tags, tags)
#define WITH_ID_SIZE	      24
#define WITH_POSITION_FIELDS(F) F(u64, at) F(str, name) F(tags, tags)
#define EXPORT_BYTES_MAX 49152 /* of data in one EXPORTED */
#define EXPORT_BYTES_MIN 1024
/* Asks for it, from `from` on; limit: bytes of data, about. */
#define WIRE_EXPORT(F) \
	F(u32, req) F(u8, what) F(u64, from) F(u32, limit) F(str, queue) F(tags, tags)
/* The client was told by MOVED, with this token, that the queue is here. */
#define WIRE_CAME(F)  F(str, queue) F(str, token) F(tags, tags)
/* Asks for the cells that the daemon knows. */
#define WIRE_CELLS(F) F(u32, req) F(tags, tags)
/* Asks for the places of base names after `after`, at most `limit`. */
#define WIRE_PLACES(F) F(u32, req) F(u32, limit) F(str, after) F(tags, tags)
/*
 * Asks for the queues NAME.away that have something ready and no receiver, once there is one: each is told of
 * once.  AWAY_ALL: those that were told of are told of again.  AWAY_NOW: there is an answer at once.  One at a
 * time on a connection: an earlier one is answered then.
 */
enum { AWAY_ALL = 1, AWAY_NOW = 2, AWAY_FLAGS = 3 };
#define WIRE_AWAY(F) F(u32, req) F(u8, flags) F(tags, tags)
/* Ends the session: nothing of it is remembered. */
#define WIRE_BYE(F) F(u64, answered)

/* ---- from a gate ---- */

/*
 * This connection carries a client of user `uid` on machine `node`; or one with a key, then `node` is
 * BEHALF_KEY and its name, and uid is 0.  BEHALF_TAG_RIGHTS: what it may do (core/queue/rights.h);
 * not there: all.
 */
#define WIRE_BEHALF(F)	  F(str, node) F(u32, uid) F(tags, tags)
#define BEHALF_KEY	  "key:"
#define BEHALF_NAME_MAX	  (RAFT_NAME_MAX - (sizeof(BEHALF_KEY) - 1))
#define BEHALF_TAG_RIGHTS 2
/* The name of the key in such a node; empty: there is none. */
struct slice wire_behalf_key(struct slice node);
/* Whether it is a node's name, or BEHALF_KEY and a key's. */
bool wire_behalf_node_valid(struct slice node);

/* ---- from the daemon ---- */

/* version: the one that is spoken.  features: the daemon's.  last: highest n taken in this session.  window: bytes of unanswered SENDs allowed. */
#define WIRE_WELCOME(F) \
	F(u16, version) F(u64, features) F(u64, session) F(u64, last) F(u64, wall_ms) \
	F(u32, window) F(tags, tags)
#define WIRE_REDIRECT(F) F(str, address)
#define WIRE_NOT_YET(F)  F(u32, ms)
#define WIRE_SENT(F)     F(u64, n) F(u64, first_seq) F(u32, count)
/* stale: settle_entry, those that someone else holds now. */
#define WIRE_DONE(F) F(u64, n) F(rest, stale)
/* at: in a SEND, which message of the batch is to blame (from 0). */
/* SETTLE_SEND is done: as SENT and DONE. */
#define WIRE_SETTLE_SENT(F) \
	F(u64, n) F(u64, first_seq) F(u32, count) F(tags, tags) F(rest, stale)
#define WIRE_FAILED(F)     F(u64, n) F(u8, code) F(u32, at) F(str, text)
#define WIRE_SUBSCRIBED(F) F(u32, sub) F(u32, lease_ms)
#define WIRE_SUB_FAILED(F) F(u32, sub) F(u8, code) F(str, text)
/*
 * Messages first_seq, first_seq + 1 …: data is count ends (u16) and bodies with
 * separators as in a batch; `base` is to be subtracted from each end.  note: of a
 * dead letter, where it came from and why.
 */
#define WIRE_DELIVER(F) \
	F(u32, sub) F(u64, lease) F(u64, first_seq) F(u32, attempt) F(u32, failures) \
	F(u64, time_ms) F(u64, stamp) F(str, note) F(u16, base) F(u16, count) F(tags, tags) \
	F(rest, data)
/* Piece `part` of `parts` of one large message; it counts when its last piece is here. */
#define WIRE_DELIVER_PART(F) \
	F(u32, sub) F(u64, lease) F(u64, seq) F(u32, attempt) F(u32, failures) \
	F(u64, time_ms) F(u64, stamp) F(str, note) F(u32, part) F(u32, parts) F(u32, total) \
	F(tags, tags) F(rest, data)
#define WIRE_EXTENDED(F) F(u64, stamp)
/* At once: it says nothing about storage. */
#define WIRE_PONG(F) F(u64, stamp)
/* The session no longer holds these: ENDED_*.  sub: NO_SUBSCRIPTION if it ended before. */
#define NO_SUBSCRIPTION UINT32_MAX
enum lease_end {
	ENDED_SETTLED = 1,
	ENDED_EXPIRED = 2,
	ENDED_GONE = 3,
	ENDED_RELEASED = 4,
	ENDED_DEAD = 5 /* they are dead letters now, as somebody asked */
};
#define WIRE_LEASE_ENDED(F) \
	F(u32, sub) F(u8, why) F(u64, lease) F(u64, first_seq) F(u32, count)
/* Credit is left and nothing is ready; leased (by anyone) and delayed are counts. */
#define WIRE_IDLE(F)         F(u32, sub) F(u64, leased) F(u64, delayed)
/* Credit is left and messages are ready, but a limit of the queue, or a pause, holds them back. */
#define WIRE_HELD_BACK(F)    F(u32, sub)
#define WIRE_UNSUBSCRIBED(F) F(u32, sub)
/* A SEND that was refused with FULL may be tried again. */
#define WIRE_ROOM(F) F(u64, bytes)
#define WIRE_LISTED(F) \
	F(u32, req) F(str, queue) QUEUE_SETTINGS(F) F(u64, ready) F(u64, leased) F(u64, delayed) \
	F(u64, bytes) F(u64, next_seq) F(u64, sent) F(u64, delivered) F(u64, settled) \
	F(u64, failed) F(u64, dead) F(u32, receivers) F(tags, tags)
/* more: there are further rows after the last one. */
#define WIRE_LIST_END(F) F(u32, req) F(u8, more)
/* In front of LIST_END: no more names are looked at for this LIST, go on after this one. */
#define WIRE_LIST_AT(F) F(u32, req) F(str, after) F(tags, tags)
#define WIRE_BOUND(F) F(u32, req) F(str, queue) F(str, pattern) F(tags, tags)
/* code: NO_QUEUE.  more: there may be further ones, after (after, pattern). */
#define WIRE_BINDINGS_END(F) \
	F(u32, req) F(u8, code) F(u8, more) F(str, after) F(str, pattern) F(tags, tags)
/* As DELIVER, one state; until_ms: when the lease (wall clock, about) or the delay ends. */
#define WIRE_PEEKED(F) \
	F(u32, req) F(u8, state) F(u64, lease) F(u64, first_seq) F(u32, attempt) F(u32, failures) \
	F(u64, time_ms) F(u64, until_ms) F(str, note) F(u16, base) F(u16, count) F(tags, tags) \
	F(rest, data)
#define WIRE_PEEKED_PART(F) \
	F(u32, req) F(u8, state) F(u64, lease) F(u64, seq) F(u32, attempt) F(u32, failures) \
	F(u64, time_ms) F(u64, until_ms) F(str, note) F(u32, part) F(u32, parts) F(u32, total) \
	F(tags, tags) F(rest, data)
/* next: the sequence number to go on from; code: NO_QUEUE. */
#define WIRE_PEEK_END(F) F(u32, req) F(u8, code) F(u8, more) F(u64, next)
/*
 * So many messages went; `kept` stay for good: their queue is gone, or it was done too often.  more: go
 * on from message `next`; code: why not to, or NO_QUEUE, USAGE.
 */
#define WIRE_TRANSFERRED(F) \
	F(u32, req) F(u8, code) F(u64, moved) F(u64, kept) F(u8, more) F(u64, next) F(str, text)
/*
 * It is so; or code: NO_QUEUE, also of one that was removed, LIMIT.  messages: in all states; GONE:
 * the first one after that which the queue holds, or its next one.
 */
#define WIRE_WATCHED(F) F(u32, req) F(u8, code) F(u64, messages)
/*
 * runs: seq_range each: the number that a message had in its queue, and how many follow one
 * another.  next: to go on from; 0: that is all.
 */
#define WIRE_BURIED_ARE(F) F(u32, req) F(u64, next) F(tags, tags) F(rest, runs)
/*
 * Command n, a SEND, was refused: KNOWN_RUN_SIZE each: u16 message, u16 how many from there on have
 * ids that were sent before.  The others may be sent.
 */
#define WIRE_KNOWN(F)  F(u64, n) F(tags, tags) F(rest, runs)
#define KNOWN_RUN_SIZE 4
#define WIRE_POSITION_IS(F) F(u32, req) F(u64, at) F(tags, tags)
/*
 * entries: history_entry, oldest first.  place: to go on from, empty: that is all.  code: NO_QUEUE: none
 * of that name was found either.
 */
#define WIRE_HISTORY_IS(F) F(u32, req) F(u8, code) F(str, place) F(tags, tags) F(rest, entries)
/* KV_PUT or KV_DEL is done: the key has this version. */
#define WIRE_KV_DONE(F) F(u64, n) F(u64, version) F(tags, tags)
/* A change that KV_READ asked for.  size: of the value. */
enum kv_what { KV_IS_THERE = 1, KV_IS_DELETED = 2 };
#define WIRE_KV_IS(F) \
	F(u32, req) F(u8, what) F(u64, version) F(u32, size) F(str, key) F(tags, tags) \
	F(rest, value)
/*
 * That is all up to `version`.  KV_MORE: ask again with that as `since`.  KV_ANEW: deletions after `since`
 * are forgotten: ask again with 0, what is not told then is not there.  newest: version of the map.
 * left_out: with KV_WAIT: how many changes were not told, as newer ones of their keys were.
 */
enum { KV_MORE = 1, KV_ANEW = 2 };
#define WIRE_KV_AT(F) \
	F(u32, req) F(u8, code) F(u8, flags) F(u64, version) F(u64, newest) F(u64, left_out) \
	F(tags, tags)
/*
 * The queue lives in another cell; before the refusal, if there is one.  token: with which the daemon there
 * is to be told CAME; empty: without.  MOVED_TAG_SERVERS: where, if that is known here.
 */
#define WIRE_MOVED(F) F(str, queue) F(str, cell) F(str, token) F(tags, tags)
#define MOVED_TAG_SERVERS 1
/* code: NO_QUEUE, ELSEWHERE.  more: ask again from `next` on. */
#define WIRE_EXPORTED(F) \
	F(u32, req) F(u8, what) F(u8, code) F(u8, more) F(u64, next) F(tags, tags) F(rest, data)
/* self: this cell's name; "": there are no cells.  list: as cells.h has it. */
#define WIRE_CELLS_ARE(F) F(u32, req) F(str, self) F(tags, tags) F(rest, list)
enum place_state { PLACE_NONE = 0, PLACE_HERE = 1, PLACE_AWAY = 2 };
/* cell: AWAY: where it went to.  NONE: only copies arrive. */
#define WIRE_PLACE_IS(F)   F(u32, req) F(u8, state) F(str, name) F(str, cell) F(tags, tags)
/* after: the place to go on from. */
#define WIRE_PLACES_END(F) F(u32, req) F(u8, more) F(str, after) F(tags, tags)
/* names: str each.  more: there are others, ask again. */
#define WIRE_AWAYS(F) F(u32, req) F(u8, more) F(tags, tags) F(rest, names)
/* The last frame of a connection. */
#define WIRE_ERROR(F) F(u8, code) F(str, text)

/*      type NAME            name           fields */
#define WIRE_CLIENT_FRAMES(X) \
	X(1,  HELLO,        hello,        WIRE_HELLO) \
	X(2,  SEND,         send,         WIRE_SEND) \
	X(3,  SETTLE,       settle,       WIRE_SETTLE) \
	X(4,  SUBSCRIBE,    subscribe,    WIRE_SUBSCRIBE) \
	X(5,  CREDIT,       credit,       WIRE_CREDIT) \
	X(6,  UNSUBSCRIBE,  unsubscribe,  WIRE_UNSUBSCRIBE) \
	X(7,  EXTEND,       extend,       WIRE_EXTEND) \
	X(8,  QUEUE_CREATE, queue_create, WIRE_QUEUE_CREATE) \
	X(9,  QUEUE_SET,    queue_set,    WIRE_QUEUE_SET) \
	X(10, QUEUE_REMOVE, queue_remove, WIRE_QUEUE_REMOVE) \
	X(11, QUEUE_PURGE,  queue_purge,  WIRE_QUEUE_PURGE) \
	X(12, LIST,         list,         WIRE_LIST) \
	X(13, PEEK,         peek,         WIRE_PEEK) \
	X(14, BYE,          bye,          WIRE_BYE) \
	X(16, STARTED,      started,      WIRE_STARTED) \
	X(17, SETTLE_SEND,  settle_send,  WIRE_SETTLE_SEND) \
	X(18, PING,         ping,         WIRE_PING) \
	X(19, BIND,         bind,         WIRE_BIND) \
	X(20, UNBIND,       unbind,       WIRE_UNBIND) \
	X(21, BINDINGS,     bindings,     WIRE_BINDINGS) \
	X(25, TRANSFER,     transfer,     WIRE_TRANSFER) \
	X(27, BURIED,       buried,       WIRE_BURIED) \
	X(28, POSITION,     position,     WIRE_POSITION) \
	X(22, CANCEL,       cancel,       WIRE_CANCEL) \
	X(30, WATCH,        watch,        WIRE_WATCH) \
	X(31, HISTORY,      history,      WIRE_HISTORY) \
	X(32, KV_READ,      kv_read,      WIRE_KV_READ) \
	X(33, KV_PUT,       kv_put,       WIRE_KV_PUT) \
	X(34, KV_DEL,       kv_del,       WIRE_KV_DEL) \
	X(35, MOVE_OUT,     move_out,     WIRE_MOVE_OUT) \
	X(36, MOVE_IN,      move_in,      WIRE_MOVE_IN) \
	X(37, ARRIVE,       arrive,       WIRE_ARRIVE) \
	X(38, ARRIVE_STATE, arrive_state, WIRE_ARRIVE_STATE) \
	X(39, EXPORT,       export,       WIRE_EXPORT) \
	X(40, CAME,         came,         WIRE_CAME) \
	X(41, CELLS,        cells,        WIRE_CELLS) \
	X(42, PLACES,       places,       WIRE_PLACES) \
	X(43, AWAY,         away,         WIRE_AWAY)

/* In front of HELLO; only the connection's owner looks at it, the broker knows none. */
#define WIRE_GATE_FRAMES(X) \
	X(15, BEHALF,       behalf,       WIRE_BEHALF)

#define WIRE_DAEMON_FRAMES(X) \
	X(64, WELCOME,      welcome,      WIRE_WELCOME) \
	X(65, REDIRECT,     redirect,     WIRE_REDIRECT) \
	X(66, NOT_YET,      not_yet,      WIRE_NOT_YET) \
	X(67, SENT,         sent,         WIRE_SENT) \
	X(68, DONE,         done,         WIRE_DONE) \
	X(69, FAILED,       failed,       WIRE_FAILED) \
	X(70, SUBSCRIBED,   subscribed,   WIRE_SUBSCRIBED) \
	X(71, SUB_FAILED,   sub_failed,   WIRE_SUB_FAILED) \
	X(72, DELIVER,      deliver,      WIRE_DELIVER) \
	X(73, DELIVER_PART, deliver_part, WIRE_DELIVER_PART) \
	X(74, EXTENDED,     extended,     WIRE_EXTENDED) \
	X(75, LEASE_ENDED,  lease_ended,  WIRE_LEASE_ENDED) \
	X(76, IDLE,         idle,         WIRE_IDLE) \
	X(77, UNSUBSCRIBED, unsubscribed, WIRE_UNSUBSCRIBED) \
	X(78, ROOM,         room,         WIRE_ROOM) \
	X(79, LISTED,       listed,       WIRE_LISTED) \
	X(80, LIST_END,     list_end,     WIRE_LIST_END) \
	X(81, PEEKED,       peeked,       WIRE_PEEKED) \
	X(82, PEEKED_PART,  peeked_part,  WIRE_PEEKED_PART) \
	X(83, PEEK_END,     peek_end,     WIRE_PEEK_END) \
	X(84, ERROR,        error,        WIRE_ERROR) \
	X(85, SETTLE_SENT,  settle_sent,  WIRE_SETTLE_SENT) \
	X(86, LIST_AT,      list_at,      WIRE_LIST_AT) \
	X(87, PONG,         pong,         WIRE_PONG) \
	X(88, BOUND,        bound,        WIRE_BOUND) \
	X(89, BINDINGS_END, bindings_end, WIRE_BINDINGS_END) \
	X(91, HELD_BACK,    held_back,    WIRE_HELD_BACK) \
	X(94, TRANSFERRED,  transferred,  WIRE_TRANSFERRED) \
	X(96, BURIED_ARE,   buried_are,   WIRE_BURIED_ARE) \
	X(97, POSITION_IS,  position_is,  WIRE_POSITION_IS) \
	X(98, KNOWN,        known,        WIRE_KNOWN) \
	X(99, WATCHED,      watched,      WIRE_WATCHED) \
	X(100, HISTORY_IS,  history_is,   WIRE_HISTORY_IS) \
	X(101, KV_DONE,     kv_done,      WIRE_KV_DONE) \
	X(102, KV_IS,       kv_is,        WIRE_KV_IS) \
	X(103, KV_AT,       kv_at,        WIRE_KV_AT) \
	X(104, MOVED,       moved,        WIRE_MOVED) \
	X(105, EXPORTED,    exported,     WIRE_EXPORTED) \
	X(106, CELLS_ARE,   cells_are,    WIRE_CELLS_ARE) \
	X(107, PLACE_IS,    place_is,     WIRE_PLACE_IS) \
	X(108, PLACES_END,  places_end,   WIRE_PLACES_END) \
	X(109, AWAYS,       aways,        WIRE_AWAYS)
/* clang-format on */

enum wire_type {
#define X(type, NAME, name, FIELDS) WIRE_TYPE_##NAME = type,
	WIRE_CLIENT_FRAMES(X) WIRE_GATE_FRAMES(X) WIRE_DAEMON_FRAMES(X)
#undef X
};

/* struct wire_hello …, and wire_put_hello(): a whole frame, header and payload. */
#define X(type, NAME, name, FIELDS) \
	CODEC_MESSAGE(wire, name, FIELDS) \
	static inline void wire_put_##name(struct writer *w, const struct wire_##name *m) \
	{ \
		size_t begin = frame_begin(w, type); \
		wire_##name##_encode(w, m); \
		frame_end(w, begin); \
	}
WIRE_CLIENT_FRAMES(X)
WIRE_GATE_FRAMES(X)
WIRE_DAEMON_FRAMES(X)
#undef X

CODEC_MESSAGE(with, settings, WITH_SETTINGS_FIELDS)
CODEC_MESSAGE(with, counts, WITH_COUNTS_FIELDS)
CODEC_MESSAGE(with, position, WITH_POSITION_FIELDS)

/* One range in a settlement: messages [first, first + count) held under `lease`. */
#define SETTLE_ENTRY_SIZE 20
struct settle_entry {
	uint64_t lease;
	uint64_t first;
	uint32_t count;
};

static inline void settle_entry_put(struct writer *w, const struct settle_entry *e)
{
	put_u64(w, e->lease);
	put_u64(w, e->first);
	put_u32(w, e->count);
}

static inline struct settle_entry settle_entry_get(struct reader *r)
{
	struct settle_entry e;
	e.lease = get_u64(r);
	e.first = get_u64(r);
	e.count = get_u32(r);
	return e;
}

/* One range in TRANSFER, DROP or BURIED_ARE: messages [first, first + count). */
#define SEQ_RANGE_SIZE 12
struct seq_range {
	uint64_t first;
	uint32_t count;
};

static inline void seq_range_put(struct writer *w, const struct seq_range *e)
{
	put_u64(w, e->first);
	put_u32(w, e->count);
}

static inline struct seq_range seq_range_get(struct reader *r)
{
	struct seq_range e;
	e.first = get_u64(r);
	e.count = get_u32(r);
	return e;
}

/*
 * What is known of the records of an input that are passed over.  Tags of POSITION_IS, and of the
 * events POSITION and PART_POSITION: INPUT_TAG_NUMBERS: u64 first, u64 end; not there: not known.
 * INPUT_TAG_SKIPPED: u64; not there: all may have been skipped.
 */
#define INPUT_TAG_NUMBERS    1
#define INPUT_TAG_SKIPPED    3
#define INPUT_SENT_TAGS_SIZE (4 + 8 + 8 + 4 + 8)
struct input_sent {
	/* Their messages are [first, end) of the queue, and others between them; first 0: not known. */
	uint64_t first;
	uint64_t end;
	/* Of records 1 to `skipped` some are stored nowhere, as they were bad; 0: all are stored. */
	uint64_t skipped;
};

static inline struct slice input_sent_tags(
    uint8_t bytes[INPUT_SENT_TAGS_SIZE], const struct input_sent *s)
{
	struct writer w = writer_of(bytes, INPUT_SENT_TAGS_SIZE);
	uint8_t value[16];
	store_u64(value, s->first);
	store_u64(value + 8, s->end);
	if (s->first > 0)
		tags_put(&w, INPUT_TAG_NUMBERS, slice_of(value, sizeof(value)));
	store_u64(value, s->skipped);
	tags_put(&w, INPUT_TAG_SKIPPED, slice_of(value, 8));
	return slice_of(w.p, w.len);
}

/* Of `at` records. */
static inline struct input_sent input_sent_find(struct slice tags, uint64_t at)
{
	struct slice value;
	struct input_sent s = {0, 0, at};
	if (tags_find(tags, INPUT_TAG_NUMBERS, &value) && value.len == 16) {
		s.first = load_u64(value.data);
		s.end = load_u64(value.data + 8);
	}
	if (tags_find(tags, INPUT_TAG_SKIPPED, &value) && value.len == 8)
		s.skipped = load_u64(value.data);
	return s;
}

/*
 * One entry of a message's history: what happened, when (wall clock), and what it came to.  state: STATE_*
 * from then on; 0: it left the queue.  lease: that it is, or was, held under; 0: none.  until_ms: of its
 * lease or delay (wall clock, about); 0: none.  times: EXTENDED: how often, one after the other.
 * queue, seq: which message it was before (ARRIVED), or is now (BURIED, MOVED); "" if that is not
 * known.  note: why.  record: the record of the journal that says so.
 */
/* clang-format off */
#define HISTORY_ENTRY(F) \
	F(u8, what) F(u64, time_ms) F(u8, state) F(u64, lease) F(u64, until_ms) F(u32, attempt) \
	F(u32, failures) F(u32, times) F(str, queue) F(u64, seq) F(str, note) F(u64, record) \
	F(tags, tags)
#define HISTORY_WHATS(X) \
	X(1,  FOUND,     "checkpoint")    /* as it was in the newest checkpoint */ \
	X(2,  SENT,      "sent") \
	X(3,  ARRIVED,   "arrived")       /* from another queue */ \
	X(4,  LEASED,    "leased") \
	X(5,  EXTENDED,  "extended") \
	X(6,  RELEASED,  "released")      /* given back, not counted */ \
	X(7,  FAILED,    "failed")        /* given back, counted, or its holder died */ \
	X(8,  ENDED,     "lease-ended")   /* a failure, too */ \
	X(9,  WOKEN,     "delay-over") \
	X(10, SETTLED,   "settled") \
	X(11, BURIED,    "dead-lettered") \
	X(12, EXPIRED,   "expired")       /* the message */ \
	X(13, REPLACED,  "replaced") \
	X(14, CANCELLED, "cancelled") \
	X(15, MOVED,     "moved")         /* to another queue */ \
	X(16, PURGED,    "purged")        /* also before its queue is removed */ \
	X(17, LOST,      "lost")          /* its body cannot be read */ \
	X(18, REMOVED,   "queue-removed") \
	X(19, UNKNOWN,   "unknown")       /* what happened then cannot be read, or not any more */
enum history_what {
#define X(code, NAME, word) HISTORY_##NAME = code,
	HISTORY_WHATS(X)
#undef X
};
/* clang-format on */
CODEC_MESSAGE(history, entry, HISTORY_ENTRY)
#define HISTORY_PLACE_MAX 96 /* bytes of a place */
#define HISTORY_ENTRY_MAX (1 + 8 + 1 + 8 + 8 + 4 + 4 + 4 + 1 + NAME_FULL_MAX + 8 + 256 + 8 + 2)

/* Its word; NULL for an unknown one. */
const char *history_word(unsigned what);

/*
 * HISTORY_IS: what the message waits for; not there: for nothing, it is leased or gone.  limit: that
 * is reached.  seq, state, lease, until_ms: KEY: the message that goes first, as it is.  until_ms:
 * when it is over (wall clock, about), 0: that is not known.
 */
/* clang-format off */
#define HISTORY_IS_TAG_WAITS 1
#define HISTORY_WAITS(F) \
	F(u8, why) F(u64, limit) F(u64, seq) F(u8, state) F(u64, lease) F(u64, until_ms)
#define WAITS_WHYS(X) \
	X(1,  DELAY)        /* it was sent with one */ \
	X(2,  BACK_OFF)     /* after it was given back, or has failed */ \
	X(3,  KEY)          /* for an older message of its key */ \
	X(4,  PAUSED)       /* the queue hands out nothing */ \
	X(5,  INFLIGHT)     /* the queue's limit max-inflight is reached */ \
	X(6,  RATE)         /* … or that of its rate */ \
	X(7,  RECEIVER)     /* there is none */ \
	X(8,  CREDIT)       /* no receiver asks for more */ \
	X(9,  ITS_RECEIVER) /* that of its key does not */ \
	X(10, TURN)         /* others come first */
enum history_waits_why {
#define X(code, NAME) WAITS_##NAME = code,
	WAITS_WHYS(X)
#undef X
};
/* clang-format on */
CODEC_MESSAGE(history, waits, HISTORY_WAITS)

/*
 * PLACE_IS: copy_row of each copy of the queue, and of its dead letters, that arrives here, in the order in which they began;
 * not there: none does.  since_ms: wall clock when it began, 0: that is not known.
 */
/* clang-format off */
#define PLACE_IS_TAG_COPIES 1
#define COPY_ROW(F)	    F(u64, messages) F(u64, bytes) F(u64, since_ms)
/* clang-format on */
CODEC_MESSAGE(copy, row, COPY_ROW)
#define COPY_ROW_SIZE 24
/* CELLS_ARE: u64, how many of all queues there are, and their bytes; not there: none. */
#define CELLS_ARE_TAG_COPIES	 1
#define CELLS_ARE_TAG_COPY_BYTES 3

/* The frame's name, NULL for an unknown type. */
const char *wire_name(unsigned type);

/*
 * DELIVER and PEEKED: attributes of the frame's messages, as in a batch of these (attributes.h).
 * DELIVER_PART and PEEKED_PART: of the message, in its first piece.
 */
#define DELIVER_TAG_ATTRIBUTES 1

/*
 * PEEKED, PEEKED_PART and ARRIVE, in each piece of a large message: what else belongs to the messages, in a
 * queue that moves to another cell.  ORIGIN: of dead letters, u64 and rest: which message the first one
 * was of which queue; each after it is the next one there.  REDRIVES: u32, as in events.  WALL: empty:
 * delayed since they were sent, up to a wall clock time.  LEFT: u64: else, for so many ms more.  EXPIRE: u64 wall clock, u8
 * 1: as they were sent, 0: by the setting of their queue; not there: they do not expire.
 */
#define PEEKED_TAG_ORIGIN   3
#define PEEKED_TAG_REDRIVES 5
#define PEEKED_TAG_WALL	    7
#define PEEKED_TAG_EXPIRE   9
#define PEEKED_TAG_LEFT	    11
#define PEEKED_TAGS_MAX	    (4 + 8 + NAME_FULL_MAX + 4 + 4 + 4 + 4 + 9 + TAG_U64_SIZE)

/*
 * SEND, of a large message: its attributes, in its first piece, with whose data they take CHUNK_MAX
 * at most, and CHUNK_ATTRIBUTES_MAX.
 */
#define SEND_TAG_ATTRIBUTES 2

/*
 * SEND of a batch, or of a large message's first piece: further queues that the messages are for,
 * each a str, SEND_QUEUES_MAX with the first, none twice.  They are sent to all of them, or to none,
 * and stored once.
 */
#define SEND_TAG_QUEUES 4
/*
 * SEND to one queue, in each piece: u64 before, u64 after, rest name: its messages are of records
 * `before` + 1 to `after` of an input of this name.  It is refused with BUSY if more than `before` are
 * stored.
 */
#define SEND_TAG_RESUME 8
#define SEND_RESUME_MAX (8 + 8 + NAME_FULL_MAX)
/*
 * With that: u64: so many of these records are not among its messages, as they were stored before, by
 * their ids; not there: none.  Others that are not among them are bad, and stored nowhere.
 */
#define SEND_TAG_KNOWN	 9
#define SEND_FURTHER_MAX ((SEND_QUEUES_MAX - 1) * (1 + NAME_FULL_MAX))

/* WELCOME: SESSION_TOKEN_SIZE bytes, without which nobody goes on with the session.  HELLO: the same again. */
#define WELCOME_TAG_TOKEN 1
#define HELLO_TAG_TOKEN	  1
/* WELCOME: u64: 1: the daemon has no_new_privs, 2: seccomp; from bit 8 on its version of Landlock; not there: unknown. */
#define WELCOME_TAG_SANDBOX   3
#define SANDBOX_NO_NEW_PRIVS  1
#define SANDBOX_SECCOMP	      2
#define SANDBOX_LANDLOCK_FROM 8
/* WELCOME: the name of the daemon's cell; not there: it was told of none. */
#define WELCOME_TAG_CELL 5
/* HELLO: u64 of HELLO_HOW; not there: 0. */
#define HELLO_TAG_HOW 3
enum {
	/* Who holds this connection is not the client, so its death does not prove the client's. */
	HELLO_FAR = 1,
	/* Where REDIRECT led to cannot be reached: a gate relays instead. */
	HELLO_RELAY = 2
};

/*
 * KNOWN: seq_range each, none across two runs: which messages of the queue those of `runs` are, in turn.
 * first: 0: that is not known; KNOWN_SENT_WITH: they are others of this SEND, which has their ids twice.
 */
#define KNOWN_TAG_NUMBERS 1
#define KNOWN_SENT_WITH	  UINT64_MAX

/* QUEUE_CREATE, QUEUE_SET: further settings of those in `mask` (more_settings.h). */
#define QUEUE_TAG_SETTINGS 2
/* LISTED: the same of all. */
#define LISTED_TAG_SETTINGS 5

/* LISTED: u64, messages that were lost, and what unfinished large ones count for; not there: none. */
#define LISTED_TAG_LOST	      1
#define LISTED_TAG_UNFINISHED 3

/* LISTED: u64, ids that are remembered, and those that were forgotten before their time; not there: none. */
#define LISTED_TAG_IDS	     9
#define LISTED_TAG_IDS_EARLY 11

/*
 * LISTED: u64, for so many milliseconds a queue NAME.away has had something ready, which nobody takes: no
 * client that is there was told of it by AWAYS.
 */
#define LISTED_TAG_UNTAKEN 13

/*
 * LISTED: u64 each, messages that left the queue without being settled, by why (enum dropped in event.h)
 * from 1 on; not there: none.
 */
#define LISTED_TAG_DROPPED 7
static inline uint64_t wire_listed_dropped(struct slice tags, unsigned why)
{
	struct slice list;
	if (!tags_find(tags, LISTED_TAG_DROPPED, &list) || list.len < 8 * (size_t)why)
		return 0;
	return load_u64(list.data + 8 * (size_t)(why - 1));
}

/* Tagged fields that frames know (tags.h): frame, tag, name of the field. */
#define WIRE_TAGS(X) \
	X(HELLO, HELLO_TAG_TOKEN, token) \
	X(HELLO, HELLO_TAG_HOW, how) \
	X(BEHALF, BEHALF_TAG_RIGHTS, rights) \
	X(WELCOME, WELCOME_TAG_TOKEN, token) \
	X(WELCOME, WELCOME_TAG_SANDBOX, sandbox) \
	X(WELCOME, WELCOME_TAG_CELL, cell) \
	X(DELIVER, DELIVER_TAG_ATTRIBUTES, attributes) \
	X(PEEKED, DELIVER_TAG_ATTRIBUTES, attributes) \
	X(DELIVER_PART, DELIVER_TAG_ATTRIBUTES, attributes) \
	X(PEEKED_PART, DELIVER_TAG_ATTRIBUTES, attributes) \
	X(PEEKED, PEEKED_TAG_ORIGIN, origin) \
	X(PEEKED, PEEKED_TAG_REDRIVES, redrives) \
	X(PEEKED, PEEKED_TAG_WALL, wall) \
	X(PEEKED, PEEKED_TAG_EXPIRE, expire) \
	X(PEEKED, PEEKED_TAG_LEFT, left) \
	X(PEEKED_PART, PEEKED_TAG_ORIGIN, origin) \
	X(PEEKED_PART, PEEKED_TAG_REDRIVES, redrives) \
	X(PEEKED_PART, PEEKED_TAG_WALL, wall) \
	X(PEEKED_PART, PEEKED_TAG_EXPIRE, expire) \
	X(PEEKED_PART, PEEKED_TAG_LEFT, left) \
	X(SEND, SEND_TAG_ATTRIBUTES, attributes) \
	X(SEND, SEND_TAG_QUEUES, queues) \
	X(SEND, SEND_TAG_RESUME, resume) \
	X(SEND, SEND_TAG_KNOWN, known) \
	X(KNOWN, KNOWN_TAG_NUMBERS, numbers) \
	X(POSITION_IS, INPUT_TAG_NUMBERS, numbers) \
	X(POSITION_IS, INPUT_TAG_SKIPPED, skipped) \
	X(HISTORY_IS, HISTORY_IS_TAG_WAITS, waits) \
	X(LISTED, LISTED_TAG_LOST, lost) \
	X(LISTED, LISTED_TAG_UNFINISHED, unfinished) \
	X(LISTED, LISTED_TAG_SETTINGS, settings) \
	X(LISTED, LISTED_TAG_DROPPED, dropped) \
	X(LISTED, LISTED_TAG_IDS, ids) \
	X(LISTED, LISTED_TAG_IDS_EARLY, ids_early) \
	X(LISTED, LISTED_TAG_UNTAKEN, untaken) \
	X(QUEUE_CREATE, QUEUE_TAG_SETTINGS, settings) \
	X(QUEUE_SET, QUEUE_TAG_SETTINGS, settings) \
	X(ARRIVE, DELIVER_TAG_ATTRIBUTES, attributes) \
	X(ARRIVE, PEEKED_TAG_ORIGIN, origin) \
	X(ARRIVE, PEEKED_TAG_REDRIVES, redrives) \
	X(ARRIVE, PEEKED_TAG_WALL, wall) \
	X(ARRIVE, PEEKED_TAG_EXPIRE, expire) \
	X(ARRIVE, PEEKED_TAG_LEFT, left) \
	X(MOVE_OUT, MOVE_OUT_TAG_WAS, was) \
	X(MOVE_IN, MOVE_IN_TAG_WAS, was) \
	X(MOVED, MOVED_TAG_SERVERS, servers) \
	X(PLACE_IS, PLACE_IS_TAG_COPIES, copies) \
	X(CELLS_ARE, CELLS_ARE_TAG_COPIES, copies) \
	X(CELLS_ARE, CELLS_ARE_TAG_COPY_BYTES, copy_bytes)

/* The name of a tag that frames of this type know, NULL: they do not. */
const char *wire_tag_name(unsigned type, unsigned tag);

#endif
