/* What the sub-commands of rmq-journal share. */
#ifndef RMQ_JOURNAL_JOURNAL_H
#define RMQ_JOURNAL_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/error.h"
#include "sys/process/options.h"
#include "sys/process/reason.h"

/*
 * Every sub-command: usage, help, completion and dispatch come from here, and from its options.
 *	name, usage of options (NULL: any), what follows them, what it does
 */
/* clang-format off */
#define JOURNAL_COMMANDS(X) \
	X(init, NULL, "DIR", "make a data directory") \
	X(serve, NULL, "DIR", "speak the journal protocol on standard input") \
	X(stat, NULL, "DIR...", "print facts about it; of several, which to keep") \
	X(dump, NULL, "DIR", "print records as JSON lines") \
	X(verify, NULL, "DIR", "check every record; set bad ones aside") \
	X(backup, NULL, "DIR >FILE", "copy records while the journal is in use") \
	X(restore, NULL, "DIR <FILE", "make a data directory from a backup") \
	X(replay, "--until TIME [OPTION]...", "DIR <FILE", "make one as it was at that time") \
	X(recover, NULL, "DIR", "let it go on alone, as a majority is lost for good") \
	X(compact, NULL, "DIR", "give free pages back to the file system") \
	X(diff, NULL, "DIR DIR2", "print the records that differ")
/* clang-format on */

#define X(name, usage, words, help) \
	int command_##name(int argc, char **argv); \
	extern const struct option_row name##_rows[];
JOURNAL_COMMANDS(X)
#undef X

/*
 * Prints `rmq-journal: OBJECT: WHY` and returns the exit status; the error's text for WHY if
 * that is NULL or empty, and before it if the journal is corrupt.
 */
int report(const char *object, enum rmq_error err, const struct reason *why);

/* Makes a reason for report() that names the record, and returns err. */
enum rmq_error name_record(struct reason *why, enum rmq_error err, uint64_t index);

/*
 * Parses the options of a sub-command: `set` is told the code of each of its own rows that is
 * given, and its value, and returns false if that is wrong.  Then there have to be as many words as `words`; one
 * or more, ended by NULL, if it is WORDS_SOME. Returns the first word, or NULL: *exit_status
 * says how to end (0 after --help).
 */
#define OPTION_LONG 256 /* from here on: values of options without a letter */
#define WORDS_SOME  (-1)
char **command_words(int argc, char **argv, const char *name,
    bool (*set)(int letter, const char *value, void *state), void *state, int words,
    int *exit_status);

/* The value of an option that is an index; false: it is not one. */
bool parse_index(const char *s, uint64_t *index);

/* From now on a crash is told as damage of the data file in DIR, until guard_off(). */
void guard_directory(const char *dir);

/* stdout is flushed; the exit status to end with: `status`, or 74 if it could not be written.
 */
int finish_stdout(int status);

#endif
