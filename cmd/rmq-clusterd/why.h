/* What this node sees, for core/host/why.h, which says what is wrong. */
#ifndef RMQ_CLUSTERD_WHY_H
#define RMQ_CLUSTERD_WHY_H

#include "core/host/why.h"

struct cluster;

/* What the leader says, enum node_state_flag; 0: it is not heard, or does not serve yet. */
unsigned why_leader_flags(const struct cluster *c);

void why_look(const struct cluster *c, struct why *w);

#endif
