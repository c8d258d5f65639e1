#include "columns.h"

#include <stdio.h>
#include <sodium/utils.h>

#include "core/host/roles.h"
#include "core/host/tell.h"
#include "core/link/key.h"

/*	NAME, column, and how its value is put */
#define NODE_COLUMNS(X) \
	X(NAME, "name", TEXT, v->name) \
	X(ROLE, "role", TEXT, control_role_text(v->role)) \
	X(LEADER, "leader", TEXT, v->leader) \
	X(AVAILABLE, "available", YES, v->flags &CONTROL_AVAILABLE) \
	X(SERVING, "serving", YES, v->flags &CONTROL_SERVING) \
	X(QUEUE_SOCKET, "queue-socket", TEXT, v->queue_socket) \
	X(MEMBERS, "members", NUMBER, v->count) \
	X(VOTERS, "voters", NUMBER, count_of(v, is_voter)) \
	X(UP, "up", NUMBER, voters_up(v)) \
	X(TERM, "term", NUMBER, v->term) \
	X(COMMIT, "commit", NUMBER, v->commit) \
	X(LAST, "last", NUMBER, v->last) \
	X(PROBLEM, "problem", TEXT, v->problem) \
	X(CLUSTER, "cluster", ID, v->cluster) \
	X(ID, "id", ID, v->id) \
	X(KEY, "key", KEY, v->key) \
	X(CAUGHT_UP, "caught-up", YES, v->flags &CONTROL_CAUGHT_UP) \
	X(GATE_STATE, "gate-state", TEXT, control_gate_text(CONTROL_STATE_GATE_OF(v->flags))) \
	X(CONFIG_INDEX, "config-index", NUMBER, v->config_index) \
	X(LEVEL, "level", NUMBER, v->level) \
	X(ENGINE, "engine", TEXT, engine_of(v)) \
	X(DATABASE, "database", TEXT, v->database) \
	X(DATABASE_STATE, "database-state", TEXT, v->database_state) \
	X(SYNCHRONOUS, "synchronous", TEXT, control_synchronous_text(v->synchronous))

#define MEMBER_COLUMNS(X) \
	X(NAME, "name", TEXT, m->name) \
	X(ROLE, "role", TEXT, member_role(m)) \
	X(UP, "up", YES, is_up(m)) \
	X(BEHIND, "behind", BEHIND, m) \
	X(ADDRESS, "address", TEXT, m->address) \
	X(GATE, "gate", TEXT, m->gate) \
	X(VOTER, "voter", YES, is_voter(m)) \
	X(BROKER, "broker", YES, m->raft_flags &RAFT_BROKER) \
	X(MATCH, "match", MATCH, m) \
	X(ID, "id", ID, m->id) \
	X(KEY, "key", KEY, m->key) \
	X(GATE_STATE, "gate-state", TEXT, control_gate_text(CONTROL_MEMBER_GATE_OF(m->flags))) \
	X(STATE, "state", TEXT, control_member_state_text(m->state)) \
	X(SUSPECTED, "suspected", YES, m->suspected & 1) \
	X(UNREACHABLE, "unreachable", YES, m->suspected & 2) \
	X(PHI, "phi", WATCHED, m->phi, 1) \
	X(SUSPECT_AFTER, "suspect-after", WATCHED, m->suspect_after, 1) \
	X(MEAN, "mean", WATCHED, m->beat_mean, 1000) \
	X(DEVIATION, "deviation", WATCHED, m->beat_spread, 1000) \
	X(SILENCE, "silence", WATCHED, m->silence, 1) \
	X(LOAD, "load", LOAD, m->load) \
	X(MEMORY, "memory", KNOWN, m->memory, METRIC_MEMORY) \
	X(ROOM, "disk-free", KNOWN, m->disk_free, METRIC_DISK_FREE) \
	X(JOURNAL_SIZE, "journal-size", KNOWN, m->journal_size, METRIC_JOURNAL_SIZE) \
	X(LAG, "lag", KNOWN, m->lag, METRIC_LAG) \
	X(STORE_TIME, "store-time", STORED, m, (uint32_t)m->latency) \
	X(STORE_TIME_P99, "store-time-p99", STORED, m, m->latency >> 32) \
	X(UPTIME, "uptime", UPTIME, m->uptime) \
	X(ROUND_TRIP, "round-trip", SECONDS, m->round_trip, m->round_trip > 0) \
	X(ROLES, "roles", ROLES, m) \
	X(VERSION, "version", TEXT, m->version)

