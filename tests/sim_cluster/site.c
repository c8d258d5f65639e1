/*
 * What stands between the cores on a node: the journal protocol over Raft.  APPENDs are
 * proposed, STORED is what a majority has and this node's disk, a BARRIER is a round with
 * the majority.  HOLE has no effect: the END that it is of makes the holes on every node.
 *
 * Invariants:
 *  - The queue daemon runs on a leader that serves, once all that is in its log is committed
 *    and here.  It is killed when leadership goes, before anything is truncated.
 *  - Each node makes the holes of each END by itself once it is committed.
 */
#include "cluster.h"

#include "../sim/trace.h"

#include "core/event.h"

#include <assert.h>
#include <stdlib.h>

#define BATCH 16 /* APPENDs that are proposed at once */

static const struct jm_record hole = {.hole = true};

static struct cluster *cluster_of(struct sim *s)
{
	return s->arg;
}

/* ---- the log as the queue daemon reads it ---- */

static const struct jm_record *site_read(void *arg, uint64_t index)
{
	const struct site *s = arg;
	const struct disk *d = &s->node->disk;
	if (index < 1 || index > d->last)
		return NULL;
	const struct rec *r = &d->log[index];
	struct jm_record *made = &s->c->records[r->value];
	/* Those that Raft makes have no payload for a queue. */
	made->kind = r->kind == RAFT_HOLE ? made->kind : r->kind;
	return r->kind == RAFT_HOLE ? &hole : made;
}

/* The journal refuses what no correct daemon asks for. */
static void refused(void *arg, const char *why, uint64_t index)
{
	(void)arg;
	trace_fail("journal: %s: %llu", why, (unsigned long long)index);
}

void site_init(struct cluster *c, unsigned slot)
{
	struct site *s = &c->sites[slot];
	s->c = c;
	s->node = &c->sim.nodes[slot];
	s->daemon = &c->world.daemons[slot];
	s->daemon->journal = &s->journal;
	s->journal.arg = s;
	s->journal.read = site_read;
	s->journal.refused = refused;
}

/* ---- the daemon's life ---- */

static void forget(struct site *s)
{
	jm_clear(&s->journal);
	s->proposed_n = s->stored_n = s->rounds_done = 0;
	s->waiting_count = 0;
}

/* Known-bad: everything that waits for an answer gets one. */
static void release(struct site *s)
{
	struct jm_op op;
	while (s->stored_n < s->proposed_n) {
		s->stored_n++;
		jm_answer_with(&s->journal,
		    (struct jm_answer){JM_STORED, s->stored_n, s->indexes[s->stored_n], 1});
	}
	for (unsigned i = 0; i < s->waiting_count; i++)
		jm_answer_with(
		    &s->journal, (struct jm_answer){JM_BARRIER_DONE, s->waiting[i].id, 0, 0});
	while (jm_take(&s->journal, &op)) {
		if (op.type == JM_BARRIER)
			jm_answer_with(
			    &s->journal, (struct jm_answer){JM_BARRIER_DONE, op.n, 0, 0});
		free(op.bytes);
	}
	daemon_turn(s->daemon);
}

static void kill_queue(struct site *s)
{
	if (!s->daemon->up)
		return;
	trace("queue ends", s->node->slot, s->term, s->journal.op_count, s->proposed_n);
	if (s->c->variant == CLUSTER_EFFECTS_RELEASED)
		release(s);
	daemon_crash(s->daemon);
	forget(s);
}

static bool leads(const struct site *s)
{
	struct raft_status st;
	raft_status(s->node->raft, &st);
	return st.role == RAFT_LEADER && st.term == s->term;
}

static uint64_t newest_end(const struct site *s, uint64_t from)
{
	const struct disk *d = &s->node->disk;
	while (from > 0 && d->log[from].kind != RECORD_END)
		from--;
	return from;
}

static void tell_room(struct site *s)
{
	jm_answer_with(
	    &s->journal, (struct jm_answer){JM_ROOM, s->journal.last_n, s->c->room, 0});
}

static void start_queue(struct site *s, uint64_t term)
{
	struct journal_model *j = &s->journal;
	s->term = term;
	forget(s);
	j->count = s->committed;
	j->end = newest_end(s, j->count);
	j->older_end = j->end ? newest_end(s, j->end - 1) : 0;
	tell_room(s);
	s->c->served++;
	daemon_start(s->daemon, term);
}

static void start_if_wanted(struct site *s)
{
	struct raft_status st;
	raft_status(s->node->raft, &st);
	if (s->daemon->up || !st.serving || s->c->sim.now < s->start_at)
		return;
	if (s->committed == st.last.index ||
	    (s->c->variant == CLUSTER_START_EARLY && s->committed > 0))
		start_queue(s, st.term);
}

/* ---- what it says ---- */

