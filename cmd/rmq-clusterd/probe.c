#include "probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

/* Another machine that answers there logs each time. */
#define PAUSE_MS 5000

static void on_up(void *arg, struct link_conn *conn)
{
	uint8_t frame[NODE_SMALL_MAX];
	struct writer w = writer_of(frame, sizeof(frame));

	(void)arg;
	node_put_ask(&w, &(struct node_ask){NODE_VERSION, NODE_OLDEST, NODE_FEATURES});
	assert(!w.full);
	enum rmq_error err = link_conn_send(conn, &(struct slice){frame, w.len}, 1);
	(void)err; /* it is dialled again */
}

/* Who has its key has answered: that is enough. */
static void on_frame(void *arg, struct link_conn *conn, const struct frame *f)
{
	struct probe *q = &((struct peer *)arg)->probe;

	(void)conn, (void)f;
	link_dialer_free(q->dialer);
	q->dialer = NULL;
	q->failed = false;
}

static void on_failed(void *arg, enum rmq_error err, const char *why)
{
	(void)err, (void)why;
	((struct peer *)arg)->probe.failed = true;
}

static void dial(struct peer *p)
{
	struct link_dialer_options options = {
	    .name = slice_str(p->member.name),
	    .role = LINK_JOIN,
	    .backoff_max_ms = PAUSE_MS,
	    .events = {.up = on_up, .frame = on_frame},
	    .failed = on_failed,
	    .arg = p,
	};
	const char *why;

	p->probe.failed =
	    socket_host_parse(&options.address, p->probe.address, &why) != RMQ_E_OK;
	if (p->probe.failed)
		return;
	memcpy(options.key, p->member.key, KEY_SIZE);
	p->probe.dialer = link_dialer_new(p->cluster->peers.net, &options);
	if (!p->probe.dialer)
		abort();
}

void probe_end(struct peer *p)
{
	if (p->probe.dialer)
		link_dialer_free(p->probe.dialer);
	p->probe = (struct probe){.failed = false};
}

void probe_turn(struct peer *p)
{
	const char *address = member_advertised(peers_member_of(p));

	if (!p->node.welcomed || strcmp(address, p->node.at) == 0)
		address = "";
	if (strcmp(address, p->probe.address) == 0)
		return;
	probe_end(p);
	snprintf(p->probe.address, sizeof(p->probe.address), "%s", address);
	if (address[0])
		dial(p);
}
