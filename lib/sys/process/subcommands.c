#include "sys/process/subcommands.h"

#include <stdlib.h>
#include <string.h>

static const struct subcommand *find(const struct subcommands *c, const char *name)
{
	for (size_t i = 0; i < c->count; i++)
		if (strcmp(c->list[i].table.name, name) == 0)
			return &c->list[i];
	return NULL;
}

static enum rmq_error take_option(const struct subcommands *c,
    const struct subcommand_line *line, struct client_options *common, int option, char **argv,
    void *arg, struct reason *why)
{
	why->text[0] = 0;
	if (option == '?')
		return RMQ_E_USAGE;
	enum rmq_error err = client_options_take(common, option, optarg, why);
	if (err != RMQ_E_NOTHING || c->take(arg, option, optarg))
		return err == RMQ_E_NOTHING ? RMQ_E_OK : err;
	return reason_set(why, RMQ_E_USAGE, "%s: '%s' is not a valid value for %s%s%s",
	    line->command->table.name, optarg,
	    argv[optind - 1] == optarg ? argv[optind - 2] : argv[optind - 1],
	    c->values_of ? ", which takes " : "", c->values_of ? c->values_of(option) : "");
}

/* The options before the command: those that all have. */
static enum rmq_error parse_front(const struct subcommands *c, int argc, char **argv,
    struct client_options *common, struct subcommand_line *line, struct reason *why)
{
	struct option_parser parser;
	int option;

	options_parser(&parser, c->program, true);
	while ((option = getopt_long(argc, argv, parser.letters, parser.longs, NULL)) != -1) {
		enum rmq_error err = take_option(c, line, common, option, argv, NULL, why);
		if (err)
			return err;
	}
	line->help = common->help;
	line->version = common->version;
	if (line->help || line->version)
		return RMQ_E_OK;
	if (optind == argc)
		return reason_set(why, RMQ_E_USAGE, "no command is given");
	line->command = find(c, argv[optind]);
	if (!line->command)
		return reason_set(why, RMQ_E_USAGE, "'%s' is not a command", argv[optind]);
	return RMQ_E_OK;
}

static enum rmq_error wrong_words(
    const struct subcommands *c, const struct subcommand *cmd, struct reason *why)
{
	struct text usage = {0};
	options_usage(&usage, c->program, &cmd->table);
	(void)reason_set(why, RMQ_E_USAGE, "%.*s", (int)usage.len, usage.data);
	text_deinit(&usage);
	return RMQ_E_USAGE;
}

static enum rmq_error parse_command(const struct subcommands *c, int argc, char **argv,
    struct client_options *common, void *arg, struct subcommand_line *line, struct reason *why)
{
	const struct subcommand *cmd = line->command;
	struct option_parser parser;
	bool dashes = false;

	options_parser(&parser, &cmd->table, true);
	line->words = calloc((size_t)argc, sizeof(*line->words));
	if (!line->words)
		return reason_set(why, RMQ_E_LIMIT, "out of memory");
	for (optind++; optind < argc;) {
		int option = dashes ? -1 : client_options_next(argc, argv, &parser, &dashes);
		if (option == -1) {
			if (optind < argc)
				line->words[line->words_count++] = argv[optind++];
			continue;
		}
		enum rmq_error err = take_option(c, line, common, option, argv, arg, why);
		if (err)
			return err;
	}
	line->help = common->help;
	line->version = common->version;
	if (!line->help && !line->version &&
	    (line->words_count < cmd->words_min || line->words_count > cmd->words_max))
		return wrong_words(c, cmd, why);
	return RMQ_E_OK;
}

enum rmq_error subcommands_parse(const struct subcommands *c, int argc, char **argv,
    struct client_options *common, uint64_t timeout_ms, void *arg, struct subcommand_line *line,
    struct reason *why)
{
	*line = (struct subcommand_line){.command = NULL};
	enum rmq_error err = client_options_init(common, timeout_ms, why);
	if (!err)
		err = parse_front(c, argc, argv, common, line, why);
	if (err || !line->command)
		return err;
	return parse_command(c, argc, argv, common, arg, line, why);
}

void subcommands_free(struct subcommand_line *line)
{
	free(line->words);
	line->words = NULL;
}

enum rmq_error subcommands_print(
    const struct subcommands *c, const struct subcommand_line *line)
{
	return options_print(
	    c->program, line->command ? &line->command->table : NULL, line->help);
}
