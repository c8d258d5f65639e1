/*
 * usage: flood SECONDS FROM HOST:PORT [ROLE [RATE [ADDRESSES]]]
 *
 * Connects again and again from the IPv4 address FROM, as fast as it is let, and says in a role (of
 * link.h; 1, a node) what is no handshake.  With RATE: so often a second, and each fourth says
 * nothing; from so many addresses in turn, FROM and those after it.  At the end: how many connections
 * there were, on stdout.
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

#define AT_A_TIME 256
#define FAST	  64  /* at a time, as fast as it is let */
#define SILENT_MS 200 /* until one that says nothing gives its place to another */

static struct addrinfo *to;
static struct sockaddr_in from = {.sin_family = AF_INET};
static uint32_t first;
static unsigned long rate, addresses = 1, made;
static uint8_t garbage[LINK_FIRST_SIZE] = {LINK_NODE, NOISE_MESSAGE_1_SIZE};

static struct pollfd list[AT_A_TIME];
static uint64_t begun_ms[AT_A_TIME];

/* -1: no more for now. */
static int begin(void)
{
	const struct linger none = {.l_onoff = 1, .l_linger = 0};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	from.sin_addr.s_addr = htonl(first + (uint32_t)(made % addresses));
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0 &&
	    (connect(fd, to->ai_addr, to->ai_addrlen) == 0 || errno == EINPROGRESS))
		return fd;
	close(fd);
	return -1;
}

/* It can be written, or the other side has ended it; false: it is over. */
static bool go_on(struct pollfd *p, bool silent)
{
	if (p->revents & (POLLERR | POLLHUP | POLLIN))
		return false;
	if (!(p->revents & POLLOUT))
		return true;
	p->events = POLLIN;
	return silent || send(p->fd, garbage, sizeof(garbage), MSG_NOSIGNAL) == sizeof(garbage);
}

static void turn(unsigned count, uint64_t most)
{
	for (unsigned i = 0; i < count && made < most; i++)
		if (list[i].fd < 0 && (list[i].fd = begin()) >= 0) {
			list[i].events = POLLOUT;
			begun_ms[i] = clock_mono().ms;
			made++;
		}
	(void)poll(list, count, rate ? 1 : 10);
	uint64_t now_ms = clock_mono().ms;
	for (unsigned i = 0; i < count; i++) {
		bool old = rate && now_ms - begun_ms[i] >= SILENT_MS;
		if (list[i].fd >= 0 && (!go_on(&list[i], rate && i % 4 == 0) || old)) {
			close(list[i].fd);
			list[i].fd = -1;
		}
	}
}

int main(int argc, char **argv)
{
	struct socket_host host;
	const char *why;

	if (argc < 4 || inet_pton(AF_INET, argv[2], &from.sin_addr) != 1 ||
	    socket_host_parse(&host, argv[3], &why) ||
	    socket_host_resolve(&host, AI_NUMERICHOST, &to) != 0) {
		fprintf(
		    stderr, "usage: flood SECONDS FROM HOST:PORT [ROLE [RATE [ADDRESSES]]]\n");
		return 64;
	}
	first = ntohl(from.sin_addr.s_addr);
	if (argc > 4)
		garbage[0] = (uint8_t)strtoul(argv[4], NULL, 10);
	if (argc > 5)
		rate = strtoul(argv[5], NULL, 10);
	if (argc > 6)
		addresses = strtoul(argv[6], NULL, 10);
	for (int i = 0; i < AT_A_TIME; i++)
		list[i] = (struct pollfd){.fd = -1};
	uint64_t start = clock_mono().ms, end = start + 1000 * strtoul(argv[1], NULL, 10), now;
	while ((now = clock_mono().ms) < end)
		turn(rate ? AT_A_TIME : FAST, rate ? (now - start) * rate / 1000 : UINT64_MAX);
	printf("%lu\n", made);
	return 0;
}
