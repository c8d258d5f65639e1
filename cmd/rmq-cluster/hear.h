/* What happens in the cluster, as lines. */
#ifndef RMQ_CLUSTER_HEAR_H
#define RMQ_CLUSTER_HEAR_H

#include "ask.h"
#include "sys/process/options.h"

enum hear_option { HEAR_SNAPSHOT, HEAR_REPLAY, HEAR_SINCE, HEAR_AFTER, HEAR_ONLY };

/* Rows of options, with codes from `first` on. */
#define HEAR_ROWS(first) \
	{(first) + HEAR_SNAPSHOT, "snapshot", NULL, NULL, NULL, \
	    "the whole state first, in one line"}, \
	    {(first) + HEAR_REPLAY, "replay", NULL, NULL, NULL, \
		"the whole state first, as events"}, \
	    {(first) + HEAR_SINCE, "since", "INDEX", NULL, NULL, \
		"those of later indexes first"}, \
	    {(first) + HEAR_AFTER, "after", "SEQ", NULL, NULL, \
		"those after the one of this seq first"}, \
	{ \
		'e', "only", "KIND,...", NULL, NULL, "print only these events" \
	}

/* All zeros: all that comes from now on. */
struct hear {
	uint8_t flags; /* enum events_flag */
	uint64_t since;
	const char *bad;  /* what is not a number; NULL: nothing */
	const char *only; /* KIND,...; NULL: all */
};

/* The option of this number; 'e' has none. */
void hear_option(struct hear *h, int option, const char *value);

/* Prints until it is ended, as ask_events(). */
enum rmq_error hear_run(struct hear *h, struct ask *a) __attribute__((warn_unused_result));

#endif
