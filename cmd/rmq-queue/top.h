/* rmq-queue top: a table of queues that is drawn anew again and again, on a terminal. */
#ifndef RMQ_QUEUE_TOP_H
#define RMQ_QUEUE_TOP_H

#include "cells.h"

/* Until a signal ends it, or the daemon is gone for too long. */
enum rmq_error top_run(struct cells_asked *c, const char *glob, uint64_t every_ms)
    __attribute__((warn_unused_result));

#endif
