/*
 * Which TCP connections are heard.  A handshake costs about a third of a millisecond on the
 * only loop, whoever asks for it; an unfinished one costs a descriptor and memory.  So there is
 * a token bucket for each address and one for all strangers together, and a limit on open
 * connections that have not said who they are; limits.h has the figures.
 *
 * An address is known if this node dials it, or if a peer that came from there was let in.
 * Known addresses have a bucket each and places of their own: strangers elsewhere, however
 * many, take nothing from them.
 *
 * A peer that is let in gets its token back, so that the buckets bite what fails or does not
 * finish, and all that a restart has cut off come back at once.  What comes back is in buckets,
 * too: a peer that may come, again and again, takes a part of the time, and of others' tokens
 * nothing.
 *
 * Known addresses that are not dialled share their places.  When these are all taken, one of the
 * address that has most of them gives way: whoever says nothing holds no place that others need.
 *
 * An IPv6 address is its /64, which is what one customer has.
 */
#ifndef RMQ_CORE_LINK_ARRIVALS_H
#define RMQ_CORE_LINK_ARRIVALS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/limits.h"

/* What counts as one address; unused bytes are zero. */
struct arrivals_origin {
	uint8_t family; /* 4, 6; 0: the place is free */
	uint8_t bytes[8];
};

struct arrivals_bucket {
	uint64_t at_ms; /* when it was looked at */
	uint64_t parts; /* thousandths of a connection */
};

struct arrivals_address {
	struct arrivals_origin origin;
	bool known;
	bool expected; /* known before anybody came */
	unsigned open; /* connections that have not said who they are */
	struct arrivals_bucket bucket;
	struct arrivals_bucket back; /* tokens that may come back */
};

/* All zeros to begin with. */
struct arrivals {
	struct arrivals_address list[ARRIVALS_ADDRESSES];
	unsigned known;
	unsigned open_expected, open_known, open_strangers;
	struct arrivals_bucket all;  /* strangers */
	struct arrivals_bucket back; /* of all */
	bool begun;
};

enum arrivals_answer {
	ARRIVALS_HEARD,
	ARRIVALS_ADDRESS_FAST, /* too many come from that address */
	ARRIVALS_ALL_FAST,     /* too many strangers come */
	ARRIVALS_ADDRESS_OPEN, /* too many of that address have not said who they are */
	ARRIVALS_ALL_OPEN,     /* too many have not */
	ARRIVALS_INSTEAD,      /* the same; but one may give way */
	ARRIVALS_ANSWERS
};

/* Which one is to give way: the oldest of that address, if it came at before_ms or before. */
struct arrivals_instead {
	struct arrivals_origin origin;
	uint64_t before_ms;
};

/*
 * A peer from there was let in.  A known address that was not used for longest is forgotten for it, if it
 * has no connection open; an expected one only if all are.
 */
void arrivals_know(struct arrivals *a, const struct arrivals_origin *from, uint64_t now_ms);
/* This node dials that address, or is told of it. */
void arrivals_expect(struct arrivals *a, const struct arrivals_origin *from, uint64_t now_ms);

/*
 * Whether a connection from there is heard; percent: random, below 100.  ARRIVALS_HEARD: it
 * counts as open until arrivals_end().  ARRIVALS_INSTEAD: ask again once *instead is over.
 */
enum arrivals_answer arrivals_begin(struct arrivals *a, const struct arrivals_origin *from,
    unsigned percent, uint64_t now_ms, struct arrivals_instead *instead)
    __attribute__((warn_unused_result));
bool arrivals_same(const struct arrivals_origin *a, const struct arrivals_origin *b);
/* It has said who it is, or is over. */
void arrivals_end(struct arrivals *a, const struct arrivals_origin *from);

/* Why it is not heard, for people. */
const char *arrivals_text(enum arrivals_answer answer);

#endif
