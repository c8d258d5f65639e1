#include "tables.h"

#include <stdlib.h>

#define SERVERS 2 /* the one that is written to, and the one that was before */

/* What a server holds. */
struct tables {
	struct database_row row;
	uint64_t lease_until; /* by its clock */
	struct raft_place terms[TERMS];
	unsigned term_count;
	struct rec log[LOG_MAX + 1]; /* kind RAFT_HOLE: nothing */
};

/* A statement, copied, and what has become of it. */
struct request {
	struct request *next;
	struct database_statement s;
	struct rec *recs; /* APPEND: of each index after s.place */
	uint64_t arrives;
	bool executed, done;
	bool lost;	   /* executed where what was confirmed is lost */
	uint64_t answered; /* when the answer is there */
	struct database_result r;
	struct tables *seen; /* READ: as it was */
};

/* A connection, as its server has it. */
struct session {
	struct session *next;
	struct node *node; /* NULL: nobody listens any more */
	unsigned server;
	uint64_t
	    dies_at; /* nobody listens, and then it is over; or the node notices that it is lost */
	struct request *first, **end;
};

/* A change that the standbys do not have yet. */
struct change {
	struct change *next;
	struct request *request; /* executed; NULL: nobody waits for it */
	struct database_statement s;
	struct rec *recs;
};

/* What a node knows of its connection. */
struct client {
	struct database *db;
	struct session *session;
	uint64_t again_at; /* it is tried */
};

struct table {
	struct client clients[NODES];
	struct session *sessions;
	struct tables *primary, *confirmed; /* confirmed: what the standbys have */
	struct tables *old;		    /* NULL: no server is left behind */
	struct tables *backup, *right;	    /* right: while the backup is served */
	struct change *changes, **changes_end;
	uint64_t down_until, still_until, full_until, no_rows_until, old_until, replicate_at;
	int64_t skew[SERVERS];
	uint64_t lost; /* the backup is served, and lacks what was confirmed from here on */
};

static uint64_t server_clock(const struct sim *s, unsigned server)
{
	return (uint64_t)((int64_t)s->now + s->table->skew[server]);
}

static struct tables *tables_of(const struct table *t, unsigned server)
{
	return server == 0 ? t->primary : t->old;
}

/* ---- what statements do ---- */

static uint64_t term_at(const struct tables *t, uint64_t index)
{
	uint64_t term = 0;

	for (unsigned i = 0; i < t->term_count && t->terms[i].index <= index; i++)
		term = t->terms[i].term;
	return term;
}

static bool after(struct raft_place a, struct raft_place b)
{
	return a.term > b.term || (a.term == b.term && a.index > b.index);
}

/* The condition of a statement. */
static bool holds(const struct tables *t, const struct database_statement *s, uint64_t now)
{
	const struct database_row *row = &t->row;
	bool leads = (row->term == s->term && raft_id_eq(row->leader, s->node)) ||
		     RMQ_VARIANT(TABLE_UNFENCED);

	switch (s->verb) {
	case DATABASE_FOUND:
		return !row->exists || raft_id_eq(row->cluster, s->cluster) ||
		       (row->term == 0 && row->last.index == 0);
	case DATABASE_TAKE:
		return row->exists && raft_id_eq(row->cluster, s->cluster) &&
		       row->term < s->term &&
		       (!s->vacant || t->lease_until <= now ||
			   RMQ_VARIANT(TABLE_ADOPTED_LEASED)) &&
		       ((!after(row->last, s->place) && row->commit <= s->place.index) ||
			   RMQ_VARIANT(TABLE_LOG_UNASKED));
	case DATABASE_APPEND:
		return row->exists && leads &&
		       ((row->last.index == s->place.index &&
			    row->last.term == s->place.term) ||
			   RMQ_VARIANT(TABLE_PLACE_UNASKED));
	case DATABASE_DIG:
		return row->exists && leads;
	default:
		return true;
	}
}

