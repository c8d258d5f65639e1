/* How messages are passed to COMMAND: on its stdin, or as its arguments. */
#ifndef RMQ_RECV_PAYLOAD_H
#define RMQ_RECV_PAYLOAD_H

#include "core/base/text.h"
#include "job.h"

struct payload_form {
	bool envelopes;	     /* -j */
	bool newline;	     /* -l */
	bool several;	     /* --batch: each message ends with the separator */
	char separator;	     /* '\n', or NUL with -0 */
	const char *replace; /* -I: it stands for the message; NULL: stdin */
	char *const *argv;
};

/* NULL, or why the message cannot be passed in this form. */
const char *payload_bad(const struct payload_form *f, struct slice body);

/* Appends the message as COMMAND gets it. */
void payload_put(struct text *t, const struct payload_form *f, const struct envelope *e);

/*
 * A descriptor to read `t` from, which nobody has to write to meanwhile.  -1: errno.
 */
int payload_stdin(const struct text *t);

/*
 * The arguments with `t` for each -I, NULL: out of memory.  To be freed as one block.
 */
char **payload_argv(const struct payload_form *f, const struct text *t);

#endif
