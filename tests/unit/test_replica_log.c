/*
 * The journal as a node of a cluster uses it: transactions through a journal_link, to a
 * journal_serve() in a child process; what is stored is read as a node that starts would.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/journal/journal_server.h"
#include "sys/store/replica_log.h"

static char dir[64];
static pid_t server;
static uv_loop_t loop;
static bool loop_open;
static struct journal_link link_;
static uint64_t stored;		 /* newest TXN_STORED */
static struct journal_fits fits; /* newest */
static bool lost;
static struct raft_id me = {{1, 2, 3}};

static bool on_frame(void *arg, const struct frame *f)
{
	struct journal_txn_stored m;
	(void)arg;
	if (f->type == JOURNAL_TYPE_FITS)
		assert_true(journal_fits_decode(f->payload, &fits));
	if (f->type == JOURNAL_TYPE_TXN_STORED) {
		assert_true(journal_txn_stored_decode(f->payload, &m));
		assert_true(m.seq > stored);
		stored = m.seq;
	}
	return true;
}

static void on_lost(void *arg, int status, const char *why)
{
	(void)arg, (void)status, (void)why;
	lost = true;
}

static void serve(int fd)
{
	struct store *s;
	struct reason why;
	enum rmq_error err = store_open(dir, &s, &why);
	if (!err)
		err = journal_serve(fd, s, dir, NULL, &why);
	if (err)
		journal_refuse(fd, err, why.text);
	_exit((int)err);
}

/* A journal in a child process; our end of its socket. */
static int serve_child(void)
{
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	server = fork();
	if (server == 0) {
		close(pair[0]);
		serve(pair[1]);
	}
	close(pair[1]);
	return pair[0];
}

static struct journal_opened_info start(void)
{
	static const struct journal_link_host host = {.frame = on_frame, .lost = on_lost};
	struct journal_opened_info info;
	int fd = serve_child();
	stored = 0;
	lost = false;
	journal_link_attach(&link_, &host, fd);
	assert_int_equal(journal_link_open(&link_, true, &info), 0);
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(journal_link_start(&link_, &loop), 0);
	loop_open = true;
	return info;
}

