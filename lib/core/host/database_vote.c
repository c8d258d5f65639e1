/* The row: whose it is, whether it is what was confirmed, and whom the database may vote for. */
#include "core/host/database_state.h"

#include <inttypes.h>
#include <stdio.h>

/* It was made, and nobody has been voted for. */
static bool is_empty(const struct database_row *row)
{
	return row->term == 0 && row->last.index == 0;
}

/* It lacks what is committed: it is still being filled. */
static bool is_filled(const struct database_row *row)
{
	return row->commit <= row->last.index;
}

static bool is_well_formed(const struct database_row *row)
{
	return (row->last.index == 0) == (row->last.term == 0) && row->last.term <= row->term &&
	       (row->cover.index == 0) == (row->cover.term == 0) &&
	       row->cover.term <= row->term && row->last.index < UINT64_MAX &&
	       row->commit < UINT64_MAX;
}

/* It has lost what was confirmed when the statement was given. */
static bool is_older(const struct database_row *row, const struct known *known)
{
	if (RMQ_VARIANT(OLDER_SERVED))
		return false;
	if (is_empty(row))
		return known->term > 0;
	if (row->term < known->term)
		return true;
	/* While it is filled it says how far it is to be. */
	return place_after(known->place, row->last) &&
	       (is_filled(row) || row->commit < known->place.index);
}

static void say_older(
    struct database *d, const struct database_row *row, const struct known *known)
{
	char text[TEXT_MAX + 1];

	snprintf(text, sizeof(text),
	    "the server is older than what was confirmed: an old primary, or promoted without all; in term "
	    "%" PRIu64 " with records up to %" PRIu64 ", not %" PRIu64 " and %" PRIu64,
	    row->term, row->last.index, known->term, known->place.index);
	database_drop(d, DATABASE_OLDER, text);
}

/* Whether the row is this cluster's, and was filled or may be. */
static bool is_ours(struct database *d, const struct database_row *row)
{
	bool empty = !row->exists || is_empty(row);

	if (d->adopts && !empty && raft_id_none(d->cluster))
		d->cluster = row->cluster;
	if (row->exists && !raft_id_eq(row->cluster, d->cluster) && !empty) {
		database_trouble(d, DATABASE_FOREIGN,
		    "the tables are another cluster's: each has its own schema or database");
		return false;
	}
	if (!empty)
		return true;
	if (d->founds || d->just_founded) {
		if (row->exists && raft_id_eq(row->cluster, d->cluster))
			return true;
		if (d->found == DATABASE_NOT_FOUNDED)
			database_found(d, d->cluster);
		if (d->found == DATABASE_FOUNDS)
			return false;
	}
	database_trouble(d, DATABASE_UNFOUNDED,
	    "the database holds no records of this cluster: it is another database or schema than before, or "
	    "has lost them");
	return false;
}

bool database_vote_row(
    struct database *d, const struct given *g, const struct database_result *r)
{
	const struct database_row *row = &r->row;

	if (!r->row_known || !is_ours(d, row))
		return false;
	if (!is_well_formed(row)) {
		database_drop(d, DATABASE_DAMAGED,
		    "the row of rmq_cluster holds what rmq does not write");
		return false;
	}
	if (is_older(row, &g->known)) {
		say_older(d, row, &g->known);
		return false;
	}
	d->row_known = d->read = true;
	d->row = *row;
	d->row_at = d->now;
	if (!place_eq(d->other, row->last))
		d->other = (struct raft_place){0, 0};
	if (d->trouble != DATABASE_OTHER_LOG || d->other.index == 0)
		database_trouble(d, DATABASE_NONE, "");
	return true;
}

/* ---- what is asked ---- */

void database_vote_asked(struct database *d, const struct raft_message *m)
{
	d->asked = *m;
	d->look |= m->type == RAFT_PREVOTE;
}

/* A VOTE that the core does not wait for any more would only take a term. */
static bool vote_is_wanted(const struct database *d)
{
	return d->asked.term > 0 && d->asked.type == RAFT_VOTE && d->read &&
	       d->role == RAFT_CANDIDATE && d->term == d->asked.term;
}

/*
 * When it is to be seen how far the table is, as this node hears no leader; or, more rarely, whether it
 * is well again.
 */
static uint64_t look_due(const struct database *d)
{
	uint64_t since = d->deaf_at > d->look_at ? d->deaf_at : d->look_at;

	if (d->role == RAFT_LEADER || d->feed.active)
		return UINT64_MAX;
	if (raft_id_none(d->leader))
		return since + d->election_ms;
	return d->read && d->trouble == DATABASE_NONE ? UINT64_MAX
						      : d->look_at + 10 * d->election_ms;
}

static bool is_under_way(const struct database *d, enum database_verb verb)
{
	for (unsigned i = 0; i < d->under_way; i++) {
		if (d->given[i].verb == verb)
			return true;
	}
	return false;
}

