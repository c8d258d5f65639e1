/* rmq-cluster top: the members and the last events, on a terminal. */
#ifndef RMQ_CLUSTER_TOP_H
#define RMQ_CLUSTER_TOP_H

#include "ask.h"

/* Draws every so many ms, until a signal ends the program.  What fails is printed. */
enum rmq_error top_run(struct ask *a, uint64_t every_ms) __attribute__((warn_unused_result));

#endif
