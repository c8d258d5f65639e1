/*
 * A queue that is spread over cells: one part in each, an ordinary queue QUEUE.at.CELL, whose name
 * says where it is at home (cells.h).  Who sends or receives all of it has a connection for each part.
 */
#ifndef RMQ_SYS_CLIENT_SPREAD_H
#define RMQ_SYS_CLIENT_SPREAD_H

#include "core/base/cells.h"
#include "sys/client/client_options.h"

struct spread {
	struct cells cells; /* >= 1 */
	char *list;	    /* what a daemon has told, NULL: it is the client's own */
	bool local;	    /* … through a Unix socket */
};

/*
 * Which cells there are: those of the client's list; where it has none the daemon at its contact points
 * is asked, for as long as o->timeout_ms.  One that knows no others is the cell 1, as in a list without names.
 * RMQ_E_INTERRUPTED: by a signal of signals.h; other errors: *why.
 */
enum rmq_error spread_find(struct spread *s, const struct client_options *o, struct reason *why)
    __attribute__((warn_unused_result));
void spread_deinit(struct spread *s);

/* The part of `queue` in a cell.  RMQ_E_USAGE: its name is too long, *why. */
enum rmq_error spread_part(const struct spread *s, uint32_t cell, const char *queue,
    char out[NAME_MAX_LEN + 1], struct reason *why) __attribute__((warn_unused_result));

/*
 * The cell whose part takes all messages with this key, or id.  It stays the same one as long as the cells that hash
 * do.
 */
uint32_t spread_of(const struct spread *s, struct slice key);

#endif
