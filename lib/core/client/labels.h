/*
 * What a client says about its messages, by options or in an envelope: headers, a key, a priority,
 * from when on and until when they are for receivers.  They become attributes.
 */
#ifndef RMQ_CORE_CLIENT_LABELS_H
#define RMQ_CORE_CLIENT_LABELS_H

#include "core/base/text.h"
#include "core/base/time.h"
#include "core/client/attribute_table.h"

/* A time, or so long after the moment at which the message is sent. */
struct moment {
	enum { MOMENT_NONE, MOMENT_AFTER, MOMENT_AT } kind;
	uint64_t ms;
};

/* Zeroed memory says nothing. */
struct labels {
	struct text headers;
	struct text key; /* empty: none */
	struct text id;	 /* empty: none */
	bool has_priority;
	uint8_t priority;
	struct moment delay;
	struct moment expire;
};

void labels_deinit(struct labels *l);
/* It says nothing any more. */
void labels_clear(struct labels *l);

/* "250ms", "@1795440000", "2026-11-23T13:18:16Z": no longer than DELAY_MS_MAX from now. */
bool moment_parse(const char *text, struct moment *m) __attribute__((warn_unused_result));

/*
 * Those of `over` that say something are put over those of l; headers by their names.  NULL, or what
 * is wrong.
 */
const char *labels_overlay(struct labels *l, const struct labels *over);

/* Whether what is sent now would never be handed out: it expires before its delay is over. */
bool labels_expire_first(const struct labels *l, struct wall_time now);

/* Puts them all but the times. */
void labels_put(const struct labels *l, struct attribute_table *t, uint32_t message);
#define LABELS_TIMES_SIZE (2 * (4 + 8)) /* at most, of a list */
/* Puts the times for all messages, which are sent now. */
void labels_put_times(const struct labels *l, struct attribute_table *t, struct wall_time now);

#endif
