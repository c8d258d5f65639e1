/*
 * A connection string of libpq, of one or several hosts.  libpq itself would always begin with the first of them, and
 * wait for one that is silent: here each host is connected to by itself.
 */
#ifndef RMQ_SYS_PG_PG_DSN_H
#define RMQ_SYS_PG_PG_DSN_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PG_HOSTS_MAX 16

struct pg_dsn {
	PQconninfoOption *options; /* with what the service and the environment say */
	unsigned hosts;
	uint32_t connect_ms; /* connect_timeout; 0: none */
};

/* Whether libpq takes it, and it has not too many hosts; else *why is a constant text. */
bool pg_dsn_check(const char *dsn, const char **why);

/*
 * Reads the service's file, if there is one.  What is wrong is said when it is connected to.  Memory
 * that runs out ends the process.
 */
void pg_dsn_init(struct pg_dsn *d, const char *dsn);
void pg_dsn_deinit(struct pg_dsn *d);

/* The name of a host, if it has to be looked up. */
bool pg_dsn_name(const struct pg_dsn *d, unsigned host, char *name, size_t size);

/*
 * Begins to connect to one host, for writing, at one of these numeric addresses, with commas, one after the other;
 * "": as the string says, which libpq looks up if it is a name.  NULL: no memory.
 */
PGconn *pg_dsn_connect(const struct pg_dsn *d, unsigned host, const char *addresses);

/* HOST:PORT, or the path of its Unix socket. */
void pg_dsn_address(const struct pg_dsn *d, unsigned host, char *text, size_t size);

/* Takes passwords out of a text, and makes it one line. */
void pg_dsn_scrub(const struct pg_dsn *d, char *text);

#endif
