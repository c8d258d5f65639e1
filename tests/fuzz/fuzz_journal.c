/*
 * The journal's side of its protocol, from one node and from a node of a cluster: whatever is
 * sent, it ends with what it may end with, and the directory is as it should be.  If
 * the first byte is odd, transactions are numbered right first, and as long as they may be,, so
 * that what is after that is reached.
 */
#include "fuzz.h"
#include "fuzz_dir.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/journal/journal_server.h"
#include "sys/store/replica_log.h"

#define INPUT_MAX 65536

static uint8_t input[INPUT_MAX];

static void mend(size_t size)
{
	struct slice in = slice_of(input, size);
	struct frame f;
	size_t used;
	uint64_t seq = 0;

	while (frame_parse(in, &f, &used) == RMQ_E_OK && used > 0) {
		uint8_t *body = input + (size - in.len) + FRAME_HEADER_SIZE;
		in = slice_of(in.data + used, in.len - used);
		if (f.type == JOURNAL_TYPE_TXN && f.payload.len >= 12) {
			store_u64(body, ++seq);
			store_u32(body + f.payload.len - 4, INPUT_MAX);
		}
		if (f.type == JOURNAL_TYPE_TXN_END && f.payload.len >= 8)
			store_u64(body, seq);
	}
}

/* Nobody reads the answers. */
static enum rmq_error serve(const char *dir, size_t size)
{
	struct store *s;
	struct reason why;
	int pair[2], buffer = 4 * INPUT_MAX;
	enum rmq_error err = store_open(dir, &s, &why);

	assert(!err && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	ssize_t n = send(pair[0], input, size, MSG_DONTWAIT);
	assert(n == (ssize_t)size);
	close(pair[0]);
	err = journal_serve(pair[1], s, dir, NULL, &why);
	if (err)
		journal_refuse(pair[1], err, why.text);
	close(pair[1]);
	store_close(s);
	return err;
}

static void check(const char *dir)
{
	struct store_reader *r;
	struct store_state state;
	struct raft_begin b = {0};
	struct reason why;
	struct slice value;
	bool replicated;
	uint64_t bad, index = 0, records = 0, bytes = 0;

	assert(store_reader_open(dir, &r, &why) == RMQ_E_OK);
	assert(store_reader_begin(r) == RMQ_E_OK);
	assert(store_reader_state(r, &state) == RMQ_E_OK);
	while (store_reader_raw(r, index + 1, &index, &value) == RMQ_E_OK) {
		records++;
		bytes += value.len;
	}
	assert(index < state.next && records == state.records && bytes == state.bytes);
	/* The journal does not look into CONFIG records. */
	enum rmq_error err = replica_log_begin(r, &b, &replicated, &bad);
	assert(!err || bad > 0);
	if (!err) {
		assert(b.commit <= b.last && b.last + 1 == state.next);
		for (size_t i = 0; i < b.term_count; i++)
			assert(b.terms[i].term <= b.term && b.terms[i].index <= b.last &&
			       (i == 0 || b.terms[i].term > b.terms[i - 1].term));
		replica_log_begin_free(&b);
	}
	store_reader_close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char dir[64];

	if (size == 0 || size > INPUT_MAX)
		return 0;
	memcpy(input, data + 1, size - 1);
	if (data[0] & 1)
		mend(size - 1);
	snprintf(dir, sizeof(dir), "%s/fuzz_journal.%d",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : ".", (int)getpid());
	assert(store_create(dir, NULL) == RMQ_E_OK);
	enum rmq_error err = serve(dir, size - 1);
	assert(!err || err == RMQ_E_PROTOCOL || err == RMQ_E_VERSION);
	check(dir);
	fuzz_dir_remove(dir);
	return 0;
}

static void put_config(struct writer *w, uint64_t index, uint64_t term)
{
	static uint8_t bytes[RAFT_CONFIG_SIZE_MAX];
	struct writer c = writer_of(bytes, sizeof(bytes));
	struct raft_config config = {.cluster = {{1}}, .count = 1};
	strcpy(config.members[0].name, "n");
	config.members[0].key[0] = 1;
	config.members[0].id.bytes[0] = 1;
	raft_config_encode(&c, &config);
	journal_put_record(
	    w, &(struct journal_record){index, term, RECORD_CONFIG, slice_of(bytes, c.len)});
}

static void put_transactions(struct writer *w)
{
	uint8_t range[HOLE_RANGE_SIZE];
	struct writer h = writer_of(range, sizeof(range));
	hole_range_put(&h, &(struct hole_range){1, 1});
	journal_put_open_replica(
	    w, &(struct journal_open_replica){JOURNAL_OPEN_VERSIONS, NO_TAGS});
	journal_put_txn(w,
	    &(struct journal_txn){1, 2, slice_str("0123456789abcdef"), 3, 0, 0, 0, 1000, 1000});
	journal_put_record(
	    w, &(struct journal_record){1, 1, RECORD_EVENTS, slice_str("events")});
	put_config(w, 2, 1);
	journal_put_record(w, &(struct journal_record){3, 2, RECORD_END, slice_str("end")});
	journal_put_record(w, &(struct journal_record){4, 2, RECORD_END, slice_str("end")});
	journal_put_txn_end(w, &(struct journal_txn_end){1});
	journal_put_txn(w, &(struct journal_txn){2, 3, {0}, 6, 3, 2, 4, 100, 100});
	journal_put_holes(w, &(struct journal_holes){4, 3, 3});
	journal_put_record(w, &(struct journal_record){7, 3, RECORD_NOOP, {0}});
	journal_put_dig(w, &(struct journal_dig){slice_of(range, sizeof(range))});
	journal_put_txn_end(w, &(struct journal_txn_end){2});
}

static void put_one_node(struct writer *w)
{
	uint8_t range[HOLE_RANGE_SIZE];
	struct writer h = writer_of(range, sizeof(range));
	hole_range_put(&h, &(struct hole_range){1, 1});
	journal_put_open(w, &(struct journal_open){JOURNAL_OPEN_VERSIONS, 0, NO_TAGS});
	journal_put_append(w, &(struct journal_append){1, RECORD_EVENTS, slice_str("events")});
	journal_put_append(w, &(struct journal_append){2, RECORD_END, slice_str("end")});
	journal_put_barrier(w, &(struct journal_barrier){7});
	journal_put_hole(w, &(struct journal_hole){2, slice_of(range, sizeof(range))});
}

void fuzz_seeds(fuzz_add *add)
{
	static uint8_t bytes[8192];
	struct writer w = writer_of(bytes, sizeof(bytes));
	put_u8(&w, 1);
	put_transactions(&w);
	assert(!w.full);
	add(w.p, w.len);
	w = writer_of(bytes, sizeof(bytes));
	put_u8(&w, 0);
	put_one_node(&w);
	add(w.p, w.len);
}
