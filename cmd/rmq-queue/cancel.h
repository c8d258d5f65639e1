/* rmq-queue cancel: messages leave their queues, whoever holds them. */
#ifndef RMQ_QUEUE_CANCEL_H
#define RMQ_QUEUE_CANCEL_H

#include "admin.h"

/* Ids, QUEUE:NUMBER; RMQ_E_NO_MESSAGE: some were not there, and are named. */
enum rmq_error cancel_run(struct admin *a, char **ids, int count)
    __attribute__((warn_unused_result));

#endif
