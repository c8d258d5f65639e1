/*
 * What stands between the cores on a node.  The rules are the shipped ones (core/host); this is
 * the queue daemon's life and its end of the socket, the disk that is read, and what tells them
 * that something has happened.
 */
#include "cluster.h"

#include "../sim/trace.h"

#include "core/base/memory.h"
#include "core/raft/node_wire.h"
#include "core/wire/event.h"

#include <assert.h>
#include <stdlib.h>

#define LINGERS_MAX_MS 3000 /* that a queue daemon takes to end that was killed */
#define SAYS_MAX       16   /* frames that the queue daemon writes at once */

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
	if (!node_record_is_good(d, index))
		trace_fail("node %u: record %llu is read, and it is bad", s->node->slot,
		    (unsigned long long)index);
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

static uint64_t newest_end(const struct site *s, uint64_t from)
{
	const struct disk *d = &s->node->disk;
	while (from > 0 && d->log[from].kind != RECORD_END)
		from--;
	return from;
}

/* ---- consensus ---- */

static struct engine_state engine_of(void *arg)
{
	const struct site *s = arg;
	struct raft_status st;
	raft_status(s->node->raft, &st);
	return engine_state(&st, s->committed, s->node->stored_seq);
}

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

/* The record that a step will make of it, by the value that it will have. */
static void keep(struct site *s, const struct proposal *p, uint32_t value)
{
	struct slice payload = p->piece.bytes;
	uint8_t *copy = malloc(payload.len + 1);
	assert(copy);
	if (payload.len > 0)
		memcpy(copy, payload.data, payload.len);
	s->c->records[value] =
	    (struct jm_record){.kind = p->kind, .len = payload.len, .payload = copy};
	if (p->kind == RECORD_END)
		s->c->sim.value[value].end = end_of(payload);
}

static void unkeep(struct site *s, uint32_t value)
{
	struct jm_record *r = &s->c->records[value];
	free(r->payload);
	*r = (struct jm_record){0};
	free(s->c->sim.value[value].end);
	s->c->sim.value[value].end = NULL;
}

static struct intake_room intake_room(const struct site *s);

static enum rmq_error propose(
    void *arg, const struct proposal *p, unsigned *counted, uint64_t *first)
{
	struct site *s = arg;
	struct sim *sim = &s->c->sim;
	struct intake_room room = intake_room(s);
	unsigned count = engine_proposes(p, *counted, &room);
	uint32_t value = sim->values + 1;
	uint64_t next = s->node->view.last + 1;
	if (count == 0)
		return RMQ_E_BUSY;
	struct raft_run *runs = calloc(count, sizeof(*runs));
	struct raft_event e = {.type = RAFT_EVENT_PROPOSE, .runs = runs, .run_count = count};
	assert(runs);
	if (value + count > VALUES || next + count > LOG_MAX)
		trace_fail("the simulator's log is too short");
	for (unsigned i = 0; i < count; i++) {
		keep(s, &p[i], value + i);
		runs[i] = (struct raft_run){
		    .count = 1, .bytes = (uint32_t)p[i].piece.bytes.len, .kind = p[i].kind};
	}
	trace("propose", s->node->slot, next, count, 0);
	enum rmq_error err = node_step(sim, s->node, &e);
	for (unsigned i = 0; err && i < count; i++)
		unkeep(s, value + i);
	if (err && err != RMQ_E_BUSY)
		trace_fail("a proposal is refused: %s", error_text(err));
	free(runs);
	*first = next;
	*counted = count;
	return err;
}

static uint64_t ask_barrier(void *arg)
{
	struct site *s = arg;
	return node_barrier(&s->c->sim, s->node);
}

static uint64_t holes(void *arg, uint64_t end, const struct hole_range *ranges, unsigned count)
{
	struct site *s = arg;
	struct raft_event e = {
	    .type = RAFT_EVENT_HOLE, .index = end, .ranges = ranges, .range_count = count};
	enum rmq_error err = node_step(&s->c->sim, s->node, &e);
	if (err)
		trace_fail("node %u: holes of a committed END are refused: %s", s->node->slot,
		    error_text(err));
	return s->node->sent_seq;
}

/* ---- records that have gone bad ---- */

static bool wants(struct site *s, uint64_t index)
{
	struct engine_state log = engine_of(s);
	return fetch_want(&s->fetch, &log, index, s->c->sim.now);
}

/* The first one that is committed here, and that no END says died; 0: there is none. */
static uint64_t first_bad(const struct site *s)
{
	const struct disk *d = &s->node->disk;
	for (uint64_t i = 1; s->c->sim.rots == s->node && i <= s->committed; i++)
		if (!node_record_is_good(d, i) &&
		    (s->c->sim.killed_by[i] == 0 || s->c->sim.killed_by[i] > s->committed))
			return i;
	return 0;
}

static enum rmq_error mend(void *arg, uint64_t index)
{
	struct site *s = arg;
	if (node_record_is_good(&s->node->disk, index))
		return RMQ_E_OK;
	return wants(s, index) ? RMQ_E_BUSY : RMQ_E_CORRUPT;
}

static enum rmq_error read_disk(void *arg, const struct reads_one *r, struct reads_records *out)
{
	struct site *s = arg;
	struct raft_action a = {.index = r->index, .bytes = r->bytes};
	uint64_t bad;
	out->count = node_log(&s->c->sim, s->node, &s->node->disk, &a, out->runs, &bad);
	if (out->count > 0 || bad == 0)
		return RMQ_E_OK;
	struct engine_state log = engine_of(s);
	s->dies = !wants(s, bad) && !fetch_possible(&log, bad);
	out->bad = bad;
	return RMQ_E_BUSY;
}

static void send_read(void *arg, const struct reads_one *r, const struct reads_records *records)
{
	struct site *s = arg;
	struct raft_event e = {.type = RAFT_EVENT_READ,
	    .id = r->id,
	    .index = r->index,
	    .term = r->term,
	    .runs = records->runs,
	    .run_count = records->count};
	trace("read", s->node->slot, r->id.bytes[0], r->index, records->count);
	if (node_step(&s->c->sim, s->node, &e))
		trace_fail("node %u: a read is refused", s->node->slot);
}

/* The host is busy, or does it. */
static void serve_reads(struct site *s)
{
	struct sim *sim = &s->c->sim;
	struct raft_status st;
	raft_status(s->node->raft, &st);
	struct reads_host host = {.arg = s,
	    .tail = &s->tail,
	    .term = st.role == RAFT_LEADER ? st.term : 0,
	    .stored = s->node->disk.last,
	    .truncates = s->node->stored_seq < s->truncate_seq,
	    .disk = read_disk,
	    .sent = send_read};
	if (sim->quiet || !prng_chance(&sim->prng, sim->busy))
		(void)reads_turn(&s->reads, &host);
}

