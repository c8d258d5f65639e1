/*
 * Message ids, QUEUE:SEQ, and receipts, QUEUE:SEQ:LEASE: plain words that survive a
 * shell.  A lease number is a fencing number: a receipt settles nothing once someone else holds
 * the message.
 */
#ifndef RMQ_CORE_WIRE_RECEIPT_H
#define RMQ_CORE_WIRE_RECEIPT_H

#include "core/base/codec.h"
#include "core/base/limits.h"

struct receipt {
	struct slice queue; /* borrowed from what was parsed */
	uint64_t seq;
	uint64_t lease;
};

/* The longest one, with a NUL. */
#define RECEIPT_MAX (NAME_FULL_MAX + 2 * 21 + 1)

/* An id; *queue is borrowed. */
bool receipt_parse_id(struct slice text, struct slice *queue, uint64_t *seq)
    __attribute__((warn_unused_result));
bool receipt_parse(struct slice text, struct receipt *r) __attribute__((warn_unused_result));

/* Both return the length. */
size_t receipt_print(char out[RECEIPT_MAX], const struct receipt *r);
size_t receipt_print_id(char out[RECEIPT_MAX], struct slice queue, uint64_t seq);

#endif
