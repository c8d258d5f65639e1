#include "sys/net/link_listener.h"

#include <errno.h>
#include <netdb.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/net/link_state.h"
#include "sys/net/listener.h"

#define BACKLOG	 1024 /* all of a node's clients may come at once */
#define RETRY_MS 100  /* accepting, when the system is out of something */

struct link_listener {
	struct link_net *net;
	struct link_listener_options options;
	int fd;
	uv_poll_t poll;
	uv_timer_t retry;
	unsigned handles;
	unsigned open_count;
	LIST_HEAD(, link_conn) open; /* those that have not said who they are */
	struct {
		uint64_t count; /* since told_ms */
		uint64_t told_ms;
	} unheard[ARRIVALS_ANSWERS];
};

static void on_readable(uv_poll_t *poll, int status, int events);

/* ---- those that have not said who they are ---- */

static void open_remove(struct link_listener *l, struct link_conn *c)
{
	LIST_REMOVE(c, open);
	l->open_count--;
	arrivals_end(&l->net->arrivals, &c->origin);
}

static void on_up(void *arg, struct link_conn *c)
{
	struct link_listener *l = arg;

	open_remove(l, c);
	link_conn_disown(c);
}

static void on_over(void *arg, struct link_conn *c, enum rmq_error err, const char *why)
{
	struct link_listener *l = arg;

	open_remove(l, c);
	if (err && l->options.refused)
		l->options.refused(l->options.arg, link_conn_address(c), why);
}

static const struct link_owner owner = {on_up, on_over};

/* ---- accepting ---- */

/* It is reset, which leaves nothing here; and told now and then, with how many there were. */
static void not_heard(
    struct link_listener *l, int fd, const struct sockaddr *from, enum arrivals_answer answer)
{
	const struct linger none = {.l_onoff = 1, .l_linger = 0};
	uint64_t now = uv_now(l->net->loop);
	char address[SOCKET_HOST_TEXT_SIZE];
	struct socket_host host;

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	close(fd);
	l->unheard[answer].count++;
	uint64_t told_ms = l->unheard[answer].told_ms;
	if (!l->options.unheard || (told_ms > 0 && now - told_ms < LINK_UNHEARD_MS))
		return;
	socket_host_of(&host, from);
	socket_host_print(&host, address);
	l->options.unheard(
	    l->options.arg, address, arrivals_text(answer), l->unheard[answer].count);
	l->unheard[answer].count = 0;
	l->unheard[answer].told_ms = now;
}

/* The one that is to give way does.  False: there is none. */
static bool gave_way(struct link_listener *l, const struct arrivals_instead *instead)
{
	struct link_conn *c, *oldest = NULL;

	LIST_FOREACH (c, &l->open, open)
		if (arrivals_same(&c->origin, &instead->origin) &&
		    c->accepted_ms <= instead->before_ms)
			oldest = c;
	if (oldest)
		link_conn_drop(oldest, "it has not said who it is, and others come");
	return oldest != NULL;
}

static enum arrivals_answer begin_one(
    struct link_listener *l, const struct arrivals_origin *origin)
{
	struct arrivals *a = &l->net->arrivals;
	struct arrivals_instead instead;
	uint64_t now = uv_now(l->net->loop);
	uint32_t percent = randombytes_uniform(100);
	enum arrivals_answer answer = arrivals_begin(a, origin, percent, now, &instead);

	while (answer == ARRIVALS_INSTEAD && gave_way(l, &instead))
		answer = arrivals_begin(a, origin, percent, now, &instead);
	return answer;
}

static void hear(struct link_listener *l, int fd, const struct sockaddr *from)
{
	const struct link_listener_options *o = &l->options;
	const struct link_conn_options options = {.owner = NULL,
	    .owner_arg = l,
	    .events = &o->events,
	    .arg = o->arg,
	    .window = o->window,
	    .user_timeout_ms = o->user_timeout_ms};
	const struct link_accept how = {o->roles, o->known, o->handshake_ms, o->greets};
	struct arrivals_origin origin = link_net_origin(from);
	enum arrivals_answer answer = begin_one(l, &origin);
	if (answer != ARRIVALS_HEARD) {
		not_heard(l, fd, from, answer);
		return;
	}
	struct link_conn *c = link_conn_new(l->net, &options);
	if (!c) {
		close(fd);
		arrivals_end(&l->net->arrivals, &origin);
		return;
	}
	int err = link_conn_accept(c, fd, from, &how);
	LIST_INSERT_HEAD(&l->open, c, open);
	l->open_count++;
	c->owner = &owner;
	if (err)
		link_conn_cut(c);
}