/* What a peer has, which may be bad there as well; questions and answers may be lost. */
static void ask_for_record(struct site *s)
{
	struct sim *sim = &s->c->sim;
	uint64_t index = s->fetch.index;
	struct site *peer = &s->c->sites[s->fetch.asked.bytes[0] - 1];
	const struct node *n = peer->node;
	const struct disk *d = &n->disk;
	uint8_t bytes[NODE_RECORD_BYTES];
	struct slice record = {NULL, 0};
	trace("fetch", s->node->slot, n->slot, index, 0);
	if (!n->raft || n->paused_until > sim->now || n->cut_to[s->node->slot] ||
	    s->node->cut_to[n->slot] || (!sim->quiet && prng_chance(&sim->prng, 100)))
		return;
	struct engine_state log = engine_of(peer);
	if (fetch_tells(&log, index) && index <= d->last && d->log[index].kind != RAFT_HOLE) {
		record = node_record(d, index, bytes);
		if (!sim->quiet && prng_chance(&sim->prng, 100))
			bytes[prng_below(&sim->prng, sizeof(bytes))] ^= 1;
	}
	unsigned kind = s->node->disk.log[index].kind;
	struct fetch_known known = {.term = raft_term_at(s->node->raft, index),
	    .marked = kind == RECORD_CONFIG || kind == RECORD_END ? kind : 0};
	fetch_answered(&s->fetch, n->id, index, record, &known);
}

static void mend_record(struct site *s)
{
	s->node->mend_value = load_u32(fetch_payload(&s->fetch).data);
	trace("mend", s->node->slot, s->fetch.index, s->node->mend_value, 0);
	if (node_step(&s->c->sim, s->node,
		&(struct raft_event){
		    .type = RAFT_EVENT_MEND, .runs = &s->fetch.run, .run_count = 1}))
		trace_fail("node %u: a record of a peer is refused", s->node->slot);
	fetch_writes(&s->fetch, s->node->sent_seq);
}

/* A voter that could be asked all the time has it. */
static void check_given_up(const struct site *s)
{
	const struct sim *sim = &s->c->sim;
	uint64_t index = s->fetch.index;
	struct raft_status st;
	raft_status(s->node->raft, &st);
	for (unsigned i = 0; i < NODES; i++) {
		const struct node *n = &sim->nodes[i];
		bool there = n != s->node && n->raft && s->linked[i] &&
			     n->paused_until <= sim->now && !n->cut_to[s->node->slot] &&
			     !s->node->cut_to[i] && raft_config_is_voter(st.config, n->id);
		if (there && index <= s->c->sites[i].committed &&
		    n->disk.log[index].kind != RAFT_HOLE &&
		    node_record_is_good(&n->disk, index))
			trace_fail("node %u: record %llu is given up, and node %u has it",
			    s->node->slot, (unsigned long long)index, i);
	}
}

/* Those that hold another record there are asked first. */
static void add_peer(
    const struct site *s, const struct node *peer, struct raft_id peers[NODES], unsigned *count)
{
	uint64_t index = s->fetch.index;
	const struct disk *d = &peer->disk;
	bool other = index > 0 && index <= d->last &&
		     d->log[index].term != s->node->disk.log[index].term;
	unsigned at = other ? 0 : *count;
	memmove(peers + at + 1, peers + at, (*count - at) * sizeof(*peers));
	peers[at] = peer->id;
	++*count;
}

static void fetch_records(struct site *s)
{
	struct sim *sim = &s->c->sim;
	struct raft_id peers[NODES];
	enum fetch_action a;
	do {
		struct fetch_seen seen = {.peers = peers,
		    .room = intake_room(s),
		    .stored = s->node->stored_seq,
		    .now_ms = sim->now,
		    .patience_ms = sim->election_ms};
		for (unsigned i = 0; i < NODES; i++)
			if (s->linked[i] && &sim->nodes[i] != s->node)
				add_peer(s, &sim->nodes[i], peers, &seen.count);
		a = fetch_turn(&s->fetch, &seen);
		if (a == FETCH_ASK)
			ask_for_record(s);
		else if (a == FETCH_MEND)
			mend_record(s);
		else if (a == FETCH_FAILED && sim->quiet &&
			 sim->now > s->c->calm_at + 2ull * FETCH_PATIENCE * sim->election_ms)
			check_given_up(s);
		else if (a == FETCH_BROKEN)
			trace_fail("node %u: its disk is given up", s->node->slot);
	} while (a == FETCH_ASK || a == FETCH_MEND || a == FETCH_DONE);
}

/* ---- holes ---- */

static enum rmq_error next_end(void *arg, uint64_t from, uint64_t *index, struct slice *payload)
{
	struct site *s = arg;
	const struct disk *d = &s->node->disk;
	while (from <= d->last && d->log[from].kind != RECORD_END)
		from++;
	*index = from <= d->last ? from : 0;
	if (*index == 0)
		return RMQ_E_NOTHING;
	if (!node_record_is_good(d, from))
		return wants(s, from) ? RMQ_E_BUSY : RMQ_E_CORRUPT;
	const struct jm_record *r = &s->c->records[d->log[from].value];
	*payload = slice_of(r->payload, r->len);
	return RMQ_E_OK;
}

static uint64_t next_record(void *arg, uint64_t from)
{
	const struct site *s = arg;
	const struct disk *d = &s->node->disk;
	while (from <= d->last && d->log[from].kind == RAFT_HOLE)
		from++;
	return from > d->last ? UINT64_MAX : from;
}

static void begin_end(void *arg)
{
	(void)arg;
}

static void end_done(void *arg)
{
	(void)arg;
}

static void bad_end(void *arg, uint64_t end, enum rmq_error err)
{
	const struct site *s = arg;
	trace("bad end", s->node->slot, end, err, 0);
	if (node_record_is_good(&s->node->disk, end))
		trace_fail("node %u: what END %llu says died: %s", s->node->slot,
		    (unsigned long long)end, error_text(err));
}

static struct ends_log ends_log(struct site *s)
{
	return (struct ends_log){s, begin_end, next_end, next_record, end_done, bad_end};
}

/* Of as many records at once as chance has it. */
static void make_holes(struct site *s)
{
	struct prng *p = &s->c->sim.prng;
	struct ends_log log = ends_log(s);
	unsigned most = s->c->sim.quiet ? ENDS_TURN_RECORDS : (unsigned)prng_range(p, 1, 20);
	(void)ends_turn(&s->ends, &s->engine, &log, most);
}

/* What the END at this index named is gone from this node's disk, but for consensus' own. */
static void check_holed(struct site *s, uint64_t index)
{
	const struct disk *d = &s->node->disk;
	const struct end *end = s->c->sim.value[d->log[index].value].end;
	for (unsigned i = 0; i < end->count; i++)
		for (uint32_t k = 0; k < end->dead[i].count; k++) {
			uint8_t kind = d->log[end->dead[i].first + k].kind;
			if (kind != RAFT_HOLE && kind != RECORD_CONFIG)
				trace_fail("node %u: HOLED of %llu, and record %llu is there",
				    s->node->slot, (unsigned long long)index,
				    (unsigned long long)(end->dead[i].first + k));
		}
}

/* ---- the queue daemon's end of the socket ---- */

/* A BARRIER is written: whatever is committed anywhere by now must be known when it is done. */
static void note_barrier(struct site *s, uint64_t id)
{
	s->waiting =
	    memory_grow(s->waiting, s->waiting_count, &s->waiting_cap, sizeof(*s->waiting));
	s->waiting[s->waiting_count++] =
	    (struct waiting){id, s->c->sim.commit, s->node->barrier};
}

static void check_barrier_done(struct site *s, uint64_t id)
{
	const struct waiting b = s->waiting_count > 0 ? s->waiting[0] : (struct waiting){0};
	const struct rec *here = &s->node->view.log[b.commit];
	if (s->waiting_count == 0 || b.id != id)
		trace_fail("node %u: barrier %llu is done, and not the next one", s->node->slot,
		    (unsigned long long)id);
	if (b.commit > s->node->view.last || here->term != s->c->sim.committed[b.commit].term)
		trace_fail("node %u: a barrier is answered, record %llu is not known here",
		    s->node->slot, (unsigned long long)b.commit);
	if (s->round_done <= b.round)
		trace_fail(
		    "node %u: a barrier is answered, the others were not asked", s->node->slot);
	memmove(s->waiting, s->waiting + 1, --s->waiting_count * sizeof(*s->waiting));
}

