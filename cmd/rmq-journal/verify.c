/*
 * verify: a child process walks the records and tells the parent by a pipe what it is
 * about to touch and what it found, so that a crash in LMDB is a finding and not the end.
 * Behind a crash, another child goes on.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "journal.h"
#include "mend.h"
#include "sys/store/guard.h"
#include "sys/store/store.h"
#include "verify.h"

/* A child that crashed so often without getting anywhere is not sent again. */
#define CRASHES_MAX 1000

enum message_type { AT, BAD, FAILED, COUNTS_DIFFER, DONE };
struct message {
	enum message_type type;
	enum rmq_error err;
	uint64_t index;
	struct reason why;
};

/* ---- the child ---- */

static void tell(int fd, enum message_type type, uint64_t index, enum rmq_error err,
    const struct reason *why)
{
	struct message m = {.type = type, .err = err, .index = index};
	if (why)
		m.why = *why;
	if (write(fd, &m, sizeof(m)) != (ssize_t)sizeof(m))
		_exit(1);
}

/* What keeps it from reading is not damage. */
static enum rmq_error begin(int fd, struct store_reader *r)
{
	enum rmq_error err = store_reader_begin(r);
	if (err && err != RMQ_E_CORRUPT) {
		tell(fd, FAILED, 0, err, NULL);
		_exit(0);
	}
	return err;
}

/* How many records of kind CONFIG their index knows. */
static uint64_t count_configs(struct store_reader *r)
{
	struct record_header h;
	struct slice payload;
	uint64_t configs = 0, next = 1;
	enum rmq_error err;
	while ((err = store_reader_config(r, next, &h, &payload)) != RMQ_E_NOTHING &&
	       h.index >= next) {
		configs++;
		next = h.index + 1;
	}
	return configs;
}

/* Whether the state tells of as many records and bytes as there are, at one moment. */
static void count(int fd, struct store_reader *r)
{
	struct store_state state;
	struct slice value;
	uint64_t index = 0, records = 0, bytes = 0, configs = 0;
	enum rmq_error err = begin(fd, r);
	if (!err)
		err = store_reader_state(r, &state);
	while (!err && (err = store_reader_raw(r, index + 1, &index, &value)) == RMQ_E_OK) {
		records++;
		bytes += value.len;
		if (value.len > 1 && value.data[1] == RECORD_CONFIG)
			configs++;
	}
	if (err == RMQ_E_NOTHING && configs != count_configs(r))
		err = RMQ_E_CORRUPT;
	store_reader_end(r);
	if (err != RMQ_E_NOTHING || records != state.records || bytes != state.bytes ||
	    index >= state.next)
		tell(fd, COUNTS_DIFFER, 0, RMQ_E_CORRUPT, NULL);
}

/* Of one record; its index is told before its bytes are touched. */
static enum rmq_error check_next(int fd, struct store_reader *r, uint64_t *index)
{
	struct record_header h;
	struct slice value, payload;
	enum rmq_error err = begin(fd, r);
	if (!err)
		err = store_reader_raw(r, *index + 1, index, &value);
	if (!err) {
		tell(fd, AT, *index, RMQ_E_OK, NULL);
		enum rmq_error bad = record_open(value, *index, &h, &payload);
		if (bad)
			tell(fd, BAD, *index, bad, NULL);
	}
	store_reader_end(r);
	return err;
}

/* Terms rise with the index, all of them were opened, and records have one. */
static void check_terms(int fd, struct store_reader *r)
{
	struct store_state state;
	uint64_t index = 0, term = 0, newest = 0;
	enum rmq_error err = begin(fd, r);
	if (!err)
		err = store_reader_state(r, &state);
	while (!err && (err = store_reader_term(r, index + 1, &index, &term)) == RMQ_E_OK) {
		if (term <= newest || term > state.term)
			err = RMQ_E_CORRUPT;
		newest = term;
	}
	store_reader_end(r);
	if (err != RMQ_E_NOTHING || (state.records > 0 && newest == 0))
		tell(fd, COUNTS_DIFFER, 0, RMQ_E_CORRUPT, NULL);
}

static void walk(int fd, const char *dir, uint64_t behind, bool first)
{
	struct store_reader *r;
	struct store_pages pages;
	struct reason why = {""};
	struct rlimit no_core = {0, 0};
	uint64_t index = behind;
	setrlimit(RLIMIT_CORE, &no_core);
	guard_off();
	enum rmq_error err = store_reader_open(dir, &r, &why);
	if (err) {
		tell(fd, FAILED, 0, err, &why);
		_exit(0);
	}
	while ((err = check_next(fd, r, &index)) == RMQ_E_OK)
		;
	if (err != RMQ_E_NOTHING)
		tell(fd, COUNTS_DIFFER, index, err, NULL);
	if (first) {
		count(fd, r);
		check_terms(fd, r);
		if (begin(fd, r) || store_reader_pages(r, &pages))
			tell(fd, COUNTS_DIFFER, 0, RMQ_E_CORRUPT, NULL);
	}
	store_reader_close(r);
	tell(fd, DONE, 0, RMQ_E_OK, NULL);
	_exit(0);
}

/* ---- the parent ---- */

static void add_bad(struct findings *f, uint64_t index, const char *what)
{
	if (f->count == f->cap) {
		size_t cap = f->cap ? 2 * f->cap : 64;
		uint64_t *bad = realloc(f->bad, cap * sizeof(*bad));
		if (!bad)
			abort();
		f->bad = bad;
		f->cap = cap;
	}
	f->bad[f->count++] = index;
	printf("%" PRIu64 "\t%s\n", index, what);
}

