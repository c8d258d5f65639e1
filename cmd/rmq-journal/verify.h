/* A data directory checked by child processes, which may crash. */
#ifndef RMQ_JOURNAL_VERIFY_H
#define RMQ_JOURNAL_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "sys/process/reason.h"

struct findings {
	uint64_t *bad; /* indexes of bad records, ascending; to be freed */
	size_t count;
	size_t cap;
	uint64_t records; /* that were looked at */
	uint64_t unknown; /* a bad one that is of a version that is not known; 0: none */
	bool structure;	  /* something that cannot be set aside */
};

/*
 * Prints each finding as a line on stdout.  RMQ_E_OK: it came to an end, whatever it found.
 * Others: the directory cannot be read, and nothing is known of its records.  Call it before
 * the directory is opened: it forks.
 */
enum rmq_error verify(const char *dir, struct findings *f, struct reason *why)
    __attribute__((warn_unused_result));

#endif
