/*
 * rmq-queue cells --lost: queues that nobody finds, as cells were wiped or restored, by what all cells say of
 * them; and names that have no queue, of which --homes has to tell as well.
 */
#ifndef RMQ_QUEUE_LOST_H
#define RMQ_QUEUE_LOST_H

#include "cells.h"

extern const struct table_columns columns_of_lost;
#define LOST_COLUMNS "queue,cell"

/*
 * Puts a row for each queue that who begins at its home does not find where it lives, and the cell in which place-cell
 * is to say that it does: the one that has it, or else the one that does not know it any more.  What depends on
 * a cell that is down is left out.
 */
enum rmq_error lost_list(struct cells_asked *c, struct table *table, struct text *out)
    __attribute__((warn_unused_result));

/*
 * Prints, as cells_homes(), each name that has moved and has no queue, so that a move that was broken off at its end is
 * one of them, if its home by this list knows nothing of it: it would make it a second time.
 */
enum rmq_error lost_homes(struct cells_asked *c, const struct cells *by)
    __attribute__((warn_unused_result));

#endif
