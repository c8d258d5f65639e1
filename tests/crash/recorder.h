/*
 * What recorder.so writes down of a `rmq-journal serve`, in order, and images reads: entries,
 * each a struct entry, and after a WRITE its bytes.
 */
#ifndef RMQ_CRASH_RECORDER_H
#define RMQ_CRASH_RECORDER_H

#include <stdint.h>

enum entry_kind {
	ENTRY_WRITE = 1, /* of `len` bytes to offset `at` of the data file, which begins now */
	ENTRY_WRITTEN,	 /* by a descriptor with O_DSYNC: these bytes are durable */
	ENTRY_SYNCED,	 /* all that was written is durable */
	ENTRY_SAID,	 /* the journal is about to say that it is stored up to `at` */
};

struct entry {
	uint32_t kind;
	uint32_t len;
	uint64_t at;
	uint64_t confirmed; /* size of the senders' output at that moment */
	uint64_t taken;	    /* … of the receivers' */
};

#endif
