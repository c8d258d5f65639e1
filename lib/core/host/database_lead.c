/*
 * A leader's log into the database.  What the core sends waits, and what waits becomes one statement
 * as soon as one may be given.  The core's flow bounds how much waits.
 */
#include "core/host/database_state.h"

/* ---- records that wait ---- */

static void waiting_push(struct waiting *w, const struct raft_run *run, struct piece piece)
{
	if (w->end == w->cap && w->first > 0) {
		memmove(w->runs, w->runs + w->first, (w->end - w->first) * sizeof(*w->runs));
		memmove(
		    w->pieces, w->pieces + w->first, (w->end - w->first) * sizeof(*w->pieces));
		w->end -= w->first;
		w->first = 0;
	}
	size_t runs = w->cap, pieces = w->cap;
	w->runs = memory_grow(w->runs, w->end, &runs, sizeof(*w->runs));
	w->pieces = memory_grow(w->pieces, w->end, &pieces, sizeof(*w->pieces));
	w->cap = (unsigned)pieces;
	if (piece.chunk) {
		(void)chunk_hold(piece.chunk);
	} else if (piece.bytes.len > 0) {
		piece.chunk = chunk_new(piece.bytes.len);
		memcpy(piece.chunk->bytes, piece.bytes.data, piece.bytes.len);
		piece.chunk->len = piece.bytes.len;
		piece.bytes.data = piece.chunk->bytes;
	}
	w->runs[w->end] = *run;
	w->runs[w->end].config = NULL;
	w->pieces[w->end++] = piece;
	w->bytes += piece.bytes.len;
}

static void waiting_drop(struct waiting *w, unsigned count)
{
	for (; count > 0; count--, w->first++) {
		w->bytes -= w->pieces[w->first].bytes.len;
		chunk_drop(w->pieces[w->first].chunk);
	}
	if (w->first == w->end)
		w->first = w->end = 0;
}

/* ---- holes that wait ---- */

static void digging_push(struct digging *g, const struct hole_range *h, struct raft_place cover)
{
	if (g->end == g->cap && g->first > 0) {
		unsigned n = g->end - g->first;
		memmove(g->ranges, g->ranges + g->first, n * sizeof(*g->ranges));
		memmove(g->covers, g->covers + g->first, n * sizeof(*g->covers));
		g->end = n;
		g->first = 0;
	}
	size_t ranges = g->cap, covers = g->cap;
	g->ranges = memory_grow(g->ranges, g->end, &ranges, sizeof(*g->ranges));
	g->covers = memory_grow(g->covers, g->end, &covers, sizeof(*g->covers));
	g->cap = (unsigned)covers;
	g->ranges[g->end] = *h;
	g->covers[g->end++] = cover;
}

void database_lead_dig(
    struct database *d, struct raft_place cover, const struct hole_range *h, unsigned count)
{
	if (d->lead.term == 0 || d->role != RAFT_LEADER)
		return;
	for (unsigned i = 0; i < count; i++)
		digging_push(&d->lead.digging, &h[i], cover);
}

/* Holes [from, end) that lie before a record. */
static void sweep_range(struct database *d, uint64_t from, uint64_t end)
{
	struct hole_range h = {from, (uint32_t)(end - from)};

	if (end > from)
		database_lead_dig(d, d->lead.sweep_end, &h, 1);
}

bool database_sweep(
    struct database *d, const struct ends_log *log, uint64_t stored, unsigned records)
{
	struct lead *l = &d->lead;
	struct digging *w = &l->digging;
	uint64_t end = l->sweep_end.index < stored ? l->sweep_end.index : stored;

	if (!l->leads || l->swept >= end || w->end - w->first >= DATABASE_RANGES_MAX)
		return false;
	log->begin(log->arg);
	for (; records > 0 && l->swept < end && w->end - w->first < DATABASE_RANGES_MAX;
	     records--) {
		uint64_t record = log->next(log->arg, l->swept);
		uint64_t most = l->swept + UINT32_MAX;
		uint64_t stop = record < end ? record : end;
		if (stop > most) {
			sweep_range(d, l->swept, most);
			l->swept = most;
			continue;
		}
		sweep_range(d, l->swept, stop);
		l->swept = stop + 1;
	}
	log->done(log->arg);
	return l->swept < end && w->end - w->first < DATABASE_RANGES_MAX;
}