static struct end *end_of(struct slice payload)
{
	struct slice dead;
	if (event_dead_ranges(payload, &dead))
		trace_fail("END holds no events");
	struct end *end =
	    calloc(1, sizeof(*end) + dead.len / HOLE_RANGE_SIZE * sizeof(struct hole_range));
	assert(end);
	struct reader r = reader_of(dead);
	for (; reader_left(&r) > 0; end->count++)
		end->dead[end->count] = hole_range_get(&r);
	return end;
}

static void note_index(struct site *s, uint64_t n, uint64_t index)
{
	if (n >= s->indexes_cap) {
		s->indexes_cap = 2 * n + 64;
		s->indexes = realloc(s->indexes, s->indexes_cap * sizeof(*s->indexes));
		assert(s->indexes);
	}
	s->indexes[n] = index;
}

static void keep(struct site *s, const struct jm_op *op, unsigned ahead)
{
	struct sim *sim = &s->c->sim;
	uint32_t value = sim->values + 1 + ahead;
	if (value >= VALUES || s->node->view.last + BATCH >= LOG_MAX)
		trace_fail("the simulator's log is too short");
	s->c->records[value] =
	    (struct jm_record){.kind = op->kind, .len = op->len, .payload = op->bytes};
	if (op->kind == RECORD_END)
		sim->value[value].end = end_of(slice_of(op->bytes, op->len));
}

/* The APPENDs that wait in front, up to `max`, in one PROPOSE. */
static void propose(struct site *s, unsigned max)
{
	struct journal_model *j = &s->journal;
	struct raft_run runs[BATCH];
	struct jm_op op;
	unsigned count = 0;
	uint64_t first = s->node->view.last + 1;
	while (
	    count < max && j->op_count > 0 && j->ops[0].type == JM_APPEND && jm_take(j, &op)) {
		keep(s, &op, count);
		runs[count] =
		    (struct raft_run){.count = 1, .bytes = (uint32_t)op.len, .kind = op.kind};
		note_index(s, ++s->proposed_n, first + count++);
	}
	struct raft_event e = {.type = RAFT_EVENT_PROPOSE, .runs = runs, .run_count = count};
	trace("propose", s->node->slot, first, count, 0);
	enum rmq_error err = node_step(&s->c->sim, s->node, &e);
	if (err)
		trace_fail("a proposal is refused: %s", error_text(err));
	for (; s->c->variant == CLUSTER_STORED_AT_APPEND && s->stored_n < s->proposed_n;
	     s->stored_n++)
		jm_answer_with(j, (struct jm_answer){JM_STORED, s->stored_n + 1,
				      s->indexes[s->stored_n + 1], 1});
}

/* Whatever was committed anywhere when a barrier was asked for is known here. */
static void answer_barrier(struct site *s, const struct waiting *b)
{
	const struct rec *here = &s->node->view.log[b->commit];
	if (b->commit > s->node->view.last || here->term != s->c->sim.committed[b->commit].term)
		trace_fail("node %u: a barrier is answered, record %llu is not known here",
		    s->node->slot, (unsigned long long)b->commit);
	jm_answer_with(&s->journal, (struct jm_answer){JM_BARRIER_DONE, b->id, 0, 0});
}

static bool ask_barrier(struct site *s, uint64_t id)
{
	uint64_t commit = s->c->sim.commit;
	if (s->c->variant == CLUSTER_BARRIER_LOCAL) {
		answer_barrier(s, &(struct waiting){id, 0, commit});
		return true;
	}
	if (s->waiting_count == BARRIERS_MAX)
		return false;
	uint64_t round = node_barrier(&s->c->sim, s->node);
	if (round == 0 || !s->daemon->up)
		return false;
	s->waiting[s->waiting_count++] = (struct waiting){id, round, commit};
	return true;
}

/* Takes some of what the daemon said, in its order, while leadership lasts. */
static void take_ops(struct site *s, unsigned max)
{
	struct journal_model *j = &s->journal;
	struct jm_op op;
	struct raft_status st;
	for (unsigned i = 0; i < max && j->op_count > 0 && s->daemon->up && leads(s); i++) {
		const struct jm_op *next = &j->ops[0];
		raft_status(s->node->raft, &st);
		if (next->type == JM_APPEND) {
			if (!st.serving)
				return;
			propose(s, max < BATCH ? max : BATCH);
			continue;
		}
		if (next->type == JM_BARRIER && !ask_barrier(s, next->n))
			return;
		(void)jm_take(j, &op);
		free(op.bytes);
	}
}

/* ---- answers ---- */

static void tell_stored(struct site *s)
{
	struct raft_status st;
	uint64_t index = s->committed;
	raft_status(s->node->raft, &st);
	if (s->c->variant == CLUSTER_STORED_BEFORE_DISK)
		index = st.commit;
	for (; s->stored_n < s->proposed_n && s->indexes[s->stored_n + 1] <= index;
	     s->stored_n++)
		jm_answer_with(&s->journal, (struct jm_answer){JM_STORED, s->stored_n + 1,
						s->indexes[s->stored_n + 1], 1});
	if (s->daemon->up)
		s->journal.count = s->committed;
}

