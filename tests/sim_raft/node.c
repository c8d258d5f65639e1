/* A node: what the host of a core does, with a log, a disk and a network that are simulated. */
#include <stdio.h>
#include <stdlib.h>

#include "tables.h"

#include "core/raft/node_wire.h"

uint64_t node_clock(const struct sim *s, const struct node *n)
{
	return (uint64_t)((int64_t)(s->now * n->rate / 1000) + n->skew);
}

bool node_runs(const struct sim *s, const struct node *n)
{
	/* Who wakes up in the millisecond that begins may act before time goes on. */
	return n->raft && n->paused_until <= s->now + 1;
}

void packet_free(struct packet *p)
{
	free(p->runs);
	free(p->values);
	free(p);
}

void node_member(const struct node *n, struct raft_member *m)
{
	*m = (struct raft_member){.id = n->id, .flags = n->no_broker ? 0 : RAFT_BROKER};
	snprintf(m->name, sizeof(m->name), "n%u", n->slot);
	snprintf(m->address, sizeof(m->address), "n%u:%u", n->slot, n->place);
	m->key[0] = (uint8_t)(n->slot + 1);
}

static void new_incarnation(struct sim *s, struct node *n)
{
	n->incarnation++;
	n->id = (struct raft_id){{(uint8_t)(n->slot + 1), (uint8_t)n->incarnation}};
	n->lost = false;
	memset(&n->disk, 0, sizeof(n->disk));
	n->view = n->disk;
	if (n->before)
		*n->before = n->disk;
	n->rate = s->by_hand ? 1000 : (unsigned)prng_range(&s->prng, 950, 1050);
	n->skew = s->by_hand ? 0 : (int64_t)prng_below(&s->prng, 100000);
	n->sync_ms = n->sync_ms ? n->sync_ms : 30;
	n->ops_end = &n->ops;
}

void node_first(struct sim *s, unsigned voters)
{
	uint32_t value = ++s->values;
	struct raft_config *c = s->value[value].config = calloc(1, sizeof(*c));
	c->cluster.bytes[0] = 1;
	c->level = level_newest();
	for (unsigned i = 0; i < NODES; i++) {
		s->nodes[i].slot = i;
		s->nodes[i].place = 1;
		new_incarnation(s, &s->nodes[i]);
		if (i < voters) {
			node_member(&s->nodes[i], &c->members[c->count]);
			c->members[c->count++].flags |= RAFT_VOTER;
		}
	}
	struct rec first = {1, value, RECORD_CONFIG, REC_GOOD};
	check_made(s, 1, 0, first);
	for (unsigned i = 0; i < voters; i++) {
		struct disk *d = &s->nodes[i].disk;
		d->log[1] = first;
		d->last = d->term = d->commit = 1;
	}
	for (unsigned i = 0; i < NODES; i++)
		node_start(s, &s->nodes[i]);
}

void node_found(const struct sim *s, const struct node *n, const struct disk *d,
    struct raft_place terms[TERMS], struct raft_run configs[LOG_MAX], struct raft_begin *b)
{
	*b = (struct raft_begin){.id = n->id,
	    .term = d->term,
	    .vote = d->vote,
	    .commit = d->commit,
	    .last = d->last,
	    .cover = d->cover,
	    .terms = terms,
	    .configs = configs,
	    .election_ms = s->election_ms,
	    .heartbeat_ms = s->beat_ms};
	if (s->table)
		b->sole_voter = RAFT_DATABASE;
	for (uint64_t i = 1; i <= d->last; i++) {
		if (d->log[i].term != d->log[i - 1].term)
			terms[b->term_count++] = (struct raft_place){i, d->log[i].term};
		if (d->log[i].kind == RECORD_CONFIG)
			configs[b->config_count++] = (struct raft_run){
			    .first = i, .config = s->value[d->log[i].value].config};
	}
}

