#include "sys/process/daemon_options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
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

enum { OPTION_READY_FD = 900, OPTION_SANDBOX };

const struct option_row daemon_options[] = {{OPTION_READY_FD, "ready-fd", "N", NULL, NULL,
						"write a newline to descriptor N when ready"},
    {OPTION_SANDBOX, "sandbox", "auto|require|off", NULL, "auto",
	"give up what the work does not need: what the kernel can take, all or else end, nothing"},
    {0}};

static enum rmq_error take(
    struct daemon_options *o, int option, const struct daemon_parser *p, struct reason *why)
{
	switch (option) {
	case OPTION_READY_FD:
		return daemon_options_fd("--ready-fd", optarg, &o->ready_fd, why);
	case OPTION_SANDBOX:
		if (!sandbox_mode_parse(optarg, &o->sandbox))
			return reason_set(why, RMQ_E_USAGE,
			    "--sandbox: '%s' is none of auto, require, off", optarg);
		return RMQ_E_OK;
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
	if (option >= CONFIG_OPTION)
		return config_option(p->config, option, optarg, why);
	return p->take(p->arg, option, optarg, why);
}

enum rmq_error daemon_options_parse(struct daemon_options *o, int argc, char **argv,
    const struct daemon_parser *p, struct reason *why)
{
	struct option_parser parser;
	int c;

	*o = (struct daemon_options){.ready_fd = -1};
	options_parser(&parser, p->table, p->ordered);
	while ((c = getopt_long(argc, argv, parser.letters, parser.longs, NULL)) != -1) {
		why->text[0] = '\0';
		if (c == '?' || take(o, c, p, why))
			return RMQ_E_USAGE;
		if (o->help || o->version)
			break;
	}
	return RMQ_E_OK;
}

enum rmq_error daemon_options_confine(struct daemon_options *o, struct sandbox *s)
{
	struct reason why;
	enum rmq_error err = sandbox_enter(s, o->sandbox, o->confined, &why);

	if (err)
		log_error("%s", why.text);
	else
		log_info("sandbox: %s", o->confined);
	return err;
}

void daemon_options_status(const struct daemon_options *o, const char *trouble)
{
	char state[sizeof(struct reason) + SANDBOX_TEXT_SIZE + 64];

	snprintf(state, sizeof(state), "STATUS=%s%ssandbox: %s", trouble ? trouble : "",
	    trouble ? "; " : "", o->confined);
	if (ready_notify(state) != 0)
		log_info("NOTIFY_SOCKET: %s", strerror(errno));
}

void daemon_options_ready(const struct daemon_options *o)
{
	char state[SANDBOX_TEXT_SIZE + 32];

	snprintf(state, sizeof(state), "READY=1\nSTATUS=sandbox: %s", o->confined);
	if (ready_notify(state) != 0)
		log_notice("NOTIFY_SOCKET: %s", strerror(errno));
	if (o->ready_fd >= 0 && ready_fd(o->ready_fd) != 0)
		log_notice("--ready-fd: %s", strerror(errno));
}