static void led(struct tables *t, const struct database_statement *s, uint64_t now)
{
	t->lease_until = now + s->lease_ms;
	if (s->commit > t->row.commit)
		t->row.commit = s->commit;
	if (s->cover.index > t->row.cover.index)
		t->row.cover = s->cover;
}

static void append(struct sim *sim, struct tables *t, const struct database_statement *s,
    const struct rec *recs)
{
	for (unsigned i = 0; i < s->term_count; i++)
		t->terms[t->term_count++] = s->terms[i];
	for (uint64_t i = s->place.index + 1; i <= s->last.index; i++) {
		t->log[i] = recs[i - s->place.index - 1];
		if (t->log[i].kind != RAFT_HOLE)
			check_made(sim, i, term_at(t, i - 1), t->log[i]);
		if (term_at(t, i) != recs[i - s->place.index - 1].term)
			sim_broken(sim, "the boundaries of terms are not those of the records",
			    i, term_at(t, i));
	}
	t->row.last = s->last;
}

/* Whether nothing is left. */
static bool dig(struct sim *sim, struct tables *t, const struct database_statement *s)
{
	uint32_t rows = 0;

	for (unsigned i = 0; i < s->range_count; i++) {
		const struct hole_range *h = &s->ranges[i];
		for (uint64_t k = h->first; k < h->first + h->count; k++) {
			if (t->log[k].kind != RAFT_HOLE && rows++ == s->rows)
				return false;
			if (k > t->row.last.index)
				sim_broken(sim, "a hole after the table's end", k, h->first);
			if (t->log[k].kind == RECORD_CONFIG)
				sim_broken(sim, "a configuration is to be deleted", k, 0);
			if (!sim->killed_by[k])
				sim_broken(
				    sim, "what lives is deleted from the database", k, 0);
			t->log[k].kind = RAFT_HOLE;
		}
	}
	return rows < s->rows;
}

/* The condition holds.  Whether nothing is left to do. */
static bool apply(struct sim *sim, struct tables *t, const struct database_statement *s,
    const struct rec *recs, uint64_t now)
{
	switch (s->verb) {
	case DATABASE_FOUND:
		if (!t->row.exists || !raft_id_eq(t->row.cluster, s->cluster))
			t->row = (struct database_row){.exists = true, .cluster = s->cluster};
		break;
	case DATABASE_TAKE:
		t->row.term = s->term;
		t->row.leader = s->node;
		led(t, s, now);
		break;
	case DATABASE_APPEND:
		led(t, s, now);
		append(sim, t, s, recs);
		break;
	case DATABASE_DIG:
		led(t, s, now);
		return dig(sim, t, s);
	default:
		break;
	}
	return true;
}

/* ---- a server ---- */

static struct hole_range *copy_ranges(const struct database_statement *s)
{
	struct hole_range *ranges = calloc(s->range_count + 1, sizeof(*ranges));

	if (s->range_count > 0)
		memcpy(ranges, s->ranges, s->range_count * sizeof(*ranges));
	return ranges;
}

static struct raft_place *copy_terms(const struct database_statement *s)
{
	struct raft_place *terms = calloc(s->term_count + 1, sizeof(*terms));

	if (s->term_count > 0)
		memcpy(terms, s->terms, s->term_count * sizeof(*terms));
	return terms;
}

static struct database_statement copy(const struct database_statement *s)
{
	struct database_statement c = *s;

	c.ranges = copy_ranges(s);
	c.terms = copy_terms(s);
	c.runs = NULL;
	c.pieces = NULL;
	return c;
}

static void statement_free(struct database_statement *s)
{
	free((void *)(uintptr_t)s->ranges);
	free((void *)(uintptr_t)s->terms);
}

