#include "disk.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "node.h"
#include "state.h"
#include "sys/guard.h"

_Noreturn static void cannot_read(struct disk *d, uint64_t index, enum rmq_error err)
{
	/* What should be there is not. */
	if (err == RMQ_E_NOTHING)
		err = RMQ_E_CORRUPT;
	if (index)
		log_error("%s: record %" PRIu64 ": %s", d->directory, index, error_text(err));
	else
		log_error("%s: cannot read: %s", d->directory, error_text(err));
	cluster_die(d->cluster, error_exit(err));
}

static void read_begin(struct disk *d)
{
	guard_on();
	enum rmq_error err = store_reader_begin(d->reader);
	if (err)
		cannot_read(d, 0, err);
}

static void read_end(struct disk *d)
{
	store_reader_end(d->reader);
	guard_off();
}

/* ---- the journal ---- */

static bool take_stored(struct disk *d, struct slice payload)
{
	struct journal_txn_stored m;
	bool any = false;

	if (!journal_txn_stored_decode(payload, &m))
		return false;
	while (d->pending_count > 0 && d->pending[d->pending_first].seq <= m.seq) {
		d->stored = d->pending[d->pending_first++].last;
		d->pending_count--;
		any = true;
	}
	if (!any || m.seq <= d->base)
		return any;
	node_stored(d->cluster, m.seq - d->base);
	return true;
}

static bool on_frame(void *arg, const struct frame *f)
{
	struct disk *d = arg;
	struct journal_room room;

	switch (f->type) {
	case JOURNAL_TYPE_TXN_STORED:
		return take_stored(d, f->payload);
	case JOURNAL_TYPE_ROOM:
		if (!journal_room_decode(f->payload, &room))
			return false;
		d->room = room.bytes;
		d->room_index = d->stored;
		return true;
	}
	return false;
}

static void on_lost(void *arg, int status, const char *why)
{
	struct disk *d = arg;

	log_error("%s: %s", d->directory, why);
	cluster_die(d->cluster, status);
}

int disk_open(struct disk *d, struct cluster *c, const char *directory)
{
	struct journal_link_host host = {d, on_frame, on_lost};
	struct child_spec spec = {.mask = &c->mask, .nofile = &c->nofile};
	struct journal_opened_info info;
	struct reason why = {""};

	d->cluster = c;
	snprintf(d->directory, sizeof(d->directory), "%s", directory);
	int status = journal_link_spawn(&d->link, &host, directory, &spec);
	if (status == 0)
		status = journal_link_open(&d->link, true, &info);
	if (status != 0)
		return status;
	memcpy(d->directory, info.directory, sizeof(d->directory));
	guard_init("rmq-clusterd", d->directory);
	guard_on();
	enum rmq_error err = store_reader_open(d->directory, &d->reader, &why);
	guard_off();
	if (err) {
		log_error("%s: %s: %s", d->directory, error_text(err), why.text);
		return error_exit(err);
	}
	d->stored = info.last;
	return 0;
}

int disk_start(struct disk *d)
{
	return journal_link_start(&d->link, &d->cluster->loop);
}

bool disk_idle(const struct disk *d)
{
	return d->pending_count == 0;
}

int disk_close(struct disk *d)
{
	int status = journal_link_close(&d->link);

	store_reader_close(d->reader);
	d->reader = NULL;
	free(d->pending);
	return status;
}

void disk_kill(struct disk *d)
{
	journal_link_kill(&d->link);
}

/* ---- transactions ---- */

static void pending_push(struct disk *d, struct disk_transaction t)
{
	if (d->pending_first + d->pending_count == d->pending_cap) {
		if (d->pending_first > d->pending_count) {
			memmove(d->pending, d->pending + d->pending_first,
			    d->pending_count * sizeof(*d->pending));
		} else {
			struct disk_transaction *more;
			d->pending_cap = d->pending_cap ? 2 * d->pending_cap : 64;
			more = malloc(d->pending_cap * sizeof(*more));
			if (!more)
				abort();
			if (d->pending_count > 0)
				memcpy(more, d->pending + d->pending_first,
				    d->pending_count * sizeof(*more));
			free(d->pending);
			d->pending = more;
		}
		d->pending_first = 0;
	}
	d->pending[d->pending_first + d->pending_count++] = t;
}

