#include "sys/stream/io.h"

#include <errno.h>
#include <fcntl.h>
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

int io_keep_owner(int dir_fd, const char *name, const char *like)
{
	struct stat owner, file;
	/* Only root can give one away. */
	if (geteuid() != 0)
		return 0;
	if (fstatat(dir_fd, like, &owner, AT_SYMLINK_NOFOLLOW) != 0 ||
	    fstatat(dir_fd, name, &file, AT_SYMLINK_NOFOLLOW) != 0)
		return errno;
	if (owner.st_uid == file.st_uid && owner.st_gid == file.st_gid)
		return 0;
	return fchownat(dir_fd, name, owner.st_uid, owner.st_gid, AT_SYMLINK_NOFOLLOW) == 0
		   ? 0
		   : errno;
}
