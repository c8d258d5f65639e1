/* The data directory: what the owner commits, readers see, and nothing else. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/store/store.h"

static char dir[64];

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/rmq-test-store-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[128];
	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static const char *in_dir(const char *name)
{
	static char path[128];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static struct store *create(void)
{
	struct store *s;
	assert_int_equal(store_create(dir, NULL), RMQ_E_OK);
	assert_int_equal(store_open(dir, &s, NULL), RMQ_E_OK);
	return s;
}

static void append(struct store *s, enum record_kind kind, size_t len, uint8_t fill)
{
	uint8_t *payload;
	struct record_header h = {kind, store_state(s)->next, 1};
	assert_int_equal(store_reserve(s, &h, len, &payload), RMQ_E_OK);
	memset(payload, fill, len);
	assert_int_equal(store_seal(s), RMQ_E_OK);
}

/* Records 1 … count, each of `len` bytes that are its index, in one commit. */
static void append_many(struct store *s, unsigned count, size_t len)
{
	assert_int_equal(store_begin(s), RMQ_E_OK);
	for (unsigned i = 0; i < count; i++)
		append(s, RECORD_EVENTS, len, (uint8_t)store_state(s)->next);
	assert_int_equal(store_commit(s), RMQ_E_OK);
}

static struct store_reader *reader(void)
{
	struct store_reader *r;
	assert_int_equal(store_reader_open(dir, &r, NULL), RMQ_E_OK);
	assert_int_equal(store_reader_begin(r), RMQ_E_OK);
	return r;
}

static void committed_records_are_read_back(void **state)
{
	(void)state;
	struct store *s = create();
	append_many(s, 3, 100);
	append_many(s, 2, RECORD_FILL);
	assert_int_equal(store_state(s)->next, 6);
	store_close(s);

	struct store_reader *r = reader();
	for (uint64_t i = 1; i <= 5; i++) {
		struct record_header h;
		struct slice payload;
		assert_int_equal(store_reader_get(r, i, &h, &payload), RMQ_E_OK);
		assert_int_equal(h.index, i);
		assert_int_equal(h.term, 1);
		assert_int_equal(payload.len, i <= 3 ? 100 : RECORD_FILL);
		assert_int_equal(payload.data[payload.len - 1], i);
	}
	struct record_header h;
	struct slice payload;
	assert_int_equal(store_reader_get(r, 6, &h, &payload), RMQ_E_NOTHING);
	assert_int_equal(store_reader_next(r, 6, &h, &payload), RMQ_E_NOTHING);
	store_reader_close(r);
}

static void what_is_not_committed_is_not_there(void **state)
{
	(void)state;
	struct store *s = create();
	append_many(s, 1, 10);
	assert_int_equal(store_begin(s), RMQ_E_OK);
	append(s, RECORD_EVENTS, 10, 2);
	store_close(s);

	assert_int_equal(store_open(dir, &s, NULL), RMQ_E_OK);
	assert_int_equal(store_state(s)->next, 2);
	assert_int_equal(store_state(s)->records, 1);
	store_close(s);
}

static void a_dropped_record_leaves_nothing(void **state)
{
	(void)state;
	uint8_t *payload;
	struct store *s = create();
	assert_int_equal(store_begin(s), RMQ_E_OK);
	append(s, RECORD_EVENTS, 20000, 1);
	struct record_header h = {RECORD_EVENTS, 2, 1};
	assert_int_equal(store_reserve(s, &h, 60000, &payload), RMQ_E_OK);
	assert_int_equal(store_drop(s), RMQ_E_OK);
	append(s, RECORD_EVENTS, 30, 2);
	assert_int_equal(store_commit(s), RMQ_E_OK);
	store_close(s);

	struct slice got;
	struct store_reader *r = reader();
	assert_int_equal(store_reader_get(r, 2, &h, &got), RMQ_E_OK);
	assert_int_equal(got.len, 30);
	struct store_state st;
	assert_int_equal(store_reader_state(r, &st), RMQ_E_OK);
	assert_int_equal(st.records, 2);
	assert_int_equal(st.bytes, 20000 + 30 + 2 * RECORD_HEADER_SIZE);
	store_reader_close(r);
}

