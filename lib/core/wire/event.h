/*
 * Events: changes to queues and sessions, as journaled.  The payload of a record of kind
 * EVENTS, PART or END is
 *
 *	u64 lease time, u64 wall clock (both ms, of the turn that made it)
 *
 * followed by events, each u8 type, u8 zero, u16 length, body.  Layouts are in
 * rmq-journal(5).  Queues are named by a number that is never used twice; only
 * CREATE and PART_QUEUE hold the name.
 *
 * To bump: raise JOURNAL_VERSION; types and fields are frozen, new ones get new numbers.
 */
#ifndef RMQ_CORE_WIRE_EVENT_H
#define RMQ_CORE_WIRE_EVENT_H

#include "core/base/codec.h"
#include "core/base/error.h"
#include "core/base/time.h"
#include "core/wire/batch.h"
#include "core/wire/wire.h"

#define EVENTS_HEADER_SIZE 16
#define EVENT_HEADER_SIZE  4

/* clang-format off */
#define EVENT_CREATE(F) F(u32, queue) F(str, name) QUEUE_SETTINGS(F) F(tags, tags)
#define EVENT_SET(F)    F(u32, queue) QUEUE_SETTINGS(F) F(tags, tags)
#define EVENT_REMOVE(F) F(u32, queue)
/* All messages below sequence number `below` are gone. */
#define EVENT_PURGE(F) F(u32, queue) F(u64, below)
/* A command that left no other trace in the session: it was taken, as number n. */
#define EVENT_TAKEN(F) F(u64, session) F(u64, n)
#define EVENT_SEND(F) \
	F(u32, queue) F(u64, session) F(u64, n) F(u64, first_seq) F(tags, tags) F(rest, batch)
/* Piece `part` of large message n of a session; part 0 forgets an unfinished one of its queues. */
#define EVENT_CHUNK(F) \
	F(u32, queue) F(u64, session) F(u64, n) F(u32, part) F(tags, tags) F(rest, data)
/* What the record of a CHUNK holds besides its data, and tags, if there are any. */
#define EVENT_CHUNK_ALONE (EVENTS_HEADER_SIZE + EVENT_HEADER_SIZE + 4 + 8 + 8 + 4 + 2)
/* The pieces of (session, n) are message seq, also in the further queues that they named. */
#define EVENT_SEND_CHUNKED(F) \
	F(u32, queue) F(u64, session) F(u64, n) F(u64, seq) F(u32, parts) F(u32, bytes) \
	F(tags, tags)
#define EVENT_CHUNKS_DROPPED(F) F(u32, queue) F(u64, session)
/* The unsettled ones of [first, first + span) are handed to session under `lease`. */
#define EVENT_LEASE(F) \
	F(u32, queue) F(u64, session) F(u64, lease) F(u64, first) F(u64, span) F(u32, lease_ms)
/*
 * entries: settle_entry; the first `stale` of them had no effect and are the answer.  SEND and
 * SETTLE of the same number, in one record, are one command, and so are several of SETTLE.
 */
#define EVENT_SETTLE(F) \
	F(u32, queue) F(u64, session) F(u64, n) F(u32, stale) F(tags, tags) F(rest, entries)
/* session 0: not by a command.  until_ms: lease time; 0: ready at once.  flags: SETTLE_COUNTED. */
#define EVENT_RELEASE(F) \
	F(u32, queue) F(u64, session) F(u64, n) F(u32, stale) F(u8, flags) F(u64, until_ms) \
	F(tags, tags) F(rest, entries)
/* New end of these leases: now + lease_ms.  flags: SETTLE_DETACH. */
#define EVENT_TOUCH(F) \
	F(u32, queue) F(u64, session) F(u64, n) F(u32, stale) F(u8, flags) F(u32, lease_ms) \
	F(tags, tags) F(rest, entries)
/* Leases ended, each with a failure. */
#define EVENT_EXPIRE(F) F(u32, queue) F(u64, until_ms) F(tags, tags) F(rest, entries)
/* Leaves its queue … */
#define EVENT_BURY(F) F(u32, queue) F(tags, tags) F(rest, entries)
/*
 * … and comes to the dead-letter queue `queue`, in the same record.  Where its bytes
 * are: `location` is one event_location, or one for each piece of a large message.
 */
#define EVENT_DEAD(F) \
	F(u32, queue) F(u64, first_seq) F(u32, count) F(u32, failures) F(u64, time_ms) \
	F(u32, bytes) F(str, note) F(tags, tags) F(rest, location)
