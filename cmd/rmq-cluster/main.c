/* rmq-cluster: administration of a cluster.  See rmq-cluster(1). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ask.h"
#include "columns.h"
#include "core/base/name.h"
#include "core/base/units.h"
#include "core/host/roles.h"
#include "core/link/key.h"
#include "hear.h"
#include "http.h"
#include "kv.h"
#include "metrics.h"
#include "top.h"
#include "sys/process/child.h"
#include "sys/process/subcommands.h"
#include "sys/process/startup.h"

enum {
	OPT_WAIT = 256,
	OPT_FORCE,
	OPT_NEW,
	OPT_ADOPT,
	OPT_YES,
	OPT_IF_VERSION,
	OPT_IF_ABSENT,
	OPT_SINCE,
	OPT_WATCH,
	OPT_HEAR
};

/* What the command line says. */
struct program {
	struct ask ask;
	struct subcommand_line line;
	bool json;
	bool wait;	    /* --wait */
	bool force;	    /* --force */
	bool new;	    /* --new */
	bool adopt;	    /* --adopt */
	bool unasked;	    /* --yes */
	const char *dir;    /* -d, NULL: not given */
	const char *having; /* -r, NULL: not given */
	bool yes;	    /* the answer to a question */
	bool said;	    /* there is one */
	const char *fields; /* -o, NULL: not given */
	struct hear hear;
	struct kv kv;
	uint64_t every_ms;   /* --watch */
	const char *servers; /* RMQ_SERVERS, for `kv` and `http` */
	struct table table;
	char me[RAFT_NAME_MAX + 1]; /* this node's name, once it was asked for */
};

#define NODE_COLUMNS \
	"name,role,leader,available,serving,queue-socket,members,voters,up,term,commit,last," \
	"problem,cluster,id,key"
#define MORE_NODE_COLUMNS ",caught-up,gate-state,config-index,level"
#define MEMBER_COLUMNS	  "name,role,up,behind,address,gate"
#define HEALTH_COLUMNS	  ",suspected,unreachable,phi,suspect-after,mean,deviation,silence"
#define METRICS_COLUMNS \
	",load,memory,disk-free,journal-size,lag,store-time,store-time-p99,uptime,round-trip"
#define MORE_MEMBER_COLUMNS \
	",voter,broker,match,id,key,gate-state,state,roles,version" HEALTH_COLUMNS \
	    METRICS_COLUMNS
#define PHI_COLUMNS    "name,phi,suspect-after,mean,deviation,silence,suspected,unreachable"
#define REASON_COLUMNS "reason,text"

static void print_text(struct text *out)
{
	if (out->len > 0)
		fwrite(out->data, 1, out->len, stdout);
	text_deinit(out);
}

static const char not_given[] = "";

/* The n-th word, or not_given. */
static const char *word(const struct program *p, int n)
{
	return n < p->line.words_count ? p->line.words[n] : not_given;
}

/* A name from the command line, which may be left out: an empty one is a script's mistake. */
static enum rmq_error check_name(const char *name)
{
	if (name == not_given || name_valid_node(slice_str(name)))
		return RMQ_E_OK;
	return ask_fail(RMQ_E_USAGE, "'%s' is not a node's name", name);
}

/* ---- what is waited for ---- */

static bool is_leader_known(const struct program *p, const struct control_view *v)
{
	(void)p;
	return v->leader[0] != 0;
}

static bool is_available(const struct program *p, const struct control_view *v)
{
	(void)p;
	return v->flags & CONTROL_AVAILABLE;
}

/* A voter that hears a leader, or is it. */
static bool is_self_up(const struct program *p, const struct control_view *v)
{
	return (v->role == CONTROL_ROLE_FOLLOWER || v->role == CONTROL_ROLE_LEADER) &&
	       is_leader_known(p, v);
}

static bool is_caught_up(const struct program *p, const struct control_view *v)
{
	return is_self_up(p, v) && (v->flags & CONTROL_CAUGHT_UP);
}

