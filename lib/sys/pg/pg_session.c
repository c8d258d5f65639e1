#include "sys/pg/pg_session.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "sys/pg/pg_received.h"

/* Bytes until the next Sync is answered, all that is under way together: a READ is the most. */
#define ANSWER_BYTES (16u << 20)

struct answer_entry {
	STAILQ_ENTRY(answer_entry) entry;
	struct pg_answer *answer;
};

struct pg_session {
	const struct pg_dsn *dsn;
	unsigned host;
	bool allow_async;
	PGconn *conn;
	enum pg_session_state state;
	bool connected; /* and asked for facts */
	short events;
	uint64_t received; /* bytes, at least, */
	uint64_t answered; /* … of them when the newest whole answer had come */
	struct pg_server server;
	char start[64];
	char why[TEXT_MAX + 1];
	char
	    warning[TEXT_MAX + 1]; /* a commit may not have waited: nothing under way is sure */
	bool prepared[PG_QUERY_COUNT];

	PGresult *facts; /* while it is checked */
	unsigned facts_count;

	struct pg_requests requests; /* sent */
	unsigned request_count;
	/* Of the first of them: */
	PGresult *rows[PG_CALLS_MAX];
	unsigned row_count;
	unsigned step;	/* results of it so far */
	bool separated; /* the last was the NULL that ends a query */
	bool proving;	/* its transaction is over, its proof is awaited */
	bool proven;
	bool made_tables;
	bool erred;
	bool definite;
	char sqlstate[6];
	char error[TEXT_MAX + 1];
	const char *unproven; /* why */

	STAILQ_HEAD(, answer_entry) answers;
};

/* ---- ends ---- */

static void put_answer(struct pg_session *s, struct pg_answer *a)
{
	struct answer_entry *e = memory_new(sizeof(*e));
	e->answer = a;
	STAILQ_INSERT_TAIL(&s->answers, e, entry);
}

static void clear_head(struct pg_session *s)
{
	for (unsigned i = 0; i < PG_CALLS_MAX; i++) {
		PQclear(s->rows[i]);
		s->rows[i] = NULL;
	}
	s->row_count = s->step = 0;
	s->separated = s->proving = s->proven = s->made_tables = s->erred = s->definite = false;
	s->sqlstate[0] = s->error[0] = '\0';
	s->unproven = "the server does not say whether its commits wait for a standby";
}

static void drop_head(struct pg_session *s)
{
	struct pg_request *r = STAILQ_FIRST(&s->requests);

	STAILQ_REMOVE_HEAD(&s->requests, entry);
	s->request_count--;
	pg_request_free(r);
	clear_head(s);
}

void pg_session_end(struct pg_session *s, const char *why)
{
	struct pg_request *r;

	if (s->state == PG_BAD)
		return;
	s->state = PG_BAD;
	snprintf(s->why, sizeof(s->why), "%s", why);
	pg_dsn_scrub(s->dsn, s->why);
	while ((r = STAILQ_FIRST(&s->requests))) {
		struct pg_answer *a = memory_new(sizeof(*a));
		a->result.number = r->number;
		pg_answer_text(a, DATABASE_UNKNOWN, s->why);
		put_answer(s, a);
		drop_head(s);
	}
	PQclear(s->facts);
	s->facts = NULL;
	PQfinish(s->conn);
	s->conn = NULL;
}

/* What libpq says, without its beginning `connection to server at … failed:` and its further lines. */
static void end_by_libpq(struct pg_session *s)
{
	const char *text = PQerrorMessage(s->conn);
	const char *failed = strstr(text, "failed: ");

	if (failed)
		text = failed + 8;
	while (strncmp(text, "FATAL:  ", 8) == 0)
		text += 8;
	/* What the server said before it closed the connection says more than that it did. */
	if (s->error[0])
		text = s->error;
	char line[TEXT_MAX + 1];
	snprintf(line, sizeof(line), "%.*s", (int)strcspn(text, "\n"), text);
	pg_session_end(s, line[0] ? line : "the connection was lost");
}