/* The session's attached leases run their full length from now. */
#define EVENT_EXTEND(F)         F(u64, session)
#define EVENT_SESSION_CLOSE(F)  F(u64, session)
#define EVENT_SESSION_FORGET(F) F(u64, session)
/* Whose the session is: before all other events that name it but CHUNK.  node "": no cluster. */
#define EVENT_SESSION_OWNER(F) F(u64, session) F(u32, uid) F(str, node) F(tags, tags)
/* A daemon has started, and issues session ids from number << 32 on. */
#define EVENT_START(F) F(u32, number) F(tags, tags)
/* The delay of [first, first + span) is over. */
#define EVENT_WAKE(F) F(u32, queue) F(u64, first) F(u64, span)
/* These messages' bytes are here now.  time_ms: when they were sent. */
#define EVENT_MOVE(F) \
	F(u32, queue) F(u64, first_seq) F(u64, time_ms) F(tags, tags) F(rest, batch)

/*
 * Messages [first, first + span), as far as they are live, leave the queue: their bodies are
 * in record `index`, which cannot be read.
 */
#define EVENT_LOST(F) F(u32, queue) F(u64, first) F(u64, span) F(u64, index) F(tags, tags)
/* Hashes (u64) of ids of messages that are sent to the queue now: in the record of these. */
/* So many records of the input of this name are stored in the queue. */
#define EVENT_IDS(F)	  F(u32, queue) F(tags, tags) F(rest, hashes)
/* Ids of the queue that are as old as its `dedup` now are forgotten. */
#define EVENT_IDS_PAST(F) F(u32, queue) F(tags, tags)
#define EVENT_POSITION(F) F(u32, queue) F(u64, at) F(str, name) F(tags, tags)
/*
 * Messages of `ranges` (seq_range) leave the queue, as far as they are live, without being settled.
 * DROPPED_MOVED: to where the DEAD before this one in the same record says.
 */
#define DROPPED(X) \
	X(1, EXPIRED, "expired") \
	X(2, REPLACED, "replaced") \
	X(3, CANCELLED, "cancelled") \
	X(4, MOVED, "moved")
enum dropped {
#define X(code, NAME, word) DROPPED_##NAME = code,
	DROPPED(X)
#undef X
	DROPPED_WHYS /* one more than the highest */
};
#define EVENT_DROP(F) F(u32, queue) F(u8, why) F(tags, tags) F(rest, ranges)

/* What comes to a topic that the pattern matches comes to the queue; no longer. */
#define EVENT_BIND(F)   F(u32, queue) F(str, pattern) F(tags, tags)
#define EVENT_UNBIND(F) F(u32, queue) F(str, pattern) F(tags, tags)
/* The queue ends with the session: it is an ephemeral subscription of it. */
#define EVENT_EPHEMERAL(F) F(u32, queue) F(u64, session) F(tags, tags)

/*
 * The map: the key has this value, or is deleted, and this is the version of the change.  A value longer than
 * KV_PIECE_MAX goes on in KV_MORE of the same version, in the same record.
 */
#define EVENT_KV_PUT(F) \
	F(u64, version) F(u64, session) F(u64, n) F(str, key) F(tags, tags) F(rest, value)
#define EVENT_KV_MORE(F) F(u64, version) F(tags, tags) F(rest, value)
#define EVENT_KV_DEL(F) \
	F(u64, version) F(u64, session) F(u64, n) F(str, key) F(tags, tags)

/*
 * Cells: the place of a base name (enum place_state) is this from now on; and a copy of what has that base
 * name arrives, as number `number`, or is none any more.
 */
#define EVENT_PLACED(F)	   F(u8, state) F(str, name) F(str, cell) F(str, token) F(tags, tags)
#define EVENT_COPY(F)	   F(str, name) F(str, token) F(u64, number) F(tags, tags)
#define EVENT_COPY_GONE(F) F(str, name) F(str, token) F(tags, tags)
/* The queue has gone to another cell, or its copy is dropped: it has no name any more, and is emptied. */
#define EVENT_LEAVE(F) F(u32, queue) F(tags, tags)
/* The queue, of a copy up to now, is the one of its name from now on. */
#define EVENT_OPEN(F) F(u32, queue) F(tags, tags)
/*
 * A queue comes from another cell, where it had other numbers of records: messages with the numbers, state
 * and so on that they had there.  Of one queue they rise, with gaps where messages are gone.  flags:
 * COME_WALL: delayed since they were sent, until_ms is wall clock; else lease time, 0: ready.
 * COME_OWN: they expire (EVENT_TAG_EXPIRE) as they were sent, else by the queue's setting.
 */
enum { COME_WALL = 1, COME_OWN = 2, COME_FLAGS = 3 };
#define EVENT_COME(F) \
	F(u32, queue) F(u64, first_seq) F(u64, time_ms) F(u8, flags) F(u32, failures) \
	F(u64, until_ms) F(str, note) F(tags, tags) F(rest, batch)
/* What the record of a COME holds besides its batch, at most. */
#define EVENT_COME_HEAD_MAX \
	(EVENT_HEADER_SIZE + 4 + 8 + 8 + 1 + 4 + 8 + 1 + TEXT_MAX + 2 + EVENT_PLACE_TAGS_MAX + \
	    TAG_U64_SIZE)