void node_start(struct sim *s, struct node *n)
{
	struct raft_place terms[TERMS];
	struct raft_run configs[LOG_MAX];
	struct raft_begin b;
	n->view = n->disk;
	node_found(s, n, &n->disk, terms, configs, &b);
	b.seed = prng_next(&s->prng);
	check_disk(s, n, &n->disk);
	n->committed = n->paused_until = 0;
	n->role = RAFT_FOLLOWER;
	n->end_tried = 0;
	n->sent_seq = n->stored_seq = 0;
	n->read_count = 0;
	n->barrier = n->barrier_count = 0;
	n->leader_commit = 0;
	n->gone = false;
	meet_begin(s, n);
	n->raft = raft_new(&b, node_clock(s, n));
	if (s->table)
		tables_up(s, n, &b);
	if (s->host)
		s->host->up(s, n);
}

static void apply(struct sim *s, struct disk *d, const struct op *op)
{
	const struct raft_store *st = &op->store;
	d->term = st->term;
	d->vote = st->vote;
	d->commit = st->commit;
	d->cover = st->cover;
	if (st->truncate)
		d->last = st->truncate - 1;
	for (unsigned i = 0; i < op->rec_count; i++) {
		if (d->last == LOG_MAX)
			sim_broken(s, "the simulator's log is too short", d->last, 0);
		d->log[++d->last] = op->recs[i];
	}
	for (unsigned i = 0; i < st->hole_count; i++) {
		for (uint32_t k = 0; k < st->holes[i].count; k++)
			d->log[st->holes[i].first + k].kind = RAFT_HOLE;
	}
	struct rec *old = &d->log[op->mend_index];
	if (op->mend.kind != RAFT_HOLE && old->kind != RAFT_HOLE && old->bad)
		*old = op->mend;
}

static uint32_t new_value(struct sim *s, uint32_t bytes)
{
	if (s->values + 1 >= VALUES)
		sim_broken(s, "the simulator has too few values", s->values, 0);
	s->value[++s->values].bytes = bytes;
	return s->values;
}

static void last_step(
    struct sim *s, struct node *n, struct raft_event *e, const struct packet *from);

static void config_copy(struct sim *s, uint32_t value, const struct raft_config *c)
{
	struct raft_config *copy = malloc(sizeof(*copy));
	*copy = *c;
	s->value[value].config = copy;
}

static struct op *op_copy(
    struct sim *s, const struct raft_store *st, const uint32_t *values, uint64_t first_value)
{
	struct op *op = calloc(1, sizeof(*op));
	op->store = *st;
	struct hole_range *holes = calloc(st->hole_count + 1, sizeof(*holes));
	if (st->hole_count)
		memcpy(holes, st->holes, st->hole_count * sizeof(*holes));
	op->store.holes = holes;
	for (unsigned i = 0; i < st->run_count; i++)
		op->rec_count += st->runs[i].count;
	op->recs = calloc(op->rec_count + 1, sizeof(*op->recs));
	op->store.mend = NULL;
	unsigned n = 0;
	for (unsigned i = 0; i < st->run_count; i++) {
		const struct raft_run *run = &st->runs[i];
		for (uint32_t k = 0; k < run->count; k++, n++) {
			op->recs[n] = (struct rec){run->term, 0, run->kind, REC_GOOD};
			if (values)
				op->recs[n].value = values[run->first + k - first_value];
			else if (run->kind != RAFT_HOLE)
				op->recs[n].value = new_value(s, run->bytes);
			if (run->kind == RECORD_CONFIG && !values)
				config_copy(s, op->recs[n].value, run->config);
		}
	}
	return op;
}

static void op_free(struct op *op)
{
	free((void *)(uintptr_t)op->store.holes);
	free(op->recs);
	free(op);
}

bool node_sync(struct sim *s, struct node *n)
{
	struct op *op = n->ops;
	if (!op || (s->host && !s->host->fits(s, n, op)))
		return false;
	n->ops = op->next;
	if (!n->ops)
		n->ops_end = &n->ops;
	if (RMQ_VARIANT(DISK_FORGETS)) {
		n->before = n->before ? n->before : malloc(sizeof(*n->before));
		*n->before = n->disk;
	}
	apply(s, &n->disk, op);
	check_disk(s, n, &n->disk);
	uint64_t seq = op->store.seq;
	op_free(op);
	n->stored_seq = seq;
	if (n->raft)
		last_step(
		    s, n, &(struct raft_event){.type = RAFT_EVENT_STORED, .seq = seq}, NULL);
	return true;
}

