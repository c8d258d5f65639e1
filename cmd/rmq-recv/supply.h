/* What is known of the messages that the daemon has for us, and whether that is the end. */
#ifndef RMQ_RECV_SUPPLY_H
#define RMQ_RECV_SUPPLY_H

#include <stdbool.h>
#include <stdint.h>

#define PREFETCH_BYTES	   (4u << 20)	/* of bodies, ahead */
#define PREFETCH_BYTES_MIN (256u << 10) /* … of each of many parts */

/*
 * A message, and a new connection, make it UNKNOWN again; nothing changes ENDED.  What is known of several
 * together is the first of these.
 */
enum supply {
	SUPPLY_UNKNOWN,
	SUPPLY_ASKED,	  /* CREDIT was given since: the daemon says IDLE if there is none */
	SUPPLY_HELD_BACK, /* some are ready, and the queue's limits hold them back */
	SUPPLY_IDLE,	  /* none is ready; some are leased or delayed, for anyone */
	SUPPLY_DRAINED,	  /* there are none at all */
	SUPPLY_ENDED	  /* no more come: the subscription is at its end */
};

enum drain { DRAIN_NO, DRAIN_HERE, DRAIN_ALL };

/* When a receiver is to end. */
struct supply_end {
	uint64_t count;	  /* UINT64_MAX: no end */
	uint64_t wait_ms; /* UNITS_INFINITY: none */
	enum drain drain;
};

/* How things are. */
struct supply_view {
	enum supply supply;
	uint64_t taken;	   /* messages, so far */
	uint64_t quiet_ms; /* … since the last one, or since the subscription */
	bool nothing_in_hand;
	bool full;     /* nothing may be taken, for others have to settle first */
	bool welcomed; /* the daemon has answered on this connection */
};

/* What is here, or may come. */
struct supply_stock {
	uint32_t target;       /* messages that are wanted ahead */
	uint64_t held;	       /* messages that are here, */
	uint64_t bytes;	       /* and their size */
	uint64_t bytes_target; /* bytes that are wanted ahead */
	int64_t given;	       /* credit that the daemon has: messages, */
	int64_t given_bytes;   /* and bytes */
};

/* Bytes that each of so many parts of a queue may have ahead. */
static inline uint64_t supply_bytes(uint32_t parts)
{
	uint64_t each = PREFETCH_BYTES / parts;
	return each > PREFETCH_BYTES_MIN ? each : PREFETCH_BYTES_MIN;
}

void supply_note(enum supply *s, enum supply what);

/* Whether nothing but a signal ends it. */
bool supply_for_ever(const struct supply_end *end);

/* Whether it matters that nothing is ready: the daemon is not asked in vain. */
bool supply_wants_idle(const struct supply_end *end);

/* Whether the daemon is to be given so much more credit now; *supply then says that it was asked. */
bool supply_credit(const struct supply_end *end, const struct supply_view *v,
    const struct supply_stock *stock, enum supply *supply, uint32_t *messages, uint32_t *bytes);

/*
 * Says once that messages are ready which the queue does not hand out, when none has come for a
 * second.  Milliseconds until that, or the end of --wait, is due; UINT64_MAX: neither.
 */
uint64_t supply_tick(
    const struct supply_end *end, const struct supply_view *v, const char *queue, bool *said);

/* Makes *all that of all parts so far and of one more. */
void supply_join(struct supply_view *all, const struct supply_view *one);

/* Whether no more messages are to be taken. */
bool supply_is_over(const struct supply_end *end, const struct supply_view *v);

#endif
