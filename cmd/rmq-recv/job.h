/* A message that a worker holds, with a copy of what its run needs. */
#ifndef RMQ_RECV_JOB_H
#define RMQ_RECV_JOB_H

#include "core/base/text.h"
#include "core/client/envelope.h"

struct job {
	struct job *next;
	struct envelope envelope; /* what it points to is the job's, but for the queue's name */
	struct mono_time came;
	bool gone; /* its lease has ended: nothing is to be settled */
	char bytes[];
};

/* In the order in which they came. */
struct jobs {
	struct job *head;
	struct job *tail;
	uint64_t count;
	uint64_t bytes; /* of their bodies */
};

/* At the tail; false: out of memory. */
bool jobs_add(struct jobs *l, const struct envelope *e, struct mono_time now)
    __attribute__((warn_unused_result));

/* Moves the first `count` of them to the tail of `to`. */
void jobs_move(struct jobs *l, struct jobs *to, uint64_t count);

/* Takes out those under `lease` in [first, first + count); how many. */
uint32_t jobs_cut(struct jobs *l, uint64_t lease, uint64_t first, uint32_t count);

void jobs_free(struct jobs *l);

#endif
