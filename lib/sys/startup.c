#include "sys/startup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sys/outlet.h"
#include "sys/signals.h"

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

/* ---- stdout ---- */

/* A program that is to end does not wait for its reader but in the middle of a line. */
static void end_between_lines(const char *written, size_t len)
{
	if (signals_caught() && (len == 0 || strchr("\n", written[len - 1])))
		signals_die(signals_caught());
}

static struct {
	size_t torn; /* bytes written behind the end of the newest whole line */
	int error;   /* 0: none so far */
} out;

static void count_torn(const char *bytes, size_t len)
{
	size_t tail = 0;
	while (tail < len && !strchr("\n", bytes[len - 1 - tail]))
		tail++;
	out.torn = tail < len ? tail : out.torn + len;
}

/* What is written in part is cut off, once, and nothing is written behind it. */
static ssize_t fail(void)
{
	struct outlet o;
	out.error = errno;
	if (outlet_open(&o, STDOUT_FILENO) == 0)
		(void)outlet_leaves_torn(&o, out.torn, '\n');
	errno = out.error;
	return 0; /* stdio's way to be told of an error, which is in errno */
}

static ssize_t write_whole(void *cookie, const char *bytes, size_t len)
{
	size_t done = 0;
	(void)cookie;
	errno = out.error;
	while (!out.error && done < len) {
		ssize_t n = write(STDOUT_FILENO, bytes + done, len - done);
		if (n >= 0) {
			count_torn(bytes + done, (size_t)n);
			done += (size_t)n;
			continue;
		}
		if (errno != EINTR && errno != EAGAIN)
			return fail();
		end_between_lines(bytes, done);
		struct pollfd p = {STDOUT_FILENO, POLLOUT, 0};
		if (errno == EAGAIN)
			(void)poll(&p, 1, -1);
	}
	return (ssize_t)done;
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

void startup(void)
{
	open_descriptors();
	reset_signals();
	replace_stdout();
}
