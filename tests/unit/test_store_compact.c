/*
 * A data directory is compacted beside its owner and readers, which go on in the new file.  Each is
 * a process of its own, as a process opens a directory only once: this one is the owner, and
 * helpers do as they are told by a letter.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/store/store.h"

static char dir[64];

struct helper {
	pid_t pid;
	int fd;
};

/* What a reader sees: the newest index, and the sum of the indexes of all records. */
struct view {
	enum rmq_error err;
	uint64_t next, sum, count;
	bool deleted; /* it has a file open that has no name */
};

static const char *in_dir(const char *name)
{
	static char path[128];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static bool has_deleted_file(void)
{
	char link[64], path[256];
	for (int fd = 3; fd < 64; fd++) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		ssize_t n = readlink(link, path, sizeof(path) - 1);
		if (n > 0 && (path[n] = '\0', strstr(path, "data.mdb")) &&
		    strstr(path, "(deleted)"))
			return true;
	}
	return false;
}

/* Every record is filled with its index. */
static struct view look(struct store_reader *r)
{
	struct view v = {0};
	struct store_state state;
	struct record_header h;
	struct slice payload;
	v.err = store_reader_state(r, &state);
	v.next = state.next;
	for (uint64_t at = 1; !v.err; at = h.index + 1) {
		v.err = store_reader_next(r, at, &h, &payload);
		if (v.err)
			break;
		v.sum += h.index;
		v.count++;
		for (size_t i = 0; i < payload.len; i += 1000)
			if (payload.data[i] != (uint8_t)h.index)
				v.err = RMQ_E_BUG;
	}
	if (v.err == RMQ_E_NOTHING)
		v.err = v.count == state.records ? RMQ_E_OK : RMQ_E_BUG;
	v.deleted = has_deleted_file();
	return v;
}

/* 'c': compacts; 'b': begins to read; 'l': looks; 'e': ends; 'o': owns, and begins a commit. */
_Noreturn static void help(int fd)
{
	struct store_reader *r = NULL;
	struct store *s = NULL;
	char letter;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(fd, &letter, 1) == 1) {
		struct view v = {0};
		if (letter == 'c')
			v.err = store_compact(dir, NULL);
		if (letter == 'b' && !r)
			v.err = store_reader_open(dir, &r, NULL);
		if (letter == 'b' && !v.err)
			v.err = store_reader_begin(r);
		if (letter == 'l')
			v = look(r);
		if (letter == 'e')
			store_reader_end(r);
		if (letter == 'o')
			v.err = store_open(dir, &s, NULL);
		if (letter == 'o' && !v.err)
			v.err = store_begin(s);
		if (write(fd, &v, sizeof(v)) != sizeof(v))
			_exit(1);
	}
	_exit(0);
}

static struct helper start(void)
{
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	pid_t pid = fork();
	if (pid == 0) {
		close(fds[0]);
		help(fds[1]);
	}
	close(fds[1]);
	return (struct helper){pid, fds[0]};
}

static struct view tell(struct helper h, char letter)
{
	struct view v;
	assert_int_equal(write(h.fd, &letter, 1), 1);
	assert_int_equal(read(h.fd, &v, sizeof(v)), sizeof(v));
	return v;
}

static struct helper compactor, early, late;

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/rmq-test-compact-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	compactor = start();
	early = start();
	late = start();
	return store_create(dir, NULL) ? -1 : 0;
}

static int teardown(void **state)
{
	char command[128];
	struct helper all[] = {compactor, early, late};
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		close(all[i].fd);
		kill(all[i].pid, SIGKILL);
		waitpid(all[i].pid, NULL, 0);
	}
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static struct store *owner(void)
{
	struct store *s;
	assert_int_equal(store_open(dir, &s, NULL), RMQ_E_OK);
	return s;
}

static void append(struct store *s, unsigned count, size_t len)
{
	assert_int_equal(store_begin(s), RMQ_E_OK);
	for (unsigned i = 0; i < count; i++) {
		uint8_t *payload;
		struct record_header h = {RECORD_EVENTS, store_state(s)->next, 1};
		assert_int_equal(store_reserve(s, &h, len, &payload), RMQ_E_OK);
		memset(payload, (uint8_t)h.index, len);
		assert_int_equal(store_seal(s), RMQ_E_OK);
	}
	assert_int_equal(store_commit(s), RMQ_E_OK);
}

static void dig(struct store *s, uint64_t first, uint64_t end)
{
	unsigned deleted;
	assert_int_equal(store_begin(s), RMQ_E_OK);
	assert_int_equal(store_delete(s, &first, end, UINT32_MAX, &deleted), RMQ_E_OK);
	assert_int_equal(store_commit(s), RMQ_E_OK);
}

static ino_t file(off_t *size)
{
	struct stat st;
	assert_int_equal(stat(in_dir("data.mdb"), &st), 0);
	*size = st.st_size;
	return st.st_ino;
}

