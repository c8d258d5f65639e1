/*
 * A client core with its connection: one end of a process.  It dials as the core asks, reads and writes
 * sometimes only a part of what there is, and has a clock of its own.
 */
#ifndef SIM_CELLS_ENDS_H
#define SIM_CELLS_ENDS_H

#include "../sim/net.h"
#include "world.h"

#include "core/client/client.h"

struct end {
	struct world *w;
	struct client *client;
	struct link *link;
	uint64_t clock_ms; /* what its clock is ahead of boot time */
	struct daemon *contact;
	bool astray;	     /* it is sent to a cell that has no address */
	struct cells *cells; /* its list; NULL: none */
	char text[sizeof(((struct world *)NULL)->list)];
};

/*
 * In zeroed memory.  list: of cells, copied; NULL: it knows none, and its contact point is this cell's.
 * config says the rest; its servers, cells and seed are set here.
 */
void end_init(struct end *e, struct world *w, unsigned contact, const char *list,
    struct client_config config, const struct client_host *host);
/* The process is gone. */
void end_deinit(struct end *e);
/* Connects, reads, ticks and writes.  stop: it hangs up. */
void end_pump(struct end *e, bool stop);
struct mono_time end_now(const struct end *e);
/* Whether there is something to do at once. */
bool end_ready(const struct end *e);
/* Boot time of the next timer; UINT64_MAX: none. */
uint64_t end_due(const struct end *e);

#endif
