#include "checks.h"

#include "../sim/trace.h"
#include "actors.h"
#include "cell.h"
#include "lists.h"

#include "core/wire/event.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define U(v) ((unsigned long long)(v))

enum state { NONE, LIVE, SETTLED, BURIED, DROPPED };

struct message {
	uint32_t line;
	uint8_t state; /* enum state */
	bool handed;   /* out, at least once */
	uint64_t lease;
	unsigned lease_cell;
};

struct unit;

/*
 * A queue, wherever it lives; or one of a cell for what is for a queue elsewhere.  One that is made anew after it was removed
 * is another one, and so are two of the same name in different cells.
 */
struct model {
	char name[NAME_FULL_MAX + 1];
	struct model *older; /* of the same name */
	struct unit *u;	     /* NULL: away */
	unsigned queue;	     /* without ending */
	bool dead;
	bool away;
	unsigned cell;	   /* away: in this one */
	struct message *m; /* by number */
	size_t cap;
	uint64_t next; /* the number after the highest that was stored */
	uint64_t handed;
	uint64_t live;
};

/* A queue, and its dead letters: where they are. */
struct unit {
	struct unit *older; /* of the same name */
	struct model *q[2]; /* it, and its dead letters */
	bool exists[2];
	bool held;
	unsigned holder;
	bool going; /* between GONE and OPEN, with this token */
	uint8_t token[CELL_TOKEN_SIZE];
};

/* What is known of a name. */
struct name {
	struct unit *unit;	    /* the newest */
	struct model *q[2];	    /* the newest, of its dead letters, too */
	uint32_t moves;		    /* so far */
	uint32_t came[WORLD_CELLS]; /* the last one that brought it to that cell; 0: none */
	uint32_t leads
	    [WORLD_CELLS]; /* the one that the cell's place AWAY stands for; 0: it has none */
	unsigned to[WORLD_CELLS]; /* … and the cell that it leads to */
};

/* What a cell's numbers of queues mean, and which leases are in which. */
struct cell_queue {
	struct model *q; /* NULL: none that counts */
	bool arriving;
	bool left;			/* it was let go */
	uint8_t token[CELL_TOKEN_SIZE]; /* arriving */
	unsigned queue;			/* … as this one, */
	bool dead;			/* or its dead letters */
	uint32_t *here;			/* … with these lines, by number, each + 1 */
	size_t here_cap;
};

/* The line of a large message that is not complete. */
struct piece {
	uint64_t session, n;
	uint32_t line;
};

struct cell_state {
	struct cell_queue *queues;
	size_t queues_cap;
	uint32_t *leased_in;
	size_t leases_cap;
	struct piece *pieces;
	size_t pieces_count;
};

struct line_fate {
	uint32_t queues; /* bits; 0: it was sent to a topic */
	bool many;	 /* it may come several times to a queue */
	bool ids;	 /* it is sent several times, and comes once */
	bool refused;	 /* its sender was told that it is not stored */
	uint32_t stored; /* bits: in these queues it was stored at least once */
	uint32_t first;	 /* … bits, for those that it may come to once */
	uint64_t seq;	 /* as it was stored last */
};

struct checks {
	struct name names[WORLD_QUEUES];
	struct model *away[WORLD_CELLS][WORLD_QUEUES];
	struct cell_state cells[WORLD_CELLS];
	struct line_fate *fates;
	uint32_t fates_cap;
};

/* A record that is read. */
struct reading {
	struct world *w;
	struct daemon *d;
	struct checks *c;
	struct cell_state *cell;
	uint64_t index;
	struct name
	    *opens; /* a name has come here by this record, with the token that follows */
	struct unit *opened;
};

#define FAIL(r, ...) fail(r, __VA_ARGS__)
static void fail(const struct reading *r, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));
static void fail(const struct reading *r, const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	trace_fail("cell %s, record %llu: %s", r->d->name, U(r->index), text);
}

/* ---- names ---- */

static struct model *model_new(const struct world *w, unsigned queue, const char *ending)
{
	struct model *q = calloc(1, sizeof(*q));
	struct slice name = world_queue(w, queue);
	assert(q);
	snprintf(
	    q->name, sizeof(q->name), "%.*s%s", (int)name.len, (const char *)name.data, ending);
	q->queue = queue;
	q->next = 1;
	return q;
}

static void model_free(struct model *q)
{
	while (q) {
		struct model *older = q->older;
		free(q->m);
		free(q);
		q = older;
	}
}

/* The unit has a new queue; or its dead letters have. */
static struct model *model_add(const struct world *w, struct unit *u, unsigned queue, bool dead)
{
	struct model **newest = &w->checks->names[queue].q[dead];
	struct model *q = model_new(w, queue, dead ? NAME_DEAD_SUFFIX : "");
	q->u = u;
	q->dead = dead;
	q->older = *newest;
	return *newest = u->q[dead] = q;
}

static struct unit *unit_add(const struct world *w, unsigned queue)
{
	struct name *n = &w->checks->names[queue];
	struct unit *u = calloc(1, sizeof(*u));
	assert(u);
	u->older = n->unit;
	n->unit = u;
	model_add(w, u, queue, false);
	model_add(w, u, queue, true);
	return u;
}

