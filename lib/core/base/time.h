/*
 * Clocks that must not mix, each wrapped in a struct of its own.  The core never
 * reads a clock: it is given the time with each command.
 */
#ifndef RMQ_CORE_BASE_TIME_H
#define RMQ_CORE_BASE_TIME_H

#include <stdint.h>

/* Wall clock: milliseconds since 1970 UTC.  May jump; for delays, expiry, display. */
struct wall_time {
	uint64_t ms;
};

/*
 * Lease time: a clock of the queue's history.  It resumes at the newest event's
 * value when a daemon starts and goes on by CLOCK_BOOTTIME, so it never goes back
 * and a restart only lengthens leases.  Unrelated to the wall clock.
 */
struct lease_time {
	uint64_t ms;
};

/* A client's own CLOCK_BOOTTIME; the daemon only echoes it ("stamp"). */
struct mono_time {
	uint64_t ms;
};

#endif
