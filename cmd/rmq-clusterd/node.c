#include "node.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/host/level.h"
#include "queue.h"
#include "state.h"
#include "sys/store/replica_log.h"

/* Where the payloads of a step's records come from. */
struct source {
	const struct raft_run *runs;
	const struct piece *pieces;
	unsigned count;
	const struct proposal *proposals; /* or these: the STORE gives them indexes, in order */
	unsigned next;
};

static struct piece encode_config(struct chunk **chunk, const struct raft_config *config)
{
	uint8_t bytes[RAFT_CONFIG_SIZE_MAX];
	struct writer w = writer_of(bytes, sizeof(bytes));

	raft_config_encode(&w, config);
	assert(!w.full);
	return chunk_put(chunk, slice_of(bytes, w.len));
}

/* Indexes in a source rise, and are asked for in order. */
static struct piece find(struct source *s, uint64_t index)
{
	while (s->next < s->count && s->runs[s->next].first < index)
		s->next++;
	assert(s->next < s->count && s->runs[s->next].first == index);
	return s->pieces[s->next];
}

static struct piece payload(struct source *s, const struct raft_run *run, struct chunk **made)
{
	if (run->kind == RAFT_HOLE || run->kind == RECORD_NOOP)
		return (struct piece){{NULL, 0}, NULL};
	if (run->kind == RECORD_CONFIG)
		return encode_config(made, run->config);
	return s->proposals ? s->proposals[s->next++].piece : find(s, run->first);
}

static void do_store(struct cluster *c, const struct raft_store *s, struct source *source)
{
	struct piece *pieces = NULL;
	struct chunk *made = NULL;

	if (s->truncate) {
		/* What it knows is not so any more: it must be dead before the log says it. */
		supervisor_kill(c);
		tail_truncate(&c->tail, s->truncate);
		c->truncate_seq = s->seq;
	}
	if (s->run_count > 0 || s->mend) {
		pieces = malloc((s->run_count + 1) * sizeof(*pieces));
		if (!pieces)
			abort();
	}
	for (unsigned i = 0; i < s->run_count; i++) {
		const struct raft_run *run = &s->runs[i];
		pieces[i] = payload(source, run, &made);
		if (run->kind != RAFT_HOLE)
			tail_push(&c->tail, run->first, run->kind, pieces[i]);
	}
	for (unsigned i = 0; i < s->hole_count; i++)
		tail_dig(&c->tail, s->holes[i].first, s->holes[i].count);
	if (s->mend)
		pieces[s->run_count] = (struct piece){fetch_payload(&c->fetch), NULL};
	disk_store(&c->disk, s, pieces);
	c->sent_seq = s->seq;
	chunk_drop(made);
	free(pieces);
}

static void do_role(struct cluster *c)
{
	struct raft_status old = c->shown;

	c->shown = c->status;
	cluster_changed(c);
	if (old.role != c->status.role || old.term != c->status.term) {
		if (cluster_leads(c))
			log_notice("leads in term %" PRIu64, c->status.term);
		else if (old.role == RAFT_LEADER)
			log_notice("no longer leads (term %" PRIu64 ")", c->status.term);
	}
	supervisor_role(c);
}

static void do_action(struct cluster *c, const struct raft_action *a, struct source *source)
{
	switch (a->type) {
	case RAFT_STORE:
		do_store(c, &a->store, source);
		break;
	case RAFT_SEND:
		source->next = 0;
		(raft_id_eq(a->message.to, RAFT_DATABASE) ? database_link_send : peers_send)(
		    c, &a->message, source->runs, source->pieces, source->count);
		break;
	case RAFT_READ:
		reads_want(&c->reads, a);
		break;
	case RAFT_COMMITTED:
		c->committed = a->index;
		break;
	case RAFT_BARRIER_DONE:
		if (c->supervisor.queue)
			queue_round_done(c->supervisor.queue, a->seq);
		break;
	case RAFT_ROLE:
		do_role(c);
		break;
	case RAFT_GONE:
		cluster_changed(c);
		break;
	case RAFT_FATAL:
		log_error("%s: the log contradicts the leader's: %s", c->disk.directory,
		    error_text(a->error));
		cluster_die(c, error_exit(a->error));
	}
}

static enum rmq_error step(struct cluster *c, const struct raft_event *e, struct source *source)
{
	if (c->founding_seq)
		return RMQ_E_BUSY;
	const struct raft_action *actions;
	size_t count;
	enum rmq_error err = raft_step(c->raft, e, cluster_now(c), &actions, &count);

