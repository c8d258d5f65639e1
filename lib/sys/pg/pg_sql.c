#include "sys/pg/pg_sql.h"

#include <assert.h>
#include <stdlib.h>

#include "core/base/memory.h"

/* As a number that can be in a text. */
#define PG_PAYLOAD_MAX 147408

/* ---- texts ---- */

#define NAMES  "current_setting('synchronous_standby_names', true)"
#define COMMIT "current_setting('synchronous_commit', true)"

/* A lease without an end, or that ended long ago, is no number. */
#define LEASE_LEFT \
	"(CASE WHEN lease_until > clock_timestamp() THEN extract(epoch FROM " \
	"least(lease_until, clock_timestamp() + interval '1 day') - clock_timestamp()) * 1000 " \
	"ELSE 0 END)::int8"

#define ROW \
	NAMES ", " COMMIT ", format, cluster, term, leader, " LEASE_LEFT \
	      ", last_index, last_term, committed, cover_index, cover_term "

/* After WITH took AS (… RETURNING *): the row as it is now, or as it was found. */
#define ROW_OF_TAKEN \
	"SELECT 1::int8, " ROW "FROM took UNION ALL " \
	"SELECT 0::int8, " ROW \
	"FROM rmq_cluster WHERE id = 1 AND NOT EXISTS (SELECT 1 FROM took)"

/* After WITH fence AS (…): as it was before. */
#define ROW_OF_FENCED \
	"SELECT (SELECT count(*) FROM fence)::int8, " ROW "FROM rmq_cluster WHERE id = 1"

/* Only the leader of this term, $1 to $3, and what it tells with each: $4 to $7. */
#define TOLD \
	"committed = greatest(committed, $4::int8), " \
	"cover_term = CASE WHEN cover_index < $5::int8 THEN $6::int8 ELSE cover_term END, " \
	"cover_index = greatest(cover_index, $5::int8), " \
	"lease_until = clock_timestamp() + $7::int8 * interval '1 millisecond' "
#define LEADS \
	"WHERE id = 1 AND format = 1 AND cluster = $1::bytea AND leader = $2::bytea AND " \
	"term = $3::int8 "
/* APPEND and BEAT: what comes before, $8 and $9. */
#define PLACE "AND last_index = $8::int8 AND last_term = $9::int8 "

#define TEXT_OF_(x) #x
#define TEXT_OF(x)  TEXT_OF_(x)
#define PAYLOAD_MAX TEXT_OF(PG_PAYLOAD_MAX)
static_assert(PG_PAYLOAD_MAX == RECORD_PAYLOAD_MAX, "the largest payload");

