#include "database_link.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "core/host/why.h"
#include "node.h"
#include "state.h"

/* What goes on is said again so often, if it is in other words. */
#define SAY_MS	60000
#define WELL_MS 3000

/* How long a command waits for the database. */
#define FOUND_MS 5000

bool database_link_used(const struct cluster *c)
{
	return c->config.engine != RAFT_ENGINE_BUILT_IN;
}

/* ---- what the log says ---- */

bool database_link_alone(const struct cluster *c)
{
	const struct raft_config *config = c->status.config;

	return database_link_used(c) && config && config->count == 1 &&
	       raft_config_is_voter(config, c->id);
}

bool database_link_converts(const struct cluster *c)
{
	return database_link_alone(c) && c->status.config->engine == RAFT_ENGINE_BUILT_IN;
}

void database_link_check(struct cluster *c)
{
	const struct raft_config *config = c->status.config;

	/* Who is being filled has configurations from before its time. */
	if (!config || config->engine == c->config.engine || database_link_converts(c) ||
	    !raft_config_find(config, c->id))
		return;
	if (config->engine == RAFT_ENGINE_BUILT_IN)
		log_error(
		    "engine: is %s, and the log in %s is of a cluster of %u members with the "
		    "built-in engine: see PostgreSQL as the engine in rmq-cluster(7)",
		    raft_engine_text(c->config.engine), c->disk.directory, config->count);
	else
		log_error(
		    "engine: is %s, and the log in %s is of a cluster whose engine is %s: set "
		    "engine and dsn as its other nodes have them, see rmq.conf(5)",
		    raft_engine_text(c->config.engine), c->disk.directory,
		    raft_engine_text(config->engine));
	cluster_die(c, error_exit(RMQ_E_CONFIG));
}

/* The cluster was made, and nothing has come after that. */
static bool is_interrupted(const struct cluster *c)
{
	return database_link_alone(c) && c->status.config_index == c->status.last.index;
}

const char *database_link_lost(const struct cluster *c)
{
	const struct database_link *l = &c->database;
	enum database_trouble t = l->status.trouble;

	if (!database_link_used(c) || database_link_converts(c) ||
	    (t == DATABASE_UNFOUNDED && is_interrupted(c)))
		return NULL;
	return t == DATABASE_UNFOUNDED || t == DATABASE_FOREIGN || t == DATABASE_OLDER ||
		       t == DATABASE_OTHER_LOG || t == DATABASE_DAMAGED
		   ? l->trouble
		   : NULL;
}

/* ---- its driver ---- */

void database_link_begin(struct cluster *c)
{
	struct database_link *l = &c->database;

	database_link_check(c);
	if (!database_link_used(c))
		return;
	if (!l->driver)
		l->driver =
		    database_new(&(struct database_begin){.node = c->id,
				     .election_ms = (uint32_t)c->config.election_timeout,
				     .heartbeat_ms = (uint32_t)c->config.heartbeat},
			cluster_now(c));
	database_link_stepped(c);
}

/* A log that is still one of the built-in engine is none of the database's business. */
void database_link_stepped(struct cluster *c)
{
	if (c->database.driver && !database_link_converts(c))
		database_stepped(c->database.driver, c->raft, cluster_now(c));
}

void database_link_send(struct cluster *c, const struct raft_message *m,
    const struct raft_run *runs, const struct piece *pieces, unsigned count)
{
	struct piece found[RAFT_RUNS_MAX] = {{{NULL, 0}, NULL}};
	unsigned at = 0;

	assert(m->run_count <= RAFT_RUNS_MAX);
	for (unsigned i = 0; i < m->run_count; i++) {
		if (m->runs[i].bytes == 0)
			continue;
		while (at < count && runs[at].first < m->runs[i].first)
			at++;
		assert(at < count && runs[at].first == m->runs[i].first &&
		       pieces[at].bytes.len == m->runs[i].bytes);
		found[i] = pieces[at];
	}
	if (!database_link_converts(c))
		database_message(c->database.driver, m, found, cluster_now(c));
}

