/*
 * A rolling upgrade: nodes of two versions, which stop, come back as the other one, and join, while a leader
 * raises the level of records (core/host/level.h) as it hears them.  No node that runs ever has a record
 * that it does not read; and once all are new, the level rises.
 */
#ifndef SIM_UPGRADE_H
#define SIM_UPGRADE_H

#include <stdint.h>

void upgrade_run(uint64_t seed);

#endif