/* Its connections end: some of its peers notice. */
static void reset_peers(struct sim *s, struct node *n)
{
	for (unsigned i = 0; i < NODES && !s->by_hand; i++) {
		struct node *peer = &s->nodes[i];
		if (node_runs(s, peer) && prng_chance(&s->prng, 500))
			(void)!node_step(s, peer,
			    &(struct raft_event){.type = RAFT_EVENT_RESET, .id = n->id});
	}
}

/* The unsynced tail is lost, but for what had reached the disk without word of it. */
void node_crash(struct sim *s, struct node *n)
{
	raft_free(n->raft);
	n->raft = NULL;
	if (s->table)
		tables_down(s, n);
	if (s->host)
		s->host->down(s, n);
	reset_peers(s, n);
	while (n->ops && !s->by_hand && prng_chance(&s->prng, 300))
		node_sync(s, n);
	while (n->ops) {
		struct op *op = n->ops;
		n->ops = op->next;
		op_free(op);
	}
	n->ops_end = &n->ops;
	if (RMQ_VARIANT(DISK_FORGETS) && n->before && n->before->last > 0)
		n->disk = *n->before;
	n->up_at = s->now + prng_below(&s->prng, 400);
}

void node_wipe(struct sim *s, struct node *n)
{
	node_crash(s, n);
	new_incarnation(s, n);
}

void node_copy(struct node *n)
{
	n->old = n->old ? n->old : malloc(sizeof(*n->old));
	*n->old = n->disk;
}

void node_put_back(struct sim *s, struct node *n)
{
	node_crash(s, n);
	n->disk = *n->old;
}

static void check_flying(struct sim *s, struct node *n, struct raft_id to)
{
	struct raft_peer_status st;
	if (!raft_peer_status(n->raft, to, &st))
		return;
	if (st.flights > RAFT_WINDOW || st.flying >= RAFT_WINDOW_BYTES + RECORD_PAYLOAD_MAX)
		sim_broken(s, "too much is under way to a peer", st.flights, st.flying);
}