void checks_make(struct world *w)
{
	struct checks *c = w->checks = calloc(1, sizeof(*c));
	assert(c);
	for (unsigned i = 0; i < w->queues_count; i++) {
		unit_add(w, i);
		for (unsigned k = 0; k < w->cells_count; k++) {
			struct model *q = c->away[k][i] = model_new(w, i, NAME_AWAY_SUFFIX);
			q->away = true;
			q->cell = k;
		}
	}
}

static void name_free(struct name *n)
{
	model_free(n->q[0]);
	model_free(n->q[1]);
	while (n->unit) {
		struct unit *older = n->unit->older;
		free(n->unit);
		n->unit = older;
	}
}

void checks_free(struct world *w)
{
	struct checks *c = w->checks;
	for (unsigned i = 0; i < w->queues_count; i++)
		name_free(&c->names[i]);
	for (unsigned i = 0; i < w->cells_count; i++) {
		struct cell_state *s = &c->cells[i];
		for (size_t k = 0; k < s->queues_cap; k++)
			free(s->queues[k].here);
		for (unsigned k = 0; k < w->queues_count; k++)
			model_free(c->away[i][k]);
		free(s->queues);
		free(s->leased_in);
		free(s->pieces);
	}
	free(c->fates);
	free(c);
}

struct slice checks_name(const struct world *w, unsigned queue)
{
	return slice_str(w->checks->names[queue / 2].q[queue % 2]->name);
}

/* One of the queues that are counted, with their dead letters, or of a cell for others; NULL: another one. */
static struct model *model_named(struct reading *r, struct slice name)
{
	struct checks *c = r->c;
	for (unsigned i = 0; i < r->w->queues_count; i++) {
		struct model *are[] = {
		    c->names[i].q[0], c->names[i].q[1], c->away[r->d->number][i]};
		for (unsigned k = 0; k < 3; k++)
			if (slice_eq(name, slice_str(are[k]->name)))
				return are[k];
	}
	return NULL;
}

/* Of this name, the one that the cell holds. */
static struct unit *unit_held(const struct name *n, unsigned cell)
{
	struct unit *u = n->unit;
	while (u && !(u->held && u->holder == cell))
		u = u->older;
	return u;
}

/* … the one that goes with this token. */
static struct unit *unit_going(const struct name *n, struct slice token)
{
	struct unit *u = n->unit;
	while (u && !(u->going && slice_eq(token, slice_of(u->token, CELL_TOKEN_SIZE))))
		u = u->older;
	return u;
}

static struct cell_queue *cell_queue(struct reading *r, uint32_t id)
{
	struct cell_state *s = r->cell;
	if (id >= s->queues_cap) {
		size_t cap = 2 * (size_t)id + 16;
		s->queues = realloc(s->queues, cap * sizeof(*s->queues));
		assert(s->queues);
		memset(
		    s->queues + s->queues_cap, 0, (cap - s->queues_cap) * sizeof(*s->queues));
		s->queues_cap = cap;
	}
	return &s->queues[id];
}

static struct message *message(struct model *q, uint64_t seq)
{
	if (seq >= q->cap) {
		size_t cap = 2 * (size_t)seq + 64;
		q->m = realloc(q->m, cap * sizeof(*q->m));
		assert(q->m);
		memset(q->m + q->cap, 0, (cap - q->cap) * sizeof(*q->m));
		q->cap = cap;
	}
	return &q->m[seq];
}

/* The queue of this number, if it is held here: whatever changes it has to be. */
static struct model *held_queue(struct reading *r, uint32_t id)
{
	struct cell_queue *cq = cell_queue(r, id);
	struct model *q = cq->q;
	if (!q || q->away || cq->left || cq->arriving)
		return cq->left || cq->arriving ? NULL : q;
	const struct unit *u = q->u;
	if (!u->held || u->holder != r->d->number)
		FAIL(r, "%s is changed, and is %s", q->name,
		    u->held ? "held by another cell" : "on its way to another cell");
	return q;
}

/* ---- lines ---- */

void checks_line(struct world *w, uint32_t line, uint32_t queues, bool again, bool topic)
{
	struct checks *c = w->checks;
	if (line >= c->fates_cap) {
		uint32_t cap = 2 * line + 64;
		c->fates = realloc(c->fates, cap * sizeof(*c->fates));
		assert(c->fates);
		memset(c->fates + c->fates_cap, 0, (cap - c->fates_cap) * sizeof(*c->fates));
		c->fates_cap = cap;
	}
	struct line_fate *f = &c->fates[line];
	f->queues = topic ? 0 : queues;
	f->ids = again;
	f->many = topic || (queues & (queues - 1)) != 0;
}

static void leaves(struct model *q, struct message *m, enum state state)
{
	m->state = (uint8_t)state;
	q->live--;
}

/* Whether there may be several queues of one name, in different cells. */
static bool may_be_twice(const struct reading *r)
{
	return lists_kind(r->w) == LISTS_WRONG;
}