	bool forgot = c->status.forgot;
	uint64_t config_index = c->status.config_index;
	raft_status(c->raft, &c->status);
	if (c->status.config_index != config_index)
		database_link_check(c);
	database_link_stepped(c);
	if (forgot && !c->status.forgot) {
		log_notice("has all that its disk had forgotten: votes again");
		cluster_changed(c);
	}
	for (size_t i = 0; i < count; i++)
		do_action(c, &actions[i], source);
	return err;
}

enum rmq_error node_event(struct cluster *c, const struct raft_event *e)
{
	return step(c, e, &(struct source){0});
}

void node_happens(struct cluster *c, const struct raft_event *e)
{
	(void)!node_event(c, e);
}

void node_forgot(struct cluster *c, uint64_t term)
{
	if (!c->status.forgot)
		log_error("neither votes nor stands for election, as its disk has forgotten "
			  "what it had stored");
	node_happens(c, &(struct raft_event){.type = RAFT_EVENT_FORGOT, .term = term});
}

void node_let_in(struct cluster *c, struct raft_id id, uint64_t term)
{
	node_happens(
	    c, &(struct raft_event){.type = RAFT_EVENT_LET_IN, .id = id, .term = term});
}

void node_lost(struct cluster *c, struct raft_id id)
{
	node_happens(c, &(struct raft_event){.type = RAFT_EVENT_LOST, .id = id});
}

void node_message(
    struct cluster *c, const struct raft_message *sent, const struct piece *pieces)
{
	struct raft_message taken = *sent, *m = &taken;
	struct raft_event e = {.type = RAFT_EVENT_MESSAGE, .message = m};
	struct intake_room room = disk_intake(&c->disk);

	/* It would depose the leader and could not be elected. */
	if (m->type == RAFT_TIMEOUT_NOW && database_link_away(c))
		return;
	if (!engine_takes(c->raft, m, pieces, &room, &c->intake))
		return;
	enum rmq_error err =
	    step(c, &e, &(struct source){m->runs, pieces, m->run_count, NULL, 0});
	(void)err; /* a message has no effect rather than an error */
}

void node_reset(struct cluster *c, struct raft_id id)
{
	node_happens(c, &(struct raft_event){.type = RAFT_EVENT_RESET, .id = id});
}

/* ---- relief of a full disk ---- */

static void tell_holes(struct cluster *c, struct peer *p, const struct asked *asked)
{
	static uint8_t list[RELIEF_BYTES], frame[NODE_SMALL_MAX + RELIEF_BYTES];
	struct writer w = writer_of(frame, sizeof(frame));
	struct ends_log log = disk_ends(&c->disk);
	const struct raft_status *s = &c->status;
	struct raft_peer_status peer;
	struct relief_answer a;

	if (asked->term != s->term || !raft_peer_status(c->raft, p->member.id, &peer))
		return;
	struct relief_known known = {peer.match, s->commit, c->disk.stored, s->cover.index};
	relief_answer(&log, asked->index, &known, list, &a);
	node_put_holes(&w, &(struct node_holes){s->term, s->cover.index, s->cover.term,
			       c->ends.followed, a.next, a.list});
	peers_say(p, true, &w);
}

bool node_holes(struct cluster *c, struct raft_id from, const struct node_holes *m)
{
	const struct raft_status *s = &c->status;

	if (m->term != s->term || !raft_id_eq(from, s->leader))
		return true;
	c->leader_cover = (struct raft_place){m->cover, m->cover_term};
	return relief_answered(
	    &c->relief, &(struct relief_answer){m->term, m->next, m->followed, m->ranges});
}

static void ask_for_holes(struct cluster *c)
{
	uint8_t frame[NODE_SMALL_MAX];
	struct writer w = writer_of(frame, sizeof(frame));
	struct peer *leader = peers_find(c, c->status.leader);

	if (!leader || !(leader->node.features & NODE_FEATURE_HOLES))
		return;
	node_put_want_holes(&w, &(struct node_want_holes){c->status.term, c->relief.from});
	peers_say(leader, false, &w);
}

