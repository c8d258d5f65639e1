#include "core/host/adoption.h"

#include <stdio.h>

static enum adoption_step refuse(
    enum rmq_error *code, enum rmq_error as, char *text, const char *why)
{
	*code = as;
	snprintf(text, TEXT_MAX + 1, "%s", why);
	return ADOPTION_REFUSED;
}

/* Of the newest configuration, while it is that of the others. */
static void take_names(struct adoption *a, const struct raft_config *c)
{
	size_t len = 0;

	a->names[0] = '\0';
	for (unsigned i = 0; c && i < c->count && len < sizeof(a->names) - 24; i++)
		len += (size_t)snprintf(a->names + len, sizeof(a->names) - len, "%s%.20s",
		    len > 0 ? ", " : "", c->members[i].name);
}

/* It renews its lease, or that lasts for longer than anybody waits. */
static bool is_led(struct adoption *a, const struct adoption_seen *s)
{
	const struct database_row *row = &s->database->row;

	if (row->lease_left_ms == 0 || raft_id_none(row->leader) ||
	    raft_id_eq(row->leader, s->self)) {
		a->leased = false;
		return false;
	}
	if (!a->leased) {
		a->leased = true;
		a->leased_ms = s->database->row_at_ms;
		a->lease_ms = row->lease_left_ms;
	}
	return true;
}

static bool is_renewed(const struct adoption *a, const struct adoption_seen *s)
{
	return s->database->row_at_ms > a->leased_ms + a->lease_ms ||
	       a->lease_ms > s->patience_ms;
}

static const char *leader_of(const struct adoption_seen *s)
{
	const struct raft_config *c = s->log->config;
	const struct raft_member *m = c ? raft_config_find(c, s->database->row.leader) : NULL;

	return m ? m->name : "a node";
}

static enum adoption_step done(const struct adoption *a, char *text)
{
	snprintf(text, TEXT_MAX + 1,
	    "this node is the only member now, with all that the database holds; removed: %.100s; their "
	    "directories, if one is found, are of no use any more",
	    a->names[0] ? a->names : "nobody");
	return ADOPTION_DONE;
}

/* It is waited for as long as the log comes on. */
static bool is_stuck(struct adoption *a, const struct adoption_seen *s)
{
	if (!a->begun || s->log->last.index != a->last || s->log->commit != a->commit)
		a->moved_ms = s->now_ms;
	a->begun = true;
	a->last = s->log->last.index;
	a->commit = s->log->commit;
	return s->now_ms >= a->moved_ms + s->patience_ms;
}

static enum adoption_step look_at_row(
    struct adoption *a, const struct adoption_seen *s, enum rmq_error *code, char *text)
{
	const struct database_row *row = &s->database->row;

	if (row->commit > row->last.index)
		return refuse(code, RMQ_E_REFUSED, text,
		    "the tables were not filled yet when their node was lost: what they hold is not whole");
	if (!is_led(a, s))
		return ADOPTION_ADOPTS;
	if (!is_renewed(a, s))
		return ADOPTION_WAITS;
	*code = RMQ_E_EXISTS;
	snprintf(text, TEXT_MAX + 1,
	    "%s leads this cluster, by the lease in the database: have it admit this node, or stop "
	    "it for good",
	    leader_of(s));
	return ADOPTION_REFUSED;
}

enum adoption_step adoption_turn(
    struct adoption *a, const struct adoption_seen *s, enum rmq_error *code, char *text)
{
	const struct database_status *d = s->database;
	const struct raft_config *c = s->log->config;
	bool member = c && raft_config_find(c, s->self);
	bool stuck = is_stuck(a, s);

	if (member && c->count == 1 && s->log->role == RAFT_LEADER &&
	    s->log->config_index <= s->log->commit)
		return done(a, text);
	if (member && c->count > 1)
		return refuse(
		    code, RMQ_E_EXISTS, text, "another node has let this one in meanwhile");
	if (!member)
		take_names(a, c);
	if (d->read && d->row_known && !member) {
		enum adoption_step step = look_at_row(a, s, code, text);
		if (step != ADOPTION_ADOPTS || !stuck)
			return step;
	}
	if (d->trouble == DATABASE_UNFOUNDED)
		return refuse(code, RMQ_E_NOTHING, text,
		    "the database holds no records: there is nothing to adopt; rmq-cluster init makes "
		    "a cluster");
	if (!stuck)
		return ADOPTION_WAITS;
	*code = RMQ_E_NO_DAEMON;
	snprintf(text, TEXT_MAX + 1, "%s",
	    s->trouble[0]
		? s->trouble
		: "the log of the database does not come on: rmq-cluster why says more");
	return ADOPTION_REFUSED;
}
