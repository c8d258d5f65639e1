/* Programs that a runner runs, in a loop as a daemon's. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static int setup(void **state)
{
	static sigset_t mask;
	static struct rlimit nofile;
	int error;

	(void)state;
	sigprocmask(SIG_BLOCK, NULL, &mask);
	getrlimit(RLIMIT_NOFILE, &nofile);
	uv_loop_init(&loop);
	runner = runner_open(&mask, &nofile, &error);
	if (!runner)
		return -1;
	runner_start(runner, &loop);
	return 0;
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_a_program_prints_and_its_status_are_the_answer),
	    cmocka_unit_test(a_program_that_is_late_is_killed_with_its_group),
	    cmocka_unit_test(a_program_that_is_not_there_is_named_by_what_failed),
	    cmocka_unit_test(what_is_left_unread_or_too_much_stops_nobody),
	    cmocka_unit_test(programs_run_at_the_same_time_and_with_their_own_environment),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
