/* stat --queues: what each queue takes, from a state that is recovered as the queue daemon does. */
#ifndef RMQ_JOURNAL_QUEUES_H
#define RMQ_JOURNAL_QUEUES_H

#include "journal.h"

enum rmq_error print_queues(const char *dir, bool json, struct reason *why)
    __attribute__((warn_unused_result));

#endif
