/*
 * Statements of core/host/database.h as SQL: texts, and their parameters in the binary format of PostgreSQL's
 * protocol.  Tables and reasons are in rmq-node(5).  Only SQL that CockroachDB understands as well, but
 * for what is sent to a server that says it is PostgreSQL.
 *
 * All are single statements, so that each is a transaction: the row of rmq_cluster is checked and locked, and the
 * log written, in one.  Under READ COMMITTED an UPDATE that waited for the row's lock looks at its condition
 * again, with the row as it is then.
 */
#ifndef RMQ_SYS_PG_PG_SQL_H
#define RMQ_SYS_PG_PG_SQL_H

#include <sys/queue.h>

#include "core/base/text.h"
#include "core/host/database.h"

/* What the tables' row says of their layout. */
#define PG_FORMAT 1

/* Queries, each prepared once on a connection. */
#define PG_QUERIES(X) \
	X(LOOK) X(TAKE) X(BEAT) X(APPEND) X(DIG) X(READ) X(TERMS) X(FOUND) X(PROOF)

enum pg_query {
#define X(name) PG_##name,
	PG_QUERIES(X)
#undef X
	    PG_QUERY_COUNT
};

/* The columns that come first in the answers of all queries but TERMS and PROOF. */
enum pg_column {
	PG_COLUMN_DONE, /* int8: 1: it was done; 0: its condition did not hold */
	PG_COLUMN_NAMES, /* text: synchronous_standby_names, as the statement saw it; NULL: no such setting */
	PG_COLUMN_COMMIT, /* text: synchronous_commit; the same */
	PG_COLUMN_FORMAT, /* int8, and so are those without another type; from here on the table's row */
	PG_COLUMN_CLUSTER, /* bytea */
	PG_COLUMN_TERM,
	PG_COLUMN_LEADER, /* bytea */
	PG_COLUMN_LEASE,  /* milliseconds that are left */
	PG_COLUMN_LAST_INDEX,
	PG_COLUMN_LAST_TERM,
	PG_COLUMN_COMMITTED,
	PG_COLUMN_COVER_INDEX,
	PG_COLUMN_COVER_TERM,
	PG_COLUMNS,
	PG_COLUMN_INDEX = PG_COLUMNS, /* READ: of a record, NULL: there is none, */
	PG_COLUMN_RECORD_TERM,
	PG_COLUMN_KIND,	   /* int2 */
	PG_COLUMN_PAYLOAD, /* bytea */
	PG_COLUMN_FOUND, /* so many records are there, as far as `rows` goes; `bytes` may cut them */
	PG_READ_COLUMNS,
	PG_COLUMN_DUG =
	    PG_COLUMNS, /* DIG: so many were deleted, each counted once for each range that it is in */
	PG_DIG_COLUMNS
};

const char *pg_query_name(enum pg_query q);
const char *pg_query_text(enum pg_query q);

/*
 * For a new connection, as a simple query.  PG_SETTINGS is for PostgreSQL and what is made of it: the server's defaults for
 * clients must not cut a wait, hide a warning, or confirm what is on no standby.  PG_FACTS's answer: version,
 * names and commit as above, fsync, max_wal_senders.  PG_START's: text that is another one for each
 * start of a PostgreSQL server.
 */
extern const char PG_SETTINGS[];
extern const char PG_FACTS[];
extern const char PG_START[];

/* Makes the tables; NULL after the last.  Those for PostgreSQL only come with `postgres`. */
const char *pg_tables(unsigned i, bool postgres);

#define PG_PARAMETERS_MAX 17
#define PG_CALLS_MAX	  2

/* One query and its parameters, all binary. */
struct pg_call {
	enum pg_query query;
	bool prepares; /* it was not yet, and is with it; the session's */
	unsigned count;
	const char *values[PG_PARAMETERS_MAX];
	int lengths[PG_PARAMETERS_MAX];
};

/* A statement, encoded: nothing in it is borrowed. */
struct pg_request {
	STAILQ_ENTRY(pg_request) entry;
	uint64_t number;
	uint64_t epoch;	 /* the link's: of the connection that it was submitted for */
	const char *bad; /* cannot be encoded, and why; a constant text */
	enum database_verb verb;
	uint64_t from;	     /* READ */
	uint32_t rows;	     /* at most, as the server is told */
	unsigned call_count; /* they are one transaction */
	struct pg_call calls[PG_CALLS_MAX];
	struct text bytes;
};
STAILQ_HEAD(pg_requests, pg_request);

/* Memory that runs out ends the process. */
struct pg_request *pg_request_new(const struct database_statement *s);
void pg_request_free(struct pg_request *r);

/* Whether a statement changes the tables, and so waits for a standby. */
bool pg_verb_writes(enum database_verb verb);

#endif
