/* The settings of a queue: which values are allowed, the back-off, and how two sets differ. */
#ifndef RMQ_CORE_QUEUE_POLICY_H
#define RMQ_CORE_QUEUE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/limits.h"

struct queue_settings {
	uint32_t lease_ms;
	uint32_t max_attempts;
	uint64_t backoff_min_ms;
	uint64_t backoff_max_ms;
	uint64_t max_bytes;
	uint32_t max_message;
	char dead_letter[NAME_FULL_MAX + 1];
};

/* Whether each setting has an allowed value, and they fit together. */
bool policy_valid(const struct queue_settings *s) __attribute__((warn_unused_result));

/*
 * How long a message rests after its failure number `failures`, in ms: twice as long as after
 * the one before, within backoff_min_ms and backoff_max_ms.
 */
uint64_t policy_backoff_ms(const struct queue_settings *s, uint32_t failures);

/* For people: the first setting that is another one, and both values.  They do differ. */
#define POLICY_DIFFERENCE_MAX 224
void policy_difference(char out[POLICY_DIFFERENCE_MAX], const struct queue_settings *is,
    const struct queue_settings *wanted);

#endif
