/*
 * usage: flood SECONDS FROM HOST:PORT
 *
 * Connects again and again from the IPv4 address FROM, as fast as it is let, and says as a node
 * what is no handshake.  At the end: how many connections there were, on stdout.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/link/link.h"
#include "sys/net/socket.h"
#include "sys/process/clock.h"

#define AT_A_TIME 64

static struct addrinfo *to;
static struct sockaddr_in from = {.sin_family = AF_INET};
static const uint8_t garbage[LINK_FIRST_SIZE] = {LINK_NODE, NOISE_MESSAGE_1_SIZE};

/* -1: no more for now. */
static int begin(void)
{
	const struct linger none = {.l_onoff = 1, .l_linger = 0};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0 &&
	    (connect(fd, to->ai_addr, to->ai_addrlen) == 0 || errno == EINPROGRESS))
		return fd;
	close(fd);
	return -1;
}

/* It can be written, or the other side has ended it; false: it is over. */
static bool go_on(struct pollfd *p)
{
	if (p->revents & (POLLERR | POLLHUP | POLLIN))
		return false;
	if (!(p->revents & POLLOUT))
		return true;
	p->events = POLLIN;
	return send(p->fd, garbage, sizeof(garbage), MSG_NOSIGNAL) == sizeof(garbage);
}

int main(int argc, char **argv)
{
	struct pollfd list[AT_A_TIME];
	struct socket_host host;
	const char *why;
	unsigned long made = 0;

	if (argc != 4 || inet_pton(AF_INET, argv[2], &from.sin_addr) != 1 ||
	    socket_host_parse(&host, argv[3], &why) ||
	    socket_host_resolve(&host, AI_NUMERICHOST, &to) != 0) {
		fprintf(stderr, "usage: flood SECONDS FROM HOST:PORT\n");
		return 64;
	}
	uint64_t end = clock_mono().ms + 1000 * strtoul(argv[1], NULL, 10);
	for (int i = 0; i < AT_A_TIME; i++)
		list[i] = (struct pollfd){.fd = -1};
	while (clock_mono().ms < end) {
		for (int i = 0; i < AT_A_TIME; i++)
			if (list[i].fd < 0 && (list[i].fd = begin()) >= 0) {
				list[i].events = POLLOUT;
				made++;
			}
		(void)poll(list, AT_A_TIME, 10);
		for (int i = 0; i < AT_A_TIME; i++)
			if (list[i].fd >= 0 && !go_on(&list[i])) {
				close(list[i].fd);
				list[i].fd = -1;
			}
	}
	printf("%lu\n", made);
	return 0;
}