/* A line is stored in a queue, as a new message. */
static void stored(struct reading *r, struct model *q, uint64_t seq, uint32_t line, bool moves)
{
	struct message *m = message(q, seq);
	if (line == UINT32_MAX)
		FAIL(r, "%s:%llu has a body that nobody wrote", q->name, U(seq));
	struct line_fate *f = &r->c->fates[line];
	if (m->state != NONE)
		FAIL(r, "%s:%llu is stored again", q->name, U(seq));
	if (seq != q->next)
		FAIL(r, "%s:%llu is stored after %llu", q->name, U(seq), U(q->next - 1));
	*m = (struct message){.line = line, .state = LIVE};
	q->next = seq + 1;
	q->live++;
	if (moves || q->dead || q->away)
		return;
	uint32_t bit = 1u << q->queue;
	if (r->w->dead & bit) {
		f->stored |= bit;
		return;
	}
	if (f->queues && !(f->queues & bit))
		FAIL(r, "line %u comes to %s, which it is not for", line, q->name);
	/* A queue that is sent many ids has forgotten the older ones. */
	if ((f->stored & bit) && !f->many &&
	    (r->w->kinds[q->queue] != QUEUE_IDS ||
		(!may_be_twice(r) && seq - f->seq < IDS_MAX)))
		FAIL(r, "line %u is stored in %s for the second time", line, q->name);
	f->seq = seq;
	f->stored |= bit;
}

/* ---- events ---- */

static void take_token(struct reading *r, uint8_t token[CELL_TOKEN_SIZE], struct slice from)
{
	if (from.len != CELL_TOKEN_SIZE)
		FAIL(r, "a token has %zu bytes", from.len);
	memcpy(token, from.data, from.len);
}

/* The queue is made, in no cell or in the one that holds it. */
static struct model *made(struct reading *r, struct model *like)
{
	struct name *n = &r->c->names[like->queue];
	struct unit *u = unit_held(n, r->d->number);
	if (!u)
		u = n->unit;
	if (may_be_twice(r) && (u->going || (u->held && u->holder != r->d->number)))
		u = unit_add(r->w, like->queue);
	if (u->held && u->holder != r->d->number)
		FAIL(r, "%s is made, and lives in cell %s", like->name,
		    r->w->cells[u->holder].name);
	if (u->going)
		FAIL(r, "%s is made, and is on its way to another cell", like->name);
	struct model *q = u->q[like->dead];
	if (q->live > 0)
		FAIL(r, "%s is made anew, and holds %llu messages", q->name, U(q->live));
	u->exists[like->dead] = u->held = true;
	u->holder = r->d->number;
	return q;
}

static void apply_create(struct reading *r, const struct event_create *e)
{
	struct model *q = model_named(r, e->name);
	struct cell_queue *cq = cell_queue(r, e->queue);
	struct slice token;
	*cq = (struct cell_queue){.q = q};
	if (!q || q->away)
		return;
	if (!tags_find(e->tags, EVENT_TAG_ARRIVING, &token)) {
		cq->q = made(r, q);
		return;
	}
	cq->queue = q->queue;
	cq->dead = q->dead;
	cq->q = NULL;
	cq->arriving = true;
	take_token(r, cq->token, token);
}

static void apply_purge(struct reading *r, const struct event_purge *e)
{
	struct model *q = held_queue(r, e->queue);
	for (uint64_t seq = 1; q && seq < q->next && seq < e->below; seq++)
		if (message(q, seq)->state == LIVE)
			leaves(q, message(q, seq), DROPPED);
}

static void apply_remove(struct reading *r, const struct event_remove *e)
{
	struct model *q = held_queue(r, e->queue);
	apply_purge(r, &(struct event_purge){e->queue, UINT64_MAX});
	cell_queue(r, e->queue)->q = NULL;
	if (!q || q->away)
		return;
	/* It may be made again, as another one, wherever the name leads. */
	struct unit *u = q->u;
	u->exists[q->dead] = false;
	u->held = u->exists[0] || u->exists[1];
	model_add(r->w, u, q->queue, q->dead);
}

static void send_to(struct reading *r, struct event_target t, const struct batch_view *v)
{
	struct model *q = held_queue(r, t.queue);
	for (uint32_t i = 0; q && i < v->count; i++)
		stored(r, q, t.first_seq + i, lines_recognise(&r->w->lines, batch_body(v, i)),
		    false);
}

/* What comes to a queue does not come to what is for it elsewhere, too: it would be brought here. */
static void check_once(struct reading *r, uint32_t first, struct slice further)
{
	uint32_t here = 0, away = 0;
	struct reader more = reader_of(further);
	for (;;) {
		const struct model *q = cell_queue(r, first)->q;
		if (q && !q->dead)
			*(q->away ? &away : &here) |= 1u << q->queue;
		if (reader_left(&more) == 0)
			break;
		first = event_target_get(&more).queue;
	}
	if (here & away)
		FAIL(r, "what is sent comes to queues %x, and to what is for them elsewhere",
		    here & away);
}