static void sees(struct helper h, struct store *s, const char *what)
{
	const struct store_state *state = store_state(s);
	assert_int_equal(tell(h, 'b').err, RMQ_E_OK);
	struct view v = tell(h, 'l');
	if (v.err || v.next != state->next || v.count != state->records)
		print_message("%s: %s, next %llu of %llu, %llu records of %llu\n", what,
		    error_text(v.err), (unsigned long long)v.next,
		    (unsigned long long)state->next, (unsigned long long)v.count,
		    (unsigned long long)state->records);
	assert_int_equal(v.err, RMQ_E_OK);
	assert_int_equal(v.next, state->next);
	assert_int_equal(v.count, state->records);
	tell(h, 'e');
}

/* After each number of commits, as LMDB's two meta pages take turns. */
static void the_owner_and_readers_go_on_in_the_new_file(void **state)
{
	(void)state;
	off_t before, after;
	struct store *s = owner();
	append(s, 20, RECORD_FILL);
	sees(early, s, "at first");
	for (unsigned round = 0; round < 12; round++) {
		for (unsigned i = 0; i < round % 5; i++)
			append(s, 2, 100 + 20000 * i);
		dig(s, store_state(s)->next - 3, store_state(s)->next - 2);
		sees(early, s, "before");
		ino_t old = file(&before);
		assert_int_equal(tell(compactor, 'c').err, RMQ_E_OK);
		assert_int_not_equal(file(&after), old);
		assert_true(after <= before + (64 << 10));
		sees(early, s, "after");
		if (round % 3 == 0) /* twice with nothing between */
			assert_int_equal(tell(compactor, 'c').err, RMQ_E_OK);
		sees(late, s, "after, one that has just come");
		append(s, 1, 1000);
		assert_false(has_deleted_file());
		sees(early, s, "after a commit");
		sees(late, s, "after a commit, one that has just come");
		assert_false(tell(early, 'l').deleted);
		append(s, 1, 1000);
		sees(late, s, "after two");
		if (round % 4 == 3) { /* a new owner, while readers have it open */
			store_close(s);
			s = owner();
		}
	}
	store_close(s);
}

static void a_read_that_has_begun_goes_on_in_the_old_file(void **state)
{
	(void)state;
	struct store *s = owner();
	append(s, 50, 1000);
	assert_int_equal(tell(early, 'b').err, RMQ_E_OK);
	assert_int_equal(tell(compactor, 'c').err, RMQ_E_OK);
	dig(s, 1, 40);
	for (unsigned i = 0; i < 20; i++)
		append(s, 10, RECORD_FILL);
	struct view v = tell(early, 'l');
	assert_int_equal(v.err, RMQ_E_OK);
	assert_int_equal(v.count, 50);
	tell(early, 'e');
	sees(early, s, "later");
	store_close(s);
}

/* As many transactions as there are: the copy must not have more. */
static void a_directory_that_is_new_is_compacted(void **state)
{
	(void)state;
	for (unsigned commits = 0; commits < 5; commits++) {
		assert_int_equal(tell(compactor, 'c').err, RMQ_E_OK);
		struct store *s = owner();
		assert_int_equal(tell(compactor, 'c').err, RMQ_E_OK);
		sees(late, s, "new");
		append(s, 1, 10);
		sees(late, s, "one more");
		store_close(s);
	}
}

static void free_pages_are_given_back_and_pages_ahead_are_kept(void **state)
{
	(void)state;
	off_t before, after;
	struct store *s = owner();
	for (unsigned i = 0; i < 30; i++)
		append(s, 100, RECORD_FILL);
	dig(s, 1, 3000);
	assert_int_equal(store_extend(s, 8 << 20), RMQ_E_OK);
	file(&before);
	assert_true(before > 190 << 20);
	assert_int_equal(tell(compactor, 'c').err, RMQ_E_OK);
	file(&after);
	assert_true(after < 90 << 20);
	append(s, 1, 10);
	assert_int_equal(store_switches(s), 1);
	assert_true(store_tail(s) * store_page_size(s) >= 79 << 20);
	store_close(s);
	/* Without an owner none are kept. */
	assert_int_equal(tell(compactor, 'c').err, RMQ_E_OK);
	file(&after);
	assert_true(after < 1 << 20);
}

static void another_file_under_the_name_ends_the_owner(void **state)
{
	(void)state;
	char command[256];
	struct store *s = owner();
	append(s, 3, 10);
	snprintf(command, sizeof(command), "cp %s/data.mdb %s/older", dir, dir);
	assert_int_equal(system(command), 0);
	append(s, 1, 10);
	snprintf(command, sizeof(command), "%s/older", dir);
	assert_int_equal(rename(command, in_dir("data.mdb")), 0);
	assert_int_equal(store_begin(s), RMQ_E_IO);
	assert_non_null(strstr(store_reason(s)->text, "removed or replaced"));
	store_close(s);
}

