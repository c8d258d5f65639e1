/*
 * A terminal on stdout that a program draws on again and again.  It is another screen than the one
 * before, which comes back at the end, and while the program is stopped (^Z).
 */
#ifndef RMQ_SYS_STREAM_SCREEN_H
#define RMQ_SYS_STREAM_SCREEN_H

#include "core/base/text.h"

struct screen {
	unsigned rows, columns; /* as the terminal is now */
	bool utf8;		/* it shows such characters */
	unsigned used;		/* rows that were put */
	struct text out;
};

/* False: stdout is no terminal.  `s` is zeroed. */
bool screen_open(struct screen *s) __attribute__((warn_unused_result));
void screen_deinit(struct screen *s);
/* The terminal as it was; legal in a handler of signals, and again. */
void screen_leave(void);

/* A picture is begun; put into s->out; and shown: 0, or errno. */
void screen_begin(struct screen *s);
int screen_show(struct screen *s) __attribute__((warn_unused_result));

/* As much of the line as fits, if a row is left, and how many bytes these are; heading: it stands out. */
size_t screen_put_line(struct screen *s, struct slice line);
void screen_put_heading(struct screen *s, struct slice line);

#endif
