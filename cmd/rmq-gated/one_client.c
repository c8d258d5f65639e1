#include "one_client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/wire/frame.h"
#include "core/wire/wire.h"
#include "sys/process/log.h"
#include "sys/stream/io.h"

/* A gate sends us to the queue daemon, and nobody further. */
#define REDIRECTS_MAX 2
/* What a client is told to wait that finds nobody here. */
#define NOT_YET_MS 1000

/* Bytes on their way from one descriptor to another. */
struct pump {
	int from;
	int to;
	size_t at;
	size_t len;
	bool ended; /* nothing more comes */
	uint8_t bytes[256u << 10];
};

static struct pump up = {.from = STDIN_FILENO, .to = -1};
static struct pump down = {.from = -1, .to = STDOUT_FILENO};

/* Reads what there is; an end by an error is one, too. */
static void take(struct pump *p)
{
	if (p->at > 0)
		memmove(p->bytes, p->bytes + p->at, p->len - p->at);
	p->len -= p->at;
	p->at = 0;
	ssize_t n = read(p->from, p->bytes + p->len, sizeof(p->bytes) - p->len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		p->len += (size_t)n;
	p->ended = n <= 0;
}

/* Writes what the other side takes.  False: it takes no more. */
static bool give(struct pump *p)
{
	ssize_t n = write(p->to, p->bytes + p->at, p->len - p->at);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	p->at += (size_t)n;
	return true;
}

/* ---- the beginning: HELLO, and the first answer ---- */

/*
 * The whole frame at the beginning of what comes.  False: it ends before, or is none, or the client has
 * gone.
 */
static bool first_frame(struct pump *p, struct frame *f, size_t *size)
{
	while (frame_parse(slice_of(p->bytes, p->len), f, size) == RMQ_E_OK) {
		struct pollfd wait[] = {{p->from, POLLIN, 0}, {STDIN_FILENO, 0, 0}};
		if (*size > 0)
			return true;
		if (p->ended || (poll(wait, 2, -1) < 0 && errno != EINTR))
			return false;
		if (wait[0].revents)
			take(p);
		else if (wait[1].revents)
			return false;
	}
	return false;
}

/* The client is told why it cannot be brought further, and decides what to do. */
static int fail(const struct socket_address *a, enum rmq_error err)
{
	char text[SOCKET_PATH_MAX + 64];
	uint8_t bytes[sizeof(text) + 64];
	struct writer w = writer_of(bytes, sizeof(bytes));
	int len = snprintf(text, sizeof(text), "unix:%s: %s", a->path, strerror(errno));
	if (err == RMQ_E_NO_DAEMON) {
		log_info("%s", text);
		wire_put_not_yet(&w, &(struct wire_not_yet){NOT_YET_MS});
	} else {
		log_error("%s", text);
		wire_put_error(
		    &w, &(struct wire_error){(uint8_t)err, slice_of(text, (size_t)len)});
	}
	return error_exit(io_write(STDOUT_FILENO, w.p, w.len) ? RMQ_E_IO : err);
}

/* Whether the answer leads to another socket here, which is then in `a`. */
static bool redirected(const struct frame *f, struct socket_address *a)
{
	char text[UINT8_MAX + 1];
	struct wire_redirect m;
	const char *list = text, *why;
	if (f->type != WIRE_TYPE_REDIRECT || !wire_redirect_decode(f->payload, &m))
		return false;
	memcpy(text, m.address.data, m.address.len);
	text[m.address.len] = 0;
	return socket_address_parse(a, &list, &why) == RMQ_E_OK;
}

/* Says HELLO to the socket and to where it sends us.  0: `up` and `down` are connected. */
static int begin(struct socket_address a)
{
	struct frame hello, first;
	size_t size, answer_size;
	if (!first_frame(&up, &hello, &size))
		return error_exit(RMQ_E_PROTOCOL);
	for (int i = 0; i <= REDIRECTS_MAX; i++) {
		enum rmq_error err = socket_connect(&a, &up.to);
		if (err)
			return fail(&a, err);
		down.from = up.to;
		down.at = down.len = 0;
		down.ended = false;
		if (io_write(up.to, up.bytes, size) != 0 ||
		    !first_frame(&down, &first, &answer_size))
			return error_exit(RMQ_E_NO_DAEMON);
		if (!redirected(&first, &a)) {
			up.at = size;
			return 0;
		}
		close(up.to);
	}
	return error_exit(RMQ_E_PROTOCOL);
}

/* ---- the rest ---- */

static struct pollfd entry(const struct pump *p, bool reads)
{
	if (reads)
		return (struct pollfd){
		    p->len - p->at < sizeof(p->bytes) ? p->from : -1, POLLIN, 0};
	return (struct pollfd){p->at < p->len ? p->to : -1, POLLOUT, 0};
}

/* Copies until the client has gone, or the socket's last words have left. */
static int copy(void)
{
	bool deaf = false, heard = true;
	while (heard && !(up.ended && (deaf || up.at == up.len)) &&
	       !(down.ended && down.at == down.len)) {
		struct pollfd p[4] = {entry(&up, true), entry(&up, false), entry(&down, true),
		    entry(&down, false)};
		if (deaf || down.ended)
			p[0].fd = p[1].fd = -1;
		if (up.ended)
			p[0].fd = -1;
		if (down.ended)
			p[2].fd = -1;
		if (poll(p, 4, -1) < 0) {
			if (errno == EINTR)
				continue;
			return error_exit(RMQ_E_IO);
		}
		/* What it said before it took no more is still to be read. */
		deaf |= p[1].revents && !give(&up);
		heard = !p[3].revents || give(&down);
		if (p[0].revents)
			take(&up);
		if (p[2].revents)
			take(&down);
	}
	return 0;
}

static void set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	if (flags >= 0)
		(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int one_client_run(const struct socket_address *socket)
{
	set_nonblocking(STDIN_FILENO);
	set_nonblocking(STDOUT_FILENO);
	int status = begin(*socket);
	return status ? status : copy();
}
