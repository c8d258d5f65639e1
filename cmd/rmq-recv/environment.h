/* The environment of COMMAND: ours, with what it may want to know of its message. */
#ifndef RMQ_RECV_ENVIRONMENT_H
#define RMQ_RECV_ENVIRONMENT_H

#include "core/base/text.h"
#include "core/client/envelope.h"
#include "sys/client/client_options.h"

struct environment {
	char **vars; /* NULL-ended */
	size_t ours; /* so many are inherited, the others are the message's */
	size_t cap;
	struct text text; /* of the message's */
};

/* With our contact points and files, for the clients that COMMAND runs.  False: out of memory. */
bool environment_init(struct environment *e, const struct client_options *ours)
    __attribute__((warn_unused_result));
void environment_deinit(struct environment *e);

/*
 * For a run with one message, or with several (NULL) of `queue`.  deadline: seconds since 1970;
 * 0: none.  False: out of memory.
 */
bool environment_set(struct environment *e, struct slice queue, const struct envelope *message,
    uint64_t deadline) __attribute__((warn_unused_result));

#endif