static struct rec *copy_recs(const struct database_statement *s, const struct rec *recs)
{
	size_t n = s->verb == DATABASE_APPEND ? (size_t)(s->last.index - s->place.index) : 0;
	struct rec *c = calloc(n + 1, sizeof(*c));

	if (n > 0)
		memcpy(c, recs, n * sizeof(*c));
	return c;
}

static void request_free(struct sim *s, struct request *q)
{
	for (struct change *c = s->table->changes; c; c = c->next) {
		if (c->request == q)
			c->request = NULL;
	}
	statement_free(&q->s);
	free(q->recs);
	free(q->seen);
	free(q);
}

static void change_free(struct change *c)
{
	statement_free(&c->s);
	free(c->recs);
	free(c);
}

static void see(struct sim *s, struct request *q, const struct tables *t, unsigned server)
{
	uint64_t now = server_clock(s, server);

	q->r.row_known = true;
	q->r.row = t->row;
	q->r.row.lease_left_ms = t->lease_until > now ? t->lease_until - now : 0;
}

static void answer(struct sim *s, struct request *q, enum database_outcome outcome)
{
	q->done = true;
	q->r.outcome = outcome;
	q->answered = s->now + prng_range(&s->prng, 1, s->quiet ? 2 : s->delay_max);
}

static bool writes(const struct request *q)
{
	return q->s.verb != DATABASE_LOOK && q->s.verb != DATABASE_READ;
}

/* DONE comes when the standbys have it, on the old server never. */
static void execute(struct sim *s, struct request *q, unsigned server)
{
	struct table *t = s->table;
	struct tables *on = tables_of(t, server);

	q->executed = true;
	q->lost = t->lost > 0;
	/* No more rows, but those that are there may be changed; or it is so full that now and then not even that. */
	bool no_rows = s->now < t->no_rows_until && q->s.last.index > q->s.place.index;
	bool full = s->now < t->full_until && prng_chance(&s->prng, 700);
	if (writes(q) && (no_rows || full)) {
		q->r.text = "could not extend file: No space left on device";
		answer(s, q, DATABASE_FAILED);
		return;
	}
	if (!holds(on, &q->s, server_clock(s, server))) {
		see(s, q, on, server);
		answer(s, q, DATABASE_FENCED);
		return;
	}
	if (q->s.vacant && on->lease_until > server_clock(s, server))
		sim_broken(s, "a log is adopted from a node that leads", q->s.term, 0);
	q->r.last = apply(s, on, &q->s, q->recs, server_clock(s, server));
	see(s, q, on, server);
	if (!writes(q)) {
		if (q->s.verb == DATABASE_READ) {
			q->seen = malloc(sizeof(*q->seen));
			*q->seen = *on;
		}
		answer(s, q, DATABASE_DONE);
		return;
	}
	if (server != 0)
		return;
	struct change *c = calloc(1, sizeof(*c));
	*c = (struct change){.request = q, .s = copy(&q->s), .recs = copy_recs(&q->s, q->recs)};
	*t->changes_end = c;
	t->changes_end = &c->next;
}

/* The oldest of those that the standbys lack. */
static void replicate(struct sim *s)
{
	struct table *t = s->table;
	struct change *c = t->changes;

	t->changes = c->next;
	if (!t->changes)
		t->changes_end = &t->changes;
	(void)apply(s, t->confirmed, &c->s, c->recs, server_clock(s, 0));
	if (c->request)
		answer(s, c->request, DATABASE_DONE);
	change_free(c);
}

/* One statement after the other. */
static void serve(struct sim *s, struct session *c)
{
	for (struct request *q = c->first; q; q = q->next) {
		if (q->done)
			continue;
		if (q->executed || q->arrives > s->now || !tables_of(s->table, c->server))
			return;
		execute(s, q, c->server);
		if (!q->done)
			return;
	}
}

/* ---- a connection ---- */

static struct client *client_of(const struct sim *s, const struct node *n)
{
	return &s->table->clients[n->slot];
}

