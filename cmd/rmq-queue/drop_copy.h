/* A copy of a queue that was left in a cell, by a move that was broken off, is dropped. */
#ifndef RMQ_QUEUE_DROP_COPY_H
#define RMQ_QUEUE_DROP_COPY_H

#include "cells.h"

/* Drops all copies of the queue in that cell; one that is all there is of the queue is opened instead. */
enum rmq_error drop_copy_run(struct cells_asked *c, const char *queue, const char *cell)
    __attribute__((warn_unused_result));

#endif
