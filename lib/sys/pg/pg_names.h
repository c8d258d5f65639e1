/*
 * Addresses of the hosts of a connection string.  A look-up takes as long as name servers are silent: each host has a
 * thread for it, at most one, so that no host waits for another one's name, and no answer of a server for
 * any.  What was found is kept: while there is no newer answer it is used.
 */
#ifndef RMQ_SYS_PG_PG_NAMES_H
#define RMQ_SYS_PG_PG_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#define PG_ADDRESSES_MAX  8
#define PG_ADDRESS_SIZE	  64
#define PG_ADDRESSES_SIZE (PG_ADDRESSES_MAX * PG_ADDRESS_SIZE)

struct pg_names;

/* `wake`: an eventfd(2) that is written to when there is an answer; borrowed until it is freed.  Memory that
 * runs out ends the process. */
struct pg_names *pg_names_new(int wake);
/* Nothing is waited for. */
void pg_names_free(struct pg_names *n);

enum pg_names_state {
	PG_NAME_WAITS,
	PG_NAME_FOUND,
	PG_NAME_FAILED, /* why: a constant text */
};

/*
 * The addresses of host number `host`, which has this name: with commas, and each time another one is the first, as that
 * may be silent.  The first call begins a look-up, later ones see what has become of it; after FOUND or FAILED the next one begins another.
 * old: those that were found before will do.
 */
enum pg_names_state pg_names_ask(struct pg_names *n, unsigned host, const char *name, bool old,
    char addresses[PG_ADDRESSES_SIZE], const char **why);

#endif
