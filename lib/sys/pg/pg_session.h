/*
 * One connection with a server: made, checked, then statements in libpq's pipeline mode.  Each statement is a
 * transaction that ends with a Sync of its own; its commit comes after its rows, so it is answered only when
 * the Sync is.  Never blocks, but for files of libpq in pg_session_open(); of one thread.
 */
#ifndef RMQ_SYS_PG_PG_SESSION_H
#define RMQ_SYS_PG_PG_SESSION_H

#include "sys/pg/pg_dsn.h"
#include "sys/pg/pg_link.h"
#include "sys/pg/pg_result.h"

struct pg_session;

enum pg_session_state {
	PG_CONNECTS, /* and is checked */
	PG_UP,
	PG_BAD, /* for ever: pg_session_why() */
};

/* Borrows the string.  addresses: as pg_dsn_connect().  Memory that runs out ends the process. */
struct pg_session *pg_session_open(
    const struct pg_dsn *d, unsigned host, const char *addresses, bool allow_async);
/* Answers that were not taken are lost. */
void pg_session_free(struct pg_session *s);

/* What poll(2) is to wait for; fd -1: nothing. */
int pg_session_fd(const struct pg_session *s, short *events);
/* After poll(2), and after pg_session_send(): reads and writes what goes now. */
enum pg_session_state pg_session_turn(struct pg_session *s);
enum pg_session_state pg_session_state(const struct pg_session *s);

/* When it is up. */
const struct pg_server *pg_session_server(const struct pg_session *s);
/* Text that another start of a server, or another server, does not have; empty: not known. */
const char *pg_session_start(const struct pg_session *s);
/* When it is bad. */
const char *pg_session_why(const struct pg_session *s);

/* Takes it.  Its answer comes after those before. */
void pg_session_send(struct pg_session *s, struct pg_request *r);
/* The next answer, on the heap, the caller's; NULL: none yet. */
struct pg_answer *pg_session_answer(struct pg_session *s);
/* Statements without an answer. */
unsigned pg_session_waiting(const struct pg_session *s);

/* Ends it: it is bad, and all that waits is answered as unknown. */
void pg_session_end(struct pg_session *s, const char *why);

#endif
