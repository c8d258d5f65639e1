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

/*
 * How that is done.  Most envelopes have no escapes, no headers and no members but those that
 * rmq-recv -j prints: these are taken as they stand, at a twentieth of what a tree of JSON costs.
 * False: this is not one of them, and nothing is taken.
 */
bool envelope_read_simple(struct slice line, struct labels *labels, struct text *body)
    __attribute__((warn_unused_result));
/* As envelope_read(), for any envelope. */
const char *envelope_read_any(struct slice line, struct labels *labels, struct text *body,
    char why[ENVELOPE_WHY_MAX]) __attribute__((warn_unused_result));

#endif
