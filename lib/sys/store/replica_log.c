#include "sys/store/replica_log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- the beginning ---- */

/* A list that grows; NULL when out of memory, and the old one is freed. */
static void *grow(void *items, size_t count, size_t size)
{
	bool full = count == 0 || (count >= 8 && (count & (count - 1)) == 0);
	size_t cap = count == 0 ? 8 : 2 * count;
	void *more = full ? realloc(items, cap * size) : items;
	if (!more)
		free(items);
	return more;
}

static enum rmq_error load_terms(struct store_reader *r, struct raft_begin *b)
{
	struct raft_place *list = NULL, p = {0};
	size_t count = 0;
	enum rmq_error err;
	while ((err = store_reader_term(r, p.index + 1, &p.index, &p.term)) == RMQ_E_OK) {
		list = grow(list, count, sizeof(*list));
		if (!list)
			return RMQ_E_LIMIT;
		list[count++] = p;
	}
	b->terms = list;
	b->term_count = count;
	return err == RMQ_E_NOTHING ? RMQ_E_OK : err;
}

static enum rmq_error decode_config(
    const struct record_header *h, struct slice payload, struct raft_run *run)
{
	struct raft_config *c = malloc(sizeof(*c));
	if (!c)
		return RMQ_E_LIMIT;
	enum rmq_error err = raft_config_decode(payload, c);
	if (err) {
		free(c);
		return err == RMQ_E_VERSION ? err : RMQ_E_CORRUPT;
	}
	*run = (struct raft_run){.first = h->index,
	    .term = h->term,
	    .count = 1,
	    .bytes = (uint32_t)payload.len,
	    .kind = RECORD_CONFIG,
	    .config = c};
	return RMQ_E_OK;
}

static enum rmq_error load_configs(struct store_reader *r, struct raft_begin *b, uint64_t *bad)
{
	struct raft_run *list = NULL;
	struct record_header h = {0};
	struct slice payload;
	enum rmq_error err;
	uint64_t from = 1;
	while ((err = store_reader_config(r, from, &h, &payload)) == RMQ_E_OK) {
		list = grow(list, b->config_count, sizeof(*list));
		b->configs = list;
		if (!list) {
			b->config_count = 0;
			return RMQ_E_LIMIT;
		}
		err = decode_config(&h, payload, &list[b->config_count]);
		if (err)
			break;
		b->config_count++;
		from = h.index + 1;
	}
	*bad = h.index;
	return err == RMQ_E_NOTHING ? RMQ_E_OK : err;
}

enum rmq_error replica_log_begin(
    struct store_reader *r, struct raft_begin *b, bool *replicated, uint64_t *bad)
{
	struct raft_begin new = *b;
	struct store_state state;
	struct store_replica replica;
	new.terms = NULL;
	new.configs = NULL;
	new.term_count = new.config_count = 0;
	*bad = 0;
	enum rmq_error err = store_reader_state(r, &state);
	if (!err)
		err = store_reader_replica(r, &replica);
	if (err)
		return err;
	memcpy(new.id.bytes, store_reader_identity(r)->incarnation, RAFT_ID_SIZE);
	new.term = state.term;
	new.last = state.next - 1;
	new.vote = replica.vote;
	new.commit = replica.present ? replica.commit : new.last;
	new.cover = (struct raft_place){replica.cover_index, replica.cover_term};
	err = load_terms(r, &new);
	if (!err)
		err = load_configs(r, &new, bad);
	if (err) {
		replica_log_begin_free(&new);
		return err;
	}
	*b = new;
	*replicated = replica.present;
	return RMQ_E_OK;
}

void replica_log_begin_free(struct raft_begin *b)
{
	for (size_t i = 0; i < b->config_count; i++)
		free((void *)(uintptr_t)b->configs[i].config);
	free((void *)(uintptr_t)b->configs);
	free((void *)(uintptr_t)b->terms);
	b->configs = NULL;
	b->terms = NULL;
	b->config_count = b->term_count = 0;
}

/* ---- reading for a peer ---- */

/* Indexes [first, end) are holes; a run has at most 2^32 - 1. */
static uint64_t put_holes(struct replica_log_runs *runs, uint64_t first, uint64_t end)
{
	while (first < end && runs->count < RAFT_RUNS_MAX) {
		uint32_t count =
		    end - first < UINT32_MAX ? (uint32_t)(end - first) : UINT32_MAX;
		runs->payloads[runs->count] = slice_of(NULL, 0);
		runs->runs[runs->count++] =
		    (struct raft_run){.first = first, .count = count, .kind = RAFT_HOLE};
		first += count;
	}
	return first;
}

/* A stretch of the log: indexes up to before `end` are of this term. */
struct stretch {
	uint64_t term;
	uint64_t end;
};

/* store_reader_next(), whose record has the term that the log has there. */
static enum rmq_error next_record(struct store_reader *r, uint64_t from, struct stretch *in,
    struct record_header *h, struct slice *payload)
{
	enum rmq_error err = store_reader_next(r, from, h, payload);

	if (!err && h->index >= in->end)
		err = store_reader_term_at(r, h->index, &in->term, &in->end);
	if (!err && h->term != in->term)
		err = RMQ_E_CORRUPT;
	return err == RMQ_E_NOTHING && h->index > 0 ? RMQ_E_CORRUPT : err;
}