static void tell_barriers(struct site *s)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < s->waiting_count; i++) {
		if (s->waiting[i].round <= s->rounds_done)
			answer_barrier(s, &s->waiting[i]);
		else
			s->waiting[kept++] = s->waiting[i];
	}
	s->waiting_count = kept;
}

/*
 * One by one, in order: a later list leaves out what an earlier one has named.  Each in pieces;
 * after a crash from the begin.
 */
static void follow_ends(struct site *s)
{
	struct node *n = s->node;
	uint64_t index = n->end_tried + 1;
	while (index <= s->committed && n->view.log[index].kind != RECORD_END)
		n->end_tried = index++;
	if (index > s->committed)
		return;
	const struct end *end = s->c->sim.value[n->view.log[index].value].end;
	unsigned left = end->count - s->end_range;
	unsigned some = left > 0 ? (unsigned)prng_range(&s->c->sim.prng, 1, left) : 0;
	struct raft_event e = {.type = RAFT_EVENT_HOLE,
	    .index = index,
	    .ranges = end->dead + s->end_range,
	    .range_count = some};
	enum rmq_error err = node_step(&s->c->sim, n, &e);
	if (err)
		trace_fail("node %u: holes of a committed END are refused: %s", n->slot,
		    error_text(err));
	s->end_range += some;
	if (s->end_range == end->count) {
		s->end_range = 0;
		n->end_tried = index;
	}
}

void site_turn(struct site *s)
{
	struct prng *p = &s->c->sim.prng;
	start_if_wanted(s);
	if (prng_chance(p, 100) && (s->daemon->up || s->c->variant != CLUSTER_HOLES_OF_LEADER))
		follow_ends(s);
	if (!s->daemon->up)
		return;
	if (leads(s) && (s->c->sim.quiet || prng_chance(p, 600)))
		take_ops(s, s->c->sim.quiet ? BATCH : (unsigned)prng_range(p, 1, BATCH));
	if (!s->daemon->up)
		return;
	tell_stored(s);
	tell_barriers(s);
	if (prng_chance(p, 50))
		tell_room(s);
}

void site_kill_queue(struct site *s)
{
	struct prng *p = &s->c->sim.prng;
	bool some =
	    s->node->raft && s->node->paused_until <= s->c->sim.now && prng_chance(p, 500);
	if (some && leads(s))
		take_ops(s, (unsigned)prng_range(p, 1, BATCH));
	if (!s->daemon->up)
		return;
	trace("kill", s->node->slot, 0, 0, 0);
	daemon_crash(s->daemon);
	forget(s);
	s->start_at = s->c->sim.now + prng_below(p, 100);
}

bool site_idle(const struct site *s)
{
	return jm_idle(&s->journal) && s->stored_n == s->proposed_n && s->waiting_count == 0;
}

struct site *site_serving(struct cluster *c)
{
	for (unsigned i = 0; i < NODES; i++) {
		struct site *s = &c->sites[i];
		if (s->daemon->up && s->node->raft && leads(s))
			return s;
	}
	return NULL;
}

/* ---- what Raft does ---- */

static uint64_t leading_term(const struct node *n, uint64_t otherwise)
{
	struct raft_status st;
	raft_status(n->raft, &st);
	return st.role == RAFT_LEADER ? st.term : otherwise;
}

static void on_action(struct sim *sim, struct node *n, const struct raft_action *a)
{
	struct site *s = &cluster_of(sim)->sites[n->slot];
	bool outlives = s->c->variant == CLUSTER_QUEUE_OUTLIVES;
	switch (a->type) {
	case RAFT_STORE:
		if (a->store.truncate && !outlives)
			kill_queue(s);
		break;
	case RAFT_COMMITTED:
		s->committed = a->index;
		break;
	case RAFT_BARRIER_DONE:
		s->rounds_done = a->seq;
		break;
	case RAFT_ROLE:
		if (s->daemon->up && !leads(s) && !outlives)
			kill_queue(s);
		if (s->daemon->up && outlives)
			s->term = leading_term(n, s->term);
		break;
	default:
		break;
	}
}

static void on_down(struct sim *sim, struct node *n)
{
	struct site *s = &cluster_of(sim)->sites[n->slot];
	if (s->daemon->up)
		daemon_crash(s->daemon);
	forget(s);
	s->committed = 0;
	s->end_range = 0;
	s->start_at = 0;
}

/* What is committed somewhere is committed: the history goes on. */
static void on_committed(struct sim *sim, uint64_t index)
{
	struct cluster *c = cluster_of(sim);
	struct world *w = &c->world;
	const struct rec *rec = &sim->committed[index];
	static const struct jm_record none = {0};
	struct jm_record r = c->records[rec->value];
	if (!r.payload)
		r = none;
	r.kind = rec->kind;
	trace("committed", index, r.kind, r.len, rec->term);
	jm_put(&w->journal, &r);
	w->term = rec->term;
	shadow_apply(&w->shadow, index, &r);
}

const struct host site_host = {on_action, on_down, on_committed};
