/* rmq-queue metrics: all queues in the text format of OpenMetrics 1.0. */
#ifndef RMQ_QUEUE_METRICS_H
#define RMQ_QUEUE_METRICS_H

#include "admin.h"

/* Puts them; an error was noted by admin_fail(). */
enum rmq_error metrics_put(struct admin *a, struct text *out)
    __attribute__((warn_unused_result));

#define METRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

#endif
