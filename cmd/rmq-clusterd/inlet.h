/*
 * A link that another node dialled: it says who it is, and then sends its messages.
 */
#ifndef RMQ_CLUSTERD_INLET_H
#define RMQ_CLUSTERD_INLET_H

#include "core/host/chunk.h"
#include "core/raft/node_wire.h"
#include "sys/net/link_conn.h"

struct cluster;
struct peer;

struct inlet {
	struct cluster *cluster;
	struct link_conn *conn; /* NULL: closed */
	struct peer *peer;	/* NULL: no HELLO yet, or it is no longer a member */
	struct node_wire_in in; /* an APPEND whose RUNs come */
	struct piece pieces[RAFT_RUNS_MAX];
	struct chunk *chunk;	   /* takes the payloads */
	bool joining;		   /* it has said JOIN, and waits */
	bool asked;		   /* it has said JOIN, and is to say its settings */
	struct raft_member joiner; /* who it is then */
	uint64_t reads;		   /* the newest level of records */
};

/* Events of the listener; arg: the cluster. */
void inlet_up(void *arg, struct link_conn *conn);
void inlet_frame(void *arg, struct link_conn *conn, const struct frame *f);
void inlet_down(void *arg, struct link_conn *conn, enum rmq_error err, const char *why);

/* Answers a JOIN. */
void inlet_joined(struct inlet *i, struct slice joined_payload);
/* Says why this node refuses it, and closes. */
void inlet_refuse(struct inlet *i, enum rmq_error code, const char *text);

/* The peer is no longer a member. */
void inlet_close(struct inlet *i);

#endif
