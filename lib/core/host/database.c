/* What happens to the driver, and what is to be done, in order. */
#include "core/host/database_state.h"

#include <stdio.h>

/* ---- what is wrong, in words ---- */

static bool is_of_row(enum database_trouble t)
{
	return t == DATABASE_UNFOUNDED || t == DATABASE_FOREIGN || t == DATABASE_OLDER ||
	       t == DATABASE_OTHER_LOG || t == DATABASE_DAMAGED;
}

void database_trouble(struct database *d, enum database_trouble t, const char *text)
{
	d->trouble_at = d->now;
	if (d->trouble == t && strncmp(d->text, text, TEXT_MAX) == 0)
		return;
	d->trouble = t;
	snprintf(d->text, sizeof(d->text), "%s", text);
	d->changed++;
}

void database_trouble_over(struct database *d, enum database_trouble t)
{
	if (d->trouble == t)
		database_trouble(d, DATABASE_NONE, "");
}

const char *database_trouble_word(enum database_trouble t)
{
	static const char *const words[] = {
#define X(name, word) word,
	    DATABASE_TROUBLES(X)
#undef X
	};

	return (size_t)t < sizeof(words) / sizeof(*words) ? words[t] : "";
}

/* ---- begin and end ---- */

struct database *database_new(const struct database_begin *b, uint64_t now_ms)
{
	struct database *d = memory_new(sizeof(*d));

	d->node = b->node;
	d->election_ms = b->election_ms;
	d->heartbeat_ms = b->heartbeat_ms;
	d->now = d->deaf_at = now_ms;
	d->dig_rows = 8 * DATABASE_DIG_ROWS_MIN;
	database_feed_new(d);
	database_trouble(d, DATABASE_AWAY, "not connected yet");
	return d;
}

void database_free(struct database *d)
{
	if (!d)
		return;
	database_lead_end(d);
	free(d->lead.waiting.runs);
	free(d->lead.waiting.pieces);
	free(d->lead.digging.ranges);
	free(d->lead.digging.covers);
	database_feed_free(d);
	free(d);
}

static void at(struct database *d, uint64_t now_ms)
{
	if (now_ms > d->now)
		d->now = now_ms;
}

/* ---- what the core knows ---- */

void database_knows(struct database *d, uint64_t term, struct raft_place place)
{
	if (term > d->known.term)
		d->known.term = term;
	if (place_after(place, d->known.place))
		d->known.place = place;
}

/* It made the cluster, or made one of its log, and has not led since: all that there is is here. */
static bool has_just_founded(const struct database *d, const struct raft_status *s)
{
	return s->config && s->config_index == s->last.index && s->commit == s->last.index &&
	       (s->config_index == 1 || s->config->count == 1) &&
	       raft_config_is_voter(s->config, d->node);
}

void database_stepped(struct database *d, const struct raft *r, uint64_t now_ms)
{
	struct raft_status s;

	at(d, now_ms);
	raft_status(r, &s);
	d->role = s.role;
	d->term = s.term;
	d->log = s.last;
	d->cover = s.cover;
	d->agreed = (struct raft_place){s.commit, raft_term_at(r, s.commit)};
	d->just_founded = has_just_founded(d, &s);
	if (place_eq(d->log, d->other))
		d->other = (struct raft_place){0, 0};
	if (s.config)
		d->cluster = s.config->cluster;
	d->member = s.config && raft_config_find(s.config, d->node);
	/* Nobody leads but by a vote that the database has confirmed. */
	bool led = !raft_id_none(s.leader);
	database_knows(d, led ? s.term : 0, d->agreed);
	if (led || !raft_id_none(d->leader))
		d->deaf_at = d->now;
	d->leader = s.leader;
	bool leads =
	    (s.role == RAFT_LEADER || s.role == RAFT_CANDIDATE) && s.term == d->lead.term;
	if (d->lead.term > 0 && !leads)
		database_lead_end(d);
	if (d->lead.term > 0 && s.role == RAFT_LEADER)
		database_lead_leads(d);
	if (led || s.role == RAFT_CANDIDATE)
		database_feed_end(d);
}

