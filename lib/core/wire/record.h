/*
 * Journal records: the unit that is stored, checked and replicated.
 *
 *	u8 version, u8 kind, u16 zero, u32 payload length, u64 index, u64 term,
 *	u64 checksum (XXH3-64 of the 24 bytes before it and the payload), payload
 *
 * The version is the record's own level: a writer takes the lowest that can hold it, a reader
 * refuses a level that it does not know.  The layout is in rmq-journal(5).
 */
#ifndef RMQ_CORE_WIRE_RECORD_H
#define RMQ_CORE_WIRE_RECORD_H

#include "core/base/codec.h"
#include "core/base/error.h"
#include "core/base/limits.h"

/*      name      code  what it holds */
/* clang-format off */
#define RECORD_KINDS(X) \
	X(EVENTS,   1) /* events of the queue daemon */ \
	X(PART,     2) /* a piece of a checkpoint */ \
	X(END,      3) /* ends a checkpoint: its parts, and the records that died */ \
	X(RESTORED, 4) /* u64 wall clock, ms: this directory was made from a backup then, or recovered */ \
	X(NOOP,     5) /* nothing: a leader's first record, and before a removal */ \
	X(CONFIG,   6) /* members of the cluster; never becomes a hole */
/* clang-format on */

enum record_kind {
#define X(name, code) RECORD_##name = code,
	RECORD_KINDS(X)
#undef X
};

struct record_header {
	enum record_kind kind;
	uint64_t index;
	uint64_t term;
};

/*
 * Fills in the header before a payload that is in place already at
 * record + RECORD_HEADER_SIZE.
 */
void record_seal(uint8_t *record, const struct record_header *h, size_t payload_len);

/*
 * Checks a stored value from end to end and gives its header and payload (borrowed).
 * RMQ_E_VERSION: of another version or an unknown kind; RMQ_E_CORRUPT: cut, wrong
 * index or wrong checksum.
 */
enum rmq_error record_open(struct slice value, uint64_t index, struct record_header *h,
    struct slice *payload) __attribute__((warn_unused_result));

/* The same without the checksum, for a record that this process checked before. */
enum rmq_error record_peek(struct slice value, uint64_t index, struct record_header *h,
    struct slice *payload) __attribute__((warn_unused_result));

/*
 * Whether a record of this kind can stand at an index for which the list of CONFIG and END records
 * that a directory keeps says `marked`; 0: it says nothing.
 */
bool record_kind_fits(unsigned kind, unsigned marked);

/* The kind's name in lower case, NULL for an unknown one. */
const char *record_kind_name(unsigned kind);

#endif
