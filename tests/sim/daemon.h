/*
 * The queue daemon around the core: a process that opens the journal, recovers, takes
 * turns and may end at any moment.  A turn takes some of the journal's answers, some of
 * what arrived on some connections, and pulls some deliveries: what it does not take
 * waits, as it would in a daemon that is slow.
 */
#ifndef SIM_DAEMON_H
#define SIM_DAEMON_H

#include "world.h"

#include "core/broker/broker.h"

/* All users are of this node. */
#define DAEMON_NODE "n1"

struct daemon {
	struct world *w;
	struct journal_model *journal; /* as it sees it */
	struct broker *broker;
	bool up;
	uint64_t lease_base_ms, boot_base_ms; /* lease time = base + boot - boot_base */
	uint64_t wall_base_ms;
	int64_t wall_offset_ms;	 /* what its wall clock is ahead of boot time, */
	int64_t wall_highest_ms; /* and what it was at most */
	uint64_t term;
	uint64_t turn_ms; /* boot time of the last turn */
	uint64_t paused_until;
	bool waits; /* for a record that it has to read */
	uint64_t life;
	/* what ROOM allows, and what was used of it */
	uint64_t room_n, room_bytes;
	uint64_t *sums; /* bytes of new messages up to append n */
	size_t sums_cap;
	uint64_t taken_session, taken_n; /* the newest SEND that was appended */
	uint64_t moved;			 /* record that was moved in this turn */
	/* The checkpoint under way: what it wrote, and the log that it makes good for. */
	bool asked;	   /* it was asked for: it need not pay */
	uint64_t asked_ms; /* when one was last asked for, by boot_ms */
	bool in_parts;
	bool unpaid; /* nothing was freed for it yet */
	uint64_t part_bytes, part_log_bytes;
	uint64_t log_bytes; /* of events, since it began */
};

/* Recovers from its journal, up to `count`, from its newest END; serves in this term. */
void daemon_start(struct daemon *d, uint64_t term);
/* The process ends, and with it its connections.  What its journal holds is the caller's. */
void daemon_crash(struct daemon *d);
void daemon_free(struct daemon *d);
/* Whether a turn would find something to do. */
bool daemon_ready(const struct daemon *d);
void daemon_turn(struct daemon *d);
/* Boot time at which a turn is due without input; UINT64_MAX: none. */
uint64_t daemon_due(const struct daemon *d);
/* Whether a younger one's records are committed: this one knows less than the disks. */
bool daemon_past(const struct daemon *d);

struct wall_time daemon_wall(const struct daemon *d);
struct lease_time daemon_lease_now(const struct daemon *d);

#endif
