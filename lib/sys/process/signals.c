#include "sys/process/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "sys/process/clock.h"

static volatile sig_atomic_t caught;
/* Only the handler uses it. */
static uint64_t caught_ms;
static int pipe_fds[2] = {-1, -1};

/* With all three blocked: none interrupts another. */
static void on_signal(int signal)
{
	int saved = errno;
	uint64_t now_ms = clock_mono().ms;
	if (!caught) {
		caught_ms = now_ms;
		caught = signal;
		(void)!write(pipe_fds[1], "", 1);
	} else if (now_ms - caught_ms >= SIGNALS_APART_MS) {
		struct sigaction def = {.sa_handler = SIG_DFL};
		sigaction(signal, &def, NULL);
		raise(signal);
	}
	errno = saved;
}

bool signals_init(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	/* Without SA_RESTART: a write that blocks is interrupted. */
	struct sigaction action = {.sa_handler = on_signal}, old;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(&action.sa_mask, signals[i]);
	if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) != 0)
		return false;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		sigaction(signals[i], &action, &old);
		if (old.sa_handler == SIG_IGN)
			sigaction(signals[i], &old, NULL);
	}
	return true;
}

int signals_fd(void)
{
	return pipe_fds[0];
}

int signals_caught(void)
{
	return caught;
}

static void (*before_death)(void);

void signals_before_death(void (*f)(void))
{
	before_death = f;
}

void signals_die(int signal)
{
	if (before_death)
		before_death();
	struct sigaction def = {.sa_handler = SIG_DFL};
	sigset_t set;
	sigaction(signal, &def, NULL);
	sigemptyset(&set);
	sigaddset(&set, signal);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(signal);
	_exit(128 + signal);
}
