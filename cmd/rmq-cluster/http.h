/* rmq-cluster http: one request on stdin is answered on stdout. */
#ifndef RMQ_CLUSTER_HTTP_H
#define RMQ_CLUSTER_HTTP_H

#include "ask.h"

/* servers: where the queues are, NULL: where clients look.  node, member: all fields, as lists. */
enum rmq_error http_run(struct ask *a, const char *servers, const char *node,
    const char *member) __attribute__((warn_unused_result));

#endif
