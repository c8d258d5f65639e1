/* The only place that reads a clock; callers pass the time to everything else. */
#ifndef RMQ_SYS_PROCESS_CLOCK_H
#define RMQ_SYS_PROCESS_CLOCK_H

#include "core/base/time.h"

/* Since boot, also while suspended; never goes back. */
struct mono_time clock_mono(void);
struct wall_time clock_wall(void);
/* Microseconds, for how long something takes; never goes back. */
uint64_t clock_us(void);

#endif