static const char *const texts[PG_QUERY_COUNT] = {
    [PG_LOOK] = "SELECT 1::int8, " ROW "FROM rmq_cluster WHERE id = 1",

    [PG_TAKE] =
	"WITH took AS (UPDATE rmq_cluster SET leader = $2::bytea, term = $3::int8, "
	"committed = greatest(committed, $6::int8), "
	"lease_until = clock_timestamp() + $7::int8 * interval '1 millisecond' "
	"WHERE id = 1 AND format = 1 AND cluster = $1::bytea AND term < $3::int8 AND "
	"committed <= $4::int8 AND "
	"(last_term < $5::int8 OR (last_term = $5::int8 AND last_index <= $4::int8)) AND "
	"($8::int8 = 0 OR lease_until <= clock_timestamp()) "
	"RETURNING *) " ROW_OF_TAKEN,

    [PG_BEAT] = "WITH fence AS (UPDATE rmq_cluster SET " TOLD LEADS PLACE
		"RETURNING id) " ROW_OF_FENCED,

    [PG_APPEND] =
	"WITH fence AS (UPDATE rmq_cluster SET last_index = $10::int8, last_term = $11::int8, " TOLD
	    LEADS PLACE "RETURNING id), "
	"put AS (INSERT INTO rmq_log (\"index\", term, kind, payload) SELECT r.i, r.t, r.k, r.p "
	"FROM fence, unnest($12::int8[], $13::int8[], $14::int2[], $15::bytea[]) AS r (i, t, k, p) "
	"RETURNING 1), "
	"began AS (INSERT INTO rmq_terms (first_index, term) SELECT b.i, b.t "
	"FROM fence, unnest($16::int8[], $17::int8[]) AS b (i, t) RETURNING 1) " ROW_OF_FENCED,

    [PG_DIG] =
	"WITH fence AS (UPDATE rmq_cluster SET " TOLD LEADS "RETURNING id), "
	"found AS (SELECT l.\"index\" AS i FROM fence, "
	"unnest($8::int8[], $9::int8[]) AS d (a, b) JOIN rmq_log AS l "
	"ON l.\"index\" >= d.a AND l.\"index\" <= d.b WHERE l.kind <> 6 LIMIT $10::int8), "
	"dug AS (DELETE FROM rmq_log WHERE \"index\" = ANY (ARRAY(SELECT i FROM found)) RETURNING 1) "
	"SELECT (SELECT count(*) FROM fence)::int8, " ROW
	", (SELECT count(*) FROM found)::int8 FROM rmq_cluster WHERE id = 1",

    /* octet_length() does not read what it measures.  A payload that none of ours is as long as is not sent. */
    [PG_READ] =
	"SELECT 1::int8, " ROW ", l.i, l.t, l.k, "
	"CASE WHEN octet_length(l.p) <= " PAYLOAD_MAX
	" THEN l.p END, l.n FROM rmq_cluster LEFT JOIN "
	"(SELECT i, t, k, p, n FROM (SELECT f.i, f.t, f.k, f.p, count(*) OVER () AS n, "
	"sum(octet_length(f.p)) OVER (ORDER BY f.i) AS s FROM "
	"(SELECT \"index\" AS i, term AS t, kind AS k, payload AS p FROM rmq_log "
	"WHERE \"index\" >= $1::int8 ORDER BY \"index\" LIMIT $2::int8) AS f) AS m "
	"WHERE s <= $3::int8 OR s = octet_length(p)) AS l ON true WHERE id = 1 ORDER BY l.i",

    [PG_TERMS] = "SELECT first_index, term FROM rmq_terms WHERE first_index >= coalesce("
		 "(SELECT max(first_index) FROM rmq_terms WHERE first_index <= $1::int8), 0) "
		 "ORDER BY first_index LIMIT $2::int8",

    [PG_FOUND] =
	"WITH took AS (INSERT INTO rmq_cluster (id, format, cluster, term, leader, lease_until, "
	"last_index, last_term, committed, cover_index, cover_term) "
	"VALUES (1, 1, $1::bytea, 0, ''::bytea, clock_timestamp(), 0, 0, 0, 0, 0) "
	"ON CONFLICT (id) DO UPDATE SET cluster = excluded.cluster WHERE rmq_cluster.format = 1 "
	"AND (rmq_cluster.cluster = excluded.cluster OR "
	"(rmq_cluster.term = 0 AND rmq_cluster.last_index = 0)) RETURNING *) " ROW_OF_TAKEN,

    [PG_PROOF] = "SELECT " NAMES ", " COMMIT,
};

/*
 * Timeouts of the server are off: waits are ours to end, and one that the server ends would be unknown.  It looks
 * whether we are still there, so that nobody waits for a lock on behalf of a connection that was cut.
 * Generic plans read the log by its index, whatever the parameters and statistics.
 */
const char PG_SETTINGS[] =
    "SELECT set_config(s.name, v.setting, false) FROM (VALUES "
    "('client_min_messages', 'warning'), ('statement_timeout', '0'), ('lock_timeout', '0'), "
    "('transaction_timeout', '0'), ('idle_in_transaction_session_timeout', '0'), "
    "('idle_session_timeout', '0'), ('default_transaction_isolation', 'read committed'), "
    "('client_connection_check_interval', '1000'), ('plan_cache_mode', 'force_generic_plan'), "
    "('enable_seqscan', 'off'), ('jit', 'off'), ('synchronous_commit', 'on')) AS v (name, setting) "
    "JOIN pg_settings AS s ON s.name = v.name "
    "WHERE NOT (s.name = 'synchronous_commit' AND s.setting IN ('on', 'remote_apply')) "
    "AND (s.name <> 'client_connection_check_interval' OR version() LIKE '%linux%')";

const char PG_FACTS[] =
    "SELECT version(), " NAMES ", " COMMIT
    ", current_setting('fsync', true), current_setting('max_wal_senders', true)";

const char PG_START[] = "SELECT pg_postmaster_start_time()::text";

/*
 * Payloads are not worth compressing twice, and the server would do it with each.  The row of rmq_cluster changes with every
 * statement: there is place for many versions of it in its page, which then need no vacuum.  The log
 * is a queue: it is vacuumed by what has died, not by its size.
 */
