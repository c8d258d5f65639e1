/*
 * What rmq-clusterd reports on its control socket; while it is not there, it is called again.  Without
 * a cluster there is none: then the queue daemon is always here, at its socket.
 */
#ifndef RMQ_GATED_WATCH_H
#define RMQ_GATED_WATCH_H

#include "sys/net/control_client.h"

#include <uv.h>

struct gate;

struct watch {
	struct gate *gate;
	struct control_client client;
	uv_poll_t *poll; /* NULL: not connected */
	uv_timer_t again;
	unsigned version; /* of the control protocol; 0: the newest */
	bool said;	  /* the log says that it is not there */
	bool greeted;	  /* it has answered on this connection */
};

/* Begins.  g->view is kept up to date, gate_changed() and peers_changed() are called. */
void watch_open(struct watch *w, struct gate *g);
void watch_close(struct watch *w);

/* Without a cluster: the queue daemon is not there now; tries again soon. */
void watch_again(struct watch *w);

void watch_report(struct watch *w, enum control_gate_state state);

#endif
