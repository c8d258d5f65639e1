/*
 * What a server answers, checked: rows of libpq become results of core/host/database.h.  Nothing in it is
 * trusted: types, sizes, signs, order and what has to agree are looked at.
 */
#ifndef RMQ_SYS_PG_PG_RESULT_H
#define RMQ_SYS_PG_PG_RESULT_H

#include <libpq-fe.h>

#include "sys/pg/pg_sql.h"

/* A result with the memory that it is made of. */
struct pg_answer {
	struct database_result result;
	struct raft_run *runs;
	struct piece *pieces;
	struct raft_place *terms;
	PGresult *rows; /* payloads are in it */
	char text[TEXT_MAX + 1];
};

/* Frees what it holds, not itself. */
void pg_answer_deinit(struct pg_answer *a);

/* Ends the answer with a text, which is tamed and cut. */
void pg_answer_text(struct pg_answer *a, enum database_outcome outcome, const char *text);

/*
 * Fills in `a`, zeroed but for result.number, from what the calls of a request gave back; `rows` are taken, those of
 * TERMS may be NULL for another verb.  False: it is no answer to this; the connection is not to be
 * trusted.  Tables that hold what rmq does not write make FAILED.
 */
bool pg_result_read(
    struct pg_answer *a, const struct pg_request *r, PGresult *rows[PG_CALLS_MAX]);

/*
 * Whether the settings that a query of the server's gave back say that a commit waits for a standby;
 * names and commit are its columns.  Else *why is a constant text.
 */
bool pg_result_waits(const PGresult *rows, int names, int commit, const char **why);

/* A field of a result in text or binary format, as text: "" for NULL, or if there is none. */
const char *pg_result_text(const PGresult *rows, int row, int column);

/*
 * Whether an error of the server says for certain that the statement has had no effect.  Of others, and of
 * those of a connection that ends, it is unknown.
 */
bool pg_result_definite(const char *severity, const char *sqlstate);

#endif