static void dig(struct cluster *c, const struct ends_piece *piece)
{
	struct raft_message m = {
	    .from = c->status.leader, .term = c->relief.term, .cover = c->leader_cover};
	enum rmq_error err = node_event(c, &(struct raft_event){.type = RAFT_EVENT_DIED,
					       .message = &m,
					       .ranges = piece->ranges,
					       .range_count = piece->count});

	if (err)
		log_error("%s: the leader's list of dead records: %s", c->disk.directory,
		    error_text(err));
	relief_dug(&c->relief, c->sent_seq);
}

static void relieve(struct cluster *c)
{
	static struct ends_piece piece;
	struct ends_log log = disk_ends(&c->disk);
	struct relief_seen seen = {.term = c->status.term,
	    .waits = c->intake.waits && !cluster_leads(c),
	    .cover = c->status.cover.index,
	    .stored = c->stored_seq,
	    .last = c->disk.stored,
	    .now_ms = cluster_now(c),
	    .patience_ms = (uint32_t)c->config.election_timeout};

	switch (relief_turn(&c->relief, &seen, &log, &piece)) {
	case RELIEF_NOTHING:
		break;
	case RELIEF_ASK:
		ask_for_holes(c);
		break;
	case RELIEF_DIG:
		dig(c, &piece);
		break;
	}
}

/* ---- the engine of the host ---- */

static struct engine_state state(void *arg)
{
	const struct cluster *c = arg;

	return engine_state(&c->status, c->committed, c->stored_seq);
}

static enum rmq_error propose(
    void *arg, const struct proposal *p, unsigned *count, uint64_t *first)
{
	struct cluster *c = arg;
	struct intake_room room = disk_intake(&c->disk);
	unsigned n = engine_proposes(p, *count, &room);
	struct raft_run *runs = calloc(n + 1, sizeof(*runs));
	struct raft_event e = {.type = RAFT_EVENT_PROPOSE, .runs = runs, .run_count = n};
	uint64_t last = c->status.last.index;

	if (!runs)
		abort();
	for (unsigned i = 0; i < n; i++)
		runs[i] = (struct raft_run){
		    .kind = p[i].kind, .bytes = (uint32_t)p[i].piece.bytes.len};
	enum rmq_error err = n > 0 ? step(c, &e, &(struct source){.proposals = p}) : RMQ_E_BUSY;
	free(runs);
	if (err)
		return err;
	assert(c->status.last.index == last + n);
	*first = last + 1;
	*count = n;
	return RMQ_E_OK;
}

static uint64_t barrier(void *arg)
{
	struct cluster *c = arg;
	struct raft_event e = {.type = RAFT_EVENT_BARRIER, .seq = c->rounds + 1};

	return node_event(c, &e) == RMQ_E_OK ? ++c->rounds : 0;
}

static uint64_t holes(void *arg, uint64_t end, const struct hole_range *ranges, unsigned count)
{
	struct cluster *c = arg;
	enum rmq_error err = node_event(c,
	    &(struct raft_event){
		.type = RAFT_EVENT_HOLE, .index = end, .ranges = ranges, .range_count = count});
	if (err) {
		log_error("%s: holes of record %" PRIu64 ": %s", c->disk.directory, end,
		    error_text(err));
		cluster_die(c, error_exit(RMQ_E_BUG));
	}
	database_link_dig(c, end, ranges, count);
	return c->sent_seq;
}

struct engine node_engine(struct cluster *c)
{
	return (struct engine){c, state, propose, barrier, holes};
}

/* Raft begins anew, as the leader to be of what node_found() has stored. */
static void founded(struct cluster *c)
{
	c->founding_seq = 0;
	node_close(c);
	node_open(c);
	/* Who asks from now on is told. */
	peers_follow(c);
	cluster_changed(c);
}

void node_stored(struct cluster *c, uint64_t seq)
{
	c->stored_seq = seq;
	if (c->founding_seq) {
		if (seq >= c->founding_seq)
			founded(c);
		return;
	}
	node_happens(c, &(struct raft_event){.type = RAFT_EVENT_STORED, .seq = seq});
}

/* ---- reads ---- */

static enum rmq_error read_disk(
    void *arg, const struct reads_one *r, struct reads_records *records)
{
	struct cluster *c = arg;

	return disk_read(&c->disk, r->index, r->bytes, records);
}