enum rmq_error replica_log_read(struct store_reader *r, uint64_t index, uint64_t last,
    uint32_t bytes, struct replica_log_runs *runs, uint64_t *bad)
{
	struct store_state state;
	struct stretch in = {0, 0};
	uint64_t at = index, sum = 0;
	runs->count = 0;
	*bad = 0;
	enum rmq_error err = store_reader_state(r, &state);
	if (err)
		return err;
	uint64_t end = last < state.next ? last + 1 : state.next;
	while (at < end && runs->count < RAFT_RUNS_MAX) {
		struct record_header h;
		struct slice payload;
		err = next_record(r, at, &in, &h, &payload);
		if (err && err != RMQ_E_NOTHING && h.index == 0)
			return err;
		bool there = err != RMQ_E_NOTHING && h.index < end;
		at = put_holes(runs, at, there ? h.index : end);
		if (!there || runs->count == RAFT_RUNS_MAX)
			break;
		if (err) {
			*bad = h.index;
			return runs->count > 0 ? RMQ_E_OK : err;
		}
		sum += payload.len;
		if (sum > bytes && runs->count > 0)
			break;
		runs->payloads[runs->count] = payload;
		runs->runs[runs->count++] = (struct raft_run){.first = h.index,
		    .term = h.term,
		    .count = 1,
		    .bytes = (uint32_t)payload.len,
		    .kind = (uint8_t)h.kind};
		at = h.index + 1;
	}
	return RMQ_E_OK;
}

/* ---- storing ---- */

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
	size_t cap = 2 * TXN_HEAD_MAX + (s->run_count + 1) * RUN_HEAD_MAX + digs * DIG_MAX;
	uint8_t *heads = malloc(cap);

	f->iov = malloc((2 * (size_t)s->run_count + digs + 4) * sizeof(*f->iov));
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

/* The payload counts in the frame, and lies elsewhere. */
static void add_with_payload(struct frames *f, size_t begin, struct slice payload)
{
	store_u32(f->heads.p + begin,
	    (uint32_t)(JOURNAL_RECORD_HEAD - FRAME_HEADER_SIZE + payload.len));
	frames_add(f, begin, payload);
}

static void measure_one(struct journal_txn *m, uint32_t payload_bytes)
{
	uint32_t bytes = RECORD_HEADER_SIZE + payload_bytes;

	m->bytes += bytes;
	if (bytes > m->largest)
		m->largest = bytes;
}

/* Sets the size of the records, with their headers, and that of the largest one. */
static void measure(const struct raft_store *s, struct journal_txn *m)
{
	for (unsigned i = 0; i < s->run_count; i++) {
		if (s->runs[i].kind != RAFT_HOLE)
			measure_one(m, s->runs[i].bytes);
		assert(m->bytes <= JOURNAL_TXN_MAX);
	}
	if (s->mend)
		measure_one(m, s->mend->bytes);
	assert(m->bytes <= JOURNAL_TXN_MAX);
}

static void put_begin(struct frames *f, const struct raft_store *s, uint64_t seq)
{
	size_t begin = f->heads.len;
	struct journal_txn m = {
	    .seq = seq,
	    .term = s->term,
	    .vote = raft_id_slice(&s->vote),
	    .commit = s->commit,
	    .cover_index = s->cover.index,
	    .cover_term = s->cover.term,
	    .truncate = s->truncate,
	};

	measure(s, &m);
	journal_put_txn(&f->heads, &m);
	frames_add(f, begin, slice_of(NULL, 0));
}

static void put_run(struct frames *f, const struct raft_run *run, struct slice payload)
{
	size_t begin = f->heads.len;

	if (run->kind == RAFT_HOLE) {
		journal_put_holes(
		    &f->heads, &(struct journal_holes){run->first, run->count, run->term});
		frames_add(f, begin, slice_of(NULL, 0));
		return;
	}
	assert(payload.len == run->bytes && payload.len <= RECORD_PAYLOAD_MAX);
	journal_put_record(
	    &f->heads, &(struct journal_record){run->first, run->term, run->kind, {0}});
	add_with_payload(f, begin, payload);
}

/* It has the fields of a RECORD. */
static void put_mend(struct frames *f, const struct raft_run *run, struct slice payload)
{
	size_t begin = f->heads.len;

	assert(payload.len == run->bytes && payload.len <= RECORD_PAYLOAD_MAX);
	journal_put_mend(
	    &f->heads, &(struct journal_mend){run->first, run->term, run->kind, {0}});
	add_with_payload(f, begin, payload);
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

uint64_t replica_log_last(uint64_t last, const struct raft_store *s)
{
	const struct raft_run *newest = s->run_count > 0 ? &s->runs[s->run_count - 1] : NULL;

	if (newest)
		return newest->first + newest->count - 1;
	return s->truncate ? s->truncate - 1 : last;
}

void replica_log_store(struct journal_link *l, const struct raft_store *s, uint64_t seq,
    const struct slice *payloads)
{
	struct frames f;

	frames_init(&f, s);
	put_begin(&f, s, seq);
	for (unsigned i = 0; i < s->run_count; i++)
		put_run(&f, &s->runs[i], payloads[i]);
	put_digs(&f, s->holes, s->hole_count);
	if (s->mend)
		put_mend(&f, s->mend, payloads[s->run_count]);
	size_t begin = f.heads.len;
	journal_put_txn_end(&f.heads, &(struct journal_txn_end){seq});
	frames_add(&f, begin, slice_of(NULL, 0));
	journal_link_send_all(l, f.iov, f.count);
	frames_deinit(&f);
}