static void add_structure(struct findings *f, uint64_t behind, const char *what)
{
	f->structure = true;
	printf("%" PRIu64 "\t%s\n", behind, what);
}

/* Until the child ends.  *behind: the last record it was at.  RMQ_E_NOTHING: it has not said all. */
static enum rmq_error listen(int fd, struct findings *f, uint64_t *behind, struct reason *why)
{
	struct message m;
	while (read(fd, &m, sizeof(m)) == (ssize_t)sizeof(m)) {
		switch (m.type) {
		case AT:
			*behind = m.index;
			f->records++;
			break;
		case BAD:
			add_bad(f, m.index, error_text(m.err));
			if (m.err == RMQ_E_VERSION)
				f->unknown = m.index;
			break;
		case COUNTS_DIFFER:
			add_structure(f, m.index, "tree is damaged");
			break;
		case FAILED:
			*why = m.why;
			return m.err;
		case DONE:
			return RMQ_E_OK;
		}
	}
	return RMQ_E_NOTHING;
}

static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
#define CRASH_SIGNALS (sizeof(crash_signals) / sizeof(crash_signals[0]))

/*
 * Whether a child ended by what it read: the guard exits so at SIGBUS.  Any other end, as by
 * who kills when memory is short, says nothing of the record that it was at.
 */
static bool crashed(int status)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status) == error_exit(RMQ_E_CORRUPT);
	for (size_t i = 0; i < CRASH_SIGNALS; i++)
		if (WTERMSIG(status) == crash_signals[i])
			return true;
	return false;
}

/* Its parent is to see how it ended, whoever handles such signals otherwise, as a sanitizer does. */
static void crash_by_signal(void)
{
	for (size_t i = 0; i < CRASH_SIGNALS; i++)
		signal(crash_signals[i], SIG_DFL);
}

/*
 * One child's walk.  *behind: the last record it was at.  RMQ_E_OK: it came to the end;
 * RMQ_E_NOTHING: it crashed; else the directory cannot be read.
 */
static enum rmq_error send_child(
    const char *dir, struct findings *f, uint64_t *behind, bool first, struct reason *why)
{
	int fd[2], status;
	if (fflush(stdout) != 0 || pipe(fd) != 0)
		return reason_set(why, RMQ_E_IO, "pipe: %s", strerror(errno));
	pid_t pid = fork();
	if (pid < 0)
		return reason_set(why, RMQ_E_IO, "fork: %s", strerror(errno));
	if (pid == 0) {
		close(fd[0]);
		crash_by_signal();
		walk(fd[1], dir, *behind, first);
	}
	close(fd[1]);
	enum rmq_error err = listen(fd[0], f, behind, why);
	close(fd[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (err == RMQ_E_NOTHING && !crashed(status))
		return reason_set(why, RMQ_E_IO,
		    "the process that reads it was ended (status %d), as when memory is short: "
		    "nothing is changed, run it again",
		    WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
	return err;
}

enum rmq_error verify(const char *dir, struct findings *f, struct reason *why)
{
	uint64_t behind = 0;
	for (unsigned crashes = 0; crashes < CRASHES_MAX; crashes++) {
		uint64_t before = behind;
		enum rmq_error err = send_child(dir, f, &behind, crashes == 0, why);
		if (err != RMQ_E_NOTHING)
			return err;
		if (behind == before) {
			add_structure(f, behind, "nothing after this can be read: crash");
			return RMQ_E_OK;
		}
		add_bad(f, behind, "crash");
	}
	add_structure(f, behind, "too many crashes");
	return RMQ_E_OK;
}

/* ---- the command ---- */

/* Whether the directory can be ours alone. */
static enum rmq_error try_to_own(const char *dir, struct reason *why)
{
	struct store *s;
	guard_directory(dir);
	enum rmq_error err = store_open(dir, &s, why);
	if (!err)
		store_close(s);
	return err;
}

static bool set_option(int letter, const char *value, void *state)
{
	(void)value;
	*(bool *)state = letter == OPTION_LONG;
	return true;
}

static int conclude(const char *dir, bool aside, const struct findings *f)
{
	struct reason why = {""};
	if (f->structure) {
		reason_set(&why, RMQ_E_CORRUPT, "restore a backup");
		return report(dir, RMQ_E_CORRUPT, &why);
	}
	if (f->count == 0)
		return finish_stdout(0);
	if (aside && f->unknown > 0) {
		reason_set(&why, RMQ_E_VERSION,
		    "record %" PRIu64
		    " is of a version that this program does not know, and may "
		    "be good for a newer one",
		    f->unknown);
		return report(dir, RMQ_E_VERSION, &why);
	}
	if (aside) {
		enum rmq_error err = mend(dir, f, &why);
		return err ? report(dir, err, &why) : finish_stdout(0);
	}
	reason_set(&why, RMQ_E_CORRUPT, "%zu bad of %" PRIu64 " records", f->count, f->records);
	return report(dir, RMQ_E_CORRUPT, &why);
}

const struct option_row verify_rows[] = {
    {OPTION_LONG, "quarantine", NULL, NULL, NULL, "set bad records aside"}, {0}};

int command_verify(int argc, char **argv)
{
	bool aside = false;
	struct findings f = {0};
	struct reason why = {""};
	enum rmq_error err = RMQ_E_OK;
	int status;
	char **words = command_words(argc, argv, "verify", set_option, &aside, 1, &status);
	if (!words)
		return status;
	if (aside)
		err = try_to_own(words[0], &why);
	if (!err)
		err = verify(words[0], &f, &why);
	if (err)
		return report(words[0], err, &why);
	status = finish_stdout(0);
	if (status == 0)
		status = conclude(words[0], aside, &f);
	free(f.bad);
	return status;
}