/* A transaction as it is put together: frames, of which payloads are borrowed. */
struct frames {
	struct iovec *iov;
	size_t count;
	struct writer heads;
};

#define TXN_HEAD_MAX (FRAME_HEADER_SIZE + 64 + RAFT_ID_SIZE)
#define RUN_HEAD_MAX (JOURNAL_RECORD_HEAD + 8)
#define DIG_MAX	     (FRAME_HEADER_SIZE + RAFT_HOLES_MAX * HOLE_RANGE_SIZE)

static void frames_init(struct frames *f, const struct raft_store *s)
{
	size_t digs = (s->hole_count + RAFT_HOLES_MAX - 1) / RAFT_HOLES_MAX;
	size_t cap = 2 * TXN_HEAD_MAX + s->run_count * RUN_HEAD_MAX + digs * DIG_MAX;
	uint8_t *heads = malloc(cap);

	f->iov = malloc((2 * (size_t)s->run_count + digs + 2) * sizeof(*f->iov));
	if (!heads || !f->iov)
		abort();
	f->count = 0;
	f->heads = writer_of(heads, cap);
}

static void frames_deinit(struct frames *f)
{
	free(f->iov);
	free(f->heads.p);
}

static void frames_add(struct frames *f, size_t begin, struct slice payload)
{
	assert(!f->heads.full);
	f->iov[f->count++] = (struct iovec){f->heads.p + begin, f->heads.len - begin};
	if (payload.len > 0)
		f->iov[f->count++] =
		    (struct iovec){(void *)(uintptr_t)payload.data, payload.len};
}

static void put_begin(
    struct frames *f, const struct disk *d, const struct raft_store *s, uint32_t bytes,
    uint32_t largest)
{
	size_t begin = f->heads.len;

	journal_put_txn(&f->heads,
	    &(struct journal_txn){
		.seq = d->base + s->seq,
		.term = s->term,
		.vote = slice_of(s->vote.bytes, raft_id_none(s->vote) ? 0 : RAFT_ID_SIZE),
		.commit = s->commit,
		.cover_index = s->cover.index,
		.cover_term = s->cover.term,
		.truncate = s->truncate,
		.bytes = bytes,
		.largest = largest,
	    });
	frames_add(f, begin, slice_of(NULL, 0));
}

static void put_run(struct frames *f, const struct raft_run *run, struct slice payload)
{
	size_t begin = f->heads.len;

	if (run->kind == RAFT_HOLE) {
		journal_put_holes(
		    &f->heads, &(struct journal_holes){run->first, run->count, run->term});
	} else {
		journal_put_record(
		    &f->heads, &(struct journal_record){run->first, run->term, run->kind, {0}});
		/* The payload counts, and lies elsewhere. */
		store_u32(f->heads.p + begin,
		    (uint32_t)(JOURNAL_RECORD_HEAD - FRAME_HEADER_SIZE + payload.len));
	}
	frames_add(f, begin, payload);
}

static void put_digs(struct frames *f, const struct hole_range *holes, unsigned count)
{
	for (unsigned at = 0; at < count; at += RAFT_HOLES_MAX) {
		unsigned end = count - at < RAFT_HOLES_MAX ? count : at + RAFT_HOLES_MAX;
		size_t begin = frame_begin(&f->heads, JOURNAL_TYPE_DIG);
		for (unsigned i = at; i < end; i++)
			hole_range_put(&f->heads, &holes[i]);
		frame_end(&f->heads, begin);
		frames_add(f, begin, slice_of(NULL, 0));
	}
}