/* Voters that elect nobody are no cluster yet. */
static bool are_up(const struct program *p, const struct control_view *v)
{
	uint64_t want = 0;
	return units_count(strchr(word(p, 0), '=') + 1, 1, RAFT_MEMBERS_MAX, &want) &&
	       voters_up(v) >= want && is_leader_known(p, v);
}

static bool is_removed(const char *name, const struct control_view *v)
{
	if (v->role == CONTROL_ROLE_REMOVED)
		return strcmp(name, v->name) == 0;
	return !raft_id_none(v->cluster) && !control_view_find(v, name);
}

static bool is_named_removed(const struct program *p, const struct control_view *v)
{
	return is_removed(strchr(word(p, 0), '=') + 1, v);
}

static const struct condition {
	const char *name; /* with "=" if something follows */
	bool (*met)(const struct program *p, const struct control_view *v);
} conditions[] = {{"self-up", is_self_up}, {"leader", is_leader_known},
    {"available", is_available}, {"caught-up", is_caught_up}, {"up=", are_up},
    {"removed=", is_named_removed}};

static const struct condition *find_condition(const char *text)
{
	uint64_t n;
	const char *value = strchr(text, '=');
	size_t len = value ? (size_t)(++value - text) : strlen(text);
	for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
		const struct condition *c = &conditions[i];
		if (strlen(c->name) != len || strncmp(c->name, text, len) != 0)
			continue;
		if (c->met == are_up && !units_count(value, 1, RAFT_MEMBERS_MAX, &n))
			return NULL;
		if (c->met == is_named_removed && !name_valid_node(slice_str(value)))
			return NULL;
		return c;
	}
	return NULL;
}

static bool condition_met(void *arg, const struct control_view *v)
{
	const struct program *p = arg;
	return find_condition(word(p, 0))->met(p, v);
}

static bool left_met(void *arg, const struct control_view *v)
{
	return is_removed(((const struct program *)arg)->me, v);
}

static enum rmq_error run_wait(void *arg)
{
	struct program *p = arg;
	if (!find_condition(word(p, 0)))
		return ask_fail(RMQ_E_USAGE,
		    "'%s' is not one of self-up, leader, available, caught-up, up=N, removed=NODE",
		    word(p, 0));
	p->ask.view = condition_met;
	return ask_wait(&p->ask);
}

/* ---- changes ---- */

static enum rmq_error run_init(void *arg)
{
	struct program *p = arg;
	if (p->new && p->adopt)
		return ask_fail(RMQ_E_USAGE, "--new and --adopt do not go together");
	return p->adopt ? ask_adopt(&p->ask) : ask_init_cluster(&p->ask, p->new);
}

/* NAME KEY */
static enum rmq_error take_key(const struct program *p, uint8_t key[KEY_SIZE])
{
	enum rmq_error err = check_name(word(p, 0));
	if (err)
		return err;
	if (!*word(p, 0))
		return ask_fail(RMQ_E_USAGE, "no name of a node");
	if (!key_parse(slice_str(word(p, 1)), key))
		return ask_fail(
		    RMQ_E_USAGE, "'%s' is not a public key (rmq-keygen prints it)", word(p, 1));
	return RMQ_E_OK;
}

static enum rmq_error run_admit(void *arg)
{
	struct program *p = arg;
	uint8_t key[KEY_SIZE];
	enum rmq_error err = take_key(p, key);
	return err ? err : ask_admit(&p->ask, word(p, 0), key);
}

static enum rmq_error run_replace(void *arg)
{
	struct program *p = arg;
	uint8_t key[KEY_SIZE];
	enum rmq_error err = take_key(p, key);
	return err ? err : ask_replace(&p->ask, word(p, 0), key);
}

static enum rmq_error run_join(void *arg)
{
	struct program *p = arg;
	if (strlen(word(p, 0)) > RAFT_ADDRESS_MAX)
		return ask_fail(RMQ_E_USAGE, "'%s' is not an address", word(p, 0));
	return ask_join(&p->ask, word(p, 0));
}

static bool take_me(void *arg, const struct control_view *v)
{
	struct program *p = arg;
	memcpy(p->me, v->name, sizeof(p->me));
	return true;
}

