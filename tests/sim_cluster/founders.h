/*
 * Nodes without a cluster, before there is one: administrators of several tell theirs to make
 * one, at the same time or later, and give up waiting; nodes start late, stand still, crash,
 * and ask slowly.  No two of them ever make one; and in the end, one makes it.
 */
#ifndef SIM_FOUNDERS_H
#define SIM_FOUNDERS_H

#include <stdint.h>

void founders_run(uint64_t seed);

#endif
