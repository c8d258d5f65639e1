/*
 * What must hold.  Frames that leave the daemon are explained by what is on disk; what a
 * client is told and what it trusts is so on disk; recovery from any state of the disk
 * gives the state that the whole history gives; at the end nothing is missing.
 */
#ifndef SIM_CHECKS_H
#define SIM_CHECKS_H

#include "world.h"

#include "core/broker/broker.h"
#include "core/broker/delivery.h"
#include "core/wire/frame.h"

/* A frame that leaves the daemon. */
void checks_frame(struct world *w, struct link *l, const struct frame *f);
/* A delivery that is pulled, and the record it names. */
void checks_delivery(struct world *w, struct link *l, const struct delivery *d,
    const struct jm_record *r, bool *skip);
/* A frame that the daemon takes in: what was asked for may happen. */
void checks_asked(struct world *w, struct link *l, const struct frame *f);
/* A message that a client believes to hold at this moment, under this lease. */
void checks_held(
    struct world *w, struct slice queue, uint32_t line, uint64_t seq, uint64_t lease);
/* A settlement was confirmed for this message. */
void checks_settled(
    struct world *w, struct slice queue, uint32_t line, uint64_t seq, uint64_t lease);
/* A client ended this session without a connection: there was nothing to be given back. */
void checks_nothing_kept(struct world *w, uint64_t session);
/* A message was confirmed as stored under this number. */
void checks_sent(struct world *w, uint32_t line, uint64_t seq);
/* Everything was drained. */
void checks_end(struct world *w);

#endif
