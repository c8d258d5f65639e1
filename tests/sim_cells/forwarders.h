/*
 * The forwarder of a cell: a process with the shipped forwarder core, its receiver, which is pinned to the
 * cell, and its senders, which roam.
 */
#ifndef SIM_CELLS_FORWARDERS_H
#define SIM_CELLS_FORWARDERS_H

#include "actors.h"

/* Of this cell. */
void forwarders_start(struct actor *a, unsigned cell);
/* The process ends. */
void forwarders_stop(struct actor *a);
void forwarders_step(struct actor *a);
bool forwarders_ready(const struct actor *a);
uint64_t forwarders_due(const struct actor *a);

#endif