/*
 * Index up to which the log is stored once all that is on its way is; the size of what comes, and
 * of its largest record.
 */
static uint64_t measure(
    const struct disk *d, const struct raft_store *s, uint64_t *bytes, uint32_t *largest)
{
	uint64_t last = d->pending_count > 0
			    ? d->pending[d->pending_first + d->pending_count - 1].last
			    : d->stored;

	if (s->truncate)
		last = s->truncate - 1;
	*bytes = *largest = 0;
	for (unsigned i = 0; i < s->run_count; i++) {
		uint32_t one = RECORD_HEADER_SIZE + s->runs[i].bytes;
		last = s->runs[i].first + s->runs[i].count - 1;
		if (s->runs[i].kind == RAFT_HOLE)
			continue;
		*bytes += one;
		if (one > *largest)
			*largest = one;
	}
	assert(*bytes <= UINT32_MAX);
	return last;
}

void disk_store(struct disk *d, const struct raft_store *s, const struct piece *pieces)
{
	struct frames f;
	uint32_t largest;
	uint64_t bytes, last = measure(d, s, &bytes, &largest);

	frames_init(&f, s);
	put_begin(&f, d, s, (uint32_t)bytes, largest);
	for (unsigned i = 0; i < s->run_count; i++)
		put_run(&f, &s->runs[i], pieces[i].bytes);
	put_digs(&f, s->holes, s->hole_count);
	size_t begin = f.heads.len;
	journal_put_txn_end(&f.heads, &(struct journal_txn_end){d->base + s->seq});
	frames_add(&f, begin, slice_of(NULL, 0));
	journal_link_send_all(&d->link, f.iov, f.count);
	frames_deinit(&f);
	pending_push(d, (struct disk_transaction){d->base + s->seq, last});
}

/* ---- reading ---- */

static void begin_terms(struct disk *d, struct raft_begin *b)
{
	struct raft_place *terms = NULL, place;
	size_t count = 0, cap = 0;
	enum rmq_error err;

	for (uint64_t from = 1;; from = place.index + 1) {
		err = store_reader_term(d->reader, from, &place.index, &place.term);
		if (err)
			break;
		if (count == cap) {
			cap = cap ? 2 * cap : 64;
			terms = realloc(terms, cap * sizeof(*terms));
			if (!terms)
				abort();
		}
		terms[count++] = place;
	}
	if (err != RMQ_E_NOTHING)
		cannot_read(d, 0, err);
	b->terms = terms;
	b->term_count = count;
}

static void begin_configs(struct disk *d, struct raft_begin *b)
{
	struct raft_run *runs = NULL;
	struct record_header h = {.index = 0};
	struct slice payload;
	size_t count = 0, cap = 0;
	enum rmq_error err;

	while ((err = store_reader_config(d->reader, h.index + 1, &h, &payload)) == RMQ_E_OK) {
		struct raft_config *config = malloc(sizeof(*config));
		if (count == cap) {
			cap = cap ? 2 * cap : 16;
			runs = realloc(runs, cap * sizeof(*runs));
		}
		if (!config || !runs)
			abort();
		err = raft_config_decode(payload, config);
		if (err)
			cannot_read(d, h.index, RMQ_E_CORRUPT);
		runs[count++] = (struct raft_run){
		    h.index, h.term, 1, (uint32_t)payload.len, RECORD_CONFIG, config};
	}
	if (err != RMQ_E_NOTHING)
		cannot_read(d, h.index, err);
	b->configs = runs;
	b->config_count = count;
}

