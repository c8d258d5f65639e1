/*
 * cutter PORT TO_PORT BYTES: relays TCP connections from one port of 127.0.0.1 to another one.
 * Whenever another BYTES have come for the other one, over all connections, all of them are
 * reset, in the middle of whatever is being said, and a line says so.  Ends when killed.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAIRS 64
#define CHUNK 1024

static int pairs[PAIRS][2]; /* who came, whom it is for */
static unsigned count;

static struct sockaddr_in loopback(const char *port)
{
	struct sockaddr_in a = {
	    .sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

static int listen_at(const char *port)
{
	struct sockaddr_in a = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(fd, 16) != 0) {
		perror("cutter");
		exit(1);
	}
	return fd;
}

static void reset(int fd)
{
	struct linger now = {1, 0};
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

static void drop(unsigned at)
{
	reset(pairs[at][0]);
	reset(pairs[at][1]);
	count--;
	pairs[at][0] = pairs[count][0];
	pairs[at][1] = pairs[count][1];
}

static void take(int listener, const char *port)
{
	struct sockaddr_in a = loopback(port);
	int from = accept(listener, NULL, NULL), to = socket(AF_INET, SOCK_STREAM, 0);
	if (from < 0 || to < 0)
		exit(1);
	if (count == PAIRS || connect(to, (struct sockaddr *)&a, sizeof(a)) != 0) {
		reset(from);
		close(to);
		return;
	}
	pairs[count][0] = from;
	pairs[count++][1] = to;
}

/* How much went on; -1: that connection is over. */
static ssize_t relay(int from, int to, size_t most)
{
	char bytes[CHUNK];
	ssize_t n = recv(from, bytes, most < sizeof(bytes) ? most : sizeof(bytes), 0);
	return n > 0 && send(to, bytes, (size_t)n, MSG_NOSIGNAL) == n ? n : -1;
}

/* One round; what is left of `left`. */
static size_t turn(struct pollfd *polled, size_t left)
{
	for (unsigned i = count; i > 0 && left > 0; i--) {
		const int *pair = pairs[i - 1];
		bool over = false;
		if (polled[2 * i - 1].revents) {
			ssize_t n = relay(pair[0], pair[1], left);
			over = n < 0;
			left -= n > 0 ? (size_t)n : 0;
		}
		if (!over && polled[2 * i].revents)
			over = relay(pair[1], pair[0], CHUNK) < 0;
		if (over)
			drop(i - 1);
	}
	return left;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 64;
	int listener = listen_at(argv[1]);
	size_t each = strtoul(argv[3], NULL, 10), left = each;
	for (;;) {
		struct pollfd polled[2 * PAIRS + 1] = {{listener, POLLIN, 0}};
		for (unsigned i = 0; i < count; i++)
			for (unsigned side = 0; side < 2; side++)
				polled[2 * i + 1 + side] =
				    (struct pollfd){pairs[i][side], POLLIN, 0};
		if (poll(polled, 2 * count + 1, -1) < 0)
			return 1;
		left = turn(polled, left);
		if (left == 0) {
			while (count > 0)
				drop(0);
			puts("cut");
			fflush(stdout);
			left = each;
		} else if (polled[0].revents) {
			take(listener, argv[2]);
		}
	}
}