static void send_read(void *arg, const struct reads_one *r, const struct reads_records *records)
{
	struct cluster *c = arg;
	struct raft_event e = {.type = RAFT_EVENT_READ,
	    .id = r->id,
	    .index = r->index,
	    .term = r->term,
	    .runs = records->runs,
	    .run_count = records->count};
	enum rmq_error err = step(
	    c, &e, &(struct source){records->runs, records->pieces, records->count, NULL, 0});

	disk_read_end(&c->disk);
	if (err) {
		log_error("%s: reading record %" PRIu64 " for a peer: %s", c->disk.directory,
		    e.index, error_text(err));
		cluster_die(c, error_exit(RMQ_E_BUG));
	}
}

static void serve_reads(struct cluster *c)
{
	struct reads_host host = {.arg = c,
	    .tail = &c->tail,
	    .term = cluster_leads(c) ? c->status.term : 0,
	    .stored = c->disk.stored,
	    .truncates = c->stored_seq < c->truncate_seq,
	    .disk = read_disk,
	    .sent = send_read};

	if (reads_turn(&c->reads, &host))
		cluster_more(c);
}

/* ---- records that have gone bad on this disk ---- */

bool node_wants(struct cluster *c, uint64_t index)
{
	struct engine_state log = state(c);
	enum fetch_state old = c->fetch.state;
	bool waits = c->disk.mends && fetch_want(&c->fetch, &log, index, cluster_now(c));

	if (old == FETCH_NONE && c->fetch.state == FETCH_ASKS && index != c->fetch.given_up)
		log_error("%s: record %" PRIu64
			  ": its bytes are bad on this disk; asking the other nodes for it",
		    c->disk.directory, index);
	return waits;
}

bool node_lacks(struct cluster *c, uint64_t index)
{
	struct engine_state log = state(c);

	return node_wants(c, index) || fetch_possible(&log, index);
}

const char *node_lacking(const struct cluster *c, uint64_t *index)
{
	const struct reads_one *one;
	unsigned at = 0;

	while ((one = reads_bad(&c->reads, &at)) != NULL) {
		const struct peer *p = peers_find(c, one->id);
		if (!p || one->bad != c->fetch.given_up)
			continue;
		*index = one->bad;
		return p->member.name;
	}
	return NULL;
}

static void tell_record(struct cluster *c, struct peer *p, uint64_t index)
{
	static uint8_t frame[NODE_SMALL_MAX + RECORD_MAX];
	struct writer w = writer_of(frame, sizeof(frame));
	struct engine_state log = state(c);
	struct slice record = {NULL, 0};

	if (fetch_tells(&log, index))
		record = disk_raw(&c->disk, index);
	/* It is garbled. */
	if (record.len > RECORD_MAX)
		record.len = 0;
	node_put_fetched(&w, &(struct node_fetched){index, record});
	disk_read_end(&c->disk);
	peers_say(p, true, &w);
}

/* Members that have asked. */
static void answer_members(struct cluster *c)
{
	struct asked now;

	for (unsigned i = 0; i < c->peers.count; i++) {
		struct peer *p = c->peers.list[i];
		if (asked_turn(&p->records_asked, outlet_queued(&p->bulk), &now))
			tell_record(c, p, now.index);
		if (asked_turn(&p->holes_asked, outlet_queued(&p->bulk), &now))
			tell_holes(c, p, &now);
	}
}

void node_fetched(struct cluster *c, struct raft_id from, const struct node_fetched *m)
{
	if (!fetch_awaits(&c->fetch, m->index))
		return;
	struct fetch_known known = {
	    raft_term_at(c->raft, m->index), disk_marked(&c->disk, m->index)};

	fetch_answered(&c->fetch, from, m->index, m->record, &known);
}

static void ask_for_record(struct cluster *c)
{
	uint8_t frame[NODE_SMALL_MAX];
	struct writer w = writer_of(frame, sizeof(frame));

	node_put_fetch(&w, &(struct node_fetch){c->fetch.index});
	peers_say(peers_find(c, c->fetch.asked), false, &w);
}

static void mend(struct cluster *c)
{
	enum rmq_error err =
	    node_event(c, &(struct raft_event){
			      .type = RAFT_EVENT_MEND, .runs = &c->fetch.run, .run_count = 1});

	if (err) {
		log_error("%s: mending record %" PRIu64 ": %s", c->disk.directory,
		    c->fetch.index, error_text(err));
		cluster_die(c, error_exit(RMQ_E_BUG));
	}
	fetch_writes(&c->fetch, c->sent_seq);
}

