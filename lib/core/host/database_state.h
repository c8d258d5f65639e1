/*
 * The driver of a database that votes, shared by database.c (what happens, in what order), database_vote.c
 * (its row: whom it may vote for), database_lead.c (a leader's log into it) and
 * database_feed.c (its log to this node).  No one else includes this.
 */
#ifndef RMQ_CORE_HOST_DATABASE_STATE_H
#define RMQ_CORE_HOST_DATABASE_STATE_H

#include <assert.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/base/variant.h"
#include "core/host/database.h"

/* What the database had confirmed, as far as this node knew at some time. */
struct known {
	uint64_t term;
	struct raft_place place; /* the log up to it */
};

/* A statement that has no result yet. */
struct given {
	uint64_t number;
	enum database_verb verb;
	uint64_t at;
	struct known known; /* when it was given */
	uint64_t term;	    /* TAKE, APPEND, DIG */
	struct raft_place place, last;
	unsigned runs;	 /* APPEND: of those that wait, the first ones that are not given */
	unsigned ranges; /* DIG: the first ones that wait */
	uint64_t round;
	uint64_t from; /* READ */
	bool vain; /* an APPEND before it failed, so its place cannot be that of the table */
};

/* Records that wait for their confirmation, and holes that wait for theirs. */
struct waiting {
	struct raft_run *runs;
	struct piece *pieces;
	unsigned first, end, cap; /* [first, end) of the lists */
	unsigned given;		  /* so many of them are in statements */
	size_t bytes;
};

struct digging {
	struct hole_range *ranges;
	struct raft_place *covers; /* of each */
	unsigned first, end, cap;
	unsigned given; /* so many of them are in a statement */
};

/* When what failed is tried again. */
struct retry {
	uint64_t at;
	uint32_t ms; /* 0: it has not failed */
};

/* A leadership. */
struct lead {
	uint64_t term;		     /* 0: this node does not lead, as the database knows */
	bool matched;		     /* this log has the table's last record */
	struct raft_place next;	     /* after all that waits */
	struct raft_place last;	     /* after all that was given */
	struct raft_place table;     /* the table's, for certain */
	struct raft_place confirmed; /* the same, as acknowledged to the core */
	struct raft_place cover;     /* the log's */
	uint64_t commit;
	uint64_t round, round_given, round_done;
	uint64_t fresh_at;	       /* the newest statement that was confirmed began then */
	bool beat;		       /* a heartbeat waits for a statement */
	bool dug;		       /* the newest statement was a DIG */
	struct retry retry, dig_retry; /* after an APPEND, a DIG failed */
	bool leads;	/* the core knows it: holes from then on are told one by one */
	uint64_t swept; /* all before are told; */
	struct raft_place sweep_end; /* and of this cover are to be */
	struct waiting waiting;
	struct digging digging;
};

/* A message of records for the core. */
struct feed_message {
	struct raft_run runs[RAFT_RUNS_MAX];
	struct piece pieces[RAFT_RUNS_MAX];
	unsigned count;
	struct raft_config config; /* of at most one CONFIG */
	struct chunk *chunk;	   /* that payloads are put into */
	struct raft_place prev, last;
	uint64_t term, commit;
	struct raft_place cover;
};

struct feed {
	bool active;
	bool reading;  /* a READ is under way */
	bool ready;    /* `next` is to be sent, once what was sent is taken */
	bool over;     /* nothing comes after `next`, or what was sent */
	uint64_t from; /* to be read next */
	struct raft_place
	    asks; /* the node asked for what comes after this place of its log; index 0: not */
	uint64_t term;
	uint64_t sent,
	    sent_at; /* the newest index that was sent, 0: none; it is taken up to `taken` */
	uint64_t taken;
	struct feed_message *next, *out; /* out: borrowed by whoever called database_turn() */
};

struct database {
	struct raft_id node;
	uint32_t election_ms, heartbeat_ms;
	uint64_t now;

	/* The core, as of its newest step. */
	enum raft_role role;
	uint64_t term;
	struct raft_id leader;
	struct raft_place log;	  /* its last record */
	struct raft_place agreed; /* committed */
	struct raft_place cover;
	uint64_t deaf_at;	/* since then it has no leader */
	struct raft_id cluster; /* none: no configuration yet */
	bool adopts;		/* the log of whatever cluster the table has */
	bool member;		/* by the newest configuration */
	bool
	    just_founded; /* its log ends with the configuration with which it made the cluster */

