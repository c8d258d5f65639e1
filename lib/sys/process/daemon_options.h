/* The options that all daemons have, and telling a supervisor that one is ready. */
#ifndef RMQ_SYS_PROCESS_DAEMON_OPTIONS_H
#define RMQ_SYS_PROCESS_DAEMON_OPTIONS_H

#include <stdbool.h>

#include "sys/process/config.h"
#include "sys/process/options.h"
#include "sys/process/reason.h"
#include "sys/process/sandbox.h"

/* Their rows, beside options_of_all. */
extern const struct option_row daemon_options[];

struct daemon_options {
	int ready_fd;  /* -1: none */
	int verbosity; /* as log_init() has it */
	enum sandbox_mode sandbox;
	char confined[SANDBOX_TEXT_SIZE]; /* what was achieved */
	bool help;
	bool version;
};

/* What a daemon takes besides; borrowed for the call. */
struct daemon_parser {
	const struct option_table *table;
	bool ordered;	       /* options end at the first word */
	struct config *config; /* of a table with config_rows; else NULL */
	/* An option of its own.  RMQ_E_USAGE: *why says what is wrong with it. */
	enum rmq_error (*take)(void *arg, int option, const char *value, struct reason *why);
	void *arg;
};

/*
 * Takes a command line; optind is the first word after the options.  It ends early at --help and
 * --version.  RMQ_E_USAGE: *why says what is wrong, or is empty: getopt_long() has said it.
 */
enum rmq_error daemon_options_parse(struct daemon_options *o, int argc, char **argv,
    const struct daemon_parser *p, struct reason *why) __attribute__((warn_unused_result));

/*
 * A descriptor that was handed down, by its number; our children do not get it.  RMQ_E_USAGE:
 * it is not open; *why names the option.
 */
enum rmq_error daemon_options_fd(const char *option, const char *arg, int *fd,
    struct reason *why) __attribute__((warn_unused_result));

/* Tells a supervisor what is wrong while the daemon serves; NULL: nothing, any more. */
void daemon_options_status(const struct daemon_options *o, const char *trouble);

/* Enters the sandbox that was asked for; RMQ_E_CONFIG: see sandbox_enter(), and it is logged. */
enum rmq_error daemon_options_confine(struct daemon_options *o, struct sandbox *s)
    __attribute__((warn_unused_result));

/*
 * Says READY=1 and the state of the sandbox to $NOTIFY_SOCKET, and to ready_fd that it is ready.  What fails
 * is logged.
 */
void daemon_options_ready(const struct daemon_options *o);

#endif