/* What is left of it when nodes have written and read it; its runs are another matter. */
static struct raft_message over_wire(struct sim *s, const struct raft_message *m)
{
	static struct node_wire_in in;
	uint8_t bytes[NODE_SMALL_MAX];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct raft_message read = {.type = RAFT_APPEND};
	struct frame f;
	size_t used;
	node_wire_put(&w, m);
	if (frame_parse(slice_of(bytes, w.len), &f, &used) || used != w.len ||
	    (m->type == RAFT_APPEND ? node_wire_begin(&in, f.payload)
				    : node_wire_message(f.payload, &read)))
		sim_broken(s, "a message is not understood", m->type, m->place.index);
	if (m->type == RAFT_APPEND)
		read = in.message;
	read.from = m->from;
	read.to = m->to;
	read.run_count = m->run_count;
	read.asks = m->asks; /* as its connection says */
	return read;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/*
 * When it is there: what goes the way of records, after all that went before; and the rest, which
 * waits in the queue of the line.
 */
static uint64_t carried(struct sim *s, struct node *n, const struct raft_message *m)
{
	uint64_t *at = &n->carried_at[m->to.bytes[0] - 1];
	uint64_t bytes = 0;
	if (n->carries == 0)
		return s->now;
	if (!raft_message_bulk(m))
		return s->now + (*at > s->now ? least(*at - s->now, n->queue_ms) : 0);
	for (unsigned i = 0; i < m->run_count; i++)
		bytes += m->runs[i].bytes;
	*at = (*at > s->now ? *at : s->now) + bytes / n->carries;
	return *at;
}

static void post(struct sim *s, struct node *n, const struct raft_message *m)
{
	if (s->table && raft_id_eq(m->to, RAFT_DATABASE)) {
		check_message(s, n, m);
		check_flying(s, n, m->to);
		tables_post(s, n, m);
		return;
	}
	if (!(s->host ? s->host->can_send(s, n, m) : meet_can_send(s, n, m->to)))
		return;
	check_message(s, n, m);
	check_flying(s, n, m->to);
	unsigned to = m->to.bytes[0] - 1u;
	sim_note(s, (uint64_t)m->type << 56 ^ m->term << 32 ^ m->place.index << 8 ^ to);
	unsigned copies = !s->quiet && prng_chance(&s->prng, s->duplicate) ? 2 : 1;
	for (unsigned c = 0; c < copies; c++) {
		bool lost = n->cut_to[to] || (n->narrow && raft_message_bulk(m)) ||
			    (!s->quiet && prng_chance(&s->prng, s->loss));
		if (lost)
			continue;
		struct packet *p = calloc(1, sizeof(*p));
		p->m = over_wire(s, m);
		p->boot = n->boot;
		p->at = carried(s, n, m);
		if (!s->by_hand)
			p->at += prng_range(&s->prng, 1, s->quiet ? 3 : s->delay_max);
		p->runs = calloc(m->run_count + 1, sizeof(*p->runs));
		if (m->run_count)
			memcpy(p->runs, m->runs, m->run_count * sizeof(*p->runs));
		p->m.runs = p->runs;
		uint64_t at = 0;
		for (unsigned i = 0; i < m->run_count; i++)
			at += m->runs[i].count;
		p->values = calloc(at + 1, sizeof(*p->values));
		at = 0;
		for (unsigned i = 0; i < m->run_count; i++) {
			for (uint32_t k = 0; k < m->runs[i].count; k++, at++)
				p->values[at] = n->view.log[m->runs[i].first + k].value;
			if (m->runs[i].kind == RECORD_CONFIG)
				p->runs[i].config = s->value[p->values[at - 1]].config;
		}
		p->next = s->packets;
		s->packets = p;
	}
}

static void store(
    struct sim *s, struct node *n, const struct raft_store *st, const struct packet *from)
{
	/* What comes with no record may still make one begin: a vote, a leader's NOOP. */
	bool copied = from && from->m.run_count > 0;
	struct op *op =
	    op_copy(s, st, copied ? from->values : NULL, copied ? from->m.place.index + 1 : 0);
	uint64_t first = st->run_count ? st->runs[0].first : n->view.last + 1;
	for (unsigned i = 0; i < st->hole_count; i++) {
		s->holes += st->holes[i].count;
		first = st->holes[i].first < first ? st->holes[i].first : first;
	}
	if (st->mend) {
		op->mend_index = st->mend->first;
		op->mend =
		    (struct rec){st->mend->term, n->mend_value, st->mend->kind, REC_GOOD};
		first = op->mend_index < first ? op->mend_index : first;
	}
	if (st->truncate && st->truncate <= n->committed)
		sim_broken(s, "committed records are truncated", st->truncate, n->slot);
	if (n->role == RAFT_LEADER && n->role_term == st->term && st->truncate)
		sim_broken(s, "a leader truncates", st->truncate, n->slot);
	apply(s, &n->view, op);
	n->stores++;
	n->sent_seq = st->seq;
	*n->ops_end = op;
	n->ops_end = &op->next;
	check_log(s, n, first);
	if (s->table && st->hole_count > 0)
		tables_dig(s, n, st);
}

static void barriers_done(struct sim *s, struct node *n, uint64_t seq)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < n->barrier_count; i++) {
		if (n->barriers[i].seq <= seq)
			check_barrier(s, n, &n->barriers[i]);
		else
			n->barriers[kept++] = n->barriers[i];
	}
	n->barrier_count = kept;
}

/* The host may be busy, or lose it. */
static void want_read(struct sim *s, struct node *n, const struct raft_action *a)
{
	if (n->read_count == READS_MAX || (!s->quiet && prng_chance(&s->prng, s->busy / 4)))
		return;
	uint64_t at = s->now;
	if (!s->by_hand && prng_chance(&s->prng, s->busy))
		at += prng_below(&s->prng, s->quiet ? 5 : 3 * s->election_ms);
	n->reads[n->read_count++] = (struct read){*a, at};
}