static enum rmq_error run_leave(void *arg)
{
	struct program *p = arg;
	const char *name = word(p, 0);
	enum rmq_error err = check_name(name);
	p->ask.view = take_me;
	if (!err && p->wait)
		err = ask_status(&p->ask);
	if (!err)
		err = ask_leave(&p->ask, name, p->force);
	if (err || !p->wait)
		return err;
	/* A daemon that has left ends. */
	p->ask.end_will_do = !*name || strcmp(name, p->me) == 0;
	if (*name)
		snprintf(p->me, sizeof(p->me), "%s", name);
	p->ask.view = left_met;
	return ask_wait(&p->ask);
}

static enum rmq_error run_down(void *arg)
{
	struct program *p = arg;
	enum rmq_error err = check_name(word(p, 0));
	return err ? err : ask_down(&p->ask, word(p, 0));
}

static enum rmq_error run_transfer(void *arg)
{
	struct program *p = arg;
	enum rmq_error err = check_name(word(p, 0));
	return err ? err : ask_transfer(&p->ask, word(p, 0));
}

/* The journal program is the only one that writes to a directory, and asks. */
static enum rmq_error run_recover(void *arg)
{
	struct program *p = arg;
	char path[CHILD_PATH_SIZE];
	char verb[] = "recover", quiet[] = "-q", yes[] = "--yes", dashes[] = "--";
	char *argv[7];
	int n = 0;
	if (!p->dir || !*p->dir)
		return ask_fail(RMQ_E_USAGE, "no data directory: recover -d DIR");
	child_program(path, "rmq-journal");
	argv[n++] = path;
	argv[n++] = verb;
	if (p->ask.common.quiet)
		argv[n++] = quiet;
	if (p->unasked)
		argv[n++] = yes;
	argv[n++] = dashes;
	argv[n++] = (char *)(uintptr_t)p->dir;
	argv[n] = NULL;
	execvp(path, argv);
	return ask_fail(RMQ_E_IO, "cannot run rmq-journal: %s", strerror(errno));
}

/* ---- questions ---- */

static enum rmq_error open_table(
    struct program *p, const struct table_columns *from, const char *columns)
{
	if (!table_init(&p->table, from, p->fields ? p->fields : columns))
		return ask_fail(RMQ_E_USAGE, "'%s' is not a list of fields", p->fields);
	p->table.json = p->json;
	p->table.aligned = !p->json && !p->fields && isatty(STDOUT_FILENO);
	return RMQ_E_OK;
}

static bool print_node(void *arg, const struct control_view *v)
{
	struct program *p = arg;
	struct text out = {0};
	if (p->json || p->fields)
		table_row(&p->table, &out, v);
	else
		table_lines(&p->table, &out, v);
	print_text(&out);
	return true;
}

static enum rmq_error run_status(void *arg)
{
	struct program *p = arg;
	enum rmq_error err = open_table(p, &columns_of_node, NODE_COLUMNS);
	p->ask.view = print_node;
	return err ? err : ask_status(&p->ask);
}

static bool print_members(void *arg, const struct control_view *v)
{
	struct program *p = arg;
	struct text out = {0};
	p->said = v->count > 0;
	for (unsigned i = 0; i < v->count; i++) {
		const struct control_view_member *m = &v->members[i];
		if (p->having && !roles_has(m->raft_flags, m->roles, p->having))
			continue;
		p->yes = true;
		table_row(&p->table, &out, &(struct member_row){v, m});
	}
	table_end(&p->table, &out);
	print_text(&out);
	return true;
}

/* Of a node that knows of no cluster nobody could say. */
static enum rmq_error ask_members(struct program *p)
{
	enum rmq_error err = ask_status(&p->ask);
	return err || p->said ? err : ask_fail(RMQ_E_NO_DAEMON, "this node is of no cluster");
}

static enum rmq_error list_members(struct program *p, const char *columns)
{
	enum rmq_error err = open_table(p, &columns_of_member, columns);
	p->ask.view = print_members;
	if (!err)
		err = ask_members(p);
	return !err && p->having && !p->yes ? RMQ_E_NOTHING : err;
}

static enum rmq_error run_members(void *arg)
{
	return list_members(arg, MEMBER_COLUMNS);
}