/* The pieces of (session, n) are such a message. */
#define EVENT_COME_LARGE(F) \
	F(u32, queue) F(u64, session) F(u64, n) F(u64, seq) F(u32, parts) F(u32, bytes) \
	F(u64, time_ms) F(u8, flags) F(u32, failures) F(u64, until_ms) F(str, note) \
	F(tags, tags)
/* Its next number and its counts, as in PART_QUEUE, and the tags of that. */
#define EVENT_COME_STATE(F) \
	F(u32, queue) F(u64, next_seq) F(u64, sent) F(u64, delivered) F(u64, settled) \
	F(u64, failed) F(u64, dead) F(tags, tags)
/* As PART_IDS: older than those that it remembers. */
#define EVENT_COME_IDS(F) F(u32, queue) F(tags, tags) F(rest, ids)

/* Only in checkpoints (records PART, END). */
#define EVENT_PART_GROUP(F) F(u32, group) F(u8, last)
#define EVENT_PART_GLOBAL(F) F(u32, next_queue) F(u64, lease) F(u64, forgotten) F(tags, tags)
#define EVENT_PART_SESSION(F) F(u64, session) F(u64, last) F(tags, tags)
/* Several of the same number, one after the other, are one answer. */
#define EVENT_PART_ANSWER(F) \
	F(u64, session) F(u64, n) F(u64, first_seq) F(u32, count) F(tags, tags) F(rest, stale)
#define EVENT_PART_QUEUE(F) \
	F(u32, queue) F(str, name) QUEUE_SETTINGS(F) F(u64, next_seq) F(u64, sent) \
	F(u64, delivered) F(u64, settled) F(u64, failed) F(u64, dead) F(tags, tags)
/* live: bitmap of `count` bits, empty: all are. */
#define EVENT_PART_BATCH(F) \
	F(u32, queue) F(u64, first_seq) F(u32, count) F(u64, index) F(u16, offset) F(u16, slot) \
	F(u32, bytes) F(u32, record_bytes) F(str, note) F(tags, tags) F(rest, live)
#define EVENT_PART_LARGE(F) \
	F(u32, queue) F(u64, seq) F(u32, bytes) F(u64, time_ms) F(str, note) F(tags, tags) \
	F(rest, location)
#define EVENT_PART_RANGE(F) \
	F(u32, queue) F(u8, state) F(u8, flags) F(u64, first) F(u64, span) F(u32, attempt) \
	F(u32, failures) F(u64, lease) F(u64, session) F(u32, lease_ms) F(u64, until_ms) \
	F(tags, tags)
#define EVENT_PART_PENDING(F) \
	F(u32, queue) F(u64, session) F(u64, n) F(u32, bytes) F(tags, tags) F(rest, location)
/* parts: u64 index for each group in turn.  dead: hole_range. */
#define EVENT_END_PARTS(F) F(u64, begin) F(rest, parts)
#define EVENT_END_DEAD(F)  F(rest, ranges)
/* In the part of the sessions: the highest number of a start. */
#define EVENT_PART_START(F) F(u32, number) F(tags, tags)
/* … and after its PART_SESSION, whose a session is. */
#define EVENT_PART_OWNER(F) F(u64, session) F(u32, uid) F(str, node) F(tags, tags)
/*
 * The part of a group goes on in a later record, with events between.  What it has not named
 * yet comes there, as it is then: other queues, and messages of `queue` (0: none) from `below`
 * on (UINT64_MAX: none, but ids; of the sessions: only the map is left).  PART_QUEUE stands again before the last piece of a queue that is cut.
 */
#define EVENT_PART_PAUSE(F) F(u32, queue) F(u64, below) F(tags, tags)
/*
 * The map, in the part of the sessions, after these: the version of its newest change, before the entries of
 * each piece, which are in order of their versions and go on likewise in PART_KV_MORE.
 */
#define EVENT_PART_KV(F) F(u64, version) F(tags, tags)
enum { PART_KV_DELETED = 1 };
#define EVENT_PART_KV_ENTRY(F) \
	F(u64, version) F(u8, flags) F(str, key) F(tags, tags) F(rest, value)
#define EVENT_PART_KV_MORE(F) F(u64, version) F(tags, tags) F(rest, value)
/* After its PART_QUEUE: what the queue is bound to, and the session that it ends with. */
#define EVENT_PART_BINDING(F)	F(u32, queue) F(str, pattern) F(tags, tags)
#define EVENT_PART_EPHEMERAL(F) F(u32, queue) F(u64, session) F(tags, tags)
/* After the queue's messages, the newest first.  ids: u64 hash, u64 lease time. */
#define EVENT_PART_IDS(F)      F(u32, queue) F(tags, tags) F(rest, ids)
/* In order of their age, before the queue's messages. */
#define EVENT_PART_POSITION(F) F(u32, queue) F(u64, at) F(str, name) F(tags, tags)

/* Messages from `first` on have these keys (keys.h), u64 each; 0: none, or it is gone. */
#define EVENT_PART_KEYS(F) F(u32, queue) F(u64, first) F(tags, tags) F(rest, keys)
/* Messages [first, first + span) expire then (wall clock), as far as they are live. */
#define EVENT_PART_EXPIRY(F) F(u32, queue) F(u64, first) F(u64, span) F(u64, at_ms) F(tags, tags)