static void say_mended(const struct cluster *c)
{
	const struct peer *p = peers_find(c, c->fetch.from);

	log_notice("%s: record %" PRIu64
		   ": its bytes were bad on this disk, and are now as %s has them",
	    c->disk.directory, c->fetch.index, p ? p->member.name : "another node");
}

/* Who can be asked for a record. */
static unsigned has_records(const struct cluster *c, struct raft_id ids[MEMBERS_LINKS_MAX])
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->peers.count; i++) {
		const struct peer *p = c->peers.list[i];
		if (p->node.welcomed && (p->node.features & NODE_FEATURE_FETCH))
			ids[n++] = p->member.id;
	}
	return n;
}

_Noreturn static void broken(struct cluster *c)
{
	log_error(
	    "%s: record %" PRIu64 ": its bytes are bad on this disk, as were those of %d "
	    "other records in the last hour, which were mended: this disk does not keep what "
	    "it is given: replace it",
	    c->disk.directory, c->fetch.index, FETCH_MENDS_MAX);
	cluster_die(c, error_exit(RMQ_E_CORRUPT));
}

static void fetch_records(struct cluster *c)
{
	struct raft_id ids[MEMBERS_LINKS_MAX];
	enum fetch_action a = FETCH_NOTHING;

	do {
		uint64_t given_up = c->fetch.given_up;
		struct fetch_seen seen = {.peers = ids,
		    .count = has_records(c, ids),
		    .room = disk_intake(&c->disk),
		    .stored = c->stored_seq,
		    .now_ms = cluster_now(c),
		    .patience_ms = (uint32_t)c->config.election_timeout};
		a = fetch_turn(&c->fetch, &seen);
		if (a == FETCH_ASK)
			ask_for_record(c);
		else if (a == FETCH_MEND)
			mend(c);
		else if (a == FETCH_DONE)
			say_mended(c);
		else if (a == FETCH_FAILED && c->fetch.index != given_up)
			log_error("%s: record %" PRIu64
				  ": no node that answers has it as it should be",
			    c->disk.directory, c->fetch.index);
		else if (a == FETCH_BROKEN)
			broken(c);
		/* Those who want it are told in their turn. */
		if (a == FETCH_DONE || a == FETCH_FAILED) {
			cluster_more(c);
			cluster_changed(c);
		}
	} while (a == FETCH_MEND || a == FETCH_DONE);
}

/* ---- room ---- */

/* *level: as in raft_peer_status. */
static struct voter_room member_room(const struct cluster *c, struct raft_id id, bool *level)
{
	const struct peer *p = peers_find(c, id);
	struct raft_peer_status s;

	*level = true;
	if (raft_id_eq(id, c->id))
		return (struct voter_room){c->disk.room, true, 0};
	if (!p || !raft_peer_status(c->raft, id, &s))
		return (struct voter_room){0};
	*level = s.level;
	return (struct voter_room){p->room, s.match > 0, cluster_now(c) - s.heard_at};
}

void node_look_at_room(struct cluster *c)
{
	struct voter_room voters[RAFT_MEMBERS_MAX];
	unsigned n = 0;
	const struct raft_config *config = cluster_leads(c) ? c->status.config : NULL;
	uint64_t patience = c->config.election_timeout;

	c->room = 0;
	c->holes_wanted = false;
	for (unsigned i = 0; config && i < config->count; i++) {
		const struct raft_id id = config->members[i].id;
		bool level;
		struct voter_room m = member_room(c, id, &level);
		c->holes_wanted |= member_waits_for_room(&m, level, patience);
		/* Where a database has the log, only the disk of who leads is needed. */
		if (database_link_used(c) ? raft_id_eq(id, c->id)
					  : raft_config_is_voter(config, id))
			voters[n++] = m;
	}
	if (config)
		c->room = cluster_room(voters, n, &c->disk.room, &c->tail, patience);
}

/* ---- life ---- */

/* Heartbeats may wait behind records, which come for long over a slow link. */
static void hear_records(struct cluster *c)
{
	struct peer *leader = peers_find(c, c->status.leader);
	struct raft_event e = {.type = RAFT_EVENT_HEARD, .id = c->status.leader};

	c->heard_ms = cluster_now(c);
	if (!leader || !leader->in_bulk)
		return;
	uint64_t before = leader->heard_bytes;
	leader->heard_bytes = link_conn_received(leader->in_bulk->conn);
	if (leader->heard_bytes > before)
		node_happens(c, &e);
}

