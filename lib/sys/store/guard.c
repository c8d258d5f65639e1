#include "sys/store/guard.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/error.h"

static char line[512];
static size_t line_len;
static volatile sig_atomic_t reading;

static void on_crash(int signo)
{
	if (!reading && signo != SIGBUS) {
		signal(signo, SIG_DFL);
		raise(signo);
		return;
	}
	ssize_t n = write(STDERR_FILENO, line, line_len);
	(void)n;
	_exit(error_exit(RMQ_E_CORRUPT));
}

void guard_init(const char *program, const char *directory)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE};

	snprintf(line, sizeof(line), "%s: %.300s: %s: data.mdb is garbled\n", program,
	    directory, error_text(RMQ_E_CORRUPT));
	line_len = strlen(line);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], on_crash);
}

void guard_on(void)
{
	reading = 1;
}

void guard_off(void)
{
	reading = 0;
}
