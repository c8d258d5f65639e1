/* The journal of a node of a cluster: transactions, of journal_wire.h.  Private to
 * journal_server.c. */
#ifndef RMQ_SYS_JOURNAL_REPLICA_SERVER_H
#define RMQ_SYS_JOURNAL_REPLICA_SERVER_H

#include "sys/journal/journal_io.h"
#include "sys/store/store.h"

/*
 * Serves the opener whose first frame was `open`, as journal_serve().  RMQ_E_NOTHING: its input
 * ended, or io->refused.  A transaction that is cut or refused is not stored; those before it
 * that were not answered yet may or may not be.
 */
enum rmq_error replica_serve(struct journal_io *io, struct store *s,
    const struct journal_io_frame *open, const char *directory)
    __attribute__((warn_unused_result));

#endif
