/* Recovery of the queue core from a simulated journal, to compare what it gives. */
#ifndef SIM_RECOVERY_H
#define SIM_RECOVERY_H

#include "journal_model.h"

#include "core/broker/broker.h"

/* broker_recover() from such a journal; its holes are holes. */
enum rmq_error recovery_read(struct broker *b, struct journal_model *j, uint64_t end,
    uint64_t last, uint64_t *at) __attribute__((warn_unused_result));
/*
 * Recovers from the journal up to record `last`, from the END at `end` or from the whole
 * history, as if nothing had ever become a hole.  The digest of the state.
 */
uint64_t recovery_digest(struct journal_model *j, uint64_t end, uint64_t last, bool whole);

#endif