void database_message(struct database *d, const struct raft_message *m,
    const struct piece *pieces, uint64_t now_ms)
{
	at(d, now_ms);
	switch (m->type) {
	case RAFT_PREVOTE:
	case RAFT_VOTE:
		database_vote_asked(d, m);
		break;
	case RAFT_APPEND:
		database_lead_append(d, m, pieces);
		break;
	case RAFT_APPENDED:
		database_feed_answered(d, m);
		break;
	default:
		break;
	}
}

void database_dig(struct database *d, struct raft_place cover, const struct hole_range *ranges,
    unsigned count)
{
	database_lead_dig(d, cover, ranges, count);
}

void database_found(struct database *d, struct raft_id cluster)
{
	if (d->found == DATABASE_FOUNDED && raft_id_eq(d->found_id, cluster))
		return;
	d->founds = d->found_asked = true;
	d->found_id = cluster;
	d->found = DATABASE_FOUNDS;
}

void database_found_end(struct database *d)
{
	if (d->found == DATABASE_FOUNDED)
		return;
	d->founds = d->found_asked = false;
	d->found = DATABASE_NOT_FOUNDED;
}

void database_adopt(struct database *d, bool adopts)
{
	d->adopts = adopts;
	d->look |= adopts;
	/* What was not begun is none of it. */
	if (!adopts && d->log.index == 0)
		d->cluster = (struct raft_id){{0}};
}

/* ---- the connection ---- */

void database_up(struct database *d, uint64_t now_ms)
{
	at(d, now_ms);
	d->up = d->look = true;
	d->read = d->dropped = d->drops = false;
	/* Before there is a cluster nothing is asked. */
	if (raft_id_none(d->cluster))
		database_trouble_over(d, DATABASE_AWAY);
}

/* What this node leads by is not known any more. */
void database_down(struct database *d, const char *why, uint64_t now_ms)
{
	at(d, now_ms);
	assert(d->under_way == 0);
	if (d->lead.term > 0 && !RMQ_VARIANT(UNKNOWN_IS_DONE)) {
		d->resets = true;
		database_lead_end(d);
	}
	database_feed_end(d);
	d->feed.reading = false;
	d->lead.fresh_at = 0;
	d->up = d->read = d->look = d->drops = false;
	/* What was read there says more than that it is away. */
	bool told = is_of_row(d->trouble) && d->now - d->trouble_at < 10 * d->election_ms;
	if (!d->dropped && !told)
		database_trouble(d, DATABASE_AWAY, why);
	d->dropped = false;
}

void database_drop(struct database *d, enum database_trouble t, const char *text)
{
	database_trouble(d, t, text);
	d->read = false;
	d->drops = true;
	if (d->lead.term > 0) {
		d->resets = true;
		database_lead_end(d);
	}
	database_feed_end(d);
}

struct given *database_give(struct database *d, enum database_verb verb)
{
	assert(d->under_way < DATABASE_STATEMENTS_MAX);
	struct given *g = &d->given[d->under_way++];

	*g = (struct given){
	    .number = ++d->statements, .verb = verb, .at = d->now, .known = d->known};
	d->statement = (struct database_statement){
	    .number = g->number,
	    .verb = verb,
	    .cluster = d->cluster,
	    .node = d->node,
	    .lease_ms = d->election_ms,
	};
	return g;
}

static void take_result(
    struct database *d, const struct given *g, const struct database_result *r)
{
	switch (g->verb) {
	case DATABASE_FOUND:
	case DATABASE_LOOK:
	case DATABASE_TAKE:
		database_vote_result(d, g, r);
		break;
	case DATABASE_APPEND:
	case DATABASE_DIG:
		database_lead_result(d, g, r);
		break;
	case DATABASE_READ:
		database_feed_result(d, g, r);
		break;
	}
}

void database_result(struct database *d, const struct database_result *r, uint64_t now_ms)
{
	at(d, now_ms);
	assert(d->under_way > 0 && d->given[0].number == r->number);
	struct given g = d->given[0];

	memmove(d->given, d->given + 1, --d->under_way * sizeof(*d->given));
	/* Of a connection that is to be dropped nothing counts. */
	if (d->drops || d->dropped) {
		if (g.verb == DATABASE_FOUND && d->found == DATABASE_FOUNDS)
			d->found_asked = true;
		return;
	}
	if (r->outcome == DATABASE_FAILED || r->outcome == DATABASE_UNKNOWN)
		database_trouble(
		    d, DATABASE_FAILING, r->text ? r->text : "a statement was not answered");
	take_result(d, &g, r);
	d->result_at = d->now;
}