/* There is no cluster to ask about. */
static bool is_idle(const struct database *d)
{
	return raft_id_none(d->cluster) && !d->adopts;
}

bool database_vote_give(struct database *d)
{
	if (d->found_asked) {
		d->found_asked = false;
		(void)database_give(d, DATABASE_FOUND);
		d->statement.cluster = d->found_id;
		return true;
	}
	if (is_idle(d))
		return false;
	if (vote_is_wanted(d)) {
		struct given *g = database_give(d, DATABASE_TAKE);
		g->term = d->statement.term = d->asked.term;
		d->statement.vacant = d->adopts && !d->member;
		d->statement.place = d->asked.place;
		/* Else it would hide that the table lacks what it had. */
		if (is_empty(&d->row) || !is_filled(&d->row))
			d->statement.commit = d->agreed.index;
		d->asked.term = 0;
		return true;
	}
	if ((d->look || d->now >= look_due(d)) && !is_under_way(d, DATABASE_LOOK)) {
		d->look = false;
		d->look_at = d->now;
		(void)database_give(d, DATABASE_LOOK);
		return true;
	}
	return false;
}

uint64_t database_vote_due(const struct database *d)
{
	bool waits = d->up && !d->drops && !d->dropped && !is_idle(d) &&
		     d->under_way < DATABASE_STATEMENTS_MAX && !is_under_way(d, DATABASE_LOOK);

	return waits ? look_due(d) : UINT64_MAX;
}

/* ---- what the database says ---- */

static void vote(struct database *d, enum raft_message_type type, uint64_t term, bool ok)
{
	d->voted = true;
	d->vote = (struct raft_message){
	    .type = type, .from = RAFT_DATABASE, .to = d->node, .term = term, .ok = ok};
}

static bool would_vote(const struct database *d, const struct raft_message *m)
{
	const struct database_row *row = &d->row;
	bool quiet = row->lease_left_ms == 0 || raft_id_none(row->leader) ||
		     raft_id_eq(row->leader, d->node);

	return quiet && row->term < m->term && !place_after(row->last, m->place) &&
	       row->commit <= m->place.index && d->other.index == 0;
}

static void looked(struct database *d, const struct given *g, const struct database_result *r)
{
	struct raft_message m = d->asked;

	if (r->outcome != DATABASE_DONE || !database_vote_row(d, g, r))
		return;
	if (d->role == RAFT_LEADER)
		return;
	if (m.term > 0 && m.type == RAFT_PREVOTE) {
		bool ok = would_vote(d, &m);
		d->asked.term = 0;
		vote(d, RAFT_PREVOTED, ok ? m.term : d->row.term, ok);
		if (ok)
			return;
	}
	database_feed_begin(d);
}

/* DONE, and the row is what it says: the vote is confirmed, and with it all that is in the table. */
static void taken(struct database *d, const struct given *g, const struct database_result *r)
{
	bool done = r->outcome == DATABASE_DONE;

	if (RMQ_VARIANT(VOTE_UNKNOWN_GIVEN) && r->outcome == DATABASE_UNKNOWN)
		vote(d, RAFT_VOTED, g->term, true);
	if ((!done && r->outcome != DATABASE_FENCED) || !database_vote_row(d, g, r))
		return;
	if (done && (d->row.term != g->term || !raft_id_eq(d->row.leader, d->node))) {
		database_drop(d, DATABASE_DAMAGED,
		    "the server says that a term was taken, and its row says that it was not");
		return;
	}
	if (done) {
		database_knows(d, g->term, d->row.last);
		if (d->role == RAFT_CANDIDATE && d->term == g->term)
			database_lead_begin(d, g);
	} else {
		database_feed_begin(d);
	}
	vote(d, RAFT_VOTED, d->row.term, done);
}

static void founded(struct database *d, const struct given *g, const struct database_result *r)
{
	(void)g;
	if (d->found != DATABASE_FOUNDS)
		return;
	if (r->outcome == DATABASE_UNKNOWN) {
		d->found_asked = true;
	} else if (r->outcome == DATABASE_DONE) {
		d->found = DATABASE_FOUNDED;
		d->look = true;
	} else {
		d->found = DATABASE_REFUSED;
		if (r->outcome == DATABASE_FENCED)
			database_trouble(d, DATABASE_FOREIGN,
			    "the tables are another cluster's: each has its own schema or database; if all its "
			    "directories are lost: init --adopt");
	}
}

void database_vote_result(
    struct database *d, const struct given *g, const struct database_result *r)
{
	if (g->verb == DATABASE_FOUND)
		founded(d, g, r);
	else if (g->verb == DATABASE_LOOK)
		looked(d, g, r);
	else
		taken(d, g, r);
}
