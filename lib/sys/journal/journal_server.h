/*
 * The journal's side of the journal protocol, rmq-journal(5), on one connected socket:
 * OPEN, then group commits until the opener closes its end.
 *
 * While a commit syncs, arriving frames wait in the socket; then all of them go into the next
 * one.  Payloads are read straight into the store's pages.
 */
#ifndef RMQ_SYS_JOURNAL_JOURNAL_SERVER_H
#define RMQ_SYS_JOURNAL_JOURNAL_SERVER_H

#include "sys/store/store.h"

/*
 * Serves until the opener is gone: RMQ_E_OK, all that had arrived whole is stored.
 * RMQ_E_PROTOCOL, RMQ_E_VERSION: the opener broke the protocol; all that it sent before is
 * stored.  Others: the store or the socket failed; nothing was acknowledged after that.  The
 * opener is to be told by journal_refuse().  `directory` is what OPENED says.  If not even the
 * reserve has pages for a record of one node, it waits for the file system to have space:
 * `waits`, if not NULL, is called when that begins (true) and is over (false).
 */
enum rmq_error journal_serve(int fd, struct store *s, const char *directory,
    void (*waits)(const char *directory, bool begins), struct reason *why)
    __attribute__((warn_unused_result));

/* For one that cannot be served: an ERROR frame, if the socket takes it at once. */
void journal_refuse(int fd, enum rmq_error code, const char *text);

#endif
