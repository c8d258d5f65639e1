/*
 * The parts of a queue that is spread over cells, each with a connection of its own: which of them gets
 * what is to be sent next.  A queue that is not has one part, and this decides nothing.
 *
 * What has no key goes to the part that takes it soonest: whose cell is there and that has room, of these one with
 * the fewest batches in flight.  What a part has not taken, because it is full or its cell is away, is taken
 * back from it as soon as another one takes it.  What may have been taken already stays with its part.
 */
#ifndef RMQ_SEND_PARTS_H
#define RMQ_SEND_PARTS_H

#include "core/base/text.h"
#include "sys/client/client_io.h"
#include "sys/client/spread.h"
#include "waiter.h"

/* What belongs to a SEND here: its tag. */
struct freight {
	struct freight *next; /* of those that no part has */
	struct sendbuf *buf;  /* … and its batch or pieces */
	uint32_t part;	      /* that it has to go to, or INPUT_ANY_PART */
	struct part *at;      /* that has it */
	uint64_t first;	      /* number of its first record, from 1 */
	uint32_t bad; /* records that were taken out of it as such, from what comes first */
	struct text names; /* the records that stand for them, if they are named */
	/* What is printed of records that were known, in the order of the input. */
	struct text known;
	struct text known_records; /* struct known_record each */
};

struct part {
	struct sender *s;
	const char *queue;
	char own[NAME_MAX_LEN + 1]; /* … of a spread one */
	struct client_io io;
	struct waiter waiter;
	bool asked; /* whether its cell is there, and there is no answer yet */
	bool dead;  /* its client has given up */
	struct mono_time dead_at;
	/* Why it gave up last, unless its cell has answered since. */
	enum rmq_error code;
	char why[512];
};

struct parts {
	struct part *part;
	struct part only; /* of one: starting up is most of what sending one message costs */
	uint32_t count;
	bool several; /* there may be more than one */
	uint32_t next;
	struct mono_time full_since; /* none of them has room; 0: one may have */
	struct freight *waiting;     /* for a part that takes them, in the order of the input */
};

/* Whether what has no key may be given to one of them now. */
bool parts_take(const struct parts *p);
/* The one that takes it now, NULL: none does. */
struct part *parts_for(struct parts *p, const struct freight *f);

/* The one that gave up with batches that it may have, if the first that wait have to go there; else NULL. */
const struct part *parts_lost(const struct parts *p);

/* Puts it where its first record says among those that wait. */
void parts_put_back(struct parts *p, struct freight *f);

/*
 * Asks cells that are not known to be there whether they are, while there is something to be sent, and takes back
 * what others take sooner.
 */
void parts_turn(struct parts *p, struct mono_time now, bool sends);

/* Whether the client of one gave up, and it may be begun anew: nothing is known to be lost with it. */
bool part_may_begin_anew(const struct part *p, struct mono_time now);
/* Milliseconds until one of them may be, or none has had room for `full_ms`; CLIENT_FOREVER: neither. */
uint64_t parts_due_ms(const struct parts *p, struct mono_time now, uint64_t full_ms);

/* Its client gave up; whether all have, none of which has been answered since. */
bool parts_gave_up(struct part *p, enum rmq_error code, struct slice text);
/*
 * Whether none has had room for so long, or (0) each is known to have none: then what they have not taken waits
 * here, keys or not.
 */
bool parts_stay_full(struct parts *p, struct mono_time now, uint64_t ms);

#endif
