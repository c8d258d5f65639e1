/*
 * Mixed ranges: messages of several priorities in one range, so that priorities which alternate
 * cost a byte a message, not a range.
 *
 * A mixed range is ready or delayed, and short (MIXED_SPAN_MAX).  Its `priority` is the highest of its live
 * messages, as that is handed out next; r->mix has the priority of each message that it spans.
 */
#ifndef RMQ_CORE_QUEUE_MIXED_H
#define RMQ_CORE_QUEUE_MIXED_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/codec.h"
#include "core/base/limits.h"

struct range;

/* The priority of message seq of r. */
uint8_t mixed_priority(const struct range *r, uint64_t seq);
/* The first live message of r's priority. */
uint64_t mixed_first(struct range *r);
/* Where the messages of r in [at, end) that have the priority of the first live one stop. */
uint64_t mixed_run(struct range *r, uint64_t at, uint64_t end);

/* Whether right may join left, the range before it, for all that priorities say. */
bool mixed_may_join(const struct range *left, const struct range *right);
/* The priorities of right, which it may, join those of left, whose span is to be longer then. */
void mixed_join(struct range *left, const struct range *right);
/* r->mix, of which right has a copy, is cut where right begins. */
void mixed_split(struct range *left, struct range *right);
/* The first so many messages of r are not in it any more. */
void mixed_shift(struct range *r, uint64_t count);
/* Some messages have left r: what its priority is now, and whether it is mixed still. */
void mixed_look(struct range *r);
/* Takes the priorities of r's messages, a byte each; false: they are none. */
bool mixed_set(struct range *r, struct slice priorities);
void mixed_free(struct range *r);

#endif
