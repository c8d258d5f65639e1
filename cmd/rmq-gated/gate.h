/*
 * The gate of a node: clients connect to its socket, wherever the queue is.
 *
 *	main.c		options, start, signals
 *	gate.c		this: what the parts share, and what happens when something changes
 *	watch.c		what rmq-clusterd reports: who leads, and where the queue is
 *	peers.c		links to and from the other nodes' gates
 *	principals.c	clients with keys: who they are, what they may do
 *	client.c	local clients: told where to go, or relayed
 *	far.c		clients that other gates relay, brought to the local queue daemon
 *	stream.c	bytes of the relayed ones
 *
 * One loop, one thread.  Nothing here is durable: a client whose connection ends connects again
 * and repeats what is not confirmed.
 */
#ifndef RMQ_GATED_GATE_H
#define RMQ_GATED_GATE_H

#include "core/host/control.h"
#include "peers.h"
#include "principals.h"
#include "stream.h"
#include "sys/net/keyfile.h"
#include "sys/net/listener.h"
#include "sys/process/config.h"
#include "sys/process/log.h"
#include "watch.h"

/* To say HELLO, or to read the last bytes of a connection that we end. */
#define GATE_PATIENCE_MS 30000
/* How long a client waits for a leader before it is sent to the next contact point. */
#define GATE_HOLD_MS 250
/* Bytes that may wait for a link before streams are not read any more. */
#define GATE_LINK_MARK (1u << 20)
/* A gate that takes so many bytes is there, if its answer is long in coming. */
#define GATE_PASS_BYTES (16u << 10)
/* How long a client that may not come has to ask why. */
#define GATE_DENIED_MS 5000
/* Descriptors for other things than clients and streams. */
#define GATE_DESCRIPTORS_RESERVE 64
#define GATE_DESCRIPTORS_MIN	 (GATE_DESCRIPTORS_RESERVE + 3 * 8)
#define GATE_CLIENTS_MAX	 16384u
/* Links of one other gate: it has one, and those that it has lost may not be known to be dead.
 */
#define GATE_LINKS_PEER 4

struct gate {
	uv_loop_t loop;
	struct config config;
	const struct daemon_options *common; /* NULL: no supervisor is told anything */
	struct control_view view; /* what is known; without leader and flags if that is old */
	struct watch watch;
	struct peers peers;
	struct principals principals;
	struct listener listener;
	uv_timer_t retry;  /* accepting, when the system is out of something */
	uv_timer_t sweep;  /* of links that are broken */
	uv_timer_t report; /* to rmq-clusterd, again and again */
	uv_signal_t signals[3];

	LIST_HEAD(, gate_link) links;
	struct gate_link *leader_link; /* to the leading node's gate; NULL: it is not up */
	struct deadlines deadlines[STREAM_STATES];
	TAILQ_HEAD(, stream) waiting; /* for a leader or its queue */
	uint64_t lost_ms;	      /* since when nobody leads */

	uint32_t clients_count;
	uint32_t clients_max;
	uint32_t led_count; /* of them clients with keys, on their way to the leading node */
	uint32_t far_count;
	uint32_t far_max;
	uint32_t budget; /* for large windows */
	int queue_errno; /* why the queue daemon was not reached when last tried; 0: it was */
	bool queue_said; /* in the log */
	bool full;
	bool full_said;
	struct log_rate clients_rate;
};

/* `nofile`: descriptors that we may have.  0, else an error of libuv. */
int gate_init(struct gate *g, uint64_t nofile);

/* Begins to accept clients of g->listener. */
void gate_start(struct gate *g);

/* Ends everything that keeps the loop running. */
void gate_stop(struct gate *g);

/* Who leads, where the queue is or whether a link is up has changed. */
void gate_changed(struct gate *g);

/* Tells rmq-clusterd that the gate runs, and whether it reaches that of the leading node. */
void gate_report(struct gate *g);

/* How long a client is told to wait. */
uint32_t gate_not_yet_ms(const struct gate *g);

/* Counts. */
void gate_client_begun(struct gate *g);
void gate_stream_ended(struct gate *g, const struct stream *s);

/* A link is of no more use; it is freed when nobody is in the middle of using it. */
void gate_sweep(struct gate *g, struct gate_link *l);

/* The same of one whose peer may not stay: what it was told still leaves, its streams end at once. */
void gate_dismiss(struct gate *g, struct gate_link *l);

/* Without a cluster: one daemon is there, and nobody tells of it. */
static inline bool gate_is_alone(const struct gate *g)
{
	return !g->config.control.path[0];
}

#endif
