/*
 * The level of records: what a cluster's log may hold.  All members read the cluster's level, so what
 * came with a higher one is not written yet: see core/host/level.h.
 *
 *	1  as of 2026-11-29
 *	2  a CONFIG may end in tags; events and parts of the map of keys and values
 *	3  events and parts of cells: places, and queues that arrive
 */
#ifndef RMQ_CORE_BASE_LEVEL_H
#define RMQ_CORE_BASE_LEVEL_H

#include <stdint.h>

#define LEVEL_FIRST 1
/* What came with level 2. */
#define LEVEL_TAGS 2
#define LEVEL_KV   2
/* … and with level 3. */
#define LEVEL_CELLS 3

/*
 * The newest that this program reads.  A test of upgrades links programs with one that is older:
 * so it is asked for, and no constant.
 */
uint64_t level_newest(void);

#endif