/* In the part of the sessions, between these and the map: places by name, each with its copies. */
#define EVENT_PART_PLACE(F) \
	F(u8, state) F(str, name) F(str, cell) F(str, token) F(tags, tags)
#define EVENT_PART_COPY(F) F(str, name) F(str, token) F(u64, number) F(tags, tags)

/*      type NAME            name            fields */
#define EVENTS(X) \
	X(1,  CREATE,         create,         EVENT_CREATE) \
	X(2,  SET,            set,            EVENT_SET) \
	X(3,  REMOVE,         remove,         EVENT_REMOVE) \
	X(4,  PURGE,          purge,          EVENT_PURGE) \
	X(5,  TAKEN,          taken,          EVENT_TAKEN) \
	X(6,  SEND,           send,           EVENT_SEND) \
	X(7,  CHUNK,          chunk,          EVENT_CHUNK) \
	X(8,  SEND_CHUNKED,   send_chunked,   EVENT_SEND_CHUNKED) \
	X(9,  CHUNKS_DROPPED, chunks_dropped, EVENT_CHUNKS_DROPPED) \
	X(10, LEASE,          lease,          EVENT_LEASE) \
	X(11, SETTLE,         settle,         EVENT_SETTLE) \
	X(12, RELEASE,        release,        EVENT_RELEASE) \
	X(13, TOUCH,          touch,          EVENT_TOUCH) \
	X(14, EXPIRE,         expire,         EVENT_EXPIRE) \
	X(15, BURY,           bury,           EVENT_BURY) \
	X(16, DEAD,           dead,           EVENT_DEAD) \
	X(17, EXTEND,         extend,         EVENT_EXTEND) \
	X(18, SESSION_CLOSE,  session_close,  EVENT_SESSION_CLOSE) \
	X(19, SESSION_FORGET, session_forget, EVENT_SESSION_FORGET) \
	X(20, MOVE,           move,           EVENT_MOVE) \
	X(21, WAKE,           wake,           EVENT_WAKE) \
	X(22, START,          start,          EVENT_START) \
	X(23, SESSION_OWNER,  session_owner,  EVENT_SESSION_OWNER) \
	X(24, LOST,           lost,           EVENT_LOST) \
	X(26, BIND,           bind,           EVENT_BIND) \
	X(27, UNBIND,         unbind,         EVENT_UNBIND) \
	X(28, EPHEMERAL,      ephemeral,      EVENT_EPHEMERAL) \
	X(39, IDS,            ids,            EVENT_IDS) \
	X(40, IDS_PAST,       ids_past,       EVENT_IDS_PAST) \
	X(38, POSITION,       position,       EVENT_POSITION) \
	X(25, DROP,           drop,           EVENT_DROP) \
	X(41, KV_PUT,         kv_put,         EVENT_KV_PUT) \
	X(42, KV_MORE,        kv_more,        EVENT_KV_MORE) \
	X(43, KV_DEL,         kv_del,         EVENT_KV_DEL) \
	X(44, PLACED,         placed,         EVENT_PLACED) \
	X(45, COPY,           copy,           EVENT_COPY) \
	X(46, COPY_GONE,      copy_gone,      EVENT_COPY_GONE) \
	X(47, LEAVE,          leave,          EVENT_LEAVE) \
	X(48, OPEN,           open,           EVENT_OPEN) \
	X(50, COME,           come,           EVENT_COME) \
	X(51, COME_LARGE,     come_large,     EVENT_COME_LARGE) \
	X(52, COME_STATE,     come_state,     EVENT_COME_STATE) \
	X(53, COME_IDS,       come_ids,       EVENT_COME_IDS) \
	X(64, PART_GROUP,     part_group,     EVENT_PART_GROUP) \
	X(65, PART_GLOBAL,    part_global,    EVENT_PART_GLOBAL) \
	X(66, PART_SESSION,   part_session,   EVENT_PART_SESSION) \
	X(67, PART_ANSWER,    part_answer,    EVENT_PART_ANSWER) \
	X(68, PART_QUEUE,     part_queue,     EVENT_PART_QUEUE) \
	X(69, PART_BATCH,     part_batch,     EVENT_PART_BATCH) \
	X(70, PART_LARGE,     part_large,     EVENT_PART_LARGE) \
	X(71, PART_RANGE,     part_range,     EVENT_PART_RANGE) \
	X(72, PART_PENDING,   part_pending,   EVENT_PART_PENDING) \
	X(73, END_PARTS,      end_parts,      EVENT_END_PARTS) \
	X(74, END_DEAD,       end_dead,       EVENT_END_DEAD) \
	X(75, PART_START,     part_start,     EVENT_PART_START) \
	X(76, PART_OWNER,     part_owner,     EVENT_PART_OWNER) \
	X(89, PART_IDS,       part_ids,       EVENT_PART_IDS) \
	X(88, PART_POSITION,  part_position,  EVENT_PART_POSITION) \
	X(77, PART_PAUSE,     part_pause,     EVENT_PART_PAUSE) \
	X(80, PART_KEYS,      part_keys,      EVENT_PART_KEYS) \
	X(81, PART_EXPIRY,    part_expiry,    EVENT_PART_EXPIRY) \
	X(78, PART_BINDING,   part_binding,   EVENT_PART_BINDING) \
	X(79, PART_EPHEMERAL, part_ephemeral, EVENT_PART_EPHEMERAL) \
	X(90, PART_KV,        part_kv,        EVENT_PART_KV) \
	X(91, PART_KV_ENTRY,  part_kv_entry,  EVENT_PART_KV_ENTRY) \
	X(92, PART_KV_MORE,   part_kv_more,   EVENT_PART_KV_MORE) \
	X(96, PART_PLACE,     part_place,     EVENT_PART_PLACE) \
	X(97, PART_COPY,      part_copy,      EVENT_PART_COPY)

