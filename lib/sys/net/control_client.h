/*
 * The asker's side of the control socket (see control_wire.h): one connection, requests out,
 * results and views in.  It never waits; a program's loop is
 *
 *	wait for control_client_events() on c->fd -> control_client_turn()
 *
 * The host's callbacks are called from within control_client_turn().  In them requests may be
 * made, and control_client_close() must not be called.
 */
#ifndef RMQ_SYS_NET_CONTROL_CLIENT_H
#define RMQ_SYS_NET_CONTROL_CLIENT_H

#include "core/host/control.h"
#include "sys/net/socket.h"
#include "sys/process/reason.h"

#define CONTROL_SOCKET "cluster.sock"

struct control_client_host {
	void *arg;
	/*
	 * What is spoken: 0: the newest.  again: a daemon that does not is asked anew in the oldest, over
	 * another descriptor; else the host is told with RMQ_E_VERSION.
	 */
	unsigned version;
	bool again;
	/* The end of a request; text is borrowed, and never empty. */
	void (*result)(void *arg, uint32_t req, enum rmq_error code, const char *text);
	/* Of STATUS, before its result, or of WATCH.  Borrowed for the call. */
	void (*view)(void *arg, uint32_t req, const struct control_view *v);
	/* Who asks for events: one; or so many were missed, 0: it is not known how many. */
	void (*event)(void *arg, struct slice event, struct slice line);
	void (*dropped)(void *arg, uint64_t count);
	/* A line of the answer to WHY, before its result.  NULL: it is not asked. */
	void (*reason)(void *arg, uint32_t req, enum control_reason reason, const char *text);
};

struct control_client {
	int fd; /* -1: not connected */
	struct control_client_host host;
	struct socket_address address;
	unsigned version;
	bool greeted; /* the daemon speaks it */
	uint32_t req; /* of the newest request */
	struct control_collector *views;
	uint8_t *in;
	size_t in_len;
	uint8_t out[CONTROL_REQUESTS_MAX * CONTROL_REQUEST_BYTES];
	size_t out_len;
	size_t sent; /* bytes of it; they are kept as long as they may be sent again */
};

/*
 * The address: `text` is "unix:PATH", or NULL: the default.  RMQ_E_USAGE: *why says what is
 * wrong with it.
 */
enum rmq_error control_client_address(struct socket_address *a, const char *text,
    struct reason *why) __attribute__((warn_unused_result));

/*
 * Connects; requests may be made at once.  Errors as socket_connect(), or RMQ_E_LIMIT: no
 * memory.  After a failure `c` is closed.
 */
enum rmq_error control_client_open(struct control_client *c, const struct socket_address *a,
    const struct control_client_host *host, struct reason *why)
    __attribute__((warn_unused_result));
/* Of one that was opened, or of zeroed memory with fd -1; again is legal. */
void control_client_close(struct control_client *c);

/* What to wait for, as for poll(2): POLLIN, and POLLOUT while requests wait. */
short control_client_events(const struct control_client *c);

/*
 * Reads and writes what can be.  RMQ_E_OK: go on.  Otherwise the connection is of no more use,
 * and the outcome of what was asked is unknown: RMQ_E_NO_DAEMON: it ended; RMQ_E_VERSION and
 * others: as the node says; RMQ_E_PROTOCOL: it says what no node says.
 */
enum rmq_error control_client_turn(struct control_client *c, struct reason *why)
    __attribute__((warn_unused_result));

/*
 * Makes a request, and returns its number; at most CONTROL_REQUESTS_MAX may be unanswered.
 * name, address: "" as the table of frames says.
 */
uint32_t control_client_init(struct control_client *c, bool new);
uint32_t control_client_adopt(struct control_client *c);
uint32_t control_client_admit(
    struct control_client *c, const char *name, const uint8_t key[RAFT_KEY_SIZE]);
uint32_t control_client_join(struct control_client *c, const char *address);
uint32_t control_client_leave(struct control_client *c, const char *name, bool force);
uint32_t control_client_down(struct control_client *c, const char *name);
uint32_t control_client_replace(
    struct control_client *c, const char *name, const uint8_t key[RAFT_KEY_SIZE]);
uint32_t control_client_transfer(struct control_client *c, const char *name);
uint32_t control_client_status(struct control_client *c);
uint32_t control_client_watch(struct control_client *c);
/* flags: enum events_flag.  Has no result. */
uint32_t control_client_hear(struct control_client *c, uint8_t flags, uint64_t since);
uint32_t control_client_why(struct control_client *c);
uint32_t control_client_log(struct control_client *c, enum control_log level);
/* Has no result.  Not said if what was asked before has not left: the daemon stands still. */
void control_client_gate(struct control_client *c, enum control_gate_state state);

#endif
