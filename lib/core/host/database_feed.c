/*
 * The database's log to this node: a page is read, and sent as one message when the core has taken the one
 * before it; meanwhile the next page is read.
 */
#include "core/host/database_state.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/wire/record.h"

/* The table has something for this node. */
static bool is_behind(const struct database *d)
{
	const struct database_row *row = &d->row;

	return place_after(row->last, d->log) || row->commit > d->agreed.index ||
	       (d->other.index > 0 && !RMQ_VARIANT(OTHER_UNFED));
}

void database_feed_begin(struct database *d)
{
	struct feed *f = &d->feed;
	const struct database_row *row = &d->row;
	uint64_t from = d->log.index < row->last.index ? d->log.index : row->last.index;

	if (f->active || !raft_id_none(d->leader) || row->commit > row->last.index ||
	    !is_behind(d))
		return;
	database_feed_end(d);
	f->active = true;
	f->from = from + 1;
}

void database_feed_end(struct database *d)
{
	struct feed *f = &d->feed;

	*f = (struct feed){.next = f->next, .out = f->out, .reading = f->reading};
}

bool database_feed_give(struct database *d)
{
	struct feed *f = &d->feed;

	if (!f->active || !d->read || f->reading || f->ready || f->over)
		return false;
	f->reading = true;
	struct given *g = database_give(d, DATABASE_READ);
	g->from = d->statement.from = f->from;
	d->statement.rows = DATABASE_READ_ROWS;
	d->statement.bytes = DATABASE_READ_BYTES;
	return true;
}

/* ---- what was read ---- */

/* Boundaries, checked: where each term begins, in order. */
struct boundaries {
	const struct raft_place *list;
	unsigned count, at;
};

static bool boundaries_are_good(const struct boundaries *b, uint64_t prev, uint64_t term)
{
	if (b->count == 0 || b->count > DATABASE_TERMS_MAX || b->list[0].index == 0 ||
	    b->list[0].index > (prev > 0 ? prev : 1) || b->list[b->count - 1].term > term)
		return false;
	for (unsigned i = 0; i < b->count; i++) {
		const struct raft_place *p = &b->list[i];
		if (p->term == 0 ||
		    (i > 0 && (p->index <= p[-1].index || p->term <= p[-1].term)))
			return false;
	}
	return true;
}

/* The term at an index, which may not be lower than in the call before. */
static uint64_t boundaries_term(struct boundaries *b, uint64_t index)
{
	while (b->at + 1 < b->count && b->list[b->at + 1].index <= index)
		b->at++;
	return b->list[b->at].term;
}

/* After the last index of the same term; `end`: of all. */
static uint64_t boundaries_end(const struct boundaries *b, uint64_t end)
{
	uint64_t next = b->at + 1 < b->count ? b->list[b->at + 1].index : end;

	return next < end ? next : end;
}

static bool has_room(const struct feed_message *m)
{
	return m->count < RAFT_RUNS_MAX;
}

/* Holes [at, end), split where the term changes; as far as there is room.  Where it goes on. */
static uint64_t put_holes(
    struct feed_message *m, struct boundaries *b, uint64_t at, uint64_t end)
{
	while (at < end && has_room(m)) {
		uint64_t term = boundaries_term(b, at), stop = boundaries_end(b, end);
		if (stop - at > UINT32_MAX)
			stop = at + UINT32_MAX;
		m->pieces[m->count] = (struct piece){{NULL, 0}, NULL};
		m->runs[m->count++] = (struct raft_run){.first = at,
		    .term = term,
		    .count = (uint32_t)(stop - at),
		    .kind = RAFT_HOLE};
		m->last = (struct raft_place){stop - 1, term};
		at = stop;
	}
	return at;
}

enum page { PAGE_GOOD, PAGE_ENDS, PAGE_BAD };

