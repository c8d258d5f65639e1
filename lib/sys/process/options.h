/*
 * The options of a program as rows of a table, from which come its parser, its --help and its
 * completion in shells.
 *
 * What an argument is, is written as --help prints it:
 *
 *	N DUR FILE	in capitals: stands for something.  Shells complete FILE, PATH, DIR, QUEUE, GLOB
 *			(queues, too), NODE, FIELD (as the option that takes a list of them), COMMAND
 *	auto|none	one of these; DUR|none: also that word; header:NAME: begins so
 *	FIELD,...	a list
 *	A=B		shells complete only what comes after the last "="
 *	[=all]		may be left out; else after "="
 *
 * and the words of a command line likewise: "QUEUE [FIELD]...", "QUEUE [[--] COMMAND [ARG]...]", where
 * no options come after the word at "[--]".
 */
#ifndef RMQ_SYS_PROCESS_OPTIONS_H
#define RMQ_SYS_PROCESS_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/base/error.h"
#include "core/base/text.h"

struct option_row {
	int code;	      /* what getopt_long() gives back: its letter, if it has one */
	const char *name;     /* after "--"; NULL: it has only a letter */
	const char *value;    /* what its argument is; NULL: it has none */
	const char *words;    /* what that name stands for: "a|b"; NULL: it says so itself */
	const char *standard; /* the default, NULL: none to be told */
	const char *help; /* what it does.  Without a code it is a line above other options */
};

/* A program, or a sub-command. */
#define OPTION_LISTS_MAX 4
struct option_table {
	const char *name;
	const char *usage; /* the options in the line of usage; NULL: "[OPTION]..." */
	const char *words; /* what follows them, "": nothing */
	const char *help;  /* lines; of a sub-command a phrase */
	/* Lists of rows, each of which ends with a row of zeros; NULL ends them. */
	const struct option_row *rows[OPTION_LISTS_MAX];
	/* Its sub-commands by number, NULL after the last one.  NULL: it has none. */
	const struct option_table *(*command)(size_t i);
};

/* -q, -v, -h and -V, which all programs have. */
extern const struct option_row options_of_all[];

/* What getopt_long() takes. */
#define OPTIONS_MAX 48
struct option_parser {
	char letters[2 * OPTIONS_MAX + 2]; /* "+" in front */
	struct option longs[OPTIONS_MAX + 1];
};

/* `ordered`: options end at the first word. */
void options_parser(struct option_parser *p, const struct option_table *t, bool ordered);

/* Appends "usage: …", without a newline.  `command`: a sub-command of it, or NULL. */
void options_usage(
    struct text *out, const struct option_table *program, const struct option_table *command);

/*
 * Prints on stdout what --help prints, of the program or of the sub-command, or the version.
 * RMQ_E_IO: see errno.
 */
enum rmq_error options_print(const struct option_table *program,
    const struct option_table *command, bool help) __attribute__((warn_unused_result));

/*
 * Whether the only argument is --option-rows: then the table is printed, of which contrib/completions
 * makes completions, a line for each row, tab-separated:
 *
 *	program	NAME	WORDS
 *	command	NAME	WORDS	HELP
 *	option	LETTER	NAME	VALUE	WORDS	DEFAULT	HELP		of the line above without "option"
 */
bool options_rows_asked(const struct option_table *program, int argc, char **argv);

#endif
