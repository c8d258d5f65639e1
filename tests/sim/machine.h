/*
 * One machine: one journal on one disk, one queue daemon that comes and goes, clients,
 * connections and clocks.  Nothing happens but by machine_step(), which lets one thing
 * happen, chosen by the seed: so that the order of things is the seed's, and every order
 * is possible.
 *
 * After the seed's steps comes the calm: nothing breaks any more, everything is sent,
 * delivered and settled, and what is left is compared.
 */
#ifndef SIM_MACHINE_H
#define SIM_MACHINE_H

#include "world.h"

struct world *machine_new(uint64_t seed, enum world_variant variant);
void machine_free(struct world *w);
/* One thing happens. */
void machine_step(struct world *w);
/* The calm, up to its end. */
void machine_calm(struct world *w);

#endif