/* PAGE_ENDS: it is for the next message. */
static enum page put_record(struct feed_message *m, struct boundaries *b,
    const struct raft_run *run, struct slice payload, size_t *bytes)
{
	bool config = run->kind == RECORD_CONFIG;

	if (!record_kind_name(run->kind) || run->count != 1 || payload.len != run->bytes ||
	    payload.len > RECORD_PAYLOAD_MAX || run->term != boundaries_term(b, run->first) ||
	    (run->kind == RECORD_NOOP && payload.len > 0))
		return PAGE_BAD;
	for (unsigned i = 0; config && i < m->count; i++) {
		if (m->runs[i].kind == RECORD_CONFIG)
			return PAGE_ENDS;
	}
	if (!has_room(m) || (*bytes > 0 && *bytes + payload.len > DATABASE_READ_BYTES))
		return PAGE_ENDS;
	if (config && raft_config_decode(payload, &m->config))
		return PAGE_BAD;
	*bytes += payload.len;
	m->runs[m->count] = *run;
	m->runs[m->count].config = config ? &m->config : NULL;
	m->pieces[m->count++] = chunk_put(&m->chunk, payload);
	(void)chunk_hold(m->chunk);
	m->last = (struct raft_place){run->first, run->term};
	return PAGE_GOOD;
}

static void clear(struct feed_message *m)
{
	for (unsigned i = 0; i < m->count; i++)
		chunk_drop(m->pieces[i].chunk);
	m->count = 0;
}

void database_feed_new(struct database *d)
{
	d->feed.next = memory_new(sizeof(*d->feed.next));
	d->feed.out = memory_new(sizeof(*d->feed.out));
}

static void message_free(struct feed_message *m)
{
	clear(m);
	chunk_drop(m->chunk);
	free(m);
}

void database_feed_free(struct database *d)
{
	message_free(d->feed.next);
	message_free(d->feed.out);
}

/* All indexes before a record that is there are holes, and so is what comes after the last one. */
static enum page put_page(
    struct feed_message *m, const struct database_result *r, uint64_t from)
{
	struct boundaries b = {r->terms, r->term_count, 0};
	bool cut = b.count == DATABASE_TERMS_MAX;
	/* What the last of too many boundaries holds is not known. */
	uint64_t end = cut ? b.list[b.count - 1].index : r->row.last.index + 1, at = from;
	size_t bytes = 0;

	for (unsigned i = 0; i < r->run_count; i++) {
		const struct raft_run *run = &r->runs[i];
		if (run->first < at || run->first > r->row.last.index)
			return PAGE_BAD;
		at = put_holes(m, &b, at, run->first < end ? run->first : end);
		if (at < run->first)
			return PAGE_ENDS;
		enum page page = put_record(m, &b, run, r->pieces[i].bytes, &bytes);
		if (page != PAGE_GOOD)
			return page;
		at++;
	}
	if (r->last)
		(void)put_holes(m, &b, at, end);
	return PAGE_GOOD;
}

/* Rule 6 of holes (raft.h). */
static bool holes_are_committed(const struct feed_message *m)
{
	for (unsigned i = 0; i < m->count; i++) {
		const struct raft_run *run = &m->runs[i];
		if (run->kind == RAFT_HOLE && run->first + run->count - 1 > m->commit)
			return false;
	}
	return true;
}

/*
 * The node asked for what comes after `asks`, of its log.  If the table's term there is newer, none of
 * that term is in this node's.  Returns where to read instead, 0: here.  What is committed is the same.
 */
static uint64_t look_before(
    const struct database *d, const struct raft_place *boundary, uint64_t from)
{
	const struct feed *f = &d->feed;
	uint64_t committed = d->agreed.index + 1;

	if (f->asks.index == 0 || from != f->asks.index + 1 || boundary->term <= f->asks.term ||
	    from <= committed)
		return 0;
	return boundary->index > committed ? boundary->index : committed;
}

/* What is committed here is not what the table has. */
static void contradicts(struct database *d, uint64_t index)
{
	char text[TEXT_MAX + 1];

	snprintf(text, sizeof(text),
	    "the database has another record %" PRIu64
	    " than the one that is committed on this node: one of them was put back to an older state, or is another cluster's",
	    index);
	d->other = d->row.last;
	database_trouble(d, DATABASE_OTHER_LOG, text);
	database_feed_end(d);
}

