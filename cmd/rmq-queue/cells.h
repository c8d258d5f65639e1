/*
 * The cells that there are, and a conversation with each: what may be in any of them is asked of all, and
 * what cannot be reached is said.  The list is the user's (RMQ_SERVERS), else that of the daemon.
 */
#ifndef RMQ_QUEUE_CELLS_H
#define RMQ_QUEUE_CELLS_H

#include "admin.h"
#include "core/base/cells.h"
#include "core/client/table.h"

struct cells_asked {
	struct admin *main;   /* a client that goes where a queue lives */
	struct cells *list;   /* of one cell, or none, if there is only one */
	struct admin *admins; /* with each; NULL: with the only one, main talks */
	bool *up;	      /* that has answered */
	bool local;	      /* a daemon told the list by a Unix socket, … */
	uint32_t own;	      /* … and is of this cell; CELLS_NONE */
	struct text servers;  /* of that cell: the socket before all others */
};

/* Learns the list.  Free it, also after a failure, which was said. */
enum rmq_error cells_open(struct cells_asked *c, struct admin *main)
    __attribute__((warn_unused_result));
void cells_close(struct cells_asked *c);

static inline bool cells_several(const struct cells_asked *c)
{
	return c->admins != NULL;
}

/* For client_io_open_cell(). */
struct client_io_cell cells_at(const struct cells_asked *c, uint32_t i);

/* Whether it is up or down; of one that this user has no key for, or that does not let it in, nothing is known. */
bool cells_known(const struct cells_asked *c, uint32_t i);

/* Asks all at once whether they are there, and waits so long at most, until each has answered or given up. */
enum rmq_error cells_meet(struct cells_asked *c, uint64_t most_ms)
    __attribute__((warn_unused_result));

/* Every queue that matches, by main->row, cell after cell in the list's order; main->cell says which. */
enum rmq_error cells_rows(struct cells_asked *c, const char *glob)
    __attribute__((warn_unused_result));

/* The same of all bindings, by main->bound. */
enum rmq_error cells_bindings(struct cells_asked *c, const char *queue)
    __attribute__((warn_unused_result));

/* The same of all places, by main->row_of_place. */
enum rmq_error cells_places(struct cells_asked *c) __attribute__((warn_unused_result));

/* After rows of all queues: says in which cells nobody takes what is for others. */
#define UNTAKEN_MS 5000 /* a forwarder that begins anew is there by then */
void cells_say_untaken(const struct cells_asked *c);

/* Says which cells have not answered; RMQ_E_TIMEOUT: there are some. */
enum rmq_error cells_tell(struct cells_asked *c) __attribute__((warn_unused_result));

/* Binds the queue, where it lives, and in every other cell its NAME.away, or no longer (type BIND, UNBIND). */
enum rmq_error cells_bind(struct cells_asked *c, enum wire_type type, const char *queue,
    const char *pattern) __attribute__((warn_unused_result));

/* Ends all bindings of the queue's NAME.away, in every cell: the queue is removed. */
enum rmq_error cells_unbind_away(struct cells_asked *c, const char *queue)
    __attribute__((warn_unused_result));

/* ---- rmq-queue cells ---- */

extern const struct table_columns columns_of_cells;
#define CELLS_COLUMNS "cell,state,queues,servers"
extern const struct table_columns columns_of_places;
#define PLACES_COLUMNS "queue,cell,home"

extern const struct table_columns columns_of_ways;
#define WAYS_COLUMNS "queue,cell,to"

extern const struct table_columns columns_of_copies;
#define COPIES_COLUMNS "queue,cell,messages,bytes,since"

/*
 * Puts a row for each cell; for each queue that lives elsewhere than at home; for each one that a cell leads
 * on to another cell; or for each copy that arrives.
 */
enum cells_listed { LISTED_CELLS, LISTED_MOVED, LISTED_WAYS, LISTED_COPIES };
enum rmq_error cells_list(struct cells_asked *c, enum cells_listed what, struct table *table,
    struct text *out) __attribute__((warn_unused_result));

/* Prints each queue that does not live where it would by this list (NULL: the one in use), and where that is. */
enum rmq_error cells_homes(struct cells_asked *c, const char *list)
    __attribute__((warn_unused_result));

#endif
