#include "metrics.h"

#include <stdio.h>
#include <string.h>

#include "columns.h"
#include "core/client/openmetrics.h"
#include "core/host/tell.h"

/* Values in so many parts of their unit. */
enum { ONE = 1, HUNDREDTHS = 100, THOUSANDTHS = 1000, MILLIONTHS = 1000000 };

static void put_value(struct text *out, uint64_t n, unsigned parts)
{
	char text[48];

	if (parts == ONE)
		snprintf(text, sizeof(text), "%llu\n", (unsigned long long)n);
	else
		snprintf(text, sizeof(text), "%llu.%0*llu\n", (unsigned long long)(n / parts),
		    parts == HUNDREDTHS	   ? 2
		    : parts == THOUSANDTHS ? 3
					   : 6,
		    (unsigned long long)(n % parts));
	text_put_str(out, text);
}

/* The name of a node holds nothing that would have to be escaped. */
static void put_label(struct text *out, const char *name, const char *value, char before)
{
	text_put_char(out, before);
	text_put_str(out, name);
	text_put_str(out, "=\"");
	text_put_str(out, value);
	text_put_char(out, '"');
}

static void put_node(
    struct text *out, const char *family, const char *node, uint64_t n, unsigned parts)
{
	text_put_str(out, family);
	put_label(out, "node", node, '{');
	text_put_str(out, "} ");
	put_value(out, n, parts);
}

static void put_of_cluster(struct text *out, const char *family, uint64_t n)
{
	text_put_str(out, family);
	text_put_char(out, ' ');
	put_value(out, n, ONE);
}

/* ---- the cluster ---- */

static unsigned voters(const struct control_view *v)
{
	unsigned n = 0;

	for (unsigned i = 0; i < v->count; i++)
		n += (v->members[i].raft_flags & RAFT_VOTER) != 0;
	return n;
}

/*      name, type, suffix of the sample, help, value */
#define CLUSTER_FAMILIES(X) \
	X("rmq_cluster_members", "gauge", "", "Members, with those that were only admitted.", \
	    v->count) \
	X("rmq_cluster_voters", "gauge", "", "Members that vote.", voters(v)) \
	X("rmq_cluster_voters_up", "gauge", "", "Those of them that are up.", voters_up(v)) \
	X("rmq_cluster_available", "gauge", "", "1: the cluster takes messages.", \
	    (v->flags & CONTROL_AVAILABLE) != 0) \
	X("rmq_cluster_has_leader", "gauge", "", "1: this node knows who leads.", \
	    v->leader[0] != '\0') \
	X("rmq_cluster_term", "counter", "_total", \
	    "The term: how often an election was begun, about.", v->term) \
	X("rmq_cluster_commit", "counter", "_total", "Records that are committed.", v->commit)

/* Whoever does not know its server cannot say what its word is worth. */
static void put_database(struct text *out, const struct control_view *v)
{
	if (!v->engine[0])
		return;
	openmetrics_family(out, "rmq_cluster_database_up", "gauge", "",
	    "1: this node reaches the database, which is as it should be.");
	put_of_cluster(out, "rmq_cluster_database_up", strcmp(v->database_state, "up") == 0);
	openmetrics_family(out, "rmq_cluster_database_synchronous", "gauge", "",
	    "1: what it confirms is on another server, too.");
	if (v->synchronous != CONTROL_SYNCHRONOUS_UNKNOWN)
		put_of_cluster(out, "rmq_cluster_database_synchronous",
		    v->synchronous != CONTROL_SYNCHRONOUS_NO);
}

/* ---- its members ---- */

static bool is_joined(const struct control_view_member *m)
{
	return !raft_id_none(m->id);
}

static bool is_watched(const struct control_view_member *m)
{
	return m->suspect_after > 0;
}

#define KNOWN(METRIC) (m->known >> METRIC_##METRIC & 1)

