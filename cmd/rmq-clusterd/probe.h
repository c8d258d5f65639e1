/*
 * Asks whether anybody with a member's key answers at an address that it has given: where it says
 * that it is, if it is linked elsewhere, at an address of this node's seeds or at an older one; and
 * where its gate is, if it says that others do not reach that.  The first hides a wrong `advertise`
 * from all but the nodes that come later.  What comes of it: core/host/troubles.h and gates.h.
 */
#ifndef RMQ_CLUSTERD_PROBE_H
#define RMQ_CLUSTERD_PROBE_H

#include "core/raft/raft.h"
#include "sys/net/link_dialer.h"

struct peer;

/* All zeros to begin with. */
struct probe {
	char
	    address[RAFT_ADDRESS_MAX + 1]; /* that it is about; "": there is no reason to ask */
	struct link_dialer *dialer;	   /* NULL: it has answered, or see above */
	bool answered;
	bool failed; /* it did not answer the last time */
};

/* The end of a turn: whether `p` answers there in that role; "": there is no reason to ask. */
void probe_turn(
    struct probe *q, const struct peer *p, enum link_role role, const char *address);
void probe_end(struct probe *q);

#endif