/* ---- begin and end ---- */

void database_lead_begin(struct database *d, const struct given *g)
{
	struct lead *l = &d->lead;

	database_lead_end(d);
	l->term = g->term;
	l->next = l->last = l->table = d->row.last;
	l->fresh_at = g->at;
}

void database_lead_end(struct database *d)
{
	struct lead *l = &d->lead;

	waiting_drop(&l->waiting, l->waiting.end - l->waiting.first);
	*l = (struct lead){
	    .waiting = l->waiting, .digging = l->digging, .fresh_at = l->fresh_at};
	l->waiting.given = 0;
	l->digging.first = l->digging.end = l->digging.given = 0;
	d->answers = d->refuses = false;
}

void database_lead_leads(struct database *d)
{
	struct lead *l = &d->lead;

	if (l->leads)
		return;
	l->leads = true;
	l->swept = 1;
	l->sweep_end = d->cover;
}

/* What this node leads by is not known to be so. */
static void lose(struct database *d)
{
	database_lead_end(d);
	d->resets = true;
}

/* ---- what the core sends ---- */

/*
 * A leader in between had a record there that it never counted, and a newer one of this node's never came to
 * the table.  What is here and not there nobody has counted either: this node is fed.
 */
static void contradicts(struct database *d)
{
	d->other = d->lead.next;
	lose(d);
}

/* The term of the record at this index, as the message has it; 0: it does not. */
static uint64_t term_in(const struct raft_message *m, uint64_t index)
{
	if (index == m->place.index)
		return m->place.term;
	for (unsigned i = 0; i < m->run_count; i++) {
		const struct raft_run *run = &m->runs[i];
		if (index >= run->first && index - run->first < run->count)
			return run->term;
	}
	return 0;
}

/* Whether what it has can be put after what is there; else the core is told where to go on. */
static bool follows(struct database *d, const struct raft_message *m)
{
	struct lead *l = &d->lead;

	if (m->place.index > l->next.index) {
		d->refuses = true;
		return false;
	}
	if (l->matched)
		return true;
	if (term_in(m, l->next.index) != l->next.term) {
		contradicts(d);
		return false;
	}
	l->matched = true;
	return true;
}

/* What is there already is the same: in a term a leader's log does not change. */
static void take_runs(struct lead *l, const struct raft_message *m, const struct piece *pieces)
{
	for (unsigned i = 0; i < m->run_count; i++) {
		struct raft_run run = m->runs[i];
		uint64_t end = run.first + run.count;
		if (end <= l->next.index + 1)
			continue;
		run.first = l->next.index + 1;
		run.count = (uint32_t)(end - run.first);
		waiting_push(&l->waiting, &run, pieces[i]);
		l->next = (struct raft_place){end - 1, run.term};
	}
}

static bool is_fresh(const struct database *d)
{
	return d->now - d->lead.fresh_at < d->election_ms / 3;
}

void database_lead_append(
    struct database *d, const struct raft_message *m, const struct piece *pieces)
{
	struct lead *l = &d->lead;

	if (l->term == 0 || m->term != l->term)
		return;
	l->cover = m->cover;
	if (m->commit > l->commit)
		l->commit = m->commit;
	if (m->round > l->round)
		l->round = m->round;
	if (RMQ_VARIANT(ROUND_UNASKED) ||
	    (RMQ_VARIANT(LEASE_IS_PROOF) && d->now - l->fresh_at < d->election_ms)) {
		l->round_done = l->round;
		d->answers = true;
	}
	/* A heartbeat names what the core knows to be here, which is there. */
	if (raft_message_bulk(m) && !follows(d, m))
		return;
	if (m->run_count > 0)
		take_runs(l, m, pieces);
	/* Word that all is well has to come from the database. */
	if (is_fresh(d))
		d->answers = true;
	else
		l->beat = true;
}

/* ---- statements ---- */