void database_link_dig(
    struct cluster *c, uint64_t end, const struct hole_range *ranges, unsigned count)
{
	if (c->database.driver && cluster_leads(c))
		database_dig(c->database.driver,
		    (struct raft_place){end, raft_term_at(c->raft, end)}, ranges, count);
}

/* ---- making a cluster ---- */

/* What a command is told that has waited for long; it may be repeated. */
static enum rmq_error not_founded(struct cluster *c, char *text)
{
	struct database_link *l = &c->database;

	if (cluster_now(c) < l->asked_ms + FOUND_MS)
		return RMQ_E_BUSY;
	/* What is under way says more than what has failed before. */
	if (l->status.trouble != DATABASE_NONE && l->status.under_way == 0)
		snprintf(text, TEXT_MAX + 1, "%s", l->trouble);
	else
		snprintf(text, TEXT_MAX + 1,
		    "the database at %.100s does not answer, or waits for its standbys",
		    l->server.address);
	database_link_found_end(c);
	return RMQ_E_NO_DAEMON;
}

enum rmq_error database_link_found(struct cluster *c, struct raft_id *cluster, char *text)
{
	struct database_link *l = &c->database;
	const struct raft_config *config = c->status.config;

	if (raft_id_none(l->made))
		randombytes_buf(l->made.bytes, sizeof(l->made.bytes));
	*cluster = config ? config->cluster : l->made;
	/* Each time anew: what was refused once may have been mended. */
	if (!l->asked) {
		database_found(l->driver, *cluster);
		l->asked = true;
		l->asked_ms = cluster_now(c);
		return RMQ_E_BUSY;
	}
	database_status(l->driver, &l->status);
	if (l->status.found != DATABASE_FOUNDED && l->status.found != DATABASE_REFUSED)
		return not_founded(c, text);
	l->asked = l->status.found != DATABASE_FOUNDED;
	if (!l->asked)
		return RMQ_E_OK;
	snprintf(text, TEXT_MAX + 1, "%s", l->status.text);
	database_link_found_end(c);
	return l->status.trouble == DATABASE_FOREIGN ? RMQ_E_EXISTS : RMQ_E_REFUSED;
}

void database_link_found_end(struct cluster *c)
{
	if (!c->database.asked)
		return;
	c->database.asked = false;
	database_found_end(c->database.driver);
}

bool database_link_founds(const struct cluster *c)
{
	return c->database.asked && c->database.status.found == DATABASE_FOUNDS;
}

/* ---- its link ---- */

static void on_up(void *arg, const struct pg_server *server)
{
	struct cluster *c = arg;
	struct database_link *l = &c->database;

	bool same = memcmp(&l->server, server, sizeof(*server)) == 0;
	l->server = *server;
	if (!same)
		log_notice("the database is %s, at %s", server->version, server->address);
	if (!same && server->durability == PG_ASYNC)
		log_error(
		    "the database at %s does not wait for a standby (%s): what it confirms may "
		    "be lost with its server; --allow-async allows that",
		    server->address, server->why_async);
	database_up(l->driver, cluster_now(c));
	database_link_turn(c);
	cluster_changed(c);
}

static void on_lost(void *arg, const char *why)
{
	struct cluster *c = arg;

	c->database.told = true;
	database_down(c->database.driver, why, cluster_now(c));
	database_link_turn(c);
	cluster_changed(c);
}

static void on_result(void *arg, const struct database_result *r)
{
	struct cluster *c = arg;

	database_result(c->database.driver, r, cluster_now(c));
	database_link_turn(c);
}