	/* The connection. */
	bool up, read;
	bool dropped; /* as `text` says; database_down() comes */
	struct given given[DATABASE_STATEMENTS_MAX];
	unsigned under_way;
	uint64_t result_at; /* the newest result came */
	uint64_t statements;
	struct known known;

	/* The row. */
	bool row_known;
	struct database_row row;
	uint64_t row_at;
	bool look;	  /* is to be read */
	uint64_t look_at; /* last given then */
	struct raft_message
	    asked;	  /* the newest PREVOTE or VOTE that is not answered; term 0: none */
	bool founds;	  /* this process may fill tables that are empty */
	bool found_asked; /* a FOUND is to be given */
	struct raft_id found_id;
	enum database_founding found;
	struct raft_place
	    other; /* the table's last record, which is not in this log; index 0: none */

	uint32_t dig_rows; /* of the next DIG */
	struct lead lead;
	struct feed feed;

	/* Effects that wait. */
	bool resets, drops, refuses, answers;
	bool voted; /* `vote` waits */
	struct raft_message vote;
	bool outdated; /* the row is in a newer term: `newer` */
	uint64_t newer;

	enum database_trouble trouble;
	uint64_t trouble_at; /* seen last */
	char text[TEXT_MAX + 1];
	uint64_t changed;

	/* Of the newest effect. */
	struct raft_message message;
	struct database_statement statement;
	struct raft_place terms[DATABASE_TERMS_MAX];
};

/* By term, then by index: this one has more. */
static inline bool place_after(struct raft_place a, struct raft_place b)
{
	return a.term > b.term || (a.term == b.term && a.index > b.index);
}

static inline bool place_eq(struct raft_place a, struct raft_place b)
{
	return a.index == b.index && a.term == b.term;
}

/* ---- database.c ---- */

void database_trouble(struct database *d, enum database_trouble t, const char *text);
void database_trouble_over(struct database *d, enum database_trouble t);
/* Begins a statement: common fields; the rest is the caller's. */
struct given *database_give(struct database *d, enum database_verb verb);
/* It is confirmed that the database has this. */
void database_knows(struct database *d, uint64_t term, struct raft_place place);
/* What the connection says is not to be trusted. */
void database_drop(struct database *d, enum database_trouble t, const char *text);

/* ---- database_vote.c ---- */

/* The core asks. */
void database_vote_asked(struct database *d, const struct raft_message *m);
bool database_vote_give(struct database *d);
uint64_t database_vote_due(const struct database *d);
void database_vote_result(
    struct database *d, const struct given *g, const struct database_result *r);
/*
 * Takes the row of a result: false if nothing may be concluded from it, which is said and acted
 * upon then.
 */
bool database_vote_row(
    struct database *d, const struct given *g, const struct database_result *r);

/* ---- database_lead.c ---- */

void database_lead_begin(struct database *d, const struct given *g);
void database_lead_end(struct database *d);
void database_lead_leads(struct database *d);
void database_lead_append(
    struct database *d, const struct raft_message *m, const struct piece *pieces);
void database_lead_dig(
    struct database *d, struct raft_place cover, const struct hole_range *h, unsigned count);
bool database_lead_give(struct database *d);
uint64_t database_lead_due(const struct database *d);
void database_lead_result(
    struct database *d, const struct given *g, const struct database_result *r);

/* ---- database_feed.c ---- */

void database_feed_new(struct database *d);
void database_feed_free(struct database *d);
/* The row was read: feeds the node if that is of use. */
void database_feed_begin(struct database *d);
void database_feed_end(struct database *d);
void database_feed_answered(struct database *d, const struct raft_message *m);
bool database_feed_give(struct database *d);
/* The next message; NULL: none yet. */
const struct feed_message *database_feed_take(struct database *d);
uint64_t database_feed_due(const struct database *d);
void database_feed_tick(struct database *d);
void database_feed_result(
    struct database *d, const struct given *g, const struct database_result *r);

#endif