static enum rmq_error run_phi(void *arg)
{
	return list_members(arg, PHI_COLUMNS);
}

static bool print_metrics(void *arg, const struct control_view *v)
{
	struct text out = {0};
	(void)arg;
	metrics_put(&out, v);
	print_text(&out);
	return true;
}

static enum rmq_error run_metrics(void *arg)
{
	struct program *p = arg;
	if (p->json)
		return list_members(
		    p, "name" METRICS_COLUMNS HEALTH_COLUMNS ",state,gate-state");
	p->ask.view = print_metrics;
	return ask_status(&p->ask);
}

static bool print_unreachable(void *arg, const struct control_view *v)
{
	struct program *p = arg;
	p->said = v->count > 0;
	for (unsigned i = 0; i < v->count; i++) {
		if (!(v->members[i].suspected & 2))
			continue;
		puts(v->members[i].name);
		p->yes = true;
	}
	return true;
}

static enum rmq_error run_unreachable(void *arg)
{
	struct program *p = arg;
	p->ask.view = print_unreachable;
	enum rmq_error err = ask_members(p);
	return err ? err : p->yes ? RMQ_E_OK : RMQ_E_NOTHING;
}

static bool print_member_status(void *arg, const struct control_view *v)
{
	struct program *p = arg;
	const char *name = *word(p, 0) ? word(p, 0) : v->name;
	const struct control_view_member *m = control_view_find(v, name);
	memcpy(p->me, v->name, sizeof(p->me));
	p->said = v->count > 0;
	p->yes = m;
	if (m)
		printf("%s%s\n", control_member_state_text(m->state),
		    m->suspected & 2 ? " unreachable" : "");
	return true;
}

static enum rmq_error run_member_status(void *arg)
{
	struct program *p = arg;
	enum rmq_error err = check_name(word(p, 0));
	p->ask.view = print_member_status;
	if (!err)
		err = ask_members(p);
	if (err || p->yes)
		return err;
	return ask_fail(RMQ_E_NOTHING, "%s: no such member", *word(p, 0) ? word(p, 0) : p->me);
}

static void find_role_leader(struct program *p, const struct control_view *v)
{
	for (unsigned i = 0; i < v->count; i++) {
		const struct control_view_member *m = &v->members[i];
		if (roles_has(m->raft_flags, m->roles, p->having) &&
		    roles_leads(m->state, m->suspected & 2, m->name, p->me))
			memcpy(p->me, m->name, sizeof(p->me));
	}
}

static bool print_leader(void *arg, const struct control_view *v)
{
	struct program *p = arg;
	p->said = v->count > 0;
	if (p->having)
		find_role_leader(p, v);
	else
		memcpy(p->me, v->leader, sizeof(p->me));
	return true;
}

static enum rmq_error run_leader(void *arg)
{
	struct program *p = arg;
	p->ask.view = print_leader;
	enum rmq_error err = ask_status(&p->ask);
	if (!err && !*p->me && p->having && p->said)
		return ask_fail(RMQ_E_NOTHING, "no member with the role %s is up", p->having);
	if (!err && !*p->me)
		return ask_fail(RMQ_E_NO_DAEMON, "no leader is known");
	if (!err)
		puts(p->me);
	return err;
}

/* A question with yes or no: 0 or 1, without a word. */
static enum rmq_error yes_or_no(
    struct program *p, bool (*yes)(void *, const struct control_view *))
{
	p->ask.view = yes;
	enum rmq_error err = ask_status(&p->ask);
	return err ? err : p->yes ? RMQ_E_OK : RMQ_E_NOTHING;
}

static bool see_leader(void *arg, const struct control_view *v)
{
	return ((struct program *)arg)->yes = v->role == CONTROL_ROLE_LEADER;
}

static enum rmq_error run_is_leader(void *arg)
{
	return yes_or_no(arg, see_leader);
}

static bool see_singleton(void *arg, const struct control_view *v)
{
	return ((struct program *)arg)->yes = v->flags & CONTROL_SERVING;
}

static enum rmq_error run_is_singleton(void *arg)
{
	return yes_or_no(arg, see_singleton);
}

