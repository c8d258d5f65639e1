/*
 * A client's connection in a gate: a Unix socket, and once it is relayed a stream on a link.
 *
 *	GREETING  a client; its HELLO is being read	-> HELD, or answered and ended
 *	HELD	  a client; waits for a queue somewhere	-> ASKED, or answered and ended
 *	WAITING	  a peer's stream; waits for our queue	-> RELAYED, or CLOSE
 *	ASKED	  a client; the peer has its HELLO	-> RELAYED, or answered and ended
 *	RELAYED	  bytes go both ways			-> DEAF, ENDING, or ended
 *	DEAF	  the socket takes no bytes any more	-> ended
 *	ENDING	  the peer's bytes before CLOSE leave	-> ended
 *
 * client.c leads through the first two, far.c through the third, stream.c does the rest; its table
 * says what each event means in each state.
 *
 * Memory of a stream: bytes for its socket that do not fit into it, at most its window
 * (gate_flow.h).  Nothing else is kept: bytes are read from the socket when there is credit for
 * them and the link's queue is short.
 */
#ifndef RMQ_GATED_STREAM_H
#define RMQ_GATED_STREAM_H

#include <stdbool.h>
#include <sys/queue.h>
#include <sys/tree.h>
#include <uv.h>

#include "core/base/time.h"
#include "core/link/gate_flow.h"
#include "core/wire/gate_wire.h"
#include "core/wire/wire.h"
#include "sys/net/link_conn.h"

struct gate;
struct stream;

#define STREAM_HELLO_SIZE (FRAME_HEADER_SIZE + WIRE_HELLO_MAX)

/* Streams in a state that must not last, in order of their deadlines. */
struct deadlines {
	TAILQ_HEAD(deadline_list, stream) head;
	uv_timer_t timer;
};

/* A link between gates, or of a client with a key, that is up. */
struct gate_link {
	LIST_ENTRY(gate_link) entry;
	struct gate *gate;
	struct link_conn *conn; /* NULL: it is over */
	bool dialled;
	bool client;		     /* it has a key; not a gate */
	struct principal *principal; /* of a client: whose it is; NULL: it may not come */
	struct wall_time until;	     /* of a client: it ends then; UINT64_MAX: never */
	char peer[RAFT_NAME_MAX + 1];
	uint32_t newest; /* number of the newest stream */
	unsigned count;
	bool ending;	/* its streams are being ended */
	bool dismissed; /* … as it may not stay */
	bool heard;	/* since gate_link_probe() */
	uint64_t taken; /* link_conn_taken(), as of when that grew last */
	RB_HEAD(stream_tree, stream) streams;
	TAILQ_HEAD(, stream)
	paused; /* have bytes to send, when the link's queue is short again */
};

/* Who a client is that has a key, and what it may do, on the way to the leading node. */
struct key_client {
	char name[BEHALF_NAME_MAX + 1];
	size_t len;
	uint8_t rights[];
};

enum stream_state { GREETING, HELD, WAITING, ASKED, RELAYED, DEAF, ENDING, STREAM_STATES };

struct stream {
	struct gate *gate;
	enum stream_state state;
	int fd; /* -1: not connected yet */
	int events;
	uv_poll_t poll;
	uint32_t uid;		/* of the client */
	struct key_client *key; /* a client that is no process here; NULL: it is */
	struct wall_time until; /* its rights hold; UINT64_MAX: for ever */

	struct deadlines *deadlines; /* NULL: no deadline */
	uint64_t deadline_ms;
	TAILQ_ENTRY(stream) deadline;
	TAILQ_ENTRY(stream) waiting; /* HELD, or WAITING */

	uint8_t *hello; /* of a client, STREAM_HELLO_SIZE, until it is passed on */
	size_t hello_len;

	struct gate_link *link;	     /* NULL: none */
	struct principal *principal; /* whose it counts for, until it is freed; NULL: nobody */
	RB_ENTRY(stream) by_id;
	TAILQ_ENTRY(stream) pause;
	bool is_paused;
	uint32_t id;
	struct gate_flow flow;
	bool far;     /* a peer's stream, the socket is the queue daemon's */
	uint8_t *out; /* for the socket */
	size_t out_at;
	size_t out_len;
	size_t out_cap;
};

RB_PROTOTYPE(stream_tree, stream, by_id, )

/* Before the first stream. */
void streams_init(struct gate *g);

/* NULL when out of memory.  Takes fd (-1: none yet), also on failure. */
struct stream *stream_new(struct gate *g, enum stream_state state, int fd);

/* It has a socket now.  False: the loop refuses it; the socket is closed. */
bool stream_connected(struct stream *s, int fd) __attribute__((warn_unused_result));

/* Ends it at once; the peer is told, if it does not know. */
void stream_free(struct stream *s);

/* Says a frame to a client and ends it; `address` is as in RMQ_SERVERS. */
void stream_not_yet(struct stream *s);
void stream_redirect(struct stream *s, const char *address);
void stream_error(struct stream *s, enum rmq_error code);

/* With the deadline of the new state. */
void stream_enter(struct stream *s, enum stream_state state);

/* A leader, its queue or a link has come or gone: tries again for one that is HELD or WAITING. */
void stream_changed(struct stream *s);

/* Watches for what is wanted now. */
void stream_watch(struct stream *s);

/* Puts bytes to what leaves through the socket.  False: out of memory. */
bool stream_put(struct stream *s, struct slice bytes) __attribute__((warn_unused_result));

/* ---- the link's side ---- */

struct gate_link *gate_link_new(struct gate *g, struct link_conn *c, bool dialled);

/* Ends its streams.  `c->conn` is not used any more if the link is over. */
void gate_link_free(struct gate_link *l);

/* Ends it; its streams are told that its key may do nothing any more, on the encrypted link. */
void gate_link_deny(struct gate_link *l);

/* A client's stream begins here.  False: no more fit on the link. */
bool gate_link_open(struct gate_link *l, struct stream *s) __attribute__((warn_unused_result));

/*
 * Whether the other gate has answered since the last call, or takes bytes that wait for it;
 * asks it anew.
 */
bool gate_link_probe(struct gate_link *l);

/* A frame has come; not RMQ_E_OK: the peer is not a gate. */
enum rmq_error gate_link_frame(struct gate_link *l, const struct frame *f)
    __attribute__((warn_unused_result));

/*
 * A frame has begun, of which there is at least the header.  False: it would not be taken, so that it is not
 * to be kept until it is whole.
 */
bool gate_link_begun(struct gate_link *l, struct slice part)
    __attribute__((warn_unused_result));

/* Whole frames leave on it. */
void gate_link_send(struct gate_link *l, struct slice frames);

/* The link's queue is short again. */
void gate_link_drained(struct gate_link *l);

/* Tells the peer that a stream does not go on. */
void stream_close(struct stream *s, enum rmq_error code);

#endif
