/*
 * A backup: frames (core/wire/frame.h), as rmq-journal(5) says.  HEADER, then RECORD frames in
 * ascending order, a TERM frame before the first record of each term, PARTIAL if the log
 * is not whole, then END.
 *
 * To bump: raise JOURNAL_VERSION; types are frozen, new ones get new numbers.
 */
#ifndef RMQ_JOURNAL_BACKUP_FORMAT_H
#define RMQ_JOURNAL_BACKUP_FORMAT_H

#include "core/base/codec.h"
#include "core/wire/frame.h"

#define BACKUP_MAGIC 0x62716d72u /* "rmqb" */

/* since: only records after this index.  incarnation: 16 bytes. */
#define BACKUP_HEADER(F) F(u32, magic) F(u16, version) F(u64, since) F(rest, incarnation)
/* A record as it is stored, header included. */
#define BACKUP_RECORD(F) F(rest, bytes)
/* Records from `index` on are of this term. */
#define BACKUP_TERM(F) F(u64, index) F(u64, term)
/* The log does not reach its cover, this record: it is not whole, and was copied by force. */
#define BACKUP_PARTIAL(F) F(u64, cover)
/*
 * records: RECORD frames in this file.  next: index after the newest record; term: newest
 * one opened.  checksum: XXH3-64 of all bytes of the file before this frame.
 */
#define BACKUP_END(F) F(u64, records) F(u64, next) F(u64, term) F(u64, checksum)

#define BACKUP_FRAMES(X) \
	X(1, HEADER, header, BACKUP_HEADER) \
	X(2, RECORD, record, BACKUP_RECORD) \
	X(3, TERM, term, BACKUP_TERM) \
	X(4, END, end, BACKUP_END) \
	X(5, PARTIAL, partial, BACKUP_PARTIAL)

enum backup_type {
#define X(type, NAME, name, FIELDS) BACKUP_TYPE_##NAME = type,
	BACKUP_FRAMES(X)
#undef X
};

#define X(type, NAME, name, FIELDS) \
	CODEC_MESSAGE(backup, name, FIELDS) \
	static inline void backup_put_##name(struct writer *w, const struct backup_##name *m) \
	{ \
		size_t begin = frame_begin(w, type); \
		backup_##name##_encode(w, m); \
		frame_end(w, begin); \
	}
BACKUP_FRAMES(X)
#undef X

#endif