static const struct {
	bool postgres;
	const char *sql;
} tables[] = {
    {false,
	"CREATE TABLE IF NOT EXISTS rmq_cluster (id int8 PRIMARY KEY, format int8 NOT NULL, "
	"cluster bytea NOT NULL, term int8 NOT NULL, leader bytea NOT NULL, "
	"lease_until timestamptz NOT NULL, last_index int8 NOT NULL, last_term int8 NOT NULL, "
	"committed int8 NOT NULL, cover_index int8 NOT NULL, cover_term int8 NOT NULL)"},
    {false,
	"CREATE TABLE IF NOT EXISTS rmq_log (\"index\" int8 PRIMARY KEY, term int8 NOT NULL, "
	"kind int2 NOT NULL, payload bytea NOT NULL)"},
    {false, "CREATE TABLE IF NOT EXISTS rmq_terms (first_index int8 PRIMARY KEY, "
	    "term int8 NOT NULL)"},
    {true, "ALTER TABLE rmq_cluster SET (fillfactor = 10, autovacuum_vacuum_threshold = 1000, "
	   "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0)"},
    {true, "ALTER TABLE rmq_log ALTER COLUMN payload SET STORAGE EXTERNAL"},
    {true,
	"ALTER TABLE rmq_log SET (autovacuum_vacuum_threshold = 1000, "
	"autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000, "
	"autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_cost_delay = 0, "
	"toast.autovacuum_vacuum_threshold = 30000, toast.autovacuum_vacuum_scale_factor = 0, "
	"toast.autovacuum_vacuum_cost_delay = 0)"},
};

const char *pg_tables(unsigned i, bool postgres)
{
	for (unsigned at = 0; at < sizeof(tables) / sizeof(tables[0]); at++)
		if ((postgres || !tables[at].postgres) && i-- == 0)
			return tables[at].sql;
	return NULL;
}

const char *pg_query_text(enum pg_query q)
{
	return texts[q];
}

const char *pg_query_name(enum pg_query q)
{
	static const char *const names[] = {
#define X(name) "rmq_" #name,
	    PG_QUERIES(X)
#undef X
	};
	return names[q];
}

bool pg_verb_writes(enum database_verb verb)
{
	return verb != DATABASE_LOOK && verb != DATABASE_READ;
}

/* ---- parameters: big-endian ---- */

enum type { BYTEA = 17, INT8 = 20, INT2 = 21 };

/* While it is encoded; where a parameter begins is known at last. */
struct encoder {
	struct pg_request *r;
	struct pg_call *call;
	size_t at[PG_CALLS_MAX][PG_PARAMETERS_MAX];
	bool large; /* a number is larger than those of the server */
};

static void put(struct encoder *e, uint64_t v, unsigned size)
{
	char *p = text_reserve(&e->r->bytes, size);

	if (!p)
		abort();
	e->r->bytes.len += size;
	while (size-- > 0) {
		p[size] = (char)v;
		v >>= 8;
	}
}

static void put_number(struct encoder *e, uint64_t v)
{
	e->large |= v > INT64_MAX;
	put(e, v, 8);
}

static void call_begin(struct encoder *e, enum pg_query q)
{
	e->call = &e->r->calls[e->r->call_count++];
	e->call->query = q;
}

static void param_begin(struct encoder *e)
{
	e->at[e->r->call_count - 1][e->call->count] = e->r->bytes.len;
}

static void param_end(struct encoder *e)
{
	unsigned i = e->call->count++;
	e->call->lengths[i] = (int)(e->r->bytes.len - e->at[e->r->call_count - 1][i]);
}

static void param_number(struct encoder *e, uint64_t v)
{
	param_begin(e);
	put_number(e, v);
	param_end(e);
}

static void param_place(struct encoder *e, struct raft_place p)
{
	param_number(e, p.index);
	param_number(e, p.term);
}

static void param_id(struct encoder *e, struct raft_id id)
{
	param_begin(e);
	text_put(&e->r->bytes, id.bytes, sizeof(id.bytes));
	param_end(e);
}

static void array_begin(struct encoder *e, enum type type, unsigned count)
{
	param_begin(e);
	put(e, count > 0, 4); /* dimensions */
	put(e, 0, 4);	      /* no NULLs */
	put(e, type, 4);
	if (count > 0) {
		put(e, count, 4);
		put(e, 1, 4); /* of the first */
	}
}

static void array_number(struct encoder *e, uint64_t v)
{
	put(e, 8, 4);
	put_number(e, v);
}

/* ---- statements ---- */

static void leads(struct encoder *e, const struct database_statement *s)
{
	param_id(e, s->cluster);
	param_id(e, s->node);
	param_number(e, s->term);
	param_number(e, s->commit);
	param_place(e, s->cover);
	param_number(e, s->lease_ms);
}

