/* rmq-cluster metrics: what a node knows of the cluster, in the text format of OpenMetrics 1.0. */
#ifndef RMQ_CLUSTER_METRICS_H
#define RMQ_CLUSTER_METRICS_H

#include "core/base/text.h"
#include "core/host/control.h"

void metrics_put(struct text *out, const struct control_view *v);

#endif
