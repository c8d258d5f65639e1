/* --into: messages as files of a directory, which are there whole and for good, or not at all. */
#ifndef RMQ_RECV_INTO_H
#define RMQ_RECV_INTO_H

#include "core/client/client.h"

/*
 * Writes messages [from, to) as files named after their ids, syncs them, renames them into place
 * and syncs the directory.  A file of that name with the same bytes is the message, and stays.
 * 0, or errno about message *at, and then some may be there; EEXIST: its name is another file's.
 */
int into_store(int dir, struct slice queue, const struct client_delivery *d, uint32_t from,
    uint32_t to, uint32_t *at) __attribute__((warn_unused_result));

#endif