static void drop_requests(struct sim *s, struct session *c, struct request **from)
{
	while (*from) {
		struct request *q = *from;
		*from = q->next;
		request_free(s, q);
	}
	c->end = from;
}

/* What the server has got of it may be executed later. */
static void abandon(struct sim *s, struct session *c)
{
	struct request **at = &c->first;

	c->node = NULL;
	c->dies_at = s->now + prng_below(&s->prng, 600);
	while (*at && !((*at)->arrives > s->now && prng_chance(&s->prng, 500)))
		at = &(*at)->next;
	drop_requests(s, c, at);
}

static void run(struct sim *s, struct node *n);

/* The node notices that its connection is lost. */
static void lose(struct sim *s, struct node *n, const char *why)
{
	struct client *c = client_of(s, n);
	struct session *old = c->session;

	c->session = NULL;
	c->again_at = s->now + prng_below(&s->prng, s->quiet ? 10 : 100);
	for (struct request *q = old->first; q; q = q->next) {
		struct database_result r = {
		    .number = q->s.number, .outcome = DATABASE_UNKNOWN, .text = why};
		database_result(c->db, &r, node_clock(s, n));
	}
	abandon(s, old);
	database_down(c->db, why, node_clock(s, n));
}

static void connect(struct sim *s, struct node *n)
{
	struct table *t = s->table;
	struct client *c = client_of(s, n);
	unsigned server = t->old && prng_chance(&s->prng, 300);

	c->again_at = s->now + prng_below(&s->prng, 60);
	if (server == 0 && s->now < t->down_until) {
		database_down(c->db, "connection refused", node_clock(s, n));
		return;
	}
	struct session *new = calloc(1, sizeof(*new));
	*new = (struct session){.next = t->sessions, .node = n, .server = server};
	new->end = &new->first;
	new->dies_at = UINT64_MAX;
	t->sessions = new;
	c->session = new;
	database_up(c->db, node_clock(s, n));
}

/* A record by what names it; NOOP and CONFIG, which have no name in them, by their place. */
static struct rec rec_of(
    struct sim *s, uint64_t index, const struct raft_run *run, struct slice payload)
{
	struct rec r = {.term = run->term, .kind = run->kind};

	if (run->kind == RAFT_HOLE)
		return r;
	if (payload.len != run->bytes && run->kind != RECORD_CONFIG)
		sim_broken(s, "a payload is another record's", index, run->bytes);
	if (run->kind != RECORD_CONFIG && run->kind != RECORD_NOOP) {
		r.value = load_u32(payload.data);
		return r;
	}
	for (const struct made *m = s->made[index]; m; m = m->next) {
		if (m->rec.term == run->term)
			r.value = m->rec.value;
	}
	return r;
}

static void submit(struct sim *s, struct node *n, const struct database_statement *st)
{
	struct session *c = client_of(s, n)->session;
	struct request *q = calloc(1, sizeof(*q)), *before = NULL;
	uint64_t at = 0, n_recs = st->last.index - st->place.index;

	if (!c)
		sim_broken(s, "a statement without a connection", st->number, n->slot);
	for (struct request *o = c->first; o; o = o->next)
		before = o;
	*q = (struct request){.s = copy(st), .r = {.number = st->number}};
	q->recs = calloc((st->verb == DATABASE_APPEND ? n_recs : 0) + 1, sizeof(*q->recs));
	for (unsigned i = 0; i < st->run_count; i++) {
		for (uint32_t k = 0; k < st->runs[i].count; k++, at++)
			q->recs[at] = rec_of(
			    s, st->place.index + 1 + at, &st->runs[i], st->pieces[i].bytes);
	}
	if (st->verb == DATABASE_APPEND && at != n_recs)
		sim_broken(s, "an APPEND has another length than it says", at, n_recs);
	q->arrives = s->now + prng_range(&s->prng, 1, s->quiet ? 2 : s->delay_max);
	if (before && before->arrives > q->arrives)
		q->arrives = before->arrives;
	*c->end = q;
	c->end = &q->next;
	sim_note(s, (uint64_t)st->verb << 48 ^ st->term << 32 ^ st->last.index ^ n->slot << 8);
}

