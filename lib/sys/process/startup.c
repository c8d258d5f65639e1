#include "sys/process/startup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sys/process/signals.h"
#include "sys/stream/output.h"

static void open_descriptors(void)
{
	/* stdin cannot be read, the others not written. */
	static const int modes[] = {O_WRONLY, O_RDONLY, O_RDONLY};
	for (int fd = 0; fd < 3; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		int other = open("/dev/null", modes[fd]);
		if (other >= 0 && other != fd)
			close(other);
	}
}

static void reset_signals(void)
{
	sigset_t none;
	signal(SIGCHLD, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

enum rmq_error startup_descriptors(
    rlim_t least, struct rlimit *was, rlim_t *now, struct reason *why)
{
	if (getrlimit(RLIMIT_NOFILE, was) != 0)
		return reason_set(why, RMQ_E_IO, "getrlimit: %s", strerror(errno));
	struct rlimit raised = {was->rlim_max, was->rlim_max};
	*now = setrlimit(RLIMIT_NOFILE, &raised) == 0 ? raised.rlim_cur : was->rlim_cur;
	if (*now >= least)
		return RMQ_E_OK;
	return reason_set(why, RMQ_E_CONFIG,
	    "the limit of open files is %ju: raise it to %ju at least (ulimit -n, LimitNOFILE=)",
	    (uintmax_t)*now, (uintmax_t)least);
}

/* ---- stdout ---- */

static struct {
	char separator; /* at the end of each line */
	bool ends;	/* the program is to end, and the reader does not take what it writes */
	size_t torn;	/* bytes written after the end of the newest whole line */
	int error;	/* 0: none so far */
} out = {.separator = '\n'};

void startup_separator(char separator)
{
	out.separator = separator;
}

/* A program that is to end does not wait for its reader but in the middle of a line. */
static void end_between_lines(void)
{
	if (out.ends && out.torn == 0)
		signals_die(signals_caught());
}

/* How much to write at once: to the end of the line if the program ends there. */
static size_t portion(const char *bytes, size_t len)
{
	const char *end = out.ends ? memchr(bytes, out.separator, len) : NULL;
	return end ? (size_t)(end - bytes) + 1 : len;
}

static void count_torn(const char *bytes, size_t len)
{
	size_t tail = 0;
	while (tail < len && bytes[len - 1 - tail] != out.separator)
		tail++;
	out.torn = tail < len ? tail : out.torn + len;
}

/* What is written in part is cut off, once, and nothing is written after it. */
static ssize_t fail(void)
{
	struct output o;
	out.error = errno;
	if (output_open(&o, STDOUT_FILENO) == 0)
		(void)output_leaves_torn(&o, out.torn, (uint8_t)out.separator);
	errno = out.error;
	return 0; /* stdio's way to be told of an error, which is in errno */
}

static ssize_t write_whole(void *cookie, const char *bytes, size_t len)
{
	size_t done = 0;
	(void)cookie;
	errno = out.error;
	while (!out.error && done < len) {
		size_t most = portion(bytes + done, len - done);
		ssize_t n = write(STDOUT_FILENO, bytes + done, most);
		int error = n < 0 ? errno : 0;
		if (error && error != EINTR && error != EAGAIN)
			return fail();
		if (n > 0) {
			count_torn(bytes + done, (size_t)n);
			done += (size_t)n;
		}
		if (n < (ssize_t)most && signals_caught())
			out.ends = true;
		end_between_lines();
		struct pollfd p = {STDOUT_FILENO, POLLOUT, 0};
		if (error == EAGAIN)
			(void)poll(&p, 1, -1);
	}
	return (ssize_t)done;
}

void startup_die(void)
{
	out.ends = true;
	end_between_lines();
	(void)fflush(stdout);
	signals_die(signals_caught());
}

static void replace_stdout(void)
{
	static const cookie_io_functions_t functions = {.write = write_whole};
	FILE *f = fopencookie(NULL, "w", functions);
	if (!f)
		return;
	if (isatty(STDOUT_FILENO))
		setvbuf(f, NULL, _IOLBF, BUFSIZ);
	else
		setvbuf(f, NULL, _IOFBF, 65536);
	stdout = f;
}

bool startup(const struct option_table *program, int argc, char **argv)
{
	open_descriptors();
	reset_signals();
	replace_stdout();
	return !program || !options_rows_asked(program, argc, argv);
}
