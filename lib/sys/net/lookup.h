/*
 * Looking up names, each on its own thread. getaddrinfo(3) cannot be interrupted and takes as
 * long as name servers are silent: so no look-up waits for another one, and neither the loop
 * nor the end of the process waits for any.
 */
#ifndef RMQ_SYS_NET_LOOKUP_H
#define RMQ_SYS_NET_LOOKUP_H

#include <netdb.h>
#include <uv.h>

#include "sys/net/socket.h"

/* So many threads at once; a look-up that nobody waits for any more has one until it is answered. */
#define LOOKUPS_MAX 64

struct lookups;
struct lookup;

/* Of one loop, which does not stay for them.  NULL: out of memory, or the loop refuses a handle. */
struct lookups *lookups_new(uv_loop_t *loop);
/* All look-ups must be dropped, or done, before. */
void lookups_free(struct lookups *l);

/*
 * Begins one.  `done` comes once, from the loop: status is what getaddrinfo() gave back, and the
 * list, NULL unless that is 0, is the host's to free.  NULL: there are too many, or no thread.
 */
typedef void lookup_done(void *arg, int status, struct addrinfo *list);
struct lookup *lookup_begin(
    struct lookups *l, const struct socket_host *host, lookup_done *done, void *arg);

/* `done` does not come any more. */
void lookup_drop(struct lookup *k);

#endif