void disk_begin(struct disk *d, struct raft_begin *b)
{
	struct store_state state;
	struct store_replica replica;

	assert(disk_idle(d));
	read_begin(d);
	enum rmq_error err = store_reader_state(d->reader, &state);
	if (!err)
		err = store_reader_replica(d->reader, &replica);
	if (err)
		cannot_read(d, 0, err);
	*b = (struct raft_begin){
	    .term = state.term,
	    .vote = replica.vote,
	    .commit = replica.commit,
	    .last = state.next - 1,
	    .cover = {replica.cover_index, replica.cover_term},
	};
	memcpy(b->id.bytes, store_reader_identity(d->reader)->incarnation, RAFT_ID_SIZE);
	begin_terms(d, b);
	begin_configs(d, b);
	read_end(d);
	d->alone = !replica.present && b->last > 0;
	d->base += d->cluster->sent_seq;
}

void disk_begin_free(struct raft_begin *b)
{
	for (size_t i = 0; i < b->config_count; i++)
		free((void *)(uintptr_t)b->configs[i].config);
	free((void *)(uintptr_t)b->configs);
	free((void *)(uintptr_t)b->terms);
}

static void add_run(struct disk_records *out, const struct raft_run *run, struct slice payload)
{
	out->runs[out->count] = *run;
	out->pieces[out->count++] = (struct piece){payload, NULL};
}

/* What is behind the newest record, up to what is stored, is holes. */
void disk_read(struct disk *d, uint64_t index, uint32_t bytes_max, struct disk_records *out)
{
	struct record_header h;
	struct slice payload;
	uint64_t at = index, bytes = 0;

	assert(index <= d->stored);
	out->count = 0;
	read_begin(d);
	while (at <= d->stored && out->count + 2 <= RAFT_RUNS_MAX) {
		enum rmq_error err = store_reader_next(d->reader, at, &h, &payload);
		if (err && err != RMQ_E_NOTHING)
			cannot_read(d, h.index, err);
		uint64_t next = err || h.index > d->stored ? d->stored + 1 : h.index;
		if (next > at) {
			uint64_t holes = next - at < UINT32_MAX ? next - at : UINT32_MAX;
			add_run(out,
			    &(struct raft_run){
				.first = at, .count = (uint32_t)holes, .kind = RAFT_HOLE},
			    slice_of(NULL, 0));
			at += holes;
			continue;
		}
		bytes += payload.len;
		if (out->count > 0 && bytes > bytes_max)
			break;
		add_run(out,
		    &(struct raft_run){.first = at,
			.count = 1,
			.bytes = (uint32_t)payload.len,
			.kind = h.kind},
		    payload);
		at++;
	}
	/* What is given was verified: only looking for it goes through what may be garbled. */
	guard_off();
}

void disk_read_end(struct disk *d)
{
	store_reader_end(d->reader);
}

uint64_t disk_end(struct disk *d, uint64_t from, struct slice *payload)
{
	struct record_header h;

	read_begin(d);
	enum rmq_error err = store_reader_checkpoint(d->reader, from, &h, payload);
	if (err && err != RMQ_E_NOTHING)
		cannot_read(d, h.index, err);
	return err ? 0 : h.index;
}

uint64_t disk_next(struct disk *d, uint64_t from)
{
	struct slice value;
	uint64_t index;
	enum rmq_error err = store_reader_raw(d->reader, from, &index, &value);

	if (err)
		cannot_read(d, from, err);
	return index;
}

void disk_end_done(struct disk *d)
{
	read_end(d);
}

void disk_reserve(struct disk *d, uint64_t bytes)
{
	uint8_t head[FRAME_HEADER_SIZE + 8];
	struct writer w = writer_of(head, sizeof(head));

	journal_put_reserve(&w, &(struct journal_reserve){bytes});
	journal_link_send(&d->link, head, w.len, slice_of(NULL, 0));
}

uint64_t disk_state(struct disk *d, struct store_state *state)
{
	struct record_header h;
	struct slice payload;

	read_begin(d);
	enum rmq_error err = store_reader_state(d->reader, state);
	if (err)
		cannot_read(d, 0, err);
	err = store_reader_next(d->reader, 1, &h, &payload);
	if (err && err != RMQ_E_NOTHING)
		cannot_read(d, h.index, err);
	read_end(d);
	return err ? 0 : h.index;
}