static void say(struct site *s, const struct jm_op *op)
{
	struct slice bytes = slice_of(op->bytes, op->len);
	size_t cap = op->len + 64;
	uint8_t *frame = malloc(cap);
	assert(frame);
	struct writer w = writer_of(frame, cap);
	switch (op->type) {
	case JM_APPEND:
		s->said_n = op->n;
		journal_put_append(&w, &(struct journal_append){op->n, op->kind, bytes});
		break;
	case JM_BARRIER:
		note_barrier(s, op->n);
		journal_put_barrier(&w, &(struct journal_barrier){op->n});
		break;
	case JM_HOLE:
		journal_put_hole(&w, &(struct journal_hole){op->n, bytes});
		break;
	case JM_RESERVE:
		journal_put_reserve(&w, &(struct journal_reserve){op->n});
		break;
	case JM_KILL:
		trace_fail("a journal has no such frame");
	}
	bytes_push(&s->said, slice_of(frame, w.len));
	free(frame);
}

/* One that is stopped reads no PING. */
static void answer_ping(struct site *s)
{
	uint8_t frame[64];
	struct writer w = writer_of(frame, sizeof(frame));
	if (s->pinged == 0 || s->daemon->paused_until > s->c->world.boot_ms)
		return;
	journal_put_pong(&w, &(struct journal_pong){s->pinged});
	bytes_push(&s->said, slice_of(frame, w.len));
	s->pinged = 0;
}

/* The daemon writes some of what waits, and some of what it wrote is read: cut anywhere. */
static void read_some(struct site *s)
{
	struct prng *p = &s->c->sim.prng;
	bool all = s->c->sim.quiet || s->opening;
	struct jm_op op;
	uint8_t *to;
	size_t place;
	for (uint64_t i = all ? SAYS_MAX : prng_range(p, 1, SAYS_MAX);
	     i > 0 && jm_take(&s->journal, &op); i--) {
		say(s, &op);
		free(op.bytes);
	}
	answer_ping(s);
	size_t left = bytes_all(&s->said).len;
	if (!all && left > 0 && prng_chance(p, 300))
		left = prng_range(p, 1, left);
	while (left > 0 && (to = shared_journal_space(s->shared, &place)) != NULL) {
		size_t n = left < place ? left : place;
		memcpy(to, bytes_all(&s->said).data, n);
		bytes_consume(&s->said, n);
		left -= n;
		shared_journal_read(s->shared, n);
	}
}

/*
 * It comes upon a bad record: all that it needs is read sooner or later.  It does nothing else until
 * that is mended.
 */
static bool waits_for_record(struct site *s)
{
	uint8_t frame[64];
	struct writer w = writer_of(frame, sizeof(frame));
	uint64_t index = s->bad ? 0 : first_bad(s);
	if (index > 0) {
		trace("bad", s->node->slot, index, 0, 0);
		journal_put_bad(&w, &(struct journal_bad){index});
		bytes_push(&s->said, slice_of(frame, w.len));
		s->bad = index;
		s->daemon->waits = true;
	}
	return s->bad > 0;
}

void site_looks(struct site *s)
{
	if (s->daemon->up)
		(void)waits_for_record(s);
}

static void take_opened(struct site *s, const struct journal_opened *m)
{
	struct journal_model *j = &s->journal;
	j->count = m->last;
	j->end = m->checkpoint;
	j->older_end = j->end ? newest_end(s, j->end - 1) : 0;
}

static void take_answer(struct site *s, const struct frame *f)
{
	struct journal_opened opened;
	struct journal_stored stored;
	struct journal_barrier_done done;
	struct journal_holed holed;
	struct journal_room room;
	struct journal_holes_wanted wanted;
	struct journal_ping ping;
	struct journal_mended mended;
	if (f->type == JOURNAL_TYPE_OPENED && journal_opened_decode(f->payload, &opened)) {
		take_opened(s, &opened);
	} else if (f->type == JOURNAL_TYPE_STORED &&
		   journal_stored_decode(f->payload, &stored)) {
		s->stored_n = stored.first_n + stored.count - 1;
		jm_answer_with(&s->journal, (struct jm_answer){JM_STORED, stored.first_n,
						stored.first_index, stored.count});
	} else if (f->type == JOURNAL_TYPE_BARRIER_DONE &&
		   journal_barrier_done_decode(f->payload, &done)) {
		check_barrier_done(s, done.id);
		jm_answer_with(&s->journal, (struct jm_answer){JM_BARRIER_DONE, done.id, 0, 0});
	} else if (f->type == JOURNAL_TYPE_ROOM && journal_room_decode(f->payload, &room)) {
		jm_answer_with(&s->journal, (struct jm_answer){JM_ROOM, room.n, room.bytes, 0});
	} else if (f->type == JOURNAL_TYPE_HOLES_WANTED &&
		   journal_holes_wanted_decode(f->payload, &wanted)) {
		trace("wanted", s->node->slot, wanted.wanted, 0, 0);
		jm_answer_with(
		    &s->journal, (struct jm_answer){JM_HOLES_WANTED, 0, wanted.wanted, 0});
	} else if (f->type == JOURNAL_TYPE_HOLED && journal_holed_decode(f->payload, &holed)) {
		check_holed(s, holed.checkpoint);
	} else if (f->type == JOURNAL_TYPE_MENDED &&
		   journal_mended_decode(f->payload, &mended)) {
		trace("mended", s->node->slot, mended.index, mended.code, 0);
		s->bad = 0;
		s->daemon->waits = false;
		s->unreadable = mended.code != 0;
	} else if (f->type == JOURNAL_TYPE_PING && journal_ping_decode(f->payload, &ping)) {
		s->pinged = ping.id;
	} else {
		trace_fail("the journal says what it must not: frame %u", f->type);
	}
}

/* The socket takes it all, or some, or nothing. */
static size_t take_answers(void *arg, struct slice bytes)
{
	struct site *s = arg;
	struct prng *p = &s->c->sim.prng;
	size_t taken = bytes.len, used;
	struct frame f;
	if (!s->c->sim.quiet && !s->opening && prng_chance(p, 100))
		taken = prng_below(p, bytes.len);
	bytes_push(&s->answers, slice_of(bytes.data, taken));
	while (frame_parse(bytes_all(&s->answers), &f, &used) == RMQ_E_OK && used > 0) {
		take_answer(s, &f);
		bytes_consume(&s->answers, used);
	}
	return taken;
}

static void opening(void *arg, struct journal_opened *m, uint64_t *level)
{
	const struct site *s = arg;
	m->checkpoint = newest_end(s, s->committed);
	m->directory = slice_str("");
	*level = level_newest();
}

/* What is kept back is in the room that is told. */
static void reserve(void *arg, uint64_t bytes)
{
	(void)arg, (void)bytes;
}

static void lost(void *arg, const char *why)
{
	const struct site *s = arg;
	trace_fail("node %u: the queue daemon is ended: %s", s->node->slot, why);
}

/* ---- room ---- */

void site_disk(struct site *s, uint64_t bytes)
{
	s->disk = (struct disk_room){bytes, s->node->disk.last};
}