int database_link_open(struct cluster *c)
{
	struct database_link *l = &c->database;
	struct reason why = {""};

	if (!database_link_used(c)) {
		if (!l->allow_async)
			return 0;
		log_error("--allow-async: is for engine = postgresql, and engine is %s",
		    raft_engine_text(c->config.engine));
		return error_exit(RMQ_E_CONFIG);
	}
	enum rmq_error err = config_read_dsn(&c->config, &why);
	if (err) {
		log_error("dsn-file: %s", reason_text(&why, err));
		return error_exit(err);
	}
	err = pg_link_check(c->config.dsn, &why);
	if (err) {
		log_error("%s: %s", config_given(&c->config, dsn_file) ? "dsn-file" : "dsn",
		    reason_text(&why, err));
		return error_exit(err);
	}
	if (l->allow_async)
		log_error(
		    "--allow-async: the database need not wait for a standby: what it confirms "
		    "may be lost with its server");
	l->link = pg_link_open(&c->loop,
	    &(struct pg_link_options){.dsn = c->config.dsn, .allow_async = l->allow_async},
	    &(struct pg_link_host){c, on_up, on_lost, on_result});
	if (!l->link) {
		log_error("cannot start");
		return error_exit(RMQ_E_IO);
	}
	return 0;
}

/* One that is named may be replaced by another file of that name; at home there are other files. */
static void confine(void *arg, const char *path, bool named)
{
	if (named)
		sandbox_around(arg, SANDBOX_READ, path);
	sandbox_path(arg, SANDBOX_READ, path);
}

void database_link_confine(struct cluster *c, struct sandbox *box)
{
	/* /etc has links to certificates there. */
	static const char *const certificates[] = {
	    "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", NULL};

	if (database_link_used(c))
		pg_link_files(c->config.dsn, confine, box);
	for (const char *const *path = certificates; database_link_used(c) && *path; path++)
		sandbox_path(box, SANDBOX_READ, *path);
	config_forget(&c->config);
}

int database_link_start(struct cluster *c)
{
	struct reason why = {""};
	enum rmq_error err =
	    c->database.link ? pg_link_start(c->database.link, &why) : RMQ_E_OK;

	if (err)
		log_error("the link with the database: %s", reason_text(&why, err));
	return err ? error_exit(err) : 0;
}

void database_link_close(struct cluster *c)
{
	pg_link_close(c->database.link);
	c->database.link = NULL;
	database_free(c->database.driver);
	c->database.driver = NULL;
}

bool database_link_away(const struct cluster *c)
{
	return database_link_used(c) && !c->database.status.read;
}

/* ---- what is shown ---- */

/* Of one that was used before nobody knows how it is now. */
static enum control_synchronous synchronous(const struct database_link *l)
{
	const struct pg_server *s = &l->server;
	static const enum control_synchronous words[] = {
	    [PG_ASYNC] = CONTROL_SYNCHRONOUS_NO,
	    [PG_STANDBYS] = CONTROL_SYNCHRONOUS_YES,
	    [PG_REPLICATES] = CONTROL_SYNCHRONOUS_REPLICATES,
	};

	return l->status.up ? words[s->durability] : CONTROL_SYNCHRONOUS_UNKNOWN;
}

/* For as long as a node takes to be ill. */
static bool is_silent(const struct cluster *c)
{
	const struct database_status *s = &c->database.status;

	return s->under_way > 0 &&
	       cluster_now(c) - s->oldest_at_ms >= health_bound(&c->watchdog.health);
}

void database_link_show(const struct cluster *c, struct cluster_status *s)
{
	const struct database_link *l = &c->database;

	if (!database_link_used(c))
		return;
	s->engine = raft_engine_text(c->config.engine);
	s->database = l->server.address;
	s->database_state = l->status.trouble != DATABASE_NONE
				? database_trouble_word(l->status.trouble)
			    : is_silent(c) ? "silent"
					   : "up";
	s->synchronous = synchronous(l);
}

