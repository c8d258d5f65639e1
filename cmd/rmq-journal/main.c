/* rmq-journal: the journal of a queue, and tools for its data directory. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal.h"
#include "sys/process/heap.h"
#include "sys/process/log.h"
#include "sys/process/startup.h"
#include "sys/store/guard.h"

static const struct subcommand {
	struct option_table table;
	int (*run)(int argc, char **argv);
} commands[] = {
#define X(name, usage, words, help) \
	{{#name, usage, words, help, {name##_rows, options_of_all, NULL}, NULL}, \
	    command_##name},
    JOURNAL_COMMANDS(X)
#undef X
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct option_table *command_at(size_t i)
{
	return i < COMMANDS ? &commands[i].table : NULL;
}

static const struct option_table program = {"rmq-journal", "COMMAND [OPTION]...", "DIR...",
    "Tools for the data directory of a queue.  See rmq-journal(1).\n", {options_of_all, NULL},
    command_at};

static int print_usage(const struct subcommand *c)
{
	struct text usage = {0};
	options_usage(&usage, &program, c ? &c->table : NULL);
	fprintf(stderr, "%.*s (see rmq-journal %s%s--help)\n", (int)usage.len, usage.data,
	    c ? c->table.name : "", c ? " " : "");
	text_deinit(&usage);
	return error_exit(RMQ_E_USAGE);
}

static const struct subcommand *find(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].table.name, name) == 0)
			return &commands[i];
	return NULL;
}

int report(const char *object, enum rmq_error err, const struct reason *why)
{
	if (!why || !why->text[0])
		log_error("%s: %s", object, error_text(err));
	else if (err == RMQ_E_CORRUPT)
		log_error("%s: %s: %s", object, error_text(err), why->text);
	else
		log_error("%s: %s", object, why->text);
	return error_exit(err);
}

enum rmq_error name_record(struct reason *why, enum rmq_error err, uint64_t index)
{
	if (err == RMQ_E_CORRUPT)
		return reason_set(why, err, "record %llu", (unsigned long long)index);
	return reason_set(
	    why, err, "record %llu: %s", (unsigned long long)index, error_text(err));
}

bool parse_index(const char *s, uint64_t *index)
{
	char *end;
	errno = 0;
	unsigned long long v = strtoull(s, &end, 10);
	if (*s < '0' || *s > '9' || *end || errno)
		return false;
	*index = v;
	return true;
}

void guard_directory(const char *dir)
{
	guard_init("rmq-journal", dir);
	guard_on();
}

int finish_stdout(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	log_error("standard output: %s", strerror(errno));
	return error_exit(RMQ_E_IO);
}

/* Help or the version. */
static int print(const struct subcommand *c, bool help)
{
	if (options_print(&program, c ? &c->table : NULL, help) == RMQ_E_OK)
		return 0;
	return finish_stdout(error_exit(RMQ_E_IO));
}

char **command_words(int argc, char **argv, const char *name,
    bool (*set)(int letter, const char *value, void *state), void *state, int words,
    int *exit_status)
{
	const struct subcommand *c = find(name);
	struct option_parser parser;
	int letter, verbosity = 0;
	options_parser(&parser, &c->table, false);
	opterr = 0;
	while ((letter = getopt_long(argc, argv, parser.letters, parser.longs, NULL)) != -1) {
		if (letter == 'h' || letter == 'V') {
			*exit_status = print(c, letter == 'h');
			return NULL;
		}
		if (letter == 'q' || letter == 'v') {
			verbosity += letter == 'v' ? 1 : -1;
		} else if (letter == '?' || !set(letter, optarg, state)) {
			*exit_status = print_usage(c);
			return NULL;
		}
	}
	log_init("rmq-journal", verbosity);
	if (words == WORDS_SOME ? argc > optind : argc - optind == words)
		return argv + optind;
	*exit_status = print_usage(c);
	return NULL;
}

int main(int argc, char **argv)
{
	if (!startup(&program, argc, argv))
		return 0;
	heap_keep();
	log_init("rmq-journal", 0);
	const char *word = argc > 1 ? argv[1] : "";
	bool help = strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0;
	if (help || strcmp(word, "-V") == 0 || strcmp(word, "--version") == 0)
		return print(NULL, help);
	const struct subcommand *c = find(word);
	return c ? c->run(argc - 1, argv + 1) : print_usage(NULL);
}
