/* The options that go with COMMAND. */
#ifndef RMQ_RECV_WORK_OPTIONS_H
#define RMQ_RECV_WORK_OPTIONS_H

#include "core/client/work.h"
#include "payload.h"
#include "sys/process/options.h"
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

extern const struct option_row work_option_rows[];

void work_options_init(struct work_options *o);

/* Takes an option that getopt_long() gave.  RMQ_E_NOTHING: it is none of these. */
enum rmq_error work_options_take(struct work_options *o, int option, const char *arg,
    struct reason *why) __attribute__((warn_unused_result));

/* Whether they fit together, once all were taken, and with COMMAND if there is one. */
enum rmq_error work_options_check(struct work_options *o, struct reason *why)
    __attribute__((warn_unused_result));

#endif
