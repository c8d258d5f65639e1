#include "sys/process/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/text.h"

#define LINE_MAX_LEN 1024

static const char *log_program = "rmq";
static enum log_level log_shown = LOG_LEVEL_NOTICE;
static bool log_to_journal;
/* The line that is written, and what a terminal or socket has not taken of it. */
static char log_left[LINE_MAX_LEN];
static size_t log_left_len;
static uint64_t log_unread; /* lines that were dropped since the last that was written */

/* JOURNAL_STREAM names a file: it is inherited by programs whose stderr is another one. */
static bool is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char text[64];
	struct stat st;

	if (!stream || fstat(STDERR_FILENO, &st) != 0)
		return false;
	snprintf(text, sizeof(text), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return strcmp(stream, text) == 0;
}

void log_init(const char *program, int verbosity)
{
	log_program = program;
	log_to_journal = is_journal();
	int level = LOG_LEVEL_NOTICE + verbosity;

	log_level_set(level < LOG_LEVEL_ERROR	? LOG_LEVEL_ERROR
		      : level > LOG_LEVEL_DEBUG ? LOG_LEVEL_DEBUG
						: (enum log_level)level);
}

enum log_level log_level(void)
{
	return log_shown;
}

void log_level_set(enum log_level level)
{
	log_shown = level;
}

/*
 * A descriptor that does not wait, for the pipe or terminal that stderr is; else -1.  Not a flag of
 * stderr itself, which others share.
 */
static int open_anew(void)
{
	struct stat st;

	if (fstat(STDERR_FILENO, &st) != 0 || (!S_ISFIFO(st.st_mode) && !isatty(STDERR_FILENO)))
		return -1;
	return open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/*
 * As write(2), but it does not wait.  Where stderr cannot be opened anew poll(2) says whether it
 * would: a pipe that it calls writable takes PIPE_BUF bytes.
 */
static ssize_t write_now(const char *bytes, size_t len)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

	ssize_t n = send(STDERR_FILENO, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n >= 0 || errno != ENOTSOCK)
		return n;
	int fd = open_anew();
	if (fd < 0 && poll(&p, 1, 0) == 0) {
		errno = EAGAIN;
		return -1;
	}
	n = write(fd >= 0 ? fd : STDERR_FILENO, bytes, len);
	int error = errno;
	if (fd >= 0)
		close(fd);
	errno = error;
	return n;
}

/* Writes what is left of the line; false: its reader reads nothing of it. */
static bool put(void)
{
	ssize_t n = write_now(log_left, log_left_len);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return false;
	/* Otherwise there is nobody to tell. */
	size_t done = n < 0 ? log_left_len : (size_t)n;
	memmove(log_left, log_left + done, log_left_len - done);
	log_left_len -= done;
	return true;
}

/* Whether lines can be written: the last one is whole. */
static bool finish_line(void)
{
	return log_left_len == 0 || (put() && log_left_len == 0);
}

/* False: it was not written, and none can be before it is read on. */
static bool vprint(enum log_level level, const char *format, va_list args)
{
	static const char *const priorities[] = {"<3>", "<5>", "<6>", "<7>"};

	if (!finish_line())
		return false;
	int len = snprintf(log_left, sizeof(log_left),
	    "%s%s: ", log_to_journal ? priorities[level] : "", log_program);
	len += vsnprintf(log_left + len, sizeof(log_left) - (size_t)len, format, args);
	if (len > (int)sizeof(log_left) - 1)
		len = (int)sizeof(log_left) - 1;
	text_tame(log_left, (size_t)len);
	log_left[len] = '\n';
	log_left_len = (size_t)len + 1;
	if (put())
		return true;
	log_left_len = 0;
	return false;
}

__attribute__((format(printf, 1, 2))) static bool print_notice(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	bool written = vprint(LOG_LEVEL_NOTICE, format, args);
	va_end(args);
	return written;
}

void log_line(enum log_level level, const char *format, ...)
{
	int saved = errno;
	va_list args;

	if (level > log_shown)
		return;
	if (log_unread > 0 && print_notice("%" PRIu64 " line%s dropped: this log was not read",
				  log_unread, log_unread == 1 ? " was" : "s were"))
		log_unread = 0;
	va_start(args, format);
	if (log_unread > 0 || !vprint(level, format, args))
		log_unread++;
	va_end(args);
	errno = saved;
}

bool log_rate_allows(struct log_rate *r, uint64_t now_ms)
{
	if (now_ms - r->begin_ms >= LOG_RATE_MS) {
		uint64_t dropped = r->dropped;
		*r = (struct log_rate){.begin_ms = now_ms};
		if (dropped > 0)
			log_notice(
			    "%" PRIu64 " more lines like the last were dropped", dropped);
	}
	if (r->lines == LOG_RATE_LINES) {
		r->dropped++;
		return false;
	}
	r->lines++;
	return true;
}
