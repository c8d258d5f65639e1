/*
 * A replicated database as the only voter of Raft (raft.h, sole_voter): it keeps the term, for whom it
 * has voted, and the log.  This is that voter's side of the conversation with the node's own
 * core: the core's messages to it become statements, and their results become its
 * messages.  No rule of Raft is here: who may be elected is a condition of TAKE, what is appended one of APPEND,
 * and both are checked by the database in the transaction that they guard.
 *
 * Statements.  Each is one transaction, which the database executes whole or not at all, and
 * whose DONE means: on stable storage, also on a standby that is promoted when this server is lost.  They are
 * executed, and answered, in the order in which they were given.
 *
 *	FOUND	makes the tables that are absent, and the row for this cluster.  The row of another one is
 *		replaced if it never held anything (term 0, last 0), else FENCED.
 *	LOOK	reads the row.
 *	TAKE	row: term, leader, lease, if the row's term is lower, its last place not after `place`, and its
 *		commit index not higher than place.index.  committed: the higher of the row's and `commit`.
 *		vacant: and no lease lasts.
 *	APPEND	row: last, lease, commit (the higher one), cover (the one with the higher index), if term and
 *		leader are the row's and its last place is `place`; and with it the runs that are no holes
 *		go into the log, and `terms` into the boundaries.  Without runs it only asks whether this node still leads.
 *	DIG	row: lease, commit and cover as APPEND, if term and leader are the row's; and with it at most `rows` of
 *		the records in the ranges are deleted, but never one of kind CONFIG.
 *	READ	the row and records of one snapshot.
 *
 * Times.  `lease_ms` runs by the server's clock, and only keeps others from asking in vain, as hearing a leader does in
 * Raft; a TAKE does not look at it.  Nothing that must be true depends on a clock.
 * Who adopts the log asks for it, so as not to take it from a node that still leads.
 *
 * Unknown outcomes.  A statement whose answer was lost may have been executed, may be
 * executed later, or never.  A TAKE is then not granted.  After an APPEND or a DIG this node steps down, and
 * leads again only in a newer term, which the row must have: what comes late is of an older
 * one, and has no effect, or came before the TAKE and is in the log that it was compared with.
 *
 * Group commit.  What the core sends while DATABASE_STATEMENTS_MAX are under way becomes one APPEND.  A heartbeat
 * costs a statement only if it asks a new round (raft.h, barriers) or a third of the lease
 * is over since the last confirmed statement began; no round is answered but by a statement that was
 * given after the round had begun.
 *
 * Older timelines.  A server that has lost what the database had confirmed, as it is an old primary that
 * has come back or a standby that was promoted without it, has a row that is behind what this node
 * knew when the statement was given: the term of a leader, or what is committed.  Nothing is
 * granted, confirmed or read there: the connection is dropped.  An empty row is not filled either, but by the node
 * that makes the cluster's tables: by database_found(), or as its log ends with the configuration with which it
 * made the cluster, committed, and it has led in none since.
 *
 * A node that lags, or hears no leader for an election timeout, is fed from the table: APPENDs from RAFT_DATABASE,
 * what is absent being holes, at the pace of the core's answers.  What is not known to be committed may be lost again by the
 * database: it is appended, but not committed.  So is a node that was voted for and lacks the table's last record, as
 * one of its own stands there: what is here and not there nobody has counted.  A row whose commit index is above its last place
 * lacks what is committed, as it is still being filled: nobody is fed from it.
 *
 * Hostile: all that is read is bounded and checked, and what is not as this module writes it is not
 * used.  Pure; times are monotonic milliseconds of the node.  Memory that runs out ends the
 * process.  Not for use by several threads.
 */
#ifndef RMQ_CORE_HOST_DATABASE_H
#define RMQ_CORE_HOST_DATABASE_H

#include "core/host/chunk.h"
#include "core/host/ends.h"
#include "core/raft/raft.h"

struct database;

/* Statements that may be under way at the same time. */
#define DATABASE_STATEMENTS_MAX 2
/* Payload bytes of one APPEND, at most, or one record; and runs, and boundaries in them. */
#define DATABASE_APPEND_BYTES (4u << 20)
#define DATABASE_RUNS_MAX     4096
#define DATABASE_TERMS_MAX    4096
/*
 * One DIG: ranges, of any length, and records that are deleted.  To delete a large one takes a server up to a
 * millisecond: how many it is adapts to how long the last one took.
 */
#define DATABASE_RANGES_MAX   4096
#define DATABASE_DIG_ROWS_MIN 16
#define DATABASE_DIG_ROWS_MAX 4096
/* One READ: records, and bytes of their payloads, or one record. */
#define DATABASE_READ_ROWS  RAFT_RUNS_MAX
#define DATABASE_READ_BYTES RAFT_MESSAGE_BYTES

