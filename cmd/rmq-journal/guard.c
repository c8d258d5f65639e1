/*
 * LMDB has no checksums of its own: in a damaged data file its code runs into pages that
 * are not what they should be, or are behind the end of the file.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "journal.h"

static char line[512];
static size_t line_len;

static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT};

static void set_all(void (*handler)(int))
{
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], handler);
}

static void on_crash(int signal)
{
	(void)signal;
	ssize_t n = write(STDERR_FILENO, line, line_len);
	(void)n;
	_exit(error_exit(RMQ_E_CORRUPT));
}

void guard_begin(const char *dir)
{
	static const char before[] = "rmq-journal: ";
	static const char behind[] = ": journal is corrupt: data.mdb is garbled\n";
	size_t room = sizeof(line) - sizeof(before) - sizeof(behind);
	size_t len = strnlen(dir, room);
	memcpy(line, before, sizeof(before) - 1);
	memcpy(line + sizeof(before) - 1, dir, len);
	memcpy(line + sizeof(before) - 1 + len, behind, sizeof(behind) - 1);
	line_len = sizeof(before) - 1 + len + sizeof(behind) - 1;
	set_all(on_crash);
}

void guard_end(void)
{
	set_all(SIG_DFL);
}