void database_link_why(const struct cluster *c, struct why_database *w)
{
	const struct database_link *l = &c->database;

	*w = (struct why_database){.used = database_link_used(c)};
	if (!w->used)
		return;
	w->address = l->server.address;
	w->converts = database_link_converts(c);
	w->trouble = l->status.trouble == DATABASE_NONE || w->converts ? NULL : l->trouble;
	w->silent = is_silent(c);
	w->async = l->server.address[0] && l->server.durability == PG_ASYNC
		       ? l->server.why_async
		       : NULL;
}

/* ---- turns ---- */

/*
 * Each server in turn, and again: a line each time would hide all others.  What is well for a moment is
 * not well.
 */
static void say(struct cluster *c)
{
	struct database_link *l = &c->database;
	enum database_trouble now = l->status.trouble;

	if (now != DATABASE_NONE)
		l->well_ms = 0;
	else if (l->well_ms == 0)
		l->well_ms = cluster_now(c);
	if ((!l->told && now == DATABASE_AWAY) ||
	    (now == DATABASE_NONE && cluster_now(c) < l->well_ms + WELL_MS))
		return;
	if (now == l->said && (now == DATABASE_NONE || cluster_now(c) < l->said_ms + SAY_MS))
		return;
	if (now != DATABASE_NONE)
		log_error("%s", l->trouble);
	else
		log_notice("the database is well again");
	l->said = now;
	l->said_ms = cluster_now(c);
}

/* What is said of it, and shown, when it has changed. */
static void note(struct cluster *c)
{
	struct database_link *l = &c->database;
	uint64_t before = l->changed;

	bool silent = is_silent(c);
	database_status(l->driver, &l->status);
	l->changed = l->status.changed;
	if (is_silent(c) != silent)
		cluster_changed(c);
	if (l->changed == before)
		return;
	bool unfounded = l->status.trouble == DATABASE_UNFOUNDED;
	snprintf(l->trouble, sizeof(l->trouble), "%s%.*s%s",
	    l->status.trouble == DATABASE_AWAY	    ? "the database cannot be used: "
	    : l->status.trouble == DATABASE_FAILING ? "the database: "
						    : "",
	    TEXT_MAX - 80, l->status.text,
	    !unfounded		? ""
	    : is_interrupted(c) ? "; if init was interrupted here, repeat it"
				: "; if it is lost for good: rmq-cluster(7)");
	cluster_changed(c);
}

static void step(struct cluster *c, const struct database_effect *e)
{
	if (e->event.type == RAFT_EVENT_MESSAGE)
		node_message(c, e->event.message, e->pieces);
	else
		node_happens(c, &e->event);
	/* The node may have asked for something that is done at the end of its turn. */
	cluster_more(c);
}

void database_link_turn(struct cluster *c)
{
	struct database_link *l = &c->database;
	struct database_effect e;

	/* While a cluster is being made, the node takes no step. */
	if (!l->driver || c->founding_seq)
		return;
	while (database_turn(l->driver, cluster_now(c), &e)) {
		switch (e.type) {
		case DATABASE_EXECUTE:
			pg_link_submit(l->link, e.statement);
			break;
		case DATABASE_STEP:
			step(c, &e);
			break;
		case DATABASE_DROP:
			pg_link_drop(l->link, e.text);
			break;
		}
	}
	note(c);
	say(c);
}

void database_link_sweep(struct cluster *c)
{
	struct ends_log log = disk_ends(&c->disk);

	if (c->database.driver && cluster_leads(c) &&
	    database_sweep(c->database.driver, &log, c->disk.stored, ENDS_TURN_RECORDS))
		cluster_more(c);
}

uint64_t database_link_due(const struct cluster *c)
{
	const struct database_link *l = &c->database;

	if (!l->driver)
		return UINT64_MAX;
	uint64_t due = database_due(l->driver);
	if (l->said != DATABASE_NONE && l->well_ms > 0 && l->well_ms + WELL_MS < due)
		due = l->well_ms + WELL_MS;
	return due;
}
