/* rmq-queue top: a table of queues that is drawn anew again and again, on a terminal. */
#ifndef RMQ_QUEUE_TOP_H
#define RMQ_QUEUE_TOP_H

#include "admin.h"

/* Until a signal ends it, or the daemon is gone for too long. */
enum rmq_error top_run(struct admin *a, const char *glob, uint64_t every_ms)
    __attribute__((warn_unused_result));

#endif
