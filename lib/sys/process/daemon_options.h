/* The options that all daemons have, and telling a supervisor that one is ready. */
#ifndef RMQ_SYS_PROCESS_DAEMON_OPTIONS_H
#define RMQ_SYS_PROCESS_DAEMON_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>

#include "sys/process/reason.h"

#define DAEMON_OPTION_READY_FD 900

#define DAEMON_OPTIONS_SHORT "qvhV"
#define DAEMON_OPTIONS_LONG \
	{"ready-fd", required_argument, NULL, DAEMON_OPTION_READY_FD}, \
	    {"quiet", no_argument, NULL, 'q'}, {"verbose", no_argument, NULL, 'v'}, \
	    {"help", no_argument, NULL, 'h'}, \
	{ \
		"version", no_argument, NULL, 'V' \
	}
/* Their lines of a usage text. */
#define DAEMON_OPTIONS_HELP \
	"      --ready-fd N    write a newline to descriptor N when ready\n" \
	"  -q, --quiet  -v, --verbose  -h, --help  -V, --version\n"

struct daemon_options {
	int ready_fd;  /* -1: none */
	int verbosity; /* as log_init() has it */
	bool help;
	bool version;
};
#define DAEMON_OPTIONS_NONE {.ready_fd = -1}

/* Takes an option that getopt_long() gave.  RMQ_E_NOTHING: it is none of these; RMQ_E_USAGE. */
enum rmq_error daemon_options_take(struct daemon_options *o, int option, const char *arg,
    struct reason *why) __attribute__((warn_unused_result));

/*
 * A descriptor that was handed down, by its number; our children do not get it.  RMQ_E_USAGE:
 * it is not open; *why names the option.
 */
enum rmq_error daemon_options_fd(const char *option, const char *arg, int *fd,
    struct reason *why) __attribute__((warn_unused_result));

/* Says READY=1 to $NOTIFY_SOCKET, and the same to ready_fd.  What fails is logged. */
void daemon_options_ready(const struct daemon_options *o);

#endif
