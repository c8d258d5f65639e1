/*
 * A cell: the queue daemon around the shipped core, its journal, and the connections of its clients.
 * A turn takes some of the journal's answers, some of what arrived on some connections, and pulls some
 * deliveries: what it does not take waits, as it would in a daemon that is slow.
 */
#ifndef SIM_CELLS_CELL_H
#define SIM_CELLS_CELL_H

#include "../sim/journal_model.h"
#include "../sim/net.h"
#include "world.h"

#include "core/broker/broker.h"

/* The daemon of a cell (net.h). */
struct daemon {
	struct world *w;
	unsigned number;
	char name[16];
	char address[32];    /* HOST:PORT */
	const char *list;    /* of cells, that it is told at its next start; NULL: none */
	struct cells *cells; /* that, as it was told */
	struct journal_model journal;
	struct net net;
	struct broker *broker;
	bool up;
	bool stopped;			      /* for good */
	uint64_t lease_base_ms, boot_base_ms; /* lease time = base + boot - boot_base */
	int64_t wall_offset_ms;		      /* what its wall clock is ahead of boot time, */
	int64_t wall_highest_ms;	      /* and what it was at most */
	uint64_t turn_ms;		      /* boot time of the last turn */
	uint64_t paused_until;
	unsigned tense;	   /* so many turns more: a step of a move was written not long ago */
	uint64_t asked_ms; /* when a checkpoint was last asked for, by boot_ms */
};

/* In zeroed memory, with its name, address and list: opens its journal, and starts. */
void cell_init(struct daemon *d, struct world *w, unsigned number);
void cell_deinit(struct daemon *d);
/* Recovers from its journal. */
void cell_start(struct daemon *d);
/* The process ends, and with it its connections; so many operations of the journal are done yet. */
void cell_crash(struct daemon *d, size_t ops);
/* The cell is taken away; its daemon has ended, or does. */
void cell_stop(struct daemon *d);
/* A connection to it; NULL: nobody is there. */
struct link *cell_dial(struct daemon *d, uint64_t clock_ms);
/* Whether a turn would find something to do. */
bool cell_ready(const struct daemon *d);
void cell_turn(struct daemon *d);
void cell_commit(struct daemon *d, size_t ops);
/* Boot time at which a turn is due without input; UINT64_MAX: none. */
uint64_t cell_due(const struct daemon *d);
/* Whether nothing is on its way in it. */
bool cell_idle(const struct daemon *d);
struct wall_time cell_wall(const struct daemon *d);
/* Recovery from its disk gives the state that it has, and that its whole history gives. */
void cell_replay(struct daemon *d);
/* The one of this name or address; NULL: there is none. */
struct daemon *cell_named(struct world *w, struct slice name);
struct daemon *cell_at(struct world *w, struct slice address);

#endif
