/*
 * The queue daemon around the core: a process that opens the journal, recovers, takes
 * turns and may end at any moment.  A turn takes some of the journal's answers, some of
 * what arrived on some connections, and pulls some deliveries: what it does not take
 * waits, as it would in a daemon that is slow.
 */
#ifndef SIM_DAEMON_H
#define SIM_DAEMON_H

#include "world.h"

void daemon_start(struct world *w);
/* The process ends; the journal's with it. */
void daemon_crash(struct world *w);
/* Whether a turn would find something to do. */
bool daemon_ready(const struct world *w);
void daemon_turn(struct world *w);
/* Boot time at which a turn is due without input; UINT64_MAX: none. */
uint64_t daemon_due(const struct world *w);

/* broker_log over a journal_model. */
enum rmq_error daemon_read(
    void *journal, uint64_t index, enum record_kind *kind, struct slice *payload);
enum rmq_error daemon_next(void *journal, uint64_t index, uint64_t *found,
    enum record_kind *kind, struct slice *payload);

struct lease_time daemon_lease_now(const struct world *w);

#endif