static void place_terms(struct database *d, struct given *g)
{
	struct database_statement *s = &d->statement;
	uint64_t term = g->place.term;

	for (unsigned i = 0; i < s->run_count; i++) {
		if (s->runs[i].term == term)
			continue;
		if (s->term_count == DATABASE_TERMS_MAX) {
			s->run_count = i;
			break;
		}
		term = s->runs[i].term;
		d->terms[s->term_count++] = (struct raft_place){s->runs[i].first, term};
	}
	s->terms = d->terms;
}

/* As many of those that wait as one statement takes. */
static void place_runs(struct database *d, struct given *g)
{
	struct database_statement *s = &d->statement;
	struct waiting *w = &d->lead.waiting;
	unsigned from = w->first + w->given, n = 0;
	size_t bytes = 0;

	while (from + n < w->end && n < DATABASE_RUNS_MAX) {
		bytes += w->pieces[from + n].bytes.len;
		if (n > 0 && bytes > DATABASE_APPEND_BYTES)
			break;
		n++;
	}
	s->runs = w->runs + from;
	s->pieces = w->pieces + from;
	s->run_count = n;
	place_terms(d, g);
	if (s->run_count > 0) {
		const struct raft_run *tail = &s->runs[s->run_count - 1];
		g->last = (struct raft_place){tail->first + tail->count - 1, tail->term};
	}
	g->runs = s->run_count;
	w->given += s->run_count;
}

/* What every statement of a leader says and asks. */
static struct given *begin(struct database *d, enum database_verb verb)
{
	struct lead *l = &d->lead;
	struct given *g = database_give(d, verb);
	struct database_statement *s = &d->statement;

	g->term = s->term = l->term;
	g->round = l->round_given = l->round;
	g->place = g->last = l->last;
	s->commit = l->commit > d->agreed.index ? l->commit : d->agreed.index;
	l->beat = false;
	l->dug = verb == DATABASE_DIG;
	return g;
}

static bool has_holes(const struct database_statement *s)
{
	for (unsigned i = 0; i < s->run_count; i++) {
		if (s->runs[i].kind == RAFT_HOLE)
			return true;
	}
	return false;
}

static void give_append(struct database *d, bool records)
{
	struct lead *l = &d->lead;
	struct given *g = begin(d, DATABASE_APPEND);
	struct database_statement *s = &d->statement;

	if (records)
		place_runs(d, g);
	s->place = g->place;
	s->last = l->last = g->last;
	/* Else what covers the table's holes is what they were dug by. */
	if (has_holes(s))
		s->cover = l->cover;
}

static void give_dig(struct database *d)
{
	struct digging *w = &d->lead.digging;
	struct given *g = begin(d, DATABASE_DIG);
	struct database_statement *s = &d->statement;
	unsigned n = w->end - w->first;

	if (n > DATABASE_RANGES_MAX)
		n = DATABASE_RANGES_MAX;
	s->ranges = w->ranges + w->first;
	s->range_count = g->ranges = w->given = n;
	s->cover = w->covers[w->first + n - 1];
	s->rows = d->dig_rows;
}

static bool is_asked(const struct database *d)
{
	for (unsigned i = 0; i < d->under_way; i++) {
		if (d->given[i].term == d->lead.term && !d->given[i].vain)
			return true;
	}
	return false;
}

/*
 * Records and holes take turns.  A new round, and word that all is well, are asked for by whatever
 * statement comes next.
 */
bool database_lead_give(struct database *d)
{
	struct lead *l = &d->lead;

	if (l->term == 0 || d->role != RAFT_LEADER)
		return false;
	bool records =
	    d->now >= l->retry.at && l->waiting.first + l->waiting.given < l->waiting.end;
	/* One at a time: what is left of it is given again. */
	bool holes = d->now >= l->dig_retry.at && l->digging.given == 0 &&
		     l->digging.first < l->digging.end;
	if (holes && (!l->dug || !records))
		give_dig(d);
	else if (records || l->round > l->round_given || (l->beat && !is_asked(d)))
		give_append(d, records);
	else
		return false;
	return true;
}

static uint64_t retry_due(const struct database *d, const struct retry *r, bool waits)
{
	return waits && d->up && r->at > d->now ? r->at : UINT64_MAX;
}

