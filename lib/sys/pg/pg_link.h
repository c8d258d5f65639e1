/*
 * A link with a PostgreSQL server, or one that speaks its protocol: executes the statements of
 * core/host/database.h, for a loop.
 *
 * A thread of its own does all that may block: DNS, TLS, files of libpq, and every call of it.  The loop
 * never waits for it, nor does the end of the process.  Nothing that is counted or borrowed in the loop
 * crosses: a statement is encoded when it is submitted, and a result is the thread's own memory
 * until the loop is done with it.
 *
 * Which server.  All hosts of the connection string are tried side by side, each again after a
 * back-off; the first that takes writes and passes the checks is up.  One that was lost, refused or dropped
 * is tried again last.  When a server owes an answer for longer than PG_LINK_STALL_MS, the others are
 * tried meanwhile: one that takes writes then replaces it.
 *
 * Safety.  A server is used only if a commit on it waits for a synchronous standby and for
 * disks, or if it replicates itself (CockroachDB, YugabyteDB), or with `allow_async`.  This is looked at when it is
 * connected, by each statement that writes, and once more after its commit: PostgreSQL sets those free
 * that wait when synchronous_standby_names becomes empty, without a word.  A warning that a wait for a standby was
 * cancelled loses the connection: all that is under way is unknown.
 *
 * Results.  Each statement that was submitted has exactly one, in the order of submitting:
 *	DONE, FENCED	as database.h says; writes are durable on a synchronous standby
 *	FAILED		refused for certain, or never sent: the link was down, or what was up when it
 *			was submitted is not what is up now
 *	UNKNOWN		the connection was lost after it was sent, or the server cannot vouch for it
 * A statement without an answer for `answer_ms` after the one before it loses the connection.
 *
 * Hostile servers: a result is bounded before and after it is read, and checked field by field; one
 * that is not what was asked for loses the connection.  Texts for people are tamed, and never hold the
 * password or the connection string.
 */
#ifndef RMQ_SYS_PG_PG_LINK_H
#define RMQ_SYS_PG_PG_LINK_H

#include <uv.h>

#include "core/host/database.h"
#include "sys/process/reason.h"

struct pg_link;

#define PG_LINK_STALL_MS 1000

/* How much a commit of this server means. */
enum pg_durability {
	PG_ASYNC,      /* no standby is waited for; only with allow_async */
	PG_STANDBYS,   /* synchronous_standby_names are waited for */
	PG_REPLICATES, /* the server replicates itself */
};

/* The server that is up, for people. */
struct pg_server {
	char address[300]; /* HOST:PORT, or the path of a Unix socket */
	char version[64];  /* "PostgreSQL 15.4" */
	enum pg_durability durability;
	char standbys[256]; /* synchronous_standby_names, cut; empty: none */
	/* PG_ASYNC: why, in words: "synchronous_standby_names is empty". */
	char why_async[128];
};

struct pg_link_options {
	const char *dsn; /* copied */
	bool allow_async;
	uint32_t
	    connect_ms; /* for one host, at most; 0: 10 s.  The string's connect_timeout counts more */
	uint32_t answer_ms; /* for a statement; 0: 10 s */
};

/* Called in the loop, and not after pg_link_close().  Texts are borrowed. */
struct pg_link_host {
	void *arg;
	/* Connected, checked: statements may be submitted. */
	void (*up)(void *arg, const struct pg_server *server);
	/* Not up, and why, in words: lost, or a host could not be used.  Told again when the
	 * words change.  All results of the connection have been told before. */
	void (*down)(void *arg, const char *why);
	/* Borrowed until it returns; payloads as well: pieces have no chunk. */
	void (*result)(void *arg, const struct database_result *r);
};

/* Whether this is a connection string of libpq.  RMQ_E_CONFIG: no; the reason does not repeat it. */
enum rmq_error pg_link_check(const char *dsn, struct reason *why)
    __attribute__((warn_unused_result));

/*
 * Files that libpq may read for it: of passwords, services, keys and certificates, existing or not.  Only those
 * that are named, in the string or in the environment, or are the defaults of this user.  Some are
 * directories.
 */
typedef void pg_link_file(void *arg, const char *path, bool named);
void pg_link_files(const char *dsn, pg_link_file *file, void *arg);

/* Starts nothing yet.  NULL: out of memory, or the loop refuses a handle.  The string was checked. */
struct pg_link *pg_link_open(
    uv_loop_t *loop, const struct pg_link_options *options, const struct pg_link_host *host);

/* Begins to connect, on a thread that is made now.  RMQ_E_IO: there is none. */
enum rmq_error pg_link_start(struct pg_link *l, struct reason *why)
    __attribute__((warn_unused_result));

/* Its result comes later, from the loop.  Everything is copied. */
void pg_link_submit(struct pg_link *l, const struct database_statement *s);

/*
 * Ends the connection that is up, as its server is not to be trusted now: what is under way is unknown, and
 * that host is tried again last.  `why` is what `down` will say.
 */
void pg_link_drop(struct pg_link *l, const char *why);

/* Frees it; nothing is waited for, and what is under way may still be done.  NULL is legal. */
void pg_link_close(struct pg_link *l);

#endif
