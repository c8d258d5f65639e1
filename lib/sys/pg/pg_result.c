#include "sys/pg/pg_result.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"

enum type { BYTEA = 17, INT8 = 20, INT2 = 21, TEXT = 25 };

void pg_answer_deinit(struct pg_answer *a)
{
	free(a->runs);
	free(a->pieces);
	free(a->terms);
	PQclear(a->rows);
}

void pg_answer_text(struct pg_answer *a, enum database_outcome outcome, const char *text)
{
	snprintf(a->text, sizeof(a->text), "%s", text);
	text_tame(a->text, strlen(a->text));
	a->result.outcome = outcome;
	a->result.text = a->text;
}

/* ---- fields ---- */

/* False: NULL, another type, or negative. */
static bool number(const PGresult *rows, int row, int column, uint64_t *v)
{
	const uint8_t *p = (const uint8_t *)PQgetvalue(rows, row, column);
	int size = PQgetlength(rows, row, column);

	if (PQgetisnull(rows, row, column) ||
	    !(PQftype(rows, column) == INT8 ? size == 8
					    : PQftype(rows, column) == INT2 && size == 2))
		return false;
	*v = 0;
	for (int i = 0; i < size; i++)
		*v = *v << 8 | p[i];
	return p[0] < 0x80;
}

static bool bytes(const PGresult *rows, int row, int column, struct slice *v)
{
	if (PQgetisnull(rows, row, column) || PQftype(rows, column) != BYTEA)
		return false;
	*v = slice_of(PQgetvalue(rows, row, column), (size_t)PQgetlength(rows, row, column));
	return true;
}

/* No bytes: none. */
static bool id(const PGresult *rows, int row, int column, struct raft_id *v)
{
	struct slice s;

	if (!bytes(rows, row, column, &s) || (s.len != 0 && s.len != sizeof(v->bytes)))
		return false;
	memset(v, 0, sizeof(*v));
	if (s.len > 0)
		memcpy(v->bytes, s.data, s.len);
	return true;
}

const char *pg_result_text(const PGresult *rows, int row, int column)
{
	if (row >= PQntuples(rows) || column >= PQnfields(rows) ||
	    PQgetisnull(rows, row, column))
		return "";
	return PQgetvalue(rows, row, column);
}

bool pg_result_waits(const PGresult *rows, int names, int commit, const char **why)
{
	const char *commits = pg_result_text(rows, 0, commit);
	const char *p = pg_result_text(rows, 0, names);

	*why = "synchronous_standby_names is empty";
	if (p[strspn(p, " \t\r\n")] == '\0')
		return false;
	*why = "synchronous_commit is neither on nor remote_apply";
	return strcmp(commits, "on") == 0 || strcmp(commits, "remote_apply") == 0;
}

/* Of these classes it is not known, or not worth knowing, how far the server came. */
bool pg_result_definite(const char *severity, const char *sqlstate)
{
	static const char *const unknown[] = {"08", "40003", "57", "58", "F0", "XX"};

	if (!severity || strcmp(severity, "ERROR") != 0 || !sqlstate || strlen(sqlstate) != 5)
		return false;
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		if (strncmp(sqlstate, unknown[i], strlen(unknown[i])) == 0)
			return false;
	return true;
}

/* ---- the row ---- */

static bool place(const PGresult *rows, int index, int term, struct raft_place *p)
{
	return number(rows, 0, index, &p->index) && number(rows, 0, term, &p->term) &&
	       (p->index == 0) == (p->term == 0);
}

