#include "sys/journal/journal_io.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "sys/store/store_watch.h"

/* Together with the rest of a big frame, the beginning of the next one is read. */
#define READ_AHEAD 4096

void journal_io_init(struct journal_io *io, int fd, int watch, struct reason *why)
{
	io->fd = fd;
	io->watch = watch;
	io->poked = false;
	io->why = why;
	io->eof = false;
	io->refused = RMQ_E_OK;
	io->begin = io->end = 0;
	io->out = writer_of(io->out_buffer, JOURNAL_IO_OUT);
}

enum rmq_error journal_io_refuse(struct journal_io *io, enum rmq_error code, const char *text)
{
	io->refused = code;
	reason_set(&io->refusal, code, "%s", text);
	return RMQ_E_NOTHING;
}

bool journal_io_gone(struct journal_io *io, int timeout_ms)
{
	struct pollfd p = {io->fd, 0, 0};
	int n;
	do
		n = poll(&p, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	return n > 0;
}

bool journal_io_readable(struct journal_io *io, int timeout_ms)
{
	struct pollfd p[] = {{io->fd, POLLIN, 0}, {io->watch, POLLIN, 0}};
	int n;
	do
		n = poll(p, 2, timeout_ms);
	while (n < 0 && errno == EINTR);
	if (n > 0 && p[1].revents)
		io->poked = store_watch_take(io->watch);
	return n > 0 && p[0].revents;
}

/*
 * Reads into `len` bytes at `to`, then up to `more` into the buffer.  *got: how many of the
 * first.  RMQ_E_NOTHING: nothing there; io->eof is set at the end of input.
 */
static enum rmq_error receive(
    struct journal_io *io, uint8_t *to, size_t len, size_t more, bool wait, size_t *got)
{
	if (io->begin == io->end)
		io->begin = io->end = 0;
	if (JOURNAL_IO_IN - io->end < more) {
		memmove(io->in, io->in + io->begin, io->end - io->begin);
		io->end -= io->begin;
		io->begin = 0;
	}
	assert(JOURNAL_IO_IN - io->end >= more);
	struct iovec iov[2] = {{to, len}, {io->in + io->end, more}};
	struct msghdr m = {.msg_iov = len ? iov : iov + 1, .msg_iovlen = len ? 2 : 1};
	ssize_t n;
	do
		n = recvmsg(io->fd, &m, wait ? 0 : MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return RMQ_E_NOTHING;
	if (n < 0 && errno != ECONNRESET)
		return reason_set(io->why, RMQ_E_IO, "journal socket: %s", strerror(errno));
	if (n <= 0) {
		io->eof = true;
		return RMQ_E_NOTHING;
	}
	*got = (size_t)n < len ? (size_t)n : len;
	io->end += (size_t)n - *got;
	return RMQ_E_OK;
}

/* More bytes for the buffer, at least as many as complete a frame of `need` bytes. */
static enum rmq_error fill(struct journal_io *io, size_t need, bool wait)
{
	size_t have = io->end - io->begin;
	size_t more = need > have + READ_AHEAD ? need - have : READ_AHEAD;
	size_t got;
	return receive(io, NULL, 0, more, wait, &got);
}

enum rmq_error journal_io_next(struct journal_io *io, uint8_t big_type, size_t big_head,
    bool wait, struct journal_io_frame *f)
{
	for (;;) {
		const uint8_t *head = io->in + io->begin;
		size_t have = io->end - io->begin;
		size_t need = FRAME_HEADER_SIZE;
		struct frame whole;
		size_t used;
		if (frame_parse(slice_of(head, have), &whole, &used))
			return journal_io_refuse(io, RMQ_E_PROTOCOL, "malformed frame");
		if (have >= FRAME_HEADER_SIZE) {
			size_t len = load_u32(head);
			bool big = head[4] == big_type && len >= big_head;
			need += big ? big_head : len;
			if (big && have >= need) {
				io->begin += need;
				*f = (struct journal_io_frame){big_type, true,
				    slice_of(head + FRAME_HEADER_SIZE, big_head),
				    len - big_head};
				return RMQ_E_OK;
			}
		}
		if (used > 0) {
			io->begin += used;
			*f = (struct journal_io_frame){whole.type, false, whole.payload, 0};
			return RMQ_E_OK;
		}
		enum rmq_error err = io->eof ? RMQ_E_NOTHING : fill(io, need, wait);
		if (err)
			return err;
	}
}

enum rmq_error journal_io_read(
    struct journal_io *io, uint8_t *to, size_t len, bool wait, size_t *got)
{
	size_t have = io->end - io->begin;
	*got = have < len ? have : len;
	if (*got > 0)
		memcpy(to, io->in + io->begin, *got);
	io->begin += *got;
	if (*got > 0 || len == 0)
		return RMQ_E_OK;
	return io->eof ? RMQ_E_NOTHING : receive(io, to, len, READ_AHEAD, wait, got);
}

void journal_io_unread(
    struct journal_io *io, struct slice head, const uint8_t *rest, size_t rest_len)
{
	/* Only full reads put anything after the rest: the buffer is empty. */
	assert(io->begin == io->end);
	io->begin = 0;
	io->end = head.len + rest_len;
	memcpy(io->in, head.data, head.len);
	memcpy(io->in + head.len, rest, rest_len);
}

void journal_io_put_back(struct journal_io *io, const struct journal_io_frame *f)
{
	size_t taken = FRAME_HEADER_SIZE + f->payload.len;
	assert(f->big && io->begin >= taken);
	io->begin -= taken;
}

enum rmq_error journal_io_send(struct journal_io *io)
{
	size_t at = 0;
	assert(!io->out.full);
	while (at < io->out.len) {
		ssize_t n = send(io->fd, io->out_buffer + at, io->out.len - at, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		/* Nobody reads any more; what was sent to us is stored all the same. */
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			break;
		if (n < 0)
			return reason_set(
			    io->why, RMQ_E_IO, "journal socket: %s", strerror(errno));
		at += (size_t)n;
	}
	io->out.len = 0;
	return RMQ_E_OK;
}