static uint64_t rec_bytes(const struct site *s, const struct rec *r)
{
	return r->kind == RAFT_HOLE ? 0 : RECORD_HEADER_SIZE + s->c->sim.value[r->value].bytes;
}

/* What is left of a disk that has an end. */
static uint64_t disk_left(const struct site *s)
{
	const struct disk *d = &s->node->disk;
	uint64_t used = 0;
	for (uint64_t i = 1; i <= d->last; i++)
		used += rec_bytes(s, &d->log[i]);
	return s->capacity > used ? s->capacity - used : 0;
}

static uint64_t op_bytes(const struct site *s, const struct op *op)
{
	uint64_t bytes = 0;
	for (unsigned i = 0; i < op->rec_count; i++)
		bytes += rec_bytes(s, &op->recs[i]);
	return bytes;
}

void site_fill(struct site *s, uint64_t reserve)
{
	const struct disk *d = &s->node->view;
	s->reserve = reserve;
	s->capacity = s->reserve + RESERVE_SPARE;
	for (uint64_t i = 1; i <= d->last; i++)
		s->capacity += rec_bytes(s, &d->log[i]);
}

static struct intake_room intake_room(const struct site *s)
{
	if (s->capacity == UINT64_MAX)
		return INTAKE_ENOUGH;
	uint64_t left = disk_left(s), sent = 0;
	left = left > RESERVE_SPARE ? left - RESERVE_SPARE : 0;
	struct intake_room room = {
	    left > s->reserve ? left - s->reserve : 0, {left, left, left}};
	for (const struct op *op = s->node->ops; op; op = op->next)
		sent += op_bytes(s, op);
	return intake_room_less(room, sent);
}

/* The journal says anew what fits, after what it has stored. */
static void count_stored(struct site *s)
{
	const struct disk *d = &s->node->disk;
	if (s->capacity != UINT64_MAX)
		site_disk(s, intake_room(s).messages);
	else if (s->c->level > 0)
		site_disk(s, s->disk.bytes);
	for (; s->disk.index < d->last; s->disk.index++) {
		uint64_t bytes = s->c->sim.value[d->log[s->disk.index + 1].value].bytes;
		s->disk.bytes -= bytes < s->disk.bytes ? bytes : s->disk.bytes;
	}
	s->disk.index = d->last;
}

/* Nothing that node `o` says comes here any more. */
static bool is_cut_off(const struct site *s, const struct node *o)
{
	return !o->raft || o->cut_to[s->node->slot];
}

/*
 * A connection ends when that is noticed, and what came by it counts no more; who is connected
 * anew tells where it stands.
 */
static void hear_room(struct site *s)
{
	struct sim *sim = &s->c->sim;
	for (unsigned i = 0; i < NODES; i++) {
		const struct node *o = &sim->nodes[i];
		bool cut = is_cut_off(s, o), notices = sim->quiet || prng_chance(&sim->prng, 5);
		if (o == s->node)
			continue;
		/* A node that stood still hears then what was on its way. */
		if (cut && (s->lost_at[i] == 0 || sim->now > s->turned_at + 1))
			s->lost_at[i] = sim->now;
		if (!cut)
			s->lost_at[i] = 0;
		if (cut && s->linked[i] && notices) {
			s->linked[i] = false;
			s->heard[i] = (struct disk_room){0, 0};
		}
		if (!cut && !s->linked[i] && (sim->quiet || prng_chance(&sim->prng, 100))) {
			s->linked[i] = true;
			s->heard[i] = s->c->sites[i].disk;
			crashes_heard(&s->crashes, o->id, s->c->sites[i].crashes.own);
		}
	}
	s->turned_at = sim->now;
}

/* To all that it is connected with; what is under way to one that is cut off is lost. */
static void tell_room(struct site *s)
{
	struct cluster *c = s->c;
	if (!room_is_news(&s->told, &s->disk, c->sim.now - s->told_ms))
		return;
	s->told = s->disk;
	s->told_ms = c->sim.now;
	for (unsigned i = 0; i < NODES; i++)
		if (c->sites[i].linked[s->node->slot] && !is_cut_off(&c->sites[i], s->node))
			c->sites[i].heard[s->node->slot] = s->disk;
}

static unsigned voters(const struct site *s, struct voter_room rooms[NODES], bool gone[NODES])
{
	struct raft_status st;
	struct raft_peer_status peer;
	unsigned n = 0;
	raft_status(s->node->raft, &st);
	for (unsigned i = 0; i < st.config->count; i++) {
		struct raft_id id = st.config->members[i].id;
		unsigned slot = id.bytes[0] - 1u;
		bool self = raft_id_eq(id, s->node->id);
		if (!raft_config_is_voter(st.config, id))
			continue;
		(void)raft_peer_status(s->node->raft, id, &peer);
		gone[n] = !self && s->lost_at[slot] &&
			  s->c->sim.now - s->lost_at[slot] >
			      3 * s->c->sim.election_ms + s->c->sim.delay_max;
		rooms[n] =
		    (struct voter_room){self ? s->disk : s->heard[slot], self || peer.match > 0,
			self ? 0 : node_clock(&s->c->sim, s->node) - peer.heard_at};
		/* Who is new in its place is not let in, and nothing is heard of it. */
		if (!raft_id_eq(id, s->c->sim.nodes[slot].id))
			rooms[n].disk = (struct disk_room){0, 0};
		n++;
	}
	return n;
}

/*
 * What fits on a disk, counted record by record, by the whole log.  What became a hole costs a
 * node nothing that comes to it later: it counts or not.
 */
static uint64_t exact(const struct site *s, const struct disk_room *disk, bool holes)
{
	const struct disk *view = &s->node->view;
	uint64_t used = 0;
	for (uint64_t at = disk->index + 1; at <= view->last; at++)
		if (holes || view->log[at].kind != RAFT_HOLE)
			used += s->c->sim.value[view->log[at].value].bytes;
	return disk->bytes > used ? disk->bytes - used : 0;
}

/* How much too little may be told, since the log is known by marks only so far back. */
static uint64_t slack(const struct site *s, const struct disk_room *disk)
{
	return tail_get(&s->tail, disk->index + 1) || disk->index >= s->node->view.last
		   ? 0
		   : TAIL_MARK_BYTES + RECORD_PAYLOAD_MAX;
}

/*
 * So much fits here, and on the disks of a majority that is not known to be gone; and there is
 * no other majority with much more, of which all is known.
 */
static void check_room(struct site *s, uint64_t told)
{
	struct voter_room rooms[NODES];
	bool gone[NODES];
	uint64_t here = exact(s, &s->disk, false), much = told + slack(s, &s->disk);
	unsigned n = voters(s, rooms, gone), have = 0, more = 0;
	for (unsigned i = 0; i < n; i++) {
		uint64_t left = exact(s, &rooms[i].disk, false);
		bool known = tail_bytes_after(&s->tail, rooms[i].disk.index) != UINT64_MAX;
		have += told == 0 || (!gone[i] && left >= told);
		more += known && rooms[i].answered &&
			rooms[i].silent_ms <= s->c->sim.election_ms &&
			exact(s, &rooms[i].disk, true) > told + slack(s, &rooms[i].disk);
	}
	if (told > here || have < n / 2 + 1 || (more > n / 2 && here > much))
		trace_fail(
		    "node %u: room for %llu bytes is told: %llu fit here, %u of %u voters "
		    "have it, %u have more",
		    s->node->slot, (unsigned long long)told, (unsigned long long)here, have, n,
		    more);
}