enum event_type {
#define X(type, NAME, name, FIELDS) EVENT_TYPE_##NAME = type,
	EVENTS(X)
#undef X
};

/* struct event_create …, and event_put_create(): a whole event, header and body. */
#define X(type, NAME, name, FIELDS) \
	CODEC_MESSAGE(event, name, FIELDS) \
	static inline void event_put_##name(struct writer *w, const struct event_##name *m) \
	{ \
		size_t begin = event_begin(w, type); \
		event_##name##_encode(w, m); \
		event_end(w, begin); \
	}
size_t event_begin(struct writer *w, uint8_t type);
void event_end(struct writer *w, size_t begin);
EVENTS(X)
#undef X

/* Bytes of entries in one event, at most; more are in several, which follow one another. */
#define EVENT_ENTRIES_BYTES ((RECORD_FILL - 512) / SETTLE_ENTRY_SIZE * SETTLE_ENTRY_SIZE)

/* Where bytes are: the SEND, MOVE, COME or CHUNK event at `offset` in record `index`'s payload. */
#define EVENT_LOCATION_SIZE 16
struct event_location {
	uint64_t index;
	uint32_t record_bytes; /* the record's payload, for accounting */
	uint16_t offset;       /* of the event's header in the payload */
	uint16_t slot;         /* messages to pass over, from the event's first on */
};

static inline void event_location_put(struct writer *w, const struct event_location *l)
{
	put_u64(w, l->index);
	put_u32(w, l->record_bytes);
	put_u16(w, l->offset);
	put_u16(w, l->slot);
}

static inline struct event_location event_location_get(struct reader *r)
{
	struct event_location l;
	l.index = get_u64(r);
	l.record_bytes = get_u32(r);
	l.offset = get_u16(r);
	l.slot = get_u16(r);
	return l;
}

/* Times before a payload's events. */
struct events_header {
	struct lease_time lease;
	struct wall_time wall;
};

struct event {
	uint8_t type;
	uint32_t offset; /* in the payload */
	struct slice body;
};

/* Walks a payload. */
struct event_iter {
	struct slice payload;
	size_t at;
};

enum rmq_error events_open(struct slice payload, struct events_header *h,
    struct event_iter *it) __attribute__((warn_unused_result));

/*
 * The next event.  RMQ_E_OK; RMQ_E_NOTHING after the last; RMQ_E_CORRUPT if cut;
 * RMQ_E_VERSION for an unknown type.
 */
enum rmq_error event_next(struct event_iter *it, struct event *e)
    __attribute__((warn_unused_result));

/* Sets the iterator to the event that begins at `offset`. */
void event_seek(struct event_iter *it, uint16_t offset);

const char *event_name(unsigned type);

