/*
 * What one member asks for in a small message, and is answered with much: a read of this node's disk and
 * many bytes.  Whatever it sends, that is bounded: the newest question replaces an older one, it is
 * answered once in a turn, and not while as much as an answer waits for its link.  A correct
 * member asks for one thing at a time, and again when no answer comes.
 */
#ifndef RMQ_CORE_HOST_ASKED_H
#define RMQ_CORE_HOST_ASKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zeros to begin with. */
struct asked {
	uint64_t index; /* 0: nothing, or it was answered */
	uint64_t term;
};

/* It has asked for this. */
void asked_for(struct asked *a, uint64_t index, uint64_t term);

/*
 * The end of a turn; `queued`: bytes that wait for its link.  True: *now is to be answered.
 */
bool asked_turn(struct asked *a, size_t queued, struct asked *now)
    __attribute__((warn_unused_result));

#endif