static void apply_send(struct reading *r, const struct event_send *e)
{
	struct slice further;
	struct batch_view v;
	if (batch_parse(e->batch, &v) || !event_further_find(e->tags, &further))
		FAIL(r, "SEND holds no batch");
	check_once(r, e->queue, further);
	send_to(r, (struct event_target){e->queue, e->first_seq}, &v);
	struct reader more = reader_of(further);
	while (reader_left(&more) > 0)
		send_to(r, event_target_get(&more), &v);
}

static struct piece *piece(struct cell_state *s, uint64_t session, uint64_t n)
{
	for (size_t i = s->pieces_count; i > 0; i--)
		if (s->pieces[i - 1].session == session && s->pieces[i - 1].n == n)
			return &s->pieces[i - 1];
	s->pieces = realloc(s->pieces, (s->pieces_count + 1) * sizeof(*s->pieces));
	assert(s->pieces);
	s->pieces[s->pieces_count] = (struct piece){session, n, UINT32_MAX};
	return &s->pieces[s->pieces_count++];
}

static void apply_chunk(struct reading *r, const struct event_chunk *e)
{
	if (e->part == 0)
		piece(r->cell, e->session, e->n)->line = lines_begun(&r->w->lines, e->data);
}

static void apply_send_chunked(struct reading *r, const struct event_send_chunked *e)
{
	uint32_t line = piece(r->cell, e->session, e->n)->line;
	struct slice further;
	struct model *q = held_queue(r, e->queue);
	if (!event_further_find(e->tags, &further))
		FAIL(r, "SEND_CHUNKED names no further queues");
	if (q)
		stored(r, q, e->seq, line, false);
	struct reader more = reader_of(further);
	while (reader_left(&more) > 0) {
		struct event_target t = event_target_get(&more);
		q = held_queue(r, t.queue);
		if (q)
			stored(r, q, t.first_seq, line, false);
	}
}

/* An older message of the same key has not left the queue: its number; 0: there is none. */
static uint64_t older_of_key(struct reading *r, struct model *q, uint64_t seq)
{
	const struct line_state *lines = r->w->lines.all;
	uint8_t key = lines[message(q, seq)->line].lane.key;
	for (uint64_t i = 1; key > 0 && i < seq; i++)
		if (message(q, i)->state == LIVE && lines[message(q, i)->line].lane.key == key)
			return i;
	return 0;
}

static void handed_out(struct reading *r, struct model *q, uint64_t seq, uint64_t lease)
{
	struct message *m = message(q, seq);
	enum queue_kind kind = r->w->kinds[q->queue];
	/* A receipt of the cell before would settle it. */
	if (m->handed && m->lease == lease && m->lease_cell != r->d->number)
		FAIL(r, "%s:%llu is leased under %llu, as it was in cell %s", q->name, U(seq),
		    U(lease), r->w->cells[m->lease_cell].name);
	m->lease = lease;
	m->lease_cell = r->d->number;
	if (kind == QUEUE_KEYED && !q->dead && !q->away && older_of_key(r, q, seq))
		FAIL(r, "%s:%llu is handed out, and %llu of its key is there", q->name, U(seq),
		    U(older_of_key(r, q, seq)));
	if ((kind == QUEUE_PLAIN || kind == QUEUE_IDS) && !q->dead && !q->away && !m->handed &&
	    seq < q->handed)
		FAIL(
		    r, "%s:%llu is handed out first after %llu", q->name, U(seq), U(q->handed));
	m->handed = true;
	if (seq > q->handed)
		q->handed = seq;
}

static void apply_lease(struct reading *r, const struct event_lease *e)
{
	struct cell_state *s = r->cell;
	struct model *q = held_queue(r, e->queue);
	if (e->lease >= s->leases_cap) {
		size_t cap = 2 * (size_t)e->lease + 64;
		s->leased_in = realloc(s->leased_in, cap * sizeof(*s->leased_in));
		assert(s->leased_in);
		s->leases_cap = cap;
	}
	s->leased_in[e->lease] = e->queue;
	for (uint64_t seq = e->first; q && seq < e->first + e->span; seq++)
		if (message(q, seq)->state == LIVE)
			handed_out(r, q, seq, e->lease);
}

static void apply_settle(struct reading *r, const struct event_settle *e)
{
	struct model *q = held_queue(r, e->queue);
	struct reader in = reader_of(e->entries);
	for (uint32_t i = 0; q && reader_left(&in) > 0; i++) {
		struct settle_entry x = settle_entry_get(&in);
		for (uint64_t seq = x.first; i >= e->stale && seq < x.first + x.count; seq++) {
			struct message *m = message(q, seq);
			if (m->state != LIVE)
				FAIL(r, "%s:%llu is settled in state %u", q->name, U(seq),
				    m->state);
			leaves(q, m, SETTLED);
			if (q->away && !(r->c->fates[m->line].stored >> q->queue & 1))
				FAIL(r, "%s:%llu is settled, and has not come to its queue",
				    q->name, U(seq));
		}
	}
}

static void apply_bury(struct reading *r, const struct event_bury *e)
{
	struct model *q = held_queue(r, e->queue);
	struct reader in = reader_of(e->entries);
	while (q && reader_left(&in) > 0) {
		struct settle_entry x = settle_entry_get(&in);
		for (uint64_t seq = x.first; seq < x.first + x.count; seq++) {
			struct message *m = message(q, seq);
			if (m->state != LIVE)
				FAIL(r, "%s:%llu is buried in state %u", q->name, U(seq),
				    m->state);
			leaves(q, m, BURIED);
		}
	}
}