/* Tagged fields that events know (tags.h): event, tag, name of the field. */
#define EVENT_TAGS(X) /* also those that are kept for later: "Lanes" in rmq-internals(7) */ \
	X(SEND, EVENT_TAG_FURTHER, further) \
	X(MOVE, EVENT_TAG_FURTHER, further) \
	X(SEND_CHUNKED, EVENT_TAG_FURTHER, further) \
	X(DEAD, EVENT_TAG_SHARES, shares) \
	X(PART_BATCH, EVENT_TAG_SHARES, shares) \
	X(PART_LARGE, EVENT_TAG_SHARES, shares) \
	X(PART_PENDING, EVENT_TAG_SHARES, shares) \
	X(COME, EVENT_TAG_ORIGIN, origin) \
	X(COME, EVENT_TAG_REDRIVES, redrives) \
	X(COME, EVENT_TAG_EXPIRE, expire) \
	X(COME_LARGE, EVENT_TAG_ORIGIN, origin) \
	X(COME_LARGE, EVENT_TAG_REDRIVES, redrives) \
	X(COME_LARGE, EVENT_TAG_EXPIRE, expire) \
	X(COME_STATE, PART_QUEUE_TAG_LOST, lost) \
	X(COME_STATE, EVENT_TAG_MAKER, maker) \
	X(COME_STATE, PART_QUEUE_TAG_RATE, rate) \
	X(COME_STATE, PART_QUEUE_TAG_DROPPED, dropped) \
	X(COME_STATE, PART_QUEUE_TAG_IDS_SEED, ids_seed) \
	X(COME_STATE, PART_QUEUE_TAG_IDS_EARLY, ids_early) \
	X(COME_STATE, COME_STATE_TAG_LEASE, lease) \
	X(PART_QUEUE, PART_QUEUE_TAG_IDS_SEED, ids_seed) \
	X(COME_IDS, PART_IDS_TAG_NUMBERS, numbers) \
	X(IDS, IDS_TAG_FIRST, first) \
	X(PART_IDS, PART_IDS_TAG_NUMBERS, numbers) \
	X(POSITION, INPUT_TAG_NUMBERS, numbers) \
	X(POSITION, INPUT_TAG_SKIPPED, skipped) \
	X(PART_POSITION, INPUT_TAG_NUMBERS, numbers) \
	X(PART_POSITION, INPUT_TAG_SKIPPED, skipped) \
	X(START, START_TAG_SECRET, secret) \
	X(PART_START, START_TAG_SECRET, secret) \
	X(PART_RANGE, EVENT_TAG_PRIORITY, priority) \
	X(DEAD, EVENT_TAG_PRIORITY, priority) \
	X(PART_RANGE, PART_RANGE_TAG_WALL, wall) \
	X(PART_RANGE, PART_RANGE_TAG_MIX, priorities) \
	X(DEAD, EVENT_TAG_KEYS, keys) \
	X(PART_PENDING, EVENT_TAG_KEYS, key) \
	X(PART_PENDING, PART_PENDING_TAG_ATTRIBUTES, attributes) \
	X(CHUNK, CHUNK_TAG_ATTRIBUTES, attributes) \
	X(CHUNK, CHUNK_TAG_QUEUES, queues) \
	X(DEAD, EVENT_TAG_REDRIVES, redrives) \
	X(PART_BATCH, EVENT_TAG_REDRIVES, redrives) \
	X(PART_LARGE, EVENT_TAG_REDRIVES, redrives) \
	X(DEAD, EVENT_TAG_EXPIRE, expire) \
	X(PART_EXPIRY, PART_EXPIRY_TAG_OWN, own) \
	X(DEAD, EVENT_TAG_TAKEN, taken) \
	X(DEAD, EVENT_TAG_ORIGIN, origin) \
	X(PART_BATCH, EVENT_TAG_ORIGIN, origin) \
	X(PART_LARGE, EVENT_TAG_ORIGIN, origin) \
	X(CREATE, EVENT_TAG_MAKER, maker) \
	X(PART_QUEUE, EVENT_TAG_MAKER, maker) \
	X(CREATE, EVENT_TAG_ARRIVING, arriving) \
	X(PART_QUEUE, EVENT_TAG_ARRIVING, arriving) \
	X(PART_QUEUE, PART_QUEUE_TAG_LEFT, left) \
	X(PLACED, EVENT_TAG_MAKER, maker) \
	X(PART_PLACE, EVENT_TAG_MAKER, maker) \
	X(COPY, EVENT_TAG_MAKER, maker) \
	X(PART_COPY, EVENT_TAG_MAKER, maker) \
	X(COPY, COPY_TAG_FROM, from) \
	X(PART_COPY, COPY_TAG_FROM, from) \
	X(PART_COPY, PART_COPY_TAG_SINCE, since) \
	X(KV_PUT, EVENT_TAG_MAKER, maker) \
	X(PART_KV_ENTRY, EVENT_TAG_MAKER, maker) \
	X(PART_QUEUE, PART_QUEUE_TAG_DROPPED, dropped) \
	X(PART_QUEUE, PART_QUEUE_TAG_LOST, lost) \
	X(PART_QUEUE, PART_QUEUE_TAG_IDS_EARLY, ids_early) \
	X(PART_QUEUE, PART_QUEUE_TAG_RATE, rate) \
	X(CREATE, EVENT_TAG_SETTINGS, settings) \
	X(SET, EVENT_TAG_SETTINGS, settings) \
	X(PART_QUEUE, EVENT_TAG_SETTINGS, settings)

/*
 * IDS: u64, the message that has the first id; each of those after it has the next one.  PART_IDS: u64
 * each, the messages of `ids`, 0: not known.  Not there: none is known.
 */
#define IDS_TAG_FIRST	     1
#define PART_IDS_TAG_NUMBERS 1

/*
 * START and PART_START: SESSION_SECRET_SIZE bytes of which tokens are made (owner.h).  Of the first
 * START that has one, and for ever.  Not to be shown.
 */
#define START_TAG_SECRET 2

/*
 * Dead letters: they were message `seq` of this queue and those that follow it.  `note` says
 * why they left it; without the tag it is all that is said of each.
 */