static void state_outlives_its_records(void **state)
{
	(void)state;
	uint64_t first = 1;
	unsigned deleted;
	struct store *s = create();
	append_many(s, 4, 10);
	assert_int_equal(store_begin(s), RMQ_E_OK);
	append(s, RECORD_END, 16, 0);
	store_set_term(s, 7);
	assert_int_equal(store_delete(s, &first, 6, 100, &deleted), RMQ_E_OK);
	assert_int_equal(deleted, 5);
	assert_int_equal(store_commit(s), RMQ_E_OK);
	store_close(s);

	assert_int_equal(store_open(dir, &s, NULL), RMQ_E_OK);
	assert_int_equal(store_state(s)->next, 6);
	assert_int_equal(store_state(s)->term, 7);
	assert_int_equal(store_state(s)->checkpoint, 5);
	assert_int_equal(store_state(s)->records, 0);
	assert_int_equal(store_state(s)->bytes, 0);
	assert_int_equal(store_first(s, &first), RMQ_E_OK);
	assert_int_equal(first, 0);
	store_close(s);
}

static void holes_are_made_in_bounded_pieces_and_skipped(void **state)
{
	(void)state;
	uint64_t first = 2;
	unsigned deleted;
	struct store *s = create();
	append_many(s, 10, 3000);
	assert_int_equal(store_begin(s), RMQ_E_OK);
	assert_int_equal(store_delete(s, &first, 9, 4, &deleted), RMQ_E_OK);
	assert_int_equal(deleted, 4);
	assert_int_equal(first, 6);
	assert_int_equal(store_delete(s, &first, 9, 4, &deleted), RMQ_E_OK);
	assert_int_equal(deleted, 3);
	assert_int_equal(first, 9);
	first = 2;
	assert_int_equal(store_delete(s, &first, 9, 4, &deleted), RMQ_E_OK);
	assert_int_equal(deleted, 0);
	assert_int_equal(first, 9);
	assert_int_equal(store_commit(s), RMQ_E_OK);
	store_close(s);

	struct record_header h;
	struct slice payload;
	struct store_reader *r = reader();
	assert_int_equal(store_reader_get(r, 2, &h, &payload), RMQ_E_NOTHING);
	assert_int_equal(store_reader_next(r, 2, &h, &payload), RMQ_E_OK);
	assert_int_equal(h.index, 9);
	store_reader_close(r);
}

static void configuration_records_never_become_holes(void **state)
{
	(void)state;
	uint64_t first = 1;
	unsigned deleted;
	struct store *s = create();
	assert_int_equal(store_begin(s), RMQ_E_OK);
	append(s, RECORD_CONFIG, 5, 1);
	append(s, RECORD_EVENTS, 5, 1);
	assert_int_equal(store_delete(s, &first, 3, 10, &deleted), RMQ_E_PROTOCOL);
	store_close(s);
}

static void a_new_cluster_has_no_configuration_of_the_old_one(void **state)
{
	(void)state;
	struct record_header h;
	struct slice payload;
	struct store *s = create();
	assert_int_equal(store_begin(s), RMQ_E_OK);
	assert_int_equal(store_make_replica(s), RMQ_E_OK);
	append(s, RECORD_CONFIG, 5, 1);
	append(s, RECORD_EVENTS, 5, 1);
	append(s, RECORD_CONFIG, 5, 1);
	append(s, RECORD_END, 5, 1);
	append(s, RECORD_CONFIG, 5, 1);
	assert_int_equal(store_delete_configs(s), RMQ_E_OK);
	assert_int_equal(store_delete_configs(s), RMQ_E_OK);
	append(s, RECORD_CONFIG, 5, 1);
	assert_int_equal(store_commit(s), RMQ_E_OK);
	assert_int_equal(store_state(s)->records, 3);
	assert_int_equal(store_state(s)->checkpoint, 4);
	store_close(s);

	struct store_reader *r = reader();
	assert_int_equal(store_reader_config(r, 1, &h, &payload), RMQ_E_OK);
	assert_int_equal(h.index, 6);
	assert_int_equal(store_reader_checkpoint(r, 1, &h, &payload), RMQ_E_OK);
	assert_int_equal(h.index, 4);
	assert_int_equal(store_reader_next(r, 1, &h, &payload), RMQ_E_OK);
	assert_int_equal(h.index, 2);
	store_reader_close(r);
}

