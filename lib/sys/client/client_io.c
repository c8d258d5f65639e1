#include "sys/client/client_io.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sys/process/clock.h"
#include "sys/process/log.h"

#define IN_CAP (256u << 10)

static_assert(IN_CAP >= FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX, "a frame fits");

static enum rmq_error parse_servers(
    struct client_io *io, const char *servers, struct reason *why)
{
	const char *text = "";
	enum rmq_error err;
	if (!servers) {
		io->servers_count = 1;
		err = socket_address_default(&io->servers[0], &text);
		return err ? reason_set(why, err, "%s", text) : RMQ_E_OK;
	}
	for (const char *rest = servers; rest;) {
		if (io->servers_count == CLIENT_IO_SERVERS_MAX)
			return reason_set(why, RMQ_E_USAGE, "%s: too many addresses", servers);
		err = socket_address_parse(&io->servers[io->servers_count++], &rest, &text);
		if (err)
			return reason_set(why, err, "%s: %s", servers, text);
	}
	return RMQ_E_OK;
}

/* Differs between processes and in time: all that jitter needs. */
static uint64_t seed(void)
{
	return clock_mono().ms << 24 ^ clock_wall().ms << 8 ^ (uint64_t)getpid();
}

enum rmq_error client_io_open(struct client_io *io, const char *servers,
    const struct client_config *config, const struct client_host *host, struct reason *why)
{
	struct client_config c = *config;
	io->client = NULL;
	io->servers_count = 0;
	io->fd = -1;
	io->error = RMQ_E_OK;
	io->in_len = 0;
	io->target[0] = 0;
	io->said = CLIENT_WAITS_NOT;
	io->patience_ms = CLIENT_IO_PATIENCE_MS;
	enum rmq_error err = parse_servers(io, servers, why);
	if (err)
		return err;
	c.servers = io->servers_count;
	c.seed = seed();
	io->in = malloc(IN_CAP);
	io->client = client_new(&c, host);
	if (io->in && io->client)
		return RMQ_E_OK;
	client_io_close(io);
	return reason_set(why, RMQ_E_LIMIT, "out of memory");
}

void client_io_close(struct client_io *io)
{
	if (io->fd >= 0)
		close(io->fd);
	io->fd = -1;
	client_free(io->client);
	free(io->in);
	io->client = NULL;
	io->in = NULL;
}

static void disconnect(struct client_io *io)
{
	if (io->fd >= 0)
		close(io->fd);
	io->fd = -1;
	io->in_len = 0;
	client_disconnected(io->client, clock_mono());
}

static enum rmq_error find_address(
    struct client_io *io, const struct client_target *target, struct socket_address *a)
{
	char text[UINT8_MAX + 1];
	const char *list = text, *why;
	if (target->address.len == 0) {
		*a = io->servers[target->server];
		return RMQ_E_OK;
	}
	memcpy(text, target->address.data, target->address.len);
	text[target->address.len] = 0;
	return socket_address_parse(a, &list, &why);
}

/* Says whom the socket is for: its group is what a user has to be put into. */
static void fail_denied(struct client_io *io)
{
	char text[TEXT_MAX + 1];
	struct stat st;
	const struct group *group = stat(io->target, &st) == 0 ? getgrgid(st.st_gid) : NULL;
	int len = group ? snprintf(text, sizeof(text),
			      "not allowed: unix:%.120s is for members of group %.60s",
			      io->target, group->gr_name)
			: snprintf(text, sizeof(text), "not allowed: unix:%.120s", io->target);
	client_fail(io->client, RMQ_E_DENIED, slice_of(text, (size_t)len));
}

/* Connecting to a Unix socket takes no time: it works or fails at once. */
static void try_connect(struct client_io *io, struct mono_time now)
{
	struct client_target target;
	struct socket_address a;
	while (io->fd < 0 && client_connect(io->client, now, &target)) {
		io->error = find_address(io, &target, &a);
		if (!io->error) {
			memcpy(io->target, a.path, sizeof(a.path));
			io->error = socket_connect(&a, &io->fd);
			io->error_number = errno;
		}
		if (!io->error)
			client_connected(io->client, now);
		else
			client_disconnected(io->client, now);
		/* Another contact point may be ours; a single one will not become so. */
		if (io->error == RMQ_E_DENIED && io->servers_count == 1)
			fail_denied(io);
	}
}

/* Writes until nothing is left or the socket is full; true: it is full. */
static bool write_out(struct client_io *io, struct mono_time now)
{
	struct slice pieces[CLIENT_PIECES];
	struct iovec iov[CLIENT_PIECES];
	while (io->fd >= 0) {
		size_t count = client_output(io->client, now, pieces, CLIENT_PIECES);
		if (count == 0)
			return false;
		for (size_t i = 0; i < count; i++) {
			iov[i].iov_base = (void *)(uintptr_t)pieces[i].data;
			iov[i].iov_len = pieces[i].len;
		}
		struct msghdr msg = {.msg_iov = iov, .msg_iovlen = count};
		ssize_t n = sendmsg(io->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0) {
			client_wrote(io->client, (size_t)n);
			continue;
		}
		client_wrote(io->client, 0);
		if (errno == EAGAIN)
			return true;
		/* What the daemon wrote before it closed may say why: that is read first. */
		if (errno != EINTR)
			return false;
	}
	return false;
}

struct slice client_io_why(const struct client_io *io, enum rmq_error code, struct slice text,
    char out[CLIENT_IO_WHY_MAX])
{
	if (code != RMQ_E_NO_DAEMON)
		return text;
	const char *what = error_text(code);
	if (io->error)
		snprintf(out, CLIENT_IO_WHY_MAX, "%s at %s (%s)", what, io->target,
		    strerror(io->error_number));
	else
		snprintf(out, CLIENT_IO_WHY_MAX, "%s at %s in time", what, io->target);
	return slice_str(out);
}

