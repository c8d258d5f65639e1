/*
 * A link that this node dialled: it is up for sending once the other side has said WELCOME.
 */
#ifndef RMQ_CLUSTERD_OUTLET_H
#define RMQ_CLUSTERD_OUTLET_H

#include "sys/net/link_dialer.h"

struct cluster;
struct peer;

struct outlet {
	struct peer *peer;
	enum link_role role;
	struct link_dialer *dialer;
	struct link_conn *conn; /* NULL: not up */
	bool welcomed;
	unsigned attempt;  /* that failed since there was news of where it is */
	uint64_t features; /* of who said WELCOME */
	uint64_t
	    missing_ms; /* since then it is not reached; 0: it is; UINT64_MAX: that was said */
	uint64_t strange_ms; /* since then who answers does not know us, or we not it; 0: not so */
};

void outlet_init(struct outlet *o, struct peer *p, enum link_role role);
/*
 * There is news of where its peer is: a connection that is up stays, else it dials at once, at
 * `address` first if that is one of the peer's places.
 */
void outlet_move(struct outlet *o, const char *address);
void outlet_deinit(struct outlet *o);

/* Sends whole frames, if it is up and there is room; else they are lost.  false: they are. */
bool outlet_send(struct outlet *o, const struct slice *pieces, size_t count);

#endif