/* ---- what is to be done ---- */

static struct raft_message *says(
    struct database *d, struct database_effect *e, enum raft_message_type type, uint64_t term)
{
	d->message = (struct raft_message){
	    .type = type, .from = RAFT_DATABASE, .to = d->node, .term = term};
	*e = (struct database_effect){
	    .type = DATABASE_STEP,
	    .event = {.type = RAFT_EVENT_MESSAGE, .message = &d->message},
	};
	return &d->message;
}

static void say_appended(struct database *d, struct database_effect *e)
{
	const struct lead *l = &d->lead;
	struct raft_message *m = says(d, e, RAFT_APPENDED, l->term);

	m->round = l->round_done;
	if (d->refuses) {
		m->place = l->next;
	} else {
		m->ok = true;
		m->place = l->confirmed;
		m->received = l->matched ? l->next.index : 0;
	}
	d->refuses = d->answers = false;
}

static void say_fed(struct database *d, struct database_effect *e, const struct feed_message *f)
{
	struct raft_message *m = says(d, e, RAFT_APPEND, f->term);

	m->place = f->prev;
	m->commit = f->commit;
	m->cover = f->cover;
	m->runs = f->runs;
	m->run_count = f->count;
	e->pieces = f->pieces;
}

/* Something that is to be told to the core. */
static bool tell(struct database *d, struct database_effect *e)
{
	const struct feed_message *f;

	if (d->outdated) {
		d->outdated = false;
		(void)says(d, e, RAFT_APPENDED, d->newer);
	} else if (d->voted) {
		d->voted = false;
		*says(d, e, d->vote.type, d->vote.term) = d->vote;
	} else if (d->refuses || d->answers) {
		say_appended(d, e);
	} else if ((f = database_feed_take(d)) != NULL) {
		say_fed(d, e, f);
	} else {
		return false;
	}
	return true;
}

static bool give(struct database *d, struct database_effect *e)
{
	if (!d->up || d->drops || d->dropped || d->under_way == DATABASE_STATEMENTS_MAX)
		return false;
	if (!database_vote_give(d) && !database_lead_give(d) && !database_feed_give(d))
		return false;
	*e = (struct database_effect){.type = DATABASE_EXECUTE, .statement = &d->statement};
	return true;
}

bool database_turn(struct database *d, uint64_t now_ms, struct database_effect *e)
{
	at(d, now_ms);
	database_feed_tick(d);
	if (d->resets) {
		d->resets = false;
		*e = (struct database_effect){
		    .type = DATABASE_STEP,
		    .event = {.type = RAFT_EVENT_RESET, .id = RAFT_DATABASE},
		};
		return true;
	}
	if (d->drops) {
		d->drops = false;
		d->dropped = true;
		*e = (struct database_effect){.type = DATABASE_DROP, .text = d->text};
		return true;
	}
	return tell(d, e) || give(d, e);
}

uint64_t database_due(const struct database *d)
{
	uint64_t vote = database_vote_due(d), lead = database_lead_due(d),
		 feed = database_feed_due(d);
	uint64_t due = vote < lead ? vote : lead;

	return due < feed ? due : feed;
}

/* ---- for people ---- */

void database_status(const struct database *d, struct database_status *s)
{
	const struct lead *l = &d->lead;

	*s = (struct database_status){
	    .up = d->up,
	    .read = d->read,
	    .trouble = d->trouble,
	    .changed = d->changed,
	    .found = d->found,
	    .row_known = d->row_known,
	    .row = d->row,
	    .row_at_ms = d->row_at,
	    .confirmed_at_ms = l->fresh_at,
	    .confirmed = l->table,
	    .statements = d->statements,
	    .under_way = d->under_way,
	    .oldest_at_ms = d->under_way > 0 ? d->given[0].at : 0,
	    .waiting = l->waiting.bytes,
	    .digging = l->digging.end - l->digging.first,
	    .feeding = d->feed.active,
	};
	memcpy(s->text, d->text, sizeof(s->text));
}
