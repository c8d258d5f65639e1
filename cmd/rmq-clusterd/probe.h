/*
 * Asks whether a member answers where it says that it is, if it is linked elsewhere: at an address
 * of this node's seeds, or at an older one.  That link hides a wrong `advertise`, and nodes that
 * come later have no other address.  What comes of it is for people: see core/host/troubles.h.
 */
#ifndef RMQ_CLUSTERD_PROBE_H
#define RMQ_CLUSTERD_PROBE_H

#include "core/raft/raft.h"
#include "sys/net/link_dialer.h"

struct peer;

struct probe {
	char
	    address[RAFT_ADDRESS_MAX + 1]; /* that it is about; "": there is no reason to ask */
	struct link_dialer *dialer;	   /* NULL: it has answered, or see above */
	bool failed;			   /* it did not answer there the last time */
};

/* The end of a turn. */
void probe_turn(struct peer *p);
void probe_end(struct peer *p);

#endif
