/* A record as a JSON object: its header, and its events with all their fields. */
#ifndef RMQ_JOURNAL_RECORD_JSON_H
#define RMQ_JOURNAL_RECORD_JSON_H

#include <jansson.h>

#include "core/wire/record.h"

/*
 * NULL: out of memory.  *err: RMQ_E_CORRUPT or RMQ_E_VERSION if the payload cannot be read to
 * its end, which the object says too.
 */
json_t *record_json(const struct record_header *h, struct slice payload, enum rmq_error *err);

#endif