static bool see_available(void *arg, const struct control_view *v)
{
	return ((struct program *)arg)->yes = v->flags & CONTROL_AVAILABLE;
}

static enum rmq_error run_is_available(void *arg)
{
	return yes_or_no(arg, see_available);
}

/* ---- events ---- */

static enum rmq_error run_events(void *arg)
{
	struct program *p = arg;
	return hear_run(&p->hear, &p->ask);
}

static enum rmq_error run_top(void *arg)
{
	struct program *p = arg;
	return top_run(&p->ask, p->every_ms);
}

static enum rmq_error run_http(void *arg)
{
	struct program *p = arg;
	return http_run(&p->ask, p->servers && *p->servers ? p->servers : NULL,
	    NODE_COLUMNS MORE_NODE_COLUMNS, MEMBER_COLUMNS MORE_MEMBER_COLUMNS);
}

static void print_reason(void *arg, enum control_reason reason, const char *text)
{
	struct program *p = arg;
	struct text out = {0};
	p->yes |= reason == CONTROL_REASON_WELL;
	if (p->json || p->fields)
		table_row(&p->table, &out, &(struct reason_row){reason, text});
	else
		printf("%s\n", text);
	table_end(&p->table, &out);
	print_text(&out);
}

static enum rmq_error run_why(void *arg)
{
	struct program *p = arg;
	enum rmq_error err = open_table(p, &columns_of_reason, REASON_COLUMNS);
	p->table.aligned = false;
	p->ask.reason = print_reason;
	if (!err)
		err = ask_why(&p->ask);
	return err ? err : p->yes ? RMQ_E_OK : RMQ_E_NOTHING;
}

static enum rmq_error run_log(void *arg)
{
	struct program *p = arg;
	enum control_log level = CONTROL_LOG_ASKED;
	if (*word(p, 0) && !control_log_parse(word(p, 0), &level))
		return ask_fail(
		    RMQ_E_USAGE, "'%s' is none of error, notice, info, debug", word(p, 0));
	enum rmq_error err = ask_log(&p->ask, level);
	if (!err && level == CONTROL_LOG_ASKED)
		puts(p->ask.text);
	return err;
}

/* ---- the map ---- */

static enum rmq_error run_kv(void *arg)
{
	struct program *p = arg;
	p->kv.common = p->ask.common;
	if (!p->kv.common.servers && p->servers && *p->servers)
		p->kv.common.servers = p->servers;
	p->kv.json = p->json;
	p->kv.fields = p->fields;
	return kv_run(&p->kv, word(p, 0), p->line.words + 1, p->line.words_count - 1);
}

/* ---- the table ---- */

#define OUTPUT_ROWS(fields) \
	{'o', "output", "FIELD,...", fields, NULL, "print these fields, separated by tabs"}, \
	{ \
		'j', "json", NULL, NULL, NULL, "print JSON objects, a line each" \
	}

static const struct option_row no_rows[] = {{0}};
static const struct option_row node_rows[] = {OUTPUT_ROWS(NODE_COLUMNS MORE_NODE_COLUMNS), {0}};
static const struct option_row member_rows[] = {
    {'r', "role", "ROLE", NULL, NULL, "only members that have this role"},
    OUTPUT_ROWS(MEMBER_COLUMNS MORE_MEMBER_COLUMNS), {0}};
static const struct option_row leader_rows[] = {
    {'r', "role", "ROLE", NULL, NULL,
	"the leader of this role; 1 if no member that has it is up"},
    {0}};
static const struct option_row phi_rows[] = {
    OUTPUT_ROWS(PHI_COLUMNS " and those of members"), {0}};
static const struct option_row metrics_rows[] = {
    {'j', "json", NULL, NULL, NULL, "print a JSON object for each node"}, {0}};
static const struct option_row init_rows[] = {
    {OPT_NEW, "new", NULL, NULL, NULL, "do not ask its seeds whether they know a cluster"},
    {OPT_ADOPT, "adopt", NULL, NULL, NULL,
	"adopt the log of a database, all of whose nodes have lost their directories"},
    {0}};
