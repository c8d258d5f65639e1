#include "sys/replica.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- the beginning ---- */

/* A list that grows; NULL when memory is out, and the old one is freed. */
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
	if (raft_config_decode(payload, c)) {
		free(c);
		return RMQ_E_CORRUPT;
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

enum rmq_error replica_load(struct store_reader *r, struct raft_begin *b, uint64_t *bad)
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
	if (err)
		replica_unload(&new);
	else
		*b = new;
	return err;
}

void replica_unload(struct raft_begin *b)
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
static uint64_t put_holes(struct replica_runs *runs, uint64_t first, uint64_t end)
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

enum rmq_error replica_read(struct store_reader *r, uint64_t index, uint64_t last,
    uint32_t bytes, struct replica_runs *runs, uint64_t *bad)
{
	struct store_state state;
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
		err = store_reader_next(r, at, &h, &payload);
		if (err && err != RMQ_E_NOTHING) {
			*bad = h.index;
			return err;
		}
		bool there = !err && h.index < end;
		at = put_holes(runs, at, there ? h.index : end);
		if (!there || runs->count == RAFT_RUNS_MAX)
			break;
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

static void send_run(struct journal_link *l, const struct raft_run *run, struct slice payload)
{
	uint8_t head[64];
	uint8_t config[RAFT_CONFIG_SIZE_MAX];
	struct writer w = writer_of(head, sizeof(head));
	if (run->kind == RAFT_HOLE) {
		journal_put_holes(
		    &w, &(struct journal_holes){run->first, run->count, run->term});
		assert(!w.full);
		journal_link_send(l, head, w.len, slice_of(NULL, 0));
		return;
	}
	if (run->kind == RECORD_CONFIG) {
		struct writer c = writer_of(config, sizeof(config));
		raft_config_encode(&c, run->config);
		assert(!c.full);
		payload = slice_of(config, c.len);
	}
	journal_put_record(&w, &(struct journal_record){run->first, run->term, run->kind, {0}});
	assert(!w.full && payload.len <= RECORD_PAYLOAD_MAX);
	journal_link_send(l, head, w.len, payload);
}

static void send_holes(struct journal_link *l, const struct raft_store *s)
{
	uint8_t frame[FRAME_HEADER_SIZE + 1024 * HOLE_RANGE_SIZE];
	for (unsigned i = 0; i < s->hole_count;) {
		struct writer w = writer_of(frame, sizeof(frame));
		size_t begin = frame_begin(&w, JOURNAL_TYPE_DIG);
		for (; i < s->hole_count && w.cap - w.len >= HOLE_RANGE_SIZE; i++)
			hole_range_put(&w, &s->holes[i]);
		frame_end(&w, begin);
		journal_link_send(l, frame, w.len, slice_of(NULL, 0));
	}
}

/* Bytes of the records, with their headers, and of the largest one. */
static uint64_t record_bytes(const struct raft_store *s, uint32_t *largest)
{
	uint64_t bytes = 0;
	*largest = 0;
	for (unsigned i = 0; i < s->run_count; i++) {
		const struct raft_run *run = &s->runs[i];
		if (run->kind == RAFT_HOLE)
			continue;
		uint32_t one = RECORD_HEADER_SIZE +
			       (run->kind == RECORD_CONFIG ? RAFT_CONFIG_SIZE_MAX : run->bytes);
		bytes += one;
		if (one > *largest)
			*largest = one;
	}
	return bytes;
}

void replica_store(
    struct journal_link *l, const struct raft_store *s, const struct slice *payloads)
{
	uint8_t frame[128];
	struct writer w = writer_of(frame, sizeof(frame));
	uint32_t largest;
	uint64_t bytes = record_bytes(s, &largest);
	assert(bytes <= JOURNAL_TXN_MAX);
	journal_put_txn(
	    &w, &(struct journal_txn){s->seq, s->term,
		    slice_of(s->vote.bytes, raft_id_none(s->vote) ? 0 : RAFT_ID_SIZE),
		    s->commit, s->cover.index, s->cover.term, s->truncate, (uint32_t)bytes,
		    largest});
	journal_link_send(l, frame, w.len, slice_of(NULL, 0));
	for (unsigned i = 0; i < s->run_count; i++)
		send_run(l, &s->runs[i], payloads ? payloads[i] : slice_of(NULL, 0));
	send_holes(l, s);
	w = writer_of(frame, sizeof(frame));
	journal_put_txn_end(&w, &(struct journal_txn_end){s->seq});
	journal_link_send(l, frame, w.len, slice_of(NULL, 0));
}
