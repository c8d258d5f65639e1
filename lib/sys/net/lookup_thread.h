/*
 * getaddrinfo(3) on a thread of its own: it cannot be interrupted, and takes as long as name servers
 * are silent.  Nobody waits for the thread, not even the end of the process.
 */
#ifndef RMQ_SYS_NET_LOOKUP_THREAD_H
#define RMQ_SYS_NET_LOOKUP_THREAD_H

#include "sys/net/socket.h"

struct lookup_thread {
	struct socket_host host;
	int status;	       /* what getaddrinfo() gave back */
	struct addrinfo *list; /* to be given to freeaddrinfo(); NULL unless status is 0 */
	/* Called on the thread at last, which does not touch the memory after it. */
	void (*done)(struct lookup_thread *t);
};

/* Begins, when `host` and `done` are set.  0, else errno: `done` does not come. */
int lookup_thread_begin(struct lookup_thread *t) __attribute__((warn_unused_result));

#endif