static const struct option_row leave_rows[] = {
    {OPT_WAIT, "wait", NULL, NULL, NULL, "until this node knows that it is removed"},
    {OPT_FORCE, "force", NULL, NULL, NULL, "down it, though too few voters store records now"},
    {0}};
static const struct option_row recover_rows[] = {
    {'d', "dir", "DIR", NULL, NULL, "the data directory of this node, which is stopped"},
    {OPT_YES, "yes", NULL, NULL, NULL, "do not ask on the terminal"}, {0}};
static const struct option_row events_rows[] = {HEAR_ROWS(OPT_HEAR), {0}};
static const struct option_row top_rows[] = {
    {OPT_WATCH, "watch", "DUR", NULL, "1s", "drawn anew every DUR"}, {0}};
static const struct option_row why_rows[] = {OUTPUT_ROWS(REASON_COLUMNS), {0}};
static const struct option_row kv_option_rows[] = {
    {OPT_IF_VERSION, "if-version", "N", NULL, NULL,
	"put, del: only if the key has this version; 0: only if it is not there"},
    {OPT_IF_ABSENT, "if-absent", NULL, NULL, NULL, "put: the same as --if-version 0"},
    {'i', "print-version", NULL, NULL, NULL, "put, del: print the version of the change"},
    {OPT_SINCE, "since", "VERSION", NULL, NULL, "watch: print what has changed after it"},
    OUTPUT_ROWS(KV_COLUMNS), {0}};
/* In the place of client_options. */
static const struct option_row cluster_rows[] = {
    {'S', "server", "unix:PATH", NULL, NULL, "the control socket of rmq-clusterd"},
    {CLIENT_OPTION_TIMEOUT, "timeout", "DUR", NULL, "30s", "longest time to wait"}, {0}};

#define COMMAND(name, words, help, rows, min, max, run) \
	{ \
		{name, NULL, words, help, {rows, cluster_rows, options_of_all, NULL}, NULL}, \
		    min, max, run \
	}
static const struct subcommand command_list[] = {
    COMMAND("init", "", "make a cluster with this node; once, on one node", init_rows, 0, 0,
	run_init),
    COMMAND("admit", "NAME KEY", "let the node with this public key join", no_rows, 2, 2,
	run_admit),
    COMMAND("join", "[ADDR]", "make this node a member, through ADDR or its seeds", no_rows, 0,
	1, run_join),
    COMMAND("leave", "[NODE]", "have a node, or this one, hand over and go for good",
	leave_rows, 0, 1, run_leave),
    COMMAND("down", "NODE", "remove a node that is gone, for good, without its help", no_rows,
	1, 1, run_down),
    COMMAND("replace", "NODE KEY", "let another node take the place of one that is gone",
	no_rows, 2, 2, run_replace),
    COMMAND("recover", "", "let a node go on alone, as a majority is lost for good",
	recover_rows, 0, 0, run_recover),
    COMMAND("transfer", "[NODE]", "hand leadership to a node, or to the best", no_rows, 0, 1,
	run_transfer),
    COMMAND("status", "", "what this node knows", node_rows, 0, 0, run_status),
    COMMAND("members", "", "a row for each member", member_rows, 0, 0, run_members),
    COMMAND("leader", "", "print the leader's name; 69 if none is known", leader_rows, 0, 0,
	run_leader),
    COMMAND("is-leader", "", "0 if this node leads, else 1", no_rows, 0, 0, run_is_leader),
    COMMAND("is-available", "", "0 if the cluster takes messages, else 1", no_rows, 0, 0,
	run_is_available),
    COMMAND("events", "", "a line of JSON for each event, as they come", events_rows, 0, 0,
	run_events),
    COMMAND("why", "", "say why nothing is confirmed, or what else is wrong: 1; all is well: 0",
	why_rows, 0, 0, run_why),
    COMMAND("log", "[error|notice|info|debug]",
	"how much rmq-clusterd logs from now on, or print it", no_rows, 0, 1, run_log),
    COMMAND("is-singleton", "", "0 if the queue daemon runs on this node, else 1", no_rows, 0,
	0, run_is_singleton),
    COMMAND("member-status", "[NODE]", "its state, or that of this node; 1: no such member",
	no_rows, 0, 1, run_member_status),
    COMMAND("unreachable", "", "print the members that a majority suspects; 1: there is none",
	no_rows, 0, 0, run_unreachable),
    COMMAND("phi", "", "how much each member is doubted, and when it is suspected", phi_rows, 0,
	0, run_phi),
    COMMAND("metrics", "", "the cluster and its nodes in the format of OpenMetrics",
	metrics_rows, 0, 0, run_metrics),
    COMMAND("top", "", "show members and events on a terminal, again and again", top_rows, 0, 0,
	run_top),
    COMMAND("http", "", "answer the HTTP request on stdin", no_rows, 0, 0, run_http),
    COMMAND("wait", "self-up|leader|available|caught-up|up=N|removed=NODE",
	"wait until it is so; 1: it is not so in time", no_rows, 1, 1, run_wait),
    {{"kv", NULL, "get|put|del|ls|watch [KEY] [VALUE]",
	 "one agreed word: read, write and watch keys of a small map",
	 {kv_option_rows, client_options, options_of_all, NULL}, NULL},
	1, 3, run_kv},
};
#undef COMMAND
#define COMMANDS (sizeof(command_list) / sizeof(command_list[0]))

