/*
 * Whether the file of rights can be taken, for those who look after the cluster: it is the queue daemon
 * that goes by it, which may not run here, or may go on with what it read before.
 */
#ifndef RMQ_CLUSTERD_RIGHTS_H
#define RMQ_CLUSTERD_RIGHTS_H

#include <stdbool.h>
#include <uv.h>

#include "core/base/limits.h"
#include "sys/process/reason.h"

struct cluster;

struct rights_look {
	uv_work_t work;
	bool runs, again;
	struct reason why;	    /* of the one under way */
	uint16_t found;		    /* the same: its tag */
	uint16_t tag;		    /* of the one that was right last; 0: none was */
	char problem[TEXT_MAX + 1]; /* "": it is right */
};

/* Looks, in a thread, as users and groups may be looked up over a network. */
void rights_look(struct cluster *c);

/* What other nodes are told, to compare: bits of enum node_state_flag. */
uint32_t rights_flags(const struct cluster *c);

/* What is wrong with it, borrowed; NULL: nothing, or the setting is not given. */
const char *rights_problem(const struct cluster *c);

#endif