/* Closes our end; what the server ended with. */
static int stop(void)
{
	int status;
	journal_link_close(&link_);
	if (loop_open) {
		uv_close((uv_handle_t *)&link_.poll, NULL);
		uv_run(&loop, UV_RUN_DEFAULT);
		assert_int_equal(uv_loop_close(&loop), 0);
	}
	loop_open = false;
	assert_int_equal(waitpid(server, &status, 0), server);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/rmq-test-replica-XXXXXX");
	return mkdtemp(dir) && !store_create(dir, NULL) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[128];
	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static void wait_stored(uint64_t seq)
{
	while (stored < seq && !lost)
		uv_run(&loop, UV_RUN_ONCE);
	assert_false(lost);
}

/* The journal refuses, and ends with this. */
static void wait_refused(enum rmq_error err)
{
	while (!lost)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(stop(), err);
}

/* ---- stores ---- */

static struct raft_run record(uint64_t index, uint64_t term, uint8_t kind)
{
	return (struct raft_run){
	    .first = index, .term = term, .count = 1, .bytes = 4, .kind = kind};
}

static struct raft_run holes(uint64_t first, uint64_t term, uint32_t count)
{
	return (struct raft_run){
	    .first = first, .term = term, .count = count, .kind = RAFT_HOLE};
}

static struct raft_run config(uint64_t index, uint64_t term, const char *name)
{
	static struct raft_config c;
	c = (struct raft_config){.cluster = {{7}}, .count = 1};
	strcpy(c.members[0].name, name);
	c.members[0].id = me;
	c.members[0].flags = RAFT_VOTER;
	struct raft_run run = record(index, term, RECORD_CONFIG);
	run.config = &c;
	return run;
}

static void send_store(struct raft_store s, struct raft_run *runs, unsigned count)
{
	static uint8_t bytes[RAFT_CONFIG_SIZE_MAX];
	struct slice payloads[] = {{(const uint8_t *)"aaaa", 4}, {(const uint8_t *)"bbbb", 4},
	    {(const uint8_t *)"cccc", 4}, {(const uint8_t *)"dddd", 4},
	    {(const uint8_t *)"eeee", 4}};
	for (unsigned i = 0; i < count; i++) {
		if (runs[i].kind != RECORD_CONFIG)
			continue;
		struct writer w = writer_of(bytes, sizeof(bytes));
		raft_config_encode(&w, runs[i].config);
		payloads[i] = slice_of(bytes, w.len);
		runs[i].bytes = (uint32_t)w.len;
	}
	s.runs = runs;
	s.run_count = count;
	replica_log_store(&link_, &s, s.seq, payloads);
}

/* Fields of struct raft_store, then its runs. */
#define STORE(fields, ...) \
	do { \
		struct raft_run runs_[] = {__VA_ARGS__}; \
		send_store((struct raft_store){FIELDS_ fields}, runs_, \
		    sizeof(runs_) / sizeof(runs_[0])); \
	} while (0)
#define FIELDS_(...) __VA_ARGS__

/* ---- what a node finds ---- */

static struct store_reader *reader;
static struct raft_begin begin;
static bool replicated;

static void load(void)
{
	struct reason why;
	uint64_t bad;
	assert_int_equal(store_reader_open(dir, &reader, &why), RMQ_E_OK);
	assert_int_equal(store_reader_begin(reader), RMQ_E_OK);
	begin = (struct raft_begin){.election_ms = 7};
	assert_int_equal(replica_log_begin(reader, &begin, &replicated, &bad), RMQ_E_OK);
	assert_int_equal(begin.election_ms, 7);
}

static void unload(void)
{
	replica_log_begin_free(&begin);
	store_reader_close(reader);
}

static void assert_begin(uint64_t term, uint64_t commit, uint64_t last, size_t terms)
{
	assert_int_equal(begin.term, term);
	assert_int_equal(begin.commit, commit);
	assert_int_equal(begin.last, last);
	assert_int_equal(begin.term_count, terms);
}

/* ---- tests ---- */

static void what_was_stored_is_found_at_the_next_start(void **state)
{
	(void)state;
	start();
	STORE((.seq = 1, .term = 2, .vote = me), record(1, 2, RECORD_NOOP), config(2, 2, "a"));
	STORE((.seq = 2, .term = 3, .commit = 2, .cover = {1, 2}), record(3, 3, RECORD_EVENTS));
	wait_stored(2);
	assert_int_equal(stop(), 0);
	load();
	assert_begin(3, 2, 3, 2);
	assert_true(raft_id_none(begin.vote));
	assert_memory_equal(
	    begin.id.bytes, store_reader_identity(reader)->incarnation, RAFT_ID_SIZE);
	assert_int_equal(begin.cover.index, 1);
	assert_int_equal(begin.cover.term, 2);
	assert_int_equal(begin.terms[0].index, 1);
	assert_int_equal(begin.terms[0].term, 2);
	assert_int_equal(begin.terms[1].index, 3);
	assert_int_equal(begin.terms[1].term, 3);
	assert_int_equal(begin.config_count, 1);
	assert_int_equal(begin.configs[0].first, 2);
	assert_string_equal(begin.configs[0].config->members[0].name, "a");
	unload();
	struct journal_opened_info info = start();
	assert_int_equal(info.term, 3);
	assert_int_equal(info.last, 3);
	assert_int_equal(stop(), 0);
}

static void a_vote_alone_is_stored(void **state)
{
	(void)state;
	start();
	send_store((struct raft_store){.seq = 1, .term = 9, .vote = me}, NULL, 0);
	wait_stored(1);
	assert_int_equal(stop(), 0);
	load();
	assert_true(replicated);
	assert_begin(9, 0, 0, 0);
	assert_true(raft_id_eq(begin.vote, me));
	unload();
}

static void end_as(uint8_t how)
{
	uint8_t head[FRAME_HEADER_SIZE + 1];
	struct writer w = writer_of(head, sizeof(head));
	journal_put_ended(&w, &(struct journal_ended){how});
	journal_link_send(&link_, head, w.len, slice_of(NULL, 0));
}

/* Also if its sender goes at once, and whatever the node stores after it. */
static void how_the_node_ended_is_kept(void **state)
{
	enum raft_how how;
	(void)state;
	assert_true(start().ends);
	STORE((.seq = 1, .term = 2, .vote = me), record(1, 2, RECORD_NOOP));
	wait_stored(1);
	assert_int_equal(stop(), 0);
	load();
	assert_int_equal(store_reader_ended(reader, &how), RMQ_E_NOTHING);
	unload();
	start();
	end_as(RAFT_DOWNED);
	assert_int_equal(stop(), 0);
	load();
	assert_int_equal(store_reader_ended(reader, &how), RMQ_E_OK);
	assert_int_equal(how, RAFT_DOWNED);
	assert_begin(2, 0, 1, 1);
	unload();
	start();
	STORE((.seq = 1, .term = 3, .commit = 1), record(2, 3, RECORD_NOOP));
	end_as(RAFT_LEFT);
	send_store((struct raft_store){.seq = 2, .term = 4, .commit = 1, .vote = me}, NULL, 0);
	wait_stored(2);
	assert_int_equal(stop(), 0);
	assert_int_equal(store_compact(dir, NULL), RMQ_E_OK);
	load();
	assert_int_equal(store_reader_ended(reader, &how), RMQ_E_OK);
	assert_int_equal(how, RAFT_LEFT);
	assert_begin(4, 1, 2, 2);
	unload();
}

static void truncation_takes_back_records_terms_configurations_and_checkpoints(void **state)
{
	struct store_state s;
	(void)state;
	start();
	STORE((.seq = 1, .term = 1, .commit = 3), record(1, 1, RECORD_NOOP), config(2, 1, "a"),
	    record(3, 1, RECORD_END));
	STORE((.seq = 2, .term = 2, .commit = 3), record(4, 2, RECORD_EVENTS),
	    config(5, 2, "b"), record(6, 2, RECORD_END));
	STORE((.seq = 3, .term = 3, .commit = 3, .truncate = 4), record(4, 3, RECORD_NOOP));
	wait_stored(3);
	assert_int_equal(stop(), 0);
	load();
	assert_begin(3, 3, 4, 2);
	assert_int_equal(begin.terms[1].index, 4);
	assert_int_equal(begin.terms[1].term, 3);
	assert_int_equal(begin.config_count, 1);
	assert_string_equal(begin.configs[0].config->members[0].name, "a");
	assert_int_equal(store_reader_state(reader, &s), RMQ_E_OK);
	assert_int_equal(s.checkpoint, 3);
	assert_int_equal(s.records, 4);
	unload();
}

static void holes_are_appended_with_their_term_and_made_below_the_cover(void **state)
{
	static struct replica_log_runs runs;
	static const struct hole_range dug[] = {{1, 1}, {3, 1}};
	uint64_t bad;
	(void)state;
	start();
	STORE((.seq = 1, .term = 5, .commit = 10, .cover = {9, 4}), record(1, 1, RECORD_EVENTS),
	    holes(2, 1, 1), record(3, 2, RECORD_EVENTS), record(4, 2, RECORD_EVENTS),
	    holes(5, 3, 6));
	send_store((struct raft_store){.seq = 2,
		       .term = 5,
		       .commit = 10,
		       .cover = {9, 4},
		       .holes = dug,
		       .hole_count = 2},
	    NULL, 0);
	wait_stored(2);
	assert_int_equal(stop(), 0);
	load();
	assert_begin(5, 10, 10, 3);
	assert_int_equal(begin.terms[2].index, 5);
	assert_int_equal(begin.terms[2].term, 3);
	assert_int_equal(replica_log_read(reader, 2, 9, 1000, &runs, &bad), RMQ_E_OK);
	assert_int_equal(runs.count, 3);
	assert_int_equal(runs.runs[0].kind, RAFT_HOLE);
	assert_int_equal(runs.runs[0].first, 2);
	assert_int_equal(runs.runs[0].count, 2);
	assert_int_equal(runs.runs[1].first, 4);
	assert_int_equal(runs.runs[1].kind, RECORD_EVENTS);
	assert_memory_equal(runs.payloads[1].data, "dddd", 4);
	assert_int_equal(runs.runs[2].first, 5);
	assert_int_equal(runs.runs[2].count, 5);
	unload();
}

static void reading_is_bounded_but_gives_one_record_at_least(void **state)
{
	static struct replica_log_runs runs;
	uint64_t bad;
	(void)state;
	start();
	STORE((.seq = 1, .term = 1), record(1, 1, RECORD_EVENTS), record(2, 1, RECORD_EVENTS),
	    record(3, 1, RECORD_EVENTS));
	wait_stored(1);
	assert_int_equal(stop(), 0);
	load();
	assert_int_equal(replica_log_read(reader, 1, 3, 8, &runs, &bad), RMQ_E_OK);
	assert_int_equal(runs.count, 2);
	assert_int_equal(replica_log_read(reader, 2, 3, 1, &runs, &bad), RMQ_E_OK);
	assert_int_equal(runs.count, 1);
	assert_int_equal(replica_log_read(reader, 4, 9, 8, &runs, &bad), RMQ_E_OK);
	assert_int_equal(runs.count, 0);
	unload();
}

static void send_txn(const struct journal_txn *m)
{
	uint8_t frame[128];
	struct writer w = writer_of(frame, sizeof(frame));
	journal_put_txn(&w, m);
	journal_link_send(&link_, frame, w.len, slice_of(NULL, 0));
}

static void a_transaction_that_is_cut_leaves_no_trace(void **state)
{
	uint8_t head[JOURNAL_RECORD_HEAD];
	struct writer w = writer_of(head, sizeof(head));
	(void)state;
	start();
	STORE((.seq = 1, .term = 1, .commit = 1), record(1, 1, RECORD_NOOP));
	wait_stored(1);
	send_txn(&(struct journal_txn){
	    .seq = 2, .term = 2, .commit = 1, .bytes = 100, .largest = 100});
	journal_put_record(&w, &(struct journal_record){2, 2, RECORD_EVENTS, {0}});
	journal_link_send(&link_, head, w.len, slice_str("half"));
	assert_int_equal(stop(), 0);
	load();
	assert_begin(1, 1, 1, 1);
	unload();
}

/* What is stored before each of the following. */
static void begin_refusal(void)
{
	start();
	STORE((.seq = 1, .term = 5, .vote = me, .commit = 2, .cover = {2, 1}),
	    record(1, 1, RECORD_NOOP), config(2, 1, "a"), record(3, 5, RECORD_EVENTS));
	wait_stored(1);
}

static void end_refusal(enum rmq_error err)
{
	wait_refused(err);
	load();
	assert_begin(5, 2, 3, 2);
	assert_int_equal(begin.config_count, 1);
	unload();
	teardown(NULL);
	setup(NULL);
}

#define REFUSED(fields, ...) \
	do { \
		begin_refusal(); \
		STORE(fields, __VA_ARGS__); \
		end_refusal(RMQ_E_PROTOCOL); \
	} while (0)
#define KNOWN .commit = 2, .cover = {2, 1}

static void what_no_correct_node_sends_is_refused(void **state)
{
	static const struct hole_range of_config[] = {{2, 1}}, above[] = {{1, 2}};
	struct raft_id other = {{9}};
	struct raft_run next = record(4, 5, RECORD_EVENTS);
	(void)state;
	REFUSED((.seq = 3, .term = 5, .vote = me, KNOWN), next);
	REFUSED((.seq = 2, .term = 4, KNOWN), next);
	REFUSED((.seq = 2, .term = 5, .vote = other, KNOWN), next);
	REFUSED((.seq = 2, .term = 5, KNOWN), next);
	REFUSED((.seq = 2, .term = 6, .commit = 1, .cover = {2, 1}), next);
	REFUSED((.seq = 2, .term = 6, .commit = 2, .cover = {1, 1}), next);
	REFUSED((.seq = 2, .term = 6, .commit = 2, .cover = {2, 2}), next);
	REFUSED((.seq = 2, .term = 6, KNOWN, .truncate = 2), record(2, 5, RECORD_EVENTS));
	REFUSED((.seq = 2, .term = 6, KNOWN, .truncate = 5), next);
	REFUSED((.seq = 2, .term = 6, KNOWN), record(5, 6, RECORD_EVENTS));
	REFUSED((.seq = 2, .term = 6, KNOWN), record(3, 6, RECORD_EVENTS));
	REFUSED((.seq = 2, .term = 6, KNOWN), record(4, 7, RECORD_EVENTS));
	REFUSED((.seq = 2, .term = 6, KNOWN), record(4, 4, RECORD_EVENTS));
	REFUSED((.seq = 2, .term = 6, KNOWN), holes(4, 6, 1));
	REFUSED((.seq = 2, .term = 6, .commit = 5, .cover = {2, 1}), next);
	REFUSED((.seq = 2, .term = 6, .commit = 3, .cover = {3, 5}, .holes = of_config,
		    .hole_count = 1),
	    next);
	REFUSED((.seq = 2, .term = 6, KNOWN, .holes = above, .hole_count = 1), next);
}

static void a_record_beyond_the_bytes_that_were_told_is_refused(void **state)
{
	uint8_t head[JOURNAL_RECORD_HEAD];
	struct writer w = writer_of(head, sizeof(head));
	(void)state;
	begin_refusal();
	send_txn(&(struct journal_txn){2, 6, {0}, 2, 2, 1, 0, RECORD_HEADER_SIZE + 3, 1000});
	journal_put_record(&w, &(struct journal_record){4, 6, RECORD_EVENTS, {0}});
	journal_link_send(&link_, head, w.len, slice_str("aaaa"));
	end_refusal(RMQ_E_PROTOCOL);
}

/* The exit status that plain OPEN comes to, 0: opened. */
static int open_alone(void)
{
	static const struct journal_link_host host = {.frame = on_frame, .lost = on_lost};
	struct journal_opened_info info;
	int fd = serve_child();
	journal_link_attach(&link_, &host, fd);
	(void)journal_link_open(&link_, false, &info);
	return stop();
}

static void a_directory_of_a_cluster_cannot_be_opened_alone(void **state)
{
	(void)state;
	start();
	assert_int_equal(stop(), 0);
	assert_int_equal(open_alone(), 0);
	start();
	send_store((struct raft_store){.seq = 1, .term = 9, .vote = me}, NULL, 0);
	wait_stored(1);
	assert_int_equal(stop(), 0);
	assert_int_equal(open_alone(), RMQ_E_CONFIG);
}

static void what_one_node_stored_stays_and_is_committed(void **state)
{
	struct store *s;
	uint8_t *payload;
	(void)state;
	assert_int_equal(store_open(dir, &s, NULL), RMQ_E_OK);
	assert_int_equal(store_begin(s), RMQ_E_OK);
	for (uint64_t i = 1; i <= 3; i++) {
		struct record_header h = {i == 2 ? RECORD_END : RECORD_EVENTS, i, 4};
		assert_int_equal(store_reserve(s, &h, 1, &payload), RMQ_E_OK);
		*payload = 'x';
		assert_int_equal(store_seal(s), RMQ_E_OK);
	}
	assert_int_equal(store_commit(s), RMQ_E_OK);
	store_close(s);
	struct journal_opened_info info = start();
	assert_int_equal(info.checkpoint, 2);
	load();
	assert_false(replicated);
	assert_begin(4, 3, 3, 1);
	unload();
	STORE((.seq = 1, .term = 5, .commit = 4), config(4, 5, "a"), record(5, 5, RECORD_END));
	STORE((.seq = 2, .term = 6, .commit = 4, .truncate = 5), record(5, 6, RECORD_NOOP));
	wait_stored(2);
	assert_int_equal(stop(), 0);
	info = start();
	assert_int_equal(info.checkpoint, 2);
	assert_int_equal(stop(), 0);
	load();
	assert_begin(6, 4, 5, 3);
	unload();
}

static void what_fits_is_told_with_what_is_stored(void **state)
{
	(void)state;
	start();
	fits = (struct journal_fits){0};
	STORE(
	    (.seq = 1, .term = 5, .commit = 1), config(1, 5, "a"), record(2, 5, RECORD_EVENTS));
	wait_stored(1);
	while (fits.n < 1)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(fits.n, 1);
	/* No sender is held up by less. */
	assert_true(fits.large > RAFT_WINDOW_BYTES);
	assert_true(fits.ordinary >= fits.large && fits.small >= fits.ordinary);
	assert_int_equal(stop(), 0);
}

static void the_newest_checkpoint_may_become_a_hole(void **state)
{
	(void)state;
	start();
	STORE((.seq = 1, .term = 5, .commit = 4), config(1, 5, "a"), record(2, 5, RECORD_END),
	    record(3, 5, RECORD_END), record(4, 5, RECORD_EVENTS));
	struct hole_range newest = {3, 1};
	send_store((struct raft_store){.seq = 2,
		       .term = 5,
		       .commit = 4,
		       .cover = {9, 5},
		       .holes = &newest,
		       .hole_count = 1},
	    NULL, 0);
	wait_stored(2);
	assert_int_equal(stop(), 0);
	assert_int_equal(start().checkpoint, 2);
	assert_int_equal(stop(), 0);
}

/* ---- bad records ---- */

/* Each copy of these bytes in the data file gets `to` at its place `at`. */
static void rot(const char *bytes, size_t len, int at, char to)
{
	static char file[1 << 20];
	char path[128];
	snprintf(path, sizeof(path), "%s/data.mdb", dir);
	int fd = open(path, O_RDWR);
	ssize_t size = pread(fd, file, sizeof(file), 0);
	unsigned found = 0;
	for (char *p = file; size > 0 && (p = memmem(p, (size_t)(file + size - p), bytes, len));
	     p++, found++)
		assert_int_equal(pwrite(fd, &to, 1, p - file + at), 1);
	close(fd);
	assert_true(found > 0);
}

/* Where the record `from` stands in the data file, `to` is written: both of a payload like this. */
static void forge(struct record_header from, struct record_header to, const char *payload)
{
	uint8_t old[RECORD_HEADER_SIZE + 64], new[sizeof(old)];
	size_t len = RECORD_HEADER_SIZE + strlen(payload);

	memcpy(old + RECORD_HEADER_SIZE, payload, len - RECORD_HEADER_SIZE);
	memcpy(new, old, len);
	record_seal(old, &from, len - RECORD_HEADER_SIZE);
	record_seal(new, &to, len - RECORD_HEADER_SIZE);
	for (int i = 0; i < RECORD_HEADER_SIZE; i++) {
		if (old[i] != new[i])
			rot((const char *)old, len, i, (char)new[i]);
		old[i] = new[i];
	}
}

static void send_mend(uint64_t seq, struct raft_run mend, const char *payload)
{
	struct raft_store s = {.seq = seq, .term = 5, .commit = 3, .mend = &mend};
	struct slice bytes = slice_str(payload);
	mend.bytes = (uint32_t)bytes.len;
	replica_log_store(&link_, &s, seq, &bytes);
}

static enum rmq_error get(uint64_t index, const char *payload)
{
	struct record_header h;
	struct slice bytes;
	enum rmq_error err = store_reader_get(reader, index, &h, &bytes);
	if (!err)
		assert_true(slice_eq(bytes, slice_str(payload)));
	return err;
}

static unsigned marked(uint64_t index)
{
	unsigned kind = 99;
	assert_int_equal(store_reader_marked(reader, index, &kind), RMQ_E_OK);
	return kind;
}

static void a_bad_record_is_replaced_and_no_other_one(void **state)
{
	struct store_state before;
	(void)state;
	start();
	STORE((.seq = 1, .term = 5, .commit = 3), record(1, 4, RECORD_EVENTS),
	    record(2, 5, RECORD_END), holes(3, 5, 1), record(4, 5, RECORD_EVENTS));
	wait_stored(1);
	assert_int_equal(stop(), 0);
	rot("aaaa", 4, 2, 'x');
	rot("bbbb", 4, 0, 'x');
	load();
	assert_int_equal(get(1, ""), RMQ_E_CORRUPT);
	assert_int_equal(get(2, ""), RMQ_E_CORRUPT);
	assert_int_equal(marked(1), 0);
	assert_int_equal(marked(2), RECORD_END);
	assert_int_equal(marked(9), 0);
	assert_int_equal(store_reader_state(reader, &before), RMQ_E_OK);
	unload();
	start();
	send_mend(1, record(1, 4, RECORD_EVENTS), "aaaa");
	send_mend(2, record(2, 5, RECORD_END), "longer than it was");
	/* By now it is good; and a hole stays one. */
	send_mend(3, record(1, 4, RECORD_EVENTS), "zzzz");
	send_mend(4, record(3, 5, RECORD_EVENTS), "zzzz");
	wait_stored(4);
	assert_int_equal(stop(), 0);
	struct store_state after;
	load();
	assert_int_equal(get(1, "aaaa"), RMQ_E_OK);
	assert_int_equal(get(2, "longer than it was"), RMQ_E_OK);
	assert_int_equal(get(3, ""), RMQ_E_NOTHING);
	assert_int_equal(store_reader_state(reader, &after), RMQ_E_OK);
	assert_int_equal(after.records, before.records);
	assert_int_equal(after.bytes, before.bytes + strlen("longer than it was") - 4);
	unload();
}

static void a_record_of_another_term_than_the_log_is_bad(void **state)
{
	static struct replica_log_runs runs;
	uint64_t bad;
	(void)state;
	start();
	STORE((.seq = 1, .term = 5, .commit = 3), record(1, 4, RECORD_EVENTS),
	    record(2, 4, RECORD_EVENTS), record(3, 5, RECORD_EVENTS));
	wait_stored(1);
	assert_int_equal(stop(), 0);
	forge((struct record_header){RECORD_EVENTS, 2, 4},
	    (struct record_header){RECORD_EVENTS, 2, 5}, "bbbb");
	load();
	assert_int_equal(get(2, "bbbb"), RMQ_E_OK);
	assert_int_equal(replica_log_read(reader, 1, 3, 99, &runs, &bad), RMQ_E_OK);
	assert_int_equal(runs.count, 1);
	assert_int_equal(bad, 2);
	assert_int_equal(replica_log_read(reader, 2, 3, 99, &runs, &bad), RMQ_E_CORRUPT);
	assert_int_equal(bad, 2);
	unload();
	start();
	send_mend(1, record(2, 4, RECORD_EVENTS), "bbbb");
	wait_stored(1);
	assert_int_equal(stop(), 0);
	load();
	assert_int_equal(replica_log_read(reader, 1, 3, 99, &runs, &bad), RMQ_E_OK);
	assert_int_equal(runs.count, 3);
	unload();
}

static void what_replaces_a_record_is_committed_and_of_its_term_and_kind(void **state)
{
	static const struct raft_run others[] = {
	    {4, 5, 1, 4, RECORD_EVENTS, NULL},	/* not committed */
	    {1, 5, 1, 4, RECORD_EVENTS, NULL},	/* of another term */
	    {2, 5, 1, 4, RECORD_EVENTS, NULL},	/* an END is there */
	    {1, 4, 1, 4, RECORD_CONFIG, NULL}}; /* and here no configuration */
	(void)state;
	start();
	STORE((.seq = 1, .term = 5, .commit = 3), record(1, 4, RECORD_EVENTS),
	    record(2, 5, RECORD_END), record(3, 5, RECORD_EVENTS), record(4, 5, RECORD_EVENTS));
	wait_stored(1);
	assert_int_equal(stop(), 0);
	rot("aaaa", 4, 0, 'x');
	rot("bbbb", 4, 0, 'x');
	rot("dddd", 4, 0, 'x');
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		start();
		send_mend(1, others[i], "aaaa");
		wait_refused(RMQ_E_PROTOCOL);
	}
}

