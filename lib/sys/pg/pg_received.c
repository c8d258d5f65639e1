#include "sys/pg/pg_received.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

uint64_t pg_received(int fd, uint64_t before)
{
	struct tcp_info info = {0};
	socklen_t size = sizeof(info);
	int waits = 0;

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
	    size >= offsetof(struct tcp_info, tcpi_bytes_received) +
			sizeof(info.tcpi_bytes_received))
		return info.tcpi_bytes_received;
	if (ioctl(fd, FIONREAD, &waits) == 0 && waits > 0)
		return before + (uint64_t)waits;
	return before;
}