/*      name, unit, help, whether it is known, value, its parts */
#define NODE_FAMILIES(X) \
	X("rmq_node_up", "", "1: words go both ways between it and this node.", true, \
	    (m->flags & CONTROL_MEMBER_REACHABLE) != 0, ONE) \
	X("rmq_node_leads", "", "1: it leads.", true, (m->flags & CONTROL_MEMBER_LEADER) != 0, \
	    ONE) \
	X("rmq_node_voter", "", "1: it votes.", true, (m->raft_flags & RAFT_VOTER) != 0, ONE) \
	X("rmq_node_suspected", "", "1: this node suspects it.", is_joined(m), \
	    m->suspected & 1, ONE) \
	X("rmq_node_unreachable", "", "1: the majority suspects it.", is_joined(m), \
	    m->suspected >> 1 & 1, ONE) \
	X("rmq_node_phi", "", "How unlikely its silence is, as a power of ten.", \
	    is_watched(m), m->phi, THOUSANDTHS) \
	X("rmq_node_suspect_after_seconds", "seconds", \
	    "Silence after which this node suspects it.", is_watched(m), m->suspect_after, \
	    THOUSANDTHS) \
	X("rmq_node_silence_seconds", "seconds", "Time since its newest heartbeat.", \
	    is_watched(m), m->silence, THOUSANDTHS) \
	X("rmq_node_load1", "", "Load average of the last minute.", KNOWN(LOAD), m->load, \
	    HUNDREDTHS) \
	X("rmq_node_memory_bytes", "bytes", "Memory of rmq-clusterd and its children.", \
	    KNOWN(MEMORY), m->memory, ONE) \
	X("rmq_node_disk_free_bytes", "bytes", "Room for new messages on its disk.", \
	    KNOWN(DISK_FREE), m->disk_free, ONE) \
	X("rmq_node_journal_bytes", "bytes", "Size of its journal on disk.", \
	    KNOWN(JOURNAL_SIZE), m->journal_size, ONE) \
	X("rmq_node_lag_records", "records", \
	    "Committed records that are not on its disk yet.", KNOWN(LAG), m->lag, ONE) \
	X("rmq_node_store_median_seconds", "seconds", \
	    "Time that its newest transactions took to be on its disk: the median.", \
	    KNOWN(LATENCY), m->latency &UINT32_MAX, MILLIONTHS) \
	X("rmq_node_store_p99_seconds", "seconds", "The 99th percentile of that time.", \
	    KNOWN(LATENCY), m->latency >> 32, MILLIONTHS) \
	X("rmq_node_round_trip_seconds", "seconds", \
	    "Shortest time to it and back, of the last minutes.", m->round_trip > 0, \
	    m->round_trip, MILLIONTHS) \
	X("rmq_node_uptime_seconds", "seconds", "Time since its rmq-clusterd started.", \
	    KNOWN(UPTIME), m->uptime, THOUSANDTHS)

/* What one of them is: exactly one of a family's samples is 1. */
static void put_state(
    struct text *out, const char *family, const char *node, const char *state, bool is)
{
	text_put_str(out, family);
	put_label(out, "node", node, '{');
	put_label(out, family, state, ',');
	text_put_str(out, is ? "} 1\n" : "} 0\n");
}

static void put_gates(struct text *out, const struct control_view *v)
{
	static const char name[] = "rmq_node_gate";

	openmetrics_family(
	    out, name, "stateset", "", "Its gate: none, runs, reaches that of the leader.");
	for (unsigned i = 0; i < v->count; i++) {
		const struct control_view_member *m = &v->members[i];
		enum control_its_gate is = CONTROL_MEMBER_GATE_OF(m->flags);
#define X(NAME, value, text) put_state(out, name, m->name, text, is == CONTROL_ITS_GATE_##NAME);
		CONTROL_GATES(X)
#undef X
	}
}

static void put_member_states(struct text *out, const struct control_view *v)
{
	static const char name[] = "rmq_node_state";

	openmetrics_family(out, name, "stateset", "", "What the cluster says it is.");
	for (unsigned i = 0; i < v->count; i++) {
		const struct control_view_member *m = &v->members[i];
#define X(NAME, value, text) put_state(out, name, m->name, text, m->state == value);
		CONTROL_MEMBER_STATES(X)
#undef X
	}
}

static void put_versions(struct text *out, const struct control_view *v)
{
	openmetrics_family(out, "rmq_node", "info", "", "The version of its program.");
	for (unsigned i = 0; i < v->count; i++) {
		if (!v->members[i].version[0])
			continue;
		text_put_str(out, "rmq_node_info");
		put_label(out, "node", v->members[i].name, '{');
		put_label(out, "version", v->members[i].version, ',');
		text_put_str(out, "} 1\n");
	}
}

void metrics_put(struct text *out, const struct control_view *v)
{
#define X(family, type, suffix, help, value) \
	openmetrics_family(out, family, type, "", help); \
	put_of_cluster(out, family suffix, value);
	CLUSTER_FAMILIES(X)
#undef X
	put_database(out, v);
#define X(family, unit, help, known, value, parts) \
	openmetrics_family(out, family, "gauge", unit, help); \
	for (const struct control_view_member *m = v->members; m < v->members + v->count; m++) \
		if (known) \
			put_node(out, family, m->name, value, parts);
	NODE_FAMILIES(X)
#undef X
	put_versions(out, v);
	put_member_states(out, v);
	put_gates(out, v);
	openmetrics_end(out);
}
