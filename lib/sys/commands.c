#include "sys/commands.h"

#include <stdlib.h>
#include <string.h>

static const struct command *find(const struct commands *c, const char *name)
{
	for (size_t i = 0; i < c->count; i++)
		if (strcmp(c->list[i].name, name) == 0)
			return &c->list[i];
	return NULL;
}

static enum rmq_error take_option(const struct commands *c, const struct command_line *line,
    struct client_options *common, int option, char **argv, void *arg, struct reason *why)
{
	why->text[0] = 0;
	if (option == '?')
		return RMQ_E_USAGE;
	enum rmq_error err = client_options_take(common, option, optarg, why);
	if (err != RMQ_E_NOTHING || c->take(arg, option, optarg))
		return err == RMQ_E_NOTHING ? RMQ_E_OK : err;
	return reason_set(why, RMQ_E_USAGE, "%s: '%s' is not a valid value for %s",
	    line->command->name, optarg,
	    argv[optind - 1] == optarg ? argv[optind - 2] : argv[optind - 1]);
}

static enum rmq_error parse_command(const struct commands *c, int argc, char **argv,
    struct client_options *common, void *arg, struct command_line *line, struct reason *why)
{
	const struct command *cmd = line->command;
	bool dashes = false;

	line->words = calloc((size_t)argc + 1, sizeof(*line->words));
	if (!line->words)
		return reason_set(why, RMQ_E_LIMIT, "out of memory");
	while (optind < argc) {
		int option =
		    dashes ? -1
			   : client_options_next(argc, argv, cmd->letters, cmd->longs, &dashes);
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
		return reason_set(
		    why, RMQ_E_USAGE, "usage: %s %s %s", c->program, cmd->name, cmd->arguments);
	return RMQ_E_OK;
}

enum rmq_error commands_parse(const struct commands *c, int argc, char **argv,
    struct client_options *common, uint64_t timeout_ms, void *arg, struct command_line *line,
    struct reason *why)
{
	const char *first = argc > 1 ? argv[1] : "";

	*line = (struct command_line){.command = find(c, first)};
	line->help = strcmp(first, "-h") == 0 || strcmp(first, "--help") == 0;
	line->version = strcmp(first, "-V") == 0 || strcmp(first, "--version") == 0;
	if (line->help || line->version)
		return RMQ_E_OK;
	if (argc < 2)
		return reason_set(why, RMQ_E_USAGE, "no command is given");
	if (!line->command)
		return reason_set(why, RMQ_E_USAGE, "'%s' is not a command", first);
	enum rmq_error err = client_options_init(common, timeout_ms, why);
	return err ? err : parse_command(c, argc - 1, argv + 1, common, arg, line, why);
}

void commands_free(struct command_line *line)
{
	free(line->words);
	line->words = NULL;
}

void commands_usage(const struct commands *c, struct text *out)
{
	text_put_str(out, "usage: ");
	text_put_str(out, c->program);
	text_put_str(out, " COMMAND [OPTION]... [ARGUMENT]...\n");
	for (size_t i = 0; i < c->count; i++) {
		text_put_str(out, "  ");
		text_put_str(out, c->list[i].name);
		text_put_str(out, " ");
		text_put_str(out, c->list[i].arguments);
		text_put_str(out, "\n         ");
		text_put_str(out, c->list[i].help);
		text_put_str(out, "\n");
	}
	text_put_str(out, c->usage);
}