static void take_page(
    struct database *d, const struct given *g, const struct database_result *r)
{
	struct feed *f = &d->feed;
	struct feed_message *m = f->next;
	uint64_t prev = g->from - 1, before;
	struct boundaries b = {r->terms, r->term_count, 0};

	clear(m);
	if (r->row.commit > r->row.last.index || prev > r->row.last.index) {
		database_feed_end(d);
		return;
	}
	if (!boundaries_are_good(&b, prev, r->row.term)) {
		database_trouble(
		    d, DATABASE_DAMAGED, "rmq_terms holds what rmq does not write");
		database_feed_end(d);
		return;
	}
	if ((before = look_before(d, b.list, g->from)) > 0) {
		f->from = before;
		f->asks.index = 0;
		return;
	}
	m->prev = m->last = (struct raft_place){prev, prev > 0 ? boundaries_term(&b, prev) : 0};
	m->term = r->row.term > d->term ? r->row.term : d->term;
	m->commit = RMQ_VARIANT(FED_ALL_COMMITTED) ? r->row.last.index : r->row.commit;
	m->cover = r->row.cover;
	enum page page = put_page(m, r, g->from);
	f->over = m->last.index == r->row.last.index;
	if (page == PAGE_BAD || !holes_are_committed(m) ||
	    (f->over && !place_eq(m->last, r->row.last)) || (!f->over && m->count == 0)) {
		clear(m);
		database_trouble(d, DATABASE_DAMAGED, "rmq_log holds what rmq does not write");
		database_feed_end(d);
		return;
	}
	f->ready = true;
	f->from = m->last.index + 1;
}

void database_feed_result(
    struct database *d, const struct given *g, const struct database_result *r)
{
	struct feed *f = &d->feed;

	f->reading = false;
	/* It is another page that is wanted by now. */
	if (!f->active || f->from != g->from)
		return;
	if (r->outcome != DATABASE_DONE || !database_vote_row(d, g, r)) {
		database_feed_end(d);
		return;
	}
	take_page(d, g, r);
}

/* ---- messages ---- */

const struct feed_message *database_feed_take(struct database *d)
{
	struct feed *f = &d->feed;

	if (!f->active || !f->ready || f->taken < f->sent)
		return NULL;
	struct feed_message *m = f->next;
	f->next = f->out;
	f->out = m;
	f->ready = false;
	f->term = m->term;
	f->sent = m->last.index;
	f->sent_at = d->now;
	return m;
}

/* What was read meanwhile is not what the node needs. */
static void go_on(struct feed *f, uint64_t from)
{
	f->from = from;
	f->ready = f->over = false;
	f->sent = f->taken = 0;
}

void database_feed_answered(struct database *d, const struct raft_message *m)
{
	struct feed *f = &d->feed;

	if (!f->active)
		return;
	if (m->term > f->term && f->term > 0) {
		database_feed_end(d);
		return;
	}
	if (!m->ok && m->place.index < d->agreed.index) {
		contradicts(d, m->place.index + 1);
		return;
	}
	if (!m->ok) {
		f->asks = m->place;
		go_on(f, m->place.index + 1);
		return;
	}
	f->asks.index = 0;
	if (m->received >= f->sent)
		f->taken = f->sent;
	else if (m->received > f->taken)
		f->taken = m->received;
	if (f->taken == f->sent && f->over && !f->ready)
		database_feed_end(d);
}

/* A node that takes nothing, as its disk is full or it hears a leader, is left in peace. */
uint64_t database_feed_due(const struct database *d)
{
	const struct feed *f = &d->feed;

	return f->active && f->taken < f->sent ? f->sent_at + d->election_ms : UINT64_MAX;
}

void database_feed_tick(struct database *d)
{
	if (d->now >= database_feed_due(d))
		database_feed_end(d);
}
