/* The options that all client programs have, and what the environment says in their place. */
#ifndef RMQ_SYS_CLIENT_CLIENT_OPTIONS_H
#define RMQ_SYS_CLIENT_CLIENT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "sys/process/options.h"
#include "sys/process/reason.h"

enum {
	CLIENT_OPTION_TIMEOUT = 1000,
	CLIENT_OPTION_KEYFILE,
	CLIENT_OPTION_KNOWN_NODES,
	CLIENT_OPTION_ACCEPT_NEW
};

/* Their rows, beside options_of_all. */
extern const struct option_row client_options[];

/* What QUEUE is. */
enum client_names { NAMES_QUEUE, NAMES_TOPIC, NAMES_PATTERN };

struct client_options {
	const char *servers; /* a list of addresses; NULL: the default */
	uint64_t timeout_ms; /* UNITS_INFINITY: none */
	/* NULL: where user_file_find() finds it (keyfile.h, pins.h). */
	const char *keyfile;
	const char *known_nodes;
	bool accept_new; /* an unknown gate is trusted, and added to known_nodes */
	bool quiet;
	int verbose;
	bool help;
	bool version;
	enum client_names names;
};

/* The environment's values, else the given time-out.  RMQ_E_USAGE: *why names the variable. */
enum rmq_error client_options_init(struct client_options *o, uint64_t timeout_ms,
    struct reason *why) __attribute__((warn_unused_result));

/* Takes an option that getopt_long() gave.  RMQ_E_NOTHING: it is none of these. */
enum rmq_error client_options_take(struct client_options *o, int option, const char *arg,
    struct reason *why) __attribute__((warn_unused_result));

/*
 * getopt_long() that ends at the first word that is not an option, and says whether it
 * was ended by "--" (*dashes is then set).
 */
int client_options_next(int argc, char **argv, const struct option_parser *p, bool *dashes);

/* A command line that names one QUEUE, with options before it and after it. */
struct client_line {
	int argc;
	char **argv;
	const struct option_table *table;
	/* Takes an option of the program's own.  *why empty: getopt_long() has complained. */
	enum rmq_error (*take)(void *arg, int option, struct reason *why);
	void *arg;
	/* Set by client_options_line(): */
	const char *
	    queue; /* a valid name (or topic, or pattern), or NULL: help or the version is asked for */
	bool dashes;	  /* "--" came after it */
	const char *late; /* the first option after it, NULL: none */
};

/* Reads QUEUE and the options; optind is then at the first word after them. */
enum rmq_error client_options_line(struct client_options *o, struct client_line *l,
    struct reason *why) __attribute__((warn_unused_result));

#endif
