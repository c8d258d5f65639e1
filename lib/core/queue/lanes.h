/*
 * Lanes: what the attributes of messages ask of their queue.  A queue hands out messages of
 * a higher priority first, and none before its time or after it expires.
 */
#ifndef RMQ_CORE_QUEUE_LANES_H
#define RMQ_CORE_QUEUE_LANES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/time.h"
#include "core/wire/attributes.h"

struct queue;

struct lane {
	uint64_t until_ms;  /* delayed up to this wall clock time; 0: not */
	uint64_t expire_ms; /* handed out up to this wall clock time; 0: it does not expire */
	uint64_t key;	    /* of one message alone (keys.h); 0: none */
	uint8_t priority;
	bool by_queue; /* it expires by the setting of its queue */
};

/*
 * The moment `until_ms` that is asked for at now_ms, by whatever clock, or a little later: at
 * most by 1/32 of the time until then, and by less than a second.  So what is due at about the
 * same time is due together, and costs one range.  A whole second stays what it is.
 */
uint64_t lanes_bucket(uint64_t until_ms, uint64_t now_ms);

/* The lane of message i, with its key, exactly as its attributes (checked) say. */
struct lane lane_asked(struct slice attributes, uint32_t i);
/* The attributes that say so, but for the key, in `bytes`. */
#define LANE_ATTRIBUTES_MAX (4 + 8 + 4 + 8 + 4 + 1)
struct slice lane_attributes(const struct lane *lane, uint8_t bytes[LANE_ATTRIBUTES_MAX]);
/* What that comes to at this time: a delay ends with its bucket, or is over. */
struct lane lane_at(const struct lane *asked, struct wall_time now);

/* Walks messages [at, end) of a batch with these attributes in runs of one lane. */
struct lane_walk {
	struct slice attributes;
	struct wall_time now;
	uint32_t at, end;
	struct attribute_cursor delay, expire, priority;
};
struct lane_walk lanes_of(
    struct slice attributes, uint32_t from, uint32_t count, struct wall_time now);
/* The next run: so many messages; 0: there is none. */
uint32_t lanes_next(struct lane_walk *w, struct lane *lane);

/* The first of so many messages whose delay is longer than DELAY_MS_MAX; `count`: there is none. */
uint32_t lanes_too_far(struct slice attributes, uint32_t count, struct wall_time now);

/*
 * So many of a batch's messages, from the first one on, make *ranges at most in a queue: with keys
 * each may be one.  *ranges: as many as these make.
 */
uint32_t lanes_within(
    struct slice attributes, uint32_t count, struct wall_time now, uint32_t *ranges);

/* The lane that a message has in q now: it may expire by the queue's setting. */
struct lane lane_in(const struct queue *q, const struct lane *lane, struct wall_time now);

/* Messages from i on, before `end`, have this priority: where these end.  The cursor begins as zeros. */
uint32_t lanes_alike(struct attribute_cursor *c, struct slice attributes, uint32_t i,
    uint32_t end, uint8_t *priority);
/* Messages [first, first + count) have the keys that the attributes say; message `from` is first. */
void lanes_add_keys(
    struct queue *q, uint64_t first, uint32_t count, struct slice attributes, uint32_t from);

/* Messages [first, first + count), all live, are new in q; message `from` of the batch is first. */
void lanes_add(struct queue *q, uint64_t first, uint32_t count, struct slice attributes,
    uint32_t from, struct wall_time now);

#endif
