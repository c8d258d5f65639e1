/*
 * Programs with sub-commands: one table of them is usage, help and dispatch.
 *
 *	PROGRAM COMMAND [OPTION]... [WORD]...
 *
 * Options may stand before and after the words, up to "--"; those that all commands have
 * also before COMMAND.
 */
#ifndef RMQ_SYS_PROCESS_SUBCOMMANDS_H
#define RMQ_SYS_PROCESS_SUBCOMMANDS_H

#include "core/base/text.h"
#include "sys/client/client_options.h"

struct subcommand {
	struct option_table table; /* with the options of the program among them */
	int words_min;
	int words_max;
	enum rmq_error (*run)(void *arg); /* of the program */
};

/* A program's. */
struct subcommands {
	const struct option_table *program; /* its options are those of all its sub-commands */
	const struct subcommand *list;
	size_t count;
	/* Takes an option that is not a client's; false: its value is not valid. */
	bool (*take)(void *arg, int option, const char *value);
	/* What are valid values of that option, for messages; may be NULL. */
	const char *(*values_of)(int option);
};

struct subcommand_line {
	const struct subcommand *command; /* NULL: only help or version of all is asked for */
	bool help;
	bool version;
	char **words; /* borrowed from argv */
	int words_count;
};

/*
 * What argv says: `common` is filled in, with this time-out if nothing says another one.
 * RMQ_E_USAGE: *why says what is wrong, or is empty if getopt(3) has said it; or
 * RMQ_E_LIMIT: no memory.
 */
enum rmq_error subcommands_parse(const struct subcommands *c, int argc, char **argv,
    struct client_options *common, uint64_t timeout_ms, void *arg, struct subcommand_line *line,
    struct reason *why) __attribute__((warn_unused_result));
/* Frees what subcommands_parse() made, also after a failure. */
void subcommands_free(struct subcommand_line *line);

/* Prints the help that is asked for, or the version.  RMQ_E_IO: see errno. */
enum rmq_error subcommands_print(const struct subcommands *c,
    const struct subcommand_line *line) __attribute__((warn_unused_result));

#endif