static void checkpoints_are_found_one_after_the_other(void **state)
{
	(void)state;
	struct record_header h;
	struct slice payload;
	unsigned deleted;
	struct store *s = create();
	assert_int_equal(store_begin(s), RMQ_E_OK);
	assert_int_equal(store_make_replica(s), RMQ_E_OK);
	/* 1 and 2, 4 and 5, … are others; 3, 6, 9 are ENDs, and 3 becomes a hole. */
	for (unsigned i = 1; i <= 9; i++)
		append(s,
		    i % 3 == 0 ? RECORD_END
		    : i % 2    ? RECORD_EVENTS
			       : RECORD_CONFIG,
		    i, 0);
	uint64_t first = 3;
	assert_int_equal(store_delete(s, &first, 4, 1, &deleted), RMQ_E_OK);
	assert_int_equal(store_commit(s), RMQ_E_OK);
	store_close(s);

	struct store_reader *r = reader();
	assert_int_equal(store_reader_checkpoint(r, 1, &h, &payload), RMQ_E_OK);
	assert_int_equal(h.index, 6);
	assert_int_equal(payload.len, 6);
	assert_int_equal(store_reader_checkpoint(r, 6, &h, &payload), RMQ_E_OK);
	assert_int_equal(h.index, 6);
	assert_int_equal(store_reader_checkpoint(r, 7, &h, &payload), RMQ_E_OK);
	assert_int_equal(h.index, 9);
	assert_int_equal(store_reader_checkpoint(r, 10, &h, &payload), RMQ_E_NOTHING);
	store_reader_close(r);
}

static void term_boundaries_are_remembered(void **state)
{
	(void)state;
	uint8_t *payload;
	uint64_t index, term;
	struct store *s = create();
	static const uint64_t terms[] = {1, 1, 4, 4, 9};
	assert_int_equal(store_begin(s), RMQ_E_OK);
	for (size_t i = 0; i < 5; i++) {
		struct record_header h = {RECORD_EVENTS, i + 1, terms[i]};
		assert_int_equal(store_reserve(s, &h, 0, &payload), RMQ_E_OK);
		assert_int_equal(store_seal(s), RMQ_E_OK);
	}
	assert_int_equal(store_commit(s), RMQ_E_OK);
	store_close(s);

	struct store_reader *r = reader();
	assert_int_equal(store_reader_term(r, 1, &index, &term), RMQ_E_OK);
	assert_true(index == 1 && term == 1);
	assert_int_equal(store_reader_term(r, 2, &index, &term), RMQ_E_OK);
	assert_true(index == 3 && term == 4);
	assert_int_equal(store_reader_term(r, 4, &index, &term), RMQ_E_OK);
	assert_true(index == 5 && term == 9);
	assert_int_equal(store_reader_term(r, 6, &index, &term), RMQ_E_NOTHING);
	store_reader_close(r);
}

/* In a process of its own, as LMDB demands: exits with the error of opening it as the owner. */
static int open_elsewhere(void)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		struct store *s;
		_exit((int)store_open(dir, &s, NULL));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void there_is_one_owner_also_without_lmdbs_lock_file(void **state)
{
	(void)state;
	struct store *s = create();
	assert_int_equal(open_elsewhere(), RMQ_E_BUSY);
	assert_int_equal(unlink(in_dir("lock.mdb")), 0);
	assert_int_equal(open_elsewhere(), RMQ_E_BUSY);
	store_close(s);
	assert_int_equal(open_elsewhere(), RMQ_E_OK);
}