/* Records only: what is absent is a hole. */
static void records(struct encoder *e, const struct database_statement *s, unsigned count)
{
	const struct raft_run *run;

	array_begin(e, INT8, count);
	for (run = s->runs; run < s->runs + s->run_count; run++)
		if (run->kind != RAFT_HOLE)
			array_number(e, run->first);
	param_end(e);
	array_begin(e, INT8, count);
	for (run = s->runs; run < s->runs + s->run_count; run++)
		if (run->kind != RAFT_HOLE)
			array_number(e, run->term);
	param_end(e);
	array_begin(e, INT2, count);
	for (run = s->runs; run < s->runs + s->run_count; run++) {
		if (run->kind == RAFT_HOLE)
			continue;
		put(e, 2, 4);
		put(e, run->kind, 2);
	}
	param_end(e);
	array_begin(e, BYTEA, count);
	for (unsigned i = 0; i < s->run_count; i++) {
		if (s->runs[i].kind == RAFT_HOLE)
			continue;
		put(e, s->pieces[i].bytes.len, 4);
		text_put_slice(&e->r->bytes, s->pieces[i].bytes);
	}
	param_end(e);
}

static void append(struct encoder *e, const struct database_statement *s)
{
	size_t size = 0;
	unsigned count = 0;

	for (unsigned i = 0; i < s->run_count; i++) {
		if (s->runs[i].kind == RAFT_HOLE)
			continue;
		size += 64 + s->pieces[i].bytes.len;
		count++;
	}
	if (!text_reserve(&e->r->bytes, size + 4096))
		abort();
	call_begin(e, s->run_count > 0 ? PG_APPEND : PG_BEAT);
	leads(e, s);
	param_place(e, s->place);
	if (s->run_count == 0)
		return;
	param_place(e, s->last);
	records(e, s, count);
	array_begin(e, INT8, s->term_count);
	for (unsigned i = 0; i < s->term_count; i++)
		array_number(e, s->terms[i].index);
	param_end(e);
	array_begin(e, INT8, s->term_count);
	for (unsigned i = 0; i < s->term_count; i++)
		array_number(e, s->terms[i].term);
	param_end(e);
}

static void dig(struct encoder *e, const struct database_statement *s)
{
	call_begin(e, PG_DIG);
	leads(e, s);
	array_begin(e, INT8, s->range_count);
	for (unsigned i = 0; i < s->range_count; i++)
		array_number(e, s->ranges[i].first);
	param_end(e);
	array_begin(e, INT8, s->range_count);
	for (unsigned i = 0; i < s->range_count; i++)
		array_number(e, s->ranges[i].first + s->ranges[i].count - 1);
	param_end(e);
	e->r->rows = s->rows > 0 ? s->rows : UINT32_MAX;
	param_number(e, e->r->rows);
}

static void take(struct encoder *e, const struct database_statement *s)
{
	call_begin(e, PG_TAKE);
	param_id(e, s->cluster);
	param_id(e, s->node);
	param_number(e, s->term);
	param_place(e, s->place);
	param_number(e, s->commit);
	param_number(e, s->lease_ms);
	param_number(e, s->vacant);
}

static void read_log(struct encoder *e, const struct database_statement *s)
{
	e->r->from = s->from;
	e->r->rows = s->rows < DATABASE_READ_ROWS ? s->rows + !s->rows : DATABASE_READ_ROWS;
	call_begin(e, PG_READ);
	param_number(e, s->from);
	param_number(e, e->r->rows);
	param_number(e, s->bytes < DATABASE_READ_BYTES ? s->bytes : DATABASE_READ_BYTES);
	call_begin(e, PG_TERMS);
	param_number(e, s->from - 1);
	param_number(e, DATABASE_TERMS_MAX);
}

/* Values point into the bytes, which do not move any more. */
static void seal(struct encoder *e)
{
	struct pg_request *r = e->r;

	for (unsigned c = 0; c < r->call_count; c++)
		for (unsigned i = 0; i < r->calls[c].count; i++)
			r->calls[c].values[i] = r->bytes.data + e->at[c][i];
}

struct pg_request *pg_request_new(const struct database_statement *s)
{
	struct pg_request *r = memory_new(sizeof(*r));
	struct encoder e = {.r = r};

	r->number = s->number;
	r->verb = s->verb;
	switch (s->verb) {
	case DATABASE_FOUND:
		call_begin(&e, PG_FOUND);
		param_id(&e, s->cluster);
		break;
	case DATABASE_LOOK:
		call_begin(&e, PG_LOOK);
		break;
	case DATABASE_TAKE:
		take(&e, s);
		break;
	case DATABASE_APPEND:
		append(&e, s);
		break;
	case DATABASE_DIG:
		dig(&e, s);
		break;
	case DATABASE_READ:
		read_log(&e, s);
		break;
	}
	if (r->bytes.failed)
		abort();
	if (e.large)
		r->bad = "a number is larger than the database can hold";
	seal(&e);
	return r;
}

void pg_request_free(struct pg_request *r)
{
	if (!r)
		return;
	text_deinit(&r->bytes);
	free(r);
}
