/* The frames that the queue daemon sends to its journal, and the answers. */
#ifndef RMQ_QUEUED_JOURNAL_H
#define RMQ_QUEUED_JOURNAL_H

#include "core/wire/record.h"
#include "sys/journal/journal_link.h"

struct journal_host {
	void *arg;
	void (*stored)(void *arg, const struct journal_stored *m);
	void (*barrier_done)(void *arg, const struct journal_barrier_done *m);
	void (*room)(void *arg, const struct journal_room *m);
	void (*holes_wanted)(void *arg, const struct journal_holes_wanted *m);
	void (*level)(void *arg, const struct journal_level *m);
};

/* False: it is not a frame that the journal may send to a queue daemon. */
bool journal_take(const struct journal_host *host, const struct frame *f);

void journal_append(
    struct journal_link *l, uint64_t n, enum record_kind kind, struct slice payload);
void journal_barrier(struct journal_link *l, uint64_t id);
void journal_reads(struct journal_link *l, uint64_t index);
/*
 * Says that record `index` is bad, and waits: RMQ_E_OK, it is to be read again; else no node has it.
 * RMQ_E_JOURNAL_LOST: host->lost was called.
 */
enum rmq_error journal_bad(struct journal_link *l, uint64_t index);
void journal_reserve(struct journal_link *l, uint64_t bytes);
void journal_hole(struct journal_link *l, uint64_t checkpoint, struct slice ranges);

#endif
