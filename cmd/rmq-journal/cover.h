/*
 * Whether the log of a node of a cluster is whole.  ENDs make holes; the newest one of which a
 * node has heard is its cover.  A log that does not reach it, as while it catches up, or that
 * has another record there, may have the holes without the checkpoint that makes them harmless:
 * only a log that is covered may be used without a majority.
 */
#ifndef RMQ_JOURNAL_COVER_H
#define RMQ_JOURNAL_COVER_H

#include "journal.h"
#include "sys/store/store.h"

struct cover {
	uint64_t last_term; /* of the newest record or hole; 0: there is none */
	uint64_t index; /* of the cover; 0: nothing has made holes, or it is no node's log */
	bool covered;	/* also if `index` is 0 */
};

/* As of store_reader_begin(). */
enum rmq_error cover_read(struct store_reader *r, struct cover *c)
    __attribute__((warn_unused_result));

/* RMQ_E_BAD_DATA with its reason if it is not covered; last: index of the newest record. */
enum rmq_error cover_check(const struct cover *c, uint64_t last, struct reason *why)
    __attribute__((warn_unused_result));

#endif
