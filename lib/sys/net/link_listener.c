#include "sys/net/link_listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "sys/net/link_state.h"

#define BACKLOG	      128
#define EARLY_PERCENT 30 /* dropped at LINK_HALF_OPEN_EARLY; 100 at LINK_HALF_OPEN_MAX */

/* What counts as one address. */
struct origin {
	int family;
	uint8_t bytes[8];
};

struct half_open {
	struct link_conn *conn; /* NULL: the place is free */
	struct origin origin;
};

struct link_listener {
	struct link_net *net;
	struct link_listener_options options;
	uv_tcp_t tcp;
	unsigned half_open_count;
	struct half_open half_open[LINK_HALF_OPEN_MAX];
};

static struct origin origin_of(const struct sockaddr_storage *address)
{
	struct origin o = {.family = address->ss_family};
	if (o.family == AF_INET) {
		memcpy(o.bytes, &((const struct sockaddr_in *)address)->sin_addr, 4);
	} else if (o.family == AF_INET6) {
		const struct in6_addr *a = &((const struct sockaddr_in6 *)address)->sin6_addr;
		if (IN6_IS_ADDR_V4MAPPED(a)) {
			o.family = AF_INET;
			memcpy(o.bytes, a->s6_addr + 12, 4);
		} else {
			memcpy(o.bytes, a->s6_addr, sizeof(o.bytes));
		}
	}
	return o;
}

/* ---- half-open connections ---- */

static struct half_open *place_of(struct link_listener *l, const struct link_conn *c)
{
	for (size_t i = 0; i < LINK_HALF_OPEN_MAX; i++)
		if (l->half_open[i].conn == c)
			return &l->half_open[i];
	return NULL;
}

static void half_open_remove(struct link_listener *l, const struct link_conn *c)
{
	place_of(l, c)->conn = NULL;
	l->half_open_count--;
}

static void on_up(void *arg, struct link_conn *c)
{
	half_open_remove(arg, c);
	link_conn_disown(c);
}

static void on_over(void *arg, struct link_conn *c, enum rmq_error err, const char *why)
{
	struct link_listener *l = arg;
	(void)err;
	half_open_remove(l, c);
	if (l->options.refused)
		l->options.refused(l->options.arg, link_conn_address(c), why);
}

static const struct link_owner owner = {on_up, on_over};

/* Why one more is not taken; NULL: it is. */
static const char *crowded(const struct link_listener *l, const struct origin *origin)
{
	unsigned same = 0, n = l->half_open_count;
	for (size_t i = 0; i < LINK_HALF_OPEN_MAX; i++)
		if (l->half_open[i].conn &&
		    memcmp(&l->half_open[i].origin, origin, sizeof(*origin)) == 0)
			same++;
	if (same >= LINK_HALF_OPEN_ADDRESS)
		return "too many from that address are not known yet";
	if (n < LINK_HALF_OPEN_EARLY)
		return NULL;
	unsigned percent = EARLY_PERCENT + (100 - EARLY_PERCENT) * (n - LINK_HALF_OPEN_EARLY) /
					       (LINK_HALF_OPEN_MAX - LINK_HALF_OPEN_EARLY);
	return randombytes_uniform(100) < percent ? "too many are not known yet" : NULL;
}

static void on_connection(uv_stream_t *stream, int status)
{
	struct link_listener *l = stream->data;
	const struct link_listener_options *o = &l->options;
	const struct link_conn_options options = {.owner = NULL,
	    .owner_arg = l,
	    .events = &o->events,
	    .arg = o->arg,
	    .window = o->window,
	    .user_timeout_ms = o->user_timeout_ms};
	struct sockaddr_storage peer;
	int len = sizeof(peer);
	struct link_conn *c = status == 0 ? link_conn_new(l->net, &options) : NULL;
	if (!c)
		return;
	const char *why = "gone at once";
	if (link_conn_accept(c, stream, o->roles, o->known, o->handshake_ms) == 0 &&
	    uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&peer, &len) == 0) {
		struct origin origin = origin_of(&peer);
		why = crowded(l, &origin);
		if (!why) {
			*place_of(l, NULL) = (struct half_open){c, origin};
			l->half_open_count++;
			c->owner = &owner;
			return;
		}
	}
	if (o->refused)
		o->refused(o->arg, link_conn_address(c), why);
	link_conn_cut(c);
}

/* ---- begin and end ---- */

static void on_closed(uv_handle_t *handle)
{
	struct link_listener *l = handle->data;
	link_net_leave(l->net);
	free(l);
}

static enum rmq_error bind_and_listen(
    struct link_listener *l, const struct sockaddr *address, struct reason *why)
{
	int err = uv_tcp_bind(&l->tcp, address, 0);
	if (!err)
		err = uv_listen((uv_stream_t *)&l->tcp, BACKLOG, on_connection);
	switch (err) {
	case 0:
		return RMQ_E_OK;
	case UV_EADDRINUSE:
		return reason_set(why, RMQ_E_BUSY, "the port is taken");
	case UV_EACCES:
	case UV_EPERM:
		return reason_set(why, RMQ_E_DENIED, "%s", uv_strerror(err));
	case UV_EADDRNOTAVAIL:
		return reason_set(why, RMQ_E_CONFIG, "no address of this machine");
	default:
		return reason_set(why, RMQ_E_IO, "%s", uv_strerror(err));
	}
}

enum rmq_error link_listener_new(struct link_net *net,
    const struct link_listener_options *options, struct link_listener **listener,
    struct reason *why)
{
	struct addrinfo *addresses;
	int status = socket_host_resolve(&options->address, AI_PASSIVE, &addresses);
	if (status != 0)
		return reason_set(why, RMQ_E_CONFIG, "%s", gai_strerror(status));
	struct link_listener *l = calloc(1, sizeof(*l));
	if (!l || uv_tcp_init(net->loop, &l->tcp) != 0) {
		free(l);
		freeaddrinfo(addresses);
		return reason_set(why, RMQ_E_LIMIT, "out of memory");
	}
	l->net = net;
	l->options = *options;
	l->tcp.data = l;
	if (l->options.handshake_ms == 0)
		l->options.handshake_ms = LINK_HANDSHAKE_MS;
	if (l->options.user_timeout_ms == 0)
		l->options.user_timeout_ms = LINK_USER_TIMEOUT_MS;
	link_net_use(net);
	enum rmq_error err = bind_and_listen(l, addresses->ai_addr, why);
	freeaddrinfo(addresses);
	if (err)
		uv_close((uv_handle_t *)&l->tcp, on_closed);
	else
		*listener = l;
	return err;
}

uint16_t link_listener_port(const struct link_listener *l)
{
	struct sockaddr_storage address;
	struct socket_host host = {.port = 0};
	int len = sizeof(address);
	if (uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&address, &len) == 0)
		socket_host_of(&host, (struct sockaddr *)&address);
	return host.port;
}

unsigned link_listener_half_open(const struct link_listener *l)
{
	return l->half_open_count;
}

void link_listener_free(struct link_listener *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < LINK_HALF_OPEN_MAX; i++) {
		struct link_conn *c = l->half_open[i].conn;
		if (c) {
			link_conn_disown(c);
			link_conn_cut(c);
		}
	}
	uv_close((uv_handle_t *)&l->tcp, on_closed);
}
