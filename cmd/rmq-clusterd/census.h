/*
 * Before a node makes a cluster of itself, it asks all of its seeds, at the same time, whether
 * they know one; who cannot be reached is tried again.
 */
#ifndef RMQ_CLUSTERD_CENSUS_H
#define RMQ_CLUSTERD_CENSUS_H

#include "core/host/commands.h"
#include "sys/net/link_dialer.h"
#include "sys/process/config.h"

struct cluster;

struct census_ask {
	struct cluster *cluster;
	struct link_dialer *dialer; /* NULL: it has answered */
	unsigned at;		    /* in what was heard */
};

struct census {
	bool asking;
	uint64_t begun_ms;
	struct census_ask asks[CONFIG_SEEDS_MAX]; /* heard.asked of them */
	struct commands_census heard;
};

/* Begins, unless it asks already. */
void census_begin(struct cluster *c);
/* Whether this node may make a cluster; on COMMANDS_STOP, text[TEXT_MAX + 1] says why not. */
enum commands_verdict census_look(const struct cluster *c, char *text)
    __attribute__((warn_unused_result));
/*
 * A node with this key asks the same.  True: this one makes a cluster, or goes on to ask for
 * itself; else it stops asking.
 */
bool census_claims(struct cluster *c, const uint8_t key[RAFT_KEY_SIZE])
    __attribute__((warn_unused_result));
/* Asks no more. */
void census_end(struct cluster *c);

#endif