#define REASON_COLUMNS(X) \
	X(REASON, "reason", TEXT, control_reason_text(r->reason)) \
	X(TEXT, "text", TEXT, r->text)

static bool is_voter(const struct control_view_member *m)
{
	return m->raft_flags & RAFT_VOTER;
}

static bool is_up(const struct control_view_member *m)
{
	return m->flags & CONTROL_MEMBER_REACHABLE;
}

static bool is_voter_up(const struct control_view_member *m)
{
	return is_voter(m) && is_up(m);
}

static unsigned count_of(
    const struct control_view *v, bool (*is)(const struct control_view_member *m))
{
	unsigned n = 0;
	for (unsigned i = 0; i < v->count; i++)
		n += is(&v->members[i]);
	return n;
}

unsigned voters_up(const struct control_view *v)
{
	return count_of(v, is_voter_up);
}

static const char *engine_of(const struct control_view *v)
{
	return v->engine[0] ? v->engine : raft_engine_text(RAFT_ENGINE_BUILT_IN);
}

static const char *member_role(const struct control_view_member *m)
{
	if (raft_id_none(m->id))
		return "admitted";
	if (m->flags & CONTROL_MEMBER_LEADER)
		return "leader";
	return is_voter(m) ? "voter" : "learner";
}

static enum table_kind put_TEXT(struct text *out, const char *text)
{
	text_put_str(out, text);
	return TABLE_TEXT;
}

static enum table_kind put_NUMBER(struct text *out, uint64_t n)
{
	text_put_u64(out, n);
	return TABLE_NUMBER;
}

static enum table_kind put_YES(struct text *out, bool yes)
{
	text_put_str(out, yes ? "yes" : "no");
	return TABLE_YES;
}

static enum table_kind put_ID(struct text *out, struct raft_id id)
{
	char text[2 * RAFT_ID_SIZE + 1];
	if (!raft_id_none(id))
		text_put_str(out, sodium_bin2hex(text, sizeof(text), id.bytes, RAFT_ID_SIZE));
	return TABLE_TEXT;
}

static enum table_kind put_KEY(struct text *out, const uint8_t key[KEY_SIZE])
{
	char text[KEY_TEXT_SIZE];
	key_print(key, text);
	text_put_str(out, text);
	return TABLE_TEXT;
}

/*
 * Records of the leader's log that it does not have; only the leader knows, of who joined.  What
 * one that is not up has is not known.
 */
static enum table_kind put_behind(
    struct text *out, const struct control_view *v, const struct control_view_member *m)
{
	if (v->role == CONTROL_ROLE_LEADER && (m->flags & CONTROL_MEMBER_SELF))
		text_put_u64(out, 0);
	else if (v->role == CONTROL_ROLE_LEADER && !raft_id_none(m->id) && is_up(m))
		text_put_u64(out, v->last > m->match ? v->last - m->match : 0);
	return TABLE_NUMBER;
}

static enum table_kind put_match(
    struct text *out, const struct control_view *v, const struct control_view_member *m)
{
	if (v->role == CONTROL_ROLE_LEADER && !raft_id_none(m->id))
		text_put_u64(out, m->match);
	return TABLE_NUMBER;
}

/* A number of thousandths. */
static enum table_kind put_thousandths(struct text *out, uint64_t n, bool known)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu.%03u", (unsigned long long)(n / 1000),
	    (unsigned)(n % 1000));
	if (known)
		text_put_str(out, text);
	return TABLE_NUMBER;
}

static bool is_known(const struct control_view_member *m, enum metric metric)
{
	return m->known >> metric & 1;
}

