/*
 * A mover: a process with the shipped mover core and two clients, one in the cell where a queue lives, as
 * far as it knows, and one in the cell that it is to live in.  It begins anew as rmq-queue move-cell does.
 */
#ifndef SIM_CELLS_MOVERS_H
#define SIM_CELLS_MOVERS_H

#include "actors.h"

/* Nothing is moved yet. */
void movers_start(struct actor *a);
/* The process ends. */
void movers_stop(struct actor *a);
/* Begins to move a queue, from where it is taken to live; nothing else is moved. */
void movers_move(struct actor *a, unsigned queue, unsigned from, unsigned to);
/* Begins to make the way of a queue from a cell shorter, to where it is taken to live. */
void movers_shorten(struct actor *a, unsigned queue, unsigned from, unsigned to);
void movers_step(struct actor *a);
/* Whether it moves nothing. */
bool movers_done(const struct actor *a);
/* Whether it moves something to that cell. */
bool movers_go(const struct actor *a, unsigned cell);
bool movers_ready(const struct actor *a);
uint64_t movers_due(const struct actor *a);
void movers_report(const struct actor *a);

#endif