/* Of a copy that arrives. */
static void drop_here(struct cell_queue *cq, struct seq_range x)
{
	for (uint64_t seq = x.first; seq < x.first + x.count && seq < cq->here_cap; seq++)
		cq->here[seq] = 0;
}

static void apply_drop(struct reading *r, const struct event_drop *e)
{
	struct model *q = held_queue(r, e->queue);
	struct reader in = reader_of(e->ranges);
	while (!q && reader_left(&in) > 0)
		drop_here(cell_queue(r, e->queue), seq_range_get(&in));
	while (q && reader_left(&in) > 0) {
		struct seq_range x = seq_range_get(&in);
		for (uint64_t seq = x.first; seq < x.first + x.count; seq++)
			if (message(q, seq)->state == LIVE)
				leaves(q, message(q, seq), DROPPED);
	}
}

static struct slice payload_at(struct reading *r, uint64_t index)
{
	const struct jm_record *at = jm_read(&r->d->journal, index);
	if (!at)
		FAIL(r, "an event names record %llu, which is not there", U(index));
	return slice_of(at->payload, at->len);
}

/* Dead letters come, or what is taken out of another queue. */
static void apply_dead(struct reading *r, const struct event_dead *e)
{
	struct model *q = held_queue(r, e->queue);
	struct reader in = reader_of(e->location);
	struct event_location l = event_location_get(&in);
	struct slice payload = payload_at(r, l.index), data, attributes;
	uint64_t seq = e->first_seq;
	struct event_run run;
	struct event_messages m;
	if (!q)
		return;
	if (l.offset < payload.len && payload.data[l.offset] == EVENT_TYPE_CHUNK) {
		if (event_chunk_data(payload, l.offset, &data, &attributes))
			FAIL(r, "DEAD names no piece");
		stored(r, q, seq, lines_begun(&r->w->lines, data), true);
		return;
	}
	if (event_run_open(payload, l.offset, l.slot, e->count, &run))
		FAIL(r, "DEAD names no batch");
	while (event_run_next(&run, &m) == RMQ_E_OK)
		for (uint32_t i = 0; i < m.count; i++)
			stored(r, q, seq++,
			    lines_recognise(&r->w->lines, batch_body(&m.batch, m.slot + i)),
			    true);
}

/* ---- queues go and come ---- */

/* What ends by a clock may have ended in one cell, and not in the other one. */
static bool expires(const struct reading *r, const struct message *m)
{
	return r->w->lines.all[m->line].lane.expire_ms != 0;
}

/* The line of a copy's message + 1; 0: it has not come. */
static uint32_t line_here(const struct cell_queue *copy, uint64_t seq)
{
	return copy && seq < copy->here_cap ? copy->here[seq] : 0;
}

/* What is let go has its copy, of all that is there. */
static void check_copied(struct reading *r, struct model *q, const struct event_placed *e)
{
	const struct daemon *to = cell_named(r->w, e->cell);
	const struct cell_state *s = to ? &r->c->cells[to->number] : NULL;
	const struct cell_queue *copy = NULL;
	for (size_t i = 0; s && i < s->queues_cap; i++) {
		const struct cell_queue *cq = &s->queues[i];
		if (cq->arriving && cq->queue == q->queue && cq->dead == q->dead &&
		    slice_eq(e->token, slice_of(cq->token, CELL_TOKEN_SIZE)))
			copy = cq;
	}
	for (uint64_t seq = 1; q->live > 0 && seq < q->next; seq++) {
		struct message *m = message(q, seq);
		uint32_t here = line_here(copy, seq);
		if (m->state == LIVE && !here && !expires(r, m))
			FAIL(r, "%s:%llu is let go, and was not copied", q->name, U(seq));
	}
}

/*
 * A cell that the queue has left leads on to another one: to where a later move has taken it, or the way would
 * not come to an end.
 */
static void apply_followed(
    struct reading *r, struct name *n, const char *name, const struct event_placed *e)
{
	const struct daemon *to = cell_named(r->w, e->cell);
	if (to && may_be_twice(r))
		return;
	if (!to || n->came[to->number] <= n->leads[r->d->number])
		FAIL(r, "%s is made to lead to cell %.*s, to which it came by no later move",
		    name, (int)e->cell.len, (const char *)e->cell.data);
	n->leads[r->d->number] = n->came[to->number];
	n->to[r->d->number] = to->number;
}

/* The one that the cell lets go; it may have none, but its name. */
static void goes(struct reading *r, struct name *n, const struct event_placed *e)
{
	struct unit *u = unit_held(n, r->d->number);
	if (!u)
		u = n->unit;
	if (may_be_twice(r) && (u->going || (u->held && u->holder != r->d->number)))
		u = unit_add(r->w, u->q[0]->queue);
	if (u->held && u->holder != r->d->number)
		FAIL(r, "%s is let go, and lives in cell %s", u->q[0]->name,
		    r->w->cells[u->holder].name);
	take_token(r, u->token, e->token);
	check_copied(r, u->q[0], e);
	check_copied(r, u->q[1], e);
	u->held = false;
	u->going = true;
	n->leads[r->d->number] = ++n->moves;
	n->to[r->d->number] = cell_named(r->w, e->cell)->number;
}

