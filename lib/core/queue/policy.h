/* The settings of a queue: which values are allowed, the back-off, and how two sets differ. */
#ifndef RMQ_CORE_QUEUE_POLICY_H
#define RMQ_CORE_QUEUE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/limits.h"
#include "core/base/time.h"
#include "core/wire/more_settings.h"

struct queue_settings {
	uint32_t lease_ms;
	uint32_t max_attempts;
	uint64_t backoff_min_ms;
	uint64_t backoff_max_ms;
	uint64_t max_bytes;
	uint32_t max_message;
	char dead_letter[NAME_FULL_MAX + 1];
	struct more_settings more;
};

/*
 * Whether each setting has an allowed value, and they fit together.  What is journaled is judged by
 * it, too: it may not become stricter.
 */
bool policy_valid(const struct queue_settings *s) __attribute__((warn_unused_result));

/*
 * How long a message rests after its failure number `failures`, in ms: twice as long as after
 * the one before, within backoff_min_ms and backoff_max_ms.
 */
uint64_t policy_backoff_ms(const struct queue_settings *s, uint32_t failures);

bool policy_same(const struct queue_settings *a, const struct queue_settings *b);

/*
 * The rate is a token bucket: it holds `burst` tokens at most, a hand-out takes one, and one comes
 * each `each`.  With burst + period / each - 1 = number no period has more hand-outs than that.  The
 * bucket is known by the time at which it is full again, `full`, and that and `each` are in 2^-20 ms
 * of lease time.
 */
#define RATE_SHIFT 20
/* So many hand-outs are allowed now; s has a rate. */
uint64_t policy_rate_allows(
    const struct queue_settings *s, uint64_t full, struct lease_time now);
/* `full` after so many more. */
uint64_t policy_rate_after(
    const struct queue_settings *s, uint64_t full, struct lease_time now, uint64_t messages);
/* When the next one is allowed. */
struct lease_time policy_rate_due(const struct queue_settings *s, uint64_t full);
/* `full` of one that had another rate: it is empty at most. */
uint64_t policy_rate_changed(
    const struct queue_settings *s, uint64_t full, struct lease_time now);

/* For people: the first setting that is another one, and both values.  They do differ. */
#define POLICY_DIFFERENCE_MAX 224
void policy_difference(char out[POLICY_DIFFERENCE_MAX], const struct queue_settings *is,
    const struct queue_settings *wanted);

#endif