/* ---- errors and warnings of the server ---- */

static void note_error(struct pg_session *s, const PGresult *res)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

	if (!severity)
		severity = PQresultErrorField(res, PG_DIAG_SEVERITY);
	s->erred = true;
	s->definite = pg_result_definite(severity, state);
	snprintf(s->sqlstate, sizeof(s->sqlstate), "%s", state ? state : "");
	snprintf(s->error, sizeof(s->error), "%.200s (SQLSTATE %s)",
	    text ? text : "the server reports an error", state ? state : "unknown");
	pg_dsn_scrub(s->dsn, s->error);
}

/*
 * A warning may be that a commit's wait for a standby was cancelled, and that the server goes on as if it
 * was done; it has no code of its own, and its text depends on the server's language.  We give no cause for another one.
 * libpq may tell it before the results that came earlier, never later: so it is about anything that is under way.
 */
static void on_notice(void *arg, const PGresult *res)
{
	struct pg_session *s = arg;
	const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

	if (s->state != PG_UP || s->warning[0] ||
	    (severity && strcmp(severity, "WARNING") != 0))
		return;
	snprintf(s->warning, sizeof(s->warning), "the server warns: %.200s", text ? text : "");
}

/* ---- statements ---- */

/* It waits for no standby by itself. */
static bool to_be_proven(const struct pg_session *s, const struct pg_request *r)
{
	return pg_verb_writes(r->verb) && s->server.durability != PG_REPLICATES;
}

