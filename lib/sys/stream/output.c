#include "sys/stream/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

int output_open(struct output *o, int fd)
{
	struct stat st;
	*o = (struct output){.fd = fd};
	if (fstat(fd, &st) != 0)
		return errno;
	if (S_ISFIFO(st.st_mode))
		o->kind = OUTPUT_PIPE;
	else if (S_ISSOCK(st.st_mode))
		o->kind = OUTPUT_SOCKET;
	else if (S_ISCHR(st.st_mode) && isatty(fd))
		o->kind = OUTPUT_TERMINAL;
	o->syncable = S_ISREG(st.st_mode) || S_ISBLK(st.st_mode);
	return 0;
}

/* A piece that fits when there is room at all. */
static ssize_t write_piece(int fd, const void *bytes, size_t len)
{
	struct pollfd p = {fd, POLLOUT, 0};
	if (poll(&p, 1, 0) >= 0 && !(p.revents & (POLLOUT | POLLERR | POLLNVAL))) {
		errno = EAGAIN;
		return -1;
	}
	return write(fd, bytes, len < PIPE_BUF ? len : PIPE_BUF);
}

static ssize_t write_once(struct output *o, const void *bytes, size_t len)
{
	struct iovec iov = {(void *)(uintptr_t)bytes, len};
	switch (o->kind) {
	case OUTPUT_SOCKET:
		return send(o->fd, bytes, len, MSG_DONTWAIT);
	case OUTPUT_TERMINAL:
		return write_piece(o->fd, bytes, len);
	case OUTPUT_PIPE:
		if (!o->no_nowait) {
			ssize_t n = pwritev2(o->fd, &iov, 1, -1, RWF_NOWAIT);
			if (n >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS))
				return n;
			o->no_nowait = true;
		}
		return write_piece(o->fd, bytes, len);
	case OUTPUT_FILE:
		break;
	}
	return write(o->fd, bytes, len);
}

size_t output_write(struct output *o, const void *bytes, size_t len, int *error)
{
	size_t done = 0;
	*error = 0;
	while (done < len && !*error) {
		ssize_t n = write_once(o, (const char *)bytes + done, len - done);
		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			*error = errno;
	}
	o->written += done;
	return done;
}

static bool cut(struct output *o, size_t len)
{
	struct stat st;
	off_t at = lseek(o->fd, 0, SEEK_CUR), begin = at - (off_t)len;

	if (begin < 0 || fstat(o->fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size != at ||
	    ftruncate(o->fd, begin) != 0 || lseek(o->fd, begin, SEEK_SET) != begin)
		return false;
	o->written -= len;
	return true;
}

bool output_leaves_torn(struct output *o, size_t torn, int separator)
{
	const char end = (char)separator;
	int error;
	if (torn == 0 || cut(o, torn))
		return false;
	if (separator >= 0)
		(void)output_write(o, &end, 1, &error);
	return true;
}

uint64_t output_consumed(const struct output *o)
{
	int unread = 0;
	if (ioctl(o->fd, FIONREAD, &unread) != 0 || unread < 0)
		return 0;
	return (uint64_t)unread < o->written ? o->written - (uint64_t)unread : 0;
}

size_t output_room(const struct output *o, size_t len)
{
	int unread = 0, size = o->kind == OUTPUT_PIPE ? fcntl(o->fd, F_GETPIPE_SZ) : -1;
	if (size < 0 || ioctl(o->fd, FIONREAD, &unread) != 0)
		return len;
	size_t room = unread < size ? (size_t)(size - unread) : 0;
	return room < len ? room : len;
}

bool output_notices_close(const struct output *o)
{
	return o->kind != OUTPUT_FILE;
}
