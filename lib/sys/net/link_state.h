/* What the parts of links share; hosts include the headers without `_state`. */
#ifndef RMQ_SYS_NET_LINK_STATE_H
#define RMQ_SYS_NET_LINK_STATE_H

#include <netinet/in.h>
#include <sys/queue.h>

#include "core/link/arrivals.h"
#include "sys/net/link_conn.h"
#include "sys/net/link_net.h"
#include "sys/net/socket.h"

/*
 * Memory for bytes on their way.  A connection has some only while there are such bytes, so
 * that an idle one is small; what one gives back, the next one takes.
 */
struct link_block {
	STAILQ_ENTRY(link_block) entry;
	size_t at;   /* bytes before it are done with */
	size_t len;  /* bytes that are there, the done ones included */
	size_t data; /* output: bytes of the stream in it */
	bool sealed; /* output: nothing can be added any more */
	size_t size;
	uint8_t bytes[];
};
STAILQ_HEAD(link_blocks, link_block);

/* An output block is one record; an input block has a part of one, or of a frame, and more. */
#define LINK_OUT_SIZE (LINK_DATA_MAX + LINK_OVERHEAD)
#define LINK_IN_SIZE  (4 * LINK_STEP_MAX)
static_assert(LINK_IN_SIZE >= FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX + LINK_PLAIN_MAX,
    "after a part of a frame there is room for a record");

#define LINK_POOL_MAX 16 /* blocks that are kept though nobody has them */
/*
 * Input blocks that may be in use while nothing is read.  When there are more, a part of a record or
 * frame waits in a block of its own size: many that send a part each take no more than they send.
 */
#define LINK_PARTS_IN_BLOCKS 32
struct link_pool {
	size_t size;
	unsigned used;
	unsigned count;
	struct link_blocks free;
};

struct link_net {
	uv_loop_t *loop;
	struct keypair own, old;
	bool has_old;
	uint8_t name[UINT8_MAX];
	size_t name_len;
	uint8_t cluster[UINT8_MAX];
	size_t cluster_len;
	const struct noise_fast *fast;
	struct link_pool in, out;
	struct lookups *lookups;
	struct arrivals arrivals;
	/* Connections that have something to write or to tell, before the loop waits. */
	TAILQ_HEAD(, link_conn) dirty;
	unsigned dirty_count;
	uv_prepare_t prepare;
	uv_idle_t idle; /* runs while there are some: the loop must not wait */
	unsigned users; /* connections, dialers, listeners, handles */
	bool ending;
};

/* NULL when out of memory. */
struct link_block *link_net_block(struct link_pool *pool);
void link_net_block_free(struct link_pool *pool, struct link_block *b);

/* Flushes the connection and tells what has become of it before the loop waits. */
void link_net_dirty(struct link_net *net, struct link_conn *c);
void link_net_clean(struct link_net *net, struct link_conn *c);

/* What counts as the address of a peer; `address` is IPv4 or IPv6. */
struct arrivals_origin link_net_origin(const struct sockaddr *address);
/* This node dials it, or a peer is there. */
void link_net_know(struct link_net *net, const struct sockaddr *address);

/* One more, one less that needs it; with the last one it is freed. */
void link_net_use(struct link_net *net);
void link_net_leave(struct link_net *net);

/* The maker of a connection; it is told before the host is. */
struct link_owner {
	/* Of an accepted one: and it has said who it is. */
	void (*up)(void *arg, struct link_conn *c);
	/* Also when the host has ended it: RMQ_E_OK. */
	void (*over)(void *arg, struct link_conn *c, enum rmq_error err, const char *why);
};

enum link_conn_state {
	LINK_CONN_NEW,	   /* on its way, or in the handshake */
	LINK_CONN_UP,	   /* the host has it */
	LINK_CONN_CLOSING, /* nobody has it; what is queued leaves */
	LINK_CONN_OVER	   /* waits for the loop to let go of it */
};

struct link_conn {
	struct link_net *net;
	uv_tcp_t tcp;
	uv_timer_t timer; /* of an accepted one's handshake, of parts, of closing */
	unsigned handles;
	enum link_conn_state state;
	const struct link_owner *owner;
	void *owner_arg;
	struct link_events events;
	void *arg;
	void *data;
	struct link_window window;
	uint64_t user_timeout_ms;

	struct link link;
	bool begun; /* there is a link */
	enum link_role role;
	unsigned roles; /* accepted: those that it may have */
	bool greets;	/* accepted: it is to say who it is when it is up */
	uint64_t accepted_ms;
	struct arrivals_origin origin;
	LIST_ENTRY(link_conn) open; /* of its listener, until it has said who it is */
	link_known *known;
	bool unknown;			/* accepted: its key is not known */
	bool by_old;			/* accepted: it holds us to our older key */
	uint8_t peer[KEY_SIZE];		/* its key, once it is up */
	struct slice peer_name;		/* dialled: borrowed of the owner, while it has one */
	uint8_t first[LINK_FIRST_SIZE]; /* bytes of the handshake */
	size_t first_len;
	char address[SOCKET_HOST_TEXT_SIZE];

	struct link_block *raw;	   /* what was read and not opened */
	struct link_block *plain;  /* what was opened and is not a whole frame */
	struct link_parts *parts;  /* NULL: they are not limited */
	size_t parts_len;	   /* what of it is counted there */
	uint64_t part_ms;	   /* what is not whole: since when, 0: all is whole; */
	uint64_t part_from;	   /* and how much had come before it */
	uint64_t part_heard_ms;	   /* when something came of it last */
	bool part_late;		   /* when last looked at */
	struct link_blocks blocks; /* what waits to be written */
	size_t queued;
	uint64_t received; /* bytes, since it is up */
	uint64_t written;  /* bytes of records that the kernel was given, but for the loop's */
	bool above;	   /* more than window.mark were queued */
	bool dirty;
	bool writing; /* the first bytes, so many, are the loop's */
	size_t writing_len;
	bool shut;
	enum rmq_error broken; /* writing has failed; to be told */
	const char *why;
	TAILQ_ENTRY(link_conn) dirty_entry;
	union {
		uv_connect_t connect;
		uv_write_t write;
	} request;
	uv_shutdown_t shutdown;
};

/* What a connection is made with; events are the host's. */
struct link_conn_options {
	const struct link_owner *owner;
	void *owner_arg;
	const struct link_events *events;
	void *arg;
	struct link_window window;
	uint64_t user_timeout_ms;
};

/* NULL when out of memory. */
struct link_conn *link_conn_new(struct link_net *net, const struct link_conn_options *o);

/*
 * The two ways to begin.  0, else a libuv error; the owner is told of no error here and cuts
 * it. `name` is borrowed while it has an owner.
 */
struct link_accept {
	unsigned roles;
	link_known *known;
	uint64_t handshake_ms; /* for the handshake, and until link_conn_introduced() */
	bool greets;
};
int link_conn_dial(struct link_conn *c, const struct sockaddr *address, enum link_role role,
    const uint8_t key[KEY_SIZE], struct slice name);
/* `fd` is taken; it belongs to `from`. */
int link_conn_accept(
    struct link_conn *c, int fd, const struct sockaddr *from, const struct link_accept *how);

/* It is over, as others need its place: its owner, and its host if it has it, are told. */
void link_conn_drop(struct link_conn *c, const char *why);

/* The owner goes, or does not want to hear of it any more. */
void link_conn_disown(struct link_conn *c);

/* Writes what can be written now; tells nothing. */
void link_conn_flush(struct link_conn *c);
/* Tells the host what has become of it meanwhile. */
void link_conn_settle(struct link_conn *c);

#endif
