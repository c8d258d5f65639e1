/*
 * The database that keeps the log, where the engine is one: core/host/database.h says what is asked of
 * it and what its answers mean, sys/pg/pg_link.h asks.  Here the two are put together, in the
 * loop.  Nothing ever waits for the database.
 */
#ifndef RMQ_CLUSTERD_DATABASE_LINK_H
#define RMQ_CLUSTERD_DATABASE_LINK_H

#include "core/host/database.h"
#include "sys/pg/pg_link.h"
#include "sys/process/sandbox.h"

struct cluster;

struct database_link {
	struct database *driver; /* NULL: the engine is the built-in one */
	struct pg_link *link;
	bool allow_async;
	struct pg_server server;       /* that is up, or was so last; address "": none was */
	struct database_status status; /* as of its last turn */
	uint64_t changed;	       /* of it, when it was noted last */
	char trouble[TEXT_MAX + 1];    /* what is wrong with it, for people */
	bool told;		       /* the link has said that it is down */
	enum database_trouble said;    /* in the log, last */
	uint64_t said_ms, well_ms;     /* when; and since when it is well, 0: it is not */
	struct raft_id made;	       /* the cluster that this process is to make */
	bool asked;		       /* FOUND is under way, for a command */
	uint64_t asked_ms;
};

/* Whether the engine is a database. */
bool database_link_used(const struct cluster *c);

/* After the settings were read.  0, or an exit status; what is wrong was said. */
int database_link_open(struct cluster *c);
/* What libpq reads.  After this the connection string is wiped. */
void database_link_confine(struct cluster *c, struct sandbox *box);
/* Begins to connect.  0, or an exit status; what is wrong was said. */
int database_link_start(struct cluster *c);
void database_link_close(struct cluster *c);

/* The node has begun, or has begun anew. */
void database_link_begin(struct cluster *c);
/* After each step of the node, before its actions. */
void database_link_stepped(struct cluster *c);
/* Dies if a log that has this node as a member says another engine than the settings. */
void database_link_check(struct cluster *c);
/* A message to RAFT_DATABASE; the payloads of its runs are found by index in the pieces of `runs`. */
void database_link_send(struct cluster *c, const struct raft_message *m,
    const struct raft_run *runs, const struct piece *pieces, unsigned count);
/* This node has made these holes, as END `end` says. */
void database_link_dig(
    struct cluster *c, uint64_t end, const struct hole_range *ranges, unsigned count);

/* Whether this node is the only member of such a cluster, or of one that is to become one. */
bool database_link_alone(const struct cluster *c);
/*
 * Whether the tables are those of the cluster that this node is to make, or has made alone; *cluster: its
 * id.  RMQ_E_BUSY: it is asked; else text[TEXT_MAX + 1] says why not: RMQ_E_EXISTS: they are another
 * one's; RMQ_E_REFUSED: they cannot be made; RMQ_E_NO_DAEMON: it cannot be used, or does not answer.
 */
enum rmq_error database_link_found(struct cluster *c, struct raft_id *cluster, char *text)
    __attribute__((warn_unused_result));
/* No command waits for that any more: others may make a cluster. */
void database_link_found_end(struct cluster *c);
/* Whether it is asked so now. */
bool database_link_founds(const struct cluster *c);
/* Whether the log here is that of one node, with the built-in engine, and is to become the database's. */
bool database_link_converts(const struct cluster *c);

/*
 * What keeps the database from this cluster, and does not pass or is not mended by making tables; NULL: nothing.  Its
 * words are borrowed.
 */
const char *database_link_lost(const struct cluster *c);

/* Whether it cannot be asked for its vote now. */
bool database_link_away(const struct cluster *c);

/* What is known of it, for people. */
struct cluster_status;
void database_link_show(const struct cluster *c, struct cluster_status *s);
struct why_database;
void database_link_why(const struct cluster *c, struct why_database *w);

/* Does what is to be done.  In each turn, and when something has happened. */
void database_link_turn(struct cluster *c);
/* The same of a leadership that begins: holes that are not in the table yet. */
void database_link_sweep(struct cluster *c);
/* When the next such turn is due without an event. */
uint64_t database_link_due(const struct cluster *c);

#endif
