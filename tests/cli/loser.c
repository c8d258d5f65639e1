/*
 * loser SOCKET DAEMON TYPE: relays connections to the socket of a daemon.  The first frame of that
 * type that the daemon sends is lost, and its connection with it; all else goes through.  Ends when
 * killed.
 */
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/codec.h"
#include "core/wire/frame.h"

static bool lost;
static uint8_t buffer[1 << 20];
static size_t held; /* of the daemon's, not passed on yet */

static int unix_socket(const char *path, struct sockaddr_un *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(a->sun_path, sizeof(a->sun_path), "%s", path);
	if (fd < 0) {
		perror("loser");
		exit(1);
	}
	return fd;
}

static bool put(int fd, const uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

/* Whole frames go to the client; false: the connection is over. */
static bool from_daemon(int daemon, int client, int type)
{
	ssize_t n = read(daemon, buffer + held, sizeof(buffer) - held);
	size_t at = 0, used;
	struct frame f;
	if (n <= 0)
		return false;
	held += (size_t)n;
	while (!frame_parse(slice_of(buffer + at, held - at), &f, &used) && used > 0) {
		if (!lost && f.type == type) {
			lost = true;
			return false;
		}
		if (!put(client, buffer + at, used))
			return false;
		at += used;
	}
	held -= at;
	memmove(buffer, buffer + at, held);
	return true;
}

static bool from_client(int client, int daemon)
{
	static uint8_t bytes[65536];
	ssize_t n = read(client, bytes, sizeof(bytes));
	return n > 0 && put(daemon, bytes, (size_t)n);
}

int main(int argc, char **argv)
{
	struct sockaddr_un here, there;
	if (argc != 4)
		return 2;
	int fd = unix_socket(argv[1], &here);
	if (bind(fd, (struct sockaddr *)&here, sizeof(here)) != 0 || listen(fd, 16) != 0)
		return 1;
	for (;;) {
		int client = accept(fd, NULL, NULL), daemon = unix_socket(argv[2], &there);
		bool on = connect(daemon, (struct sockaddr *)&there, sizeof(there)) == 0;
		held = 0;
		while (on) {
			struct pollfd p[2] = {{client, POLLIN, 0}, {daemon, POLLIN, 0}};
			on = poll(p, 2, -1) > 0;
			if (on && p[0].revents)
				on = from_client(client, daemon);
			if (on && p[1].revents)
				on = from_daemon(daemon, client, atoi(argv[3]));
		}
		close(client);
		close(daemon);
	}
}