static const struct option_table *command_at(size_t i)
{
	return i < COMMANDS ? &command_list[i].table : NULL;
}

static const struct option_table program = {"rmq-cluster", "COMMAND [OPTION]...",
    "[ARGUMENT]...", "Administration of a cluster.\n", {cluster_rows, options_of_all, NULL},
    command_at};

static bool take_option(void *arg, int option, const char *value)
{
	struct program *p = arg;
	if (option == 'j')
		p->json = true;
	else if (option == OPT_IF_ABSENT)
		p->kv.if_absent = true;
	else if (option == OPT_IF_VERSION)
		return kv_condition(&p->kv, value);
	else if (option == OPT_WATCH)
		return units_duration(value, &p->every_ms) && p->every_ms > 0 &&
		       p->every_ms <= INT32_MAX;
	else if (option == OPT_SINCE)
		return kv_since(&p->kv, value);
	else if (option == 'i')
		p->kv.prints_version = true;
	else if (option == 'o')
		p->fields = value;
	else if (option == OPT_WAIT)
		p->wait = true;
	else if (option == OPT_FORCE)
		p->force = true;
	else if (option == OPT_NEW)
		p->new = true;
	else if (option == OPT_ADOPT)
		p->adopt = true;
	else if (option == OPT_YES)
		p->unasked = true;
	else if (option == 'd')
		p->dir = value;
	else if (option == 'r')
		p->having = value;
	else
		hear_option(&p->hear, option - OPT_HEAR, value);
	return true;
}

static const struct subcommands commands = {
    &program, command_list, COMMANDS, take_option, NULL};

static enum rmq_error run(struct program *p)
{
	bool is_kv = p->line.command->run == run_kv;
	enum rmq_error err = is_kv ? RMQ_E_OK : ask_init(&p->ask);
	p->ask.arg = p;
	if (!err)
		err = p->line.command->run(p);
	if (!is_kv)
		ask_deinit(&p->ask);
	if (fflush(stdout) != 0 || ferror(stdout))
		return ask_fail(RMQ_E_IO, "standard output: %s", strerror(errno));
	return err;
}

int main(int argc, char **argv)
{
	struct program p = {.every_ms = 1000};
	struct reason why;

	if (!startup(&program, argc, argv))
		return 0;
	/* It is where clients of queues go, as `kv` and `http` are, and no control socket. */
	p.servers = getenv("RMQ_SERVERS");
	unsetenv("RMQ_SERVERS");
	enum rmq_error err =
	    subcommands_parse(&commands, argc, argv, &p.ask.common, 30000, &p, &p.line, &why);
	if (err && why.text[0])
		ask_fail(err, "%s", why.text);
	if (!err)
		err = p.line.help || p.line.version ? subcommands_print(&commands, &p.line)
						    : run(&p);
	subcommands_free(&p.line);
	if (!err && fflush(stdout) != 0)
		return error_exit(RMQ_E_IO);
	return error_exit(err);
}
