/* What becomes of the messages of a run that has ended: they are settled, and that is written down. */
#ifndef RMQ_RECV_VERDICT_H
#define RMQ_RECV_VERDICT_H

#include "worker.h"

/* What a run has come to.  With output or a dead letter it waits for the daemon's answer. */
struct outcome {
	struct worker_part *part;
	struct jobs jobs;
	enum work_verdict verdict;
	struct wall_time began;
	uint64_t took_ms;
	int code;
	int signal;
	const char *reason;    /* of a dead letter; "": none was given */
	struct sendbuf *batch; /* what is sent when its messages are settled; NULL: nothing */
};

/*
 * A batch of what a run has printed, for --to; NULL in *batch: it has printed nothing.  False: it
 * does not fit.
 */
bool verdict_batch(const struct worker *w, const struct text *output, struct sendbuf **batch)
    __attribute__((warn_unused_result));

/* Acts on the verdict; takes the messages and the batch. */
void verdict_act(struct worker *w, struct outcome *o);

/* Answers to its commands. */
void verdict_done(struct worker *w, struct outcome *o);
void verdict_refused(
    struct worker *w, struct outcome *o, enum rmq_error code, struct slice text);

void verdict_free(struct outcome *o);

/* Given back, or failed, without a run. */
void verdict_add(
    struct worker_part *p, struct settling *b, uint64_t lease, uint64_t first, uint32_t count);
void verdict_release_waiting(struct worker_part *p);

/* Sends what has come together. */
void verdict_flush(struct worker_part *p);

#endif
