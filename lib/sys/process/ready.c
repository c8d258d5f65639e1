#include "sys/process/ready.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int ready_notify(const char *state)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	size_t len = name ? strlen(name) : 0;

	if (len == 0)
		return 0;
	if ((name[0] != '/' && name[0] != '@') || len >= sizeof(un.sun_path)) {
		errno = EINVAL;
		return -1;
	}
	memcpy(un.sun_path, name, len);
	if (name[0] == '@')
		un.sun_path[0] = '\0';
	socklen_t un_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	ssize_t n = sendto(
	    fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&un, un_len);
	int saved = errno;
	close(fd);
	errno = saved;
	return n < 0 ? -1 : 0;
}

int ready_fd(int fd)
{
	ssize_t n = write(fd, "\n", 1);
	int saved = errno;
	close(fd);
	errno = saved;
	return n == 1 ? 0 : -1;
}
