/* The members of a cluster, the payload of a CONFIG record, as a JSON object. */
#ifndef RMQ_JOURNAL_CONFIG_JSON_H
#define RMQ_JOURNAL_CONFIG_JSON_H

#include <jansson.h>

#include "core/raft/raft_config.h"

/* NULL: out of memory.  Ids are hexadecimal digits, null if there is none. */
json_t *config_json(const struct raft_config *c);

/* An id alone. */
json_t *config_json_id(struct raft_id id);

#endif