static void on_retry(uv_timer_t *timer)
{
	struct link_listener *l = timer->data;
	uv_poll_start(&l->poll, UV_READABLE, on_readable);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct link_listener *l = poll->data;
	struct sockaddr_storage from;

	(void)status, (void)events;
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		socklen_t len = sizeof(from);
		int fd = accept4(
		    l->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			hear(l, fd, (struct sockaddr *)&from);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			   errno == ENOMEM) {
			uv_poll_stop(&l->poll);
			uv_timer_start(&l->retry, on_retry, RETRY_MS, 0);
			return;
		} else if (errno == EAGAIN) {
			return;
		}
	}
}

/* ---- begin and end ---- */

static void on_closed(uv_handle_t *handle)
{
	struct link_listener *l = handle->data;

	if (--l->handles > 0)
		return;
	link_net_leave(l->net);
	free(l);
}

static enum rmq_error failed(int error, struct reason *why)
{
	switch (error) {
	case EADDRINUSE:
		return reason_set(why, RMQ_E_BUSY, "the port is taken");
	case EACCES:
	case EPERM:
		return reason_set(why, RMQ_E_DENIED, "%s", strerror(error));
	case EADDRNOTAVAIL:
		return reason_set(why, RMQ_E_CONFIG, "not an address of this machine");
	default:
		return reason_set(why, RMQ_E_IO, "%s", strerror(error));
	}
}

/* *fd is -1 on an error. */
static enum rmq_error bind_and_listen(int *fd, const struct addrinfo *a, struct reason *why)
{
	const int on = 1;

	*fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*fd >= 0 && setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    bind(*fd, a->ai_addr, a->ai_addrlen) == 0 && listen(*fd, BACKLOG) == 0)
		return RMQ_E_OK;
	int error = errno;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return failed(error, why);
}

/* These cannot fail for a socket. */
static void begin(struct link_listener *l)
{
	l->poll.data = l->retry.data = l;
	l->handles = 2;
	uv_timer_init(l->net->loop, &l->retry);
	link_net_use(l->net);
	uv_poll_start(&l->poll, UV_READABLE, on_readable);
}

enum rmq_error link_listener_new(struct link_net *net,
    const struct link_listener_options *options, struct link_listener **listener,
    struct reason *why)
{
	struct addrinfo *addresses;
	int fd, status = socket_host_resolve(&options->address, AI_PASSIVE, &addresses);
	if (status != 0)
		return reason_set(why, RMQ_E_CONFIG, "%s", gai_strerror(status));
	enum rmq_error err = bind_and_listen(&fd, addresses, why);
	freeaddrinfo(addresses);
	if (err)
		return err;
	struct link_listener *l = calloc(1, sizeof(*l));
	if (!l || uv_poll_init(net->loop, &l->poll, fd) != 0) {
		free(l);
		close(fd);
		return reason_set(why, RMQ_E_LIMIT, "out of memory");
	}
	l->net = net;
	l->fd = fd;
	l->options = *options;
	if (l->options.handshake_ms == 0)
		l->options.handshake_ms = LINK_HANDSHAKE_MS;
	if (l->options.user_timeout_ms == 0)
		l->options.user_timeout_ms = LINK_USER_TIMEOUT_MS;
	LIST_INIT(&l->open);
	begin(l);
	*listener = l;
	return RMQ_E_OK;
}

uint16_t link_listener_port(const struct link_listener *l)
{
	struct sockaddr_storage address;
	struct socket_host host = {.port = 0};
	socklen_t len = sizeof(address);
	if (getsockname(l->fd, (struct sockaddr *)&address, &len) == 0)
		socket_host_of(&host, (struct sockaddr *)&address);
	return host.port;
}

unsigned link_listener_open(const struct link_listener *l)
{
	return l->open_count;
}

void link_listener_free(struct link_listener *l)
{
	struct link_conn *c;

	if (!l)
		return;
	while ((c = LIST_FIRST(&l->open))) {
		open_remove(l, c);
		link_conn_disown(c);
		if (c->state == LINK_CONN_NEW)
			link_conn_cut(c);
	}
	uv_poll_stop(&l->poll);
	close(l->fd);
	uv_close((uv_handle_t *)&l->poll, on_closed);
	uv_close((uv_handle_t *)&l->retry, on_closed);
}