/* ---- payloads ---- */

static struct slice payload_of(struct sim *s, const struct rec *r, uint8_t **made)
{
	uint32_t bytes = s->value[r->value].bytes;

	if (r->kind == RECORD_CONFIG) {
		*made = malloc(RAFT_CONFIG_SIZE_MAX);
		struct writer w = writer_of(*made, RAFT_CONFIG_SIZE_MAX);
		raft_config_encode(&w, s->value[r->value].config);
		return slice_of(*made, w.len);
	}
	if (r->kind == RAFT_HOLE || r->kind == RECORD_NOOP)
		return slice_of(NULL, 0);
	*made = calloc(1, bytes);
	store_u32(*made, r->value);
	return slice_of(*made, bytes);
}

/* ---- READ ---- */

struct page {
	struct raft_run runs[DATABASE_READ_ROWS];
	struct piece pieces[DATABASE_READ_ROWS];
	uint8_t *made[DATABASE_READ_ROWS];
	struct raft_place terms[TERMS];
	struct database_result r;
};

static void read_terms(struct page *p, const struct tables *t, uint64_t prev, uint64_t last)
{
	unsigned first = 0;

	while (first + 1 < t->term_count && t->terms[first + 1].index <= prev)
		first++;
	for (unsigned i = first; i < t->term_count && t->terms[i].index <= last; i++)
		p->terms[p->r.term_count++] = t->terms[i];
	p->r.terms = p->terms;
}

static void read_page(struct sim *s, struct page *p, const struct request *q)
{
	const struct tables *t = q->seen;
	uint64_t at = q->s.from, last = t->row.last.index;
	size_t bytes = 0;
	unsigned n = 0;

	p->r = q->r;
	for (; at <= last; at++) {
		const struct rec *rec = &t->log[at];
		if (rec->kind == RAFT_HOLE)
			continue;
		uint8_t *made = NULL;
		struct slice payload = payload_of(s, rec, &made);
		bytes += payload.len;
		if (n == q->s.rows || (n > 0 && bytes > q->s.bytes)) {
			free(made);
			break;
		}
		p->made[n] = made;
		p->pieces[n] = (struct piece){payload, NULL};
		p->runs[n++] = (struct raft_run){.first = at,
		    .term = rec->term,
		    .count = 1,
		    .bytes = (uint32_t)payload.len,
		    .kind = rec->kind};
	}
	p->r.last = at > last;
	p->r.runs = p->runs;
	p->r.pieces = p->pieces;
	p->r.run_count = n;
	uint64_t end = p->r.last ? last : (n > 0 ? p->runs[n - 1].first : q->s.from);
	read_terms(p, t, q->s.from - 1, end);
}

/* ---- the node ---- */

static void told(struct sim *s, struct node *n, struct request *q)
{
	struct database *db = client_of(s, n)->db;

	if (q->s.verb == DATABASE_READ && q->r.outcome == DATABASE_DONE) {
		struct page *p = calloc(1, sizeof(*p));
		read_page(s, p, q);
		database_result(db, &p->r, node_clock(s, n));
		for (unsigned i = 0; i < p->r.run_count; i++)
			free(p->made[i]);
		free(p);
		return;
	}
	if (q->r.outcome == DATABASE_DONE && q->lost && writes(q))
		sim_broken(
		    s, "who has lost what was confirmed is served from", n->slot, q->s.verb);
	database_result(db, &q->r, node_clock(s, n));
}