#define EVENT_TAG_ORIGIN 8
#define EVENT_ORIGIN(F)	 F(u64, seq) F(rest, queue)
CODEC_MESSAGE(event, origin, EVENT_ORIGIN)
#define EVENT_ORIGIN_MAX (4 + 8 + NAME_FULL_MAX)
/* What the tags say, a queue without a name if nothing; false: it is none. */
bool event_origin_find(struct slice tags, struct event_origin *o);

/* CHUNK: the large message's attributes, in its first piece. */
#define CHUNK_TAG_ATTRIBUTES 2
/* CHUNK: u32 each, further queues that it comes to, ascending; in each piece the same. */
#define CHUNK_TAG_QUEUES     4
#define CHUNK_QUEUES_MAX     ((SHARES_MAX - 1) * 4)
/* The list in the tags, empty: none; false: it is none. */
bool event_chunk_queues(struct slice tags, struct slice *queues);
/* Bytes of a CHUNK for so many queues in which it names the further ones. */
static inline uint32_t event_chunk_queues_len(uint32_t shares)
{
	return shares > 1 ? 4 + 4 * (shares - 1) : 0;
}

/*
 * CREATE and PART_QUEUE: the user who made the queue, and its node; not there: it is not known.  KV_PUT
 * and PART_KV_ENTRY: who put it.  PLACED and PART_PLACE: who has made the place.  COPY and PART_COPY: who has
 * begun it.
 */
#define EVENT_TAG_MAKER	 3
#define EVENT_MAKER(F)	 F(u32, uid) F(rest, node)
/* clang-format on */
CODEC_MESSAGE(event, maker, EVENT_MAKER)
#define EVENT_MAKER_MAX (4 + 4 + RAFT_NAME_MAX)
/* Writes the tag. */
void event_maker_put(struct writer *w, const struct event_maker *m);
/* What the tags say; false: nothing, or none that there can be. */
bool event_maker_find(struct slice tags, struct event_maker *m);

/*
 * SEND, MOVE, SEND_CHUNKED: further queues that have the messages, and the number of the first one
 * there (event_target), in order of the queues' numbers.  Only a MOVE names a queue twice.
 */
#define EVENT_TAG_FURTHER 2
#define EVENT_TARGET_SIZE 12
#define EVENT_FURTHER_MAX ((SHARES_MAX - 1) * EVENT_TARGET_SIZE)
struct event_target {
	uint32_t queue;
	uint64_t first_seq;
};

static inline void event_target_put(struct writer *w, const struct event_target *t)
{
	put_u32(w, t->queue);
	put_u64(w, t->first_seq);
}

static inline struct event_target event_target_get(struct reader *r)
{
	struct event_target t;
	t.queue = get_u32(r);
	t.first_seq = get_u64(r);
	return t;
}

/* The list of event_target after the first one in the tags, empty: none; false: it is none. */
bool event_further_find(struct slice tags, struct slice *further);

/* Whether two such lists name the same queues. */
bool event_same_queues(struct slice a, struct slice b);

/* DEAD and PARTs: u16, so many queues the event at that place named; not there: one. */
#define EVENT_TAG_SHARES 10
/* What the tags say; 0: no number of queues that share. */
uint16_t event_shares_find(struct slice tags);

/* DEAD and PARTs: u32, how often they went back from a dead-letter queue; not there: never. */
#define EVENT_TAG_REDRIVES 12
/* What the tags say; false: no number. */
bool event_redrives_find(struct slice tags, uint32_t *redrives);

/*
 * The list of tags that says where from messages came, how often they went back there, and how many
 * share the bytes, in `bytes`.  Nothing of an origin without a queue's name, nor of one share.
 */
#define EVENT_PLACE_TAGS_MAX (EVENT_ORIGIN_MAX + 4 + 2 + 4 + 4)
struct slice event_place_tags(const struct event_origin *o, uint16_t shares, uint32_t redrives,
    uint8_t bytes[EVENT_PLACE_TAGS_MAX]);

/*
 * DEAD: these are no new dead letters, but messages that were taken out of a queue, whose number this
 * is, from message `seq` on; the DROP after it says so, too.
 */
#define EVENT_TAG_TAKEN	    21
#define EVENT_TAKEN_FROM(F) F(u32, queue) F(u64, seq)
CODEC_MESSAGE(event, taken_from, EVENT_TAKEN_FROM)
#define EVENT_TAKEN_SIZE (4 + 4 + 8)
/* What the tags say; false: they were not taken. */
bool event_taken_find(struct slice tags, struct event_taken_from *t);

/* DEAD: u64, wall clock at which the messages expire, as they were sent; not there: they were not so. */
#define EVENT_TAG_EXPIRE 14
/* PART_EXPIRY: empty, as they were sent; else by the setting of their queue. */
#define PART_EXPIRY_TAG_OWN 1