static enum table_kind put_known(
    struct text *out, const struct control_view_member *m, uint64_t n, enum metric metric)
{
	if (is_known(m, metric))
		text_put_u64(out, n);
	return TABLE_NUMBER;
}

static enum table_kind put_SECONDS(struct text *out, uint64_t us, bool known)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu.%06u", (unsigned long long)(us / 1000000),
	    (unsigned)(us % 1000000));
	if (known)
		text_put_str(out, text);
	return TABLE_NUMBER;
}

#define put_STORED(out, m, us)	   put_SECONDS(out, us, is_known(m, METRIC_LATENCY))
#define put_WATCHED(out, n, parts) put_thousandths(out, (n) / (parts), m->suspect_after > 0)
#define put_LOAD(out, n)	   put_thousandths(out, 10 * (n), is_known(m, METRIC_LOAD))
#define put_UPTIME(out, n)	   put_thousandths(out, n, is_known(m, METRIC_UPTIME))
#define put_KNOWN(out, n, metric)  put_known(out, m, n, metric)
#define put_BEHIND(out, m)	   put_behind(out, v, m)
#define put_MATCH(out, m)	   put_match(out, v, m)

static enum table_kind put_ROLES(struct text *out, const struct control_view_member *m)
{
	char text[ROLES_TEXT_MAX + 1];
	roles_text(m->raft_flags, m->roles, text);
	text_put_str(out, text);
	return TABLE_NAMES;
}

enum node_column {
#define X(NAME, name, kind, value) NODE_##NAME,
	NODE_COLUMNS(X)
#undef X
	    NODE_COUNT
};

enum member_column {
#define X(NAME, name, kind, ...) MEMBER_##NAME,
	MEMBER_COLUMNS(X)
#undef X
	    MEMBER_COUNT
};

enum reason_column {
#define X(NAME, name, kind, value) REASON_##NAME,
	REASON_COLUMNS(X)
#undef X
	    REASON_COUNT
};

static const char *node_name(unsigned column)
{
	static const char *const names[] = {
#define X(NAME, name, kind, value) name,
	    NODE_COLUMNS(X)
#undef X
	};
	return names[column];
}

static const char *member_name(unsigned column)
{
	static const char *const names[] = {
#define X(NAME, name, kind, ...) name,
	    MEMBER_COLUMNS(X)
#undef X
	};
	return names[column];
}

static const char *reason_name(unsigned column)
{
	static const char *const names[] = {
#define X(NAME, name, kind, value) name,
	    REASON_COLUMNS(X)
#undef X
	};
	return names[column];
}

#define X(NAME, name, kind, ...) \
	case COLUMN_OF(NAME): \
		return put_##kind(out, __VA_ARGS__);

static enum table_kind node_put(struct text *out, unsigned column, const void *row)
{
	const struct control_view *v = row;
	switch ((enum node_column)column) {
#define COLUMN_OF(NAME) NODE_##NAME
		NODE_COLUMNS(X)
#undef COLUMN_OF
	case NODE_COUNT:
		break;
	}
	return TABLE_TEXT;
}

static enum table_kind member_put(struct text *out, unsigned column, const void *row)
{
	const struct control_view *v = ((const struct member_row *)row)->view;
	const struct control_view_member *m = ((const struct member_row *)row)->member;
	switch ((enum member_column)column) {
#define COLUMN_OF(NAME) MEMBER_##NAME
		MEMBER_COLUMNS(X)
#undef COLUMN_OF
	case MEMBER_COUNT:
		break;
	}
	return TABLE_TEXT;
}

static enum table_kind reason_put(struct text *out, unsigned column, const void *row)
{
	const struct reason_row *r = row;
	switch ((enum reason_column)column) {
#define COLUMN_OF(NAME) REASON_##NAME
		REASON_COLUMNS(X)
#undef COLUMN_OF
	case REASON_COUNT:
		break;
	}
	return TABLE_TEXT;
}
#undef X

const struct table_columns columns_of_node = {NODE_COUNT, node_name, node_put};
const struct table_columns columns_of_member = {MEMBER_COUNT, member_name, member_put};
const struct table_columns columns_of_reason = {REASON_COUNT, reason_name, reason_put};