static void apply_placed(struct reading *r, const struct event_placed *e)
{
	struct model *q = model_named(r, e->name);
	if (!q || q->dead || q->away)
		return;
	struct name *n = &r->c->names[q->queue];
	trace("placed", r->d->number, q->queue, e->state, 0);
	if (e->state != PLACE_AWAY) {
		n->leads[r->d->number] = 0;
		n->came[r->d->number] = n->moves;
		r->opens = n;
	} else if (n->leads[r->d->number] > 0) {
		apply_followed(r, n, q->name, e);
	} else {
		goes(r, n, e);
	}
}

/* A copy is no longer one: by the record in which the queue comes here it is the queue. */
static void apply_copy_gone(struct reading *r, const struct event_copy_gone *e)
{
	struct name *n = r->opens;
	if (!n)
		return;
	struct unit *u = unit_going(n, e->token);
	r->opens = NULL;
	r->opened = u;
	if (!u && unit_held(n, r->d->number))
		return;
	if (!u)
		u = n->unit;
	const char *name = u->q[0]->name;
	if (u->held)
		FAIL(
		    r, "%s is opened, and lives in cell %s", name, r->w->cells[u->holder].name);
	if (!r->opened && (u->q[0]->live > 0 || u->q[1]->live > 0))
		FAIL(r, "%s is opened, and nobody has let it go with this token", name);
	u->held = true;
	u->going = false;
	u->holder = r->d->number;
	r->w->moves_done++;
}

/* Not the copy of what was let go to be opened here: it is all that there is. */
static void apply_leave(struct reading *r, const struct event_leave *e)
{
	struct cell_queue *cq = cell_queue(r, e->queue);
	struct name *n = &r->c->names[cq->queue];
	cq->left = true;
	if (cq->arriving && unit_going(n, slice_of(cq->token, CELL_TOKEN_SIZE)))
		FAIL(r, "a copy of %s is dropped that was let go to", n->q[cq->dead]->name);
}

/* The copy is the queue from now on: of what was let go nothing is missing, and nothing else is there. */
static void check_opened(struct reading *r, struct model *q, const struct cell_queue *cq)
{
	for (uint64_t seq = 1; seq < q->next || seq < cq->here_cap; seq++) {
		struct message *m = message(q, seq);
		uint32_t here = line_here(cq, seq);
		if (here && (m->state == NONE || m->line != here - 1))
			FAIL(r, "line %u comes as %s:%llu, which is line %u", here - 1, q->name,
			    U(seq), m->state == NONE ? UINT32_MAX : m->line);
		if (here && m->state == DROPPED && expires(r, m)) {
			m->state = LIVE;
			q->live++;
		}
		if (!here && m->state == LIVE && expires(r, m))
			leaves(q, m, DROPPED);
		if (here && m->state != LIVE)
			FAIL(r, "%s:%llu comes back, it has left in state %u", q->name, U(seq),
			    m->state);
		if (!here && m->state == LIVE)
			FAIL(r, "%s:%llu is lost on its way", q->name, U(seq));
	}
}

static void apply_open(struct reading *r, const struct event_open *e)
{
	struct cell_queue *cq = cell_queue(r, e->queue);
	if (!cq->arriving)
		FAIL(r, "a queue is opened that is no copy");
	cq->arriving = false;
	if (!r->opened)
		FAIL(r, "%s is opened, and the copy is another one than the one let go",
		    r->c->names[cq->queue].unit->q[cq->dead]->name);
	struct model *q = cq->q = r->opened->q[cq->dead];
	r->opened->exists[cq->dead] = true;
	check_opened(r, q, cq);
}

static void comes(struct reading *r, uint32_t id, uint64_t seq, uint32_t line)
{
	struct cell_queue *cq = cell_queue(r, id);
	if (!cq->arriving)
		FAIL(r, "line %u comes to what is no copy", line);
	if (seq >= cq->here_cap) {
		size_t cap = 2 * (size_t)seq + 64;
		cq->here = realloc(cq->here, cap * sizeof(*cq->here));
		assert(cq->here);
		memset(cq->here + cq->here_cap, 0, (cap - cq->here_cap) * sizeof(*cq->here));
		cq->here_cap = cap;
	}
	cq->here[seq] = line + 1;
}

static void apply_come(struct reading *r, const struct event_come *e)
{
	struct batch_view v;
	if (batch_parse(e->batch, &v))
		FAIL(r, "COME holds no batch");
	for (uint32_t i = 0; i < v.count; i++)
		comes(r, e->queue, e->first_seq + i,
		    lines_recognise(&r->w->lines, batch_body(&v, i)));
}

static void apply_come_large(struct reading *r, const struct event_come_large *e)
{
	comes(r, e->queue, e->seq, piece(r->cell, e->session, e->n)->line);
}

