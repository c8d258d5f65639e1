/*
 * A dropper: the shipped dropper core with a client in the cell whose copies are to go, and one after the other in all
 * other cells, as rmq-queue drop-copy has them.
 */
#ifndef SIM_CELLS_DROPPERS_H
#define SIM_CELLS_DROPPERS_H

#include "actors.h"

struct drops;

/* Of a mover's process, which does one or the other. */
struct drops *droppers_new(struct actor *a);
void droppers_free(struct drops *d);
/* Drops the copies of a queue in a cell. */
void droppers_drop(struct drops *d, unsigned queue, unsigned cell);
void droppers_step(struct drops *d);
/* Whether it drops nothing. */
bool droppers_done(const struct drops *d);
bool droppers_ready(const struct drops *d);
uint64_t droppers_due(const struct drops *d);

#endif