int client_io_sooner(int a_ms, uint64_t b_ms)
{
	int b = b_ms > INT_MAX ? INT_MAX : (int)b_ms;
	if (b_ms == CLIENT_FOREVER)
		return a_ms;
	return a_ms < 0 || b < a_ms ? b : a_ms;
}

/* Why no daemon has answered yet, as a user would say it. */
static const char *waiting_reason(const struct client_io *io, const char *why)
{
	if (!io->error)
		return why[0] ? why : "it is not ready";
	switch (io->error_number) {
	case ENOENT:
		return "no such file";
	case ECONNREFUSED:
		return "connection refused";
	case EACCES:
	case EPERM:
		return "permission denied";
	}
	return strerror(io->error_number);
}

static void say_waits(const struct client_io *io, const struct client_waiting *w)
{
	switch (w->what) {
	case CLIENT_WAITS_NOT:
		break;
	case CLIENT_WAITS_DAEMON:
		log_notice("waiting for the daemon at unix:%s: %s", io->target,
		    waiting_reason(io, w->why));
		break;
	case CLIENT_WAITS_ANSWER:
		log_notice("waiting for the daemon at unix:%s: no answer", io->target);
		break;
	case CLIENT_WAITS_ROOM:
		log_notice("waiting: %.*s: %s", (int)w->queue.len, (const char *)w->queue.data,
		    w->why);
		break;
	}
}

/* What was said to be waited for has come. */
static void say_goes_on(const struct client_io *io)
{
	if (io->said == CLIENT_WAITS_ROOM)
		log_notice("going on: there is room");
	else
		log_notice("the daemon at unix:%s answers", io->target);
}

void client_io_wait_no_more(struct client_io *io)
{
	client_wait_no_more(io->client);
	if (io->said == CLIENT_WAITS_ROOM)
		io->said = CLIENT_WAITS_NOT;
}

/* Says what is waited for, and that it came.  How long until it has to be said. */
static uint64_t tell_waiting(struct client_io *io, struct mono_time now)
{
	struct client_waiting w = client_waiting(io->client);
	bool same = io->said == w.what && io->said_since.ms == w.since.ms;
	if (io->said && same)
		return CLIENT_FOREVER;
	/* One that is lost, given up, or waited for still, has not come. */
	bool given_up = client_dead(io->client) ||
			(io->said == CLIENT_WAITS_ROOM && client_lacks_room(io->client));
	if (io->said && io->said != w.what && client_welcomed(io->client) && !given_up)
		say_goes_on(io);
	io->said = CLIENT_WAITS_NOT;
	if (!w.what)
		return CLIENT_FOREVER;
	if (now.ms - w.since.ms < io->patience_ms)
		return w.since.ms + io->patience_ms - now.ms;
	say_waits(io, &w);
	io->said = w.what;
	io->said_since = w.since;
	/* Who is slow again and again is not worth a line each time. */
	io->patience_ms *= 2;
	return CLIENT_FOREVER;
}

struct pollfd client_io_prepare(struct client_io *io, int *timeout_ms)
{
	struct mono_time now = clock_mono();
	client_tick(io->client, now);
	if (io->fd >= 0 && client_hangs_up(io->client))
		disconnect(io);
	try_connect(io, now);
	/* A connection that failed may have been the last one to try. */
	client_tick(io->client, now);
	bool full = write_out(io, now);
	uint64_t told_ms = tell_waiting(io, now), due_ms = client_due_ms(io->client, now);
	/* A program that was told so just now has to look at it, not to wait. */
	*timeout_ms = client_dead(io->client)
			  ? 0
			  : client_io_sooner(-1, told_ms < due_ms ? told_ms : due_ms);
	return (struct pollfd){io->fd, (short)(POLLIN | (full ? POLLOUT : 0)), 0};
}

void client_io_flush(struct client_io *io)
{
	(void)write_out(io, clock_mono());
}

void client_io_turn(struct client_io *io, short revents)
{
	if (io->fd < 0 || !(revents & (POLLIN | POLLHUP | POLLERR)))
		return;
	ssize_t n = recv(io->fd, io->in + io->in_len, IN_CAP - io->in_len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		disconnect(io);
		return;
	}
	size_t used;
	io->in_len += (size_t)n;
	client_input(io->client, clock_mono(), slice_of(io->in, io->in_len), &used);
	io->in_len -= used;
	if (io->in_len > 0 && used > 0)
		memmove(io->in, io->in + used, io->in_len);
	if (client_hangs_up(io->client))
		disconnect(io);
}

void client_io_wait(struct client_io *io, int extra_fd, uint64_t most_ms)
{
	int timeout_ms;
	struct pollfd p[2] = {client_io_prepare(io, &timeout_ms), {extra_fd, POLLIN, 0}};
	if (poll(p, 2, client_io_sooner(timeout_ms, most_ms)) > 0)
		client_io_turn(io, p[0].revents);
}

bool client_io_bye(struct client_io *io, int extra_fd, uint64_t most_ms)
{
	uint64_t until_ms = clock_mono().ms + most_ms;
	int timeout_ms;
	client_bye(io->client);
	struct pollfd p[2] = {client_io_prepare(io, &timeout_ms), {extra_fd, POLLIN, 0}};
	while (!client_ended(io->client) && clock_mono().ms < until_ms) {
		p[1].revents = 0;
		if (poll(p, 2, client_io_sooner(timeout_ms, most_ms / 10)) < 0)
			continue;
		if (p[1].revents)
			return false;
		client_io_turn(io, p[0].revents);
		p[0] = client_io_prepare(io, &timeout_ms);
	}
	return true;
}
