/* --into: messages as files of a directory, which are there whole and for good, or not at all. */
#ifndef RMQ_RECV_INTO_H
#define RMQ_RECV_INTO_H

#include "core/client/client.h"

/*
 * Writes messages [from, to) as files named after their ids, syncs them, renames them into place
 * and syncs the directory.  A file of that name is replaced: it is the same message.  0, or errno,
 * and then some may be there.
 */
int into_store(int dir, struct slice queue, const struct client_delivery *d, uint32_t from,
    uint32_t to) __attribute__((warn_unused_result));

#endif