static bool row_read(const PGresult *rows, struct database_row *row)
{
	row->exists = true;
	return id(rows, 0, PG_COLUMN_CLUSTER, &row->cluster) &&
	       number(rows, 0, PG_COLUMN_TERM, &row->term) &&
	       id(rows, 0, PG_COLUMN_LEADER, &row->leader) &&
	       number(rows, 0, PG_COLUMN_LEASE, &row->lease_left_ms) &&
	       place(rows, PG_COLUMN_LAST_INDEX, PG_COLUMN_LAST_TERM, &row->last) &&
	       number(rows, 0, PG_COLUMN_COMMITTED, &row->commit) &&
	       place(rows, PG_COLUMN_COVER_INDEX, PG_COLUMN_COVER_TERM, &row->cover) &&
	       row->last.term <= row->term;
}

static void failed(struct pg_answer *a, const char *text)
{
	a->result = (struct database_result){.number = a->result.number};
	pg_answer_text(a, DATABASE_FAILED, text);
}

#define FOREIGN "the tables hold what rmq does not write: "

/* ---- READ ---- */

/* The boundaries from that of `from` - 1 on; false: the tables are foreign. */
static bool terms_read(struct pg_answer *a, const struct pg_request *r, const PGresult *rows)
{
	int count = PQntuples(rows);
	struct raft_place *terms = a->terms = memory_new(((size_t)count + 1) * sizeof(*terms));

	for (int i = 0; i < count; i++) {
		struct raft_place *p = &terms[i];
		if (!number(rows, i, 0, &p->index) || !number(rows, i, 1, &p->term) ||
		    p->index == 0 || p->term == 0 ||
		    (i > 0 && (p->index <= p[-1].index || p->term <= p[-1].term)))
			return false;
	}
	a->result.terms = terms;
	a->result.term_count = (unsigned)count;
	return count == 0 || terms[0].index < r->from || r->from <= 1;
}

static bool record_read(
    const PGresult *rows, int i, struct raft_run *run, struct piece *piece, uint64_t from)
{
	uint64_t kind;

	if (!number(rows, i, PG_COLUMN_INDEX, &run->first) ||
	    !number(rows, i, PG_COLUMN_RECORD_TERM, &run->term) ||
	    !number(rows, i, PG_COLUMN_KIND, &kind) ||
	    !bytes(rows, i, PG_COLUMN_PAYLOAD, &piece->bytes) ||
	    piece->bytes.len > RECORD_PAYLOAD_MAX || !record_kind_name((unsigned)kind))
		return false;
	run->count = 1;
	run->bytes = (uint32_t)piece->bytes.len;
	run->kind = (uint8_t)kind;
	return run->first >= from && (i == 0 || run->first > run[-1].first);
}

static bool records_read(
    struct pg_answer *a, const struct pg_request *r, const PGresult *rows, uint64_t *found)
{
	size_t count = (size_t)PQntuples(rows);

	/* One row is there always, with a record or not. */
	if (count == 1 && PQgetisnull(rows, 0, PG_COLUMN_INDEX))
		count = 0;
	a->runs = memory_new((count + 1) * sizeof(*a->runs));
	a->pieces = memory_new((count + 1) * sizeof(*a->pieces));
	for (size_t i = 0; i < count; i++)
		if (!record_read(rows, (int)i, &a->runs[i], &a->pieces[i], r->from))
			return false;
	a->result.runs = a->runs;
	a->result.pieces = a->pieces;
	a->result.run_count = (unsigned)count;
	if (count == 0)
		return true;
	return number(rows, 0, PG_COLUMN_FOUND, found) && *found >= count &&
	       *found <= r->rows && a->runs[count - 1].first <= a->result.row.last.index;
}

/* Boundaries up to the last record, or, if nothing comes after it, to the end of the log. */
static void clip(struct pg_answer *a, const struct pg_request *r, uint64_t found)
{
	struct database_result *d = &a->result;

	d->last = found == d->run_count && found < r->rows;
	uint64_t end = d->last ? d->row.last.index : d->runs[d->run_count - 1].first;
	while (d->term_count > 0 && d->terms[d->term_count - 1].index > end)
		d->term_count--;
}

