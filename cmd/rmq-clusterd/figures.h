/* How this node is, in numbers: what it tells the others, and who asks it. */
#ifndef RMQ_CLUSTERD_FIGURES_H
#define RMQ_CLUSTERD_FIGURES_H

#include "core/host/tell.h"

struct cluster;

/* All zeros to begin with. */
void figures_take(const struct cluster *c, struct metrics *m);

#endif
