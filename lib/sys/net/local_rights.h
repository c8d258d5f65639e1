/*
 * What the process at the other end of a Unix socket may do, by the user and groups that it had when
 * it connected.  Root, and the user that we run as, may always do all.
 */
#ifndef RMQ_SYS_NET_LOCAL_RIGHTS_H
#define RMQ_SYS_NET_LOCAL_RIGHTS_H

#include "sys/net/rights_file.h"

/* False: all.  Who is granted nothing has an empty list; whom the kernel does not tell, too. */
bool local_rights(
    const struct rights_file *f, int fd, struct wall_time now, struct rights_granted *granted);

/* Whether two files say the same of it now. */
bool local_rights_same(
    const struct rights_file *a, const struct rights_file *b, int fd, struct wall_time now);

#endif
