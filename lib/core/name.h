/* Names of queues: [A-Za-z0-9_][A-Za-z0-9._-]{0,122}, ".dead" may follow. */
#ifndef RMQ_CORE_NAME_H
#define RMQ_CORE_NAME_H

#include "core/codec.h"

bool name_valid(struct slice name);

/* Whether it names a dead-letter queue (ends in ".dead"). */
bool name_is_dead(struct slice name);

/* Whether `name` matches a glob of literal characters, `*` and `?`, anchored. */
bool name_matches(struct slice name, struct slice glob);

#endif
