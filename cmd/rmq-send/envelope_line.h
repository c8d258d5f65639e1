/* Envelopes as rmq-recv -j prints them, read. */
#ifndef RMQ_SEND_ENVELOPE_LINE_H
#define RMQ_SEND_ENVELOPE_LINE_H

#include "core/base/text.h"
#include "core/client/labels.h"

#define ENVELOPE_WHY_MAX 256

/*
 * The body, and what the envelope says of it; other members are passed over.  NULL, or what is wrong,
 * maybe in `why`.
 */
const char *envelope_read(struct slice line, struct labels *labels, struct text *body,
    char why[ENVELOPE_WHY_MAX]) __attribute__((warn_unused_result));

#endif
