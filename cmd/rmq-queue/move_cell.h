/* rmq-queue move-cell: a queue goes to another cell. */
#ifndef RMQ_QUEUE_MOVE_CELL_H
#define RMQ_QUEUE_MOVE_CELL_H

#include "cells.h"

/* Whether these may be names of a queue that moves, and of a cell; what is wrong was said. */
enum rmq_error move_cell_check(struct admin *a, const char *queue, const char *cell)
    __attribute__((warn_unused_result));

/* RMQ_E_OK: it lives there, now or before.  Done again, it ends what an earlier one began. */
enum rmq_error move_cell_run(struct cells_asked *c, const char *queue, const char *cell)
    __attribute__((warn_unused_result));

#endif
