#include "sys/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_MAX_LEN 1024

static const char *log_program = "rmq";
static int log_verbosity;

void log_init(const char *program, int verbosity)
{
	log_program = program;
	log_verbosity = verbosity;
}

void log_line(enum log_level level, const char *format, ...)
{
	int saved = errno;
	char line[LINE_MAX_LEN];
	va_list args;

	if (level != LOG_LEVEL_ERROR && (int)level > LOG_LEVEL_NOTICE + log_verbosity)
		return;
	int len = snprintf(line, sizeof(line), "%s: ", log_program);
	va_start(args, format);
	len += vsnprintf(line + len, sizeof(line) - (size_t)len, format, args);
	va_end(args);
	if (len > (int)sizeof(line) - 1)
		len = (int)sizeof(line) - 1;
	for (int i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	line[len] = '\n';
	/* There is nobody to tell if stderr is gone. */
	ssize_t written = write(STDERR_FILENO, line, (size_t)len + 1);
	(void)written;
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