/* The driver's message, as one of the network's. */
static void deliver(struct sim *s, struct node *n, const struct database_effect *e)
{
	const struct raft_message *m = e->event.message;
	struct packet *p = calloc(1, sizeof(*p));
	uint64_t count = 0, at = 0;

	p->m = *m;
	p->runs = calloc(m->run_count + 1, sizeof(*p->runs));
	for (unsigned i = 0; i < m->run_count; i++)
		count += m->runs[i].count;
	p->values = calloc(count + 1, sizeof(*p->values));
	for (unsigned i = 0; i < m->run_count; i++) {
		p->runs[i] = m->runs[i];
		for (uint32_t k = 0; k < m->runs[i].count; k++, at++)
			p->values[at] =
			    rec_of(s, m->place.index + 1 + at, &m->runs[i], e->pieces[i].bytes)
				.value;
	}
	p->m.runs = p->runs;
	node_take(s, n, p);
	packet_free(p);
}

static uint64_t next_record(void *arg, uint64_t from)
{
	const struct node *n = arg;

	while (from <= n->disk.last && n->disk.log[from].kind == RAFT_HOLE)
		from++;
	return from <= n->disk.last ? from : UINT64_MAX;
}

static void nothing(void *arg)
{
	(void)arg;
}

static void run(struct sim *s, struct node *n)
{
	struct client *c = client_of(s, n);
	struct database_effect e;
	struct ends_log log = {
	    .arg = n, .begin = nothing, .next = next_record, .done = nothing};

	(void)database_sweep(c->db, &log, n->disk.last, 64);
	while (n->raft && database_turn(c->db, node_clock(s, n), &e)) {
		switch (e.type) {
		case DATABASE_EXECUTE:
			submit(s, n, e.statement);
			break;
		case DATABASE_STEP:
			if (e.event.type == RAFT_EVENT_MESSAGE)
				deliver(s, n, &e);
			else
				(void)!node_step(s, n, &e.event);
			break;
		case DATABASE_DROP:
			if (c->session)
				lose(s, n, e.text);
			break;
		}
	}
}

static void client_turn(struct sim *s, struct node *n)
{
	struct client *c = client_of(s, n);

	if (!c->session && s->now >= c->again_at)
		connect(s, n);
	while (c->session && c->session->first && c->session->first->done &&
	       c->session->first->answered <= s->now) {
		struct request *q = c->session->first;
		c->session->first = q->next;
		if (!q->next)
			c->session->end = &c->session->first;
		told(s, n, q);
		request_free(s, q);
	}
	if (c->session && c->session->dies_at <= s->now)
		lose(s, n, "connection lost");
	run(s, n);
}

void tables_up(struct sim *s, struct node *n, const struct raft_begin *b)
{
	struct client *c = client_of(s, n);
	struct database_begin begin = {
	    .node = n->id, .election_ms = b->election_ms, .heartbeat_ms = b->heartbeat_ms};

	c->db = database_new(&begin, node_clock(s, n));
	c->again_at = s->now;
	database_stepped(c->db, n->raft, node_clock(s, n));
}

void tables_down(struct sim *s, struct node *n)
{
	struct client *c = client_of(s, n);

	if (c->session)
		abandon(s, c->session);
	c->session = NULL;
	database_free(c->db);
	c->db = NULL;
}

void tables_adopt(struct sim *s, struct node *n, bool adopts, struct database_status *is)
{
	struct database *db = client_of(s, n)->db;

	if (is)
		database_status(db, is);
	database_adopt(db, adopts);
}

void tables_stepped(struct sim *s, struct node *n)
{
	database_stepped(client_of(s, n)->db, n->raft, node_clock(s, n));
}

void tables_post(struct sim *s, struct node *n, const struct raft_message *m)
{
	struct piece *pieces = calloc(m->run_count + 1, sizeof(*pieces));
	uint8_t **made = calloc(m->run_count + 1, sizeof(*made));

	for (unsigned i = 0; i < m->run_count; i++)
		pieces[i].bytes = payload_of(s, &n->view.log[m->runs[i].first], &made[i]);
	database_message(client_of(s, n)->db, m, pieces, node_clock(s, n));
	for (unsigned i = 0; i < m->run_count; i++)
		free(made[i]);
	free(made);
	free(pieces);
}