static void a_reader_beside_the_owner_sees_what_was_committed_at_begin(void **state)
{
	(void)state;
	int go[2], done[2], status;
	char c = 0;
	assert_int_equal(store_create(dir, NULL), RMQ_E_OK);
	assert_int_equal(pipe(go), 0);
	assert_int_equal(pipe(done), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct store_reader *r = reader();
		struct record_header h;
		struct slice payload;
		int bad = store_reader_get(r, 1, &h, &payload) != RMQ_E_NOTHING;
		bad |= write(done[1], &c, 1) != 1 || read(go[0], &c, 1) != 1;
		bad |= store_reader_get(r, 1, &h, &payload) != RMQ_E_NOTHING;
		store_reader_end(r);
		bad |= store_reader_begin(r) != RMQ_E_OK;
		bad |= store_reader_get(r, 1, &h, &payload) != RMQ_E_OK;
		_exit(bad);
	}
	struct store *s;
	assert_int_equal(read(done[0], &c, 1), 1);
	assert_int_equal(store_open(dir, &s, NULL), RMQ_E_OK);
	append_many(s, 1, 50000);
	assert_int_equal(write(go[1], &c, 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	store_close(s);
}

static void a_directory_is_made_only_where_nothing_is(void **state)
{
	(void)state;
	struct store *s;
	struct reason why;
	assert_int_equal(store_open(dir, &s, &why), RMQ_E_CONFIG);
	assert_int_equal(close(open(in_dir("mine"), O_CREAT | O_WRONLY, 0600)), 0);
	assert_int_equal(store_create(dir, &why), RMQ_E_EXISTS);
	assert_string_equal(why.text, "is not empty: it holds mine");
	assert_int_equal(unlink(in_dir("mine")), 0);
	assert_int_equal(store_create(dir, NULL), RMQ_E_OK);
	assert_int_equal(store_create(dir, NULL), RMQ_E_EXISTS);
}

static void an_init_that_did_not_finish_is_done_again(void **state)
{
	(void)state;
	assert_int_equal(close(open(in_dir("identity.new"), O_CREAT | O_WRONLY, 0600)), 0);
	assert_int_equal(close(open(in_dir("data.mdb"), O_CREAT | O_WRONLY, 0600)), 0);
	assert_int_equal(store_create(dir, NULL), RMQ_E_OK);
	assert_int_equal(open_elsewhere(), RMQ_E_OK);
}

static void data_without_its_identity_is_not_made_anew(void **state)
{
	(void)state;
	assert_int_equal(store_create(dir, NULL), RMQ_E_OK);
	assert_int_equal(unlink(in_dir("identity")), 0);
	assert_int_equal(store_create(dir, NULL), RMQ_E_EXISTS);
	assert_int_equal(open_elsewhere(), RMQ_E_CORRUPT);
}

static void a_lost_cut_or_foreign_data_file_is_never_a_new_empty_queue(void **state)
{
	(void)state;
	struct stat st;
	struct store *s = create();
	append_many(s, 20, 60000);
	store_close(s);
	assert_int_equal(stat(in_dir("data.mdb"), &st), 0);
	assert_int_equal(truncate(in_dir("data.mdb"), st.st_size / 2), 0);
	assert_int_equal(open_elsewhere(), RMQ_E_CORRUPT);
	assert_int_equal(truncate(in_dir("data.mdb"), 100), 0);
	assert_int_equal(open_elsewhere(), RMQ_E_CORRUPT);
	assert_int_equal(truncate(in_dir("data.mdb"), 0), 0);
	assert_int_equal(open_elsewhere(), RMQ_E_CORRUPT);
	assert_int_equal(unlink(in_dir("data.mdb")), 0);
	assert_int_equal(open_elsewhere(), RMQ_E_CORRUPT);
	assert_int_equal(access(in_dir("data.mdb"), F_OK), -1);
}

static void set_identity(const char *text)
{
	FILE *f = fopen(in_dir("identity"), "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void the_identity_has_to_be_the_data_files(void **state)
{
	(void)state;
	assert_int_equal(store_create(dir, NULL), RMQ_E_OK);
	set_identity("format 2\nincarnation 00112233445566778899aabbccddeeff\n");
	assert_int_equal(open_elsewhere(), RMQ_E_CORRUPT);
	set_identity("format 3\nincarnation 00112233445566778899aabbccddeeff\n");
	assert_int_equal(open_elsewhere(), RMQ_E_VERSION);
	set_identity("format 2\nincarnation 0011223344556677\n");
	assert_int_equal(open_elsewhere(), RMQ_E_CORRUPT);
	set_identity("");
	assert_int_equal(open_elsewhere(), RMQ_E_CORRUPT);
}

static void a_changed_byte_is_found(void **state)
{
	(void)state;
	struct store *s = create();
	append_many(s, 3, 60000);
	store_close(s);
	int fd = open(in_dir("data.mdb"), O_RDWR);
	uint8_t page[4096];
	off_t at = 0;
	while (pread(fd, page, sizeof(page), at) == (ssize_t)sizeof(page) &&
	       !(page[0] == 2 && page[1] == 2 && page[4095] == 2))
		at += (off_t)sizeof(page);
	assert_int_equal(pwrite(fd, "x", 1, at + 1000), 1);
	close(fd);

	struct record_header h;
	struct slice payload;
	struct store_reader *r = reader();
	assert_int_equal(store_reader_get(r, 1, &h, &payload), RMQ_E_OK);
	assert_int_equal(store_reader_get(r, 2, &h, &payload), RMQ_E_CORRUPT);
	h.index = 0;
	assert_int_equal(store_reader_next(r, 2, &h, &payload), RMQ_E_CORRUPT);
	assert_int_equal(h.index, 2);
	assert_int_equal(store_reader_next(r, 3, &h, &payload), RMQ_E_OK);
	store_reader_close(r);
}

static void deleted_pages_are_used_again(void **state)
{
	(void)state;
	struct store_pages pages;
	uint64_t first = 1;
	unsigned deleted;
	struct store *s = create();
	append_many(s, 20, RECORD_FILL);
	assert_int_equal(store_pages(s, &pages), RMQ_E_OK);
	assert_true(pages.used >= 20 * 16);
	assert_int_equal(store_begin(s), RMQ_E_OK);
	assert_int_equal(store_delete(s, &first, 21, 100, &deleted), RMQ_E_OK);
	assert_int_equal(store_commit(s), RMQ_E_OK);
	assert_int_equal(store_pages(s, &pages), RMQ_E_OK);
	assert_true(pages.used < 30);
	/* Not by the next commit, but by the one after it. */
	assert_true(pages.free >= 19 * 16 && pages.usable < 19 * 16);
	append_many(s, 1, 10);
	assert_int_equal(store_pages(s, &pages), RMQ_E_OK);
	assert_true(pages.free_runs >= 19 * 16);
	assert_true(pages.free_long_runs >= 8 * 36 && pages.free_long_runs <= pages.free);
	assert_int_equal(pages.free_long_runs % 36, 0);
	assert_int_equal(store_pages(s, &pages), RMQ_E_OK);
	uint64_t size = pages.file_bytes;
	append_many(s, 10, RECORD_FILL);
	assert_int_equal(store_pages(s, &pages), RMQ_E_OK);
	assert_int_equal(pages.file_bytes, size);
	store_close(s);
}

static void pages_written_in_advance_are_the_tail(void **state)
{
	(void)state;
	struct store *s = create();
	append_many(s, 1, 10);
	uint64_t tail = store_tail(s);
	assert_int_equal(store_extend(s, 1 << 20), RMQ_E_OK);
	assert_int_equal(store_tail(s), tail + (1 << 20) / store_page_size(s));
	tail = store_tail(s);
	append_many(s, 4, RECORD_FILL);
	assert_true(store_tail(s) >= tail - 4 * 16 - 8);
	assert_true(store_tail(s) <= tail - 4 * 16);
	assert_int_equal(store_record_pages(s, RECORD_FILL), 16);
	assert_int_equal(store_record_pages(s, RECORD_PAYLOAD_MAX), 36);
	store_close(s);
}

/* In a child, which stands for a reader of another container: LMDB's lock of process `pid`. */
static pid_t lock_number(pid_t pid)
{
	int ready[2];
	char byte;
	assert_int_equal(pipe(ready), 0);
	pid_t child = fork();
	if (child == 0) {
		struct flock lock = {.l_type = F_WRLCK, .l_start = pid, .l_len = 1};
		int fd = open(in_dir("lock.mdb"), O_RDWR);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (fcntl(fd, F_SETLK, &lock) == 0 && write(ready[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return child;
}

static void a_reader_with_our_number_in_another_container_is_told(void **state)
{
	(void)state;
	struct store_reader *r;
	struct store *s;
	struct reason why = {""};
	store_close(create());
	pid_t child = lock_number(getpid());
	assert_int_equal(store_reader_open(dir, &r, &why), RMQ_E_BUSY);
	assert_non_null(strstr(why.text, "another container"));
	assert_int_equal(store_open(dir, &s, &why), RMQ_E_BUSY);
	assert_non_null(strstr(why.text, "another container"));
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(store_reader_open(dir, &r, &why), RMQ_E_OK);
	store_reader_close(r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(committed_records_are_read_back),
	    TEST(what_is_not_committed_is_not_there),
	    TEST(a_dropped_record_leaves_nothing),
	    TEST(state_outlives_its_records),
	    TEST(holes_are_made_in_bounded_pieces_and_skipped),
	    TEST(configuration_records_never_become_holes),
	    TEST(a_new_cluster_has_no_configuration_of_the_old_one),
	    TEST(checkpoints_are_found_one_after_the_other),
	    TEST(term_boundaries_are_remembered),
	    TEST(there_is_one_owner_also_without_lmdbs_lock_file),
	    TEST(a_reader_beside_the_owner_sees_what_was_committed_at_begin),
	    TEST(a_reader_with_our_number_in_another_container_is_told),
	    TEST(a_directory_is_made_only_where_nothing_is),
	    TEST(an_init_that_did_not_finish_is_done_again),
	    TEST(data_without_its_identity_is_not_made_anew),
	    TEST(a_lost_cut_or_foreign_data_file_is_never_a_new_empty_queue),
	    TEST(the_identity_has_to_be_the_data_files),
	    TEST(a_changed_byte_is_found),
	    TEST(deleted_pages_are_used_again),
	    TEST(pages_written_in_advance_are_the_tail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
