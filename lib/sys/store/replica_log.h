/*
 * A data directory as the log of a node of a cluster, in the words of raft.h: what the node
 * finds in it when it starts, what it reads for a peer that lags, what it has stored.
 */
#ifndef RMQ_SYS_STORE_REPLICA_LOG_H
#define RMQ_SYS_STORE_REPLICA_LOG_H

#include "core/raft/raft.h"
#include "sys/journal/journal_link.h"
#include "sys/store/store.h"

/*
 * Sets id, term, vote, commit, last, cover, terms and configs of *b as the directory says; the
 * others stay.  The lists are the caller's, until replica_log_begin_free().  *replicated: whether
 * it was ever stored to as a replica; what one node alone stored is committed, all of it.
 * `r` is begun.  On error nothing is set: RMQ_E_CORRUPT, RMQ_E_VERSION: the CONFIG record at
 * *bad, or the directory if it is 0; RMQ_E_LIMIT: out of memory.
 */
enum rmq_error replica_log_begin(struct store_reader *r, struct raft_begin *b, bool *replicated,
    uint64_t *bad) __attribute__((warn_unused_result));
void replica_log_begin_free(struct raft_begin *b);

/*
 * What the log holds from `index` on, as RAFT_EVENT_READ wants it: at most `bytes` of payload
 * (but at least one run), RAFT_RUNS_MAX runs, nothing after `last`.  Payloads are borrowed
 * until store_reader_end(); a run of holes has none, terms of holes and configurations are not
 * set.  *count is 0 if the log does not reach `index`.  RMQ_E_CORRUPT, RMQ_E_VERSION: of the
 * record at *bad, if that comes first; else what comes before it is given.  One whose term is not the
 * log's is bad.
 */
struct replica_log_runs {
	unsigned count;
	struct raft_run runs[RAFT_RUNS_MAX];
	struct slice payloads[RAFT_RUNS_MAX];
};
enum rmq_error replica_log_read(struct store_reader *r, uint64_t index, uint64_t last,
    uint32_t bytes, struct replica_log_runs *runs, uint64_t *bad)
    __attribute__((warn_unused_result));

/* The last index of a log up to `last` once `s` is stored. */
uint64_t replica_log_last(uint64_t last, const struct raft_store *s);

/*
 * Sends a transaction to the journal, which answers with TXN_STORED and `seq`.  payloads[i] is
 * that of s->runs[i], of run.bytes, not looked at for holes; payloads[s->run_count] is that of
 * s->mend.  All of it is borrowed for the call.  Out of memory aborts.
 */
void replica_log_store(struct journal_link *l, const struct raft_store *s, uint64_t seq,
    const struct slice *payloads);

#endif
