#include "sys/process/daemon_options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sys/process/log.h"
#include "sys/process/ready.h"

enum rmq_error daemon_options_fd(
    const char *option, const char *arg, int *fd, struct reason *why)
{
	char *end;

	errno = 0;
	long n = strtol(arg, &end, 10);
	if (errno != 0 || end == arg || *end || n < 0 || n > INT32_MAX ||
	    fcntl((int)n, F_SETFD, FD_CLOEXEC) != 0)
		return reason_set(why, RMQ_E_USAGE, "%s: not an open descriptor", option);
	*fd = (int)n;
	return RMQ_E_OK;
}

enum rmq_error daemon_options_take(
    struct daemon_options *o, int option, const char *arg, struct reason *why)
{
	switch (option) {
	case DAEMON_OPTION_READY_FD:
		return daemon_options_fd("--ready-fd", arg, &o->ready_fd, why);
	case 'q':
		o->verbosity--;
		return RMQ_E_OK;
	case 'v':
		o->verbosity++;
		return RMQ_E_OK;
	case 'h':
		o->help = true;
		return RMQ_E_OK;
	case 'V':
		o->version = true;
		return RMQ_E_OK;
	}
	return RMQ_E_NOTHING;
}

void daemon_options_ready(const struct daemon_options *o)
{
	if (ready_notify("READY=1") != 0)
		log_notice("NOTIFY_SOCKET: %s", strerror(errno));
	if (o->ready_fd >= 0 && ready_fd(o->ready_fd) != 0)
		log_notice("--ready-fd: %s", strerror(errno));
}
