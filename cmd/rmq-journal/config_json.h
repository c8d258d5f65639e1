/* The members of a cluster, the payload of a CONFIG record, as JSON. */
#ifndef RMQ_JOURNAL_CONFIG_JSON_H
#define RMQ_JOURNAL_CONFIG_JSON_H

#include "core/base/text.h"
#include "core/raft/raft_config.h"
#include "sys/store/identity.h"

/* Puts "cluster" and "members" into the object that `out` ends with. */
void config_json(struct text *out, const struct raft_config *c);

/* An id: hexadecimal digits in quotes, null if there is none. */
void config_json_id(struct text *out, struct raft_id id);

/* Those digits alone; "" if there is none. */
void config_id_text(struct raft_id id, char text[IDENTITY_TEXT_SIZE]);

#endif
