/* To be preloaded: the clock of the machine says $WALL_CLOCK, in seconds. */
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t id, struct timespec *ts)
{
	const char *wall = getenv("WALL_CLOCK");
	int (*real)(clockid_t, struct timespec *);
	*(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
	if (id != CLOCK_REALTIME || !wall)
		return real(id, ts);
	*ts = (struct timespec){.tv_sec = strtoll(wall, NULL, 10)};
	return 0;
}
