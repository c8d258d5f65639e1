/*
 * Look-ups of names, of which each goes on in its thread while its client tries elsewhere, and is taken
 * up when the client comes back to that name.
 */
#ifndef RMQ_SYS_CLIENT_SEARCH_H
#define RMQ_SYS_CLIENT_SEARCH_H

#include "core/base/time.h"
#include "sys/net/socket.h"

struct addrinfo;
struct search;

/* The one for this name, begun now or before, which is in the list *all.  NULL: *error is an errno. */
struct search *search_of(struct search **all, const struct socket_host *host,
    struct mono_time now, int *error) __attribute__((warn_unused_result));

/* To be read when it is answered. */
int search_fd(const struct search *s);
/* When no answer is waited for any more. */
struct mono_time search_until(const struct search *s);

/*
 * False: there is no answer yet.  Else *status is what getaddrinfo() gave back, and *list is the
 * caller's.
 */
bool search_answered(struct search *s, int *status, struct addrinfo **list)
    __attribute__((warn_unused_result));

/* Nobody wants its answer. */
void search_leave(struct search **all, struct search *s);

#endif
