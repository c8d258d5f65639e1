/*
 * How a node ends when it is told to.  A leader first hands over: it waits neither for a disk that
 * hangs nor for a queue daemon that stands still while another node could go on.  The queue daemon
 * is killed when leadership goes (keeper.h).  Only if nobody takes over does it end in order here.
 *
 *	state         in each turn   until
 *	HANDING_OVER  hand over      this node does not lead, nobody else may, or it is late
 *	DRAINING      drain          there is no queue daemon; when it is late, it is killed
 *	ENDED         end
 */
#ifndef RMQ_CORE_HOST_ENDING_H
#define RMQ_CORE_HOST_ENDING_H

#include <stdbool.h>
#include <stdint.h>

#define ENDING_HAND_OVER_MS 3000
#define ENDING_DRAIN_MS	    10000

enum ending_state { ENDING_NOT, ENDING_HANDING_OVER, ENDING_DRAINING, ENDING_ENDED };

enum ending_action {
	ENDING_NOTHING,
	ENDING_HAND_OVER, /* leadership to the successor, see health_successor() */
	ENDING_DRAIN,	  /* tell the queue daemon to end in order, if it was not told yet */
	ENDING_END,	  /* kill the queue daemon, if there is one, and end */
};

/* All zeros: it is not told to end. */
struct ending {
	enum ending_state state;
	uint64_t due_ms; /* when it is late */
};

/* What a turn sees. */
struct ending_seen {
	bool leads;
	bool serving;	/* it leads, and leadership is not on its way to another node */
	bool successor; /* there is one that answers, see health_successor() */
	bool runs;	/* the queue daemon */
};

/* It is told to end; again: no effect. */
void ending_begin(struct ending *e, uint64_t now_ms);

/* The end of a turn of a node that was told to end. */
enum ending_action ending_turn(struct ending *e, const struct ending_seen *seen,
    uint64_t now_ms) __attribute__((warn_unused_result));

/* When the next turn is due, UINT64_MAX: whenever there is one. */
uint64_t ending_due(const struct ending *e);

#endif
