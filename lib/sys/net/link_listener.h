/*
 * Accepts encrypted connections on a TCP port.  Before a peer has shown who it is it costs
 * little:
 *
 *	deadline	absolute, from accept() on: LINK_HANDSHAKE_MS for the handshake, and
 *			for its first message if the host wants to hear that (`greets`)
 *	number		by the rules of core/link/arrivals.h: of one address and of all, at
 *			a time and each second; further ones are closed at once
 *	bytes		only the lengths of core/link/link.h; the only answers are message 2, and, if
 *			clients are served, to LINK_WHO
 *
 * A stranger is dropped silently, and reported to the host, so that it can log a line.
 */
#ifndef RMQ_SYS_NET_LINK_LISTENER_H
#define RMQ_SYS_NET_LINK_LISTENER_H

#include "sys/net/link_conn.h"
#include "sys/net/link_net.h"
#include "sys/net/socket.h"
#include "sys/process/reason.h"

#define LINK_UNHEARD_MS 10000

struct link_listener;

struct link_listener_options {
	struct socket_host address; /* port 0: any, see link_listener_port() */
	unsigned roles;		    /* LINK_ROLE_BIT(role) of all that are taken */
	struct link_window window;  /* of each connection */
	uint64_t handshake_ms;	    /* 0: LINK_HANDSHAKE_MS */
	bool greets;		    /* the host calls link_conn_introduced() */
	uint64_t user_timeout_ms;   /* 0: LINK_USER_TIMEOUT_MS */
	/*
	 * Whether a peer of that key may have a link of that role.  Must have no effect: it
	 * may be a repeated message of somebody else.  `up` comes once it is the peer indeed.
	 */
	link_known *known;
	struct link_events events;
	/*
	 * One was dropped; comes for each, log_rate_allows() is the host's.  May be NULL.
	 */
	void (*refused)(void *arg, const char *address, const char *why);
	/*
	 * So many were not heard since this was told, the newest from that address and for that
	 * reason.  Comes for the first one of each reason, and every LINK_UNHEARD_MS while
	 * there are more.  May be NULL.
	 */
	void (*unheard)(void *arg, const char *address, const char *why, uint64_t count);
	void *arg; /* of all callbacks, `known` too */
};

/*
 * Listens; `options` are copied.  RMQ_E_BUSY: the port is taken; RMQ_E_DENIED: it is not for
 * us; RMQ_E_CONFIG: no address of this machine; RMQ_E_IO.  *why says what failed.
 */
enum rmq_error link_listener_new(struct link_net *net,
    const struct link_listener_options *options, struct link_listener **l, struct reason *why)
    __attribute__((warn_unused_result));

/* The port that it listens on. */
uint16_t link_listener_port(const struct link_listener *l);

/* How many have not said who they are. */
unsigned link_listener_open(const struct link_listener *l);

/*
 * Stops; handshakes that are not over are cut; those that are up stay, their callbacks come as
 * before.
 */
void link_listener_free(struct link_listener *l);

#endif
