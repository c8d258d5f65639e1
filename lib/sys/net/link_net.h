/*
 * Shared by the encrypted connections of one event loop: our key, name and cluster, memory for
 * bytes on their way, and the moment of a turn when sent bytes are written.
 *
 *	struct link_net		one a loop
 *	struct link_dialer	keeps one connection to a peer up (link_dialer.h)
 *	struct link_listener	takes connections of peers (link_listener.h)
 *	struct link_conn	one connection, once it is up (link_conn.h)
 *
 * Records and handshake are of core/link/link.h; what is inside is a stream of frames
 * (core/wire/frame.h).  One thread.  Callbacks come from the loop only, never from inside of a
 * function that the host calls; in them every function here may be called.
 */
#ifndef RMQ_SYS_NET_LINK_NET_H
#define RMQ_SYS_NET_LINK_NET_H

#include <uv.h>

#include "core/link/link.h"
#include "sys/net/socket.h"

struct link_net;

/*
 * `loop` is borrowed until all is freed; keys and name are copied.  `name` is ours, that
 * dialers of our peers have to mean.  A program calls sodium_init() before, and enters its sandbox
 * after it (fast_cipher.h).  NULL: out of memory, or the loop refuses handles.
 */
struct link_net *link_net_new(uv_loop_t *loop, const struct keypair *own, struct slice name);

/*
 * Peers that still hold us to this key, which is copied, are let in as well: so that ours can be changed
 * while they do not know the new one.  A stranger costs twice as much from then on.
 */
void link_net_old_key(struct link_net *net, const struct keypair *old);

/*
 * The cluster's id (at most 255 bytes, copied; empty at first) for connections that begin from
 * now on.  Links of a role without a cluster (see LINK_ROLES) do not mind it.
 */
void link_net_cluster(struct link_net *net, struct slice cluster);

/*
 * Peers may come from there, if `host` is an address and not a name: connections are heard
 * though strangers at others are too many (core/link/arrivals.h).  What dialers dial needs no
 * word.
 */
void link_net_expect(struct link_net *net, const struct socket_host *host);

/*
 * Writes the bytes sent in this turn now; otherwise this happens before the loop waits again.
 */
void link_net_flush(struct link_net *net);

/*
 * All dialers and listeners must be freed before, and all connections closed.  The keys are
 * wiped at once; handles and memory go in later turns of the loop, until then it has something
 * to do.
 */
void link_net_free(struct link_net *net);

#endif
