#include "sys/process/options.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define HELP_COLUMN   26
#define HELP_WIDTH    80
#define HELP_LINE_MAX 400 /* before it is folded */

const struct option_row options_of_all[] = {
    {'q', "quiet", NULL, NULL, NULL, "say only why it fails"},
    {'v', "verbose", NULL, NULL, NULL, "say more; again: still more"},
    {'h', "help", NULL, NULL, NULL, "print this"},
    {'V', "version", NULL, NULL, NULL, "print the version"}, {0}};

struct row_at {
	size_t list, row;
};

/* The rows of a table one by one, headings too; NULL: that was the last one. */
static const struct option_row *next_row(const struct option_table *t, struct row_at *at)
{
	while (at->list < OPTION_LISTS_MAX && t->rows[at->list]) {
		const struct option_row *row = &t->rows[at->list][at->row++];
		if (row->help)
			return row;
		at->list++;
		at->row = 0;
	}
	return NULL;
}

static bool is_letter(int code)
{
	return code > 0 && code < 256;
}

static bool is_optional(const struct option_row *row)
{
	return row->value && strncmp(row->value, "[=", 2) == 0;
}

void options_parser(struct option_parser *p, const struct option_table *t, bool ordered)
{
	struct row_at at = {0, 0};
	const struct option_row *row;
	size_t letters = 0, longs = 0;

	memset(p, 0, sizeof(*p));
	if (ordered)
		p->letters[letters++] = '+';
	while ((row = next_row(t, &at))) {
		assert(longs < OPTIONS_MAX && letters < sizeof(p->letters) - 2);
		if (is_letter(row->code)) {
			p->letters[letters++] = (char)row->code;
			if (row->value)
				p->letters[letters++] = ':';
		}
		if (row->name)
			p->longs[longs++] = (struct option){row->name,
			    is_optional(row) ? optional_argument
			    : row->value     ? required_argument
					     : no_argument,
			    NULL, row->code};
	}
}

/* ---- help ---- */

/* Puts `text`, from column `at` on, which the line has reached; words that do not fit go below, from `column` on. */
static void put_folded_from(struct text *out, size_t at, size_t column, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, " ");
		if (at > column && at + 1 + len > HELP_WIDTH) {
			text_put_char(out, '\n');
			for (at = 0; at < column; at++)
				text_put_char(out, ' ');
		} else if (at > column) {
			text_put_char(out, ' ');
			at++;
		}
		text_put(out, text, len);
		at += len;
		text += len + (text[len] == ' ');
	}
	text_put_char(out, '\n');
}

static void put_folded(struct text *out, size_t column, const char *text)
{
	put_folded_from(out, column, column, text);
}

/* Lines, each of which is folded if it does not fit. */
static void put_lines(struct text *out, const char *lines)
{
	while (*lines) {
		size_t len = strcspn(lines, "\n");
		char line[HELP_LINE_MAX + 1];
		assert(len < sizeof(line));
		memcpy(line, lines, len);
		line[len] = '\0';
		if (len > HELP_WIDTH) {
			put_folded(out, 0, line);
		} else {
			text_put_str(out, line);
			text_put_char(out, '\n');
		}
		lines += len + (lines[len] == '\n');
	}
}

/* A line of two columns; the left one, which was put from `from` on, may be too long. */
static void put_right(struct text *out, size_t from, const char *text)
{
	size_t at = out->len - from;
	if (at + 2 > HELP_COLUMN) {
		text_put_char(out, '\n');
		at = 0;
	}
	for (; at < HELP_COLUMN; at++)
		text_put_char(out, ' ');
	put_folded(out, HELP_COLUMN, text);
}

/* "-n, --count N" */
static void put_option(struct text *out, const struct option_row *row)
{
	text_put_str(out, is_letter(row->code) ? "-" : "    ");
	if (is_letter(row->code))
		text_put_char(out, (char)row->code);
	if (row->name) {
		text_put_str(out, is_letter(row->code) ? ", --" : "--");
		text_put_str(out, row->name);
	}
	if (row->value && !is_optional(row))
		text_put_char(out, ' ');
	text_put_str(out, row->value ? row->value : "");
}

