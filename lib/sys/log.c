#include "sys/log.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/text.h"

#define LINE_MAX_LEN 1024

static const char *log_program = "rmq";
static int log_verbosity;
static uint64_t log_unread; /* lines that were dropped since the last that was written */

void log_init(const char *program, int verbosity)
{
	log_program = program;
	log_verbosity = verbosity;
}

/*
 * Whether the line was written, or there is nobody to tell.  False: its reader does not read.  A
 * pipe that poll(2) calls writable takes PIPE_BUF bytes without waiting.
 */
static bool put(const char *line, size_t len)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

	ssize_t n = send(STDERR_FILENO, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno == ENOTSOCK) {
		if (poll(&p, 1, 0) == 0)
			return false;
		n = write(STDERR_FILENO, line, len);
	}
	return n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

/* False: it was not written. */
static bool vprint(const char *format, va_list args)
{
	char line[LINE_MAX_LEN];

	int len = snprintf(line, sizeof(line), "%s: ", log_program);
	len += vsnprintf(line + len, sizeof(line) - (size_t)len, format, args);
	if (len > (int)sizeof(line) - 1)
		len = (int)sizeof(line) - 1;
	text_tame(line, (size_t)len);
	line[len] = '\n';
	return put(line, (size_t)len + 1);
}

__attribute__((format(printf, 1, 2))) static bool print(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	bool written = vprint(format, args);
	va_end(args);
	return written;
}

void log_line(enum log_level level, const char *format, ...)
{
	int saved = errno;
	va_list args;

	if (level != LOG_LEVEL_ERROR && (int)level > LOG_LEVEL_NOTICE + log_verbosity)
		return;
	if (log_unread > 0 &&
	    print("%" PRIu64 " line%s dropped: this log was not read", log_unread,
		log_unread == 1 ? " was" : "s were"))
		log_unread = 0;
	va_start(args, format);
	if (log_unread > 0 || !vprint(format, args))
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
