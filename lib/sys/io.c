#include "sys/io.h"

#include <errno.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether to try again, after a wait if the descriptor is non-blocking. */
static int try_again(int fd, short events)
{
	struct pollfd p = {fd, events, 0};
	if (errno == EAGAIN)
		(void)poll(&p, 1, -1);
	else if (errno != EINTR)
		return 0;
	return 1;
}

int io_write(int fd, const void *bytes, size_t len)
{
	const char *p = bytes;
	while (len > 0) {
		ssize_t n = write(fd, p, len);
		if (n < 0 && !try_again(fd, POLLOUT))
			return errno;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

ssize_t io_read(int fd, void *bytes, size_t len)
{
	for (;;) {
		ssize_t n = read(fd, bytes, len);
		if (n >= 0 || !try_again(fd, POLLIN))
			return n;
	}
}

int io_keep_owner(int fd, int dir_fd)
{
	struct stat dir, file;
	if (fstat(dir_fd, &dir) != 0 || fstat(fd, &file) != 0)
		return errno;
	/* Only root could make one for somebody else. */
	if (geteuid() != 0 || (dir.st_uid == file.st_uid && dir.st_gid == file.st_gid))
		return 0;
	return fchown(fd, dir.st_uid, dir.st_gid) == 0 ? 0 : errno;
}
