#include "probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

/* Another machine that answers there logs each time. */
#define PAUSE_MS 5000

/* It has shown that it has the key: that is enough. */
static void on_up(void *arg, struct link_conn *conn)
{
	struct probe *q = arg;

	(void)conn;
	q->answered = true;
	q->failed = false;
}

static void on_frame(void *arg, struct link_conn *conn, const struct frame *f)
{
	(void)arg, (void)conn, (void)f;
}

static void on_failed(void *arg, enum rmq_error err, const char *why)
{
	struct probe *q = arg;

	(void)err, (void)why;
	q->failed = true;
}

static void dial(struct probe *q, const struct peer *p, enum link_role role)
{
	struct link_dialer_options options = {
	    .name = slice_str(p->member.name),
	    .role = role,
	    .backoff_max_ms = PAUSE_MS,
	    .events = {.up = on_up, .frame = on_frame},
	    .failed = on_failed,
	    .arg = q,
	};
	const char *why;

	q->failed = socket_host_parse(&options.address, q->address, &why) != RMQ_E_OK;
	if (q->failed)
		return;
	memcpy(options.key, p->member.key, KEY_SIZE);
	q->dialer = link_dialer_new(p->cluster->peers.net, &options);
	if (!q->dialer)
		abort();
}

static void hang_up(struct probe *q)
{
	if (q->dialer)
		link_dialer_free(q->dialer);
	q->dialer = NULL;
}

void probe_end(struct probe *q)
{
	hang_up(q);
	*q = (struct probe){.failed = false};
}

void probe_turn(struct probe *q, const struct peer *p, enum link_role role, const char *address)
{
	if (q->answered)
		hang_up(q);
	if (strcmp(address, q->address) == 0)
		return;
	probe_end(q);
	snprintf(q->address, sizeof(q->address), "%s", address);
	if (address[0])
		dial(q, p, role);
}