static void act(struct sim *s, struct node *n, const struct packet *from,
    const struct raft_action *actions, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct raft_action *a = &actions[i];
		if (s->host)
			s->host->action(s, n, a);
		switch (a->type) {
		case RAFT_STORE:
			store(s, n, &a->store, from);
			break;
		case RAFT_SEND:
			post(s, n, &a->message);
			break;
		case RAFT_READ:
			if (!s->host)
				want_read(s, n, a);
			break;
		case RAFT_GONE:
			n->gone = true;
			break;
		case RAFT_BARRIER_DONE:
			barriers_done(s, n, a->seq);
			break;
		case RAFT_FATAL:
			sim_broken(s, "fatal", n->slot, a->error);
		case RAFT_COMMITTED:
			if (a->index > n->disk.last)
				sim_broken(
				    s, "committed, and not durable here", a->index, n->slot);
			break;
		default:
			break;
		}
	}
}

static enum rmq_error raft(struct sim *s, struct node *n, const struct raft_event *e,
    const struct raft_action **actions, size_t *count)
{
	enum rmq_error error = raft_step(n->raft, e, node_clock(s, n), actions, count);
	if (s->table)
		tables_stepped(s, n);
	return error;
}

static enum rmq_error step(
    struct sim *s, struct node *n, struct raft_event *e, const struct packet *from)
{
	const struct raft_action *actions;
	size_t count;
	if (!node_runs(s, n))
		sim_broken(
		    s, "a process that is stopped takes a step", n->slot, n->paused_until);
	enum rmq_error error = raft(s, n, e, &actions, &count);
	act(s, n, from, actions, count);
	check_node(s, n);
	return error;
}

enum rmq_error node_step(struct sim *s, struct node *n, struct raft_event *e)
{
	return step(s, n, e, NULL);
}

/* The same, for who needs the node no more: now and then it dies between two actions. */
static void last_step(
    struct sim *s, struct node *n, struct raft_event *e, const struct packet *from)
{
	const struct raft_action *actions;
	size_t count;
	if (s->quiet || s->by_hand || meet_is_spared(s, n) || !prng_chance(&s->prng, s->cuts)) {
		(void)!step(s, n, e, from);
		return;
	}
	(void)raft(s, n, e, &actions, &count);
	act(s, n, from, actions, (size_t)prng_below(&s->prng, count + 1));
	node_crash(s, n);
}

void node_take(struct sim *s, struct node *n, struct packet *p)
{
	struct raft_event e = {.type = RAFT_EVENT_MESSAGE, .message = &p->m};
	last_step(s, n, &e, p);
}

void node_deliver(struct sim *s, struct packet *p)
{
	struct node *n = &s->nodes[p->m.to.bytes[0] - 1];
	bool here = n->raft && raft_id_eq(n->id, p->m.to) &&
		    (s->host ? s->host->heard(s, n, p) : meet_heard(s, n, p));
	if (here && (!s->host || s->host->takes(s, n, p))) {
		if (p->m.type == RAFT_APPEND && p->m.commit > n->leader_commit)
			n->leader_commit = p->m.commit;
		node_take(s, n, p);
	}
	packet_free(p);
}

struct slice node_record(const struct disk *d, uint64_t index, uint8_t bytes[NODE_RECORD_BYTES])
{
	const struct rec *r = &d->log[index];
	uint64_t at = r->bad == REC_MISPLACED ? index - 1 : index;
	store_u32(bytes + RECORD_HEADER_SIZE, d->log[at].value);
	record_seal(bytes,
	    &(struct record_header){(enum record_kind)r->kind, at, d->log[at].term},
	    NODE_RECORD_BYTES - RECORD_HEADER_SIZE);
	if (r->bad == REC_ROTTEN)
		bytes[RECORD_HEADER_SIZE] ^= 1;
	return slice_of(bytes, NODE_RECORD_BYTES);
}

bool node_record_is_good(const struct disk *d, uint64_t index)
{
	uint8_t bytes[NODE_RECORD_BYTES];
	struct record_header h;
	struct slice payload;
	const struct rec *r = &d->log[index];
	return !r->bad || r->kind == RAFT_HOLE || RMQ_VARIANT(BAD_SERVED) ||
	       record_open(node_record(d, index, bytes), index, &h, &payload) == RMQ_E_OK;
}

