/*
 * Lists of cells that change while daemons run and clients go by older ones.
 *
 * LISTS_ORDERLY: an operator adds the last cell, lets it hash, lets it hash no more, and takes it away, step by
 * step as rmq(7) says under "Cells".  All that holds where lists stay the same holds here.
 * LISTS_WRONG: daemons and clients come to have any list in any order, as of somebody who does not read that.  A
 * queue may then be made twice: each is a queue of its own, of which nothing is lost, or handed out twice at once.
 * Once all lists are equal everything comes to rest.
 */
#ifndef SIM_CELLS_LISTS_H
#define SIM_CELLS_LISTS_H

#include "world.h"

enum lists_kind { LISTS_STILL, LISTS_ORDERLY, LISTS_WRONG };

/* Once the world has its list; some worlds have others as well. */
void lists_make(struct world *w);
void lists_free(struct world *w);
enum lists_kind lists_kind(const struct world *w);
/* The operator does something. */
void lists_step(struct world *w);
/* Whether all have the same list, and the operator has done what was begun. */
bool lists_done(const struct world *w);
/* Whether clients know the cell, and queues may be moved there. */
bool lists_use(const struct world *w, unsigned cell);
/* Some cell for a client to begin in that has no list. */
unsigned lists_contact(struct world *w, struct prng *p);

#endif