static void on_tick(uv_timer_t *timer)
{
	struct cluster *c = timer->data;
	hear_records(c);
	node_happens(c, &(struct raft_event){.type = RAFT_EVENT_TICK});
}

/* The disk has room for what it had none for, or some of that may have died. */
static void ask_again(struct cluster *c)
{
	struct intake_room room = disk_intake(&c->disk);

	if (intake_asks(&c->intake, &room, c->status.cover.index))
		node_happens(c, &(struct raft_event){.type = RAFT_EVENT_AGAIN});
	cluster_waits(c);
}

void node_turn(struct cluster *c)
{
	serve_reads(c);
	answer_members(c);
	relieve(c);
	ask_again(c);
	/* At least once in an election timeout: by raft_due(). */
	fetch_records(c);
	database_link_sweep(c);
	database_link_turn(c);
	uint64_t now = cluster_now(c);
	if (now >= c->heard_ms + (uint64_t)c->config.heartbeat)
		hear_records(c);
	uint64_t due = raft_due(c->raft);
	uv_timer_start(&c->tick, on_tick, due > now ? due - now : 0, 0);
}

void node_open(struct cluster *c)
{
	struct raft_begin begin;

	disk_begin(&c->disk, &begin);
	c->id = begin.id;
	begin.election_ms = (uint32_t)c->config.election_timeout;
	begin.heartbeat_ms = (uint32_t)c->config.heartbeat;
	begin.seed = c->boot;
	if (database_link_used(c))
		begin.sole_voter = RAFT_DATABASE;
	c->raft = raft_new(&begin, cluster_now(c));
	c->founded = begin.config_count > 0 && begin.configs[0].config->count == 1 &&
		     raft_id_eq(begin.configs[0].config->members[0].id, c->id);
	c->sent_seq = c->stored_seq = c->truncate_seq = 0;
	c->committed = 0;
	c->ends = (struct ends){0};
	c->intake = (struct intake){0};
	c->relief = (struct relief){0};
	c->fetch.state = FETCH_NONE;
	tail_begin(&c->tail, begin.last);
	raft_status(c->raft, &c->status);
	c->shown = c->status;
	replica_log_begin_free(&begin);
	database_link_begin(c);
}

void node_close(struct cluster *c)
{
	raft_free(c->raft);
	c->raft = NULL;
}

/* The first membership of a cluster; or of one that goes on as it is, with another engine. */
static enum rmq_error first_config(
    const struct cluster *c, struct raft_id cluster, struct raft_config *config)
{
	struct raft_member *m = &config->members[0];

	*config = (struct raft_config){.count = 1, .cluster = cluster};
	if (c->status.config)
		*config = *c->status.config;
	else if (raft_id_none(cluster) &&
		 uv_random(NULL, NULL, config->cluster.bytes, RAFT_ID_SIZE, 0, NULL) != 0)
		return RMQ_E_IO;
	peers_self(c, m);
	m->flags |= RAFT_VOTER;
	config->level = level_tag();
	config->engine = c->config.engine;
	return RMQ_E_OK;
}

/* The only voter needs no one's word: what is stored is committed. */
enum rmq_error node_found(struct cluster *c, struct raft_id cluster)
{
	struct raft_config config;
	struct chunk *made = NULL;

	if (c->status.config && !database_link_converts(c))
		return RMQ_E_EXISTS;
	if (c->join.joining.let_in && !c->status.config)
		return RMQ_E_EXISTS;
	if (c->stored_seq < c->sent_seq)
		return RMQ_E_BUSY;
	join_cancel(c);
	enum rmq_error err = first_config(c, cluster, &config);
	if (err)
		return err;
	struct raft_run run = {.first = c->status.last.index + 1,
	    .term = c->status.term + 1,
	    .count = 1,
	    .kind = RECORD_CONFIG,
	    .config = &config};
	struct piece piece = encode_config(&made, &config);
	run.bytes = (uint32_t)piece.bytes.len;
	c->founding_seq = ++c->sent_seq;
	disk_store(&c->disk,
	    &(struct raft_store){.seq = c->sent_seq,
		.term = run.term,
		.commit = run.first,
		.cover = c->status.cover,
		.runs = &run,
		.run_count = 1},
	    &piece);
	chunk_drop(made);
	return RMQ_E_OK;
}