uint64_t database_lead_due(const struct database *d)
{
	const struct lead *l = &d->lead;
	uint64_t append = retry_due(d, &l->retry, l->waiting.end > l->waiting.first),
		 dig = retry_due(d, &l->dig_retry, l->digging.end > l->digging.first);

	return append < dig ? append : dig;
}

/* ---- results ---- */

/* Nothing else is confirmed while it runs, and the leadership lasts an election timeout. */
static void dug(struct database *d, const struct given *g, bool all)
{
	struct digging *w = &d->lead.digging;
	/* It waits for the statement before it. */
	uint64_t began = g->at > d->result_at ? g->at : d->result_at, ms = d->now - began;

	if (ms > d->election_ms / 8 && d->dig_rows > DATABASE_DIG_ROWS_MIN)
		d->dig_rows /= 2;
	else if (ms < d->election_ms / 16 && !all && d->dig_rows < DATABASE_DIG_ROWS_MAX)
		d->dig_rows *= 2;
	w->given = 0;
	if (all)
		w->first += g->ranges;
}

static void confirmed(
    struct database *d, const struct given *g, const struct database_result *r)
{
	struct lead *l = &d->lead;

	/* A DIG asks for no place. */
	if (g->verb == DATABASE_APPEND) {
		l->table = g->last;
		database_knows(d, l->term, g->last);
	}
	if (g->verb == DATABASE_APPEND && l->matched)
		l->confirmed = g->last;
	waiting_drop(&l->waiting, g->runs);
	l->waiting.given -= g->runs;
	if (g->verb == DATABASE_DIG)
		dug(d, g, r->last);
	if (g->round > l->round_done)
		l->round_done = g->round;
	l->fresh_at = g->at;
	l->beat = l->beat && !is_fresh(d);
	d->answers = true;
	if (g->verb == DATABASE_DIG)
		l->dig_retry.ms = 0;
	else if (g->runs > 0 || l->waiting.end == l->waiting.first)
		l->retry.ms = 0;
	if (l->retry.ms == 0 && l->dig_retry.ms == 0)
		database_trouble_over(d, DATABASE_FAILING);
}

/* It had no effect: what was given waits again, and what was given after it is in vain. */
static void failed(struct database *d, const struct given *g)
{
	struct lead *l = &d->lead;
	struct retry *retry = g->verb == DATABASE_DIG ? &l->dig_retry : &l->retry;

	retry->ms = retry->ms > 0 ? 2 * retry->ms : d->heartbeat_ms / 4 + 1;
	if (retry->ms > d->election_ms)
		retry->ms = d->election_ms;
	retry->at = d->now + retry->ms;
	l->round_given = l->round_done;
	if (g->runs > 0) {
		l->last = l->table;
		l->waiting.given = 0;
	}
	if (g->ranges > 0)
		l->digging.given = 0;
	for (unsigned i = 0; i < d->under_way && g->runs > 0; i++)
		d->given[i].vain |=
		    d->given[i].verb == DATABASE_APPEND && d->given[i].term == g->term;
}

/* Another one leads, or what this node knows of the table is wrong. */
static void fenced(struct database *d, const struct given *g, const struct database_result *r)
{
	uint64_t term = d->lead.term;

	lose(d);
	if (!database_vote_row(d, g, r))
		return;
	if (d->row.term > term) {
		d->outdated = true;
		d->newer = d->row.term;
		d->resets = false;
	}
}

void database_lead_result(
    struct database *d, const struct given *g, const struct database_result *r)
{
	struct lead *l = &d->lead;
	enum database_outcome outcome = r->outcome;

	if (l->term == 0 || g->term != l->term)
		return;
	if (RMQ_VARIANT(UNKNOWN_IS_DONE) && outcome == DATABASE_UNKNOWN)
		outcome = DATABASE_DONE;
	switch (outcome) {
	case DATABASE_DONE:
		if (g->vain)
			lose(d);
		else
			confirmed(d, g, r);
		break;
	case DATABASE_FAILED:
		if (!g->vain)
			failed(d, g);
		break;
	case DATABASE_FENCED:
		/* By its place, as the one before it failed. */
		if (!g->vain)
			fenced(d, g, r);
		break;
	case DATABASE_UNKNOWN:
		lose(d);
		break;
	}
}