/* PART_RANGE, DEAD: u8, the messages' priority; not there: PRIORITY_DEFAULT. */
#define EVENT_TAG_PRIORITY  2
#define EVENT_PRIORITY_SIZE (4 + 1)
/* Writes the tag, unless it is the default. */
void event_priority_put(struct writer *w, uint8_t priority);
/* What the tags say; false: no priority. */
bool event_priority_find(struct slice tags, uint8_t *priority);
/* DEAD: u64 for each message, its key; 0: none.  PART_PENDING: u64, that of the message. */
#define EVENT_TAG_KEYS 4
#define DEAD_KEYS_MAX  512
/* PART_RANGE: empty, until_ms is wall clock. */
#define PART_RANGE_TAG_WALL 4
/* PART_RANGE, not of leased ones: of each message of the span its priority, a u8, if they differ. */
#define PART_RANGE_TAG_MIX 6
/* PART_PENDING: those of the message's attributes that are acted upon (attributes.h). */
#define PART_PENDING_TAG_ATTRIBUTES 2

/* PART_QUEUE: u64, messages that were lost; not there: none. */
#define PART_QUEUE_TAG_LOST 1
/* PART_QUEUE: u64, when the hand-outs have no more effect on the queue's rate (policy.h). */
#define PART_QUEUE_TAG_RATE 4

/* CREATE and PART_QUEUE: CELL_TOKEN_SIZE bytes: the queue is of the copy with this token. */
#define EVENT_TAG_ARRIVING  6
#define EVENT_ARRIVING_SIZE (4 + CELL_TOKEN_SIZE)
/* PART_QUEUE: empty: a LEAVE has taken the queue's name. */
#define PART_QUEUE_TAG_LEFT 8
/* COPY, PART_COPY: the name of the cell that it is copied from; not there: it is not known. */
#define COPY_TAG_FROM 5
/* PART_COPY: u64, wall clock in ms when the copy began; not there: it is not known. */
#define PART_COPY_TAG_SINCE 1

/* CREATE, SET, PART_QUEUE: further settings (more_settings.h). */
#define EVENT_TAG_SETTINGS 2

/* PART_QUEUE: u64 each, how many were dropped, by why from DROPPED_EXPIRED on; not there: none. */
#define PART_QUEUE_TAG_DROPPED 5
/* PART_QUEUE: u64, what the hashes of its ids begin with; not there: with the journal's secret. */
#define PART_QUEUE_TAG_IDS_SEED 10
/* COME_STATE: u64, no lease up to this number is given out again. */
#define COME_STATE_TAG_LEASE 8
/* PART_QUEUE: u64, ids that were forgotten before their time; not there: none. */
#define PART_QUEUE_TAG_IDS_EARLY 7
#define QUEUE_DROPPED_SIZE	 (4 + 8 * (DROPPED_WHYS - 1))

/* The name of a tag that events of this type know, NULL: they do not. */
const char *event_tag_name(unsigned type, unsigned tag);

/* RMQ_E_VERSION: the event has a tag that must be known and is not; RMQ_E_CORRUPT. */
enum rmq_error event_check_tags(unsigned type, struct slice tags)
    __attribute__((warn_unused_result));

/*
 * Messages where they are stored: some of one SEND, MOVE or COME event.  Give the location,
 * and how many messages are wanted from there on: a run may go on in the following
 * such events of the same queues in the same record, and `count` says how many
 * of it this event holds.  RMQ_E_CORRUPT if the bytes are not what they should be; attributes
 * are not looked at.
 */
struct event_messages {
	struct batch_view batch;
	uint32_t slot;	/* first wanted message in the batch */
	uint32_t count; /* wanted messages that are here */
	uint64_t time_ms;
};

/* Places an iterator for a run of `wanted` messages that begins at (offset, slot). */
struct event_run {
	struct event_iter it;
	struct wall_time wall;
	uint32_t queue;
	struct slice further;
	bool begun;
	uint32_t slot;
	uint32_t wanted;
};

enum rmq_error event_run_open(struct slice payload, uint16_t offset, uint16_t slot,
    uint32_t wanted, struct event_run *run) __attribute__((warn_unused_result));
/* RMQ_E_NOTHING when all wanted were given. */
enum rmq_error event_run_next(struct event_run *run, struct event_messages *m)
    __attribute__((warn_unused_result));

/*
 * What the payload of an END names as dead: hole_range each; empty: nothing.  RMQ_E_CORRUPT,
 * RMQ_E_VERSION: as event_next().
 */
enum rmq_error event_dead_ranges(struct slice payload, struct slice *ranges)
    __attribute__((warn_unused_result));

/*
 * Whether a record with this payload brings what did not exist before: messages, or queues.  So
 * too if it cannot be read.
 */
bool event_brings_messages(struct slice payload);

/* The bytes of the CHUNK event at `offset`, and, in the first piece, the message's attributes. */
enum rmq_error event_chunk_data(struct slice payload, uint16_t offset, struct slice *data,
    struct slice *attributes) __attribute__((warn_unused_result));

#endif