/* Each record is of the term whose range it is in, as far as the ranges are known. */
static bool terms_agree(const struct pg_answer *a, bool whole)
{
	const struct database_result *d = &a->result;
	unsigned t = 0;

	for (unsigned i = 0; i < d->run_count; i++) {
		while (t + 1 < d->term_count && d->terms[t + 1].index <= d->runs[i].first)
			t++;
		if (!whole && t + 1 >= d->term_count)
			return true;
		if (t >= d->term_count || d->terms[t].index > d->runs[i].first ||
		    d->runs[i].term != d->terms[t].term)
			return false;
	}
	return true;
}

static void log_read(
    struct pg_answer *a, const struct pg_request *r, PGresult *rows[PG_CALLS_MAX])
{
	uint64_t found = 0;

	if (!records_read(a, r, rows[0], &found)) {
		failed(a, FOREIGN "rmq_log");
		return;
	}
	if (!terms_read(a, r, rows[1])) {
		failed(a, FOREIGN "rmq_terms");
		return;
	}
	bool whole = a->result.term_count < DATABASE_TERMS_MAX;
	clip(a, r, found);
	if (!terms_agree(a, whole)) {
		failed(a, FOREIGN "rmq_terms and rmq_log do not agree");
		return;
	}
	a->rows = rows[0];
	rows[0] = NULL;
}

/* ---- all ---- */

/* Whether it has the columns of such an answer, and no more rows than were asked for. */
static bool shape(const struct pg_request *r, PGresult *const rows[PG_CALLS_MAX])
{
	bool reads = r->verb == DATABASE_READ;

	unsigned columns = reads		     ? PG_READ_COLUMNS
			   : r->verb == DATABASE_DIG ? PG_DIG_COLUMNS
						     : PG_COLUMNS;

	if (!rows[0] || PQnfields(rows[0]) != (int)columns ||
	    PQntuples(rows[0]) > (reads && r->rows > 0 ? (int)r->rows : 1))
		return false;
	for (int i = 0; i < PQnfields(rows[0]); i++)
		if (PQfformat(rows[0], i) != 1)
			return false;
	return !reads ||
	       (rows[1] && PQnfields(rows[1]) == 2 && PQfformat(rows[1], 0) == 1 &&
		   PQfformat(rows[1], 1) == 1 && PQntuples(rows[1]) <= DATABASE_TERMS_MAX);
}

bool pg_result_read(
    struct pg_answer *a, const struct pg_request *r, PGresult *rows[PG_CALLS_MAX])
{
	struct database_result *d = &a->result;
	uint64_t done = 0, format = 0, dug = 0;

	if (!shape(r, rows))
		return false;
	d->row_known = true;
	if (PQntuples(rows[0]) == 0) {
		d->outcome = pg_verb_writes(r->verb) ? DATABASE_FENCED : DATABASE_DONE;
		d->last = true;
		return true;
	}
	if (!number(rows[0], 0, PG_COLUMN_DONE, &done) || done > 1)
		return false;
	d->outcome = done ? DATABASE_DONE : DATABASE_FENCED;
	/* What was done is done, whatever it says of the row before it. */
	if (done && (r->verb == DATABASE_APPEND || r->verb == DATABASE_DIG)) {
		d->row_known = false;
		d->last = true;
		if (r->verb == DATABASE_APPEND)
			return true;
		d->last = number(rows[0], 0, PG_COLUMN_DUG, &dug) && dug < r->rows;
		return true;
	}
	if (!number(rows[0], 0, PG_COLUMN_FORMAT, &format) || format != PG_FORMAT)
		failed(a, "the tables are of a format that this version does not know");
	else if (!row_read(rows[0], &d->row))
		failed(a, FOREIGN "rmq_cluster");
	else if (r->verb == DATABASE_READ)
		log_read(a, r, rows);
	/* No answer says that what was written had no effect. */
	return !(done && pg_verb_writes(r->verb) && d->outcome == DATABASE_FAILED);
}
