#include "sys/process/clock.h"

#include <assert.h>
#include <time.h>

static struct timespec read_clock(clockid_t id)
{
	struct timespec ts;
	int err = clock_gettime(id, &ts);
	assert(err == 0);
	(void)err;
	return ts;
}

static uint64_t read_ms(clockid_t id)
{
	struct timespec ts = read_clock(id);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

struct mono_time clock_mono(void)
{
	return (struct mono_time){read_ms(CLOCK_BOOTTIME)};
}

struct wall_time clock_wall(void)
{
	return (struct wall_time){read_ms(CLOCK_REALTIME)};
}

uint64_t clock_us(void)
{
	struct timespec ts = read_clock(CLOCK_MONOTONIC);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}