unsigned node_log(struct sim *s, struct node *n, const struct disk *d,
    const struct raft_action *a, struct raft_run runs[RAFT_RUNS_MAX], uint64_t *bad)
{
	unsigned count = 0;
	uint32_t bytes = 0;
	*bad = 0;
	for (uint64_t at = a->index; at <= d->last && count < RAFT_RUNS_MAX;) {
		const struct rec *rec = &d->log[at];
		bool hole = rec->kind == RAFT_HOLE;
		if (!node_record_is_good(d, at)) {
			*bad = at;
			break;
		}
		/* A known-bad variant lets it pass. */
		if (rec->bad && !hole)
			n->view.log[at].value = d->log[at - 1].value;
		uint32_t size = hole ? 0 : s->value[rec->value].bytes;
		if (count > 0 && bytes + size > a->bytes)
			break;
		struct raft_run *run = &runs[count++];
		*run = (struct raft_run){
		    .first = at, .count = 1, .bytes = size, .kind = rec->kind};
		if (run->kind == RECORD_CONFIG)
			run->config = s->value[rec->value].config;
		bytes += size;
		at++;
		while (hole && at <= d->last && d->log[at].kind == RAFT_HOLE) {
			run->count++;
			at++;
		}
	}
	return count;
}

/*
 * Reads from the log for a peer: real records, and holes as ranges.  Without a host a record that is
 * bad ends the process.
 */
static void answer_read(struct sim *s, struct node *n, const struct raft_action *a)
{
	struct raft_run runs[RAFT_RUNS_MAX];
	uint64_t bad;
	unsigned count = node_log(s, n, &n->view, a, runs, &bad);
	if (bad > 0 && count == 0) {
		node_crash(s, n);
		return;
	}
	(void)!node_step(s, n,
	    &(struct raft_event){.type = RAFT_EVENT_READ,
		.id = a->id,
		.term = a->term,
		.index = a->index,
		.runs = runs,
		.run_count = count});
}

void node_reads(struct sim *s, struct node *n)
{
	struct read due[READS_MAX];
	unsigned count = 0, kept = 0;
	for (unsigned i = 0; i < n->read_count; i++) {
		if (n->reads[i].at <= s->now)
			due[count++] = n->reads[i];
		else
			n->reads[kept++] = n->reads[i];
	}
	n->read_count = kept;
	for (unsigned i = 0; i < count && n->raft; i++)
		answer_read(s, n, &due[i].a);
}

void node_turn(struct sim *s, struct node *n)
{
	node_reads(s, n);
	if (n->raft && node_clock(s, n) >= raft_due(n->raft))
		last_step(s, n, &(struct raft_event){.type = RAFT_EVENT_TICK}, NULL);
}

struct node *node_leader(struct sim *s)
{
	for (unsigned i = 0; i < NODES; i++) {
		struct raft_status st;
		if (!s->nodes[i].raft || s->nodes[i].lost)
			continue;
		raft_status(s->nodes[i].raft, &st);
		if (st.serving)
			return &s->nodes[i];
	}
	return NULL;
}

uint64_t node_barrier(struct sim *s, struct node *n)
{
	struct raft_status st;
	raft_status(n->raft, &st);
	if (!st.serving || n->barrier_count == BARRIERS_MAX)
		return 0;
	/* It may be done within the step. */
	n->barriers[n->barrier_count++] = (struct barrier){++n->barrier, s->commit};
	struct raft_event e = {.type = RAFT_EVENT_BARRIER, .seq = n->barrier};
	if (node_step(s, n, &e) != RMQ_E_OK)
		sim_broken(s, "a barrier is refused", n->barrier, n->slot);
	return n->barrier;
}

/* The host asks for the holes of each END that it holds, as early as it can. */
void node_holes(struct sim *s, struct node *n)
{
	for (uint64_t i = n->view.last; i > n->end_tried && i + 40 > n->view.last; i--) {
		if (n->view.log[i].kind != RECORD_END)
			continue;
		if (RMQ_VARIANT(HOLE_RAW_COMMIT) && i > n->leader_commit)
			continue;
		const struct end *end = s->value[n->view.log[i].value].end;
		struct raft_event e = {.type = RAFT_EVENT_HOLE,
		    .index = i,
		    .ranges = end->dead,
		    .range_count = end->count};
		if (node_step(s, n, &e) == RMQ_E_OK)
			n->end_tried = i;
	}
}
