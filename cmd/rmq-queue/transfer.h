/* rmq-queue move and redrive: messages go to another queue, dead letters back to theirs. */
#ifndef RMQ_QUEUE_TRANSFER_H
#define RMQ_QUEUE_TRANSFER_H

#include "admin.h"

#define REDRIVES_DEFAULT 3

/* Which dead letters go back, and how fast. */
struct redrive {
	const char *match;    /* NAME=VALUE, a header; NULL: any */
	uint64_t limit;	      /* so many at most */
	uint32_t rate;	      /* so many in a period; 0: as fast as it goes */
	uint32_t rate_period; /* ms */
	uint32_t most;	      /* those that went back so often stay */
	bool dry_run;	      /* which ones is printed, and that is all */
};

/* No limits. */
void redrive_init(struct redrive *t);

/* All ready messages of the queue go to the other one; RMQ_E_BUSY: some are not ready. */
enum rmq_error transfer_move(struct admin *a, const char *queue, const char *target)
    __attribute__((warn_unused_result));

/*
 * Those that came from `queue`, out of its dead-letter queue, or if it is one, all that are in
 * it.
 */
enum rmq_error transfer_redrive(struct admin *a, const struct redrive *t, const char *queue)
    __attribute__((warn_unused_result));

#endif