/* What comes after the record before what was cut off is what the log has there now. */
static void check_tail(struct site *s)
{
	struct disk_room disk = {ROOM_ENOUGH, s->truncated - 1};
	if (s->truncated == 0 || !tail_get(&s->tail, disk.index))
		return;
	uint64_t left = ROOM_ENOUGH - tail_bytes_after(&s->tail, disk.index);
	uint64_t most = exact(s, &disk, false), least = exact(s, &disk, true);
	if (left > most || left < least)
		trace_fail("node %u: room for %llu bytes less after record %llu, not for %llu",
		    s->node->slot, (unsigned long long)(ROOM_ENOUGH - left),
		    (unsigned long long)disk.index, (unsigned long long)(ROOM_ENOUGH - least));
	s->truncated = 0;
}

static uint64_t room_left(struct site *s)
{
	struct voter_room rooms[NODES];
	bool gone[NODES];
	unsigned n = voters(s, rooms, gone);
	uint64_t room = cluster_room(rooms, n, &s->disk, &s->tail, s->c->sim.election_ms);
	if (prng_chance(&s->c->sim.prng, 20))
		check_room(s, room);
	return room;
}

static bool holes_wanted(const struct site *s)
{
	struct raft_status st;
	struct raft_peer_status peer;
	bool wanted = false;
	raft_status(s->node->raft, &st);
	for (unsigned i = 0; i < st.config->count && !wanted; i++) {
		struct raft_id id = st.config->members[i].id;
		if (!raft_peer_status(s->node->raft, id, &peer))
			continue;
		struct voter_room m = {s->heard[id.bytes[0] - 1u], peer.match > 0,
		    node_clock(&s->c->sim, s->node) - peer.heard_at};
		wanted = member_waits_for_room(&m, peer.level, s->c->sim.election_ms);
	}
	return wanted;
}

/* The newest records, by their length alone: nobody reads them here. */
static void note_tail(struct site *s, const struct raft_store *store)
{
	if (store->truncate) {
		s->truncate_seq = store->seq;
		tail_truncate(&s->tail, store->truncate);
		s->truncated = store->truncate;
	}
	for (unsigned i = 0; i < store->run_count; i++) {
		const struct raft_run *run = &store->runs[i];
		if (run->kind != RAFT_HOLE)
			tail_push(&s->tail, run->first, run->kind,
			    (struct piece){slice_of(NULL, run->bytes), NULL});
	}
	for (unsigned i = 0; i < store->hole_count; i++)
		tail_dig(&s->tail, store->holes[i].first, store->holes[i].count);
}

static void journal_turn(struct site *s)
{
	shared_journal_turn(
	    s->shared, s->ends.followed, room_left(s), holes_wanted(s), level_newest());
	if (s->daemon->up)
		s->journal.count = s->committed;
}

/* ---- the daemon's life ---- */

void site_init(struct cluster *c, unsigned slot)
{
	struct site *s = &c->sites[slot];
	s->c = c;
	s->node = &c->sim.nodes[slot];
	s->daemon = &c->world.daemons[slot];
	s->daemon->journal = &s->journal;
	s->engine = (struct engine){s, engine_of, propose, ask_barrier, holes};
	s->owner = (struct shared_journal_owner){s, opening, take_answers, reserve, mend, lost};
	tail_init(&s->tail);
	s->disk = s->told = (struct disk_room){ROOM_ENOUGH, 0};
	s->capacity = UINT64_MAX;
	s->journal.arg = s;
	s->journal.read = site_read;
	s->journal.refused = refused;
}

void site_begin(struct site *s)
{
	health_init(&s->health, s->c->sim.election_ms, s->c->sim.now);
	keeper_init(&s->keeper, health_bound(&s->health));
}

static void forget(struct site *s)
{
	jm_clear(&s->journal);
	if (s->shared)
		shared_journal_end(s->shared);
	bytes_consume(&s->said, bytes_all(&s->said).len);
	bytes_consume(&s->answers, bytes_all(&s->answers).len);
	s->said_n = s->stored_n = s->pinged = s->bad = 0;
	s->opened = s->unreadable = s->daemon->waits = false;
	s->waiting_count = 0;
}

void site_free(struct site *s)
{
	s->journal.count = 0;
	jm_free(&s->journal);
	shared_journal_free(s->shared);
	tail_deinit(&s->tail);
	free(s->watcher);
	bytes_free(&s->said);
	bytes_free(&s->answers);
	free(s->waiting);
}

/* ---- where queue daemons die ---- */

static void tell_crashes(struct site *s)
{
	struct cluster *c = s->c;
	const struct crashes_word *own = &s->crashes.own;
	if (own->state == s->told_died.state && own->place == s->told_died.place)
		return;
	s->told_died = *own;
	for (unsigned i = 0; i < NODES; i++)
		if (c->sites[i].linked[s->node->slot] && !is_cut_off(&c->sites[i], s->node))
			crashes_heard(&c->sites[i].crashes, s->node->id, *own);
}

/* It takes clients, and those that are connected hear of it. */
static void tell_passed(struct site *s)
{
	struct cluster *c = s->c;
	crashes_passed(&s->crashes);
	for (unsigned i = 0; i < NODES; i++)
		if (c->sites[i].linked[s->node->slot] && !is_cut_off(&c->sites[i], s->node))
			crashes_passed(&c->sites[i].crashes);
}

static bool may_start(struct site *s)
{
	struct engine_state log = engine_of(s);
	return !log.leads || crashes_may_start(&s->crashes, log.term);
}

static void say_reads(struct site *s, uint64_t index)
{
	uint8_t frame[64];
	struct writer w = writer_of(frame, sizeof(frame));
	journal_put_reads(&w, &(struct journal_reads){index});
	bytes_push(&s->said, slice_of(frame, w.len));
	s->opening = true;
	read_some(s);
	s->opening = false;
}

/* It says what it reads, and before it takes clients that it has read all. */
static bool dies(struct site *s)
{
	static const enum crashes_end ends[] = {[RUNS] = CRASHES_CRASHED,
	    [EXITS_READING] = CRASHES_EXITED,
	    [KILLED_READING] = CRASHES_KILLED,
	    [CRASHES_READY] = CRASHES_CRASHED};
	uint64_t deadly = s->c->deadly, index;
	bool of_record = deadly > s->journal.end && deadly <= s->journal.count;
	say_reads(s, of_record ? deadly : s->journal.count);
	if (!of_record && (s->start == RUNS || s->start == CRASHES_READY))
		say_reads(s, 0);
	if (!of_record && s->start == RUNS)
		return false;
	if (shared_journal_place(s->shared, &index))
		crashes_died(&s->crashes, ends[s->start], index);
	trace("dies", s->node->slot, deadly, s->crashes.own.state, s->start);
	forget(s);
	return true;
}

/* ---- gates ---- */

/* Whether this node's gate reaches that of the node that leads. */
static bool reaches(const struct site *s)
{
	struct raft_status st;
	raft_status(s->node->raft, &st);
	if (raft_id_none(st.leader) || raft_id_eq(st.leader, s->node->id))
		return false;
	const struct site *leader = &s->c->sites[st.leader.bytes[0] - 1];
	return leader->gate == GATE_WELL && !s->node->cut_to[leader->node->slot] &&
	       !leader->node->cut_to[s->node->slot];
}

/* Whether the node of `s` finds the gate of that one, which says that it was not reached. */
static bool finds(const struct site *s, const struct site *other)
{
	return (s->flags[other->node->slot] & NODE_STATE_UNREACHED) &&
	       other->gate == GATE_WELL && !s->node->cut_to[other->node->slot] &&
	       !other->node->cut_to[s->node->slot];
}