static bool send_call(struct pg_session *s, struct pg_call *c)
{
	static const int binary[PG_PARAMETERS_MAX] = {
	    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
	const char *name = pg_query_name(c->query), *text = pg_query_text(c->query);

	/* Used once on a connection, and perhaps before the tables are there. */
	if (c->query == PG_FOUND)
		return PQsendQueryParams(
		    s->conn, text, (int)c->count, NULL, c->values, c->lengths, binary, 1);
	c->prepares = !s->prepared[c->query];
	if (c->prepares && !PQsendPrepare(s->conn, name, text, 0, NULL))
		return false;
	s->prepared[c->query] = true;
	return PQsendQueryPrepared(
	    s->conn, name, (int)c->count, c->values, c->lengths, binary, 1);
}

static bool send_tables(struct pg_session *s)
{
	const char *sql;

	for (unsigned i = 0; (sql = pg_tables(i, s->server.durability != PG_REPLICATES)); i++)
		if (!PQsendQueryParams(s->conn, sql, 0, NULL, NULL, NULL, NULL, 1))
			return false;
	return true;
}

static bool send_all(struct pg_session *s, struct pg_request *r)
{
	if (s->made_tables && !send_tables(s))
		return false;
	for (unsigned i = 0; i < r->call_count; i++)
		if (!send_call(s, &r->calls[i]))
			return false;
	if (!PQpipelineSync(s->conn))
		return false;
	return !to_be_proven(s, r) || (PQsendQueryParams(s->conn, pg_query_text(PG_PROOF), 0,
					   NULL, NULL, NULL, NULL, 0) &&
					  PQpipelineSync(s->conn));
}

void pg_session_send(struct pg_session *s, struct pg_request *r)
{
	STAILQ_INSERT_TAIL(&s->requests, r, entry);
	s->request_count++;
	if (!send_all(s, r) || PQflush(s->conn) < 0)
		end_by_libpq(s);
}

/* ---- their results ---- */

/* A result of the request's own transaction is that of a Prepare: it has not come about if it failed. */
static void unprepare(struct pg_session *s, const struct pg_request *r, bool failed)
{
	unsigned step = 0;

	for (unsigned i = 0; i < r->call_count; i++) {
		if (r->calls[i].prepares && step++ == s->step && failed)
			s->prepared[r->calls[i].query] = false;
		step++;
	}
}

/* One result but NULL and that of a Sync; false: none that may come now. */
static bool take_result(struct pg_session *s, struct pg_request *r, PGresult *res)
{
	ExecStatusType status = PQresultStatus(res);

	if (!s->proving)
		unprepare(
		    s, r, status == PGRES_FATAL_ERROR || status == PGRES_PIPELINE_ABORTED);
	s->step++;
	switch (status) {
	case PGRES_COMMAND_OK:
		return true;
	case PGRES_TUPLES_OK:
		if (s->proving) {
			s->proven = pg_result_waits(res, 0, 1, &s->unproven);
			return true;
		}
		if (s->row_count >= r->call_count)
			return false;
		/* It is kept: the caller does not clear it. */
		s->rows[s->row_count++] = res;
		return true;
	case PGRES_FATAL_ERROR:
		/* After the commit an error proves nothing, and undoes nothing. */
		if (!s->erred && !s->proving)
			note_error(s, res);
		return true;
	case PGRES_PIPELINE_ABORTED:
		return s->erred || s->proving;
	default:
		return false;
	}
}

static bool tables_absent(const struct pg_session *s)
{
	return s->erred && strcmp(s->sqlstate, "42P01") == 0;
}

/* The connection is of no use after this error: to a server that may not be written any more, or through
 * a pooler that gives each transaction another session. */
static const char *error_ends(const struct pg_session *s)
{
	if (strcmp(s->sqlstate, "25006") == 0)
		return "the server takes no writes any more";
	if (strcmp(s->sqlstate, "26000") == 0 || strcmp(s->sqlstate, "42P05") == 0)
		return "a pooler is in between that does not keep sessions";
	return NULL;
}

/* Makes an answer of the first request, of which all has come.  NULL: none can be; *why. */
static struct pg_answer *judge(
    struct pg_session *s, const struct pg_request *r, const char **why)
{
	struct pg_answer *a = memory_new(sizeof(*a));

	a->result.number = r->number;
	if (s->erred && !pg_verb_writes(r->verb) && tables_absent(s)) {
		a->result.outcome = DATABASE_DONE;
		a->result.row_known = a->result.last = true;
		return a;
	}
	if (s->erred && s->definite) {
		pg_answer_text(a, DATABASE_FAILED, s->error);
		return a;
	}
	*why = s->error;
	if (s->erred)
		goto unknown;
	*why = "the server's answer is none to what it was asked";
	if (!pg_result_read(a, r, s->rows))
		goto unknown;
	if (a->result.outcome != DATABASE_DONE || !to_be_proven(s, r) || s->allow_async)
		return a;
	*why = s->unproven;
	if (s->proven && pg_result_waits(s->rows[0], PG_COLUMN_NAMES, PG_COLUMN_COMMIT, why))
		return a;
unknown:
	pg_answer_deinit(a);
	free(a);
	return NULL;
}

/* The Sync that ends the first request's transaction, or its proof. */
static void take_sync(struct pg_session *s)
{
	struct pg_request *r = STAILQ_FIRST(&s->requests);
	const char *why = NULL;

	s->answered = s->received;
	if (s->warning[0]) {
		pg_session_end(s, s->warning);
		return;
	}
	if (!s->proving && to_be_proven(s, r)) {
		s->proving = true;
		return;
	}
	if (r->verb == DATABASE_FOUND && tables_absent(s) && !s->made_tables &&
	    s->request_count == 1) {
		clear_head(s);
		s->made_tables = true;
		if (!send_all(s, r))
			end_by_libpq(s);
		return;
	}
	struct pg_answer *a = judge(s, r, &why);
	if (!a) {
		char copy[TEXT_MAX + 1];
		snprintf(copy, sizeof(copy), "%s", why);
		pg_session_end(s, copy);
		return;
	}
	const char *ends = s->erred ? error_ends(s) : NULL;
	put_answer(s, a);
	drop_head(s);
	if (ends)
		pg_session_end(s, ends);
}

#define STRANGE "the server answers what it was not asked"

/* Results that are whole.  Each query ends with a NULL, a Sync does not. */
static void take_results(struct pg_session *s)
{
	while (s->state == PG_UP && !PQisBusy(s->conn)) {
		struct pg_request *r = STAILQ_FIRST(&s->requests);
		if (!r)
			return;
		PGresult *res = PQgetResult(s->conn);
		if (!res) {
			if (s->separated || PQstatus(s->conn) == CONNECTION_BAD) {
				end_by_libpq(s);
				return;
			}
			s->separated = true;
			continue;
		}
		s->separated = false;
		if (PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
			PQclear(res);
			take_sync(s);
			continue;
		}
		unsigned kept = s->row_count;
		bool may = take_result(s, r, res);
		if (s->row_count == kept)
			PQclear(res);
		if (!may)
			pg_session_end(s, STRANGE);
	}
}

/* ---- the beginning ---- */

static void version_text(struct pg_session *s, const char *version)
{
	/* "PostgreSQL 15.4 (Debian …) on …, compiled by …" */
	snprintf(s->server.version, sizeof(s->server.version), "%.*s",
	    (int)strcspn(version, "(,"), version);
	size_t len = strcspn(s->server.version, "\n");
	const char *on = strstr(s->server.version, " on ");
	if (on)
		len = (size_t)(on - s->server.version);
	while (len > 0 && s->server.version[len - 1] == ' ')
		len--;
	s->server.version[len] = '\0';
	text_tame(s->server.version, len);
}

static bool is_cockroach(PGconn *conn)
{
	return PQparameterStatus(conn, "crdb_version") != NULL;
}

static const char *why_async(const PGresult *facts)
{
	const char *why;

	if (!pg_result_waits(facts, 1, 2, &why))
		return why;
	if (strcmp(pg_result_text(facts, 0, 3), "on") != 0)
		return "fsync is off";
	if (strcmp(pg_result_text(facts, 0, 4), "0") == 0)
		return "max_wal_senders is 0";
	return NULL;
}

/* All facts are there. */
static void check(struct pg_session *s)
{
	const char *version = pg_result_text(s->facts, 0, 0);
	const char *why = why_async(s->facts);
	char text[TEXT_MAX + 1];

	version_text(s, version);
	if (is_cockroach(s->conn) || strstr(version, "-YB-")) {
		s->server.durability = PG_REPLICATES;
	} else {
		s->server.durability = why ? PG_ASYNC : PG_STANDBYS;
		snprintf(s->server.standbys, sizeof(s->server.standbys), "%s",
		    pg_result_text(s->facts, 0, 1));
		text_tame(s->server.standbys, strlen(s->server.standbys));
		snprintf(
		    s->server.why_async, sizeof(s->server.why_async), "%s", why ? why : "");
	}
	PQclear(s->facts);
	s->facts = NULL;
	if (s->server.durability == PG_ASYNC && !s->allow_async) {
		snprintf(text, sizeof(text),
		    "%s: commits wait for no standby (see --allow-async)", why);
		pg_session_end(s, text);
	} else if (!PQenterPipelineMode(s->conn)) {
		end_by_libpq(s);
	} else {
		s->state = PG_UP;
	}
}

/* Results: of the settings, the facts, the server's start; of another server the facts only. */
static void take_facts(struct pg_session *s)
{
	bool only = is_cockroach(s->conn);

	while (s->state == PG_CONNECTS && !PQisBusy(s->conn)) {
		PGresult *res = PQgetResult(s->conn);
		if (!res) {
			if (s->facts && s->facts_count == (only ? 1u : 3u))
				check(s);
			else
				end_by_libpq(s);
			return;
		}
		if (PQresultStatus(res) != PGRES_TUPLES_OK) {
			note_error(s, res);
			PQclear(res);
			pg_session_end(s, s->error);
			return;
		}
		s->facts_count++;
		s->answered = s->received;
		if (s->facts_count == (only ? 1 : 2) && !s->facts) {
			s->facts = res;
			continue;
		}
		if (s->facts_count == 3)
			snprintf(s->start, sizeof(s->start), "%s", pg_result_text(res, 0, 0));
		PQclear(res);
	}
}

static void connected(struct pg_session *s)
{
	struct text sql = {0};

	s->connected = true;
	if (!is_cockroach(s->conn)) {
		text_put_str(&sql, PG_SETTINGS);
		text_put_str(&sql, "; ");
	}
	text_put_str(&sql, PG_FACTS);
	if (!is_cockroach(s->conn)) {
		text_put_str(&sql, "; ");
		text_put_str(&sql, PG_START);
	}
	text_put(&sql, "", 1);
	if (sql.failed)
		abort();
	if (PQsetnonblocking(s->conn, 1) != 0 || !PQsendQuery(s->conn, sql.data) ||
	    PQflush(s->conn) < 0)
		end_by_libpq(s);
	text_deinit(&sql);
}

static void connect_on(struct pg_session *s)
{
	switch (PQconnectPoll(s->conn)) {
	case PGRES_POLLING_READING:
		s->events = POLLIN;
		break;
	case PGRES_POLLING_WRITING:
		s->events = POLLOUT;
		break;
	case PGRES_POLLING_OK:
		connected(s);
		break;
	default:
		end_by_libpq(s);
		break;
	}
}

struct pg_session *pg_session_open(
    const struct pg_dsn *d, unsigned host, const char *addresses, bool allow_async)
{
	struct pg_session *s = memory_new(sizeof(*s));

	s->dsn = d;
	s->host = host;
	s->allow_async = allow_async;
	s->events = POLLOUT;
	STAILQ_INIT(&s->requests);
	STAILQ_INIT(&s->answers);
	clear_head(s);
	pg_dsn_address(d, host, s->server.address, sizeof(s->server.address));
	s->conn = pg_dsn_connect(d, host, addresses);
	if (!s->conn)
		abort();
	PQsetNoticeReceiver(s->conn, on_notice, s);
	if (PQstatus(s->conn) == CONNECTION_BAD)
		end_by_libpq(s);
	return s;
}

/* ---- both ---- */

int pg_session_fd(const struct pg_session *s, short *events)
{
	*events = 0;
	if (s->state == PG_BAD)
		return -1;
	*events = s->connected ? POLLIN : s->events;
	/* Nothing is sent by it: it only tells whether something is left. */
	if (s->connected && PQflush(s->conn) > 0)
		*events |= POLLOUT;
	return PQsocket(s->conn);
}

/* Also before it has said that we may use it: it has them kept as well. */
enum pg_session_state pg_session_turn(struct pg_session *s)
{
	if (s->state == PG_BAD)
		return s->state;
	s->received = pg_received(PQsocket(s->conn), s->received);
	if (s->received - s->answered > ANSWER_BYTES) {
		pg_session_end(s, "the server sends more than it was asked for");
		return s->state;
	}
	if (!s->connected) {
		connect_on(s);
		return s->state;
	}
	if (!PQconsumeInput(s->conn) || PQflush(s->conn) < 0) {
		end_by_libpq(s);
		return s->state;
	}
	if (s->state == PG_CONNECTS)
		take_facts(s);
	if (s->state == PG_UP)
		take_results(s);
	if (s->warning[0])
		pg_session_end(s, s->warning);
	return s->state;
}

enum pg_session_state pg_session_state(const struct pg_session *s)
{
	return s->state;
}

const struct pg_server *pg_session_server(const struct pg_session *s)
{
	return &s->server;
}

const char *pg_session_start(const struct pg_session *s)
{
	return s->start;
}

const char *pg_session_why(const struct pg_session *s)
{
	return s->why;
}

unsigned pg_session_waiting(const struct pg_session *s)
{
	return s->request_count;
}

struct pg_answer *pg_session_answer(struct pg_session *s)
{
	struct answer_entry *e = STAILQ_FIRST(&s->answers);

	if (!e)
		return NULL;
	STAILQ_REMOVE_HEAD(&s->answers, entry);
	struct pg_answer *a = e->answer;
	free(e);
	return a;
}

void pg_session_free(struct pg_session *s)
{
	struct pg_answer *a;

	if (!s)
		return;
	pg_session_end(s, "closed");
	while ((a = pg_session_answer(s))) {
		pg_answer_deinit(a);
		free(a);
	}
	free(s);
}
