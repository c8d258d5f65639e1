/*
 * Keeps one encrypted connection to a peer up: dials, and dials again when it is over, after a
 * pause that doubles with each failure and is drawn at random between half of it and all of it.
 * A name is looked up each time, and all addresses that it has are tried; those that it had before,
 * while name servers do not answer.
 */
#ifndef RMQ_SYS_NET_LINK_DIALER_H
#define RMQ_SYS_NET_LINK_DIALER_H

#include "sys/net/link_conn.h"
#include "sys/net/link_net.h"
#include "sys/net/socket.h"

#define LINK_BACKOFF_MIN_MS 20

struct link_dialer;

struct link_dialer_options {
	struct socket_host address;
	uint8_t key[KEY_SIZE]; /* the peer's, without which it is not the peer */
	struct slice name;     /* the peer's, at most 255 bytes, copied */
	enum link_role role;
	struct link_window window;
	uint64_t backoff_max_ms; /* 0: 1 s */
	uint64_t handshake_ms;	 /* from name to message 2; 0: LINK_HANDSHAKE_MS */
	/* a peer that acknowledges nothing; 0: LINK_USER_TIMEOUT_MS */
	uint64_t user_timeout_ms;
	struct link_events events;
	/* An attempt has failed; comes for each.  Texts are borrowed.  May be NULL. */
	void (*failed)(void *arg, enum rmq_error err, const char *why);
	void *arg; /* of all callbacks */
};

/*
 * Dials in the loop's next turn.  `options` are copied.  NULL: out of memory, or the loop
 * refuses handles.
 */
struct link_dialer *link_dialer_new(
    struct link_net *net, const struct link_dialer_options *options);

/*
 * There is reason to think that the peer is back: the pause begins at its least again, and if
 * it waits now it dials at once.  Nothing if it is up or on its way.
 */
void link_dialer_now(struct link_dialer *d);

/*
 * Where it dials from now on.  If it is on its way to another place that ends at once, without a
 * word of failure, and it dials in the loop's next turn; a connection that is up stays.
 */
void link_dialer_address(struct link_dialer *d, const struct socket_host *address);

/* The connection, NULL if it is not up. */
struct link_conn *link_dialer_conn(const struct link_dialer *d);

/* No callback comes any more; a connection that is up is closed as by link_conn_close(). */
void link_dialer_free(struct link_dialer *d);

#endif