static void gate_turn(struct site *s)
{
	struct cluster *c = s->c;
	if (s->gate != GATE_STOPPED)
		gates_report(&s->health.gates, false, reaches(s));
	for (unsigned i = 0; i < NODES; i++)
		if (c->sites[i].linked[s->node->slot] && !is_cut_off(&c->sites[i], s->node))
			c->sites[i].flags[s->node->slot] =
			    gates_flags(&s->health.gates) |
			    (keeper_fails(&s->keeper, c->sim.now) ? NODE_STATE_FAILS : 0) |
			    (finds(s, &c->sites[i]) ? NODE_STATE_FINDS : 0);
}

/* ---- its start and its end ---- */

static void kill_queue(struct site *s)
{
	struct sim *sim = &s->c->sim;
	trace("queue ends", s->node->slot, s->keeper.term, s->journal.op_count, s->said_n);
	if (s->sticks)
		s->lingers_until = UINT64_MAX;
	else if (!sim->quiet && prng_chance(&sim->prng, 100))
		s->lingers_until = sim->now + prng_range(&sim->prng, 1, LINGERS_MAX_MS);
	shared_journal_end(s->shared);
	if (RMQ_VARIANT(EFFECTS_RELEASED) && s->daemon->up)
		daemon_turn(s->daemon);
	if (s->daemon->up)
		daemon_crash(s->daemon);
	forget(s);
}

static void obey(struct site *s, enum keeper_event e);

/* A new process; it has done nothing yet. */
static void start_queue(struct site *s)
{
	if (s->node->no_broker)
		trace_fail("node %u: a queue daemon runs without the role", s->node->slot);
	forget(s);
	shared_journal_free(s->shared);
	s->shared = shared_journal_new(&s->engine, &s->owner);
	s->daemon->paused_until = 0;
}

static void open_queue(struct site *s)
{
	uint8_t frame[64], tags[8];
	struct writer w = writer_of(frame, sizeof(frame)), t = writer_of(tags, sizeof(tags));
	tags_put(&t, JOURNAL_TAG_ANSWERS, slice_of(NULL, 0));
	tags_put(&t, JOURNAL_TAG_WANTED, slice_of(NULL, 0));
	journal_put_open(
	    &w, &(struct journal_open){JOURNAL_OPEN_VERSIONS, 0, slice_of(tags, t.len)});
	bytes_push(&s->said, slice_of(frame, w.len));
	s->opening = true;
	read_some(s);
	journal_turn(s);
	s->opening = false;
	s->opened = true;
}

/* It reads all that it needs. */
static void read_queue(struct site *s)
{
	if (waits_for_record(s))
		return;
	s->c->starts++;
	s->starts++;
	if (dies(s)) {
		obey(s, KEEPER_DIED);
		return;
	}
	s->c->served++;
	daemon_start(s->daemon, s->keeper.term);
	tell_passed(s);
}

/* ---- who leads next, and whether this one may ---- */

static unsigned successors(
    const struct site *s, struct health_successor list[NODES], struct raft_id ids[NODES])
{
	struct raft_status st;
	struct raft_peer_status p;
	uint64_t now = node_clock(&s->c->sim, s->node);
	unsigned n = 0;
	const struct raft_member *m;
	raft_status(s->node->raft, &st);
	while ((m = health_candidate(st.config, s->node->id, n))) {
		struct raft_id id = m->id;
		bool leads = raft_peer_status(s->node->raft, id, &p);
		ids[n] = id;
		list[n++] = (struct health_successor){
		    .answers = leads && now < p.heard_at + s->c->sim.election_ms,
		    .gate = gates_open(s->flags[id.bytes[0] - 1], true),
		    .level = p.level,
		    .room = s->heard[id.bytes[0] - 1].bytes,
		    .match = p.match,
		    .fails = s->flags[id.bytes[0] - 1] & NODE_STATE_FAILS};
	}
	return n;
}

/* Whom it suits best, and whether it fails; false: there is nobody. */
static bool successor(const struct site *s, struct raft_id *id, bool *fails)
{
	struct health_successor list[NODES];
	struct raft_id ids[NODES];
	int best = health_successor(list, successors(s, list, ids));
	if (best < 0)
		return false;
	*id = ids[best];
	*fails = list[best].fails;
	return true;
}

static void hand_over(struct site *s)
{
	struct raft_event e = {.type = RAFT_EVENT_TRANSFER};
	bool fails;
	if (!successor(s, &e.id, &fails))
		return;
	trace("hand over", s->node->slot, e.id.bytes[0] - 1u, s->keeper.deaths,
	    s->health.illness);
	(void)!node_step(&s->c->sim, s->node, &e);
}

static void event(struct site *s, enum raft_event_type type)
{
	trace("health", s->node->slot, type, s->health.illness, 0);
	(void)!node_step(&s->c->sim, s->node, &(struct raft_event){.type = type});
}

static void watch_queue(struct site *s)
{
	enum health_daemon daemon = keeper_is_watched(&s->keeper)
					? shared_journal_daemon(s->shared)
					: HEALTH_DAEMON_UNWATCHED;
	switch (health_daemon_turn(
	    &s->health, daemon, s->shared ? shared_journal_words(s->shared) : 0)) {
	case HEALTH_DAEMON_NOTHING:
		break;
	case HEALTH_DAEMON_PING:
		shared_journal_ping(s->shared);
		break;
	case HEALTH_DAEMON_KILL:
		trace("silent", s->node->slot, 0, 0, 0);
		obey(s, KEEPER_SILENT);
		break;
	}
}

/* What the leader says that it has; 0: it is not heard. */
static uint64_t told_by_leader(const struct site *s)
{
	struct raft_status st;
	raft_status(s->node->raft, &st);
	for (unsigned i = 0; i < NODES; i++)
		if (&s->c->sites[i] != s && raft_id_eq(s->c->sim.nodes[i].id, st.leader))
			return s->heard[i].index;
	return 0;
}

/* Of members: others do not know who leads. */
static void count_gates(const struct site *s, struct gates_count *gates)
{
	struct raft_status st;
	raft_status(s->node->raft, &st);
	for (unsigned i = 0; st.config && i < st.config->count; i++) {
		struct raft_id id = st.config->members[i].id;
		unsigned slot = id.bytes[0] - 1u;
		if (!raft_id_none(id) && s->linked[slot] &&
		    raft_id_eq(id, s->c->sim.nodes[slot].id))
			gates_add(gates, s->flags[slot]);
	}
}

static void watch_health(struct site *s)
{
	struct health_successor list[NODES];
	struct raft_id ids[NODES];
	unsigned n = successors(s, list, ids);
	struct health_seen seen = {.log = engine_of(s),
	    .sent = s->node->sent_seq,
	    .others = n > 0,
	    .full = s->disk.bytes < HEALTH_FULL_BYTES,
	    .waits = s->shared && shared_journal_waits(s->shared),
	    .room = ROOM_ENOUGH,
	    .lingers = s->c->sim.now < s->lingers_until,
	    .has = s->node->disk.last,
	    .told = told_by_leader(s)};
	for (unsigned i = 0; i < n; i++) {
		seen.better |= health_better(&list[i]);
		seen.gated |= health_gated(&list[i]);
	}
	count_gates(s, &seen.gates);
	enum health_action a = health_turn(&s->health, &seen, s->c->sim.now);
	switch (s->ending.state == ENDING_NOT ? a : HEALTH_NOTHING) {
	case HEALTH_NOTHING:
		break;
	case HEALTH_HAND_OVER:
		hand_over(s);
		break;
	case HEALTH_STEP_DOWN:
		event(s, RAFT_EVENT_ABSTAIN);
		break;
	case HEALTH_STAND:
		event(s, RAFT_EVENT_STAND);
		break;
	}
	watch_queue(s);
}

