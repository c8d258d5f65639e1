/*
 * A data directory as the log of a node of a cluster, in the words of raft.h: what the node
 * finds in it when it starts, what it reads for a peer that lags, what it has stored.
 */
#ifndef RMQ_SYS_REPLICA_H
#define RMQ_SYS_REPLICA_H

#include "core/raft.h"
#include "sys/journal_link.h"
#include "sys/store.h"

/*
 * Sets id, term, vote, commit, last, cover, terms and configs of *b as the directory says; the
 * others stay.  The lists are the caller's, until replica_unload().  What one node alone stored
 * is committed, all of it.  `r` is begun, its directory open as a replica.  On error nothing is
 * set: RMQ_E_CORRUPT, RMQ_E_VERSION: the CONFIG record at *bad, or the directory if it is 0;
 * RMQ_E_LIMIT: out of memory.
 */
enum rmq_error replica_load(struct store_reader *r, struct raft_begin *b, uint64_t *bad)
    __attribute__((warn_unused_result));
void replica_unload(struct raft_begin *b);

/*
 * What the log holds from `index` on, as RAFT_EVENT_READ wants it: at most `bytes` of payload
 * (but at least one run), RAFT_RUNS_MAX runs, nothing behind `last`.  Payloads are borrowed
 * until store_reader_end(); a run of holes has none, terms of holes and configurations are not
 * set.  *count is 0 if the log does not reach `index`.  RMQ_E_CORRUPT, RMQ_E_VERSION: of the
 * record at *bad.
 */
struct replica_runs {
	unsigned count;
	struct raft_run runs[RAFT_RUNS_MAX];
	struct slice payloads[RAFT_RUNS_MAX];
};
enum rmq_error replica_read(struct store_reader *r, uint64_t index, uint64_t last,
    uint32_t bytes, struct replica_runs *runs, uint64_t *bad)
    __attribute__((warn_unused_result));

/*
 * Sends a transaction to the journal, which answers with TXN_STORED.  payloads[i] is that of
 * s->runs[i], not looked at for holes and for CONFIG, which is encoded from the run's config.
 * All of it is borrowed for the call.  Its records have at most JOURNAL_TXN_MAX bytes.
 */
void replica_store(
    struct journal_link *l, const struct raft_store *s, const struct slice *payloads);

#endif