/* What the owner commits goes by another lock file then. */
static void a_lock_file_that_was_removed_is_noticed(void **state)
{
	(void)state;
	struct store *s = owner();
	append(s, 1, 10);
	assert_int_equal(unlink(in_dir("lock.mdb")), 0);
	assert_int_equal(tell(early, 'b').err, RMQ_E_OK);
	tell(early, 'e');
	append(s, 1, 10);
	assert_int_equal(tell(compactor, 'c').err, RMQ_E_BUSY);
	append(s, 1, 10);
	store_close(s);
}

static void one_that_was_killed_leaves_nothing_for_long(void **state)
{
	(void)state;
	struct store *s;
	assert_int_equal(close(open(in_dir("data.mdb.compact"), O_CREAT | O_WRONLY, 0600)), 0);
	s = owner();
	assert_int_equal(access(in_dir("data.mdb.compact"), F_OK), -1);
	int fd = open(in_dir("data.mdb.compact"), O_CREAT | O_WRONLY, 0600);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(tell(compactor, 'c').err, RMQ_E_BUSY);
	store_close(s);
	s = owner(); /* it is somebody's */
	assert_int_equal(access(in_dir("data.mdb.compact"), F_OK), 0);
	close(fd);
	assert_int_equal(tell(compactor, 'c').err, RMQ_E_OK);
	assert_int_equal(access(in_dir("data.mdb.compact"), F_OK), -1);
	store_close(s);
}

/* LMDB sets its number of transactions back to that of the file that the next owner has open. */
static void an_owner_that_died_within_a_commit_keeps_no_reader_in_the_old_file(void **state)
{
	(void)state;
	struct store *s = owner();
	for (unsigned i = 0; i < 40; i++)
		append(s, 1, 100);
	store_close(s);
	sees(early, s = owner(), "at first");
	store_close(s);
	assert_int_equal(tell(late, 'o').err, RMQ_E_OK);
	assert_int_equal(kill(late.pid, SIGKILL), 0);
	assert_int_equal(waitpid(late.pid, NULL, 0), late.pid);
	close(late.fd);
	late = start();
	assert_int_equal(tell(compactor, 'c').err, RMQ_E_OK);
	s = owner();
	for (unsigned i = 0; i < 4; i++) {
		append(s, 1, 100);
		sees(early, s, "after a commit of the next owner");
	}
	store_close(s);
}

static bool waits_for_a_lock(pid_t pid)
{
	char line[256], wanted[64];
	bool found = false;
	FILE *f = fopen("/proc/locks", "r");
	assert_non_null(f);
	snprintf(wanted, sizeof(wanted), "WRITE %d ", (int)pid);
	while (fgets(line, sizeof(line), f))
		found = found || (strstr(line, "-> FLOCK") && strstr(line, wanted));
	fclose(f);
	return found;
}

/* Of records that are looked for after a truncation. */
static void an_index_that_the_owner_makes_meanwhile_is_copied(void **state)
{
	(void)state;
	struct view v;
	uint8_t *payload;
	struct store *s = owner();
	append(s, 3, 10);
	assert_int_equal(store_begin(s), RMQ_E_OK);
	assert_int_equal(write(compactor.fd, "c", 1), 1);
	while (!waits_for_a_lock(compactor.pid))
		;
	assert_int_equal(store_make_replica(s), RMQ_E_OK);
	struct record_header h = {RECORD_END, store_state(s)->next, 1};
	assert_int_equal(store_reserve(s, &h, 0, &payload), RMQ_E_OK);
	assert_int_equal(store_seal(s), RMQ_E_OK);
	assert_int_equal(store_commit(s), RMQ_E_OK);
	assert_int_equal(read(compactor.fd, &v, sizeof(v)), sizeof(v));
	assert_int_equal(v.err, RMQ_E_OK);
	assert_int_equal(store_begin(s), RMQ_E_OK);
	assert_int_equal(store_switches(s), 1);
	assert_int_equal(store_truncate(s, h.index), RMQ_E_OK);
	assert_int_equal(store_state(s)->checkpoint, 0);
	assert_int_equal(store_commit(s), RMQ_E_OK);
	store_close(s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(the_owner_and_readers_go_on_in_the_new_file),
	    TEST(a_read_that_has_begun_goes_on_in_the_old_file),
	    TEST(a_directory_that_is_new_is_compacted),
	    TEST(free_pages_are_given_back_and_pages_ahead_are_kept),
	    TEST(another_file_under_the_name_ends_the_owner),
	    TEST(a_lock_file_that_was_removed_is_noticed),
	    TEST(an_owner_that_died_within_a_commit_keeps_no_reader_in_the_old_file),
	    TEST(an_index_that_the_owner_makes_meanwhile_is_copied),
	    TEST(one_that_was_killed_leaves_nothing_for_long),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