static void apply_event(struct reading *r, const struct event *e)
{
	switch (e->type) {
#define APPLY(NAME, name) \
	case EVENT_TYPE_##NAME: { \
		struct event_##name decoded; \
		if (!event_##name##_decode(e->body, &decoded)) \
			FAIL(r, "an event is cut"); \
		apply_##name(r, &decoded); \
		break; \
	}
		APPLY(CREATE, create)
		APPLY(PURGE, purge)
		APPLY(REMOVE, remove)
		APPLY(SEND, send)
		APPLY(CHUNK, chunk)
		APPLY(SEND_CHUNKED, send_chunked)
		APPLY(LEASE, lease)
		APPLY(SETTLE, settle)
		APPLY(BURY, bury)
		APPLY(DEAD, dead)
		APPLY(DROP, drop)
		APPLY(PLACED, placed)
		APPLY(COPY_GONE, copy_gone)
		APPLY(LEAVE, leave)
		APPLY(OPEN, open)
		APPLY(COME, come)
		APPLY(COME_LARGE, come_large)
	}
}

void checks_committed(struct daemon *d, uint64_t index, const struct jm_record *record)
{
	struct reading r = {.w = d->w, .d = d, .c = d->w->checks, .index = index};
	struct events_header h;
	struct event_iter it;
	struct event e;
	if (!r.c || record->kind != RECORD_EVENTS)
		return;
	r.cell = &r.c->cells[d->number];
	if (events_open(slice_of(record->payload, record->len), &h, &it))
		FAIL(&r, "no record of events");
	while (event_next(&it, &e) == RMQ_E_OK)
		apply_event(&r, &e);
}

/* ---- deliveries ---- */

void checks_delivery(struct daemon *d, const struct delivery *del)
{
	struct checks *c = d->w->checks;
	struct cell_state *s = c ? &c->cells[d->number] : NULL;
	struct reading r = {.w = d->w, .d = d, .c = c, .cell = s};
	if (!c)
		return;
	if (del->lease >= s->leases_cap)
		FAIL(&r, "lease %llu is handed out and is not on disk", U(del->lease));
	struct model *q = held_queue(&r, s->leased_in[del->lease]);
	for (uint64_t seq = del->first_seq; q && seq < del->first_seq + del->count; seq++) {
		const struct message *m = message(q, seq);
		if (m->state != LIVE || m->lease != del->lease || m->lease_cell != d->number)
			FAIL(&r, "%s:%llu is handed out under lease %llu; it is in state %u",
			    q->name, U(seq), U(del->lease), m->state);
	}
}

/* ---- what clients believe ---- */

/* A message of the queue that is this line; NULL: there is none with that number. */
static const struct message *find(
    const struct world *w, unsigned queue, uint64_t seq, uint32_t line)
{
	const struct model *q = w->checks->names[queue / 2].q[queue % 2];
	for (; q; q = q->older)
		if (seq > 0 && seq < q->next && q->m[seq].state != NONE &&
		    q->m[seq].line == line)
			return &q->m[seq];
	return NULL;
}

void checks_given(struct world *w, const struct actor *a, unsigned queue, uint64_t seq,
    uint32_t line, bool vouches)
{
	const struct message *m = find(w, queue, seq, line);
	const char *name = w->checks->names[queue / 2].q[queue % 2]->name;
	if (!m)
		trace_fail("a receiver is given line %u as %s:%llu, which it is not", line,
		    name, U(seq));
	if (vouches && m->state == SETTLED)
		trace_fail("a receiver is given %s:%llu, which was settled", name, U(seq));
	if (vouches && actors_vouch(w, a, queue, seq, line))
		trace_fail("%s:%llu has two receivers", name, U(seq));
}

void checks_sent(struct world *w, unsigned queue, uint32_t line, uint64_t seq)
{
	if (!w->checks->fates[line].many && !find(w, queue, seq, line))
		trace_fail("line %u was sent as %s:%llu, which is not on disk", line,
		    w->checks->names[queue / 2].q[queue % 2]->name, U(seq));
}

void checks_known(struct world *w, unsigned queue, uint32_t line, uint64_t seq)
{
	const struct line_fate *f = &w->checks->fates[line];
	if (!f->stored)
		trace_fail("line %u is known and was never stored", line);
	if (seq != 0 && !find(w, queue, seq, line))
		trace_fail("line %u is known as %s:%llu, which it is not", line,
		    w->checks->names[queue / 2].q[queue % 2]->name, U(seq));
}

uint64_t checks_stored(const struct world *w, unsigned queue, uint32_t line)
{
	const struct line_fate *f = &w->checks->fates[line];
	return f->stored >> queue & 1 ? f->seq : 0;
}

void checks_refused(struct world *w, uint32_t line)
{
	w->checks->fates[line].refused = true;
}

void checks_settled(struct world *w, unsigned queue, uint64_t seq, uint32_t line)
{
	const struct message *m = find(w, queue, seq, line);
	if (!m || m->state == LIVE)
		trace_fail("%s:%llu was settled, and is there",
		    w->checks->names[queue / 2].q[queue % 2]->name, U(seq));
}

