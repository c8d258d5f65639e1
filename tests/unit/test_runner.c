/* Programs that a runner runs, in a loop as a daemon's. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/process/runner.h"

static struct runner *runner;
static uv_loop_t loop;

/* The answer that came. */
static struct {
	unsigned count;
	enum runner_outcome outcome;
	int status;
	char output[RUNNER_BYTES_MAX + 1];
	size_t len;
} got;

static unsigned ended;

static void on_end(void *arg)
{
	(void)arg;
	ended++;
}

/* Its stderr is the one of now. */
static int open_runner(void)
{
	static sigset_t mask;
	static struct rlimit nofile;
	int error;

	sigprocmask(SIG_BLOCK, NULL, &mask);
	getrlimit(RLIMIT_NOFILE, &nofile);
	runner = runner_open(&mask, &nofile, &error);
	if (!runner)
		return -1;
	runner_start(runner, &loop, on_end, NULL);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	uv_loop_init(&loop);
	return open_runner();
}

static void on_answer(void *arg, const struct runner_result *r)
{
	assert_ptr_equal(arg, &got);
	got.count++;
	got.outcome = r->outcome;
	got.status = r->status;
	got.len = r->output.len;
	if (got.len > 0)
		memcpy(got.output, r->output.data, got.len);
	got.output[got.len] = '\0';
}

static void begin(
    const char *const *argv, const char *const *env, const char *input, size_t len, uint32_t ms)
{
	runner_run(runner,
	    &(struct runner_job){argv, env, slice_of((const uint8_t *)input, len), ms, false},
	    on_answer, &got);
}

static void wait_for(unsigned count)
{
	while (got.count < count)
		uv_run(&loop, UV_RUN_ONCE);
}

static void shell(const char *line, const char *input, uint32_t ms)
{
	const char *const argv[] = {"sh", "-c", line, NULL};

	memset(&got, 0, sizeof(got));
	begin(argv, NULL, input, strlen(input), ms);
	assert_int_equal(got.count, 0);
	wait_for(1);
}

static void what_a_program_prints_and_its_status_are_the_answer(void **state)
{
	char text[RUNNER_TEXT_SIZE];
	(void)state;
	shell("cat; echo there; exit 3", "word ", 60000);
	assert_int_equal(got.outcome, RUNNER_ENDED);
	assert_int_equal(got.status, 3);
	assert_string_equal(got.output, "word there\n");
	struct runner_result r = {got.outcome, got.status, {NULL, 0}};
	assert_string_equal(runner_text(text, &r), "exit status 3");
	shell("kill -9 $$", "", 60000);
	assert_int_equal(got.status, 128 + 9);
	/* One that has started others has ended when it has. */
	shell("echo here; exec 2>&-; (tail -f /dev/null --pid $$) & exit 0", "", 60000);
	assert_int_equal(got.outcome, RUNNER_ENDED);
	assert_string_equal(got.output, "here\n");
}

static void a_program_that_is_late_is_killed_with_its_group(void **state)
{
	char text[RUNNER_TEXT_SIZE];
	(void)state;
	shell("tail -f /dev/null & echo $!; wait", "", 100);
	assert_int_equal(got.outcome, RUNNER_LATE);
	pid_t other = atoi(got.output);
	assert_true(other > 1);
	/* It was killed; who reaps it is another matter. */
	char path[64], line[64] = "";
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)other);
	for (;;) {
		FILE *f = fopen(path, "r");
		if (!f || !fgets(line, sizeof(line), f)) {
			if (f)
				fclose(f);
			break;
		}
		fclose(f);
		if (strstr(line, ") Z ") || strstr(line, ") X "))
			break;
	}
	struct runner_result r = {got.outcome, got.status, {NULL, 0}};
	assert_string_equal(runner_text(text, &r), "did not end within its time");
}

static void a_program_that_is_not_there_is_named_by_what_failed(void **state)
{
	const char *const argv[] = {"/no/such/program", NULL};
	(void)state;
	memset(&got, 0, sizeof(got));
	begin(argv, NULL, NULL, 0, 60000);
	wait_for(1);
	assert_int_equal(got.outcome, RUNNER_FAILED);
	assert_int_equal(got.status, ENOENT);
}

static void what_is_left_unread_or_too_much_stops_nobody(void **state)
{
	static char much[60000];
	const char *const argv[] = {"true", NULL};
	(void)state;
	memset(much, 'x', sizeof(much));
	memset(&got, 0, sizeof(got));
	begin(argv, NULL, much, sizeof(much), 60000);
	wait_for(1);
	assert_int_equal(got.outcome, RUNNER_ENDED);
	assert_int_equal(got.status, 0);
	shell("head -c 300000 /dev/zero | tr '\\0' y", "", 60000);
	assert_int_equal(got.outcome, RUNNER_ENDED);
	assert_int_equal(got.len, RUNNER_BYTES_MAX);
	/* More than can be said is refused. */
	static char more[RUNNER_BYTES_MAX + 1];
	memset(&got, 0, sizeof(got));
	begin(argv, NULL, more, sizeof(more), 60000);
	assert_int_equal(got.count, 0);
	wait_for(1);
	assert_int_equal(got.outcome, RUNNER_FAILED);
	assert_int_equal(got.status, E2BIG);
}

