/*
 * The control socket: clients ask what this node knows, watch it, and give commands (see
 * control_wire.h).  The modes of the socket and of its directory say who may connect.
 *
 * Memory is bounded, whatever clients send: CONTROL_CONNECTIONS_MAX connections, each with
 * CONTROL_REQUESTS_MAX unanswered requests and CONTROL_OUTPUT_MAX bytes that wait for it.  A
 * slow watcher gets the newest view when it reads again, and not those between.  A client that
 * says nothing, sends half a frame or does not read is disconnected after a time.  Who has asked for
 * events may stop reading for ever: it is a place among those that the cluster keeps.
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
 * Ends it, and all connections, after one attempt to write what waits for them.  The loop's next
 * iterations free the memory.  NULL is legal.
 */
void control_close(struct control *control);

#endif
