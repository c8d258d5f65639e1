/*
 * The list of cells, and where a queue is at home.  A cell is a whole rmq; several stand side by side,
 * and each queue lives in one of them.  One text is the list everywhere (RMQ_SERVERS, the setting
 * `cells`, frame CELLS_ARE):
 *
 *	[NAME[+]=]SERVERS[;[NAME[+]=]SERVERS]…
 *
 * A cell without NAME is called 1, 2, 3… by its place in the list.  `+`: nothing is at home in it that
 * does not name it, so that adding a cell moves nothing.  SERVERS are addresses with commas between them,
 * which are not looked at here; `exec:` in a cell without NAME takes the rest of the list.
 *
 * The home of a name is frozen, as all who share a list must agree about it: rendezvous hashing (Thaler,
 * Ravishankar: Using Name-Based Mappings to Increase Hit Rates, 1998).  Of the cells that hash, it is the
 * one with the highest XXH3 (64 bits) of the base name, with the XXH3 of the cell's name as its seed; of
 * equal ones that whose name is first in order of bytes.  The order of the list does not matter.
 */
#ifndef RMQ_CORE_BASE_CELLS_H
#define RMQ_CORE_BASE_CELLS_H

#include "core/base/codec.h"
#include "core/base/error.h"
#include "core/base/limits.h"

#define CELLS_NONE UINT32_MAX

struct cell {
	char name[RAFT_NAME_MAX];
	uint8_t name_len;
	bool hashes;
	uint64_t seed;
	struct slice servers; /* borrowed of the text */
};

/* Zeroed memory is an empty list. */
struct cells {
	uint32_t count;
	struct cell cells[CELLS_MAX];
};

/*
 * Reads a list, which is borrowed.  RMQ_E_USAGE: it is none, and *why (a constant) says what is wrong.
 * *cells is then an empty list.
 */
enum rmq_error cells_parse(struct cells *cells, struct slice text, const char **why)
    __attribute__((warn_unused_result));

/* Whether a text that is a list says more than one cell's SERVERS: a NAME, or a second cell. */
bool cells_named(struct slice text);

static inline struct slice cells_name(const struct cells *cells, uint32_t i)
{
	return slice_of(cells->cells[i].name, cells->cells[i].name_len);
}

/* The one of this name; CELLS_NONE: there is none. */
uint32_t cells_find(const struct cells *cells, struct slice name);

/*
 * The name that goes from cell to cell together with `name`: without `.dead` and `.away` at its end.
 * Borrowed of it.
 */
struct slice cells_base(struct slice name);

/* Whether it is the queue that holds what is for a queue of another cell: it ends in ".away". */
bool cells_is_away(struct slice name);
/* The name of that queue, for one of a valid name; a NUL is after it.  It may be too long for a name. */
#define AWAY_NAME_MAX (NAME_FULL_MAX + sizeof(NAME_AWAY_SUFFIX))
struct slice cells_away_name(struct slice name, char away[AWAY_NAME_MAX]);
/* The name without that end. */
struct slice cells_away_for(struct slice name);

/*
 * Where `name` (a queue, or a topic) is at home: the cell that its base names with ".at.CELL" at its end,
 * else the one of the highest weight.  CELLS_NONE: the list is empty.
 */
uint32_t cells_home(const struct cells *cells, struct slice name);

#endif