static void programs_run_at_the_same_time_and_with_their_own_environment(void **state)
{
	const char *const waits[] = {"sh", "-c", "read word; echo $word", NULL};
	const char *const prints[] = {"/usr/bin/env", NULL};
	const char *const env[] = {"A=1", "B=two words", NULL};
	(void)state;
	memset(&got, 0, sizeof(got));
	setenv("NOTIFY_SOCKET", "@theirs", 1);
	for (unsigned i = 0; i < 4; i++)
		begin(waits, NULL, "w\n", 2, 60000);
	wait_for(4);
	begin(prints, env, NULL, 0, 60000);
	wait_for(5);
	assert_string_equal(got.output, "A=1\nB=two words\n");
	/* One that is forgotten runs and says nothing. */
	begin(waits, NULL, "w\n", 2, 60000);
	runner_forget(runner, &got);
	shell("echo last", "", 60000);
	assert_int_equal(got.count, 1);
	assert_string_equal(got.output, "last\n");
}

/* A program that never stops complaining fills no disk. */
static void of_stderr_the_first_lines_are_logged_after_the_name(void **state)
{
	(void)state;
	FILE *file = tmpfile();
	int was = dup(STDERR_FILENO);
	static char text[4 * RUNNER_ERRORS_MAX];

	assert_true(file && was >= 0);
	dup2(fileno(file), STDERR_FILENO);
	struct runner *old = runner;
	assert_int_equal(open_runner(), 0);
	shell("echo one >&2; printf 'two\\033' >&2", "", 60000);
	assert_int_equal(got.status, 0);
	shell("yes | head -c 1000000 >&2; echo done", "", 60000);
	assert_string_equal(got.output, "done\n");
	dup2(was, STDERR_FILENO);
	close(was);
	rewind(file);
	size_t n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = '\0';
	assert_true(n < sizeof(text) - 1);
	assert_non_null(strstr(text, ": sh: one\n"));
	assert_non_null(strstr(text, ": sh: two?\n"));
	assert_non_null(strstr(text, ": sh: what else it prints to stderr is dropped\n"));
	fclose(file);
	runner = old;
}

static void programs_are_told_of_all_signals(void **state)
{
	(void)state;
	shell("grep SigIgn /proc/self/status", "", 60000);
	assert_string_equal(got.output, "SigIgn:\t0000000000000000\n");
}

static void what_a_program_leaves_behind_may_go_on_to_complain(void **state)
{
	char directory[] = "/tmp/test_runner.XXXXXX", path[64], line[256], heard[16] = "";
	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/fifo", directory);
	assert_int_equal(mkfifo(path, 0600), 0);
	snprintf(line, sizeof(line),
	    "setsid sh -c 'exec 9>%s; tail --pid='$$' -f /dev/null; echo late >&2; echo lives >&9' "
	    ">/dev/null </dev/null & exit 0",
	    path);
	shell(line, "", 60000);
	assert_int_equal(got.outcome, RUNNER_ENDED);
	int fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_true(read(fd, heard, sizeof(heard) - 1) > 0);
	assert_string_equal(heard, "lives\n");
	close(fd);
	unlink(path);
	rmdir(directory);
}

static void the_end_of_its_process_is_told_once_and_all_fail(void **state)
{
	(void)state;
	assert_int_equal(ended, 0);
	shell("awk '/^PPid:/ { print $2 }' /proc/$PPID/status", "", 60000);
	kill((pid_t)atoi(got.output), SIGKILL);
	while (ended == 0)
		uv_run(&loop, UV_RUN_ONCE);
	shell("true", "", 60000);
	assert_int_equal(got.outcome, RUNNER_FAILED);
	assert_int_equal(got.status, EPIPE);
	assert_int_equal(ended, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_a_program_prints_and_its_status_are_the_answer),
	    cmocka_unit_test(a_program_that_is_late_is_killed_with_its_group),
	    cmocka_unit_test(a_program_that_is_not_there_is_named_by_what_failed),
	    cmocka_unit_test(what_is_left_unread_or_too_much_stops_nobody),
	    cmocka_unit_test(programs_run_at_the_same_time_and_with_their_own_environment),
	    cmocka_unit_test(programs_are_told_of_all_signals),
	    cmocka_unit_test(of_stderr_the_first_lines_are_logged_after_the_name),
	    cmocka_unit_test(what_a_program_leaves_behind_may_go_on_to_complain),
	    cmocka_unit_test(the_end_of_its_process_is_told_once_and_all_fail),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
