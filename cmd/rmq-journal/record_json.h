/* A record as a JSON object: its header, and its events with all their fields. */
#ifndef RMQ_JOURNAL_RECORD_JSON_H
#define RMQ_JOURNAL_RECORD_JSON_H

#include "core/base/text.h"
#include "core/wire/record.h"

/*
 * Puts the object; out->failed if out of memory.  RMQ_E_CORRUPT or RMQ_E_VERSION if the payload
 * cannot be read to its end, which the object says too.
 */
enum rmq_error record_json(struct text *out, const struct record_header *h, struct slice payload)
    __attribute__((warn_unused_result));

#endif
