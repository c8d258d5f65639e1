#include "holder.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "conn.h"
#include "server.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

static int compare(const struct holder *a, const struct holder *b)
{
	return a->session < b->session ? -1 : a->session > b->session;
}

RB_PROTOTYPE(holder_tree, holder, by_session, compare)
RB_GENERATE(holder_tree, holder, by_session, compare)

void holders_init(struct holders *set, struct server *s, unsigned max)
{
	*set = (struct holders){.server = s, .max = max};
	RB_INIT(&set->sessions);
	TAILQ_INIT(&set->orphans);
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void holder_drop(struct holder *h)
{
	struct holders *set = h->set;

	if (h->conn)
		h->conn->holder = NULL;
	else
		TAILQ_REMOVE(&set->orphans, h, orphan);
	if (h->session != 0)
		RB_REMOVE(holder_tree, &set->sessions, h);
	set->count--;
	uv_poll_stop(&h->poll);
	close(h->pidfd);
	uv_close((uv_handle_t *)&h->poll, on_closed);
}

static void report(struct holder *h)
{
	struct server *s = h->set->server;

	server_turn(s);
	log_debug("the holder of session %llu has died", (unsigned long long)h->session);
	broker_holder_died(s->broker, h->session);
	holder_drop(h);
}

/* Whether the peer's end is closed: by the dead process, and by all who had it as well. */
static bool hung_up(const struct conn *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};
	return poll(&p, 1, 0) == 1 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

static void on_death(uv_poll_t *poll, int status, int events)
{
	struct holder *h = poll->data;

	(void)status, (void)events;
	uv_poll_stop(&h->poll);
	h->died = true;
	if (!h->conn)
		report(h);
	else if (!hung_up(h->conn))
		holder_drop(h);
	/* Else what it sent before it died comes first: see holder_conn_ended(). */
}

static int peer_pidfd(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int pidfd;
	socklen_t pidfd_len = sizeof(pidfd);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0 || cred.pid <= 0 ||
	    cred.pid == getpid())
		return -1;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &pidfd_len) == 0)
		return pidfd;
	return (int)syscall(SYS_pidfd_open, cred.pid, 0);
}

struct holder *holder_new(struct holders *set, struct conn *c)
{
	if (set->count >= set->max) {
		struct holder *oldest = TAILQ_FIRST(&set->orphans);
		if (!oldest)
			return NULL;
		holder_drop(oldest);
	}
	struct holder *h = calloc(1, sizeof(*h));
	int pidfd = h ? peer_pidfd(c->fd) : -1;
	if (pidfd < 0 || fcntl(pidfd, F_SETFD, FD_CLOEXEC) != 0 ||
	    uv_poll_init(&set->server->loop, &h->poll, pidfd) != 0) {
		if (pidfd >= 0)
			close(pidfd);
		free(h);
		return NULL;
	}
	h->set = set;
	h->conn = c;
	h->pidfd = pidfd;
	h->poll.data = h;
	set->count++;
	uv_poll_start(&h->poll, UV_READABLE, on_death);
	return h;
}

void holder_session(struct holders *set, struct holder *h, uint64_t session)
{
	struct holder key = {.session = session};
	struct holder *before = RB_FIND(holder_tree, &set->sessions, &key);
	if (before)
		holder_drop(before);
	if (!h)
		return;
	h->session = session;
	RB_INSERT(holder_tree, &set->sessions, h);
}

void holder_conn_ended(struct holders *set, struct holder *h, bool bye)
{
	h->conn->holder = NULL;
	h->conn = NULL;
	TAILQ_INSERT_TAIL(&set->orphans, h, orphan);
	if (bye || h->session == 0)
		holder_drop(h);
	else if (h->died)
		report(h);
}