/* ---- what is to be done with the daemon ---- */

static void look_for_another(struct site *s)
{
	struct raft_id id;
	bool fails, any = successor(s, &id, &fails);
	if (keeper_hands_over(&s->keeper, any && fails) && may_start(s))
		hand_over(s);
}

static void act(struct site *s, enum keeper_action a)
{
	switch (a) {
	case KEEPER_NOTHING:
		break;
	case KEEPER_START:
		start_queue(s);
		break;
	case KEEPER_KILL:
		kill_queue(s);
		break;
	case KEEPER_REST:
		kill_queue(s);
		s->rested_at = s->c->sim.now + s->keeper.pause_ms;
		look_for_another(s);
		break;
	case KEEPER_TERM:
		trace_fail("nobody drains a queue daemon here");
	}
}

static void obey(struct site *s, enum keeper_event e)
{
	act(s, keeper_event(&s->keeper, e, s->c->sim.now));
}

/* What was started goes on, unless it is stopped; now and then it takes a while. */
static void go_on(struct site *s)
{
	struct sim *sim = &s->c->sim;
	while (s->keeper.state == KEEPER_STARTING && s->bad == 0 &&
	       s->daemon->paused_until <= s->c->world.boot_ms &&
	       (sim->quiet || prng_chance(&sim->prng, 800))) {
		if (s->daemon->up)
			obey(s, KEEPER_TAKES_CLIENTS);
		else if (s->opened)
			read_queue(s);
		else
			open_queue(s);
	}
}

static void rested(struct site *s)
{
	obey(s, KEEPER_RESTED);
	look_for_another(s);
}

static bool is_up(void *arg, struct raft_id id)
{
	const struct site *s = arg;
	unsigned slot = id.bytes[0] - 1u;
	return raft_id_eq(id, s->node->id) ||
	       (s->linked[slot] && raft_id_eq(id, s->c->sim.nodes[slot].id));
}

/* Whether it waits for members no more, or never did. */
static bool gate_is_open(struct site *s)
{
	struct raft_status st;
	struct start_gate_lack lack;
	struct raft_event latch = {.type = RAFT_EVENT_MARK, .mark = RAFT_MARK_LATCH};
	raft_status(s->node->raft, &st);
	if (!st.serving || !st.committed)
		return false;
	enum start_gate gate =
	    start_gate_look(&s->c->min_members, st.committed, is_up, s, &lack);
	if (gate == START_GATE_WAITS && s->c->starts > 0)
		trace_fail("the queue waits for members again: %u of %u", lack.up, lack.wanted);
	if (gate == START_GATE_LATCHES && st.config_index <= st.commit)
		(void)!node_step(&s->c->sim, s->node, &latch);
	return gate == START_GATE_OPEN;
}

static void keep_queue(struct site *s)
{
	bool open = gate_is_open(s);
	struct engine_state log = engine_of(s);
	struct raft_status st;
	raft_status(s->node->raft, &st);
	enum roles_own role = roles_own(st.config, s->node->id);
	if (st.serving && s->ending.state == ENDING_NOT && role == ROLES_PASSES_ON)
		hand_over(s);
	go_on(s);
	if (s->keeper.state == KEEPER_PAUSE && s->c->sim.now >= s->rested_at)
		rested(s);
	bool may = role == ROLES_RUNS && open && may_start(s) &&
		   s->ending.state == ENDING_NOT && !leaving_rests(&s->leaves) &&
		   s->c->sim.now >= s->lingers_until;
	act(s, keeper_turn(&s->keeper, &log, may, s->c->sim.now));
	/* In the calm it may be one that stops before it does anything. */
	if (!s->c->sim.quiet)
		go_on(s);
}

/* It was told to end.  Its queue daemon cannot, as the disk hangs: see illness.c. */
static void end_turn(struct site *s)
{
	struct raft_id id;
	bool fails;
	struct engine_state log = engine_of(s);
	struct ending_seen seen = {.leads = log.leads,
	    .serving = log.serving,
	    .successor = successor(s, &id, &fails),
	    .runs = keeper_runs(&s->keeper)};
	switch (ending_turn(&s->ending, &seen, s->c->sim.now)) {
	case ENDING_NOTHING:
		break;
	case ENDING_HAND_OVER:
		hand_over(s);
		break;
	case ENDING_DRAIN:
		if (seen.successor && s->c->sim.now > s->told_to_end + ENDING_HAND_OVER_MS)
			trace_fail("node %u is told to end, and leads on", s->node->slot);
		break;
	case ENDING_END:
		obey(s, KEEPER_UNWANTED);
		break;
	}
}

/* It leaves: what has been agreed says so, also to the process after this one. */
static void leave_turn(struct site *s)
{
	struct raft_id id;
	bool fails;
	struct engine_state log = engine_of(s);
	struct raft_status st;
	raft_status(s->node->raft, &st);
	const struct raft_member *self =
	    st.committed ? raft_config_find(st.committed, s->node->id) : NULL;
	struct ending_seen seen = {.leads = log.leads,
	    .serving = log.serving,
	    .successor = successor(s, &id, &fails),
	    .runs = keeper_runs(&s->keeper)};
	switch (leaving_own_turn(&s->leaves, self && self->leaving, &seen, s->c->sim.now)) {
	case ENDING_NOTHING:
		break;
	case ENDING_HAND_OVER:
		hand_over(s);
		break;
	case ENDING_DRAIN:
	case ENDING_END:
		obey(s, KEEPER_UNWANTED);
		break;
	}
	administrator_sees_off(s);
}

void site_end(struct site *s)
{
	if (s->ending.state == ENDING_NOT)
		s->told_to_end = s->c->sim.now;
	ending_begin(&s->ending, s->c->sim.now);
}

static void ask_again(struct site *s)
{
	struct intake_room room = intake_room(s);
	struct raft_status st;
	raft_status(s->node->raft, &st);
	if (!intake_asks(&s->intake, &room, st.cover.index))
		return;
	trace("again", s->node->slot, s->intake.first.bytes, st.last.index, 0);
	(void)!node_step(&s->c->sim, s->node, &(struct raft_event){.type = RAFT_EVENT_AGAIN});
}

/* An answer may be lost; what it says is old by then, or not. */
static void ask_for_holes(struct site *s, const struct raft_status *st)
{
	static uint8_t list[RELIEF_BYTES];
	struct sim *sim = &s->c->sim;
	struct site *leader = &s->c->sites[st->leader.bytes[0] - 1];
	struct raft_peer_status peer;
	struct raft_status theirs;
	struct relief_answer a;
	struct ends_log log = ends_log(leader);
	const struct node *n = leader->node;
	if (!n->raft || n->paused_until > sim->now || n->cut_to[s->node->slot] ||
	    s->node->cut_to[n->slot] || (!sim->quiet && prng_chance(&sim->prng, 100)))
		return;
	raft_status(n->raft, &theirs);
	if (theirs.term != st->term || !raft_peer_status(n->raft, s->node->id, &peer))
		return;
	struct relief_known known = {
	    peer.match, theirs.commit, n->disk.last, theirs.cover.index};
	relief_answer(&log, s->relief.from, &known, list, &a);
	a.term = theirs.term;
	a.followed = leader->ends.followed;
	s->leader_cover = theirs.cover;
	trace("relief", s->node->slot, s->relief.from, a.next, a.list.len / HOLE_RANGE_SIZE);
	if (!relief_answered(&s->relief, &a))
		trace_fail("node %u: an answer of the leader is refused", s->node->slot);
}

