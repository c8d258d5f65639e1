/*
 * Before a node makes a cluster of itself, it asks all of its seeds, at the same time, whether
 * they know one; it asks those again that it cannot reach.  What follows from their answers is
 * core/host/founding.h.
 */
#ifndef RMQ_CLUSTERD_CENSUS_H
#define RMQ_CLUSTERD_CENSUS_H

#include "core/host/founding.h"
#include "sys/net/link_dialer.h"
#include "sys/process/config.h"

struct cluster;

struct census_ask {
	struct cluster *cluster;
	struct link_dialer *dialer; /* NULL: it has answered */
	unsigned at;		    /* in founding.seeds */
};

struct census {
	struct founding founding;
	struct census_ask asks[CONFIG_SEEDS_MAX]; /* founding.asked of them */
};

/* Claims a cluster, and asks, unless it does already. */
void census_begin(struct cluster *c);
/* Whether this node may make a cluster; on COMMANDS_STOP, text[TEXT_MAX + 1] says why not. */
enum commands_verdict census_look(const struct cluster *c, bool adopts, char *text)
    __attribute__((warn_unused_result));
/* The answer to a node with this key, which asks the same, and its text: founding_asked(). */
enum rmq_error census_asked(struct cluster *c, const uint8_t key[RAFT_KEY_SIZE],
    const char **text) __attribute__((warn_unused_result));
/* Claims and asks no more. */
void census_end(struct cluster *c);

#endif