void tables_dig(struct sim *s, struct node *n, const struct raft_store *st)
{
	database_dig(client_of(s, n)->db, st->cover, st->holes, st->hole_count);
}

/* ---- faults ---- */

/* A standby takes over: it has all that was confirmed, and some of the rest. */
static void promote(struct sim *s)
{
	struct table *t = s->table;

	while (t->changes && prng_chance(&s->prng, 500)) {
		t->changes->request = NULL;
		replicate(s);
	}
	while (t->changes) {
		struct change *c = t->changes;
		t->changes = c->next;
		change_free(c);
	}
	t->changes_end = &t->changes;
	free(t->old);
	t->old = t->primary;
	t->primary = malloc(sizeof(*t->primary));
	*t->primary = *t->confirmed;
	t->skew[1] = t->skew[0];
	t->skew[0] = (int64_t)prng_below(&s->prng, 200);
	for (struct session *c = t->sessions; c; c = c->next) {
		c->server = 1;
		if (c->node)
			c->dies_at = s->now + prng_below(&s->prng, 400);
	}
	t->down_until = s->now + prng_below(&s->prng, 400);
	t->old_until = s->now + prng_below(&s->prng, 1500);
}

static void old_is_gone(struct sim *s)
{
	struct table *t = s->table;

	free(t->old);
	t->old = NULL;
	for (struct session *c = t->sessions; c; c = c->next) {
		if (c->server == 1)
			c->dies_at = s->now;
	}
}

static void break_something(struct sim *s)
{
	struct table *t = s->table;
	struct node *n = sim_any(s);

	switch (prng_below(&s->prng, 10)) {
	case 0:
		promote(s);
		break;
	case 1:
		t->still_until = s->now + prng_below(&s->prng, 400);
		break;
	case 2:
		t->full_until = s->now + prng_below(&s->prng, 600);
		break;
	case 3:
		/* No standby answers. */
		t->replicate_at = s->now + prng_below(&s->prng, 600);
		break;
	case 5:
		t->no_rows_until = s->now + prng_below(&s->prng, 600);
		break;
	case 4:
		/* Its clock is set. */
		t->skew[0] = (int64_t)prng_below(&s->prng, 400);
		break;
	default:
		if (client_of(s, n)->session)
			client_of(s, n)->session->dies_at = s->now + prng_below(&s->prng, 100);
	}
}

static void sessions_turn(struct sim *s)
{
	struct table *t = s->table;

	for (struct session **at = &t->sessions; *at;) {
		struct session *c = *at;
		serve(s, c);
		while (!c->node && c->first && c->first->done) {
			struct request *q = c->first;
			c->first = q->next;
			request_free(s, q);
		}
		if (!c->first)
			c->end = &c->first;
		if (c->node || (c->first && s->now < c->dies_at)) {
			at = &c->next;
			continue;
		}
		drop_requests(s, c, &c->first);
		*at = c->next;
		free(c);
	}
}

void tables_millisecond(struct sim *s)
{
	struct table *t = s->table;

	if (!s->quiet && prng_chance(&s->prng, s->faults))
		break_something(s);
	if (t->old && s->now >= t->old_until)
		old_is_gone(s);
	if (s->now >= t->still_until)
		sessions_turn(s);
	while (t->changes && s->now >= t->replicate_at && prng_chance(&s->prng, 500))
		replicate(s);
	for (unsigned i = 0; i < NODES; i++) {
		struct node *n = &s->nodes[i];
		if (n->raft && n->paused_until <= s->now)
			client_turn(s, n);
	}
	if (!t->backup && s->now > 2000) {
		t->backup = malloc(sizeof(*t->backup));
		*t->backup = *t->confirmed;
	}
}