/* Its kind is in its bytes, and which records are configurations and ENDs is known without them. */
static void a_bad_record_may_become_a_hole(void **state)
{
	static const char head[] = {2, RECORD_EVENTS, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0};
	struct hole_range all = {1, 1};
	(void)state;
	start();
	STORE((.seq = 1, .term = 5, .commit = 3), record(1, 5, RECORD_EVENTS),
	    record(2, 5, RECORD_END), record(3, 5, RECORD_EVENTS));
	wait_stored(1);
	assert_int_equal(stop(), 0);
	rot(head, sizeof(head), 1, RECORD_CONFIG);
	start();
	send_store((struct raft_store){.seq = 1,
		       .term = 5,
		       .commit = 3,
		       .cover = {2, 5},
		       .holes = &all,
		       .hole_count = 1},
	    NULL, 0);
	wait_stored(1);
	assert_int_equal(stop(), 0);
	load();
	assert_int_equal(get(1, ""), RMQ_E_NOTHING);
	unload();
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(what_was_stored_is_found_at_the_next_start),
	    TEST(a_vote_alone_is_stored),
	    TEST(how_the_node_ended_is_kept),
	    TEST(truncation_takes_back_records_terms_configurations_and_checkpoints),
	    TEST(holes_are_appended_with_their_term_and_made_below_the_cover),
	    TEST(reading_is_bounded_but_gives_one_record_at_least),
	    TEST(a_transaction_that_is_cut_leaves_no_trace),
	    TEST(what_no_correct_node_sends_is_refused),
	    TEST(a_record_beyond_the_bytes_that_were_told_is_refused),
	    TEST(a_directory_of_a_cluster_cannot_be_opened_alone),
	    TEST(what_one_node_stored_stays_and_is_committed),
	    TEST(what_fits_is_told_with_what_is_stored),
	    TEST(the_newest_checkpoint_may_become_a_hole),
	    TEST(a_bad_record_is_replaced_and_no_other_one),
	    TEST(a_record_of_another_term_than_the_log_is_bad),
	    TEST(what_replaces_a_record_is_committed_and_of_its_term_and_kind),
	    TEST(a_bad_record_may_become_a_hole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