enum database_verb {
	DATABASE_FOUND,
	DATABASE_LOOK,
	DATABASE_TAKE,
	DATABASE_APPEND,
	DATABASE_DIG,
	DATABASE_READ,
};

struct database_statement {
	uint64_t number; /* 1, 2, 3, … */
	enum database_verb verb;
	struct raft_id cluster; /* whose tables they must be: part of every condition */
	struct raft_id node;	/* TAKE, APPEND, DIG: this node */
	uint64_t term;		/* TAKE: that is asked for; APPEND, DIG: of the leadership */
	struct raft_place
	    place; /* TAKE: this log's last record; APPEND: what comes before the runs */
	struct raft_place last; /* APPEND: of the table after it */
	/* APPEND, DIG: as this node knows it; TAKE: the same if the table is empty, or still being filled */
	uint64_t commit;
	struct raft_place cover; /* APPEND, DIG; index 0: none */
	uint32_t lease_ms;	 /* TAKE, APPEND, DIG */
	bool vacant;		 /* TAKE */
	const struct raft_run
	    *runs; /* APPEND: follow `place` without gaps; holes are not inserted */
	const struct piece *pieces; /* APPEND: of each run */
	unsigned run_count;
	const struct raft_place *terms; /* APPEND: where terms begin among the runs */
	unsigned term_count;
	const struct hole_range *ranges; /* DIG */
	unsigned range_count;
	uint64_t from;	/* READ: from this index on, not 0 */
	uint32_t rows;	/* READ, DIG: at most so many records */
	uint32_t bytes; /* READ: and payload bytes, but one record always */
};

enum database_outcome {
	DATABASE_DONE,
	DATABASE_FENCED,  /* its condition did not hold: no effect */
	DATABASE_FAILED,  /* refused for certain, or never sent: no effect */
	DATABASE_UNKNOWN, /* it may have been executed, be executed later, or be lost again */
};

/* The row of rmq_cluster. */
struct database_row {
	bool exists;
	struct raft_id cluster;
	uint64_t term;
	struct raft_id
	    leader; /* that the database has voted for in this term; none: for nobody */
	uint64_t lease_left_ms; /* 0: it is over */
	struct raft_place last;
	uint64_t commit;
	struct raft_place cover;
};

/*
 * One for each statement, in their order.  Borrowed for the call.
 */
struct database_result {
	uint64_t number;
	enum database_outcome outcome;
	/* LOOK, READ, FENCED: as the statement saw it; FOUND, TAKE: as it is after it.  Of others:
	 * not known, or the same. */
	bool row_known;
	struct database_row row;
	/* READ: records from `from` on, in order; runs of one record each, no holes: what is absent
	 * is one. */
	const struct raft_run *runs;
	const struct piece *pieces;
	unsigned run_count;
	/*
	 * READ: boundaries, in order, the first one that of the term which holds index from - 1 (from 1: the
	 * first one): those up to the last of the runs, or if `last` up to row.last; at most
	 * DATABASE_TERMS_MAX, the lowest ones.
	 */
	const struct raft_place *terms;
	unsigned term_count;
	bool last; /* READ: no record comes after these; DIG: none is left in the ranges */
	const char *text; /* FAILED, UNKNOWN: why, for people; NULL: not known */
};

/* ---- what happens; effects come from database_turn() afterwards ---- */

struct database_begin {
	struct raft_id node;
	uint32_t election_ms; /* as in raft_begin */
	uint32_t heartbeat_ms;
};

struct database *database_new(const struct database_begin *b, uint64_t now_ms);
void database_free(struct database *d);

/*
 * After each raft_step(), before its actions are done, and once at the beginning: what the core knows by now.  Its
 * configuration says which cluster this is: before there is one nothing is asked of the database, but by
 * database_found().
 */
void database_stepped(struct database *d, const struct raft *r, uint64_t now_ms);

/* A RAFT_SEND to RAFT_DATABASE.  Runs are copied, the chunks of pieces are held; a piece without a chunk
 * is copied.  pieces: one for each run. */
void database_message(struct database *d, const struct raft_message *m,
    const struct piece *pieces, uint64_t now_ms);

/* A connection is up, and takes statements. */
void database_up(struct database *d, uint64_t now_ms);
/* It is not, or still not, and why; all results of statements that were given have come before. */
void database_down(struct database *d, const char *why, uint64_t now_ms);
void database_result(struct database *d, const struct database_result *r, uint64_t now_ms);