void tables_calm(struct sim *s)
{
	struct table *t = s->table;

	t->down_until = t->still_until = t->full_until = t->no_rows_until = t->replicate_at = 0;
	t->old_until = s->now;
}

void tables_clock(struct sim *s, uint64_t ms)
{
	s->table->skew[0] += (int64_t)ms;
}

void tables_full(struct sim *s, bool is)
{
	s->table->no_rows_until = is ? UINT64_MAX : 0;
}

uint64_t tables_last(const struct sim *s)
{
	return s->table->confirmed->row.last.index;
}

/* ---- checks ---- */

void tables_check_committed(struct sim *s, uint64_t index)
{
	const struct tables *t = s->table->confirmed;
	const struct rec *rec = &s->committed[index];

	/* The first is committed by whoever makes the cluster. */
	if (index == 1)
		return;
	if (index > t->row.last.index || term_at(t, index) != rec->term)
		sim_broken(s, "committed, and not confirmed by the database", index, rec->term);
	if (t->log[index].kind == RAFT_HOLE ? !s->killed_by[index] && rec->kind != RAFT_HOLE
					    : t->log[index].value != rec->value)
		sim_broken(s, "the database has another record", index, t->log[index].value);
}

const char *tables_is_clean(struct sim *s, uint64_t *a, uint64_t *b)
{
	const struct node *l = node_leader(s);
	const struct tables *t = s->table->primary;

	for (uint64_t i = 1; l && i < l->view.cover.index; i++) {
		*a = i;
		*b = t->row.last.index;
		if (l->disk.log[i].kind == RAFT_HOLE && t->log[i].kind != RAFT_HOLE)
			return "the database keeps what is dead";
	}
	return NULL;
}

/* ---- a server that has lost what was confirmed ---- */

static void serve_from(struct sim *s, struct tables *of)
{
	struct table *t = s->table;

	while (t->changes)
		replicate(s);
	*t->primary = *of;
	*t->confirmed = *of;
	/* Nothing that is under way comes there. */
	for (struct session *c = t->sessions; c; c = c->next) {
		c->server = 1;
		c->dies_at = s->now;
	}
}

bool tables_put_back(struct sim *s)
{
	struct table *t = s->table;
	struct raft_status st;

	if (!t->backup || t->backup->row.last.index < 2 || t->old)
		return false;
	for (unsigned i = 0; i < NODES; i++) {
		if (!s->nodes[i].raft)
			return false;
		raft_status(s->nodes[i].raft, &st);
		/* Also one whose removal is not committed may stand. */
		if (st.config && !st.gone &&
		    s->nodes[i].disk.commit <= t->backup->row.last.index)
			return false;
	}
	while (t->changes)
		replicate(s);
	t->right = malloc(sizeof(*t->right));
	*t->right = *t->confirmed;
	t->lost = t->backup->row.last.index + 1;
	serve_from(s, t->backup);
	return true;
}

void tables_mend(struct sim *s)
{
	struct table *t = s->table;

	t->lost = 0;
	serve_from(s, t->right);
}

void tables_begin(struct sim *s)
{
	struct table *t = s->table = calloc(1, sizeof(*t));

	t->primary = calloc(1, sizeof(*t->primary));
	t->confirmed = calloc(1, sizeof(*t->confirmed));
	t->changes_end = &t->changes;
}

void tables_end(struct sim *s)
{
	struct table *t = s->table;

	while (t->sessions) {
		struct session *c = t->sessions;
		t->sessions = c->next;
		drop_requests(s, c, &c->first);
		free(c);
	}
	while (t->changes) {
		struct change *c = t->changes;
		t->changes = c->next;
		change_free(c);
	}
	free(t->primary);
	free(t->confirmed);
	free(t->old);
	free(t->backup);
	free(t->right);
	free(t);
	s->table = NULL;
}
