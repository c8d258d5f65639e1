/*
 * A link that this node dialled: it is up for sending once the other side has said WELCOME.
 */
#ifndef RMQ_CLUSTERD_OUTLET_H
#define RMQ_CLUSTERD_OUTLET_H

#include "core/raft/raft.h"
#include "sys/net/link_dialer.h"

struct cluster;
struct peer;

struct outlet {
	struct peer *peer;
	enum link_role role;
	struct link_dialer *dialer;
	struct link_conn *conn; /* NULL: not up */
	bool welcomed;
	char at[RAFT_ADDRESS_MAX + 1]; /* where the connection was dialled */
	unsigned attempt;	       /* that failed since an address was last heard */
	uint64_t features;	       /* of the node that said WELCOME */
	/* When it was first not reached; 0: it is reached; UINT64_MAX: the log says that it is not. */
	uint64_t missing_ms;
	/* When another node first answered, or one that does not know this one; 0: none did. */
	uint64_t strange_ms;
};

void outlet_init(struct outlet *o, struct peer *p, enum link_role role);
/*
 * An address of its peer was heard: a connection that is up stays; otherwise it dials at once,
 * `address` first if that is one of the peer's places.
 */
void outlet_move(struct outlet *o, const char *address);
void outlet_deinit(struct outlet *o);

/* Bytes that wait for the link; 0: it is not up. */
size_t outlet_queued(const struct outlet *o);
/* Sends whole frames.  False: they are lost, as it is not up or has no room. */
bool outlet_send(struct outlet *o, const struct slice *pieces, size_t count);

#endif
