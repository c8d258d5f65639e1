/* How long the way to the peer of a TCP connection and back takes, as the kernel has measured it. */
#ifndef RMQ_SYS_NET_ROUND_TRIP_H
#define RMQ_SYS_NET_ROUND_TRIP_H

#include <stdint.h>

/*
 * Microseconds: the shortest of about the last five minutes, as others have the time in them that the
 * peer's kernel waits before it acknowledges.  0: it is not known.
 */
uint64_t round_trip_us(int fd);

#endif