static void relieve(struct site *s)
{
	static struct ends_piece piece;
	struct ends_log log = ends_log(s);
	struct raft_status st;
	raft_status(s->node->raft, &st);
	struct relief_seen seen = {.term = st.term,
	    .waits = s->intake.waits && st.role != RAFT_LEADER && !raft_id_none(st.leader),
	    .cover = st.cover.index,
	    .stored = s->node->stored_seq,
	    .last = s->node->disk.last,
	    .now_ms = s->c->sim.now,
	    .patience_ms = s->c->sim.election_ms};
	struct raft_message m = {.from = st.leader, .term = st.term, .cover = s->leader_cover};
	enum relief_action action = relief_turn(&s->relief, &seen, &log, &piece);
	if (action == RELIEF_ASK && !raft_id_none(st.leader))
		ask_for_holes(s, &st);
	if (action != RELIEF_DIG)
		return;
	if (node_step(&s->c->sim, s->node,
		&(struct raft_event){.type = RAFT_EVENT_DIED,
		    .message = &m,
		    .ranges = piece.ranges,
		    .range_count = piece.count}))
		trace_fail("node %u: what died at the leader is refused", s->node->slot);
	relief_dug(&s->relief, s->node->sent_seq);
}

void site_turn(struct site *s)
{
	struct prng *p = &s->c->sim.prng;
	count_stored(s);
	check_tail(s);
	relieve(s);
	ask_again(s);
	hear_room(s);
	tell_room(s);
	keep_queue(s);
	tell_crashes(s);
	gate_turn(s);
	watch_health(s);
	if (s->ending.state != ENDING_NOT)
		end_turn(s);
	else
		leave_turn(s);
	if (s->c->sim.quiet || prng_chance(p, 100))
		make_holes(s);
	serve_reads(s);
	site_looks(s);
	if (s->opened) {
		if (s->c->sim.quiet || prng_chance(p, 600))
			read_some(s);
		journal_turn(s);
	}
	fetch_records(s);
	/* Its queue daemon ends with 65, or the process does. */
	if (s->unreadable)
		obey(s, KEEPER_DIED);
	if (s->dies)
		node_crash(&s->c->sim, s->node);
}

void site_kill_queue(struct site *s)
{
	struct prng *p = &s->c->sim.prng;
	/* Who is stopped would learn of it when it wakes up. */
	if (!keeper_runs(&s->keeper) || !node_runs(&s->c->sim, s->node))
		return;
	if (prng_chance(p, 500)) {
		read_some(s);
		journal_turn(s);
	}
	/* That may have ended it. */
	if (!keeper_runs(&s->keeper))
		return;
	trace("kill", s->node->slot, s->daemon->up, 0, 0);
	obey(s, KEEPER_DIED);
}

bool site_leads(const struct site *s)
{
	return engine_of((void *)(uintptr_t)s).leads;
}

bool site_idle(const struct site *s)
{
	return jm_idle(&s->journal) && bytes_all(&s->said).len == 0 &&
	       s->stored_n == s->said_n && s->waiting_count == 0 && s->bad == 0;
}

struct site *site_serving(struct cluster *c)
{
	for (unsigned i = 0; i < NODES; i++) {
		struct site *s = &c->sites[i];
		if (s->daemon->up && s->daemon->paused_until != UINT64_MAX && s->node->raft &&
		    engine_of(s).leads)
			return s;
	}
	return NULL;
}

/* ---- what Raft does ---- */

static void on_action(struct sim *sim, struct node *n, const struct raft_action *a)
{
	struct site *s = &cluster_of(sim)->sites[n->slot];
	struct engine_state log;
	switch (a->type) {
	case RAFT_STORE:
		if (a->store.truncate)
			obey(s, KEEPER_UNWANTED);
		note_tail(s, &a->store);
		break;
	case RAFT_READ:
		/* The host may lose it. */
		if (sim->quiet || !prng_chance(&sim->prng, sim->busy / 4))
			reads_want(&s->reads, a);
		break;
	case RAFT_COMMITTED:
		s->committed = a->index;
		break;
	case RAFT_BARRIER_DONE:
		s->round_done = a->seq;
		if (s->shared)
			shared_journal_round_done(s->shared, a->seq);
		break;
	case RAFT_ROLE:
		log = engine_of(s);
		act(s, keeper_role(&s->keeper, &log, sim->now));
		break;
	default:
		break;
	}
}

static void on_up(struct sim *sim, struct node *n)
{
	struct site *s = &cluster_of(sim)->sites[n->slot];
	tail_begin(&s->tail, n->disk.last);
	s->truncated = s->round_done = 0;
}

static void on_down(struct sim *sim, struct node *n)
{
	struct site *s = &cluster_of(sim)->sites[n->slot];
	if (s->daemon->up)
		daemon_crash(s->daemon);
	forget(s);
	links_down(s);
	s->committed = 0;
	s->ends = (struct ends){0};
	s->intake = (struct intake){0};
	s->relief = (struct relief){0};
	s->reads = (struct reads){0};
	s->fetch = (struct fetch){0};
	s->truncate_seq = 0;
	s->dies = false;
	memset(s->heard, 0, sizeof(s->heard));
	memset(s->linked, 0, sizeof(s->linked));
	memset(s->flags, 0, sizeof(s->flags));
	s->lingers_until = 0;
	s->crashes = (struct crashes){0};
	s->told_died = (struct crashes_word){0};
	s->ending = s->leaves = (struct ending){0};
	s->others = (struct leaving){0};
	site_begin(s);
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
	if (rec->kind == RECORD_CONFIG)
		links_committed(c, sim->value[rec->value].config);
	jm_put(&w->journal, &r);
	w->term = rec->term;
	shadow_apply(&w->shadow, index, &r);
}

/* Payloads are those of the values that the message's records have. */
static bool on_takes(struct sim *sim, struct node *n, struct packet *p)
{
	struct cluster *c = cluster_of(sim);
	struct site *s = &c->sites[n->slot];
	struct piece pieces[RAFT_RUNS_MAX];
	struct intake_room room = intake_room(s);
	uint64_t at = 0;
	unsigned sent = p->m.run_count;
	for (unsigned i = 0; i < sent; i++) {
		const struct jm_record *r = &c->records[p->values[at]];
		pieces[i] = (struct piece){slice_of(r->payload, r->len), NULL};
		at += p->m.runs[i].count;
	}
	if (!engine_takes(n->raft, &p->m, pieces, &room, &s->intake))
		return false;
	if (p->m.run_count < sent)
		trace("takes", n->slot, p->m.run_count, sent, p->m.place.index);
	return true;
}

static bool on_fits(struct sim *sim, const struct node *n, const struct op *op)
{
	const struct site *s = &cluster_of(sim)->sites[n->slot];
	uint64_t bytes = s->capacity == UINT64_MAX ? 0 : op_bytes(s, op);
	return bytes == 0 || bytes <= disk_left(s);
}

const struct host site_host = {
    on_action, on_up, on_down, on_committed, links_can_send, links_heard, on_takes, on_fits};
