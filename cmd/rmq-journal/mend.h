/* Sets bad records aside, and makes a journal of what is left on which a queue daemon starts. */
#ifndef RMQ_JOURNAL_MEND_H
#define RMQ_JOURNAL_MEND_H

#include "sys/process/reason.h"
#include "verify.h"

/*
 * Copies each bad record of `f`, of which there are some, to DIR/quarantine-INDEX, prints what is
 * lost with it, and takes it out of the log.  Durable on return, and all or nothing: after an
 * error, or a crash, the log is as it was.
 */
enum rmq_error mend(const char *dir, const struct findings *f, struct reason *why)
    __attribute__((warn_unused_result));

/*
 * The same for a log that lacks records which no checkpoint in it declares dead (cover.h).  They
 * count as bad, and so does the newest checkpoint if it lacks some.
 */
enum rmq_error mend_holes(const char *dir, struct reason *why)
    __attribute__((warn_unused_result));

/* Indexes without a record that say nothing; in ascending order. */
struct known_holes {
	struct known_hole {
		uint64_t first, count;
	} * ranges; /* free(3) */
	size_t count;
};

/* False: out of memory. */
bool known_holes_add(struct known_holes *k, uint64_t first, uint64_t count);

/*
 * For a log that was cut: whether it has all that counts at its end, but for the known holes.  If
 * not, RMQ_E_BAD_DATA, or with `force` as mend_holes().
 */
enum rmq_error mend_cut(const char *dir, const struct known_holes *known, bool force,
    struct reason *why) __attribute__((warn_unused_result));

#endif
