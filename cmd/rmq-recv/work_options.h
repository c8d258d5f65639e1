/* The options that go with COMMAND. */
#ifndef RMQ_RECV_WORK_OPTIONS_H
#define RMQ_RECV_WORK_OPTIONS_H

#include <getopt.h>

#include "core/client/work.h"
#include "payload.h"
#include "sys/process/reason.h"

struct work_options {
	char **command; /* NULL: none */
	struct work_config config;
	struct payload_form form;
	uint64_t max_time_ms; /* UNITS_INFINITY: none */
	const char *to;	      /* queue for what runs print; NULL: it is not kept */
	bool whole;	      /* all that a run prints is one message */
	const char *joblog;   /* NULL: none */
	const char *results;  /* directory; NULL: none */
	const char *given;    /* the first of these options that was given, NULL: none */
};

enum {
	WORK_OPTION_BATCH = 512,
	WORK_OPTION_LINGER,
	WORK_OPTION_MAX_TIME,
	WORK_OPTION_MAX_FAILS,
	WORK_OPTION_ON_EXIT,
	WORK_OPTION_TO,
	WORK_OPTION_JOBLOG,
	WORK_OPTION_RESULTS,
	WORK_OPTION_RATE
};

#define WORK_OPTIONS_SHORT "P:I:lw"
/* clang-format off */
#define WORK_OPTIONS_LONG \
	{"parallel", required_argument, NULL, 'P'}, \
	{"batch", required_argument, NULL, WORK_OPTION_BATCH}, \
	{"linger", required_argument, NULL, WORK_OPTION_LINGER}, \
	{"max-time", required_argument, NULL, WORK_OPTION_MAX_TIME}, \
	{"max-fails", required_argument, NULL, WORK_OPTION_MAX_FAILS}, \
	{"on-exit", required_argument, NULL, WORK_OPTION_ON_EXIT}, \
	{"to", required_argument, NULL, WORK_OPTION_TO}, \
	{"whole", no_argument, NULL, 'w'}, \
	{"joblog", required_argument, NULL, WORK_OPTION_JOBLOG}, \
	{"rate", required_argument, NULL, WORK_OPTION_RATE}, \
	{"results", required_argument, NULL, WORK_OPTION_RESULTS}, \
	{"newline", no_argument, NULL, 'l'}
#define WORK_OPTIONS_HELP \
	"With COMMAND:\n" \
	"  -P, --parallel N      runs at a time (1)\n" \
	"      --batch N         up to N messages for one run, as lines (-0, -j) on its stdin\n" \
	"      --linger DUR      wait so long to fill a batch (0)\n" \
	"      --rate N/s|m|h    start so many runs, and no more\n" \
	"      --max-time DUR    TERM to a run's process group, KILL 10 s later (infinity)\n" \
	"      --max-fails N     end with 75 after N failures in a row\n" \
	"      --on-exit CODE,..=VERDICT\n" \
	"                        settle, dead, retry[:DUR], fail or stop for these statuses\n" \
	"  -I STR                the body stands for STR in the ARGs, stdin is /dev/null\n" \
	"  -l, --newline         end the body with a newline\n" \
	"      --to QUEUE        send each line that a run prints there as its message is settled\n" \
	"  -w, --whole           … all that it prints as one message\n" \
	"      --joblog FILE     append a line for each message that a run had\n" \
	"      --results DIR     stdout and stderr of each run are files ID.out, ID.err in DIR\n"
/* clang-format on */

void work_options_init(struct work_options *o);

/* Takes an option that getopt_long() gave.  RMQ_E_NOTHING: it is none of these. */
enum rmq_error work_options_take(struct work_options *o, int option, const char *arg,
    struct reason *why) __attribute__((warn_unused_result));

/* Whether they fit together, once all were taken, and with COMMAND if there is one. */
enum rmq_error work_options_check(struct work_options *o, struct reason *why)
    __attribute__((warn_unused_result));

#endif
