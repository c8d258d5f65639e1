/*
 * The contact points of a client: those of the cell that it is in.  They are of $RMQ_SERVERS or --server, a
 * list of addresses or of cells (cells.h), or were told by a daemon.
 */
#ifndef RMQ_SYS_CLIENT_CONTACTS_H
#define RMQ_SYS_CLIENT_CONTACTS_H

#include "core/base/cells.h"
#include "sys/net/client_address.h"
#include "sys/process/reason.h"

#define CONTACTS_MAX 32

/* Zeroed memory is an empty one. */
struct contacts {
	/* CONTACTS_MAX; memory of their own, which nobody has to clear: clients start for each message. */
	struct client_address *servers;
	uint32_t count;
	uint32_t given;	  /* the first ones; those after them were told by the cluster itself */
	const char *list; /* borrowed; NULL: the default */
	struct cells *cells; /* of the list, if it has names or several; NULL: it has not */
	char *text;	     /* of the cell in use, for commands that are borrowed of it */
	char cell[RAFT_NAME_MAX + 1]; /* … and its name; "": the list is no list of cells */
};

/*
 * Of an empty one: reads the list, which is borrowed.  Of one of cells all is read, and none is chosen yet.  RMQ_E_USAGE: *why
 * says what is wrong; RMQ_E_LIMIT: out of memory; others as of socket_address_default().
 */
enum rmq_error contacts_init(struct contacts *c, const char *list, struct reason *why)
    __attribute__((warn_unused_result));
void contacts_deinit(struct contacts *c);

/*
 * Chooses a cell (empty: the list as a whole, which is none of cells): the addresses of the list, else those that were
 * told, of which only HOST:PORT are taken, and Unix sockets if `local`: who told them is on this machine.
 * Nobody's commands are run but the user's.  RMQ_E_CONFIG: there is none.
 */
enum rmq_error contacts_choose(struct contacts *c, struct slice cell, struct slice told,
    bool local, struct reason *why) __attribute__((warn_unused_result));

/* Whether one of them is a gate. */
bool contacts_far(const struct contacts *c, bool *all);

#endif
