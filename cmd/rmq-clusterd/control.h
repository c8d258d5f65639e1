/*
 * The control socket: who connects may ask what this node knows, watch it, and give commands
 * (see control_wire.h).  The socket's mode and its directory say who that is.
 *
 * Whatever is sent, it costs bounded memory: CONTROL_CONNECTIONS_MAX connections, each with
 * CONTROL_REQUESTS_MAX unanswered requests and CONTROL_OUTPUT_MAX bytes that wait for it; a
 * watcher that is behind gets the newest view when it reads on, and not those between.  Who
 * says nothing, or half a frame, or does not read, is hung up on in time.
 */
#ifndef RMQ_CLUSTERD_CONTROL_H
#define RMQ_CLUSTERD_CONTROL_H

#include <uv.h>

#include "cluster.h"
#include "sys/process/reason.h"

struct control;

/*
 * Listens on `path`, and is the cluster's watcher (cluster_watch()) from now on.  Errors as
 * socket_listen(), or RMQ_E_LIMIT: no memory; *why does not name the path.
 */
enum rmq_error control_open(struct control **control, uv_loop_t *loop, struct cluster *cluster,
    const char *path, struct reason *why) __attribute__((warn_unused_result));

/*
 * Ends it, and all connections; what can be written to them at once is.  The memory goes with
 * the loop's next iterations.  NULL is legal.
 */
void control_close(struct control *control);

#endif