uint64_t checks_live(const struct world *w, unsigned queue)
{
	uint64_t live = 0;
	/* One that was let go to a cell where there is another one by then stays a copy until that is gone. */
	for (const struct model *q = w->checks->names[queue / 2].q[queue % 2]; q; q = q->older)
		if (!(w->calm && q->u->going && lists_kind(w) == LISTS_WRONG))
			live += q->live;
	return live;
}

uint64_t checks_live_all(const struct world *w)
{
	uint64_t live = 0;
	for (unsigned i = 0; i < w->queues_count; i++) {
		live += checks_live(w, 2 * i) + checks_live(w, 2 * i + 1);
		for (unsigned k = 0; k < w->cells_count; k++)
			live += w->checks->away[k][i]->live;
	}
	return live;
}

uint64_t checks_next(const struct world *w, unsigned queue)
{
	return w->checks->names[queue / 2].q[queue % 2]->next;
}

unsigned checks_holder(const struct world *w, unsigned queue)
{
	const struct unit *u = w->checks->names[queue].unit;
	while (u && !u->held)
		u = u->older;
	return u ? u->holder : WORLD_CELLS;
}

unsigned checks_place(const struct world *w, unsigned queue)
{
	const struct name *n = &w->checks->names[queue];
	unsigned at = checks_holder(w, queue);
	for (const struct unit *u = n->unit; u && at == WORLD_CELLS; u = u->older)
		if (u->going)
			at = u->holder;
	for (unsigned i = 0; i < w->cells_count && at == WORLD_CELLS; i++)
		if (n->came[i] > 0 && n->leads[i] == 0)
			at = i;
	return at;
}

bool checks_knows(const struct world *w, unsigned queue, unsigned cell)
{
	const struct name *n = &w->checks->names[queue];
	return unit_held(n, cell) || n->came[cell] > 0 || n->leads[cell] > 0;
}

unsigned checks_leads(const struct world *w, unsigned queue, unsigned cell)
{
	const struct name *n = &w->checks->names[queue];
	for (unsigned i = 0; i < w->cells_count; i++)
		if (n->leads[i] > 0 && n->to[i] == cell)
			return i;
	return WORLD_CELLS;
}

uint64_t checks_away(const struct world *w, unsigned cell)
{
	uint64_t live = 0;
	for (unsigned i = 0; i < w->queues_count; i++)
		live += w->checks->away[cell][i]->live;
	return live;
}

bool checks_again(struct world *w, unsigned queue, uint32_t *line)
{
	const struct checks *c = w->checks;
	for (unsigned i = 0; w->lines.count > 0 && i < 20; i++) {
		*line = (uint32_t)prng_below(&w->prng, w->lines.count);
		const struct line_fate *f = &c->fates[*line];
		if (f->queues == 1u << queue && !f->many)
			return true;
	}
	return false;
}

/* ---- the end ---- */

static void check_line(const struct world *w, uint32_t line)
{
	const struct line_fate *f = &w->checks->fates[line];
	bool sent = w->lines.all[line].sent;
	uint32_t wanted = f->queues ? f->queues & ~(1u << 31) : w->bound;
	if (sent && (f->stored & wanted) != wanted)
		trace_fail(
		    "line %u was sent to queues %x, and came to %x", line, wanted, f->stored);
	if (f->refused && !sent && f->stored)
		trace_fail("line %u was refused and stored", line);
}

static void report(const struct world *w, const struct model *q, unsigned kind, unsigned cell)
{
	for (uint64_t seq = 1; q->live > 0 && seq < q->next; seq++) {
		const struct message *m = &q->m[seq];
		const struct line_lane *lane = &w->lines.all[m->line].lane;
		if (m->state != LIVE)
			continue;
		trace("left", q->queue, kind, cell, seq);
		trace("  line, lease, kind", m->line, m->lease, w->kinds[q->queue], 0);
		trace("  until, expires, key", lane->until_ms, lane->expire_ms, lane->key, 0);
	}
}

void checks_report(struct world *w)
{
	const struct checks *c = w->checks;
	for (unsigned i = 0; i < w->queues_count; i++) {
		const struct name *n = &c->names[i];
		for (const struct unit *u = n->unit; u; u = u->older)
			trace("unit", i, u->held, u->holder, u->going);
		for (unsigned dead = 0; dead < 2; dead++)
			for (const struct model *q = n->q[dead]; q; q = q->older)
				report(w, q, dead, 0);
		for (unsigned k = 0; k < w->cells_count; k++)
			report(w, c->away[k][i], 2, k);
	}
}

void checks_end(struct world *w)
{
	const struct checks *c = w->checks;
	if (checks_live_all(w) > 0)
		trace_fail("%llu messages are left", U(checks_live_all(w)));
	for (unsigned i = 0; i < w->queues_count; i++)
		for (const struct unit *u = c->names[i].unit; u; u = u->older)
			if (u->going && lists_kind(w) != LISTS_WRONG)
				trace_fail("%s is still between two cells", u->q[0]->name);
	for (uint32_t i = 0; i < w->lines.count; i++)
		check_line(w, i);
}
