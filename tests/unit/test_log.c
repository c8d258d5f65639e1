#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/process/log.h"

static int reader, kept;

/* What is written to stderr is read from `reader`. */
static void stderr_to(int fds[2])
{
	reader = fds[0];
	kept = dup(STDERR_FILENO);
	assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	close(fds[1]);
	log_init("test", 0);
}

static void stderr_back(void)
{
	dup2(kept, STDERR_FILENO);
	close(kept);
	close(reader);
}

/* All that is there: how many lines, and the last of them. */
static void read_log(unsigned *lines, char *last, size_t size)
{
	struct pollfd p = {.fd = reader, .events = POLLIN};
	size_t len = 0;
	char c;
	*lines = 0;
	while (poll(&p, 1, 0) == 1 && read(reader, &c, 1) == 1) {
		if (c == '\n') {
			last[len] = '\0';
			len = 0;
			++*lines;
		} else if (len < size - 1) {
			last[len++] = c;
		}
	}
	assert_int_equal(len, 0);
}

/* A log that would stop the process stops the test: nobody reads meanwhile. */
static void is_dropped_and_counted(int fds[2])
{
	char last[2048], expected[128];
	unsigned lines;
	stderr_to(fds);
	for (int i = 0; i < 100000; i++)
		log_error("line %06d", i);
	read_log(&lines, last, sizeof(last));
	snprintf(expected, sizeof(expected), "test: line %06u", lines - 1);
	bool in_order = strcmp(last, expected) == 0;
	snprintf(expected, sizeof(expected),
	    "test: %u lines were dropped: this log was not read", 100000 - lines);
	log_notice("read again");
	char text[2048] = "";
	ssize_t n = read(reader, text, sizeof(text) - 1);
	log_notice("and again");
	unsigned more;
	read_log(&more, last, sizeof(last));
	stderr_back();
	assert_true(in_order);
	assert_true(n > 0);
	assert_string_equal(strtok(text, "\n"), expected);
	assert_string_equal(strtok(NULL, "\n"), "test: read again");
	assert_string_equal(last, "test: and again");
	assert_int_equal(more, 1);
}

static void what_a_full_pipe_does_not_take_is_dropped_and_counted(void **state)
{
	int fds[2];
	(void)state;
	assert_int_equal(pipe(fds), 0);
	is_dropped_and_counted(fds);
}

static void what_a_full_socket_does_not_take_is_dropped_and_counted(void **state)
{
	int fds[2];
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	is_dropped_and_counted(fds);
}

/*
 * One that poll(2) calls writable as soon as there is room for a byte.  What is written comes to its
 * other side by and by, so it may take lines again at any time: every line is there, or is counted
 * where it would be.
 */
static void what_a_terminal_does_not_take_is_dropped_and_counted(void **state)
{
	enum { LINES = 1000 };
	static char text[1 << 20];
	struct termios t;
	size_t len = 0;
	unsigned next = 0, gaps = 0, tries = 0;
	int fds[2];
	(void)state;
	assert_int_equal(openpty(&fds[0], &fds[1], NULL, NULL, NULL), 0);
	assert_int_equal(tcgetattr(fds[1], &t), 0);
	t.c_oflag &= ~(tcflag_t)ONLCR;
	assert_int_equal(tcsetattr(fds[1], TCSANOW, &t), 0);
	stderr_to(fds);
	for (int i = 0; i < LINES; i++)
		log_error("line %0600d", i);
	for (; tries < 10000 && !strstr(text, "\ntest: read again\n"); tries++) {
		struct pollfd p = {.fd = reader, .events = POLLIN};
		log_notice("read again");
		if (poll(&p, 1, 10) == 1 && len < sizeof(text) - 1) {
			ssize_t n = read(reader, text + len, sizeof(text) - 1 - len);
			len += n > 0 ? (size_t)n : 0;
		}
	}
	stderr_back();
	char *line = strtok(text, "\n"), expected[1024];
	for (; line && strcmp(line, "test: read again") != 0; line = strtok(NULL, "\n")) {
		unsigned dropped;
		if (sscanf(line, "test: %u line", &dropped) == 1) {
			next += dropped;
			gaps++;
		} else {
			snprintf(expected, sizeof(expected), "test: line %0600u", next++);
			assert_string_equal(line, expected);
		}
	}
	assert_non_null(line);
	assert_true(gaps > 0);
	assert_in_range(next, LINES, LINES + tries - 1);
}

static void a_peer_cannot_make_lines_of_its_own(void **state)
{
	int fds[2];
	unsigned lines;
	char last[64];
	(void)state;
	assert_int_equal(pipe(fds), 0);
	stderr_to(fds);
	log_error("%s", "a\nb\tc\x7f");
	read_log(&lines, last, sizeof(last));
	stderr_back();
	assert_int_equal(lines, 1);
	assert_string_equal(last, "test: a?b?c?");
}

/* What a line of `level` is, where JOURNAL_STREAM names stderr, or with `other` a file beside it. */
static void logged(enum log_level level, bool other, char *line, size_t size)
{
	int fds[2];
	unsigned lines;
	struct stat st;
	char stream[64];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(fstat(fds[1], &st), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
	    (uintmax_t)st.st_ino + (other ? 1 : 0));
	setenv("JOURNAL_STREAM", stream, 1);
	stderr_to(fds);
	unsetenv("JOURNAL_STREAM");
	log_level_set(LOG_LEVEL_DEBUG);
	log_line(level, "text");
	read_log(&lines, line, size);
	stderr_back();
	assert_int_equal(lines, 1);
}

static void the_journal_is_told_the_level_of_each_line(void **state)
{
	char line[64];
	(void)state;
	logged(LOG_LEVEL_ERROR, false, line, sizeof(line));
	assert_string_equal(line, "<3>test: text");
	logged(LOG_LEVEL_NOTICE, false, line, sizeof(line));
	assert_string_equal(line, "<5>test: text");
	logged(LOG_LEVEL_INFO, false, line, sizeof(line));
	assert_string_equal(line, "<6>test: text");
	logged(LOG_LEVEL_DEBUG, false, line, sizeof(line));
	assert_string_equal(line, "<7>test: text");
	logged(LOG_LEVEL_ERROR, true, line, sizeof(line));
	assert_string_equal(line, "test: text");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_a_full_pipe_does_not_take_is_dropped_and_counted),
	    cmocka_unit_test(what_a_full_socket_does_not_take_is_dropped_and_counted),
	    cmocka_unit_test(what_a_terminal_does_not_take_is_dropped_and_counted),
	    cmocka_unit_test(a_peer_cannot_make_lines_of_its_own),
	    cmocka_unit_test(the_journal_is_told_the_level_of_each_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
