/* rmq-journal: the journal of a queue, and tools for its data directory. */
#include <assert.h>
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
	const char *name;
	const char *args;
	const char *what;
	int (*run)(int argc, char **argv);
} commands[] = {
#define X(name, args, what) {#name, args, what, command_##name},
    JOURNAL_COMMANDS(X)
#undef X
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_help(FILE *f)
{
	fprintf(f, "usage: rmq-journal COMMAND [OPTION...] DIR\n\n");
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(f, "  %-8s %-32s %s\n", commands[i].name, commands[i].args,
		    commands[i].what);
	fprintf(f, "\nOptions: -h --help, -V --version, -q --quiet, -v --verbose; see "
		   "rmq-journal(1).\n");
}

static int print_usage(const struct subcommand *c)
{
	fprintf(stderr, "usage: rmq-journal %s %s\n", c ? c->name : "COMMAND",
	    c ? c->args : "[OPTION...] DIR (see rmq-journal --help)");
	return error_exit(RMQ_E_USAGE);
}

static const struct subcommand *find(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
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

static int print_version(void)
{
	puts("rmq-journal " RMQ_VERSION);
	return finish_stdout(0);
}

/* A sub-command's own options and those of all, as getopt_long(3) wants them. */
#define OPTIONS_MAX 16
struct all_options {
	struct option options[OPTIONS_MAX];
	char letters[2 * OPTIONS_MAX + 1];
};

static void all_options(struct all_options *all, const struct option *own)
{
	static const struct option common[] = {{"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'}, {"quiet", no_argument, NULL, 'q'},
	    {"verbose", no_argument, NULL, 'v'}, {0}};
	const struct option *lists[] = {common, own};
	size_t n = 0, len = 0;
	memset(all, 0, sizeof(*all));
	for (size_t i = 0; i < 2; i++)
		for (const struct option *o = lists[i]; o && o->name; o++) {
			assert(n + 1 < OPTIONS_MAX);
			all->options[n++] = *o;
			if (o->val >= OPTION_LONG)
				continue;
			all->letters[len++] = (char)o->val;
			if (o->has_arg)
				all->letters[len++] = ':';
		}
}

char **command_words(int argc, char **argv, const char *name, const struct option *options,
    bool (*set)(int letter, const char *value, void *state), void *state, int words,
    int *exit_status)
{
	struct all_options all;
	int letter, verbosity = 0;
	all_options(&all, options);
	opterr = 0;
	while ((letter = getopt_long(argc, argv, all.letters, all.options, NULL)) != -1) {
		if (letter == 'h')
			print_help(stdout);
		if (letter == 'h' || letter == 'V') {
			*exit_status = letter == 'V' ? print_version() : finish_stdout(0);
			return NULL;
		}
		if (letter == 'q' || letter == 'v') {
			verbosity += letter == 'v' ? 1 : -1;
		} else if (letter == '?' || !set(letter, optarg, state)) {
			*exit_status = print_usage(find(name));
			return NULL;
		}
	}
	log_init("rmq-journal", verbosity);
	if (words == WORDS_SOME ? argc > optind : argc - optind == words)
		return argv + optind;
	*exit_status = print_usage(find(name));
	return NULL;
}

int main(int argc, char **argv)
{
	startup();
	heap_keep();
	log_init("rmq-journal", 0);
	const char *word = argc > 1 ? argv[1] : "";
	if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0) {
		print_help(stdout);
		return finish_stdout(0);
	}
	if (strcmp(word, "-V") == 0 || strcmp(word, "--version") == 0)
		return print_version();
	const struct subcommand *c = find(word);
	return c ? c->run(argc - 1, argv + 1) : print_usage(NULL);
}