static void put_row(struct text *out, const struct option_row *row)
{
	struct text right = {0};
	size_t from = out->len;
	text_put_str(out, "  ");
	put_option(out, row);
	text_put_str(&right, row->help);
	if (row->standard) {
		text_put_str(&right, " (");
		text_put_str(&right, row->standard);
		text_put_char(&right, ')');
	}
	text_put_char(&right, 0);
	put_right(out, from, right.failed ? "" : right.data);
	text_deinit(&right);
}

static void put_rows(struct text *out, const struct option_table *t)
{
	struct row_at at = {0, 0};
	const struct option_row *row;
	while ((row = next_row(t, &at))) {
		if (row->code) {
			put_row(out, row);
			continue;
		}
		text_put_str(out, row->help);
		text_put_char(out, '\n');
	}
}

static void put_commands(struct text *out, const struct option_table *program)
{
	const struct option_table *c;
	for (size_t i = 0; (c = program->command(i)); i++) {
		size_t from = out->len;
		text_put_str(out, "  ");
		text_put_str(out, c->name);
		text_put_str(out, *c->words ? " " : "");
		text_put_str(out, c->words);
		put_right(out, from, c->help);
	}
}

void options_usage(
    struct text *out, const struct option_table *program, const struct option_table *command)
{
	const struct option_table *t = command ? command : program;
	char line[HELP_LINE_MAX + 1];
	size_t begin = out->len;
	text_put_str(out, "usage: ");
	text_put_str(out, program->name);
	if (command) {
		text_put_char(out, ' ');
		text_put_str(out, command->name);
	}
	text_put_char(out, ' ');
	snprintf(line, sizeof(line), "%s%s%s", t->usage ? t->usage : "[OPTION]...",
	    *t->words ? " " : "", t->words);
	put_folded(out, out->len - begin, line);
	out->len--;
}

static void put_help(
    struct text *out, const struct option_table *program, const struct option_table *command)
{
	options_usage(out, program, command);
	text_put_char(out, '\n');
	if (command) {
		text_put_char(out, (char)toupper((unsigned char)command->help[0]));
		put_folded(out, 0, command->help + 1);
	} else {
		put_lines(out, program->help);
	}
	text_put_char(out, '\n');
	if (!command && program->command) {
		put_commands(out, program);
		text_put_str(out, "\nOptions; those of a command prints ");
		text_put_str(out, program->name);
		text_put_str(out, " COMMAND --help:\n");
	}
	put_rows(out, command ? command : program);
}

enum rmq_error options_print(
    const struct option_table *program, const struct option_table *command, bool help)
{
	struct text out = {0};
	if (help)
		put_help(&out, program, command);
	if (out.len > 0)
		fwrite(out.data, 1, out.len, stdout);
	if (!help)
		printf("%s " RMQ_VERSION "\n", program->name);
	text_deinit(&out);
	return fflush(stdout) == 0 && !ferror(stdout) ? RMQ_E_OK : RMQ_E_IO;
}

/* ---- the table itself ---- */

static const char *or_none(const char *s)
{
	return s ? s : "";
}

static void print_rows(const struct option_table *t)
{
	struct row_at at = {0, 0};
	const struct option_row *r;
	while ((r = next_row(t, &at))) {
		char letter[2] = {is_letter(r->code) ? (char)r->code : 0, 0};
		if (r->code)
			printf("option\t%s\t%s\t%s\t%s\t%s\t%s\n", letter, or_none(r->name),
			    or_none(r->value), or_none(r->words), or_none(r->standard),
			    r->help);
	}
}

bool options_rows_asked(const struct option_table *program, int argc, char **argv)
{
	const struct option_table *c;
	if (argc != 2 || strcmp(argv[1], "--option-rows") != 0)
		return false;
	printf("program\t%s\t%s\n", program->name, program->words);
	print_rows(program);
	for (size_t i = 0; program->command && (c = program->command(i)); i++) {
		printf("command\t%s\t%s\t%s\n", c->name, c->words, c->help);
		print_rows(c);
	}
	return true;
}
