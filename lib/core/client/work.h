/*
 * What a worker decides: when the next run of COMMAND starts and with how many messages, how
 * many of them are leased meanwhile, and what becomes of them after it.  The host says what
 * happens, with the time, and does what it is told.
 *
 * A message is leased when a run can take it.  Only where runs are shorter than leasing takes,
 * so many are leased ahead as the runs take in WORK_AHEAD_MS; what waits for longer than
 * WORK_STALE_MS, as some run takes long after all, is to be given back.
 */
#ifndef RMQ_CORE_CLIENT_WORK_H
#define RMQ_CORE_CLIENT_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/limits.h"
#include "core/base/time.h"

#define WORK_PARALLEL_MAX 4096
#define WORK_QUICK_MS	  20
#define WORK_AHEAD_MS	  50
#define WORK_AHEAD_MAX	  8192
#define WORK_STALE_MS	  200

enum work_verdict {
	WORK_SETTLE,
	WORK_DEAD,
	WORK_RETRY,   /* given back after a delay, which is no failure */
	WORK_FAIL,    /* a failure: the queue's back-off, dead after max-attempts */
	WORK_STOP,    /* given back, and the worker ends with COMMAND's exit status */
	WORK_RELEASE, /* given back at once, which is no failure */
	WORK_DISCARD  /* someone else's by now: nothing */
};

const char *work_verdict_name(enum work_verdict verdict);

/* The verdict by exit status. */
#define WORK_BACKOFF UINT64_MAX
struct work_rules {
	struct {
		uint8_t verdict;
		uint64_t delay_ms; /* RETRY; WORK_BACKOFF: longer each time */
	} of[256];
};

void work_rules_init(struct work_rules *r);
/* CODE[,CODE…]=settle|dead|retry[:DUR]|fail|stop.  False: it is none; *r is as it was. */
bool work_rules_parse(struct work_rules *r, const char *text)
    __attribute__((warn_unused_result));

#define WORK_PREFETCH_ADAPTS UINT32_MAX

struct work_config {
	uint32_t parallel; /* runs at a time, 1 … WORK_PARALLEL_MAX */
	uint32_t batch;	   /* messages for one run, >= 1 */
	uint64_t linger_ms;
	uint32_t rate; /* so many runs may start in rate_ms; 0: no limit */
	uint32_t rate_ms;
	uint32_t prefetch;  /* messages leased ahead, or WORK_PREFETCH_ADAPTS */
	uint64_t max_fails; /* in a row; 0: no limit */
	uint64_t seed;	    /* for jitter */
	struct work_rules rules;
};

/* Messages that were given back and not settled since, as far as they fit: by number. */
#define WORK_NOTES 4096
struct work_note {
	uint64_t seq; /* 0: none */
	uint32_t retries;
};

struct work {
	struct work_config config;
	struct mono_time *since; /* by slot, when its run started; 0: it is free */
	uint32_t running;
	uint32_t most;	     /* messages of a run, see work_takes() */
	uint32_t average_us; /* of runs */
	uint64_t next_us;    /* no run starts before that */
	uint64_t fails;	     /* in a row */
	bool stopped;	     /* no run starts any more */
	bool worn;	     /* … since max_fails failed in a row */
	int stop_code;
	uint64_t random;
	uint64_t backoff_min_ms;
	uint64_t backoff_max_ms;
	uint32_t max_attempts;
	uint64_t dead; /* messages that are dead letters now */
	uint64_t left; /* messages that are left for another try */
	struct work_note notes[WORK_NOTES];
};

/* False: out of memory. */
bool work_init(struct work *w, const struct work_config *config)
    __attribute__((warn_unused_result));
void work_deinit(struct work *w);

/*
 * The queue's settings, which are the defaults until they are known.  max_attempts 0: it counts none,
 * as a dead-letter queue.
 */
void work_settings(
    struct work *w, uint64_t backoff_min_ms, uint64_t backoff_max_ms, uint32_t max_attempts);

/* How many messages may be leased and not started at `now`. */
uint32_t work_wanted(const struct work *w, struct mono_time now);

/*
 * Whether a message that has failed so often before goes into the run that `count` others are for.
 * *most, the batch's size at first, is lowered: what has failed has fewer neighbours each time, and
 * none the last time, so that no message becomes a dead letter by the fault of others.
 */
bool work_joins(const struct work *w, uint32_t count, uint32_t *most, uint32_t failures);

/*
 * How many of `waiting` messages, the first of which came at `since`, the next run takes now, and no
 * more than `most`; 0: none starts now.  more: others may still come.  So many are wanted for a run from
 * now on.
 */
uint32_t work_takes(struct work *w, struct mono_time now, uint32_t waiting, uint32_t most,
    struct mono_time since, bool more);

/* Whether a message that came at `since` and has not started is to be given back. */
bool work_is_stale(const struct work *w, struct mono_time now, struct mono_time since);

/*
 * Milliseconds until one of the three above may say something else; UINT64_MAX: only what
 * happens changes it.  waiting 0: nothing waits.
 */
uint64_t work_due_ms(
    const struct work *w, struct mono_time now, uint64_t waiting, struct mono_time since);

/* A run starts; its slot. */
uint32_t work_start(struct work *w, struct mono_time now);
/* The run has ended: its slot is free. */
void work_end(struct work *w, uint32_t slot, struct mono_time now);

/* How a run ended. */
struct work_ended {
	int code;	  /* exit status, if signal is 0 */
	int signal;	  /* that ended it */
	bool unstartable; /* it never ran; code says why: 125, 126, 127 */
	bool lost;	  /* its lease has ended */
	bool late;	  /* it took longer than --max-time */
	bool too_much;	  /* its output is more than one record takes */
	bool asked;	  /* the worker itself was told to end */
};

/* What becomes of its messages. */
enum work_verdict work_verdict(const struct work *w, const struct work_ended *e);
/* The same for one that has ended now.  Also counts failures in a row, and may stop the worker. */
enum work_verdict work_judge(struct work *w, const struct work_ended *e);

/*
 * Notes what becomes of one of them, which has failed so often before.  The delay if it is
 * given back, in ms.
 */
uint64_t work_note(
    struct work *w, enum work_verdict verdict, int code, uint64_t seq, uint32_t failures);

/*
 * The worker's exit status.  drained: the queue holds nothing at all.
 */
int work_exit(const struct work *w, bool drained);

#endif
