#include "far.h"

#include <errno.h>
#include <string.h>

#include "gate.h"
#include "sys/net/socket.h"

struct stream *far_new(struct gate *g)
{
	struct stream *s = g->far_count < g->far_max ? stream_new(g, WAITING, -1) : NULL;

	if (!s)
		return NULL;
	g->far_count++;
	s->far = true;
	return s;
}

/* The first frame for the queue daemon: whose connection this is. */
void far_begin(struct stream *s, const struct wire_behalf *whose)
{
	uint8_t bytes[RAFT_NAME_MAX + RIGHTS_MAX + 64];
	struct writer w = writer_of(bytes, sizeof(bytes));

	s->uid = whose->uid;
	wire_put_behalf(&w, whose);
	if (stream_put(s, slice_of(bytes, w.len)))
		far_connect(s);
	else
		stream_close(s, RMQ_E_LIMIT);
}

void far_connect(struct stream *s)
{
	struct gate *g = s->gate;
	struct socket_address a;
	const char *why;
	int fd;

	if (!(g->view.flags & CONTROL_SERVING) ||
	    socket_address_path(&a, g->view.queue_socket, &why))
		return;
	/* It may be on its way up or down: then things change again, or time is over. */
	if (socket_connect(&a, &fd)) {
		g->queue_errno = errno;
		watch_again(&g->watch);
		return;
	}
	if (g->queue_said)
		log_notice("the queue daemon at %s is there", a.path);
	g->queue_errno = 0;
	g->queue_said = false;
	if (!stream_connected(s, fd)) {
		stream_close(s, RMQ_E_LIMIT);
		return;
	}
	stream_enter(s, RELAYED);
	stream_watch(s);
}

void far_late(struct stream *s)
{
	struct gate *g = s->gate;

	if (g->queue_errno && !g->queue_said) {
		g->queue_said = true;
		log_notice("the queue daemon at %s is not there: %s", g->view.queue_socket,
		    strerror(g->queue_errno));
	}
	stream_close(s, RMQ_E_NO_DAEMON);
}