/*
 * This node leads, and has made holes of these, at or below its commit index, as the END at `cover` says: the
 * table is to have them as well.  Told after the step that made them.  Without effect if this node does not
 * lead.  All is copied; status.digging says how many ranges wait.
 */
void database_dig(struct database *d, struct raft_place cover, const struct hole_range *ranges,
    unsigned count);

/*
 * The end of a turn: what the leaders before have dug may not have come to the table, so a leadership begins with all that is a hole
 * here: each index below this log's cover that has no record on this node's disk is dead (raft.h, holes).  Looks at
 * `records` of them at most; stored: index up to which the log is on that disk.  Whether there is more
 * to be done that waits for nothing; it waits for DIGs that are under way.
 */
bool database_sweep(
    struct database *d, const struct ends_log *log, uint64_t stored, unsigned records);

/*
 * A cluster with this id is to be made, from this node's log: FOUND, see status.found.  From then on this
 * process fills tables that are empty.
 */
void database_found(struct database *d, struct raft_id cluster);
/* Nobody waits for that any more: it is not asked again, unless it is done. */
void database_found_end(struct database *d);

/*
 * This node, which has no cluster, or is fed from these tables and no member yet, is to adopt the log that they
 * hold (core/host/adoption.h), or is not, any more: the row says which cluster it is.
 */
void database_adopt(struct database *d, bool adopts);

/* ---- what is to be done ---- */

enum database_effect_type {
	DATABASE_EXECUTE, /* statement; the connection is up */
	DATABASE_STEP, /* event, for raft_step(): a MESSAGE from RAFT_DATABASE with `pieces` of its runs, or
			     a RESET of it */
	DATABASE_DROP, /* the connection is to be dropped, and another server tried, as `text` says;
			     database_down() follows */
};

struct database_effect {
	enum database_effect_type type;
	const struct database_statement *statement;
	struct raft_event event;
	const struct piece
	    *pieces; /* STEP: one for each run of a message; the driver holds them */
	const char *text;
};

/*
 * The next effect; false: there is none before something happens or database_due() has come.  A statement and
 * what it points to are borrowed until the next call of the driver; an event and a text until that of
 * database_turn() or database_free(): what the core does with it may make other calls before.  Effects
 * are done in order, each before the next one is asked for.
 */
bool database_turn(struct database *d, uint64_t now_ms, struct database_effect *e)
    __attribute__((warn_unused_result));
/* When database_turn() is to be called even if nothing happens. */
uint64_t database_due(const struct database *d);

/* ---- for people ---- */

/*      name       short name for programs */
#define DATABASE_TROUBLES(X) \
	X(NONE, "") \
	X(AWAY, "down")		    /* no connection */ \
	X(UNFOUNDED, "no-tables")   /* the tables are absent, or hold nothing */ \
	X(FOREIGN, "other-cluster") /* they are another cluster's */ \
	X(OLDER, "older")	    /* it has lost what was confirmed */ \
	X(OTHER_LOG, "other-log")   /* its log contradicts this node's */ \
	X(DAMAGED, "damaged")	    /* it holds what this program does not write */ \
	X(FAILING, "fails")	    /* the newest statement failed */

enum database_trouble {
#define X(name, word) DATABASE_##name,
	DATABASE_TROUBLES(X)
#undef X
};

enum database_founding {
	DATABASE_NOT_FOUNDED,
	DATABASE_FOUNDS,  /* under way: it waits for a connection, or for the answer */
	DATABASE_FOUNDED, /* the row is this cluster's */
	DATABASE_REFUSED, /* it is another one's, or FOUND failed: text */
};

struct database_status {
	bool up;		       /* a connection is there */
	bool read;		       /* and the row was read over it, and is in order */
	enum database_trouble trouble; /* NONE: all is well */
	char text[TEXT_MAX + 1];       /* in words; empty if NONE */
	uint64_t changed;	       /* how often trouble or text have changed */
	enum database_founding found;
	bool row_known; /* the newest row that was read, and when */
	struct database_row row;
	uint64_t row_at_ms;
	/* When the newest statement that was confirmed began; 0: none was, over this connection. */
	uint64_t confirmed_at_ms;
	struct raft_place confirmed; /* leads: the table has the log up to here, for certain */
	uint64_t statements;	     /* so many were given */
	unsigned under_way;	     /* and so many have no result yet, */
	uint64_t oldest_at_ms;	     /* the oldest of which began then */
	size_t waiting;		     /* payload bytes that are not confirmed yet */
	size_t digging;		     /* ranges that wait for a DIG, or are in one */
	bool feeding;		     /* this node is being fed from the table */
};

void database_status(const struct database *d, struct database_status *s);
/* "older". */
const char *database_trouble_word(enum database_trouble t);

#endif
