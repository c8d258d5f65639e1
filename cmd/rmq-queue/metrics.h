/* rmq-queue metrics: all queues in the text format of OpenMetrics 1.0. */
#ifndef RMQ_QUEUE_METRICS_H
#define RMQ_QUEUE_METRICS_H

#include "cells.h"
#include "core/client/openmetrics.h"

/* Puts those of all cells that answer; an error was noted by admin_fail(). */
enum rmq_error metrics_put(struct cells_asked *c, struct text *out)
    __attribute__((warn_unused_result));

#endif
