#include "far.h"

#include "gate.h"
#include "sys/net/socket.h"

struct stream *far_new(struct gate *g, uint32_t uid)
{
	struct stream *s = g->far_count < g->far_max ? stream_new(g, WAITING, -1) : NULL;

	if (!s)
		return NULL;
	g->far_count++;
	s->uid = uid;
	s->far = true;
	return s;
}

/* The first frame for the queue daemon: whose connection this is. */
void far_begin(struct stream *s)
{
	uint8_t bytes[RAFT_NAME_MAX + 64];
	struct writer w = writer_of(bytes, sizeof(bytes));

	wire_put_behalf(&w, &(struct wire_behalf){slice_str(s->link->peer), s->uid, NO_TAGS});
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
	if (socket_connect(&a, &fd))
		return;
	if (!stream_connected(s, fd)) {
		stream_close(s, RMQ_E_LIMIT);
		return;
	}
	stream_enter(s, RELAYED);
	stream_watch(s);
}

void far_late(struct stream *s)
{
	stream_close(s, RMQ_E_NO_DAEMON);
}
