/*
 * Settings of a queue after those of QUEUE_SETTINGS (wire.h): a list of tagged fields, each a u64
 * under a tag of its own.  One that is not there has its default.  The list is the value of a tag
 * of the frames and events that have QUEUE_SETTINGS.
 */
#ifndef RMQ_CORE_WIRE_MORE_SETTINGS_H
#define RMQ_CORE_WIRE_MORE_SETTINGS_H

#include "core/base/tags.h"
#include "core/base/units.h"

/*
 * X(NAME, tag, bit, default, word, member): the tag in the list, the bit in `mask`, the name for
 * people.
 *
 *	expire_ms	a message expires so long after it was sent; 0: never
 *	dedup_ms	a message's id is remembered so long; 0: not
 *	max_inflight	so many messages are leased at a time, at most; 0: any number
 *	rate		hand-outs: number << 32 | period in ms; 0: any number
 *	paused_in	1: nothing is sent in
 *	paused_out	1: nothing is handed out
 *	dispatch	DISPATCH_*
 */
/* clang-format off */
#define MORE_SETTINGS(X) \
	X(EXPIRE,       2,  64,   0,      "expire",       expire_ms) \
	X(DEDUP,        4,  128,  600000, "dedup",        dedup_ms) \
	X(MAX_INFLIGHT, 6,  256,  0,      "max-inflight", max_inflight) \
	X(RATE,         8,  512,  0,      "rate",         rate) \
	X(PAUSED_IN,    10, 1024, 0,      "paused-in",    paused_in) \
	X(PAUSED_OUT,   12, 2048, 0,      "paused-out",   paused_out) \
	X(DISPATCH,     14, 4096, 0,      "dispatch",     dispatch)
/* clang-format on */

enum {
#define X(NAME, tag, bit, standard, word, member) SETTING_##NAME = (bit),
	MORE_SETTINGS(X)
#undef X
	    SETTING_ALL = 8191 /* with those of wire.h */
};

/*
 * Which receiver gets what is ready: each of them a share; each of them one message in turn; all
 * messages of a key one of them (by_key.h), and the others as in fair.
 */
enum { DISPATCH_FAIR, DISPATCH_ROUND_ROBIN, DISPATCH_KEY, DISPATCHES };

struct more_settings {
#define X(NAME, tag, bit, standard, word, member) uint64_t member;
	MORE_SETTINGS(X)
#undef X
};

/* rate: hand-outs in a period, and how long that may be. */
#define RATE_MAX	   10000000u
#define RATE_PERIOD_MS_MAX 3600000u
static inline uint64_t rate_of(uint32_t number, uint32_t period_ms)
{
	return (uint64_t)number << 32 | period_ms;
}

struct more_settings more_settings_default(void);

/* Setting `bit` as people write it; and read: false: its value is not that. */
void more_settings_print(char out[UNITS_TEXT_MAX], uint32_t bit, const struct more_settings *s);
bool more_settings_parse(const char *text, uint32_t bit, struct more_settings *s)
    __attribute__((warn_unused_result));
/* Whether each has a value that is allowed. */
bool more_settings_valid(const struct more_settings *s) __attribute__((warn_unused_result));

/* The tagged field `tag` of those in `mask` that are not the default; none of those. */
#define MORE_SETTINGS_BYTES (4 + 7 * (4 + 8))
void more_settings_put(
    struct writer *w, uint16_t tag, const struct more_settings *s, uint32_t mask);

/*
 * What `tags` have under `tag`.  RMQ_E_VERSION: a setting that is not known here; RMQ_E_PROTOCOL: it
 * is no such list.  The values are not checked.
 */
enum rmq_error more_settings_find(struct slice tags, uint16_t tag, struct more_settings *s)
    __attribute__((warn_unused_result));

#endif
