/*
 * Forwards what waits in this cell for queues of other cells (core/client/forward.h): one receiver and a sender
 * for each cell, in one loop.
 */
#ifndef RMQ_QUEUE_FORWARDER_H
#define RMQ_QUEUE_FORWARDER_H

#include "admin.h"

/*
 * Until a signal comes; once: until all that is ready is forwarded.  cell: which of the user's list this one is;
 * NULL: that is no list of cells, and the daemon says it.
 */
enum rmq_error forwarder_run(struct admin *a, bool once, const char *cell)
    __attribute__((warn_unused_result));

#endif
